/* namespace_value: whole files in and out, streamed. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

enum {
    WRITES_IN_FLIGHT = 8,
    READ_SIZE = STRIPE_BLOCKS * BLOCK_SIZE,
};

/* ---- put: the contents ---- */

/* A block on its way; the slot is free when `size` is 0. */
struct block_write {
    struct put *put;
    uint64_t index;
    size_t size;
    uint8_t data[BLOCK_SIZE];
};

struct put {
    struct namespace *ns;
    int64_t (*source)(void *context, uint8_t *into, size_t size);
    void *context;
    uint32_t mode, uid, gid;
    /* What the record is to say. */
    uint64_t size;
    enum contents_kind kind;
    struct id128 contents;
    struct bytes data;          /* borrows the first slot's memory */
    struct block_write *writes; /* WRITES_IN_FLIGHT of them */
    struct task_group group;
    struct record old; /* what it said before; mode 0 = there was no file */
    struct extents old_stored;
};

static uint64_t blocks_of(uint64_t size) {
    return size / BLOCK_SIZE + (size % BLOCK_SIZE != 0);
}

static int block_write(void *arg) {
    struct block_write *write = arg;
    struct put *put = write->put;
    int err = contents_write_block(put->ns, &put->contents, write->index,
                                   bytes_of(write->data, write->size), false);
    write->size = 0;
    return err;
}

static struct block_write *write_slot(struct put *put) {
    task_group_wait(&put->group, WRITES_IN_FLIGHT - 1);
    struct block_write *write = put->writes;
    while (write->size > 0) {
        write++;
    }
    return write;
}

