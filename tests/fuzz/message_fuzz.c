/* message_fuzz: any bytes as a run of messages, and each payload as what its type says it is.
 *
 * Input: messages one after another; also, on its own, a type (8 bits) and a payload, so that a
 * payload's size may change without the header's having to agree.
 * Promises: what decodes lies within the input, and encodes to the bytes it was decoded from. */
#include <string.h>

#include "shared/err.h"
#include "shared/exchange.h"
#include "shared/hint_report.h"
#include "shared/partitions.h"
#include "shared/request.h"
#include "shared/shortfall.h"
#include "shared/watch.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 1000000;

/* Every payload of the protocol, as it is tried on a message's bytes. */
static void try_batch(struct bytes payload, bool replicate, struct buffer *again) {
    struct batch batch;
    int err = batch_decode(payload, replicate, &batch);
    FUZZ_CHECK(err == 0 || err == ERR_INVALID || err == ERR_TOO_BIG);
    if (err != 0) {
        FUZZ_CHECK(batch.ops == NULL && batch.n == 0);
        return;
    }
    FUZZ_CHECK(batch.n >= 1 && batch.n <= BATCH_ROWS_MAX);
    for (uint32_t i = 0; i < batch.n; i++) {
        FUZZ_CHECK(batch.ops[i].sort_key.size <= SORT_KEY_MAX);
        FUZZ_CHECK(replicate || batch.ops[i].value.size <= VALUE_MAX);
        FUZZ_CHECK(batch.ops[i].kind != ROW_GUARD || batch.ops[i].value.size == 0);
    }
    batch_encode(&batch, again);
    FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    batch_release(&batch);
}

static void try_batch_reply(struct bytes payload, struct buffer *again) {
    struct batch_reply reply;
    if (batch_reply_decode(payload, &reply) == 0) {
        batch_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
        batch_reply_release(&reply);
    }
}

