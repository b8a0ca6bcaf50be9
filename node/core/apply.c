/* apply: REPLICATE and REPAIR on a replica: rows and conditions in, an acknowledged commit out. */
#include "node/core/apply.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/condition.h"
#include "node/core/merge.h"
#include "node/core/plant.h"
#include "node/core/recount.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/scrub.h"
#include "node/core/watch.h"
#include "shared/err.h"

struct apply {
    struct work work;
    struct node *node;
    struct asker asker;
    bool repairs;                            /* no conditions */
    bool whole;                              /* corrupt rows are overwritten */
    bool forgets;                            /* the row of the guard goes if it is corrupt */
    bool answers;                            /* somebody waits for the outcome */
    void (*done)(void *context, int status); /* apply_here(); NULL = nobody is told */
    void *context;
    bool synced;
    uint16_t slice;
    int64_t deadline_ns;
    struct bytes key;
    struct batch batch;
    struct rows_hold hold;  /* the tally, then a row for each operation */
    struct watch_wait wait; /* before the answer */
    uint8_t bytes[];        /* key and payload */
};

static void apply_free(struct apply *apply) {
    watch_wait_end(apply->node->watches, &apply->wait);
    rows_release(&apply->hold);
    batch_release(&apply->batch);
    free(apply);
}

static void apply_drop(struct work *work) {
    apply_free((struct apply *)(void *)work);
}

static void apply_end(struct apply *apply, int status, const struct batch_reply *reply) {
    struct node *node = apply->node;
    struct asker asker = apply->asker;
    if (!node_trusts_itself(node, apply->slice) && status == 0 && !apply->repairs) {
        /* It is here; but who knows what else is not. */
        status = ERR_RECOVERING;
        reply = NULL;
    }
    void (*done)(void *, int) = apply->done;
    void *context = apply->context;
    if (apply->answers) {
        buffer_clear(&node->encoded);
        if (reply != NULL) {
            batch_reply_encode(reply, &node->encoded);
        }
        answer(node, &asker, status, buffer_bytes(&node->encoded));
    }
    rows_release(&apply->hold);
    work_end(node, &apply->work);
    apply_free(apply);
    if (done != NULL) {
        done(context, status);
    }
    node_check_idle(node);
}

/* What a repair's rows know now, so that who sent them sees whether they knew more. */
static void answer_repair(struct apply *apply) {
    struct node *node = apply->node;
    struct buffer contexts = {0};
    size_t ends[BATCH_ROWS_MAX];
    struct bytes slices[BATCH_ROWS_MAX];
    struct batch_reply reply = {.n_contexts = apply->batch.n, .contexts = slices};
    reply.tally = tally_of(blob_bytes(rows_held(&apply->hold, 0)->durable));
    for (uint32_t i = 0; i < apply->batch.n; i++) {
        versions_decode(blob_bytes(rows_held(&apply->hold, 1 + i)->durable), &node->scratch[0]);
        context_encode(&node->scratch[0].context, &contexts);
        ends[i] = contexts.size;
    }
    for (uint32_t i = 0; i < apply->batch.n; i++) {
        size_t begin = i > 0 ? ends[i - 1] : 0;
        slices[i] = bytes_of(contexts.data + begin, ends[i] - begin);
    }
    apply_end(apply, 0, &reply);
    buffer_release(&contexts);
}

/* Everybody who has to know may know. */
static void on_heard(void *context) {
    struct apply *apply = context;
    struct batch_reply reply = {0};
    reply.tally = tally_of(blob_bytes(rows_held(&apply->hold, 0)->durable));
    apply_end(apply, 0, &reply);
}

