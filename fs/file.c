/* file: an open file as this mount sees it: what is stored, and what was written since. */
#include "fs/file.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fs/holds.h"
#include "fs/locks.h"

/* The stored contents are not those that the changes here were made for. Never leaves this file;
 * not ERR_CONFLICT, which from a change would make the namespace try the same again. */
enum { REBASE = ERR_EXISTS };
/* The record's tail has to move into the blocks first. From appends_put(); never leaves this file
 * either. */
enum { MOVE_TAIL = ERR_NOT_EMPTY };

static uint64_t blocks_in(uint64_t size) {
    return (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
}

/* Appended bytes count among those in memory. */
static void left_memory(struct file *file, size_t size) {
    file->mount->n_dirty_bytes -= size;
    task_wake_one(&file->mount->room);
}

static void forget_appends(struct file *file) {
    left_memory(file, file->appends.pending.size + file->appends.kept.size);
    appends_release(&file->appends);
}

/* Where the first byte is that lies in the record or only here; else the size. */
static uint64_t blocks_end(const struct file *file) {
    const struct appends *appends = &file->appends;
    uint64_t end = file->size - appends->pending.size;
    end = appends->kept.size > 0 && appends->kept_at < end ? appends->kept_at : end;
    bool tail = !file->replaced && file->data.size > 0 && file->tail_at < end;
    return tail ? file->tail_at : end;
}

/* What a record says is stored; a tail at the end is not yet. */
static struct extents stored_by(const struct record *record) {
    struct extents stored = contents_stored(record);
    extents_remove(&stored, blocks_in(contents_blocks_end(record)), UINT64_MAX);
    return stored;
}

/* The view begins anew from a record. */
static void take_record(struct file *file, const struct entry *entry) {
    const struct record *record = &entry->record;
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_release(&file->blocks);
    }
    file->version = entry->version;
    file->kind = record->contents_kind;
    file->size = record->size;
    buffer_clear(&file->data);
    buffer_put_bytes(&file->data, record->data);
    file->tail_at = record->data_at;
    forget_appends(file);
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_init(&file->blocks, file->mount, &record->contents);
        file->blocks.shared = true;
        file->blocks.stored = stored_by(record);
    } else {
        file->size = record->data.size;
    }
    file->dirty = file->replaced = file->size_set = file->outgrown = file->uncertain = false;
    file->grown = false;
    file->record_synced = true;
    patches_clear(&file->patches);
    inode_set_dirt(file->inode, SURVIVOR_CLEAN);
}

bool file_pending(const struct file *file) {
    return file->dirty || appends_waiting(&file->appends) ||
           (file->kind == CONTENTS_BLOCKS && blocks_pending(&file->blocks));
}

static void adopt(struct file *file) {
    const struct entry *entry = &file->inode->known->entry;
    if (!op_id_equal(&entry->version, &file->version) && !file_pending(file)) {
        take_record(file, entry);
    }
}

void file_adopt(struct file *file) {
    if (!file->busy) {
        adopt(file);
    }
}

struct file *file_get(struct mount *mount, struct inode *inode) {
    assert(inode->known != NULL && !inode->is_directory);
    struct file *file = inode->file;
    if (file == NULL) {
        file = memory_new(1, sizeof *file);
        file->mount = mount;
        file->inode = inode;
        inode->file = file;
        inode_pin(inode);
        file->next = mount->files;
        file->link = &mount->files;
        if (file->next != NULL) {
            file->next->link = &file->next;
        }
        mount->files = file;
        take_record(file, &inode->known->entry);
    }
    file->n_users++;
    file_adopt(file);
    return file;
}

static void file_free(struct file *file) {
    struct mount *mount = file->mount;
    if (file->kind == CONTENTS_BLOCKS) {
        blocks_release(&file->blocks);
    }
    forget_appends(file);
    *file->link = file->next;
    if (file->next != NULL) {
        file->next->link = file->link;
    }
    file->inode->file = NULL;
    mount_unpin(mount, file->inode);
    buffer_release(&file->data);
    patches_release(&file->patches);
    locks_file_free(file);
    free(file);
}

/* Where the contents that a record names are stored. */
static struct extents named(const struct file *file, const struct record *record) {
    struct extents stored = contents_removable(record);
    if (!record->contents_shared && id128_equal(&record->contents, &file->left.contents)) {
        extents_join(&stored, &file->left.stored);
    }
    return stored;
}

