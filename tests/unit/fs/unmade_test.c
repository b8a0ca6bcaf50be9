/* unmade: files whose name is stored with their first contents: what this mount shows of them, what
 * others see, and what happens when something comes between. */
#include "fs/unmade.h"

#include <stdio.h>
#include <sys/mman.h>

#include "fs/attributes.h"
#include "fs/xattr.h"
#include "shared/namespace_watch.h"
#include "tests/unit/fs/world.h"

enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC, LARGE = 5000 };

/* ---- a mount with leases; `b` has none and is told nothing ---- */
static int fake_begin(void *self, struct bytes partition_key) {
    (void)self, (void)partition_key;
    return 0;
}

static void fake_end(void *self, struct bytes partition_key) {
    (void)self, (void)partition_key;
}

static bool fake_leased(void *self, struct bytes partition_key) {
    (void)partition_key;
    return *(bool *)self;
}

static bool leased;
static const struct watcher fake = {&leased, fake_begin, fake_end, fake_leased};

static void watch_it(struct mount *mount, const struct id128 *directory) {
    struct watches *watches = &mount->inodes.watches;
    mount->config.watched_ns = 60 * SECOND_NS;
    watches->watcher = &fake;
    leased = true;
    struct inode *inode = inodes_directory(&mount->inodes, directory);
    if (inode->watch != NULL) {
        return;
    }
    watch_use(watches, inode);
    for (uint32_t i = 0; i < namespace_watch_partitions(directory); i++) {
        watch_live(watches, directory, true);
        watch_whole(watches, directory, true);
    }
}

static void end_watch(struct mount *mount) {
    for (uint32_t i = 0; i < namespace_watch_partitions(&namespace_root); i++) {
        watch_live(&mount->inodes.watches, &namespace_root, false);
    }
}

static int look_up(struct mount *mount, uint64_t directory, const char *name) {
    struct stat stat;
    int status = tree_lookup(mount, directory, name, &stat);
    if (status == 0) {
        inodes_forget(&mount->inodes, stat.st_ino, 1);
    }
    return status;
}

/* As the kernel does: it looks the name up first. */
static struct handle *open_in(struct mount *mount, uint64_t directory, const char *name,
                              int flags) {
    struct maker maker = maker_file;
    struct stat stat;
    struct handle *handle;
    assert_int_equal(look_up(mount, directory, name), ERR_NO_ENTRY);
    struct stat parent;
    assert_int_equal(attributes_get(mount, directory, &parent), 0);
    maker.flags = flags;
    assert_int_equal(tree_create(mount, directory, name, &maker, &stat, &handle), 0);
    return handle;
}

/* A file that is not stored yet. */
static struct handle *unmade(struct world *w, const char *name) {
    watch_it(&w->a, &namespace_root);
    struct handle *handle = open_in(&w->a, ROOT, name, FLAGS);
    assert_true(handle->file->inode->unmade);
    assert_int_equal(look_up(&w->b, ROOT, name), ERR_NO_ENTRY);
    store_mem_reset_hooks(w->mem);
    return handle;
}

static uint64_t calls(struct world *w) {
    uint64_t n = store_mem_calls(w->mem);
    store_mem_reset_hooks(w->mem);
    return n;
}

static void put_large(struct handle *handle) {
    uint8_t data[LARGE];
    memset(data, 'x', sizeof data);
    assert_int_equal(handle_write(handle, 0, bytes_of(data, sizeof data)), 0);
}

/* ---- storing ---- */
IN_WORLD(the_name_goes_with_the_first_write) {
    watch_it(&w->a, &namespace_root);
    struct handle *first = open_in(&w->a, ROOT, "before", FLAGS);
    close_handle(first);
    assert_int_equal(look_up(&w->a, ROOT, "f"), ERR_NO_ENTRY);
    store_mem_reset_hooks(w->mem);
    struct handle *handle = open_in(&w->a, ROOT, "f", FLAGS);
    assert_int_equal(calls(w), 0);
    put(handle, 0, "text");
    assert_int_equal(calls(w), 1);
    assert_false(handle->file->inode->unmade);
    assert_holds(&w->b, "f", "text");
    store_mem_reset_hooks(w->mem);
    close_handle(handle);
    assert_int_equal(calls(w), 0);
    assert_int_equal(w->a.inodes.n_unmade, 0);
}

