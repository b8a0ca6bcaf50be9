/* blocks: the blocks of one open file that are in memory: being assembled, on their way, or kept.
 */
#ifndef RINGFS_FS_BLOCKS_H
#define RINGFS_FS_BLOCKS_H

#include "fs/mount.h"
#include "fs/written.h"

/* Life of a block:
 *
 *     blocks_write() -> DIRTY -> (full, or blocks_flush(), or no room) -> SENDING -> CLEAN, or gone
 *                         ^--- changed meanwhile, or the sending failed ----'
 *
 * A full block leaves at once, with those of its stripe that the same write has filled, in a task
 * of their own, up to BLOCKS_SENDING_MAX of a file at a time; when it has arrived it leaves memory.
 * A block that is not full stays, CLEAN, since the next append belongs into it, unless memory is
 * half full of blocks. A block that could not be sent stays DIRTY for the next flush, and the error
 * waits for blocks_flush(). At most BLOCKS_MAX of a file are in memory, and MOUNT_DIRTY_MAX bytes
 * of all files: a writer waits.
 *
 * Blocks of contents that a record names are `shared`: other mounts may write other bytes of them.
 * Of one that was written in part the bytes written here are sent as a patch, which its steward
 * lays over what is stored: so it need not be read, and is PARTIAL in memory, unless it was there
 * before. Patches of one stripe leave together. Where a patch will not do (too many pieces, a block
 * that was cut, nodes that know none) the block is stored as it was seen; on a conflict the bytes
 * written here are put over what is stored by then. One that was written as a whole overwrites; in
 * line with those, which takes twice as long, once others have been met.
 *
 * What is read here and there of a file of at most BLOCKS_WHOLE_FILE_MAX bytes is fetched in whole
 * blocks, which stay in the mount's block cache, within MOUNT_DIRTY_MAX too, which what is written
 * takes first.
 *
 * The caller holds the file's turn for everything that may suspend but blocks_read(); that one may
 * run at any time. */
enum {
    BLOCKS_SENDING_MAX = 32,
    BLOCKS_READING_MAX = 4,            /* requests of one call, of several blocks each */
    BLOCKS_WHOLE_MAX = BLOCK_SIZE / 2, /* what is read of a block that is then fetched whole */
    BLOCKS_MAX = 512,
    BLOCKS_MERGES_MAX = 64, /* times that others may come first with one block before ERR_BUSY */
    BLOCKS_KEPT_MAX = 8, /* of a file, full and stored but not synced: for an fsync to send again */
    BLOCKS_EACH_SYNCED_MAX = 4, /* sent to be synced one by one; with more the nodes are asked */
    BLOCKS_AGAIN_MAX = 2,       /* sent again by an fsync; for more the nodes are asked to sync */
    /* How soon after its acknowledgement a write that was not asked to be synced is on the nodes'
     * disks anyway: a second, and some time to spare. */
    BLOCKS_SYNCED_AFTER_NS = 1200000000,
};
/* Of larger files too little would be found again: a whole block costs half as much again as a
 * piece, one that is found a tenth. */
#define BLOCKS_WHOLE_FILE_MAX (2ull * MOUNT_DIRTY_MAX)

struct block {
    struct blocks *blocks;
    uint64_t index;
    uint8_t *data; /* BLOCK_SIZE, zeros behind `size` */
    uint32_t size;
    bool dirty; /* differs from what is stored or on its way */
    bool sending;
    bool synced;   /* what is stored is on the nodes' disks; or is being sent so */
    bool doomed;   /* dropped while it was on its way */
    bool partial;  /* nothing is known of it but the bytes that were written here */
    bool patching; /* on its way as a patch */
    /* Of shared contents: what the row was, and which bytes were written here since it was; those
     * of the sending that is under way apart. NULL = none. */
    struct block_seen seen;
    struct written *written, *on_way;
    struct block *next;
};

struct blocks {
    struct mount *mount;
    struct id128 contents;
    bool shared;            /* a record names the contents */
    bool contended;         /* others have been met writing them */
    struct extents stored;  /* nowhere else was a block ever stored, as far as is known */
    struct extents added;   /* stored since the record was */
    struct extents cleared; /* no longer stored since then */
    bool cached;            /* some may be in the block cache */
    uint64_t view;          /* of the block cache's clock: another one after each change */
    struct block *first;    /* most recently used first */
    uint32_t n;
    uint32_t n_sending;
    int error;           /* of a sending since the last flush */
    int64_t unsynced_ns; /* when a block that left memory was acknowledged, not synced; 0 = none */
    struct task_queue sent; /* woken when a sending ends */
};

/* Nothing in memory; not shared. Borrows the mount. */
void blocks_init(struct blocks *blocks, struct mount *mount, const struct id128 *contents);
/* Forgets what is in memory, dirty or not. Nothing may be on its way. */
void blocks_release(struct blocks *blocks);
/* May suspend: until nothing is on its way any more. */
void blocks_wait(struct blocks *blocks);
/* The same; then forgets all. */
void blocks_drop(struct blocks *blocks);

/* May suspend. Writes into the blocks in memory; sends those that are full. `file_size`: the file
 * holds nothing at or behind it, so that nothing has to be read to complete a block. On an error
 * part of the data may have been taken. */
int blocks_write(struct blocks *blocks, uint64_t offset, struct bytes data, uint64_t file_size);
/* May suspend: until all that was written is stored, on W disks when `synced`. The first error;
 * what could not be sent stays for the next flush. */
int blocks_flush(struct blocks *blocks, bool synced);
/* May suspend. Cuts the contents at `size` bytes: nothing behind it is in memory or stored
 * afterwards, but for the dirty last block. */
int blocks_truncate(struct blocks *blocks, uint64_t size);
/* May suspend. Nothing of the blocks [first, end) is in memory or stored afterwards: zeros. */
int blocks_clear(struct blocks *blocks, uint64_t first, uint64_t end);
/* Whether a block is stored, as far as is known, or in memory. */
bool blocks_may_hold(struct blocks *blocks, uint64_t index);
/* Where blocks are stored with a record that says `before`, once it names what was written here. */
void blocks_extents(const struct blocks *blocks, struct extents *before);
/* Nothing that was read before now, or is being read, is answered again. */
void blocks_forget_cached(struct blocks *blocks);
/* The block when it is in memory, now the most recently used; NULL otherwise. */
struct block *blocks_find(struct blocks *blocks, uint64_t index);
/* What was written of a block here and is not known to have arrived. */
struct written block_written_here(const struct block *block);

/* What is to be read: [offset, offset + size) into `into`. */
struct blocks_reading {
    uint64_t offset;
    uint8_t *into;
    size_t size;
    uint64_t end; /* of the file */
    bool cached;  /* blocks that were fetched before will do, and those that are now are kept */
};
/* May suspend. Reads from memory and from the store, several blocks at a time. Sets *ret_hole when
 * somewhere nothing is stored (zeros were read). What is read is what `contents` was when the call
 * began, even when the file turns to other contents meanwhile: the caller checks holes. */
int blocks_read(struct blocks *blocks, const struct blocks_reading *reading, bool *ret_hole);

/* Whether anything is dirty or on its way. */
bool blocks_pending(const struct blocks *blocks);

#endif
