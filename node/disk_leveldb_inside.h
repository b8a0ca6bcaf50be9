/* disk_leveldb_inside: struct disk_leveldb, for the files of disk_leveldb only. */
#ifndef RINGFS_NODE_DISK_LEVELDB_INSIDE_H
#define RINGFS_NODE_DISK_LEVELDB_INSIDE_H

#include <leveldb/c.h>
#include <pthread.h>

#include "node/disk_committer.h"
#include "node/disk_leveldb.h"
#include "node/disk_log.h"
#include "node/segment_delta.h"
#include "node/segment_store.h"

enum {
    DISK_FAILURE_MAX = 512,
    DISK_NOTICE_MAX = DISK_PATH_MAX + 256,
    /* After somebody waited for a sync: so long what is written counts as what will be, too. */
    DISK_SYNC_WANTED_MS = 1000,
};

/* The count of live bytes, made anew at each start (disk_leveldb_clear.c). */
struct disk_count {
    leveldb_iterator_t *at; /* NULL: done */
    bool done, failed;
    uint64_t n_astray;     /* pointers to nothing ... */
    uint32_t first_astray; /* ... the first of them into this segment */
};

/* The clearing of a segment: its live records are copied one by one, and pointed to together. */
struct disk_clearing {
    bool busy;
    uint32_t segment;
    uint32_t offset; /* of the next record */
    struct disk_move *moves;
    uint32_t n_moves, capacity;
    uint32_t n_behind;    /* live records that are damaged */
    struct buffer keys;   /* of the moves */
    struct buffer key;    /* of the record at hand */
    struct buffer record; /* the record at hand */
    int64_t doomed_ns;    /* when a segment was last found empty */
};

struct disk_leveldb {
    struct disk seam;
    struct disk_leveldb_config config;
    char *directory;
    leveldb_options_t *options;
    leveldb_filterpolicy_t *bloom;
    leveldb_cache_t *cache;
    leveldb_readoptions_t *reading;
    leveldb_readoptions_t *scanning; /* as reading, but leaves the block cache alone */
    leveldb_writeoptions_t *buffered;
    leveldb_writeoptions_t *synced;
    leveldb_t *db;
    struct segment_store *segments;
    struct disk_committer *committer;

    /* asked for, to be served by drain */
    struct disk_read *reads, *reads_last;
    struct disk_scan *scans, *scans_last;
    struct disk_commit *commits, *commits_last;
    struct disk_commit *refused, *refused_last;
    int refused_status;  /* of all of `refused` */
    size_t commits_size; /* of `commits` */
    size_t queued_size;  /* of all commits not done */
    struct buffer page;  /* keys and values of the scan being answered */
    struct disk_row *page_rows;
    uint32_t page_capacity;
    struct buffer record; /* of the read being answered */
    struct buffer whole;  /* what a delta made of it */

    uint64_t space_free, space_total;
    int64_t space_known_ns;
    int64_t reopen_ns;       /* not tried before; 0 = not tried yet */
    int64_t reopen_pause_ns; /* after the next try that fails */

    /* Held by the writer while it writes, and by the loop while it opens the rows anew. */
    pthread_mutex_t writer;

    /* the writer's: the committer's thread, or the loop's while the committer is idle */
    struct disk_log *log;
    int64_t waited_ns;   /* when somebody last waited for a sync */
    bool sync_wanted;    /* that was lately: of the group being written */
    struct buffer value; /* a value as LevelDB gets it */
    struct buffer base;  /* of a delta */
    struct buffer pieces;
    struct buffer deltas; /* of the group being written */
    uint8_t *large_keys;  /* bits by hash of key: it may have a large value */
    struct disk_count count;
    struct disk_clearing clearing;

    pthread_mutex_t mutex; /* guards what follows: the committer writes it too */
    int failed;            /* the error every commit now gets */
    int lost;              /* the same, until those who asked so far have their answers */
    bool reopens;          /* opening the rows anew will do, once there is space */
    char failure[DISK_FAILURE_MAX];
    char notice[DISK_NOTICE_MAX]; /* to be said once */
    struct disk_leveldb_counters counters;
};

