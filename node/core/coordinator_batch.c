/* coordinator_batch: changes to one partition, with or without conditions, to a write quorum. */
#include "node/core/coordinator_batch.h"

#include <assert.h>
#include <stdlib.h>

#include "node/core/condition.h"
#include "node/core/merge.h"
#include "node/core/plant.h"
#include "node/core/recovery.h"
#include "node/core/repair.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

struct batch_request *batch_from(struct request *request) {
    return (struct batch_request *)(void *)request;
}

static void batch_key(struct batch_request *batch, const struct row_op *op) {
    struct request *request = &batch->request;
    struct buffer *key = &request->node->key;
    buffer_clear(key);
    if (op == NULL || op->condition == ROW_COUNT_MAX) {
        rowkey_put_tally(key, request->slice, request->key);
    } else {
        rowkey_put_row(key, request->slice, request->key, op->sort_key);
    }
}

/* Lets go of rows and latches; others may be granted them before this returns. */
void batch_let_go(struct batch_request *batch) {
    rows_release(&batch->hold);
    latches_drop(batch->request.node->latches, &batch->claim);
}

void batch_fail(struct batch_request *batch, int status) {
    if (batch->withdrawn) {
        batch_fail_missed(batch, ERR_UNKNOWN, 1);
        return;
    }
    request_answer(&batch->request, status, bytes_of(NULL, 0));
    batch_end(batch);
}

void batch_fail_missed(struct batch_request *batch, int status, uint32_t answered) {
    status = batch->withdrawn ? ERR_UNKNOWN : status;
    request_answer_missed(&batch->request, status, (uint8_t)answered);
    batch_end(batch);
}

/* Ends an answered request, unless its own commit is still under way. */
void batch_end(struct batch_request *batch) {
    assert(batch->request.state == REQUEST_ANSWERED);
    if (!batch->committing) {
        batch_let_go(batch);
        request_end(&batch->request);
    }
}

/* ---- LATCHING, LOADING ---- */

static void on_loaded(void *context) {
    batch_loaded(context);
}

static void on_granted(void *context) {
    struct batch_request *batch = context;
    struct node *node = batch->request.node;
    request_move(&batch->request, REQUEST_LOADING);
    rows_hold_init(&batch->hold, batch->batch.n + 1, on_loaded, batch);
    batch_key(batch, NULL);
    rows_hold_add(node->rows, &batch->hold, buffer_bytes(&node->key));
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        batch_key(batch, &batch->batch.ops[i]);
        rows_hold_add(node->rows, &batch->hold, buffer_bytes(&node->key));
    }
    if (rows_hold_wait(&batch->hold)) {
        batch_loaded(batch);
    }
}

/* The tally's latch stands for the set of live rows: whoever counts it excludes whoever writes. */
void batch_latch(struct batch_request *batch) {
    struct node *node = batch->request.node;
    request_move(&batch->request, REQUEST_LATCHING);
    timers_set(node->timers, &batch->request.timer, batch->request.deadline_ns);
    latch_claim_init(&batch->claim, batch->batch.n + 1, on_granted, batch);
    batch_key(batch, NULL);
    latch_claim_add(node->latches, &batch->claim, buffer_bytes(&node->key), false);
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        const struct row_op *op = &batch->batch.ops[i];
        bool exclusive = op->kind != ROW_GUARD || op->condition == ROW_COUNT_MAX;
        batch_key(batch, op);
        latch_claim_add(node->latches, &batch->claim, buffer_bytes(&node->key), exclusive);
    }
    if (latch_claim_wait(&batch->claim)) {
        on_granted(batch);
    }
}

/* Contexts come from clients. */
static int check_contexts(struct batch_request *batch) {
    struct node *node = batch->request.node;
    struct context *seen = &node->scratch_context;
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        if (context_decode(batch->batch.ops[i].seen, seen) != 0 || epoch_is_ahead(node, seen)) {
            return ERR_INVALID;
        }
        if (seen->n > VERSIONS_CONTEXT_MAX) {
            return ERR_TOO_BIG;
        }
    }
    return 0;
}

