/* contents: blocks, holes, removal, and whole files in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "tests/lib/namespace_world.h"

static const struct id128 *root = &namespace_root;

/* ---- blocks ---- */

IN_WORLD(a_block_comes_back_with_zeros_behind_it) {
    struct id128 id = contents_new(w->ns);
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    uint32_t stored = 9;
    memset(block, 0xff, BLOCK_SIZE);
    assert_int_equal(contents_read_block(w->ns, &id, 3, block, &stored), 0);
    assert_int_equal(stored, 0);
    assert_int_equal(block[0], 0);
    assert_int_equal(block[BLOCK_SIZE - 1], 0);
    assert_int_equal(contents_write_block(w->ns, &id, 3, bytes_of_string("hello"), true), 0);
    memset(block, 0xff, BLOCK_SIZE);
    assert_int_equal(contents_read_block(w->other, &id, 3, block, &stored), 0);
    assert_int_equal(stored, 5);
    assert_memory_equal(block, "hello\0", 6);
    assert_int_equal(block[BLOCK_SIZE - 1], 0);
    assert_int_equal(contents_write_block(w->ns, &id, 3, bytes_of_string("bye"), false), 0);
    assert_int_equal(contents_read_block(w->ns, &id, 3, block, NULL), 0);
    assert_memory_equal(block, "bye\0\0", 5);
    free(block);
}

IN_WORLD(a_block_over_the_size_is_refused) {
    struct id128 id = contents_new(w->ns);
    uint8_t *block = memory_new(1, BLOCK_SIZE + 1);
    assert_int_equal(contents_write_block(w->ns, &id, 0, bytes_of(block, BLOCK_SIZE + 1), false),
                     ERR_TOO_BIG);
    assert_int_equal(contents_write_block(w->ns, &id, 0, bytes_of(block, BLOCK_SIZE), false), 0);
    free(block);
}

IN_WORLD(removing_takes_exactly_the_blocks_of_the_range) {
    struct id128 id = contents_new(w->ns), another = contents_new(w->ns);
    const uint64_t blocks[] = {0, 1, 15, 16, 17, 40, 100, 1000};
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(contents_write_block(w->ns, &id, blocks[i], bytes_of_string("x"), false),
                         0);
    }
    assert_int_equal(contents_write_block(w->ns, &another, 16, bytes_of_string("y"), false), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 9);
    assert_int_equal(contents_remove(w->ns, &id, 1, 41), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 4);
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    uint32_t stored;
    assert_int_equal(contents_read_block(w->ns, &id, 0, block, &stored), 0);
    assert_int_equal(stored, 1);
    assert_int_equal(contents_read_block(w->ns, &id, 16, block, &stored), 0);
    assert_int_equal(stored, 0);
    assert_int_equal(contents_remove(w->ns, &id, 1, 41), 0); /* again */
    assert_int_equal(contents_remove(w->ns, &id, 0, 1001), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 1);
    assert_int_equal(contents_remove(w->ns, &id, 5, 5), 0);
    free(block);
}

