/* rowkey: where the rows, tallies and marks of a node lie in its ordered storage. */
#ifndef RINGFS_NODE_CORE_ROWKEY_H
#define RINGFS_NODE_CORE_ROWKEY_H

#include "shared/bytes.h"

/* Layout (also in docs/disk.md): a slice is one contiguous range, within it a partition, within it
 * the rows in sort-key order.
 *
 *   row    'r'  slice, 2 bytes big-endian  size of partition key, 1 byte  partition key  sort key
 *   tally  't'  slice, 2 bytes big-endian  size of partition key, 1 byte  partition key
 *   marks  'm'  name
 *   hints  'h'  target, 2 bytes big-endian  then as a row from its slice on
 *
 * Of strict batches (chain.h):
 *
 *   promise 'p'  slice
 *   tail    's'  slice  size of partition key  partition key
 *   pending 'q'  slice  size of partition key  partition key
 *
 * Pure. */
enum { ROWKEY_HEAD = 4, ROWKEY_HINT_HEAD = 6 };

/* The slice of a row's key; false for keys of other kinds. */
bool rowkey_slice(struct bytes key, uint16_t *ret_slice);

/* Where the rows of a slice begin, and where they end (exclusive): ROWKEY_SLICE_SIZE bytes, which
 * with a row key of exchange.h behind them are the key of that row. */
enum { ROWKEY_SLICE_SIZE = 3 };
void rowkey_put_slice(struct buffer *into, uint32_t slice);
/* The same for keys of another kind; where there is one key of the kind for a slice, that key. */
void rowkey_put_kind(struct buffer *into, uint8_t kind, uint32_t slice);

/* All of these append to `into`: the key of a row; */
void rowkey_put_row(struct buffer *into, uint16_t slice, struct bytes partition_key,
                    struct bytes sort_key);
/* of a partition's tally; */
void rowkey_put_tally(struct buffer *into, uint16_t slice, struct bytes partition_key);
/* the first key after all rows of the partition. */
void rowkey_put_end(struct buffer *into, uint16_t slice, struct bytes partition_key);

/* The key of a hint; the first and the first not of all hints for a target. */
void rowkey_put_hint(struct buffer *into, uint16_t target, uint16_t slice,
                     struct bytes partition_key, struct bytes sort_key);
void rowkey_put_hints(struct buffer *into, uint32_t target);

/* A hint's key taken apart; its parts are borrowed from it. */
struct hint_key {
    uint16_t target;
    uint16_t slice;
    struct bytes partition_key;
    struct bytes sort_key;
};
int rowkey_hint(struct bytes key, struct hint_key *ret);
/* The keys of chain.h. */
void rowkey_put_promise(struct buffer *into, uint16_t slice);
void rowkey_put_tail(struct buffer *into, uint16_t slice, struct bytes partition_key);
void rowkey_put_pending(struct buffer *into, uint16_t slice, struct bytes partition_key);
/* Takes one of them apart: the partition key, borrowed, is empty for a promise. ERR_INVALID when it
 * is none. */
int rowkey_chain(struct bytes key, uint16_t *ret_slice, struct bytes *ret_partition);

/* The partition key of a tally's key, borrowed from it; ERR_INVALID when it is none. */
int rowkey_tally(struct bytes key, struct bytes *ret_partition);
/* The sort key of a row's key, borrowed from it; ERR_INVALID when the key is not a row of this
 * partition. */
int rowkey_sort_key(struct bytes key, struct bytes partition_key, struct bytes *ret);
/* The partition and sort key of a row's key, borrowed from it; ERR_INVALID when it is not a row's.
 */
int rowkey_split(struct bytes key, struct bytes *ret_partition, struct bytes *ret_sort);

#endif
