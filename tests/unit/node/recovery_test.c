/* recovery: a node that may have lost rows answers for none of them before it has them back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/core/chain.h"
#include "node/core/chain_recover.h"
#include "node/core/rowkey.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

enum { RECOVERY_MS = 5000 };

static uint64_t left(struct cluster *c, uint16_t id) {
    return cluster_stat(c, id, "slices_recovering");
}

static void advance_until_recovered(struct cluster *c, uint16_t id) {
    for (int ms = 0; ms < RECOVERY_MS && left(c, id) > 0; ms++) {
        cluster_advance(c, 1);
    }
    assert_int_equal(left(c, id), 0);
}

/* The node is killed and starts again with an empty disk. */
static void restart_wiped(struct cluster *c, uint16_t id) {
    cluster_crash(c, id, false);
    cluster_wipe(c, id);
    cluster_start(c, id);
}

static const char *key_of(int i) {
    static char keys[8][16];
    char *key = keys[i % 8];
    snprintf(key, sizeof keys[0], "key%d", i);
    return key;
}

static void write_keys(struct cluster *c, int from, int to) {
    for (int i = from; i < to; i++) {
        struct write write = {.node = 2, .key = key_of(i), .value = "x", .sort_key = "s"};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
}

static uint32_t stored_keys(struct cluster *c, uint16_t id, int n) {
    uint32_t found = 0;
    for (int i = 0; i < n; i++) {
        found += stored_row(c, id, key_of(i), "s").n_live;
    }
    return found;
}

/* ---- which starts recover ---- */

static void a_process_that_was_killed_serves_at_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_crash(c, 2, false);
    cluster_crash(c, 3, false);
    cluster_start(c, 2);
    assert_int_equal(left(c, 2), 0);
    cluster_free(c);
}

static void a_clean_stop_is_trusted_though_the_machine_restarted(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_stop(c, 2);
    cluster_crash(c, 3, false);
    cluster_reboot(c, 2);
    cluster_start(c, 2);
    assert_int_equal(left(c, 2), 0);
    /* And the new boot id is remembered: the end of the process alone is no reason. */
    cluster_crash(c, 2, false);
    cluster_start(c, 2);
    assert_int_equal(left(c, 2), 0);
    cluster_free(c);
}

static void a_machine_that_went_down_recovers_what_it_acknowledged(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    /* Node 3 misses it, so that nodes 1 and 2 are the two that it is on. */
    cluster_lose(c, 3, MESSAGE_REPLICATE);
    assert_int_equal(do_write(c, &(struct write){.value = "kept"}, NULL), 0);
    cluster_release(c);
    cluster_crash(c, 2, true);
    assert_int_equal(stored_row(c, 2, NULL, NULL).n_live, 0);
    cluster_start(c, 2);
    advance_until_recovered(c, 2);
    assert_int_equal(stored_row(c, 2, NULL, NULL).n_live, 1);
    cluster_crash(c, 1, false);
    cluster_advance(c, 1500);
    assert_string_equal(do_get(c, 2, NULL, NULL, 0).value, "kept");
    cluster_free(c);
}

static void a_wiped_node_is_refilled_and_then_serves(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    write_keys(c, 0, 300);
    restart_wiped(c, 3);
    advance_until_recovered(c, 3);
    assert_int_equal(stored_keys(c, 3, 300), 300);
    assert_true(cluster_stat(c, 3, "recovery_rows") >= 600);
    assert_int_equal(do_get(c, 3, key_of(7), "s", LEVEL_ONE).tally.n_live, 1);
    cluster_free(c);
}

