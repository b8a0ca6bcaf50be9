/* handoff: hints brought to the replicas that they are for, once those answer again. */
#include "node/core/handoff.h"

#include <stdlib.h>

#include "node/core/hints.h"
#include "node/core/plant.h"
#include "shared/err.h"

enum handoff_state {
    HANDOFF_RESTING = 0,
    HANDOFF_SCANNING = 1,
    HANDOFF_LOADING = 2,
    HANDOFF_SENDING = 3,
    HANDOFF_DELETING = 4,
};

/* One hint of the page. */
struct kept {
    uint8_t *held;      /* owned: key, then value */
    struct bytes key;   /* the hint's */
    struct bytes value; /* as it was read, without checksum; empty when it was corrupt */
    struct hint_key parts;
    size_t stored_size;    /* of the value on the disk, without checksum */
    struct blob *row;      /* LOADING: what stands under a name */
    struct bytes versions; /* to send; empty = nothing */
    bool settled;          /* may go */
};

/* The hints of one message: `n` from `first` on. */
struct parcel {
    uint32_t first;
    uint32_t n;
    bool open; /* sent, not answered */
    int status;
};

struct handoff {
    struct work work; /* while a page is under way */
    struct node *node;
    struct timer timer;
    uint8_t state;
    uint16_t target;      /* member index */
    uint64_t rate;        /* bytes per second */
    int64_t *rest_until;  /* by member index */
    uint8_t *last_errors; /* by member index */
    struct buffer cursor; /* where the next page of the target begins; empty = at its first hint */
    struct buffer before;
    struct disk_scan scan;
    struct kept kept[HANDOFF_ROWS];
    uint32_t n_kept;
    uint32_t n_loaded;
    size_t page_bytes;
    bool more;
    struct rows_hold hold;
    struct parcel parcels[HANDOFF_ROWS];
    uint32_t n_parcels;
    uint64_t id; /* of the first parcel's message; the others follow */
    int64_t sent_ns;
    bool refused;       /* something of the page was not taken */
    uint32_t n_removed; /* hints of the page that are gone */
};

static void on_timer(void *context);
static void load_next(struct handoff *handoff);

struct handoff *handoff_new(struct node *node) {
    uint16_t n = membership_ring(node->membership)->n_members;
    struct handoff *handoff = memory_new(1, sizeof *handoff);
    handoff->node = node;
    handoff->rate = HANDOFF_RATE_START;
    handoff->id = node->env->random(node->env->self);
    handoff->rest_until = memory_new(n, sizeof *handoff->rest_until);
    handoff->last_errors = memory_new(n, sizeof *handoff->last_errors);
    handoff->timer = (struct timer){.fire = on_timer, .context = handoff};
    return handoff;
}

static void page_release(struct handoff *handoff) {
    rows_release(&handoff->hold);
    for (uint32_t i = 0; i < handoff->n_kept; i++) {
        free(handoff->kept[i].held);
        blob_unref(handoff->kept[i].row);
        handoff->kept[i] = (struct kept){0};
    }
    handoff->n_kept = 0;
    handoff->n_loaded = 0;
    handoff->n_parcels = 0;
    handoff->page_bytes = 0;
    handoff->refused = false;
    handoff->n_removed = 0;
}

/* The node is freed: handoff_free() does the rest. */
static void page_drop(struct work *work) {
    struct handoff *handoff = (struct handoff *)(void *)work;
    rows_release(&handoff->hold);
}

void handoff_free(struct handoff *handoff) {
    timers_cancel(handoff->node->timers, &handoff->timer);
    page_release(handoff);
    buffer_release(&handoff->cursor);
    buffer_release(&handoff->before);
    free(handoff->rest_until);
    free(handoff->last_errors);
    free(handoff);
}

static uint16_t target_id(const struct handoff *handoff) {
    return membership_ring(handoff->node->membership)->members[handoff->target].id;
}

static void rest(struct handoff *handoff, int64_t ns) {
    struct node *node = handoff->node;
    handoff->state = HANDOFF_RESTING;
    if (node->state == NODE_SERVING) {
        timers_set(node->timers, &handoff->timer, node_now(node) + ns);
    }
}

