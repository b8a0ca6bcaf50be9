/* bounds: what a node does when more is asked of it than it takes on at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/core/reap.h"
#include "node/core/turn.h"
#include "node/core/watch.h"
#include "shared/err.h"
#include "shared/watch.h"
#include "tests/lib/rows_of.h"

/* ---- what replicas and clients ask ---- */

static uint64_t busy(struct cluster *c) {
    return cluster_stat(c, 1, "busy");
}

/* A peer reads row `n`, which is in no cache. */
static void peer_reads(struct cluster *c, uint32_t n) {
    struct message read = {.type = MESSAGE_READ,
                           .id = n + 1,
                           .budget_ms = 1000,
                           .key = bytes_of_string("p"),
                           .payload = bytes_of(&n, sizeof n)};
    cluster_inject(c, 2, 1, &read);
}

static void more_work_for_peers_than_the_limit_is_told_busy_and_later_taken(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 1, true);
    uint64_t before = busy(c);
    for (uint32_t i = 0; i < NODE_APPLIES_MAX + 3; i++) {
        peer_reads(c, i);
    }
    cluster_run(c);
    assert_int_equal(busy(c) - before, 3);
    assert_int_equal(cluster_stat(c, 1, "works_in_flight"), NODE_APPLIES_MAX);
    cluster_pause_disk(c, 1, false);
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 1, "works_in_flight"), 0);
    peer_reads(c, NODE_APPLIES_MAX + 3);
    cluster_run(c);
    assert_int_equal(busy(c) - before, 3);
    cluster_free(c);
}

/* Pages count with the bytes that they may hold. */
static void peer_scans(struct cluster *c, uint64_t id) {
    struct scan_request request = {.rows_max = 10, .bytes_max = SCAN_BYTES_MAX};
    struct buffer payload = {0};
    scan_request_encode(&request, &payload);
    struct message scan = {.type = MESSAGE_READ_SCAN,
                           .id = id,
                           .budget_ms = 1000,
                           .key = bytes_of_string("p"),
                           .payload = buffer_bytes(&payload)};
    cluster_inject(c, 2, 1, &scan);
    buffer_release(&payload);
}

static void more_bytes_than_the_limit_are_told_busy_and_later_taken(void **state) {
    (void)state;
    enum { PAGES = NODE_INFLIGHT_BYTES_MAX / SCAN_BYTES_MAX };
    struct cluster *c = cluster_new(3, 3);
    cluster_pause_disk(c, 1, true);
    uint64_t before = busy(c);
    for (uint32_t i = 0; i < PAGES + 3; i++) {
        peer_scans(c, i + 1);
    }
    cluster_run(c);
    assert_in_range(busy(c) - before, 3, 4);
    assert_in_range(cluster_stat(c, 1, "bytes_in_flight"), NODE_INFLIGHT_BYTES_MAX / 2,
                    NODE_INFLIGHT_BYTES_MAX);
    cluster_pause_disk(c, 1, false);
    cluster_run(c);
    assert_int_equal(cluster_stat(c, 1, "bytes_in_flight"), 0);
    before = busy(c);
    peer_scans(c, PAGES + 3);
    cluster_run(c);
    assert_int_equal(busy(c), before);
    cluster_free(c);
}

/* The one of four nodes that holds no replica of "p"; its GETs reach none of the others. */
static uint16_t outsider(struct cluster *c) {
    const struct ring *ring = cluster_ring(c);
    uint16_t slice = ring_slice(ring, bytes_of_string("p"));
    uint16_t found = 0;
    for (uint16_t id = 1; id <= 4; id++) {
        if (ring_is_replica(ring, slice, id)) {
            cluster_lose(c, id, MESSAGE_GET);
        } else {
            found = id;
        }
    }
    assert_true(found != 0);
    return found;
}

