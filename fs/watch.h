/* watch: directories whose changes are told by the cluster, and the names known of them. */
#ifndef RINGFS_FS_WATCH_H
#define RINGFS_FS_WATCH_H

#include "shared/namespace.h"

/* While a directory is watched and *live*, what was read of it and of its entries is the latest
 * until a change is told: attributes, names, and names that do not exist. What a reading found
 * counts only if the directory was live before the reading began and no change was told since (the
 * inodes' clock orders these): then the cluster tells of everything that the reading has missed.
 *
 * The cluster tells of a change a little after the operation that made it is done. While *leases*
 * run (shared/watch.h) it is told before: then an opening, too, need not ask.
 *
 * A directory of which all names are known is *complete*: a name that is not among them does not
 * exist, without asking. Names of versions in conflict (namespace_conflicts.h) are never kept: they
 * come and go with another row.
 *
 * The kernel may hold names for long that are known here (watch_give_name()): when a change of one
 * of them is told, or can be told no longer, all names of the mount are taken back, and which were
 * given counts from then on: an epoch. Where changes have been told of late, no names are given
 * for long, so that others' work in a directory does not cost the whole mount its names.
 *
 * Bounds: WATCH_DIRECTORIES_MAX; WATCH_NAMES_MAX in one, WATCH_NAMES_ALL_MAX in all. What finds no
 * room is simply not known here. One thread; nothing here suspends. */
#define WATCH_QUIET_NS 10000000000 /* without a change, before names are given for long again */
enum {
    WATCH_DIRECTORIES_MAX = 4096,
    WATCH_ENDED_AT_ONCE = 256, /* of those used longest ago, when there is no room for another */
    WATCH_NAMES_MAX = 8192,
    WATCH_NAMES_ALL_MAX = 65536,
    WATCH_PAGES_LEARNT = 16, /* a page of more is learnt each time */
    WATCH_TOLD_MAX = 32,     /* changes of a directory remembered by name */
    WATCH_MISSES = 2,        /* names that did not exist, before all are asked for */
    /* Names that did exist, before all are asked for with what they stand for: so many, and one of
     * as many names as there are. Not where there are more than WATCH_NAMES_MAX. */
    WATCH_ASKED = 4,
    WATCH_ASKED_PART = 64,
};

struct inode;
struct inodes;
struct known_name;

/* Who asks the cluster for changes: a client of it. `begin` may refuse. */
struct watcher {
    void *self;
    int (*begin)(void *self, struct bytes partition_key);
    void (*end)(void *self, struct bytes partition_key);
    /* Whether leases run at all replicas of it; NULL = never. */
    bool (*leased)(void *self, struct bytes partition_key);
};

/* What is told to the kernel: that attributes, or all names, which it was given for long are not
 * good any more. Must not wait for it. */
struct kernel_notices {
    void *self;
    void (*attributes)(void *self, uint64_t ino);
    bool (*may_hold_names)(void *self); /* for long; NULL = no */
    void (*names)(void *self);
};

struct told {
    uint64_t at; /* the clock when it was told */
    uint64_t name_hash;
};

/* The names of a page of a listing. */
struct learnt_page {
    uint64_t after; /* the cookie that it is behind */
    uint64_t digest;
    uint64_t at; /* the clock before it was read; 0 = there is none */
    int64_t read_ns;
};

/* Of one directory; owned by its inode. */
struct watch {
    struct inode *inode;
    struct watch *newer, *older;
    uint64_t since;                     /* the clock when it became live; 0 = it is not */
    uint64_t told;                      /* the clock when the last change was told */
    uint64_t refused;                   /* the clock when a name last found no room */
    struct told latest[WATCH_TOLD_MAX]; /* a ring */
    uint32_t n_told;
    uint32_t n_live;    /* of its partitions */
    uint32_t n_whole;   /* of these, those that all their replicas watch */
    uint32_t n_covered; /* readings that count as the latest because of it */
    uint64_t given;     /* the last epoch in which the kernel was given names for long... */
    uint64_t given_all; /* ...that a name is missing which is not among those known */
    uint64_t told_seen; /* `told` when a name was last to be given */
    int64_t quiet_ns;   /* from when on they are given for long */
    bool complete;      /* all names are known... */
    int64_t read_ns;    /* ...and were read then */
    uint64_t listed;    /* the clock before the last listing of all of them */
    uint64_t conflict;  /* the clock when a version in conflict was last met */
    bool large;         /* too many names to be complete */
    uint32_t n_misses;
    uint32_t n_asked; /* names that exist and were asked for one by one */
    struct known_name *names;
    uint32_t n_names;
    uint64_t doubted;                              /* the clock when a name was last doubted */
    struct learnt_page learnt[WATCH_PAGES_LEARNT]; /* by a remainder of `after` */
};

