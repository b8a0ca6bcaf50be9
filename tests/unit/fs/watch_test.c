/* watch: what is answered from memory, and what makes it be asked for again. */
#include "fs/watch.h"

#include <stdio.h>

#include "fs/attributes.h"
#include "fs/directory.h"
#include "shared/namespace_watch.h"
#include "tests/unit/fs/world.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

/* Mount `a` is told of changes when a test says so; mount `b` is the other one that makes them. */
static uint32_t n_begun, n_ended, n_noticed, n_taken_back;
static bool may_hold, leased;

static int fake_begin(void *self, struct bytes partition_key) {
    (void)self, (void)partition_key;
    n_begun++;
    return 0;
}

static void fake_end(void *self, struct bytes partition_key) {
    (void)self, (void)partition_key;
    n_ended++;
}

static void fake_attributes(void *self, uint64_t ino) {
    (void)self, (void)ino;
    n_noticed++;
}

static bool fake_may_hold(void *self) {
    (void)self;
    return may_hold;
}

static void fake_names(void *self) {
    (void)self;
    n_taken_back++;
}

static bool fake_leased(void *self, struct bytes partition_key) {
    (void)self, (void)partition_key;
    return leased;
}

static const struct watcher fake = {NULL, fake_begin, fake_end, fake_leased};

static struct watches *watches_of(struct mount *mount) {
    return &mount->inodes.watches;
}

static void tell_live(struct mount *mount, const struct id128 *directory, bool live) {
    uint32_t n = namespace_watch_partitions(directory);
    for (uint32_t i = 0; i < n; i++) {
        watch_live(watches_of(mount), directory, live);
    }
}

/* Makes the root of `a` watched and live. */
static void watch_root(struct world *w) {
    n_begun = n_ended = n_noticed = n_taken_back = 0;
    may_hold = true;
    leased = false;
    w->a.config.watched_ns = 60 * SECOND_NS;
    w->a.config.names_ns = 10 * SECOND_NS;
    watches_of(&w->a)->watcher = &fake;
    watches_of(&w->a)->kernel =
        (struct kernel_notices){NULL, fake_attributes, fake_may_hold, fake_names};
    watch_use(watches_of(&w->a), w->a.inodes.root);
    assert_int_equal(n_begun, namespace_watch_partitions(&namespace_root));
    tell_live(&w->a, &namespace_root, true);
}

static void root_is_whole(struct world *w) {
    for (uint32_t i = 0; i < namespace_watch_partitions(&namespace_root); i++) {
        watch_whole(watches_of(&w->a), &namespace_root, true);
    }
}

static void told(struct world *w, const char *name) {
    watch_told(watches_of(&w->a), &namespace_root, name);
}

static int look_up(struct mount *mount, const char *name, struct stat *ret) {
    return tree_lookup(mount, ROOT, name, ret);
}

static void make(struct mount *mount, const char *name) {
    close_handle(create(mount, name));
}

static void set_mode(struct mount *mount, const char *name, uint32_t mode) {
    struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = mode};
    struct stat stat;
    assert_int_equal(attributes_set(mount, ino_of(mount, name), &change, &stat), 0);
}

static uint32_t mode_of(struct mount *mount, const char *name) {
    struct stat stat;
    assert_int_equal(look_up(mount, name, &stat), 0);
    return stat.st_mode & 07777;
}

IN_WORLD(attributes_are_kept_until_a_change_is_told) {
    watch_root(w);
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    uint64_t ino = ino_of(&w->a, "f");
    set_mode(&w->b, "f", 0600);
    task_sleep(30 * SECOND_NS);
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    assert_true(attributes_left_ns(&w->a, ino) > 20 * SECOND_NS);
    told(w, "other");
    assert_int_equal(n_noticed, 0);
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    told(w, "f");
    assert_int_equal(n_noticed, 1);
    assert_int_equal(mode_of(&w->a, "f"), 0600);
}

IN_WORLD(what_was_read_before_the_watch_was_live_is_not_kept) {
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    watch_root(w);
    set_mode(&w->b, "f", 0600);
    task_sleep(2 * SECOND_NS);
    assert_int_equal(mode_of(&w->a, "f"), 0600);
}

