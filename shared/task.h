/* task: stackful coroutines, so that an operation reads top to bottom and still waits without a
 * thread. */
#ifndef RINGFS_SHARED_TASK_H
#define RINGFS_SHARED_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/timers.h"

/* All tasks of a `struct tasks` run on the thread that calls tasks_run(); one runs at a time, until
 * it suspends or ends. Functions that may suspend say so ("may suspend"); what a task read from
 * shared state before such a call is stale after it. Stacks are TASK_STACK_SIZE with a guard page,
 * pooled. TASKS_MAX is the bound on tasks alive: task_spawn() answers ERR_BUSY beyond it.
 *
 * Every wait has a deadline: each task carries one (monotonic ns, inherited from the task that
 * spawned it), and can be interrupted; task_wait() returns early for both. */
enum {
    TASK_STACK_SIZE = 128 << 10, /* 512 KiB under a sanitizer */
    TASKS_MAX = 4096,
};

struct task;
struct tasks;

/* `timers` (borrowed, outlives the tasks) serves deadlines and sleeps; whoever owns it runs it.
 * `now_ns` is the clock that goes with it. */
struct tasks *tasks_new(struct timers *timers, int64_t (*now_ns)(void *clock), void *clock);
/* Every task must have ended (asserted). */
void tasks_free(struct tasks *tasks);

/* Makes a task that will run fn(arg) when tasks_run() gets to it. `deadline_ns` 0 = inherit from
 * the running task, or none when there is no running task. 0, or ERR_BUSY. */
int task_spawn(struct tasks *tasks, void (*fn)(void *arg), void *arg, int64_t deadline_ns);
/* Runs every runnable task until none is left. Not from inside a task. */
void tasks_run(struct tasks *tasks);
bool tasks_runnable(const struct tasks *tasks);
uint32_t tasks_alive(const struct tasks *tasks);

/* The running task; NULL outside of tasks. Good until that task ends. */
struct task *task_self(void);
struct tasks *task_scheduler(const struct task *task);
/* 0 = none. A deadline that has passed ends every further task_wait() at once, until it is moved.
 */
int64_t task_deadline_ns(const struct task *task);
void task_set_deadline(struct task *task, int64_t deadline_ns);
/* Makes the task's current or next task_wait() return ERR_INTERRUPTED, once. Any task may call it
 * on another; also from outside of tasks. */
void task_interrupt(struct task *task);

/* A place to wait at: zero-initialized, embedded where the thing waited for lives. FIFO. A wake
 * when nobody waits is not remembered: wait in a loop that checks the thing itself. */
struct task_queue {
    struct task *first;
    struct task *last;
};

/* May suspend: until a wake on `queue`. 0 when woken, ERR_TIMEOUT at the task's deadline,
 * ERR_INTERRUPTED. Only from a task. The task is in no queue when it returns. */
int task_wait(struct task_queue *queue);
/* The same, whatever the deadline or interrupts: for joining children that have their own
 * deadlines. */
void task_wait_uninterrupted(struct task_queue *queue);
void task_wake_one(struct task_queue *queue);
void task_wake_all(struct task_queue *queue);
/* May suspend: for at least `ns`; returns as task_wait(). */
int task_sleep(int64_t ns);
/* May suspend: lets the other runnable tasks go first. */
void task_yield(void);

/* Several tasks at once and the wait for all of them. */
struct task_group {
    uint32_t n_running;
    int status; /* of the first one that failed, in order of ending */
    struct task_queue done;
};
/* Runs `fn(arg)` in a task of its own and keeps its result; falls back to running it right here
 * when no further task can be made. Zero-initialize the group. May suspend. */
void task_group_run(struct task_group *group, int (*fn)(void *arg), void *arg);
/* May suspend: until at most `running_max` are still running. */
void task_group_wait(struct task_group *group, uint32_t running_max);

#endif
