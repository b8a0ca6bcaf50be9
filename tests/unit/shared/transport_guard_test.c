/* transport: what strangers may send, socket files, and the seal and fence of tcp. */
#include "tests/unit/shared/transport_ends.h"

/* ---- Strangers: what they may send, by the byte ---- */

enum { SP_REQ = 0x30, SP_PUSH = 0x50 };

static struct sockaddr_un socket_name(const char *address) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *path = address + strlen("ipc://");
    assert_true(strlen(path) < sizeof(name.sun_path));
    memcpy(name.sun_path, path, strlen(path));
    return name;
}

static int stranger_new(const char *address) {
    struct sockaddr_un name = socket_name(address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    struct timeval wait = {.tv_sec = DEADLINE_NS / 1000000000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void stranger_write(int fd, const void *data, size_t size) {
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

static void stranger_greet(int fd, uint8_t protocol) {
    uint8_t header[8] = {0, 'S', 'P', 0, 0, protocol, 0, 0};
    stranger_write(fd, header, sizeof(header));
}

/* What stands before a message's bytes: on ipc a 1, then the size, big-endian. */
static void stranger_announce(int fd, bool tcp, uint64_t size) {
    uint8_t header[9] = {1};
    for (int i = 0; i < 8; i++) {
        header[1 + i] = (uint8_t)(size >> (56 - 8 * i));
    }
    stranger_write(fd, header + tcp, sizeof(header) - tcp);
}

static void stranger_send(int fd, bool tcp, const void *data, size_t size) {
    stranger_announce(fd, tcp, size);
    if (size > 0) {
        stranger_write(fd, data, size);
    }
}

static void an_announced_size_beyond_every_bound_ends_no_process(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    char peer[RING_ADDRESS_MAX];
    address_peer(pair.address, peer);
    const uint64_t sizes[] = {1ull << 62, UINT64_MAX, 1ull << 31, FRAME_SIZE_MAX + 5};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int fds[] = {stranger_new(pair.address), stranger_new(peer)};
        stranger_greet(fds[0], SP_REQ);
        stranger_greet(fds[1], SP_PUSH);
        for (int j = 0; j < 2; j++) {
            stranger_announce(fds[j], false, sizes[i]);
            /* Refused: the connection is closed, after the node's own greeting. */
            uint8_t answer[64];
            ssize_t size;
            while ((size = recv(fds[j], answer, sizeof(answer), 0)) > 0) {
            }
            assert_true(size == 0 || errno == ECONNRESET);
            close(fds[j]);
        }
        assert_serves(&pair.client, 1);
    }
    pair_free(&pair);
}

static void rubbish_leaves_the_others_served_and_is_one_line_in_the_log(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    assert_serves(&pair.client, 1);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = stranger_new(pair.address);
    }
    const char *http = "GET / HTTP/1.1\r\nHost: node\r\n\r\n";
    stranger_write(fds[0], http, strlen(http));
    stranger_greet(fds[1], SP_PUSH); /* the wrong protocol */
    stranger_greet(fds[2], SP_REQ);
    stranger_send(fds[2], false, NULL, 0);
    stranger_greet(fds[3], SP_REQ);
    stranger_send(fds[3], false, "no request id at all", 20);
    stranger_greet(fds[4], SP_REQ);
    stranger_announce(fds[4], false, 1000); /* and then silence */
    stranger_write(fds[4], "part", 4);
    stranger_greet(fds[5], SP_REQ);
    for (int i = 0; i < 10; i++) {
        stranger_send(fds[5], false, "\x80\0\0\1 with an id, but no frame", 30);
    }
    PUMP_UNTIL(counters(&pair.node).frames_bad == 10);
    assert_serves(&pair.client, 1);
    assert_int_equal(pair.node.n_lines, 1);
    assert_non_null(strstr(pair.node.lines[0], "no frame of ringfs"));
    for (int i = 0; i < 6; i++) {
        close(fds[i]);
    }
    assert_serves(&pair.client, 1);
    pair_free(&pair);
}

static void connections_that_come_and_go_cost_nobody_anything(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    char peer[RING_ADDRESS_MAX];
    address_peer(pair.address, peer);
    for (int i = 0; i < 200; i++) {
        int fd = stranger_new(i % 2 == 0 ? pair.address : peer);
        if (i % 3 == 0) {
            stranger_greet(fd, i % 2 == 0 ? SP_REQ : SP_PUSH);
        }
        close(fd);
        loop_turn(loop, 0);
    }
    assert_serves(&pair.client, 1);
    struct end other;
    end_new(&other, TRANSPORT_TO_PEER, 9);
    transport_connect(other.transport, 1, pair.address);
    uint64_t before = pair.node.n_received;
    pair.node.echoes = false;
    assert_int_equal(send_node(&other, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair.node.n_received > before);
    transport_free(other.transport);
    pair_free(&pair);
}

static void a_peer_that_names_no_node_is_refused(void **state) {
    (void)state;
    struct end node, nobody;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    end_new(&node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(node.transport, address), 0);
    end_new(&nobody, TRANSPORT_TO_PEER, 0);
    transport_connect(nobody.transport, 1, address);
    assert_int_equal(send_node(&nobody, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(counters(&node).frames_bad == 1);
    assert_int_equal(node.n_received, 0);
    transport_free(nobody.transport);
    transport_free(node.transport);
}

/* A connection that broke right after the greeting: nanomsg goes on believing in it. */
static void a_zombie_connection_heals_by_reconnecting(void **state) {
    (void)state;
    struct end client;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct sockaddr_un name = socket_name(address);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 10), 0);
    end_new(&client, TRANSPORT_TO_NODE, 0);
    transport_connect(client.transport, 1, address);
    /* It comes back within 10 ms each time it notices; silence for 600 ms means it has not. */
    int64_t last_ns = now_ns(), begun_ns = last_ns;
    while (now_ns() - last_ns < 600 * MS_NS && now_ns() - begun_ns < DEADLINE_NS) {
        loop_turn(loop, MS_NS);
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            stranger_greet(fd, SP_REQ + 1);
            close(fd);
            last_ns = now_ns();
        }
    }
    bool zombie = now_ns() - last_ns >= 600 * MS_NS;
    close(listener);
    unlink(name.sun_path);
    struct end node;
    end_new(&node, TRANSPORT_TO_PEER, 1);
    node.echoes = true;
    assert_int_equal(transport_listen(node.transport, address), 0);
    (void)send_node(&client, 1, 1, bytes_of_string("into the void"));
    for (int i = 0; i < 20; i++) {
        loop_turn(loop, 10 * MS_NS);
    }
    zombie = zombie && node.n_received == 0;
    transport_reconnect(client.transport, 1);
    assert_serves(&client, 1);
    transport_free(client.transport);
    transport_free(node.transport);
    if (!zombie) {
        print_message("no zombie came to be; only the reconnect was tested\n");
    }
}

/* ---- Socket files ---- */

static void socket_files_are_private_and_go_with_the_node(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    char peer[RING_ADDRESS_MAX];
    address_peer(pair.address, peer);
    struct stat status;
    assert_int_equal(stat(pair.address + strlen("ipc://"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(peer + strlen("ipc://"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    pair_free(&pair);
    assert_int_equal(stat(pair.address + strlen("ipc://"), &status), -1);
    assert_int_equal(stat(peer + strlen("ipc://"), &status), -1);
}

static void an_address_in_use_is_refused_and_its_owner_goes_on(void **state) {
    (void)state;
    struct pair pair;
    pair_new(&pair);
    struct end second;
    end_new(&second, TRANSPORT_TO_PEER, 2);
    assert_int_equal(transport_listen(second.transport, pair.address), ERR_IN_USE);
    assert_int_equal(second.n_lines, 1);
    transport_free(second.transport);
    assert_serves(&pair.client, 1);
    pair_free(&pair);
}

static void a_stale_socket_file_is_replaced_and_any_other_file_is_not(void **state) {
    (void)state;
    struct end node;
    char address[RING_ADDRESS_MAX];
    ipc_address(address);
    struct sockaddr_un name = socket_name(address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    close(fd);
    end_new(&node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(node.transport, address), 0);
    transport_free(node.transport);
    fd = open(name.sun_path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    end_new(&node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(node.transport, address), ERR_IN_USE);
    assert_int_equal(node.n_lines, 1);
    transport_free(node.transport);
    assert_int_equal(unlink(name.sun_path), 0);
}

static void an_address_that_cannot_be_is_refused_with_a_sentence(void **state) {
    (void)state;
    const char *addresses[] = {"ipc://relative", "ipc:///nonexistent/directory/socket"};
    for (int i = 0; i < 2; i++) {
        struct end node;
        end_new(&node, TRANSPORT_TO_PEER, 1);
        assert_int_not_equal(transport_listen(node.transport, addresses[i]), 0);
        assert_int_equal(node.n_lines, 1);
        transport_free(node.transport);
    }
}

/* ---- tcp: sealed and fenced ---- */

static void key_path(int number, char ret[96]) {
    snprintf(ret, 96, "%s/key%d", directory, number);
    const char *why;
    int err = seal_key_write(ret, &why);
    assert_true(err == 0 || err == ERR_EXISTS);
}

/* A name, so that looking it up is tested too; but the C library looks names up for nanomsg in a
 * thread that the thread sanitizer of clang 14 does not know of, and crashes in. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOOPBACK "127.0.0.1"
#endif
#endif
#ifndef LOOPBACK
#define LOOPBACK "localhost"
#endif

/* A port that is free, and the next one too. */
static void tcp_address(char ret[RING_ADDRESS_MAX]) {
    for (;;) {
        struct sockaddr_in name = {.sin_family = AF_INET,
                                   .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof(name);
        int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(one, (struct sockaddr *)&name, size), 0);
        assert_int_equal(getsockname(one, (struct sockaddr *)&name, &size), 0);
        int port = ntohs(name.sin_port);
        name.sin_port = htons((uint16_t)(port + 1));
        bool free = port < 65535 && bind(two, (struct sockaddr *)&name, size) == 0;
        close(one);
        close(two);
        if (free) {
            snprintf(ret, RING_ADDRESS_MAX, "tcp://" LOOPBACK ":%d", port);
            return;
        }
    }
}

/* As pair_new(), over tcp; `client_key` is the number of the client's key, the node's is 1. */
static void sealed_pair_new(struct pair *pair, int client_key) {
    char key[96];
    tcp_address(pair->address);
    key_path(1, key);
    assert_int_equal(end_try(&pair->node, TRANSPORT_TO_PEER, 1, key), 0);
    assert_int_equal(transport_listen(pair->node.transport, pair->address), 0);
    pair->node.echoes = true;
    key_path(client_key, key);
    assert_int_equal(end_try(&pair->client, TRANSPORT_TO_NODE, 0, key), 0);
    transport_connect(pair->client.transport, 1, pair->address);
}

static void tcp_serves_holders_of_the_key(void **state) {
    (void)state;
    struct pair pair;
    sealed_pair_new(&pair, 1);
    pair.client.ordered = true;
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(send_node(&pair.client, 1, i, bulk(i % 2 == 0 ? 10 : 100000)), 0);
    }
    PUMP_UNTIL(pair.client.n_received == 20);
    assert_int_equal(send_node(&pair.client, 1, 20, bulk(MESSAGE_PAYLOAD_MAX)), 0);
    PUMP_UNTIL(pair.client.n_received == 21);
    assert_int_equal(counters(&pair.node).frames_bad, 0);
    assert_int_equal(counters(&pair.client).frames_bad, 0);
    pair_free(&pair);
}

static void tcp_serves_peers_that_hold_the_key(void **state) {
    (void)state;
    struct pair pair;
    sealed_pair_new(&pair, 1);
    struct end peer;
    char key[96];
    key_path(1, key);
    assert_int_equal(end_try(&peer, TRANSPORT_TO_PEER, 7, key), 0);
    transport_connect(peer.transport, 1, pair.address);
    pair.node.echoes = false;
    assert_int_equal(send_node(&peer, 1, 1, bytes_of_string("x")), 0);
    PUMP_UNTIL(pair.node.n_received == 1);
    assert_int_equal(pair.node.last_from.node, 7);
    transport_free(peer.transport);
    pair_free(&pair);
}

static void frames_of_another_key_are_refused_with_one_line(void **state) {
    (void)state;
    struct pair pair;
    sealed_pair_new(&pair, 2);
    uint64_t id = 0;
    PUMP_UNTIL((send_node(&pair.client, 1, id++, bytes_of_string("x")),
                counters(&pair.node).frames_bad >= 3));
    assert_int_equal(pair.node.n_received, 0);
    assert_int_equal(pair.node.n_lines, 1);
    assert_non_null(strstr(pair.node.lines[0], "not sealed with this cluster's key"));
    pair_free(&pair);
}

static void tcp_without_a_key_is_refused_with_a_sentence(void **state) {
    (void)state;
    struct end node;
    char address[RING_ADDRESS_MAX], key[96];
    tcp_address(address);
    end_new(&node, TRANSPORT_TO_PEER, 1);
    assert_int_equal(transport_listen(node.transport, address), ERR_INVALID);
    assert_int_equal(node.n_lines, 1);
    assert_non_null(strstr(node.lines[0], "key file"));
    transport_connect(node.transport, 2, address);
    assert_int_equal(node.n_lines, 2);
    assert_int_equal(send_node(&node, 2, 1, bytes_of_string("x")), ERR_BUSY);
    transport_free(node.transport);
    key_path(1, key);
    assert_int_equal(chmod(key, 0644), 0);
    assert_int_equal(end_try(&node, TRANSPORT_TO_PEER, 1, key), ERR_INVALID);
    assert_int_equal(node.n_lines, 1);
    assert_int_equal(chmod(key, 0600), 0);
}

static int tcp_stranger(const char *address) {
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                               .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    stranger_greet(fd, SP_REQ);
    return fd;
}

/* A request's bytes as they would be recorded on the wire; stamped `stamp_ns`, now when 0. */
static size_t recorded_request(const struct seal_key *key, uint64_t stamp_ns, uint8_t ret[256]) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct frame_header header = {.count = 1, .session = 77, .sequence = 1, .stamp_ns = stamp_ns};
    if (stamp_ns == 0) {
        header.stamp_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    struct message message = {.type = MESSAGE_PING, .id = 5};
    struct buffer messages = {0};
    message_encode(&message, &messages);
    memcpy(ret, "\x80\0\0\1", 4);
    frame_close(&header, key, buffer_bytes(&messages), ret + 4);
    buffer_release(&messages);
    return 4 + frame_size(MESSAGE_HEADER_SIZE, key != NULL);
}

static void a_recorded_frame_does_not_pass_twice(void **state) {
    (void)state;
    struct pair pair;
    sealed_pair_new(&pair, 1);
    pair.node.echoes = false;
    char path[96];
    const char *why;
    struct seal_key key;
    key_path(1, path);
    assert_int_equal(seal_key_read(path, &key, &why), 0);
    uint8_t recorded[256];
    size_t size = recorded_request(&key, 0, recorded);
    int fds[] = {tcp_stranger(pair.address), tcp_stranger(pair.address)};
    stranger_send(fds[0], true, recorded, size);
    PUMP_UNTIL(pair.node.n_received == 1);
    stranger_send(fds[0], true, recorded, size);
    stranger_send(fds[1], true, recorded, size);
    PUMP_UNTIL(counters(&pair.node).frames_bad == 2);
    assert_int_equal(pair.node.n_received, 1);
    assert_int_equal(pair.node.n_lines, 1);
    assert_non_null(strstr(pair.node.lines[0], "sent before"));
    size = recorded_request(&key, 1000000000, recorded); /* of 1970 */
    stranger_send(fds[0], true, recorded, size);
    size = recorded_request(NULL, 0, recorded);
    stranger_send(fds[0], true, recorded, size);
    PUMP_UNTIL(counters(&pair.node).frames_bad == 4);
    assert_int_equal(pair.node.n_received, 1);
    assert_int_equal(pair.node.n_lines, 3);
    close(fds[0]);
    close(fds[1]);
    pair_free(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_announced_size_beyond_every_bound_ends_no_process),
        cmocka_unit_test(rubbish_leaves_the_others_served_and_is_one_line_in_the_log),
        cmocka_unit_test(connections_that_come_and_go_cost_nobody_anything),
        cmocka_unit_test(a_peer_that_names_no_node_is_refused),
        cmocka_unit_test(a_zombie_connection_heals_by_reconnecting),
        cmocka_unit_test(socket_files_are_private_and_go_with_the_node),
        cmocka_unit_test(an_address_in_use_is_refused_and_its_owner_goes_on),
        cmocka_unit_test(a_stale_socket_file_is_replaced_and_any_other_file_is_not),
        cmocka_unit_test(an_address_that_cannot_be_is_refused_with_a_sentence),
        cmocka_unit_test(tcp_serves_holders_of_the_key),
        cmocka_unit_test(tcp_serves_peers_that_hold_the_key),
        cmocka_unit_test(frames_of_another_key_are_refused_with_one_line),
        cmocka_unit_test(tcp_without_a_key_is_refused_with_a_sentence),
        cmocka_unit_test(a_recorded_frame_does_not_pass_twice),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
