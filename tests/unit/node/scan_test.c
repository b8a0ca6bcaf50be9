/* scan: pages of partitions, alike and unlike on their replicas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/rows_of.h"

struct page {
    uint8_t digest[16];
    int status;
    bool more;
    uint32_t n;
    uint32_t n_values; /* with bytes in them */
    char value[16];    /* the last one of those */
    char keys[512];    /* joined by spaces */
    char cursor[16];
    struct tally tally;
};

static void look(struct page *page, const struct scan_reply *reply) {
    page->more = reply->more;
    page->n = reply->n_rows;
    page->tally = reply->tally;
    if (reply->digest.size > 0) {
        assert_int_equal(reply->digest.size, sizeof page->digest);
        memcpy(page->digest, reply->digest.data, sizeof page->digest);
    }
    assert_true(reply->cursor.size < sizeof page->cursor);
    if (reply->cursor.size > 0) {
        memcpy(page->cursor, reply->cursor.data, reply->cursor.size);
    }
    for (uint32_t i = 0; i < reply->n_rows; i++) {
        struct versions versions = {0};
        assert_int_equal(versions_decode(reply->rows[i].versions, &versions), 0);
        const struct sibling *winner = versions_winner(&versions);
        if (winner != NULL && winner->value.size > 0) {
            page->n_values++;
            snprintf(page->value, sizeof page->value, "%.*s", (int)winner->value.size,
                     (const char *)winner->value.data);
        }
        size_t at = strlen(page->keys);
        snprintf(page->keys + at, sizeof page->keys - at, "%s%.*s", i > 0 ? " " : "",
                 (int)reply->rows[i].sort_key.size, (const char *)reply->rows[i].sort_key.data);
        versions_release(&versions);
    }
}

static struct page do_scan(struct cluster *c, uint16_t node, const struct scan_request *request,
                           uint16_t flags) {
    struct page page = {0};
    struct buffer payload = {0};
    struct scan_request asked = *request;
    asked.rows_max = asked.rows_max != 0 ? asked.rows_max : 100;
    asked.bytes_max = asked.bytes_max != 0 ? asked.bytes_max : 100000;
    scan_request_encode(&asked, &payload);
    struct message message = {.type = MESSAGE_SCAN,
                              .flags = flags,
                              .budget_ms = 3000,
                              .key = bytes_of_string("p"),
                              .payload = buffer_bytes(&payload)};
    struct cluster_answer answer = cluster_call(c, node, &message);
    buffer_release(&payload);
    page.status = answer.status;
    if (answer.status == 0) {
        struct scan_reply reply;
        assert_int_equal(scan_reply_decode(answer.payload, &reply), 0);
        look(&page, &reply);
        scan_reply_release(&reply);
    }
    return page;
}

static void put(struct cluster *c, const char *sort_key, const char *value) {
    struct write write = {.sort_key = sort_key, .value = value, .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
}

/* A cluster in which node 1 was away while `keys` were written, and is back. */
static struct cluster *lagging(const char *before, const char *while_away) {
    struct cluster *c = cluster_new(3, 3);
    char name[2] = {0};
    for (const char *at = before; *at != 0; at++) {
        name[0] = *at;
        put(c, name, "old");
    }
    cluster_stop(c, 1);
    for (const char *at = while_away; *at != 0; at++) {
        name[0] = *at;
        struct write write = {
            .sort_key = name, .value = "new", .condition = ROW_OVERWRITE, .node = 2};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
    cluster_start(c, 1);
    cluster_advance(c, 300);
    return c;
}

static void a_scan_lists_live_rows_in_order(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "b", "x");
    put(c, "c", "x");
    put(c, "a", "x");
    put(c, "b", NULL);
    struct page page = do_scan(c, 2, &(struct scan_request){0}, 0);
    assert_int_equal(page.status, 0);
    assert_string_equal(page.keys, "a c");
    assert_false(page.more);
    assert_int_equal(page.tally.n_live, 2);
    assert_int_equal(page.n_values, 2);
    assert_string_equal(do_scan(c, 3, &(struct scan_request){0}, MESSAGE_TOMBSTONES).keys, "a b c");
    page = do_scan(c, 1, &(struct scan_request){0}, MESSAGE_KEYS_ONLY);
    assert_string_equal(page.keys, "a c");
    assert_int_equal(page.n_values, 0);
    cluster_free(c);
}

/* So that a client can make up a quorum itself: what it sees may be less than what is compared. */
static void a_replica_asked_for_its_own_page_shows_it_with_the_digest_of_all(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "a", "x");
    put(c, "b", "x");
    put(c, "b", NULL);
    cluster_advance(c, 300); /* everywhere */
    const struct scan_request all = {0};
    struct page page = do_scan(c, 1, &all, MESSAGE_OWN);
    assert_int_equal(page.status, 0);
    assert_string_equal(page.keys, "a");
    assert_int_equal(page.n_values, 1);
    struct page keys = do_scan(c, 2, &all, MESSAGE_OWN | MESSAGE_KEYS_ONLY | MESSAGE_TOMBSTONES);
    assert_string_equal(keys.keys, "a b");
    assert_int_equal(keys.n_values, 0);
    struct page digest = do_scan(c, 3, &all, MESSAGE_OWN | MESSAGE_DIGEST);
    assert_int_equal(digest.n, 0);
    assert_memory_equal(keys.digest, page.digest, sizeof page.digest);
    assert_memory_equal(digest.digest, page.digest, sizeof page.digest);
    assert_int_equal(cluster_stat(c, 1, "own_scans"), 1);
    assert_int_equal(cluster_stat(c, 1, "read_scans") + cluster_stat(c, 2, "read_scans"), 0);
    cluster_free(c);
    c = lagging("a", "b");
    page = do_scan(c, 1, &all, MESSAGE_OWN); /* it is not repaired by that */
    assert_string_equal(page.keys, "a");
    digest = do_scan(c, 2, &all, MESSAGE_OWN | MESSAGE_DIGEST);
    assert_memory_not_equal(digest.digest, page.digest, sizeof page.digest);
    cluster_free(c);
}

