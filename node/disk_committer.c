/* disk_committer: see the header. One mutex guards everything but the engine's own calls. */
#include "node/disk_committer.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "shared/err.h"

struct disk_committer {
    struct disk_committer_config config;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* on the monotonic clock */
    int event_fd;
    int64_t inline_after_ns; /* loop thread only */
    /* guarded by mutex */
    struct disk_commit *first, *last;
    struct disk_group *ended_first, *ended_last;
    int64_t unsynced_since_ns; /* of the oldest write not yet synced; 0 = none */
    int64_t background_at_ns;  /* when it wants to be called; DISK_BACKGROUND_NONE: not by itself */
    bool writing;              /* the thread is within the engine */
    bool inlining;             /* the loop thread is */
    bool stopping;
};

int64_t disk_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

size_t disk_commit_size(const struct disk_commit *commit) {
    size_t size = 0;
    for (uint32_t i = 0; i < commit->n; i++) {
        size += commit->puts[i].key.size + commit->puts[i].value.size;
    }
    return size;
}

static bool list_synced(const struct disk_commit *list) {
    for (; list; list = list->next) {
        if (list->synced) {
            return true;
        }
    }
    return false;
}

/* Takes from the queue's head as many as make one group. */
static struct disk_commit *group_take(struct disk_committer *c) {
    struct disk_commit *list = c->first, *last = list;
    size_t size = disk_commit_size(last);
    while (last->next && size + disk_commit_size(last->next) <= DISK_GROUP_BYTES_MAX) {
        last = last->next;
        size += disk_commit_size(last);
    }
    c->first = last->next;
    if (!c->first) {
        c->last = NULL;
    }
    last->next = NULL;
    return list;
}

static void group_ended(struct disk_committer *c, struct disk_commit *list, int status) {
    struct disk_group *group = memory_new(1, sizeof *group);
    *group = (struct disk_group){.list = list, .status = status};
    if (c->ended_last) {
        c->ended_last->next = group;
    } else {
        c->ended_first = group;
    }
    c->ended_last = group;
}

static void event_raise(struct disk_committer *c) {
    uint64_t one = 1;
    ssize_t written = write(c->event_fd, &one, sizeof one);
    (void)written; /* fails only when the counter is full: then it is readable already */
}

/* The engine is the thread's alone between these two. Mutex held on entry and return, not between.
 */
