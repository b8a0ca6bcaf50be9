/* ops_request: one request of the kernel, as a task that answers it. */
#ifndef RINGFS_FS_OPS_REQUEST_H
#define RINGFS_FS_OPS_REQUEST_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "fs/attributes.h"
#include "fs/cluster_files.h"
#include "fs/directory.h"
#include "fs/kernel_names.h"
#include "fs/locks.h"
#include "fs/ops.h"
#include "fs/tree.h"
#include "shared/complaints.h"

struct request;

struct ops {
    struct ops_config config;
    struct fuse_session *session;
    struct pages *pages;
    struct kernel_names names;
    struct fuse_buf buffer; /* what the kernel's requests are read into */
    int fd;
    bool reading;      /* the loop watches the descriptor */
    bool starting;     /* libfuse is given the kernel's first request */
    bool replaying;    /* libfuse hears the kernel's first request again: nothing is answered */
    uint64_t unique;   /* the kernel's number of the request that libfuse is given just now */
    bool again;        /* which an earlier worker has had already */
    bool paused;       /* for good: ops_pause() */
    bool handing_over; /* another worker will go on */
    bool resuming;     /* locks are taken over: nothing is read yet */
    bool unmounted;
    uint32_t n_requests;
    struct request *requests; /* all that are under way */
    struct request *waiting;  /* no task could be made for it yet */
    struct task_queue idle;
    struct complaints complaints;
    uint64_t n_answered;
};

/* What an operation works on; the fields that it does not have are zero. */
struct request {
    struct ops *ops;
    struct request *next, **link; /* among ops->requests */
    fuse_req_t fuse;
    const char *operation; /* its name, for the log */
    void (*run)(struct request *request);
    uint64_t ino; /* or the parent's */
    uint64_t new_parent;
    const char *name; /* copied, like new_name (also a symlink's target) and data */
    const char *new_name;
    struct bytes data;
    uint64_t offset;
    size_t size;
    uint64_t from_number; /* of the opening that is copied from */
    uint64_t from_offset;
    int flags;
    uint64_t number; /* of the opening: see handles.h */
    void *handle;    /* what it stands for; there when `run` begins */
    bool as_it_is;   /* `run` begins without `handle` when an earlier worker had opened it */
    uint64_t unique;
    bool again; /* an earlier worker had it and may have done it */
    struct survivor_request *kept;
    struct maker maker;
    uint32_t process; /* that asks; 0 = unknown */
    struct attributes_change change;
    struct lock_wish wish;
    bool flock_release; /* release: there was a flock */
    bool data_only;     /* fsync: of the data, and what it takes to read them */
    int64_t started_ns;
    int status;        /* what it was answered with */
    struct task *task; /* NULL before it runs */
    struct timer interrupt;
    bool interrupted;
};

/* Makes a request and copies what libfuse lends for the call only; names may be NULL. */
struct request *request_new(fuse_req_t fuse, const char *operation,
                            void (*run)(struct request *request), uint64_t ino, const char *name,
                            const char *new_name);
void request_set_data(struct request *request, const void *data, size_t size);
/* The opening that it works on, in `handle` when `run` begins. Answers `request`. */
struct request *request_set_handle(struct request *request, const struct fuse_file_info *info);
/* Gives what the request has opened a number, for fuse_file_info's fh. */
uint64_t request_opened(struct request *request, enum survivor_kind kind, uint64_t ino, void *open);
/* For requests that fail with `if_done` when they were done already: 0 when an earlier worker has
 * had the request, else `status`. */
int request_settle(const struct request *request, int status, int if_done);
/* Notes what a program is about to be told and is not stored yet. */
void request_note_dirt(const struct handle *handle, enum survivor_dirt dirt);
/* Runs it in a task of its own; frees it afterwards. */
void request_start(struct request *request);
/* Opens again what an earlier worker had open under a number. May suspend. */
int opening_reopen(struct mount *mount, uint64_t number);
/* As if a signal had come for each of them. */
void requests_interrupt(struct ops *ops);
/* Starts what had to wait for a task, and reads on. */
void requests_resume(struct ops *ops);

/* The answers. Each request gets exactly one. */
void request_answer(struct request *request, int status); /* 0, or the error */
void request_answer_entry(struct request *request, int status, const struct stat *stat);
void request_answer_attributes(struct request *request, int status, const struct stat *stat);

/* fuse_entry_param of an inode, as what the name in the directory that the request is about stands
 * for. */
struct fuse_entry_param request_entry(const struct request *request, const char *name,
                                      const struct stat *stat);

/* Fill in the operations on names, on files, on extended attributes on locks and on
 * ranges. */
void ops_names(struct fuse_lowlevel_ops *ret);
void ops_files(struct fuse_lowlevel_ops *ret);
void ops_xattr(struct fuse_lowlevel_ops *ret);
void ops_locks(struct fuse_lowlevel_ops *ret);
void ops_data(struct fuse_lowlevel_ops *ret);
/* Begins to take over the locks that an earlier worker left, if any; ops->resuming until then. */
void ops_locks_resume(struct ops *ops);
/* After these: takes those requests out that are about .ringfs. */
void ops_cluster(struct fuse_lowlevel_ops *table);

#endif
