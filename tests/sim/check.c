/* check: the promises of the store, judged over a whole run once it has healed. */
#include "tests/sim/check.h"

#include <string.h>

#include "shared/err.h"
#include "tests/sim/directories.h"
#include "tests/sim/patches.h"
#include "tests/sim/stored.h"
#include "tests/sim/strict_history.h"

/* ---- what clients were told against what stands in the end ---- */

/* Whether the write was carried out by two coordinators: a retry at one that did not know it, or an
 * attempt that the client had given up and that was served late. */
static bool is_twin(const struct write_row *part) {
    return part->n_dots > 1;
}

/* Whether `later` may have replaced `part` of `write`: it named a dot of it as seen, or it was a
 * kind of write that takes in what its coordinator knows and was not over before `write` began (one
 * that ended unknown is never over, its message may still be on its way; nor, with `twins`, an
 * IF_ABSENT that was carried out twice: docs/simulator.md, what is not promised yet). */
static bool may_replace(const struct write *later, const struct write_row *later_part,
                        const struct write *write, const struct write_row *part, bool twins) {
    if (later == write || !write_possible(later)) {
        return false;
    }
    if (write_row_covered(part, &later_part->seen)) {
        return true;
    }
    bool takes_in = later_part->condition == ROW_OVERWRITE ||
                    (later_part->condition == ROW_IF_ABSENT && part->kind == ROW_DELETE);
    bool overlaps = later->outcome != 0 || later->end_ns > write->start_ns;
    bool again = twins && later_part->condition == ROW_IF_ABSENT && is_twin(later_part);
    return takes_in && (overlaps || again);
}

static bool replaced(struct ledger *ledger, const struct write *write, const struct write_row *part,
                     bool twins) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        struct write_row *later = write_row_of(&ledger->writes[i], part->row);
        if (later != NULL && may_replace(&ledger->writes[i], later, write, part, twins)) {
            return true;
        }
    }
    return false;
}

/* Promise 1: an acknowledged write stands, or was replaced by one that may replace it. */
static void check_kept(struct world *world, const struct final_rows *rows, uint32_t index) {
    struct ledger *ledger = &world->ledger;
    const struct write *write = &ledger->writes[index];
    for (uint32_t i = 0; i < write->n; i++) {
        const struct write_row *part = &write->rows[i];
        if (part->kind == ROW_GUARD) {
            continue;
        }
        const struct versions *now = &rows->versions[part->row];
        if (part->n_dots == 0) {
            sim_fail(&world->sim, "write %u was acknowledged but row %u of it is nowhere", index,
                     part->row);
        } else if (write_row_reaped(ledger, part) && !write_row_covered(part, &now->context)) {
            continue; /* it was deleted, and the tombstone went */
        } else if (!write_row_covered(part, &now->context)) {
            sim_fail(&world->sim, "row %u has forgotten that write %u ever was", part->row, index);
        } else if (versions_find(now, &write->op) != NULL || replaced(ledger, write, part, false)) {
            continue;
        } else if (replaced(ledger, write, part, true)) {
            world_cover(world, COVER_TWIN_LOSSES);
        } else {
            sim_fail(&world->sim, "row %u lost the acknowledged write %u", part->row, index);
        }
    }
}

/* Promise 4: what an acknowledged write replaced does not come back. */
static void check_not_revived(struct world *world, const struct final_rows *rows, uint32_t index) {
    const struct write *write = &world->ledger.writes[index];
    for (uint32_t i = 0; i < write->n; i++) {
        const struct write_row *part = &write->rows[i];
        const struct versions *now = &rows->versions[part->row];
        for (uint32_t k = 0; part->kind != ROW_GUARD && k < now->n_siblings; k++) {
            const struct sibling *sibling = &now->siblings[k];
            struct write *stands = ledger_find(&world->ledger, &sibling->op);
            if (stands == NULL || stands == write) {
                continue;
            }
            if (context_covers(&part->seen, sibling->dot)) {
                sim_fail(&world->sim, "row %u: write %u replaced write %u, which stands again",
                         part->row, index, (uint32_t)(stands - world->ledger.writes));
            } else if (write_row_covered(write_row_of(stands, part->row), &part->seen)) {
                sim_trace(&world->sim, "row %u: write %u replaced write %u, which stands as a twin",
                          part->row, index, (uint32_t)(stands - world->ledger.writes));
                world_cover(world, COVER_TWIN_REVIVALS);
            }
        }
    }
}

