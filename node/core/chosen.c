/* chosen: the other replicas are told which pendings were chosen, many at a time. */
#include "node/core/chosen.h"

#include <stdlib.h>

static void flush(struct node *node, uint16_t index) {
    struct buffer *told = &node->links[index].chosen;
    struct message message = {.type = MESSAGE_CHOSEN,
                              .budget_ms = NODE_REPLICA_TIMEOUT_MS,
                              .payload = buffer_bytes(told)};
    if (told->size > 0) {
        node_ask(node, membership_ring(node->membership)->members[index].id, &message);
        buffer_clear(told);
    }
}

static void on_timer(void *context) {
    struct node *node = context;
    for (uint16_t i = 0; i < membership_ring(node->membership)->n_members; i++) {
        flush(node, i);
    }
}

void chosen_tell(struct node *node, uint16_t slice, struct bytes key, struct ballot ballot) {
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        struct buffer *told = &node->links[preference[i]].chosen;
        if (ring->members[preference[i]].id == node->config.id) {
            continue;
        }
        buffer_put_sized8(told, key);
        buffer_put_u64(told, ballot.epoch);
        buffer_put_u64(told, ballot.seq);
        if (told->size >= CHOSEN_BYTES_MAX) {
            flush(node, preference[i]);
        }
    }
    if (!timer_armed(&node->chosen)) {
        node->chosen.fire = on_timer;
        node->chosen.context = node;
        timers_set(node->timers, &node->chosen, node_now(node) + CHOSEN_AFTER_MS * NS_PER_MS);
    }
}

void chosen_drop(struct node *node) {
    timers_cancel(node->timers, &node->chosen);
    for (uint16_t i = 0; i < membership_ring(node->membership)->n_members; i++) {
        buffer_release(&node->links[i].chosen);
    }
}
