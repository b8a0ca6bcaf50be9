/* disk_segments: large values survive beside LevelDB, and what they leave behind is cleared. */
#include "tests/unit/node/disk_rows.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/disk_leveldb_inside.h"

enum { VERSIONS_ALIKE = 64 };

static void erase(uint32_t key) {
    assert_int_equal(put_bytes(key, bytes_of(NULL, 0), false), 0);
}

static uint32_t n_scanned, n_unreadable;
static bool scanned_more, sums_only;
static uint64_t sums[KEYS];

static void scan_done(struct disk_scan *scan, int status, const struct disk_row *rows,
                      uint32_t n_rows, bool more) {
    static uint8_t expected[4 << 20];
    (void)scan;
    n_done++;
    last_status = status;
    scanned_more = more;
    for (uint32_t i = 0; i < n_rows; i++, n_scanned++) {
        uint32_t key = (uint32_t)strtoul((const char *)rows[i].key.data + 3, NULL, 10);
        struct bytes value = rows[i].value;
        sums[key] = rows[i].sum;
        if (sums_only) {
            assert_int_equal(value.size, 0);
            continue;
        }
        if (value.size == 1) {
            n_unreadable++;
            continue;
        }
        uint32_t version = bytes_load_u32(value.data);
        assert_true(bytes_equal(value_of(key, version, value.size, expected), value));
        assert_true(rows[i].sum == disk_sum(rows[i].key, value));
    }
}

static void scan(uint32_t rows_max, uint32_t bytes_max) {
    struct disk_scan ask = {.first = bytes_of_string("key"),
                            .before = bytes_of_string("kez"),
                            .rows_max = rows_max,
                            .bytes_max = bytes_max,
                            .sums_only = sums_only,
                            .done = scan_done};
    n_done = 0;
    n_scanned = n_unreadable = 0;
    seam->scan(seam->self, &ask);
    drain_until(&n_done, 1);
}

/* ---- files ---- */

/* The path of the n-th segment in order of name; false when there are fewer. */
static bool segment_path(int n, char path[512]) {
    char folder[128];
    struct dirent **names;
    snprintf(folder, sizeof folder, "%s/segments", directory);
    int count = scandir(folder, &names, NULL, alphasort);
    assert_true(count >= 2);
    bool found = n + 2 < count;
    if (found) {
        snprintf(path, 512, "%s/%s", folder, names[n + 2]->d_name);
    }
    for (int i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
    return found;
}

static uint64_t n_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)path, (void)ftw;
    n_bytes += type == FTW_F ? (uint64_t)st->st_size : 0;
    return 0;
}

static uint64_t segments_size(void) {
    char folder[128];
    snprintf(folder, sizeof folder, "%s/segments", directory);
    n_bytes = 0;
    nftw(folder, add_size, 8, FTW_PHYS); /* a file that goes meanwhile is none */
    return n_bytes;
}

static void damage(const char *path, off_t offset) {
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "damage!!", 8, offset), 8);
    close(fd);
}

static uint64_t size_most;

static bool cleared(void) {
    return segments_size() < size_most;
}

/* ---- values ---- */

static void large_values_are_read_and_scanned_as_they_were_put(void **state) {
    (void)state;
    open_disk();
    put(6, 1, SEGMENT_LARGE_BUFFERED_SIZE - 1, false);
    put(7, 1, SEGMENT_LARGE_BUFFERED_SIZE, false);
    put(1, 1, LARGE, false);
    put(2, 1, 100, false);
    put(3, 1, 3 << 20, true);
    put(4, 1, SEGMENT_LARGE_SIZE - 1, true);
    put(5, 1, SEGMENT_LARGE_SIZE, true);
    put(8, 1, SEGMENT_LARGE_SIZE - 1, false); /* a sync was waited for: the next may be soon */
    assert_int_equal(counters().values_segmented, 4);
    for (int round = 0; round < 2; round++) {
        for (uint32_t key = 1; key <= 8; key++) {
            assert_int_equal(version_of(key), 1);
        }
        scan(100, 64 << 20);
        assert_int_equal(n_scanned, 8);
        reopen_disk();
    }
}

