/* strict: conditional batches through the steward: messages, takeovers, replicas that fall behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/core/chain.h"
#include "shared/err.h"
#include "shared/shortfall.h"
#include "tests/lib/rows_of.h"

static struct write create_of(const char *sort_key) {
    return (struct write){.sort_key = sort_key, .value = sort_key, .condition = ROW_IF_ABSENT};
}

static int create(struct cluster *c, const char *sort_key) {
    struct write write = create_of(sort_key);
    return do_write(c, &write, NULL);
}

/* Row a is acknowledged and its steward dead; node 2 has it pending, node 3 never heard of it. */
static void create_and_lose_steward(struct cluster *c) {
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    assert_int_equal(create(c, "a"), 0);
    cluster_crash(c, 1, false);
}

static void in_the_steady_state_a_batch_is_one_message_to_each_other_replica(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "first"), 0);
    cluster_run(c);
    uint64_t second = cluster_stat(c, 2, "messages");
    uint64_t third = cluster_stat(c, 3, "messages");
    uint64_t first = cluster_stat(c, 1, "messages");
    struct write write = create_of("next");
    uint64_t ticket = ask_write(c, &write);
    cluster_run(c);
    assert_true(cluster_answer(c, ticket).got);
    assert_int_equal(cluster_stat(c, 2, "messages") - second, 1);
    assert_int_equal(cluster_stat(c, 3, "messages") - third, 1);
    assert_int_equal(cluster_stat(c, 1, "messages") - first, 3); /* the client's, two answers */
    assert_int_equal(cluster_stat(c, 1, "campaigns"), 1);
    assert_int_equal(cluster_stat(c, 1, "touches"), 1);
    cluster_free(c);
}

static void replicas_hear_that_a_batch_was_chosen_a_little_later(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "a"), 0);
    assert_int_equal(stored_row(c, 1, NULL, "a").n_live, 1);
    assert_int_equal(stored_row(c, 2, NULL, "a").n_live, 0);
    cluster_advance(c, 10);
    assert_int_equal(stored_row(c, 2, NULL, "a").n_live, 1);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 1);
    cluster_free(c);
}

static void what_is_pending_is_read_and_repairs_nobody(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    create_and_lose_steward(c);
    assert_string_equal(do_get(c, 2, NULL, "a", MESSAGE_OWN).value, "a");
    assert_string_equal(do_get(c, 2, NULL, "a", 0).value, "a");
    cluster_run(c);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_siblings, 0);
    cluster_free(c);
}

static void a_takeover_completes_what_was_acknowledged(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    create_and_lose_steward(c);
    cluster_release(c);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    struct write again = create_of("a");
    again.node = 3;
    assert_int_equal(do_write(c, &again, NULL), ERR_CONFLICT);
    assert_int_equal(cluster_stat(c, 3, "takeovers"), 1);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 1);
    cluster_free(c);
}

static void a_steward_that_dies_before_anybody_heard_leaves_nothing(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "first"), 0);
    cluster_lose(c, 0, MESSAGE_PROPOSE);
    struct write lost = create_of("a");
    ask_write(c, &lost);
    cluster_run(c);
    cluster_crash(c, 1, false);
    cluster_release(c);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    lost.node = 2;
    lost.value = "other";
    assert_int_equal(do_write(c, &lost, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 500);
    assert_string_equal(do_get(c, 1, NULL, "a", LEVEL_ALL).value, "other");
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ALL).n_siblings, 1);
    cluster_free(c);
}

static void a_pending_whose_end_did_not_reach_the_disk_is_ended_later(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes seen;
    struct write next = create_of("a");
    assert_int_equal(do_write(c, &next, &seen), 0);
    cluster_advance(c, 10);
    cluster_pause_disk(c, 3, true);
    next = (struct write){.sort_key = "a", .condition = ROW_IF_MATCH, .seen = seen};
    assert_int_equal(do_write(c, &next, NULL), 0);
    cluster_advance(c, 10);
    assert_true(disk_mem_step(cluster_disk(c, 3))); /* pending... */
    disk_mem_fail(cluster_disk(c, 3), DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    assert_true(disk_mem_step(cluster_disk(c, 3))); /* ...and still so */
    cluster_pause_disk(c, 3, false);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 1);
    cluster_advance(c, 5000);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 0);
    cluster_free(c);
}

