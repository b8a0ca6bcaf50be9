/* transport_ends: several transports on one loop, for the tests of the transport. */
#ifndef RINGFS_TESTS_UNIT_SHARED_TRANSPORT_ENDS_H
#define RINGFS_TESTS_UNIT_SHARED_TRANSPORT_ENDS_H

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

static inline void received(void *context, const struct endpoint *from,
                            const struct message *message) {
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

static inline void link_down(void *context, uint16_t link) {
    (void)link;
    ((struct end *)context)->n_down++;
}

static inline void log_line(void *context, int level, const char *line) {
    (void)level;
    struct end *end = context;
    if (end->n_lines < LINES_MAX) {
        snprintf(end->lines[end->n_lines], sizeof(end->lines[0]), "%s", line);
    }
    end->n_lines++;
}

static inline int end_try(struct end *end, enum transport_role role, uint16_t node,
                          const char *key_file) {
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

static inline void end_new(struct end *end, enum transport_role role, uint16_t node) {
    assert_int_equal(end_try(end, role, node, NULL), 0);
}

static inline void ipc_address(char ret[RING_ADDRESS_MAX]) {
    snprintf(ret, RING_ADDRESS_MAX, "ipc://%s/%d", directory, ++n_sockets);
}

static inline int64_t now_ns(void) {
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

static inline int send_to(struct end *end, const struct endpoint *to, uint64_t id,
                          struct bytes payload) {
    struct message message = {.type = MESSAGE_PING, .id = id, .payload = payload};
    return transport_send(end->transport, to, &message);
}

static inline int send_node(struct end *end, uint16_t node, uint64_t id, struct bytes payload) {
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = node};
    return send_to(end, &to, id, payload);
}

/* A client of link 1 and a node that echoes, on an ipc address. */
struct pair {
    struct end client, node;
    char address[RING_ADDRESS_MAX];
};

static inline void pair_new(struct pair *pair) {
    ipc_address(pair->address);
    end_new(&pair->node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(pair->node.transport, pair->address), 0);
    pair->node.echoes = true;
    end_new(&pair->client, TRANSPORT_TO_NODE, 0);
    transport_connect(pair->client.transport, 1, pair->address);
}

static inline void pair_free(struct pair *pair) {
    transport_free(pair->client.transport);
    transport_free(pair->node.transport);
}

static inline struct transport_counters counters(const struct end *end) {
    struct transport_counters counters;
    transport_counters(end->transport, &counters);
    return counters;
}

static inline struct bytes bulk(size_t size) {
    static uint8_t zeros[MESSAGE_PAYLOAD_MAX];
    assert_true(size <= sizeof(zeros));
    return bytes_of(zeros, size);
}

/* Sends until an answer comes: what is under way when a connection breaks is lost. */
static inline void assert_serves(struct end *client, uint16_t link) {
    uint64_t before = client->n_received;
    uint64_t id = 1000;
    PUMP_UNTIL(
        (send_node(client, link, id++, bytes_of_string("again")), client->n_received > before));
}

static inline int set_up(void **state) {
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/ringfs-transport.XXXXXX");
    loop = loop_new();
    return mkdtemp(directory) == NULL;
}

static inline int tear_down(void **state) {
    (void)state;
    loop_free(loop);
    for (int i = 1; i <= 2; i++) {
        char path[96];
        snprintf(path, sizeof(path), "%s/key%d", directory, i);
        unlink(path);
    }
    return rmdir(directory); /* fails when a socket file was left behind */
}

#endif
