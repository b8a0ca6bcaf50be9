/* extents: where in a sparse file blocks may be stored. */
#include "shared/extents.h"

#include <string.h>

#include "shared/err.h"
#include "shared/record.h"

struct extents extents_dense(uint64_t end) {
    struct extents extents = {.n = end > 0};
    extents.at[0].end = end;
    return extents;
}

bool extents_are_dense(const struct extents *extents, uint64_t end) {
    bool whole = extents->n == 1 && extents->at[0].first == 0 && extents->at[0].end >= end;
    return end == 0 ? extents->n == 0 : whole;
}

static void erase(struct extents *extents, uint32_t index, uint32_t n) {
    memmove(&extents->at[index], &extents->at[index + n],
            (extents->n - index - n) * sizeof extents->at[0]);
    extents->n -= n;
}

static void insert(struct extents *extents, uint32_t index, struct extent extent) {
    memmove(&extents->at[index + 1], &extents->at[index],
            (extents->n - index) * sizeof extents->at[0]);
    extents->at[index] = extent;
    extents->n++;
}

static void forget_smallest_hole(struct extents *extents) {
    uint32_t smallest = 1;
    for (uint32_t i = 2; i < extents->n; i++) {
        uint64_t hole = extents->at[i].first - extents->at[i - 1].end;
        if (hole < extents->at[smallest].first - extents->at[smallest - 1].end) {
            smallest = i;
        }
    }
    extents->at[smallest - 1].end = extents->at[smallest].end;
    erase(extents, smallest, 1);
}

/* The first extent that ends at `block` or behind it. */
static uint32_t find(const struct extents *extents, uint64_t block) {
    uint32_t i = 0;
    while (i < extents->n && extents->at[i].end < block) {
        i++;
    }
    return i;
}

void extents_add(struct extents *extents, uint64_t first, uint64_t end) {
    if (first >= end) {
        return;
    }
    uint32_t i = find(extents, first);
    if (i < extents->n && extents->at[i].first <= first && extents->at[i].end >= end) {
        return;
    }
    uint32_t n = 0;
    while (i + n < extents->n && extents->at[i + n].first <= end) {
        struct extent *met = &extents->at[i + n];
        first = met->first < first ? met->first : first;
        end = met->end > end ? met->end : end;
        n++;
    }
    if (n > 0) {
        extents->at[i] = (struct extent){first, end};
        erase(extents, i + 1, n - 1);
        return;
    }
    if (extents->n == EXTENTS_MAX) {
        forget_smallest_hole(extents);
        extents_add(extents, first, end);
        return;
    }
    insert(extents, i, (struct extent){first, end});
}

void extents_join(struct extents *extents, const struct extents *more) {
    for (uint32_t i = 0; i < more->n; i++) {
        extents_add(extents, more->at[i].first, more->at[i].end);
    }
}

void extents_remove(struct extents *extents, uint64_t first, uint64_t end) {
    for (uint32_t i = 0; i < extents->n && first < end;) {
        struct extent *at = &extents->at[i];
        if (at->end <= first || at->first >= end) {
            i++;
        } else if (at->first < first && at->end > end) {
            if (extents->n < EXTENTS_MAX) {
                insert(extents, i + 1, (struct extent){end, at->end});
                at->end = first;
            }
            return;
        } else if (at->first < first) {
            at->end = first;
            i++;
        } else if (at->end > end) {
            at->first = end;
            i++;
        } else {
            erase(extents, i, 1);
        }
    }
}

void extents_subtract(struct extents *extents, const struct extents *less) {
    for (uint32_t i = 0; i < less->n; i++) {
        extents_remove(extents, less->at[i].first, less->at[i].end);
    }
}

bool extents_have(const struct extents *extents, uint64_t block) {
    return extents_next_stored(extents, block) == block;
}

uint64_t extents_next_stored(const struct extents *extents, uint64_t block) {
    for (uint32_t i = 0; i < extents->n; i++) {
        if (extents->at[i].end > block) {
            return extents->at[i].first > block ? extents->at[i].first : block;
        }
    }
    return UINT64_MAX;
}

uint64_t extents_next_hole(const struct extents *extents, uint64_t block) {
    for (uint32_t i = 0; i < extents->n; i++) {
        if (extents->at[i].first <= block && extents->at[i].end > block) {
            return extents->at[i].end;
        }
    }
    return block;
}

uint64_t extents_bytes(const struct extents *extents, uint64_t size) {
    uint64_t n = 0;
    uint64_t end_block = (size + BLOCK_SIZE - 1) / BLOCK_SIZE;
    for (uint32_t i = 0; i < extents->n && extents->at[i].first < end_block; i++) {
        bool last = extents->at[i].end >= end_block;
        uint64_t end = last ? size : extents->at[i].end * BLOCK_SIZE;
        n += end - extents->at[i].first * BLOCK_SIZE;
    }
    return n;
}

void extents_encode(const struct extents *extents, struct buffer *into) {
    buffer_put_u8(into, (uint8_t)extents->n);
    for (uint32_t i = 0; i < extents->n; i++) {
        buffer_put_u64(into, extents->at[i].first);
        buffer_put_u64(into, extents->at[i].end);
    }
}

int extents_decode(struct bytes encoded, struct extents *ret) {
    struct reader r = reader_of(encoded);
    struct extents extents = {.n = reader_u8(&r)};
    if (extents.n > EXTENTS_MAX) {
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < extents.n; i++) {
        struct extent *at = &extents.at[i];
        at->first = reader_u64(&r);
        at->end = reader_u64(&r);
        bool apart = i == 0 || at->first > extents.at[i - 1].end;
        if (!apart || at->end <= at->first || at->end > UINT64_MAX / BLOCK_SIZE) {
            return ERR_INVALID;
        }
    }
    if (reader_end(&r) < 0) {
        return ERR_INVALID;
    }
    *ret = extents;
    return 0;
}
