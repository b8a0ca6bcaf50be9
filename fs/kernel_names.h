/* kernel_names: whether the kernel may hold names for long, and how it is made to give them up. */
#ifndef RINGFS_FS_KERNEL_NAMES_H
#define RINGFS_FS_KERNEL_NAMES_H

#include <sys/types.h>

#include "shared/bytes.h"

/* Since Linux 6.16 one notification makes all names that the kernel holds of a mount be looked up
 * anew at their next use. It takes no lock, so whoever writes it waits for nobody. But with a name
 * that is given up goes what is mounted upon it (on a directory in the mount): while there is such
 * a mount no name is given for long and none is taken back; those given before it end by
 * themselves. Mounts made in other mount namespaces than this process' are not seen. One thread. */
struct kernel_names {
    int kernel_fd; /* -1 = it cannot take names back, or nobody has asked it yet */
    int mounts_fd; /* mountinfo_open() */
    dev_t device;  /* of the mount; 0 = not known yet */
    bool hidden;   /* something is mounted upon it, or nobody can say */
    const char *mountpoint;
};

enum {
    KERNEL_NAMES_MOUNTS_MAX = 256, /* of this filesystem, as bind mounts; beyond: hidden */
};

/* Nothing is held. Borrows `mountpoint`. `device` 0: is found by the mountpoint. */
void kernel_names_init(struct kernel_names *names, const char *mountpoint, dev_t device);
/* The kernel behind the descriptor (borrowed) has named its minor version of the protocol. Names
 * that an earlier worker gave it are taken back. */
void kernel_names_start(struct kernel_names *names, int kernel_fd, unsigned minor);
void kernel_names_end(struct kernel_names *names);

/* Whether the kernel may hold names for long. */
bool kernel_names_may_be_held(struct kernel_names *names);
/* It looks all names up anew. */
void kernel_names_take_back(struct kernel_names *names);

/* Whether the text of mountinfo(5) has a mount upon one of this device. `device` 0: is set to what
 * is mounted at `mountpoint`, when that is FUSE; true while it is 0. */
bool mounted_upon(const char *mountinfo, const char *mountpoint, dev_t *device);

#endif
