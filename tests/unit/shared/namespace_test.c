/* namespace: what each operation does and refuses, alone and against another writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace.h"
#include "tests/lib/task_run.h"

/* Every test runs in a task, over a fresh store and one open namespace. */
struct world {
    struct store_mem *mem;
    struct namespace *ns;
    void (*test)(struct world *w);
};

static void run_world(void *arg) {
    struct world *w = arg;
    assert_int_equal(namespace_open(store_mem_store(w->mem), &w->ns), 0);
    w->test(w);
    namespace_close(w->ns);
}

static void in_world(void **state, void (*test)(struct world *w)) {
    (void)state;
    struct world w = {.mem = store_mem_new(), .test = test};
    task_run(w.mem, run_world, &w, 0);
    store_mem_free(w.mem);
}

#define IN_WORLD(name)                                                                             \
    static void name##_in(struct world *w);                                                        \
    static void name(void **state) {                                                               \
        in_world(state, name##_in);                                                                \
    }                                                                                              \
    static void name##_in(struct world *w)

/* ---- short forms ---- */

static const struct id128 *root = &namespace_root;

static struct record file_record(const char *text) {
    return (struct record){
        .mode = S_IFREG | 0644, .size = strlen(text), .data = bytes_of_string(text)};
}

static int make_file(struct namespace *ns, const struct id128 *directory, const char *name,
                     const char *text) {
    struct record record = file_record(text);
    struct entry entry = {0};
    int err = namespace_create(ns, directory, name, &record, &entry);
    entry_release(&entry);
    return err;
}

static int make_directory(struct namespace *ns, const struct id128 *parent, const char *name,
                          struct id128 *ret) {
    struct entry entry = {0};
    int err = namespace_mkdir(ns, parent, name, 0755, 1, 2, &entry);
    if (ret) {
        *ret = entry.record.directory;
    }
    entry_release(&entry);
    return err;
}

/* The answer of a lookup, which must show `text` when it is 0. */
static int look(struct namespace *ns, const struct id128 *directory, const char *name,
                const char *text) {
    struct entry entry;
    int err = namespace_lookup(ns, directory, name, &entry);
    if (err == 0) {
        assert_string_equal(entry.name, name);
        if (text) {
            assert_true(bytes_equal(entry.record.data, bytes_of_string(text)));
        }
        entry_release(&entry);
    }
    return err;
}

static int set_text(void *context, struct record *record) {
    const char *text = context;
    record_set_data(record, bytes_of_string(text));
    record->size = strlen(text);
    return 0;
}

static int append_text(void *context, struct record *record) {
    const char *text = context;
    char joined[256];
    int size = snprintf(joined, sizeof joined, "%.*s%s", (int)record->data.size,
                        (const char *)record->data.data, text);
    record_set_data(record, bytes_of(joined, (size_t)size));
    record->size = (uint64_t)size;
    return 0;
}

/* ---- create, lookup, update, unlink ---- */

IN_WORLD(a_created_file_is_found_with_its_attributes_and_contents) {
    struct record record = file_record("hello");
    struct entry made, found;
    record.uid = 7;
    assert_int_equal(namespace_create(w->ns, root, "a", &record, &made), 0);
    assert_true(made.record.file_id > 1);
    assert_true(made.seen.size > 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &found), 0);
    assert_int_equal(found.record.uid, 7);
    assert_true(found.record.file_id == made.record.file_id);
    assert_true(found.record.mtime_ns >= (int64_t)STORE_MEM_EPOCH_NS);
    assert_true(bytes_equal(found.record.data, bytes_of_string("hello")));
    assert_true(op_id_equal(&found.version, &made.version));
    assert_true(bytes_equal(found.seen, made.seen));
    entry_release(&made);
    entry_release(&found);
}

IN_WORLD(a_second_create_answers_exists_with_the_first) {
    struct record record = file_record("second");
    struct entry there;
    assert_int_equal(make_file(w->ns, root, "a", "first"), 0);
    assert_int_equal(namespace_create(w->ns, root, "a", &record, &there), ERR_EXISTS);
    assert_true(bytes_equal(there.record.data, bytes_of_string("first")));
    entry_release(&there);
}

