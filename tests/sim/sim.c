/* sim: the simulator's program: runs seeds, prints what broke and what was met. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/check.h"
#include "tests/sim/converge.h"
#include "tests/sim/plant.h"
#include "tests/sim/workload.h"

enum { FAULTS_MAX_S = 120, DRAIN_MAX_S = 90 };

struct arguments {
    uint64_t first, last;
    bool linear, tracing, twice, keep_going, quiet_output;
    const char *plant;
    const char *without; /* the text of `omit` */
    struct omit omit;
};

struct result {
    bool failed;
    char failure[SIM_FAILURE_MAX];
    uint64_t trace_hash, n_events;
    int64_t virtual_ns;
};

/* Summed over all runs. */
static struct totals {
    uint64_t runs, failures, events;
    int64_t virtual_ns;
    uint64_t coverage[COVER_COUNTERS];
    struct node_stat stats[WORLD_STATS_MAX];
    uint32_t n_stats;
} totals;

static bool judge_strict;

/* For the signal handler: the seed whose run a crash of the program ended. */
static volatile uint64_t running_seed;

static void on_signal(int number) {
    char text[120];
    int n =
        snprintf(text, sizeof(text), "\nseed %" PRIu64 ": FAILED: the program died (signal %d)\n",
                 running_seed, number);
    ssize_t written = write(STDERR_FILENO, text, (size_t)n);
    (void)written;
    signal(number, SIG_DFL);
    raise(number);
}

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

static void start_down_nodes(struct world *world) {
    sim_run(&world->sim, world->sim.now_ns + 3 * SIM_S);
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
    sim_run(&world->sim, world->sim.now_ns + 3 * SIM_S);
}

static void run_world(struct world *world, struct workload *workload) {
    sim_run(&world->sim, 200 * SIM_MS);
    world_begin_faults(world);
    workload_start(workload);
    run_until(world, workload, FAULTS_MAX_S * SIM_S);
    workload_stop(workload);
    world_heal(world);
    drain(world, workload);
    start_down_nodes(world);
    if (!world->sim.failed) {
        check_converged(world);
    }
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

static void run_seed(uint64_t seed, const struct omit *omit, bool tracing, struct result *ret) {
    static struct world world; /* large */
    static struct workload workload;
    running_seed = seed;
    world_init(&world, seed, omit, tracing);
    if (tracing) {
        options_print(&world.options);
    }
    world.options.judge_strict = judge_strict;
    workload_init(&workload, &world);
    run_world(&world, &workload);
    ret->trace_hash = world.sim.trace_hash;
    ret->n_events = world.sim.n_events;
    ret->virtual_ns = world.sim.now_ns;
    ret->failed = world.sim.failed;
    memcpy(ret->failure, world.sim.failure, sizeof(ret->failure));
    world.sim.failed = true; /* what the release answers is not judged */
    world_release(&world);
    workload_release(&workload);
    for (int i = 0; i < COVER_COUNTERS; i++) {
        totals.coverage[i] += world.coverage[i];
    }
    for (uint32_t i = 0; i < world.n_stats; i++) {
        totals.stats[i].name = world.stats[i].name;
        totals.stats[i].value += world.stats[i].value;
    }
    totals.n_stats = world.n_stats > totals.n_stats ? world.n_stats : totals.n_stats;
}

static void report_failure(const struct arguments *arguments, uint64_t seed,
                           const struct result *result) {
    totals.failures++;
    printf("seed %" PRIu64 ": FAILED: %s\n", seed, result->failure);
    printf("  replay: sim --seed %" PRIu64 "%s%s --trace\n", seed,
           arguments->plant != NULL ? " --plant " : "",
           arguments->plant != NULL ? arguments->plant : "");
    fflush(stdout);
}

static void run_one(const struct arguments *arguments, uint64_t seed) {
    struct result result;
    run_seed(seed, &arguments->omit, arguments->tracing, &result);
    totals.runs++;
    totals.events += result.n_events;
    totals.virtual_ns += result.virtual_ns;
    if (arguments->twice) {
        struct result again;
        run_seed(seed, &arguments->omit, false, &again);
        if (again.trace_hash != result.trace_hash || again.n_events != result.n_events) {
            result.failed = true;
            snprintf(result.failure, sizeof(result.failure),
                     "two runs of the seed differ (%016" PRIx64 ", %016" PRIx64 ")",
                     result.trace_hash, again.trace_hash);
        }
    }
    if (arguments->tracing) {
        printf("seed %" PRIu64 ": trace hash %016" PRIx64 ", %" PRIu64 " events\n", seed,
               result.trace_hash, result.n_events);
    }
    if (result.failed) {
        report_failure(arguments, seed, &result);
    }
}

static void print_totals(double seconds) {
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %.1f s: %.0f seeds/s, %.0f events/s, "
           "%.0f times real time\n",
           totals.runs, totals.failures, seconds, (double)totals.runs / seconds,
           (double)totals.events / seconds, (double)totals.virtual_ns / 1e9 / seconds);
    for (int i = 0; i < COVER_COUNTERS; i++) {
        printf("  %-24s %12" PRIu64 "\n", coverage_names[i], totals.coverage[i]);
    }
    for (uint32_t i = 0; i < totals.n_stats; i++) {
        printf("  node %-19s %12" PRIu64 "\n", totals.stats[i].name, totals.stats[i].value);
    }
}

