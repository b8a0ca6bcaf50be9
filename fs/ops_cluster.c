/* ops_cluster: the kernel's requests on the directory .ringfs, before they reach the others. */
#include <stdlib.h>
#include <string.h>

#include "fs/cluster_files.h"
#include "fs/ops_request.h"

enum { ROOT_INO = 1, BEHIND_DOT = 1, BEHIND_DOT_DOT = 2 };

/* Each request that names something else is handed on to these. Answers come on the spot: whatever
 * the cluster does, these files can be read. */
static struct fuse_lowlevel_ops next;

static struct cluster_files *files_of(fuse_req_t fuse) {
    const struct ops *ops = fuse_req_userdata(fuse);
    return ops->config.cluster;
}

static bool is_ours(fuse_ino_t parent, const char *name) {
    return cluster_files_has(parent) ||
           (parent == ROOT_INO && strcmp(name, CLUSTER_FILES_NAME) == 0);
}

static void on_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    if (!is_ours(parent, name)) {
        next.lookup(fuse, parent, name);
        return;
    }
    uint64_t ino = parent == ROOT_INO ? CLUSTER_FILES_INO : cluster_files_lookup(name);
    if (ino == 0) {
        fuse_reply_err(fuse, ENOENT);
        return;
    }
    struct fuse_entry_param entry = {.ino = ino};
    cluster_files_attributes(files_of(fuse), ino, &entry.attr);
    fuse_reply_entry(fuse, &entry);
}

static void on_getattr(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (!cluster_files_has(ino)) {
        next.getattr(fuse, ino, info);
        return;
    }
    struct stat stat;
    cluster_files_attributes(files_of(fuse), ino, &stat);
    fuse_reply_attr(fuse, &stat, 0);
}

static void on_setattr(fuse_req_t fuse, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *info) {
    if (cluster_files_has(ino)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.setattr(fuse, ino, attr, to_set, info);
    }
}

/* ---- files ---- */
static void on_open(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (!cluster_files_has(ino)) {
        next.open(fuse, ino, info);
        return;
    }
    if ((info->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(fuse, EACCES);
        return;
    }
    struct cluster_files *files = files_of(fuse);
    struct fuse_file_info opened = {.fh = cluster_files_open(files, ino), .direct_io = 1};
    if (fuse_reply_open(fuse, &opened) != 0) {
        cluster_files_close(files, opened.fh);
    }
}

static void on_read(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info) {
    if (!cluster_files_has(ino)) {
        next.read(fuse, ino, size, offset, info);
        return;
    }
    struct bytes text;
    int status = cluster_files_read(files_of(fuse), info->fh, (uint64_t)offset, size, &text);
    if (status != 0) {
        fuse_reply_err(fuse, err_errno(status));
    } else {
        fuse_reply_buf(fuse, (const char *)text.data, text.size);
    }
}

static void on_flush(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (cluster_files_has(ino)) {
        fuse_reply_err(fuse, 0);
    } else {
        next.flush(fuse, ino, info);
    }
}

static void on_release(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (!cluster_files_has(ino)) {
        next.release(fuse, ino, info);
        return;
    }
    cluster_files_close(files_of(fuse), info->fh);
    fuse_reply_err(fuse, 0);
}

/* ---- the directory ---- */
static void on_opendir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (!cluster_files_has(ino)) {
        next.opendir(fuse, ino, info);
        return;
    }
    fuse_reply_open(fuse, &(struct fuse_file_info){0});
}

static const char *name_at(uint64_t index, struct stat *ret) {
    const char *name = index < BEHIND_DOT_DOT ? (index < BEHIND_DOT ? "." : "..")
                                              : cluster_files_name((uint32_t)(index - 2));
    *ret = (struct stat){.st_ino = CLUSTER_FILES_INO, .st_mode = S_IFDIR};
    if (index == BEHIND_DOT) {
        ret->st_ino = ROOT_INO;
    } else if (index >= BEHIND_DOT_DOT) {
        *ret = (struct stat){.st_ino = CLUSTER_FILES_INO + index - 1, .st_mode = S_IFREG};
    }
    return name;
}

