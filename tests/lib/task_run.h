/* task_run: runs a function as a task over a store_mem, on the store's own clock. */
#ifndef RINGFS_TESTS_TASK_RUN_H
#define RINGFS_TESTS_TASK_RUN_H

#include "tests/lib/store_mem.h"

/* Runs fn(arg) in a task, and what it spawns, to the end. When every task waits for a timer the
 * store's clock jumps to it: nothing sleeps. Asserts that nothing waits for ever. `timeout_ns` is
 * the task's deadline from now, 0 = none. */
void task_run(struct store_mem *mem, void (*fn)(void *arg), void *arg, int64_t timeout_ns);

#endif
