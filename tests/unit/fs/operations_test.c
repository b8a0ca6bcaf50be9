/* operations on names, attributes and listings, by two mounts. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/fs/world.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#endif

static uint64_t make_directory(struct mount *mount, uint64_t parent, const char *name) {
    struct maker maker = {.mode = 0755, .uid = 3, .gid = 4};
    struct stat stat;
    assert_int_equal(tree_mkdir(mount, parent, name, &maker, &stat), 0);
    assert_true(S_ISDIR(stat.st_mode));
    return stat.st_ino;
}

static void make_file(struct mount *mount, const char *name, const char *text) {
    struct handle *handle = create(mount, name);
    put(handle, 0, text);
    close_handle(handle);
}

/* ---- names ---- */

IN_WORLD(what_one_mount_creates_the_other_finds) {
    struct stat made, found;
    struct handle *handle;
    assert_int_equal(tree_create(&w->a, ROOT, "f", &maker_file, &made, &handle), 0);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &found), 0);
    assert_true(made.st_ino == found.st_ino);
    assert_int_equal(found.st_mode, S_IFREG | 0644);
    assert_int_equal(found.st_uid, 1);
    assert_int_equal(found.st_gid, 2);
    assert_int_equal(found.st_nlink, 1);
    handle_release(handle);
}

IN_WORLD(creating_what_exists_is_eexist_when_exclusive_and_else_a_new_look_up) {
    struct stat stat;
    struct handle *handle;
    make_file(&w->b, "f", "x");
    struct maker maker = maker_file;
    assert_int_equal(tree_create(&w->a, ROOT, "f", &maker, &stat, &handle), ERR_EXISTS);
    maker.flags = O_RDWR;
    assert_int_equal(tree_create(&w->a, ROOT, "f", &maker, &stat, &handle), ERR_STALE);
}

IN_WORLD(a_node_that_is_gone_is_stale_and_a_name_that_is_gone_is_no_entry) {
    struct stat stat;
    make_file(&w->a, "f", "x");
    uint64_t ino = ino_of(&w->b, "f");
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    task_sleep(2 * SECOND_NS);
    struct handle *handle;
    struct cache_advice advice;
    assert_int_equal(attributes_get(&w->b, ino, &stat), ERR_STALE);
    assert_int_equal(handle_open(&w->b, ino, O_RDONLY, &handle, &advice), ERR_STALE);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &stat), ERR_NO_ENTRY);
    assert_int_equal(attributes_get(&w->b, 424242, &stat), ERR_STALE);
}

IN_WORLD(a_renamed_file_keeps_its_inode_and_what_was_written_meanwhile) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "a");
    put(handle, 1, "b");
    uint64_t ino = ino_of(&w->a, "f");
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    assert_int_equal(tree_rename(&w->a, ROOT, "f", directory, "g", 0), 0);
    put(handle, 2, "c");
    close_handle(handle);
    struct stat stat;
    assert_int_equal(tree_lookup(&w->b, directory, "g", &stat), ERR_STALE); /* not looked up yet */
    uint64_t there = ino_of(&w->b, "d");
    assert_int_equal(tree_lookup(&w->b, there, "g", &stat), 0);
    assert_true(stat.st_ino == ino);
    assert_int_equal(stat.st_size, 3);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &stat), ERR_NO_ENTRY);
}

IN_WORLD(a_replaced_file_that_is_open_keeps_its_contents) {
    make_file(&w->a, "old", "old");
    make_file(&w->a, "new", "new");
    struct handle *handle = open_flags(&w->a, "old", O_RDONLY);
    assert_int_equal(tree_rename(&w->a, ROOT, "new", ROOT, "old", 0), 0);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_string_equal(held, "old");
    free(held);
    handle_release(handle);
    assert_holds(&w->b, "old", "new");
}

/* What an earlier worker has sent arrives as it is asked for once more. */
static void rename_once(void *context, enum store_mem_call kind, uint64_t number) {
    struct mount **other = context;
    (void)number;
    if (kind == STORE_MEM_BATCH && *other != NULL) {
        struct mount *mount = *other;
        *other = NULL;
        assert_int_equal(tree_rename(mount, ROOT, "new", ROOT, "old", 0), 0);
    }
}

