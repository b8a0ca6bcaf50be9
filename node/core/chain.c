/* chain: what a replica keeps of a partition's strict batches: its promise, the tail, a pending. */
#include "node/core/chain.h"

#include <assert.h>
#include <string.h>

#include "shared/err.h"

enum { PROMISE_FORMAT = 1, TAIL_FORMAT = 1 };

static void put_ballot(struct buffer *into, struct ballot ballot) {
    buffer_put_u64(into, ballot.epoch);
    buffer_put_u64(into, ballot.seq);
}

static struct ballot take_ballot(struct reader *r) {
    struct ballot ballot;
    ballot.epoch = reader_u64(r);
    ballot.seq = reader_u64(r);
    return ballot;
}

void chain_promise_encode(uint64_t epoch, struct buffer *into) {
    buffer_put_u8(into, PROMISE_FORMAT);
    buffer_put_u64(into, epoch);
}

uint64_t chain_promise(struct bytes encoded) {
    struct reader r = reader_of(encoded);
    reader_u8(&r);
    return reader_u64(&r);
}

void chain_tail_encode(const struct chain_tail *tail, struct buffer *into) {
    buffer_put_u8(into, TAIL_FORMAT);
    put_ballot(into, tail->applied);
    for (uint32_t i = 0; i < tail->n; i++) {
        const struct chain_op *op = &tail->ops[i];
        buffer_put(into, op->op.bytes, sizeof op->op.bytes);
        buffer_put_u64(into, op->stamp_ns);
        buffer_put_u64(into, op->dot.actor);
        buffer_put_u64(into, op->dot.counter);
    }
}

int chain_tail_decode(struct bytes encoded, struct chain_tail *ret) {
    struct reader r = reader_of(encoded);
    struct chain_tail tail = {0};
    if (encoded.size == 0) {
        *ret = tail;
        return 0;
    }
    uint8_t format = reader_u8(&r);
    tail.applied = take_ballot(&r);
    while (!r.bad && r.left > 0 && tail.n < CHAIN_RECENT_MAX) {
        struct chain_op *op = &tail.ops[tail.n++];
        struct bytes id = reader_bytes(&r, sizeof op->op.bytes);
        if (id.size == sizeof op->op.bytes) {
            memcpy(op->op.bytes, id.data, id.size);
        }
        op->stamp_ns = reader_u64(&r);
        op->dot.actor = reader_u64(&r);
        op->dot.counter = reader_u64(&r);
    }
    if (reader_end(&r) != 0 || format != TAIL_FORMAT) {
        return ERR_INVALID;
    }
    *ret = tail;
    return 0;
}

struct ballot chain_applied(struct bytes tail) {
    struct reader r = reader_of(tail);
    reader_u8(&r);
    return take_ballot(&r);
}

void chain_proposal_encode(const struct chain_proposal *proposal, struct buffer *into) {
    put_ballot(into, proposal->ballot);
    put_ballot(into, proposal->prev);
    buffer_put_u64(into, proposal->stamp_ns);
    buffer_put_u64(into, proposal->dot.actor);
    buffer_put_u64(into, proposal->dot.counter);
    buffer_put_u64(into, proposal->tally.n_live);
    buffer_put_u64(into, proposal->tally.changed_ns);
    buffer_put_bytes(into, proposal->batch);
}

int chain_proposal_decode(struct bytes encoded, struct chain_proposal *ret) {
    struct reader r = reader_of(encoded);
    struct chain_proposal proposal;
    proposal.ballot = take_ballot(&r);
    proposal.prev = take_ballot(&r);
    proposal.stamp_ns = reader_u64(&r);
    proposal.dot.actor = reader_u64(&r);
    proposal.dot.counter = reader_u64(&r);
    proposal.tally.n_live = reader_u64(&r);
    proposal.tally.changed_ns = reader_u64(&r);
    proposal.batch = reader_rest(&r);
    if (r.bad || ballot_compare(proposal.prev, proposal.ballot) >= 0) {
        return ERR_INVALID;
    }
    *ret = proposal;
    return 0;
}

struct ballot chain_ballot(struct bytes proposal) {
    struct chain_proposal decoded = {0};
    chain_proposal_decode(proposal, &decoded);
    return decoded.ballot;
}

int chain_batch_decode(struct bytes proposal, struct versions *scratch, struct batch *ret) {
    struct chain_proposal decoded;
    int err = chain_proposal_decode(proposal, &decoded);
    if (err == 0) {
        err = batch_decode(decoded.batch, true, ret);
    }
    for (uint32_t i = 0; err == 0 && i < ret->n; i++) {
        if (ret->ops[i].kind != ROW_GUARD) {
            err = versions_decode(ret->ops[i].value, scratch);
        }
        if (err != 0) {
            batch_release(ret);
        }
    }
    return err;
}

void chain_reply_encode(const struct chain_reply *reply, struct buffer *into) {
    assert(reply->tail.size <= CHAIN_TAIL_MAX);
    buffer_put_u16(into, reply->incarnation);
    buffer_put_u64(into, reply->promise);
    buffer_put_sized16(into, reply->tail);
    buffer_put_sized32(into, reply->pending);
}

int chain_reply_decode(struct bytes encoded, struct chain_reply *ret) {
    struct reader r = reader_of(encoded);
    struct chain_reply reply;
    struct chain_tail tail;
    struct chain_proposal pending;
    reply.incarnation = reader_u16(&r);
    reply.promise = reader_u64(&r);
    reply.tail = reader_sized16(&r);
    reply.pending = reader_sized32(&r);
    if (reader_end(&r) != 0 || chain_tail_decode(reply.tail, &tail) != 0 ||
        (reply.pending.size > 0 && chain_proposal_decode(reply.pending, &pending) != 0)) {
        return ERR_INVALID;
    }
    *ret = reply;
    return 0;
}

static bool is_zero(const struct op_id *op) {
    static const struct op_id zero;
    return memcmp(op, &zero, sizeof zero) == 0;
}

void chain_tail_push(struct chain_tail *tail, struct ballot ballot, const struct chain_op *op) {
    tail->applied = ballot;
    if (is_zero(&op->op)) {
        return;
    }
    struct chain_op pushed = *op;
    uint32_t at = 0;
    while (at < tail->n && !op_id_equal(&tail->ops[at].op, &op->op)) {
        at++;
    }
    if (at == tail->n && tail->n < CHAIN_RECENT_MAX) {
        tail->n++;
    }
    at = at < tail->n ? at : tail->n - 1;
    memmove(&tail->ops[1], &tail->ops[0], at * sizeof tail->ops[0]);
    tail->ops[0] = pushed;
}

const struct chain_op *chain_tail_find(const struct chain_tail *tail, const struct op_id *op) {
    for (uint32_t i = 0; i < tail->n; i++) {
        if (op_id_equal(&tail->ops[i].op, op)) {
            return &tail->ops[i];
        }
    }
    return NULL;
}
