/* disk_committer: one thread that writes commits in groups, and the rule when to do without it. */
#ifndef RINGFS_NODE_DISK_COMMITTER_H
#define RINGFS_NODE_DISK_COMMITTER_H

#include "node/core/disk.h"

/* Group commit: whatever was asked for while the last group was being written goes into the next,
 * so that many callers share one fsync. Knows no storage engine: the engine is `write`. A group
 * that nobody wants synced and that is small is written by the loop thread itself while the
 * committer has nothing to do, because two thread switches cost more than the write; a write that
 * took long sends the following ones to the thread for a while, so a stalled engine never holds the
 * loop for long twice in a row. What was written unsynced is synced DISK_SYNC_AFTER_MS later.
 *
 * submit and take are the loop thread's; everything else says so. */
#define DISK_BACKGROUND_NONE INT64_MAX

enum {
    DISK_SYNC_AFTER_MS = 800,         /* the promise is one second; the rest is for the fsync */
    DISK_GROUP_BYTES_MAX = 8 << 20,   /* of one group: bounds how long its callers wait */
    DISK_INLINE_BYTES_MAX = 32 << 10, /* of a group written on the loop thread */
    DISK_INLINE_SLOW_US = 2000,       /* a write of the loop thread that took longer ... */
    DISK_INLINE_PAUSE_MS = 100,       /* ... sends the next ones to the committer this long */
};

struct disk_committer;

struct disk_committer_config {
    /* Writes a list of commits (linked by `next`) as one group, in order. NULL list with `synced`:
     * makes everything written before durable. 0 or an error of err.h. */
    int (*write)(void *self, struct disk_commit *list, bool synced);
    /* May be NULL. The engine's own housekeeping, one short step of it: the thread calls it between
     * groups, and returns how many ns later it wants to be called again, or
     * DISK_BACKGROUND_NONE: when something has been written or synced. Sets *ret_wrote if it wrote
     * what is still to be synced. Of write and background, one runs at a time. */
    int64_t (*background)(void *self, bool *ret_wrote);
    void *self;
    bool never_inline; /* every group goes through the thread: for comparison */
};

/* Commits that ended together. */
struct disk_group {
    struct disk_commit *list;
    int status;
    struct disk_group *next;
};

/* Starts the thread (all signals blocked in it). ERR_IO. */
int disk_committer_start(const struct disk_committer_config *config, struct disk_committer **ret);
/* Writes what is queued, syncs what is not, ends the thread. What finished stays to be taken. */
void disk_committer_stop(struct disk_committer *committer);
/* Of a stopped one. Everything must have been taken. */
void disk_committer_free(struct disk_committer *committer);

/* Becomes readable when a group of the thread has ended; the reader resets it. */
int disk_committer_event_fd(const struct disk_committer *committer);
/* Hands over a non-empty list, `size` bytes in all: written before this returns, or later. */
void disk_committer_submit(struct disk_committer *committer, struct disk_commit *list, size_t size);
/* The groups that have ended, oldest first, NULL when none; free() each. */
struct disk_group *disk_committer_take(struct disk_committer *committer);

/* The monotonic clock, in ns. Any thread. */
int64_t disk_now_ns(void);

/* Bytes of keys and values. */
size_t disk_commit_size(const struct disk_commit *commit);

#endif
