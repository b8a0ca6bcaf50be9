/* ringctl_repair: orders rounds of anti-entropy and shows how far the nodes are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ringctl_nodes.h"
#include "shared/exchange.h"

enum {
    REPAIR_POLL_MS = 500,
    REPAIR_ASK_MS = 3000,
    REPAIR_TRIES_MAX =
        20, /* rounds that found something or left somebody out, before it gives up */
    REPAIR_VALUES_MAX = 64,
    SILENT_POLLS_MAX = 10, /* in a row, after which a node is counted out */
};

/* One node and what it said last. */
struct repairing {
    struct ctl *ctl;
    struct ring_member member; /* a copy: the ring may change while we wait */
    const struct repair_request *request;
    int status;
    struct bytes payload; /* owned; the rows point into it */
    struct stat_row rows[STATS_MAX];
    uint32_t n_rows;
    uint64_t target;   /* the round that carries the order out; 0 = none */
    uint64_t n_mended; /* rows, of all rounds that were ordered */
    uint32_t n_silent, n_tries;
    bool done, clean;
};

static uint64_t value_of(const struct repairing *r, const char *name) {
    return stats_value(r->rows, r->n_rows, name);
}

static int ask(void *context) {
    struct repairing *r = context;
    struct buffer payload = {0};
    repair_request_encode(r->request, &payload);
    struct session_question question = {.type = MESSAGE_REPAIR_CONTROL,
                                        .node = r->member.id,
                                        .payload = buffer_bytes(&payload),
                                        .reply_size = 8 << 10,
                                        .deadline_ns = session_now_ns(r->ctl->session) +
                                                       (int64_t)REPAIR_ASK_MS * 1000000};
    free((void *)(uintptr_t)r->payload.data);
    r->payload = bytes_of(NULL, 0);
    r->n_rows = 0;
    r->status = session_ask_about(r->ctl->session, &question, &r->payload);
    if (r->status == 0) {
        r->status = stats_decode(r->payload, r->rows, &r->n_rows);
    }
    buffer_release(&payload);
    return 0;
}

static void ask_all(struct repairing *nodes, uint32_t n, const struct repair_request *request) {
    struct task_group group = {0};
    for (uint32_t i = 0; i < n; i++) {
        if (!nodes[i].done) {
            nodes[i].request = request;
            task_group_run(&group, ask, &nodes[i]);
        }
    }
    task_group_wait(&group, 0);
}

/* ---- status ---- */

static const char *const states[] = {"idle",   "comparing", "comparing", "comparing",
                                     "paging", "paging",    "mending"};

static const char *state_name(const struct repairing *r) {
    uint64_t state = value_of(r, "repair_state");
    return state < sizeof states / sizeof states[0] ? states[state] : "?";
}

static void ago(const struct repairing *r, const char *name, char *ret, size_t size) {
    uint64_t ms = value_of(r, name);
    if (ms == REPAIR_NEVER) {
        snprintf(ret, size, "never");
    } else {
        snprintf(ret, size, "%.0f s ago", (double)ms / 1000);
    }
}

static void print_line(const struct repairing *r) {
    char full[32], clean[32], with[16] = "-", eta[16] = "-";
    if (r->status != 0) {
        printf("%4u  %-10s %s\n", r->member.id, "silent", err_text(r->status));
        return;
    }
    ago(r, "repair_full_ms_ago", full, sizeof full);
    ago(r, "repair_clean_ms_ago", clean, sizeof clean);
    if (value_of(r, "repair_state") != 0) {
        snprintf(with, sizeof with, "%llu", (unsigned long long)value_of(r, "repair_with"));
    }
    if (value_of(r, "repair_eta_ms") > 0) {
        snprintf(eta, sizeof eta, "%.0f s", (double)value_of(r, "repair_eta_ms") / 1000);
    }
    printf("%4u  %-10s %5s %6llu/%-6llu %9llu %10.1f %9.1f %7s %12s %12s\n", r->member.id,
           state_name(r), with, (unsigned long long)value_of(r, "repair_slices_done"),
           (unsigned long long)value_of(r, "repair_slices_differing"),
           (unsigned long long)value_of(r, "repair_rows_mended"),
           (double)value_of(r, "repair_bytes") / (1 << 20),
           (double)value_of(r, "repair_rate") / (1 << 20), eta, full, clean);
}

