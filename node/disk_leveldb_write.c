/* disk_leveldb_write: a group of commits: large values to the segments, the rest to LevelDB. */
#include <stdlib.h>

#include "node/disk_leveldb_inside.h"
#include "shared/err.h"
#include "shared/hash.h"

/* A bit for each of so many hashes of keys. One key more or less with a large value costs a read of
 * LevelDB, never a wrong count: with 2^22 large values one small write in eight reads for nothing.
 */
enum { LARGE_BITS = 1 << 25 };

/* What LevelDB's batch has beside keys and values. */
enum { BATCH_HEAD = 12, BATCH_PUT_MAX = 11 };

/* A key of the group that has a large value, or may have had one before. */
struct touched {
    struct bytes key;              /* of the commit */
    struct segment_pointer before; /* the group */
    struct segment_pointer after;  /* the puts so far */
    UT_hash_handle hh;
};

/* A large value of the group: a record of its own, or a delta to one. */
struct large {
    struct segment_pointer pointer;
    size_t delta_at, delta_size; /* in d->deltas; 0 = none */
};

/* A group being written. */
struct group {
    const struct disk_commit *list;
    leveldb_writebatch_t *batch;
    struct large *large; /* in order */
    uint32_t n_large, capacity;
    uint32_t n_deltas;
    struct touched *touched; /* by key */
    uint64_t size;
};

static void large_bit(struct bytes key, size_t *ret_byte, uint8_t *ret_mask) {
    uint64_t bit = XXH3_64bits(key.data, key.size) % LARGE_BITS;
    *ret_byte = bit / 8;
    *ret_mask = (uint8_t)(1u << bit % 8);
}

void disk_leveldb_large(struct disk_leveldb *d, struct bytes key) {
    size_t byte;
    uint8_t mask;
    if (!d->large_keys) {
        d->large_keys = memory_new(LARGE_BITS / 8, 1);
    }
    large_bit(key, &byte, &mask);
    d->large_keys[byte] |= mask;
}

static bool may_be_large(const struct disk_leveldb *d, struct bytes key) {
    size_t byte;
    uint8_t mask;
    if (!d->count.done) {
        return true;
    }
    if (!d->large_keys) {
        return false;
    }
    large_bit(key, &byte, &mask);
    return d->large_keys[byte] & mask;
}

struct bytes disk_leveldb_stored(struct disk_leveldb *d, struct bytes key,
                                 struct segment_pointer *ret) {
    char *error = NULL;
    size_t size = 0;
    struct bytes rest;
    *ret = (struct segment_pointer){0};
    char *stored = leveldb_get(d->db, d->reading, (const char *)key.data, key.size, &size, &error);
    if (stored) {
        /* What cannot be read keeps its segment from being removed until the next start. */
        (void)segment_value_decode(bytes_of(stored, size), ret, &rest);
    }
    leveldb_free(error);
    return bytes_of(stored, size);
}

void disk_leveldb_pointer(struct disk_leveldb *d, struct bytes key, struct segment_pointer *ret) {
    leveldb_free((void *)(uintptr_t)disk_leveldb_stored(d, key, ret).data);
}

bool disk_leveldb_live(struct disk_leveldb *d, struct bytes key,
                       const struct segment_pointer *pointer, int change) {
    return pointer->of_other ? segment_store_lend(d->segments, pointer, change)
                             : segment_store_live(d->segments, pointer, key.size, change);
}

static bool large(const struct disk_leveldb *d, const struct disk_commit *commit,
                  const struct disk_put *put) {
    bool soon = commit->synced || d->sync_wanted; /* then it would wait for two files */
    uint32_t least = soon ? SEGMENT_LARGE_SIZE : SEGMENT_LARGE_BUFFERED_SIZE;
    return !d->config.no_segments && put->value.size >= least &&
           put->value.size <= SEGMENT_VALUE_MAX && put->key.size <= SEGMENT_KEY_MAX;
}

static struct large *large_new(struct group *group) {
    if (group->n_large == group->capacity) {
        group->capacity = group->capacity ? group->capacity * 2 : 16;
        group->large = memory_resize(group->large, group->capacity * sizeof *group->large);
    }
    return &group->large[group->n_large++];
}

