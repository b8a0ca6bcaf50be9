/* client: routing, fail-over, credits, deadlines, against a world that records what is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/client.h"

enum { SENT_MAX = 4096, LINKS_MAX = 400, CREDIT = 100 << 10 };
#define MS INT64_C(1000000)

/* One message as it was sent. */
struct sent {
    uint16_t link;
    uint8_t type;
    uint64_t id;
    uint32_t budget_ms;
    uint8_t payload[32];
    size_t payload_size;
};

static struct world {
    int64_t now;
    uint64_t dice;
    struct sent sent[SENT_MAX];
    uint32_t n_sent;
    char address[LINKS_MAX][RING_ADDRESS_MAX]; /* "" = not open */
    uint32_t n_reopened[LINKS_MAX];
    bool full; /* send answers BUSY */
} world;

static struct timers timers;
static struct client *client;
static struct env env;
static struct ring ring;

static int64_t env_now(void *self) {
    (void)self;
    return world.now;
}
static uint64_t env_wall(void *self) {
    (void)self;
    return (uint64_t)world.now;
}
static uint64_t env_random(void *self) {
    (void)self;
    return ++world.dice * 0x9e3779b97f4a7c15ull;
}
static void env_connect(void *self, uint16_t link, const char *address) {
    (void)self;
    snprintf(world.address[link], RING_ADDRESS_MAX, "%s", address);
}
static void env_reconnect(void *self, uint16_t link) {
    (void)self;
    world.n_reopened[link]++;
}
static void env_disconnect(void *self, uint16_t link) {
    (void)self;
    world.address[link][0] = '\0';
}
static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    (void)self;
    assert_int_equal(to->kind, ENDPOINT_NODE);
    assert_true(world.address[to->node][0] != '\0');
    bool heartbeat = message->type == MESSAGE_HELLO || message->type == MESSAGE_PING;
    if (world.full && !heartbeat) {
        return ERR_BUSY;
    }
    assert_true(world.n_sent < SENT_MAX);
    struct sent *sent = &world.sent[world.n_sent++];
    *sent = (struct sent){.link = to->node,
                          .type = message->type,
                          .id = message->id,
                          .budget_ms = message->budget_ms,
                          .payload_size = message->payload.size};
    assert_true(message->payload.size <= sizeof sent->payload);
    if (message->payload.size > 0) {
        memcpy(sent->payload, message->payload.data, message->payload.size);
    }
    return 0;
}
static void env_log(void *self, int level, const char *line) {
    (void)self;
    (void)level;
    (void)line;
}

static void make_ring(uint64_t version, uint16_t n_members) {
    struct ring_member members[8] = {0};
    for (uint16_t i = 0; i < n_members; i++) {
        members[i].id = (uint16_t)(i + 1);
        members[i].weight = RING_WEIGHT_DEFAULT;
        snprintf(members[i].address, RING_ADDRESS_MAX, "ipc:///n%u", i + 1u);
    }
    ring_release(&ring);
    assert_int_equal(ring_build(7, 64, 3, members, n_members, &ring), 0);
    ring.version = version;
}

static int start(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now = 1000 * MS;
    env = (struct env){.now_ns = env_now,
                       .wall_ns = env_wall,
                       .random = env_random,
                       .connect = env_connect,
                       .reconnect = env_reconnect,
                       .disconnect = env_disconnect,
                       .send = env_send,
                       .log = env_log};
    timers_init(&timers);
    make_ring(1, 5);
    return 0;
}

static void client_start(const char *const *addresses, uint16_t n) {
    struct client_config config = {.addresses = addresses, .n_addresses = n};
    assert_int_equal(client_new(&config, &env, &timers, &client), 0);
}

static int end(void **state) {
    (void)state;
    client_free(client);
    client = NULL;
    assert_true(timers_next(&timers) == TIMERS_NEVER);
    timers_release(&timers);
    ring_release(&ring);
    return 0;
}

static int link_at(const char *address) {
    for (int i = 0; i < LINKS_MAX; i++) {
        if (strcmp(world.address[i], address) == 0) {
            return i;
        }
    }
    return -1;
}

