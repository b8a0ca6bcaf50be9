/* disk_log: see the header. */
#include "node/disk_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/err.h"

#define CASTAGNOLI 0x82f63b78u
#define CRC_ADDED 0xa282ead8u

enum {
    BLOCK = 32 << 10,            /* of LevelDB's log */
    RECORD_HEAD = 7,             /* in it: checksum (4), size (2), type (1) */
    LOG_BYTES = 8 << 20,         /* beyond, the next one is near */
    FREE_BYTES = 128 << 20,      /* with less on the disk no zeros are written */
    AHEAD_RECORDS = 64,          /* like the one at hand */
    AHEAD_RECORD_MAX = 64 << 10, /* with a larger one the journal is the smaller part */
    EVENTS_BYTES = 4096,
    SECTOR = 512,
};

struct disk_log {
    char *folder;
    int watch_fd; /* readable when a file was made in the folder; -1: no zeros are written */
    int fd;       /* of the newest log, -1 = not known */
    uint64_t at;  /* where LevelDB goes on, at most */
    uint64_t zeroed;
    uint32_t n_syncs; /* since zeros were written, or the log began */
};

static void file_close(struct disk_log *log) {
    if (log->fd >= 0) {
        close(log->fd);
    }
    log->fd = -1;
}

void disk_log_free(struct disk_log *log) {
    if (log == NULL) {
        return;
    }
    file_close(log);
    if (log->watch_fd >= 0) {
        close(log->watch_fd);
    }
    free(log->folder);
    free(log);
}

/* The number of a log, "NUMBER.log"; 0 = it is none. */
static uint64_t log_number(const char *name) {
    uint64_t number;
    int end = 0;
    bool is_log = sscanf(name, "%" SCNu64 ".log%n", &number, &end) == 1 && end > 0 && !name[end];
    return is_log ? number : 0;
}

static void newest_open(struct disk_log *log) {
    uint64_t newest = 0;
    char name[PATH_MAX];
    struct stat st;
    DIR *dir = opendir(log->folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        uint64_t number = log_number(entry->d_name);
        if (number > newest) {
            newest = number;
            snprintf(name, sizeof name, "%s/%s", log->folder, entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    file_close(log);
    log->fd = newest > 0 && log->watch_fd >= 0 ? open(name, O_WRONLY | O_CLOEXEC) : -1;
    if (log->fd >= 0 && fstat(log->fd, &st) == 0) {
        log->at = log->zeroed = (uint64_t)st.st_size;
    }
    log->n_syncs = 0;
}

struct disk_log *disk_log_new(const char *folder) {
    struct disk_log *log = memory_new(1, sizeof *log);
    struct bytes path = bytes_copy(bytes_of_string(folder));
    log->folder = (char *)(uintptr_t)path.data;
    log->fd = -1;
    log->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (log->watch_fd >= 0 && inotify_add_watch(log->watch_fd, folder, IN_CREATE) < 0) {
        close(log->watch_fd);
        log->watch_fd = -1;
    }
    newest_open(log);
    return log;
}

/* A file was made since the last call: it may be a log. */
static bool folder_changed(struct disk_log *log) {
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    bool changed = false;
    while (log->watch_fd >= 0 && read(log->watch_fd, events, sizeof events) > 0) {
        changed = true;
    }
    return changed;
}

static ssize_t zeros_write(int fd, uint64_t size, uint64_t offset) {
    static const uint8_t zeros[DISK_LOG_AHEAD_MIN];
    struct iovec parts[DISK_LOG_AHEAD_MAX / DISK_LOG_AHEAD_MIN];
    struct statvfs space;
    int n = 0;
    if (fstatvfs(fd, &space) != 0 || (uint64_t)space.f_bavail * space.f_frsize < FREE_BYTES) {
        return 0;
    }
    while ((uint64_t)n * sizeof zeros < size) {
        parts[n++] = (struct iovec){(void *)(uintptr_t)zeros, sizeof zeros};
    }
    return pwritev(fd, parts, n, (off_t)offset);
}

/* Behind the end of the file. When the zeros did not reach, that is where LevelDB goes on. */
static void write_ahead(struct disk_log *log, uint64_t size) {
    struct stat st;
    if (fstat(log->fd, &st) != 0) {
        return;
    }
    uint64_t end = (uint64_t)st.st_size;
    if (end > log->zeroed) {
        log->at = end;
    }
    uint64_t ahead = size * AHEAD_RECORDS;
    ahead = ahead < DISK_LOG_AHEAD_MIN ? DISK_LOG_AHEAD_MIN : ahead;
    ahead = ahead > DISK_LOG_AHEAD_MAX ? DISK_LOG_AHEAD_MAX : ahead;
    ssize_t written = zeros_write(log->fd, ahead, end);
    if (written <= 0) {
        file_close(log); /* without space: the next log may find some */
        return;
    }
    log->zeroed = end + (uint64_t)written;
    log->n_syncs = 0;
}

/* What LevelDB makes of `size` bytes, at most: heads, and ends of blocks left out. */
static uint64_t size_in_log(size_t size) {
    return size + (size / (BLOCK - RECORD_HEAD) + 2) * (2 * RECORD_HEAD);
}

void disk_log_next(struct disk_log *log, size_t size, bool waited) {
    uint64_t needed = size_in_log(size);
    if (waited && folder_changed(log)) {
        newest_open(log);
    }
    log->n_syncs += waited;
    if (waited && log->fd >= 0 && log->at + needed > log->zeroed && log->at < LOG_BYTES &&
        needed <= AHEAD_RECORD_MAX && log->n_syncs > DISK_LOG_SYNCS_FIRST) {
        write_ahead(log, needed);
    }
    log->at += needed;
}

/* ---- after a crash ---- */

/* What a reader of a log has of it. */
struct log_bytes {
    const uint8_t *data;
    size_t size;
};

enum record_type { RECORD_ZERO = 0, RECORD_FULL = 1, RECORD_FIRST = 2, RECORD_LAST = 4 };

static uint32_t crc_table[256];

static void crc_prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ CASTAGNOLI : crc >> 1;
        }
        crc_table[i] = crc;
    }
}

