/* hint_keep: rows for a replica that is away: merged into what is kept for it, then acknowledged.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/hints.h"
#include "node/core/plant.h"
#include "shared/err.h"

struct keeping {
    struct work work;
    struct node *node;
    struct asker asker;
    bool names; /* no versions, nobody to answer */
    bool counts;
    uint16_t target;
    uint16_t slice;
    int64_t deadline_ns;
    struct batch batch;    /* empty with `names` */
    struct rows_hold hold; /* a hint for each operation */
    size_t size;           /* of what the hints may grow by */
    uint8_t bytes[];       /* key and payload */
};

static void keeping_free(struct keeping *keeping) {
    rows_release(&keeping->hold);
    batch_release(&keeping->batch);
    free(keeping);
}

static void keeping_drop(struct work *work) {
    keeping_free((struct keeping *)(void *)work);
}

static void answer_hint(struct node *node, const struct asker *asker, int status, uint16_t target,
                        uint16_t slice) {
    struct hint_reply reply = {.target = target, .slice = slice};
    buffer_clear(&node->encoded);
    hint_reply_encode(&reply, &node->encoded);
    answer(node, asker, status, buffer_bytes(&node->encoded));
}

static void keeping_end(struct keeping *keeping, int status) {
    struct node *node = keeping->node;
    if (!keeping->names) {
        answer_hint(node, &keeping->asker, status, keeping->target, keeping->slice);
    } else if (status != 0) {
        slice_mark(node, keeping->slice, keeping->target);
    }
    node->counters.hints_stored += status == 0 ? keeping->hold.n : 0;
    rows_release(&keeping->hold);
    work_end(node, &keeping->work);
    keeping_free(keeping);
    node_check_idle(node);
}

static void on_committed(void *context, int status) {
    struct keeping *keeping = context;
    hints_commit_end(keeping->node, status);
    keeping_end(keeping, status);
}

/* 0, or why the rows cannot be kept. */
static int check(struct keeping *keeping) {
    struct node *node = keeping->node;
    if (!keeping->names && node_now(node) > keeping->deadline_ns) {
        node->counters.late++;
        return ERR_TIMEOUT;
    }
    if (!hints_ready(node)) {
        return ERR_BUSY;
    }
    for (uint32_t i = 0; i < keeping->hold.n; i++) {
        int status = rows_held(&keeping->hold, i)->newest_status;
        if (status != 0) {
            return status;
        }
    }
    for (uint32_t i = 0; i < keeping->batch.n; i++) {
        if (versions_decode(keeping->batch.ops[i].value, &node->scratch[0]) != 0) {
            node->counters.messages_bad++;
            return ERR_INVALID;
        }
    }
    bool room = hints_room(node, keeping->target, keeping->size, keeping->counts, keeping->hold.n);
    return room ? 0 : ERR_NO_SPACE;
}

/* The hint as it is to become, in node->encoded: what is kept, and the versions that came. */
static uint64_t put_value(struct node *node, const struct row *row, struct bytes versions) {
    uint64_t stored_ns = node->env->wall_ns(node->env->self);
    struct bytes kept = {0};
    if (row->newest != NULL) {
        int err = hint_value_take(blob_bytes(row->newest), &stored_ns, &kept);
        assert(err == 0); /* checked when it was loaded */
        (void)err;
    }
    buffer_clear(&node->encoded);
    if (versions.size == 0 || kept.size == 0) {
        hint_value_put(&node->encoded, stored_ns, versions.size > 0 ? versions : kept);
        return stored_ns;
    }
    versions_decode(kept, &node->scratch[0]);
    versions_decode(versions, &node->scratch[1]);
    versions_merge(&node->scratch[0], &node->scratch[1]);
    hint_value_put(&node->encoded, stored_ns, bytes_of(NULL, 0));
    versions_encode(&node->scratch[0], &node->encoded);
    return stored_ns;
}

static void put_row(struct keeping *keeping, struct rows_commit *commit, uint32_t index) {
    struct node *node = keeping->node;
    struct row *row = rows_held(&keeping->hold, index);
    struct bytes versions = keeping->names ? bytes_of(NULL, 0) : keeping->batch.ops[index].value;
    uint64_t stored_ns = put_value(node, row, versions);
    struct bytes now = blob_bytes(row->newest);
    if (bytes_equal(now, buffer_bytes(&node->encoded)) && !row_in_flight(row)) {
        return;
    }
    hints_changed(node, row->key, now.size, node->encoded.size, stored_ns);
    rows_commit_put(commit, row, blob_new(buffer_bytes(&node->encoded)));
}

