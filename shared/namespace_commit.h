/* namespace_commit: one conditional batch, and what its lost answer means. Private to namespace*.c.
 */
#ifndef RINGFS_SHARED_NAMESPACE_COMMIT_H
#define RINGFS_SHARED_NAMESPACE_COMMIT_H

#include "shared/namespace.h"

struct key;

enum { COMMIT_OPS_MAX = CONTENTS_TOGETHER_MAX, COMMIT_UNKNOWN_MAX = 3 };

/* Fill `ops` and `n`; zero-initialize the rest. commit_release() frees the outcome, not the ops'
 * bytes. */
struct commit {
    struct row_op ops[COMMIT_OPS_MAX];
    uint32_t n;
    struct op_id op; /* set by commit_run() */
    struct store_outcome outcome;
    /* A try ended UNKNOWN before: a conflict may mean that our own write took place and was
     * replaced by another since. */
    bool doubtful;
};
/* Sends the batch, and again with the same operation id (which is harmless) while the store does
 * not know whether it was applied. The store's answer; ERR_UNKNOWN when it stays unknown. May
 * suspend. */
int commit_run(struct namespace *ns, const struct key *partition, struct commit *commit,
               store_options options);
/* Ready for another run, with the same ops. */
void commit_release(struct commit *commit);
/* The new context of the row of ops[index], owned by the caller. After an answer of 0. */
struct bytes commit_context(const struct commit *commit, uint32_t index);

/* The loop of whoever tries again on a conflict, `*err` being ERR_CONFLICT at first and then the
 * answer of the last try: whether to try once more, for the `tries`-th time (from 0). From the
 * third on it waits a little first, at random, so that two who meet do not meet again. When it is
 * no use: ERR_BUSY, or why it could not wait. May suspend. */
enum { CONFLICT_EAGER_TRIES = 2 }; /* without a wait */
bool conflict_again(struct namespace *ns, int tries, int *err);

#endif
