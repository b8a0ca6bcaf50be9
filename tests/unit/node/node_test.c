/* node: what a small cluster promises, one fault at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/shortfall.h"
#include "tests/lib/rows_of.h"

static void hello_tells_the_ring_and_the_credit(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct cluster_answer answer =
        cluster_call(c, 2, &(struct message){.type = MESSAGE_HELLO, .budget_ms = 100});
    struct hello_reply reply;
    struct ring ring;
    assert_int_equal(answer.status, 0);
    assert_int_equal(hello_reply_decode(answer.payload, &reply), 0);
    assert_int_equal(reply.node, 2);
    assert_int_equal(reply.credit_bytes, 1 << 20);
    assert_int_equal(reply.read_quorum, 2);
    assert_int_equal(ring_decode(reply.ring, &ring), 0);
    assert_int_equal(ring.n_members, 3);
    ring_release(&ring);
    cluster_free(c);
}

static void a_put_is_read_back_through_every_node(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "hello"}, NULL), 0);
    for (uint16_t id = 1; id <= 3; id++) {
        struct seen_row row = do_get(c, id, NULL, NULL, 0);
        assert_int_equal(row.status, 0);
        assert_string_equal(row.value, "hello");
        assert_int_equal(row.tally.n_live, 1);
    }
    cluster_free(c);
}

/* So that a client can make up a quorum itself. */
static void a_replica_asked_for_its_own_answer_gives_what_it_has(void **state) {
    (void)state;
    struct cluster *c = cluster_new(4, 3);
    const struct ring *ring = cluster_ring(c);
    uint16_t slice = ring_slice(ring, bytes_of_string("p"));
    uint16_t lagging = ring->members[ring_preference(ring, slice)[2]].id;
    cluster_lose(c, lagging, MESSAGE_REPLICATE);
    uint16_t first = ring->members[ring_preference(ring, slice)[0]].id;
    assert_int_equal(do_write(c, &(struct write){.node = first, .value = "new"}, NULL), 0);
    cluster_release(c);
    uint64_t asked = cluster_stat(c, first, "reads") + cluster_stat(c, lagging, "reads");
    assert_string_equal(do_get(c, first, NULL, NULL, MESSAGE_OWN).value, "new");
    assert_int_equal(do_get(c, lagging, NULL, NULL, MESSAGE_OWN).n_siblings, 0);
    assert_int_equal(cluster_stat(c, first, "own_gets"), 1);
    assert_int_equal(cluster_stat(c, first, "reads") + cluster_stat(c, lagging, "reads"), asked);
    for (uint16_t id = 1; id <= 4; id++) {
        if (!ring_is_replica(ring, slice, id)) { /* it is not passed on either */
            assert_int_equal(do_get(c, id, NULL, NULL, MESSAGE_OWN).status, ERR_WRONG_RING);
        }
    }
    cluster_free(c);
}

static void a_row_nobody_wrote_is_empty_and_no_error(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct seen_row row = do_get(c, 1, "nothing", NULL, 0);
    assert_int_equal(row.status, 0);
    assert_int_equal(row.n_siblings, 0);
    cluster_free(c);
}

static void an_acknowledged_put_is_readable_with_one_node_down(void **state) {
    (void)state;
    for (uint16_t down = 1; down <= 3; down++) {
        struct cluster *c = cluster_new(3, 3);
        assert_int_equal(do_write(c, &(struct write){.value = "kept"}, NULL), 0);
        cluster_crash(c, down, false);
        uint16_t asked = down == 1 ? 2 : 1;
        struct seen_row row = do_get(c, asked, NULL, NULL, 0);
        assert_int_equal(row.status, 0);
        assert_string_equal(row.value, "kept");
        cluster_free(c);
    }
}

static void writes_go_on_with_one_node_down(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_crash(c, 3, false);
    assert_int_equal(do_write(c, &(struct write){.value = "at once"}, NULL), 0);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(
        do_write(c, &(struct write){.value = "later", .condition = ROW_OVERWRITE}, NULL), 0);
    assert_string_equal(do_get(c, 2, NULL, NULL, 0).value, "later");
    cluster_free(c);
}

static void with_two_nodes_down_answers_are_unavailable_or_unknown(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "old"}, NULL), 0);
    cluster_crash(c, 2, false);
    cluster_crash(c, 3, false);
    /* Not known to be dead yet: it was sent, so nobody can tell. */
    assert_int_equal(do_write(c, &(struct write){.value = "new"}, NULL), ERR_UNKNOWN);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    uint64_t ticket = ask_write(c, &(struct write){.value = "newer"});
    cluster_run(c);
    struct cluster_answer answer = cluster_answer(c, ticket);
    assert_int_equal(answer.status, ERR_UNAVAILABLE);
    struct shortfall shortfall;
    assert_int_equal(shortfall_decode(answer.payload, &shortfall), 0);
    assert_int_equal(shortfall.needed, 2);
    assert_int_equal(shortfall.answered, 1);
    assert_int_equal(shortfall.n_silent, 2);
    assert_int_equal(do_get(c, 1, NULL, NULL, 0).status, ERR_UNAVAILABLE);
    assert_int_equal(do_get(c, 1, NULL, NULL, LEVEL_ONE).status, 0);
    cluster_free(c);
}