/* Whether too few replicas take writes, and nobody can stand in for the others. */
static bool cannot_store(const struct batch_request *batch) {
    const struct request *request = &batch->request;
    const struct ring *ring = membership_ring(request->node->membership);
    bool alone = !batch_may_stand_in(batch) || ring->n_members == ring->n_replicas_held;
    return alone && request_storing(request) < request->needed;
}

/* A patch finds what was acknowledged with the majority that takes it: those who acknowledge a
 * write must meet every majority. */
static int check_patches(const struct batch_request *batch) {
    const struct node *node = batch->request.node;
    uint32_t n = membership_ring(node->membership)->n_replicas_held;
    bool meet = node->config.write_quorum + round_majority(node) > n;
    return meet || !batch_has_patches(&batch->batch) ? 0 : ERR_NOT_SUPPORTED;
}

static void batch_begin(struct request *request) {
    struct batch_request *batch = batch_from(request);
    struct node *node = request->node;
    int err = batch_decode(request->payload, false, &batch->batch);
    if (err == 0) {
        err = check_contexts(batch);
    }
    if (err == 0) {
        err = check_patches(batch);
    }
    if (err != 0) {
        batch_fail(batch, err);
        return;
    }
    batch->confirmed = UINT32_MAX;
    batch->ops = memory_new(batch->batch.n, sizeof *batch->ops);
    if (batch_is_conditional(&batch->batch) || (request->flags & MESSAGE_STRICT) != 0) {
        batch_propose_begin(batch);
        return;
    }
    request->needed = request_needed(request, node->config.write_quorum);
    uint32_t alive = request_alive(request);
    if (alive + batch_stand_ins_alive(batch) < request->needed) {
        batch_fail_missed(batch, ERR_UNAVAILABLE, alive);
    } else if ((err = cannot_store(batch) ? ERR_NO_SPACE : epoch_ready(node)) != 0) {
        batch_fail(batch, err);
    } else {
        batch_latch(batch);
    }
}

/* ---- COMMITTING ---- */

/* A replica that could not read its own row gets it as it is now, where this copy has all that was
 * acknowledged there; else it reads the row from enough others itself (apply.c). */
static void repair_corrupt(struct batch_request *batch) {
    struct request *request = &batch->request;
    if (recovery_others_needed(request->node) > 1) {
        return;
    }
    for (uint32_t i = 0; i < request->n_peers; i++) {
        const struct peer *peer = &request->peers[i];
        if (peer->state != PEER_REFUSED || peer->status != ERR_CORRUPT) {
            continue;
        }
        for (uint32_t j = 0; j < batch->batch.n; j++) {
            if (batch->ops[j].blob != NULL) {
                repair_row(request->node, peer->node, request->key, batch->batch.ops[j].sort_key,
                           blob_bytes(batch->ops[j].blob));
            }
        }
    }
}

/* COMMITTING: by how many replicas, this one included. */
static uint32_t acknowledged(const struct batch_request *batch) {
    bool done = !batch->committing || PLANTED(EARLY_ACK);
    uint32_t local = done && batch->local_status == 0 ? 1 : 0;
    return local + request_count(&batch->request, PEER_DONE);
}

/* The answer of a batch that is done: each row's new context, the tally. */
void batch_answer_done(struct batch_request *batch) {
    struct request *request = &batch->request;
    struct batch_reply reply = {.tally = batch->tally,
                                .n_contexts = batch->batch.n,
                                .needed = request->needed,
                                .answered = (uint8_t)acknowledged(batch)};
    request->node->counters.stood_in += reply.answered < reply.needed ? 1 : 0;
    struct bytes few[8];
    reply.contexts =
        reply.n_contexts <= 8 ? few : memory_new(reply.n_contexts, sizeof *reply.contexts);
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        const struct batch_op *op = &batch->ops[i];
        reply.contexts[i] = op->context_size > 0
                                ? bytes_of(batch->contexts.data + op->context_at, op->context_size)
                                : bytes_of(NULL, 0);
    }
    buffer_clear(&request->node->encoded);
    batch_reply_encode(&reply, &request->node->encoded);
    if (reply.contexts != few) {
        free(reply.contexts);
    }
    repair_corrupt(batch);
    request_answer(request, 0, buffer_bytes(&request->node->encoded));
    batch_end(batch);
}

