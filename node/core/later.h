/* later: requests to a peer that can wait a little for company. */
#ifndef RINGFS_NODE_CORE_LATER_H
#define RINGFS_NODE_CORE_LATER_H

#include "node/core/inside.h"

/* What a write needs to be done goes to as many replicas as it needs, those that answer promptly;
 * the others are sent it with whatever goes to them next, and within LATER_MS ("thrifty": Moraru,
 * Andersen, Kaminsky, There Is More Consensus in Egalitarian Parliaments, SOSP 2013, 4.4). So a
 * lone write costs two messages less on its way, and the last replica commits and syncs many at a
 * time. Requests to one peer stay in order. What waits is gone with the process, like what is on
 * its way. */
enum {
    LATER_MS = 5,
    LATER_BYTES_MAX = 256 << 10, /* for a peer; beyond, all of it is sent at once */
    LATER_TARDY_MS = 1000,       /* a peer that another one overtook by LATER_MS is not among the
                                    first ones for so long */
};

/* As node_ask(), later. Key and payload are copied. */
void later_ask(struct node *node, uint16_t peer, struct message *message);
/* Sends what waits for the peer. */
void later_flush(struct node *node, uint16_t peer);
void later_flush_all(struct node *node);
void later_drop(struct node *node);

/* Whether a replica of the slice is among the first ones to be asked: it seems alive, acknowledges
 * writes of the slice, and was not overtaken lately. */
bool later_prompt(const struct node *node, uint16_t peer, uint16_t slice);
/* `heard`, one of those that a write was sent to, has answered, and `other` has not. When `heard`
 * refused, an `other` that was to be asked later is asked now; when it was asked later and `other`
 * at once, `other` was overtaken. */
struct later_peer {
    uint16_t node;
    bool later; /* it is asked behind the others */
};
void later_heard(struct node *node, struct later_peer heard, bool refused, struct later_peer other);

#endif
