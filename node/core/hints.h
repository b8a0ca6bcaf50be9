/* hints: rows kept for replicas that are away, until they can be handed over. */
#ifndef RINGFS_NODE_CORE_HINTS_H
#define RINGFS_NODE_CORE_HINTS_H

#include "node/core/inside.h"
#include "node/core/rowkey.h"

/* DeCandia et al., "Dynamo" (SOSP 2007) section 4.6. A write without conditions that finds a
 * replica of its slice (the target) away goes to a stand-in instead, the next live member along the
 * ring; that node is no replica of the slice and keeps the rows as hints. Where there is no
 * stand-in, the coordinator notes the names of the rows: it holds the rows itself.
 *
 * A hint lies under the key of rowkey.h; its value is a format byte (1), the time of day when the
 * row was first kept for this target (8 bytes, ns since 1970), and the row's versions as a replica
 * would have been sent them; no versions = a name. A later hint for the same row is merged into it.
 * Merging is idempotent, so a hint may be handed over twice, and to whichever directory the target
 * comes back with: a target whose disk was lost needs the rows all the more, since a hint may be
 * the second copy of an acknowledged write. Hints are never dropped once they were acknowledged.
 *
 * In memory: per target how many, how large, how old, and how many of each slice; counted by a scan
 * at the start (and again after a commit of hints failed). Until that is done nothing is kept.
 *
 * Bounds: HINTS_DISK_SHARE, HINTS_TARGET_SHARE, HINTS_AGE_MAX_S. Beyond them rows are refused
 * (NO_SPACE), counted as dropped, and the coordinator marks the slice: repair takes it first. Marks
 * are in memory only; repair's own rounds find what a restart forgets. */
enum {
    HINTS_DISK_SHARE = 10,         /* 1 / of the disk, for all targets */
    HINTS_BYTES_DEFAULT = 1 << 30, /* where the disk does not tell its size */
    HINTS_TARGET_SHARE = 2,        /* 1 / of that, for one target */
    HINTS_AGE_MAX_S = 3 * 3600,    /* after its first hint a target gets only rows that count */
    HINTS_SCAN_ROWS = 1024,        /* of a page, at the start */
    HINTS_SCAN_BYTES = 1 << 20,
    HINTS_RETRY_MS = 1000, /* pause after a page that the disk did not give */
    HINT_HEAD = 9,         /* of a value, before the versions */
};

/* Made by node_new(), freed by node_free(). */
struct hints *hints_new(struct node *node);
void hints_free(struct hints *hints);
/* Begins to count what is on the disk; once, when the node serves. */
void hints_start(struct node *node);

/* ---- keeping: hint_keep.c ---- */

/* HINT: keeps the rows durably, then answers 0; or NO_SPACE, BUSY, WRONG_RING, INVALID, TIMEOUT, or
 * what the disk says: then nothing is kept that anybody may count. */
void hint_receive(struct node *node, const struct endpoint *from, const struct message *message);
/* Notes that `target`, a replica of the slice, lacks rows that this node holds or is about to; not
 * waited for. Marks the slice when there is no room. */
void hint_keep_names(struct node *node, uint16_t target, struct bytes partition_key,
                     const struct bytes *sort_keys, uint32_t n);

/* ---- what is kept ---- */

/* Whether hints for rows of this slice, for any target, may be on this node's disk. */
bool hints_exist_for_slice(const struct node *node, uint16_t slice);
/* Rows kept for a member; 0 while they are being counted. */
uint64_t hints_count(const struct node *node, uint16_t member_index);
/* Whether everything has been counted. */
bool hints_ready(const struct node *node);
/* The answer to HINTS. */
void hints_answer(struct node *node, const struct asker *asker);
struct hints_total {
    uint64_t n, bytes, n_marked;
};
void hints_total(const struct node *node, struct hints_total *ret);

/* ---- slices that wait for repair ---- */

/* A write of this slice was neither given to `peer`, a replica of it, nor kept for it. */
void slice_mark(struct node *node, uint16_t slice, uint16_t peer);
bool slice_needs_repair(const struct node *node, uint16_t slice, uint16_t peer);
/* Both hold the same now. */
void slice_repaired(struct node *node, uint16_t slice, uint16_t peer);

/* ---- for hint_keep.c and handoff.c ---- */

/* Whether `size` more bytes may be kept for the target; counts `n` rows as dropped if not. */
bool hints_room(struct node *node, uint16_t target, size_t size, bool counts, uint32_t n);
/* A hint's value in `commit` takes the place of one of `old_size` bytes (0 = there was none);
 * `new_size` 0 = it goes. `key` is a hint's. */
void hints_changed(struct node *node, struct bytes key, size_t old_size, size_t new_size,
                   uint64_t stored_ns);
/* Brackets each commit of hints; after one that failed everything is counted anew. */
void hints_commit_begin(struct node *node);
void hints_commit_end(struct node *node, int status);
/* Rows were handed over, or had to be given up (refused by the target for good, or corrupt). */
void hints_count_delivered(struct node *node, uint16_t target, uint32_t n);
void hints_count_dropped(struct node *node, uint16_t target, uint32_t n);

/* A value made and taken apart; `versions` is borrowed and may be empty. ERR_INVALID when it is
 * none; versions are not looked into. */
void hint_value_put(struct buffer *into, uint64_t stored_ns, struct bytes versions);
/* Whether a value with a good checksum can be a hint's. Uses scratch 0. */
bool hint_sound(struct node *node, struct bytes value);
int hint_value_take(struct bytes value, uint64_t *ret_stored_ns, struct bytes *ret_versions);

#endif
