/* partition_page: PARTITIONS, a page of the partitions that this node holds of a slice. */
#ifndef RINGFS_NODE_CORE_PARTITION_PAGE_H
#define RINGFS_NODE_CORE_PARTITION_PAGE_H

#include "node/core/inside.h"
#include "shared/partitions.h"

/* One scan of tallies; the page is short, and says so, when the scan was. A tally that cannot be
 * read is told as one live row that never changed: the partition is there, its replicas know more.
 * Answers: 0, INVALID, TOO_BIG, WRONG_RING (no replica of the slice), UNAVAILABLE (this node does
 * not trust what it has of the slice), BUSY, or the disk's. */
enum { PARTITION_PAGE_BYTES = 64 << 10 };
void partition_page_receive(struct node *node, const struct endpoint *from,
                            const struct message *message);

#endif
