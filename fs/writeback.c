/* writeback: buffered changes do not stay buffered: they are written after a second, and at the
 * end.
 */
#include "fs/writeback.h"

#include "fs/unmade.h"

enum { LOOK_NS = 250000000 };

/* A file whose changes are older than `age_ns`. */
static struct file *find_old(struct mount *mount, int64_t age_ns) {
    int64_t now_ns = mount_now_ns(mount);
    for (struct file *file = mount->files; file != NULL; file = file->next) {
        bool pending = !file->inode->gone && file_unstored(file);
        if (pending && !file->busy && now_ns - file->dirty_ns >= age_ns) {
            return file;
        }
    }
    return NULL;
}

static int write_file(struct mount *mount, struct file *file) {
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    file->n_users++;
    int status = file_lock(file);
    if (status == 0) {
        status = file_store(file, false, NULL, NULL);
        if (status != 0) {
            file->error = status;
            file->dirty_ns = mount_now_ns(mount); /* the next try is as far away as the first */
        }
        file_unlock(file);
    }
    file_put(file);
    return status;
}

/* What an earlier worker was told of a new file and did not store: its program may do nothing more
 * with it for long. */
static void store_left(struct mount *mount, uint64_t ino) {
    struct inode *inode;
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    if (mount_pin(mount, ino, &inode) != 0) {
        survivor_put_new(mount->config.survivor, ino, bytes_of(NULL, 0));
        return;
    }
    if (!inode->is_directory && mount_refresh(mount, inode, MOUNT_READ_NOW) == 0) {
        struct file *file = file_get(mount, inode);
        if (file_unstored(file)) {
            write_file(mount, file);
        }
        file_put(file);
    }
    mount_unpin(mount, inode);
}

/* Files that an earlier worker has made and did not come to storing. */
static void store_unmade(struct mount *mount) {
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < INODES_UNMADE_MAX; i++) {
        struct inode *inode = mount->inodes.unmade[i].inode;
        if (inode != NULL && inode->file == NULL) {
            task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
            inode_pin(inode);
            status = unmade_settle(mount, inode);
            mount_unpin(mount, inode);
        }
    }
}

static void watch(void *arg) {
    struct mount *mount = arg;
    store_unmade(mount);
    for (uint32_t i = 0; mount->config.survivor != NULL && i < SURVIVOR_NEW_MAX; i++) {
        const struct survivor_new *left = survivor_new(mount->config.survivor, i);
        if (left != NULL && !mount->stopping) {
            store_left(mount, left->ino);
        }
    }
    while (mount_pause(mount, LOOK_NS)) {
        struct file *file;
        while (!mount->stopping && (file = find_old(mount, MOUNT_WRITEBACK_NS)) != NULL) {
            write_file(mount, file);
        }
    }
    mount_background_done(mount);
}

int writeback_start(struct mount *mount) {
    int status = task_spawn(mount->config.tasks, watch, mount, 0);
    mount->n_background += status == 0;
    return status;
}

int writeback_drain(struct mount *mount) {
    mount_stop_background(mount);
    store_unmade(mount);
    int first = 0;
    /* No operation comes any more, so a file that was written stays so. */
    struct file *file;
    while (first == 0 && (file = find_old(mount, 0)) != NULL) {
        first = write_file(mount, file);
    }
    mount_stop_background(mount);
    return first;
}
