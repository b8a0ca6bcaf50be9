/* transport: frames, order, credits, and nodes that are absent or come back, on real sockets. */
#include "tests/unit/shared/transport_ends.h"

static void a_request_is_answered_by_its_route(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_int_equal(send_node(&pair.client, 1, 7, bytes_of_string("hello")), 0);
    PUMP_UNTIL(pair.client.n_received == 1);
    assert_int_equal(pair.client.payload_received, 5);
    assert_int_equal(pair.client.last_from.kind, ENDPOINT_NODE);
    assert_int_equal(pair.client.last_from.node, 1);
    assert_int_equal(pair.node.last_from.kind, ENDPOINT_CLIENT);
    pair_free(&pair);
}

static void a_message_between_nodes_names_its_sender(void **state) {
    (void)state;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct end a, b;
    end_new(&a, TRANSPORT_TO_PEER, 11);
    end_new(&b, TRANSPORT_TO_PEER, 22);
    assert_int_equal(transport_listen(b.transport, address), 0);
    transport_connect(a.transport, 22, address);
    assert_int_equal(send_node(&a, 22, 1, bytes_of_string("hello")), 0);
    PUMP_UNTIL(b.n_received == 1);
    assert_int_equal(b.last_from.kind, ENDPOINT_NODE);
    assert_int_equal(b.last_from.node, 11);
    transport_free(a.transport);
    transport_free(b.transport);
}

/* ---- Frames ---- */

static void many_messages_of_a_turn_are_one_frame(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(send_node(&pair.client, 1, i, bytes_of_string("x")), 0);
    }
    pair.client.ordered = pair.node.ordered = true;
    PUMP_UNTIL(pair.client.n_received == 1000);
    assert_int_equal(counters(&pair.client).frames_out, 1);
    assert_int_equal(counters(&pair.client).messages_out, 1000);
    assert_int_equal(counters(&pair.node).frames_in, 1);
    assert_int_equal(counters(&pair.node).frames_out, 1);
    pair_free(&pair);
}

static void a_frame_that_has_grown_leaves_before_the_turn_ends(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    uint64_t n = 2 * TRANSPORT_FRAME_FLUSH / MESSAGE_HEADER_SIZE;
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(send_node(&pair.client, 1, i, bytes_of(NULL, 0)), 0);
    }
    PUMP_UNTIL(pair.client.n_received == n);
    assert_int_equal(counters(&pair.client).frames_out, 2);
    pair_free(&pair);
}

static void order_is_kept_between_small_and_large_messages(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    pair.client.ordered = pair.node.ordered = true;
    const size_t sizes[] = {10, TRANSPORT_BULK_SIZE, 0, 4096, 100000, TRANSPORT_BULK_SIZE - 1};
    for (uint64_t id = 0; id < 600;) {
        uint64_t answered = pair.client.n_received;
        for (int i = 0; i < 30; i++, id++) { /* about 1.3 MiB: within the credit */
            assert_int_equal(send_node(&pair.client, 1, id, bulk(sizes[id % 6])), 0);
        }
        PUMP_UNTIL(pair.client.n_received == answered + 30);
    }
    pair_free(&pair);
}

static void the_largest_message_passes_both_ways(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_int_equal(send_node(&pair.client, 1, 1, bulk(MESSAGE_PAYLOAD_MAX)), 0);
    PUMP_UNTIL(pair.client.payload_received == MESSAGE_PAYLOAD_MAX);
    pair_free(&pair);
}

static void what_is_queued_between_turns_needs_no_event_to_leave(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_int_equal(send_node(&pair.client, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair.client.n_received == 1);
    uint64_t sent = counters(&pair.client).frames_out;
    assert_true(timers_next(loop_timers(loop)) > loop_now_ns(loop));
    assert_int_equal(send_node(&pair.client, 1, 2, bytes_of_string("x")), 0);
    assert_true(timers_next(loop_timers(loop)) <= loop_now_ns(loop)); /* the loop will not sleep */
    loop_turn(loop, 3600 * 1000 * MS_NS);
    assert_int_equal(counters(&pair.client).frames_out, sent + 1);
    pair_free(&pair);
}

static void each_client_gets_its_own_answers(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    struct end other;
    end_new(&other, TRANSPORT_TO_NODE, 0);
    transport_connect(other.transport, 5, pair.address);
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(send_node(&pair.client, 1, i, bytes_of_string("one")), 0);
        assert_int_equal(send_node(&other, 5, i, bytes_of_string("other")), 0);
    }
    pair.client.ordered = other.ordered = true;
    PUMP_UNTIL(pair.client.n_received == 50 && other.n_received == 50);
    assert_int_equal(pair.client.payload_received, 150);
    assert_int_equal(other.payload_received, 250);
    assert_int_equal(other.last_from.node, 5);
    transport_free(other.transport);
    pair_free(&pair);
}

