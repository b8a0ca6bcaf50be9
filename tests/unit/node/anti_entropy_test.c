/* anti_entropy: replicas come to agree though nobody reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/rowkey.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

enum { ROUND_MS = 3000, CONVERGE_MS = 20 * 1000 };

static bool sums_agree(struct cluster *c) {
    const struct ring *ring = cluster_ring(c);
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        struct slice_sum first, other;
        for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
            struct node *node = cluster_node(c, ring->members[list[i]].id);
            if (node == NULL || !node_slice_sum(node, slice, i == 0 ? &first : &other) ||
                (i > 0 && (other.sum != first.sum || other.n_rows != first.n_rows))) {
                return false;
            }
        }
    }
    return true;
}

static void converge(struct cluster *c) {
    for (int ms = 0; ms < CONVERGE_MS && !sums_agree(c); ms += 50) {
        cluster_advance(c, 50);
    }
    assert_true(sums_agree(c));
}

static void write_rows(struct cluster *c, uint16_t node, uint32_t from, uint32_t to,
                       const char *value) {
    for (uint32_t i = from; i < to; i++) {
        char key[16], sort_key[16];
        snprintf(key, sizeof key, "p%u", i % 7);
        snprintf(sort_key, sizeof sort_key, "%06u", i);
        struct write write = {.node = node,
                              .key = key,
                              .sort_key = sort_key,
                              .value = value,
                              .condition = ROW_OVERWRITE};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
}

static void write_rows_missed_by_2(struct cluster *c, uint32_t from, uint32_t to) {
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    write_rows(c, 1, from, to, "missed by one");
    cluster_release(c);
}

static void rows_that_a_replica_missed_come_to_it_without_a_read(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows(c, 1, 0, 5, "before");
    cluster_crash(c, 3, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    write_rows(c, 1, 3, 40, "after");
    assert_int_equal(
        do_write(c, &(struct write){.key = "p0", .sort_key = "000000", .condition = ROW_OVERWRITE},
                 NULL),
        0);
    cluster_start(c, 3);
    converge(c);
    for (uint32_t i = 1; i < 40; i++) {
        char key[16], sort_key[16];
        snprintf(key, sizeof key, "p%u", i % 7);
        snprintf(sort_key, sizeof sort_key, "%06u", i);
        assert_string_equal(stored_row(c, 3, key, sort_key).value, i < 3 ? "before" : "after");
    }
    assert_int_equal(stored_row(c, 3, "p0", "000000").n_live, 0);
    assert_int_equal(stored_row(c, 3, "p0", "000000").n_siblings, 1);
    cluster_free(c);
}

/* Each of three replicas misses some of what the others have. */
static void rows_travel_both_ways(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_lose(c, id, MESSAGE_REPLICATE);
        write_rows(c, id == 1 ? 2 : 1, id * 100u, id * 100u + 20, "one missed this");
        cluster_release(c);
    }
    assert_false(sums_agree(c));
    converge(c);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_string_equal(stored_row(c, id, "p2", "000100").value, "one missed this");
        assert_string_equal(stored_row(c, id, "p4", "000200").value, "one missed this");
        assert_string_equal(stored_row(c, id, "p6", "000300").value, "one missed this");
    }
    cluster_free(c);
}

static void both_siblings_of_a_row_written_apart_are_everywhere(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    assert_int_equal(do_write(c, &(struct write){.node = 1, .value = "one"}, NULL), 0);
    cluster_release(c);
    cluster_lose(c, 1, MESSAGE_REPLICATE);
    assert_int_equal(do_write(c, &(struct write){.node = 2, .value = "two"}, NULL), 0);
    cluster_release(c);
    converge(c);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_int_equal(stored_row(c, id, "p", "").n_siblings, 2);
    }
    cluster_free(c);
}

