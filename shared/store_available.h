/* store_available: a store that goes on where only a minority of the replicas answers. */
#ifndef RINGFS_SHARED_STORE_AVAILABLE_H
#define RINGFS_SHARED_STORE_AVAILABLE_H

#include "shared/store.h"

/* Passes calls on to `inner`. Where too few replicas answer for a quorum, gets and scans are asked
 * again at level one, and so are batches marked STORE_AVAILABLE: their conditions are compared with
 * the row of the one replica that answers, and the rows are written beside what the other side may
 * write, without conditions. Every other batch needs its majority. Calls with a level of their own,
 * and strict ones, go through as they are.
 *
 * A batch is written in this way only after a quorum read of its partition was refused, too: a
 * steward that is being replaced or is slow is waited for. It keeps its operation id, so what an
 * earlier try may yet bring about is the same write (store.h).
 *
 * That a set of replicas is cut off is remembered for MINORITY_NS, so that only the first call
 * waits for MINORITY_TRY_NS; then, and when the client hears of more of them, one call looks for at
 * most MINORITY_LOOK_NS whether it still is, while the others go on. Until then reads may show what
 * is old. For MINORITY_REJOINING_NS after that, gets and scans ask all replicas where all answer:
 * what was written alone is handed on within seconds, and until then two others do not know of it.
 * Sets that share a slot of the table share the memory: at worst reads at level one, or one more
 * look. */
#define MINORITY_TRY_NS 1000000000ll
#define MINORITY_PROBE_NS 1000000000ll
#define MINORITY_LOOK_NS 200000000ll
#define MINORITY_NS 3000000000ll
#define MINORITY_NEWS_NS 5000000000ll
#define MINORITY_REJOINING_NS 30000000000ll
enum { MINORITY_SLOTS = 1024 };

/* The replicas of a partition: what is cut off together. */
struct replica_set {
    uint32_t number;     /* the same for the same replicas */
    uint16_t n, n_alive; /* as far as the client hears of them */
};

/* What is known of such a set. Times are monotonic, 0 = not so. */
struct minority {
    int64_t until_ns;           /* it is cut off, as far as is known */
    int64_t looked_ns;          /* when that was found last */
    int64_t heard_ns;           /* since when a majority is heard of all the same */
    int64_t rejoining_until_ns; /* it was */
};

struct store_available {
    struct store *inner;
    int64_t (*now_ns)(void *clock); /* monotonic */
    void *clock;
    struct replica_set (*replicas)(void *context, struct bytes partition_key);
    void *context;
    struct minority minorities[MINORITY_SLOTS];
    uint64_t n_alone;   /* batches written by a minority */
    struct store store; /* the seam */
};

/* Fills `store->store` from the fields above it, which the caller sets; the rest is zero. */
void store_available_init(struct store_available *store);

#endif
