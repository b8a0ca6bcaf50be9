/* disk_directory: a data directory belongs to one node of one cluster, and to one process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/disk_directory.h"
#include "shared/err.h"

static char directory[64];

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/ringfs-disk-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int remove_directory(void **state) {
    (void)state;
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct disk_identity node_one = {.node = 1, .slices = 1024, .cluster = 77};

static int open_as(const struct disk_identity *as, struct disk_identity *ret,
                   struct disk_directory **held, char why[DISK_WHY_MAX]) {
    *ret = *as;
    why[0] = '\0';
    return disk_directory_open(directory, ret, held, why);
}

static void a_directory_keeps_its_incarnation(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity first, second;
    struct disk_directory *held;
    assert_int_equal(open_as(&node_one, &first, &held, why), 0);
    assert_int_not_equal(first.incarnation, 0);
    disk_directory_close(held);
    assert_int_equal(open_as(&node_one, &second, &held, why), 0);
    assert_int_equal(second.incarnation, first.incarnation);
    disk_directory_close(held);
}

static void a_directory_is_closed_to_others(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity identity;
    struct disk_directory *held;
    struct stat st;
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(open_as(&node_one, &identity, &held, why), 0);
    assert_int_equal(stat(directory, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    disk_directory_close(held);
}

static void a_directory_in_use_is_refused_by_name(void **state) {
    (void)state;
    char why[DISK_WHY_MAX], pid[16];
    struct disk_identity identity;
    struct disk_directory *held, *second;
    assert_int_equal(open_as(&node_one, &identity, &held, why), 0);
    assert_int_equal(open_as(&node_one, &identity, &second, why), ERR_IN_USE);
    assert_non_null(strstr(why, directory));
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    assert_non_null(strstr(why, pid));
    disk_directory_close(held);
}

static void a_directory_of_another_node_or_cluster_is_refused(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity identity, other;
    struct disk_directory *held;
    assert_int_equal(open_as(&node_one, &identity, &held, why), 0);
    disk_directory_close(held);
    other = node_one;
    other.node = 2;
    assert_int_equal(open_as(&other, &identity, &held, why), ERR_EXISTS);
    assert_non_null(strstr(why, "node 1"));
    other = node_one;
    other.cluster = 78;
    assert_int_equal(open_as(&other, &identity, &held, why), ERR_EXISTS);
    assert_non_null(strstr(why, "another cluster"));
}

static void write_file(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_directory_with_other_things_is_refused(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity identity;
    struct disk_directory *held;
    write_file("holiday.jpg", "x");
    assert_int_equal(open_as(&node_one, &identity, &held, why), ERR_EXISTS);
    assert_non_null(strstr(why, "not empty"));
}

static void a_damaged_superblock_is_refused(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity identity;
    struct disk_directory *held;
    write_file("superblock", "ringnode data directory: do not edit\nformat 2\nnode 1\nclus");
    assert_int_equal(open_as(&node_one, &identity, &held, why), ERR_CORRUPT);
}

static void a_directory_of_another_format_is_refused(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity identity;
    struct disk_directory *held;
    write_file("superblock", "ringnode data directory: do not edit\nformat 4\nsomething new\n");
    assert_int_equal(open_as(&node_one, &identity, &held, why), ERR_EXISTS);
    assert_non_null(strstr(why, "format 4"));
    write_file("superblock", "ringnode data directory: do not edit\nformat 1\nnode 1\n");
    assert_int_equal(open_as(&node_one, &identity, &held, why), ERR_EXISTS);
    assert_non_null(strstr(why, "format 1"));
}

static void a_directory_of_the_format_before_becomes_one_of_this(void **state) {
    (void)state;
    char why[DISK_WHY_MAX], path[128], text[512] = "";
    struct disk_identity first, second;
    struct disk_directory *held;
    assert_int_equal(open_as(&node_one, &first, &held, why), 0);
    disk_directory_close(held);
    snprintf(text, sizeof text,
             "ringnode data directory: do not edit\nformat 2\nnode %u\ncluster %016" PRIx64
             "\nslices %u\nincarnation %u\n",
             first.node, first.cluster, first.slices, first.incarnation);
    write_file("superblock", text);
    assert_int_equal(open_as(&node_one, &second, &held, why), 0);
    assert_int_equal(second.incarnation, first.incarnation);
    disk_directory_close(held);
    snprintf(path, sizeof path, "%s/superblock", directory);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "format 3\n"));
    assert_int_equal(open_as(&node_one, &second, &held, why), 0);
    disk_directory_close(held);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

static bool is_there(const char *name) {
    char path[128];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &st) == 0;
}

static void what_is_set_aside_leaves_a_new_directory_of_another_incarnation(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity first, second;
    struct disk_directory *held;
    assert_int_equal(open_as(&node_one, &first, &held, why), 0);
    assert_int_equal(disk_file_write(directory, "rows.created", "x"), 0);
    assert_int_equal(disk_directory_set_aside(directory, &node_one, why), ERR_IN_USE);
    disk_directory_close(held);
    assert_int_equal(disk_directory_set_aside(directory, &node_one, why), 0);
    assert_true(is_there("damaged/rows.created"));
    assert_true(is_there("damaged/superblock"));
    assert_false(is_there("rows.created"));
    assert_int_equal(open_as(&node_one, &second, &held, why), 0);
    assert_int_not_equal(second.incarnation, first.incarnation);
    disk_directory_close(held);
}

static void nothing_is_set_aside_twice_or_of_another_node(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    struct disk_identity mine;
    struct disk_identity other = node_one;
    struct disk_directory *held;
    assert_int_equal(disk_directory_set_aside(directory, &node_one, why), ERR_NOT_FOUND);
    assert_int_equal(open_as(&node_one, &mine, &held, why), 0);
    disk_directory_close(held);
    other.node = 2;
    assert_int_equal(disk_directory_set_aside(directory, &other, why), ERR_EXISTS);
    assert_int_equal(disk_directory_set_aside(directory, &node_one, why), 0);
    assert_int_equal(open_as(&node_one, &mine, &held, why), 0);
    disk_directory_close(held);
    assert_int_equal(disk_directory_set_aside(directory, &node_one, why), ERR_EXISTS);
    assert_non_null(strstr(why, "start without --rebuild"));
}

int main(void) {
    umask(077);
    const struct CMUnitTest tests[] = {
        TEST(a_directory_keeps_its_incarnation),
        TEST(a_directory_is_closed_to_others),
        TEST(a_directory_in_use_is_refused_by_name),
        TEST(a_directory_of_another_node_or_cluster_is_refused),
        TEST(a_directory_with_other_things_is_refused),
        TEST(a_damaged_superblock_is_refused),
        TEST(a_directory_of_another_format_is_refused),
        TEST(a_directory_of_the_format_before_becomes_one_of_this),
        cmocka_unit_test_setup_teardown(
            what_is_set_aside_leaves_a_new_directory_of_another_incarnation, make_directory,
            remove_directory),
        cmocka_unit_test_setup_teardown(nothing_is_set_aside_twice_or_of_another_node,
                                        make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
