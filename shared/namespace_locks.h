/* namespace_locks: the rows that locks across mounts consist of: a file's locks, a mount's lease.
 */
#ifndef RINGFS_SHARED_NAMESPACE_LOCKS_H
#define RINGFS_SHARED_NAMESPACE_LOCKS_H

#include "shared/lock_table.h"
#include "shared/namespace.h"

/* Rows are read at their steward and changed by conditional batches only, so they have one value
 * and a majority of their replicas is needed for each step. Every call may suspend. When to wait
 * for whom, and who is dead, is decided by fs/locks.h; here is only what the rows say. */
enum {
    LEASE_MS_MIN = 1000,
    LEASE_MS_MAX = 3600 * 1000,
};

/* ---- the locks of a file ---- */
struct lock_row {
    struct lock_table table;
    struct bytes seen; /* owned: what the next write must match; empty = nobody wrote it yet */
};
void lock_row_release(struct lock_row *row);
/* `ret` (zero-initialized or a row) becomes what is stored; untouched on an error. */
int lock_row_read(struct namespace *ns, uint64_t ino, struct lock_row *ret);
/* Stores a table if the row is still as `row` saw it; `row` is then what was stored. ERR_CONFLICT:
 * `row` is what others have made of it. After any other error it may or may not be stored: read the
 * row again. A table without locks removes the row. */
int lock_row_write(struct namespace *ns, uint64_t ino, const struct lock_table *table,
                   struct lock_row *row);

/* ---- the lease of a mount ---- */
/* A lease stands as long as its row lives. It is made once under an id that nobody ever had, and
 * what has ended it cannot be undone: each renewal matches the one before. */
struct lease_row {
    uint32_t
        lease_ms; /* unchanged for this long on the clock of whoever looks: the mount is dead */
    struct bytes seen; /* owned; other bytes = it was renewed meanwhile */
};
void lease_row_release(struct lease_row *row);
/* Makes it; `row`->lease_ms is given, within the bounds, `seen` is set. */
int lease_make(struct namespace *ns, const struct id128 *mount, struct lease_row *row);
/* ERR_CONFLICT: somebody has ended it. Other errors: try again with the same row. */
int lease_renew(struct namespace *ns, const struct id128 *mount, struct lease_row *row);
/* ERR_NO_ENTRY: it has ended. `ret` zero-initialized or a row; untouched on an error. */
int lease_read(struct namespace *ns, const struct id128 *mount, struct lease_row *ret);
/* Ends it if it was not renewed since `row` was read. 0 also when it had ended; ERR_CONFLICT when
 * its mount lives. */
int lease_end(struct namespace *ns, const struct id128 *mount, const struct lease_row *row);

#endif
