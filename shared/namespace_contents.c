/* namespace_contents: the blocks of files. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

enum {
    BLOCKS_IN_FLIGHT = 16,
    STRIPES_IN_FLIGHT = 8,
};

struct id128 contents_new(struct namespace *ns) {
    return namespace_id(ns);
}

/* A read of bytes of one block. */
struct part_read {
    struct namespace *ns;
    const struct id128 *contents;
    uint64_t index;
    uint32_t from; /* offset in the block */
    uint8_t *into;
    size_t size;
    uint32_t stored; /* result: bytes of the block that are stored */
};

/* Zeros where nothing is stored. */
static int part_read(struct part_read *part) {
    struct key partition = key_stripe(part->contents, part->index / STRIPE_BLOCKS);
    struct key sort = key_block(part->index);
    struct store *store = part->ns->store;
    struct store_row row = {0};
    int err = store->get(store->self, key_bytes(&partition), key_bytes(&sort),
                         LEVEL_QUORUM | STORE_LARGE, &row);
    if (err < 0) {
        return err;
    }
    const struct sibling *winner = versions_winner(&row.versions);
    struct bytes value = winner ? winner->value : (struct bytes){0};
    if (value.size > BLOCK_SIZE) {
        store_row_release(&row);
        return ERR_CORRUPT;
    }
    size_t there = value.size > part->from ? value.size - part->from : 0;
    size_t copied = there < part->size ? there : part->size;
    if (copied > 0) {
        memcpy(part->into, value.data + part->from, copied);
    }
    memset(part->into + copied, 0, part->size - copied);
    part->stored = (uint32_t)value.size;
    store_row_release(&row);
    return 0;
}

int contents_read_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                        uint8_t *into, uint32_t *ret_stored) {
    struct part_read part = {
        .ns = ns, .contents = contents, .index = index, .into = into, .size = BLOCK_SIZE};
    int err = part_read(&part);
    if (err == 0 && ret_stored) {
        *ret_stored = part.stored;
    }
    return err;
}

int contents_write_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                         struct bytes data, bool synced) {
    if (data.size > BLOCK_SIZE) {
        return ERR_TOO_BIG;
    }
    struct key partition = key_stripe(contents, index / STRIPE_BLOCKS);
    struct key sort = key_block(index);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){
        .kind = ROW_PUT, .condition = ROW_OVERWRITE, .sort_key = key_bytes(&sort), .value = data};
    int err = commit_run(ns, &partition, &commit, synced ? MESSAGE_SYNCED : 0);
    commit_release(&commit);
    return err;
}

/* ---- removing ---- */

struct stripe_removal {
    struct namespace *ns;
    const struct id128 *contents;
    uint64_t first, end; /* blocks, all of one stripe */
};

static int stripe_delete(const struct stripe_removal *job, const struct key *partition,
                         const struct scan_reply *found) {
    struct store *store = job->ns->store;
    struct batch batch = {.op = store->op_id(store->self),
                          .n = found->n_rows,
                          .ops = memory_new(found->n_rows, sizeof *batch.ops)};
    for (uint32_t i = 0; i < found->n_rows; i++) {
        batch.ops[i] = (struct row_op){
            .kind = ROW_DELETE, .condition = ROW_OVERWRITE, .sort_key = found->rows[i].sort_key};
    }
    int err = store->batch(store->self, key_bytes(partition), &batch, 0, NULL);
    free(batch.ops);
    return err;
}

static int stripe_remove(void *arg) {
    struct stripe_removal *job = arg;
    struct store *store = job->ns->store;
    struct key partition = key_stripe(job->contents, job->first / STRIPE_BLOCKS);
    struct key first = key_block(job->first), end = key_block(job->end);
    struct scan_request request = {.first = key_bytes(&first),
                                   .before = key_bytes(&end),
                                   .rows_max = STRIPE_BLOCKS,
                                   .bytes_max = SCAN_BYTES_MAX};
    int err = 0;
    for (bool more = true; more && err == 0;) {
        struct store_page page = {0};
        err = store->scan(store->self, key_bytes(&partition), &request, MESSAGE_KEYS_ONLY, &page);
        if (err == 0 && page.reply.n_rows > 0) {
            err = stripe_delete(job, &partition, &page.reply);
        }
        /* What was deleted is no longer in the way: the next page begins at the start again. */
        more = err == 0 && page.reply.more && page.reply.n_rows > 0;
        store_page_release(&page);
    }
    free(job);
    return err;
}

int contents_remove(struct namespace *ns, const struct id128 *contents, uint64_t first,
                    uint64_t end) {
    struct task_group group = {0};
    while (first < end && group.status == 0) {
        uint64_t stripe_end = (first / STRIPE_BLOCKS + 1) * STRIPE_BLOCKS;
        struct stripe_removal *job = memory_new(1, sizeof *job);
        *job = (struct stripe_removal){.ns = ns, .contents = contents, .first = first};
        job->end = stripe_end < end ? stripe_end : end;
        first = job->end;
        task_group_run(&group, stripe_remove, job);
        task_group_wait(&group, STRIPES_IN_FLIGHT - 1);
    }
    task_group_wait(&group, 0);
    return group.status;
}

/* ---- reading ---- */

static int part_job(void *arg) {
    int err = part_read(arg);
    free(arg);
    return err;
}

static int blocks_read(struct namespace *ns, const struct id128 *contents, uint64_t offset,
                       uint8_t *into, size_t size) {
    struct task_group group = {0};
    while (size > 0 && group.status == 0) {
        struct part_read *job = memory_new(1, sizeof *job);
        *job = (struct part_read){.ns = ns,
                                  .contents = contents,
                                  .index = offset / BLOCK_SIZE,
                                  .from = (uint32_t)(offset % BLOCK_SIZE),
                                  .into = into};
        size_t rest = BLOCK_SIZE - job->from;
        job->size = rest < size ? rest : size;
        into += job->size;
        offset += job->size;
        size -= job->size;
        if (size == 0 && group.n_running == 0) {
            return part_job(job); /* a single block needs no other task */
        }
        task_group_run(&group, part_job, job);
        task_group_wait(&group, BLOCKS_IN_FLIGHT - 1);
    }
    task_group_wait(&group, 0);
    return group.status;
}

int contents_read(struct namespace *ns, const struct record *record, uint64_t offset, uint8_t *into,
                  size_t size, size_t *ret_size) {
    uint64_t left = offset < record->size ? record->size - offset : 0;
    size = left < size ? (size_t)left : size;
    int err = 0;
    if (record->contents_kind == CONTENTS_BLOCKS) {
        err = blocks_read(ns, &record->contents, offset, into, size);
    } else {
        size_t there = offset < record->data.size ? record->data.size - (size_t)offset : 0;
        size_t copied = there < size ? there : size;
        if (copied > 0) {
            memcpy(into, record->data.data + offset, copied);
        }
        memset(into + copied, 0, size - copied);
    }
    if (err == 0) {
        *ret_size = size;
    }
    return err;
}