/* The disk of node 3 takes a pending, fails to move it into the rows, and takes what comes `then`.
 */
static void fail_to_apply(struct cluster *c, const struct message *then) {
    do_get(c, 3, NULL, "a", MESSAGE_OWN); /* from now on its disk is asked for commits only */
    cluster_pause_disk(c, 3, true);
    assert_int_equal(create(c, "a"), 0);
    cluster_advance(c, 10);
    cluster_inject(c, 2, 3, then);
    cluster_run(c);
    assert_int_equal(disk_mem_queued(cluster_disk(c, 3)), 3);
    assert_true(disk_mem_step(cluster_disk(c, 3)));
    disk_mem_fail(cluster_disk(c, 3), DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    assert_true(disk_mem_step(cluster_disk(c, 3)));
    cluster_pause_disk(c, 3, false);
}

static void a_tail_does_not_stand_without_the_rows_that_failed_to_come_with_it(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint8_t no_epoch[8] = {0};
    struct message tail = {.type = MESSAGE_TAIL,
                           .budget_ms = 1000,
                           .id = 1,
                           .key = bytes_of_string("p"),
                           .payload = bytes_of(no_epoch, sizeof no_epoch)};
    assert_int_equal(create(c, "first"), 0);
    cluster_advance(c, 10);
    fail_to_apply(c, &tail);
    cluster_run(c);
    cluster_crash(c, 1, false);
    cluster_advance(c, 5000);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 1);
    cluster_free(c);
}

static void a_proposal_that_is_asked_again_is_accepted_when_it_is_on_the_disk(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "first"), 0);
    cluster_advance(c, 10);
    do_get(c, 3, NULL, "a", MESSAGE_OWN);
    cluster_pause_disk(c, 3, true);
    struct write write = create_of("a");
    write.flags = LEVEL_ALL;
    uint64_t ticket = ask_write(c, &write);
    cluster_advance(c, 300); /* asked again meanwhile */
    assert_true(disk_mem_queued(cluster_disk(c, 3)) >= 3);
    disk_mem_fail(cluster_disk(c, 3), DISK_MEM_COMMIT, ERR_NO_SPACE, 2);
    cluster_pause_disk(c, 3, false);
    cluster_run(c);
    assert_false(cluster_answer(c, ticket).got);
    assert_int_equal(wait_for(c, ticket), 0);
    assert_int_equal(do_get(c, 3, NULL, "a", MESSAGE_OWN).n_live, 1);
    cluster_free(c);
}

/* One replica keeps what its steward could not bring to a majority; others go on without it. */
static void a_pending_that_lost_is_not_resurrected(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "first"), 0);
    cluster_advance(c, 10);
    cluster_lose(c, 2, MESSAGE_PROPOSE);
    cluster_lose(c, 1, MESSAGE_PROPOSE | MESSAGE_REPLY);
    struct write lost = create_of("a");
    uint64_t ticket = ask_write(c, &lost);
    cluster_advance(c, 5);
    cluster_crash(c, 1, false);
    cluster_crash(c, 3, false);
    assert_false(cluster_answer(c, ticket).got);
    cluster_release(c);
    cluster_start(c, 1);
    cluster_advance(c, 500);
    struct write other = create_of("a");
    other.value = "other";
    assert_int_equal(do_write(c, &other, NULL), 0);
    cluster_start(c, 3);
    cluster_advance(c, 6000); /* long enough for it to ask what became of it */
    for (uint16_t id = 1; id <= 3; id++) {
        struct seen_row row = do_get(c, id, NULL, "a", LEVEL_ALL);
        assert_string_equal(row.value, "other");
        assert_int_equal(row.n_siblings, 1);
    }
    cluster_free(c);
}

