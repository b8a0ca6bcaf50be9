/* blocks: the blocks of one open file that are in memory: being assembled, on their way, or kept.
 */
#include "fs/blocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/namespace_available.h"

void blocks_init(struct blocks *blocks, struct mount *mount, const struct id128 *contents) {
    *blocks = (struct blocks){.mount = mount, .contents = *contents};
    blocks->view = ++mount->cached.clock;
}

/* Of [first, end) something else is to be read from now on, also by who has begun to. */
static void outdate_cached(struct blocks *blocks, uint64_t first, uint64_t end) {
    blocks->view = ++blocks->mount->cached.clock;
    if (blocks->cached) {
        block_cache_drop_range(&blocks->mount->cached, blocks, first, end);
    }
}

void blocks_forget_cached(struct blocks *blocks) {
    outdate_cached(blocks, 0, UINT64_MAX);
}

struct block *blocks_find(struct blocks *blocks, uint64_t index) {
    struct block **at = &blocks->first;
    while (*at != NULL && (*at)->index != index) {
        at = &(*at)->next;
    }
    struct block *block = *at;
    if (block != NULL) {
        *at = block->next;
        block->next = blocks->first;
        blocks->first = block;
    }
    return block;
}

static void block_free(struct mount *mount, struct block *block) {
    mount->n_dirty_bytes -= BLOCK_SIZE;
    task_wake_one(&mount->room);
    block_seen_release(&block->seen);
    free(block->written);
    free(block->on_way);
    free(block->data);
    free(block);
}

/* Out of memory; one that is on its way ends when it has arrived. */
static void forget(struct blocks *blocks, struct block *block) {
    struct block **at = &blocks->first;
    while (*at != block) {
        at = &(*at)->next;
    }
    *at = block->next;
    blocks->n--;
    if (block->sending) {
        block->doomed = true;
    } else {
        block_free(blocks->mount, block);
    }
}

void blocks_release(struct blocks *blocks) {
    assert(blocks->n_sending == 0);
    blocks_forget_cached(blocks);
    while (blocks->first != NULL) {
        forget(blocks, blocks->first);
    }
}

void blocks_wait(struct blocks *blocks) {
    while (blocks->n_sending > 0) {
        task_wait_uninterrupted(&blocks->sent);
    }
}

void blocks_drop(struct blocks *blocks) {
    blocks_wait(blocks);
    blocks_release(blocks);
    blocks->error = 0;
    blocks->unsynced_ns = 0;
}

static void note_written(struct block *block, uint32_t from, uint32_t to) {
    if (!block->blocks->shared) {
        return;
    }
    if (block->written == NULL) {
        block->written = memory_new(1, sizeof *block->written);
    }
    written_add(block->written, from, to);
}

/* What did not arrive is to be written still. */
static void take_back(struct block *block) {
    if (block->written == NULL) {
        block->written = block->on_way;
    } else if (block->on_way != NULL) {
        written_join(block->written, block->on_way);
        free(block->on_way);
    }
    block->on_way = NULL;
}

/* A patch arrived: what else is stored of the block may be others'. It is not sent again by an
 * fsync, which asks the nodes instead: by then the bytes may be others', too. */
static void patched(struct block *block) {
    struct blocks *blocks = block->blocks;
    block_seen_release(&block->seen);
    blocks->unsynced_ns = block->synced ? blocks->unsynced_ns : mount_now_ns(blocks->mount);
    block->synced = true;
}

