/* written: which bytes of a block were written here. */
#include "fs/written.h"

#include <assert.h>
#include <string.h>

void written_add(struct written *written, uint32_t from, uint32_t to) {
    assert(from <= to && to <= BLOCK_SIZE);
    while (from < to) {
        uint32_t at = from % WRITTEN_BITS;
        uint32_t n = WRITTEN_BITS - at < to - from ? WRITTEN_BITS - at : to - from;
        uint64_t mask = n == WRITTEN_BITS ? UINT64_MAX : ((1ull << n) - 1) << at;
        written->bits[from / WRITTEN_BITS] |= mask;
        from += n;
    }
}

bool written_all(const struct written *written) {
    for (int i = 0; i < WRITTEN_WORDS; i++) {
        if (written->bits[i] != UINT64_MAX) {
            return false;
        }
    }
    return true;
}

/* The first byte from `at` on that was written, or that was not; else BLOCK_SIZE. */
static uint32_t next(const struct written *written, uint32_t at, bool was) {
    while (at < BLOCK_SIZE) {
        uint64_t bits = written->bits[at / WRITTEN_BITS];
        bits = (was ? bits : ~bits) >> at % WRITTEN_BITS;
        if (bits != 0) {
            return at + (uint32_t)__builtin_ctzll(bits);
        }
        at += WRITTEN_BITS - at % WRITTEN_BITS;
    }
    return BLOCK_SIZE;
}

bool written_has(const struct written *written, uint32_t from, uint32_t to) {
    assert(from <= to && to <= BLOCK_SIZE);
    return next(written, from, false) >= to;
}

bool written_patches(const struct written *written, uint32_t size) {
    uint32_t n = 0;
    uint32_t end = 0;
    for (uint32_t at = next(written, 0, true); at < BLOCK_SIZE; at = next(written, end, true)) {
        end = next(written, at, false);
        n++;
    }
    return n > 0 && n <= OVERLAY_PIECES_MAX && end <= size;
}

void written_overlay(const struct written *written, const uint8_t *data, struct buffer *into) {
    uint32_t end = 0;
    for (uint32_t at = next(written, 0, true); at < BLOCK_SIZE; at = next(written, end, true)) {
        end = next(written, at, false);
        overlay_add(into, at, bytes_of(data + at, end - at));
    }
}

void written_join(struct written *written, const struct written *other) {
    for (int i = 0; i < WRITTEN_WORDS; i++) {
        written->bits[i] |= other->bits[i];
    }
}

void written_keep(const struct written *written, uint8_t *data, const uint8_t *stored) {
    for (uint32_t word = 0; word < WRITTEN_WORDS; word++) {
        uint64_t bits = written->bits[word];
        uint32_t first = word * WRITTEN_BITS;
        for (uint32_t i = 0; bits != UINT64_MAX && i < WRITTEN_BITS; i++) {
            if ((bits >> i & 1) == 0) {
                data[first + i] = stored[first + i];
            }
        }
    }
}
