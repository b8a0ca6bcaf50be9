/* recovery_pull: reads slices from a peer page by page and merges them into this node's rows. */
#include <assert.h>
#include <stdlib.h>

#include "node/core/apply.h"
#include "node/core/chain_recover.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/slice_page.h"
#include "shared/err.h"

/*   WAITING ──► ASKED ──► MERGING ──► WAITING   (the timer; the answer; its last commit)
 *
 * A page that was not answered, or not merged whole, is asked for again: the cursor moves only
 * after the last of a page's rows was committed. */
enum pull_state { PULL_WAITING = 0, PULL_ASKED = 1, PULL_MERGING = 2 };

struct pull {
    struct recovery *recovery;
    uint16_t peer;
    enum pull_state state;
    uint64_t id; /* of the requests for this cursor: any answer to one of them will do */
    struct timer timer;
    int64_t retry_ms;
    int64_t asked_ns; /* the last time */
    uint16_t slice;   /* the cursor */
    uint8_t kind;
    struct buffer after;
    /* MERGING: */
    bool trusted;
    uint16_t next_slice;
    uint8_t next_kind;
    struct buffer next_after;
    struct buffer tails;      /* keys and values of kind 's', until their slice is here */
    struct buffer page_tails; /* those of the page; they are told again if it is not merged */
    uint16_t life;            /* the peer's, in which it told them */
    bool adding_tails;
    uint32_t n_merging; /* commits under way, and one while more are being made */
    int status;         /* the first error of them */
    size_t size;        /* of the page */
    /* The commit under construction. */
    struct row_op *ops;
    uint32_t n_ops;
    size_t ops_size;
    struct bytes partition_key;
};

static void wait_ms(struct pull *pull, int64_t ms) {
    struct node *node = pull->recovery->node;
    pull->state = PULL_WAITING;
    if (node->state == NODE_SERVING && pull->recovery->running) {
        timers_set(node->timers, &pull->timer, node_now(node) + ms * NS_PER_MS);
    }
}

static void wait_longer(struct pull *pull) {
    wait_ms(pull, pull->retry_ms);
    pull->retry_ms *= 2;
    if (pull->retry_ms > RECOVERY_RETRY_MAX_MS) {
        pull->retry_ms = RECOVERY_RETRY_MAX_MS;
    }
}

/* ---- asking ---- */

/* Moves the cursor to a slice that is worth reading; false when there is none from it on. */
static bool skip(struct pull *pull) {
    const struct recovery *recovery = pull->recovery;
    uint16_t n_slices = membership_ring(recovery->node->membership)->n_slices;
    while (pull->slice < n_slices && !recovery_wants(recovery, pull->slice, pull->peer)) {
        pull->slice++;
        pull->kind = 0;
        buffer_clear(&pull->after);
        buffer_clear(&pull->tails); /* of rows that were not read to the end */
    }
    return pull->slice < n_slices;
}

static void ask(struct pull *pull) {
    struct node *node = pull->recovery->node;
    if (!skip(pull)) {
        /* Later there may be something: a peer that trusts itself by then. */
        pull->slice = 0;
        wait_longer(pull);
        return;
    }
    struct slice_request request = {
        .generation = pull->recovery->generation,
        .bytes_max = SLICE_PAGE_BYTES,
        .from = {pull->slice, pull->kind, buffer_bytes(&pull->after)},
    };
    struct buffer payload = {0};
    slice_request_encode(&request, &payload);
    if (pull->id == 0) {
        pull->id = node_request_id(node);
    }
    struct message message = {.type = MESSAGE_SLICE,
                              .id = pull->id,
                              .budget_ms = SLICE_BUDGET_MS,
                              .payload = buffer_bytes(&payload)};
    node_ask(node, pull->peer, &message); /* refused or lost: the timer asks again */
    buffer_release(&payload);
    pull->asked_ns = node_now(node);
    wait_longer(pull);
    pull->state = PULL_ASKED;
}

