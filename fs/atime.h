/* atime: when files were last read, as far as the mount is to keep it. */
#ifndef RINGFS_FS_ATIME_H
#define RINGFS_FS_ATIME_H

#include "fs/mount.h"

/* A time of access costs a record, so that by default none is kept but what utimensat(2) sets.
 * Where it is, it is stored after the file was closed, in the background; what cannot be stored is
 * lost. The kernel answers what it has in its pages without asking: reading those counts as read
 * when the file is opened for reading. Directories and symlinks have no times of access. */

/* What a handle has to remember, from its opening on. */
struct atime {
    int64_t read_ns; /* time of day; 0 = not read */
};

/* The file was read through an opening with `flags` of open(2), or may have been. */
void atime_read(const struct mount *mount, int flags, struct atime *atime);
/* The opening ends: stores the time if mount_config.atime says so. `inode` is known. May suspend
 * when there can be no further task. */
void atime_closed(struct mount *mount, struct inode *inode, const struct atime *atime);

#endif
