/* disk_leveldb: see the header. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node/disk_leveldb_inside.h"
#include "shared/err.h"

/* Measured with values of 300 B and 4 KiB (larger ones are in segments). Larger buffers save some
 * compaction of rows that are overwritten, and cost their size twice in memory, per node. */
enum {
    WRITE_BUFFER = 8 << 20,
    TABLE_SIZE = 8 << 20,
    BLOCK_CACHE = 16 << 20,
    BLOOM_BITS = 10,
    OPEN_TABLES = 1000,
    DRAIN_ROUNDS = 8, /* of done callbacks asking for more, before other events get their turn */
    ROWS_PATH_MAX = DISK_PATH_MAX + 64,
    BOOT_ID_MAX = 64,
};

#define APPEND(first, last, item)                                                                  \
    do {                                                                                           \
        (item)->next = NULL;                                                                       \
        if (first) {                                                                               \
            (last)->next = (item);                                                                 \
        } else {                                                                                   \
            (first) = (item);                                                                      \
        }                                                                                          \
        (last) = (item);                                                                           \
    } while (0)

int disk_leveldb_error(const char *text) {
    if (strstr(text, "No space left on device")) {
        return ERR_NO_SPACE;
    }
    return strncmp(text, "Corruption", 10) == 0 ? ERR_CORRUPT : ERR_DISK;
}

int disk_leveldb_fail(struct disk_leveldb *d, int status, bool rows, const char *text) {
    pthread_mutex_lock(&d->mutex);
    if (!d->failed) {
        /* A checksum error while writing comes from compaction: to the asker it is a failed disk.
         */
        d->failed = status == ERR_CORRUPT ? ERR_DISK : status;
        d->reopens = rows && status == ERR_NO_SPACE;
        snprintf(d->failure, sizeof d->failure, "%s", text);
    }
    pthread_mutex_unlock(&d->mutex);
    return disk_leveldb_failed(d);
}

int disk_leveldb_failed(struct disk_leveldb *d) {
    pthread_mutex_lock(&d->mutex);
    int failed = d->failed;
    pthread_mutex_unlock(&d->mutex);
    return failed;
}

int disk_leveldb_lost(struct disk_leveldb *d) {
    pthread_mutex_lock(&d->mutex);
    int lost = d->lost;
    pthread_mutex_unlock(&d->mutex);
    return lost;
}

void disk_leveldb_lose(struct disk_leveldb *d, int status) {
    pthread_mutex_lock(&d->mutex);
    d->lost = status;
    pthread_mutex_unlock(&d->mutex);
}

/* ---- free space ---- */

static void space_update(struct disk_leveldb *d) {
    int64_t now = disk_now_ns();
    if (d->space_known_ns && now - d->space_known_ns < DISK_SPACE_CHECK_MS * 1000000ll) {
        return;
    }
    struct statvfs st;
    d->space_known_ns = now;
    if (statvfs(d->directory, &st) == 0) {
        d->space_free = (uint64_t)st.f_bavail * st.f_frsize;
        d->space_total = (uint64_t)st.f_blocks * st.f_frsize;
    }
}

/* What must stay free when a commit has been written. */
static uint64_t space_kept(const struct disk_leveldb *d, const struct disk_commit *commit,
                           size_t size) {
    uint64_t small = d->config.reserve_bytes / 2;
    if (commit->urgent) {
        return small < DISK_URGENT_LEAVES ? small : DISK_URGENT_LEAVES;
    }
    return size <= DISK_SMALL_COMMIT ? small : d->config.reserve_bytes;
}

static bool space_enough(struct disk_leveldb *d, const struct disk_commit *commit, size_t size) {
    space_update(d);
    uint64_t needed = space_kept(d, commit, size) + d->queued_size + size;
    return d->space_total == 0 || d->space_free >= needed;
}

/* ---- opening anew ---- */

