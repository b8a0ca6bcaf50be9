/* segment_delta: a value as what differs from another value, which lies in a segment. */
#ifndef RINGFS_NODE_SEGMENT_DELTA_H
#define RINGFS_NODE_SEGMENT_DELTA_H

#include "node/segment.h"

/* A few bytes of a large value that change need not cost the whole value again: LevelDB keeps the
 * *delta*, the pieces that are new, with the place of its *base*, the record of an older value.
 * The base of most deltas is a record of the same key; it may be one of another key, too, whose
 * value is known to be much the same (disk_put.like). A base is never a delta itself. Pure.
 *
 * What follows the place of the base in LevelDB (segment.h), numbers little-endian:
 *   0  1  1 = the base is a record of another key
 *   1  2  bytes of the base's key
 *   3  4  size of the value
 *   7  8  disk_sum() of the value
 *  15  4  where the value's first byte would be in the base (signed)
 *  19     the pieces: offset (4), size (4), bytes; ascending, without overlap. What lies between
 *         them is the base's */
enum {
    SEGMENT_DELTA_HEAD = 19,
    SEGMENT_DELTA_VALUE_MIN = SEGMENT_LARGE_SIZE, /* smaller values are written whole */
    SEGMENT_DELTA_MAX = 16 << 10,     /* of one that stays: then the value is written whole anew */
    SEGMENT_DELTA_LIKE_MAX = 24 << 10 /* of one to a record of another key */
};

struct segment_delta {
    bool of_other;
    size_t key_size; /* of the base */
    size_t size;     /* of the value */
    uint64_t sum;
    int64_t skew; /* the value's first byte in the base */
    struct bytes pieces;
};

/* What makes `value` of `base`, whose first byte is expected at `at` in it. False when that takes
 * more than `max` bytes, or more than half the value. Sets skew, size and pieces, which lie in
 * `pieces` (cleared first). */
bool segment_delta_make(struct bytes base, struct bytes value, size_t at, size_t max,
                        struct buffer *pieces, struct segment_delta *ret);
void segment_delta_encode(const struct segment_delta *delta, struct buffer *into);
/* 0 or ERR_CORRUPT; pieces are borrowed, and within the value. */
int segment_delta_decode(struct bytes encoded, struct segment_delta *ret);
/* The value of a decoded delta into `room` (delta->size bytes); its sum is the caller's to compare.
 * ERR_CORRUPT: the base has not all that it takes. */
int segment_delta_apply(const struct segment_delta *delta, struct bytes base, uint8_t *room);

#endif
