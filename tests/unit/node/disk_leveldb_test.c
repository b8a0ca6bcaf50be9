/* disk_leveldb: rows are answered in their turn, survive, and damage is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/disk_leveldb_inside.h"
#include "shared/err.h"
#include "tests/unit/node/rows_file.h"

#if defined(__SANITIZE_THREAD__)
/* LevelDB itself is not instrumented: what it orders by its own atomics cannot be seen. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libleveldb\n";
}
#endif

static char directory[64];
static struct disk_leveldb *disk;
static const struct disk *seam;

/* ---- the fixture ---- */

static int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/ringfs-disk-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void close_disk(void) {
    if (disk) {
        disk_leveldb_close(disk);
    }
    disk = NULL;
}

static int remove_directory(void **state) {
    (void)state;
    close_disk();
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int try_open(uint64_t reserve_bytes, bool never_inline, char why[DISK_WHY_MAX]) {
    struct disk_leveldb_config config = {
        .directory = directory, .reserve_bytes = reserve_bytes, .never_inline = never_inline};
    why[0] = '\0';
    int status = disk_leveldb_open(&config, &disk, why);
    seam = status ? NULL : disk_leveldb_seam(disk);
    return status;
}

static void open_disk(void) {
    char why[DISK_WHY_MAX];
    assert_int_equal(try_open(1, false, why), 0);
}

static void reopen_disk(void) {
    close_disk();
    open_disk();
}

/* Drains until `*count` is `n`; a committer that never answers fails the test, not hangs it. */
static void drain_until(const int *count, int n) {
    while (disk_leveldb_drain(disk)) {
    }
    while (*count < n) {
        struct pollfd wait = {disk_leveldb_event_fd(disk), POLLIN, 0};
        assert_int_equal(poll(&wait, 1, 20000), 1);
        disk_leveldb_ready(disk);
        while (disk_leveldb_drain(disk)) {
        }
    }
}

/* ---- asking and waiting ---- */

static int n_done;
static int last_status;
static char last_value[256];

static void commit_done(struct disk_commit *commit, int status) {
    (void)commit;
    n_done++;
    last_status = status;
}

static int put(const char *key, const char *value, bool synced) {
    struct disk_put row = {.key = bytes_of_string(key), .value = bytes_of_string(value)};
    struct disk_commit commit = {.puts = &row, .n = 1, .synced = synced, .done = commit_done};
    n_done = 0;
    seam->commit(seam->self, &commit);
    assert_int_equal(n_done, 0);
    drain_until(&n_done, 1);
    assert_int_equal(n_done, 1);
    return last_status;
}

static void read_done(struct disk_read *read, int status, struct bytes value) {
    (void)read;
    n_done++;
    last_status = status;
    assert_true(value.size < sizeof last_value);
    memcpy(last_value, value.size ? value.data : (const uint8_t *)"", value.size);
    last_value[value.size] = '\0';
}

static const char *get(const char *key) {
    struct disk_read read = {.key = bytes_of_string(key), .done = read_done};
    n_done = 0;
    seam->read(seam->self, &read);
    assert_int_equal(n_done, 0);
    drain_until(&n_done, 1);
    return last_value;
}

static char scanned[512];
static bool scanned_more;

static void scan_done(struct disk_scan *scan, int status, const struct disk_row *rows,
                      uint32_t n_rows, bool more) {
    (void)scan;
    n_done++;
    last_status = status;
    scanned_more = more;
    scanned[0] = '\0';
    for (uint32_t i = 0; i < n_rows; i++) {
        size_t at = strlen(scanned);
        snprintf(scanned + at, sizeof scanned - at, "%.*s=%.*s ", (int)rows[i].key.size,
                 (const char *)rows[i].key.data, (int)rows[i].value.size,
                 (const char *)rows[i].value.data);
    }
}

static const char *scan(const char *first, const char *before, uint32_t rows_max,
                        uint32_t bytes_max) {
    struct disk_scan ask = {.first = bytes_of_string(first),
                            .before = bytes_of_string(before),
                            .rows_max = rows_max,
                            .bytes_max = bytes_max,
                            .done = scan_done};
    n_done = 0;
    seam->scan(seam->self, &ask);
    assert_int_equal(n_done, 0);
    drain_until(&n_done, 1);
    return scanned;
}

static struct disk_leveldb_counters counters(void) {
    struct disk_leveldb_counters ret;
    disk_leveldb_counters(disk, &ret);
    return ret;
}

/* ---- rows ---- */

static void a_committed_row_is_read_back(void **state) {
    (void)state;
    open_disk();
    assert_int_equal(put("a", "one", false), 0);
    assert_string_equal(get("a"), "one");
    assert_int_equal(put("a", "two", true), 0);
    assert_string_equal(get("a"), "two");
    assert_string_equal(get("b"), "");
    assert_int_equal(last_status, 0);
}

static void a_row_put_with_an_empty_value_is_gone(void **state) {
    (void)state;
    open_disk();
    put("a", "one", false);
    assert_int_equal(put("a", "", false), 0);
    assert_string_equal(get("a"), "");
    assert_string_equal(scan("a", "z", 10, 1000), "");
}

static void a_scan_returns_its_range_in_order(void **state) {
    (void)state;
    open_disk();
    put("c", "3", false);
    put("a", "1", false);
    put("d", "4", false);
    put("b", "2", false);
    assert_string_equal(scan("b", "d", 10, 1000), "b=2 c=3 ");
    assert_false(scanned_more);
    assert_string_equal(scan("a", "zz", 10, 1000), "a=1 b=2 c=3 d=4 ");
    assert_string_equal(scan("x", "zz", 10, 1000), "");
    assert_false(scanned_more);
}

static void a_scan_that_stops_at_a_bound_says_there_is_more(void **state) {
    (void)state;
    open_disk();
    put("a", "1111", false);
    put("b", "2222", false);
    put("c", "3333", false);
    assert_string_equal(scan("a", "z", 2, 1000), "a=1111 b=2222 ");
    assert_true(scanned_more);
    assert_string_equal(scan("a", "z", 10, 9), "a=1111 b=2222 ");
    assert_true(scanned_more);
    assert_string_equal(scan("a", "z", 10, 1), "a=1111 ");
    assert_true(scanned_more);
    assert_string_equal(scan("a", "c", 2, 1000), "a=1111 b=2222 ");
    assert_false(scanned_more);
}

/* ---- commits ---- */

enum { MANY = 300 };

static void commits_are_applied_in_the_order_asked(void **state) {
    (void)state;
    open_disk();
    static struct disk_commit commits[MANY];
    static struct disk_put rows[MANY];
    static char values[MANY][8];
    n_done = 0;
    for (int i = 0; i < MANY; i++) {
        snprintf(values[i], sizeof values[i], "%d", i);
        rows[i] =
            (struct disk_put){.key = bytes_of_string("k"), .value = bytes_of_string(values[i])};
        commits[i] = (struct disk_commit){
            .puts = &rows[i], .n = 1, .synced = i % 7 == 0, .done = commit_done};
        seam->commit(seam->self, &commits[i]);
        if (i % 5 == 0) {
            disk_leveldb_drain(disk);
        }
    }
    drain_until(&n_done, MANY);
    assert_int_equal(n_done, MANY);
    assert_string_equal(get("k"), "299");
    assert_int_equal(counters().commits, MANY);
    assert_true(counters().groups < MANY); /* they shared writes */
}

static void the_committer_alone_gives_the_same_rows(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    assert_int_equal(try_open(1, true, why), 0);
    struct disk_put rows[2] = {{.key = bytes_of_string("a"), .value = bytes_of_string("1")},
                               {.key = bytes_of_string("b"), .value = bytes_of_string("2")}};
    struct disk_commit commit = {.puts = rows, .n = 2, .done = commit_done};
    n_done = 0;
    seam->commit(seam->self, &commit);
    drain_until(&n_done, 1);
    assert_string_equal(scan("a", "z", 10, 100), "a=1 b=2 ");
}

static void chain_done(struct disk_commit *commit, int status) {
    int *left = commit->context;
    assert_int_equal(status, 0);
    n_done++;
    if (--*left > 0) {
        int before = n_done;
        seam->commit(seam->self, commit);
        assert_int_equal(n_done, before); /* not inside the asking call */
    }
}

static void a_callback_may_ask_again_and_is_answered_later(void **state) {
    (void)state;
    open_disk();
    int left = 40;
    struct disk_put row = {.key = bytes_of_string("a"), .value = bytes_of_string("1")};
    struct disk_commit commit = {.puts = &row, .n = 1, .done = chain_done, .context = &left};
    n_done = 0;
    seam->commit(seam->self, &commit);
    drain_until(&n_done, 40);
    assert_int_equal(left, 0);
}

static void a_full_queue_answers_busy_and_loses_nothing(void **state) {
    (void)state;
    open_disk();
    enum { BIG = 20 << 20 };
    char *value = calloc(1, BIG);
    struct disk_put row = {.key = bytes_of_string("a"), .value = bytes_of(value, BIG)};
    struct disk_commit commits[4];
    n_done = 0;
    for (int i = 0; i < 4; i++) {
        commits[i] = (struct disk_commit){.puts = &row, .n = 1, .done = commit_done};
        seam->commit(seam->self, &commits[i]);
    }
    drain_until(&n_done, 4);
    assert_int_equal(counters().refused_busy, 1);
    assert_int_equal(counters().commits, 3);
    assert_int_equal(put("b", "small", false), 0);
    free(value);
}

static void below_the_reserve_commits_are_refused_and_reads_go_on(void **state) {
    (void)state;
    open_disk();
    put("a", "1", true);
    close_disk();
    char why[DISK_WHY_MAX];
    assert_int_equal(try_open(1ull << 60, false, why), 0);
    assert_int_equal(put("a", "2", false), ERR_NO_SPACE);
    assert_string_equal(get("a"), "1");
    assert_null(disk_leveldb_failure(disk));
}

static void below_the_reserve_urgent_commits_are_taken(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    assert_int_equal(try_open(1ull << 60, false, why), 0);
    struct disk_put row = {.key = bytes_of_string("mark"), .value = bytes_of_string("1")};
    struct disk_commit commit = {
        .puts = &row, .n = 1, .synced = true, .urgent = true, .done = commit_done};
    seam->commit(seam->self, &commit);
    n_done = 0;
    drain_until(&n_done, 1);
    assert_int_equal(last_status, 0);
    assert_int_equal(put("a", "1", false), ERR_NO_SPACE);
}

/* A large commit and a small one, asked for before the first is told. */
static void ask_two(struct disk_commit commits[2], struct disk_put puts[2], struct bytes large) {
    puts[0] = (struct disk_put){.key = bytes_of_string("a"), .value = large};
    puts[1] = (struct disk_put){.key = bytes_of_string("b"), .value = bytes_of_string("2")};
    n_done = 0;
    for (int i = 0; i < 2; i++) {
        commits[i] = (struct disk_commit){.puts = &puts[i], .n = 1, .done = commit_done};
        seam->commit(seam->self, &commits[i]);
    }
}

static void what_is_asked_after_a_refused_commit_is_refused_until_that_is_told(void **state) {
    (void)state;
    struct disk_commit commits[2];
    struct disk_put puts[2];
    open_disk();
    uint64_t bytes_free, total;
    seam->space(seam->self, &bytes_free, &total);
    disk->config.reserve_bytes = bytes_free + bytes_free / 2; /* for small ones there is space */
    char *large = calloc(1, DISK_SMALL_COMMIT + 1);
    ask_two(commits, puts, bytes_of(large, DISK_SMALL_COMMIT + 1));
    drain_until(&n_done, 2);
    assert_int_equal(last_status, ERR_NO_SPACE);
    assert_string_equal(scan("a", "z", 10, 100), "");
    assert_int_equal(put("b", "2", false), 0);
    assert_string_equal(scan("a", "z", 10, 100), "b=2 ");
    ask_two(commits, puts, bytes_of(large, DISK_SMALL_COMMIT + 1));
    struct disk_put probe = {.key = bytes_of_string("c"), .value = bytes_of_string("3")};
    struct disk_commit alone = {.puts = &probe, .n = 1, .alone = true, .done = commit_done};
    seam->commit(seam->self, &alone);
    drain_until(&n_done, 3);
    assert_string_equal(get("c"), "3");
    free(large);
}

static void what_was_asked_before_a_lost_commit_was_told_is_lost_too(void **state) {
    (void)state;
    struct disk_commit commits[2];
    struct disk_put puts[2];
    open_disk();
    ask_two(commits, puts, bytes_of_string("1"));
    disk_leveldb_lose(disk, ERR_NO_SPACE); /* as if by a commit before these */
    drain_until(&n_done, 2);
    assert_int_equal(last_status, ERR_NO_SPACE);
    assert_string_equal(scan("a", "z", 10, 100), "");
    assert_int_equal(put("b", "2", false), 0);
    assert_string_equal(scan("a", "z", 10, 100), "b=2 ");
}

static void rows_are_not_opened_anew_while_an_answer_is_out(void **state) {
    (void)state;
    struct disk_put row = {.key = bytes_of_string("a"), .value = bytes_of_string("1")};
    struct disk_commit commits[2];
    open_disk();
    n_done = 0;
    for (int i = 0; i < 2; i++) {
        commits[i] = (struct disk_commit){.puts = &row, .n = 1, .done = commit_done};
        seam->commit(seam->self, &commits[i]);
        disk_leveldb_fail(disk, ERR_NO_SPACE, true, "as if the disk had been full");
    }
    drain_until(&n_done, 2);
    assert_int_equal(last_status, ERR_NO_SPACE);
    assert_int_equal(counters().reopened, 0);
    assert_int_equal(put("b", "2", false), 0);
    assert_int_equal(counters().reopened, 1);
    assert_string_equal(scan("a", "z", 10, 100), "b=2 ");
}

static void rows_survive_a_reopening(void **state) {
    (void)state;
    open_disk();
    put("a", "1", false);
    put("b", "2", true);
    reopen_disk();
    assert_string_equal(scan("a", "z", 10, 100), "a=1 b=2 ");
}

static void work_queued_at_close_is_answered(void **state) {
    (void)state;
    open_disk();
    struct disk_put row = {.key = bytes_of_string("a"), .value = bytes_of_string("1")};
    struct disk_commit commit = {.puts = &row, .n = 1, .synced = true, .done = commit_done};
    seam->commit(seam->self, &commit);
    n_done = 0;
    close_disk();
    assert_int_equal(n_done, 1);
    assert_int_equal(last_status, 0);
    open_disk();
    assert_string_equal(get("a"), "1");
}

/* ---- damage ---- */

static void damage(const char *path, off_t offset) {
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damage!!", 8, offset), 8);
    close(fd);
}

static void a_lost_current_is_refused_not_recreated(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    open_disk();
    put("a", "1", true);
    close_disk();
    assert_int_equal(unlink(rows_file(directory, "CURRENT", NULL)), 0);
    assert_int_equal(try_open(1, false, why), ERR_CORRUPT);
    assert_non_null(strstr(why, "CURRENT"));
    assert_non_null(strstr(why, directory));
}

static void lost_rows_are_refused_not_recreated(void **state) {
    (void)state;
    char why[DISK_WHY_MAX], rows[128], away[128];
    open_disk();
    put("a", "1", true);
    close_disk();
    snprintf(rows, sizeof rows, "%s/rows", directory);
    snprintf(away, sizeof away, "%s/away", directory);
    assert_int_equal(rename(rows, away), 0);
    assert_int_equal(try_open(1, false, why), ERR_CORRUPT);
}

static void damage_in_the_middle_of_the_log_is_refused_with_a_sentence(void **state) {
    (void)state;
    char why[DISK_WHY_MAX];
    open_disk();
    for (int i = 0; i < 100; i++) {
        put("a", "a value of some length, so that the log has a middle", false);
    }
    close_disk();
    damage(rows_file(directory, ".log", NULL), 2000);
    assert_int_equal(try_open(1, false, why), ERR_CORRUPT);
    assert_non_null(strstr(why, "--rebuild"));
}

static void limit_files(rlim_t size) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The limit lets ten bytes of the record through, as a full disk would. */
static void a_failed_write_is_the_last_one_and_the_rows_stay_readable(void **state) {
    (void)state;
    struct stat st;
    open_disk();
    put("a", "1", true);
    assert_int_equal(stat(rows_file(directory, ".log", NULL), &st), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)st.st_size + 10);
    int status = put("b", "a value that does not fit into what the file may still hold", false);
    limit_files(RLIM_INFINITY);
    assert_int_equal(status, ERR_DISK);
    assert_non_null(disk_leveldb_failure(disk));
    assert_int_equal(put("c", "3", false), ERR_DISK);
    assert_string_equal(get("a"), "1");
    reopen_disk();
    assert_null(disk_leveldb_failure(disk));
    assert_string_equal(scan("a", "z", 10, 100), "a=1 ");
    assert_int_equal(put("c", "3", true), 0);
}