void disk_leveldb_note(struct disk_leveldb *d, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&d->mutex);
    vsnprintf(d->notice, sizeof d->notice, format, arguments);
    pthread_mutex_unlock(&d->mutex);
    va_end(arguments);
}

static void clear_failure(struct disk_leveldb *d) {
    pthread_mutex_lock(&d->mutex);
    d->failed = 0;
    d->reopens = false;
    pthread_mutex_unlock(&d->mutex);
    disk_leveldb_note(d, "there is space again on the disk of %s: writing goes on", d->directory);
}

/* Logs first: see disk_log.h. One that cannot be cut LevelDB refuses, if anything is wrong. */
static leveldb_t *rows_open_whole(struct disk_leveldb *d, const char *rows, bool rebooted,
                                  char **ret_error) {
    disk_log_free(d->log);
    d->log = NULL;
    (void)disk_log_trim(rows, rebooted);
    leveldb_t *db = leveldb_open(d->options, rows, ret_error);
    if (!*ret_error) {
        d->log = disk_log_new(rows);
    }
    return db;
}

/* The writer is kept out. LevelDB's log may end in half a record, which a new one leaves behind. */
static int rows_reopen(struct disk_leveldb *d) {
    char *error = NULL;
    char rows[ROWS_PATH_MAX];
    disk_leveldb_count_forget(d);
    if (d->db) {
        leveldb_close(d->db);
    }
    snprintf(rows, sizeof rows, "%s/rows", d->directory);
    leveldb_options_set_create_if_missing(d->options, 0);
    d->db = rows_open_whole(d, rows, false, &error);
    if (error) {
        disk_leveldb_note(d, "there is space again, but the rows in %s cannot be opened: %s",
                          d->directory, error);
        leveldb_free(error);
        d->db = NULL;
        return ERR_DISK;
    }
    disk_leveldb_count_begin(d);
    return 0;
}

bool disk_leveldb_logs(const struct disk_leveldb *d, disk_leveldb_log_fn *each, void *context) {
    char path[ROWS_PATH_MAX];
    snprintf(path, sizeof path, "%s/rows", d->directory);
    DIR *dir = opendir(path);
    if (!dir) {
        return false;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".log") == 0) {
            each(context, dirfd(dir), entry->d_name);
        }
    }
    closedir(dir);
    return true;
}

static void log_size(void *context, int folder, const char *name) {
    struct stat st;
    if (fstatat(folder, name, &st, 0) == 0) {
        *(uint64_t *)context += (uint64_t)st.st_size;
    }
}

/* What LevelDB writes when it is opened: the logs' rows as tables. */
static uint64_t logs_size(const struct disk_leveldb *d) {
    uint64_t size = 0;
    disk_leveldb_logs(d, log_size, &size);
    return size;
}

/* After a write that found no space: tries to go on, now and then, once there is some. Reads are
 * served from the old rows until then. */
static bool reopen(struct disk_leveldb *d) {
    int64_t now = disk_now_ns();
    pthread_mutex_lock(&d->mutex);
    bool may = d->reopens;
    pthread_mutex_unlock(&d->mutex);
    if (!may || now < d->reopen_ns) {
        return false;
    }
    d->space_known_ns = 0; /* what was known before is what misled */
    space_update(d);
    d->reopen_ns = now + DISK_SPACE_CHECK_MS * 1000000ll;
    if (d->space_free < d->config.reserve_bytes / 2 + logs_size(d)) {
        return false;
    }
    pthread_mutex_lock(&d->writer);
    int status = rows_reopen(d);
    pthread_mutex_unlock(&d->writer);
    if (status) {
        d->reopen_pause_ns =
            d->reopen_pause_ns ? d->reopen_pause_ns * 2 : DISK_REOPEN_MS * 1000000ll;
        if (d->reopen_pause_ns > DISK_REOPEN_MAX_MS * 1000000ll) {
            d->reopen_pause_ns = DISK_REOPEN_MAX_MS * 1000000ll;
        }
        d->reopen_ns = now + d->reopen_pause_ns;
        return false;
    }
    d->reopen_pause_ns = 0;
    d->reopen_ns = 0;
    d->counters.reopened++;
    clear_failure(d);
    return true;
}

