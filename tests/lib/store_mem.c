/* store_mem: partitions of rows in sorted arrays; each row is its encoded versions. */
#include "tests/lib/store_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/overlay.h"
#include "shared/partitions.h"
#include "shared/task.h"

enum { COUNTER_STEP_NS = 1000 };

struct mem_row {
    struct bytes sort_key; /* owned */
    struct buffer versions;
};

struct mem_partition {
    struct bytes key; /* owned */
    struct tally tally;
    struct mem_row **rows; /* sorted by sort key */
    size_t n_rows;
    size_t capacity;
};

struct store_mem {
    struct store store;
    struct mem_partition **partitions; /* sorted by key */
    size_t n_partitions;
    uint64_t now_ns;
    uint64_t stamp_ns;
    uint64_t counter;
    uint64_t random;
    /* hooks */
    uint64_t calls;
    uint64_t current; /* the number of the call that enter() let in last */
    uint64_t fail_first, fail_last;
    int fail_err;
    bool fail_applied;
    bool yield;
    bool in_before;
    void (*before)(void *context, enum store_mem_call kind, uint64_t number);
    void *before_context;
};

/* ---- rows ---- */

static struct mem_partition *partition_find(const struct store_mem *mem, struct bytes key,
                                            size_t *ret_at) {
    size_t low = 0, high = mem->n_partitions;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = bytes_compare(mem->partitions[middle]->key, key);
        if (order == 0) {
            *ret_at = middle;
            return mem->partitions[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_at = low;
    return NULL;
}

static struct mem_partition *partition_make(struct store_mem *mem, struct bytes key) {
    size_t at;
    struct mem_partition *found = partition_find(mem, key, &at);
    if (found) {
        return found;
    }
    struct mem_partition *made = memory_new(1, sizeof *made);
    made->key = bytes_copy(key);
    mem->partitions =
        memory_resize(mem->partitions, (mem->n_partitions + 1) * sizeof *mem->partitions);
    memmove(mem->partitions + at + 1, mem->partitions + at,
            (mem->n_partitions - at) * sizeof *mem->partitions);
    mem->partitions[at] = made;
    mem->n_partitions++;
    return made;
}

/* The index of the first row whose sort key is not lower than `key`. */
static size_t row_lower(const struct mem_partition *partition, struct bytes key) {
    size_t low = 0, high = partition ? partition->n_rows : 0;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(partition->rows[middle]->sort_key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mem_row *row_find(const struct mem_partition *partition, struct bytes key) {
    size_t at = row_lower(partition, key);
    bool found =
        partition && at < partition->n_rows && bytes_equal(partition->rows[at]->sort_key, key);
    return found ? partition->rows[at] : NULL;
}

static struct mem_row *row_make(struct mem_partition *partition, struct bytes key) {
    struct mem_row *found = row_find(partition, key);
    if (found) {
        return found;
    }
    size_t at = row_lower(partition, key);
    struct mem_row *made = memory_new(1, sizeof *made);
    made->sort_key = bytes_copy(key);
    if (partition->n_rows == partition->capacity) {
        partition->capacity = partition->capacity ? 2 * partition->capacity : 8;
        partition->rows =
            memory_resize(partition->rows, partition->capacity * sizeof *partition->rows);
    }
    memmove(partition->rows + at + 1, partition->rows + at,
            (partition->n_rows - at) * sizeof *partition->rows);
    partition->rows[at] = made;
    partition->n_rows++;
    return made;
}

static struct bytes row_bytes(const struct mem_row *row) {
    return row ? buffer_bytes(&row->versions) : (struct bytes){0};
}

static void row_decode(const struct mem_row *row, struct versions *ret) {
    int err = versions_decode(row_bytes(row), ret);
    assert(err == 0);
    (void)err;
}

/* Puts `sibling` into the row and keeps the partition's tally. */
static void row_write(struct mem_partition *partition, struct bytes sort_key,
                      const struct context *seen, const struct sibling *sibling) {
    struct mem_row *row = row_make(partition, sort_key);
    struct versions versions = {0};
    row_decode(row, &versions);
    bool was_live = versions_live(&versions) > 0;
    versions_put(&versions, seen, sibling);
    bool is_live = versions_live(&versions) > 0;
    struct buffer next = {0};
    versions_encode(&versions, &next);
    versions_release(&versions);
    buffer_release(&row->versions);
    row->versions = next;
    if (was_live != is_live) {
        partition->tally.n_live = partition->tally.n_live + is_live - was_live;
        partition->tally.changed_ns = sibling->stamp_ns;
    }
}

/* ---- conditions ---- */

/* What the write replaces, given what the caller has seen and what is there. */
static void cover(const struct row_op *op, const struct versions *held, struct context *ret) {
    int err = context_decode(op->seen, ret);
    assert(err == 0);
    (void)err;
    if (op->condition == ROW_OVERWRITE || op->condition == ROW_IF_ABSENT) {
        context_join(ret, &held->context);
    }
}

static bool passes(const struct mem_partition *partition, const struct row_op *op,
                   const struct op_id *id) {
    if (op->condition == ROW_COUNT_MAX) {
        assert(op->kind == ROW_GUARD);
        return partition->tally.n_live <= op->count_max;
    }
    struct versions held = {0};
    struct context seen = {0};
    row_decode(row_find(partition, op->sort_key), &held);
    int err = context_decode(op->seen, &seen);
    assert(err == 0);
    (void)err;
    bool pass = true;
    if (versions_find(&held, id)) {
        pass = true;
    } else if (op->condition == ROW_IF_MATCH) {
        pass = versions_covered_by(&held, &seen);
    } else if (op->condition == ROW_IF_ABSENT) {
        pass = versions_live_outside(&held, &seen) == 0;
    }
    context_release(&seen);
    versions_release(&held);
    return pass;
}

static const struct bytes value_none = {0};

static void apply(struct store_mem *mem, struct mem_partition *partition,
                  const struct batch *batch) {
    mem->now_ns += COUNTER_STEP_NS;
    mem->stamp_ns = mem->now_ns > mem->stamp_ns ? mem->now_ns : mem->stamp_ns + 1;
    struct dot dot = {actor_of(1, 1, 1), ++mem->counter};
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct row_op *op = &batch->ops[i];
        if (op->kind == ROW_GUARD) {
            continue;
        }
        struct versions held = {0};
        row_decode(row_find(partition, op->sort_key), &held);
        if (!versions_find(&held, &batch->op)) {
            struct context covered = {0};
            struct buffer patched = {0};
            struct bytes value = op->value;
            cover(op, &held, &covered);
            if (op->kind == ROW_PATCH) {
                const struct sibling *winner = versions_winner(&held);
                overlay_apply(value, winner != NULL ? winner->value : value_none, &patched);
                value = buffer_bytes(&patched);
            }
            bool dead = op->kind == ROW_DELETE;
            struct sibling sibling = {.dot = dot,
                                      .stamp_ns = mem->stamp_ns,
                                      .op = batch->op,
                                      .flags = dead ? SIBLING_TOMBSTONE : 0,
                                      .value = dead ? value_none : value};
            row_write(partition, op->sort_key, &covered, &sibling);
            buffer_release(&patched);
            context_release(&covered);
        }
        versions_release(&held);
    }
}

/* ---- the seam ---- */

/* Counts the call and runs the hooks; the error that it is to end with, or 0. */
static int enter(struct store_mem *mem, enum store_mem_call kind) {
    if (mem->in_before) {
        return 0;
    }
    uint64_t number = ++mem->calls;
    if (mem->yield && task_self()) {
        task_yield();
    }
    if (mem->before) {
        mem->in_before = true;
        mem->before(mem->before_context, kind, number);
        mem->in_before = false;
    }
    mem->current = number;
    return number >= mem->fail_first && number <= mem->fail_last ? mem->fail_err : 0;
}

static int mem_get(void *self, struct bytes partition_key, struct bytes sort_key,
                   store_options options, struct store_row *ret) {
    struct store_mem *mem = self;
    (void)options;
    assert(partition_key.size <= PARTITION_KEY_MAX && sort_key.size <= SORT_KEY_MAX);
    int err = enter(mem, STORE_MEM_GET);
    if (err < 0) {
        return err;
    }
    size_t at;
    struct mem_partition *partition = partition_find(mem, partition_key, &at);
    *ret = (struct store_row){0};
    ret->held = bytes_copy(row_bytes(row_find(partition, sort_key)));
    ret->tally = partition ? partition->tally : (struct tally){0};
    return versions_decode(ret->held, &ret->versions);
}

static void fill_outcome(const struct batch_reply *reply, struct store_outcome *ret) {
    if (ret == NULL) {
        return;
    }
    struct buffer encoded = {0};
    batch_reply_encode(reply, &encoded);
    *ret = (struct store_outcome){0};
    ret->held = buffer_bytes(&encoded); /* ours from here on */
    int err = batch_reply_decode(ret->held, &ret->reply);
    assert(err == 0);
    (void)err;
}

static void answer_done(const struct mem_partition *partition, const struct batch *batch,
                        struct store_outcome *ret) {
    struct buffer *contexts = memory_new(batch->n, sizeof *contexts);
    struct bytes *borrowed = memory_new(batch->n, sizeof *borrowed);
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].kind != ROW_GUARD) {
            struct versions versions = {0};
            row_decode(row_find(partition, batch->ops[i].sort_key), &versions);
            context_encode(&versions.context, &contexts[i]);
            versions_release(&versions);
            borrowed[i] = buffer_bytes(&contexts[i]);
        }
    }
    struct batch_reply reply = {
        .tally = partition->tally, .n_contexts = batch->n, .contexts = borrowed};
    fill_outcome(&reply, ret);
    for (uint32_t i = 0; i < batch->n; i++) {
        buffer_release(&contexts[i]);
    }
    free(contexts);
    free(borrowed);
}