/* The one error that all who answered gave, this node included; 0 when they differ. */
static int common_error(const struct batch_request *batch) {
    int common = batch->local_status;
    for (uint32_t i = 0; i < batch->request.n_peers; i++) {
        const struct peer *peer = &batch->request.peers[i];
        if (peer->state != PEER_IDLE && (peer->state != PEER_REFUSED || peer->status != common)) {
            return 0;
        }
    }
    return common;
}

/* COMMITTING: enough acknowledgements, or nobody left to wait for? */
void batch_check_done(struct batch_request *batch) {
    struct request *request = &batch->request;
    uint32_t have = acknowledged(batch) + batch_stand_ins_done(batch);
    bool local_done = !batch->committing;
    uint32_t open = request_count(request, PEER_ASKED) + batch_stand_ins_open(batch);
    if (have >= request->needed) {
        batch_answer_done(batch);
    } else if (local_done && open == 0) {
        int common = batch_stand_ins_refused(batch) ? common_error(batch) : 0;
        if (common == ERR_NO_SPACE || common == ERR_DISK) {
            batch_fail(batch, common);
        } else {
            batch_fail_missed(batch, ERR_UNKNOWN, have);
        }
    }
}

static void on_heard(void *context) {
    struct batch_request *batch = context;
    batch->committing = false;
    if (batch->request.state == REQUEST_ANSWERED) {
        batch_end(batch);
    } else {
        batch_check_done(batch);
    }
}

/* Whether this node may count itself now. */
static bool may_acknowledge(struct batch_request *batch) {
    return watch_wait(batch->request.node->watches, &batch->wait, batch->request.key,
                      watch_writer(&batch->batch.op), on_heard, batch);
}

static void on_committed(void *context, int status) {
    struct batch_request *batch = context;
    struct node *node = batch->request.node;
    batch->local_status = status;
    if (status != 0) {
        node->counters.commit_errors++;
        /* Also when a later commit was built on it: that one may fail too, and tell somebody else.
         */
        epoch_renew(node);
    }
    if (status != 0 || may_acknowledge(batch)) {
        on_heard(batch);
    }
}

/* Starts the local commit, and lets later batches have the rows as they will be. */
static void batch_commit(struct batch_request *batch) {
    struct node *node = batch->request.node;
    if (!timer_armed(&batch->request.timer)) {
        request_arm(&batch->request, NODE_REPLICA_TIMEOUT_MS * NS_PER_MS);
    }
    bool synced = (batch->request.flags & MESSAGE_SYNCED) != 0;
    struct merge merge;
    merge_begin(&merge, node, rows_held(&batch->hold, 0), batch->batch.n, synced);
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        struct blob *blob = batch->ops[i].blob;
        if (blob != NULL) {
            merge_row(&merge, rows_held(&batch->hold, 1 + i), blob_bytes(blob), blob);
        }
    }
    batch->tally = merge.tally;
    batch->committing = true;
    if (rows_commit_start(merge_finish(&merge), synced, on_committed, batch)) {
        batch->committing = !may_acknowledge(batch);
    }
    batch_let_go(batch);
}

/* ---- to the others ---- */

/* What is seen was joined to the rows: replicas merge them as they are. */
void batch_encode_replicate(struct batch_request *batch, struct buffer *into) {
    struct row_op *ops = memory_new(batch->batch.n, sizeof *ops);
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        ops[i] = batch->batch.ops[i];
        ops[i].kind = ops[i].kind == ROW_PATCH ? ROW_PUT : ops[i].kind;
        ops[i].value = blob_bytes(batch->ops[i].blob);
        ops[i].condition = ROW_ANY;
        ops[i].seen = bytes_of(NULL, 0);
    }
    struct batch out = {.op = batch->batch.op, .n = batch->batch.n, .ops = ops};
    buffer_clear(into);
    batch_encode(&out, into);
    free(ops);
}