IN_WORLD(of_larger_contents_the_blocks_are_stored_first_and_then_name_and_record) {
    struct handle *handle = unmade(w, "f");
    put_large(handle);
    assert_int_equal(calls(w), 2);
    close_handle(handle);
    assert_int_equal(calls(w), 0);
    handle = open_flags(&w->b, "f", O_RDONLY);
    assert_int_equal(handle->file->size, LARGE);
    handle_release(handle);
}

IN_WORLD(what_is_never_written_is_stored_at_close) {
    struct handle *handle = unmade(w, "f");
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(calls(w), 1);
    assert_holds(&w->b, "f", "");
    store_mem_reset_hooks(w->mem);
    close_handle(handle);
    assert_int_equal(calls(w), 0);
}

IN_WORLD(fsync_stores_it_and_asks_no_more_of_it) {
    struct handle *handle = unmade(w, "f");
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(calls(w), 1);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(calls(w), 0);
    close_handle(handle);
    assert_holds(&w->b, "f", "");
}

IN_WORLD(it_is_stored_after_a_second_in_which_nothing_was_written) {
    assert_int_equal(writeback_start(&w->a), 0);
    struct handle *handle = unmade(w, "f");
    task_sleep(2 * SECOND_NS);
    assert_holds(&w->b, "f", "");
    put(handle, 0, "late");
    assert_holds(&w->b, "f", "late");
    close_handle(handle);
}

IN_WORLD(appends_go_behind_each_other) {
    watch_it(&w->a, &namespace_root);
    struct handle *handle = open_in(&w->a, ROOT, "f", FLAGS | O_APPEND);
    assert_true(handle->file->inode->unmade);
    put(handle, 0, "one ");
    put(handle, 4, "two");
    close_handle(handle);
    assert_holds(&w->b, "f", "one two");
}

IN_WORLD(what_others_may_have_or_must_know_is_made_at_once) {
    static const int at_once[] = {O_WRONLY, O_WRONLY | O_TRUNC | O_EXCL, O_RDONLY | O_TRUNC};
    char name[] = "f0";
    watch_it(&w->a, &namespace_root);
    for (size_t i = 0; i < sizeof at_once / sizeof *at_once; i++, name[1]++) {
        struct handle *handle = open_in(&w->a, ROOT, name, at_once[i]);
        assert_int_equal(look_up(&w->b, ROOT, name), 0);
        close_handle(handle);
    }
    leased = false;
    struct handle *handle = open_in(&w->a, ROOT, name, FLAGS);
    assert_int_equal(look_up(&w->b, ROOT, name), 0);
    close_handle(handle);
}

IN_WORLD(beyond_the_bound_files_are_made_at_once) {
    struct handle *handles[INODES_UNMADE_MAX + 1];
    char name[16];
    watch_it(&w->a, &namespace_root);
    for (int i = 0; i <= INODES_UNMADE_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        handles[i] = open_in(&w->a, ROOT, name, FLAGS);
        assert_int_equal(handles[i]->file->inode->unmade, i < INODES_UNMADE_MAX);
    }
    for (int i = 0; i <= INODES_UNMADE_MAX; i++) {
        put(handles[i], 0, "x");
        close_handle(handles[i]);
        snprintf(name, sizeof name, "f%d", i);
        assert_holds(&w->b, name, "x");
    }
    assert_int_equal(w->a.inodes.root->n_unmade, 0);
}

/* ---- what this mount shows ---- */
IN_WORLD(this_mount_finds_and_opens_it_also_without_a_watch) {
    struct handle *handle = unmade(w, "f");
    uint64_t ino = handle->file->inode->ino;
    assert_int_equal(ino_of(&w->a, "f"), ino);
    end_watch(&w->a);
    leased = false;
    task_sleep(5 * SECOND_NS);
    assert_int_equal(ino_of(&w->a, "f"), ino);
    struct handle *second = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(second->file->size, 0);
    assert_true(second->file->inode->unmade);
    put(second, 0, "second");
    assert_holds(&w->a, "f", "second");
    assert_holds(&w->b, "f", "second");
    close_handle(second);
    close_handle(handle);
}