static void after_no_space_the_rows_are_opened_anew_in_place(void **state) {
    (void)state;
    struct disk_leveldb_counters counters;
    open_disk();
    put("a", "1", true);
    put("b", "2", false);
    disk_leveldb_fail(disk, ERR_NO_SPACE, true, "as if the disk had been full");
    assert_non_null(disk_leveldb_failure(disk));
    assert_string_equal(get("a"), "1");
    /* There is space: the next commit finds it. */
    assert_int_equal(put("c", "3", false), 0);
    assert_null(disk_leveldb_failure(disk));
    disk_leveldb_counters(disk, &counters);
    assert_int_equal(counters.reopened, 1);
    assert_string_equal(scan("a", "z", 10, 100), "a=1 b=2 c=3 ");
    reopen_disk();
    assert_string_equal(scan("a", "z", 10, 100), "a=1 b=2 c=3 ");
}

static void rows_that_cannot_be_opened_anew_are_tried_again_later(void **state) {
    (void)state;
    char current[256];
    char away[256];
    open_disk();
    put("a", "1", true);
    snprintf(current, sizeof current, "%s/rows/CURRENT", directory);
    snprintf(away, sizeof away, "%s/rows/AWAY", directory);
    assert_int_equal(rename(current, away), 0);
    disk_leveldb_fail(disk, ERR_NO_SPACE, true, "as if the disk had been full");
    assert_int_equal(put("b", "2", false), ERR_NO_SPACE);
    assert_int_equal(rename(away, current), 0);
    /* Not at once; and never made up: nothing is read that is not there. */
    assert_int_equal(put("b", "2", false), ERR_NO_SPACE);
    disk->reopen_ns = 0;
    assert_int_equal(put("b", "2", false), 0);
    assert_string_equal(scan("a", "z", 10, 100), "a=1 b=2 ");
}