static int link_of(uint16_t node) {
    char address[RING_ADDRESS_MAX];
    snprintf(address, sizeof address, "ipc:///n%u", (unsigned)node);
    return link_at(address);
}

static int n_links_open(void) {
    int n = 0;
    for (int i = 0; i < LINKS_MAX; i++) {
        n += world.address[i][0] != '\0';
    }
    return n;
}

static void reply(int link, uint8_t type, uint64_t id, int status, struct bytes payload) {
    struct endpoint from = {.kind = ENDPOINT_NODE, .node = (uint16_t)link};
    struct message message = {.type = (uint8_t)(type | MESSAGE_REPLY),
                              .status = (uint8_t)-status,
                              .id = id,
                              .payload = payload,
                              .ring_version = ring.version};
    client_receive(client, &from, &message);
}

static void greet_as(int link, uint16_t node, bool garbage) {
    struct buffer encoded = {0}, payload = {0};
    ring_encode(&ring, &encoded);
    if (garbage) {
        encoded.data[encoded.size / 2] ^= 0xff;
        encoded.size -= 3;
    }
    struct hello_reply hello = {
        .node = node, .credit_bytes = CREDIT, .ring = buffer_bytes(&encoded)};
    hello_reply_encode(&hello, &payload);
    reply(link, MESSAGE_HELLO, 1, 0, buffer_bytes(&payload));
    buffer_release(&encoded);
    buffer_release(&payload);
}

/* Time passes in small steps; nodes of `answering` (bit per id) answer their heartbeats. */
static void pass(int64_t ms, unsigned answering) {
    for (int64_t i = 0; i < ms; i += 10) {
        uint32_t n_before = world.n_sent;
        world.now += 10 * MS;
        timers_run(&timers, world.now);
        for (uint32_t k = n_before; k < world.n_sent; k++) {
            struct sent sent = world.sent[k];
            for (uint16_t node = 1; node <= 5; node++) {
                if ((answering & 1u << node) == 0 || link_of(node) != sent.link) {
                    continue;
                }
                if (sent.type == MESSAGE_HELLO) {
                    greet_as(sent.link, node, false);
                } else if (sent.type == MESSAGE_PING) {
                    reply(sent.link, MESSAGE_PING, sent.id, 0, (struct bytes){0});
                }
            }
        }
    }
}

enum { ALL = 0x3e };

/* A client that knows the ring of five and has heard of every node. */
static void client_ready(void) {
    static const char *const addresses[] = {"ipc:///n1"};
    client_start(addresses, 1);
    greet_as(link_of(1), 1, false);
    for (uint16_t node = 2; node <= 5; node++) {
        greet_as(link_of(node), node, false);
    }
    world.n_sent = 0;
}

struct outcome {
    int n_done;
    int status;
    size_t size;
};

static void done(struct client_request *request, int status, struct bytes payload) {
    struct outcome *outcome = request->context;
    outcome->n_done++;
    outcome->status = status;
    outcome->size = payload.size;
}

static struct client_request request_of(uint8_t type, const char *key, struct outcome *outcome) {
    *outcome = (struct outcome){.status = 1};
    return (struct client_request){.type = type,
                                   .key = bytes_of_string(key),
                                   .payload = bytes_of_string("payload"),
                                   .deadline_ns = world.now + 5000 * MS,
                                   .done = done,
                                   .context = outcome};
}

/* The id of the key's k-th replica. */
static uint16_t replica(const char *key, int k) {
    uint16_t slice = ring_slice(&ring, bytes_of_string(key));
    return ring.members[ring_preference(&ring, slice)[k]].id;
}

/* The k-th message that is no heartbeat; NULL when there are fewer. */
static const struct sent *request_sent(uint32_t k) {
    for (uint32_t i = 0; i < world.n_sent; i++) {
        bool heartbeat = world.sent[i].type == MESSAGE_HELLO || world.sent[i].type == MESSAGE_PING;
        if (!heartbeat && k-- == 0) {
            return &world.sent[i];
        }
    }
    return NULL;
}

static uint32_t n_requests_sent(void) {
    uint32_t n = 0;
    while (request_sent(n) != NULL) {
        n++;
    }
    return n;
}

