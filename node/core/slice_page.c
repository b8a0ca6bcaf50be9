/* slice_page: SLICE, one page of everything that a node holds of slices, for a node that recovers.
 */
#include "node/core/slice_page.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/scrub.h"
#include "shared/err.h"

const char slice_kinds[] = "pqsr";

/* ---- codec ---- */

static void cursor_put(const struct slice_cursor *cursor, struct buffer *into) {
    buffer_put_u16(into, cursor->slice);
    buffer_put_u8(into, cursor->kind);
    buffer_put_sized16(into, cursor->after);
}

static struct slice_cursor cursor_take(struct reader *r) {
    struct slice_cursor cursor = {0};
    cursor.slice = reader_u16(r);
    cursor.kind = reader_u8(r);
    cursor.after = reader_sized16(r);
    return cursor;
}

static bool cursor_sound(const struct slice_cursor *cursor) {
    return cursor->slice <= RING_SLICES_MAX && cursor->kind < strlen(slice_kinds) &&
           cursor->after.size <= ROWKEY_HEAD + PARTITION_KEY_MAX + SORT_KEY_MAX;
}

void slice_request_encode(const struct slice_request *request, struct buffer *into) {
    buffer_put_u64(into, request->generation);
    buffer_put_u32(into, request->bytes_max);
    cursor_put(&request->from, into);
}

int slice_request_decode(struct bytes payload, struct slice_request *ret) {
    struct reader r = reader_of(payload);
    struct slice_request request = {0};
    request.generation = reader_u64(&r);
    request.bytes_max = reader_u32(&r);
    request.from = cursor_take(&r);
    if (reader_end(&r) != 0 || !cursor_sound(&request.from)) {
        return ERR_INVALID;
    }
    *ret = request;
    return 0;
}

static struct slice_row row_take(struct reader *r) {
    struct slice_row row = {0};
    row.key = reader_sized16(r);
    row.value = reader_sized32(r);
    return row;
}

