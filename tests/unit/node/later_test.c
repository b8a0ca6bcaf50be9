/* later: a write goes to as many replicas as it needs at once, and to the others soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/later.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

/* Node 1 coordinates and is the steward of all that is asked here. */
static struct write plain(const char *sort_key) {
    return (struct write){.sort_key = sort_key, .value = sort_key};
}

static struct write strict(const char *sort_key) {
    return (struct write){.sort_key = sort_key, .value = sort_key, .condition = ROW_IF_ABSENT};
}

/* What came of it before any time passed; -1 = nothing yet. */
static int prompt(struct cluster *c, const struct write *write) {
    uint64_t ticket = ask_write(c, write);
    cluster_run(c);
    struct cluster_answer answer = cluster_answer(c, ticket);
    return answer.got ? answer.status : -1;
}

/* A cluster whose partition has been touched, and nothing is on its way. */
static struct cluster *steady(void) {
    struct cluster *c = cluster_new(3, 3);
    struct write first = strict("first");
    assert_int_equal(do_write(c, &first, NULL), 0);
    cluster_advance(c, 20);
    cluster_wait_for_later(c);
    return c;
}

static bool has(struct cluster *c, uint16_t node, const char *sort_key) {
    return stored_row(c, node, NULL, sort_key).n_live == 1;
}

static void a_batch_is_done_with_one_of_two_others(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write writes[] = {plain("a"), strict("b")};
    for (int i = 0; i < 2; i++) {
        uint64_t second = cluster_stat(c, 2, "messages");
        uint64_t third = cluster_stat(c, 3, "messages");
        assert_int_equal(prompt(c, &writes[i]), 0);
        assert_int_equal(cluster_stat(c, 2, "messages") - second, 1);
        assert_int_equal(cluster_stat(c, 3, "messages") - third, 0);
        cluster_advance(c, 20);
    }
    cluster_free(c);
}

static void the_last_replica_has_it_a_little_later(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write writes[] = {plain("a"), strict("b")};
    assert_int_equal(prompt(c, &writes[0]), 0);
    assert_int_equal(prompt(c, &writes[1]), 0);
    assert_false(has(c, 3, "a"));
    cluster_advance(c, LATER_MS);
    assert_true(has(c, 3, "a"));
    assert_string_equal(do_get(c, 3, NULL, "b", MESSAGE_OWN).value, "b");
    cluster_free(c);
}

static void what_is_asked_next_takes_it_along(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write write = plain("a");
    assert_int_equal(prompt(c, &write), 0);
    assert_string_equal(do_get(c, 1, NULL, "a", LEVEL_ALL).value, "a");
    assert_true(has(c, 3, "a"));
    assert_int_equal(cluster_stat(c, 1, "repairs_sent"), 0);
    cluster_free(c);
}

static void many_small_ones_come_in_order(void **state) {
    (void)state;
    struct cluster *c = steady();
    for (int i = 0; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%02d", i);
        struct write write = strict(name);
        assert_int_equal(prompt(c, &write), 0);
    }
    cluster_advance(c, 20);
    assert_true(has(c, 3, "n00"));
    assert_true(has(c, 3, "n39"));
    assert_int_equal(cluster_stat(c, 3, "strict_behind"), 0);
    cluster_free(c);
}

static void more_than_the_limit_goes_at_once(void **state) {
    (void)state;
    struct cluster *c = steady();
    char *value = malloc(60001);
    memset(value, 'v', 60000);
    value[60000] = '\0';
    char name[] = "a";
    for (size_t sent = 0; sent <= LATER_BYTES_MAX; sent += 60000, name[0]++) {
        struct write write = {.sort_key = name, .value = value};
        assert_int_equal(prompt(c, &write), 0);
    }
    assert_true(has(c, 3, "a"));
    free(value);
    cluster_free(c);
}

static void a_slow_replica_costs_a_little_once_a_while(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write writes[] = {strict("a"), strict("b"), strict("c")};
    cluster_pause_disk(c, 2, true);
    uint64_t ticket = ask_write(c, &writes[0]);
    cluster_advance(c, LATER_MS - 1);
    assert_false(cluster_answer(c, ticket).got);
    cluster_advance(c, 1);
    assert_true(cluster_answer(c, ticket).got);
    assert_int_equal(prompt(c, &writes[1]), 0);
    assert_int_equal(cluster_stat(c, 1, "overtaken"), 1);
    cluster_pause_disk(c, 2, false);
    cluster_advance(c, LATER_TARDY_MS);
    uint64_t third = cluster_stat(c, 3, "messages");
    assert_int_equal(prompt(c, &writes[2]), 0);
    assert_int_equal(cluster_stat(c, 3, "messages"), third);
    cluster_free(c);
}

static void a_slow_replica_is_not_waited_for_by_plain_writes_either(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write writes[] = {plain("a"), plain("b")};
    cluster_pause_disk(c, 2, true);
    uint64_t ticket = ask_write(c, &writes[0]);
    cluster_advance(c, LATER_MS);
    assert_true(cluster_answer(c, ticket).got);
    assert_int_equal(prompt(c, &writes[1]), 0);
    cluster_pause_disk(c, 2, false);
    cluster_free(c);
}

static void when_one_refuses_the_other_is_asked_at_once(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write writes[] = {plain("a"), strict("b")};
    for (int i = 0; i < 2; i++) {
        disk_mem_fail(cluster_disk(c, 2), DISK_MEM_COMMIT, ERR_DISK, 1);
        assert_int_equal(prompt(c, &writes[i]), 0);
        cluster_advance(c, 20);
    }
    cluster_free(c);
}

static void a_node_that_stops_sends_what_waits(void **state) {
    (void)state;
    struct cluster *c = steady();
    struct write write = plain("a");
    assert_int_equal(prompt(c, &write), 0);
    node_stop(cluster_node(c, 1));
    cluster_run(c);
    assert_true(has(c, 3, "a"));
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_done_with_one_of_two_others),
        cmocka_unit_test(the_last_replica_has_it_a_little_later),
        cmocka_unit_test(what_is_asked_next_takes_it_along),
        cmocka_unit_test(many_small_ones_come_in_order),
        cmocka_unit_test(more_than_the_limit_goes_at_once),
        cmocka_unit_test(a_slow_replica_costs_a_little_once_a_while),
        cmocka_unit_test(a_slow_replica_is_not_waited_for_by_plain_writes_either),
        cmocka_unit_test(when_one_refuses_the_other_is_asked_at_once),
        cmocka_unit_test(a_node_that_stops_sends_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
