/* stored: what the simulator knows of the keys and values that the node core stores. */
#ifndef RINGFS_TESTS_SIM_STORED_H
#define RINGFS_TESTS_SIM_STORED_H

#include "shared/request.h"

/* Splits the disk key of a row; false when the key is not a row's. The parts borrow `key`. */
bool stored_row_key(struct bytes key, struct bytes *ret_partition_key, struct bytes *ret_sort_key);
/* The same for the key of a partition's tally, and of its pending. */
bool stored_tally_key(struct bytes key, struct bytes *ret_partition_key);
bool stored_pending_key(struct bytes key, struct bytes *ret_partition_key);
struct tally stored_tally(struct bytes value);
/* What was stored under a key of the core's, without what the core wraps it in; borrows `stored`.
 * ERR_CORRUPT when it is damaged. */
int stored_value(struct bytes stored, struct bytes *ret);

#endif
