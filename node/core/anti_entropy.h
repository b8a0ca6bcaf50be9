/* anti_entropy: finds what replicas lack of one another without anybody reading it. */
#ifndef RINGFS_NODE_CORE_ANTI_ENTROPY_H
#define RINGFS_NODE_CORE_ANTI_ENTROPY_H

#include "node/core/inside.h"
#include "shared/exchange.h"

/* A *round* goes through all members that hold slices with this node, one at a time:
 *
 *   COMPARING   TREE: the sums of all slices that both hold; the answer names those that differ
 *   SETTLING    a pause, so that writes on their way arrive
 *   CONFIRMING  TREE again, for those that differed; what differs both times is worked through:
 *   PAGING      a page of the slice from this node's disk
 *   LISTING     LEAF: the same range there, unless its digest is the same
 *   MENDING     the rows that differ, both ways (reconcile.h); then the next page, the next slice
 *
 *   IDLE ─► COMPARING ─► SETTLING ─► CONFIRMING ─► PAGING ─► LISTING ─► MENDING
 *    ▲         │ next member, or the end ▲              ▲        └──────────┘ │
 *    └─────────┴─────────────────────────┴── last slice └── next page, slice ─┘
 *
 * A member that is silent, or says no, is left for the next round; so are slices that either of the
 * two recovers (recovery.h brings their rows). A round begins soon after
 * the start, repair_round_ms after the last one, AGAIN_MS after one that found something or could
 * not finish (twice as late each time that it mended nothing), when a silent member answers again,
 * and when somebody orders it. A round over nothing that differs costs one message of 14 bytes a
 * slice to each member.
 *
 * Pace: what is scanned and sent counts against a rate, which is halved when this node has requests
 * in flight as if busy, and otherwise raised step by step (additive increase, multiplicative
 * decrease, Chiu and Jain 1989). One exchange at a time; one page in memory. */
enum {
    ANTI_ENTROPY_AGAIN_MS = 2000,
    ANTI_ENTROPY_TICK_MS = 1000,
    ANTI_ENTROPY_SETTLE_MS = 300,
    ANTI_ENTROPY_REPLY_MS = 3000,
    ANTI_ENTROPY_PAGE_ROWS = 256,
    ANTI_ENTROPY_ROW_COST = 64, /* bytes that a row counts at least */
    ANTI_ENTROPY_RATE_MIN = 1 << 20,
    ANTI_ENTROPY_RATE_MAX = 64 << 20,
    ANTI_ENTROPY_RATE_STEP = 4 << 20, /* a second */
    ANTI_ENTROPY_BUSY_REQUESTS = 32,  /* in flight at this node: the rate is halved */
};

struct anti_entropy;

/* At rest until started; borrows the node, whose other parts must outlive it. */
struct anti_entropy *anti_entropy_new(struct node *node);
/* In any state; what is under way is dropped. */
void anti_entropy_free(struct anti_entropy *ae);
/* Until stopped. */
void anti_entropy_start(struct anti_entropy *ae);
void anti_entropy_stop(struct anti_entropy *ae);

/* TREE from a peer or a client: which of its sums are different here. */
void anti_entropy_compare(struct node *node, const struct endpoint *from,
                          const struct message *message);
/* A reply came from a peer; whether it was to one of these requests. */
bool anti_entropy_heard(struct anti_entropy *ae, const struct endpoint *from,
                        const struct message *message);
/* REPAIR_CONTROL: an order, answered with the state after it, as STATS is. */
void anti_entropy_control(struct node *node, const struct endpoint *from,
                          const struct message *message);

/* Counters and gauges, fills at most `max` and returns how many. Names are static. */
uint32_t anti_entropy_stats(const struct anti_entropy *ae, struct node_stat *ret, uint32_t max);

#endif
