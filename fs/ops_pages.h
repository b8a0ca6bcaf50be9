/* ops_pages: makes the kernel drop what it caches of a file, without waiting for ourselves. */
#ifndef RINGFS_FS_OPS_PAGES_H
#define RINGFS_FS_OPS_PAGES_H

#include "fs/ops.h"

/* The kernel answers only when no page of the file is being read or written, and such reading and
 * writing are requests that this program serves: the loop must not be the one who waits. So a
 * thread of its own tells the kernel, from the first time on that it is needed; it touches nothing
 * else. */
struct pages;

/* Takes no thread yet. Both are borrowed; `session` is libfuse's. */
struct pages *pages_new(struct loop *loop, void *session);
/* After the kernel was told to unmount. A thread that the kernel still holds after PAGES_END_S is
 * left behind with what it uses. */
void pages_free(struct pages *pages);
enum {
    PAGES_END_S = 5,
    PAGES_DOUBTS_MAX = 1 << 18, /* attributes to be doubted, not told yet; 56 bytes each */
};

/* May suspend: until the kernel has dropped pages and attributes of the inode. `pages` as void * to
 * fit locks_config.drop_pages. ERR_TIMEOUT, ERR_INTERRUPTED, ERR_IO. */
int pages_drop(void *pages, uint64_t ino);
/* Soon the kernel believes no attributes of the inode that it was given before. Does not wait, and
 * does nothing when there are too many already: they end by themselves. Fits kernel_notices. */
void pages_doubt(void *pages, uint64_t ino);

#endif
