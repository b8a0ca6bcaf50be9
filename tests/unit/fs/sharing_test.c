/* sharing: two mounts that write one large file at the same time. */
#include <stdio.h>

#include "tests/unit/fs/world.h"

enum { KIB = 1024, MIB = 1 << 20 };

static void fill(struct mount *mount, const char *name, int letter, size_t size) {
    uint8_t *data = malloc(size);
    memset(data, letter, size);
    struct handle *handle = create(mount, name);
    assert_int_equal(handle_write(handle, 0, bytes_of(data, size)), 0);
    close_handle(handle);
    free(data);
}

static void append_line(struct handle *handle, int letter, size_t size) {
    char *line = malloc(size);
    memset(line, letter, size - 1);
    line[size - 1] = '\n';
    assert_int_equal(handle_write(handle, 0, bytes_of(line, size)), 0);
    free(line);
}

/* The lines of a letter: every line is of one letter, and as long as the first of it. */
static int count_lines(struct mount *mount, const char *name, size_t skip, int letter) {
    struct handle *handle = open_flags(mount, name, O_RDONLY);
    size_t size;
    char *held = contents_of(handle, &size);
    int n = 0;
    for (char *line = held + skip; line < held + size;) {
        char *end = memchr(line, '\n', (size_t)(held + size - line));
        assert_non_null(end);
        for (char *at = line; at < end; at++) {
            assert_int_equal(*at, *line);
        }
        n += *line == letter;
        line = end + 1;
    }
    free(held);
    handle_release(handle);
    return n;
}

/* ---- appends ---- */

IN_WORLD(a_small_append_to_a_large_file_is_in_the_record_at_once) {
    fill(&w->a, "log", 'x', 100 * KIB);
    uint64_t rows = store_mem_live_rows(w->mem, 'b');
    struct handle *a = open_flags(&w->a, "log", O_WRONLY | O_APPEND);
    store_mem_reset_hooks(w->mem);
    append_line(a, 'a', 100);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), rows);
    assert_int_equal(count_lines(&w->b, "log", 100 * KIB, 'a'), 1);
    close_handle(a);
}

static void append_by_turns(struct world *w, size_t line, int n_lines, bool close_each) {
    fill(&w->a, "log", 'x', 70 * KIB);
    struct handle *a = open_flags(&w->a, "log", O_RDWR | O_APPEND);
    struct handle *b = open_flags(&w->b, "log", O_RDWR | O_APPEND);
    for (int i = 0; i < n_lines; i++) {
        append_line(a, 'a', line);
        append_line(b, 'b', line);
        if (close_each) {
            close_handle(a);
            a = open_flags(&w->a, "log", O_WRONLY | O_APPEND);
        }
        if (i % 7 == 0) {
            assert_int_equal(handle_flush(b), 0);
        }
    }
    close_handle(a);
    close_handle(b);
    assert_int_equal(count_lines(&w->a, "log", 70 * KIB, 'a'), n_lines);
    assert_int_equal(count_lines(&w->b, "log", 70 * KIB, 'b'), n_lines);
    assert_int_equal(w->a.n_dirty_bytes, 0);
    assert_int_equal(w->b.n_dirty_bytes, 0);
}

IN_WORLD(short_lines_appended_by_two_mounts_all_arrive) {
    append_by_turns(w, 100, 300, false);
}

IN_WORLD(short_lines_appended_by_an_opening_each_all_arrive) {
    append_by_turns(w, 100, 300, true);
}

IN_WORLD(long_lines_appended_by_two_mounts_all_arrive) {
    append_by_turns(w, 30 * KIB, 40, false);
}

IN_WORLD(lines_of_many_blocks_appended_by_two_mounts_all_arrive) {
    append_by_turns(w, 700 * KIB, 6, false);
}

struct appender {
    struct world *w;
    struct mount *mount;
    int letter;
    size_t line;
};

static int append_many(void *arg) {
    const struct appender *appender = arg;
    for (int i = 0; i < 60; i++) {
        struct handle *handle = open_flags(appender->mount, "log", O_WRONLY | O_APPEND);
        append_line(handle, appender->letter, appender->line);
        append_line(handle, appender->letter, appender->line);
        close_handle(handle);
    }
    return 0;
}

