/* retry: what becomes of a batch whose first try was cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/core/inside.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

static struct row_op put_op(const char *sort_key, const char *value, uint8_t condition) {
    return (struct row_op){.kind = ROW_PUT,
                           .condition = condition,
                           .sort_key = bytes_of_string(sort_key),
                           .value = bytes_of_string(value)};
}

static void a_node_that_is_freed_with_batches_in_line_asks_its_disk_for_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 1, true);
    struct row_op ops[2] = {put_op("a", "1", ROW_OVERWRITE), put_op("b", "2", ROW_OVERWRITE)};
    ask_batch(c, &(struct write){.node = 1}, ops, 1);
    ask_batch(c, &(struct write){.node = 1}, ops, 2); /* waits for the first, b is not loaded */
    cluster_run(c);
    cluster_crash(c, 1, false);
    assert_int_equal(disk_mem_pending(cluster_disk(c, 1)), 0);
    cluster_free(c);
}

/* The first try of a batch of rows a and b gets to node 1 only, which dies when node 2 has learnt
 * row a from it by repair; node 2 then takes the retry. Returns row a as that repair showed it. */
static struct seen_row retry_after_half_a_repair(struct cluster *c, struct write *write,
                                                 const struct row_op *ops) {
    write->node = 1;
    write->op = 7;
    cluster_lose(c, 0, MESSAGE_REPLICATE);
    assert_int_equal(do_batch(c, write, ops, 2), ERR_UNKNOWN);
    cluster_release(c);
    struct seen_row row = do_get(c, 2, NULL, "a", LEVEL_ALL);
    cluster_run(c);
    cluster_crash(c, 1, false);
    write->node = 2;
    assert_int_equal(do_batch(c, write, ops, 2), 0);
    return row;
}

/* Node 2 learnt one row of the batch by repair; the retry must not take the other for replaced. */
static void a_retry_writes_the_rows_that_repair_has_not_brought(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write first = {0};
    struct row_op ops[2] = {put_op("a", "new a", ROW_OVERWRITE),
                            put_op("b", "new b", ROW_OVERWRITE)};
    assert_int_equal(do_write(c, &(struct write){.value = "old", .sort_key = "b"}, NULL), 0);
    assert_string_equal(retry_after_half_a_repair(c, &first, ops).value, "new a");
    struct seen_row row = do_get(c, 3, NULL, "b", 0);
    assert_string_equal(row.value, "new b");
    assert_int_equal(row.n_siblings, 1);
    cluster_start(c, 1);
    cluster_advance(c, 100);
    assert_int_equal(do_get(c, 1, NULL, "b", LEVEL_ALL).n_siblings, 1);
    cluster_free(c);
}

/* The row that repair has not brought is written under a dot of the coordinator's own: the
 * first try's would claim earlier writes of the first coordinator, which this one has not seen.
 */
static void a_retry_does_not_swallow_what_its_coordinator_never_got(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write first = {0};
    struct row_op ops[2] = {put_op("a", "new a", ROW_ANY), put_op("b", "new b", ROW_ANY)};
    /* A write of the second coordinator's, earlier than any dot of its retry. */
    struct write beside = {.value = "beside", .sort_key = "a", .node = 2};
    assert_int_equal(do_write(c, &beside, NULL), 0);
    cluster_lose(c, 2, MESSAGE_REPLICATE);
    assert_int_equal(do_write(c, &(struct write){.value = "blind", .sort_key = "b"}, NULL), 0);
    assert_int_equal(retry_after_half_a_repair(c, &first, ops).n_siblings, 2);
    assert_int_equal(do_get(c, 2, NULL, "b", 0).n_siblings, 2);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_int_equal(do_get(c, 1, NULL, "b", LEVEL_ALL).n_siblings, 2);
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ALL).n_siblings, 2);
    cluster_free(c);
}

/* And once more through a third: the rows still tell of each other. */
static void a_second_retry_leaves_alone_what_was_replaced_after_the_first(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {0};
    struct row_op ops[2] = {put_op("a", "new a", ROW_ANY), put_op("b", "new b", ROW_ANY)};
    assert_string_equal(retry_after_half_a_repair(c, &write, ops).value, "new a");
    struct write newer = {.value = "newer", .sort_key = "b", .node = 2, .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &newer, NULL), 0);
    write.node = 3;
    assert_int_equal(do_batch(c, &write, ops, 2), 0);
    struct seen_row row = do_get(c, 3, NULL, "b", 0);
    assert_string_equal(row.value, "newer");
    assert_int_equal(row.n_siblings, 1);
    cluster_free(c);
}

/* ---- late overwrites ---- */

/* A stamp of now: of the last write that changed the number of live rows of a partition. */
static uint64_t clock_of(struct cluster *c) {
    struct write write = {.key = "clock", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
    write.value = "x";
    assert_int_equal(do_write(c, &write, NULL), 0);
    return do_get(c, 1, "clock", "", 0).tally.changed_ns;
}

/* Node 1 gets the first try when the client has long been told, by node 2, that it is done. */
static void a_late_first_try_replaces_nothing_that_was_written_since(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t sent_ns = clock_of(c);
    cluster_advance(c, 100);
    struct write since = {.node = 2, .value = "since", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &since, NULL), 0);
    struct write late = {.op = 7, .value = "late", .condition = ROW_OVERWRITE, .stamp_ns = sent_ns};
    assert_int_equal(do_write(c, &late, NULL), ERR_BUSY);
    assert_int_equal(cluster_stat(c, 1, "late_overwrites"), 1);
    struct seen_row row = do_get(c, 3, NULL, "", LEVEL_ALL);
    assert_string_equal(row.value, "since");
    assert_int_equal(row.n_siblings, 1);
    /* Who was merely slow asks again, its clock having learnt from the answer. */
    cluster_advance(c, 50);
    late.stamp_ns = clock_of(c);
    assert_int_equal(do_write(c, &late, NULL), 0);
    assert_string_equal(do_get(c, 3, NULL, "", LEVEL_ALL).value, "late");
    cluster_free(c);
}

