/* namespace_watch: which partitions to watch for a directory, and what a change there means. */
#include "shared/namespace_watch.h"

#include <string.h>

#include "shared/namespace_rows.h"

enum { ID_SIZE = 16, HASH_SIZE = 8 };

uint32_t namespace_watch_partitions(const struct id128 *directory) {
    return 1u << directory_shard_bits(directory);
}

void namespace_watch_key(const struct id128 *directory, uint32_t index, struct buffer *into) {
    struct key key = key_directory(directory, (uint8_t)index);
    buffer_put_bytes(into, key_bytes(&key));
}

bool namespace_watch_directory(struct bytes partition_key, struct id128 *ret) {
    if (partition_key.size != 1 + ID_SIZE + 1 || partition_key.data[0] != 'd') {
        return false;
    }
    memcpy(ret->bytes, partition_key.data + 1, ID_SIZE);
    return true;
}

void namespace_watch_name(struct bytes sort_key, char ret[NAME_SIZE_MAX + 1]) {
    size_t head = 1 + HASH_SIZE;
    size_t size = sort_key.size > head && sort_key.data[0] == 'e' ? sort_key.size - head : 0;
    size = size <= NAME_SIZE_MAX ? size : 0;
    memcpy(ret, size > 0 ? sort_key.data + head : (const uint8_t *)"", size);
    ret[size] = '\0';
}