static void on_committed(void *context, int status) {
    struct apply *apply = context;
    apply->node->counters.commit_errors += status != 0 ? 1 : 0;
    if (status == 0 && rows_held(&apply->hold, 0)->newest_status == ERR_CORRUPT) {
        recount_start(apply->node, apply->key);
    }
    if (status == 0 && apply->repairs && apply->answers) {
        answer_repair(apply);
        return;
    }
    if (status != 0 || apply->repairs) {
        struct batch_reply reply = {0};
        apply_end(apply, status, status == 0 ? &reply : NULL);
    } else if (watch_wait(apply->node->watches, &apply->wait, apply->key,
                          watch_writer(&apply->batch.op), on_heard, apply)) {
        on_heard(apply);
    }
}

static bool writes(const struct row_op *op) {
    return op->kind != ROW_GUARD;
}

/* 0, or why the rows cannot take this batch at all. */
static int check_rows(struct apply *apply) {
    for (uint32_t i = 0; i < apply->hold.n; i++) {
        int status = rows_held(&apply->hold, i)->newest_status;
        /* Rows are repaired whatever the tally says, but not while they are counted. */
        bool repairable = apply->repairs && status == ERR_CORRUPT &&
                          (i > 0 ? apply->whole : !recount_under_way(apply->node, apply->key));
        if (status != 0 && !repairable) {
            if (i == 0 && status == ERR_CORRUPT) {
                recount_start(apply->node, apply->key);
            } else if (status == ERR_CORRUPT) {
                scrub_mend(apply->node, rows_held(&apply->hold, i)->key);
            }
            return status;
        }
    }
    for (uint32_t i = 0; i < apply->batch.n; i++) {
        const struct row_op *op = &apply->batch.ops[i];
        if (writes(op) && versions_decode(op->value, &apply->node->scratch[0]) != 0) {
            return ERR_INVALID;
        }
        if (context_decode(op->seen, &apply->node->scratch_context) != 0) {
            return ERR_INVALID;
        }
    }
    return 0;
}

/* A planted bug, see plant.h. */
static void acknowledge_early(struct apply *apply) {
    struct batch_reply reply = {0};
    buffer_clear(&apply->node->encoded);
    batch_reply_encode(&reply, &apply->node->encoded);
    answer(apply->node, &apply->asker, 0, buffer_bytes(&apply->node->encoded));
    apply->answers = false; /* no second one */
}

static void apply_commit(struct apply *apply) {
    struct merge merge;
    merge_begin(&merge, apply->node, rows_held(&apply->hold, 0), apply->batch.n, apply->synced);
    for (uint32_t i = 0; i < apply->batch.n; i++) {
        const struct row_op *op = &apply->batch.ops[i];
        if (writes(op)) {
            merge_row(&merge, rows_held(&apply->hold, 1 + i), op->value, NULL);
        } else if (apply->forgets) {
            merge_forget(&merge, rows_held(&apply->hold, 1 + i));
        }
    }
    if (PLANTED(REPLICA_EARLY_ACK) && !apply->repairs) {
        acknowledge_early(apply);
    }
    if (rows_commit_start(merge_finish(&merge), apply->synced, on_committed, apply)) {
        on_committed(apply, 0);
    }
}

static void on_loaded(void *context) {
    struct apply *apply = context;
    struct node *node = apply->node;
    if (!apply->repairs && node_now(node) > apply->deadline_ns) {
        node->counters.late++;
        apply_end(apply, ERR_TIMEOUT, NULL);
        return;
    }
    int err = check_rows(apply);
    if (err != 0) {
        node->counters.messages_bad += err == ERR_INVALID ? 1 : 0;
        apply_end(apply, err, NULL);
        return;
    }
    apply_commit(apply);
}

static void apply_hold(struct apply *apply) {
    struct node *node = apply->node;
    rows_hold_init(&apply->hold, apply->batch.n + 1, on_loaded, apply);
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, apply->slice, apply->key);
    rows_hold_add(node->rows, &apply->hold, buffer_bytes(&node->key));
    for (uint32_t i = 0; i < apply->batch.n; i++) {
        buffer_clear(&node->key);
        if (apply->batch.ops[i].condition == ROW_COUNT_MAX) {
            rowkey_put_tally(&node->key, apply->slice, apply->key);
        } else {
            rowkey_put_row(&node->key, apply->slice, apply->key, apply->batch.ops[i].sort_key);
        }
        rows_hold_add(node->rows, &apply->hold, buffer_bytes(&node->key));
    }
    if (rows_hold_wait(&apply->hold)) {
        on_loaded(apply);
    }
}

