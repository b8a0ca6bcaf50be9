/* namespace_conflicts: what shows of a name that two sides gave contents, and that nothing of it is
 * lost by whatever is done to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_rows.h"
#include "shared/xattrs.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

/* ---- what the other side of a partition wrote ---- */

static void put_beside(struct world *w, const char *path, const struct record *record) {
    struct buffer partition = {0}, sort = {0}, value = {0};
    struct context nothing = {0};
    record_encode(record, &value);
    assert_int_equal(namespace_where(w->ns, path, &partition, &sort), 0);
    store_mem_put(w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &nothing,
                  buffer_bytes(&value));
    buffer_release(&partition);
    buffer_release(&sort);
    buffer_release(&value);
}

static void put_text(struct world *w, const char *path, const char *text) {
    struct record record = file_record(text);
    record.file_id = 4711;
    put_beside(w, path, &record);
}

/* ---- what shows ---- */

/* A listing of names alone says the same. */
static struct listing list(struct namespace *ns, const struct id128 *directory) {
    struct listing listing, names;
    assert_int_equal(namespace_list(ns, directory, 0, 100, &listing), 0);
    assert_int_equal(namespace_list_names(ns, directory, 0, 100, &names), 0);
    assert_int_equal(listing.n, names.n);
    for (uint32_t i = 0; i < names.n; i++) {
        const struct entry *a = &listing.entries[i].entry, *b = &names.entries[i].entry;
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->record.mode, b->record.mode);
        assert_true(record_ino(&a->record) == record_ino(&b->record));
    }
    listing_release(&names);
    return listing;
}

/* The name under which a listing shows these contents; empty when it does not. */
static void name_of(struct world *w, const char *text, char ret[NAME_SIZE_MAX + 1]) {
    struct listing listing = list(w->other, root);
    ret[0] = 0;
    for (uint32_t i = 0; i < listing.n; i++) {
        if (bytes_equal(listing.entries[i].entry.record.data, bytes_of_string(text))) {
            snprintf(ret, NAME_SIZE_MAX + 1, "%s", listing.entries[i].entry.name);
        }
    }
    listing_release(&listing);
}

/* "a.txt" with the contents "mine", "theirs" being the later ones; the loser's name. */
static void make_conflict(struct world *w, char ret_loser[NAME_SIZE_MAX + 1]) {
    assert_int_equal(make_file(w->ns, root, "a.txt", "mine"), 0);
    put_text(w, "/a.txt", "theirs");
    name_of(w, "mine", ret_loser);
}

IN_WORLD(a_loser_shows_beside_the_winner_under_a_name_of_its_own) {
    char loser[NAME_SIZE_MAX + 1], of[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(strncmp(loser, "a.conflict-1-", 13), 0);
    assert_string_equal(loser + strlen(loser) - 4, ".txt");
    assert_true(namespace_conflict_name(loser, of));
    assert_string_equal(of, "a.txt");
    assert_int_equal(look(w->ns, root, "a.txt", "theirs"), 0);
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
    assert_int_equal(look(w->other, root, loser, "mine"), 0);
    assert_int_equal(look(w->ns, root, "a.conflict-1-000000.txt", NULL), ERR_NO_ENTRY);
    assert_int_equal(count_names(w->ns, root, 1), 2);
}

IN_WORLD(showing_conflicts_writes_nothing) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    uint64_t rows = store_mem_live_rows(w->mem, 'd');
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 2);
    assert_true(store_mem_live_rows(w->mem, 'd') == rows);
}

IN_WORLD(inode_numbers_differ_and_stay_when_the_loser_gets_a_row) {
    char loser[NAME_SIZE_MAX + 1];
    struct entry winner, before, after;
    make_conflict(w, loser);
    assert_int_equal(namespace_lookup(w->ns, root, "a.txt", &winner), 0);
    assert_int_equal(namespace_lookup(w->ns, root, loser, &before), 0);
    assert_true(winner.record.file_id != before.record.file_id);
    assert_int_equal(append_text(w->ns, root, "a.txt", "!"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, loser, &after), 0);
    assert_true(after.record.file_id == before.record.file_id);
    assert_true(after.seen.size > 0);
    entry_release(&winner);
    entry_release(&before);
    entry_release(&after);
}

