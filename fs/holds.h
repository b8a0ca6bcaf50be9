/* holds: files that are open here keep their contents when another mount removes them. */
#ifndef RINGFS_FS_HOLDS_H
#define RINGFS_FS_HOLDS_H

#include "fs/file.h"

/* The mount that removes a file's last name keeps the blocks for `keep_ns` (mount_config). A mount
 * that has it open asks every HOLDS_LOOK_NS whether the file is still there; when it is not, it
 * stores a *hold* on the contents, and again every HOLDS_LOOK_NS while it has it open. When the
 * time is over the remover looks for holds, and waits on while there are any.
 *
 * A hold counts only if it was stored within half of `keep_ns` after the file was last seen alive:
 * then the remover cannot have looked yet. What came too late, and any write to a file that is
 * gone, is ERR_STALE. Files in the record need no hold: their contents are in memory. */
enum { HOLDS_KEPT_MAX = 8192 }; /* contents that wait; beyond, they are removed at once */
#define HOLDS_KEEP_NS 30000000000ll
#define HOLDS_LOOK_NS 5000000000ll

/* Begins to look after open files. */
int holds_start(struct mount *mount);
/* Removes the blocks of a file without names, when nobody has it open any more. */
void holds_remove(struct mount *mount, const struct id128 *contents, const struct extents *stored);
/* May suspend. mount_refresh() for an inode that may be open: what is known of a file that another
 * mount removed stays good while its contents are held. */
int holds_refresh(struct mount *mount, struct inode *inode, int64_t age_ns);

#endif
