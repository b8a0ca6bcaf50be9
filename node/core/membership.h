/* membership: which nodes exist, which answer, and the ring they make. */
#ifndef RINGFS_NODE_CORE_MEMBERSHIP_H
#define RINGFS_NODE_CORE_MEMBERSHIP_H

#include <stdbool.h>

#include "shared/ring.h"

/* The interface that gossip will fill. For now: a fixed list of members and a verdict per member
 * from when it was last heard. "Down" is a local opinion that only steers routing; it never changes
 * the ring. Pure, one thread. */
enum {
    MEMBERSHIP_PING_MS = 250,
    MEMBERSHIP_SUSPECT_MS =
        1000, /* silence after which a peer is down and its link is opened anew */
};

struct membership;

/* Takes over `ring` (moved in; the caller's struct is emptied). `self` must be a member (asserted).
 */
struct membership *membership_new(uint16_t self, struct ring *ring);
void membership_free(struct membership *membership);

/* The ring, borrowed. */
const struct ring *membership_ring(const struct membership *membership);

/* A message from this member arrived. */
void membership_heard(struct membership *membership, uint16_t id, int64_t now_ns);
/* Whether it was heard within MEMBERSHIP_SUSPECT_MS; oneself always. Before anything was heard a
 * member gets the benefit of the doubt until MEMBERSHIP_SUSPECT_MS after membership_begin(). */
bool membership_alive(const struct membership *membership, uint16_t id, int64_t now_ns);
void membership_begin(struct membership *membership, int64_t now_ns);

#endif
