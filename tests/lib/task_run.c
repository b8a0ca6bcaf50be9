/* task_run: a scheduler whose clock is the store's. */
#include "tests/lib/task_run.h"

#include <assert.h>

#include "shared/task.h"

/* Monotonic: since the store's epoch. */
static int64_t clock_ns(void *clock) {
    return (int64_t)(store_mem_now_ns(clock) - STORE_MEM_EPOCH_NS);
}

void task_run(struct store_mem *mem, void (*fn)(void *arg), void *arg, int64_t timeout_ns) {
    struct timers timers;
    timers_init(&timers);
    struct tasks *tasks = tasks_new(&timers, clock_ns, mem);
    int err = task_spawn(tasks, fn, arg, timeout_ns > 0 ? clock_ns(mem) + timeout_ns : 0);
    assert(err == 0);
    (void)err;
    tasks_run(tasks);
    while (tasks_alive(tasks) > 0) {
        int64_t next_ns = timers_next(&timers);
        assert(next_ns != TIMERS_NEVER);
        if (next_ns > clock_ns(mem)) {
            store_mem_advance(mem, (uint64_t)(next_ns - clock_ns(mem)));
        }
        timers_run(&timers, clock_ns(mem));
        tasks_run(tasks);
    }
    tasks_free(tasks);
    timers_release(&timers);
}