/* As LevelDB writes it: rotated, and something added, because it may stand in what is summed. */
static uint32_t crc_masked(const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc = crc_table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + CRC_ADDED;
}

/* The bytes of the record at `at` with its head, if it is whole and sound; else 0. */
static size_t sound_record(struct log_bytes log, size_t at) {
    size_t room = BLOCK - at % BLOCK;
    room = room < log.size - at ? room : log.size - at;
    const uint8_t *head = log.data + at;
    if (room < RECORD_HEAD) {
        return 0;
    }
    size_t size = RECORD_HEAD + ((size_t)head[4] | (size_t)head[5] << 8);
    bool possible = size <= room && head[6] >= RECORD_FULL && head[6] <= RECORD_LAST;
    return possible && crc_masked(head + 6, size - 6) == bytes_load_u32(head) ? size : 0;
}

/* Where the records that are there end; and *ret_stop, where what is no record begins. */
static size_t records_end(struct log_bytes log, size_t *ret_stop) {
    size_t end = 0;
    size_t at = 0;
    for (;;) {
        size_t left = BLOCK - at % BLOCK;
        if (left < RECORD_HEAD) {
            at += left;
        }
        size_t size = at < log.size ? sound_record(log, at) : 0;
        if (size == 0) {
            *ret_stop = at < log.size ? at : log.size;
            return end;
        }
        uint8_t type = log.data[at + 6];
        at += size;
        end = type == RECORD_FULL || type == RECORD_LAST ? at : end;
    }
}

static bool all_zero(struct log_bytes log, size_t from, size_t to) {
    for (; from < to && from < log.size; from++) {
        if (log.data[from] != 0) {
            return false;
        }
    }
    return true;
}

/* A disk writes sectors: half a record, in a file that was zeros before, has one that is zeros,
 * from its head or from the beginning of a sector on. Where it is; the size of the log if nowhere.
 */
static size_t zeros_begin(struct log_bytes log, size_t stop) {
    size_t block_end = stop - stop % BLOCK + BLOCK;
    if (all_zero(log, stop, stop + RECORD_HEAD)) {
        return stop;
    }
    for (size_t at = stop - stop % SECTOR + SECTOR; at < block_end && at < log.size; at += SECTOR) {
        if (all_zero(log, at, at + SECTOR)) {
            return at;
        }
    }
    return log.size;
}

/* Where the log is to be cut; its size when it is not. */
static size_t cut_at(struct log_bytes log, bool rebooted) {
    size_t stop;
    size_t end = records_end(log, &stop);
    size_t zeros = zeros_begin(log, stop);
    if (zeros == log.size || (!rebooted && !all_zero(log, zeros, log.size))) {
        return log.size;
    }
    return end;
}

static int trim(int folder, const char *name, bool rebooted) {
    struct stat st;
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return ERR_DISK;
    }
    int status = 0;
    size_t size = (size_t)st.st_size;
    void *data = size > 0 ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (size > 0 && data == MAP_FAILED) {
        status = ERR_DISK;
    } else if (size > 0) {
        size_t cut = cut_at((struct log_bytes){data, size}, rebooted);
        munmap(data, size);
        status = cut < size && ftruncate(fd, (off_t)cut) != 0 ? ERR_DISK : 0;
    }
    close(fd);
    return status;
}

int disk_log_trim(const char *folder, bool rebooted) {
    int status = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return errno == ENOENT ? 0 : ERR_DISK;
    }
    crc_prepare();
    for (struct dirent *entry; status == 0 && (entry = readdir(dir));) {
        if (log_number(entry->d_name) > 0) {
            status = trim(dirfd(dir), entry->d_name, rebooted);
        }
    }
    closedir(dir);
    return status;
}
