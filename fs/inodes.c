/* inodes: the files and directories that the kernel holds, and what was last read of each. */
#include "fs/inodes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    BUCKETS_MIN = 256,
    EVICTIONS_MAX = 8, /* tries per insertion: known of open files are passed over */
    ROOT_INO = 1,
    PATH_DEPTH_MAX = 64,
};

static struct inode **bucket(const struct inodes *inodes, uint64_t ino) {
    /* Inode numbers are random already, but for the root's. */
    return &inodes->buckets[ino & (inodes->n_buckets - 1)];
}

static void grow(struct inodes *inodes) {
    struct inode **old = inodes->buckets;
    uint32_t n_old = inodes->n_buckets;
    inodes->n_buckets = n_old * 2;
    inodes->buckets = memory_new(inodes->n_buckets, sizeof *inodes->buckets);
    for (uint32_t i = 0; i < n_old; i++) {
        while (old[i] != NULL) {
            struct inode *inode = old[i];
            old[i] = inode->next;
            struct inode **at = bucket(inodes, inode->ino);
            inode->next = *at;
            *at = inode;
        }
    }
    free(old);
}

static void known_unlink(struct inodes *inodes, struct known *known) {
    *(known->newer != NULL ? &known->newer->older : &inodes->newest) = known->older;
    *(known->older != NULL ? &known->older->newer : &inodes->oldest) = known->newer;
}

static void known_push(struct inodes *inodes, struct known *known) {
    known->newer = NULL;
    known->older = inodes->newest;
    *(inodes->newest != NULL ? &inodes->newest->newer : &inodes->oldest) = known;
    inodes->newest = known;
}

static void known_drop(struct inodes *inodes, struct known *known) {
    inodes_uncover(inodes, known);
    known_unlink(inodes, known);
    inodes->n_known--;
    known->inode->known = NULL;
    inodes->n_known_bytes -= known->n_bytes;
    entry_release(&known->entry);
    directory_attributes_release(&known->attributes);
    free(known);
}

static void leave_alone(struct inodes *inodes, struct inode *inode);

static void evict(struct inodes *inodes, const struct known *keep) {
    for (int i = 0; i < EVICTIONS_MAX && (inodes->n_known > inodes->known_max ||
                                          inodes->n_known_bytes > INODES_KNOWN_BYTES_MAX);
         i++) {
        struct known *known = inodes->oldest;
        if (known->inode->file != NULL || known->inode->unmade || known == keep) {
            known_unlink(inodes, known);
            known_push(inodes, known);
        } else {
            struct inode *inode = known->inode;
            known_drop(inodes, known);
            leave_alone(inodes, inode);
        }
    }
}

/* Room for what is known of an inode, as the most recently used. */
static struct known *known_take(struct inodes *inodes, struct inode *inode) {
    if (inode->known != NULL) {
        known_unlink(inodes, inode->known);
    } else {
        inode->known = memory_new(1, sizeof *inode->known);
        inode->known->inode = inode;
        inodes->n_known++;
    }
    known_push(inodes, inode->known);
    return inode->known;
}

/* Counts what was just read of an inode beside its fixed part. */
static void known_count(struct inodes *inodes, struct known *known, size_t n_bytes) {
    inodes->n_known_bytes += n_bytes - known->n_bytes;
    known->n_bytes = n_bytes;
    evict(inodes, known);
}

static struct inode *inode_new(struct inodes *inodes, uint64_t ino) {
    if (inodes->n >= inodes->n_buckets) {
        grow(inodes);
    }
    struct inode *inode = memory_new(1, sizeof *inode);
    inode->ino = ino;
    struct inode **at = bucket(inodes, ino);
    inode->next = *at;
    *at = inode;
    inodes->n++;
    return inode;
}

static void inode_free(struct inodes *inodes, struct inode *inode) {
    struct inode **at = bucket(inodes, inode->ino);
    while (*at != inode) {
        at = &(*at)->next;
    }
    *at = inode->next;
    inodes->n--;
    if (inode->watch != NULL) {
        watch_end(&inodes->watches, inode);
    }
    if (inode->known != NULL) {
        known_drop(inodes, inode->known);
    }
    if (inode->kept != NULL) {
        if (inode->gone) {
            survivor_put_gone(inodes->survivor, inode->ino, bytes_of(NULL, 0));
        }
        survivor_drop(inodes->survivor, inode->kept);
    }
    free(inode->name);
    free(inode);
}

