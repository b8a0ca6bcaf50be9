/* disk_power: a power cut at any moment takes nothing that was synced, also while segments move. */
#include "tests/unit/node/disk_rows.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

/* This program has its own fdatasync() and fsync(), which LevelDB and the segments come to as well:
 * they know how much of each file is durable, and now and then they copy the directory as a power
 * cut at this moment would leave it. The disk's writer stands still meanwhile, because it is the
 * writer who syncs. Of what is not durable a cut takes the worst choice of three. */
enum {
    ROWS = 48,
    ROWS_LIKE_NONE = 36, /* those behind are written as like the first of these */
    VERSIONS_ALIKE = 64,
    WRITES = 700,
    CUTS_MAX = 60,
    FILES_MAX = 4096,
    CUT_ONE_IN = 4,
    PAGE = 4096,
};

enum cut {
    CUT_VALUES, /* the log kept what the segments lost: pointers to nothing */
    CUT_LOG,    /* the segments kept what the log lost: old pointers come back */
    CUT_BOTH,
};

struct durable {
    ino_t file;
    off_t size;
    off_t end;  /* of what is not zeros */
    bool named; /* its folder was synced */
};

struct snapshot {
    char directory[64];
    enum cut cut;
    uint32_t durable[ROWS], written[ROWS];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct durable files[FILES_MAX];
static uint32_t n_files;
static struct snapshot snapshots[CUTS_MAX];
static uint32_t n_snapshots;
static uint32_t n_syncs;
static bool armed;
static uint32_t durable[ROWS], written[ROWS];

static struct durable *durable_of(ino_t file) {
    for (uint32_t i = 0; i < n_files; i++) {
        if (files[i].file == file) {
            return &files[i];
        }
    }
    assert_true(n_files < FILES_MAX);
    files[n_files] = (struct durable){.file = file};
    return &files[n_files++];
}

/* ---- the cut ---- */

static void copy_file(const char *from, const char *to, off_t size) {
    static char bytes[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    while (size > 0) {
        size_t want = size < (off_t)sizeof bytes ? (size_t)size : sizeof bytes;
        ssize_t n = read(in, bytes, want);
        if (n <= 0) {
            break;
        }
        assert_int_equal(write(out, bytes, (size_t)n), n);
        size -= n;
    }
    close(in);
    close(out);
}

/* Of a log that is as long as at the last sync, pages written since are lost: all, or some of them.
 */
static void lose_pages(const char *path, const struct durable *known, bool some) {
    static const char zeros[PAGE];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = known->end, next; at < known->size; at = next) {
        next = at - at % PAGE + PAGE;
        next = next < known->size ? next : known->size;
        if (!some || at / PAGE % 3 != 2) {
            assert_int_equal(pwrite(fd, zeros, (size_t)(next - at), at), next - at);
        }
    }
    close(fd);
}

static void copy_cut(const char *from, const char *to, const char *name, enum cut cut) {
    struct stat st;
    char source[512], target[512];
    snprintf(source, sizeof source, "%s/%s", from, name);
    snprintf(target, sizeof target, "%s/%s", to, name);
    assert_int_equal(stat(source, &st), 0);
    const struct durable *known = durable_of(st.st_ino);
    bool value = strstr(name, ".segment") && cut != CUT_LOG;
    bool log = strstr(name, ".log") && cut != CUT_VALUES;
    if (value && !known->named) {
        return;
    }
    off_t kept = value || log ? known->size : st.st_size;
    copy_file(source, target, kept < st.st_size ? kept : st.st_size);
    if (log) {
        lose_pages(target, known, n_snapshots % 2 != 0);
    }
}

static void copy_folder(const char *name, const struct snapshot *to) {
    char from_path[128], to_path[128];
    snprintf(from_path, sizeof from_path, "%s/%s", directory, name);
    snprintf(to_path, sizeof to_path, "%s/%s", to->directory, name);
    assert_int_equal(mkdir(to_path, 0700), 0);
    DIR *dir = opendir(from_path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "LOCK") != 0) {
            copy_cut(from_path, to_path, entry->d_name, to->cut);
        }
    }
    closedir(dir);
}

static void cut_power(void) {
    struct snapshot *s = &snapshots[n_snapshots];
    strcpy(s->directory, "/tmp/ringfs-cut-XXXXXX");
    assert_non_null(mkdtemp(s->directory));
    s->cut = (enum cut)(n_snapshots++ % 3);
    memcpy(s->durable, durable, sizeof durable);
    memcpy(s->written, written, sizeof written);
    copy_folder("rows", s);
    copy_folder("segments", s);
}

