/* mount: what the operations of one mounted ringfs share. */
#include "fs/mount.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/unmade.h"
#include "shared/namespace_link.h"

enum { REMOVAL_BLOCKS = 4096 }; /* of one deadline: 256 MiB of contents */
#define REMOVAL_RETRY_NS 5000000000ll

void mount_init(struct mount *mount, const struct mount_config *config) {
    *mount = (struct mount){.config = *config};
    mount->removals_end = &mount->removals;
    mount->kept_end = &mount->kept;
    mount->holder = config->store->random(config->store->self);
    inodes_init(&mount->inodes, INODES_KNOWN_MAX);
    mount->inodes.watches.watcher = config->watcher;
    handles_init(&mount->handles, config->survivor);
    if (config->survivor != NULL) {
        inodes_survive(&mount->inodes, config->survivor);
        mount->n_losses = handles_restore(&mount->handles, &mount->inodes);
    }
}

/* When the mount stops and the cluster does not answer. */
static void give_up_removals(struct mount *mount) {
    while (mount->removals != NULL) {
        struct removal *removal = mount->removals;
        mount->removals = removal->next;
        mount->n_removals--;
        mount->n_removals_failed++;
        free(removal);
    }
    mount->removals_end = &mount->removals;
}

void mount_release(struct mount *mount) {
    assert(mount->files == NULL && mount->n_background == 0);
    *mount->removals_end = mount->kept; /* what found no task to wait for it */
    mount->n_removals += mount->n_kept;
    give_up_removals(mount);
    entry_release(&mount->pointer);
    handles_release(&mount->handles);
    inodes_release(&mount->inodes);
}

int64_t mount_now_ns(const struct mount *mount) {
    return mount->config.now_ns(mount->config.clock);
}

int64_t mount_wall_ns(const struct mount *mount) {
    struct store *store = mount->config.store;
    return (int64_t)store->wall_ns(store->self);
}

void mount_fit_cached(struct mount *mount) {
    uint64_t used = mount->n_dirty_bytes;
    block_cache_shrink(&mount->cached,
                       used < MOUNT_DIRTY_MAX ? (MOUNT_DIRTY_MAX - used) / BLOCK_SIZE : 0);
}

void mount_background(struct mount *mount, void (*fn)(void *arg), void *arg) {
    mount->n_background++;
    int64_t deadline_ns = mount_now_ns(mount) + mount->config.timeout_ns;
    if (task_spawn(mount->config.tasks, fn, arg, deadline_ns) != 0) {
        fn(arg);
    }
}

void mount_background_done(struct mount *mount) {
    assert(mount->n_background > 0);
    mount->n_background--;
    task_wake_all(&mount->idle);
}

bool mount_pause(struct mount *mount, int64_t ns) {
    int at = 0;
    while (mount->sleepers[at] != NULL) {
        at++;
        assert(at < MOUNT_SLEEPERS_MAX);
    }
    if (mount->stopping) {
        return false;
    }
    mount->sleepers[at] = task_self();
    task_set_deadline(task_self(), 0);
    task_sleep(ns);
    mount->sleepers[at] = NULL;
    return !mount->stopping;
}

void mount_stop_background(struct mount *mount) {
    mount->stopping = true;
    for (int i = 0; i < MOUNT_SLEEPERS_MAX; i++) {
        if (mount->sleepers[i] != NULL) {
            task_interrupt(mount->sleepers[i]);
        }
    }
    while (mount->n_background > 0) {
        task_wait_uninterrupted(&mount->idle);
    }
}

/* One contents, in pieces that each have a deadline of their own: large files take long. */
static int remove_one(struct mount *mount, const struct removal *removal) {
    const struct extents *stored = &removal->stored;
    uint64_t first = extents_next_stored(stored, 0);
    int status = 0;
    while (status == 0 && first != UINT64_MAX) {
        uint64_t end = first + REMOVAL_BLOCKS;
        task_set_deadline(task_self(), mount_now_ns(mount) + mount->config.timeout_ns);
        status = contents_remove_stored(mount->config.ns, &removal->contents, stored, first, end);
        first = extents_next_stored(stored, end);
    }
    return status;
}

static void remove_all(void *arg) {
    struct mount *mount = arg;
    while (mount->removals != NULL) {
        struct removal *removal = mount->removals;
        mount->removals = removal->next;
        if (mount->removals == NULL) {
            mount->removals_end = &mount->removals;
        }
        bool done = remove_one(mount, removal) == 0;
        while (!done && mount_pause(mount, REMOVAL_RETRY_NS)) {
            done = remove_one(mount, removal) == 0;
        }
        mount->n_removals--;
        mount->n_removals_failed += !done;
        free(removal);
        if (!done) {
            give_up_removals(mount);
        }
    }
    mount->n_removers--;
    mount_background_done(mount);
}

