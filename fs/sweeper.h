/* sweeper: now and then, once a day by default, one of all mounts sweeps up what crashed clients
 * left. */
#ifndef RINGFS_FS_SWEEPER_H
#define RINGFS_FS_SWEEPER_H

#include "fs/mount.h"

/* Each mount asks now and then whether it is its turn; that is told by a row that all see, so that
 * one of them does it, whichever is there. It takes its time. Of the mount's open files, those
 * without a name say that they are in use, so that no sweep takes them for leftovers. */
#define SWEEPER_TOUCH_NS 600000000000ll /* how often files without a name are touched */
enum {
    SWEEPER_ASKS = 24,   /* how often a mount asks for its turn, from one turn to the next */
    SWEEPER_TOUCHES = 4, /* the least number of touches in that time */
};

struct sweeper_config {
    int64_t every_ns; /* from one mount's turn to the next one's; 0 = this one takes none */
    /* The whole sweep, until it is done or *stop is set; then 0 or an error. May suspend. */
    int (*sweep)(void *context, const bool *stop);
    void *context;
};
/* In the background until the mount stops. `config` is copied. ERR_BUSY. */
int sweeper_start(struct mount *mount, const struct sweeper_config *config);
/* Touches now. May suspend. */
void sweeper_touch(struct mount *mount);

#endif
