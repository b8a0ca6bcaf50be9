/* namespace: what each operation does and refuses, alone and against another writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

static int set_text(void *context, struct record *record) {
    record_set_data(record, bytes_of_string(context));
    record->size = record->data.size;
    return 0;
}

static int add_owner(void *context, struct record *record) {
    (void)context;
    record->uid++;
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

IN_WORLD(a_file_is_replaced_as_it_was_read_and_nothing_else_is) {
    struct record record = file_record("mine");
    struct entry theirs, mine, directory;
    record.file_id = 77;
    assert_int_equal(make_file(w->other, root, "a", "theirs"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &theirs), 0);
    assert_int_equal(namespace_replace(w->ns, &theirs, &record, false, &mine), 0);
    assert_true(mine.record.file_id == 77);
    assert_int_equal(look(w->other, root, "a", "mine"), 0);
    entry_release(&mine);
    assert_int_equal(namespace_replace(w->ns, &theirs, &record, true, &mine), ERR_CONFLICT);
    entry_release(&theirs);
    assert_int_equal(namespace_mkdir(w->ns, root, "d", 0755, 0, 0, &directory), 0);
    assert_int_equal(namespace_replace(w->ns, &directory, &record, false, &mine), ERR_STALE);
    entry_release(&directory);
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
    assert_int_equal(append_text(w->ns, root, "a", "!"), 0);
    assert_int_equal(look(w->ns, root, "a", "after!"), 0);
    entry_release(&entry);
}

IN_WORLD(an_update_of_an_older_record_runs_on_the_newer_one) {
    struct entry entry;
    assert_int_equal(make_file(w->ns, root, "a", ""), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(write_text(w->other, root, "a", "1"), 0);
    assert_int_equal(namespace_update(w->ns, &entry, add_owner, NULL, false), 0);
    assert_int_equal(entry.record.uid, 1);
    assert_int_equal(look(w->ns, root, "a", "1"), 0);
    entry_release(&entry);
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

IN_WORLD(removing_a_directory_reads_name_and_header_once_and_writes_three_times) {
    struct id128 d;
    int64_t changed_ns;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(namespace_rmdir_changed(w->ns, root, "d", &changed_ns), 0);
    assert_int_equal(store_mem_calls(w->mem), 5);
    struct directory_attributes attributes;
    assert_int_equal(namespace_attributes(w->other, root, &attributes), 0);
    assert_true(changed_ns == attributes.mtime_ns);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
}

IN_WORLD(nothing_can_be_made_in_a_directory_that_was_removed) {
    struct id128 d;
    struct directory_attributes attributes;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(namespace_rmdir(w->other, root, "d"), 0);
    /* w->ns still has the header in its cache. */
    assert_int_equal(make_file(w->ns, &d, "a", ""), ERR_NO_ENTRY);
    assert_int_equal(make_directory(w->ns, &d, "e", NULL), ERR_NO_ENTRY);
    assert_int_equal(namespace_attributes(w->ns, &d, &attributes), ERR_STALE);
    assert_int_equal(store_mem_live_rows(w->mem, 'd'), 0);
}

IN_WORLD(a_directory_knows_its_parent_its_count_and_its_last_change) {
    struct id128 d;
    struct directory_attributes before, after;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(namespace_attributes(w->ns, &d, &before), 0);
    assert_int_equal(before.mode, 0755);
    assert_int_equal(before.uid, 1);
    assert_int_equal(before.gid, 2);
    assert_int_equal(before.n_entries, 0);
    assert_true(id128_equal(&before.parent, root));
    store_mem_advance(w->mem, 1000000000);
    assert_int_equal(make_file(w->ns, &d, "a", ""), 0);
    assert_int_equal(make_file(w->ns, &d, "b", ""), 0);
    assert_int_equal(namespace_attributes(w->ns, &d, &after), 0);
    assert_int_equal(after.n_entries, 2);
    assert_true(after.mtime_ns >= before.mtime_ns + 1000000000);
    assert_true(after.ctime_ns == after.mtime_ns);
    /* Changing a file changes no directory. */
    store_mem_advance(w->mem, 1000000000);
    assert_int_equal(write_text(w->ns, &d, "a", "x"), 0);
    before = after;
    assert_int_equal(namespace_attributes(w->ns, &d, &after), 0);
    assert_true(after.mtime_ns == before.mtime_ns);
}

