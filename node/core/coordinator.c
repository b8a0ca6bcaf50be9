/* coordinator: a client's request from its arrival to its one answer. */
#include "node/core/coordinator.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/coordinator_strict.h"
#include "node/core/forward.h"
#include "node/core/later.h"
#include "node/core/plant.h"
#include "node/core/recovery.h"
#include "shared/err.h"

#define TO(state) (1u << REQUEST_##state)

/* From which state to which: the drawing in coordinator.h. */
static const uint16_t moves[] = {
    [REQUEST_NEW] = TO(LATCHING) | TO(READING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_ROUTING] = TO(QUEUED) | TO(ANSWERED),
    [REQUEST_QUEUED] = TO(LATCHING) | TO(READING) | TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_LATCHING] = TO(LOADING) | TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_LOADING] = TO(CONFIRMING) | TO(COMMITTING) | TO(PROPOSING) | TO(ASSURING) |
                        TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_CONFIRMING] = TO(LOADING) | TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_PROPOSING] = TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_ASSURING] = TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_PAUSING] = TO(ROUTING) | TO(ANSWERED),
    [REQUEST_COMMITTING] = TO(ANSWERED),
    [REQUEST_READING] = TO(FETCHING) | TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_FETCHING] = TO(PAUSING) | TO(ROUTING) | TO(ANSWERED),
    [REQUEST_ANSWERED] = 0,
};

void request_move(struct request *request, enum request_state to) {
    assert((moves[request->state] & (1u << to)) != 0);
    request->state = (uint8_t)to;
    if (to == REQUEST_ANSWERED) {
        timers_cancel(request->node->timers, &request->timer);
    }
}

void request_arm(struct request *request, int64_t after_ns) {
    int64_t at_ns = node_now(request->node) + after_ns;
    if (at_ns > request->deadline_ns) {
        at_ns = request->deadline_ns;
    }
    timers_set(request->node->timers, &request->timer, at_ns);
}

static void request_free(struct request *request) {
    if (request->strict != NULL) {
        strict_release(request->strict);
        free(request->strict);
    }
    request->kind->release(request);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        free((void *)(uintptr_t)request->peers[i].reply.data);
    }
    free((void *)(uintptr_t)request->key.data);
    free(request);
}

static void request_unlist(struct request *request) {
    struct node *node = request->node;
    timers_cancel(node->timers, &request->timer);
    HASH_DELETE(hh, node->requests, request);
    node->n_requests--;
    node_give_back(node, request->size);
}

void request_end(struct request *request) {
    struct node *node = request->node;
    assert(request->state == REQUEST_ANSWERED);
    request_unlist(request);
    request_free(request);
    node_check_idle(node);
}

void coordinator_drop(struct node *node) {
    struct request *request;
    struct request *next;
    HASH_ITER(hh, node->requests, request, next) {
        request_unlist(request);
        request_free(request);
    }
}

void request_leave(struct request *request) {
    request_move(request, REQUEST_ANSWERED);
    request_end(request);
}

void request_answer(struct request *request, int status, struct bytes payload) {
    request_move(request, REQUEST_ANSWERED);
    answer(request->node, &request->asker, status, payload);
}

void request_answer_missed(struct request *request, int status, uint8_t answered) {
    request_move(request, REQUEST_ANSWERED);
    struct shortfall shortfall = {.needed = request->needed, .answered = answered};
    for (uint32_t i = 0; i < request->n_peers; i++) {
        const struct peer *peer = &request->peers[i];
        bool waited_for = peer->state == PEER_ASKED || peer->state == PEER_SILENT;
        if (waited_for || (peer->state != PEER_DONE && !node_alive(request->node, peer->node))) {
            shortfall_add(&shortfall, peer->node);
        }
    }
    answer_missed(request->node, &request->asker, status, &shortfall);
}

void request_next_phase(struct request *request) {
    request->phase = (uint8_t)((request->phase + 1) % REQUEST_PHASES);
}

void request_phase(struct request *request) {
    request_next_phase(request);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        request->peers[i].state = PEER_IDLE;
        request->peers[i].status = 0;
        request->peers[i].later = false;
    }
}

void request_reset(struct request *request) {
    request->kind->release(request);
    memset((uint8_t *)request + sizeof *request, 0, request->kind->size - sizeof *request);
    request_next_phase(request);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        free((void *)(uintptr_t)peer->reply.data);
        *peer = (struct peer){.node = peer->node, .asked_ever = peer->asked_ever};
    }
}

static void ask(struct request *request, struct peer *peer, const struct message *content) {
    struct node *node = request->node;
    int64_t limit_ns = node_now(node) + NODE_REPLICA_TIMEOUT_MS * NS_PER_MS;
    if (limit_ns > request->deadline_ns) {
        limit_ns = request->deadline_ns;
    }
    struct message message = *content;
    message.id = request->id + request->phase;
    message.budget_ms = node_budget_ms(node, limit_ns);
    message.key = request->key;
    assert(peer->state == PEER_IDLE);
    peer->state = PEER_ASKED;
    if (peer->later) {
        later_ask(node, peer->node, &message);
    } else if (node_ask(node, peer->node, &message) != 0) {
        peer->state = PEER_REFUSED;
    }
    peer->status = peer->state == PEER_REFUSED ? ERR_BUSY : 0;
    peer->asked_ever |= peer->state == PEER_ASKED;
}

