/* namespace_contents: the contents of files: their blocks, one by one or as a range. */
#ifndef RINGFS_SHARED_NAMESPACE_CONTENTS_H
#define RINGFS_SHARED_NAMESPACE_CONTENTS_H

#include "shared/extents.h"
#include "shared/record.h"

struct namespace;

/* Blocks are BLOCK_SIZE, the last one of a file shorter; a missing block, and the missing tail of a
 * short one, reads as zeros. Blocks that only one client writes need no conditions: the record
 * that names them comes after them. The others: docs/schema.md. */

/* A fresh contents id. */
struct id128 contents_new(struct namespace *ns);
/* Reads one block into `into` (BLOCK_SIZE bytes of the caller's), zero-filled behind what is
 * stored. *ret_stored (may be NULL) = bytes stored, 0 for a hole. */
int contents_read_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                        uint8_t *into, uint32_t *ret_stored);
/* Replaces one block. `data` at most BLOCK_SIZE, borrowed; trailing zeros need not be given. */
int contents_write_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                         struct bytes data, bool synced);
/* What was last seen of a block: the context that the next conditional write must match.
 * Zero-initialize; owned: block_seen_release(). */
struct block_seen {
    struct bytes context;
    bool stored; /* there was a block */
    bool known;  /* it was read or written at all */
};
void block_seen_release(struct block_seen *seen);
/* As contents_read_block(); fills `seen` unless it is NULL. */
int contents_get_block(struct namespace *ns, const struct id128 *contents, uint64_t index,
                       uint8_t *into, uint32_t *ret_size, struct block_seen *seen);
enum block_manner {
    BLOCK_PLAIN,   /* nobody else writes this block now */
    BLOCK_IN_LINE, /* whatever is there; in order with those that others write as seen */
    BLOCK_AS_SEEN, /* if it is still as `seen` says: else ERR_CONFLICT, and nothing is written */
};
struct block_put {
    struct id128 contents;
    uint64_t index;
    struct bytes data; /* as in contents_write_block() */
    enum block_manner manner;
    bool synced;
};
/* Writes one block; `seen` (may be NULL unless AS_SEEN) becomes what was written. */
int contents_put_block(struct namespace *ns, const struct block_put *put, struct block_seen *seen);
/* Writes up to CONTENTS_TOGETHER_MAX blocks of one stripe, each BLOCK_PLAIN and all synced or none,
 * in one request: all or none; seen[i] becomes what was written. */
enum { CONTENTS_TOGETHER_MAX = 8 };
int contents_put_blocks(struct namespace *ns, const struct block_put *puts, uint32_t n,
                        struct block_seen *const seen[]);
/* Lays `overlay` (overlay.h; it ends within BLOCK_SIZE) over each of up to CONTENTS_TOGETHER_MAX
 * blocks of one stripe, whatever is stored of them by then, in one request: all or none; all synced
 * or none. Patches of different bytes by several clients all arrive. ERR_INVALID,
 * ERR_NOT_SUPPORTED: the nodes know no patches, or not with this R and W. */
struct block_patch {
    struct id128 contents;
    uint64_t index;
    struct bytes overlay;
    bool synced;
};
int contents_patch_blocks(struct namespace *ns, const struct block_patch *patches, uint32_t n);
/* Reads bytes of a run of blocks, those of up to CONTENTS_RUN_MAX of one stripe, in one request;
 * zeros where nothing is stored. Sets *ret_hole when one of the blocks is not stored at all. */
enum { CONTENTS_RUN_MAX = 8 };
int contents_read_run(struct namespace *ns, const struct id128 *contents, uint64_t offset,
                      uint8_t *into, size_t size, bool *ret_hole);
/* How many of the `size` bytes from `offset` on the run holds that begins there. */
size_t contents_run(uint64_t offset, size_t size);
/* Where what can be in blocks ends: the size, or where the tail begins when it lies at the end. */
uint64_t contents_blocks_end(const struct record *record);
/* Removes the blocks [first, end) (end in blocks; holes are skipped by stripe). Resumable: doing it
 * again is harmless. */
int contents_remove(struct namespace *ns, const struct id128 *contents, uint64_t first,
                    uint64_t end);
/* Where blocks of a file's contents may be stored; what does not decode is taken as no holes. */
struct extents contents_stored(const struct record *record);
/* The same of what can be removed with the record: nothing of contents that others may name. */
struct extents contents_removable(const struct record *record);
/* What contents_remove() does to all that may be stored within [first, end). */
int contents_remove_stored(struct namespace *ns, const struct id128 *contents,
                           const struct extents *stored, uint64_t first, uint64_t end);
/* Says that a client (`holder`: random, for its life) has contents open that no record names, until
 * CONTENTS_HOLD_SECONDS from now. */
enum { CONTENTS_HOLD_SECONDS = 60 };
int contents_hold(struct namespace *ns, const struct id128 *contents, uint64_t holder);
/* Whether anybody says so. */
int contents_held(struct namespace *ns, const struct id128 *contents, bool *ret_held);
/* The same; if nobody does, what was said is cleared away, and the blocks can be removed. */
int contents_release(struct namespace *ns, const struct id128 *contents, bool *ret_held);
/* Reads part of a file of any kind of contents; what lies behind its size is not read. *ret_size is
 * what was read. Runs are fetched several at a time. */
int contents_read(struct namespace *ns, const struct record *record, uint64_t offset, uint8_t *into,
                  size_t size, size_t *ret_size);

#endif