/* ---- the seam: everything is queued, nothing answered ---- */

static void seam_read(void *self, struct disk_read *read) {
    struct disk_leveldb *d = self;
    APPEND(d->reads, d->reads_last, read);
}

static void seam_scan(void *self, struct disk_scan *scan) {
    struct disk_leveldb *d = self;
    APPEND(d->scans, d->scans_last, scan);
}

/* 0, or why the commit is not taken. Until their askers know what was refused or lost, whatever is
 * asked may be built on that. So it is refused too, and the rows are not opened anew. */
static int refusal(struct disk_leveldb *d, const struct disk_commit *commit, size_t size) {
    bool all_told = !d->refused && d->queued_size == 0;
    int failed = disk_leveldb_failed(d);
    if (failed && !(all_told && reopen(d))) {
        return failed;
    }
    if (all_told) {
        disk_leveldb_lose(d, 0);
    }
    int lost = disk_leveldb_lost(d);
    if (lost) {
        return lost;
    }
    if (d->refused && !commit->urgent && !commit->alone) {
        return d->refused_status;
    }
    if (!space_enough(d, commit, size)) {
        return ERR_NO_SPACE;
    }
    bool full = d->queued_size && d->queued_size + size > DISK_QUEUE_BYTES_MAX;
    return full ? ERR_BUSY : 0;
}

static void seam_commit(void *self, struct disk_commit *commit) {
    struct disk_leveldb *d = self;
    size_t size = disk_commit_size(commit);
    int status = refusal(d, commit, size);
    if (status) {
        d->counters.refused_space += status == ERR_NO_SPACE ? 1 : 0;
        d->counters.refused_busy += status == ERR_BUSY ? 1 : 0;
        d->refused_status = d->refused ? d->refused_status : status;
        APPEND(d->refused, d->refused_last, commit);
        return;
    }
    APPEND(d->commits, d->commits_last, commit);
    d->commits_size += size;
    d->queued_size += size;
}

static void seam_space(void *self, uint64_t *ret_free, uint64_t *ret_total) {
    struct disk_leveldb *d = self;
    space_update(d);
    *ret_free = d->space_free;
    *ret_total = d->space_total;
}

/* ---- answering ---- */

static void corrupt_count(struct disk_leveldb *d, int status) {
    d->counters.corrupt += status == ERR_CORRUPT;
}

int disk_leveldb_delta(struct disk_leveldb *d, struct bytes key, const struct segment_pointer *base,
                       const struct segment_delta *delta, struct buffer *record, uint8_t *room) {
    struct bytes value;
    buffer_clear(record);
    uint8_t *at = buffer_extend(record, segment_record_size(delta->key_size, base->size));
    int status = segment_store_read_base(d->segments, base, delta->key_size, at, &value);
    if (!status) {
        status = segment_delta_apply(delta, value, room);
    }
    if (!status && disk_sum(key, bytes_of(room, delta->size)) != delta->sum) {
        status = ERR_CORRUPT;
    }
    return status;
}

/* The value that LevelDB's bytes stand for, borrowed from them, from d->record or from d->whole. */
static int value_of(struct disk_leveldb *d, struct bytes key, struct bytes stored,
                    struct bytes *ret) {
    struct segment_pointer pointer;
    int status = segment_value_decode(stored, &pointer, ret);
    if (!status && pointer.size && ret->size) {
        struct segment_delta delta;
        status = segment_delta_decode(*ret, &delta);
        buffer_clear(&d->whole);
        uint8_t *room = buffer_extend(&d->whole, delta.size);
        *ret = bytes_of(room, delta.size);
        status = status ? status : disk_leveldb_delta(d, key, &pointer, &delta, &d->record, room);
    } else if (!status && pointer.size) {
        buffer_clear(&d->record);
        uint8_t *room = buffer_extend(&d->record, segment_record_size(key.size, pointer.size));
        status = segment_store_read(d->segments, &pointer, key, room, ret);
    }
    return status;
}

