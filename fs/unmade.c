/* unmade: files whose name is not stored yet: it goes with their first contents. */
#include "fs/unmade.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fs/file.h"
#include "fs/holds.h"
#include "shared/namespace_known.h"

/* ---- making ---- */

bool unmade_may(struct mount *mount, struct inode *directory, const char *name, int flags) {
    const struct inodes *inodes = &mount->inodes;
    int64_t since_ns = mount_now_ns(mount) - mount->config.watched_ns;
    uint64_t ino;
    bool wanted = (flags & (O_TRUNC | O_EXCL)) == O_TRUNC && (flags & O_ACCMODE) != O_RDONLY;
    if (!wanted || !watch_leased(&inodes->watches, directory)) {
        return false;
    }
    /* What is known of the directory may be older than its watch. */
    bool covered = inodes_is_covered(inodes, directory) ||
                   mount_refresh(mount, directory, MOUNT_READ_NOW) == 0;
    return covered && inodes_is_covered(inodes, directory) && !directory->gone &&
           inodes->n_unmade < INODES_UNMADE_MAX && watch_leased(&inodes->watches, directory) &&
           watch_find(directory, name, since_ns, &ino) == NAME_MISSING;
}

/* The entry as namespace_create() would make it; borrows the record's bytes. */
static struct entry entry_of(const struct mount *mount, const struct inode *directory,
                             const char *name, const struct record *record) {
    struct store *store = mount->config.store;
    struct entry entry = {.directory = directory->directory, .record = *record};
    snprintf(entry.name, sizeof entry.name, "%s", name);
    while (entry.record.file_id < 2) {
        entry.record.file_id = store->random(store->self);
    }
    return entry;
}

int unmade_new(struct mount *mount, struct inode *directory, const char *name,
               const struct record *record, struct inode **ret) {
    struct inodes *inodes = &mount->inodes;
    struct entry entry = entry_of(mount, directory, name, record);
    uint64_t began = inodes_clock(inodes);
    struct inode *inode = inodes_add(inodes, &entry, began);
    inode_pin(inode);
    mount_note_name(mount, directory, name, 0, inode->ino, began);
    inodes_learn(inodes, inode, &entry, began, mount_now_ns(mount));
    int status = inodes_begin_unmade(inodes, inode, directory) ? 0 : ERR_BUSY;
    if (status == 0) {
        *ret = inode;
    } else {
        mount_note_name(mount, directory, name, status, 0, began);
    }
    inode_unpin(inodes, inode);
    return status;
}

/* ---- storing ---- */

/* Another mount's file has lost its name to ours. */
static void replaced(struct mount *mount, const struct entry *other) {
    const struct record *record = &other->record;
    struct inode *inode = inodes_find(&mount->inodes, record_ino(record));
    if (inode != NULL) {
        inodes_gone(&mount->inodes, inode);
    }
    if (record->contents_kind == CONTENTS_BLOCKS && !other->alone) {
        struct extents stored = contents_removable(record);
        holds_remove(mount, &record->contents, &stored);
    }
}

/* ERR_EXISTS: it was stored before, as `ret` says. */
static int create(struct mount *mount, const struct inode *inode, const struct record *record,
                  bool synced, struct entry *ret) {
    struct namespace *ns = mount->config.ns;
    for (int i = 0; i < MOUNT_REFRESH_MAX; i++) {
        struct entry there;
        int status =
            namespace_create_available(ns, &inode->parent, inode->name, record, synced, ret);
        if (status != ERR_EXISTS || record_ino(&ret->record) == inode->ino) {
            return status == ERR_NO_ENTRY ? ERR_STALE : status;
        }
        there = *ret;
        status = namespace_replace(ns, &there, record, synced, ret);
        if (status == 0) {
            replaced(mount, &there);
        }
        entry_release(&there);
        if (status != ERR_CONFLICT) {
            return status;
        }
    }
    return ERR_BUSY;
}

/* It is stored since an operation that began then, and is a file like others. */
static void made(struct mount *mount, struct inode *inode, const struct entry *entry,
                 uint64_t began) {
    struct inodes *inodes = &mount->inodes;
    struct inode *directory = inodes_unmade_directory(inodes, inode);
    bool current = op_id_equal(&inode->kernel_version, &inode->known->entry.version);
    mount_touch_directory(mount, directory, 1, entry->directory_changed_ns);
    mount_note_name(mount, directory, inode->name, 0, inode->ino, began);
    inodes_end_unmade(inodes, inode);
    if (current) {
        inode->kernel_version = entry->version;
    }
    inodes_changed(inodes, inode);
    inodes_learn(inodes, inode, entry, inodes_clock(inodes), mount_now_ns(mount));
    inodes_cover(inodes, inode, began);
}

