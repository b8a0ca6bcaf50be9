/* transport_bench: echo rates between two processes, by size, depth and kind of address.
 *
 *   transport_bench [SPIN_US [SECONDS [ADDRESS_KIND]]]
 *
 * Prints a table: operations a second, CPU microseconds per operation of the client and of the node
 * (user and system, nanomsg's thread included), frames per operation. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/ring.h"
#include "shared/seal.h"
#include "shared/transport.h"

struct bench {
    struct loop *loop;
    struct transport *transport;
    size_t size;
    uint32_t depth;
    uint64_t n_answered;
    uint64_t next_id;
    int64_t last_ns;
};

static const char *key_file;
static uint32_t spin_us = 50;
static double seconds = 1;
static uint8_t payload[MESSAGE_PAYLOAD_MAX];

static void log_line(void *context, int level, const char *line) {
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static void link_down(void *context, uint16_t link) {
    (void)context;
    (void)link;
}

static void echo(void *context, const struct endpoint *from, const struct message *message) {
    struct bench *bench = context;
    struct message answer = *message;
    answer.type |= MESSAGE_REPLY;
    (void)transport_send(bench->transport, from, &answer);
}

static void ask(struct bench *bench) {
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = 1};
    struct message message = {
        .type = MESSAGE_PING, .id = bench->next_id++, .payload = bytes_of(payload, bench->size)};
    if (transport_send(bench->transport, &to, &message) != 0) {
        fprintf(stderr, "the queue is full\n");
        exit(1);
    }
}

static void answered(void *context, const struct endpoint *from, const struct message *message) {
    struct bench *bench = context;
    (void)from;
    (void)message;
    bench->n_answered++;
    bench->last_ns = loop_now_ns(bench->loop);
    ask(bench);
}

static void bench_new(struct bench *bench, enum transport_role role) {
    struct transport_config config = {
        .role = role,
        .self_node = role == TRANSPORT_TO_PEER,
        .key_file = key_file,
        .received = role == TRANSPORT_TO_PEER ? echo : answered,
        .link_down = link_down,
        .log = log_line,
        .context = bench,
    };
    bench->loop = loop_new();
    loop_set_spin_us(bench->loop, spin_us);
    if (transport_new(bench->loop, &config, &bench->transport) != 0) {
        exit(1);
    }
}

static void run_node(const char *address) {
    struct bench bench = {0};
    bench_new(&bench, TRANSPORT_TO_PEER);
    if (transport_listen(bench.transport, address) != 0) {
        exit(1);
    }
    loop_run(bench.loop); /* until it is killed */
}

static double cpu_us(const struct rusage *usage) {
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static void pump(struct bench *bench, double for_seconds) {
    int64_t until_ns = loop_now_ns(bench->loop) + (int64_t)(for_seconds * 1e9);
    while (loop_now_ns(bench->loop) < until_ns) {
        loop_turn(bench->loop, 10000000);
    }
}

static void measure(const char *address, size_t size, uint32_t depth) {
    pid_t child = fork(); /* before nanomsg has a thread in this process */
    if (child == 0) {
        run_node(address);
    }
    struct bench bench = {.size = size};
    bench_new(&bench, TRANSPORT_TO_NODE);
    transport_connect(bench.transport, 1, address);
    uint64_t window = transport_credit(bench.transport) / (size + 1024);
    bench.depth = depth < window ? depth : (uint32_t)window;
    for (uint32_t i = 0; i < bench.depth; i++) {
        ask(&bench);
    }
    pump(&bench, seconds / 4);
    struct rusage before, after, node;
    struct transport_counters first, last;
    uint64_t n = bench.n_answered;
    int64_t from_ns = loop_now_ns(bench.loop);
    getrusage(RUSAGE_SELF, &before);
    transport_counters(bench.transport, &first);
    pump(&bench, seconds);
    getrusage(RUSAGE_SELF, &after);
    transport_counters(bench.transport, &last);
    double taken = (double)(loop_now_ns(bench.loop) - from_ns) / 1e9;
    kill(child, SIGTERM);
    int status;
    wait4(child, &status, 0, &node);
    double ops = (double)(bench.n_answered - n);
    printf("%-4.3s %6zu %6u %10.0f %9.2f %9.2f %9.3f\n", address, size, bench.depth, ops / taken,
           (cpu_us(&after) - cpu_us(&before)) / ops, cpu_us(&node) / (double)bench.n_answered,
           (double)(last.frames_out - first.frames_out) / ops);
    fflush(stdout);
    transport_free(bench.transport);
    loop_free(bench.loop);
}

static void measure_all(const char *address) {
    static const size_t sizes[] = {64, 4096, 65536};
    static const uint32_t depths[] = {1, 8, 64};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t j = 0; j < sizeof(depths) / sizeof(depths[0]); j++) {
            pid_t run = fork();
            if (run == 0) {
                measure(address, sizes[i], depths[j]);
                exit(0);
            }
            int status;
            waitpid(run, &status, 0);
        }
    }
}

int main(int argc, char **argv) {
    char directory[] = "/tmp/ringfs-bench.XXXXXX";
    char address[RING_ADDRESS_MAX], key[96];
    const char *why;
    if (argc > 1) {
        spin_us = (uint32_t)atoi(argv[1]);
    }
    if (argc > 2) {
        seconds = atof(argv[2]);
    }
    if (mkdtemp(directory) == NULL) {
        return 1;
    }
    printf("%-4s %6s %6s %10s %9s %9s %9s\n", "", "bytes", "depth", "ops/s", "client us", "node us",
           "frames/op");
    fflush(stdout); /* or each child would print it again */
    if (argc < 4 || strcmp(argv[3], "ipc") == 0) {
        snprintf(address, sizeof(address), "ipc://%s/node", directory);
        measure_all(address);
        unlink(address + strlen("ipc://"));
        snprintf(key, sizeof(key), "%s/node.peer", directory);
        unlink(key);
    }
    if (argc < 4 || strcmp(argv[3], "tcp") == 0) {
        snprintf(key, sizeof(key), "%s/key", directory);
        if (seal_key_write(key, &why) != 0) {
            fprintf(stderr, "%s: %s\n", key, why);
            return 1;
        }
        key_file = key;
        measure_all("tcp://127.0.0.1:17391");
        unlink(key);
    }
    return rmdir(directory) != 0;
}
