/* namespace_rows: the namespace's keys, and reading and writing its rows. Private to namespace*.c.
 */
#ifndef RINGFS_SHARED_NAMESPACE_ROWS_H
#define RINGFS_SHARED_NAMESPACE_ROWS_H

#include "shared/namespace.h"
#include "shared/namespace_available.h"
#include "shared/namespace_commit.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_link.h"

/* Keys: docs/schema.md. Large enough for every key. */
struct key {
    uint8_t data[1 + 8 + NAME_SIZE_MAX];
    size_t size;
};
static inline struct bytes key_bytes(const struct key *key) {
    return (struct bytes){key->data, key->size};
}
/* 63 bits: what orders a listing and picks the shard. */
uint64_t name_hash(const char *name);
uint8_t directory_shard_bits(const struct id128 *directory);
uint8_t directory_shard(const struct id128 *directory, uint64_t hash);
struct key key_directory(const struct id128 *directory, uint8_t shard);
struct key key_header(void);
struct key key_entry(const char *name);
/* The lowest key of an entry whose name has a hash of `hash` or more. */
struct key key_entries_from(uint64_t hash);
struct key key_entries_end(void);
struct key key_stripe(const struct id128 *contents, uint64_t stripe);
struct key key_block(uint64_t index);
/* The number that eight bytes of a key stand for. */
uint64_t key_number(const uint8_t *at);
/* Which block the sort key is of; false when it is none's. */
bool key_block_index(struct bytes sort_key, uint64_t *ret);
struct key key_superblock(void);
struct key key_holds(const struct id128 *contents);
/* Of the row of a file with several names. */
struct key key_file(uint64_t file_id);
/* Of the row that holds an entry's record: the name's, or the file's own. */
struct key key_entry_partition(const struct entry *entry);
struct key key_entry_sort(const struct entry *entry);

/* A slot of the cache of headers: what a create needs for its guard. */
struct header_slot {
    struct id128 directory;
    struct bytes seen; /* owned; the header's context */
};

struct namespace {
    struct store *store;
    /* Contents of which no majority knows, by id, direct-mapped: what may be written alone. */
    struct id128 fresh[FRESH_CONTENTS_MAX];
    struct header_slot *headers;             /* NAMESPACE_HEADERS_MAX, direct-mapped by id */
    uint64_t barrier_up_ns, barrier_down_ns; /* when it was last seen so; 0: sweep_barrier.h */
};

/* Fresh and random: of a directory, of contents, of a rename. Never zero, never the root's. */
struct id128 namespace_id(struct namespace *ns);

/* ---- entries ---- */
/* Fills `ret` from a row's versions. 0; ERR_NO_ENTRY (the row has no live sibling: directory, name
 * and seen are set all the same); ERR_CORRUPT for a value that is no record. `ret` is overwritten,
 * and to be released whatever the answer. */
int entry_from_versions(const struct id128 *directory, const char *name,
                        const struct versions *versions, struct entry *ret);
/* The same from encoded versions. */
int entry_from_encoded(const struct id128 *directory, const char *name, struct bytes versions,
                       struct entry *ret);
/* Reads an entry's row as it is, a rename under way included. May suspend. */
int entry_read(struct namespace *ns, const struct id128 *directory, const char *name,
               struct entry *ret);
/* Becomes what ops[index] of a commit stored: a copy of `record`, the new context, the version. */
void entry_stored(struct entry *entry, const struct record *record, const struct commit *commit,
                  uint32_t index);
/* Removes the entry's row if it is still what `entry` saw; *ret_changed_ns (may be NULL) is the
 * directory's mtime then. ERR_CONFLICT when not; *ret_doubtful (may be NULL) is then as in struct
 * commit. May suspend. */
int entry_delete(struct namespace *ns, const struct entry *entry, int64_t *ret_changed_ns,
                 bool *ret_doubtful);
/* Whoever replaces or removes a row that several versions stand in gives the others rows of their
 * own first: entry_replace() and entry_delete() do, and answer ERR_CONFLICT. */
/* Makes `record` a successor of the version that `entry` shows. */
void record_succeed(struct record *record, const struct entry *entry);
/* Replaces the record of the row if it is still what `entry` saw; on 0 the entry is what was
 * stored, or what others made of it since (a write whose answer got lost). `record` is borrowed.
 * ERR_CONFLICT: entry is the newer one; ERR_NO_ENTRY: the row is gone; ERR_UNKNOWN: it was changed
 * too often since to tell whether this write took place. May suspend. */
int entry_replace(struct namespace *ns, struct entry *entry, const struct record *record,
                  store_options options);
/* Whether what was read of an entry is all that its removal or renaming needs: no directory, one
 * name, one version, nothing under way. */
bool entry_is_plain(const struct entry *entry);
/* Whether two records are of one file or directory. */
bool record_same_file(const struct record *a, const struct record *b);

/* ---- headers ---- */
struct header_row {
    bool found;           /* there is a live one, in `header` */
    bool deleted;         /* there was one */
    struct header header; /* its xattrs lie behind `seen` in the same memory */
    struct bytes seen;    /* owned: free() */
    uint64_t stamp_ns;    /* of the header that was read; 0 = none */
    struct tally tally;
};
/* Whether names came or went since mtime was set. The tally alone does not tell: a replica that
 * missed the making of the header, and got it later, counts that as a change when the header that
 * it got was written. */
