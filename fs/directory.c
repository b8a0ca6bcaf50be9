/* directory: one opening of a directory, and its listing. */
#include "fs/directory.h"

#include <stdlib.h>

#include "fs/attributes.h"
#include "fs/file.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_link.h"

enum { BEHIND_DOT = 1, BEHIND_DOT_DOT = 2, FIRST_COOKIE = 16 };

int directory_open(struct mount *mount, uint64_t ino, struct directory_handle **ret) {
    struct inode *inode;
    int status = mount_pin_directory(mount, ino, &inode);
    if (status != 0) {
        return status;
    }
    struct directory_handle *handle = memory_new(1, sizeof *handle);
    handle->inode = inode;
    watch_use(&mount->inodes.watches, inode);
    *ret = handle;
    return 0;
}

static void drop_page(struct directory_handle *handle) {
    if (handle->next_offset != 0) {
        listing_release(&handle->page);
        handle->next_offset = 0;
    }
}

void directory_release(struct mount *mount, struct directory_handle *handle) {
    drop_page(handle);
    mount_unpin(mount, handle->inode);
    free(handle);
}

/* "." and ".."; false when the listener is full. The kernel knows both, their numbers are for show.
 */
static bool give_dots(const struct directory_handle *handle, uint64_t *offset,
                      const struct listener *listener) {
    struct stat stat = {.st_ino = handle->inode->ino, .st_mode = S_IFDIR};
    if (*offset < BEHIND_DOT) {
        if (!listener->take(listener->context, ".", &stat, BEHIND_DOT)) {
            return false;
        }
        *offset = BEHIND_DOT;
    }
    if (*offset < BEHIND_DOT_DOT) {
        stat.st_ino = directory_ino(&handle->inode->parent);
        if (!listener->take(listener->context, "..", &stat, BEHIND_DOT_DOT)) {
            return false;
        }
        *offset = BEHIND_DOT_DOT;
    }
    return true;
}

/* What was listed is known of the directory; when it was listed from its start to its end, so are
 * all names that it does not have. */
static void learn_names(struct mount *mount, struct directory_handle *handle) {
    struct watches *watches = &mount->inodes.watches;
    int64_t now_ns = mount_now_ns(mount);
    for (uint32_t i = 0; i < handle->page.n; i++) {
        const struct entry *entry = &handle->page.entries[i].entry;
        watch_learn_name(watches, handle->inode, entry->name, record_ino(&entry->record),
                         handle->began, now_ns);
    }
    if (handle->page.end && handle->listed_from != 0) {
        watch_listed(handle->inode, handle->listed_from, true, now_ns);
    }
}

/* The page that continues behind `offset`. Names of one cookie share a page, so the place in the
 * page says where among them the kernel is. */
static int turn_to(struct mount *mount, struct directory_handle *handle, uint64_t offset) {
    bool here = handle->next_offset == offset && handle->next_offset != 0;
    if (here && (handle->next < handle->page.n || handle->page.end)) {
        return 0;
    }
    bool in_a_row = handle->next_offset == offset;
    drop_page(handle);
    struct listing page;
    uint64_t began = inodes_clock(&mount->inodes);
    uint64_t after = offset < FIRST_COOKIE ? 0 : offset;
    if (after == 0) {
        handle->listed_from = began;
    } else if (!in_a_row) {
        handle->listed_from = 0;
    }
    int status = namespace_list(mount->config.ns, &handle->inode->directory, after,
                                DIRECTORY_PAGE_ENTRIES, &page);
    if (status == 0) {
        handle->page = page;
        handle->began = began;
        handle->next = 0;
        handle->next_offset = offset;
        learn_names(mount, handle);
    }
    return status;
}

/* The attributes to give out, and the inode that they are of (NULL for a directory, and
 * for a file that could not be read). */
static struct inode *describe(struct mount *mount, const struct entry *entry, uint64_t began,
                              struct stat *ret) {
    *ret = (struct stat){.st_ino = record_ino(&entry->record), .st_mode = entry->record.mode};
    if (S_ISDIR(entry->record.mode) || entry->record.contents_kind == CONTENTS_LINKED) {
        return NULL;
    }
    struct inode *inode = inodes_add(&mount->inodes, entry, began);
    inode_pin(inode);
    inodes_learn(&mount->inodes, inode, entry, began, mount_now_ns(mount));
    if (inode->known == NULL || inode->gone) {
        mount_unpin(mount, inode);
        return NULL;
    }
    if (inode->file != NULL) {
        file_adopt(inode->file);
    }
    attributes_of(inode, ret);
    return inode;
}

