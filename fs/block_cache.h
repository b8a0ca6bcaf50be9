/* block_cache: blocks of open files as they are stored, kept for what is read of them next. */
#ifndef RINGFS_FS_BLOCK_CACHE_H
#define RINGFS_FS_BLOCK_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "shared/hash.h"

/* A program that reads here and there asks for a few KiB of a block each time. The block is fetched
 * as a whole then, and stays here, the least recently used goes first. It lives no longer than its
 * file's view does: what changes the contents here, or shows another version of them, drops it
 * (blocks.h). Whether that version is the latest is the reader's business. One thread; nothing here
 * suspends. */
struct blocks;

struct cached_place {
    const struct blocks *blocks;
    uint64_t index;
};
_Static_assert(sizeof(struct cached_place) == sizeof(void *) + sizeof(uint64_t), "hashed whole");

struct cached_block {
    struct cached_place place;
    uint8_t *data; /* BLOCK_SIZE */
    UT_hash_handle hh;
};

/* Zero-initialize. */
struct block_cache {
    struct cached_block *all; /* by place, in the order of their last use */
    uint64_t clock;           /* rises with each change of any file's blocks: see blocks.view */
    uint64_t n_found, n_fetched;
};

/* The block, now the most recently used; NULL = not here. Good until the task suspends. */
const struct cached_block *block_cache_find(struct block_cache *cache, const struct blocks *blocks,
                                            uint64_t index);
/* Keeps a block, in place of what was kept of it. Takes `data`: BLOCK_SIZE bytes of malloc(). */
void block_cache_put(struct block_cache *cache, const struct blocks *blocks, uint64_t index,
                     uint8_t *data);
/* Drops one block, or those of [first, end). */
void block_cache_drop(struct block_cache *cache, const struct blocks *blocks, uint64_t index);
void block_cache_drop_range(struct block_cache *cache, const struct blocks *blocks, uint64_t first,
                            uint64_t end);
/* Drops the least recently used until at most `n_max` are left. */
void block_cache_shrink(struct block_cache *cache, uint64_t n_max);
uint32_t block_cache_count(const struct block_cache *cache);

#endif
