/* sweep: whatever a client that dies leaves is found and repaired, and what is in use stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_link.h"
#include "shared/namespace_locks.h"
#include "shared/namespace_rows.h"
#include "shared/sweep.h"
#include "shared/task.h"
#include "tests/lib/dice.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;
static struct id128 d, e, child;

#define SECOND_NS 1000000000ull

/* ---- short forms ---- */

static int sweep(struct world *w, bool repair, uint64_t age_min_s, struct sweep_report *ret) {
    const struct partition_source source = {.self = w->mem, .n_slices = 1, .list = store_mem_list};
    const struct sweep_config config = {.ns = w->other,
                                        .source = &source,
                                        .repair = repair,
                                        .age_min_ns = age_min_s * SECOND_NS,
                                        .n_at_once = 2};
    return sweep_run(&config, ret);
}

static uint64_t found(const struct sweep_report *report) {
    uint64_t n = 0;
    for (int i = 0; i < SWEEP_KINDS; i++) {
        n += report->kinds[i].found;
    }
    return n;
}

static uint64_t left(const struct sweep_report *report) {
    uint64_t n = 0;
    for (int i = 0; i < SWEEP_KINDS; i++) {
        n += report->kinds[i].left;
    }
    return n;
}

/* Finds as many of a kind and nothing else, tells so without touching anything, repairs them, and
 * finds nothing after. */
static void assert_repaired(struct world *w, enum sweep_kind kind, uint64_t n) {
    struct sweep_report report;
    uint64_t rows = store_mem_live_rows(w->mem, 0);
    assert_int_equal(sweep(w, false, 0, &report), 0);
    assert_int_equal(report.kinds[kind].found, n);
    assert_int_equal(found(&report), n);
    assert_int_equal(store_mem_live_rows(w->mem, 0), rows);
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(report.kinds[kind].repaired, n);
    assert_int_equal(found(&report), n);
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(found(&report), 0);
}

static void assert_clean(struct world *w) {
    struct sweep_report report;
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(found(&report), 0);
}

static int64_t bytes_source(void *context, uint8_t *into, size_t size) {
    size_t *rest = context;
    size_t n = *rest < size ? *rest : size;
    memset(into, 'x', n);
    *rest -= n;
    return (int64_t)n;
}

static int put(struct namespace *ns, const char *path, size_t size) {
    return namespace_put(ns, path, 0644, 0, 0, bytes_source, &size);
}

static int count_bytes(void *context, struct bytes data) {
    size_t *n = context;
    for (size_t i = 0; i < data.size; i++) {
        *n += data.data[i] == 'x';
    }
    return 0;
}

static size_t whole(struct namespace *ns, const char *path) {
    size_t n = 0;
    int err = namespace_get(ns, path, count_bytes, &n);
    return err == 0 ? n : 0;
}

enum { LARGE = (1 << 20) + (1 << 18) };

/* Writes blocks that no record will ever name. */
static struct id128 leave_blocks(struct world *w, uint64_t n) {
    uint8_t block[100] = "orphan";
    struct id128 contents = contents_new(w->ns);
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(
            contents_write_block(w->ns, &contents, i * 7, bytes_of(block, sizeof block), false), 0);
    }
    return contents;
}

static void raw_put(struct world *w, struct key partition, struct key sort, struct bytes value) {
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){
        .kind = ROW_PUT, .condition = ROW_OVERWRITE, .sort_key = key_bytes(&sort), .value = value};
    assert_int_equal(commit_run(w->ns, &partition, &commit, 0), 0);
    commit_release(&commit);
}

static void raw_delete(struct world *w, struct key partition, struct key sort) {
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){
        .kind = ROW_DELETE, .condition = ROW_OVERWRITE, .sort_key = key_bytes(&sort)};
    assert_int_equal(commit_run(w->ns, &partition, &commit, 0), 0);
    commit_release(&commit);
}

/* ---- each kind of leftover ---- */