/* The same, when the only one that came after it was refused: the client was told that nothing was
 * applied, so nothing may be. */
static void what_was_refused_when_asked_again_is_not_resurrected(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "first"), 0);
    cluster_advance(c, 10);
    cluster_lose(c, 2, MESSAGE_PROPOSE);
    cluster_lose(c, 1, MESSAGE_PROPOSE | MESSAGE_REPLY);
    struct write lost = create_of("a");
    lost.op = 77;
    ask_write(c, &lost);
    cluster_advance(c, 5);
    cluster_crash(c, 1, false);
    cluster_crash(c, 3, false);
    cluster_release(c);
    cluster_start(c, 1);
    cluster_advance(c, 500);
    struct write other = {.sort_key = "a", .value = "other"};
    assert_int_equal(do_write(c, &other, NULL), 0);
    lost.flags = MESSAGE_RETRY;
    assert_int_equal(do_write(c, &lost, NULL), ERR_CONFLICT);
    cluster_crash(c, 1, false);
    cluster_start(c, 3);
    cluster_advance(c, 6000); /* long enough for it to ask what became of it */
    for (uint16_t id = 2; id <= 3; id++) {
        struct seen_row row = do_get(c, id, NULL, "a", 0);
        assert_string_equal(row.value, "other");
        assert_int_equal(row.n_siblings, 1);
    }
    cluster_free(c);
}

static void a_replica_that_fell_behind_fetches_the_partition_and_counts_again(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    cluster_lose(c, 3, MESSAGE_CHOSEN);
    assert_int_equal(create(c, "a"), 0);
    assert_int_equal(create(c, "b"), 0);
    cluster_release(c);
    assert_int_equal(create(c, "c"), 0);
    cluster_advance(c, 50);
    assert_true(cluster_stat(c, 3, "strict_behind") > 0);
    assert_int_equal(stored_row(c, 3, NULL, "a").n_live, 1);
    cluster_crash(c, 2, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(create(c, "d"), 0); /* with the third alone */
    cluster_free(c);
}

/* Its rows will not be fetched any more, so it will never be the steward. */
static void a_node_that_stops_behind_the_others_keeps_nobody_waiting(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 3, MESSAGE_PROPOSE);
    cluster_lose(c, 3, MESSAGE_CHOSEN);
    assert_int_equal(create(c, "a"), 0);
    cluster_advance(c, 10);
    cluster_crash(c, 1, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    cluster_hold(c, 2, MESSAGE_TAIL);
    struct write write = create_of("b");
    write.node = 3;
    write.budget_ms = 9000;
    uint64_t ticket = ask_write(c, &write);
    cluster_advance(c, 10);
    node_stop(cluster_node(c, 3));
    assert_false(cluster_answer(c, ticket).got);
    cluster_release(c);
    cluster_advance(c, 500);
    assert_int_equal(cluster_answer(c, ticket).status, ERR_UNAVAILABLE);
    assert_int_equal(node_state(cluster_node(c, 3)), NODE_STOPPED);
    cluster_free(c);
}

static void a_promise_is_told_only_when_it_is_durable(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 2, true);
    cluster_pause_disk(c, 3, true);
    struct write write = create_of("a");
    uint64_t ticket = ask_write(c, &write);
    cluster_advance(c, 100);
    assert_int_equal(cluster_stat(c, 1, "campaigns"), 0);
    assert_false(cluster_answer(c, ticket).got);
    cluster_pause_disk(c, 2, false);
    assert_int_equal(wait_for(c, ticket), 0);
    cluster_free(c);
}

