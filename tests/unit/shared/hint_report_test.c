/* hint_report, hint_request: what is told of hints, and how they are asked for, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/hint_report.h"
#include "shared/request.h"

static struct hint_target target = {.node = 7,
                                    .state = HINTS_RETRYING,
                                    .last_error = 12,
                                    .n = 3,
                                    .bytes = 4000,
                                    .age_ms = 1u << 31,
                                    .dropped = 5,
                                    .delivered = UINT64_MAX,
                                    .rate = 1 << 20};

static void encode(struct buffer *into) {
    struct hint_report report = {.ready = true,
                                 .bytes_max = 1000,
                                 .target_max = 500,
                                 .n_marked = 9,
                                 .n_targets = 1,
                                 .targets = &target};
    hint_report_encode(&report, into);
}

static void a_report_comes_back_as_it_was(void **state) {
    (void)state;
    struct buffer encoded = {0}, again = {0};
    struct hint_report report;
    encode(&encoded);
    assert_int_equal(encoded.size, 1 + 3 * 8 + 2 + 52);
    assert_int_equal(hint_report_decode(buffer_bytes(&encoded), &report), 0);
    assert_int_equal(report.n_targets, 1);
    assert_int_equal(report.targets[0].node, 7);
    assert_int_equal(report.targets[0].age_ms, 1u << 31);
    assert_int_equal(report.targets[0].rate, 1 << 20);
    hint_report_encode(&report, &again);
    assert_true(bytes_equal(buffer_bytes(&encoded), buffer_bytes(&again)));
    hint_report_release(&report);
    buffer_release(&encoded);
    buffer_release(&again);
}

static void a_report_that_is_cut_or_too_long_or_has_an_unknown_state_is_refused(void **state) {
    (void)state;
    struct buffer encoded = {0};
    struct hint_report report;
    encode(&encoded);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(hint_report_decode(bytes_of(encoded.data, size), &report), ERR_INVALID);
    }
    encoded.data[27 + 2] = HINTS_RETRYING + 1;
    assert_int_equal(hint_report_decode(buffer_bytes(&encoded), &report), ERR_INVALID);
    encoded.data[27 + 2] = HINTS_RETRYING;
    encoded.data[0] = 2;
    assert_int_equal(hint_report_decode(buffer_bytes(&encoded), &report), ERR_INVALID);
    encoded.data[0] = 1;
    buffer_put_u8(&encoded, 0);
    assert_int_equal(hint_report_decode(buffer_bytes(&encoded), &report), ERR_INVALID);
    buffer_release(&encoded);
}

static void a_hint_names_its_replica_and_whether_it_counts(void **state) {
    (void)state;
    struct buffer encoded = {0};
    struct hint_request hint = {.target = 0x0102, .counts = true, .batch = bytes_of("ab", 2)};
    hint_request_encode(&hint, &encoded);
    assert_int_equal(encoded.size, 5);
    assert_memory_equal(encoded.data,
                        "\x02\x01\x01"
                        "ab",
                        5);
    assert_int_equal(hint_request_decode(buffer_bytes(&encoded), &hint), 0);
    assert_int_equal(hint.target, 0x0102);
    assert_true(hint.counts);
    assert_int_equal(hint.batch.size, 2);
    assert_int_equal(hint_request_decode(bytes_of(encoded.data, 2), &hint), ERR_INVALID);
    encoded.data[2] = 2;
    assert_int_equal(hint_request_decode(buffer_bytes(&encoded), &hint), ERR_INVALID);
    assert_int_equal(hint_request_decode(bytes_of("\0\0\0", 3), &hint), ERR_INVALID);
    buffer_release(&encoded);
}

static void a_reply_to_a_hint_is_four_bytes(void **state) {
    (void)state;
    struct buffer encoded = {0};
    struct hint_reply reply = {.target = 3, .slice = 1023};
    hint_reply_encode(&reply, &encoded);
    assert_int_equal(encoded.size, 4);
    assert_int_equal(hint_reply_decode(buffer_bytes(&encoded), &reply), 0);
    assert_int_equal(reply.slice, 1023);
    assert_int_equal(hint_reply_decode(bytes_of(encoded.data, 3), &reply), ERR_INVALID);
    buffer_release(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_comes_back_as_it_was),
        cmocka_unit_test(a_report_that_is_cut_or_too_long_or_has_an_unknown_state_is_refused),
        cmocka_unit_test(a_hint_names_its_replica_and_whether_it_counts),
        cmocka_unit_test(a_reply_to_a_hint_is_four_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
