/* wire: every layout of docs/wire.md, byte for byte, so that none changes unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/request.h"
#include "shared/ring.h"

/* Compares with two hexadecimal digits a byte, blanks between fields; releases the buffer. */
static void assert_hex(struct buffer *b, const char *expected) {
    char *text = calloc(2 * b->size + 1, 1), *packed = calloc(strlen(expected) + 1, 1);
    for (size_t i = 0; i < b->size; i++) {
        snprintf(text + 2 * i, 3, "%02x", b->data[i]);
    }
    for (size_t i = 0, n = 0; expected[i] != '\0'; i++) {
        if (expected[i] != ' ') {
            packed[n++] = expected[i];
        }
    }
    assert_string_equal(text, packed);
    free(text);
    free(packed);
    buffer_release(b);
}

#define OP_ID "a1000000000000000000000000000000"
#define TALLY "0500000000000000 0600000000000000 "

static void a_batch(void **state) {
    (void)state;
    struct row_op ops[] = {
        {.kind = ROW_PUT, .condition = ROW_IF_MATCH, .sort_key = bytes_of_string("k")},
        {.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 9},
    };
    ops[0].seen = bytes_of_string("se");
    ops[0].value = bytes_of_string("val");
    struct batch batch = {.op = {{0xa1}}, .n = 2, .ops = ops};
    struct buffer b = {0};
    batch_encode(&batch, &b);
    assert_hex(&b, OP_ID "0200"
                         "01 02 0100 6b 02000000 7365 03000000 76616c"
                         "03 04 09000000 0000 00000000 00000000");
}

static void a_batch_reply(void **state) {
    (void)state;
    struct bytes contexts[] = {bytes_of_string("c")};
    struct batch_reply reply = {.tally = {5, 6}, .n_contexts = 1, .contexts = contexts};
    reply.needed = 2;
    reply.answered = 1;
    reply.failed_index = 3;
    reply.current = bytes_of_string("v");
    struct buffer b = {0};
    batch_reply_encode(&reply, &b);
    assert_hex(&b, TALLY "02 01 03000000 01000000 76 0100 01000000 63");
}

static void a_get_reply(void **state) {
    (void)state;
    struct get_reply reply = {.tally = {5, 6}, .versions = bytes_of_string("v")};
    struct buffer b = {0};
    get_reply_encode(&reply, &b);
    assert_hex(&b, TALLY "01000000 76");
}

static void a_scan_request(void **state) {
    (void)state;
    struct scan_request request = {.rows_max = 7, .bytes_max = 256};
    request.after = bytes_of_string("a");
    request.first = bytes_of_string("b");
    request.before = bytes_of_string("cc");
    struct buffer b = {0};
    scan_request_encode(&request, &b);
    assert_hex(&b, "0100 61 0100 62 0200 6363 07000000 00010000");
    request.value_at = 4096;
    request.value_max = 5;
    struct buffer c = {0};
    scan_request_encode(&request, &c);
    assert_hex(&c, "0100 61 0100 62 0200 6363 07000000 00010000 00100000 05000000");
}

static void a_scan_reply(void **state) {
    (void)state;
    struct scan_row rows[] = {{bytes_of_string("a"), bytes_of_string("v")}};
    struct scan_reply reply = {.tally = {5, 6}, .more = true, .n_rows = 1, .rows = rows};
    reply.cursor = bytes_of_string("k");
    struct buffer b = {0};
    scan_reply_encode(&reply, &b);
    assert_hex(&b, TALLY "01 0100 6b 00 01000000 0100 61 01000000 76");
}

static void a_hello_reply(void **state) {
    (void)state;
    struct hello_reply reply = {
        .node = 258, .credit_bytes = 16, .read_quorum = 2, .ring = bytes_of_string("r")};
    struct buffer b = {0};
    hello_reply_encode(&reply, &b);
    assert_hex(&b, "0201 10000000 02 01000000 72");
}

static void stats(void **state) {
    (void)state;
    struct stat_row rows[] = {{bytes_of_string("n"), 255}};
    struct buffer b = {0};
    stats_encode(rows, 1, &b);
    assert_hex(&b, "0100 01 6e ff00000000000000");
}

static void a_row_its_context_and_its_digest(void **state) {
    (void)state;
    struct versions v = {0};
    struct context nothing = {0};
    struct sibling sibling = {.dot = {actor_of(3, 2, 1), 9}, .stamp_ns = 4, .op = {{0xa1}}};
    sibling.value = bytes_of_string("val");
    versions_put(&v, &nothing, &sibling);
    struct buffer context = {0}, row = {0}, digest = {0};
    context_encode(&v.context, &context);
    assert_hex(&context, "01000000 0100000002000300 0900000000000000");
    versions_encode(&v, &row);
    assert_int_equal(row.size, 70 + 3);
    assert_hex(&row,
               "01 01000000 0100000002000300 0900000000000000 01000000"
               "0100000002000300 0900000000000000 0400000000000000" OP_ID "00 03000000 76616c");
    versions_digest(&v, buffer_extend(&digest, 16));
    assert_hex(&digest, "ccd9652bd25f5a4f98a5b07f80fa4019");
    versions_release(&v);
}

static void a_ring(void **state) {
    (void)state;
    struct ring_member member = {.id = 7, .weight = 100, .address = "ipc:///n", .zone = "z"};
    struct ring ring;
    assert_int_equal(ring_build(66, 16, 3, &member, 1, &ring), 0);
    struct buffer b = {0};
    ring_encode(&ring, &b);
    assert_hex(&b, "01 0100000000000000 4200000000000000 1000 0300 0100"
                   "0700 6400 08 6970633a2f2f2f6e 01 7a"
                   "0000000000000000000000000000000000000000000000000000000000000000");
    ring_release(&ring);
}

static void the_slice_of_a_key_and_the_deal_never_change(void **state) {
    (void)state;
    struct ring_member members[5] = {{0}};
    for (uint16_t i = 0; i < 5; i++) {
        members[i].id = (uint16_t)(i + 1);
        members[i].weight = RING_WEIGHT_DEFAULT;
    }
    struct ring ring;
    assert_int_equal(ring_build(1, 16, 3, members, 5, &ring), 0);
    const uint16_t owners[16] = {2, 3, 0, 4, 1, 2, 3, 0, 3, 4, 1, 2, 0, 4, 1, 2};
    assert_memory_equal(ring.owners, owners, sizeof(owners));
    ring_release(&ring);
    assert_int_equal(ring_build(1, 1024, 3, members, 5, &ring), 0);
    assert_int_equal(ring_slice(&ring, bytes_of_string("")), 868);
    assert_int_equal(ring_slice(&ring, bytes_of_string("a")), 1015);
    assert_int_equal(ring_slice(&ring, bytes_of_string("partition key")), 697);
    ring_release(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch),
        cmocka_unit_test(a_batch_reply),
        cmocka_unit_test(a_get_reply),
        cmocka_unit_test(a_scan_request),
        cmocka_unit_test(a_scan_reply),
        cmocka_unit_test(a_hello_reply),
        cmocka_unit_test(stats),
        cmocka_unit_test(a_row_its_context_and_its_digest),
        cmocka_unit_test(a_ring),
        cmocka_unit_test(the_slice_of_a_key_and_the_deal_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
