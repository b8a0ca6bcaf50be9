/* kernel_names: whether the kernel may hold names for long, and how it is made to give them up. */
#include "fs/kernel_names.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    /* linux/fuse.h, which cannot be included beside libfuse's headers. */
    NOTIFY_INC_EPOCH = 8,
    MINOR_OF_EPOCHS = 44,
    READ_AT_ONCE = 4096,
};

/* fuse_out_header. */
struct notice {
    uint32_t size;
    int32_t code;
    uint64_t unique;
};

/* ---- mountinfo(5) ---- */

struct mounted {
    int id, parent;
    dev_t device;
    const char *where, *type;
    char line[2 * PATH_MAX]; /* which they are in */
};

/* \040 and the like become what they stand for. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned value;
        if (sscanf(from, "\\%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse(struct mounted *ret) {
    char *line = ret->line;
    unsigned a, b;
    int at = 0;
    int end = 0;
    char *options = strstr(line, " - ");
    bool parsed =
        sscanf(line, "%d %d %u:%u %*s %n%*s%n", &ret->id, &ret->parent, &a, &b, &at, &end) == 4;
    if (!parsed || options == NULL || end <= at) {
        return false;
    }
    ret->device = makedev(a, b);
    ret->type = options + 3;
    line[end] = '\0';
    ret->where = line + at;
    unescape(line + at);
    return true;
}

/* The next line that says what it should; false at the end. */
static bool next(const char **at, struct mounted *ret) {
    while (**at != '\0') {
        size_t size = strcspn(*at, "\n");
        snprintf(ret->line, sizeof ret->line, "%.*s", (int)size, *at);
        *at += size + ((*at)[size] == '\n');
        if (parse(ret)) {
            return true;
        }
    }
    return false;
}

static dev_t find_device(const char *mountinfo, const char *mountpoint) {
    dev_t device = 0;
    struct mounted mounted;
    while (next(&mountinfo, &mounted)) {
        if (strcmp(mounted.where, mountpoint) == 0 && strncmp(mounted.type, "fuse", 4) == 0) {
            device = mounted.device; /* the topmost comes last */
        }
    }
    return device;
}

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
    if (*device == 0) {
        *device = find_device(mountinfo, mountpoint);
    }
    for (const char *at = mountinfo; next(&at, &mounted);) {
        if (mounted.device == *device && n_own == KERNEL_NAMES_MOUNTS_MAX) {
            return true;
        }
        if (mounted.device == *device) {
            own[n_own++] = mounted.id;
        }
    }
    bool upon = *device == 0;
    while (!upon && next(&mountinfo, &mounted)) {
        upon = is_among(mounted.parent, own, n_own) && mounted.parent != mounted.id;
    }
    return upon;
}

/* Reads it all anew. */
static bool is_hidden(struct kernel_names *names) {
    struct buffer text = {0};
    uint8_t some[READ_AT_ONCE];
    ssize_t n = -1;
    if (names->mounts_fd >= 0 && lseek(names->mounts_fd, 0, SEEK_SET) == 0) {
        while ((n = read(names->mounts_fd, some, sizeof some)) > 0 &&
               text.size + (size_t)n < KERNEL_NAMES_MOUNTINFO_MAX) {
            buffer_put(&text, some, (size_t)n);
        }
    }
    buffer_put_u8(&text, '\0');
    bool hidden =
        n != 0 || mounted_upon((const char *)text.data, names->mountpoint, &names->device);
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
                                   .mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
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