static void read_answer(struct disk_leveldb *d, struct disk_read *read) {
    char *error = NULL;
    size_t size = 0;
    int status = 0;
    struct bytes value = {0};
    d->counters.reads++;
    if (!d->db) {
        read->done(read, ERR_DISK, bytes_of(NULL, 0));
        return;
    }
    segment_store_enter(d->segments);
    char *stored =
        leveldb_get(d->db, d->reading, (const char *)read->key.data, read->key.size, &size, &error);
    if (error) {
        status = disk_leveldb_error(error);
    } else if (stored) {
        status = value_of(d, read->key, bytes_of(stored, size), &value);
    }
    segment_store_leave(d->segments);
    corrupt_count(d, status);
    read->done(read, status, status ? bytes_of(NULL, 0) : value);
    leveldb_free(stored);
    leveldb_free(error);
}

static void scan_answer(struct disk_leveldb *d, struct disk_scan *scan) {
    d->counters.scans++;
    bool more = false;
    if (!d->db) {
        scan->done(scan, ERR_DISK, NULL, 0, false);
        return;
    }
    segment_store_enter(d->segments);
    leveldb_iterator_t *at = leveldb_create_iterator(d->db, d->scanning);
    uint32_t n = disk_leveldb_page(d, scan, at, &more);
    segment_store_leave(d->segments);
    /* An iterator steps over a damaged block as if its rows were not there; only this tells. */
    char *error = NULL;
    leveldb_iter_get_error(at, &error);
    leveldb_iter_destroy(at);
    if (error) {
        int status = disk_leveldb_error(error);
        leveldb_free(error);
        corrupt_count(d, status);
        scan->done(scan, status, NULL, 0, false);
        return;
    }
    scan->done(scan, 0, d->page_rows, n, more);
}

static bool reads_drain(struct disk_leveldb *d) {
    struct disk_read *read = d->reads;
    struct disk_scan *scan = d->scans;
    bool any = read || scan;
    d->reads = d->reads_last = NULL;
    d->scans = d->scans_last = NULL;
    while (read) {
        struct disk_read *next = read->next;
        read_answer(d, read);
        read = next;
    }
    while (scan) {
        struct disk_scan *next = scan->next;
        scan_answer(d, scan);
        scan = next;
    }
    return any;
}

/* In the order asked; what is refused meanwhile comes in the next round. */
static bool refused_drain(struct disk_leveldb *d) {
    struct disk_commit *last = d->refused_last;
    struct disk_commit *commit = NULL;
    bool any = d->refused != NULL;
    while (d->refused && commit != last) {
        commit = d->refused;
        d->refused = commit->next;
        int status = d->refused_status;
        commit->done(commit, status);
    }
    return any;
}

static bool groups_drain(struct disk_leveldb *d) {
    struct disk_group *group = disk_committer_take(d->committer);
    bool any = group != NULL;
    while (group) {
        struct disk_group *next_group = group->next;
        for (struct disk_commit *commit = group->list; commit;) {
            struct disk_commit *next = commit->next;
            d->queued_size -= disk_commit_size(commit);
            commit->done(commit, group->status);
            commit = next;
        }
        free(group);
        group = next_group;
    }
    return any;
}

static bool commits_submit(struct disk_leveldb *d) {
    struct disk_commit *list = d->commits;
    size_t size = d->commits_size;
    d->commits = d->commits_last = NULL;
    d->commits_size = 0;
    if (list) {
        disk_committer_submit(d->committer, list, size);
    }
    return list != NULL;
}