/* ---- conditions ---- */

/* Whether a write that was seen came back over `earlier` by being carried out again. */
static bool twin_came_between(struct ledger *ledger, const struct write_row *part,
                              const struct write *earlier, const struct write_row *earlier_part) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        struct write *twin = &ledger->writes[i];
        struct write_row *twin_part = write_row_of(twin, part->row);
        if (twin_part != NULL && is_twin(twin_part) && write_row_covered(twin_part, &part->seen) &&
            may_replace(twin, twin_part, earlier, earlier_part, true)) {
            return true;
        }
    }
    return false;
}

/* Whether it went through the steward: a batch with any condition, or a patch. */
static bool is_strict(const struct write *write) {
    for (uint32_t i = 0; i < write->n; i++) {
        uint8_t condition = write->rows[i].condition;
        bool patch = write->rows[i].kind == ROW_PATCH;
        if (patch || (condition != ROW_ANY && condition != ROW_OVERWRITE)) {
            return true;
        }
    }
    return false;
}

/* An acknowledged IF_MATCH knew every strict write of the row that was acknowledged before it
 * began; an acknowledged IF_ABSENT met no live one. */
static void check_condition_over(struct world *world, uint32_t index, const struct write_row *part,
                                 uint32_t earlier_index) {
    struct ledger *ledger = &world->ledger;
    struct write *earlier = &ledger->writes[earlier_index];
    struct write_row *earlier_part = write_row_of(earlier, part->row);
    const struct write *write = &ledger->writes[index];
    if (earlier == write || earlier_part == NULL || earlier->outcome != 0 || earlier->stood_in ||
        earlier->end_ns >= write->start_ns || write_row_covered(earlier_part, &part->seen)) {
        return;
    }
    if (write_row_reaped(ledger, earlier_part) || !is_strict(earlier)) {
        return; /* the steward may not have heard of it yet: they stay side by side */
    }
    bool live = earlier_part->kind == ROW_PUT && !replaced(ledger, earlier, earlier_part, true);
    if (twin_came_between(ledger, part, earlier, earlier_part)) {
        world_cover(world, COVER_TWIN_REVIVALS);
    } else if (write->retried) {
        world->coverage[COVER_RETRIED_PASSES] += part->condition == ROW_IF_MATCH || live;
    } else if (part->condition == ROW_IF_MATCH) {
        sim_fail(&world->sim, "write %u (IF_MATCH, row %u) passed, but write %u was done before",
                 index, part->row, earlier_index);
    } else if (live) {
        sim_fail(&world->sim, "write %u (IF_ABSENT, row %u) passed, but write %u was there", index,
                 part->row, earlier_index);
    }
}

static bool same_seen(const struct write_row *a, const struct write_row *b) {
    return context_includes(&a->seen, &b->seen) && context_includes(&b->seen, &a->seen);
}

/* Of two writes under the same condition on the same knowledge at most one wins. */
static void check_one_winner(struct world *world, uint32_t index, const struct write_row *part,
                             uint32_t rival_index) {
    struct write *rival = &world->ledger.writes[rival_index];
    struct write_row *other = write_row_of(rival, part->row);
    if (rival_index >= index || rival->outcome != 0 || other == NULL ||
        other->condition != part->condition || !same_seen(part, other) ||
        write_row_reaped(&world->ledger, other)) {
        return;
    }
    bool contest = part->row >= ledger_contest(&world->ledger, 0);
    if (rival->retried || world->ledger.writes[index].retried) {
        world_cover(world, COVER_RETRIED_PASSES);
    } else if (part->condition == ROW_IF_MATCH || (part->condition == ROW_IF_ABSENT && contest)) {
        sim_fail(&world->sim, "writes %u and %u both won row %u", rival_index, index, part->row);
    }
}

