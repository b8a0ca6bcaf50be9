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

/* Noted ahead, for a worker that takes over in the middle. */
static void note_locked(struct request *request) {
    const struct opening *opening =
        handles_find(&request->ops->config.mount->handles, request->number);
    const struct lock *lock = &request->wish.lock;
    if (opening == NULL || opening->kept == NULL || lock->type == LOCK_NONE) {
        return;
    }
    opening->kept->locked = 1;
    if (lock->kind == LOCK_POSIX) {
        opening->kept->lock_owner = lock->owner;
    }
}

static void set_run(struct request *request) {
    note_locked(request);
    int status = locks_set(request->handle, &request->wish);
    if (status == ERR_CLOSED && request->ops->handing_over) {
        request->fuse = NULL; /* not answered: the kernel asks the next worker */
    } else {
        request_answer(request, status);
    }
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

/* ---- what an earlier worker left ---- */

/* An opening that was locked is opened again at once: its locks keep others out from now on, or its
 * writes fail. */
static void resume_opening(struct mount *mount, uint64_t number, bool lost) {
    int status = opening_reopen(mount, number);
    const struct opening *opening = handles_find(&mount->handles, number);
    if (status != 0) {
        opening->kept->lost = 1;
        return;
    }
    struct handle *handle = opening->open;
    if (lost || locks_resume_file(handle, opening->kept->lock_owner) != 0) {
        handle->n_leases_lost--; /* not the file's number: as if it had been lost just now */
    }
}

static void resume_run(void *arg) {
    struct ops *ops = arg;
    struct mount *mount = ops->config.mount;
    bool lost = locks_resume(mount) != 0;
    for (uint64_t i = 1; i <= mount->handles.n; i++) {
        const struct opening *opening = handles_find(&mount->handles, i);
        if (opening != NULL && opening->kind == SURVIVOR_FILE && opening->kept != NULL &&
            opening->kept->locked) {
            task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
            resume_opening(mount, i, lost);
        }
    }
    ops->resuming = false;
    mount_background_done(mount);
}

static bool any_locked(const struct handles *handles) {
    for (uint32_t i = 1; i <= handles->n; i++) {
        if (handles->at[i].used && handles->at[i].kept != NULL && handles->at[i].kept->locked) {
            return true;
        }
    }
    return false;
}

void ops_locks_resume(struct ops *ops) {
    struct mount *mount = ops->config.mount;
    const struct survivor *survivor = mount->config.survivor;
    bool left = survivor != NULL && mount->locks->lease.kept->valid != 0;
    if ((left || any_locked(&mount->handles)) &&
        task_spawn(mount->config.tasks, resume_run, ops, 0) == 0) {
        ops->resuming = true;
        mount->n_background++;
    }
}

void ops_locks(struct fuse_lowlevel_ops *ret) {
    ret->getlk = on_getlk;
    ret->setlk = on_setlk;
    ret->flock = on_flock;
}
