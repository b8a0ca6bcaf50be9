/* namespace_contents_read: reading contents, several blocks of a stripe in one request. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

enum {
    RUNS_IN_FLIGHT = 4,
    ROW_SLACK = 1 << 10, /* of a row beside its block: clocks, and one version more than usual */
    PART_MAX = BLOCK_SIZE / 2, /* of a block that is read alone: else all of it is asked for */
};

size_t contents_run(uint64_t offset, size_t size) {
    uint64_t first = offset / BLOCK_SIZE;
    uint64_t end = first + CONTENTS_RUN_MAX;
    uint64_t stripe_end = (first / STRIPE_BLOCKS + 1) * STRIPE_BLOCKS;
    end = end < stripe_end ? end : stripe_end;
    uint64_t left = end * BLOCK_SIZE - offset;
    return left < size ? (size_t)left : size;
}

/* A run as it is being read. */
struct run {
    uint64_t offset;
    uint8_t *into;
    size_t size;
    uint64_t next; /* the first block that is still to be filled in */
    bool hole;     /* one of those before it is not stored */
};

/* The part of the block that belongs to the run becomes `value`, zeros behind it. */
static void fill(const struct run *run, uint64_t index, struct bytes value) {
    uint64_t begins = index * BLOCK_SIZE;
    uint64_t from = run->offset > begins ? run->offset : begins;
    uint64_t to = run->offset + run->size;
    to = to < begins + BLOCK_SIZE ? to : begins + BLOCK_SIZE;
    size_t at = (size_t)(from - begins), size = (size_t)(to - from);
    size_t there = value.size > at ? value.size - at : 0;
    there = there < size ? there : size;
    uint8_t *into = run->into + (from - run->offset);
    if (there > 0) {
        memcpy(into, value.data + at, there);
    }
    memset(into + there, 0, size - there);
}

static void fill_holes(struct run *run, uint64_t end) {
    run->hole = run->hole || run->next < end;
    while (run->next < end) {
        fill(run, run->next++, (struct bytes){0});
    }
}

/* What a row shows, borrowed from `versions`, which is released by the caller when the answer is 0.
 * ERR_CORRUPT when it is larger than it can be. */
static int show(struct bytes encoded, size_t size_max, struct versions *versions,
                struct bytes *ret) {
    int err = versions_decode(encoded, versions);
    if (err != 0) {
        return err;
    }
    const struct sibling *winner = versions_winner(versions);
    *ret = winner != NULL ? winner->value : (struct bytes){0};
    if (ret->size > size_max) {
        versions_release(versions);
        return ERR_CORRUPT;
    }
    return 0;
}

/* The next row of the run: a block, which is no hole when it holds bytes. */
static int take_block(struct run *run, uint64_t index, struct bytes encoded) {
    struct versions versions = {0};
    struct bytes value;
    int err = show(encoded, BLOCK_SIZE, &versions, &value);
    if (err != 0) {
        return err;
    }
    fill_holes(run, index);
    fill(run, index, value);
    run->next = index + 1;
    run->hole = run->hole || value.size == 0;
    versions_release(&versions);
    return 0;
}

/* The run's own bytes, of a row that holds no others. What lies behind the end of a short block
 * looks like a hole: its reader makes sure of that. */
static int take_part(struct run *run, struct bytes encoded) {
    struct versions versions = {0};
    struct bytes value;
    int err = show(encoded, run->size, &versions, &value);
    if (err != 0) {
        return err;
    }
    if (value.size > 0) {
        memcpy(run->into, value.data, value.size);
    }
    memset(run->into + value.size, 0, run->size - value.size);
    run->hole = value.size == 0;
    versions_release(&versions);
    return 0;
}

static int take_page(struct run *run, uint64_t end, const struct scan_reply *page) {
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < page->n_rows; i++) {
        uint64_t index;
        if (!key_block_index(page->rows[i].sort_key, &index) || index < run->next || index >= end) {
            return ERR_CORRUPT;
        }
        err = take_block(run, index, page->rows[i].versions);
    }
    return err;
}

/* Pages are short when blocks have several versions: the next one goes on behind it. */
static int scan_run(struct namespace *ns, const struct id128 *contents, struct run *run,
                    uint64_t end) {
    struct store *store = ns->store;
    struct key partition = key_stripe(contents, run->next / STRIPE_BLOCKS);
    struct key last = key_block(end);
    int err = 0;
    for (bool more = true; err == 0 && more;) {
        struct key first = key_block(run->next);
        uint32_t n = (uint32_t)(end - run->next);
        struct scan_request request = {.first = key_bytes(&first),
                                       .before = key_bytes(&last),
                                       .rows_max = n,
                                       .bytes_max = n * (BLOCK_SIZE + ROW_SLACK)};
        struct store_page page = {0};
        err = store->scan(store->self, key_bytes(&partition), &request, LEVEL_QUORUM, &page);
        if (err != 0) {
            break;
        }
        err = take_page(run, end, &page.reply);
        uint64_t cursor = 0;
        more = err == 0 && page.reply.more;
        if (more && (!key_block_index(page.reply.cursor, &cursor) || cursor >= end)) {
            err = ERR_CORRUPT;
        } else if (more) {
            fill_holes(run, cursor + 1); /* what it ends with may be deleted */
            more = run->next < end;
        }
        store_page_release(&page);
    }
    if (err == 0) {
        fill_holes(run, end);
    }
    return err;
}

