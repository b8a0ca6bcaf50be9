/* coordinator_strict: batches with conditions, and strict reads, at the slice's steward. */
#ifndef RINGFS_NODE_CORE_COORDINATOR_STRICT_H
#define RINGFS_NODE_CORE_COORDINATOR_STRICT_H

#include "node/core/coordinator.h"
#include "node/core/turn.h"

/* A strict request is ROUTING until the slice's promise is known: then it is passed on to the
 * steward elsewhere, or is QUEUED for a turn here. A batch keeps its turn until it is done; one
 * whose condition fails is ASSURING, before it says so, that this node still is the steward. A read
 * gives its turn back at once (the partition is touched) and reads as any other; it is answered
 * when a majority has said, after the request came, that this node still is the steward. */
enum {
    STRICT_PAUSE_MS = 20, /* after another node was in the way: plus a random part of */
    STRICT_JITTER_MS = 80,
    /* A request lives no longer at the client, so a retry that comes later is none. */
    STRICT_RETRY_MS = 70 * 1000,
};

struct strict {
    struct request *request;
    void (*ready)(struct request *request);            /* its turn */
    void (*over)(struct request *request, int status); /* of the turn; reads: no majority says so */
    void (*assured)(struct request *request);          /* batches */
    bool unassured;        /* a read: the majority has not said so yet, and it is not answered */
    struct rows_hold hold; /* the promise */
    struct turn turn;
    struct steward_check check;
};

/* Starts ROUTING; the callbacks above are set. */
void strict_enter(struct strict *strict);
/* Moves to ASSURING; then `assured`, or `over` with STALE_EPOCH. */
void strict_assure(struct strict *strict);
/* Another node was in the way and nothing was proposed: starts over, in a while or at once. What a
 * read has begun is given up before: request_reset(). */
void strict_again(struct strict *strict);
void strict_release(struct strict *strict);
/* Whether another replica of the slice passed the request on, which it does to the steward only: it
 * is not passed on again. (A node that holds no replica passes it to any.) */
bool strict_is_passed(const struct request *request);

/* A GET or SCAN with MESSAGE_STRICT. */
void strict_read_begin(struct request *request);
/* The timer of a read that has not begun; the states it can be in. */
void strict_read_expired(struct request *request);
static inline bool strict_waits(const struct request *request) {
    return request->state == REQUEST_ROUTING || request->state == REQUEST_QUEUED ||
           request->state == REQUEST_ASSURING || request->state == REQUEST_PAUSING;
}

#endif
