/* loop: turns, watches that change under way, timers, hooks, spinning and signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shared/loop.h"

struct pulse {
    struct loop *loop;
    int fd;
    int n;
    struct pulse *victim; /* unwatched by this one's handler */
    bool drains;
};

static void pulse_ready(void *context) {
    struct pulse *pulse = context;
    pulse->n++;
    if (pulse->drains) {
        uint64_t value;
        assert_int_equal(read(pulse->fd, &value, sizeof(value)), sizeof(value));
    }
    if (pulse->victim != NULL) {
        loop_unwatch(pulse->loop, pulse->victim->fd);
    }
}

static struct pulse pulse_of(struct loop *loop, bool raised) {
    struct pulse pulse = {.loop = loop, .fd = eventfd(raised, EFD_NONBLOCK), .drains = true};
    assert_true(pulse.fd >= 0);
    return pulse;
}

static void a_ready_descriptor_is_called_once_a_turn_until_drained(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct pulse pulse = pulse_of(loop, true);
    pulse.drains = false;
    assert_int_equal(loop_watch(loop, pulse.fd, pulse_ready, &pulse), 0);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(pulse.n, 2);
    pulse.drains = true;
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(pulse.n, 3);
    close(pulse.fd);
    loop_free(loop);
}

static void a_handler_may_unwatch_itself_and_others_ready_in_the_same_turn(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct pulse a = pulse_of(loop, true), b = pulse_of(loop, true);
    a.victim = &b;
    b.victim = &a;
    assert_int_equal(loop_watch(loop, a.fd, pulse_ready, &a), 0);
    assert_int_equal(loop_watch(loop, b.fd, pulse_ready, &b), 0);
    loop_turn(loop, 0);
    assert_int_equal(a.n + b.n, 1); /* whoever came first silenced the other */
    struct pulse self = pulse_of(loop, true);
    self.drains = false;
    self.victim = &self;
    assert_int_equal(loop_watch(loop, self.fd, pulse_ready, &self), 0);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(self.n, 1);
    close(a.fd);
    close(b.fd);
    close(self.fd);
    loop_free(loop);
}

struct swap {
    struct pulse old, new;
    int trigger;
    int n;
};

/* Closes the other descriptor and gives its number to a fresh one that is not ready. */
static void swap_ready(void *context) {
    struct swap *swap = context;
    swap->n++;
    struct loop *loop = swap->old.loop;
    loop_unwatch(loop, swap->trigger);
    loop_unwatch(loop, swap->old.fd);
    close(swap->old.fd);
    swap->new = pulse_of(loop, false);
    assert_int_equal(swap->new.fd, swap->old.fd);
    assert_int_equal(loop_watch(loop, swap->new.fd, pulse_ready, &swap->new), 0);
}

static void
an_event_of_a_closed_descriptor_never_reaches_the_next_owner_of_its_number(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    struct swap swap = {.old = pulse_of(loop, true)};
    swap.trigger = eventfd(1, EFD_NONBLOCK);
    assert_int_equal(loop_watch(loop, swap.trigger, swap_ready, &swap), 0);
    assert_int_equal(loop_watch(loop, swap.old.fd, pulse_ready, &swap.old), 0);
    loop_turn(loop, 0);
    assert_int_equal(swap.n, 1);
    assert_int_equal(swap.new.n, 0);
    uint64_t one = 1;
    assert_int_equal(write(swap.new.fd, &one, sizeof(one)), sizeof(one));
    loop_turn(loop, 0);
    assert_int_equal(swap.new.n, 1);
    close(swap.new.fd);
    close(swap.trigger);
    loop_free(loop);
}

static void count(void *context) {
    ++*(int *)context;
}

static void a_timer_ends_the_wait_and_fires_not_before_its_time(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    int fired = 0;
    struct timer timer = {.fire = count, .context = &fired};
    int64_t at_ns = loop_now_ns(loop) + 2000000;
    timers_set(loop_timers(loop), &timer, at_ns);
    for (int turns = 0; fired == 0 && turns < 1000; turns++) {
        loop_turn(loop, TIMERS_NEVER);
    }
    assert_int_equal(fired, 1);
    assert_true(loop_now_ns(loop) >= at_ns);
    loop_free(loop);
}

static void a_turn_waits_no_longer_than_it_was_told(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    int fired = 0;
    struct timer timer = {.fire = count, .context = &fired};
    timers_set(loop_timers(loop), &timer, loop_now_ns(loop) + 3600LL * 1000000000);
    loop_turn(loop, 1000000);
    assert_int_equal(fired, 0);
    loop_free(loop);
}

struct hooks {
    struct loop *loop;
    int calls[3];
    int order;
    int more_turns;
    bool removes;
};