IN_WORLD(the_root_has_attributes_before_anybody_wrote_any) {
    struct directory_attributes attributes;
    assert_int_equal(namespace_attributes(w->ns, root, &attributes), 0);
    assert_int_equal(attributes.mode, 0755);
    assert_true(id128_equal(&attributes.parent, root));
    assert_int_equal(attributes.n_entries, 0);
    for (int i = 0; i < 40; i++) {
        char name[8] = {'a', (char)('0' + i)};
        assert_int_equal(make_file(w->ns, root, name, ""), 0);
    }
    assert_int_equal(namespace_attributes(w->ns, root, &attributes), 0);
    assert_int_equal(attributes.n_entries, 40); /* over 16 shards */
    assert_true(attributes.mtime_ns > (int64_t)STORE_MEM_EPOCH_NS);
}

/* Sets mtime to 5 s after 1970: it shows until an entry is made. */
static void check_set_mtime(struct world *w, const struct id128 *directory) {
    struct directory_attributes set = {.mtime_ns = 5000000000, .mode = 01777}, shown;
    unsigned mask = ATTRIBUTE_MTIME | ATTRIBUTE_MODE;
    assert_int_equal(make_file(w->ns, directory, "before", ""), 0);
    assert_int_equal(namespace_set_attributes(w->ns, directory, mask, &set, &shown), 0);
    assert_true(shown.mtime_ns == 5000000000);
    assert_int_equal(shown.mode, 01777);
    assert_int_equal(shown.n_entries, 1);
    assert_int_equal(namespace_attributes(w->ns, directory, &shown), 0);
    assert_true(shown.mtime_ns == 5000000000);
    assert_true(shown.ctime_ns > (int64_t)STORE_MEM_EPOCH_NS);
    assert_int_equal(shown.n_entries, 1);
    assert_int_equal(make_file(w->ns, directory, "after", ""), 0);
    assert_int_equal(namespace_attributes(w->ns, directory, &shown), 0);
    assert_true(shown.mtime_ns > (int64_t)STORE_MEM_EPOCH_NS);
    assert_int_equal(shown.n_entries, 2);
}

IN_WORLD(a_directorys_mtime_stays_as_set_until_the_next_change) {
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    check_set_mtime(w, &d);
}

IN_WORLD(the_roots_mtime_stays_as_set_until_the_next_change) {
    check_set_mtime(w, root);
}

IN_WORLD(only_the_named_attributes_are_set_and_a_creates_guard_survives_it) {
    struct id128 d;
    struct directory_attributes set = {.mode = 0700, .uid = 55, .gid = 66, .atime_ns = 77}, shown;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(namespace_set_attributes(w->other, &d, ATTRIBUTE_UID, &set, &shown), 0);
    assert_int_equal(shown.uid, 55);
    assert_int_equal(shown.mode, 0755);
    assert_int_equal(shown.gid, 2);
    unsigned mask = ATTRIBUTE_GID | ATTRIBUTE_ATIME | ATTRIBUTE_MODE;
    assert_int_equal(namespace_set_attributes(w->other, &d, mask, &set, &shown), 0);
    assert_int_equal(shown.gid, 66);
    assert_int_equal(shown.mode, 0700);
    assert_true(shown.atime_ns == 77);
    /* w->ns guards with the header it has cached, which is two changes behind. */
    assert_int_equal(make_file(w->ns, &d, "a", ""), 0);
}

/* ---- conflicts and damage ---- */

static void put_entry(struct world *w, const char *path, const struct context *seen,
                      struct bytes value) {
    struct buffer partition = {0}, sort = {0};
    assert_int_equal(namespace_where(w->ns, path, &partition, &sort), 0);
    store_mem_put(w->mem, buffer_bytes(&partition), buffer_bytes(&sort), seen, value);
    buffer_release(&partition);
    buffer_release(&sort);
}

static void put_record(struct world *w, const char *path, const char *text) {
    struct record record = file_record(text);
    struct buffer value = {0};
    struct context nothing = {0};
    record.file_id = 4711;
    record_encode(&record, &value);
    put_entry(w, path, &nothing, buffer_bytes(&value));
    buffer_release(&value);
}

IN_WORLD(the_latest_of_concurrent_records_shows_and_the_others_are_counted) {
    struct entry entry;
    assert_int_equal(make_file(w->ns, root, "a", "mine"), 0);
    put_record(w, "/a", "mine"); /* the same contents: no conflict */
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(entry.n_conflicts, 0);
    entry_release(&entry);
    put_record(w, "/a", "theirs");
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_true(bytes_equal(entry.record.data, bytes_of_string("theirs")));
    assert_int_equal(entry.n_conflicts, 1); /* two versions, of the same contents */
    entry_release(&entry);
}

