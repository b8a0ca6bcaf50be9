/* bytes and err: the codec's bounds, and the one table of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/bytes.h"
#include "shared/err.h"

static void what_is_appended_is_read_back(void **state) {
    (void)state;
    struct buffer b = {0};
    buffer_put_u8(&b, 0xab);
    buffer_put_u16(&b, 0x1234);
    buffer_put_u32(&b, 0xdeadbeef);
    buffer_put_u64(&b, 0x0123456789abcdefull);
    buffer_put_sized16(&b, bytes_of_string("name"));
    struct reader r = reader_of(buffer_bytes(&b));
    assert_int_equal(reader_u8(&r), 0xab);
    assert_int_equal(reader_u16(&r), 0x1234);
    assert_int_equal(reader_u32(&r), 0xdeadbeef);
    assert_true(reader_u64(&r) == 0x0123456789abcdefull);
    assert_true(bytes_equal(reader_sized16(&r), bytes_of_string("name")));
    assert_int_equal(reader_end(&r), 0);
    buffer_release(&b);
}

static void what_has_room_reserved_does_not_move(void **state) {
    (void)state;
    struct buffer b = {0};
    buffer_put_u32(&b, 1);
    buffer_reserve(&b, 1000);
    const uint8_t *before = b.data;
    assert_int_equal(b.size, 4);
    for (int i = 0; i < 250; i++) {
        buffer_put_u32(&b, 2);
    }
    assert_ptr_equal(b.data, before);
    buffer_release(&b);
}

static void integers_are_little_endian(void **state) {
    (void)state;
    struct buffer b = {0};
    buffer_put_u32(&b, 0x01020304);
    assert_int_equal(b.data[0], 4);
    assert_int_equal(b.data[3], 1);
    buffer_release(&b);
}

static void a_read_past_the_end_is_remembered_and_yields_zeros(void **state) {
    (void)state;
    struct reader r = reader_of(bytes_of("abc", 3));
    assert_int_equal(reader_u32(&r), 0);
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_end(&r), ERR_INVALID);
}

static void bytes_left_over_are_an_error(void **state) {
    (void)state;
    struct reader r = reader_of(bytes_of("abc", 3));
    reader_u16(&r);
    assert_int_equal(reader_end(&r), ERR_INVALID);
}

static void a_size_field_larger_than_the_input_reads_nothing(void **state) {
    (void)state;
    struct reader r = reader_of(bytes_of("\xff\xff\xff\xff"
                                         "abc",
                                         7));
    assert_int_equal(reader_sized32(&r).size, 0);
    assert_int_equal(reader_end(&r), ERR_INVALID);
}

static void shorter_sorts_before_its_extension(void **state) {
    (void)state;
    assert_true(bytes_compare(bytes_of_string("ab"), bytes_of_string("abc")) < 0);
    assert_true(bytes_compare(bytes_of_string("b"), bytes_of_string("abc")) > 0);
    assert_int_equal(bytes_compare(bytes_of(NULL, 0), bytes_of_string("")), 0);
}

static void every_error_has_a_name_a_text_and_an_errno(void **state) {
    (void)state;
    assert_string_equal(err_name(0), "OK");
    assert_int_equal(err_errno(0), 0);
    assert_int_equal(ERR_INVALID, -9);
    assert_string_equal(err_name(ERR_UNAVAILABLE), "UNAVAILABLE");
    assert_int_equal(err_errno(ERR_STALE), ESTALE);
    assert_string_equal(err_name(-250), "?");
    assert_int_equal(err_errno(-250), EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_is_read_back),
        cmocka_unit_test(what_has_room_reserved_does_not_move),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(a_read_past_the_end_is_remembered_and_yields_zeros),
        cmocka_unit_test(bytes_left_over_are_an_error),
        cmocka_unit_test(a_size_field_larger_than_the_input_reads_nothing),
        cmocka_unit_test(shorter_sorts_before_its_extension),
        cmocka_unit_test(every_error_has_a_name_a_text_and_an_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