static void sent(struct block *block, int status) {
    struct blocks *blocks = block->blocks;
    block->sending = false;
    blocks->n_sending--;
    if (status == 0 && block->patching) {
        patched(block);
    }
    block->patching = false;
    if (status != 0) {
        take_back(block);
        block->dirty = true;
        blocks->error = blocks->error != 0 ? blocks->error : status;
    }
    free(block->on_way);
    block->on_way = NULL;
    bool arrived = status == 0 && !block->dirty;
    bool crowded =
        blocks->mount->n_dirty_bytes > MOUNT_DIRTY_MAX / 2 || blocks->n > BLOCKS_KEPT_MAX;
    /* A full block that is not on disks yet stays while there is room: an fsync sends it again,
     * which takes milliseconds, where waiting for the nodes' own sync would take a second. */
    bool done = block->partial || (block->size == BLOCK_SIZE && block->synced);
    if (arrived && (done || crowded) && !block->doomed) {
        blocks->unsynced_ns = block->synced ? blocks->unsynced_ns : mount_now_ns(blocks->mount);
        forget(blocks, block);
    } else if (block->doomed) {
        block_free(blocks->mount, block);
    }
    task_wake_all(&blocks->sent);
}

struct written block_written_here(const struct block *block) {
    struct written all = {{0}};
    if (block->written != NULL) {
        written_join(&all, block->written);
    }
    if (block->on_way != NULL) {
        written_join(&all, block->on_way);
    }
    return all;
}

/* What was written here, over what is stored now. */
static int merge(struct block *block) {
    const struct blocks *blocks = block->blocks;
    uint8_t *stored = memory_new(1, BLOCK_SIZE);
    uint32_t size = 0;
    int status = contents_get_block(blocks->mount->config.ns, &blocks->contents, block->index,
                                    stored, &size, &block->seen);
    if (status == 0) {
        const struct written all = block_written_here(block);
        written_keep(&all, block->data, stored);
        block->size = size > block->size ? size : block->size;
        block->partial = false;
    }
    free(stored);
    return status;
}

static int send_in_part(struct block *block, struct block_put *put) {
    struct namespace *ns = block->blocks->mount->config.ns;
    block->patching = false;
    put->manner = BLOCK_AS_SEEN;
    int status = ERR_CONFLICT;
    for (int i = 0; status == ERR_CONFLICT && i < BLOCKS_MERGES_MAX; i++) {
        status = i == 0 && block->seen.known ? 0 : merge(block);
        if (status == 0) {
            put->data = bytes_of(block->data, block->size);
            status = contents_put_block(ns, put, &block->seen);
            block->blocks->contended = block->blocks->contended || status == ERR_CONFLICT;
        }
    }
    return status == ERR_CONFLICT ? ERR_BUSY : status;
}

static int send_data(struct block *block) {
    const struct blocks *blocks = block->blocks;
    struct namespace *ns = blocks->mount->config.ns;
    struct block_put put = {.contents = blocks->contents,
                            .index = block->index,
                            .data = bytes_of(block->data, block->size),
                            .synced = block->synced};
    if (!blocks->shared) {
        return contents_put_block(ns, &put, &block->seen);
    }
    if (block->on_way != NULL && written_all(block->on_way)) {
        put.manner = blocks->contended ? BLOCK_IN_LINE : BLOCK_PLAIN;
        return contents_put_block(ns, &put, &block->seen);
    }
    return send_in_part(block, &put);
}

/* Blocks of one stripe that leave in one request. */
struct run {
    struct block *members[CONTENTS_TOGETHER_MAX];
    uint32_t n;
};

static int send_together(const struct run *run) {
    const struct blocks *blocks = run->members[0]->blocks;
    struct block_put puts[CONTENTS_TOGETHER_MAX];
    struct block_seen *seen[CONTENTS_TOGETHER_MAX];
    for (uint32_t i = 0; i < run->n; i++) {
        struct block *block = run->members[i];
        puts[i] = (struct block_put){.contents = blocks->contents,
                                     .index = block->index,
                                     .data = bytes_of(block->data, block->size),
                                     .synced = block->synced};
        seen[i] = &block->seen;
    }
    return contents_put_blocks(blocks->mount->config.ns, puts, run->n, seen);
}