static void a_digest_with_a_pending_is_of_the_rows_beside_it_too(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const struct scan_request all = {0};
    struct write write = {.sort_key = "a", .value = "x", .condition = ROW_IF_ABSENT};
    put(c, "b", "x");
    cluster_lose(c, 0, MESSAGE_CHOSEN);
    assert_int_equal(do_write(c, &write, NULL), 0);
    struct page page = do_scan(c, 2, &all, MESSAGE_OWN);
    assert_string_equal(page.keys, "a b");
    struct page digest = do_scan(c, 2, &all, MESSAGE_OWN | MESSAGE_DIGEST);
    assert_int_equal(digest.n, 0);
    assert_memory_equal(digest.digest, page.digest, sizeof page.digest);
    cluster_free(c);
}

static void a_scan_shows_parts_of_values_and_compares_whole_pages(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const struct scan_request all = {0}, part = {.value_at = 2, .value_max = 3};
    put(c, "a", "abcdefgh");
    cluster_advance(c, 300); /* everywhere */
    assert_string_equal(do_scan(c, 1, &part, 0).value, "cde");
    assert_string_equal(do_scan(c, 1, &part, MESSAGE_STRICT).value, "cde");
    struct page page = do_scan(c, 2, &part, MESSAGE_OWN);
    assert_string_equal(page.value, "cde");
    struct page whole = do_scan(c, 3, &all, MESSAGE_OWN);
    assert_string_equal(whole.value, "abcdefgh");
    assert_memory_equal(page.digest, whole.digest, sizeof page.digest);
    struct page digest = do_scan(c, 3, &part, MESSAGE_OWN | MESSAGE_DIGEST);
    assert_memory_equal(page.digest, digest.digest, sizeof page.digest);
    cluster_free(c);
    c = lagging("a", "a"); /* node 1 has "old", the others "new" */
    const struct scan_request end = {.value_at = 1, .value_max = 9};
    assert_string_equal(do_scan(c, 1, &end, MESSAGE_OWN).value, "ld");
    assert_string_equal(do_scan(c, 1, &end, 0).value, "ew");
    cluster_free(c);
}

static void other_partitions_do_not_show(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "a", "x");
    const char *others[] = {"o", "pp", "q", "", "p\xff"};
    for (size_t i = 0; i < 5; i++) {
        struct write write = {.key = others[i], .value = "x"};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
    assert_string_equal(do_scan(c, 1, &(struct scan_request){0}, 0).keys, "a");
    cluster_free(c);
}

static void pages_cover_everything_once_past_tombstones(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const char *names = "abcdefghij";
    char name[2] = {0};
    for (const char *at = names; *at != 0; at++) {
        name[0] = *at;
        put(c, name, "x");
    }
    for (const char *at = "bcdefh"; *at != 0; at++) {
        name[0] = *at;
        put(c, name, NULL);
    }
    for (uint32_t rows_max = 1; rows_max < 12; rows_max++) {
        struct page page = {.more = true};
        char all[64] = "";
        for (int pages = 0; page.more; pages++) {
            struct scan_request request = {.after = bytes_of_string(page.cursor),
                                           .rows_max = rows_max};
            char after[16];
            strcpy(after, page.cursor);
            request.after = bytes_of_string(after);
            page = do_scan(c, 1, &request, 0);
            assert_int_equal(page.status, 0);
            assert_true(page.n <= rows_max && pages < 11);
            strcat(all, page.keys);
            strcat(all, page.n > 0 ? " " : "");
        }
        assert_string_equal(all, "a g i j ");
    }
    cluster_free(c);
}

