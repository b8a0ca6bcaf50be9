/* slice_page: pages of slices, as bytes and as a walk over a node's rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/chain.h"
#include "node/core/slice_page.h"
#include "shared/err.h"
#include "tests/lib/rows_of.h"

static void a_request_comes_out_as_it_went_in(void **state) {
    (void)state;
    struct slice_request in = {.generation = 0x1122334455667788,
                               .bytes_max = 4711,
                               .from = {.slice = 77, .after = bytes_of("rXYabc", 6)}};
    struct slice_request out;
    struct buffer encoded = {0};
    slice_request_encode(&in, &encoded);
    assert_int_equal(slice_request_decode(buffer_bytes(&encoded), &out), 0);
    assert_int_equal(out.generation, in.generation);
    assert_int_equal(out.bytes_max, 4711);
    assert_int_equal(out.from.slice, 77);
    assert_true(bytes_equal(out.from.after, in.from.after));
    for (size_t size = 0; size < encoded.size; size++) {
        assert_int_equal(slice_request_decode(bytes_of(encoded.data, size), &out), ERR_INVALID);
    }
    buffer_put_u8(&encoded, 0);
    assert_int_equal(slice_request_decode(buffer_bytes(&encoded), &out), ERR_INVALID);
    buffer_release(&encoded);
}

static void a_reply_that_claims_more_rows_than_it_has_is_refused(void **state) {
    (void)state;
    struct buffer encoded = {0};
    struct slice_reply reply;
    buffer_put_u8(&encoded, 1);
    buffer_put_u16(&encoded, 7);
    buffer_put_u16(&encoded, 3);
    buffer_put_u8(&encoded, 0);
    buffer_put_u16(&encoded, 0);
    buffer_put_u32(&encoded, 0xffffffff);
    assert_int_equal(slice_reply_decode(buffer_bytes(&encoded), &reply), ERR_INVALID);
    buffer_release(&encoded);
}

/* Node 1's answer to node 2's question, asked by hand. */
static struct slice_reply ask(struct cluster *c, struct slice_cursor from, uint32_t bytes_max,
                              struct buffer *keep) {
    struct slice_request request = {.generation = 1, .bytes_max = bytes_max, .from = from};
    struct buffer payload = {0};
    slice_request_encode(&request, &payload);
    struct message message = {
        .type = MESSAGE_SLICE, .id = 1, .budget_ms = 1000, .payload = buffer_bytes(&payload)};
    struct slice_reply reply = {0};
    cluster_inject(c, 2, 1, &message);
    buffer_release(&payload);
    cluster_overhear(c, 2, MESSAGE_SLICE | MESSAGE_REPLY, keep);
    assert_int_equal(slice_reply_decode(buffer_bytes(keep), &reply), 0);
    return reply;
}

static void small_pages_add_up_to_every_row(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    char key[16];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(do_write(c, &(struct write){.key = key, .value = "some value"}, NULL), 0);
    }
    uint32_t rows = 0;
    uint32_t pages = 0;
    struct buffer kept = {0};
    struct buffer after = {0};
    struct slice_cursor from = {0};
    while (from.slice < 64 && pages < 200) {
        struct slice_reply reply = ask(c, from, 100, &kept);
        rows += reply.n;
        pages++;
        assert_true(reply.trusted);
        from = reply.next;
        buffer_clear(&after);
        buffer_put_bytes(&after, from.after);
        from.after = buffer_bytes(&after);
        buffer_clear(&kept);
    }
    assert_int_equal(rows, 50);
    assert_true(pages > 10 && pages < 200);
    buffer_release(&kept);
    buffer_release(&after);
    cluster_free(c);
}

static int create(struct cluster *c, const char *sort_key) {
    struct write write = {
        .node = 2, .sort_key = sort_key, .value = "x", .condition = ROW_IF_ABSENT};
    return do_write(c, &write, NULL);
}

/* The latest ballot that a walk in pages of one row tells of, as a tail or a pending. When it has
 * come to the first of these one more batch is done. */
static struct ballot latest_told(struct cluster *c, const char *meanwhile) {
    struct ballot latest = {0};
    struct buffer kept = {0};
    struct buffer after = {0};
    struct slice_cursor from = {0};
    for (uint32_t pages = 0; from.slice < 64 && pages < 200; pages++) {
        struct slice_reply reply = ask(c, from, 1, &kept);
        for (uint32_t i = 0; i < reply.n; i++) {
            struct slice_row row = slice_row_next(&reply);
            bool tail = row.key.data[0] == 's';
            if (tail || row.key.data[0] == 'q') {
                struct ballot told = tail ? chain_applied(row.value) : chain_ballot(row.value);
                latest = ballot_compare(told, latest) > 0 ? told : latest;
            }
        }
        if (meanwhile != NULL && latest.epoch != 0) {
            assert_int_equal(create(c, meanwhile), 0);
            cluster_advance(c, 10);
            meanwhile = NULL;
        }
        from = reply.next;
        buffer_clear(&after);
        buffer_put_bytes(&after, from.after);
        from.after = buffer_bytes(&after);
        buffer_clear(&kept);
    }
    buffer_release(&kept);
    buffer_release(&after);
    return latest;
}

static void a_batch_that_is_moved_into_the_rows_meanwhile_is_told_of(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    assert_int_equal(create(c, "a"), 0);
    cluster_advance(c, 10);
    cluster_lose(c, 1, MESSAGE_CHOSEN);
    assert_int_equal(create(c, "b"), 0);
    cluster_advance(c, 10);
    cluster_release(c);
    struct ballot pending = latest_told(c, NULL);
    assert_int_equal(stored_row(c, 1, NULL, "b").n_siblings, 0);
    assert_true(ballot_compare(latest_told(c, "c"), pending) >= 0);
    assert_int_equal(stored_row(c, 1, NULL, "b").n_siblings, 1);
    cluster_free(c);
}

static void no_more_pages_are_served_at_once_than_the_bound(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    struct buffer payload = {0};
    slice_request_encode(&(struct slice_request){.bytes_max = 1000}, &payload);
    struct message message = {
        .type = MESSAGE_SLICE, .budget_ms = 1000, .payload = buffer_bytes(&payload)};
    cluster_pause_disk(c, 1, true);
    for (uint64_t i = 0; i < SLICE_PAGES_MAX + 3; i++) {
        message.id = i + 1;
        cluster_inject(c, 2, 1, &message);
    }
    uint64_t busy = cluster_stat(c, 1, "busy");
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 1, "busy") - busy, 3);
    cluster_pause_disk(c, 1, false);
    cluster_run(c);
    cluster_inject(c, 2, 1, &message);
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 1, "busy") - busy, 3);
    buffer_release(&payload);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_comes_out_as_it_went_in),
        cmocka_unit_test(a_reply_that_claims_more_rows_than_it_has_is_refused),
        cmocka_unit_test(small_pages_add_up_to_every_row),
        cmocka_unit_test(a_batch_that_is_moved_into_the_rows_meanwhile_is_told_of),
        cmocka_unit_test(no_more_pages_are_served_at_once_than_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