/* Gives out one entry; false when the listener is full. */
static bool give(struct mount *mount, const struct listing_entry *listed, uint64_t began,
                 const struct listener *listener) {
    const struct entry *entry = &listed->entry;
    struct stat stat = {.st_ino = record_ino(&entry->record), .st_mode = entry->record.mode};
    struct inode *inode = NULL;
    if (listener->attributes) {
        inode = describe(mount, entry, began, &stat);
    }
    bool taken = listener->take(listener->context, entry->name, &stat, listed->cookie);
    if (inode != NULL) {
        if (taken) {
            inodes_looked_up(inode);
        }
        mount_unpin(mount, inode);
    }
    return taken;
}

/* ---- from memory ---- */

struct remembered {
    uint64_t cookie;
    const char *name;
    struct inode *inode;
};

static int compare_remembered(const void *a, const void *b) {
    const struct remembered *one = a, *other = b;
    return (one->cookie > other->cookie) - (one->cookie < other->cookie);
}

/* Whether what there is to be said of the inode is known. */
static bool is_told(const struct mount *mount, const struct inode *inode, bool attributes) {
    if (inode == NULL || inode->gone || (!inode->is_directory && inode->known == NULL)) {
        return false;
    }
    return inode->is_directory || !attributes || inodes_is_covered(&mount->inodes, inode);
}

/* Those behind `offset`, in order of the cookies. False when not all is known of one, or two have
 * one cookie. */
static bool sort_names(const struct mount *mount, const struct watch_name *names, uint32_t n_names,
                       bool attributes, struct remembered *ret) {
    for (uint32_t i = 0; i < n_names; i++) {
        struct inode *inode = inodes_find(&mount->inodes, names[i].ino);
        if (!is_told(mount, inode, attributes)) {
            return false;
        }
        ret[i] = (struct remembered){namespace_cookie(names[i].text), names[i].text, inode};
    }
    qsort(ret, n_names, sizeof *ret, compare_remembered);
    for (uint32_t i = 1; i < n_names; i++) {
        if (ret[i].cookie == ret[i - 1].cookie) {
            return false;
        }
    }
    return true;
}

static bool give_remembered(const struct remembered *one, const struct listener *listener) {
    struct inode *inode = one->inode;
    struct stat stat = {.st_ino = inode->ino, .st_mode = S_IFDIR};
    bool whole = listener->attributes && !inode->is_directory;
    if (whole && inode->file != NULL) {
        file_adopt(inode->file);
    }
    if (whole) {
        attributes_of(inode, &stat);
    } else if (!inode->is_directory) {
        stat.st_mode = inode->known->entry.record.mode;
    }
    bool taken = listener->take(listener->context, one->name, &stat, one->cookie);
    if (taken && whole) {
        inodes_looked_up(inode);
    }
    return taken;
}

static void give_behind(const struct remembered *list, uint32_t n, uint64_t offset,
                        const struct listener *listener) {
    for (uint32_t i = 0; i < n; i++) {
        bool behind = offset < FIRST_COOKIE || list[i].cookie > offset;
        if (behind && !give_remembered(&list[i], listener)) {
            return;
        }
    }
}

/* False when it has to be read. */
static bool read_remembered(struct mount *mount, const struct inode *directory, uint64_t offset,
                            const struct listener *listener) {
    int64_t since_ns = mount_now_ns(mount) - mount->config.watched_ns;
    uint32_t n = 0;
    if (!watch_leased(&mount->inodes.watches, directory)) {
        return false;
    }
    struct watch_name *names = memory_new(DIRECTORY_REMEMBERED_MAX, sizeof *names);
    struct remembered *list = memory_new(DIRECTORY_REMEMBERED_MAX, sizeof *list);
    bool known = watch_names(directory, since_ns, names, DIRECTORY_REMEMBERED_MAX, &n) &&
                 sort_names(mount, names, n, listener->attributes, list);
    if (known) {
        give_behind(list, n, offset, listener);
    }
    free(names);
    free(list);
    return known;
}

int directory_read(struct mount *mount, struct directory_handle *handle, uint64_t offset,
                   const struct listener *listener) {
    if (offset == 0) {
        drop_page(handle); /* rewinddir(3) wants news */
    }
    if (!give_dots(handle, &offset, listener)) {
        return 0;
    }
    if (read_remembered(mount, handle->inode, offset, listener)) {
        return 0;
    }
    for (;;) {
        int status = turn_to(mount, handle, offset);
        if (status != 0) {
            return status;
        }
        if (listener->attributes) {
            namespace_list_follow(mount->config.ns, &handle->page);
        }
        while (handle->next < handle->page.n) {
            const struct listing_entry *listed = &handle->page.entries[handle->next];
            bool hidden =
                mount->config.hide_conflicts && namespace_conflict_name(listed->entry.name, NULL);
            if (!hidden && !give(mount, listed, handle->began, listener)) {
                return 0;
            }
            handle->next++;
            offset = handle->next_offset = listed->cookie;
        }
        if (handle->page.end) {
            return 0;
        }
    }
}