static void replicas_that_agree_exchange_sums_only(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows(c, 1, 0, 50, "everywhere");
    cluster_advance(c, 10 * ROUND_MS);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_true(cluster_stat(c, id, "trees") >= 10);
        assert_int_equal(cluster_stat(c, id, "leaves"), 0);
        assert_true(cluster_stat(c, id, "repair_rounds_full") >= 5);
        assert_true(cluster_stat(c, id, "repair_clean_ms_ago") <= 2 * ROUND_MS);
    }
    cluster_free(c);
}

static void only_rows_that_differ_are_sent(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows(c, 1, 0, 700, "everywhere");
    write_rows_missed_by_2(c, 42, 43);
    uint64_t applied = cluster_stat(c, 2, "rows_applied");
    converge(c);
    assert_int_equal(cluster_stat(c, 2, "rows_applied") - applied, 1);
    assert_string_equal(stored_row(c, 2, "p0", "000042").value, "missed by one");
    cluster_free(c);
}

static void what_is_pending_is_not_brought(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    struct bytes seen;
    cluster_lose(c, 3, MESSAGE_REPLICATE);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    cluster_lose(c, 3, MESSAGE_REPAIR); /* node 3 has to ask for it */
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    assert_int_equal(do_write(c, &(struct write){.value = "chosen"}, &seen), 0);
    struct write next = {.value = "pending", .condition = ROW_IF_MATCH, .seen = seen};
    assert_int_equal(do_write(c, &next, NULL), 0);
    cluster_crash(c, 1, false);
    cluster_lose(c, 0, MESSAGE_PREPARE); /* nobody brings it to an end */
    cluster_advance(c, 3 * ROUND_MS);
    assert_string_equal(do_get(c, 2, NULL, NULL, MESSAGE_OWN).value, "pending");
    assert_string_equal(stored_row(c, 2, NULL, NULL).value, "chosen");
    assert_string_equal(stored_row(c, 3, NULL, NULL).value, "chosen");
    cluster_free(c);
}

static void a_row_that_rotted_is_brought_back_after_a_restart(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    struct buffer key = {0};
    write_rows(c, 1, 0, 10, "sound");
    uint16_t slice = ring_slice(cluster_ring(c), bytes_of_string("p3"));
    rowkey_put_row(&key, slice, bytes_of_string("p3"), bytes_of_string("000003"));
    cluster_crash(c, 2, false);
    assert_true(disk_mem_corrupt(cluster_disk(c, 2), buffer_bytes(&key)));
    assert_int_equal(stored_row(c, 2, "p3", "000003").status, ERR_CORRUPT);
    cluster_start(c, 2);
    converge(c);
    assert_string_equal(stored_row(c, 2, "p3", "000003").value, "sound");
    buffer_release(&key);
    cluster_free(c);
}

/* The row that is written unless something else is said, on the disk of node 1, which is down. */
static void rot_row_of_1(struct cluster *c) {
    struct buffer key = {0};
    struct bytes p = bytes_of_string("p");
    rowkey_put_row(&key, ring_slice(cluster_ring(c), p), p, bytes_of(NULL, 0));
    assert_true(disk_mem_corrupt(cluster_disk(c, 1), buffer_bytes(&key)));
    buffer_release(&key);
}

static void a_row_that_rotted_is_not_made_of_one_copy(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    struct write write = {.value = "old", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    write.value = "new";
    assert_int_equal(do_write(c, &write, NULL), 0);
    cluster_run(c);
    cluster_stop(c, 1);
    cluster_crash(c, 3, false);
    cluster_release(c);
    rot_row_of_1(c);
    cluster_start(c, 1);
    cluster_advance(c, 5 * ROUND_MS);
    assert_int_equal(stored_row(c, 1, NULL, NULL).status, ERR_CORRUPT); /* 2 has the old one */
    cluster_start(c, 3);
    converge(c);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "new");
    cluster_free(c);
}

