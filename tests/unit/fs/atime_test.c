/* Tests of what else changes a file's record than its owner's wish: reading it and writing it. */
#include "tests/unit/fs/world.h"

#include "fs/privileges.h"
#include "fs/xattr.h"

static void read_once(struct mount *mount, const char *name, int flags) {
    struct handle *handle = open_flags(mount, name, flags);
    uint8_t byte;
    size_t size;
    assert_int_equal(handle_read(handle, 0, &byte, 1, &size), 0);
    close_handle(handle);
    settle();
}

static struct stat stat_of(struct mount *mount, const char *name) {
    struct stat stat;
    assert_int_equal(tree_lookup(mount, ROOT, name, &stat), 0);
    return stat;
}

static int64_t atime_of(struct mount *mount, const char *name) {
    struct stat stat = stat_of(mount, name);
    return stat.st_atim.tv_sec * SECOND_NS + stat.st_atim.tv_nsec;
}

IN_WORLD(reading_is_noted_never_at_times_or_always) {
    close_handle(create(&w->a, "f"));
    int64_t made = atime_of(&w->b, "f");
    task_sleep(SECOND_NS);
    read_once(&w->a, "f", O_RDONLY);
    assert_true(atime_of(&w->b, "f") == made);
    w->a.config.atime = ATIME_RELATIVE;
    read_once(&w->a, "f", O_RDONLY);
    int64_t first = atime_of(&w->b, "f");
    assert_true(first > made);
    task_sleep(SECOND_NS);
    read_once(&w->a, "f", O_RDONLY);
    assert_true(atime_of(&w->b, "f") == first);
    w->a.config.atime = ATIME_ALWAYS;
    read_once(&w->a, "f", O_RDONLY | O_NOATIME);
    assert_true(atime_of(&w->b, "f") == first);
    read_once(&w->a, "f", O_RDONLY);
    assert_true(atime_of(&w->b, "f") > first);
    struct stat stat = stat_of(&w->b, "f");
    assert_true(stat.st_ctim.tv_sec * SECOND_NS + stat.st_ctim.tv_nsec <= made);
}

IN_WORLD(reading_is_noted_again_after_a_day_and_after_a_change) {
    w->a.config.atime = ATIME_RELATIVE;
    close_handle(create(&w->a, "f"));
    task_sleep(SECOND_NS);
    read_once(&w->a, "f", O_RDONLY);
    int64_t first = atime_of(&w->b, "f");
    task_sleep(25 * 3600 * SECOND_NS);
    read_once(&w->a, "f", O_RDONLY);
    int64_t second = atime_of(&w->b, "f");
    assert_true(second > first);
    task_sleep(SECOND_NS);
    struct handle *handle = open_flags(&w->b, "f", O_RDWR);
    put(handle, 0, "new");
    close_handle(handle);
    task_sleep(SECOND_NS);
    read_once(&w->a, "f", O_RDONLY);
    assert_true(atime_of(&w->b, "f") > second);
}

static void set_mode(struct mount *mount, uint64_t ino, uint32_t mode) {
    struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = mode};
    struct stat stat;
    assert_int_equal(attributes_set(mount, ino, &change, &stat), 0);
}

IN_WORLD(others_take_setuid_away_and_anybody_capabilities) {
    close_handle(create(&w->a, "f"));
    uint64_t ino = ino_of(&w->a, "f");
    struct xattr_caller root = {0};
    bool lost;
    set_mode(&w->a, ino, 06755);
    assert_int_equal(privileges_lose(&w->a, ino, 0, &lost), 0);
    assert_false(lost);
    assert_int_equal(
        xattr_set(&w->a, ino, XATTR_CAPABILITY, bytes_of_string("any"), XATTR_ANYHOW, &root), 0);
    assert_int_equal(privileges_lose(&w->a, ino, 0, &lost), 0);
    assert_true(lost && xattr_absent(&w->a, ino, XATTR_CAPABILITY));
    assert_int_equal(stat_of(&w->a, "f").st_mode & 07777, 06755);
    assert_int_equal(privileges_lose(&w->a, ino, 5, &lost), 0);
    assert_true(lost);
    assert_int_equal(stat_of(&w->a, "f").st_mode & 07777, 0755);
    set_mode(&w->a, ino, 02644); /* no setgid without the group's x */
    assert_int_equal(privileges_lose(&w->a, ino, 5, &lost), 0);
    assert_false(lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_is_noted_never_at_times_or_always),
        cmocka_unit_test(reading_is_noted_again_after_a_day_and_after_a_change),
        cmocka_unit_test(others_take_setuid_away_and_anybody_capabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
