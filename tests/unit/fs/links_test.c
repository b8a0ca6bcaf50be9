/* files with several names, by two mounts: one inode, whichever name it was reached by. */
#include "tests/unit/fs/world.h"

static void make_file(struct mount *mount, const char *name, const char *text) {
    struct handle *handle = create(mount, name);
    put(handle, 0, text);
    close_handle(handle);
}

static nlink_t links_of(struct mount *mount, const char *name) {
    struct stat stat;
    assert_int_equal(tree_lookup(mount, ROOT, name, &stat), 0);
    return stat.st_nlink;
}

static struct stat link_to(struct mount *mount, const char *name, const char *second) {
    struct stat stat;
    assert_int_equal(tree_link(mount, ino_of(mount, name), ROOT, second, &stat), 0);
    return stat;
}

static nlink_t links_of_open(struct mount *mount, const struct handle *handle) {
    struct stat stat;
    assert_int_equal(attributes_get(mount, handle->file->inode->ino, &stat), 0);
    return stat.st_nlink;
}

IN_WORLD(a_linked_file_is_one_inode_with_two_names) {
    make_file(&w->a, "f", "x");
    struct stat made = link_to(&w->a, "f", "g");
    assert_int_equal(made.st_nlink, 2);
    assert_true(ino_of(&w->a, "f") == made.st_ino);
    assert_true(ino_of(&w->a, "g") == made.st_ino);
    assert_true(ino_of(&w->b, "g") == made.st_ino);
    assert_int_equal(links_of(&w->b, "f"), 2);
    assert_holds(&w->b, "g", "x");
}

IN_WORLD(an_open_file_outlives_each_of_its_names) {
    make_file(&w->a, "f", "x");
    link_to(&w->a, "f", "g");
    struct handle *handle = open_flags(&w->a, "f", O_RDWR);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    assert_int_equal(links_of_open(&w->a, handle), 1);
    put(handle, 1, "y");
    assert_int_equal(handle_flush(handle), 0);
    assert_holds(&w->b, "g", "xy");
    assert_int_equal(tree_unlink(&w->a, ROOT, "g"), 0);
    assert_int_equal(links_of_open(&w->a, handle), 0);
    put(handle, 2, "z");
    close_handle(handle);
    struct stat stat;
    assert_int_equal(tree_lookup(&w->b, ROOT, "g", &stat), ERR_NO_ENTRY);
}

/* As git makes its objects. */
IN_WORLD(the_name_that_a_file_had_before_its_link_goes_in_two_requests) {
    struct maker maker = {.mode = 0755};
    struct stat dir, file, stat;
    struct handle *handle;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker, &dir), 0);
    assert_int_equal(tree_create(&w->a, dir.st_ino, "f", &maker_file, &file, &handle), 0);
    close_handle(handle);
    assert_int_equal(tree_link(&w->a, file.st_ino, dir.st_ino, "g", &stat), 0);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(tree_unlink(&w->a, dir.st_ino, "f"), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    assert_int_equal(tree_lookup(&w->b, ROOT, "d", &dir), 0);
    assert_int_equal(tree_lookup(&w->b, dir.st_ino, "f", &stat), ERR_NO_ENTRY);
    assert_int_equal(tree_lookup(&w->b, dir.st_ino, "g", &stat), 0);
    assert_int_equal(stat.st_nlink, 1);
    assert_true(stat.st_ino == file.st_ino);
    /* What another mount has linked again since is removed as well. */
    assert_int_equal(tree_link(&w->a, file.st_ino, dir.st_ino, "h", &stat), 0);
    assert_int_equal(tree_unlink(&w->b, dir.st_ino, "g"), 0);
    assert_int_equal(tree_link(&w->b, file.st_ino, dir.st_ino, "g", &stat), 0);
    assert_int_equal(tree_unlink(&w->a, dir.st_ino, "g"), 0);
    assert_int_equal(tree_lookup(&w->b, dir.st_ino, "h", &stat), 0);
    assert_int_equal(stat.st_nlink, 1);
}

IN_WORLD(blocks_go_with_the_last_name_and_not_before) {
    char *large = calloc(1, 100001);
    memset(large, 'x', 100000);
    make_file(&w->a, "f", large);
    link_to(&w->b, "f", "g");
    assert_int_equal(tree_unlink(&w->b, ROOT, "f"), 0);
    settle();
    assert_holds(&w->a, "g", large);
    assert_true(store_mem_live_rows(w->mem, 'b') > 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "g"), 0);
    settle();
    assert_int_equal(store_mem_live_rows(w->mem, 'b'), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'i'), 0);
    free(large);
}

