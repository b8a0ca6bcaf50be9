/* partition_sync: a partition's chosen rows and tail, fetched from a replica that has them. */
#ifndef RINGFS_NODE_CORE_PARTITION_SYNC_H
#define RINGFS_NODE_CORE_PARTITION_SYNC_H

#include "node/core/inside.h"

/* Asks `from` for its tail first, then for all pages of the partition, merges them here, asks
 * whether `from` has been in the same life all the time (its disk may be lost and made anew between
 * the tail and the pages), and last sets the tail. What comes into the rows meanwhile does no harm:
 * rows hold only what is chosen, so the copy has all that the tail says and perhaps more. */
enum {
    PARTITION_SYNCS_MAX = 16, /* at once; beyond, and for a partition under way: not started */
    PARTITION_SYNC_TRIES = 5, /* without an answer, ROUND_AGAIN_MS each, before it is given up */
};

/* Whether it was started. `done` (may be NULL) is called later: 0, ERR_UNAVAILABLE when `from` gave
 * no answer, or what the disk said. */
bool partition_sync(struct node *node, struct bytes key, uint16_t from,
                    void (*done)(void *context, int status), void *context);

#endif
