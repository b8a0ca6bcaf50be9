/* request: every payload comes back as it was sent, and hostile bytes are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/overlay.h"
#include "shared/request.h"

/* One per payload: decodes, encodes again what it got, releases. Returns the decoder's answer. */
typedef int recode_function(struct bytes payload, struct buffer *into);

static int recode_batch(struct bytes payload, struct buffer *into) {
    struct batch got;
    int err = batch_decode(payload, false, &got);
    if (err == 0) {
        batch_encode(&got, into);
        batch_release(&got);
    }
    return err;
}

static int recode_replicate(struct bytes payload, struct buffer *into) {
    struct batch got;
    int err = batch_decode(payload, true, &got);
    if (err == 0) {
        batch_encode(&got, into);
        batch_release(&got);
    }
    return err;
}

static int recode_batch_reply(struct bytes payload, struct buffer *into) {
    struct batch_reply got;
    int err = batch_reply_decode(payload, &got);
    if (err == 0) {
        batch_reply_encode(&got, into);
        batch_reply_release(&got);
    }
    return err;
}

static int recode_get_reply(struct bytes payload, struct buffer *into) {
    struct get_reply got;
    int err = get_reply_decode(payload, &got);
    if (err == 0) {
        get_reply_encode(&got, into);
    }
    return err;
}

static int recode_scan_request(struct bytes payload, struct buffer *into) {
    struct scan_request got;
    int err = scan_request_decode(payload, &got);
    if (err == 0) {
        scan_request_encode(&got, into);
    }
    return err;
}

static int recode_scan_reply(struct bytes payload, struct buffer *into) {
    struct scan_reply got;
    int err = scan_reply_decode(payload, &got);
    if (err == 0) {
        scan_reply_encode(&got, into);
        scan_reply_release(&got);
    }
    return err;
}

static int recode_hello_reply(struct bytes payload, struct buffer *into) {
    struct hello_reply got;
    int err = hello_reply_decode(payload, &got);
    if (err == 0) {
        hello_reply_encode(&got, into);
    }
    return err;
}

static int recode_stats(struct bytes payload, struct buffer *into) {
    struct stat_row got[STATS_MAX];
    uint32_t n;
    int err = stats_decode(payload, got, &n);
    if (err == 0) {
        stats_encode(got, n, into);
    }
    return err;
}

/* Decodes a copy of exactly these bytes, so that the address sanitizer sees a read beyond them;
 * what decodes must encode to the same bytes. */
static int recode_exact(recode_function *recode, const uint8_t *from, size_t size) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, from, size);
    struct buffer again = {0};
    int err = recode(bytes_of(copy, size), &again);
    if (err == 0) {
        assert_true(bytes_equal(buffer_bytes(&again), bytes_of(copy, size)));
    } else {
        assert_true(err == ERR_INVALID || err == ERR_TOO_BIG);
    }
    buffer_release(&again);
    free(copy);
    return err;
}

/* Takes the buffer: the sample comes back, no truncation and no extension of it is accepted, and a
 * flipped bit is refused or means exactly what the flipped bytes say. */
static void assert_robust(recode_function *recode, struct buffer *sample) {
    assert_int_equal(recode_exact(recode, sample->data, sample->size), 0);
    for (size_t size = 0; size < sample->size; size++) {
        assert_int_not_equal(recode_exact(recode, sample->data, size), 0);
    }
    for (size_t bit = 0; bit < 8 * sample->size; bit++) {
        uint8_t *byte = &sample->data[bit / 8];
        *byte = (uint8_t)(*byte ^ 1 << bit % 8);
        recode_exact(recode, sample->data, sample->size);
        *byte = (uint8_t)(*byte ^ 1 << bit % 8);
    }
    buffer_put_u8(sample, 0);
    assert_int_not_equal(recode_exact(recode, sample->data, sample->size), 0);
    buffer_release(sample);
}

static struct row_op sample_ops[] = {
    {.kind = ROW_PUT, .condition = ROW_IF_MATCH},
    {.kind = ROW_DELETE, .condition = ROW_ANY},
    {.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 70000},
};

