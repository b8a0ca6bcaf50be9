/* disk_values: keys, and values that tell of which key and version they are. */
#ifndef RINGFS_TESTS_UNIT_NODE_DISK_VALUES_H
#define RINGFS_TESTS_UNIT_NODE_DISK_VALUES_H

#include <stdio.h>
#include <string.h>

#include "shared/bytes.h"

static inline struct bytes key_of(uint32_t key, char text[16]) {
    snprintf(text, 16, "key%05u", key);
    return bytes_of_string(text);
}

/* Values of so many versions in turn, and of keys that are so far apart, are the same but for their
 * heads and one place of each. */
static uint32_t versions_alike = 1, keys_alike = UINT32_MAX;
enum { OWN_BYTES = 500 };

static inline void put_own_bytes(uint32_t key, uint32_t version, size_t size, uint8_t *into) {
    if (versions_alike > 1 && size > 4 * OWN_BYTES) {
        memset(into + 8 + version * 7919 % (size - 8 - OWN_BYTES), (int)(key + version), OWN_BYTES);
    }
}

static inline struct bytes value_of(uint32_t key, uint32_t version, size_t size, uint8_t *into) {
    uint64_t body = (uint64_t)(key % keys_alike) << 32 | version / versions_alike;
    uint64_t x = body * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < size; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        into[i] = (uint8_t)(x >> 56);
    }
    put_own_bytes(key, version, size, into);
    bytes_store_u32(into, version);
    bytes_store_u32(into + 4, (uint32_t)size);
    return bytes_of(into, size);
}

#endif
