/* page: one page of a partition's rows as this node has them on its disk. */
#include "node/core/page.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "node/core/condition.h"
#include "node/core/pending.h"
#include "node/core/recount.h"
#include "node/core/rowkey.h"
#include "node/core/scrub.h"
#include "node/core/settle.h"
#include "shared/err.h"

enum { TALLY_SIZE = 16 };

struct page_read {
    struct work work;
    struct node *node;
    page_done *done; /* NULL: given up */
    void *context;
    struct disk_scan scan;
    struct rows_hold hold; /* the tally; then perhaps the pending */
    bool *ret_pending;     /* NULL: it is not looked at */
    struct blob *pending;  /* as it was before the rows were read */
    struct scan_request request;
    bool digest_only;
    bool tally_held;
    bool scanned;
    int status;
    struct bytes partition_key; /* in `keys` */
    struct buffer keys;         /* partition key, first and before of the scan */
    struct buffer summed;       /* what the digest is of */
    struct buffer payload;
};

static void page_free(struct page_read *page) {
    rows_release(&page->hold);
    blob_unref(page->pending);
    buffer_release(&page->keys);
    buffer_release(&page->summed);
    buffer_release(&page->payload);
    free(page);
}

static void page_drop(struct work *work) {
    page_free((struct page_read *)(void *)work);
}

void page_forget(struct page_read *page) {
    page->done = NULL;
}

/* ---- digests ---- */

void page_digest(struct bytes payload, uint8_t ret[PAGE_DIGEST_SIZE]) {
    struct reader reader = reader_of(payload);
    reader_bytes(&reader, TALLY_SIZE + 1); /* and `more` */
    reader_sized16(&reader);
    struct bytes digest = reader_sized8(&reader);
    assert(digest.size == PAGE_DIGEST_SIZE);
    memcpy(ret, digest.data, PAGE_DIGEST_SIZE);
}

static void sum_row(struct page_read *page, struct bytes sort_key, uint64_t sum) {
    buffer_put_sized16(&page->summed, sort_key);
    buffer_put_u64(&page->summed, sum);
}

/* Encodes the page with its digest, or that alone, once all its rows are summed. */
static void encode(struct page_read *page, struct scan_reply *reply, bool digest_only) {
    uint8_t digest[PAGE_DIGEST_SIZE];
    buffer_put_sized16(&page->summed, reply->cursor);
    buffer_put_u8(&page->summed, reply->more);
    XXH128_hash_t hash = XXH3_128bits(page->summed.data, page->summed.size);
    bytes_store_u64(digest, hash.low64);
    bytes_store_u64(digest + 8, hash.high64);
    reply->digest = bytes_of(digest, sizeof digest);
    if (digest_only) {
        *reply = (struct scan_reply){.digest = reply->digest};
    }
    buffer_clear(&page->payload);
    scan_reply_encode(reply, &page->payload);
}

/* As it would be summed on the disk. */
static uint64_t sum_of(struct page_read *page, const struct scan_row *row) {
    struct node *node = page->node;
    uint16_t slice = ring_slice(membership_ring(node->membership), page->partition_key);
    buffer_clear(&node->key);
    rowkey_put_row(&node->key, slice, page->partition_key, row->sort_key);
    struct blob *blob = blob_new(row->versions);
    uint64_t sum = disk_sum(buffer_bytes(&node->key), blob_stored(blob));
    blob_unref(blob);
    return sum;
}

/* The page with the pending. */
static void join_pending(struct page_read *page) {
    struct buffer joined = {0};
    struct scan_reply reply;
    page->status = pending_join_page(blob_bytes(page->pending), &page->request,
                                     buffer_bytes(&page->payload), &joined);
    if (page->status == 0) {
        scan_reply_decode(buffer_bytes(&joined), &reply);
        struct scan_row *rows = reply.rows;
        buffer_clear(&page->summed);
        for (uint32_t i = 0; i < reply.n_rows; i++) {
            sum_row(page, rows[i].sort_key, sum_of(page, &rows[i]));
        }
        encode(page, &reply, page->digest_only);
        free(rows);
    }
    buffer_release(&joined);
}

