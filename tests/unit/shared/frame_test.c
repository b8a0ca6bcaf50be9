/* frame: every byte of a header is checked, and a bad message costs no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/frame.h"

enum { MESSAGES = 3 };

static const struct frame_header HEADER = {
    .sender = 0x0102,
    .count = MESSAGES,
    .session = 0x1112131415161718,
    .sequence = 0x2122232425262728,
};
static const struct seal_key KEY = {{0x42}};

/* Messages 0, 1, 2 whose payload is as long as their number. */
static void three_messages(struct buffer *ret) {
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct message message = {
            .type = MESSAGE_PING, .id = i, .payload = bytes_of("payload", (size_t)i)};
        message_encode(&message, ret);
    }
}

static uint8_t *frame_of(struct buffer *messages, const struct seal_key *key, size_t *ret_size) {
    struct frame_header header = HEADER;
    header.stamp_ns = key == NULL ? 0 : 77;
    *ret_size = frame_size(messages->size, key != NULL);
    uint8_t *frame = memory_new(1, *ret_size);
    frame_close(&header, key, buffer_bytes(messages), frame);
    buffer_release(messages);
    return frame;
}

static uint8_t *good_frame(const struct seal_key *key, size_t *ret_size) {
    struct buffer messages = {0};
    three_messages(&messages);
    return frame_of(&messages, key, ret_size);
}

static void a_frame_is_read_back(const struct seal_key *key) {
    size_t size;
    uint8_t *bytes = good_frame(key, &size);
    struct frame frame;
    assert_int_equal(frame_open(bytes, size, key, &frame), 0);
    assert_int_equal(frame.header.sender, HEADER.sender);
    assert_int_equal(frame.header.count, MESSAGES);
    assert_true(frame.header.session == HEADER.session);
    assert_true(frame.header.sequence == HEADER.sequence);
    assert_int_equal(frame.header.stamp_ns, key == NULL ? 0 : 77);
    struct message message;
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_true(frame_next(&frame, &message));
        assert_int_equal(message.id, i);
        assert_true(bytes_equal(message.payload, bytes_of("payload", (size_t)i)));
    }
    assert_false(frame_next(&frame, &message));
    assert_false(frame_next(&frame, &message));
    assert_int_equal(frame.n_bad, 0);
    free(bytes);
}

static void a_plain_frame_is_read_back(void **state) {
    (void)state;
    a_frame_is_read_back(NULL);
}

static void a_sealed_frame_is_read_back(void **state) {
    (void)state;
    a_frame_is_read_back(&KEY);
}

static void the_header_stands_at_its_documented_offsets(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = good_frame(NULL, &size);
    const uint8_t expected[] = {'R',           'N',  'G',  'F',  1,    0,    3,    0,
                                (uint8_t)size, 0,    0,    0,    2,    1,    0,    0,
                                0x18,          0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,
                                0x28,          0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
    assert_true(size < 256);
    assert_memory_equal(bytes, expected, sizeof(expected));
    free(bytes);
}

static void any_changed_bit_of_a_frame_is_noticed(const struct seal_key *key) {
    size_t size;
    uint8_t *good = good_frame(key, &size);
    uint8_t *bytes = memory_new(1, size);
    struct frame frame;
    for (size_t bit = 0; bit < size * 8; bit++) {
        memcpy(bytes, good, size);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (frame_open(bytes, size, key, &frame) == 0) {
            fail_msg("bit %zu was not noticed", bit);
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        memcpy(bytes, good, size);
        assert_int_not_equal(frame_open(bytes, cut, key, &frame), 0);
    }
    free(bytes);
    free(good);
}

static void any_changed_bit_of_a_plain_frame_is_noticed(void **state) {
    (void)state;
    any_changed_bit_of_a_frame_is_noticed(NULL);
}

static void any_changed_bit_of_a_sealed_frame_is_noticed(void **state) {
    (void)state;
    any_changed_bit_of_a_frame_is_noticed(&KEY);
}

static void what_is_wrong_with_a_frame_is_told_apart(void **state) {
    (void)state;
    size_t size;
    struct frame frame;
    struct seal_key other = {{0x43}};
    uint8_t *bytes = good_frame(NULL, &size);
    assert_int_equal(frame_open(bytes, size, &KEY, &frame), ERR_AUTH);
    bytes[FRAME_HEADER_SIZE] ^= 1;
    assert_int_equal(frame_open(bytes, size, NULL, &frame), ERR_CORRUPT);
    bytes[0] = 'X';
    assert_int_equal(frame_open(bytes, size, NULL, &frame), ERR_INVALID);
    free(bytes);
    bytes = good_frame(&KEY, &size);
    assert_int_equal(frame_open(bytes, size, NULL, &frame), ERR_AUTH);
    assert_int_equal(frame_open(bytes, size, &other, &frame), ERR_AUTH);
    free(bytes);
}

/* Opens a frame whose messages were tampered with before it was closed; how many come out. */
static uint32_t read_tampered(struct buffer *messages, uint32_t *ret_n_bad) {
    size_t size;
    uint8_t *bytes = frame_of(messages, NULL, &size);
    struct frame frame;
    struct message message;
    assert_int_equal(frame_open(bytes, size, NULL, &frame), 0);
    uint32_t n = 0;
    while (frame_next(&frame, &message)) {
        n++;
    }
    *ret_n_bad = frame.n_bad;
    free(bytes);
    return n;
}

static void a_malformed_message_with_a_plausible_size_costs_no_other(void **state) {
    (void)state;
    struct buffer messages = {0};
    three_messages(&messages);
    buffer_patch_u32(&messages, MESSAGE_HEADER_SIZE + 32, 999); /* the second's payload size */
    uint32_t n_bad;
    assert_int_equal(read_tampered(&messages, &n_bad), 2);
    assert_int_equal(n_bad, 1);
}

static void a_size_that_cannot_be_believed_ends_the_frame(void **state) {
    (void)state;
    uint32_t sizes[] = {0, MESSAGE_HEADER_SIZE - 1, 3 * MESSAGE_HEADER_SIZE, UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct buffer messages = {0};
        three_messages(&messages);
        buffer_patch_u32(&messages, MESSAGE_HEADER_SIZE, sizes[i]);
        uint32_t n_bad;
        assert_int_equal(read_tampered(&messages, &n_bad), 1);
        assert_int_equal(n_bad, 2);
    }
}

static void bytes_beyond_the_count_are_not_messages(void **state) {
    (void)state;
    struct buffer messages = {0};
    three_messages(&messages);
    three_messages(&messages);
    uint32_t n_bad;
    assert_int_equal(read_tampered(&messages, &n_bad), MESSAGES);
    assert_int_equal(n_bad, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_frame_is_read_back),
        cmocka_unit_test(a_sealed_frame_is_read_back),
        cmocka_unit_test(the_header_stands_at_its_documented_offsets),
        cmocka_unit_test(any_changed_bit_of_a_plain_frame_is_noticed),
        cmocka_unit_test(any_changed_bit_of_a_sealed_frame_is_noticed),
        cmocka_unit_test(what_is_wrong_with_a_frame_is_told_apart),
        cmocka_unit_test(a_malformed_message_with_a_plausible_size_costs_no_other),
        cmocka_unit_test(a_size_that_cannot_be_believed_ends_the_frame),
        cmocka_unit_test(bytes_beyond_the_count_are_not_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