/* ---- deltas ---- */

/* The value as what differs from a record that is there already: of the key's own or, better, of
 * the one that it is said to be like. It need not be what that key has now, and is never what the
 * group itself has written. */
static bool delta_of(struct disk_leveldb *d, const struct disk_put *put, struct large *ret) {
    bool other = put->like.size > 0;
    struct bytes key = other ? put->like : put->key;
    struct segment_delta delta;
    struct bytes base;
    if (put->value.size < SEGMENT_DELTA_VALUE_MIN || !may_be_large(d, key)) {
        return false;
    }
    disk_leveldb_pointer(d, key, &ret->pointer);
    if (ret->pointer.size == 0 || ret->pointer.of_other) {
        return false;
    }
    buffer_clear(&d->base);
    uint8_t *room = buffer_extend(&d->base, segment_record_size(key.size, ret->pointer.size));
    size_t max = other ? SEGMENT_DELTA_LIKE_MAX : SEGMENT_DELTA_MAX;
    if (segment_store_read(d->segments, &ret->pointer, key, room, &base) != 0 ||
        !segment_delta_make(base, put->value, put->like_at, max, &d->pieces, &delta)) {
        return false;
    }
    delta.of_other = ret->pointer.of_other = other;
    delta.key_size = key.size;
    delta.sum = disk_sum(put->key, put->value);
    ret->delta_at = d->deltas.size;
    segment_delta_encode(&delta, &d->deltas);
    ret->delta_size = d->deltas.size - ret->delta_at;
    return true;
}

/* Writes the large values; nothing points to them yet. */
static int values_write(struct disk_leveldb *d, struct group *group) {
    int status = 0;
    buffer_clear(&d->deltas);
    for (const struct disk_commit *commit = group->list; commit; commit = commit->next) {
        for (uint32_t i = 0; i < commit->n; i++) {
            const struct disk_put *put = &commit->puts[i];
            if (!large(d, commit, put)) {
                continue;
            }
            struct large *large = large_new(group);
            if (delta_of(d, put, large)) {
                group->n_deltas++;
                continue;
            }
            *large = (struct large){0};
            status = segment_store_append(d->segments, put->key, put->value, &large->pointer);
            if (status) {
                return status;
            }
        }
    }
    return segment_store_flush(d->segments);
}

static void touch(struct disk_leveldb *d, struct group *group, struct bytes key,
                  const struct segment_pointer *now) {
    struct touched *touched;
    HASH_FIND(hh, group->touched, key.data, key.size, touched);
    if (!touched) {
        touched = memory_new(1, sizeof *touched);
        touched->key = key;
        if (may_be_large(d, key)) {
            disk_leveldb_pointer(d, key, &touched->before);
        }
        HASH_ADD_KEYPTR(hh, group->touched, touched->key.data, touched->key.size, touched);
    }
    touched->after = *now;
    if (now->size) {
        disk_leveldb_large(d, key); /* at once: for the puts that follow in the group */
    }
}

static void row_put(struct disk_leveldb *d, struct group *group, const struct disk_put *put,
                    const struct large *large) {
    const char *key = (const char *)put->key.data;
    const struct segment_pointer *pointer = &large->pointer;
    if (pointer->size || may_be_large(d, put->key)) {
        touch(d, group, put->key, pointer);
    }
    if (put->value.size == 0) {
        leveldb_writebatch_delete(group->batch, key, put->key.size);
        return;
    }
    buffer_clear(&d->value);
    if (large->delta_size) {
        segment_put_base(&d->value, pointer);
        buffer_put(&d->value, d->deltas.data + large->delta_at, large->delta_size);
    } else if (pointer->size) {
        segment_put_pointer(&d->value, pointer);
    } else {
        segment_put_inline(&d->value, put->value);
    }
    leveldb_writebatch_put(group->batch, key, put->key.size, (const char *)d->value.data,
                           d->value.size);
}

static void batch_fill(struct disk_leveldb *d, struct group *group) {
    static const struct large none;
    uint32_t n = 0;
    for (const struct disk_commit *commit = group->list; commit; commit = commit->next) {
        for (uint32_t i = 0; i < commit->n; i++) {
            const struct disk_put *put = &commit->puts[i];
            row_put(d, group, put, large(d, commit, put) ? &group->large[n++] : &none);
        }
        group->size += disk_commit_size(commit);
    }
}