static void a_range_has_an_inclusive_start_and_an_exclusive_end(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "a", "x");
    put(c, "b", "x");
    put(c, "c", "x");
    struct scan_request range = {.first = bytes_of_string("b"), .before = bytes_of_string("c")};
    assert_string_equal(do_scan(c, 1, &range, 0).keys, "b");
    range.after = bytes_of_string("a");
    assert_string_equal(do_scan(c, 1, &range, 0).keys, "b");
    range.after = bytes_of_string("b");
    assert_string_equal(do_scan(c, 1, &range, 0).keys, "");
    cluster_free(c);
}

static void a_page_never_ends_at_the_empty_sort_key(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "", "x");
    put(c, "a", "x");
    put(c, "b", "x");
    struct page page = do_scan(c, 1, &(struct scan_request){.rows_max = 1}, 0);
    assert_int_equal(page.status, 0);
    assert_string_equal(page.keys, " a");
    assert_string_equal(page.cursor, "a");
    assert_true(page.more);
    struct scan_request next = {.rows_max = 1, .after = bytes_of_string("a")};
    page = do_scan(c, 1, &next, 0);
    assert_string_equal(page.keys, "b");
    assert_false(page.more);
    cluster_free(c);
}

static void the_rows_of_a_page_are_of_one_moment(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    put(c, "", "x");
    put(c, "a", "x");
    put(c, "b", "x");
    do_scan(c, 1, &(struct scan_request){0}, 0); /* all but the rows is in memory now */
    cluster_pause_disk(c, 1, true);
    struct buffer payload = {0};
    scan_request_encode(&(struct scan_request){.rows_max = 1, .bytes_max = 1000}, &payload);
    struct message message = {.type = MESSAGE_SCAN,
                              .flags = MESSAGE_KEYS_ONLY,
                              .budget_ms = 3000,
                              .key = bytes_of_string("p"),
                              .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(c, 1, &message);
    cluster_run(c);
    struct row_op ops[2] = {{.kind = ROW_DELETE, .condition = ROW_OVERWRITE},
                            {.kind = ROW_DELETE, .condition = ROW_OVERWRITE}};
    ops[1].sort_key = bytes_of_string("a");
    uint64_t batch = ask_batch(c, &(struct write){0}, ops, 2);
    cluster_run(c); /* it waits behind the page's first scan */
    cluster_pause_disk(c, 1, false);
    assert_int_equal(wait_for(c, batch), 0);
    assert_int_equal(wait_for(c, ticket), 0);
    struct scan_reply reply;
    struct page page = {0};
    assert_int_equal(scan_reply_decode(cluster_answer(c, ticket).payload, &reply), 0);
    look(&page, &reply);
    scan_reply_release(&reply);
    assert_true(strcmp(page.keys, " a") == 0 || page.n == 0);
    buffer_release(&payload);
    cluster_free(c);
}

static void bytes_bound_a_page_but_one_row_always_comes(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "a", "0123456789012345678901234567890123456789");
    put(c, "b", "0123456789012345678901234567890123456789");
    struct page page = do_scan(c, 1, &(struct scan_request){.bytes_max = 1}, 0);
    assert_string_equal(page.keys, "a");
    assert_true(page.more);
    cluster_free(c);
}

static void a_lagging_coordinator_lists_what_the_quorum_has(void **state) {
    (void)state;
    struct cluster *c = lagging("ace", "bdf");
    struct page page = do_scan(c, 1, &(struct scan_request){0}, 0);
    assert_string_equal(page.keys, "a b c d e f");
    assert_int_equal(page.tally.n_live, 6);
    cluster_advance(c, 5);
    assert_string_equal(stored_row(c, 1, NULL, "d").value, "new");
    assert_int_equal(do_get(c, 1, NULL, "a", LEVEL_ONE).tally.n_live, 6);
    cluster_free(c);
}