/* It would tell more than the rows hold: a steward would decide without what it lacks. */
static void a_tail_does_not_come_with_rows_of_which_one_cannot_be_read(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes p = bytes_of_string("p");
    uint16_t slice = ring_slice(cluster_ring(c), p);
    struct write create = {.value = "x", .condition = ROW_IF_ABSENT};
    struct buffer row = {0}, tail = {0};
    rowkey_put_row(&row, slice, p, bytes_of(NULL, 0));
    rowkey_put_tail(&tail, slice, p);
    for (int rots = 0; rots < 2; rots++) {
        cluster_lose(c, 2, MESSAGE_PROPOSE);
        cluster_lose(c, 2, MESSAGE_CHOSEN);
        assert_int_equal(rots == 0 ? do_write(c, &create, NULL) : 0, 0);
        cluster_advance(c, 10);
        cluster_crash(c, 1, false);
        assert_true(rots == 0 || disk_mem_corrupt(cluster_disk(c, 1), buffer_bytes(&row)));
        cluster_crash(c, 3, false);
        cluster_wipe(c, 3);
        cluster_start(c, 1);
        cluster_start(c, 3);
        cluster_lose(c, 0, MESSAGE_PREPARE);
        advance_until_recovered(c, 3);
        bool has_tail = disk_mem_get(cluster_disk(c, 3), buffer_bytes(&tail)).size > 0;
        assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, rots == 0 ? 1 : 0);
        assert_int_equal(has_tail, rots == 0);
        cluster_release(c);
    }
    buffer_release(&row);
    buffer_release(&tail);
    cluster_free(c);
}

static void on_recovered(void *context, int status) {
    *(int *)context = status;
}

/* What node 2 has pending of p, as node 3 is told it. */
static struct bytes pending_of_2(struct cluster *c, struct buffer *keep) {
    static const uint8_t no_epoch[8];
    struct chain_reply reply;
    struct message tail = {.type = MESSAGE_TAIL,
                           .id = 1,
                           .budget_ms = 1000,
                           .key = bytes_of_string("p"),
                           .payload = bytes_of(no_epoch, sizeof no_epoch)};
    cluster_inject(c, 3, 2, &tail);
    cluster_overhear(c, 3, MESSAGE_TAIL | MESSAGE_REPLY, keep);
    assert_int_equal(chain_reply_decode(buffer_bytes(keep), &reply), 0);
    assert_true(reply.pending.size > 0);
    return reply.pending;
}

/* Without the batch before it, a takeover from here would drop that one. */
static void a_pending_is_not_brought_into_a_slice_that_is_trusted(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes p = bytes_of_string("p");
    struct buffer key = {0}, kept = {0};
    rowkey_put_pending(&key, ring_slice(cluster_ring(c), p), p);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    assert_int_equal(do_write(c, &(struct write){.value = "a", .condition = ROW_IF_ABSENT}, NULL),
                     0);
    assert_int_equal(
        do_write(c, &(struct write){.sort_key = "2", .value = "b", .condition = ROW_IF_ABSENT},
                 NULL),
        0);
    struct bytes pending = pending_of_2(c, &kept);
    for (int recovers = 0; recovers < 2; recovers++) {
        if (recovers) {
            cluster_lose(c, 3, MESSAGE_SLICE | MESSAGE_REPLY);
            restart_wiped(c, 3);
        }
        int status = ERR_UNKNOWN;
        struct node *node = cluster_node(c, 3);
        assert_int_equal(chain_recover(node, buffer_bytes(&key), pending, on_recovered, &status),
                         0);
        cluster_run(c);
        assert_int_equal(status, 0);
        bool taken = disk_mem_get(cluster_disk(c, 3), buffer_bytes(&key)).size > 0;
        assert_int_equal(taken, recovers);
    }
    buffer_release(&key);
    buffer_release(&kept);
    cluster_free(c);
}

static void a_new_cluster_serves_once_all_replicas_were_heard(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3); /* asserts that it ends */
    for (uint16_t id = 1; id <= 3; id++) {
        assert_int_equal(left(c, id), 0);
        assert_int_equal(cluster_stat(c, id, "slices_held"), 64);
    }
    cluster_free(c);
}

static void a_cluster_of_one_has_nobody_to_ask(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x", .flags = MESSAGE_SYNCED}, NULL), 0);
    cluster_crash(c, 1, true);
    cluster_start(c, 1);
    assert_int_equal(left(c, 1), 0);
    assert_string_equal(do_get(c, 1, NULL, NULL, 0).value, "x");
    cluster_free(c);
}