static void check_conditions(struct world *world, uint32_t index) {
    const struct write *write = &world->ledger.writes[index];
    for (uint32_t i = 0; i < write->n; i++) {
        const struct write_row *part = &write->rows[i];
        bool conditional = part->condition == ROW_IF_MATCH || part->condition == ROW_IF_ABSENT;
        for (uint32_t k = 0; conditional && k < world->ledger.n; k++) {
            check_condition_over(world, index, part, k);
            if (part->kind != ROW_GUARD) {
                check_one_winner(world, index, part, k);
            }
        }
    }
}

/* What may end unknown though nothing failed. With W = 3 two coordinators may each get some
 * replicas and neither enough. Two nodes may want to be the steward of a slice at the same moment:
 * what the one that loses had proposed is asked again at the other, and refused there; its client
 * cannot know that the first try will never be carried out. */
static bool may_be_unknown(const struct world *world, const struct write *write) {
    return world->options.write_quorum > 2 || (is_strict(write) && write->retried);
}

/* Without faults a contest that was entered has a winner, and little ends unknown. */
static void check_quiet(struct world *world) {
    struct ledger *ledger = &world->ledger;
    bool entered[CONTESTS_MAX] = {false}, won[CONTESTS_MAX] = {false};
    for (uint32_t i = 0; i < ledger->n; i++) {
        const struct write *write = &ledger->writes[i];
        bool raced = write->outcome == ERR_UNKNOWN && may_be_unknown(world, write);
        if (write->rows[0].row >= ledger_contest(ledger, 0)) {
            uint32_t contest = write->rows[0].row - ledger_contest(ledger, 0);
            entered[contest] = true;
            won[contest] = won[contest] || write->outcome == 0 || raced;
        }
        if (write->outcome != 0 && write->outcome != ERR_CONFLICT &&
            write->outcome != ERR_SIBLINGS && !raced) {
            sim_fail(&world->sim, "write %u ended %s in a run without faults", i,
                     err_name(write->outcome));
        }
    }
    for (uint32_t c = 0; c < CONTESTS_MAX; c++) {
        if (entered[c] && !won[c] && world->options.write_quorum <= 2) {
            sim_fail(&world->sim, "contest %u has no winner in a run without faults", c);
        }
    }
}

static void cover_write(struct world *world, const struct write *write) {
    bool two = false, applied = false;
    for (uint32_t i = 0; i < write->n; i++) {
        two |= write->rows[i].n_dots > 1;
        applied |= write->rows[i].stored;
    }
    world->coverage[COVER_TWO_COORDINATORS] += two;
    world->coverage[COVER_UNAVAILABLE_APPLIED] += applied && write->outcome == ERR_UNAVAILABLE;
}

void check_history(struct world *world, const struct final_rows *rows) {
    struct ledger *ledger = &world->ledger;
    for (uint32_t i = 0; i < ledger->n && !world->sim.failed; i++) {
        cover_write(world, &ledger->writes[i]);
        if (ledger->writes[i].outcome == LEDGER_PENDING) {
            sim_fail(&world->sim, "write %u was never answered", i);
        } else if (ledger->writes[i].outcome == 0) {
            check_kept(world, rows, i);
            check_not_revived(world, rows, i);
            check_conditions(world, i);
        }
    }
    for (uint32_t row = 0; row < ledger->n_rows; row++) {
        for (uint32_t i = 0; i < rows->versions[row].n_siblings; i++) {
            ledger_check_sibling(ledger, row, &rows->versions[row].siblings[i], "final read");
        }
        patches_check_final(world, row, &rows->versions[row]);
    }
    check_directories(world, rows);
    if (!world->sim.failed) {
        check_strict(world, rows);
    }
    if (world->options.quiet) {
        check_quiet(world);
    }
}