/* A copy of the message as work to do; NULL with *ret_err when it is refused. */
static struct apply *apply_new(struct node *node, struct bytes key, struct bytes payload,
                               int *ret_err) {
    struct apply *apply = memory_resize(NULL, sizeof *apply + key.size + payload.size);
    memset(apply, 0, sizeof *apply);
    apply->node = node;
    apply->whole = recovery_others_needed(node) <= 1; /* then any copy is */
    apply->work.drop = apply_drop;
    apply->slice = ring_slice(membership_ring(node->membership), key);
    bytes_store(bytes_store(apply->bytes, key), payload);
    apply->key = bytes_of(apply->bytes, key.size);
    *ret_err = batch_decode(bytes_of(apply->bytes + key.size, payload.size), true, &apply->batch);
    if (*ret_err == 0 && !work_begin(node, &apply->work, key.size + payload.size)) {
        *ret_err = ERR_BUSY;
        batch_release(&apply->batch);
    }
    if (*ret_err != 0) {
        free(apply);
        return NULL;
    }
    return apply;
}

void apply_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    struct asker asker = asker_of(from, message);
    const struct ring *ring = membership_ring(node->membership);
    bool repairs = message->type == MESSAGE_REPAIR;
    bool answers = !repairs || message->id != 0;
    int err = 0;
    if (!ring_is_replica(ring, ring_slice(ring, message->key), node->config.id)) {
        err = ERR_WRONG_RING;
    } else {
        err = node_read_only(node);
    }
    struct apply *apply = err == 0 ? apply_new(node, message->key, message->payload, &err) : NULL;
    if (apply == NULL) {
        node->counters.messages_bad += err == ERR_INVALID || err == ERR_TOO_BIG ? 1 : 0;
        if (answers) {
            answer_status(node, &asker, err);
        }
        return;
    }
    apply->asker = asker;
    apply->repairs = repairs;
    apply->answers = answers;
    apply->synced = (message->flags & MESSAGE_SYNCED) != 0;
    apply->deadline_ns = node_deadline(node, message);
    apply_hold(apply);
}

static int repair_here(struct node *node, struct bytes partition_key, struct bytes payload,
                       bool whole, apply_done *done, void *context) {
    int err = 0;
    struct apply *apply = apply_new(node, partition_key, payload, &err);
    if (apply != NULL) {
        apply->repairs = true;
        apply->whole |= whole;
        apply->done = done;
        apply->context = context;
        apply_hold(apply);
    }
    return err;
}

int apply_here(struct node *node, struct bytes partition_key, struct bytes payload,
               apply_done *done, void *context) {
    return repair_here(node, partition_key, payload, false, done, context);
}

int apply_whole(struct node *node, struct bytes partition_key, struct bytes payload,
                apply_done *done, void *context) {
    return repair_here(node, partition_key, payload, true, done, context);
}

void apply_forget(struct node *node, struct bytes partition_key, struct bytes sort_key) {
    struct row_op op = {.kind = ROW_GUARD, .condition = ROW_ANY, .sort_key = sort_key};
    struct batch batch = {.n = 1, .ops = &op};
    struct buffer payload = {0};
    int err = 0;
    batch_encode(&batch, &payload);
    struct apply *apply = apply_new(node, partition_key, buffer_bytes(&payload), &err);
    if (apply != NULL) {
        apply->repairs = true;
        apply->whole = true;
        apply->forgets = true;
        apply_hold(apply);
    }
    buffer_release(&payload);
}