IN_WORLD(when_the_watch_ends_nothing_is_kept) {
    watch_root(w);
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    set_mode(&w->b, "f", 0600);
    watch_live(watches_of(&w->a), &namespace_root, false); /* one of its partitions */
    assert_int_equal(n_noticed, 1);
    assert_int_equal(mode_of(&w->a, "f"), 0600);
}

IN_WORLD(a_minute_is_the_longest_that_anything_is_believed) {
    struct stat stat;
    watch_root(w);
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    assert_int_equal(look_up(&w->a, "g", &stat), ERR_NO_ENTRY);
    set_mode(&w->b, "f", 0600);
    make(&w->b, "g");
    task_sleep(61 * SECOND_NS);
    assert_int_equal(mode_of(&w->a, "f"), 0600);
    assert_int_equal(look_up(&w->a, "g", &stat), 0);
}

IN_WORLD(names_are_missing_until_one_is_told) {
    struct stat stat;
    watch_root(w);
    make(&w->b, "there");
    assert_int_equal(look_up(&w->a, "x", &stat), ERR_NO_ENTRY);
    assert_int_equal(look_up(&w->a, "y", &stat), ERR_NO_ENTRY); /* all names are asked for */
    assert_true(w->a.inodes.root->watch->complete);
    make(&w->b, "new");
    assert_int_equal(look_up(&w->a, "new", &stat), ERR_NO_ENTRY);
    told(w, "new");
    assert_int_equal(look_up(&w->a, "new", &stat), 0);
    assert_int_equal(look_up(&w->a, "there", &stat), 0);
    assert_int_equal(tree_unlink(&w->b, ROOT, "there"), 0);
    assert_int_equal(look_up(&w->a, "there", &stat), 0);
    told(w, "there");
    assert_int_equal(look_up(&w->a, "there", &stat), ERR_NO_ENTRY);
}

IN_WORLD(own_changes_are_known_at_once) {
    struct stat stat;
    watch_root(w);
    assert_int_equal(look_up(&w->a, "x", &stat), ERR_NO_ENTRY);
    assert_int_equal(look_up(&w->a, "y", &stat), ERR_NO_ENTRY);
    make(&w->a, "x");
    assert_int_equal(look_up(&w->a, "x", &stat), 0);
    assert_int_equal(tree_rename(&w->a, ROOT, "x", ROOT, "y", 0), 0);
    assert_int_equal(look_up(&w->a, "x", &stat), ERR_NO_ENTRY);
    assert_int_equal(look_up(&w->a, "y", &stat), 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "y"), 0);
    assert_int_equal(look_up(&w->a, "y", &stat), ERR_NO_ENTRY);
    make(&w->b, "y"); /* not told yet: O_EXCL finds out, and then everybody knows */
    struct handle *handle;
    assert_int_equal(tree_create(&w->a, ROOT, "y", &maker_file, &stat, &handle), ERR_EXISTS);
    assert_int_equal(look_up(&w->a, "y", &stat), 0);
}

IN_WORLD(what_changes_while_it_is_read_is_good_for_one_answer) {
    watch_root(w);
    make(&w->b, "f");
    uint64_t ino = ino_of(&w->a, "f");
    struct inode *inode = inodes_find(&w->a.inodes, ino);
    uint64_t began = inodes_clock(&w->a.inodes);
    told(w, "f"); /* while the reading is under way */
    struct entry entry;
    entry_copy(&inode->known->entry, &entry);
    assert_true(inodes_learn(&w->a.inodes, inode, &entry, began, mount_now_ns(&w->a)));
    entry_release(&entry);
    assert_false(inodes_is_covered(&w->a.inodes, inode));
    assert_int_equal(attributes_left_ns(&w->a, ino), 0);
    began = inodes_clock(&w->a.inodes);
    told(w, "another");
    entry_copy(&inode->known->entry, &entry);
    assert_true(inodes_learn(&w->a.inodes, inode, &entry, began, mount_now_ns(&w->a)));
    entry_release(&entry);
    assert_true(inodes_is_covered(&w->a.inodes, inode));
}

IN_WORLD(an_entry_known_to_be_old_is_unlinked_all_the_same) {
    struct stat stat;
    watch_root(w);
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    set_mode(&w->b, "f", 0600); /* and not told */
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    assert_int_equal(look_up(&w->b, "f", &stat), ERR_NO_ENTRY);
}

