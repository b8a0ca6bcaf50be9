/* linear_test: histories that have an order, and histories that have none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/request.h"
#include "tests/lib/linear.h"

enum { OPS_MAX = 16 };

struct history {
    struct linear_op ops[OPS_MAX];
    uint32_t n;
    uint32_t seen[OPS_MAX]; /* a bit for each operation whose write it had seen */
    int64_t noise_from;
};

static bool replaces(void *context, uint32_t op, uint32_t part, uint32_t other) {
    const struct history *h = context;
    (void)part;
    return (h->seen[op] >> other & 1) != 0;
}

static bool noisy(void *context, uint32_t row, int64_t before_ns) {
    const struct history *h = context;
    (void)row;
    return h->noise_from < before_ns;
}

/* Noise may have replaced anything. */
static bool covers(void *context, uint32_t op, uint32_t part, uint32_t other) {
    const struct history *h = context;
    return replaces(context, op, part, other) || h->noise_from < h->ops[op].end_ns;
}

static enum linear_verdict judge(struct history *h, uint32_t *ret_blocked) {
    struct linear_history history = {h->ops, h->n, covers, replaces, noisy, h};
    return linear_check(&history, ret_blocked);
}

/* A write of row 0 that had seen the operations of the bits `seen`. */
static void add(struct history *h, enum linear_kind kind, int64_t start, int64_t end,
                uint8_t condition, uint32_t seen) {
    struct linear_op *op = &h->ops[h->n];
    op->kind = kind;
    op->start_ns = start;
    op->end_ns = end;
    op->n = 1;
    op->parts[0] = (struct linear_part){0, ROW_PUT, condition, 0, false};
    h->seen[h->n++] = seen;
}

/* A read of row 0 that met the write of `observed`. */
static void add_read(struct history *h, int64_t start, int64_t end, uint32_t observed) {
    struct linear_op *op = &h->ops[h->n++];
    op->kind = LINEAR_READ;
    op->start_ns = start;
    op->end_ns = end;
    op->rows = 1;
    op->n_observed = 1;
    op->observed[0].row = 0;
    op->observed[0].op = observed;
}

static struct history empty(void) {
    struct history h;
    memset(&h, 0, sizeof(h));
    h.noise_from = INT64_MAX;
    return h;
}

static void a_chain_of_writes_that_saw_one_another_has_an_order(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_DONE, 5, 30, ROW_IF_MATCH, 1);
    add(&h, LINEAR_REFUSED, 6, 31, ROW_IF_MATCH, 1); /* the other was faster */
    add(&h, LINEAR_DONE, 40, 50, ROW_IF_MATCH, 2);
    add_read(&h, 60, 61, 3);
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
}

static void two_winners_of_one_row_have_no_order(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_DONE, 0, 20, ROW_IF_ABSENT, 0);
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
    assert_int_equal(blocked, 1);
}

static void an_order_against_time_is_none(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_DONE, 20, 30, ROW_IF_MATCH, 1);
    add_read(&h, 40, 50, 0); /* the older one, after the newer was done */
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
    assert_int_equal(blocked, 2);
    h.ops[2].start_ns = 25; /* at the same time: it may have been earlier */
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
}

static void noise_takes_nothing_from_a_read_that_ended_before_it(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_DONE, 20, 60, ROW_ANY, 0); /* answered late, when there was noise already */
    add_read(&h, 30, 40, 0);
    h.ops[2].observed[1].op = 1;
    h.ops[2].n_observed = 2;
    h.noise_from = 50;
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
    h.ops[2].observed[1].op = 0;
    h.ops[2].n_observed = 1;
    h.ops[2].start_ns = 15; /* it came before the write */
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
    h.ops[1].end_ns = 14; /* it came after the write, and should show it */
    h.ops[1].start_ns = 11;
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
}

static void an_unknown_write_may_come_late_or_never(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_MAYBE, 11, INT64_MAX, ROW_IF_MATCH, 1);
    add_read(&h, 20, 21, 0);
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
    add_read(&h, 30, 31, 1);
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
    add_read(&h, 40, 41, 0); /* it was there, and is gone */
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
    assert_int_equal(blocked, 4);
}

static void a_refusal_needs_a_reason_or_writes_of_others(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_REFUSED, 20, 30, ROW_IF_MATCH, 1);
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
    h.noise_from = 15;
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
}

static void a_count_of_live_rows_leaves_out_the_deleted(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    add(&h, LINEAR_DONE, 0, 10, ROW_IF_ABSENT, 0);
    h.ops[1].parts[0].row = 1;
    add(&h, LINEAR_DONE, 20, 30, ROW_COUNT_MAX, 0); /* not while both are live */
    h.ops[2].parts[0].kind = ROW_GUARD;
    h.ops[2].parts[0].count_max = 1;
    assert_int_equal(judge(&h, &blocked), LINEAR_NO);
    h.ops[1].parts[0].kind = ROW_DELETE;
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
}

static void more_siblings_than_the_bound_are_undecided(void **state) {
    (void)state;
    struct history h = empty();
    uint32_t blocked = 0;
    for (int i = 0; i <= LINEAR_SIBLINGS_MAX; i++) {
        add(&h, LINEAR_DONE, 0, 10, ROW_ANY, 0);
    }
    assert_int_equal(judge(&h, &blocked), LINEAR_UNDECIDED);
    h.n--;
    assert_int_equal(judge(&h, &blocked), LINEAR_YES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_writes_that_saw_one_another_has_an_order),
        cmocka_unit_test(two_winners_of_one_row_have_no_order),
        cmocka_unit_test(an_order_against_time_is_none),
        cmocka_unit_test(noise_takes_nothing_from_a_read_that_ended_before_it),
        cmocka_unit_test(an_unknown_write_may_come_late_or_never),
        cmocka_unit_test(a_refusal_needs_a_reason_or_writes_of_others),
        cmocka_unit_test(a_count_of_live_rows_leaves_out_the_deleted),
        cmocka_unit_test(more_siblings_than_the_bound_are_undecided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
