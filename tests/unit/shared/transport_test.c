/* transport: real sockets, two or more transports on one loop; one test per trap of nanomsg. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shared/address.h"
#include "shared/err.h"
#include "shared/frame.h"
#include "shared/transport.h"

#define MS_NS 1000000ll
#define DEADLINE_NS (10000 * MS_NS)

enum { LINES_MAX = 64 };

/* One end: a transport, and what came out of it. */
struct end {
    struct transport *transport;
    bool echoes;      /* answers each request with its own payload */
    bool disconnects; /* closes the link from inside received() */
    uint64_t n_received;
    uint64_t payload_received;
    uint64_t next_id; /* of the message that must come next, when `ordered` */
    bool ordered;
    int n_down;
    struct endpoint last_from;
    int n_lines;
    char lines[LINES_MAX][512];
};

static struct loop *loop;
static char directory[64];
static int n_sockets;

static void received(void *context, const struct endpoint *from, const struct message *message) {
    struct end *end = context;
    if (end->ordered) {
        assert_int_equal(message->id, end->next_id);
        end->next_id++;
    }
    end->n_received++;
    end->payload_received += message->payload.size;
    end->last_from = *from;
    if (end->echoes) {
        struct message answer = *message;
        answer.type |= MESSAGE_REPLY;
        assert_int_equal(transport_send(end->transport, from, &answer), 0);
    }
    if (end->disconnects) {
        transport_disconnect(end->transport, from->node);
    }
}

static void link_down(void *context, uint16_t link) {
    (void)link;
    ((struct end *)context)->n_down++;
}

static void log_line(void *context, int level, const char *line) {
    (void)level;
    struct end *end = context;
    if (end->n_lines < LINES_MAX) {
        snprintf(end->lines[end->n_lines], sizeof(end->lines[0]), "%s", line);
    }
    end->n_lines++;
}

static int end_try(struct end *end, enum transport_role role, uint16_t node, const char *key_file) {
    *end = (struct end){.transport = NULL};
    struct transport_config config = {
        .role = role,
        .self_node = node,
        .key_file = key_file,
        .received = received,
        .link_down = link_down,
        .log = log_line,
        .context = end,
    };
    return transport_new(loop, &config, &end->transport);
}

static void end_new(struct end *end, enum transport_role role, uint16_t node) {
    assert_int_equal(end_try(end, role, node, NULL), 0);
}

static void ipc_address(char ret[RING_ADDRESS_MAX]) {
    snprintf(ret, RING_ADDRESS_MAX, "ipc://%s/%d", directory, ++n_sockets);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Turns the loop until the condition holds; the test fails at the deadline. */
#define PUMP_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t deadline_ns_ = now_ns() + DEADLINE_NS;                                             \
        while (!(condition)) {                                                                     \
            if (now_ns() > deadline_ns_) {                                                         \
                fail_msg("never came true: %s", #condition);                                       \
            }                                                                                      \
            loop_turn(loop, 5 * MS_NS);                                                            \
        }                                                                                          \
    } while (0)

static int send_to(struct end *end, const struct endpoint *to, uint64_t id, struct bytes payload) {
    struct message message = {.type = MESSAGE_PING, .id = id, .payload = payload};
    return transport_send(end->transport, to, &message);
}

static int send_node(struct end *end, uint16_t node, uint64_t id, struct bytes payload) {
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = node};
    return send_to(end, &to, id, payload);
}

/* A client of link 1 and a node that echoes, on an ipc address. */
struct pair {
    struct end client, node;
    char address[RING_ADDRESS_MAX];
};

static void pair_new(struct pair *pair) {
    ipc_address(pair->address);
    end_new(&pair->node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(pair->node.transport, pair->address), 0);
    pair->node.echoes = true;
    end_new(&pair->client, TRANSPORT_TO_NODE, 0);
    transport_connect(pair->client.transport, 1, pair->address);
}

static void pair_free(struct pair *pair) {
    transport_free(pair->client.transport);
    transport_free(pair->node.transport);
}

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

static int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/ringfs-transport.XXXXXX");
    loop = loop_new();
    return mkdtemp(directory) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    loop_free(loop);
    return rmdir(directory); /* fails when a socket file was left behind */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_by_its_route),
        cmocka_unit_test(a_message_between_nodes_names_its_sender),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