/* A replica that waits for those who hold leases is no silent one. */
static int64_t stand_in_ms(const struct batch_request *batch) {
    const struct node *node = batch->request.node;
    bool waits = watch_by_others(node->watches, batch->request.key, watch_writer(&batch->batch.op));
    return waits ? BATCH_STAND_IN_LEASED_MS : BATCH_STAND_IN_MS;
}

void batch_replicate(struct batch_request *batch) {
    struct request *request = &batch->request;
    struct buffer *encoded = &request->node->encoded;
    batch_encode_replicate(batch, encoded);
    if (encoded->size > MESSAGE_PAYLOAD_MAX) {
        batch_fail(batch, ERR_TOO_BIG);
        return;
    }
    request_phase(request);
    request_replicate(request, request->flags & MESSAGE_SYNCED, buffer_bytes(encoded));
    request_arm(request, NODE_REPLICA_TIMEOUT_MS * NS_PER_MS);
    if (batch_may_stand_in(batch)) {
        request_arm(request, stand_in_ms(batch) * NS_PER_MS);
    }
    request_move(request, REQUEST_COMMITTING);
    batch_commit(batch);
    batch_stand_in(batch, 1u << PEER_IDLE | 1u << PEER_REFUSED);
    batch_check_done(batch);
}

/* ---- events ---- */

static void batch_heard(struct request *request, struct peer *peer, const struct message *message) {
    struct batch_request *batch = batch_from(request);
    if (request->state == REQUEST_CONFIRMING) {
        batch_confirm_heard(batch, peer, message);
        return;
    }
    peer->state = peer->status == 0 ? PEER_DONE : PEER_REFUSED;
    if (request->state == REQUEST_COMMITTING) {
        request_replicated(request, peer);
        batch_stand_in(batch, 1u << PEER_REFUSED);
        batch_check_done(batch);
    }
}

/* Silent replicas are given stand-ins once; then the batch has had its time. */
static void committing_expired(struct batch_request *batch) {
    struct request *request = &batch->request;
    bool again = batch_may_stand_in(batch) && !batch->overdue &&
                 node_now(request->node) < request->deadline_ns;
    if (!again) {
        batch_fail_missed(batch, ERR_UNKNOWN, acknowledged(batch));
        return;
    }
    batch->overdue = true;
    request_arm(request, (NODE_REPLICA_TIMEOUT_MS - stand_in_ms(batch)) * NS_PER_MS);
    batch_stand_in(batch, 1u << PEER_ASKED);
    batch_check_done(batch);
}

static void batch_expired(struct request *request) {
    struct batch_request *batch = batch_from(request);
    if (batch_is_strict(batch) && request->state != REQUEST_CONFIRMING) {
        batch_propose_expired(batch);
        return;
    }
    switch (request->state) {
    case REQUEST_CONFIRMING:
        batch_fail_missed(batch, ERR_UNAVAILABLE, 1 + request_count(request, PEER_DONE));
        break;
    case REQUEST_COMMITTING:
        committing_expired(batch);
        break;
    default:
        batch_fail(batch, ERR_TIMEOUT);
        break;
    }
}

static void batch_release_request(struct request *request) {
    struct batch_request *batch = batch_from(request);
    strict_release(&batch->strict);
    watch_wait_end(request->node->watches, &batch->wait);
    batch_let_go(batch);
    batch_release_ops(batch);
    batch_release(&batch->batch);
    buffer_release(&batch->contexts);
    free(batch->ops);
}

const struct request_kind coordinator_batch = {
    .type = MESSAGE_BATCH,
    .size = sizeof(struct batch_request),
    .begin = batch_begin,
    .heard = batch_heard,
    .expired = batch_expired,
    .release = batch_release_request,
};
