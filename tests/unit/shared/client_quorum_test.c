/* client_quorum: rows and pages read at R replicas at once, and when a node is asked to do it
 * instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/client_world.h"

static struct client_request request;
static struct outcome outcome;

/* A client that has been told R, and a GET of "k" under way. */
static void ask(uint8_t r) {
    world.read_quorum = r;
    world_ready();
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
}

/* The k-th message's answer: a row (any bytes here), or its digest when that was asked for. */
static void answer_row(uint32_t k, const char *row, uint64_t changed_ns) {
    struct sent sent = *world_sent(k);
    uint8_t digest[ROW_DIGEST_SIZE];
    struct buffer payload = {0};
    struct get_reply reply = {.tally = {1, changed_ns}, .versions = bytes_of_string(row)};
    if ((sent.flags & MESSAGE_DIGEST) != 0) {
        row_digest(reply.versions, digest);
        reply.versions = bytes_of(digest, sizeof digest);
    }
    get_reply_encode(&reply, &payload);
    world_reply(sent.link, sent.type, sent.id, 0, buffer_bytes(&payload));
    buffer_release(&payload);
}

static void assert_answered(const char *row, uint64_t changed_ns) {
    struct get_reply reply;
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(get_reply_decode(bytes_of(outcome.answer, outcome.size), &reply), 0);
    assert_true(bytes_equal(reply.versions, bytes_of_string(row)));
    assert_int_equal(reply.tally.changed_ns, changed_ns);
}

/* The k-th message leaves it to a node, and is answered by that. */
static void assert_coordinated(uint32_t k) {
    assert_int_equal(world_n_sent(), k + 1);
    assert_int_equal(world_sent(k)->flags, LEVEL_QUORUM);
    assert_int_equal(outcome.n_done, 0);
    answer_row(k, "merged", 9);
    assert_answered("merged", 9);
}

static void assert_nothing_is_out(void) {
    struct client_node nodes[5];
    assert_int_equal(client_nodes(client, nodes, 5), 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(nodes[i].in_flight, 0);
    }
}

static void two_replicas_that_have_the_same_are_the_answer(void **state) {
    (void)state;
    ask(2);
    assert_int_equal(world_n_sent(), 2);
    world_assert_sent_to(0, world_replica("k", 0));
    world_assert_sent_to(1, world_replica("k", 1));
    assert_int_equal(world_sent(0)->flags, MESSAGE_OWN);
    assert_int_equal(world_sent(1)->flags, MESSAGE_OWN | MESSAGE_DIGEST);
    answer_row(0, "row", 5);
    answer_row(0, "row", 5); /* doubled: still one replica's */
    assert_int_equal(outcome.n_done, 0);
    answer_row(1, "row", 5);
    assert_answered("row", 5);
    answer_row(1, "row", 5);
    assert_int_equal(outcome.n_done, 1);
    assert_nothing_is_out();
}

/* What was kept twice is two copies, whichever replica answered last. */
static struct bytes kept[2];
static void keep_both(struct client_request *done, int status, struct bytes payload) {
    assert_int_equal(status, 0);
    struct bytes before = payload;
    kept[0] = client_keep(done, payload);
    kept[1] = client_keep(done, before);
}

static void assert_kept(uint32_t first, uint32_t last) {
    world.read_quorum = 2;
    world_ready();
    request = world_request(MESSAGE_GET, "k", &outcome);
    request.done = keep_both;
    assert_int_equal(client_submit(client, &request), 0);
    answer_row(first, "row", 5);
    answer_row(last, "row", 5);
    for (int i = 0; i < 2; i++) {
        struct get_reply reply;
        assert_int_equal(get_reply_decode(kept[i], &reply), 0);
        assert_true(bytes_equal(reply.versions, bytes_of_string("row")));
    }
    assert_ptr_not_equal(kept[0].data, kept[1].data);
    free((void *)(uintptr_t)kept[0].data);
    free((void *)(uintptr_t)kept[1].data);
}

