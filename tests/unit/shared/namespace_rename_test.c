/* namespace_rename: what rename(2) says, within and between partitions, and against others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;
static struct id128 d, e; /* directories of the running test */

static void check_moves(struct world *w, const struct id128 *from, const struct id128 *to) {
    struct entry moved, replaced;
    assert_int_equal(make_file(w->ns, from, "a", "A"), 0);
    assert_int_equal(
        namespace_rename(w->ns, from, "a", to, "b", RENAME_NOREPLACE, &moved, &replaced), 0);
    assert_string_equal(moved.name, "b");
    assert_true(id128_equal(&moved.directory, to));
    assert_false(moved.record.move.under_way);
    assert_string_equal(replaced.name, "");
    assert_int_equal(look(w->ns, from, "a", NULL), ERR_NO_ENTRY);
    assert_int_equal(look(w->other, to, "b", "A"), 0);
    entry_release(&moved);

    assert_int_equal(make_file(w->ns, from, "a", "A2"), 0);
    assert_int_equal(namespace_rename(w->ns, from, "a", to, "b", RENAME_NOREPLACE, NULL, NULL),
                     ERR_EXISTS);
    assert_int_equal(namespace_rename(w->ns, from, "a", to, "b", 0, &moved, &replaced), 0);
    assert_true(bytes_equal(replaced.record.data, bytes_of_string("A")));
    assert_int_equal(look(w->other, to, "b", "A2"), 0);
    assert_int_equal(look(w->other, from, "a", NULL), ERR_NO_ENTRY);
    entry_release(&moved);
    entry_release(&replaced);
    assert_int_equal(move(w->ns, from, "a", to, "c"), ERR_NO_ENTRY);
    /* What has moved can be changed, moved back and removed. */
    assert_int_equal(append_text(w->other, to, "b", "+"), 0);
    assert_int_equal(move(w->other, to, "b", from, "a"), 0);
    assert_int_equal(look(w->ns, from, "a", "A2+"), 0);
    assert_int_equal(namespace_unlink(w->ns, from, "a", NULL), 0);
}

IN_WORLD(a_file_moves_within_a_directory) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    check_moves(w, &d, &d);
}

IN_WORLD(a_file_moves_between_directories) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    check_moves(w, &d, &e);
    check_moves(w, root, &e);
    check_moves(w, &d, root);
}

IN_WORLD(a_file_moves_between_the_roots_shards) {
    check_moves(w, root, root);
}

/* Files and directories over each other; `to` is in another partition or the same. */
static void check_kinds(struct world *w, const struct id128 *from, const struct id128 *to) {
    struct id128 full;
    assert_int_equal(make_file(w->ns, from, "file", ""), 0);
    assert_int_equal(make_directory(w->ns, from, "dir", NULL), 0);
    assert_int_equal(make_directory(w->ns, to, "full", &full), 0);
    assert_int_equal(make_file(w->ns, &full, "x", ""), 0);
    assert_int_equal(make_directory(w->ns, to, "empty", NULL), 0);
    assert_int_equal(make_file(w->ns, to, "other", ""), 0);
    assert_int_equal(move(w->ns, from, "file", to, "empty"), ERR_IS_DIRECTORY);
    assert_int_equal(move(w->ns, from, "dir", to, "other"), ERR_NOT_DIRECTORY);
    assert_int_equal(move(w->ns, from, "dir", to, "full"), ERR_NOT_EMPTY);
    uint64_t rows = store_mem_live_rows(w->mem, 'd');
    assert_int_equal(move(w->ns, from, "dir", to, "empty"), 0);
    assert_int_equal(look(w->ns, from, "dir", NULL), ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, to, "empty", NULL), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), rows - 2); /* an entry, a header */
}

IN_WORLD(files_and_directories_replace_only_their_own_kind) {
    struct id128 f;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_directory(w->ns, root, "f", &f), 0);
    check_kinds(w, &d, &d);
    check_kinds(w, &e, &f);
}