void pulls_heard_of(struct recovery *recovery, uint16_t peer) {
    const struct node *node = recovery->node;
    int index = ring_member_index(membership_ring(node->membership), peer);
    if (recovery->pulls == NULL || index < 0 || !recovery->running) {
        return;
    }
    struct pull *pull = &recovery->pulls[index];
    bool failed = pull->state != PULL_MERGING && pull->retry_ms > RECOVERY_RETRY_MS;
    if (failed && node_now(node) - pull->asked_ns >= RECOVERY_SOON_MS * NS_PER_MS) {
        pull->retry_ms = RECOVERY_RETRY_MS;
        ask(pull);
    }
}

static void on_timer(void *context) {
    struct pull *pull = context;
    if (pull->state != PULL_MERGING) {
        ask(pull);
    }
}

/* ---- merging ---- */

static void copy_into(struct buffer *into, struct bytes bytes) {
    buffer_clear(into);
    buffer_put_bytes(into, bytes);
}

/* One of the tails in a buffer. */
struct told_tail {
    struct bytes key, value, partition_key;
    uint16_t slice;
    bool sound; /* the key is one: else there is no partition */
};

/* False when there are no more. */
static bool next_tail(struct reader *tails, struct told_tail *ret) {
    if (tails->left == 0) {
        return false;
    }
    *ret = (struct told_tail){.key = reader_sized16(tails)};
    ret->value = reader_sized16(tails);
    ret->sound = rowkey_chain(ret->key, &ret->slice, &ret->partition_key) == 0;
    return true;
}

static void put_tail(struct buffer *into, struct bytes key, struct bytes value) {
    buffer_put_sized16(into, key);
    buffer_put_sized16(into, value);
}

/* Appends the tails of the slices that are not read to their end. */
static void put_later_tails(const struct pull *pull, struct bytes tails, struct buffer *into) {
    struct reader r = reader_of(tails);
    for (struct told_tail tail; next_tail(&r, &tail);) {
        if (tail.sound && tail.slice >= pull->next_slice) {
            put_tail(into, tail.key, tail.value);
        }
    }
}

static void keep_later_tails(struct pull *pull) {
    struct buffer rest = {0};
    put_later_tails(pull, buffer_bytes(&pull->tails), &rest);
    put_later_tails(pull, buffer_bytes(&pull->page_tails), &rest);
    buffer_release(&pull->tails);
    pull->tails = rest;
}

/* The page is here to its last row. */
static void page_merged(struct pull *pull) {
    struct recovery *recovery = pull->recovery;
    if (pull->status == 0) {
        keep_later_tails(pull);
    }
    buffer_clear(&pull->page_tails);
    if (pull->status != 0) {
        wait_longer(pull);
        return;
    }
    uint16_t from = pull->slice;
    pull->retry_ms = RECOVERY_RETRY_MS;
    pull->id = 0;
    pull->slice = pull->next_slice;
    pull->kind = pull->next_kind;
    copy_into(&pull->after, buffer_bytes(&pull->next_after));
    /* Every commit takes the time that its bytes may take. */
    wait_ms(pull, (int64_t)pull->size * 1000 / RECOVERY_BYTES_PER_S);
    for (uint16_t slice = from; slice < pull->next_slice; slice++) {
        recovery_pulled(recovery, slice, pull->peer, pull->trusted);
        recovery_told_one(recovery->node, pull->peer, slice, pull->trusted);
    }
}

static void add_tails(struct pull *pull);

static void merged_one(struct pull *pull) {
    assert(pull->n_merging > 0);
    if (--pull->n_merging > 0) {
        return;
    }
    if (pull->status == 0 && !pull->adding_tails) {
        pull->adding_tails = true;
        pull->n_merging = 1;
        add_tails(pull);
        merged_one(pull);
        return;
    }
    page_merged(pull);
}

static void on_applied(void *context, int status) {
    struct pull *pull = context;
    if (pull->status == 0) {
        pull->status = status;
    }
    merged_one(pull);
}

static void commit_ops(struct pull *pull) {
    struct batch batch = {.n = pull->n_ops, .ops = pull->ops};
    struct buffer payload = {0};
    if (pull->n_ops == 0) {
        return;
    }
    batch_encode(&batch, &payload);
    pull->n_merging++;
    int err = apply_whole(pull->recovery->node, pull->partition_key, buffer_bytes(&payload),
                          on_applied, pull);
    if (err != 0) {
        on_applied(pull, err);
    }
    buffer_release(&payload);
    pull->n_ops = 0;
    pull->ops_size = 0;
}