static struct batch sample_batch(void) {
    sample_ops[0].sort_key = bytes_of_string("a");
    sample_ops[0].seen = bytes_of_string("opaque");
    sample_ops[0].value = bytes_of_string("the value");
    sample_ops[1].sort_key = bytes_of_string("b");
    struct batch batch = {.op = {{1, 2, 3}}, .n = 3, .ops = sample_ops};
    return batch;
}

static void a_batch_comes_back_as_it_was_sent(void **state) {
    (void)state;
    struct batch batch = sample_batch(), got;
    struct buffer b = {0};
    batch_encode(&batch, &b);
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), 0);
    assert_int_equal(got.n, 3);
    assert_true(op_id_equal(&got.op, &batch.op));
    assert_int_equal(got.ops[0].kind, ROW_PUT);
    assert_int_equal(got.ops[0].condition, ROW_IF_MATCH);
    assert_true(bytes_equal(got.ops[0].seen, bytes_of_string("opaque")));
    assert_true(bytes_equal(got.ops[0].value, bytes_of_string("the value")));
    assert_true(bytes_equal(got.ops[1].sort_key, bytes_of_string("b")));
    assert_int_equal(got.ops[2].count_max, 70000);
    batch_release(&got);
    assert_robust(recode_batch, &b);
}

static void a_replicate_carries_versions_for_writes_and_nothing_for_guards(void **state) {
    (void)state;
    struct batch batch = sample_batch(), got;
    struct buffer b = {0};
    batch_encode(&batch, &b);
    assert_int_equal(batch_decode(buffer_bytes(&b), true, &got), ERR_INVALID);
    buffer_clear(&b);
    batch.ops[1].value = bytes_of_string("versions with a tombstone");
    batch_encode(&batch, &b);
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), ERR_INVALID);
    assert_robust(recode_replicate, &b);
    batch.ops[1].value = bytes_of(NULL, 0);
}

static int decode_two(struct row_op first, struct row_op second) {
    struct row_op ops[] = {first, second};
    struct batch batch = {.n = 2, .ops = ops}, got;
    struct buffer b = {0};
    batch_encode(&batch, &b);
    int err = batch_decode(buffer_bytes(&b), false, &got);
    if (err == 0) {
        batch_release(&got);
    }
    buffer_release(&b);
    return err;
}

static int recode_patch(uint8_t condition, bool replicate, struct bytes pieces) {
    struct row_op op = {.kind = ROW_PATCH, .condition = condition, .value = pieces};
    struct batch batch = {.n = 1, .ops = &op}, got;
    struct buffer b = {0};
    batch_encode(&batch, &b);
    int err = batch_decode(buffer_bytes(&b), replicate, &got);
    if (err == 0) {
        batch_release(&got);
    }
    buffer_release(&b);
    return err;
}

static void a_patch_has_pieces_overwrites_and_is_never_replicated(void **state) {
    (void)state;
    struct buffer pieces = {0};
    overlay_add(&pieces, VALUE_MAX - 4, bytes_of_string("four"));
    assert_int_equal(recode_patch(ROW_OVERWRITE, false, buffer_bytes(&pieces)), 0);
    assert_int_equal(recode_patch(ROW_ANY, false, buffer_bytes(&pieces)), ERR_INVALID);
    assert_int_equal(recode_patch(ROW_IF_MATCH, false, buffer_bytes(&pieces)), ERR_INVALID);
    assert_int_equal(recode_patch(ROW_OVERWRITE, true, buffer_bytes(&pieces)), ERR_INVALID);
    assert_int_equal(recode_patch(ROW_OVERWRITE, false, bytes_of(NULL, 0)), ERR_INVALID);
    assert_int_equal(recode_patch(ROW_OVERWRITE, false, bytes_of(pieces.data, pieces.size - 1)),
                     ERR_INVALID);
    buffer_clear(&pieces);
    overlay_add(&pieces, VALUE_MAX - 3, bytes_of_string("four"));
    assert_int_equal(recode_patch(ROW_OVERWRITE, false, buffer_bytes(&pieces)), ERR_TOO_BIG);
    buffer_release(&pieces);
}

