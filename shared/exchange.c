/* exchange: each payload's encoder beside its decoder. */
#include "shared/exchange.h"

#include <assert.h>
#include <string.h>

#include <xxhash.h>

#include "shared/err.h"

/* ---- TREE ---- */

enum { TREE_FORMAT = 1 };

void tree_sums_encode(const struct tree_sums *sums, struct buffer *into) {
    buffer_put_u8(into, TREE_FORMAT);
    buffer_put_u16(into, sums->n);
    for (uint16_t i = 0; i < sums->n; i++) {
        buffer_put_u16(into, sums->sums[i].slice);
        buffer_put_u32(into, sums->sums[i].n_rows);
        buffer_put_u64(into, sums->sums[i].sum);
    }
    buffer_put_u16(into, sums->n_unknown);
    for (uint16_t i = 0; i < sums->n_unknown; i++) {
        buffer_put_u16(into, sums->unknown[i]);
    }
}

int tree_sums_decode(struct bytes payload, uint16_t n_slices, struct tree_sums *ret) {
    struct reader r = reader_of(payload);
    bool sound = reader_u8(&r) == TREE_FORMAT;
    ret->n = reader_u16(&r);
    ret->n_unknown = 0;
    if (ret->n > n_slices) {
        ret->n = 0;
        return ERR_INVALID;
    }
    for (uint16_t i = 0; i < ret->n; i++) {
        ret->sums[i].slice = reader_u16(&r);
        ret->sums[i].n_rows = reader_u32(&r);
        ret->sums[i].sum = reader_u64(&r);
        sound = sound && ret->sums[i].slice < n_slices;
    }
    uint16_t n_unknown = reader_u16(&r);
    if (n_unknown > n_slices) {
        return ERR_INVALID;
    }
    for (uint16_t i = 0; i < n_unknown; i++) {
        ret->unknown[i] = reader_u16(&r);
        sound = sound && ret->unknown[i] < n_slices;
    }
    ret->n_unknown = n_unknown;
    return sound ? reader_end(&r) : ERR_INVALID;
}

/* ---- LEAF ---- */

int row_key_split(struct bytes key, struct bytes *ret_partition_key, struct bytes *ret_sort_key) {
    struct reader r = reader_of(key);
    struct bytes partition_key = reader_sized8(&r);
    struct bytes sort_key = reader_rest(&r);
    if (r.bad || sort_key.size > SORT_KEY_MAX) {
        return ERR_INVALID;
    }
    *ret_partition_key = partition_key;
    *ret_sort_key = sort_key;
    return 0;
}

static bool is_row_key(struct bytes key) {
    struct bytes partition_key, sort_key;
    return row_key_split(key, &partition_key, &sort_key) == 0;
}

void leaf_request_encode(const struct leaf_request *request, struct buffer *into) {
    buffer_put_u16(into, request->slice);
    buffer_put_u32(into, request->rows_max);
    buffer_put_sized16(into, request->after);
    buffer_put_sized16(into, request->until);
    buffer_put_sized8(into, request->digest);
}

int leaf_request_decode(struct bytes payload, uint16_t n_slices, struct leaf_request *ret) {
    struct reader r = reader_of(payload);
    struct leaf_request request;
    request.slice = reader_u16(&r);
    request.rows_max = reader_u32(&r);
    request.after = reader_sized16(&r);
    request.until = reader_sized16(&r);
    request.digest = reader_sized8(&r);
    if (reader_end(&r) != 0 || request.slice >= n_slices ||
        (request.after.size > 0 && !is_row_key(request.after)) ||
        (request.until.size > 0 && !is_row_key(request.until)) ||
        (request.digest.size != 0 && request.digest.size != LEAF_DIGEST_SIZE)) {
        return ERR_INVALID;
    }
    if (request.rows_max == 0 || request.rows_max > LEAF_ROWS_MAX) {
        return ERR_TOO_BIG;
    }
    *ret = request;
    return 0;
}

void leaf_row_encode(const struct leaf_row *row, struct buffer *into) {
    buffer_put_sized16(into, row->key);
    buffer_put(into, row->clock, LEAF_DIGEST_SIZE);
    buffer_put_u8(into, row->flags);
    buffer_put_u64(into, row->stamp_ns);
}

static bool take_row(struct reader *r, struct leaf_row *ret) {
    ret->key = reader_sized16(r);
    ret->clock = reader_bytes(r, LEAF_DIGEST_SIZE).data;
    ret->flags = reader_u8(r);
    ret->stamp_ns = reader_u64(r);
    return !r->bad;
}

bool leaf_next(struct bytes *rows, struct leaf_row *ret) {
    if (rows->size == 0) {
        return false;
    }
    struct reader r = reader_of(*rows);
    bool sound = take_row(&r, ret);
    assert(sound);
    (void)sound;
    *rows = reader_rest(&r);
    return true;
}

void leaf_encode(const struct leaf *leaf, struct buffer *into) {
    assert(leaf->n_rows <= LEAF_ROWS_MAX);
    buffer_put_u8(into, leaf->same ? 1 : 0);
    buffer_put_u8(into, leaf->more ? 1 : 0);
    buffer_put_sized16(into, leaf->cursor);
    buffer_put_u32(into, leaf->n_rows);
    buffer_put_bytes(into, leaf->rows);
}