IN_WORLD(identical_contents_are_no_conflict_and_the_later_attributes_stay) {
    struct record record = file_record("same");
    struct entry entry;
    record.file_id = 4711;
    record.mode = S_IFREG | 0600;
    assert_int_equal(make_file(w->ns, root, "a", "same"), 0);
    put_beside(w, "/a", &record);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(entry.n_conflicts, 0);
    assert_int_equal(entry.record.mode & 0777, 0600);
    entry_release(&entry);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

/* One side of a partition changed what is under the name; `stamp_ns` is its clock then. */
static struct record *version_of(const struct record *base, struct record *copy) {
    record_copy(base, copy);
    return copy;
}

static void meet(struct world *w, const struct record *base, struct record *changed,
                 uint64_t stamp_ns) {
    record_mark_changes(base, changed, stamp_ns);
    put_beside(w, "/a", changed);
    record_release(changed);
}

/* "\1n\1\0v": the attribute n with the value v. */
static struct bytes attribute(const char *name, const char *value, uint8_t into[64]) {
    struct buffer list = {0};
    assert_int_equal(
        xattrs_set((struct bytes){0}, bytes_of_string(name), bytes_of_string(value), &list), 0);
    memcpy(into, list.data, list.size);
    struct bytes set = bytes_of(into, list.size);
    buffer_release(&list);
    return set;
}

IN_WORLD(attributes_that_two_sides_changed_of_equal_contents_are_all_there) {
    struct entry base, entry;
    struct record one, two;
    uint8_t list[64];
    assert_int_equal(make_file(w->ns, root, "a", "same"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &base), 0);
    version_of(&base.record, &one)->mode = S_IFREG | 0600;
    one.mtime_ns = 5;
    one.ctime_ns = base.record.ctime_ns + 7;
    version_of(&base.record, &two)->uid = 1000;
    record_set_xattrs(&two, attribute("user.n", "v", list));
    meet(w, &base.record, &one, 200);
    meet(w, &base.record, &two, 100); /* written later, by a clock that is behind */
    assert_int_equal(namespace_lookup(w->other, root, "a", &entry), 0);
    assert_int_equal(entry.n_conflicts, 0);
    assert_int_equal(entry.record.mode & 07777, 0600);
    assert_int_equal(entry.record.uid, 1000);
    assert_true(bytes_equal(entry.record.xattrs, attribute("user.n", "v", list)));
    assert_true(entry.record.mtime_ns == base.record.mtime_ns); /* in 2026: later than 200 */
    assert_true(entry.record.ctime_ns == base.record.ctime_ns + 7);
    assert_true(entry.record.file_id == base.record.file_id);
    entry_release(&entry);
    /* The next change makes one version of them, and keeps both. */
    assert_int_equal(append_text(w->ns, root, "a", "!"), 0);
    assert_int_equal(namespace_lookup(w->other, root, "a", &entry), 0);
    assert_int_equal(entry.record.mode & 07777, 0600);
    assert_int_equal(entry.record.uid, 1000);
    assert_int_equal(entry.record.xattrs.size, attribute("user.n", "v", list).size);
    entry_release(&entry);
    entry_release(&base);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

IN_WORLD(of_one_attribute_that_both_sides_changed_the_later_value_stays) {
    struct entry base, entry;
    struct record one, two;
    int64_t future_ns = 4000000000000000000;
    assert_int_equal(make_file(w->ns, root, "a", "same"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &base), 0);
    version_of(&base.record, &one)->mode = S_IFREG | 0600;
    one.atime_ns = one.mtime_ns = 77;
    version_of(&base.record, &two)->mode = S_IFREG | 0640;
    two.gid = 5;
    meet(w, &base.record, &one, (uint64_t)future_ns);
    meet(w, &base.record, &two, (uint64_t)future_ns - 1);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(entry.record.mode & 07777, 0600);
    assert_int_equal(entry.record.gid, 5);
    assert_true(entry.record.mtime_ns == 77 && entry.record.atime_ns == 77);
    entry_release(&entry);
    entry_release(&base);
}

IN_WORLD(a_mode_and_an_acl_that_two_sides_changed_stay_what_one_of_them_said) {
    struct entry base, entry;
    struct record one, two;
    uint8_t list[64];
    assert_int_equal(make_file(w->ns, root, "a", "same"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &base), 0);
    version_of(&base.record, &one)->mode = S_IFREG | 0600;
    version_of(&base.record, &two)->mode = S_IFREG | 0670;
    record_set_xattrs(&two, attribute("system.posix_acl_access", "x", list));
    meet(w, &base.record, &two, 100);
    meet(w, &base.record, &one, 200);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &entry), 0);
    assert_int_equal(entry.record.mode & 07777, 0600);
    assert_int_equal(entry.record.xattrs.size, 0);
    entry_release(&entry);
    entry_release(&base);
}

