/* store_minority: a store of which a switch leaves only a minority: what needs more is refused. */
#ifndef RINGFS_TESTS_STORE_MINORITY_H
#define RINGFS_TESTS_STORE_MINORITY_H

#include "shared/store.h"

/* Passes calls on to `inner`. While `cut`, only what asks for one replica, without conditions, gets
 * through; all else ends at the task's deadline (at once without one), as a client that goes from
 * replica to replica: UNAVAILABLE, and batches `batch_err`. */
struct store_minority {
    struct store *inner;
    bool cut;
    int batch_err;             /* ERR_UNAVAILABLE, or ERR_UNKNOWN: it may have been done */
    bool batch_applied;        /* it was */
    uint64_t n_refused, n_all; /* n_all: gets at level all */
    struct store store;        /* the seam */
};

void store_minority_init(struct store_minority *store, struct store *inner);

#endif