IN_WORLD(a_tree_in_order_is_clean) {
    assert_clean(w);
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "e", &e), 0);
    assert_int_equal(make_file(w->ns, &e, "small", "text"), 0);
    assert_int_equal(put(w->ns, "/d/e/large", LARGE), 0);
    assert_int_equal(move(w->ns, root, "d", root, "moved"), 0);
    assert_int_equal(move(w->ns, &d, "e", root, "e"), 0);
    assert_int_equal(namespace_rmdir(w->ns, root, "moved"), 0);
    assert_clean(w);
    assert_int_equal(whole(w->other, "/e/large"), LARGE);
}

IN_WORLD(blocks_without_a_record_go_and_others_stay) {
    assert_int_equal(put(w->ns, "/kept", LARGE), 0);
    uint64_t blocks = store_mem_live_rows(w->mem, 'b');
    leave_blocks(w, 5);
    leave_blocks(w, 1);
    assert_repaired(w, SWEEP_CONTENTS, 2);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), blocks);
    assert_int_equal(whole(w->other, "/kept"), LARGE);
}

IN_WORLD(blocks_that_a_mount_has_open_stay_while_it_says_so) {
    struct sweep_report report;
    struct id128 contents = leave_blocks(w, 5);
    assert_int_equal(contents_hold(w->other, &contents, 1), 0);
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(found(&report), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 5);
    store_mem_advance(w->mem, (CONTENTS_HOLD_SECONDS + 1) * SECOND_NS);
    assert_repaired(w, SWEEP_CONTENTS, 1);
}

IN_WORLD(what_is_young_is_left_alone) {
    struct sweep_report report;
    leave_blocks(w, 5);
    store_mem_advance(w->mem, 10 * SECOND_NS);
    assert_int_equal(sweep(w, true, 60, &report), 0);
    assert_int_equal(found(&report), 0);
    assert_int_equal(report.n_young, 1);
    store_mem_advance(w->mem, 60 * SECOND_NS);
    assert_int_equal(sweep(w, true, 60, &report), 0);
    assert_int_equal(report.kinds[SWEEP_CONTENTS].repaired, 1);
    assert_int_equal(report.n_blocks_removed, 5);
}

IN_WORLD(what_is_in_use_without_a_name_is_touched_and_stays) {
    struct sweep_report report;
    uint8_t block[10] = "open";
    struct id128 contents = contents_new(w->ns);
    const struct bytes data = bytes_of(block, sizeof block);
    assert_int_equal(contents_write_block(w->ns, &contents, 100, data, false), 0);
    for (int i = 0; i < 5; i++) {
        store_mem_advance(w->mem, 45 * SECOND_NS);
        assert_int_equal(sweep_touch(w->ns, &contents), 0);
        store_mem_advance(w->mem, 45 * SECOND_NS);
        assert_int_equal(sweep(w, true, 60, &report), 0);
        assert_int_equal(found(&report), 0);
        assert_int_equal(store_mem_live_rows(w->mem, 'b'), 1);
    }
    store_mem_advance(w->mem, 45 * SECOND_NS);
    assert_int_equal(sweep(w, true, 60, &report), 0);
    assert_int_equal(report.kinds[SWEEP_CONTENTS].repaired, 1);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
}

IN_WORLD(one_client_has_the_turn_to_sweep_until_the_time_is_over) {
    assert_int_equal(sweep_claim(w->ns, 100 * SECOND_NS), 0);
    assert_int_equal(sweep_claim(w->other, 100 * SECOND_NS), ERR_BUSY);
    assert_int_equal(sweep_claim(w->ns, 100 * SECOND_NS), ERR_BUSY);
    store_mem_advance(w->mem, 101 * SECOND_NS);
    assert_int_equal(sweep_claim(w->other, 100 * SECOND_NS), 0);
    assert_int_equal(sweep_claim(w->ns, 100 * SECOND_NS), ERR_BUSY);
    assert_int_equal(sweep_claim_return(w->other), 0);
    assert_int_equal(sweep_claim(w->ns, 100 * SECOND_NS), 0);
}