IN_WORLD(its_directory_counts_it_once) {
    struct stat before, during, after;
    watch_it(&w->a, &namespace_root);
    assert_int_equal(attributes_get(&w->a, ROOT, &before), 0);
    task_sleep(SECOND_NS);
    struct handle *handle = unmade(w, "f");
    assert_int_equal(attributes_get(&w->a, ROOT, &during), 0);
    assert_int_equal(during.st_size, before.st_size + 1);
    assert_true(during.st_mtim.tv_sec > before.st_mtim.tv_sec);
    close_handle(handle);
    assert_int_equal(attributes_get(&w->a, ROOT, &after), 0);
    assert_int_equal(after.st_size, during.st_size);
}

IN_WORLD(times_that_are_set_of_its_directory_stay) {
    struct handle *handle = unmade(w, "f");
    struct attributes_change change = {.mask = ATTRIBUTE_MTIME, .mtime_ns = 7 * SECOND_NS};
    struct stat stat;
    assert_int_equal(attributes_set(&w->a, ROOT, &change, &stat), 0);
    put(handle, 0, "x");
    close_handle(handle);
    assert_int_equal(attributes_get(&w->a, ROOT, &stat), 0);
    assert_int_equal(stat.st_mtim.tv_sec, 7);
    assert_int_equal(attributes_get(&w->b, ROOT, &stat), 0);
    assert_int_equal(stat.st_mtim.tv_sec, 7);
}

static bool note_name(void *context, const char *name, const struct stat *stat, uint64_t next) {
    (void)stat, (void)next;
    *(bool *)context = *(bool *)context || strcmp(name, "f") == 0;
    return true;
}

IN_WORLD(a_listing_has_it) {
    struct directory_handle *directory;
    bool found = false;
    struct handle *handle = unmade(w, "f");
    struct listener listener = {.take = note_name, .context = &found, .attributes = true};
    end_watch(&w->a);
    assert_int_equal(directory_open(&w->a, ROOT, &directory), 0);
    assert_int_equal(directory_read(&w->a, directory, 0, &listener), 0);
    assert_true(found);
    directory_release(&w->a, directory);
    put(handle, 0, "x");
    close_handle(handle);
    assert_holds(&w->b, "f", "x");
}

/* ---- what is done with it before it is written ---- */
IN_WORLD(its_mode_goes_into_the_same_record) {
    struct handle *handle = unmade(w, "f");
    struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = 0600};
    struct stat stat;
    assert_int_equal(attributes_set(&w->a, handle->file->inode->ino, &change, &stat), 0);
    assert_int_equal(calls(w), 1);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0600);
    close_handle(handle);
}

IN_WORLD(what_its_writer_sets_waits_for_it) {
    struct handle *handle = unmade(w, "f");
    struct attributes_change change = {
        .mask = ATTRIBUTE_MODE | ATTRIBUTE_MTIME, .mode = 0666, .mtime_ns = 7, .process = 77};
    struct stat stat;
    handle_opened_by(handle, 77);
    assert_int_equal(attributes_set(&w->a, handle->file->inode->ino, &change, &stat), 0);
    assert_int_equal(calls(w), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0666);
    close_handle(handle);
    assert_int_equal(calls(w), 1);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0666);
    assert_int_equal(stat.st_mtim.tv_nsec, 7);
}

IN_WORLD(an_extended_attribute_is_stored_with_it) {
    struct handle *handle = unmade(w, "f");
    struct xattr_caller caller = {.uid = 1};
    struct buffer value = {0};
    assert_int_equal(xattr_set(&w->a, handle->file->inode->ino, "user.a", bytes_of_string("v"),
                               XATTR_ANYHOW, &caller),
                     0);
    assert_int_equal(xattr_get(&w->b, ino_of(&w->b, "f"), "user.a", &value), 0);
    assert_true(bytes_equal(buffer_bytes(&value), bytes_of_string("v")));
    buffer_release(&value);
    close_handle(handle);
}

IN_WORLD(truncating_it_stores_it) {
    struct handle *handle = unmade(w, "f");
    struct attributes_change change = {.mask = ATTRIBUTE_SIZE, .size = 3};
    struct stat stat;
    assert_int_equal(attributes_set(&w->a, handle->file->inode->ino, &change, &stat), 0);
    assert_int_equal(tree_lookup(&w->b, ROOT, "f", &stat), 0);
    assert_int_equal(stat.st_size, 3);
    close_handle(handle);
}