/* The group is written: what it pointed away from is dead. */
static void count_touched(struct disk_leveldb *d, struct group *group) {
    struct touched *touched, *next;
    HASH_ITER(hh, group->touched, touched, next) {
        if (touched->before.size) {
            disk_leveldb_live(d, touched->key, &touched->before, -1);
        }
        if (touched->after.size) {
            disk_leveldb_live(d, touched->key, &touched->after, 1);
        }
    }
}

static void group_release(struct group *group) {
    struct touched *touched, *next;
    HASH_ITER(hh, group->touched, touched, next) {
        HASH_DEL(group->touched, touched);
        free(touched);
    }
    free(group->large);
    leveldb_writebatch_destroy(group->batch);
}

static bool waited_for(const struct disk_commit *list) {
    while (list && !list->synced) {
        list = list->next;
    }
    return list != NULL;
}

static void count_group(struct disk_leveldb *d, const struct group *group, bool synced) {
    pthread_mutex_lock(&d->mutex);
    for (const struct disk_commit *commit = group->list; commit; commit = commit->next) {
        d->counters.commits++;
    }
    d->counters.groups += group->list != NULL;
    d->counters.syncs += synced;
    d->counters.bytes_written += group->size;
    d->counters.values_segmented += group->n_large - group->n_deltas;
    d->counters.values_as_deltas += group->n_deltas;
    pthread_mutex_unlock(&d->mutex);
}

int disk_leveldb_sync_values(struct disk_leveldb *d) {
    int status = segment_store_sync(d->segments);
    return status ? disk_leveldb_fail(d, status, false, "a segment could not be synced") : 0;
}

static void count_put(void *size, const char *key, size_t key_size, const char *value,
                      size_t value_size) {
    (void)key, (void)value;
    *(size_t *)size += BATCH_PUT_MAX + key_size + value_size;
}

static void count_delete(void *size, const char *key, size_t key_size) {
    (void)key;
    *(size_t *)size += BATCH_PUT_MAX + key_size;
}

int disk_leveldb_write_rows(struct disk_leveldb *d, leveldb_writebatch_t *batch, bool synced,
                            bool waited) {
    char *error = NULL;
    size_t size = BATCH_HEAD;
    int status = synced ? disk_leveldb_sync_values(d) : 0;
    if (status) {
        return status;
    }
    leveldb_writebatch_iterate(batch, &size, count_put, count_delete);
    disk_log_next(d->log, size, waited);
    leveldb_write(d->db, synced ? d->synced : d->buffered, batch, &error);
    if (error) {
        status = disk_leveldb_fail(d, disk_leveldb_error(error), true, error);
        leveldb_free(error);
    }
    return status;
}

/* Without a list the batch is empty: a record of twelve bytes, whose
 * sync makes all before it in the log durable. */
int disk_leveldb_write(struct disk_leveldb *d, struct disk_commit *list, bool synced) {
    int64_t begun = disk_now_ns();
    int status = disk_leveldb_failed(d);
    status = status ? status : disk_leveldb_lost(d);
    if (status) {
        return status;
    }
    bool waited = waited_for(list);
    d->sync_wanted =
        waited || (d->waited_ns != 0 && begun - d->waited_ns < DISK_SYNC_WANTED_MS * 1000000ll);
    struct group group = {.list = list, .batch = leveldb_writebatch_create()};
    status = values_write(d, &group);
    if (status == ERR_DISK) {
        disk_leveldb_fail(d, status, false, "a segment could not be written");
    } else if (status) {
        disk_leveldb_lose(d, status);
    }
    if (!status) {
        batch_fill(d, &group);
        status = disk_leveldb_write_rows(d, group.batch, synced, waited);
    }
    if (!status) {
        count_touched(d, &group);
        count_group(d, &group, synced);
    }
    group_release(&group);
    d->waited_ns = waited ? disk_now_ns() : d->waited_ns;
    if (!status && synced) {
        disk_leveldb_reap(d, begun);
    }
    return status;
}