/* Contents that no record names, nor will. */
static void remove_unnamed(struct file *file) {
    const struct record *record = &file->inode->known->entry.record;
    struct mount *mount = file->mount;
    bool blocks = file->kind == CONTENTS_BLOCKS;
    if (file->inode->gone && record->contents_kind == CONTENTS_BLOCKS) {
        bool same = blocks && id128_equal(&record->contents, &file->blocks.contents);
        struct extents stored = named(file, record);
        if (same && !record->contents_shared) {
            extents_join(&stored, &file->blocks.stored);
        }
        holds_remove(mount, &record->contents, &stored);
        blocks = blocks && !same;
    }
    if (blocks && !file->uncertain && (file->inode->gone || file->replaced)) {
        mount_remove_contents(mount, &file->blocks.contents, &file->blocks.stored);
    }
}

/* After the last close: one more try for what the last flush could not store. */
static void finish(void *arg) {
    struct file *file = arg;
    struct mount *mount = file->mount;
    if (file_pending(file) && !file->inode->gone && file_lock(file) == 0) {
        mount->n_writes_lost += file_store(file, false, NULL, NULL) != 0;
        file_unlock(file);
    }
    if (file->n_users == 1) {
        if (file->kind == CONTENTS_BLOCKS) {
            blocks_wait(&file->blocks);
        }
        if (file->n_users == 1) {
            remove_unnamed(file);
            file_free(file);
            mount_background_done(mount);
            return;
        }
    }
    file->n_users--; /* opened again meanwhile */
    mount_background_done(mount);
}

void file_put(struct file *file) {
    assert(file->n_users > 0);
    if (file->n_users == 1 && (file_pending(file) || file->inode->gone)) {
        mount_background(file->mount, finish, file);
    } else if (--file->n_users == 0) {
        file_free(file);
    }
}

/* In its turn. Whether there were any. */
static bool drop_void_changes(struct file *file) {
    bool any = file->void_changes;
    file->void_changes = false;
    if (any) {
        file_forget_unstored(file);
    }
    return any;
}

void file_lose_lease(struct file *file) {
    file->n_leases_lost++;
    file->void_changes = file_pending(file);
    if (!file->busy) {
        drop_void_changes(file);
    }
}

int file_lock(struct file *file) {
    while (file->busy) {
        int status = task_wait(&file->turn);
        if (status != 0) {
            task_wake_one(&file->turn); /* a wake that came with the error belongs to the next */
            return status;
        }
    }
    file->busy = true;
    drop_void_changes(file);
    adopt(file);
    return 0;
}

void file_unlock(struct file *file) {
    assert(file->busy);
    drop_void_changes(file);
    file->busy = false;
    task_wake_one(&file->turn);
}

int file_take_error(struct file *file) {
    int error = file->error;
    if (error == 0 && file->kind == CONTENTS_BLOCKS) {
        error = file->blocks.error;
        file->blocks.error = 0;
    }
    file->error = 0;
    return error;
}

void file_touch(struct file *file) {
    file->modified_ns = mount_wall_ns(file->mount);
    file->record_synced = false;
    if (!file->dirty) {
        file->dirty = true;
        file->dirty_ns = mount_now_ns(file->mount);
    }
}

/* Blocks that no record names are removed; others when the record is replaced that does. */
static void give_up_blocks(struct file *file) {
    if (file->kind != CONTENTS_BLOCKS) {
        return;
    }
    forget_appends(file);
    blocks_drop(&file->blocks);
    if (!file->replaced) {
        file->left =
            (struct removal){.contents = file->blocks.contents, .stored = file->blocks.stored};
    } else if (!file->uncertain) {
        mount_remove_contents(file->mount, &file->blocks.contents, &file->blocks.stored);
    }
}

/* Turns to contents in the record. */
static void begin_inline(struct file *file, struct bytes data) {
    give_up_blocks(file);
    file->kind = CONTENTS_INLINE;
    buffer_clear(&file->data);
    buffer_put_bytes(&file->data, data);
    patches_clear(&file->patches);
    file->size = data.size;
    file->replaced = true;
    file->outgrown = false;
}