IN_WORLD(a_sweep_that_is_to_stop_does_and_takes_its_barrier_down) {
    struct sweep_report report;
    bool stop = true;
    const struct partition_source source = {.self = w->mem, .n_slices = 1, .list = store_mem_list};
    const struct sweep_config config = {
        .ns = w->other, .source = &source, .repair = true, .n_at_once = 1, .stop = &stop};
    leave_blocks(w, 3);
    assert_int_equal(sweep_run(&config, &report), ERR_INTERRUPTED);
    assert_int_equal(store_mem_live_rows(w->mem, 'g'), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 3);
}

IN_WORLD(a_dead_mounts_lease_and_locks_go_and_a_live_ones_stay) {
    struct id128 dead = namespace_id(w->ns), alive = namespace_id(w->ns);
    struct lease_row lease = {.lease_ms = 15000}, live = {.lease_ms = 15000};
    struct lock_row row = {0};
    struct lock lock = {.kind = LOCK_POSIX, .type = LOCK_SHARED, .owner = 1, .last = 9};
    assert_int_equal(lease_make(w->ns, &dead, &lease), 0);
    assert_int_equal(lease_make(w->ns, &alive, &live), 0);
    assert_int_equal(lock_row_read(w->ns, 77, &row), 0);
    struct lock_table table = {0};
    lock.mount = dead;
    assert_int_equal(lock_table_set(&table, &lock), 0);
    lock.mount = alive;
    assert_int_equal(lock_table_set(&table, &lock), 0);
    assert_int_equal(lock_row_write(w->ns, 77, &table, &row), 0);
    lock_table_release(&table);
    struct sweep_report report;
    assert_clean(w);
    store_mem_advance(w->mem, 60 * SECOND_NS);
    assert_int_equal(lease_renew(w->ns, &alive, &live), 0);
    assert_int_equal(sweep(w, false, 0, &report), 0);
    assert_int_equal(report.kinds[SWEEP_LEASE].found, 1);
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(report.kinds[SWEEP_LEASE].repaired, 1);
    assert_int_equal(report.kinds[SWEEP_LOCK].repaired, 1);
    assert_int_equal(found(&report), 2);
    assert_int_equal(lock_row_read(w->ns, 77, &row), 0);
    assert_int_equal(row.table.n, 1);
    assert_true(id128_equal(&row.table.locks[0].mount, &alive));
    assert_int_equal(lease_renew(w->ns, &dead, &lease), ERR_CONFLICT);
    assert_clean(w);
    lease_row_release(&lease);
    lease_row_release(&live);
    lock_row_release(&row);
}

IN_WORLD(a_directory_with_files_but_no_name_comes_to_lost_and_found) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "sub", NULL), 0);
    assert_int_equal(put(w->ns, "/d/large", LARGE), 0);
    raw_delete(w, key_directory(root, directory_shard(root, name_hash("d"))), key_entry("d"));
    assert_repaired(w, SWEEP_LOST, 1);
    char path[64];
    snprintf(path, sizeof path, "/lost+found/#%llu/large", (unsigned long long)directory_ino(&d));
    assert_int_equal(whole(w->ns, path), LARGE);
}

IN_WORLD(a_directory_that_lost_its_header_gets_one) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_file(w->ns, &d, "a", "A"), 0);
    raw_delete(w, key_directory(&d, 0), key_header());
    assert_repaired(w, SWEEP_LOST, 1);
    assert_int_equal(look(w->ns, &d, "a", "A"), 0);
    struct directory_attributes attributes;
    assert_int_equal(namespace_attributes(w->ns, &d, &attributes), 0);
    assert_int_equal(attributes.mode, 0755);
}

IN_WORLD(a_header_that_tells_another_place_is_put_right) {
    struct header_row row;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "e", &e), 0);
    assert_int_equal(header_read(w->ns, &e, &row), 0);
    row.header.parent = *root;
    assert_int_equal(header_write(w->ns, &e, &row, 0), 0);
    free((void *)(uintptr_t)row.seen.data);
    assert_repaired(w, SWEEP_BACK_POINTER, 1);
    assert_int_equal(header_read(w->ns, &e, &row), 0);
    assert_true(id128_equal(&row.header.parent, &d));
    assert_string_equal(row.header.name, "e");
    free((void *)(uintptr_t)row.seen.data);
}

