/* segment: see the header. */
#include "node/segment.h"

#include <assert.h>
#include <string.h>

#include <xxhash.h>

#include "node/core/disk.h"
#include "node/segment_delta.h"
#include "shared/err.h"

enum { TAG_INLINE = 0, TAG_POINTER = 1, TAG_DELTA = 2, CHECK_FROM = 4, HEADER_CHECKED = 16 };

static const uint8_t magic[8] = {'r', 'i', 'n', 'g', 's', 'e', 'g', 'm'};

void segment_header_encode(uint32_t id, uint8_t ret[SEGMENT_HEADER_SIZE]) {
    memcpy(ret, magic, sizeof magic);
    bytes_store_u32(ret + 8, SEGMENT_VERSION);
    bytes_store_u32(ret + 12, id);
    bytes_store_u64(ret + HEADER_CHECKED, XXH3_64bits(ret, HEADER_CHECKED));
}

bool segment_header_sound(const uint8_t header[SEGMENT_HEADER_SIZE], uint32_t id) {
    uint8_t expected[SEGMENT_HEADER_SIZE];
    segment_header_encode(id, expected);
    return memcmp(header, expected, sizeof expected) == 0;
}

static uint32_t head_check(const uint8_t head[SEGMENT_HEAD_SIZE], uint32_t segment,
                           uint32_t offset) {
    uint64_t place = (uint64_t)segment << 32 | offset;
    return (uint32_t)XXH3_64bits_withSeed(head + CHECK_FROM, SEGMENT_HEAD_SIZE - CHECK_FROM, place);
}

void segment_head_encode(struct bytes key, struct bytes value, struct segment_pointer *at,
                         uint8_t ret[SEGMENT_HEAD_SIZE]) {
    assert(key.size <= SEGMENT_KEY_MAX && value.size <= SEGMENT_VALUE_MAX);
    assert(at->size == value.size && value.size > 0);
    at->checksum = disk_sum(key, value);
    bytes_store_u32(ret + 4, (uint32_t)key.size);
    bytes_store_u32(ret + 8, (uint32_t)value.size);
    bytes_store_u32(ret + 12, 0);
    bytes_store_u64(ret + 16, at->checksum);
    bytes_store_u32(ret, head_check(ret, at->segment, at->offset));
}

int segment_head_decode(const uint8_t head[SEGMENT_HEAD_SIZE], uint32_t segment, uint32_t offset,
                        struct segment_head *ret) {
    struct segment_head found = {.key_size = bytes_load_u32(head + 4),
                                 .value_size = bytes_load_u32(head + 8),
                                 .checksum = bytes_load_u64(head + 16)};
    bool sound = bytes_load_u32(head) == head_check(head, segment, offset) &&
                 bytes_load_u32(head + 12) == 0 && found.key_size <= SEGMENT_KEY_MAX &&
                 found.value_size > 0 && found.value_size <= SEGMENT_VALUE_MAX;
    if (!sound) {
        return ERR_CORRUPT;
    }
    *ret = found;
    return 0;
}

uint64_t segment_record_size(size_t key_size, size_t value_size) {
    return SEGMENT_HEAD_SIZE + (uint64_t)key_size + value_size;
}

int segment_base_check(struct bytes record, size_t key_size, const struct segment_pointer *pointer,
                       struct bytes *ret) {
    struct segment_head head;
    if (record.size != segment_record_size(key_size, pointer->size) ||
        segment_head_decode(record.data, pointer->segment, pointer->offset, &head) != 0) {
        return ERR_CORRUPT;
    }
    *ret = bytes_of(record.data + SEGMENT_HEAD_SIZE + key_size, pointer->size);
    bool same = head.key_size == key_size && head.value_size == pointer->size &&
                head.checksum == pointer->checksum;
    return same ? 0 : ERR_CORRUPT;
}

int segment_record_check(struct bytes record, struct bytes key,
                         const struct segment_pointer *pointer, struct bytes *ret) {
    struct bytes value;
    if (segment_base_check(record, key.size, pointer, &value) != 0) {
        return ERR_CORRUPT;
    }
    struct bytes key_found = bytes_of(record.data + SEGMENT_HEAD_SIZE, key.size);
    if (!bytes_equal(key_found, key) || disk_sum(key, value) != pointer->checksum) {
        return ERR_CORRUPT;
    }
    *ret = value;
    return 0;
}

void segment_put_inline(struct buffer *into, struct bytes value) {
    buffer_put_u8(into, TAG_INLINE);
    buffer_put_bytes(into, value);
}

static void put_place(struct buffer *into, uint8_t tag, const struct segment_pointer *pointer) {
    buffer_put_u8(into, tag);
    buffer_put_u32(into, pointer->segment);
    buffer_put_u32(into, pointer->offset);
    buffer_put_u32(into, pointer->size);
    buffer_put_u64(into, pointer->checksum);
}

void segment_put_pointer(struct buffer *into, const struct segment_pointer *pointer) {
    put_place(into, TAG_POINTER, pointer);
}

void segment_put_base(struct buffer *into, const struct segment_pointer *pointer) {
    put_place(into, TAG_DELTA, pointer);
}

void segment_put_moved(struct buffer *into, struct bytes stored, const struct segment_pointer *to) {
    put_place(into, stored.data[0], to);
    buffer_put(into, stored.data + SEGMENT_POINTER_SIZE, stored.size - SEGMENT_POINTER_SIZE);
}

int segment_value_decode(struct bytes stored, struct segment_pointer *ret_pointer,
                         struct bytes *ret_rest) {
    struct reader reader = reader_of(stored);
    uint8_t tag = reader_u8(&reader);
    struct segment_pointer pointer = {0};
    if (!reader.bad && tag == TAG_INLINE && reader.left > 0) {
        *ret_pointer = pointer;
        *ret_rest = reader_rest(&reader);
        return 0;
    }
    pointer.segment = reader_u32(&reader);
    pointer.offset = reader_u32(&reader);
    pointer.size = reader_u32(&reader);
    pointer.checksum = reader_u64(&reader);
    *ret_rest = reader_rest(&reader);
    struct segment_delta delta = {0};
    bool sound = tag == TAG_DELTA ? segment_delta_decode(*ret_rest, &delta) == 0
                                  : tag == TAG_POINTER && ret_rest->size == 0;
    if (reader.bad || !sound || pointer.size == 0 || pointer.size > SEGMENT_VALUE_MAX ||
        pointer.offset < SEGMENT_HEADER_SIZE) {
        return ERR_CORRUPT;
    }
    pointer.of_other = delta.of_other;
    *ret_pointer = pointer;
    return 0;
}