IN_WORLD(appends_at_the_same_time_all_arrive) {
    static const size_t lines[] = {50, 1500, 5000, 66000};
    for (int i = 0; i < 4; i++) {
        fill(&w->a, "log", 'x', 70 * KIB);
        struct appender a = {w, &w->a, 'a', lines[i]}, b = {w, &w->b, 'b', lines[3 - i]};
        struct task_group group = {0};
        store_mem_yield(w->mem, true);
        task_group_run(&group, append_many, &a);
        task_group_run(&group, append_many, &b);
        task_group_wait(&group, 0);
        store_mem_yield(w->mem, false);
        assert_int_equal(count_lines(&w->a, "log", 70 * KIB, 'a'), 120);
        assert_int_equal(count_lines(&w->b, "log", 70 * KIB, 'b'), 120);
        assert_int_equal(tree_unlink(&w->a, ROOT, "log"), 0);
        settle();
        assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    }
}

IN_WORLD(an_append_to_a_large_file_whose_answer_got_lost_is_not_done_twice) {
    static const size_t lines[] = {100, 10000};
    for (int i = 0; i < 2; i++) {
        fill(&w->a, "log", 'x', 70 * KIB);
        struct handle *a = open_flags(&w->a, "log", O_WRONLY | O_APPEND);
        append_line(a, 'a', 10);
        append_line(a, 'a', lines[i]);
        store_mem_reset_hooks(w->mem);
        store_mem_fail(w->mem, 1, 1000, ERR_UNKNOWN, true);
        assert_int_equal(handle_flush(a), ERR_UNKNOWN);
        store_mem_reset_hooks(w->mem);
        append_line(a, 'a', 10);
        close_handle(a);
        assert_int_equal(count_lines(&w->b, "log", 70 * KIB, 'a'), 3);
        assert_int_equal(tree_unlink(&w->a, ROOT, "log"), 0);
        settle();
    }
}

IN_WORLD(an_append_that_is_refused_does_not_happen_later) {
    fill(&w->a, "log", 'x', 70 * KIB);
    struct handle *a = open_flags(&w->a, "log", O_WRONLY | O_APPEND);
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 1, ERR_UNAVAILABLE, false);
    assert_int_equal(handle_write(a, 0, bytes_of_string("no\n")), ERR_UNAVAILABLE);
    store_mem_reset_hooks(w->mem);
    close_handle(a);
    assert_int_equal(count_lines(&w->b, "log", 70 * KIB, 'n'), 0);
}

IN_WORLD(a_tail_is_read_overwritten_and_cut_like_the_rest) {
    fill(&w->a, "f", 'x', 70 * KIB);
    struct handle *a = open_flags(&w->a, "f", O_RDWR | O_APPEND);
    put(a, 0, "0123456789");
    put(a, 0, "abc");
    uint8_t read[8];
    size_t size;
    assert_int_equal(handle_read(a, 70 * KIB - 2, read, 8, &size), 0);
    assert_memory_equal(read, "xx012345", 8);
    close_handle(a);
    struct handle *b = open_flags(&w->b, "f", O_RDWR);
    put(b, 70 * KIB + 1, "_");
    put(b, 70 * KIB - 1, "__");
    struct stat stat;
    struct attributes_change change = {.mask = ATTRIBUTE_SIZE, .size = 70 * KIB + 5};
    assert_int_equal(attributes_set(&w->b, b->file->inode->ino, &change, &stat), 0);
    close_handle(b);
    a = open_flags(&w->a, "f", O_RDONLY);
    assert_int_equal(handle_read(a, 70 * KIB - 2, read, 8, &size), 0);
    assert_int_equal(size, 7);
    assert_memory_equal(read,
                        "x__"
                        "_"
                        "234",
                        7);
    handle_release(a);
}

/* ---- the same block ---- */

IN_WORLD(changes_of_different_bytes_of_one_block_both_arrive) {
    fill(&w->a, "f", 'x', 130 * KIB);
    struct handle *a = open_flags(&w->a, "f", O_RDWR);
    struct handle *b = open_flags(&w->b, "f", O_RDWR);
    for (uint64_t i = 0; i < 40; i++) {
        put(a, i * 200, "a");
        put(b, i * 200 + 1, "b");
    }
    close_handle(a);
    close_handle(b);
    uint8_t read[3];
    size_t size;
    a = open_flags(&w->a, "f", O_RDONLY);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(handle_read(a, i * 200, read, 3, &size), 0);
        assert_memory_equal(read, "abx", 3);
    }
    handle_release(a);
}

