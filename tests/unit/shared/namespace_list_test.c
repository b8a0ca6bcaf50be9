/* namespace_list: pages in hash order that neither skip nor repeat, whatever happens meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_link.h"
#include "shared/namespace_rows.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

static void make_files(struct namespace *ns, const struct id128 *directory, const char *prefix,
                       int n) {
    for (int i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%d", prefix, i);
        assert_int_equal(make_file(ns, directory, name, name), 0);
    }
}

IN_WORLD(an_empty_directory_lists_nothing) {
    struct id128 d;
    struct listing listing;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(namespace_list(w->ns, &d, 0, 100, &listing), 0);
    assert_int_equal(listing.n, 0);
    assert_true(listing.end);
    listing_release(&listing);
}

IN_WORLD(a_listing_has_the_records_and_cookies_from_16_on) {
    struct listing listing;
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    make_files(w->ns, root, "a", 5);
    assert_int_equal(namespace_list(w->ns, root, 0, 100, &listing), 0);
    assert_int_equal(listing.n, 6);
    assert_true(listing.end);
    for (uint32_t i = 0; i < listing.n; i++) {
        const struct entry *entry = &listing.entries[i].entry;
        assert_true(listing.entries[i].cookie >= 16);
        assert_int_equal(look(w->ns, root, entry->name, NULL), 0);
        if (entry->name[0] == 'a') {
            assert_true(bytes_equal(entry->record.data, bytes_of_string(entry->name)));
        } else {
            assert_true(id128_equal(&entry->record.directory, &d));
        }
    }
    listing_release(&listing);
}

IN_WORLD(three_thousand_names_list_completely_in_pages_of_any_size) {
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    make_files(w->ns, &d, "file", 3000);
    const uint32_t pages[] = {1, 7, 1000, 2999, 3000, 3001, 100000};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        assert_int_equal(count_names(w->ns, &d, pages[i]), 3000);
    }
}

IN_WORLD(the_root_lists_over_its_shards) {
    make_files(w->ns, root, "file", 300);
    assert_int_equal(count_names(w->ns, root, 1), 300);
    assert_int_equal(count_names(w->ns, root, 64), 300);
    assert_int_equal(count_names(w->ns, root, 1000), 300);
}

IN_WORLD(removed_names_are_passed_over_even_when_they_fill_pages) {
    make_files(w->ns, root, "file", 300);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "file%d", i);
        if (i != 150) {
            assert_int_equal(namespace_unlink(w->ns, root, name, NULL), 0);
        }
    }
    assert_int_equal(count_names(w->ns, root, 2), 1);
}

/* Names of one hash cannot be found by trying, so their rows are made by hand: entries at `hash`
 * whose names are not what the hash says. */
static void put_at_hash(struct world *w, const struct id128 *directory, uint64_t hash,
                        const char *name) {
    struct key partition = key_directory(directory, directory_shard(directory, hash));
    struct key sort = key_entries_from(hash);
    memcpy(sort.data + sort.size, name, strlen(name));
    sort.size += strlen(name);
    struct record record = file_record(name);
    struct buffer value = {0};
    struct context nothing = {0};
    record.file_id = 5;
    record_encode(&record, &value);
    store_mem_put(w->mem, key_bytes(&partition), key_bytes(&sort), &nothing, buffer_bytes(&value));
    buffer_release(&value);
}

IN_WORLD(names_of_one_hash_share_a_page) {
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    const uint64_t hashes[] = {0, 3, 16, 17, 1ull << 40, INT64_MAX - 1, INT64_MAX};
    char name[32];
    for (uint32_t i = 0; i < 7; i++) {
        for (int k = 0; k < 5; k++) {
            snprintf(name, sizeof name, "%u-%d", i, k);
            put_at_hash(w, &d, hashes[i], name);
            put_at_hash(w, root, hashes[i], name);
        }
    }
    for (uint32_t page = 1; page < 40; page++) {
        assert_int_equal(count_names(w->ns, &d, page), 35);
        assert_int_equal(count_names(w->ns, root, page), 36); /* and d */
    }
}

