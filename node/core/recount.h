/* recount: a partition's tally made anew from its rows, when the stored one is corrupt. */
#ifndef RINGFS_NODE_CORE_RECOUNT_H
#define RINGFS_NODE_CORE_RECOUNT_H

#include "node/core/inside.h"

/* Tallies cannot be read when they rot, and when they were spoilt: a corrupt row was replaced
 * (whether it was counted as live is not known), or a commit failed on which a later one was built.
 *
 * Starts unless one is under way. Until it ends, this node changes no row of the partition: others
 * take the writes. While a row of the partition cannot be read it rests, so that the row can be
 * mended, and looks again four times a second. */
void recount_start(struct node *node, struct bytes partition_key);
/* For rows_on_spoilt(); `context` is the node. */
void recount_spoilt(void *context, struct bytes tally_key);
/* Whether one is under way and does not rest. */
bool recount_under_way(const struct node *node, struct bytes partition_key);

#endif