static void inode_free_unused(struct inodes *inodes, struct inode *inode) {
    if (inode->n_lookups == 0 && inode->n_pins == 0 && !inode->ahead && inode != inodes->root) {
        assert(inode->file == NULL);
        inode_free(inodes, inode);
    }
}

/* What was read ahead of it is not known any more. */
static void leave_alone(struct inodes *inodes, struct inode *inode) {
    if (inode->ahead) {
        inode->ahead = false;
        inode_free_unused(inodes, inode);
    }
}

static void release_unmade(struct inodes *inodes, struct unmade *unmade) {
    struct unmade was = *unmade;
    *unmade = (struct unmade){0};
    if (was.inode != NULL) {
        was.inode->unmade = false;
        was.directory->n_unmade--;
        inodes->n_unmade--;
        inode_unpin(inodes, was.inode);
        inode_unpin(inodes, was.directory);
    }
}

static char *copy_name(const char *name) {
    size_t size = strlen(name) + 1;
    char *copy = memory_new(1, size);
    memcpy(copy, name, size);
    return copy;
}

void inodes_init(struct inodes *inodes, uint32_t known_max) {
    *inodes = (struct inodes){.n_buckets = BUCKETS_MIN, .known_max = known_max};
    watches_init(&inodes->watches, inodes, NULL);
    inodes->buckets = memory_new(inodes->n_buckets, sizeof *inodes->buckets);
    inodes->root = inode_new(inodes, ROOT_INO);
    inodes->root->is_directory = true;
    inodes->root->directory = namespace_root;
    inodes->root->parent = namespace_root;
    inodes->root->name = copy_name("");
}

void inodes_set_root(struct inodes *inodes, const struct id128 *directory) {
    inodes->root->directory = inodes->root->parent = *directory;
}

void inodes_release(struct inodes *inodes) {
    for (uint32_t i = 0; i < INODES_UNMADE_MAX; i++) {
        release_unmade(inodes, &inodes->unmade[i]); /* they stay for the next worker */
    }
    while (inodes->newest != NULL) {
        known_drop(inodes,
                   inodes->newest); /* looks at the inode's directory: while all are there */
    }
    for (uint32_t i = 0; i < inodes->n_buckets; i++) {
        while (inodes->buckets[i] != NULL) {
            assert(inodes->buckets[i]->n_pins == 0);
            inodes->buckets[i]->kept = NULL; /* it stays for the next worker */
            inode_free(inodes, inodes->buckets[i]);
        }
    }
    free(inodes->buckets);
    *inodes = (struct inodes){0};
}

struct inode *inodes_find(const struct inodes *inodes, uint64_t ino) {
    struct inode *inode = *bucket(inodes, ino);
    while (inode != NULL && inode->ino != ino) {
        inode = inode->next;
    }
    return inode;
}

/* The next worker is to find the inode where it is now. */
static void keep(struct inodes *inodes, struct inode *inode) {
    if (inodes->survivor != NULL && inode != inodes->root) {
        struct survivor_place place = {inode->ino, inode->is_directory, &inode->directory,
                                       &inode->parent, inode->name};
        inode->kept = survivor_put(inodes->survivor, inode->kept, &place);
    }
}

static void set_gone(struct inode *inode, bool gone) {
    inode->gone = gone;
    if (inode->kept != NULL) {
        inode->kept->gone = gone;
    }
}

static void set_lookups(struct inode *inode, uint64_t n) {
    inode->n_lookups = n;
    if (inode->kept != NULL) {
        inode->kept->n_lookups = n;
    }
}

void inode_set_dirt(struct inode *inode, enum survivor_dirt dirt) {
    if (inode->kept != NULL) {
        inode->kept->dirt = (uint8_t)dirt;
    }
}

struct inode *inodes_directory(const struct inodes *inodes, const struct id128 *directory) {
    bool top = id128_equal(directory, &inodes->root->directory);
    return top ? inodes->root : inodes_find(inodes, directory_ino(directory));
}

