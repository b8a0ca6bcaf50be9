/* file_times: times that a program has set of a file that it is writing. */
#ifndef RINGFS_FS_FILE_TIMES_H
#define RINGFS_FS_FILE_TIMES_H

#include "fs/survivor.h"
#include "shared/namespace.h"

/* tar and cp -p make a file, write it, set its times, owner and mode, and close it. The times wait
 * for the record that is written next (a chmod's, a later write's) and are stored with it; at the
 * latest at close or fsync, which tell when they could not be, or after MOUNT_WRITEBACK_NS. On this
 * mount stat(2) shows them at once. The survivor keeps them at each opening for writing: another
 * worker stores them when that is used. */
struct file_times {
    unsigned mask; /* ATTRIBUTE_ATIME, ATTRIBUTE_MTIME: those that wait */
    int64_t atime_ns, mtime_ns;
    int64_t ctime_ns; /* when the last of them was set */
};

struct file;

/* Whether times that this process (0 = unknown) sets now may wait: it has opened the file for
 * writing and has not closed it, so that it will hear of an error. */
bool file_times_may_wait(const struct file *file, uint32_t process);
/* In the file's turn: these wait, beside others that do. */
void file_times_wait(struct file *file, const struct file_times *times);
/* What an earlier worker left to store, when it is opened again. */
void file_times_take_over(struct file *file, const struct survivor_handle *kept);
/* The record has them. */
void file_times_stored(struct file *file);
/* In the file's turn, before its contents are changed: no mtime that was set earlier is theirs. */
void file_times_outdate(struct file *file);
/* Puts what waits in the place of what is stored, or was written. ns since 1970. */
void file_times_put(const struct file_times *times, int64_t *atime_ns, int64_t *mtime_ns,
                    int64_t *ctime_ns);

#endif
