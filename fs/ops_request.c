/* ops_request: one request of the kernel, as a task that answers it. */
#include "fs/ops_request.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *copy_text(const char *text) {
    return text == NULL ? NULL : (const char *)bytes_copy(bytes_of_string(text)).data;
}

static void interrupt_late(void *context) {
    struct request *request = context;
    request->interrupted = true;
    if (request->task != NULL) {
        task_interrupt(request->task);
    }
}

static void interrupted(fuse_req_t fuse, void *data) {
    (void)fuse;
    struct request *request = data;
    struct loop *loop = request->ops->config.loop;
    if (request->wish.asleep) {
        interrupt_late(request); /* it waits for a program, not for the cluster */
    } else if (!timer_armed(&request->interrupt) && !request->interrupted) {
        timers_set(loop_timers(loop), &request->interrupt, loop_now_ns(loop) + OPS_INTERRUPT_NS);
    }
}

struct request *request_new(fuse_req_t fuse, const char *operation,
                            void (*run)(struct request *request), uint64_t ino, const char *name,
                            const char *new_name) {
    struct request *request = memory_new(1, sizeof *request);
    const struct fuse_ctx *caller = fuse_req_ctx(fuse);
    request->ops = fuse_req_userdata(fuse);
    request->fuse = fuse;
    request->operation = operation;
    request->run = run;
    request->ino = ino;
    request->name = copy_text(name);
    request->new_name = copy_text(new_name);
    request->unique = request->ops->unique;
    request->again = request->ops->again;
    request->maker.uid = caller->uid;
    request->maker.gid = caller->gid;
    request->maker.umask = caller->umask;
    request->process = (uint32_t)caller->pid;
    request->interrupt.fire = interrupt_late;
    request->interrupt.context = request;
    return request;
}

void request_set_data(struct request *request, const void *data, size_t size) {
    request->data = bytes_copy(bytes_of(data, size));
}

struct request *request_set_handle(struct request *request, const struct fuse_file_info *info) {
    struct mount *mount = request->ops->config.mount;
    const struct opening *opening = handles_find(&mount->handles, info->fh);
    request->number = info->fh;
    request->handle = opening != NULL ? opening->open : NULL;
    return request;
}

uint64_t request_opened(struct request *request, enum survivor_kind kind, uint64_t ino,
                        void *open) {
    struct handles *handles = &request->ops->config.mount->handles;
    int flags = request->flags != 0 ? request->flags : request->maker.flags;
    struct opening opening = {.open = open, .kind = kind, .ino = ino, .flags = flags};
    if (request->again) {
        handles_drop(handles, handles_of_request(handles, request->unique));
    }
    return handles_add(handles, &opening, request->unique);
}

int request_settle(const struct request *request, int status, int if_done) {
    return request->again && status == if_done ? 0 : status;
}

static struct journal_operation told(const struct request *request) {
    const struct mount *mount = request->ops->config.mount;
    return (struct journal_operation){
        .wall_ns = mount_wall_ns(mount),
        .took_ns = mount_now_ns(mount) - request->started_ns,
        .operation = request->operation,
        .ino = request->ino,
        .status = request->status,
    };
}

static void request_end(struct request *request) {
    struct ops *ops = request->ops;
    struct journal_operation operation = told(request);
    journal_note(&ops->config.cluster->journal, &operation, request->name);
    if (request->kept != NULL) {
        survivor_publish(&request->kept->unique, 0);
    }
    timers_cancel(loop_timers(ops->config.loop), &request->interrupt);
    free((void *)(uintptr_t)request->name);
    free((void *)(uintptr_t)request->new_name);
    free((void *)(uintptr_t)request->data.data);
    *request->link = request->next;
    if (request->next != NULL) {
        request->next->link = request->link;
    }
    free(request);
    assert(ops->n_requests > 0);
    ops->n_requests--;
    ops->n_answered++;
    if (ops->n_requests == 0) {
        task_wake_all(&ops->idle);
    }
}