IN_WORLD(a_rename_that_an_earlier_worker_has_sent_is_done_once) {
    struct stat stat, after;
    struct mount *other = &w->b;
    const struct renaming renaming = {ROOT, "new", ROOT, "old", 0};
    close_handle(create(&w->a, "old"));
    close_handle(create(&w->a, "new"));
    assert_int_equal(tree_lookup(&w->a, ROOT, "new", &stat), 0);
    store_mem_before(w->mem, rename_once, &other);
    assert_int_equal(tree_rename_again(&w->a, &renaming), 0);
    assert_null(other);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(tree_lookup(&w->a, ROOT, "old", &after), 0);
    assert_int_equal(after.st_ino, stat.st_ino);
    assert_int_equal(tree_rename_again(&w->a, &renaming), 0);
}

IN_WORLD(a_rename_of_what_never_was_fails_however_often_it_is_asked_for) {
    const struct renaming renaming = {ROOT, "none", ROOT, "nowhere", 0};
    assert_int_equal(tree_rename_again(&w->a, &renaming), ERR_NO_ENTRY);
}

IN_WORLD(rename_obeys_its_flags) {
    make_file(&w->a, "x", "1");
    make_file(&w->a, "y", "2");
    assert_int_equal(tree_rename(&w->a, ROOT, "x", ROOT, "y", RENAME_NOREPLACE), ERR_EXISTS);
    assert_int_equal(tree_rename(&w->a, ROOT, "gone", ROOT, "y", 0), ERR_NO_ENTRY);
    uint64_t outer = make_directory(&w->a, ROOT, "outer");
    uint64_t inner = make_directory(&w->a, outer, "inner");
    assert_int_equal(tree_rename(&w->a, ROOT, "outer", inner, "x", 0), ERR_LOOP);
}

IN_WORLD(exchanged_files_that_are_open_are_found_at_their_new_places) {
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    struct stat stat;
    struct handle *x, *y;
    assert_int_equal(tree_create(&w->a, directory, "x", &maker_file, &stat, &x), 0);
    assert_int_equal(tree_create(&w->a, directory, "y", &maker_file, &stat, &y), 0);
    assert_int_equal(tree_rename(&w->a, directory, "x", directory, "y", RENAME_EXCHANGE), 0);
    put(x, 0, "first x");
    put(y, 0, "y");
    close_handle(x);
    close_handle(y);
    ino_of(&w->b, "d");
    assert_int_equal(tree_lookup(&w->b, directory, "y", &stat), 0);
    assert_int_equal(stat.st_size, 7);
    assert_int_equal(tree_lookup(&w->b, directory, "x", &stat), 0);
    assert_int_equal(stat.st_size, 1);
}

IN_WORLD(open_files_of_two_directories_change_places) {
    uint64_t d = make_directory(&w->a, ROOT, "d"), e = make_directory(&w->a, ROOT, "e");
    struct stat stat;
    struct handle *x, *y;
    assert_int_equal(tree_create(&w->a, d, "x", &maker_file, &stat, &x), 0);
    assert_int_equal(tree_create(&w->a, e, "y", &maker_file, &stat, &y), 0);
    assert_int_equal(tree_rename(&w->a, d, "x", e, "y", RENAME_EXCHANGE), 0);
    put(x, 0, "first x");
    put(y, 0, "y");
    close_handle(x);
    close_handle(y);
    assert_true(ino_of(&w->b, "d") == d && ino_of(&w->b, "e") == e);
    assert_int_equal(tree_lookup(&w->b, e, "y", &stat), 0);
    assert_int_equal(stat.st_size, 7);
    assert_int_equal(tree_lookup(&w->b, d, "x", &stat), 0);
    assert_int_equal(stat.st_size, 1);
    assert_int_equal(attributes_get(&w->a, d, &stat), 0);
    assert_int_equal(stat.st_size, 1); /* names in it */
}

IN_WORLD(a_directory_is_removed_when_it_is_empty) {
    struct stat stat;
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    make_directory(&w->a, directory, "e");
    assert_int_equal(tree_rmdir(&w->a, ROOT, "d"), ERR_NOT_EMPTY);
    assert_int_equal(tree_rmdir(&w->a, directory, "e"), 0);
    assert_int_equal(tree_rmdir(&w->a, ROOT, "d"), 0);
    assert_int_equal(tree_lookup(&w->b, ROOT, "d", &stat), ERR_NO_ENTRY);
    struct handle *handle;
    assert_int_equal(tree_create(&w->a, directory, "f", &maker_file, &stat, &handle), ERR_NO_ENTRY);
}

