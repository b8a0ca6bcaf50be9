/* disk_rows: a real disk in a directory of its own, with rows that tell which version they are. */
#ifndef RINGFS_TESTS_UNIT_NODE_DISK_ROWS_H
#define RINGFS_TESTS_UNIT_NODE_DISK_ROWS_H

/* For the tests of the disk's files; each includes it once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "node/disk_leveldb.h"
#include "node/segment_store.h"
#include "shared/err.h"
#include "tests/unit/node/disk_values.h"

#if defined(__SANITIZE_THREAD__) /* LevelDB is not instrumented: its own order cannot be seen */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libleveldb\n";
}
#endif

enum {
    SMALL_SEGMENT = 1 << 20,
    LARGE = 20 << 10,
    KEYS = 256,
    PATIENCE_S = 20,
};

static char directory[64];
static struct disk_leveldb *disk;
static const struct disk *seam;

/* ---- the fixture ---- */

static inline int make_directory(void **state) {
    (void)state;
    strcpy(directory, "/tmp/ringfs-segs-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void close_disk(void) {
    if (disk) {
        disk_leveldb_close(disk);
    }
    disk = NULL;
}

static inline int remove_directory(void **state) {
    (void)state;
    close_disk();
    return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void open_disk_with(uint64_t reserve_bytes) {
    char why[DISK_WHY_MAX];
    struct disk_leveldb_config config = {
        .directory = directory, .reserve_bytes = reserve_bytes, .segment_bytes = SMALL_SEGMENT};
    assert_int_equal(disk_leveldb_open(&config, &disk, why), 0);
    seam = disk_leveldb_seam(disk);
}

static inline void open_disk(void) {
    open_disk_with(1);
}

static inline void reopen_disk(void) {
    close_disk();
    open_disk();
}

static inline struct disk_leveldb_counters counters(void) {
    struct disk_leveldb_counters ret;
    disk_leveldb_counters(disk, &ret);
    return ret;
}

static inline void drain_until(const int *count, int n) {
    while (disk_leveldb_drain(disk)) {
    }
    while (*count < n) {
        struct pollfd wait = {disk_leveldb_event_fd(disk), POLLIN, 0};
        assert_int_equal(poll(&wait, 1, PATIENCE_S * 1000), 1);
        disk_leveldb_ready(disk);
        while (disk_leveldb_drain(disk)) {
        }
    }
}

static inline void wait_until(bool (*reached)(void)) {
    time_t late = time(NULL) + PATIENCE_S;
    while (!reached()) {
        assert_true(time(NULL) < late);
        poll(NULL, 0, 5);
    }
}

/* ---- rows whose value tells key and version ---- */

static uint8_t room[4 << 20];
static int n_done;
static int last_status;
static struct bytes last_value;

static inline void commit_done(struct disk_commit *commit, int status) {
    (void)commit;
    n_done++;
    last_status = status;
}

static inline int put_row(struct disk_put row, bool synced) {
    struct disk_commit commit = {.puts = &row, .n = 1, .synced = synced, .done = commit_done};
    n_done = 0;
    seam->commit(seam->self, &commit);
    drain_until(&n_done, 1);
    return last_status;
}

static inline int put_bytes(uint32_t key, struct bytes value, bool synced) {
    char text[16];
    return put_row((struct disk_put){.key = key_of(key, text), .value = value}, synced);
}

/* As the core writes a pending: much of it is what another key has. */
static inline void put_like(uint32_t key, uint32_t other, uint32_t version, size_t size,
                            bool synced) {
    char text[16], other_text[16];
    struct disk_put row = {.key = key_of(key, text),
                           .value = value_of(key, version, size, room),
                           .like = key_of(other, other_text)};
    assert_int_equal(put_row(row, synced), 0);
}

static inline void put(uint32_t key, uint32_t version, size_t size, bool synced) {
    assert_int_equal(put_bytes(key, value_of(key, version, size, room), synced), 0);
}

static inline void read_done(struct disk_read *read, int status, struct bytes value) {
    (void)read;
    n_done++;
    last_status = status;
    assert_true(value.size <= sizeof room);
    if (value.size) {
        memcpy(room, value.data, value.size);
    }
    last_value = bytes_of(room, value.size);
}

static inline int get(uint32_t key) {
    char text[16];
    struct disk_read read = {.key = key_of(key, text), .done = read_done};
    n_done = 0;
    seam->read(seam->self, &read);
    drain_until(&n_done, 1);
    return last_status;
}

/* The version that the key has; 0 when it is not there. */
static inline uint32_t version_of(uint32_t key) {
    static uint8_t expected[4 << 20];
    assert_int_equal(get(key), 0);
    if (last_value.size == 0) {
        return 0;
    }
    uint32_t version = bytes_load_u32(last_value.data);
    assert_int_equal(bytes_load_u32(last_value.data + 4), last_value.size);
    struct bytes value = value_of(key, version, last_value.size, expected);
    assert_true(bytes_equal(value, last_value));
    return version;
}

static uint32_t dice_state;

static inline uint32_t dice(uint32_t sides) {
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % sides;
}

static inline size_t random_size(void) {
    static const size_t sizes[] = {60, 400, 6 << 10, LARGE, 2 * LARGE, 5 * LARGE};
    return sizes[dice(6)];
}

#endif
