/* batch: conditions, races of coordinators, retries, tallies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/rows_of.h"

static struct row_op put_op(const char *sort_key, const char *value, uint8_t condition,
                            struct bytes seen) {
    return (struct row_op){.kind = ROW_PUT,
                           .condition = condition,
                           .sort_key = bytes_of_string(sort_key),
                           .seen = seen,
                           .value = bytes_of_string(value)};
}

static struct batch_reply reply_of(struct cluster *c, uint64_t ticket) {
    struct batch_reply reply;
    assert_int_equal(batch_reply_decode(cluster_answer(c, ticket).payload, &reply), 0);
    return reply;
}

static void a_conditional_put_passes_once_for_what_was_seen(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes first, second;
    assert_int_equal(do_write(c, &(struct write){.value = "1", .condition = ROW_IF_ABSENT}, &first),
                     0);
    struct write next = {.value = "2", .condition = ROW_IF_MATCH, .seen = first};
    assert_int_equal(do_write(c, &next, &second), 0);
    next.value = "3";
    uint64_t ticket = ask_write(c, &next);
    assert_int_equal(wait_for(c, ticket), ERR_CONFLICT);
    struct batch_reply reply = reply_of(c, ticket);
    struct versions current = {0};
    assert_int_equal(reply.failed_index, 0);
    assert_int_equal(versions_decode(reply.current, &current), 0);
    assert_memory_equal(versions_winner(&current)->value.data, "2", 1);
    versions_release(&current);
    batch_reply_release(&reply);
    next.seen = second;
    assert_int_equal(do_write(c, &next, NULL), 0);
    assert_string_equal(do_get(c, 3, NULL, NULL, 0).value, "3");
    assert_int_equal(do_get(c, 3, NULL, NULL, 0).n_siblings, 1);
    cluster_free(c);
}

static void if_absent_passes_over_a_tombstone_and_leaves_one_sibling(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write create = {.value = "1", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &create, NULL), 0);
    assert_int_equal(do_write(c, &create, NULL), ERR_CONFLICT);
    assert_int_equal(do_write(c, &(struct write){.condition = ROW_OVERWRITE}, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_live, 0);
    create.node = 2;
    assert_int_equal(do_write(c, &create, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, 1);
    cluster_free(c);
}

static void of_two_creators_at_one_coordinator_one_wins(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t a = ask_write(c, &(struct write){.value = "a", .condition = ROW_IF_ABSENT});
    uint64_t b = ask_write(c, &(struct write){.value = "b", .condition = ROW_IF_ABSENT});
    assert_int_equal(wait_for(c, a), 0);
    assert_int_equal(wait_for(c, b), ERR_CONFLICT);
    assert_string_equal(do_get(c, 1, NULL, NULL, 0).value, "a");
    cluster_free(c);
}

/* How many of `n` batches were done; asserts that the others met a conflict. */
static uint32_t n_won(struct cluster *c, const uint64_t *tickets, uint32_t n) {
    uint32_t won = 0;
    for (uint32_t i = 0; i < n; i++) {
        int status = wait_for(c, tickets[i]);
        won += status == 0 ? 1 : 0;
        assert_true(status == 0 || status == ERR_CONFLICT);
    }
    return won;
}

static void of_three_creators_at_three_coordinators_one_wins(void **state) {
    (void)state;
    for (uint32_t skew = 0; skew < 24; skew++) {
        struct cluster *c = cluster_new(3, 3);
        uint64_t tickets[3];
        for (uint16_t i = 0; i < 3; i++) {
            struct write create = {
                .value = "x", .condition = ROW_IF_ABSENT, .node = (uint16_t)(i + 1)};
            tickets[i] = ask_write(c, &create);
            for (uint32_t step = 0; step < skew * i; step++) {
                cluster_deliver_one(c);
                if (step % 2 == 0) {
                    disk_mem_step(cluster_disk(c, (uint16_t)(1 + step / 2 % 3)));
                }
            }
        }
        assert_int_equal(n_won(c, tickets, 3), 1);
        assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 1);
        cluster_free(c);
    }
}

