/* file_times: times that a program has set of a file that it is writing. */
#include "fs/file.h"

bool file_times_may_wait(const struct file *file, uint32_t process) {
    return process != 0 && file->writer == process && file->locks == NULL && !file->inode->gone;
}

void file_times_wait(struct file *file, const struct file_times *times) {
    struct file_times *waiting = &file->times;
    if (!file_unstored(file)) {
        file->dirty_ns = mount_now_ns(file->mount);
    }
    if ((times->mask & ATTRIBUTE_ATIME) != 0) {
        waiting->atime_ns = times->atime_ns;
    }
    if ((times->mask & ATTRIBUTE_MTIME) != 0) {
        waiting->mtime_ns = times->mtime_ns;
    }
    waiting->mask |= times->mask;
    waiting->ctime_ns = times->ctime_ns;
    file->record_synced = false;
    inode_set_dirt(file->inode, SURVIVOR_WRITTEN);
}

void file_times_outdate(struct file *file) {
    file->times.mask &= ~(unsigned)ATTRIBUTE_MTIME;
}

void file_times_put(const struct file *file, struct record *record) {
    const struct file_times *times = &file->times;
    if ((times->mask & ATTRIBUTE_ATIME) != 0) {
        record->atime_ns = times->atime_ns;
    }
    if ((times->mask & ATTRIBUTE_MTIME) != 0) {
        record->mtime_ns = times->mtime_ns;
    }
    if (times->mask != 0 && times->ctime_ns > record->ctime_ns) {
        record->ctime_ns = times->ctime_ns;
    }
}
