/* loop: the event loop of every ringfs program: descriptors, timers, signals, one thread. */
#include "shared/loop.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/err.h"

enum {
    EVENTS_PER_TURN = 64,
    HOOKS_MAX = 16,
};

struct watch {
    void (*ready)(void *context); /* NULL: not watched */
    void *context;
    uint32_t generation; /* of the watch; an event of an older one on the same number is stale */
};

struct hook {
    bool (*run)(void *context); /* NULL: removed while the hooks were running */
    void *context;
};

struct loop {
    int epoll;
    struct watch *watches; /* by descriptor */
    size_t n_watches;
    uint32_t generation;
    struct timers timers;
    struct hook hooks[HOOKS_MAX];
    size_t n_hooks;
    bool in_hooks;
    bool more; /* a hook has more to do right away */
    bool stopped;
    int64_t now_ns;
    int64_t last_event_ns;
    int64_t spin_ns;
    int signal_fd;
    void (*caught)(void *context, int signal);
    void *caught_context;
};

static void clock_read(struct loop *loop) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    loop->now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct loop *loop_new(void) {
    struct loop *loop = memory_new(1, sizeof(*loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        fprintf(stderr, "ringfs: no event loop can be made: %s\n", strerror(errno));
        exit(1);
    }
    loop->signal_fd = -1;
    timers_init(&loop->timers);
    clock_read(loop);
    return loop;
}

void loop_free(struct loop *loop) {
    if (loop == NULL) {
        return;
    }
    if (loop->signal_fd >= 0) {
        close(loop->signal_fd);
    }
    close(loop->epoll);
    timers_release(&loop->timers);
    free(loop->watches);
    free(loop);
}

int64_t loop_now_ns(void *loop) {
    return ((struct loop *)loop)->now_ns;
}

struct timers *loop_timers(struct loop *loop) {
    return &loop->timers;
}

void loop_set_spin_us(struct loop *loop, uint32_t spin_us) {
    loop->spin_ns = (int64_t)spin_us * 1000;
}

int loop_watch(struct loop *loop, int fd, void (*ready)(void *context), void *context) {
    assert(fd >= 0);
    assert(ready != NULL);
    if ((size_t)fd >= loop->n_watches) {
        size_t n = (size_t)fd + 32;
        loop->watches = memory_resize(loop->watches, n * sizeof(struct watch));
        memset(loop->watches + loop->n_watches, 0, (n - loop->n_watches) * sizeof(struct watch));
        loop->n_watches = n;
    }
    assert(loop->watches[fd].ready == NULL);
    loop->generation++;
    struct epoll_event event = {.events = EPOLLIN};
    event.data.u64 = (uint64_t)loop->generation << 32 | (uint32_t)fd;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        return ERR_IO;
    }
    loop->watches[fd] = (struct watch){ready, context, loop->generation};
    return 0;
}

void loop_unwatch(struct loop *loop, int fd) {
    assert(fd >= 0);
    if ((size_t)fd >= loop->n_watches || loop->watches[fd].ready == NULL) {
        return;
    }
    /* Fails when the descriptor was closed first; the kernel has then removed it already. */
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
    loop->watches[fd].ready = NULL;
}

void loop_add_turn_end(struct loop *loop, bool (*hook)(void *context), void *context) {
    assert(loop->n_hooks < HOOKS_MAX);
    loop->hooks[loop->n_hooks++] = (struct hook){hook, context};
}

/* Closes the gaps that removed hooks left. Never while the hooks run: places would move. */
static void hooks_compact(struct loop *loop) {
    size_t n = 0;
    for (size_t i = 0; i < loop->n_hooks; i++) {
        if (loop->hooks[i].run != NULL) {
            loop->hooks[n++] = loop->hooks[i];
        }
    }
    loop->n_hooks = n;
}

void loop_remove_turn_end(struct loop *loop, bool (*hook)(void *context), void *context) {
    for (size_t i = 0; i < loop->n_hooks; i++) {
        if (loop->hooks[i].run == hook && loop->hooks[i].context == context) {
            loop->hooks[i].run = NULL;
        }
    }
    if (!loop->in_hooks) {
        hooks_compact(loop);
    }
}

