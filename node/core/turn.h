/* turn: the strict batches of a partition, one at a time, at the slice's steward. */
#ifndef RINGFS_NODE_CORE_TURN_H
#define RINGFS_NODE_CORE_TURN_H

#include "node/core/steward.h"

/* A strict batch takes a turn at its partition. When the turn is granted this node is the slice's
 * steward, and the partition's rows here hold every batch that was ever chosen: the owner looks at
 * them and either proposes new ones, or ends the turn. Turns of one partition go one after the
 * other, those of different ones side by side.
 *
 *   IDLE ──► LOADING ──► TOUCHING ──► SYNCING     ┐ once in each epoch
 *    │                      └──► PROPOSING the pending that may have been chosen ┘
 *    └──► GRANTED ──► PROPOSING ──► COMMITTING ──► GATHERING ──► IDLE
 *
 *   TOUCHING    a majority's tails and pendings, asked for under this epoch
 *   SYNCING     this node lacks what another has applied: it is fetched
 *   PROPOSING   the batch goes to all replicas until a majority has it. What is to be synced is a
 *               pending of this node, too, which counts when it is on its disk (one of COVERING
 *               after another replica has accepted it); of another batch the commit that follows
 *               counts for it
 *   COMMITTING  its own rows and tail; not synced, since a majority has it as a pending
 *   GATHERING   acknowledgements beyond the majority, where the request wants more
 *
 * A proposal that is out is sent again until it is chosen or the epoch is lost; after
 * PROPOSAL_OPEN_MS the steward steps down, so that the next one finds out what became of it. */
enum {
    PARTITIONS_MAX = 4096, /* kept by a node as touched; the least recently used are forgotten,
                              which costs a touch */
    PROPOSAL_OPEN_MS = 5000,
    PROPOSAL_STOPPING_MS = 500, /* the same while the node is stopping */
};

struct turn {
    /* Its turn has come. */
    void (*granted)(void *context);
    /* Called at most once; the turn is over. Before a proposal: why there was no turn
     * (STALE_EPOCH: another node is the steward; UNAVAILABLE, NO_SPACE...), nothing was sent.
     * After: 0 = done with all acknowledgements; UNKNOWN, STALE_EPOCH: it may yet be done; or what
     * kept all others from taking it. CONFLICT: one of COVERING was withdrawn, because another
     * replica has versions of its rows that it does not cover. Who took it before may bring it up
     * until a later batch of the partition is chosen. */
    void (*done)(void *context, int status);
    void *context;
    /* In `done` after a proposal: the tally, and how many replicas have it, this one included. */
    struct tally tally;
    uint32_t acknowledged;
    /* turn.c's own */
    struct partition *partition;
    struct turn *prev, *next;
};

/* `granted` or `done` may be called before this returns. The caller's memory. */
void turn_take(struct node *node, uint16_t slice, struct bytes key, struct turn *turn);
/* Over without a proposal; or, with one, nobody waits for it any more. Harmless on a zeroed turn
 * and after `done`. */
void turn_end(struct turn *turn);
/* Proposes a batch: `content` is copied, its ballots are filled in. `needed` replicas are to have
 * it before `done` says 0. `flags`: MESSAGE_SYNCED, MESSAGE_COVERING. ERR_TOO_BIG: the turn goes
 * on. */
int turn_propose(struct turn *turn, const struct chain_proposal *content, uint32_t needed,
                 uint16_t flags);
/* While it is granted: the tail, for the operations that were done lately. */
void turn_tail(const struct turn *turn, struct chain_tail *ret);
/* While a proposal is out: how many replicas have it by now. */
uint32_t turn_acknowledged(const struct turn *turn);

/* Memory for proposals of all partitions; one at rest has none. */
uint64_t turn_bytes(const struct node *node);

/* ---- for steward.c ---- */

/* It leads: those that wait go on. */
void partitions_led(struct steward *steward);
/* `status` is told to those who wait for a turn; to those whose proposals are out, STALE_EPOCH or
 * UNKNOWN. */
void partitions_lost(struct steward *steward, int status);
void partitions_drop(struct steward *steward);

#endif
