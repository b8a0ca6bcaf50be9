/* disk_mem: what it answers, what it forgets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/disk_mem.h"

struct seen {
    int status;
    uint32_t n;
    bool more;
    uint32_t answers;
    uint8_t first;
};

static void commit_done(struct disk_commit *commit, int status) {
    struct seen *seen = commit->context;
    seen->status = status;
    seen->answers++;
}

static void read_done(struct disk_read *read, int status, struct bytes value) {
    struct seen *seen = read->context;
    seen->status = status;
    seen->n = (uint32_t)value.size;
    seen->first = value.size > 0 ? value.data[0] : 0;
    seen->answers++;
}

static void scan_done(struct disk_scan *scan, int status, const struct disk_row *rows,
                      uint32_t n_rows, bool more) {
    struct seen *seen = scan->context;
    *seen = (struct seen){status, n_rows, more, seen->answers + 1,
                          n_rows > 0 ? rows[0].key.data[0] : 0};
}

static void ask_put(struct disk_mem *mem, struct disk_commit *commit, struct disk_put *put,
                    struct seen *seen) {
    *commit = (struct disk_commit){
        .puts = put, .n = 1, .synced = commit->synced, .done = commit_done, .context = seen};
    disk_mem_disk(mem)->commit(mem, commit);
}

static void put_now(struct disk_mem *mem, const char *key, const char *value, bool synced) {
    struct seen seen = {0};
    struct disk_put put = {.key = bytes_of_string(key), .value = bytes_of_string(value)};
    struct disk_commit commit = {.synced = synced};
    ask_put(mem, &commit, &put, &seen);
    disk_mem_run(mem);
}

static void a_read_sees_a_commit_that_was_answered(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    struct seen seen = {0};
    struct disk_put put = {.key = bytes_of_string("k"), .value = bytes_of_string("v")};
    struct disk_commit commit = {0};
    ask_put(mem, &commit, &put, &seen);
    assert_int_equal(seen.answers, 0);
    assert_int_equal(disk_mem_size(mem), 0);
    assert_true(disk_mem_step(mem));
    struct disk_read read = {.key = bytes_of_string("k"), .done = read_done, .context = &seen};
    disk_mem_disk(mem)->read(mem, &read);
    disk_mem_run(mem);
    assert_int_equal(seen.answers, 2);
    assert_int_equal(seen.first, 'v');
    disk_mem_free(mem);
}

static void a_scan_is_in_key_order_and_says_when_there_is_more(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    put_now(mem, "c", "3", false);
    put_now(mem, "a", "1", false);
    put_now(mem, "b", "2", false);
    struct seen seen = {0};
    struct disk_scan scan = {.first = bytes_of_string("a"),
                             .before = bytes_of_string("c"),
                             .rows_max = 1,
                             .bytes_max = 100,
                             .done = scan_done,
                             .context = &seen};
    disk_mem_disk(mem)->scan(mem, &scan);
    disk_mem_run(mem);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.first, 'a');
    assert_true(seen.more);
    scan.rows_max = 10;
    disk_mem_disk(mem)->scan(mem, &scan);
    disk_mem_run(mem);
    assert_int_equal(seen.n, 2);
    assert_false(seen.more);
    disk_mem_free(mem);
}

static void a_process_crash_forgets_only_what_was_not_answered(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    put_now(mem, "kept", "1", false);
    struct seen seen = {0};
    struct disk_put puts[2] = {{.key = bytes_of_string("second"), .value = bytes_of_string("2")},
                               {.key = bytes_of_string("third"), .value = bytes_of_string("3")}};
    struct disk_commit commits[2] = {{0}, {0}};
    ask_put(mem, &commits[0], &puts[0], &seen);
    ask_put(mem, &commits[1], &puts[1], &seen);
    assert_int_equal(disk_mem_queued(mem), 2);
    disk_mem_crash(mem, &(struct disk_mem_loss){.queued_kept = 1});
    assert_int_equal(seen.answers, 0);
    assert_int_equal(disk_mem_get(mem, bytes_of_string("kept")).size, 1);
    assert_int_equal(disk_mem_get(mem, bytes_of_string("second")).size, 1);
    assert_int_equal(disk_mem_get(mem, bytes_of_string("third")).size, 0);
    disk_mem_free(mem);
}

static void a_machine_crash_takes_back_what_was_not_synced(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    put_now(mem, "a", "old", false);
    put_now(mem, "b", "x", true);
    put_now(mem, "a", "new", false);
    put_now(mem, "b", "", false);
    assert_int_equal(disk_mem_unsynced(mem), 2);
    disk_mem_crash(mem, &(struct disk_mem_loss){.machine = true, .unsynced_kept = 1});
    assert_int_equal(disk_mem_get(mem, bytes_of_string("a")).data[0], 'n');
    assert_int_equal(disk_mem_get(mem, bytes_of_string("b")).size, 1);
    disk_mem_free(mem);
}

static void a_failing_commit_changes_nothing(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    disk_mem_fail(mem, DISK_MEM_COMMIT, ERR_NO_SPACE, 1);
    struct seen seen = {0};
    struct disk_put put = {.key = bytes_of_string("k"), .value = bytes_of_string("v")};
    struct disk_commit commit = {0};
    ask_put(mem, &commit, &put, &seen);
    disk_mem_run(mem);
    assert_int_equal(seen.status, ERR_NO_SPACE);
    assert_int_equal(disk_mem_size(mem), 0);
    disk_mem_free(mem);
}

static void a_disk_that_fails_for_good_takes_along_what_is_queued_and_built_on_it(void **state) {
    (void)state;
    struct disk_mem *mem = disk_mem_new();
    struct seen seen[3] = {{0}};
    struct disk_put put = {.key = bytes_of_string("k"), .value = bytes_of_string("v")};
    struct disk_commit commits[3] = {{0}};
    ask_put(mem, &commits[0], &put, &seen[0]);
    disk_mem_fail(mem, DISK_MEM_COMMIT, ERR_DISK, DISK_MEM_ALWAYS);
    ask_put(mem, &commits[1], &put, &seen[1]);
    disk_mem_fail(mem, DISK_MEM_READ, ERR_DISK, DISK_MEM_ALWAYS);
    disk_mem_fail(mem, 0, 0, 0);
    ask_put(mem, &commits[2], &put, &seen[2]);
    disk_mem_run(mem);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(seen[i].status, ERR_DISK);
    }
    put_now(mem, "k", "v", false);
    assert_int_equal(disk_mem_size(mem), 1);
    disk_mem_wipe(mem);
    assert_int_equal(disk_mem_size(mem), 0);
    disk_mem_free(mem);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_sees_a_commit_that_was_answered),
        cmocka_unit_test(a_scan_is_in_key_order_and_says_when_there_is_more),
        cmocka_unit_test(a_process_crash_forgets_only_what_was_not_answered),
        cmocka_unit_test(a_machine_crash_takes_back_what_was_not_synced),
        cmocka_unit_test(a_failing_commit_changes_nothing),
        cmocka_unit_test(a_disk_that_fails_for_good_takes_along_what_is_queued_and_built_on_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
