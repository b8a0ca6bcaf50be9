/* rows: the values that somebody works on, in memory between the logic and the disk. */
#include "node/core/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "shared/err.h"

struct rows {
    const struct disk *disk;
    bool (*sound)(void *context, struct bytes key, struct bytes bytes);
    void *context;
    rows_changed *changed; /* NULL = nobody watches */
    void (*answered)(void *context, int status);
    void *answered_context;
    void (*spoilt)(void *context, struct bytes key);
    void *spoilt_context;
    void *watcher;
    struct rows_commit *commits; /* in flight */
    struct row *table;           /* by key */
    struct row *oldest;          /* cached ones, in order of last use */
    struct row *youngest;
    uint64_t cached_bytes;
    uint64_t n_rows;
    uint64_t n_commits;
    uint64_t n_asked; /* commits handed to the disk since the start */
    uint64_t n_corrupt;
    uint64_t n_load_errors;
    uint64_t n_loads;
};

struct change {
    struct row *row;
    struct blob *blob; /* a reference of its own: the disk borrows it until done */
    bool reckoned;     /* from the value before it */
    bool spoils;       /* `blob` is what the disk is to hold of a row that is corrupt */
};

struct rows_commit {
    struct disk_commit disk;
    struct rows *rows;
    struct rows_commit *prev, *next;
    uint64_t number; /* in the order in which they were handed to the disk */
    uint32_t capacity;
    void (*done)(void *context, int status);
    void *context;
    struct bytes like;      /* owned */
    struct change *changes; /* behind the struct, in one allocation with the puts */
    struct disk_put *puts;
};

static void commit_free(struct rows_commit *commit) {
    free((void *)(uintptr_t)commit->like.data);
    free(commit);
}

struct rows *rows_new(const struct disk *disk,
                      bool (*sound)(void *context, struct bytes key, struct bytes bytes),
                      void *context) {
    struct rows *rows = memory_new(1, sizeof *rows);
    rows->disk = disk;
    rows->sound = sound;
    rows->context = context;
    return rows;
}

void rows_on_commit(struct rows *rows, void (*answered)(void *context, int status), void *context) {
    rows->answered = answered;
    rows->answered_context = context;
}

void rows_on_spoilt(struct rows *rows, void (*spoilt)(void *context, struct bytes key),
                    void *context) {
    rows->spoilt = spoilt;
    rows->spoilt_context = context;
}

void rows_watch(struct rows *rows, rows_changed *changed, void *context) {
    rows->changed = changed;
    rows->watcher = context;
}

void rows_in_flight(const struct rows *rows, void (*each)(void *context, const struct row *row),
                    void *context) {
    const struct rows_commit *commit;
    DL_FOREACH(rows->commits, commit) {
        for (uint32_t i = 0; i < commit->disk.n; i++) {
            each(context, commit->changes[i].row);
        }
    }
}

/* ---- the cache of rows that nobody holds ---- */

static size_t row_size(const struct row *row) {
    return sizeof *row + row->key.size + (row->newest != NULL ? row->newest->size : 0);
}

static void row_free(struct rows *rows, struct row *row) {
    HASH_DELETE(hh, rows->table, row);
    rows->n_rows--;
    blob_unref(row->newest);
    blob_unref(row->durable);
    free(row);
}

static void cache_remove(struct rows *rows, struct row *row) {
    assert(row->cached);
    *(row->older != NULL ? &row->older->newer : &rows->oldest) = row->newer;
    *(row->newer != NULL ? &row->newer->older : &rows->youngest) = row->older;
    row->older = NULL;
    row->newer = NULL;
    row->cached = false;
    rows->cached_bytes -= row_size(row);
}

static void cache_add(struct rows *rows, struct row *row) {
    row->older = rows->youngest;
    *(row->older != NULL ? &row->older->newer : &rows->oldest) = row;
    rows->youngest = row;
    row->cached = true;
    rows->cached_bytes += row_size(row);
    while (rows->cached_bytes > ROWS_CACHE_BYTES) {
        struct row *oldest = rows->oldest;
        cache_remove(rows, oldest);
        row_free(rows, oldest);
    }
}

/* Called whenever a row may have lost its last user. */
static void row_rest(struct rows *rows, struct row *row) {
    if (row->n_holds > 0 || row->n_commits > 0 || row->loading || row->reading_again) {
        return;
    }
    bool sound = row->newest_status == 0 && row->durable_status == 0;
    if (sound && (row->newest == NULL || row->newest->size <= ROWS_CACHED_VALUE_MAX)) {
        cache_add(rows, row);
    } else {
        row_free(rows, row);
    }
}