static bool drain_round(struct disk_leveldb *d) {
    bool any = reads_drain(d);
    any = commits_submit(d) || any;
    any = groups_drain(d) || any;
    return refused_drain(d) || any;
}

bool disk_leveldb_drain(void *disk) {
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        if (!drain_round(disk)) {
            return false;
        }
    }
    return true;
}

void disk_leveldb_ready(void *disk) {
    struct disk_leveldb *d = disk;
    uint64_t count;
    ssize_t size = read(disk_committer_event_fd(d->committer), &count, sizeof count);
    (void)size; /* the turn's end drains; only the readiness had to be taken back */
}

/* ---- opening ---- */

static void options_make(struct disk_leveldb *d) {
    d->options = leveldb_options_create();
    d->bloom = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    d->cache = leveldb_cache_create_lru(BLOCK_CACHE);
    leveldb_options_set_write_buffer_size(d->options, WRITE_BUFFER);
    leveldb_options_set_max_file_size(d->options, TABLE_SIZE);
    leveldb_options_set_max_open_files(d->options, OPEN_TABLES);
    leveldb_options_set_cache(d->options, d->cache);
    leveldb_options_set_filter_policy(d->options, d->bloom);
    leveldb_options_set_compression(d->options, leveldb_no_compression);
    leveldb_options_set_paranoid_checks(d->options, 1);
    d->reading = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(d->reading, 1);
    d->scanning = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(d->scanning, 1);
    leveldb_readoptions_set_fill_cache(d->scanning, 0);
    d->buffered = leveldb_writeoptions_create();
    d->synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(d->synced, 1);
}

static void read_text(const char *path, char ret[BOOT_ID_MAX]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, ret, BOOT_ID_MAX - 1) : 0;
    ret[size > 0 ? size : 0] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

static bool exists(const char *directory, const char *name) {
    char path[ROWS_PATH_MAX + 64];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return stat(path, &st) == 0;
}

