/* message: what is encoded is decoded, and no bytes make the decoder read beyond them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/message.h"

static struct message sample(void) {
    return (struct message){
        .type = MESSAGE_BATCH,
        .status = 3,
        .flags = MESSAGE_SYNCED | MESSAGE_FORWARDED,
        .id = 0x1122334455667788ull,
        .ring_version = 9,
        .budget_ms = 1500,
        .sender = 513,
        .stamp_ns = 1700000000000000000ull,
        .key = bytes_of_string("partition"),
        .payload = bytes_of_string("payload bytes"),
    };
}

static void assert_same(const struct message *a, const struct message *b) {
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->flags, b->flags);
    assert_true(a->id == b->id);
    assert_true(a->ring_version == b->ring_version);
    assert_int_equal(a->budget_ms, b->budget_ms);
    assert_int_equal(a->sender, b->sender);
    assert_true(a->stamp_ns == b->stamp_ns);
    assert_true(bytes_equal(a->key, b->key));
    assert_true(bytes_equal(a->payload, b->payload));
}

static void messages_in_a_row_decode_one_by_one(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message first = sample(), second = {.type = MESSAGE_PING}, got;
    message_encode(&first, &b);
    message_encode(&second, &b);
    size_t size = 0, size_2 = 0;
    assert_int_equal(message_decode(buffer_bytes(&b), &got, &size), 0);
    assert_int_equal(size, MESSAGE_HEADER_SIZE + 9 + 13);
    assert_same(&first, &got);
    struct bytes rest = bytes_of(b.data + size, b.size - size);
    assert_int_equal(message_decode(rest, &got, &size_2), 0);
    assert_same(&second, &got);
    assert_int_equal(size + size_2, b.size);
    buffer_release(&b);
}

static void the_header_lies_at_its_documented_offsets(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message message = sample();
    message_encode(&message, &b);
    const uint8_t *at = b.data;
    assert_int_equal(bytes_load_u32(at + 0), b.size);
    assert_int_equal(at[4], MESSAGE_BATCH);
    assert_int_equal(at[5], 3);
    assert_int_equal(at[6] | at[7] << 8, MESSAGE_SYNCED | MESSAGE_FORWARDED);
    assert_true(bytes_load_u64(at + 8) == message.id);
    assert_true(bytes_load_u64(at + 16) == 9);
    assert_int_equal(bytes_load_u32(at + 24), 1500);
    assert_int_equal(at[28] | at[29] << 8, 513);
    assert_int_equal(at[30] | at[31] << 8, 9);
    assert_int_equal(bytes_load_u32(at + 32), 13);
    assert_int_equal(bytes_load_u32(at + 36), 0);
    assert_true(bytes_load_u64(at + 40) == message.stamp_ns);
    assert_memory_equal(at + 48, "partitionpayload bytes", 22);
    buffer_release(&b);
}

/* A copy of exactly `size` bytes, so that the address sanitizer sees a read of one byte more. */
static uint8_t *exact(const uint8_t *from, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, from, size);
    return copy;
}

static void every_truncation_is_refused_and_leaves_the_outputs_alone(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message message = sample(), got = {.id = 42};
    message_encode(&message, &b);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *cut = exact(b.data, size);
        size_t taken = 7;
        assert_int_equal(message_decode(bytes_of(cut, size), &got, &taken), ERR_INVALID);
        assert_int_equal(taken, 7);
        assert_true(got.id == 42);
        free(cut);
    }
    buffer_release(&b);
}

static void every_flipped_bit_is_refused_or_decodes_within_the_bytes(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message message = sample(), got;
    message_encode(&message, &b);
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        uint8_t *flipped = exact(b.data, b.size);
        flipped[bit / 8] = (uint8_t)(flipped[bit / 8] ^ 1 << bit % 8);
        size_t taken = 0;
        if (message_decode(bytes_of(flipped, b.size), &got, &taken) == 0) {
            assert_int_equal(taken, b.size);
            assert_true(got.key.data >= flipped);
            assert_true(got.payload.data + got.payload.size == flipped + taken);
        }
        /* Sizes hold no bit that could change and still agree. */
        size_t byte = bit / 8;
        bool guarded = byte < 4 || (byte >= 30 && byte < 36);
        assert_true(!guarded || taken == 0);
        free(flipped);
    }
    buffer_release(&b);
}

static void sizes_beyond_their_limits_are_refused(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message message = {.type = MESSAGE_GET}, got;
    message_encode(&message, &b);
    buffer_extend(&b, MESSAGE_KEY_MAX + 1);
    size_t taken;
    b.data[30] = 0;
    b.data[31] = 1; /* a key of 256 bytes */
    bytes_store_u32(b.data, MESSAGE_HEADER_SIZE + 256);
    assert_int_equal(message_decode(buffer_bytes(&b), &got, &taken), ERR_INVALID);
    b.data[30] = 255;
    b.data[31] = 0;
    bytes_store_u32(b.data, MESSAGE_HEADER_SIZE + 255);
    assert_int_equal(message_decode(buffer_bytes(&b), &got, &taken), 0);
    b.data[30] = 0;
    bytes_store_u32(b.data + 32, UINT32_MAX);
    bytes_store_u32(b.data, MESSAGE_HEADER_SIZE - 1); /* what 32 bits would wrap to */
    assert_int_equal(message_decode(buffer_bytes(&b), &got, &taken), ERR_INVALID);
    buffer_release(&b);
}

static void an_unknown_type_still_decodes(void **state) {
    (void)state;
    struct buffer b = {0};
    struct message message = {.type = 0x7f}, got;
    size_t taken;
    message_encode(&message, &b);
    assert_int_equal(message_decode(buffer_bytes(&b), &got, &taken), 0);
    assert_int_equal(got.type, 0x7f);
    buffer_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_a_row_decode_one_by_one),
        cmocka_unit_test(the_header_lies_at_its_documented_offsets),
        cmocka_unit_test(every_truncation_is_refused_and_leaves_the_outputs_alone),
        cmocka_unit_test(every_flipped_bit_is_refused_or_decodes_within_the_bytes),
        cmocka_unit_test(sizes_beyond_their_limits_are_refused),
        cmocka_unit_test(an_unknown_type_still_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