/* ---- reading ---- */

/* Ends when both the tally and the rows are there. */
static void page_check_end(struct page_read *page) {
    if (!page->tally_held || !page->scanned) {
        return;
    }
    struct node *node = page->node;
    const struct row *tally_row = rows_held(&page->hold, 0);
    if (page->done != NULL && page->ret_pending != NULL) {
        *page->ret_pending = page->pending != NULL;
    }
    if (page->status == 0 && page->pending != NULL) {
        join_pending(page);
    }
    if (page->status == 0) {
        /* A tally that cannot be read is not worth failing a listing for. */
        struct tally tally =
            pending_tally(blob_bytes(page->pending), tally_of(blob_bytes(tally_row->durable)));
        bytes_store_u64(page->payload.data, tally.n_live);
        bytes_store_u64(page->payload.data + 8, tally.changed_ns);
    }
    if (tally_row->durable_status == ERR_CORRUPT && node->state == NODE_SERVING) {
        recount_start(node, page->partition_key);
    }
    rows_release(&page->hold);
    work_end(node, &page->work);
    if (page->done != NULL) {
        struct bytes payload = page->status == 0 ? buffer_bytes(&page->payload) : bytes_of(NULL, 0);
        page->done(page->context, page->status, payload);
    }
    page_free(page);
    node_check_idle(node);
}

static void scan(struct page_read *page);

static void on_held(void *context) {
    struct page_read *page = context;
    page->tally_held = true;
    if (page->ret_pending == NULL) {
        page_check_end(page);
        return;
    }
    /* First the pending, then the rows: one that is applied in between is in both. */
    page->pending = blob_ref(rows_held(&page->hold, 1)->durable);
    page->status = rows_held(&page->hold, 1)->durable_status;
    if (page->status == ERR_CORRUPT) {
        settle_broken(page->node, rows_held(&page->hold, 1));
    }
    if (page->status != 0) {
        page->scanned = true;
        page_check_end(page);
    } else {
        page->scan.sums_only = page->digest_only && page->pending == NULL;
        scan(page);
    }
}

static int take_row(struct page_read *page, const struct disk_row *row, struct scan_row *ret) {
    int err = rowkey_sort_key(row->key, page->partition_key, &ret->sort_key);
    if (err == 0 && !page->scan.sums_only) {
        err = blob_check(row->value, &ret->versions);
        err = err == 0 ? versions_decode(ret->versions, &page->node->scratch[0]) : err;
    }
    return err;
}

/* The rows of the disk as rows of a reply, borrowed; ERR_CORRUPT when one cannot be trusted. */
static int take_rows(struct page_read *page, const struct disk_row *rows, uint32_t n,
                     struct scan_row *ret) {
    for (uint32_t i = 0; i < n; i++) {
        ret[i] = (struct scan_row){0};
        if (take_row(page, &rows[i], &ret[i]) != 0) {
            scrub_mend(page->node, rows[i].key);
            return ERR_CORRUPT;
        }
        sum_row(page, ret[i].sort_key, rows[i].sum);
    }
    return 0;
}

/* The row of the empty sort key came alone though there are more, and a page must not end there. It
 * is read again with the next one, however large: rows of two moments would be a page that never
 * was. */
static void scan_with_next(struct page_read *page) {
    buffer_clear(&page->summed);
    page->scan.rows_max = 2;
    page->scan.bytes_max = INT32_MAX;
    scan(page);
}

static void encode_page(struct page_read *page, struct scan_row *rows, uint32_t n, bool more) {
    struct scan_reply reply = {.n_rows = n, .rows = rows, .more = more};
    if (n > 0) {
        reply.cursor = rows[n - 1].sort_key;
    }
    encode(page, &reply, page->digest_only && page->pending == NULL); /* which is to be joined */
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows,
                       uint32_t n_rows, bool more) {
    struct page_read *page = scan->context;
    struct scan_row *taken = memory_new(n_rows, sizeof *taken);
    page->status = status != 0 ? status : take_rows(page, rows, n_rows, taken);
    bool alone = page->status == 0 && more && n_rows == 1 && taken[0].sort_key.size == 0;
    if (alone) {
        scan_with_next(page);
    } else if (page->status == 0) {
        encode_page(page, taken, n_rows, more);
    } else {
        page->node->counters.corrupt_rows += page->status == ERR_CORRUPT ? 1 : 0;
    }
    free(taken);
    if (!alone) {
        page->scanned = true;
        page_check_end(page);
    }
}