static void more_requests_to_pass_on_than_the_limit_are_told_busy_and_later_taken(void **state) {
    (void)state;
    struct cluster *c = cluster_new(4, 3);
    uint16_t node = outsider(c);
    struct message get = {.type = MESSAGE_GET, .budget_ms = 1000, .key = bytes_of_string("p")};
    uint64_t last = 0;
    for (uint32_t i = 0; i <= NODE_REQUESTS_MAX; i++) {
        last = cluster_ask(c, node, &get);
    }
    cluster_run(c);
    assert_int_equal(cluster_stat(c, node, "forwards_in_flight"), NODE_REQUESTS_MAX);
    assert_true(cluster_answer(c, last).got);
    assert_int_equal(cluster_answer(c, last).status, ERR_BUSY);
    assert_false(cluster_answer(c, last - 1).got);
    cluster_advance(c, 1100);
    assert_int_equal(cluster_stat(c, node, "forwards_in_flight"), 0);
    cluster_release(c);
    assert_int_equal(cluster_call(c, node, &get).status, 0);
    cluster_free(c);
}

/* A row in a partition of its own. */
static int create(struct cluster *c, uint32_t partition) {
    char key[16];
    snprintf(key, sizeof key, "%u", partition);
    struct write write = {.key = key, .value = "v", .condition = ROW_IF_ABSENT};
    return do_write(c, &write, NULL);
}

static void of_partitions_at_rest_no_more_than_the_limit_are_remembered(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    for (uint32_t i = 0; i < PARTITIONS_MAX + 10; i++) {
        assert_int_equal(create(c, i), 0);
    }
    uint64_t touches = cluster_stat(c, 1, "touches");
    assert_int_equal(touches, PARTITIONS_MAX + 10);
    /* The latest are remembered; one that was forgotten is begun anew, with what its disk has. */
    assert_int_equal(create(c, PARTITIONS_MAX + 9), ERR_CONFLICT);
    assert_int_equal(cluster_stat(c, 1, "touches"), touches);
    assert_int_equal(create(c, 0), ERR_CONFLICT);
    assert_int_equal(cluster_stat(c, 1, "touches"), touches + 1);
    cluster_free(c);
}

static uint64_t proposal_bytes(struct cluster *c) {
    uint64_t bytes = 0;
    for (uint16_t id = 1; id <= 3; id++) {
        bytes += cluster_stat(c, id, "proposal_bytes");
    }
    return bytes;
}

static void a_partition_at_rest_keeps_nothing_of_what_it_proposed(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    char value[4096];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = 0;
    struct write write = {.node = 1, .value = value, .condition = ROW_IF_ABSENT};
    cluster_hold(c, 0, MESSAGE_PROPOSE);
    uint64_t ticket = ask_write(c, &write);
    cluster_advance(c, 10);
    assert_true(proposal_bytes(c) >= strlen(value)); /* while it is out */
    cluster_release(c);
    assert_int_equal(wait_for(c, ticket), 0);
    cluster_advance(c, 10);
    assert_int_equal(proposal_bytes(c), 0);
    cluster_free(c);
}

/* ---- tombstones ---- */

enum { STALE_NS = 1000 };

/* How many of `n` tombstones from `first` on are noted at `now_ns`, and so known a little later. */
static uint32_t note(struct reap_notes *notes, uint64_t first, uint32_t n, int64_t now_ns) {
    uint32_t noted = 0;
    for (uint64_t id = first; id < first + n; id++) {
        reap_notes_since(notes, id * 0x9e3779b97f4a7c15ull, now_ns, STALE_NS);
    }
    for (uint64_t id = first; id < first + n; id++) {
        noted +=
            reap_notes_since(notes, id * 0x9e3779b97f4a7c15ull, now_ns + 1, STALE_NS) <= now_ns;
    }
    return noted;
}

static void tombstones_that_nobody_asks_about_any_more_make_room_for_others(void **state) {
    (void)state;
    struct reap_notes *notes = reap_notes_new();
    assert_int_equal(note(notes, 1, REAP_NOTED_MAX / 2, 10), REAP_NOTED_MAX / 2);
    note(notes, REAP_NOTED_MAX, 4 * REAP_NOTED_MAX, 20);
    assert_int_equal(note(notes, 1, REAP_NOTED_MAX / 2, 30), REAP_NOTED_MAX / 2);
    assert_int_equal(note(notes, 1u << 30, 1000, 40), 0);
    assert_int_equal(note(notes, 1u << 30, 1000, 40 + STALE_NS), 1000);
    reap_notes_free(notes);
}