IN_WORLD(an_entry_that_cannot_be_read_is_told_and_no_contents_are_removed) {
    struct sweep_report report;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    raw_put(w, key_directory(&d, 0), key_entry("bad"), bytes_of_string("no record"));
    leave_blocks(w, 3); /* they may be its */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sweep(w, true, 0, &report), 0);
        assert_int_equal(report.kinds[SWEEP_CORRUPT].left, 1);
        assert_int_equal(report.kinds[SWEEP_CONTENTS].left, 1);
        assert_int_equal(found(&report), 2);
    }
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 3);
}

IN_WORLD(a_header_that_cannot_be_read_is_told_and_its_directory_stays) {
    struct sweep_report report;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    raw_put(w, key_directory(&d, 0), key_header(), bytes_of_string("?"));
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(report.kinds[SWEEP_CORRUPT].left, 1);
    assert_int_equal(found(&report), 1);
}

IN_WORLD(only_what_is_below_the_directory_is_looked_at) {
    struct sweep_report report;
    struct header_row row;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "in", &child), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    raw_put(w, key_directory(&e, 0), key_entry("bad"), bytes_of_string("?"));
    leave_blocks(w, 2);
    assert_int_equal(header_read(w->ns, &child, &row), 0);
    row.header.state = DIRECTORY_DYING;
    assert_int_equal(header_write(w->ns, &child, &row, 0), 0);
    free((void *)(uintptr_t)row.seen.data);
    const struct sweep_config config = {.ns = w->other, .repair = true, .n_at_once = 1};
    assert_int_equal(sweep_below(&config, &d, &report), 0);
    assert_int_equal(report.kinds[SWEEP_DYING].repaired, 1);
    assert_int_equal(found(&report), 1);
    assert_int_equal(look(w->ns, &d, "in", NULL), ERR_NO_ENTRY);
}

/* ---- any operation, cut off at any of its calls ---- */

struct crash {
    const char *name;
    int (*operate)(struct world *w);
};
static const struct crash *scenario;
static uint64_t crash_at;
static bool crash_applied, crash_happened;
static int64_t before_n, after_n; /* names of the tree without a crash */

static void prepare(struct world *w) {
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, root, "e", &e), 0);
    assert_int_equal(make_directory(w->ns, &d, "child", &child), 0);
    assert_int_equal(make_directory(w->ns, &d, "empty", NULL), 0);
    assert_int_equal(make_directory(w->ns, &e, "empty", NULL), 0);
    assert_int_equal(make_file(w->ns, &child, "x", "X"), 0);
    assert_int_equal(put(w->ns, "/d/large", LARGE), 0);
    assert_int_equal(put(w->ns, "/e/other", LARGE), 0);
    /* A file with two names. */
    struct entry file, made;
    assert_int_equal(put(w->ns, "/d/two", LARGE), 0);
    assert_int_equal(namespace_lookup(w->ns, &d, "two", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, &e, "third", &made), 0);
    entry_release(&file);
    entry_release(&made);
}

static int64_t count_tree(struct namespace *ns, const struct id128 *directory) {
    struct listing listing;
    int64_t n = 0;
    assert_int_equal(namespace_list(ns, directory, 0, 100, &listing), 0);
    assert_true(listing.end);
    for (uint32_t i = 0; i < listing.n; i++) {
        const struct record *record = &listing.entries[i].entry.record;
        n += 1 + (S_ISDIR(record->mode) ? count_tree(ns, &record->directory) : 0);
    }
    listing_release(&listing);
    return n;
}

