/* task: order, deadlines, interrupts, queues, groups and bounds, under a clock that stands still.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/task.h"

enum { MS = 1000000 };

static struct timers timers;
static struct tasks *tasks;
static int64_t now;
static char trace[64]; /* what ran, in order */
static struct task_queue queue;

static int64_t clock_now(void *clock) {
    (void)clock;
    return now;
}

static void note(char mark) {
    size_t size = strlen(trace);
    assert_true(size + 1 < sizeof trace);
    trace[size] = mark;
}

static int setup(void **state) {
    (void)state;
    now = 1;
    memset(trace, 0, sizeof trace);
    queue = (struct task_queue){0};
    timers_init(&timers);
    tasks = tasks_new(&timers, clock_now, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(tasks_alive(tasks), 0);
    assert_true(timers_next(&timers) == TIMERS_NEVER); /* an ended task leaves no timer behind */
    tasks_free(tasks);
    timers_release(&timers);
    return 0;
}

static void advance(int64_t ns) {
    now += ns;
    timers_run(&timers, now);
    tasks_run(tasks);
}

static void note_arg(void *arg) {
    note(*(const char *)arg);
}

static void tasks_run_in_the_order_in_which_they_were_spawned(void **state) {
    (void)state;
    static const char marks[] = "abc";
    for (int i = 0; i < 3; i++) {
        assert_int_equal(task_spawn(tasks, note_arg, (void *)(uintptr_t)&marks[i], 0), 0);
    }
    assert_string_equal(trace, ""); /* spawning runs nothing */
    assert_true(tasks_runnable(tasks));
    tasks_run(tasks);
    assert_string_equal(trace, "abc");
    assert_false(tasks_runnable(tasks));
    assert_null(task_self());
}

static int statuses[4];

static void wait_and_note(void *arg) {
    char mark = *(const char *)arg;
    statuses[mark - 'a'] = task_wait(&queue);
    note(mark);
}

static void spawn_waiters(const char *marks, int64_t deadline_ns) {
    for (const char *mark = marks; *mark != '\0'; mark++) {
        assert_int_equal(task_spawn(tasks, wait_and_note, (void *)(uintptr_t)mark, deadline_ns), 0);
    }
    tasks_run(tasks);
}

static void a_queue_wakes_first_come_first_served(void **state) {
    (void)state;
    spawn_waiters("abc", 0);
    assert_string_equal(trace, "");
    task_wake_one(&queue);
    tasks_run(tasks);
    assert_string_equal(trace, "a");
    task_wake_all(&queue);
    tasks_run(tasks);
    assert_string_equal(trace, "abc");
    assert_int_equal(statuses[0] | statuses[1] | statuses[2], 0);
}

static void a_wake_of_an_empty_queue_is_not_remembered(void **state) {
    (void)state;
    task_wake_all(&queue);
    spawn_waiters("a", 0);
    assert_string_equal(trace, "");
    task_wake_all(&queue);
    tasks_run(tasks);
    assert_string_equal(trace, "a");
}

static void a_wait_ends_at_the_deadline(void **state) {
    (void)state;
    spawn_waiters("a", now + 5 * MS);
    advance(5 * MS - 1);
    assert_string_equal(trace, "");
    advance(1);
    assert_string_equal(trace, "a");
    assert_int_equal(statuses[0], ERR_TIMEOUT);
    assert_null(queue.first);
}

static void wait_twice(void *arg) {
    (void)arg;
    statuses[0] = task_wait(&queue);
    statuses[1] = task_wait(&queue);
}

static void a_deadline_that_passed_ends_the_next_waits_at_once(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, wait_twice, NULL, now + MS), 0);
    tasks_run(tasks);
    advance(MS);
    assert_int_equal(statuses[0], ERR_TIMEOUT);
    assert_int_equal(statuses[1], ERR_TIMEOUT);
}

static void a_wake_before_the_deadline_wins_even_when_the_task_runs_after_it(void **state) {
    (void)state;
    spawn_waiters("a", now + MS);
    task_wake_one(&queue);
    advance(2 * MS);
    assert_int_equal(statuses[0], 0);
}

static struct task *self;

static void interrupted_twice(void *arg) {
    (void)arg;
    self = task_self();
    statuses[0] = task_wait(&queue);
    statuses[1] = task_wait(&queue);
}

