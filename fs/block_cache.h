/* block_cache: blocks of open files as they are stored, kept for what is read of them next. */
#ifndef RINGFS_FS_BLOCK_CACHE_H
#define RINGFS_FS_BLOCK_CACHE_H

#include <stddef.h>
#include <stdint.h>

/* A program that reads here and there asks for a few KiB of a block each time. The block is fetched
 * as a whole then, and stays here, the least recently used goes first. It lives no longer than its
 * file's view does: what changes the contents here, or shows another version of them, drops it
 * (blocks.h). Whether that version is the latest is the reader's business. One thread; nothing here
 * suspends. */
struct blocks;

struct cached_block {
    const struct blocks *blocks;
    uint64_t index;
    uint8_t *data;             /* BLOCK_SIZE */
    struct cached_block *next; /* in its bucket */
    struct cached_block *newer, *older;
};

enum { BLOCK_CACHE_BUCKETS = 1024 };

/* Zero-initialize. */
struct block_cache {
    struct cached_block *buckets[BLOCK_CACHE_BUCKETS];
    struct cached_block *newest, *oldest;
    uint32_t n;
    uint64_t clock; /* rises with each change of any file's blocks: see blocks.view */
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

#endif