/* Ascending row keys, no others, as many as were announced. */
static bool rows_sound(struct bytes rows, uint32_t n) {
    struct reader r = reader_of(rows);
    struct bytes last = {0};
    for (uint32_t i = 0; i < n; i++) {
        struct leaf_row row;
        if (!take_row(&r, &row) || !is_row_key(row.key) ||
            (i > 0 && bytes_compare(last, row.key) >= 0)) {
            return false;
        }
        last = row.key;
    }
    return reader_end(&r) == 0;
}

int leaf_decode(struct bytes payload, struct leaf *ret) {
    struct reader r = reader_of(payload);
    struct leaf leaf;
    uint8_t same = reader_u8(&r);
    uint8_t more = reader_u8(&r);
    leaf.same = same != 0;
    leaf.more = more != 0;
    leaf.cursor = reader_sized16(&r);
    leaf.n_rows = reader_u32(&r);
    leaf.rows = reader_rest(&r);
    if (r.bad || same > 1 || more > 1 || (leaf.more && !is_row_key(leaf.cursor))) {
        return ERR_INVALID;
    }
    if (leaf.n_rows > LEAF_ROWS_MAX) {
        return ERR_TOO_BIG;
    }
    if (!rows_sound(leaf.rows, leaf.n_rows)) {
        return ERR_INVALID;
    }
    *ret = leaf;
    return 0;
}

void leaf_digest(struct bytes rows, uint8_t ret[LEAF_DIGEST_SIZE]) {
    XXH128_hash_t hash = XXH3_128bits(rows.data, rows.size);
    bytes_store_u64(ret, hash.low64);
    bytes_store_u64(ret + 8, hash.high64);
}

/* ---- REAP ---- */

void reap_request_encode(const struct reap_request *request, struct buffer *into) {
    assert(request->n <= REAP_ROWS_MAX);
    buffer_put_u8(into, request->order);
    buffer_put_u16(into, request->slice);
    buffer_put_u16(into, request->n);
    for (uint16_t i = 0; i < request->n; i++) {
        buffer_put_sized16(into, request->rows[i].key);
        buffer_put(into, request->rows[i].clock, LEAF_DIGEST_SIZE);
    }
}

int reap_request_decode(struct bytes payload, uint16_t n_slices, struct reap_request *ret) {
    struct reader r = reader_of(payload);
    bool sound = (ret->order = reader_u8(&r)) <= REAP_REMOVE;
    sound = (ret->slice = reader_u16(&r)) < n_slices && sound;
    ret->n = reader_u16(&r);
    if (ret->n > REAP_ROWS_MAX) {
        ret->n = 0;
        return ERR_TOO_BIG;
    }
    for (uint16_t i = 0; i < ret->n && sound; i++) {
        ret->rows[i].key = reader_sized16(&r);
        ret->rows[i].clock = reader_bytes(&r, LEAF_DIGEST_SIZE).data;
        sound = !r.bad && is_row_key(ret->rows[i].key) &&
                (i == 0 || bytes_compare(ret->rows[i - 1].key, ret->rows[i].key) < 0);
    }
    return sound ? reader_end(&r) : ERR_INVALID;
}

void reap_reply_encode(const uint8_t *verdicts, uint16_t n, struct buffer *into) {
    buffer_put_u16(into, n);
    buffer_put(into, verdicts, n);
}

int reap_reply_decode(struct bytes payload, uint16_t n, uint8_t *ret_verdicts) {
    struct reader r = reader_of(payload);
    uint16_t n_here = reader_u16(&r);
    struct bytes verdicts = reader_bytes(&r, n_here);
    if (reader_end(&r) != 0 || n_here != n) {
        return ERR_INVALID;
    }
    for (uint16_t i = 0; i < n; i++) {
        if (verdicts.data[i] > REAP_REMOVED) {
            return ERR_INVALID;
        }
    }
    if (n > 0) {
        memcpy(ret_verdicts, verdicts.data, n);
    }
    return 0;
}

/* ---- REPAIR_CONTROL ---- */

void repair_request_encode(const struct repair_request *request, struct buffer *into) {
    assert(request->n_slices <= REPAIR_SLICES_MAX);
    buffer_put_u8(into, request->order);
    buffer_put_u16(into, request->n_slices);
    for (uint16_t i = 0; i < request->n_slices; i++) {
        buffer_put_u16(into, request->slices[i]);
    }
}

int repair_request_decode(struct bytes payload, uint16_t n_slices, struct repair_request *ret) {
    struct reader r = reader_of(payload);
    bool sound = (ret->order = reader_u8(&r)) <= REPAIR_SLICES;
    ret->n_slices = reader_u16(&r);
    if (ret->n_slices > REPAIR_SLICES_MAX) {
        ret->n_slices = 0;
        return ERR_TOO_BIG;
    }
    for (uint16_t i = 0; i < ret->n_slices; i++) {
        ret->slices[i] = reader_u16(&r);
        sound = sound && ret->slices[i] < n_slices;
    }
    return sound ? reader_end(&r) : ERR_INVALID;
}
