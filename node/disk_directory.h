/* disk_directory: a node's data directory: whose it is, and that only one process uses it. */
#ifndef RINGFS_NODE_DISK_DIRECTORY_H
#define RINGFS_NODE_DISK_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The directory holds (docs/disk.md):
 *   lock          locked while a process uses the directory; holds its pid
 *   superblock    text: format, node id, cluster, slices, incarnation; written once
 *   rows.created  the rows exist: from then on they are never created again
 *   rows/         LevelDB
 *   damaged/      what disk_directory_set_aside() put there; looked at by nobody
 * It is made with mode 0700; callers set umask 077 before. Any thread, one at a time. */
enum {
    DISK_FORMAT = 3,        /* 1 had all values in LevelDB, untagged; */
    DISK_FORMAT_OLDEST = 2, /* 2 had no deltas: it becomes 3 when it is opened */
    DISK_PATH_MAX = 3072,   /* of a data directory's path */
    DISK_WHY_MAX = 4608,    /* a sentence that names a path: what is wrong and what to do */
};

/* Whose directory it is. */
struct disk_identity {
    uint16_t node;
    uint16_t slices;
    uint64_t cluster;     /* the cluster's seed */
    uint16_t incarnation; /* of the data: drawn when the directory is made, so that a node which
                             lost its rows never gives out an old version number again */
};

struct disk_directory;

/* Makes the directory if need be, locks it, and writes or verifies its superblock.
 * `identity->incarnation` is ignored on entry and filled in. Refusals, each with a sentence in
 * `why`: ERR_IN_USE (another process has it), ERR_EXISTS (it is of another node or cluster, or
 * holds something else), ERR_CORRUPT (a superblock that cannot be read or is missing), ERR_IO. */
int disk_directory_open(const char *path, struct disk_identity *identity,
                        struct disk_directory **ret, char why[DISK_WHY_MAX]);
/* Before the directory is opened: moves everything in it into a directory `damaged` within it, so
 * that it counts as new: an empty one, of the next incarnation. Refusals with a sentence:
 * ERR_EXISTS (there is a `damaged` already: this was done, or has to be tidied up first; or it is
 * of another node or cluster), ERR_IN_USE, ERR_NOT_FOUND (there is nothing to set aside), ERR_IO.
 */
int disk_directory_set_aside(const char *path, const struct disk_identity *identity,
                             char why[DISK_WHY_MAX]);
/* Unlocks. */
void disk_directory_close(struct disk_directory *directory);
const char *disk_directory_path(const struct disk_directory *directory);

/* Writes a small file so that it is either whole or absent after a power cut: to NAME.new, synced,
 * renamed, directory synced. 0 or ERR_IO (errno set). */
int disk_file_write(const char *directory, const char *name, const char *text);

#endif
