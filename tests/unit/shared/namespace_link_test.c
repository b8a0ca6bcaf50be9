/* namespace_link: a file of several names is one file, whatever happens meanwhile, and none of its
 * names is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "shared/namespace_link.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *const root = &namespace_root;
static struct id128 d, e;
/* Where the second name comes to: &e, or &d, beside the first. */
static const struct id128 *second_in = &e;
/* The caller of a link knows that there is no such name. */
static bool known_missing;
/* What the last link has told: the file, and its first name. */
static struct entry last_file, last_pointer;

static void keep_last(const struct entry *file, const struct entry *pointer) {
    entry_release(&last_file);
    entry_release(&last_pointer);
    last_file = *file;
    last_pointer = *pointer;
}

static int link_names(struct namespace *ns, const struct id128 *from, const char *name,
                      const struct id128 *to, const char *to_name) {
    struct entry file, made, pointer;
    int err = namespace_lookup(ns, from, name, &file);
    if (err < 0) {
        return err;
    }
    struct link_name link = {.directory = *to};
    strcpy(link.name, to_name);
    err = namespace_link_known(ns, &file, &link, known_missing, &made, &pointer);
    if (err == 0) {
        assert_true(made.linked);
        assert_string_equal(made.name, to_name);
        assert_true(record_has_link(&made.record, to, to_name));
        keep_last(&made, &pointer);
    }
    entry_release(&file);
    return err;
}

/* st_nlink; 0: no such name. */
static uint32_t links_of(struct namespace *ns, const struct id128 *directory, const char *name) {
    struct entry entry;
    int err = namespace_lookup(ns, directory, name, &entry);
    if (err == ERR_NO_ENTRY) {
        return 0;
    }
    assert_int_equal(err, 0);
    uint32_t n = entry.n_links;
    entry_release(&entry);
    return n;
}

static uint64_t file_id_of(struct namespace *ns, const struct id128 *directory, const char *name) {
    struct entry entry;
    assert_int_equal(namespace_lookup(ns, directory, name, &entry), 0);
    uint64_t id = entry.record.file_id;
    entry_release(&entry);
    return id;
}

static void prepare_file(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
}

static void prepare_linked(struct world *w) {
    prepare_file(w);
    assert_int_equal(link_names(w->ns, &d, "a", second_in, "b"), 0);
}

/* With the second name in another directory and beside the first, which its maker looks for or
 * knows to be missing. */
static void in_each_way(void (*test)(void)) {
    for (int way = 0; way < 4; way++) {
        second_in = way % 2 == 0 ? &e : &d;
        known_missing = way / 2 == 1;
        test();
    }
    second_in = &e;
    known_missing = false;
}

/* ---- one client after another ---- */

IN_WORLD(both_names_are_one_file) {
    prepare_linked(w);
    assert_int_equal(look(w->ns, &d, "a", "A"), 0);
    assert_int_equal(look(w->other, &e, "b", "A"), 0);
    assert_int_equal(links_of(w->ns, &d, "a"), 2);
    assert_int_equal(links_of(w->other, &e, "b"), 2);
    assert_int_equal(file_id_of(w->ns, &d, "a"), file_id_of(w->ns, &e, "b"));
    assert_int_equal(append_text(w->other, &e, "b", "1"), 0);
    assert_int_equal(append_text(w->ns, &d, "a", "2"), 0);
    assert_int_equal(look(w->ns, &e, "b", "A12"), 0);
}

IN_WORLD(a_name_that_is_taken_is_not_linked) {
    prepare_linked(w);
    assert_int_equal(make_file(w->ns, &e, "c", "C"), 0);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "c"), ERR_EXISTS);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "b"), ERR_EXISTS);
    assert_int_equal(link_names(w->ns, &d, "a", &d, "a"), ERR_EXISTS);
    assert_int_equal(links_of(w->ns, &d, "a"), 2);
    assert_int_equal(make_file(w->ns, &d, "a", "X"), ERR_EXISTS);
}