static int send_patches(const struct run *run) {
    const struct blocks *blocks = run->members[0]->blocks;
    struct block_patch patches[CONTENTS_TOGETHER_MAX];
    struct buffer overlays[CONTENTS_TOGETHER_MAX] = {{0}};
    for (uint32_t i = 0; i < run->n; i++) {
        const struct block *block = run->members[i];
        written_overlay(block->on_way, block->data, &overlays[i]);
        patches[i] = (struct block_patch){.contents = blocks->contents,
                                          .index = block->index,
                                          .overlay = buffer_bytes(&overlays[i]),
                                          .synced = block->synced};
    }
    int status = contents_patch_blocks(blocks->mount->config.ns, patches, run->n);
    for (uint32_t i = 0; i < run->n; i++) {
        buffer_release(&overlays[i]);
    }
    return status;
}

/* The nodes do no patches, or not of what is there. */
static bool no_patches(int status) {
    return status == ERR_INVALID || status == ERR_NOT_SUPPORTED || status == ERR_TOO_BIG ||
           status == ERR_SIBLINGS;
}

static void send_run(void *arg) {
    struct run *run = arg;
    struct mount *mount = run->members[0]->blocks->mount;
    bool patching = run->members[0]->patching;
    int status = patching ? send_patches(run) : run->n > 1 ? send_together(run) : 0;
    bool each = patching ? no_patches(status) : run->n == 1;
    for (uint32_t i = 0; i < run->n; i++) {
        sent(run->members[i], each ? send_data(run->members[i]) : status);
    }
    free(run);
    mount_background_done(mount);
}

static bool waits(const struct block *block) {
    return block->dirty && !block->sending;
}

/* Whether it is stored whatever is there, and in no order with what others write. */
static bool goes_together(const struct block *block) {
    const struct blocks *blocks = block->blocks;
    bool whole = block->written != NULL && written_all(block->written);
    return waits(block) && (!blocks->shared || (whole && !blocks->contended));
}

/* Whether it is laid over what is stored: by a majority, which contents that only a minority knows
 * do without. */
static bool goes_as_patch(const struct block *block) {
    const struct blocks *blocks = block->blocks;
    bool fresh = contents_fresh(blocks->mount->config.ns, &blocks->contents);
    return waits(block) && !fresh && blocks->shared && block->written != NULL &&
           !written_all(block->written) && written_patches(block->written, block->size);
}

static struct block *peek(const struct blocks *blocks, uint64_t index) {
    struct block *block = blocks->first;
    while (block != NULL && block->index != index) {
        block = block->next;
    }
    return block;
}

static void add_to_run(struct run *run, struct block *block, bool synced) {
    struct blocks *blocks = block->blocks;
    block->dirty = false;
    block->sending = true;
    block->synced = synced;
    block->on_way = block->written;
    block->written = NULL;
    blocks->n_sending++;
    extents_add(&blocks->stored, block->index, block->index + 1);
    extents_add(&blocks->added, block->index, block->index + 1);
    run->members[run->n++] = block;
}

static void add_patch(struct run *run, struct block *block, bool synced) {
    add_to_run(run, block, synced);
    block->patching = true;
}

static void begin_send_patches(struct block *block, bool synced) {
    struct blocks *blocks = block->blocks;
    struct run *run = memory_new(1, sizeof *run);
    uint64_t stripe = block->index / STRIPE_BLOCKS;
    add_patch(run, block, synced);
    for (struct block *other = blocks->first; other != NULL; other = other->next) {
        bool room = run->n < CONTENTS_TOGETHER_MAX && blocks->n_sending < BLOCKS_SENDING_MAX;
        if (room && other->index / STRIPE_BLOCKS == stripe && goes_as_patch(other)) {
            add_patch(run, other, synced);
        }
    }
    mount_background(blocks->mount, send_run, run);
}

/* The block, and others of its stripe that can go together with it. May suspend only when no
 * further task can be made. */
