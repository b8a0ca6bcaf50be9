/* file_times: times that a program has set of a file that it is writing. */
#include <fcntl.h>

#include "fs/file.h"

/* For the worker that takes over: at each opening of the file for writing. */
static void keep(const struct file *file) {
    const struct handles *handles = &file->mount->handles;
    const struct file_times *times = &file->times;
    for (uint32_t i = 1; i <= handles->n; i++) {
        const struct opening *opening = &handles->at[i];
        struct survivor_handle *kept = opening->kept;
        if (opening->used && kept != NULL && opening->kind == SURVIVOR_FILE &&
            opening->ino == file->inode->ino && (opening->flags & O_ACCMODE) != O_RDONLY) {
            kept->atime_ns = times->atime_ns;
            kept->mtime_ns = times->mtime_ns;
            kept->ctime_ns = times->ctime_ns;
            survivor_publish(&kept->times, times->mask);
        }
    }
}

static void set_mask(struct file *file, unsigned mask) {
    if (file->times.mask != 0 || mask != 0) {
        file->times.mask = mask;
        keep(file);
    }
}

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
    waiting->ctime_ns = times->ctime_ns;
    file->record_synced = false;
    set_mask(file, waiting->mask | times->mask);
}

void file_times_take_over(struct file *file, const struct survivor_handle *kept) {
    unsigned mask = (unsigned)kept->times & (ATTRIBUTE_ATIME | ATTRIBUTE_MTIME);
    struct file_times times = {mask, kept->atime_ns, kept->mtime_ns, kept->ctime_ns};
    if (mask != 0 && file->times.mask == 0) {
        file_times_wait(file, &times);
    }
}

void file_times_stored(struct file *file) {
    set_mask(file, 0);
}

void file_times_outdate(struct file *file) {
    set_mask(file, file->times.mask & ~(unsigned)ATTRIBUTE_MTIME);
}

void file_times_put(const struct file_times *times, int64_t *atime_ns, int64_t *mtime_ns,
                    int64_t *ctime_ns) {
    if ((times->mask & ATTRIBUTE_ATIME) != 0) {
        *atime_ns = times->atime_ns;
    }
    if ((times->mask & ATTRIBUTE_MTIME) != 0) {
        *mtime_ns = times->mtime_ns;
    }
    if (times->mask != 0 && times->ctime_ns > *ctime_ns) {
        *ctime_ns = times->ctime_ns;
    }
}