IN_WORLD(it_is_removed_as_any_file) {
    struct handle *handle = unmade(w, "f");
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    put(handle, 0, "x");
    close_handle(handle);
    assert_int_equal(look_up(&w->a, ROOT, "f"), ERR_NO_ENTRY);
    assert_int_equal(look_up(&w->b, ROOT, "f"), ERR_NO_ENTRY);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
}

IN_WORLD(it_is_renamed_and_replaced_as_any_file) {
    struct handle *f = unmade(w, "f");
    assert_int_equal(tree_rename(&w->a, ROOT, "f", ROOT, "g", 0), 0);
    put(f, 0, "moved");
    assert_holds(&w->b, "g", "moved");
    assert_int_equal(look_up(&w->b, ROOT, "f"), ERR_NO_ENTRY);
    struct handle *h = open_in(&w->a, ROOT, "h", FLAGS);
    assert_true(h->file->inode->unmade);
    assert_int_equal(tree_rename(&w->a, ROOT, "g", ROOT, "h", 0), 0);
    put(h, 0, "lost");
    close_handle(h);
    close_handle(f);
    assert_holds(&w->b, "h", "moved");
    assert_holds(&w->a, "h", "moved");
}

IN_WORLD(it_gets_a_second_name_as_any_file) {
    struct handle *handle = unmade(w, "f");
    struct stat stat;
    assert_int_equal(tree_link(&w->a, handle->file->inode->ino, ROOT, "g", &stat), 0);
    put(handle, 0, "both");
    close_handle(handle);
    assert_holds(&w->b, "f", "both");
    assert_holds(&w->b, "g", "both");
}

IN_WORLD(its_name_is_taken_for_everything_else) {
    struct handle *handle = unmade(w, "f");
    struct maker directory = {.mode = S_IFDIR | 0755};
    struct maker exclusive = maker_file;
    struct handle *other;
    struct stat stat;
    assert_int_equal(tree_create(&w->a, ROOT, "f", &exclusive, &stat, &other), ERR_EXISTS);
    assert_int_equal(tree_mkdir(&w->a, ROOT, "f", &directory, &stat), ERR_EXISTS);
    close_handle(handle);
}

IN_WORLD(its_directory_is_not_empty) {
    struct maker directory = {.mode = S_IFDIR | 0755};
    struct stat d, e;
    watch_it(&w->a, &namespace_root);
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &directory, &d), 0);
    assert_int_equal(tree_mkdir(&w->a, ROOT, "e", &directory, &e), 0);
    watch_it(&w->a, &inodes_find(&w->a.inodes, d.st_ino)->directory);
    struct handle *handle = open_in(&w->a, d.st_ino, "f", FLAGS);
    assert_true(handle->file->inode->unmade);
    assert_int_equal(tree_rmdir(&w->a, ROOT, "d"), ERR_NOT_EMPTY);
    struct handle *second = open_in(&w->a, d.st_ino, "g", FLAGS);
    assert_true(second->file->inode->unmade);
    assert_int_equal(tree_rename(&w->a, ROOT, "e", ROOT, "d", 0), ERR_NOT_EMPTY);
    close_handle(handle);
    close_handle(second);
}

IN_WORLD(a_lock_on_it_is_a_lock_on_a_stored_file) {
    struct handle *handle = unmade(w, "f");
    struct lock_wish wish = {
        .lock = {
            .owner = 5, .pid = 1, .kind = LOCK_FLOCK, .type = LOCK_EXCLUSIVE, .last = LOCK_TO_END}};
    uint64_t owner = 5;
    assert_int_equal(locks_set(handle, &wish), 0);
    assert_int_equal(look_up(&w->b, ROOT, "f"), 0);
    locks_release(handle, &owner);
    close_handle(handle);
}

/* ---- others ---- */
IN_WORLD(what_another_mount_has_made_meanwhile_is_replaced_with_its_blocks) {
    struct handle *handle = unmade(w, "f");
    struct handle *other = create(&w->b, "f");
    put_large(other);
    close_handle(other);
    assert_true(store_mem_live_rows(w->mem, 'b') > 0);
    other = open_flags(&w->b, "f", O_RDWR);
    put(handle, 0, "ours");
    settle();
    assert_holds(&w->b, "f", "ours");
    assert_int_equal(ino_of(&w->b, "f"), handle->file->inode->ino);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_int_equal(handle_write(other, 0, bytes_of_string("theirs")), ERR_STALE);
    handle_release(other);
    close_handle(handle);
    assert_holds(&w->a, "f", "ours");
}

