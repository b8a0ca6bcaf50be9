/* reconcile: brings the rows in which two pages differ to both replicas. */
#include "node/core/reconcile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/apply.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

/* A row that differs. */
struct item {
    struct bytes key; /* a row key, in one of the copies */
    bool here;
    bool there;
    bool pull;                 /* to be read from the peer */
    size_t sent_at, sent_size; /* the context that was sent, in the lane's buffer */
};

/* A group of rows on its way. */
struct lane {
    struct reconcile *reconcile;
    uint32_t first, n; /* its items; n = 0: at rest */
    uint32_t at;       /* the next to look at for reading */
    uint64_t id;       /* of the request that is out; 0 = none */
    bool pushing;      /* it is a REPAIR, else a READ */
    bool applying;
    uint32_t n_failed;
    struct rows_hold hold;
    struct buffer contexts;
};

struct reconcile {
    struct node *node;
    uint16_t peer, slice;
    reconcile_done *done;
    void *context;
    struct bytes here, there; /* rows of the pages, owned */
    struct item *items;
    uint32_t n_items, next;
    struct reconcile_result result;
    struct lane lanes[RECONCILE_LANES];
    struct timer timer;
    bool aborted;
    bool filling;  /* lanes are set going or ended: nobody else does so meanwhile */
    bool starting; /* `done` must not be called yet */
};

/* ---- what differs ---- */

struct bytes leaf_common_end(const struct leaf *here, const struct leaf *there) {
    if (!here->more) {
        return there->more ? there->cursor : bytes_of(NULL, 0);
    }
    bool first = !there->more || bytes_compare(here->cursor, there->cursor) <= 0;
    return first ? here->cursor : there->cursor;
}

static bool sound(const struct leaf_row *row) {
    return (row->flags & LEAF_CORRUPT) == 0;
}

static void add_item(struct reconcile *r, const struct leaf_row *here,
                     const struct leaf_row *there) {
    struct item item = {.key = here != NULL ? here->key : there->key,
                        .here = here != NULL && sound(here),
                        .there = there != NULL && sound(there)};
    bool same = item.here && item.there && memcmp(here->clock, there->clock, LEAF_DIGEST_SIZE) == 0;
    if (same || (!item.here && !item.there)) {
        return;
    }
    item.pull = !item.here;
    r->items[r->n_items++] = item;
}

/* Merges the two lists, both in the order of keys, up to `end`. */
static void find_items(struct reconcile *r, struct bytes here, struct bytes there,
                       struct bytes end) {
    struct leaf_row a, b;
    bool has_a = leaf_next(&here, &a);
    bool has_b = leaf_next(&there, &b);
    while (has_a || has_b) {
        int order = !has_a ? 1 : !has_b ? -1 : bytes_compare(a.key, b.key);
        struct bytes key = order <= 0 ? a.key : b.key;
        if (end.size > 0 && bytes_compare(key, end) > 0) {
            break;
        }
        add_item(r, order <= 0 ? &a : NULL, order >= 0 ? &b : NULL);
        has_a = order <= 0 ? leaf_next(&here, &a) : has_a;
        has_b = order >= 0 ? leaf_next(&there, &b) : has_b;
    }
}

static struct bytes partition_of(struct bytes key) {
    struct bytes partition_key = {0}, sort_key;
    int err = row_key_split(key, &partition_key, &sort_key);
    assert(err == 0); /* checked by the decoder, or ours */
    (void)err;
    return partition_key;
}

static struct bytes sort_key_of(struct bytes key) {
    struct bytes partition_key, sort_key = {0};
    int err = row_key_split(key, &partition_key, &sort_key);
    assert(err == 0);
    (void)err;
    return sort_key;
}

/* ---- a lane ---- */

static void lane_go_on(struct lane *lane);
static void fill_lanes(struct reconcile *r);

static void stir(struct reconcile *r) {
    int64_t at = node_now(r->node) + RECONCILE_REPLY_MS * NS_PER_MS;
    timers_set(r->node->timers, &r->timer, at);
}

static void lane_end(struct lane *lane) {
    struct reconcile *r = lane->reconcile;
    r->result.n_failed += lane->n_failed;
    rows_release(&lane->hold);
    buffer_clear(&lane->contexts);
    lane->n = 0;
    lane->id = 0;
    fill_lanes(r);
}

static void lane_fail(struct lane *lane) {
    lane->n_failed = lane->n;
    lane_end(lane);
}

static int lane_send(struct lane *lane, struct message *message) {
    struct reconcile *r = lane->reconcile;
    if (r->aborted) {
        return ERR_CLOSED;
    }
    message->id = node_request_id(r->node);
    message->budget_ms = NODE_REPLICA_TIMEOUT_MS;
    lane->id = message->id;
    r->result.bytes += message->payload.size;
    stir(r);
    return node_ask(r->node, r->peer, message);
}

/* The operations that send the lane's rows as they are on the disk; rows that are gone or cannot be
 * read are left to be pulled. */
