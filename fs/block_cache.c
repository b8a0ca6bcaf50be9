/* block_cache: blocks of open files as they are stored, kept for what is read of them next. */
#include "fs/block_cache.h"

#include <stdbool.h>
#include <stdlib.h>

#include "shared/bytes.h"

static struct cached_block **bucket_of(struct block_cache *cache, const struct blocks *blocks,
                                       uint64_t index) {
    uint64_t hash = ((uint64_t)(uintptr_t)blocks >> 4) * 0x9e3779b97f4a7c15ull + index;
    return &cache->buckets[(hash ^ hash >> 32) % BLOCK_CACHE_BUCKETS];
}

static struct cached_block **place_of(struct block_cache *cache, const struct blocks *blocks,
                                      uint64_t index) {
    struct cached_block **at = bucket_of(cache, blocks, index);
    while (*at != NULL && ((*at)->blocks != blocks || (*at)->index != index)) {
        at = &(*at)->next;
    }
    return at;
}

static void unlist(struct block_cache *cache, struct cached_block *block) {
    *(block->newer != NULL ? &block->newer->older : &cache->newest) = block->older;
    *(block->older != NULL ? &block->older->newer : &cache->oldest) = block->newer;
}

static void list(struct block_cache *cache, struct cached_block *block) {
    block->newer = NULL;
    block->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = block;
    cache->newest = block;
}

const struct cached_block *block_cache_find(struct block_cache *cache, const struct blocks *blocks,
                                            uint64_t index) {
    struct cached_block *block = *place_of(cache, blocks, index);
    if (block != NULL && block != cache->newest) {
        unlist(cache, block);
        list(cache, block);
    }
    return block;
}

void block_cache_drop(struct block_cache *cache, const struct blocks *blocks, uint64_t index) {
    struct cached_block **at = place_of(cache, blocks, index);
    struct cached_block *block = *at;
    if (block != NULL) {
        *at = block->next;
        unlist(cache, block);
        cache->n--;
        free(block->data);
        free(block);
    }
}

void block_cache_put(struct block_cache *cache, const struct blocks *blocks, uint64_t index,
                     uint8_t *data) {
    block_cache_drop(cache, blocks, index);
    struct cached_block **bucket = bucket_of(cache, blocks, index);
    struct cached_block *block = memory_new(1, sizeof *block);
    *block = (struct cached_block){.blocks = blocks, .index = index, .data = data, .next = *bucket};
    *bucket = block;
    list(cache, block);
    cache->n++;
}

void block_cache_drop_range(struct block_cache *cache, const struct blocks *blocks, uint64_t first,
                            uint64_t end) {
    for (struct cached_block *block = cache->newest, *older; block != NULL; block = older) {
        older = block->older;
        if (block->blocks == blocks && block->index >= first && block->index < end) {
            block_cache_drop(cache, blocks, block->index);
        }
    }
}

void block_cache_shrink(struct block_cache *cache, uint64_t n_max) {
    while (cache->n > n_max) {
        block_cache_drop(cache, cache->oldest->blocks, cache->oldest->index);
    }
}
