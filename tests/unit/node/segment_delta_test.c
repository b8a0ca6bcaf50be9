/* segment_delta: a value that is made of another one and its delta is the value, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "node/segment_delta.h"
#include "shared/err.h"

enum { SIZE = 64 << 10, MAX = 16 << 10 };

static uint8_t base[SIZE], value[2 * SIZE], room[2 * SIZE];
static struct buffer pieces, encoded;
static uint32_t state = 5;

static uint32_t dice(uint32_t sides) {
    state = state * 1664525u + 1013904223u;
    return (state >> 13) % sides;
}

static void fill(uint8_t *into, size_t size) {
    for (size_t i = 0; i < size; i++) {
        into[i] = (uint8_t)dice(256);
    }
}

/* Whether there is a delta within MAX; if so it is the value. */
static bool goes_round(size_t base_size, size_t value_size, size_t at) {
    struct segment_delta made, found;
    struct bytes from = bytes_of(base, base_size), to = bytes_of(value, value_size);
    if (!segment_delta_make(from, to, at, MAX, &pieces, &made)) {
        return false;
    }
    assert_true(pieces.size <= MAX + 8);
    made.key_size = 77;
    made.sum = 78;
    made.of_other = at > 0;
    buffer_clear(&encoded);
    segment_delta_encode(&made, &encoded);
    assert_int_equal(segment_delta_decode(buffer_bytes(&encoded), &found), 0);
    assert_int_equal(found.key_size, 77);
    assert_int_equal(found.sum, 78);
    assert_int_equal(found.of_other, at > 0);
    assert_int_equal(found.size, value_size);
    assert_int_equal(segment_delta_apply(&found, from, room), 0);
    assert_memory_equal(room, value, value_size);
    return true;
}

static void any_small_changes_go_round(void **unused) {
    (void)unused;
    fill(base, SIZE);
    for (int round = 0; round < 300; round++) {
        memcpy(value, base, SIZE);
        for (uint32_t i = dice(8); i > 0; i--) {
            fill(value + dice(SIZE - 900), 1 + dice(900));
        }
        size_t size = SIZE - dice(700);
        assert_true(goes_round(SIZE, size, 0));
        assert_true(goes_round(SIZE - dice(700), size, 0));
    }
}

static void bytes_before_the_common_ones_do_no_harm(void **unused) {
    (void)unused;
    fill(base, SIZE);
    fill(value, 123);
    memcpy(value + 123, base, SIZE);
    fill(value + 5000, 4096);
    assert_true(goes_round(SIZE, SIZE + 123, 123)); /* known */
    assert_true(goes_round(SIZE, SIZE + 123, 0));   /* found from the end */
    assert_true(pieces.size < 5000);
}

static void what_differs_much_has_no_delta(void **unused) {
    (void)unused;
    fill(base, SIZE);
    fill(value, SIZE);
    assert_false(goes_round(SIZE, SIZE, 0));
    memcpy(value, base, SIZE);
    fill(value + 100, MAX);
    assert_false(goes_round(SIZE, SIZE, 0));
    fill(value, 100);
    assert_false(goes_round(SIZE, 100, 0)); /* as long as the value itself */
}

static void equal_values_have_an_empty_delta(void **unused) {
    (void)unused;
    fill(base, SIZE);
    memcpy(value, base, SIZE);
    assert_true(goes_round(SIZE, SIZE, 0));
    assert_int_equal(pieces.size, 0);
}

static void damage_is_no_delta_or_one_within_its_bounds(void **unused) {
    (void)unused;
    struct segment_delta delta;
    fill(base, SIZE);
    memcpy(value, base, SIZE);
    fill(value + 700, 300);
    fill(value + 9000, 300);
    assert_true(goes_round(SIZE, SIZE, 0));
    for (size_t size = 0; size < SEGMENT_DELTA_HEAD; size++) {
        assert_int_equal(segment_delta_decode(bytes_of(encoded.data, size), &delta), ERR_CORRUPT);
    }
    for (int round = 0; round < 20000; round++) {
        size_t at = dice((uint32_t)encoded.size);
        uint8_t before = encoded.data[at];
        encoded.data[at] = (uint8_t)dice(256);
        if (segment_delta_decode(buffer_bytes(&encoded), &delta) == 0 && delta.size <= SIZE) {
            (void)segment_delta_apply(&delta, bytes_of(base, SIZE), room);
        }
        encoded.data[at] = before;
    }
    assert_int_equal(segment_delta_decode(buffer_bytes(&encoded), &delta), 0);
    assert_int_equal(segment_delta_apply(&delta, bytes_of(base, SIZE - 1), room), ERR_CORRUPT);
}

static int release(void **unused) {
    (void)unused;
    buffer_release(&pieces);
    buffer_release(&encoded);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_small_changes_go_round),
        cmocka_unit_test(bytes_before_the_common_ones_do_no_harm),
        cmocka_unit_test(what_differs_much_has_no_delta),
        cmocka_unit_test(equal_values_have_an_empty_delta),
        cmocka_unit_test(damage_is_no_delta_or_one_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, release);
}
