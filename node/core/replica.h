/* replica: what is read of this node alone: READ, READ_SCAN, and GET with OWN. */
#ifndef RINGFS_NODE_CORE_REPLICA_H
#define RINGFS_NODE_CORE_REPLICA_H

#include "node/core/inside.h"

/* READ, or a client's GET with OWN; READ_SCAN: the row or page as it was committed here, or its
 * digest with MESSAGE_DIGEST. Late ones are dropped unanswered. */
void replica_read(struct node *node, const struct endpoint *from, const struct message *message);
void replica_scan(struct node *node, const struct endpoint *from, const struct message *message);

#endif