/* Names that stay must show exactly once while others come and go between the pages. */
IN_WORLD(what_stays_shows_once_while_others_come_and_go) {
    bool seen[200] = {false};
    make_files(w->ns, root, "stay", 200);
    make_files(w->ns, root, "go", 200);
    uint64_t after = 0;
    bool end = false;
    for (int page = 0; !end; page++) {
        struct listing listing;
        char name[32];
        assert_int_equal(namespace_list(w->ns, root, after, 7, &listing), 0);
        for (uint32_t i = 0; i < listing.n; i++) {
            int number;
            if (sscanf(listing.entries[i].entry.name, "stay%d", &number) == 1) {
                assert_false(seen[number]);
                seen[number] = true;
            }
            after = listing.entries[i].cookie;
        }
        end = listing.end;
        listing_release(&listing);
        for (int i = 0; i < 5; i++) {
            snprintf(name, sizeof name, "go%d", page * 5 + i);
            namespace_unlink(w->other, root, name, NULL);
            snprintf(name, sizeof name, "come%d", page * 5 + i);
            assert_int_equal(make_file(w->other, root, name, ""), 0);
        }
    }
    for (int i = 0; i < 200; i++) {
        assert_true(seen[i]);
    }
}

IN_WORLD(pages_bounded_by_bytes_still_list_everything) {
    char text[4001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    for (int i = 0; i < 600; i++) { /* 2.4 MB */
        char name[32];
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(make_file(w->ns, &d, name, text), 0);
    }
    assert_int_equal(count_names(w->ns, &d, 4000), 600);
}

/* Both listings of a directory say the same, as far as both say it. */
static void assert_same_names(struct world *w, const struct id128 *directory, uint32_t n) {
    struct listing whole, names;
    assert_int_equal(namespace_list(w->ns, directory, 0, 300, &whole), 0);
    assert_int_equal(namespace_list_names(w->ns, directory, 0, 300, &names), 0);
    assert_true(whole.end && names.end);
    assert_int_equal(whole.n, n);
    assert_int_equal(names.n, n);
    for (uint32_t i = 0; i < n; i++) {
        const struct entry *a = &whole.entries[i].entry, *b = &names.entries[i].entry;
        assert_string_equal(a->name, b->name);
        assert_int_equal(whole.entries[i].cookie, names.entries[i].cookie);
        assert_int_equal(a->record.mode, b->record.mode);
        assert_true(record_ino(&a->record) == record_ino(&b->record));
    }
    listing_release(&whole);
    listing_release(&names);
}

IN_WORLD(a_listing_of_names_says_the_same_of_all_kinds_of_entries) {
    struct id128 d, e;
    struct entry file, link;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(make_directory(w->ns, &d, "e", &e), 0);
    make_files(w->ns, &d, "file", 20);
    assert_int_equal(namespace_lookup(w->ns, &d, "file1", &file), 0);
    assert_int_equal(namespace_link(w->ns, &file, &d, "link1", &link), 0);
    entry_release(&file);
    entry_release(&link);
    assert_int_equal(namespace_rename(w->ns, root, "d", root, "c", 0, NULL, NULL), 0);
    assert_int_equal(namespace_rename(w->ns, &d, "file2", &e, "moved", 0, NULL, NULL), 0);
    assert_same_names(w, &d, 21);
    assert_same_names(w, &e, 1);
    assert_same_names(w, root, 1);
}

IN_WORLD(a_listing_of_names_reads_large_records_in_few_pages) {
    char text[4001];
    struct id128 d;
    struct listing listing;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(make_file(w->ns, &d, name, text), 0);
    }
    uint64_t before = store_mem_calls(w->mem);
    assert_int_equal(namespace_list_names(w->ns, &d, 0, 300, &listing), 0);
    assert_int_equal(store_mem_calls(w->mem), before + 1);
    assert_int_equal(listing.n, 100);
    listing_release(&listing);
}

IN_WORLD(a_listing_that_fails_midway_fails) {
    struct listing listing;
    make_files(w->ns, root, "file", 50);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 5, 5, ERR_UNAVAILABLE, false);
    assert_int_equal(namespace_list(w->ns, root, 0, 100, &listing), ERR_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_lists_nothing),
        cmocka_unit_test(a_listing_has_the_records_and_cookies_from_16_on),
        cmocka_unit_test(three_thousand_names_list_completely_in_pages_of_any_size),
        cmocka_unit_test(the_root_lists_over_its_shards),
        cmocka_unit_test(removed_names_are_passed_over_even_when_they_fill_pages),
        cmocka_unit_test(names_of_one_hash_share_a_page),
        cmocka_unit_test(what_stays_shows_once_while_others_come_and_go),
        cmocka_unit_test(pages_bounded_by_bytes_still_list_everything),
        cmocka_unit_test(a_listing_of_names_says_the_same_of_all_kinds_of_entries),
        cmocka_unit_test(a_listing_of_names_reads_large_records_in_few_pages),
        cmocka_unit_test(a_listing_that_fails_midway_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
