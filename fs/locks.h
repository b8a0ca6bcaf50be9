/* locks: flock(2) and fcntl(2) locks that hold on all mounts. */
#ifndef RINGFS_FS_LOCKS_H
#define RINGFS_FS_LOCKS_H

#include "fs/file_locks.h"
#include "fs/handle.h"

/* Of one file: file_locks.h. Who counts as dead, and when: lease.h. Here: requests, waiting,
 * deadlocks, the keeper that renews the lease, and its loss. A mount that loses its lease holds
 * nothing any more; what its programs wrote and was not stored is forgotten, and each handle that
 * was open on a file with locks fails with ERR_LEASE_LOST until it is closed. */
enum {
    LOCKS_WAITERS_MAX = 512, /* ERR_NO_LOCKS beyond: other requests need room too */
};
/* Between two looks at a lock that another mount holds: an eighth of the time waited. */
#define LOCKS_PAUSE_MIN_NS 2000000ll
#define LOCKS_PAUSE_MAX_NS 500000000ll
#define LOCKS_IDLE_NS 60000000000ll /* the lease is kept for so long after the last lock */

struct locks_config {
    int64_t (*now_ns)(void *clock); /* as in struct lease */
    void *clock;
    int64_t lease_ns;
    /* May suspend: the kernel drops the pages and attributes of an inode. NULL = there is none. */
    int (*drop_pages)(void *context, uint64_t ino);
    void *context;
};

/* A request that waits; on its stack. */
struct lock_waiter {
    struct lock_waiter *next;
    struct task *task;
    struct file_locks *fl;
    const struct lock *lock;
    uint64_t visited;         /* by which search for a deadlock */
    struct lock_waiter *todo; /* of that search */
};

struct locks {
    struct locks_config config;
    struct lease lease;
    struct file_locks *files;
    struct lock_waiter *waiters;
    uint32_t n_waiters;
    uint64_t n_searches;
    bool keeping; /* the keeper runs */
    bool stopping;
    int64_t used_ns; /* when something was locked or unlocked last */
    uint64_t n_leases_lost;
};

/* A wish to lock or unlock. */
struct lock_wish {
    struct lock lock; /* `mount` is filled in */
    bool wait;
    bool asleep; /* while it waits for another's lock: it may be interrupted at once */
};

/* Sets mount->locks. Without it no call of requests is made here. */
void locks_start(struct mount *mount, const struct locks_config *config);
/* May suspend: goes on with the lease that an earlier worker left, if it left one. ERR_LEASE_LOST:
 * it has ended, and all locks are lost. */
int locks_resume(struct mount *mount);
/* May suspend: after locks_resume(), what was locked through an opening that was locked. */
int locks_resume_file(struct handle *handle, uint64_t owner);
/* The waiting ends with ERR_CLOSED, and nobody waits any more. */
void locks_stop_waiting(struct mount *mount);
/* May suspend: instead of locks_end(), when another worker goes on: locks and lease stay. */
void locks_leave(struct mount *mount);
/* May suspend: gives up all locks and the lease. After the last write, with nothing in the
 * background. */
void locks_end(struct mount *mount);
/* After the last file was closed. Harmless without locks. */
void locks_free(struct mount *mount);

/* ---- requests; may suspend ---- */
/* ERR_LOCKED, ERR_DEADLOCK, ERR_NO_LOCKS, ERR_INTERRUPTED, ERR_CLOSED, or what the store answered.
 * Waiting has no deadline. To unlock fails with ERR_NO_LOCKS only. */
int locks_set(struct handle *handle, struct lock_wish *wish);
/* The first lock that `lock` would meet; its type is LOCK_NONE when there is none, its pid 0 when
 * it is another mount's. */
int locks_get(struct handle *handle, struct lock *lock, struct lock *ret);
/* A program has closed a descriptor: the owner's POSIX locks on the file go. */
void locks_close(struct handle *handle, uint64_t owner);
/* Ahead of handle_release(): what was locked through this opening goes. `flock_owner`: NULL when it
 * never had a flock. */
void locks_release(struct handle *handle, const uint64_t *flock_owner);

/* ---- for file.c and handle.c; at once ---- */
/* ERR_LEASE_LOST when the handle was open on a file with locks as the lease was lost. */
int locks_check(const struct handle *handle);
/* Counts the lease as lost when it is time, if the file has locks. */
void locks_check_file(struct file *file);
/* The last user of the file is gone. */
void locks_file_free(struct file *file);

/* ---- for file_locks.c ---- */
/* May suspend. */
int locks_ensure_lease(struct locks *locks);
/* The keeper is to tell the row. */
void locks_owe(struct file_locks *fl);
void locks_used(struct locks *locks);

#endif
