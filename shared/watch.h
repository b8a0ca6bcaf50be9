/* watch: the payloads by which a client hears of rows that others have changed. */
#ifndef RINGFS_SHARED_WATCH_H
#define RINGFS_SHARED_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/bytes.h"

/* A client names partitions to a node that holds a replica of them; from then on the node notes
 * each change of their rows that it makes durable, and tells it in the answer to the client's next
 * WATCH. One WATCH of a client is at a node at a time; the node keeps it for WATCH_HOLD_MS unless
 * there is something to tell. Changes are told again until the client's next WATCH says that it has
 * heard of them, so a lost answer loses none. A node that cannot keep all (too many changes that
 * were not fetched, WATCH_FORGET_MS without a WATCH, a restart) forgets the client and says so:
 * everything that was watched there may have changed.
 *
 * What this proves to a reader: a write that a quorum read of R replicas has missed is made durable
 * after that at each of the R. So who watches all but R - 1 replicas of a partition, from before
 * the reading on, is told of it by one of them at least.
 *
 * That is soon, and not at once. A *lease* (Gray and Cheriton, 1989) is more: as long as it runs,
 * the node acknowledges no write of what the client watches there, whoever made it, before the
 * client has said that it has heard of it. Each answer that tells of all changes noted so far
 * grants one for `lease_ms`, unless the client had not heard of all that was told before; the
 * client counts from when it sent the request, the node from when that came, so the client's ends
 * first. Who holds leases from all replicas of a partition, from before a quorum reading on, knows
 * of every write that was acknowledged since: it was acknowledged by one of the replicas that the
 * reading asked, after that had told of it. docs/store.md, "Leases".
 *
 * Pure. Decoders check every bound, borrow from their input and answer 0 or ERR_INVALID. Exact
 * layouts: docs/wire.md. */
enum {
    WATCH_HOLD_MS = 250,
    WATCH_FORGET_MS = 5000,
    WATCH_LEASE_MS = 600,        /* of a lease, from the request that was answered with it */
    WATCH_NAMED_MAX = 64,        /* partitions begun or ended in one request */
    WATCH_CHANGES_BYTES = 8000,  /* of an answer, unless the first change alone is larger */
    WATCH_REPLY_SIZE = 10 << 10, /* an answer is never larger */
};

struct watch_request {
    uint64_t writer; /* who asks: what the operation ids of its own writes end with */
    uint64_t turn;   /* higher in each new request of the writer to this node */
    /* As the node called what it keeps for the writer; 0 = begin anew. Without it a request that
     * comes twice, much later, could begin what the next one takes for its own. */
    uint64_t life;
    uint64_t heard; /* changes up to this number need not be told again */
    uint16_t n_begun, n_ended;
    struct bytes begun[WATCH_NAMED_MAX]; /* partition keys */
    struct bytes ended[WATCH_NAMED_MAX];
};
void watch_request_encode(const struct watch_request *request, struct buffer *into);
int watch_request_decode(struct bytes payload, struct watch_request *ret);

struct watch_change {
    struct bytes partition_key, sort_key;
};

struct watch_reply {
    uint64_t life; /* 0: the node knows none such: nothing is watched, it has to be begun anew */
    uint8_t read_quorum; /* the node's R */
    uint32_t lease_ms;   /* of the lease that it grants; 0 = none */
    uint16_t n_begun;    /* how many of the request's are watched now; the rest found no room */
    uint64_t first;      /* number of the first change */
    uint32_t n_changes;
    struct bytes changes; /* encoded: watch_next() */
};
void watch_reply_encode(const struct watch_reply *reply, struct buffer *into);
int watch_reply_decode(struct bytes payload, struct watch_reply *ret);
/* Appends a change to what will be `changes`; its size there. */
void watch_change_encode(const struct watch_change *change, struct buffer *into);
size_t watch_change_size(const struct watch_change *change);
/* Takes the next change off; false at the end. Those of a decoded reply are sound. */
bool watch_next(struct bytes *changes, struct watch_change *ret);

#endif
