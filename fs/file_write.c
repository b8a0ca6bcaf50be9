/* file_write: changing an open file, in memory and in blocks. */
#include <assert.h>
#include <string.h>

#include "fs/file_inside.h"

/* Where the first byte is that lies in the record or only here; else the size. */
static uint64_t blocks_end(const struct file *file) {
    const struct appends *appends = &file->appends;
    uint64_t end = file->size - appends->pending.size;
    end = appends->kept.size > 0 && appends->kept_at < end ? appends->kept_at : end;
    bool tail = !file->replaced && file->data.size > 0 && file->tail_at < end;
    return tail ? file->tail_at : end;
}

void file_give_up_blocks(struct file *file) {
    if (file->kind != CONTENTS_BLOCKS) {
        return;
    }
    file_forget_appends(file);
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
    file_give_up_blocks(file);
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
    if (append && file->dirty && !file->replaced) {
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

int file_rebase(struct file *file) {
    file_give_up_blocks(file);
    int status = mount_refresh(file->mount, file->inode, MOUNT_READ_NOW);
    if (status == 0) {
        file_take_record(file, &file->inode->known->entry);
    }
    return status;
}

void file_forget_unstored(struct file *file) {
    file_give_up_blocks(file);
    file_take_record(file, &file->inode->known->entry);
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

bool file_names_blocks(const struct file *file, const struct record *record) {
    return record->contents_kind == CONTENTS_BLOCKS &&
           id128_equal(&record->contents, &file->blocks.contents);
}

/* What is known of the record, as it is now, is of these contents; their size is at least what it
 * says there. */
static int look_again(struct file *file) {
    int status = mount_refresh_now(file->mount, file->inode);
    if (status != 0) {
        return status;
    }
    const struct record *record = known_record(file);
    if (!file_names_blocks(file, record)) {
        return ERR_STALE;
    }
    uint64_t size = record->size + file->appends.pending.size;
    struct extents stored = file_stored_by(record);
    file->size = file->size_set || size < file->size ? file->size : size;
    extents_join(&file->blocks.stored, &stored);
    return 0;
}

int file_move_tail(struct file *file) {
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

int file_write_kept(struct file *file) {
    struct appends *appends = &file->appends;
    if (appends->kept.size == 0) {
        return 0;
    }
    int status = blocks_write(&file->blocks, appends->kept_at, buffer_bytes(&appends->kept),
                              appends->kept_at);
    if (status == 0) {
        file_left_memory(file, appends->kept.size);
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
    return status == 0 && file->data.size > 0 ? file_move_tail(file) : status;
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

/* What was written beyond the stored end comes before what is appended. */
static int append(struct file *file, struct bytes data) {
    struct mount *mount = file->mount;
    int status = file->grown || file->size_set ? file_store(file, false, NULL, NULL) : 0;
    if (status != 0) {
        return status;
    }
    buffer_put_bytes(&file->appends.pending, data);
    mount->n_dirty_bytes += data.size;
    mount_fit_cached(mount);
    file->size += data.size;
    file_touch(file);
    bool crowded = mount->n_dirty_bytes > MOUNT_DIRTY_MAX / 2;
    return crowded || file->appends.pending.size >= APPENDS_MAX ? file_store_appends(file) : 0;
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
        status = file_rebase(file);
        if (status != 0) {
            return status;
        }
    }
    return ERR_BUSY;
}

void file_may_be_there(struct file *file) {
    file->uncertain = true;
    file->appends.n_unsure = file->appends.pending.size;
    file->appends.unsure_end = file->size;
}

/* Blocks that shrink to what fits into the record. */
static int shrink_to_inline(struct file *file, uint64_t size) {
    uint8_t data[RECORD_INLINE_MAX];
    bool hole = false;
    struct blocks_reading reading = {.into = data, .size = (size_t)size};
    int status = blocks_read(&file->blocks, &reading, &hole);
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
