/* mount: what the operations of one mounted ringfs share. */
#ifndef RINGFS_FS_MOUNT_H
#define RINGFS_FS_MOUNT_H

#include "fs/block_cache.h"
#include "fs/handles.h"
#include "fs/inodes.h"
#include "shared/err.h"
#include "shared/task.h"

/* Operations (tree.h, attributes.h, directory.h, file.h) run as tasks of `tasks`, take plain types,
 * and answer 0 or an error of err.h. One thread; what an operation read from here before it
 * suspended is stale afterwards, unless it holds a pin or a file's turn. */
enum {
    /* Bytes of blocks in memory: writers wait beyond; what is cached has the room that they leave.
     */
    MOUNT_DIRTY_MAX = 64 << 20,
    MOUNT_REMOVALS_MAX = 16384,      /* contents waiting for removal; beyond, left to the sweeper */
    MOUNT_WRITEBACK_NS = 1000000000, /* how old a buffered change may get */
    MOUNT_REMOVERS_MAX = 4,          /* contents being removed at a time */
    MOUNT_SLEEPERS_MAX = 16,         /* tasks that look after something now and then */
    MOUNT_REFRESH_MAX = 8,           /* readings overtaken by changes before ERR_BUSY */
};
/* Ages for mount_refresh(). */
#define MOUNT_ANY_AGE INT64_MAX
#define MOUNT_READ_NOW (-1)

/* Which reading of a file is noted: none, those of relatime in mount(8), or every one. */
enum atime_policy { ATIME_NEVER = 0, ATIME_RELATIVE = 1, ATIME_ALWAYS = 2 };

struct mount_config {
    struct survivor *survivor; /* NULL = nothing survives this process */
    struct namespace *ns;
    struct store *store; /* for the time of day */
    struct tasks *tasks;
    int64_t (*now_ns)(void *clock); /* monotonic */
    void *clock;
    int64_t timeout_ns;            /* of one operation, and of each write in the background */
    int64_t attributes_ns;         /* how long attributes may be answered from memory */
    int64_t watched_ns;            /* the same while the cluster tells of changes */
    int64_t names_ns;              /* how long the kernel may hold names of which it is told */
    const struct watcher *watcher; /* borrowed; NULL = it does not */
    bool believes_at_open;         /* an opening does not ask while changes are told */
    enum atime_policy atime;
    int64_t keep_ns;     /* how long blocks of a removed file are kept for others; 0 = not */
    bool hide_conflicts; /* versions that lost their name are in no listing */
    /* Appends where a partition lies, for people; NULL = nobody knows. */
    void (*print_replicas)(void *replicas, struct bytes partition_key, struct buffer *into);
    void *replicas;
    /* May suspend: until all that the nodes have acknowledged is on their disks. 0, or an error
     * when not all of them say so. NULL = nobody can be asked. */
    int (*sync_nodes)(void *nodes);
    void *nodes;
};

/* Sizes as statfs(2) tells them: what the cluster can hold of distinct bytes. */
struct capacity {
    uint64_t bytes_total, bytes_free;
};

struct removal {
    struct id128 contents;
    struct extents stored;
    int64_t due_ns; /* of one that is kept: monotonic */
    struct removal *next;
};

struct mount {
    struct mount_config config;
    struct inodes inodes;
    struct handles handles;
    struct capacity capacity;

    struct file *files;   /* open ones, listed */
    struct entry pointer; /* mount_keep_pointer(); record.mode 0 = none */
    struct locks *locks;  /* NULL = the kernel's own, on this mount only */
    uint64_t n_dirty_bytes;
    struct task_queue room; /* woken when n_dirty_bytes falls */
    struct task_queue made; /* woken when an attempt to store an unmade file has ended */
    struct block_cache cached;

    struct removal *removals, **removals_end;
    uint32_t n_removals;
    uint32_t n_removers;              /* tasks that are at it */
    struct removal *kept, **kept_end; /* the earliest first: holds.h */
    uint32_t n_kept;
    bool keeping;    /* a task waits for the first of them */
    uint64_t holder; /* by which others know this mount's holds */

    struct task *sleepers[MOUNT_SLEEPERS_MAX]; /* in mount_pause() */
    bool stopping;                             /* nothing is to wait in the background any more */
    uint32_t n_background;                     /* tasks that no operation waits for */
    uint32_t n_pages_ahead;                    /* page_ahead.h */
    struct task_queue idle;                    /* woken when one of them ends */