/* The partition and sort key of a row's key on the disk; ERR_INVALID when it is none of `slice`. */
static int split_key(const struct pull *pull, struct bytes key, struct bytes *ret_partition,
                     struct bytes *ret_sort) {
    const struct recovery *recovery = pull->recovery;
    const struct ring *ring = membership_ring(recovery->node->membership);
    int err = rowkey_split(key, ret_partition, ret_sort);
    if (err != 0) {
        return err;
    }
    uint16_t slice = ring_slice(ring, *ret_partition);
    return ring_is_replica(ring, slice, recovery->node->config.id) ? 0 : ERR_INVALID;
}

static void recover_chain(struct pull *pull, struct bytes key, struct bytes value) {
    pull->n_merging++;
    int err = chain_recover(pull->recovery->node, key, value, on_applied, pull);
    if (err != 0) {
        on_applied(pull, err);
    }
}

/* Promises and pendings at once; tails when the rows of their slice are here. */
static void add_chain(struct pull *pull, const struct slice_row *row) {
    if (row->key.data[0] == 's') {
        put_tail(&pull->page_tails, row->key, row->value);
    } else {
        recover_chain(pull, row->key, row->value);
    }
}

/* The tails of slices that were read to their end. */
static void recover_tails(struct pull *pull, struct bytes tails) {
    struct reader r = reader_of(tails);
    for (struct told_tail tail; next_tail(&r, &tail);) {
        if (!tail.sound || tail.slice < pull->next_slice) {
            recover_chain(pull, tail.key, tail.value);
        }
    }
}

static void add_tails(struct pull *pull) {
    recover_tails(pull, buffer_bytes(&pull->tails));
    recover_tails(pull, buffer_bytes(&pull->page_tails));
}

static void forget_in(struct buffer *tails, struct bytes partition_key) {
    struct reader r = reader_of(buffer_bytes(tails));
    struct buffer rest = {0};
    for (struct told_tail tail; next_tail(&r, &tail);) {
        if (!tail.sound || !bytes_equal(tail.partition_key, partition_key)) {
            put_tail(&rest, tail.key, tail.value);
        }
    }
    buffer_release(tails);
    *tails = rest;
}

/* The peer has lost a row of the partition, so its tail tells more than its rows hold. */
static void forget_tail(struct pull *pull, struct bytes partition_key) {
    forget_in(&pull->tails, partition_key);
    forget_in(&pull->page_tails, partition_key);
}

static int add_row(struct pull *pull, const struct slice_row *row) {
    if (row->key.size > 0 && row->key.data[0] != 'r') {
        add_chain(pull, row);
        return 0;
    }
    struct bytes partition_key;
    struct bytes sort_key;
    int err = split_key(pull, row->key, &partition_key, &sort_key);
    if (err != 0) {
        return err;
    }
    if (row->value.size == 0) {
        forget_tail(pull, partition_key);
        return 0;
    }
    bool full = pull->n_ops == RECOVERY_BATCH_ROWS_MAX ||
                (pull->n_ops > 0 && pull->ops_size + row->value.size > RECOVERY_BATCH_BYTES);
    if (full || (pull->n_ops > 0 && !bytes_equal(partition_key, pull->partition_key))) {
        commit_ops(pull);
    }
    pull->partition_key = partition_key;
    pull->ops[pull->n_ops++] =
        (struct row_op){.kind = ROW_PUT, .sort_key = sort_key, .value = row->value};
    pull->ops_size += row->value.size;
    return 0;
}

static void merge_page(struct pull *pull, struct slice_reply *reply) {
    struct recovery *recovery = pull->recovery;
    pull->state = PULL_MERGING;
    pull->trusted = reply->trusted;
    pull->next_slice = reply->next.slice;
    pull->next_kind = reply->next.kind;
    copy_into(&pull->next_after, reply->next.after);
    pull->status = 0;
    pull->adding_tails = false;
    pull->n_merging = 1;
    recovery->rows += reply->n;
    recovery->bytes += pull->size;
    for (uint32_t i = 0; i < reply->n && pull->status == 0; i++) {
        struct slice_row row = slice_row_next(reply);
        int err = add_row(pull, &row);
        if (pull->status == 0) { /* rows that were refused at once have said so */
            pull->status = err;
        }
    }
    commit_ops(pull);
    merged_one(pull);
}

