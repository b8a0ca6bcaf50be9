/* ops: the kernel's side: the session with it, and the reading of its requests. */
#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fs/ops_pages.h"
#include "fs/ops_request.h"

enum {
    WRITE_SIZE_MAX = 1 << 20, /* of one request: the kernel's own bound */
    READ_AHEAD_MAX = 1 << 20,
    BACKGROUND_MAX = 128, /* read-ahead and the like */
    /* linux/fuse.h, which cannot be included beside libfuse's headers. */
    KERNEL_INIT = 26,
    KERNEL_NOTIFY_RESEND = 7, /* since Linux 6.9 */
};
/* In the number of a request that the kernel sends again. */
#define KERNEL_RESENT (1ull << 63)

/* fuse_in_header as far as we look. */
struct kernel_request {
    uint32_t size, operation;
    uint64_t unique;
};

/* fuse_out_header. */
struct kernel_reply {
    uint32_t size;
    int32_t error;
    uint64_t unique;
};

static struct survivor_header *left_by_others(const struct ops *ops) {
    struct survivor *survivor = ops->config.mount->config.survivor;
    return survivor != NULL ? survivor_header(survivor) : NULL;
}

static void init(void *userdata, struct fuse_conn_info *conn) {
    struct ops *ops = userdata;
    struct survivor_header *left = left_by_others(ops);
    conn->max_write = WRITE_SIZE_MAX;
    conn->max_readahead = READ_AHEAD_MAX;
    conn->max_background = BACKGROUND_MAX;
    conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
    conn->time_gran = 1;
    kernel_names_start(&ops->names, ops->fd, conn->proto_minor);
    /* Splicing costs more than it saves at these sizes. Pages are dropped at open, by version: not
     * whenever an mtime is news, which after each write of our own it is. */
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE);
    conn->want |=
        conn->capable &
        (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
         FUSE_CAP_ASYNC_READ | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
    if (left != NULL && ops->replaying) {
        conn->want = left->wanted & conn->capable; /* it was agreed, whatever we want today */
    } else if (left != NULL) {
        left->wanted = conn->want;
    }
}

/* ---- between workers ---- */
static ssize_t answer_kernel(int fd, struct iovec *parts, int n, void *userdata) {
    const struct ops *ops = userdata;
    if (!ops->replaying) {
        return writev(fd, parts, n);
    }
    size_t size = 0;
    for (int i = 0; i < n; i++) {
        size += parts[i].iov_len;
    }
    return (ssize_t)size;
}

static ssize_t hear_kernel(int fd, void *into, size_t size, void *userdata) {
    (void)userdata;
    return read(fd, into, size);
}

/* Our own reading and writing, so that the answer to a repeated INIT can be kept back. */
static int take_io(struct ops *ops, int fd) {
    static const struct fuse_custom_io io = {.writev = answer_kernel, .read = hear_kernel};
    return fuse_session_custom_io(ops->session, &io, fd) == 0 ? 0 : ERR_IO;
}

/* What libfuse is given next: its number, and whether an earlier worker has had it. */
static void look_at(struct ops *ops) {
    struct kernel_request head;
    memcpy(&head, ops->buffer.mem, sizeof head);
    ops->unique = head.unique & ~KERNEL_RESENT;
    ops->again = (head.unique & KERNEL_RESENT) != 0;
    struct survivor_header *left = left_by_others(ops);
    if (head.operation == KERNEL_INIT && left != NULL && ops->buffer.size <= SURVIVOR_INIT_MAX) {
        memcpy(left->init, ops->buffer.mem, ops->buffer.size);
        left->init_size = (uint32_t)ops->buffer.size;
    }
    ops->starting = head.operation == KERNEL_INIT;
}

/* libfuse hears the kernel's first request again, and nobody its answer. */
static int replay_init(struct ops *ops) {
    const struct survivor_header *left = left_by_others(ops);
    struct fuse_buf buffer = {.size = left->init_size};
    if (left->init_size == 0) {
        return ERR_CORRUPT;
    }
    buffer.mem = memory_new(1, SURVIVOR_INIT_MAX);
    memcpy(buffer.mem, left->init, left->init_size);
    ops->replaying = true;
    fuse_session_process_buf(ops->session, &buffer);
    ops->replaying = false;
    free(buffer.mem);
    return fuse_session_exited(ops->session) ? ERR_IO : 0;
}

