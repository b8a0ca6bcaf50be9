/* namespace_contents: the blocks of files. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

enum {
    STRIPES_IN_FLIGHT = 8,
};

static size_t fresh_slot(const struct id128 *contents) {
    return bytes_load_u64(contents->bytes) % FRESH_CONTENTS_MAX;
}

struct id128 contents_new(struct namespace *ns) {
    struct id128 contents = namespace_id(ns);
    ns->fresh[fresh_slot(&contents)] = contents;
    return contents;
}

bool contents_fresh(const struct namespace *ns, const struct id128 *contents) {
    return id128_equal(&ns->fresh[fresh_slot(contents)], contents);
}

void contents_named(struct namespace *ns, const struct id128 *contents) {
    if (contents_fresh(ns, contents)) {
        ns->fresh[fresh_slot(contents)] = (struct id128){{0}};
    }
}

void block_seen_release(struct block_seen *seen) {
    free((void *)(uintptr_t)seen->context.data);
    *seen = (struct block_seen){0};
}

static void see_row(const struct versions *versions, struct block_seen *seen) {
    const struct sibling *winner = versions_winner(versions);
    bool stored = winner != NULL && (winner->flags & SIBLING_TOMBSTONE) == 0;
    struct buffer context = {0};
    if (versions->context.n > 0) {
        context_encode(&versions->context, &context);
    }
    block_seen_release(seen);
    *seen = (struct block_seen){bytes_copy(buffer_bytes(&context)), stored, true};
    buffer_release(&context);
}

/* The partition of the block. */
static struct key key_stripe_of(const struct id128 *contents, uint64_t index) {
    return key_stripe(contents, index / STRIPE_BLOCKS);
}

/* Something becomes of the block with this key, whatever is there. */
static struct row_op block_op(enum row_kind kind, const struct key *sort, struct bytes value) {
    return (struct row_op){.kind = (uint8_t)kind,
                           .condition = ROW_OVERWRITE,
                           .sort_key = key_bytes(sort),
                           .value = value};
}

int contents_read_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                        uint8_t *into, uint32_t *ret_stored) {
    uint32_t stored;
    return contents_get_block(ns, contents, index, into, ret_stored ? ret_stored : &stored, NULL);
}

int contents_get_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                       uint8_t *into, uint32_t *ret_size, struct block_seen *seen) {
    struct key partition = key_stripe_of(contents, index);
    struct key sort = key_block(index);
    struct store_row row = {0};
    int err = ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort),
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
    if (value.size > 0) {
        memcpy(into, value.data, value.size);
    }
    memset(into + value.size, 0, BLOCK_SIZE - value.size);
    *ret_size = (uint32_t)value.size;
    if (seen != NULL) {
        see_row(&row.versions, seen);
    }
    store_row_release(&row);
    return 0;
}

int contents_write_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                         struct bytes data, bool synced) {
    struct block_put put = {.contents = *contents, .index = index, .data = data, .synced = synced};
    return contents_put_block(ns, &put, NULL);
}

/* ---- blocks that several clients write ---- */

/* Always holds, and puts the batch in line with the conditional ones of its partition. */
static struct row_op in_line(void) {
    return (struct row_op){.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = UINT32_MAX};
}

int contents_put_block(struct namespace *ns, const struct block_put *put, struct block_seen *seen) {
    if (put->data.size > BLOCK_SIZE) {
        return ERR_TOO_BIG;
    }
    struct key partition = key_stripe_of(&put->contents, put->index);
    struct key sort = key_block(put->index);
    struct commit commit = {.n = put->manner == BLOCK_IN_LINE ? 2 : 1};
    struct row_op *op = &commit.ops[0];
    *op = block_op(ROW_PUT, &sort, put->data);
    if (put->manner == BLOCK_AS_SEEN) {
        op->condition = seen->stored ? ROW_IF_MATCH : ROW_IF_ABSENT;
        op->seen = seen->context;
    }
    commit.ops[1] = in_line();
    store_options options = put->synced ? MESSAGE_SYNCED : 0;
    options |= contents_fresh(ns, &put->contents) ? STORE_AVAILABLE : 0;
    int err = commit_run(ns, &partition, &commit, options);
    if (err == 0 && seen != NULL) {
        block_seen_release(seen);
        *seen = (struct block_seen){commit_context(&commit, 0), true, true};
    }
    commit_release(&commit);
    return err;
}

int contents_put_blocks(struct namespace *ns, const struct block_put *puts, uint32_t n,
                        struct block_seen *const seen[]) {
    const struct block_put *first = &puts[0];
    struct key partition = key_stripe_of(&first->contents, first->index);
    struct key sorts[CONTENTS_TOGETHER_MAX];
    struct commit commit = {.n = n};
    assert(n > 0 && n <= CONTENTS_TOGETHER_MAX);
    for (uint32_t i = 0; i < n; i++) {
        assert(puts[i].data.size <= BLOCK_SIZE);
        assert(puts[i].index / STRIPE_BLOCKS == first->index / STRIPE_BLOCKS);
        sorts[i] = key_block(puts[i].index);
        commit.ops[i] = block_op(ROW_PUT, &sorts[i], puts[i].data);
    }
    store_options options = first->synced ? MESSAGE_SYNCED : 0;
    options |= contents_fresh(ns, &first->contents) ? STORE_AVAILABLE : 0;
    int err = commit_run(ns, &partition, &commit, options);
    for (uint32_t i = 0; i < n && err == 0; i++) {
        block_seen_release(seen[i]);
        *seen[i] = (struct block_seen){commit_context(&commit, i), true, true};
    }
    commit_release(&commit);
    return err;
}

int contents_patch_blocks(struct namespace *ns, const struct block_patch *patches, uint32_t n) {
    const struct block_patch *first = &patches[0];
    struct key partition = key_stripe_of(&first->contents, first->index);
    struct key sorts[CONTENTS_TOGETHER_MAX];
    struct commit commit = {.n = n};
    assert(n > 0 && n <= CONTENTS_TOGETHER_MAX);
    for (uint32_t i = 0; i < n; i++) {
        assert(patches[i].index / STRIPE_BLOCKS == first->index / STRIPE_BLOCKS);
        sorts[i] = key_block(patches[i].index);
        commit.ops[i] = block_op(ROW_PATCH, &sorts[i], patches[i].overlay);
    }
    int err = commit_run(ns, &partition, &commit, first->synced ? MESSAGE_SYNCED : 0);
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

struct extents contents_stored(const struct record *record) {
    struct extents extents = {0};
    if (record->contents_kind != CONTENTS_BLOCKS) {
        return extents;
    }
    if (record->extents.size > 0 && extents_decode(record->extents, &extents) == 0) {
        return extents;
    }
    return extents_dense(record->size / BLOCK_SIZE + (record->size % BLOCK_SIZE != 0));
}

struct extents contents_removable(const struct record *record) {
    return record->contents_shared ? (struct extents){0} : contents_stored(record);
}

int contents_remove_stored(struct namespace *ns, const struct id128 *contents,
                           const struct extents *stored, uint64_t first, uint64_t end) {
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < stored->n; i++) {
        uint64_t from = stored->at[i].first > first ? stored->at[i].first : first;
        uint64_t to = stored->at[i].end < end ? stored->at[i].end : end;
        err = contents_remove(ns, contents, from, to);
    }
    return err;
}
