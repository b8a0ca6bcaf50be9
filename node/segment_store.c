/* segment_store: see the header. One mutex guards the table of files and their descriptors. */
#include "node/segment_store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shared/err.h"

enum {
    PATH_BYTES = DISK_PATH_MAX + 64,
    PARTS = 3,                           /* of a record: head, key, value */
    PEEK = SEGMENT_HEAD_SIZE + (1 << 10) /* read at once for a head and its key */
};

struct segment_file {
    uint32_t id;
    int fd;           /* -1: not open */
    uint32_t users;   /* reading from fd just now */
    uint64_t used;    /* when last, on the store's clock of uses */
    uint64_t size;    /* flushed */
    int64_t live;     /* below zero while what is added is told later than what is taken away */
    int64_t lent;     /* deltas of other keys than the records', in the same way */
    uint64_t started; /* bytes that the kernel was asked to write */
    bool unsynced;
    bool doomed;
    bool left_alone; /* clearing it out did not empty it */
};

struct segment_store {
    char *path; /* of the folder */
    int folder_fd;
    uint64_t segment_bytes;
    uint32_t n_damaged;
    /* the writer's */
    struct segment_file *active;
    uint32_t next_id;
    uint64_t pending_size;
    uint32_t n_pending;
    uint8_t heads[SEGMENT_PENDING_MAX][SEGMENT_HEAD_SIZE];
    struct iovec parts[SEGMENT_PENDING_MAX * PARTS];
    bool folder_unsynced;
    uint32_t n_doomed;
    uint64_t doomed_bytes;

    pthread_mutex_t mutex; /* guards what follows, and the fields of files but for the writer's own
                              reading of what only it changes */
    struct segment_file **files; /* in order of id */
    uint32_t n_files, capacity;
    uint32_t n_open;
    uint64_t uses;
    uint64_t bytes;
    int64_t live;
    bool reader_within;
};

static int error_now(void) {
    return errno == ENOSPC || errno == EDQUOT ? ERR_NO_SPACE : ERR_DISK;
}

static void path_of(const struct segment_store *s, uint32_t id, char path[PATH_BYTES]) {
    snprintf(path, PATH_BYTES, "%s/%010" PRIu32 ".segment", s->path, id);
}

/* ---- the table; the mutex is held, or nobody else is there yet ---- */

