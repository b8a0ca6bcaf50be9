/* shortfall: what it says in bytes and in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/shortfall.h"

static void it_comes_back_as_it_was_sent(void **state) {
    (void)state;
    struct shortfall sent = {.needed = 2, .answered = 1}, got;
    struct buffer b = {0};
    shortfall_add(&sent, 3);
    shortfall_add(&sent, 770);
    shortfall_add(&sent, 3); /* once is enough */
    shortfall_encode(&sent, &b);
    assert_int_equal(b.size, 7);
    assert_memory_equal(b.data, "\2\1\2\3\0\2\3", 7);
    assert_int_equal(shortfall_decode(buffer_bytes(&b), &got), 0);
    assert_true(got.needed == 2 && got.answered == 1 && got.n_silent == 2);
    assert_true(got.silent[0] == 3 && got.silent[1] == 770);
    buffer_release(&b);
}

static void malformed_bytes_are_refused_and_change_nothing(void **state) {
    (void)state;
    struct shortfall got = {.needed = 9};
    static const uint8_t bytes[] = {2, 1, 1, 3, 0, 0};
    static const uint8_t many[3 + 2 * (RING_REPLICAS_MAX + 1)] = {2, 1, RING_REPLICAS_MAX + 1};
    for (size_t size = 0; size < 5; size++) {
        assert_int_equal(shortfall_decode(bytes_of(bytes, size), &got), ERR_INVALID);
    }
    assert_int_equal(shortfall_decode(bytes_of(bytes, 6), &got), ERR_INVALID);
    assert_int_equal(shortfall_decode(bytes_of(many, sizeof many), &got), ERR_INVALID);
    assert_int_equal(got.needed, 9);
    assert_int_equal(shortfall_decode(bytes_of(bytes, 5), &got), 0);
}

static void more_silent_nodes_than_replicas_are_left_out(void **state) {
    (void)state;
    struct shortfall shortfall = {0};
    for (uint16_t node = 1; node <= RING_REPLICAS_MAX + 1; node++) {
        shortfall_add(&shortfall, node);
    }
    assert_int_equal(shortfall.n_silent, RING_REPLICAS_MAX);
}

static void assert_says(const struct shortfall *shortfall, const char *text) {
    char got[SHORTFALL_TEXT_MAX];
    assert_string_equal(shortfall_text(shortfall, got, sizeof got), text);
}

static void it_says_what_was_needed_and_who_was_silent(void **state) {
    (void)state;
    assert_says(&(struct shortfall){0}, "");
    assert_says(&(struct shortfall){.needed = 2, .answered = 1}, "1 of 2 replicas answered");
    assert_says(&(struct shortfall){.needed = 2, .answered = 1, .n_silent = 1, .silent = {3}},
                "1 of 2 replicas answered, node 3 did not");
    assert_says(&(struct shortfall){.needed = 3, .answered = 1, .n_silent = 2, .silent = {2, 3}},
                "1 of 3 replicas answered, nodes 2 and 3 did not");
    assert_says(&(struct shortfall){.n_silent = 3, .silent = {1, 2, 3}},
                "nodes 1, 2 and 3 did not answer");
}

static void a_sentence_that_does_not_fit_is_cut(void **state) {
    (void)state;
    struct shortfall shortfall = {.needed = 3, .answered = 1, .n_silent = 2, .silent = {2, 3}};
    char got[40];
    for (size_t size = 1; size < sizeof got; size++) {
        memset(got, 'x', sizeof got);
        assert_int_equal(strlen(shortfall_text(&shortfall, got, size)), size - 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_as_it_was_sent),
        cmocka_unit_test(malformed_bytes_are_refused_and_change_nothing),
        cmocka_unit_test(more_silent_nodes_than_replicas_are_left_out),
        cmocka_unit_test(it_says_what_was_needed_and_who_was_silent),
        cmocka_unit_test(a_sentence_that_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
