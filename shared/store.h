/* store: THE SEAM: get, batch and scan on rows, whatever holds them. */
#ifndef RINGFS_SHARED_STORE_H
#define RINGFS_SHARED_STORE_H

#include "shared/request.h"

/* A row is (partition key, sort key) -> versions. Implementations: shared/client_store.c (a
 * cluster), tests/lib/store_mem.c (one process's memory). Everything above (namespace, fs, ringctl,
 * gateway) reaches rows only through this table. All three calls may suspend the calling task, end
 * by the task's deadline, and end early with ERR_INTERRUPTED. Any number of tasks may be in calls
 * at once; calls for the same row by different tasks are concurrent.
 *
 * Answers besides 0:
 *   ERR_CONFLICT     (batch) a condition did not hold; nothing of the batch was applied
 *   ERR_UNAVAILABLE  not enough replicas; a write was applied nowhere that counts
 *   ERR_UNKNOWN      (batch) it may or may not have been applied; asking again with the same
 * operation id is harmless ERR_TIMEOUT      deadline passed before anything was sent, or a read
 * that got no answer ERR_INVALID, ERR_TOO_BIG, ERR_SIBLINGS, ERR_NO_SPACE, ERR_BUSY,
 * ERR_INTERRUPTED, ERR_CLOSED A row that nobody wrote, or that is deleted, is not an error: its
 * versions have no live sibling. */

/* Options of a call: enum consistency, MESSAGE_SYNCED (batch), MESSAGE_KEYS_ONLY,
 * MESSAGE_TOMBSTONES (scan), STORE_LARGE, STORE_AVAILABLE. */
typedef uint16_t store_options;
enum {
    /* get: the value is expected to be larger than STORE_SMALL_MAX (a block of contents). A hint
     * for how many answers may be under way at once; nothing breaks when it is wrong. */
    STORE_LARGE = 1 << 15,
    /* batch: may be written without a majority, beside what others write meanwhile, where none
     * answers and the store is one that does so (store_available.h). Its guards come last. */
    STORE_AVAILABLE = 1 << 14,
    STORE_SMALL_MAX = 5 << 10,
};

/* A result that owns the bytes its parts point into. Zero-initialize; store_row_release() etc. */
struct store_row {
    struct versions versions;
    struct tally tally; /* of the partition */
    struct bytes held;  /* owned: what the versions borrow from */
};
void store_row_release(struct store_row *row);

struct store_page {
    struct scan_reply reply; /* rows in sort-key order; `more` and `cursor` for the next page */
    struct bytes held;       /* owned */
};
void store_page_release(struct store_page *page);

struct store_outcome {
    struct batch_reply
        reply;         /* contexts by op when done; failed_index and current on ERR_CONFLICT */
    struct bytes held; /* owned */
    bool alone;        /* done without a majority: others may have written the same rows */
};
void store_outcome_release(struct store_outcome *outcome);

struct store {
    void *self;
    /* Reads one row. `ret` is filled only when the answer is 0. */
    int (*get)(void *self, struct bytes partition_key, struct bytes sort_key, store_options options,
               struct store_row *ret);
    /* Applies a batch to one partition, all or nothing on each replica. `batch->op` must be fresh
     * for a new write. `ret` (may be NULL) is filled when the answer is 0 or ERR_CONFLICT. Borrows
     * the batch until it returns. */
    int (*batch)(void *self, struct bytes partition_key, const struct batch *batch,
                 store_options options, struct store_outcome *ret);
    /* Reads one page of a partition. `ret` is filled only when the answer is 0. */
    int (*scan)(void *self, struct bytes partition_key, const struct scan_request *request,
                store_options options, struct store_page *ret);
    /* A fresh operation id. */
    struct op_id (*op_id)(void *self);
    /* Time of day in ns, for file times; and 64 random bits, for ids. */
    uint64_t (*wall_ns)(void *self);
    uint64_t (*random)(void *self);
};

#endif
