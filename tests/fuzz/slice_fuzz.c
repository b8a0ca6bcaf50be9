/* slice_fuzz: any bytes as what replicas hand each other of whole slices, and of strict batches.
 *
 * Input: one byte that says which, then the payload or the row's value.
 * Promises: what decodes is within its bounds, lies within the input, and encodes to the bytes it
 * was decoded from; a page yields as many rows as it says. */
#include <string.h>

#include "node/core/chain.h"
#include "node/core/slice_page.h"
#include "shared/err.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 1000000;

enum { TRY_REQUEST, TRY_PAGE, TRY_PROPOSAL, TRY_TAIL, TRY_CHAIN_REPLY, TRY_END };

static void within(struct bytes part, struct bytes whole) {
    FUZZ_CHECK(part.size == 0 ||
               (part.data >= whole.data && part.data + part.size <= whole.data + whole.size));
}

static void same(const struct buffer *again, struct bytes payload) {
    FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
}

static void check_cursor(const struct slice_cursor *cursor, struct bytes payload) {
    FUZZ_CHECK(cursor->slice <= RING_SLICES_MAX && cursor->kind < strlen(slice_kinds));
    within(cursor->after, payload);
}

static void try_request(struct bytes payload, struct buffer *again) {
    struct slice_request request;
    if (slice_request_decode(payload, &request) == 0) {
        check_cursor(&request.from, payload);
        slice_request_encode(&request, again);
        same(again, payload);
    }
}

/* As docs/wire.md has it. */
static void put_page_head(const struct slice_reply *reply, struct buffer *into) {
    buffer_put_u8(into, reply->trusted ? 1 : 0);
    buffer_put_u16(into, reply->life);
    buffer_put_u16(into, reply->next.slice);
    buffer_put_u8(into, reply->next.kind);
    buffer_put_sized16(into, reply->next.after);
    buffer_put_u32(into, reply->n);
}

static void put_row(struct bytes key, struct bytes value, struct buffer *into) {
    buffer_put_sized16(into, key);
    buffer_put_sized32(into, value);
}

static void try_page(struct bytes payload, struct buffer *again) {
    struct slice_reply reply;
    if (slice_reply_decode(payload, &reply) != 0) {
        return;
    }
    check_cursor(&reply.next, payload);
    put_page_head(&reply, again);
    for (uint32_t i = 0; i < reply.n; i++) {
        struct slice_row row = slice_row_next(&reply);
        FUZZ_CHECK(row.key.size > 0 && row.value.size > 0);
        within(row.key, payload);
        within(row.value, payload);
        put_row(row.key, row.value, again);
    }
    same(again, payload);
}

static void try_proposal(struct bytes payload, struct buffer *again) {
    static struct versions versions; /* large */
    struct chain_proposal proposal;
    struct batch batch;
    if (chain_proposal_decode(payload, &proposal) == 0) {
        FUZZ_CHECK(ballot_compare(proposal.prev, proposal.ballot) < 0);
        within(proposal.batch, payload);
        FUZZ_CHECK(ballot_compare(chain_ballot(payload), proposal.ballot) == 0);
        chain_proposal_encode(&proposal, again);
        same(again, payload);
    }
    if (chain_batch_decode(payload, &versions, &batch) == 0) {
        FUZZ_CHECK(batch.n >= 1 && batch.n <= BATCH_ROWS_MAX);
        batch_release(&batch);
    }
}

static void try_tail(struct bytes value, struct buffer *again) {
    struct chain_tail tail;
    if (chain_tail_decode(value, &tail) == 0 && value.size > 0) {
        FUZZ_CHECK(tail.n <= CHAIN_RECENT_MAX);
        chain_tail_encode(&tail, again);
        same(again, value);
        FUZZ_CHECK(again->size <= CHAIN_TAIL_MAX);
        FUZZ_CHECK(ballot_compare(chain_applied(value), tail.applied) == 0);
    }
}

static void try_chain_reply(struct bytes payload, struct buffer *again) {
    struct chain_reply reply;
    if (chain_reply_decode(payload, &reply) == 0) {
        within(reply.tail, payload);
        within(reply.pending, payload);
        chain_reply_encode(&reply, again);
        same(again, payload);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void (*const tries[])(struct bytes,
                                 struct buffer *) = {[TRY_REQUEST] = try_request,
                                                     [TRY_PAGE] = try_page,
                                                     [TRY_PROPOSAL] = try_proposal,
                                                     [TRY_TAIL] = try_tail,
                                                     [TRY_CHAIN_REPLY] = try_chain_reply};
    struct buffer again = {0};
    if (size > 0) {
        tries[data[0] % TRY_END](bytes_of(data + 1, size - 1), &again);
    }
    buffer_release(&again);
    return 0;
}

/* ---- seeds ---- */

static void seed_page(struct buffer *into) {
    struct slice_reply reply = {.trusted = true, .life = 7, .n = 2};
    reply.next = (struct slice_cursor){3, 1, bytes_of_string("s-key")};
    put_page_head(&reply, into);
    put_row(bytes_of_string("key-one"), bytes_of_string("value"), into);
    put_row(bytes_of_string("key-two"), bytes_of_string("other"), into);
}

static void seed_proposal(struct buffer *into) {
    struct buffer batch = {0}, row = {0};
    struct versions versions = {0};
    versions_encode(&versions, &row);
    struct row_op ops[] = {{.kind = ROW_PUT, .sort_key = bytes_of_string("row")},
                           {.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 7}};
    ops[0].value = buffer_bytes(&row);
    struct batch content = {.op = {{1}}, .n = 2, .ops = ops};
    batch_encode(&content, &batch);
    struct chain_proposal proposal = {.ballot = {5, 2}, .prev = {5, 1}, .dot = {9, 4}};
    proposal.batch = buffer_bytes(&batch);
    chain_proposal_encode(&proposal, into);
    buffer_release(&row);
    buffer_release(&batch);
    versions_release(&versions);
}

static void seed_tail(struct buffer *into) {
    struct chain_tail tail = {.applied = {5, 2}, .n = 2};
    tail.ops[0] = (struct chain_op){{{1}}, 10, {1, 2}};
    tail.ops[1] = (struct chain_op){{{2}}, 9, {1, 1}};
    chain_tail_encode(&tail, into);
}

static void seed_chain_reply(struct buffer *into) {
    struct buffer tail = {0}, pending = {0};
    seed_tail(&tail);
    seed_proposal(&pending);
    struct chain_reply reply = {.incarnation = 1, .promise = 5 << 16};
    reply.tail = buffer_bytes(&tail);
    reply.pending = buffer_bytes(&pending);
    chain_reply_encode(&reply, into);
    buffer_release(&tail);
    buffer_release(&pending);
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    struct slice_request request = {.generation = 1, .bytes_max = 1 << 19};
    buffer_put_u8(into, (uint8_t)n);
    switch (n) {
    case TRY_REQUEST:
        request.from.after = bytes_of_string("r-key");
        slice_request_encode(&request, into);
        return 1;
    case TRY_PAGE:
        seed_page(into);
        return 1;
    case TRY_PROPOSAL:
        seed_proposal(into);
        return 1;
    case TRY_TAIL:
        seed_tail(into);
        return 1;
    case TRY_CHAIN_REPLY:
        seed_chain_reply(into);
        return 1;
    default:
        return 0;
    }
}