static void a_route_serves_for_answers_at_any_later_time(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_int_equal(send_node(&pair.client, 1, 0, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair.client.n_received == 1);
    struct endpoint route = pair.node.last_from;
    for (uint64_t i = 2; i < 10; i++) {
        assert_int_equal(send_to(&pair.node, &route, i, bytes_of_string("pushed")), 0);
        PUMP_UNTIL(pair.client.n_received == i);
    }
    transport_free(pair.client.transport);
    assert_int_equal(send_to(&pair.node, &route, 11, bytes_of_string("to nobody")), 0);
    loop_turn(loop, 0);
    transport_free(pair.node.transport);
}

static void a_link_may_be_closed_from_inside_its_own_message(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    pair.client.disconnects = true;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(send_node(&pair.client, 1, i, bulk(TRANSPORT_BULK_SIZE)), 0);
    }
    PUMP_UNTIL(pair.client.n_received == 1);
    for (int i = 0; i < 10; i++) {
        loop_turn(loop, MS_NS);
    }
    assert_int_equal(pair.client.n_received, 1); /* each was in a frame of its own */
    assert_int_equal(send_node(&pair.client, 1, 9, bytes_of_string("x")), ERR_BUSY);
    pair_free(&pair);
}

/* ---- Credits: raw REP drops what a connection has no room for ---- */

/* Pushes `n` bulk messages to the client in one turn; how many have arrived once a later, small one
 * did. */
static uint64_t push_and_count(struct pair *pair, uint64_t n) {
    assert_int_equal(send_node(&pair->client, 1, 0, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair->client.n_received == 1);
    struct endpoint route = pair->node.last_from;
    size_t size = TRANSPORT_BULK_SIZE;
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(send_to(&pair->node, &route, i, bulk(size)), 0);
    }
    uint64_t small = 0;
    PUMP_UNTIL((assert_int_equal(send_to(&pair->node, &route, n, bytes_of_string("y")), 0), small++,
                pair->client.payload_received % size > 1));
    return pair->client.payload_received / size;
}

static void within_the_credit_no_answer_is_lost(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    uint64_t n = transport_credit(pair.node.transport) / (TRANSPORT_BULK_SIZE + 1024);
    assert_true(n > 0);
    assert_int_equal(push_and_count(&pair, n), n);
    pair_free(&pair);
}

/* Why there are credits: this is nanomsg's own behaviour, and the node is told nothing of it. */
static void beyond_the_credit_answers_vanish_silently(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    uint64_t n = 8ull * transport_credit(pair.node.transport) / TRANSPORT_BULK_SIZE;
    assert_true(push_and_count(&pair, n) < n);
    assert_int_equal(counters(&pair.node).frames_refused, 0);
    pair_free(&pair);
}

/* ---- Absent, gone and returning ---- */

static void what_waits_for_an_absent_peer_is_bounded_and_delivered_in_order(void **state) {
    (void)state;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct end a, b;
    end_new(&a, TRANSPORT_TO_PEER, 1);
    transport_connect(a.transport, 2, address);
    uint64_t n = 0;
    while (send_node(&a, 2, n, bulk(TRANSPORT_BULK_SIZE)) == 0) {
        n++;
    }
    assert_int_equal(send_node(&a, 2, n, bulk(TRANSPORT_BULK_SIZE)), ERR_BUSY);
    assert_true(n * TRANSPORT_BULK_SIZE <= TRANSPORT_QUEUE_MAX);
    assert_true((n + 2) * (TRANSPORT_BULK_SIZE + 1024) > TRANSPORT_QUEUE_MAX);
    end_new(&b, TRANSPORT_TO_PEER, 2);
    b.ordered = true;
    assert_int_equal(transport_listen(b.transport, address), 0);
    PUMP_UNTIL(b.n_received == n);
    assert_int_equal(send_node(&a, 2, n, bulk(10)), 0);
    PUMP_UNTIL(b.n_received == n + 1);
    transport_free(a.transport);
    transport_free(b.transport);
}