static int store(struct mount *mount, struct inode *inode, const struct record *record,
                 bool synced) {
    struct entry entry;
    uint64_t began = inodes_clock(&mount->inodes);
    inode->making = true;
    int status = create(mount, inode, record, synced, &entry);
    inode->making = false;
    task_wake_all(&mount->made);
    if (status == 0 || status == ERR_EXISTS) {
        if (inode->unmade) {
            made(mount, inode, &entry, began);
        }
        entry_release(&entry);
    }
    return status == ERR_EXISTS ? ERR_CONFLICT : status;
}

int unmade_store(struct mount *mount, struct inode *inode,
                 int (*change)(void *context, struct record *record), void *context, bool synced) {
    while (inode->making) {
        int status = task_wait(&mount->made);
        if (status != 0) {
            return status;
        }
    }
    if (!inode->unmade) {
        return inode->gone ? ERR_STALE : ERR_CONFLICT;
    }
    struct record record;
    record_copy(&inode->known->entry.record, &record);
    int status = change(context, &record);
    if (status == 0) {
        status = store(mount, inode, &record, synced);
    }
    record_release(&record);
    return status;
}

int unmade_look(struct mount *mount, struct inode *inode) {
    struct entry entry;
    uint64_t began = inodes_clock(&mount->inodes);
    int status = mount_read(mount, inode, &entry);
    if (status == 0) {
        if (inode->doubtful) {
            made(mount, inode, &entry, began);
        }
        entry_release(&entry);
    }
    if (status == 0 || status == ERR_STALE) {
        inode->doubtful = false;
        return 0;
    }
    return status;
}

/* ---- storing before something else ---- */

int unmade_settle(struct mount *mount, struct inode *inode) {
    int status = inode->unmade ? mount_refresh(mount, inode, MOUNT_ANY_AGE) : 0;
    if (status != 0 || !inode->unmade) {
        return status;
    }
    struct file *file = file_get(mount, inode);
    status = file_lock(file);
    if (status == 0) {
        status = inode->unmade ? file_store(file, false, NULL, NULL) : 0;
        file_unlock(file);
    }
    file_put(file);
    return status;
}

/* Stores a file that was found. */
static int settle_found(struct mount *mount, struct inode *inode) {
    inode_pin(inode);
    int status = unmade_settle(mount, inode);
    mount_unpin(mount, inode);
    return status;
}

int unmade_settle_in(struct mount *mount, struct inode *directory) {
    struct inode *inode;
    int status = 0;
    while (status == 0 && (inode = inodes_find_unmade(&mount->inodes, directory, NULL)) != NULL) {
        status = settle_found(mount, inode);
    }
    return status;
}

/* The directory of this name in which there are some. */
static struct inode *find_directory(const struct mount *mount, const struct inode *parent,
                                    const char *name) {
    for (uint32_t i = 0; i < INODES_UNMADE_MAX; i++) {
        struct inode *directory = mount->inodes.unmade[i].directory;
        if (directory != NULL && id128_equal(&directory->parent, &parent->directory) &&
            strcmp(directory->name, name) == 0) {
            return directory;
        }
    }
    return NULL;
}

int unmade_settle_name(struct mount *mount, struct inode *directory, const char *name) {
    if (mount->inodes.n_unmade == 0) {
        return 0;
    }
    struct inode *inode = inodes_find_unmade(&mount->inodes, directory, name);
    if (inode != NULL) {
        return settle_found(mount, inode);
    }
    struct inode *below = find_directory(mount, directory, name);
    if (below == NULL) {
        return 0;
    }
    inode_pin(below);
    int status = unmade_settle_in(mount, below);
    mount_unpin(mount, below);
    return status;
}

void unmade_drop(struct mount *mount, struct inode *inode) {
    struct inode *directory = inodes_unmade_directory(&mount->inodes, inode);
    watch_doubt_name(&mount->inodes.watches, directory, inode->name);
    inodes_end_unmade(&mount->inodes, inode);
    inodes_gone(&mount->inodes, inode);
}
