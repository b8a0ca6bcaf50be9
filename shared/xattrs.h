/* xattrs: the list of extended attributes inside a record or a directory's header. */
#ifndef RINGFS_SHARED_XATTRS_H
#define RINGFS_SHARED_XATTRS_H

#include "shared/record.h"

/* A list is, for each attribute: 1 byte and the name, 2 bytes and the value (little-endian sizes).
 * It is at most RECORD_XATTRS_MAX in all and lies in the record, so that attributes cost no round
 * trip of their own. Names are 1 to XATTRS_NAME_SIZE_MAX bytes without NUL, each once; a new one
 * comes last. Lists come from outside: whoever reads one meets ERR_CORRUPT. Pure; everything
 * borrows. */
enum {
    XATTRS_NAME_SIZE_MAX = 255,
    XATTRS_VALUE_SIZE_MAX = 65535,
};

/* The attributes under which the kernel has a file's ACL, and that of what is made in a directory.
 */
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

struct xattr {
    struct bytes name, value;
};

/* The next attribute of a reader over a list: 1, 0 at the end, or ERR_CORRUPT. */
int xattrs_next(struct reader *r, struct xattr *ret);
/* 0, ERR_NO_ATTRIBUTE, ERR_CORRUPT. */
int xattrs_find(struct bytes list, struct bytes name, struct bytes *ret_value);
/* Appends to `into`, which is empty, the list with the attribute set to `value` in its place, or
 * behind the others. ERR_TOO_BIG when it would be longer than a list may be; ERR_INVALID for a name
 * that is none; ERR_CORRUPT. */
int xattrs_set(struct bytes list, struct bytes name, struct bytes value, struct buffer *into);
/* The same without the attribute: ERR_NO_ATTRIBUTE when it has none of that name. */
int xattrs_remove(struct bytes list, struct bytes name, struct buffer *into);

#endif