static void a_blind_put_does_not_overtake_a_conditional_one_that_is_out(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write first = {.value = "1", .sort_key = "f", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &first, NULL), 0);
    cluster_hold(c, 0, MESSAGE_PROPOSE | MESSAGE_REPLY);
    uint64_t tickets[2];
    tickets[0] = ask_write(c, &(struct write){.value = "a", .condition = ROW_IF_ABSENT});
    tickets[1] = ask_write(c, &(struct write){.value = "b"});
    cluster_run(c);
    cluster_release(c);
    assert_int_equal(n_won(c, tickets, 2), 2);
    /* Had it overtaken, its later dot would claim to have seen the earlier one. */
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 2);
    cluster_free(c);
}

static void with_a_node_down_two_creators_do_not_both_win(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 3, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    struct write create = {.value = "x", .condition = ROW_IF_ABSENT, .node = 1};
    uint64_t tickets[2] = {ask_write(c, &create), 0};
    create.node = 2;
    tickets[1] = ask_write(c, &create);
    assert_int_equal(n_won(c, tickets, 2), 1);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, 1);
    cluster_free(c);
}

static void a_batch_is_applied_whole_or_not_at_all(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes none = bytes_of(NULL, 0);
    assert_int_equal(do_write(c, &(struct write){.value = "old", .sort_key = "b"}, NULL), 0);
    struct row_op ops[2] = {put_op("a", "1", ROW_ANY, none), put_op("b", "2", ROW_IF_ABSENT, none)};
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), ERR_CONFLICT);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_int_equal(stored_row(c, id, NULL, "a").n_siblings, 0);
    }
    ops[1].condition = ROW_OVERWRITE;
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), 0);
    assert_string_equal(do_get(c, 2, NULL, "a", 0).value, "1");
    assert_string_equal(do_get(c, 2, NULL, "b", 0).value, "2");
    cluster_free(c);
}

static void a_guard_checks_without_writing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes header;
    assert_int_equal(do_write(c, &(struct write){.value = "live", .sort_key = "h"}, &header), 0);
    struct row_op ops[2] = {put_op("e", "entry", ROW_IF_ABSENT, bytes_of(NULL, 0)),
                            {.kind = ROW_GUARD,
                             .condition = ROW_IF_MATCH,
                             .sort_key = bytes_of_string("h"),
                             .seen = header}};
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), 0);
    struct write dying = {
        .value = "dying", .sort_key = "h", .condition = ROW_IF_MATCH, .seen = header};
    assert_int_equal(do_write(c, &dying, NULL), 0);
    ops[0].sort_key = bytes_of_string("f");
    uint64_t ticket = ask_batch(c, &(struct write){0}, ops, 2);
    assert_int_equal(wait_for(c, ticket), ERR_CONFLICT);
    struct batch_reply reply = reply_of(c, ticket);
    assert_int_equal(reply.failed_index, 1);
    batch_reply_release(&reply);
    assert_int_equal(do_get(c, 1, NULL, "f", 0).n_siblings, 0);
    cluster_free(c);
}

static void creators_under_one_guard_all_win(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes header;
    assert_int_equal(do_write(c, &(struct write){.value = "live", .sort_key = "h"}, &header), 0);
    uint64_t tickets[4];
    const char *names[4] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        struct row_op ops[2] = {put_op(names[i], "x", ROW_IF_ABSENT, bytes_of(NULL, 0)),
                                {.kind = ROW_GUARD,
                                 .condition = ROW_IF_MATCH,
                                 .sort_key = bytes_of_string("h"),
                                 .seen = header}};
        tickets[i] = ask_batch(c, &(struct write){0}, ops, 2);
    }
    assert_int_equal(n_won(c, tickets, 4), 4);
    cluster_free(c);
}

static struct row_op count_guard(uint32_t max) {
    return (struct row_op){.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = max};
}

static void a_count_guard_holds_up_to_its_number_of_live_rows(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "h", .sort_key = "h"}, NULL), 0);
    assert_int_equal(do_write(c, &(struct write){.value = "e", .sort_key = "e"}, NULL), 0);
    struct row_op ops[2] = {put_op("h", "dying", ROW_OVERWRITE, bytes_of(NULL, 0)), count_guard(1)};
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), ERR_CONFLICT);
    assert_int_equal(
        do_write(c, &(struct write){.sort_key = "e", .condition = ROW_OVERWRITE}, NULL), 0);
    assert_int_equal(do_batch(c, &(struct write){0}, ops, 2), 0);
    assert_string_equal(do_get(c, 2, NULL, "h", 0).value, "dying");
    cluster_free(c);
}

