/* store_mem: the store seam in one process's memory, with hooks that make it fail. */
#ifndef RINGFS_TESTS_STORE_MEM_H
#define RINGFS_TESTS_STORE_MEM_H

#include "shared/store.h"

/* Conditions and versions are the real ones (versions.h, request.h); there is one coordinator and
 * no replica. Answers pass through the codec of request.h. Calls never suspend unless told to, so
 * it also serves outside of tasks. What it checks by assert is what the store would refuse as
 * malformed: a caller's bug. */
struct store_mem;

struct store_mem *store_mem_new(void);
void store_mem_free(struct store_mem *mem);
/* The seam; owned by `mem`. Any number of namespaces may share it. */
struct store *store_mem_store(struct store_mem *mem);

/* The clock: starts at STORE_MEM_EPOCH_NS, advances by 1 us with each batch. */
#define STORE_MEM_EPOCH_NS 1700000000000000000ull
void store_mem_advance(struct store_mem *mem, uint64_t ns);
uint64_t store_mem_now_ns(const struct store_mem *mem);

enum store_mem_call { STORE_MEM_GET, STORE_MEM_BATCH, STORE_MEM_SCAN };

/* Every call is counted, from 1; the counter and all of the below start anew here. */
void store_mem_reset_hooks(struct store_mem *mem);
uint64_t store_mem_calls(const struct store_mem *mem);
/* The calls `first` to `last` answer `err`. A batch that is the first of them is applied all the
 * same when `applied` (what ERR_UNKNOWN may mean). */
void store_mem_fail(struct store_mem *mem, uint64_t first, uint64_t last, int err, bool applied);
/* Runs `before(context, kind, number)` ahead of each call; the calls that it makes itself are
 * neither counted nor failed. */
void store_mem_before(struct store_mem *mem,
                      void (*before)(void *context, enum store_mem_call kind, uint64_t number),
                      void *context);
/* Each call lets the other tasks go first. */
void store_mem_yield(struct store_mem *mem, bool yield);

/* Rows with a live sibling, over all partitions, whose partition key begins with `kind`
 * ('d', 'b', 's'; 0 = any). */
uint64_t store_mem_live_rows(const struct store_mem *mem, char kind);
/* Writes a row as another coordinator that had seen `seen` would: siblings and malformed values. */
void store_mem_put(struct store_mem *mem, struct bytes partition_key, struct bytes sort_key,
                   const struct context *seen, struct bytes value);

/* A page of the partitions, those with keys of one size only (`key_size` not 0), all of slice 0:
 * `list` of a partition_source (shared/sweep.h). */
struct partitions_request;
int store_mem_list(void *mem, const struct partitions_request *request, struct buffer *listed,
                   bool *ret_more);

#endif