static int mem_batch(void *self, struct bytes partition_key, const struct batch *batch,
                     store_options options, struct store_outcome *ret) {
    struct store_mem *mem = self;
    (void)options;
    assert(batch->n > 0 && batch->n <= BATCH_ROWS_MAX && partition_key.size <= PARTITION_KEY_MAX);
    int err = enter(mem, STORE_MEM_BATCH);
    if (err < 0 && (!mem->fail_applied || mem->current != mem->fail_first)) {
        return err;
    }
    struct mem_partition *partition = partition_make(mem, partition_key);
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct row_op *op = &batch->ops[i];
        assert(op->sort_key.size <= SORT_KEY_MAX && op->value.size <= VALUE_MAX);
        if (!passes(partition, op, &batch->op)) {
            struct batch_reply reply = {.tally = partition->tally, .failed_index = i};
            if (op->condition != ROW_COUNT_MAX) {
                reply.current = row_bytes(row_find(partition, op->sort_key));
            }
            if (err == 0) {
                fill_outcome(&reply, ret);
            }
            return err < 0 ? err : ERR_CONFLICT;
        }
    }
    apply(mem, partition, batch);
    if (err == 0) {
        answer_done(partition, batch, ret);
    }
    return err;
}

/* A row of the page: 1 taken, 0 passed over, -1 does not fit any more. As on a node, what bounds a
 * page is what is read for it, with KEYS_ONLY too: *ret_size. */