IN_WORLD(what_creating_meets_is_the_file_and_no_pointer) {
    prepare_linked(w);
    struct record record = file_record("X");
    struct entry met;
    assert_int_equal(namespace_create(w->ns, &e, "b", &record, &met), ERR_EXISTS);
    assert_int_equal(met.n_links, 2);
    assert_int_equal(met.record.size, 1);
    entry_release(&met);
}

IN_WORLD(directories_cannot_be_linked_and_the_gone_neither) {
    prepare_linked(w);
    assert_int_equal(link_names(w->ns, root, "d", &e, "d"), ERR_IS_DIRECTORY);
    struct entry file, made;
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &file), 0);
    assert_int_equal(namespace_unlink(w->ns, &d, "a", NULL), 0);
    assert_int_equal(namespace_unlink(w->ns, &e, "b", NULL), 0);
    assert_int_equal(namespace_link(w->ns, &file, &e, "c", &made), ERR_STALE);
    assert_int_equal(namespace_rmdir(w->ns, root, "e"), 0);
    assert_int_equal(link_names(w->ns, root, "d", &e, "c"), ERR_IS_DIRECTORY);
    entry_release(&file);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "c"), ERR_NO_ENTRY);
    assert_int_equal(links_of(w->other, &d, "a"), 1);
}

IN_WORLD(symlinks_and_fifos_can_be_linked) {
    const struct record kinds[] = {
        {.mode = S_IFLNK | 0777, .size = 2, .data = bytes_of("to", 2)},
        {.mode = S_IFIFO | 0600},
        {.mode = S_IFCHR | 0600, .rdev = 259},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct entry entry;
        assert_int_equal(namespace_create(w->ns, root, "x", &kinds[i], &entry), 0);
        entry_release(&entry);
        assert_int_equal(link_names(w->ns, root, "x", root, "y"), 0);
        assert_int_equal(namespace_unlink(w->ns, root, "x", NULL), 0);
        assert_int_equal(namespace_lookup(w->other, root, "y", &entry), 0);
        assert_int_equal(entry.record.mode, kinds[i].mode);
        assert_int_equal(entry.record.rdev, kinds[i].rdev);
        assert_true(bytes_equal(entry.record.data, kinds[i].data));
        entry_release(&entry);
        assert_int_equal(namespace_unlink(w->ns, root, "y", NULL), 0);
    }
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
}

IN_WORLD(the_file_goes_with_its_last_name) {
    struct entry removed;
    prepare_linked(w);
    assert_int_equal(link_names(w->other, &e, "b", &e, "c"), 0);
    assert_int_equal(namespace_unlink(w->ns, &d, "a", &removed), 0);
    assert_int_equal(removed.n_links, 2);
    entry_release(&removed);
    assert_int_equal(namespace_unlink(w->other, &e, "c", &removed), 0);
    assert_int_equal(removed.n_links, 1);
    entry_release(&removed);
    assert_int_equal(look(w->ns, &e, "b", "A"), 0);
    assert_int_equal(namespace_unlink(w->ns, &e, "b", &removed), 0);
    assert_int_equal(removed.n_links, 0);
    assert_true(bytes_equal(removed.record.data, bytes_of_string("A")));
    entry_release(&removed);
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "d"), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "e"), 0);
}

IN_WORLD(links_are_counted_by_the_times_of_change) {
    struct entry before, after;
    prepare_file(w);
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &before), 0);
    store_mem_advance(w->mem, 1000000);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "b"), 0);
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &after), 0);
    assert_true(after.record.ctime_ns > before.record.ctime_ns);
    assert_int_equal(after.record.mtime_ns, before.record.mtime_ns);
    entry_release(&before);
    store_mem_advance(w->mem, 1000000);
    assert_int_equal(namespace_unlink(w->ns, &d, "a", NULL), 0);
    assert_int_equal(namespace_lookup(w->ns, &e, "b", &before), 0);
    assert_true(before.record.ctime_ns > after.record.ctime_ns);
    entry_release(&before);
    entry_release(&after);
}

