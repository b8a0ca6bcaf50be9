/* extents: against a bitmap, and at their bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/extents.h"
#include "shared/record.h"

enum { BLOCKS = 200 };

static uint32_t dice(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void assert_same(const struct extents *extents, const bool *model) {
    for (uint64_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(extents_have(extents, i), model[i]);
    }
    for (uint32_t i = 1; i < extents->n; i++) {
        assert_true(extents->at[i].first > extents->at[i - 1].end);
    }
}

static void random_ranges_agree_with_a_bitmap(void **state) {
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 200; round++) {
        struct extents extents = {0};
        bool model[BLOCKS] = {false};
        for (int i = 0; i < 60; i++) { /* never more than EXTENTS_MAX extents */
            uint64_t first = dice(&seed) % BLOCKS;
            uint64_t end = first + dice(&seed) % 20;
            end = end < BLOCKS ? end : BLOCKS;
            bool add = dice(&seed) % 2 == 0;
            (add ? extents_add : extents_remove)(&extents, first, end);
            for (uint64_t k = first; k < end; k++) {
                model[k] = add;
            }
            assert_same(&extents, model);
        }
    }
}

static void the_next_of_each_kind_is_found(void **state) {
    (void)state;
    struct extents extents = {0};
    extents_add(&extents, 5, 7);
    extents_add(&extents, 10, 11);
    assert_true(extents_next_stored(&extents, 0) == 5);
    assert_true(extents_next_stored(&extents, 6) == 6);
    assert_true(extents_next_stored(&extents, 7) == 10);
    assert_true(extents_next_stored(&extents, 11) == UINT64_MAX);
    assert_true(extents_next_hole(&extents, 0) == 0);
    assert_true(extents_next_hole(&extents, 5) == 7);
    assert_true(extents_bytes(&extents, 10 * BLOCK_SIZE + 100) == 2 * BLOCK_SIZE + 100);
    assert_true(extents_bytes(&extents, 6 * BLOCK_SIZE) == BLOCK_SIZE);
    struct extents dense = extents_dense(7);
    assert_true(extents_are_dense(&dense, 7));
    assert_false(extents_are_dense(&dense, 8));
    assert_false(extents_are_dense(&extents, 11));
}

static void beyond_the_bound_the_smallest_hole_is_forgotten(void **state) {
    (void)state;
    struct extents extents = {0};
    for (uint64_t i = 0; i < EXTENTS_MAX; i++) {
        extents_add(&extents, i * 10, i * 10 + (i == 3 ? 8 : 1));
    }
    assert_int_equal(extents.n, EXTENTS_MAX);
    extents_add(&extents, 100000, 100001);
    assert_int_equal(extents.n, EXTENTS_MAX);
    assert_true(extents_have(&extents, 100000));
    assert_true(extents_have(&extents, 39)); /* between the fourth and the fifth */
    extents_remove(&extents, 32, 33);        /* there is no room for this hole */
    assert_true(extents_have(&extents, 32));
    extents_remove(&extents, 0, 1);
    extents_remove(&extents, 32, 33);
    assert_false(extents_have(&extents, 32));
}

static void encoded_ones_come_back_and_malformed_ones_do_not(void **state) {
    (void)state;
    struct extents extents = {0}, back;
    struct buffer encoded = {0};
    extents_add(&extents, 5, 7);
    extents_add(&extents, 10, 11);
    extents_encode(&extents, &encoded);
    assert_int_equal(extents_decode(buffer_bytes(&encoded), &back), 0);
    assert_int_equal(back.n, 2);
    assert_true(back.at[1].first == 10 && back.at[1].end == 11);
    encoded.data[1] = 9; /* ends before it begins */
    assert_int_equal(extents_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    encoded.data[1] = 5;
    encoded.data[0] = EXTENTS_MAX + 1;
    assert_int_equal(extents_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    encoded.data[0] = 1;
    assert_int_equal(extents_decode(buffer_bytes(&encoded), &back), ERR_INVALID);
    buffer_release(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_ranges_agree_with_a_bitmap),
        cmocka_unit_test(the_next_of_each_kind_is_found),
        cmocka_unit_test(beyond_the_bound_the_smallest_hole_is_forgotten),
        cmocka_unit_test(encoded_ones_come_back_and_malformed_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
