/* namespace: directories, names and files as rows of a store: everything that a path means. */
#ifndef RINGFS_SHARED_NAMESPACE_H
#define RINGFS_SHARED_NAMESPACE_H

#include "shared/record.h"
#include "shared/store.h"

/* The mount, ringctl and the gateway reach files through these calls only. Every call may suspend,
 * runs in a task, and answers 0 or an error of err.h (NO_ENTRY, EXISTS, NOT_DIRECTORY,
 * IS_DIRECTORY, NOT_EMPTY, STALE, NAME_TOO_LONG, or what the store answered). Schema and crash
 * order: docs/schema.md.
 *
 * Every change is a conditional batch on one partition: read (usually cached by the caller as a
 * `struct entry`), change, put IF_MATCH, on a mismatch apply the change to the newer row and put
 * again. What spans partitions goes in an order in which a crash leaves the old state, the new
 * state, or a leftover that the next one to meet it finishes. Permissions are not checked here.
 *
 * The namespace keeps a bounded cache of directory headers (what a create's guard needs); it is
 * corrected by conflicts, never trusted. */
enum {
    NAMESPACE_HEADERS_MAX = 4096,     /* cached */
    NAMESPACE_PAGE_BYTES = 128 << 10, /* of a scan's answer: several fit a connection's credit */
    NAMESPACE_RETRIES_MAX = 64, /* of a conditional batch, with short waits, before ERR_BUSY */
    NAMESPACE_PATH_MAX = 4096,
    ROOT_SHARD_BITS = 4,
    MOVE_ABANDONED_NS_SECONDS = 10, /* a rename under way for longer is undone by who meets it */
};

struct namespace;

/* Reads the superblock, writes it when the cluster has none yet. ERR_NOT_SUPPORTED for a format
 * version of a later ringfs. Borrows the store. */
int namespace_open(struct store *store, struct namespace **ret);
void namespace_close(struct namespace *ns);
/* The id of the root directory. */
extern const struct id128 namespace_root;

/* A name in a directory and the record it stood for when it was read. Owned: entry_release(). */
struct entry {
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1];
    struct record record; /* owns its bytes */
    struct bytes seen;    /* owned: encoded context, what the next put must match */
    struct op_id version; /* of the sibling shown: equal = unchanged contents and attributes */
    uint16_t n_conflicts; /* other versions, which show under names of their own */
    bool linked;          /* the record is in the file's own row: it has several names, or had */
    uint32_t n_links;     /* how many names it has; of what was unlinked or replaced: has left */
    /* It was written or removed without a majority: versions that nobody here has seen may name the
     * blocks that it named before, which are not to be removed. */
    bool alone;
    /* Of what namespace_create(), _mkdir(), _unlink() and _rename() within a partition answer: the
     * directory's mtime after it; 0 = it has to be read. */
    int64_t directory_changed_ns;
};
void entry_release(struct entry *entry);
void entry_copy(const struct entry *from, struct entry *ret);

/* ---- names ---- */
/* The entry of a name; finishes or undoes a rename that it meets under way. */
int namespace_lookup(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret);
/* Makes a name for a record (file, symlink, device, fifo; copied; its file_id is chosen here when
 * 0). ERR_EXISTS when there is one: `ret` then is the existing entry. ERR_NO_ENTRY when the
 * directory is gone. */
int namespace_create(struct namespace *ns, const struct id128 *directory, const char *name,
                     const struct record *record, struct entry *ret);
/* The same as for open(2) without O_EXCL: made also without a majority (store_available.h), where
 * it may meet another one of its name later. `synced`: on W disks before the answer. */
int namespace_create_available(struct namespace *ns, const struct id128 *directory,
                               const char *name, const struct record *record, bool synced,
                               struct entry *ret);
/* Changes a record: `change` edits `record` (record_set_data() for data) and returns 0, or an error
 * that ends the call. It runs again on the newer record when another writer came first, so it must
 * state the change, not the result. `entry` becomes what was stored. ERR_STALE when the name now
 * stands for another file (file_id differs) or for none. `synced`: on W disks before the answer. */
int namespace_update(struct namespace *ns, struct entry *entry,
                     int (*change)(void *context, struct record *record), void *context,
                     bool synced);
/* Removes a name that is no directory. `ret_removed` (may be NULL) is what it stood for; when it
 * has no names left (n_links 0), the blocks are the caller's to remove with contents_remove() when
 * nobody has the file open. */
int namespace_unlink(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret_removed);
/* Renames within and across directories, replacing what is there as rename(2) says.
 * RENAME_NOREPLACE and RENAME_EXCHANGE. ERR_LOOP. `ret_replaced` (may be NULL; its name is empty
 * when nothing was replaced) as in unlink; `ret_moved` (may be NULL) is the entry at its new place;
 * a pointer (CONTENTS_LINKED) when its file could not be read after it. Names of one and the same
 * file: nothing happens. */
int namespace_rename(struct namespace *ns, const struct id128 *from_directory,
                     const char *from_name, const struct id128 *to_directory, const char *to_name,
                     unsigned flags, struct entry *ret_moved, struct entry *ret_replaced);

/* Finishes or undoes at once this renaming, whose client is known to have died. */
int namespace_settle_rename(struct namespace *ns, const struct id128 *from_directory,
                            const char *from_name, const struct id128 *to_directory,
                            const char *to_name);

