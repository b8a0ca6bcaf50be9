/* attributes: what stat(2) tells and what chmod, chown, utimensat and truncate change. */
#ifndef RINGFS_FS_ATTRIBUTES_H
#define RINGFS_FS_ATTRIBUTES_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "fs/mount.h"

/* All calls but attributes_of() may suspend. Permissions are the kernel's to check
 * (default_permissions). */

/* What is known of an inode (which must be there), with what its open file has not stored yet. The
 * node id that the kernel uses is st_ino. */
void attributes_of(const struct inode *inode, struct stat *ret);
/* From memory when it was read within the mount's attributes_ns, else from the store. */
int attributes_get(struct mount *mount, uint64_t ino, struct stat *ret);

/* How long the kernel may believe names in a watched directory that it would not be told of: it
 * asks again soon, and is answered from memory. */
#define ATTRIBUTES_NAME_WATCHED_NS 100000000
/* How long it may believe where nothing is watched that a name is missing. */
#define ATTRIBUTES_MISSING_NS 250000000
/* How long it may believe that a name in a directory stands for an inode, or (`ino` 0) for none. It
 * counts as told so: watch_give_name(). */
int64_t attributes_name_ns(struct mount *mount, uint64_t directory, const char *name, uint64_t ino);
/* How long what attributes_get() answered may be believed, so that nobody sees attributes older
 * than the mount's attributes_ns. */
int64_t attributes_left_ns(struct mount *mount, uint64_t ino);

/* The fields that change; times in ns since 1970. */
enum { ATTRIBUTE_SIZE = 1 << 16 }; /* beside enum attribute_mask */
struct attributes_change {
    unsigned mask;
    uint32_t mode; /* permission bits; the type stays */
    uint32_t uid, gid;
    int64_t atime_ns, mtime_ns;
    uint64_t size;
    uint32_t process; /* that asks for it; 0 = unknown */
};
/* Stored when it returns, but for what may wait (file_attributes.h); ctime becomes now. */
int attributes_set(struct mount *mount, uint64_t ino, const struct attributes_change *change,
                   struct stat *ret);

/* A change of a pinned inode's record or header, with what its open file has not stored yet; the
 * inode is then known as it was stored. `change` as in namespace_update() and
 * namespace_update_directory(). */
int attributes_change_file(struct mount *mount, struct inode *inode,
                           int (*change)(void *context, struct record *record), void *context);
int attributes_change_directory(struct mount *mount, struct inode *inode,
                                int (*change)(void *context,
                                              struct directory_attributes *attributes),
                                void *context);

/* From memory, always. */
void attributes_statvfs(const struct mount *mount, struct statvfs *ret);

#endif