IN_WORLD(what_is_known_costs_nothing_to_look_up_and_one_call_to_remove) {
    struct stat stat;
    watch_root(w);
    assert_int_equal(look_up(&w->a, "x", &stat), ERR_NO_ENTRY);
    assert_int_equal(look_up(&w->a, "y", &stat), ERR_NO_ENTRY);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    uint64_t before = store_mem_calls(w->mem);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(look_up(&w->a, "z", &stat), ERR_NO_ENTRY);
    }
    assert_int_equal(store_mem_calls(w->mem) - before, 0);
    make(&w->a, "z");
    assert_int_equal(store_mem_calls(w->mem) - before, 1);
    assert_int_equal(look_up(&w->a, "z", &stat), 0);
    assert_int_equal(store_mem_calls(w->mem) - before, 1);
    assert_int_equal(tree_unlink(&w->a, ROOT, "z"), 0);
    assert_int_equal(store_mem_calls(w->mem) - before, 2);
}

IN_WORLD(a_name_that_was_removed_here_is_missing_without_asking) {
    struct stat stat;
    watch_root(w);
    make(&w->a, "f");
    assert_int_equal(look_up(&w->a, "f", &stat), 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(look_up(&w->a, "f", &stat), ERR_NO_ENTRY);
    assert_int_equal(store_mem_calls(w->mem), before);
    assert_int_equal(n_noticed, 0); /* the kernel knows */
    inodes_forget(&w->a.inodes, stat.st_ino, 3);
    assert_int_equal(n_noticed, 0);
}

static uint64_t directory_of(struct world *w) {
    struct stat stat;
    struct maker maker = {.mode = S_IFDIR | 0755};
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker, &stat), 0);
    struct inode *inode = inodes_find(&w->a.inodes, stat.st_ino);
    watch_use(watches_of(&w->a), inode);
    tell_live(&w->a, &inode->directory, true);
    return stat.st_ino;
}

static void make_in(struct mount *mount, uint64_t directory, const char *name) {
    struct stat stat;
    struct handle *handle;
    assert_int_equal(tree_create(mount, directory, name, &maker_file, &stat, &handle), 0);
    close_handle(handle);
}

IN_WORLD(known_names_are_renamed_in_one_call) {
    struct stat stat, before, after;
    watch_root(w);
    uint64_t d = directory_of(w);
    make_in(&w->a, d, "f");
    assert_int_equal(tree_lookup(&w->a, d, "g", &stat), ERR_NO_ENTRY);
    assert_int_equal(attributes_get(&w->a, d, &before), 0);
    uint64_t calls = store_mem_calls(w->mem);
    assert_int_equal(tree_rename(&w->a, d, "f", d, "g", 0), 0);
    assert_int_equal(store_mem_calls(w->mem), calls + 1);
    assert_int_equal(tree_lookup(&w->a, d, "g", &stat), 0);
    assert_int_equal(tree_lookup(&w->a, d, "f", &stat), ERR_NO_ENTRY);
    assert_int_equal(attributes_get(&w->a, d, &after), 0);
    assert_int_equal(store_mem_calls(w->mem), calls + 1);
    assert_int_equal(after.st_size, before.st_size);
    make_in(&w->a, d, "h");
    calls = store_mem_calls(w->mem);
    assert_int_equal(tree_rename(&w->a, d, "h", d, "g", 0), 0);
    assert_int_equal(store_mem_calls(w->mem), calls + 1);
    assert_int_equal(attributes_get(&w->a, d, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
}

IN_WORLD(what_is_known_and_old_is_renamed_as_it_is) {
    struct stat stat;
    watch_root(w);
    uint64_t d = directory_of(w);
    make_in(&w->a, d, "f");
    assert_int_equal(tree_lookup(&w->a, d, "g", &stat), ERR_NO_ENTRY);
    uint64_t there;
    assert_int_equal(tree_lookup(&w->b, ROOT, "d", &stat), 0);
    there = stat.st_ino;
    make_in(&w->b, there, "g"); /* and nobody is told */
    assert_int_equal(tree_rename(&w->a, d, "f", d, "g", RENAME_NOREPLACE), ERR_EXISTS);
    assert_int_equal(tree_rename(&w->a, d, "f", d, "g", 0), 0);
    assert_int_equal(tree_lookup(&w->b, there, "f", &stat), ERR_NO_ENTRY);
    assert_int_equal(tree_lookup(&w->a, d, "g", &stat), 0);
    assert_int_equal(tree_unlink(&w->b, there, "g"), 0);
    assert_int_equal(tree_rename(&w->a, d, "g", d, "f", 0), ERR_NO_ENTRY);
}

/* Makes f0, f1, ... on the other mount. */
static void make_some(struct world *w, int n) {
    char name[16];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%d", i);
        make(&w->b, name);
    }
}

IN_WORLD(a_directory_that_is_asked_for_name_by_name_is_listed_once) {
    char name[16];
    struct stat stat;
    make_some(w, 50);
    watch_root(w);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    for (int i = 0; i < WATCH_ASKED; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(look_up(&w->a, name, &stat), 0);
    }
    uint64_t before = store_mem_calls(w->mem);
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(look_up(&w->a, name, &stat), 0);
        assert_true(attributes_left_ns(&w->a, stat.st_ino) > 20 * SECOND_NS);
    }
    assert_int_equal(look_up(&w->a, "none", &stat), ERR_NO_ENTRY);
    assert_int_equal(store_mem_calls(w->mem) - before, 0);
    inodes_check(&w->a.inodes);
}

