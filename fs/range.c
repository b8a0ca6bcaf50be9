/* range: allocating, clearing, seeking in and copying ranges of open files. */
#include "fs/range.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/locks.h"

enum { PIECE = 1 << 20 }; /* copied at a time */

/* ---- clearing ---- */
/* A part of one block, or of what is inline. */
static int clear_part(struct file *file, uint64_t from, uint64_t to) {
    static const uint8_t zeros[BLOCK_SIZE];
    bool stored =
        file->kind != CONTENTS_BLOCKS || blocks_may_hold(&file->blocks, from / BLOCK_SIZE);
    if (from >= to || !stored) {
        return 0;
    }
    return file_write_at(file, from, false, bytes_of(zeros, (size_t)(to - from)));
}

static int clear_blocks(struct file *file, uint64_t from, uint64_t to) {
    uint64_t first = (from + BLOCK_SIZE - 1) / BLOCK_SIZE;
    uint64_t end = to / BLOCK_SIZE;
    if (to == file->size) {
        end = (to + BLOCK_SIZE - 1) / BLOCK_SIZE; /* nothing of the last one is left */
    }
    if (first > end) {
        return clear_part(file, from, to);
    }
    int status = clear_part(file, from, first * BLOCK_SIZE < to ? first * BLOCK_SIZE : to);
    if (status == 0 && end * BLOCK_SIZE < to) {
        status = clear_part(file, end * BLOCK_SIZE, to);
    }
    if (status == 0 && first < end) {
        status = blocks_clear(&file->blocks, first, end);
    }
    return status;
}

/* [from, to) of the file reads as zeros. */
static int clear(struct file *file, uint64_t from, uint64_t to) {
    int status = file_settle(file);
    to = to < file->size ? to : file->size;
    if (status != 0 || from >= to) {
        return status;
    }
    return file->kind == CONTENTS_BLOCKS ? clear_blocks(file, from, to)
                                         : clear_part(file, from, to);
}

/* ---- allocating ---- */
static int reach(struct file *file, uint64_t end) {
    return end > file->size ? file_truncate(file, end) : 0;
}

static int allocate(struct file *file, int mode, uint64_t offset, uint64_t size) {
    bool clears = (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0;
    int status = clears ? clear(file, offset, offset + size) : 0;
    if (status == 0) {
        file_touch(file); /* also where there was nothing to do */
    }
    if (status == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0) {
        status = reach(file, offset + size);
    }
    return status == 0 ? file_store(file, false, NULL, NULL) : status;
}

static bool mode_known(int mode) {
    return mode == 0 || mode == FALLOC_FL_KEEP_SIZE || mode == FALLOC_FL_ZERO_RANGE ||
           mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) ||
           mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

int range_allocate(struct handle *handle, int mode, uint64_t offset, uint64_t size) {
    struct file *file = handle->file;
    const struct capacity *capacity = &file->mount->capacity;
    bool plain = (mode & ~FALLOC_FL_KEEP_SIZE) == 0;
    if (!mode_known(mode)) {
        return ERR_NOT_SUPPORTED;
    }
    if (size > FILE_SIZE_MAX || offset > FILE_SIZE_MAX - size) {
        return ERR_TOO_BIG;
    }
    if (plain && capacity->bytes_total > 0 && size > capacity->bytes_free) {
        return ERR_NO_SPACE;
    }
    int status = file_lock(file);
    if (status == 0) {
        status = locks_check(handle);
        status = status == 0 ? file_take_error(file) : status;
        file_attributes_outdate(file);
        status = status == 0 ? allocate(file, mode, offset, size) : status;
        file_unlock(file);
    }
    return status;
}

/* ---- where data are ---- */
/* Everything that counts as data, with what the record holds and what is on its way. */
static struct extents data_of(const struct file *file) {
    struct extents data = file->blocks.stored;
    for (const struct block *block = file->blocks.first; block != NULL; block = block->next) {
        extents_add(&data, block->index, block->index + 1);
    }
    uint64_t behind = file->appends.kept.size + file->appends.pending.size;
    uint64_t tail_end = file->tail_at + file->data.size;
    uint64_t end = (file->size + BLOCK_SIZE - 1) / BLOCK_SIZE;
    if (!file->replaced && file->data.size > 0) {
        extents_add(&data, file->tail_at / BLOCK_SIZE, (tail_end + BLOCK_SIZE - 1) / BLOCK_SIZE);
    }
    if (behind > 0) {
        extents_add(&data, (file->size - behind) / BLOCK_SIZE, end);
    }
    return data;
}

uint64_t range_stored(const struct inode *inode) {
    const struct record *record = &inode->known->entry.record;
    const struct file *file = inode->file;
    if (file != NULL && file->kind == CONTENTS_BLOCKS) {
        struct extents data = data_of(file);
        return extents_bytes(&data, file->size);
    }
    if (file == NULL && record->contents_kind == CONTENTS_BLOCKS) {
        struct extents data = contents_stored(record);
        return extents_bytes(&data, record->size);
    }
    return file != NULL ? file->size : record->size;
}

static int seek(const struct file *file, uint64_t offset, int whence, uint64_t *ret) {
    struct extents data = extents_dense(UINT64_MAX / BLOCK_SIZE);
    uint64_t block = offset / BLOCK_SIZE;
    if (offset >= file->size) {
        return ERR_NO_DATA;
    }
    if (file->kind == CONTENTS_BLOCKS) {
        data = data_of(file);
    }
    uint64_t found =
        whence == SEEK_DATA ? extents_next_stored(&data, block) : extents_next_hole(&data, block);
    uint64_t at = found > file->size / BLOCK_SIZE ? file->size : found * BLOCK_SIZE;
    at = found == block ? offset : at < file->size ? at : file->size;
    *ret = at;
    return whence == SEEK_DATA && at >= file->size ? ERR_NO_DATA : 0;
}

int range_seek(struct handle *handle, uint64_t offset, int whence, uint64_t *ret) {
    if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        return ERR_INVALID;
    }
    struct file *file = handle->file;
    int status = file_lock(file);
    if (status == 0) {
        status = seek(file, offset, whence, ret);
        file_unlock(file);
    }
    return status;
}

