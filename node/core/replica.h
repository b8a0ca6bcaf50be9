/* replica: what is read of this node alone: READ, READ_SCAN, GET and SCAN with OWN. */
#ifndef RINGFS_NODE_CORE_REPLICA_H
#define RINGFS_NODE_CORE_REPLICA_H

#include "node/core/inside.h"

/* READ, or a client's GET with OWN; READ_SCAN, or a client's SCAN with OWN: the row or page as it
 * was committed here, or its digest with MESSAGE_DIGEST. Of a page a client is shown what it asked
 * to see, and told the digest of all of it. Late ones are dropped unanswered. */
void replica_read(struct node *node, const struct endpoint *from, const struct message *message);
void replica_scan(struct node *node, const struct endpoint *from, const struct message *message);

#endif
