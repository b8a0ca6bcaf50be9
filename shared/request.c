/* request: each payload's encoder beside its decoder. */
#include "shared/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "shared/err.h"
#include "shared/overlay.h"

/* The fewest bytes that one element takes, so that a count is believed only as far as the bytes
 * behind it go, before memory is allocated for it. */
enum {
    ROW_OP_SIZE_MIN = 1 + 1 + 2 + 4 + 4,
    CONTEXT_SIZE_MIN = 4,
    SCAN_ROW_SIZE_MIN = 2 + 4,
    DUPLICATES_IN_PLACE_MAX = 16, /* written rows compared pair by pair, without sorting */
    DIGEST_SIZE = 16,
    SCAN_HEAD_SIZE_MAX = 16 + 1 + 2 + 1 + DIGEST_SIZE + 4, /* and the cursor */
};

int sort_key_check(struct bytes sort_key) {
    return sort_key.size > SORT_KEY_MAX ? ERR_TOO_BIG : 0;
}

static void tally_encode(const struct tally *tally, struct buffer *into) {
    buffer_put_u64(into, tally->n_live);
    buffer_put_u64(into, tally->changed_ns);
}

static struct tally tally_take(struct reader *r) {
    struct tally tally;
    tally.n_live = reader_u64(r);
    tally.changed_ns = reader_u64(r);
    return tally;
}

/* ---- BATCH ---- */

void batch_release(struct batch *batch) {
    free(batch->ops);
    *batch = (struct batch){0};
}

void batch_encode(const struct batch *batch, struct buffer *into) {
    assert(batch->n <= BATCH_ROWS_MAX);
    buffer_put(into, batch->op.bytes, sizeof(batch->op.bytes));
    buffer_put_u16(into, (uint16_t)batch->n);
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct row_op *op = &batch->ops[i];
        buffer_put_u8(into, op->kind);
        buffer_put_u8(into, op->condition);
        if (op->condition == ROW_COUNT_MAX) {
            buffer_put_u32(into, op->count_max);
        }
        buffer_put_sized16(into, op->sort_key);
        buffer_put_sized32(into, op->seen);
        buffer_put_sized32(into, op->value);
    }
}

static struct row_op row_op_take(struct reader *r) {
    struct row_op op = {0};
    op.kind = reader_u8(r);
    op.condition = reader_u8(r);
    if (op.condition == ROW_COUNT_MAX) {
        op.count_max = reader_u32(r);
    }
    op.sort_key = reader_sized16(r);
    op.seen = reader_sized32(r);
    op.value = reader_sized32(r);
    return op;
}

static int row_op_check(const struct row_op *op, bool replicate) {
    bool is_guard = op->kind == ROW_GUARD;
    bool is_patch = op->kind == ROW_PATCH;
    if (op->kind < ROW_PUT || op->kind > ROW_PATCH || op->condition > ROW_COUNT_MAX) {
        return ERR_INVALID;
    }
    if (is_patch && (replicate || op->condition != ROW_OVERWRITE)) {
        return ERR_INVALID;
    }
    if (op->condition == ROW_COUNT_MAX && !is_guard) {
        return ERR_INVALID;
    }
    bool has_value = replicate ? !is_guard : op->kind == ROW_PUT || is_patch;
    if (!has_value && op->value.size > 0) {
        return ERR_INVALID;
    }
    if (replicate) {
        if (has_value && op->value.size == 0) {
            return ERR_INVALID;
        }
    } else if (op->value.size > VALUE_MAX) {
        return ERR_TOO_BIG;
    }
    int err = is_patch ? overlay_check(op->value, VALUE_MAX) : 0;
    return err != 0 ? err : sort_key_check(op->sort_key);
}

static int by_sort_key(const void *a, const void *b) {
    const struct row_op *left = *(const struct row_op *const *)a;
    const struct row_op *right = *(const struct row_op *const *)b;
    return bytes_compare(left->sort_key, right->sort_key);
}

static bool any_equal_neighbours(const struct row_op **written, uint32_t n) {
    for (uint32_t i = 1; i < n; i++) {
        if (bytes_equal(written[i - 1]->sort_key, written[i]->sort_key)) {
            return true;
        }
    }
    return false;
}

/* Whether two operations write one row: all rows of a batch get one dot, and a dot names one
 * version of a row. */
