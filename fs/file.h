/* file: an open file as this mount sees it: what is stored, and what was written since. */
#ifndef RINGFS_FS_FILE_H
#define RINGFS_FS_FILE_H

#include "fs/appends.h"
#include "fs/blocks.h"
#include "fs/file_attributes.h"
#include "fs/patches.h"

/* One per inode that is open, shared by its handles. The contents are either wholly in memory
 * (CONTENTS_INLINE: `data`, at most RECORD_INLINE_MAX bytes, stored in the record) or in blocks.
 *
 * What is stored and what is not:
 *   - The first write of a handle, up to FILE_FIRST_WRITE_MAX bytes, is stored on W nodes before it
 *     returns: `echo x > f` never looks at what close says. What follows is buffered, blocks leave
 *     when they are full, and the rest leaves with flush, fsync, or after MOUNT_WRITEBACK_NS.
 *     A file that this opening has made with O_EXCL is stored at close even so: who makes sure that
 *     there was none looks at what close says (tar, cp, rsync, git).
 *     The name of a file that is not stored yet (unmade.h) goes with the first record: such a file
 *     is dirty, and its contents begin anew, whenever it is open.
 *   - Blocks are stored first, the record that names them last.
 *   - Contents that begin anew (truncation to nothing, a small file that outgrows its record) are
 *     written under a fresh contents id and swapped in with the record (`replaced`): whoever reads
 *     elsewhere sees the old contents or the new, never a mix, never none.
 *   - Small files: changes are kept as patches too, and applied again when another mount was first.
 *   - Appends to blocks wait for the record, which decides whose come first (appends.h).
 *   - A file whose name is gone keeps working: its record is not written any more, its blocks are
 *     removed after the last close.
 *
 * Whatever changes the file happens in its turn (file_lock()); reading does not need it. */
enum {
    FILE_FIRST_WRITE_MAX = BLOCK_SIZE,
    FILE_REBASES_MAX = 16, /* times that other writers may come first before ERR_BUSY */
};
#define FILE_SIZE_MAX (1ull << 50)

struct file {
    struct mount *mount;
    struct inode *inode;       /* pinned; its known stays while the file is open */
    struct file *next, **link; /* among mount->files */
    uint32_t n_users;          /* handles, and operations under way */
    bool busy;                 /* somebody has the turn */
    struct task_queue turn;

    struct op_id version; /* of the record that the view began from */
    enum contents_kind kind;
    /* CONTENTS_INLINE: the contents, changes included. CONTENTS_BLOCKS: what the record held: the
     * tail, which belongs at `tail_at`, or what was inline when the contents are `replaced`. */
    struct buffer data;
    uint64_t tail_at;
    struct blocks blocks; /* CONTENTS_BLOCKS */
    uint64_t size;

    bool dirty;             /* the record has to be written */
    bool replaced;          /* the contents begin anew, whatever is stored */
    bool size_set;          /* truncated: `size` holds even when the record's is larger */
    bool grown;             /* CONTENTS_BLOCKS: a write in place went beyond the stored end */
    struct appends appends; /* CONTENTS_BLOCKS: behind the stored end */
    bool record_synced;     /* the record is on disks already */
    bool contents_synced;   /* what the record says of the contents is */
    struct patches patches; /* CONTENTS_INLINE: since the record */
    /* An append made the contents outgrow the record they had: that very record must still stand.
     */
    bool outgrown;
    bool uncertain;     /* a record was sent and not answered: it may be the stored one */
    bool has_old;       /* `old` was named by the record that is being replaced */
    struct removal old; /* (not linked) */
    /* Contents that the record names and this file has given up: how far they reach may be more
     * than the record says. */
    struct removal left;
    int64_t modified_ns;               /* wall: the last change, goes into the record */
    int64_t dirty_ns;                  /* monotonic: since when something is not stored */
    struct file_attributes attributes; /* not stored yet */
    uint32_t writer; /* the process that opened it for writing last; 0 when somebody closed it */
    int error;       /* of writing in the background: told once, by the next to ask */
    struct file_locks *locks; /* NULL = nobody has locked it since it was opened */
    uint32_t n_leases_lost;   /* times that locks on it were lost with the mount's lease */
    bool void_changes;        /* what is not stored was written under a lost lock */
    int64_t alive_ns;  /* monotonic: when the file was last seen to be there, or held: holds.h */
    int64_t looked_ns; /* monotonic: when that was last asked */
    bool held;         /* another mount has removed it; its contents stay */
    bool remembered;   /* the survivor has the contents: file_remember() */
};

/* The inode's open file, made from what is known of it (which must be there). Balance with
 * file_put(). */
struct file *file_get(struct mount *mount, struct inode *inode);
/* The last one writes what is left in the background, and removes the contents of a file that has
 * no name any more. */
void file_put(struct file *file);

/* May suspend: until it is this task's turn. ERR_TIMEOUT, ERR_INTERRUPTED. */
int file_lock(struct file *file);
void file_unlock(struct file *file);

/* Takes what is known of the inode when it is newer and nothing here is unwritten. Whoever looks at
 * the view calls it first. */
void file_adopt(struct file *file);
/* Whether contents are not stored yet. */
bool file_pending(const struct file *file);
/* The same of contents or times. */
bool file_unstored(const struct file *file);

/* ---- in its turn; may suspend ---- */
/* Writes at `offset`, or at the end. ERR_TOO_BIG beyond FILE_SIZE_MAX. */
int file_write_at(struct file *file, uint64_t offset, bool at_end, struct bytes data);
/* What was just appended may be stored already, or be on its way, by an earlier worker: it is
 * stored unless it is at its place in the record by then. */
void file_may_be_there(struct file *file);
int file_truncate(struct file *file, uint64_t size);
/* All that is written lies in the blocks, or all in the record. */
int file_settle(struct file *file);
/* The file was changed now. */
void file_touch(struct file *file);
/* Until everything is stored, on W disks when `synced`. `change` (may be NULL) goes into the same
 * record; with one, the record is written in any case. */
int file_store(struct file *file, bool synced, int (*change)(void *context, struct record *record),
               void *context);
/* Until the contents and what is needed to read them are on W disks: the record is left for later
 * when nothing but times would change in it. */
int file_store_data(struct file *file);
/* Forgets what was not stored, for a write that was refused. */
void file_forget_unstored(struct file *file);

/* ---- at once ---- */
/* What was written is about to be acknowledged. True when another worker will have it: all of it is
 * small and nothing was stored in the file before. The survivor keeps it until it is stored. */
bool file_remember(struct file *file);
/* Another worker would not have it. */
void file_unremember(struct file *file);
/* Locks on it were lost: what is not stored will not be. */
void file_lose_lease(struct file *file);

/* ---- any time; may suspend ---- */
/* `cached`: blocks that were read earlier will do. *ret_size: what was read; less than asked for at
 * the end only. */
int file_read(struct file *file, uint64_t offset, uint8_t *into, size_t size, bool cached,
              size_t *ret_size);
/* An error of writing in the background, once; 0 when there is none. */
int file_take_error(struct file *file);

#endif