static void refuse_one(void *context, uint64_t unique) {
    const struct ops *ops = context;
    struct kernel_reply reply = {sizeof reply, -EIO, unique};
    (void)!write(ops->fd, &reply, sizeof reply);
}

/* Requests that an earlier worker had read and not answered: the kernel sends them again. One that
 * cannot has them refused, for else they would wait for ever. */
static void ask_again(struct ops *ops) {
    struct kernel_reply notice = {sizeof notice, KERNEL_NOTIFY_RESEND, 0};
    if (write(ops->fd, &notice, sizeof notice) != (ssize_t)sizeof notice) {
        ops->config.log(ops->config.context, 1,
                        "the kernel cannot repeat requests: those under way fail with EIO");
        survivor_each_request(ops->config.mount->config.survivor, refuse_one, ops);
    }
}

/* What the kernel shows on its pages of files that have lost writes is not there any more. */
struct lost_pages {
    struct ops *ops;
    uint32_t n;
    uint64_t inos[];
};

static void drop_pages(void *arg) {
    struct lost_pages *lost = arg;
    for (uint32_t i = 0; i < lost->n && !lost->ops->paused; i++) {
        pages_drop(lost->ops->pages, lost->inos[i]);
    }
    mount_background_done(lost->ops->config.mount);
    free(lost);
}

static void drop_lost_pages(struct ops *ops) {
    struct mount *mount = ops->config.mount;
    struct lost_pages *lost = memory_new(1, sizeof *lost + mount->n_losses * sizeof *lost->inos);
    lost->ops = ops;
    for (uint64_t i = 1; i <= mount->handles.n; i++) {
        const struct opening *opening = handles_find(&mount->handles, i);
        bool here = opening != NULL && opening->kept != NULL && opening->kept->lost != 0;
        if (here && lost->n < mount->n_losses) {
            lost->inos[lost->n++] = opening->ino;
        }
    }
    if (ops->pages == NULL) {
        ops->pages = pages_new(ops->config.loop, ops->session);
    }
    mount_background(mount, drop_pages, lost);
}

/* ---- requests ---- */
static void stop_reading(struct ops *ops) {
    if (ops->reading) {
        loop_unwatch(ops->config.loop, ops->fd);
        ops->reading = false;
    }
}

static void kernel_ended(struct ops *ops) {
    stop_reading(ops);
    ops->paused = true;
    ops->unmounted = true;
    ops->config.ended(ops->config.context);
}

static void readable(void *context) {
    struct ops *ops = context;
    for (int i = 0; i < OPS_PER_TURN && ops->reading; i++) {
        int size = fuse_session_receive_buf(ops->session, &ops->buffer);
        if (size == -EAGAIN) {
            return;
        }
        if (size == -EINTR) {
            continue;
        }
        if (size <= 0) {
            kernel_ended(ops);
            return;
        }
        look_at(ops);
        fuse_session_process_buf(ops->session, &ops->buffer);
        if (ops->starting && !fuse_session_exited(ops->session)) {
            ops->starting = false;
            ops->config.started(ops->config.context);
        }
        if (ops->waiting != NULL || ops->n_requests >= OPS_REQUESTS_MAX) {
            stop_reading(ops);
        }
    }
}

/* At each turn's end: when requests ended, those that wait get their turn. */
static bool read_on(void *context) {
    struct ops *ops = context;
    requests_resume(ops);
    bool room = !ops->resuming && ops->waiting == NULL && ops->n_requests < OPS_REQUESTS_MAX;
    if (!ops->reading && !ops->paused && room) {
        ops->reading = loop_watch(ops->config.loop, ops->fd, readable, ops) == 0;
    }
    return false;
}

