/* descriptors: what other processes have open, as /proc has it; proc(5). */
#ifndef RINGFS_FS_DESCRIPTORS_H
#define RINGFS_FS_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a process has a file open for writing as its descriptor 0, 1 or 2. False also when that
 * cannot be seen: the process is unknown (0) or another user's, or Linux is older than 5.14. `name`
 * is the last part of the file's path; the inode number decides.
 *
 * Asks no filesystem, so that a mount may look for its own files: the kernel makes these texts from
 * what it has in memory. Does not suspend; takes about ten microseconds. Any thread. */
bool descriptors_have(uint32_t process, uint64_t ino, const char *name);

#endif