IN_WORLD(attributes_of_a_directory_that_two_sides_changed_are_all_there) {
    struct id128 id;
    struct directory_attributes attributes, answer;
    assert_int_equal(make_directory(w->ns, root, "d", &id), 0);
    struct key partition = {.size = 18}, sort = {.data = {'h'}, .size = 1};
    partition.data[0] = 'd';
    memcpy(partition.data + 1, id.bytes, sizeof id.bytes);
    struct header base = {.state = DIRECTORY_LIVE, .mode = 0755, .parent = *root, .name = "d"};
    struct header one = base, two = base;
    one.mode = 0700;
    two.uid = 1000;
    two.mtime_ns = 4000000000000000000;
    two.mtime_tally_ns = UINT64_MAX;
    header_mark_changes(&base, &one, 200);
    header_mark_changes(&base, &two, 100);
    const struct header *const sides[] = {&two, &one};
    for (int i = 0; i < 2; i++) {
        struct buffer value = {0};
        struct context nothing = {0};
        header_encode(sides[i], &value);
        store_mem_put(w->mem, bytes_of(partition.data, partition.size),
                      bytes_of(sort.data, sort.size), &nothing, buffer_bytes(&value));
        buffer_release(&value);
    }
    assert_int_equal(namespace_attributes(w->other, &id, &attributes), 0);
    assert_int_equal(attributes.mode & 07777, 0700);
    assert_int_equal(attributes.uid, 1000);
    assert_true(attributes.mtime_ns == two.mtime_ns);
    attributes.gid = 7;
    assert_int_equal(namespace_set_attributes(w->ns, &id, ATTRIBUTE_GID, &attributes, &answer), 0);
    assert_int_equal(answer.mode & 07777, 0700);
    assert_int_equal(answer.uid, 1000);
    assert_int_equal(answer.gid, 7);
    directory_attributes_release(&attributes);
    directory_attributes_release(&answer);
}

