/* disk_mem: the disk seam in memory. */
#include "tests/lib/disk_mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"

struct pair {
    struct bytes key;   /* owned */
    struct bytes value; /* owned */
};

/* What a put replaced, so that a machine crash can take it back. `value.data` NULL: no such key. */
struct undo {
    struct bytes key;   /* owned */
    struct bytes value; /* owned */
};

struct undo_commit {
    struct undo *undos;
    uint32_t n;
};

struct work {
    struct disk_mem *mem;
    enum disk_mem_work kind;
    int doom; /* what it will answer, decided already; 0 = not yet */
    union {
        struct disk_read *read;
        struct disk_scan *scan;
        struct disk_commit *commit;
    };
    struct timer timer;
    struct work *next;
    struct work *prev;
};

struct failure {
    unsigned works;
    int status;
    uint32_t count;
};

struct disk_mem {
    struct disk disk;
    struct pair *pairs; /* sorted by key */
    uint32_t n_pairs;
    uint32_t capacity;
    struct undo_commit *unsynced; /* oldest first */
    uint32_t n_unsynced;
    uint32_t unsynced_capacity;
    struct work *first;
    struct work *last;
    uint32_t n_work;
    struct disk_mem_time time;
    bool timed;
    int64_t commit_due_ns; /* of the youngest commit: later ones are not answered before it */
    struct failure failure;
    uint64_t space_free;
    uint64_t space_total;
    void (*changed)(void *context, struct bytes key, struct bytes old, struct bytes now);
    void *changed_context;
    void (*failed)(void *context, struct bytes key, struct bytes value);
    void *failed_context;
    void (*asked)(void *context);
    void *asked_context;
};