static int mount_session(struct ops *ops) {
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_lowlevel_ops table = {.init = init};
    ops_names(&table);
    ops_files(&table);
    ops_xattr(&table);
    if (ops->config.lease_ns > 0) {
        ops_locks(&table); /* libfuse then asks the kernel to pass locks on */
    }
    ops_data(&table);
    ops_cluster(&table);
    fuse_opt_add_arg(&args, "ringfs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, ops->config.kernel_options);
    if (ops->config.debug) {
        fuse_opt_add_arg(&args, "-odebug");
    }
    ops->session = fuse_session_new(&args, &table, sizeof table, ops);
    fuse_opt_free_args(&args);
    if (ops->session == NULL) {
        return ERR_IO;
    }
    if (ops->config.kernel_fd >= 0) {
        ops->fd = ops->config.kernel_fd;
        int status = take_io(ops, ops->fd);
        return status != 0 ? status : replay_init(ops);
    }
    if (fuse_session_mount(ops->session, ops->config.mountpoint) != 0) {
        return ERR_IO;
    }
    ops->fd = fuse_session_fd(ops->session);
    int flags = fcntl(ops->fd, F_GETFL);
    int failed = fcntl(ops->fd, F_SETFL, flags | O_NONBLOCK);
    return failed != 0 ? ERR_IO : take_io(ops, ops->fd);
}

/* Goes on while the machine sleeps. */
static int64_t boot_now_ns(void *clock) {
    struct timespec now;
    (void)clock;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void start_locks(struct ops *ops) {
    struct locks_config config = {
        .now_ns = boot_now_ns,
        .lease_ns = ops->config.lease_ns,
        .drop_pages = pages_drop,
        .context = ops->pages,
    };
    locks_start(ops->config.mount, &config);
}

/* ---- what the watched directories tell the kernel: kernel_notices ---- */
static void doubt_attributes(void *self, uint64_t ino) {
    struct ops *ops = self;
    pages_doubt(ops->pages, ino);
}

static bool may_hold_names(void *self) {
    struct ops *ops = self;
    return kernel_names_may_be_held(&ops->names);
}

static void take_back_names(void *self) {
    struct ops *ops = self;
    kernel_names_take_back(&ops->names);
}

int ops_start(const struct ops_config *config, struct ops **ret) {
    struct ops *ops = memory_new(1, sizeof *ops);
    ops->config = *config;
    kernel_names_init(&ops->names, config->mountpoint, config->device);
    int status = mount_session(ops);
    if (status != 0) {
        if (ops->session != NULL) {
            fuse_session_unmount(ops->session);
            fuse_session_destroy(ops->session);
        }
        kernel_names_end(&ops->names);
        free(ops);
        return status;
    }
    ops->pages = pages_new(config->loop, ops->session);
    if (config->lease_ns > 0) {
        start_locks(ops);
        ops_locks_resume(ops);
    }
    config->mount->inodes.watches.kernel =
        (struct kernel_notices){ops, doubt_attributes, may_hold_names, take_back_names};
    inodes_doubt_kernel(&config->mount->inodes);
    loop_add_turn_end(config->loop, read_on, ops);
    *ret = ops;
    if (config->kernel_fd >= 0) {
        ask_again(ops);
        if (config->mount->n_losses > 0) {
            drop_lost_pages(ops);
        }
        config->started(config->context);
    }
    return 0;
}

void ops_hand_over(struct ops *ops) {
    ops->handing_over = true;
}

void ops_pause(struct ops *ops) {
    ops->paused = true;
    stop_reading(ops);
}

void ops_wait_idle(struct ops *ops, int64_t within_ns) {
    locks_stop_waiting(ops->config.mount);
    task_set_deadline(task_self(), loop_now_ns(ops->config.loop) + within_ns);
    while (ops->n_requests > 0 && task_wait(&ops->idle) == 0) {
    }
    requests_interrupt(ops);
    task_set_deadline(task_self(), 0);
    while (ops->n_requests > 0) {
        task_wait_uninterrupted(&ops->idle);
    }
}

void ops_stop(struct ops *ops) {
    ops_pause(ops);
    ops->config.mount->inodes.watches.kernel = (struct kernel_notices){0};
    loop_remove_turn_end(ops->config.loop, read_on, ops);
    pages_free(ops->pages);
    kernel_names_end(&ops->names);
    fuse_session_destroy(ops->session);
    free(ops->buffer.mem);
    free(ops);
}

int ops_kernel_fd(const struct ops *ops) {
    return ops->fd;
}

bool ops_unmounted(const struct ops *ops) {
    return ops->unmounted;
}

uint64_t ops_answered(const struct ops *ops) {
    return ops->n_answered;
}