/* ---- directories ---- */
struct directory_attributes {
    uint32_t mode, uid, gid;
    int64_t atime_ns, mtime_ns, ctime_ns;
    uint64_t n_entries;
    struct id128 parent;
    struct bytes xattrs; /* encoded list (xattrs.h); owned where a call here answered with it */
};
void directory_attributes_release(struct directory_attributes *attributes);
/* mode: permission bits only. ERR_EXISTS as in create. */
int namespace_mkdir(struct namespace *ns, const struct id128 *directory, const char *name,
                    uint32_t mode, uint32_t uid, uint32_t gid, struct entry *ret);
/* The same, with mode, uid, gid and xattrs of `made`. */
int namespace_mkdir_as(struct namespace *ns, const struct id128 *directory, const char *name,
                       const struct directory_attributes *made, struct entry *ret);
int namespace_rmdir(struct namespace *ns, const struct id128 *directory, const char *name);
/* ERR_STALE when the directory is gone. `ret` is owned: directory_attributes_release(). */
int namespace_attributes(struct namespace *ns, const struct id128 *directory,
                         struct directory_attributes *ret);
/* What chmod, chown and utimens set: only the fields named in `mask`. */
enum attribute_mask {
    ATTRIBUTE_MODE = 1,
    ATTRIBUTE_UID = 2,
    ATTRIBUTE_GID = 4,
    ATTRIBUTE_ATIME = 8,
    ATTRIBUTE_MTIME = 16,
    ATTRIBUTE_CTIME = 32,
    ATTRIBUTE_XATTRS = 64,
};
/* ctime becomes now unless it is set. `ret` is owned. */
int namespace_set_attributes(struct namespace *ns, const struct id128 *directory, unsigned mask,
                             const struct directory_attributes *attributes,
                             struct directory_attributes *ret);
/* A change that depends on what is there: `change` edits the attributes and answers a mask of the
 * fields that count, or an error that ends the call. It runs again on newer attributes when another
 * writer came first. xattrs that it sets are borrowed until it runs again or the call ends. */
int namespace_update_directory(struct namespace *ns, const struct id128 *directory,
                               int (*change)(void *context,
                                             struct directory_attributes *attributes),
                               void *context, struct directory_attributes *ret);

/* A page of a listing, by cookie. What comes and goes never makes it skip or repeat others. */
struct listing_entry {
    uint64_t cookie; /* >= 16; rises strictly but among names of one hash, which share a page */
    struct entry entry;
};
struct listing {
    struct listing_entry *entries; /* owned: listing_release() */
    uint32_t n;
    bool end; /* nothing after these */
};
void listing_release(struct listing *listing);
/* The cookie that the entries of this name have. */
uint64_t namespace_cookie(const char *name);
/* Entries with a cookie greater than `after` (0 = from the start), about `entries_max` of them and
 * at least one unless at the end. Directories' records have no header attributes. */
int namespace_list(struct namespace *ns, const struct id128 *directory, uint64_t after,
                   uint32_t entries_max, struct listing *ret);
/* The same of names, types and what record_ino() says alone; little else is sent. */
int namespace_list_names(struct namespace *ns, const struct id128 *directory, uint64_t after,
                         uint32_t entries_max, struct listing *ret);

/* ---- paths ---- */
/* Walks "/a/b/c" (also "a/b/c"; "." and ".." and empty parts as in path_resolution(7); symlinks are
 * not followed). The root: ERR_IS_DIRECTORY. For a missing last part: ERR_NO_ENTRY with `ret`
 * holding directory and name, an empty record and no `seen`, so that it can be created. */
int namespace_resolve(struct namespace *ns, const char *path, struct entry *ret);
/* The directory a path names, the root included. */
int namespace_resolve_directory(struct namespace *ns, const char *path, struct id128 *ret);
/* The partition key and sort key under which a path's entry lives, for "where is it": appended to
 * empty buffers. Resolves the parents. */
int namespace_where(struct namespace *ns, const char *path, struct buffer *ret_partition,
                    struct buffer *ret_sort);

/* The keys of the row of a name in a directory, or of the directory's header (`name` ""): appended.
 * Does not suspend. */
void namespace_row_of(const struct id128 *directory, const char *name, struct buffer *ret_partition,
                      struct buffer *ret_sort);

/* Calls `each` for every partition that holds rows of the path: its entry's, and a directory's own
 * or a file's blocks'. The same partition may come twice. */
int namespace_partitions(struct namespace *ns, const char *path,
                         void (*each)(void *context, struct bytes partition_key), void *context);
/* Appends what a row's key means: a path, a block of contents, or the bytes of the key as far as
 * they can be printed. `ns` NULL, or a directory whose path cannot be told any more: its id. May
 * suspend, unless `ns` is NULL. */
void namespace_describe(struct namespace *ns, struct bytes partition_key, struct bytes sort_key,
                        struct buffer *into);

/* ---- whole values, for ringctl and the gateway ---- */
/* Writes a file's whole contents from `source` (returns bytes read into `into`, 0 at the end, or an
 * error), creating it (mode, uid, gid) or replacing the old contents in one step; streamed, a few
 * blocks in memory. */
int namespace_put(struct namespace *ns, const char *path, uint32_t mode, uint32_t uid, uint32_t gid,
                  int64_t (*source)(void *context, uint8_t *into, size_t size), void *context);
/* Sends a file's contents to `sink` in order; an error from it ends the call. */
int namespace_get(struct namespace *ns, const char *path,
                  int (*sink)(void *context, struct bytes data), void *context);

#include "shared/namespace_contents.h"

#endif