IN_WORLD(a_removed_name_can_be_created_again) {
    struct entry removed;
    assert_int_equal(make_file(w->ns, root, "a", "first"), 0);
    assert_int_equal(namespace_unlink(w->ns, root, "a", &removed), 0);
    assert_true(bytes_equal(removed.record.data, bytes_of_string("first")));
    entry_release(&removed);
    assert_int_equal(look(w->ns, root, "a", NULL), ERR_NO_ENTRY);
    assert_int_equal(namespace_unlink(w->ns, root, "a", NULL), ERR_NO_ENTRY);
    assert_int_equal(make_file(w->ns, root, "a", "second"), 0);
    assert_int_equal(look(w->ns, root, "a", "second"), 0);
}

IN_WORLD(bad_names_are_refused_everywhere) {
    struct record record = file_record("");
    struct entry entry;
    char name[258];
    memset(name, 'a', 256);
    name[256] = 0;
    assert_int_equal(namespace_create(w->ns, root, name, &record, &entry), ERR_NAME_TOO_LONG);
    assert_int_equal(namespace_lookup(w->ns, root, name, &entry), ERR_NAME_TOO_LONG);
    assert_int_equal(namespace_mkdir(w->ns, root, "a/b", 0, 0, 0, &entry), ERR_INVALID);
    assert_int_equal(namespace_unlink(w->ns, root, "..", NULL), ERR_INVALID);
    assert_int_equal(namespace_rmdir(w->ns, root, "."), ERR_INVALID);
    assert_int_equal(namespace_rename(w->ns, root, "a", root, "", 0, NULL, NULL), ERR_INVALID);
}

IN_WORLD(names_of_255_bytes_and_odd_bytes_work) {
    char name[256];
    memset(name, 0x81, 255);
    name[255] = 0;
    assert_int_equal(make_file(w->ns, root, name, "long"), 0);
    assert_int_equal(make_file(w->ns, root, "\n\x01\xff \\", "odd"), 0);
    assert_int_equal(look(w->ns, root, name, "long"), 0);
    assert_int_equal(look(w->ns, root, "\n\x01\xff \\", "odd"), 0);
    name[254] = 0;
    assert_int_equal(look(w->ns, root, name, NULL), ERR_NO_ENTRY);
}