static void name_all(int folder) {
    DIR *dir = fdopendir(dup(folder));
    rewinddir(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        durable_of(entry->d_ino)->named = true;
    }
    closedir(dir);
}

static void before_sync(int fd, const struct stat *st) {
    char link[32], path[512] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    bool ours = S_ISREG(st->st_mode) && (strstr(path, ".segment") || strstr(path, ".log"));
    if (armed && ours && n_snapshots < CUTS_MAX && ++n_syncs % CUT_ONE_IN == 0) {
        cut_power();
    }
}

/* A log has zeros at its end. */
static off_t end_of(int fd, const struct stat *st) {
    char link[32], bytes[PAGE];
    off_t end = st->st_size;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int in = open(link, O_RDONLY | O_CLOEXEC);
    assert_true(in >= 0);
    for (off_t at = end; at == end && at > 0;) {
        size_t size = at < PAGE ? (size_t)at : PAGE;
        at -= (off_t)size;
        assert_int_equal(pread(in, bytes, size, at), size);
        for (size_t i = size; i > 0 && bytes[i - 1] == 0; i--) {
            end--;
        }
    }
    close(in);
    return end;
}

static int sync_counted(int fd, long call) {
    struct stat st;
    pthread_mutex_lock(&mutex);
    fstat(fd, &st);
    before_sync(fd, &st);
    int status = (int)syscall(call, fd);
    if (status == 0 && S_ISREG(st.st_mode)) {
        durable_of(st.st_ino)->size = st.st_size;
        durable_of(st.st_ino)->end = end_of(fd, &st);
    } else if (status == 0 && S_ISDIR(st.st_mode)) {
        name_all(fd);
    }
    pthread_mutex_unlock(&mutex);
    return status;
}

int fdatasync(int fd) {
    return sync_counted(fd, SYS_fdatasync);
}

int fsync(int fd) {
    return sync_counted(fd, SYS_fsync);
}

/* ---- the test ---- */

/* The disk's own thread syncs, too. */
static void arm(bool on) {
    pthread_mutex_lock(&mutex);
    armed = on;
    pthread_mutex_unlock(&mutex);
}

static void write_rows(void) {
    uint32_t acknowledged[ROWS] = {0};
    for (uint32_t version = 1; version <= WRITES; version++) {
        uint32_t key = dice(3) ? dice(ROWS / 4) : dice(ROWS);
        bool synced = dice(version % 100 < 50 ? 12 : 3) == 0;
        pthread_mutex_lock(&mutex);
        written[key] = version;
        pthread_mutex_unlock(&mutex);
        if (key < ROWS_LIKE_NONE) {
            put(key, version, random_size(), synced);
        } else {
            put_like(key, key % ROWS_LIKE_NONE, version, random_size(), synced);
        }
        acknowledged[key] = version;
        pthread_mutex_lock(&mutex);
        if (synced) {
            memcpy(durable, acknowledged, sizeof durable);
        }
        pthread_mutex_unlock(&mutex);
    }
}

static void check_rows(const struct snapshot *s) {
    for (uint32_t key = 0; key < ROWS; key++) {
        int status = get(key);
        if (status == ERR_CORRUPT && s->cut != CUT_LOG && s->written[key] > s->durable[key]) {
            continue; /* its newest pointer survived, its newest value did not */
        }
        assert_int_equal(status, 0);
        uint32_t version = version_of(key);
        assert_in_range(version, s->durable[key], s->written[key]);
    }
}

static void a_power_cut_takes_nothing_synced(void **state) {
    (void)state;
    char here[64];
    dice_state = 11;
    versions_alike = VERSIONS_ALIKE;
    keys_alike = ROWS_LIKE_NONE;
    open_disk();
    arm(true);
    write_rows();
    arm(false);
    assert_true(counters().segment_bytes_moved > 0);
    assert_true(counters().values_as_deltas > WRITES / 20);
    close_disk();
    assert_int_equal(n_snapshots, CUTS_MAX);
    strcpy(here, directory);
    for (uint32_t i = 0; i < n_snapshots; i++) {
        strcpy(directory, snapshots[i].directory);
        open_disk();
        check_rows(&snapshots[i]);
        assert_int_equal(remove_directory(NULL), 0);
    }
    strcpy(directory, here);
}

int main(void) {
    umask(077);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_power_cut_takes_nothing_synced, make_directory,
                                        remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