static void try_get_reply(struct bytes payload, struct buffer *again) {
    struct get_reply reply;
    if (get_reply_decode(payload, &reply) == 0) {
        get_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_scan_request(struct bytes payload, struct buffer *again) {
    struct scan_request request;
    if (scan_request_decode(payload, &request) == 0) {
        FUZZ_CHECK(request.rows_max >= 1 && request.rows_max <= SCAN_ROWS_MAX);
        scan_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_scan_reply(struct bytes payload, struct buffer *again) {
    struct scan_reply reply;
    if (scan_reply_decode(payload, &reply) == 0) {
        FUZZ_CHECK(!reply.more || reply.cursor.size > 0);
        scan_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
        scan_reply_release(&reply);
    }
}

static void try_hello_reply(struct bytes payload, struct buffer *again) {
    struct hello_reply reply;
    if (hello_reply_decode(payload, &reply) == 0) {
        hello_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

/* What every reply carries that is UNAVAILABLE or UNKNOWN, whatever its type. */
enum { SHORTFALL = 0xff };

static void try_shortfall(struct bytes payload, struct buffer *again) {
    struct shortfall shortfall;
    char text[SHORTFALL_TEXT_MAX];
    if (shortfall_decode(payload, &shortfall) == 0) {
        shortfall_encode(&shortfall, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
        FUZZ_CHECK(strlen(shortfall_text(&shortfall, text, sizeof text)) < sizeof text);
    }
}

static bool fell_short(const struct message *message) {
    return message->status == -ERR_UNAVAILABLE || message->status == -ERR_UNKNOWN;
}

static void try_stats(struct bytes payload, struct buffer *again) {
    struct stat_row rows[STATS_MAX];
    uint32_t n;
    if (stats_decode(payload, rows, &n) == 0) {
        FUZZ_CHECK(n <= STATS_MAX);
        stats_encode(rows, n, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_sums(struct bytes payload, struct buffer *again) {
    static struct tree_sums sums;
    if (tree_sums_decode(payload, RING_SLICES_MAX, &sums) == 0) {
        tree_sums_encode(&sums, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_leaf_request(struct bytes payload, struct buffer *again) {
    struct leaf_request request;
    if (leaf_request_decode(payload, RING_SLICES_MAX, &request) == 0) {
        leaf_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_leaf(struct bytes payload, struct buffer *again) {
    struct leaf leaf;
    if (leaf_decode(payload, &leaf) == 0) {
        struct bytes left = leaf.rows;
        struct leaf_row row;
        uint32_t n = 0;
        while (leaf_next(&left, &row)) {
            n++;
        }
        FUZZ_CHECK(n == leaf.n_rows);
        leaf_encode(&leaf, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_repair_request(struct bytes payload, struct buffer *again) {
    struct repair_request request;
    if (repair_request_decode(payload, RING_SLICES_MAX, &request) == 0) {
        repair_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_reap_request(struct bytes payload, struct buffer *again) {
    static struct reap_request request;
    if (reap_request_decode(payload, RING_SLICES_MAX, &request) == 0) {
        reap_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_partitions(bool reply, struct bytes payload, struct buffer *again) {
    struct partitions_request request;
    struct partitions_page page;
    struct partition_tally partition;
    uint32_t n = 0;
    if (!reply && partitions_request_decode(payload, RING_SLICES_MAX, &request) == 0) {
        partitions_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
    if (reply && partitions_page_decode(payload, &page) == 0) {
        partitions_page_encode(&page, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
        while (partitions_next(&page.listed, &partition)) {
            n++;
        }
        FUZZ_CHECK(n == page.n);
    }
}

/* What replicas compare themselves by. */
static void try_exchange(uint8_t type, struct bytes payload, struct buffer *again) {
    switch (type) {
    case MESSAGE_TREE:
    case MESSAGE_TREE | MESSAGE_REPLY:
        try_sums(payload, again);
        return;
    case MESSAGE_LEAF:
        try_leaf_request(payload, again);
        return;
    case MESSAGE_LEAF | MESSAGE_REPLY:
        try_leaf(payload, again);
        return;
    case MESSAGE_PARTITIONS:
    case MESSAGE_PARTITIONS | MESSAGE_REPLY:
        try_partitions((type & MESSAGE_REPLY) != 0, payload, again);
        return;
    case MESSAGE_REAP:
        try_reap_request(payload, again);
        return;
    case MESSAGE_REPAIR_CONTROL:
        try_repair_request(payload, again);
        return;
    default:
        return;
    }
}

static void try_watch(struct bytes payload, struct buffer *again) {
    static struct watch_request request;
    if (watch_request_decode(payload, &request) == 0) {
        FUZZ_CHECK(request.n_begun <= WATCH_NAMED_MAX && request.n_ended <= WATCH_NAMED_MAX);
        watch_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_watch_reply(struct bytes payload, struct buffer *again) {
    struct watch_reply reply;
    if (watch_reply_decode(payload, &reply) == 0) {
        struct bytes left = reply.changes;
        struct watch_change change;
        uint32_t n = 0;
        while (watch_next(&left, &change)) {
            n++;
        }
        FUZZ_CHECK(n == reply.n_changes);
        watch_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_hint(struct bytes payload, struct buffer *again) {
    struct hint_request request;
    if (hint_request_decode(payload, &request) == 0) {
        hint_request_encode(&request, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_hint_reply(struct bytes payload, struct buffer *again) {
    struct hint_reply reply;
    if (hint_reply_decode(payload, &reply) == 0) {
        hint_reply_encode(&reply, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
    }
}

static void try_hint_report(struct bytes payload, struct buffer *again) {
    struct hint_report report;
    if (hint_report_decode(payload, &report) == 0) {
        FUZZ_CHECK(report.n_targets <= RING_MEMBERS_MAX);
        hint_report_encode(&report, again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(again), payload));
        hint_report_release(&report);
    }
}

/* What is kept for others: changes for clients, rows for replicas. */
static void try_kept(uint8_t type, struct bytes payload, struct buffer *again) {
    switch (type) {
    case MESSAGE_WATCH:
        try_watch(payload, again);
        return;
    case MESSAGE_WATCH | MESSAGE_REPLY:
        try_watch_reply(payload, again);
        return;
    case MESSAGE_HINT:
        try_hint(payload, again);
        return;
    case MESSAGE_HINT | MESSAGE_REPLY:
        try_hint_reply(payload, again);
        return;
    case MESSAGE_HINTS | MESSAGE_REPLY:
        try_hint_report(payload, again);
        return;
    default:
        try_exchange(type, payload, again);
        return;
    }
}

static void try_payload(uint8_t type, struct bytes payload, struct buffer *again) {
    switch (type) {
    case MESSAGE_BATCH:
        try_batch(payload, false, again);
        return;
    case MESSAGE_REPLICATE:
    case MESSAGE_REPAIR:
        try_batch(payload, true, again);
        return;
    case MESSAGE_SCAN:
    case MESSAGE_READ_SCAN:
        try_scan_request(payload, again);
        return;
    case MESSAGE_BATCH | MESSAGE_REPLY:
    case MESSAGE_REPLICATE | MESSAGE_REPLY:
        try_batch_reply(payload, again);
        return;
    case MESSAGE_GET | MESSAGE_REPLY:
    case MESSAGE_READ | MESSAGE_REPLY:
        try_get_reply(payload, again);
        return;
    case MESSAGE_SCAN | MESSAGE_REPLY:
    case MESSAGE_READ_SCAN | MESSAGE_REPLY:
        try_scan_reply(payload, again);
        return;
    case MESSAGE_HELLO | MESSAGE_REPLY:
        try_hello_reply(payload, again);
        return;
    case MESSAGE_STATS | MESSAGE_REPLY:
        try_stats(payload, again);
        return;
    case SHORTFALL:
        try_shortfall(payload, again);
        return;
    default:
        try_kept(type, payload, again);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes left = bytes_of(data, size);
    struct buffer again = {0};
    struct message message;
    size_t taken;
    while (message_decode(left, &message, &taken) == 0) {
        FUZZ_CHECK(taken >= MESSAGE_HEADER_SIZE && taken <= left.size);
        FUZZ_CHECK(message.payload.data + message.payload.size == left.data + taken);
        buffer_clear(&again);
        message_encode(&message, &again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(&again), bytes_of(left.data, taken)));
        buffer_clear(&again);
        uint8_t type = fell_short(&message) ? (uint8_t)SHORTFALL : message.type;
        try_payload(type, message.payload, &again);
        left = bytes_of(left.data + taken, left.size - taken);
    }
    if (size > 0) {
        buffer_clear(&again);
        try_payload(data[0], bytes_of(data + 1, size - 1), &again);
    }
    buffer_release(&again);
    return 0;
}

/* ---- seeds: one message of each kind, and its payload alone ---- */

static void seed_batch(bool replicate, struct buffer *into) {
    struct row_op ops[] = {
        {.kind = ROW_PUT, .condition = ROW_IF_MATCH, .sort_key = bytes_of_string("a")},
        {.kind = ROW_DELETE, .condition = ROW_ANY, .sort_key = bytes_of_string("b")},
        {.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 7},
    };
    ops[0].value = bytes_of_string("value");
    ops[0].seen = bytes_of_string("context");
    ops[1].value = replicate ? bytes_of_string("versions") : bytes_of(NULL, 0);
    struct batch batch = {.op = {{1, 2, 3}}, .n = 3, .ops = ops};
    batch_encode(&batch, into);
}

static void seed_batch_reply(struct buffer *into) {
    struct bytes contexts[] = {bytes_of_string("one"), bytes_of_string("")};
    struct batch_reply reply = {.tally = {3, 4}, .n_contexts = 2, .contexts = contexts};
    reply.current = bytes_of_string("current");
    batch_reply_encode(&reply, into);
}

static void seed_scan_reply(struct buffer *into) {
    struct scan_row rows[] = {
        {bytes_of_string("a"), bytes_of_string("row")},
        {bytes_of_string("b"), bytes_of_string("")},
    };
    struct scan_reply reply = {.more = true, .n_rows = 2, .rows = rows};
    reply.cursor = bytes_of_string("b");
    scan_reply_encode(&reply, into);
}

static void seed_watch_reply(struct buffer *into) {
    struct watch_change change = {bytes_of_string("partition"), bytes_of_string("row")};
    struct watch_reply reply = {.life = 1, .read_quorum = 2, .first = 3, .n_changes = 1};
    struct buffer changes = {0};
    watch_change_encode(&change, &changes);
    reply.changes = buffer_bytes(&changes);
    watch_reply_encode(&reply, into);
    buffer_release(&changes);
}

static void seed_hint_report(struct buffer *into) {
    struct hint_target target = {.node = 2, .state = HINTS_WAITING, .n = 3, .bytes = 300};
    struct hint_report report = {.ready = true, .n_targets = 1, .targets = &target};
    hint_report_encode(&report, into);
}

static void seed_kept(uint8_t type, struct buffer *into) {
    struct watch_request watch = {.writer = 1, .turn = 2, .n_begun = 1, .n_ended = 1};
    struct hint_request hint = {.target = 2, .batch = bytes_of_string("batch")};
    switch (type) {
    case MESSAGE_WATCH:
        watch.begun[0] = bytes_of_string("begun");
        watch.ended[0] = bytes_of_string("ended");
        watch_request_encode(&watch, into);
        return;
    case MESSAGE_WATCH | MESSAGE_REPLY:
        seed_watch_reply(into);
        return;
    case MESSAGE_HINT:
        hint_request_encode(&hint, into);
        return;
    default:
        seed_hint_report(into);
        return;
    }
}

static void seed_payload(uint8_t type, struct buffer *into) {
    struct scan_request scan = {.rows_max = 10, .bytes_max = 100};
    struct get_reply row = {.tally = {1, 2}, .versions = bytes_of_string("versions")};
    struct hello_reply hello = {.node = 1, .credit_bytes = 2, .ring = bytes_of_string("ring")};
    struct stat_row stats[] = {{bytes_of_string("gets"), 1}, {bytes_of_string("puts"), 2}};
    switch (type) {
    case MESSAGE_BATCH:
        seed_batch(false, into);
        return;
    case MESSAGE_REPLICATE:
        seed_batch(true, into);
        return;
    case MESSAGE_SCAN:
        scan.after = bytes_of_string("after");
        scan_request_encode(&scan, into);
        return;
    case MESSAGE_BATCH | MESSAGE_REPLY:
        seed_batch_reply(into);
        return;
    case MESSAGE_GET | MESSAGE_REPLY:
        get_reply_encode(&row, into);
        return;
    case MESSAGE_SCAN | MESSAGE_REPLY:
        seed_scan_reply(into);
        return;
    case MESSAGE_HELLO | MESSAGE_REPLY:
        hello_reply_encode(&hello, into);
        return;
    case MESSAGE_STATS | MESSAGE_REPLY:
        stats_encode(stats, 2, into);
        return;
    default:
        seed_kept(type, into);
        return;
    }
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    static const uint8_t types[] = {
        MESSAGE_BATCH,
        MESSAGE_REPLICATE,
        MESSAGE_SCAN,
        MESSAGE_BATCH | MESSAGE_REPLY,
        MESSAGE_GET | MESSAGE_REPLY,
        MESSAGE_SCAN | MESSAGE_REPLY,
        MESSAGE_HELLO | MESSAGE_REPLY,
        MESSAGE_STATS | MESSAGE_REPLY,
        MESSAGE_WATCH,
        MESSAGE_WATCH | MESSAGE_REPLY,
        MESSAGE_HINT,
        MESSAGE_HINTS | MESSAGE_REPLY,
    };
    if (n >= 2 * sizeof(types)) {
        return 0;
    }
    struct buffer payload = {0};
    uint8_t type = types[n % sizeof(types)];
    seed_payload(type, &payload);
    if (n < sizeof(types)) {
        struct message message = {.type = type, .id = n, .payload = buffer_bytes(&payload)};
        message.key = bytes_of_string("key");
        message_encode(&message, into);
    } else {
        buffer_put_u8(into, type);
        buffer_put_bytes(into, buffer_bytes(&payload));
    }
    buffer_release(&payload);
    return 1;
}
