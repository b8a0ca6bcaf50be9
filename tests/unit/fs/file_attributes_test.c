/* file_attributes: when what is set of a file that is being written is stored, and who hears of it.
 */
#include "fs/attributes.h"
#include "tests/unit/fs/world.h"

enum { TAR = 77, OTHER = 78 }; /* processes */

static const struct attributes_change both = {
    .mask = ATTRIBUTE_ATIME | ATTRIBUTE_MTIME,
    .atime_ns = 5 * SECOND_NS,
    .mtime_ns = 7 * SECOND_NS,
};

/* A new file that TAR has opened and written to. */
static struct handle *written(struct world *w) {
    struct handle *handle = create(&w->a, "f");
    handle_opened_by(handle, TAR);
    put(handle, 0, "a");
    store_mem_reset_hooks(w->mem);
    return handle;
}

static int set(struct handle *handle, uint32_t process, const struct attributes_change *change) {
    struct attributes_change asked = *change;
    struct stat stat;
    asked.process = process;
    return attributes_set(handle->file->mount, handle->file->inode->ino, &asked, &stat);
}

static int64_t mtime_in(struct mount *mount) {
    struct stat stat;
    assert_int_equal(attributes_get(mount, ino_of(mount, "f"), &stat), 0);
    return stat.st_mtim.tv_sec;
}

static int64_t atime_in(struct mount *mount) {
    struct stat stat;
    assert_int_equal(attributes_get(mount, ino_of(mount, "f"), &stat), 0);
    return stat.st_atim.tv_sec;
}

IN_WORLD(they_show_at_once_and_are_stored_at_close) {
    struct handle *handle = written(w);
    assert_int_equal(set(handle, TAR, &both), 0);
    struct stat stat;
    attributes_of(handle->file->inode, &stat);
    assert_int_equal(stat.st_mtim.tv_sec, 7);
    assert_int_equal(stat.st_atim.tv_sec, 5);
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(mtime_in(&w->b), 7);
    assert_int_equal(atime_in(&w->b), 5);
    handle_release(handle);
}