int slice_reply_decode(struct bytes payload, struct slice_reply *ret) {
    struct reader r = reader_of(payload);
    struct slice_reply reply = {0};
    uint8_t trusted = reader_u8(&r);
    reply.trusted = trusted == 1;
    reply.life = reader_u16(&r);
    reply.next = cursor_take(&r);
    reply.n = reader_u32(&r);
    reply.rows = r;
    for (uint32_t i = 0; i < reply.n && !r.bad; i++) {
        struct slice_row row = row_take(&r);
        bool unreadable = row.value.size == 0;
        if (row.key.size < ROWKEY_SLICE_SIZE || (unreadable && row.key.data[0] != 'r')) {
            return ERR_INVALID;
        }
    }
    if (reader_end(&r) != 0 || trusted > 1 || !cursor_sound(&reply.next)) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

struct slice_row slice_row_next(struct slice_reply *reply) {
    return row_take(&reply->rows);
}

void slice_range(uint8_t kind, uint16_t slice, struct buffer *first, struct buffer *before) {
    rowkey_put_kind(first, kind, slice);
    rowkey_put_kind(before, kind, slice + 1u);
}

/* ---- serving ---- */

struct slice_page {
    struct work work;
    struct node *node;
    struct asker asker;
    uint16_t peer;
    int64_t deadline_ns;
    int64_t enough_ns; /* the page ends when this is over */
    struct timer barrier;
    uint64_t commits; /* that were asked before the request came */
    uint16_t slice;
    uint8_t kind;
    bool trusted;
    uint32_t bytes_max, n, n_scans;
    struct disk_scan scan;
    struct buffer after; /* the cursor within the kind */
    struct buffer first, before;
    struct buffer rows;
};

static void page_free(struct slice_page *page) {
    timers_cancel(page->node->timers, &page->barrier);
    buffer_release(&page->after);
    buffer_release(&page->first);
    buffer_release(&page->before);
    buffer_release(&page->rows);
    free(page);
}

static void page_drop(struct work *work) {
    page_free((struct slice_page *)(void *)work);
}

static void page_end(struct slice_page *page, int status) {
    struct node *node = page->node;
    struct slice_cursor next = {page->slice, page->kind, buffer_bytes(&page->after)};
    buffer_clear(&node->encoded);
    if (status == 0) {
        buffer_put_u8(&node->encoded, page->trusted ? 1 : 0);
        buffer_put_u16(&node->encoded, recovery_life(node));
        cursor_put(&next, &node->encoded);
        buffer_put_u32(&node->encoded, page->n);
        buffer_put_bytes(&node->encoded, buffer_bytes(&page->rows));
    }
    if (node_now(node) > page->deadline_ns) {
        node->counters.late++;
    } else {
        answer(node, &page->asker, status, buffer_bytes(&node->encoded));
    }
    node->n_slice_pages--;
    work_end(node, &page->work);
    page_free(page);
    node_check_idle(node);
}

/* The first slice from here on that both nodes hold; the ring's end when there is none. */
static uint16_t shared_slice(const struct slice_page *page, uint16_t from) {
    const struct ring *ring = membership_ring(page->node->membership);
    uint16_t slice = from;
    while (slice < ring->n_slices && !(ring_is_replica(ring, slice, page->peer) &&
                                       ring_is_replica(ring, slice, page->node->config.id))) {
        slice++;
    }
    return slice < ring->n_slices ? slice : ring->n_slices;
}

static void next_kind(struct slice_page *page) {
    buffer_clear(&page->after);
    page->kind++;
    if (slice_kinds[page->kind] == '\0') {
        page->kind = 0;
        page->slice = shared_slice(page, (uint16_t)(page->slice + 1));
    }
}

/* Whether the page ends before the slice at the cursor is read on. */
static bool page_full(const struct slice_page *page) {
    const struct node *node = page->node;
    return page->slice >= membership_ring(node->membership)->n_slices ||
           page->rows.size >= page->bytes_max || page->n_scans >= SLICE_PAGE_SCANS_MAX ||
           node_now(node) > page->enough_ns ||
           node_trusts_itself(node, page->slice) != page->trusted;
}

static void scan_next(struct slice_page *page) {
    struct node *node = page->node;
    if (page_full(page)) {
        page_end(page, 0);
        return;
    }
    buffer_clear(&page->first);
    buffer_clear(&page->before);
    slice_range((uint8_t)slice_kinds[page->kind], page->slice, &page->first, &page->before);
    if (page->after.size > 0) {
        buffer_clear(&page->first);
        buffer_put_bytes(&page->first, buffer_bytes(&page->after));
        buffer_put_u8(&page->first, 0);
    }
    page->n_scans++;
    page->scan.first = buffer_bytes(&page->first);
    page->scan.before = buffer_bytes(&page->before);
    page->scan.rows_max = SLICE_PAGE_ROWS_MAX;
    page->scan.bytes_max = page->bytes_max - (uint32_t)page->rows.size;
    node->disk->scan(node->disk->self, &page->scan);
}

static void take_row(struct slice_page *page, const struct disk_row *row) {
    struct bytes value;
    if (blob_check(row->value, &value) != 0) {
        /* This copy is lost; the other replicas have theirs. */
        page->node->counters.corrupt_rows++;
        scrub_mend(page->node, row->key);
        if (row->key.data[0] != 'r') {
            return;
        }
        value = bytes_of(NULL, 0); /* so that nobody takes the tail for what the rows hold */
    }
    buffer_put_sized16(&page->rows, row->key);
    buffer_put_sized32(&page->rows, value);
    page->n++;
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n,
                       bool more) {
    struct slice_page *page = scan->context;
    if (status != 0) {
        page_end(page, status);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (page->n > 0 && page->rows.size + rows[i].value.size > SLICE_PAGE_BYTES_MAX) {
            page_end(page, 0);
            return;
        }
        take_row(page, &rows[i]);
        buffer_clear(&page->after);
        buffer_put_bytes(&page->after, rows[i].key);
    }
    if (!more) {
        next_kind(page);
    }
    scan_next(page);
}

static void on_barrier(void *context) {
    struct slice_page *page = context;
    struct node *node = page->node;
    if (rows_commits_ended(node->rows, page->commits)) {
        scan_next(page);
    } else if (node_now(node) > page->deadline_ns) {
        page_end(page, ERR_TIMEOUT);
    } else {
        timers_set(node->timers, &page->barrier, node_now(node) + SLICE_BARRIER_MS * NS_PER_MS);
    }
}

static struct slice_page *page_new(struct node *node, const struct endpoint *from,
                                   const struct message *message,
                                   const struct slice_request *request) {
    struct slice_page *page = memory_new(1, sizeof *page);
    page->work.drop = page_drop;
    if (node->n_slice_pages >= SLICE_PAGES_MAX ||
        !work_begin(node, &page->work, request->bytes_max)) {
        free(page);
        return NULL;
    }
    node->n_slice_pages++;
    page->node = node;
    page->asker = asker_of(from, message);
    page->peer = from->node;
    page->deadline_ns = node_deadline(node, message);
    page->enough_ns = (node_now(node) + page->deadline_ns) / 2;
    page->barrier = (struct timer){.fire = on_barrier, .context = page};
    page->commits = rows_commits_asked(node->rows);
    page->slice = shared_slice(page, request->from.slice);
    if (page->slice == request->from.slice) {
        page->kind = request->from.kind;
        buffer_put_bytes(&page->after, request->from.after);
    }
    page->trusted = node_trusts_itself(node, page->slice);
    page->bytes_max = request->bytes_max;
    page->scan.done = on_scanned;
    page->scan.context = page;
    return page;
}

void slice_page_receive(struct node *node, const struct endpoint *from,
                        const struct message *message) {
    struct asker asker = asker_of(from, message);
    struct slice_request request;
    int err = slice_request_decode(message->payload, &request);
    if (err != 0) {
        node->counters.messages_bad++;
        answer_status(node, &asker, err);
        return;
    }
    int index = ring_member_index(membership_ring(node->membership), from->node);
    node->links[index].incarnation = recovery_life_of(request.generation);
    if (request.bytes_max > SLICE_PAGE_BYTES) {
        request.bytes_max = SLICE_PAGE_BYTES;
    }
    struct slice_page *page = page_new(node, from, message, &request);
    if (page == NULL) {
        answer_status(node, &asker, ERR_BUSY);
        return;
    }
    on_barrier(page);
}
