/* converge: whether anti-entropy alone makes replicas agree, and slices' sums tell the truth. */
#include "tests/sim/converge.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/tree.h"

enum { CONVERGE_MAX_S = 120, KNOWN_MAX_S = 30 };

static const struct ring *ring_of(const struct world *world) {
    uint16_t i = 0; /* one that is between two lives has none */
    while (i + 1 < world->options.n_nodes && world->nodes[i].membership == NULL) {
        i++;
    }
    return membership_ring(world->nodes[i].membership);
}

/* The first slice whose replicas have different sums, or unknown ones; -1 = none. */
static int first_difference(const struct world *world) {
    const struct ring *ring = ring_of(world);
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        struct slice_sum first, other;
        for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
            const struct node *node = world->nodes[list[i]].node;
            if (node == NULL || !node_slice_sum(node, slice, i == 0 ? &first : &other) ||
                (i > 0 && (other.sum != first.sum || other.n_rows != first.n_rows))) {
                return slice;
            }
        }
    }
    return -1;
}

static bool all_known(const struct world *world) {
    struct slice_sum sum;
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        for (uint16_t slice = 0; slice < world->options.n_slices; slice++) {
            if (world->nodes[i].node == NULL ||
                !node_slice_sum(world->nodes[i].node, slice, &sum)) {
                return false;
            }
        }
    }
    return true;
}

/* The disk's rows as one page. */
static void count_disk(struct world_node *node, struct tree *ret) {
    uint32_t size = disk_mem_size(node->disk);
    struct disk_row *rows = memory_new((size_t)size + 1, sizeof *rows);
    uint32_t n = 0;
    for (uint32_t i = 0; i < size; i++) {
        struct disk_row row = disk_mem_at(node->disk, i);
        if (row.key.data[0] == 'r') {
            rows[n++] = row;
        }
    }
    tree_init(ret, ring_of(node->world)->seed, node->world->options.n_slices);
    tree_count_begin(ret, 0, (uint16_t)(ret->n_slices - 1));
    tree_scan_begin(ret);
    tree_count_page(ret, rows, n, false);
    free(rows);
}

static void check_node_sums(struct world_node *node) {
    struct world *world = node->world;
    struct tree tree;
    count_disk(node, &tree);
    for (uint16_t slice = 0; slice < tree.n_slices && !world->sim.failed; slice++) {
        struct slice_sum told = {0}, counted;
        bool known = node_slice_sum(node->node, slice, &told);
        tree_sum(&tree, slice, &counted);
        if (!known || told.sum != counted.sum || told.n_rows != counted.n_rows) {
            sim_fail(&world->sim, "%s: the sum of slice %u %s: %u rows told, %u on the disk",
                     node->process.name, slice, known ? "is not that of its rows" : "is not known",
                     told.n_rows, counted.n_rows);
        }
    }
    tree_release(&tree);
}

void check_sums(struct world *world) {
    int64_t end = world->sim.now_ns + KNOWN_MAX_S * SIM_S;
    if (world->options.repair_round_ms == 0) {
        return;
    }
    while (!world->sim.failed && !all_known(world) && world->sim.now_ns < end) {
        sim_run(&world->sim, world->sim.now_ns + 100 * SIM_MS);
    }
    for (uint16_t i = 0; i < world->options.n_nodes && !world->sim.failed; i++) {
        check_node_sums(&world->nodes[i]);
    }
}

void check_converged(struct world *world) {
    int64_t end = world->sim.now_ns + CONVERGE_MAX_S * SIM_S;
    if (world->options.repair_round_ms == 0) {
        return;
    }
    int slice = first_difference(world);
    while (!world->sim.failed && slice >= 0 && world->sim.now_ns < end) {
        sim_run(&world->sim, world->sim.now_ns + 50 * SIM_MS);
        slice = first_difference(world);
    }
    if (!world->sim.failed && slice >= 0) {
        sim_fail(&world->sim, "replicas of slice %d differ %d s after all has healed", slice,
                 CONVERGE_MAX_S);
    }
    if (!world->sim.failed && world->options.every_ns[FAULT_ROT] == 0) {
        check_sums(world);
    }
}
