/* latch: who may change or rely on which row, first come first served. */
#ifndef RINGFS_NODE_CORE_LATCH_H
#define RINGFS_NODE_CORE_LATCH_H

#include "shared/hash.h"
#include "shared/versions.h"

/* A coordinator claims the rows of a batch before it looks at them: exclusively those it writes,
 * shared those it only checks. A claim takes its place in the queues of all its rows at one moment,
 * so claims never wait for each other in a circle. Granted when, for each row, nobody stands before
 * it (shared: nobody exclusive). One thread. */
enum { LATCH_TICKETS_INLINE = 3 };

struct latches;
struct latch;
struct latch_claim;

struct latch_ticket {
    struct latch *latch;
    struct latch_claim *claim;
    bool exclusive;
    bool granted;
    struct latch_ticket *prev, *next;
};

struct latch_claim {
    /* Called from somebody's latches_drop() when a claim that had to wait is granted. */
    void (*granted)(void *context);
    void *context;
    /* latch.c's own */
    uint32_t n;
    uint32_t capacity;
    uint32_t n_waiting;
    bool queued;
    struct latch_claim *prev, *next;
    struct latch_ticket *tickets;
    struct latch_ticket few[LATCH_TICKETS_INLINE];
};

/* A table of latches, empty. */
struct latches *latches_new(void);
/* Nothing may be claimed any more (asserted). */
void latches_free(struct latches *latches);
/* Everything is being given up: from now on nobody who waits is told of a grant. */
void latches_hush(struct latches *latches);

/* Begins a claim of at most `n` rows: the caller's memory, in place until dropped. */
void latch_claim_init(struct latch_claim *claim, uint32_t n, void (*granted)(void *context),
                      void *context);
/* Adds a row by its disk key, which is copied. The same row may be added twice; exclusive wins. */
void latch_claim_add(struct latches *latches, struct latch_claim *claim, struct bytes key,
                     bool exclusive);
/* To be called once all rows are added, before control goes back to the loop. Whether all is
 * granted; if not, `granted` will be called. */
bool latch_claim_wait(struct latch_claim *claim);
/* Gives everything up, in any state. Harmless on a zeroed or dropped claim. Those who waited are
 * called before the outermost drop returns. */
void latches_drop(struct latches *latches, struct latch_claim *claim);

#endif
