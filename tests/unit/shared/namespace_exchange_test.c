/* RENAME_EXCHANGE between partitions: both have changed places, or neither has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_link.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *const root = &namespace_root;
static struct id128 d, e, in_d, in_e;

static int exchange(struct namespace *ns, const struct id128 *from, const char *name,
                    const struct id128 *to, const char *to_name) {
    return namespace_rename(ns, from, name, to, to_name, RENAME_EXCHANGE, NULL, NULL);
}

static void prepare_two(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
}

static void prepare_files(struct world *w) {
    prepare_two(w);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    assert_int_equal(make_file(w->ns, &e, "b", "B"), 0);
}

/* Two directories, each with a file in it. */
static void prepare_directories(struct world *w) {
    prepare_two(w);
    assert_int_equal(make_directory(w->ns, &d, "a", &in_d), 0);
    assert_int_equal(make_directory(w->ns, &e, "b", &in_e), 0);
    assert_int_equal(make_file(w->ns, &in_d, "x", "A"), 0);
    assert_int_equal(make_file(w->ns, &in_e, "x", "B"), 0);
}

static void prepare_linked(struct world *w) {
    struct entry file, made;
    prepare_files(w);
    assert_int_equal(namespace_lookup(w->ns, &e, "b", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, root, "l", &made), 0);
    entry_release(&file);
    entry_release(&made);
    assert_int_equal(namespace_lookup(w->ns, &d, "a", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, root, "m", &made), 0);
    entry_release(&file);
    entry_release(&made);
}

static int operate(struct world *w) {
    return exchange(w->ns, &d, "a", &e, "b");
}

static bool parent_is(struct namespace *ns, const struct id128 *child, const struct id128 *parent) {
    struct directory_attributes attributes;
    assert_int_equal(namespace_attributes(ns, child, &attributes), 0);
    directory_attributes_release(&attributes);
    return id128_equal(&attributes.parent, parent);
}

IN_WORLD(files_change_places) {
    struct entry moved, replaced;
    prepare_files(w);
    assert_int_equal(namespace_rename(w->ns, &d, "a", &e, "b", RENAME_EXCHANGE, &moved, &replaced),
                     0);
    assert_true(bytes_equal(moved.record.data, bytes_of_string("A")));
    assert_string_equal(moved.name, "b");
    assert_int_equal(replaced.name[0], 0);
    assert_int_equal(moved.record.displaced.size, 0);
    entry_release(&moved);
    assert_int_equal(look(w->other, &d, "a", "B"), 0);
    assert_int_equal(look(w->other, &e, "b", "A"), 0);
    assert_int_equal(exchange(w->other, &d, "a", &e, "b"), 0);
    assert_int_equal(look(w->ns, &d, "a", "A"), 0);
    assert_int_equal(look(w->ns, &e, "b", "B"), 0);
    assert_int_equal(exchange(w->ns, &d, "a", &e, "none"), ERR_NO_ENTRY);
    assert_int_equal(exchange(w->ns, &d, "none", &e, "b"), ERR_NO_ENTRY);
}

IN_WORLD(a_file_and_a_directory_change_places) {
    prepare_directories(w);
    assert_int_equal(make_file(w->ns, &d, "f", "F"), 0);
    assert_int_equal(exchange(w->ns, &d, "f", &e, "b"), 0);
    assert_int_equal(look(w->other, &e, "b", "F"), 0);
    assert_true(parent_is(w->other, &in_e, &d));
    assert_int_equal(exchange(w->ns, &d, "f", &e, "b"), 0);
    assert_int_equal(look(w->other, &d, "f", "F"), 0);
    assert_true(parent_is(w->other, &in_e, &e));
}

IN_WORLD(a_directory_does_not_change_places_with_what_is_in_it) {
    prepare_directories(w);
    assert_int_equal(exchange(w->ns, root, "d", &in_d, "x"), ERR_LOOP);
    assert_int_equal(exchange(w->ns, &in_d, "x", root, "d"), ERR_LOOP);
    assert_int_equal(exchange(w->ns, root, "d", &d, "a"), ERR_LOOP);
    assert_int_equal(exchange(w->ns, &d, "a", root, "d"), ERR_LOOP);
    assert_int_equal(exchange(w->ns, &d, "a", &e, "b"), 0);
    assert_int_equal(exchange(w->ns, root, "e", &in_e, "x"), 0);
    assert_int_equal(look(w->ns, root, "e", "B"), 0);
}

