/* handle: one opening of a file, and the operations of a program on it. */
#include "fs/handle.h"

#include <fcntl.h>
#include <stdlib.h>

#include "fs/locks.h"
#include "fs/tree.h"

enum { PAGE = 4096 }; /* of the kernel */

struct handle *handle_new(struct mount *mount, struct inode *inode, int flags) {
    struct handle *handle = memory_new(1, sizeof *handle);
    handle->file = file_get(mount, inode);
    handle->flags = flags;
    handle->n_leases_lost = handle->file->n_leases_lost;
    return handle;
}

void handle_opened_by(struct handle *handle, uint32_t process) {
    if ((handle->flags & O_ACCMODE) != O_RDONLY) {
        handle->file->writer = process;
    }
}

bool handle_past_pages(int flags) {
    return (flags & O_APPEND) != 0 && (flags & O_ACCMODE) == O_WRONLY;
}

static int truncate_to_nothing(struct file *file) {
    int status = file_lock(file);
    if (status == 0) {
        file_attributes_outdate(file);
        status = file_truncate(file, 0);
        file_unlock(file);
    }
    return status;
}

/* Whether an opening need not ask: what is known of the file is what every close before now has
 * left, or the mount is told to take the risk. */
static bool is_believed(const struct mount *mount, const struct inode *inode) {
    return mount->config.believes_at_open ? inodes_is_covered(&mount->inodes, inode)
                                          : mount_is_leased(mount, inode);
}

static int open_inode(struct mount *mount, struct inode *inode, int flags, struct handle **ret,
                      struct cache_advice *ret_advice) {
    if (inode->is_directory) {
        return ERR_IS_DIRECTORY;
    }
    bool believed = is_believed(mount, inode);
    int status =
        mount_refresh(mount, inode, believed ? mount_good_ns(mount, inode) : MOUNT_READ_NOW);
    if (status != 0) {
        return status;
    }
    if (!believed) {
        tree_asked(mount, inode);
    }
    struct handle *handle = handle_new(mount, inode, flags);
    struct op_id version = handle->file->version;
    *ret_advice = (struct cache_advice){.keep = op_id_equal(&inode->kernel_version, &version)};
    ret_advice->attributes = !ret_advice->keep;
    inode->kernel_version = version;
    if (ret_advice->keep) {
        atime_read(mount, flags, &handle->atime);
    }
    if ((flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY) {
        status = truncate_to_nothing(handle->file);
    }
    if (status != 0) {
        handle_release(handle);
        return status;
    }
    *ret = handle;
    return 0;
}

int handle_open(struct mount *mount, uint64_t ino, int flags, struct handle **ret,
                struct cache_advice *ret_advice) {
    struct inode *inode;
    int status = mount_pin(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    status = open_inode(mount, inode, flags, ret, ret_advice);
    mount_unpin(mount, inode);
    return status;
}

void handle_release(struct handle *handle) {
    atime_closed(handle->file->mount, handle->file->inode, &handle->atime);
    handle->file->writer = 0;
    file_put(handle->file);
    free(handle);
}

int handle_read(struct handle *handle, uint64_t offset, uint8_t *into, size_t size,
                size_t *ret_size) {
    atime_read(handle->file->mount, handle->flags, &handle->atime);
    bool cached = (handle->flags & O_DIRECT) == 0;
    return file_read(handle->file, offset, into, size, cached, ret_size);
}

/* A first write that is refused must not happen later after all, with the next flush. What was
 * pending before it stays; of that there is nothing, or a truncation that belongs to it. */
static int store_first(struct file *file, bool alone) {
    int status = file_store(file, false, NULL, NULL);
    if (status != 0 && alone) {
        file_forget_unstored(file);
    }
    return status;
}

/* Whether the rest of one write may follow in another request: see handle_past_pages(). */
static bool goes_on(const struct handle *handle, uint64_t offset, size_t size) {
    bool split = offset % PAGE != 0 && (offset + size) % PAGE == 0;
    return split && (handle->flags & O_APPEND) != 0 && !handle_past_pages(handle->flags);
}

/* `again`: what an append brings may be stored already, or be on its way to the store. */
static int write_in_turn(struct handle *handle, uint64_t offset, struct bytes data, bool again) {
    struct file *file = handle->file;
    int status = file_take_error(file);
    if (status != 0) {
        return status;
    }
    bool whole = !goes_on(handle, offset, data.size);
    bool first = !handle->wrote && data.size <= FILE_FIRST_WRITE_MAX && whole;
    bool alone = !file_pending(file) || (file->replaced && file->size == 0);
    bool append = (handle->flags & O_APPEND) != 0;
    file_attributes_outdate(file);
    status = file_write_at(file, offset, append, data);
    if (status == 0 && again && append) {
        file_may_be_there(file);
    }
    if (status == 0 && first) {
        status = store_first(file, alone);
    }
    handle->wrote = handle->wrote || (status == 0 && whole);
    if (append && file->size != offset + data.size) {
        /* Another mount had appended: the kernel has these bytes on a page where they are not. */
        file->inode->kernel_version = (struct op_id){{0}};
    }
    return status;
}

static int write_locked(struct handle *handle, uint64_t offset, struct bytes data, bool again) {
    if (data.size == 0) {
        return 0;
    }
    int status = file_lock(handle->file);
    if (status == 0) {
        status = locks_check(handle);
        status = status == 0 ? write_in_turn(handle, offset, data, again) : status;
        file_unlock(handle->file);
    }
    return status;
}

int handle_write(struct handle *handle, uint64_t offset, struct bytes data) {
    return write_locked(handle, offset, data, false);
}

/* Whether the data of an append are where they were to go: then they are ours, or were written by
 * somebody who writes the same. */
static bool is_there(struct handle *handle, uint64_t offset, struct bytes data) {
    size_t size = 0;
    uint8_t *there = memory_new(1, data.size + 1);
    int status = handle_read(handle, offset, there, data.size, &size);
    bool same = status == 0 && bytes_equal(bytes_of(there, size), data);
    free(there);
    return same;
}

int handle_write_again(struct handle *handle, uint64_t offset, struct bytes data) {
    bool append = (handle->flags & O_APPEND) != 0;
    return append && is_there(handle, offset, data) ? 0 : write_locked(handle, offset, data, true);
}

enum level { STORED, DATA_SYNCED, SYNCED };

static int store(struct file *file, enum level level) {
    return level == DATA_SYNCED ? file_store_data(file)
                                : file_store(file, level == SYNCED, NULL, NULL);
}

static int store_all(struct file *file, enum level level) {
    if (!file->busy && !file_unstored(file) && file->error == 0 &&
        (level == STORED || file->record_synced)) {
        return 0;
    }
    int status = file_lock(file);
    if (status != 0) {
        return status;
    }
    int before = file_take_error(file);
    status = store(file, level);
    file_unlock(file);
    return before != 0 ? before : status;
}

bool handle_is_unwritten(const struct handle *handle) {
    const struct file *file = handle->file;
    return file->inode->unmade && !file->busy && file->size == 0 && file->error == 0;
}

int handle_flush(struct handle *handle) {
    handle->file->writer = 0; /* what is set from now on nobody may ask about again */
    int status = locks_check(handle);
    return status == 0 ? store_all(handle->file, STORED) : status;
}

int handle_fsync(struct handle *handle, bool data_only) {
    int status = locks_check(handle);
    return status == 0 ? store_all(handle->file, data_only ? DATA_SYNCED : SYNCED) : status;
}
