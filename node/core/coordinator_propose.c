/* coordinator_propose: a batch with conditions, from its turn to its answer. */
#include "node/core/condition.h"
#include "node/core/coordinator_batch.h"
#include "node/core/plant.h"
#include "node/core/settle.h"
#include "shared/err.h"

static uint8_t needed_of(const struct request *request) {
    uint8_t majority = (uint8_t)round_majority(request->node);
    uint8_t asked = request_needed(request, request->node->config.write_quorum);
    return asked > majority ? asked : majority;
}

static void on_ready(struct request *request) {
    batch_latch(batch_from(request));
}

static void fail(struct batch_request *batch, int status) {
    if (status == ERR_STALE_EPOCH) {
        status = ERR_UNKNOWN; /* after it was proposed */
    }
    if (status == ERR_UNAVAILABLE || status == ERR_UNKNOWN) {
        uint32_t answered = batch->strict.turn.acknowledged;
        batch_fail_missed(batch, status, answered > 0 ? answered : 1);
    } else {
        batch_fail(batch, status);
    }
}

/* Another node became the steward. It finds out what became of a proposal that was out, so asking
 * again, now as a retry, gets a definite answer. */
static bool goes_on(const struct batch_request *batch, bool proposed, int status) {
    const struct request *request = &batch->request;
    return status == ERR_STALE_EPOCH && (!proposed || !strict_is_passed(request));
}

/* The proposal was withdrawn: its rows are to be made of what others have of them, too. */
static void make_again(struct batch_request *batch) {
    struct request *request = &batch->request;
    if (!batch->withdrawn) {
        batch->first_try = (request->flags & MESSAGE_RETRY) == 0;
    }
    request->flags |= MESSAGE_RETRY;
    batch->withdrawn = true;
    batch->withdrawn_in = steward_of(request->node, request->slice)->epoch;
    batch->n_learnt = 0;
    batch_release_ops(batch);
    batch_let_go(batch);
    strict_again(&batch->strict);
}

/* The turn is over: done, or it failed before or after anything was sent. */
static void on_over(struct request *request, int status) {
    struct batch_request *batch = batch_from(request);
    bool refusing = batch->refusing;
    bool proposed = batch->committing && !refusing;
    batch->committing = false;
    batch->refusing = false;
    batch->tally = batch->strict.turn.tally;
    if (request->state == REQUEST_ANSWERED) {
        batch_end(batch);
    } else if (refusing && status == 0) {
        batch_conflict_here(batch, batch->failing);
    } else if (proposed && status == 0) {
        batch_answer_done(batch);
    } else if (proposed && status == ERR_CONFLICT) {
        make_again(batch);
    } else if (goes_on(batch, proposed, status)) {
        request->flags |= proposed ? MESSAGE_RETRY : 0;
        batch_release_ops(batch);
        batch_let_go(batch);
        strict_again(&batch->strict);
    } else {
        fail(batch, refusing ? ERR_UNKNOWN : status);
    }
}

static void on_assured(struct request *request) {
    struct batch_request *batch = batch_from(request);
    batch_conflict_here(batch, batch->failing);
}

void batch_propose_begin(struct batch_request *batch) {
    struct request *request = &batch->request;
    struct node *node = request->node;
    batch->strict = (struct strict){
        .request = request, .ready = on_ready, .over = on_over, .assured = on_assured};
    request->needed = needed_of(request);
    uint32_t alive = request_alive(request);
    int err;
    if (alive < request->needed) {
        batch_fail_missed(batch, ERR_UNAVAILABLE, alive);
    } else if ((err = epoch_ready(node)) != 0) {
        batch_fail(batch, err);
    } else {
        strict_enter(&batch->strict);
    }
}

/* One replica may have an earlier attempt as its pending, which a majority has not: unless a later
 * link of the chain is chosen, the next steward may find it there and propose it. */
static void rule_out_earlier(struct batch_request *batch) {
    struct request *request = &batch->request;
    struct buffer encoded = {0};
    settle_encode_nothing(&encoded);
    struct chain_proposal nothing = {.batch = buffer_bytes(&encoded)};
    request_move(request, REQUEST_PROPOSING);
    request_arm(request, NODE_REPLICA_TIMEOUT_MS * NS_PER_MS);
    batch->refusing = true;
    batch->committing = true;
    turn_propose(&batch->strict.turn, &nothing, round_majority(request->node), 0);
    buffer_release(&encoded);
}

void batch_propose_conflict(struct batch_request *batch, uint32_t index) {
    batch->failing = index;
    if ((batch->request.flags & MESSAGE_RETRY) != 0) {
        rule_out_earlier(batch);
    } else {
        strict_assure(&batch->strict);
    }
}

