/* watch: which clients are to hear of which partitions' changes, and what they have not heard. */
#ifndef RINGFS_NODE_CORE_WATCH_H
#define RINGFS_NODE_CORE_WATCH_H

#include "node/core/inside.h"

/* The protocol is that of shared/watch.h. A change is noted when this node has made it durable,
 * however it came (a client's write, a repair, a hand-over), unless the row shows what it showed
 * before or what the watcher itself has written. So is a pending batch that goes without having
 * been chosen: plain readers were shown it. What is full is told, never passed over: a partition
 * that finds no room is not watched, a watcher whose changes do not fit is forgotten. */
enum {
    WATCH_CLIENTS_MAX = 256,
    WATCH_PARTITIONS_MAX = 1 << 17, /* of all watchers together, a partition for each */
    WATCH_CHANGES_MAX = 1024,       /* noted for one watcher and not heard of yet */
    WATCH_TICK_MS = 50,
};

struct watches;

/* Nobody watches anything. Borrows the node. */
struct watches *watches_new(struct node *node);
/* Whoever waits for an answer gets none. */
void watches_free(struct watches *watches);
/* A WATCH; answered now or within WATCH_HOLD_MS. */
void watch_receive(struct watches *watches, const struct endpoint *from,
                   const struct message *message);
/* A row's value on the disk changed; arguments as of rows_changed(). */
void watch_changed(struct watches *watches, struct bytes key, const struct blob *old,
                   bool old_known, const struct blob *now);
/* For STATS. */
struct watch_counters {
    uint64_t clients, partitions; /* now */
    uint64_t changes, forgotten;  /* since the start */
};
void watch_counters(const struct watches *watches, struct watch_counters *ret);

#endif
