/* file_store: bringing what was written into blocks and the record. */
#include <assert.h>
#include <string.h>

#include "fs/file_inside.h"
#include "fs/locks.h"

struct storing {
    struct file *file;
    int (*change)(void *context, struct record *record);
    void *context;
    int n_runs;
    bool in_place; /* contents are where the record before says */
    bool held;     /* the record holds what was appended, or there was nothing */
    uint64_t at;   /* else its place */
};

static void note_old(struct file *file, const struct record *record) {
    bool same =
        file->kind == CONTENTS_BLOCKS && id128_equal(&record->contents, &file->blocks.contents);
    if (record->contents_kind == CONTENTS_BLOCKS && !same) {
        file->has_old = true;
        file->old =
            (struct removal){.contents = record->contents, .stored = file_named(file, record)};
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
        uint64_t end = file_blocks_in(contents_blocks_end(record));
        blocks_extents(&file->blocks, before);
        if (!storing->held) {
            extents_add(before, storing->at / BLOCK_SIZE, end);
        }
        extents_remove(before, file_blocks_in(record->size), UINT64_MAX);
        if (!extents_are_dense(before, end)) {
            extents_encode(before, &encoded);
        }
    }
    record_set_extents(record, buffer_bytes(&encoded));
    buffer_release(&encoded);
}

static int put_in_place(struct storing *storing, struct record *record) {
    struct file *file = storing->file;
    if (!file_names_blocks(file, record)) {
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
    file_attributes_put(&file->attributes, record);
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
    file_attributes_stored(file);
    file->record_synced = synced;
    file->contents_synced = synced || (file->contents_synced && storing->in_place);
    inode_set_dirt(file->inode, SURVIVOR_CLEAN);
    file_unremember(file);
    file->version = entry->version;
    file->size = entry->record.size;
    patches_clear(&file->patches);
    buffer_clear(&file->data);
    buffer_put_bytes(&file->data, entry->record.data);
    file->tail_at = entry->record.data_at;
    file_left_memory(file, storing->held ? appends->pending.size : 0);
    appends_stored(appends, storing->held, storing->at);
    if (file->kind == CONTENTS_BLOCKS) {
        file->blocks.shared = true;
        file->blocks.stored = file_stored_by(&entry->record);
        file->blocks.added = file->blocks.cleared = (struct extents){0};
    }
    if (file->has_old) {
        if (!entry->alone) {
            mount_remove_contents(file->mount, &file->old.contents, &file->old.stored);
        }
        file->has_old = false;
    }
}

/* What is kept of blocks is not what is stored when others have written. */
static int forget_others(struct file *file) {
    if (file->kind != CONTENTS_BLOCKS) {
        return 0;
    }
    file->blocks.contended = true;
    int status = blocks_pending(&file->blocks) ? blocks_flush(&file->blocks, false) : 0;
    if (status == 0) {
        blocks_drop(&file->blocks);
    }
    return status;
}

/* Whether a record would change nothing but times. */
static bool is_in_place(const struct file *file) {
    const struct appends *appends = &file->appends;
    struct extents added = file->blocks.added;
    if (file->kind != CONTENTS_BLOCKS || file->replaced || file->grown || file->size_set ||
        file->outgrown || file->uncertain || file->attributes.mask != 0) {
        return false;
    }
    struct extents named = file_stored_by(&file->inode->known->entry.record);
    extents_subtract(&added, &named);
    return added.n == 0 && file->blocks.cleared.n == 0 && !appends_waiting(appends) &&
           appends->moved.size == 0 && file_names_blocks(file, &file->inode->known->entry.record);
}

static int store_record(struct file *file, struct storing *storing, bool synced) {
    storing->n_runs = 0;
    storing->in_place = is_in_place(file);
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
    int status = file_rebase(file);
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
    return status == MOVE_TAIL ? file_move_tail(file) : status;
}

static int flush(struct file *file, bool synced) {
    if (file->kind != CONTENTS_BLOCKS) {
        return 0;
    }
    int status = file_write_kept(file);
    return status == 0 ? blocks_flush(&file->blocks, synced) : status;
}

int file_store(struct file *file, bool synced, int (*change)(void *context, struct record *record),
               void *context) {
    struct storing storing = {.file = file, .change = change, .context = context};
    locks_check_file(file);
    if (file_drop_void_changes(file)) {
        return ERR_LEASE_LOST;
    }
    for (int i = 0; i < FILE_REBASES_MAX; i++) {
        int status = flush(file, synced);
        if (status != 0) {
            return status;
        }
        if (!file->dirty && file->attributes.mask == 0 && change == NULL &&
            (!synced || file->record_synced)) {
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

int file_store_data(struct file *file) {
    locks_check_file(file);
    if (file_drop_void_changes(file)) {
        return ERR_LEASE_LOST;
    }
    if (file->contents_synced && is_in_place(file)) {
        int status = flush(file, true);
        if (status != 0) {
            return status;
        }
        if (is_in_place(file)) {
            inode_set_dirt(file->inode, SURVIVOR_CLEAN);
            return 0;
        }
    }
    return file_store(file, true, NULL, NULL);
}

int file_store_appends(struct file *file) {
    struct storing storing = {.file = file};
    locks_check_file(file);
    if (file_drop_void_changes(file)) {
        return ERR_LEASE_LOST;
    }
    int status = file_write_kept(file);
    if (status == 0) {
        status = store_record(file, &storing, false);
    }
    if (status == MOVE_TAIL) {
        return file_store(file, false, NULL, NULL);
    }
    return status == 0 ? file_write_kept(file) : status;
}
