/* hlc: stamps only rise, follow others, and do not follow a clock that is far ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/hlc.h"

static void a_stamp_is_the_wall_clock_when_that_is_ahead(void **state) {
    (void)state;
    struct hlc hlc = {0};
    assert_true(hlc_stamp(&hlc, 1000) == 1000);
    assert_true(hlc_stamp(&hlc, 2000) == 2000);
}

static void stamps_rise_while_the_wall_clock_stands_or_jumps_back(void **state) {
    (void)state;
    struct hlc hlc = {0};
    assert_true(hlc_stamp(&hlc, 1000) == 1000);
    assert_true(hlc_stamp(&hlc, 1000) == 1001);
    assert_true(hlc_stamp(&hlc, 1) == 1002);
}

static void a_stamp_is_higher_than_what_was_learnt(void **state) {
    (void)state;
    struct hlc hlc = {0};
    assert_int_equal(hlc_learn(&hlc, 1000, 5000), 0);
    assert_true(hlc_stamp(&hlc, 1001) == 5001);
    assert_int_equal(hlc_learn(&hlc, 1001, 3000), 0);
    assert_true(hlc_stamp(&hlc, 1001) == 5002);
}

static void the_time_of_day_is_the_latest_that_is_known(void **state) {
    (void)state;
    struct hlc hlc = {.last_ns = 100};
    assert_int_equal(hlc_now(&hlc, 50), 100);
    assert_int_equal(hlc_now(&hlc, 150), 150);
    assert_int_equal(hlc.last_ns, 100);
}

static void a_clock_too_far_ahead_is_not_followed(void **state) {
    (void)state;
    struct hlc hlc = {0};
    assert_int_equal(hlc_learn(&hlc, 1000, 1000 + HLC_AHEAD_MAX_NS), 0);
    assert_int_equal(hlc_learn(&hlc, 1000, 1001 + HLC_AHEAD_MAX_NS), ERR_INVALID);
    assert_int_equal(hlc_learn(&hlc, 1000, UINT64_MAX), ERR_INVALID);
    assert_true(hlc_stamp(&hlc, 1000) == 1001 + HLC_AHEAD_MAX_NS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_the_wall_clock_when_that_is_ahead),
        cmocka_unit_test(stamps_rise_while_the_wall_clock_stands_or_jumps_back),
        cmocka_unit_test(a_stamp_is_higher_than_what_was_learnt),
        cmocka_unit_test(the_time_of_day_is_the_latest_that_is_known),
        cmocka_unit_test(a_clock_too_far_ahead_is_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
