/* atime: when files were last read, as far as the mount is to keep it. */
#include "fs/atime.h"

#include <fcntl.h>
#include <stdlib.h>

#define DAY_NS (86400ll * 1000000000)

/* A time to be stored, and the inode that it is of, pinned. */
struct storing {
    struct mount *mount;
    struct inode *inode;
    int64_t read_ns;
};

void atime_read(const struct mount *mount, int flags, struct atime *atime) {
    if (mount->config.atime != ATIME_NEVER && (flags & O_NOATIME) == 0 &&
        (flags & O_ACCMODE) != O_WRONLY) {
        atime->read_ns = mount_wall_ns(mount);
    }
}

/* As mount(8) says of relatime: once after each change, and once a day. */
static bool is_due(const struct record *record, int64_t read_ns) {
    return record->atime_ns <= record->mtime_ns || record->atime_ns <= record->ctime_ns ||
           read_ns - record->atime_ns >= DAY_NS;
}

static int set_atime(void *context, struct record *record) {
    const struct storing *storing = context;
    if (storing->read_ns > record->atime_ns) {
        record->atime_ns = storing->read_ns;
    }
    return 0;
}

static void store(void *arg) {
    struct storing *storing = arg;
    struct mount *mount = storing->mount;
    mount_update(mount, storing->inode, set_atime, storing, false);
    mount_unpin(mount, storing->inode);
    free(storing);
    mount_background_done(mount);
}

void atime_closed(struct mount *mount, struct inode *inode, const struct atime *atime) {
    const struct record *record = inode->known != NULL ? &inode->known->entry.record : NULL;
    if (atime->read_ns == 0 || record == NULL || inode->gone ||
        (mount->config.atime == ATIME_RELATIVE && !is_due(record, atime->read_ns))) {
        return;
    }
    struct storing *storing = memory_new(1, sizeof *storing);
    *storing = (struct storing){mount, inode, atime->read_ns};
    inode_pin(inode);
    mount_background(mount, store, storing);
}
