/* fence and complaints: nothing passes twice, and nothing is told over and over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "shared/bytes.h"
#include "shared/complaints.h"
#include "shared/fence.h"

#define SECOND_NS 1000000000ull
#define START_NS (1000000 * SECOND_NS)

static struct fence *fence_new(void) {
    struct fence *fence = memory_new(1, sizeof(*fence));
    fence_init(fence, START_NS);
    return fence;
}

static enum fence_verdict pass(struct fence *fence, uint64_t session, uint64_t sequence) {
    uint64_t now_ns = START_NS + SECOND_NS;
    return fence_pass(fence, session, sequence, now_ns, now_ns);
}

static void each_sequence_of_a_session_passes_once_in_whatever_order(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    const uint64_t order[] = {1, 2, 5, 4, 3, 70, 66, 69, 7, 200};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        assert_int_equal(pass(fence, 9, order[i]), FENCE_FRESH);
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(pass(fence, 9, order[j]), FENCE_REPLAYED);
        }
    }
    assert_int_equal(pass(fence, 10, 1), FENCE_FRESH);
    free(fence);
}

static void what_lies_too_far_behind_to_tell_is_refused(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    assert_int_equal(pass(fence, 9, 100), FENCE_FRESH);
    assert_int_equal(pass(fence, 9, 37), FENCE_FRESH);
    assert_int_equal(pass(fence, 9, 36), FENCE_REPLAYED);
    assert_int_equal(pass(fence, 9, 0), FENCE_REPLAYED);
    assert_int_equal(pass(fence, 9, UINT64_MAX), FENCE_FRESH);
    assert_int_equal(pass(fence, 9, 101), FENCE_REPLAYED);
    free(fence);
}

static void a_stamp_outside_of_the_window_is_refused(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    uint64_t now_ns = START_NS + 100 * SECOND_NS, window_ns = FENCE_WINDOW_S * SECOND_NS;
    assert_int_equal(fence_pass(fence, 1, 1, now_ns - window_ns - 1, now_ns), FENCE_WRONG_TIME);
    assert_int_equal(fence_pass(fence, 1, 1, now_ns + window_ns + 1, now_ns), FENCE_WRONG_TIME);
    assert_int_equal(fence_pass(fence, 1, 1, now_ns - window_ns, now_ns), FENCE_FRESH);
    assert_int_equal(fence_pass(fence, 1, 2, now_ns + window_ns, now_ns), FENCE_FRESH);
    free(fence);
}

static void what_was_recorded_before_the_start_does_not_pass_after_it(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    uint64_t before_ns = START_NS - FENCE_SKEW_S * SECOND_NS;
    assert_int_equal(fence_pass(fence, 1, 1, before_ns, START_NS), FENCE_REPLAYED);
    assert_int_equal(fence_pass(fence, 1, 2, before_ns + 1, START_NS), FENCE_FRESH);
    free(fence);
}

static void a_forgotten_session_is_not_replayed_but_may_go_on(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    uint64_t at_ns = START_NS;
    for (uint64_t i = 0; i <= FENCE_WAYS; i++) { /* one more than its set holds */
        at_ns += SECOND_NS;
        assert_int_equal(fence_pass(fence, 7 + i * FENCE_SETS, 5, at_ns, at_ns), FENCE_FRESH);
    }
    assert_int_equal(fence_pass(fence, 7, 5, START_NS + SECOND_NS, at_ns), FENCE_REPLAYED);
    assert_int_equal(fence_pass(fence, 7, 6, at_ns + 1, at_ns), FENCE_FRESH);
    /* Another set's sessions are not touched by that. */
    assert_int_equal(fence_pass(fence, 8, 1, START_NS + SECOND_NS, at_ns), FENCE_FRESH);
    free(fence);
}

static void a_session_heard_of_lately_is_the_last_to_be_forgotten(void **state) {
    (void)state;
    struct fence *fence = fence_new();
    uint64_t at_ns = START_NS;
    for (uint64_t i = 0; i < 4 * FENCE_WAYS; i++) {
        at_ns += SECOND_NS;
        assert_int_equal(fence_pass(fence, 7, i + 1, START_NS + 1, at_ns), FENCE_FRESH);
        assert_int_equal(fence_pass(fence, 7 + (i + 1) * FENCE_SETS, 1, at_ns, at_ns), FENCE_FRESH);
    }
    free(fence);
}

static void a_cause_is_told_once_a_pause_and_then_with_a_count(void **state) {
    (void)state;
    struct complaints complaints = {0};
    uint64_t untold = 99;
    int64_t pause_ns = COMPLAINTS_PAUSE_S * (int64_t)SECOND_NS;
    assert_true(complaints_tell(&complaints, 1, 5, 0, &untold));
    assert_int_equal(untold, 0);
    assert_false(complaints_tell(&complaints, 1, 5, 1, &untold));
    assert_false(complaints_tell(&complaints, 1, 5, pause_ns - 1, &untold));
    assert_true(complaints_tell(&complaints, 1, 6, 1, &untold));
    assert_true(complaints_tell(&complaints, 2, 5, 1, &untold));
    assert_true(complaints_tell(&complaints, 1, 5, pause_ns, &untold));
    assert_int_equal(untold, 2);
    assert_false(complaints_tell(&complaints, 1, 5, pause_ns + 1, &untold));
}

static void a_full_table_forgets_what_was_told_longest_ago(void **state) {
    (void)state;
    struct complaints complaints = {0};
    uint64_t untold;
    for (uint64_t i = 0; i <= COMPLAINTS_MAX; i++) {
        assert_true(complaints_tell(&complaints, 1, i, (int64_t)i, &untold));
    }
    assert_false(complaints_tell(&complaints, 1, COMPLAINTS_MAX, 1000, &untold));
    assert_false(complaints_tell(&complaints, 1, 1, 1000, &untold));
    assert_true(complaints_tell(&complaints, 1, 0, 1000, &untold));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sequence_of_a_session_passes_once_in_whatever_order),
        cmocka_unit_test(what_lies_too_far_behind_to_tell_is_refused),
        cmocka_unit_test(a_stamp_outside_of_the_window_is_refused),
        cmocka_unit_test(what_was_recorded_before_the_start_does_not_pass_after_it),
        cmocka_unit_test(a_forgotten_session_is_not_replayed_but_may_go_on),
        cmocka_unit_test(a_session_heard_of_lately_is_the_last_to_be_forgotten),
        cmocka_unit_test(a_cause_is_told_once_a_pause_and_then_with_a_count),
        cmocka_unit_test(a_full_table_forgets_what_was_told_longest_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
