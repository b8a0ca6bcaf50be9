/* sweep: finds what crashed clients have left on the rows, and repairs it: fsck. */
#ifndef RINGFS_SHARED_SWEEP_H
#define RINGFS_SHARED_SWEEP_H

#include "shared/namespace.h"
#include "shared/partitions.h"

/* It reads every directory's rows, wherever in the tree they are, and notes which contents and
 * directories they name; then it looks for what nobody names. The tree may change all the while.
 *
 * What is decided for good (a directory marked dying, a rename abandoned) is finished by the
 * namespace's own calls, which are safe at any time. What is removed because nobody names it is
 * looked at twice, the second time under a *barrier*: a row that clients look at (at most
 * BARRIER_KNOWN_SECONDS ago) before they move a name, link a file or bring back one that had no
 * name; while it stands they first note which contents or directory they are about to move. What
 * neither the second look nor the notes show has no name, and can get none: new names are made for
 * new contents only, and these are younger than `age_min_ns`. Schema: docs/schema.md.
 *
 * All functions here may suspend, and run in a task. */
enum {
    BARRIER_KNOWN_SECONDS = 5,    /* how long a client goes by what it read of the barrier */
    BARRIER_SETTLE_SECONDS = 30,  /* what was begun in ignorance of it has ended after this */
    BARRIER_RENEW_SECONDS = 60,   /* how often the sweep says that it is alive */
    SWEEP_FINDINGS_MAX = 1 << 18, /* kept for repair; beyond they are counted, and left */
    SWEEP_AT_ONCE_MAX = 64,
};

enum sweep_kind {
    SWEEP_CONTENTS,     /* blocks that no record names */
    SWEEP_UNNAMED,      /* an empty directory that no entry names: a crashed mkdir */
    SWEEP_LOST,         /* a directory with entries, but without a name or a header */
    SWEEP_DYING,        /* a directory that is being removed: a crashed rmdir */
    SWEEP_MOVE,         /* a name that is marked: a crashed rename or link */
    SWEEP_BACK_POINTER, /* a header that tells another place than where its name is */
    SWEEP_LINKS,        /* a list of a file's names that is not what names there are */
    SWEEP_POINTER,      /* a name of a file that is not there */
    SWEEP_LEASE,        /* the lease of a mount that died */
    SWEEP_LOCK,         /* locks of mounts whose lease has ended */
    SWEEP_CORRUPT,      /* an entry or header that cannot be read; never removed */
    SWEEP_NAMED_TWICE,  /* a directory with several names; never removed */
    SWEEP_LOOP,         /* directories that are in each other; never removed */
    SWEEP_KINDS,
};
/* One word, as in JSON and the table; and a sentence of what it is. */
const char *sweep_kind_name(enum sweep_kind kind);
const char *sweep_kind_text(enum sweep_kind kind);

/* Every partition there is. */
struct partition_source {
    void *self;
    uint16_t n_slices;
    /* Appends a page as partitions_page.listed to `listed`. Complete: what enough replicas hold to
     * be read is on it, or the answer is an error. May suspend. */
    int (*list)(void *self, const struct partitions_request *request, struct buffer *listed,
                bool *ret_more);
};

struct sweep_finding {
    enum sweep_kind kind;
    struct id128 id;        /* of the contents or directory; zeros when it is a name's matter */
    struct id128 directory; /* where the name is; zeros when there is none */
    char *name;             /* owned by the sweep; NULL = none */
    uint64_t n_blocks;      /* contents */
};

enum sweep_phase {
    SWEEP_READING,  /* directories: who is named where */
    SWEEP_LOOKING,  /* for contents that are not */
    SWEEP_SETTLING, /* waiting for all clients to heed the barrier */
    SWEEP_AGAIN,    /* reading once more */
    SWEEP_REMOVING,
    SWEEP_DONE,
};
/* How far it is; the caller's, brought up to date all the while. */
struct sweep_report {
    enum sweep_phase phase;
    uint32_t slices_done, n_slices; /* of the phase */
    uint64_t n_directories, n_entries, n_partitions;
    uint64_t n_young; /* too young to be judged */
    struct {
        uint64_t found, repaired, left;
    } kinds[SWEEP_KINDS];
    uint64_t n_blocks_removed;
};

struct sweep_config {
    struct namespace *ns;
    const struct partition_source *source;
    bool repair;
    uint64_t age_min_ns; /* what was changed later than this ago is left alone */
    uint32_t n_at_once;  /* slices read at the same time, 1..SWEEP_AT_ONCE_MAX */
    int64_t pause_ns;    /* between partitions, for those that have time */
    const bool *stop;    /* it ends with ERR_INTERRUPTED soon after this is set; NULL = never */
    /* Each finding, after its repair was tried: `status` 0 = repaired (or only looked for). */
    void (*found)(void *context, const struct sweep_finding *finding, int status);
    void *context;
};

/* The whole. 0; ERR_BUSY when a later sweep has taken its place; or what kept it from going
 * through: doing it again is harmless. `report` is zeroed first. The task's deadline is taken off:
 * each call of the store has its own. */
int sweep_run(const struct sweep_config *config, struct sweep_report *report);
/* Only the names below a directory, without looking for what has none. `source` is not used. */
int sweep_below(const struct sweep_config *config, const struct id128 *directory,
                struct sweep_report *report);
/* For contents that have no name and are in use (an open file that was unlinked): they are young
 * again. To be called more often than the least age that sweeps are run with. */
int sweep_touch(struct namespace *ns, const struct id128 *contents);
/* Whether it is this client's turn to sweep: 0 once in `every_ns` for one of all clients, else
 * ERR_BUSY. A turn that came to nothing is given back. */
int sweep_claim(struct namespace *ns, uint64_t every_ns);
int sweep_claim_return(struct namespace *ns);
/* Appends where it is and what it is called. */
void sweep_describe(struct namespace *ns, const struct sweep_finding *finding, struct buffer *into);

#endif