static void an_answer_that_waited_for_its_digest_may_be_kept(void **state) {
    (void)state;
    assert_kept(0, 1);
}

static void an_answer_that_came_last_may_be_kept(void **state) {
    (void)state;
    assert_kept(1, 0);
}

static void the_digest_may_come_first_and_the_latest_tally_is_told(void **state) {
    (void)state;
    ask(2);
    answer_row(1, "row", 7);
    assert_int_equal(outcome.n_done, 0);
    answer_row(0, "row", 5);
    assert_answered("row", 7);
}

static void three_are_asked_where_r_is_three(void **state) {
    (void)state;
    ask(3);
    assert_int_equal(world_n_sent(), 3);
    answer_row(2, "row", 5);
    answer_row(0, "row", 5);
    assert_int_equal(outcome.n_done, 0);
    answer_row(1, "row", 5);
    assert_answered("row", 5);
}

static void when_they_differ_one_of_them_coordinates(void **state) {
    (void)state;
    ask(2);
    answer_row(0, "row", 5);
    answer_row(1, "newer", 6);
    world_assert_sent_to(2, world_replica("k", 1));
    assert_true(world_sent(2)->id != world_sent(0)->id);
    answer_row(0, "row", 5); /* late: what one replica has is no quorum's answer */
    answer_row(1, "newer", 6);
    assert_coordinated(2);
    assert_nothing_is_out();
}

static void one_that_is_late_is_not_waited_for_and_left_out_for_a_while(void **state) {
    (void)state;
    ask(2);
    answer_row(1, "row", 5);
    world_pass(CLIENT_QUORUM_MS, ALL);
    world_assert_sent_to(2, world_replica("k", 1)); /* not the one that is stuck */
    assert_coordinated(2);
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(3, world_replica("k", 1));
    world_assert_sent_to(4, world_replica("k", 2));
    answer_row(3, "row", 5);
    answer_row(4, "row", 5);
    assert_answered("row", 5);
    world_pass(CLIENT_AVOID_MS, ALL);
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(5, world_replica("k", 0));
}

static void a_dead_link_ends_the_wait_at_once(void **state) {
    (void)state;
    ask(2);
    answer_row(0, "row", 5);
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 1)));
    world_assert_sent_to(2, world_replica("k", 0));
    assert_coordinated(2);
}

static void a_dead_replica_is_not_asked(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 1)));
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(0, world_replica("k", 0));
    world_assert_sent_to(1, world_replica("k", 2));
}

static void with_too_few_replicas_alive_a_node_coordinates(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 0)));
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 1)));
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(0, world_replica("k", 2));
    assert_coordinated(0);
}

static void a_refusal_gives_the_read_to_a_node(void **state) {
    (void)state;
    static const int refusals[] = {ERR_RECOVERING, ERR_UNAVAILABLE, ERR_BUSY,   ERR_CORRUPT,
                                   ERR_WRONG_RING, ERR_TIMEOUT,     ERR_TOO_BIG};
    for (uint32_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        ask(2);
        answer_row(1, "row", 5);
        world_answer(0, refusals[i], "");
        world_assert_sent_to(2, world_replica("k", 1));
        assert_coordinated(2);
        client_free(client);
        client = NULL;
    }
}

static void garbage_is_a_refusal(void **state) {
    (void)state;
    ask(2);
    answer_row(1, "row", 5);
    world_answer(0, 0, "no reply to a get");
    assert_coordinated(2);
}

static void other_reads_are_left_to_nodes(void **state) {
    (void)state;
    static const uint16_t flags[] = {LEVEL_ONE, LEVEL_ALL, MESSAGE_STRICT};
    for (uint32_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        world.read_quorum = 2;
        world_ready();
        request = world_request(MESSAGE_GET, "k", &outcome);
        request.flags = flags[i];
        assert_int_equal(client_submit(client, &request), 0);
        assert_int_equal(world_n_sent(), 1);
        assert_int_equal(world_sent(0)->flags, flags[i]);
        client_free(client);
        client = NULL;
    }
    ask(1);
    assert_coordinated(0);
}

