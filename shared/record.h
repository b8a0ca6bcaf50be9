/* record: what a name in a directory stands for: attributes and where the contents are. */
#ifndef RINGFS_SHARED_RECORD_H
#define RINGFS_SHARED_RECORD_H

#include <stdbool.h>
#include <sys/types.h>

#include "shared/bytes.h"

/* The value of an entry's row. Layout, versioned, with an offset table: docs/schema.md. Pure. */
enum {
    RECORD_INLINE_MAX = 4096, /* contents of at most this size live in the record */
    RECORD_TARGET_MAX = 4095, /* a symlink's target */
    RECORD_EXTENTS_MAX = 2 << 10,
    RECORD_XATTRS_MAX = 64 << 10,
    NAME_SIZE_MAX = 255,
    BLOCK_SIZE = 64 << 10,
    STRIPE_BLOCKS = 16, /* blocks of one partition: a stripe of 1 MiB */
    SHARD_BITS_MAX = 8,
    RECORD_LINEAGE_MAX = 4,
    RECORD_DISPLACED_MAX = 80 << 10, /* more than any encoded record that a name's row holds */
    LINK_NAMES_MAX = 1000,           /* of one file; one more: ERR_TOO_MANY_LINKS */
};

/* 128 random bits, for life. The root directory's is all zeros but the last byte, 1. */
struct id128 {
    uint8_t bytes[16];
};
bool id128_equal(const struct id128 *a, const struct id128 *b);
bool id128_is_zero(const struct id128 *id);
/* 1 to 255 bytes, no slash, not "." or "..". 0, ERR_INVALID, ERR_NAME_TOO_LONG. */
int name_check(const char *name);

enum contents_kind {
    CONTENTS_INLINE = 0, /* in the record (a file of size 0 too) */
    CONTENTS_BLOCKS = 1, /* in rows of `contents` */
    CONTENTS_LINKED = 2, /* this is only a pointer: the record is in the file's own row */
};

/* One of the names of a file that has several. */
struct link_name {
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1];
};

/* A rename to another partition that is under way, kept in the source's record (see namespace.h).
 */
struct record_move {
    bool under_way;
    struct id128 txid;
    struct id128 to_directory;
    char to_name[NAME_SIZE_MAX + 1];
    uint64_t started_ns;
};

/* The last rename that brought the record here from another partition: who removes or moves the
 * record first makes sure that the source is gone. No arrival: txid all zeros. */
struct record_arrival {
    struct id128 txid;
    struct id128 from_directory;
    char from_name[NAME_SIZE_MAX + 1];
};

/* When groups of attributes were last changed, ns since 1970; 0 = not since it was made. `times`
 * are atime and mtime; a file's 0 there means that they were changed with the contents, at mtime.
 */
struct attribute_stamps {
    uint64_t mode_ns, owner_ns, times_ns, xattrs_ns;
};

struct record {
    uint32_t mode; /* type and permission bits, as st_mode */
    uint32_t uid, gid;
    uint64_t file_id;                     /* random, for life: the inode number */
    int64_t atime_ns, mtime_ns, ctime_ns; /* since 1970; may be negative */
    uint64_t size;          /* files: bytes, up to INT64_MAX; symlinks: of the target */
    uint64_t rdev;          /* device files */
    struct id128 directory; /* directories: where their entries are */
    enum contents_kind contents_kind;
    struct id128 contents; /* CONTENTS_BLOCKS: id of the blocks' rows */
    struct bytes data;     /* CONTENTS_INLINE: the contents, up to `size`, the rest reads as zeros;
                            * CONTENTS_BLOCKS: the tail, appended bytes that are not in the blocks
                            * (yet); symlinks: the target. See `owned` */
    uint64_t data_at;      /* of a tail: where in the file it belongs; else 0 */
    struct bytes extents; /* CONTENTS_BLOCKS, encoded (extents.h): where blocks may be stored; empty
                           * = anywhere up to the size */
    struct bytes xattrs;  /* encoded list (xattrs.h); empty = none */
    struct bytes links;   /* in a file's own row: encoded, its names; empty in a name's row */
    /* Of the side of an exchange that arrived: the encoded record that goes back to where it came
     * from, until it is there. */
    struct bytes displaced;
    struct record_arrival arrival;
    struct record_move move;
    /* Another record may name the same contents (a file that both sides of a partition changed in
     * place): whoever gives them up leaves the blocks to the sweeper. */
    bool contents_shared;
    struct attribute_stamps changed;
    bool linking; /* frozen: the file is about to get a row of its own */
    /* The versions that it came from, latest first (the first half of their writes' operation ids):
     * a writer whose answer got lost finds out here whether its write took place. */
    uint64_t lineage[RECORD_LINEAGE_MAX];
    uint8_t n_lineage;
    void *owned; /* what all `bytes` here point into, when the record owns it; NULL = borrowed */
};

