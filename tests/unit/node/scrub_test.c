/* scrub: rows that rot unseen are found and mended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/core/rowkey.h"
#include "node/core/scrub.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

enum { ROUND_MS = 200 };

static void rot(struct cluster *c, uint16_t id, const char *sort_key) {
    struct buffer key = {0};
    struct bytes p = bytes_of_string("p");
    rowkey_put_row(&key, ring_slice(cluster_ring(c), p), p, bytes_of_string(sort_key));
    assert_true(disk_mem_corrupt(cluster_disk(c, id), buffer_bytes(&key)));
    buffer_release(&key);
}

/* Node 1 scrubs and has nothing in memory; `n` rows of one partition are bad on its disk. */
static struct cluster *rotten(const char *const *sort_keys, uint32_t n) {
    struct cluster *c = cluster_new(3, 3);
    for (uint32_t i = 0; i < n; i++) {
        struct write write = {.value = "x", .sort_key = sort_keys[i]};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
    cluster_stop(c, 1);
    for (uint32_t i = 0; i < n; i++) {
        rot(c, 1, sort_keys[i]);
    }
    cluster_scrub(c, ROUND_MS);
    cluster_start(c, 1);
    return c;
}

static void a_row_that_nobody_reads_is_mended_from_the_others(void **state) {
    (void)state;
    const char *const keys[] = {"a"};
    struct cluster *c = rotten(keys, 1);
    assert_int_equal(stored_row(c, 1, NULL, "a").status, ERR_CORRUPT);
    cluster_advance(c, 3 * ROUND_MS);
    assert_string_equal(stored_row(c, 1, NULL, "a").value, "x");
    assert_true(cluster_stat(c, 1, "corrupt_found") >= 1);
    assert_int_equal(cluster_stat(c, 1, "corrupt_repaired"), 1);
    assert_true(cluster_stat(c, 1, "scrub_rounds") >= 1);
    assert_int_equal(cluster_stat(c, 1, "scrub_unreadable"), 0);
    cluster_free(c);
}

static void several_bad_rows_of_a_partition_are_mended_and_counted_anew(void **state) {
    (void)state;
    const char *const keys[] = {"a", "b", "c"};
    struct cluster *c = rotten(keys, 3);
    cluster_advance(c, 10 * ROUND_MS);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(stored_row(c, 1, NULL, keys[i]).value, "x");
    }
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ONE).tally.n_live, 3);
    cluster_free(c);
}

static void a_row_that_is_sound_in_memory_is_written_again(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_stop(c, 1);
    cluster_scrub(c, ROUND_MS);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    assert_int_equal(do_write(c, &(struct write){.value = "x", .sort_key = "a"}, NULL), 0);
    cluster_advance(c, 10);
    rot(c, 1, "a");
    uint64_t reads = cluster_stat(c, 2, "reads");
    cluster_advance(c, 3 * ROUND_MS);
    assert_int_equal(stored_row(c, 1, NULL, "a").status, 0);
    assert_int_equal(cluster_stat(c, 2, "reads"), reads);
    cluster_free(c);
}

static void with_too_few_others_a_bad_row_waits(void **state) {
    (void)state;
    const char *const keys[] = {"a"};
    struct cluster *c = rotten(keys, 1);
    cluster_crash(c, 3, false);
    cluster_advance(c, 8 * ROUND_MS);
    assert_int_equal(stored_row(c, 1, NULL, "a").status, ERR_CORRUPT);
    cluster_start(c, 3);
    cluster_advance(c, 8 * ROUND_MS);
    assert_string_equal(stored_row(c, 1, NULL, "a").value, "x");
    cluster_free(c);
}

static void a_part_of_the_disk_that_cannot_be_read_is_counted_and_passed(void **state) {
    (void)state;
    const char *const keys[] = {"a"};
    struct cluster *c = rotten(keys, 1);
    disk_mem_fail(cluster_disk(c, 1), DISK_MEM_SCAN, ERR_CORRUPT, 5);
    cluster_advance(c, 6 * ROUND_MS);
    assert_int_equal(cluster_stat(c, 1, "scrub_unreadable"), 5);
    assert_string_equal(stored_row(c, 1, NULL, "a").value, "x");
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_nobody_reads_is_mended_from_the_others),
        cmocka_unit_test(several_bad_rows_of_a_partition_are_mended_and_counted_anew),
        cmocka_unit_test(a_row_that_is_sound_in_memory_is_written_again),
        cmocka_unit_test(with_too_few_others_a_bad_row_waits),
        cmocka_unit_test(a_part_of_the_disk_that_cannot_be_read_is_counted_and_passed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
