/* sweep_cluster: the mount's own sweeps, of the cluster that it is a client of. */
#include "fs/sweep_cluster.h"

#include <stdio.h>

#include "fs/journal.h"
#include "shared/err.h"
#include "shared/session_partitions.h"

/* Nobody waits for it: pauses that leave the nodes to others. */
#define PAUSE_NS 2000000

/* How many leftovers of which kinds. */
static void tell_kinds(const struct sweep_report *report, struct buffer *into) {
    uint64_t n_found = 0, n_left = 0;
    for (int i = 0; i < SWEEP_KINDS; i++) {
        n_found += report->kinds[i].found;
        n_left += report->kinds[i].left;
    }
    text_put(into, "; %llu leftovers found", (unsigned long long)n_found);
    const char *between = " (";
    for (int i = 0; i < SWEEP_KINDS; i++) {
        if (report->kinds[i].found > 0) {
            text_put(into, "%s%llu %s", between, (unsigned long long)report->kinds[i].found,
                     sweep_kind_name((enum sweep_kind)i));
            between = ", ";
        }
    }
    text_put(into, "%s, %llu left%s", n_found > 0 ? ")" : "", (unsigned long long)n_left,
             n_left > 0 ? ": `ringctl fsck` shows them" : "");
}

static void tell(const struct sweep_cluster *c, const struct sweep_report *report, int status) {
    struct buffer line = {0};
    if (status == 0) {
        text_put(&line, "swept: %llu directories, %llu entries",
                 (unsigned long long)report->n_directories, (unsigned long long)report->n_entries);
        tell_kinds(report, &line);
    } else {
        text_put(&line, "a sweep ended early: %s", err_text(status));
    }
    buffer_put_u8(&line, '\0');
    c->log(c->context, 1, (const char *)line.data);
    buffer_release(&line);
}

static int sweep(void *context, const bool *stop) {
    struct sweep_cluster *c = context;
    struct session_partitions partitions;
    struct sweep_report report;
    session_partitions_init(&partitions, c->session, c->wait_ns, true);
    const struct sweep_config config = {.ns = c->mount->config.ns,
                                        .source = &partitions.source,
                                        .repair = true,
                                        .age_min_ns = (uint64_t)c->every_ns,
                                        .n_at_once = 1,
                                        .pause_ns = PAUSE_NS,
                                        .stop = stop};
    int status = sweep_run(&config, &report);
    tell(c, &report, status);
    return status;
}

int sweep_cluster_start(struct sweep_cluster *config) {
    const struct sweeper_config sweeper = {
        .every_ns = config->every_ns, .sweep = sweep, .context = config};
    return sweeper_start(config->mount, &sweeper);
}