/* ---- the end of a page ---- */

static void adapt_rate(struct handoff *handoff, int64_t took_ns) {
    if (handoff->refused || took_ns > HANDOFF_SLOW_MS * NS_PER_MS) {
        handoff->rate /= 2;
    } else {
        handoff->rate += HANDOFF_RATE_STEP;
    }
    if (handoff->rate < HANDOFF_RATE_MIN) {
        handoff->rate = HANDOFF_RATE_MIN;
    }
    if (handoff->rate > HANDOFF_RATE_MAX) {
        handoff->rate = HANDOFF_RATE_MAX;
    }
}

/* Where to go on: behind the last hint of the page; after a refusal at the target's first again. */
static void move_cursor(struct handoff *handoff) {
    buffer_clear(&handoff->cursor);
    if (!handoff->refused && handoff->more && handoff->n_kept > 0) {
        buffer_put_bytes(&handoff->cursor, handoff->kept[handoff->n_kept - 1].key);
        buffer_put_u8(&handoff->cursor, 0);
    }
}

static void page_end(struct handoff *handoff) {
    struct node *node = handoff->node;
    int64_t now_ns = node_now(node);
    int64_t took_ns = now_ns - handoff->sent_ns;
    int64_t pace_ns = (int64_t)(handoff->page_bytes * 1000 / handoff->rate) * NS_PER_MS;
    adapt_rate(handoff, took_ns);
    move_cursor(handoff);
    if (handoff->refused) {
        handoff->rest_until[handoff->target] = now_ns + HANDOFF_RETRY_MS * NS_PER_MS;
    } else {
        handoff->last_errors[handoff->target] = 0;
    }
    int64_t rest_ns = pace_ns > took_ns ? pace_ns - took_ns : 0;
    if (handoff->n_removed == 0 && rest_ns < HANDOFF_LOOK_MS * NS_PER_MS) {
        rest_ns = HANDOFF_LOOK_MS * NS_PER_MS; /* nothing was got done: not again at once */
    }
    page_release(handoff);
    work_end(node, &handoff->work);
    rest(handoff, rest_ns);
    node_check_idle(node);
}

/* ---- DELETING ---- */

static void on_deleted(void *context, int status) {
    struct handoff *handoff = context;
    hints_commit_end(handoff->node, status);
    page_end(handoff);
}

/* Whether the hint is still what was handed over. */
static bool unchanged(const struct kept *hint, const struct row *row) {
    return row->newest != NULL ? bytes_equal(blob_bytes(row->newest), hint->value)
                               : row->newest_status != 0;
}

static void on_held(void *context) {
    struct handoff *handoff = context;
    struct node *node = handoff->node;
    if (!hints_ready(node)) { /* being counted anew: handed over once more, later */
        page_end(handoff);
        return;
    }
    struct rows_commit *commit = rows_commit_new(node->rows, handoff->hold.n);
    for (uint32_t i = 0, k = 0; i < handoff->n_kept; i++) {
        const struct kept *hint = &handoff->kept[i];
        if (!hint->settled) {
            continue;
        }
        struct row *row = rows_held(&handoff->hold, k++);
        if (unchanged(hint, row)) {
            hints_changed(node, hint->key, hint->stored_size, 0, 0);
            rows_commit_remove(commit, row);
            handoff->n_removed++;
        }
    }
    hints_commit_begin(node);
    /* Not synced: what a power cut brings back is handed over twice. */
    if (rows_commit_start(commit, false, on_deleted, handoff)) {
        on_deleted(handoff, 0);
    }
}

static void delete_settled(struct handoff *handoff) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < handoff->n_kept; i++) {
        n += handoff->kept[i].settled ? 1 : 0;
    }
    handoff->state = HANDOFF_DELETING;
    rows_hold_init(&handoff->hold, n, on_held, handoff);
    for (uint32_t i = 0; i < handoff->n_kept; i++) {
        if (handoff->kept[i].settled) {
            rows_hold_add(handoff->node->rows, &handoff->hold, handoff->kept[i].key);
        }
    }
    if (rows_hold_wait(&handoff->hold)) {
        on_held(handoff);
    }
}

