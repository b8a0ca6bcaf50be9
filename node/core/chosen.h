/* chosen: the other replicas are told which pendings were chosen, many at a time. */
#ifndef RINGFS_NODE_CORE_CHOSEN_H
#define RINGFS_NODE_CORE_CHOSEN_H

#include "node/core/chain.h"
#include "node/core/inside.h"

enum {
    CHOSEN_AFTER_MS = 5,
    CHOSEN_BYTES_MAX = 64 << 10, /* told at once when so much has gathered for a peer */
};

/* A message may get lost: then the next proposal tells, or settle.h finds out. */
void chosen_tell(struct node *node, uint16_t slice, struct bytes key, struct ballot ballot);
void chosen_drop(struct node *node);

#endif
