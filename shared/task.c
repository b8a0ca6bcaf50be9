/* task: ucontext coroutines on pooled stacks, a FIFO of runnable ones, queues to wait at. */

/* Its longjmp() takes a jump to another stack for a mistake. */
#undef _FORTIFY_SOURCE

#include "shared/task.h"

#include <assert.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/err.h"

/* The sanitizers keep a picture of the stack they believe to be on; they are told of every switch.
 * gcc and clang announce a sanitizer differently. */
#if defined(__SANITIZE_ADDRESS__)
#define TASK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TASK_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TASK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TASK_TSAN 1
#endif
#endif

/* swapcontext() sets the signal mask, which is a system call; a jump leaves the mask alone. The
 * sanitizers follow contexts better. */
#if !defined(TASK_ASAN) && !defined(TASK_TSAN)
#define TASK_JUMPS 1
#endif

#if defined(TASK_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(TASK_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

enum {
#if defined(TASK_ASAN) || defined(TASK_TSAN)
    STACK_SIZE = TASK_STACK_SIZE * 4, /* redzones and instrumented frames are that much larger */
#else
    STACK_SIZE = TASK_STACK_SIZE,
#endif
    POOLED_MAX = 256, /* stacks kept for reuse; more are given back to the system */
};

/* What a switch needs to know of either side. */
struct place {
    ucontext_t context; /* where it begins */
#if defined(TASK_JUMPS)
    jmp_buf left; /* where it was left */
    bool entered;
#endif
#if defined(TASK_ASAN)
    const void *bottom;
    size_t size;
    void *fake_stack;
#endif
#if defined(TASK_TSAN)
    void *fiber;
#endif
};

struct task {
    struct place place;
    struct tasks *tasks;
    struct task *next, *prev; /* in `queue`, or in the pool */
    struct task_queue *queue; /* the run queue, what it waits at, or NULL (running) */
    struct timer timer;       /* its deadline; armed at the first wait and left armed */
    int64_t deadline_ns;      /* 0 = none */
    void (*fn)(void *arg);
    void *arg;
    void *mapping; /* guard page, then the stack */
    int wait_status;
    bool waits;       /* in task_wait() and may be ended early */
    bool interrupted; /* not yet told */
    bool expired;     /* the deadline fired while it was not waiting */
    bool ended;
};

struct tasks {
    struct timers *timers;
    int64_t (*now_ns)(void *clock);
    void *clock;
    struct place home; /* of tasks_run() */
    struct task_queue runnable;
    struct task *pool; /* LIFO: the stack used last is the one still in the cache */
    uint32_t n_pooled;
    uint32_t n_alive;
    size_t page_size;
};

static _Thread_local struct task *running;

/* ---- switching ---- */

/* Inlined, so that the thread sanitizer sees each function's entry and exit on one and the same
 * stack. */
#define INLINED static inline __attribute__((always_inline))