IN_WORLD(a_setgid_directory_hands_on_its_group) {
    struct maker maker = {.mode = S_ISGID | 0775, .uid = 3, .gid = 44};
    struct stat stat;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "shared", &maker, &stat), 0);
    uint64_t directory = stat.st_ino;
    struct maker other = {.mode = 0755, .uid = 5, .gid = 6};
    assert_int_equal(tree_mkdir(&w->a, directory, "sub", &other, &stat), 0);
    assert_int_equal(stat.st_gid, 44);
    assert_int_equal(stat.st_mode, S_IFDIR | S_ISGID | 0755);
    assert_int_equal(tree_mknod(&w->a, directory, "f", &maker_file, &stat), 0);
    assert_int_equal(stat.st_gid, 44);
}

IN_WORLD(symlinks_and_special_files_are_what_they_were_made) {
    struct stat stat;
    struct maker maker = {.mode = S_IFLNK | 0777};
    char *target;
    assert_int_equal(tree_symlink(&w->a, ROOT, "l", "some/where", &maker, &stat), 0);
    uint64_t ino = ino_of(&w->b, "l");
    assert_int_equal(tree_readlink(&w->b, ino, &target), 0);
    assert_string_equal(target, "some/where");
    free(target);
    struct maker pipe = {.mode = S_IFIFO | 0600};
    assert_int_equal(tree_mknod(&w->a, ROOT, "p", &pipe, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFIFO | 0600);
    assert_int_equal(tree_readlink(&w->a, stat.st_ino, &target), ERR_INVALID);
    struct maker device = {.mode = S_IFCHR | 0600, .rdev = 0x103};
    assert_int_equal(tree_mknod(&w->a, ROOT, "c", &device, &stat), 0);
    assert_int_equal(stat.st_rdev, 0x103);
}

IN_WORLD(names_of_255_bytes_are_taken_and_longer_ones_refused) {
    char name[258];
    struct stat stat;
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    assert_int_equal(tree_mknod(&w->a, ROOT, name, &maker_file, &stat), 0);
    assert_int_equal(tree_lookup(&w->b, ROOT, name, &stat), 0);
    name[255] = 'n';
    name[256] = '\0';
    assert_int_equal(tree_mknod(&w->a, ROOT, name, &maker_file, &stat), ERR_NAME_TOO_LONG);
    assert_int_equal(tree_lookup(&w->a, ROOT, name, &stat), ERR_NAME_TOO_LONG);
}

/* ---- attributes ---- */

IN_WORLD(setting_what_is_set_costs_no_request_until_another_mount_changed_it) {
    struct stat stat;
    make_file(&w->a, "f", "x");
    uint64_t ino = ino_of(&w->a, "f");
    struct attributes_change change = {.mask = ATTRIBUTE_MODE | ATTRIBUTE_UID, .mode = 0640};
    assert_int_equal(attributes_set(&w->a, ino, &change, &stat), 0);
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(attributes_set(&w->a, ino, &change, &stat), 0);
    assert_true(store_mem_calls(w->mem) == before);
    assert_int_equal(stat.st_mode, S_IFREG | 0640);
    struct attributes_change other = {.mask = ATTRIBUTE_MODE, .mode = 0600};
    assert_int_equal(attributes_set(&w->b, ino_of(&w->b, "f"), &other, &stat), 0);
    assert_int_equal(task_sleep(2 * SECOND_NS), 0);
    assert_int_equal(attributes_set(&w->a, ino, &change, &stat), 0);
    assert_int_equal(attributes_get(&w->b, ino_of(&w->b, "f"), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0640);
}

IN_WORLD(attributes_are_set_and_seen) {
    struct stat stat;
    make_file(&w->a, "f", "x");
    struct attributes_change change = {
        .mask = ATTRIBUTE_MODE | ATTRIBUTE_UID | ATTRIBUTE_GID | ATTRIBUTE_ATIME | ATTRIBUTE_MTIME,
        .mode = 04711,
        .uid = 8,
        .gid = 9,
        .atime_ns = 5 * SECOND_NS + 1,
        .mtime_ns = -1,
    };
    assert_int_equal(attributes_set(&w->a, ino_of(&w->a, "f"), &change, &stat), 0);
    assert_int_equal(attributes_get(&w->b, ino_of(&w->b, "f"), &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 04711);
    assert_int_equal(stat.st_uid, 8);
    assert_int_equal(stat.st_gid, 9);
    assert_int_equal(stat.st_atim.tv_sec, 5);
    assert_int_equal(stat.st_atim.tv_nsec, 1);
    assert_int_equal(stat.st_mtim.tv_sec, -1);
    assert_int_equal(stat.st_mtim.tv_nsec, 999999999);
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    change.mask = ATTRIBUTE_MODE;
    change.mode = 0700;
    assert_int_equal(attributes_set(&w->a, directory, &change, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFDIR | 0700);
    assert_int_equal(stat.st_uid, 3);
}

IN_WORLD(a_time_that_was_set_is_not_undone_by_what_was_written_before) {
    struct stat stat;
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "a");
    put(handle, 1, "b");
    struct attributes_change change = {.mask = ATTRIBUTE_MTIME, .mtime_ns = 7 * SECOND_NS};
    assert_int_equal(attributes_set(&w->a, handle->file->inode->ino, &change, &stat), 0);
    close_handle(handle);
    assert_int_equal(attributes_get(&w->b, ino_of(&w->b, "f"), &stat), 0);
    assert_int_equal(stat.st_mtim.tv_sec, 7);
    assert_int_equal(stat.st_size, 2);
}

IN_WORLD(the_parents_times_change_at_once_and_without_a_reading) {
    struct stat before, after;
    assert_int_equal(attributes_get(&w->a, ROOT, &before), 0);
    store_mem_advance(w->mem, SECOND_NS / 2);
    struct stat stat;
    assert_int_equal(tree_mknod(&w->a, ROOT, "f", &maker_file, &stat), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(attributes_get(&w->a, ROOT, &after), 0);
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec ||
                after.st_mtim.tv_nsec > before.st_mtim.tv_nsec);
}

/* A size below 0 makes the kernel give the directory up. */
IN_WORLD(names_that_others_made_and_this_mount_removes_are_not_counted_below_nothing) {
    struct stat stat;
    const char *names[] = {"f", "g", "h"};
    uint64_t d = make_directory(&w->a, ROOT, "d");
    assert_int_equal(ino_of(&w->b, "d"), d);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tree_mknod(&w->b, d, names[i], &maker_file, &stat), 0);
    }
    assert_int_equal(attributes_get(&w->a, d, &stat), 0);
    assert_int_equal(stat.st_size, 0); /* as it was made, for a second */
    assert_int_equal(tree_unlink(&w->a, d, "f"), 0);
    assert_int_equal(attributes_get(&w->a, d, &stat), 0);
    assert_int_equal(stat.st_size, 2);
    assert_int_equal(tree_rename(&w->a, d, "g", ROOT, "g", 0), 0);
    assert_int_equal(attributes_get(&w->a, d, &stat), 0);
    assert_int_equal(stat.st_size, 1);
}

IN_WORLD(the_root_answers_when_the_cluster_does_not) {
    struct stat stat;
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    task_sleep(5 * SECOND_NS);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1000, ERR_UNAVAILABLE, false);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    store_mem_reset_hooks(w->mem);
}

