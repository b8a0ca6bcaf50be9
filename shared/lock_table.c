/* lock_table: the locks on one file: ranges of bytes, who holds them, and which exclude which. */
#include "shared/lock_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"

enum { FORMAT_VERSION = 1, ENCODED_SIZE = 46 };

void lock_table_release(struct lock_table *table) {
    free(table->locks);
    *table = (struct lock_table){0};
}

void lock_table_copy(const struct lock_table *from, struct lock_table *ret) {
    *ret = (struct lock_table){.n = from->n, .capacity = from->n};
    ret->locks = memory_new(from->n + 1, sizeof *ret->locks);
    for (uint32_t i = 0; i < from->n; i++) {
        ret->locks[i] = from->locks[i];
    }
}

static int compare_u64(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int compare_owners(const struct lock *a, const struct lock *b) {
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    int order = memcmp(a->mount.bytes, b->mount.bytes, sizeof a->mount.bytes);
    return order != 0 ? order : compare_u64(a->owner, b->owner);
}

static int compare(const void *a, const void *b) {
    const struct lock *x = a, *y = b;
    int order = compare_owners(x, y);
    return order != 0 ? order : compare_u64(x->first, y->first);
}

bool lock_same_owner(const struct lock *a, const struct lock *b) {
    return compare_owners(a, b) == 0;
}

static bool overlap(const struct lock *a, const struct lock *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* Overlap, or one begins where the other ends. */
static bool touch(const struct lock *a, const struct lock *b) {
    return overlap(a, b) || (a->last != LOCK_TO_END && a->last + 1 == b->first) ||
           (b->last != LOCK_TO_END && b->last + 1 == a->first);
}

const struct lock *lock_table_conflict(const struct lock_table *table, const struct lock *lock) {
    for (uint32_t i = 0; i < table->n; i++) {
        const struct lock *other = &table->locks[i];
        bool excludes = other->type == LOCK_EXCLUSIVE || lock->type == LOCK_EXCLUSIVE;
        if (excludes && lock->type != LOCK_NONE && other->kind == lock->kind &&
            overlap(other, lock) && !lock_same_owner(other, lock)) {
            return other;
        }
    }
    return NULL;
}

static void add(struct lock_table *table, const struct lock *lock) {
    if (table->n == table->capacity) {
        table->capacity = table->capacity * 2 + 4;
        table->locks = memory_resize(table->locks, table->capacity * sizeof *table->locks);
    }
    table->locks[table->n++] = *lock;
}

/* What is left of `old` outside of the range of `lock`. */
static void add_rest(struct lock_table *table, const struct lock *old, const struct lock *lock) {
    struct lock part = *old;
    if (old->first < lock->first) {
        part.last = lock->first - 1;
        add(table, &part);
    }
    if (old->last > lock->last) {
        part = *old;
        part.first = lock->last + 1;
        add(table, &part);
    }
}

int lock_table_set(struct lock_table *table, const struct lock *lock) {
    assert(lock->first <= lock->last);
    struct lock_table next = {0};
    struct lock merged = *lock;
    for (uint32_t i = 0; i < table->n; i++) {
        const struct lock *old = &table->locks[i];
        if (!lock_same_owner(old, lock)) {
            add(&next, old);
        } else if (old->type == lock->type && touch(old, lock)) {
            merged.first = old->first < merged.first ? old->first : merged.first;
            merged.last = old->last > merged.last ? old->last : merged.last;
        } else if (overlap(old, lock)) {
            add_rest(&next, old, lock);
        } else {
            add(&next, old);
        }
    }
    if (lock->type != LOCK_NONE) {
        add(&next, &merged);
    }
    if (next.n > LOCK_TABLE_MAX && next.n > table->n) {
        lock_table_release(&next);
        return ERR_NO_LOCKS;
    }
    if (next.n > 0) {
        qsort(next.locks, next.n, sizeof *next.locks, compare);
    }
    lock_table_release(table);
    *table = next;
    return 0;
}

bool lock_table_holds(const struct lock_table *table, const struct lock *lock) {
    for (uint32_t i = 0; i < table->n; i++) {
        if (lock_same_owner(&table->locks[i], lock)) {
            return true;
        }
    }
    return false;
}

/* Keeps the locks of the mount, or those of all others. */
static bool keep(struct lock_table *table, const struct id128 *mount, bool its) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < table->n; i++) {
        if (id128_equal(&table->locks[i].mount, mount) == its) {
            table->locks[n++] = table->locks[i];
        }
    }
    bool dropped = n < table->n;
    table->n = n;
    return dropped;
}