static void engine_enter(struct disk_committer *c) {
    c->writing = true;
    while (c->inlining) {
        pthread_cond_wait(&c->wake, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
}

static void engine_leave(struct disk_committer *c) {
    pthread_mutex_lock(&c->mutex);
    c->writing = false;
}

/* Something was written or synced: the housekeeping may have work. */
static void background_due(struct disk_committer *c) {
    if (c->config.background && c->background_at_ns == DISK_BACKGROUND_NONE) {
        c->background_at_ns = disk_now_ns();
    }
}

/* `overdue`: what was written before waits to be synced; under a steady load no pause would come
 * for that. */
static void write_group(struct disk_committer *c, bool overdue) {
    struct disk_commit *list = group_take(c);
    bool synced = list_synced(list) || overdue;
    engine_enter(c);
    int status = c->config.write(c->config.self, list, synced);
    engine_leave(c);
    if (synced) {
        c->unsynced_since_ns = 0;
    } else if (c->unsynced_since_ns == 0) {
        c->unsynced_since_ns = disk_now_ns();
    }
    background_due(c);
    group_ended(c, list, status);
    event_raise(c);
}

static void write_sync(struct disk_committer *c) {
    c->unsynced_since_ns = 0;
    engine_enter(c);
    /* A failure is the engine's to remember: it fails every later write. */
    c->config.write(c->config.self, NULL, true);
    engine_leave(c);
    background_due(c);
}

static void background_run(struct disk_committer *c) {
    bool wrote = false;
    engine_enter(c);
    int64_t pause_ns = c->config.background(c->config.self, &wrote);
    engine_leave(c);
    c->background_at_ns =
        pause_ns == DISK_BACKGROUND_NONE ? DISK_BACKGROUND_NONE : disk_now_ns() + pause_ns;
    if (wrote && c->unsynced_since_ns == 0) {
        c->unsynced_since_ns = disk_now_ns();
    }
}

static void wait_until(struct disk_committer *c, int64_t until) {
    if (until == INT64_MAX) {
        pthread_cond_wait(&c->wake, &c->mutex);
    } else {
        struct timespec at = {until / 1000000000, until % 1000000000};
        pthread_cond_timedwait(&c->wake, &c->mutex, &at);
    }
}

/* Does what is due, or waits for the next thing to become so. */
static void step(struct disk_committer *c) {
    int64_t now = disk_now_ns();
    int64_t sync_at =
        c->unsynced_since_ns ? c->unsynced_since_ns + DISK_SYNC_AFTER_MS * 1000000ll : INT64_MAX;
    bool housekeeping = now >= c->background_at_ns && !c->stopping;
    if (housekeeping) {
        background_run(c);
    }
    if (c->first) {
        write_group(c, now >= sync_at);
    } else if (now >= sync_at) {
        write_sync(c);
    } else if (!housekeeping && !c->stopping) {
        wait_until(c, sync_at < c->background_at_ns ? sync_at : c->background_at_ns);
    }
}

static void *committer_run(void *self) {
    struct disk_committer *c = self;
    pthread_mutex_lock(&c->mutex);
    while (c->first || !c->stopping) {
        step(c);
    }
    if (c->unsynced_since_ns != 0) {
        write_sync(c);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

static int thread_start(struct disk_committer *c) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&c->thread, NULL, committer_run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? ERR_IO : 0;
}

int disk_committer_start(const struct disk_committer_config *config, struct disk_committer **ret) {
    struct disk_committer *c = memory_new(1, sizeof *c);
    c->config = *config;
    c->background_at_ns = config->background ? disk_now_ns() : DISK_BACKGROUND_NONE;
    c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->event_fd < 0) {
        free(c);
        return ERR_IO;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&c->mutex, NULL);
    if (thread_start(c)) {
        disk_committer_free(c);
        return ERR_IO;
    }
    *ret = c;
    return 0;
}

void disk_committer_stop(struct disk_committer *committer) {
    pthread_mutex_lock(&committer->mutex);
    committer->stopping = true;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->mutex);
    pthread_join(committer->thread, NULL);
}

void disk_committer_free(struct disk_committer *committer) {
    assert(!committer->first);
    assert(!committer->ended_first);
    pthread_cond_destroy(&committer->wake);
    pthread_mutex_destroy(&committer->mutex);
    close(committer->event_fd);
    free(committer);
}

int disk_committer_event_fd(const struct disk_committer *committer) {
    return committer->event_fd;
}

static void enqueue(struct disk_committer *c, struct disk_commit *list) {
    if (c->last) {
        c->last->next = list;
    } else {
        c->first = list;
    }
    for (c->last = list; c->last->next; c->last = c->last->next) {
    }
    pthread_cond_signal(&c->wake);
}

/* On the loop thread, while the committer has nothing to do. */
static void write_inline(struct disk_committer *c, struct disk_commit *list) {
    int64_t begun = disk_now_ns();
    int status = c->config.write(c->config.self, list, false);
    int64_t ended = disk_now_ns();
    if (ended - begun > DISK_INLINE_SLOW_US * 1000ll) {
        c->inline_after_ns = ended + DISK_INLINE_PAUSE_MS * 1000000ll;
    }
    pthread_mutex_lock(&c->mutex);
    group_ended(c, list, status);
    c->inlining = false;
    bool first = c->unsynced_since_ns == 0; /* it waits without a limit: now it has one */
    if (first) {
        c->unsynced_since_ns = ended;
    }
    if (first || c->writing) {
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->mutex);
}

void disk_committer_submit(struct disk_committer *committer, struct disk_commit *list,
                           size_t size) {
    struct disk_committer *c = committer;
    bool small = !c->config.never_inline && size <= DISK_INLINE_BYTES_MAX && !list_synced(list) &&
                 disk_now_ns() >= c->inline_after_ns;
    pthread_mutex_lock(&c->mutex);
    assert(!c->stopping);
    bool idle = !c->first && !c->writing;
    if (!small || !idle) {
        enqueue(c, list);
    }
    c->inlining = small && idle;
    pthread_mutex_unlock(&c->mutex);
    if (small && idle) {
        write_inline(c, list);
    }
}

struct disk_group *disk_committer_take(struct disk_committer *committer) {
    pthread_mutex_lock(&committer->mutex);
    struct disk_group *ended = committer->ended_first;
    committer->ended_first = committer->ended_last = NULL;
    pthread_mutex_unlock(&committer->mutex);
    return ended;
}
