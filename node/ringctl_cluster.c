/* ringctl_cluster: status, ring, where and keygen: the nodes and what they hold. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ringctl_nodes.h"
#include "shared/err.h"
#include "shared/seal.h"

/* How long a node may take to show that it is there. */
enum { STATUS_WAIT_MS = 1500, ALIVE_WAIT_MS = 300 };

/* ---- status -------------------------------------------------------------------------------------
 */

/* One node and its counters. */
struct answer {
    const struct ring_member *member; /* the rows point into what it answered, too */
    int status;
    struct stat_row rows[STATS_MAX];
    uint32_t n_rows;
};

static uint64_t stat_value(const struct answer *a, const char *name) {
    return stats_value(a->rows, a->n_rows, name);
}

static const char *state_of(const struct answer *a) {
    if (stat_value(a, "slices_recovering") > 0) {
        return "recovers";
    }
    return stat_value(a, "read_only") > 0 ? "readonly" : "answers";
}

/* What is out of the ordinary, a sentence each. */
static void print_sentences(const struct answer *a) {
    unsigned long long left = stat_value(a, "slices_recovering");
    unsigned long long held = stat_value(a, "slices_held");
    if (a->status == 0 && left > 0) {
        printf("node %u has recovered %llu of %llu slices, %llu rows", a->member->id, held - left,
               held, (unsigned long long)stat_value(a, "recovery_rows"));
        if (stat_value(a, "recovery_left_ms") > 0) {
            printf(", about %llu s left", stat_value(a, "recovery_left_ms") / 1000ull + 1);
        }
        printf("\n");
    }
    if (a->status == 0 && stat_value(a, "read_only") > 0) {
        printf("node %u is read-only until its disk takes writes again: %s\n", a->member->id,
               err_text(-(int)stat_value(a, "read_only_error")));
    }
}

/* What the nodes that recover wait for, told once for all. */
static void print_waits(const struct answer *answers, uint32_t n) {
    uint32_t n_recovering = 0;
    uint32_t n_serving = 0;
    uint64_t n_recovered = 0;
    char silent[80] = "";
    for (uint32_t i = 0; i < n; i++) {
        const struct answer *a = &answers[i];
        size_t size = strlen(silent);
        uint64_t left = stat_value(a, "slices_recovering");
        if (a->status != 0) {
            snprintf(silent + size, sizeof silent - size, size > 0 ? ", %u" : "%u", a->member->id);
            continue;
        }
        n_recovering += left > 0 ? 1 : 0;
        n_serving += left > 0 ? 0 : 1;
        n_recovered += stat_value(a, "slices_held") - left;
    }
    if (n_recovering > 0 && n_serving > 0) {
        printf("the other nodes answer for slices that are not recovered yet\n");
    }
    if (n_recovering > 0 && silent[0] != '\0') {
        printf(
            "slices that recovering nodes share with node %s wait for it: start it, with an empty "
            "data directory if it has lost its own\n",
            silent);
    }
    if (n_recovering > 0 && silent[0] != '\0' && n_recovered == 0) {
        printf(
            "a new cluster serves when all its nodes have answered once; only if it holds nothing "
            "yet, nodes started with --trust-disk serve before\n");
    }
}

static void print_status_line(const struct answer *a) {
    if (a->status != 0) {
        printf("%4u  %-8s %s\n", a->member->id, "silent", a->member->address);
        return;
    }
    unsigned long long n_gets = stat_value(a, "gets") + stat_value(a, "own_gets");
    unsigned long long n_scans = stat_value(a, "scans") + stat_value(a, "own_scans");
    printf("%4u  %-8s %-40s %10llu %10llu %10llu %8.1f GiB\n", a->member->id, state_of(a),
           a->member->address, n_gets, (unsigned long long)stat_value(a, "batches"), n_scans,
           (double)stat_value(a, "disk_free_bytes") / (1 << 30));
}

static json_t *answer_json(const struct answer *a) {
    json_t *stats = json_object();
    for (uint32_t i = 0; i < a->n_rows; i++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)a->rows[i].name.size,
                 (const char *)a->rows[i].name.data);
        json_object_set_new(stats, name, json_integer((json_int_t)a->rows[i].value));
    }
    return json_pack("{s:i, s:s, s:s, s:b, s:o}", "id", (int)a->member->id, "address",
                     a->member->address, "zone", a->member->zone, "alive", a->status == 0, "stats",
                     stats);
}