IN_WORLD(one_more_name_than_the_bound_is_refused) {
    char name[16];
    prepare_file(w);
    for (int i = 1; i < LINK_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(link_names(w->ns, &d, "a", &e, name), 0);
    }
    assert_int_equal(links_of(w->ns, &d, "a"), LINK_NAMES_MAX);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "more"), ERR_TOO_MANY_LINKS);
    assert_int_equal(look(w->ns, &e, "more", NULL), ERR_NO_ENTRY);
    assert_int_equal(namespace_unlink(w->ns, &e, "n7", NULL), 0);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "more"), 0);
}

static int chmod_change(void *context, struct record *record) {
    (void)context;
    record->mode = S_IFREG | 0600;
    return 0;
}

IN_WORLD(who_knew_the_file_before_it_was_linked_changes_it_wherever_it_is) {
    struct entry known;
    prepare_file(w);
    assert_int_equal(namespace_lookup(w->other, &d, "a", &known), 0);
    assert_int_equal(link_names(w->ns, &d, "a", &e, "b"), 0);
    struct entry second, third;
    entry_copy(&known, &second);
    entry_copy(&known, &third);
    assert_int_equal(namespace_update(w->other, &known, chmod_change, NULL, false), 0);
    assert_int_equal(known.n_links, 2);
    assert_int_equal(namespace_unlink(w->ns, &d, "a", NULL), 0);
    assert_int_equal(namespace_update(w->other, &second, chmod_change, NULL, false), 0);
    assert_int_equal(second.n_links, 1);
    assert_int_equal(make_file(w->ns, &d, "a", "other"), 0);
    assert_int_equal(namespace_update(w->other, &third, chmod_change, NULL, false), 0);
    assert_int_equal(third.record.mode & 07777, 0600);
    assert_int_equal(look(w->ns, &d, "a", "other"), 0);
    entry_release(&known);
    entry_release(&second);
    entry_release(&third);
}

IN_WORLD(a_listing_knows_type_and_number_and_the_rest_when_asked) {
    struct listing listing;
    prepare_linked(w);
    assert_int_equal(namespace_list(w->ns, &e, 0, 10, &listing), 0);
    assert_int_equal(listing.n, 1);
    const struct entry *entry = &listing.entries[0].entry;
    assert_int_equal(entry->record.contents_kind, CONTENTS_LINKED);
    assert_int_equal(entry->record.mode, S_IFREG);
    assert_int_equal(record_ino(&entry->record), file_id_of(w->ns, &d, "a"));
    namespace_list_follow(w->ns, &listing);
    assert_int_equal(entry->record.mode, S_IFREG | 0644);
    assert_int_equal(entry->n_links, 2);
    assert_string_equal(entry->name, "b");
    listing_release(&listing);
}

/* ---- renames ---- */