/* ---- SENDING ---- */

/* What the target will never take: keeping it would keep it for ever. */
static bool is_final(int status) {
    return status == ERR_INVALID || status == ERR_TOO_BIG;
}

static void settle_parcel(struct handoff *handoff, const struct parcel *parcel) {
    struct node *node = handoff->node;
    bool final = is_final(parcel->status);
    if (parcel->status != 0 && !final) {
        handoff->refused = true;
        handoff->last_errors[handoff->target] = (uint8_t)-parcel->status;
        return;
    }
    for (uint32_t i = parcel->first; i < parcel->first + parcel->n; i++) {
        handoff->kept[i].settled = true;
    }
    if (final) {
        hints_count_dropped(node, target_id(handoff), parcel->n);
        slice_mark(node, handoff->kept[parcel->first].parts.slice, target_id(handoff));
    } else {
        hints_count_delivered(node, target_id(handoff), parcel->n);
    }
}

static void sending_end(struct handoff *handoff) {
    timers_cancel(handoff->node->timers, &handoff->timer);
    for (uint32_t i = 0; i < handoff->n_parcels; i++) {
        settle_parcel(handoff, &handoff->parcels[i]);
    }
    delete_settled(handoff);
}

static void check_sent(struct handoff *handoff) {
    for (uint32_t i = 0; i < handoff->n_parcels; i++) {
        if (handoff->parcels[i].open) {
            return;
        }
    }
    sending_end(handoff);
}

static void give_up_open(struct handoff *handoff) {
    for (uint32_t i = 0; i < handoff->n_parcels; i++) {
        struct parcel *parcel = &handoff->parcels[i];
        if (parcel->open) {
            parcel->open = false;
            parcel->status = ERR_TIMEOUT;
        }
    }
    sending_end(handoff);
}

void handoff_heard(struct node *node, const struct endpoint *from, const struct message *message) {
    struct handoff *handoff = node->handoff;
    uint64_t index = message->id - handoff->id;
    if (handoff->state != HANDOFF_SENDING || from->node != target_id(handoff) ||
        index >= handoff->n_parcels || !handoff->parcels[index].open) {
        return;
    }
    handoff->parcels[index].open = false;
    handoff->parcels[index].status = -(int)message->status;
    check_sent(handoff);
}

static void send_parcel(struct handoff *handoff, uint32_t index, struct buffer *payload) {
    struct node *node = handoff->node;
    struct parcel *parcel = &handoff->parcels[index];
    const struct kept *kept = &handoff->kept[parcel->first];
    struct row_op *ops = memory_new(parcel->n, sizeof *ops);
    for (uint32_t i = 0; i < parcel->n; i++) {
        ops[i] = (struct row_op){
            .kind = ROW_PUT, .sort_key = kept[i].parts.sort_key, .value = kept[i].versions};
    }
    struct batch batch = {.n = parcel->n, .ops = ops};
    buffer_clear(payload);
    batch_encode(&batch, payload);
    free(ops);
    struct message message = {.type = MESSAGE_HANDOFF,
                              .flags = MESSAGE_SYNCED,
                              .id = handoff->id + index,
                              .key = kept[0].parts.partition_key,
                              .payload = buffer_bytes(payload),
                              .budget_ms = HANDOFF_TIMEOUT_MS};
    if (payload->size > MESSAGE_PAYLOAD_MAX) {
        parcel->status = ERR_TOO_BIG;
        return;
    }
    parcel->status = node_ask(node, target_id(handoff), &message);
    parcel->open = parcel->status == 0 && !PLANTED(DELETE_HINT_EARLY);
}

static bool same_partition(const struct kept *a, const struct kept *b) {
    return a->parts.slice == b->parts.slice &&
           bytes_equal(a->parts.partition_key, b->parts.partition_key);
}

/* Runs of hints of one partition with something to send. The page's bound bounds each. */
static void make_parcels(struct handoff *handoff) {
    struct parcel *last = NULL;
    for (uint32_t i = 0; i < handoff->n_kept; i++) {
        struct kept *hint = &handoff->kept[i];
        if (hint->versions.size == 0) {
            hint->settled = true; /* a name of a row that is gone; or corrupt */
            last = NULL;
        } else if (last != NULL && same_partition(&handoff->kept[last->first], hint)) {
            last->n++;
        } else {
            last = &handoff->parcels[handoff->n_parcels++];
            *last = (struct parcel){.first = i, .n = 1};
        }
    }
}

