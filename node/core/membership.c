/* membership: a fixed ring, and who answers. */
#include "node/core/membership.h"

#include <assert.h>
#include <stdlib.h>

#define SUSPECT_NS ((int64_t)MEMBERSHIP_SUSPECT_MS * 1000 * 1000)

struct membership {
    struct ring ring;
    uint16_t self;
    int64_t *heard_ns; /* by member index */
};

struct membership *membership_new(uint16_t self, struct ring *ring) {
    assert(ring_member_index(ring, self) >= 0);
    struct membership *membership = memory_new(1, sizeof *membership);
    membership->ring = *ring;
    membership->self = self;
    membership->heard_ns = memory_new(ring->n_members, sizeof *membership->heard_ns);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        membership->heard_ns[i] = INT64_MIN / 2;
    }
    *ring = (struct ring){0};
    return membership;
}

void membership_free(struct membership *membership) {
    if (membership == NULL) {
        return;
    }
    ring_release(&membership->ring);
    free(membership->heard_ns);
    free(membership);
}

const struct ring *membership_ring(const struct membership *membership) {
    return &membership->ring;
}

void membership_heard(struct membership *membership, uint16_t id, int64_t now_ns) {
    int index = ring_member_index(&membership->ring, id);
    if (index >= 0) {
        membership->heard_ns[index] = now_ns;
    }
}

bool membership_alive(const struct membership *membership, uint16_t id, int64_t now_ns) {
    if (id == membership->self) {
        return true;
    }
    int index = ring_member_index(&membership->ring, id);
    return index >= 0 && now_ns - membership->heard_ns[index] <= SUSPECT_NS;
}

void membership_begin(struct membership *membership, int64_t now_ns) {
    for (uint16_t i = 0; i < membership->ring.n_members; i++) {
        membership->heard_ns[i] = now_ns;
    }
}