IN_WORLD(a_moved_directory_keeps_what_is_in_it_and_knows_its_new_parent) {
    struct id128 child;
    struct directory_attributes attributes;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_directory(w->ns, &d, "child", &child), 0);
    assert_int_equal(make_file(w->ns, &child, "a", "A"), 0);
    assert_int_equal(move(w->ns, &d, "child", &e, "kid"), 0);
    assert_int_equal(namespace_attributes(w->other, &child, &attributes), 0);
    assert_true(id128_equal(&attributes.parent, &e));
    assert_int_equal(look(w->other, &child, "a", "A"), 0);
    assert_int_equal(make_file(w->other, &child, "b", "B"), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "d"), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "e"), ERR_NOT_EMPTY);
    /* The register is free again. */
    assert_int_equal(store_mem_live_rows(w->mem, 's'), 1);
}

IN_WORLD(a_directory_cannot_move_into_itself) {
    struct id128 a, b, c;
    assert_int_equal(make_directory(w->ns, root, "a", &a), 0);
    assert_int_equal(make_directory(w->ns, &a, "b", &b), 0);
    assert_int_equal(make_directory(w->ns, &b, "c", &c), 0);
    assert_int_equal(move(w->ns, root, "a", &a, "x"), ERR_LOOP);
    assert_int_equal(move(w->ns, root, "a", &c, "x"), ERR_LOOP);
    assert_int_equal(move(w->ns, &a, "b", &c, "x"), ERR_LOOP);
    assert_int_equal(move(w->ns, &b, "c", root, "a"), ERR_NOT_EMPTY);
    assert_int_equal(move(w->ns, &b, "c", root, "c"), 0);
    assert_int_equal(move(w->ns, root, "a", &c, "a"), 0);
    assert_int_equal(move(w->ns, root, "c", &b, "x"), ERR_LOOP);
    assert_int_equal(store_mem_live_rows(w->mem, 's'), 1);
}

static void prepare_crossing(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
}
static int operate_crossing(struct world *w) {
    return move(w->ns, root, "d", &e, "d");
}
static int meddle_crossing(struct world *w) {
    return move(w->other, root, "e", &d, "e");
}
static void judge_crossing(struct world *w, int moved, int meddled) {
    /* One of them succeeds and the other is told that it would close a loop. */
    assert_true(moved == 0 ? meddled == DUEL_NOT_MET || meddled == ERR_LOOP
                           : moved == ERR_LOOP && meddled == 0);
    assert_int_equal((look(w->ns, root, "d", NULL) == 0) + (look(w->ns, root, "e", NULL) == 0), 1);
    assert_int_equal((look(w->ns, &e, "d", NULL) == 0) + (look(w->ns, &d, "e", NULL) == 0), 1);
}
static void two_directory_moves_at_once_never_form_a_loop(void **state) {
    (void)state;
    duel_at_every_call(
        &(struct duel){prepare_crossing, operate_crossing, meddle_crossing, judge_crossing}, 10);
}

IN_WORLD(exchange_swaps_within_a_directory) {
    struct id128 child;
    struct directory_attributes attributes;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    assert_int_equal(make_file(w->ns, &d, "b", "B"), 0);
    assert_int_equal(make_directory(w->ns, &d, "c", &child), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &d, "b", RENAME_EXCHANGE, NULL, NULL), 0);
    assert_int_equal(look(w->other, &d, "a", "B"), 0);
    assert_int_equal(look(w->other, &d, "b", "A"), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &d, "c", RENAME_EXCHANGE, NULL, NULL), 0);
    assert_int_equal(look(w->other, &d, "c", "B"), 0);
    assert_int_equal(namespace_attributes(w->other, &child, &attributes), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &d, "x", RENAME_EXCHANGE, NULL, NULL),
                     ERR_NO_ENTRY);
    assert_int_equal(make_file(w->ns, root, "r", "R"), 0);
    assert_int_equal(
        namespace_rename(w->ns, &d, "b", root, "r", RENAME_EXCHANGE | RENAME_NOREPLACE, NULL, NULL),
        ERR_INVALID);
}

IN_WORLD(a_rename_onto_itself_changes_nothing) {
    struct entry before, after, replaced;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &before), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &d, "a", 0, &after, &replaced), 0);
    assert_true(op_id_equal(&before.version, &after.version));
    assert_string_equal(replaced.name, "");
    entry_release(&before);
    entry_release(&after);
    assert_int_equal(move(w->ns, &d, "b", &d, "b"), ERR_NO_ENTRY);
}