void mount_remove_contents(struct mount *mount, const struct id128 *contents,
                           const struct extents *stored) {
    if (stored->n == 0) {
        return;
    }
    if (mount->n_removals >= MOUNT_REMOVALS_MAX) {
        mount->n_removals_failed++;
        return;
    }
    struct removal *removal = memory_new(1, sizeof *removal);
    *removal = (struct removal){.contents = *contents, .stored = *stored};
    *mount->removals_end = removal;
    mount->removals_end = &removal->next;
    mount->n_removals++;
    /* Without a further task it waits for the next removal that gets one. */
    if (mount->n_removers < MOUNT_REMOVERS_MAX &&
        task_spawn(mount->config.tasks, remove_all, mount, 0) == 0) {
        mount->n_removers++;
        mount->n_background++;
    }
}

int mount_pin(struct mount *mount, uint64_t ino, struct inode **ret) {
    struct inode *inode = inodes_find(&mount->inodes, ino);
    if (inode == NULL) {
        return ERR_STALE;
    }
    inode_pin(inode);
    *ret = inode;
    return 0;
}

int mount_pin_directory(struct mount *mount, uint64_t ino, struct inode **ret) {
    struct inode *inode = inodes_find(&mount->inodes, ino);
    if (inode == NULL) {
        return ERR_STALE;
    }
    if (!inode->is_directory) {
        return ERR_NOT_DIRECTORY;
    }
    return mount_pin(mount, ino, ret);
}

void mount_unpin(struct mount *mount, struct inode *inode) {
    inode_unpin(&mount->inodes, inode);
}

/* What is stored of a file: under its name, or in a row of its own, where it may be since another
 * mount has given it a second name, and removed the one that is known here. */
int mount_read(struct mount *mount, const struct inode *inode, struct entry *ret) {
    struct namespace *ns = mount->config.ns;
    if (!inode->linked) {
        int status = namespace_lookup(ns, &inode->parent, inode->name, ret);
        if (status == 0 && record_ino(&ret->record) == inode->ino) {
            return 0;
        }
        if (status != 0 && status != ERR_NO_ENTRY) {
            return status;
        }
        if (status == 0) {
            entry_release(ret);
        }
    }
    int status = namespace_file(ns, inode->ino, ret);
    return status == ERR_NO_ENTRY ? ERR_STALE : status;
}

/* One reading from the store. ERR_STALE also when the inode was moved or changed meanwhile: the
 * caller looks again. */
static int read_inode(struct mount *mount, struct inode *inode) {
    uint64_t began = inodes_clock(&mount->inodes);
    if (inode->is_directory) {
        struct directory_attributes attributes;
        int status = namespace_attributes(mount->config.ns, &inode->directory, &attributes);
        if (status == 0) {
            inodes_learn_directory(&mount->inodes, inode, &attributes, began, mount_now_ns(mount));
            directory_attributes_release(&attributes);
        }
        return status;
    }
    struct entry entry;
    int status = mount_read(mount, inode, &entry);
    if (status == 0) {
        inodes_learn(&mount->inodes, inode, &entry, began, mount_now_ns(mount));
        entry_release(&entry);
    }
    return status;
}

int mount_refresh(struct mount *mount, struct inode *inode, int64_t age_ns) {
    if (inode->unmade) {
        return inode->doubtful ? unmade_look(mount, inode) : 0;
    }
    for (int i = 0; i < MOUNT_REFRESH_MAX; i++) {
        if (inodes_known(&mount->inodes, inode, mount_now_ns(mount), age_ns) != NULL) {
            return 0;
        }
        if (inode->gone) {
            return inode->known != NULL ? 0 : ERR_STALE;
        }
        uint64_t changed = inode->changed;
        int status = read_inode(mount, inode);
        if (status != 0 && (status != ERR_STALE || inode->changed == changed)) {
            return status;
        }
        if (status == 0) {
            /* Read since the call began, or changed by this mount since: either is news. */
            age_ns = MOUNT_ANY_AGE;
        }
    }
    return ERR_BUSY;
}

int64_t mount_good_ns(const struct mount *mount, const struct inode *inode) {
    const struct mount_config *config = &mount->config;
    return inodes_is_covered(&mount->inodes, inode) ? config->watched_ns : config->attributes_ns;
}

int mount_refresh_good(struct mount *mount, struct inode *inode) {
    return mount_refresh(mount, inode, mount_good_ns(mount, inode));
}

bool mount_is_leased(const struct mount *mount, const struct inode *inode) {
    const struct inode *directory = inodes_directory(&mount->inodes, &inode->parent);
    return inodes_is_covered(&mount->inodes, inode) && !inode->known->entry.alone &&
           watch_leased(&mount->inodes.watches, directory);
}

