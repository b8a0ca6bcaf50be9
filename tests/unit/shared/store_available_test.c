/* store_available: what goes on in a minority, operation by operation as docs/filesystem.md has it,
 * and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_conflicts.h"
#include "shared/namespace_link.h"
#include "shared/store_available.h"
#include "shared/task.h"
#include "tests/lib/namespace_world.h"
#include "tests/lib/store_minority.h"

static const struct id128 *root = &namespace_root;
#define SECOND_NS 1000000000ll

/* Over the store of a world: `ns` sees it through a cut, and goes on; w->other sees all of it, as
 * the other side would once the two have met. */
struct side {
    struct world *w;
    struct store_minority cut;
    struct store_available available;
    struct namespace *ns;
    uint16_t n_alive; /* of the three replicas, that the client hears of */
    struct id128 d;   /* a directory, and a file of blocks in the root, "big" */
};

static int64_t clock_ns(void *clock) {
    return (int64_t)(store_mem_now_ns(clock) - STORE_MEM_EPOCH_NS);
}

static struct replica_set one_set(void *context, struct bytes partition_key) {
    const struct side *s = context;
    (void)partition_key;
    return (struct replica_set){.n = 3, .n_alive = s->n_alive};
}

static void make_big(struct side *s) {
    struct record record = file_record("");
    struct entry made;
    record.size = BLOCK_SIZE + 1;
    record.contents_kind = CONTENTS_BLOCKS;
    record.contents = contents_new(s->ns);
    assert_int_equal(
        contents_write_block(s->ns, &record.contents, 0, bytes_of_string("big"), false), 0);
    assert_int_equal(namespace_create(s->ns, root, "big", &record, &made), 0);
    entry_release(&made);
}

static void side_open(struct side *s, struct world *w) {
    *s = (struct side){.w = w};
    store_minority_init(&s->cut, store_mem_store(w->mem));
    s->available = (struct store_available){.inner = &s->cut.store,
                                            .now_ns = clock_ns,
                                            .clock = w->mem,
                                            .replicas = one_set,
                                            .context = s};
    store_available_init(&s->available);
    assert_int_equal(namespace_open(&s->available.store, &s->ns), 0);
    assert_int_equal(make_file(s->ns, root, "small", "before"), 0);
    assert_int_equal(make_directory(s->ns, root, "d", &s->d), 0);
    make_big(s);
    s->cut.cut = true;
    s->n_alive = 1;
    task_set_deadline(task_self(), clock_ns(w->mem) + 10 * SECOND_NS);
}

#define IN_MINORITY(name)                                                                          \
    static void name##_side(struct side *s);                                                       \
    IN_WORLD(name) {                                                                               \
        struct side s;                                                                             \
        side_open(&s, w);                                                                          \
        name##_side(&s);                                                                           \
        namespace_close(s.ns);                                                                     \
    }                                                                                              \
    static void name##_side(struct side *s)

static int create_open(struct side *s, const char *name, const char *text) {
    struct record record = file_record(text);
    struct entry made = {0};
    int err = namespace_create_available(s->ns, root, name, &record, false, &made);
    entry_release(&made);
    return err;
}

static int set_mode(void *context, struct record *record) {
    (void)context;
    record->mode = S_IFREG | 0600;
    return 0;
}

static int set_fresh(void *context, struct record *record) {
    record->contents = *(const struct id128 *)context;
    record->contents_kind = CONTENTS_BLOCKS;
    record->size = BLOCK_SIZE;
    record_set_data(record, (struct bytes){0});
    return 0;
}

static int grow(void *context, struct record *record) {
    (void)context;
    record->size += BLOCK_SIZE;
    return 0;
}

static int update(struct side *s, const char *name, int (*change)(void *, struct record *),
                  void *context, bool *ret_alone) {
    struct entry entry;
    int err = namespace_lookup(s->ns, root, name, &entry);
    if (err < 0) {
        return err;
    }
    err = namespace_update(s->ns, &entry, change, context, false);
    *ret_alone = err == 0 && entry.alone;
    entry_release(&entry);
    return err;
}

/* ---- what goes on ---- */

IN_MINORITY(names_contents_and_listings_are_read) {
    struct entry big;
    uint8_t block[BLOCK_SIZE];
    struct directory_attributes attributes;
    assert_int_equal(look(s->ns, root, "small", "before"), 0);
    assert_int_equal(look(s->ns, root, "missing", NULL), ERR_NO_ENTRY);
    assert_int_equal(count_names(s->ns, root, 10), 3);
    assert_int_equal(namespace_attributes(s->ns, &s->d, &attributes), 0);
    directory_attributes_release(&attributes);
    assert_int_equal(namespace_lookup(s->ns, root, "big", &big), 0);
    assert_int_equal(contents_read_block(s->ns, &big.record.contents, 0, block, NULL), 0);
    assert_memory_equal(block, "big", 3);
    entry_release(&big);
}