static void an_interrupt_ends_one_wait(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, interrupted_twice, NULL, 0), 0);
    tasks_run(tasks);
    task_interrupt(self);
    tasks_run(tasks);
    assert_int_equal(statuses[0], ERR_INTERRUPTED);
    assert_int_equal(tasks_alive(tasks), 1); /* in its second wait */
    task_wake_one(&queue);
    tasks_run(tasks);
    assert_int_equal(statuses[1], 0);
}

static void interrupt_self(void *arg) {
    (void)arg;
    task_interrupt(task_self());
    statuses[0] = task_wait(&queue);
    note('i');
}

static void an_interrupt_before_the_wait_is_remembered(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, interrupt_self, NULL, 0), 0);
    tasks_run(tasks);
    assert_string_equal(trace, "i");
    assert_int_equal(statuses[0], ERR_INTERRUPTED);
}

static void wait_uninterrupted(void *arg) {
    (void)arg;
    self = task_self();
    task_wait_uninterrupted(&queue);
    note('u');
    statuses[0] = task_wait(&queue);
}

static void a_join_ends_neither_by_deadline_nor_by_interrupt(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, wait_uninterrupted, NULL, now + MS), 0);
    tasks_run(tasks);
    task_interrupt(self);
    advance(2 * MS);
    assert_string_equal(trace, "");
    task_wake_one(&queue);
    tasks_run(tasks);
    assert_string_equal(trace, "u");
    assert_int_equal(statuses[0], ERR_INTERRUPTED); /* the interrupt was kept for this wait */
}

static void sleep_5ms(void *arg) {
    (void)arg;
    statuses[0] = task_sleep(5 * MS);
    note('s');
}

static void a_sleep_lasts_as_long_as_it_says(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, sleep_5ms, NULL, 0), 0);
    tasks_run(tasks);
    advance(5 * MS - 1);
    assert_string_equal(trace, "");
    advance(1);
    assert_string_equal(trace, "s");
    assert_int_equal(statuses[0], 0);
}

static void a_sleep_beyond_the_deadline_ends_there(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, sleep_5ms, NULL, now + 2 * MS), 0);
    tasks_run(tasks);
    advance(2 * MS);
    assert_string_equal(trace, "s");
    assert_int_equal(statuses[0], ERR_TIMEOUT);
}

static void move_deadline(void *arg) {
    (void)arg;
    self = task_self();
    statuses[0] = task_wait(&queue);
}

static void a_deadline_may_be_moved_while_the_task_waits(void **state) {
    (void)state;
    assert_int_equal(task_spawn(tasks, move_deadline, NULL, now + MS), 0);
    tasks_run(tasks);
    task_set_deadline(self, now + 3 * MS);
    advance(2 * MS);
    assert_int_equal(tasks_alive(tasks), 1);
    advance(MS);
    assert_int_equal(statuses[0], ERR_TIMEOUT);
}

static void yield_between(void *arg) {
    char mark = *(const char *)arg;
    note(mark);
    task_yield();
    note(mark);
}

static void a_yield_lets_the_others_go_first(void **state) {
    (void)state;
    static const char marks[] = "ab";
    task_spawn(tasks, yield_between, (void *)(uintptr_t)&marks[0], 0);
    task_spawn(tasks, yield_between, (void *)(uintptr_t)&marks[1], 0);
    tasks_run(tasks);
    assert_string_equal(trace, "abab");
}

static int depth_reached;

static void spawn_deeper(void *arg) {
    int64_t *deadline_ns = arg;
    assert_true(task_deadline_ns(task_self()) == *deadline_ns); /* inherited all the way */
    if (++depth_reached < 1000) {
        assert_int_equal(task_spawn(task_scheduler(task_self()), spawn_deeper, arg, 0), 0);
    }
}

static void spawns_nest_deeply_and_hand_down_the_deadline(void **state) {
    (void)state;
    int64_t deadline_ns = now + 7 * MS;
    depth_reached = 0;
    assert_int_equal(task_spawn(tasks, spawn_deeper, &deadline_ns, deadline_ns), 0);
    tasks_run(tasks);
    assert_int_equal(depth_reached, 1000);
}

static void wait_plain(void *arg) {
    (void)arg;
    task_wait(&queue);
}

