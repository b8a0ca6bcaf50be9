/* steward: which replica orders the strict batches of a slice, and how it becomes the one. */
#ifndef RINGFS_NODE_CORE_STEWARD_H
#define RINGFS_NODE_CORE_STEWARD_H

#include "node/core/round.h"

/* A steward holds an epoch that a majority of the slice's replicas promised, itself included:
 *
 *   IDLE ──► LOADING ──► PROMISING ──► CAMPAIGNING ──► LEADING
 *    ▲          │            │              │             │
 *    └──────────┴────────────┴──────────────┴─────────────┘   outbid, no majority, disk
 *
 *   LOADING      its own promise from the disk
 *   PROMISING    its new epoch, as its own promise, to be on the disk: before anybody hears of it
 *   CAMPAIGNING  promises of others
 *   LEADING      until it hears of a higher epoch; whether it still is one it must ask
 *
 * It campaigns when somebody wants a turn (turn.h). Nothing of it but the promise outlives a
 * restart. One struct for each slice that was wanted here; at most all slices of the ring. */
enum steward_state {
    STEWARD_IDLE = 0,
    STEWARD_LOADING = 1,
    STEWARD_PROMISING = 2,
    STEWARD_CAMPAIGNING = 3,
    STEWARD_LEADING = 4,
};

enum {
    STEWARD_CAMPAIGN_MS = 800, /* without a majority by then: UNAVAILABLE */
    STEWARD_SILENCE_MS = 1000, /* a steward elsewhere that leaves passed-on requests unanswered for
                                  so long is bid against */
    STEWARD_AVOID_MS = 2000,   /* and one that said UNAVAILABLE is not asked again for so long */
    /* The first live replica of a slice gets its clients' requests; after passing them on for so
     * long it takes the slice over, so that they save the hop. */
    STEWARD_FORWARD_MS = 3000,
};

struct partition;

struct steward {
    struct node *node;
    uint16_t slice;
    uint8_t state;  /* enum steward_state */
    uint64_t epoch; /* from PROMISING on */
    uint64_t seen;  /* the highest epoch heard of */
    int64_t since_ns;
    int64_t avoid_until_ns; /* see STEWARD_AVOID_MS */
    int64_t unanswered_ns;  /* when the first request was passed on that is unanswered; 0 = none */
    int64_t forwarding_ns;  /* since when requests are passed on; 0 = they are not */
    int64_t last_forward_ns;
    struct rows_hold hold; /* the promise, from LOADING on */
    struct round round;
    uint8_t payload[10]; /* of PREPARE: slice, epoch */
    struct partition *partitions;
};

/* Made when there is none. */
struct steward *steward_of(struct node *node, uint16_t slice);
/* All are freed; nothing is told to anybody. */
void stewards_drop(struct node *node);

/* Starts a campaign unless one is under way. What comes of it is told to the partitions
 * (partition_led(), partition_lost()), perhaps before this returns. */
void steward_want(struct steward *steward);
/* A higher epoch was promised here. */
void steward_outbid(struct node *node, uint16_t slice, uint64_t epoch);
/* A higher epoch was heard of; or, with 0, the steward gives up by itself: whatever it has proposed
 * is left to the next one. */
void steward_step_down(struct steward *steward, uint64_t epoch, int status);

/* An answer of a round under the steward's epoch: whether it says that a higher one was promised.
 * Then it has stepped down. */
bool steward_refused(struct steward *steward, const struct round_peer *peer,
                     const struct chain_reply *reply);

/* The promise is loaded: which node to pass a strict request on to; 0 = it is this node's. */
uint16_t steward_route(struct node *node, uint16_t slice, uint64_t promise);
/* A request was passed on to the steward elsewhere; it was answered. */
void steward_forwarded(struct node *node, uint16_t slice);
void steward_answered(struct node *node, uint16_t slice, int status);

/* Asks whether this node still is the steward: a majority that has promised nobody else anything
 * after this began. `done`: 0, ERR_STALE_EPOCH; never called when there is no answer, nor before
 * steward_check() has returned STEWARD_CHECK_ASKED. */
enum { STEWARD_CHECK_ASKED = 1 };

struct steward_check {
    void (*done)(void *context, int status);
    void *context;
    struct round round;
    uint8_t payload[10];
};
/* STEWARD_CHECK_ASKED; or at once 0, ERR_STALE_EPOCH. */
int steward_check(struct node *node, uint16_t slice, struct steward_check *check);
/* Harmless on a zeroed one. */
void steward_check_stop(struct steward_check *check);

#endif
