/* tree_again: a renaming that an earlier worker was asked for already. */
#include <string.h>

#include "fs/tree.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* The inode that a name stands for now; NULL when the name is missing or the kernel does not know
 * what it stands for. Its place stays the one that was noted last. May suspend. */
static int find_now(struct mount *mount, const struct inode *directory, const char *name,
                    bool *ret_there, struct inode **ret) {
    struct entry entry;
    *ret = NULL;
    *ret_there = false;
    int status = namespace_lookup(mount->config.ns, &directory->directory, name, &entry);
    if (status == 0) {
        *ret_there = true;
        *ret = inodes_find(&mount->inodes, record_ino(&entry.record));
        entry_release(&entry);
    }
    return status == ERR_NO_ENTRY ? 0 : status;
}

static bool is_noted_at(const struct inode *inode, const struct inode *directory,
                        const char *name) {
    return id128_equal(&inode->parent, &directory->directory) && strcmp(inode->name, name) == 0;
}

static int renamed_between(struct mount *mount, const struct renaming *renaming,
                           const struct inode *from, const struct inode *to, bool *ret) {
    struct inode *now_old, *now_new;
    bool old_there, new_there;
    int status = namespace_settle_rename(mount->config.ns, &from->directory, renaming->name,
                                         &to->directory, renaming->new_name);
    if (status == 0) {
        status = find_now(mount, from, renaming->name, &old_there, &now_old);
    }
    if (status == 0) {
        status = find_now(mount, to, renaming->new_name, &new_there, &now_new);
    }
    if (status != 0) {
        return status;
    }
    if ((renaming->flags & RENAME_EXCHANGE) != 0) {
        *ret = now_old != NULL && !is_noted_at(now_old, from, renaming->name);
    } else if (now_new != NULL) {
        *ret = is_noted_at(now_new, from, renaming->name) ||
               (!old_there && is_noted_at(now_new, to, renaming->new_name));
    }
    return 0;
}

/* May suspend. Whether it was done (what was half done is finished or undone): what is at the new
 * name was last at the old one. */
static int is_renamed(struct mount *mount, const struct renaming *renaming, bool *ret) {
    struct inode *from, *to;
    *ret = false;
    int status = mount_pin_directory(mount, renaming->parent, &from);
    if (status != 0) {
        return status;
    }
    status = mount_pin_directory(mount, renaming->new_parent, &to);
    if (status == 0) {
        status = renamed_between(mount, renaming, from, to, ret);
        mount_unpin(mount, to);
    }
    mount_unpin(mount, from);
    return status;
}

int tree_rename_again(struct mount *mount, const struct renaming *renaming) {
    bool done;
    int status = is_renamed(mount, renaming, &done);
    if (status != 0 || done) {
        return status;
    }
    status = tree_rename(mount, renaming->parent, renaming->name, renaming->new_parent,
                         renaming->new_name, renaming->flags);
    if (status == ERR_NO_ENTRY) {
        /* What the earlier worker had sent may have arrived meanwhile. */
        int looked = is_renamed(mount, renaming, &done);
        status = looked == 0 && done ? 0 : status;
    }
    return status;
}