static void assert_sent_to(uint32_t k, uint16_t node) {
    assert_non_null(request_sent(k));
    assert_int_equal(request_sent(k)->link, link_of(node));
}

static void answer(uint32_t k, int status, const char *text) {
    struct sent sent = *request_sent(k);
    reply(sent.link, sent.type, sent.id, status, bytes_of_string(text));
}

/* ---- the ring ---- */

static void
hello_goes_to_every_bootstrap_address_and_the_ring_opens_a_link_per_member(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1", "ipc:///n2", "ipc:///n1"};
    client_start(addresses, 3);
    assert_int_equal(n_links_open(), 2); /* the doubled address counts once */
    assert_int_equal(world.n_sent, 2);
    assert_null(client_ring(client));
    greet_as(link_of(2), 2, false);
    assert_int_equal(n_links_open(), 5);
    assert_int_equal(client_ring(client)->n_members, 5);
    greet_as(link_of(1), 1, false);
    assert_int_equal(n_links_open(), 5);
}

static void two_addresses_of_one_node_make_one_link(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias", "ipc:///n1"};
    client_start(addresses, 2);
    int alias = link_at("ipc:///alias");
    greet_as(link_of(1), 1, false);
    assert_int_equal(n_links_open(), 6);
    greet_as(alias, 1, false);
    assert_int_equal(link_at("ipc:///alias"), -1);
    assert_int_equal(n_links_open(), 5);
}

static void an_alias_that_answers_first_serves_as_the_nodes_link(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias"};
    struct outcome outcome;
    client_start(addresses, 1);
    int alias = link_at("ipc:///alias");
    greet_as(alias, 1, false);
    assert_int_equal(n_links_open(), 5);
    assert_int_equal(link_of(1), -1);
    struct client_request request = request_of(MESSAGE_STATS, "", &outcome);
    request.node = 1;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(request_sent(0)->link, alias);
    answer(0, 0, "");
}

static void a_hello_answer_with_a_damaged_ring_is_ignored(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    client_start(addresses, 1);
    greet_as(link_of(1), 1, true);
    assert_null(client_ring(client));
    greet_as(link_of(1), 77, false); /* not a member of the ring it shows */
    assert_null(client_ring(client));
    assert_int_equal(n_links_open(), 1);
    reply(link_of(1), MESSAGE_HELLO, 1, 0, bytes_of_string("x"));
    assert_null(client_ring(client));
}

static void of_two_rings_the_higher_version_wins(void **state) {
    (void)state;
    client_ready();
    make_ring(3, 4);
    greet_as(link_of(2), 2, false);
    assert_int_equal(client_ring(client)->version, 3);
    assert_int_equal(n_links_open(), 4);
    make_ring(2, 5);
    greet_as(link_of(2), 2, false);
    assert_int_equal(client_ring(client)->version, 3);
    assert_int_equal(n_links_open(), 4);
}

static void a_request_made_before_the_ring_is_known_goes_out_when_it_is(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    struct outcome outcome;
    client_start(addresses, 1);
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    pass(200, 0);
    assert_int_equal(n_requests_sent(), 0);
    greet_as(link_of(1), 1, false);
    pass(CLIENT_RETRY_MS, ALL);
    assert_int_equal(n_requests_sent(), 1);
    answer(0, 0, "v");
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
}

/* ---- routing ---- */

static void a_request_goes_to_the_first_replica_and_is_answered_once(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_sent_to(0, replica("k", 0));
    assert_int_equal(request_sent(0)->budget_ms, 5000);
    answer(0, 0, "value");
    answer(0, 0, "value"); /* doubled */
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(outcome.size, 5);
    pass(6000, ALL);
    assert_int_equal(outcome.n_done, 1);
    assert_int_equal(n_requests_sent(), 1);
}