static int scan_take(const struct mem_row *row, const struct scan_request *request,
                     store_options options, uint32_t bytes_left, struct buffer *into,
                     size_t *ret_size) {
    struct versions versions = {0};
    row_decode(row, &versions);
    int taken = 0;
    *ret_size = row->sort_key.size + versions_encoded_size(&versions);
    if (versions_live(&versions) > 0 || (options & MESSAGE_TOMBSTONES)) {
        for (uint32_t i = 0; i < versions.n_siblings; i++) {
            struct bytes *value = &versions.siblings[i].value;
            *value = scan_value(request, options, *value);
        }
        versions_encode(&versions, into);
        taken = *ret_size > bytes_left ? -1 : 1;
    }
    versions_release(&versions);
    return taken;
}

static void fill_page(const struct scan_reply *reply, struct store_page *ret) {
    struct buffer encoded = {0};
    scan_reply_encode(reply, &encoded);
    *ret = (struct store_page){0};
    ret->held = buffer_bytes(&encoded);
    int err = scan_reply_decode(ret->held, &ret->reply);
    assert(err == 0);
    (void)err;
}

static bool in_range(const struct scan_request *request, struct bytes sort_key) {
    return request->before.size == 0 || bytes_compare(sort_key, request->before) < 0;
}

static int mem_scan(void *self, struct bytes partition_key, const struct scan_request *request,
                    store_options options, struct store_page *ret) {
    struct store_mem *mem = self;
    assert(request->rows_max >= 1 && request->rows_max <= SCAN_ROWS_MAX);
    assert(request->bytes_max >= 1 && request->bytes_max <= SCAN_BYTES_MAX);
    int err = enter(mem, STORE_MEM_SCAN);
    if (err < 0) {
        return err;
    }
    size_t at;
    struct mem_partition *partition = partition_find(mem, partition_key, &at);
    struct buffer *values = memory_new(request->rows_max, sizeof *values);
    struct scan_row *rows = memory_new(request->rows_max, sizeof *rows);
    struct scan_reply reply = {.tally = partition ? partition->tally : (struct tally){0},
                               .cursor = request->after,
                               .rows = rows};
    bool resumed = bytes_compare(request->after, request->first) >= 0 && request->after.size > 0;
    size_t i = row_lower(partition, resumed ? request->after : request->first);
    i += resumed && row_find(partition, request->after) != NULL;
    uint32_t examined = 0, bytes = 0;
    for (; partition && i < partition->n_rows && in_range(request, partition->rows[i]->sort_key);
         i++, examined++) {
        struct mem_row *row = partition->rows[i];
        struct buffer *value = &values[reply.n_rows < request->rows_max ? reply.n_rows : 0];
        if (examined == request->rows_max) {
            reply.more = true;
            break;
        }
        size_t size;
        int taken = scan_take(row, request, options, request->bytes_max - bytes, value, &size);
        if (taken < 0 && reply.n_rows > 0) {
            buffer_release(value);
            reply.more = true;
            break;
        }
        if (taken != 0) {
            rows[reply.n_rows++] = (struct scan_row){row->sort_key, buffer_bytes(value)};
            bytes = size < request->bytes_max - bytes ? bytes + (uint32_t)size : request->bytes_max;
        }
        reply.cursor = row->sort_key;
    }
    fill_page(&reply, ret);
    for (uint32_t k = 0; k < reply.n_rows; k++) {
        buffer_release(&values[k]);
    }
    free(values);
    free(rows);
    return 0;
}