static void what_would_wait_for_credit_is_asked_of_one(void **state) {
    (void)state;
    static struct outcome large_outcome;
    static struct client_request large;
    world.read_quorum = 2;
    world_ready();
    large = world_request(MESSAGE_SCAN, "k", &large_outcome);
    large.flags = LEVEL_ONE;
    large.reply_size = CREDIT - MESSAGE_HEADER_SIZE;
    assert_int_equal(client_submit(client, &large), 0);
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_n_sent(), 3); /* the other two replicas have room */
    world_assert_sent_to(1, world_replica("k", 1));
    world_assert_sent_to(2, world_replica("k", 2));
}

static void a_transport_that_is_full_leaves_nothing_out(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    world.full = true;
    request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_nothing_is_out();
    world.full = false;
    world_pass(CLIENT_RETRY_MS, ALL);
    assert_coordinated(0);
}

static void at_the_deadline_it_is_told_who_was_silent(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    request = world_request(MESSAGE_GET, "k", &outcome);
    request.deadline_ns = world.now + 10 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    answer_row(0, "row", 5);
    world_pass(10, ALL);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(request.missed.n_silent, 1);
    assert_int_equal(request.missed.silent[0], world_replica("k", 1));
    assert_nothing_is_out();
}

static void a_cancelled_read_leaves_nothing_out(void **state) {
    (void)state;
    ask(2);
    answer_row(0, "row", 5);
    client_cancel(client, &request);
    assert_int_equal(outcome.status, ERR_INTERRUPTED);
    answer_row(1, "row", 5);
    assert_int_equal(outcome.n_done, 1);
    assert_nothing_is_out();
}

/* ---- pages ---- */

/* The k-th message's answer: a page with one row, and the digest of all that the replica has. */
static void answer_page(uint32_t k, const char *key, const char *digest, uint64_t changed_ns) {
    struct sent sent = *world_sent(k);
    struct buffer payload = {0};
    struct scan_row row = {.sort_key = bytes_of_string(key), .versions = bytes_of_string("row")};
    struct scan_reply reply = {.tally = {1, changed_ns}, .digest = bytes_of_string(digest)};
    if ((sent.flags & MESSAGE_DIGEST) == 0) {
        reply.rows = &row;
        reply.n_rows = 1;
    }
    scan_reply_encode(&reply, &payload);
    world_reply(sent.link, sent.type, sent.id, 0, buffer_bytes(&payload));
    buffer_release(&payload);
}

static void assert_shown(const char *key, uint64_t changed_ns) {
    struct scan_reply reply;
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
    assert_true(outcome.size <= sizeof outcome.answer);
    assert_int_equal(scan_reply_decode(bytes_of(outcome.answer, outcome.size), &reply), 0);
    assert_int_equal(reply.n_rows, 1);
    assert_true(bytes_equal(reply.rows[0].sort_key, bytes_of_string(key)));
    assert_int_equal(reply.tally.changed_ns, changed_ns);
    scan_reply_release(&reply);
}

static void ask_page(uint16_t flags) {
    world.read_quorum = 2;
    world_ready();
    request = world_request(MESSAGE_SCAN, "k", &outcome);
    request.flags = flags;
    assert_int_equal(client_submit(client, &request), 0);
}

static void two_replicas_whose_pages_are_the_same_are_the_answer(void **state) {
    (void)state;
    uint16_t flags = MESSAGE_KEYS_ONLY | MESSAGE_TOMBSTONES;
    ask_page(flags);
    assert_int_equal(world_n_sent(), 2);
    assert_int_equal(world_sent(0)->type, MESSAGE_SCAN);
    assert_int_equal(world_sent(0)->flags, flags | MESSAGE_OWN);
    assert_int_equal(world_sent(1)->flags, flags | MESSAGE_OWN | MESSAGE_DIGEST);
    answer_page(0, "a", "the same digest.", 5);
    assert_int_equal(outcome.n_done, 0);
    answer_page(1, "", "the same digest.", 7);
    assert_shown("a", 7);
    assert_nothing_is_out();
    client_free(client);
    ask_page(0);
    answer_page(1, "", "the same digest.", 7);
    answer_page(0, "a", "the same digest.", 5);
    assert_shown("a", 7);
}