static void a_torn_end_of_the_log_loses_only_the_last_record(void **state) {
    (void)state;
    open_disk();
    put("a", "1", true);
    put("b", "2", true);
    close_disk();
    const char *log = rows_file(directory, ".log", NULL);
    struct stat st;
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(truncate(log, st.st_size - 3), 0);
    open_disk();
    assert_string_equal(scan("a", "z", 10, 100), "a=1 ");
}

/* Opening again moves the rows from the log into a table. */
static void fill_table(void) {
    open_disk();
    char key[8];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%03d", i);
        put(key, "a value that fills the blocks of the table so that it has several", false);
    }
    reopen_disk();
    close_disk();
}

static void a_damaged_table_answers_corrupt_to_reads_and_scans(void **state) {
    (void)state;
    fill_table();
    damage(rows_file(directory, ".ldb", NULL), 1000);
    open_disk();
    get("k005");
    assert_int_equal(last_status, ERR_CORRUPT);
    assert_string_equal(scan("k000", "k999", 4000, 1 << 20), "");
    assert_int_equal(last_status, ERR_CORRUPT);
    assert_int_equal(counters().corrupt, 2);
    get("k450");
    assert_int_equal(last_status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void) {
    umask(077);
    const struct CMUnitTest tests[] = {
        TEST(a_committed_row_is_read_back),
        TEST(a_row_put_with_an_empty_value_is_gone),
        TEST(a_scan_returns_its_range_in_order),
        TEST(a_scan_that_stops_at_a_bound_says_there_is_more),
        TEST(commits_are_applied_in_the_order_asked),
        TEST(the_committer_alone_gives_the_same_rows),
        TEST(a_callback_may_ask_again_and_is_answered_later),
        TEST(a_full_queue_answers_busy_and_loses_nothing),
        TEST(below_the_reserve_commits_are_refused_and_reads_go_on),
        TEST(below_the_reserve_urgent_commits_are_taken),
        TEST(what_is_asked_after_a_refused_commit_is_refused_until_that_is_told),
        TEST(what_was_asked_before_a_lost_commit_was_told_is_lost_too),
        TEST(rows_are_not_opened_anew_while_an_answer_is_out),
        TEST(rows_survive_a_reopening),
        TEST(work_queued_at_close_is_answered),
        TEST(a_lost_current_is_refused_not_recreated),
        TEST(lost_rows_are_refused_not_recreated),
        TEST(damage_in_the_middle_of_the_log_is_refused_with_a_sentence),
        TEST(a_failed_write_is_the_last_one_and_the_rows_stay_readable),
        TEST(after_no_space_the_rows_are_opened_anew_in_place),
        TEST(rows_that_cannot_be_opened_anew_are_tried_again_later),
        TEST(a_torn_end_of_the_log_loses_only_the_last_record),
        TEST(a_damaged_table_answers_corrupt_to_reads_and_scans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
