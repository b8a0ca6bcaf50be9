/* rows: the values that somebody works on, in memory between the logic and the disk. */
#ifndef RINGFS_NODE_CORE_ROWS_H
#define RINGFS_NODE_CORE_ROWS_H

#include "node/core/blob.h"
#include "node/core/disk.h"
#include "shared/hash.h"

/* Rows, tallies and marks alike: a key of rowkey.h and a blob. To read or change some of them, hold
 * them: what is not in memory is loaded, and `ready` comes when all are there. From then until
 * rows_release() they stay in memory, and every change goes through them, so that two changes of
 * one row never lose one another: the second starts from the `newest` of the first, even while the
 * commit of the first is still under way. Readers take `durable`: what was committed.
 *
 * Holding excludes nobody (latch.h does); what is read from a row must be used before control goes
 * back to the loop, or compared again afterwards.
 *
 * A commit that fails leaves no trace but in later commits that were built on it before it failed.
 * Those may keep the rows that it brought; what was reckoned from it is spoilt.
 *
 * Small values that nobody holds stay cached up to ROWS_CACHE_BYTES, the least recently used go
 * first. Thousands of rows; one thread. */
enum {
    ROWS_CACHE_BYTES = 16 << 20,
    ROWS_CACHED_VALUE_MAX = 8 << 10,
    ROWS_HELD_INLINE = 4,
};

struct rows;
struct row_pin;

struct row {
    struct bytes key; /* owned */
    /* The value once the commits in flight are done, and whether it could be loaded: 0,
     * ERR_CORRUPT or ERR_DISK (then `newest` is NULL). */
    struct blob *newest;
    int newest_status;
    /* The same of what is on the disk. */
    struct blob *durable;
    int durable_status;
    /* rows.c's own */
    struct rows *rows;
    bool loading;
    bool reading_again; /* after the disk failed to */
    bool cached;
    bool spoilt; /* not to be trusted whatever the disk says, until it is put anew; held for that */
    uint32_t n_doubts;
    uint32_t n_holds;
    uint32_t n_commits;
    struct row_pin *waiting;
    struct row *older, *newer;
    struct disk_read read;
    UT_hash_handle hh;
};

/* Whether what was put is not on the disk yet: commits that bring it are under way. */
static inline bool row_in_flight(const struct row *row) {
    return row->newest != row->durable;
}

struct row_pin {
    struct row *row;
    struct rows_hold *hold;
    bool waits;
    struct row_pin *prev, *next;
};

struct rows_hold {
    void (*ready)(void *context);
    void *context;
    uint32_t n;
    struct row_pin *pins;
    /* rows.c's own */
    uint32_t capacity;
    uint32_t n_loading;
    struct row_pin few[ROWS_HELD_INLINE];
};

/* Borrows the disk. `sound` says whether bytes with a good checksum can be what the key stands for;
 * if not, the row is as corrupt as with a bad one. */
struct rows *rows_new(const struct disk *disk,
                      bool (*sound)(void *context, struct bytes key, struct bytes bytes),
                      void *context);
/* Nothing may be held. Loads and commits that the disk has not answered are freed: the disk must
 * not answer them any more. */
void rows_free(struct rows *rows);

/* From now on `changed` is called for each row of each commit that is done, with what was on the
 * disk before (`old`, NULL = nothing; `old_known` false = it could not be read) and what is now.
 * Nothing may be held, changed or released in it. */
typedef void rows_changed(void *context, struct bytes key, const struct blob *old, bool old_known,
                          const struct blob *now);
void rows_watch(struct rows *rows, rows_changed *changed, void *context);
/* From now on `answered` is called with the disk's answer to each commit, before its `done`. */
void rows_on_commit(struct rows *rows, void (*answered)(void *context, int status), void *context);
/* Calls `each` for every row of every commit that the disk has not answered. */
void rows_in_flight(const struct rows *rows, void (*each)(void *context, const struct row *row),
                    void *context);

