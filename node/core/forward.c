/* forward: requests for rows that this node does not hold, passed on to one that does. */
#include "node/core/forward.h"
#include "node/core/recovery.h"
#include "node/core/steward.h"
#include "shared/hash.h"

#include <stdlib.h>

#include "shared/err.h"

struct forward {
    struct node *node;
    struct asker asker;
    uint64_t id;
    uint16_t to;
    bool strict;
    bool retry; /* an earlier try of the batch may yet be done */
    uint16_t slice;
    struct timer timer;
    UT_hash_handle hh;
};

static void forward_unlist(struct forward *forward) {
    struct node *node = forward->node;
    timers_cancel(node->timers, &forward->timer);
    HASH_DELETE(hh, node->forwards, forward);
    node->n_forwards--;
}

static void forward_end(struct forward *forward, int status, struct bytes payload) {
    struct node *node = forward->node;
    forward_unlist(forward);
    answer(node, &forward->asker, status, payload);
    free(forward);
    node_check_idle(node);
}

static void on_timer(void *context) {
    struct forward *forward = context;
    if (forward->asker.type == MESSAGE_BATCH) {
        struct node *node = forward->node;
        struct asker asker = forward->asker;
        struct shortfall shortfall = {.needed = 1};
        shortfall_add(&shortfall, forward->to);
        forward_unlist(forward);
        free(forward);
        answer_missed(node, &asker, ERR_UNKNOWN, &shortfall);
        node_check_idle(node);
    } else {
        forward_end(forward, ERR_TIMEOUT, bytes_of(NULL, 0));
    }
}

/* A message was passed on: its answer is waited for until the deadline. */
static void forward_list(const struct forward *passed, int64_t deadline_ns) {
    struct node *node = passed->node;
    struct forward *forward = memory_new(1, sizeof *forward);
    *forward = *passed;
    forward->timer = (struct timer){.fire = on_timer, .context = forward};
    HASH_ADD(hh, node->forwards, id, sizeof forward->id, forward);
    node->n_forwards++;
    node->counters.forwarded++;
    timers_set(node->timers, &forward->timer, deadline_ns);
}

/* The first live replica that takes the message; 0 when there is none. */
static uint16_t pass_on(struct node *node, struct message *message, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        uint16_t id = ring->members[preference[i]].id;
        bool able = message->type == MESSAGE_BATCH ? node_stores(node, id, slice)
                                                   : node_serves(node, id, slice);
        if (id != node->config.id && able && node_ask(node, id, message) == 0) {
            return id;
        }
    }
    return 0;
}

/* No replica of the slice is alive. */
static void answer_no_replica(struct node *node, const struct asker *asker, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    struct shortfall shortfall = {.needed = 1};
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        shortfall_add(&shortfall, ring->members[preference[i]].id);
    }
    answer_missed(node, asker, ERR_UNAVAILABLE, &shortfall);
}

void forward_receive(struct node *node, const struct endpoint *from, const struct message *message,
                     uint16_t slice) {
    struct asker asker = asker_of(from, message);
    if (message->budget_ms == 0) {
        answer_status(node, &asker, ERR_TIMEOUT);
        return;
    }
    if ((message->flags & MESSAGE_FORWARDED) != 0) {
        answer_status(node, &asker, ERR_WRONG_RING);
        return;
    }
    if (node->n_forwards >= NODE_REQUESTS_MAX) {
        answer_status(node, &asker, ERR_BUSY);
        return;
    }
    int64_t deadline_ns = node_deadline(node, message);
    struct message passed = *message;
    passed.id = node_request_id(node);
    passed.flags |= MESSAGE_FORWARDED;
    passed.budget_ms = node_budget_ms(node, deadline_ns);
    uint16_t to = pass_on(node, &passed, slice);
    if (to == 0) {
        answer_no_replica(node, &asker, slice);
        return;
    }
    struct forward forward = {.node = node, .asker = asker, .id = passed.id, .to = to};
    forward_list(&forward, deadline_ns);
}

bool forward_strict(struct node *node, const struct asker *asker, const struct message *message,
                    uint16_t slice, uint16_t to) {
    struct message passed = *message;
    passed.id = node_request_id(node);
    passed.flags |= MESSAGE_FORWARDED;
    if (node->n_forwards >= NODE_REQUESTS_MAX || node_ask(node, to, &passed) != 0) {
        return false;
    }
    struct forward forward = {.node = node,
                              .asker = *asker,
                              .id = passed.id,
                              .to = to,
                              .strict = true,
                              .retry = (message->flags & MESSAGE_RETRY) != 0,
                              .slice = slice};
    forward_list(&forward, node_now(node) + (int64_t)message->budget_ms * NS_PER_MS);
    steward_forwarded(node, slice);
    return true;
}

/* That the other node has not done it says nothing of an earlier try. (A steward that refuses it
 * has looked for that.) */
static int outcome(const struct forward *forward, int status) {
    bool told = status == 0 || status == ERR_CONFLICT || status == ERR_SIBLINGS;
    return forward->retry && !told ? ERR_UNKNOWN : status;
}

void forward_heard(struct node *node, const struct endpoint *from, const struct message *message) {
    struct forward *forward = NULL;
    HASH_FIND(hh, node->forwards, &message->id, sizeof message->id, forward);
    if (forward != NULL && forward->to == from->node) {
        if (forward->strict) {
            steward_answered(node, forward->slice, -(int)message->status);
        }
        forward_end(forward, outcome(forward, -(int)message->status), message->payload);
    }
}

void forward_drop(struct node *node) {
    struct forward *forward;
    struct forward *next;
    HASH_ITER(hh, node->forwards, forward, next) {
        forward_unlist(forward);
        free(forward);
    }
}