static uint32_t push_ops(struct lane *lane, struct row_op *ops) {
    struct reconcile *r = lane->reconcile;
    struct versions *versions = &r->node->scratch[0];
    uint32_t n = 0;
    uint32_t held = 0;
    for (uint32_t i = 0; i < lane->n; i++) {
        struct item *item = &r->items[lane->first + i];
        if (!item->here) {
            continue;
        }
        const struct row *row = rows_held(&lane->hold, held++);
        item->here = row->durable_status == 0 && row->durable != NULL;
        item->pull = !item->here;
        if (item->here) {
            versions_decode(blob_bytes(row->durable), versions);
            item->sent_at = lane->contexts.size;
            context_encode(&versions->context, &lane->contexts);
            item->sent_size = lane->contexts.size - item->sent_at;
            ops[n++] = (struct row_op){.kind = ROW_PUT,
                                       .sort_key = sort_key_of(item->key),
                                       .value = blob_bytes(row->durable)};
        }
    }
    return n;
}

static void lane_push(struct lane *lane) {
    struct reconcile *r = lane->reconcile;
    struct row_op ops[RECONCILE_GROUP_MAX];
    struct buffer payload = {0};
    struct batch batch = {.n = push_ops(lane, ops), .ops = ops};
    int err = 0;
    lane->pushing = batch.n > 0;
    if (lane->pushing) {
        batch_encode(&batch, &payload);
        struct message message = {.type = MESSAGE_REPAIR,
                                  .key = partition_of(r->items[lane->first].key),
                                  .payload = buffer_bytes(&payload)};
        err = payload.size <= MESSAGE_PAYLOAD_MAX ? lane_send(lane, &message) : ERR_TOO_BIG;
    }
    buffer_release(&payload);
    rows_release(&lane->hold);
    if (err != 0) {
        lane_fail(lane);
    } else if (!lane->pushing) {
        lane_go_on(lane);
    }
}

static void on_held(void *context) {
    lane_push(context);
}

/* The peer's rows after the push: those that know more than what was sent are read. */
static void on_pushed(struct lane *lane, const struct message *message) {
    struct reconcile *r = lane->reconcile;
    struct batch_reply reply;
    if (message->status != 0 || batch_reply_decode(message->payload, &reply) != 0) {
        lane_fail(lane);
        return;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < lane->n; i++) {
        struct item *item = &r->items[lane->first + i];
        if (item->here && at < reply.n_contexts) {
            struct bytes sent = bytes_of(lane->contexts.data + item->sent_at, item->sent_size);
            item->pull = !bytes_equal(sent, reply.contexts[at++]);
        }
    }
    batch_reply_release(&reply);
    lane_go_on(lane);
}

/* Reads the next row that is to be pulled; ends when there is none. */
static void lane_go_on(struct lane *lane) {
    struct reconcile *r = lane->reconcile;
    while (lane->at < lane->n && !r->items[lane->first + lane->at].pull) {
        lane->at++;
    }
    if (lane->at == lane->n) {
        lane_end(lane);
        return;
    }
    struct bytes key = r->items[lane->first + lane->at].key;
    struct message message = {.type = MESSAGE_READ,
                              .flags = MESSAGE_STRICT, /* what is pending repairs nobody */
                              .key = partition_of(key),
                              .payload = sort_key_of(key)};
    lane->pushing = false;
    if (lane_send(lane, &message) != 0) {
        lane_fail(lane);
    }
}

static void pulled(struct lane *lane, int status) {
    lane->n_failed += status != 0 ? 1 : 0;
    lane->at++;
    lane_go_on(lane);
}

static void on_applied(void *context, int status) {
    struct lane *lane = context;
    lane->applying = false;
    pulled(lane, status);
}

static int apply_row(struct lane *lane, struct bytes versions) {
    struct reconcile *r = lane->reconcile;
    struct bytes key = r->items[lane->first + lane->at].key;
    struct row_op op = {.kind = ROW_PUT, .sort_key = sort_key_of(key), .value = versions};
    struct batch batch = {.n = 1, .ops = &op};
    struct buffer payload = {0};
    batch_encode(&batch, &payload);
    r->result.bytes += payload.size;
    lane->applying = true;
    int err = apply_here(r->node, partition_of(key), buffer_bytes(&payload), on_applied, lane);
    buffer_release(&payload);
    return err;
}

static void on_read(struct lane *lane, const struct message *message) {
    struct get_reply reply = {0};
    int err = -(int)message->status;
    if (err == 0) {
        err = get_reply_decode(message->payload, &reply);
    }
    if (err == 0 && reply.versions.size > 0) {
        err = apply_row(lane, reply.versions);
        if (err == 0) {
            return;
        }
        lane->applying = false;
    }
    pulled(lane, err);
}

