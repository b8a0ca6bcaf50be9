/* apply: REPLICATE and REPAIR on a replica: rows and conditions in, an acknowledged commit out. */
#ifndef RINGFS_NODE_CORE_APPLY_H
#define RINGFS_NODE_CORE_APPLY_H

#include "node/core/inside.h"

/* Life: hold the rows, then at one moment check the deadline, exposed latches and conditions, merge
 * and hand over the commit; answer when it is done. REPAIR has no conditions, and an answer only if
 * its id is not 0: then the contexts of its rows, as they are after it. */
void apply_receive(struct node *node, const struct endpoint *from, const struct message *message);

/* The payload of a REPAIR (repair.h) to this node itself; copied. Rows that are in memory have
 * learnt of it when this returns. `done` (may be NULL) is called when it is committed or has
 * failed, perhaps before this returns; not when this node is freed before. 0, or ERR_BUSY or
 * ERR_INVALID: then nothing is done and `done` is not called. */
typedef void apply_done(void *context, int status);
int apply_here(struct node *node, struct bytes partition_key, struct bytes payload,
               apply_done *done, void *context);
/* The same with rows that together have all that was acknowledged here: those that cannot be read
 * become what they are. Other repairs of such a row are refused (CORRUPT), and it is read at quorum
 * to be made whole. */
int apply_whole(struct node *node, struct bytes partition_key, struct bytes payload,
                apply_done *done, void *context);
/* This node's own row goes if it is corrupt: all other replicas have said that they have nothing of
 * it. */
void apply_forget(struct node *node, struct bytes partition_key, struct bytes sort_key);

#endif