static void of_a_creator_and_a_remover_of_the_directory_one_wins(void **state) {
    (void)state;
    for (uint16_t remover = 1; remover <= 3; remover++) {
        struct cluster *c = cluster_new(3, 3);
        struct bytes header;
        assert_int_equal(do_write(c, &(struct write){.value = "live", .sort_key = "h"}, &header),
                         0);
        struct row_op create[2] = {put_op("e", "x", ROW_IF_ABSENT, bytes_of(NULL, 0)),
                                   {.kind = ROW_GUARD,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = bytes_of_string("h"),
                                    .seen = header}};
        struct row_op remove[2] = {put_op("h", "dying", ROW_IF_MATCH, header), count_guard(1)};
        uint64_t tickets[2] = {ask_batch(c, &(struct write){0}, create, 2),
                               ask_batch(c, &(struct write){.node = remover}, remove, 2)};
        assert_int_equal(n_won(c, tickets, 2), 1);
        cluster_free(c);
    }
}

static void the_tally_counts_live_rows_on_every_replica(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = names[i]}, NULL), 0);
    }
    uint64_t changed_ns = do_get(c, 1, NULL, "a", 0).tally.changed_ns;
    assert_int_equal(
        do_write(c, &(struct write){.value = "y", .sort_key = "a", .condition = ROW_OVERWRITE},
                 NULL),
        0);
    assert_true(do_get(c, 1, NULL, "a", 0).tally.changed_ns == changed_ns);
    assert_int_equal(
        do_write(c, &(struct write){.sort_key = "b", .condition = ROW_OVERWRITE}, NULL), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        struct seen_row row = do_get(c, id, NULL, "a", LEVEL_ONE);
        assert_int_equal(row.tally.n_live, 2);
        assert_true(row.tally.changed_ns > changed_ns);
    }
    cluster_free(c);
}

static void rows_of_one_partition_written_at_once_are_all_counted(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t tickets[20];
    for (uint32_t i = 0; i < 20; i++) {
        char name[2] = {(char)('a' + i), 0};
        do_get(c, 1, NULL, name, LEVEL_ALL); /* from now on in memory */
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_pause_disk(c, id, true);
    }
    for (uint32_t i = 0; i < 20; i++) {
        char name[2] = {(char)('a' + i), 0};
        tickets[i] = ask_write(
            c, &(struct write){.value = "x", .sort_key = name, .node = (uint16_t)(1 + i % 3)});
    }
    cluster_run(c);
    assert_true(disk_mem_queued(cluster_disk(c, 1)) >= 7);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_pause_disk(c, id, false);
    }
    assert_int_equal(n_won(c, tickets, 20), 20);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_int_equal(do_get(c, id, NULL, "a", LEVEL_ONE).tally.n_live, 20);
    }
    cluster_free(c);
}

static void a_retry_through_another_coordinator_makes_no_sibling(void **state) {
    (void)state;
    const uint8_t conditions[] = {ROW_ANY, ROW_IF_ABSENT, ROW_OVERWRITE};
    for (size_t i = 0; i < sizeof conditions; i++) {
        struct cluster *c = cluster_new(3, 3);
        struct write write = {.value = "once", .op = 5, .condition = conditions[i]};
        assert_int_equal(do_write(c, &write, NULL), 0);
        for (uint16_t id = 1; id <= 3; id++) {
            write.node = id;
            assert_int_equal(do_write(c, &write, NULL), 0);
        }
        assert_int_equal(do_get(c, 3, NULL, NULL, LEVEL_ALL).n_siblings, 1);
        assert_int_equal(do_get(c, 3, NULL, NULL, 0).tally.n_live, 1);
        cluster_free(c);
    }
}

static void a_retry_at_two_coordinators_at_once_makes_no_sibling(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct write write = {.value = "once", .op = 5, .condition = ROW_IF_ABSENT};
    uint64_t a = ask_write(c, &write);
    write.node = 2;
    uint64_t b = ask_write(c, &write);
    assert_int_equal(wait_for(c, a), 0);
    assert_int_equal(wait_for(c, b), 0);
    assert_int_equal(do_get(c, 3, NULL, NULL, LEVEL_ALL).n_siblings, 1);
    cluster_free(c);
}