/* Of the directory whose rows hold what is known of the inode; NULL when they are not watched. */
static struct watch *watch_of(const struct inodes *inodes, const struct inode *inode) {
    const struct inode *directory =
        inode->is_directory ? inode : inodes_directory(inodes, &inode->parent);
    return directory != NULL ? directory->watch : NULL;
}

bool inodes_is_covered(const struct inodes *inodes, const struct inode *inode) {
    const struct watch *watch = watch_of(inodes, inode);
    const struct known *known = inode->known;
    return known != NULL && known->covered != 0 && watch != NULL && watch->since == known->covered;
}

/* What covers the known of an inode; 0 = nothing does. A change is told by name, so the name of
 * what is covered must be known. */
static uint64_t covered_by(struct inodes *inodes, struct inode *inode, uint64_t began) {
    struct known *known = inode->known;
    if (inode->is_directory) {
        return watch_covers(inode->watch, NULL, began);
    }
    struct inode *directory = inodes_directory(inodes, &inode->parent);
    /* The record of a file with several names is in none of their directories. */
    if (directory == NULL || known->entry.linked || inode->gone) {
        return 0;
    }
    watch_learn_name(&inodes->watches, directory, inode->name, inode->ino, began, known->read_ns);
    bool told = watch_tells(directory->watch, inode->name, inode->ino);
    return told ? watch_covers(directory->watch, inode->name, began) : 0;
}

/* That it is not to believe the attributes that it was given, if it was; that the last name went it
 * knows. */
static void tell_kernel(const struct inodes *inodes, const struct inode *inode) {
    const struct kernel_notices *kernel = &inodes->watches.kernel;
    bool given = (inode->n_lookups > 0 || inode == inodes->root) && !inode->gone;
    if (kernel->attributes != NULL && given) {
        kernel->attributes(kernel->self, inode->ino);
    }
}

void inodes_cover(struct inodes *inodes, struct inode *inode, uint64_t began) {
    struct known *known = inode->known;
    struct watch *watch = watch_of(inodes, inode);
    if (known->covered != 0 && watch != NULL && watch->since == known->covered) {
        watch->n_covered--;
    }
    uint64_t before = known->covered;
    known->covered = covered_by(inodes, inode, began);
    if (before != 0 && known->covered == 0) {
        tell_kernel(inodes, inode);
    }
    if (known->covered != 0) {
        watch->n_covered++;
    } else if (watch != NULL && watch->told > began) {
        known->read_ns = INT64_MIN / 2; /* it was changed meanwhile: good for one answer */
    }
}

void inodes_uncover(struct inodes *inodes, struct known *known) {
    if (known->covered != 0) {
        tell_kernel(inodes, known->inode);
    }
    inodes_uncover_ours(inodes, known);
}

void inodes_uncover_ours(struct inodes *inodes, struct known *known) {
    struct watch *watch = watch_of(inodes, known->inode);
    if (known->covered != 0 && watch != NULL && watch->since == known->covered) {
        watch->n_covered--;
    }
    known->covered = 0;
    known->read_ns = INT64_MIN / 2;
}

static void set_place(struct inodes *inodes, struct inode *inode, const struct id128 *parent,
                      const char *name) {
    if (inode->known != NULL && !id128_equal(&inode->parent, parent)) {
        inodes_uncover(inodes, inode->known);
    }
    inode->parent = *parent;
    if (inode->name == NULL || strcmp(inode->name, name) != 0) {
        free(inode->name);
        inode->name = copy_name(name);
    }
}

static void restore(void *context, struct survivor_inode *kept, const char *name) {
    struct inodes *inodes = context;
    struct inode *inode = inodes_find(inodes, kept->ino);
    bool older = inode != NULL && inode->kept != NULL && inode->kept->sequence > kept->sequence;
    if (kept->n_lookups == 0 || inode == inodes->root || older) {
        survivor_drop(inodes->survivor, kept);
        return;
    }
    if (inode == NULL) {
        inode = inode_new(inodes, kept->ino);
    } else {
        survivor_drop(inodes->survivor, inode->kept);
    }
    inode->kept = kept;
    inode->n_lookups = kept->n_lookups;
    inode->is_directory = kept->is_directory != 0;
    inode->gone = kept->gone != 0;
    inode->directory = kept->directory;
    set_place(inodes, inode, &kept->parent, name);
}

