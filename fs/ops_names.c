/* ops_names: the kernel's requests on names and attributes. */
#include <stdlib.h>
#include <string.h>

#include "fs/ops_request.h"

static struct mount *mount_of(const struct request *request) {
    return request->ops->config.mount;
}

static void lookup_run(struct request *request) {
    struct stat stat;
    int status = tree_lookup(mount_of(request), request->ino, request->name, &stat);
    if (status != ERR_NO_ENTRY) {
        request_answer_entry(request, status, &stat);
        return;
    }
    int64_t timeout_ns = attributes_name_ns(mount_of(request), request->ino, request->name, 0);
    struct fuse_entry_param none = {.entry_timeout = (double)timeout_ns / 1e9};
    fuse_reply_entry(request->fuse, &none);
    request->fuse = NULL;
}

static void on_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    request_start(request_new(fuse, "lookup", lookup_run, parent, name, NULL));
}

static void forget_one(fuse_req_t fuse, uint64_t ino, uint64_t n) {
    struct ops *ops = fuse_req_userdata(fuse);
    inodes_forget(&ops->config.mount->inodes, ino, n);
}

static void on_forget(fuse_req_t fuse, fuse_ino_t ino, uint64_t n) {
    forget_one(fuse, ino, n);
    fuse_reply_none(fuse);
}

static void on_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets) {
    for (size_t i = 0; i < count; i++) {
        forget_one(fuse, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(fuse);
}

static void getattr_run(struct request *request) {
    struct stat stat;
    int status = attributes_get(mount_of(request), request->ino, &stat);
    request_answer_attributes(request, status, &stat);
}

static void on_getattr(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    (void)info;
    request_start(request_new(fuse, "getattr", getattr_run, ino, NULL, NULL));
}

static void setattr_run(struct request *request) {
    struct stat stat;
    bool truncates = (request->change.mask & ATTRIBUTE_SIZE) != 0 && request->handle != NULL;
    int status = truncates ? locks_check(request->handle) : 0;
    if (status == 0) {
        status = attributes_set(mount_of(request), request->ino, &request->change, &stat);
    }
    request_answer_attributes(request, status, &stat);
}

static int64_t ns_of(struct timespec time) {
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void on_setattr(fuse_req_t fuse, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "setattr", setattr_run, ino, NULL, NULL);
    if (info != NULL) {
        request->as_it_is = true; /* it is the file that is changed, by its number */
        request_set_handle(request, info);
    }
    static const struct {
        int fuse;
        unsigned ours;
    } masks[] = {
        {FUSE_SET_ATTR_MODE, ATTRIBUTE_MODE},
        {FUSE_SET_ATTR_UID, ATTRIBUTE_UID},
        {FUSE_SET_ATTR_GID, ATTRIBUTE_GID},
        {FUSE_SET_ATTR_SIZE, ATTRIBUTE_SIZE},
        {FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW, ATTRIBUTE_ATIME},
        {FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW, ATTRIBUTE_MTIME},
    };
    struct attributes_change *change = &request->change;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        change->mask |= (to_set & masks[i].fuse) != 0 ? masks[i].ours : 0;
    }
    int64_t now_ns = mount_wall_ns(mount_of(request));
    change->process = request->process;
    change->mode = attr->st_mode;
    change->uid = attr->st_uid;
    change->gid = attr->st_gid;
    change->size = (uint64_t)attr->st_size;
    change->atime_ns = (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0 ? now_ns : ns_of(attr->st_atim);
    change->mtime_ns = (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0 ? now_ns : ns_of(attr->st_mtim);
    request_start(request);
}

static void readlink_run(struct request *request) {
    char *target = NULL;
    int status = tree_readlink(mount_of(request), request->ino, &target);
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    fuse_reply_readlink(request->fuse, target);
    request->fuse = NULL;
    free(target);
}

static void on_readlink(fuse_req_t fuse, fuse_ino_t ino) {
    request_start(request_new(fuse, "readlink", readlink_run, ino, NULL, NULL));
}

static void mknod_run(struct request *request) {
    struct stat stat;
    int status = tree_mknod(mount_of(request), request->ino, request->name, &request->maker, &stat);
    request_answer_entry(request, status, &stat);
}

static void on_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
                     dev_t rdev) {
    struct request *request = request_new(fuse, "mknod", mknod_run, parent, name, NULL);
    request->maker.mode = mode;
    request->maker.rdev = rdev;
    request_start(request);
}

static void mkdir_run(struct request *request) {
    struct stat stat;
    int status = tree_mkdir(mount_of(request), request->ino, request->name, &request->maker, &stat);
    request_answer_entry(request, status, &stat);
}

static void on_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode) {
    struct request *request = request_new(fuse, "mkdir", mkdir_run, parent, name, NULL);
    request->maker.mode = mode;
    request_start(request);
}

static void symlink_run(struct request *request) {
    struct stat stat;
    int status = tree_symlink(mount_of(request), request->ino, request->name, request->new_name,
                              &request->maker, &stat);
    request_answer_entry(request, status, &stat);
}

static void on_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name) {
    struct request *request = request_new(fuse, "symlink", symlink_run, parent, name, target);
    request->maker.mode = S_IFLNK | 0777;
    request_start(request);
}

