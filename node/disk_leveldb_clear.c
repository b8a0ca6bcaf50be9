/* disk_leveldb_clear: the housekeeping of segments: counts what is live, clears what is mostly not.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node/disk_leveldb_inside.h"
#include "shared/err.h"

/* A segment is cleared in three moves: what is live is copied, in steps; the copies are synced and
 * pointed to, where nothing newer is; and after the next sync the file is removed. A crash at any
 * point leaves at worst copies that nothing points to.
 *
 * How fast depends on the dead part of all bytes in segments. Beyond CLEAR_HARD_PERCENT the writers
 * wait for the clearing: with the copies of one segment and CLEAR_DOOMED_PART on top of that, the
 * segments stay below twice what is live. */
enum {
    COUNT_ROWS = 2000, /* looked at in a step of the count ... */
    COUNT_PAUSE_US = 5000,
    CLEAR_DEAD_PERCENT = 20,  /* from here on gently: 256 KiB every 16 ms, 16 MiB/s ... */
    CLEAR_BRISK_PERCENT = 30, /* ... 1 MiB every 4 ms, 250 MiB/s ... */
    CLEAR_HARD_PERCENT = 37,  /* ... 8 MiB after each group of commits */
    CLEAR_DOOMED_PART = 8,    /* of live bytes, in empty segments, is not kept for the next sync */
    CLEAR_FULL_PERCENT = 4,   /* on a disk that is nearly full: briskly from here on */
    CLEAR_DEAD_RATIO = 16,    /* a dead byte is passed by this much cheaper than a live one */
    CLEAR_RETRY_MS = 1000,    /* after something stood in the way */
    CLEAR_MOVES_AT_ONCE = 512,
    CLEAR_ROOM = 16 << 20, /* left free on the disk by a clearing */
};

struct disk_move {
    uint32_t key_at, key_size; /* in `keys` */
    struct segment_pointer from, to;
};

struct pace {
    uint64_t bytes;
    int64_t pause_ns;
};

/* ---- the count ---- */

static void count_pointer(struct disk_leveldb *d, struct bytes key,
                          const struct segment_pointer *pointer) {
    disk_leveldb_large(d, key);
    size_t key_size = pointer->of_other ? 0 : key.size;
    if (!segment_store_holds(d->segments, pointer, key_size) && d->count.n_astray++ == 0) {
        d->count.first_astray = pointer->segment;
    }
    disk_leveldb_live(d, key, pointer, 1);
}

static void count_end(struct disk_leveldb *d) {
    char *error = NULL;
    leveldb_iter_get_error(d->count.at, &error);
    leveldb_iter_destroy(d->count.at);
    d->count.at = NULL;
    d->count.done = !error;
    d->count.failed = error != NULL;
    uint32_t n_damaged = segment_store_damaged(d->segments);
    pthread_mutex_lock(&d->mutex);
    d->counters.values_astray = d->count.n_astray;
    pthread_mutex_unlock(&d->mutex);
    if (error) {
        disk_leveldb_note(
            d, "the rows in %s cannot be counted (%s): space in segments is not reclaimed",
            d->directory, error);
    } else if (d->count.n_astray || n_damaged) {
        disk_leveldb_note(d,
                          "%s/segments is damaged: %" PRIu32
                          " files have no sound header, and %" PRIu64
                          " rows point to what is not there (segment %" PRIu32
                          " first); the other replicas' copies of them are used",
                          d->directory, n_damaged, d->count.n_astray, d->count.first_astray);
    }
    leveldb_free(error);
}

/* Before the first write. */
void disk_leveldb_count_begin(struct disk_leveldb *d) {
    d->count.at = leveldb_create_iterator(d->db, d->scanning);
    leveldb_iter_seek_to_first(d->count.at);
}

void disk_leveldb_count_forget(struct disk_leveldb *d) {
    if (d->count.at) {
        leveldb_iter_destroy(d->count.at);
    }
    d->count = (struct disk_count){0};
    segment_store_forget_live(d->segments);
}

/* The iterator sees the rows as they were when it began; what changes meanwhile is told by those
 * who change it, so that the sum is right at the end, whatever the order. */
static void count_step(struct disk_leveldb *d) {
    leveldb_iterator_t *at = d->count.at;
    for (int i = 0; i < COUNT_ROWS && leveldb_iter_valid(at); i++, leveldb_iter_next(at)) {
        struct bytes key, value, whole;
        struct segment_pointer pointer = {0};
        value.data = (const uint8_t *)leveldb_iter_value(at, &value.size);
        if (segment_value_decode(value, &pointer, &whole) == 0 && pointer.size) {
            key.data = (const uint8_t *)leveldb_iter_key(at, &key.size);
            count_pointer(d, key, &pointer);
        }
    }
    if (!leveldb_iter_valid(at)) {
        count_end(d);
    }
}

/* ---- removing what is empty ---- */

