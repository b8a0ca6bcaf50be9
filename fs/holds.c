/* holds: files that are open here keep their contents when another mount removes them. */
#include "fs/holds.h"

#include <stdlib.h>

#include "shared/namespace_contents.h"

enum { FULL_FRACTION = 8 }; /* with less than this part free, nothing is kept */

/* ---- removing ---- */

static void put_off(struct mount *mount, struct removal *removal) {
    removal->due_ns = mount_now_ns(mount) + mount->config.keep_ns;
    removal->next = NULL;
    *mount->kept_end = removal;
    mount->kept_end = &removal->next;
    mount->n_kept++;
}

static struct removal *take_first(struct mount *mount) {
    struct removal *removal = mount->kept;
    mount->kept = removal->next;
    if (mount->kept == NULL) {
        mount->kept_end = &mount->kept;
    }
    mount->n_kept--;
    return removal;
}

/* Its time is over. At the end of the mount nobody is waited for any more: what is held then, or
 * cannot be asked about, is left to the sweeper. */
static int remove_unless_held(struct mount *mount, struct removal *removal) {
    bool held = false;
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    int status = contents_release(mount->config.ns, &removal->contents, &held);
    if ((status != 0 || held) && !mount->stopping) {
        put_off(mount, removal);
        return status;
    }
    if (status == 0 && !held) {
        mount_remove_contents(mount, &removal->contents, &removal->stored);
    } else {
        mount->n_removals_failed++;
    }
    free(removal);
    return status;
}

static void leave_all(struct mount *mount) {
    while (mount->kept != NULL) {
        mount->n_removals_failed++;
        free(take_first(mount));
    }
}

static void keep(void *arg) {
    struct mount *mount = arg;
    while (mount->kept != NULL) {
        int64_t wait_ns = mount->kept->due_ns - mount_now_ns(mount);
        if (wait_ns > 0 && mount_pause(mount, wait_ns)) {
            continue;
        }
        int status = remove_unless_held(mount, take_first(mount));
        if (status != 0 && mount->stopping) {
            leave_all(mount); /* who unmounts does not wait for each of them */
        }
    }
    mount->keeping = false;
    mount_background_done(mount);
}

static bool is_nearly_full(const struct mount *mount) {
    const struct capacity *capacity = &mount->capacity;
    return capacity->bytes_total > 0 &&
           capacity->bytes_free < capacity->bytes_total / FULL_FRACTION;
}

void holds_remove(struct mount *mount, const struct id128 *contents, const struct extents *stored) {
    if (mount->config.keep_ns == 0 || mount->n_kept >= HOLDS_KEPT_MAX || is_nearly_full(mount) ||
        stored->n == 0) {
        mount_remove_contents(mount, contents, stored);
        return;
    }
    struct removal *removal = memory_new(1, sizeof *removal);
    *removal = (struct removal){.contents = *contents, .stored = *stored};
    put_off(mount, removal);
    if (!mount->keeping && task_spawn(mount->config.tasks, keep, mount, 0) == 0) {
        mount->keeping = true;
        mount->n_background++;
    }
}

/* ---- holding ---- */

static bool in_blocks(const struct file *file) {
    const struct known *known = file->inode->known;
    return known != NULL && known->entry.record.contents_kind == CONTENTS_BLOCKS;
}

/* Until when a hold that is stored is one. */
static int64_t alive_ns(const struct file *file) {
    int64_t read_ns = file->inode->known->read_ns;
    return file->alive_ns > read_ns ? file->alive_ns : read_ns;
}

/* The pinned inode's file is gone. 0: its contents stay. */
static int hold(struct mount *mount, struct inode *inode) {
    struct file *file = inode->file;
    if (!in_blocks(file)) {
        return 0;
    }
    struct id128 contents = inode->known->entry.record.contents;
    int64_t until_ns = alive_ns(file) + mount->config.keep_ns / 2;
    int64_t began_ns = mount_now_ns(mount);
    if (file->held && began_ns - file->alive_ns < HOLDS_LOOK_NS / 2) {
        return 0;
    }
    int status = began_ns < until_ns ? 0 : ERR_STALE;
    if (status == 0) {
        status = contents_hold(mount->config.ns, &contents, mount->holder);
    }
    if (status == 0 && mount_now_ns(mount) >= until_ns) {
        status = ERR_STALE;
    }
    if (inode->file == file) {
        file->held = status == 0;
        file->alive_ns = status == 0 ? began_ns : file->alive_ns;
    }
    return status;
}

int holds_refresh(struct mount *mount, struct inode *inode, int64_t age_ns) {
    int status = mount_refresh(mount, inode, age_ns);
    if (inode->file != NULL && status == 0) {
        inode->file->held = false;
    }
    bool open = inode->file != NULL && inode->known != NULL;
    return status == ERR_STALE && open ? hold(mount, inode) : status;
}

/* ---- looking ---- */

static struct file *find_unseen(const struct mount *mount) {
    int64_t before_ns = mount_now_ns(mount) - HOLDS_LOOK_NS;
    for (struct file *file = mount->files; file != NULL; file = file->next) {
        if (!file->inode->gone && in_blocks(file) && file->looked_ns <= before_ns &&
            (file->held || alive_ns(file) <= before_ns)) {
            return file;
        }
    }
    return NULL;
}

/* Whether a file is still there; what was read is not taken: who has it open sees changes when he
 * opens it again. */
static void look(struct mount *mount, struct file *file) {
    struct inode *inode = file->inode;
    struct entry entry;
    task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
    file->looked_ns = mount_now_ns(mount);
    file->n_users++;
    int64_t began_ns = file->looked_ns;
    int status = mount_read(mount, inode, &entry);
    if (status == 0) {
        entry_release(&entry);
        file->alive_ns = began_ns;
        file->held = false;
    } else if (status == ERR_STALE && !inode->gone && inode->known != NULL) {
        hold(mount, inode);
    }
    file_put(file);
}

static void look_after(void *arg) {
    struct mount *mount = arg;
    while (mount_pause(mount, HOLDS_LOOK_NS / 2)) {
        struct file *file;
        while (!mount->stopping && (file = find_unseen(mount)) != NULL) {
            look(mount, file);
        }
    }
    mount_background_done(mount);
}

int holds_start(struct mount *mount) {
    int status = task_spawn(mount->config.tasks, look_after, mount, 0);
    mount->n_background += status == 0;
    return status;
}