IN_WORLD(a_renamed_name_is_renamed_in_the_list) {
    prepare_linked(w);
    assert_int_equal(move(w->ns, &d, "a", &d, "x"), 0);
    assert_int_equal(links_of(w->ns, &d, "x"), 2);
    assert_int_equal(move(w->other, &d, "x", &e, "y"), 0);
    assert_int_equal(links_of(w->ns, &e, "y"), 2);
    assert_int_equal(namespace_unlink(w->ns, &e, "b", NULL), 0);
    assert_int_equal(links_of(w->ns, &e, "y"), 1);
    assert_int_equal(look(w->other, &e, "y", "A"), 0);
    assert_int_equal(namespace_unlink(w->ns, &e, "y", NULL), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
}

IN_WORLD(a_rename_over_another_name_of_the_file_does_nothing) {
    prepare_linked(w);
    assert_int_equal(link_names(w->ns, &d, "a", &d, "c"), 0);
    struct entry moved, replaced;
    assert_int_equal(namespace_rename(w->ns, &d, "a", &e, "b", 0, &moved, &replaced), 0);
    assert_int_equal(moved.n_links, 3);
    assert_int_equal(replaced.name[0], 0);
    entry_release(&moved);
    assert_int_equal(move(w->ns, &d, "a", &d, "c"), 0);
    assert_int_equal(links_of(w->ns, &d, "a"), 3);
    assert_int_equal(links_of(w->ns, &d, "c"), 3);
}

IN_WORLD(a_replaced_name_leaves_the_list) {
    prepare_linked(w);
    assert_int_equal(make_file(w->ns, &d, "n", "N"), 0);
    struct entry moved, replaced;
    assert_int_equal(namespace_rename(w->ns, &d, "n", &e, "b", 0, &moved, &replaced), 0);
    assert_int_equal(replaced.n_links, 1);
    assert_true(bytes_equal(replaced.record.data, bytes_of_string("A")));
    entry_release(&moved);
    entry_release(&replaced);
    assert_int_equal(links_of(w->ns, &d, "a"), 1);
    assert_int_equal(namespace_rename(w->ns, &e, "b", &d, "a", 0, &moved, &replaced), 0);
    assert_int_equal(replaced.n_links, 0);
    entry_release(&moved);
    entry_release(&replaced);
    assert_int_equal(look(w->ns, &d, "a", "N"), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
}

IN_WORLD(exchanged_names_change_places_in_the_lists) {
    prepare_linked(w);
    assert_int_equal(make_file(w->ns, &d, "p", "P"), 0);
    assert_int_equal(link_names(w->ns, &d, "p", &d, "q"), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &d, "p", RENAME_EXCHANGE, NULL, NULL), 0);
    assert_int_equal(look(w->ns, &d, "a", "P"), 0);
    assert_int_equal(look(w->ns, &d, "p", "A"), 0);
    assert_int_equal(namespace_unlink(w->ns, &d, "q", NULL), 0);
    assert_int_equal(namespace_unlink(w->ns, &e, "b", NULL), 0);
    assert_int_equal(links_of(w->ns, &d, "a"), 1);
    assert_int_equal(links_of(w->ns, &d, "p"), 1);
    assert_int_equal(look(w->other, &d, "a", "P"), 0);
    assert_int_equal(look(w->other, &d, "p", "A"), 0);
}

/* ---- crashes ---- */

/* The client answers nothing any more from its n-th call on; w->other comes a minute later. */
struct crash {
    void (*prepare)(struct world *w);
    int (*operate)(struct world *w);
};
static const struct crash *scenario;
static uint64_t crash_at;
static bool crash_applied, crash_happened;
static const char *const all_names[] = {"d/a", "d/x", "e/b", "e/c", "d/p", "d/b"};

static const struct id128 *directory_of(const char *path) {
    return path[0] == 'd' ? &d : &e;
}

/* Every name that is there stands for the whole file, is in its list, and taking the names away one
 * by one takes the file with the last; a name in the list that is not there is found out. */
static void check_whole(struct world *w, int err) {
    uint32_t n = 0, listed = 0;
    (void)err;
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        struct entry entry;
        const struct id128 *directory = directory_of(all_names[i]);
        const char *name = all_names[i] + 2;
        int found = namespace_lookup(w->other, directory, name, &entry);
        if (found == 0 && entry.record.data.data[0] == 'A') {
            n++;
            listed = entry.n_links;
            assert_true(!entry.linked || record_has_link(&entry.record, directory, name));
        }
        assert_true(found == 0 || found == ERR_NO_ENTRY);
        if (found == 0) {
            entry_release(&entry);
        }
    }
    assert_true(n >= 1 && listed >= n);
}

