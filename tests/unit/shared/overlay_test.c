/* overlay: what becomes of a value, and what is no overlay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/overlay.h"

enum { END_MAX = 100 };

static void add(struct buffer *overlay, uint32_t offset, const char *text) {
    overlay_add(overlay, offset, bytes_of_string(text));
}

static void assert_becomes(const struct buffer *overlay, const char *before, const char *after,
                           size_t size) {
    struct buffer into = {0};
    assert_int_equal(overlay_check(buffer_bytes(overlay), END_MAX), 0);
    buffer_put_u8(&into, 'x'); /* it is appended */
    overlay_apply(buffer_bytes(overlay), bytes_of_string(before), &into);
    assert_int_equal(into.size, 1 + size);
    assert_memory_equal(into.data + 1, after, size);
    buffer_release(&into);
}

static void pieces_replace_what_lies_there(void **state) {
    (void)state;
    struct buffer overlay = {0};
    add(&overlay, 1, "BC");
    add(&overlay, 4, "E");
    assert_becomes(&overlay, "abcdefg", "aBCdEfg", 7);
    buffer_release(&overlay);
}

static void a_short_value_is_filled_with_zeros(void **state) {
    (void)state;
    struct buffer overlay = {0};
    add(&overlay, 3, "DE");
    assert_becomes(&overlay, "", "\0\0\0DE", 5);
    assert_becomes(&overlay, "abcd", "abcDE", 5);
    buffer_release(&overlay);
}

static void pieces_ascend_and_are_not_empty(void **state) {
    (void)state;
    struct buffer overlay = {0};
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), ERR_INVALID);
    add(&overlay, 4, "four");
    add(&overlay, 7, "overlaps");
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), ERR_INVALID);
    buffer_clear(&overlay);
    add(&overlay, 4, "four");
    for (size_t size = 1; size < overlay.size; size++) {
        assert_int_equal(overlay_check(bytes_of(overlay.data, size), END_MAX), ERR_INVALID);
    }
    buffer_put_u32(&overlay, 9);
    buffer_put_u32(&overlay, 0); /* an empty piece */
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), ERR_INVALID);
    buffer_release(&overlay);
}

static void its_end_and_its_pieces_are_bounded(void **state) {
    (void)state;
    struct buffer overlay = {0};
    add(&overlay, END_MAX - 1, "x");
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), 0);
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX - 1), ERR_TOO_BIG);
    buffer_clear(&overlay);
    add(&overlay, UINT32_MAX, "beyond 32 bits");
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), ERR_TOO_BIG);
    buffer_clear(&overlay);
    for (uint32_t i = 0; i < OVERLAY_PIECES_MAX; i++) {
        add(&overlay, i, "p");
    }
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), 0);
    add(&overlay, OVERLAY_PIECES_MAX, "p");
    assert_int_equal(overlay_check(buffer_bytes(&overlay), END_MAX), ERR_TOO_BIG);
    buffer_release(&overlay);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_replace_what_lies_there),
        cmocka_unit_test(a_short_value_is_filled_with_zeros),
        cmocka_unit_test(pieces_ascend_and_are_not_empty),
        cmocka_unit_test(its_end_and_its_pieces_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
