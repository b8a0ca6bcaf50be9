/* namespace: a client that dies at any store call of an operation leaves the old state, the new
 * one, or what the next client to meet it finishes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

/* One operation of w->ns, cut off at its call `at`: that call and all after it fail, and with
 * `applied` the batch of that call took place all the same. */
struct crash {
    const char *name;
    void (*prepare)(struct world *w);
    int (*operate)(struct world *w);
    /* What w->other finds; `err` is what `operate` answered. */
    void (*check)(struct world *w, int err);
};
static const struct crash *scenario;
static uint64_t crash_at;
static bool crash_applied;
static bool crash_happened;
static struct id128 d, e, child;

static void crash_once(struct world *w) {
    scenario->prepare(w);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, crash_at, UINT64_MAX, ERR_UNKNOWN, crash_applied);
    int err = scenario->operate(w);
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
        assert_true(crash_at > 2); /* at least one call was cut off */
    }
}

/* ---- mkdir ---- */

static void prepare_nothing(struct world *w) {
    (void)w;
}
static int operate_mkdir(struct world *w) {
    return make_directory(w->ns, root, "d", NULL);
}
static void check_mkdir(struct world *w, int err) {
    struct directory_attributes attributes;
    struct entry entry;
    int found = namespace_lookup(w->other, root, "d", &entry);
    if (found == 0) {
        assert_int_equal(namespace_attributes(w->other, &entry.record.directory, &attributes), 0);
        entry_release(&entry);
        return;
    }
    assert_int_equal(found, ERR_NO_ENTRY);
    assert_true(err < 0);
}
static void a_crashed_mkdir_made_a_whole_directory_or_none(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"mkdir", prepare_nothing, operate_mkdir, check_mkdir});
}

/* ---- rmdir ---- */

static void prepare_directory(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
}
static int operate_rmdir(struct world *w) {
    return namespace_rmdir(w->ns, root, "d");
}
static void check_rmdir(struct world *w, int err) {
    int found = look(w->other, root, "d", NULL);
    if (found == 0) {
        assert_true(err < 0);
        assert_int_equal(make_file(w->other, &d, "a", ""), 0); /* usable as ever */
        assert_int_equal(namespace_unlink(w->other, &d, "a", NULL), 0);
    } else {
        assert_int_equal(found, ERR_NO_ENTRY);
        assert_int_equal(make_file(w->other, &d, "a", ""), ERR_NO_ENTRY);
        assert_int_equal(count_names(w->other, root, 10), 0);
        assert_int_equal(make_directory(w->other, root, "d", NULL), 0);
        assert_int_equal(namespace_rmdir(w->other, root, "d"), 0);
    }
}
static void a_crashed_rmdir_is_finished_by_the_next_lookup(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"rmdir", prepare_directory, operate_rmdir, check_rmdir});
}

static void check_rmdir_by_create(struct world *w, int err) {
    (void)err;
    /* Whoever still uses the directory's id learns whether it lives, and clears up. */
    int made = make_file(w->other, &d, "a", "");
    assert_true(made == 0 || made == ERR_NO_ENTRY || made == ERR_EXISTS);
    assert_int_equal(count_names(w->other, root, 10), made == ERR_NO_ENTRY ? 0 : 1);
}
static void a_crashed_rmdir_is_finished_by_the_next_create_in_it(void **state) {
    (void)state;
    crash_everywhere(
        &(struct crash){"rmdir", prepare_directory, operate_rmdir, check_rmdir_by_create});
}

static void check_rmdir_by_mkdir(struct world *w, int err) {
    (void)err;
    /* A name that is a leftover is free. */
    int made = make_directory(w->other, root, "d", NULL);
    assert_true(made == 0 || made == ERR_EXISTS);
    assert_int_equal(look(w->other, root, "d", NULL), 0);
}
static void a_crashed_rmdir_does_not_occupy_the_name(void **state) {
    (void)state;
    crash_everywhere(
        &(struct crash){"rmdir", prepare_directory, operate_rmdir, check_rmdir_by_mkdir});
}

/* ---- rename ---- */