static void unlike_pages_are_merged_up_to_the_smaller_end_only(void **state) {
    (void)state;
    /* Node 1 has a c e g; the others a b c d e f g. Pages of three: "a c e" and "a b c". */
    struct cluster *c = lagging("aceg", "bdf");
    struct page page = do_scan(c, 1, &(struct scan_request){.rows_max = 3}, 0);
    assert_string_equal(page.keys, "a b c");
    assert_string_equal(page.cursor, "c");
    assert_true(page.more);
    struct scan_request next = {.rows_max = 3, .after = bytes_of_string("c")};
    page = do_scan(c, 1, &next, 0);
    assert_string_equal(page.keys, "d e f");
    cluster_free(c);
}

static void rows_that_only_a_shorter_page_leaves_out_are_not_skipped(void **state) {
    (void)state;
    struct cluster *c = lagging("ace", "");
    const char *large = "a value of sixty bytes: 0123456789 0123456789 0123456789 01";
    cluster_stop(c, 1);
    for (int i = 0; i < 2; i++) {
        struct write write = {
            .sort_key = i == 0 ? "a" : "b", .value = large, .condition = ROW_OVERWRITE, .node = 2};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
    cluster_start(c, 1);
    cluster_advance(c, 300);
    /* Room for the small a, c and e of node 1, or for one large row of the others. */
    struct page page = do_scan(c, 1, &(struct scan_request){.bytes_max = 270}, 0);
    assert_string_equal(page.keys, "a");
    assert_string_equal(page.cursor, "a");
    assert_true(page.more);
    struct scan_request next = {.after = bytes_of_string("a")};
    assert_string_equal(do_scan(c, 1, &next, 0).keys, "b c e");
    cluster_free(c);
}

static void a_merged_page_moves_on_when_all_its_rows_are_dead(void **state) {
    (void)state;
    struct cluster *c = lagging("ab", "");
    cluster_stop(c, 1);
    struct write gone = {.node = 2, .sort_key = "a", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &gone, NULL), 0);
    cluster_start(c, 1);
    cluster_advance(c, 300);
    struct page page = do_scan(c, 1, &(struct scan_request){.rows_max = 1}, 0);
    assert_int_equal(page.n, 0);
    assert_string_equal(page.cursor, "a");
    assert_true(page.more);
    struct scan_request next = {.after = bytes_of_string("a")};
    assert_string_equal(do_scan(c, 1, &next, 0).keys, "b");
    cluster_free(c);
}

static void a_scan_with_values_left_out_repairs_with_values(void **state) {
    (void)state;
    struct cluster *c = lagging("a", "b");
    assert_string_equal(do_scan(c, 1, &(struct scan_request){0}, MESSAGE_KEYS_ONLY).keys, "a b");
    cluster_advance(c, 5);
    assert_string_equal(stored_row(c, 1, NULL, "b").value, "new");
    cluster_free(c);
}

static void scans_go_on_with_one_node_down_and_fail_with_two(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    put(c, "a", "x");
    cluster_crash(c, 2, false);
    assert_string_equal(do_scan(c, 1, &(struct scan_request){0}, 0).keys, "a");
    cluster_crash(c, 3, false);
    assert_int_equal(do_scan(c, 1, &(struct scan_request){0}, 0).status, ERR_UNAVAILABLE);
    assert_int_equal(do_scan(c, 1, &(struct scan_request){0}, LEVEL_ONE).status, 0);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_lists_live_rows_in_order),
        cmocka_unit_test(a_replica_asked_for_its_own_page_shows_it_with_the_digest_of_all),
        cmocka_unit_test(a_digest_with_a_pending_is_of_the_rows_beside_it_too),
        cmocka_unit_test(a_scan_shows_parts_of_values_and_compares_whole_pages),
        cmocka_unit_test(other_partitions_do_not_show),
        cmocka_unit_test(pages_cover_everything_once_past_tombstones),
        cmocka_unit_test(a_range_has_an_inclusive_start_and_an_exclusive_end),
        cmocka_unit_test(a_page_never_ends_at_the_empty_sort_key),
        cmocka_unit_test(the_rows_of_a_page_are_of_one_moment),
        cmocka_unit_test(bytes_bound_a_page_but_one_row_always_comes),
        cmocka_unit_test(a_lagging_coordinator_lists_what_the_quorum_has),
        cmocka_unit_test(unlike_pages_are_merged_up_to_the_smaller_end_only),
        cmocka_unit_test(rows_that_only_a_shorter_page_leaves_out_are_not_skipped),
        cmocka_unit_test(a_merged_page_moves_on_when_all_its_rows_are_dead),
        cmocka_unit_test(a_scan_with_values_left_out_repairs_with_values),
        cmocka_unit_test(scans_go_on_with_one_node_down_and_fail_with_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
