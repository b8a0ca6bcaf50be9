/* privileges: what a file loses when others write it: setuid, setgid and capabilities. */
#ifndef RINGFS_FS_PRIVILEGES_H
#define RINGFS_FS_PRIVILEGES_H

#include "fs/mount.h"

/* The kernel takes them away itself before a write through its pages, a truncation and a chown, but
 * not when an opening empties the file, nor when writes go past its pages. May suspend: before such
 * an operation of `uid`, with one more record where there is something to lose. *ret_lost: there
 * was; the kernel's attributes are old then. */
int privileges_lose(struct mount *mount, uint64_t ino, uint32_t uid, bool *ret_lost);

#endif