static void prepare_file(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
}
static int operate_move(struct world *w) {
    return move(w->ns, &d, "a", &e, "b");
}
static int operate_move_within(struct world *w) {
    return move(w->ns, &d, "a", &d, "b");
}
static void check_one_place(struct world *w, const struct id128 *to, int err) {
    int old = look(w->other, &d, "a", "A"), new = look(w->other, to, "b", "A");
    assert_true(old == 0 || old == ERR_NO_ENTRY);
    assert_true(new == 0 || new == ERR_NO_ENTRY);
    assert_true((old == 0) != (new == 0));
    if (err == 0) {
        assert_int_equal(new, 0);
    }
    /* Free to be changed. */
    assert_int_equal(append_text(w->other, new == 0 ? to : &d, new == 0 ? "b" : "a", ""), 0);
}
static void check_move(struct world *w, int err) {
    check_one_place(w, &e, err);
    assert_int_equal(count_names(w->other, &d, 10) + count_names(w->other, &e, 10), 1);
}
static void check_move_within(struct world *w, int err) {
    check_one_place(w, &d, err);
}
static void a_crashed_rename_leaves_the_file_in_one_place(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"across", prepare_file, operate_move, check_move});
    crash_everywhere(
        &(struct crash){"within", prepare_file, operate_move_within, check_move_within});
}

static void check_move_by_list(struct world *w, int err) {
    (void)err;
    assert_int_equal(count_names(w->other, &d, 10) + count_names(w->other, &e, 10), 1);
}
static void a_crashed_rename_is_settled_by_a_listing(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"list", prepare_file, operate_move, check_move_by_list});
}

static void check_move_by_unlink(struct world *w, int err) {
    (void)err;
    int there = namespace_unlink(w->other, &e, "b", NULL);
    int here = namespace_unlink(w->other, &d, "a", NULL);
    assert_true((there == 0) + (here == 0) <= 1);
    assert_int_equal(count_names(w->other, &d, 10) + count_names(w->other, &e, 10), 0);
}
static void what_a_crashed_rename_moved_can_be_removed_once(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"unlink", prepare_file, operate_move, check_move_by_unlink});
}

static void prepare_replace(struct world *w) {
    prepare_file(w);
    assert_int_equal(make_file(w->ns, &e, "b", "B"), 0);
}
static void check_replace(struct world *w, int err) {
    int old = look(w->other, &d, "a", "A"), new = look(w->other, &e, "b", "A");
    if (new == 0) {
        assert_int_equal(old, ERR_NO_ENTRY);
    } else {
        assert_true(err < 0);
        assert_int_equal(old, 0);
        assert_int_equal(look(w->other, &e, "b", "B"), 0);
    }
}
static void a_crashed_rename_over_a_file_shows_the_old_or_the_new(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"replace", prepare_replace, operate_move, check_replace});
}

static void prepare_directory_move(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_directory(w->ns, &d, "a", &child), 0);
    assert_int_equal(make_file(w->ns, &child, "x", "X"), 0);
}
static void check_directory_move(struct world *w, int err) {
    struct directory_attributes attributes;
    int old = look(w->other, &d, "a", NULL), new = look(w->other, &e, "b", NULL);
    assert_true((old == 0) != (new == 0));
    assert_true(err < 0 || new == 0);
    assert_int_equal(look(w->other, &child, "x", "X"), 0);
    assert_int_equal(namespace_attributes(w->other, &child, &attributes), 0);
    assert_true(id128_equal(&attributes.parent, new == 0 ? &e : &d));
    /* The register is free, or can be taken over. */
    assert_int_equal(make_directory(w->other, &child, "y", NULL), 0);
    assert_int_equal(move(w->other, &child, "y", root, "y"), 0);
    assert_int_equal(namespace_rmdir(w->other, root, "y"), 0);
    assert_int_equal(move(w->other, root, new == 0 ? "e" : "d", &child, "z"), ERR_LOOP);
}
static void a_crashed_move_of_a_directory_leaves_it_whole_in_one_place(void **state) {
    (void)state;
    crash_everywhere(
        &(struct crash){"directory", prepare_directory_move, operate_move, check_directory_move});
}

static void prepare_directory_replace(struct world *w) {
    prepare_directory_move(w);
    assert_int_equal(make_directory(w->ns, &e, "b", NULL), 0);
}
static void check_directory_replace(struct world *w, int err) {
    int old = look(w->other, &d, "a", NULL);
    struct entry entry;
    int new = namespace_lookup(w->other, &e, "b", &entry);
    bool moved = new == 0 && id128_equal(&entry.record.directory, &child);
    if (new == 0) {
        entry_release(&entry);
    }
    assert_true(moved ? old == ERR_NO_ENTRY : old == 0 && err < 0);
    assert_int_equal(look(w->other, &child, "x", "X"), 0);
}
static void a_crashed_rename_over_a_directory_loses_at_most_the_empty_one(void **state) {
    (void)state;
    crash_everywhere(
        &(struct crash){"over", prepare_directory_replace, operate_move, check_directory_replace});
}