void rows_free(struct rows *rows) {
    if (rows == NULL) {
        return;
    }
    struct rows_commit *commit;
    struct rows_commit *next_commit;
    DL_FOREACH_SAFE(rows->commits, commit, next_commit) {
        for (uint32_t i = 0; i < commit->disk.n; i++) {
            blob_unref(commit->changes[i].blob);
        }
        commit_free(commit);
    }
    struct row *row;
    struct row *next;
    HASH_ITER(hh, rows->table, row, next) {
        assert(row->n_holds == (row->spoilt ? 1u : 0u));
        row_free(rows, row);
    }
    free(rows);
}

/* ---- loading ---- */

static void wake(struct row *row) {
    while (row->waiting != NULL) {
        struct row_pin *pin = row->waiting;
        struct rows_hold *hold = pin->hold;
        DL_DELETE(row->waiting, pin);
        pin->waits = false;
        assert(hold->n_loading > 0);
        if (--hold->n_loading == 0) {
            hold->ready(hold->context);
        }
    }
}

static void on_loaded(struct disk_read *read, int status, struct bytes value) {
    struct row *row = read->context;
    struct rows *rows = row->rows;
    struct blob *blob = NULL;
    if (status == 0) {
        status = blob_load(value, &blob);
    }
    if (blob != NULL && !rows->sound(rows->context, row->key, blob_bytes(blob))) {
        blob_unref(blob);
        blob = NULL;
        status = ERR_CORRUPT;
    }
    rows->n_corrupt += status == ERR_CORRUPT ? 1 : 0;
    rows->n_load_errors += status != 0 ? 1 : 0;
    row->loading = false;
    row->newest = blob;
    row->durable = blob_ref(blob);
    row->newest_status = status;
    row->durable_status = status;
    row->n_holds++; /* the row outlives what `ready` does */
    wake(row);
    row->n_holds--;
    row_rest(rows, row);
}

static struct row *row_new(struct rows *rows, struct bytes key) {
    struct row *row = memory_resize(NULL, sizeof *row + key.size);
    memset(row, 0, sizeof *row);
    memcpy(row + 1, key.data, key.size);
    row->key = bytes_of(row + 1, key.size);
    row->rows = rows;
    row->loading = true;
    HASH_ADD_KEYPTR(hh, rows->table, row->key.data, row->key.size, row);
    rows->n_rows++;
    rows->n_loads++;
    row->read = (struct disk_read){.key = row->key, .done = on_loaded, .context = row};
    rows->disk->read(rows->disk->self, &row->read);
    return row;
}

static bool unread(const struct row *row) {
    return !row->loading && row->n_commits == 0 && row->newest_status != 0 &&
           row->newest_status != ERR_CORRUPT;
}

static void on_read_again(struct disk_read *read, int status, struct bytes value) {
    struct row *row = read->context;
    row->reading_again = false;
    if (status == 0 && unread(row)) {
        on_loaded(read, status, value);
    } else {
        row_rest(row->rows, row);
    }
}

/* The disk did not answer when the row was asked for, and somebody holds it since. Whoever asks
 * next may find it read. */
static void read_again(struct row *row) {
    row->reading_again = true;
    row->read = (struct disk_read){.key = row->key, .done = on_read_again, .context = row};
    row->rows->disk->read(row->rows->disk->self, &row->read);
}

void rows_hold_init(struct rows_hold *hold, uint32_t n, void (*ready)(void *context),
                    void *context) {
    *hold = (struct rows_hold){.ready = ready, .context = context, .capacity = n};
    hold->pins = n <= ROWS_HELD_INLINE ? hold->few : memory_new(n, sizeof *hold->pins);
}

void rows_hold_add(struct rows *rows, struct rows_hold *hold, struct bytes key) {
    assert(hold->n < hold->capacity);
    struct row *row = NULL;
    HASH_FIND(hh, rows->table, key.data, key.size, row);
    if (row == NULL) {
        row = row_new(rows, key);
    } else if (row->cached) {
        cache_remove(rows, row);
    } else if (unread(row) && !row->reading_again) {
        read_again(row);
    }
    row->n_holds++;
    struct row_pin *pin = &hold->pins[hold->n++];
    *pin = (struct row_pin){.row = row, .hold = hold, .waits = row->loading};
    if (row->loading) {
        DL_APPEND(row->waiting, pin);
        hold->n_loading++;
    }
}