IN_MINORITY(a_plain_create_is_made_and_an_existing_one_still_met) {
    assert_int_equal(create_open(s, "new", "x"), 0);
    assert_int_equal(look(s->ns, root, "new", "x"), 0);
    assert_int_equal(create_open(s, "small", "y"), ERR_EXISTS);
    assert_int_equal(look(s->w->other, root, "new", "x"), 0);
}

IN_MINORITY(a_create_in_a_directory_that_is_gone_fails) {
    struct record record = file_record("x");
    struct entry made = {0};
    assert_int_equal(namespace_rmdir(s->w->other, root, "d"), 0);
    assert_int_equal(namespace_create_available(s->ns, &s->d, "a", &record, false, &made),
                     ERR_NO_ENTRY);
    assert_int_equal(namespace_create_available(s->ns, root, "a", &record, false, &made), 0);
    entry_release(&made);
}

IN_MINORITY(small_contents_and_attributes_change) {
    bool alone;
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    assert_int_equal(look(s->ns, root, "small", "before+"), 0);
    assert_int_equal(update(s, "small", set_mode, NULL, &alone), 0);
    assert_true(alone);
    assert_int_equal(look(s->w->other, root, "small", "before+"), 0);
}

IN_MINORITY(contents_are_replaced_by_fresh_blocks_and_these_may_grow) {
    struct id128 contents = contents_new(s->ns);
    bool alone;
    assert_int_equal(contents_write_block(s->ns, &contents, 0, bytes_of_string("new"), false), 0);
    assert_int_equal(update(s, "big", set_fresh, &contents, &alone), 0);
    assert_true(alone);
    assert_int_equal(contents_write_block(s->ns, &contents, 1, bytes_of_string("more"), false), 0);
    assert_int_equal(update(s, "big", grow, NULL, &alone), 0);
    s->cut.cut = false;
    task_sleep(MINORITY_NS);
    assert_int_equal(update(s, "big", grow, NULL, &alone), 0);
    assert_false(alone);
    s->cut.cut = true; /* a majority knows them now */
    assert_int_not_equal(contents_write_block(s->ns, &contents, 1, bytes_of_string("again"), false),
                         0);
}

IN_MINORITY(a_name_is_removed_and_its_blocks_stay) {
    struct entry removed;
    uint64_t blocks = store_mem_live_rows(s->w->mem, 'b');
    assert_int_equal(namespace_unlink(s->ns, root, "big", &removed), 0);
    assert_true(removed.alone);
    assert_true(store_mem_live_rows(s->w->mem, 'b') == blocks);
    assert_int_equal(look(s->ns, root, "big", NULL), ERR_NO_ENTRY);
    entry_release(&removed);
}

IN_MINORITY(a_directorys_attributes_change) {
    struct directory_attributes set = {.mode = 0700}, shown;
    assert_int_equal(namespace_set_attributes(s->ns, &s->d, ATTRIBUTE_MODE, &set, &shown), 0);
    directory_attributes_release(&shown);
    assert_int_equal(namespace_attributes(s->w->other, &s->d, &shown), 0);
    assert_int_equal(shown.mode, 0700);
    directory_attributes_release(&shown);
}

/* ---- what needs a majority ---- */

IN_MINORITY(an_exclusive_create_and_a_symlink_are_refused) {
    struct record link = {
        .mode = S_IFLNK | 0777, .size = 1, .data = bytes_of_string("x"), .file_id = 9};
    struct entry made;
    assert_int_equal(make_file(s->ns, root, "new", "x"), ERR_UNAVAILABLE);
    task_set_deadline(task_self(), clock_ns(s->w->mem) + 10 * SECOND_NS);
    assert_int_equal(namespace_create(s->ns, root, "l", &link, &made), ERR_UNAVAILABLE);
    assert_int_equal(count_names(s->w->other, root, 10), 3);
}

IN_MINORITY(mkdir_is_refused) {
    assert_int_equal(make_directory(s->ns, root, "e", NULL), ERR_UNAVAILABLE);
    assert_int_equal(count_names(s->w->other, root, 10), 3);
}