/* Turns to contents in blocks, under a fresh id, that begin as what was inline. */
static int begin_blocks(struct file *file, bool append) {
    if (append && file->dirty) {
        /* So that `data` is what is stored, which outgrown contents are checked against. */
        int status = file_store(file, false, NULL, NULL);
        if (status != 0 || file->kind != CONTENTS_INLINE) {
            return status;
        }
    }
    struct id128 contents = contents_new(file->mount->config.ns);
    blocks_init(&file->blocks, file->mount, &contents);
    int status = blocks_write(&file->blocks, 0, buffer_bytes(&file->data), 0);
    if (status != 0) {
        blocks_drop(&file->blocks);
        return status;
    }
    file->kind = CONTENTS_BLOCKS;
    file->outgrown = append && !file->replaced;
    file->replaced = true;
    patches_clear(&file->patches);
    file_touch(file);
    return 0;
}

/* Back to what is stored now, whatever was pending. */
static int rebase(struct file *file) {
    give_up_blocks(file);
    int status = mount_refresh(file->mount, file->inode, MOUNT_READ_NOW);
    if (status == 0) {
        take_record(file, &file->inode->known->entry);
    }
    return status;
}

void file_forget_unstored(struct file *file) {
    give_up_blocks(file);
    take_record(file, &file->inode->known->entry);
}

static int write_inline(struct file *file, const struct patch *patch) {
    int status = patch_apply(patch, &file->data, RECORD_INLINE_MAX);
    assert(status == 0);
    patches_add(&file->patches, patch);
    file->size = file->data.size;
    file_touch(file);
    return patches_full(&file->patches) ? file_store(file, false, NULL, NULL) : status;
}

/* ---- blocks that others write too ---- */
static struct record *known_record(const struct file *file) {
    return &file->inode->known->entry.record;
}

static bool names_our_blocks(const struct file *file, const struct record *record) {
    return record->contents_kind == CONTENTS_BLOCKS &&
           id128_equal(&record->contents, &file->blocks.contents);
}

/* What is known of the record, read anew, is of these contents; their size is at least what it says
 * there. */
static int look_again(struct file *file) {
    int status = mount_refresh(file->mount, file->inode, MOUNT_READ_NOW);
    if (status != 0) {
        return status;
    }
    const struct record *record = known_record(file);
    if (!names_our_blocks(file, record)) {
        return ERR_STALE;
    }
    uint64_t size = record->size + file->appends.pending.size;
    struct extents stored = stored_by(record);
    file->size = file->size_set || size < file->size ? file->size : size;
    extents_join(&file->blocks.stored, &stored);
    return 0;
}

/* The tail that the record has now goes into the blocks, which are to be stored before the record
 * is written without it. Read anew: an old tail must not cover what others have put there since. */
static int move_tail(struct file *file) {
    int status = look_again(file);
    if (status != 0) {
        return status;
    }
    const struct record *record = known_record(file);
    struct appends *appends = &file->appends;
    appends->moved_at = record->data_at;
    buffer_clear(&appends->moved);
    buffer_put_bytes(&appends->moved, record->data);
    buffer_clear(&file->data);
    file_touch(file);
    return blocks_write(&file->blocks, appends->moved_at, buffer_bytes(&appends->moved),
                        appends->moved_at);
}

/* What has its place in the blocks by the record goes there. */
static int write_kept(struct file *file) {
    struct appends *appends = &file->appends;
    if (appends->kept.size == 0) {
        return 0;
    }
    int status = blocks_write(&file->blocks, appends->kept_at, buffer_bytes(&appends->kept),
                              appends->kept_at);
    if (status == 0) {
        left_memory(file, appends->kept.size);
        buffer_clear(&appends->kept);
    }
    return status;
}

int file_settle(struct file *file) {
    if (file->kind != CONTENTS_BLOCKS || file->replaced ||
        (file->data.size == 0 && !appends_waiting(&file->appends))) {
        return 0;
    }
    int status = appends_waiting(&file->appends) ? file_store(file, false, NULL, NULL) : 0;
    return status == 0 && file->data.size > 0 ? move_tail(file) : status;
}

static int write_blocks(struct file *file, uint64_t offset, struct bytes data) {
    uint64_t end = offset + data.size;
    int status = end > blocks_end(file) ? file_settle(file) : 0;
    if (status != 0) {
        return status;
    }
    status = blocks_write(&file->blocks, offset, data, file->size);
    file->grown = file->grown || end > file->size;
    file->size = end > file->size ? end : file->size;
    file_touch(file);
    return status;
}