/* Two are lost at once, and more than one copy cannot be had: waiting would be for ever. */
static void a_row_that_rotted_is_made_of_what_is_left_while_the_others_recover(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    struct write write = {.value = "x", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
    cluster_advance(c, 10);
    cluster_stop(c, 1);
    cluster_crash(c, 3, false);
    cluster_wipe(c, 3);
    rot_row_of_1(c);
    cluster_start(c, 1);
    cluster_start(c, 3);
    cluster_advance(c, 5 * ROUND_MS);
    converge(c);
    assert_string_equal(stored_row(c, 1, NULL, NULL).value, "x");
    assert_string_equal(stored_row(c, 3, NULL, NULL).value, "x");
    cluster_free(c);
}

static void a_silent_member_leaves_the_round_unfinished_and_the_others_agree(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows_missed_by_2(c, 0, 30);
    cluster_crash(c, 3, false);
    uint64_t full = cluster_stat(c, 1, "repair_rounds_full");
    cluster_advance(c, 5 * ROUND_MS);
    assert_int_equal(cluster_stat(c, 1, "repair_rounds_full"), full);
    assert_string_equal(stored_row(c, 2, "p0", "000000").value, "missed by one");
    cluster_start(c, 3);
    converge(c);
    cluster_free(c);
}

static void lost_answers_only_delay(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows_missed_by_2(c, 0, 100);
    cluster_lose(c, 0, MESSAGE_REPAIR | MESSAGE_REPLY);
    cluster_lose(c, 0, MESSAGE_READ | MESSAGE_REPLY);
    cluster_advance(c, 2 * ROUND_MS);
    cluster_release(c);
    cluster_lose(c, 0, MESSAGE_LEAF | MESSAGE_REPLY);
    cluster_advance(c, ROUND_MS);
    cluster_release(c);
    converge(c);
    cluster_advance(c, 10 * ROUND_MS);
    assert_int_equal(cluster_stat(c, 1, "repair_round_failed"), 0);
    cluster_free(c);
}

static void a_node_that_stops_or_dies_amid_mending_leaves_nothing_behind(void **state) {
    (void)state;
    for (int ms = 0; ms < 60; ms++) {
        struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
        write_rows_missed_by_2(c, 0, 20);
        cluster_hold(c, 0, ms % 2 == 0 ? MESSAGE_REPAIR : MESSAGE_LEAF);
        cluster_advance(c, 1800 + 11 * ms);
        if (ms % 3 == 0) {
            cluster_stop(c, 2);
        } else {
            cluster_crash(c, 2, false);
        }
        cluster_release(c);
        cluster_start(c, 2);
        converge(c);
        cluster_free(c);
    }
}

static uint64_t control_value(struct cluster_answer answer, const char *name) {
    struct stat_row rows[STATS_MAX];
    uint32_t n;
    assert_int_equal(answer.status, 0);
    assert_int_equal(stats_decode(answer.payload, rows, &n), 0);
    for (uint32_t i = 0; i < n; i++) {
        if (bytes_equal(rows[i].name, bytes_of_string(name))) {
            return rows[i].value;
        }
    }
    fail_msg("no value %s", name);
    return 0;
}

static struct cluster_answer control(struct cluster *c, uint16_t node,
                                     const struct repair_request *request) {
    struct buffer payload = {0};
    repair_request_encode(request, &payload);
    struct message message = {
        .type = MESSAGE_REPAIR_CONTROL, .payload = buffer_bytes(&payload), .budget_ms = 1000};
    struct cluster_answer answer = cluster_call(c, node, &message);
    buffer_release(&payload);
    return answer;
}

static void a_round_that_is_ordered_begins_at_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, 1000 * 1000);
    cluster_advance(c, 5000); /* the round after the start */
    write_rows_missed_by_2(c, 0, 30);
    cluster_advance(c, 5000);
    assert_false(sums_agree(c));
    uint64_t round = control_value(control(c, 1, &(struct repair_request){.order = REPAIR_ALL}),
                                   "repair_order_round");
    cluster_advance(c, 3000);
    assert_true(sums_agree(c));
    struct cluster_answer answer = control(c, 1, &(struct repair_request){0});
    assert_true(control_value(answer, "repair_rounds_ended") >= round);
    assert_int_equal(control_value(answer, "repair_rows_mended"), 30);
    cluster_free(c);
}