/* The peer may have lost what it told of this slice's pendings and tails: its tails and rows from
 * here on need not hold it. The slice is read from its beginning; whether that is so. */
static bool begin_again(struct pull *pull, uint16_t life) {
    bool amid = pull->kind > 0 || pull->after.size > 0;
    bool lost = amid && life != pull->life;
    pull->life = life;
    if (lost) {
        buffer_clear(&pull->tails);
        buffer_clear(&pull->after);
        pull->kind = 0;
        pull->id = 0;
        pull->retry_ms = RECOVERY_RETRY_MS;
        wait_ms(pull, pull->retry_ms);
    }
    return lost;
}

/* Whether the reply's cursor is ahead of the request's. */
static bool advances(const struct pull *pull, const struct slice_cursor *next) {
    if (next->slice != pull->slice) {
        return next->slice > pull->slice &&
               next->slice <= membership_ring(pull->recovery->node->membership)->n_slices;
    }
    return next->kind > pull->kind ||
           (next->kind == pull->kind && bytes_compare(next->after, buffer_bytes(&pull->after)) > 0);
}

static void pull_heard(struct pull *pull, const struct message *message) {
    struct node *node = pull->recovery->node;
    struct slice_reply reply;
    timers_cancel(node->timers, &pull->timer);
    int err = -(int)message->status;
    if (err == 0) {
        err = slice_reply_decode(message->payload, &reply);
    }
    if (err == 0 && !advances(pull, &reply.next)) {
        err = ERR_INVALID;
    }
    if (err != 0) {
        node->counters.messages_bad += err == ERR_INVALID ? 1 : 0;
        wait_longer(pull);
        return;
    }
    pull->size = message->payload.size;
    if (!begin_again(pull, reply.life)) {
        merge_page(pull, &reply);
    }
}

void recovery_heard(struct node *node, const struct endpoint *from, const struct message *message) {
    int index = ring_member_index(membership_ring(node->membership), from->node);
    if (node->recovery->pulls == NULL || index < 0 || node->state != NODE_SERVING) {
        return;
    }
    struct pull *pull = &node->recovery->pulls[index];
    if (pull->state != PULL_MERGING && pull->id == message->id) {
        pull_heard(pull, message);
    }
}

/* ---- life ---- */

void pulls_begin(struct recovery *recovery) {
    struct node *node = recovery->node;
    const struct ring *ring = membership_ring(node->membership);
    recovery->pulls = memory_new(ring->n_members, sizeof *recovery->pulls);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct pull *pull = &recovery->pulls[i];
        pull->recovery = recovery;
        pull->peer = ring->members[i].id;
        pull->retry_ms = RECOVERY_RETRY_MS;
        pull->timer = (struct timer){.fire = on_timer, .context = pull};
        pull->ops = memory_new(RECOVERY_BATCH_ROWS_MAX, sizeof *pull->ops);
        if (pull->peer != node->config.id) {
            ask(pull);
        }
    }
}

void pulls_stop(struct recovery *recovery) {
    const struct ring *ring = membership_ring(recovery->node->membership);
    for (uint16_t i = 0; recovery->pulls != NULL && i < ring->n_members; i++) {
        timers_cancel(recovery->node->timers, &recovery->pulls[i].timer);
    }
}

void pulls_free(struct recovery *recovery) {
    const struct ring *ring = membership_ring(recovery->node->membership);
    pulls_stop(recovery);
    for (uint16_t i = 0; recovery->pulls != NULL && i < ring->n_members; i++) {
        buffer_release(&recovery->pulls[i].tails);
        buffer_release(&recovery->pulls[i].page_tails);
        buffer_release(&recovery->pulls[i].after);
        buffer_release(&recovery->pulls[i].next_after);
        free(recovery->pulls[i].ops);
    }
    free(recovery->pulls);
}
