/* sweep_cluster: the mount's own sweeps, of the cluster that it is a client of. */
#include "fs/sweep_cluster.h"

#include <stdio.h>

#include "shared/err.h"
#include "shared/session_partitions.h"

/* Nobody waits for it: a least age that forgives much, and pauses that leave the nodes to others.
 */
#define AGE_MIN_NS 86400000000000ull
#define PAUSE_NS 2000000

static void tell(const struct sweep_cluster *c, const struct sweep_report *report, int status) {
    char line[200];
    uint64_t n_found = 0, n_left = 0;
    for (int i = 0; i < SWEEP_KINDS; i++) {
        n_found += report->kinds[i].found;
        n_left += report->kinds[i].left;
    }
    if (status == 0) {
        snprintf(line, sizeof line,
                 "swept: %llu directories, %llu entries; %llu leftovers found, %llu left%s",
                 (unsigned long long)report->n_directories, (unsigned long long)report->n_entries,
                 (unsigned long long)n_found, (unsigned long long)n_left,
                 n_left > 0 ? ", `ringctl fsck` shows them" : "");
    } else {
        snprintf(line, sizeof line, "a sweep ended early: %s", err_text(status));
    }
    c->log(c->context, 1, line);
}

static int sweep(void *context, const bool *stop) {
    struct sweep_cluster *c = context;
    struct session_partitions partitions;
    struct sweep_report report;
    session_partitions_init(&partitions, c->session, c->wait_ns, true);
    const struct sweep_config config = {.ns = c->mount->config.ns,
                                        .source = &partitions.source,
                                        .repair = true,
                                        .age_min_ns = AGE_MIN_NS,
                                        .n_at_once = 1,
                                        .pause_ns = PAUSE_NS,
                                        .stop = stop};
    int status = sweep_run(&config, &report);
    tell(c, &report, status);
    return status;
}

int sweep_cluster_start(struct sweep_cluster *config) {
    const struct sweeper_config sweeper = {.sweep = sweep, .context = config};
    return sweeper_start(config->mount, &sweeper);
}
