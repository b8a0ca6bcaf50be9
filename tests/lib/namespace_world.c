/* namespace_world: the two clients and their short forms. */
#include "tests/lib/namespace_world.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"

static void run(void *arg) {
    struct world *w = arg;
    int err = namespace_open(store_mem_store(w->mem), &w->ns);
    assert(err == 0);
    err = namespace_open(store_mem_store(w->mem), &w->other);
    assert(err == 0);
    (void)err;
    store_mem_reset_hooks(w->mem);
    w->test(w);
    namespace_close(w->ns);
    namespace_close(w->other);
}

void world_run(void (*test)(struct world *w)) {
    struct world w = {.mem = store_mem_new(), .test = test};
    task_run(w.mem, run, &w, 0);
    store_mem_free(w.mem);
}

struct record file_record(const char *text) {
    return (struct record){
        .mode = S_IFREG | 0644, .size = strlen(text), .data = bytes_of_string(text)};
}

int make_file(struct namespace *ns, const struct id128 *directory, const char *name,
              const char *text) {
    struct record record = file_record(text);
    struct entry entry = {0};
    int err = namespace_create(ns, directory, name, &record, &entry);
    entry_release(&entry);
    return err;
}

int make_directory(struct namespace *ns, const struct id128 *parent, const char *name,
                   struct id128 *ret) {
    struct entry entry = {0};
    int err = namespace_mkdir(ns, parent, name, 0755, 1, 2, &entry);
    if (ret) {
        *ret = entry.record.directory;
    }
    entry_release(&entry);
    return err;
}

int look(struct namespace *ns, const struct id128 *directory, const char *name, const char *text) {
    struct entry entry;
    int err = namespace_lookup(ns, directory, name, &entry);
    if (err < 0) {
        return err;
    }
    bool same = strcmp(entry.name, name) == 0 &&
                (text == NULL || bytes_equal(entry.record.data, bytes_of_string(text)));
    entry_release(&entry);
    return same ? 0 : ERR_IO;
}

int move(struct namespace *ns, const struct id128 *from, const char *from_name,
         const struct id128 *to, const char *to_name) {
    return namespace_rename(ns, from, from_name, to, to_name, 0, NULL, NULL);
}

static int set_change(void *context, struct record *record) {
    struct bytes text = bytes_of_string(context);
    record_set_data(record, text);
    record->size = text.size;
    return 0;
}

static int append_change(void *context, struct record *record) {
    char joined[RECORD_INLINE_MAX];
    int size = snprintf(joined, sizeof joined, "%.*s%s", (int)record->data.size,
                        (const char *)record->data.data, (const char *)context);
    record_set_data(record, bytes_of(joined, (size_t)size));
    record->size = (uint64_t)size;
    return 0;
}

static int change_text(struct namespace *ns, const struct id128 *directory, const char *name,
                       int (*change)(void *context, struct record *record), const char *text) {
    struct entry entry;
    char copy[256];
    int err = namespace_lookup(ns, directory, name, &entry);
    if (err < 0) {
        return err;
    }
    snprintf(copy, sizeof copy, "%s", text);
    err = namespace_update(ns, &entry, change, copy, false);
    entry_release(&entry);
    return err;
}

int write_text(struct namespace *ns, const struct id128 *directory, const char *name,
               const char *text) {
    return change_text(ns, directory, name, set_change, text);
}

int append_text(struct namespace *ns, const struct id128 *directory, const char *name,
                const char *text) {
    return change_text(ns, directory, name, append_change, text);
}

int64_t count_names(struct namespace *ns, const struct id128 *directory, uint32_t page) {
    int64_t n = 0;
    uint64_t after = 0;
    for (;;) {
        struct listing listing;
        int err = namespace_list(ns, directory, after, page, &listing);
        if (err < 0) {
            return err;
        }
        for (uint32_t i = 0; i < listing.n; i++) {
            uint64_t cookie = listing.entries[i].cookie;
            if (cookie < after || (i == 0 && cookie == after)) {
                listing_release(&listing);
                return -1;
            }
            after = listing.entries[i].cookie;
        }
        n += listing.n;
        bool end = listing.end;
        assert(end || listing.n > 0);
        listing_release(&listing);
        if (end) {
            return n;
        }
    }
}

/* ---- duels ---- */

static const struct duel *fighting;
static uint64_t meddle_at;
static int meddled;

static void meddle_once(void *context, enum store_mem_call kind, uint64_t number) {
    (void)kind;
    if (number == meddle_at) {
        meddled = fighting->meddle(context);
    }
}

static void duel_once(struct world *w) {
    fighting->prepare(w);
    store_mem_reset_hooks(w->mem);
    store_mem_before(w->mem, meddle_once, w);
    int operated = fighting->operate(w);
    store_mem_reset_hooks(w->mem);
    fighting->judge(w, operated, meddled);
}

void duel_at_every_call(const struct duel *duel, uint64_t calls_min) {
    fighting = duel;
    meddled = 0;
    for (meddle_at = 1; meddled != DUEL_NOT_MET; meddle_at++) {
        meddled = DUEL_NOT_MET;
        world_run(duel_once);
    }
    assert(meddle_at > calls_min + 1);
    (void)calls_min;
}