static int store_appends(struct file *file);

/* What was written beyond the stored end comes before what is appended. */
static int append(struct file *file, struct bytes data) {
    struct mount *mount = file->mount;
    int status = file->grown || file->size_set ? file_store(file, false, NULL, NULL) : 0;
    if (status != 0) {
        return status;
    }
    buffer_put_bytes(&file->appends.pending, data);
    mount->n_dirty_bytes += data.size;
    file->size += data.size;
    file_touch(file);
    bool crowded = mount->n_dirty_bytes > MOUNT_DIRTY_MAX / 2;
    return crowded || file->appends.pending.size >= APPENDS_MAX ? store_appends(file) : 0;
}

int file_write_at(struct file *file, uint64_t offset, bool at_end, struct bytes data) {
    for (int i = 0; i < FILE_REBASES_MAX; i++) {
        struct patch patch = {at_end ? PATCH_APPEND : PATCH_WRITE, at_end ? 0 : offset, data};
        uint64_t end = patch_end(&patch, file->size);
        if (end > FILE_SIZE_MAX || end < data.size) {
            return ERR_TOO_BIG;
        }
        if (file->kind == CONTENTS_INLINE && end <= RECORD_INLINE_MAX) {
            return write_inline(file, &patch);
        }
        int status = file->kind == CONTENTS_INLINE ? begin_blocks(file, at_end) : 0;
        if (status != 0) {
            return status;
        }
        if (file->kind == CONTENTS_INLINE) {
            continue;
        }
        if (at_end && !file->replaced) {
            return append(file, data);
        }
        status = write_blocks(file, at_end ? file->size : offset, data);
        if (status != 0 || !file->outgrown) {
            return status;
        }
        status = file_store(file, false, NULL, NULL);
        if (status != REBASE) {
            return status;
        }
        status = rebase(file);
        if (status != 0) {
            return status;
        }
    }
    return ERR_BUSY;
}

/* Blocks that shrink to what fits into the record. */
static int shrink_to_inline(struct file *file, uint64_t size) {
    uint8_t data[RECORD_INLINE_MAX];
    bool hole = false;
    int status = blocks_read(&file->blocks, 0, data, (size_t)size, &hole);
    if (status == 0) {
        begin_inline(file, bytes_of(data, (size_t)size));
    }
    return status;
}

int file_truncate(struct file *file, uint64_t size) {
    int status = 0;
    if (size > FILE_SIZE_MAX) {
        return ERR_TOO_BIG;
    }
    if (size > 0 && file->kind == CONTENTS_BLOCKS) {
        status = file_settle(file);
    }
    if (status != 0) {
        return status;
    }
    if (size == 0) {
        begin_inline(file, bytes_of(NULL, 0));
    } else if (file->kind == CONTENTS_INLINE && size <= RECORD_INLINE_MAX) {
        return write_inline(file, &(struct patch){.kind = PATCH_TRUNCATE, .offset = size});
    } else if (file->kind == CONTENTS_INLINE) {
        status = begin_blocks(file, false);
    } else if (size < file->size && size <= RECORD_INLINE_MAX) {
        status = shrink_to_inline(file, size);
    } else if (size < file->size) {
        status = blocks_truncate(&file->blocks, size);
    }
    if (status == 0) {
        file->size = size;
        file->size_set = true;
        file_touch(file);
    }
    return status;
}

/* ---- the record ---- */
struct storing {
    struct file *file;
    int (*change)(void *context, struct record *record);
    void *context;
    int n_runs;
    bool held;   /* the record holds what was appended, or there was nothing */
    uint64_t at; /* else its place */
};

static void note_old(struct file *file, const struct record *record) {
    bool same =
        file->kind == CONTENTS_BLOCKS && id128_equal(&record->contents, &file->blocks.contents);
    if (record->contents_kind == CONTENTS_BLOCKS && !same) {
        file->has_old = true;
        file->old = (struct removal){.contents = record->contents, .stored = named(file, record)};
    }
}