bool lock_table_drop_mount(struct lock_table *table, const struct id128 *mount) {
    return keep(table, mount, false);
}

bool lock_table_drop_others(struct lock_table *table, const struct id128 *mount) {
    return keep(table, mount, true);
}

int lock_table_join(struct lock_table *into, const struct lock_table *from) {
    if (from->n > 0 && into->n + from->n > LOCK_TABLE_MAX) {
        return ERR_NO_LOCKS;
    }
    for (uint32_t i = 0; i < from->n; i++) {
        add(into, &from->locks[i]);
    }
    if (into->n > 0) {
        qsort(into->locks, into->n, sizeof *into->locks, compare);
    }
    return 0;
}

/* ---- the row's value ---- */

void lock_table_encode(const struct lock_table *table, struct buffer *into) {
    assert(table->n <= LOCK_TABLE_MAX);
    buffer_put_u8(into, FORMAT_VERSION);
    buffer_put_u16(into, (uint16_t)table->n);
    for (uint32_t i = 0; i < table->n; i++) {
        const struct lock *lock = &table->locks[i];
        buffer_put(into, lock->mount.bytes, sizeof lock->mount.bytes);
        buffer_put_u64(into, lock->owner);
        buffer_put_u32(into, lock->pid);
        buffer_put_u8(into, lock->kind);
        buffer_put_u8(into, lock->type);
        buffer_put_u64(into, lock->first);
        buffer_put_u64(into, lock->last);
    }
}

static struct lock lock_decode(struct reader *r) {
    struct lock lock = {.type = LOCK_NONE};
    struct bytes mount = reader_bytes(r, sizeof lock.mount.bytes);
    if (mount.size == sizeof lock.mount.bytes) {
        memcpy(lock.mount.bytes, mount.data, mount.size);
    }
    lock.owner = reader_u64(r);
    lock.pid = reader_u32(r);
    lock.kind = reader_u8(r);
    lock.type = reader_u8(r);
    lock.first = reader_u64(r);
    lock.last = reader_u64(r);
    return lock;
}

static bool lock_valid(const struct lock *lock) {
    bool kind = lock->kind == LOCK_POSIX || lock->kind == LOCK_FLOCK;
    return kind && (lock->type == LOCK_SHARED || lock->type == LOCK_EXCLUSIVE) &&
           lock->first <= lock->last;
}

/* Sorted, and an owner's locks apart. */
static bool pair_valid(const struct lock *a, const struct lock *b) {
    if (compare(a, b) >= 0) {
        return false;
    }
    return !lock_same_owner(a, b) || (a->type == b->type ? !touch(a, b) : !overlap(a, b));
}

static bool table_valid(const struct lock_table *table) {
    for (uint32_t i = 0; i < table->n; i++) {
        if (!lock_valid(&table->locks[i]) ||
            (i > 0 && !pair_valid(&table->locks[i - 1], &table->locks[i]))) {
            return false;
        }
    }
    return true;
}

int lock_table_decode(struct bytes encoded, struct lock_table *ret) {
    struct reader r = reader_of(encoded);
    struct lock_table table = {0};
    uint8_t version = reader_u8(&r);
    uint16_t n = reader_u16(&r);
    if (version != FORMAT_VERSION || n > LOCK_TABLE_MAX || r.left != (size_t)n * ENCODED_SIZE) {
        return ERR_INVALID;
    }
    for (uint16_t i = 0; i < n; i++) {
        struct lock lock = lock_decode(&r);
        add(&table, &lock);
    }
    if (reader_end(&r) < 0 || !table_valid(&table)) {
        lock_table_release(&table);
        return ERR_INVALID;
    }
    lock_table_release(ret);
    *ret = table;
    return 0;
}

void lock_table_check(const struct lock_table *table) {
    assert(table->n <= LOCK_TABLE_MAX);
    assert(table_valid(table));
}