/* LevelDB's errors come as text only ("Corruption: ...", "IO error: FILE: No space left ..."): one
 * of err.h. */
int disk_leveldb_error(const char *text);
/* A write failed, with the text of why: it was the last until the rows are opened anew, which will
 * do for `rows` that found no space. Returns what every commit now gets. */
int disk_leveldb_fail(struct disk_leveldb *d, int status, bool rows, const char *text);
/* 0, or what every commit gets. Any thread. */
int disk_leveldb_failed(struct disk_leveldb *d);
/* A commit was not written, for `status`, and the disk goes on; 0 = all who asked until then have
 * their answers. Any thread. */
void disk_leveldb_lose(struct disk_leveldb *d, int status);
/* 0, or what commits get that may be built on a lost one: all that were asked for before it was
 * told. Any thread. */
int disk_leveldb_lost(struct disk_leveldb *d);
/* A sentence for disk_leveldb_notice(), in place of one that nobody has fetched. Any thread. */
__attribute__((format(printf, 2, 3))) void disk_leveldb_note(struct disk_leveldb *d,
                                                             const char *format, ...);

/* Calls `each` for every file of LevelDB's log: its name, and the folder it is in. False when the
 * folder cannot be read. */
typedef void disk_leveldb_log_fn(void *context, int folder, const char *name);
bool disk_leveldb_logs(const struct disk_leveldb *d, disk_leveldb_log_fn *each, void *context);

/* The value of a delta, into `room` (delta->size bytes), by way of `record`. Both threads'. 0,
 * ERR_CORRUPT or ERR_DISK. */
int disk_leveldb_delta(struct disk_leveldb *d, struct bytes key, const struct segment_pointer *base,
                       const struct segment_delta *delta, struct buffer *record, uint8_t *room);

/* ---- disk_leveldb_page.c ---- */

/* Fills d->page_rows with the scan's rows, read at this iterator; returns their number. Within
 * segment_store_enter(). */
uint32_t disk_leveldb_page(struct disk_leveldb *d, const struct disk_scan *scan,
                           leveldb_iterator_t *at, bool *ret_more);

/* ---- disk_leveldb_write.c: all of it the writer's ---- */

/* As disk_committer_config.write. */
int disk_leveldb_write(struct disk_leveldb *d, struct disk_commit *list, bool synced);
/* Writes a batch; synced: what lies in the segments becomes durable first. `waited`: somebody waits
 * for the sync. */
int disk_leveldb_write_rows(struct disk_leveldb *d, leveldb_writebatch_t *batch, bool synced,
                            bool waited);
/* Makes durable what was written to the segments. */
int disk_leveldb_sync_values(struct disk_leveldb *d);
/* What LevelDB has under a key, to be freed by leveldb_free(); and its pointer, or size 0. */
struct bytes disk_leveldb_stored(struct disk_leveldb *d, struct bytes key,
                                 struct segment_pointer *ret);
/* The pointer alone. */
void disk_leveldb_pointer(struct disk_leveldb *d, struct bytes key, struct segment_pointer *ret);
/* A key's value became one that needs the record there (+1) or is no longer (-1). False when there
 * is no such segment. */
bool disk_leveldb_live(struct disk_leveldb *d, struct bytes key,
                       const struct segment_pointer *pointer, int change);
/* Remembers that the key has a large value. */
void disk_leveldb_large(struct disk_leveldb *d, struct bytes key);

/* ---- disk_leveldb_clear.c: all of it the writer's ---- */

/* Begins the count of live bytes; before the first write. */
void disk_leveldb_count_begin(struct disk_leveldb *d);
/* Before the rows are closed to be opened anew: what the write that failed left is not known. */
void disk_leveldb_count_forget(struct disk_leveldb *d);
/* As disk_committer_config.background. */
int64_t disk_leveldb_background(struct disk_leveldb *d, bool *ret_wrote);
/* A sync of everything that began at this time has ended: what was doomed before is removed. */
void disk_leveldb_reap(struct disk_leveldb *d, int64_t sync_begun_ns);
/* Gives back what a count or a clearing under way holds. */
void disk_leveldb_clear_end(struct disk_leveldb *d);

#endif
