/* read_only: a disk that takes no writes stops writes at once, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/core/read_only.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

enum { COMMITS = DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, FOR_EVER = 1 << 30 };

static void fill(struct cluster *c, uint16_t id, int status) {
    disk_mem_fail(cluster_disk(c, id), COMMITS, status, FOR_EVER);
}

/* The node finds by a write, asked of another one, that its disk takes no more. */
static void fill_and_write(struct cluster *c, uint16_t id, int status) {
    fill(c, id, status);
    uint16_t asked = id == 1 ? 2 : 1;
    assert_int_equal(do_write(c, &(struct write){.value = "1", .node = asked}, NULL), 0);
    cluster_advance(c, 5);
}

static void free_space(struct cluster *c, uint16_t id) {
    disk_mem_fail(cluster_disk(c, id), 0, 0, 0);
}

static void a_full_node_says_so_and_is_itself_again_when_space_returns(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    fill_and_write(c, 3, ERR_NO_SPACE);
    assert_int_equal(cluster_stat(c, 3, "read_only"), 1);
    assert_int_equal(cluster_stat(c, 3, "read_only_error"), -ERR_NO_SPACE);
    assert_int_equal(cluster_stat(c, 1, "read_only"), 0);
    free_space(c, 3);
    cluster_advance(c, READ_ONLY_PROBE_MS + MEMBERSHIP_PING_MS + 10); /* and heartbeats */
    assert_int_equal(cluster_stat(c, 3, "read_only"), 0);
    assert_int_equal(cluster_stat(c, 3, "read_only_times"), 1);
    assert_int_equal(do_write(c, &(struct write){.value = "2", .flags = LEVEL_ALL}, NULL), 0);
    cluster_free(c);
}

static void a_read_only_node_asks_its_disk_for_nothing_but_probes(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    fill_and_write(c, 3, ERR_DISK);
    uint64_t errors = cluster_stat(c, 3, "commit_errors");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(do_write(c, &(struct write){.value = "2"}, NULL), 0);
    }
    assert_int_equal(cluster_stat(c, 3, "commit_errors"), errors);
    cluster_free(c);
}

static void a_write_through_a_read_only_node_goes_to_one_that_can(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    fill_and_write(c, 1, ERR_NO_SPACE);
    uint64_t forwarded = cluster_stat(c, 1, "forwarded");
    assert_int_equal(do_write(c, &(struct write){.value = "2", .node = 1}, NULL), 0);
    assert_int_equal(cluster_stat(c, 1, "forwarded"), forwarded + 1);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, 2);
    cluster_free(c);
}

static void too_few_that_can_store_are_told_at_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    fill(c, 2, ERR_NO_SPACE);
    fill(c, 3, ERR_NO_SPACE);
    do_write(c, &(struct write){.value = "1"}, NULL);
    cluster_advance(c, 600); /* heartbeats */
    uint64_t sent = cluster_stat(c, 2, "replicates");
    assert_int_equal(do_write(c, &(struct write){.value = "2"}, NULL), ERR_NO_SPACE);
    assert_int_equal(cluster_stat(c, 2, "replicates"), sent);
    assert_int_equal(do_get(c, 2, NULL, NULL, 0).status, 0);
    free_space(c, 2);
    cluster_advance(c, 2 * READ_ONLY_PROBE_MS);
    assert_int_equal(do_write(c, &(struct write){.value = "3"}, NULL), 0);
    cluster_free(c);
}

static void a_commit_too_large_for_the_space_left_does_not_stop_small_ones(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    /* One commit fails, and what the node tries after it does not. */
    disk_mem_fail(cluster_disk(c, 3), COMMITS, ERR_NO_SPACE, 1);
    assert_int_equal(do_write(c, &(struct write){.value = "1"}, NULL), 0);
    cluster_advance(c, 5);
    assert_int_equal(cluster_stat(c, 3, "read_only"), 0);
    assert_int_equal(do_write(c, &(struct write){.value = "2", .flags = LEVEL_ALL}, NULL), 0);
    cluster_free(c);
}

static void a_read_only_node_can_be_stopped(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    fill_and_write(c, 3, ERR_NO_SPACE);
    cluster_stop(c, 3);
    free_space(c, 3);
    cluster_start(c, 3);
    assert_int_equal(cluster_stat(c, 3, "read_only"), 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_node_says_so_and_is_itself_again_when_space_returns),
        cmocka_unit_test(a_read_only_node_asks_its_disk_for_nothing_but_probes),
        cmocka_unit_test(a_write_through_a_read_only_node_goes_to_one_that_can),
        cmocka_unit_test(too_few_that_can_store_are_told_at_once),
        cmocka_unit_test(a_commit_too_large_for_the_space_left_does_not_stop_small_ones),
        cmocka_unit_test(a_read_only_node_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
