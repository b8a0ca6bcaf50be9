/* tree: sums of slices that stay exact while rows change and while they are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/rowkey.h"
#include "node/core/tree.h"

enum { ROWS = 40, SLICES = 4, SEED = 99 };

/* A disk and the tree beside it. */
struct bench {
    struct tree tree;
    struct blob *rows[ROWS]; /* committed; row i lies in slice i / 10 */
};

static uint64_t dice_state;
static uint32_t dice(uint32_t n) {
    dice_state = dice_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(dice_state >> 33) % n;
}

static struct bytes key_of(uint32_t row) {
    static struct buffer key;
    char name[8];
    snprintf(name, sizeof name, "%04u", row);
    buffer_clear(&key);
    rowkey_put_row(&key, (uint16_t)(row / 10), bytes_of_string("p"), bytes_of_string(name));
    return buffer_bytes(&key);
}

static struct blob *version_of(uint64_t counter) {
    struct versions versions = {0};
    struct context seen = {0};
    struct buffer encoded = {0};
    struct sibling sibling = {.dot = {actor_of(1, 1, 1), counter}, .value = bytes_of("v", 1)};
    versions_put(&versions, &seen, &sibling);
    versions_encode(&versions, &encoded);
    struct blob *blob = blob_new(buffer_bytes(&encoded));
    versions_release(&versions);
    buffer_release(&encoded);
    return blob;
}

static void change(struct bench *b, uint32_t row, struct blob *now) {
    tree_changed(&b->tree, key_of(row), blob_bytes(b->rows[row]), true, blob_bytes(now));
    blob_unref(b->rows[row]);
    b->rows[row] = now;
}

/* Scans up to three rows behind the cursor. `seen` = what the scan found, taken at any moment
 * between its begin and its end. */
static bool count_page(struct bench *b, struct blob *const *seen) {
    struct disk_row rows[3];
    struct bytes keys[3];
    uint32_t n = 0;
    bool more = false;
    struct bytes cursor = buffer_bytes(&b->tree.cursor);
    for (uint32_t row = 0; row < ROWS && !more; row++) {
        struct bytes key = key_of(row);
        if (seen[row] == NULL || (cursor.size > 0 && bytes_compare(key, cursor) <= 0)) {
            continue;
        }
        more = n == 3;
        if (!more) {
            keys[n] = bytes_copy(key);
            rows[n] = (struct disk_row){.key = keys[n], .value = blob_stored(seen[row])};
            n++;
        }
    }
    bool counts = tree_count_page(&b->tree, rows, n, more);
    for (uint32_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)keys[i].data);
    }
    return counts;
}

static void count_all(struct bench *b) {
    tree_count_begin(&b->tree, 0, SLICES - 1);
    while (b->tree.counting) {
        tree_scan_begin(&b->tree);
        count_page(b, b->rows);
    }
}

static void assert_exact(const struct bench *b) {
    struct bench fresh = {0};
    tree_init(&fresh.tree, SEED, SLICES);
    memcpy(fresh.rows, b->rows, sizeof fresh.rows);
    count_all(&fresh);
    for (uint16_t slice = 0; slice < SLICES; slice++) {
        struct slice_sum here, there;
        assert_true(tree_sum(&b->tree, slice, &here));
        assert_true(tree_sum(&fresh.tree, slice, &there));
        assert_int_equal(here.n_rows, there.n_rows);
        assert_true(here.sum == there.sum);
    }
    tree_release(&fresh.tree);
}

static struct bench *bench_new(uint32_t n_rows) {
    struct bench *b = memory_new(1, sizeof *b);
    tree_init(&b->tree, SEED, SLICES);
    for (uint32_t row = 0; row < n_rows; row++) {
        b->rows[row] = version_of(row + 1);
    }
    return b;
}

static void bench_free(struct bench *b) {
    for (uint32_t row = 0; row < ROWS; row++) {
        blob_unref(b->rows[row]);
    }
    tree_release(&b->tree);
    free(b);
}

static void sums_follow_every_change_of_a_counted_slice(void **state) {
    (void)state;
    struct bench *b = bench_new(20);
    count_all(b);
    change(b, 3, version_of(100));
    change(b, 4, NULL);
    change(b, 35, version_of(101));
    assert_exact(b);
    bench_free(b);
}

static void a_changed_row_changes_the_sum_of_its_slice_only(void **state) {
    (void)state;
    struct bench *b = bench_new(ROWS);
    struct slice_sum before[SLICES], after;
    count_all(b);
    for (uint16_t slice = 0; slice < SLICES; slice++) {
        tree_sum(&b->tree, slice, &before[slice]);
    }
    change(b, 12, version_of(100));
    for (uint16_t slice = 0; slice < SLICES; slice++) {
        tree_sum(&b->tree, slice, &after);
        assert_int_equal(after.sum != before[slice].sum, slice == 1);
    }
    bench_free(b);
}

