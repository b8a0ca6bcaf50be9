/* ops_files: the kernel's requests on open files and directories. */
#include <stdlib.h>
#include <string.h>

#include "fs/descriptors.h"
#include "fs/directory.h"
#include "fs/ops_request.h"
#include "fs/privileges.h"
#include "fs/unmade.h"

static struct mount *mount_of(const struct request *request) {
    return request->ops->config.mount;
}

/* ---- files ---- */
static void create_run(struct request *request) {
    struct stat stat;
    struct handle *handle;
    int status = tree_create(mount_of(request), request->ino, request->name, &request->maker, &stat,
                             &handle);
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    struct fuse_entry_param entry = request_entry(request, request->name, &stat);
    struct fuse_file_info info = {.keep_cache = 1};
    handle_opened_by(handle, request->process);
    info.fh = request_opened(request, SURVIVOR_FILE, stat.st_ino, handle);
    info.direct_io = handle_past_pages(request->maker.flags);
    if (fuse_reply_create(request->fuse, &entry, &info) != 0) {
        handles_drop(&mount_of(request)->handles, info.fh);
        handle_release(handle);
        inodes_forget(&mount_of(request)->inodes, stat.st_ino, 1);
    }
    request->fuse = NULL;
}

static void on_create(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "create", create_run, parent, name, NULL);
    request->maker.mode = S_IFREG | (mode & 07777);
    request->maker.flags = info->flags;
    request_start(request);
}

/* Before what the kernel does not look after. */
static int lose_privileges(const struct request *request) {
    bool lost;
    int status = privileges_lose(mount_of(request), request->ino, request->maker.uid, &lost);
    if (lost) {
        fuse_lowlevel_notify_inval_inode(request->ops->session, request->ino, -1, 0);
    }
    return status;
}

static void open_run(struct request *request) {
    struct handle *handle;
    struct cache_advice advice;
    int status = (request->flags & O_TRUNC) != 0 ? lose_privileges(request) : 0;
    if (status == 0) {
        status = handle_open(mount_of(request), request->ino, request->flags, &handle, &advice);
    }
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    if (advice.attributes) {
        /* Of the attributes only (a negative offset): never waits for pages that are locked. */
        fuse_lowlevel_notify_inval_inode(request->ops->session, request->ino, -1, 0);
    }
    struct fuse_file_info info = {.keep_cache = advice.keep};
    handle_opened_by(handle, request->process);
    info.fh = request_opened(request, SURVIVOR_FILE, request->ino, handle);
    request_note_dirt(handle, SURVIVOR_TRUNCATED);
    info.direct_io = handle_past_pages(request->flags);
    if (fuse_reply_open(request->fuse, &info) != 0) {
        handles_drop(&mount_of(request)->handles, info.fh);
        handle_release(handle);
    }
    request->fuse = NULL;
}

static void on_open(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "open", open_run, ino, NULL, NULL);
    request->flags = info->flags;
    request_start(request);
}

static void read_run(struct request *request) {
    uint8_t *data = malloc(request->size);
    size_t size = 0;
    int status = data == NULL
                     ? ERR_NO_MEMORY
                     : handle_read(request->handle, request->offset, data, request->size, &size);
    if (status != 0) {
        request_answer(request, status);
    } else {
        fuse_reply_buf(request->fuse, (const char *)data, size);
        request->fuse = NULL;
    }
    free(data);
}

static void on_read(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *info) {
    struct request *request =
        request_set_handle(request_new(fuse, "read", read_run, ino, NULL, NULL), info);
    request->size = size;
    request->offset = (uint64_t)offset;
    request_start(request);
}

/* Acknowledged writes that an earlier worker took with it are told, to each opening once. */
static int take_loss(struct request *request) {
    return handles_take_loss(&mount_of(request)->handles, request->number) ? ERR_IO : 0;
}