static void a_batch_writes_each_row_at_most_once(void **state) {
    (void)state;
    struct row_op put = {.kind = ROW_PUT, .sort_key = bytes_of_string("k")};
    struct row_op delete = {.kind = ROW_DELETE, .sort_key = bytes_of_string("k")};
    struct row_op guard = {.kind = ROW_GUARD, .sort_key = bytes_of_string("k")};
    struct row_op other = {.kind = ROW_PUT, .sort_key = bytes_of_string("k2")};
    assert_int_equal(decode_two(put, delete), ERR_INVALID);
    assert_int_equal(decode_two(put, guard), 0);
    assert_int_equal(decode_two(guard, guard), 0);
    assert_int_equal(decode_two(put, other), 0);
}

static void a_large_batch_writes_each_row_at_most_once(void **state) {
    (void)state;
    static struct row_op ops[BATCH_ROWS_MAX];
    static uint32_t keys[BATCH_ROWS_MAX];
    struct batch batch = {.n = BATCH_ROWS_MAX, .ops = ops}, got;
    struct buffer b = {0};
    for (uint32_t i = 0; i < BATCH_ROWS_MAX; i++) {
        keys[i] = i * 2654435761u;
        ops[i] = (struct row_op){.kind = ROW_PUT, .sort_key = bytes_of(&keys[i], sizeof(keys[i]))};
    }
    batch_encode(&batch, &b);
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), 0);
    batch_release(&got);
    buffer_clear(&b);
    keys[1000] = keys[3];
    batch_encode(&batch, &b);
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), ERR_INVALID);
    buffer_release(&b);
}

static void the_bounds_of_a_batch_are_named_too_big(void **state) {
    (void)state;
    static uint8_t zeros[VALUE_MAX + 1];
    struct row_op small = {.kind = ROW_PUT, .sort_key = bytes_of_string("k")};
    struct row_op op = {.kind = ROW_PUT};
    op.value = bytes_of(zeros, VALUE_MAX);
    assert_int_equal(decode_two(op, small), 0);
    op.value = bytes_of(zeros, VALUE_MAX + 1);
    assert_int_equal(decode_two(op, small), ERR_TOO_BIG);
    op.value = bytes_of(NULL, 0);
    op.sort_key = bytes_of(zeros, SORT_KEY_MAX);
    assert_int_equal(decode_two(op, small), 0);
    op.sort_key = bytes_of(zeros, SORT_KEY_MAX + 1);
    assert_int_equal(decode_two(op, small), ERR_TOO_BIG);

    struct row_op ops[5];
    struct batch batch = {.n = 5, .ops = ops}, got;
    struct buffer b = {0};
    for (uint32_t i = 0; i < 5; i++) {
        ops[i] = (struct row_op){.kind = ROW_PUT, .value = bytes_of(zeros, VALUE_MAX)};
        ops[i].sort_key = bytes_of(zeros, i + 1);
    }
    batch_encode(&batch, &b); /* more than BATCH_SIZE_MAX together */
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), ERR_TOO_BIG);
    b.data[16] = 1025 & 0xff;
    b.data[17] = 1025 >> 8;
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), ERR_TOO_BIG);
    b.data[16] = 0;
    b.data[17] = 0;
    assert_int_equal(batch_decode(buffer_bytes(&b), false, &got), ERR_INVALID);
    buffer_release(&b);
}