static int reopen_file(struct mount *mount, const struct opening *opening, void **ret) {
    struct handle *handle;
    struct cache_advice advice;
    bool redo = opening->kept != NULL && opening->kept->redo != 0;
    int flags = opening->flags & ~(O_CREAT | O_EXCL | (redo ? 0 : O_TRUNC));
    int status = handle_open(mount, opening->ino, flags, &handle, &advice);
    if (status == 0) {
        /* Which pages the kernel has nobody knows any more. */
        handle->file->inode->kernel_version = (struct op_id){{0}};
        *ret = handle;
    }
    return status;
}

static void close_opened(struct mount *mount, enum survivor_kind kind, void *open) {
    if (kind == SURVIVOR_DIRECTORY) {
        directory_release(mount, open);
    } else {
        handle_release(open);
    }
}

/* What an earlier worker had promised of an opening that is open now. */
static void take_over(const struct opening *opening) {
    struct survivor_handle *kept = opening->kept;
    if (kept != NULL && opening->kind == SURVIVOR_FILE) {
        const struct handle *handle = opening->open;
        kept->redo = 0;
        file_attributes_take_over(handle->file, kept);
    }
}

int opening_reopen(struct mount *mount, uint64_t number) {
    struct opening *opening = handles_find(&mount->handles, number);
    if (opening == NULL) {
        return ERR_STALE;
    }
    struct opening was = *opening;
    void *open = NULL;
    int status = was.kind == SURVIVOR_DIRECTORY
                     ? directory_open(mount, was.ino, (struct directory_handle **)&open)
                     : reopen_file(mount, &was, &open);
    if (status != 0) {
        return status;
    }
    opening = handles_find(&mount->handles, number);
    if (opening == NULL || opening->open != NULL) {
        close_opened(mount, was.kind, open); /* another request was faster */
    } else {
        handles_opened(&mount->handles, number, open);
        take_over(opening);
    }
    return opening != NULL ? 0 : ERR_STALE;
}

/* What an earlier worker had open is opened again, when it is used. May suspend. */
static int reopen(struct request *request) {
    struct mount *mount = request->ops->config.mount;
    int status = opening_reopen(mount, request->number);
    const struct opening *opening = handles_find(&mount->handles, request->number);
    request->handle = opening != NULL ? opening->open : NULL;
    return status == 0 && opening == NULL ? ERR_STALE : status;
}

void ops_close_all(struct ops *ops) {
    struct mount *mount = ops->config.mount;
    for (uint64_t i = 1; i <= mount->handles.n; i++) {
        struct opening *opening = handles_find(&mount->handles, i);
        if (opening != NULL && opening->open != NULL) {
            close_opened(mount, opening->kind, opening->open);
            opening->open = NULL;
        }
    }
}

static void run_request(void *arg) {
    struct request *request = arg;
    request->task = task_self();
    if (request->interrupted) {
        task_interrupt(request->task);
    }
    int status = 0;
    if (request->kept != NULL && request->kept->n_tries > OPS_TRIES_MAX) {
        status = ERR_IO;
    } else if (request->number != 0 && request->handle == NULL && !request->as_it_is) {
        status = reopen(request);
    }
    if (status != 0) {
        request_answer(request, status);
    } else {
        request->run(request);
    }
    assert(request->fuse == NULL); /* answered */
    request_end(request);
}

void request_note_dirt(const struct handle *handle, enum survivor_dirt dirt) {
    if (file_pending(handle->file) && !file_remember(handle->file)) {
        inode_set_dirt(handle->file->inode, dirt);
        file_unremember(handle->file);
    }
    inodes_keep_gone(&handle->file->mount->inodes, handle->file->inode);
}

static int spawn(struct request *request) {
    struct mount *mount = request->ops->config.mount;
    int64_t deadline_ns = mount_now_ns(mount) + mount->config.timeout_ns;
    return task_spawn(mount->config.tasks, run_request, request, deadline_ns);
}

void request_start(struct request *request) {
    struct ops *ops = request->ops;
    ops->n_requests++;
    request->next = ops->requests;
    request->link = &ops->requests;
    if (request->next != NULL) {
        request->next->link = &request->next;
    }
    ops->requests = request;
    struct mount *mount = ops->config.mount;
    request->started_ns = mount_now_ns(mount);
    if (mount->config.survivor != NULL) {
        request->kept = survivor_request(mount->config.survivor, request->unique,
                                         mount_wall_ns(mount), request->again);
        request->maker.began_ns = request->kept->began_ns;
        request->maker.again = request->again;
    }
    fuse_req_interrupt_func(request->fuse, interrupted, request);
    if (spawn(request) != 0) {
        assert(ops->waiting == NULL);
        ops->waiting = request;
    }
}