IN_WORLD(what_was_read_ahead_is_not_believed_after_a_change_was_told) {
    struct stat stat;
    char name[16];
    make_some(w, 50);
    watch_root(w);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    for (int i = 0; i < WATCH_ASKED; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(look_up(&w->a, name, &stat), 0);
    }
    set_mode(&w->b, "f40", 0600);
    told(w, "f40");
    assert_int_equal(mode_of(&w->a, "f40"), 0600);
    assert_int_equal(tree_unlink(&w->b, ROOT, "f41"), 0);
    told(w, "f41");
    assert_int_equal(look_up(&w->a, "f41", &stat), ERR_NO_ENTRY);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f42"), 0); /* never looked up by the kernel */
    assert_int_equal(look_up(&w->a, "f42", &stat), ERR_NO_ENTRY);
}

IN_WORLD(a_few_names_of_many_do_not_list_the_directory) {
    struct stat stat;
    make_some(w, 70);
    watch_root(w);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    for (int i = 0; i < WATCH_ASKED; i++) {
        assert_int_equal(look_up(&w->a, "f1", &stat), 0);
        told(w, "f1");
    }
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(look_up(&w->a, "f2", &stat), 0); /* the fifth: one and a 64th of 70 */
    assert_true(store_mem_calls(w->mem) - before > 1);
    assert_true(w->a.inodes.root->watch->complete);
}

IN_WORLD(openings_ask_unless_they_are_told_not_to) {
    watch_root(w);
    struct handle *handle = create(&w->b, "f");
    put(handle, 0, "old");
    close_handle(handle);
    assert_holds(&w->a, "f", "old");
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "new");
    close_handle(handle);
    w->a.config.believes_at_open = true;
    assert_holds(&w->a, "f", "old");
    w->a.config.believes_at_open = false;
    assert_holds(&w->a, "f", "new");
}

IN_WORLD(openings_ask_nobody_while_leases_run_and_what_was_read_since_they_do) {
    watch_root(w);
    struct handle *handle = create(&w->b, "f");
    put(handle, 0, "old");
    close_handle(handle);
    assert_holds(&w->a, "f", "old");
    leased = true; /* but not at all replicas */
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "new");
    close_handle(handle);
    assert_holds(&w->a, "f", "new");
    root_is_whole(w);
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "one");
    close_handle(handle);
    assert_holds(&w->a, "f", "one"); /* what was read before does not count */
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "two");
    close_handle(handle);
    assert_holds(&w->a, "f", "one"); /* nothing was told: the test makes it so */
    told(w, "f");
    assert_holds(&w->a, "f", "two");
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "end");
    close_handle(handle);
    leased = false;
    assert_holds(&w->a, "f", "end");
}

/* As a program that writes a log and opens it each time. */
static uint64_t cost_of_append(struct world *w, struct mount *mount, char letter) {
    uint8_t line[4096];
    memset(line, letter, sizeof line);
    uint64_t before = store_mem_calls(w->mem);
    struct handle *handle = open_flags(mount, "log", O_WRONLY | O_APPEND);
    assert_int_equal(handle_write(handle, 0, bytes_of(line, sizeof line)), 0);
    close_handle(handle);
    return store_mem_calls(w->mem) - before;
}

