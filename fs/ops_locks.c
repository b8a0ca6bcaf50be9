/* ops_locks: the kernel's requests on locks. */
#include <sys/file.h>

#include "fs/ops_request.h"

static struct lock lock_of(fuse_req_t fuse, const struct fuse_file_info *info) {
    return (struct lock){.owner = info->lock_owner,
                         .pid = (uint32_t)fuse_req_ctx(fuse)->pid,
                         .kind = LOCK_POSIX,
                         .last = LOCK_TO_END};
}

/* As fcntl(2) writes a range; the kernel has made it count from the start of the file. */
static struct lock range_of(fuse_req_t fuse, const struct fuse_file_info *info,
                            const struct flock *flock) {
    struct lock lock = lock_of(fuse, info);
    lock.type = flock->l_type == F_WRLCK   ? LOCK_EXCLUSIVE
                : flock->l_type == F_RDLCK ? LOCK_SHARED
                                           : LOCK_NONE;
    lock.pid = (uint32_t)flock->l_pid;
    lock.first = (uint64_t)flock->l_start;
    if (flock->l_len > 0) {
        lock.last = lock.first + (uint64_t)flock->l_len - 1;
    }
    return lock;
}

static struct flock flock_of(const struct lock *lock) {
    struct flock flock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    if (lock->type != LOCK_NONE) {
        flock.l_type = lock->type == LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK;
        flock.l_start = (off_t)lock->first;
        flock.l_len = lock->last == LOCK_TO_END ? 0 : (off_t)(lock->last - lock->first + 1);
        flock.l_pid = (pid_t)lock->pid;
    }
    return flock;
}

/* The files of .ringfs are no files of the cluster. */
static bool refused(fuse_req_t fuse, fuse_ino_t ino) {
    bool ours = cluster_files_has(ino);
    if (ours) {
        fuse_reply_err(fuse, EBADF);
    }
    return ours;
}

static void getlk_run(struct request *request) {
    struct lock found;
    int status = locks_get(request->handle, &request->wish.lock, &found);
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    struct flock flock = flock_of(&found);
    fuse_reply_lock(request->fuse, &flock);
    request->fuse = NULL;
}

static void on_getlk(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info,
                     struct flock *flock) {
    if (refused(fuse, ino)) {
        return;
    }
    struct request *request = request_new(fuse, "getlk", getlk_run, ino, NULL, NULL);
    request->wish.lock = range_of(fuse, info, flock);
    request_start(request_set_handle(request, info));
}

static void set_run(struct request *request) {
    request_answer(request, locks_set(request->handle, &request->wish));
}

static void on_setlk(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info,
                     struct flock *flock, int sleep) {
    if (refused(fuse, ino)) {
        return;
    }
    struct request *request = request_new(fuse, "setlk", set_run, ino, NULL, NULL);
    request->wish.lock = range_of(fuse, info, flock);
    request->wish.wait = sleep != 0;
    request_start(request_set_handle(request, info));
}

static void on_flock(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *info, int operation) {
    if (refused(fuse, ino)) {
        return;
    }
    struct request *request = request_new(fuse, "flock", set_run, ino, NULL, NULL);
    request->wish.lock = lock_of(fuse, info);
    request->wish.lock.kind = LOCK_FLOCK;
    request->wish.lock.type = (operation & LOCK_EX) != 0   ? LOCK_EXCLUSIVE
                              : (operation & LOCK_SH) != 0 ? LOCK_SHARED
                                                           : LOCK_NONE;
    request->wish.wait = (operation & LOCK_NB) == 0;
    request_start(request_set_handle(request, info));
}

void ops_locks(struct fuse_lowlevel_ops *ret) {
    ret->getlk = on_getlk;
    ret->setlk = on_setlk;
    ret->flock = on_flock;
}