static void begin_send(struct block *block, bool synced) {
    if (goes_as_patch(block)) {
        begin_send_patches(block, synced);
        return;
    }
    struct blocks *blocks = block->blocks;
    struct run *run = memory_new(1, sizeof *run);
    bool together = goes_together(block);
    add_to_run(run, block, synced);
    while (together && run->n < CONTENTS_TOGETHER_MAX && blocks->n_sending < BLOCKS_SENDING_MAX) {
        uint64_t index = run->members[0]->index + run->n;
        struct block *next = index % STRIPE_BLOCKS != 0 ? peek(blocks, index) : NULL;
        together = next != NULL && goes_together(next);
        if (together) {
            add_to_run(run, next, synced);
        }
    }
    mount_background(blocks->mount, send_run, run);
}

static struct block *oldest(struct blocks *blocks, bool dirty) {
    struct block *found = NULL;
    for (struct block *block = blocks->first; block != NULL; block = block->next) {
        if (block->dirty == dirty && !block->sending) {
            found = block;
        }
    }
    return found;
}

/* Waits for a sending of this file to end. */
static int wait_for_sent(struct blocks *blocks) {
    int status = task_wait(&blocks->sent);
    if (status == 0 && blocks->error != 0) {
        status = blocks->error;
        blocks->error = 0;
    }
    return status;
}

/* Until a further block may be in memory. */
static int make_room(struct blocks *blocks) {
    struct mount *mount = blocks->mount;
    for (;;) {
        bool full = mount->n_dirty_bytes + BLOCK_SIZE > MOUNT_DIRTY_MAX;
        if (!full && blocks->n < BLOCKS_MAX) {
            return 0;
        }
        struct block *clean = oldest(blocks, false);
        struct block *dirty = oldest(blocks, true);
        if (clean != NULL) {
            if (!clean->synced) {
                blocks->unsynced_ns = mount_now_ns(mount);
            }
            forget(blocks, clean);
            continue;
        }
        if (dirty != NULL && blocks->n_sending < BLOCKS_SENDING_MAX) {
            begin_send(dirty, false);
        }
        int status = blocks->n_sending > 0 ? wait_for_sent(blocks) : task_wait(&mount->room);
        if (status != 0) {
            return status;
        }
    }
}

/* Contents that are nobody else's: what is stored behind the end is what a write that failed has
 * left there. */
static int load(struct blocks *blocks, struct block *block, uint32_t held) {
    int status = contents_get_block(blocks->mount->config.ns, &blocks->contents, block->index,
                                    block->data, &block->size, &block->seen);
    if (status == 0 && block->size > held) {
        memset(block->data + held, 0, block->size - held);
        block->size = held;
    }
    return status;
}

/* The block in memory; its first `held` bytes are in the file. When they are `wanted` they are read
 * from the store first; of shared contents they are not, and the block is partial. */
static int take(struct blocks *blocks, uint64_t index, uint32_t held, bool wanted,
                struct block **ret) {
    *ret = blocks_find(blocks, index);
    if (*ret != NULL) {
        return 0;
    }
    int status = make_room(blocks);
    if (status != 0) {
        return status;
    }
    struct mount *mount = blocks->mount;
    struct block *block = memory_new(1, sizeof *block);
    *block = (struct block){.blocks = blocks, .index = index, .synced = true};
    block->data = memory_new(1, BLOCK_SIZE);
    mount->n_dirty_bytes += BLOCK_SIZE;
    mount_fit_cached(mount);
    if (!extents_have(&blocks->stored, index)) {
        block->seen.known = true; /* nothing was stored there */
    } else if (wanted && blocks->shared) {
        block->partial = true;
    } else if (wanted && held > 0) {
        status = load(blocks, block, held);
    }
    if (status != 0) {
        block_free(mount, block);
        return status;
    }
    block->next = blocks->first;
    blocks->first = block;
    blocks->n++;
    *ret = block;
    return 0;
}