static void send_page(struct handoff *handoff) {
    struct node *node = handoff->node;
    struct buffer payload = {0};
    handoff->state = HANDOFF_SENDING;
    make_parcels(handoff);
    handoff->id += HANDOFF_ROWS;
    handoff->sent_ns = node_now(node);
    for (uint32_t i = 0; i < handoff->n_parcels; i++) {
        send_parcel(handoff, i, &payload);
    }
    buffer_release(&payload);
    timers_set(node->timers, &handoff->timer, handoff->sent_ns + HANDOFF_TIMEOUT_MS * NS_PER_MS);
    check_sent(handoff);
}

/* ---- LOADING ---- */

/* The page ends behind hint `n` - 1. */
static void cut_page(struct handoff *handoff, uint32_t n) {
    for (uint32_t i = n; i < handoff->n_kept; i++) {
        free(handoff->kept[i].held);
        handoff->kept[i] = (struct kept){0};
        handoff->more = true;
    }
    handoff->n_kept = n;
}

static void take_versions(struct handoff *handoff, struct bytes versions) {
    handoff->kept[handoff->n_loaded++].versions = versions;
    handoff->page_bytes += versions.size;
}

static void give_up_hint(struct handoff *handoff, const struct kept *hint) {
    hints_count_dropped(handoff->node, target_id(handoff), 1);
    slice_mark(handoff->node, hint->parts.slice, target_id(handoff));
}

/* The row of a name; one that cannot be read here is repair's business. */
static void take_row(struct handoff *handoff) {
    struct kept *hint = &handoff->kept[handoff->n_loaded];
    const struct row *row = rows_held(&handoff->hold, 0);
    hint->row = blob_ref(row->durable);
    if (row->durable_status != 0) {
        give_up_hint(handoff, hint);
    }
    rows_release(&handoff->hold);
    take_versions(handoff, blob_bytes(hint->row));
}

static void on_row(void *context) {
    take_row(context);
    load_next(context);
}

/* Whether the row of a name must be waited for. */
static bool load_row(struct handoff *handoff, const struct kept *hint) {
    struct node *node = handoff->node;
    rows_hold_init(&handoff->hold, 1, on_row, handoff);
    buffer_clear(&node->key);
    rowkey_put_row(&node->key, hint->parts.slice, hint->parts.partition_key, hint->parts.sort_key);
    rows_hold_add(node->rows, &handoff->hold, buffer_bytes(&node->key));
    return !rows_hold_wait(&handoff->hold);
}

static void load_next(struct handoff *handoff) {
    while (handoff->n_loaded < handoff->n_kept && handoff->page_bytes < HANDOFF_BYTES) {
        struct kept *hint = &handoff->kept[handoff->n_loaded];
        uint64_t stored_ns;
        struct bytes versions;
        bool sound = hint_value_take(hint->value, &stored_ns, &versions) == 0;
        if (!sound) {
            give_up_hint(handoff, hint);
            take_versions(handoff, bytes_of(NULL, 0));
        } else if (versions.size > 0) {
            take_versions(handoff, versions);
        } else if (load_row(handoff, hint)) {
            return;
        } else {
            take_row(handoff);
        }
    }
    cut_page(handoff, handoff->n_loaded);
    send_page(handoff);
}

/* ---- SCANNING ---- */

