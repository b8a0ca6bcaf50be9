/* segment_fuzz: any bytes as a value of LevelDB, as the head of a record and as a record.
 *
 * Input: one byte that says which, then the bytes.
 * Promises: what decodes is within its bounds, lies within the input, and encodes to the bytes it
 * was decoded from; a record that is believed is the one that was written there. */
#include <string.h>

#include "node/segment_delta.h"
#include "shared/err.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 1000000;

enum { TRY_VALUE, TRY_HEAD, TRY_RECORD, SEGMENT = 7, OFFSET = 4096, BASE = 1000 };

static const char key[] = "a key";

static void try_delta(struct bytes encoded, const struct segment_pointer *pointer,
                      struct buffer *again) {
    static uint8_t base[BASE], room[2 * BASE];
    struct segment_delta delta;
    FUZZ_CHECK(segment_delta_decode(encoded, &delta) == 0);
    FUZZ_CHECK(delta.of_other == pointer->of_other && delta.size <= SEGMENT_VALUE_MAX);
    if (delta.size <= sizeof room) {
        int err = segment_delta_apply(&delta, bytes_of(base, sizeof base), room);
        FUZZ_CHECK(err == 0 || err == ERR_CORRUPT);
    }
    segment_put_base(again, pointer);
    segment_delta_encode(&delta, again);
}

static void try_value(struct bytes stored, struct buffer *again) {
    struct segment_pointer pointer;
    struct bytes value = {0};
    int err = segment_value_decode(stored, &pointer, &value);
    FUZZ_CHECK(err == 0 || err == ERR_CORRUPT);
    if (err) {
        return;
    }
    if (pointer.size) {
        FUZZ_CHECK(pointer.size <= SEGMENT_VALUE_MAX && pointer.offset >= SEGMENT_HEADER_SIZE);
    }
    if (pointer.size && value.size) {
        try_delta(value, &pointer, again);
    } else if (pointer.size) {
        segment_put_pointer(again, &pointer);
    } else {
        FUZZ_CHECK(value.size > 0 && value.data == stored.data + 1);
        segment_put_inline(again, value);
    }
    FUZZ_CHECK(bytes_equal(buffer_bytes(again), stored));
}

static void try_head(struct bytes bytes) {
    uint8_t head[SEGMENT_HEAD_SIZE] = {0};
    struct segment_head found;
    memcpy(head, bytes.data, bytes.size < sizeof head ? bytes.size : sizeof head);
    int err = segment_head_decode(head, SEGMENT, OFFSET, &found);
    FUZZ_CHECK(err == 0 || err == ERR_CORRUPT);
    if (err == 0) {
        FUZZ_CHECK(found.key_size <= SEGMENT_KEY_MAX);
        FUZZ_CHECK(found.value_size > 0 && found.value_size <= SEGMENT_VALUE_MAX);
        FUZZ_CHECK(segment_head_decode(head, SEGMENT, OFFSET + 1, &found) == ERR_CORRUPT);
    }
}

/* The input is the pointer's size and checksum, 12 bytes, then the record. */
static void try_record(struct bytes bytes) {
    struct reader reader = reader_of(bytes);
    struct segment_pointer pointer = {.segment = SEGMENT, .offset = OFFSET};
    struct bytes value, sought = bytes_of_string(key);
    pointer.size = reader_u32(&reader);
    pointer.checksum = reader_u64(&reader);
    struct bytes record = reader_rest(&reader);
    if (reader.bad || segment_record_check(record, sought, &pointer, &value) != 0) {
        return;
    }
    uint8_t head[SEGMENT_HEAD_SIZE];
    FUZZ_CHECK(value.size == pointer.size);
    FUZZ_CHECK(value.data + value.size == record.data + record.size);
    segment_head_encode(sought, value, &pointer, head);
    FUZZ_CHECK(memcmp(head, record.data, sizeof head) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buffer again = {0};
    struct bytes rest = bytes_of(data + 1, size ? size - 1 : 0);
    if (size > 0 && data[0] == TRY_VALUE) {
        try_value(rest, &again);
    } else if (size > 0 && data[0] == TRY_HEAD) {
        try_head(rest);
    } else if (size > 0) {
        try_record(rest);
    }
    buffer_release(&again);
    return 0;
}

static void seed_record(struct buffer *into, bool whole) {
    uint8_t head[SEGMENT_HEAD_SIZE];
    struct bytes value = bytes_of_string("a value of some size");
    struct segment_pointer at = {
        .segment = SEGMENT, .offset = OFFSET, .size = (uint32_t)value.size};
    segment_head_encode(bytes_of_string(key), value, &at, head);
    if (whole) {
        buffer_put_u32(into, at.size);
        buffer_put_u64(into, at.checksum);
    }
    buffer_put(into, head, sizeof head);
    buffer_put_bytes(into, bytes_of_string(key));
    buffer_put_bytes(into, value);
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    static const uint8_t new_bytes[100] = {1};
    struct segment_pointer pointer = {.segment = 3, .offset = 24, .size = 9, .checksum = 5};
    buffer_put_u8(into, n < 2 || n == 4 ? TRY_VALUE : n == 2 ? TRY_HEAD : TRY_RECORD);
    if (n == 0) {
        segment_put_inline(into, bytes_of_string("value"));
    } else if (n == 1) {
        segment_put_pointer(into, &pointer);
    } else if (n == 4) {
        struct segment_delta delta = {.key_size = 5, .size = 1100, .skew = -100};
        segment_put_base(into, &pointer);
        segment_delta_encode(&delta, into);
        buffer_put_u32(into, 0);
        buffer_put_sized32(into, bytes_of(new_bytes, sizeof new_bytes));
    } else {
        seed_record(into, n == 3);
    }
    return n < 5;
}