IN_WORLD(opening_tells_whether_the_kernels_pages_are_still_good) {
    struct handle *handle;
    struct cache_advice advice;
    make_file(&w->a, "f", "x");
    uint64_t ino = ino_of(&w->a, "f");
    assert_int_equal(handle_open(&w->a, ino, O_RDONLY, &handle, &advice), 0);
    assert_true(advice.keep);
    handle_release(handle);
    handle = open_flags(&w->b, "f", O_WRONLY);
    put(handle, 0, "y");
    close_handle(handle);
    assert_int_equal(handle_open(&w->a, ino, O_RDONLY, &handle, &advice), 0);
    assert_false(advice.keep);
    assert_true(advice.attributes);
    handle_release(handle);
    assert_int_equal(handle_open(&w->a, ino, O_RDONLY, &handle, &advice), 0);
    assert_true(advice.keep);
    handle_release(handle);
}

/* ---- listings ---- */

struct listed {
    int n;
    int room; /* how many are taken before it is full */
    uint64_t last_offset;
    char names[4096][16];
    uint64_t inos[4096];
};

static bool take(void *context, const char *name, const struct stat *stat, uint64_t next_offset) {
    struct listed *listed = context;
    if (listed->room-- <= 0) {
        return false;
    }
    assert_true(next_offset > listed->last_offset);
    listed->last_offset = next_offset;
    snprintf(listed->names[listed->n], sizeof listed->names[0], "%s", name);
    listed->inos[listed->n++] = stat->st_ino;
    return true;
}