/* The pending patches, on whatever small contents the record has now. */
static int patch_record(struct file *file, struct record *record) {
    if (record->contents_kind != CONTENTS_INLINE) {
        return REBASE;
    }
    if (file->uncertain && bytes_equal(record->data, buffer_bytes(&file->data))) {
        return 0; /* that is what the record that was not answered has done */
    }
    struct buffer data = {0};
    buffer_put_bytes(&data, record->data);
    int status = patches_apply(&file->patches, &data, RECORD_INLINE_MAX);
    if (status == 0) {
        record_set_data(record, buffer_bytes(&data));
        record->size = data.size;
    }
    buffer_release(&data);
    return status == 0 ? 0 : REBASE;
}

static int replace_contents(struct file *file, struct record *record) {
    bool blocks = file->kind == CONTENTS_BLOCKS;
    bool ours = blocks && record->contents_kind == CONTENTS_BLOCKS &&
                id128_equal(&record->contents, &file->blocks.contents);
    if (file->outgrown && !ours &&
        (record->contents_kind != CONTENTS_INLINE ||
         !bytes_equal(record->data, buffer_bytes(&file->data)))) {
        return REBASE;
    }
    note_old(file, record);
    record->contents_kind = file->kind;
    record->contents = blocks ? file->blocks.contents : (struct id128){{0}};
    record_set_data(record, blocks ? bytes_of(NULL, 0) : buffer_bytes(&file->data));
    record->data_at = 0;
    record->contents_shared = record->contents_shared && ours;
    record->size = file->size;
    return 0;
}

static void put_size(const struct file *file, struct record *record) {
    uint64_t size = file->size;
    if (file->size_set && record->data.size > 0 && record->data_at + record->data.size > size) {
        uint64_t left = record->data_at < size ? size - record->data_at : 0;
        record_set_data(record, bytes_of(record->data.data, (size_t)left));
        record->data_at = left > 0 ? record->data_at : 0;
    }
    if (file->size_set || (file->grown && size > record->size)) {
        record->size = size;
    }
}

/* Which blocks the record that is to be stored may find. `before`: what it said. */
static void put_extents(const struct storing *storing, struct record *record,
                        struct extents *before) {
    const struct file *file = storing->file;
    struct buffer encoded = {0};
    if (file->kind == CONTENTS_BLOCKS) {
        uint64_t end = blocks_in(contents_blocks_end(record));
        blocks_extents(&file->blocks, before);
        if (!storing->held) {
            extents_add(before, storing->at / BLOCK_SIZE, end);
        }
        extents_remove(before, blocks_in(record->size), UINT64_MAX);
        if (!extents_are_dense(before, end)) {
            extents_encode(before, &encoded);
        }
    }
    record_set_extents(record, buffer_bytes(&encoded));
    buffer_release(&encoded);
}

static int put_in_place(struct storing *storing, struct record *record) {
    struct file *file = storing->file;
    if (!names_our_blocks(file, record)) {
        return ERR_STALE; /* another mount began the contents anew: these changes have no place */
    }
    appends_drop_moved(&file->appends, record);
    if (file->appends.pending.size > 0) {
        return appends_put(&file->appends, record, &storing->held, &storing->at);
    }
    put_size(file, record);
    return 0;
}

static int put_contents(struct storing *storing, struct record *record) {
    struct file *file = storing->file;
    struct extents stored = {0};
    int status;
    storing->held = true;
    if (file->replaced) {
        status = replace_contents(file, record);
    } else if (file->kind == CONTENTS_INLINE) {
        status = patch_record(file, record);
    } else {
        stored = contents_stored(record);
        status = put_in_place(storing, record);
    }
    if (status == 0) {
        put_extents(storing, record, &stored);
    }
    return status;
}

static int change_record(void *context, struct record *record) {
    struct storing *storing = context;
    struct file *file = storing->file;
    storing->n_runs++;
    int status = 0;
    if (file->dirty) {
        status = put_contents(storing, record);
        record->mtime_ns = file->modified_ns;
        record->ctime_ns = file->modified_ns;
    }
    if (status == 0 && storing->change != NULL) {
        status = storing->change(storing->context, record);
    }
    return status;
}