IN_WORLD(a_row_that_is_no_record_is_corrupt_and_hides_no_other) {
    struct entry entry;
    struct context nothing = {0};
    assert_int_equal(make_file(w->ns, root, "good", ""), 0);
    put_entry(w, "/bad", &nothing, bytes_of_string("rubbish"));
    assert_int_equal(namespace_lookup(w->ns, root, "bad", &entry), ERR_CORRUPT);
    assert_int_equal(make_file(w->ns, root, "bad", ""), ERR_CORRUPT);
    assert_int_equal(namespace_unlink(w->ns, root, "bad", NULL), ERR_CORRUPT);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

IN_WORLD(an_answer_lost_is_not_a_file_made_twice) {
    for (uint64_t n = 1; n <= 2; n++) { /* of up to three tries */
        store_mem_reset_hooks(w->mem);
        store_mem_fail(w->mem, 1, n, ERR_UNKNOWN, true);
        assert_int_equal(make_file(w->ns, root, "a", "x"), 0);
        store_mem_reset_hooks(w->mem);
        store_mem_fail(w->mem, 2, 1 + n, ERR_UNKNOWN, true);
        assert_int_equal(append_text(w->ns, root, "a", "y"), 0);
        assert_int_equal(look(w->ns, root, "a", "xy"), 0);
        store_mem_reset_hooks(w->mem);
        store_mem_fail(w->mem, 2, 1 + n, ERR_UNKNOWN, true);
        assert_int_equal(namespace_unlink(w->ns, root, "a", NULL), 0);
        assert_int_equal(look(w->ns, root, "a", NULL), ERR_NO_ENTRY);
    }
}

IN_WORLD(what_stays_unknown_is_reported_as_unknown) {
    store_mem_fail(w->mem, 1, 100, ERR_UNKNOWN, true);
    assert_int_equal(make_file(w->ns, root, "a", "x"), ERR_UNKNOWN);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(look(w->ns, root, "a", "x"), 0);
    store_mem_fail(w->mem, 1, 100, ERR_UNAVAILABLE, false);
    assert_int_equal(make_file(w->ns, root, "b", "x"), ERR_UNAVAILABLE);
}

static void remove_it(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    if (kind == STORE_MEM_BATCH && number == 2) { /* the second try, after the lost answer */
        assert_int_equal(namespace_unlink(w->other, root, "a", NULL), 0);
        assert_int_equal(make_file(w->other, root, "a", "new"), 0);
    }
}

IN_WORLD(a_create_whose_answer_was_lost_does_not_claim_anothers_file) {
    store_mem_before(w->mem, remove_it, w);
    store_mem_fail(w->mem, 1, 1, ERR_UNKNOWN, true);
    assert_int_equal(make_file(w->ns, root, "a", "mine"), ERR_EXISTS);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(look(w->ns, root, "a", "new"), 0);
}

static void remove_and_remake(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    if (kind == STORE_MEM_BATCH && number == 3) {
        assert_int_equal(make_file(w->other, root, "a", "new"), 0);
    }
}

IN_WORLD(an_unlink_whose_answer_was_lost_does_not_remove_the_next_file) {
    assert_int_equal(make_file(w->ns, root, "a", "old"), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_before(w->mem, remove_and_remake, w);
    store_mem_fail(w->mem, 2, 2, ERR_UNKNOWN, true);
    assert_int_equal(namespace_unlink(w->ns, root, "a", NULL), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(look(w->ns, root, "a", "new"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_created_file_is_found_with_its_attributes_and_contents),
        cmocka_unit_test(a_second_create_answers_exists_with_the_first),
        cmocka_unit_test(a_file_is_replaced_as_it_was_read_and_nothing_else_is),
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
        cmocka_unit_test(removing_a_directory_reads_name_and_header_once_and_writes_three_times),
        cmocka_unit_test(nothing_can_be_made_in_a_directory_that_was_removed),
        cmocka_unit_test(a_directory_knows_its_parent_its_count_and_its_last_change),
        cmocka_unit_test(the_root_has_attributes_before_anybody_wrote_any),
        cmocka_unit_test(a_directorys_mtime_stays_as_set_until_the_next_change),
        cmocka_unit_test(the_roots_mtime_stays_as_set_until_the_next_change),
        cmocka_unit_test(only_the_named_attributes_are_set_and_a_creates_guard_survives_it),
        cmocka_unit_test(the_latest_of_concurrent_records_shows_and_the_others_are_counted),
        cmocka_unit_test(a_row_that_is_no_record_is_corrupt_and_hides_no_other),
        cmocka_unit_test(an_answer_lost_is_not_a_file_made_twice),
        cmocka_unit_test(what_stays_unknown_is_reported_as_unknown),
        cmocka_unit_test(a_create_whose_answer_was_lost_does_not_claim_anothers_file),
        cmocka_unit_test(an_unlink_whose_answer_was_lost_does_not_remove_the_next_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