IN_WORLD(a_tail_moves_into_its_block_without_being_read_again_while_leases_run) {
    watch_root(w);
    leased = true;
    root_is_whole(w);
    make(&w->a, "log");
    for (int i = 0; i < 4; i++) {
        cost_of_append(w, &w->a, 'a');
    }
    assert_int_equal(cost_of_append(w, &w->a, 'a'), 2); /* the block, the record */
    cost_of_append(w, &w->b, 'b');
    told(w, "log");
    assert_int_equal(cost_of_append(w, &w->a, 'a'), 3);
    leased = false;
    assert_int_equal(cost_of_append(w, &w->a, 'a'), 4);
    uint8_t read[9 * 4096];
    size_t size;
    struct handle *handle = open_flags(&w->b, "log", O_RDONLY);
    assert_int_equal(handle_read(handle, 0, read, sizeof read, &size), 0);
    assert_int_equal(size, 8 * 4096);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(read[i], i / 4096 == 5 ? 'b' : 'a');
    }
    close_handle(handle);
}

/* What a listing gave out: names and modes, three entries a call, as small buffers of the kernel.
 */
struct shown_names {
    char text[2048];
    uint32_t n;
    uint64_t last;
};

static bool take_three(void *context, const char *name, const struct stat *stat, uint64_t next) {
    struct shown_names *shown = context;
    if (shown->n == 3) {
        return false;
    }
    mode_t mode = stat->st_nlink > 0 ? stat->st_mode : stat->st_mode & S_IFMT; /* of a name only */
    size_t used = strlen(shown->text);
    snprintf(shown->text + used, sizeof shown->text - used, "%s %o %d\n", name, mode,
             (int)stat->st_nlink);
    shown->n++;
    shown->last = next;
    return true;
}

static void list_root(struct world *w, bool attributes, struct shown_names *ret) {
    struct directory_handle *handle;
    struct listener listener = {take_three, ret, attributes};
    *ret = (struct shown_names){.n = 3};
    assert_int_equal(directory_open(&w->a, ROOT, &handle), 0);
    while (ret->n == 3) {
        ret->n = 0;
        assert_int_equal(directory_read(&w->a, handle, ret->last, &listener), 0);
    }
    directory_release(&w->a, handle);
}

IN_WORLD(a_listing_asks_nobody_while_leases_run_and_is_the_same) {
    struct stat stat;
    struct maker maker = {.mode = S_IFDIR | 0755};
    static struct shown_names read, remembered, names;
    watch_root(w);
    root_is_whole(w);
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", i);
        make(&w->b, name);
    }
    assert_int_equal(tree_mkdir(&w->b, ROOT, "d", &maker, &stat), 0);
    assert_int_equal(look_up(&w->a, "d", &stat), 0);
    list_root(w, true, &read);
    leased = true;
    make(&w->b, "g"); /* nothing is told of it: the test makes it so */
    list_root(w, true, &remembered);
    assert_string_equal(read.text, remembered.text);
    list_root(w, false, &names);
    assert_non_null(strstr(names.text, "\nf19 "));
    assert_null(strstr(names.text, "\ng "));
    told(w, "g");
    list_root(w, true, &remembered);
    assert_non_null(strstr(remembered.text, "\ng "));
    assert_int_equal(tree_unlink(&w->a, ROOT, "f7"), 0); /* its own changes need no telling */
    make(&w->a, "h");
    make(&w->b, "i");
    list_root(w, true, &remembered);
    assert_null(strstr(remembered.text, "\nf7 "));
    assert_non_null(strstr(remembered.text, "\nh "));
    assert_null(strstr(remembered.text, "\ni "));
    leased = false;
    list_root(w, true, &remembered);
    assert_non_null(strstr(remembered.text, "\ni "));
}

/* When the names of the root were last learnt from a listing. */
static int64_t learnt_ns(struct world *w, bool attributes) {
    static struct shown_names shown;
    list_root(w, attributes, &shown);
    const struct learnt_page *pages = w->a.inodes.root->watch->learnt;
    int64_t read_ns = 0;
    for (int i = 0; i < WATCH_PAGES_LEARNT; i++) {
        read_ns = pages[i].at != 0 ? pages[i].read_ns : read_ns;
    }
    return read_ns;
}

