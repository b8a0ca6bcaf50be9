/* leaf_page: a page of a slice's row keys and clocks as this node has them on its disk. */
#include "node/core/leaf_page.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/plant.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

struct leaf_page {
    struct work work;
    struct node *node;
    leaf_page_done *done; /* NULL: given up */
    void *context;
    struct disk_scan scan;
    struct buffer keys; /* first and before of the scan */
    struct buffer rows;
};

static void page_free(struct leaf_page *page) {
    buffer_release(&page->keys);
    buffer_release(&page->rows);
    free(page);
}

static void page_drop(struct work *work) {
    page_free((struct leaf_page *)(void *)work);
}

void leaf_page_forget(struct leaf_page *page) {
    page->done = NULL;
}

static uint64_t latest_stamp(const struct versions *versions) {
    uint64_t latest = 0;
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        uint64_t stamp = versions->siblings[i].stamp_ns;
        latest = stamp > latest ? stamp : latest;
    }
    return latest;
}

static void add_row(struct leaf_page *page, const struct disk_row *row) {
    struct versions *versions = &page->node->scratch[0];
    struct bytes bytes;
    uint8_t clock[LEAF_DIGEST_SIZE] = {0};
    struct leaf_row leaf_row = {.clock = clock, .flags = LEAF_CORRUPT};
    leaf_row.key = bytes_of(row->key.data + ROWKEY_SLICE_SIZE, row->key.size - ROWKEY_SLICE_SIZE);
    if (blob_check(row->value, &bytes) == 0 && versions_decode(bytes, versions) == 0) {
        versions_digest(versions, clock);
        leaf_row.flags = versions_live(versions) == 0 ? LEAF_DEAD : 0;
        leaf_row.stamp_ns = latest_stamp(versions);
    }
    leaf_row_encode(&leaf_row, &page->rows);
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n,
                       bool more) {
    struct leaf_page *page = scan->context;
    struct node *node = page->node;
    struct leaf leaf = {.more = more, .n_rows = n};
    size_t size = 0;
    for (uint32_t i = 0; i < n && status == 0; i++) {
        add_row(page, &rows[i]);
        size += rows[i].key.size + rows[i].value.size;
    }
    if (n > 0) {
        leaf.cursor = bytes_of(rows[n - 1].key.data + ROWKEY_SLICE_SIZE,
                               rows[n - 1].key.size - ROWKEY_SLICE_SIZE);
    }
    leaf.rows = buffer_bytes(&page->rows);
    work_end(node, &page->work);
    if (page->done != NULL) {
        page->done(page->context, status, status == 0 ? &leaf : NULL, size);
    }
    page_free(page);
    node_check_idle(node);
}

/* The scan's ends: behind `after`, up to and with `until`. */
static void set_range(struct leaf_page *page, const struct leaf_request *request) {
    struct buffer *keys = &page->keys;
    rowkey_put_slice(keys, request->slice);
    buffer_put_bytes(keys, request->after);
    if (request->after.size > 0) {
        buffer_put_u8(keys, 0);
    }
    size_t at = keys->size;
    bool to_end = request->until.size == 0;
    rowkey_put_slice(keys, to_end ? (uint32_t)request->slice + 1 : request->slice);
    buffer_put_bytes(keys, request->until);
    if (!to_end) {
        buffer_put_u8(keys, 0);
    }
    page->scan.first = bytes_of(keys->data, at);
    page->scan.before = bytes_of(keys->data + at, keys->size - at);
}

struct leaf_page *leaf_page_read(struct node *node, const struct leaf_request *request,
                                 leaf_page_done *done, void *context) {
    struct leaf_page *page = memory_new(1, sizeof *page);
    if (!work_begin(node, &page->work, LEAF_SCAN_BYTES)) {
        free(page);
        return NULL;
    }
    page->node = node;
    page->work.drop = page_drop;
    page->done = done;
    page->context = context;
    set_range(page, request);
    page->scan.rows_max = request->rows_max;
    page->scan.bytes_max = LEAF_SCAN_BYTES;
    page->scan.done = on_scanned;
    page->scan.context = page;
    node->disk->scan(node->disk->self, &page->scan);
    return page;
}

/* ---- LEAF ---- */

struct leaf_answer {
    struct work work;
    struct node *node;
    struct asker asker;
    int64_t deadline_ns;
    bool has_digest;
    uint8_t digest[LEAF_DIGEST_SIZE];
};

static void answer_drop(struct work *work) {
    free(work);
}

static void on_page(void *context, int status, const struct leaf *leaf, size_t size) {
    struct leaf_answer *a = context;
    struct node *node = a->node;
    uint8_t digest[LEAF_DIGEST_SIZE];
    struct leaf reply = {0};
    (void)size;
    if (status == 0) {
        leaf_digest(leaf->rows, digest);
        bool equal = memcmp(digest, a->digest, sizeof digest) == 0 || PLANTED(SAME_PAGES);
        bool same = a->has_digest && !leaf->more && equal;
        reply = same ? (struct leaf){.same = true} : *leaf;
    }
    if (node_now(node) > a->deadline_ns) {
        node->counters.late++;
    } else {
        buffer_clear(&node->encoded);
        if (status == 0) {
            leaf_encode(&reply, &node->encoded);
        }
        answer(node, &a->asker, status, buffer_bytes(&node->encoded));
    }
    work_end(node, &a->work);
    free(a);
}

void leaf_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    const struct ring *ring = membership_ring(node->membership);
    struct asker asker = asker_of(from, message);
    struct leaf_request request;
    int err = leaf_request_decode(message->payload, ring->n_slices, &request);
    if (err == 0 && !ring_is_replica(ring, request.slice, node->config.id)) {
        err = ERR_WRONG_RING;
    }
    if (err != 0) {
        node->counters.messages_bad += err != ERR_WRONG_RING ? 1 : 0;
        answer_status(node, &asker, err);
        return;
    }
    struct leaf_answer *a = memory_new(1, sizeof *a);
    *a = (struct leaf_answer){.work = {.drop = answer_drop}, .node = node, .asker = asker};
    a->deadline_ns = node_deadline(node, message);
    a->has_digest = request.digest.size > 0;
    if (a->has_digest) {
        memcpy(a->digest, request.digest.data, sizeof a->digest);
    }
    if (!work_begin(node, &a->work, 0)) {
        free(a);
        answer_status(node, &asker, ERR_BUSY);
        return;
    }
    if (leaf_page_read(node, &request, on_page, a) == NULL) {
        work_end(node, &a->work);
        free(a);
        answer_status(node, &asker, ERR_BUSY);
    }
}
