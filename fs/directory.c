/* directory: one opening of a directory, and its listing. */
#include "fs/directory.h"

#include <stdlib.h>

#include <xxhash.h>

#include "fs/attributes.h"
#include "fs/file.h"
#include "fs/unmade.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_link.h"

enum { BEHIND_DOT = 1, BEHIND_DOT_DOT = 2, FIRST_COOKIE = 16 };
/* A listing does not wait for longer for attributes that it can do without. */
#define AHEAD_WITHIN_NS 500000000

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

static void drop_page(struct mount *mount, struct directory_handle *handle) {
    for (uint32_t i = 0; i < handle->ahead_end; i++) {
        if (handle->ahead[i] != NULL) {
            mount_unpin(mount, handle->ahead[i]);
        }
    }
    free(handle->ahead);
    handle->ahead = NULL;
    handle->ahead_end = 0;
    if (handle->next_offset != 0) {
        listing_release(&handle->page.listing);
        handle->next_offset = 0;
    }
}

void directory_release(struct mount *mount, struct directory_handle *handle) {
    drop_page(mount, handle);
    page_ahead_drop(&handle->asked);
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

static void learn_page(struct mount *mount, struct directory_handle *handle, uint64_t after) {
    struct watches *watches = &mount->inodes.watches;
    const struct directory_page *page = &handle->page;
    struct learnt_page learnt = {after, 0, page->began, page->read_ns};
    for (uint32_t i = 0; i < page->listing.n; i++) {
        const struct listing_entry *listed = &page->listing.entries[i];
        uint64_t parts[] = {learnt.digest, listed->cookie, record_ino(&listed->entry.record)};
        learnt.digest = XXH3_64bits(parts, sizeof parts);
    }
    if (watch_knows_page(handle->inode, after, learnt.digest,
                         page->read_ns - mount->config.watched_ns / 2)) {
        return;
    }
    for (uint32_t i = 0; i < page->listing.n; i++) {
        const struct entry *entry = &page->listing.entries[i].entry;
        watch_learn_name(watches, handle->inode, entry->name, record_ino(&entry->record),
                         page->began, page->read_ns);
    }
    watch_learnt_page(handle->inode, &learnt);
}

/* What was listed is known of the directory; when it was listed from its start to its end, so are
 * all names that it does not have. */
static void learn_names(struct mount *mount, struct directory_handle *handle, uint64_t after) {
    learn_page(mount, handle, after);
    if (handle->page.listing.end && handle->listed_from != 0) {
        watch_listed(handle->inode, handle->listed_from, true, handle->page.read_ns);
    }
}

/* The page that was asked for meanwhile, or else one that is read now. */
static int next_page(struct mount *mount, struct directory_handle *handle, uint64_t after,
                     struct directory_page *ret) {
    int status = ERR_CONFLICT;
    if (handle->asked != NULL && page_ahead_names_only(handle->asked) && !handle->names_only) {
        page_ahead_drop(&handle->asked);
    }
    if (handle->asked != NULL) {
        status = page_ahead_take(&handle->asked, ret);
        handle->changes = status == ERR_CONFLICT;
    }
    return status == ERR_CONFLICT ? page_read(mount, handle->inode, after, handle->names_only, ret)
                                  : status;
}

/* Behind the first page one more is asked for, then two: many listings end early. */
static void ask_ahead(struct mount *mount, struct directory_handle *handle, bool in_a_row) {
    const struct listing *page = &handle->page.listing;
    if (page->end || handle->changes) {
        return;
    }
    if (handle->asked == NULL) {
        uint64_t last = page->entries[page->n - 1].cookie;
        handle->asked = page_ahead_ask(mount, handle->inode, last, handle->names_only);
    }
    if (in_a_row) {
        page_ahead_go_on(handle->asked, handle->names_only);
    }
}

/* Whether the rest of the page has no attributes, and they are wanted. Not between two names of one
 * cookie, since a page cannot begin there. */
static bool lacks_attributes(const struct directory_handle *handle) {
    const struct listing *page = &handle->page.listing;
    uint32_t next = handle->next;
    bool between =
        next > 0 && next < page->n && page->entries[next].cookie == page->entries[next - 1].cookie;
    return handle->page.names_only && !handle->names_only && next < page->n && !between;
}

/* The page that continues behind `offset`. Names of one cookie share a page, so the place in the
 * page says where among them the kernel is. */
static int turn_to(struct mount *mount, struct directory_handle *handle, uint64_t offset) {
    bool in_a_row = handle->next_offset == offset && handle->next_offset != 0;
    bool lacks = in_a_row && lacks_attributes(handle);
    if (in_a_row && !lacks && (handle->next < handle->page.listing.n || handle->page.listing.end)) {
        return 0;
    }
    drop_page(mount, handle);
    if (lacks) {
        page_ahead_drop(&handle->asked); /* it is behind another page */
    }
    uint64_t after = offset < FIRST_COOKIE ? 0 : offset;
    if (!in_a_row) {
        page_ahead_drop(&handle->asked);
        handle->listed_from = 0;
    }
    struct directory_page page;
    int status = next_page(mount, handle, after, &page);
    if (status != 0) {
        return status;
    }
    if (after == 0) {
        handle->listed_from = page.began;
    }
    handle->page = page;
    handle->next = 0;
    handle->next_offset = offset;
    learn_names(mount, handle, after);
    if (in_a_row || after == 0) {
        ask_ahead(mount, handle, in_a_row);
    }
    return 0;
}

/* ---- directories in a listing ---- */

struct reading_ahead {
    struct mount *mount;
    struct inode *inode; /* pinned by the handle */
};

static int read_directory(void *arg) {
    const struct reading_ahead *reading = arg;
    struct mount *mount = reading->mount;
    int64_t deadline_ns = mount_now_ns(mount) + AHEAD_WITHIN_NS;
    int64_t before_ns = task_deadline_ns(task_self());
    if (before_ns == 0 || deadline_ns < before_ns) {
        task_set_deadline(task_self(), deadline_ns);
    }
    int status = mount_refresh_good(mount, reading->inode);
    task_set_deadline(task_self(), before_ns);
    return status == ERR_STALE ? 0 : status;
}

/* Reads the attributes of the next directories of the page, all at once: the kernel would ask for
 * one after the other. They are most often used next, so they are watched. */
static void read_ahead(struct mount *mount, struct directory_handle *handle) {
    struct reading_ahead readings[DIRECTORY_AHEAD];
    struct task_group group = {0};
    uint32_t n = 0;
    if (handle->ahead == NULL) {
        handle->ahead = memory_new(handle->page.listing.n, sizeof(struct inode *));
    }
    if (handle->ahead_end < handle->next) {
        handle->ahead_end = handle->next; /* given out without attributes */
    }
    while (handle->ahead_end < handle->page.listing.n && n < DIRECTORY_AHEAD) {
        const struct entry *entry = &handle->page.listing.entries[handle->ahead_end].entry;
        struct inode *inode = NULL;
        if (S_ISDIR(entry->record.mode)) {
            inode = inodes_add(&mount->inodes, entry, handle->page.began);
            inode_pin(inode);
            if (mount->inodes.watches.n < WATCH_DIRECTORIES_MAX / 2) {
                watch_use(&mount->inodes.watches, inode);
            }
            readings[n++] = (struct reading_ahead){mount, inode};
        }
        handle->ahead[handle->ahead_end++] = inode;
    }
    for (uint32_t i = 0; i < n; i++) {
        task_group_run(&group, read_directory, &readings[i]);
    }
    task_group_wait(&group, 0);
    handle->slow = group.status != 0;
}

/* The directory that is the next entry, pinned, with known attributes; NULL when they are not. */
static struct inode *directory_ahead(struct mount *mount, struct directory_handle *handle) {
    if (handle->next >= handle->ahead_end && !handle->slow) {
        read_ahead(mount, handle);
    }
    struct inode *inode = handle->next < handle->ahead_end ? handle->ahead[handle->next] : NULL;
    if (inode == NULL || inode->gone ||
        inodes_known(&mount->inodes, inode, mount_now_ns(mount), mount_good_ns(mount, inode)) ==
            NULL) {
        return NULL;
    }
    inode_pin(inode);
    return inode;
}

/* ---- from the store ---- */

/* The attributes to give out of the next entry, and the inode that they are of (NULL when they are
 * not known). */
static struct inode *describe(struct mount *mount, struct directory_handle *handle,
                              struct stat *ret) {
    const struct entry *entry = &handle->page.listing.entries[handle->next].entry;
    *ret = (struct stat){.st_ino = record_ino(&entry->record), .st_mode = entry->record.mode};
    if (S_ISDIR(entry->record.mode)) {
        struct inode *inode = directory_ahead(mount, handle);
        if (inode != NULL) {
            attributes_of(inode, ret);
        }
        return inode;
    }
    if (entry->record.contents_kind == CONTENTS_LINKED) {
        return NULL;
    }
    struct inode *inode = inodes_add(&mount->inodes, entry, handle->page.began);
    inode_pin(inode);
    inodes_learn(&mount->inodes, inode, entry, handle->page.began, handle->page.read_ns);
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

/* Gives out the next entry; false when the listener is full. */
static bool give(struct mount *mount, struct directory_handle *handle,
                 const struct listener *listener) {
    const struct listing_entry *listed = &handle->page.listing.entries[handle->next];
    const struct entry *entry = &listed->entry;
    struct stat stat = {.st_ino = record_ino(&entry->record), .st_mode = entry->record.mode};
    struct inode *inode = NULL;
    if (listener->attributes && !handle->page.names_only) {
        inode = describe(mount, handle, &stat);
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

static bool give_remembered(struct mount *mount, const struct remembered *one,
                            const struct listener *listener) {
    struct inode *inode = one->inode;
    struct stat stat = {.st_ino = inode->ino, .st_mode = S_IFDIR};
    int64_t age_ns = inode->is_directory ? mount_good_ns(mount, inode) : MOUNT_ANY_AGE;
    bool whole = listener->attributes &&
                 inodes_known(&mount->inodes, inode, mount_now_ns(mount), age_ns) != NULL;
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

static void give_behind(struct mount *mount, const struct remembered *list, uint32_t n,
                        uint64_t offset, const struct listener *listener) {
    for (uint32_t i = 0; i < n; i++) {
        bool behind = offset < FIRST_COOKIE || list[i].cookie > offset;
        if (behind && !give_remembered(mount, &list[i], listener)) {
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
        give_behind(mount, list, n, offset, listener);
    }
    free(names);
    free(list);
    return known;
}

/* Whether the next page was asked for and is not there yet: the kernel is given what there is. */
static bool is_coming(const struct directory_handle *handle) {
    return handle->asked != NULL && !page_ahead_is_there(handle->asked);
}

int directory_read(struct mount *mount, struct directory_handle *handle, uint64_t offset,
                   const struct listener *listener) {
    int settled = unmade_settle_in(mount, handle->inode);
    if (settled != 0) {
        return settled;
    }
    if (offset == 0) {
        drop_page(mount, handle); /* rewinddir(3) wants news */
        page_ahead_drop(&handle->asked);
        handle->changes = false;
    }
    if (!give_dots(handle, &offset, listener)) {
        return 0;
    }
    handle->names_only = !listener->attributes;
    bool at_hand = handle->next_offset == offset && handle->next_offset != 0;
    if (!at_hand && read_remembered(mount, handle->inode, offset, listener)) {
        return 0;
    }
    for (bool given = false;;) {
        int status = turn_to(mount, handle, offset);
        if (status != 0) {
            return status;
        }
        if (listener->attributes && !handle->page.names_only) {
            namespace_list_follow(mount->config.ns, &handle->page.listing);
        }
        while (handle->next < handle->page.listing.n) {
            const struct listing_entry *listed = &handle->page.listing.entries[handle->next];
            bool hidden =
                mount->config.hide_conflicts && namespace_conflict_name(listed->entry.name, NULL);
            if (!hidden && !give(mount, handle, listener)) {
                return 0;
            }
            given = given || !hidden;
            handle->next++;
            offset = handle->next_offset = listed->cookie;
        }
        if (handle->page.listing.end || (given && is_coming(handle))) {
            return 0;
        }
    }
}