/* ---- crashes ---- */

struct crash {
    void (*prepare)(struct world *w);
    void (*check)(struct world *w, int err);
};
static const struct crash *scenario;
static uint64_t crash_at;
static bool crash_applied, crash_happened;

static void check_places(struct world *w, const struct id128 *a, const char *a_name,
                         const struct id128 *b, const char *b_name, int err) {
    bool swapped = look(w->other, a, a_name, "B") == 0;
    assert_true(!swapped || look(w->other, b, b_name, "A") == 0);
    assert_true(swapped || look(w->other, a, a_name, "A") == 0);
    assert_true(swapped || look(w->other, b, b_name, "B") == 0);
    assert_true(swapped || err < 0);
}

static void check_files(struct world *w, int err) {
    check_places(w, &d, "a", &e, "b", err);
    /* Free to be changed, and in one place each. */
    assert_int_equal(append_text(w->other, &d, "a", ""), 0);
    assert_int_equal(append_text(w->other, &e, "b", ""), 0);
    assert_int_equal(count_names(w->other, &d, 10) + count_names(w->other, &e, 10), 2);
}

/* The second name is asked for first: what stands there has to be brought from the other. */
static void check_by_removing(struct world *w, int err) {
    (void)err;
    bool swapped = look(w->other, &e, "b", "A") == 0;
    assert_int_equal(namespace_unlink(w->other, &e, "b", NULL), 0);
    assert_int_equal(look(w->other, &d, "a", swapped ? "B" : "A"), 0);
    assert_int_equal(make_file(w->other, &e, "b", swapped ? "A" : "B"), 0);
}

static void check_directories(struct world *w, int err) {
    struct entry entry;
    assert_int_equal(namespace_lookup(w->other, &d, "a", &entry), 0);
    bool swapped = id128_equal(&entry.record.directory, &in_e);
    entry_release(&entry);
    assert_int_equal(namespace_lookup(w->other, &e, "b", &entry), 0);
    assert_true(id128_equal(&entry.record.directory, swapped ? &in_d : &in_e));
    entry_release(&entry);
    assert_true(swapped || err < 0);
    assert_true(parent_is(w->other, &in_d, swapped ? &e : &d));
    assert_true(parent_is(w->other, &in_e, swapped ? &d : &e));
    assert_int_equal(look(w->other, &in_d, "x", "A"), 0);
    assert_int_equal(look(w->other, &in_e, "x", "B"), 0);
    /* The register is free, or can be taken over. */
    assert_int_equal(exchange(w->other, &d, "a", &e, "b"), 0);
    assert_int_equal(exchange(w->other, &d, "a", &e, "b"), 0);
}

static void check_linked(struct world *w, int err) {
    struct entry entry;
    check_places(w, &d, "a", &e, "b", err);
    const struct id128 *const directories[] = {&d, &e, root, root};
    const char *const names[] = {"a", "b", "l", "m"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(namespace_lookup(w->other, directories[i], names[i], &entry), 0);
        assert_true(record_has_link(&entry.record, directories[i], names[i]));
        assert_true(entry.n_links >= 2);
        entry_release(&entry);
    }
}

static void crash_once(struct world *w) {
    scenario->prepare(w);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, crash_at, UINT64_MAX, ERR_UNKNOWN, crash_applied);
    int err = operate(w);
    crash_happened = store_mem_calls(w->mem) >= crash_at;
    store_mem_reset_hooks(w->mem);
    store_mem_advance(w->mem, 60ull * 1000 * 1000 * 1000);
    scenario->check(w, err);
    scenario->check(w, err); /* what was finished stays so */
}