void inodes_keep_gone(struct inodes *inodes, const struct inode *inode) {
    if (inode->kept == NULL || inode->known == NULL || inode->is_directory || !inode->gone) {
        return;
    }
    struct buffer record = {0};
    record_encode(&inode->known->entry.record, &record);
    survivor_put_gone(inodes->survivor, inode->ino, buffer_bytes(&record));
    buffer_release(&record);
}

/* What is known of an inode comes from an encoded record. */
static bool learn_encoded(struct inodes *inodes, struct inode *inode,
                          const struct survivor_gone *left) {
    struct entry entry = {.directory = inode->parent};
    if (inode->is_directory ||
        record_decode(bytes_of(left->record, left->size), &entry.record) != 0) {
        return false;
    }
    snprintf(entry.name, sizeof entry.name, "%s", inode->name);
    inodes_learn(inodes, inode, &entry, inodes_clock(inodes), 0);
    return true;
}

static void restore_gone(struct inodes *inodes, const struct survivor_gone *gone) {
    struct inode *inode = inodes_find(inodes, gone->ino);
    if (inode != NULL && inode->gone) {
        learn_encoded(inodes, inode, gone);
    }
}

static void add_unmade(struct inodes *inodes, uint32_t at, struct inode *inode,
                       struct inode *directory) {
    inode_pin(inode);
    inode_pin(directory);
    inode->unmade = true;
    directory->n_unmade++;
    directory->unmade_ns = inode->known->entry.record.mtime_ns;
    /* Of no version that is ever stored: pages of it are not pages of nothing. */
    struct op_id *version = &inode->known->entry.version;
    memcpy(version->bytes, &inode->ino, sizeof inode->ino);
    inodes->unmade[at] = (struct unmade){inode, directory};
    inodes->n_unmade++;
}

static void restore_unmade(struct inodes *inodes, uint32_t at) {
    const struct survivor_gone *left = survivor_unmade(inodes->survivor, at);
    struct inode *inode = left != NULL ? inodes_find(inodes, left->ino) : NULL;
    struct inode *directory = inode != NULL ? inodes_directory(inodes, &inode->parent) : NULL;
    if (directory != NULL && directory->is_directory && !inode->gone && !inode->unmade &&
        learn_encoded(inodes, inode, left)) {
        add_unmade(inodes, at, inode, directory);
        inode->doubtful = true;
    } else {
        survivor_put_unmade(inodes->survivor, at, 0, bytes_of(NULL, 0));
    }
}

uint32_t inodes_survive(struct inodes *inodes, struct survivor *survivor) {
    assert(inodes->n == 1);
    inodes->survivor = survivor;
    survivor_each(survivor, restore, inodes);
    for (uint32_t i = 0; i < INODES_UNMADE_MAX; i++) {
        restore_unmade(inodes, i);
    }
    for (uint32_t i = 0; i < SURVIVOR_GONE_MAX; i++) {
        const struct survivor_gone *gone = survivor_gone(survivor, i);
        if (gone != NULL) {
            restore_gone(inodes, gone);
        }
    }
    return inodes->n - 1;
}

struct inode *inodes_add(struct inodes *inodes, const struct entry *entry, uint64_t began) {
    uint64_t ino = record_ino(&entry->record);
    struct inode *inode = inodes_find(inodes, ino);
    if (inode == NULL) {
        inode = inode_new(inodes, ino);
        inode->is_directory = S_ISDIR(entry->record.mode);
        inode->directory = entry->record.directory;
    }
    if (inode != inodes->root && inode->changed <= began) {
        bool here = inode->kept != NULL && id128_equal(&inode->parent, &entry->directory) &&
                    strcmp(inode->name, entry->name) == 0;
        set_place(inodes, inode, &entry->directory, entry->name);
        if (!here) {
            keep(inodes, inode);
        }
        set_gone(inode, false);
    }
    return inode;
}

