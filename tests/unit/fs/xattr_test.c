/* Tests of extended attributes as two mounts see them. */
#include "tests/unit/fs/world.h"

#include "fs/acl.h"
#include "fs/shown.h"
#include "fs/xattr.h"

static const struct xattr_caller root = {0};

static int set(struct mount *mount, uint64_t ino, const char *name, const char *value) {
    return xattr_set(mount, ino, name, bytes_of_string(value), XATTR_ANYHOW, &root);
}

static void assert_value(struct mount *mount, uint64_t ino, const char *name, const char *value) {
    struct buffer found = {0};
    assert_int_equal(xattr_get(mount, ino, name, &found), 0);
    assert_true(bytes_equal(buffer_bytes(&found), bytes_of_string(value)));
    buffer_release(&found);
}

static uint64_t made_file(struct world *w, const char *name) {
    handle_release(create(&w->a, name));
    return ino_of(&w->a, name);
}

IN_WORLD(an_attribute_and_what_is_still_buffered_are_both_stored) {
    struct handle *handle = create(&w->a, "f");
    put(handle, 0, "first");
    put(handle, 5, " second");
    uint64_t ino = ino_of(&w->a, "f");
    assert_int_equal(set(&w->a, ino, "user.a", "1"), 0);
    close_handle(handle);
    assert_value(&w->b, ino_of(&w->b, "f"), "user.a", "1");
    assert_holds(&w->b, "f", "first second");
}

IN_WORLD(a_file_with_attributes_can_be_written_by_both_mounts) {
    uint64_t ino = made_file(w, "f");
    struct handle *open = open_flags(&w->b, "f", O_RDWR);
    assert_int_equal(set(&w->a, ino, "user.a", "1"), 0);
    put(open, 0, "text");
    close_handle(open);
    assert_value(&w->a, ino, "user.a", "1");
    assert_holds(&w->a, "f", "text");
}

IN_WORLD(flags_and_names_are_checked) {
    uint64_t ino = made_file(w, "f");
    struct bytes one = bytes_of_string("1");
    assert_int_equal(xattr_set(&w->a, ino, "user.a", one, XATTR_ONLY_OLD, &root), ERR_NO_ATTRIBUTE);
    assert_int_equal(xattr_set(&w->a, ino, "user.a", one, XATTR_ONLY_NEW, &root), 0);
    assert_int_equal(xattr_set(&w->a, ino, "user.a", one, XATTR_ONLY_NEW, &root), ERR_EXISTS);
    assert_int_equal(set(&w->a, ino, "other.a", "1"), ERR_NOT_SUPPORTED);
    assert_int_equal(set(&w->a, ino, "user.", "1"), ERR_INVALID);
    assert_int_equal(set(&w->a, ino, ACL_ACCESS, "no ACL"), ERR_INVALID);
    assert_int_equal(xattr_remove(&w->a, ino, "user.none"), ERR_NO_ATTRIBUTE);
    assert_int_equal(xattr_remove(&w->a, ino, ACL_ACCESS), 0);
    assert_int_equal(xattr_remove(&w->a, 12345, "user.a"), ERR_STALE);
}

IN_WORLD(what_is_known_not_to_be_there_is_told_from_memory) {
    uint64_t ino = made_file(w, "f");
    assert_true(xattr_absent(&w->a, ino, "user.a"));
    assert_true(xattr_absent(&w->a, ino, "security.capability"));
    assert_false(xattr_absent(&w->a, ino, "other.a"));
    task_sleep(2 * SECOND_NS);
    assert_false(xattr_absent(&w->a, ino, "user.a"));
    assert_true(xattr_absent(&w->a, ino, "security.capability"));
    assert_int_equal(set(&w->a, ino, "security.capability", "1"), 0);
    assert_false(xattr_absent(&w->a, ino, "security.capability"));
    assert_false(xattr_absent(&w->a, 12345, "user.a"));
}

IN_WORLD(trusted_attributes_are_listed_for_root_only) {
    uint64_t ino = made_file(w, "f");
    assert_int_equal(set(&w->a, ino, "trusted.t", "1"), 0);
    assert_int_equal(set(&w->a, ino, "user.u", "1"), 0);
    struct buffer all = {0}, some = {0};
    struct xattr_caller other = {.uid = 5};
    assert_int_equal(xattr_list(&w->a, ino, &root, &all), 0);
    assert_int_equal(xattr_list(&w->a, ino, &other, &some), 0);
    assert_true(bytes_equal(buffer_bytes(&all), bytes_of("trusted.t\0user.u", 17)));
    assert_true(bytes_equal(buffer_bytes(&some), bytes_of("user.u", 7)));
    buffer_release(&all);
    buffer_release(&some);
}

/* u::rwx u:5:rwx g::r-x m::rwx o::--- */
static const uint8_t wide[] = {2, 0, 0, 0, 1, 0, 7,  0, 0, 0, 0, 0, 2, 0, 7,  0, 5, 0, 0, 0, 4, 0,
                               5, 0, 0, 0, 0, 0, 16, 0, 7, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0};