IN_WORLD(an_update_changes_the_record_and_its_version) {
    struct entry entry;
    char text[] = "after";
    assert_int_equal(make_file(w->ns, root, "a", "before"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    struct op_id before = entry.version;
    assert_int_equal(namespace_update(w->ns, &entry, set_text, text, true), 0);
    assert_false(op_id_equal(&entry.version, &before));
    assert_true(bytes_equal(entry.record.data, bytes_of_string("after")));
    assert_int_equal(look(w->ns, root, "a", "after"), 0);
    assert_int_equal(namespace_update(w->ns, &entry, append_text, "!", false), 0);
    assert_int_equal(look(w->ns, root, "a", "after!"), 0);
    entry_release(&entry);
}

IN_WORLD(an_update_of_an_older_record_runs_on_the_newer_one) {
    struct entry one, two;
    assert_int_equal(make_file(w->ns, root, "a", ""), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &one), 0);
    entry_copy(&one, &two);
    assert_int_equal(namespace_update(w->ns, &one, append_text, "1", false), 0);
    assert_int_equal(namespace_update(w->ns, &two, append_text, "2", false), 0);
    assert_int_equal(look(w->ns, root, "a", "12"), 0);
    entry_release(&one);
    entry_release(&two);
}

static int refuse_change(void *context, struct record *record) {
    (void)context;
    record->uid = 99;
    return ERR_ACCESS;
}

static int spoil_record(void *context, struct record *record) {
    (void)context;
    record->mode = 0;
    return 0;
}

IN_WORLD(a_change_that_fails_or_spoils_the_record_stores_nothing) {
    struct entry entry;
    assert_int_equal(make_file(w->ns, root, "a", "x"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(namespace_update(w->ns, &entry, refuse_change, NULL, false), ERR_ACCESS);
    assert_int_equal(namespace_update(w->ns, &entry, spoil_record, NULL, false), ERR_INVALID);
    assert_int_equal(entry.record.uid, 0);
    entry_release(&entry);
    assert_int_equal(look(w->ns, root, "a", "x"), 0);
}

IN_WORLD(an_update_of_a_file_that_was_removed_or_replaced_is_stale) {
    struct entry entry;
    char text[] = "late";
    assert_int_equal(make_file(w->ns, root, "a", "first"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(namespace_unlink(w->ns, root, "a", NULL), 0);
    assert_int_equal(namespace_update(w->ns, &entry, set_text, text, false), ERR_STALE);
    assert_int_equal(make_file(w->ns, root, "a", "second"), 0);
    assert_int_equal(namespace_update(w->ns, &entry, set_text, text, false), ERR_STALE);
    assert_int_equal(look(w->ns, root, "a", "second"), 0);
    entry_release(&entry);
}

/* ---- directories ---- */

IN_WORLD(a_directory_holds_names_of_its_own) {
    struct id128 d, e;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &e, "a", "deep"), 0);
    assert_int_equal(look(w->ns, &e, "a", "deep"), 0);
    assert_int_equal(look(w->ns, &d, "a", NULL), ERR_NO_ENTRY);
    assert_int_equal(make_directory(w->ns, root, "d", NULL), ERR_EXISTS);
    assert_int_equal(make_file(w->ns, root, "d", ""), ERR_EXISTS);
    assert_int_equal(namespace_unlink(w->ns, root, "d", NULL), ERR_IS_DIRECTORY);
}

IN_WORLD(a_mkdir_that_finds_the_name_taken_leaves_no_header) {
    assert_int_equal(make_file(w->ns, root, "a", ""), 0);
    uint64_t rows = store_mem_live_rows(w->mem, 'd');
    assert_int_equal(make_directory(w->ns, root, "a", NULL), ERR_EXISTS);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), rows);
}

IN_WORLD(only_an_empty_directory_can_be_removed) {
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_file(w->ns, &d, "a", ""), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "d"), ERR_NOT_EMPTY);
    assert_int_equal(namespace_rmdir(w->ns, &d, "a"), ERR_NOT_DIRECTORY);
    assert_int_equal(namespace_unlink(w->ns, &d, "a", NULL), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "d"), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "d"), ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, root, "d", NULL), ERR_NO_ENTRY);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
}

IN_WORLD(nothing_can_be_made_in_a_directory_that_was_removed) {
    struct id128 d;
    struct directory_attributes attributes;
    struct namespace *other;
    assert_int_equal(namespace_open(store_mem_store(w->mem), &other), 0);
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(namespace_rmdir(other, root, "d"), 0);
    /* w->ns still has the header in its cache. */
    assert_int_equal(make_file(w->ns, &d, "a", ""), ERR_NO_ENTRY);
    assert_int_equal(make_directory(w->ns, &d, "e", NULL), ERR_NO_ENTRY);
    assert_int_equal(namespace_attributes(w->ns, &d, &attributes), ERR_STALE);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
    namespace_close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_created_file_is_found_with_its_attributes_and_contents),
        cmocka_unit_test(a_second_create_answers_exists_with_the_first),
        cmocka_unit_test(a_removed_name_can_be_created_again),
        cmocka_unit_test(bad_names_are_refused_everywhere),
        cmocka_unit_test(names_of_255_bytes_and_odd_bytes_work),
        cmocka_unit_test(an_update_changes_the_record_and_its_version),
        cmocka_unit_test(an_update_of_an_older_record_runs_on_the_newer_one),
        cmocka_unit_test(a_change_that_fails_or_spoils_the_record_stores_nothing),
        cmocka_unit_test(an_update_of_a_file_that_was_removed_or_replaced_is_stale),
        cmocka_unit_test(a_directory_holds_names_of_its_own),
        cmocka_unit_test(a_mkdir_that_finds_the_name_taken_leaves_no_header),
        cmocka_unit_test(only_an_empty_directory_can_be_removed),
        cmocka_unit_test(nothing_can_be_made_in_a_directory_that_was_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
