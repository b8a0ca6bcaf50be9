/* timers: deadlines in a heap, run by whoever owns the clock. */
#ifndef RINGFS_SHARED_TIMERS_H
#define RINGFS_SHARED_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pure binary heap ordered by (deadline, order of arming), so that equal deadlines fire in the
 * order in which they were armed and a simulated run replays exactly. Times are monotonic
 * nanoseconds of whatever clock the owner uses. Thousands of timers; every call is O(log n). One
 * thread. */
struct timer {
    int64_t at_ns;
    void (*fire)(void *context);
    void *context;
    uint64_t order;
    size_t index; /* place in the heap + 1; 0 = not armed */
};

struct timers {
    struct timer **heap;
    size_t n;
    size_t capacity;
    uint64_t next_order;
};

#define TIMERS_NEVER INT64_MAX

/* Nothing armed; no memory taken yet. */
void timers_init(struct timers *timers);
/* Frees the heap; timers still armed are forgotten, never fired. */
void timers_release(struct timers *timers);

/* Arms a timer (the caller's memory, which must stay in place until it fired or was cancelled); one
 * that was armed already moves to the new deadline. Set `fire` and `context` before. */
void timers_set(struct timers *timers, struct timer *timer, int64_t at_ns);
/* Disarms; harmless on a timer that is not armed. */
void timers_cancel(struct timers *timers, struct timer *timer);
/* Zero-initialized timers are not armed. */
bool timer_armed(const struct timer *timer);

/* The earliest deadline, TIMERS_NEVER when nothing is armed. */
int64_t timers_next(const struct timers *timers);
/* Fires every timer due at `now_ns`, each disarmed before its call; a timer armed by a callback for
 * a moment not later than `now_ns` fires in the same run. */
void timers_run(struct timers *timers, int64_t now_ns);

#endif
