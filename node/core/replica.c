/* replica: what is read of this node alone: READ, READ_SCAN, GET and SCAN with OWN. */
#include "node/core/replica.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/condition.h"
#include "node/core/page.h"
#include "node/core/page_show.h"
#include "node/core/pending.h"
#include "node/core/recount.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/settle.h"
#include "shared/err.h"

struct reading {
    struct work work;
    struct node *node;
    struct asker asker;
    struct page_view view; /* as asked */
    bool digest;
    bool strict;           /* only what is chosen */
    bool pending;          /* the answer has what may not be */
    struct bytes sort_key; /* READ: owned */
    int64_t deadline_ns;
    struct rows_hold hold; /* READ: the row, the tally, the pending */
};

static void reading_drop(struct work *work) {
    struct reading *reading = (struct reading *)(void *)work;
    rows_release(&reading->hold);
    free((void *)(uintptr_t)reading->sort_key.data);
    free(reading);
}

/* `payload` may be in node->encoded. */
static void reading_end(struct reading *reading, int status, struct bytes payload) {
    struct node *node = reading->node;
    if (node_now(node) > reading->deadline_ns) {
        node->counters.late++;
    } else {
        uint16_t flags = reading->pending ? MESSAGE_PENDING : 0;
        answer_flagged(node, &reading->asker, status, flags, payload);
    }
    work_end(node, &reading->work);
    reading_drop(&reading->work);
    node_check_idle(node);
}

/* NULL when the message was refused and answered. */
static struct reading *reading_new(struct node *node, const struct endpoint *from,
                                   const struct message *message) {
    const struct ring *ring = membership_ring(node->membership);
    struct asker asker = asker_of(from, message);
    uint16_t slice = ring_slice(ring, message->key);
    if (!ring_is_replica(ring, slice, node->config.id)) {
        answer_status(node, &asker, ERR_WRONG_RING);
        return NULL;
    }
    if (!node_trusts_itself(node, slice)) {
        node->counters.recovering++;
        answer_status(node, &asker, ERR_RECOVERING);
        return NULL;
    }
    struct reading *reading = memory_new(1, sizeof *reading);
    if (!work_begin(node, &reading->work, message->payload.size)) {
        free(reading);
        answer_status(node, &asker, ERR_BUSY);
        return NULL;
    }
    reading->work.drop = reading_drop;
    reading->node = node;
    reading->asker = asker;
    reading->view.flags = message->flags;
    reading->strict = (message->flags & MESSAGE_STRICT) != 0;
    reading->digest = (message->flags & MESSAGE_DIGEST) != 0;
    reading->deadline_ns = node_deadline(node, message);
    return reading;
}

static void on_row(void *context) {
    struct reading *reading = context;
    struct node *node = reading->node;
    const struct row *row = rows_held(&reading->hold, 0);
    if (rows_held(&reading->hold, 1)->durable_status == ERR_CORRUPT) {
        recount_spoilt(node, rows_held(&reading->hold, 1)->key);
    }
    if (row->durable_status != 0) {
        reading_end(reading, row->durable_status, bytes_of(NULL, 0));
        return;
    }
    const struct row *pending = rows_held(&reading->hold, 2);
    if (pending->durable_status == ERR_CORRUPT) {
        settle_broken(node, pending);
    }
    if (pending->durable_status != 0 && !reading->strict) {
        reading_end(reading, pending->durable_status, bytes_of(NULL, 0));
        return;
    }
    uint8_t digest[ROW_DIGEST_SIZE];
    struct buffer joined = {0};
    struct get_reply reply = {.versions = blob_bytes(row->durable)};
    if (!reading->strict && pending->durable != NULL) {
        reading->pending = true;
        reply.versions = pending_join(node, blob_bytes(pending->durable), reading->sort_key,
                                      reply.versions, &joined);
    }
    reply.tally = tally_of(blob_bytes(rows_held(&reading->hold, 1)->durable));
    if (reading->pending) {
        reply.tally = pending_tally(blob_bytes(pending->durable), reply.tally);
    }
    if (reading->digest) {
        row_digest(reply.versions, digest);
        reply.versions = bytes_of(digest, sizeof digest);
    }
    buffer_clear(&node->encoded);
    get_reply_encode(&reply, &node->encoded);
    buffer_release(&joined);
    reading_end(reading, 0, buffer_bytes(&node->encoded));
}

void replica_read(struct node *node, const struct endpoint *from, const struct message *message) {
    struct asker asker = asker_of(from, message);
    if (sort_key_check(message->payload) != 0) {
        node->counters.messages_bad++;
        answer_status(node, &asker, ERR_TOO_BIG);
        return;
    }
    struct reading *reading = reading_new(node, from, message);
    if (reading == NULL) {
        return;
    }
    uint16_t slice = ring_slice(membership_ring(node->membership), message->key);
    reading->sort_key = bytes_copy(message->payload);
    rows_hold_init(&reading->hold, 3, on_row, reading);
    buffer_clear(&node->key);
    rowkey_put_row(&node->key, slice, message->key, message->payload);
    rows_hold_add(node->rows, &reading->hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, slice, message->key);
    rows_hold_add(node->rows, &reading->hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_pending(&node->key, slice, message->key);
    rows_hold_add(node->rows, &reading->hold, buffer_bytes(&node->key));
    if (rows_hold_wait(&reading->hold)) {
        on_row(reading);
    }
}

static void on_page(void *context, int status, struct bytes payload) {
    struct reading *reading = context;
    struct node *node = reading->node;
    if (status != 0 || reading->digest || (reading->view.flags & MESSAGE_OWN) == 0) {
        reading_end(reading, status, payload);
        return;
    }
    struct buffer arena = {0};
    struct scan_reply page;
    scan_reply_decode(payload, &page);
    if (page_show(node, &reading->view, &page, &arena)) {
        buffer_clear(&node->encoded);
        scan_reply_encode(&page, &node->encoded);
        payload = buffer_bytes(&node->encoded);
    }
    scan_reply_release(&page);
    buffer_release(&arena);
    reading_end(reading, 0, payload);
}

void replica_scan(struct node *node, const struct endpoint *from, const struct message *message) {
    struct scan_request request;
    int err = scan_request_decode(message->payload, &request);
    if (err != 0) {
        struct asker asker = asker_of(from, message);
        node->counters.messages_bad++;
        answer_status(node, &asker, err);
        return;
    }
    struct reading *reading = reading_new(node, from, message);
    if (reading == NULL) {
        return;
    }
    reading->view.request.value_at = request.value_at;
    reading->view.request.value_max = request.value_max;
    struct page_wish wish = {message->key, &request, reading->digest,
                             reading->strict ? NULL : &reading->pending};
    if (page_read(node, &wish, on_page, reading) == NULL) {
        reading_end(reading, ERR_BUSY, bytes_of(NULL, 0));
    }
}