static void after_a_silent_attempt_the_next_replica_is_asked_with_the_same_bytes(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    pass(CLIENT_ATTEMPT_MS, ALL);
    assert_int_equal(n_requests_sent(), 2);
    assert_sent_to(1, replica("k", 1));
    assert_int_equal(request_sent(1)->payload_size, 7);
    assert_memory_equal(request_sent(1)->payload, "payload", 7);
    assert_true(request_sent(1)->id == request_sent(0)->id);
    answer(1, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void a_late_success_of_an_earlier_attempt_counts(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    pass(CLIENT_ATTEMPT_MS, ALL);
    answer(0, ERR_CONFLICT, ""); /* the first node's late refusal does not */
    assert_int_equal(outcome.n_done, 0);
    answer(0, 0, "");
    assert_int_equal(outcome.n_done, 1);
    answer(1, 0, "");
    assert_int_equal(outcome.n_done, 1);
}

static void a_link_that_went_down_moves_its_requests_at_once(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    client_link_down(client, (uint16_t)link_of(replica("k", 0)));
    assert_sent_to(1, replica("k", 1));
    struct outcome second_outcome;
    struct client_request second = request_of(MESSAGE_GET, "k", &second_outcome);
    assert_int_equal(client_submit(client, &second), 0);
    assert_sent_to(2, replica("k", 1)); /* and later ones do not go there at all */
    answer(1, 0, "");
    answer(2, 0, "");
    assert_int_equal(outcome.n_done + second_outcome.n_done, 2);
}

static void a_silent_node_is_opened_anew_and_used_again_when_it_answers(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    uint16_t first = replica("k", 0);
    int link = link_of(first);
    pass(CLIENT_SILENCE_MS + 2 * CLIENT_TICK_MS, ALL & ~(1u << first));
    assert_int_equal(world.n_reopened[link], 1);
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_sent_to(0, replica("k", 1));
    answer(0, 0, "");
    pass(2 * CLIENT_PING_MS, ALL);
    assert_int_equal(client_submit(client, &request), 0);
    assert_sent_to(1, first);
    answer(1, 0, "");
    assert_int_equal(world.n_reopened[link], 1);
}

static void when_no_replica_is_alive_another_node_is_asked_to_pass_it_on(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    for (int k = 0; k < 3; k++) {
        client_link_down(client, (uint16_t)link_of(replica("k", k)));
    }
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(n_requests_sent(), 1);
    for (int k = 0; k < 3; k++) {
        assert_int_not_equal(request_sent(0)->link, link_of(replica("k", k)));
    }
    answer(0, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void unavailable_goes_round_the_replicas_and_pauses_between_rounds(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        assert_sent_to(k, replica("k", (int)k));
        answer(k, ERR_UNAVAILABLE, "");
    }
    assert_int_equal(n_requests_sent(), 3);
    pass(CLIENT_RETRY_MS - 10, ALL);
    assert_int_equal(n_requests_sent(), 3);
    pass(10, ALL);
    assert_sent_to(3, replica("k", 0));
    answer(3, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void busy_pauses_before_the_next_try(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    answer(0, ERR_BUSY, "");
    assert_int_equal(n_requests_sent(), 1);
    pass(CLIENT_RETRY_MS, ALL);
    assert_sent_to(1, replica("k", 1));
    answer(1, 0, "");
    assert_int_equal(outcome.status, 0);
}

static void a_definite_refusal_ends_the_request_with_its_payload(void **state) {
    (void)state;
    static const int definite[] = {ERR_CONFLICT, ERR_INVALID,  ERR_TOO_BIG,
                                   ERR_SIBLINGS, ERR_NO_SPACE, ERR_NOT_FOUND};
    client_ready();
    for (uint32_t i = 0; i < sizeof definite / sizeof *definite; i++) {
        struct outcome outcome;
        struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
        assert_int_equal(client_submit(client, &request), 0);
        answer(i, definite[i], "row");
        assert_int_equal(outcome.status, definite[i]);
        assert_int_equal(outcome.size, 3);
    }
}

static void a_disks_failure_is_final_only_when_every_replica_has_it(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3; k++) {
        answer(k, ERR_CORRUPT, "");
        assert_int_equal(outcome.n_done, 0);
    }
    pass(CLIENT_RETRY_MS, ALL);
    answer(3, ERR_CORRUPT, "");
    assert_int_equal(outcome.status, ERR_CORRUPT);
}

/* ---- credit ---- */

static void what_does_not_fit_the_credit_waits_in_order(void **state) {
    (void)state;
    enum { N = 5 };
    struct outcome outcomes[N];
    struct client_request requests[N];
    client_ready();
    for (int i = 0; i < N; i++) {
        requests[i] = request_of(MESSAGE_GET, "k", &outcomes[i]);
        requests[i].reply_size = 40 << 10;
        assert_int_equal(client_submit(client, &requests[i]), 0);
    }
    assert_int_equal(n_requests_sent(), 2); /* 2 * 40 KiB of 100 KiB */
    answer(0, 0, "");
    assert_int_equal(n_requests_sent(), 3);
    assert_true(request_sent(2)->id == requests[2].id);
    for (uint32_t i = 1; i < N; i++) {
        answer(i, 0, "");
    }
    for (int i = 0; i < N; i++) {
        assert_int_equal(outcomes[i].n_done, 1);
    }
}

static void a_reply_larger_than_the_credit_goes_alone(void **state) {
    (void)state;
    struct outcome first, large, last;
    client_ready();
    struct client_request a = request_of(MESSAGE_GET, "k", &first);
    struct client_request b = request_of(MESSAGE_SCAN, "k", &large);
    struct client_request c = request_of(MESSAGE_GET, "k", &last);
    b.reply_size = 1 << 20;
    assert_int_equal(client_submit(client, &a), 0);
    assert_int_equal(client_submit(client, &b), 0);
    assert_int_equal(client_submit(client, &c), 0);
    assert_int_equal(n_requests_sent(), 1);
    answer(0, 0, "");
    assert_int_equal(n_requests_sent(), 2);
    assert_int_equal(request_sent(1)->type, MESSAGE_SCAN);
    answer(1, 0, "");
    assert_int_equal(n_requests_sent(), 3);
    answer(2, 0, "");
}

static void what_waits_for_credit_moves_too_when_the_link_goes_down(void **state) {
    (void)state;
    struct outcome outcomes[2];
    client_ready();
    struct client_request a = request_of(MESSAGE_GET, "k", &outcomes[0]);
    struct client_request b = request_of(MESSAGE_GET, "k", &outcomes[1]);
    a.reply_size = b.reply_size = CREDIT;
    assert_int_equal(client_submit(client, &a), 0);
    assert_int_equal(client_submit(client, &b), 0);
    client_link_down(client, (uint16_t)link_of(replica("k", 0)));
    assert_int_equal(n_requests_sent(), 2); /* b waits again, at the second replica */
    assert_sent_to(1, replica("k", 1));
    answer(1, 0, "");
    answer(2, 0, "");
    assert_int_equal(outcomes[0].n_done + outcomes[1].n_done, 2);
}

static void a_full_link_is_a_reason_to_pause(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    world.full = true;
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(n_requests_sent(), 0);
    world.full = false;
    pass(CLIENT_RETRY_MS, ALL);
    assert_int_equal(n_requests_sent(), 1);
    answer(0, 0, "");
    assert_int_equal(outcome.status, 0);
}

/* ---- deadlines and ends ---- */

static int status_at_deadline(uint8_t type, int answered) {
    struct outcome outcome;
    world.n_sent = 0;
    struct client_request request = request_of(type, "k", &outcome);
    request.deadline_ns = world.now + 30 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    for (uint32_t k = 0; k < 3 && answered != 0; k++) {
        answer(k, answered, "");
    }
    pass(20, ALL);
    assert_int_equal(outcome.n_done, 0);
    pass(10, ALL);
    assert_int_equal(outcome.n_done, 1);
    return outcome.status;
}

static void the_deadline_tells_what_is_known(void **state) {
    (void)state;
    client_ready();
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
    client_ready();
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    request.deadline_ns = world.now + 30 * MS;
    assert_int_equal(client_submit(client, &request), 0);
    client_link_down(client, (uint16_t)link_of(replica("k", 0)));
    answer(1, ERR_UNAVAILABLE, "");
    answer(2, ERR_UNAVAILABLE, "");
    pass(30, ALL);
    assert_int_equal(outcome.status, ERR_UNKNOWN);
}

static void without_any_node_a_request_ends_at_its_deadline(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///n1"};
    struct outcome outcome;
    client_start(addresses, 1);
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    pass(4990, 0);
    assert_int_equal(outcome.n_done, 0);
    pass(10, 0);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(n_requests_sent(), 0);
}

static void a_cancelled_request_is_answered_right_then(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    client_cancel(client, &request);
    assert_int_equal(outcome.status, ERR_INTERRUPTED);
    struct client_request batch = request_of(MESSAGE_BATCH, "k", &outcome);
    assert_int_equal(client_submit(client, &batch), 0);
    client_cancel(client, &batch);
    assert_int_equal(outcome.status, ERR_UNKNOWN);
    answer(1, 0, "");
    assert_int_equal(outcome.n_done, 1);
}

static void requests_left_at_the_end_are_closed(void **state) {
    (void)state;
    struct outcome outcomes[3];
    struct client_request requests[3];
    client_ready();
    for (int i = 0; i < 3; i++) {
        requests[i] = request_of(MESSAGE_GET, "k", &outcomes[i]);
        requests[i].reply_size = CREDIT;
        assert_int_equal(client_submit(client, &requests[i]), 0);
    }
    client_free(client);
    client = NULL;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(outcomes[i].n_done, 1);
        assert_int_equal(outcomes[i].status, ERR_CLOSED);
    }
    assert_int_equal(n_links_open(), 0);
}

static void the_number_of_requests_is_bounded(void **state) {
    (void)state;
    struct outcome outcome = {0};
    struct client_request *requests =
        calloc(CLIENT_REQUESTS_MAX + 1, sizeof(struct client_request));
    static const char *const addresses[] = {"ipc:///n1"};
    client_start(addresses, 1);
    for (int i = 0; i < CLIENT_REQUESTS_MAX; i++) {
        requests[i] = request_of(MESSAGE_GET, "k", &outcome);
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
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "", &outcome);
    assert_int_equal(client_submit(client, &request), ERR_INVALID);
    request = request_of(MESSAGE_REPLICATE, "k", &outcome);
    assert_int_equal(client_submit(client, &request), ERR_INVALID);
    request = request_of(MESSAGE_GET, "k", &outcome);
    request.key.size = PARTITION_KEY_MAX + 1;
    assert_int_equal(client_submit(client, &request), ERR_TOO_BIG);
    assert_int_equal(outcome.n_done, 0);
}

static void a_quiet_link_is_pinged(void **state) {
    (void)state;
    client_ready();
    pass(CLIENT_PING_MS + CLIENT_TICK_MS, ALL);
    assert_int_equal(world.n_sent, 5);
    for (uint32_t i = 0; i < world.n_sent; i++) {
        assert_int_equal(world.sent[i].type, MESSAGE_PING);
    }
}

static void a_late_answer_is_not_taken_for_that_of_a_later_request(void **state) {
    (void)state;
    struct outcome first, second;
    client_ready();
    struct client_request request = request_of(MESSAGE_GET, "k", &first);
    assert_int_equal(client_submit(client, &request), 0);
    client_cancel(client, &request);
    struct client_request later = request_of(MESSAGE_GET, "k", &second);
    assert_int_equal(client_submit(client, &later), 0);
    answer(0, 0, "old");
    assert_int_equal(second.n_done, 0);
    answer(1, 0, "new");
    assert_int_equal(second.n_done, 1);
}

static void a_node_that_cannot_pass_it_on_is_not_asked_again_at_once(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    for (int k = 0; k < 3; k++) {
        client_link_down(client, (uint16_t)link_of(replica("k", k)));
    }
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    answer(0, ERR_UNAVAILABLE, "");
    assert_int_equal(n_requests_sent(), 1);
    pass(CLIENT_RETRY_MS, 0);
    assert_int_equal(n_requests_sent(), 2);
    answer(1, 0, "");
}

static void an_alias_replaces_the_nodes_own_address_while_that_is_silent(void **state) {
    (void)state;
    static const char *const addresses[] = {"ipc:///alias", "ipc:///n2"};
    struct outcome outcome;
    client_start(addresses, 2);
    int alias = link_at("ipc:///alias");
    greet_as(link_of(2), 2, false); /* opens a link to the first node, which does not answer */
    assert_int_not_equal(link_of(1), -1);
    greet_as(alias, 1, false);
    assert_int_equal(link_of(1), -1);
    struct client_request request = request_of(MESSAGE_STATS, "", &outcome);
    request.node = 1;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(request_sent(0)->link, alias);
    answer(0, 0, "");
}

static void a_node_that_moved_is_asked_at_its_new_address(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    uint16_t first = replica("k", 0);
    int link = link_of(first);
    struct client_request request = request_of(MESSAGE_GET, "k", &outcome);
    assert_int_equal(client_submit(client, &request), 0);
    make_ring(2, 5);
    snprintf(ring.members[first - 1].address, RING_ADDRESS_MAX, "ipc:///moved");
    greet_as(link_of(first == 1 ? 2 : 1), first == 1 ? 2 : 1, false);
    assert_int_equal(link_at("ipc:///moved"), link);
    assert_sent_to(1, replica("k", 1));
    answer(1, 0, "");
    greet_as(link, first, false);
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(request_sent(2)->link, link);
    answer(2, 0, "");
}

static void nothing_is_sent_at_or_after_the_deadline(void **state) {
    (void)state;
    struct outcome outcome;
    client_ready();
    struct client_request request = request_of(MESSAGE_BATCH, "k", &outcome);
    request.deadline_ns = world.now;
    assert_int_equal(client_submit(client, &request), 0);
    assert_int_equal(outcome.n_done, 0); /* never from inside submit */
    pass(10, ALL);
    assert_int_equal(outcome.status, ERR_TIMEOUT);
    assert_int_equal(n_requests_sent(), 0);
}

static void a_ring_of_a_later_version_is_asked_for_when_seen(void **state) {
    (void)state;
    client_ready();
    make_ring(2, 4);
    pass(2 * CLIENT_PING_MS, ALL); /* the version stands in the answers to PING */
    assert_int_equal(client_ring(client)->version, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(hello_goes_to_every_bootstrap_address_and_the_ring_opens_a_link_per_member),
        TEST(two_addresses_of_one_node_make_one_link),
        TEST(an_alias_that_answers_first_serves_as_the_nodes_link),
        TEST(a_hello_answer_with_a_damaged_ring_is_ignored),
        TEST(of_two_rings_the_higher_version_wins),
        TEST(a_request_made_before_the_ring_is_known_goes_out_when_it_is),
        TEST(a_request_goes_to_the_first_replica_and_is_answered_once),
        TEST(after_a_silent_attempt_the_next_replica_is_asked_with_the_same_bytes),
        TEST(a_late_success_of_an_earlier_attempt_counts),
        TEST(a_link_that_went_down_moves_its_requests_at_once),
        TEST(a_silent_node_is_opened_anew_and_used_again_when_it_answers),
        TEST(when_no_replica_is_alive_another_node_is_asked_to_pass_it_on),
        TEST(unavailable_goes_round_the_replicas_and_pauses_between_rounds),
        TEST(busy_pauses_before_the_next_try),
        TEST(a_definite_refusal_ends_the_request_with_its_payload),
        TEST(a_disks_failure_is_final_only_when_every_replica_has_it),
        TEST(what_does_not_fit_the_credit_waits_in_order),
        TEST(a_reply_larger_than_the_credit_goes_alone),
        TEST(what_waits_for_credit_moves_too_when_the_link_goes_down),
        TEST(a_full_link_is_a_reason_to_pause),
        TEST(the_deadline_tells_what_is_known),
        TEST(a_write_is_unknown_when_one_attempt_was_never_answered),
        TEST(without_any_node_a_request_ends_at_its_deadline),
        TEST(a_cancelled_request_is_answered_right_then),
        TEST(requests_left_at_the_end_are_closed),
        TEST(the_number_of_requests_is_bounded),
        TEST(malformed_requests_are_refused_at_the_door),
        TEST(a_quiet_link_is_pinged),
        TEST(a_late_answer_is_not_taken_for_that_of_a_later_request),
        TEST(a_node_that_cannot_pass_it_on_is_not_asked_again_at_once),
        TEST(an_alias_replaces_the_nodes_own_address_while_that_is_silent),
        TEST(a_node_that_moved_is_asked_at_its_new_address),
        TEST(nothing_is_sent_at_or_after_the_deadline),
        TEST(a_ring_of_a_later_version_is_asked_for_when_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