static uint64_t prune_all(struct world *w, uint64_t file_id) {
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        struct link_name name = {.directory = *directory_of(all_names[i])};
        struct entry file;
        snprintf(name.name, sizeof name.name, "%s", all_names[i] + 2);
        int err = namespace_link_prune(w->other, file_id, &name, &file);
        assert_true(err == 0 || err == ERR_NO_ENTRY);
        if (err == 0) {
            entry_release(&file);
        }
    }
    return store_mem_live_rows(w->mem, 'i');
}

static void crash_once(struct world *w) {
    scenario->prepare(w);
    uint64_t file_id = file_id_of(w->ns, &d, "a");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, crash_at, UINT64_MAX, ERR_UNKNOWN, crash_applied);
    int err = scenario->operate(w);
    crash_happened = store_mem_calls(w->mem) >= crash_at;
    store_mem_reset_hooks(w->mem);
    store_mem_advance(w->mem, 60ull * 1000 * 1000 * 1000);
    check_whole(w, err);
    prune_all(w, file_id);
    check_whole(w, err);
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        int removed =
            namespace_unlink(w->other, directory_of(all_names[i]), all_names[i] + 2, NULL);
        assert_true(removed == 0 || removed == ERR_NO_ENTRY);
    }
    /* Pruned once, the list was exact: nothing is left. */
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
}

static void crash_everywhere(const struct crash *one) {
    scenario = one;
    for (int applied = 0; applied < 2; applied++) {
        crash_applied = applied != 0;
        crash_happened = true;
        for (crash_at = 1; crash_happened; crash_at++) {
            world_run(crash_once);
        }
        assert_true(crash_at > 2);
    }
}

static int operate_first_link(struct world *w) {
    return link_names(w->ns, &d, "a", second_in, "b");
}
static int operate_further_link(struct world *w) {
    return link_names(w->ns, second_in, "b", &e, "c");
}
static int operate_unlink(struct world *w) {
    return namespace_unlink(w->ns, &d, "a", NULL);
}
static int operate_move_within(struct world *w) {
    return move(w->ns, &d, "a", &d, "x");
}
static int operate_move_across(struct world *w) {
    return move(w->ns, &d, "a", &e, "c");
}
static void prepare_other_linked(struct world *w) {
    prepare_linked(w);
    assert_int_equal(make_file(w->ns, &d, "p", "P"), 0);
    assert_int_equal(link_names(w->ns, &d, "p", &e, "c"), 0);
}
static int operate_replace(struct world *w) {
    return move(w->ns, &d, "a", &e, "c");
}
static int operate_replace_within(struct world *w) {
    return move(w->ns, &d, "a", &d, "p");
}
static int operate_exchange(struct world *w) {
    return namespace_rename(w->ns, &d, "a", &d, "p", RENAME_EXCHANGE, NULL, NULL);
}

static int operate_unlink_known(struct world *w) {
    struct entry file, removed;
    int err = namespace_lookup(w->ns, &d, "a", &file);
    if (err < 0) {
        return err;
    }
    err = namespace_unlink_linked(w->ns, &d, "a", &file, &removed);
    if (err == 0) {
        entry_release(&removed);
    }
    entry_release(&file);
    return err;
}

/* As who remembers what the link has told. */
static int operate_unlink_pointer(struct world *w) {
    struct entry file, pointer;
    if (last_pointer.record.mode == 0) {
        return operate_unlink(w);
    }
    entry_copy(&last_file, &file);
    entry_copy(&last_pointer, &pointer);
    int err = namespace_unlink_pointer(w->ns, &pointer, &file, NULL);
    entry_release(&pointer);
    entry_release(&file);
    return err;
}

static void crash_links(void) {
    const struct crash all[] = {
        {.prepare = prepare_file, .operate = operate_first_link},
        {.prepare = prepare_linked, .operate = operate_further_link},
        {.prepare = prepare_linked, .operate = operate_unlink},
        {.prepare = prepare_linked, .operate = operate_unlink_known},
        {.prepare = prepare_linked, .operate = operate_unlink_pointer},
        {.prepare = prepare_linked, .operate = operate_move_within},
        {.prepare = prepare_linked, .operate = operate_move_across},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        crash_everywhere(&all[i]);
    }
}

