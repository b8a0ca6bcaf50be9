/* sim: virtual time: a heap of events, the clocks of simulated processes, and the trace of a run.
 */
#ifndef RINGFS_TESTS_LIB_SIM_H
#define RINGFS_TESTS_LIB_SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/timers.h"

/* One run is one thread working off events in the order of (time, sequence of scheduling). Nothing
 * else decides what happens when, so a seed replays a run exactly; the trace hash proves it. Time
 * is in nanoseconds since the beginning of the run. */
#define SIM_US ((int64_t)1000)
#define SIM_MS ((int64_t)1000000)
#define SIM_S ((int64_t)1000000000)

/* `number` is what was given to sim_at(), mostly a generation: an event cannot be taken back, it
 * finds out by the number that it came too late. */
typedef void (*sim_fire)(void *context, uint64_t number);

struct sim_event {
    int64_t at_ns;
    uint64_t order;
    sim_fire fire;
    void *context;
    uint64_t number;
};

enum { SIM_FAILURE_MAX = 800 };

struct sim {
    uint64_t seed;
    int64_t now_ns;
    struct sim_event *heap;
    size_t n;
    size_t capacity;
    uint64_t next_order;
    uint64_t n_events;   /* fired so far */
    uint64_t trace_hash; /* of everything given to sim_mark() */
    bool tracing;        /* print sim_trace() lines to stdout */
    bool failed;
    char failure[SIM_FAILURE_MAX]; /* the first sim_fail() */
};

void sim_init(struct sim *sim, uint64_t seed, bool tracing);
/* Forgets the events left; their contexts are their owners' to free. */
void sim_release(struct sim *sim);
/* Schedules; a time in the past means now. */
void sim_at(struct sim *sim, int64_t at_ns, sim_fire fire, void *context, uint64_t number);
/* Fires events up to and including `until_ns`, then stands at that time. Stops at a failure. */
void sim_run(struct sim *sim, int64_t until_ns);

/* Folds what happened into the trace hash. */
void sim_mark(struct sim *sim, uint64_t a, uint64_t b);
void sim_mark_bytes(struct sim *sim, const void *data, size_t size);
/* One line with the time before it, when tracing. Ask `sim->tracing` before costly arguments. */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A promise was broken: keeps the first sentence and ends the run. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A process's view of time: started at `base_ns`, runs `drift_ppm` too fast or slow; its time of
 * day is off by `wall_offset_ns`, which may jump. */
struct sim_clock {
    int64_t base_ns;
    int64_t drift_ppm;
    int64_t wall_offset_ns;
};
#define SIM_EPOCH_NS ((uint64_t)1750000000 * 1000000000u) /* time of day at the run's beginning */

int64_t sim_clock_local(const struct sim_clock *clock, int64_t now_ns);
/* The earliest run time at which the process's clock shows at least `local_ns`. */
int64_t sim_clock_when(const struct sim_clock *clock, int64_t local_ns);
uint64_t sim_clock_wall(const struct sim_clock *clock, int64_t now_ns);

/* A simulated process: a clock and the timers that a core arms on it. Its memory must outlive the
 * run, since events point to it. */
struct sim_process {
    struct sim *sim;
    char name[8];
    struct sim_clock clock;
    struct timers timers; /* of the current life */
    uint32_t generation;  /* raised by start and kill; events of an earlier life are void */
    bool up;
    int64_t paused_until_ns; /* no event reaches it before */
    int64_t wake_ns;         /* when the next wake event is due; TIMERS_NEVER = none */
};

void sim_process_init(struct sim_process *process, struct sim *sim, const char *name);
void sim_process_start(struct sim_process *process);
/* Drops its timers. What its core allocated is the caller's to free. */
void sim_process_kill(struct sim_process *process);
/* To be called after each call into the process's core: schedules the wake for its next timer. */
void sim_process_settle(struct sim_process *process);
int64_t sim_process_now(const struct sim_process *process);

#endif
