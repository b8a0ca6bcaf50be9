/* chain: what a replica keeps of a partition's strict batches: its promise, the tail, a pending. */
#ifndef RINGFS_NODE_CORE_CHAIN_H
#define RINGFS_NODE_CORE_CHAIN_H

#include "shared/request.h"

/* Strict batches of a partition form a chain: each names the one before it. A replica holds, each
 * under a key of rowkey.h:
 *
 *   promise  of a slice: the epoch below which it refuses everything
 *   tail     the ballot of the last batch that is in its rows, and the operations of the last few
 *   pending  at most one batch that it accepted and does not know to be chosen, whole
 *
 * Rows never hold what is not chosen. A pending whose ballot is P follows the tail that the replica
 * had when it accepted it. Epoch = counter << 16 | node id, so no two nodes share one; 0 = none.
 * Pure. */
struct ballot {
    uint64_t epoch;
    uint64_t seq; /* from 1 in each epoch and partition */
};

enum {
    CHAIN_RECENT_MAX = 16, /* operations remembered; the oldest are forgotten */
    CHAIN_PROMISE_SIZE = 9,
    CHAIN_PROPOSAL_HEAD = 72, /* bytes of a proposal before its batch */
    CHAIN_TAIL_MAX = 17 + CHAIN_RECENT_MAX * 40,
};

/* One strict batch that was done. */
struct chain_op {
    struct op_id op;
    uint64_t stamp_ns;
    struct dot dot; /* of its rows */
};

struct chain_tail {
    struct ballot applied;
    uint32_t n;
    struct chain_op ops[CHAIN_RECENT_MAX]; /* newest first */
};

struct chain_proposal {
    struct ballot ballot;
    struct ballot prev;
    uint64_t stamp_ns;
    struct dot dot;
    struct tally tally; /* after it, at its steward; changed_ns 0: not known */
    struct bytes batch; /* of request.h, its values are whole rows; borrowed */
};

/* The reply to PREPARE, TAIL and PROPOSE. */
struct chain_reply {
    uint16_t incarnation;
    uint64_t promise;     /* durable */
    struct bytes tail;    /* TAIL: encoded; borrowed */
    struct bytes pending; /* TAIL: a proposal, encoded; borrowed */
};

static inline int ballot_compare(struct ballot a, struct ballot b) {
    if (a.epoch != b.epoch) {
        return a.epoch < b.epoch ? -1 : 1;
    }
    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}
static inline uint16_t epoch_owner(uint64_t epoch) {
    return (uint16_t)epoch;
}
/* The lowest epoch of node `id` above `seen`. */
static inline uint64_t epoch_above(uint64_t seen, uint16_t id) {
    return ((seen >> 16) + 1) << 16 | id;
}

/* Decoders: 0 or ERR_INVALID. Empty bytes are promise 0, and the tail of a partition without
 * strict batches. */
void chain_promise_encode(uint64_t epoch, struct buffer *into);
uint64_t chain_promise(struct bytes encoded);
void chain_tail_encode(const struct chain_tail *tail, struct buffer *into);
int chain_tail_decode(struct bytes encoded, struct chain_tail *ret);
/* Of bytes that were checked. */
struct ballot chain_applied(struct bytes tail);
void chain_proposal_encode(const struct chain_proposal *proposal, struct buffer *into);
int chain_proposal_decode(struct bytes encoded, struct chain_proposal *ret);
/* The ballot of an encoded proposal; zeros when there is none, or it cannot be read. */
struct ballot chain_ballot(struct bytes proposal);
/* The batch of a proposal, decoded: batch_release(). Every row's versions are looked into. */
int chain_batch_decode(struct bytes proposal, struct versions *scratch, struct batch *ret);
void chain_reply_encode(const struct chain_reply *reply, struct buffer *into);
int chain_reply_decode(struct bytes encoded, struct chain_reply *ret);

/* The tail after one more batch; an operation that it knew moves to the front. An operation id of
 * zeros is not remembered. */
void chain_tail_push(struct chain_tail *tail, struct ballot ballot, const struct chain_op *op);
/* NULL when it is not among those remembered. */
const struct chain_op *chain_tail_find(const struct chain_tail *tail, const struct op_id *op);

#endif