bool header_names_changed(const struct header_row *row);
/* Reads the header's row; the root without one gets its defaults and found = false. Keeps the cache
 * right. 0, ERR_CORRUPT, or the store's error. `ret` is overwritten; free(ret->seen.data) when the
 * answer was 0. May suspend. */
int header_read(struct namespace *ns, const struct id128 *directory, struct header_row *ret);
/* Writes it under IF_MATCH `row->seen`, with the mtime that it shows; row->seen becomes the new
 * context, and header.xattrs a copy. May suspend. */
int header_write(struct namespace *ns, const struct id128 *directory, struct header_row *row,
                 store_options options);
/* The cached context of a live header, copied (owned by the caller); read when it is not cached.
 * Of the root: empty, it needs no guard. ERR_NO_ENTRY when the directory is gone; one that was left
 * dying is removed for good on the way. May suspend. */
int header_guard(struct namespace *ns, const struct id128 *directory, struct bytes *ret_seen);
bool header_cached(const struct namespace *ns, const struct id128 *directory);
void header_remember(struct namespace *ns, const struct id128 *directory, struct bytes seen);
void header_forget(struct namespace *ns, const struct id128 *directory);
/* The guard's operation: the header is as `seen` (borrowed). Not for the root. */
struct row_op header_guard_op(const struct key *header, struct bytes seen);

/* The first, irrevocable step of removing a directory: marks its header dying if there is no entry.
 * 0 also when it was dying or gone already. ERR_NOT_EMPTY. May suspend. */
int rmdir_begin(struct namespace *ns, const struct id128 *child);
/* The last: removes a dying header. May suspend. */
int rmdir_end(struct namespace *ns, const struct id128 *child);
/* Finishes the removal of a directory whose header is dying or deleted: removes `entry` when it is
 * (still) its name, then the header. May suspend. */
int rmdir_finish(struct namespace *ns, const struct id128 *child, const struct id128 *parent,
                 const char *name);

/* ---- renames between partitions (namespace_move.c) ---- */
enum standing {
    STANDING_HERE,   /* the entry stands */
    STANDING_MOVING, /* a rename is under way in another client: stands for now, is not to change */
    STANDING_SETTLED, /* a leftover was finished or undone: read the row again */
};
/* Finishes, undoes or leaves the rename that `entry` is the source of. May suspend. */
int move_settle(struct namespace *ns, const struct entry *entry, enum standing *ret);
/* The steps after the commit point, for the source of a rename that has arrived; `displaced` is the
 * record's that did. May suspend. */
int move_finish(struct namespace *ns, const struct entry *source, struct bytes displaced);
/* Takes the mark off a source whose rename never arrives. ERR_CONFLICT or ERR_NO_ENTRY when the
 * source has changed. May suspend. */
int move_unmark(struct namespace *ns, const struct entry *source);
/* Whether what began then is no longer its client's. */
bool move_abandoned(struct namespace *ns, uint64_t started_ns);
/* Points the header of a live directory to its place, unless another rename has moved it on from
 * the parent `from` already. May suspend. */
int back_pointer_set(struct namespace *ns, const struct id128 *child, const struct id128 *from,
                     const struct id128 *parent, const char *name);
/* Makes sure that the source of the rename that brought `record` to its place is gone. To be called
 * before the entry is removed, replaced or moved on. May suspend. */
int move_source_gone(struct namespace *ns, const struct record *record);
/* Makes a name for a record that passes record_check(), under its directory's guard. As
 * namespace_create(). May suspend. */
int entry_insert(struct namespace *ns, const struct id128 *directory, const char *name,
                 const struct record *record, struct entry *ret);
/* Moves of directories to other parents go one at a time, or two of them could each pass its check
 * and together close a loop. Waits for its turn. `ret` is held until tree_unlock().
 * ERR_LOOP when `child` is `parent` or above it. May suspend. */
struct tree_lock {
    struct bytes seen; /* owned */
    uint64_t started_ns;
};
int tree_lock(struct namespace *ns, const struct entry *child, const struct id128 *parent,
              struct tree_lock *ret);
/* ERR_LOOP when the directory `child` is `parent` or above it. May suspend. */
int tree_check(struct namespace *ns, const struct id128 *child, const struct id128 *parent);
void tree_unlock(struct namespace *ns, struct tree_lock *lock);
/* Whether it may still be relied on: others take it over after MOVE_ABANDONED_NS_SECONDS. */
bool tree_locked(struct namespace *ns, const struct tree_lock *lock);

/* Settles a rename and a crashed rmdir that `entry` is left over from. May suspend. */
int entry_stands(struct namespace *ns, const struct entry *entry, enum standing *ret);
/* entry_read() of what stands; what changes an entry begins with it: it waits until no rename is
 * under way. ERR_NO_ENTRY and the rest as entry_read(). May suspend. */
int entry_read_settled(struct namespace *ns, const struct id128 *directory, const char *name,
                       struct entry *ret);

#endif
