/* peers: the load of `ringctl bench`, put on redis or etcd, so that all are asked alike. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/histogram.h"

/* usage: bench_peers redis|etcd IP PORT put|get|local-get SIZE CLIENTS SECONDS
 *
 * Each client has a connection and waits for its answer before it asks again. redis is spoken to in
 * RESP, etcd in gRPC over HTTP/2 without TLS (not through its JSON gateway, which would be measured
 * too); local-get is etcd's serializable read. Prints "per_second p50_us p99_us p999_us max_us". */
enum {
    CLIENTS_MAX = 1024,
    SIZE_MAX_BYTES = 16000, /* one frame of HTTP/2 */
    ROWS = 1000,
    READ_SIZE = 64 << 10,
};

struct client {
    int fd;
    struct buffer in;
    int64_t begun_ns;
    uint32_t stream;   /* HTTP/2: of the request that is out */
    bool answered;     /* HTTP/2: a message has come on it */
    uint32_t consumed; /* HTTP/2: bytes of data not yet given back to the window */
};

enum outcome { MORE, DONE, REFUSED };

struct protocol {
    const char *name;
    void (*start)(struct buffer *out);
    void (*ask)(struct client *client, uint32_t row, struct buffer *out);
    /* Takes what has come; what it answers at once goes into `out`. */
    enum outcome (*read)(struct client *client, struct buffer *out);
};

static bool putting, serializable;
static uint8_t value[SIZE_MAX_BYTES];
static size_t value_size;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "bench_peers: %s: %s\n", what, errno != 0 ? strerror(errno) : "refused");
    exit(1);
}

static void consume(struct buffer *b, size_t size) {
    memmove(b->data, b->data + size, b->size - size);
    b->size -= size;
}

static int row_name(uint32_t row, char into[32]) {
    return snprintf(into, 32, "bench/%08u", row);
}

/* ---- redis --------------------------------------------------------------------------------------
 */

static void redis_start(struct buffer *out) {
    (void)out;
}

static void redis_ask(struct client *client, uint32_t row, struct buffer *out) {
    char name[32], line[96];
    (void)client;
    int name_size = row_name(row, name);
    int size = snprintf(line, sizeof line, "*%d\r\n$3\r\n%s\r\n$%d\r\n%s\r\n", putting ? 3 : 2,
                        putting ? "SET" : "GET", name_size, name);
    buffer_put(out, line, (size_t)size);
    if (putting) {
        size = snprintf(line, sizeof line, "$%zu\r\n", value_size);
        buffer_put(out, line, (size_t)size);
        buffer_put(out, value, value_size);
        buffer_put(out, "\r\n", 2);
    }
}

static enum outcome redis_read(struct client *client, struct buffer *out) {
    (void)out;
    const uint8_t *end = memchr(client->in.data, '\n', client->in.size);
    if (end == NULL) {
        return MORE;
    }
    size_t size = (size_t)(end - client->in.data) + 1;
    if (client->in.data[0] == '$') {
        long payload = strtol((const char *)client->in.data + 1, NULL, 10);
        if (payload < 0) {
            return REFUSED;
        }
        size += (size_t)payload + 2;
    } else if (client->in.data[0] != '+') {
        return REFUSED;
    }
    if (client->in.size < size) {
        return MORE;
    }
    consume(&client->in, size);
    return DONE;
}

/* ---- etcd: gRPC ---------------------------------------------------------------------------------
 */

