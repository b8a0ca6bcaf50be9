/* lock_table: the locks on one file: ranges of bytes, who holds them, and which exclude which. */
#ifndef RINGFS_SHARED_LOCK_TABLE_H
#define RINGFS_SHARED_LOCK_TABLE_H

#include "shared/record.h"

/* As fcntl(2) and flock(2) say. Locks of the two kinds never meet. An owner's locks of a kind do
 * not overlap; of one type they do not even touch: they are merged. Setting a range replaces what
 * the owner had there, which may split one lock into three. A flock is a lock on all bytes.
 * Expected sizes: a handful of locks. Pure, one thread. */
enum {
    LOCK_TABLE_MAX = 1024, /* of one file; ERR_NO_LOCKS beyond */
};
#define LOCK_TO_END UINT64_MAX

enum lock_kind { LOCK_POSIX = 1, LOCK_FLOCK = 2 };
enum lock_type { LOCK_NONE = 0, LOCK_SHARED = 1, LOCK_EXCLUSIVE = 2 };

struct lock {
    struct id128 mount;   /* the owner is (mount, owner), per kind */
    uint64_t owner;       /* the kernel's, opaque */
    uint32_t pid;         /* on the mount's host, for F_GETLK */
    uint8_t kind;         /* enum lock_kind */
    uint8_t type;         /* enum lock_type; never LOCK_NONE in a table */
    uint64_t first, last; /* bytes, both included; LOCK_TO_END = whatever the file's size */
};

/* Zero-initialized = no locks. Sorted by kind, owner and first byte. */
struct lock_table {
    struct lock *locks; /* owned */
    uint32_t n, capacity;
};
void lock_table_release(struct lock_table *table);
void lock_table_copy(const struct lock_table *from, struct lock_table *ret);

/* Mount, owner and kind are the same. */
bool lock_same_owner(const struct lock *a, const struct lock *b);
/* The first lock that keeps `lock` from being set; NULL when there is none. Borrowed. */
const struct lock *lock_table_conflict(const struct lock_table *table, const struct lock *lock);
/* Sets the range, or with LOCK_NONE gives it up, whatever others hold. ERR_NO_LOCKS, and nothing
 * changed, when the table would grow beyond LOCK_TABLE_MAX (to give up a part may split). */
int lock_table_set(struct lock_table *table, const struct lock *lock);
/* Whether the owner of `lock` holds anything of its kind. */
bool lock_table_holds(const struct lock_table *table, const struct lock *lock);
/* Removes all locks of a mount, or all but those of a mount. Whether there were any. */
bool lock_table_drop_mount(struct lock_table *table, const struct id128 *mount);
bool lock_table_drop_others(struct lock_table *table, const struct id128 *mount);
/* Adds the locks of another table, whose owners have none here. ERR_NO_LOCKS as above. */
int lock_table_join(struct lock_table *into, const struct lock_table *from);

/* The value of a lock row: docs/schema.md. ERR_INVALID for what is no such value, or breaks the
 * invariants; `ret` (zero-initialized or a table) is then untouched. */
void lock_table_encode(const struct lock_table *table, struct buffer *into);
int lock_table_decode(struct bytes encoded, struct lock_table *ret);
/* The invariants; asserts. */
void lock_table_check(const struct lock_table *table);

#endif