/* The bounds above and what the fields must be to each other; ERR_INVALID when they are not. */
int record_check(const struct record *record);
/* Whether there are bytes in the record that belong over the blocks. */
bool record_has_tail(const struct record *record);
/* The record must pass record_check() (asserted). */
void record_encode(const struct record *record, struct buffer *into);
/* What is `bytes` borrows `encoded`. ERR_INVALID for anything malformed or over a bound. */
int record_decode(struct bytes encoded, struct record *ret);
/* Of a record's first RECORD_HEAD_SIZE bytes: mode and what record_ino() needs, all else is zeros.
 * False when they do not say it, or a name's record is more than that (a rename under way). */
enum { RECORD_HEAD_SIZE = 80 };
bool record_peek(struct bytes head, struct record *ret);
/* A deep copy that owns its bytes; record_release() frees them. `ret` need not be initialized. */
void record_copy(const struct record *from, struct record *ret);
void record_release(struct record *record);
/* Replaces the inline data (copied), keeping xattrs; the record owns its bytes afterwards. Size and
 * contents_kind stay the caller's to set. */
void record_set_data(struct record *record, struct bytes data);
/* The same for the xattrs. */
void record_set_xattrs(struct record *record, struct bytes xattrs);
/* The same for the extents. */
void record_set_extents(struct record *record, struct bytes extents);
/* The same for what an exchange displaced. */
void record_set_displaced(struct record *record, struct bytes displaced);
/* How many names a record of a file's own row lists; 0 for a record of a name's row. */
uint32_t record_n_links(const struct record *record);
/* Takes the names out of a reader of record->links, one after another; false at the end. */
bool record_next_link(struct reader *links, struct link_name *ret);
bool record_has_link(const struct record *record, const struct id128 *directory, const char *name);
/* Adds a name (nothing happens when it is there); the record owns its bytes afterwards.
 * ERR_TOO_MANY_LINKS. */
int record_add_link(struct record *record, const struct id128 *directory, const char *name);
/* Takes a name out; nothing happens when it is not there. */
void record_drop_link(struct record *record, const struct id128 *directory, const char *name);
/* Whether two files hold the same contents, as far as the records tell. */
bool record_same_contents(const struct record *a, const struct record *b);

/* The inode number of a file or directory: of the root 1, else never 0 or 1. */
uint64_t record_ino(const struct record *record);
/* The same for a directory of which only the id is known. */
uint64_t directory_ino(const struct id128 *directory);

/* A directory's header: the row `h` of its partition. */
enum directory_state {
    DIRECTORY_LIVE = 1,
    DIRECTORY_DYING = 2, /* being removed: creates in it fail */
};
struct header {
    enum directory_state state;
    uint32_t mode, uid, gid;
    int64_t atime_ns, mtime_ns, ctime_ns; /* as set; entries made or removed since: see below */
    /* The tally's changed_ns when mtime was set: mtime holds until the tally goes beyond it. */
    uint64_t mtime_tally_ns;
    struct id128 parent;
    char name[NAME_SIZE_MAX + 1]; /* in the parent, when it was made or moved last; root: empty */
    uint8_t shard_bits;
    struct bytes xattrs; /* encoded list (xattrs.h), at most RECORD_XATTRS_MAX; borrowed */
    struct attribute_stamps changed;
};
/* shard_bits at most SHARD_BITS_MAX; other bounds as in records. ERR_INVALID as there. */
void header_encode(const struct header *header, struct buffer *into);
/* xattrs borrow `encoded`. */
int header_decode(struct bytes encoded, struct header *ret);

/* ---- record_merge.c: attributes that two sides changed ---- */

/* Stamps what differs from `before`, after each change: with `now_ns`, or just later than before.
 */
void record_mark_changes(const struct record *before, struct record *record, uint64_t now_ns);
void header_mark_changes(const struct header *before, struct header *header, uint64_t now_ns);
/* Of two versions: each group of attributes that was changed later in `other` is taken from there
 * (bytes are borrowed). The mode and an access ACL, which say the same, go together. */
void record_merge_attributes(struct record *record, const struct record *other);
void header_merge_attributes(struct header *header, const struct header *other);

#endif
