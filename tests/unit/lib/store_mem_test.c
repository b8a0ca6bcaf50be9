/* store_mem: conditions, tally, pages and hooks are what the seam promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/store_mem.h"

static struct store_mem *mem;
static struct store *store;

static int setup(void **state) {
    (void)state;
    mem = store_mem_new();
    store = store_mem_store(mem);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    store_mem_free(mem);
    return 0;
}

static const struct bytes partition = {(const uint8_t *)"p", 1};

static struct row_op put_op(const char *sort, enum row_condition condition, struct bytes seen,
                            const char *value) {
    return (struct row_op){.kind = ROW_PUT,
                           .condition = (uint8_t)condition,
                           .sort_key = bytes_of_string(sort),
                           .seen = seen,
                           .value = bytes_of_string(value)};
}

static int run(struct row_op *ops, uint32_t n, struct store_outcome *outcome) {
    struct batch batch = {.op = store->op_id(store->self), .n = n, .ops = ops};
    return store->batch(store->self, partition, &batch, 0, outcome);
}

static int put(const char *sort, enum row_condition condition, struct bytes seen,
               const char *value) {
    struct row_op op = put_op(sort, condition, seen, value);
    return run(&op, 1, NULL);
}

static int erase(const char *sort) {
    struct row_op op = put_op(sort, ROW_OVERWRITE, (struct bytes){0}, "");
    op.kind = ROW_DELETE;
    return run(&op, 1, NULL);
}

/* The row's context, owned; `ret_siblings` may be NULL. */
static struct bytes read_context(const char *sort, uint32_t *ret_live) {
    struct store_row row = {0};
    struct buffer context = {0};
    assert_int_equal(store->get(store->self, partition, bytes_of_string(sort), 0, &row), 0);
    if (ret_live) {
        *ret_live = versions_live(&row.versions);
    }
    context_encode(&row.versions.context, &context);
    store_row_release(&row);
    return buffer_bytes(&context);
}

static struct tally read_tally(void) {
    struct store_row row = {0};
    assert_int_equal(store->get(store->self, partition, bytes_of_string("none"), 0, &row), 0);
    struct tally tally = row.tally;
    store_row_release(&row);
    return tally;
}

static const struct bytes nothing;

static void if_match_takes_only_who_has_seen_everything(void **state) {
    (void)state;
    assert_int_equal(put("a", ROW_IF_MATCH, nothing, "1"), 0);
    struct bytes first = read_context("a", NULL);
    assert_int_equal(put("a", ROW_IF_MATCH, nothing, "2"), ERR_CONFLICT);
    assert_int_equal(put("a", ROW_IF_MATCH, first, "2"), 0);
    assert_int_equal(put("a", ROW_IF_MATCH, first, "3"), ERR_CONFLICT);
    struct bytes second = read_context("a", NULL);
    assert_int_equal(erase("a"), 0);
    assert_int_equal(put("a", ROW_IF_MATCH, second, "4"), ERR_CONFLICT);
    free((void *)first.data);
    free((void *)second.data);
}

static void if_absent_takes_a_row_that_never_was_or_is_deleted(void **state) {
    (void)state;
    assert_int_equal(put("a", ROW_IF_ABSENT, nothing, "1"), 0);
    assert_int_equal(put("a", ROW_IF_ABSENT, nothing, "2"), ERR_CONFLICT);
    assert_int_equal(erase("a"), 0);
    assert_int_equal(put("a", ROW_IF_ABSENT, nothing, "3"), 0);
    uint32_t live;
    struct bytes context = read_context("a", &live);
    assert_int_equal(live, 1);
    free((void *)context.data);
}

static void a_blind_put_makes_a_sibling_and_an_overwrite_does_not(void **state) {
    (void)state;
    uint32_t live;
    assert_int_equal(put("a", ROW_ANY, nothing, "1"), 0);
    assert_int_equal(put("a", ROW_ANY, nothing, "2"), 0);
    struct bytes context = read_context("a", &live);
    assert_int_equal(live, 2);
    free((void *)context.data);
    assert_int_equal(put("a", ROW_OVERWRITE, nothing, "3"), 0);
    context = read_context("a", &live);
    assert_int_equal(live, 1);
    free((void *)context.data);
}

static void a_batch_is_applied_whole_or_not_at_all(void **state) {
    (void)state;
    struct store_outcome outcome = {0};
    uint32_t live;
    assert_int_equal(put("b", ROW_ANY, nothing, "there"), 0);
    struct row_op ops[2] = {put_op("a", ROW_IF_ABSENT, nothing, "x"),
                            put_op("b", ROW_IF_ABSENT, nothing, "y")};
    assert_int_equal(run(ops, 2, &outcome), ERR_CONFLICT);
    assert_int_equal(outcome.reply.failed_index, 1);
    struct versions current = {0};
    assert_int_equal(versions_decode(outcome.reply.current, &current), 0);
    assert_true(bytes_equal(current.siblings[0].value, bytes_of_string("there")));
    versions_release(&current);
    store_outcome_release(&outcome);
    struct bytes context = read_context("a", &live);
    assert_int_equal(live, 0);
    free((void *)context.data);
    assert_int_equal(erase("b"), 0);
    assert_int_equal(run(ops, 2, &outcome), 0);
    assert_int_equal(outcome.reply.n_contexts, 2);
    context = read_context("b", &live);
    assert_true(bytes_equal(context, outcome.reply.contexts[1]));
    free((void *)context.data);
    store_outcome_release(&outcome);
}