/* Whether the directory holds tables or logs of LevelDB, "NUMBER.ldb" or "NUMBER.log". */
static bool holds_rows(const char *path) {
    DIR *dir = opendir(path);
    bool found = false;
    for (struct dirent *entry; dir && !found && (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        found = dot && (strcmp(dot, ".ldb") == 0 || strcmp(dot, ".log") == 0);
    }
    if (dir) {
        closedir(dir);
    }
    return found;
}

/* LevelDB makes a fresh database over the files of one that lost its CURRENT, without a word. So
 * rows are created only where none were before, which `rows.created` remembers. */
static int creation_check(const struct disk_leveldb *d, const char *rows, bool *ret_create,
                          char why[DISK_WHY_MAX]) {
    bool created = exists(d->directory, "rows.created");
    bool current = exists(rows, "CURRENT");
    if (!current && (created || holds_rows(rows))) {
        snprintf(
            why, DISK_WHY_MAX,
            "%s/rows has lost its file CURRENT, so its rows cannot be read: put it back from a "
            "backup, or start once with --rebuild, which sets them aside and fetches the rows from "
            "the other replicas",
            d->directory);
        return ERR_CORRUPT;
    }
    *ret_create = !current;
    return 0;
}

static int say_open_error(const struct disk_leveldb *d, const char *error, char why[DISK_WHY_MAX]) {
    int status = disk_leveldb_error(error);
    if (status == ERR_NO_SPACE) {
        snprintf(why, DISK_WHY_MAX, "no space left on the disk of %s: free some and start again",
                 d->directory);
    } else if (strstr(error, "LOCK")) {
        status = ERR_IN_USE;
        snprintf(why, DISK_WHY_MAX,
                 "%s/rows is in use by another process: stop that one first (%s)", d->directory,
                 error);
    } else if (status == ERR_CORRUPT) {
        snprintf(why, DISK_WHY_MAX,
                 "the rows in %s are damaged (%s); nothing was changed: start once with --rebuild, "
                 "which sets them aside and fetches the rows from the other replicas",
                 d->directory, error);
    } else {
        snprintf(why, DISK_WHY_MAX, "cannot open the rows in %s (%s): check the disk", d->directory,
                 error);
    }
    return status;
}

/* The file `boot` tells in which start of the machine the rows were opened last. It is not synced:
 * one that is not there, or old, says that the machine went down. */
static bool rebooted(const struct disk_leveldb *d, char ret_now[BOOT_ID_MAX]) {
    char path[ROWS_PATH_MAX];
    char then[BOOT_ID_MAX];
    snprintf(path, sizeof path, "%s/boot", d->directory);
    read_text("/proc/sys/kernel/random/boot_id", ret_now);
    read_text(path, then);
    return ret_now[0] == '\0' || strcmp(ret_now, then) != 0;
}

/* Once the logs of before are done with. */
static void boot_note(const struct disk_leveldb *d, const char *now) {
    char path[ROWS_PATH_MAX];
    snprintf(path, sizeof path, "%s/boot", d->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t written = write(fd, now, strlen(now));
        (void)written;
        close(fd);
    }
}

static int rows_open(struct disk_leveldb *d, char why[DISK_WHY_MAX]) {
    char rows[ROWS_PATH_MAX];
    char boot[BOOT_ID_MAX];
    bool create = false;
    snprintf(rows, sizeof rows, "%s/rows", d->directory);
    int status = creation_check(d, rows, &create, why);
    if (status) {
        return status;
    }
    char *error = NULL;
    leveldb_options_set_create_if_missing(d->options, create);
    bool after_reboot = rebooted(d, boot);
    d->db = rows_open_whole(d, rows, after_reboot, &error);
    if (error) {
        status = say_open_error(d, error, why);
        leveldb_free(error);
        return status;
    }
    if (after_reboot) {
        boot_note(d, boot);
    }
    if (!exists(d->directory, "rows.created") &&
        disk_file_write(d->directory, "rows.created", "the rows exist\n")) {
        snprintf(why, DISK_WHY_MAX, "cannot write %s/rows.created (%s)", d->directory,
                 strerror(errno));
        return ERR_DISK;
    }
    return 0;
}

static void release(struct disk_leveldb *d) {
    if (d->committer) {
        disk_committer_free(d->committer);
    }
    disk_leveldb_clear_end(d);
    disk_log_free(d->log);
    if (d->db) {
        leveldb_close(d->db);
    }
    if (d->segments) {
        segment_store_close(d->segments);
    }
    leveldb_options_destroy(d->options);
    leveldb_filterpolicy_destroy(d->bloom);
    leveldb_cache_destroy(d->cache);
    leveldb_readoptions_destroy(d->reading);
    leveldb_readoptions_destroy(d->scanning);
    leveldb_writeoptions_destroy(d->buffered);
    leveldb_writeoptions_destroy(d->synced);
    pthread_mutex_destroy(&d->mutex);
    pthread_mutex_destroy(&d->writer);
    buffer_release(&d->page);
    buffer_release(&d->record);
    buffer_release(&d->whole);
    buffer_release(&d->base);
    buffer_release(&d->pieces);
    buffer_release(&d->deltas);
    buffer_release(&d->value);
    free(d->large_keys);
    free(d->page_rows);
    free(d->directory);
    free(d);
}

static int write_group(void *self, struct disk_commit *list, bool synced) {
    struct disk_leveldb *d = self;
    pthread_mutex_lock(&d->writer);
    int status = disk_leveldb_write(d, list, synced);
    pthread_mutex_unlock(&d->writer);
    return status;
}

static int64_t background(void *self, bool *ret_wrote) {
    struct disk_leveldb *d = self;
    pthread_mutex_lock(&d->writer);
    int64_t pause_ns = disk_leveldb_background(d, ret_wrote);
    pthread_mutex_unlock(&d->writer);
    return pause_ns;
}

static int committer_begin(struct disk_leveldb *d, char why[DISK_WHY_MAX]) {
    disk_leveldb_count_begin(d);
    struct disk_committer_config config = {.write = write_group,
                                           .background = background,
                                           .self = d,
                                           .never_inline = d->config.never_inline};
    int status = disk_committer_start(&config, &d->committer);
    if (status) {
        snprintf(why, DISK_WHY_MAX,
                 "cannot start the committer thread: too many threads or open "
                 "files on this machine");
    }
    return status;
}

int disk_leveldb_open(const struct disk_leveldb_config *config, struct disk_leveldb **ret,
                      char why[DISK_WHY_MAX]) {
    assert(strlen(config->directory) <= DISK_PATH_MAX);
    struct disk_leveldb *d = memory_new(1, sizeof *d);
    d->config = *config;
    d->directory = strdup(config->directory);
    if (d->config.reserve_bytes == 0) {
        d->config.reserve_bytes = DISK_RESERVE_BYTES;
    }
    if (d->config.segment_bytes == 0) {
        d->config.segment_bytes = SEGMENT_BYTES;
    }
    d->seam = (struct disk){d, seam_read, seam_scan, seam_commit, seam_space};
    pthread_mutex_init(&d->mutex, NULL);
    pthread_mutex_init(&d->writer, NULL);
    options_make(d);
    int status = rows_open(d, why);
    if (!status) {
        status = segment_store_open(d->directory, d->config.segment_bytes, &d->segments, why);
    }
    if (!status) {
        status = committer_begin(d, why);
    }
    if (status) {
        release(d);
        return status;
    }
    *ret = d;
    return 0;
}

static void reads_refuse(struct disk_leveldb *d) {
    while (d->reads) {
        struct disk_read *read = d->reads;
        d->reads = read->next;
        read->done(read, ERR_CLOSED, bytes_of(NULL, 0));
    }
    while (d->scans) {
        struct disk_scan *scan = d->scans;
        d->scans = scan->next;
        scan->done(scan, ERR_CLOSED, NULL, 0, false);
    }
}

static void commits_refuse(struct disk_leveldb *d) {
    while (d->commits) {
        struct disk_commit *commit = d->commits;
        d->commits = commit->next;
        commit->done(commit, ERR_CLOSED);
    }
}

void disk_leveldb_close(struct disk_leveldb *disk) {
    commits_submit(disk);
    disk_committer_stop(disk->committer);
    reads_refuse(disk);
    groups_drain(disk);
    refused_drain(disk);
    /* What a callback asked for in answer to these. */
    reads_refuse(disk);
    commits_refuse(disk);
    release(disk);
}

const struct disk *disk_leveldb_seam(struct disk_leveldb *disk) {
    return &disk->seam;
}

int disk_leveldb_event_fd(const struct disk_leveldb *disk) {
    return disk_committer_event_fd(disk->committer);
}

const char *disk_leveldb_failure(struct disk_leveldb *disk) {
    return disk_leveldb_failed(disk) ? disk->failure : NULL;
}

bool disk_leveldb_notice(struct disk_leveldb *disk, char ret[DISK_WHY_MAX]) {
    pthread_mutex_lock(&disk->mutex);
    bool any = disk->notice[0];
    if (any) {
        snprintf(ret, DISK_WHY_MAX, "%s", disk->notice);
        disk->notice[0] = '\0';
    }
    pthread_mutex_unlock(&disk->mutex);
    return any;
}

void disk_leveldb_counters(struct disk_leveldb *disk, struct disk_leveldb_counters *ret) {
    struct segment_store_stats stats;
    segment_store_stats(disk->segments, &stats);
    pthread_mutex_lock(&disk->mutex);
    *ret = disk->counters;
    pthread_mutex_unlock(&disk->mutex);
    ret->segments = stats.segments;
    ret->segment_bytes = stats.bytes;
    ret->segment_bytes_live = stats.live;
}