IN_MINORITY(rmdir_is_refused) {
    assert_int_equal(namespace_rmdir(s->ns, root, "d"), ERR_UNAVAILABLE);
    assert_int_equal(count_names(s->w->other, root, 10), 3);
}

IN_MINORITY(rename_is_refused) {
    assert_int_equal(move(s->ns, root, "small", root, "other"), ERR_UNAVAILABLE);
    assert_int_equal(look(s->w->other, root, "small", "before"), 0);
}

IN_MINORITY(link_is_refused) {
    struct entry small, made;
    assert_int_equal(namespace_lookup(s->ns, root, "small", &small), 0);
    assert_int_equal(namespace_link(s->ns, &small, root, "second", &made), ERR_UNAVAILABLE);
    assert_int_equal(look(s->w->other, root, "second", NULL), ERR_NO_ENTRY);
    entry_release(&small);
}

IN_MINORITY(changes_that_keep_the_blocks_are_refused) {
    bool alone;
    struct entry big;
    assert_int_equal(namespace_lookup(s->ns, root, "big", &big), 0);
    assert_int_equal(update(s, "big", set_mode, NULL, &alone), ERR_UNAVAILABLE);
    task_set_deadline(task_self(), clock_ns(s->w->mem) + 10 * SECOND_NS);
    assert_int_equal(
        contents_write_block(s->ns, &big.record.contents, 0, bytes_of_string("no"), false),
        ERR_UNAVAILABLE);
    entry_release(&big);
}

/* ---- both sides ---- */

IN_MINORITY(both_sides_write_one_file_and_both_are_there_when_they_meet) {
    struct buffer partition = {0}, sort = {0}, value = {0};
    struct store_row row = {0};
    struct store *mem = store_mem_store(s->w->mem);
    struct record theirs = file_record("theirs");
    theirs.file_id = 77;
    assert_int_equal(namespace_where(s->ns, "/small", &partition, &sort), 0);
    assert_int_equal(mem->get(mem->self, buffer_bytes(&partition), buffer_bytes(&sort), 0, &row),
                     0);
    assert_int_equal(write_text(s->ns, root, "small", "ours"), 0);
    record_encode(&theirs, &value);
    store_mem_put(s->w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &row.versions.context,
                  buffer_bytes(&value));
    struct entry winner;
    assert_int_equal(namespace_lookup(s->w->other, root, "small", &winner), 0);
    assert_int_equal(winner.n_conflicts, 1);
    assert_int_equal(count_names(s->w->other, root, 10), 4);
    entry_release(&winner);
    store_row_release(&row);
    buffer_release(&partition);
    buffer_release(&sort);
    buffer_release(&value);
}

IN_MINORITY(what_the_one_replica_has_newer_is_a_conflict_and_not_a_sibling) {
    struct entry entry;
    assert_int_equal(namespace_lookup(s->ns, root, "small", &entry), 0);
    assert_int_equal(write_text(s->w->other, root, "small", "newer"), 0);
    bool alone;
    assert_int_equal(update(s, "small", set_mode, NULL, &alone), 0);
    assert_int_equal(look(s->w->other, root, "small", "newer"), 0);
    assert_int_equal(count_names(s->w->other, root, 10), 3);
    entry_release(&entry);
}

IN_MINORITY(a_write_whose_answer_was_lost_is_not_two_versions) {
    s->cut.batch_err = ERR_UNKNOWN;
    s->cut.batch_applied = true;
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    assert_int_equal(create_open(s, "new", "x"), 0);
    assert_int_equal(look(s->w->other, root, "small", "before+"), 0);
    assert_int_equal(count_names(s->w->other, root, 10), 4);
}

IN_MINORITY(what_has_conflicts_is_not_changed_before_a_majority_can) {
    struct record theirs = file_record("theirs");
    struct context nothing = {0};
    struct buffer partition = {0}, sort = {0}, value = {0};
    theirs.file_id = 77;
    record_encode(&theirs, &value);
    assert_int_equal(namespace_where(s->ns, "/small", &partition, &sort), 0);
    store_mem_put(s->w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &nothing,
                  buffer_bytes(&value));
    assert_int_equal(append_text(s->ns, root, "small", "+"), ERR_UNAVAILABLE);
    assert_int_equal(count_names(s->w->other, root, 10), 4);
    buffer_release(&partition);
    buffer_release(&sort);
    buffer_release(&value);
}

/* ---- what it costs ---- */

