/* patches: changes of a small file's contents, kept so that they can be applied again to a newer
 * version. */
#ifndef RINGFS_FS_PATCHES_H
#define RINGFS_FS_PATCHES_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/bytes.h"

/* The contents of a small file lie in its record. A buffered change is kept as what was asked
 * ("these bytes at the end"), not as its result, so that when another mount wrote the record first
 * both changes arrive. Pure. Zero-initialized = none. */
enum { PATCHES_SIZE_MAX = 64 << 10 }; /* of the list; whoever adds writes it out beyond */

enum patch_kind {
    PATCH_WRITE = 1,    /* `data` at `offset` */
    PATCH_APPEND = 2,   /* `data` at the end */
    PATCH_TRUNCATE = 3, /* cut or extend with zeros to `offset` bytes */
};

struct patch {
    enum patch_kind kind;
    uint64_t offset;
    struct bytes data; /* borrowed from the list */
};

struct patches {
    struct buffer list;
};

/* Frees the memory; the list is empty and usable afterwards. */
void patches_release(struct patches *patches);
void patches_clear(struct patches *patches);
/* Copies the data. */
void patches_add(struct patches *patches, const struct patch *patch);
static inline bool patches_empty(const struct patches *patches) {
    return patches->list.size == 0;
}
static inline bool patches_full(const struct patches *patches) {
    return patches->list.size >= PATCHES_SIZE_MAX;
}

/* Walks the list: `reader` begins as patches_begin(); false at the end. */
struct reader patches_begin(const struct patches *patches);
bool patches_next(struct reader *reader, struct patch *ret);

/* Where a patch ends in contents of `size` bytes: the size that they need to have then at least. */
uint64_t patch_end(const struct patch *patch, uint64_t size);
/* Applies one patch to contents that are wholly in memory. ERR_TOO_BIG, and nothing done, when they
 * would outgrow `size_max`. */
int patch_apply(const struct patch *patch, struct buffer *contents, size_t size_max);
int patches_apply(const struct patches *patches, struct buffer *contents, size_t size_max);

#endif
