/* blocks_read: reading blocks: from memory, from the mount's block cache, and from the store. */
#include <stdlib.h>
#include <string.h>

#include "fs/blocks.h"

/* One request's part of a reading; lives until the whole reading has ended. */
struct part {
    struct blocks *blocks;
    struct mount *mount;
    struct id128 contents;
    uint64_t view; /* of the blocks when the reading began */
    uint64_t offset;
    uint8_t *into;
    size_t size;
    uint64_t end; /* of the file */
    bool hole;
    bool whole; /* the block is fetched and kept */
    /* Of a partial block: a copy of what was written here when the reading began. It may be on its
     * way, so that the store shows it or not. Owned; NULL = none. */
    uint8_t *mine;
    struct written *written;
};

static void part_release(struct part *part) {
    free(part->mine);
    free(part->written);
}

static void copy_mine(struct part *part, const struct block *block, const struct written *all) {
    part->mine = memory_new(1, BLOCK_SIZE);
    part->written = memory_new(1, sizeof *part->written);
    memcpy(part->mine, block->data, BLOCK_SIZE);
    *part->written = *all;
}

/* What is stored, with what was written here over it. */
static int read_partial(struct part *part) {
    struct namespace *ns = part->mount->config.ns;
    uint8_t *stored = memory_new(1, BLOCK_SIZE);
    uint64_t index = part->offset / BLOCK_SIZE;
    uint32_t size = 0;
    int status = contents_read_block(ns, &part->contents, index, stored, &size);
    part->hole = status == 0 && size == 0;
    if (status == 0) {
        written_keep(part->written, part->mine, stored);
        memcpy(part->into, part->mine + part->offset % BLOCK_SIZE, part->size);
    }
    free(stored);
    return status;
}

/* How many bytes the block has of a file that ends there. */
static uint64_t held_of(uint64_t index, uint64_t end) {
    uint64_t left = end > index * BLOCK_SIZE ? end - index * BLOCK_SIZE : 0;
    return left < BLOCK_SIZE ? left : BLOCK_SIZE;
}

/* Fetches the block and keeps it, unless it was changed here meanwhile, or bytes are on their way
 * to it that the record speaks of already. */
static int read_whole(struct part *part) {
    struct mount *mount = part->mount;
    uint64_t index = part->offset / BLOCK_SIZE;
    uint8_t *data = memory_resize(NULL, BLOCK_SIZE);
    uint32_t stored = 0;
    int status = contents_read_block(mount->config.ns, &part->contents, index, data, &stored);
    part->hole = status == 0 && stored == 0;
    if (status == 0) {
        memcpy(part->into, data + part->offset % BLOCK_SIZE, part->size);
    }
    if (status != 0 || stored < held_of(index, part->end) || part->blocks->view != part->view) {
        free(data);
        return status;
    }
    mount->cached.n_fetched++;
    part->blocks->cached = true;
    block_cache_put(&mount->cached, part->blocks, index, data);
    mount_fit_cached(mount);
    return 0;
}

static int read_part(void *arg) {
    struct part *part = arg;
    if (part->mine != NULL) {
        return read_partial(part);
    }
    if (part->whole) {
        return read_whole(part);
    }
    return contents_read_run(part->mount->config.ns, &part->contents, part->offset, part->into,
                             part->size, &part->hole);
}

static bool all_mine(struct part *part, const struct block *block) {
    const struct written all = block_written_here(block);
    uint32_t at = (uint32_t)(part->offset % BLOCK_SIZE);
    bool has = written_has(&all, at, at + (uint32_t)part->size);
    if (!has) {
        copy_mine(part, block, &all);
    }
    return has;
}

static bool read_from_cache(struct part *part) {
    struct block_cache *cache = &part->mount->cached;
    uint64_t index = part->offset / BLOCK_SIZE;
    const struct cached_block *block = block_cache_find(cache, part->blocks, index);
    if (block == NULL) {
        return false;
    }
    memcpy(part->into, block->data + part->offset % BLOCK_SIZE, part->size);
    cache->n_found++;
    return true;
}

/* Whether the part was read without the store. */
static bool read_from_memory(struct part *part, bool cached) {
    struct blocks *blocks = part->blocks;
    uint64_t index = part->offset / BLOCK_SIZE;
    struct block *block = blocks_find(blocks, index);
    if (block != NULL && block->partial && !all_mine(part, block)) {
        return false;
    }
    if (block != NULL) {
        memcpy(part->into, block->data + part->offset % BLOCK_SIZE, part->size);
        return true;
    }
    if (!extents_have(&blocks->stored, index)) {
        memset(part->into, 0, part->size);
        return true;
    }
    return cached && read_from_cache(part);
}

/* Whether the block's part can be read in the same request as what is before it. */
static bool joins(const struct part *before, const struct part *part) {
    size_t size = before->size + part->size;
    bool plain = before->mine == NULL && part->mine == NULL;
    return plain && before->offset + before->size == part->offset &&
           contents_run(before->offset, size) == size;
}

/* Whether it lies in one block, of which there is more. */
static bool is_piece(const struct part *part) {
    bool small = part->size <= BLOCKS_WHOLE_MAX && part->end <= BLOCKS_WHOLE_FILE_MAX;
    uint64_t held = held_of(part->offset / BLOCK_SIZE, part->end);
    bool one = part->offset % BLOCK_SIZE + part->size <= BLOCK_SIZE;
    return part->mine == NULL && one && small && part->size < held;
}

/* What the store is to be asked for: how many parts, of which there is room for one each block. */
static uint32_t list_parts(struct blocks *blocks, const struct blocks_reading *reading,
                           struct part *parts) {
    uint32_t n = 0;
    for (size_t done = 0; done < reading->size;) {
        struct part part = {.blocks = blocks,
                            .mount = blocks->mount,
                            .contents = blocks->contents,
                            .view = blocks->view,
                            .offset = reading->offset + done,
                            .into = reading->into + done,
                            .end = reading->end};
        part.size = BLOCK_SIZE - (size_t)(part.offset % BLOCK_SIZE);
        part.size = part.size < reading->size - done ? part.size : reading->size - done;
        done += part.size;
        if (read_from_memory(&part, reading->cached)) {
            continue;
        }
        if (n > 0 && joins(&parts[n - 1], &part)) {
            parts[n - 1].size += part.size;
        } else {
            parts[n++] = part;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        parts[i].whole = reading->cached && is_piece(&parts[i]);
    }
    return n;
}

int blocks_read(struct blocks *blocks, const struct blocks_reading *reading, bool *ret_hole) {
    struct part *parts = memory_new(reading->size / BLOCK_SIZE + 2, sizeof *parts);
    uint32_t n = list_parts(blocks, reading, parts);
    struct task_group group = {0};
    int status = 0;
    if (n == 1) {
        status = read_part(&parts[0]);
    } else {
        for (uint32_t i = 0; i < n && group.status == 0; i++) {
            task_group_wait(&group, BLOCKS_READING_MAX - 1);
            task_group_run(&group, read_part, &parts[i]);
        }
        task_group_wait(&group, 0);
        status = group.status;
    }
    for (uint32_t i = 0; i < n; i++) {
        *ret_hole = *ret_hole || parts[i].hole;
        part_release(&parts[i]);
    }
    free(parts);
    return status;
}