bool batch_propose_known(struct batch_request *batch) {
    struct chain_tail tail;
    turn_tail(&batch->strict.turn, &tail);
    const struct chain_op *op = chain_tail_find(&tail, &batch->batch.op);
    if (op != NULL) {
        batch->known_dots[0] = op->dot;
        batch->n_known = 1;
        batch->known_stamp_ns = op->stamp_ns;
    }
    return op != NULL;
}

bool batch_propose_forgotten(const struct batch_request *batch) {
    struct node *node = batch->request.node;
    struct chain_tail tail;
    if (batch->withdrawn && batch->first_try &&
        batch->withdrawn_in == steward_of(node, batch->request.slice)->epoch) {
        return false;
    }
    turn_tail(&batch->strict.turn, &tail);
    uint64_t wall_ns = node->env->wall_ns(node->env->self);
    if (tail.n > 0) { /* stamps rise along a chain, whoever is its steward */
        hlc_learn(&node->hlc, wall_ns, tail.ops[0].stamp_ns);
    }
    uint64_t now_ns = hlc_now(&node->hlc, wall_ns);
    uint64_t sent_ns = batch->request.stamp_ns;
    if (sent_ns == 0) {
        sent_ns = now_ns - STRICT_RETRY_MS * (uint64_t)NS_PER_MS;
    }
    bool late = now_ns > sent_ns && now_ns - sent_ns > BATCH_LATE_NS;
    if ((batch->request.flags & MESSAGE_RETRY) == 0 && (batch->request.stamp_ns == 0 || !late)) {
        return false;
    }
    return tail.n == CHAIN_RECENT_MAX && tail.ops[tail.n - 1].stamp_ns > sent_ns;
}

/* The tally as it is to become. */
static struct tally tally_after(const struct batch_request *batch) {
    struct versions *versions = &batch->request.node->scratch[0];
    struct tally tally = tally_of(blob_bytes(rows_held(&batch->hold, 0)->newest));
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        if (batch->ops[i].blob != NULL) {
            versions_decode(blob_bytes(rows_held(&batch->hold, 1 + i)->newest), versions);
            bool was_live = versions_live(versions) > 0;
            versions_decode(blob_bytes(batch->ops[i].blob), versions);
            tally_follow(&tally, was_live, versions);
        }
    }
    return tally;
}

void batch_propose(struct batch_request *batch) {
    struct request *request = &batch->request;
    struct buffer encoded = {0};
    batch_encode_replicate(batch, &encoded);
    struct node *node = request->node;
    struct chain_proposal content = {.batch = buffer_bytes(&encoded),
                                     .dot = batch->known ? batch->known_dots[0] : batch->dot};
    content.tally = tally_after(batch);
    content.stamp_ns = hlc_stamp(&node->hlc, node->env->wall_ns(node->env->self));
    request_move(request, REQUEST_PROPOSING);
    bool waits = watch_by_others(node->watches, request->key, watch_writer(&batch->batch.op));
    int64_t leases_ms = waits ? node->config.lease_ms : 0;
    request_arm(request, (NODE_REPLICA_TIMEOUT_MS + leases_ms) * NS_PER_MS);
    batch->committing = true;
    uint16_t flags = request->flags & MESSAGE_SYNCED;
    flags |= batch_has_patches(&batch->batch) && !PLANTED(UNCOVERED) ? MESSAGE_COVERING : 0;
    int err = turn_propose(&batch->strict.turn, &content, request->needed, flags);
    buffer_release(&encoded);
    if (err != 0) {
        batch->committing = false;
        batch_fail(batch, err);
    }
}

void batch_propose_expired(struct batch_request *batch) {
    struct request *request = &batch->request;
    bool late = node_now(request->node) >= request->deadline_ns;
    switch (request->state) {
    case REQUEST_PAUSING:
        if (late) {
            batch_fail_missed(batch, ERR_UNAVAILABLE, 1);
        } else {
            strict_enter(&batch->strict);
        }
        break;
    case REQUEST_PROPOSING:
        if (PLANTED(ABANDON)) {
            turn_end(&batch->strict.turn);
            batch->committing = false;
            batch_fail_missed(batch, ERR_UNKNOWN, 1);
            break;
        }
        batch_fail_missed(batch, ERR_UNKNOWN, turn_acknowledged(&batch->strict.turn));
        break;
    case REQUEST_ASSURING:
        batch_fail_missed(batch, ERR_UNAVAILABLE, 1);
        break;
    default:
        batch_fail(batch, ERR_TIMEOUT);
        break;
    }
}