IN_WORLD(removing_takes_all_blocks_of_a_full_stripe) {
    struct id128 id = contents_new(w->ns);
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    for (uint64_t i = 0; i < 2 * STRIPE_BLOCKS; i++) {
        assert_int_equal(contents_write_block(w->ns, &id, i, bytes_of(block, BLOCK_SIZE), false),
                         0);
        block[BLOCK_SIZE - 1] = 1; /* the first is all zeros */
    }
    assert_int_equal(contents_remove(w->ns, &id, 0, 2 * STRIPE_BLOCKS), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    free(block);
}

IN_WORLD(a_removal_that_fails_says_so_and_can_be_repeated) {
    struct id128 id = contents_new(w->ns);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(contents_write_block(w->ns, &id, i, bytes_of_string("x"), false), 0);
    }
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 5, 5, ERR_UNAVAILABLE, false);
    assert_int_equal(contents_remove(w->ns, &id, 0, 100), ERR_UNAVAILABLE);
    assert_true(store_mem_live_rows(w->mem, 'b') > 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(contents_remove(w->ns, &id, 0, 100), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
}

/* ---- reading a file ---- */

/* Byte `at` of the test's file. */
static uint8_t byte_at(uint64_t at) {
    return (uint8_t)(at * 31 + at / BLOCK_SIZE + 1);
}

static void check_range(struct namespace *ns, const struct record *record, uint64_t offset,
                        size_t size) {
    uint8_t *into = memory_new(1, size + 1);
    size_t got = 0, expected = 0;
    if (offset < record->size) {
        expected = record->size - offset < size ? (size_t)(record->size - offset) : size;
    }
    memset(into, 0xee, size + 1);
    assert_int_equal(contents_read(ns, record, offset, into, size, &got), 0);
    assert_int_equal(got, expected);
    for (size_t i = 0; i < got; i++) {
        assert_int_equal(into[i], byte_at(offset + i));
    }
    assert_int_equal(into[got], 0xee); /* nothing behind */
    free(into);
}

IN_WORLD(any_range_of_a_file_in_blocks_can_be_read) {
    struct record record = {.mode = S_IFREG,
                            .size = 40 * BLOCK_SIZE + 100,
                            .contents_kind = CONTENTS_BLOCKS,
                            .contents = contents_new(w->ns)};
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    for (uint64_t i = 0; i <= 40; i++) {
        for (size_t k = 0; k < BLOCK_SIZE; k++) {
            block[k] = byte_at(i * BLOCK_SIZE + k);
        }
        size_t size = i < 40 ? BLOCK_SIZE : 100;
        assert_int_equal(
            contents_write_block(w->ns, &record.contents, i, bytes_of(block, size), false), 0);
    }
    free(block);
    store_mem_yield(w->mem, true);
    check_range(w->ns, &record, 0, 1);
    check_range(w->ns, &record, 0, record.size);
    check_range(w->ns, &record, 0, record.size + 1000);
    check_range(w->ns, &record, BLOCK_SIZE - 1, 2);
    check_range(w->ns, &record, BLOCK_SIZE, BLOCK_SIZE);
    check_range(w->ns, &record, 3 * BLOCK_SIZE + 7, 20 * BLOCK_SIZE);
    check_range(w->ns, &record, record.size - 1, 10);
    check_range(w->ns, &record, record.size, 10);
    check_range(w->ns, &record, record.size + BLOCK_SIZE, 10);
    check_range(w->ns, &record, 5, 0);
}

IN_WORLD(holes_and_the_tail_of_inline_contents_read_as_zeros) {
    struct record sparse = {.mode = S_IFREG,
                            .size = 1ull << 50,
                            .contents_kind = CONTENTS_BLOCKS,
                            .contents = contents_new(w->ns)};
    struct record inlined = {.mode = S_IFREG, .size = 10, .data = bytes_of_string("abc")};
    uint8_t into[16];
    size_t got;
    memset(into, 0xee, sizeof into);
    assert_int_equal(contents_read(w->ns, &sparse, (1ull << 49) - 5, into, 16, &got), 0);
    assert_int_equal(got, 16);
    assert_int_equal(into[0], 0);
    assert_int_equal(into[15], 0);
    memset(into, 0xee, sizeof into);
    assert_int_equal(contents_read(w->ns, &inlined, 1, into, 16, &got), 0);
    assert_int_equal(got, 9);
    assert_memory_equal(into, "bc\0\0\0\0\0\0\0", 9);
    assert_int_equal(into[9], 0xee);
    assert_int_equal(contents_read(w->ns, &inlined, 5, into, 16, &got), 0);
    assert_int_equal(got, 5);
}

IN_WORLD(a_tail_lies_over_the_blocks) {
    struct record record = {.mode = S_IFREG,
                            .size = BLOCK_SIZE + 10,
                            .contents_kind = CONTENTS_BLOCKS,
                            .contents = contents_new(w->ns),
                            .data = bytes_of_string("tail"),
                            .data_at = BLOCK_SIZE - 2};
    uint8_t into[16];
    size_t got;
    assert_int_equal(
        contents_write_block(w->ns, &record.contents, 0, bytes_of_string("front"), false), 0);
    assert_int_equal(contents_read(w->ns, &record, BLOCK_SIZE - 4, into, 16, &got), 0);
    assert_int_equal(got, 14);
    assert_memory_equal(into, "\0\0tail\0\0\0\0\0\0\0\0", 14);
    record.data_at = record.size - record.data.size;
    assert_int_equal(contents_read(w->ns, &record, record.size - 6, into, 16, &got), 0);
    assert_memory_equal(into, "\0\0tail", 6);
    assert_true(contents_blocks_end(&record) == record.data_at);
}

IN_WORLD(a_block_is_put_only_as_it_was_seen) {
    uint8_t block[BLOCK_SIZE];
    uint32_t size;
    struct block_seen seen = {0}, old = {0};
    struct id128 id = contents_new(w->ns);
    assert_int_equal(contents_get_block(w->ns, &id, 7, block, &size, &seen), 0);
    assert_true(seen.known && !seen.stored && size == 0);
    struct block_put put = {
        .contents = id, .index = 7, .data = bytes_of_string("one"), .manner = BLOCK_AS_SEEN};
    assert_int_equal(contents_put_block(w->ns, &put, &seen), 0);
    assert_int_equal(contents_put_block(w->ns, &put, &old), ERR_CONFLICT);
    assert_int_equal(contents_get_block(w->other, &id, 7, block, &size, &old), 0);
    put.data = bytes_of_string("two");
    assert_int_equal(contents_put_block(w->ns, &put, &seen), 0);
    assert_int_equal(contents_put_block(w->other, &put, &old), ERR_CONFLICT);
    put.manner = BLOCK_IN_LINE;
    assert_int_equal(contents_put_block(w->other, &put, &old), 0);
    put.manner = BLOCK_AS_SEEN;
    assert_int_equal(contents_put_block(w->ns, &put, &seen), ERR_CONFLICT);
    assert_int_equal(contents_put_block(w->other, &put, &old), 0);
    block_seen_release(&seen);
    block_seen_release(&old);
}

/* ---- runs ---- */

IN_WORLD(a_run_ends_with_its_stripe_and_with_eight_blocks) {
    (void)w;
    const size_t much = 64 * BLOCK_SIZE;
    assert_true(contents_run(0, much) == 8 * BLOCK_SIZE);
    assert_true(contents_run(100, much) == 8 * BLOCK_SIZE - 100);
    assert_true(contents_run(12 * BLOCK_SIZE, much) == 4 * BLOCK_SIZE);
    assert_true(contents_run(16 * BLOCK_SIZE - 1, much) == 1);
    assert_true(contents_run(5 * BLOCK_SIZE + 7, 3) == 3);
}

IN_WORLD(a_run_is_one_request_whatever_holes_it_has) {
    struct id128 id = contents_new(w->ns);
    uint8_t *into = memory_new(8, BLOCK_SIZE), *expected = memory_new(8, BLOCK_SIZE);
    bool hole = false;
    for (uint64_t i = 0; i < 8; i++) {
        for (size_t k = 0; k < BLOCK_SIZE; k++) {
            expected[i * BLOCK_SIZE + k] = byte_at(i * BLOCK_SIZE + k);
        }
        assert_int_equal(contents_write_block(
                             w->ns, &id, i, bytes_of(expected + i * BLOCK_SIZE, BLOCK_SIZE), false),
                         0);
    }
    store_mem_reset_hooks(w->mem);
    assert_int_equal(contents_read_run(w->other, &id, 5, into, 8 * BLOCK_SIZE - 9, &hole), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_memory_equal(into, expected + 5, 8 * BLOCK_SIZE - 9);
    assert_false(hole);
    assert_int_equal(contents_remove(w->ns, &id, 3, 5), 0);
    assert_int_equal(contents_remove(w->ns, &id, 7, 8), 0);
    memset(expected + 3 * BLOCK_SIZE, 0, 2 * BLOCK_SIZE);
    memset(expected + 7 * BLOCK_SIZE, 0, BLOCK_SIZE);
    memset(into, 0xee, 8 * BLOCK_SIZE);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(contents_read_run(w->other, &id, 0, into, 8 * BLOCK_SIZE, &hole), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_memory_equal(into, expected, 8 * BLOCK_SIZE);
    assert_true(hole);
    free(into);
    free(expected);
}

IN_WORLD(a_part_of_a_block_is_all_that_is_sent) {
    static const struct {
        uint32_t at, size;
        bool hole;
    } parts[] = {
        {0, 4096, false},          {4096, 4096, false},         {39990, 20, false},
        {39000, 30000, false},     {BLOCK_SIZE - 10, 10, true}, {100, BLOCK_SIZE / 2, false},
        {1, BLOCK_SIZE - 1, false}};
    struct id128 id = contents_new(w->ns);
    uint8_t *into = memory_new(1, BLOCK_SIZE + 1), *expected = memory_new(1, BLOCK_SIZE);
    for (size_t k = 0; k < 40000; k++) { /* a short block */
        expected[k] = byte_at(k);
    }
    assert_int_equal(contents_write_block(w->ns, &id, 0, bytes_of(expected, 40000), false), 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t size = parts[i].size;
        bool hole = false;
        size = size < BLOCK_SIZE - parts[i].at ? size : BLOCK_SIZE - parts[i].at;
        memset(into, 0xee, BLOCK_SIZE + 1);
        store_mem_reset_hooks(w->mem);
        assert_int_equal(contents_read_run(w->other, &id, parts[i].at, into, size, &hole), 0);
        assert_int_equal(store_mem_calls(w->mem), 1);
        assert_memory_equal(into, expected + parts[i].at, size);
        assert_int_equal(into[size], 0xee);
        assert_int_equal(hole, parts[i].hole);
    }
    bool hole = false;
    assert_int_equal(contents_read_run(w->ns, &id, BLOCK_SIZE + 5, into, 10, &hole), 0);
    assert_true(hole);
    free(into);
    free(expected);
}

/* Nodes of an earlier version know no parts. */
IN_WORLD(a_part_that_is_refused_is_taken_from_the_whole_block) {
    struct id128 id = contents_new(w->ns);
    uint8_t into[3];
    bool hole = false;
    assert_int_equal(contents_write_block(w->ns, &id, 0, bytes_of_string("abcdef"), false), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_INVALID, false);
    assert_int_equal(contents_read_run(w->ns, &id, 2, into, 3, &hole), 0);
    assert_memory_equal(into, "cde", 3);
    assert_false(hole);
}

/* Rows of several versions are larger than a page of so many blocks has room for. */
IN_WORLD(a_run_of_blocks_with_several_versions_goes_on_page_by_page) {
    struct id128 id = contents_new(w->ns);
    uint8_t *into = memory_new(4, BLOCK_SIZE), *block = memory_new(1, BLOCK_SIZE);
    bool hole = false;
    for (uint64_t i = 0; i < 4; i++) {
        struct key partition = key_stripe(&id, 0), sort = key_block(i);
        for (uint8_t version = 1; version <= 3; version++) {
            memset(block, (int)(16 * i + version), BLOCK_SIZE);
            store_mem_put(w->mem, key_bytes(&partition), key_bytes(&sort), &(struct context){0},
                          bytes_of(block, BLOCK_SIZE));
        }
    }
    store_mem_reset_hooks(w->mem);
    assert_int_equal(contents_read_run(w->ns, &id, 0, into, 4 * BLOCK_SIZE, &hole), 0);
    assert_true(store_mem_calls(w->mem) > 1);
    for (uint64_t i = 0; i < 4; i++) {
        uint8_t shown = into[i * BLOCK_SIZE];
        assert_true(shown > 16 * i && shown <= 16 * i + 3);
        memset(block, shown, BLOCK_SIZE);
        assert_memory_equal(into + i * BLOCK_SIZE, block, BLOCK_SIZE);
    }
    assert_false(hole);
    free(into);
    free(block);
}

IN_WORLD(a_run_with_a_row_that_is_no_block_is_corrupt) {
    uint8_t *into = memory_new(3, BLOCK_SIZE + 1);
    bool hole = false;
    for (int i = 0; i < 2; i++) { /* a key that is too long; a block that is too large */
        struct id128 id = contents_new(w->ns);
        struct key partition = key_stripe(&id, 0), sort = key_block(1);
        sort.data[sort.size] = 0;
        sort.size += i == 0 ? 1 : 0;
        store_mem_put(w->mem, key_bytes(&partition), key_bytes(&sort), &(struct context){0},
                      bytes_of(into, i == 0 ? 5 : BLOCK_SIZE + 1));
        assert_int_equal(contents_read_run(w->ns, &id, 0, into, 3 * BLOCK_SIZE, &hole),
                         ERR_CORRUPT);
    }
    free(into);
}

IN_WORLD(a_read_fails_when_any_block_fails) {
    struct record record = {.mode = S_IFREG,
                            .size = 40 * BLOCK_SIZE,
                            .contents_kind = CONTENTS_BLOCKS,
                            .contents = contents_new(w->ns)};
    uint8_t *into = memory_new(40, BLOCK_SIZE);
    size_t got = 12345;
    store_mem_fail(w->mem, 3, 3, ERR_UNAVAILABLE, false);
    assert_int_equal(contents_read(w->ns, &record, 0, into, 40 * BLOCK_SIZE, &got),
                     ERR_UNAVAILABLE);
    assert_int_equal(got, 12345);
    free(into);
}

/* ---- put and get ---- */

struct pattern_source {
    uint64_t at, size;
    size_t step; /* at most this many bytes a call */
    uint64_t fail_at;
};
static int64_t pattern_read(void *context, uint8_t *into, size_t size) {
    struct pattern_source *source = context;
    if (source->fail_at != 0 && source->at >= source->fail_at) {
        return ERR_IO;
    }
    uint64_t left = source->size - source->at;
    size_t n = size < source->step ? size : source->step;
    n = left < n ? (size_t)left : n;
    for (size_t i = 0; i < n; i++) {
        into[i] = byte_at(source->at + i);
    }
    source->at += n;
    return (int64_t)n;
}
static int put_pattern(struct namespace *ns, const char *path, uint64_t size, size_t step) {
    struct pattern_source source = {.size = size, .step = step};
    return namespace_put(ns, path, 0640, 3, 4, pattern_read, &source);
}

static int pattern_check(void *context, struct bytes data) {
    uint64_t *at = context;
    for (size_t i = 0; i < data.size; i++) {
        if (data.data[i] != byte_at(*at + i)) {
            return ERR_IO;
        }
    }
    *at += data.size;
    return 0;
}
static int64_t get_pattern(struct namespace *ns, const char *path) {
    uint64_t at = 0;
    int err = namespace_get(ns, path, pattern_check, &at);
    return err < 0 ? err : (int64_t)at;
}

IN_WORLD(what_is_put_is_got_at_any_size) {
    const uint64_t sizes[] = {0,          1,
                              4095,       4096,
                              4097,       BLOCK_SIZE - 1,
                              BLOCK_SIZE, BLOCK_SIZE + 1,
                              1 << 20,    (3 << 20) + 12345};
    store_mem_yield(w->mem, true);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(put_pattern(w->ns, "/f", sizes[i], 1 << 20), 0);
        assert_int_equal(get_pattern(w->other, "/f"), sizes[i]);
        assert_int_equal(put_pattern(w->ns, "/g", sizes[i], 1000), 0);
        assert_int_equal(get_pattern(w->other, "/g"), sizes[i]);
    }
}

IN_WORLD(small_contents_live_in_the_record_and_replaced_blocks_are_removed) {
    struct entry entry;
    assert_int_equal(put_pattern(w->ns, "/f", 300000, 4096), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 5);
    assert_int_equal(put_pattern(w->ns, "/f", 200000, 4096), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 4);
    assert_int_equal(namespace_lookup(w->ns, root, "f", &entry), 0);
    uint64_t file_id = entry.record.file_id;
    assert_int_equal(entry.record.mode, S_IFREG | 0640);
    assert_int_equal(entry.record.uid, 3);
    entry_release(&entry);
    assert_int_equal(put_pattern(w->ns, "/f", RECORD_INLINE_MAX, 4096), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_int_equal(namespace_lookup(w->ns, root, "f", &entry), 0);
    assert_true(entry.record.file_id == file_id); /* the same file */
    assert_int_equal(entry.record.data.size, RECORD_INLINE_MAX);
    entry_release(&entry);
}

IN_WORLD(a_put_whose_source_fails_changes_nothing_and_leaves_no_blocks) {
    struct pattern_source source = {.size = 1 << 20, .step = 10000, .fail_at = 500000};
    assert_int_equal(put_pattern(w->ns, "/f", 100000, 4096), 0);
    uint64_t rows = store_mem_live_rows(w->mem, 'b');
    assert_int_equal(namespace_put(w->ns, "/f", 0, 0, 0, pattern_read, &source), ERR_IO);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), rows);
    assert_int_equal(get_pattern(w->ns, "/f"), 100000);
}

IN_WORLD(put_and_get_refuse_what_is_no_file) {
    struct id128 d;
    assert_int_equal(make_directory(w->ns, root, "d", &d), 0);
    assert_int_equal(put_pattern(w->ns, "/", 10, 10), ERR_IS_DIRECTORY);
    assert_int_equal(put_pattern(w->ns, "/d", 100000, 10000), ERR_IS_DIRECTORY);
    assert_int_equal(put_pattern(w->ns, "/none/f", 100000, 10000), ERR_NO_ENTRY);
    assert_int_equal(get_pattern(w->ns, "/d"), ERR_IS_DIRECTORY);
    assert_int_equal(get_pattern(w->ns, "/none"), ERR_NO_ENTRY);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_int_equal(put_pattern(w->ns, "d/f", 100000, 10000), 0);
    assert_int_equal(look(w->ns, &d, "f", NULL), 0);
}

static void replace_midway(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    (void)kind;
    if (number == 10) {
        assert_int_equal(put_pattern(w->other, "/f", 1000, 1000), 0);
    }
}

IN_WORLD(a_get_whose_file_is_replaced_midway_fails_instead_of_showing_zeros) {
    assert_int_equal(put_pattern(w->ns, "/f", 5 << 20, 1 << 20), 0);
    store_mem_reset_hooks(w->mem);
    store_mem_before(w->mem, replace_midway, w);
    assert_int_equal(get_pattern(w->ns, "/f"), ERR_STALE);
    assert_int_equal(get_pattern(w->ns, "/f"), 1000);
}

static void prepare_nothing(struct world *w) {
    (void)w;
}
static int operate_put(struct world *w) {
    return put_pattern(w->ns, "/f", 100000, 10000);
}
static int meddle_put(struct world *w) {
    return put_pattern(w->other, "/f", 70000, 10000);
}
static void judge_put(struct world *w, int one, int two) {
    assert_int_equal(one, 0);
    assert_true(two == 0 || two == DUEL_NOT_MET);
    int64_t size = get_pattern(w->ns, "/f");
    assert_true(size == 100000 || (two == 0 && size == 70000));
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 2); /* the loser's are removed */
}
static int meddle_unlink(struct world *w) {
    return namespace_unlink(w->other, root, "f", NULL);
}
static void judge_unlink(struct world *w, int put, int unlinked) {
    assert_int_equal(put, 0);
    (void)unlinked;
    assert_int_equal(get_pattern(w->ns, "/f"), 100000);
}
static void prepare_file(struct world *w) {
    assert_int_equal(put_pattern(w->ns, "/f", 10, 10), 0);
}
static void puts_meet_other_puts_and_unlinks(void **state) {
    (void)state;
    duel_at_every_call(&(struct duel){prepare_nothing, operate_put, meddle_put, judge_put}, 3);
    duel_at_every_call(&(struct duel){prepare_file, operate_put, meddle_put, judge_put}, 4);
    duel_at_every_call(&(struct duel){prepare_file, operate_put, meddle_unlink, judge_unlink}, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_comes_back_with_zeros_behind_it),
        cmocka_unit_test(a_block_over_the_size_is_refused),
        cmocka_unit_test(removing_takes_exactly_the_blocks_of_the_range),
        cmocka_unit_test(removing_takes_all_blocks_of_a_full_stripe),
        cmocka_unit_test(a_removal_that_fails_says_so_and_can_be_repeated),
        cmocka_unit_test(any_range_of_a_file_in_blocks_can_be_read),
        cmocka_unit_test(holes_and_the_tail_of_inline_contents_read_as_zeros),
        cmocka_unit_test(a_tail_lies_over_the_blocks),
        cmocka_unit_test(a_block_is_put_only_as_it_was_seen),
        cmocka_unit_test(a_run_ends_with_its_stripe_and_with_eight_blocks),
        cmocka_unit_test(a_run_is_one_request_whatever_holes_it_has),
        cmocka_unit_test(a_part_of_a_block_is_all_that_is_sent),
        cmocka_unit_test(a_part_that_is_refused_is_taken_from_the_whole_block),
        cmocka_unit_test(a_run_of_blocks_with_several_versions_goes_on_page_by_page),
        cmocka_unit_test(a_run_with_a_row_that_is_no_block_is_corrupt),
        cmocka_unit_test(a_read_fails_when_any_block_fails),
        cmocka_unit_test(what_is_put_is_got_at_any_size),
        cmocka_unit_test(small_contents_live_in_the_record_and_replaced_blocks_are_removed),
        cmocka_unit_test(a_put_whose_source_fails_changes_nothing_and_leaves_no_blocks),
        cmocka_unit_test(put_and_get_refuse_what_is_no_file),
        cmocka_unit_test(a_get_whose_file_is_replaced_midway_fails_instead_of_showing_zeros),
        cmocka_unit_test(puts_meet_other_puts_and_unlinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