IN_WORLD(a_directory_that_another_mount_has_made_meanwhile_stays) {
    struct handle *handle = unmade(w, "f");
    struct maker directory = {.mode = S_IFDIR | 0755};
    struct stat stat;
    assert_int_equal(tree_mkdir(&w->b, ROOT, "f", &directory, &stat), 0);
    assert_int_equal(handle_write(handle, 0, bytes_of_string("x")), ERR_STALE);
    assert_int_equal(handle_flush(handle), ERR_STALE);
    handle_release(handle);
    settle();
    assert_int_equal(w->a.inodes.n_unmade, 0);
    watch_told(&w->a.inodes.watches, &namespace_root, "f");
    assert_int_equal(tree_lookup(&w->a, ROOT, "f", &stat), 0);
    assert_true(S_ISDIR(stat.st_mode));
}

IN_WORLD(in_a_directory_that_another_mount_has_removed_it_is_stale) {
    struct maker directory = {.mode = S_IFDIR | 0755};
    struct stat d;
    watch_it(&w->a, &namespace_root);
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &directory, &d), 0);
    watch_it(&w->a, &inodes_find(&w->a.inodes, d.st_ino)->directory);
    struct handle *handle = open_in(&w->a, d.st_ino, "f", FLAGS);
    assert_int_equal(tree_rmdir(&w->b, ROOT, "d"), 0);
    assert_int_equal(handle_write(handle, 0, bytes_of_string("x")), ERR_STALE);
    handle_release(handle);
    settle();
    assert_int_equal(w->a.inodes.n_unmade, 0);
}

/* ---- failures ---- */
IN_WORLD(the_first_write_tells_that_it_could_not_be_stored_and_the_next_stores_it) {
    struct handle *handle = unmade(w, "f");
    store_mem_fail(w->mem, 1, 1, ERR_UNAVAILABLE, false);
    assert_int_equal(handle_write(handle, 0, bytes_of_string("lost")), ERR_UNAVAILABLE);
    assert_int_equal(handle->file->size, 0);
    assert_int_equal(ino_of(&w->a, "f"), handle->file->inode->ino);
    put(handle, 0, "kept");
    close_handle(handle);
    assert_holds(&w->b, "f", "kept");
}

IN_WORLD(close_tells_of_an_empty_one_and_what_could_never_be_stored_is_gone) {
    struct handle *handle = unmade(w, "f");
    store_mem_fail(w->mem, 1, 9, ERR_UNAVAILABLE, false);
    assert_int_equal(handle_flush(handle), ERR_UNAVAILABLE);
    handle_release(handle);
    settle();
    store_mem_reset_hooks(w->mem);
    assert_int_equal(w->a.inodes.n_unmade, 0);
    assert_int_equal(look_up(&w->a, ROOT, "f"), ERR_NO_ENTRY);
    handle = open_in(&w->a, ROOT, "f", FLAGS);
    put(handle, 0, "anew");
    close_handle(handle);
    assert_holds(&w->b, "f", "anew");
}

IN_WORLD(what_was_stored_without_an_answer_is_met_again_and_holds_what_came_last) {
    struct handle *handle = unmade(w, "f");
    store_mem_fail(w->mem, 1, 999, ERR_UNKNOWN, true);
    assert_int_not_equal(handle_write(handle, 0, bytes_of_string("unheard")), 0);
    store_mem_reset_hooks(w->mem);
    assert_true(handle->file->inode->unmade);
    assert_holds(&w->b, "f", "unheard");
    put(handle, 0, "last");
    assert_int_equal(ino_of(&w->b, "f"), handle->file->inode->ino);
    close_handle(handle);
    assert_holds(&w->b, "f", "last");
}

struct writing {
    struct handle *handle;
    const char *text;
};

static int write_it(void *arg) {
    const struct writing *writing = arg;
    return handle_write(writing->handle, 0, bytes_of_string(writing->text));
}

static int rename_it(void *arg) {
    return tree_rename(arg, ROOT, "f", ROOT, "g", 0);
}

