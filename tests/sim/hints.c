/* hints: what the simulator asks of stand-ins: copies of what was acknowledged, rows that arrive.
 */
#include "tests/sim/hints.h"

#include "node/core/hints.h"
#include "tests/sim/stored.h"

enum { DRAIN_S = 60 };

/* The encoded versions of a row or hint as stored; empty when there is nothing sound. */
static struct bytes versions_of(struct bytes stored, bool is_hint) {
    struct bytes value = {0}, versions = {0};
    uint64_t stored_ns;
    if (stored.size == 0 || stored_value(stored, &value) != 0) {
        return versions;
    }
    if (!is_hint) {
        return value;
    }
    return hint_value_take(value, &stored_ns, &versions) == 0 ? versions : bytes_of(NULL, 0);
}

/* What a row or hint on a disk knows. */
static void known_of(struct bytes stored, bool is_hint, struct context *ret) {
    struct versions versions = {0};
    ret->n = 0;
    if (versions_decode(versions_of(stored, is_hint), &versions) == 0) {
        context_copy(ret, &versions.context);
    }
    versions_release(&versions);
}

/* How many nodes may lose what they stored in this run. */
static uint32_t n_lossy(const struct world *world) {
    const int64_t *every_ns = world->options.every_ns;
    bool loses = every_ns[FAULT_ROT] > 0 || every_ns[FAULT_MACHINE] > 0 || every_ns[FAULT_WIPE] > 0;
    return loses && world->options.frail > 0 ? 1 : 0;
}

/* ---- copies ---- */

static bool holds(struct world_node *node, struct bytes key, bool is_hint,
                  const struct write_row *part) {
    struct context known = {0};
    known_of(disk_mem_get(node->disk, key), is_hint, &known);
    bool covered = write_row_covered(part, &known);
    context_release(&known);
    return covered;
}

static bool has_copy(struct world *world, struct world_node *node, uint16_t slice,
                     const struct write_row *part) {
    struct buffer key = {0};
    struct bytes partition_key = ledger_partition_key(&world->ledger, part->row);
    struct bytes sort_key = ledger_sort_key(&world->ledger, part->row);
    rowkey_put_row(&key, slice, partition_key, sort_key);
    bool has = holds(node, buffer_bytes(&key), false, part);
    for (uint16_t target = 1; target <= world->options.n_nodes && !has; target++) {
        buffer_clear(&key);
        rowkey_put_hint(&key, target, slice, partition_key, sort_key);
        has = holds(node, buffer_bytes(&key), true, part);
    }
    buffer_release(&key);
    return has;
}

static const struct ring *ring_of(const struct world *world) {
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        if (world->nodes[i].node != NULL) {
            return membership_ring(world->nodes[i].membership);
        }
    }
    return NULL;
}

void hints_check_copies(struct world *world, uint32_t index) {
    const struct write *write = &world->ledger.writes[index];
    const struct ring *ring = ring_of(world);
    bool judged = ring != NULL;
    for (uint32_t i = 0; i < write->n && judged; i++) {
        judged = write->rows[i].condition == ROW_ANY || write->rows[i].condition == ROW_OVERWRITE;
        judged = judged && write->rows[i].kind != ROW_PATCH; /* may be pending: strict */
    }
    for (uint32_t i = 0; i < write->n && judged; i++) {
        const struct write_row *part = &write->rows[i];
        uint16_t slice = ring_slice(ring, ledger_partition_key(&world->ledger, part->row));
        uint32_t n = n_lossy(world);
        for (uint16_t k = 0; k < world->options.n_nodes; k++) {
            n += has_copy(world, &world->nodes[k], slice, part) ? 1 : 0;
        }
        if (part->kind != ROW_GUARD && n < world->options.write_quorum &&
            n < ring->n_replicas_held) {
            sim_fail(&world->sim, "write %u was acknowledged, but row %u of it is on %u disks",
                     index, part->row, n);
        }
    }
}

/* ---- rows that arrive ---- */

void hints_check_stored(struct world_node *node, struct bytes key, struct bytes old,
                        struct bytes now) {
    struct world *world = node->world;
    struct hint_key parts;
    if (rowkey_hint(key, &parts) != 0 || parts.target > world->options.n_nodes) {
        return;
    }
    int row = ledger_row(&world->ledger, parts.partition_key, parts.sort_key);
    if (row >= 0 && versions_of(now, true).size > 0) {
        ledger_stored(&world->ledger, (uint32_t)row, node->process.name, versions_of(old, true),
                      versions_of(now, true));
    }
    struct context before = {0}, after = {0}, arrived = {0};
    struct buffer row_key = {0};
    struct world_node *target = &world->nodes[parts.target - 1];
    rowkey_put_row(&row_key, parts.slice, parts.partition_key, parts.sort_key);
    known_of(old, true, &before);
    known_of(now, true, &after);
    known_of(disk_mem_get(target->disk, buffer_bytes(&row_key)), false, &arrived);
    context_join(&arrived, &after);
    bool lossy = n_lossy(world) > 0 && world->options.frail == target->id;
    if (!context_includes(&arrived, &before) && !lossy) {
        sim_fail(&world->sim, "%s drops a hint that %s has not got", node->process.name,
                 target->process.name);
    }
    sim_trace(&world->sim, "%s %s a hint for %s", node->process.name,
              now.size > 0 ? "keeps" : "drops", target->process.name);
    buffer_release(&row_key);
    context_release(&before);
    context_release(&after);
    context_release(&arrived);
}

/* ---- in the end ---- */

static uint32_t count_hints(const struct world *world) {
    uint32_t n = 0;
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        const struct disk_mem *disk = world->nodes[i].disk;
        for (uint32_t k = 0; k < disk_mem_size(disk); k++) {
            struct hint_key parts;
            n += rowkey_hint(disk_mem_at(disk, k).key, &parts) == 0 ? 1 : 0;
        }
    }
    return n;
}

void hints_check_drained(struct world *world) {
    int64_t end_ns = world->sim.now_ns + DRAIN_S * SIM_S;
    while (count_hints(world) > 0 && world->sim.now_ns < end_ns && !world->sim.failed) {
        sim_run(&world->sim, world->sim.now_ns + 100 * SIM_MS);
    }
    if (count_hints(world) > 0 && !world->sim.failed) {
        sim_fail(&world->sim, "%u hints are still kept %d s after all has healed",
                 count_hints(world), DRAIN_S);
    }
    for (uint16_t i = 0; i < world->options.n_nodes && !world->sim.failed; i++) {
        struct hints_total total;
        if (world->nodes[i].node == NULL) {
            continue; /* it was told to stop before all healed, and starts again */
        }
        hints_total(world->nodes[i].node, &total);
        if (total.n != 0 || total.bytes != 0) {
            sim_fail(&world->sim, "%s counts %llu hints and has none", world->nodes[i].process.name,
                     (unsigned long long)total.n);
        }
    }
}