static void a_crash_leaves_a_list_that_names_all_that_stands(void **state) {
    (void)state;
    in_each_way(crash_links);
}

/* The other file's list may name too much: its names are gone through as well. */
static void crash_two_once(struct world *w) {
    scenario->prepare(w);
    uint64_t first = file_id_of(w->ns, &d, "a"), second = file_id_of(w->ns, &d, "p");
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, crash_at, UINT64_MAX, ERR_UNKNOWN, crash_applied);
    int err = scenario->operate(w);
    crash_happened = store_mem_calls(w->mem) >= crash_at;
    store_mem_reset_hooks(w->mem);
    store_mem_advance(w->mem, 60ull * 1000 * 1000 * 1000);
    check_whole(w, err);
    prune_all(w, first);
    prune_all(w, second);
    check_whole(w, err);
    for (size_t i = 0; i < sizeof all_names / sizeof *all_names; i++) {
        int removed =
            namespace_unlink(w->other, directory_of(all_names[i]), all_names[i] + 2, NULL);
        assert_true(removed == 0 || removed == ERR_NO_ENTRY);
    }
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
}

static void a_crash_between_two_files_with_several_names_loses_neither(void **state) {
    (void)state;
    const struct crash all[] = {
        {.prepare = prepare_other_linked, .operate = operate_replace},
        {.prepare = prepare_other_linked, .operate = operate_replace_within},
        {.prepare = prepare_other_linked, .operate = operate_exchange},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        scenario = &all[i];
        for (int applied = 0; applied < 2; applied++) {
            crash_applied = applied != 0;
            crash_happened = true;
            for (crash_at = 1; crash_happened; crash_at++) {
                world_run(crash_two_once);
            }
        }
    }
}

/* ---- two clients at once ---- */

static int meddle_append(struct world *w) {
    return append_text(w->other, &d, "a", "+");
}
static int meddle_link(struct world *w) {
    return link_names(w->other, &d, "a", &e, "c");
}
static int meddle_link_the_same(struct world *w) {
    return link_names(w->other, &d, "a", second_in, "b");
}
static int meddle_unlink(struct world *w) {
    return namespace_unlink(w->other, &d, "a", NULL);
}
static int meddle_move(struct world *w) {
    return move(w->other, &d, "a", &d, "x");
}
static int meddle_prune(struct world *w) {
    struct link_name name = {.directory = *second_in, .name = "b"};
    struct entry file;
    int err = namespace_link_prune(w->other, file_id_of(w->other, &d, "a"), &name, &file);
    if (err == 0) {
        entry_release(&file);
    }
    return err;
}