struct watches {
    struct inodes *inodes;
    const struct watcher *watcher; /* NULL = nothing is watched */
    struct kernel_notices kernel;  /* attributes NULL = nobody to tell */
    uint64_t epoch;                /* of names that the kernel holds, from 1 */
    struct watch *newest;
    uint32_t n, n_names;
    uint64_t n_told; /* changes, for the log */
};

/* Nothing is watched yet. Borrows both; `watcher` may be NULL. */
void watches_init(struct watches *watches, struct inodes *inodes, const struct watcher *watcher);
/* Begins to watch a directory that is being used, if there is room. */
void watch_use(struct watches *watches, struct inode *directory);
/* To be called before the inode goes. */
void watch_end(struct watches *watches, struct inode *directory);

/* What the cluster tells. `name` "": the directory's own header. */
void watch_live(struct watches *watches, const struct id128 *directory, bool live);
void watch_whole(struct watches *watches, const struct id128 *directory, bool whole);
void watch_told(struct watches *watches, const struct id128 *directory, const char *name);
/* Whether what counts as the latest in this directory is so beyond doubt, now: whatever anybody was
 * told was done before is in it. `directory` may be NULL. */
bool watch_leased(const struct watches *watches, const struct inode *directory);
/* Believes nothing of a directory's names that was read before now; harmless for what is no watched
 * directory. */
void watch_forget(struct watches *watches, struct inode *directory);
/* Believes nothing at all that was read before now. */
void watch_forget_all(struct watches *watches);

/* What to note beside a reading of a name's entry (NULL: of the directory) that began at clock
 * `began`: 0 = it may be old. It is the latest as long as the directory's watch->since is the same.
 * `watch` may be NULL. */
uint64_t watch_covers(const struct watch *watch, const char *name, uint64_t began);

/* ---- names ---- */
enum name_answer {
    NAME_UNKNOWN,
    NAME_MISSING,
    NAME_PRESENT,
};
/* What is known of a name from readings after `since_ns`; *ret_ino when it is present. */
enum name_answer watch_find(const struct inode *directory, const char *name, int64_t since_ns,
                            uint64_t *ret_ino);
/* Whether it is known from readings after `since_ns` that there is no such name, and not because
 * this mount has removed it: most likely nothing was ever stored under it. */
bool watch_is_new(const struct inode *directory, const char *name, int64_t since_ns);
/* Whether a change of the name leads to this inode. `watch` may be NULL. */
bool watch_tells(const struct watch *watch, const char *name, uint64_t ino);
/* A reading that began at `began` found this (ino 0: nothing), or this mount has made it so in an
 * operation that began then. */
void watch_learn_name(struct watches *watches, struct inode *directory, const char *name,
                      uint64_t ino, uint64_t began, int64_t now_ns);
/* The same when this mount made or removed it: readings that began before do not count. */
void watch_made_name(struct watches *watches, struct inode *directory, const char *name,
                     uint64_t ino, uint64_t began, int64_t now_ns);
/* What this mount knew of it may not be so any more. */
void watch_doubt_name(struct watches *watches, struct inode *directory, const char *name);
/* Whether the kernel may hold for long what watch_find() says of the name just now. When it is so,
 * what is given counts as given: it is taken back before anything else can be true. */
bool watch_give_name(struct watches *watches, struct inode *directory, const char *name,
                     int64_t now_ns);
/* Whether the kernel holds the name for long. */
bool watch_holds_name(const struct watches *watches, const struct inode *directory,
                      const char *name);
/* This mount has renamed something that the kernel held for long under its old name: it does so
 * under the new one. */
void watch_moved_name(struct watches *watches, struct inode *directory, const char *new_name);
/* All names that there are, in no order, when they are known from readings after `since_ns` and
 * versions in conflict are not among them: false when not, or when there are more than `max`. Good
 * until the task suspends. */
struct watch_name {
    const char *text;
    uint64_t ino;
};
bool watch_names(const struct inode *directory, int64_t since_ns, struct watch_name *ret,
                 uint32_t max, uint32_t *ret_n);
/* Whether the names of a page of a listing with this digest of names and inode numbers were learnt
 * after `since_ns`, and nothing known of the directory has changed since; and that they were. */
bool watch_knows_page(const struct inode *directory, uint64_t after, uint64_t digest,
                      int64_t since_ns);
void watch_learnt_page(struct inode *directory, const struct learnt_page *page);
/* A name was asked for by itself, and exists. */
void watch_asked(struct inode *directory);
/* Whether all names should be listed, because several were asked for that did not exist, or so many
 * that did that listing them costs less; not when they were since `since_ns`. */
bool watch_wants_names(const struct inode *directory, int64_t since_ns);
/* The same because of files that were asked for one by one, whether or not all names are known. */
bool watch_wants_records(const struct inode *directory);
/* They are being listed. */
void watch_begin_listing(struct inode *directory);
/* A listing of all names that began at `began` has come to its end; each was learnt. `all` false:
 * it was given up, there are too many. */
void watch_listed(struct inode *directory, uint64_t began, bool all, int64_t now_ns);

#endif
