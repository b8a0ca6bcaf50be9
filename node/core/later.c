/* later: requests to a peer that can wait a little for company. */
#include "node/core/later.h"

#include <stdlib.h>

#include <utlist.h>

struct later {
    struct message message;
    struct later *prev, *next;
    uint8_t bytes[]; /* key, payload */
};

static size_t size_of(const struct message *message) {
    return sizeof(struct later) + message->key.size + message->payload.size;
}

static struct later *copy_of(const struct message *message) {
    struct later *later = memory_new(1, size_of(message));
    later->message = *message;
    bytes_store(later->bytes, message->key);
    bytes_store(later->bytes + message->key.size, message->payload);
    later->message.key = bytes_of(later->bytes, message->key.size);
    later->message.payload = bytes_of(later->bytes + message->key.size, message->payload.size);
    return later;
}

void later_flush(struct node *node, uint16_t peer) {
    struct peer_link *link = node_link(node, peer);
    struct later *list = link->later;
    struct later *later;
    struct later *next;
    link->later = NULL;
    link->later_bytes = 0;
    DL_FOREACH_SAFE(list, later, next) {
        node_send(node, peer, &later->message);
        free(later);
    }
}

void later_flush_all(struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        later_flush(node, ring->members[i].id);
    }
}

static void on_timer(void *context) {
    later_flush_all(context);
}

void later_ask(struct node *node, uint16_t peer, struct message *message) {
    struct peer_link *link = node_link(node, peer);
    struct later *later = copy_of(message);
    DL_APPEND(link->later, later);
    link->later_bytes += size_of(message);
    if (link->later_bytes > LATER_BYTES_MAX) {
        later_flush(node, peer);
    } else if (!timer_armed(&node->later)) {
        node->later.fire = on_timer;
        node->later.context = node;
        timers_set(node->timers, &node->later, node_now(node) + LATER_MS * NS_PER_MS);
    }
}

void later_drop(struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    timers_cancel(node->timers, &node->later);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct later *later;
        struct later *next;
        DL_FOREACH_SAFE(node->links[i].later, later, next) {
            free(later);
        }
        node->links[i].later = NULL;
    }
}

bool later_prompt(const struct node *node, uint16_t peer, uint16_t slice) {
    return node_stores(node, peer, slice) &&
           node_now(node) >= node_link(node, peer)->tardy_until_ns;
}

void later_heard(struct node *node, struct later_peer heard, bool refused,
                 struct later_peer other) {
    if (other.later && refused) {
        later_flush(node, other.node);
    } else if (!other.later && heard.later) {
        node_link(node, other.node)->tardy_until_ns = node_now(node) + LATER_TARDY_MS * NS_PER_MS;
        node->counters.overtaken++;
    }
}
