/* unmade: files whose name is not stored yet: it goes with their first contents. */
#ifndef RINGFS_FS_UNMADE_H
#define RINGFS_FS_UNMADE_H

#include "fs/mount.h"

/* What open(2) makes with O_CREAT|O_TRUNC and without O_EXCL is to have new contents, whoever made
 * it. So where leases say that there is no such name, the file exists in this mount only (`unmade`)
 * until its first write is stored, or flush, fsync, or a second has passed: name and contents are
 * one request then. Its open file counts as changed from the start, so the ways that store changes
 * store the name. Another mount cannot see it before.
 *
 * All there is of it is its `known`, which never goes, and which the survivor keeps: the next
 * worker has the file as unmade, or finds that it was stored.
 *
 * Whatever else is done with such a name, or with all names of its directory, stores it first
 * (unmade_settle*()), and then goes on as with any file. At most INODES_UNMADE_MAX on a mount. */

/* Whether what is made with these flags of open(2) in the pinned directory may be stored later. May
 * suspend: for the directory's attributes. */
bool unmade_may(struct mount *mount, struct inode *directory, const char *name, int flags);
/* Makes it in the pinned directory, here only; `record` is copied and gets its number. ERR_BUSY:
 * the next worker could not know of it; then nothing was made. Does not suspend. */
int unmade_new(struct mount *mount, struct inode *directory, const char *name,
               const struct record *record, struct inode **ret);

/* The calls below may suspend. */
/* For mount_update(): stores it, changed. ERR_CONFLICT: it is stored already, without the change.
 * A plain file that another mount has made there meanwhile is replaced; what else is there, or no
 * directory, is ERR_STALE. */
int unmade_store(struct mount *mount, struct inode *inode,
                 int (*change)(void *context, struct record *record), void *context, bool synced);
/* For mount_refresh(): finds out whether an earlier worker has stored it. */
int unmade_look(struct mount *mount, struct inode *inode);
/* Until it is stored; 0 at once when it is. The inode is pinned. */
int unmade_settle(struct mount *mount, struct inode *inode);
/* The same of whatever the name in the pinned directory stands for: such a file, or a directory in
 * which there are some. */
int unmade_settle_name(struct mount *mount, struct inode *directory, const char *name);
/* The same of all in the pinned directory. */
int unmade_settle_in(struct mount *mount, struct inode *directory);
/* It could not be stored, and nobody has it open any more. Does not suspend. */
void unmade_drop(struct mount *mount, struct inode *inode);

#endif
