/* xattr: extended attributes of files and directories, ACLs among them. */
#ifndef RINGFS_FS_XATTR_H
#define RINGFS_FS_XATTR_H

#include "fs/mount.h"

/* Attributes lie in the record of a file and in the header of a directory: reading them costs what
 * stat(2) costs, and setting one a record. Names begin with user., trusted., security., or are the
 * two of ACLs (acl.h); others are ERR_NOT_SUPPORTED, and those of shown.h cannot be set
 * (PERMISSION). Who may do what with which is checked by the kernel, but for listing trusted ones.
 * All calls but xattr_absent() may suspend. */

/* What the kernel asks for before the first write of each opening. */
#define XATTR_CAPABILITY "security.capability"

/* Who asks. */
struct xattr_caller {
    uint32_t uid;
    uint32_t n_groups;
    const uint32_t *groups; /* borrowed; the effective one among them */
};

/* As setxattr(2): replace or not. */
enum xattr_when { XATTR_ANYHOW = 0, XATTR_ONLY_NEW = 1, XATTR_ONLY_OLD = 2 };

/* Appends the value. ERR_NO_ATTRIBUTE. */
int xattr_get(struct mount *mount, uint64_t ino, const char *name, struct buffer *into);
/* Appends the names, each with its NUL. */
int xattr_list(struct mount *mount, uint64_t ino, const struct xattr_caller *caller,
               struct buffer *into);
/* ERR_EXISTS, ERR_NO_ATTRIBUTE as `when` says; ERR_TOO_BIG when all would be longer than
 * RECORD_XATTRS_MAX. An access ACL sets the mode bits, and is not kept when they say the same. */
int xattr_set(struct mount *mount, uint64_t ino, const char *name, struct bytes value,
              enum xattr_when when, const struct xattr_caller *caller);
/* ERR_NO_ATTRIBUTE, but for ACLs. */
int xattr_remove(struct mount *mount, uint64_t ino, const char *name);
/* Whether memory tells that there is no such attribute: the kernel asks so before each first write
 * (security.capability) and in each listing (ACLs). */
bool xattr_absent(struct mount *mount, uint64_t ino, const char *name);

/* What chmod(2) to `mode` makes of a list of attributes: true when `into` has a new list. */
bool xattrs_chmod(struct bytes list, uint32_t mode, struct buffer *into);
/* What something made in a directory with attributes `parent` has: appends to `into` its list, and
 * answers its mode, `umask` applied where no default ACL stands in for it. */
uint32_t xattrs_inherit(struct bytes parent, uint32_t mode, uint32_t umask, struct buffer *into);

#endif