static json_t *line_json(const struct repairing *r) {
    json_t *values = json_object();
    for (uint32_t i = 0; i < r->n_rows; i++) {
        char name[STAT_NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)r->rows[i].name.size,
                 (const char *)r->rows[i].name.data);
        bool never = r->rows[i].value == REPAIR_NEVER;
        json_object_set_new(values, name,
                            never ? json_null() : json_integer((json_int_t)r->rows[i].value));
    }
    return json_pack("{s:i, s:b, s:s, s:o}", "id", (int)r->member.id, "alive", r->status == 0,
                     "state", r->status == 0 ? state_name(r) : "silent", "values", values);
}

static int repair_status(struct ctl *ctl, struct repairing *nodes, uint32_t n) {
    const struct repair_request request = {.order = REPAIR_STATUS};
    uint32_t n_silent = 0;
    json_t *all = json_array();
    ask_all(nodes, n, &request);
    if (!ctl->json) {
        printf("%4s  %-10s %5s %13s %9s %10s %9s %7s %12s %12s\n", "node", "state", "with",
               "slices", "rows", "MiB", "MiB/s max", "left", "all compared", "all equal");
    }
    for (uint32_t i = 0; i < n; i++) {
        n_silent += nodes[i].status != 0;
        if (ctl->json) {
            json_array_append_new(all, line_json(&nodes[i]));
        } else {
            print_line(&nodes[i]);
        }
    }
    if (ctl->json) {
        ctl_print_json(json_pack("{s:o}", "nodes", all));
    } else {
        json_decref(all);
    }
    return ctl_silent_exit(n_silent, n);
}

/* ---- orders ---- */

/* Whether the node is through with what was ordered; if its round left somebody or some row out, it
 * is ordered to go round again. */
static void judge(struct repairing *r, const struct repair_request *order) {
    if (r->status != 0) {
        r->done = ++r->n_silent >= SILENT_POLLS_MAX;
        return;
    }
    r->n_silent = 0;
    if (value_of(r, "repair_rounds_ended") < r->target) {
        return;
    }
    r->n_mended += value_of(r, "repair_round_rows") - value_of(r, "repair_round_failed");
    r->clean =
        value_of(r, "repair_round_incomplete") == 0 && value_of(r, "repair_round_failed") == 0;
    if (r->clean || ++r->n_tries >= REPAIR_TRIES_MAX) {
        r->done = true;
        return;
    }
    r->request = order;
    ask(r);
    r->target = value_of(r, "repair_order_round");
}

static void print_progress(const struct ctl *ctl, const struct repairing *nodes, uint32_t n) {
    uint64_t done = 0, differing = 0, rows = 0, bytes = 0;
    uint32_t n_done = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_done += nodes[i].done ? 1 : 0;
        done += value_of(&nodes[i], "repair_slices_done");
        differing += value_of(&nodes[i], "repair_slices_differing");
        rows += value_of(&nodes[i], "repair_round_rows");
        bytes += value_of(&nodes[i], "repair_round_bytes");
    }
    if (!ctl->json) {
        fprintf(stderr, "%u of %u nodes done; slices %llu/%llu, %llu rows, %.1f MiB\n", n_done, n,
                (unsigned long long)done, (unsigned long long)differing, (unsigned long long)rows,
                (double)bytes / (1 << 20));
    }
}

static bool all_done(const struct repairing *nodes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (!nodes[i].done) {
            return false;
        }
    }
    return true;
}