static void a_scan_counts_the_bytes_of_large_values(void **state) {
    (void)state;
    open_disk();
    put(1, 1, LARGE, false);
    put(2, 1, LARGE, false);
    put(3, 1, LARGE, false);
    scan(100, 2 * LARGE);
    assert_int_equal(n_scanned, 2);
    assert_true(scanned_more);
    scan(100, 1);
    assert_int_equal(n_scanned, 1);
}

static void sums_are_those_of_the_values_and_end_the_page_at_the_same_row(void **state) {
    (void)state;
    uint64_t expected[KEYS];
    open_disk();
    for (uint32_t key = 0; key < 6; key++) {
        put(key, 1, key % 2 != 0 ? LARGE : 60, key == 3);
    }
    scan(100, 2 * LARGE + 200);
    uint32_t n = n_scanned;
    bool more = scanned_more;
    memcpy(expected, sums, sizeof sums);
    memset(sums, 0, sizeof sums);
    sums_only = true;
    scan(100, 2 * LARGE + 200);
    sums_only = false;
    assert_int_equal(n_scanned, n);
    assert_int_equal(scanned_more, more);
    assert_true(n > 2 && n < 6 && more);
    for (uint32_t key = 0; key < n; key++) {
        assert_true(sums[key] == expected[key] && sums[key] != 0);
    }
}

static void a_row_may_change_between_small_and_large(void **state) {
    (void)state;
    open_disk();
    static const size_t sizes[] = {100, LARGE, 200, LARGE, LARGE, 50};
    for (uint32_t i = 0; i < 6; i++) {
        put(7, i + 1, sizes[i], i % 2);
        assert_int_equal(version_of(7), i + 1);
        reopen_disk();
        assert_int_equal(version_of(7), i + 1);
    }
    put(7, 9, LARGE, false);
    erase(7);
    assert_int_equal(version_of(7), 0);
    reopen_disk();
    assert_int_equal(version_of(7), 0);
}

static bool counted(void) {
    return counters().segment_bytes_live == 2 * segment_record_size(8, LARGE);
}

/* One group, in which rows change more than once: what is live is told by the last. */
static void the_last_put_of_a_group_is_what_is_live(void **state) {
    (void)state;
    open_disk();
    static uint8_t values[6][LARGE];
    static const uint32_t keys[6] = {1, 2, 1, 3, 3, 1};
    static const size_t sizes[6] = {LARGE, LARGE, 100, LARGE, 0, LARGE};
    char texts[6][16];
    struct disk_put puts[6];
    for (uint32_t i = 0; i < 6; i++) {
        puts[i] = (struct disk_put){.key = key_of(keys[i], texts[i]), .value = bytes_of(NULL, 0)};
        if (sizes[i]) {
            puts[i].value = value_of(keys[i], i + 1, sizes[i], values[i]);
        }
    }
    for (int round = 0; round < 2; round++) {
        struct disk_commit commit = {.puts = puts, .n = 6, .done = commit_done};
        n_done = 0;
        seam->commit(seam->self, &commit);
        drain_until(&n_done, 1);
        assert_true(counted());
    }
    assert_int_equal(version_of(1), 6);
    assert_int_equal(version_of(2), 2);
    assert_int_equal(version_of(3), 0);
    reopen_disk();
    wait_until(counted); /* the start counts the same */
}

static void rows_opened_anew_after_a_full_disk_are_counted_anew(void **state) {
    (void)state;
    open_disk();
    put(1, 1, LARGE, false);
    put(3, 1, LARGE, true);
    disk_leveldb_fail(disk, ERR_NO_SPACE, true, "as if the disk had been full");
    put(2, 1, LARGE, false);
    assert_int_equal(put_bytes(3, bytes_of(NULL, 0), false), 0);
    assert_int_equal(counters().reopened, 1);
    wait_until(counted);
    assert_int_equal(version_of(1), 1);
}

