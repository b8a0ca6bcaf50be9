/* tree: the operations on names: look up, make, remove, rename. */
#include "fs/tree.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/holds.h"
#include "fs/unmade.h"
#include "fs/xattr.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_known.h"
#include "shared/namespace_link.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

enum {
    PERMISSIONS = 07777,
    /* A directory's names are learnt in so many pages of so many: no more are kept of it. */
    NAMES_PAGE = 512,
    NAMES_PAGES_MAX = WATCH_NAMES_MAX / NAMES_PAGE,
};

static int check_name(const char *name) {
    return strlen(name) > NAME_SIZE_MAX ? ERR_NAME_TOO_LONG : 0;
}

/* Answers with a pinned inode, as a look-up of it; unpins it. */
static int answer_inode(struct mount *mount, struct inode *inode, struct stat *ret) {
    int status = mount_refresh_good(mount, inode);
    if (status == 0) {
        if (inode->file != NULL) {
            file_adopt(inode->file);
        }
        attributes_of(inode, ret);
        inodes_looked_up(inode);
    }
    mount_unpin(mount, inode);
    return status;
}

/* Answers with the inode of an entry that was read or made since clock `began`. */
static int answer(struct mount *mount, const struct entry *entry, uint64_t began,
                  struct stat *ret) {
    struct inode *inode = inodes_add(&mount->inodes, entry, began);
    inode_pin(inode);
    if (!inode->is_directory) {
        inodes_learn(&mount->inodes, inode, entry, began, mount_now_ns(mount));
    }
    return answer_inode(mount, inode, ret);
}

/* Whether the name in this directory is the inode's place. */
static bool is_at(const struct inode *inode, const struct inode *directory, const char *name) {
    return !inode->gone && id128_equal(&inode->parent, &directory->directory) &&
           strcmp(inode->name, name) == 0;
}

/* Answers from memory when it says what the name stands for; ERR_CONFLICT when it does not. May
 * suspend for a directory's attributes. */
static int lookup_known(struct mount *mount, struct inode *parent, const char *name,
                        struct stat *ret) {
    uint64_t ino;
    enum name_answer found =
        watch_find(parent, name, mount_now_ns(mount) - mount->config.watched_ns, &ino);
    if (found == NAME_MISSING) {
        return ERR_NO_ENTRY;
    }
    struct inode *inode = found == NAME_PRESENT ? inodes_find(&mount->inodes, ino) : NULL;
    bool here = inode != NULL && is_at(inode, parent, name);
    if (!here || (!inode->is_directory && !inodes_is_covered(&mount->inodes, inode))) {
        return ERR_CONFLICT;
    }
    inode_pin(inode);
    int status = answer_inode(mount, inode, ret);
    return status == ERR_STALE ? ERR_CONFLICT : status;
}

/* What a page of a listing that began at `began` says. Answers the cookie to go on from. */
static uint64_t learn_page(struct mount *mount, struct inode *parent, const struct listing *page,
                           uint64_t began) {
    int64_t now_ns = mount_now_ns(mount);
    uint64_t cookie = 0;
    for (uint32_t i = 0; i < page->n; i++) {
        const struct entry *entry = &page->entries[i].entry;
        watch_learn_name(&mount->inodes.watches, parent, entry->name, record_ino(&entry->record),
                         began, now_ns);
        bool itself = !S_ISDIR(entry->record.mode) &&
                      entry->record.contents_kind != CONTENTS_LINKED &&
                      !namespace_conflict_name(entry->name, NULL);
        if (itself) {
            inodes_learn_ahead(&mount->inodes, entry, began, now_ns);
        }
        cookie = page->entries[i].cookie;
    }
    return cookie;
}

/* Learns all names of a directory in which several were asked for, and what they stand for. */
static void learn_names(struct mount *mount, struct inode *parent) {
    uint64_t began = inodes_clock(&mount->inodes);
    uint64_t cookie = 0;
    int n_pages = 0;
    bool all = false;
    watch_begin_listing(parent);
    for (int status = 0; status == 0 && !all && n_pages < NAMES_PAGES_MAX; n_pages++) {
        struct listing page;
        status = namespace_list(mount->config.ns, &parent->directory, cookie, NAMES_PAGE, &page);
        if (status != 0) {
            return;
        }
        cookie = learn_page(mount, parent, &page, began);
        all = page.end;
        listing_release(&page);
    }
    watch_listed(parent, began, all, mount_now_ns(mount));
}

