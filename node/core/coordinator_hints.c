/* coordinator_hints: stand-ins for the replicas that a batch does not reach. */
#include <stdlib.h>

#include "node/core/coordinator_batch.h"
#include "node/core/hints.h"
#include "shared/err.h"

enum { TARGET_AT = 0 }; /* where a HINT's payload has its target, 2 bytes */

bool batch_may_stand_in(const struct batch_request *batch) {
    return !batch_is_strict(batch) && batch->request.level != LEVEL_ALL;
}

static bool asked(const struct batch_request *batch, uint16_t id) {
    for (uint32_t i = 0; i < batch->n_stand_ins; i++) {
        if (batch->stand_ins[i].node == id) {
            return true;
        }
    }
    return false;
}

/* The next live member that has not been asked; 0 when there is none. */
static uint16_t next_stand_in(const struct batch_request *batch) {
    const struct request *request = &batch->request;
    const struct ring *ring = membership_ring(request->node->membership);
    uint16_t beyond[RING_MEMBERS_MAX];
    uint16_t n = ring_beyond(ring, request->slice, beyond, RING_MEMBERS_MAX);
    for (uint16_t i = 0; i < n && batch->n_stand_ins < BATCH_STAND_INS_MAX; i++) {
        uint16_t id = ring->members[beyond[i]].id;
        if (node_alive(request->node, id) && !asked(batch, id)) {
            return id;
        }
    }
    return 0;
}

uint32_t batch_stand_ins_alive(const struct batch_request *batch) {
    const struct request *request = &batch->request;
    const struct ring *ring = membership_ring(request->node->membership);
    uint32_t away = request->n_peers + 1u - request_alive(request);
    if (away == 0 || !batch_may_stand_in(batch)) {
        return 0;
    }
    uint16_t beyond[RING_MEMBERS_MAX];
    uint16_t n = ring_beyond(ring, request->slice, beyond, RING_MEMBERS_MAX);
    uint32_t alive = 0;
    for (uint16_t i = 0; i < n && alive < away; i++) {
        alive += node_alive(request->node, ring->members[beyond[i]].id) ? 1 : 0;
    }
    return alive;
}

/* ---- asking ---- */

/* This node holds the rows; so that the replica gets them soon, their names are enough. */
static void keep_names(struct batch_request *batch, uint16_t target) {
    const struct batch *ops = &batch->batch;
    struct bytes *names = memory_new(ops->n, sizeof *names);
    uint32_t n = 0;
    for (uint32_t i = 0; i < ops->n; i++) {
        if (batch->ops[i].blob != NULL) {
            names[n++] = ops->ops[i].sort_key;
        }
    }
    hint_keep_names(batch->request.node, target, batch->request.key, names, n);
    free(names);
}

static void ask_stand_in(struct batch_request *batch, uint16_t id, uint16_t target,
                         struct bytes payload) {
    struct request *request = &batch->request;
    struct node *node = request->node;
    int64_t limit_ns = node_now(node) + NODE_REPLICA_TIMEOUT_MS * NS_PER_MS;
    if (limit_ns > request->deadline_ns) {
        limit_ns = request->deadline_ns;
    }
    struct message message = {.type = MESSAGE_HINT,
                              .id = request->id + request->phase,
                              .budget_ms = node_budget_ms(node, limit_ns),
                              .key = request->key,
                              .payload = payload};
    struct stand_in *stand_in = &batch->stand_ins[batch->n_stand_ins++];
    bool sent = node_ask(node, id, &message) == 0;
    *stand_in = (struct stand_in){id, target, sent ? PEER_ASKED : PEER_REFUSED};
}

/* `payload` is a HINT's; its target is filled in. */
static void stand_in_for(struct batch_request *batch, uint16_t target, struct buffer *payload) {
    uint16_t id = next_stand_in(batch);
    while (id != 0 && payload->size <= MESSAGE_PAYLOAD_MAX) {
        payload->data[TARGET_AT] = (uint8_t)target;
        payload->data[TARGET_AT + 1] = (uint8_t)(target >> 8);
        ask_stand_in(batch, id, target, buffer_bytes(payload));
        if (batch->stand_ins[batch->n_stand_ins - 1].state == PEER_ASKED) {
            return;
        }
        id = next_stand_in(batch);
    }
    keep_names(batch, target);
}