/* A write that lies within one block. */
static int write_one(struct blocks *blocks, uint64_t offset, struct bytes data,
                     uint64_t file_size) {
    uint64_t index = offset / BLOCK_SIZE;
    uint32_t at = (uint32_t)(offset % BLOCK_SIZE);
    uint32_t end = at + (uint32_t)data.size;
    uint64_t begins = index * BLOCK_SIZE;
    uint64_t held = file_size > begins ? file_size - begins : 0;
    held = held < BLOCK_SIZE ? held : BLOCK_SIZE;
    bool covered = at == 0 && (end >= held || end == BLOCK_SIZE);
    covered = covered && (end == BLOCK_SIZE || !blocks->shared);
    struct block *block;
    int status = take(blocks, index, (uint32_t)held, !covered, &block);
    if (status != 0) {
        return status;
    }
    blocks->view = ++blocks->mount->cached.clock;
    block_cache_drop(&blocks->mount->cached, blocks, index);
    memcpy(block->data + at, data.data, data.size);
    note_written(block, at, end);
    block->size = end > block->size ? end : block->size;
    block->partial = block->partial && !written_all(block->written);
    block->dirty = true;
    return 0;
}

/* Those of [first, end) that wait: a writer that fills several at once has them sent together. Of
 * one that is partial more may come. */
static int send_full(struct blocks *blocks, uint64_t first, uint64_t end) {
    for (uint64_t i = first; i < end; i++) {
        struct block *block = peek(blocks, i);
        while (block != NULL && waits(block) && !block->partial &&
               blocks->n_sending >= BLOCKS_SENDING_MAX) {
            int status = wait_for_sent(blocks);
            if (status != 0) {
                return status;
            }
        }
        if (block != NULL && waits(block) && !block->partial) {
            begin_send(block, false);
        }
    }
    return 0;
}

int blocks_write(struct blocks *blocks, uint64_t offset, struct bytes data, uint64_t file_size) {
    int status = 0;
    uint64_t unsent = offset / BLOCK_SIZE;
    for (size_t done = 0; status == 0 && done < data.size;) {
        size_t part = BLOCK_SIZE - (size_t)((offset + done) % BLOCK_SIZE);
        part = part < data.size - done ? part : data.size - done;
        status = write_one(blocks, offset + done, bytes_of(data.data + done, part), file_size);
        done += part;
        file_size = offset + done > file_size ? offset + done : file_size;
        uint64_t full = (offset + done) / BLOCK_SIZE; /* all before it are */
        bool many = full - unsent >= CONTENTS_TOGETHER_MAX || full % STRIPE_BLOCKS == 0;
        if (status == 0 && (many || done == data.size)) {
            status = send_full(blocks, unsent, full);
            unsent = full;
        }
    }
    return status;
}

/* Blocks that are stored but perhaps not on disks yet are sent once more. */
static void unsynced_to_dirty(struct blocks *blocks) {
    for (struct block *block = blocks->first; block != NULL; block = block->next) {
        bool again = block->sending || !block->synced;
        block->dirty = block->dirty || (again && !block->patching);
    }
}

static void begin_sends(struct blocks *blocks, bool synced) {
    while (blocks->n_sending < BLOCKS_SENDING_MAX) {
        struct block *block = oldest(blocks, true);
        if (block == NULL) {
            return;
        }
        begin_send(block, synced);
    }
}

static void synced_now(struct blocks *blocks) {
    blocks->unsynced_ns = 0;
    for (struct block *block = blocks->first, *next; block != NULL; block = next) {
        next = block->next;
        block->synced = true;
        if (block->size == BLOCK_SIZE && !block->dirty) {
            forget(blocks, block);
        }
    }
}

static int wait_until_synced(struct blocks *blocks) {
    int64_t left_ns = blocks->unsynced_ns + BLOCKS_SYNCED_AFTER_NS - mount_now_ns(blocks->mount);
    int status = blocks->unsynced_ns == 0 || left_ns <= 0 ? 0 : task_sleep(left_ns);
    if (status == 0) {
        blocks->unsynced_ns = 0;
    }
    return status;
}

static void extend_deadline(struct mount *mount) {
    if (task_deadline_ns(task_self()) != 0) {
        task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    }
}

