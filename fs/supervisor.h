/* supervisor: holds the connection with the kernel, and starts the process that serves it, again
 * and again. */
#ifndef RINGFS_FS_SUPERVISOR_H
#define RINGFS_FS_SUPERVISOR_H

#include <stdbool.h>

/* A worker does everything; the supervisor has no thread, no cluster and no memory of its own that
 * could go wrong. While no worker is there the kernel's requests wait in its queue, since somebody
 * holds its descriptor.
 *
 *   the first worker mounts, and hands the kernel's descriptor over      supervisor_tell()
 *   it ends by a signal or with an unexpected code                       another takes over
 *   it ends with SUPERVISOR_HANDOVER                                     another takes over
 *   it ends with 0 or 32, or ended before it served                      so does the supervisor
 *
 * Workers that live less than SHORT_LIFE_MS are followed by a pause, which doubles; after
 * SHORT_LIVES_MAX of them in a row the supervisor unmounts and ends. When the supervisor is killed
 * its worker gets SIGTERM: it writes what is buffered and unmounts.
 *
 * Signals: SIGTERM and SIGINT end the worker (as SIGTERM), SIGHUP and SIGUSR1 are passed on, after
 * SIGUSR2 the worker hands over to one of the program that is installed now. */
enum {
    SUPERVISOR_HANDOVER = 100, /* a worker's exit code */
    SUPERVISOR_SHORT_LIFE_MS = 300,
    SUPERVISOR_SHORT_LIVES_MAX = 10,
    SUPERVISOR_PAUSE_FIRST_MS = 10,
    SUPERVISOR_PAUSE_MAX_MS = 5000,
};

/* What a worker gets. */
struct workplace {
    int kernel_fd;     /* -1: it has to mount */
    int memory_fd;     /* for the survivor */
    int supervisor_fd; /* for supervisor_tell() */
};

struct supervisor_config {
    int kernel_fd; /* -1: nothing is mounted yet */
    int memory_fd;
    /* In the new process; answers its exit code. */
    int (*work)(void *context, const struct workplace *place);
    /* The first worker serves. */
    void (*serving)(void *context);
    /* Becomes the program that is installed now, with this descriptor; returns when it cannot. */
    void (*upgrade)(void *context, int kernel_fd);
    void (*reopen_log)(void *context);
    /* A worker that is not the last has ended; `crashed`: by a fault of its own. */
    void (*ended)(void *context, bool crashed);
    void (*unmount)(void *context);
    void (*log)(void *context, int level, const char *line);
    void *context;
};

/* Until the mount ends; answers the exit code: the last worker's, or 32. In a process without
 * threads. */
int supervisor_run(const struct supervisor_config *config);
/* The worker serves; the supervisor keeps a descriptor of the kernel's from now on. */
void supervisor_tell(const struct workplace *place, int kernel_fd);

#endif
