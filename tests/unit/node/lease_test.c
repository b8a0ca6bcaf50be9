/* lease: what waits until those who hold leases have heard of it, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/watch.h"
#include "tests/lib/rows_of.h"

enum { LEASE_MS = 600, HOLDER = 7, NODES = 3 };

/* Who watches "p" at all nodes, by hand. */
struct side {
    struct cluster *c;
    uint64_t turn;
    uint64_t life[NODES + 1], heard[NODES + 1];
};

static uint64_t ask_watch(struct side *side, uint16_t node, bool begins) {
    struct buffer payload = {0};
    struct watch_request request = {.writer = HOLDER,
                                    .turn = ++side->turn,
                                    .life = side->life[node],
                                    .heard = side->heard[node],
                                    .n_begun = begins ? 1 : 0,
                                    .begun = {bytes_of_string("p")}};
    watch_request_encode(&request, &payload);
    struct message message = {
        .type = MESSAGE_WATCH, .budget_ms = 1500, .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(side->c, node, &message);
    cluster_run(side->c);
    buffer_release(&payload);
    return ticket;
}

static struct watch_reply told(struct side *side, uint16_t node, uint64_t ticket) {
    struct cluster_answer answer = cluster_answer(side->c, ticket);
    struct watch_reply reply;
    assert_true(answer.got);
    assert_int_equal(watch_reply_decode(answer.payload, &reply), 0);
    side->life[node] = reply.life;
    if (reply.n_changes > 0) {
        side->heard[node] = reply.first + reply.n_changes - 1;
    }
    return reply;
}

static void begin_all(struct side *side, uint16_t n) {
    *side = (struct side){.c = cluster_new_leasing(n, n, LEASE_MS)};
    for (uint16_t node = 1; node <= n; node++) {
        assert_int_equal(told(side, node, ask_watch(side, node, true)).lease_ms, LEASE_MS);
    }
}

/* Fetches what there is to tell, and says that it was heard. */
static void hear(struct side *side, uint16_t node) {
    uint64_t ticket = ask_watch(side, node, false);
    if (cluster_answer(side->c, ticket).got && told(side, node, ticket).n_changes > 0) {
        ask_watch(side, node, false);
    }
}

static uint64_t ask_put(struct cluster *c, uint8_t condition, uint32_t number, uint64_t writer) {
    struct op_id op = op_of(number);
    bytes_store_u64(op.bytes + 8, writer);
    struct row_op row = {.kind = ROW_PUT,
                         .condition = condition,
                         .sort_key = bytes_of_string("a"),
                         .value = bytes_of_string("v")};
    struct batch batch = {.op = op, .n = 1, .ops = &row};
    struct buffer payload = {0};
    batch_encode(&batch, &payload);
    struct message message = {.type = MESSAGE_BATCH,
                              .budget_ms = 5000,
                              .key = bytes_of_string("p"),
                              .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(c, 1, &message);
    cluster_advance(c, 30);
    buffer_release(&payload);
    return ticket;
}

static bool is_done(struct cluster *c, uint64_t ticket) {
    struct cluster_answer answer = cluster_answer(c, ticket);
    assert_true(!answer.got || answer.status == 0);
    return answer.got;
}

static void a_write_is_done_when_the_holder_has_heard_of_it(void **state) {
    (void)state;
    static const uint8_t conditions[] = {ROW_ANY, ROW_OVERWRITE, ROW_IF_ABSENT};
    for (uint32_t i = 0; i < sizeof conditions; i++) {
        struct side side;
        begin_all(&side, NODES);
        uint64_t put = ask_put(side.c, conditions[i], 1, 9);
        assert_false(is_done(side.c, put));
        for (int round = 0; round < 2; round++) { /* a steward commits after the others */
            for (uint16_t node = 1; node <= NODES; node++) {
                hear(&side, node);
            }
            cluster_advance(side.c, 5);
        }
        assert_true(is_done(side.c, put));
        cluster_free(side.c);
    }
}

static void one_who_says_nothing_holds_a_write_up_for_one_lease(void **state) {
    (void)state;
    static const uint8_t conditions[] = {ROW_ANY, ROW_IF_ABSENT};
    for (uint32_t i = 0; i < sizeof conditions; i++) {
        struct side side;
        begin_all(&side, NODES);
        uint64_t put = ask_put(side.c, conditions[i], 1, 9);
        cluster_advance(side.c, LEASE_MS - 100);
        assert_false(is_done(side.c, put));
        cluster_advance(side.c, 200);
        assert_true(is_done(side.c, put));
        assert_true(is_done(side.c, ask_put(side.c, ROW_OVERWRITE, 2, 9)));
        cluster_free(side.c);
    }
}

static void a_writer_does_not_wait_for_itself(void **state) {
    (void)state;
    struct side side;
    begin_all(&side, NODES);
    assert_true(is_done(side.c, ask_put(side.c, ROW_IF_ABSENT, 1, HOLDER)));
    assert_true(is_done(side.c, ask_put(side.c, ROW_OVERWRITE, 2, HOLDER)));
    assert_int_equal(cluster_stat(side.c, 1, "watch_waits"), 0);
    cluster_free(side.c);
}

/* Else whoever asks and never hears the answers would hold writers up for ever. */
static void no_lease_is_granted_before_all_was_heard(void **state) {
    (void)state;
    struct side side;
    begin_all(&side, 1);
    uint64_t put = ask_put(side.c, ROW_OVERWRITE, 1, 9);
    for (int i = 0; i < 3; i++) {
        struct watch_reply reply = told(&side, 1, ask_watch(&side, 1, false));
        assert_int_equal(reply.n_changes, 1);
        assert_int_equal(reply.lease_ms, 0);
        side.heard[1] = 0;
        cluster_advance(side.c, 250);
    }
    assert_true(is_done(side.c, put));
    side.heard[1] = 1;
    uint64_t ticket = ask_watch(&side, 1, false);
    cluster_advance(side.c, WATCH_HOLD_MS + 100);
    assert_int_equal(told(&side, 1, ticket).lease_ms, LEASE_MS);
    cluster_free(side.c);
}

static void a_node_that_starts_waits_for_leases_of_its_former_life(void **state) {
    (void)state;
    struct cluster *c = cluster_new_leasing(1, 1, LEASE_MS);
    cluster_crash(c, 1, false);
    cluster_start(c, 1);
    uint64_t put = ask_put(c, ROW_OVERWRITE, 1, 9);
    cluster_advance(c, LEASE_MS - 100);
    assert_false(is_done(c, put));
    cluster_advance(c, 200);
    assert_true(is_done(c, put));
    cluster_free(c);
}

static void waiting_writes_end_with_their_node(void **state) {
    (void)state;
    struct side side;
    begin_all(&side, NODES);
    ask_put(side.c, ROW_IF_ABSENT, 1, 9);
    ask_put(side.c, ROW_OVERWRITE, 2, 9);
    cluster_crash(side.c, 1, false);
    cluster_crash(side.c, 2, false);
    cluster_free(side.c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_done_when_the_holder_has_heard_of_it),
        cmocka_unit_test(one_who_says_nothing_holds_a_write_up_for_one_lease),
        cmocka_unit_test(a_writer_does_not_wait_for_itself),
        cmocka_unit_test(no_lease_is_granted_before_all_was_heard),
        cmocka_unit_test(a_node_that_starts_waits_for_leases_of_its_former_life),
        cmocka_unit_test(waiting_writes_end_with_their_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
