/* range: allocating, clearing, seeking in and copying ranges of open files. */
#ifndef RINGFS_FS_RANGE_H
#define RINGFS_FS_RANGE_H

#include "fs/handle.h"

/* All calls may suspend. */
enum {
    RANGE_COPY_MAX = 32 << 20, /* of one call: the program asks again */
};

/* fallocate(2) with `mode` of linux/falloc.h: plain, KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE; else
 * ERR_NOT_SUPPORTED. Space is not set aside, but what the cluster has no room for is refused. A
 * range that is cleared costs nothing afterwards but for parts of blocks at its ends. */
int range_allocate(struct handle *handle, int mode, uint64_t offset, uint64_t size);
/* lseek(2) with SEEK_DATA or SEEK_HOLE, at the grain of blocks. ERR_NO_DATA. */
int range_seek(struct handle *handle, uint64_t offset, int whence, uint64_t *ret);
/* copy_file_range(2): at most RANGE_COPY_MAX bytes, holes stay holes. *ret_size: what was copied,
 * less than asked for at the source's end. ERR_INVALID for overlapping ranges of one file. */
struct range_copy {
    struct handle *from, *to;
    uint64_t from_offset, to_offset;
    uint64_t size;
};
int range_copy(const struct range_copy *copy, uint64_t *ret_size);
/* Bytes of the file that are stored, for st_blocks. */
uint64_t range_stored(const struct inode *inode);

#endif
