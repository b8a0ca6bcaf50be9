/* inodes: life by look-ups and pins, and which readings are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fs/inodes.h"

static struct inodes inodes;

static int set_up(void **state) {
    (void)state;
    inodes_init(&inodes, 4);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    inodes_check(&inodes);
    inodes_release(&inodes);
    return 0;
}

static struct entry entry_of(uint64_t file_id, const char *name) {
    struct entry entry = {.directory = namespace_root};
    snprintf(entry.name, sizeof entry.name, "%s", name);
    entry.record.mode = S_IFREG | 0644;
    entry.record.file_id = file_id;
    return entry;
}

static struct inode *add(uint64_t file_id, const char *name) {
    struct entry entry = entry_of(file_id, name);
    return inodes_add(&inodes, &entry, inodes_clock(&inodes));
}

static void an_inode_lives_until_all_its_look_ups_are_forgotten(void **state) {
    (void)state;
    struct inode *inode = add(77, "a");
    uint64_t ino = inode->ino;
    inodes_looked_up(inode);
    inodes_looked_up(inode);
    inodes_forget(&inodes, ino, 1);
    assert_ptr_equal(inodes_find(&inodes, ino), inode);
    inodes_forget(&inodes, ino, 1);
    assert_null(inodes_find(&inodes, ino));
}

static void a_pinned_inode_outlives_its_look_ups(void **state) {
    (void)state;
    struct inode *inode = add(77, "a");
    uint64_t ino = inode->ino;
    inodes_looked_up(inode);
    inode_pin(inode);
    inodes_forget(&inodes, ino, 1);
    assert_ptr_equal(inodes_find(&inodes, ino), inode);
    inode_unpin(&inodes, inode);
    assert_null(inodes_find(&inodes, ino));
}

static void forgetting_too_much_or_what_is_not_there_does_no_harm(void **state) {
    (void)state;
    inodes_forget(&inodes, 999, 3);
    inodes_forget(&inodes, 1, 3);
    assert_non_null(inodes_find(&inodes, 1));
    struct inode *inode = add(77, "a");
    inodes_looked_up(inode);
    inodes_forget(&inodes, inode->ino, 1000);
}

static void a_file_met_under_another_name_is_the_same_inode_at_a_new_place(void **state) {
    (void)state;
    struct inode *inode = add(77, "a");
    inodes_looked_up(inode);
    assert_ptr_equal(add(77, "b"), inode);
    assert_string_equal(inode->name, "b");
}

static void a_reading_begun_before_a_change_is_not_taken(void **state) {
    (void)state;
    struct inode *inode = add(77, "a");
    inodes_looked_up(inode);
    struct entry entry = entry_of(77, "a");
    uint64_t began = inodes_clock(&inodes);
    inodes_move(&inodes, inode, &namespace_root, "b");
    assert_false(inodes_learn(&inodes, inode, &entry, began, 5));
    assert_null(inode->known);
    inodes_add(&inodes, &entry, began);
    assert_string_equal(inode->name, "b");
    assert_true(inodes_learn(&inodes, inode, &entry, inodes_clock(&inodes), 5));
    assert_non_null(inode->known);
}

static void what_is_known_is_bounded_and_the_oldest_goes_first(void **state) {
    (void)state;
    struct inode *inode[6];
    for (uint64_t i = 0; i < 6; i++) {
        struct entry entry = entry_of(100 + i, "x");
        inode[i] = add(100 + i, "x");
        inodes_looked_up(inode[i]);
        assert_true(inodes_learn(&inodes, inode[i], &entry, 0, 0));
        inodes_check(&inodes);
    }
    assert_int_equal(inodes.n_known, 4);
    assert_null(inode[0]->known);
    assert_null(inode[1]->known);
    assert_non_null(inode[2]->known);
    assert_non_null(inodes_known(&inodes, inode[2], 0, 0)); /* used: the newest now */
    struct entry entry = entry_of(200, "y");
    struct inode *more = add(200, "y");
    inodes_looked_up(more);
    inodes_learn(&inodes, more, &entry, 0, 0);
    assert_non_null(inode[2]->known);
    assert_null(inode[3]->known);
}

static void what_is_read_ahead_lives_while_it_is_known(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 6; i++) {
        struct entry entry = entry_of(100 + i, "x");
        inodes_learn_ahead(&inodes, &entry, 0, 0);
        inodes_check(&inodes);
    }
    assert_int_equal(inodes.n, 1 + 4); /* the root, and as many as can be known */
    struct entry entry = entry_of(105, "x");
    uint64_t ino = record_ino(&entry.record);
    struct inode *inode = inodes_find(&inodes, ino);
    assert_non_null(inode);
    inode_pin(inode);
    inodes_looked_up(inode);
    inode_unpin(&inodes, inode);
    inodes_forget(&inodes, ino, 1);
    assert_null(inodes_find(&inodes, ino));
    inodes_check(&inodes);
}

static void what_is_known_ages(void **state) {
    (void)state;
    struct inode *inode = add(77, "a");
    inodes_looked_up(inode);
    struct entry entry = entry_of(77, "a");
    inodes_learn(&inodes, inode, &entry, 0, 1000);
    assert_non_null(inodes_known(&inodes, inode, 1500, 500));
    assert_null(inodes_known(&inodes, inode, 1501, 500));
}

static void a_path_is_put_together_from_the_places(void **state) {
    (void)state;
    struct entry entry = entry_of(0, "dir");
    entry.record.mode = S_IFDIR | 0755;
    memset(&entry.record.directory, 7, sizeof entry.record.directory);
    struct inode *directory = inodes_add(&inodes, &entry, 0);
    inodes_looked_up(directory);
    struct entry file = entry_of(77, "file");
    file.directory = entry.record.directory;
    struct inode *inode = inodes_add(&inodes, &file, 0);
    inodes_looked_up(inode);
    char path[64];
    inodes_path(&inodes, inode->ino, path, sizeof path);
    assert_string_equal(path, "/dir/file");
    inodes_path(&inodes, 1, path, sizeof path);
    assert_string_equal(path, "/");
    inodes_forget(&inodes, directory->ino, 1);
    inodes_path(&inodes, inode->ino, path, sizeof path);
    assert_string_equal(path, "?/file");
    inodes_path(&inodes, inode->ino, path, 4);
    assert_string_equal(path, "?/f");
}

static void thousands_of_inodes_are_found(void **state) {
    (void)state;
    for (uint64_t i = 2; i < 5000; i++) {
        inodes_looked_up(add(i * 64, "x"));
    }
    inodes_check(&inodes);
    for (uint64_t i = 2; i < 5000; i++) {
        assert_non_null(inodes_find(&inodes, i * 64));
        inodes_forget(&inodes, i * 64, 1);
    }
    assert_int_equal(inodes.n, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_inode_lives_until_all_its_look_ups_are_forgotten),
        TEST(a_pinned_inode_outlives_its_look_ups),
        TEST(forgetting_too_much_or_what_is_not_there_does_no_harm),
        TEST(a_file_met_under_another_name_is_the_same_inode_at_a_new_place),
        TEST(a_reading_begun_before_a_change_is_not_taken),
        TEST(what_is_known_is_bounded_and_the_oldest_goes_first),
        TEST(what_is_read_ahead_lives_while_it_is_known),
        TEST(what_is_known_ages),
        TEST(a_path_is_put_together_from_the_places),
        TEST(thousands_of_inodes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