static void scan(struct page_read *page) {
    page->node->disk->scan(page->node->disk->self, &page->scan);
}

/* Appends the scan's range to `keys`, whose memory then stays in place. */
static void page_range(struct page_read *page, uint16_t slice, struct bytes partition_key,
                       const struct scan_request *request) {
    struct buffer *keys = &page->keys;
    bool resumes = request->after.size > 0 && bytes_compare(request->after, request->first) >= 0;
    /* Room for all of it and for copy_range(), so that nothing moves. */
    size_t room = 6 * (size_t)(ROWKEY_HEAD + PARTITION_KEY_MAX + SORT_KEY_MAX + 1);
    buffer_extend(keys, room);
    buffer_clear(keys);
    buffer_put_bytes(keys, partition_key);
    page->partition_key = bytes_of(keys->data, partition_key.size);
    size_t at = keys->size;
    rowkey_put_row(keys, slice, partition_key, resumes ? request->after : request->first);
    if (resumes) {
        buffer_put_u8(keys, 0);
    }
    page->scan.first = bytes_of(keys->data + at, keys->size - at);
    at = keys->size;
    if (request->before.size > 0) {
        rowkey_put_row(keys, slice, partition_key, request->before);
    } else {
        rowkey_put_end(keys, slice, partition_key);
    }
    page->scan.before = bytes_of(keys->data + at, keys->size - at);
}

static void put_key(struct buffer *keys, struct bytes key, struct bytes *ret) {
    size_t at = keys->size;
    buffer_put_bytes(keys, key);
    *ret = bytes_of(keys->data + at, key.size);
}

/* The request's keys, for the length of the read; page_range() made room for them. */
static void copy_range(struct page_read *page, const struct scan_request *request) {
    put_key(&page->keys, request->after, &page->request.after);
    put_key(&page->keys, request->first, &page->request.first);
    put_key(&page->keys, request->before, &page->request.before);
}

struct page_read *page_read(struct node *node, const struct page_wish *wish, page_done *done,
                            void *context) {
    struct page_read *page = memory_new(1, sizeof *page);
    const struct scan_request *request = wish->request;
    uint16_t slice = ring_slice(membership_ring(node->membership), wish->partition_key);
    if (!work_begin(node, &page->work, request->bytes_max)) {
        free(page);
        return NULL;
    }
    page->node = node;
    page->work.drop = page_drop;
    page->done = done;
    page->context = context;
    page->digest_only = wish->digest;
    page->ret_pending = wish->ret_pending;
    page_range(page, slice, wish->partition_key, request);
    page->scan.rows_max = request->rows_max;
    page->scan.bytes_max = request->bytes_max;
    page->scan.sums_only = wish->digest;
    page->scan.done = on_scanned;
    page->scan.context = page;
    /* With the keys where they stay. */
    page->request =
        (struct scan_request){.rows_max = request->rows_max, .bytes_max = request->bytes_max};
    if (wish->ret_pending == NULL) {
        scan(page);
    } else {
        copy_range(page, request);
    }
    rows_hold_init(&page->hold, 2, on_held, page);
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, slice, wish->partition_key);
    rows_hold_add(node->rows, &page->hold, buffer_bytes(&node->key));
    if (wish->ret_pending != NULL) {
        buffer_clear(&node->key);
        rowkey_put_pending(&node->key, slice, wish->partition_key);
        rows_hold_add(node->rows, &page->hold, buffer_bytes(&node->key));
    }
    if (rows_hold_wait(&page->hold)) {
        on_held(page);
    }
    return page;
}