static int operate_mkdir(struct world *w) {
    return make_directory(w->ns, &d, "new", NULL);
}
static int operate_rmdir(struct world *w) {
    return namespace_rmdir(w->ns, &d, "empty");
}
static int operate_put(struct world *w) {
    return put(w->ns, "/d/new", LARGE);
}
static int operate_rewrite(struct world *w) {
    return put(w->ns, "/d/large", LARGE);
}
static int operate_move(struct world *w) {
    return move(w->ns, &d, "large", &e, "large");
}
static int operate_replace(struct world *w) {
    struct entry replaced;
    int err = namespace_rename(w->ns, &d, "large", &e, "other", 0, NULL, &replaced);
    if (err == 0) {
        err = contents_remove(w->ns, &replaced.record.contents, 0, LARGE / BLOCK_SIZE);
        entry_release(&replaced);
    }
    return err;
}
static int operate_link(struct world *w) {
    struct entry file, made;
    int err = namespace_lookup(w->ns, &d, "large", &file);
    if (err == 0) {
        err = namespace_link(w->ns, &file, &e, "second", &made);
        entry_release(&file);
    }
    if (err == 0) {
        entry_release(&made);
    }
    return err;
}
static int operate_unlink_second(struct world *w) {
    return namespace_unlink(w->ns, &e, "third", NULL);
}
static int operate_move_second(struct world *w) {
    return move(w->ns, &e, "third", &d, "third");
}
static int operate_exchange(struct world *w) {
    return namespace_rename(w->ns, &d, "large", &e, "other", RENAME_EXCHANGE, NULL, NULL);
}
static int operate_exchange_directory(struct world *w) {
    return namespace_rename(w->ns, &d, "child", &e, "other", RENAME_EXCHANGE, NULL, NULL);
}
static int operate_move_directory(struct world *w) {
    return move(w->ns, &d, "child", &e, "child");
}
static int operate_replace_directory(struct world *w) {
    return move(w->ns, &d, "child", &e, "empty");
}
static int operate_unlink(struct world *w) {
    struct entry removed;
    int err = namespace_unlink(w->ns, &d, "large", &removed);
    if (err == 0) {
        err = contents_remove(w->ns, &removed.record.contents, 0, LARGE / BLOCK_SIZE);
        entry_release(&removed);
    }
    return err;
}

static void crash_once(struct world *w) {
    struct sweep_report report;
    prepare(w);
    before_n = count_tree(w->ns, root);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, crash_at, UINT64_MAX, ERR_UNKNOWN, crash_applied);
    int err = scenario->operate(w);
    crash_happened = store_mem_calls(w->mem) >= crash_at;
    store_mem_reset_hooks(w->mem);
    store_mem_advance(w->mem, 60 * SECOND_NS);
    if (!crash_happened) {
        assert_int_equal(err, 0);
        after_n = count_tree(w->ns, root);
    }
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(left(&report), 0);
    assert_clean(w);
    /* Everything that is named is whole; nothing else is there. */
    int64_t n = count_tree(w->other, root);
    assert_true(n >= before_n - 1 && n <= before_n + 1);
    assert_int_equal(look(w->other, &child, "x", "X"), 0);
    uint64_t blocks = 0;
    assert_int_equal(whole(w->other, "/d/two"), LARGE);
    const char *paths[] = {"/d/large", "/e/large", "/e/other", "/d/new", "/d/two", "/d/child"};
    for (int i = 0; i < 6; i++) {
        struct entry entry;
        int there = namespace_resolve(w->other, paths[i], &entry);
        bool file = there == 0 && S_ISREG(entry.record.mode);
        entry_release(&entry);
        if (file) {
            assert_int_equal(whole(w->other, paths[i]), LARGE);
            blocks += LARGE / BLOCK_SIZE;
        }
    }
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), blocks);
}

