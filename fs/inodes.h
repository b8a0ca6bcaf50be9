/* inodes: the files and directories that the kernel holds, and what was last read of each. */
#ifndef RINGFS_FS_INODES_H
#define RINGFS_FS_INODES_H

#include "fs/survivor.h"
#include "fs/watch.h"
#include "shared/namespace.h"

/* The kernel names a node by the inode number, which is the record's: random and for life, so that
 * an inode met again under another name is the same inode, and a number never comes back for
 * another file (generation is always 0).
 *
 * An inode lives while the kernel has looked it up or somebody here pins it; and while it is known
 * when it was read ahead, or when the kernel has forgotten it and what is known is the latest (of a
 * directory: while changes are told). What was read of it
 * (`known`) is a cache: at most `known_max` are kept, the least recently used goes first, those of
 * open files stay. It is never taken from a reading that began before a change made by this mount
 * was done: readings and changes are ordered by a clock (inodes_clock()). One thread; nothing here
 * suspends. */
enum {
    INODES_KNOWN_MAX = 16384,          /* about 1 KiB each, and beside that in all: */
    INODES_KNOWN_BYTES_MAX = 48 << 20, /* inline contents and extended attributes */
    INODES_UNMADE_MAX = SURVIVOR_UNMADE_MAX,
};

struct file;
struct inode;

struct known {
    struct inode *inode;
    struct known *newer, *older;
    int64_t read_ns;  /* monotonic */
    uint64_t covered; /* watch.h: the latest while the directory's watch says so; 0 = may be old */
    struct entry entry;                     /* not of directories */
    struct directory_attributes attributes; /* of directories; owned */
    size_t n_bytes;                         /* contents and attributes that it holds */
};

struct inode {
    uint64_t ino;
    struct inode *next; /* in its bucket */
    uint64_t n_lookups; /* what the kernel will forget */
    uint32_t n_pins;    /* operations under way, open files */
    uint64_t changed;   /* the clock after this mount's last change of it */
    bool is_directory;
    bool ahead;                  /* it is known, and the kernel does not hold it */
    bool gone;                   /* its last name was removed or replaced by this mount */
    bool linked;                 /* it has several names or had: read by number, not by name */
    struct id128 directory;      /* directories: their id */
    struct id128 parent;         /* the place: where its entry is, or one of them */
    char *name;                  /* owned; "" for the root */
    struct known *known;         /* owned; NULL = has to be read */
    struct file *file;           /* its open file; NULL when not open */
    struct survivor_inode *kept; /* what the next worker will know of it; NULL = nothing */
    struct watch *watch;         /* directories: NULL = changes are not told */
    /* Of which version the kernel may still hold pages; zeros = of none. */
    struct op_id kernel_version;
    bool unmade;       /* a file that exists in this mount only: unmade.h */
    bool doubtful;     /* an earlier worker may have stored it even so */
    bool making;       /* it is being stored */
    uint32_t n_unmade; /* directories: such files in it... */
    int64_t unmade_ns; /* ...and the time of the latest, wall clock */
};

/* A file that is not stored yet, and its directory; both are pinned. */
struct unmade {
    struct inode *inode, *directory; /* NULL = free */
};

struct inodes {
    struct inode **buckets;
    uint32_t n_buckets; /* a power of two */
    uint32_t n;
    uint32_t n_known, known_max;
    size_t n_known_bytes;
    struct known *newest, *oldest;
    uint64_t clock;
    struct inode *root;        /* always there */
    struct survivor *survivor; /* NULL = nothing survives this process */
    struct watches watches;
    struct unmade unmade[INODES_UNMADE_MAX]; /* at the places that the survivor has them */
    uint32_t n_unmade;
};

/* Holds the root and nothing else. */
void inodes_init(struct inodes *inodes, uint32_t known_max);
/* From now on what the kernel holds is kept in `survivor` (borrowed) too, and what an earlier
 * worker has left there is restored. Before anything is added. Answers how many inodes were found.
 */
uint32_t inodes_survive(struct inodes *inodes, struct survivor *survivor);
/* Of an inode whose name is gone: the next worker is to know what is known now. */
void inodes_keep_gone(struct inodes *inodes, const struct inode *inode);
/* Notes what of an inode's file was told to programs and is not stored yet. */
void inode_set_dirt(struct inode *inode, enum survivor_dirt dirt);
/* Makes another directory than the tree's root the one that the kernel calls its root; its number
 * stays 1. Before anything is looked up. */
