/* mountinfo: what is mounted where, as this process' /proc/self/mountinfo has it; proc(5). */
#ifndef RINGFS_FS_MOUNTINFO_H
#define RINGFS_FS_MOUNTINFO_H

#include <limits.h>
#include <sys/types.h>

#include "shared/bytes.h"

enum { MOUNTINFO_MAX = 16 << 20 }; /* bytes of the text; a longer one counts as unreadable */

struct mounted {
    int id, parent;
    dev_t device;
    const char *where;       /* the mount point */
    const char *type;        /* of the filesystem, and what follows it in the line */
    char line[2 * PATH_MAX]; /* which they are in */
};

/* A descriptor to read and, for changes, to poll for POLLPRI; the caller's to close. -1: there is
 * none. */
int mountinfo_open(void);
/* Reads the whole text anew into `ret`, which is empty, with a NUL at its end; the caller's to
 * release in any case. False when it cannot be read. */
bool mountinfo_read(int fd, struct buffer *ret);

/* The next line of the text that says what it should; false at the end. */
bool mountinfo_next(const char **at, struct mounted *ret);
/* What lies on top at a path; false when nothing is mounted there. */
bool mountinfo_top(const char *text, const char *path, struct mounted *ret);

#endif