enum frame { F_DATA = 0, F_HEADERS = 1, F_RESET = 3, F_SETTINGS = 4, F_PING = 6, F_GOAWAY = 7 };
enum { F_WINDOW = 8, FRAME_HEADER = 9, END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { WINDOW = 1 << 28, GIVE_BACK = 1 << 20 };

static void put_be32(struct buffer *out, uint32_t v) {
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buffer_put(out, bytes, sizeof bytes);
}

static void put_frame(struct buffer *out, uint8_t type, uint8_t flags, uint32_t stream,
                      struct bytes payload) {
    uint8_t head[] = {(uint8_t)(payload.size >> 16), (uint8_t)(payload.size >> 8),
                      (uint8_t)payload.size, type, flags};
    buffer_put(out, head, sizeof head);
    put_be32(out, stream);
    buffer_put_bytes(out, payload);
}

static void put_window(struct buffer *out, uint32_t size) {
    struct buffer payload = {0};
    put_be32(&payload, size);
    put_frame(out, F_WINDOW, 0, 0, buffer_bytes(&payload));
    buffer_release(&payload);
}

static void etcd_start(struct buffer *out) {
    static const uint8_t window_of_streams[] = {0, 4, WINDOW >> 24, 0, 0, 0};
    buffer_put_bytes(out, bytes_of_string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    put_frame(out, F_SETTINGS, 0, 0, bytes_of(window_of_streams, sizeof window_of_streams));
    put_window(out, WINDOW);
}

/* Literals of HPACK without its table and without Huffman's code; at most 126 bytes each. */
static void put_literal(struct buffer *out, const char *text) {
    buffer_put_sized8(out, bytes_of_string(text));
}

static void put_headers(struct buffer *out, uint32_t stream) {
    struct buffer h = {0};
    buffer_put(&h, "\x83\x86\x04", 3); /* POST, http, :path */
    put_literal(&h, putting ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range");
    buffer_put_u8(&h, 0x01); /* :authority */
    put_literal(&h, "localhost");
    buffer_put(&h, "\x0f\x10", 2); /* content-type */
    put_literal(&h, "application/grpc");
    buffer_put_u8(&h, 0x00);
    put_literal(&h, "te");
    put_literal(&h, "trailers");
    put_frame(out, F_HEADERS, END_HEADERS, stream, buffer_bytes(&h));
    buffer_release(&h);
}

/* A field of protocol buffers: bytes. */
static void put_field(struct buffer *out, uint8_t number, struct bytes bytes) {
    buffer_put_u8(out, (uint8_t)(number << 3 | 2));
    size_t left = bytes.size;
    while (left >= 128) {
        buffer_put_u8(out, (uint8_t)(left | 128));
        left >>= 7;
    }
    buffer_put_u8(out, (uint8_t)left);
    buffer_put_bytes(out, bytes);
}

static void etcd_ask(struct client *client, uint32_t row, struct buffer *out) {
    char name[32];
    struct buffer message = {0}, framed = {0};
    put_field(&message, 1, bytes_of(name, (size_t)row_name(row, name)));
    if (putting) {
        put_field(&message, 2, bytes_of(value, value_size));
    } else if (serializable) {
        buffer_put(&message, "\x38\x01", 2); /* field 7 */
    }
    buffer_put_u8(&framed, 0);
    put_be32(&framed, (uint32_t)message.size);
    buffer_put_bytes(&framed, buffer_bytes(&message));
    client->stream = client->stream == 0 ? 1 : client->stream + 2;
    client->answered = false;
    put_headers(out, client->stream);
    put_frame(out, F_DATA, END_STREAM, client->stream, buffer_bytes(&framed));
    buffer_release(&message);
    buffer_release(&framed);
}

static enum outcome etcd_frame(struct client *client, const uint8_t *head, struct bytes payload,
                               struct buffer *out) {
    switch (head[3]) {
    case F_DATA:
        client->answered = payload.size > 0;
        client->consumed += (uint32_t)payload.size;
        return MORE;
    case F_HEADERS: /* the first, or the trailers; a refusal has no data before them */
        if ((head[4] & END_STREAM) == 0) {
            return MORE;
        }
        return client->answered ? DONE : REFUSED;
    case F_SETTINGS:
        if ((head[4] & ACK) == 0) {
            put_frame(out, F_SETTINGS, ACK, 0, (struct bytes){0});
        }
        return MORE;
    case F_PING:
        if ((head[4] & ACK) == 0) {
            put_frame(out, F_PING, ACK, 0, payload);
        }
        return MORE;
    case F_RESET:
    case F_GOAWAY:
        return REFUSED;
    default:
        return MORE;
    }
}

static enum outcome etcd_read(struct client *client, struct buffer *out) {
    enum outcome outcome = MORE;
    while (outcome == MORE && client->in.size >= FRAME_HEADER) {
        const uint8_t *head = client->in.data;
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        if (client->in.size < FRAME_HEADER + size) {
            break;
        }
        outcome = etcd_frame(client, head, bytes_of(head + FRAME_HEADER, size), out);
        consume(&client->in, FRAME_HEADER + size);
    }
    if (client->consumed > GIVE_BACK) {
        put_window(out, client->consumed);
        client->consumed = 0;
    }
    return outcome;
}

static const struct protocol protocols[] = {{"redis", redis_start, redis_ask, redis_read},
                                            {"etcd", etcd_start, etcd_ask, etcd_read}};

/* ---- the load -----------------------------------------------------------------------------------
 */

static struct client clients[CLIENTS_MAX];
static struct histogram latencies;

static void send_all(struct client *client, struct buffer *out) {
    for (size_t at = 0; at < out->size;) {
        ssize_t n = send(client->fd, out->data + at, out->size - at, MSG_NOSIGNAL);
        if (n <= 0) {
            die("send");
        }
        at += (size_t)n;
    }
    buffer_clear(out);
}

static void connect_to(struct client *client, const char *ip, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (inet_pton(AF_INET, ip, &address.sin_addr) != 1 || client->fd < 0 ||
        connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("connect");
    }
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void ask(const struct protocol *protocol, struct client *client, uint32_t row) {
    struct buffer out = {0};
    protocol->ask(client, row, &out);
    client->begun_ns = now_ns();
    send_all(client, &out);
    buffer_release(&out);
}

/* Whether the answer is complete. */
static bool receive(const struct protocol *protocol, struct client *client) {
    struct buffer out = {0};
    size_t before = client->in.size;
    ssize_t n = recv(client->fd, buffer_extend(&client->in, READ_SIZE), READ_SIZE, 0);
    if (n <= 0) {
        die("receive");
    }
    client->in.size = before + (size_t)n;
    errno = 0;
    enum outcome outcome = protocol->read(client, &out);
    if (outcome == REFUSED) {
        die("the answer");
    }
    send_all(client, &out);
    buffer_release(&out);
    return outcome == DONE;
}

/* Each row once, by one client: something to get. */
static void fill(const struct protocol *protocol) {
    bool was = putting;
    putting = true;
    for (uint32_t row = 0; row < ROWS; row++) {
        ask(protocol, &clients[0], row);
        while (!receive(protocol, &clients[0])) {
        }
    }
    putting = was;
}

static double run(const struct protocol *protocol, int n, double seconds) {
    int epoll = epoll_create1(0);
    int64_t begun = now_ns();
    int64_t until = begun + (int64_t)(seconds * 1e9);
    int n_out = n;
    for (int i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
        ask(protocol, &clients[i], (uint32_t)random() % ROWS);
    }
    while (n_out > 0) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, 10000);
        if (ready <= 0) {
            die("no answer");
        }
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!receive(protocol, client)) {
                continue;
            }
            int64_t now = now_ns();
            histogram_add(&latencies, (uint64_t)(now - client->begun_ns));
            if (now < until) {
                ask(protocol, client, (uint32_t)random() % ROWS);
            } else {
                n_out--;
            }
        }
    }
    close(epoll);
    return (double)(now_ns() - begun) / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fputs("usage: bench_peers redis|etcd IP PORT put|get|local-get SIZE CLIENTS SECONDS\n",
              stderr);
        return 2;
    }
    const struct protocol *protocol = &protocols[strcmp(argv[1], "etcd") == 0];
    int n = atoi(argv[6]);
    putting = strcmp(argv[4], "put") == 0;
    serializable = strcmp(argv[4], "local-get") == 0;
    value_size = (size_t)atoi(argv[5]);
    if (n < 1 || n > CLIENTS_MAX || value_size > SIZE_MAX_BYTES) {
        return 2;
    }
    for (size_t i = 0; i < value_size; i++) {
        value[i] = (uint8_t)random();
    }
    for (int i = 0; i < n; i++) {
        struct buffer out = {0};
        connect_to(&clients[i], argv[2], argv[3]);
        protocol->start(&out);
        send_all(&clients[i], &out);
        buffer_release(&out);
    }
    fill(protocol);
    double seconds = run(protocol, n, atof(argv[7]));
    printf("%.0f %.1f %.1f %.1f %.1f\n", (double)latencies.n / seconds,
           (double)histogram_quantile(&latencies, 500000) / 1000,
           (double)histogram_quantile(&latencies, 990000) / 1000,
           (double)histogram_quantile(&latencies, 999000) / 1000, (double)latencies.max / 1000);
    return 0;
}