static void log_sync(void *context, int folder, const char *name) {
    bool *synced = context;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        *synced = fdatasync(fd) == 0 && *synced;
        close(fd);
    } else {
        *synced = *synced && errno == ENOENT; /* its table is written */
    }
}

/* A sync of LevelDB's log does not reach the end of the log before it, whose table may still be
 * being written. */
static bool logs_sync(struct disk_leveldb *d) {
    bool synced = true;
    return disk_leveldb_logs(d, log_sync, &synced) && synced;
}

void disk_leveldb_reap(struct disk_leveldb *d, int64_t sync_begun_ns) {
    bool due = segment_store_doomed(d->segments) && d->clearing.doomed_ns < sync_begun_ns;
    if (due && logs_sync(d)) {
        segment_store_reap(d->segments);
    }
}

/* ---- clearing ---- */

static bool same_place(const struct segment_pointer *a, const struct segment_pointer *b) {
    return !a->of_other && !b->of_other && a->size == b->size && a->segment == b->segment &&
           a->offset == b->offset;
}

static void move_note(struct disk_clearing *c, const struct segment_pointer *from,
                      const struct segment_pointer *to) {
    if (c->n_moves == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 256;
        c->moves = memory_resize(c->moves, c->capacity * sizeof *c->moves);
    }
    c->moves[c->n_moves++] = (struct disk_move){.key_at = (uint32_t)c->keys.size,
                                                .key_size = (uint32_t)c->key.size,
                                                .from = *from,
                                                .to = *to};
    buffer_put_bytes(&c->keys, buffer_bytes(&c->key));
}

/* Copies the record at hand. One that is damaged stays behind: its row answers CORRUPT until
 * another replica's copy is written over it, and only then the file goes. */
static int record_copy(struct disk_leveldb *d, const struct segment_pointer *from) {
    struct disk_clearing *c = &d->clearing;
    struct bytes key = buffer_bytes(&c->key), value;
    struct segment_pointer to;
    buffer_clear(&c->record);
    uint8_t *room = buffer_extend(&c->record, segment_record_size(key.size, from->size));
    int status = segment_store_read(d->segments, from, key, room, &value);
    if (status) {
        c->n_behind += status == ERR_CORRUPT;
        return status == ERR_CORRUPT ? 0 : status;
    }
    status = segment_store_append(d->segments, key, value, &to);
    if (!status) {
        status = segment_store_flush(d->segments);
    }
    if (!status) {
        move_note(c, from, &to);
    }
    return status;
}

/* Copies on, for about so many bytes. *ret_end: the segment has no further records. */
static int clear_copy(struct disk_leveldb *d, uint64_t bytes, bool *ret_end) {
    struct disk_clearing *c = &d->clearing;
    uint64_t copied = 0;
    for (uint64_t spent = 0; spent < bytes;) {
        struct segment_pointer here, now;
        int status = segment_store_record(d->segments, c->segment, c->offset, &c->key, &here);
        if (status == ERR_NOT_FOUND) {
            *ret_end = true;
            break;
        }
        if (status) {
            return status;
        }
        uint64_t size = segment_record_size(c->key.size, here.size);
        disk_leveldb_pointer(d, buffer_bytes(&c->key), &now);
        bool live = same_place(&here, &now);
        status = live ? record_copy(d, &here) : 0;
        if (status) {
            return status;
        }
        copied += live ? size : 0;
        spent += live ? size : size / CLEAR_DEAD_RATIO + 1;
        c->offset += (uint32_t)size;
    }
    pthread_mutex_lock(&d->mutex);
    d->counters.segment_bytes_moved += copied;
    pthread_mutex_unlock(&d->mutex);
    return 0;
}

/* Points to some copies, where the row still points to what was copied. */
static int moves_point(struct disk_leveldb *d, const struct disk_move *moves, uint32_t n) {
    bool moved[CLEAR_MOVES_AT_ONCE];
    struct bytes keys = buffer_bytes(&d->clearing.keys);
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    for (uint32_t i = 0; i < n; i++) {
        struct segment_pointer now;
        struct bytes key = bytes_of(keys.data + moves[i].key_at, moves[i].key_size);
        struct bytes stored = disk_leveldb_stored(d, key, &now);
        moved[i] = same_place(&now, &moves[i].from);
        if (moved[i]) {
            buffer_clear(&d->value);
            segment_put_moved(&d->value, stored, &moves[i].to);
            leveldb_writebatch_put(batch, (const char *)key.data, key.size,
                                   (const char *)d->value.data, d->value.size);
        }
        leveldb_free((void *)(uintptr_t)stored.data);
    }
    int status = disk_leveldb_write_rows(d, batch, false, false);
    leveldb_writebatch_destroy(batch);
    for (uint32_t i = 0; i < n && !status; i++) {
        if (moved[i]) {
            segment_store_live(d->segments, &moves[i].from, moves[i].key_size, -1);
            segment_store_live(d->segments, &moves[i].to, moves[i].key_size, 1);
        }
    }
    return status;
}

