/* file_locks: the locks on one open file, in memory and in its row. */
#ifndef RINGFS_FS_FILE_LOCKS_H
#define RINGFS_FS_FILE_LOCKS_H

#include "fs/lease.h"

/* What this mount's programs hold (`ours`) and what other mounts hold (`others`, as last seen). To
 * lock: the row is written on the condition that it is as we know it, one round trip when nobody
 * else came between. To unlock: memory first, then the row; what could not be told to the row is a
 * debt, paid by the keeper (locks.h).
 *
 * With a lock come the caches: before one is given up everything written is stored; who gets one
 * after others had it reads the entry anew and has the kernel's pages dropped. */

/* By which handle an owner locked: OFD locks go with their handle. */
struct claim {
    const void *handle;
    uint64_t owner;
};

struct locks;

/* From the first lock on an open file until its last close. */
struct file_locks {
    struct locks *locks;
    struct file *file;
    struct file_locks *next, **link; /* among all */
    struct lock_table ours, others;
    struct lock_row row; /* as last read or written */
    uint64_t n_changes;  /* of ours */
    uint64_t n_told;     /* how many of them the row has */
    bool indebted;       /* the keeper will tell the rest; counts as a user of the file */
    bool touched;        /* others had a lock since what is cached was read */
    bool busy;           /* somebody reads or writes the row */
    struct task_queue turn;
    bool looked_after;         /* a waiter reads the row now and then */
    struct task_queue changed; /* woken when a lock may have become free */
    struct claim *claims;      /* owned */
    uint32_t n_claims, claims_capacity;
};

/* ---- at once ---- */
struct file_locks *file_locks_new(struct locks *locks, struct file *file);
/* Nothing may be held, owed or waited for. */
void file_locks_free(struct file_locks *fl);
/* What keeps `lock` from being set, as far as is known; NULL = nothing. */
const struct lock *file_locks_conflict(const struct file_locks *fl, const struct lock *lock);
bool file_locks_told(const struct file_locks *fl);
/* Everything that was held is void, and the row is not this mount's business any more. */
void file_locks_lose(struct file_locks *fl);
void file_locks_claim(struct file_locks *fl, const void *handle, uint64_t owner);
void file_locks_unclaim(struct file_locks *fl, const void *handle, uint64_t owner);
/* An owner that has a claim by the handle, which is given up; false = there is none. */
bool file_locks_next_claim(struct file_locks *fl, const void *handle, uint64_t *ret_owner);

/* ---- may suspend ---- */
/* Sets the lock if nothing keeps it from being set; lock->mount is filled in. ERR_LOCKED. */
int file_locks_try(struct file_locks *fl, struct lock *lock);
/* Reads the row, and takes out the locks of a dead mount that are in the way of `lock`. */
int file_locks_look(struct file_locks *fl, const struct lock *lock);
/* Takes as ours what the row has of ours: an earlier worker wrote it. */
int file_locks_resume(struct file_locks *fl);
/* Gives up a range. ERR_NO_LOCKS only: what the row was not told is a debt. */
int file_locks_give_up(struct file_locks *fl, const struct lock *lock);
/* Tells the row all changes of ours. */
int file_locks_tell(struct file_locks *fl);

#endif
