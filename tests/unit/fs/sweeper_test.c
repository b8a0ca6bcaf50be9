/* sweeper: mounts take turns, and what is open without a name stays. */
#include "tests/unit/fs/world.h"

#include "fs/sweeper.h"
#include "shared/sweep.h"

#define DAY_NS (86400 * (int64_t)SECOND_NS)
#define ASK_NS (DAY_NS / SWEEPER_ASKS)

static int sweep_older(struct world *w, int64_t age_ns, struct sweep_report *report) {
    const struct partition_source source = {.self = w->mem, .n_slices = 1, .list = store_mem_list};
    const struct sweep_config config = {.ns = w->ns_b,
                                        .source = &source,
                                        .repair = true,
                                        .age_min_ns = (uint64_t)age_ns,
                                        .n_at_once = 1};
    return sweep_run(&config, report);
}

IN_WORLD(an_open_file_without_a_name_is_no_leftover) {
    struct sweep_report report;
    char text[8000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, text);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    const struct sweeper_config config = {0};
    assert_int_equal(sweeper_start(&w->a, &config), 0);
    task_set_deadline(task_self(), 0);
    task_sleep(SWEEPER_TOUCH_NS * 3 + SECOND_NS);
    /* Kept young by the mount: its blocks are older than that. */
    assert_int_equal(sweep_older(w, SWEEPER_TOUCH_NS, &report), 0);
    assert_int_equal(report.kinds[SWEEP_CONTENTS].found, 0);
    assert_int_equal(report.n_young, 1);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_string_equal(held, text);
    free(held);
    close_handle(handle);
    mount_stop_background(&w->a);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
}

static int count_sweep(void *context, const bool *stop) {
    int *n = context;
    assert_false(*stop);
    ++*n;
    return 0;
}

static int fail_sweep(void *context, const bool *stop) {
    (void)stop;
    int *n = context;
    ++*n;
    return ERR_UNAVAILABLE;
}

IN_WORLD(one_mount_a_day_sweeps) {
    int n = 0;
    const struct sweeper_config config = {.every_ns = DAY_NS, .sweep = count_sweep, .context = &n};
    assert_int_equal(sweeper_start(&w->a, &config), 0);
    assert_int_equal(sweeper_start(&w->b, &config), 0);
    task_set_deadline(task_self(), 0);
    task_sleep(2 * ASK_NS);
    assert_int_equal(n, 1);
    task_sleep(DAY_NS - 2 * ASK_NS);
    assert_int_equal(n, 1);
    task_sleep(2 * ASK_NS);
    assert_int_equal(n, 2);
}

IN_WORLD(a_mount_that_is_not_to_sweep_takes_no_turn) {
    int n = 0;
    const struct sweeper_config off = {.sweep = count_sweep, .context = &n};
    assert_int_equal(sweeper_start(&w->a, &off), 0);
    task_set_deadline(task_self(), 0);
    task_sleep(2 * DAY_NS);
    assert_int_equal(n, 0);
}

IN_WORLD(a_sweep_that_failed_is_tried_again_within_the_hour) {
    int n = 0;
    const struct sweeper_config config = {.every_ns = DAY_NS, .sweep = fail_sweep, .context = &n};
    assert_int_equal(sweeper_start(&w->a, &config), 0);
    task_set_deadline(task_self(), 0);
    task_sleep(5 * ASK_NS + SECOND_NS);
    assert_true(n >= 4 && n <= 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_file_without_a_name_is_no_leftover),
        cmocka_unit_test(one_mount_a_day_sweeps),
        cmocka_unit_test(a_mount_that_is_not_to_sweep_takes_no_turn),
        cmocka_unit_test(a_sweep_that_failed_is_tried_again_within_the_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