static void judge_append(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    if (meddled != DUEL_NOT_MET) {
        assert_int_equal(meddled, 0);
        assert_int_equal(look(w->ns, &d, "a", "A+"), 0);
        assert_int_equal(look(w->other, second_in, "b", "A+"), 0);
    }
}
static void judge_links(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    if (meddled != DUEL_NOT_MET) {
        assert_int_equal(meddled, 0);
        assert_int_equal(links_of(w->ns, &d, "a"), 3);
        assert_int_equal(links_of(w->ns, second_in, "b"), 3);
        assert_int_equal(links_of(w->ns, &e, "c"), 3);
    }
}
static void judge_one_link(struct world *w, int operated, int meddled) {
    if (meddled != DUEL_NOT_MET) {
        assert_true((operated == 0) != (meddled == 0));
        assert_true(operated == 0 || operated == ERR_EXISTS);
        assert_true(meddled == 0 || meddled == ERR_EXISTS);
    }
    assert_int_equal(links_of(w->ns, &d, "a"), 2);
    assert_int_equal(links_of(w->ns, second_in, "b"), 2);
}
static void judge_unlinked(struct world *w, int operated, int meddled) {
    if (meddled == DUEL_NOT_MET) {
        return;
    }
    assert_int_equal(meddled, 0);
    assert_int_equal(look(w->ns, &d, "a", NULL), ERR_NO_ENTRY);
    uint32_t n = links_of(w->ns, second_in, "b");
    assert_true(operated == 0 ? n == 1 : operated == ERR_STALE || operated == ERR_NO_ENTRY);
    assert_true(operated == 0 || n == 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), n);
}
static void judge_moved(struct world *w, int operated, int meddled) {
    if (meddled == DUEL_NOT_MET) {
        return;
    }
    assert_int_equal(meddled, 0);
    uint32_t n = links_of(w->ns, &d, "x");
    assert_int_equal(links_of(w->ns, &d, "a"), 0);
    /* Before it had a row of its own it can be lost sight of: the caller looks the name up anew. */
    assert_true(operated == 0 ? n == 2 : operated == ERR_STALE || operated == ERR_NO_ENTRY);
    assert_int_equal(links_of(w->ns, second_in, "b"), operated == 0 ? 2 : 0);
    assert_int_equal(look(w->ns, &d, "x", "A"), 0);
}
static void judge_pruned(struct world *w, int operated, int meddled) {
    (void)meddled;
    assert_int_equal(operated, 0);
    assert_int_equal(links_of(w->ns, &d, "a"), 2);
    assert_int_equal(links_of(w->ns, second_in, "b"), 2);
}

static void duel_links(void) {
    const struct duel all[] = {
        {prepare_file, operate_first_link, meddle_append, judge_append},
        {prepare_file, operate_first_link, meddle_link, judge_links},
        {prepare_file, operate_first_link, meddle_link_the_same, judge_one_link},
        {prepare_file, operate_first_link, meddle_unlink, judge_unlinked},
        {prepare_file, operate_first_link, meddle_move, judge_moved},
        {prepare_file, operate_first_link, meddle_prune, judge_pruned},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        duel_at_every_call(&all[i], known_missing || second_in == &d ? 3 : 4);
    }
}

static void a_link_and_anything_at_the_same_time(void **state) {
    (void)state;
    in_each_way(duel_links);
}

static int meddle_link_again(struct world *w) {
    return link_names(w->other, second_in, "b", &d, "a");
}
static int meddle_unlink_b(struct world *w) {
    return namespace_unlink(w->other, second_in, "b", NULL);
}
static void judge_again(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    if (meddled == DUEL_NOT_MET) {
        return;
    }
    assert_true(meddled == 0 || meddled == ERR_EXISTS);
    assert_int_equal(links_of(w->ns, &d, "a"), meddled == 0 ? 2 : 0);
    assert_int_equal(links_of(w->ns, second_in, "b"), meddled == 0 ? 2 : 1);
}
static void judge_both_gone(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    if (meddled != DUEL_NOT_MET) {
        assert_int_equal(meddled, 0);
        assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
    }
}
static void duel_unlinks(void) {
    const struct duel all[] = {
        {prepare_linked, operate_unlink, meddle_link_again, judge_again},
        {prepare_linked, operate_unlink, meddle_unlink_b, judge_both_gone},
        {prepare_linked, operate_unlink_known, meddle_link_again, judge_again},
        {prepare_linked, operate_unlink_known, meddle_unlink_b, judge_both_gone},
        {prepare_linked, operate_unlink_pointer, meddle_link_again, judge_again},
        {prepare_linked, operate_unlink_pointer, meddle_unlink_b, judge_both_gone},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        duel_at_every_call(&all[i], all[i].operate == operate_unlink_pointer ? 2 : 3);
    }
}

static void an_unlink_and_anything_at_the_same_time(void **state) {
    (void)state;
    in_each_way(duel_unlinks);
}