IN_WORLD(a_default_acl_is_inherited_and_stands_in_for_the_umask) {
    struct maker maker = {.mode = 0777, .umask = 077, .flags = O_RDWR};
    struct stat made;
    struct handle *handle;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &maker, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0700);
    uint64_t d = made.st_ino;
    assert_int_equal(
        xattr_set(&w->a, d, ACL_DEFAULT, bytes_of(wide, sizeof wide), XATTR_ANYHOW, &root), 0);
    assert_int_equal(tree_mkdir(&w->a, d, "sub", &maker, &made), 0);
    assert_int_equal(made.st_mode & 07777, 0770);
    uint64_t sub = made.st_ino;
    maker.mode = S_IFREG | 0666;
    assert_int_equal(tree_create(&w->a, sub, "f", &maker, &made, &handle), 0);
    assert_int_equal(made.st_mode & 07777, 0660);
    handle_release(handle);
    struct buffer acl = {0};
    assert_int_equal(xattr_get(&w->a, made.st_ino, ACL_DEFAULT, &acl), ERR_NO_ATTRIBUTE);
    assert_int_equal(xattr_get(&w->a, made.st_ino, ACL_ACCESS, &acl), 0);
    buffer_release(&acl);
    assert_int_equal(
        tree_symlink(&w->a, sub, "l", "f", &(struct maker){.mode = S_IFLNK | 0777}, &made), 0);
    assert_int_equal(xattr_get(&w->a, made.st_ino, ACL_ACCESS, &acl), ERR_NO_ATTRIBUTE);
}

IN_WORLD(an_acl_and_the_mode_tell_the_same) {
    uint64_t ino = made_file(w, "f");
    struct bytes acl = bytes_of(wide, sizeof wide);
    struct xattr_caller stranger = {.uid = 5};
    struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = 02644};
    struct stat stat;
    assert_int_equal(attributes_set(&w->a, ino, &change, &stat), 0);
    assert_int_equal(xattr_set(&w->a, ino, ACL_ACCESS, acl, XATTR_ANYHOW, &root), 0);
    assert_int_equal(attributes_get(&w->a, ino, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 02770);
    assert_int_equal(xattr_set(&w->a, ino, ACL_ACCESS, acl, XATTR_ANYHOW, &stranger), 0);
    assert_int_equal(attributes_get(&w->a, ino, &stat), 0);
    assert_int_equal(stat.st_mode, S_IFREG | 0770);
    change.mode = 0640;
    assert_int_equal(attributes_set(&w->a, ino, &change, &stat), 0);
    struct buffer now = {0};
    assert_int_equal(xattr_get(&w->b, ino_of(&w->b, "f"), ACL_ACCESS, &now), 0);
    assert_int_equal(acl_mode(buffer_bytes(&now), 0), 0640);
    buffer_release(&now);
}

static void count(void *context, uint64_t ino) {
    (void)ino;
    ++*(int *)context;
}

IN_WORLD(after_a_refresh_nothing_that_was_read_before_is_believed) {
    struct stat stat;
    assert_int_equal(tree_mkdir(&w->a, ROOT, "d", &(struct maker){.mode = 0755}, &stat), 0);
    uint64_t d = stat.st_ino;
    struct handle *handle;
    assert_int_equal(tree_create(&w->a, d, "f", &maker_file, &stat, &handle), 0);
    handle_release(handle);
    uint64_t f = stat.st_ino;
    uint64_t other = made_file(w, "other");
    struct attributes_change change = {.mask = ATTRIBUTE_MODE, .mode = 0600};
    assert_int_equal(tree_lookup(&w->b, ino_of(&w->b, "d"), "f", &stat), 0);
    assert_int_equal(attributes_set(&w->b, f, &change, &stat), 0);
    int n = 0;
    assert_int_equal(shown_refresh(&w->a, d, count, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(attributes_get(&w->a, f, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    assert_true(xattr_absent(&w->a, other, "user.a")); /* still known */
    assert_int_equal(shown_refresh(&w->a, 12345, count, &n), ERR_STALE);
}

IN_WORLD(shown_attributes_can_be_read_but_neither_set_nor_listed) {
    uint64_t ino = made_file(w, "f");
    struct buffer found = {0};
    assert_int_equal(xattr_get(&w->a, ino, "user.ringfs.key", &found), 0);
    assert_true(found.size > 0);
    assert_false(xattr_absent(&w->a, ino, "user.ringfs.key"));
    assert_int_equal(set(&w->a, ino, "user.ringfs.key", "x"), ERR_PERMISSION);
    assert_int_equal(xattr_get(&w->a, ino, "user.ringfs.none", &found), ERR_NO_ATTRIBUTE);
    buffer_clear(&found);
    assert_int_equal(xattr_list(&w->a, ino, &root, &found), 0);
    assert_int_equal(found.size, 0);
    buffer_release(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_attribute_and_what_is_still_buffered_are_both_stored),
        cmocka_unit_test(a_file_with_attributes_can_be_written_by_both_mounts),
        cmocka_unit_test(flags_and_names_are_checked),
        cmocka_unit_test(what_is_known_not_to_be_there_is_told_from_memory),
        cmocka_unit_test(trusted_attributes_are_listed_for_root_only),
        cmocka_unit_test(a_default_acl_is_inherited_and_stands_in_for_the_umask),
        cmocka_unit_test(an_acl_and_the_mode_tell_the_same),
        cmocka_unit_test(after_a_refresh_nothing_that_was_read_before_is_believed),
        cmocka_unit_test(shown_attributes_can_be_read_but_neither_set_nor_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
