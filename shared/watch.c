/* watch: the payloads by which a client hears of rows that others have changed. */
#include "shared/watch.h"

#include <assert.h>

#include "shared/err.h"
#include "shared/message.h"

static void put_keys(const struct bytes *keys, uint16_t n, struct buffer *into) {
    assert(n <= WATCH_NAMED_MAX);
    buffer_put_u16(into, n);
    for (uint16_t i = 0; i < n; i++) {
        buffer_put_sized8(into, keys[i]);
    }
}

static void take_keys(struct reader *r, struct bytes *keys, uint16_t *ret_n) {
    uint16_t n = reader_u16(r);
    r->bad = r->bad || n > WATCH_NAMED_MAX;
    for (uint16_t i = 0; i < n && !r->bad; i++) {
        keys[i] = reader_sized8(r);
        r->bad = r->bad || keys[i].size == 0;
    }
    *ret_n = n;
}

void watch_request_encode(const struct watch_request *request, struct buffer *into) {
    buffer_put_u64(into, request->writer);
    buffer_put_u64(into, request->turn);
    buffer_put_u64(into, request->life);
    buffer_put_u64(into, request->heard);
    put_keys(request->begun, request->n_begun, into);
    put_keys(request->ended, request->n_ended, into);
}

int watch_request_decode(struct bytes payload, struct watch_request *ret) {
    struct reader r = reader_of(payload);
    ret->writer = reader_u64(&r);
    ret->turn = reader_u64(&r);
    ret->life = reader_u64(&r);
    ret->heard = reader_u64(&r);
    take_keys(&r, ret->begun, &ret->n_begun);
    take_keys(&r, ret->ended, &ret->n_ended);
    return reader_end(&r);
}

void watch_reply_encode(const struct watch_reply *reply, struct buffer *into) {
    buffer_put_u64(into, reply->life);
    buffer_put_u8(into, reply->read_quorum);
    buffer_put_u32(into, reply->lease_ms);
    buffer_put_u16(into, reply->n_begun);
    buffer_put_u64(into, reply->first);
    buffer_put_u32(into, reply->n_changes);
    buffer_put_bytes(into, reply->changes);
}

size_t watch_change_size(const struct watch_change *change) {
    return 1 + change->partition_key.size + 2 + change->sort_key.size;
}

void watch_change_encode(const struct watch_change *change, struct buffer *into) {
    buffer_put_sized8(into, change->partition_key);
    buffer_put_sized16(into, change->sort_key);
}

static bool take_change(struct reader *r, struct watch_change *ret) {
    ret->partition_key = reader_sized8(r);
    ret->sort_key = reader_sized16(r);
    return !r->bad && ret->partition_key.size > 0 && ret->sort_key.size <= SORT_KEY_MAX;
}

bool watch_next(struct bytes *changes, struct watch_change *ret) {
    struct reader r = reader_of(*changes);
    if (r.left == 0 || !take_change(&r, ret)) {
        return false;
    }
    *changes = reader_rest(&r);
    return true;
}

int watch_reply_decode(struct bytes payload, struct watch_reply *ret) {
    struct reader r = reader_of(payload);
    struct watch_reply reply = {.life = reader_u64(&r)};
    reply.read_quorum = reader_u8(&r);
    reply.lease_ms = reader_u32(&r);
    reply.n_begun = reader_u16(&r);
    reply.first = reader_u64(&r);
    reply.n_changes = reader_u32(&r);
    if (r.bad || reply.read_quorum == 0) {
        return ERR_INVALID;
    }
    reply.changes = reader_rest(&r);
    struct bytes left = reply.changes;
    struct watch_change change;
    uint32_t n = 0;
    while (watch_next(&left, &change)) {
        n++;
    }
    if (left.size != 0 || n != reply.n_changes) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}
