/* client: routing, fail-over, retries, deadlines, against a world that records what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/client_world.h"

static void a_request_goes_to_the_first_replica_and_is_answered_once(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_assert_sent_to(0, world_replica("k", 0));
    assert_int_equal(world_sent(0)->budget_ms, 5000);
    world_answer(0, 0, "value");
    world_answer(0, 0, "value"); /* doubled */
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(outcome.size, 5);
    world_pass(6000, ALL);
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(world_n_sent(), 1);
}

static void after_a_silent_attempt_the_next_replica_is_asked_with_the_same_bytes(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(CLIENT_ATTEMPT_MS, ALL);
    assert_int_equal(world_n_sent(), 2);
    world_assert_sent_to(1, world_replica("k", 1));
    assert_int_equal(world_sent(1)->payload_size, 7);
    assert_memory_equal(world_sent(1)->payload, "payload", 7);
    assert_true(world_sent(1)->id == world_sent(0)->id);
    world_answer(1, 0, "");
    assert_int_equal(outcome.status, 0);
}

/* So the node that gets it late can tell what was written since. */
static void a_retry_says_so_and_when_the_first_try_was_sent(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_answer(0, ERR_BUSY, ""); /* came to nothing: the next try is a first one */
    world_pass(CLIENT_RETRY_MS, ALL);
    assert_int_equal(world_sent(1)->flags & MESSAGE_RETRY, 0);
    assert_true(world_sent(1)->stamp_ns > world_sent(0)->stamp_ns);
    world_pass(CLIENT_ATTEMPT_MS, ALL);
    assert_int_not_equal(world_sent(2)->flags & MESSAGE_RETRY, 0);
    assert_true(world_sent(2)->stamp_ns == world_sent(1)->stamp_ns);
    assert_int_equal(world_sent(1)->age_ms, 0);
    assert_int_equal(world_sent(2)->age_ms, CLIENT_ATTEMPT_MS);
    world_answer(2, 0, "");
    assert_int_equal(outcome.status, 0);
}