/* Fills a block as far as the source goes: the bytes read, or the source's error. */
static int64_t source_fill(struct put *put, uint8_t *into) {
    size_t size = 0;
    while (size < BLOCK_SIZE) {
        int64_t got = put->source(put->context, into + size, BLOCK_SIZE - size);
        if (got < 0) {
            return got;
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    return (int64_t)size;
}

/* One block further. *ret_end at the end of the source. */
static int put_block(struct put *put, bool *ret_end) {
    struct block_write *write = write_slot(put);
    if (put->group.status < 0) {
        return put->group.status;
    }
    int64_t got = source_fill(put, write->data);
    if (got < 0) {
        return (int)got;
    }
    *ret_end = got < BLOCK_SIZE;
    if (put->size == 0 && got <= RECORD_INLINE_MAX) {
        put->data = bytes_of(write->data, (size_t)got);
        put->size = (uint64_t)got;
        return 0;
    }
    if (got > 0) {
        put->kind = CONTENTS_BLOCKS;
        write->put = put;
        write->index = put->size / BLOCK_SIZE;
        write->size = (size_t)got;
        put->size += (uint64_t)got;
        task_group_run(&put->group, block_write, write);
    }
    return 0;
}

static int put_contents(struct put *put) {
    bool end = false;
    int err = 0;
    while (err == 0 && !end) {
        err = put_block(put, &end);
    }
    task_group_wait(&put->group, 0);
    return err < 0 ? err : put->group.status;
}

/* ---- put: the record ---- */

static void put_describe(const struct put *put, struct record *record) {
    record_set_data(record, put->data);
    record_set_extents(record, (struct bytes){0});
    record->data_at = 0;
    record->contents_shared = false;
    record->size = put->size;
    record->contents_kind = put->kind;
    record->contents = put->kind == CONTENTS_BLOCKS ? put->contents : (struct id128){{0}};
}

static int put_swap(void *context, struct record *record) {
    struct put *put = context;
    if (!S_ISREG(record->mode)) {
        return S_ISDIR(record->mode) ? ERR_IS_DIRECTORY : ERR_NOT_SUPPORTED;
    }
    put->old = *record; /* only its numbers are used */
    put->old_stored = contents_removable(record);
    put_describe(put, record);
    record->mtime_ns = (int64_t)put->ns->store->wall_ns(put->ns->store->self);
    record->ctime_ns = record->mtime_ns;
    return 0;
}

static int put_create(struct put *put, const struct entry *missing) {
    struct record record = {
        .mode = S_IFREG | (put->mode & 07777), .uid = put->uid, .gid = put->gid};
    struct entry made;
    put->old = (struct record){0};
    put_describe(put, &record);
    int err = namespace_create(put->ns, &missing->directory, missing->name, &record, &made);
    if (err == 0 || err == ERR_EXISTS) {
        entry_release(&made);
    }
    record_release(&record);
    return err;
}

/* Creates the file or swaps the contents of the one that is there; starts over when another client
 * removes, replaces or makes it meanwhile. */
static int put_record(struct put *put, const char *path) {
    for (int i = 0; i < NAMESPACE_RETRIES_MAX; i++) {
        struct entry entry;
        int err = namespace_resolve(put->ns, path, &entry);
        if (err == ERR_NO_ENTRY && entry.name[0] != 0) {
            err = put_create(put, &entry);
        } else if (err == 0) {
            err = namespace_update(put->ns, &entry, put_swap, put, false);
            entry_release(&entry);
        }
        if (err != ERR_STALE && err != ERR_EXISTS) {
            return err;
        }
    }
    return ERR_BUSY;
}

/* Whether the record cannot have been stored: the blocks are nobody's then. */
static bool surely_not_stored(int err) {
    return err != ERR_UNKNOWN && err != ERR_UNAVAILABLE && err != ERR_TIMEOUT &&
           err != ERR_INTERRUPTED && err != ERR_CLOSED;
}

int namespace_put(struct namespace *ns, const char *path, uint32_t mode, uint32_t uid, uint32_t gid,
                  int64_t (*source)(void *context, uint8_t *into, size_t size), void *context) {
    struct put put = {.ns = ns,
                      .source = source,
                      .context = context,
                      .mode = mode,
                      .uid = uid,
                      .gid = gid,
                      .contents = contents_new(ns)};
    put.writes = memory_new(WRITES_IN_FLIGHT, sizeof *put.writes);
    int err = put_contents(&put);
    bool stored = err == 0;
    if (err == 0) {
        err = put_record(&put, path);
        stored = err == 0 || !surely_not_stored(err);
    }
    if (!stored && put.kind == CONTENTS_BLOCKS) {
        contents_remove(ns, &put.contents, 0, blocks_of(put.size));
    }
    if (err == 0 && put.old.mode != 0 && put.old.contents_kind == CONTENTS_BLOCKS) {
        /* Blocks that stay behind cost space, and nothing else. */
        contents_remove_stored(ns, &put.old.contents, &put.old_stored, 0, UINT64_MAX);
    }
    free(put.writes);
    return err;
}

/* ---- get ---- */

/* Whether the path still names the contents that `record` names: blocks are removed after their
 * record is replaced, and a removed block reads as zeros. */
static int still_there(struct namespace *ns, const struct entry *entry) {
    struct entry now;
    int err = namespace_lookup(ns, &entry->directory, entry->name, &now);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? ERR_STALE : err;
    }
    bool same = id128_equal(&now.record.contents, &entry->record.contents);
    entry_release(&now);
    return same ? 0 : ERR_STALE;
}

static int get_contents(struct namespace *ns, const struct entry *entry,
                        int (*sink)(void *context, struct bytes data), void *context) {
    const struct record *record = &entry->record;
    size_t buffer_size = record->size < READ_SIZE ? (size_t)record->size : READ_SIZE;
    uint8_t *buffer = memory_new(1, buffer_size + 1);
    int err = 0;
    uint64_t offset = 0;
    while (err == 0 && offset < record->size) {
        size_t size = 0;
        err = contents_read(ns, record, offset, buffer, buffer_size, &size);
        if (err == 0 && record->contents_kind == CONTENTS_BLOCKS &&
            memchr(buffer, 0, size) != NULL) {
            err = still_there(ns, entry);
        }
        if (err == 0) {
            err = sink(context, bytes_of(buffer, size));
            offset += size;
        }
    }
    free(buffer);
    return err;
}

int namespace_get(struct namespace *ns, const char *path,
                  int (*sink)(void *context, struct bytes data), void *context) {
    struct entry entry;
    int err = namespace_resolve(ns, path, &entry);
    if (err < 0) {
        return err;
    }
    if (S_ISDIR(entry.record.mode)) {
        err = ERR_IS_DIRECTORY;
    } else {
        err = get_contents(ns, &entry, sink, context);
    }
    entry_release(&entry);
    return err;
}