static void an_order_for_some_slices_mends_these_only(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, 1000 * 1000);
    cluster_advance(c, 5000); /* the round after the start */
    write_rows_missed_by_2(c, 0, 30);
    uint64_t full = cluster_stat(c, 1, "repair_rounds_full");
    struct repair_request request = {.order = REPAIR_SLICES, .n_slices = 1};
    request.slices[0] = ring_slice(cluster_ring(c), bytes_of_string("p3"));
    control(c, 1, &request);
    cluster_advance(c, 3000);
    assert_string_equal(stored_row(c, 2, "p3", "000003").value, "missed by one");
    assert_int_equal(stored_row(c, 2, "p4", "000004").n_siblings, 0);
    assert_int_equal(cluster_stat(c, 1, "repair_rounds_full"), full);
    assert_true(cluster_stat(c, 1, "repair_rounds_ended") > full);
    cluster_free(c);
}

static void leaves_list_every_row_in_pages(void **state) {
    (void)state;
    struct cluster *c = cluster_new_repairing(3, 3, ROUND_MS);
    write_rows(c, 1, 0, 70, "listed");
    uint16_t slice = ring_slice(cluster_ring(c), bytes_of_string("p0"));
    struct buffer after = {0}, payload = {0};
    uint32_t n_rows = 0;
    bool more = true;
    while (more) {
        struct leaf_request request = {
            .slice = slice, .rows_max = 3, .after = buffer_bytes(&after)};
        buffer_clear(&payload);
        leaf_request_encode(&request, &payload);
        struct message message = {
            .type = MESSAGE_LEAF, .payload = buffer_bytes(&payload), .budget_ms = 1000};
        struct cluster_answer answer = cluster_call(c, 2, &message);
        struct leaf leaf;
        assert_int_equal(answer.status, 0);
        assert_int_equal(leaf_decode(answer.payload, &leaf), 0);
        n_rows += leaf.n_rows;
        more = leaf.more;
        buffer_clear(&after);
        buffer_put_bytes(&after, leaf.cursor);
    }
    struct slice_sum sum;
    assert_true(node_slice_sum(cluster_node(c, 2), slice, &sum));
    assert_true(n_rows >= 10);
    assert_int_equal(n_rows, sum.n_rows);
    buffer_release(&after);
    buffer_release(&payload);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_a_replica_missed_come_to_it_without_a_read),
        cmocka_unit_test(rows_travel_both_ways),
        cmocka_unit_test(both_siblings_of_a_row_written_apart_are_everywhere),
        cmocka_unit_test(replicas_that_agree_exchange_sums_only),
        cmocka_unit_test(only_rows_that_differ_are_sent),
        cmocka_unit_test(what_is_pending_is_not_brought),
        cmocka_unit_test(a_row_that_rotted_is_brought_back_after_a_restart),
        cmocka_unit_test(a_row_that_rotted_is_not_made_of_one_copy),
        cmocka_unit_test(a_row_that_rotted_is_made_of_what_is_left_while_the_others_recover),
        cmocka_unit_test(a_silent_member_leaves_the_round_unfinished_and_the_others_agree),
        cmocka_unit_test(lost_answers_only_delay),
        cmocka_unit_test(a_node_that_stops_or_dies_amid_mending_leaves_nothing_behind),
        cmocka_unit_test(a_round_that_is_ordered_begins_at_once),
        cmocka_unit_test(an_order_for_some_slices_mends_these_only),
        cmocka_unit_test(leaves_list_every_row_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
