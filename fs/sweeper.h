/* sweeper: once a day one of all mounts sweeps up what crashed clients left. */
#ifndef RINGFS_FS_SWEEPER_H
#define RINGFS_FS_SWEEPER_H

#include "fs/mount.h"

/* Each mount asks now and then whether it is its turn; that is told by a row that all see, so that
 * one of them does it, whichever is there. It takes its time. Of the mount's open files, those
 * without a name say that they are in use, so that no sweep takes them for leftovers. */
#define SWEEPER_EVERY_NS 86400000000000ull
#define SWEEPER_ASK_NS 3600000000000ll  /* how often a mount asks for its turn */
#define SWEEPER_TOUCH_NS 600000000000ll /* how often files without a name are touched */

struct sweeper_config {
    /* The whole sweep, until it is done or *stop is set; then 0 or an error. May suspend. */
    int (*sweep)(void *context, const bool *stop);
    void *context;
};
/* In the background until the mount stops. `config` is copied. ERR_BUSY. */
int sweeper_start(struct mount *mount, const struct sweeper_config *config);
/* Touches now. May suspend. */
void sweeper_touch(struct mount *mount);

#endif