static void write_run(struct request *request) {
    const struct handle *handle = request->handle;
    int status = take_loss(request);
    if (status == 0 && handle_past_pages(handle->flags)) {
        status = lose_privileges(request);
    }
    if (status == 0) {
        int (*write)(struct handle *, uint64_t, struct bytes) =
            request->again ? handle_write_again : handle_write;
        status = write(request->handle, request->offset, request->data);
    }
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    request_note_dirt(request->handle, SURVIVOR_WRITTEN);
    fuse_reply_write(request->fuse, request->data.size);
    request->fuse = NULL;
}

static void on_write(fuse_req_t fuse, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                     struct fuse_file_info *info) {
    struct request *request =
        request_set_handle(request_new(fuse, "write", write_run, ino, NULL, NULL), info);
    request_set_data(request, data, size);
    request->offset = (uint64_t)offset;
    request_start(request);
}

/* Whether an earlier worker has left a new file, or its contents, to store. */
static bool is_unstored(const struct mount *mount, uint64_t ino) {
    const struct inode *inode = inodes_find(&mount->inodes, ino);
    return (inode != NULL && inode->unmade) ||
           survivor_find_new(mount->config.survivor, ino) != NULL;
}

/* Whether an earlier worker has left something of the opening to store. */
static bool is_owed(const struct mount *mount, const struct opening *opening) {
    const struct survivor_handle *kept = opening->kept;
    bool writes = (opening->flags & O_ACCMODE) != O_RDONLY;
    return kept != NULL && (kept->redo != 0 || kept->waiting != 0 ||
                            (opening->open == NULL && writes && is_unstored(mount, opening->ino)));
}

/* Of `> f` a shell opens the file, makes that its standard output and closes what it opened before
 * the command begins: this close is not the last, and the first write is yet to come. */
static bool stays_open(const struct request *request) {
    const struct handle *handle = request->handle;
    return handle_is_unwritten(handle) &&
           descriptors_have(request->process, request->ino, handle->file->inode->name);
}

static void flush_run(struct request *request) {
    int status = take_loss(request);
    if (status == 0 && request->handle != NULL && !stays_open(request)) {
        status = handle_flush(request->handle);
    }
    if (request->handle != NULL) {
        locks_close(request->handle, request->wish.lock.owner);
    }
    request_answer(request, status);
}

static void on_flush(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "flush", flush_run, ino, NULL, NULL);
    const struct opening *opening =
        handles_find(&mount_of(request)->handles, request_set_handle(request, info)->number);
    request->wish.lock.owner = info->lock_owner;
    request->as_it_is = opening == NULL || !is_owed(mount_of(request), opening);
    request_start(request);
}

static void fsync_run(struct request *request) {
    int status = take_loss(request);
    request_answer(request,
                   status != 0 ? status : handle_fsync(request->handle, request->data_only));
}

static void on_fsync(fuse_req_t fuse, fuse_ino_t ino, int datasync, struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "fsync", fsync_run, ino, NULL, NULL);
    request->data_only = datasync != 0;
    request_set_handle(request, info);
    request_start(request);
}

static void release_run(struct request *request) {
    if (request->handle != NULL) {
        locks_release(request->handle, request->flock_release ? &request->wish.lock.owner : NULL);
        handle_release(request->handle);
    }
    handles_drop(&mount_of(request)->handles, request->number);
    request_answer(request, 0);
}

static void on_release(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    struct request *request = request_new(fuse, "release", release_run, ino, NULL, NULL);
    request->wish.lock.owner = info->lock_owner;
    request->flock_release = info->flock_release;
    request->as_it_is = true;
    request_start(request_set_handle(request, info));
}

/* ---- directories ---- */
static void opendir_run(struct request *request) {
    struct directory_handle *handle;
    int status = directory_open(mount_of(request), request->ino, &handle);
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    struct fuse_file_info info = {0};
    info.fh = request_opened(request, SURVIVOR_DIRECTORY, request->ino, handle);
    if (fuse_reply_open(request->fuse, &info) != 0) {
        handles_drop(&mount_of(request)->handles, info.fh);
        directory_release(mount_of(request), handle);
    }
    request->fuse = NULL;
}

