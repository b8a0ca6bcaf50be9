/* client under random nodes: slow, silent, refusing, restarting, changing the ring; by seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/client.h"

enum {
    SEEDS = 300,
    REQUESTS = 150,
    MEMBERS_MAX = 6,
    LINKS_MAX = CLIENT_NODES_MAX + CLIENT_ADDRESSES_MAX + 1,
    MAIL_MAX = 20000,
};
#define MS INT64_C(1000000)

/* A reply under way. */
struct mail {
    struct timer timer;
    uint16_t link;
    uint32_t connection; /* of the link, when it was sent */
    uint8_t type;
    int status;
    uint64_t id;
};

struct asked {
    struct client_request request;
    struct timer submit;
    char key[16];
    uint8_t payload[8];
    bool submitted, cancelled;
    int n_done;
    int status;
    bool applied; /* a node said it did it, or may have done it */
};

static struct world {
    int64_t now;
    uint64_t dice;
    bool calm; /* nodes answer at once and well */
    char address[LINKS_MAX][RING_ADDRESS_MAX];
    uint32_t connection[LINKS_MAX];
    bool dead[MEMBERS_MAX + 1];
    struct mail *mail;
    uint32_t n_mail;
    struct asked *asked;
} world;

static struct timers timers;
static struct client *client;
static struct env env;
static struct ring ring;

static uint64_t roll(uint64_t sides) {
    uint64_t z = world.dice += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) % sides;
}

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
    return roll(UINT64_MAX);
}
static void env_connect(void *self, uint16_t link, const char *address) {
    (void)self;
    assert_in_range(link, 1, LINKS_MAX - 1);
    snprintf(world.address[link], RING_ADDRESS_MAX, "%s", address);
    world.connection[link]++;
}
static void env_reconnect(void *self, uint16_t link) {
    (void)self;
    assert_true(world.address[link][0] != '\0');
    world.connection[link]++;
}
static void env_disconnect(void *self, uint16_t link) {
    (void)self;
    assert_true(world.address[link][0] != '\0');
    world.address[link][0] = '\0';
    world.connection[link]++;
}
static void env_log(void *self, int level, const char *line) {
    (void)self;
    (void)level;
    (void)line;
}

static uint16_t node_at(uint16_t link) {
    return (uint16_t)atoi(world.address[link] + strlen("ipc:///n"));
}

static void deliver(void *context) {
    struct mail *mail = context;
    if (mail->connection != world.connection[mail->link]) {
        return; /* the connection it came on is gone */
    }
    struct buffer encoded = {0}, payload = {0};
    if (mail->type == MESSAGE_HELLO) {
        ring_encode(&ring, &encoded);
        struct hello_reply hello = {.node = node_at(mail->link),
                                    .credit_bytes = 20 << 10,
                                    .read_quorum = 2,
                                    .ring = buffer_bytes(&encoded)};
        hello_reply_encode(&hello, &payload);
        if (!world.calm && roll(10) == 0) {
            payload.size = roll(payload.size); /* garbage */
        }
    }
    struct endpoint from = {.kind = ENDPOINT_NODE, .node = mail->link};
    struct message message = {.type = (uint8_t)(mail->type | MESSAGE_REPLY),
                              .status = (uint8_t)-mail->status,
                              .id = mail->id,
                              .ring_version = ring.version,
                              .payload = buffer_bytes(&payload)};
    client_receive(client, &from, &message);
    buffer_release(&encoded);
    buffer_release(&payload);
}

static struct asked *asked_of(const struct message *message) {
    uint32_t index = bytes_load_u32(message->payload.data);
    assert_true(index < REQUESTS);
    struct asked *asked = &world.asked[index];
    assert_true(asked->submitted && asked->n_done == 0); /* nothing is sent after the answer */
    assert_true(bytes_equal(message->payload, asked->request.payload));
    assert_true(bytes_equal(message->key, asked->request.key));
    assert_true(world.now < asked->request.deadline_ns);
    return asked;
}

static int random_status(void) {
    static const int statuses[] = {ERR_UNAVAILABLE, ERR_UNKNOWN, ERR_BUSY, ERR_WRONG_RING,
                                   ERR_TIMEOUT,     ERR_CLOSED,  ERR_DISK, ERR_CONFLICT};
    return world.calm || roll(3) > 0 ? 0 : statuses[roll(sizeof statuses / sizeof *statuses)];
}

static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    (void)self;
    assert_true(world.address[to->node][0] != '\0');
    bool heartbeat = message->type == MESSAGE_HELLO || message->type == MESSAGE_PING;
    struct asked *asked = heartbeat ? NULL : asked_of(message);
    if (!heartbeat && !world.calm && roll(50) == 0) {
        return ERR_BUSY;
    }
    uint16_t node = node_at(to->node);
    int status = heartbeat ? 0 : random_status();
    bool lost = world.dead[node] || (!world.calm && roll(10) == 0);
    if (asked != NULL && (lost || status == 0 || status == ERR_UNKNOWN || status == ERR_TIMEOUT)) {
        asked->applied = true;
    }
    if (lost) {
        return 0;
    }
    for (uint64_t copies = world.calm ? 1 : 1 + (roll(10) == 0); copies > 0; copies--) {
        assert_true(world.n_mail < MAIL_MAX);
        struct mail *mail = &world.mail[world.n_mail++];
        *mail = (struct mail){.timer = {.fire = deliver, .context = mail},
                              .link = to->node,
                              .connection = world.connection[to->node],
                              .type = message->type,
                              .status = status,
                              .id = message->id};
        int64_t slow = world.calm ? 1 : roll(20) == 0 ? 3000 : 20;
        timers_set(&timers, &mail->timer, world.now + MS + (int64_t)roll((uint64_t)(slow * MS)));
    }
    return 0;
}