static void an_epoch_outlives_a_machine_that_goes_down(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint8_t key[3] = {'p', 0, 0};
    uint16_t slice = ring_slice(cluster_ring(c), bytes_of_string("p"));
    key[1] = (uint8_t)(slice >> 8);
    key[2] = (uint8_t)slice;
    assert_int_equal(create(c, "a"), 0);
    cluster_crash(c, 2, true);
    struct bytes stored = disk_mem_get(cluster_disk(c, 2), bytes_of(key, sizeof key));
    assert_true(stored.size > CHAIN_PROMISE_SIZE);
    assert_int_equal(epoch_owner(chain_promise(bytes_of(stored.data, CHAIN_PROMISE_SIZE))), 1);
    cluster_free(c);
}

static void a_strict_read_finds_what_was_done_wherever_it_is_asked(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    assert_int_equal(create(c, "a"), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_string_equal(do_get(c, id, NULL, "a", MESSAGE_STRICT).value, "a");
    }
    cluster_free(c);
}

static void a_steward_that_comes_back_reads_what_the_next_one_did(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes first;
    struct write write = {.value = "1", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &write, &first), 0);
    cluster_advance(c, 10);
    cluster_crash(c, 1, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    write = (struct write){.node = 2, .value = "2", .condition = ROW_IF_MATCH, .seen = first};
    assert_int_equal(do_write(c, &write, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_string_equal(do_get(c, 1, NULL, NULL, MESSAGE_STRICT).value, "2");
    cluster_free(c);
}

static uint64_t ask_strictly(struct cluster *c, uint16_t node, uint16_t level) {
    struct message message = {.type = MESSAGE_GET,
                              .flags = level | MESSAGE_STRICT,
                              .budget_ms = 3000,
                              .key = bytes_of_string("p"),
                              .payload = bytes_of_string("a")};
    return cluster_ask(c, node, &message);
}

static void a_strict_read_reads_while_it_asks_whether_it_may(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "a"), 0);
    cluster_advance(c, 10);
    cluster_hold(c, 0, MESSAGE_PREPARE);
    uint64_t before = cluster_stat(c, 2, "messages");
    uint64_t ticket = ask_strictly(c, 1, LEVEL_QUORUM);
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 2, "messages") - before, 1);
    assert_false(cluster_answer(c, ticket).got);
    cluster_release(c);
    cluster_run(c);
    assert_true(cluster_answer(c, ticket).got);
    assert_int_equal(cluster_answer(c, ticket).status, 0);
    cluster_free(c);
}

static void a_strict_read_whose_steward_is_never_confirmed_is_unavailable(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "a"), 0);
    cluster_lose(c, 0, MESSAGE_PREPARE);
    uint16_t levels[] = {LEVEL_ONE, LEVEL_QUORUM};
    for (int i = 0; i < 2; i++) {
        struct shortfall missed;
        uint64_t ticket = ask_strictly(c, 1, levels[i]);
        assert_int_equal(wait_for(c, ticket), ERR_UNAVAILABLE);
        assert_int_equal(shortfall_decode(cluster_answer(c, ticket).payload, &missed), 0);
        assert_int_equal(missed.needed, 2);
        assert_int_equal(missed.answered, 1);
    }
    cluster_free(c);
}

static void what_a_steward_that_was_outbid_has_read_is_read_anew(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes first;
    struct write write = {.sort_key = "a", .value = "1", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &write, &first), 0);
    cluster_advance(c, 10);
    static const uint8_t strict[] = {MESSAGE_BATCH, MESSAGE_PREPARE, MESSAGE_TAIL, MESSAGE_PROPOSE,
                                     MESSAGE_CHOSEN};
    for (size_t i = 0; i < sizeof strict; i++) {
        cluster_lose(c, 1, strict[i]);
    }
    write = (struct write){
        .node = 2, .sort_key = "a", .value = "2", .condition = ROW_IF_MATCH, .seen = first};
    assert_int_equal(do_write(c, &write, NULL), ERR_UNKNOWN);
    assert_int_equal(do_write(c, &write, NULL), 0);
    uint16_t flags = MESSAGE_STRICT | LEVEL_ONE;
    assert_string_equal(do_get(c, 1, NULL, "a", flags).value, "2");
    cluster_free(c);
}