IN_WORLD(a_version_that_does_not_decode_hides_none_that_does) {
    struct buffer partition = {0}, sort = {0};
    struct context nothing = {0};
    assert_int_equal(make_file(w->ns, root, "a", "mine"), 0);
    assert_int_equal(namespace_where(w->ns, "/a", &partition, &sort), 0);
    store_mem_put(w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &nothing,
                  bytes_of_string("rubbish"));
    assert_int_equal(look(w->ns, root, "a", "mine"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 1);
    assert_int_equal(write_text(w->ns, root, "a", "new"), ERR_CORRUPT); /* it would be dropped */
    buffer_release(&partition);
    buffer_release(&sort);
}

IN_WORLD(names_too_long_for_a_mark_have_losers_too) {
    char name[NAME_SIZE_MAX + 1], path[NAME_SIZE_MAX + 2], loser[NAME_SIZE_MAX + 1];
    memset(name, 'n', NAME_SIZE_MAX);
    memcpy(name + NAME_SIZE_MAX - 4, ".txt", 5);
    snprintf(path, sizeof path, "/%s", name);
    assert_int_equal(make_file(w->ns, root, name, "mine"), 0);
    put_text(w, path, "theirs");
    name_of(w, "mine", loser);
    assert_true(strlen(loser) > 250);
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
    assert_int_equal(namespace_unlink(w->ns, root, loser, NULL), 0);
    assert_int_equal(look(w->ns, root, loser, NULL), ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, root, name, "theirs"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

IN_WORLD(a_directory_that_lost_against_a_file_is_reached_by_its_own_name) {
    struct id128 directory, found;
    char path[NAME_SIZE_MAX + 2] = "/";
    assert_int_equal(make_directory(w->ns, root, "d", &directory), 0);
    assert_int_equal(make_file(w->ns, &directory, "inside", "x"), 0);
    put_text(w, "/d", "file");
    struct listing listing = list(w->ns, root);
    assert_int_equal(listing.n, 2);
    for (uint32_t i = 0; i < listing.n; i++) {
        if (S_ISDIR(listing.entries[i].entry.record.mode)) {
            snprintf(path, sizeof path, "/%s", listing.entries[i].entry.name);
        }
    }
    listing_release(&listing);
    assert_int_equal(namespace_resolve_directory(w->ns, path, &found), 0);
    assert_true(id128_equal(&found, &directory));
    assert_int_equal(look(w->ns, &found, "inside", "x"), 0);
    assert_int_equal(write_text(w->ns, root, "d", "more"), 0);
    assert_int_equal(namespace_resolve_directory(w->ns, path, &found), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, path + 1), ERR_NOT_EMPTY);
    assert_int_equal(namespace_unlink(w->ns, &found, "inside", NULL), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, path + 1), 0);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

/* ---- changing what has conflicts ---- */

IN_WORLD(writing_the_winner_keeps_the_loser) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(append_text(w->ns, root, "a.txt", "!"), 0);
    assert_int_equal(look(w->ns, root, "a.txt", "theirs!"), 0);
    assert_int_equal(look(w->other, root, loser, "mine"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 2);
}

IN_WORLD(removing_the_winner_keeps_the_loser) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(namespace_unlink(w->ns, root, "a.txt", NULL), 0);
    assert_int_equal(look(w->ns, root, "a.txt", NULL), ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

IN_WORLD(removing_a_loser_resolves_it_and_no_other) {
    char loser[NAME_SIZE_MAX + 1], third[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    put_text(w, "/a.txt", "third"); /* the later: "theirs" loses too */
    name_of(w, "theirs", third);
    assert_int_equal(strncmp(third, "a.conflict-2-", 13), 0);
    assert_int_equal(namespace_unlink(w->ns, root, loser, NULL), 0);
    assert_int_equal(look(w->ns, root, loser, NULL), ERR_NO_ENTRY);
    assert_int_equal(look(w->ns, root, "a.txt", "third"), 0);
    assert_int_equal(look(w->ns, root, third, "theirs"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 2);
}

IN_WORLD(a_loser_can_be_moved_written_and_put_in_the_winners_place) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(append_text(w->ns, root, loser, "+"), 0);
    assert_int_equal(look(w->ns, root, loser, "mine+"), 0);
    assert_int_equal(move(w->ns, root, loser, root, "saved"), 0);
    assert_int_equal(look(w->ns, root, "saved", "mine+"), 0);
    assert_int_equal(look(w->ns, root, loser, NULL), ERR_NO_ENTRY);
    assert_int_equal(move(w->ns, root, "saved", root, "a.txt"), 0);
    assert_int_equal(look(w->ns, root, "a.txt", "mine+"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 1);
}

IN_WORLD(renaming_or_replacing_the_winner_keeps_the_loser) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(move(w->ns, root, "a.txt", root, "b"), 0);
    assert_int_equal(look(w->ns, root, "b", "theirs"), 0);
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
    put_text(w, "/b", "fourth");
    assert_int_equal(make_file(w->ns, root, "c", "new"), 0);
    assert_int_equal(move(w->ns, root, "c", root, "b"), 0);
    assert_int_equal(look(w->ns, root, "b", "new"), 0);
    assert_int_equal(count_names(w->ns, root, 10), 3);
}

IN_WORLD(a_losers_name_is_taken_for_creating) {
    char loser[NAME_SIZE_MAX + 1];
    make_conflict(w, loser);
    assert_int_equal(make_file(w->ns, root, loser, "other"), ERR_EXISTS);
    assert_int_equal(make_directory(w->ns, root, loser, NULL), ERR_EXISTS);
    assert_int_equal(look(w->ns, root, loser, "mine"), 0);
}

IN_WORLD(an_edit_beats_a_removal_and_is_a_file_of_its_own) {
    struct entry before, after;
    struct buffer partition = {0}, sort = {0}, value = {0};
    assert_int_equal(make_file(w->ns, root, "a", "old"), 0);
    assert_int_equal(append_text(w->ns, root, "a", "er"), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "a", &before), 0);
    struct context seen = {0}, none = {0};
    assert_int_equal(context_decode(before.seen, &seen), 0);
    struct record edited = before.record;
    edited.n_lineage = 1;
    edited.lineage[0] = 7;
    record_encode(&edited, &value);
    assert_int_equal(namespace_unlink(w->ns, root, "a", NULL), 0);
    assert_int_equal(namespace_where(w->ns, "/a", &partition, &sort), 0);
    store_mem_put(w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &none,
                  buffer_bytes(&value));
    assert_int_equal(namespace_lookup(w->ns, root, "a", &after), 0);
    assert_int_equal(after.n_conflicts, 0);
    assert_true(after.record.file_id != before.record.file_id);
    entry_release(&after);
    assert_int_equal(append_text(w->ns, root, "a", "!"), 0);
    assert_int_equal(look(w->ns, root, "a", "older!"), 0);
    entry_release(&before);
    context_release(&seen);
    buffer_release(&partition);
    buffer_release(&sort);
    buffer_release(&value);
}

/* ---- a crash in between ---- */

IN_WORLD(whatever_call_is_the_last_every_version_is_still_reached) {
    for (uint64_t last = 1; last < 12; last++) {
        char name[16], path[32], text[32], loser[NAME_SIZE_MAX + 1];
        snprintf(name, sizeof name, "f%d", (int)last);
        snprintf(path, sizeof path, "/%s", name);
        snprintf(text, sizeof text, "mine%d", (int)last);
        assert_int_equal(make_file(w->ns, root, name, text), 0);
        put_text(w, path, "theirs");
        store_mem_reset_hooks(w->mem);
        store_mem_fail(w->mem, last, UINT64_MAX, ERR_UNAVAILABLE, false);
        namespace_unlink(w->ns, root, name, NULL);
        store_mem_reset_hooks(w->mem);
        name_of(w, text, loser);
        assert_int_equal(look(w->other, root, loser, text), 0);
        int err = namespace_unlink(w->ns, root, name, NULL);
        assert_true(err == 0 || err == ERR_NO_ENTRY);
        assert_int_equal(look(w->other, root, loser, text), 0);
        assert_int_equal(namespace_unlink(w->ns, root, loser, NULL), 0);
        assert_int_equal(count_names(w->ns, root, 100), 0);
    }
}

/* ---- two who change it at once ---- */

static char duel_loser[NAME_SIZE_MAX + 1];
static void duel_prepare(struct world *w) {
    make_conflict(w, duel_loser);
}
static int duel_append(struct world *w) {
    return append_text(w->ns, root, "a.txt", "!");
}
static int duel_remove_loser(struct world *w) {
    return namespace_unlink(w->other, root, duel_loser, NULL);
}
static void duel_judge(struct world *w, int operated, int meddled) {
    assert_int_equal(operated, 0);
    assert_int_equal(look(w->ns, root, "a.txt", "theirs!"), 0);
    if (meddled == 0) {
        assert_int_equal(look(w->ns, root, duel_loser, NULL), ERR_NO_ENTRY);
    }
}
static void a_loser_that_is_removed_while_another_settles_it_stays_removed(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){duel_prepare, duel_append, duel_remove_loser, duel_judge}, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loser_shows_beside_the_winner_under_a_name_of_its_own),
        cmocka_unit_test(showing_conflicts_writes_nothing),
        cmocka_unit_test(inode_numbers_differ_and_stay_when_the_loser_gets_a_row),
        cmocka_unit_test(identical_contents_are_no_conflict_and_the_later_attributes_stay),
        cmocka_unit_test(attributes_that_two_sides_changed_of_equal_contents_are_all_there),
        cmocka_unit_test(of_one_attribute_that_both_sides_changed_the_later_value_stays),
        cmocka_unit_test(a_mode_and_an_acl_that_two_sides_changed_stay_what_one_of_them_said),
        cmocka_unit_test(attributes_of_a_directory_that_two_sides_changed_are_all_there),
        cmocka_unit_test(a_version_that_does_not_decode_hides_none_that_does),
        cmocka_unit_test(names_too_long_for_a_mark_have_losers_too),
        cmocka_unit_test(a_directory_that_lost_against_a_file_is_reached_by_its_own_name),
        cmocka_unit_test(writing_the_winner_keeps_the_loser),
        cmocka_unit_test(removing_the_winner_keeps_the_loser),
        cmocka_unit_test(removing_a_loser_resolves_it_and_no_other),
        cmocka_unit_test(a_loser_can_be_moved_written_and_put_in_the_winners_place),
        cmocka_unit_test(renaming_or_replacing_the_winner_keeps_the_loser),
        cmocka_unit_test(a_losers_name_is_taken_for_creating),
        cmocka_unit_test(an_edit_beats_a_removal_and_is_a_file_of_its_own),
        cmocka_unit_test(whatever_call_is_the_last_every_version_is_still_reached),
        cmocka_unit_test(a_loser_that_is_removed_while_another_settles_it_stays_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
