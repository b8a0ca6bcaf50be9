/* privileges: what a file loses when others write it: setuid, setgid and capabilities. */
#include "fs/privileges.h"

#include "fs/attributes.h"
#include "fs/xattr.h"

enum { ROOT_UID = 0, PERMISSIONS = 07777 };

/* Setgid of a file that its group may not execute means something else, and stays. */
static uint32_t mode_left(uint32_t mode) {
    uint32_t left = mode & ~(uint32_t)S_ISUID;
    return (mode & S_IXGRP) != 0 ? left & ~(uint32_t)S_ISGID : left;
}

int privileges_lose(struct mount *mount, uint64_t ino, uint32_t uid, bool *ret_lost) {
    const struct inode *inode = inodes_find(&mount->inodes, ino);
    *ret_lost = false;
    if (inode == NULL || inode->is_directory || inode->known == NULL) {
        return 0;
    }
    uint32_t mode = inode->known->entry.record.mode;
    uint32_t left = uid == ROOT_UID ? mode : mode_left(mode);
    int status = 0;
    if (!xattr_absent(mount, ino, XATTR_CAPABILITY)) {
        *ret_lost = true;
        status = xattr_remove(mount, ino, XATTR_CAPABILITY);
        status = status == ERR_NO_ATTRIBUTE ? 0 : status;
    }
    if (status == 0 && left != mode) {
        struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = left & PERMISSIONS};
        struct stat stat;
        *ret_lost = true;
        status = attributes_set(mount, ino, &change, &stat);
    }
    return status;
}