bool rows_hold_wait(struct rows_hold *hold) {
    return hold->n_loading == 0;
}

void rows_release(struct rows_hold *hold) {
    for (uint32_t i = 0; i < hold->n; i++) {
        struct row_pin *pin = &hold->pins[i];
        struct row *row = pin->row;
        if (pin->waits) {
            DL_DELETE(row->waiting, pin);
        }
        row->n_holds--;
        row_rest(row->rows, row);
    }
    if (hold->pins != hold->few) {
        free(hold->pins);
    }
    *hold = (struct rows_hold){0};
}

/* ---- commits ---- */

struct rows_commit *rows_commit_new(struct rows *rows, uint32_t n) {
    size_t size =
        sizeof(struct rows_commit) + n * (sizeof(struct change) + sizeof(struct disk_put));
    struct rows_commit *commit = memory_resize(NULL, size);
    *commit = (struct rows_commit){.rows = rows, .capacity = n};
    commit->changes = (struct change *)(void *)(commit + 1);
    commit->puts = (struct disk_put *)(void *)(commit->changes + n);
    return commit;
}

static void set_newest(struct row *row, int status, struct blob *blob) {
    blob_unref(row->newest);
    row->newest = blob;
    row->newest_status = status;
}

static void set_durable(struct row *row, int status, struct blob *blob) {
    blob_unref(row->durable);
    row->durable = blob;
    row->durable_status = status;
}

/* Takes over a reference to `blob`; NULL = the key is deleted. */
static struct change *add_change(struct rows_commit *commit, struct row *row, struct blob *blob) {
    assert(commit->disk.n < commit->capacity);
    assert(row->n_holds > 0 && !row->loading);
    row->n_commits++;
    uint32_t index = commit->disk.n++;
    commit->changes[index] = (struct change){.row = row, .blob = blob};
    commit->puts[index] = (struct disk_put){.key = row->key, .value = blob_stored(blob)};
    return &commit->changes[index];
}

/* A value that can be trusted is on its way. */
static void unspoil(struct row *row) {
    if (row->spoilt) {
        row->spoilt = false;
        row->n_holds--;
    }
}

/* `blob` NULL = the key is deleted. */
static struct change *change_row(struct rows_commit *commit, struct row *row, struct blob *blob) {
    struct change *change = add_change(commit, row, blob_ref(blob));
    set_newest(row, 0, blob);
    unspoil(row);
    return change;
}

void rows_commit_put(struct rows_commit *commit, struct row *row, struct blob *blob) {
    assert(blob != NULL);
    change_row(commit, row, blob);
}

void rows_commit_like(struct rows_commit *commit, struct bytes key, size_t at) {
    assert(commit->disk.n > 0 && commit->like.size == 0);
    struct disk_put *put = &commit->puts[commit->disk.n - 1];
    commit->like = bytes_copy(key);
    put->like = commit->like;
    put->like_at = at;
}

void rows_commit_remove(struct rows_commit *commit, struct row *row) {
    change_row(commit, row, NULL);
}

void rows_commit_reckon(struct rows_commit *commit, struct row *row, struct blob *blob) {
    assert(blob != NULL);
    change_row(commit, row, blob)->reckoned = true;
}

void rows_commit_spoil(struct rows_commit *commit, struct row *row) {
    static const uint8_t no_tally[1];
    add_change(commit, row, blob_new(bytes_of(no_tally, sizeof no_tally)))->spoils = true;
    set_newest(row, ERR_CORRUPT, NULL);
    row->n_doubts++;
}

void rows_doubt(struct row *row) {
    row->n_doubts++;
}

const struct blob *rows_durable(const struct rows *rows, struct bytes key) {
    const struct row *row = NULL;
    HASH_FIND(hh, rows->table, key.data, key.size, row);
    return row != NULL && row->durable_status == 0 ? row->durable : NULL;
}

uint32_t rows_doubts(const struct row *row) {
    return row->n_doubts;
}

void rows_forget(struct row *row) {
    assert(row->n_holds > 0 && row->newest == NULL);
    row->newest_status = 0;
}