/* Whether it is worth it to list the directory, now that another name was asked for by itself. */
static bool wants_names(const struct mount *mount, struct inode *parent, bool found) {
    if (found) {
        watch_asked(parent);
    }
    return watch_wants_names(parent, mount_now_ns(mount) - mount->config.watched_ns);
}

void tree_asked(struct mount *mount, const struct inode *inode) {
    struct inode *directory = inodes_directory(&mount->inodes, &inode->parent);
    if (inode->gone || inode->linked || !watch_leased(&mount->inodes.watches, directory)) {
        return;
    }
    watch_asked(directory);
    if (watch_wants_records(directory)) {
        inode_pin(directory);
        learn_names(mount, directory);
        mount_unpin(mount, directory);
    }
}

static int lookup_in(struct mount *mount, struct inode *parent, const char *name,
                     struct stat *ret) {
    struct watches *watches = &mount->inodes.watches;
    watch_use(watches, parent);
    struct inode *unmade = inodes_find_unmade(&mount->inodes, parent, name);
    if (unmade != NULL) {
        inode_pin(unmade);
        return answer_inode(mount, unmade, ret);
    }
    for (int i = 0; i < MOUNT_REFRESH_MAX; i++) {
        int status = lookup_known(mount, parent, name, ret);
        if (status != ERR_CONFLICT) {
            return status;
        }
        uint64_t began = inodes_clock(&mount->inodes);
        struct entry entry;
        status = namespace_lookup(mount->config.ns, &parent->directory, name, &entry);
        if (status == 0) {
            watch_learn_name(watches, parent, name, record_ino(&entry.record), began,
                             mount_now_ns(mount));
        } else if (status == ERR_NO_ENTRY) {
            watch_learn_name(watches, parent, name, 0, began, mount_now_ns(mount));
        }
        if ((status == 0 || status == ERR_NO_ENTRY) && wants_names(mount, parent, status == 0)) {
            learn_names(mount, parent);
        }
        if (status != 0) {
            return status;
        }
        status = answer(mount, &entry, began, ret);
        entry_release(&entry);
        /* Stale: removed or moved between the two readings; the name may mean another file now. */
        if (status != ERR_STALE) {
            return status;
        }
    }
    return ERR_NO_ENTRY;
}

int tree_lookup(struct mount *mount, uint64_t parent_ino, const char *name, struct stat *ret) {
    struct inode *parent;
    int status = check_name(name);
    if (status == 0) {
        status = mount_pin_directory(mount, parent_ino, &parent);
    }
    if (status != 0) {
        return status;
    }
    status = lookup_in(mount, parent, name, ret);
    mount_unpin(mount, parent);
    return status;
}

/* A setgid directory hands its group on, and its default ACL, which is appended to `xattrs`. May
 * suspend; any age will do: the kernel has just asked for the directory's attributes to check
 * permissions. */
static int inherit(struct mount *mount, struct inode *parent, struct maker *maker,
                   struct buffer *xattrs) {
    int status = mount_refresh(mount, parent, MOUNT_ANY_AGE);
    if (status != 0) {
        return status;
    }
    const struct directory_attributes *attributes = &parent->known->attributes;
    if ((attributes->mode & S_ISGID) != 0) {
        maker->gid = attributes->gid;
        maker->mode |= S_ISDIR(maker->mode) ? S_ISGID : 0;
    }
    maker->mode = xattrs_inherit(attributes->xattrs, maker->mode, maker->umask, xattrs);
    return 0;
}

struct making {
    const char *name;
    struct maker maker;
    struct bytes data; /* a symlink's target */
    struct buffer xattrs;
    bool opens; /* a file that is opened */
    struct entry entry;
    uint64_t began;
};

/* Whether what is there already was made by an earlier worker for the same request. Of directories
 * the moment is known less exactly: whoever else made it since then would have to be of the same
 * owner and mode. */
static bool made_before(const struct maker *maker, const struct record *record) {
    bool same = maker->again && record->mode == maker->mode && record->uid == maker->uid &&
                record->gid == maker->gid;
    return same && (S_ISDIR(record->mode) ? record->atime_ns >= maker->began_ns
                                          : record->atime_ns == maker->began_ns);
}

