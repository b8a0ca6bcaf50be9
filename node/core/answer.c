/* answer: replies to whoever asked, and how many of each kind. */
#include "node/core/inside.h"
#include "shared/err.h"

struct asker asker_of(const struct endpoint *from, const struct message *message) {
    return (struct asker){.endpoint = *from, .id = message->id, .type = message->type};
}

static void count(struct node *node, int status) {
    struct counters *c = &node->counters;
    switch (status) {
    case ERR_UNAVAILABLE:
        c->unavailable++;
        break;
    case ERR_UNKNOWN:
        c->unknown++;
        break;
    case ERR_BUSY:
        c->busy++;
        break;
    case ERR_INVALID:
        c->invalid++;
        break;
    case ERR_TIMEOUT:
        c->timeouts++;
        break;
    case ERR_SIBLINGS:
        c->siblings++;
        break;
    case ERR_TOO_BIG:
        c->too_big++;
        break;
    default:
        break;
    }
}

static void send_answer(struct node *node, const struct asker *asker, int status, uint16_t flags,
                        struct bytes payload, uint64_t stamp_ns) {
    if (asker->endpoint.kind == 0) {
        return; /* scrub.c: nobody waits for it */
    }
    if (payload.size > MESSAGE_PAYLOAD_MAX) {
        status = ERR_TOO_BIG;
        payload = bytes_of(NULL, 0);
    }
    count(node, status);
    struct message reply = {.type = (uint8_t)(asker->type | MESSAGE_REPLY),
                            .status = (uint8_t)-status,
                            .flags = flags,
                            .id = asker->id,
                            .ring_version = membership_ring(node->membership)->version,
                            .sender = node->config.id,
                            .stamp_ns = stamp_ns,
                            .payload = payload};
    /* A reply that the link does not take is lost like one that the network drops. */
    if (node->env->send(node->env->self, &asker->endpoint, &reply) != 0) {
        node->counters.unsent++;
    }
}

void answer(struct node *node, const struct asker *asker, int status, struct bytes payload) {
    answer_flagged(node, asker, status, 0, payload);
}

void answer_flagged(struct node *node, const struct asker *asker, int status, uint16_t flags,
                    struct bytes payload) {
    uint64_t now_ns = hlc_stamp(&node->hlc, node->env->wall_ns(node->env->self));
    send_answer(node, asker, status, flags, payload, now_ns);
}

void answer_late(struct node *node, const struct asker *asker, uint64_t stamp_ns) {
    uint64_t now_ns = hlc_stamp(&node->hlc, node->env->wall_ns(node->env->self));
    stamp_ns = stamp_ns > now_ns ? stamp_ns : now_ns;
    send_answer(node, asker, ERR_BUSY, 0, bytes_of(NULL, 0), stamp_ns);
}

void answer_status(struct node *node, const struct asker *asker, int status) {
    answer(node, asker, status, bytes_of(NULL, 0));
}

void answer_missed(struct node *node, const struct asker *asker, int status,
                   const struct shortfall *shortfall) {
    buffer_clear(&node->encoded);
    shortfall_encode(shortfall, &node->encoded);
    answer(node, asker, status, buffer_bytes(&node->encoded));
}
