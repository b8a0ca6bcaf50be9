/* client_link: the ring's adoption, links, credits, heartbeats, against a recorded world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/client_world.h"

static void the_first_ring_that_arrives_opens_a_link_per_member(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1", "ipc:///n2", "ipc:///n1"};
    world_client(addresses, 3);
    assert_int_equal(world_links_open(), 2); /* the doubled address counts once */
    assert_int_equal(world.n_sent, 2);
    assert_null(client_ring(client));
    world_greet(world_link_of(2), 2, false);
    assert_int_equal(world_links_open(), 5);
    assert_int_equal(client_ring(client)->n_members, 5);
    world_greet(world_link_of(1), 1, false);
    assert_int_equal(world_links_open(), 5);
}

static void two_addresses_of_one_node_make_one_link(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias", "ipc:///n1"};
    world_client(addresses, 2);
    int alias = world_link_at("ipc:///alias");
    world_greet(world_link_of(1), 1, false);
    assert_int_equal(world_links_open(), 6);
    world_greet(alias, 1, false);
    assert_int_equal(world_link_at("ipc:///alias"), -1);
    assert_int_equal(world_links_open(), 5);
}

static void an_alias_that_answers_first_serves_as_the_nodes_link(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias"};
    struct outcome outcome;
    world_client(addresses, 1);
    int alias = world_link_at("ipc:///alias");
    world_greet(alias, 1, false);
    assert_int_equal(world_links_open(), 5);
    assert_int_equal(world_link_of(1), -1);
    struct client_request request = world_request(MESSAGE_STATS, "", &outcome);
    request.node = 1;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_sent(0)->link, alias);
    world_answer(0, 0, "");
}

static void a_hello_answer_with_a_damaged_ring_is_ignored(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    world_client(addresses, 1);
    world_greet(world_link_of(1), 1, true);
    assert_null(client_ring(client));
    world_greet(world_link_of(1), 77, false); /* not a member of the ring it shows */
    assert_null(client_ring(client));
    assert_int_equal(world_links_open(), 1);
    world_reply(world_link_of(1), MESSAGE_HELLO, 1, 0, bytes_of_string("x"));
    assert_null(client_ring(client));
}

static void of_two_rings_the_higher_version_wins(void **state) {
    (void)state;
    world_ready();
    world_ring(3, 4);
    world_greet(world_link_of(2), 2, false);
    assert_int_equal(client_ring(client)->version, 3);
    assert_int_equal(world_links_open(), 4);
    world_ring(2, 5);
    world_greet(world_link_of(2), 2, false);
    assert_int_equal(client_ring(client)->version, 3);
    assert_int_equal(world_links_open(), 4);
}

static void a_request_made_before_the_ring_is_known_goes_out_when_it_is(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    struct outcome outcome;
    world_client(addresses, 1);
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(200, 0);
    assert_int_equal(world_n_sent(), 0);
    world_greet(world_link_of(1), 1, false);
    world_pass(CLIENT_RETRY_MS, ALL);
    assert_int_equal(world_n_sent(), 1);
    world_answer(0, 0, "v");
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
}

static void a_link_that_went_down_moves_its_requests_at_once(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 0)));
    world_assert_sent_to(1, world_replica("k", 1));
    struct outcome second_outcome;
    struct client_request second = world_request(MESSAGE_GET, "k", &second_outcome);
    assert_int_equal(client_submit(client, &second), 0);
    world_assert_sent_to(2, world_replica("k", 1)); /* and later ones do not go there at all */
    world_answer(1, 0, "");
    world_answer(2, 0, "");
    assert_int_equal(outcome.n_done + second_outcome.n_done, 2);
}

