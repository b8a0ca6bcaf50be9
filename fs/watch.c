/* watch: directories whose changes are told by the cluster, and the names known of them. */
#include "fs/watch.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>
#include <xxhash.h>

#include "fs/inodes.h"
#include "shared/hash.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_watch.h"

struct known_name {
    UT_hash_handle hh;
    uint64_t ino; /* 0 = there is no such name */
    int64_t read_ns;
    uint64_t at;    /* the clock when this mount made or removed it; 0 = it was read */
    uint64_t given; /* the last epoch in which the kernel was given it for long; 0 = never */
    bool doubtful;  /* it has changed since: unknown */
    char text[];
};

void watches_init(struct watches *watches, struct inodes *inodes, const struct watcher *watcher) {
    *watches = (struct watches){.inodes = inodes, .watcher = watcher, .epoch = 1};
}

/* ---- what the kernel holds ---- */

/* What was given in this epoch is not good any more. */
static void take_back(struct watches *watches, uint64_t given) {
    if (given == watches->epoch && watches->kernel.names != NULL) {
        watches->epoch++;
        watches->kernel.names(watches->kernel.self);
    }
}

/* ---- names ---- */

static struct known_name *find_name(const struct watch *watch, const char *text) {
    struct known_name *name;
    HASH_FIND(hh, watch->names, text, strlen(text), name);
    return name;
}

static void drop_name(struct watches *watches, struct watch *watch, struct known_name *name) {
    HASH_DEL(watch->names, name);
    free(name);
    watch->n_names--;
    watches->n_names--;
}

static void drop_names(struct watches *watches, struct watch *watch) {
    struct known_name *name, *next;
    watch->complete = false;
    HASH_ITER(hh, watch->names, name, next) {
        drop_name(watches, watch, name);
    }
}

/* NULL when there is no room. */
static struct known_name *take_name(struct watches *watches, struct watch *watch,
                                    const char *text) {
    struct known_name *name = find_name(watch, text);
    if (name != NULL) {
        return name;
    }
    if (watch->n_names >= WATCH_NAMES_MAX || watches->n_names >= WATCH_NAMES_ALL_MAX) {
        watch->refused = ++watches->inodes->clock;
        return NULL;
    }
    size_t size = strlen(text);
    name = memory_new(1, sizeof *name + size + 1);
    memcpy(name->text, text, size + 1);
    HASH_ADD_KEYPTR(hh, watch->names, name->text, size, name);
    watch->n_names++;
    watches->n_names++;
    return name;
}

enum name_answer watch_find(const struct inode *directory, const char *text, int64_t since_ns,
                            uint64_t *ret_ino) {
    const struct watch *watch = directory->watch;
    if (watch == NULL || watch->since == 0 || namespace_conflict_name(text, NULL)) {
        return NAME_UNKNOWN;
    }
    const struct known_name *name = find_name(watch, text);
    if (name == NULL) {
        return watch->complete && watch->read_ns >= since_ns ? NAME_MISSING : NAME_UNKNOWN;
    }
    *ret_ino = name->ino;
    if (name->doubtful || name->read_ns < since_ns) {
        return NAME_UNKNOWN;
    }
    return name->ino == 0 ? NAME_MISSING : NAME_PRESENT;
}

bool watch_is_new(const struct inode *directory, const char *text, int64_t since_ns) {
    uint64_t ino;
    if (watch_find(directory, text, since_ns, &ino) != NAME_MISSING) {
        return false;
    }
    const struct known_name *name = find_name(directory->watch, text);
    return name == NULL || name->at == 0;
}

bool watch_names(const struct inode *directory, int64_t since_ns, struct watch_name *ret,
                 uint32_t max, uint32_t *ret_n) {
    const struct watch *watch = directory->watch;
    /* A change that was told may have left a version in conflict, which only a listing shows. */
    if (watch == NULL || watch->since == 0 || !watch->complete || watch->read_ns < since_ns ||
        watch->told > watch->listed || watch->conflict > watch->listed) {
        return false;
    }
    uint32_t n = 0;
    for (const struct known_name *name = watch->names; name != NULL; name = name->hh.next) {
        if (name->doubtful || name->read_ns < since_ns || (name->ino != 0 && n == max)) {
            return false;
        }
        if (name->ino != 0) {
            ret[n++] = (struct watch_name){name->text, name->ino};
        }
    }
    *ret_n = n;
    return true;
}

/* The last epoch in which the kernel was given the name for long, there or missing. */
static uint64_t given_of(const struct watch *watch, const char *text) {
    const struct known_name *name = find_name(watch, text);
    bool among_all = name == NULL || name->given == 0;
    return among_all ? watch->given_all : name->given;
}

