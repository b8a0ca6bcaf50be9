/* stored: what the simulator knows of the keys and values that the node core stores. */
#include "tests/sim/stored.h"

#include "node/core/blob.h"
#include "node/core/condition.h"
#include "node/core/rowkey.h"

/* rowkey.h: kind, slice (2 bytes), size of the partition key, partition key, sort key. */
static bool split(struct bytes key, uint8_t kind, struct bytes *ret_partition,
                  struct bytes *ret_rest) {
    if (key.size < ROWKEY_HEAD || key.data[0] != kind) {
        return false;
    }
    size_t size = key.data[ROWKEY_HEAD - 1];
    if (key.size < ROWKEY_HEAD + size) {
        return false;
    }
    *ret_partition = bytes_of(key.data + ROWKEY_HEAD, size);
    *ret_rest = bytes_of(key.data + ROWKEY_HEAD + size, key.size - ROWKEY_HEAD - size);
    return true;
}

bool stored_row_key(struct bytes key, struct bytes *ret_partition_key, struct bytes *ret_sort_key) {
    return split(key, 'r', ret_partition_key, ret_sort_key);
}

bool stored_tally_key(struct bytes key, struct bytes *ret_partition_key) {
    struct bytes rest;
    return split(key, 't', ret_partition_key, &rest) && rest.size == 0;
}

bool stored_pending_key(struct bytes key, struct bytes *ret_partition_key) {
    struct bytes rest;
    return split(key, 'q', ret_partition_key, &rest) && rest.size == 0;
}

struct tally stored_tally(struct bytes value) {
    return tally_of(value);
}

int stored_value(struct bytes stored, struct bytes *ret) {
    if (stored.size == 0) {
        *ret = stored;
        return 0;
    }
    return blob_check(stored, ret);
}