/* Commits that are under way when a page ends may be in it or not; they are told of as such. */
static void a_count_amid_changes_is_exact(void **state) {
    (void)state;
    uint64_t counter = 1000;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        dice_state = seed;
        struct bench *b = bench_new(ROWS);
        tree_count_begin(&b->tree, 0, SLICES - 1);
        while (b->tree.counting) {
            struct blob *seen[ROWS];
            struct blob *under_way[ROWS] = {0};
            bool is_under_way[ROWS] = {0};
            change(b, dice(ROWS), dice(3) > 0 ? version_of(counter++) : NULL);
            tree_scan_begin(&b->tree);
            for (uint32_t row = 0; row < ROWS; row++) {
                seen[row] = blob_ref(b->rows[row]);
                if (dice(5) == 0) { /* committed during the scan, which sees it or not */
                    struct blob *now = dice(3) > 0 ? version_of(counter++) : NULL;
                    bool sees = dice(2) == 0;
                    change(b, row, now);
                    blob_unref(sees ? seen[row] : NULL);
                    seen[row] = sees ? blob_ref(now) : seen[row];
                }
                if (dice(5) == 0) { /* asked for, answered after the scan */
                    is_under_way[row] = true;
                    under_way[row] = dice(3) > 0 ? version_of(counter++) : NULL;
                    if (dice(2) == 0) {
                        blob_unref(seen[row]);
                        seen[row] = blob_ref(under_way[row]);
                    }
                    tree_in_flight(&b->tree, key_of(row), blob_bytes(b->rows[row]), true);
                }
            }
            assert_true(count_page(b, seen));
            for (uint32_t row = 0; row < ROWS; row++) {
                blob_unref(seen[row]);
                if (is_under_way[row]) {
                    change(b, row, under_way[row]);
                }
            }
        }
        assert_exact(b);
        bench_free(b);
    }
}

static void more_changes_than_can_be_noted_scan_the_page_again(void **state) {
    (void)state;
    struct bench *b = bench_new(2);
    tree_count_begin(&b->tree, 0, SLICES - 1);
    tree_scan_begin(&b->tree);
    struct blob *blob = version_of(5);
    for (uint32_t i = 0; i <= TREE_NOTED_MAX; i++) {
        struct buffer key = {0};
        char name[16];
        snprintf(name, sizeof name, "other%u", i);
        rowkey_put_row(&key, 3, bytes_of_string(name), bytes_of_string(""));
        tree_changed(&b->tree, buffer_bytes(&key), bytes_of(NULL, 0), true, blob_bytes(blob));
        tree_changed(&b->tree, buffer_bytes(&key), blob_bytes(blob), true, bytes_of(NULL, 0));
        buffer_release(&key);
    }
    blob_unref(blob);
    assert_false(count_page(b, b->rows));
    tree_scan_begin(&b->tree);
    assert_true(count_page(b, b->rows));
    assert_exact(b);
    bench_free(b);
}

static void overwriting_what_could_not_be_read_makes_its_slice_unknown(void **state) {
    (void)state;
    struct bench *b = bench_new(ROWS);
    struct slice_sum sum;
    count_all(b);
    struct blob *now = version_of(500);
    tree_changed(&b->tree, key_of(25), bytes_of(NULL, 0), false, blob_bytes(now));
    blob_unref(b->rows[25]);
    b->rows[25] = now;
    assert_false(tree_sum(&b->tree, 2, &sum));
    assert_true(tree_sum(&b->tree, 1, &sum));
    assert_int_equal(tree_unknown(&b->tree, 0), 2);
    tree_count_begin(&b->tree, 2, 2);
    for (int i = 0; b->tree.counting; i++) {
        struct blob *only[ROWS] = {0};
        memcpy(only + 20, b->rows + 20, 10 * sizeof *only);
        tree_scan_begin(&b->tree);
        count_page(b, only);
    }
    assert_exact(b);
    bench_free(b);
}

static void a_damaged_row_counts_as_none(void **state) {
    (void)state;
    struct bench *b = bench_new(3);
    b->rows[1]->data[3] ^= 1;
    count_all(b);
    struct slice_sum sum;
    assert_true(tree_sum(&b->tree, 0, &sum));
    assert_int_equal(sum.n_rows, 2);
    bench_free(b);
}

static void
a_row_that_was_damaged_when_it_was_counted_is_counted_again_when_it_changes(void **state) {
    (void)state;
    struct bench *b = bench_new(3);
    b->rows[1]->data[3] ^= 1;
    count_all(b);
    b->rows[1]->data[3] ^= 1; /* memory has it sound, and writes it again */
    change(b, 1, blob_ref(b->rows[1]));
    struct slice_sum sum;
    assert_false(tree_sum(&b->tree, 0, &sum));
    count_all(b);
    change(b, 1, version_of(99));
    assert_exact(b);
    bench_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_follow_every_change_of_a_counted_slice),
        cmocka_unit_test(a_changed_row_changes_the_sum_of_its_slice_only),
        cmocka_unit_test(a_count_amid_changes_is_exact),
        cmocka_unit_test(more_changes_than_can_be_noted_scan_the_page_again),
        cmocka_unit_test(overwriting_what_could_not_be_read_makes_its_slice_unknown),
        cmocka_unit_test(a_damaged_row_counts_as_none),
        cmocka_unit_test(
            a_row_that_was_damaged_when_it_was_counted_is_counted_again_when_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
