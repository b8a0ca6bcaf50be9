/* segment_delta: see the header. */
#include "node/segment_delta.h"

#include <string.h>

#include "shared/err.h"

enum { STEP = 64, PIECE_HEAD = 8 };

static bool same(struct bytes base, struct bytes value, size_t at, size_t size, int64_t skew) {
    int64_t from = (int64_t)at + skew;
    return from >= 0 && (uint64_t)from + size <= base.size &&
           memcmp(base.data + from, value.data + at, size) == 0;
}

static void put_piece(struct buffer *pieces, struct bytes value, size_t from, size_t to) {
    buffer_put_u32(pieces, (uint32_t)from);
    buffer_put_u32(pieces, (uint32_t)(to - from));
    buffer_put(pieces, value.data + from, to - from);
}

static bool make_with(struct bytes base, struct bytes value, int64_t skew, size_t max,
                      struct buffer *pieces) {
    bool open = false;
    size_t from = 0; /* of the piece that is open */
    size_t size = 0;
    buffer_clear(pieces);
    for (size_t at = 0; at < value.size && size <= max; at += STEP) {
        size_t step = value.size - at < STEP ? value.size - at : STEP;
        bool differs = !same(base, value, at, step, skew);
        if (open && !differs) {
            put_piece(pieces, value, from, at);
        } else if (differs && !open) {
            from = at;
            size += PIECE_HEAD;
        }
        open = differs;
        size += differs ? step : 0;
    }
    if (open && size <= max) {
        put_piece(pieces, value, from, value.size);
    }
    return size <= max;
}

bool segment_delta_make(struct bytes base, struct bytes value, size_t at, size_t max,
                        struct buffer *pieces, struct segment_delta *ret) {
    /* In line at the place that is known, or, what is before it having grown, at the end. */
    int64_t skews[] = {-(int64_t)at, (int64_t)base.size - (int64_t)value.size};
    max = max < value.size / 2 ? max : value.size / 2;
    for (int i = 0; i < 2; i++) {
        if ((i == 0 || skews[1] != skews[0]) && make_with(base, value, skews[i], max, pieces)) {
            *ret = (struct segment_delta){
                .size = value.size, .skew = skews[i], .pieces = buffer_bytes(pieces)};
            return true;
        }
    }
    return false;
}

void segment_delta_encode(const struct segment_delta *delta, struct buffer *into) {
    buffer_put_u8(into, delta->of_other);
    buffer_put_u16(into, (uint16_t)delta->key_size);
    buffer_put_u32(into, (uint32_t)delta->size);
    buffer_put_u64(into, delta->sum);
    buffer_put_u32(into, (uint32_t)delta->skew);
    buffer_put_bytes(into, delta->pieces);
}

static bool pieces_sound(const struct segment_delta *delta) {
    struct reader reader = reader_of(delta->pieces);
    uint64_t end = 0;
    while (!reader.bad && reader.left > 0) {
        uint64_t at = reader_u32(&reader);
        uint32_t size = reader_u32(&reader);
        reader_bytes(&reader, size);
        if (at < end || size == 0 || at + size > delta->size) {
            return false;
        }
        end = at + size;
    }
    return !reader.bad;
}

int segment_delta_decode(struct bytes encoded, struct segment_delta *ret) {
    struct reader reader = reader_of(encoded);
    uint8_t of_other = reader_u8(&reader);
    *ret = (struct segment_delta){.of_other = of_other == 1, .key_size = reader_u16(&reader)};
    ret->size = reader_u32(&reader);
    ret->sum = reader_u64(&reader);
    ret->skew = (int32_t)reader_u32(&reader);
    ret->pieces = reader_rest(&reader);
    bool sound = !reader.bad && of_other <= 1 && ret->key_size <= SEGMENT_KEY_MAX &&
                 ret->size > 0 && ret->size <= SEGMENT_VALUE_MAX;
    return sound && pieces_sound(ret) ? 0 : ERR_CORRUPT;
}

/* The base's bytes for [from, to) of the value. */
static bool take(const struct segment_delta *delta, struct bytes base, size_t from, size_t to,
                 uint8_t *room) {
    int64_t at = (int64_t)from + delta->skew;
    if (from == to) {
        return true;
    }
    if (at < 0 || (uint64_t)at + (to - from) > base.size) {
        return false;
    }
    memcpy(room + from, base.data + at, to - from);
    return true;
}

int segment_delta_apply(const struct segment_delta *delta, struct bytes base, uint8_t *room) {
    struct reader reader = reader_of(delta->pieces);
    size_t end = 0;
    while (reader.left > 0) {
        size_t at = reader_u32(&reader);
        struct bytes piece = reader_bytes(&reader, reader_u32(&reader));
        if (!take(delta, base, end, at, room)) {
            return ERR_CORRUPT;
        }
        bytes_store(room + at, piece);
        end = at + piece.size;
    }
    return take(delta, base, end, delta->size, room) ? 0 : ERR_CORRUPT;
}