/* ---- deltas ---- */

static void a_large_value_that_changes_a_little_is_written_as_a_delta(void **state) {
    (void)state;
    versions_alike = VERSIONS_ALIKE;
    open_disk();
    put(1, 1, 3 * LARGE, false);
    put(1, 2, 3 * LARGE, true);
    put(1, 3, 3 * LARGE + 900, false); /* grown at its end */
    put(1, 4, 3 * LARGE - 900, false);
    assert_int_equal(counters().values_segmented, 1);
    assert_int_equal(counters().values_as_deltas, 3);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(version_of(1), 4);
        scan(100, 64 << 20);
        assert_int_equal(n_scanned, 1);
        assert_int_equal(n_unreadable, 0);
        uint64_t sum = sums[1];
        sums_only = true;
        scan(100, 64 << 20);
        sums_only = false;
        assert_true(sums[1] == sum);
        reopen_disk();
    }
    put(1, VERSIONS_ALIKE, 3 * LARGE, false);
    put(1, VERSIONS_ALIKE + 1, 100, false);
    assert_int_equal(counters().values_segmented, 1);
    assert_int_equal(version_of(1), VERSIONS_ALIKE + 1);
}

static void a_delta_that_has_grown_too_large_gives_way_to_the_whole_value(void **state) {
    (void)state;
    static uint8_t value[64 << 10];
    open_disk();
    memcpy(value, value_of(1, 1, sizeof value, room).data, sizeof value);
    uint32_t n = 0;
    for (size_t at = 0; at < sizeof value; at += 4096, n++) {
        memset(value + at, 7, 4096);
        assert_int_equal(put_bytes(1, bytes_of(value, sizeof value), n % 2), 0);
        assert_int_equal(get(1), 0);
        assert_true(bytes_equal(last_value, bytes_of(value, sizeof value)));
    }
    assert_in_range(counters().values_segmented, 2, n / 3 + 1);
    assert_int_equal(counters().values_segmented + counters().values_as_deltas, n);
}

static void a_base_is_moved_and_its_delta_stays_right(void **state) {
    (void)state;
    versions_alike = VERSIONS_ALIKE;
    open_disk();
    for (uint32_t key = 0; key < KEYS; key++) {
        put(key, 1, LARGE, false);
        put(key, 2, LARGE, false);
    }
    for (uint32_t key = 0; key < KEYS; key++) {
        if (key % 2) {
            erase(key);
        }
    }
    assert_int_equal(counters().values_as_deltas, KEYS);
    size_most = (uint64_t)KEYS / 2 * LARGE * 3 / 2;
    wait_until(cleared);
    assert_true(counters().segment_bytes_moved > 0);
    for (int round = 0; round < 2; round++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            assert_int_equal(version_of(key), key % 2 ? 0 : 2);
        }
        reopen_disk();
    }
}

/* Of all keys but the first, which a delta of another key is based on, the records go. */
static void a_segment_stays_while_another_keys_delta_needs_it(void **state) {
    (void)state;
    char path[512];
    versions_alike = VERSIONS_ALIKE;
    keys_alike = KEYS;
    open_disk();
    put(0, 1, LARGE, true);
    put_like(KEYS, 0, 2, LARGE, true);
    assert_int_equal(counters().values_as_deltas, 1);
    assert_true(segment_path(0, path));
    for (int round = 0; round < 2; round++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            put(key, (uint32_t)(round + 1) * VERSIONS_ALIKE, LARGE, false);
        }
        for (uint32_t key = 0; key < KEYS; key++) {
            erase(key);
        }
        size_most = 4 << 20;
        wait_until(cleared);
        assert_int_equal(version_of(KEYS), 2);
        reopen_disk();
        assert_int_equal(version_of(KEYS), 2);
    }
    assert_int_equal(access(path, F_OK), 0);
    erase(KEYS);
    for (uint32_t i = 0; access(path, F_OK) == 0; i++) {
        assert_true(i < 100000);
        put(1 + i % 49, i * VERSIONS_ALIKE, LARGE, false);
    }
}

