/* overlay: pieces of bytes to be laid over a value, each at its place. */
#include "shared/overlay.h"

#include <assert.h>
#include <string.h>

#include "shared/err.h"

struct piece {
    uint32_t offset;
    struct bytes data;
};

static struct piece take_piece(struct reader *r) {
    struct piece piece = {.offset = reader_u32(r)};
    piece.data = reader_sized32(r);
    return piece;
}

void overlay_add(struct buffer *overlay, uint32_t offset, struct bytes data) {
    assert(data.size > 0);
    buffer_put_u32(overlay, offset);
    buffer_put_sized32(overlay, data);
}

int overlay_check(struct bytes overlay, uint32_t end_max) {
    struct reader r = reader_of(overlay);
    uint64_t end = 0;
    uint32_t n = 0;
    while (r.left > 0 && n < OVERLAY_PIECES_MAX) {
        struct piece piece = take_piece(&r);
        if (r.bad || piece.data.size == 0 || piece.offset < end) {
            return ERR_INVALID;
        }
        end = (uint64_t)piece.offset + piece.data.size;
        if (end > end_max) {
            return ERR_TOO_BIG;
        }
        n++;
    }
    return n == 0 ? ERR_INVALID : r.left > 0 ? ERR_TOO_BIG : 0;
}

static size_t end_of(struct bytes overlay) {
    struct reader r = reader_of(overlay);
    size_t end = 0;
    while (r.left > 0) {
        struct piece piece = take_piece(&r);
        end = piece.offset + piece.data.size;
    }
    return end;
}

void overlay_apply(struct bytes overlay, struct bytes value, struct buffer *into) {
    size_t at = into->size;
    size_t end = end_of(overlay);
    buffer_put_bytes(into, value);
    if (end > value.size) {
        memset(buffer_extend(into, end - value.size), 0, end - value.size);
    }
    struct reader r = reader_of(overlay);
    while (r.left > 0) {
        struct piece piece = take_piece(&r);
        memcpy(into->data + at + piece.offset, piece.data.data, piece.data.size);
    }
}
