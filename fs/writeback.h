/* writeback: buffered changes do not stay buffered: they are written after a second, and at the
 * end.
 */
#ifndef RINGFS_FS_WRITEBACK_H
#define RINGFS_FS_WRITEBACK_H

#include "fs/file.h"

/* Starts the task that writes changes older than MOUNT_WRITEBACK_NS. What fails is told by the
 * file's next write, flush or fsync, and tried again. ERR_BUSY. */
int writeback_start(struct mount *mount);

/* May suspend. Ends that task and everything else in the background, and writes all that is still
 * buffered: for the end of the program, when no further operation comes. The first error; what
 * could not be written is lost. */
int writeback_drain(struct mount *mount);

#endif
