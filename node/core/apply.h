/* apply: REPLICATE and REPAIR on a replica: rows and conditions in, an acknowledged commit out. */
#ifndef RINGFS_NODE_CORE_APPLY_H
#define RINGFS_NODE_CORE_APPLY_H

#include "node/core/inside.h"

/* Life: hold the rows, then at one moment check the deadline, exposed latches and conditions, merge
 * and hand over the commit; answer when it is done. REPAIR has no conditions and no answer. */
void apply_receive(struct node *node, const struct endpoint *from, const struct message *message);

/* Repairs this node's own row. `versions` is encoded and was checked; copied. Silent. */
void apply_repair(struct node *node, struct bytes partition_key, struct bytes sort_key,
                  struct bytes versions);
/* The same on another replica. */
void apply_repair_peer(struct node *node, uint16_t peer, struct bytes partition_key,
                       struct bytes sort_key, struct bytes versions);

#endif
