/* forward: requests for rows that this node does not hold, passed on to one that does. */
#ifndef RINGFS_NODE_CORE_FORWARD_H
#define RINGFS_NODE_CORE_FORWARD_H

#include "node/core/inside.h"

/* Passes a client's request on to the first live replica of the slice, once (MESSAGE_FORWARDED;
 * one that was passed on already is answered WRONG_RING), and relays the answer. When none comes by
 * the deadline: UNKNOWN for a BATCH, TIMEOUT for the others. */
void forward_receive(struct node *node, const struct endpoint *from, const struct message *message,
                     uint16_t slice);
/* Passes a strict request on to the slice's steward; whether the message was taken. What comes of
 * it is told to steward_answered(). Of a MESSAGE_RETRY that the steward has not done UNKNOWN is
 * told: what was proposed of it before may be chosen yet. */
bool forward_strict(struct node *node, const struct asker *asker, const struct message *message,
                    uint16_t slice, uint16_t to);
/* A peer's reply to GET, BATCH or SCAN. */
void forward_heard(struct node *node, const struct endpoint *from, const struct message *message);
/* Frees all without an answer: the node is being freed. */
void forward_drop(struct node *node);

#endif
