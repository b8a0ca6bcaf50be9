/* kernel_names: whether the kernel may hold names for long, and how it is made to give them up. */
#include "fs/kernel_names.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "fs/mountinfo.h"

enum {
    /* linux/fuse.h, which cannot be included beside libfuse's headers. */
    NOTIFY_INC_EPOCH = 8,
    MINOR_OF_EPOCHS = 44,
};

/* fuse_out_header. */
struct notice {
    uint32_t size;
    int32_t code;
    uint64_t unique;
};

static bool is_among(int id, const int *ids, int n) {
    for (int i = 0; i < n; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool mounted_upon(const char *mountinfo, const char *mountpoint, dev_t *device) {
    int own[KERNEL_NAMES_MOUNTS_MAX];
    int n_own = 0;
    struct mounted mounted;
    if (*device == 0 && mountinfo_top(mountinfo, mountpoint, &mounted) &&
        strncmp(mounted.type, "fuse", 4) == 0) {
        *device = mounted.device;
    }
    for (const char *at = mountinfo; mountinfo_next(&at, &mounted);) {
        if (mounted.device == *device && n_own == KERNEL_NAMES_MOUNTS_MAX) {
            return true;
        }
        if (mounted.device == *device) {
            own[n_own++] = mounted.id;
        }
    }
    bool upon = *device == 0;
    while (!upon && mountinfo_next(&mountinfo, &mounted)) {
        upon = is_among(mounted.parent, own, n_own) && mounted.parent != mounted.id;
    }
    return upon;
}

/* Reads it all anew. */
static bool is_hidden(struct kernel_names *names) {
    struct buffer text = {0};
    bool hidden = !mountinfo_read(names->mounts_fd, &text) ||
                  mounted_upon((const char *)text.data, names->mountpoint, &names->device);
    buffer_release(&text);
    return hidden;
}

/* The kernel says when mounts came or went since it was last asked. */
static void look(struct kernel_names *names) {
    struct pollfd changes = {.fd = names->mounts_fd, .events = POLLPRI};
    if (poll(&changes, 1, 0) != 0) {
        names->hidden = is_hidden(names);
    }
}

/* ---- the kernel ---- */

void kernel_names_init(struct kernel_names *names, const char *mountpoint, dev_t device) {
    *names = (struct kernel_names){.kernel_fd = -1,
                                   .mounts_fd = mountinfo_open(),
                                   .device = device,
                                   .hidden = true,
                                   .mountpoint = mountpoint};
}

void kernel_names_start(struct kernel_names *names, int kernel_fd, unsigned minor) {
    names->kernel_fd = minor >= MINOR_OF_EPOCHS ? kernel_fd : -1;
    names->hidden = is_hidden(names);
    kernel_names_take_back(names);
}

void kernel_names_end(struct kernel_names *names) {
    if (names->mounts_fd >= 0) {
        close(names->mounts_fd);
    }
    names->mounts_fd = names->kernel_fd = -1;
}

bool kernel_names_may_be_held(struct kernel_names *names) {
    if (names->kernel_fd >= 0) {
        look(names);
    }
    return names->kernel_fd >= 0 && !names->hidden;
}

void kernel_names_take_back(struct kernel_names *names) {
    struct notice notice = {sizeof notice, NOTIFY_INC_EPOCH, 0};
    if (kernel_names_may_be_held(names) &&
        write(names->kernel_fd, &notice, sizeof notice) != (ssize_t)sizeof notice) {
        names->kernel_fd = -1; /* it cannot after all: what it has ends by itself */
    }
}