static void when_all_machines_lose_power_what_one_has_all_have(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "synced", .flags = MESSAGE_SYNCED}, NULL),
                     0);
    cluster_lose(c, 3, MESSAGE_REPLICATE);
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    /* Only on node 1's disk. */
    struct write alone = {.value = "alone", .sort_key = "a", .flags = MESSAGE_SYNCED | LEVEL_ONE};
    assert_int_equal(do_write(c, &alone, NULL), 0);
    cluster_release(c);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_crash(c, id, true);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_start(c, id);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        advance_until_recovered(c, id);
        assert_int_equal(stored_row(c, id, NULL, NULL).n_live, 1);
        assert_int_equal(stored_row(c, id, NULL, "a").n_live, 1);
    }
    cluster_free(c);
}

/* ---- while it recovers ---- */

static void until_both_others_were_read_it_answers_for_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_crash(c, 2, false);
    restart_wiped(c, 3);
    cluster_advance(c, 3000);
    assert_int_equal(left(c, 3), 64);
    /* It has node 1's rows, and must not be counted: node 2 may know more. */
    assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, 1);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).status, ERR_UNAVAILABLE);
    assert_int_equal(do_get(c, 3, NULL, NULL, LEVEL_ONE).status, 0); /* node 1 answers */
    assert_int_equal(do_get(c, 3, NULL, NULL, MESSAGE_OWN).status, ERR_RECOVERING);
    assert_true(cluster_stat(c, 3, "recovering") > 0);
    assert_int_equal(do_write(c, &(struct write){.value = "y", .sort_key = "2"}, NULL),
                     ERR_UNAVAILABLE);
    cluster_start(c, 2);
    advance_until_recovered(c, 3);
    assert_string_equal(do_get(c, 3, NULL, NULL, LEVEL_ALL).value, "x");
    cluster_free(c);
}

static void what_is_written_meanwhile_is_kept(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_hold(c, 3, MESSAGE_SLICE | MESSAGE_REPLY);
    restart_wiped(c, 3);
    cluster_advance(c, 300);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
    cluster_advance(c, 10);
    assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, 1);
    assert_int_equal(left(c, 3), 64);
    cluster_release(c);
    advance_until_recovered(c, 3);
    assert_string_equal(do_get(c, 3, NULL, NULL, LEVEL_ONE).value, "x");
    cluster_free(c);
}

static void a_write_whose_commit_is_under_way_is_waited_for(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    cluster_pause_disk(c, 1, true);
    uint64_t ticket = ask_write(c, &(struct write){.value = "x"});
    cluster_run(c);
    disk_mem_step(cluster_disk(c, 1));
    disk_mem_step(cluster_disk(c, 1));
    cluster_run(c);
    /* Node 3 has acknowledged; node 1, which coordinates, counts on that and has yet to commit. */
    assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, 1);
    assert_false(cluster_answer(c, ticket).got);
    cluster_crash(c, 3, true);
    cluster_start(c, 3);
    cluster_advance(c, 50);
    assert_int_equal(left(c, 3), 64);
    cluster_pause_disk(c, 1, false);
    advance_until_recovered(c, 3);
    assert_int_equal(stored_row(c, 3, NULL, NULL).n_live, 1);
    cluster_free(c);
}

/* ---- crashes on the way ---- */

static void a_crash_at_any_point_resumes(void **state) {
    (void)state;
    for (int ms = 0; ms < 30; ms++) {
        struct cluster *c = cluster_new(3, 3);
        write_keys(c, 0, 40);
        restart_wiped(c, 3);
        cluster_lose(c, 3, MESSAGE_REPLICATE);
        cluster_advance(c, ms / 3);
        cluster_pause_disk(c, 3, true);
        cluster_run(c);
        for (int i = 0; i < ms; i++) {
            disk_mem_step(cluster_disk(c, 3));
        }
        cluster_crash(c, 3, ms % 2 == 0);
        cluster_pause_disk(c, 3, false);
        cluster_start(c, 3);
        advance_until_recovered(c, 3);
        assert_int_equal(stored_keys(c, 3, 40), 40);
        cluster_free(c);
    }
}

