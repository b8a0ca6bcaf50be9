/* segment: the bytes of a file of large values, and of the pointers to them. */
#ifndef RINGFS_NODE_SEGMENT_H
#define RINGFS_NODE_SEGMENT_H

#include "shared/bytes.h"

/* Large values lie in append-only files; LevelDB keeps where. (A synced commit with a value in a
 * segment waits for two files, so it pays from a larger size on.) All integers are little-endian.
 * Pure; nothing here trusts what it decodes.
 *
 * A file:                               A record:
 *   0  8  magic "ringsegm"                0  4  check: XXH3-64 of the bytes 4..23, its low half
 *   8  4  version, 1                      4  4  size of the key
 *  12  4  id                              8  4  size of the value
 *  16  8  XXH3-64 of the bytes 0..15     12  4  zero
 *  24     records, one after another     16  8  checksum: XXH3-64 of the value, seeded with that of
 *                                               the key
 *                                        24     key, value
 * The record's check is seeded with the file's id and the record's offset, so that a head found at
 * another place than it was written at is no head.
 *
 * A value as LevelDB has it:
 *   0  1  0 = inline: the value follows; 1 = a pointer:
 *   1  4  id of the segment
 *   5  4  offset of the record in it
 *   9  4  size of the value
 *  13  8  checksum of the record
 *   2: a pointer, and then a delta to the record's value (segment_delta.h) */
enum {
    SEGMENT_VERSION = 1,
    SEGMENT_HEADER_SIZE = 24,
    SEGMENT_HEAD_SIZE = 24,
    SEGMENT_POINTER_SIZE = 21,
    SEGMENT_LARGE_SIZE = 16 << 10,         /* values of this size and more */
    SEGMENT_LARGE_BUFFERED_SIZE = 4 << 10, /* of commits that nobody wants synced */
    SEGMENT_KEY_MAX = 4 << 10,             /* of a record's key; node/core's are below 1 KiB */
    SEGMENT_VALUE_MAX = 64 << 20,          /* of a record's value; larger ones stay in LevelDB */
};

struct segment_pointer {
    uint32_t segment;
    uint32_t offset; /* of the record's head */
    uint32_t size;   /* of the value; 0 = no pointer */
    uint64_t checksum;
    bool of_other; /* the record is another key's: the base of a delta */
};

struct segment_head {
    uint32_t key_size;
    uint32_t value_size;
    uint64_t checksum;
};

/* The header of the segment. */
void segment_header_encode(uint32_t id, uint8_t ret[SEGMENT_HEADER_SIZE]);
/* Whether it is the header of this segment in a version that is known. */
bool segment_header_sound(const uint8_t header[SEGMENT_HEADER_SIZE], uint32_t id);

/* The head of a record at `at`, whose segment, offset and size are set; sets at->checksum. */
void segment_head_encode(struct bytes key, struct bytes value, struct segment_pointer *at,
                         uint8_t ret[SEGMENT_HEAD_SIZE]);
/* ERR_CORRUPT when no record was written at this place, or its head is damaged. Sizes are within
 * the bounds above. */
int segment_head_decode(const uint8_t head[SEGMENT_HEAD_SIZE], uint32_t segment, uint32_t offset,
                        struct segment_head *ret);

/* Bytes of a record in its file. */
uint64_t segment_record_size(size_t key_size, size_t value_size);
/* Checks a whole record against the key and the pointer that led to it. *ret is its value, borrowed
 * from `record`. 0 or ERR_CORRUPT. */
int segment_record_check(struct bytes record, struct bytes key,
                         const struct segment_pointer *pointer, struct bytes *ret);

/* The same for a base, whose key nobody knows but its size: that it is the record that was meant;
 * what becomes of it has a sum of its own. */
int segment_base_check(struct bytes record, size_t key_size, const struct segment_pointer *pointer,
                       struct bytes *ret);

/* A value of LevelDB: appends one; */
void segment_put_inline(struct buffer *into, struct bytes value);
void segment_put_pointer(struct buffer *into, const struct segment_pointer *pointer);
/* before the delta itself; */
void segment_put_base(struct buffer *into, const struct segment_pointer *pointer);
/* one whose record lies at another place now; */
void segment_put_moved(struct buffer *into, struct bytes stored, const struct segment_pointer *to);
/* reads one: ret_pointer->size is 0 and *ret_rest the value; or it is a pointer, and *ret_rest its
 * delta, empty if it has none. Borrowed. 0 or ERR_CORRUPT. */
int segment_value_decode(struct bytes stored, struct segment_pointer *ret_pointer,
                         struct bytes *ret_rest);

#endif