static bool writes_a_row_twice(const struct batch *batch) {
    const struct row_op *in_place[DUPLICATES_IN_PLACE_MAX];
    const struct row_op **written = in_place;
    if (batch->n < 2) {
        return false;
    }
    if (batch->n > DUPLICATES_IN_PLACE_MAX) {
        written = memory_new(batch->n, sizeof(struct row_op *));
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].kind != ROW_GUARD) {
            written[n++] = &batch->ops[i];
        }
    }
    qsort(written, n, sizeof(struct row_op *), by_sort_key);
    bool twice = any_equal_neighbours(written, n);
    if (written != in_place) {
        free(written);
    }
    return twice;
}

static int row_ops_take(struct reader *r, bool replicate, struct batch *batch) {
    size_t size = 0;
    uint32_t n_patches = 0;
    for (uint32_t i = 0; i < batch->n; i++) {
        struct row_op *op = &batch->ops[i];
        *op = row_op_take(r);
        int err = r->bad ? ERR_INVALID : row_op_check(op, replicate);
        if (err != 0) {
            return err;
        }
        size += op->sort_key.size + op->value.size;
        n_patches += op->kind == ROW_PATCH;
    }
    if (reader_end(r) != 0 || writes_a_row_twice(batch)) {
        return ERR_INVALID;
    }
    bool too_big = size > BATCH_SIZE_MAX || n_patches > BATCH_PATCHES_MAX;
    return !replicate && too_big ? ERR_TOO_BIG : 0;
}

int batch_decode(struct bytes payload, bool replicate, struct batch *ret) {
    struct reader r = reader_of(payload);
    struct batch batch = {0};
    *ret = batch;
    struct bytes op = reader_bytes(&r, sizeof(batch.op.bytes));
    batch.n = reader_u16(&r);
    if (r.bad || batch.n == 0) {
        return ERR_INVALID;
    }
    if (batch.n > BATCH_ROWS_MAX) {
        return ERR_TOO_BIG;
    }
    if (batch.n > r.left / ROW_OP_SIZE_MIN) {
        return ERR_INVALID;
    }
    memcpy(batch.op.bytes, op.data, sizeof(batch.op.bytes));
    batch.ops = memory_new(batch.n, sizeof(*batch.ops));
    int err = row_ops_take(&r, replicate, &batch);
    if (err != 0) {
        batch_release(&batch);
        return err;
    }
    *ret = batch;
    return 0;
}

void batch_reply_release(struct batch_reply *reply) {
    free(reply->contexts);
    *reply = (struct batch_reply){0};
}

void batch_reply_encode(const struct batch_reply *reply, struct buffer *into) {
    assert(reply->n_contexts <= BATCH_ROWS_MAX);
    tally_encode(&reply->tally, into);
    buffer_put_u8(into, reply->needed);
    buffer_put_u8(into, reply->answered);
    buffer_put_u32(into, reply->failed_index);
    buffer_put_sized32(into, reply->current);
    buffer_put_u16(into, (uint16_t)reply->n_contexts);
    for (uint32_t i = 0; i < reply->n_contexts; i++) {
        buffer_put_sized32(into, reply->contexts[i]);
    }
}

