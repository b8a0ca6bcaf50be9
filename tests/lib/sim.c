/* sim: virtual time: a heap of events, the clocks of simulated processes, and the trace of a run.
 */
#include "tests/lib/sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "shared/bytes.h"

/* Four children a node: fewer cache lines touched on the way down than with two. */
enum { ARITY = 4 };

void sim_init(struct sim *sim, uint64_t seed, bool tracing) {
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    sim->tracing = tracing;
}

void sim_release(struct sim *sim) {
    free(sim->heap);
    sim->heap = NULL;
    sim->n = 0;
    sim->capacity = 0;
}

static bool earlier(const struct sim_event *a, const struct sim_event *b) {
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void sim_at(struct sim *sim, int64_t at_ns, sim_fire fire, void *context, uint64_t number) {
    if (sim->n == sim->capacity) {
        sim->capacity = sim->capacity > 0 ? sim->capacity * 2 : 256;
        sim->heap = memory_resize(sim->heap, sim->capacity * sizeof(*sim->heap));
    }
    struct sim_event event = {at_ns > sim->now_ns ? at_ns : sim->now_ns, sim->next_order++, fire,
                              context, number};
    size_t i = sim->n++;
    while (i > 0 && earlier(&event, &sim->heap[(i - 1) / ARITY])) {
        sim->heap[i] = sim->heap[(i - 1) / ARITY];
        i = (i - 1) / ARITY;
    }
    sim->heap[i] = event;
}

static size_t first_child(const struct sim *sim, size_t parent) {
    size_t best = parent * ARITY + 1;
    size_t end = best + ARITY < sim->n ? best + ARITY : sim->n;
    for (size_t i = best + 1; i < end; i++) {
        if (earlier(&sim->heap[i], &sim->heap[best])) {
            best = i;
        }
    }
    return best;
}

static struct sim_event take_first(struct sim *sim) {
    struct sim_event first = sim->heap[0];
    struct sim_event last = sim->heap[--sim->n];
    size_t i = 0;
    while (i * ARITY + 1 < sim->n) {
        size_t child = first_child(sim, i);
        if (!earlier(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    sim->heap[i] = last;
    return first;
}

void sim_run(struct sim *sim, int64_t until_ns) {
    while (!sim->failed && sim->n > 0 && sim->heap[0].at_ns <= until_ns) {
        struct sim_event event = take_first(sim);
        assert(event.at_ns >= sim->now_ns);
        sim->now_ns = event.at_ns;
        sim->n_events++;
        event.fire(event.context, event.number);
    }
    if (!sim->failed && sim->now_ns < until_ns) {
        sim->now_ns = until_ns;
    }
}

void sim_mark(struct sim *sim, uint64_t a, uint64_t b) {
    uint64_t h = sim->trace_hash ^ (uint64_t)sim->now_ns;
    h = (h ^ a) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
    h = (h ^ b) * 0xe7037ed1a0b428dbu;
    sim->trace_hash = h ^ h >> 32;
}

void sim_mark_bytes(struct sim *sim, const void *data, size_t size) {
    sim_mark(sim, XXH3_64bits(data, size), size);
}

void sim_trace(struct sim *sim, const char *format, ...) {
    if (!sim->tracing) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    printf("%12.6f ", (double)sim->now_ns / 1e9);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

void sim_fail(struct sim *sim, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char text[SIM_FAILURE_MAX];
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sim_trace(sim, "FAIL %s", text);
    if (!sim->failed) {
        sim->failed = true;
        memcpy(sim->failure, text, sizeof(text));
    }
}

int64_t sim_clock_local(const struct sim_clock *clock, int64_t now_ns) {
    return clock->base_ns + now_ns + now_ns * clock->drift_ppm / 1000000;
}

int64_t sim_clock_when(const struct sim_clock *clock, int64_t local_ns) {
    double elapsed = (double)(local_ns - clock->base_ns);
    int64_t when = (int64_t)(elapsed / (1.0 + (double)clock->drift_ppm / 1e6));
    when -= SIM_US;
    for (int64_t missing; (missing = local_ns - sim_clock_local(clock, when)) > 0;) {
        when += missing / 2 + 1;
    }
    return when;
}

uint64_t sim_clock_wall(const struct sim_clock *clock, int64_t now_ns) {
    return SIM_EPOCH_NS + (uint64_t)(now_ns + clock->wall_offset_ns);
}

void sim_process_init(struct sim_process *process, struct sim *sim, const char *name) {
    memset(process, 0, sizeof(*process));
    process->sim = sim;
    process->wake_ns = TIMERS_NEVER;
    snprintf(process->name, sizeof(process->name), "%s", name);
}

void sim_process_start(struct sim_process *process) {
    assert(!process->up);
    timers_init(&process->timers);
    process->up = true;
    process->generation++;
    process->paused_until_ns = 0;
    process->wake_ns = TIMERS_NEVER;
}

void sim_process_kill(struct sim_process *process) {
    assert(process->up);
    timers_release(&process->timers);
    process->up = false;
    process->generation++;
    process->wake_ns = TIMERS_NEVER;
}

int64_t sim_process_now(const struct sim_process *process) {
    return sim_clock_local(&process->clock, process->sim->now_ns);
}

static void wake(void *context, uint64_t generation) {
    struct sim_process *process = context;
    struct sim *sim = process->sim;
    if (!process->up || process->generation != generation || process->wake_ns != sim->now_ns) {
        return;
    }
    process->wake_ns = TIMERS_NEVER;
    if (process->paused_until_ns > sim->now_ns) {
        process->wake_ns = process->paused_until_ns;
        sim_at(sim, process->wake_ns, wake, process, generation);
        return;
    }
    sim_mark(sim, generation, (uint64_t)process->name[0] << 8 | (uint64_t)process->name[1]);
    timers_run(&process->timers, sim_process_now(process));
    sim_process_settle(process);
}

void sim_process_settle(struct sim_process *process) {
    if (!process->up) {
        return;
    }
    int64_t next = timers_next(&process->timers);
    bool none = next == TIMERS_NEVER;
    bool scheduled = process->wake_ns != TIMERS_NEVER &&
                     sim_clock_local(&process->clock, process->wake_ns - 1) < next;
    if (none || scheduled) {
        return;
    }
    int64_t at = sim_clock_when(&process->clock, next);
    if (at < process->sim->now_ns) {
        at = process->sim->now_ns;
    }
    if (at < process->wake_ns) {
        process->wake_ns = at;
        sim_at(process->sim, at, wake, process, process->generation);
    }
}
