/* directory: one opening of a directory, and its listing. */
#ifndef RINGFS_FS_DIRECTORY_H
#define RINGFS_FS_DIRECTORY_H

#include <sys/stat.h>

#include "fs/page_ahead.h"

/* Offsets: 0 = from the start, 1 = behind ".", 2 = behind "..", else the cookie of the entry that
 * they are behind. A cookie belongs to a name for good, so entries that come and go meanwhile never
 * make a listing skip or repeat others. A handle holds one page of the listing, some of which the
 * kernel has had already, and asks for the next ones meanwhile (page_ahead.h) when it is read in a
 * row, until the directory turns out to change. While leases of the directory run, what is known of
 * it is given out instead, if that is all of it. All calls may suspend. */
enum {
    DIRECTORY_REMEMBERED_MAX = 1024, /* names; a listing of more is always read */
    DIRECTORY_AHEAD = 32, /* directories in a listing whose attributes are read at once */
};

struct directory_handle {
    struct inode *inode; /* pinned */
    struct directory_page page;
    struct page_ahead *asked; /* the pages behind it; NULL = not asked for */
    bool names_only;          /* what the kernel wants now */
    bool changes;             /* such a page was not good any more: no more of them */
    uint32_t next;            /* index in page of the first entry not given out */
    uint64_t next_offset;     /* the offset that it follows; 0 = there is no page */
    uint64_t listed_from;     /* the inodes' clock before the first page; 0 = not read in a row */
    struct inode *
        *ahead;         /* of each entry of the page, pinned: a directory that was read; or NULL */
    uint32_t ahead_end; /* index of the first entry that was not looked at for that */
    bool slow;          /* they did not come in time: no more of them */
};

/* What a listing is given out to. `stat` has st_ino and the type at least. False when there is no
 * room any more: the same entry comes first the next time. */
struct listener {
    bool (*take)(void *context, const char *name, const struct stat *stat, uint64_t next_offset);
    void *context;
    /* Give whole attributes, and count a look-up for each entry that was taken with st_nlink > 0;
     * directories that are not known, "." and ".." come with st_nlink 0 and are not counted. */
    bool attributes;
};

/* Opens the directory `ino`. ERR_STALE, ERR_NOT_DIRECTORY. */
int directory_open(struct mount *mount, uint64_t ino, struct directory_handle **ret);
/* Gives out entries from `offset` on until the listener is full or the directory ends. */
int directory_read(struct mount *mount, struct directory_handle *handle, uint64_t offset,
                   const struct listener *listener);
void directory_release(struct mount *mount, struct directory_handle *handle);

#endif