static void take_hint(struct handoff *handoff, const struct disk_row *row) {
    struct kept *hint = &handoff->kept[handoff->n_kept];
    struct bytes value = {0};
    if (blob_check(row->value, &value) != 0) {
        value = bytes_of(NULL, 0);
    }
    hint->held = memory_resize(NULL, row->key.size + value.size + 1);
    bytes_store(bytes_store(hint->held, row->key), value);
    hint->key = bytes_of(hint->held, row->key.size);
    hint->value = bytes_of(hint->held + row->key.size, value.size);
    hint->stored_size = row->value.size > BLOB_CHECKSUM_SIZE ? row->value.size - BLOB_CHECKSUM_SIZE
                                                             : row->value.size;
    if (rowkey_hint(hint->key, &hint->parts) == 0) {
        handoff->n_kept++;
    } else {
        free(hint->held);
        hint->held = NULL;
    }
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows,
                       uint32_t n_rows, bool more) {
    struct handoff *handoff = scan->context;
    handoff->more = more;
    for (uint32_t i = 0; i < n_rows && status == 0; i++) {
        take_hint(handoff, &rows[i]);
    }
    if (status != 0 || handoff->node->state != NODE_SERVING) {
        handoff->refused = true;
        handoff->sent_ns = node_now(handoff->node);
        page_end(handoff);
        return;
    }
    handoff->state = HANDOFF_LOADING;
    load_next(handoff);
}

static void page_begin(struct handoff *handoff) {
    struct node *node = handoff->node;
    if (!work_begin(node, &handoff->work, HANDOFF_BYTES)) {
        rest(handoff, HANDOFF_LOOK_MS * NS_PER_MS);
        return;
    }
    handoff->work.drop = page_drop;
    if (handoff->cursor.size == 0) {
        rowkey_put_hints(&handoff->cursor, target_id(handoff));
    }
    buffer_clear(&handoff->before);
    rowkey_put_hints(&handoff->before, target_id(handoff) + 1u);
    handoff->scan = (struct disk_scan){.first = buffer_bytes(&handoff->cursor),
                                       .before = buffer_bytes(&handoff->before),
                                       .rows_max = HANDOFF_ROWS,
                                       .bytes_max = HANDOFF_BYTES,
                                       .done = on_scanned,
                                       .context = handoff};
    handoff->state = HANDOFF_SCANNING;
    node->disk->scan(node->disk->self, &handoff->scan);
}

/* ---- RESTING ---- */

static bool may_deliver(const struct handoff *handoff, uint16_t index) {
    struct node *node = handoff->node;
    uint16_t id = membership_ring(node->membership)->members[index].id;
    return hints_count(node, index) > 0 && id != node->config.id && node_alive(node, id) &&
           node_now(node) >= handoff->rest_until[index];
}

/* The target under way as long as it takes rows, else the next one; false when there is none. */
static bool choose_target(struct handoff *handoff) {
    uint16_t n = membership_ring(handoff->node->membership)->n_members;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t index = (uint16_t)((handoff->target + i) % n);
        if (may_deliver(handoff, index)) {
            if (i > 0) {
                handoff->target = index;
                handoff->rate = HANDOFF_RATE_START;
                buffer_clear(&handoff->cursor);
            }
            return true;
        }
    }
    return false;
}

static void on_timer(void *context) {
    struct handoff *handoff = context;
    if (handoff->state == HANDOFF_SENDING) {
        give_up_open(handoff);
    } else if (choose_target(handoff)) {
        page_begin(handoff);
    } else {
        rest(handoff, HANDOFF_LOOK_MS * NS_PER_MS);
    }
}

void handoff_start(struct node *node) {
    rest(node->handoff, HANDOFF_LOOK_MS * NS_PER_MS);
}

void handoff_stop(struct node *node) {
    struct handoff *handoff = node->handoff;
    if (handoff->state == HANDOFF_RESTING) {
        timers_cancel(node->timers, &handoff->timer);
    } else if (handoff->state == HANDOFF_SENDING) {
        give_up_open(handoff);
    }
}

void handoff_report(const struct node *node, struct hint_target *target) {
    const struct handoff *handoff = node->handoff;
    int index = ring_member_index(membership_ring(node->membership), target->node);
    bool under_way = handoff->target == index;
    if (!node_alive(node, target->node)) {
        target->state = HINTS_WAITING;
    } else if (handoff->last_errors[index] != 0) {
        target->state = HINTS_RETRYING;
        target->last_error = handoff->last_errors[index];
    } else if (under_way) {
        target->state = HINTS_DELIVERING;
        target->rate = handoff->rate;
    } else {
        target->state = HINTS_QUEUED;
    }
}
