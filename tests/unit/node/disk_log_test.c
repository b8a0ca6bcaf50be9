/* disk_log: zeros ahead of what is synced, and logs with such ends after a crash. */
#include "tests/unit/node/disk_rows.h"
#include "tests/unit/node/rows_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "node/disk_log.h"

enum {
    SYNCED_ROWS = 200,
    ROW = 300,
    PAGE = 4096,
    RECORD_END = 16, /* zeros that are of a record: one that only syncs ends with some */
};

/* ---- the log ---- */

static const char *log_path(void) {
    uint32_t n;
    const char *path = rows_file(directory, ".log", &n);
    assert_int_equal(n, 1);
    return path;
}

static off_t log_size(void) {
    struct stat st;
    assert_int_equal(stat(log_path(), &st), 0);
    return st.st_size;
}

/* Where its zeros begin. */
static off_t log_end(void) {
    off_t size = log_size();
    char *bytes = malloc((size_t)size);
    int fd = open(log_path(), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    close(fd);
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    free(bytes);
    return size;
}

static void overwrite(off_t at, const void *bytes, size_t size) {
    int fd = open(log_path(), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

static void put_synced(uint32_t from, uint32_t n) {
    for (uint32_t key = from; key < from + n; key++) {
        put(key, 1, ROW, true);
    }
}

/* As many rows as were put, or the first of them. */
static uint32_t rows_there(void) {
    uint32_t n = 0;
    while (version_of(n) == 1) {
        n++;
    }
    for (uint32_t key = n; key < n + SYNCED_ROWS; key++) {
        assert_int_equal(version_of(key), 0);
    }
    return n;
}

static int try_open(void) {
    char why[DISK_WHY_MAX];
    struct disk_leveldb_config config = {.directory = directory, .reserve_bytes = 1};
    int status = disk_leveldb_open(&config, &disk, why);
    seam = status == 0 ? disk_leveldb_seam(disk) : NULL;
    return status;
}

/* The machine was down since. */
static void reboot(void) {
    char path[128];
    snprintf(path, sizeof path, "%s/boot", directory);
    assert_int_equal(unlink(path), 0);
}

/* ---- zeros ahead ---- */

static void syncs_that_are_waited_for_do_not_make_the_log_longer(void **state) {
    (void)state;
    open_disk();
    put_synced(0, 20);
    off_t size = log_size();
    put_synced(20, 20);
    assert_int_equal(log_size(), size);
    assert_true(log_end() < size);
    assert_true(size - log_end() <= DISK_LOG_AHEAD_MAX);
}

static void few_syncs_and_those_nobody_waits_for_write_no_zeros(void **state) {
    (void)state;
    open_disk();
    put_synced(0, DISK_LOG_SYNCS_FIRST);
    for (uint32_t key = 10; key < 100; key++) {
        put(key, 1, ROW, false);
    }
    assert_true(log_size() - log_end() <= RECORD_END);
}

static void a_new_log_gets_zeros_too(void **state) {
    (void)state;
    char first[512];
    open_disk();
    put_synced(0, 20);
    strcpy(first, log_path());
    reopen_disk();
    assert_string_not_equal(log_path(), first);
    assert_true(log_size() - log_end() <= RECORD_END);
    put_synced(20, 20);
    assert_true(log_size() - log_end() > RECORD_END);
    reopen_disk();
    assert_int_equal(rows_there(), 40);
}

static void rows_behind_the_zeros_are_all_there_after_they_were_overrun(void **state) {
    (void)state;
    open_disk();
    for (uint32_t key = 0; key < SYNCED_ROWS; key++) {
        put(key, 1, key % 7 == 3 ? 3 * LARGE / 4 : ROW, key % 3 != 0);
    }
    close_disk();
    open_disk();
    assert_int_equal(rows_there(), SYNCED_ROWS);
}

/* ---- after a crash ---- */

/* A log with zeros at its end; the disk is closed. */
static off_t leave_log(void) {
    open_disk();
    put_synced(0, SYNCED_ROWS);
    close_disk();
    assert_true(log_size() - log_end() > RECORD_END);
    return log_end();
}

static void half_a_record_before_the_zeros_is_the_end(void **state) {
    (void)state;
    static const char zeros[ROW];
    off_t end = leave_log();
    end -= end % PAGE; /* a write that is cut short ends with a page */
    overwrite(end, zeros, sizeof zeros);
    off_t behind = log_size() - end;
    char *rest = calloc(1, (size_t)behind);
    overwrite(end, rest, (size_t)behind);
    free(rest);
    assert_int_equal(try_open(), 0);
    assert_in_range(rows_there(), SYNCED_ROWS - PAGE / ROW - 1, SYNCED_ROWS - 1);
}

static void damage_before_the_zeros_is_refused(void **state) {
    (void)state;
    leave_log();
    overwrite(log_end() / 2, "damage", 6);
    assert_int_equal(try_open(), ERR_CORRUPT);
    reboot();
    assert_int_equal(try_open(), ERR_CORRUPT);
}

static void a_lost_page_is_damage_unless_the_machine_went_down(void **state) {
    (void)state;
    static const char zeros[PAGE];
    off_t end = leave_log();
    overwrite(2 * PAGE, zeros, PAGE);
    assert_true(end > 4 * PAGE);
    assert_int_equal(try_open(), ERR_CORRUPT);
    reboot();
    assert_int_equal(try_open(), 0);
    assert_in_range(rows_there(), 2 * PAGE / ROW - 6, 2 * PAGE / ROW);
}

static void what_was_cut_does_not_come_back(void **state) {
    (void)state;
    static const char zeros[PAGE];
    leave_log();
    overwrite(2 * PAGE, zeros, PAGE);
    reboot();
    assert_int_equal(try_open(), 0);
    uint32_t n = rows_there();
    put(n, 1, ROW, true);
    reopen_disk();
    assert_int_equal(rows_there(), n + 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void) {
    umask(077);
    const struct CMUnitTest tests[] = {
        TEST(syncs_that_are_waited_for_do_not_make_the_log_longer),
        TEST(few_syncs_and_those_nobody_waits_for_write_no_zeros),
        TEST(a_new_log_gets_zeros_too),
        TEST(rows_behind_the_zeros_are_all_there_after_they_were_overrun),
        TEST(half_a_record_before_the_zeros_is_the_end),
        TEST(damage_before_the_zeros_is_refused),
        TEST(a_lost_page_is_damage_unless_the_machine_went_down),
        TEST(what_was_cut_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