void inodes_looked_up(struct inode *inode) {
    inode->ahead = false;
    set_lookups(inode, inode->n_lookups + 1);
}

/* What the kernel has no use for any more it may ask for again soon: when memory was short there,
 * or its names were taken back. */
static bool is_worth_keeping(const struct inodes *inodes, const struct inode *inode) {
    if (inode->known == NULL || inode->gone) {
        return false;
    }
    bool live = inode->watch != NULL && inode->watch->since != 0;
    return inode->is_directory ? live : inodes_is_covered(inodes, inode);
}

void inodes_forget(struct inodes *inodes, uint64_t ino, uint64_t n) {
    struct inode *inode = inodes_find(inodes, ino);
    if (inode == NULL) {
        return;
    }
    set_lookups(inode, inode->n_lookups - (n < inode->n_lookups ? n : inode->n_lookups));
    if (inode->n_lookups == 0 && is_worth_keeping(inodes, inode)) {
        inode->ahead = true;
        inode->kernel_version = (struct op_id){{0}};
    }
    inode_free_unused(inodes, inode);
}

void inode_pin(struct inode *inode) {
    inode->n_pins++;
}

void inode_unpin(struct inodes *inodes, struct inode *inode) {
    assert(inode->n_pins > 0);
    inode->n_pins--;
    inode_free_unused(inodes, inode);
}

uint64_t inodes_clock(const struct inodes *inodes) {
    return inodes->clock;
}

bool inodes_learn(struct inodes *inodes, struct inode *inode, const struct entry *entry,
                  uint64_t began, int64_t now_ns) {
    if (inode->changed > began) {
        return false;
    }
    inode->linked = entry->linked;
    struct known *known = known_take(inodes, inode);
    entry_release(&known->entry);
    entry_copy(entry, &known->entry);
    known->read_ns = now_ns;
    inodes_cover(inodes, inode, began);
    known_count(inodes, known, entry->record.data.size + entry->record.xattrs.size);
    return true;
}

void inodes_learn_ahead(struct inodes *inodes, const struct entry *entry, uint64_t began,
                        int64_t now_ns) {
    struct inode *inode = inodes_add(inodes, entry, began);
    inode_pin(inode);
    if (inodes_learn(inodes, inode, entry, began, now_ns) && inode->n_lookups == 0) {
        inode->ahead = true;
    }
    inode_unpin(inodes, inode);
}

bool inodes_learn_directory(struct inodes *inodes, struct inode *inode,
                            const struct directory_attributes *attributes, uint64_t began,
                            int64_t now_ns) {
    assert(inode->is_directory);
    if (inode->changed > began) {
        return false;
    }
    struct known *known = known_take(inodes, inode);
    struct bytes xattrs = attributes->xattrs;
    xattrs = xattrs.size > 0 ? bytes_copy(xattrs) : (struct bytes){0};
    directory_attributes_release(&known->attributes);
    known->attributes = *attributes;
    known->attributes.xattrs = xattrs;
    known->read_ns = now_ns;
    inodes_cover(inodes, inode, began);
    known_count(inodes, known, xattrs.size);
    return true;
}

void inodes_changed(struct inodes *inodes, struct inode *inode) {
    inode->changed = ++inodes->clock;
}

void inodes_move(struct inodes *inodes, struct inode *inode, const struct id128 *parent,
                 const char *name) {
    set_place(inodes, inode, parent, name);
    keep(inodes, inode);
    inodes_changed(inodes, inode);
}

void inodes_gone(struct inodes *inodes, struct inode *inode) {
    set_gone(inode, true);
    inodes_changed(inodes, inode);
}

struct known *inodes_known(struct inodes *inodes, struct inode *inode, int64_t now_ns,
                           int64_t age_ns) {
    struct known *known = inode->known;
    if (known == NULL || now_ns - known->read_ns > age_ns) {
        return NULL;
    }
    known_unlink(inodes, known);
    known_push(inodes, known);
    return known;
}

/* ---- files that are not stored yet ---- */