static void on_loaded(void *context) {
    struct keeping *keeping = context;
    struct node *node = keeping->node;
    int err = check(keeping);
    if (err != 0 || PLANTED(LOSE_HINT)) {
        keeping_end(keeping, err);
        return;
    }
    struct rows_commit *commit = rows_commit_new(node->rows, keeping->hold.n);
    for (uint32_t i = 0; i < keeping->hold.n; i++) {
        put_row(keeping, commit, i);
    }
    hints_commit_begin(node);
    /* Somebody may count on it, so it is on the disk before it is acknowledged. */
    if (rows_commit_start(commit, !keeping->names, on_committed, keeping)) {
        on_committed(keeping, 0);
    }
}

static void hold_hint(struct keeping *keeping, struct bytes partition_key, struct bytes sort_key,
                      size_t size) {
    struct node *node = keeping->node;
    buffer_clear(&node->key);
    rowkey_put_hint(&node->key, keeping->target, keeping->slice, partition_key, sort_key);
    keeping->size += node->key.size + HINT_HEAD + size;
    rows_hold_add(node->rows, &keeping->hold, buffer_bytes(&node->key));
}

/* ---- HINT ---- */

/* Operations that write nothing are nothing to keep. */
static void drop_guards(struct batch *batch) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].kind != ROW_GUARD) {
            batch->ops[n++] = batch->ops[i];
        }
    }
    batch->n = n;
}

static int keeping_new(struct node *node, const struct message *message,
                       const struct hint_request *request, struct keeping **ret) {
    size_t size = message->key.size + request->batch.size;
    struct keeping *keeping = memory_resize(NULL, sizeof *keeping + size);
    memset(keeping, 0, sizeof *keeping);
    keeping->work.drop = keeping_drop;
    keeping->node = node;
    keeping->target = request->target;
    keeping->counts = request->counts;
    keeping->slice = ring_slice(membership_ring(node->membership), message->key);
    keeping->deadline_ns = node_deadline(node, message);
    bytes_store(bytes_store(keeping->bytes, message->key), request->batch);
    struct bytes payload = bytes_of(keeping->bytes + message->key.size, request->batch.size);
    int err = batch_decode(payload, true, &keeping->batch);
    if (err == 0 && !work_begin(node, &keeping->work, size)) {
        batch_release(&keeping->batch);
        err = ERR_BUSY;
    }
    if (err != 0) {
        free(keeping);
        return err;
    }
    drop_guards(&keeping->batch);
    *ret = keeping;
    return 0;
}

/* Whether this node may stand in for the target: that one is a replica, this one is not. */
static bool may_stand_in(const struct node *node, uint16_t slice, uint16_t target) {
    const struct ring *ring = membership_ring(node->membership);
    return ring_is_replica(ring, slice, target) && !ring_is_replica(ring, slice, node->config.id);
}

void hint_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    struct asker asker = asker_of(from, message);
    struct keeping *keeping = NULL;
    struct hint_request request = {0};
    uint16_t slice = ring_slice(membership_ring(node->membership), message->key);
    int err = hint_request_decode(message->payload, &request);
    if (err == 0 && !may_stand_in(node, slice, request.target)) {
        err = ERR_WRONG_RING;
    }
    if (err == 0 && !hints_ready(node)) {
        err = ERR_BUSY;
    }
    if (err == 0) {
        err = keeping_new(node, message, &request, &keeping);
    }
    if (err != 0) {
        node->counters.messages_bad += err == ERR_INVALID || err == ERR_TOO_BIG ? 1 : 0;
        answer_hint(node, &asker, err, request.target, slice);
        return;
    }
    keeping->asker = asker;
    struct bytes key = bytes_of(keeping->bytes, message->key.size);
    rows_hold_init(&keeping->hold, keeping->batch.n, on_loaded, keeping);
    for (uint32_t i = 0; i < keeping->batch.n; i++) {
        const struct row_op *op = &keeping->batch.ops[i];
        hold_hint(keeping, key, op->sort_key, op->value.size);
    }
    if (rows_hold_wait(&keeping->hold)) {
        on_loaded(keeping);
    }
}

/* ---- names ---- */

void hint_keep_names(struct node *node, uint16_t target, struct bytes partition_key,
                     const struct bytes *sort_keys, uint32_t n) {
    uint16_t slice = ring_slice(membership_ring(node->membership), partition_key);
    struct keeping *keeping = memory_new(1, sizeof *keeping);
    if (!hints_ready(node) || !work_begin(node, &keeping->work, 0)) {
        free(keeping);
        slice_mark(node, slice, target);
        return;
    }
    keeping->work.drop = keeping_drop;
    keeping->node = node;
    keeping->names = true;
    keeping->target = target;
    keeping->slice = slice;
    rows_hold_init(&keeping->hold, n, on_loaded, keeping);
    for (uint32_t i = 0; i < n; i++) {
        hold_hint(keeping, partition_key, sort_keys[i], 0);
    }
    if (rows_hold_wait(&keeping->hold)) {
        on_loaded(keeping);
    }
}