/* All is copied. The copies are synced before anything points to them: what was durable must not
 * become what a power cut can take. */
static int clear_finish(struct disk_leveldb *d) {
    struct disk_clearing *c = &d->clearing;
    int status = c->n_moves ? disk_leveldb_sync_values(d) : 0;
    for (uint32_t i = 0; i < c->n_moves && !status; i += CLEAR_MOVES_AT_ONCE) {
        uint32_t left = c->n_moves - i;
        status =
            moves_point(d, c->moves + i, left < CLEAR_MOVES_AT_ONCE ? left : CLEAR_MOVES_AT_ONCE);
    }
    if (!status) {
        bool all = c->n_behind == 0 && segment_store_at_end(d->segments, c->segment, c->offset);
        segment_store_doom(d->segments, c->segment, all);
        c->doomed_ns = disk_now_ns();
    }
    c->busy = false;
    c->n_moves = c->n_behind = 0;
    buffer_clear(&c->keys);
    return status;
}

void disk_leveldb_clear_end(struct disk_leveldb *d) {
    if (d->count.at) {
        leveldb_iter_destroy(d->count.at);
    }
    buffer_release(&d->clearing.keys);
    buffer_release(&d->clearing.key);
    buffer_release(&d->clearing.record);
    free(d->clearing.moves);
}

/* ---- how fast ---- */

static uint64_t space_free(const struct disk_leveldb *d) {
    struct statvfs st;
    return statvfs(d->directory, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : UINT64_MAX;
}

/* bytes 0: nothing to do. */
static struct pace pace_of(struct disk_leveldb *d) {
    struct segment_store_stats stats;
    segment_store_stats(d->segments, &stats);
    uint64_t dead = stats.bytes > stats.live ? stats.bytes - stats.live : 0;
    uint64_t percent = stats.bytes ? dead * 100 / stats.bytes : 0;
    uint64_t least = d->config.segment_bytes / SEGMENT_PART;
    bool full = percent >= CLEAR_FULL_PERCENT && percent < CLEAR_BRISK_PERCENT &&
                space_free(d) < 2 * d->config.reserve_bytes;
    if (dead < least || (percent < CLEAR_DEAD_PERCENT && !full)) {
        return (struct pace){0, 0};
    }
    if (percent >= CLEAR_HARD_PERCENT) {
        return (struct pace){8 << 20, 0};
    }
    if (percent >= CLEAR_BRISK_PERCENT || full) {
        return (struct pace){1 << 20, 4000000};
    }
    return (struct pace){256 << 10, 16000000};
}

static bool clear_begin(struct disk_leveldb *d) {
    uint32_t id;
    uint64_t live;
    if (!segment_store_victim(d->segments, &id, &live)) {
        return false;
    }
    if (live > 0 && space_free(d) < live + CLEAR_ROOM) {
        return false;
    }
    d->clearing.busy = true;
    d->clearing.segment = id;
    d->clearing.offset = SEGMENT_HEADER_SIZE;
    return true;
}

/* Returns the pause until the next step. */
static int64_t clear_step(struct disk_leveldb *d, bool *ret_wrote) {
    struct disk_clearing *c = &d->clearing;
    struct pace pace = pace_of(d);
    if (!c->busy && pace.bytes == 0) {
        return DISK_BACKGROUND_NONE;
    }
    if (!c->busy && !clear_begin(d)) {
        return CLEAR_RETRY_MS * 1000000ll;
    }
    bool end = false;
    *ret_wrote = true;
    int status = clear_copy(d, pace.bytes ? pace.bytes : 256 << 10, &end);
    if (!status && end) {
        status = clear_finish(d);
    }
    return status ? CLEAR_RETRY_MS * 1000000ll : pace.pause_ns;
}

/* Whether they should not wait for the next sync. */
static bool doomed_many(struct disk_leveldb *d, uint64_t doomed) {
    struct segment_store_stats stats;
    segment_store_stats(d->segments, &stats);
    uint64_t least = d->config.segment_bytes / SEGMENT_PART;
    return doomed > least && doomed > stats.live / CLEAR_DOOMED_PART;
}

int64_t disk_leveldb_background(struct disk_leveldb *d, bool *ret_wrote) {
    if (disk_leveldb_failed(d) || d->count.failed) {
        return DISK_BACKGROUND_NONE;
    }
    if (!d->count.done) {
        count_step(d);
        return COUNT_PAUSE_US * 1000ll;
    }
    int64_t pause_ns = clear_step(d, ret_wrote);
    uint64_t doomed = segment_store_doomed(d->segments);
    *ret_wrote = *ret_wrote || doomed > 0;
    if (doomed_many(d, doomed)) {
        disk_leveldb_write(d, NULL, true);
    }
    return pause_ns;
}
