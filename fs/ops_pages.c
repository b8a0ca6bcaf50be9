/* ops_pages: makes the kernel drop what it caches of a file, without waiting for ourselves. */
#include "fs/ops_pages.h"

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct job {
    struct job *next;
    uint64_t ino;
    bool attributes; /* these only, and nobody waits */
    bool done;       /* the loop's, like the two below */
    bool abandoned;  /* nobody waits for it any more */
    struct task_queue waiter;
};

struct pages {
    struct loop *loop;
    struct fuse_session *session;
    int event; /* the thread writes, the loop reads; -1 = there is no thread */
    pthread_t thread;
    /* Under the mutex: */
    pthread_mutex_t mutex;
    pthread_cond_t wanted;
    struct job *first, **end; /* to be done, in order */
    struct job *finished;
    uint32_t n_attributes; /* jobs for these */
    bool stopping;
};

struct pages *pages_new(struct loop *loop, void *session) {
    struct pages *pages = memory_new(1, sizeof *pages);
    pages->loop = loop;
    pages->session = session;
    pages->event = -1;
    pages->end = &pages->first;
    pthread_mutex_init(&pages->mutex, NULL);
    pthread_cond_init(&pages->wanted, NULL);
    return pages;
}

/* ---- the thread ---- */

static struct job *next_job(struct pages *pages) {
    while (pages->first == NULL && !pages->stopping) {
        pthread_cond_wait(&pages->wanted, &pages->mutex);
    }
    struct job *job = pages->stopping ? NULL : pages->first;
    if (job != NULL) {
        pages->first = job->next;
        pages->end = pages->first == NULL ? &pages->first : pages->end;
    }
    return job;
}

static void *tell_kernel(void *arg) {
    struct pages *pages = arg;
    struct job *job;
    pthread_mutex_lock(&pages->mutex);
    while ((job = next_job(pages)) != NULL) {
        uint64_t one = 1;
        pthread_mutex_unlock(&pages->mutex);
        /* ENOENT: the kernel has forgotten the inode, and its pages with it. */
        fuse_lowlevel_notify_inval_inode(pages->session, job->ino, job->attributes ? -1 : 0, 0);
        pthread_mutex_lock(&pages->mutex);
        if (job->attributes) {
            pages->n_attributes--;
            free(job);
            continue;
        }
        job->next = pages->finished;
        pages->finished = job;
        (void)!write(pages->event, &one, sizeof one);
    }
    pthread_mutex_unlock(&pages->mutex);
    return NULL;
}

/* ---- the loop's side ---- */

static void finish(struct job *job) {
    job->done = true;
    if (job->abandoned) {
        free(job);
    } else {
        task_wake_all(&job->waiter);
    }
}

static void collect(void *context) {
    struct pages *pages = context;
    uint64_t n;
    (void)!read(pages->event, &n, sizeof n);
    pthread_mutex_lock(&pages->mutex);
    struct job *job = pages->finished;
    pages->finished = NULL;
    pthread_mutex_unlock(&pages->mutex);
    while (job != NULL) {
        struct job *next = job->next;
        finish(job);
        job = next;
    }
}

static int start(struct pages *pages) {
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0) {
        return ERR_IO;
    }
    pages->event = event;
    if (loop_watch(pages->loop, event, collect, pages) == 0) {
        if (pthread_create(&pages->thread, NULL, tell_kernel, pages) == 0) {
            return 0;
        }
        loop_unwatch(pages->loop, event);
    }
    close(event);
    pages->event = -1;
    return ERR_IO;
}

static void hand_over(struct pages *pages, struct job *job) {
    pthread_mutex_lock(&pages->mutex);
    pages->n_attributes += job->attributes ? 1 : 0;
    *pages->end = job;
    pages->end = &job->next;
    pthread_cond_signal(&pages->wanted);
    pthread_mutex_unlock(&pages->mutex);
}

void pages_doubt(void *context, uint64_t ino) {
    struct pages *pages = context;
    if (pages->event < 0 && start(pages) != 0) {
        return;
    }
    pthread_mutex_lock(&pages->mutex);
    bool full = pages->n_attributes >= PAGES_DOUBTS_MAX;
    pthread_mutex_unlock(&pages->mutex);
    if (!full) {
        struct job *job = memory_new(1, sizeof *job);
        job->ino = ino;
        job->attributes = true;
        hand_over(pages, job);
    }
}

int pages_drop(void *context, uint64_t ino) {
    struct pages *pages = context;
    int status = pages->event < 0 ? start(pages) : 0;
    if (status != 0) {
        return status;
    }
    struct job *job = memory_new(1, sizeof *job);
    job->ino = ino;
    hand_over(pages, job);
    while (status == 0 && !job->done) {
        status = task_wait(&job->waiter);
    }
    if (job->done) {
        free(job);
        return 0;
    }
    job->abandoned = true; /* the other side frees it */
    return status;
}

static bool end_thread(struct pages *pages) {
    struct timespec until;
    pthread_mutex_lock(&pages->mutex);
    pages->stopping = true;
    pthread_cond_signal(&pages->wanted);
    pthread_mutex_unlock(&pages->mutex);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PAGES_END_S;
    return pthread_timedjoin_np(pages->thread, NULL, &until) == 0;
}

static void free_jobs(struct job *job) {
    while (job != NULL) {
        struct job *next = job->next;
        free(job);
        job = next;
    }
}

void pages_free(struct pages *pages) {
    if (pages->event >= 0) {
        loop_unwatch(pages->loop, pages->event);
        if (!end_thread(pages)) {
            return;
        }
        close(pages->event);
    }
    free_jobs(pages->first);
    free_jobs(pages->finished);
    pthread_cond_destroy(&pages->wanted);
    pthread_mutex_destroy(&pages->mutex);
    free(pages);
}
