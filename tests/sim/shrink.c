/* shrink: a failing run cut down to the faults and operations that it needs. */
#include "tests/sim/shrink.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shrinking {
    struct run_plan plan; /* the smallest run that fails so far */
    struct run_result result;
    char kind[SIM_FAILURE_MAX]; /* its failure without numbers */
    time_t end;
    uint32_t n_tries;
};

/* The sentence without its numbers: seeds of one bug differ in them. */
static void kind_of(const struct run_result *result, char *ret) {
    size_t n = 0;
    for (const char *at = result->failure; *at != '\0'; at++) {
        if (!isdigit((unsigned char)*at)) {
            ret[n++] = *at;
        }
    }
    ret[n] = '\0';
}

static void run_apart(const struct run_plan *plan, struct run_result *ret) {
    int ends[2];
    memset(ret, 0, sizeof(*ret));
    fflush(stdout);
    if (pipe(ends) != 0) {
        perror("pipe");
        exit(2);
    }
    pid_t child = fork();
    if (child == 0) {
        if (!plan->tracing && freopen("/dev/null", "w", stderr) == NULL) {
            _exit(2);
        }
        run_seed(plan, ret);
        fflush(stdout);
        ssize_t written = write(ends[1], ret, sizeof(*ret));
        _exit(written == (ssize_t)sizeof(*ret) ? 0 : 2);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], ret, sizeof(*ret));
    close(ends[0]);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("fork");
        exit(2);
    }
    if (got != (ssize_t)sizeof(*ret)) {
        memset(ret, 0, sizeof(*ret));
        ret->failed = true;
        snprintf(ret->failure, sizeof(ret->failure), "the program died (%s)",
                 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
    }
}

/* Whether the run still fails like this with `omit`; then it is the smallest one. */
static bool try_without(struct shrinking *s, const struct omit *omit) {
    if (time(NULL) >= s->end) {
        return false;
    }
    struct run_plan plan = s->plan;
    plan.omit = *omit;
    struct run_result result;
    run_apart(&plan, &result);
    s->n_tries++;
    char kind[SIM_FAILURE_MAX];
    kind_of(&result, kind);
    if (!result.failed || strcmp(kind, s->kind) != 0) {
        return false;
    }
    s->plan = plan;
    s->result = result;
    return true;
}

static bool try_wholes(struct shrinking *s) {
    bool less = false;
    for (int knob = 0; knob < KNOBS; knob++) {
        struct omit omit = s->plan.omit;
        omit.knobs[knob] = true;
        less |= !s->plan.omit.knobs[knob] && try_without(s, &omit);
    }
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        struct omit omit = s->plan.omit;
        omit_strikes_set(&omit, (enum fault_kind)kind, 0, OMIT_STRIKES_MAX - 1, true);
        bool new = memcmp(&omit, &s->plan.omit, sizeof(omit)) != 0;
        less |= new &&try_without(s, &omit);
    }
    for (uint32_t session = 0; session < SESSIONS_MAX; session++) {
        struct omit omit = s->plan.omit;
        omit_ops_set(&omit, session, 0, OPS_MAX - 1, true);
        bool new = memcmp(&omit, &s->plan.omit, sizeof(omit)) != 0;
        less |= new &&try_without(s, &omit);
    }
    return less;
}

/* Leaves out pieces of the range 0 .. n-1 of a kind's strikes (`session` < 0) or of a session's
 * operations: all, halves, quarters ... single ones. */
static bool try_pieces(struct shrinking *s, int kind, int session, uint32_t n) {
    bool less = false;
    for (uint32_t size = n; size > 0; size /= 2) {
        for (uint32_t first = 0; first < n; first += size) {
            struct omit omit = s->plan.omit;
            uint32_t last = first + size - 1 < n ? first + size - 1 : n - 1;
            if (session < 0) {
                omit_strikes_set(&omit, (enum fault_kind)kind, first, last, true);
            } else {
                omit_ops_set(&omit, (uint32_t)session, first, last, true);
            }
            bool new = memcmp(&omit, &s->plan.omit, sizeof(omit)) != 0;
            less |= new &&try_without(s, &omit);
        }
    }
    return less;
}

static bool try_all_pieces(struct shrinking *s) {
    bool less = false;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        less |= try_pieces(s, kind, -1, s->result.strikes[kind]);
    }
    for (int session = 0; session < s->result.n_sessions; session++) {
        less |= try_pieces(s, 0, session, s->result.ops_per_session);
    }
    return less;
}

static void print_left(const struct shrinking *s, const char *replay) {
    static char text[OMIT_TEXT_MAX];
    omit_print(&s->plan.omit, text, sizeof(text));
    printf("seed %" PRIu64 ": FAILED: %s\n", s->plan.seed, s->result.failure);
    printf("  %" PRIu64 " events are left after %u tries\n", s->result.n_events, s->n_tries);
    printf("  replay: sim --seed %" PRIu64 "%s --without %s --trace\n", s->plan.seed, replay, text);
}

bool shrink(const struct run_plan *plan, const char *replay) {
    static struct shrinking s;
    s.plan = *plan;
    s.plan.tracing = false;
    s.end = time(NULL) + SHRINK_SECONDS;
    run_apart(&s.plan, &s.result);
    if (!s.result.failed) {
        printf("seed %" PRIu64 " does not fail\n", plan->seed);
        return false;
    }
    kind_of(&s.result, s.kind);
    bool less = true;
    while (less && time(NULL) < s.end) {
        less = try_wholes(&s);
        less |= try_all_pieces(&s);
    }
    struct run_plan traced = s.plan;
    struct run_result again;
    traced.tracing = true;
    run_apart(&traced, &again);
    print_left(&s, replay);
    return true;
}
