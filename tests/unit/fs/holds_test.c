/* files that another mount removes while they are open here keep their contents. */
#include "fs/holds.h"

#include "tests/unit/fs/world.h"

enum { LARGE = 100000 };
static char large[LARGE + 1];

static void keep(struct mount *mount) {
    mount->config.keep_ns = HOLDS_KEEP_NS;
    assert_int_equal(holds_start(mount), 0);
}

static struct handle *prepare(struct world *w) {
    memset(large, 'x', LARGE);
    keep(&w->a);
    keep(&w->b);
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, large);
    close_handle(handle);
    return open_flags(&w->b, "f", O_RDWR);
}

static void advance(struct world *w, int64_t ns) {
    for (int64_t done = 0; done < ns; done += SECOND_NS) {
        (void)w;
        task_sleep(SECOND_NS);
        settle();
    }
}

static uint64_t blocks(struct world *w) {
    return store_mem_live_rows(w->mem, 'b');
}

static void assert_readable(struct world *w, struct handle *handle) {
    size_t size;
    (void)w;
    char *held = contents_of(handle, &size);
    assert_int_equal(size, LARGE);
    assert_memory_equal(held, large, LARGE);
    free(held);
}

IN_WORLD(an_open_file_is_read_on_after_another_mount_removed_it) {
    struct stat stat;
    struct handle *handle = prepare(w);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    for (int i = 0; i < 5; i++) {
        advance(w, HOLDS_KEEP_NS);
        assert_readable(w, handle);
        assert_int_equal(attributes_get(&w->b, handle->file->inode->ino, &stat), 0);
        assert_int_equal(stat.st_size, LARGE);
    }
    close_handle(handle);
    advance(w, 4 * HOLDS_KEEP_NS);
    assert_int_equal(blocks(w), 0);
    assert_int_equal(store_mem_live_rows(w->mem, 'o'), 0);
}

IN_WORLD(what_is_written_to_a_file_that_is_gone_is_refused) {
    struct handle *handle = prepare(w);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    advance(w, HOLDS_KEEP_NS);
    assert_int_equal(handle_write(handle, 0, bytes_of_string("y")), ERR_STALE);
    handle_release(handle);
}

IN_WORLD(blocks_of_a_file_that_nobody_has_open_go_after_a_while) {
    handle_release(prepare(w));
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    settle();
    assert_true(blocks(w) > 0);
    advance(w, HOLDS_KEEP_NS + 2 * SECOND_NS);
    assert_int_equal(blocks(w), 0);
}

IN_WORLD(what_waits_goes_when_the_mount_ends) {
    handle_release(prepare(w));
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    writeback_drain(&w->a);
    assert_int_equal(blocks(w), 0);
}

IN_WORLD(without_a_cluster_the_end_of_the_mount_waits_for_one_of_them_only) {
    handle_release(prepare(w));
    struct handle *other = create(&w->a, "g");
    put(other, 0, large);
    close_handle(other);
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    assert_int_equal(tree_unlink(&w->a, ROOT, "g"), 0);
    settle();
    store_mem_reset_hooks(w->mem);
    store_mem_fail(w->mem, 1, 100, ERR_TIMEOUT, false);
    writeback_drain(&w->a);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(w->a.n_removals_failed, 2);
}

IN_WORLD(a_hold_that_comes_too_late_is_none) {
    struct handle *handle = prepare(w);
    struct stat stat;
    w->b.stopping = true; /* it does not look after its files any more */
    assert_int_equal(tree_unlink(&w->a, ROOT, "f"), 0);
    advance(w, HOLDS_KEEP_NS / 2 + SECOND_NS);
    assert_int_equal(attributes_get(&w->b, handle->file->inode->ino, &stat), ERR_STALE);
    handle_release(handle);
    w->b.stopping = false;
}

IN_WORLD(small_files_are_in_memory) {
    struct stat stat;
    handle_release(prepare(w));
    struct handle *handle = create(&w->a, "small");
    put(handle, 0, "text");
    close_handle(handle);
    handle = open_flags(&w->b, "small", O_RDONLY);
    assert_int_equal(tree_unlink(&w->a, ROOT, "small"), 0);
    advance(w, 3 * HOLDS_KEEP_NS);
    assert_int_equal(attributes_get(&w->b, handle->file->inode->ino, &stat), 0);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_string_equal(held, "text");
    free(held);
    handle_release(handle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_file_is_read_on_after_another_mount_removed_it),
        cmocka_unit_test(what_is_written_to_a_file_that_is_gone_is_refused),
        cmocka_unit_test(blocks_of_a_file_that_nobody_has_open_go_after_a_while),
        cmocka_unit_test(what_waits_goes_when_the_mount_ends),
        cmocka_unit_test(without_a_cluster_the_end_of_the_mount_waits_for_one_of_them_only),
        cmocka_unit_test(a_hold_that_comes_too_late_is_none),
        cmocka_unit_test(small_files_are_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
