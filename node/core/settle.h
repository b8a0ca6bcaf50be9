/* settle: pendings that stay pending are brought to an end. */
#ifndef RINGFS_NODE_CORE_SETTLE_H
#define RINGFS_NODE_CORE_SETTLE_H

#include "node/core/rows.h"
#include "shared/message.h"

struct node;

/* A replica whose pending is neither applied nor replaced within SETTLE_AFTER_MS (the word that it
 * was chosen got lost, or its steward is gone) asks the slice's steward for a batch that changes
 * nothing, or becomes the steward itself: what comes before it in the chain is then settled. */
enum {
    SETTLE_AFTER_MS = 1000, /* doubled with each try, up to: */
    SETTLE_AFTER_MAX_MS = 4000,
    SETTLE_TICK_MS = 250,
    SETTLES_MAX = 4096, /* partitions watched; others when they are read next */
};

/* Watches the partition if its pending stands, else no more. */
void settle_look(struct node *node, uint16_t slice, struct bytes key, const struct row *pending);
/* What is kept of the partition cannot be read here: the steward brings it anew. */
void settle_broken(struct node *node, const struct row *pending);
/* Finds the pendings on the disk of a node that starts. */
void settle_start(struct node *node);
/* Appends a batch that changes nothing, encoded. */
void settle_encode_nothing(struct buffer *into);
void settle_drop(struct node *node);

#endif
