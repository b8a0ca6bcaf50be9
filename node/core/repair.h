/* repair: rows brought to a replica that lacks something of them. */
#ifndef RINGFS_NODE_CORE_REPAIR_H
#define RINGFS_NODE_CORE_REPAIR_H

#include "node/core/inside.h"

/* Rows of one partition for one replica, sent as few messages as they fit into: they are merged
 * there without conditions and without an answer. Zero-initialize but for the first four. */
struct repair {
    struct node *node;
    uint16_t peer; /* 0 = this node itself */
    struct bytes partition_key;
    bool whole; /* to this node: the rows are all that was acknowledged here (apply.h) */
    /* repair.c's own */
    struct row_op *ops;
    uint32_t n;
    size_t size;
};

/* Adds a row; key and versions (encoded, sound, not empty) are borrowed until repair_send(). May
 * send what was added before. */
void repair_add(struct repair *repair, struct bytes sort_key, struct bytes versions);
/* Sends what is left and releases. */
void repair_send(struct repair *repair);

/* All of it for one row. Does nothing when `versions` is empty. */
void repair_row(struct node *node, uint16_t peer, struct bytes partition_key, struct bytes sort_key,
                struct bytes versions);
/* The same for this node's own row, from copies that together have all that was acknowledged here:
 * the row may be one that cannot be read. */
void repair_whole(struct node *node, struct bytes partition_key, struct bytes sort_key,
                  struct bytes versions);

#endif
