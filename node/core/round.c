/* round: one message to the other replicas of a slice, sent again until enough have answered. */
#include "node/core/round.h"

#include <string.h>

#include "node/core/later.h"
#include "node/core/plant.h"

uint32_t round_majority(const struct node *node) {
    if (PLANTED(MAJORITY_ONE)) {
        return 1;
    }
    return membership_ring(node->membership)->n_replicas_held / 2u + 1;
}

static void ask_peer(struct round *round, struct round_peer *peer) {
    struct node *node = round->node;
    struct message message = {.type = round->type,
                              .flags = round->flags,
                              .id = round->id,
                              .budget_ms = NODE_REPLICA_TIMEOUT_MS,
                              .key = round->key,
                              .payload = round->payload};
    if (peer->later) {
        later_ask(node, peer->node, &message);
    } else {
        node_ask(node, peer->node, &message);
    }
}

static void ask(struct round *round) {
    for (uint32_t i = 0; i < round->n_peers; i++) {
        struct round_peer *peer = &round->peers[i];
        if (peer->state != ROUND_GOOD && node_alive(round->node, peer->node)) {
            ask_peer(round, peer);
        }
    }
}

static void ask_again(struct round *round) {
    for (uint32_t i = 0; i < round->n_peers; i++) {
        round->peers[i].later = false;
    }
    ask(round);
}

/* The first ones that answer promptly are asked at once. */
static void set_later(struct round *round) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < round->n_peers && round->at_once > 0; i++) {
        struct round_peer *peer = &round->peers[i];
        bool prompt = later_prompt(round->node, peer->node, round->slice);
        peer->later = !prompt || n >= round->at_once;
        n += peer->later ? 0 : 1;
    }
    for (uint32_t i = 0; i < round->n_peers && n < round->at_once; i++) {
        n += round->peers[i].later ? 1 : 0;
        round->peers[i].later = false;
    }
}

static void on_timer(void *context) {
    struct round *round = context;
    if (round->again != NULL && !round->again(round)) {
        return;
    }
    ask_again(round);
    timers_set(round->node->timers, &round->timer,
               node_now(round->node) + ROUND_AGAIN_MS * NS_PER_MS);
}

static void list_peers(struct round *round, uint16_t only) {
    const struct ring *ring = membership_ring(round->node->membership);
    const uint16_t *preference = ring_preference(ring, round->slice);
    round->n_peers = 0;
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        uint16_t id = ring->members[preference[i]].id;
        if (id != round->node->config.id && (only == 0 || only == id)) {
            round->peers[round->n_peers++] = (struct round_peer){.node = id};
        }
    }
}

void round_start(struct round *round, uint16_t peer) {
    struct node *node = round->node;
    round_stop(round);
    list_peers(round, peer);
    set_later(round);
    round->id = node_request_id(node);
    round->out = true;
    round->timer = (struct timer){.fire = on_timer, .context = round};
    HASH_ADD(hh, node->rounds, id, sizeof round->id, round);
    ask(round);
    timers_set(node->timers, &round->timer, node_now(node) + ROUND_AGAIN_MS * NS_PER_MS);
}

void round_stop(struct round *round) {
    if (round->out) {
        round->out = false;
        timers_cancel(round->node->timers, &round->timer);
        HASH_DELETE(hh, round->node->rounds, round);
    }
}

void round_hurry(struct round *round) {
    int64_t at_ns = node_now(round->node) + ROUND_SOON_MS * NS_PER_MS;
    if (round->out && round->timer.at_ns > at_ns) {
        timers_set(round->node->timers, &round->timer, at_ns);
    }
}

uint32_t round_good(const struct round *round) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < round->n_peers; i++) {
        const struct round_peer *peer = &round->peers[i];
        bool counts = peer->incarnation == node_link(round->node, peer->node)->incarnation;
        n += peer->state == ROUND_GOOD && counts ? 1 : 0;
    }
    return n;
}

static bool has_chain_reply(uint8_t type) {
    return type == MESSAGE_PREPARE || type == MESSAGE_TAIL || type == MESSAGE_PROPOSE;
}

/* Takes the reply apart; NULL when it is malformed. */
static const struct chain_reply *take_reply(struct node *node, struct round_peer *peer,
                                            const struct message *message,
                                            struct chain_reply *ret) {
    struct peer_link *link = node_link(node, peer->node);
    if (message->payload.size == 0) {
        *ret = (struct chain_reply){.incarnation = link->incarnation};
    } else if (chain_reply_decode(message->payload, ret) != 0) {
        node->counters.messages_bad++;
        return NULL;
    }
    link->incarnation = ret->incarnation;
    peer->incarnation = ret->incarnation;
    return ret;
}

/* What its answer tells of when to ask the others. */
static void hasten(struct round *round, const struct round_peer *peer) {
    for (uint32_t i = 0; i < round->n_peers; i++) {
        const struct round_peer *other = &round->peers[i];
        if (other->state == ROUND_ASKED) {
            later_heard(round->node, (struct later_peer){peer->node, peer->later},
                        peer->state == ROUND_REFUSED,
                        (struct later_peer){other->node, other->later});
        }
    }
}

bool round_heard(struct node *node, const struct endpoint *from, const struct message *message) {
    struct round *round = NULL;
    HASH_FIND(hh, node->rounds, &message->id, sizeof message->id, round);
    if (round == NULL || message->type != (round->type | MESSAGE_REPLY)) {
        return false;
    }
    for (uint32_t i = 0; i < round->n_peers; i++) {
        struct round_peer *peer = &round->peers[i];
        if (peer->node != from->node || peer->state == ROUND_GOOD) {
            continue;
        }
        struct chain_reply decoded;
        const struct chain_reply *reply = NULL;
        if (has_chain_reply(round->type)) {
            reply = take_reply(node, peer, message, &decoded);
            if (reply == NULL) {
                return true;
            }
        }
        peer->status = -(int)message->status;
        peer->state = peer->status == 0 ? ROUND_GOOD : ROUND_REFUSED;
        hasten(round, peer);
        round->heard(round, peer, message, reply);
        return true;
    }
    return true;
}