/* What a commit brought to the disk. */
static void take_durable(struct rows *rows, struct row *row, const struct change *change) {
    if (change->spoils || row->spoilt) {
        blob_unref(change->blob);
        set_durable(row, ERR_CORRUPT, NULL);
        return;
    }
    if (rows->changed != NULL) {
        rows->changed(rows->watcher, row->key, row->durable, row->durable_status == 0,
                      change->blob);
    }
    set_durable(row, 0, change->blob);
}

static void on_spoilt(void *context, int status) {
    struct row *row = context;
    if (status == 0) {
        unspoil(row);
        row_rest(row->rows, row);
    }
}

/* The disk may come to hold what was reckoned from a commit that failed: not for long. Until it is
 * told so, or the row put anew, this row stays in memory, which knows better. */
static void spoil_alone(struct rows *rows, struct row *row) {
    row->n_doubts++;
    set_newest(row, ERR_CORRUPT, NULL);
    set_durable(row, ERR_CORRUPT, NULL);
    if (row->spoilt) {
        return;
    }
    row->spoilt = true;
    row->n_holds++;
    struct rows_commit *commit = rows_commit_new(rows, 1);
    rows_commit_spoil(commit, row);
    rows_commit_start(commit, false, on_spoilt, row);
}

/* Returns whether a failed change lives on in a later one. */
static bool settle(struct rows *rows, struct change *change, int status) {
    struct row *row = change->row;
    row->n_commits--;
    row->n_holds += change->spoils ? 1 : 0;
    if (status == 0) {
        take_durable(rows, row, change);
    } else {
        blob_unref(change->blob);
    }
    bool lives_on = status != 0 && row->n_commits > 0;
    if (status != 0 && (change->spoils || (change->reckoned && lives_on))) {
        spoil_alone(rows, row);
    } else if (row->n_commits == 0 && row_in_flight(row)) {
        /* The last commit failed, and nothing was built on it. */
        set_newest(row, row->durable_status, blob_ref(row->durable));
    }
    row_rest(rows, row);
    return lives_on && !change->reckoned && !change->spoils;
}

/* Each of the commit's rows that is spoilt; settle() kept it. */
static void tell_spoilt(struct rows *rows, const struct rows_commit *commit) {
    for (uint32_t i = 0; i < commit->disk.n; i++) {
        struct row *row = commit->changes[i].row;
        if (!commit->changes[i].spoils) {
            continue;
        }
        if (rows->spoilt != NULL) {
            rows->spoilt(rows->spoilt_context, row->key);
        }
        row->n_holds--;
        row_rest(rows, row);
    }
}

static void on_committed(struct disk_commit *disk_commit, int status) {
    struct rows_commit *commit = disk_commit->context;
    struct rows *rows = commit->rows;
    bool lives_on = false;
    rows->n_commits--;
    DL_DELETE(rows->commits, commit);
    for (uint32_t i = 0; i < commit->disk.n; i++) {
        lives_on |= settle(rows, &commit->changes[i], status);
    }
    if (rows->answered != NULL) {
        rows->answered(rows->answered_context, status);
    }
    if (lives_on) {
        status = ERR_UNKNOWN;
    }
    tell_spoilt(rows, commit);
    void (*done)(void *, int) = commit->done;
    void *context = commit->context;
    commit_free(commit);
    done(context, status);
}

void rows_commit_urge(struct rows_commit *commit) {
    commit->disk.urgent = true;
}

bool rows_commit_start(struct rows_commit *commit, bool synced,
                       void (*done)(void *context, int status), void *context) {
    struct rows *rows = commit->rows;
    if (commit->disk.n == 0) {
        commit_free(commit);
        return true;
    }
    commit->done = done;
    commit->context = context;
    commit->disk.puts = commit->puts;
    commit->disk.synced = synced;
    commit->disk.done = on_committed;
    commit->disk.context = commit;
    rows->n_commits++;
    commit->number = ++rows->n_asked;
    DL_APPEND(rows->commits, commit);
    rows->disk->commit(rows->disk->self, &commit->disk);
    return false;
}

uint64_t rows_commits_asked(const struct rows *rows) {
    return rows->n_asked;
}

bool rows_commits_ended(const struct rows *rows, uint64_t n) {
    return rows->commits == NULL || rows->commits->number > n;
}

void rows_stats(const struct rows *rows, struct rows_stats *ret) {
    *ret = (struct rows_stats){rows->n_rows,    rows->cached_bytes,  rows->n_commits,
                               rows->n_corrupt, rows->n_load_errors, rows->n_loads};
}