/* A first try that was too late for what it met: the next one is later than that. */
static void requests_are_stamped_in_the_time_that_nodes_tell(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world.nodes_ahead_ns = 3600000 * MS;
    world_answer(0, ERR_BUSY, "");
    uint64_t told_ns = 1 + (uint64_t)(world.now + world.nodes_ahead_ns);
    world.nodes_ahead_ns = 0; /* the others are not */
    world_pass(CLIENT_RETRY_MS, ALL);
    assert_true(world_sent(0)->stamp_ns < told_ns);
    assert_true(world_sent(1)->stamp_ns > told_ns + (CLIENT_RETRY_MS - 1) * MS);
    world_answer(1, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void what_a_node_said_of_missing_replicas_is_told(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    request.deadline_ns = world.now + 20 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        world_answer(k, ERR_UNAVAILABLE, "\2\1\1\7\1"); /* node 263 */
    }
    world_pass(20, ALL);
    assert_int_equal(outcome.status, ERR_UNAVAILABLE);
    assert_true(request.missed.needed == 2 && request.missed.answered == 1);
    assert_true(request.missed.n_silent == 1 && request.missed.silent[0] == 263);
}

static void without_any_answer_it_is_told_who_was_silent(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    request.deadline_ns = world.now + (CLIENT_ATTEMPT_MS + 10) * MS;
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(CLIENT_ATTEMPT_MS + 10, ALL);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(request.missed.needed, 0);
    assert_int_equal(request.missed.n_silent, 2);
    assert_int_equal(request.missed.silent[0], world_replica("k", 0));
    assert_int_equal(request.missed.silent[1], world_replica("k", 1));
}

static void a_late_success_of_an_earlier_attempt_counts(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(CLIENT_ATTEMPT_MS, ALL);
    world_answer(0, ERR_CONFLICT, ""); /* the first node's late refusal does not */
    assert_int_equal(outcome.n_done, 0);
    world_answer(0, 0, "");
    assert_int_equal(outcome.n_done, 1);
    world_answer(1, 0, "");
    assert_int_equal(outcome.n_done, 1);
}

static void when_no_replica_is_alive_another_node_is_asked_to_pass_it_on(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    for (int k = 0; k < 3; k++) {
        client_link_down(client, (uint16_t)world_link_of(world_replica("k", k)));
    }
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(world_n_sent(), 1);
    for (int k = 0; k < 3; k++) {
        assert_int_not_equal(world_sent(0)->link, world_link_of(world_replica("k", k)));
    }
    world_answer(0, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void unavailable_goes_round_the_replicas_and_pauses_between_rounds(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        world_assert_sent_to(k, world_replica("k", (int)k));
        world_answer(k, ERR_UNAVAILABLE, "");
    }
    assert_int_equal(world_n_sent(), 3);
    world_pass(CLIENT_RETRY_MS - 10, ALL);
    assert_int_equal(world_n_sent(), 3);
    world_pass(10, ALL);
    world_assert_sent_to(3, world_replica("k", 0));
    world_answer(3, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void busy_pauses_before_the_next_try(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_answer(0, ERR_BUSY, "");
    assert_int_equal(world_n_sent(), 1);
    world_pass(CLIENT_RETRY_MS, ALL);
    world_assert_sent_to(1, world_replica("k", 1));
    world_answer(1, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void a_definite_refusal_ends_the_request_with_its_payload(void **state) {
    (void)state;
    static const int definite[] = {ERR_CONFLICT, ERR_INVALID, ERR_TOO_BIG, ERR_SIBLINGS,
                                   ERR_NOT_FOUND};
    world_ready();
    for (uint32_t i = 0; i < sizeof definite / sizeof *definite; i++) {
        struct outcome outcome;
        struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
        assert_int_equal(client_submit(client, &request), 0);
        world_answer(i, definite[i], "row");
        assert_int_equal(outcome.status, definite[i]);
        assert_int_equal(outcome.size, 3);
    }
}

static void a_disks_failure_is_final_only_when_every_replica_has_it(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        world_answer(k, ERR_CORRUPT, "");
        assert_int_equal(outcome.n_done, 0);
    }
    world_pass(CLIENT_RETRY_MS, ALL);
    world_answer(3, ERR_CORRUPT, "");
    assert_int_equal(outcome.status, ERR_CORRUPT);
}

static void a_full_disk_is_final_only_when_every_replica_has_it(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        world_answer(k, ERR_NO_SPACE, "");
        assert_int_equal(outcome.n_done, 0);
    }
    world_pass(CLIENT_RETRY_MS, ALL);
    world_answer(3, ERR_NO_SPACE, "");
    assert_int_equal(outcome.status, ERR_NO_SPACE);
}

static int status_at_deadline(uint8_t type, int answered) {
    struct outcome outcome;
    world.n_sent = 0;
    struct client_request request = world_request(type, "k", &outcome);
    request.deadline_ns = world.now + 30 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3 && answered != 0; k++) {
        world_answer(k, answered, "");
    }
    world_pass(20, ALL);
    assert_int_equal(outcome.n_done, 0);
    world_pass(10, ALL);
    assert_int_equal(outcome.n_done, 1);
    return outcome.status;
}

static void the_deadline_tells_what_is_known(void **state) {
    (void)state;
    world_ready();
    assert_int_equal(status_at_deadline(MESSAGE_GET, 0), ERR_TIMEOUT);
    assert_int_equal(status_at_deadline(MESSAGE_GET, ERR_UNAVAILABLE), ERR_UNAVAILABLE);
    assert_int_equal(status_at_deadline(MESSAGE_GET, ERR_WRONG_RING), ERR_TIMEOUT);
    assert_int_equal(status_at_deadline(MESSAGE_BATCH, 0), ERR_UNKNOWN);
    assert_int_equal(status_at_deadline(MESSAGE_BATCH, ERR_UNKNOWN), ERR_UNKNOWN);
    assert_int_equal(status_at_deadline(MESSAGE_BATCH, ERR_UNAVAILABLE), ERR_UNAVAILABLE);
    assert_int_equal(status_at_deadline(MESSAGE_BATCH, ERR_CLOSED), ERR_UNAVAILABLE);
}

static void a_write_is_unknown_when_one_attempt_was_never_answered(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    request.deadline_ns = world.now + 30 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 0)));
    world_answer(1, ERR_UNAVAILABLE, "");
    world_answer(2, ERR_UNAVAILABLE, "");
    world_pass(30, ALL);
    assert_int_equal(outcome.status, ERR_UNKNOWN);
}

