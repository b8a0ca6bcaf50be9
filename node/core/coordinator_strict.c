/* coordinator_strict: batches with conditions, and strict reads, at the slice's steward. */
#include "node/core/coordinator_strict.h"

#include <stdlib.h>

#include "node/core/acceptor.h"
#include "node/core/condition.h"
#include "node/core/coordinator_batch.h"
#include "node/core/coordinator_read.h"
#include "node/core/forward.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

/* ---- the way to a turn ---- */

bool strict_is_passed(const struct request *request) {
    const struct endpoint *from = &request->asker.endpoint;
    const struct ring *ring = membership_ring(request->node->membership);
    return (request->flags & MESSAGE_FORWARDED) != 0 && from->kind == ENDPOINT_NODE &&
           ring_is_replica(ring, request->slice, from->node);
}

/* Passes the request on: whether it could. */
static bool pass_on(struct request *request, uint16_t to) {
    struct node *node = request->node;
    uint32_t left_ms = node_budget_ms(node, request->deadline_ns);
    uint32_t age_ms = request->patience_ms > left_ms ? request->patience_ms - left_ms : 0;
    struct message message = {.type = request->kind->type,
                              .flags = request->flags,
                              .budget_ms = left_ms,
                              .age_ms = age_ms,
                              .stamp_ns = request->stamp_ns,
                              .key = request->key,
                              .payload = request->payload};
    return forward_strict(node, &request->asker, &message, request->slice, to);
}

static void on_granted(void *context) {
    struct strict *strict = context;
    strict->ready(strict->request);
}

static void on_over(void *context, int status) {
    struct strict *strict = context;
    strict->over(strict->request, status);
}

static void route(struct strict *strict) {
    struct request *request = strict->request;
    struct node *node = request->node;
    const struct row *row = rows_held(&strict->hold, 0);
    int status = row->newest_status;
    uint64_t promise = chain_promise(blob_bytes(row->newest));
    rows_release(&strict->hold);
    if (status != 0) {
        strict->over(request, ERR_UNAVAILABLE);
        return;
    }
    uint16_t to = strict_is_passed(request) ? 0 : steward_route(node, request->slice, promise);
    if (to != 0 && pass_on(request, to)) {
        request_leave(request);
        return;
    }
    request_move(request, REQUEST_QUEUED);
    strict->turn = (struct turn){.granted = on_granted, .done = on_over, .context = strict};
    turn_take(node, request->slice, request->key, &strict->turn);
}

static void on_promise(void *context) {
    route(context);
}

void strict_enter(struct strict *strict) {
    struct request *request = strict->request;
    struct node *node = request->node;
    request_move(request, REQUEST_ROUTING);
    timers_set(node->timers, &request->timer, request->deadline_ns);
    rows_hold_init(&strict->hold, 1, on_promise, strict);
    buffer_clear(&node->key);
    rowkey_put_promise(&node->key, request->slice);
    rows_hold_add(node->rows, &strict->hold, buffer_bytes(&node->key));
    if (rows_hold_wait(&strict->hold)) {
        route(strict);
    }
}

void strict_again(struct strict *strict) {
    struct request *request = strict->request;
    struct node *node = request->node;
    strict_release(strict);
    if (!strict_is_passed(request)) {
        strict_enter(strict);
        return;
    }
    uint64_t pause_ms = STRICT_PAUSE_MS + node->env->random(node->env->self) % STRICT_JITTER_MS;
    request_move(request, REQUEST_PAUSING);
    request_arm(request, (int64_t)pause_ms * NS_PER_MS);
}

void strict_release(struct strict *strict) {
    rows_release(&strict->hold);
    turn_end(&strict->turn);
    steward_check_stop(&strict->check);
}

static void on_assured(void *context, int status) {
    struct strict *strict = context;
    if (status == 0) {
        strict->assured(strict->request);
    } else {
        turn_end(&strict->turn);
        strict->over(strict->request, status);
    }
}

void strict_assure(struct strict *strict) {
    struct request *request = strict->request;
    request_move(request, REQUEST_ASSURING);
    strict->check.done = on_assured;
    strict->check.context = strict;
    int status = steward_check(request->node, request->slice, &strict->check);
    if (status != STEWARD_CHECK_ASKED) {
        on_assured(strict, status);
    }
}

/* ---- reads ---- */

static void read_over(struct request *request, int status) {
    if (status == ERR_STALE_EPOCH) {
        strict_again(request->strict);
        return;
    }
    request->needed = (uint8_t)round_majority(request->node);
    request_answer_missed(request, ERR_UNAVAILABLE, 1);
    request_end(request);
}

static void on_read_checked(void *context, int status) {
    struct strict *strict = context;
    if (status == 0) {
        strict->unassured = false;
        quorum_read_check(quorum_read_from(strict->request));
    } else {
        request_reset(strict->request);
        read_over(strict->request, status);
    }
}

/* What is read here while the others are asked was there after the request came: had somebody else
 * ordered batches by then, a majority would not say yes afterwards. */
static void read_ready(struct request *request) {
    struct strict *strict = request->strict;
    turn_end(&strict->turn);
    strict->check.done = on_read_checked;
    strict->check.context = strict;
    int status = steward_check(request->node, request->slice, &strict->check);
    if (status < 0) {
        read_over(request, status);
        return;
    }
    strict->unassured = status == STEWARD_CHECK_ASKED;
    request->kind->begin(request);
}

void strict_read_begin(struct request *request) {
    request->strict = memory_new(1, sizeof *request->strict);
    *request->strict = (struct strict){.request = request, .ready = read_ready, .over = read_over};
    request->needed = (uint8_t)round_majority(request->node);
    uint32_t alive = request_alive(request);
    if (alive < request->needed) {
        request_answer_missed(request, ERR_UNAVAILABLE, (uint8_t)alive);
        request_end(request);
        return;
    }
    strict_enter(request->strict);
}

void strict_read_expired(struct request *request) {
    if (request->state == REQUEST_PAUSING && node_now(request->node) < request->deadline_ns) {
        strict_enter(request->strict);
        return;
    }
    request_answer(request, ERR_TIMEOUT, bytes_of(NULL, 0));
    request_end(request);
}
