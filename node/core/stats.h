/* stats: the node's counters and gauges by name. */
#ifndef RINGFS_NODE_CORE_STATS_H
#define RINGFS_NODE_CORE_STATS_H

#include "node/core/inside.h"

/* Answers STATS. */
void stats_answer(struct node *node, const struct asker *asker);

#endif