static void a_silent_node_is_opened_anew_and_used_again_when_it_answers(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    uint16_t first = world_replica("k", 0);
    int link = world_link_of(first);
    world_pass(CLIENT_SILENCE_MS + 2 * CLIENT_TICK_MS, ALL & ~(1u << first));
    assert_int_equal(world.n_reopened[link], 1);
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(0, world_replica("k", 1));
    world_answer(0, 0, "");
    world_pass(2 * CLIENT_PING_MS, ALL);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(1, first);
    world_answer(1, 0, "");
    assert_int_equal(world.n_reopened[link], 1);
}

/* The node may carry it out yet: for a second it takes it for one that was asked of nobody else. */
static void what_is_out_at_a_silent_node_is_not_written_elsewhere_before_a_second(void **state) {
    (void)state;
    struct outcome outcomes[2];
    world_ready();
    uint16_t first = world_replica("k", 0);
    world_pass(CLIENT_SILENCE_MS - 200, ALL & ~(1u << first));
    struct client_request batch = world_request(MESSAGE_BATCH, "k", &outcomes[0]);
    struct client_request get = world_request(MESSAGE_GET, "k", &outcomes[1]);
    assert_int_equal(client_submit(client, &batch), 0);
    assert_int_equal(client_submit(client, &get), 0);
    world_assert_sent_to(0, first);
    world_assert_sent_to(1, first);
    world_pass(CLIENT_ATTEMPT_MS - 10, ALL & ~(1u << first));
    assert_int_equal(world_n_sent(), 3);
    assert_int_equal(world_sent(2)->type, MESSAGE_GET);
    world_answer(2, 0, "");
    world_pass(10, ALL & ~(1u << first));
    assert_int_equal(world_n_sent(), 4);
    world_assert_sent_to(3, world_replica("k", 1));
    assert_int_not_equal(world_sent(3)->flags & MESSAGE_RETRY, 0);
    assert_int_equal(world_sent(3)->age_ms, CLIENT_ATTEMPT_MS);
    world_answer(3, 0, "");
    assert_int_equal(outcomes[0].status, 0);
}

static void what_does_not_fit_the_credit_waits_in_order(void **state) {
    (void)state;
    enum { N = 5 };
    struct outcome outcomes[N];
    struct client_request requests[N];
    world_ready();
    for (int i = 0; i < N; i++) {
        requests[i] = world_request(MESSAGE_GET, "k", &outcomes[i]);
        requests[i].reply_size = 40 << 10;
        assert_int_equal(client_submit(client, &requests[i]), 0);
    }
    assert_int_equal(world_n_sent(), 2); /* 2 * 40 KiB of 100 KiB */
    world_answer(0, 0, "");
    assert_int_equal(world_n_sent(), 3);
    assert_true(world_sent(2)->id == requests[2].id);
    for (uint32_t i = 1; i < N; i++) {
        world_answer(i, 0, "");
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(outcomes[i].n_done, 1);
    }
}

static void a_reply_larger_than_the_credit_goes_alone(void **state) {
    (void)state;
    struct outcome first, large, last;
    world_ready();
    struct client_request a = world_request(MESSAGE_GET, "k", &first);
    struct client_request b = world_request(MESSAGE_SCAN, "k", &large);
    struct client_request c = world_request(MESSAGE_GET, "k", &last);
    b.reply_size = 1 << 20;
    assert_int_equal(client_submit(client, &a), 0);
    assert_int_equal(client_submit(client, &b), 0);
    assert_int_equal(client_submit(client, &c), 0);
    assert_int_equal(world_n_sent(), 1);
    world_answer(0, 0, "");
    assert_int_equal(world_n_sent(), 2);
    assert_int_equal(world_sent(1)->type, MESSAGE_SCAN);
    world_answer(1, 0, "");
    assert_int_equal(world_n_sent(), 3);
    world_answer(2, 0, "");
}