void watch_doubt_name(struct watches *watches, struct inode *directory, const char *text) {
    struct watch *watch = directory->watch;
    if (watch == NULL) {
        return;
    }
    uint64_t given = given_of(watch, text);
    watch->doubted = ++watches->inodes->clock;
    struct known_name *name =
        watch->complete ? take_name(watches, watch, text) : find_name(watch, text);
    if (name != NULL) {
        name->doubtful = true;
    } else {
        watch->complete = false;
    }
    take_back(watches, given);
}

void watch_learn_name(struct watches *watches, struct inode *directory, const char *text,
                      uint64_t ino, uint64_t began, int64_t now_ns) {
    struct watch *watch = directory->watch;
    bool conflict = namespace_conflict_name(text, NULL);
    if (conflict && watch != NULL) {
        watch->conflict = ++watches->inodes->clock;
    }
    if (watch_covers(watch, text, began) == 0 || conflict) {
        return;
    }
    watch->n_misses += ino == 0 ? 1 : 0;
    struct known_name *name = take_name(watches, watch, text);
    if (name != NULL && name->at <= began) {
        name->ino = ino;
        name->read_ns = now_ns;
        name->doubtful = false;
    }
}

void watch_made_name(struct watches *watches, struct inode *directory, const char *text,
                     uint64_t ino, uint64_t began, int64_t now_ns) {
    struct watch *watch = directory->watch;
    if (watch == NULL) {
        return;
    }
    bool certain = watch_covers(watch, text, began) != 0;
    struct known_name *name = take_name(watches, watch, text);
    if (name == NULL) {
        watch->complete = watch->complete && ino == 0;
        return;
    }
    name->ino = ino;
    name->read_ns = now_ns;
    name->at = ++watches->inodes->clock;
    name->doubtful = !certain;
}

/* Whether nothing was told of late, as far as the last time this was asked shows. */
static bool is_quiet(struct watch *watch, int64_t now_ns) {
    if (watch->told != watch->told_seen) {
        watch->told_seen = watch->told;
        watch->quiet_ns = now_ns + WATCH_QUIET_NS;
    }
    return now_ns >= watch->quiet_ns;
}

bool watch_give_name(struct watches *watches, struct inode *directory, const char *text,
                     int64_t now_ns) {
    struct watch *watch = directory->watch;
    const struct kernel_notices *kernel = &watches->kernel;
    bool may = kernel->may_hold_names != NULL && watch != NULL && watch->since != 0;
    if (!may || !is_quiet(watch, now_ns) || !kernel->may_hold_names(kernel->self)) {
        return false;
    }
    struct known_name *name = find_name(watch, text);
    *(name != NULL ? &name->given : &watch->given_all) = watches->epoch;
    watch->given = watches->epoch;
    return true;
}

bool watch_holds_name(const struct watches *watches, const struct inode *directory,
                      const char *text) {
    const struct watch *watch = directory->watch;
    return watch != NULL && given_of(watch, text) == watches->epoch;
}

void watch_moved_name(struct watches *watches, struct inode *directory, const char *text) {
    struct watch *watch = directory->watch;
    struct known_name *name = watch != NULL ? find_name(watch, text) : NULL;
    if (name != NULL && watch->since != 0 && !name->doubtful) {
        name->given = watch->given = watches->epoch;
    } else {
        take_back(watches, watches->epoch); /* nobody would tell of it */
    }
}

void watch_asked(struct inode *directory) {
    if (directory->watch != NULL && directory->watch->since != 0) {
        directory->watch->n_asked++;
    }
}

/* Whether it is worth it to list what the directory has with its attributes. */
static bool wants_ahead(const struct inode *directory) {
    if (directory->known == NULL) {
        return false;
    }
    uint64_t n = directory->known->attributes.n_entries;
    return n <= WATCH_NAMES_MAX && directory->watch->n_asked >= WATCH_ASKED + n / WATCH_ASKED_PART;
}

bool watch_wants_names(const struct inode *directory, int64_t since_ns) {
    const struct watch *watch = directory->watch;
    if (watch == NULL || watch->since == 0 || watch->large ||
        (watch->complete && watch->read_ns >= since_ns)) {
        return false;
    }
    return watch->n_misses >= WATCH_MISSES || wants_ahead(directory);
}

bool watch_wants_records(const struct inode *directory) {
    const struct watch *watch = directory->watch;
    return watch != NULL && watch->since != 0 && !watch->large && wants_ahead(directory);
}

