/* acl: POSIX access control lists, as the kernel hands them over. */
#ifndef RINGFS_FS_ACL_H
#define RINGFS_FS_ACL_H

#include "shared/xattrs.h"

/* An ACL is the value of the attribute ACL_ACCESS or ACL_DEFAULT (xattrs.h): version
 * (4 bytes, 2), then entries of 8 bytes: tag (2), permissions (2), user or group (4). The kernel
 * enforces them (FUSE_CAP_POSIX_ACL); what is left to a filesystem is here: that an ACL and the
 * mode bits tell the same, and what new files inherit. acl(5) is the reference. Pure. */
enum { ACL_SIZE_MAX = 4096 }; /* what the kernel reads of one: 511 entries */

/* ERR_INVALID for what is no ACL: every other function here takes only what passed. */
int acl_check(struct bytes acl);
/* `mode` with the permission bits that the ACL gives: its owner's, mask's (or group's) and others'.
 */
uint32_t acl_mode(struct bytes acl, uint32_t mode);
/* Whether the mode bits say all that the ACL does. */
bool acl_is_mode(struct bytes acl);
/* Appends the ACL as chmod(2) to `mode` leaves it. */
void acl_chmod(struct bytes acl, uint32_t mode, struct buffer *into);
/* Appends the access ACL of something made with `mode` in a directory whose default ACL is `acl`;
 * answers its mode. */
uint32_t acl_inherit(struct bytes acl, uint32_t mode, struct buffer *into);

#endif
