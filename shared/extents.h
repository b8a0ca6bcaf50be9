/* extents: where in a sparse file blocks may be stored. */
#ifndef RINGFS_SHARED_EXTENTS_H
#define RINGFS_SHARED_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/bytes.h"

/* Ranges of block numbers, in order, apart from each other. Always at least what is stored: when
 * there would be more than EXTENTS_MAX, the smallest hole is forgotten. Pure. Zero-initialized =
 * nothing is stored. */
enum { EXTENTS_MAX = 64 };

struct extent {
    uint64_t first, end;
};

struct extents {
    uint32_t n;
    struct extent at[EXTENTS_MAX];
};

/* A file without holes. */
struct extents extents_dense(uint64_t end);
bool extents_are_dense(const struct extents *extents, uint64_t end);
void extents_add(struct extents *extents, uint64_t first, uint64_t end);
void extents_join(struct extents *extents, const struct extents *more);
/* A hole for which there is no room is not made. */
void extents_remove(struct extents *extents, uint64_t first, uint64_t end);
void extents_subtract(struct extents *extents, const struct extents *less);
bool extents_have(const struct extents *extents, uint64_t block);
/* The first block at or behind `block` that may be stored, or that is not. UINT64_MAX: none. */
uint64_t extents_next_stored(const struct extents *extents, uint64_t block);
uint64_t extents_next_hole(const struct extents *extents, uint64_t block);
/* How many bytes of a file of `size` bytes they cover. */
uint64_t extents_bytes(const struct extents *extents, uint64_t size);

/* docs/schema.md */
void extents_encode(const struct extents *extents, struct buffer *into);
/* ERR_INVALID for anything malformed. */
int extents_decode(struct bytes encoded, struct extents *ret);

#endif
