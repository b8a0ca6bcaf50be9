/* partition_page: which partitions a replica holds, as bytes and as pages of a node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/partitions.h"
#include "tests/lib/rows_of.h"

enum { N_PARTITIONS = 300 };

static void a_request_comes_out_as_it_went_in(void **state) {
    (void)state;
    struct partitions_request in = {
        .slice = 7, .key_size = 18, .n_max = 9, .after = bytes_of_string("abc")};
    struct partitions_request out;
    struct buffer encoded = {0};
    partitions_request_encode(&in, &encoded);
    assert_int_equal(partitions_request_decode(buffer_bytes(&encoded), 8, &out), 0);
    assert_true(out.slice == 7 && out.key_size == 18 && out.n_max == 9);
    assert_true(bytes_equal(out.after, in.after));
    assert_int_equal(partitions_request_decode(buffer_bytes(&encoded), 7, &out), ERR_INVALID);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(partitions_request_decode(bytes_of(encoded.data, size), 8, &out),
                         ERR_INVALID);
    }
    const uint32_t wrong[] = {0, PARTITIONS_PAGE_MAX + 1};
    for (int i = 0; i < 2; i++) {
        buffer_clear(&encoded);
        in.n_max = wrong[i];
        partitions_request_encode(&in, &encoded);
        assert_int_equal(partitions_request_decode(buffer_bytes(&encoded), 8, &out), ERR_TOO_BIG);
    }
    buffer_release(&encoded);
}

static void a_page_whose_partitions_do_not_ascend_is_refused(void **state) {
    (void)state;
    struct buffer listed = {0}, encoded = {0};
    struct partitions_page page = {.n = 2}, out;
    struct partition_tally partition = {.key = bytes_of_string("b"), .tally = {1, 2}};
    partition_tally_encode(&partition, &listed);
    partition.key = bytes_of_string("aa"); /* longer: behind it */
    partition_tally_encode(&partition, &listed);
    page.listed = buffer_bytes(&listed);
    partitions_page_encode(&page, &encoded);
    assert_int_equal(partitions_page_decode(buffer_bytes(&encoded), &out), 0);
    assert_true(partitions_next(&out.listed, &partition));
    assert_true(partition.tally.n_live == 1 && partition.tally.changed_ns == 2);
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(partitions_page_decode(bytes_of(encoded.data, size), &out), ERR_INVALID);
    }
    buffer_clear(&listed);
    buffer_clear(&encoded);
    partition_tally_encode(&partition, &listed);
    partition_tally_encode(&partition, &listed);
    page.listed = buffer_bytes(&listed);
    partitions_page_encode(&page, &encoded);
    assert_int_equal(partitions_page_decode(buffer_bytes(&encoded), &out), ERR_INVALID);
    buffer_release(&listed);
    buffer_release(&encoded);
}

/* Partitions "p0".. and "long0"..; of each third one the only row is deleted. */
static void write_partitions(struct cluster *c) {
    for (int i = 0; i < N_PARTITIONS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%s%03d", i % 2 == 0 ? "p" : "long", i);
        struct write write = {
            .node = 1, .key = key, .sort_key = "x", .value = "v", .condition = ROW_OVERWRITE};
        assert_int_equal(do_write(c, &write, NULL), 0);
        write.value = NULL;
        if (i % 3 == 0) {
            assert_int_equal(do_write(c, &write, NULL), 0);
        }
    }
}

struct counted {
    uint32_t n, n_live;
};

static void count_slice(struct cluster *c, uint16_t slice, uint8_t key_size, uint32_t n_max,
                        struct counted *ret) {
    struct buffer after = {0}, payload = {0};
    for (bool more = true; more;) {
        struct partitions_request request = {
            .slice = slice, .key_size = key_size, .n_max = n_max, .after = buffer_bytes(&after)};
        buffer_clear(&payload);
        partitions_request_encode(&request, &payload);
        struct message message = {
            .type = MESSAGE_PARTITIONS, .payload = buffer_bytes(&payload), .budget_ms = 1000};
        struct cluster_answer answer = cluster_call(c, 2, &message);
        struct partitions_page page;
        struct partition_tally partition;
        assert_int_equal(answer.status, 0);
        assert_int_equal(partitions_page_decode(answer.payload, &page), 0);
        assert_true(page.n <= n_max);
        more = page.more;
        while (partitions_next(&page.listed, &partition)) {
            assert_true(key_size == 0 || partition.key.size == key_size);
            assert_int_equal(ring_slice(cluster_ring(c), partition.key), slice);
            ret->n++;
            ret->n_live += partition.tally.n_live > 0;
            buffer_clear(&after);
            buffer_put_bytes(&after, partition.key);
        }
    }
    buffer_release(&after);
    buffer_release(&payload);
}

static void every_partition_is_listed_once_with_its_tally(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    write_partitions(c);
    cluster_run(c);
    struct counted all = {0}, paged = {0}, shorter = {0};
    for (uint16_t slice = 0; slice < cluster_ring(c)->n_slices; slice++) {
        count_slice(c, slice, 0, PARTITIONS_PAGE_MAX, &all);
        count_slice(c, slice, 0, 2, &paged);
        count_slice(c, slice, 4, 1, &shorter);
    }
    assert_int_equal(all.n, N_PARTITIONS);
    assert_int_equal(all.n_live, N_PARTITIONS * 2 / 3);
    assert_int_equal(paged.n, N_PARTITIONS);
    assert_int_equal(shorter.n, N_PARTITIONS / 2);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_out_as_it_went_in),
        cmocka_unit_test(a_page_whose_partitions_do_not_ascend_is_refused),
        cmocka_unit_test(every_partition_is_listed_once_with_its_tally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