static int flush_dirty(struct blocks *blocks, bool synced) {
    blocks->error = 0;
    begin_sends(blocks, synced);
    while (blocks->n_sending > 0) {
        int waited = blocks->error == 0 ? task_wait(&blocks->sent) : 0;
        if (waited != 0) {
            return waited;
        }
        if (blocks->error != 0) {
            blocks_wait(blocks);
            break;
        }
        /* Each block that arrives gives the rest another full time: what bounds the wait is
         * silence, not the size of the file. */
        extend_deadline(blocks->mount);
        begin_sends(blocks, synced);
    }
    int status = blocks->error;
    blocks->error = 0;
    return status;
}

/* Of more than a few blocks, and of patches, the nodes are asked to bring them to their disks. */
static bool too_many_to_send_again(const struct blocks *blocks) {
    uint32_t n = 0, n_dirty = 0;
    bool patching = false;
    for (const struct block *block = blocks->first; block != NULL; block = block->next) {
        n_dirty += block->dirty;
        n += block->sending || (!block->dirty && !block->synced);
        patching = patching || block->patching;
    }
    return patching || blocks->unsynced_ns != 0 || n > BLOCKS_AGAIN_MAX ||
           n_dirty > BLOCKS_EACH_SYNCED_MAX;
}

int blocks_flush(struct blocks *blocks, bool synced) {
    const struct mount_config *config = &blocks->mount->config;
    if (!synced) {
        return flush_dirty(blocks, false);
    }
    if (config->sync_nodes != NULL && too_many_to_send_again(blocks)) {
        int status = flush_dirty(blocks, false);
        if (status != 0) {
            return status;
        }
        if (config->sync_nodes(config->nodes) == 0) {
            extend_deadline(blocks->mount);
            synced_now(blocks);
            return 0;
        }
    }
    unsynced_to_dirty(blocks);
    int status = flush_dirty(blocks, true);
    return status == 0 ? wait_until_synced(blocks) : status;
}

bool blocks_may_hold(struct blocks *blocks, uint64_t index) {
    return extents_have(&blocks->stored, index) || blocks_find(blocks, index) != NULL;
}

int blocks_clear(struct blocks *blocks, uint64_t first, uint64_t end) {
    blocks_wait(blocks);
    outdate_cached(blocks, first, end);
    for (struct block *block = blocks->first, *next; block != NULL; block = next) {
        next = block->next;
        if (block->index >= first && block->index < end) {
            forget(blocks, block);
        }
    }
    int status = contents_remove_stored(blocks->mount->config.ns, &blocks->contents,
                                        &blocks->stored, first, end);
    outdate_cached(blocks, first, end);
    if (status == 0) {
        extents_remove(&blocks->stored, first, end);
        extents_remove(&blocks->added, first, end);
        if (blocks->cleared.n < EXTENTS_MAX) { /* else they count as stored still */
            extents_add(&blocks->cleared, first, end);
        }
    }
    return status;
}

int blocks_truncate(struct blocks *blocks, uint64_t size) {
    uint64_t end = (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
    uint32_t kept = (uint32_t)(size % BLOCK_SIZE);
    blocks_wait(blocks);
    if (kept > 0 && blocks_may_hold(blocks, end - 1)) {
        struct block *last;
        int status = take(blocks, end - 1, BLOCK_SIZE, true, &last);
        status = status == 0 && last->partial ? merge(last) : status;
        if (status != 0) {
            return status;
        }
        if (last->size > kept) {
            outdate_cached(blocks, end - 1, end);
            memset(last->data + kept, 0, last->size - kept);
            note_written(last, kept, BLOCK_SIZE);
            last->size = kept;
            last->dirty = true;
        }
    }
    return blocks_clear(blocks, end, UINT64_MAX);
}

void blocks_extents(const struct blocks *blocks, struct extents *before) {
    extents_subtract(before, &blocks->cleared);
    extents_join(before, &blocks->added);
}

bool blocks_pending(const struct blocks *blocks) {
    bool pending = blocks->n_sending > 0;
    for (const struct block *block = blocks->first; block != NULL; block = block->next) {
        pending = pending || block->dirty;
    }
    return pending;
}