static void unlink_run(struct request *request) {
    int status = tree_unlink(mount_of(request), request->ino, request->name);
    request_answer(request, request_settle(request, status, ERR_NO_ENTRY));
}

static void on_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    request_start(request_new(fuse, "unlink", unlink_run, parent, name, NULL));
}

static void rmdir_run(struct request *request) {
    int status = tree_rmdir(mount_of(request), request->ino, request->name);
    request_answer(request, request_settle(request, status, ERR_NO_ENTRY));
}

static void on_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    request_start(request_new(fuse, "rmdir", rmdir_run, parent, name, NULL));
}

static void rename_run(struct request *request) {
    struct mount *mount = mount_of(request);
    struct renaming renaming = {request->ino, request->name, request->new_parent, request->new_name,
                                (unsigned)request->flags};
    int status = request->again
                     ? tree_rename_again(mount, &renaming)
                     : tree_rename(mount, renaming.parent, renaming.name, renaming.new_parent,
                                   renaming.new_name, renaming.flags);
    request_answer(request, status);
}

static void on_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags) {
    struct request *request = request_new(fuse, "rename", rename_run, parent, name, new_name);
    request->new_parent = new_parent;
    request->flags = (int)flags;
    request_start(request);
}

static void link_run(struct request *request) {
    struct stat stat;
    int status =
        tree_link(mount_of(request), request->ino, request->new_parent, request->name, &stat);
    if (status == ERR_EXISTS && request->again) {
        int found = tree_lookup(mount_of(request), request->new_parent, request->name, &stat);
        status = found == 0 && stat.st_ino == request->ino ? 0 : status;
        if (found == 0 && status != 0) {
            inodes_forget(&mount_of(request)->inodes, stat.st_ino, 1);
        }
    }
    request_answer_entry(request, status, &stat);
}

static void on_link(fuse_req_t fuse, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name) {
    struct request *request = request_new(fuse, "link", link_run, ino, new_name, NULL);
    request->new_parent = new_parent;
    request_start(request);
}

static void on_statfs(fuse_req_t fuse, fuse_ino_t ino) {
    (void)ino;
    const struct ops *ops = fuse_req_userdata(fuse);
    struct statvfs statvfs;
    attributes_statvfs(ops->config.mount, &statvfs);
    fuse_reply_statfs(fuse, &statvfs);
}

void ops_names(struct fuse_lowlevel_ops *ret) {
    ret->lookup = on_lookup;
    ret->forget = on_forget;
    ret->forget_multi = on_forget_multi;
    ret->getattr = on_getattr;
    ret->setattr = on_setattr;
    ret->readlink = on_readlink;
    ret->mknod = on_mknod;
    ret->mkdir = on_mkdir;
    ret->symlink = on_symlink;
    ret->unlink = on_unlink;
    ret->rmdir = on_rmdir;
    ret->rename = on_rename;
    ret->link = on_link;
    ret->statfs = on_statfs;
}