/* A HINT for any target. */
static void encode_hint(struct batch_request *batch, struct buffer *into) {
    struct request *request = &batch->request;
    struct buffer encoded = {0};
    batch_encode_replicate(batch, &encoded);
    struct hint_request hint = {.target = 1, .batch = buffer_bytes(&encoded)};
    uint32_t within_reach =
        1 + request_count(request, PEER_ASKED) + request_count(request, PEER_DONE);
    hint.counts = within_reach < request->needed || batch->overdue;
    hint_request_encode(&hint, into);
    buffer_release(&encoded);
}

void batch_stand_in(struct batch_request *batch, uint32_t states) {
    struct request *request = &batch->request;
    struct buffer payload = {0};
    for (uint32_t i = 0; i < request->n_peers && batch_may_stand_in(batch); i++) {
        const struct peer *peer = &request->peers[i];
        bool wanted = (states >> peer->state & 1) != 0 && (batch->noted >> i & 1) == 0;
        /* A corrupt copy is mended by who answers the batch; bad bytes get no better elsewhere. */
        bool hopeless = peer->state == PEER_REFUSED &&
                        (peer->status == ERR_CORRUPT || peer->status == ERR_INVALID);
        if (!wanted || hopeless) {
            continue;
        }
        if (payload.size == 0) {
            encode_hint(batch, &payload);
        }
        batch->noted |= 1u << i;
        stand_in_for(batch, peer->node, &payload);
    }
    buffer_release(&payload);
}

/* ---- what came of it ---- */

static uint32_t count(const struct batch_request *batch, enum peer_state state) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n_stand_ins; i++) {
        n += batch->stand_ins[i].state == state ? 1 : 0;
    }
    return n;
}

/* Whether the replica has acknowledged the batch itself. */
static bool has_it(const struct batch_request *batch, uint16_t target) {
    for (uint32_t i = 0; i < batch->request.n_peers; i++) {
        const struct peer *peer = &batch->request.peers[i];
        if (peer->node == target && peer->state == PEER_DONE) {
            return true;
        }
    }
    return false;
}

/* A copy kept for a replica that has one is none: it goes as soon as it is handed over. */
uint32_t batch_stand_ins_done(const struct batch_request *batch) {
    bool replicas_done = !batch->committing && request_count(&batch->request, PEER_ASKED) == 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n_stand_ins && (replicas_done || batch->overdue); i++) {
        const struct stand_in *stand_in = &batch->stand_ins[i];
        n += stand_in->state == PEER_DONE && !has_it(batch, stand_in->target) ? 1 : 0;
    }
    return n;
}

uint32_t batch_stand_ins_open(const struct batch_request *batch) {
    return count(batch, PEER_ASKED);
}

bool batch_stand_ins_refused(const struct batch_request *batch) {
    return count(batch, PEER_REFUSED) == batch->n_stand_ins;
}

static void hint_answered(struct batch_request *batch, struct stand_in *stand_in, int status) {
    stand_in->state = status == 0 ? PEER_DONE : status == ERR_UNKNOWN ? PEER_SILENT : PEER_REFUSED;
    if (stand_in->state == PEER_REFUSED) {
        struct buffer payload = {0};
        encode_hint(batch, &payload);
        stand_in_for(batch, stand_in->target, &payload);
        buffer_release(&payload);
    }
    if (batch->request.state == REQUEST_COMMITTING) {
        batch_check_done(batch);
    }
}

void batch_hint_heard(struct node *node, const struct endpoint *from,
                      const struct message *message) {
    struct request *request = coordinator_find(node, message->id);
    struct hint_reply reply;
    bool batches = request != NULL && request->kind == &coordinator_batch;
    struct batch_request *batch = batches ? batch_from(request) : NULL;
    for (uint32_t i = 0; batch != NULL && i < batch->n_stand_ins; i++) {
        struct stand_in *stand_in = &batch->stand_ins[i];
        if (stand_in->node == from->node && stand_in->state == PEER_ASKED) {
            hint_answered(batch, stand_in, -(int)message->status);
            return;
        }
    }
    /* The batch has been answered; the replica will have to be told in another way. */
    if (message->status != 0 && hint_reply_decode(message->payload, &reply) == 0) {
        slice_mark(node, reply.slice, reply.target);
    }
}