/* Begins a hold of at most `n` rows (the caller's memory, in place until released). */
void rows_hold_init(struct rows_hold *hold, uint32_t n, void (*ready)(void *context),
                    void *context);
/* Adds a row; the key is copied. The same key may be added twice. */
void rows_hold_add(struct rows *rows, struct rows_hold *hold, struct bytes key);
/* Whether all rows are in memory; if not, `ready` will be called, from a disk answer. */
bool rows_hold_wait(struct rows_hold *hold);
/* Lets go, in any state; `ready` will not be called. Harmless on a zeroed or released hold. */
void rows_release(struct rows_hold *hold);
/* The index-th row in the order in which they were added. */
static inline struct row *rows_held(const struct rows_hold *hold, uint32_t index) {
    return hold->pins[index].row;
}

/* What the disk holds under a key, when that is in memory; NULL otherwise, and when it holds
 * nothing. Good until control goes back to the loop. */
const struct blob *rows_durable(const struct rows *rows, struct bytes key);

/* A commit under construction: at most `n` changes. */
struct rows_commit;
struct rows_commit *rows_commit_new(struct rows *rows, uint32_t n);
/* The row, which must be held, becomes `blob` (takes over the reference, not NULL) at once for
 * writers, and for readers when the commit is done. A row may be put once. */
void rows_commit_put(struct rows_commit *commit, struct row *row, struct blob *blob);
/* The row that was put last has much of what this key has, from byte `at` of its value on: as
 * disk_put.like. Once a commit; the key is copied. */
void rows_commit_like(struct rows_commit *commit, struct bytes key, size_t at);
/* The same as rows_commit_put() for a row that is to go: its key is deleted. */
void rows_commit_remove(struct rows_commit *commit, struct row *row);
/* A corrupt row, held, counts as one that nobody wrote, for writers; readers see it as corrupt
 * until it is put. */
void rows_forget(struct row *row);
/* As rows_commit_put() for a value that was reckoned from the one before it, as a tally is. When
 * the commit of that one fails and this one does not, it is spoilt. */
void rows_commit_reckon(struct rows_commit *commit, struct row *row, struct blob *blob);
/* The row, reckoned or corrupt, is not right any more and nobody knows what would be: from now on
 * it is corrupt, also on the disk, until it is put anew. */
void rows_commit_spoil(struct rows_commit *commit, struct row *row);
/* Something happened that a spoilt or corrupt row would have told of: see rows_doubts(). */
void rows_doubt(struct row *row);
/* Changes whenever a row was spoilt or rows_doubt() was called since. */
uint32_t rows_doubts(const struct row *row);
/* From now on `spoilt` is called for each row that was spoilt, when the disk has answered; it may
 * hold rows. */
void rows_on_spoilt(struct rows *rows, void (*spoilt)(void *context, struct bytes key),
                    void *context);
/* It may use the space that the disk keeps free. */
void rows_commit_urge(struct rows_commit *commit);
/* Hands it to the disk; `done` is called later, once, with what the disk said (ERR_UNKNOWN when it
 * failed but a later commit was built on it and may yet bring its rows to the disk), unless there
 * was nothing to commit: then it answers true and the commit is gone. */
bool rows_commit_start(struct rows_commit *commit, bool synced,
                       void (*done)(void *context, int status), void *context);

/* How many commits were handed to the disk so far; and whether all but those handed over after the
 * first `n` have ended. */
uint64_t rows_commits_asked(const struct rows *rows);
bool rows_commits_ended(const struct rows *rows, uint64_t n);

/* Gauges: values in memory and their bytes, commits in flight; and loads that failed. */
struct rows_stats {
    uint64_t n_rows, bytes, n_commits, n_corrupt, n_load_errors, n_loads;
};
void rows_stats(const struct rows *rows, struct rows_stats *ret);

#endif