static void beyond_the_bound_a_spawn_is_refused(void **state) {
    (void)state;
    for (int i = 0; i < TASKS_MAX; i++) {
        assert_int_equal(task_spawn(tasks, wait_plain, NULL, 0), 0);
    }
    assert_int_equal(task_spawn(tasks, wait_plain, NULL, 0), ERR_BUSY);
    tasks_run(tasks);
    assert_int_equal(tasks_alive(tasks), TASKS_MAX);
    task_wake_all(&queue);
    tasks_run(tasks);
    assert_int_equal(tasks_alive(tasks), 0);
    assert_int_equal(task_spawn(tasks, note_arg, (void *)(uintptr_t) "x", 0), 0);
    tasks_run(tasks);
    assert_string_equal(trace, "x");
}

static int n_at_once, n_at_once_max;

static int job(void *arg) {
    n_at_once++;
    n_at_once_max = n_at_once > n_at_once_max ? n_at_once : n_at_once_max;
    task_sleep(MS);
    n_at_once--;
    return *(const int *)arg;
}

static void run_group(void *arg) {
    static const int results[] = {0, 0, ERR_DISK, 0, ERR_BUSY, 0};
    struct task_group group = {0};
    for (int i = 0; i < 6; i++) {
        task_group_wait(&group, 2);
        task_group_run(&group, job, (void *)(uintptr_t)&results[i]);
    }
    task_group_wait(&group, 0);
    assert_int_equal(group.n_running, 0);
    *(int *)arg = group.status;
}

static void a_group_keeps_its_limit_and_tells_the_first_failure(void **state) {
    (void)state;
    int status = 1;
    n_at_once = n_at_once_max = 0;
    assert_int_equal(task_spawn(tasks, run_group, &status, 0), 0);
    tasks_run(tasks);
    for (int i = 0; i < 10; i++) {
        advance(MS);
    }
    assert_int_equal(status, ERR_DISK);
    assert_int_equal(n_at_once_max, 3);
}

static int note_job(void *arg) {
    note(*(const char *)arg);
    return 0;
}

static void group_when_full(void *arg) {
    (void)arg;
    struct task_group group = {0};
    task_group_run(&group, note_job, (void *)(uintptr_t) "g");
    assert_int_equal(group.n_running, 0);
    assert_string_equal(trace, "g"); /* it ran right here */
    task_group_wait(&group, 0);
    task_wake_all(&queue);
}

static void a_group_runs_the_work_itself_when_no_task_can_be_made(void **state) {
    (void)state;
    for (int i = 0; i < TASKS_MAX - 1; i++) {
        assert_int_equal(task_spawn(tasks, wait_plain, NULL, 0), 0);
    }
    assert_int_equal(task_spawn(tasks, group_when_full, NULL, 0), 0);
    tasks_run(tasks);
    assert_string_equal(trace, "g");
}

static void use_stack(void *arg) {
    volatile char deep[96 << 10];
    memset((char *)(uintptr_t)deep, 0x5a, sizeof deep);
    task_yield();
    for (size_t i = 0; i < sizeof deep; i += 1021) {
        assert_int_equal(deep[i], 0x5a);
    }
    ++*(int *)arg;
}

static void stacks_are_each_tasks_own_and_as_large_as_promised(void **state) {
    (void)state;
    int n_done = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 20; i++) {
            assert_int_equal(task_spawn(tasks, use_stack, &n_done, 0), 0);
        }
        tasks_run(tasks);
    }
    assert_int_equal(n_done, 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(tasks_run_in_the_order_in_which_they_were_spawned),
        TEST(a_queue_wakes_first_come_first_served),
        TEST(a_wake_of_an_empty_queue_is_not_remembered),
        TEST(a_wait_ends_at_the_deadline),
        TEST(a_deadline_that_passed_ends_the_next_waits_at_once),
        TEST(a_wake_before_the_deadline_wins_even_when_the_task_runs_after_it),
        TEST(an_interrupt_ends_one_wait),
        TEST(an_interrupt_before_the_wait_is_remembered),
        TEST(a_join_ends_neither_by_deadline_nor_by_interrupt),
        TEST(a_sleep_lasts_as_long_as_it_says),
        TEST(a_sleep_beyond_the_deadline_ends_there),
        TEST(a_deadline_may_be_moved_while_the_task_waits),
        TEST(a_yield_lets_the_others_go_first),
        TEST(spawns_nest_deeply_and_hand_down_the_deadline),
        TEST(beyond_the_bound_a_spawn_is_refused),
        TEST(a_group_keeps_its_limit_and_tells_the_first_failure),
        TEST(a_group_runs_the_work_itself_when_no_task_can_be_made),
        TEST(stacks_are_each_tasks_own_and_as_large_as_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
