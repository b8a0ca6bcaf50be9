/* histogram: percentiles against the sorted values themselves. */
#include "shared/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct histogram h;

static int setup(void **state) {
    (void)state;
    h = (struct histogram){0};
    return 0;
}

static void an_empty_one_answers_zero(void **state) {
    (void)state;
    assert_int_equal(histogram_quantile(&h, 500000), 0);
    assert_int_equal(histogram_quantile(&h, 1000000), 0);
}

static void one_value_is_every_percentile(void **state) {
    (void)state;
    histogram_add(&h, 123456789);
    const uint32_t parts[] = {0, 1, 500000, 999000, 1000000};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint64_t got = histogram_quantile(&h, parts[i]);
        assert_in_range(got, 123456789 - 123456789 / 64, 123456789);
    }
}

static void small_values_are_exact(void **state) {
    (void)state;
    for (uint64_t v = 0; v < 64; v++) {
        h = (struct histogram){0};
        histogram_add(&h, v);
        assert_int_equal(histogram_quantile(&h, 500000), v);
    }
}

static void every_power_of_two_is_within_a_64th(void **state) {
    (void)state;
    for (int bit = 0; bit < 64; bit++) {
        for (int less = 0; less < 2; less++) {
            uint64_t v = ((uint64_t)1 << bit) - (uint64_t)less;
            h = (struct histogram){0};
            histogram_add(&h, v);
            histogram_add(&h, UINT64_MAX); /* so that the maximum does not help */
            uint64_t got = histogram_quantile(&h, 500000);
            uint64_t off = got > v ? got - v : v - got;
            assert_true(off <= v / 64);
        }
    }
    assert_int_equal(h.max, UINT64_MAX);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Latencies as they are: most near 300 us, a long tail. */
static void percentiles_are_within_three_percent_of_the_sorted_values(void **state) {
    (void)state;
    enum { N = 20000 };
    static uint64_t values[N];
    uint64_t dice = 88172645463325252u;
    for (int i = 0; i < N; i++) {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        values[i] = 200000 + dice % 200000;
        values[i] <<= dice >> 32 & 1023 ? 0 : dice % 9;
        histogram_add(&h, values[i]);
    }
    qsort(values, N, sizeof values[0], by_value);
    const uint32_t parts[] = {1, 10000, 500000, 900000, 990000, 999000, 999900, 1000000};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint64_t rank = ((uint64_t)N * parts[i] + 999999) / 1000000;
        uint64_t want = values[rank - 1];
        assert_in_range(histogram_quantile(&h, parts[i]), want - want / 33, want + want / 33);
    }
}

static void joining_two_counts_what_both_counted(void **state) {
    (void)state;
    static struct histogram other;
    for (uint64_t i = 1; i <= 1000; i++) {
        histogram_add(i % 2 == 0 ? &h : &other, i * 1000);
    }
    histogram_join(&h, &other);
    assert_int_equal(h.n, 1000);
    assert_int_equal(h.max, 1000000);
    assert_in_range(histogram_quantile(&h, 500000), 485000, 515000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_one_answers_zero, setup),
        cmocka_unit_test_setup(one_value_is_every_percentile, setup),
        cmocka_unit_test_setup(small_values_are_exact, setup),
        cmocka_unit_test_setup(every_power_of_two_is_within_a_64th, setup),
        cmocka_unit_test_setup(percentiles_are_within_three_percent_of_the_sorted_values, setup),
        cmocka_unit_test_setup(joining_two_counts_what_both_counted, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
