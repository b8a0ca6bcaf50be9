/* file_attributes: attributes that a program has set of a file that it is writing. */
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/file.h"
#include "fs/xattr.h"

enum { ROOT_UID = 0, PERMISSIONS = 07777, RIGHTS = 0777, OF_CLASS = 7 };

/* For the worker that takes over: at each opening of the file for writing. */
static void keep(const struct file *file) {
    const struct handles *handles = &file->mount->handles;
    const struct file_attributes *waiting = &file->attributes;
    for (uint32_t i = 1; i <= handles->n; i++) {
        const struct opening *opening = &handles->at[i];
        struct survivor_handle *kept = opening->kept;
        if (opening->used && kept != NULL && opening->kind == SURVIVOR_FILE &&
            opening->ino == file->inode->ino && (opening->flags & O_ACCMODE) != O_RDONLY) {
            kept->mode = waiting->mode;
            kept->uid = waiting->uid;
            kept->gid = waiting->gid;
            kept->atime_ns = waiting->atime_ns;
            kept->mtime_ns = waiting->mtime_ns;
            kept->ctime_ns = waiting->ctime_ns;
            survivor_publish(&kept->waiting, waiting->mask);
        }
    }
}

static void set_mask(struct file *file, unsigned mask) {
    if (file->attributes.mask != 0 || mask != 0) {
        file->attributes.mask = mask;
        keep(file);
    }
}

bool file_attributes_may_wait(const struct file *file, uint32_t process) {
    return process != 0 && file->writer == process && file->locks == NULL && !file->inode->gone;
}

/* Of the classes of users (owner, group, others) the first that a user is in counts. So who
 * comes into another class loses nothing when that one may do what his former one may. */
bool file_attributes_only_give(const struct record *record, const struct file_attributes *set) {
    uint32_t old = record->mode & PERMISSIONS;
    uint32_t mode = (set->mask & ATTRIBUTE_MODE) != 0 ? set->mode & PERMISSIONS : old;
    uint32_t owner = old >> 6 & OF_CLASS, group = old >> 3 & OF_CLASS, others = old & OF_CLASS;
    bool new_owner = (set->mask & ATTRIBUTE_UID) != 0 && set->uid != record->uid;
    bool new_group = (set->mask & ATTRIBUTE_GID) != 0 && set->gid != record->gid;
    bool owner_loses = record->uid != ROOT_UID || ((group | others) & ~owner) != 0;
    return ((old | mode) & ~(uint32_t)RIGHTS) == 0 && (old & ~mode) == 0 &&
           !(new_owner && owner_loses) && !(new_group && group != others) &&
           record->xattrs.size == 0;
}

void file_attributes_wait(struct file *file, const struct file_attributes *set) {
    struct file_attributes *waiting = &file->attributes;
    if (!file_unstored(file)) {
        file->dirty_ns = mount_now_ns(file->mount);
    }
    waiting->mode = (set->mask & ATTRIBUTE_MODE) != 0 ? set->mode & PERMISSIONS : waiting->mode;
    waiting->uid = (set->mask & ATTRIBUTE_UID) != 0 ? set->uid : waiting->uid;
    waiting->gid = (set->mask & ATTRIBUTE_GID) != 0 ? set->gid : waiting->gid;
    waiting->atime_ns = (set->mask & ATTRIBUTE_ATIME) != 0 ? set->atime_ns : waiting->atime_ns;
    waiting->mtime_ns = (set->mask & ATTRIBUTE_MTIME) != 0 ? set->mtime_ns : waiting->mtime_ns;
    waiting->ctime_ns = set->ctime_ns;
    file->record_synced = false;
    set_mask(file, waiting->mask | set->mask);
}

void file_attributes_take_over(struct file *file, const struct survivor_handle *kept) {
    struct file_attributes set = {
        .mask = (unsigned)kept->waiting & (FILE_ATTRIBUTES_TIMES | FILE_ATTRIBUTES_RIGHTS),
        .mode = kept->mode,
        .uid = kept->uid,
        .gid = kept->gid,
        .atime_ns = kept->atime_ns,
        .mtime_ns = kept->mtime_ns,
        .ctime_ns = kept->ctime_ns,
    };
    if (set.mask != 0 && file->attributes.mask == 0) {
        file_attributes_wait(file, &set);
    }
}

void file_attributes_stored(struct file *file) {
    set_mask(file, 0);
}

void file_attributes_outdate(struct file *file) {
    set_mask(file, file->attributes.mask & ~(unsigned)ATTRIBUTE_MTIME);
}

void file_attributes_chmod(struct record *record, uint32_t mode) {
    struct buffer xattrs = {0};
    record->mode = (record->mode & S_IFMT) | (mode & PERMISSIONS);
    if (xattrs_chmod(record->xattrs, mode, &xattrs)) {
        record_set_xattrs(record, buffer_bytes(&xattrs));
    }
    buffer_release(&xattrs);
}

void file_attributes_put(const struct file_attributes *waiting, struct record *record) {
    unsigned mask = waiting->mask;
    if ((mask & ATTRIBUTE_MODE) != 0) {
        file_attributes_chmod(record, waiting->mode);
    }
    record->uid = (mask & ATTRIBUTE_UID) != 0 ? waiting->uid : record->uid;
    record->gid = (mask & ATTRIBUTE_GID) != 0 ? waiting->gid : record->gid;
    record->atime_ns = (mask & ATTRIBUTE_ATIME) != 0 ? waiting->atime_ns : record->atime_ns;
    record->mtime_ns = (mask & ATTRIBUTE_MTIME) != 0 ? waiting->mtime_ns : record->mtime_ns;
    if (mask != 0 && waiting->ctime_ns > record->ctime_ns) {
        record->ctime_ns = waiting->ctime_ns;
    }
}