/* ---- create, update, unlink: one batch each ---- */

static int operate_create(struct world *w) {
    return make_file(w->ns, &d, "n", "N");
}
static void check_create(struct world *w, int err) {
    int found = look(w->other, &d, "n", "N");
    assert_true(found == 0 || (found == ERR_NO_ENTRY && err < 0));
}
static int operate_update(struct world *w) {
    return write_text(w->ns, &d, "a", "A2");
}
static void check_update(struct world *w, int err) {
    assert_true(look(w->other, &d, "a", "A2") == 0 ||
                (look(w->other, &d, "a", "A") == 0 && err < 0));
}
static int operate_unlink(struct world *w) {
    return namespace_unlink(w->ns, &d, "a", NULL);
}
static void check_unlink(struct world *w, int err) {
    int found = look(w->other, &d, "a", "A");
    assert_true(found == ERR_NO_ENTRY || (found == 0 && err < 0));
}
static void a_crash_in_a_single_batch_leaves_the_old_or_the_new(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"create", prepare_file, operate_create, check_create});
    crash_everywhere(&(struct crash){"update", prepare_file, operate_update, check_update});
    crash_everywhere(&(struct crash){"unlink", prepare_file, operate_unlink, check_unlink});
}

/* ---- put ---- */

struct text_source {
    char byte;
    size_t left;
};
static int64_t source_read(void *context, uint8_t *into, size_t size) {
    struct text_source *source = context;
    size_t n = source->left < size ? source->left : size;
    memset(into, source->byte, n);
    source->left -= n;
    return (int64_t)n;
}
static int put_bytes(struct namespace *ns, char byte, size_t size) {
    struct text_source source = {byte, size};
    return namespace_put(ns, "/f", 0644, 0, 0, source_read, &source);
}
struct text_sink {
    char byte; /* of all so far; 0 = none yet, '?' = mixed */
    size_t size;
};
static int sink_write(void *context, struct bytes data) {
    struct text_sink *sink = context;
    for (size_t i = 0; i < data.size; i++) {
        char byte = (char)data.data[i];
        sink->byte = sink->byte == 0 || sink->byte == byte ? byte : '?';
    }
    sink->size += data.size;
    return 0;
}

enum { OLD_SIZE = 300000, NEW_SIZE = 200000 };
static void prepare_put(struct world *w) {
    assert_int_equal(put_bytes(w->ns, 'o', OLD_SIZE), 0);
}
static int operate_put(struct world *w) {
    return put_bytes(w->ns, 'n', NEW_SIZE);
}
static void check_put(struct world *w, int err) {
    struct text_sink sink = {0};
    assert_int_equal(namespace_get(w->other, "/f", sink_write, &sink), 0);
    if (sink.byte == 'n') {
        assert_int_equal(sink.size, NEW_SIZE);
    } else {
        assert_int_equal(sink.byte, 'o');
        assert_int_equal(sink.size, OLD_SIZE);
        assert_true(err < 0);
    }
}
static void a_crashed_put_shows_the_old_or_the_new_contents(void **state) {
    (void)state;
    crash_everywhere(&(struct crash){"put", prepare_put, operate_put, check_put});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crashed_mkdir_made_a_whole_directory_or_none),
        cmocka_unit_test(a_crashed_rmdir_is_finished_by_the_next_lookup),
        cmocka_unit_test(a_crashed_rmdir_is_finished_by_the_next_create_in_it),
        cmocka_unit_test(a_crashed_rmdir_does_not_occupy_the_name),
        cmocka_unit_test(a_crashed_rename_leaves_the_file_in_one_place),
        cmocka_unit_test(a_crashed_rename_is_settled_by_a_listing),
        cmocka_unit_test(what_a_crashed_rename_moved_can_be_removed_once),
        cmocka_unit_test(a_crashed_rename_over_a_file_shows_the_old_or_the_new),
        cmocka_unit_test(a_crashed_move_of_a_directory_leaves_it_whole_in_one_place),
        cmocka_unit_test(a_crashed_rename_over_a_directory_loses_at_most_the_empty_one),
        cmocka_unit_test(a_crash_in_a_single_batch_leaves_the_old_or_the_new),
        cmocka_unit_test(a_crashed_put_shows_the_old_or_the_new_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