static void without_a_majority_nothing_is_promised(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 2, false);
    cluster_crash(c, 3, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(create(c, "a"), ERR_UNAVAILABLE);
    assert_int_equal(do_get(c, 1, NULL, "a", MESSAGE_STRICT).status, ERR_UNAVAILABLE);
    cluster_free(c);
}

static void a_tail_remembers_the_last_operations_newest_first(void **state) {
    (void)state;
    struct chain_tail tail = {0};
    for (uint8_t i = 1; i <= CHAIN_RECENT_MAX + 4; i++) {
        struct chain_op op = {.op = {{i}}, .stamp_ns = i};
        chain_tail_push(&tail, (struct ballot){1, i}, &op);
    }
    struct chain_op again = {.op = {{10}}, .stamp_ns = 99};
    chain_tail_push(&tail, (struct ballot){1, 99}, &again);
    assert_int_equal(tail.n, CHAIN_RECENT_MAX);
    assert_int_equal(tail.ops[0].stamp_ns, 99);
    assert_null(chain_tail_find(&tail, &(struct op_id){{4}}));
    assert_non_null(chain_tail_find(&tail, &(struct op_id){{5}}));
    struct buffer encoded = {0};
    struct chain_tail decoded;
    chain_tail_encode(&tail, &encoded);
    assert_int_equal(chain_tail_decode(buffer_bytes(&encoded), &decoded), 0);
    assert_int_equal(decoded.n, tail.n);
    assert_int_equal(decoded.applied.seq, 99);
    for (size_t size = 1; size < encoded.size; size++) {
        bool whole = size >= 17 && (size - 17) % 40 == 0;
        int err = chain_tail_decode(bytes_of(encoded.data, size), &decoded);
        assert_int_equal(err, whole ? 0 : ERR_INVALID);
    }
    buffer_release(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_steady_state_a_batch_is_one_message_to_each_other_replica),
        cmocka_unit_test(replicas_hear_that_a_batch_was_chosen_a_little_later),
        cmocka_unit_test(what_is_pending_is_read_and_repairs_nobody),
        cmocka_unit_test(a_takeover_completes_what_was_acknowledged),
        cmocka_unit_test(a_steward_that_dies_before_anybody_heard_leaves_nothing),
        cmocka_unit_test(a_pending_whose_end_did_not_reach_the_disk_is_ended_later),
        cmocka_unit_test(a_tail_does_not_stand_without_the_rows_that_failed_to_come_with_it),
        cmocka_unit_test(a_proposal_that_is_asked_again_is_accepted_when_it_is_on_the_disk),
        cmocka_unit_test(a_pending_that_lost_is_not_resurrected),
        cmocka_unit_test(what_was_refused_when_asked_again_is_not_resurrected),
        cmocka_unit_test(a_replica_that_fell_behind_fetches_the_partition_and_counts_again),
        cmocka_unit_test(a_node_that_stops_behind_the_others_keeps_nobody_waiting),
        cmocka_unit_test(a_promise_is_told_only_when_it_is_durable),
        cmocka_unit_test(an_epoch_outlives_a_machine_that_goes_down),
        cmocka_unit_test(a_strict_read_finds_what_was_done_wherever_it_is_asked),
        cmocka_unit_test(a_steward_that_comes_back_reads_what_the_next_one_did),
        cmocka_unit_test(a_strict_read_reads_while_it_asks_whether_it_may),
        cmocka_unit_test(a_strict_read_whose_steward_is_never_confirmed_is_unavailable),
        cmocka_unit_test(what_a_steward_that_was_outbid_has_read_is_read_anew),
        cmocka_unit_test(without_a_majority_nothing_is_promised),
        cmocka_unit_test(a_tail_remembers_the_last_operations_newest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
