/* scrub: every row of this node's disk read in the background, and the bad ones mended. */
#include "node/core/scrub.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/coordinator.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/slice_page.h"
#include "shared/err.h"

struct scrub {
    struct node *node;
    struct timer timer;
    struct scrub_stats stats;
    int64_t began_ns;
    uint16_t slice;
    size_t page_bytes;
    struct disk_scan scan;
    struct buffer first, before;
};

/* ---- mending ---- */

struct mend {
    struct work work;
    struct node *node;
    struct rows_hold hold;
    size_t size;
    uint8_t key[];
};

static void mend_drop(struct work *work) {
    struct mend *mend = (struct mend *)(void *)work;
    rows_release(&mend->hold);
    free(mend);
}

static void mend_end(struct mend *mend) {
    struct node *node = mend->node;
    node->n_mends--;
    work_end(node, &mend->work);
    mend_drop(&mend->work);
    node_check_idle(node);
}

static void on_mended(void *context, int status) {
    struct mend *mend = context;
    struct counters *c = &mend->node->counters;
    *(status == 0 ? &c->corrupt_repaired : &c->commit_errors) += 1;
    mend_end(mend);
}

/* A read whose answer nobody gets. */
static void read_at_quorum(struct node *node, struct bytes partition_key, struct bytes sort_key) {
    const struct endpoint nobody = {0};
    const struct message message = {.type = MESSAGE_GET,
                                    .budget_ms = SCRUB_MEND_BUDGET_MS,
                                    .key = partition_key,
                                    .payload = sort_key};
    if (node->state == NODE_SERVING) {
        coordinator_receive(node, &nobody, &message);
    }
}

static void on_held(void *context) {
    struct mend *mend = context;
    struct node *node = mend->node;
    struct row *row = rows_held(&mend->hold, 0);
    struct bytes partition_key;
    struct bytes sort_key;
    if (row->durable_status == 0 && row->newest_status == 0 && row->newest != NULL) {
        /* In memory it is sound: what is there goes to the disk again. */
        struct rows_commit *commit = rows_commit_new(node->rows, 1);
        rows_commit_put(commit, row, blob_ref(row->newest));
        rows_commit_start(commit, false, on_mended, mend);
        return;
    }
    if (row->durable_status == ERR_CORRUPT &&
        rowkey_split(bytes_of(mend->key, mend->size), &partition_key, &sort_key) == 0) {
        read_at_quorum(node, partition_key, sort_key);
    }
    mend_end(mend);
}

void scrub_mend(struct node *node, struct bytes key) {
    uint16_t slice = 0;
    node->counters.corrupt_found++;
    if (node->state != NODE_SERVING || node->n_mends >= SCRUB_MENDS_MAX ||
        !rowkey_slice(key, &slice) || !node_trusts_itself(node, slice)) {
        return;
    }
    struct mend *mend = memory_new(1, sizeof *mend + key.size);
    if (!work_begin(node, &mend->work, key.size)) {
        free(mend);
        return;
    }
    node->n_mends++;
    mend->work.drop = mend_drop;
    mend->node = node;
    mend->size = key.size;
    memcpy(mend->key, key.data, key.size);
    rows_hold_init(&mend->hold, 1, on_held, mend);
    rows_hold_add(node->rows, &mend->hold, bytes_of(mend->key, mend->size));
    if (rows_hold_wait(&mend->hold)) {
        on_held(mend);
    }
}

/* ---- rounds ---- */

static void arm(struct scrub *scrub, int64_t ms) {
    struct node *node = scrub->node;
    if (node->state == NODE_STARTING || node->state == NODE_SERVING) {
        timers_set(node->timers, &scrub->timer, node_now(node) + ms * NS_PER_MS);
    }
}

static bool sound(struct node *node, const struct disk_row *row) {
    struct bytes value;
    return blob_check(row->value, &value) == 0 && value.size > 0 &&
           versions_decode(value, &node->scratch[0]) == 0;
}