/* ---- watches ---- */

/* Asks node 1: the status; what it says to *ret when that is 0. */
static int watch(struct cluster *c, const struct watch_request *request, struct watch_reply *ret) {
    struct buffer payload = {0};
    watch_request_encode(request, &payload);
    struct message message = {
        .type = MESSAGE_WATCH, .budget_ms = 1500, .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(c, 1, &message);
    cluster_run(c);
    buffer_release(&payload);
    struct cluster_answer answer = cluster_answer(c, ticket);
    assert_true(answer.got);
    if (answer.status == 0) {
        assert_int_equal(watch_reply_decode(answer.payload, ret), 0);
    }
    return answer.status;
}

static void a_watcher_too_many_is_refused_until_another_one_has_gone(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    struct watch_reply reply;
    struct watch_request request = {.turn = 1, .n_begun = 1, .begun = {bytes_of_string("p")}};
    for (uint64_t writer = 1; writer <= WATCH_CLIENTS_MAX; writer++) {
        request.writer = writer;
        assert_int_equal(watch(c, &request, &reply), 0);
    }
    request.writer = WATCH_CLIENTS_MAX + 1;
    assert_int_equal(watch(c, &request, &reply), ERR_NO_SPACE);
    assert_int_equal(cluster_stat(c, 1, "watch_clients"), WATCH_CLIENTS_MAX);
    cluster_advance(c, WATCH_FORGET_MS + 2 * 50);
    assert_int_equal(watch(c, &request, &reply), 0);
    assert_int_equal(reply.n_begun, 1);
    cluster_free(c);
}

/* Partitions `first` to `first + n - 1` of the watcher that `reply` is of: how many had room. */
static uint16_t begin_more(struct cluster *c, uint32_t first, uint16_t n,
                           struct watch_reply *reply) {
    char keys[WATCH_NAMED_MAX][16];
    struct watch_request request = {.writer = 7, .turn = first + 1, .life = reply->life};
    request.n_begun = n;
    for (uint16_t i = 0; i < n; i++) {
        snprintf(keys[i], sizeof keys[i], "%u", first + i);
        request.begun[i] = bytes_of_string(keys[i]);
    }
    assert_int_equal(watch(c, &request, reply), 0);
    return reply->n_begun;
}

static void partitions_that_find_no_room_are_not_watched_and_the_watcher_is_told(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    struct watch_reply reply = {0};
    uint32_t n = 0;
    for (; n < WATCH_PARTITIONS_MAX; n += WATCH_NAMED_MAX) {
        assert_int_equal(begin_more(c, n, WATCH_NAMED_MAX, &reply), WATCH_NAMED_MAX);
    }
    assert_int_equal(begin_more(c, n, 5, &reply), 0);
    assert_int_equal(cluster_stat(c, 1, "watch_partitions"), WATCH_PARTITIONS_MAX);
    struct watch_request end = {.writer = 7, .turn = n + 10, .life = reply.life, .n_ended = 1};
    end.ended[0] = bytes_of_string("0");
    assert_int_equal(watch(c, &end, &reply), 0);
    assert_int_equal(begin_more(c, n + 20, 2, &reply), 1);
    cluster_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_work_for_peers_than_the_limit_is_told_busy_and_later_taken),
        cmocka_unit_test(more_bytes_than_the_limit_are_told_busy_and_later_taken),
        cmocka_unit_test(more_requests_to_pass_on_than_the_limit_are_told_busy_and_later_taken),
        cmocka_unit_test(of_partitions_at_rest_no_more_than_the_limit_are_remembered),
        cmocka_unit_test(a_partition_at_rest_keeps_nothing_of_what_it_proposed),
        cmocka_unit_test(tombstones_that_nobody_asks_about_any_more_make_room_for_others),
        cmocka_unit_test(a_watcher_too_many_is_refused_until_another_one_has_gone),
        cmocka_unit_test(partitions_that_find_no_room_are_not_watched_and_the_watcher_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
