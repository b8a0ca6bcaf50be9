/* sync: SYNC: when all that this node has acknowledged is on its disk. */
#ifndef RINGFS_NODE_CORE_SYNC_H
#define RINGFS_NODE_CORE_SYNC_H

#include "node/core/inside.h"

/* Answers 0 when everything that was acknowledged before the message came, synced or not, is on the
 * disk; UNAVAILABLE while the node recovers, since then it may lack what it once acknowledged. */
void sync_receive(struct node *node, const struct endpoint *from, const struct message *message);

#endif