static void round_end(struct scrub *scrub) {
    const struct node *node = scrub->node;
    int64_t took_ms = (node_now(node) - scrub->began_ns) / NS_PER_MS;
    int64_t pause_ms = (int64_t)node->config.scrub_round_ms - took_ms;
    scrub->stats.rounds++;
    scrub->stats.round_ms = (uint64_t)took_ms;
    scrub->slice = 0;
    arm(scrub, pause_ms > 0 ? pause_ms : 1);
}

static void next_slice(struct scrub *scrub) {
    const struct ring *ring = membership_ring(scrub->node->membership);
    buffer_clear(&scrub->first);
    buffer_clear(&scrub->before);
    do {
        scrub->slice++;
    } while (scrub->slice < ring->n_slices &&
             !ring_is_replica(ring, scrub->slice, scrub->node->config.id));
    if (scrub->slice >= ring->n_slices) {
        round_end(scrub);
    } else {
        arm(scrub, 1 + (int64_t)scrub->page_bytes * 1000 / SCRUB_BYTES_PER_S);
    }
}

static void look_at(struct scrub *scrub, const struct disk_row *rows, uint32_t n) {
    scrub->page_bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        scrub->page_bytes += rows[i].key.size + rows[i].value.size;
        if (!sound(scrub->node, &rows[i])) {
            scrub_mend(scrub->node, rows[i].key);
        }
    }
    scrub->stats.rows += n;
    scrub->stats.bytes += scrub->page_bytes;
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n,
                       bool more) {
    struct scrub *scrub = scan->context;
    scrub->stats.unreadable += status == ERR_CORRUPT ? 1 : 0;
    look_at(scrub, rows, status == 0 ? n : 0);
    if (status == 0 && more) {
        buffer_clear(&scrub->first);
        buffer_put_bytes(&scrub->first, rows[n - 1].key);
        buffer_put_u8(&scrub->first, 0);
        arm(scrub, 1 + (int64_t)scrub->page_bytes * 1000 / SCRUB_BYTES_PER_S);
    } else {
        next_slice(scrub);
    }
}

static void on_timer(void *context) {
    struct scrub *scrub = context;
    struct node *node = scrub->node;
    if (node->state != NODE_SERVING) {
        arm(scrub, 1000); /* it is starting */
        return;
    }
    if (scrub->slice == 0 && scrub->first.size == 0) {
        scrub->began_ns = node_now(node);
    }
    if (scrub->first.size == 0) {
        slice_range('r', scrub->slice, &scrub->first, &scrub->before);
    }
    scrub->scan.first = buffer_bytes(&scrub->first);
    scrub->scan.before = buffer_bytes(&scrub->before);
    node->disk->scan(node->disk->self, &scrub->scan);
}

/* ---- life ---- */

struct scrub *scrub_new(struct node *node) {
    struct scrub *scrub = memory_new(1, sizeof *scrub);
    scrub->node = node;
    scrub->timer = (struct timer){.fire = on_timer, .context = scrub};
    scrub->scan = (struct disk_scan){.rows_max = SCRUB_PAGE_ROWS,
                                     .bytes_max = SCRUB_PAGE_BYTES,
                                     .done = on_scanned,
                                     .context = scrub};
    return scrub;
}

void scrub_start(struct scrub *scrub) {
    uint32_t round_ms = scrub->node->config.scrub_round_ms;
    if (round_ms > 0) {
        arm(scrub, round_ms < SCRUB_FIRST_MS ? round_ms : SCRUB_FIRST_MS);
    }
}

void scrub_stop(struct scrub *scrub) {
    timers_cancel(scrub->node->timers, &scrub->timer);
}

void scrub_free(struct scrub *scrub) {
    scrub_stop(scrub);
    buffer_release(&scrub->first);
    buffer_release(&scrub->before);
    free(scrub);
}

void scrub_stats(const struct scrub *scrub, struct scrub_stats *ret) {
    *ret = scrub->stats;
    ret->slice = scrub->slice;
}
