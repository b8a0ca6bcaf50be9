/* Tests of the directory .ringfs: texts of its files, and the journal behind two of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fs/cluster_files.h"
#include "shared/err.h"

static void say(void *context, struct buffer *into) {
    text_put(into, "text %d\n", ++*(int *)context);
}

static uint64_t no_time(void *self) {
    (void)self;
    return 1000;
}

struct world {
    struct store store;
    struct mount mount;
    int n_texts;
    struct cluster_files files;
};

static struct world *world_new(void) {
    static struct world w;
    w = (struct world){.store = {.wall_ns = no_time}};
    w.mount.config.store = &w.store;
    inodes_init(&w.mount.inodes, 10);
    struct cluster_texts texts = {
        .status = say, .ring = say, .stats = say, .config = say, .under_way = say};
    texts.context = &w.n_texts;
    cluster_files_init(&w.files, &w.mount, &texts);
    return &w;
}

static void world_free(struct world *w) {
    cluster_files_release(&w->files);
    inodes_release(&w->mount.inodes);
}

static void assert_reads(const struct world *w, uint64_t number, uint64_t offset, size_t size,
                         const char *text) {
    struct bytes got;
    assert_int_equal(cluster_files_read(&w->files, number, offset, size, &got), 0);
    assert_true(bytes_equal(got, bytes_of_string(text)));
}

static void each_name_is_found_and_has_attributes(void **state) {
    (void)state;
    struct world *w = world_new();
    struct stat stat;
    for (uint32_t i = 0; cluster_files_name(i) != NULL; i++) {
        uint64_t ino = cluster_files_lookup(cluster_files_name(i));
        assert_true(cluster_files_has(ino));
        cluster_files_attributes(&w->files, ino, &stat);
        assert_true(S_ISREG(stat.st_mode) && stat.st_ino == ino);
        assert_int_equal(stat.st_mode & 0222, 0);
    }
    cluster_files_attributes(&w->files, CLUSTER_FILES_INO, &stat);
    assert_true(S_ISDIR(stat.st_mode));
    assert_int_equal(cluster_files_lookup("none"), 0);
    assert_false(cluster_files_has(1));
    assert_false(cluster_files_has(CLUSTER_FILES_INO - 1));
    assert_false(cluster_files_has(CLUSTER_FILES_INO + CLUSTER_FILES_NAMES_MAX + 1));
    world_free(w);
}

static void a_text_stays_as_it_was_when_it_was_opened(void **state) {
    (void)state;
    struct world *w = world_new();
    uint64_t ino = cluster_files_lookup("status");
    uint64_t first = cluster_files_open(&w->files, ino);
    uint64_t second = cluster_files_open(&w->files, ino);
    assert_reads(w, first, 0, 100, "text 1\n");
    assert_reads(w, second, 0, 100, "text 2\n");
    assert_reads(w, first, 0, 3, "tex");
    assert_reads(w, first, 5, 100, "1\n");
    assert_reads(w, first, 7, 100, "");
    assert_reads(w, first, UINT64_MAX, 100, "");
    cluster_files_close(&w->files, second);
    world_free(w);
}

static void of_too_many_openings_the_oldest_is_given_up(void **state) {
    (void)state;
    struct world *w = world_new();
    uint64_t ino = cluster_files_lookup("status");
    uint64_t first = cluster_files_open(&w->files, ino);
    for (int i = 1; i < CLUSTER_FILES_OPEN_MAX; i++) {
        cluster_files_open(&w->files, ino);
    }
    assert_reads(w, first, 0, 100, "text 1\n");
    uint64_t last = cluster_files_open(&w->files, ino);
    struct bytes got;
    assert_int_equal(cluster_files_read(&w->files, first, 0, 100, &got), ERR_STALE);
    cluster_files_close(&w->files, first);
    assert_reads(w, last, 0, 100, "text 65\n");
    world_free(w);
}

static void of_operations_and_failures_the_last_are_kept(void **state) {
    (void)state;
    struct world *w = world_new();
    struct journal *journal = &w->files.journal;
    struct journal_operation operation = {
        .wall_ns = 1000000, .took_ns = 1234567, .operation = "open", .ino = 1};
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        operation.status = i % 2 == 0 ? 0 : ERR_UNAVAILABLE;
        journal_note(journal, &operation, name);
        journal_note_failure(journal, &operation, name, "a reason");
    }
    struct buffer text = {0};
    journal_print_operations(journal, &w->mount.inodes, &text);
    buffer_put_u8(&text, '\0');
    const char *printed = (const char *)text.data;
    assert_null(strstr(printed, "n43\n"));
    assert_non_null(strstr(printed, "1970-01-01T00:00:00.001Z open OK 1.234ms /n44\n"));
    assert_non_null(strstr(printed, "open UNAVAILABLE 1.234ms /n299\n"));
    buffer_clear(&text);
    journal_print_failures(journal, &text);
    buffer_put_u8(&text, '\0');
    printed = (const char *)text.data;
    assert_null(strstr(printed, " n235 "));
    assert_non_null(strstr(printed, " n236 "));
    assert_non_null(strstr(printed, "UNAVAILABLE n299 (not enough replicas answer: a reason)\n"));
    buffer_release(&text);
    world_free(w);
}

static void a_path_cannot_break_a_line(void **state) {
    (void)state;
    struct buffer text = {0};
    text_put_path(&text, "a\nb\\c\x7f");
    assert_true(bytes_equal(buffer_bytes(&text), bytes_of_string("a\\x0ab\\x5cc\\x7f")));
    buffer_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_is_found_and_has_attributes),
        cmocka_unit_test(a_text_stays_as_it_was_when_it_was_opened),
        cmocka_unit_test(of_too_many_openings_the_oldest_is_given_up),
        cmocka_unit_test(of_operations_and_failures_the_last_are_kept),
        cmocka_unit_test(a_path_cannot_break_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