IN_WORLD(a_page_that_is_as_it_was_is_not_learnt_again_until_something_changes_or_half_a_minute) {
    struct stat stat;
    make(&w->b, "f");
    watch_root(w);
    int64_t first = learnt_ns(w, false);
    assert_int_equal(first, mount_now_ns(&w->a));
    task_sleep(10 * SECOND_NS);
    assert_int_equal(learnt_ns(w, false), first);
    make(&w->b, "g"); /* and nobody has told of it yet */
    int64_t second = learnt_ns(w, false);
    assert_true(second > first);
    assert_int_equal(look_up(&w->a, "g", &stat), 0);
    task_sleep(SECOND_NS);
    assert_int_equal(learnt_ns(w, false), second);
    told(w, "h");
    int64_t third = learnt_ns(w, false);
    assert_true(third > second);
    task_sleep(SECOND_NS);
    make(&w->a, "i");
    assert_int_equal(tree_unlink(&w->a, ROOT, "i"), 0);
    int64_t fourth = learnt_ns(w, false);
    assert_true(fourth > third);
    task_sleep(31 * SECOND_NS);
    assert_true(learnt_ns(w, false) > fourth);
}

static uint64_t calls_of_link(struct world *w, uint64_t d, const char *name, const char *to) {
    struct stat file, made;
    assert_int_equal(tree_lookup(&w->a, d, name, &file), 0);
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(tree_link(&w->a, file.st_ino, d, to, &made), 0);
    return store_mem_calls(w->mem) - before;
}

IN_WORLD(a_link_to_a_name_that_was_removed_here_reads_it_and_to_a_new_one_does_not) {
    struct stat stat;
    watch_root(w);
    uint64_t d = directory_of(w);
    make_in(&w->a, d, "f");
    assert_int_equal(tree_lookup(&w->a, d, "lock", &stat), ERR_NO_ENTRY);
    assert_int_equal(calls_of_link(w, d, "f", "lock"), 3); /* with the file's own row */
    assert_int_equal(tree_unlink(&w->a, d, "lock"), 0);
    assert_int_equal(calls_of_link(w, d, "f", "lock"), 3); /* with a reading */
    assert_int_equal(tree_lookup(&w->a, d, "other", &stat), ERR_NO_ENTRY);
    assert_int_equal(calls_of_link(w, d, "f", "other"), 2);
}

IN_WORLD(a_forgotten_directory_is_not_watched_any_more) {
    struct stat stat;
    struct maker maker = {.mode = S_IFDIR | 0755};
    watch_root(w);
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker, &stat), 0);
    uint32_t before = n_begun;
    struct stat none;
    assert_int_equal(tree_lookup(&w->a, stat.st_ino, "none", &none), ERR_NO_ENTRY);
    assert_int_equal(n_begun, before + 1);
    assert_int_equal(n_ended, 0);
    inodes_forget(&w->a.inodes, stat.st_ino, 1);
    assert_int_equal(n_ended, 1);
}

IN_WORLD(what_the_kernel_has_forgotten_is_answered_without_asking) {
    struct stat stat, again;
    struct handle *handle;
    struct cache_advice advice;
    watch_root(w);
    uint64_t d = directory_of(w);
    make_in(&w->a, d, "f");
    assert_int_equal(tree_lookup(&w->a, d, "f", &stat), 0);
    w->a.config.believes_at_open = true;
    uint64_t before = store_mem_calls(w->mem);
    inodes_forget(&w->a.inodes, stat.st_ino, 100);
    inodes_forget(&w->a.inodes, d, 100);
    inodes_check(&w->a.inodes);
    assert_int_equal(look_up(&w->a, "d", &again), 0);
    assert_int_equal(again.st_ino, d);
    assert_int_equal(tree_lookup(&w->a, d, "f", &again), 0);
    assert_int_equal(again.st_ino, stat.st_ino);
    assert_int_equal(handle_open(&w->a, again.st_ino, O_RDONLY, &handle, &advice), 0);
    assert_false(advice.keep); /* the pages went with it */
    handle_release(handle);
    assert_int_equal(store_mem_calls(w->mem), before);
    assert_int_equal(n_ended, 0);
}

