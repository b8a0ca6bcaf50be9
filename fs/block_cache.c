/* block_cache: blocks of open files as they are stored, kept for what is read of them next. */
#include "fs/block_cache.h"

#include <stdlib.h>

#include "shared/bytes.h"

static struct cached_block *find(const struct block_cache *cache, const struct blocks *blocks,
                                 uint64_t index) {
    const struct cached_place place = {blocks, index};
    struct cached_block *block = NULL;
    HASH_FIND(hh, cache->all, &place, sizeof place, block);
    return block;
}

static void drop(struct block_cache *cache, struct cached_block *block) {
    HASH_DELETE(hh, cache->all, block);
    free(block->data);
    free(block);
}

const struct cached_block *block_cache_find(struct block_cache *cache, const struct blocks *blocks,
                                            uint64_t index) {
    struct cached_block *block = find(cache, blocks, index);
    if (block != NULL && block->hh.next != NULL) {
        HASH_DELETE(hh, cache->all, block); /* added again, it is the last one */
        HASH_ADD(hh, cache->all, place, sizeof block->place, block);
    }
    return block;
}

void block_cache_drop(struct block_cache *cache, const struct blocks *blocks, uint64_t index) {
    struct cached_block *block = find(cache, blocks, index);
    if (block != NULL) {
        drop(cache, block);
    }
}

void block_cache_put(struct block_cache *cache, const struct blocks *blocks, uint64_t index,
                     uint8_t *data) {
    block_cache_drop(cache, blocks, index);
    struct cached_block *block = memory_new(1, sizeof *block);
    block->place = (struct cached_place){blocks, index};
    block->data = data;
    HASH_ADD(hh, cache->all, place, sizeof block->place, block);
}

void block_cache_drop_range(struct block_cache *cache, const struct blocks *blocks, uint64_t first,
                            uint64_t end) {
    struct cached_block *block;
    struct cached_block *next;
    HASH_ITER(hh, cache->all, block, next) {
        const struct cached_place *place = &block->place;
        if (place->blocks == blocks && place->index >= first && place->index < end) {
            drop(cache, block);
        }
    }
}

void block_cache_shrink(struct block_cache *cache, uint64_t n_max) {
    while (block_cache_count(cache) > n_max) {
        drop(cache, cache->all); /* the first is the least recently used */
    }
}

uint32_t block_cache_count(const struct block_cache *cache) {
    return HASH_COUNT(cache->all);
}
