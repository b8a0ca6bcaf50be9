/* sweep_inside: what the parts of the sweep share. Private to sweep*.c. */
#ifndef RINGFS_SHARED_SWEEP_INSIDE_H
#define RINGFS_SHARED_SWEEP_INSIDE_H

#include "shared/id_table.h"
#include "shared/namespace_rows.h"
#include "shared/sweep.h"
#include "shared/task.h"

/* What one reading of all directories shows. */
struct sweep_directory {
    struct id128 id;
    struct id128 parent;   /* where it is named; of several, the last met */
    uint64_t place;        /* a hash of parent and name; 0 = no name that stands */
    uint64_t header_place; /* the same of the header's back-pointer */
    uint64_t changed_ns;   /* when rows of it last came or went */
    uint64_t n_entries;    /* what its partitions count, the header included */
    uint8_t header;        /* enum directory_state; 0 = none */
    uint8_t n_names;       /* up to 255; those that are moving away count */
    bool moving;           /* one of its names is */
    bool unreadable;       /* rows of it are: nothing can be said */
    uint8_t reach;         /* enum reach */
};
enum reach {
    REACH_UNKNOWN,
    REACH_WALKED, /* by the walk under way */
    REACH_ENDS,   /* upwards, at the root or at a directory without a name */
    REACH_LOOPS,
};

/* A file with several names, by its file id. */
struct sweep_file {
    struct id128 id;
    struct id128 directory; /* where a name of it is */
    uint64_t changed_ns;    /* when its row, or one of its names, was written last */
    uint32_t n_listed;      /* names in its row */
    uint32_t n_pointers;    /* names met */
    bool has_row, unreadable;
};

struct sweep_index {
    struct id_table directories; /* struct sweep_directory */
    struct id_table contents;    /* struct id128: named by a record */
    struct id_table files;       /* struct sweep_file */
    uint64_t n_unreadable;       /* rows that may name contents nobody knows of */
};
void sweep_index_init(struct sweep_index *index);
void sweep_index_release(struct sweep_index *index);

/* Contents that no record named. */
struct sweep_suspect {
    struct id128 id;
    uint64_t newest_ns;
    uint64_t n_blocks;
    bool kept; /* after all */
};

struct sweep {
    const struct sweep_config *config;
    struct sweep_report *report;
    struct namespace *ns;
    uint64_t cut_ns; /* what was changed later is young */
    struct sweep_index index;
    struct id_table suspects; /* struct sweep_suspect */
    struct sweep_finding *findings;
    uint32_t n_findings, findings_capacity;
    bool collecting; /* findings are taken; not so when reading once more */
    /* The barrier, while it is held; else the token is zeros. */
    struct id128 token;
    struct bytes barrier_seen; /* owned: its row's context */
    uint64_t renewed_ns;
};

/* May suspend, for config->pause_ns. ERR_INTERRUPTED when the sweep is to stop. */
int sweep_pause(const struct sweep *sweep, int64_t ns);

/* ---- sweep_read.c ---- */

/* Walks over all partitions whose keys have this size, slice by slice, several at once. */
struct partition_walk {
    struct sweep *sweep;
    uint8_t key_size;
    int (*each)(struct sweep *sweep, const struct partition_tally *partition);
};
int sweep_partitions(const struct partition_walk *walk);
/* Reads one partition of a directory into the index. */
int sweep_read_directory(struct sweep *sweep, const struct partition_tally *partition);
/* Reads all of them. */
int sweep_read_all(struct sweep *sweep);
/* Fills the suspects: contents without a name that are not young. */
int sweep_look(struct sweep *sweep);
/* Reads a partition's rows, page by page; ends with the first answer of `each` that is not 0. */
typedef int sweep_row(void *context, struct bytes sort_key, const struct versions *versions);
int sweep_rows(struct sweep *sweep, struct bytes partition_key, store_options options,
               sweep_row *each, void *context);
/* Takes a finding; `name` is copied, NULL = none. */
void sweep_find(struct sweep *sweep, const struct sweep_finding *finding);
/* Of a place in the tree, never 0. */
uint64_t sweep_place(const struct id128 *parent, const char *name);

/* ---- sweep_links.c ---- */

/* Of a struct sweep_file. */
uint64_t sweep_file_id(const struct id128 *id);
/* A name that points to a file's own row. */
void sweep_take_pointer(struct sweep *sweep, const struct id128 *directory, uint64_t file_id,
                        uint64_t stamp_ns);
/* Reads all files' own rows. */
int sweep_read_files(struct sweep *sweep);
void sweep_conclude_files(struct sweep *sweep);
int sweep_repair_links(struct sweep *sweep, const struct sweep_finding *finding);
int sweep_repair_pointer(struct sweep *sweep, const struct sweep_finding *finding);

/* ---- sweep_locks.c ---- */

/* All leases, and all rows of locks: findings to be looked at, few of which are any. */
int sweep_read_leases(struct sweep *sweep);
int sweep_read_locks(struct sweep *sweep);
int sweep_repair_lease(struct sweep *sweep, const struct sweep_finding *finding);
int sweep_repair_lock(struct sweep *sweep, const struct sweep_finding *finding);

/* ---- sweep_repair.c ---- */

/* Answers of repairs: 0 = it was so, and is repaired if it is to be; SWEEP_GONE = it is not so, or
 * not any more; else why it is left. */
enum { SWEEP_GONE = 1 };

/* What a directory calls another directory, or a file with several names. */
struct name_search {
    const struct id128 *child; /* NULL: the file */
    uint64_t file_id;
    const struct record *listed; /* NULL, or names of the file that it lists do not count */
    struct id128 parent;         /* sweep_search() sets it */
    uint32_t n;
    char name[NAME_SIZE_MAX + 1]; /* the last one */
    struct record record;         /* numbers only */
};
int sweep_search(struct sweep *sweep, const struct id128 *parent, struct name_search *search);

/* Tries to repair a finding that needs no barrier, or a directory's under one. */
int sweep_repair(struct sweep *sweep, const struct sweep_finding *finding);
/* Removes the suspects that nothing keeps. */
int sweep_remove_contents(struct sweep *sweep);

/* ---- sweep_barrier.c; the clients' side is in sweep_barrier.h ---- */

/* Puts the barrier up, in place of another sweep's, which then ends. */
int barrier_raise(struct sweep *sweep);
/* Says that the sweep is alive, when it is time. ERR_BUSY when another one has taken its place. */
int barrier_renew(struct sweep *sweep);
/* Adds what clients noted to the index: contents and directories alike. */
int barrier_notes(struct sweep *sweep);
/* Takes it down, and the notes away. What fails expires. */
void barrier_lower(struct sweep *sweep);

#endif
