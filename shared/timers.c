/* timers: a binary heap over the callers' own timers. */
#include "shared/timers.h"

#include <assert.h>
#include <stdlib.h>

#include "shared/bytes.h"

enum { TIMERS_CAPACITY_FIRST = 64 };

void timers_init(struct timers *timers) {
    *timers = (struct timers){0};
}

void timers_release(struct timers *timers) {
    for (size_t i = 0; i < timers->n; i++) {
        timers->heap[i]->index = 0;
    }
    free(timers->heap);
    *timers = (struct timers){0};
}

static bool earlier(const struct timer *a, const struct timer *b) {
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void place(struct timers *timers, struct timer *timer, size_t at) {
    timers->heap[at] = timer;
    timer->index = at + 1;
}

/* Moves the timer towards the root from the free place `at`; returns where it came to rest. */
static size_t sift_up(struct timers *timers, struct timer *timer, size_t at) {
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!earlier(timer, timers->heap[parent])) {
            break;
        }
        place(timers, timers->heap[parent], at);
        at = parent;
    }
    place(timers, timer, at);
    return at;
}

static void sift_down(struct timers *timers, struct timer *timer, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timers->n) {
            break;
        }
        if (child + 1 < timers->n && earlier(timers->heap[child + 1], timers->heap[child])) {
            child++;
        }
        if (!earlier(timers->heap[child], timer)) {
            break;
        }
        place(timers, timers->heap[child], at);
        at = child;
    }
    place(timers, timer, at);
}

void timers_set(struct timers *timers, struct timer *timer, int64_t at_ns) {
    assert(timer->fire != NULL);
    timers_cancel(timers, timer);
    if (timers->n == timers->capacity) {
        timers->capacity = timers->capacity > 0 ? 2 * timers->capacity : TIMERS_CAPACITY_FIRST;
        timers->heap = memory_resize(timers->heap, timers->capacity * sizeof(*timers->heap));
    }
    timer->at_ns = at_ns;
    timer->order = timers->next_order++;
    sift_up(timers, timer, timers->n++);
}

void timers_cancel(struct timers *timers, struct timer *timer) {
    if (timer->index == 0) {
        return;
    }
    size_t at = timer->index - 1;
    assert(at < timers->n);
    assert(timers->heap[at] == timer);
    timer->index = 0;
    struct timer *last = timers->heap[--timers->n];
    if (last != timer) {
        sift_down(timers, last, sift_up(timers, last, at));
    }
}

bool timer_armed(const struct timer *timer) {
    return timer->index != 0;
}

int64_t timers_next(const struct timers *timers) {
    return timers->n > 0 ? timers->heap[0]->at_ns : TIMERS_NEVER;
}

void timers_run(struct timers *timers, int64_t now_ns) {
    while (timers->n > 0 && timers->heap[0]->at_ns <= now_ns) {
        struct timer *timer = timers->heap[0];
        timers_cancel(timers, timer);
        timer->fire(timer->context);
    }
}