void watch_begin_listing(struct inode *directory) {
    directory->watch->n_misses = directory->watch->n_asked = 0;
}

void watch_listed(struct inode *directory, uint64_t began, bool all, int64_t now_ns) {
    struct watch *watch = directory->watch;
    if (watch == NULL) {
        return;
    }
    if (!all) {
        watch->large = true;
    } else if (watch_covers(watch, NULL, began) != 0 && watch->refused <= began) {
        watch->complete = true;
        watch->listed = began;
        watch->read_ns = now_ns;
    }
}

static uint32_t place_of(uint64_t after) {
    return (uint32_t)(XXH3_64bits(&after, sizeof after) % WATCH_PAGES_LEARNT);
}

bool watch_knows_page(const struct inode *directory, uint64_t after, uint64_t digest,
                      int64_t since_ns) {
    const struct watch *watch = directory->watch;
    if (watch == NULL) {
        return false;
    }
    const struct learnt_page *page = &watch->learnt[place_of(after)];
    return page->at != 0 && page->after == after && page->digest == digest &&
           page->read_ns >= since_ns && watch->since != 0 && watch->since <= page->at &&
           watch->told <= page->at && watch->doubted <= page->at && directory->changed <= page->at;
}

void watch_learnt_page(struct inode *directory, const struct learnt_page *page) {
    struct watch *watch = directory->watch;
    /* Not when one of them was not taken, or may come and go with another's row. */
    if (watch_covers(watch, NULL, page->at) != 0 && watch->refused <= page->at &&
        watch->conflict <= page->at) {
        watch->learnt[place_of(page->after)] = *page;
    }
}

bool watch_tells(const struct watch *watch, const char *text, uint64_t ino) {
    const struct known_name *name = watch != NULL ? find_name(watch, text) : NULL;
    return name != NULL && name->ino == ino;
}

/* ---- directories ---- */

static void each_partition(const struct watches *watches, const struct inode *directory,
                           bool begin) {
    uint32_t n = namespace_watch_partitions(&directory->directory);
    struct buffer key = {0};
    for (uint32_t i = 0; i < n; i++) {
        buffer_clear(&key);
        namespace_watch_key(&directory->directory, i, &key);
        if (begin) {
            watches->watcher->begin(watches->watcher->self, buffer_bytes(&key));
        } else {
            watches->watcher->end(watches->watcher->self, buffer_bytes(&key));
        }
    }
    buffer_release(&key);
}

/* The kernel may hold attributes for long that are good only while the directory is watched. */
static void doubt_attributes(struct watches *watches, const struct watch *watch) {
    struct known *known = watches->inodes->newest;
    for (; known != NULL && watch->n_covered > 0; known = known->older) {
        if (known->covered == watch->since && known->covered != 0) {
            inodes_uncover(watches->inodes, known);
        }
    }
}

static void become(struct watches *watches, struct watch *watch, bool live) {
    if (watch->since != 0) {
        doubt_attributes(watches, watch);
        drop_names(watches, watch);
    }
    watch->n_covered = 0;
    watch->since = live ? ++watches->inodes->clock : 0;
    take_back(watches, watch->given);
}

void watch_end(struct watches *watches, struct inode *directory) {
    struct watch *watch = directory->watch;
    if (watch == NULL) {
        return;
    }
    become(watches, watch, false);
    drop_names(watches, watch);
    each_partition(watches, directory, false);
    DL_DELETE2(watches->newest, watch, newer, older);
    directory->watch = NULL;
    watches->n--;
    free(watch);
}

/* Many at once: each may cost the kernel all names. */
static void end_oldest(struct watches *watches) {
    bool full = watches->n >= WATCH_DIRECTORIES_MAX;
    for (int i = 0; full && i < WATCH_ENDED_AT_ONCE; i++) {
        watch_end(watches, watches->newest->newer->inode); /* the list is a ring */
    }
}

void watch_use(struct watches *watches, struct inode *directory) {
    struct watch *watch = directory->watch;
    if (watches->watcher == NULL || directory->gone) {
        return;
    }
    if (watch == NULL) {
        end_oldest(watches);
        watch = memory_new(1, sizeof *watch);
        watch->inode = directory;
        directory->watch = watch;
        watches->n++;
        each_partition(watches, directory, true);
    } else {
        DL_DELETE2(watches->newest, watch, newer, older);
    }
    DL_PREPEND2(watches->newest, watch, newer, older);
}

