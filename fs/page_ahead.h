/* page_ahead: pages of a listing, and the one that is asked for before the kernel comes for it. */
#ifndef RINGFS_FS_PAGE_AHEAD_H
#define RINGFS_FS_PAGE_AHEAD_H

#include "fs/mount.h"

enum {
    DIRECTORY_PAGE_ENTRIES = 512,
    PAGES_AHEAD_MAX = 16, /* asked for and not yet given out, in all listings of a mount: 12 MiB */
};

struct directory_page {
    struct listing listing; /* owned: listing_release() */
    bool names_only;        /* no attributes are in it: namespace_list_names() */
    uint64_t began;         /* the inodes' clock before it was read */
    int64_t read_ns;        /* monotonic, after it was read */
};

/* May suspend: reads the page behind the cookie `after` (0 = the first). `ret` is filled when the
 * answer is 0. */
int page_read(struct mount *mount, struct inode *directory, uint64_t after, bool names_only,
              struct directory_page *ret);

/* One that is asked for, and behind it perhaps another. Its owner takes or drops it. */
struct page_ahead;

/* Asks for the page behind `after`. NULL when as many are asked for as may be, or when nothing that
 * was read may be answered later. */
struct page_ahead *page_ahead_ask(struct mount *mount, struct inode *directory, uint64_t after,
                                  bool names_only);
/* As soon as it is there the next one is asked for. NULL: nothing happens. */
void page_ahead_go_on(struct page_ahead *ahead, bool names_only);
/* Whether it can be taken without waiting. */
bool page_ahead_is_there(const struct page_ahead *ahead);
bool page_ahead_names_only(const struct page_ahead *ahead);
/* May suspend: until it has come. 0: `ret` is the page, and `*ahead` the one behind it or NULL.
 * ERR_CONFLICT: there is none that is still good (it failed, is too old, or a change of the
 * directory is known of since): to be read. ERR_TIMEOUT, ERR_INTERRUPTED: of the caller's own wait.
 * On all errors all are dropped. */
int page_ahead_take(struct page_ahead **ahead, struct directory_page *ret);
/* They are not wanted any more; what is under way ends by itself. `*ahead` becomes NULL. */
void page_ahead_drop(struct page_ahead **ahead);

#endif
