/* heap: malloc()'s own thresholds, and malloc_trim() when nothing is to be done. */
#include "shared/heap.h"

#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include "shared/bytes.h"

#define MS_NS 1000000ll

struct heap {
    struct loop *loop;
    struct timer timer;
    int64_t used_ns; /* of processor time, at the last look */
    bool trimmed;    /* and nothing done since */
    uint64_t n_given_back;
};

static int64_t used_now_ns(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

static void look_later(struct heap *heap) {
    int64_t now_ns = loop_now_ns(heap->loop);
    int64_t from_ns = heap->timer.at_ns > now_ns ? heap->timer.at_ns : now_ns;
    timers_set(loop_timers(heap->loop), &heap->timer, from_ns + HEAP_LOOK_MS * MS_NS);
}

static void look(void *context) {
    struct heap *heap = context;
    int64_t used_ns = used_now_ns();
    bool quiet = used_ns - heap->used_ns < HEAP_LOOK_MS * MS_NS / HEAP_QUIET_PART;
    if (quiet && !heap->trimmed) {
        malloc_trim(HEAP_AHEAD);
        heap->n_given_back++;
    }
    heap->trimmed = quiet;
    heap->used_ns = used_now_ns();
    look_later(heap);
}

struct heap *heap_keep(struct loop *loop) {
    struct heap *heap = memory_new(1, sizeof *heap);
    mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_MAX);
    mallopt(M_MMAP_THRESHOLD, HEAP_MAPPED_MIN);
    mallopt(M_TOP_PAD, HEAP_AHEAD);
    *heap = (struct heap){.loop = loop, .used_ns = used_now_ns()};
    heap->timer = (struct timer){.fire = look, .context = heap};
    look_later(heap);
    return heap;
}

void heap_free(struct heap *heap) {
    if (heap != NULL) {
        timers_cancel(loop_timers(heap->loop), &heap->timer);
        free(heap);
    }
}

uint64_t heap_given_back(const struct heap *heap) {
    return heap->n_given_back;
}