static void crash_everywhere(const struct crash *one) {
    scenario = one;
    for (int applied = 0; applied < 2; applied++) {
        crash_applied = applied != 0;
        crash_happened = true;
        for (crash_at = 1; crash_happened; crash_at++) {
            world_run(crash_once);
        }
        assert_true(crash_at > 4);
    }
}

static void a_crashed_exchange_is_done_or_not_begun(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){prepare_files, check_files});
    crash_everywhere(&(struct crash){prepare_files, check_by_removing});
    crash_everywhere(&(struct crash){prepare_directories, check_directories});
    crash_everywhere(&(struct crash){prepare_linked, check_linked});
}

/* ---- two clients at once ---- */

static int meddle_append_first(struct world *w) {
    return append_text(w->other, &d, "a", "+");
}
static int meddle_append_second(struct world *w) {
    return append_text(w->other, &e, "b", "+");
}
static int meddle_exchange(struct world *w) {
    return exchange(w->other, &e, "b", &d, "a");
}
static int meddle_move_second(struct world *w) {
    return move(w->other, &e, "b", root, "c");
}
static int meddle_unlink_second(struct world *w) {
    return namespace_unlink(w->other, &e, "b", NULL);
}

static bool holds(struct world *w, const struct id128 *directory, const char *name, char letter,
                  bool appended) {
    char text[3] = {letter, appended ? '+' : '\0', '\0'};
    return look(w->ns, directory, name, text) == 0;
}

/* One of the two has the "+", and they have changed places. */
static void judge_append(struct world *w, int operated, int meddled) {
    bool met = meddled == 0;
    assert_int_equal(operated, 0);
    assert_true(meddled == DUEL_NOT_MET || meddled == 0);
    bool first = holds(w, &e, "b", 'A', met) && holds(w, &d, "a", 'B', false);
    bool second = holds(w, &e, "b", 'A', false) && holds(w, &d, "a", 'B', met);
    assert_true(first || second);
}
static void judge_exchange(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    assert_true(meddled == DUEL_NOT_MET || meddled == 0);
    assert_int_equal(look(w->ns, &d, "a", meddled == 0 ? "A" : "B"), 0);
    assert_int_equal(look(w->ns, &e, "b", meddled == 0 ? "B" : "A"), 0);
}
static void judge_moved(struct world *w, int operated, int meddled) {
    int64_t n = count_names(w->ns, &d, 10) + count_names(w->ns, &e, 10);
    bool there = look(w->ns, root, "c", NULL) == 0;
    assert_true(meddled == DUEL_NOT_MET || meddled == 0);
    assert_true(operated == 0 || operated == ERR_NO_ENTRY);
    assert_int_equal(n + there, 2);
    if (meddled == 0 && operated == 0) {
        assert_int_equal(look(w->ns, root, "c", "A"), 0);
        assert_int_equal(look(w->ns, &d, "a", "B"), 0);
    }
}
static void judge_unlinked(struct world *w, int operated, int meddled) {
    int64_t n = count_names(w->ns, &d, 10) + count_names(w->ns, &e, 10);
    assert_true(meddled == DUEL_NOT_MET || meddled == 0);
    assert_int_equal(n, meddled == 0 ? 1 : 2);
    assert_true(operated == 0 || operated == ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, &d, "a", operated == 0 ? "B" : "A"), 0);
}

static void an_exchange_and_anything_at_the_same_time(void **state) {
    (void)state;
    const struct duel all[] = {
        {prepare_files, operate, meddle_append_first, judge_append},
        {prepare_files, operate, meddle_append_second, judge_append},
        {prepare_files, operate, meddle_exchange, judge_exchange},
        {prepare_files, operate, meddle_move_second, judge_moved},
        {prepare_files, operate, meddle_unlink_second, judge_unlinked},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        duel_at_every_call(&all[i], 4);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_change_places),
        cmocka_unit_test(a_file_and_a_directory_change_places),
        cmocka_unit_test(a_directory_does_not_change_places_with_what_is_in_it),
        cmocka_unit_test(a_crashed_exchange_is_done_or_not_begun),
        cmocka_unit_test(an_exchange_and_anything_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