static int status_after_silence(int refusal) {
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    client_link_down(client, (uint16_t)world_link_of(world_replica("k", 0)));
    world_answer(1, refusal, "");
    assert_int_equal(outcome.n_done, 1);
    return outcome.status;
}

static void a_conflict_after_an_attempt_without_answer_leaves_a_write_unknown(void **state) {
    (void)state;
    assert_int_equal(status_after_silence(ERR_CONFLICT), ERR_UNKNOWN);
}

static void too_many_siblings_after_an_attempt_without_answer_leave_it_unknown(void **state) {
    (void)state;
    assert_int_equal(status_after_silence(ERR_SIBLINGS), ERR_UNKNOWN);
}

static void what_was_too_big_was_never_written(void **state) {
    (void)state;
    assert_int_equal(status_after_silence(ERR_TOO_BIG), ERR_TOO_BIG);
}

static void without_any_node_a_request_ends_at_its_deadline(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    struct outcome outcome;
    world_client(addresses, 1);
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_pass(4990, 0);
    assert_int_equal(outcome.n_done, 0);
    world_pass(10, 0);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(world_n_sent(), 0);
}

static void a_cancelled_request_is_answered_right_then(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    client_cancel(client, &request);
    assert_int_equal(outcome.status, ERR_INTERRUPTED);
    struct client_request batch = world_request(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &batch), 0);
    client_cancel(client, &batch);
    assert_int_equal(outcome.status, ERR_UNKNOWN);
    world_answer(1, 0, "");
    assert_int_equal(outcome.n_done, 1);
}

static void requests_left_at_the_end_are_closed(void **state) {
    (void)state;
    struct outcome outcomes[3];
    struct client_request requests[3];
    world_ready();
    for (int i = 0; i < 3; i++) {
        requests[i] = world_request(MESSAGE_GET, "k", &outcomes[i]);
        requests[i].reply_size = CREDIT;
        assert_int_equal(client_submit(client, &requests[i]), 0);
    }
    client_free(client);
    client = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(outcomes[i].n_done, 1);
        assert_int_equal(outcomes[i].status, ERR_CLOSED);
    }
    assert_int_equal(world_links_open(), 0);
}

static void the_number_of_requests_is_bounded(void **state) {
    (void)state;
    struct outcome outcome = {0};
    struct client_request *requests =
        calloc(CLIENT_REQUESTS_MAX + 1, sizeof(struct client_request));
    static const char *const addresses[] = {"ipc:///n1"};
    world_client(addresses, 1);
    for (int i = 0; i < CLIENT_REQUESTS_MAX; i++) {
        requests[i] = world_request(MESSAGE_GET, "k", &outcome);
        assert_int_equal(client_submit(client, &requests[i]), 0);
    }
    requests[CLIENT_REQUESTS_MAX] = requests[0];
    assert_int_equal(client_submit(client, &requests[CLIENT_REQUESTS_MAX]), ERR_BUSY);
    client_free(client);
    client = NULL;
    assert_int_equal(outcome.n_done, CLIENT_REQUESTS_MAX);
    free(requests);
}