static struct record record_of(const struct making *making, int64_t now_ns) {
    return (struct record){
        .mode = making->maker.mode,
        .uid = making->maker.uid,
        .gid = making->maker.gid,
        .rdev = making->maker.rdev,
        .atime_ns = now_ns,
        .mtime_ns = now_ns,
        .ctime_ns = now_ns,
        .size = making->data.size,
        .data = making->data,
        .xattrs = buffer_bytes(&making->xattrs),
    };
}

/* On success making->entry is owned. */
static int make_now(struct mount *mount, struct inode *parent, struct making *making,
                    const struct record *record) {
    struct namespace *ns = mount->config.ns;
    const struct id128 *directory = &parent->directory;
    making->began = inodes_clock(&mount->inodes);
    int status =
        making->opens && (making->maker.flags & O_EXCL) == 0
            ? namespace_create_available(ns, directory, making->name, record, false, &making->entry)
            : namespace_create(ns, directory, making->name, record, &making->entry);
    if (status == ERR_EXISTS && made_before(&making->maker, &making->entry.record)) {
        status = 0;
    } else if (status == ERR_EXISTS) {
        entry_release(&making->entry);
    }
    uint64_t ino = 0;
    if (status == 0) {
        mount_touch_directory(mount, parent, 1, making->entry.directory_changed_ns);
        ino = record_ino(&making->entry.record);
    }
    mount_note_name(mount, parent, making->name, status, ino, making->began);
    return status;
}

/* The same where it may be stored with its first contents. ERR_BUSY: it may not. */
static int make_later(struct mount *mount, struct inode *parent, struct making *making,
                      const struct record *record) {
    const struct maker *maker = &making->maker;
    struct inode *inode;
    bool may =
        making->opens && !maker->again && unmade_may(mount, parent, making->name, maker->flags);
    int status = may ? unmade_new(mount, parent, making->name, record, &inode) : ERR_BUSY;
    if (status == 0) {
        entry_copy(&inode->known->entry, &making->entry);
        making->began = inodes_clock(&mount->inodes);
    }
    return status;
}

/* Makes the entry in the pinned parent; on success making->entry is owned. */
static int make_in(struct mount *mount, struct inode *parent, struct making *making) {
    int status = unmade_settle_name(mount, parent, making->name);
    if (status == 0) {
        status = inherit(mount, parent, &making->maker, &making->xattrs);
    }
    if (status != 0) {
        return status;
    }
    int64_t began_ns = making->maker.began_ns;
    struct record record = record_of(making, began_ns != 0 ? began_ns : mount_wall_ns(mount));
    status = make_later(mount, parent, making, &record);
    return status == ERR_BUSY ? make_now(mount, parent, making, &record) : status;
}

/* Makes what is no directory, and opens it when `ret_handle`. */
static int make(struct mount *mount, uint64_t parent_ino, struct making *making, struct stat *ret,
                struct handle **ret_handle) {
    struct inode *parent;
    int status = check_name(making->name);
    if (status == 0) {
        status = mount_pin_directory(mount, parent_ino, &parent);
    }
    if (status != 0) {
        return status;
    }
    status = make_in(mount, parent, making);
    buffer_release(&making->xattrs);
    mount_unpin(mount, parent);
    if (status != 0) {
        return status;
    }
    status = answer(mount, &making->entry, making->began, ret);
    if (status == 0 && ret_handle != NULL) {
        struct inode *inode = inodes_find(&mount->inodes, ret->st_ino);
        *ret_handle = handle_new(mount, inode, making->maker.flags);
        (*ret_handle)->wrote = (making->maker.flags & O_EXCL) != 0;
        inode->kernel_version = (*ret_handle)->file->version;
    }
    entry_release(&making->entry);
    return status;
}

int tree_mknod(struct mount *mount, uint64_t parent, const char *name, const struct maker *maker,
               struct stat *ret) {
    struct making making = {.name = name, .maker = *maker};
    return make(mount, parent, &making, ret, NULL);
}

int tree_create(struct mount *mount, uint64_t parent, const char *name, const struct maker *maker,
                struct stat *ret, struct handle **ret_handle) {
    struct making making = {.name = name, .maker = *maker, .opens = true};
    int status = make(mount, parent, &making, ret, ret_handle);
    return status == ERR_EXISTS && (maker->flags & O_EXCL) == 0 ? ERR_STALE : status;
}