void request_ask(struct request *request, struct peer *peer, uint8_t type, uint16_t flags,
                 struct bytes payload) {
    struct message content = {.type = type, .flags = flags, .payload = payload};
    ask(request, peer, &content);
}

uint32_t request_ask_some(struct request *request, uint32_t n, uint8_t type, uint16_t flags,
                          struct bytes payload) {
    uint32_t asked = 0;
    for (uint32_t i = 0; i < request->n_peers && asked < n; i++) {
        struct peer *peer = &request->peers[i];
        /* A replica that recovers is not asked what it has. */
        if (peer->state == PEER_IDLE && node_serves(request->node, peer->node, request->slice)) {
            request_ask(request, peer, type, flags, payload);
            asked += peer->state == PEER_ASKED ? 1 : 0;
        }
    }
    return asked;
}

void request_replicate(struct request *request, uint16_t flags, struct bytes payload) {
    struct node *node = request->node;
    struct message content = {.type = MESSAGE_REPLICATE, .flags = flags, .payload = payload};
    uint32_t have = 1;
    for (uint32_t i = 0; i < 2 * request->n_peers; i++) {
        struct peer *peer = &request->peers[i % request->n_peers];
        bool first = i < request->n_peers;
        bool able = first ? later_prompt(node, peer->node, request->slice)
                          : node_alive(node, peer->node); /* one that recovers is told, too */
        if (peer->state == PEER_IDLE && able && !(first && have >= request->needed)) {
            peer->later = have >= request->needed;
            ask(request, peer, &content);
            have += peer->state == PEER_ASKED ? 1 : 0;
        }
    }
}

void request_replicated(struct request *request, const struct peer *peer) {
    for (uint32_t i = 0; i < request->n_peers; i++) {
        const struct peer *other = &request->peers[i];
        if (other->state == PEER_ASKED) {
            later_heard(request->node, (struct later_peer){peer->node, peer->later},
                        peer->state == PEER_REFUSED,
                        (struct later_peer){other->node, other->later});
        }
    }
}

uint32_t request_count(const struct request *request, enum peer_state state) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < request->n_peers; i++) {
        n += request->peers[i].state == state ? 1 : 0;
    }
    return n;
}

uint32_t request_alive(const struct request *request) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < request->n_peers; i++) {
        n += node_serves(request->node, request->peers[i].node, request->slice) ? 1 : 0;
    }
    return n;
}

uint32_t request_storing(const struct request *request) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < request->n_peers; i++) {
        n += node_stores(request->node, request->peers[i].node, request->slice) ? 1 : 0;
    }
    return n;
}

uint8_t request_needed(const struct request *request, uint8_t quorum) {
    uint8_t held = (uint8_t)(request->n_peers + 1);
    bool writes = request->kind->type == MESSAGE_BATCH;
    if ((PLANTED(WRITE_ONE) && writes) || (PLANTED(READ_ONE) && !writes)) {
        return request->level == LEVEL_ALL ? held : 1;
    }
    if (request->level == LEVEL_ONE) {
        return 1;
    }
    return request->level == LEVEL_ALL || quorum > held ? held : quorum;
}

static void on_timer(void *context) {
    struct request *request = context;
    if (request->strict != NULL && strict_waits(request)) {
        strict_read_expired(request);
    } else {
        request->kind->expired(request);
    }
}

static const struct request_kind *kind_of(uint8_t type) {
    switch (type) {
    case MESSAGE_GET:
        return &coordinator_get;
    case MESSAGE_BATCH:
        return &coordinator_batch;
    default:
        assert(type == MESSAGE_SCAN);
        return &coordinator_scan;
    }
}

static void list_peers(struct request *request) {
    const struct ring *ring = membership_ring(request->node->membership);
    const uint16_t *preference = ring_preference(ring, request->slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        uint16_t id = ring->members[preference[i]].id;
        if (id != request->node->config.id) {
            request->peers[request->n_peers++].node = id;
        }
    }
}