IN_WORLD(nothing_moves_into_a_directory_that_was_removed) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_file(w->ns, root, "a", "A"), 0);
    assert_int_equal(make_directory(w->ns, root, "e", NULL), 0);
    assert_int_equal(namespace_rmdir(w->other, root, "d"), 0);
    uint64_t before_ns = store_mem_now_ns(w->mem);
    assert_int_equal(move(w->ns, root, "a", &d, "a"), ERR_NO_ENTRY);
    assert_int_equal(move(w->ns, root, "e", &d, "e"), ERR_NO_ENTRY);
    assert_int_equal(append_text(w->ns, root, "a", "+"), 0);
    /* The source was not left frozen: nobody had to wait. */
    assert_true(store_mem_now_ns(w->mem) - before_ns < 1000000000);
    assert_int_equal(look(w->ns, root, "a", "A+"), 0);
    assert_int_equal(look(w->ns, root, "e", NULL), 0);
}

/* ---- against another writer, at every store call ---- */

/* d/a is moved to e/b by w->ns. */
static void prepare_move(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
}
static int operate_move(struct world *w) {
    return move(w->ns, &d, "a", &e, "b");
}
/* How many of the two names exist, after what may be left over had its time. */
static int names_left(struct world *w) {
    store_mem_advance(w->mem, 60ull * 1000 * 1000 * 1000);
    return (look(w->ns, &d, "a", NULL) == 0) + (look(w->ns, &e, "b", NULL) == 0);
}

static int meddle_append(struct world *w) {
    return append_text(w->other, &d, "a", "+");
}
static void judge_append(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    assert_true(meddled == 0 || meddled == DUEL_NOT_MET || meddled == ERR_STALE ||
                meddled == ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, &e, "b", meddled == 0 ? "A+" : "A"), 0);
    assert_int_equal(names_left(w), 1);
}

static int meddle_unlink(struct world *w) {
    return namespace_unlink(w->other, &d, "a", NULL);
}
static void judge_unlink(struct world *w, int moved, int meddled) {
    if (meddled == 0) {
        assert_int_equal(moved, ERR_NO_ENTRY);
        assert_int_equal(names_left(w), 0);
    } else {
        assert_true(meddled == DUEL_NOT_MET || meddled == ERR_NO_ENTRY);
        assert_int_equal(moved, 0);
        assert_int_equal(look(w->ns, &e, "b", "A"), 0);
        assert_int_equal(names_left(w), 1);
    }
}

static int meddle_create(struct world *w) {
    return make_file(w->other, &e, "b", "B");
}
static void judge_create(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    assert_true(meddled == DUEL_NOT_MET || meddled == 0 || meddled == ERR_EXISTS);
    assert_int_equal(look(w->ns, &e, "b", "A"), 0);
    assert_int_equal(names_left(w), 1);
}

static int meddle_move(struct world *w) {
    return move(w->other, &d, "a", &e, "c");
}
static void judge_move(struct world *w, int moved, int meddled) {
    bool b = look(w->ns, &e, "b", "A") == 0, c = look(w->ns, &e, "c", "A") == 0;
    assert_true(b != c);
    assert_int_equal(moved, b ? 0 : ERR_NO_ENTRY);
    assert_true(meddled == DUEL_NOT_MET || meddled == (c ? 0 : ERR_NO_ENTRY));
    assert_int_equal(names_left(w), b ? 1 : 0);
}

static int meddle_same_move(struct world *w) {
    return move(w->other, &d, "a", &e, "b");
}
static void judge_same_move(struct world *w, int moved, int meddled) {
    assert_int_equal(look(w->ns, &e, "b", "A"), 0);
    assert_int_equal(names_left(w), 1);
    /* Both may be told that it is done: the second found the file where it was to go. */
    assert_true(moved == 0 || meddled == 0);
    assert_true(moved == 0 || moved == ERR_NO_ENTRY);
    assert_true(meddled == 0 || meddled == ERR_NO_ENTRY || meddled == DUEL_NOT_MET);
}

static int meddle_unlink_destination(struct world *w) {
    return namespace_unlink(w->other, &e, "b", NULL);
}
static void judge_unlink_destination(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    assert_true(meddled == DUEL_NOT_MET || meddled == 0 || meddled == ERR_NO_ENTRY);
    /* Removed after it had arrived, it must not come back at its old place. */
    assert_int_equal(names_left(w), meddled == 0 ? 0 : 1);
}