/* ---- what it costs ---- */

IN_WORLD(a_link_beside_the_first_name_is_three_requests_and_two_more_remove_that) {
    prepare_file(w);
    struct entry file, made, pointer, removed;
    struct link_name to = {d, "b"};
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &file), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(namespace_link_known(w->ns, &file, &to, true, &made, &pointer), 0);
    assert_int_equal(store_mem_calls(w->mem), 3);
    assert_string_equal(pointer.name, "a");
    store_mem_reset_hooks(w->mem);
    assert_int_equal(namespace_unlink_pointer(w->ns, &pointer, &made, &removed), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    assert_int_equal(removed.n_links, 1);
    assert_int_equal(look(w->other, &d, "b", "A"), 0);
    assert_int_equal(look(w->other, &d, "a", "A"), ERR_NO_ENTRY);
    entry_release(&removed);
    entry_release(&pointer);
    entry_release(&made);
    entry_release(&file);
}

IN_WORLD(a_name_of_a_file_that_is_known_is_removed_in_three_requests) {
    prepare_file(w);
    struct entry file, made, removed;
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, &d, "b", &made), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(namespace_unlink_linked(w->ns, &d, "a", &made, &removed), 0);
    assert_int_equal(store_mem_calls(w->mem), 3);
    assert_int_equal(removed.n_links, 1);
    assert_int_equal(look(w->other, &d, "b", "A"), 0);
    entry_release(&removed);
    entry_release(&made);
    entry_release(&file);
}

IN_WORLD(a_name_that_is_another_files_by_now_is_removed_like_any) {
    second_in = &d;
    prepare_linked(w);
    second_in = &e;
    assert_int_equal(namespace_unlink(w->other, &d, "a", NULL), 0);
    assert_int_equal(operate_unlink_pointer(w), ERR_NO_ENTRY);
    assert_int_equal(make_file(w->other, &d, "a", "Z"), 0);
    assert_int_equal(operate_unlink_pointer(w), 0);
    assert_int_equal(look(w->other, &d, "a", "Z"), ERR_NO_ENTRY);
    assert_int_equal(look(w->other, &d, "b", "A"), 0);
    assert_int_equal(links_of(w->ns, &d, "b"), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_names_are_one_file),
        cmocka_unit_test(a_name_that_is_taken_is_not_linked),
        cmocka_unit_test(what_creating_meets_is_the_file_and_no_pointer),
        cmocka_unit_test(directories_cannot_be_linked_and_the_gone_neither),
        cmocka_unit_test(symlinks_and_fifos_can_be_linked),
        cmocka_unit_test(the_file_goes_with_its_last_name),
        cmocka_unit_test(links_are_counted_by_the_times_of_change),
        cmocka_unit_test(one_more_name_than_the_bound_is_refused),
        cmocka_unit_test(who_knew_the_file_before_it_was_linked_changes_it_wherever_it_is),
        cmocka_unit_test(a_listing_knows_type_and_number_and_the_rest_when_asked),
        cmocka_unit_test(a_renamed_name_is_renamed_in_the_list),
        cmocka_unit_test(a_rename_over_another_name_of_the_file_does_nothing),
        cmocka_unit_test(a_replaced_name_leaves_the_list),
        cmocka_unit_test(exchanged_names_change_places_in_the_lists),
        cmocka_unit_test(a_crash_leaves_a_list_that_names_all_that_stands),
        cmocka_unit_test(a_crash_between_two_files_with_several_names_loses_neither),
        cmocka_unit_test(a_link_and_anything_at_the_same_time),
        cmocka_unit_test(an_unlink_and_anything_at_the_same_time),
        cmocka_unit_test(a_link_beside_the_first_name_is_three_requests_and_two_more_remove_that),
        cmocka_unit_test(a_name_of_a_file_that_is_known_is_removed_in_three_requests),
        cmocka_unit_test(a_name_that_is_another_files_by_now_is_removed_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
