/* run_seed: one run from its seed to its verdict. */
#include "tests/sim/run_seed.h"

#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/converge.h"
#include "tests/sim/hints.h"
#include "tests/sim/workload.h"

enum { FAULTS_MAX_S = 120, DRAIN_MAX_S = 90 };

struct run_totals run_totals;

static void run_until(struct world *world, struct workload *workload, int64_t until_ns) {
    while (!world->sim.failed && world->sim.now_ns < until_ns && !workload_finished(workload)) {
        int64_t step = world->sim.now_ns + 20 * SIM_MS;
        sim_run(&world->sim, step < until_ns ? step : until_ns);
        world_tend(world);
    }
}

/* Nothing is in flight any more: every request was answered by its deadline. */
static void drain(struct world *world, struct workload *workload) {
    run_until(world, workload, world->sim.now_ns + DRAIN_MAX_S * SIM_S);
    if (!world->sim.failed && workload_busy(workload) > 0) {
        sim_fail(&world->sim, "%u requests were never answered", workload_busy(workload));
    }
}

static bool all_up(const struct world *world) {
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        const struct world_node *node = &world->nodes[i];
        if (node->node == NULL || node->stopping ||
            node->process.paused_until_ns > world->sim.now_ns) {
            return false;
        }
    }
    return true;
}

/* A node may give up or end a stop, and be started again, or be paused yet, after the load has
 * ended: all are up for three seconds, in which what was pending ends and what waited for them is
 * worked off. */
static void settle(struct world *world) {
    int64_t until_ns = world->sim.now_ns + 3 * SIM_S;
    int64_t latest_ns = world->sim.now_ns + DRAIN_MAX_S * SIM_S;
    while (!world->sim.failed && world->sim.now_ns < until_ns) {
        sim_run(&world->sim, world->sim.now_ns + 20 * SIM_MS);
        world_tend(world);
        if (!all_up(world) && world->sim.now_ns < latest_ns) {
            until_ns = world->sim.now_ns + 3 * SIM_S;
        }
    }
}

static void start_down_nodes(struct world *world) {
    settle(world);
    for (uint16_t i = 0; i < world->options.n_nodes && world->options.crash_all_at_end; i++) {
        if (world->nodes[i].node != NULL) {
            world_node_crash(&world->nodes[i]);
        }
    }
    for (uint16_t i = 0; i < world->options.n_nodes && !world->sim.failed; i++) {
        if (world->nodes[i].node == NULL) {
            world_node_start(&world->nodes[i]);
        }
    }
    settle(world);
}

void run_end(struct world *world, struct workload *workload) {
    workload_stop(workload);
    world_heal(world);
    drain(world, workload);
    start_down_nodes(world);
    if (!world->sim.failed) {
        hints_check_drained(world);
    }
    if (!world->sim.failed) {
        check_converged(world);
    }
    if (world->sim.failed) {
        return;
    }
    int64_t reap_ns = (int64_t)world->options.reap_ms * SIM_MS;
    sim_run(&world->sim, world->sim.now_ns + 2 * reap_ns); /* tombstones go meanwhile */
    if (world->sim.failed) {
        return;
    }
    struct final_rows rows;
    check_final_reads(world, &rows);
    if (!world->sim.failed) {
        check_history(world, &rows);
        check_disks(world, &rows);
        check_sums(world);
    }
    final_rows_release(&rows);
}

static void run_world(struct world *world, struct workload *workload) {
    sim_run(&world->sim, 200 * SIM_MS);
    world_begin_faults(world);
    workload_start(workload);
    run_until(world, workload, FAULTS_MAX_S * SIM_S);
    run_end(world, workload);
}

static void add_totals(const struct world *world) {
    for (int i = 0; i < COVER_COUNTERS; i++) {
        run_totals.coverage[i] += world->coverage[i];
    }
    for (uint32_t i = 0; i < world->n_stats; i++) {
        run_totals.stats[i].name = world->stats[i].name;
        run_totals.stats[i].value += world->stats[i].value;
    }
    run_totals.n_stats = world->n_stats > run_totals.n_stats ? world->n_stats : run_totals.n_stats;
}

void run_seed(const struct run_plan *plan, struct run_result *ret) {
    static struct world world; /* large */
    static struct workload workload;
    world_init(&world, plan);
    if (plan->tracing) {
        options_print(&world.options);
    }
    workload_init(&workload, &world);
    run_world(&world, &workload);
    *ret = (struct run_result){
        .failed = world.sim.failed,
        .trace_hash = world.sim.trace_hash,
        .n_events = world.sim.n_events,
        .virtual_ns = world.sim.now_ns,
        .n_sessions = world.options.n_sessions,
        .ops_per_session = world.options.ops_per_session,
    };
    memcpy(ret->failure, world.sim.failure, sizeof(ret->failure));
    memcpy(ret->strikes, world.strikes, sizeof(ret->strikes));
    world.sim.failed = true; /* what the release answers is not judged */
    world_release(&world);
    workload_release(&workload);
    add_totals(&world);
}
