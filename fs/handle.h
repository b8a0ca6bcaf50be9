/* handle: one opening of a file, and the operations of a program on it. */
#ifndef RINGFS_FS_HANDLE_H
#define RINGFS_FS_HANDLE_H

#include "fs/atime.h"
#include "fs/file.h"

/* Between mounts close-to-open holds: opening reads the entry anew from a quorum, so that it sees
 * all that was closed before. All calls may suspend. */
struct handle {
    struct file *file;
    struct atime atime;
    int flags;  /* of open(2) */
    bool wrote; /* a write has succeeded, or it has made the file with O_EXCL: buffered */
    uint32_t n_leases_lost; /* of the file, when it was opened */
};

/* What the kernel is to be told about its caches. */
struct cache_advice {
    bool keep;       /* its pages are of this version */
    bool attributes; /* its attributes may be old: invalidate them before the answer */
};
/* Whether this opening is to go past the kernel's pages: it only appends. Through pages, one write
 * that crosses from a page into the next would arrive as two, with room for another mount's
 * between them. */
bool handle_past_pages(int flags);

/* Opens the inode `ino`. O_TRUNC: the truncation is stored with the first write or flush. */
int handle_open(struct mount *mount, uint64_t ino, int flags, struct handle **ret,
                struct cache_advice *ret_advice);
/* A handle of a file whose record was just read or made: for create. */
struct handle *handle_new(struct mount *mount, struct inode *inode, int flags);
/* The process that has it, which will hear of errors at close: see file_attributes.h. 0 = unknown.
 */
void handle_opened_by(struct handle *handle, uint32_t process);
/* Never fails: what failed to be stored was told by handle_flush(). Frees the handle. */
void handle_release(struct handle *handle);

/* *ret_size: what was read, less than asked for at the end only. */
int handle_read(struct handle *handle, uint64_t offset, uint8_t *into, size_t size,
                size_t *ret_size);
/* Writes all or fails. With O_APPEND at the end, whatever `offset`. */
int handle_write(struct handle *handle, uint64_t offset, struct bytes data);
/* The same of what an earlier worker was asked to write, and may have stored, or sent: an append is
 * not done a second time when its data are at `offset`, or come to be there before they are stored.
 */
int handle_write_again(struct handle *handle, uint64_t offset, struct bytes data);
/* Whether all that close(2) would store now is the name of a new file (unmade.h). Does not suspend.
 */
bool handle_is_unwritten(const struct handle *handle);
/* close(2): everything is stored afterwards, or this says why not. */
int handle_flush(struct handle *handle);
/* fsync(2), or, of the data and what it takes to read them, fdatasync(2): on the disks of W nodes.
 */
int handle_fsync(struct handle *handle, bool data_only);

#endif