IN_WORLD(a_chmod_takes_them_along) {
    struct handle *handle = written(w);
    struct attributes_change mode = {.mask = ATTRIBUTE_MODE, .mode = 0600};
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_int_equal(set(handle, TAR, &mode), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(mtime_in(&w->b), 7);
    store_mem_reset_hooks(w->mem);
    close_handle(handle);
    assert_int_equal(store_mem_calls(w->mem), 0);
}

IN_WORLD(writing_after_them_sets_the_mtime_again_and_not_the_atime) {
    struct handle *handle = written(w);
    assert_int_equal(set(handle, TAR, &both), 0);
    put(handle, 1, "b");
    close_handle(handle);
    assert_true(mtime_in(&w->b) > 7);
    assert_int_equal(atime_in(&w->b), 5);
}

IN_WORLD(they_are_not_undone_by_what_was_written_before) {
    struct handle *handle = written(w);
    put(handle, 1, "b");
    assert_int_equal(set(handle, TAR, &both), 0);
    close_handle(handle);
    assert_int_equal(mtime_in(&w->b), 7);
    assert_holds(&w->b, "f", "ab");
}

IN_WORLD(those_of_another_process_are_stored_at_once) {
    struct handle *handle = written(w);
    assert_int_equal(set(handle, OTHER, &both), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(set(handle, 0, &both), 0);
    assert_int_equal(store_mem_calls(w->mem), 2);
    close_handle(handle);
}

IN_WORLD(after_close_they_are_stored_at_once) {
    struct handle *handle = written(w);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    handle_release(handle);
}

IN_WORLD(of_a_file_opened_for_reading_they_are_stored_at_once) {
    close_handle(written(w));
    struct handle *handle = open_flags(&w->a, "f", O_RDONLY);
    handle_opened_by(handle, TAR);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    close_handle(handle);
}

IN_WORLD(they_do_not_wait_for_longer_than_writes) {
    assert_int_equal(writeback_start(&w->a), 0);
    struct handle *handle = written(w);
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_true(mtime_in(&w->b) != 7);
    task_sleep(2 * SECOND_NS);
    assert_int_equal(mtime_in(&w->b), 7);
    close_handle(handle);
}

IN_WORLD(close_tells_that_they_could_not_be_stored_and_can_be_tried_again) {
    struct handle *handle = written(w);
    assert_int_equal(set(handle, TAR, &both), 0);
    store_mem_fail(w->mem, 1, 1, ERR_TIMEOUT, false);
    assert_int_equal(handle_flush(handle), ERR_TIMEOUT);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(mtime_in(&w->b), 7);
    handle_release(handle);
}

IN_WORLD(what_another_mount_writes_meanwhile_stays) {
    struct handle *handle = written(w);
    assert_int_equal(set(handle, TAR, &both), 0);
    struct handle *other = open_flags(&w->b, "f", O_WRONLY);
    put(other, 1, "b");
    close_handle(other);
    close_handle(handle);
    assert_holds(&w->a, "f", "ab");
    assert_holds(&w->b, "f", "ab");
    task_sleep(2 * SECOND_NS);
    assert_int_equal(mtime_in(&w->b), 7);
}

IN_WORLD(fsync_stores_them) {
    struct handle *handle = written(w);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_int_equal(handle_fsync(handle, false), 0);
    assert_int_equal(mtime_in(&w->b), 7);
    close_handle(handle);
}

/* ---- mode, owner and group ---- */

static struct stat stat_in(struct mount *mount) {
    struct stat stat;
    assert_int_equal(attributes_get(mount, ino_of(mount, "f"), &stat), 0);
    return stat;
}

static const struct attributes_change more_rights = {.mask = ATTRIBUTE_MODE, .mode = 0755};

/* A file that TAR makes, for root, of this mode. */
static struct handle *made_by_root(struct world *w, uint32_t mode) {
    struct maker maker = {.mode = S_IFREG | mode, .flags = O_WRONLY | O_EXCL};
    struct stat stat;
    struct handle *handle;
    assert_int_equal(tree_create(&w->a, ROOT, "f", &maker, &stat, &handle), 0);
    handle_opened_by(handle, TAR);
    store_mem_reset_hooks(w->mem);
    return handle;
}

IN_WORLD(contents_times_owner_and_mode_of_a_new_file_are_one_request_at_close) {
    struct handle *handle = made_by_root(w, 0600);
    const struct attributes_change owner = {
        .mask = ATTRIBUTE_UID | ATTRIBUTE_GID, .uid = 5, .gid = 6};
    put(handle, 0, "contents");
    assert_int_equal(set(handle, TAR, &both), 0);
    assert_int_equal(set(handle, TAR, &owner), 0);
    assert_int_equal(set(handle, TAR, &more_rights), 0);
    assert_int_equal(store_mem_calls(w->mem), 0);
    struct stat stat;
    attributes_of(handle->file->inode, &stat);
    assert_int_equal(stat.st_mode, S_IFREG | 0755);
    assert_true(stat.st_uid == 5 && stat.st_gid == 6);
    assert_int_equal(handle_flush(handle), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    stat = stat_in(&w->b);
    assert_int_equal(stat.st_mode, S_IFREG | 0755);
    assert_true(stat.st_uid == 5 && stat.st_gid == 6);
    assert_int_equal(stat.st_mtim.tv_sec, 7);
    assert_holds(&w->b, "f", "contents");
    handle_release(handle);
}

IN_WORLD(what_takes_rights_away_is_stored_at_once_with_what_waits) {
    struct handle *handle = made_by_root(w, 0640);
    const struct attributes_change less = {.mask = ATTRIBUTE_MODE, .mode = 0711};
    const struct attributes_change group = {.mask = ATTRIBUTE_GID, .gid = 6};
    const struct attributes_change owner = {.mask = ATTRIBUTE_UID, .uid = 5};
    const struct attributes_change other_owner = {.mask = ATTRIBUTE_UID, .uid = 6};
    assert_int_equal(set(handle, TAR, &more_rights), 0);
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_int_equal(set(handle, TAR, &less), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(stat_in(&w->b).st_mode, S_IFREG | 0711);
    store_mem_reset_hooks(w->mem);
    assert_int_equal(set(handle, TAR, &group), 0); /* 01 for it, 01 for others */
    assert_int_equal(set(handle, TAR, &owner), 0); /* from root */
    assert_int_equal(store_mem_calls(w->mem), 0);
    assert_int_equal(set(handle, TAR, &other_owner), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    const struct stat stat = stat_in(&w->b);
    assert_true(stat.st_uid == 6 && stat.st_gid == 6);
    close_handle(handle);
}

IN_WORLD(a_group_that_may_do_more_than_others_is_changed_at_once) {
    struct handle *handle = made_by_root(w, 0640);
    const struct attributes_change group = {.mask = ATTRIBUTE_GID, .gid = 6};
    assert_int_equal(set(handle, TAR, &group), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    close_handle(handle);
}

IN_WORLD(setuid_is_given_at_once) {
    struct handle *handle = made_by_root(w, 0600);
    const struct attributes_change setuid = {.mask = ATTRIBUTE_MODE, .mode = 04755};
    assert_int_equal(set(handle, TAR, &setuid), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    close_handle(handle);
}

IN_WORLD(rights_given_by_another_process_or_after_close_are_stored_at_once) {
    struct handle *handle = made_by_root(w, 0600);
    assert_int_equal(set(handle, OTHER, &more_rights), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    assert_int_equal(handle_flush(handle), 0);
    const struct attributes_change all = {.mask = ATTRIBUTE_MODE, .mode = 0777};
    store_mem_reset_hooks(w->mem);
    assert_int_equal(set(handle, TAR, &all), 0);
    assert_int_equal(store_mem_calls(w->mem), 1);
    handle_release(handle);
}

IN_WORLD(another_process_that_asks_for_the_mode_that_waits_stores_it) {
    struct handle *handle = made_by_root(w, 0600);
    assert_int_equal(set(handle, TAR, &more_rights), 0);
    assert_int_equal(set(handle, OTHER, &more_rights), 0);
    assert_int_equal(stat_in(&w->b).st_mode, S_IFREG | 0755);
    const struct attributes_change as_made = {.mask = ATTRIBUTE_MODE, .mode = 0600};
    assert_int_equal(set(handle, OTHER, &as_made), 0);
    close_handle(handle);
    task_sleep(2 * SECOND_NS);
    assert_int_equal(stat_in(&w->b).st_mode, S_IFREG | 0600);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_show_at_once_and_are_stored_at_close),
        cmocka_unit_test(a_chmod_takes_them_along),
        cmocka_unit_test(writing_after_them_sets_the_mtime_again_and_not_the_atime),
        cmocka_unit_test(they_are_not_undone_by_what_was_written_before),
        cmocka_unit_test(those_of_another_process_are_stored_at_once),
        cmocka_unit_test(after_close_they_are_stored_at_once),
        cmocka_unit_test(of_a_file_opened_for_reading_they_are_stored_at_once),
        cmocka_unit_test(they_do_not_wait_for_longer_than_writes),
        cmocka_unit_test(close_tells_that_they_could_not_be_stored_and_can_be_tried_again),
        cmocka_unit_test(what_another_mount_writes_meanwhile_stays),
        cmocka_unit_test(fsync_stores_them),
        cmocka_unit_test(contents_times_owner_and_mode_of_a_new_file_are_one_request_at_close),
        cmocka_unit_test(what_takes_rights_away_is_stored_at_once_with_what_waits),
        cmocka_unit_test(a_group_that_may_do_more_than_others_is_changed_at_once),
        cmocka_unit_test(setuid_is_given_at_once),
        cmocka_unit_test(rights_given_by_another_process_or_after_close_are_stored_at_once),
        cmocka_unit_test(another_process_that_asks_for_the_mode_that_waits_stores_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