static int meddle_move_on(struct world *w) {
    return move(w->other, &e, "b", root, "z");
}
static void judge_move_on(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    bool moved_on = meddled == 0;
    assert_int_equal(look(w->ns, root, "z", NULL), moved_on ? 0 : ERR_NO_ENTRY);
    assert_int_equal(names_left(w), moved_on ? 0 : 1);
}

static int meddle_rmdir(struct world *w) {
    return namespace_rmdir(w->other, root, "e");
}
static void judge_rmdir(struct world *w, int moved, int meddled) {
    if (meddled == 0) {
        assert_int_equal(moved, ERR_NO_ENTRY);
        assert_int_equal(look(w->ns, &d, "a", "A"), 0);
    } else {
        assert_true(meddled == DUEL_NOT_MET || meddled == ERR_NOT_EMPTY);
        assert_int_equal(moved, 0);
    }
    assert_int_equal(names_left(w), 1);
}

static int meddle_look(struct world *w) {
    struct namespace *other = w->other;
    int here = look(other, &d, "a", "A"), there = look(other, &e, "b", "A");
    return here == 0 || there == 0 ? 0 : ERR_IO;
}
static void judge_look(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    assert_true(meddled == 0 || meddled == DUEL_NOT_MET); /* never in no place */
    assert_int_equal(names_left(w), 1);
}

static void duel_with_move(int (*meddle)(struct world *w),
                           void (*judge)(struct world *w, int moved, int meddled)) {
    duel_at_every_call(&(struct duel){prepare_move, operate_move, meddle, judge}, 5);
}
static void an_append_to_a_moving_file_is_kept_or_refused(void **state) {
    (void)state;
    duel_with_move(meddle_append, judge_append);
}
static void an_unlink_of_a_moving_file_wins_or_loses_whole(void **state) {
    (void)state;
    duel_with_move(meddle_unlink, judge_unlink);
}
static void a_file_made_at_the_destination_is_replaced(void **state) {
    (void)state;
    duel_with_move(meddle_create, judge_create);
}
static void of_two_moves_of_one_file_one_wins(void **state) {
    (void)state;
    duel_with_move(meddle_move, judge_move);
}
static void two_equal_moves_make_one_file(void **state) {
    (void)state;
    duel_with_move(meddle_same_move, judge_same_move);
}
static void a_moved_file_that_is_removed_does_not_come_back(void **state) {
    (void)state;
    duel_with_move(meddle_unlink_destination, judge_unlink_destination);
}
static void a_moved_file_that_moves_on_does_not_come_back(void **state) {
    (void)state;
    duel_with_move(meddle_move_on, judge_move_on);
}
static void a_directory_that_gets_a_file_is_not_removed(void **state) {
    (void)state;
    duel_with_move(meddle_rmdir, judge_rmdir);
}
static void a_moving_file_is_always_somewhere(void **state) {
    (void)state;
    duel_with_move(meddle_look, judge_look);
}

/* A directory is renamed while it is being removed. */
static void prepare_directory_move(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_directory(w->ns, &d, "a", NULL), 0);
}
static int meddle_rmdir_source(struct world *w) {
    return namespace_rmdir(w->other, &d, "a");
}
static void judge_rmdir_source(struct world *w, int moved, int meddled) {
    assert_true(moved == 0 || moved == ERR_NO_ENTRY);
    assert_true(meddled == 0 || meddled == ERR_NO_ENTRY || meddled == DUEL_NOT_MET);
    assert_int_equal(names_left(w), meddled == 0 ? 0 : 1);
}
static int operate_rmdir(struct world *w) {
    return namespace_rmdir(w->ns, &d, "a");
}
static int meddle_directory_move(struct world *w) {
    return move(w->other, &d, "a", &e, "b");
}
static void judge_directory_move(struct world *w, int removed, int meddled) {
    /* The move may succeed in between; the directory is removed all the same, or not at all. */
    assert_true(removed == 0 || removed == ERR_NO_ENTRY);
    assert_true(meddled == 0 || meddled == ERR_NO_ENTRY || meddled == DUEL_NOT_MET);
    assert_int_equal(names_left(w), removed == 0 ? 0 : 1);
}
static void a_directory_removed_while_it_moves_is_gone_from_both_places(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_directory_move, operate_move, meddle_rmdir_source,
                                      judge_rmdir_source},
                       10);
    duel_at_every_call(&(struct duel){prepare_directory_move, operate_rmdir, meddle_directory_move,
                                      judge_directory_move},
                       5);
}