static void a_blind_put_stays_beside_what_it_has_not_seen(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes context;
    assert_int_equal(do_write(c, &(struct write){.value = "one"}, &context), 0);
    assert_int_equal(do_write(c, &(struct write){.value = "two", .node = 2}, NULL), 0);
    assert_int_equal(do_get(c, 3, NULL, NULL, 0).n_siblings, 2);
    struct bytes all = do_get(c, 3, NULL, NULL, 0).context;
    assert_int_equal(do_write(c, &(struct write){.value = "three", .seen = all}, NULL), 0);
    struct seen_row row = do_get(c, 1, NULL, NULL, 0);
    assert_int_equal(row.n_siblings, 1);
    assert_string_equal(row.value, "three");
    cluster_free(c);
}

static void a_writer_beside_siblings_has_not_seen_them(void **state) {
    (void)state;
    for (uint16_t other = 1; other <= 2; other++) {
        struct cluster *c = cluster_new(3, 3);
        struct bytes mine;
        struct write theirs = {.value = "theirs", .node = other, .op = 77};
        assert_int_equal(do_write(c, &theirs, NULL), 0);
        assert_int_equal(do_write(c, &(struct write){.value = "mine"}, &mine), 0);
        assert_int_equal(do_write(c, &(struct write){.value = "mine 2", .seen = mine}, NULL), 0);
        /* Through one coordinator a context cannot name the second write without the first. */
        assert_int_equal(do_get(c, 1, NULL, NULL, 0).n_siblings, other == 1 ? 3 : 2);
        cluster_free(c);
    }
}

static void stats_tell_of_requests_and_peers(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    do_write(c, &(struct write){.value = "x"}, NULL);
    disk_mem_set_space(cluster_disk(c, 1), 5, 10);
    struct cluster_answer answer =
        cluster_call(c, 1, &(struct message){.type = MESSAGE_STATS, .budget_ms = 100});
    struct stat_row rows[STATS_MAX];
    uint32_t n;
    assert_int_equal(stats_decode(answer.payload, rows, &n), 0);
    assert_true(n > 30);
    assert_int_equal(cluster_stat(c, 1, "batches"), 1);
    assert_int_equal(cluster_stat(c, 1, "disk_free_bytes"), 5);
    assert_int_equal(cluster_stat(c, 1, "peer_2_alive"), 1);
    cluster_crash(c, 2, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    assert_int_equal(cluster_stat(c, 1, "peer_2_alive"), 0);
    assert_true(cluster_stat(c, 1, "reopened") >= 1);
    assert_true(cluster_stat(c, 1, "reopened") <= 3);
    cluster_free(c);
}

static void malformed_requests_are_answered_invalid(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes junk = bytes_of_string("junk");
    const uint8_t types[] = {MESSAGE_BATCH, MESSAGE_SCAN, 99, MESSAGE_REPLICATE, MESSAGE_READ};
    for (size_t i = 0; i < sizeof types; i++) {
        struct message message = {
            .type = types[i], .budget_ms = 100, .key = bytes_of_string("p"), .payload = junk};
        assert_int_equal(cluster_call(c, 1, &message).status, ERR_INVALID);
    }
    struct message level = {.type = MESSAGE_GET, .flags = 3, .budget_ms = 100};
    assert_int_equal(cluster_call(c, 1, &level).status, ERR_INVALID);
    cluster_free(c);
}

static void malformed_messages_of_peers_are_counted_and_not_applied(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct bytes junk = bytes_of_string("junk junk junk junk junk junk");
    uint64_t before = cluster_stat(c, 1, "messages_bad");
    const uint8_t types[] = {MESSAGE_REPLICATE, MESSAGE_REPAIR, MESSAGE_READ_SCAN, 99,
                             MESSAGE_HELLO | MESSAGE_REPLY};
    for (size_t i = 0; i < sizeof types; i++) {
        struct message message = {
            .type = types[i], .budget_ms = 100, .key = bytes_of_string("p"), .payload = junk};
        cluster_inject(c, 2, 1, &message);
    }
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 1, "messages_bad") - before, sizeof types);
    assert_int_equal(cluster_stat(c, 1, "rows_applied"), 0);
    cluster_free(c);
}

