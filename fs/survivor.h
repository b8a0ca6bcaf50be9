/* survivor: what a worker leaves to the one that takes over: memory that outlives it. */
#ifndef RINGFS_FS_SURVIVOR_H
#define RINGFS_FS_SURVIVOR_H

#include <limits.h>

#include "shared/record.h"

/* The supervisor holds the memory (a memfd), one worker at a time writes it. A worker may end at
 * any instruction: whatever is found is a legal state. What is stored in a slot becomes visible
 * with its first field, which is stored last and cleared first; of two slots of one inode the
 * larger sequence number holds. Free lists and indexes are the worker's own and are made anew.
 *
 * All zeros is the empty state. The layout belongs to one version (SURVIVOR_VERSION); a worker of
 * another begins with nothing, and programs meet ESTALE where they had something open.
 *
 * Beyond the bounds below things work as ever and are not remembered: after a take-over they are
 * ESTALE. One thread. */
enum {
    SURVIVOR_VERSION = 6,
    SURVIVOR_INODES_MAX = 1 << 20, /* of 128 bytes; memory is taken as they come */
    SURVIVOR_HANDLES_MAX = 1 << 16,
    SURVIVOR_REQUESTS_MAX = 2048,
    SURVIVOR_INIT_MAX = 256,
    SURVIVOR_GONE_MAX = 256,    /* files that have lost their name and are open */
    SURVIVOR_GONE_BYTES = 8176, /* of such a file's record; larger ones are not remembered */
    SURVIVOR_UNMADE_MAX = 64,   /* files whose name is not stored yet; records as large */
    SURVIVOR_NEW_MAX = 64,      /* new small files whose contents are not stored yet */
    SURVIVOR_NEW_BYTES = RECORD_INLINE_MAX, /* of such contents */
    SURVIVOR_NAME_INSIDE = 68, /* bytes of a name in its slot; the rest in one or two others */
};

/* The mount's lease, for which its locks are held: see lease.h. */
struct survivor_lease {
    uint64_t valid; /* stored last */
    struct id128 id;
};

struct survivor_header {
    uint64_t magic;    /* stored last */
    uint32_t n_inodes; /* slots ever used */
    uint32_t n_takeovers;
    uint32_t crashed;   /* the last worker ended by a fault of its own */
    uint32_t init_size; /* the kernel's first request, to be told to libfuse again; 0 = none yet */
    uint32_t wanted;    /* what was agreed with the kernel: libfuse's FUSE_CAP_ */
    uint8_t init[SURVIVOR_INIT_MAX];
    uint64_t device; /* of the mount, as makedev(3) puts it */
    struct survivor_lease lease;
    char mountpoint[PATH_MAX]; /* absolute */
    char directory[PATH_MAX];  /* where the command line's relative paths begin */
};

/* What was told to a program and is not stored yet. */
enum survivor_dirt { SURVIVOR_CLEAN = 0, SURVIVOR_TRUNCATED = 1, SURVIVOR_WRITTEN = 2 };

struct survivor_inode {
    uint64_t ino; /* 0 = free */
    uint64_t n_lookups;
    struct id128 directory, parent;
    uint32_t more; /* the slot with the name's rest; 0 = there is none */
    uint32_t sequence;
    uint8_t name_size;
    uint8_t is_directory;
    uint8_t gone;
    uint8_t dirt;
    char name[SURVIVOR_NAME_INSIDE];
};

enum survivor_kind { SURVIVOR_FILE = 1, SURVIVOR_DIRECTORY = 2 };

struct survivor_handle {
    uint64_t ino;     /* 0 = free */
    uint64_t request; /* that opened it */
    int32_t flags;    /* of open(2) */
    uint8_t kind;
    uint8_t lost;        /* writes that were acknowledged are lost: to be told, once */
    uint8_t redo;        /* its truncation was acknowledged and is to be done again */
    uint8_t locked;      /* it was locked through it, now or earlier */
    uint64_t lock_owner; /* whose fcntl lock that was last */
    /* What was set and waits for the file's next record: file_attributes.h. */
    int64_t atime_ns, mtime_ns, ctime_ns;
    uint32_t mode, uid, gid;
    uint32_t unused;
    uint64_t waiting; /* mask of what does; stored after it */
};

