/* disk: what the core asks of its storage: ordered keys, atomic batches, durable when told. */
#ifndef RINGFS_NODE_CORE_DISK_H
#define RINGFS_NODE_CORE_DISK_H

#include <xxhash.h>

#include "shared/bytes.h"

/* Real side: node/disk_leveldb.c. Test side: tests/lib/disk_mem.c (forgets what was not synced).
 *
 * Reads, scans and commits are asked for and answered later: `done` is called on the loop thread,
 * once, never from inside the asking call. Requests are the caller's memory until then. Reads see
 * every commit whose `done` was called, and perhaps later ones; commits are applied in the order
 * asked, each atomic. Of one that fails, those that are asked before its `done` fail too (not all
 * that are urgent or alone): they may be built on it. Legal answers: 0, ERR_CORRUPT (a checksum was
 * wrong; nothing is returned), ERR_DISK, ERR_NO_SPACE, ERR_CLOSED. */
struct disk_row {
    struct bytes key;
    struct bytes value;
    uint64_t sum; /* disk_sum() of both */
};
/* Equal for equal rows, on every disk. */
static inline uint64_t disk_sum(struct bytes key, struct bytes value) {
    return XXH3_64bits_withSeed(value.data, value.size, XXH3_64bits(key.data, key.size));
}

struct disk_read {
    struct bytes key; /* borrowed until done */
    /* `value` is borrowed for the call; size 0 and status 0 = no such key (values are never empty).
     */
    void (*done)(struct disk_read *read, int status, struct bytes value);
    void *context;
    struct disk_read *next; /* the disk's own */
};

struct disk_scan {
    struct bytes first;  /* inclusive; borrowed until done */
    struct bytes before; /* exclusive; borrowed until done */
    uint32_t rows_max;
    uint32_t bytes_max; /* of values; at least one row is returned */
    /* Keys and sums will do: values are empty, and need not be read. Pages end where they would. */
    bool sums_only;
    /* `rows` are borrowed for the call, in key order; `more` = the range has further rows. A row
     * whose value alone cannot be read has one byte, zero, for it, which no checksum fits. */
    void (*done)(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n_rows,
                 bool more);
    void *context;
    struct disk_scan *next; /* the disk's own */
};
struct disk_put {
    struct bytes key;
    struct bytes value; /* size 0 = delete the key */
    /* That much of the value is what this key has, too, from its byte `like_at` on; size 0 = of no
     * other key. A disk may use it to write less. Borrowed until done. */
    struct bytes like;
    size_t like_at;
};
struct disk_commit {
    struct disk_put *puts; /* array, keys and values borrowed until done */
    uint32_t n;            /* 0 of a synced one: it only makes what was asked before durable */
    bool synced; /* `done` only after it is on the disk; else: in the log file, survives kill -9 */
    bool urgent; /* small, and may use the space that is kept free: a start or a stop needs it */
    bool alone;  /* built on nothing else: may be taken though what was asked before was refused */
    void (*done)(struct disk_commit *commit, int status);
    void *context;
    struct disk_commit *next; /* the disk's own */
};

struct disk {
    void *self;
    void (*read)(void *self, struct disk_read *read);
    void (*scan)(void *self, struct disk_scan *scan);
    void (*commit)(void *self, struct disk_commit *commit);
    /* Bytes free and in all on the file system of the data directory; 0 when it cannot tell. */
    void (*space)(void *self, uint64_t *ret_free, uint64_t *ret_total);
};

#endif
