/* client_world: the env of a client under test: records what is sent, hands replies back. */
#include "tests/lib/client_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct world world;
struct client *client;
struct ring ring;

static struct timers timers;
static struct env env;

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
                          .flags = message->flags,
                          .stamp_ns = message->stamp_ns,
                          .age_ms = message->age_ms,
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

void world_ring(uint64_t version, uint16_t n_members) {
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

int world_start(void **state) {
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
    world_ring(1, 5);
    return 0;
}

void world_client(const char *const *addresses, uint16_t n) {
    struct client_config config = {.addresses = addresses, .n_addresses = n};
    assert_int_equal(client_new(&config, &env, &timers, &client), 0);
}

int world_end(void **state) {
    (void)state;
    client_free(client);
    client = NULL;
    assert_true(timers_next(&timers) == TIMERS_NEVER);
    timers_release(&timers);
    ring_release(&ring);
    return 0;
}

int world_link_at(const char *address) {
    for (int i = 0; i < LINKS_MAX; i++) {
        if (strcmp(world.address[i], address) == 0) {
            return i;
        }
    }
    return -1;
}

int world_link_of(uint16_t node) {
    char address[RING_ADDRESS_MAX];
    snprintf(address, sizeof address, "ipc:///n%u", (unsigned)node);
    return world_link_at(address);
}

int world_links_open(void) {
    int n = 0;
    for (int i = 0; i < LINKS_MAX; i++) {
        n += world.address[i][0] != '\0';
    }
    return n;
}

void world_reply(int link, uint8_t type, uint64_t id, int status, struct bytes payload) {
    struct endpoint from = {.kind = ENDPOINT_NODE, .node = (uint16_t)link};
    struct message message = {.type = (uint8_t)(type | MESSAGE_REPLY),
                              .status = (uint8_t)-status,
                              .id = id,
                              .payload = payload,
                              .ring_version = ring.version,
                              .stamp_ns = 1 + (uint64_t)(world.now + world.nodes_ahead_ns)};
    client_receive(client, &from, &message);
}

void world_greet(int link, uint16_t node, bool garbage) {
    struct buffer encoded = {0}, payload = {0};
    ring_encode(&ring, &encoded);
    if (garbage) {
        encoded.data[encoded.size / 2] ^= 0xff;
        encoded.size -= 3;
    }
    struct hello_reply hello = {.node = node,
                                .credit_bytes = CREDIT,
                                .read_quorum = world.read_quorum,
                                .ring = buffer_bytes(&encoded)};
    hello_reply_encode(&hello, &payload);
    world_reply(link, MESSAGE_HELLO, 1, 0, buffer_bytes(&payload));
    buffer_release(&encoded);
    buffer_release(&payload);
}

void world_pass(int64_t ms, unsigned answering) {
    for (int64_t i = 0; i < ms; i += 10) {
        uint32_t n_before = world.n_sent;
        world.now += 10 * MS;
        timers_run(&timers, world.now);
        for (uint32_t k = n_before; k < world.n_sent; k++) {
            struct sent sent = world.sent[k];
            for (uint16_t node = 1; node <= 5; node++) {
                if ((answering & 1u << node) == 0 || world_link_of(node) != sent.link) {
                    continue;
                }
                if (sent.type == MESSAGE_HELLO) {
                    world_greet(sent.link, node, false);
                } else if (sent.type == MESSAGE_PING) {
                    world_reply(sent.link, MESSAGE_PING, sent.id, 0, (struct bytes){0});
                }
            }
        }
    }
}

void world_ready(void) {
    static const char *const addresses[] = {"ipc:///n1"};
    world_client(addresses, 1);
    world_greet(world_link_of(1), 1, false);
    for (uint16_t node = 2; node <= 5; node++) {
        world_greet(world_link_of(node), node, false);
    }
    world.n_sent = 0;
}

static void done(struct client_request *request, int status, struct bytes payload) {
    struct outcome *outcome = request->context;
    outcome->n_done++;
    outcome->status = status;
    outcome->size = payload.size;
    if (payload.size > 0) {
        memcpy(outcome->answer, payload.data,
               payload.size < sizeof outcome->answer ? payload.size : sizeof outcome->answer);
    }
}

struct client_request world_request(uint8_t type, const char *key, struct outcome *outcome) {
    *outcome = (struct outcome){.status = 1};
    return (struct client_request){.type = type,
                                   .key = bytes_of_string(key),
                                   .payload = bytes_of_string("payload"),
                                   .deadline_ns = world.now + 5000 * MS,
                                   .done = done,
                                   .context = outcome};
}

uint16_t world_replica(const char *key, int k) {
    uint16_t slice = ring_slice(&ring, bytes_of_string(key));
    return ring.members[ring_preference(&ring, slice)[k]].id;
}

const struct sent *world_sent(uint32_t k) {
    for (uint32_t i = 0; i < world.n_sent; i++) {
        bool heartbeat = world.sent[i].type == MESSAGE_HELLO || world.sent[i].type == MESSAGE_PING;
        if (!heartbeat && k-- == 0) {
            return &world.sent[i];
        }
    }
    return NULL;
}

uint32_t world_n_sent(void) {
    uint32_t n = 0;
    while (world_sent(n) != NULL) {
        n++;
    }
    return n;
}

void world_assert_sent_to(uint32_t k, uint16_t node) {
    assert_non_null(world_sent(k));
    assert_int_equal(world_sent(k)->link, world_link_of(node));
}

void world_answer(uint32_t k, int status, const char *text) {
    struct sent sent = *world_sent(k);
    world_reply(sent.link, sent.type, sent.id, status, bytes_of_string(text));
}