static int repair_now(struct ctl *ctl, struct repairing *nodes, uint32_t n,
                      const struct repair_request *order) {
    const struct repair_request status = {.order = REPAIR_STATUS};
    ask_all(nodes, n, order);
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].target = nodes[i].status == 0 ? value_of(&nodes[i], "repair_order_round") : 1;
        nodes[i].done = nodes[i].status != 0;
    }
    for (uint32_t polls = 0; !all_done(nodes, n); polls++) {
        if (task_sleep((int64_t)REPAIR_POLL_MS * 1000000) != 0) {
            break;
        }
        ask_all(nodes, n, &status);
        for (uint32_t i = 0; i < n; i++) {
            if (!nodes[i].done) {
                judge(&nodes[i], order);
            }
        }
        if (polls % 4 == 3) {
            print_progress(ctl, nodes, n);
        }
    }
    uint32_t n_clean = 0, n_silent = 0;
    uint64_t n_mended = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_mended += nodes[i].n_mended;
        n_clean += nodes[i].clean ? 1 : 0;
        n_silent += nodes[i].status != 0 ? 1 : 0;
        if (!nodes[i].clean) {
            fprintf(stderr, "ringctl: repair: node %u %s\n", nodes[i].member.id,
                    nodes[i].status != 0 ? "does not answer"
                                         : "could not compare itself with all others");
        }
    }
    if (ctl->json) {
        ctl_print_json(json_pack("{s:i, s:i, s:I}", "nodes", (int)n, "done", (int)n_clean,
                                 "rows_mended", (json_int_t)n_mended));
    } else if (n_clean == n) {
        printf("all replicas were compared, %llu rows mended\n", (unsigned long long)n_mended);
    }
    return n_clean == n ? CTL_DONE : n_silent == n ? CTL_UNREACHABLE : CTL_FAILED;
}

struct slices_of_path {
    const struct ring *ring;
    struct repair_request request;
    bool too_many;
};

static void add_slice(void *context, struct bytes partition_key) {
    struct slices_of_path *s = context;
    uint16_t slice = ring_slice(s->ring, partition_key);
    for (uint16_t i = 0; i < s->request.n_slices; i++) {
        if (s->request.slices[i] == slice) {
            return;
        }
    }
    if (s->request.n_slices == REPAIR_SLICES_MAX) {
        s->too_many = true;
        return;
    }
    s->request.slices[s->request.n_slices++] = slice;
}

/* The order for a path: its slices, or everything when they are too many for one message. */
static int order_for(struct ctl *ctl, const char *path, struct repair_request *ret) {
    struct slices_of_path s = {.ring = client_ring(session_client(ctl->session)),
                               .request = {.order = REPAIR_SLICES}};
    int err = namespace_open(session_store(ctl->session), &ctl->ns);
    if (err == 0) {
        err = namespace_partitions(ctl->ns, path, add_slice, &s);
    }
    if (err != 0) {
        return ctl_complain(ctl, "repair", path, err);
    }
    *ret = s.request;
    ret->order = s.too_many ? REPAIR_ALL : REPAIR_SLICES;
    return CTL_DONE;
}

int ctl_repair(struct ctl *ctl) {
    const struct ring *ring = client_ring(session_client(ctl->session));
    uint32_t n = ring->n_members;
    bool all = ctl_option(ctl, "all") != NULL;
    if (all == (ctl->argc == 1)) {
        return ctl_usage_error("repair takes one of PATH, --all, status", "");
    }
    bool tell = !all && strcmp(ctl->argv[0], "status") == 0;
    struct repair_request order = {.order = REPAIR_ALL};
    if (!all && !tell) {
        int exit_code = order_for(ctl, ctl->argv[0], &order);
        if (exit_code != CTL_DONE) {
            return exit_code;
        }
        ring = client_ring(session_client(ctl->session));
    }
    struct repairing *nodes = memory_new(n, sizeof *nodes);
    for (uint32_t i = 0; i < n; i++) {
        nodes[i].ctl = ctl;
        nodes[i].member = ring->members[i];
    }
    task_set_deadline(task_self(), 0); /* it takes as long as it takes */
    int exit_code = tell ? repair_status(ctl, nodes, n) : repair_now(ctl, nodes, n, &order);
    for (uint32_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)nodes[i].payload.data);
    }
    free(nodes);
    return exit_code;
}