    uint64_t n_removals_failed; /* left to the sweeper */
    uint32_t n_losses;          /* openings whose writes an earlier worker took with it */
    uint64_t n_writes_lost;     /* buffered changes given up after the last close */
};

/* Copies the configuration, borrows what it points to. What an earlier worker has left in the
 * survivor is there again. */
void mount_init(struct mount *mount, const struct mount_config *config);
/* No operation and no task in the background may be under way. Frees all. */
void mount_release(struct mount *mount);

/* Monotonic. */
int64_t mount_now_ns(const struct mount *mount);
/* Time of day, ns since 1970, for file times. */
int64_t mount_wall_ns(const struct mount *mount);
/* After n_dirty_bytes has grown, or the cache: drops cached blocks that have no room. */
void mount_fit_cached(struct mount *mount);
/* Runs fn(arg) in a task of its own, with the deadline of one operation; right here when there can
 * be no further task (may suspend then). The function ends with mount_background_done(). */
void mount_background(struct mount *mount, void (*fn)(void *arg), void *arg);
void mount_background_done(struct mount *mount);
/* May suspend: for `ns`, without a deadline. False when the mount is stopping. For tasks that look
 * after something now and then, at most MOUNT_SLEEPERS_MAX of them. */
bool mount_pause(struct mount *mount, int64_t ns);
/* May suspend: until no task is in the background; those that pause end. */
void mount_stop_background(struct mount *mount);
/* Removes the blocks of contents that no record names any more, in the background. */
void mount_remove_contents(struct mount *mount, const struct id128 *contents,
                           const struct extents *stored);

/* The inode of a number that the kernel uses, pinned: unpin it. ERR_STALE when there is none. */
int mount_pin(struct mount *mount, uint64_t ino, struct inode **ret);
/* The same for a directory that operations can go on in. */
int mount_pin_directory(struct mount *mount, uint64_t ino, struct inode **ret);
void mount_unpin(struct mount *mount, struct inode *inode);

/* An operation that began at clock `began` has made the name stand for `ino` (0: removed it); or it
 * has failed, and nobody knows. */
void mount_note_name(struct mount *mount, struct inode *directory, const char *name, int status,
                     uint64_t ino, uint64_t began);
/* Names came to a directory or left it, and its times changed with that: the kernel asks at once.
 * `changed_ns` 0: they have to be read again. */
void mount_touch_directory(struct mount *mount, struct inode *directory, int64_t n_more,
                           int64_t changed_ns);

/* What namespace_link_known() has told of a file's first name; taken over. The last one is kept:
 * who links a file to its final name removes the first next. */
void mount_keep_pointer(struct mount *mount, const struct entry *pointer);
/* The same of this name, with what is known of its file, for namespace_unlink_pointer(): true once,
 * when it is the one that is kept. Both owned. */
bool mount_take_pointer(struct mount *mount, const struct inode *directory, const char *name,
                        struct entry *ret_pointer, struct entry *ret_file);

/* May suspend: what is stored of a file, wherever it is; not learnt. ERR_STALE when it is gone. */
int mount_read(struct mount *mount, const struct inode *inode, struct entry *ret);
/* May suspend: until inode->known is there and was read within `age_ns` (MOUNT_ANY_AGE: whenever).
 * ERR_STALE when the inode is gone; what is known of one that this mount removed stays good. */
int mount_refresh(struct mount *mount, struct inode *inode, int64_t age_ns);
/* How long what is known of an inode is good. */
int64_t mount_good_ns(const struct mount *mount, const struct inode *inode);
/* May suspend: until what is known of the inode is good. */
int mount_refresh_good(struct mount *mount, struct inode *inode);
/* Whether what is known of a file is what a quorum would say at this moment: leases run, and cover
 * it. */
bool mount_is_leased(const struct mount *mount, const struct inode *inode);
/* May suspend: until what is known of a file is what a quorum has said since the call, or would at
 * its end. */
int mount_refresh_now(struct mount *mount, struct inode *inode);
/* May suspend. Changes the record of an inode that is no directory: namespace_update() where it is
 * now, and learns the outcome. One that this mount removed is changed in memory only; one that is
 * not stored yet is stored (unmade.h). */
int mount_update(struct mount *mount, struct inode *inode,
                 int (*change)(void *context, struct record *record), void *context, bool synced);

#endif