IN_WORLD(a_change_of_an_old_block_does_not_undo_an_append) {
    fill(&w->a, "f", 'x', 70 * KIB);
    struct handle *a = open_flags(&w->a, "f", O_RDWR);
    struct handle *b = open_flags(&w->b, "f", O_RDWR | O_APPEND);
    append_line(b, 'b', 10000);
    close_handle(b);
    put(a, 66 * KIB, "a");
    close_handle(a);
    assert_int_equal(count_lines(&w->a, "f", 70 * KIB, 'b'), 1);
}

IN_WORLD(zeros_that_a_gap_makes_do_not_cover_what_another_mount_appended) {
    fill(&w->a, "f", 'x', 70 * KIB);
    struct handle *a = open_flags(&w->a, "f", O_RDWR);
    struct handle *b = open_flags(&w->b, "f", O_RDWR | O_APPEND);
    append_line(b, 'b', 8 * KIB);
    close_handle(b);
    put(a, 90 * KIB, "a");
    close_handle(a);
    uint8_t *read = malloc(8 * KIB);
    size_t size;
    b = open_flags(&w->b, "f", O_RDONLY);
    assert_int_equal(handle_read(b, 70 * KIB, read, 8 * KIB, &size), 0);
    assert_int_equal(size, 8 * KIB);
    for (size_t i = 0; i + 1 < size; i++) {
        assert_int_equal(read[i], 'b');
    }
    handle_release(b);
    free(read);
}

/* ---- two sides of a partition ---- */

/* What the other side has made of the file: the same blocks, and a line in the tail. */
static void append_on_the_other_side(struct world *w, const char *name) {
    struct entry entry;
    struct buffer partition = {0}, sort = {0}, value = {0};
    struct context nothing = {0};
    char path[32];
    snprintf(path, sizeof path, "/%s", name);
    assert_int_equal(namespace_lookup(w->ns_b, &namespace_root, name, &entry), 0);
    entry.record.data_at = entry.record.size;
    entry.record.size += 5;
    record_set_data(&entry.record, bytes_of_string("there"));
    record_encode(&entry.record, &value);
    assert_int_equal(namespace_where(w->ns_b, path, &partition, &sort), 0);
    store_mem_put(w->mem, buffer_bytes(&partition), buffer_bytes(&sort), &nothing,
                  buffer_bytes(&value));
    entry_release(&entry);
    buffer_release(&partition);
    buffer_release(&sort);
    buffer_release(&value);
}

IN_WORLD(removing_one_of_two_versions_leaves_the_blocks_to_the_other) {
    fill(&w->a, "f", 'x', 70 * KIB);
    append_on_the_other_side(w, "f");
    struct listing listing;
    assert_int_equal(namespace_list(w->ns_b, &namespace_root, 0, 100, &listing), 0);
    assert_int_equal(listing.n, 2);
    for (uint32_t i = 0; i < listing.n; i++) {
        const char *name = listing.entries[i].entry.name;
        if (strcmp(name, "f") != 0) {
            assert_int_equal(ino_of(&w->b, name) == 0, 0);
            assert_int_equal(tree_unlink(&w->b, ROOT, name), 0);
        }
    }
    listing_release(&listing);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 2);
    struct handle *handle = open_flags(&w->b, "f", O_RDWR);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_true(size == 70 * KIB || size == 70 * KIB + 5);
    for (size_t i = 0; i < 70 * KIB; i++) {
        assert_int_equal(held[i], 'x');
    }
    free(held);
    handle_release(handle);
}

/* ---- at the same time, in cells of which each is one mount's ---- */
enum { CELL = 700, CELLS = 600 };

struct owner {
    struct world *w;
    struct mount *mount;
    uint32_t seed;
    uint64_t ino;
    uint64_t first; /* cells first, first + 2, ... */
    uint8_t cells[CELLS];
    bool failing; /* some calls of the store fail */
};