static int usage(void) {
    fputs("usage: sim --seed N [--trace] | --seeds A-B   [--twice] [--keep-going] [--short]"
          " [--plant NAME] [--without LIST] [--with KIND] [--unconditional]\n",
          stderr);
    return 2;
}

static bool parse_seeds(const char *text, struct arguments *ret) {
    return sscanf(text, "%" SCNu64 "-%" SCNu64, &ret->first, &ret->last) == 2 &&
           ret->first <= ret->last;
}

static bool parse(int n, char **texts, struct arguments *ret) {
    for (int i = 1; i < n; i++) {
        const char *text = texts[i];
        const char *value = i + 1 < n ? texts[i + 1] : "";
        if (strcmp(text, "--trace") == 0) {
            ret->tracing = true;
        } else if (strcmp(text, "--twice") == 0) {
            ret->twice = true;
        } else if (strcmp(text, "--keep-going") == 0) {
            ret->keep_going = true;
        } else if (strcmp(text, "--unconditional") == 0) {
            options_unconditional = true;
        } else if (strcmp(text, "--short") == 0) {
            ret->quiet_output = true;
        } else if (strcmp(text, "--seed") == 0 && sscanf(value, "%" SCNu64, &ret->first) == 1) {
            ret->last = ret->first;
            i++;
        } else if (strcmp(text, "--seeds") == 0 && parse_seeds(value, ret)) {
            i++;
        } else if (strcmp(text, "--without") == 0 && omit_parse(value, &ret->omit)) {
            ret->without = value;
            i++;
        } else if (strcmp(text, "--linear") == 0) {
            ret->linear = true;
        } else if (strcmp(text, "--with") == 0 && omit_with(value, &ret->omit)) {
            i++;
        } else if (strcmp(text, "--plant") == 0 && plant_choose(value)) {
            ret->plant = value;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

int main(int n, char **texts) {
    struct arguments arguments = {.first = 1, .last = 100};
    if (n == 2 && strcmp(texts[1], "--plants") == 0) {
        plant_list();
        return 0;
    }
    if (!parse(n, texts, &arguments)) {
        return usage();
    }
    judge_strict = arguments.linear;
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint64_t seed = arguments.first; seed <= arguments.last; seed++) {
        run_one(&arguments, seed);
        if (totals.failures > 0 && !arguments.keep_going) {
            break;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    if (!arguments.quiet_output) {
        print_totals(seconds);
    }
    return totals.failures > 0 ? 1 : 0;
}
