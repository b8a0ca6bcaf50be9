/* exchange: what is encoded is decoded, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "shared/err.h"
#include "shared/exchange.h"

static const uint8_t clock_of_row[LEAF_DIGEST_SIZE] = {1, 2, 3};

static struct bytes row_key(struct buffer *into, const char *partition_key, const char *sort_key) {
    buffer_clear(into);
    buffer_put_sized8(into, bytes_of_string(partition_key));
    buffer_put_bytes(into, bytes_of_string(sort_key));
    return buffer_bytes(into);
}

static void sums_travel(void **state) {
    (void)state;
    static struct tree_sums sums, back;
    struct buffer encoded = {0};
    sums.n = 2;
    sums.sums[0] = (struct slice_sum){3, 7, 0x1122334455667788};
    sums.sums[1] = (struct slice_sum){63, 0, 0};
    sums.n_unknown = 1;
    sums.unknown[0] = 9;
    tree_sums_encode(&sums, &encoded);
    assert_int_equal(tree_sums_decode(buffer_bytes(&encoded), 64, &back), 0);
    assert_int_equal(back.n, 2);
    assert_true(back.sums[0].sum == sums.sums[0].sum && back.sums[0].n_rows == 7);
    assert_int_equal(back.unknown[0], 9);
    assert_int_equal(tree_sums_decode(buffer_bytes(&encoded), 63, &back), ERR_INVALID);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(tree_sums_decode(bytes_of(encoded.data, size), 64, &back), ERR_INVALID);
    }
    buffer_release(&encoded);
}

static void a_leaf_travels(void **state) {
    (void)state;
    struct buffer rows = {0}, encoded = {0}, key = {0};
    struct leaf_row row = {.clock = clock_of_row, .flags = LEAF_DEAD, .stamp_ns = 5};
    row.key = row_key(&key, "p", "a");
    leaf_row_encode(&row, &rows);
    row.key = row_key(&key, "p", "b");
    leaf_row_encode(&row, &rows);
    struct leaf leaf = {
        .more = true, .cursor = buffer_bytes(&key), .rows = buffer_bytes(&rows), .n_rows = 2};
    struct leaf back;
    leaf_encode(&leaf, &encoded);
    assert_int_equal(leaf_decode(buffer_bytes(&encoded), &back), 0);
    assert_true(back.more && !back.same);
    struct leaf_row got;
    assert_true(leaf_next(&back.rows, &got));
    assert_true(leaf_next(&back.rows, &got));
    assert_true(bytes_equal(got.key, buffer_bytes(&key)));
    assert_memory_equal(got.clock, clock_of_row, sizeof clock_of_row);
    assert_int_equal(got.flags, LEAF_DEAD);
    assert_false(leaf_next(&back.rows, &got));
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_not_equal(leaf_decode(bytes_of(encoded.data, size), &back), 0);
    }
    buffer_release(&rows);
    buffer_release(&encoded);
    buffer_release(&key);
}

static void rows_of_a_leaf_ascend(void **state) {
    (void)state;
    struct buffer rows = {0}, encoded = {0}, key = {0};
    struct leaf_row row = {.clock = clock_of_row};
    row.key = row_key(&key, "p", "b");
    leaf_row_encode(&row, &rows);
    leaf_row_encode(&row, &rows);
    struct leaf leaf = {.rows = buffer_bytes(&rows), .n_rows = 2}, back;
    leaf_encode(&leaf, &encoded);
    assert_int_equal(leaf_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_release(&rows);
    buffer_release(&encoded);
    buffer_release(&key);
}

static void bounds_of_a_leaf_request_are_checked(void **state) {
    (void)state;
    struct buffer encoded = {0}, key = {0};
    struct leaf_request request = {.slice = 5, .rows_max = LEAF_ROWS_MAX}, back;
    request.after = row_key(&key, "p", "x");
    leaf_request_encode(&request, &encoded);
    assert_int_equal(leaf_request_decode(buffer_bytes(&encoded), 6, &back), 0);
    assert_true(bytes_equal(back.after, request.after));
    assert_int_equal(leaf_request_decode(buffer_bytes(&encoded), 5, &back), ERR_INVALID);
    const uint32_t wrong[] = {0, LEAF_ROWS_MAX + 1};
    for (int i = 0; i < 2; i++) {
        buffer_clear(&encoded);
        request.rows_max = wrong[i];
        leaf_request_encode(&request, &encoded);
        assert_int_equal(leaf_request_decode(buffer_bytes(&encoded), 6, &back), ERR_TOO_BIG);
    }
    buffer_clear(&encoded);
    request = (struct leaf_request){.rows_max = 1, .digest = bytes_of("short", 5)};
    leaf_request_encode(&request, &encoded);
    assert_int_equal(leaf_request_decode(buffer_bytes(&encoded), 6, &back), ERR_INVALID);
    buffer_release(&encoded);
    buffer_release(&key);
}

static void a_row_key_is_two_keys(void **state) {
    (void)state;
    struct buffer key = {0};
    struct bytes partition_key, sort_key;
    assert_int_equal(row_key_split(row_key(&key, "dir", "name"), &partition_key, &sort_key), 0);
    assert_true(bytes_equal(partition_key, bytes_of_string("dir")));
    assert_true(bytes_equal(sort_key, bytes_of_string("name")));
    assert_int_equal(row_key_split(bytes_of("\5ab", 3), &partition_key, &sort_key), ERR_INVALID);
    assert_int_equal(row_key_split(bytes_of(NULL, 0), &partition_key, &sort_key), ERR_INVALID);
    buffer_release(&key);
}

static void repair_orders_travel(void **state) {
    (void)state;
    struct buffer encoded = {0};
    struct repair_request request = {.order = REPAIR_SLICES, .n_slices = 2, .slices = {1, 7}}, back;
    repair_request_encode(&request, &encoded);
    assert_int_equal(repair_request_decode(buffer_bytes(&encoded), 8, &back), 0);
    assert_int_equal(back.slices[1], 7);
    assert_int_equal(repair_request_decode(buffer_bytes(&encoded), 7, &back), ERR_INVALID);
    encoded.data[0] = REPAIR_SLICES + 1;
    assert_int_equal(repair_request_decode(buffer_bytes(&encoded), 8, &back), ERR_INVALID);
    buffer_release(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_travel),
        cmocka_unit_test(a_leaf_travels),
        cmocka_unit_test(rows_of_a_leaf_ascend),
        cmocka_unit_test(bounds_of_a_leaf_request_are_checked),
        cmocka_unit_test(a_row_key_is_two_keys),
        cmocka_unit_test(repair_orders_travel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
