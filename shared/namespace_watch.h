/* namespace_watch: which partitions to watch for a directory, and what a change there means. */
#ifndef RINGFS_SHARED_NAMESPACE_WATCH_H
#define RINGFS_SHARED_NAMESPACE_WATCH_H

#include "shared/namespace.h"

/* Pure. A directory's names, their records and its header lie in one partition or, of the root, in
 * some: all are watched. */
uint32_t namespace_watch_partitions(const struct id128 *directory);
/* Appends the key of the index-th. */
void namespace_watch_key(const struct id128 *directory, uint32_t index, struct buffer *into);
/* The directory that a partition is of; false when it is none's. */
bool namespace_watch_directory(struct bytes partition_key, struct id128 *ret);
/* The name that a row of it is of; "" for the header, and for what is unknown to this version. */
void namespace_watch_name(struct bytes sort_key, char ret[NAME_SIZE_MAX + 1]);

#endif
