/* sim: the simulator's program: runs seeds, prints what broke and what was met. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/plant.h"
#include "tests/sim/run_seed.h"
#include "tests/sim/scenario.h"
#include "tests/sim/shrink.h"

struct arguments {
    struct run_plan plan; /* of the first run */
    uint64_t last;
    bool twice, keep_going, quiet_output, shrink;
    int64_t seconds_max; /* no run is begun after that; 0 = no limit */
    const char *scenario;
    char replay[OMIT_TEXT_MAX]; /* what a replay must be told besides the seed */
};

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

/* Of one core: other work on the machine does not count. */
static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report_failure(const struct arguments *arguments, uint64_t seed,
                           const struct run_result *result) {
    run_totals.failures++;
    printf("seed %" PRIu64 ": FAILED: %s\n", seed, result->failure);
    printf("  replay: sim --seed %" PRIu64 "%s --trace\n", seed, arguments->replay);
    fflush(stdout);
}

static void run_one(const struct arguments *arguments, uint64_t seed) {
    struct run_plan plan = arguments->plan;
    plan.seed = seed;
    running_seed = seed;
    struct run_result result;
    run_seed(&plan, &result);
    run_totals.runs++;
    run_totals.events += result.n_events;
    run_totals.virtual_ns += result.virtual_ns;
    if (arguments->twice) {
        struct run_result again;
        plan.tracing = false;
        run_seed(&plan, &again);
        if (again.trace_hash != result.trace_hash || again.n_events != result.n_events) {
            result.failed = true;
            snprintf(result.failure, sizeof(result.failure),
                     "two runs of the seed differ (%016" PRIx64 ", %016" PRIx64 ")",
                     result.trace_hash, again.trace_hash);
        }
    }
    if (arguments->plan.tracing) {
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
           run_totals.runs, run_totals.failures, seconds, (double)run_totals.runs / seconds,
           (double)run_totals.events / seconds, (double)run_totals.virtual_ns / 1e9 / seconds);
    for (int i = 0; i < COVER_COUNTERS; i++) {
        printf("  %-24s %12" PRIu64 "\n", coverage_names[i], run_totals.coverage[i]);
    }
    for (uint32_t i = 0; i < run_totals.n_stats; i++) {
        printf("  node %-19s %12" PRIu64 "\n", run_totals.stats[i].name, run_totals.stats[i].value);
    }
}

static void run_all(const struct arguments *arguments) {
    double begin = seconds_now();
    for (uint64_t seed = arguments->plan.seed; seed <= arguments->last; seed++) {
        if (arguments->seconds_max > 0 && seconds_now() - begin > (double)arguments->seconds_max) {
            break;
        }
        run_one(arguments, seed);
        if (run_totals.failures > 0 && !arguments->keep_going) {
            break;
        }
    }
    if (!arguments->quiet_output) {
        print_totals(seconds_now() - begin);
    }
}

/* ---- arguments ---- */

static const char usage_text[] =
    "usage: sim --seed N | --seeds A-B [OPTION...]\n"
    "  --scenario FILE   a directed run instead of seeds (scenario.h)\n"
    "  --trace           every event, line by line\n"
    "  --twice           each seed twice: equal traces, or it failed\n"
    "  --shrink          cut a failing seed down to what it needs, then trace that\n"
    "  --without LIST    leave out faults and operations: crash,break:3,op:2.5-9,loss (omit.h)\n"
    "  --with KIND       a kind of fault that is off otherwise: rot\n"
    "  --unconditional   no conditions in any write\n"
    "  --nodes N         a cluster of N nodes in every run\n"
    "  --keep-going      go on after a failure    --short  no totals\n"
    "  --seconds N       begin no further seed after N seconds\n"
    "  --plant NAME      switch a planted bug on (sim_planted only); --plants lists them\n";

static bool parse_seeds(const char *text, struct arguments *ret) {
    return sscanf(text, "%" SCNu64 "-%" SCNu64, &ret->plan.seed, &ret->last) == 2 &&
           ret->plan.seed <= ret->last;
}

static bool parse_switch(const char *text, struct arguments *ret) {
    const struct {
        const char *name;
        bool *flag;
    } switches[] = {
        {"--trace", &ret->plan.tracing},    {"--twice", &ret->twice},
        {"--keep-going", &ret->keep_going}, {"--short", &ret->quiet_output},
        {"--shrink", &ret->shrink},         {"--unconditional", &options_unconditional},
    };
    for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
        if (strcmp(text, switches[i].name) == 0) {
            *switches[i].flag = true;
            return true;
        }
    }
    return false;
}

static bool parse_valued(const char *text, const char *value, struct arguments *ret) {
    if (strcmp(text, "--seed") == 0 && sscanf(value, "%" SCNu64, &ret->plan.seed) == 1) {
        ret->last = ret->plan.seed;
        return true;
    }
    if (strcmp(text, "--scenario") == 0) {
        ret->scenario = value;
        return true;
    }
    return (strcmp(text, "--seeds") == 0 && parse_seeds(value, ret)) ||
           (strcmp(text, "--without") == 0 && omit_parse(value, &ret->plan.omit)) ||
           (strcmp(text, "--with") == 0 && omit_with(value, &ret->plan.omit)) ||
           (strcmp(text, "--plant") == 0 && plant_choose(value)) ||
           (strcmp(text, "--seconds") == 0 && sscanf(value, "%" SCNd64, &ret->seconds_max) == 1) ||
           (strcmp(text, "--nodes") == 0 && sscanf(value, "%" SCNu16, &ret->plan.n_nodes) == 1 &&
            ret->plan.n_nodes > 0 && ret->plan.n_nodes <= NODES_MAX);
}

/* What a replay of one of the seeds needs to be told again. */
static void keep_for_replay(const char *text, const char *value, struct arguments *into) {
    static const char *const kept[] = {"--without", "--with", "--plant", "--nodes",
                                       "--unconditional"};
    size_t used = strlen(into->replay);
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
        if (strcmp(text, kept[i]) == 0) {
            snprintf(into->replay + used, sizeof(into->replay) - used, " %s%s%s", text,
                     value != NULL ? " " : "", value != NULL ? value : "");
        }
    }
}

static bool parse(int n, char **texts, struct arguments *ret) {
    for (int i = 1; i < n; i++) {
        if (parse_switch(texts[i], ret)) {
            keep_for_replay(texts[i], NULL, ret);
        } else if (i + 1 < n && parse_valued(texts[i], texts[i + 1], ret)) {
            keep_for_replay(texts[i], texts[i + 1], ret);
            i++;
        } else {
            return false;
        }
    }
    return true;
}

int main(int n, char **texts) {
    static struct arguments arguments = {.plan.seed = 1, .last = 100};
    if (n == 2 && strcmp(texts[1], "--plants") == 0) {
        plant_list();
        return 0;
    }
    if (!parse(n, texts, &arguments)) {
        fputs(usage_text, stderr);
        return 2;
    }
    if (arguments.scenario != NULL) {
        return scenario_run(arguments.scenario, arguments.plan.tracing);
    }
    if (arguments.shrink) {
        return shrink(&arguments.plan, arguments.replay) ? 1 : 0;
    }
    signal(SIGABRT, on_signal);
    signal(SIGSEGV, on_signal);
    run_all(&arguments);
    return run_totals.failures > 0 ? 1 : 0;
}