/* Reads the rest of a directory, a few entries at a time, as the kernel does. */
static void read_on(struct mount *mount, struct directory_handle *handle, struct listed *listed,
                    int at_a_time) {
    for (int before = -1; before != listed->n;) {
        before = listed->n;
        listed->room = at_a_time;
        struct listener listener = {.take = take, .context = listed};
        assert_int_equal(directory_read(mount, handle, listed->last_offset, &listener), 0);
    }
}

static bool has(const struct listed *listed, const char *name) {
    int n = 0;
    for (int i = 0; i < listed->n; i++) {
        n += strcmp(listed->names[i], name) == 0;
    }
    assert_true(n <= 1);
    return n == 1;
}

static void make_many(struct mount *mount, uint64_t directory, int n) {
    for (int i = 0; i < n; i++) {
        char name[16];
        struct stat stat;
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(tree_mknod(mount, directory, name, &maker_file, &stat), 0);
    }
}

IN_WORLD(a_listing_has_every_entry_once_however_it_is_cut) {
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    make_many(&w->a, directory, 1500);
    int cuts[] = {1, 7, 100000};
    for (int c = 0; c < 3; c++) {
        struct listed *listed = calloc(1, sizeof *listed);
        struct directory_handle *handle;
        assert_int_equal(directory_open(&w->a, directory, &handle), 0);
        read_on(&w->a, handle, listed, cuts[c]);
        assert_int_equal(listed->n, 1502);
        assert_true(has(listed, ".") && has(listed, "..") && has(listed, "f0"));
        assert_true(listed->inos[0] == directory);
        assert_true(listed->inos[1] == ROOT);
        directory_release(&w->a, handle);
        free(listed);
    }
}

IN_WORLD(deleting_while_listing_skips_and_repeats_nothing) {
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    make_many(&w->a, directory, 1200);
    struct listed *listed = calloc(1, sizeof *listed);
    struct directory_handle *handle;
    struct listener listener = {.take = take, .context = listed};
    assert_int_equal(directory_open(&w->a, directory, &handle), 0);
    for (int before = -1; before != listed->n;) {
        int from = before < 0 ? 0 : before;
        before = listed->n;
        listed->room = 50;
        assert_int_equal(directory_read(&w->a, handle, listed->last_offset, &listener), 0);
        for (int i = from > 2 ? from : 2; i < listed->n; i++) {
            (void)tree_unlink(&w->a, directory, listed->names[i]);
        }
    }
    assert_int_equal(listed->n, 1202);
    directory_release(&w->a, handle);
    assert_int_equal(tree_rmdir(&w->a, ROOT, "d"), 0);
    free(listed);
}

IN_WORLD(rewinding_shows_what_came_meanwhile) {
    struct listed *listed = calloc(1, sizeof *listed);
    struct directory_handle *handle;
    uint64_t directory = make_directory(&w->a, ROOT, "d");
    assert_int_equal(directory_open(&w->a, directory, &handle), 0);
    read_on(&w->a, handle, listed, 10);
    assert_int_equal(listed->n, 2);
    make_many(&w->b, ino_of(&w->b, "d"), 3);
    *listed = (struct listed){0};
    read_on(&w->a, handle, listed, 10);
    assert_int_equal(listed->n, 5);
    directory_release(&w->a, handle);
    free(listed);
}

static bool take_whole(void *context, const char *name, const struct stat *stat,
                       uint64_t next_offset) {
    (void)next_offset;
    int *n_counted = context;
    if (strcmp(name, "f") == 0) {
        assert_int_equal(stat->st_size, 5);
        assert_int_equal(stat->st_uid, 1);
    }
    *n_counted += stat->st_nlink > 0;
    return true;
}