static void a_crash_anywhere_leaves_nothing_that_is_not_repaired(void **state) {
    (void)state;
    const struct crash crashes[] = {
        {"mkdir", operate_mkdir},
        {"rmdir", operate_rmdir},
        {"put", operate_put},
        {"rewrite", operate_rewrite},
        {"move", operate_move},
        {"replace", operate_replace},
        {"move directory", operate_move_directory},
        {"replace directory", operate_replace_directory},
        {"unlink", operate_unlink},
        {"link", operate_link},
        {"unlink second", operate_unlink_second},
        {"move second", operate_move_second},
        {"exchange", operate_exchange},
        {"exchange directory", operate_exchange_directory},
    };
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        scenario = &crashes[i];
        for (int applied = 0; applied < 2; applied++) {
            crash_applied = applied != 0;
            crash_happened = true;
            for (crash_at = 1; crash_happened; crash_at++) {
                world_run(crash_once);
            }
            assert_true(crash_at > 2);
        }
    }
}

/* No client leaves such a list behind: as a damaged row might. */
static void unlist(struct world *w, const struct id128 *directory, const char *name) {
    struct entry file, row;
    struct record record;
    assert_int_equal(namespace_lookup(w->ns, directory, name, &file), 0);
    assert_int_equal(namespace_file(w->ns, file.record.file_id, &row), 0);
    record_copy(&row.record, &record);
    record_drop_link(&record, directory, name);
    assert_int_equal(entry_replace(w->ns, &row, &record, 0), 0);
    record_release(&record);
    entry_release(&row);
    entry_release(&file);
}

IN_WORLD(names_that_a_list_lacks_are_added_in_whatever_directory) {
    struct sweep_report report;
    struct entry file, made;
    prepare(w);
    assert_int_equal(namespace_lookup(w->ns, &d, "two", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, &d, "again", &made), 0);
    entry_release(&made);
    assert_int_equal(namespace_link(w->ns, &file, &d, "more", &made), 0);
    entry_release(&made);
    entry_release(&file);
    unlist(w, &e, "third");
    unlist(w, &d, "again");
    unlist(w, &d, "more");
    store_mem_advance(w->mem, 60 * SECOND_NS);
    assert_int_equal(sweep(w, false, 0, &report), 0);
    assert_int_equal(report.kinds[SWEEP_LINKS].found, 1);
    assert_int_equal(sweep(w, true, 0, &report), 0);
    assert_int_equal(report.kinds[SWEEP_LINKS].repaired, 1);
    assert_clean(w);
    struct entry removed;
    assert_int_equal(namespace_unlink(w->ns, &d, "two", &removed), 0);
    assert_int_equal(removed.n_links, 3);
    entry_release(&removed);
    assert_int_equal(whole(w->other, "/e/third"), LARGE);
}

/* ---- the tree changes all the while ---- */

enum { FOLDERS = 5, NAMES = 6, FILES = 12, MOVES = 20 };

/* A client that moves files and directories about, ahead of each scan of the sweep; it knows where
 * each one is. */
struct mover {
    struct world *w;
    struct dice dice;
    struct id128 folders[FOLDERS]; /* the root is the first; they never move */
    int file_at[FOLDERS][NAMES];   /* 0 = nothing, else a file or, negative, a directory */
};
static uint64_t seed;

static void name_of(int number, char ret[16]) {
    snprintf(ret, 16, "n%d", number);
}

static void path_of(int folder, int number, char ret[32]) {
    char prefix[16] = "";
    if (folder > 0) {
        snprintf(prefix, sizeof prefix, "/f%d", folder);
    }
    snprintf(ret, 32, "%s/n%d", prefix, number);
}

static void mover_prepare(struct mover *m) {
    m->folders[0] = *root;
    for (int i = 1; i < FOLDERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(make_directory(m->w->ns, root, name, &m->folders[i]), 0);
    }
    for (int i = 0; i < FILES; i++) {
        char path[32], name[16];
        int folder = i % FOLDERS, number = i / FOLDERS;
        path_of(folder, number, path);
        name_of(number, name);
        m->file_at[folder][number] = i % 3 == 2 ? -(i + 1) : i + 1;
        if (i % 3 == 2) {
            assert_int_equal(make_directory(m->w->ns, &m->folders[folder], name, NULL), 0);
        } else {
            assert_int_equal(put(m->w->ns, path, 5000 + (size_t)i), 0);
        }
    }
}