static void a_late_retry_does_not_bring_back_what_was_replaced(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes none = bytes_of(NULL, 0);
    struct row_op ops[2] = {put_op("a", "1", ROW_IF_ABSENT, none),
                            put_op("b", "1", ROW_OVERWRITE, none)};
    assert_int_equal(do_batch(c, &(struct write){.op = 9}, ops, 2), 0);
    struct write newer = {.value = "2", .sort_key = "b", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &newer, NULL), 0);
    assert_int_equal(do_batch(c, &(struct write){.op = 9, .node = 2}, ops, 2), 0);
    struct seen_row row = do_get(c, 3, NULL, "b", LEVEL_ALL);
    assert_string_equal(row.value, "2");
    assert_int_equal(row.n_siblings, 1);
    cluster_free(c);
}

static void a_retry_passes_guards_that_its_first_try_passed(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct row_op ops[2] = {put_op("a", "1", ROW_IF_ABSENT, bytes_of(NULL, 0)), count_guard(0)};
    assert_int_equal(do_batch(c, &(struct write){.op = 9}, ops, 2), 0);
    assert_int_equal(do_batch(c, &(struct write){.op = 9, .node = 3}, ops, 2), 0);
    assert_int_equal(do_batch(c, &(struct write){.op = 10, .node = 3}, ops, 2), ERR_CONFLICT);
    cluster_free(c);
}

static void a_coordinator_that_was_away_does_not_say_no_from_memory(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes first, second;
    assert_int_equal(do_write(c, &(struct write){.value = "1"}, &first), 0);
    cluster_stop(c, 1);
    struct write next = {.value = "2", .node = 2, .condition = ROW_IF_MATCH, .seen = first};
    assert_int_equal(do_write(c, &next, &second), 0);
    struct write gone = {.node = 2, .condition = ROW_IF_MATCH, .seen = second};
    assert_int_equal(do_write(c, &gone, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    /* Node 1 still has "1"; the others have a tombstone. */
    struct write create = {.value = "3", .node = 1, .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &create, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 1);
    cluster_free(c);
}

static void a_coordinator_that_was_away_does_not_overwrite(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes first;
    assert_int_equal(do_write(c, &(struct write){.value = "1"}, &first), 0);
    cluster_crash(c, 1, false);
    struct write next = {.value = "2", .node = 2, .condition = ROW_IF_MATCH, .seen = first};
    assert_int_equal(do_write(c, &next, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    next.node = 1;
    next.value = "lost";
    uint64_t ticket = ask_write(c, &next);
    assert_int_equal(wait_for(c, ticket), ERR_CONFLICT);
    struct batch_reply reply = reply_of(c, ticket);
    struct versions current = {0};
    assert_int_equal(versions_decode(reply.current, &current), 0);
    assert_memory_equal(versions_winner(&current)->value.data, "2", 1);
    versions_release(&current);
    batch_reply_release(&reply);
    cluster_advance(c, 10);
    struct seen_row row = stored_row(c, 1, NULL, NULL);
    assert_string_equal(row.value, "2");
    assert_int_equal(row.n_siblings, 1);
    cluster_free(c);
}

static void too_many_siblings_are_refused_and_can_be_merged_away(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    for (int i = 1; i <= VERSIONS_SIBLINGS_MAX; i++) {
        assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), 0);
        int n_warned = i < VERSIONS_SIBLINGS_WARN ? 0 : i + 1 - VERSIONS_SIBLINGS_WARN;
        assert_int_equal(cluster_stat(c, 1, "many_siblings"), n_warned);
    }
    assert_int_equal(cluster_lines(c, "concurrent versions"), 1);
    assert_int_equal(do_write(c, &(struct write){.value = "x"}, NULL), ERR_SIBLINGS);
    struct bytes all = do_get(c, 1, NULL, NULL, 0).context;
    assert_int_equal(do_write(c, &(struct write){.value = "x", .seen = all}, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, 1);
    cluster_free(c);
}

static void a_conditional_batch_that_some_may_have_applied_is_unknown_and_kept(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_hold(c, 0, MESSAGE_PROPOSE);
    struct write create = {.value = "x", .condition = ROW_IF_ABSENT, .op = 3};
    uint64_t ticket = ask_write(c, &create);
    cluster_advance(c, NODE_REPLICA_TIMEOUT_MS + 5);
    assert_int_equal(cluster_answer(c, ticket).status, ERR_UNKNOWN);
    assert_int_equal(stored_row(c, 1, NULL, NULL).n_live, 0);
    cluster_release(c);
    cluster_advance(c, 5);
    assert_int_equal(do_write(c, &create, NULL), 0);
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ALL).n_siblings, 1);
    cluster_free(c);
}

static void every_request_is_answered_once_by_its_deadline(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_pause_disk(c, id, true);
    }
    uint64_t tickets[6];
    for (uint32_t i = 0; i < 6; i++) {
        struct write write = {
            .value = "x", .budget_ms = 100, .condition = i % 2 == 0 ? ROW_ANY : ROW_IF_ABSENT};
        tickets[i] = ask_write(c, &write);
    }
    cluster_advance(c, 102);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(cluster_answer(c, tickets[i]).n, 1);
        assert_int_not_equal(cluster_answer(c, tickets[i]).status, 0);
    }
    for (uint16_t id = 1; id <= 3; id++) {
        cluster_pause_disk(c, id, false);
    }
    cluster_advance(c, 1000);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(cluster_answer(c, tickets[i]).n, 1);
    }
    assert_int_equal(cluster_stat(c, 1, "requests_in_flight"), 0);
    assert_int_equal(cluster_stat(c, 1, "bytes_in_flight"), 0);
    cluster_free(c);
}

