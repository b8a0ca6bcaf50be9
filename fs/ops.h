/* ops: the kernel's side: requests in, tasks, answers out. Nothing of libfuse shows here. */
#ifndef RINGFS_FS_OPS_H
#define RINGFS_FS_OPS_H

#include "fs/mount.h"
#include "shared/loop.h"

/* The files fs/ops*.c alone include libfuse (its low-level API, without its own loop or threads).
 * The descriptor of the kernel is watched by the loop; each request becomes a task with copied
 * arguments and a deadline, and is answered exactly once. FORGET is done on the spot. At most
 * OPS_REQUESTS_MAX are under way; beyond that the kernel's queue waits. One thread. */
enum {
    OPS_REQUESTS_MAX = 1024,
    OPS_PER_TURN = 32,
    OPS_TRIES_MAX = 3, /* workers that a request may have ended before it is refused with EIO */
    /* A signal reaches a request as late as this: a program with a timer that ticks would otherwise
     * see EINTR from calls that never fail so on a disk. */
    OPS_INTERRUPT_NS = 500000000,
};

struct ops;
struct cluster_files;

struct ops_config {
    struct loop *loop;             /* borrowed */
    struct mount *mount;           /* borrowed */
    struct cluster_files *cluster; /* borrowed; see cluster_files.h */
    const char *mountpoint;
    int kernel_fd; /* of a mount that stands, with what the survivor remembers of it; -1 = mount */
    const char *kernel_options; /* separated by commas */
    bool debug;
    dev_t device; /* of a mount that stands; 0 = not known */
    /* 0 = locks are the kernel's own, on this mount only; else how long the mount's lease is. */
    int64_t lease_ns;
    /* One line for the log; level 0 error, 1 warning, 2 info. */
    void (*log)(void *context, int level, const char *line);
    /* The kernel has agreed to serve, and what an earlier worker left is taken over. */
    void (*started)(void *context);
    /* The kernel has unmounted: no further request comes. */
    void (*ended)(void *context);
    void *context;
};

/* Mounts and begins to serve. ERR_IO; libfuse has said why on stderr. */
int ops_start(const struct ops_config *config, struct ops **ret);
/* Takes no further requests from the kernel. */
void ops_pause(struct ops *ops);
/* May suspend: until no request is under way. Those that wait for locks are interrupted at once,
 * after `within_ns` those that wait for the cluster too. */
void ops_wait_idle(struct ops *ops, int64_t within_ns);
/* Another worker will go on: what waits for a lock is left to it. Before ops_wait_idle(). */
void ops_hand_over(struct ops *ops);
/* May suspend. Closes what programs still have open. No request may be under way. */
void ops_close_all(struct ops *ops);
/* Ends the session, but not the mount: another worker may go on with it. No request may be under
 * way. */
void ops_stop(struct ops *ops);
/* The kernel's descriptor; ops_stop() closes it. */
int ops_kernel_fd(const struct ops *ops);
/* Whether the kernel has unmounted. */
bool ops_unmounted(const struct ops *ops);
/* Requests answered since the start. */
uint64_t ops_answered(const struct ops *ops);
/* Appends a line for each request that is under way: for how long, operation, path. */
void ops_print_under_way(const struct ops *ops, struct buffer *into);

#endif