static void signals_ready(void *context) {
    struct loop *loop = context;
    struct signalfd_siginfo info;
    while (loop->signal_fd >= 0 &&
           read(loop->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        loop->caught(loop->caught_context, (int)info.ssi_signo);
    }
}

int loop_on_signals(struct loop *loop, const int *signals, int n_signals,
                    void (*caught)(void *context, int signal), void *context) {
    assert(loop->signal_fd < 0);
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < n_signals; i++) {
        sigaddset(&set, signals[i]);
    }
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        return ERR_IO;
    }
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        close(fd);
        return ERR_IO;
    }
    loop->signal_fd = fd;
    loop->caught = caught;
    loop->caught_context = context;
    return loop_watch(loop, fd, signals_ready, loop);
}

/* Sleeps until an event or `until_ns`. Nanoseconds, because timers are finer than epoll_wait()'s
 * milliseconds; a sandbox without epoll_pwait2() gets those, rounded up. */
static int sleep_until(struct loop *loop, int64_t until_ns, struct epoll_event *events) {
    if (until_ns == TIMERS_NEVER) {
        return epoll_wait(loop->epoll, events, EVENTS_PER_TURN, -1);
    }
    int64_t left = until_ns > loop->now_ns ? until_ns - loop->now_ns : 0;
    if (left == 0) {
        return epoll_wait(loop->epoll, events, EVENTS_PER_TURN, 0);
    }
    struct timespec wait = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    int n = epoll_pwait2(loop->epoll, events, EVENTS_PER_TURN, &wait, NULL);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        int64_t ms = (left + 999999) / 1000000;
        n = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, ms > 60000 ? 60000 : (int)ms);
    }
    return n;
}

/* Events, or none at `until_ns`. While the last event is not older than the spin the core is kept
 * awake, giving way to whoever else wants it. */
static int wait_events(struct loop *loop, int64_t until_ns, struct epoll_event *events) {
    while (loop->now_ns - loop->last_event_ns < loop->spin_ns && loop->now_ns < until_ns) {
        int n = epoll_wait(loop->epoll, events, EVENTS_PER_TURN, 0);
        if (n != 0) {
            return n;
        }
        sched_yield();
        clock_read(loop);
    }
    return sleep_until(loop, until_ns, events);
}

static void dispatch(struct loop *loop, const struct epoll_event *events, int n) {
    for (int i = 0; i < n; i++) {
        uint32_t fd = (uint32_t)events[i].data.u64;
        uint32_t generation = (uint32_t)(events[i].data.u64 >> 32);
        struct watch watch = loop->watches[fd]; /* a copy: the table may grow in the call */
        if (watch.ready != NULL && watch.generation == generation) {
            watch.ready(watch.context);
        }
    }
}

static bool hooks_run(struct loop *loop) {
    bool more = false;
    loop->in_hooks = true;
    for (size_t i = 0; i < loop->n_hooks; i++) {
        struct hook hook = loop->hooks[i];
        if (hook.run != NULL && hook.run(hook.context)) {
            more = true;
        }
    }
    loop->in_hooks = false;
    hooks_compact(loop);
    return more;
}

void loop_turn(struct loop *loop, int64_t wait_ns) {
    struct epoll_event events[EVENTS_PER_TURN];
    clock_read(loop);
    int64_t until_ns = timers_next(&loop->timers);
    if (loop->more) {
        until_ns = loop->now_ns;
    } else if (wait_ns < until_ns - loop->now_ns) {
        until_ns = loop->now_ns + wait_ns;
    }
    int n = wait_events(loop, until_ns, events);
    clock_read(loop);
    if (n > 0) {
        loop->last_event_ns = loop->now_ns;
    }
    timers_run(&loop->timers, loop->now_ns);
    dispatch(loop, events, n); /* n < 0: interrupted by a signal, nothing to call */
    clock_read(loop);
    loop->more = hooks_run(loop);
}

void loop_run(struct loop *loop) {
    while (!loop->stopped) {
        loop_turn(loop, TIMERS_NEVER);
    }
    loop->stopped = false;
}

void loop_stop(struct loop *loop) {
    loop->stopped = true;
}
