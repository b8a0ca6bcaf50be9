/* disk_leveldb: the disk seam on LevelDB. */
#ifndef RINGFS_NODE_DISK_LEVELDB_H
#define RINGFS_NODE_DISK_LEVELDB_H

#include "node/core/disk.h"
#include "node/disk_directory.h"

/* The files disk_leveldb*.c are the only ones that include LevelDB. Large values
 * lie beside it (segment.h), LevelDB has pointers to them; who asks sees no difference, but for a
 * scan that meets a large value it cannot read (disk.h). Reads and scans are served on the loop
 * thread, small unsynced commits too; everything else is written by one committer thread
 * (disk_committer.h). `done` is called from disk_leveldb_drain() only, never inside the asking
 * call. What is refused and what to do then: docs/disk.md.
 *
 * A write that fails is the last one: LevelDB may have left half a record behind it, and a record
 * after that would make the log unreadable. From then on commits are refused with the same error,
 * reads go on, and disk_leveldb_failure() says why. If it found no space, the first commit that is
 * asked for after there is half the reserve again opens LevelDB anew in place (which holds the loop
 * for up to a second) and writing goes on; if it cannot be opened, reads are answered ERR_DISK and
 * it is tried again, ever more rarely. After another error the directory must be opened anew: what
 * the kernel dropped is not known.
 *
 * Durability: `synced` commits are fsynced before `done`; others are in the log file (survive the
 * end of the process however it comes) and are synced within a second. All functions are the loop
 * thread's. */
enum {
    DISK_QUEUE_BYTES_MAX = 64 << 20, /* of commits not yet done; beyond: ERR_BUSY */
    DISK_RESERVE_BYTES = 256 << 20,  /* free space kept for compaction; below: ERR_NO_SPACE ... */
    DISK_SMALL_COMMIT = 4 << 10,     /* ... but commits up to this size may use half of it, so that
                                        a full cluster can still delete; and ... */
    DISK_URGENT_LEAVES = 1 << 20,    /* ... urgent ones all but this */
    DISK_REOPEN_MS = 1000,          /* after a try to open LevelDB anew that failed; twice as ... */
    DISK_REOPEN_MAX_MS = 60 * 1000, /* ... long after each, up to this */
    DISK_SPACE_CHECK_MS = 200,      /* how old the known free space may be */
};

struct disk_leveldb;

struct disk_leveldb_config {
    const char *directory;  /* of disk_directory_open(), held open by the caller */
    uint64_t reserve_bytes; /* 0 = DISK_RESERVE_BYTES */
    bool never_inline;      /* all commits through the committer thread: for comparison */
    bool no_segments;       /* all values in LevelDB: for comparison */
    uint64_t segment_bytes; /* 0 = SEGMENT_BYTES */
};

/* Opens the rows, or makes them on the first start. Refusals with a sentence in `why`:
 * ERR_CORRUPT (rows damaged or partly gone), ERR_NO_SPACE, ERR_IN_USE, ERR_DISK. */
int disk_leveldb_open(const struct disk_leveldb_config *config, struct disk_leveldb **ret,
                      char why[DISK_WHY_MAX]);
/* Answers what still waits (reads ERR_CLOSED, commits as they end), syncs everything, closes. */
void disk_leveldb_close(struct disk_leveldb *disk);

/* The seam; good until close. */
const struct disk *disk_leveldb_seam(struct disk_leveldb *disk);

/* For the loop: watch the descriptor with disk_leveldb_ready(), and call disk_leveldb_drain() at
 * every turn's end (before the transport's hook, so that answers leave in the same turn). drain
 * returns true when it has more to do right away. `disk` as void * so that they fit the loop. */
int disk_leveldb_event_fd(const struct disk_leveldb *disk);
void disk_leveldb_ready(void *disk);
bool disk_leveldb_drain(void *disk);

/* NULL, or the error of the write that failed. Good until the next commit is asked for, which may
 * open LevelDB anew. */
const char *disk_leveldb_failure(struct disk_leveldb *disk);
/* A sentence for the log, once: that values are missing from the segments or cannot be counted, or
 * what became of opening LevelDB anew. True if there is one. */
bool disk_leveldb_notice(struct disk_leveldb *disk, char ret[DISK_WHY_MAX]);

struct disk_leveldb_counters {
    uint64_t reads, scans, commits, groups, syncs, bytes_written, refused_busy, refused_space;
    uint64_t reopened; /* in place, after a write that found no space */
    uint64_t corrupt;  /* reads and scans answered ERR_CORRUPT, and rows of scans without a value */
    uint64_t values_segmented;    /* written to segments */
    uint64_t values_as_deltas;    /* to what was in a segment already */
    uint64_t values_astray;       /* rows that the start found to point to nothing */
    uint64_t segments;            /* files */
    uint64_t segment_bytes;       /* in them */
    uint64_t segment_bytes_live;  /* of those, pointed to */
    uint64_t segment_bytes_moved; /* copied to clear segments */
};
void disk_leveldb_counters(struct disk_leveldb *disk, struct disk_leveldb_counters *ret);

#endif