/* ---- the disks ---- */

struct replica {
    struct world *world;
    const struct final_rows *rows;
    struct world_node *node;
    uint32_t n_live[ROWS_TOTAL_MAX];     /* live rows on the disk, by the partition's first row */
    uint64_t tally_live[ROWS_TOTAL_MAX]; /* what its tally says */
    bool has[ROWS_TOTAL_MAX];
};

/* The first row of the row's partition. */
static uint32_t first_row(const struct world *world, uint32_t row) {
    uint32_t n;
    return ledger_partition(&world->ledger, row, &n);
}

static void check_stored_row(struct replica *replica, uint32_t row, struct bytes stored) {
    struct world *world = replica->world;
    struct versions versions = {0};
    struct bytes value;
    if (stored_value(stored, &value) != 0 || versions_decode(value, &versions) != 0) {
        sim_fail(&world->sim, "%s: row %u cannot be decoded", replica->node->process.name, row);
        return;
    }
    uint8_t here[16], final[16];
    versions_digest(&versions, here);
    versions_digest(&replica->rows->versions[row], final);
    bool going = world->ledger.n_reaped[row] > 0 && versions_live(&versions) == 0;
    if (memcmp(here, final, sizeof(final)) != 0 && !going) {
        sim_fail(&world->sim, "%s differs from the others in row %u after the final reads",
                 replica->node->process.name, row);
    }
    replica->has[row] = true;
    replica->n_live[first_row(world, row)] += versions_live(&versions) > 0;
    versions_release(&versions);
}

static void check_pair(struct replica *replica, struct disk_row pair) {
    struct ledger *ledger = &replica->world->ledger;
    struct bytes partition_key, sort_key, value;
    if (stored_row_key(pair.key, &partition_key, &sort_key)) {
        int row = ledger_row(ledger, partition_key, sort_key);
        if (row >= 0) {
            check_stored_row(replica, (uint32_t)row, pair.value);
        }
    } else if (stored_tally_key(pair.key, &partition_key) &&
               stored_value(pair.value, &value) == 0) {
        for (uint32_t row = 0; row < ledger->n_rows; row++) {
            if (bytes_equal(ledger_partition_key(ledger, row), partition_key)) {
                replica->tally_live[first_row(replica->world, row)] = stored_tally(value).n_live;
            }
        }
    }
}

static void check_replica(struct world *world, const struct final_rows *rows,
                          struct world_node *node) {
    struct replica replica = {.world = world, .rows = rows, .node = node};
    for (uint32_t i = 0; i < disk_mem_size(node->disk); i++) {
        check_pair(&replica, disk_mem_at(node->disk, i));
    }
    const struct ring *ring = membership_ring(node->membership);
    for (uint32_t row = 0; row < world->ledger.n_rows; row++) {
        uint16_t slice = ring_slice(ring, ledger_partition_key(&world->ledger, row));
        bool home = ring_is_replica(ring, slice, node->id);
        bool written = rows->versions[row].context.n > 0;
        bool going = world->ledger.n_reaped[row] > 0 && versions_live(&rows->versions[row]) == 0;
        if (home && written && !replica.has[row] && !going) {
            sim_fail(&world->sim, "%s has no row %u after the final reads", node->process.name,
                     row);
        }
        if (home && replica.n_live[row] != replica.tally_live[row]) {
            sim_fail(&world->sim,
                     "%s: the tally of row %u's partition says %llu live, there are %u",
                     node->process.name, row, (unsigned long long)replica.tally_live[row],
                     replica.n_live[row]);
        }
    }
}

void check_disks(struct world *world, const struct final_rows *rows) {
    for (uint16_t i = 0; i < world->options.n_nodes && !world->sim.failed; i++) {
        if (world->nodes[i].node == NULL || node_state(world->nodes[i].node) != NODE_SERVING) {
            sim_fail(&world->sim, "%s does not serve after all has healed",
                     world->nodes[i].process.name);
            return;
        }
        check_replica(world, rows, &world->nodes[i]);
    }
}
