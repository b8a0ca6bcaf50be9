/* ops_xattr: the kernel's requests on extended attributes. */
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/ops_pages.h"
#include "fs/ops_request.h"
#include "fs/shown.h"
#include "fs/xattr.h"
#include "shared/xattrs.h"

enum { GROUPS_MAX = 1024 };

/* The attribute's name is in `new_name`: `name` would be taken for one in a directory. */
static struct mount *mount_of(const struct request *request) {
    return request->ops->config.mount;
}

/* What the caller is told of a value or a list; of its size only when it asks with no room. */
static void answer_value(struct request *request, int status, const struct buffer *value) {
    if (status == 0 && request->size != 0 && value->size > request->size) {
        status = ERR_RANGE;
    }
    if (status != 0) {
        request_answer(request, status);
        return;
    }
    if (request->size == 0) {
        fuse_reply_xattr(request->fuse, value->size);
    } else {
        fuse_reply_buf(request->fuse, (const char *)value->data, value->size);
    }
    request->fuse = NULL;
}

static void getxattr_run(struct request *request) {
    struct buffer value = {0};
    int status = xattr_get(mount_of(request), request->ino, request->new_name, &value);
    answer_value(request, status, &value);
    buffer_release(&value);
}

static void on_getxattr(fuse_req_t fuse, fuse_ino_t ino, const char *name, size_t size) {
    const struct ops *ops = fuse_req_userdata(fuse);
    if (xattr_absent(ops->config.mount, ino, name)) {
        fuse_reply_err(fuse, ENODATA);
        return;
    }
    struct request *request = request_new(fuse, "getxattr", getxattr_run, ino, NULL, name);
    request->size = size;
    request_start(request);
}

static void listxattr_run(struct request *request) {
    struct xattr_caller caller = {.uid = request->maker.uid};
    struct buffer names = {0};
    int status = xattr_list(mount_of(request), request->ino, &caller, &names);
    answer_value(request, status, &names);
    buffer_release(&names);
}

static void on_listxattr(fuse_req_t fuse, fuse_ino_t ino, size_t size) {
    struct request *request = request_new(fuse, "listxattr", listxattr_run, ino, NULL, NULL);
    request->size = size;
    request_start(request);
}

/* Who asks, with the supplementary groups, which libfuse reads from /proc. Free the groups. */
static struct xattr_caller caller_of(const struct request *request) {
    gid_t *groups = memory_new(GROUPS_MAX, sizeof *groups);
    int n = fuse_req_getgroups(request->fuse, GROUPS_MAX - 1, groups + 1);
    groups[0] = request->maker.gid;
    n = n < 0 ? 0 : n < GROUPS_MAX - 1 ? n : GROUPS_MAX - 1;
    return (struct xattr_caller){
        .uid = request->maker.uid, .n_groups = 1 + (uint32_t)n, .groups = groups};
}

/* The kernel is told in order: when it has dropped the pages of the last, it knows of all. */
static void refresh_run(struct request *request) {
    struct pages *pages = request->ops->pages;
    int status = shown_refresh(mount_of(request), request->ino, pages_doubt, pages);
    request_answer(request, status != 0 ? status : pages_drop(pages, request->ino));
}

static void setxattr_run(struct request *request) {
    struct xattr_caller caller = caller_of(request);
    enum xattr_when when = (request->flags & XATTR_CREATE) != 0    ? XATTR_ONLY_NEW
                           : (request->flags & XATTR_REPLACE) != 0 ? XATTR_ONLY_OLD
                                                                   : XATTR_ANYHOW;
    int status =
        xattr_set(mount_of(request), request->ino, request->new_name, request->data, when, &caller);
    free((void *)(uintptr_t)caller.groups);
    if (status == ERR_TOO_BIG) {
        /* xattr(7): too much for any file, or with what this one has. */
        bool any = request->data.size + strlen(request->new_name) + 3 > RECORD_XATTRS_MAX;
        fuse_reply_err(request->fuse, any ? E2BIG : ENOSPC);
        request->fuse = NULL;
        return;
    }
    request_answer(request, request_settle(request, status, ERR_EXISTS));
}

static void on_setxattr(fuse_req_t fuse, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags) {
    bool refresh = strcmp(name, SHOWN_REFRESH) == 0;
    struct request *request =
        request_new(fuse, "setxattr", refresh ? refresh_run : setxattr_run, ino, NULL, name);
    request_set_data(request, value, size);
    request->flags = flags;
    request_start(request);
}

static void removexattr_run(struct request *request) {
    int status = xattr_remove(mount_of(request), request->ino, request->new_name);
    request_answer(request, request_settle(request, status, ERR_NO_ATTRIBUTE));
}

static void on_removexattr(fuse_req_t fuse, fuse_ino_t ino, const char *name) {
    request_start(request_new(fuse, "removexattr", removexattr_run, ino, NULL, name));
}

void ops_xattr(struct fuse_lowlevel_ops *ret) {
    ret->getxattr = on_getxattr;
    ret->listxattr = on_listxattr;
    ret->setxattr = on_setxattr;
    ret->removexattr = on_removexattr;
}