static void print_status(const struct ctl *ctl, const struct answer *answers, uint32_t n) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    if (ctl->json) {
        json_t *nodes = json_array();
        for (uint32_t i = 0; i < n; i++) {
            json_array_append_new(nodes, answer_json(&answers[i]));
        }
        json_t *all =
            json_pack("{s:I, s:i, s:i, s:o}", "ring_version", (json_int_t)ring->version, "slices",
                      (int)ring->n_slices, "replicas", (int)ring->n_replicas_held, "nodes", nodes);
        ctl_print_json(all);
        return;
    }
    printf("%4s  %-8s %-40s %10s %10s %10s %12s\n", "node", "state", "address", "gets", "batches",
           "scans", "free");
    for (uint32_t i = 0; i < n; i++) {
        print_status_line(&answers[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        print_sentences(&answers[i]);
    }
    print_waits(answers, n);
}

int ctl_status(struct ctl *ctl) {
    uint32_t n = 0;
    uint32_t n_silent = 0;
    struct ctl_answer *said = ctl_ask_nodes(ctl, MESSAGE_STATS, STATUS_WAIT_MS, &n);
    struct answer *answers = memory_new(n, sizeof *answers);
    for (uint32_t i = 0; i < n; i++) {
        struct answer *a = &answers[i];
        a->member = &said[i].member;
        a->status = said[i].status;
        if (a->status == 0) {
            a->status = stats_decode(said[i].payload, a->rows, &a->n_rows);
        }
        n_silent += a->status != 0 ? 1 : 0;
    }
    print_status(ctl, answers, n);
    free(answers);
    ctl_answers_free(said, n);
    return ctl_silent_exit(n_silent, n);
}

/* ---- ring and where -----------------------------------------------------------------------------
 */

int ctl_ring(struct ctl *ctl) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    if (!ctl->json) {
        printf("ring version %llu, %u slices, %u replicas\n", (unsigned long long)ring->version,
               ring->n_slices, ring->n_replicas_held);
        printf("%4s %7s %7s %-12s %s\n", "node", "weight", "slices", "zone", "address");
    }
    json_t *members = json_array();
    for (uint16_t i = 0; i < ring->n_members; i++) {
        const struct ring_member *m = &ring->members[i];
        if (ctl->json) {
            json_array_append_new(members,
                                  json_pack("{s:i, s:i, s:i, s:s, s:s}", "id", (int)m->id, "weight",
                                            (int)m->weight, "slices", (int)ring_owned(ring, i),
                                            "zone", m->zone, "address", m->address));
        } else {
            printf("%4u %7u %7u %-12s %s\n", m->id, m->weight, ring_owned(ring, i),
                   m->zone[0] != '\0' ? m->zone : "-", m->address);
        }
    }
    if (!ctl->json) {
        json_decref(members);
        return CTL_DONE;
    }
    json_t *all =
        json_pack("{s:I, s:i, s:i, s:o}", "version", (json_int_t)ring->version, "slices",
                  (int)ring->n_slices, "replicas", (int)ring->n_replicas_held, "members", members);
    ctl_print_json(all);
    return CTL_DONE;
}

static void print_where(const struct ctl *ctl, uint16_t slice) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    const uint16_t *list = ring_preference(ring, slice);
    json_t *replicas = json_array();
    if (!ctl->json) {
        printf("%s: slice %u of %u, held by\n", ctl->argv[0], slice, ring->n_slices);
    }
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        const struct ring_member *m = &ring->members[list[i]];
        bool alive = client_node_alive(session_client(ctl->session), m->id);
        if (ctl->json) {
            json_array_append_new(replicas, json_pack("{s:i, s:s, s:b}", "id", (int)m->id,
                                                      "address", m->address, "alive", (int)alive));
        } else {
            printf("  node %-5u %-8s %s\n", m->id, alive ? "answers" : "silent", m->address);
        }
    }
    if (!ctl->json) {
        json_decref(replicas);
        return;
    }
    json_t *all = json_pack("{s:s, s:i, s:o}", "path", ctl->argv[0], "slice", (int)slice,
                            "replicas", replicas);
    ctl_print_json(all);
}

int ctl_where(struct ctl *ctl) {
    struct buffer partition = {0};
    struct buffer sort = {0};
    int status = namespace_where(ctl->ns, ctl->argv[0], &partition, &sort);
    if (status == 0) {
        session_wait_members(ctl->session, (int64_t)ALIVE_WAIT_MS * 1000000);
        const struct ring *ring = client_ring(session_client(ctl->session));
        print_where(ctl, ring_slice(ring, buffer_bytes(&partition)));
    }
    buffer_release(&partition);
    buffer_release(&sort);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "where", ctl->argv[0], status);
}

/* ---- keygen -------------------------------------------------------------------------------------
 */

int ctl_keygen(struct ctl *ctl) {
    const char *path = ctl->argv[0];
    const char *why = NULL;
    if (seal_key_write(path, &why) != 0) {
        fprintf(stderr, "ringctl: keygen %s: %s\n", path, why);
        return CTL_FAILED;
    }
    printf("wrote a new cluster key to %s; copy it to every node and client\n", path);
    return CTL_DONE;
}
