/* appends: what is to come at the end of a file of blocks that other mounts append to as well. */
#ifndef RINGFS_FS_APPENDS_H
#define RINGFS_FS_APPENDS_H

#include "shared/record.h"

/* The record says where the end is, and only one can change it at a time: so it decides whose bytes
 * come first. Appended bytes wait in `pending` until the record is written. Then
 *   - few of them join the record's tail: they are stored with it, at once and as a whole;
 *   - many have their place kept: the record's size grows by them, and they go into the blocks at
 *     that place (`kept`), which nobody else writes to; a tail stays where it was;
 *   - a tail that few cannot join, being too large or not at the end any more, first moves into
 *     the blocks (`moved`).
 * Pure. Zero-initialized = none. */
enum { APPENDS_MAX = 1 << 20 }; /* pending; whoever adds stores them beyond */

struct appends {
    struct buffer pending;
    struct buffer kept;
    uint64_t kept_at;
    struct buffer moved; /* a tail that is in the blocks now: the record can lose it */
    uint64_t moved_at;
    /* A record was sent with so many of the pending bytes and that mtime, and not answered; or with
     * that size, the bytes at the end of its tail. */
    size_t n_unsure;
    int64_t unsure_ns;
    uint64_t unsure_end;
};

/* Frees the memory; there is nothing and it is usable afterwards. */
void appends_release(struct appends *appends);
/* Whether bytes wait for the record or for the blocks. */
bool appends_waiting(const struct appends *appends);

/* Takes what has moved from the record's tail. */
void appends_drop_moved(const struct appends *appends, struct record *record);
/* Puts the pending bytes at the end of the record: true when it holds them then. Otherwise its size
 * covers them, and they have their place at *ret_at. ERR_NOT_EMPTY: the tail has to move first. */
int appends_put(const struct appends *appends, struct record *record, bool *ret_held,
                uint64_t *ret_at);
/* The record was stored. */
void appends_stored(struct appends *appends, bool held, uint64_t at);

#endif
