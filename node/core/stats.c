/* stats: the node's counters and gauges by name. */
#include "node/core/stats.h"

#include <stdio.h>

#include "node/core/anti_entropy.h"
#include "node/core/hints.h"
#include "node/core/node.h"
#include "node/core/recovery.h"
#include "node/core/scrub.h"
#include "node/core/turn.h"
#include "node/core/watch.h"

struct list {
    struct node_stat *rows;
    uint32_t n;
    uint32_t max;
};

static void add(struct list *list, const char *name, uint64_t value) {
    if (list->n < list->max) {
        list->rows[list->n++] = (struct node_stat){name, value};
    }
}

#define ADD(list, counters, name) add((list), #name, (counters)->name)

static void add_requests(struct list *list, const struct counters *c) {
    ADD(list, c, gets);
    ADD(list, c, own_gets);
    ADD(list, c, own_scans);
    ADD(list, c, batches);
    ADD(list, c, scans);
    ADD(list, c, hellos);
    ADD(list, c, pings);
    ADD(list, c, replicates);
    ADD(list, c, reads);
    ADD(list, c, read_scans);
    ADD(list, c, slice_pages);
    ADD(list, c, syncs_asked);
    ADD(list, c, repairs_received);
    ADD(list, c, forwarded);
    ADD(list, c, messages);
    ADD(list, c, messages_bad);
}

static void add_outcomes(struct list *list, const struct counters *c) {
    ADD(list, c, conflicts);
    ADD(list, c, unavailable);
    ADD(list, c, unknown);
    ADD(list, c, busy);
    ADD(list, c, invalid);
    ADD(list, c, timeouts);
    ADD(list, c, siblings);
    ADD(list, c, too_big);
    ADD(list, c, strict_batches);
    ADD(list, c, strict_applied);
    ADD(list, c, strict_behind);
    ADD(list, c, campaigns);
    ADD(list, c, touches);
    ADD(list, c, takeovers);
    ADD(list, c, withdrawn);
    ADD(list, c, partition_syncs);
    ADD(list, c, proposals_resent);
    ADD(list, c, stale_epochs);
    ADD(list, c, settles);
    ADD(list, c, overtaken);
    ADD(list, c, repairs_sent);
    ADD(list, c, confirmed);
    ADD(list, c, hedges);
    ADD(list, c, rows_applied);
    ADD(list, c, late);
    ADD(list, c, unsent);
    ADD(list, c, commit_errors);
    ADD(list, c, corrupt_rows);
    ADD(list, c, corrupt_found);
    ADD(list, c, corrupt_repaired);
    ADD(list, c, stamps_ahead);
    ADD(list, c, late_overwrites);
    ADD(list, c, many_siblings);
    ADD(list, c, recounts);
    ADD(list, c, recovering);
    ADD(list, c, reopened);
}

static void add_hints(struct list *list, const struct node *node) {
    const struct counters *c = &node->counters;
    struct hints_total total;
    hints_total(node, &total);
    add(list, "hints", total.n);
    add(list, "hints_bytes", total.bytes);
    add(list, "slices_marked", total.n_marked);
    ADD(list, c, hints_stored);
    ADD(list, c, hints_delivered);
    ADD(list, c, hints_dropped);
    ADD(list, c, handoffs_received);
    ADD(list, c, stood_in);
}

static void add_gauges(struct list *list, const struct node *node) {
    struct rows_stats rows;
    uint64_t disk_free = 0;
    uint64_t disk_total = 0;
    rows_stats(node->rows, &rows);
    node->disk->space(node->disk->self, &disk_free, &disk_total);
    add(list, "state", (uint64_t)node->state);
    add(list, "epoch", node->epoch);
    add(list, "requests_in_flight", node->n_requests);
    add(list, "forwards_in_flight", node->n_forwards);
    add(list, "works_in_flight", node->n_works);
    add(list, "bytes_in_flight", node->inflight_bytes);
    add(list, "proposal_bytes", turn_bytes(node));
    add(list, "commits_in_flight", rows.n_commits);
    add(list, "rows_in_memory", rows.n_rows);
    add(list, "rows_cached_bytes", rows.bytes);
    add(list, "rows_loaded", rows.n_loads);
    add(list, "rows_load_errors", rows.n_load_errors);
    add(list, "rows_load_corrupt", rows.n_corrupt);
    add(list, "disk_free_bytes", disk_free);
    add(list, "disk_total_bytes", disk_total);
}