int mount_refresh_now(struct mount *mount, struct inode *inode) {
    bool leased = mount_is_leased(mount, inode);
    return mount_refresh(mount, inode, leased ? mount_good_ns(mount, inode) : MOUNT_READ_NOW);
}

void mount_keep_pointer(struct mount *mount, const struct entry *pointer) {
    entry_release(&mount->pointer);
    mount->pointer = *pointer;
}

bool mount_take_pointer(struct mount *mount, const struct inode *directory, const char *name,
                        struct entry *ret_pointer, struct entry *ret_file) {
    struct entry *pointer = &mount->pointer;
    if (pointer->record.mode == 0 || !id128_equal(&pointer->directory, &directory->directory) ||
        strcmp(pointer->name, name) != 0) {
        return false;
    }
    const struct inode *inode = inodes_find(&mount->inodes, record_ino(&pointer->record));
    if (inode == NULL || inode->known == NULL || !inode->known->entry.linked) {
        return false;
    }
    entry_copy(&inode->known->entry, ret_file);
    *ret_pointer = *pointer;
    *pointer = (struct entry){.n_links = 0};
    return true;
}

void mount_note_name(struct mount *mount, struct inode *directory, const char *name, int status,
                     uint64_t ino, uint64_t began) {
    struct watches *watches = &mount->inodes.watches;
    if (status == 0) {
        watch_made_name(watches, directory, name, ino, began, mount_now_ns(mount));
    } else {
        watch_doubt_name(watches, directory, name);
    }
}

void mount_touch_directory(struct mount *mount, struct inode *directory, int64_t n_more,
                           int64_t changed_ns) {
    struct known *known = directory->known;
    /* The name that left came after what is known was read. The count must not fall below nothing:
     * of a directory with a size below 0 the kernel answers EIO from then on, without asking. */
    bool outdated = known != NULL && n_more < 0 && known->attributes.n_entries == 0;
    if (known != NULL && (changed_ns == 0 || outdated)) {
        inodes_uncover_ours(&mount->inodes, known);
    } else if (known != NULL && changed_ns > known->attributes.mtime_ns) {
        known->attributes.mtime_ns = known->attributes.ctime_ns = changed_ns;
    }
    if (known != NULL && !outdated) {
        known->attributes.n_entries += (uint64_t)n_more;
    }
    inodes_changed(&mount->inodes, directory);
}

/* A change, and how often it ran: more than once when another writer came first. */
struct counted {
    int (*change)(void *context, struct record *record);
    void *context;
    int n_runs;
};

static int run_counted(void *context, struct record *record) {
    struct counted *counted = context;
    counted->n_runs++;
    return counted->change(counted->context, record);
}

static void learn_update(struct mount *mount, struct inode *inode, struct entry *entry,
                         const struct op_id *before, uint64_t began, bool alone) {
    if (alone && op_id_equal(before, &inode->kernel_version)) {
        inode->kernel_version = entry->version;
    }
    /* A rename may have moved it meanwhile. */
    entry->directory = inode->parent;
    snprintf(entry->name, sizeof entry->name, "%s", inode->name);
    inodes_changed(&mount->inodes, inode);
    inodes_learn(&mount->inodes, inode, entry, inodes_clock(&mount->inodes), mount_now_ns(mount));
    inodes_cover(&mount->inodes, inode, began);
}

int mount_update(struct mount *mount, struct inode *inode,
                 int (*change)(void *context, struct record *record), void *context, bool synced) {
    assert(!inode->is_directory);
    struct counted counted = {change, context, 0};
    for (int i = 0; i < MOUNT_REFRESH_MAX; i++) {
        int status = mount_refresh(mount, inode, MOUNT_ANY_AGE);
        if (status != 0) {
            return status;
        }
        if (inode->gone) {
            return change(context, &inode->known->entry.record);
        }
        if (inode->unmade) {
            status = unmade_store(mount, inode, change, context, synced);
            if (status != ERR_CONFLICT) {
                return status;
            }
            continue;
        }
        struct entry entry;
        entry_copy(&inode->known->entry, &entry);
        uint64_t changed = inode->changed;
        uint64_t began = inodes_clock(&mount->inodes);
        struct op_id before = entry.version;
        counted.n_runs = 0;
        status = namespace_update(mount->config.ns, &entry, run_counted, &counted, synced);
        if (status == 0) {
            learn_update(mount, inode, &entry, &before, began, counted.n_runs == 1);
        }
        entry_release(&entry);
        if (status != ERR_STALE || inode->changed == changed) {
            return status;
        }
    }
    return ERR_BUSY;
}