INLINED void switch_begin(struct place *from, const struct place *to, bool from_ends) {
    (void)from;
    (void)to;
    (void)from_ends;
#if defined(TASK_ASAN)
    __sanitizer_start_switch_fiber(from_ends ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
#if defined(TASK_TSAN)
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

/* The first thing after control came to `here`. `home`: set to where it came from, when that is not
 * known otherwise (the thread's own stack). */
static void switch_end(struct place *here, struct place *home) {
    (void)here;
    (void)home;
#if defined(TASK_ASAN)
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(here->fake_stack, &bottom, &size);
    if (home != NULL) {
        home->bottom = bottom;
        home->size = size;
    }
#endif
}

static void switch_to(struct place *from, struct place *to) {
    switch_begin(from, to, false);
#if defined(TASK_JUMPS)
    if (_setjmp(from->left) == 0) {
        from->entered = true;
        if (to->entered) {
            _longjmp(to->left, 1);
        }
        setcontext(&to->context);
        abort();
    }
#else
    swapcontext(&from->context, &to->context);
#endif
    switch_end(from, NULL);
}

/* Gives the thread back to tasks_run(). */
static void leave(struct task *task) {
    switch_to(&task->place, &task->tasks->home);
}

#if defined(TASK_JUMPS)
/* The stack's next task goes on here. */
static void leave_ended(struct task *task) {
    leave(task);
}
#else
static void leave_ended(struct task *task) {
    switch_begin(&task->place, &task->tasks->home, true);
    setcontext(&task->tasks->home.context);
    abort();
}
#endif

static void task_main(void) {
    struct task *task = running; /* it and its stack stay together */
    switch_end(&task->place, &task->tasks->home);
    for (;;) {
        task->fn(task->arg);
        task->ended = true;
        leave_ended(task);
    }
}

/* ---- queues ---- */

static void queue_append(struct task_queue *queue, struct task *task) {
    assert(task->queue == NULL);
    task->queue = queue;
    task->next = NULL;
    task->prev = queue->last;
    if (queue->last != NULL) {
        queue->last->next = task;
    } else {
        queue->first = task;
    }
    queue->last = task;
}

static void queue_remove(struct task *task) {
    struct task_queue *queue = task->queue;
    assert(queue != NULL);
    if (task->prev != NULL) {
        task->prev->next = task->next;
    } else {
        queue->first = task->next;
    }
    if (task->next != NULL) {
        task->next->prev = task->prev;
    } else {
        queue->last = task->prev;
    }
    task->queue = NULL;
    task->next = task->prev = NULL;
}

static void wake(struct task *task, int status) {
    queue_remove(task);
    task->waits = false;
    task->wait_status = status;
    queue_append(&task->tasks->runnable, task);
}

/* ---- stacks ---- */

static struct task *stack_new(struct tasks *tasks) {
    size_t size = tasks->page_size + STACK_SIZE;
    uint8_t *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(mapping, tasks->page_size, PROT_NONE) != 0) {
        munmap(mapping, size);
        return NULL;
    }
    struct task *task = memory_new(1, sizeof *task);
    task->mapping = mapping;
    task->tasks = tasks;
    return task;
}

static void stack_free(struct tasks *tasks, struct task *task) {
    munmap(task->mapping, tasks->page_size + STACK_SIZE);
    free(task);
}

static struct task *pool_take(struct tasks *tasks) {
    struct task *task = tasks->pool;
    if (task == NULL) {
        return stack_new(tasks);
    }
    tasks->pool = task->next;
    tasks->n_pooled--;
    struct place place = task->place;
    struct task cleared = {.mapping = task->mapping, .tasks = tasks};
    *task = cleared;
    task->place = place;
    return task;
}

static void pool_give(struct tasks *tasks, struct task *task) {
#if defined(TASK_TSAN)
    __tsan_destroy_fiber(task->place.fiber);
#endif
    if (tasks->n_pooled >= POOLED_MAX) {
        stack_free(tasks, task);
        return;
    }
    task->next = tasks->pool;
    tasks->pool = task;
    tasks->n_pooled++;
}

/* ---- life ---- */

struct tasks *tasks_new(struct timers *timers, int64_t (*now_ns)(void *clock), void *clock) {
    struct tasks *tasks = memory_new(1, sizeof *tasks);
    tasks->timers = timers;
    tasks->now_ns = now_ns;
    tasks->clock = clock;
    tasks->page_size = (size_t)sysconf(_SC_PAGESIZE);
    return tasks;
}

void tasks_free(struct tasks *tasks) {
    if (tasks == NULL) {
        return;
    }
    assert(tasks->n_alive == 0);
    while (tasks->pool != NULL) {
        struct task *task = tasks->pool;
        tasks->pool = task->next;
        stack_free(tasks, task);
    }
    free(tasks);
}

static void prepare(struct task *task) {
#if defined(TASK_JUMPS)
    if (task->place.entered) {
        return; /* in task_main(), between two tasks */
    }
#endif
    uint8_t *bottom = (uint8_t *)task->mapping + task->tasks->page_size;
    getcontext(&task->place.context);
    task->place.context.uc_stack.ss_sp = bottom;
    task->place.context.uc_stack.ss_size = STACK_SIZE;
    task->place.context.uc_link = NULL;
    makecontext(&task->place.context, task_main, 0);
#if defined(TASK_ASAN)
    /* The frames of the last user of this stack never returned through their epilogues. */
    __asan_unpoison_memory_region(bottom, STACK_SIZE);
    task->place.bottom = bottom;
    task->place.size = STACK_SIZE;
    task->place.fake_stack = NULL;
#endif
#if defined(TASK_TSAN)
    task->place.fiber = __tsan_create_fiber(0);
#endif
}

static void deadline_fired(void *context) {
    struct task *task = context;
    if (task->waits) {
        wake(task, ERR_TIMEOUT);
    }
    task->expired = true;
}

int task_spawn(struct tasks *tasks, void (*fn)(void *arg), void *arg, int64_t deadline_ns) {
    assert(fn != NULL);
    if (tasks->n_alive >= TASKS_MAX) {
        return ERR_BUSY;
    }
    struct task *task = pool_take(tasks);
    if (task == NULL) {
        return ERR_BUSY;
    }
    if (deadline_ns == 0 && running != NULL) {
        deadline_ns = running->deadline_ns;
    }
    task->fn = fn;
    task->arg = arg;
    task->deadline_ns = deadline_ns;
    task->timer.fire = deadline_fired;
    task->timer.context = task;
    prepare(task);
    tasks->n_alive++;
    queue_append(&tasks->runnable, task);
    return 0;
}

void tasks_run(struct tasks *tasks) {
    assert(running == NULL);
#if defined(TASK_TSAN)
    tasks->home.fiber = __tsan_get_current_fiber();
#endif
    while (tasks->runnable.first != NULL) {
        struct task *task = tasks->runnable.first;
        queue_remove(task);
        running = task;
        switch_to(&tasks->home, &task->place);
        running = NULL;
        if (task->ended) {
            assert(task->queue == NULL);
            timers_cancel(tasks->timers, &task->timer);
            tasks->n_alive--;
            pool_give(tasks, task);
        }
    }
}

bool tasks_runnable(const struct tasks *tasks) {
    return tasks->runnable.first != NULL;
}

uint32_t tasks_alive(const struct tasks *tasks) {
    return tasks->n_alive;
}

/* ---- the running task ---- */

struct task *task_self(void) {
    return running;
}

struct tasks *task_scheduler(const struct task *task) {
    return task->tasks;
}

int64_t task_deadline_ns(const struct task *task) {
    return task->deadline_ns;
}

static void arm(struct task *task) {
    if (task->deadline_ns != 0 && !task->expired && !timer_armed(&task->timer)) {
        timers_set(task->tasks->timers, &task->timer, task->deadline_ns);
    }
}

void task_set_deadline(struct task *task, int64_t deadline_ns) {
    timers_cancel(task->tasks->timers, &task->timer);
    task->deadline_ns = deadline_ns;
    task->expired = false;
    if (task->waits) {
        arm(task);
    }
}

void task_interrupt(struct task *task) {
    if (task->waits) {
        wake(task, ERR_INTERRUPTED);
    } else {
        task->interrupted = true;
    }
}

/* ---- waiting ---- */

int task_wait(struct task_queue *queue) {
    struct task *task = running;
    assert(task != NULL);
    if (task->interrupted) {
        task->interrupted = false;
        return ERR_INTERRUPTED;
    }
    if (task->expired) {
        return ERR_TIMEOUT;
    }
    arm(task);
    task->waits = true;
    queue_append(queue, task);
    leave(task);
    return task->wait_status;
}

void task_wait_uninterrupted(struct task_queue *queue) {
    struct task *task = running;
    assert(task != NULL);
    queue_append(queue, task);
    leave(task);
}

void task_wake_one(struct task_queue *queue) {
    if (queue->first != NULL) {
        wake(queue->first, 0);
    }
}

void task_wake_all(struct task_queue *queue) {
    while (queue->first != NULL) {
        wake(queue->first, 0);
    }
}

static void sleep_over(void *context) {
    task_wake_all(context);
}

int task_sleep(int64_t ns) {
    struct tasks *tasks = running->tasks;
    struct task_queue queue = {0};
    struct timer timer = {.fire = sleep_over, .context = &queue};
    timers_set(tasks->timers, &timer, tasks->now_ns(tasks->clock) + ns);
    int status = task_wait(&queue);
    timers_cancel(tasks->timers, &timer);
    return status;
}

void task_yield(void) {
    struct task *task = running;
    assert(task != NULL);
    queue_append(&task->tasks->runnable, task);
    leave(task);
}

/* ---- groups ---- */

struct group_job {
    struct task_group *group;
    int (*fn)(void *arg);
    void *arg;
};

static void group_result(struct task_group *group, int status) {
    if (group->status == 0) {
        group->status = status;
    }
}

static void group_job_run(void *arg) {
    struct group_job *job = arg;
    struct task_group *group = job->group;
    group_result(group, job->fn(job->arg));
    free(job);
    group->n_running--;
    task_wake_all(&group->done);
}

void task_group_run(struct task_group *group, int (*fn)(void *arg), void *arg) {
    assert(running != NULL);
    struct group_job *job = memory_new(1, sizeof *job);
    *job = (struct group_job){.group = group, .fn = fn, .arg = arg};
    if (task_spawn(running->tasks, group_job_run, job, 0) == 0) {
        group->n_running++;
        return;
    }
    free(job);
    group_result(group, fn(arg));
}

void task_group_wait(struct task_group *group, uint32_t running_max) {
    while (group->n_running > running_max) {
        task_wait_uninterrupted(&group->done);
    }
}