/* With `plus` the numbers are 0: names only, and no look-up is counted. */
static void list(fuse_req_t fuse, size_t size, off_t offset, bool plus) {
    char *data = memory_new(1, size + 1);
    size_t used = 0;
    struct stat stat;
    const char *name;
    for (uint64_t i = (uint64_t)offset; (name = name_at(i, &stat)) != NULL; i++) {
        struct fuse_entry_param entry = {.attr = stat};
        off_t behind = (off_t)i + 1;
        size_t n =
            plus ? fuse_add_direntry_plus(fuse, data + used, size - used, name, &entry, behind)
                 : fuse_add_direntry(fuse, data + used, size - used, name, &stat, behind);
        if (n > size - used) {
            break;
        }
        used += n;
    }
    fuse_reply_buf(fuse, data, used);
    free(data);
}

static void on_readdir(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *info) {
    if (cluster_files_has(ino)) {
        list(fuse, size, offset, false);
    } else {
        next.readdir(fuse, ino, size, offset, info);
    }
}

static void on_readdirplus(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *info) {
    if (cluster_files_has(ino)) {
        list(fuse, size, offset, true);
    } else {
        next.readdirplus(fuse, ino, size, offset, info);
    }
}

static void on_releasedir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    if (cluster_files_has(ino)) {
        fuse_reply_err(fuse, 0);
    } else {
        next.releasedir(fuse, ino, info);
    }
}

/* ---- what cannot be done there ---- */
static void on_getxattr(fuse_req_t fuse, fuse_ino_t ino, const char *name, size_t size) {
    if (cluster_files_has(ino)) {
        fuse_reply_err(fuse, ENODATA);
    } else {
        next.getxattr(fuse, ino, name, size);
    }
}

static void on_listxattr(fuse_req_t fuse, fuse_ino_t ino, size_t size) {
    if (!cluster_files_has(ino)) {
        next.listxattr(fuse, ino, size);
    } else if (size == 0) {
        fuse_reply_xattr(fuse, 0);
    } else {
        fuse_reply_buf(fuse, NULL, 0);
    }
}

static void on_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
                     dev_t rdev) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.mknod(fuse, parent, name, mode, rdev);
    }
}

static void on_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.mkdir(fuse, parent, name, mode);
    }
}

static void on_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.symlink(fuse, target, parent, name);
    }
}

static void on_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *info) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.create(fuse, parent, name, mode, info);
    }
}

static void on_link(fuse_req_t fuse, fuse_ino_t ino, fuse_ino_t parent, const char *name) {
    if (cluster_files_has(ino) || is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.link(fuse, ino, parent, name);
    }
}

static void on_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.unlink(fuse, parent, name);
    }
}

static void on_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name) {
    if (is_ours(parent, name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.rmdir(fuse, parent, name);
    }
}

static void on_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags) {
    if (is_ours(parent, name) || is_ours(new_parent, new_name)) {
        fuse_reply_err(fuse, EPERM);
    } else {
        next.rename(fuse, parent, name, new_parent, new_name, flags);
    }
}

void ops_print_under_way(const struct ops *ops, struct buffer *into) {
    int64_t now_ns = mount_now_ns(ops->config.mount);
    for (const struct request *r = ops->requests; r != NULL; r = r->next) {
        char path[1024];
        inodes_path(&ops->config.mount->inodes, r->ino, path, sizeof path);
        text_put(into, "under way for %lld ms: %s ",
                 (long long)((now_ns - r->started_ns) / 1000000), r->operation);
        text_put_path(into, path);
        if (r->name != NULL) {
            text_put(into, "%s", path[1] != '\0' ? "/" : "");
            text_put_path(into, r->name);
        }
        buffer_put_u8(into, '\n');
    }
}

void ops_cluster(struct fuse_lowlevel_ops *table) {
    next = *table;
    table->lookup = on_lookup;
    table->getattr = on_getattr;
    table->setattr = on_setattr;
    table->open = on_open;
    table->read = on_read;
    table->flush = on_flush;
    table->release = on_release;
    table->opendir = on_opendir;
    table->readdir = on_readdir;
    table->readdirplus = on_readdirplus;
    table->releasedir = on_releasedir;
    table->getxattr = on_getxattr;
    table->listxattr = on_listxattr;
    table->mknod = on_mknod;
    table->mkdir = on_mkdir;
    table->symlink = on_symlink;
    table->create = on_create;
    table->link = on_link;
    table->unlink = on_unlink;
    table->rmdir = on_rmdir;
    table->rename = on_rename;
}
