/* xattr: extended attributes of files and directories, ACLs among them. */
#include "fs/xattr.h"

#include <assert.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/acl.h"
#include "fs/attributes.h"
#include "fs/shown.h"
#include "shared/xattrs.h"

enum { ROOT_UID = 0 };

static bool is_acl(const char *name) {
    return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static bool begins_with(struct bytes name, const char *prefix) {
    size_t size = strlen(prefix);
    return name.size >= size && memcmp(name.data, prefix, size) == 0;
}

static int check_name(const char *name) {
    static const char *const prefixes[] = {"user.", "trusted.", "security."};
    if (is_acl(name)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t size = strlen(prefixes[i]);
        if (strncmp(name, prefixes[i], size) == 0) {
            return name[size] == '\0' ? ERR_INVALID : 0;
        }
    }
    return ERR_NOT_SUPPORTED;
}

/* The attributes of an inode that is known. */
static struct bytes list_of(const struct inode *inode) {
    assert(inode->known != NULL);
    return inode->is_directory ? inode->known->attributes.xattrs
                               : inode->known->entry.record.xattrs;
}

/* ---- reading ---- */
bool xattr_absent(struct mount *mount, uint64_t ino, const char *name) {
    struct inode *inode = inodes_find(&mount->inodes, ino);
    if (inode == NULL || check_name(name) != 0 || shown_is(name)) {
        return false;
    }
    /* Capabilities are for what runs here; that another mount has just given one to a file which is
     * being written here is not worth a round trip for each first write. */
    int64_t age_ns =
        strcmp(name, XATTR_CAPABILITY) == 0 ? MOUNT_ANY_AGE : mount_good_ns(mount, inode);
    struct bytes value;
    return inodes_known(&mount->inodes, inode, mount_now_ns(mount), age_ns) != NULL &&
           xattrs_find(list_of(inode), bytes_of_string(name), &value) == ERR_NO_ATTRIBUTE;
}

/* Pins an inode whose attributes are then known and news. */
static int pin_known(struct mount *mount, uint64_t ino, struct inode **ret) {
    int status = mount_pin(mount, ino, ret);
    if (status != 0) {
        return status;
    }
    status = mount_refresh_good(mount, *ret);
    if (status != 0) {
        mount_unpin(mount, *ret);
    }
    return status;
}

int xattr_get(struct mount *mount, uint64_t ino, const char *name, struct buffer *into) {
    struct inode *inode;
    struct bytes value;
    int status = check_name(name);
    if (status == 0) {
        status = pin_known(mount, ino, &inode);
    }
    if (status != 0) {
        return status;
    }
    if (shown_is(name)) {
        status = shown_get(mount, inode, name, into);
        mount_unpin(mount, inode);
        return status;
    }
    status = xattrs_find(list_of(inode), bytes_of_string(name), &value);
    if (status == 0) {
        buffer_put_bytes(into, value);
    }
    mount_unpin(mount, inode);
    return status;
}

int xattr_list(struct mount *mount, uint64_t ino, const struct xattr_caller *caller,
               struct buffer *into) {
    struct inode *inode;
    int status = pin_known(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    struct reader r = reader_of(list_of(inode));
    struct xattr xattr;
    while ((status = xattrs_next(&r, &xattr)) > 0) {
        if (caller->uid == ROOT_UID || !begins_with(xattr.name, "trusted.")) {
            buffer_put_bytes(into, xattr.name);
            buffer_put_u8(into, '\0');
        }
    }
    mount_unpin(mount, inode);
    return status;
}

/* ---- changing ---- */
/* One change, which may run more than once: when another writer came first. */
struct xattr_change {
    const char *name;
    const struct bytes *value; /* NULL: to be removed */
    enum xattr_when when;
    const struct xattr_caller *caller;
    int64_t now_ns;
    struct buffer list; /* the outcome */
    int status;         /* why it was refused; the codes of callers of it mean other things */
};

static bool is_member(const struct xattr_caller *caller, uint32_t gid) {
    for (uint32_t i = 0; i < caller->n_groups; i++) {
        if (caller->groups[i] == gid) {
            return true;
        }
    }
    return caller->uid == ROOT_UID;
}

static int remove_from(struct xattr_change *change, struct bytes list) {
    int status = xattrs_remove(list, bytes_of_string(change->name), &change->list);
    return status == ERR_NO_ATTRIBUTE && is_acl(change->name) ? 0 : status;
}

/* An access ACL and the mode tell the same; whoever sets it outside his groups loses setgid, as
 * with chmod(2). */
static int set_access(struct xattr_change *change, struct bytes list, uint32_t *mode,
                      uint32_t gid) {
    uint32_t set = acl_mode(*change->value, *mode);
    *mode = is_member(change->caller, gid) ? set : set & ~(uint32_t)S_ISGID;
    return acl_is_mode(*change->value)
               ? remove_from(change, list)
               : xattrs_set(list, bytes_of_string(change->name), *change->value, &change->list);
}

static int change_list(struct xattr_change *change, struct bytes list, uint32_t *mode,
                       uint32_t gid) {
    struct bytes name = bytes_of_string(change->name);
    struct bytes old;
    buffer_clear(&change->list);
    if (change->value == NULL) {
        return remove_from(change, list);
    }
    bool there = change->when != XATTR_ANYHOW && xattrs_find(list, name, &old) == 0;
    if (change->when == XATTR_ONLY_NEW && there) {
        return ERR_EXISTS;
    }
    if (change->when == XATTR_ONLY_OLD && !there) {
        return ERR_NO_ATTRIBUTE;
    }
    return strcmp(change->name, ACL_ACCESS) == 0
               ? set_access(change, list, mode, gid)
               : xattrs_set(list, name, *change->value, &change->list);
}

static int change_record(void *context, struct record *record) {
    struct xattr_change *change = context;
    change->status = change_list(change, record->xattrs, &record->mode, record->gid);
    if (change->status != 0) {
        return ERR_INVALID;
    }
    record_set_xattrs(record, buffer_bytes(&change->list));
    record->ctime_ns = change->now_ns;
    return 0;
}

static int change_directory(void *context, struct directory_attributes *attributes) {
    struct xattr_change *change = context;
    change->status = change_list(change, attributes->xattrs, &attributes->mode, attributes->gid);
    if (change->status != 0) {
        return ERR_INVALID;
    }
    attributes->xattrs = buffer_bytes(&change->list);
    return ATTRIBUTE_XATTRS | ATTRIBUTE_MODE;
}

static int run_change(struct mount *mount, uint64_t ino, struct xattr_change *change) {
    struct inode *inode;
    int status = mount_pin(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    change->now_ns = mount_wall_ns(mount);
    status = inode->is_directory
                 ? attributes_change_directory(mount, inode, change_directory, change)
                 : attributes_change_file(mount, inode, change_record, change);
    mount_unpin(mount, inode);
    buffer_release(&change->list);
    return change->status != 0 ? change->status : status;
}

int xattr_set(struct mount *mount, uint64_t ino, const char *name, struct bytes value,
              enum xattr_when when, const struct xattr_caller *caller) {
    int status = check_name(name);
    if (status == 0 && shown_is(name)) {
        status = ERR_PERMISSION;
    }
    if (status == 0 && is_acl(name)) {
        status = value.size > ACL_SIZE_MAX ? ERR_TOO_BIG : acl_check(value);
    }
    if (status != 0) {
        return status;
    }
    struct xattr_change change = {.name = name, .value = &value, .when = when, .caller = caller};
    return run_change(mount, ino, &change);
}

int xattr_remove(struct mount *mount, uint64_t ino, const char *name) {
    int status = check_name(name);
    struct xattr_change change = {.name = name};
    return status != 0 ? status : run_change(mount, ino, &change);
}

/* ---- what follows from other operations ---- */
bool xattrs_chmod(struct bytes list, uint32_t mode, struct buffer *into) {
    struct bytes name = bytes_of_string(ACL_ACCESS);
    struct bytes acl;
    if (xattrs_find(list, name, &acl) != 0 || acl_check(acl) != 0) {
        return false;
    }
    struct buffer changed = {0};
    acl_chmod(acl, mode, &changed);
    int status = xattrs_set(list, name, buffer_bytes(&changed), into);
    buffer_release(&changed);
    return status == 0;
}

uint32_t xattrs_inherit(struct bytes parent, uint32_t mode, uint32_t umask, struct buffer *into) {
    struct bytes acl;
    if (S_ISLNK(mode)) {
        return mode;
    }
    if (xattrs_find(parent, bytes_of_string(ACL_DEFAULT), &acl) != 0 || acl_check(acl) != 0) {
        return mode & ~umask;
    }
    struct buffer access = {0}, list = {0};
    mode = acl_inherit(acl, mode, &access);
    int status = 0;
    if (!acl_is_mode(buffer_bytes(&access))) {
        status = xattrs_set((struct bytes){0}, bytes_of_string(ACL_ACCESS), buffer_bytes(&access),
                            &list);
    }
    if (status == 0 && S_ISDIR(mode)) {
        status = xattrs_set(buffer_bytes(&list), bytes_of_string(ACL_DEFAULT), acl, into);
    } else {
        buffer_put_bytes(into, buffer_bytes(&list));
    }
    assert(status == 0); /* two ACLs always fit */
    buffer_release(&access);
    buffer_release(&list);
    return mode;
}