int batch_reply_decode(struct bytes payload, struct batch_reply *ret) {
    struct reader r = reader_of(payload);
    struct batch_reply reply = {0};
    *ret = reply;
    reply.tally = tally_take(&r);
    reply.needed = reader_u8(&r);
    reply.answered = reader_u8(&r);
    reply.failed_index = reader_u32(&r);
    reply.current = reader_sized32(&r);
    reply.n_contexts = reader_u16(&r);
    if (r.bad || reply.failed_index >= BATCH_ROWS_MAX) {
        return ERR_INVALID;
    }
    if (reply.n_contexts > BATCH_ROWS_MAX) {
        return ERR_TOO_BIG;
    }
    if (reply.n_contexts > r.left / CONTEXT_SIZE_MIN) {
        return ERR_INVALID;
    }
    if (reply.n_contexts > 0) {
        reply.contexts = memory_new(reply.n_contexts, sizeof(*reply.contexts));
    }
    for (uint32_t i = 0; i < reply.n_contexts; i++) {
        reply.contexts[i] = reader_sized32(&r);
    }
    if (reader_end(&r) != 0) {
        batch_reply_release(&reply);
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

/* ---- GET and READ ---- */

/* ---- HINT ---- */

void hint_request_encode(const struct hint_request *request, struct buffer *into) {
    buffer_put_u16(into, request->target);
    buffer_put_u8(into, request->counts ? 1 : 0);
    buffer_put_bytes(into, request->batch);
}

int hint_request_decode(struct bytes payload, struct hint_request *ret) {
    struct reader r = reader_of(payload);
    struct hint_request request = {.target = reader_u16(&r)};
    uint8_t counts = reader_u8(&r);
    request.counts = counts == 1;
    request.batch = reader_rest(&r);
    if (r.bad || counts > 1 || request.target == 0) {
        return ERR_INVALID;
    }
    *ret = request;
    return 0;
}

void hint_reply_encode(const struct hint_reply *reply, struct buffer *into) {
    buffer_put_u16(into, reply->target);
    buffer_put_u16(into, reply->slice);
}

int hint_reply_decode(struct bytes payload, struct hint_reply *ret) {
    struct reader r = reader_of(payload);
    struct hint_reply reply = {.target = reader_u16(&r)};
    reply.slice = reader_u16(&r);
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

void get_reply_encode(const struct get_reply *reply, struct buffer *into) {
    tally_encode(&reply->tally, into);
    buffer_put_sized32(into, reply->versions);
}

int get_reply_decode(struct bytes payload, struct get_reply *ret) {
    struct reader r = reader_of(payload);
    struct get_reply reply = {0};
    *ret = reply;
    reply.tally = tally_take(&r);
    reply.versions = reader_sized32(&r);
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

void row_digest(struct bytes versions, uint8_t ret[ROW_DIGEST_SIZE]) {
    XXH128_hash_t hash = XXH3_128bits(versions.data, versions.size);
    bytes_store_u64(ret, hash.low64);
    bytes_store_u64(ret + 8, hash.high64);
}

/* ---- SCAN and READ_SCAN ---- */

void scan_request_encode(const struct scan_request *request, struct buffer *into) {
    buffer_put_sized16(into, request->after);
    buffer_put_sized16(into, request->first);
    buffer_put_sized16(into, request->before);
    buffer_put_u32(into, request->rows_max);
    buffer_put_u32(into, request->bytes_max);
    if (request->value_max > 0) {
        buffer_put_u32(into, request->value_at);
        buffer_put_u32(into, request->value_max);
    }
}

struct bytes scan_value(const struct scan_request *request, uint16_t flags, struct bytes value) {
    size_t at = request->value_at;
    if ((flags & MESSAGE_KEYS_ONLY) != 0) {
        return (struct bytes){0};
    }
    if (request->value_max == 0) {
        return value;
    }
    size_t left = value.size > at ? value.size - at : 0;
    return left == 0
               ? (struct bytes){0}
               : bytes_of(value.data + at, left < request->value_max ? left : request->value_max);
}

int scan_request_decode(struct bytes payload, struct scan_request *ret) {
    struct reader r = reader_of(payload);
    struct scan_request request = {0};
    *ret = request;
    request.after = reader_sized16(&r);
    request.first = reader_sized16(&r);
    request.before = reader_sized16(&r);
    request.rows_max = reader_u32(&r);
    request.bytes_max = reader_u32(&r);
    bool parts = r.left > 0;
    if (parts) {
        request.value_at = reader_u32(&r);
        request.value_max = reader_u32(&r);
    }
    if (reader_end(&r) != 0 || request.rows_max == 0 || (parts && request.value_max == 0)) {
        return ERR_INVALID;
    }
    if (sort_key_check(request.after) != 0 || sort_key_check(request.first) != 0 ||
        sort_key_check(request.before) != 0) {
        return ERR_TOO_BIG;
    }
    if (request.rows_max > SCAN_ROWS_MAX || request.bytes_max > SCAN_BYTES_MAX) {
        return ERR_TOO_BIG;
    }
    *ret = request;
    return 0;
}

void scan_reply_release(struct scan_reply *reply) {
    free(reply->rows);
    *reply = (struct scan_reply){0};
}

/* Blocks of a file in a page: memory that grew with them would be copied twice over. */
static size_t scan_rows_size(const struct scan_reply *reply) {
    size_t size = 0;
    for (uint32_t i = 0; i < reply->n_rows; i++) {
        size += SCAN_ROW_SIZE_MIN + reply->rows[i].sort_key.size + reply->rows[i].versions.size;
    }
    return size;
}

void scan_reply_encode(const struct scan_reply *reply, struct buffer *into) {
    assert(reply->n_rows <= SCAN_ROWS_MAX);
    assert(reply->digest.size == 0 || reply->digest.size == DIGEST_SIZE);
    buffer_reserve(into, SCAN_HEAD_SIZE_MAX + reply->cursor.size + scan_rows_size(reply));
    tally_encode(&reply->tally, into);
    buffer_put_u8(into, reply->more);
    buffer_put_sized16(into, reply->cursor);
    buffer_put_sized8(into, reply->digest);
    buffer_put_u32(into, reply->n_rows);
    for (uint32_t i = 0; i < reply->n_rows; i++) {
        buffer_put_sized16(into, reply->rows[i].sort_key);
        buffer_put_sized32(into, reply->rows[i].versions);
    }
}

/* All but the rows, of which it takes the number. */
static int scan_reply_take_head(struct reader *r, struct scan_reply *reply) {
    reply->tally = tally_take(r);
    uint8_t more = reader_u8(r);
    reply->more = more == 1;
    reply->cursor = reader_sized16(r);
    reply->digest = reader_sized8(r);
    reply->n_rows = reader_u32(r);
    if (r->bad || more > 1 || (reply->more && reply->cursor.size == 0)) {
        return ERR_INVALID;
    }
    if (reply->digest.size != 0 && reply->digest.size != DIGEST_SIZE) {
        return ERR_INVALID;
    }
    if (reply->n_rows > SCAN_ROWS_MAX || sort_key_check(reply->cursor) != 0) {
        return ERR_TOO_BIG;
    }
    return reply->n_rows > r->left / SCAN_ROW_SIZE_MIN ? ERR_INVALID : 0;
}

static int scan_rows_take(struct reader *r, struct scan_reply *reply) {
    for (uint32_t i = 0; i < reply->n_rows; i++) {
        struct scan_row *row = &reply->rows[i];
        row->sort_key = reader_sized16(r);
        row->versions = reader_sized32(r);
        if (sort_key_check(row->sort_key) != 0) {
            return ERR_TOO_BIG;
        }
        if (i > 0 && bytes_compare(row[-1].sort_key, row->sort_key) >= 0) {
            return ERR_INVALID;
        }
    }
    return reader_end(r);
}

int scan_reply_decode(struct bytes payload, struct scan_reply *ret) {
    struct reader r = reader_of(payload);
    struct scan_reply reply = {0};
    *ret = reply;
    int err = scan_reply_take_head(&r, &reply);
    if (err != 0) {
        return err;
    }
    if (reply.n_rows > 0) {
        reply.rows = memory_new(reply.n_rows, sizeof(*reply.rows));
    }
    err = scan_rows_take(&r, &reply);
    if (err != 0) {
        scan_reply_release(&reply);
        return err;
    }
    *ret = reply;
    return 0;
}

/* ---- HELLO ---- */

void hello_reply_encode(const struct hello_reply *reply, struct buffer *into) {
    buffer_put_u16(into, reply->node);
    buffer_put_u32(into, reply->credit_bytes);
    buffer_put_u8(into, reply->read_quorum);
    buffer_put_sized32(into, reply->ring);
}

int hello_reply_decode(struct bytes payload, struct hello_reply *ret) {
    struct reader r = reader_of(payload);
    struct hello_reply reply = {0};
    *ret = reply;
    reply.node = reader_u16(&r);
    reply.credit_bytes = reader_u32(&r);
    reply.read_quorum = reader_u8(&r);
    reply.ring = reader_sized32(&r);
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

/* ---- STATS ---- */

void stats_encode(const struct stat_row *rows, uint32_t n, struct buffer *into) {
    assert(n <= STATS_MAX);
    buffer_put_u16(into, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++) {
        assert(rows[i].name.size <= STAT_NAME_MAX);
        buffer_put_sized8(into, rows[i].name);
        buffer_put_u64(into, rows[i].value);
    }
}

int stats_decode(struct bytes payload, struct stat_row *ret, uint32_t *ret_n) {
    struct reader r = reader_of(payload);
    *ret_n = 0;
    uint16_t n = reader_u16(&r);
    if (n > STATS_MAX) {
        return ERR_TOO_BIG;
    }
    for (uint16_t i = 0; i < n; i++) {
        ret[i].name = reader_sized8(&r);
        ret[i].value = reader_u64(&r);
        if (ret[i].name.size > STAT_NAME_MAX) {
            return ERR_TOO_BIG;
        }
    }
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret_n = n;
    return 0;
}

uint64_t stats_value(const struct stat_row *rows, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++) {
        if (bytes_equal(rows[i].name, bytes_of_string(name))) {
            return rows[i].value;
        }
    }
    return 0;
}