static void on_opendir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    (void)info;
    request_start(request_new(fuse, "opendir", opendir_run, ino, NULL, NULL));
}

/* The kernel's buffer of directory entries while it is filled. */
struct filling {
    struct request *request;
    bool plus;
    char *data;
    size_t used;
};

static bool fill(void *context, const char *name, const struct stat *stat, uint64_t next_offset) {
    struct filling *filling = context;
    struct request *request = filling->request;
    char *at = filling->data + filling->used;
    size_t left = request->size - filling->used;
    size_t size;
    if (filling->plus) {
        struct fuse_entry_param entry = {.attr = *stat}; /* a name only: no look-up is counted */
        if (stat->st_nlink != 0) {
            entry = request_entry(request, name, stat);
        }
        size = fuse_add_direntry_plus(request->fuse, at, left, name, &entry, (off_t)next_offset);
    } else {
        size = fuse_add_direntry(request->fuse, at, left, name, stat, (off_t)next_offset);
    }
    if (size > left) {
        return false;
    }
    filling->used += size;
    return true;
}

static void list(struct request *request, bool plus) {
    struct filling filling = {.request = request, .plus = plus, .data = malloc(request->size)};
    struct listener listener = {.take = fill, .context = &filling, .attributes = plus};
    int status = filling.data == NULL ? ERR_NO_MEMORY
                                      : directory_read(mount_of(request), request->handle,
                                                       request->offset, &listener);
    /* What was filled in before an error is given out; the error comes again. */
    if (status != 0 && filling.used == 0) {
        request_answer(request, status);
    } else {
        fuse_reply_buf(request->fuse, filling.data, filling.used);
        request->fuse = NULL;
    }
    free(filling.data);
}

static void readdir_run(struct request *request) {
    list(request, false);
}

static void readdirplus_run(struct request *request) {
    list(request, true);
}

static void start_listing(struct request *request, size_t size, off_t offset,
                          const struct fuse_file_info *info) {
    request_set_handle(request, info);
    request->size = size;
    request->offset = (uint64_t)offset;
    request_start(request);
}

static void on_readdir(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *info) {
    start_listing(request_new(fuse, "readdir", readdir_run, ino, NULL, NULL), size, offset, info);
}

static void on_readdirplus(fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *info) {
    start_listing(request_new(fuse, "readdirplus", readdirplus_run, ino, NULL, NULL), size, offset,
                  info);
}

static void on_releasedir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info) {
    (void)ino;
    struct ops *ops = fuse_req_userdata(fuse);
    struct mount *mount = ops->config.mount;
    const struct opening *opening = handles_find(&mount->handles, info->fh);
    if (opening != NULL && opening->open != NULL) {
        directory_release(mount, opening->open);
    }
    handles_drop(&mount->handles, info->fh);
    fuse_reply_err(fuse, 0);
}

/* Names are stored when the operation that makes them returns, but for those of new files. */
static void fsyncdir_run(struct request *request) {
    struct mount *mount = mount_of(request);
    struct inode *inode;
    int status = mount_pin_directory(mount, request->ino, &inode);
    if (status == 0) {
        status = unmade_settle_in(mount, inode);
        mount_unpin(mount, inode);
    }
    request_answer(request, status);
}

static void on_fsyncdir(fuse_req_t fuse, fuse_ino_t ino, int datasync,
                        struct fuse_file_info *info) {
    (void)datasync;
    (void)info;
    request_start(request_new(fuse, "fsyncdir", fsyncdir_run, ino, NULL, NULL));
}

void ops_files(struct fuse_lowlevel_ops *ret) {
    ret->create = on_create;
    ret->open = on_open;
    ret->read = on_read;
    ret->write = on_write;
    ret->flush = on_flush;
    ret->fsync = on_fsync;
    ret->release = on_release;
    ret->opendir = on_opendir;
    ret->readdir = on_readdir;
    ret->readdirplus = on_readdirplus;
    ret->releasedir = on_releasedir;
    ret->fsyncdir = on_fsyncdir;
}
