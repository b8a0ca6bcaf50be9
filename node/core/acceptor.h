/* acceptor: strict batches on a replica: PREPARE, TAIL, PROPOSE and CHOSEN. */
#ifndef RINGFS_NODE_CORE_ACCEPTOR_H
#define RINGFS_NODE_CORE_ACCEPTOR_H

#include "node/core/chain.h"
#include "node/core/merge.h"

/* Everything is held, then decided and handed to the disk at one moment, and answered when the
 * commit is done, from what is durable. An epoch below the promise is refused (STALE_EPOCH, with
 * the promise); one above it raises the promise, synced, in the same commit.
 *
 *   PREPARE  promises the epoch. The same epoch again: still promised (a steward asks so whether
 *            it still is one)
 *   TAIL     tells tail and pending. Epoch 0: without a promise
 *   PROPOSE  accepted as pending when its `prev` is the tail's ballot, or the pending's: then that
 *            one is chosen, and applied. Else the replica is BEHIND: refused (BUSY), and it fetches
 *            the partition from the steward
 *   CHOSEN   applies the pendings of these ballots; a partition that it turns out to be behind in
 *            is fetched. No answer */
void acceptor_receive(struct node *node, const struct endpoint *from,
                      const struct message *message);

/* Begins a hold of promise, tail and pending at these indexes. */
enum { HELD_PROMISE = 0, HELD_TAIL = 1, HELD_PENDING = 2 };
void chain_hold(struct node *node, struct rows_hold *hold, uint16_t slice, struct bytes key,
                void (*ready)(void *context), void *context);
/* 0, or the first error of such a hold. */
int chain_hold_status(const struct rows_hold *hold);
/* Begins a hold of the tally and of a row for each operation of `batch`. */
void chain_hold_rows(struct node *node, struct rows_hold *hold, struct bytes key,
                     const struct batch *batch, void (*ready)(void *context), void *context);
/* 0, or the first error of such a hold; corrupt rows are none (they are overwritten), a corrupt
 * tally is counted anew. */
int chain_rows_status(struct node *node, const struct rows_hold *hold, struct bytes key);
/* Puts a proposal as the pending. `batch` is that of the proposal, or empty where nobody needs it
 * decoded: of a batch of one row the disk is told that the pending has what the row has. */
struct chain_put {
    uint16_t slice;
    struct bytes key, proposal;
    const struct batch *batch;
};
void chain_put_pending(struct node *node, struct rows_commit *commit, struct row *pending,
                       const struct chain_put *put);
/* Adds a chosen batch to a commit: its rows, and the tail after it. What becomes of the pending is
 * the caller's. merge_begin() with room for 3 more. */
void chain_apply(struct merge *merge, const struct rows_hold *chain, const struct rows_hold *rows,
                 struct bytes proposal, const struct batch *batch);

#endif