static void the_same_operation_is_one_write(void **state) {
    (void)state;
    struct row_op op = put_op("a", ROW_IF_ABSENT, nothing, "x");
    struct batch batch = {.op = store->op_id(store->self), .n = 1, .ops = &op};
    assert_int_equal(store->batch(store->self, partition, &batch, 0, NULL), 0);
    struct bytes before = read_context("a", NULL);
    assert_int_equal(store->batch(store->self, partition, &batch, 0, NULL), 0);
    struct bytes after = read_context("a", NULL);
    assert_true(bytes_equal(before, after));
    free((void *)before.data);
    free((void *)after.data);
}

static void the_tally_counts_live_rows_and_dates_the_last_change(void **state) {
    (void)state;
    assert_int_equal(read_tally().n_live, 0);
    assert_int_equal(put("a", ROW_ANY, nothing, "x"), 0);
    assert_int_equal(put("b", ROW_ANY, nothing, "x"), 0);
    struct tally two = read_tally();
    assert_int_equal(two.n_live, 2);
    store_mem_advance(mem, 1000);
    assert_int_equal(put("a", ROW_OVERWRITE, nothing, "y"), 0);
    assert_true(read_tally().changed_ns == two.changed_ns);
    assert_int_equal(erase("a"), 0);
    assert_int_equal(read_tally().n_live, 1);
    assert_true(read_tally().changed_ns >= two.changed_ns + 1000);
    struct row_op guard = {.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 0};
    assert_int_equal(run(&guard, 1, NULL), ERR_CONFLICT);
    guard.count_max = 1;
    assert_int_equal(run(&guard, 1, NULL), 0);
}

/* The sort keys of all pages, joined. */
static void scan_all(struct scan_request request, store_options options, char *into) {
    char held[8] = "";
    into[0] = 0;
    for (;;) {
        struct store_page page = {0};
        assert_int_equal(store->scan(store->self, partition, &request, options, &page), 0);
        for (uint32_t i = 0; i < page.reply.n_rows; i++) {
            strncat(into, (const char *)page.reply.rows[i].sort_key.data, 1);
        }
        bool more = page.reply.more;
        if (more) {
            memcpy(held, page.reply.cursor.data, 1);
            request.after = bytes_of(held, 1);
        }
        store_page_release(&page);
        if (!more) {
            return;
        }
    }
}

static void scans_resume_behind_their_cursor_at_any_page_size(void **state) {
    (void)state;
    char all[32];
    for (char c = 'a'; c <= 'j'; c++) {
        char sort[2] = {c};
        assert_int_equal(put(sort, ROW_ANY, nothing, "value"), 0);
    }
    assert_int_equal(erase("c"), 0);
    for (uint32_t rows = 1; rows < 12; rows++) {
        struct scan_request request = {.rows_max = rows, .bytes_max = 1000};
        scan_all(request, 0, all);
        assert_string_equal(all, "abdefghij");
        scan_all(request, MESSAGE_TOMBSTONES, all);
        assert_string_equal(all, "abcdefghij");
        request.first = bytes_of_string("b");
        request.before = bytes_of_string("h");
        scan_all(request, MESSAGE_KEYS_ONLY, all);
        assert_string_equal(all, "bdefg");
        request.bytes_max = 1; /* one row a page */
        scan_all(request, 0, all);
        assert_string_equal(all, "bdefg");
    }
}

static void a_failed_call_answers_as_told_and_applies_as_told(void **state) {
    (void)state;
    uint32_t live;
    store_mem_fail(mem, 2, 3, ERR_UNKNOWN, true);
    assert_int_equal(put("a", ROW_ANY, nothing, "1"), 0);
    assert_int_equal(put("b", ROW_ANY, nothing, "2"), ERR_UNKNOWN);
    assert_int_equal(put("c", ROW_ANY, nothing, "3"), ERR_UNKNOWN);
    assert_int_equal(store_mem_calls(mem), 3);
    struct bytes context = read_context("b", &live);
    assert_int_equal(live, 1);
    free((void *)context.data);
    context = read_context("c", &live);
    assert_int_equal(live, 0);
    free((void *)context.data);
}

static void count_in_between(void *context, enum store_mem_call kind, uint64_t number) {
    int *n = context;
    assert_int_equal(kind, STORE_MEM_BATCH);
    assert_int_equal(number, *n + 1);
    (*n)++;
    assert_int_equal(put("other", ROW_OVERWRITE, nothing, "x"), 0);
}

static void what_cuts_in_is_not_counted(void **state) {
    (void)state;
    int n = 0;
    store_mem_before(mem, count_in_between, &n);
    assert_int_equal(put("a", ROW_ANY, nothing, "1"), 0);
    assert_int_equal(put("b", ROW_ANY, nothing, "1"), 0);
    assert_int_equal(n, 2);
    assert_int_equal(store_mem_live_rows(mem, 'p'), 3);
    assert_int_equal(store_mem_live_rows(mem, 'q'), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(if_match_takes_only_who_has_seen_everything),
        TEST(if_absent_takes_a_row_that_never_was_or_is_deleted),
        TEST(a_blind_put_makes_a_sibling_and_an_overwrite_does_not),
        TEST(a_batch_is_applied_whole_or_not_at_all),
        TEST(the_same_operation_is_one_write),
        TEST(the_tally_counts_live_rows_and_dates_the_last_change),
        TEST(scans_resume_behind_their_cursor_at_any_page_size),
        TEST(a_failed_call_answers_as_told_and_applies_as_told),
        TEST(what_cuts_in_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