static void lane_begin(struct lane *lane, uint32_t first, uint32_t n) {
    struct reconcile *r = lane->reconcile;
    uint32_t n_here = 0;
    *lane = (struct lane){.reconcile = r, .first = first, .n = n, .contexts = lane->contexts};
    for (uint32_t i = 0; i < n; i++) {
        n_here += r->items[first + i].here ? 1 : 0;
    }
    rows_hold_init(&lane->hold, n_here, on_held, lane);
    for (uint32_t i = 0; i < n; i++) {
        struct buffer *key = &r->node->key;
        if (r->items[first + i].here) {
            buffer_clear(key);
            rowkey_put_slice(key, r->slice);
            buffer_put_bytes(key, r->items[first + i].key);
            rows_hold_add(r->node->rows, &lane->hold, buffer_bytes(key));
        }
    }
    if (rows_hold_wait(&lane->hold)) {
        lane_push(lane);
    }
}

/* ---- all lanes ---- */

/* How many of the items from `first` on go together. */
static uint32_t group_size(const struct reconcile *r, uint32_t first) {
    struct bytes partition_key = partition_of(r->items[first].key);
    uint32_t n = 1;
    while (n < RECONCILE_GROUP_MAX && first + n < r->n_items &&
           bytes_equal(partition_of(r->items[first + n].key), partition_key)) {
        n++;
    }
    return n;
}

static bool any_busy(const struct reconcile *r) {
    for (uint32_t i = 0; i < RECONCILE_LANES; i++) {
        if (r->lanes[i].n > 0) {
            return true;
        }
    }
    return false;
}

static void check_end(struct reconcile *r) {
    if (r->starting || any_busy(r) || (r->next < r->n_items && !r->aborted)) {
        return;
    }
    reconcile_done *done = r->done;
    void *context = r->context;
    struct reconcile_result result = r->result;
    result.n_failed += r->n_items - r->next;
    reconcile_free(r);
    done(context, &result);
}

/* A lane that ends at once leads here again from within: the outermost call goes on. */
static void fill_lanes(struct reconcile *r) {
    if (r->filling) {
        return;
    }
    r->filling = true;
    for (uint32_t i = 0; i < RECONCILE_LANES; i++) {
        while (r->lanes[i].n == 0 && r->next < r->n_items && !r->aborted) {
            uint32_t first = r->next;
            uint32_t n = group_size(r, first);
            r->next += n;
            lane_begin(&r->lanes[i], first, n);
        }
    }
    r->filling = false;
    check_end(r);
}

/* Ends the lanes that wait for the peer; those that commit end by themselves. */
static void on_silence(void *context) {
    struct reconcile *r = context;
    r->aborted = true;
    r->filling = true;
    for (uint32_t i = 0; i < RECONCILE_LANES; i++) {
        if (r->lanes[i].n > 0 && !r->lanes[i].applying) {
            lane_fail(&r->lanes[i]);
        }
    }
    r->filling = false;
    check_end(r);
}

void reconcile_abort(struct reconcile *reconcile) {
    timers_cancel(reconcile->node->timers, &reconcile->timer);
    on_silence(reconcile);
}

struct reconcile *reconcile_start(struct node *node, const struct reconcile_pages *pages,
                                  reconcile_done *done, void *context) {
    const struct leaf *here = pages->here;
    const struct leaf *there = pages->there;
    struct reconcile *r = memory_new(1, sizeof *r);
    *r = (struct reconcile){
        .node = node, .peer = pages->peer, .slice = pages->slice, .done = done, .context = context};
    r->timer = (struct timer){.fire = on_silence, .context = r};
    r->here = bytes_copy(here->rows);
    r->there = bytes_copy(there->rows);
    r->items = memory_new((size_t)here->n_rows + there->n_rows + 1, sizeof *r->items);
    find_items(r, r->here, r->there, leaf_common_end(here, there));
    r->result.n_rows = r->n_items;
    for (uint32_t i = 0; i < RECONCILE_LANES; i++) {
        r->lanes[i].reconcile = r;
    }
    stir(r);
    r->starting = true;
    fill_lanes(r);
    r->starting = false;
    if (!any_busy(r)) {
        timers_set(node->timers, &r->timer, node_now(node));
    }
    return r;
}

void reconcile_free(struct reconcile *reconcile) {
    if (reconcile == NULL) {
        return;
    }
    timers_cancel(reconcile->node->timers, &reconcile->timer);
    for (uint32_t i = 0; i < RECONCILE_LANES; i++) {
        rows_release(&reconcile->lanes[i].hold);
        buffer_release(&reconcile->lanes[i].contexts);
    }
    free((void *)(uintptr_t)reconcile->here.data);
    free((void *)(uintptr_t)reconcile->there.data);
    free(reconcile->items);
    free(reconcile);
}

bool reconcile_heard(struct reconcile *reconcile, const struct endpoint *from,
                     const struct message *message) {
    for (uint32_t i = 0; from->node == reconcile->peer && i < RECONCILE_LANES; i++) {
        struct lane *lane = &reconcile->lanes[i];
        uint8_t expected = lane->pushing ? MESSAGE_REPAIR : MESSAGE_READ;
        if (lane->n > 0 && lane->id == message->id && lane->id != 0 &&
            message->type == (expected | MESSAGE_REPLY)) {
            lane->id = 0;
            stir(reconcile);
            (lane->pushing ? on_pushed : on_read)(lane, message);
            return true;
        }
    }
    return false;
}