/* ---- damage ---- */

static void a_damaged_base_is_corrupt_until_the_value_is_put_again(void **state) {
    (void)state;
    char path[512];
    versions_alike = VERSIONS_ALIKE;
    open_disk();
    put(1, 1, LARGE, true);
    put(1, 2, LARGE, true);
    assert_true(segment_path(0, path));
    damage(path, SEGMENT_HEADER_SIZE + 5000);
    assert_int_equal(get(1), ERR_CORRUPT);
    scan(100, 1 << 20);
    assert_int_equal(n_unreadable, 1);
    put(1, 2, LARGE, false); /* another replica's copy */
    assert_int_equal(counters().values_as_deltas, 1);
    assert_int_equal(version_of(1), 2);
}

static void a_damaged_value_is_corrupt_and_its_neighbours_are_not(void **state) {
    (void)state;
    char path[512];
    open_disk();
    put(1, 1, LARGE, false);
    put(2, 1, LARGE, false);
    put(3, 1, LARGE, true);
    assert_true(segment_path(0, path));
    damage(path, SEGMENT_HEADER_SIZE + (off_t)segment_record_size(8, LARGE) + 5000);
    assert_int_equal(version_of(1), 1);
    assert_int_equal(get(2), ERR_CORRUPT);
    assert_int_equal(last_value.size, 0);
    assert_int_equal(version_of(3), 1);
    scan(100, 1 << 20);
    assert_int_equal(last_status, 0);
    assert_int_equal(n_scanned, 3);
    assert_int_equal(n_unreadable, 1);
    assert_int_equal(counters().corrupt, 2);
    put(2, 2, LARGE, false); /* another replica's copy */
    assert_int_equal(version_of(2), 2);
}

static char notice[DISK_WHY_MAX];

static bool noticed(void) {
    return disk_leveldb_notice(disk, notice);
}

static void a_lost_segment_is_said_and_its_rows_are_corrupt(void **state) {
    (void)state;
    char path[512];
    open_disk();
    put(1, 1, LARGE, true);
    reopen_disk(); /* the next value goes to another segment */
    put(2, 1, LARGE, true);
    put(3, 1, 100, true);
    close_disk();
    assert_true(segment_path(0, path));
    assert_int_equal(unlink(path), 0);
    open_disk();
    assert_int_equal(get(1), ERR_CORRUPT);
    assert_int_equal(version_of(2), 1);
    assert_int_equal(version_of(3), 1);
    wait_until(noticed);
    assert_non_null(strstr(notice, "1 rows point to what is not there"));
    assert_non_null(strstr(notice, directory));
    assert_false(noticed());
    put(1, 2, LARGE, false);
    assert_int_equal(version_of(1), 2);
}

/* A power cut may take what was not synced; what was, it may not. */
static void a_cut_segment_loses_only_what_was_cut(void **state) {
    (void)state;
    char path[512];
    struct stat st;
    open_disk();
    put(1, 1, LARGE, true);
    assert_true(segment_path(0, path));
    assert_int_equal(stat(path, &st), 0);
    put(2, 1, LARGE, false);
    put(3, 1, 100, false);
    close_disk();
    for (off_t left = LARGE; left >= 0; left -= LARGE / 4) {
        assert_int_equal(truncate(path, st.st_size + left), 0);
        open_disk();
        assert_int_equal(version_of(1), 1);
        assert_int_equal(get(2), ERR_CORRUPT);
        assert_int_equal(version_of(3), 1);
        close_disk();
    }
    open_disk();
    put(2, 2, LARGE, true);
    reopen_disk();
    assert_int_equal(version_of(2), 2);
    assert_int_equal(version_of(1), 1);
}