/* Bytes of one block, which alone are sent. */
static int read_bytes(struct namespace *ns, const struct id128 *contents, struct run *run) {
    struct store *store = ns->store;
    struct key partition = key_stripe(contents, run->next / STRIPE_BLOCKS);
    struct key first = key_block(run->next), end = key_block(run->next + 1);
    struct scan_request request = {.first = key_bytes(&first),
                                   .before = key_bytes(&end),
                                   .rows_max = 1,
                                   .bytes_max = BLOCK_SIZE + ROW_SLACK,
                                   .value_at = (uint32_t)(run->offset % BLOCK_SIZE),
                                   .value_max = (uint32_t)run->size};
    struct store_page page = {0};
    int err = store->scan(store->self, key_bytes(&partition), &request, LEVEL_QUORUM, &page);
    if (err == 0 && page.reply.n_rows > 0) {
        err = take_part(run, page.reply.rows[0].versions);
    } else if (err == 0) {
        fill_holes(run, run->next + 1);
    }
    store_page_release(&page);
    return err;
}

static int read_block(struct namespace *ns, const struct id128 *contents, struct run *run) {
    uint8_t *whole = run->size == BLOCK_SIZE ? run->into : memory_new(1, BLOCK_SIZE);
    uint32_t stored = 0;
    int err = contents_read_block(ns, contents, run->next, whole, &stored);
    if (whole != run->into) {
        fill(run, run->next, bytes_of(whole, err == 0 ? BLOCK_SIZE : 0));
        free(whole);
    }
    run->hole = stored == 0;
    return err;
}

/* Nodes of an older version take a request for parts for malformed. */
static int read_one(struct namespace *ns, const struct id128 *contents, struct run *run) {
    int err = run->size <= PART_MAX ? read_bytes(ns, contents, run) : ERR_INVALID;
    return err == ERR_INVALID ? read_block(ns, contents, run) : err;
}

int contents_read_run(struct namespace *ns, const struct id128 *contents, uint64_t offset,
                      uint8_t *into, size_t size, bool *ret_hole) {
    assert(size > 0 && contents_run(offset, size) == size);
    struct run run = {offset, into, size, offset / BLOCK_SIZE, false};
    uint64_t end = (offset + size - 1) / BLOCK_SIZE + 1;
    int err =
        end - run.next == 1 ? read_one(ns, contents, &run) : scan_run(ns, contents, &run, end);
    if (err == 0) {
        *ret_hole = *ret_hole || run.hole;
    }
    return err;
}

/* ---- whole files ---- */

struct run_read {
    struct namespace *ns;
    const struct id128 *contents;
    uint64_t offset;
    uint8_t *into;
    size_t size;
};

static int run_job(void *arg) {
    struct run_read *job = arg;
    bool hole = false;
    int err = contents_read_run(job->ns, job->contents, job->offset, job->into, job->size, &hole);
    free(job);
    return err;
}

static int runs_read(struct namespace *ns, const struct id128 *contents, uint64_t offset,
                     uint8_t *into, size_t size) {
    struct task_group group = {0};
    while (size > 0 && group.status == 0) {
        struct run_read *job = memory_new(1, sizeof *job);
        *job = (struct run_read){ns, contents, offset, into, contents_run(offset, size)};
        into += job->size;
        offset += job->size;
        size -= job->size;
        if (size == 0 && group.n_running == 0) {
            return run_job(job); /* a single one needs no other task */
        }
        task_group_run(&group, run_job, job);
        task_group_wait(&group, RUNS_IN_FLIGHT - 1);
    }
    task_group_wait(&group, 0);
    return group.status;
}

uint64_t contents_blocks_end(const struct record *record) {
    bool at_end = record_has_tail(record) && record->data_at + record->data.size == record->size;
    return at_end ? record->data_at : record->size;
}

/* Appended bytes may lie in the record still. */
static void tail_read(const struct record *record, uint64_t offset, uint8_t *into, size_t size) {
    uint64_t from = record->data_at > offset ? record->data_at : offset;
    uint64_t to = record->data_at + record->data.size;
    to = to < offset + size ? to : offset + size;
    if (from < to) {
        memcpy(into + (from - offset), record->data.data + (from - record->data_at),
               (size_t)(to - from));
    }
}

static int blocks_and_tail_read(struct namespace *ns, const struct record *record, uint64_t offset,
                                uint8_t *into, size_t size) {
    uint64_t end = contents_blocks_end(record);
    uint64_t front = offset < end ? end - offset : 0;
    front = front < size ? front : size;
    int err = front > 0 ? runs_read(ns, &record->contents, offset, into, (size_t)front) : 0;
    if (err == 0) {
        tail_read(record, offset, into, size);
    }
    return err;
}

int contents_read(struct namespace *ns, const struct record *record, uint64_t offset, uint8_t *into,
                  size_t size, size_t *ret_size) {
    uint64_t left = offset < record->size ? record->size - offset : 0;
    size = left < size ? (size_t)left : size;
    int err = 0;
    if (record->contents_kind == CONTENTS_BLOCKS) {
        err = blocks_and_tail_read(ns, record, offset, into, size);
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
