/* attributes: what stat(2) tells and what chmod, chown, utimensat and truncate change. */
#include "fs/attributes.h"

#include <assert.h>

#include "fs/holds.h"
#include "fs/range.h"
#include "fs/unmade.h"
#include "fs/xattr.h"

enum { SECOND_NS = 1000000000, PERMISSIONS = 07777, SECTOR = 512, ROOT_WITHIN_NS = SECOND_NS / 2 };

static struct timespec timespec_of(int64_t ns) {
    int64_t seconds = ns / SECOND_NS;
    int64_t rest = ns % SECOND_NS;
    if (rest < 0) {
        rest += SECOND_NS;
        seconds--;
    }
    return (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static int64_t latest_ns(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static void of_directory(const struct inode *inode, struct stat *ret) {
    const struct directory_attributes *attributes = &inode->known->attributes;
    ret->st_mode = S_IFDIR | (attributes->mode & PERMISSIONS);
    ret->st_uid = attributes->uid;
    ret->st_gid = attributes->gid;
    /* Files that are stored later came when they were made. */
    int64_t since_ns = inode->n_unmade > 0 ? inode->unmade_ns : INT64_MIN;
    ret->st_size = (off_t)(attributes->n_entries + inode->n_unmade);
    ret->st_atim = timespec_of(attributes->atime_ns);
    ret->st_mtim = timespec_of(latest_ns(attributes->mtime_ns, since_ns));
    ret->st_ctim = timespec_of(latest_ns(attributes->ctime_ns, since_ns));
}

/* What is known of a file's attributes, and what its open file has not stored yet in its place;
 * what it points to is borrowed. */
static struct record shown_record(const struct inode *inode) {
    const struct file *file = inode->file;
    struct record shown = inode->known->entry.record;
    if (file == NULL) {
        return shown;
    }
    if (file->dirty) {
        shown.mtime_ns = shown.ctime_ns = file->modified_ns;
    }
    struct bytes xattrs = shown.xattrs;
    shown.xattrs = (struct bytes){0}; /* an ACL is changed when the mode is stored */
    file_attributes_put(&file->attributes, &shown);
    shown.xattrs = xattrs;
    return shown;
}

static void of_record(const struct inode *inode, struct stat *ret) {
    const struct record record = shown_record(inode);
    const struct file *file = inode->file;
    ret->st_mode = record.mode;
    ret->st_uid = record.uid;
    ret->st_gid = record.gid;
    ret->st_rdev = (dev_t)record.rdev;
    ret->st_size = (off_t)(file != NULL ? file->size : record.size);
    ret->st_blocks = ((off_t)range_stored(inode) + SECTOR - 1) / SECTOR;
    ret->st_atim = timespec_of(record.atime_ns);
    ret->st_mtim = timespec_of(record.mtime_ns);
    ret->st_ctim = timespec_of(record.ctime_ns);
}

static nlink_t n_links(const struct inode *inode) {
    if (inode->gone) {
        return 0;
    }
    return inode->is_directory || inode->known->entry.n_links == 0 ? 1
                                                                   : inode->known->entry.n_links;
}

void attributes_of(const struct inode *inode, struct stat *ret) {
    assert(inode->known != NULL);
    *ret = (struct stat){.st_ino = inode->ino, .st_nlink = n_links(inode)};
    if (inode->is_directory) {
        of_directory(inode, ret);
    } else {
        of_record(inode, ret);
    }
    ret->st_blksize = BLOCK_SIZE;
}

/* The root answers soon even when the cluster does not: df, ls -d and every path begin with it. */
static int refresh_root(struct mount *mount, struct inode *root) {
    struct task *task = task_self();
    int64_t deadline_ns = task_deadline_ns(task);
    int64_t soon_ns = mount_now_ns(mount) + ROOT_WITHIN_NS;
    if (deadline_ns == 0 || soon_ns < deadline_ns) {
        task_set_deadline(task, soon_ns);
    }
    int status = mount_refresh_good(mount, root);
    task_set_deadline(task, deadline_ns);
    if (status != 0 && root->known != NULL) {
        root->known->read_ns = mount_now_ns(mount); /* believed for another while */
        return 0;
    }
    return status;
}

int attributes_get(struct mount *mount, uint64_t ino, struct stat *ret) {
    struct inode *inode;
    int status = mount_pin(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    status = inode == mount->inodes.root ? refresh_root(mount, inode)
                                         : holds_refresh(mount, inode, mount_good_ns(mount, inode));
    if (status == 0) {
        if (inode->file != NULL) {
            file_adopt(inode->file);
        }
        attributes_of(inode, ret);
    }
    mount_unpin(mount, inode);
    return status;
}

int64_t attributes_left_ns(struct mount *mount, uint64_t ino) {
    const struct inode *inode = inodes_find(&mount->inodes, ino);
    if (inode == NULL || inode->known == NULL) {
        return 0;
    }
    int64_t left_ns = inode->known->read_ns + mount_good_ns(mount, inode) - mount_now_ns(mount);
    return left_ns > 0 ? left_ns : 0;
}

static int64_t least_ns(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Whether what the name stands for (0: nothing) is known for certain, and changes of it are told to
 * the kernel. */
static bool holds_long(struct mount *mount, struct inode *directory, const char *name,
                       uint64_t ino) {
    uint64_t known = 0;
    int64_t now_ns = mount_now_ns(mount);
    enum name_answer found = watch_find(directory, name, now_ns - mount->config.watched_ns, &known);
    bool same = found == NAME_MISSING ? ino == 0 : found == NAME_PRESENT && known == ino;
    return same && watch_give_name(&mount->inodes.watches, directory, name, now_ns);
}

int64_t attributes_name_ns(struct mount *mount, uint64_t directory_ino, const char *name,
                           uint64_t ino) {
    const struct mount_config *config = &mount->config;
    struct inode *directory = inodes_find(&mount->inodes, directory_ino);
    const struct watch *watch = directory != NULL ? directory->watch : NULL;
    int64_t ns = least_ns(config->attributes_ns, config->names_ns);
    if (watch != NULL && watch->since != 0) {
        ns = least_ns(ns, ATTRIBUTES_NAME_WATCHED_NS);
        if (config->names_ns > ns && holds_long(mount, directory, name, ino)) {
            return least_ns(config->names_ns, config->watched_ns);
        }
    }
    return ino == 0 ? least_ns(ns, ATTRIBUTES_MISSING_NS) : ns;
}

struct setting {
    const struct attributes_change *change;
    int64_t now_ns;
    struct buffer xattrs; /* a directory's list, changed by chmod */
};

static int set_fields(void *context, struct record *record) {
    const struct setting *setting = context;
    const struct attributes_change *change = setting->change;
    if ((change->mask & ATTRIBUTE_MODE) != 0) {
        file_attributes_chmod(record, change->mode);
    }
    if ((change->mask & ATTRIBUTE_UID) != 0) {
        record->uid = change->uid;
    }
    if ((change->mask & ATTRIBUTE_GID) != 0) {
        record->gid = change->gid;
    }
    if ((change->mask & ATTRIBUTE_ATIME) != 0) {
        record->atime_ns = change->atime_ns;
    }
    if ((change->mask & ATTRIBUTE_MTIME) != 0) {
        record->mtime_ns = change->mtime_ns;
    }
    record->ctime_ns = setting->now_ns;
    return 0;
}

/* Leaves what is set to the record that is written next, if it may wait. */
static bool leave(struct file *file, const struct setting *setting) {
    const struct attributes_change *change = setting->change;
    const struct file_attributes set = {
        .mask = change->mask & (FILE_ATTRIBUTES_TIMES | FILE_ATTRIBUTES_RIGHTS),
        .mode = change->mode,
        .uid = change->uid,
        .gid = change->gid,
        .atime_ns = change->atime_ns,
        .mtime_ns = change->mtime_ns,
        .ctime_ns = setting->now_ns,
    };
    if (set.mask != change->mask || !file_attributes_may_wait(file, change->process)) {
        return false;
    }
    const struct record shown = shown_record(file->inode);
    if ((set.mask & FILE_ATTRIBUTES_RIGHTS) != 0 && !file_attributes_only_give(&shown, &set)) {
        return false;
    }
    file_attributes_wait(file, &set);
    return true;
}

static int set_file(struct file *file, struct setting *setting) {
    int status = file_lock(file);
    if (status != 0) {
        return status;
    }
    if (leave(file, setting)) {
        file_unlock(file);
        return 0;
    }
    bool alone = !file_pending(file);
    if ((setting->change->mask & ATTRIBUTE_SIZE) != 0) {
        file_attributes_outdate(file);
        status = file_truncate(file, setting->change->size);
    }
    if (status == 0) {
        status = file_store(file, false, set_fields, setting);
    }
    if (status != 0 && alone) {
        file_forget_unstored(file); /* what was refused does not happen later */
    }
    file_unlock(file);
    return status;
}

int attributes_change_file(struct mount *mount, struct inode *inode,
                           int (*change)(void *context, struct record *record), void *context) {
    int status = mount_refresh(mount, inode, MOUNT_ANY_AGE);
    if (status != 0 || inode->file == NULL) {
        return status != 0 ? status : mount_update(mount, inode, change, context, false);
    }
    struct file *file = file_get(mount, inode);
    status = file_lock(file);
    if (status == 0) {
        status = file_store(file, false, change, context);
        file_unlock(file);
    }
    file_put(file);
    return status;
}

int attributes_change_directory(struct mount *mount, struct inode *inode,
                                int (*change)(void *context,
                                              struct directory_attributes *attributes),
                                void *context) {
    uint64_t began = inodes_clock(&mount->inodes);
    struct directory_attributes now;
    int status =
        namespace_update_directory(mount->config.ns, &inode->directory, change, context, &now);
    if (status == 0) {
        inodes_changed(&mount->inodes, inode);
        inodes_learn_directory(&mount->inodes, inode, &now, inodes_clock(&mount->inodes),
                               mount_now_ns(mount));
        inodes_cover(&mount->inodes, inode, began);
        directory_attributes_release(&now);
    }
    return status;
}

/* The same of a directory as set_fields() of a record. */
static int set_directory_fields(void *context, struct directory_attributes *attributes) {
    struct setting *setting = context;
    const struct attributes_change *change = setting->change;
    unsigned mask = change->mask | ATTRIBUTE_CTIME;
    attributes->mode = change->mode & PERMISSIONS;
    attributes->uid = change->uid;
    attributes->gid = change->gid;
    attributes->atime_ns = change->atime_ns;
    attributes->mtime_ns = change->mtime_ns;
    attributes->ctime_ns = setting->now_ns;
    buffer_clear(&setting->xattrs);
    if ((mask & ATTRIBUTE_MODE) != 0 &&
        xattrs_chmod(attributes->xattrs, change->mode, &setting->xattrs)) {
        attributes->xattrs = buffer_bytes(&setting->xattrs);
        mask |= ATTRIBUTE_XATTRS;
    }
    return (int)mask;
}

/* Whether a change of mode, owner or group asks for what is there: tar and cp set all three of each
 * file they make. Nothing is stored then, the time of change neither. */
static bool asks_for_what_is(const struct inode *inode, const struct attributes_change *change) {
    const struct record *record = &inode->known->entry.record;
    bool waits =
        inode->file != NULL && (inode->file->attributes.mask & FILE_ATTRIBUTES_RIGHTS) != 0;
    unsigned ids = ATTRIBUTE_UID | ATTRIBUTE_GID | ATTRIBUTE_MODE;
    return !waits && (change->mask & ids) != 0 && (change->mask & ~(ids | ATTRIBUTE_CTIME)) == 0 &&
           ((change->mask & ATTRIBUTE_UID) == 0 || change->uid == record->uid) &&
           ((change->mask & ATTRIBUTE_GID) == 0 || change->gid == record->gid) &&
           ((change->mask & ATTRIBUTE_MODE) == 0 ||
            (change->mode & PERMISSIONS) == (record->mode & PERMISSIONS));
}

/* The times that are set come after those of names that were made before. */
static int set_directory(struct mount *mount, struct inode *inode, struct setting *setting) {
    int status = unmade_settle_in(mount, inode);
    return status != 0 ? status
                       : attributes_change_directory(mount, inode, set_directory_fields, setting);
}

static int set_inode(struct mount *mount, struct inode *inode, struct setting *setting) {
    bool resize = (setting->change->mask & ATTRIBUTE_SIZE) != 0;
    if (inode->is_directory) {
        return resize ? ERR_IS_DIRECTORY : set_directory(mount, inode, setting);
    }
    /* A truncation by name sees what other mounts have closed, as an opening would. */
    int status = resize ? mount_refresh_now(mount, inode) : mount_refresh_good(mount, inode);
    if (status != 0 || asks_for_what_is(inode, setting->change)) {
        return status;
    }
    if (!S_ISREG(inode->known->entry.record.mode)) {
        return resize ? ERR_INVALID : mount_update(mount, inode, set_fields, setting, false);
    }
    struct file *file = file_get(mount, inode);
    status = set_file(file, setting);
    file_put(file);
    return status;
}

int attributes_set(struct mount *mount, uint64_t ino, const struct attributes_change *change,
                   struct stat *ret) {
    struct inode *inode;
    int status = mount_pin(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    struct setting setting = {.change = change, .now_ns = mount_wall_ns(mount)};
    status = set_inode(mount, inode, &setting);
    buffer_release(&setting.xattrs);
    if (status == 0) {
        status = mount_refresh(mount, inode, MOUNT_ANY_AGE);
    }
    if (status == 0) {
        attributes_of(inode, ret);
    }
    mount_unpin(mount, inode);
    return status;
}

void attributes_statvfs(const struct mount *mount, struct statvfs *ret) {
    /* A cluster has no fixed number of files: as many as there is room for small ones. */
    uint64_t files = mount->capacity.bytes_total / RECORD_INLINE_MAX;
    uint64_t files_free = mount->capacity.bytes_free / RECORD_INLINE_MAX;
    *ret = (struct statvfs){
        .f_bsize = BLOCK_SIZE,
        .f_frsize = RECORD_INLINE_MAX,
        .f_blocks = mount->capacity.bytes_total / RECORD_INLINE_MAX,
        .f_bfree = mount->capacity.bytes_free / RECORD_INLINE_MAX,
        .f_bavail = mount->capacity.bytes_free / RECORD_INLINE_MAX,
        .f_files = files,
        .f_ffree = files_free,
        .f_favail = files_free,
        .f_namemax = NAME_SIZE_MAX,
    };
}