IN_WORLD(it_is_made_once_when_two_come_at_the_same_time) {
    struct handle *handle = unmade(w, "f");
    struct writing writing = {handle, "text"};
    struct task_group group = {0};
    store_mem_yield(w->mem, true);
    task_group_run(&group, write_it, &writing);
    task_group_run(&group, rename_it, &w->a);
    task_group_wait(&group, 0);
    assert_int_equal(group.status, 0);
    store_mem_yield(w->mem, false);
    assert_holds(&w->b, "g", "text");
    assert_int_equal(look_up(&w->b, ROOT, "f"), ERR_NO_ENTRY);
    close_handle(handle);
}

/* ---- the next worker ---- */
static void *memory_made(void) {
    void *memory = mmap(NULL, survivor_size(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

/* Another worker of mount `a` begins with what there is in the survivor now. */
struct succession {
    void *memory, *left;
    struct survivor *survivor, *next_survivor;
    struct mount next;
    struct namespace *ns;
    struct handle *handle;
};

static void begin(struct world *w, struct succession *s) {
    s->memory = memory_made();
    s->left = memory_made();
    assert_int_equal(survivor_attach(s->memory, &s->survivor), 0);
    w->a.config.survivor = w->a.inodes.survivor = w->a.handles.survivor = s->survivor;
    s->handle = unmade(w, "f");
    struct opening opening = {.open = s->handle,
                              .kind = SURVIVOR_FILE,
                              .ino = s->handle->file->inode->ino,
                              .flags = FLAGS};
    handles_add(&w->a.handles, &opening, 7);
}

/* Of the survivor's memory, of which most is for more inodes than a test has. */
static size_t used_size(void) {
    return survivor_size() - ((size_t)SURVIVOR_INODES_MAX - 64) * sizeof(struct survivor_inode);
}

static void take_over(struct world *w, struct succession *s) {
    memcpy(s->left, s->memory, used_size());
    assert_int_equal(survivor_attach(s->left, &s->next_survivor), 0);
    assert_int_equal(namespace_open(store_mem_store(w->mem), &s->ns), 0);
    struct mount_config config = w->a.config;
    config.ns = s->ns;
    config.watcher = NULL;
    config.survivor = s->next_survivor;
    mount_init(&s->next, &config);
    struct locks_config locks = {
        .now_ns = world_now_ns, .clock = w->mem, .lease_ns = LEASE_DEFAULT_NS};
    locks_start(&s->next, &locks);
}

static void end(struct world *w, struct succession *s) {
    writeback_drain(&s->next);
    locks_end(&s->next);
    locks_free(&s->next);
    mount_release(&s->next);
    namespace_close(s->ns);
    close_handle(s->handle);
    settle();
    survivor_detach(s->next_survivor);
    for (uint64_t i = 1; i <= w->a.handles.n; i++) {
        handles_drop(&w->a.handles, i);
    }
    munmap(s->left, survivor_size());
}

/* After the mounts are gone. */
static void free_memory(struct succession *s) {
    survivor_detach(s->survivor);
    munmap(s->memory, survivor_size());
}

static struct succession succession;

IN_WORLD(the_next_worker_goes_on_with_it) {
    struct succession *s = &succession;
    begin(w, s);
    take_over(w, s);
    struct inode *inode = inodes_find(&s->next.inodes, s->handle->file->inode->ino);
    assert_non_null(inode);
    assert_true(inode->unmade);
    assert_int_equal(ino_of(&s->next, "f"), inode->ino);
    struct handle *handle = open_flags(&s->next, "f", O_WRONLY);
    assert_int_equal(look_up(&w->b, ROOT, "f"), ERR_NO_ENTRY);
    put(handle, 0, "text");
    assert_holds(&w->b, "f", "text");
    for (uint32_t i = 0; i < SURVIVOR_UNMADE_MAX; i++) {
        assert_null(survivor_unmade(s->next_survivor, i));
    }
    put(s->handle, 0, "text"); /* so that the former worker, which was not killed, does no harm */
    close_handle(handle);
    end(w, s);
}

IN_WORLD(the_next_worker_stores_it_without_being_asked) {
    struct succession *s = &succession;
    begin(w, s);
    take_over(w, s);
    assert_int_equal(writeback_start(&s->next), 0);
    settle();
    assert_holds(&w->b, "f", "");
    end(w, s);
}

IN_WORLD(the_next_worker_finds_what_was_stored_before_it) {
    struct succession *s = &succession;
    begin(w, s);
    take_over(w, s);
    put(s->handle, 0, "stored"); /* and the worker is killed before it notes that */
    struct inode *inode = inodes_find(&s->next.inodes, s->handle->file->inode->ino);
    assert_true(inode->unmade);
    assert_holds(&s->next, "f", "stored");
    assert_false(inode->unmade);
    struct handle *handle = open_flags(&s->next, "f", O_WRONLY);
    close_handle(handle);
    assert_holds(&w->b, "f", "stored");
    end(w, s);
}

IN_WORLD(a_request_that_comes_again_meets_what_it_has_made) {
    struct succession *s = &succession;
    struct maker maker = maker_file;
    struct handle *handle;
    struct stat stat;
    begin(w, s);
    take_over(w, s);
    maker.flags = FLAGS;
    maker.again = true;
    maker.began_ns = s->handle->file->inode->known->entry.record.atime_ns;
    assert_int_equal(tree_create(&s->next, ROOT, "f", &maker, &stat, &handle), 0);
    assert_int_equal(stat.st_ino, s->handle->file->inode->ino);
    put(handle, 0, "again");
    close_handle(handle);
    assert_holds(&w->b, "f", "again");
    put(s->handle, 0, "again");
    end(w, s);
}

static int free_after(void **state) {
    (void)state;
    if (succession.survivor != NULL) {
        free_memory(&succession);
    }
    succession = (struct succession){0};
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_name_goes_with_the_first_write),
        cmocka_unit_test(of_larger_contents_the_blocks_are_stored_first_and_then_name_and_record),
        cmocka_unit_test(what_is_never_written_is_stored_at_close),
        cmocka_unit_test(fsync_stores_it_and_asks_no_more_of_it),
        cmocka_unit_test(it_is_stored_after_a_second_in_which_nothing_was_written),
        cmocka_unit_test(appends_go_behind_each_other),
        cmocka_unit_test(what_others_may_have_or_must_know_is_made_at_once),
        cmocka_unit_test(beyond_the_bound_files_are_made_at_once),
        cmocka_unit_test(this_mount_finds_and_opens_it_also_without_a_watch),
        cmocka_unit_test(its_directory_counts_it_once),
        cmocka_unit_test(times_that_are_set_of_its_directory_stay),
        cmocka_unit_test(a_listing_has_it),
        cmocka_unit_test(its_mode_goes_into_the_same_record),
        cmocka_unit_test(what_its_writer_sets_waits_for_it),
        cmocka_unit_test(an_extended_attribute_is_stored_with_it),
        cmocka_unit_test(truncating_it_stores_it),
        cmocka_unit_test(it_is_removed_as_any_file),
        cmocka_unit_test(it_is_renamed_and_replaced_as_any_file),
        cmocka_unit_test(it_gets_a_second_name_as_any_file),
        cmocka_unit_test(its_name_is_taken_for_everything_else),
        cmocka_unit_test(its_directory_is_not_empty),
        cmocka_unit_test(a_lock_on_it_is_a_lock_on_a_stored_file),
        cmocka_unit_test(what_another_mount_has_made_meanwhile_is_replaced_with_its_blocks),
        cmocka_unit_test(a_directory_that_another_mount_has_made_meanwhile_stays),
        cmocka_unit_test(in_a_directory_that_another_mount_has_removed_it_is_stale),
        cmocka_unit_test(the_first_write_tells_that_it_could_not_be_stored_and_the_next_stores_it),
        cmocka_unit_test(close_tells_of_an_empty_one_and_what_could_never_be_stored_is_gone),
        cmocka_unit_test(what_was_stored_without_an_answer_is_met_again_and_holds_what_came_last),
        cmocka_unit_test(it_is_made_once_when_two_come_at_the_same_time),
        cmocka_unit_test_teardown(the_next_worker_goes_on_with_it, free_after),
        cmocka_unit_test_teardown(the_next_worker_stores_it_without_being_asked, free_after),
        cmocka_unit_test_teardown(the_next_worker_finds_what_was_stored_before_it, free_after),
        cmocka_unit_test_teardown(a_request_that_comes_again_meets_what_it_has_made, free_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
