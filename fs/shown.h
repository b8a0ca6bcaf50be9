/* shown: attributes that are not stored: what a mount shows of a file's place in the cluster. */
#ifndef RINGFS_FS_SHOWN_H
#define RINGFS_FS_SHOWN_H

#include "fs/mount.h"

/* They can be asked for by name, as other extended attributes, but are in no list, so that tools
 * which copy attributes do not meet them. All begin with SHOWN_PREFIX; nothing else that does is
 * stored. */
#define SHOWN_PREFIX "user.ringfs."
/* Setting it to anything drops what the mount and the kernel keep of the file, or of a directory
 * and all below it. */
#define SHOWN_REFRESH "user.ringfs.refresh"

/* Whether the name is one of these. */
bool shown_is(const char *name);
/* Appends the value for a pinned inode that is known: `key`, `replicas`, of files also `version`
 * and `conflicts`. ERR_NO_ATTRIBUTE. */
int shown_get(const struct mount *mount, const struct inode *inode, const char *name,
              struct buffer *into);
/* Nothing that was read of the inode, or of what lies below it, is believed any more; calls `each`
 * for all of them that the kernel may know, to be told so. ERR_STALE. Does not suspend. */
int shown_refresh(struct mount *mount, uint64_t ino, void (*each)(void *context, uint64_t ino),
                  void *context);

#endif