static void replies_come_back_as_they_were_sent(void **state) {
    (void)state;
    struct bytes contexts[] = {bytes_of_string("c1"), bytes_of(NULL, 0)};
    struct batch_reply reply = {
        .tally = {12, 34}, .n_contexts = 2, .contexts = contexts, .failed_index = 9};
    reply.current = bytes_of_string("current");
    reply.needed = 2;
    reply.answered = 1;
    struct batch_reply got;
    struct buffer b = {0};
    batch_reply_encode(&reply, &b);
    assert_int_equal(batch_reply_decode(buffer_bytes(&b), &got), 0);
    assert_true(got.tally.n_live == 12 && got.tally.changed_ns == 34);
    assert_true(got.needed == 2 && got.answered == 1 && got.failed_index == 9);
    assert_true(bytes_equal(got.current, reply.current));
    assert_true(bytes_equal(got.contexts[0], contexts[0]));
    batch_reply_release(&got);
    assert_robust(recode_batch_reply, &b);

    struct get_reply row = {.tally = {1, 2}, .versions = bytes_of_string("row")};
    struct buffer c = {0};
    get_reply_encode(&row, &c);
    assert_robust(recode_get_reply, &c);

    struct hello_reply hello = {.node = 7, .credit_bytes = 1 << 20};
    hello.ring = bytes_of_string("ring");
    struct buffer d = {0};
    hello_reply_encode(&hello, &d);
    assert_robust(recode_hello_reply, &d);
}

static void a_scan_shows_of_a_value_what_was_asked_for(void **state) {
    (void)state;
    struct bytes value = bytes_of_string("abcdef");
    struct scan_request request = {.rows_max = 1, .bytes_max = 1}, got;
    assert_true(bytes_equal(scan_value(&request, 0, value), value));
    assert_int_equal(scan_value(&request, MESSAGE_KEYS_ONLY, value).size, 0);
    request.value_at = 2;
    request.value_max = 3;
    assert_true(bytes_equal(scan_value(&request, 0, value), bytes_of_string("cde")));
    assert_int_equal(scan_value(&request, MESSAGE_KEYS_ONLY, value).size, 0);
    request.value_max = UINT32_MAX;
    assert_true(bytes_equal(scan_value(&request, 0, value), bytes_of_string("cdef")));
    request.value_at = 6;
    assert_int_equal(scan_value(&request, 0, value).size, 0);
    struct buffer b = {0};
    scan_request_encode(&request, &b);
    assert_int_equal(scan_request_decode(buffer_bytes(&b), &got), 0);
    assert_true(got.value_at == 6 && got.value_max == UINT32_MAX);
    buffer_patch_u32(&b, b.size - 4, 0); /* no bytes at all: that is what KEYS_ONLY is for */
    assert_int_equal(scan_request_decode(buffer_bytes(&b), &got), ERR_INVALID);
    b.size -= 4;
    assert_int_equal(scan_request_decode(buffer_bytes(&b), &got), ERR_INVALID);
    buffer_release(&b);
}

static void a_scan_comes_back_as_it_was_sent(void **state) {
    (void)state;
    struct scan_request request = {.rows_max = 100, .bytes_max = SCAN_BYTES_MAX};
    request.after = bytes_of_string("after");
    request.before = bytes_of_string("before");
    struct buffer b = {0};
    scan_request_encode(&request, &b);
    assert_robust(recode_scan_request, &b);

    struct scan_row rows[] = {
        {bytes_of(NULL, 0), bytes_of_string("row 0")},
        {bytes_of_string("a"), bytes_of_string("row a")},
        {bytes_of_string("b"), bytes_of_string("")},
    };
    struct scan_reply reply = {.tally = {5, 6}, .more = true, .n_rows = 3, .rows = rows}, got;
    reply.cursor = bytes_of_string("b");
    struct buffer c = {0};
    scan_reply_encode(&reply, &c);
    assert_int_equal(scan_reply_decode(buffer_bytes(&c), &got), 0);
    assert_int_equal(got.n_rows, 3);
    assert_true(bytes_equal(got.rows[1].versions, bytes_of_string("row a")));
    scan_reply_release(&got);
    assert_robust(recode_scan_reply, &c);
}

