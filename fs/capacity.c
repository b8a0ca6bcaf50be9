/* capacity: how large the cluster is and how full, asked for now and then, for statfs(2). */
#include "fs/capacity.h"

#include <stdlib.h>

#define ASK_EVERY_NS 10000000000ll
#define ANSWER_WITHIN_NS 2000000000ll

struct gauge {
    struct mount *mount;
    struct session *session;
};

/* Adds one node's disk. */
static int ask_node(struct gauge *watch, uint16_t node, struct capacity *sum) {
    struct bytes payload;
    task_set_deadline(task_self(), mount_now_ns(watch->mount) + ANSWER_WITHIN_NS);
    int status = session_ask(watch->session, MESSAGE_STATS, node, &payload);
    if (status != 0) {
        return status;
    }
    struct stat_row rows[STATS_MAX];
    uint32_t n = 0;
    status = stats_decode(payload, rows, &n);
    sum->bytes_total += stats_value(rows, n, "disk_total_bytes");
    sum->bytes_free += stats_value(rows, n, "disk_free_bytes");
    free((void *)(uintptr_t)payload.data);
    return status;
}

static void ask_all(struct gauge *watch) {
    uint16_t nodes[RING_MEMBERS_MAX];
    const struct ring *ring = client_ring(session_client(watch->session));
    uint16_t n = ring->n_members;
    uint16_t n_copies = ring->n_replicas_held;
    for (uint16_t i = 0; i < n; i++) {
        nodes[i] = ring->members[i].id;
    }
    struct capacity sum = {0};
    uint16_t n_answered = 0;
    for (uint16_t i = 0; i < n && !watch->mount->stopping; i++) {
        n_answered = (uint16_t)(n_answered + (ask_node(watch, nodes[i], &sum) == 0 ? 1 : 0));
    }
    /* Half a cluster's figures would look like a shrunk one: what is known stands until all answer;
     * while nothing is known the silent nodes are taken to be like the others. */
    if (n_answered == n || (n_answered > 0 && watch->mount->capacity.bytes_total == 0)) {
        watch->mount->capacity = (struct capacity){sum.bytes_total / n_answered * n / n_copies,
                                                   sum.bytes_free / n_answered * n / n_copies};
    }
}

static void keep_asking(void *arg) {
    struct gauge *watch = arg;
    struct mount *mount = watch->mount;
    do {
        ask_all(watch);
    } while (mount_pause(mount, ASK_EVERY_NS));
    free(watch);
    mount_background_done(mount);
}

int capacity_start(struct mount *mount, struct session *session) {
    struct gauge *watch = memory_new(1, sizeof *watch);
    *watch = (struct gauge){mount, session};
    int status = task_spawn(mount->config.tasks, keep_asking, watch, 0);
    if (status != 0) {
        free(watch);
        return status;
    }
    mount->n_background++;
    return 0;
}