/* The index of the first file whose id is not below. */
static uint32_t place_of(const struct segment_store *s, uint32_t id) {
    uint32_t low = 0, high = s->n_files;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->files[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct segment_file *find(const struct segment_store *s, uint32_t id) {
    uint32_t at = place_of(s, id);
    return at < s->n_files && s->files[at]->id == id ? s->files[at] : NULL;
}

static struct segment_file *add(struct segment_store *s, uint32_t id, uint64_t size, int fd) {
    struct segment_file *file = memory_new(1, sizeof *file);
    *file = (struct segment_file){.id = id, .fd = fd, .size = size, .started = size};
    if (s->n_files == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 16;
        s->files = memory_resize(s->files, s->capacity * sizeof(struct segment_file *));
    }
    uint32_t at = place_of(s, id);
    memmove(s->files + at + 1, s->files + at, (s->n_files - at) * sizeof(struct segment_file *));
    s->files[at] = file;
    s->n_files++;
    s->n_open += fd >= 0;
    s->bytes += size;
    return file;
}

/* ---- descriptors ---- */

static bool closable(const struct segment_store *s, const struct segment_file *file) {
    return file->fd >= 0 && file->users == 0 && !file->unsynced && file != s->active;
}

static void close_oldest(struct segment_store *s) {
    struct segment_file *oldest = NULL;
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct segment_file *file = s->files[i];
        if (closable(s, file) && (!oldest || file->used < oldest->used)) {
            oldest = file;
        }
    }
    if (oldest) {
        close(oldest->fd);
        oldest->fd = -1;
        s->n_open--;
    }
}

/* The descriptor, pinned until fd_drop(); mutex held. */
static int fd_take(struct segment_store *s, struct segment_file *file) {
    if (file->fd < 0) {
        char path[PATH_BYTES];
        path_of(s, file->id, path);
        if (s->n_open >= SEGMENT_OPEN_MAX) {
            close_oldest(s);
        }
        file->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (file->fd < 0) {
            return errno == ENOENT || errno == EIO ? ERR_CORRUPT : ERR_DISK;
        }
        s->n_open++;
    }
    file->users++;
    file->used = ++s->uses;
    return 0;
}

static void fd_drop(struct segment_store *s, struct segment_file *file) {
    pthread_mutex_lock(&s->mutex);
    file->users--;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- opening ---- */

static void file_found(struct segment_store *s, const char *name) {
    uint32_t id;
    int end = 0;
    char path[PATH_BYTES];
    uint8_t header[SEGMENT_HEADER_SIZE];
    struct stat st;
    if (sscanf(name, "%10" SCNu32 ".segment%n", &id, &end) != 1 || end == 0 || name[end]) {
        return;
    }
    path_of(s, id, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size < SEGMENT_HEADER_SIZE) {
        unlink(path); /* its making was cut short: it holds nothing */
    } else {
        ssize_t n = pread(fd, header, sizeof header, 0);
        s->n_damaged += n != sizeof header || !segment_header_sound(header, id);
        add(s, id, (uint64_t)st.st_size, -1);
    }
    if (fd >= 0) {
        close(fd);
    }
    s->next_id = id >= s->next_id ? id + 1 : s->next_id;
}

static int folder_read(struct segment_store *s) {
    DIR *dir = opendir(s->path);
    if (!dir) {
        return ERR_DISK;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        file_found(s, entry->d_name);
    }
    closedir(dir);
    return 0;
}

static int folder_open(struct segment_store *s, const char *directory) {
    if (mkdir(s->path, 0700) != 0 && errno != EEXIST) {
        return error_now();
    }
    int parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = parent >= 0 && fsync(parent) == 0;
    if (parent >= 0) {
        close(parent);
    }
    s->folder_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return synced && s->folder_fd >= 0 ? folder_read(s) : error_now();
}

int segment_store_open(const char *directory, uint64_t segment_bytes, struct segment_store **ret,
                       char why[DISK_WHY_MAX]) {
    struct segment_store *s = memory_new(1, sizeof *s);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/segments", directory);
    s->path = strdup(path);
    s->folder_fd = -1;
    s->next_id = 1;
    s->segment_bytes = segment_bytes ? segment_bytes : SEGMENT_BYTES;
    assert(s->segment_bytes <= SEGMENT_BYTES_MAX); /* offsets are 32 bits */
    pthread_mutex_init(&s->mutex, NULL);
    int status = folder_open(s, directory);
    if (status) {
        snprintf(why, DISK_WHY_MAX,
                 "cannot open %s (%s): it must be this user's, and its disk well", path,
                 strerror(errno));
        segment_store_close(s);
        return status;
    }
    *ret = s;
    return 0;
}

void segment_store_close(struct segment_store *s) {
    for (uint32_t i = 0; i < s->n_files; i++) {
        if (s->files[i]->fd >= 0) {
            close(s->files[i]->fd);
        }
        free(s->files[i]);
    }
    if (s->folder_fd >= 0) {
        close(s->folder_fd);
    }
    pthread_mutex_destroy(&s->mutex);
    free(s->files);
    free(s->path);
    free(s);
}

uint32_t segment_store_damaged(const struct segment_store *s) {
    return s->n_damaged;
}

/* ---- appending ---- */

/* Writes all of it at `offset`. `parts` is used up. */
static int write_all(int fd, struct iovec *parts, int n, uint64_t offset) {
    while (n > 0) {
        ssize_t written = pwritev(fd, parts, n < IOV_MAX ? n : IOV_MAX, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return error_now();
        }
        offset += (uint64_t)written;
        size_t left = (size_t)written;
        for (; n > 0 && left >= parts->iov_len; n--, parts++) {
            left -= parts->iov_len;
        }
        if (n > 0) {
            parts->iov_base = (char *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return 0;
}

static int segment_begin(struct segment_store *s) {
    char path[PATH_BYTES];
    uint8_t header[SEGMENT_HEADER_SIZE];
    path_of(s, s->next_id, path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_now();
    }
    segment_header_encode(s->next_id, header);
    struct iovec part = {header, sizeof header};
    int status = write_all(fd, &part, 1, 0);
    if (status) {
        close(fd);
        unlink(path);
        return status;
    }
    s->folder_unsynced = true;
    pthread_mutex_lock(&s->mutex);
    s->active = add(s, s->next_id++, sizeof header, fd);
    s->active->unsynced = true;
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

/* A small store has small segments, so that one of them is never much of it. */
static uint64_t bytes_max(const struct segment_store *s) {
    uint64_t least = s->segment_bytes / SEGMENT_PART;
    uint64_t share = s->live > 0 ? (uint64_t)s->live / SEGMENT_PART : 0;
    uint64_t bytes = share > least ? share : least;
    return bytes < s->segment_bytes ? bytes : s->segment_bytes;
}

static void active_close(struct segment_store *s) {
    assert(s->n_pending == 0);
    pthread_mutex_lock(&s->mutex);
    s->active = NULL;
    pthread_mutex_unlock(&s->mutex);
}

static void pending_forget(struct segment_store *s) {
    s->n_pending = 0;
    s->pending_size = 0;
}

/* Early, so that a sync finds little left to do and nobody waits for it long. */
static void writeback_start(struct segment_file *file) {
    if (file->size - file->started >= SEGMENT_WRITEBACK) {
        sync_file_range(file->fd, (off_t)file->started, (off_t)(file->size - file->started),
                        SYNC_FILE_RANGE_WRITE);
        file->started = file->size;
    }
}

int segment_store_flush(struct segment_store *s) {
    if (s->n_pending == 0) {
        return 0;
    }
    int status = write_all(s->active->fd, s->parts, (int)(s->n_pending * PARTS), s->active->size);
    if (!status) {
        pthread_mutex_lock(&s->mutex);
        s->active->size += s->pending_size;
        s->active->unsynced = true;
        s->bytes += s->pending_size;
        pthread_mutex_unlock(&s->mutex);
        writeback_start(s->active);
    }
    pending_forget(s);
    return status;
}

/* Makes sure that a record can be queued. */
static int room_make(struct segment_store *s) {
    bool full = s->active && s->active->size + s->pending_size >= bytes_max(s);
    if (full || s->n_pending == SEGMENT_PENDING_MAX) {
        int status = segment_store_flush(s);
        if (status) {
            return status;
        }
    }
    if (full) {
        active_close(s);
    }
    return s->active ? 0 : segment_begin(s);
}

int segment_store_append(struct segment_store *s, struct bytes key, struct bytes value,
                         struct segment_pointer *ret) {
    int status = room_make(s);
    if (status) {
        pending_forget(s);
        return status;
    }
    uint64_t offset = s->active->size + s->pending_size;
    uint8_t *head = s->heads[s->n_pending];
    struct iovec *parts = &s->parts[s->n_pending * PARTS];
    *ret = (struct segment_pointer){
        .segment = s->active->id, .offset = (uint32_t)offset, .size = (uint32_t)value.size};
    segment_head_encode(key, value, ret, head);
    parts[0] = (struct iovec){head, SEGMENT_HEAD_SIZE};
    parts[1] = (struct iovec){(void *)(uintptr_t)key.data, key.size};
    parts[2] = (struct iovec){(void *)(uintptr_t)value.data, value.size};
    s->n_pending++;
    s->pending_size += segment_record_size(key.size, value.size);
    return 0;
}

int segment_store_sync(struct segment_store *s) {
    assert(s->n_pending == 0);
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct segment_file *file = s->files[i];
        if (!file->unsynced) {
            continue;
        }
        if (fdatasync(file->fd) != 0) {
            return error_now();
        }
        pthread_mutex_lock(&s->mutex);
        file->unsynced = false;
        pthread_mutex_unlock(&s->mutex);
    }
    if (s->folder_unsynced && fsync(s->folder_fd) != 0) {
        return error_now();
    }
    s->folder_unsynced = false;
    return 0;
}

/* ---- what is live ---- */

bool segment_store_holds(struct segment_store *s, const struct segment_pointer *pointer,
                         size_t key_size) {
    const struct segment_file *file = find(s, pointer->segment);
    return file && pointer->offset + segment_record_size(key_size, pointer->size) <= file->size;
}

bool segment_store_live(struct segment_store *s, const struct segment_pointer *pointer,
                        size_t key_size, int change) {
    int64_t size = (int64_t)segment_record_size(key_size, pointer->size) * change;
    pthread_mutex_lock(&s->mutex);
    struct segment_file *file = find(s, pointer->segment);
    if (file) {
        file->live += size;
        s->live += size;
    }
    pthread_mutex_unlock(&s->mutex);
    return file != NULL;
}

bool segment_store_lend(struct segment_store *s, const struct segment_pointer *pointer,
                        int change) {
    pthread_mutex_lock(&s->mutex);
    struct segment_file *file = find(s, pointer->segment);
    if (file) {
        file->lent += change;
    }
    pthread_mutex_unlock(&s->mutex);
    return file != NULL;
}

void segment_store_forget_live(struct segment_store *s) {
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->n_files; i++) {
        s->files[i]->live = s->files[i]->lent = 0;
        s->files[i]->left_alone = false;
    }
    s->live = 0;
    pthread_mutex_unlock(&s->mutex);
}

static uint64_t live_of(const struct segment_file *file) {
    return file->live > 0 ? (uint64_t)file->live : 0;
}

static bool worth_clearing(const struct segment_store *s, const struct segment_file *file) {
    uint64_t used = live_of(file) + SEGMENT_HEADER_SIZE;
    uint64_t dead = file->size > used ? file->size - used : 0;
    if (file->doomed || file->lent > 0 || (file->left_alone && file->live != 0)) {
        return false;
    }
    if (file == s->active) {
        return dead >= s->segment_bytes / SEGMENT_PART;
    }
    return dead >= file->size / SEGMENT_DEAD_PART || file->live <= 0;
}

bool segment_store_victim(struct segment_store *s, uint32_t *ret_id, uint64_t *ret_live) {
    struct segment_file *best = NULL;
    double least = 1.0;
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct segment_file *file = s->files[i];
        double part = (double)live_of(file) / (double)file->size;
        if (part < least && worth_clearing(s, file)) {
            best = file;
            least = part;
        }
    }
    if (!best) {
        return false;
    }
    if (best == s->active) {
        active_close(s);
    }
    *ret_id = best->id;
    *ret_live = live_of(best);
    return true;
}

bool segment_store_at_end(struct segment_store *s, uint32_t id, uint32_t offset) {
    const struct segment_file *file = find(s, id);
    return !file || offset >= file->size;
}

/* ---- reading ---- */

/* As many of `size` bytes as there are: the count, or ERR_CORRUPT, or ERR_DISK. A sector that
 * cannot be read is as gone as one with other bytes in it: another replica has them. */
static ssize_t read_at(struct segment_store *s, uint32_t id, uint64_t offset, uint8_t *into,
                       size_t size) {
    pthread_mutex_lock(&s->mutex);
    struct segment_file *file = find(s, id);
    int status = file ? fd_take(s, file) : ERR_CORRUPT;
    pthread_mutex_unlock(&s->mutex);
    if (status) {
        return status;
    }
    size_t have = 0;
    while (have < size) {
        ssize_t n = pread(file->fd, into + have, size - have, (off_t)(offset + have));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            fd_drop(s, file);
            return ERR_CORRUPT;
        }
        if (n == 0) {
            break;
        }
        have += (size_t)n;
    }
    fd_drop(s, file);
    return (ssize_t)have;
}

int segment_store_read(struct segment_store *s, const struct segment_pointer *pointer,
                       struct bytes key, uint8_t *room, struct bytes *ret) {
    size_t size = segment_record_size(key.size, pointer->size);
    ssize_t n = read_at(s, pointer->segment, pointer->offset, room, size);
    if (n < 0) {
        return (int)n;
    }
    return segment_record_check(bytes_of(room, (size_t)n), key, pointer, ret);
}

int segment_store_read_base(struct segment_store *s, const struct segment_pointer *pointer,
                            size_t key_size, uint8_t *room, struct bytes *ret) {
    size_t size = segment_record_size(key_size, pointer->size);
    ssize_t n = read_at(s, pointer->segment, pointer->offset, room, size);
    if (n < 0) {
        return (int)n;
    }
    return segment_base_check(bytes_of(room, (size_t)n), key_size, pointer, ret);
}

int segment_store_record(struct segment_store *s, uint32_t id, uint32_t offset, struct buffer *key,
                         struct segment_pointer *ret) {
    uint8_t start[PEEK];
    struct segment_head head;
    ssize_t n = read_at(s, id, offset, start, sizeof start);
    if (n == ERR_DISK) {
        return ERR_DISK;
    }
    if (n < SEGMENT_HEAD_SIZE || segment_head_decode(start, id, offset, &head) != 0) {
        return ERR_NOT_FOUND;
    }
    size_t have = (size_t)n - SEGMENT_HEAD_SIZE;
    size_t first = head.key_size < have ? head.key_size : have;
    buffer_clear(key);
    buffer_put(key, start + SEGMENT_HEAD_SIZE, first);
    size_t rest = head.key_size - first;
    if (rest > 0 && read_at(s, id, offset + SEGMENT_HEAD_SIZE + first, buffer_extend(key, rest),
                            rest) != (ssize_t)rest) {
        return ERR_NOT_FOUND;
    }
    *ret = (struct segment_pointer){
        .segment = id, .offset = offset, .size = head.value_size, .checksum = head.checksum};
    return 0;
}

void segment_store_enter(struct segment_store *s) {
    pthread_mutex_lock(&s->mutex);
    assert(!s->reader_within);
    s->reader_within = true;
    pthread_mutex_unlock(&s->mutex);
}

void segment_store_leave(struct segment_store *s) {
    pthread_mutex_lock(&s->mutex);
    s->reader_within = false;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- removing ---- */

bool segment_store_doom(struct segment_store *s, uint32_t id, bool proven) {
    pthread_mutex_lock(&s->mutex);
    struct segment_file *file = find(s, id);
    assert(file && file != s->active && !file->doomed);
    file->doomed = (proven || file->live == 0) && file->lent <= 0;
    file->left_alone = !file->doomed;
    if (file->doomed) {
        s->n_doomed++;
        s->doomed_bytes += file->size;
        s->bytes -= file->size;
        s->live -= file->live;
        file->live = 0;
    }
    pthread_mutex_unlock(&s->mutex);
    return file->doomed;
}

uint64_t segment_store_doomed(const struct segment_store *s) {
    return s->doomed_bytes;
}

static void file_remove(struct segment_store *s, struct segment_file *file) {
    char path[PATH_BYTES];
    path_of(s, file->id, path);
    unlink(path); /* if it fails, the next start finds it and clears it again */
    if (file->fd >= 0) {
        close(file->fd);
    }
    free(file);
}

/* Takes the doomed out of the table, into `ret`; returns their number. Mutex held. */
static uint32_t doomed_take(struct segment_store *s, struct segment_file **ret) {
    uint32_t kept = 0, n = 0;
    for (uint32_t i = 0; i < s->n_files; i++) {
        struct segment_file *file = s->files[i];
        if (!file->doomed) {
            s->files[kept++] = file;
            continue;
        }
        s->n_open -= file->fd >= 0;
        ret[n++] = file;
    }
    s->n_files = kept;
    return n;
}

bool segment_store_reap(struct segment_store *s) {
    struct segment_file **doomed = memory_new(s->n_doomed + 1, sizeof *doomed);
    pthread_mutex_lock(&s->mutex);
    bool within = s->reader_within;
    uint32_t n = within ? 0 : doomed_take(s, doomed);
    pthread_mutex_unlock(&s->mutex);
    for (uint32_t i = 0; i < n; i++) {
        file_remove(s, doomed[i]);
    }
    s->n_doomed -= n;
    s->doomed_bytes = within ? s->doomed_bytes : 0;
    free(doomed);
    return !within;
}

void segment_store_stats(struct segment_store *s, struct segment_store_stats *ret) {
    pthread_mutex_lock(&s->mutex);
    *ret = (struct segment_store_stats){
        .segments = s->n_files, .bytes = s->bytes, .live = s->live > 0 ? (uint64_t)s->live : 0};
    pthread_mutex_unlock(&s->mutex);
}