/* The record is stored: the view is what it says. */
static void stored(struct file *file, const struct storing *storing, bool synced) {
    const struct entry *entry = &file->inode->known->entry;
    struct appends *appends = &file->appends;
    file->dirty = file->replaced = file->size_set = file->outgrown = file->uncertain = false;
    file->grown = false;
    file->record_synced = synced;
    inode_set_dirt(file->inode, SURVIVOR_CLEAN);
    file->version = entry->version;
    file->size = entry->record.size;
    patches_clear(&file->patches);
    buffer_clear(&file->data);
    buffer_put_bytes(&file->data, entry->record.data);
    file->tail_at = entry->record.data_at;
    left_memory(file, storing->held ? appends->pending.size : 0);
    appends_stored(appends, storing->held, storing->at);
    if (file->kind == CONTENTS_BLOCKS) {
        file->blocks.shared = true;
        file->blocks.stored = stored_by(&entry->record);
        file->blocks.added = file->blocks.cleared = (struct extents){0};
    }
    if (file->has_old) {
        mount_remove_contents(file->mount, &file->old.contents, &file->old.stored);
        file->has_old = false;
    }
}

/* What is kept of blocks is not what is stored when others have written. */
static int forget_others(struct file *file) {
    if (file->kind != CONTENTS_BLOCKS) {
        return 0;
    }
    int status = blocks_pending(&file->blocks) ? blocks_flush(&file->blocks, false) : 0;
    if (status == 0) {
        blocks_drop(&file->blocks);
    }
    return status;
}

static int store_record(struct file *file, struct storing *storing, bool synced) {
    storing->n_runs = 0;
    struct op_id before = file->version;
    bool others = !op_id_equal(&file->inode->known->entry.version, &before);
    int status = mount_update(file->mount, file->inode, change_record, storing, synced);
    if (status == 0) {
        stored(file, storing, synced);
        return others || storing->n_runs > 1 ? forget_others(file) : 0;
    }
    if (status == ERR_UNKNOWN) {
        file->uncertain = true;
        file->appends.n_unsure = file->appends.pending.size;
        file->appends.unsure_ns = file->modified_ns;
    }
    return status;
}

/* The record is not what the patches were made for: they are done again, on what it is now. */
static int patch_again(struct file *file) {
    struct patches patches = file->patches;
    file->patches = (struct patches){{0}};
    int status = rebase(file);
    struct reader reader = patches_begin(&patches);
    struct patch patch;
    while (status == 0 && patches_next(&reader, &patch)) {
        status = patch.kind == PATCH_TRUNCATE
                     ? file_truncate(file, patch.offset)
                     : file_write_at(file, patch.offset, patch.kind == PATCH_APPEND, patch.data);
    }
    patches_release(&patches);
    return status;
}

/* Brings about what the record cannot be written without. */
static int prepare_again(struct file *file, int status) {
    if (status == REBASE && file->kind == CONTENTS_INLINE) {
        return patch_again(file);
    }
    return status == MOVE_TAIL ? move_tail(file) : status;
}

static int flush(struct file *file, bool synced) {
    if (file->kind != CONTENTS_BLOCKS) {
        return 0;
    }
    int status = write_kept(file);
    return status == 0 ? blocks_flush(&file->blocks, synced) : status;
}

int file_store(struct file *file, bool synced, int (*change)(void *context, struct record *record),
               void *context) {
    struct storing storing = {.file = file, .change = change, .context = context};
    locks_check_file(file);
    if (drop_void_changes(file)) {
        return ERR_LEASE_LOST;
    }
    for (int i = 0; i < FILE_REBASES_MAX; i++) {
        int status = flush(file, synced);
        if (status != 0) {
            return status;
        }
        if (!file->dirty && change == NULL && (!synced || file->record_synced)) {
            return 0;
        }
        status = store_record(file, &storing, synced);
        if (status == 0) {
            return file->appends.kept.size > 0 ? flush(file, synced) : 0;
        }
        if (status != REBASE && status != MOVE_TAIL) {
            return status;
        }
        status = prepare_again(file, status);
        if (status != 0) {
            return status;
        }
    }
    return ERR_BUSY;
}

/* What is appended gets its place; full blocks leave by themselves. */
static int store_appends(struct file *file) {
    struct storing storing = {.file = file};
    int status = write_kept(file);
    if (status == 0) {
        status = store_record(file, &storing, false);
    }
    if (status == MOVE_TAIL) {
        return file_store(file, false, NULL, NULL);
    }
    return status == 0 ? write_kept(file) : status;
}