/* ---- clearing ---- */

static void tenfold_overwriting_stays_below_twice_the_data(void **state) {
    (void)state;
    open_disk();
    uint64_t data = (uint64_t)KEYS * LARGE;
    for (uint32_t round = 1; round <= 10; round++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            put(key * 37 % KEYS, round, LARGE, false);
        }
    }
    size_most = 2 * data;
    wait_until(cleared);
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(version_of(key), 10);
    }
    assert_true(counters().segment_bytes_live >= data);
    reopen_disk();
    wait_until(cleared);
    assert_int_equal(version_of(5), 10);
}

static void what_is_deleted_gives_its_room_back(void **state) {
    (void)state;
    open_disk();
    for (uint32_t key = 0; key < KEYS; key++) {
        put(key, 1, LARGE, false);
    }
    for (uint32_t key = 0; key < KEYS; key++) {
        if (key % 16) {
            erase(key);
        }
    }
    size_most = (uint64_t)KEYS / 16 * LARGE * 2;
    wait_until(cleared);
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(version_of(key), key % 16 ? 0 : 1);
    }
}

static bool clearing_begun(void) {
    return counters().segment_bytes_moved > 0;
}

static void a_nearly_full_disk_is_cleared_of_less(void **state) {
    (void)state;
    uint64_t free_bytes, total_bytes;
    open_disk();
    for (uint32_t key = 0; key < KEYS; key++) {
        put(key, 1, LARGE, false);
    }
    for (uint32_t key = 0; key < KEYS; key += 8) {
        erase(key);
    }
    seam->space(seam->self, &free_bytes, &total_bytes);
    close_disk();
    open_disk();
    put(KEYS, 1, LARGE, false);
    assert_false(clearing_begun());
    close_disk();
    open_disk_with(free_bytes / 3 * 2);
    wait_until(clearing_begun);
    assert_int_equal(version_of(1), 1);
}

/* Rows change while they are being moved: none goes back, none is lost, also not at reopening in
 * the middle of it. */
static void clearing_loses_to_every_write_that_comes_between(void **state) {
    (void)state;
    static uint32_t versions[KEYS];
    versions_alike = VERSIONS_ALIKE;
    memset(versions, 0, sizeof versions);
    dice_state = 7;
    for (uint32_t round = 0; round < 3; round++) {
        open_disk();
        for (uint32_t i = 1; i <= 1000; i++) {
            uint32_t key = dice(2) ? dice(KEYS) : dice(KEYS / 8);
            uint32_t version = round * 10000 + i;
            if (dice(10) == 0) {
                erase(key);
                version = 0;
            } else {
                put(key, version, random_size(), dice(50) == 0);
            }
            versions[key] = version;
            key = dice(KEYS);
            assert_int_equal(version_of(key), versions[key]);
        }
        assert_true(counters().segment_bytes_moved > 0);
        close_disk();
    }
    open_disk();
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(version_of(key), versions[key]);
    }
}

static void a_damaged_record_keeps_its_segment_until_it_is_replaced(void **state) {
    (void)state;
    char path[512];
    open_disk();
    for (uint32_t key = 0; key < 50; key++) {
        put(key, 1, LARGE, true);
    }
    close_disk();
    assert_true(segment_path(0, path));
    damage(path, SEGMENT_HEADER_SIZE + 1000);
    open_disk();
    for (uint32_t i = 0; i < 6 * 50; i++) {
        put(1 + i % 49, 2 + i, LARGE, false);
    }
    size_most = 3u << 20;
    wait_until(cleared);
    assert_int_equal(get(0), ERR_CORRUPT);
    assert_int_equal(access(path, F_OK), 0);
    put(0, 2, LARGE, false);
    for (uint32_t i = 0; access(path, F_OK) == 0; i++) {
        assert_true(i < 100000);
        put(1 + i % 49, i, LARGE, false);
    }
    assert_int_equal(version_of(0), 2);
}