static void more_requests_than_the_limit_are_told_busy(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 1, true);
    uint64_t last = 0;
    for (uint32_t i = 0; i <= NODE_REQUESTS_MAX; i++) {
        struct message get = {.type = MESSAGE_GET,
                              .flags = LEVEL_ONE,
                              .budget_ms = 1000,
                              .key = bytes_of_string("p"),
                              .payload = bytes_of(&i, 4)};
        last = cluster_ask(c, 1, &get);
    }
    cluster_run(c);
    assert_true(cluster_answer(c, last).got);
    assert_int_equal(cluster_answer(c, last).status, ERR_BUSY);
    assert_false(cluster_answer(c, last - 1).got);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conditional_put_passes_once_for_what_was_seen),
        cmocka_unit_test(if_absent_passes_over_a_tombstone_and_leaves_one_sibling),
        cmocka_unit_test(of_two_creators_at_one_coordinator_one_wins),
        cmocka_unit_test(of_three_creators_at_three_coordinators_one_wins),
        cmocka_unit_test(a_blind_put_does_not_overtake_a_conditional_one_that_is_out),
        cmocka_unit_test(with_a_node_down_two_creators_do_not_both_win),
        cmocka_unit_test(a_batch_is_applied_whole_or_not_at_all),
        cmocka_unit_test(a_guard_checks_without_writing),
        cmocka_unit_test(creators_under_one_guard_all_win),
        cmocka_unit_test(a_count_guard_holds_up_to_its_number_of_live_rows),
        cmocka_unit_test(of_a_creator_and_a_remover_of_the_directory_one_wins),
        cmocka_unit_test(the_tally_counts_live_rows_on_every_replica),
        cmocka_unit_test(rows_of_one_partition_written_at_once_are_all_counted),
        cmocka_unit_test(a_retry_through_another_coordinator_makes_no_sibling),
        cmocka_unit_test(a_retry_at_two_coordinators_at_once_makes_no_sibling),
        cmocka_unit_test(a_late_retry_does_not_bring_back_what_was_replaced),
        cmocka_unit_test(a_retry_passes_guards_that_its_first_try_passed),
        cmocka_unit_test(a_coordinator_that_was_away_does_not_say_no_from_memory),
        cmocka_unit_test(a_coordinator_that_was_away_does_not_overwrite),
        cmocka_unit_test(too_many_siblings_are_refused_and_can_be_merged_away),
        cmocka_unit_test(a_conditional_batch_that_some_may_have_applied_is_unknown_and_kept),
        cmocka_unit_test(every_request_is_answered_once_by_its_deadline),
        cmocka_unit_test(more_requests_than_the_limit_are_told_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