/* A directory moves on while its first move is being finished: its header must follow. */
static void judge_directory_moves_on(struct world *w, int moved, int meddled) {
    struct directory_attributes shown;
    struct entry entry;
    assert_int_equal(moved, 0);
    assert_true(meddled == 0 || meddled == ERR_NO_ENTRY || meddled == DUEL_NOT_MET);
    bool at_root = meddled == 0;
    assert_int_equal(namespace_lookup(w->ns, at_root ? root : &e, at_root ? "z" : "b", &entry), 0);
    assert_int_equal(namespace_attributes(w->ns, &entry.record.directory, &shown), 0);
    assert_true(id128_equal(&shown.parent, at_root ? root : &e));
    entry_release(&entry);
    assert_int_equal(names_left(w), at_root ? 0 : 1);
}
static void a_directory_that_moves_on_knows_its_last_parent(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_directory_move, operate_move, meddle_move_on,
                                      judge_directory_moves_on},
                       10);
}

/* ---- within a partition ---- */

static int operate_move_within(struct world *w) {
    return move(w->ns, &d, "a", &d, "b");
}
static int meddle_any_within(struct world *w) {
    int appended = append_text(w->other, &d, "a", "+");
    return appended == 0 ? 0 : append_text(w->other, &d, "b", "+");
}
static void judge_within(struct world *w, int moved, int meddled) {
    assert_int_equal(moved, 0);
    assert_int_equal(look(w->ns, &d, "b", meddled == 0 ? "A+" : "A"), 0);
    assert_int_equal(look(w->ns, &d, "a", NULL), ERR_NO_ENTRY);
}
static int meddle_unlink_within(struct world *w) {
    return namespace_unlink(w->other, &d, "a", NULL);
}
static void judge_unlink_within(struct world *w, int moved, int meddled) {
    assert_true((moved == 0) != (meddled == 0));
    assert_int_equal(count_names(w->ns, &d, 10), moved == 0 ? 1 : 0);
}
static int meddle_create_within(struct world *w) {
    return make_file(w->other, &d, "b", "B");
}
static void judge_create_within(struct world *w, int moved, int meddled) {
    (void)meddled;
    assert_int_equal(moved, 0);
    assert_int_equal(look(w->ns, &d, "b", "A"), 0);
    assert_int_equal(count_names(w->ns, &d, 10), 1);
}
static void a_rename_within_a_directory_meets_other_writers(void **state) {
    (void)state;
    duel_at_every_call(
        &(struct duel){prepare_move, operate_move_within, meddle_any_within, judge_within}, 3);
    duel_at_every_call(&(struct duel){prepare_move, operate_move_within, meddle_unlink_within,
                                      judge_unlink_within},
                       3);
    duel_at_every_call(&(struct duel){prepare_move, operate_move_within, meddle_create_within,
                                      judge_create_within},
                       3);
}

/* ---- answers lost ---- */

static uint64_t lost_at;
static void change_what_arrived(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    (void)kind;
    if (number == lost_at + 1) {
        append_text(w->other, &e, "b", "+");
        append_text(w->other, &d, "b", "+");
        struct directory_attributes set = {.uid = 9}, shown;
        namespace_set_attributes(w->other, &e, ATTRIBUTE_UID, &set, &shown);
    }
}

static bool lost_happened;
static void lose_one_answer(struct world *w, const struct id128 *to) {
    prepare_move(w);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, lost_at, lost_at, ERR_UNKNOWN, true);
    store_mem_before(w->mem, change_what_arrived, w);
    int moved = move(w->ns, &d, "a", to, "b");
    lost_happened = store_mem_calls(w->mem) >= lost_at;
    store_mem_reset_hooks(w->mem);
    assert_true(moved == 0 || moved == ERR_UNKNOWN); /* a read that failed */
    assert_int_equal(look(w->ns, to, "b", NULL), moved == 0 ? 0 : ERR_NO_ENTRY);
    assert_int_equal(count_names(w->ns, &d, 10) + count_names(w->ns, &e, 10), 1);
}
static void lose_one_answer_across(struct world *w) {
    lose_one_answer(w, &e);
}
static void lose_one_answer_within(struct world *w) {
    lose_one_answer(w, &d);
}
static void a_rename_whose_answer_is_lost_is_done_once(void **state) {
    (void)state;
    lost_happened = true;
    for (lost_at = 1; lost_happened; lost_at++) {
        world_run(lose_one_answer_across);
    }
    lost_happened = true;
    for (lost_at = 1; lost_happened; lost_at++) {
        world_run(lose_one_answer_within);
    }
}