static bool keep_unmade(struct inodes *inodes, uint32_t at, const struct inode *inode) {
    struct buffer record = {0};
    if (inodes->survivor == NULL) {
        return true;
    }
    record_encode(&inode->known->entry.record, &record);
    bool kept = inode->kept != NULL &&
                survivor_put_unmade(inodes->survivor, at, inode->ino, buffer_bytes(&record));
    buffer_release(&record);
    return kept;
}

bool inodes_begin_unmade(struct inodes *inodes, struct inode *inode, struct inode *directory) {
    for (uint32_t i = 0; i < INODES_UNMADE_MAX; i++) {
        if (inodes->unmade[i].inode == NULL) {
            if (!keep_unmade(inodes, i, inode)) {
                return false;
            }
            add_unmade(inodes, i, inode, directory);
            return true;
        }
    }
    return false;
}

static uint32_t slot_of(const struct inodes *inodes, const struct inode *inode) {
    uint32_t at = 0;
    while (inodes->unmade[at].inode != inode) {
        at++;
        assert(at < INODES_UNMADE_MAX);
    }
    return at;
}

void inodes_end_unmade(struct inodes *inodes, struct inode *inode) {
    uint32_t at = slot_of(inodes, inode);
    if (inodes->survivor != NULL) {
        survivor_put_unmade(inodes->survivor, at, 0, bytes_of(NULL, 0));
    }
    inode->doubtful = false;
    release_unmade(inodes, &inodes->unmade[at]);
}

struct inode *inodes_find_unmade(const struct inodes *inodes, const struct inode *directory,
                                 const char *name) {
    for (uint32_t i = 0; directory->n_unmade > 0 && i < INODES_UNMADE_MAX; i++) {
        const struct unmade *unmade = &inodes->unmade[i];
        if (unmade->directory == directory &&
            (name == NULL || strcmp(unmade->inode->name, name) == 0)) {
            return unmade->inode;
        }
    }
    return NULL;
}

struct inode *inodes_unmade_directory(const struct inodes *inodes, const struct inode *inode) {
    return inodes->unmade[slot_of(inodes, inode)].directory;
}

void inodes_doubt_kernel(const struct inodes *inodes) {
    for (uint32_t i = 0; i < inodes->n_buckets; i++) {
        for (struct inode *inode = inodes->buckets[i]; inode != NULL; inode = inode->next) {
            tell_kernel(inodes, inode);
        }
    }
}

void inodes_path(const struct inodes *inodes, uint64_t ino, char *ret, size_t size) {
    const struct inode *chain[PATH_DEPTH_MAX];
    int n = 0;
    const struct inode *inode = inodes_find(inodes, ino);
    while (inode != NULL && inode != inodes->root && n < PATH_DEPTH_MAX) {
        chain[n++] = inode;
        inode = inodes_directory(inodes, &inode->parent);
    }
    size_t used =
        (size_t)snprintf(ret, size, "%s", inode == inodes->root ? n == 0 ? "/" : "" : "?");
    while (n > 0 && used < size) {
        used += (size_t)snprintf(ret + used, size - used, "/%s", chain[--n]->name);
    }
}

void inodes_check(const struct inodes *inodes) {
    uint32_t n = 0;
    uint32_t n_known = 0;
    for (uint32_t i = 0; i < inodes->n_buckets; i++) {
        for (struct inode *inode = inodes->buckets[i]; inode != NULL; inode = inode->next) {
            n++;
            n_known += inode->known != NULL;
            assert(inode->n_lookups > 0 || inode->n_pins > 0 || inode->ahead ||
                   inode == inodes->root);
            assert(!inode->ahead || inode->known != NULL);
            assert(inode->known == NULL || inode->known->inode == inode);
            assert(inode->changed <= inodes->clock);
            assert(!inode->unmade || (inode->known != NULL && !inode->gone));
        }
    }
    assert(n == inodes->n && n_known == inodes->n_known);
    uint32_t n_listed = 0;
    size_t n_bytes = 0;
    for (struct known *known = inodes->newest; known != NULL; known = known->older) {
        n_listed++;
        n_bytes += known->n_bytes;
        assert(known->older != NULL ? known->older->newer == known : inodes->oldest == known);
    }
    assert(n_listed == n_known && n_bytes == inodes->n_known_bytes);
}