static void add_repair(struct list *list, const struct node *node) {
    ADD(list, &node->counters, trees);
    ADD(list, &node->counters, leaves);
    ADD(list, &node->counters, tombstones_reaped);
    list->n += anti_entropy_stats(node->anti_entropy, list->rows + list->n, list->max - list->n);
}

static void add_watches(struct list *list, const struct node *node) {
    struct watch_counters c;
    watch_counters(node->watches, &c);
    add(list, "watch_clients", c.clients);
    add(list, "watch_partitions", c.partitions);
    add(list, "watch_changes", c.changes);
    add(list, "watch_forgotten", c.forgotten);
    add(list, "watch_waits", c.waits);
}

static void add_edges(struct list *list, const struct node *node) {
    if (node->config.edge_stats != NULL) {
        list->n += node->config.edge_stats(node->config.edge_context, list->rows + list->n,
                                           list->max - list->n);
    }
}

static void add_scrub(struct list *list, const struct node *node) {
    struct scrub_stats stats;
    scrub_stats(node->scrub, &stats);
    add(list, "scrub_rounds", stats.rounds);
    add(list, "scrub_rows", stats.rows);
    add(list, "scrub_bytes", stats.bytes);
    add(list, "scrub_unreadable", stats.unreadable);
    add(list, "scrub_round_ms", stats.round_ms);
    add(list, "scrub_slice", stats.slice);
}

static void add_recovery(struct list *list, const struct node *node) {
    struct recovery_progress progress;
    recovery_progress(node, &progress);
    add(list, "read_only", node->read_only.status != 0 ? 1 : 0);
    add(list, "read_only_error", (uint64_t)-node->read_only.status);
    add(list, "read_only_times", node->read_only.times);
    add(list, "slices_held", progress.n_held);
    add(list, "slices_recovering", progress.n_left);
    add(list, "recovery_rows", progress.rows);
    add(list, "recovery_bytes", progress.bytes);
    add(list, "recovery_ms", progress.ms);
    add(list, "recovery_left_ms", progress.left_ms);
}

static void add_ring(struct list *list, const struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    int self = ring_member_index(ring, node->config.id);
    add(list, "ring_version", ring->version);
    add(list, "slices_owned", ring_owned(ring, (uint16_t)self));
    for (uint16_t i = 0; i < ring->n_members; i++) {
        if (i != self) {
            add(list, node->links[i].stat_name, node_alive(node, ring->members[i].id) ? 1 : 0);
        }
    }
}

uint32_t node_stats(const struct node *node, struct node_stat *ret, uint32_t max) {
    struct list list = {.rows = ret, .max = max};
    add_requests(&list, &node->counters);
    add_outcomes(&list, &node->counters);
    add_hints(&list, node);
    add_gauges(&list, node);
    add_repair(&list, node);
    add_edges(&list, node);
    add_recovery(&list, node);
    add_scrub(&list, node);
    add_watches(&list, node);
    add_ring(&list, node);
    return list.n;
}

void stats_answer(struct node *node, const struct asker *asker) {
    struct node_stat stats[STATS_MAX];
    struct stat_row rows[STATS_MAX];
    uint32_t n = node_stats(node, stats, STATS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = (struct stat_row){bytes_of_string(stats[i].name), stats[i].value};
    }
    buffer_clear(&node->encoded);
    stats_encode(rows, n, &node->encoded);
    answer(node, asker, 0, buffer_bytes(&node->encoded));
}