void inodes_set_root(struct inodes *inodes, const struct id128 *directory);
/* Frees all, looked up or not. Nothing may be pinned. */
void inodes_release(struct inodes *inodes);

/* NULL when the kernel never looked it up or forgot it. */
struct inode *inodes_find(const struct inodes *inodes, uint64_t ino);
/* The inode of a directory by its id. */
struct inode *inodes_directory(const struct inodes *inodes, const struct id128 *directory);
/* The inode of an entry that a reading begun at clock `began` found; made when there is none; at
 * the place that the entry says, unless this mount has changed it since. What was read is not
 * learnt yet: see inodes_learn(). Pin the inode before suspending. */
struct inode *inodes_add(struct inodes *inodes, const struct entry *entry, uint64_t began);
/* The kernel was told of it once more. */
void inodes_looked_up(struct inode *inode);
/* The kernel gave up `n` look-ups; the inode may be freed then. An unknown number or too many
 * is ignored: the kernel's bytes. */
void inodes_forget(struct inodes *inodes, uint64_t ino, uint64_t n);
void inode_pin(struct inode *inode);
void inode_unpin(struct inodes *inodes, struct inode *inode);

/* The clock, to be noted before a reading begins. */
uint64_t inodes_clock(const struct inodes *inodes);
/* Takes what a reading that began at clock `began` found; copied. False, and nothing taken, when
 * this mount has changed the inode since. */
bool inodes_learn(struct inodes *inodes, struct inode *inode, const struct entry *entry,
                  uint64_t began, int64_t now_ns);
/* The same of an entry (of no directory) that the kernel may look up soon: its inode is made when
 * there is none, and lives as long as it is known. */
void inodes_learn_ahead(struct inodes *inodes, const struct entry *entry, uint64_t began,
                        int64_t now_ns);
bool inodes_learn_directory(struct inodes *inodes, struct inode *inode,
                            const struct directory_attributes *attributes, uint64_t began,
                            int64_t now_ns);
/* A change by this mount was done: readings that began before are not taken any more. */
void inodes_changed(struct inodes *inodes, struct inode *inode);
/* This mount moved it; counts as a change. */
void inodes_move(struct inodes *inodes, struct inode *inode, const struct id128 *parent,
                 const char *name);
/* Its name is gone; counts as a change. What is known of it stays. */
void inodes_gone(struct inodes *inodes, struct inode *inode);
/* What is known, when it was read within `age_ns`; NULL otherwise. Good until the task suspends. */
struct known *inodes_known(struct inodes *inodes, struct inode *inode, int64_t now_ns,
                           int64_t age_ns);

/* Whether what is known is the latest, however long ago it was read. */
bool inodes_is_covered(const struct inodes *inodes, const struct inode *inode);
/* What is known now was made by this mount, in an operation that began then: another change may
 * have come in between. */
void inodes_cover(struct inodes *inodes, struct inode *inode, uint64_t began);
/* It may be old from now on; the kernel is told when it may believe otherwise. */
void inodes_uncover(struct inodes *inodes, struct known *known);
/* The same by an operation of this mount, after which the kernel asks by itself. */
void inodes_uncover_ours(struct inodes *inodes, struct known *known);

/* Tells the kernel to believe no attributes: a former process of the mount may have given it some
 * for long. */
void inodes_doubt_kernel(const struct inodes *inodes);

/* ---- files that are not stored yet ---- */
/* What is known of the inode is all that there is of it: kept for the next worker. False when there
 * is no room; then nothing has happened. */
bool inodes_begin_unmade(struct inodes *inodes, struct inode *inode, struct inode *directory);
/* It is stored, or given up. The caller holds a pin. */
void inodes_end_unmade(struct inodes *inodes, struct inode *inode);
/* The one of this name in the directory, or with NULL any one; NULL when there is none. */
struct inode *inodes_find_unmade(const struct inodes *inodes, const struct inode *directory,
                                 const char *name);
/* The directory of an inode that is unmade. */
struct inode *inodes_unmade_directory(const struct inodes *inodes, const struct inode *inode);

/* The path of an inode as far as it is known here, for people: "/a/b", "?/b" when a parent was
 * forgotten. Always terminated, cut at `size`. */
void inodes_path(const struct inodes *inodes, uint64_t ino, char *ret, size_t size);

/* The invariants; asserts. */
void inodes_check(const struct inodes *inodes);

#endif