static void slices_that_were_recovered_are_not_read_again_after_a_crash(void **state) {
    (void)state;
    struct cluster *c = cluster_new(5, 3);
    write_keys(c, 0, 100);
    cluster_crash(c, 5, false);
    restart_wiped(c, 3);
    cluster_advance(c, 2000);
    uint64_t waiting = left(c, 3); /* those that node 5 holds too */
    assert_true(waiting > 0 && waiting < cluster_stat(c, 3, "slices_held"));
    cluster_crash(c, 3, false);
    cluster_start(c, 3);
    assert_int_equal(left(c, 3), waiting);
    cluster_start(c, 5);
    advance_until_recovered(c, 3);
    cluster_crash(c, 3, false);
    cluster_start(c, 3);
    assert_int_equal(left(c, 3), 0);
    cluster_free(c);
}

static void power_lost_again_voids_the_flags(void **state) {
    (void)state;
    struct cluster *c = cluster_new(5, 3);
    cluster_crash(c, 5, false);
    restart_wiped(c, 3);
    cluster_advance(c, 2000);
    assert_true(left(c, 3) < cluster_stat(c, 3, "slices_held"));
    cluster_crash(c, 3, true);
    cluster_hold(c, 3, MESSAGE_SLICE | MESSAGE_REPLY);
    cluster_start(c, 3);
    assert_int_equal(left(c, 3), cluster_stat(c, 3, "slices_held"));
    cluster_free(c);
}

static void a_stop_while_recovering_is_clean_and_resumes(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 2, false);
    restart_wiped(c, 3);
    cluster_advance(c, 500);
    assert_int_equal(left(c, 3), 64);
    cluster_stop(c, 3);
    cluster_start(c, 3);
    assert_int_equal(left(c, 3), 64);
    cluster_start(c, 2);
    advance_until_recovered(c, 3);
    cluster_free(c);
}

static void a_full_disk_delays_recovery_and_loses_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    write_keys(c, 0, 20);
    restart_wiped(c, 3);
    disk_mem_fail(cluster_disk(c, 3), DISK_MEM_COMMIT | DISK_MEM_COMMIT_SYNCED, ERR_NO_SPACE, 30);
    advance_until_recovered(c, 3);
    assert_int_equal(stored_keys(c, 3, 20), 20);
    cluster_free(c);
}

static void an_operator_may_say_that_the_disk_is_to_be_trusted(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 2, true);
    cluster_crash(c, 3, true);
    cluster_trust_disk(c, 3);
    cluster_start(c, 3);
    assert_int_equal(left(c, 3), 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_was_killed_serves_at_once),
        cmocka_unit_test(a_clean_stop_is_trusted_though_the_machine_restarted),
        cmocka_unit_test(a_machine_that_went_down_recovers_what_it_acknowledged),
        cmocka_unit_test(a_wiped_node_is_refilled_and_then_serves),
        cmocka_unit_test(a_tail_does_not_come_with_rows_of_which_one_cannot_be_read),
        cmocka_unit_test(a_pending_is_not_brought_into_a_slice_that_is_trusted),
        cmocka_unit_test(a_new_cluster_serves_once_all_replicas_were_heard),
        cmocka_unit_test(a_cluster_of_one_has_nobody_to_ask),
        cmocka_unit_test(when_all_machines_lose_power_what_one_has_all_have),
        cmocka_unit_test(until_both_others_were_read_it_answers_for_nothing),
        cmocka_unit_test(what_is_written_meanwhile_is_kept),
        cmocka_unit_test(a_write_whose_commit_is_under_way_is_waited_for),
        cmocka_unit_test(a_crash_at_any_point_resumes),
        cmocka_unit_test(slices_that_were_recovered_are_not_read_again_after_a_crash),
        cmocka_unit_test(power_lost_again_voids_the_flags),
        cmocka_unit_test(a_stop_while_recovering_is_clean_and_resumes),
        cmocka_unit_test(a_full_disk_delays_recovery_and_loses_nothing),
        cmocka_unit_test(an_operator_may_say_that_the_disk_is_to_be_trusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