IN_WORLD(a_listing_with_attributes_counts_a_look_up_for_each_name) {
    make_file(&w->a, "f", "hello");
    make_directory(&w->a, ROOT, "d");
    struct directory_handle *handle;
    int n_counted = 0;
    struct listener listener = {.take = take_whole, .context = &n_counted, .attributes = true};
    assert_int_equal(directory_open(&w->b, ROOT, &handle), 0);
    assert_int_equal(directory_read(&w->b, handle, 0, &listener), 0);
    directory_release(&w->b, handle);
    assert_int_equal(n_counted, 2);
    assert_int_equal(w->b.inodes.n, 3);
    struct stat stat;
    uint64_t ino = ino_of(&w->b, "f");
    inodes_forget(&w->b.inodes, ino, 2);
    assert_int_equal(attributes_get(&w->b, ino, &stat), ERR_STALE);
}

enum { DIRECTORIES = 40 };

/* Lists a directory of as many others on the mount that has not made them. Answers how many came
 * with their attributes. */
static int list_directories(struct world *w, uint64_t failing_from) {
    uint64_t top = make_directory(&w->a, ROOT, "top");
    for (int i = 0; i < DIRECTORIES; i++) {
        char name[8];
        snprintf(name, sizeof name, "d%d", i);
        make_directory(&w->a, top, name);
    }
    struct directory_handle *handle;
    int n_counted = 0;
    struct listener listener = {.take = take_whole, .context = &n_counted, .attributes = true};
    assert_int_equal(directory_open(&w->b, ino_of(&w->b, "top"), &handle), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, failing_from, UINT64_MAX, ERR_TIMEOUT, false);
    assert_int_equal(directory_read(&w->b, handle, 0, &listener), 0);
    directory_release(&w->b, handle);
    return n_counted;
}

IN_WORLD(a_listing_reads_the_attributes_of_directories_once) {
    assert_int_equal(list_directories(w, UINT64_MAX), DIRECTORIES);
    assert_int_equal(store_mem_calls(w->mem), 1 + DIRECTORIES);
}

IN_WORLD(directories_whose_attributes_do_not_come_are_listed_by_name_and_no_more_are_read) {
    assert_true(list_directories(w, 3) < DIRECTORY_AHEAD);
    assert_int_equal(store_mem_calls(w->mem), 1 + DIRECTORY_AHEAD);
    store_mem_reset_hooks(w->mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_mount_creates_the_other_finds),
        cmocka_unit_test(creating_what_exists_is_eexist_when_exclusive_and_else_a_new_look_up),
        cmocka_unit_test(a_node_that_is_gone_is_stale_and_a_name_that_is_gone_is_no_entry),
        cmocka_unit_test(a_renamed_file_keeps_its_inode_and_what_was_written_meanwhile),
        cmocka_unit_test(a_replaced_file_that_is_open_keeps_its_contents),
        cmocka_unit_test(a_rename_that_an_earlier_worker_has_sent_is_done_once),
        cmocka_unit_test(a_rename_of_what_never_was_fails_however_often_it_is_asked_for),
        cmocka_unit_test(rename_obeys_its_flags),
        cmocka_unit_test(exchanged_files_that_are_open_are_found_at_their_new_places),
        cmocka_unit_test(open_files_of_two_directories_change_places),
        cmocka_unit_test(a_directory_is_removed_when_it_is_empty),
        cmocka_unit_test(a_setgid_directory_hands_on_its_group),
        cmocka_unit_test(symlinks_and_special_files_are_what_they_were_made),
        cmocka_unit_test(names_of_255_bytes_are_taken_and_longer_ones_refused),
        cmocka_unit_test(setting_what_is_set_costs_no_request_until_another_mount_changed_it),
        cmocka_unit_test(attributes_are_set_and_seen),
        cmocka_unit_test(a_time_that_was_set_is_not_undone_by_what_was_written_before),
        cmocka_unit_test(the_parents_times_change_at_once_and_without_a_reading),
        cmocka_unit_test(
            names_that_others_made_and_this_mount_removes_are_not_counted_below_nothing),
        cmocka_unit_test(the_root_answers_when_the_cluster_does_not),
        cmocka_unit_test(opening_tells_whether_the_kernels_pages_are_still_good),
        cmocka_unit_test(a_listing_has_every_entry_once_however_it_is_cut),
        cmocka_unit_test(deleting_while_listing_skips_and_repeats_nothing),
        cmocka_unit_test(rewinding_shows_what_came_meanwhile),
        cmocka_unit_test(a_listing_with_attributes_counts_a_look_up_for_each_name),
        cmocka_unit_test(a_listing_reads_the_attributes_of_directories_once),
        cmocka_unit_test(
            directories_whose_attributes_do_not_come_are_listed_by_name_and_no_more_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
