/* ringctl_hints: what the nodes keep for replicas that are away, and why it is still there. */
#include <stdio.h>
#include <stdlib.h>

#include "node/ringctl_nodes.h"
#include "shared/hint_report.h"

enum { HINTS_ASK_MS = 1500, REASON_MAX = 128 };

/* One node and what it keeps. */
struct keeper {
    uint16_t node;
    int status;
    struct hint_report report;
};

/* ---- in words ---- */

static const char *state_name(const struct hint_target *target) {
    static const char *const names[] = {"none", "waiting", "delivering", "queued", "retrying"};
    return names[target->state];
}

static void reason_of(const struct hint_target *target, char ret[REASON_MAX]) {
    switch (target->state) {
    case HINTS_WAITING:
        snprintf(ret, REASON_MAX, "node %u does not answer", target->node);
        break;
    case HINTS_DELIVERING:
        snprintf(ret, REASON_MAX, "at most %.1f MiB/s, %.0f s left",
                 (double)target->rate / (1 << 20),
                 (double)target->bytes / (double)(target->rate > 0 ? target->rate : 1));
        break;
    case HINTS_QUEUED:
        snprintf(ret, REASON_MAX, "another node gets its rows first");
        break;
    case HINTS_RETRYING:
        snprintf(ret, REASON_MAX, "node %u took some not: %s; asked again each second",
                 target->node, err_text(-(int)target->last_error));
        break;
    default:
        snprintf(ret, REASON_MAX, "nothing is kept");
        break;
    }
}

static void print_keeper(const struct keeper *keeper) {
    const struct hint_report *report = &keeper->report;
    char reason[REASON_MAX];
    if (keeper->status != 0) {
        printf("%4u  %4s %8s %10s %8s %8s  silent: %s\n", keeper->node, "-", "-", "-", "-", "-",
               err_text(keeper->status));
        return;
    }
    if (!report->ready) {
        printf("%4u  %4s %8s %10s %8s %8s  counting what is on the disk\n", keeper->node, "-", "-",
               "-", "-", "-");
    }
    for (uint32_t i = 0; i < report->n_targets; i++) {
        const struct hint_target *target = &report->targets[i];
        if (target->n == 0 && target->dropped == 0) {
            continue; /* all delivered */
        }
        reason_of(target, reason);
        printf("%4u  %4u %8llu %10llu %6.0f s %8llu  %s: %s\n", keeper->node, target->node,
               (unsigned long long)target->n, (unsigned long long)target->bytes,
               (double)target->age_ms / 1000, (unsigned long long)target->dropped,
               state_name(target), reason);
    }
}

static void print_text(const struct keeper *keepers, uint32_t n) {
    uint64_t rows = 0;
    uint64_t marked = 0;
    printf("%4s  %4s %8s %10s %8s %8s  %s\n", "node", "for", "rows", "bytes", "oldest", "dropped",
           "state");
    for (uint32_t i = 0; i < n; i++) {
        print_keeper(&keepers[i]);
        marked += keepers[i].report.n_marked;
        for (uint32_t k = 0; k < keepers[i].report.n_targets; k++) {
            rows += keepers[i].report.targets[k].n;
        }
    }
    printf("%llu rows are kept for replicas that are away", (unsigned long long)rows);
    if (marked > 0) {
        printf("; %llu copies of slices wait for repair because some were not",
               (unsigned long long)marked);
    }
    putchar('\n');
}

/* ---- for programs ---- */

static json_t *target_json(const struct hint_target *target) {
    char reason[REASON_MAX];
    reason_of(target, reason);
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "target", (int)target->node,
                     "state", state_name(target), "reason", reason, "rows", (json_int_t)target->n,
                     "bytes", (json_int_t)target->bytes, "age_ms", (json_int_t)target->age_ms,
                     "dropped", (json_int_t)target->dropped, "delivered",
                     (json_int_t)target->delivered, "rate", (json_int_t)target->rate);
}

static json_t *keeper_json(const struct keeper *keeper) {
    const struct hint_report *report = &keeper->report;
    json_t *targets = json_array();
    for (uint32_t i = 0; i < report->n_targets; i++) {
        json_array_append_new(targets, target_json(&report->targets[i]));
    }
    return json_pack("{s:i, s:b, s:b, s:I, s:I, s:I, s:o}", "id", (int)keeper->node, "alive",
                     (int)(keeper->status == 0), "ready", (int)report->ready, "bytes_max",
                     (json_int_t)report->bytes_max, "target_max", (json_int_t)report->target_max,
                     "slices_marked", (json_int_t)report->n_marked, "hints", targets);
}

static void print_json(const struct keeper *keepers, uint32_t n) {
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_array_append_new(nodes, keeper_json(&keepers[i]));
    }
    ctl_print_json(json_pack("{s:o}", "nodes", nodes));
}

int ctl_hints(struct ctl *ctl) {
    uint32_t n = 0;
    uint32_t n_silent = 0;
    struct ctl_answer *answers = ctl_ask_nodes(ctl, MESSAGE_HINTS, HINTS_ASK_MS, &n);
    struct keeper *keepers = memory_new(n, sizeof *keepers);
    for (uint32_t i = 0; i < n; i++) {
        struct keeper *keeper = &keepers[i];
        keeper->node = answers[i].member.id;
        keeper->status = answers[i].status;
        if (keeper->status == 0) {
            keeper->status = hint_report_decode(answers[i].payload, &keeper->report);
        }
        n_silent += keeper->status != 0 ? 1 : 0;
    }
    if (ctl->json) {
        print_json(keepers, n);
    } else {
        print_text(keepers, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        hint_report_release(&keepers[i].report);
    }
    free(keepers);
    ctl_answers_free(answers, n);
    return ctl_silent_exit(n_silent, n);
}
