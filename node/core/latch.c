/* latch: who may change or rely on which row, first come first served. */
#include "node/core/latch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

struct latch {
    size_t key_size;
    struct latch_ticket *queue; /* the granted ones first */
    UT_hash_handle hh;
    uint8_t key[];
};

struct latches {
    struct latch *table;
    struct latch_claim *ready; /* granted and not yet told */
    bool telling;
};

struct latches *latches_new(void) {
    return memory_new(1, sizeof(struct latches));
}

void latches_free(struct latches *latches) {
    if (latches != NULL) {
        assert(latches->table == NULL);
        free(latches);
    }
}

void latches_hush(struct latches *latches) {
    latches->telling = true;
}

static struct latch *latch_find(const struct latches *latches, struct bytes key) {
    struct latch *latch = NULL;
    HASH_FIND(hh, latches->table, key.data, key.size, latch);
    return latch;
}

static struct latch *latch_get(struct latches *latches, struct bytes key) {
    struct latch *latch = latch_find(latches, key);
    if (latch == NULL) {
        latch = memory_resize(NULL, sizeof *latch + key.size);
        memset(latch, 0, sizeof *latch);
        latch->key_size = key.size;
        memcpy(latch->key, key.data, key.size);
        HASH_ADD_KEYPTR(hh, latches->table, latch->key, latch->key_size, latch);
    }
    return latch;
}

void latch_claim_init(struct latch_claim *claim, uint32_t n, void (*granted)(void *context),
                      void *context) {
    *claim = (struct latch_claim){.granted = granted, .context = context, .capacity = n};
    claim->tickets = n <= LATCH_TICKETS_INLINE ? claim->few : memory_new(n, sizeof *claim->tickets);
}

void latch_claim_add(struct latches *latches, struct latch_claim *claim, struct bytes key,
                     bool exclusive) {
    struct latch *latch = latch_get(latches, key);
    /* All tickets of a claim are drawn at one moment: a twin is the last in the queue. */
    struct latch_ticket *last = latch->queue != NULL ? latch->queue->prev : NULL;
    if (last != NULL && last->claim == claim) {
        last->exclusive = last->exclusive || exclusive;
        return;
    }
    assert(claim->n < claim->capacity);
    struct latch_ticket *ticket = &claim->tickets[claim->n++];
    *ticket = (struct latch_ticket){.latch = latch, .claim = claim, .exclusive = exclusive};
    DL_APPEND(latch->queue, ticket);
    claim->n_waiting++;
}

/* Whether nobody stands before the ticket. */
static bool is_free(const struct latch_ticket *ticket) {
    if (ticket == ticket->latch->queue) {
        return true;
    }
    return !ticket->exclusive && ticket->prev->granted && !ticket->prev->exclusive;
}

bool latch_claim_wait(struct latch_claim *claim) {
    for (uint32_t i = 0; i < claim->n; i++) {
        struct latch_ticket *ticket = &claim->tickets[i];
        if (!ticket->granted && is_free(ticket)) {
            ticket->granted = true;
            claim->n_waiting--;
        }
    }
    return claim->n_waiting == 0;
}

/* Grants what has become free at the head of a queue. */
static void latch_advance(struct latches *latches, struct latch *latch) {
    struct latch_ticket *ticket = latch->queue;
    for (; ticket != NULL && (ticket->granted || is_free(ticket)); ticket = ticket->next) {
        if (ticket->granted) {
            continue;
        }
        struct latch_claim *claim = ticket->claim;
        ticket->granted = true;
        if (--claim->n_waiting == 0) {
            claim->queued = true;
            DL_APPEND(latches->ready, claim);
        }
    }
}

/* Tells in a loop, not by recursion: a long queue of short claims must not grow the stack. */
static void tell_ready(struct latches *latches) {
    if (latches->telling) {
        return;
    }
    latches->telling = true;
    while (latches->ready != NULL) {
        struct latch_claim *claim = latches->ready;
        DL_DELETE(latches->ready, claim);
        claim->queued = false;
        claim->granted(claim->context);
    }
    latches->telling = false;
}

void latches_drop(struct latches *latches, struct latch_claim *claim) {
    if (claim->queued) {
        DL_DELETE(latches->ready, claim);
    }
    for (uint32_t i = 0; i < claim->n; i++) {
        struct latch *latch = claim->tickets[i].latch;
        struct latch_ticket *ticket = &claim->tickets[i];
        DL_DELETE(latch->queue, ticket);
        if (latch->queue == NULL) {
            HASH_DELETE(hh, latches->table, latch);
            free(latch);
        } else {
            latch_advance(latches, latch);
        }
    }
    if (claim->tickets != claim->few) {
        free(claim->tickets);
    }
    *claim = (struct latch_claim){0};
    tell_ready(latches);
}