/* ---- crashes ---- */

struct acknowledged {
    uint32_t key, version;
};

/* Another process writes, tells what was acknowledged, and is killed: this one knows what must be
 * there. */
_Noreturn static void write_forever(uint32_t seed, int to) {
    dice_state = seed;
    versions_alike = VERSIONS_ALIKE;
    open_disk();
    for (uint32_t version = seed * 100000 + 1;; version++) {
        struct acknowledged a = {dice(KEYS / 4), version};
        put(a.key, version, random_size(), dice(20) == 0);
        if (write(to, &a, sizeof a) != sizeof a) {
            _exit(1);
        }
    }
}

static void run_and_kill(uint32_t seed, uint32_t n_acknowledged, uint32_t versions[KEYS]) {
    int ends[2];
    struct acknowledged a;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char number[16], end[16];
        snprintf(number, sizeof number, "%u", seed);
        snprintf(end, sizeof end, "%d", ends[1]);
        execl("/proc/self/exe", "writer", directory, number, end, (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    for (uint32_t i = 0; read(ends[0], &a, sizeof a) == sizeof a; i++) {
        versions[a.key] = a.version;
        if (i == n_acknowledged) {
            kill(child, SIGKILL);
        }
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_killed_process_loses_nothing_acknowledged(void **state) {
    (void)state;
    static uint32_t versions[KEYS];
    versions_alike = VERSIONS_ALIKE;
    memset(versions, 0, sizeof versions);
    for (uint32_t round = 1; round <= 12; round++) {
        run_and_kill(round, 50 + round * 61 % 400, versions);
        open_disk();
        for (uint32_t key = 0; key < KEYS / 4; key++) {
            /* One more may have been written than was heard of. */
            uint32_t version = version_of(key);
            assert_true(version >= versions[key]);
            versions[key] = version;
        }
        close_disk();
    }
    char path[512];
    assert_true(segment_path(0, path));
    assert_null(strstr(path, "0000000001.segment")); /* some were killed while they cleared */
}

static int make_disk(void **state) {
    versions_alike = 1;
    keys_alike = UINT32_MAX;
    return make_directory(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_disk, remove_directory)

int main(int argc, char **argv) {
    umask(077);
    if (argc == 4) { /* run_and_kill()'s other process */
        snprintf(directory, sizeof directory, "%s", argv[1]);
        write_forever((uint32_t)atoi(argv[2]), atoi(argv[3]));
    }
    const struct CMUnitTest tests[] = {
        TEST(a_killed_process_loses_nothing_acknowledged),
        TEST(large_values_are_read_and_scanned_as_they_were_put),
        TEST(a_scan_counts_the_bytes_of_large_values),
        TEST(sums_are_those_of_the_values_and_end_the_page_at_the_same_row),
        TEST(a_row_may_change_between_small_and_large),
        TEST(the_last_put_of_a_group_is_what_is_live),
        TEST(rows_opened_anew_after_a_full_disk_are_counted_anew),
        TEST(a_large_value_that_changes_a_little_is_written_as_a_delta),
        TEST(a_delta_that_has_grown_too_large_gives_way_to_the_whole_value),
        TEST(a_base_is_moved_and_its_delta_stays_right),
        TEST(a_segment_stays_while_another_keys_delta_needs_it),
        TEST(a_damaged_base_is_corrupt_until_the_value_is_put_again),
        TEST(a_damaged_value_is_corrupt_and_its_neighbours_are_not),
        TEST(a_lost_segment_is_said_and_its_rows_are_corrupt),
        TEST(a_cut_segment_loses_only_what_was_cut),
        TEST(tenfold_overwriting_stays_below_twice_the_data),
        TEST(what_is_deleted_gives_its_room_back),
        TEST(a_nearly_full_disk_is_cleared_of_less),
        TEST(clearing_loses_to_every_write_that_comes_between),
        TEST(a_damaged_record_keeps_its_segment_until_it_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
