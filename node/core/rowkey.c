/* rowkey: where the rows, tallies and marks of a node lie in its ordered storage. */
#include "node/core/rowkey.h"

#include <assert.h>

#include "shared/err.h"
#include "shared/message.h"

static void put_prefix(struct buffer *into, uint8_t kind, uint16_t slice,
                       struct bytes partition_key) {
    assert(partition_key.size <= PARTITION_KEY_MAX);
    uint8_t *at = buffer_extend(into, ROWKEY_HEAD);
    at[0] = kind;
    at[1] = (uint8_t)(slice >> 8);
    at[2] = (uint8_t)slice;
    at[3] = (uint8_t)partition_key.size;
    buffer_put_bytes(into, partition_key);
}

void rowkey_put_row(struct buffer *into, uint16_t slice, struct bytes partition_key,
                    struct bytes sort_key) {
    put_prefix(into, 'r', slice, partition_key);
    buffer_put_bytes(into, sort_key);
}

void rowkey_put_tally(struct buffer *into, uint16_t slice, struct bytes partition_key) {
    put_prefix(into, 't', slice, partition_key);
}

void rowkey_put_end(struct buffer *into, uint16_t slice, struct bytes partition_key) {
    size_t start = into->size;
    put_prefix(into, 'r', slice, partition_key);
    /* The shortest run above every run that begins with the prefix: its last byte raised, bytes
     * that cannot be raised dropped. The leading 'r' can always be raised. */
    while (into->data[into->size - 1] == 0xff) {
        into->size--;
    }
    assert(into->size > start);
    into->data[into->size - 1]++;
}

bool rowkey_slice(struct bytes key, uint16_t *ret_slice) {
    if (key.size < ROWKEY_HEAD || key.data[0] != 'r') {
        return false;
    }
    *ret_slice = (uint16_t)(key.data[1] << 8 | key.data[2]);
    return true;
}

void rowkey_put_kind(struct buffer *into, uint8_t kind, uint32_t slice) {
    uint8_t *at = buffer_extend(into, ROWKEY_SLICE_SIZE);
    assert(slice <= UINT16_MAX);
    at[0] = kind;
    at[1] = (uint8_t)(slice >> 8);
    at[2] = (uint8_t)slice;
}

void rowkey_put_slice(struct buffer *into, uint32_t slice) {
    rowkey_put_kind(into, 'r', slice);
}

void rowkey_put_promise(struct buffer *into, uint16_t slice) {
    rowkey_put_kind(into, 'p', slice);
}

void rowkey_put_tail(struct buffer *into, uint16_t slice, struct bytes partition_key) {
    put_prefix(into, 's', slice, partition_key);
}

void rowkey_put_pending(struct buffer *into, uint16_t slice, struct bytes partition_key) {
    put_prefix(into, 'q', slice, partition_key);
}

int rowkey_chain(struct bytes key, uint16_t *ret_slice, struct bytes *ret_partition) {
    bool promise = key.size == ROWKEY_SLICE_SIZE && key.data[0] == 'p';
    bool other = key.size >= ROWKEY_HEAD && (key.data[0] == 's' || key.data[0] == 'q') &&
                 key.size == ROWKEY_HEAD + (size_t)key.data[3];
    if (!promise && !other) {
        return ERR_INVALID;
    }
    *ret_slice = (uint16_t)(key.data[1] << 8 | key.data[2]);
    *ret_partition = bytes_of(promise ? NULL : key.data + ROWKEY_HEAD, promise ? 0 : key.data[3]);
    return 0;
}

int rowkey_tally(struct bytes key, struct bytes *ret_partition) {
    if (key.size < ROWKEY_HEAD || key.data[0] != 't' ||
        key.size != ROWKEY_HEAD + (size_t)key.data[3]) {
        return ERR_INVALID;
    }
    *ret_partition = bytes_of(key.data + ROWKEY_HEAD, key.data[3]);
    return 0;
}

int rowkey_sort_key(struct bytes key, struct bytes partition_key, struct bytes *ret) {
    size_t prefix = ROWKEY_HEAD + partition_key.size;
    if (key.size < prefix || key.data[0] != 'r' || key.data[3] != partition_key.size ||
        !bytes_equal(bytes_of(key.data + ROWKEY_HEAD, partition_key.size), partition_key) ||
        key.size - prefix > SORT_KEY_MAX) {
        return ERR_INVALID;
    }
    *ret = bytes_of(key.data + prefix, key.size - prefix);
    return 0;
}

int rowkey_split(struct bytes key, struct bytes *ret_partition, struct bytes *ret_sort) {
    if (key.size < ROWKEY_HEAD || key.size < (size_t)ROWKEY_HEAD + key.data[3]) {
        return ERR_INVALID;
    }
    struct bytes partition_key = bytes_of(key.data + ROWKEY_HEAD, key.data[3]);
    int err = rowkey_sort_key(key, partition_key, ret_sort);
    if (err == 0) {
        *ret_partition = partition_key;
    }
    return err;
}

void rowkey_put_hints(struct buffer *into, uint32_t target) {
    assert(target <= UINT16_MAX + 1u);
    /* Behind the last target: the kind after this one. */
    uint8_t *at = buffer_extend(into, target > UINT16_MAX ? 1 : 3);
    at[0] = target > UINT16_MAX ? 'h' + 1 : 'h';
    if (target <= UINT16_MAX) {
        at[1] = (uint8_t)(target >> 8);
        at[2] = (uint8_t)target;
    }
}

void rowkey_put_hint(struct buffer *into, uint16_t target, uint16_t slice,
                     struct bytes partition_key, struct bytes sort_key) {
    assert(partition_key.size <= PARTITION_KEY_MAX);
    rowkey_put_hints(into, target);
    uint8_t *at = buffer_extend(into, ROWKEY_HINT_HEAD - 3);
    at[0] = (uint8_t)(slice >> 8);
    at[1] = (uint8_t)slice;
    at[2] = (uint8_t)partition_key.size;
    buffer_put_bytes(into, partition_key);
    buffer_put_bytes(into, sort_key);
}

int rowkey_hint(struct bytes key, struct hint_key *ret) {
    if (key.size < ROWKEY_HINT_HEAD || key.data[0] != 'h') {
        return ERR_INVALID;
    }
    size_t prefix = (size_t)ROWKEY_HINT_HEAD + key.data[5];
    if (key.size < prefix || key.size - prefix > SORT_KEY_MAX) {
        return ERR_INVALID;
    }
    *ret = (struct hint_key){.target = (uint16_t)(key.data[1] << 8 | key.data[2]),
                             .slice = (uint16_t)(key.data[3] << 8 | key.data[4]),
                             .partition_key = bytes_of(key.data + ROWKEY_HINT_HEAD, key.data[5]),
                             .sort_key = bytes_of(key.data + prefix, key.size - prefix)};
    return 0;
}