IN_WORLD(what_the_kernel_has_forgotten_and_others_have_changed_is_read_again) {
    struct stat stat;
    watch_root(w);
    make(&w->a, "f");
    assert_int_equal(look_up(&w->a, "f", &stat), 0);
    inodes_forget(&w->a.inodes, stat.st_ino, 100);
    set_mode(&w->b, "f", 0600);
    told(w, "f");
    assert_int_equal(look_up(&w->a, "f", &stat), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
    inodes_check(&w->a.inodes);
}

IN_WORLD(a_directory_that_was_removed_is_not_kept_when_it_is_forgotten) {
    watch_root(w);
    uint64_t d = directory_of(w);
    assert_int_equal(tree_rmdir(&w->a, ROOT, "d"), 0);
    inodes_forget(&w->a.inodes, d, 100);
    assert_null(inodes_find(&w->a.inodes, d));
    assert_int_equal(n_ended, 1);
}

IN_WORLD(forgetting_all_reads_everything_anew) {
    struct stat stat;
    watch_root(w);
    make(&w->b, "f");
    assert_int_equal(mode_of(&w->a, "f"), 0644);
    assert_int_equal(look_up(&w->a, "x", &stat), ERR_NO_ENTRY);
    set_mode(&w->b, "f", 0600);
    make(&w->b, "x");
    watch_forget_all(watches_of(&w->a));
    assert_int_equal(mode_of(&w->a, "f"), 0600);
    assert_int_equal(look_up(&w->a, "x", &stat), 0);
}

/* For how long the kernel is given what is looked up now. */
static int64_t given_ns(struct world *w, const char *name) {
    struct stat stat = {0};
    int status = look_up(&w->a, name, &stat);
    assert_true(status == 0 || status == ERR_NO_ENTRY);
    return attributes_name_ns(&w->a, ROOT, name, status == 0 ? stat.st_ino : 0);
}

IN_WORLD(the_kernel_holds_names_until_a_change_of_one_of_them_is_told) {
    watch_root(w);
    make(&w->b, "f");
    make(&w->b, "g");
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    told(w, "g"); /* which it was not given */
    assert_int_equal(n_taken_back, 0);
    told(w, "f");
    assert_int_equal(n_taken_back, 1);
    told(w, "f"); /* which it does not hold any more */
    assert_int_equal(n_taken_back, 1);
}

IN_WORLD(where_changes_are_told_names_are_not_held_for_long_until_it_is_quiet) {
    watch_root(w);
    make(&w->b, "f");
    told(w, "other");
    assert_true(given_ns(w, "f") == ATTRIBUTES_NAME_WATCHED_NS);
    task_sleep(9 * SECOND_NS);
    assert_true(given_ns(w, "f") == ATTRIBUTES_NAME_WATCHED_NS);
    task_sleep(2 * SECOND_NS);
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
}

IN_WORLD(names_that_are_missing_are_held_and_taken_back_too) {
    watch_root(w);
    assert_true(given_ns(w, "x") == 10 * SECOND_NS);
    assert_true(given_ns(w, "y") == 10 * SECOND_NS); /* now all names are known */
    assert_true(given_ns(w, "z") == 10 * SECOND_NS);
    make(&w->b, "z");
    told(w, "z");
    assert_int_equal(n_taken_back, 1);
    struct stat stat;
    assert_int_equal(look_up(&w->a, "z", &stat), 0);
}

IN_WORLD(when_nothing_is_told_any_more_names_are_taken_back) {
    watch_root(w);
    make(&w->b, "f");
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    watch_live(watches_of(&w->a), &namespace_root, false);
    assert_int_equal(n_taken_back, 1);
    assert_true(given_ns(w, "f") == SECOND_NS);
    watch_live(watches_of(&w->a), &namespace_root, true);
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    watch_forget_all(watches_of(&w->a));
    assert_int_equal(n_taken_back, 2);
}

IN_WORLD(a_renamed_file_is_held_under_its_new_name) {
    watch_root(w);
    make(&w->b, "f");
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    assert_int_equal(tree_rename(&w->a, ROOT, "f", ROOT, "g", 0), 0);
    assert_int_equal(n_taken_back, 0);
    told(w, "g");
    assert_int_equal(n_taken_back, 1);
}

IN_WORLD(a_file_that_moves_to_where_nobody_watches_is_taken_back) {
    watch_root(w);
    struct stat d;
    make(&w->b, "f");
    assert_int_equal(tree_mkdir(&w->b, ROOT, "d", &maker_file, &d), 0);
    assert_int_equal(look_up(&w->a, "d", &d), 0);
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    assert_int_equal(tree_rename(&w->a, ROOT, "f", d.st_ino, "f", 0), 0);
    assert_int_equal(n_taken_back, 1);
}

IN_WORLD(a_name_whose_change_came_while_it_was_read_is_not_held_for_long) {
    watch_root(w);
    make(&w->b, "f");
    assert_true(given_ns(w, "f") == 10 * SECOND_NS);
    watch_doubt_name(watches_of(&w->a), w->a.inodes.root, "f");
    assert_int_equal(n_taken_back, 1);
    uint64_t ino = ino_of(&w->b, "f");
    assert_true(attributes_name_ns(&w->a, ROOT, "f", ino) == ATTRIBUTES_NAME_WATCHED_NS);
    assert_true(attributes_name_ns(&w->a, ROOT, "f", 0) == ATTRIBUTES_NAME_WATCHED_NS);
}

IN_WORLD(names_are_held_only_while_they_can_be_taken_back) {
    watch_root(w);
    make(&w->b, "f");
    may_hold = false;
    assert_true(given_ns(w, "f") == ATTRIBUTES_NAME_WATCHED_NS);
    told(w, "f");
    assert_int_equal(n_taken_back, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes_are_kept_until_a_change_is_told),
        cmocka_unit_test(what_was_read_before_the_watch_was_live_is_not_kept),
        cmocka_unit_test(when_the_watch_ends_nothing_is_kept),
        cmocka_unit_test(a_minute_is_the_longest_that_anything_is_believed),
        cmocka_unit_test(names_are_missing_until_one_is_told),
        cmocka_unit_test(own_changes_are_known_at_once),
        cmocka_unit_test(what_changes_while_it_is_read_is_good_for_one_answer),
        cmocka_unit_test(an_entry_known_to_be_old_is_unlinked_all_the_same),
        cmocka_unit_test(what_is_known_costs_nothing_to_look_up_and_one_call_to_remove),
        cmocka_unit_test(a_name_that_was_removed_here_is_missing_without_asking),
        cmocka_unit_test(known_names_are_renamed_in_one_call),
        cmocka_unit_test(what_is_known_and_old_is_renamed_as_it_is),
        cmocka_unit_test(a_directory_that_is_asked_for_name_by_name_is_listed_once),
        cmocka_unit_test(what_was_read_ahead_is_not_believed_after_a_change_was_told),
        cmocka_unit_test(a_few_names_of_many_do_not_list_the_directory),
        cmocka_unit_test(openings_ask_unless_they_are_told_not_to),
        cmocka_unit_test(a_listing_asks_nobody_while_leases_run_and_is_the_same),
        cmocka_unit_test(
            a_page_that_is_as_it_was_is_not_learnt_again_until_something_changes_or_half_a_minute),
        cmocka_unit_test(openings_ask_nobody_while_leases_run_and_what_was_read_since_they_do),
        cmocka_unit_test(a_tail_moves_into_its_block_without_being_read_again_while_leases_run),
        cmocka_unit_test(a_link_to_a_name_that_was_removed_here_reads_it_and_to_a_new_one_does_not),
        cmocka_unit_test(a_forgotten_directory_is_not_watched_any_more),
        cmocka_unit_test(what_the_kernel_has_forgotten_is_answered_without_asking),
        cmocka_unit_test(what_the_kernel_has_forgotten_and_others_have_changed_is_read_again),
        cmocka_unit_test(a_directory_that_was_removed_is_not_kept_when_it_is_forgotten),
        cmocka_unit_test(forgetting_all_reads_everything_anew),
        cmocka_unit_test(the_kernel_holds_names_until_a_change_of_one_of_them_is_told),
        cmocka_unit_test(where_changes_are_told_names_are_not_held_for_long_until_it_is_quiet),
        cmocka_unit_test(names_that_are_missing_are_held_and_taken_back_too),
        cmocka_unit_test(when_nothing_is_told_any_more_names_are_taken_back),
        cmocka_unit_test(a_renamed_file_is_held_under_its_new_name),
        cmocka_unit_test(a_file_that_moves_to_where_nobody_watches_is_taken_back),
        cmocka_unit_test(a_name_whose_change_came_while_it_was_read_is_not_held_for_long),
        cmocka_unit_test(names_are_held_only_while_they_can_be_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
