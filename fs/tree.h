/* tree: the operations on names: look up, make, remove, rename. */
#ifndef RINGFS_FS_TREE_H
#define RINGFS_FS_TREE_H

#include "fs/attributes.h"
#include "fs/handle.h"

/* All calls may suspend. Those that answer with attributes count a look-up of the inode (st_ino),
 * which the kernel will forget; if it never gets the answer, the caller forgets it. Permissions are
 * the kernel's to check. */

/* Who makes something, and how: mode with the type bits, umask not applied yet: where the directory
 * has a default ACL that says what others may do. */
struct maker {
    uint32_t mode;
    uint32_t umask;
    uint32_t uid, gid;
    uint64_t rdev;
    int flags;        /* tree_create: of open(2) */
    int64_t began_ns; /* wall clock: the times that it gets; 0 = now */
    bool again;       /* it may have been made already, with began_ns */
};

/* A file was asked for by itself: after several of a directory all of it is listed, and what its
 * names stand for is known. */
void tree_asked(struct mount *mount, const struct inode *inode);
/* Finds a name in a directory. ERR_NO_ENTRY. */
int tree_lookup(struct mount *mount, uint64_t parent, const char *name, struct stat *ret);
/* A file, fifo, socket or device. ERR_EXISTS. */
int tree_mknod(struct mount *mount, uint64_t parent, const char *name, const struct maker *maker,
               struct stat *ret);
/* A regular file, opened; with O_TRUNC it may be stored later (unmade.h). When the name exists:
 * ERR_EXISTS with O_EXCL, else ERR_STALE, whereupon the kernel looks it up and opens it with its
 * permissions checked. */
int tree_create(struct mount *mount, uint64_t parent, const char *name, const struct maker *maker,
                struct stat *ret, struct handle **ret_handle);
int tree_symlink(struct mount *mount, uint64_t parent, const char *name, const char *target,
                 const struct maker *maker, struct stat *ret);
/* The target, copied: the caller's to free(). */
int tree_readlink(struct mount *mount, uint64_t ino, char **ret);
int tree_mkdir(struct mount *mount, uint64_t parent, const char *name, const struct maker *maker,
               struct stat *ret);
/* Another name for a file of any kind but a directory. ERR_PERMISSION, ERR_EXISTS,
 * ERR_TOO_MANY_LINKS. */
int tree_link(struct mount *mount, uint64_t ino, uint64_t parent, const char *name,
              struct stat *ret);
int tree_unlink(struct mount *mount, uint64_t parent, const char *name);
int tree_rmdir(struct mount *mount, uint64_t parent, const char *name);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE. */
int tree_rename(struct mount *mount, uint64_t parent, const char *name, uint64_t new_parent,
                const char *new_name, unsigned flags);

/* The same of what an earlier worker was asked for, and may have done, half done, or sent. */
struct renaming {
    uint64_t parent;
    const char *name;
    uint64_t new_parent;
    const char *new_name;
    unsigned flags;
};
int tree_rename_again(struct mount *mount, const struct renaming *renaming);

#endif