static void a_context_from_the_future_is_refused(void **state) {
    (void)state;
    const struct dot forged[] = {{actor_of(1, 1, 1), 1u << 30}, {actor_of(1, 1, 900), 1}};
    for (size_t i = 0; i < 2; i++) {
        struct cluster *c = cluster_new(3, 3);
        struct context context = {0};
        struct buffer encoded = {0};
        context_add(&context, forged[i]);
        context_encode(&context, &encoded);
        struct write write = {.value = "x", .seen = buffer_bytes(&encoded)};
        assert_int_equal(do_write(c, &write, NULL), ERR_INVALID);
        context_release(&context);
        buffer_release(&encoded);
        cluster_free(c);
    }
}

static void a_context_of_a_lost_data_directory_is_good(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct context context = {0};
    struct buffer encoded = {0};
    context_add(&context, (struct dot){actor_of(1, 40213, 3), 99});
    context_encode(&context, &encoded);
    struct write write = {.value = "x", .seen = buffer_bytes(&encoded)};
    assert_int_equal(do_write(c, &write, NULL), 0);
    context_release(&context);
    buffer_release(&encoded);
    cluster_free(c);
}

static void a_request_without_time_left_is_not_done(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct message message = {.type = MESSAGE_GET, .key = bytes_of_string("p")};
    assert_int_equal(cluster_call(c, 1, &message).status, ERR_TIMEOUT);
    cluster_free(c);
}

/* Of three replicas, `n_down` of which are known to be down. */
static void assert_levels(uint16_t n_down) {
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(do_write(c, &(struct write){.value = "old"}, NULL), 0);
    for (uint16_t id = 3; id > 3 - n_down; id--) {
        cluster_crash(c, id, false);
    }
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    static const struct {
        uint16_t level, needed;
    } levels[] = {{LEVEL_ONE, 1}, {LEVEL_QUORUM, 2}, {LEVEL_ALL, 3}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        int wanted = 3 - n_down >= levels[i].needed ? 0 : ERR_UNAVAILABLE;
        struct write write = {.value = "new", .flags = levels[i].level};
        assert_int_equal(do_write(c, &write, NULL), wanted);
        assert_int_equal(do_get(c, 1, NULL, NULL, levels[i].level).status, wanted);
        struct message scan = {.type = MESSAGE_SCAN,
                               .flags = levels[i].level,
                               .budget_ms = 3000,
                               .key = bytes_of_string("p")};
        struct buffer range = {0};
        scan_request_encode(&(struct scan_request){.rows_max = 9, .bytes_max = 999}, &range);
        scan.payload = buffer_bytes(&range);
        assert_int_equal(cluster_call(c, 1, &scan).status, wanted);
        buffer_release(&range);
    }
    cluster_free(c);
}

static void each_level_needs_its_own_number_of_replicas(void **state) {
    (void)state;
    assert_levels(0);
    assert_levels(1);
    assert_levels(2);
}

static void a_node_that_holds_no_replica_passes_requests_on(void **state) {
    (void)state;
    struct cluster *c = cluster_new(5, 3);
    const struct ring *ring = cluster_ring(c);
    uint16_t slice = ring_slice(ring, bytes_of_string("p"));
    for (uint16_t id = 1; id <= 5; id++) {
        struct write write = {.value = "x", .node = id, .condition = ROW_OVERWRITE};
        assert_int_equal(do_write(c, &write, NULL), 0);
        assert_string_equal(do_get(c, id, NULL, NULL, 0).value, "x");
        bool replica = ring_is_replica(ring, slice, id);
        assert_int_equal(stored_row(c, id, NULL, NULL).n_siblings, replica ? 1 : 0);
        assert_int_equal(cluster_stat(c, id, "forwarded"), replica ? 0 : 2);
    }
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_tells_the_ring_and_the_credit),
        cmocka_unit_test(a_put_is_read_back_through_every_node),
        cmocka_unit_test(a_replica_asked_for_its_own_answer_gives_what_it_has),
        cmocka_unit_test(a_row_nobody_wrote_is_empty_and_no_error),
        cmocka_unit_test(an_acknowledged_put_is_readable_with_one_node_down),
        cmocka_unit_test(writes_go_on_with_one_node_down),
        cmocka_unit_test(with_two_nodes_down_answers_are_unavailable_or_unknown),
        cmocka_unit_test(a_blind_put_stays_beside_what_it_has_not_seen),
        cmocka_unit_test(a_writer_beside_siblings_has_not_seen_them),
        cmocka_unit_test(stats_tell_of_requests_and_peers),
        cmocka_unit_test(malformed_requests_are_answered_invalid),
        cmocka_unit_test(malformed_messages_of_peers_are_counted_and_not_applied),
        cmocka_unit_test(a_context_from_the_future_is_refused),
        cmocka_unit_test(a_context_of_a_lost_data_directory_is_good),
        cmocka_unit_test(a_request_without_time_left_is_not_done),
        cmocka_unit_test(each_level_needs_its_own_number_of_replicas),
        cmocka_unit_test(a_node_that_holds_no_replica_passes_requests_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
