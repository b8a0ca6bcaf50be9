/* file_read: reading an open file, which its writers do not wait for. */
#include <string.h>

#include "fs/holds.h"

/* Whether zeros that were read are zeros of this file: contents that another mount has replaced are
 * removed, and read as zeros too. ERR_CONFLICT: read again. */
static int check_hole(struct file *file, const struct id128 *contents) {
    if (file->replaced || file->inode->gone) {
        return 0;
    }
    int status = holds_refresh(file->mount, file->inode, MOUNT_READ_NOW);
    if (status != 0 || file->held) {
        return status;
    }
    const struct record *record = &file->inode->known->entry.record;
    if (record->contents_kind == CONTENTS_BLOCKS && id128_equal(&record->contents, contents)) {
        return 0;
    }
    return file_pending(file) ? ERR_STALE : ERR_CONFLICT;
}

/* ---- what does not lie in the blocks ---- */
struct held {
    struct bytes data;
    uint64_t at;
};
enum { HELD_MAX = 3 };

static void list_held(const struct file *file, struct held held[HELD_MAX]) {
    const struct appends *appends = &file->appends;
    struct bytes tail = file->replaced ? bytes_of(NULL, 0) : buffer_bytes(&file->data);
    held[0] = (struct held){tail, file->tail_at};
    held[1] = (struct held){buffer_bytes(&appends->kept), appends->kept_at};
    held[2] = (struct held){buffer_bytes(&appends->pending), file->size - appends->pending.size};
}

/* The first of them that reaches beyond `from`: where it begins and ends there, or `to` twice. */
static struct bytes next_held(const struct held held[HELD_MAX], uint64_t from, uint64_t to,
                              uint64_t *ret_at) {
    struct bytes found = {0};
    *ret_at = to;
    for (int i = 0; i < HELD_MAX; i++) {
        uint64_t at = held[i].at > from ? held[i].at : from;
        uint64_t end = held[i].at + held[i].data.size;
        if (at < end && at < *ret_at) {
            end = end < to ? end : to;
            found = bytes_of(held[i].data.data + (at - held[i].at), (size_t)(end - at));
            *ret_at = at;
        }
    }
    return found;
}

/* Whether this is the latest version that was closed anywhere, as far as can be known without
 * asking: as long as attributes are believed. */
static bool is_latest(const struct file *file) {
    struct mount *mount = file->mount;
    struct inode *inode = file->inode;
    int64_t good_ns = mount_good_ns(mount, inode);
    return inodes_known(&mount->inodes, inode, mount_now_ns(mount), good_ns) != NULL &&
           op_id_equal(&inode->known->entry.version, &file->version);
}

static int read_blocks(struct file *file, uint64_t offset, uint8_t *into, size_t size,
                       bool cached) {
    struct held held[HELD_MAX];
    struct held gaps[HELD_MAX + 1] = {{{0}, 0}}; /* sizes and places only */
    int n_gaps = 0;
    list_held(file, held);
    /* First what may move into the blocks while those are read. */
    for (uint64_t from = offset; from < offset + size;) {
        uint64_t at;
        struct bytes part = next_held(held, from, offset + size, &at);
        if (at > from) {
            gaps[n_gaps++] = (struct held){{NULL, (size_t)(at - from)}, from};
        }
        if (part.size > 0) {
            memcpy(into + (at - offset), part.data, part.size);
        }
        from = at + part.size;
    }
    struct id128 contents = file->blocks.contents;
    bool hole = false;
    int status = 0;
    for (int i = 0; status == 0 && i < n_gaps; i++) {
        struct blocks_reading reading = {
            .offset = gaps[i].at,
            .into = into + (gaps[i].at - offset),
            .size = gaps[i].data.size,
            .end = file->size,
            .cached = cached && is_latest(file),
        };
        status = blocks_read(&file->blocks, &reading, &hole);
    }
    return status == 0 && hole ? check_hole(file, &contents) : status;
}

int file_read(struct file *file, uint64_t offset, uint8_t *into, size_t size, bool cached,
              size_t *ret_size) {
    for (int i = 0; i < FILE_REBASES_MAX; i++) {
        file_adopt(file);
        uint64_t left = offset < file->size ? file->size - offset : 0;
        size_t n = left < size ? (size_t)left : size;
        int status = 0;
        if (n > 0 && file->kind == CONTENTS_INLINE) {
            memcpy(into, file->data.data + offset, n);
        } else if (n > 0) {
            status = read_blocks(file, offset, into, n, cached);
        }
        if (status != ERR_CONFLICT) {
            *ret_size = n;
            return status;
        }
    }
    return ERR_BUSY;
}
