/* disk_log: LevelDB's log written ahead with zeros, so that a sync of it is one write of the disk.
 */
#ifndef RINGFS_NODE_DISK_LOG_H
#define RINGFS_NODE_DISK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sync of a file that grew waits for the file system's journal, which all nodes of a disk share:
 * three to five times as long as a sync of bytes that were there before. LevelDB appends to its
 * log; so, while synced writes come, this module keeps zeros behind the end. LevelDB's reader takes
 * zeros for the end; but half a record before them it takes for damage. So whoever opens LevelDB
 * calls disk_log_trim() first.
 *
 * Zeros are only ever written behind the end of the file, where nothing can be. All functions are
 * the writer's (disk_leveldb_inside.h), between LevelDB's writes. */
enum {
    /* Syncs of a log before zeros are written, and anew when they are used up: when most of what is
     * written is not waited for, nothing would be gained. */
    DISK_LOG_SYNCS_FIRST = 4,
    DISK_LOG_AHEAD_MIN = 64 << 10,
    DISK_LOG_AHEAD_MAX = 1 << 20, /* at a time: a full log is about eight of these */
};

struct disk_log;

/* Of the folder with LevelDB's files, which has been opened. When it cannot watch it, no zeros are
 * written; never NULL. */
struct disk_log *disk_log_new(const char *folder);
/* NULL is harmless. */
void disk_log_free(struct disk_log *log);
/* A batch of at most `size` bytes is about to be written, and synced because somebody waits for
 * that (`waited`) or not. */
void disk_log_next(struct disk_log *log, size_t size, bool waited);

/* Cuts the logs in `folder` behind their last whole record, where zeros were written ahead: before
 * LevelDB opens them. `rebooted`: the machine went down since they were written, so of what was not
 * synced some pages may be there and those before them not. Else what follows the last record
 * must be half a record at most, and zeros: anything else is damage, and stays for LevelDB to
 * refuse. Returns 0; ERR_DISK: a log cannot be read or cut. */
int disk_log_trim(const char *folder, bool rebooted);

#endif