static void change_ring(void) {
    struct ring_member members[MEMBERS_MAX] = {0};
    uint16_t n = 0;
    uint64_t version = ring.version + 1;
    for (uint16_t id = 1; id <= MEMBERS_MAX; id++) {
        if (id <= 2 || roll(3) > 0) {
            members[n].id = id;
            members[n].weight = RING_WEIGHT_DEFAULT;
            snprintf(members[n].address, RING_ADDRESS_MAX, "ipc:///n%u", (unsigned)id);
            n++;
        }
    }
    ring_release(&ring);
    assert_int_equal(ring_build(7, 64, 3, members, n, &ring), 0);
    ring.version = version;
}

static void done(struct client_request *request, int status, struct bytes payload) {
    struct asked *asked = request->context;
    (void)payload;
    asked->n_done++;
    asked->status = status;
    assert_true(world.now <= request->deadline_ns);
}

static void submit(void *context) {
    struct asked *asked = context;
    asked->submitted = true;
    assert_int_equal(client_submit(client, &asked->request), 0);
    assert_int_equal(asked->n_done, 0);
}

static void ask_at_random(void) {
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct asked *asked = &world.asked[i];
        snprintf(asked->key, sizeof asked->key, "key%u", (unsigned)roll(40));
        bytes_store_u32(asked->payload, i);
        int64_t at_ns = world.now + (int64_t)roll(5000) * MS;
        asked->request =
            (struct client_request){.type = roll(2) == 0 ? MESSAGE_GET : MESSAGE_BATCH,
                                    .key = bytes_of_string(asked->key),
                                    .payload = bytes_of(asked->payload, sizeof asked->payload),
                                    .reply_size = (uint32_t)roll(12 << 10),
                                    .deadline_ns = at_ns + (int64_t)(1 + roll(5000)) * MS,
                                    .done = done,
                                    .context = asked};
        asked->submit = (struct timer){.fire = submit, .context = asked};
        timers_set(&timers, &asked->submit, at_ns);
    }
}

static void disturb(void) {
    uint64_t what = roll(60);
    uint16_t link = (uint16_t)(1 + roll(8));
    if (what == 0) {
        world.dead[1 + roll(MEMBERS_MAX)] ^= true;
    } else if (what == 1 && world.address[link][0] != '\0') {
        world.connection[link]++;
        client_link_down(client, link);
    } else if (what == 2 && roll(4) == 0) {
        change_ring();
    } else if (what == 3) {
        struct asked *asked = &world.asked[roll(REQUESTS)];
        if (asked->submitted && asked->n_done == 0) {
            asked->cancelled = true;
            client_cancel(client, &asked->request);
        }
    }
}

/* Steps from event to event, at most 10 ms at a time. */
static void pass(int64_t ms, bool disturbed) {
    int64_t until_ns = world.now + ms * MS;
    while (world.now < until_ns) {
        int64_t next_ns = timers_next(&timers);
        int64_t step_ns = world.now + 10 * MS;
        world.now = next_ns < step_ns ? next_ns : step_ns;
        timers_run(&timers, world.now);
        if (disturbed) {
            disturb();
        }
    }
}

static void check_answers(uint64_t seed) {
    for (uint32_t i = 0; i < REQUESTS; i++) {
        const struct asked *asked = &world.asked[i];
        bool claims_nothing_happened =
            asked->status == ERR_UNAVAILABLE || asked->status == ERR_TIMEOUT;
        bool lie =
            asked->request.type == MESSAGE_BATCH && asked->applied && claims_nothing_happened;
        if (asked->n_done != 1 || lie) {
            fail_msg("seed %llu, request %u: %d answers, status %s%s", (unsigned long long)seed, i,
                     asked->n_done, err_name(asked->status), lie ? ", but it may be applied" : "");
        }
    }
}

/* Whatever happened before, once all is well each of the client's links works again. */
static void check_health(void) {
    struct client_node nodes[MEMBERS_MAX];
    world.calm = true;
    memset(world.dead, 0, sizeof world.dead);
    pass(3 * CLIENT_SILENCE_MS, false);
    assert_int_equal(client_ring(client)->version, ring.version);
    assert_int_equal(client_nodes(client, nodes, MEMBERS_MAX), ring.n_members);
    for (uint32_t i = 0; i < ring.n_members; i++) {
        assert_true(nodes[i].alive);
        assert_int_equal(nodes[i].in_flight, 0);
    }
}

static void run_seed(uint64_t seed) {
    static const char *const addresses[] = {"ipc:///n1", "ipc:///n2"};
    struct client_config config = {.addresses = addresses, .n_addresses = 2};
    memset(&world, 0, sizeof world);
    world.now = 1000 * MS;
    world.dice = seed;
    world.mail = calloc(MAIL_MAX, sizeof *world.mail);
    world.asked = calloc(REQUESTS, sizeof *world.asked);
    env = (struct env){.now_ns = env_now,
                       .wall_ns = env_wall,
                       .random = env_random,
                       .connect = env_connect,
                       .reconnect = env_reconnect,
                       .disconnect = env_disconnect,
                       .send = env_send,
                       .log = env_log};
    timers_init(&timers);
    change_ring();
    assert_int_equal(client_new(&config, &env, &timers, &client), 0);
    ask_at_random();
    pass(10100, true);
    check_answers(seed);
    check_health();
    client_free(client);
    timers_release(&timers);
    ring_release(&ring);
    free(world.mail);
    free(world.asked);
}

static void every_request_gets_one_true_answer_by_its_deadline(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_gets_one_true_answer_by_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
