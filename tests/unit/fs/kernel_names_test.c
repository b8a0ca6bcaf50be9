/* kernel_names: which mounts forbid that the kernel holds names for long. */
#include "fs/kernel_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#define ROOTS "20 1 8:1 / / rw - ext4 /dev/sda rw\n21 20 0:5 / /proc rw - proc proc rw\n"
#define OURS "30 20 0:40 / /mnt/r rw,nosuid shared:3 - fuse.ringfs ipc:///a rw\n"

static bool is_upon(const char *text, dev_t *device) {
    return mounted_upon(text, "/mnt/r", device);
}

static void a_mount_of_its_own_has_nothing_upon_it(void **state) {
    (void)state;
    dev_t device = 0;
    assert_false(is_upon(ROOTS OURS, &device));
    assert_true(device == makedev(0, 40));
}

static void a_mount_on_a_directory_inside_is_upon_it(void **state) {
    (void)state;
    dev_t device = 0;
    assert_true(is_upon(ROOTS OURS "31 30 8:1 /x /mnt/r/d rw - ext4 /dev/sda rw\n", &device));
    /* The one may stand before the other. */
    assert_true(is_upon("31 30 8:1 /x /mnt/r/d rw - ext4 /dev/sda rw\n" ROOTS OURS, &device));
}

static void a_directory_of_it_that_is_bound_elsewhere_is_nothing_upon_it(void **state) {
    (void)state;
    dev_t device = 0;
    const char *bound = ROOTS OURS "31 20 0:40 /d /srv/d rw - fuse.ringfs ipc:///a rw\n";
    assert_false(is_upon(bound, &device));
    const char *upon = ROOTS OURS "31 20 0:40 /d /srv/d rw - fuse.ringfs ipc:///a rw\n"
                                  "32 31 0:9 / /srv/d/tmp rw - tmpfs none rw\n";
    assert_true(is_upon(upon, &device));
}

static void a_directory_whose_name_begins_alike_is_another(void **state) {
    (void)state;
    dev_t device = 0;
    assert_false(is_upon(ROOTS OURS "31 20 0:41 / /mnt/r2 rw - tmpfs none rw\n", &device));
}

static void where_it_is_not_to_be_found_nobody_can_say(void **state) {
    (void)state;
    dev_t device = 0;
    assert_true(is_upon(ROOTS, &device));
    assert_true(is_upon("", &device));
    assert_true(is_upon("nonsense\n\n - \n1 2\n", &device));
    assert_true(device == 0);
}

static void spaces_in_the_mountpoint_are_found(void **state) {
    (void)state;
    dev_t device = 0;
    const char *text = ROOTS "30 20 0:40 / /mnt/a\\040b rw - fuse.ringfs x rw\n";
    assert_false(mounted_upon(text, "/mnt/a b", &device));
    assert_true(device == makedev(0, 40));
}

static void more_bind_mounts_than_are_counted_forbid_it(void **state) {
    (void)state;
    struct buffer text = {0};
    char line[128];
    dev_t device = makedev(0, 40);
    for (int i = 0; i <= KERNEL_NAMES_MOUNTS_MAX; i++) {
        snprintf(line, sizeof line, "%d 20 0:40 / /b%d rw - fuse.ringfs x rw\n", 100 + i, i);
        buffer_put(&text, line, strlen(line) + 1);
        assert_true(is_upon((const char *)text.data, &device) == (i == KERNEL_NAMES_MOUNTS_MAX));
        text.size--;
    }
    buffer_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_of_its_own_has_nothing_upon_it),
        cmocka_unit_test(a_mount_on_a_directory_inside_is_upon_it),
        cmocka_unit_test(a_directory_of_it_that_is_bound_elsewhere_is_nothing_upon_it),
        cmocka_unit_test(a_directory_whose_name_begins_alike_is_another),
        cmocka_unit_test(where_it_is_not_to_be_found_nobody_can_say),
        cmocka_unit_test(spaces_in_the_mountpoint_are_found),
        cmocka_unit_test(more_bind_mounts_than_are_counted_forbid_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