/* splitmix64: the same ids in every run. */
static uint64_t mem_random(void *self) {
    struct store_mem *mem = self;
    uint64_t z = mem->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static struct op_id mem_op_id(void *self) {
    struct op_id id;
    bytes_store_u64(id.bytes, mem_random(self));
    bytes_store_u64(id.bytes + 8, mem_random(self));
    return id;
}

static uint64_t mem_wall_ns(void *self) {
    return ((struct store_mem *)self)->now_ns;
}

/* ---- life ---- */

struct store_mem *store_mem_new(void) {
    struct store_mem *mem = memory_new(1, sizeof *mem);
    mem->store = (struct store){.self = mem,
                                .get = mem_get,
                                .batch = mem_batch,
                                .scan = mem_scan,
                                .op_id = mem_op_id,
                                .wall_ns = mem_wall_ns,
                                .random = mem_random};
    mem->now_ns = STORE_MEM_EPOCH_NS;
    return mem;
}

void store_mem_free(struct store_mem *mem) {
    for (size_t i = 0; i < mem->n_partitions; i++) {
        struct mem_partition *partition = mem->partitions[i];
        for (size_t k = 0; k < partition->n_rows; k++) {
            free((void *)partition->rows[k]->sort_key.data);
            buffer_release(&partition->rows[k]->versions);
            free(partition->rows[k]);
        }
        free((void *)partition->key.data);
        free(partition->rows);
        free(partition);
    }
    free(mem->partitions);
    free(mem);
}

struct store *store_mem_store(struct store_mem *mem) {
    return &mem->store;
}

void store_mem_advance(struct store_mem *mem, uint64_t ns) {
    mem->now_ns += ns;
}

uint64_t store_mem_now_ns(const struct store_mem *mem) {
    return mem->now_ns;
}

/* ---- hooks ---- */

void store_mem_reset_hooks(struct store_mem *mem) {
    mem->calls = 0;
    mem->fail_first = 0;
    mem->fail_last = 0;
    mem->before = NULL;
    mem->yield = false;
}

uint64_t store_mem_calls(const struct store_mem *mem) {
    return mem->calls;
}

void store_mem_fail(struct store_mem *mem, uint64_t first, uint64_t last, int err, bool applied) {
    assert(first >= 1 && err < 0);
    mem->fail_first = first;
    mem->fail_last = last;
    mem->fail_err = err;
    mem->fail_applied = applied;
}

void store_mem_before(struct store_mem *mem,
                      void (*before)(void *context, enum store_mem_call kind, uint64_t number),
                      void *context) {
    mem->before = before;
    mem->before_context = context;
}

void store_mem_yield(struct store_mem *mem, bool yield) {
    mem->yield = yield;
}

uint64_t store_mem_live_rows(const struct store_mem *mem, char kind) {
    uint64_t n = 0;
    for (size_t i = 0; i < mem->n_partitions; i++) {
        const struct mem_partition *partition = mem->partitions[i];
        if (kind == 0 || (partition->key.size > 0 && partition->key.data[0] == (uint8_t)kind)) {
            n += partition->tally.n_live;
        }
    }
    return n;
}

void store_mem_put(struct store_mem *mem, struct bytes partition_key, struct bytes sort_key,
                   const struct context *seen, struct bytes value) {
    mem->stamp_ns = mem->now_ns > mem->stamp_ns ? mem->now_ns : mem->stamp_ns + 1;
    struct sibling sibling = {.dot = {actor_of(2, 1, 1), ++mem->counter},
                              .stamp_ns = mem->stamp_ns,
                              .op = mem_op_id(mem),
                              .value = value};
    row_write(partition_make(mem, partition_key), sort_key, seen, &sibling);
}

int store_mem_list(void *self, const struct partitions_request *request, struct buffer *listed,
                   bool *ret_more) {
    const struct store_mem *mem = self;
    uint32_t n = 0;
    assert(request->key_size != 0 && request->slice == 0);
    *ret_more = false;
    for (size_t i = 0; i < mem->n_partitions; i++) {
        const struct mem_partition *partition = mem->partitions[i];
        if (partition->key.size != request->key_size ||
            (request->after.size > 0 && bytes_compare(partition->key, request->after) <= 0)) {
            continue;
        }
        if (n++ == request->n_max) {
            *ret_more = true;
            return 0;
        }
        const struct partition_tally one = {.key = partition->key, .tally = partition->tally};
        partition_tally_encode(&one, listed);
    }
    return 0;
}
