/* ops_data: the kernel's requests on ranges of files. */
#include "fs/cluster_files.h"
#include "fs/ops_request.h"
#include "fs/range.h"

static struct mount *mount_of(const struct request *request) {
    return request->ops->config.mount;
}

/* ---- fallocate ---- */
static void fallocate_run(struct request *request) {
    int status = range_allocate(request->handle, request->flags, request->offset, request->size);
    request_answer(request, status);
}

static void on_fallocate(fuse_req_t fuse, fuse_ino_t ino, int mode, off_t offset, off_t size,
                         struct fuse_file_info *info) {
    struct request *request =
        request_set_handle(request_new(fuse, "fallocate", fallocate_run, ino, NULL, NULL), info);
    request->flags = mode;
    request->offset = (uint64_t)offset;
    request->size = (size_t)size;
    request_start(request);
}

/* Files of .ringfs have openings of their own and nothing to seek or to copy by blocks: programs
 * read them then. */
static bool refused(fuse_req_t fuse, fuse_ino_t ino, int error) {
    bool refuse = cluster_files_has(ino);
    if (refuse) {
        fuse_reply_err(fuse, error);
    }
    return refuse;
}

/* ---- lseek ---- */
static void lseek_run(struct request *request) {
    uint64_t found = 0;
    int status = range_seek(request->handle, request->offset, request->flags, &found);
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    fuse_reply_lseek(request->fuse, (off_t)found);
    request->fuse = NULL;
}

static void on_lseek(fuse_req_t fuse, fuse_ino_t ino, off_t offset, int whence,
                     struct fuse_file_info *info) {
    if (refused(fuse, ino, EINVAL)) {
        return;
    }
    struct request *request =
        request_set_handle(request_new(fuse, "lseek", lseek_run, ino, NULL, NULL), info);
    request->offset = (uint64_t)offset;
    request->flags = whence;
    request_start(request);
}

/* ---- copy_file_range ---- */
static void copy_run(struct request *request) {
    const struct opening *from = handles_find(&mount_of(request)->handles, request->from_number);
    uint64_t size = 0;
    /* An earlier worker's opening is not ours yet: the kernel copies by reading and writing. */
    int status = from == NULL || from->open == NULL ? ERR_NOT_SUPPORTED : 0;
    if (status == 0) {
        struct range_copy copy = {.from = from->open,
                                  .to = request->handle,
                                  .from_offset = request->from_offset,
                                  .to_offset = request->offset,
                                  .size = request->size};
        status = range_copy(&copy, &size);
    }
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    request_note_dirt(request->handle, SURVIVOR_WRITTEN);
    fuse_reply_write(request->fuse, (size_t)size);
    request->fuse = NULL;
}

static void on_copy_file_range(fuse_req_t fuse, fuse_ino_t from_ino, off_t from_offset,
                               struct fuse_file_info *from, fuse_ino_t ino, off_t offset,
                               struct fuse_file_info *info, size_t size, int flags) {
    (void)flags;
    if (refused(fuse, from_ino, EOPNOTSUPP)) {
        return;
    }
    struct request *request =
        request_set_handle(request_new(fuse, "copy_file_range", copy_run, ino, NULL, NULL), info);
    request->from_number = from->fh;
    request->from_offset = (uint64_t)from_offset;
    request->offset = (uint64_t)offset;
    request->size = size;
    request_start(request);
}

void ops_data(struct fuse_lowlevel_ops *ret) {
    ret->fallocate = on_fallocate;
    ret->lseek = on_lseek;
    ret->copy_file_range = on_copy_file_range;
}