static struct request *request_new(struct node *node, const struct endpoint *from,
                                   const struct message *message, uint16_t slice) {
    const struct request_kind *kind = kind_of(message->type);
    struct request *request = memory_new(1, kind->size);
    uint8_t *bytes = memory_resize(NULL, message->key.size + message->payload.size);
    bytes_store(bytes_store(bytes, message->key), message->payload);
    int64_t deadline_ns = node_deadline(node, message);
    *request = (struct request){.kind = kind,
                                .node = node,
                                .asker = asker_of(from, message),
                                .id = node_request_id(node),
                                .level = message->flags & MESSAGE_LEVEL_MASK,
                                .flags = message->flags,
                                .slice = slice,
                                .deadline_ns = deadline_ns,
                                .stamp_ns = message->stamp_ns,
                                .patience_ms = message->age_ms + node_budget_ms(node, deadline_ns),
                                .timer = {.fire = on_timer, .context = request},
                                .size = message->key.size + message->payload.size,
                                .key = bytes_of(bytes, message->key.size)};
    request->payload = bytes_of(bytes + message->key.size, message->payload.size);
    /* What is written after this try is later than it, here and where this node tells of it. */
    uint64_t sent_ns = message->stamp_ns + (uint64_t)message->age_ms * (uint64_t)NS_PER_MS;
    hlc_learn(&node->hlc, node->env->wall_ns(node->env->self), sent_ns);
    HASH_ADD(hh, node->requests, id, sizeof request->id, request);
    node->n_requests++;
    list_peers(request);
    return request;
}

/* Whether its client has given up a write: in the nodes' time, since it may have waited for a node
 * that was paused, or in a buffer on its way. */
static bool is_overdue(const struct node *node, const struct message *message) {
    uint64_t now_ns = hlc_now(&node->hlc, node->env->wall_ns(node->env->self));
    uint64_t waited_ns = now_ns > message->stamp_ns ? now_ns - message->stamp_ns : 0;
    uint64_t patience_ms = (uint64_t)message->age_ms + message->budget_ms + NODE_OVERDUE_MS;
    return message->type == MESSAGE_BATCH && message->stamp_ns != 0 &&
           waited_ns / (uint64_t)NS_PER_MS > patience_ms;
}

/* 0, or why the message cannot become a request. */
static int check(struct node *node, const struct message *message) {
    if ((message->flags & MESSAGE_LEVEL_MASK) > LEVEL_ALL) {
        return ERR_INVALID;
    }
    if (message->budget_ms == 0) {
        return ERR_TIMEOUT;
    }
    if (is_overdue(node, message)) {
        node->counters.late++;
        return ERR_BUSY;
    }
    if (node->n_requests >= NODE_REQUESTS_MAX ||
        !node_take(node, message->key.size + message->payload.size)) {
        return ERR_BUSY;
    }
    return 0;
}

/* Whether a peer passed this very message on before: what was answered CONFLICT must not be carried
 * out when a copy of it arrives later. */
static bool is_copy(struct node *node, const struct endpoint *from, const struct message *message) {
    if (from->kind != ENDPOINT_NODE || (message->flags & MESSAGE_FORWARDED) == 0) {
        return false;
    }
    uint64_t mixed = (message->id ^ from->node) * 0x9e3779b97f4a7c15ull;
    struct passed_on *last = &node->passed_on[mixed >> 32 & (PASSED_ON_MAX - 1)];
    bool copy = last->peer == from->node && last->id == message->id;
    *last = (struct passed_on){message->id, from->node};
    return copy;
}

void coordinator_receive(struct node *node, const struct endpoint *from,
                         const struct message *message) {
    if (is_copy(node, from, message)) {
        node->counters.late++;
        return;
    }
    const struct ring *ring = membership_ring(node->membership);
    uint16_t slice = ring_slice(ring, message->key);
    if (!ring_is_replica(ring, slice, node->config.id)) {
        forward_receive(node, from, message, slice);
        return;
    }
    if (!node_trusts_itself(node, slice)) {
        struct asker asker = asker_of(from, message);
        node->counters.recovering++;
        if ((message->flags & MESSAGE_FORWARDED) != 0) {
            answer_missed(node, &asker, ERR_UNAVAILABLE, &(struct shortfall){.needed = 1});
        } else {
            forward_receive(node, from, message, slice);
        }
        return;
    }
    if (read_only_refuses(node, from, message, slice)) {
        return;
    }
    int err = check(node, message);
    if (err != 0) {
        struct asker asker = asker_of(from, message);
        answer_status(node, &asker, err);
        return;
    }
    struct request *request = request_new(node, from, message, slice);
    if ((request->flags & MESSAGE_STRICT) != 0 && message->type != MESSAGE_BATCH) {
        strict_read_begin(request);
    } else {
        request->kind->begin(request);
    }
}

struct request *coordinator_find(struct node *node, uint64_t message_id) {
    uint64_t id = message_id & ~(uint64_t)(REQUEST_PHASES - 1);
    struct request *request = NULL;
    HASH_FIND(hh, node->requests, &id, sizeof id, request);
    bool current = request != NULL && request->id + request->phase == message_id &&
                   request->state != REQUEST_ANSWERED;
    return current ? request : NULL;
}

void coordinator_heard(struct node *node, const struct endpoint *from,
                       const struct message *message) {
    struct request *request = coordinator_find(node, message->id);
    for (uint32_t i = 0; request != NULL && i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        if (peer->node == from->node && peer->state == PEER_ASKED) {
            peer->status = -(int)message->status;
            request->kind->heard(request, peer, message);
            return;
        }
    }
}