static bool hook_second(void *context) {
    struct hooks *hooks = context;
    hooks->calls[1]++;
    hooks->order = hooks->order * 10 + 2;
    return false;
}

static bool hook_first(void *context) {
    struct hooks *hooks = context;
    hooks->calls[0]++;
    hooks->order = hooks->order * 10 + 1;
    if (hooks->removes) {
        loop_remove_turn_end(hooks->loop, hook_first, hooks);
        loop_remove_turn_end(hooks->loop, hook_second, hooks);
    }
    return hooks->more_turns-- > 0;
}

static bool hook_third(void *context) {
    struct hooks *hooks = context;
    hooks->calls[2]++;
    hooks->order = hooks->order * 10 + 3;
    return false;
}

static void hooks_run_at_the_end_of_each_turn_in_the_order_of_adding(void **state) {
    (void)state;
    struct hooks hooks = {.loop = loop_new()};
    loop_add_turn_end(hooks.loop, hook_first, &hooks);
    loop_add_turn_end(hooks.loop, hook_second, &hooks);
    loop_add_turn_end(hooks.loop, hook_third, &hooks);
    loop_turn(hooks.loop, 0);
    assert_int_equal(hooks.order, 123);
    hooks.removes = true;
    loop_turn(hooks.loop, 0);
    loop_turn(hooks.loop, 0);
    assert_int_equal(hooks.order, 123133); /* 123, then 1 and 3, then 3 */
    assert_int_equal(hooks.calls[1], 1);
    loop_free(hooks.loop);
}

static void a_hook_with_more_to_do_keeps_the_loop_from_sleeping(void **state) {
    (void)state;
    struct hooks hooks = {.loop = loop_new(), .more_turns = 3};
    loop_add_turn_end(hooks.loop, hook_first, &hooks);
    loop_turn(hooks.loop, 0);
    for (int i = 0; i < 3; i++) {
        loop_turn(hooks.loop, TIMERS_NEVER); /* would hang: nothing is watched */
    }
    assert_int_equal(hooks.calls[0], 4);
    loop_free(hooks.loop);
}

static void while_it_spins_events_and_timers_are_still_seen(void **state) {
    (void)state;
    struct loop *loop = loop_new();
    loop_set_spin_us(loop, 1000000);
    struct pulse pulse = pulse_of(loop, true);
    assert_int_equal(loop_watch(loop, pulse.fd, pulse_ready, &pulse), 0);
    loop_turn(loop, 0);
    assert_int_equal(pulse.n, 1);
    int fired = 0;
    struct timer timer = {.fire = count, .context = &fired};
    timers_set(loop_timers(loop), &timer, loop_now_ns(loop) + 100000);
    loop_turn(loop, TIMERS_NEVER);
    assert_int_equal(fired, 1);
    uint64_t one = 1;
    assert_int_equal(write(pulse.fd, &one, sizeof(one)), sizeof(one));
    loop_turn(loop, TIMERS_NEVER);
    assert_int_equal(pulse.n, 2);
    close(pulse.fd);
    loop_free(loop);
}

struct catcher {
    struct loop *loop;
    int last;
};

static void caught(void *context, int signal) {
    struct catcher *catcher = context;
    catcher->last = signal;
    loop_stop(catcher->loop);
}

static void a_signal_is_delivered_on_the_loop_and_may_stop_it(void **state) {
    (void)state;
    struct catcher catcher = {.loop = loop_new()};
    int signals[] = {SIGUSR1, SIGTERM};
    assert_int_equal(loop_on_signals(catcher.loop, signals, 2, caught, &catcher), 0);
    kill(getpid(), SIGUSR1);
    loop_run(catcher.loop);
    assert_int_equal(catcher.last, SIGUSR1);
    kill(getpid(), SIGTERM);
    loop_run(catcher.loop);
    assert_int_equal(catcher.last, SIGTERM);
    loop_free(catcher.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ready_descriptor_is_called_once_a_turn_until_drained),
        cmocka_unit_test(a_handler_may_unwatch_itself_and_others_ready_in_the_same_turn),
        cmocka_unit_test(
            an_event_of_a_closed_descriptor_never_reaches_the_next_owner_of_its_number),
        cmocka_unit_test(a_timer_ends_the_wait_and_fires_not_before_its_time),
        cmocka_unit_test(a_turn_waits_no_longer_than_it_was_told),
        cmocka_unit_test(hooks_run_at_the_end_of_each_turn_in_the_order_of_adding),
        cmocka_unit_test(a_hook_with_more_to_do_keeps_the_loop_from_sleeping),
        cmocka_unit_test(while_it_spins_events_and_timers_are_still_seen),
        cmocka_unit_test(a_signal_is_delivered_on_the_loop_and_may_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
