/* partition_page: PARTITIONS, a page of the partitions that this node holds of a slice. */
#include "node/core/partition_page.h"

#include <stdlib.h>

#include "node/core/condition.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

enum { TALLY_SIZE = 16 };

struct partition_page {
    struct work work;
    struct node *node;
    struct asker asker;
    int64_t deadline_ns;
    struct disk_scan scan;
    struct buffer keys; /* first and before of the scan */
    struct buffer listed;
};

static void page_free(struct partition_page *page) {
    buffer_release(&page->keys);
    buffer_release(&page->listed);
    free(page);
}

static void page_drop(struct work *work) {
    page_free((struct partition_page *)(void *)work);
}

static void add_partition(struct partition_page *page, const struct disk_row *row) {
    struct partition_tally partition = {.tally = {.n_live = 1}};
    struct bytes value;
    partition.key = bytes_of(row->key.data + ROWKEY_HEAD, row->key.size - ROWKEY_HEAD);
    if (blob_check(row->value, &value) == 0 && value.size == TALLY_SIZE) {
        partition.tally = tally_of(value);
    }
    partition_tally_encode(&partition, &page->listed);
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n,
                       bool more) {
    struct partition_page *page = scan->context;
    struct node *node = page->node;
    for (uint32_t i = 0; i < n && status == 0; i++) {
        add_partition(page, &rows[i]);
    }
    struct partitions_page reply = {.more = more, .n = n, .listed = buffer_bytes(&page->listed)};
    if (node_now(node) > page->deadline_ns) {
        node->counters.late++;
    } else {
        buffer_clear(&node->encoded);
        if (status == 0) {
            partitions_page_encode(&reply, &node->encoded);
        }
        answer(node, &page->asker, status, buffer_bytes(&node->encoded));
    }
    work_end(node, &page->work);
    page_free(page);
    node_check_idle(node);
}

/* From behind `after` to the slice's end, or only the keys of one size. */
static void set_range(struct partition_page *page, const struct partitions_request *request) {
    struct buffer *keys = &page->keys;
    bool resumed = request->after.size > 0 && request->after.size >= request->key_size;
    if (resumed) {
        rowkey_put_tally(keys, request->slice, request->after);
        buffer_put_u8(keys, 0);
    } else {
        rowkey_put_kind(keys, 't', request->slice);
        buffer_put_u8(keys, request->key_size);
    }
    size_t at = keys->size;
    bool to_end = request->key_size == 0 || request->key_size == UINT8_MAX;
    rowkey_put_kind(keys, 't', to_end ? request->slice + 1u : request->slice);
    if (!to_end) {
        buffer_put_u8(keys, (uint8_t)(request->key_size + 1));
    }
    page->scan.first = bytes_of(keys->data, at);
    page->scan.before = bytes_of(keys->data + at, keys->size - at);
}

static void page_start(struct node *node, const struct asker *asker, int64_t deadline_ns,
                       const struct partitions_request *request) {
    struct partition_page *page = memory_new(1, sizeof *page);
    *page = (struct partition_page){
        .work = {.drop = page_drop}, .node = node, .asker = *asker, .deadline_ns = deadline_ns};
    if (!work_begin(node, &page->work, PARTITION_PAGE_BYTES)) {
        free(page);
        answer_status(node, asker, ERR_BUSY);
        return;
    }
    set_range(page, request);
    page->scan.rows_max = request->n_max;
    page->scan.bytes_max = PARTITION_PAGE_BYTES;
    page->scan.done = on_scanned;
    page->scan.context = page;
    node->disk->scan(node->disk->self, &page->scan);
}

void partition_page_receive(struct node *node, const struct endpoint *from,
                            const struct message *message) {
    const struct ring *ring = membership_ring(node->membership);
    struct asker asker = asker_of(from, message);
    struct partitions_request request;
    int err = partitions_request_decode(message->payload, ring->n_slices, &request);
    if (err == 0 && !ring_is_replica(ring, request.slice, node->config.id)) {
        err = ERR_WRONG_RING;
    } else if (err == 0 && !node_trusts_itself(node, request.slice)) {
        err = ERR_UNAVAILABLE;
    }
    if (err != 0) {
        node->counters.messages_bad += err == ERR_INVALID || err == ERR_TOO_BIG ? 1 : 0;
        answer_status(node, &asker, err);
        return;
    }
    page_start(node, &asker, node_deadline(node, message), &request);
}