int tree_symlink(struct mount *mount, uint64_t parent, const char *name, const char *target,
                 const struct maker *maker, struct stat *ret) {
    size_t size = strlen(target);
    if (size > RECORD_TARGET_MAX) {
        return ERR_NAME_TOO_LONG;
    }
    struct making making = {.name = name, .maker = *maker, .data = bytes_of(target, size)};
    return make(mount, parent, &making, ret, NULL);
}

int tree_readlink(struct mount *mount, uint64_t ino, char **ret) {
    struct inode *inode;
    int status = mount_pin(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    /* A target never changes. */
    status = inode->is_directory ? ERR_INVALID : mount_refresh(mount, inode, MOUNT_ANY_AGE);
    if (status == 0) {
        const struct record *record = &inode->known->entry.record;
        if (S_ISLNK(record->mode)) {
            *ret = (char *)(uintptr_t)bytes_copy(record->data).data;
        } else {
            status = ERR_INVALID;
        }
    }
    mount_unpin(mount, inode);
    return status;
}

/* A directory that was just made is as it was made: nothing has to be read. */
static void learn_made_directory(struct mount *mount, const struct entry *entry,
                                 struct bytes xattrs, uint64_t began) {
    const struct record *record = &entry->record;
    struct directory_attributes attributes = {
        .mode = record->mode & PERMISSIONS,
        .uid = record->uid,
        .gid = record->gid,
        .atime_ns = record->atime_ns,
        .mtime_ns = record->mtime_ns,
        .ctime_ns = record->ctime_ns,
        .parent = entry->directory,
        .xattrs = xattrs,
    };
    struct inode *inode = inodes_add(&mount->inodes, entry, began);
    inodes_learn_directory(&mount->inodes, inode, &attributes, began, mount_now_ns(mount));
}

static int mkdir_with(struct mount *mount, struct inode *parent, const char *name,
                      const struct maker *maker, struct bytes xattrs, struct stat *ret) {
    struct directory_attributes made = {
        .mode = maker->mode & PERMISSIONS,
        .uid = maker->uid,
        .gid = maker->gid,
        .xattrs = xattrs,
    };
    uint64_t began = inodes_clock(&mount->inodes);
    struct entry entry;
    int status = namespace_mkdir_as(mount->config.ns, &parent->directory, name, &made, &entry);
    mount_note_name(mount, parent, name, status, status == 0 ? record_ino(&entry.record) : 0,
                    began);
    if (status == 0) {
        mount_touch_directory(mount, parent, 1, entry.directory_changed_ns);
        learn_made_directory(mount, &entry, xattrs, began);
        status = answer(mount, &entry, began, ret);
        entry_release(&entry);
    } else if (status == ERR_EXISTS) {
        status = made_before(maker, &entry.record) ? answer(mount, &entry, began, ret) : status;
        entry_release(&entry);
    }
    return status;
}

static int mkdir_in(struct mount *mount, struct inode *parent, const char *name,
                    struct maker *maker, struct stat *ret) {
    struct buffer xattrs = {0};
    int status = unmade_settle_name(mount, parent, name);
    if (status == 0) {
        status = inherit(mount, parent, maker, &xattrs);
    }
    if (status == 0) {
        status = mkdir_with(mount, parent, name, maker, buffer_bytes(&xattrs), ret);
    }
    buffer_release(&xattrs);
    return status;
}

int tree_mkdir(struct mount *mount, uint64_t parent_ino, const char *name,
               const struct maker *maker, struct stat *ret) {
    struct inode *parent;
    int status = check_name(name);
    if (status == 0) {
        status = mount_pin_directory(mount, parent_ino, &parent);
    }
    if (status != 0) {
        return status;
    }
    struct maker made = *maker;
    made.mode = S_IFDIR | (made.mode & PERMISSIONS);
    status = mkdir_in(mount, parent, name, &made, ret);
    mount_unpin(mount, parent);
    return status;
}

/* What the kernel holds of an entry is at this place from now on, by an operation that began then;
 * its contents are what they were. */
static void moved_to(struct mount *mount, const struct entry *entry, uint64_t began) {
    struct inode *inode = inodes_find(&mount->inodes, record_ino(&entry->record));
    if (inode == NULL) {
        return;
    }
    bool current = inode->known != NULL && !inode->is_directory &&
                   op_id_equal(&inode->kernel_version, &inode->known->entry.version);
    inodes_move(&mount->inodes, inode, &entry->directory, entry->name);
    if (entry->record.contents_kind == CONTENTS_LINKED) {
        inode->linked = true; /* a pointer: it is read when it is needed */
        return;
    }
    if (!inode->is_directory) {
        inodes_learn(&mount->inodes, inode, entry, inodes_clock(&mount->inodes),
                     mount_now_ns(mount));
        inodes_cover(&mount->inodes, inode, began);
    }
    if (current) {
        inode->kernel_version = entry->version;
    }
}

/* It has other names: one of them is its place. */
static void move_to_other_name(struct mount *mount, struct entry *entry) {
    struct reader links = reader_of(entry->record.links);
    struct link_name other;
    if (record_next_link(&links, &other)) {
        entry->directory = other.directory;
        memcpy(entry->name, other.name, sizeof other.name);
    }
    moved_to(mount, entry, 0); /* which is not watched: it has several names */
}

/* An entry has lost its name. The last one: its contents go, now or when the last one closes it. */
static void lost_name(struct mount *mount, struct entry *entry) {
    const struct record *record = &entry->record;
    if (entry->n_links > 0) {
        move_to_other_name(mount, entry);
        return;
    }
    struct inode *inode = inodes_find(&mount->inodes, record_ino(record));
    if (inode != NULL) {
        inodes_gone(&mount->inodes, inode);
        if (!inode->is_directory) {
            inodes_learn(&mount->inodes, inode, entry, inodes_clock(&mount->inodes),
                         mount_now_ns(mount));
        }
    }
    bool open =
        inode != NULL && (inode->file != NULL || handles_hold(&mount->handles, record_ino(record)));
    if (open) {
        inodes_keep_gone(&mount->inodes, inode);
    }
    bool blocks = S_ISREG(record->mode) && record->contents_kind == CONTENTS_BLOCKS;
    if (!open && blocks && !entry->alone) {
        struct extents stored = contents_removable(record);
        holds_remove(mount, &record->contents, &stored);
    }
}

/* The file that memory says a name is of, NULL when there is none; and what it says of the name. */
static const struct inode *find_file(struct mount *mount, const struct inode *parent,
                                     const char *name, enum name_answer *ret_found) {
    uint64_t ino;
    *ret_found = watch_find(parent, name, mount_now_ns(mount) - mount->config.watched_ns, &ino);
    const struct inode *inode =
        *ret_found == NAME_PRESENT ? inodes_find(&mount->inodes, ino) : NULL;
    return inode != NULL && !inode->is_directory ? inode : NULL;
}

/* What memory says of a name that is to be changed: the entry, copied, or that there is none
 * (record.mode 0). False when it says nothing, or of a directory. */
static bool copy_known(struct mount *mount, const struct inode *parent, const char *name,
                       struct entry *ret) {
    enum name_answer found;
    const struct inode *inode = find_file(mount, parent, name, &found);
    bool here =
        inode != NULL && is_at(inode, parent, name) && inodes_is_covered(&mount->inodes, inode);
    *ret = (struct entry){.directory = parent->directory};
    if (here) {
        entry_copy(&inode->known->entry, ret);
    } else {
        snprintf(ret->name, sizeof ret->name, "%s", name);
    }
    return here || found == NAME_MISSING;
}

/* What was read last of the file of several names that the name was a name of; copied. False: it is
 * not known to be one. */
static bool copy_linked(struct mount *mount, const struct inode *parent, const char *name,
                        struct entry *ret) {
    enum name_answer found;
    const struct inode *inode = find_file(mount, parent, name, &found);
    bool linked = inode != NULL && inode->known != NULL && inode->known->entry.linked;
    if (linked) {
        entry_copy(&inode->known->entry, ret);
    }
    return linked;
}

/* Removes a name, in one step when what stands under it is known. */
static int unlink_in(struct mount *mount, struct inode *parent, const char *name,
                     struct entry *ret_removed) {
    struct namespace *ns = mount->config.ns;
    struct entry known = {0}, pointer = {0};
    int status;
    if (mount_take_pointer(mount, parent, name, &pointer, &known)) {
        status = namespace_unlink_pointer(ns, &pointer, &known, ret_removed);
    } else if (copy_linked(mount, parent, name, &known)) {
        status = namespace_unlink_linked(ns, &parent->directory, name, &known, ret_removed);
    } else if (copy_known(mount, parent, name, &known) && known.record.mode != 0) {
        status = namespace_unlink_known(ns, &known, ret_removed);
    } else {
        status = namespace_unlink(ns, &parent->directory, name, ret_removed);
    }
    entry_release(&pointer);
    entry_release(&known);
    return status;
}

static int unlink_pinned(struct mount *mount, struct inode *parent, const char *name) {
    struct entry removed;
    uint64_t began = inodes_clock(&mount->inodes);
    int status = unlink_in(mount, parent, name, &removed);
    mount_note_name(mount, parent, name, status, 0, began);
    if (status == 0) {
        mount_touch_directory(mount, parent, -1, removed.directory_changed_ns);
        lost_name(mount, &removed);
        entry_release(&removed);
    }
    return status;
}

int tree_unlink(struct mount *mount, uint64_t parent_ino, const char *name) {
    struct inode *parent;
    int status = mount_pin_directory(mount, parent_ino, &parent);
    if (status != 0) {
        return status;
    }
    status = unmade_settle_name(mount, parent, name);
    if (status == 0) {
        status = unlink_pinned(mount, parent, name);
    }
    mount_unpin(mount, parent);
    return status;
}

/* What is known of it is of no use any more. `ino` may be 0, or a number that means nothing now. */
static void removed_directory(struct mount *mount, uint64_t ino) {
    struct inode *inode = inodes_find(&mount->inodes, ino);
    if (inode != NULL && inode->is_directory && inode != mount->inodes.root) {
        inodes_gone(&mount->inodes, inode);
    }
}

static int rmdir_in(struct mount *mount, struct inode *parent, const char *name) {
    uint64_t began = inodes_clock(&mount->inodes);
    uint64_t ino = 0;
    int64_t changed_ns;
    watch_find(parent, name, mount_now_ns(mount) - mount->config.watched_ns, &ino);
    int status = namespace_rmdir_changed(mount->config.ns, &parent->directory, name, &changed_ns);
    mount_note_name(mount, parent, name, status, 0, began);
    if (status == 0) {
        mount_touch_directory(mount, parent, -1, changed_ns);
        removed_directory(mount, ino);
    }
    return status;
}

int tree_rmdir(struct mount *mount, uint64_t parent_ino, const char *name) {
    struct inode *parent;
    int status = mount_pin_directory(mount, parent_ino, &parent);
    if (status != 0) {
        return status;
    }
    status = unmade_settle_name(mount, parent, name);
    if (status == 0) {
        status = rmdir_in(mount, parent, name);
    }
    mount_unpin(mount, parent);
    return status;
}

struct renaming_in {
    const struct inode *from, *to;
    const char *name, *new_name;
    unsigned flags;
};

/* The other side of an exchange. When it cannot be read, whoever uses it next meets ERR_STALE. */
static void other_moved(struct mount *mount, const struct id128 *directory, const char *name) {
    struct entry entry;
    uint64_t began = inodes_clock(&mount->inodes);
    if (namespace_lookup(mount->config.ns, directory, name, &entry) == 0) {
        moved_to(mount, &entry, began);
        entry_release(&entry);
    }
}

/* Renames, without reading the names first when they are known. */
static int rename_in(struct mount *mount, const struct renaming_in *in, struct entry *ret_moved,
                     struct entry *ret_replaced) {
    struct namespace *ns = mount->config.ns;
    struct entry from = {0}, to = {0};
    bool known = (in->flags & RENAME_EXCHANGE) == 0 &&
                 copy_known(mount, in->from, in->name, &from) && from.record.mode != 0 &&
                 copy_known(mount, in->to, in->new_name, &to);
    int status = known ? namespace_rename_known(ns, &from, &to, in->flags, ret_moved, ret_replaced)
                       : namespace_rename(ns, &in->from->directory, in->name, &in->to->directory,
                                          in->new_name, in->flags, ret_moved, ret_replaced);
    entry_release(&from);
    entry_release(&to);
    return status;
}

static int rename_between(struct mount *mount, struct inode *from, const char *name,
                          struct inode *to, const char *new_name, unsigned flags) {
    struct entry moved, replaced;
    struct watches *watches = &mount->inodes.watches;
    uint64_t began = inodes_clock(&mount->inodes);
    bool held = watch_holds_name(watches, from, name);
    const struct renaming_in in = {from, to, name, new_name, flags};
    int status = rename_in(mount, &in, &moved, &replaced);
    bool certain = status == 0 && (flags & RENAME_EXCHANGE) == 0 && !moved.linked;
    mount_note_name(mount, from, name, certain ? 0 : ERR_UNKNOWN, 0, began);
    mount_note_name(mount, to, new_name, certain ? 0 : ERR_UNKNOWN,
                    certain ? record_ino(&moved.record) : 0, began);
    if (status != 0) {
        return status;
    }
    if (held) {
        watch_moved_name(watches, to, new_name);
    }
    bool any_replaced = replaced.name[0] != '\0';
    bool exchanged = (flags & RENAME_EXCHANGE) != 0;
    int64_t changed_ns = from == to ? moved.directory_changed_ns : 0;
    int64_t n_from = exchanged ? 0 : from == to ? -(int64_t)any_replaced : -1;
    mount_touch_directory(mount, from, n_from, changed_ns);
    if (from != to) {
        mount_touch_directory(mount, to, any_replaced || exchanged ? 0 : 1, 0);
    }
    if (any_replaced) {
        lost_name(mount, &replaced);
    }
    moved_to(mount, &moved, began);
    entry_release(&moved);
    entry_release(&replaced);
    if ((flags & RENAME_EXCHANGE) != 0) {
        other_moved(mount, &from->directory, name);
    }
    return 0;
}

int tree_rename(struct mount *mount, uint64_t parent_ino, const char *name, uint64_t new_parent,
                const char *new_name, unsigned flags) {
    struct inode *from, *to;
    int status = check_name(new_name);
    if (status == 0) {
        status = mount_pin_directory(mount, parent_ino, &from);
    }
    if (status != 0) {
        return status;
    }
    status = mount_pin_directory(mount, new_parent, &to);
    if (status == 0) {
        status = unmade_settle_name(mount, from, name);
        status = status == 0 ? unmade_settle_name(mount, to, new_name) : status;
        status = status == 0 ? rename_between(mount, from, name, to, new_name, flags) : status;
        mount_unpin(mount, to);
    }
    mount_unpin(mount, from);
    return status;
}

/* Makes the name in the pinned directory for the pinned inode. */
static int link_in(struct mount *mount, struct inode *inode, struct inode *parent, const char *name,
                   struct stat *ret) {
    int status = mount_refresh(mount, inode, MOUNT_ANY_AGE);
    status = status == 0 ? unmade_settle(mount, inode) : status;
    status = status == 0 ? unmade_settle_name(mount, parent, name) : status;
    if (status != 0 || inode->gone) {
        return status != 0 ? status : ERR_NO_ENTRY;
    }
    struct entry before, made, pointer;
    entry_copy(&inode->known->entry, &before);
    uint64_t began = inodes_clock(&mount->inodes);
    bool missing = watch_is_new(parent, name, mount_now_ns(mount) - mount->config.watched_ns);
    struct link_name to = {.directory = parent->directory};
    snprintf(to.name, sizeof to.name, "%s", name);
    status = namespace_link_known(mount->config.ns, &before, &to, missing, &made, &pointer);
    mount_note_name(mount, parent, name, status, inode->ino, began);
    if (status == 0) {
        if (!record_same_contents(&before.record, &made.record) ||
            before.record.mtime_ns != made.record.mtime_ns) {
            inode->kernel_version = (struct op_id){{0}}; /* changed elsewhere meanwhile */
        }
        mount_keep_pointer(mount, &pointer);
        mount_touch_directory(mount, parent, 1, made.directory_changed_ns);
        moved_to(mount, &made, 0);
        if (inode->file != NULL) {
            file_adopt(inode->file);
        }
        attributes_of(inode, ret);
        inodes_looked_up(inode);
        entry_release(&made);
    }
    entry_release(&before);
    return status;
}

int tree_link(struct mount *mount, uint64_t ino, uint64_t parent_ino, const char *name,
              struct stat *ret) {
    struct inode *inode, *parent;
    int status = check_name(name);
    if (status == 0) {
        status = mount_pin(mount, ino, &inode);
    }
    if (status != 0) {
        return status;
    }
    status = inode->is_directory ? ERR_PERMISSION : 0;
    if (status == 0) {
        status = mount_pin_directory(mount, parent_ino, &parent);
    }
    if (status == 0) {
        status = link_in(mount, inode, parent, name, ret);
        mount_unpin(mount, parent);
    }
    mount_unpin(mount, inode);
    return status;
}