static void a_link_that_nobody_answers_at_is_told_down_and_then_gives_up(void **state) {
    (void)state;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct end a;
    end_new(&a, TRANSPORT_TO_PEER, 1);
    transport_connect(a.transport, 2, address);
    int64_t sent_ns = now_ns();
    assert_int_equal(send_node(&a, 2, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(a.n_down == 1);
    assert_true(now_ns() - sent_ns < TRANSPORT_STALL_MS * MS_NS);
    assert_int_equal(counters(&a).frames_refused, 0);
    PUMP_UNTIL(counters(&a).frames_refused == 1);
    assert_int_equal(a.n_lines, 1);
    transport_free(a.transport);
}

static void a_node_that_restarts_is_told_down_and_served_again(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_serves(&pair.client, 1);
    transport_free(pair.node.transport);
    PUMP_UNTIL(pair.client.n_down == 1);
    end_new(&pair.node, TRANSPORT_TO_PEER, 1);
    pair.node.echoes = true;
    assert_int_equal(transport_listen(pair.node.transport, pair.address), 0);
    assert_serves(&pair.client, 1);
    pair_free(&pair);
}

static void a_connection_that_breaks_before_anyone_looked_at_it_is_told_down(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_int_equal(send_node(&pair.client, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair.client.n_received == 1); /* sooner than TRANSPORT_POLL_MS */
    transport_free(pair.node.transport);
    PUMP_UNTIL(pair.client.n_down == 1);
    transport_free(pair.client.transport);
}

static void a_peer_that_restarts_is_served_again(void **state) {
    (void)state;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct end a, b;
    end_new(&a, TRANSPORT_TO_PEER, 1);
    transport_connect(a.transport, 2, address);
    for (uint64_t i = 0; i < 3; i++) {
        end_new(&b, TRANSPORT_TO_PEER, 2);
        assert_int_equal(transport_listen(b.transport, address), 0);
        PUMP_UNTIL((send_node(&a, 2, i, bytes_of_string("x")), b.n_received > 0));
        transport_free(b.transport);
    }
    transport_free(a.transport);
}

static void a_link_moves_to_another_address(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_serves(&pair.client, 1);
    struct end other;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    end_new(&other, TRANSPORT_TO_PEER, 2);
    assert_int_equal(transport_listen(other.transport, address), 0);
    transport_connect(pair.client.transport, 1, address);
    assert_int_equal(send_node(&pair.client, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(other.n_received == 1);
    transport_free(other.transport);
    pair_free(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_by_its_route),
        cmocka_unit_test(a_message_between_nodes_names_its_sender),
        cmocka_unit_test(many_messages_of_a_turn_are_one_frame),
        cmocka_unit_test(a_frame_that_has_grown_leaves_before_the_turn_ends),
        cmocka_unit_test(order_is_kept_between_small_and_large_messages),
        cmocka_unit_test(the_largest_message_passes_both_ways),
        cmocka_unit_test(what_is_queued_between_turns_needs_no_event_to_leave),
        cmocka_unit_test(each_client_gets_its_own_answers),
        cmocka_unit_test(a_route_serves_for_answers_at_any_later_time),
        cmocka_unit_test(a_link_may_be_closed_from_inside_its_own_message),
        cmocka_unit_test(within_the_credit_no_answer_is_lost),
        cmocka_unit_test(beyond_the_credit_answers_vanish_silently),
        cmocka_unit_test(what_waits_for_an_absent_peer_is_bounded_and_delivered_in_order),
        cmocka_unit_test(a_link_that_nobody_answers_at_is_told_down_and_then_gives_up),
        cmocka_unit_test(a_node_that_restarts_is_told_down_and_served_again),
        cmocka_unit_test(a_connection_that_breaks_before_anyone_looked_at_it_is_told_down),
        cmocka_unit_test(a_peer_that_restarts_is_served_again),
        cmocka_unit_test(a_link_moves_to_another_address),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