void watch_live(struct watches *watches, const struct id128 *id, bool live) {
    struct inode *directory = inodes_directory(watches->inodes, id);
    struct watch *watch = directory != NULL ? directory->watch : NULL;
    if (watch == NULL) {
        return;
    }
    watch->n_live += live ? 1 : 0;
    watch->n_live -= live ? 0 : 1;
    bool all = watch->n_live == namespace_watch_partitions(id);
    if (all != (watch->since != 0)) {
        become(watches, watch, all);
    }
}

void watch_whole(struct watches *watches, const struct id128 *id, bool whole) {
    struct inode *directory = inodes_directory(watches->inodes, id);
    struct watch *watch = directory != NULL ? directory->watch : NULL;
    if (watch == NULL) {
        return;
    }
    watch->n_whole += whole ? 1 : 0;
    watch->n_whole -= whole ? 0 : 1;
    if (whole && watch->n_whole == namespace_watch_partitions(id) && watch->since != 0) {
        become(watches, watch, true); /* under a lease counts what was read from now on */
    }
}

bool watch_leased(const struct watches *watches, const struct inode *directory) {
    const struct watch *watch = directory != NULL ? directory->watch : NULL;
    uint32_t n = watch != NULL ? namespace_watch_partitions(&directory->directory) : 0;
    const struct watcher *watcher = watches->watcher;
    if (watch == NULL || watch->since == 0 || watch->n_whole != n || watcher->leased == NULL) {
        return false;
    }
    struct buffer key = {0};
    bool leased = true;
    for (uint32_t i = 0; i < n && leased; i++) {
        buffer_clear(&key);
        namespace_watch_key(&directory->directory, i, &key);
        leased = watcher->leased(watcher->self, buffer_bytes(&key));
    }
    buffer_release(&key);
    return leased;
}

static uint64_t hash_of(const char *text) {
    return XXH3_64bits(text, strlen(text));
}

static void note_told(struct watch *watch, const char *text) {
    watch->latest[watch->n_told++ % WATCH_TOLD_MAX] = (struct told){watch->told, hash_of(text)};
}

void watch_told(struct watches *watches, const struct id128 *id, const char *text) {
    struct inodes *inodes = watches->inodes;
    struct inode *directory = inodes_directory(inodes, id);
    struct watch *watch = directory != NULL ? directory->watch : NULL;
    watches->n_told++;
    if (watch == NULL) {
        return;
    }
    watch->told = ++inodes->clock;
    note_told(watch, text);
    if (directory->known != NULL) {
        inodes_uncover(inodes, directory->known);
    }
    const struct known_name *name = find_name(watch, text);
    struct inode *inode = name != NULL ? inodes_find(inodes, name->ino) : NULL;
    if (inode != NULL && inode->known != NULL && !inode->is_directory) {
        inodes_uncover(inodes, inode->known);
    }
    if (text[0] != '\0') {
        watch_doubt_name(watches, directory, text);
    }
}

void watch_forget(struct watches *watches, struct inode *directory) {
    struct watch *watch = directory->watch;
    if (watch != NULL) {
        become(watches, watch, watch->since != 0);
        drop_names(watches, watch);
        watch->told = ++watches->inodes->clock;
    }
}

void watch_forget_all(struct watches *watches) {
    const struct kernel_notices *kernel = &watches->kernel;
    for (struct known *known = watches->inodes->newest; known != NULL; known = known->older) {
        if (known->covered == 0 && kernel->attributes != NULL) {
            kernel->attributes(kernel->self, known->inode->ino);
        }
        inodes_uncover(watches->inodes, known);
    }
    for (struct watch *watch = watches->newest; watch != NULL; watch = watch->older) {
        watch_forget(watches, watch->inode);
    }
}

/* Whether a change of the name was told after `began`, as far as is remembered. */
static bool told_since(const struct watch *watch, const char *text, uint64_t began) {
    uint64_t hash = hash_of(text);
    for (uint32_t i = 0; i < WATCH_TOLD_MAX; i++) {
        if (i == watch->n_told) {
            return false;
        }
        const struct told *told = &watch->latest[(watch->n_told - 1 - i) % WATCH_TOLD_MAX];
        if (told->at <= began) {
            return false;
        }
        if (told->name_hash == hash) {
            return true;
        }
    }
    return true;
}

uint64_t watch_covers(const struct watch *watch, const char *name, uint64_t began) {
    if (watch == NULL || watch->since == 0 || watch->since > began) {
        return 0;
    }
    bool overtaken = watch->told > began && (name == NULL || told_since(watch, name, began));
    return overtaken ? 0 : watch->since;
}