/* The index of the first pair whose key is not below `key`. */
static uint32_t lower_bound(const struct disk_mem *mem, struct bytes key) {
    uint32_t low = 0;
    uint32_t high = mem->n_pairs;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (bytes_compare(mem->pairs[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool found_at(const struct disk_mem *mem, uint32_t index, struct bytes key) {
    return index < mem->n_pairs && bytes_equal(mem->pairs[index].key, key);
}

static void bytes_free(struct bytes bytes) {
    free((void *)(uintptr_t)bytes.data);
}

static void insert_pair(struct disk_mem *mem, uint32_t index, struct bytes key,
                        struct bytes value) {
    if (mem->n_pairs == mem->capacity) {
        mem->capacity = mem->capacity > 0 ? mem->capacity * 2 : 64;
        mem->pairs = memory_resize(mem->pairs, mem->capacity * sizeof *mem->pairs);
    }
    memmove(mem->pairs + index + 1, mem->pairs + index,
            (mem->n_pairs - index) * sizeof *mem->pairs);
    mem->pairs[index] = (struct pair){bytes_copy(key), bytes_copy(value)};
    mem->n_pairs++;
}

static void remove_pair(struct disk_mem *mem, uint32_t index) {
    bytes_free(mem->pairs[index].key);
    bytes_free(mem->pairs[index].value);
    memmove(mem->pairs + index, mem->pairs + index + 1,
            (mem->n_pairs - index - 1) * sizeof *mem->pairs);
    mem->n_pairs--;
}

static void put_pair(struct disk_mem *mem, struct bytes key, struct bytes value) {
    uint32_t index = lower_bound(mem, key);
    if (!found_at(mem, index, key)) {
        if (value.size > 0) {
            insert_pair(mem, index, key, value);
        }
    } else if (value.size == 0) {
        remove_pair(mem, index);
    } else {
        bytes_free(mem->pairs[index].value);
        mem->pairs[index].value = bytes_copy(value);
    }
}

static void undo_commit_release(struct undo_commit *commit) {
    for (uint32_t i = 0; i < commit->n; i++) {
        bytes_free(commit->undos[i].key);
        bytes_free(commit->undos[i].value);
    }
    free(commit->undos);
}

static void forget_undo(struct disk_mem *mem) {
    for (uint32_t i = 0; i < mem->n_unsynced; i++) {
        undo_commit_release(&mem->unsynced[i]);
    }
    mem->n_unsynced = 0;
}

static struct undo undo_of(const struct disk_mem *mem, struct bytes key) {
    struct bytes old = disk_mem_get(mem, key);
    return (struct undo){bytes_copy(key), old.size > 0 ? bytes_copy(old) : bytes_of(NULL, 0)};
}

static void apply(struct disk_mem *mem, const struct disk_commit *commit) {
    struct undo_commit undo = {memory_new(commit->n, sizeof *undo.undos), commit->n};
    for (uint32_t i = 0; i < commit->n; i++) {
        undo.undos[i] = undo_of(mem, commit->puts[i].key);
        if (mem->changed != NULL) {
            mem->changed(mem->changed_context, commit->puts[i].key, undo.undos[i].value,
                         commit->puts[i].value);
        }
        put_pair(mem, commit->puts[i].key, commit->puts[i].value);
    }
    if (mem->n_unsynced == mem->unsynced_capacity) {
        mem->unsynced_capacity = mem->unsynced_capacity > 0 ? mem->unsynced_capacity * 2 : 64;
        mem->unsynced =
            memory_resize(mem->unsynced, mem->unsynced_capacity * sizeof *mem->unsynced);
    }
    mem->unsynced[mem->n_unsynced++] = undo;
    if (commit->synced) {
        forget_undo(mem);
    }
}

/* Takes back the youngest unsynced commit. */
static void undo_last(struct disk_mem *mem) {
    struct undo_commit *commit = &mem->unsynced[--mem->n_unsynced];
    for (uint32_t i = commit->n; i > 0; i--) {
        put_pair(mem, commit->undos[i - 1].key, commit->undos[i - 1].value);
    }
    undo_commit_release(commit);
}

/* The failure that was asked for, if it is for this kind of work. */
static int take_failure(struct disk_mem *mem, enum disk_mem_work kind) {
    if (mem->failure.count == 0 || (mem->failure.works & (unsigned)kind) == 0) {
        return 0;
    }
    mem->failure.count -= mem->failure.count != DISK_MEM_ALWAYS;
    return mem->failure.status;
}

static void answer_read(struct disk_mem *mem, struct disk_read *read, int status) {
    /* A copy, so that what the core keeps by mistake is caught by the address sanitizer. */
    struct bytes value = status == 0 ? bytes_copy(disk_mem_get(mem, read->key)) : bytes_of(NULL, 0);
    read->done(read, status, value);
    bytes_free(value);
}

static void answer_scan(struct disk_mem *mem, struct disk_scan *scan, int status) {
    if (status != 0) {
        scan->done(scan, status, NULL, 0, false);
        return;
    }
    uint32_t from = lower_bound(mem, scan->first);
    uint32_t end = lower_bound(mem, scan->before);
    uint32_t n = 0;
    size_t size = 0;
    while (from + n < end && n < scan->rows_max &&
           (n == 0 || size + mem->pairs[from + n].value.size <= scan->bytes_max)) {
        size += mem->pairs[from + n].value.size;
        n++;
    }
    struct disk_row *rows = memory_new(n, sizeof *rows);
    for (uint32_t i = 0; i < n; i++) {
        rows[i].key = bytes_copy(mem->pairs[from + i].key);
        struct bytes value = mem->pairs[from + i].value;
        rows[i].value = bytes_copy(scan->sums_only ? (struct bytes){0} : value);
        rows[i].sum = disk_sum(rows[i].key, value);
    }
    scan->done(scan, 0, rows, n, from + n < end);
    for (uint32_t i = 0; i < n; i++) {
        bytes_free(rows[i].key);
        bytes_free(rows[i].value);
    }
    free(rows);
}

static void answer_commit(struct disk_mem *mem, struct disk_commit *commit, int status) {
    if (status == 0) {
        apply(mem, commit);
    }
    for (uint32_t i = 0; i < commit->n && status != 0 && mem->failed != NULL; i++) {
        mem->failed(mem->failed_context, commit->puts[i].key, commit->puts[i].value);
    }
    commit->done(commit, status);
}

static void work_free(struct work *work) {
    struct disk_mem *mem = work->mem;
    *(work->prev != NULL ? &work->prev->next : &mem->first) = work->next;
    *(work->next != NULL ? &work->next->prev : &mem->last) = work->prev;
    mem->n_work--;
    if (timer_armed(&work->timer)) {
        timers_cancel(mem->time.timers, &work->timer);
    }
    free(work);
}

static void answer(void *context) {
    struct work *work = context;
    struct work copy = *work;
    struct disk_mem *mem = work->mem;
    work_free(work);
    int status = copy.doom != 0 ? copy.doom : take_failure(mem, copy.kind);
    switch (copy.kind) {
    case DISK_MEM_READ:
        answer_read(mem, copy.read, status);
        break;
    case DISK_MEM_SCAN:
        answer_scan(mem, copy.scan, status);
        break;
    case DISK_MEM_COMMIT:
    case DISK_MEM_COMMIT_SYNCED:
    case DISK_MEM_ANY:
        answer_commit(mem, copy.commit, status);
        break;
    }
}

static bool is_commit(const struct work *work) {
    return work->kind == DISK_MEM_COMMIT || work->kind == DISK_MEM_COMMIT_SYNCED;
}

static int64_t due_ns(struct disk_mem *mem, enum disk_mem_work kind) {
    int64_t due =
        mem->time.now_ns(mem->time.context) + mem->time.latency_ns(mem->time.context, kind);
    if (kind == DISK_MEM_READ || kind == DISK_MEM_SCAN) {
        return due;
    }
    if (due < mem->commit_due_ns) {
        due = mem->commit_due_ns;
    }
    mem->commit_due_ns = due;
    return due;
}

/* A commit that meets a disk that fails for good is lost, and so is what is asked before its
 * answer: it may be built on it. */
static void doom(struct disk_mem *mem, struct work *work) {
    if (!is_commit(work)) {
        return;
    }
    const struct work *before = work->prev;
    while (before != NULL && !is_commit(before)) {
        before = before->prev;
    }
    if (before != NULL && before->doom != 0) {
        work->doom = before->doom;
    } else if (work->doom == 0 && mem->failure.count == DISK_MEM_ALWAYS) {
        work->doom = take_failure(mem, work->kind);
    }
}

static struct work *enqueue(struct disk_mem *mem, enum disk_mem_work kind) {
    struct work *work = memory_new(1, sizeof *work);
    *work = (struct work){.mem = mem, .kind = kind, .prev = mem->last};
    *(mem->last != NULL ? &mem->last->next : &mem->first) = work;
    mem->last = work;
    mem->n_work++;
    work->timer.fire = answer;
    work->timer.context = work;
    doom(mem, work);
    if (mem->timed) {
        timers_set(mem->time.timers, &work->timer, due_ns(mem, kind));
    }
    return work;
}

static void on_read(void *self, struct disk_read *read) {
    enqueue(self, DISK_MEM_READ)->read = read;
}

static void on_scan(void *self, struct disk_scan *scan) {
    assert(scan->rows_max > 0);
    enqueue(self, DISK_MEM_SCAN)->scan = scan;
}

static void on_commit(void *self, struct disk_commit *commit) {
    assert(commit->n > 0 || commit->synced);
    struct disk_mem *mem = self;
    enqueue(mem, commit->synced ? DISK_MEM_COMMIT_SYNCED : DISK_MEM_COMMIT)->commit = commit;
    if (mem->asked != NULL) {
        mem->asked(mem->asked_context);
    }
}

static void on_space(void *self, uint64_t *ret_free, uint64_t *ret_total) {
    const struct disk_mem *mem = self;
    *ret_free = mem->space_free;
    *ret_total = mem->space_total;
}

struct disk_mem *disk_mem_new(void) {
    struct disk_mem *mem = memory_new(1, sizeof *mem);
    mem->disk = (struct disk){mem, on_read, on_scan, on_commit, on_space};
    return mem;
}

static void drop_work(struct disk_mem *mem) {
    while (mem->first != NULL) {
        work_free(mem->first);
    }
}

void disk_mem_wipe(struct disk_mem *mem) {
    assert(mem->first == NULL);
    forget_undo(mem);
    while (mem->n_pairs > 0) {
        remove_pair(mem, mem->n_pairs - 1);
    }
}

void disk_mem_free(struct disk_mem *mem) {
    if (mem == NULL) {
        return;
    }
    drop_work(mem);
    disk_mem_wipe(mem);
    free(mem->unsynced);
    free(mem->pairs);
    free(mem);
}

const struct disk *disk_mem_disk(struct disk_mem *mem) {
    return &mem->disk;
}

bool disk_mem_step(struct disk_mem *mem) {
    if (mem->first == NULL) {
        return false;
    }
    answer(mem->first);
    return true;
}

void disk_mem_run(struct disk_mem *mem) {
    while (disk_mem_step(mem)) {
    }
}

uint32_t disk_mem_pending(const struct disk_mem *mem) {
    return mem->n_work;
}

void disk_mem_timed(struct disk_mem *mem, const struct disk_mem_time *time) {
    mem->time = *time;
    mem->timed = true;
    int64_t now_ns = time->now_ns(time->context);
    mem->commit_due_ns = now_ns;
    for (struct work *work = mem->first; work != NULL; work = work->next) {
        timers_set(time->timers, &work->timer, now_ns);
    }
}

void disk_mem_crash(struct disk_mem *mem, const struct disk_mem_loss *loss) {
    bool all_unsynced_kept = !loss->machine || loss->unsynced_kept >= mem->n_unsynced;
    while (loss->machine && mem->n_unsynced > loss->unsynced_kept) {
        undo_last(mem);
    }
    uint32_t kept = 0;
    for (struct work *work = mem->first; work != NULL && all_unsynced_kept; work = work->next) {
        if (is_commit(work) && work->doom == 0 && kept++ < loss->queued_kept) {
            apply(mem, work->commit);
        }
    }
    drop_work(mem);
    /* The machine is up again: what it found on its disk is on its disk. */
    if (loss->machine) {
        forget_undo(mem);
    }
    mem->failure.count = 0;
    mem->commit_due_ns = 0;
}

uint32_t disk_mem_queued(const struct disk_mem *mem) {
    uint32_t n = 0;
    for (const struct work *work = mem->first; work != NULL; work = work->next) {
        n += is_commit(work) ? 1 : 0;
    }
    return n;
}

uint32_t disk_mem_unsynced(const struct disk_mem *mem) {
    return mem->n_unsynced;
}

void disk_mem_fail(struct disk_mem *mem, unsigned works, int status, uint32_t count) {
    mem->failure = (struct failure){works, status, count};
    for (struct work *work = mem->first; work != NULL; work = work->next) {
        if (mem->failure.count > 0) {
            doom(mem, work);
        } else if (work->doom != 0 && mem->timed) {
            timers_set(mem->time.timers, &work->timer, mem->time.now_ns(mem->time.context));
        }
    }
}

bool disk_mem_corrupt(struct disk_mem *mem, struct bytes key) {
    uint32_t index = lower_bound(mem, key);
    if (!found_at(mem, index, key)) {
        return false;
    }
    uint8_t *data = (uint8_t *)(uintptr_t)mem->pairs[index].value.data;
    data[mem->pairs[index].value.size / 2] ^= 0x10;
    return true;
}

void disk_mem_set_space(struct disk_mem *mem, uint64_t free_bytes, uint64_t total) {
    mem->space_free = free_bytes;
    mem->space_total = total;
}

uint32_t disk_mem_size(const struct disk_mem *mem) {
    return mem->n_pairs;
}

struct disk_row disk_mem_at(const struct disk_mem *mem, uint32_t index) {
    assert(index < mem->n_pairs);
    struct bytes key = mem->pairs[index].key, value = mem->pairs[index].value;
    return (struct disk_row){key, value, disk_sum(key, value)};
}

struct bytes disk_mem_get(const struct disk_mem *mem, struct bytes key) {
    uint32_t index = lower_bound(mem, key);
    return found_at(mem, index, key) ? mem->pairs[index].value : bytes_of(NULL, 0);
}

void disk_mem_watch_asked(struct disk_mem *mem, void (*asked)(void *context), void *context) {
    mem->asked = asked;
    mem->asked_context = context;
}

void disk_mem_watch(struct disk_mem *mem,
                    void (*changed)(void *context, struct bytes key, struct bytes old,
                                    struct bytes now),
                    void *context) {
    mem->changed = changed;
    mem->changed_context = context;
}

void disk_mem_watch_failed(struct disk_mem *mem,
                           void (*failed)(void *context, struct bytes key, struct bytes value),
                           void *context) {
    mem->failed = failed;
    mem->failed_context = context;
}