static void a_page_that_would_repeat_itself_is_refused(void **state) {
    (void)state;
    struct scan_row rows[] = {{.sort_key = bytes_of_string("b")},
                              {.sort_key = bytes_of_string("a")}};
    struct scan_reply reply = {.n_rows = 2, .rows = rows}, got;
    struct buffer b = {0};
    scan_reply_encode(&reply, &b);
    assert_int_equal(scan_reply_decode(buffer_bytes(&b), &got), ERR_INVALID);
    buffer_clear(&b);
    rows[1].sort_key = rows[0].sort_key;
    scan_reply_encode(&reply, &b);
    assert_int_equal(scan_reply_decode(buffer_bytes(&b), &got), ERR_INVALID);
    buffer_clear(&b);
    reply = (struct scan_reply){.more = true};
    scan_reply_encode(&reply, &b);
    assert_int_equal(scan_reply_decode(buffer_bytes(&b), &got), ERR_INVALID);
    buffer_release(&b);
}

static void a_scan_asks_for_at_least_one_row_and_at_most_the_bound(void **state) {
    (void)state;
    struct scan_request request = {0}, got;
    struct buffer b = {0};
    const struct {
        uint32_t rows_max;
        uint32_t bytes_max;
        int err;
    } cases[] = {
        {0, 1, ERR_INVALID},
        {1, 0, 0},
        {SCAN_ROWS_MAX, SCAN_BYTES_MAX, 0},
        {SCAN_ROWS_MAX + 1, 1, ERR_TOO_BIG},
        {1, SCAN_BYTES_MAX + 1, ERR_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        buffer_clear(&b);
        request.rows_max = cases[i].rows_max;
        request.bytes_max = cases[i].bytes_max;
        scan_request_encode(&request, &b);
        assert_int_equal(scan_request_decode(buffer_bytes(&b), &got), cases[i].err);
    }
    buffer_release(&b);
}

static void a_counter_is_found_by_its_whole_name(void **state) {
    (void)state;
    const struct stat_row rows[] = {{bytes_of_string("gets"), 7}, {bytes_of_string("get"), 8}};
    assert_int_equal(stats_value(rows, 2, "get"), 8);
    assert_int_equal(stats_value(rows, 2, "gets"), 7);
    assert_int_equal(stats_value(rows, 2, "ge"), 0);
    assert_int_equal(stats_value(rows, 0, "get"), 0);
}

static void stats_come_back_as_they_were_sent(void **state) {
    (void)state;
    struct stat_row rows[] = {{bytes_of_string("gets"), 17}, {bytes_of_string("puts"), UINT64_MAX}};
    struct stat_row got[STATS_MAX];
    uint32_t n;
    struct buffer b = {0};
    stats_encode(rows, 2, &b);
    assert_int_equal(stats_decode(buffer_bytes(&b), got, &n), 0);
    assert_int_equal(n, 2);
    assert_true(bytes_equal(got[1].name, bytes_of_string("puts")) && got[1].value == UINT64_MAX);
    assert_robust(recode_stats, &b);
    buffer_put_u16(&b, STATS_MAX + 1);
    assert_int_equal(stats_decode(buffer_bytes(&b), got, &n), ERR_TOO_BIG);
    buffer_release(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_comes_back_as_it_was_sent),
        cmocka_unit_test(a_replicate_carries_versions_for_writes_and_nothing_for_guards),
        cmocka_unit_test(a_patch_has_pieces_overwrites_and_is_never_replicated),
        cmocka_unit_test(a_batch_writes_each_row_at_most_once),
        cmocka_unit_test(a_large_batch_writes_each_row_at_most_once),
        cmocka_unit_test(the_bounds_of_a_batch_are_named_too_big),
        cmocka_unit_test(replies_come_back_as_they_were_sent),
        cmocka_unit_test(a_scan_shows_of_a_value_what_was_asked_for),
        cmocka_unit_test(a_scan_comes_back_as_it_was_sent),
        cmocka_unit_test(a_page_that_would_repeat_itself_is_refused),
        cmocka_unit_test(a_scan_asks_for_at_least_one_row_and_at_most_the_bound),
        cmocka_unit_test(stats_come_back_as_they_were_sent),
        cmocka_unit_test(a_counter_is_found_by_its_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