IN_WORLD(what_is_open_here_is_linked_and_loses_its_name_on_the_other_mount) {
    make_file(&w->a, "f", "x");
    struct handle *handle = open_flags(&w->b, "f", O_RDWR);
    link_to(&w->a, "f", "g");
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    put(handle, 1, "y");
    assert_int_equal(handle_flush(handle), 0);
    assert_holds(&w->a, "g", "xy");
    task_sleep(2 * SECOND_NS);
    assert_int_equal(links_of_open(&w->b, handle), 1);
    close_handle(handle);
}

IN_WORLD(what_was_not_stored_yet_is_stored_where_the_file_is_now) {
    make_file(&w->a, "f", "x");
    struct handle *handle = open_flags(&w->a, "f", O_RDWR);
    put(handle, 1, "y");
    put(handle, 2, "z"); /* the second write is buffered */
    assert_true(file_pending(handle->file));
    link_to(&w->a, "f", "g");
    assert_int_equal(tree_unlink(&w->b, ROOT, "f"), 0);
    close_handle(handle);
    assert_holds(&w->b, "g", "xyz");
}

IN_WORLD(pages_of_a_file_stay_good_when_it_gets_a_name) {
    make_file(&w->a, "f", "x");
    struct handle *handle = open_flags(&w->a, "f", O_RDONLY);
    handle_release(handle);
    link_to(&w->a, "f", "g");
    struct cache_advice advice;
    assert_int_equal(handle_open(&w->a, ino_of(&w->a, "g"), O_RDONLY, &handle, &advice), 0);
    assert_true(advice.keep);
    handle_release(handle);
}

IN_WORLD(a_directory_is_not_linked) {
    struct maker maker = {.mode = 0755};
    struct stat stat;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker, &stat), 0);
    assert_int_equal(tree_link(&w->a, stat.st_ino, ROOT, "e", &stat), ERR_PERMISSION);
}

IN_WORLD(a_file_without_a_name_gets_none_again) {
    struct stat stat;
    struct handle *handle = create(&w->a, "f");
    uint64_t ino = ino_of(&w->a, "f");
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    assert_int_equal(tree_link(&w->a, ino, ROOT, "g", &stat), ERR_NO_ENTRY);
    close_handle(handle);
}

struct listed {
    nlink_t f, g;
};
static bool take(void *context, const char *name, const struct stat *stat, uint64_t next_offset) {
    struct listed *listed = context;
    (void)next_offset;
    if (strcmp(name, "f") == 0) {
        listed->f = stat->st_nlink;
    } else if (strcmp(name, "g") == 0) {
        listed->g = stat->st_nlink;
    }
    return true;
}

IN_WORLD(a_listing_with_attributes_has_those_of_linked_files) {
    make_file(&w->a, "f", "x");
    link_to(&w->a, "f", "g");
    struct listed listed = {0};
    struct listener listener = {.take = take, .context = &listed, .attributes = true};
    struct directory_handle *directory;
    assert_int_equal(directory_open(&w->b, ROOT, &directory), 0);
    assert_int_equal(directory_read(&w->b, directory, 0, &listener), 0);
    assert_int_equal(listed.f, 2);
    assert_int_equal(listed.g, 2);
    directory_release(&w->b, directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linked_file_is_one_inode_with_two_names),
        cmocka_unit_test(an_open_file_outlives_each_of_its_names),
        cmocka_unit_test(the_name_that_a_file_had_before_its_link_goes_in_two_requests),
        cmocka_unit_test(blocks_go_with_the_last_name_and_not_before),
        cmocka_unit_test(what_is_open_here_is_linked_and_loses_its_name_on_the_other_mount),
        cmocka_unit_test(what_was_not_stored_yet_is_stored_where_the_file_is_now),
        cmocka_unit_test(pages_of_a_file_stay_good_when_it_gets_a_name),
        cmocka_unit_test(a_directory_is_not_linked),
        cmocka_unit_test(a_file_without_a_name_gets_none_again),
        cmocka_unit_test(a_listing_with_attributes_has_those_of_linked_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
