/* replica: what coordinators read of this node: READ and READ_SCAN. */
#ifndef RINGFS_NODE_CORE_REPLICA_H
#define RINGFS_NODE_CORE_REPLICA_H

#include "node/core/inside.h"

/* The row or page as it was committed here, or its digest with MESSAGE_DIGEST. Late ones are
 * dropped unanswered. */
void replica_read(struct node *node, const struct endpoint *from, const struct message *message);
void replica_scan(struct node *node, const struct endpoint *from, const struct message *message);

/* The digest of an encoded row. Equal versions encode to equal bytes, so it is of those; a value
 * that differs although its dot does not, differs here too. */
enum { ROW_DIGEST_SIZE = 16 };
void row_digest(struct bytes versions, uint8_t ret[ROW_DIGEST_SIZE]);

#endif