void requests_interrupt(struct ops *ops) {
    for (struct request *request = ops->requests; request != NULL; request = request->next) {
        interrupt_late(request);
    }
}

void requests_resume(struct ops *ops) {
    if (ops->waiting != NULL && spawn(ops->waiting) == 0) {
        ops->waiting = NULL;
    }
}

/* Which errors are failures of the cluster, worth a line, and which are answers. */
static bool is_failure(int status) {
    int number = err_errno(status);
    return number == EIO || number == ENOSPC || number == ENOMEM || status == ERR_BUSY ||
           status == ERR_CONFLICT || status == ERR_AUTH;
}

/* What the request is about, for people. */
static void print_path(const struct request *request, char *ret, size_t size) {
    char path[1024];
    inodes_path(&request->ops->config.mount->inodes, request->ino, path, sizeof path);
    const char *name = request->name != NULL ? request->name : "";
    snprintf(ret, size, "%s%s%.255s", path, name[0] != '\0' && path[1] != '\0' ? "/" : "", name);
}

static void note_failure(const struct request *request) {
    struct cluster_files *files = request->ops->config.cluster;
    struct journal_operation operation = told(request);
    char path[1280];
    char reason[JOURNAL_REASON_SIZE] = "";
    int status = request->status;
    if (status == ERR_UNAVAILABLE || status == ERR_UNKNOWN || status == ERR_TIMEOUT) {
        files->texts.reason(files->texts.context, reason, sizeof reason);
    }
    print_path(request, path, sizeof path);
    journal_note_failure(&files->journal, &operation, path, reason);
}

static void log_failure(struct request *request, int status) {
    struct ops *ops = request->ops;
    uint64_t n_untold = 0;
    uint32_t cause = (uint32_t)-status;
    int64_t now_ns = loop_now_ns(ops->config.loop);
    uint64_t origin = (uint64_t)(uintptr_t)request->operation;
    if (!complaints_tell(&ops->complaints, cause, origin, now_ns, &n_untold)) {
        return;
    }
    char path[1280];
    char more[64] = "";
    print_path(request, path, sizeof path);
    if (n_untold > 0) {
        snprintf(more, sizeof more, " untold=%llu", (unsigned long long)n_untold);
    }
    char line[1600];
    snprintf(line, sizeof line, "op=%s path=%s err=%s (%s)%s", request->operation, path,
             err_name(status), err_text(status), more);
    ops->config.log(ops->config.context, 1, line);
}

void request_answer(struct request *request, int status) {
    request->status = status;
    if (status != 0 && is_failure(status)) {
        note_failure(request);
        log_failure(request, status);
    }
    fuse_reply_err(request->fuse, err_errno(status));
    request->fuse = NULL;
}

struct fuse_entry_param request_entry(const struct request *request, const char *name,
                                      const struct stat *stat) {
    struct mount *mount = request->ops->config.mount;
    uint64_t directory = request->new_parent != 0 ? request->new_parent : request->ino;
    double timeout_s = (double)attributes_name_ns(mount, directory, name, stat->st_ino) / 1e9;
    int64_t left_ns = attributes_left_ns(mount, stat->st_ino);
    return (struct fuse_entry_param){
        .ino = stat->st_ino,
        .attr = *stat,
        .attr_timeout = (double)left_ns / 1e9,
        .entry_timeout = timeout_s,
    };
}

void request_answer_entry(struct request *request, int status, const struct stat *stat) {
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    struct fuse_entry_param entry = request_entry(request, request->name, stat);
    if (fuse_reply_entry(request->fuse, &entry) != 0) {
        inodes_forget(&request->ops->config.mount->inodes, stat->st_ino, 1);
    }
    request->fuse = NULL;
}

void request_answer_attributes(struct request *request, int status, const struct stat *stat) {
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    int64_t left_ns = attributes_left_ns(request->ops->config.mount, stat->st_ino);
    fuse_reply_attr(request->fuse, stat, (double)left_ns / 1e9);
    request->fuse = NULL;
}