/* ---- times of directories ---- */

static void set_long_ago(struct world *w, const struct id128 *directory) {
    struct directory_attributes set = {.mtime_ns = 5};
    assert_int_equal(namespace_set_attributes(w->ns, directory, ATTRIBUTE_MTIME, &set, &set), 0);
    assert_int_equal(set.mtime_ns, 5);
}

static bool is_recent(struct world *w, const struct id128 *directory) {
    struct directory_attributes now;
    assert_int_equal(namespace_attributes(w->other, directory, &now), 0);
    return now.mtime_ns >= (int64_t)STORE_MEM_EPOCH_NS && now.ctime_ns >= now.mtime_ns;
}

IN_WORLD(a_name_replaced_from_another_directory_changes_both_directories_times) {
    struct id128 from, to;
    assert_int_equal(make_directory(w->ns, root, "from", &from), 0);
    assert_int_equal(make_directory(w->ns, root, "to", &to), 0);
    assert_int_equal(make_file(w->ns, &from, "a", "new"), 0);
    assert_int_equal(make_file(w->ns, &to, "b", "old"), 0);
    set_long_ago(w, &from);
    set_long_ago(w, &to);
    assert_int_equal(move(w->ns, &from, "a", &to, "b"), 0);
    assert_true(is_recent(w, &from));
    assert_true(is_recent(w, &to));
}

IN_WORLD(an_exchange_changes_the_directorys_times) {
    struct id128 directory;
    assert_int_equal(make_directory(w->ns, root, "d", &directory), 0);
    assert_int_equal(make_file(w->ns, &directory, "a", "A"), 0);
    assert_int_equal(make_file(w->ns, &directory, "b", "B"), 0);
    set_long_ago(w, &directory);
    assert_int_equal(
        namespace_rename(w->ns, &directory, "a", &directory, "b", RENAME_EXCHANGE, NULL, NULL), 0);
    assert_true(is_recent(w, &directory));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_replaced_from_another_directory_changes_both_directories_times),
        cmocka_unit_test(an_exchange_changes_the_directorys_times),
        cmocka_unit_test(a_file_moves_within_a_directory),
        cmocka_unit_test(a_file_moves_between_directories),
        cmocka_unit_test(a_file_moves_between_the_roots_shards),
        cmocka_unit_test(files_and_directories_replace_only_their_own_kind),
        cmocka_unit_test(a_moved_directory_keeps_what_is_in_it_and_knows_its_new_parent),
        cmocka_unit_test(a_directory_cannot_move_into_itself),
        cmocka_unit_test(two_directory_moves_at_once_never_form_a_loop),
        cmocka_unit_test(exchange_swaps_within_a_directory),
        cmocka_unit_test(a_rename_onto_itself_changes_nothing),
        cmocka_unit_test(nothing_moves_into_a_directory_that_was_removed),
        cmocka_unit_test(an_append_to_a_moving_file_is_kept_or_refused),
        cmocka_unit_test(an_unlink_of_a_moving_file_wins_or_loses_whole),
        cmocka_unit_test(a_file_made_at_the_destination_is_replaced),
        cmocka_unit_test(of_two_moves_of_one_file_one_wins),
        cmocka_unit_test(two_equal_moves_make_one_file),
        cmocka_unit_test(a_moved_file_that_is_removed_does_not_come_back),
        cmocka_unit_test(a_moved_file_that_moves_on_does_not_come_back),
        cmocka_unit_test(a_directory_that_gets_a_file_is_not_removed),
        cmocka_unit_test(a_moving_file_is_always_somewhere),
        cmocka_unit_test(a_directory_removed_while_it_moves_is_gone_from_both_places),
        cmocka_unit_test(a_directory_that_moves_on_knows_its_last_parent),
        cmocka_unit_test(a_rename_within_a_directory_meets_other_writers),
        cmocka_unit_test(a_rename_whose_answer_is_lost_is_done_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
