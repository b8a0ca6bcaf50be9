/* env: the world of a pure core: clocks, dice and the wire, as a table of functions. */
#ifndef RINGFS_SHARED_ENV_H
#define RINGFS_SHARED_ENV_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/message.h"

/* Both cores, the node's (node/core) and the client's (shared/client.h), reach the world through
 * this table only. Real side: node/main.c and shared/mount-side wiring over transport_nanomsg and
 * loop. Test side: tests/lib/sim.c. No call blocks, none calls back into the core before it
 * returns. One thread. */

/* Where a message goes to or came from. */
enum endpoint_kind {
    ENDPOINT_NODE = 1, /* the node `node`, over the link opened by connect() */
    ENDPOINT_CLIENT =
        2, /* a client's session; `route` is opaque to the core, good for any number of replies */
};
struct endpoint {
    enum endpoint_kind kind;
    uint16_t node;
    uint8_t route[40];
};

struct env {
    void *self;
    /* Monotonic, ns; never goes back. */
    int64_t (*now_ns)(void *self);
    /* Time of day, ns since 1970; may jump either way. Only for stamps (hlc.h). */
    uint64_t (*wall_ns)(void *self);
    /* 64 uniform bits; for ids and jitter, not for secrets. */
    uint64_t (*random)(void *self);
    /* Opens (or re-opens at another address) the link to a node. The outcome shows only in whether
     * messages arrive. */
    void (*connect)(void *self, uint16_t node, const char *address);
    /* Tears the link down and opens a fresh one at the same address: what is needed after silence.
     */
    void (*reconnect)(void *self, uint16_t node);
    void (*disconnect)(void *self, uint16_t node);
    /* Queues a message, which is copied. The order to one endpoint is kept. It may be lost without
     * notice. 0, or ERR_BUSY when the link's queue is full (the message is not sent). */
    int (*send)(void *self, const struct endpoint *to, const struct message *message);
    /* One line for the log of the program; level 0 error, 1 warning, 2 info. */
    void (*log)(void *self, int level, const char *line);
};

#endif
