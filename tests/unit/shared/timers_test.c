/* timers: the order of firing, also while callbacks arm and cancel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/timers.h"

enum { MANY = 500 };

static struct timers timers;
static int fired[4 * MANY];
static int n_fired;

struct tick {
    struct timer timer;
    int name;
    struct tick *to_cancel;
    struct tick *to_arm;
    int64_t arm_at_ns;
};

static void record(void *context) {
    struct tick *tick = context;
    assert_false(timer_armed(&tick->timer));
    fired[n_fired++] = tick->name;
    if (tick->to_cancel != NULL) {
        timers_cancel(&timers, &tick->to_cancel->timer);
    }
    if (tick->to_arm != NULL) {
        timers_set(&timers, &tick->to_arm->timer, tick->arm_at_ns);
    }
}

static void tick_init(struct tick *tick, int name) {
    *tick = (struct tick){.name = name};
    tick->timer.fire = record;
    tick->timer.context = tick;
}

static int setup(void **state) {
    (void)state;
    timers_init(&timers);
    n_fired = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    timers_release(&timers);
    return 0;
}

static void the_earliest_deadline_fires_first(void **state) {
    (void)state;
    struct tick a, b, c;
    tick_init(&a, 1);
    tick_init(&b, 2);
    tick_init(&c, 3);
    assert_true(timers_next(&timers) == TIMERS_NEVER);
    timers_set(&timers, &a.timer, 30);
    timers_set(&timers, &b.timer, 10);
    timers_set(&timers, &c.timer, 20);
    assert_true(timers_next(&timers) == 10);
    timers_run(&timers, 25);
    assert_int_equal(n_fired, 2);
    assert_int_equal(fired[0], 2);
    assert_int_equal(fired[1], 3);
    assert_true(timer_armed(&a.timer));
    timers_run(&timers, 30);
    assert_int_equal(fired[2], 1);
}

static void equal_deadlines_fire_in_the_order_of_arming(void **state) {
    (void)state;
    struct tick ticks[MANY];
    for (int i = 0; i < MANY; i++) {
        tick_init(&ticks[i], i);
        timers_set(&timers, &ticks[i].timer, 7);
    }
    timers_run(&timers, 7);
    assert_int_equal(n_fired, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(fired[i], i);
    }
}

static void a_timer_set_again_moves_and_fires_once(void **state) {
    (void)state;
    struct tick a, b;
    tick_init(&a, 1);
    tick_init(&b, 2);
    timers_set(&timers, &a.timer, 10);
    timers_set(&timers, &b.timer, 20);
    timers_set(&timers, &a.timer, 30);
    timers_run(&timers, 100);
    assert_int_equal(n_fired, 2);
    assert_int_equal(fired[0], 2);
    assert_int_equal(fired[1], 1);
}

static void a_cancelled_timer_never_fires_even_when_due_in_the_same_run(void **state) {
    (void)state;
    struct tick a, b;
    tick_init(&a, 1);
    tick_init(&b, 2);
    a.to_cancel = &b;
    timers_set(&timers, &a.timer, 10);
    timers_set(&timers, &b.timer, 10);
    timers_run(&timers, 10);
    assert_int_equal(n_fired, 1);
    timers_cancel(&timers, &b.timer);
    assert_true(timers_next(&timers) == TIMERS_NEVER);
}

static void a_timer_armed_by_a_callback_for_now_fires_in_the_same_run(void **state) {
    (void)state;
    struct tick a, b;
    tick_init(&a, 1);
    tick_init(&b, 2);
    a.to_arm = &b;
    a.arm_at_ns = 10;
    timers_set(&timers, &a.timer, 5);
    timers_run(&timers, 10);
    assert_int_equal(n_fired, 2);
    timers_set(&timers, &a.timer, 20);
    a.arm_at_ns = 21;
    timers_run(&timers, 20);
    assert_int_equal(n_fired, 3);
    assert_true(timers_next(&timers) == 21);
}

static void random_arming_and_cancelling_fires_exactly_the_rest_in_order(void **state) {
    (void)state;
    struct tick ticks[MANY];
    unsigned dice = 12345;
    int n_armed = 0;
    for (int i = 0; i < MANY; i++) {
        tick_init(&ticks[i], i);
        timers_set(&timers, &ticks[i].timer, rand_r(&dice) % 100);
    }
    for (int i = 0; i < 4 * MANY; i++) {
        struct tick *tick = &ticks[rand_r(&dice) % MANY];
        if (rand_r(&dice) % 2 == 0) {
            timers_cancel(&timers, &tick->timer);
        } else {
            timers_set(&timers, &tick->timer, rand_r(&dice) % 100);
        }
    }
    for (int i = 0; i < MANY; i++) {
        n_armed += timer_armed(&ticks[i].timer);
    }
    timers_run(&timers, 100);
    assert_int_equal(n_fired, n_armed);
    for (int i = 1; i < n_fired; i++) {
        const struct timer *before = &ticks[fired[i - 1]].timer;
        const struct timer *after = &ticks[fired[i]].timer;
        assert_true(before->at_ns < after->at_ns ||
                    (before->at_ns == after->at_ns && before->order < after->order));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_earliest_deadline_fires_first),
        TEST(equal_deadlines_fire_in_the_order_of_arming),
        TEST(a_timer_set_again_moves_and_fires_once),
        TEST(a_cancelled_timer_never_fires_even_when_due_in_the_same_run),
        TEST(a_timer_armed_by_a_callback_for_now_fires_in_the_same_run),
        TEST(random_arming_and_cancelling_fires_exactly_the_rest_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
