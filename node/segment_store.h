/* segment_store: the segments of a data directory: appending, reading, and which to clear out. */
#ifndef RINGFS_NODE_SEGMENT_STORE_H
#define RINGFS_NODE_SEGMENT_STORE_H

#include "node/disk_directory.h"
#include "node/segment.h"

/* Files DIRECTORY/segments/NUMBER.segment in the layout of segment.h. One is open for appending;
 * the others never change until they are removed. A start begins a new one, so what a crash left at
 * the end of a file is never followed by anything.
 *
 * The store knows how many bytes of each file are live because it is told (segment_store_live());
 * nothing on the disk says so. It knows no LevelDB: that a record moved, and that a file is no
 * longer pointed to, is for its user to see to.
 *
 * Threads: one *writer* at a time (whoever holds the right to write LevelDB) and one *reader*, the
 * loop thread; each function says whose it is. Thousands of files; 64 bytes of memory each. */
enum {
    SEGMENT_BYTES = 64 << 20, /* a file is closed at this size; 2^32 files are 256 PiB */
    SEGMENT_BYTES_MAX = 1 << 30,
    SEGMENT_WRITEBACK = 4 << 20, /* so many new bytes, and the kernel is asked to write them */
    SEGMENT_OPEN_MAX = 512,      /* descriptors kept; the least recently used is closed */
    SEGMENT_PENDING_MAX = 256,   /* records appended and not flushed; then they are */
    SEGMENT_PART = 8, /* a file is closed at this part of all live bytes, at least of SEGMENT_BYTES;
                         and early, to be cleared, once this part of SEGMENT_BYTES of it is dead */
    SEGMENT_DEAD_PART = 10, /* of a file must be dead to be worth copying the rest */
};

struct segment_store;

/* Opens the segments of a data directory, makes the folder on the first start. `segment_bytes` 0 =
 * SEGMENT_BYTES. ERR_DISK or ERR_NO_SPACE with a sentence in `why`. */
int segment_store_open(const char *directory, uint64_t segment_bytes, struct segment_store **ret,
                       char why[DISK_WHY_MAX]);
/* Syncs nothing. */
void segment_store_close(struct segment_store *store);
/* How many of the files that were there when it was opened had damaged headers (what they hold is
 * tried all the same: each record has a checksum). */
uint32_t segment_store_damaged(const struct segment_store *store);

/* ---- the writer's ---- */

/* Queues a record, whose bytes are borrowed until the next flush; sets *ret to where it will be.
 * ERR_NO_SPACE or ERR_DISK: nothing of what was queued is there, and the store goes on. */
int segment_store_append(struct segment_store *store, struct bytes key, struct bytes value,
                         struct segment_pointer *ret);
/* Writes what was queued; it then survives the end of the process. Errors as above. */
int segment_store_flush(struct segment_store *store);
/* Makes everything flushed durable. ERR_DISK or ERR_NO_SPACE: it may be lost, and the store must
 * not be written any more. */
int segment_store_sync(struct segment_store *store);
/* A record became pointed to (+1) or is no longer (-1). Counts may be told in any order. Records in
 * segments that are not there are ignored: false. */
bool segment_store_live(struct segment_store *store, const struct segment_pointer *pointer,
                        size_t key_size, int change);
/* A delta of another key became based on a record there (+1) or is no longer (-1): while there are
 * any, the segment stays. Else as above. */
bool segment_store_lend(struct segment_store *store, const struct segment_pointer *pointer,
                        int change);
/* Nothing was told yet. */
void segment_store_forget_live(struct segment_store *store);
/* Whether the record lies within a segment that is there. */
bool segment_store_holds(struct segment_store *store, const struct segment_pointer *pointer,
                         size_t key_size);

/* The segment with the smallest live part that is worth clearing; closes the one being appended to
 * if it is that. False when none has anything dead. */
bool segment_store_victim(struct segment_store *store, uint32_t *ret_id, uint64_t *ret_live);
/* The record at `offset`, to be moved: its key (copied into `key`) and where it is. ERR_NOT_FOUND
 * where no record can be told: at the end of the segment, or because of damage; ERR_DISK: no
 * descriptor could be had. */
int segment_store_record(struct segment_store *store, uint32_t id, uint32_t offset,
                         struct buffer *key, struct segment_pointer *ret);
/* Whether `offset` is the end of the segment. */
bool segment_store_at_end(struct segment_store *store, uint32_t id, uint32_t offset);
/* The segment was cleared out. Removed by the first segment_store_reap() after a sync of everything
 * if nothing points into it: because each of its records was looked up (`proven`), or because no
 * live bytes are left. Else it is left alone until they are gone, and false is returned. */
bool segment_store_doom(struct segment_store *store, uint32_t id, bool proven);
/* The bytes of segments that wait to be removed; 0 = there are none. */
uint64_t segment_store_doomed(const struct segment_store *store);
/* Removes the doomed. Everything, LevelDB's pointers included, must have been synced since they
 * were doomed. While the reader is within, nothing is removed: false. */
bool segment_store_reap(struct segment_store *store);

/* ---- the reader's ---- */

/* Around every look for a pointer in LevelDB and the reads by it: no file that a pointer found in
 * between leads to is removed meanwhile. */
void segment_store_enter(struct segment_store *store);
void segment_store_leave(struct segment_store *store);

/* ---- both ---- */

/* Reads a record into `room` (segment_record_size() bytes) and checks it; *ret is the value,
 * borrowed from `room`. ERR_CORRUPT: the bytes are not there, cannot be read or are wrong;
 * ERR_DISK: no descriptor could be had. */
int segment_store_read(struct segment_store *store, const struct segment_pointer *pointer,
                       struct bytes key, uint8_t *room, struct bytes *ret);

/* The same for a base, whose key has so many bytes; its value is not checked. */
int segment_store_read_base(struct segment_store *store, const struct segment_pointer *pointer,
                            size_t key_size, uint8_t *room, struct bytes *ret);

struct segment_store_stats {
    uint64_t segments; /* files */
    uint64_t bytes;    /* in those that are not doomed */
    uint64_t live;     /* of records that are pointed to, as far as told */
};
void segment_store_stats(struct segment_store *store, struct segment_store_stats *ret);

#endif