static uint32_t dice(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Until it is done: what failed may have been done. */
static void write_cell(struct owner *owner, struct handle *handle) {
    uint64_t cell = dice(&owner->seed) % (CELLS / 2) * 2 + owner->first;
    uint8_t data[CELL];
    owner->cells[cell] = (uint8_t)(1 + dice(&owner->seed) % 250);
    memset(data, owner->cells[cell], CELL);
    while (handle_write(handle, cell * CELL, bytes_of(data, CELL)) != 0) {
        assert_true(owner->failing);
    }
}

static struct handle *open_cells(struct owner *owner) {
    struct cache_advice advice;
    struct handle *handle;
    while (handle_open(owner->mount, owner->ino, O_RDWR, &handle, &advice) != 0) {
        assert_true(owner->failing);
    }
    return handle;
}

static int write_cells(void *arg) {
    struct owner *owner = arg;
    for (int i = 0; i < 25; i++) {
        struct handle *handle = open_cells(owner);
        for (int n = (int)(dice(&owner->seed) % 20); n > 0; n--) {
            write_cell(owner, handle);
            if (dice(&owner->seed) % 8 == 0) {
                handle_fsync(handle, false);
            }
        }
        while (handle_flush(handle) != 0) {
            assert_true(owner->failing);
        }
        handle_release(handle);
    }
    return 0;
}

static void fail_now_and_then(void *context, enum store_mem_call kind, uint64_t number) {
    struct world *w = context;
    if (number % 13 == 0 && kind == STORE_MEM_BATCH) {
        store_mem_fail(w->mem, number, number + 2, number % 2 ? ERR_UNKNOWN : ERR_UNAVAILABLE,
                       number % 3 == 0);
    }
}

static void check_cells(struct mount *mount, const struct owner *a, const struct owner *b) {
    struct handle *handle = open_flags(mount, "f", O_RDONLY);
    for (uint64_t i = 0; i < CELLS; i++) {
        uint8_t data[CELL];
        size_t size;
        uint8_t expected = (i % 2 ? b : a)->cells[i];
        assert_int_equal(handle_read(handle, i * CELL, data, CELL, &size), 0);
        for (size_t k = 0; k < size && expected != 0; k++) {
            assert_int_equal(data[k], expected);
        }
    }
    handle_release(handle);
}

static void write_at_the_same_time(struct world *w, bool failing) {
    for (uint32_t round = 0; round < 8; round++) {
        struct owner a = {.w = w, .mount = &w->a, .seed = 7 + round, .failing = failing};
        struct owner b = {.w = w, .mount = &w->b, .seed = 99 + round, .failing = failing};
        struct task_group group = {0};
        b.first = 1;
        fill(&w->a, "f", 'x', (size_t)(round % 2 ? CELLS * CELL : 70 * KIB));
        a.ino = ino_of(&w->a, "f");
        b.ino = ino_of(&w->b, "f");
        store_mem_reset_hooks(w->mem);
        if (failing) {
            store_mem_before(w->mem, fail_now_and_then, w);
        }
        store_mem_yield(w->mem, true);
        task_group_run(&group, write_cells, &a);
        task_group_run(&group, write_cells, &b);
        task_group_wait(&group, 0);
        store_mem_reset_hooks(w->mem);
        store_mem_yield(w->mem, false);
        check_cells(&w->a, &a, &b);
        check_cells(&w->b, &a, &b);
        assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
        settle();
    }
}

IN_WORLD(bytes_that_two_mounts_write_at_the_same_time_all_arrive) {
    write_at_the_same_time(w, false);
}

IN_WORLD(bytes_that_two_mounts_write_while_the_store_fails_now_and_then_all_arrive) {
    write_at_the_same_time(w, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_append_to_a_large_file_is_in_the_record_at_once),
        cmocka_unit_test(short_lines_appended_by_two_mounts_all_arrive),
        cmocka_unit_test(short_lines_appended_by_an_opening_each_all_arrive),
        cmocka_unit_test(long_lines_appended_by_two_mounts_all_arrive),
        cmocka_unit_test(lines_of_many_blocks_appended_by_two_mounts_all_arrive),
        cmocka_unit_test(appends_at_the_same_time_all_arrive),
        cmocka_unit_test(an_append_to_a_large_file_whose_answer_got_lost_is_not_done_twice),
        cmocka_unit_test(an_append_that_is_refused_does_not_happen_later),
        cmocka_unit_test(a_tail_is_read_overwritten_and_cut_like_the_rest),
        cmocka_unit_test(changes_of_different_bytes_of_one_block_both_arrive),
        cmocka_unit_test(removing_one_of_two_versions_leaves_the_blocks_to_the_other),
        cmocka_unit_test(bytes_that_two_mounts_write_at_the_same_time_all_arrive),
        cmocka_unit_test(bytes_that_two_mounts_write_while_the_store_fails_now_and_then_all_arrive),
        cmocka_unit_test(a_change_of_an_old_block_does_not_undo_an_append),
        cmocka_unit_test(zeros_that_a_gap_makes_do_not_cover_what_another_mount_appended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