/* What the client sees of them may be equal all the same. */
static void pages_that_differ_are_left_to_a_node(void **state) {
    (void)state;
    ask_page(0);
    answer_page(0, "a", "a digest of more", 5);
    answer_page(1, "a", "another digest..", 5);
    assert_int_equal(world_n_sent(), 3);
    assert_int_equal(world_sent(2)->flags, LEVEL_QUORUM);
    answer_page(0, "a", "a digest of more", 5); /* late */
    assert_int_equal(outcome.n_done, 0);
    answer_page(2, "b", "", 9);
    assert_shown("b", 9);
    assert_nothing_is_out();
}

static void a_page_without_a_digest_is_a_refusal(void **state) {
    (void)state;
    ask_page(0);
    answer_page(0, "a", "", 5);
    assert_int_equal(world_n_sent(), 3);
    assert_int_equal(world_sent(2)->flags, LEVEL_QUORUM);
}

static void a_large_answer_may_take_longer(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    request = world_request(MESSAGE_SCAN, "k", &outcome);
    request.reply_size = 20 * CLIENT_QUORUM_BYTES_PER_MS;
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(CLIENT_QUORUM_MS + 10, ALL);
    assert_int_equal(world_n_sent(), 2);
    world_pass(10, ALL);
    assert_int_equal(world_n_sent(), 3);
}

/* So that a replica behind the first two which lags is found, and repaired. */
static void one_read_in_so_many_asks_another_replica(void **state) {
    (void)state;
    world.read_quorum = 2;
    world_ready();
    uint32_t n_others = 0;
    for (uint32_t i = 0; i < 2 * CLIENT_WIDE_ONE_IN; i++) {
        request = world_request(MESSAGE_GET, "k", &outcome);
        assert_int_equal(client_submit(client, &request), 0);
        world_assert_sent_to(2 * i, world_replica("k", 0));
        n_others += world_sent(2 * i + 1)->link == world_link_of(world_replica("k", 2));
        answer_row(2 * i, "row", 5);
        answer_row(2 * i + 1, "row", 5);
        assert_answered("row", 5);
    }
    assert_int_equal(n_others, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(two_replicas_that_have_the_same_are_the_answer),
        TEST(an_answer_that_waited_for_its_digest_may_be_kept),
        TEST(an_answer_that_came_last_may_be_kept),
        TEST(the_digest_may_come_first_and_the_latest_tally_is_told),
        TEST(three_are_asked_where_r_is_three),
        TEST(when_they_differ_one_of_them_coordinates),
        TEST(one_that_is_late_is_not_waited_for_and_left_out_for_a_while),
        TEST(a_dead_link_ends_the_wait_at_once),
        TEST(a_dead_replica_is_not_asked),
        TEST(with_too_few_replicas_alive_a_node_coordinates),
        TEST(a_refusal_gives_the_read_to_a_node),
        TEST(garbage_is_a_refusal),
        TEST(other_reads_are_left_to_nodes),
        TEST(what_would_wait_for_credit_is_asked_of_one),
        TEST(a_transport_that_is_full_leaves_nothing_out),
        TEST(at_the_deadline_it_is_told_who_was_silent),
        TEST(a_cancelled_read_leaves_nothing_out),
        TEST(two_replicas_whose_pages_are_the_same_are_the_answer),
        TEST(pages_that_differ_are_left_to_a_node),
        TEST(a_page_without_a_digest_is_a_refusal),
        TEST(a_large_answer_may_take_longer),
        TEST(one_read_in_so_many_asks_another_replica),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
