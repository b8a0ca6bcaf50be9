/* recovery_told: what nodes tell each other of the slices that they recover. */
#include <assert.h>
#include <string.h>

#include "node/core/recovery.h"

static size_t bits_size(const struct node *node) {
    return (membership_ring(node->membership)->n_slices + 7u) / 8u;
}

static uint8_t bit_of(uint16_t slice) {
    return (uint8_t)(1u << (slice & 7));
}

uint16_t recovery_life_of(uint64_t generation) {
    return (uint16_t)(generation ^ generation >> 16 ^ generation >> 32 ^ generation >> 48);
}

uint16_t recovery_life(const struct node *node) {
    return recovery_life_of(node->recovery->generation);
}

bool node_serves(const struct node *node, uint16_t id, uint16_t slice) {
    if (id == node->config.id) {
        return node_trusts_itself(node, slice);
    }
    int index = ring_member_index(membership_ring(node->membership), id);
    assert(index >= 0);
    const uint8_t *untrusted = node->links[index].untrusted;
    return node_alive(node, id) &&
           (untrusted == NULL || (untrusted[slice / 8] & bit_of(slice)) == 0);
}

void recovery_tell(const struct node *node, struct buffer *into) {
    const struct recovery *recovery = node->recovery;
    const struct ring *ring = membership_ring(node->membership);
    if (recovery == NULL || !recovery->running) {
        return;
    }
    uint8_t *bits = buffer_extend(into, bits_size(node));
    memset(bits, 0, bits_size(node));
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        bool left =
            recovery->trust[slice] == SLICE_RECOVERING || recovery->trust[slice] == SLICE_FLAGGING;
        bits[slice / 8] |= left ? bit_of(slice) : 0;
    }
}

static uint8_t *untrusted_of(struct node *node, uint16_t peer) {
    int index = ring_member_index(membership_ring(node->membership), peer);
    assert(index >= 0);
    struct peer_link *link = &node->links[index];
    if (link->untrusted == NULL) {
        link->untrusted = memory_new(1, bits_size(node));
    }
    return link->untrusted;
}

void recovery_told(struct node *node, uint16_t peer, struct bytes bits) {
    if (bits.size != 0 && bits.size != bits_size(node)) {
        node->counters.messages_bad++;
        return;
    }
    uint8_t *untrusted = untrusted_of(node, peer);
    memset(untrusted, 0, bits_size(node));
    memcpy(untrusted, bits.size > 0 ? bits.data : untrusted, bits.size);
    if (node->recovery != NULL) {
        pulls_heard_of(node->recovery, peer);
    }
}

void recovery_told_one(struct node *node, uint16_t peer, uint16_t slice, bool trusted) {
    uint8_t *untrusted = untrusted_of(node, peer);
    if (trusted) {
        untrusted[slice / 8] &= (uint8_t)~bit_of(slice);
    } else {
        untrusted[slice / 8] |= bit_of(slice);
    }
}

void recovery_spread(struct recovery *recovery) {
    struct node *node = recovery->node;
    const struct ring *ring = membership_ring(node->membership);
    struct buffer bits = {0};
    recovery_tell(node, &bits);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct message ping = {.type = MESSAGE_PING,
                               .budget_ms = MEMBERSHIP_SUSPECT_MS,
                               .payload = buffer_bytes(&bits)};
        if (ring->members[i].id != node->config.id) {
            node_ask(node, ring->members[i].id, &ping);
        }
    }
    buffer_release(&bits);
}