struct survivor_request {
    uint64_t unique;  /* the kernel's number; 0 = free */
    int64_t began_ns; /* wall clock, of the first time; the times of what it makes */
    uint32_t n_tries; /* workers that have had it, but for those that somebody else ended */
    uint32_t unused;
};

/* A record that is stored nowhere else. */
struct survivor_gone {
    uint64_t ino; /* 0 = free */
    uint32_t size;
    uint32_t unused;
    uint8_t record[SURVIVOR_GONE_BYTES];
};

struct survivor_new {
    uint64_t ino; /* 0 = free */
    uint32_t size;
    uint32_t unused;
    uint8_t data[SURVIVOR_NEW_BYTES];
};

struct survivor;

/* Bytes of memory that survivor_attach() needs; zeros at first. */
size_t survivor_size(void);
/* Takes the memory (borrowed) as it is. ERR_NOT_SUPPORTED: another version's, or not ours. */
int survivor_attach(void *memory, struct survivor **ret);
void survivor_detach(struct survivor *survivor);
struct survivor_header *survivor_header(struct survivor *survivor);

struct survivor_place {
    uint64_t ino;
    bool is_directory;
    const struct id128 *directory, *parent;
    const char *name;
};
/* Remembers where an inode is; `old` is what was remembered of it so far (NULL = nothing) and is
 * not to be used afterwards. NULL when there is no room. */
struct survivor_inode *survivor_put(struct survivor *survivor, struct survivor_inode *old,
                                    const struct survivor_place *place);
void survivor_drop(struct survivor *survivor, struct survivor_inode *inode);
/* All that is remembered, malformed slots left out. `name` is good for the call; each() may drop
 * the inode. The same ino may come twice: see `sequence`. */
void survivor_each(struct survivor *survivor,
                   void (*each)(void *context, struct survivor_inode *inode, const char *name),
                   void *context);

/* Remembers the encoded record of a file that has no name any more: it is stored nowhere else.
 * Replaces what was remembered of the inode; with no bytes it is forgotten. */
void survivor_put_gone(struct survivor *survivor, uint64_t ino, struct bytes record);
/* Slot `index` below SURVIVOR_GONE_MAX; NULL when it is free or damaged. */
const struct survivor_gone *survivor_gone(const struct survivor *survivor, uint32_t index);

/* Remembers the encoded record of a file whose name is not stored yet in slot `index` below
 * SURVIVOR_UNMADE_MAX; with no bytes it is forgotten. False when it is too large. */
bool survivor_put_unmade(struct survivor *survivor, uint32_t index, uint64_t ino,
                         struct bytes record);
/* NULL when the slot is free or damaged. */
const struct survivor_gone *survivor_unmade(const struct survivor *survivor, uint32_t index);

/* Remembers the contents, at most SURVIVOR_NEW_BYTES, of a file in which nothing is stored yet.
 * Replaces what was remembered of it; with no bytes it is forgotten. False when there is no room:
 * what was remembered before is still there. */
bool survivor_put_new(struct survivor *survivor, uint64_t ino, struct bytes data);
/* Slot `index` below SURVIVOR_NEW_MAX; NULL when it is free or damaged. */
const struct survivor_new *survivor_new(const struct survivor *survivor, uint32_t index);
/* What is remembered of a file; NULL = nothing. */
const struct survivor_new *survivor_find_new(const struct survivor *survivor, uint64_t ino);

/* Slot `index` below SURVIVOR_HANDLES_MAX; free at first. Fill it in, `ino` by survivor_publish().
 */
struct survivor_handle *survivor_handle(struct survivor *survivor, uint32_t index);
/* Stores the field that makes a slot valid, or free (0), after all that was stored before. */
void survivor_publish(uint64_t *field, uint64_t value);

/* A request is under way: the slot of an earlier try of it, or a new one. Never NULL. */
struct survivor_request *survivor_request(struct survivor *survivor, uint64_t unique,
                                          int64_t now_ns, bool again);
/* All requests that were under way, for a kernel that cannot send them again. */
void survivor_each_request(struct survivor *survivor, void (*each)(void *context, uint64_t unique),
                           void *context);

#endif