static void a_late_retry_stands_beside_and_behind_what_was_written_since(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write older = {.value = "older", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &older, NULL), 0);
    cluster_advance(c, 100);
    uint64_t sent_ns = clock_of(c);
    cluster_advance(c, 100);
    assert_int_equal(do_write(c, &(struct write){.node = 2, .value = "since"}, NULL), 0);
    struct write retry = {.op = 7,
                          .value = "retry",
                          .condition = ROW_OVERWRITE,
                          .flags = MESSAGE_RETRY,
                          .stamp_ns = sent_ns};
    assert_int_equal(do_write(c, &retry, NULL), 0);
    struct seen_row row = do_get(c, 3, NULL, "", LEVEL_ALL);
    assert_string_equal(row.value, "since");
    assert_int_equal(row.n_siblings, 2); /* "older" was replaced all the same */
    cluster_free(c);
}

/* A node that hung for minutes finds in its buffers what clients have long given up. */
static void a_write_that_its_client_has_given_up_is_dropped(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.value = "x", .budget_ms = 500, .age_ms = 200};
    write.stamp_ns = clock_of(c);
    cluster_advance(c, 200 + 500 + NODE_OVERDUE_MS - 50);
    assert_int_equal(do_write(c, &write, NULL), 0);
    write.value = "late";
    write.op = 7;
    cluster_advance(c, 100);
    assert_int_equal(do_write(c, &write, NULL), ERR_BUSY);
    assert_int_equal(cluster_stat(c, 1, "late"), 1);
    assert_string_equal(do_get(c, 2, NULL, "", LEVEL_ALL).value, "x");
    cluster_free(c);
}

/* As many as a partition remembers, all of one row, of which the last one deletes it. */
static void write_sixteen_others(struct cluster *c, const char *sort_key, struct bytes seen) {
    for (uint32_t i = 0; i < 16; i++) {
        struct write other = {.sort_key = sort_key,
                              .value = i < 15 ? "x" : NULL,
                              .condition = ROW_IF_MATCH,
                              .seen = seen,
                              .op = 100 + i};
        assert_int_equal(do_write(c, &other, &seen), 0);
    }
}

/* The first try waited in the buffers of a node that hung. The clocks of the others are behind that
 * of the node whose time its client had heard. */
static void a_first_try_is_late_where_its_retry_came_from_a_node_that_passed_it_on(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t ahead_ns = clock_of(c) + (uint64_t)10 * 1000 * 1000 * 1000;
    struct write before = {.sort_key = "a", .condition = ROW_IF_ABSENT, .value = "before"};
    assert_int_equal(do_write(c, &before, NULL), 0); /* node 1 is the steward */
    struct write tried = {.node = 2,
                          .op = 7,
                          .sort_key = "b",
                          .value = "mine",
                          .condition = ROW_IF_ABSENT,
                          .flags = MESSAGE_RETRY,
                          .stamp_ns = ahead_ns,
                          .age_ms = 1000};
    struct bytes seen;
    assert_int_equal(do_write(c, &tried, &seen), 0);
    write_sixteen_others(c, "b", seen);
    tried.flags = 0;
    tried.age_ms = 0;
    assert_int_equal(do_write(c, &tried, NULL), ERR_UNKNOWN);
    assert_int_equal(do_get(c, 1, NULL, "b", 0).n_live, 0);
    cluster_free(c);
}

static void a_retry_that_is_passed_on_is_as_patient_as_its_client(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.sort_key = "a", .value = "x", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &write, NULL), 0);
    uint64_t sent_ns = clock_of(c);
    cluster_advance(c, 5000);
    write = (struct write){.node = 2,
                           .sort_key = "b",
                           .value = "x",
                           .condition = ROW_IF_ABSENT,
                           .flags = MESSAGE_RETRY,
                           .stamp_ns = sent_ns,
                           .age_ms = 5000,
                           .budget_ms = 1000};
    assert_int_equal(do_write(c, &write, NULL), 0);
    assert_int_equal(cluster_stat(c, 1, "late"), 0);
    cluster_free(c);
}

/* Replaced by another's write, of which the retry's coordinator has heard. */
static void a_retry_of_what_was_replaced_writes_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.op = 7, .value = "mine", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
    struct write other = {.node = 2, .value = "theirs", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &other, NULL), 0);
    write.node = 3;
    assert_int_equal(do_write(c, &write, NULL), 0);
    struct seen_row row = do_get(c, 1, NULL, "", LEVEL_ALL);
    assert_string_equal(row.value, "theirs");
    assert_int_equal(row.n_siblings, 1);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_is_freed_with_batches_in_line_asks_its_disk_for_nothing),
        cmocka_unit_test(a_retry_writes_the_rows_that_repair_has_not_brought),
        cmocka_unit_test(a_retry_does_not_swallow_what_its_coordinator_never_got),
        cmocka_unit_test(a_late_first_try_replaces_nothing_that_was_written_since),
        cmocka_unit_test(a_late_retry_stands_beside_and_behind_what_was_written_since),
        cmocka_unit_test(a_write_that_its_client_has_given_up_is_dropped),
        cmocka_unit_test(a_first_try_is_late_where_its_retry_came_from_a_node_that_passed_it_on),
        cmocka_unit_test(a_retry_that_is_passed_on_is_as_patient_as_its_client),
        cmocka_unit_test(a_retry_of_what_was_replaced_writes_nothing),
        cmocka_unit_test(a_second_retry_leaves_alone_what_was_replaced_after_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