static void malformed_requests_are_refused_at_the_door(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "", &outcome);
    assert_int_equal(client_submit(client, &request), ERR_INVALID);
    request = world_request(MESSAGE_REPLICATE, "k", &outcome);
    assert_int_equal(client_submit(client, &request), ERR_INVALID);
    request = world_request(MESSAGE_GET, "k", &outcome);
    request.key.size = PARTITION_KEY_MAX + 1;
    assert_int_equal(client_submit(client, &request), ERR_TOO_BIG);
    assert_int_equal(outcome.n_done, 0);
}

static void a_late_answer_is_not_taken_for_that_of_a_later_request(void **state) {
    (void)state;
    struct outcome first, second;
    world_ready();
    struct client_request request = world_request(MESSAGE_GET, "k", &first);
    assert_int_equal(client_submit(client, &request), 0);
    client_cancel(client, &request);
    struct client_request later = world_request(MESSAGE_GET, "k", &second);
    assert_int_equal(client_submit(client, &later), 0);
    world_answer(0, 0, "old");
    assert_int_equal(second.n_done, 0);
    world_answer(1, 0, "new");
    assert_int_equal(second.n_done, 1);
}

static void a_node_that_cannot_pass_it_on_is_not_asked_again_at_once(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    for (int k = 0; k < 3; k++) {
        client_link_down(client, (uint16_t)world_link_of(world_replica("k", k)));
    }
    struct client_request request = world_request(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    world_answer(0, ERR_UNAVAILABLE, "");
    assert_int_equal(world_n_sent(), 1);
    world_pass(CLIENT_RETRY_MS, 0);
    assert_int_equal(world_n_sent(), 2);
    world_answer(1, 0, "");
}

static void nothing_is_sent_at_or_after_the_deadline(void **state) {
    (void)state;
    struct outcome outcome;
    world_ready();
    struct client_request request = world_request(MESSAGE_BATCH, "k", &outcome);
    request.deadline_ns = world.now;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(outcome.n_done, 0); /* never from inside submit */
    world_pass(10, ALL);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(world_n_sent(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_start, world_end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_request_goes_to_the_first_replica_and_is_answered_once),
        TEST(after_a_silent_attempt_the_next_replica_is_asked_with_the_same_bytes),
        TEST(a_retry_says_so_and_when_the_first_try_was_sent),
        TEST(requests_are_stamped_in_the_time_that_nodes_tell),
        TEST(what_a_node_said_of_missing_replicas_is_told),
        TEST(without_any_answer_it_is_told_who_was_silent),
        TEST(a_late_success_of_an_earlier_attempt_counts),
        TEST(when_no_replica_is_alive_another_node_is_asked_to_pass_it_on),
        TEST(unavailable_goes_round_the_replicas_and_pauses_between_rounds),
        TEST(busy_pauses_before_the_next_try),
        TEST(a_definite_refusal_ends_the_request_with_its_payload),
        TEST(a_disks_failure_is_final_only_when_every_replica_has_it),
        TEST(a_full_disk_is_final_only_when_every_replica_has_it),
        TEST(the_deadline_tells_what_is_known),
        TEST(a_write_is_unknown_when_one_attempt_was_never_answered),
        TEST(a_conflict_after_an_attempt_without_answer_leaves_a_write_unknown),
        TEST(too_many_siblings_after_an_attempt_without_answer_leave_it_unknown),
        TEST(what_was_too_big_was_never_written),
        TEST(without_any_node_a_request_ends_at_its_deadline),
        TEST(a_cancelled_request_is_answered_right_then),
        TEST(requests_left_at_the_end_are_closed),
        TEST(the_number_of_requests_is_bounded),
        TEST(malformed_requests_are_refused_at_the_door),
        TEST(a_late_answer_is_not_taken_for_that_of_a_later_request),
        TEST(a_node_that_cannot_pass_it_on_is_not_asked_again_at_once),
        TEST(nothing_is_sent_at_or_after_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