/* ---- copying ---- */
/* What begins at `offset`, a hole or data: *ret_size of it, at most `size`; 0 at the end. */
static bool hole_at(struct file *file, uint64_t offset, uint64_t size, uint64_t *ret_size) {
    uint64_t hole = offset;
    uint64_t data = file->size;
    bool any = seek(file, offset, SEEK_HOLE, &hole) == 0;
    bool is_hole = any && hole == offset;
    (void)seek(file, offset, SEEK_DATA, &data);
    uint64_t end = is_hole ? data : hole;
    end = end < file->size ? end : file->size;
    *ret_size = any && end - offset < size ? end - offset : any ? size : 0;
    return is_hole;
}

static int copy_hole(struct handle *to, uint64_t offset, uint64_t size) {
    int status = file_lock(to->file);
    if (status == 0) {
        file_attributes_outdate(to->file);
        status = clear(to->file, offset, offset + size);
        status = status == 0 ? reach(to->file, offset + size) : status;
        file_unlock(to->file);
    }
    return status;
}

/* *ret_size: 0 at the source's end. */
static int copy_piece(const struct range_copy *copy, uint64_t done, uint8_t *data,
                      uint64_t *ret_size) {
    uint64_t from = copy->from_offset + done;
    size_t size = 0;
    if (hole_at(copy->from->file, from, copy->size - done, ret_size)) {
        return copy_hole(copy->to, copy->to_offset + done, *ret_size);
    }
    uint64_t left = *ret_size < PIECE ? *ret_size : PIECE;
    int status = handle_read(copy->from, from, data, (size_t)left, &size);
    *ret_size = size;
    if (status == 0 && size > 0) {
        status = handle_write(copy->to, copy->to_offset + done, bytes_of(data, size));
    }
    return status;
}

static bool overlap(const struct range_copy *copy) {
    uint64_t apart = copy->from_offset > copy->to_offset ? copy->from_offset - copy->to_offset
                                                         : copy->to_offset - copy->from_offset;
    return copy->from->file == copy->to->file && apart < copy->size;
}

int range_copy(const struct range_copy *copy, uint64_t *ret_size) {
    struct range_copy now = *copy;
    now.size = now.size < RANGE_COPY_MAX ? now.size : RANGE_COPY_MAX;
    if (overlap(copy)) {
        return ERR_INVALID;
    }
    uint8_t *data = memory_new(1, PIECE);
    int status = locks_check(copy->to);
    uint64_t done = 0, n = 1;
    while (status == 0 && done < now.size && n > 0) {
        n = 0;
        status = copy_piece(&now, done, data, &n);
        done += status == 0 ? n : 0;
    }
    free(data);
    *ret_size = done;
    return done > 0 ? 0 : status; /* the next call tells the error */
}