static void mover_step(struct mover *m) {
    int from = (int)dice_below(&m->dice, FOLDERS), to = (int)dice_below(&m->dice, FOLDERS);
    int a = (int)dice_below(&m->dice, NAMES), b = (int)dice_below(&m->dice, NAMES);
    int *source = &m->file_at[from][a], *target = &m->file_at[to][b];
    char from_name[16], to_name[16];
    name_of(a, from_name);
    name_of(b, to_name);
    bool exchange = *target != 0;
    if (*source == 0 || source == target) {
        return;
    }
    int err = namespace_rename(m->w->ns, &m->folders[from], from_name, &m->folders[to], to_name,
                               exchange ? RENAME_EXCHANGE : 0, NULL, NULL);
    assert_int_equal(err, 0);
    int moved = *source;
    *source = exchange ? *target : 0;
    *target = moved;
}

static void move_ahead(void *context, enum store_mem_call kind, uint64_t number) {
    struct mover *m = context;
    (void)number;
    for (int i = 0; kind == STORE_MEM_SCAN && i < MOVES; i++) {
        mover_step(m);
    }
}

static void mover_check(struct mover *m) {
    for (int folder = 0; folder < FOLDERS; folder++) {
        for (int number = 0; number < NAMES; number++) {
            char path[32], name[16];
            path_of(folder, number, path);
            name_of(number, name);
            int file = m->file_at[folder][number];
            int there = look(m->w->other, &m->folders[folder], name, NULL);
            assert_int_equal(there, file == 0 ? ERR_NO_ENTRY : 0);
            if (file > 0) {
                assert_int_equal(whole(m->w->other, path), 5000 + file - 1);
            }
        }
    }
}

IN_WORLD(move_about_in) {
    struct mover m = {.w = w};
    struct sweep_report report;
    dice_init(&m.dice, seed, DICE_CLIENT, 1);
    mover_prepare(&m);
    leave_blocks(w, 20);
    store_mem_advance(w->mem, 7200 * SECOND_NS);
    store_mem_before(w->mem, move_ahead, &m);
    assert_int_equal(sweep(w, true, 3600, &report), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(report.kinds[SWEEP_CONTENTS].repaired, 1);
    assert_int_equal(left(&report), 0);
    mover_check(&m);
    assert_int_equal(look(w->other, root, "lost+found", NULL), ERR_NO_ENTRY);
    assert_clean(w);
}

static void nothing_that_is_moved_meanwhile_is_taken_for_lost(void **state) {
    for (seed = 1; seed <= 40; seed++) {
        move_about_in(state);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_in_order_is_clean),
        cmocka_unit_test(blocks_without_a_record_go_and_others_stay),
        cmocka_unit_test(blocks_that_a_mount_has_open_stay_while_it_says_so),
        cmocka_unit_test(what_is_young_is_left_alone),
        cmocka_unit_test(what_is_in_use_without_a_name_is_touched_and_stays),
        cmocka_unit_test(one_client_has_the_turn_to_sweep_until_the_time_is_over),
        cmocka_unit_test(a_sweep_that_is_to_stop_does_and_takes_its_barrier_down),
        cmocka_unit_test(a_dead_mounts_lease_and_locks_go_and_a_live_ones_stay),
        cmocka_unit_test(a_directory_with_files_but_no_name_comes_to_lost_and_found),
        cmocka_unit_test(a_directory_that_lost_its_header_gets_one),
        cmocka_unit_test(a_header_that_tells_another_place_is_put_right),
        cmocka_unit_test(an_entry_that_cannot_be_read_is_told_and_no_contents_are_removed),
        cmocka_unit_test(a_header_that_cannot_be_read_is_told_and_its_directory_stays),
        cmocka_unit_test(only_what_is_below_the_directory_is_looked_at),
        cmocka_unit_test(a_crash_anywhere_leaves_nothing_that_is_not_repaired),
        cmocka_unit_test(names_that_a_list_lacks_are_added_in_whatever_directory),
        cmocka_unit_test(nothing_that_is_moved_meanwhile_is_taken_for_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
