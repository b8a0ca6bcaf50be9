/* reap: tombstones go when nothing is left that they have to win over, and not before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "tests/lib/rows_of.h"

enum { ROUND_MS = 1000, REAP_MS = 4000, SOON_MS = 3 * REAP_MS };

static void put(struct cluster *c, const char *key, const char *value) {
    struct write write = {.key = key, .value = value, .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
}

/* On the disk: no row, not even a dead one. */
static bool gone(struct cluster *c, uint16_t node, const char *key) {
    return stored_row(c, node, key, NULL).n_siblings == 0;
}

static bool gone_everywhere(struct cluster *c, const char *key) {
    return gone(c, 1, key) && gone(c, 2, key) && gone(c, 3, key);
}

static uint64_t n_reaped(struct cluster *c) {
    uint64_t n = 0;
    for (uint16_t id = 1; id <= 3; id++) {
        n += cluster_stat(c, id, "tombstones_reaped");
    }
    return n;
}

static void a_tombstone_that_all_replicas_hold_goes(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        put(c, key, "value");
        put(c, key, i % 2 == 0 ? NULL : "newer");
    }
    cluster_advance(c, REAP_MS / 2);
    assert_int_equal(n_reaped(c), 0);
    cluster_advance(c, SOON_MS);
    for (int i = 0; i < 40; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(gone_everywhere(c, key), i % 2 == 0);
        assert_int_equal(do_get(c, 1, key, NULL, 0).n_live, i % 2);
    }
    assert_int_equal(n_reaped(c), 3 * 20);
    cluster_free(c);
}

static void sums_follow_what_was_reaped(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    put(c, "k", "value");
    put(c, "k", NULL);
    cluster_advance(c, SOON_MS);
    assert_true(gone_everywhere(c, "k"));
    for (uint16_t id = 1; id <= 3; id++) {
        struct slice_sum sum;
        uint16_t slice = ring_slice(cluster_ring(c), bytes_of_string("k"));
        assert_true(node_slice_sum(cluster_node(c, id), slice, &sum));
        assert_int_equal(sum.n_rows, 0);
        assert_true(sum.sum == 0);
    }
    cluster_free(c);
}

static void nothing_goes_while_a_replica_is_away(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    put(c, "k", "value");
    cluster_crash(c, 3, false);
    cluster_advance(c, 2 * MEMBERSHIP_SUSPECT_MS);
    put(c, "k", NULL);
    cluster_advance(c, 2 * SOON_MS);
    assert_false(gone(c, 1, "k"));
    assert_false(gone(c, 2, "k"));
    cluster_start(c, 3);
    cluster_advance(c, 2 * SOON_MS);
    assert_true(gone_everywhere(c, "k"));
    assert_int_equal(do_get(c, 3, "k", NULL, 0).n_live, 0);
    cluster_free(c);
}

static void a_replica_that_restarts_holds_it_from_then_on(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, 4 * REAP_MS);
    put(c, "k", "value");
    put(c, "k", NULL);
    cluster_advance(c, 7 * REAP_MS);
    assert_int_equal(n_reaped(c), 0);
    cluster_crash(c, 2, false);
    cluster_start(c, 2);
    cluster_advance(c, 3 * REAP_MS);
    assert_int_equal(n_reaped(c), 0);
    cluster_advance(c, 6 * REAP_MS);
    assert_true(gone_everywhere(c, "k"));
    cluster_free(c);
}

static void a_row_made_anew_stays(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    put(c, "k", "old");
    put(c, "k", NULL);
    cluster_advance(c, SOON_MS);
    assert_true(gone_everywhere(c, "k"));
    struct write create = {.key = "k", .value = "new", .condition = ROW_IF_ABSENT};
    assert_int_equal(do_write(c, &create, NULL), 0);
    cluster_advance(c, 2 * SOON_MS);
    for (uint16_t id = 1; id <= 3; id++) {
        assert_string_equal(stored_row(c, id, "k", NULL).value, "new");
    }
    struct seen_row row = do_get(c, 1, "k", NULL, 0);
    assert_int_equal(row.n_siblings, 1);
    assert_int_equal(row.tally.n_live, 1);
    cluster_free(c);
}

/* Nodes that do not own the slice are asked, and the message that tells them to remove it is lost.
 */
static void a_replica_that_was_not_told_spreads_it_again_and_then_it_goes(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    put(c, "k", "value");
    put(c, "k", NULL);
    for (int ms = 0; ms < SOON_MS && n_reaped(c) == 0; ms++) {
        cluster_hold(c, 0, MESSAGE_REAP | MESSAGE_REPLY);
        cluster_advance(c, 1);
        cluster_release(c);
        cluster_lose(c, 0, MESSAGE_REAP); /* what is sent when the answers arrive */
        cluster_run(c);
        cluster_release(c);
    }
    assert_int_equal(n_reaped(c), 1);
    cluster_advance(c, 2 * ROUND_MS);
    cluster_advance(c, 2 * SOON_MS);
    assert_true(gone_everywhere(c, "k"));
    assert_true(n_reaped(c) >= 4);
    cluster_free(c);
}

static void who_knows_it_from_before_cannot_match_the_row_that_is_gone(void **state) {
    (void)state;
    struct cluster *c = cluster_new_reaping(3, 3, ROUND_MS, REAP_MS);
    struct bytes seen;
    struct write write = {.key = "k", .value = "value"};
    assert_int_equal(do_write(c, &write, &seen), 0);
    put(c, "k", NULL);
    struct write late = {.key = "k", .value = "late", .condition = ROW_IF_MATCH, .seen = seen};
    assert_int_equal(do_write(c, &late, NULL), ERR_CONFLICT);
    cluster_advance(c, SOON_MS);
    assert_true(gone_everywhere(c, "k"));
    for (uint16_t id = 1; id <= 3; id++) {
        late.node = id;
        assert_int_equal(do_write(c, &late, NULL), ERR_CONFLICT);
    }
    assert_int_equal(do_get(c, 1, "k", NULL, 0).n_live, 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tombstone_that_all_replicas_hold_goes),
        cmocka_unit_test(sums_follow_what_was_reaped),
        cmocka_unit_test(nothing_goes_while_a_replica_is_away),
        cmocka_unit_test(a_replica_that_restarts_holds_it_from_then_on),
        cmocka_unit_test(a_row_made_anew_stays),
        cmocka_unit_test(a_replica_that_was_not_told_spreads_it_again_and_then_it_goes),
        cmocka_unit_test(who_knows_it_from_before_cannot_match_the_row_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
