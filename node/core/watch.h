/* watch: which clients are to hear of which partitions' changes, and what they have not heard. */
#ifndef RINGFS_NODE_CORE_WATCH_H
#define RINGFS_NODE_CORE_WATCH_H

#include "node/core/inside.h"

/* The protocol is that of shared/watch.h. A change is noted when this node has made it durable,
 * however it came (a client's write, a repair, a hand-over), unless the row shows what it showed
 * before or what the watcher itself has written. So is a pending batch that goes without having
 * been chosen, and, where leases are granted, one that comes: plain readers are shown it. What is
 * full is told, never passed over: a partition that finds no room is not watched, a watcher whose
 * changes do not fit is forgotten. */
enum {
    WATCH_CLIENTS_MAX = 256,
    WATCH_PARTITIONS_MAX = 1 << 17, /* of all watchers together, a partition for each */
    WATCH_CHANGES_MAX = 1024,       /* noted for one watcher and not heard of yet */
    WATCH_TICK_MS = 50,
    WATCH_MARGIN_MS = 25, /* that a lease runs longer here: clocks drift apart */
};

struct watches;

/* An acknowledgement that waits until others may know what it tells of. */
struct watch_wait {
    struct watch_wait *prev, *next;
    bool waiting;
    uint64_t stamp; /* of the last change that they have to hear of */
    uint64_t by[WATCH_CLIENTS_MAX / 64];
    void (*done)(void *context);
    void *context;
};

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
/* Before this node acknowledges a write of the partition, made by `writer` (bytes 8..15 of its
 * operation id). True: at once. Else `done` is called when everybody who holds a lease of it, but
 * the writer, has heard of all that was noted until now, or the lease is over: within node_config's
 * lease_ms and a margin. After its start a node waits as long for leases of its former life. */
bool watch_wait(struct watches *watches, struct watch_wait *wait, struct bytes partition_key,
                uint64_t writer, void (*done)(void *context), void *context);
/* `done` will not be called. Harmless when nothing is waited for. */
void watch_wait_end(struct watches *watches, struct watch_wait *wait);
/* The writer of an operation. */
uint64_t watch_writer(const struct op_id *op);
/* Whether others than the writer watch the partition, so that acknowledgements may take as long as
 * a lease. */
bool watch_by_others(const struct watches *watches, struct bytes partition_key, uint64_t writer);
/* For STATS. */
struct watch_counters {
    uint64_t clients, partitions; /* now */
    uint64_t changes, forgotten;  /* since the start */
    uint64_t waits;               /* since the start: acknowledgements that waited */
};
void watch_counters(const struct watches *watches, struct watch_counters *ret);

#endif