IN_MINORITY(only_the_first_call_waits_and_later_ones_look_now_and_then) {
    int64_t began_ns = clock_ns(s->w->mem);
    assert_int_equal(look(s->ns, root, "small", "before"), 0);
    assert_true(clock_ns(s->w->mem) - began_ns <= MINORITY_TRY_NS + SECOND_NS / 10);
    uint64_t n_refused = s->cut.n_refused;
    began_ns = clock_ns(s->w->mem);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    }
    assert_true(s->cut.n_refused == n_refused);
    assert_true(clock_ns(s->w->mem) - began_ns < SECOND_NS / 10);
    task_sleep(MINORITY_NS);
    began_ns = clock_ns(s->w->mem);
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    assert_true(clock_ns(s->w->mem) - began_ns < MINORITY_LOOK_NS + SECOND_NS / 10);
    assert_true(s->cut.n_refused == n_refused + 1);
}

IN_MINORITY(when_the_majority_is_back_it_is_asked_again) {
    bool alone;
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    s->cut.cut = false;
    task_sleep(MINORITY_NS);
    assert_int_equal(update(s, "small", set_mode, NULL, &alone), 0);
    assert_false(alone);
    assert_int_equal(make_directory(s->ns, root, "e", NULL), 0);
}

IN_MINORITY(it_is_asked_again_as_soon_as_a_majority_is_heard_of) {
    bool alone;
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    s->cut.cut = false;
    s->n_alive = 2;
    assert_int_equal(update(s, "small", set_mode, NULL, &alone), 0);
    assert_false(alone);
}

IN_MINORITY(after_that_all_are_read_for_a_while_when_all_are_there) {
    assert_int_equal(append_text(s->ns, root, "small", "+"), 0);
    s->cut.cut = false;
    task_sleep(MINORITY_NS);
    s->n_alive = 3;
    assert_int_equal(look(s->ns, root, "small", "before+"), 0); /* looks, then reads */
    s->cut.n_all = 0;
    assert_int_equal(look(s->ns, root, "small", "before+"), 0);
    assert_true(s->cut.n_all == 1);
    task_set_deadline(task_self(), 0);
    task_sleep(MINORITY_NEWS_NS);
    s->n_alive = 2; /* one does not come back */
    assert_int_equal(look(s->ns, root, "small", "before+"), 0);
    assert_true(s->cut.n_all == 1);
    s->n_alive = 3;
    task_set_deadline(task_self(), 0);
    task_sleep(MINORITY_REJOINING_NS);
    assert_int_equal(look(s->ns, root, "small", "before+"), 0);
    assert_true(s->cut.n_all == 1);
}

IN_MINORITY(a_call_that_may_not_go_on_alone_has_its_whole_time) {
    int64_t began_ns = clock_ns(s->w->mem);
    assert_int_equal(namespace_rmdir(s->ns, root, "d"), ERR_UNAVAILABLE);
    int64_t took_ns = clock_ns(s->w->mem) - began_ns;
    assert_true(took_ns >= 9 * SECOND_NS && took_ns <= 11 * SECOND_NS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_contents_and_listings_are_read),
        cmocka_unit_test(a_plain_create_is_made_and_an_existing_one_still_met),
        cmocka_unit_test(a_create_in_a_directory_that_is_gone_fails),
        cmocka_unit_test(small_contents_and_attributes_change),
        cmocka_unit_test(contents_are_replaced_by_fresh_blocks_and_these_may_grow),
        cmocka_unit_test(a_name_is_removed_and_its_blocks_stay),
        cmocka_unit_test(a_directorys_attributes_change),
        cmocka_unit_test(an_exclusive_create_and_a_symlink_are_refused),
        cmocka_unit_test(mkdir_is_refused),
        cmocka_unit_test(rmdir_is_refused),
        cmocka_unit_test(rename_is_refused),
        cmocka_unit_test(link_is_refused),
        cmocka_unit_test(changes_that_keep_the_blocks_are_refused),
        cmocka_unit_test(both_sides_write_one_file_and_both_are_there_when_they_meet),
        cmocka_unit_test(what_the_one_replica_has_newer_is_a_conflict_and_not_a_sibling),
        cmocka_unit_test(a_write_whose_answer_was_lost_is_not_two_versions),
        cmocka_unit_test(what_has_conflicts_is_not_changed_before_a_majority_can),
        cmocka_unit_test(only_the_first_call_waits_and_later_ones_look_now_and_then),
        cmocka_unit_test(when_the_majority_is_back_it_is_asked_again),
        cmocka_unit_test(it_is_asked_again_as_soon_as_a_majority_is_heard_of),
        cmocka_unit_test(after_that_all_are_read_for_a_while_when_all_are_there),
        cmocka_unit_test(a_call_that_may_not_go_on_alone_has_its_whole_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