static void what_waits_for_credit_moves_too_when_the_link_goes_down(void **state) {
    (void)state;
    struct outcome outcomes[2];
    world_ready();
    struct client_request a = world_request(MESSAGE_GET, "k", &outcomes[0]);
    struct client_request b = world_request(MESSAGE_GET, "k", &outcomes[1]);
    a.reply_size = b.reply_size = CREDIT;
    assert_int_equal(client_submit(client, &a), 0);
    assert_int_equal(client_submit(client, &b), 0);
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 0)));
    assert_int_equal(world_n_sent(), 2); /* b waits again, at the second replica */
    world_assert_sent_to(1, world_replica("k", 1));
    world_answer(1, 0, "");
    world_answer(2, 0, "");
    assert_int_equal(outcomes[0].n_done + outcomes[1].n_done, 2);
}

static void a_full_link_is_a_reason_to_pause(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    world.full = true;
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_n_sent(), 0);
    world.full = false;
    world_pass(CLIENT_RETRY_MS, ALL);
    assert_int_equal(world_n_sent(), 1);
    world_answer(0, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void a_quiet_link_is_pinged(void **state) {
    (void)state;
    world_ready();
    world_pass(CLIENT_PING_MS + CLIENT_TICK_MS, ALL);
    assert_int_equal(world.n_sent, 5);
    for (uint32_t i = 0; i < world.n_sent; i++) {
        assert_int_equal(world.sent[i].type, MESSAGE_PING);
    }
}

static void an_alias_replaces_the_nodes_own_address_while_that_is_silent(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias", "ipc:///n2"};
    struct outcome outcome;
    world_client(addresses, 2);
    int alias = world_link_at("ipc:///alias");
    world_greet(world_link_of(2), 2,
                false); /* opens a link to the first node, which does not answer */
    assert_int_not_equal(world_link_of(1), -1);
    world_greet(alias, 1, false);
    assert_int_equal(world_link_of(1), -1);
    struct client_request request = world_request(MESSAGE_STATS, "", &outcome);
    request.node = 1;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_sent(0)->link, alias);
    world_answer(0, 0, "");
}

static void a_node_that_moved_is_asked_at_its_new_address(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    uint16_t first = world_replica("k", 0);
    int link = world_link_of(first);
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_ring(2, 5);
    snprintf(ring.members[first - 1].address, RING_ADDRESS_MAX, "ipc:///moved");
    world_greet(world_link_of(first == 1 ? 2 : 1), first == 1 ? 2 : 1, false);
    assert_int_equal(world_link_at("ipc:///moved"), link);
    world_assert_sent_to(1, world_replica("k", 1));
    world_answer(1, 0, "");
    world_greet(link, first, false);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_sent(2)->link, link);
    world_answer(2, 0, "");
}

static void a_ring_of_a_later_version_is_asked_for_when_seen(void **state) {
    (void)state;
    world_ready();
    world_ring(2, 4);
    world_pass(2 * CLIENT_PING_MS, ALL); /* the version stands in the answers to PING */
    assert_int_equal(client_ring(client)->version, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_first_ring_that_arrives_opens_a_link_per_member),
        TEST(two_addresses_of_one_node_make_one_link),
        TEST(an_alias_that_answers_first_serves_as_the_nodes_link),
        TEST(a_hello_answer_with_a_damaged_ring_is_ignored),
        TEST(of_two_rings_the_higher_version_wins),
        TEST(a_request_made_before_the_ring_is_known_goes_out_when_it_is),
        TEST(a_link_that_went_down_moves_its_requests_at_once),
        TEST(a_silent_node_is_opened_anew_and_used_again_when_it_answers),
        TEST(what_is_out_at_a_silent_node_is_not_written_elsewhere_before_a_second),
        TEST(what_does_not_fit_the_credit_waits_in_order),
        TEST(a_reply_larger_than_the_credit_goes_alone),
        TEST(what_waits_for_credit_moves_too_when_the_link_goes_down),
        TEST(a_full_link_is_a_reason_to_pause),
        TEST(a_quiet_link_is_pinged),
        TEST(an_alias_replaces_the_nodes_own_address_while_that_is_silent),
        TEST(a_node_that_moved_is_asked_at_its_new_address),
        TEST(a_ring_of_a_later_version_is_asked_for_when_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
