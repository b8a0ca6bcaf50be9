/* sync: what SYNC promises of a node's disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/rows_of.h"

static uint64_t ask_sync(struct cluster *c, uint16_t node) {
    struct message message = {.type = MESSAGE_SYNC, .budget_ms = 1000};
    return cluster_ask(c, node, &message);
}

static void what_was_acknowledged_before_it_outlives_a_loss_of_power(void **state) {
    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        struct cluster *c = cluster_new(3, 3);
        assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
        cluster_run(c);
        for (uint16_t id = 1; id <= 3; id++) {
            assert_true(synced == 0 || wait_for(c, ask_sync(c, id)) == 0);
        }
        for (uint16_t id = 1; id <= 3; id++) {
            cluster_crash(c, id, true);
            assert_string_equal(stored_row(c, id, NULL, NULL).value, synced ? "x" : "");
        }
        cluster_free(c);
    }
}

static void it_waits_for_the_writes_before_it(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 2, true);
    uint64_t write = ask_write(c, &(struct write){.value = "x"});
    cluster_run(c);
    assert_true(cluster_answer(c, write).got); /* by nodes 1 and 3 */
    uint64_t sync = ask_sync(c, 2);
    cluster_run(c);
    assert_false(cluster_answer(c, sync).got);
    cluster_pause_disk(c, 2, false);
    assert_int_equal(wait_for(c, sync), 0);
    assert_string_equal(stored_row(c, 2, NULL, NULL).value, "x");
    assert_int_equal(cluster_stat(c, 2, "syncs_asked"), 1);
    cluster_free(c);
}

static void a_disk_that_fails_is_told(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_COMMIT_SYNCED, ERR_DISK, 1);
    assert_int_equal(wait_for(c, ask_sync(c, 1)), ERR_DISK);
    cluster_free(c);
}

static void a_node_that_recovers_does_not_vouch_for_anything(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 1, true);
    cluster_wipe(c, 1);
    cluster_lose(c, 1, MESSAGE_SLICE | MESSAGE_REPLY);
    cluster_start(c, 1);
    assert_int_equal(wait_for(c, ask_sync(c, 1)), ERR_UNAVAILABLE);
    cluster_release(c);
    cluster_advance(c, 10000);
    assert_int_equal(wait_for(c, ask_sync(c, 1)), 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_before_it_outlives_a_loss_of_power),
        cmocka_unit_test(it_waits_for_the_writes_before_it),
        cmocka_unit_test(a_disk_that_fails_is_told),
        cmocka_unit_test(a_node_that_recovers_does_not_vouch_for_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
