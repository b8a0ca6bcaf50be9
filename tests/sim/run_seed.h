/* run_seed: one run from its seed to its verdict. */
#ifndef RINGFS_TESTS_SIM_RUN_SEED_H
#define RINGFS_TESTS_SIM_RUN_SEED_H

#include "tests/sim/world.h"

struct run_plan {
    uint64_t seed;
    struct omit omit;
    uint16_t n_nodes; /* 0 = as the seed says */
    bool tracing;
    const struct options *options; /* instead of those of the seed; NULL = the seed's */
};

struct run_result {
    bool failed;
    char failure[SIM_FAILURE_MAX];
    uint64_t trace_hash, n_events;
    int64_t virtual_ns;
    uint32_t strikes[FAULT_KINDS]; /* one more than the last strike of each kind */
    uint16_t n_sessions;
    uint32_t ops_per_session;
};

/* Summed over all runs of the program. */
struct run_totals {
    uint64_t runs, failures, events;
    int64_t virtual_ns;
    uint64_t coverage[COVER_COUNTERS];
    struct node_stat stats[WORLD_STATS_MAX];
    uint32_t n_stats;
};
extern struct run_totals run_totals;

/* Prints what kind of run it is when tracing. Adds to run_totals.coverage and .stats only. */
void run_seed(const struct run_plan *plan, struct run_result *ret);
/* The end of every run: all heals, what is in flight is drained, everything is judged. */
struct workload;
void run_end(struct world *world, struct workload *workload);

#endif
