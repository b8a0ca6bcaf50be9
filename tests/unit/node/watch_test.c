/* watch: what a client hears of others' changes, from real nodes, whatever is lost on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/client_watch.h"
#include "shared/err.h"
#include "shared/watch.h"
#include "tests/lib/dice.h"
#include "tests/lib/rows_of.h"

/* ---- one node, asked by hand ---- */

static uint64_t ask_watch(struct cluster *c, uint16_t node, const struct watch_request *request) {
    struct buffer payload = {0};
    watch_request_encode(request, &payload);
    struct message message = {
        .type = MESSAGE_WATCH, .budget_ms = 1500, .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(c, node, &message);
    cluster_run(c);
    buffer_release(&payload);
    return ticket;
}

static struct watch_reply told(struct cluster *c, uint64_t ticket) {
    struct cluster_answer answer = cluster_answer(c, ticket);
    struct watch_reply reply;
    assert_true(answer.got && answer.n == 1);
    assert_int_equal(answer.status, 0);
    assert_int_equal(watch_reply_decode(answer.payload, &reply), 0);
    return reply;
}

static struct watch_request begin_request(const char *partition) {
    return (struct watch_request){
        .writer = 7, .turn = 1, .n_begun = 1, .begun = {bytes_of_string(partition)}};
}

/* Begins at node 1 and answers what names the watcher there. */
static uint64_t begin(struct cluster *c, const char *partition) {
    struct watch_request request = begin_request(partition);
    struct watch_reply reply = told(c, ask_watch(c, 1, &request));
    assert_int_equal(reply.n_begun, 1);
    assert_int_equal(reply.n_changes, 0);
    assert_true(reply.life != 0);
    return reply.life;
}

static void put(struct cluster *c, const char *partition, const char *sort, const char *value) {
    struct write write = {
        .key = partition, .sort_key = sort, .value = value, .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &write, NULL), 0);
}

static void a_change_is_told_at_once_and_again_until_it_was_heard(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t life = begin(c, "p");
    struct watch_request request = {.writer = 7, .turn = 2, .life = life};
    uint64_t waiting = ask_watch(c, 1, &request);
    assert_false(cluster_answer(c, waiting).got);
    put(c, "p", "a", "1");
    put(c, "other", "a", "1");
    for (int i = 0; i < 2; i++) {
        struct watch_reply reply = told(c, waiting);
        struct watch_change change;
        assert_int_equal(reply.n_changes, 1);
        assert_int_equal(reply.first, 1);
        assert_true(watch_next(&reply.changes, &change));
        assert_true(bytes_equal(change.partition_key, bytes_of_string("p")));
        assert_true(bytes_equal(change.sort_key, bytes_of_string("a")));
        request.turn++;
        waiting = ask_watch(c, 1, &request); /* says that it has heard of none */
    }
    request.turn++;
    request.heard = 1;
    waiting = ask_watch(c, 1, &request);
    assert_false(cluster_answer(c, waiting).got);
    cluster_advance(c, WATCH_HOLD_MS + 2 * 50);
    assert_int_equal(told(c, waiting).n_changes, 0);
    cluster_free(c);
}

static void neither_own_writes_nor_what_shows_nothing_new_is_told(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    uint64_t life = begin(c, "p");
    struct op_id op = op_of(9);
    bytes_store_u64(op.bytes + 8, 7);
    struct row_op row = {
        .kind = ROW_PUT, .sort_key = bytes_of_string("a"), .value = bytes_of_string("mine")};
    struct batch batch = {.op = op, .n = 1, .ops = &row};
    struct buffer payload = {0};
    batch_encode(&batch, &payload);
    struct message message = {.type = MESSAGE_BATCH,
                              .budget_ms = 3000,
                              .key = bytes_of_string("p"),
                              .payload = buffer_bytes(&payload)};
    assert_int_equal(cluster_call(c, 1, &message).status, 0);
    assert_int_equal(cluster_call(c, 2, &message).status, 0); /* the same once more */
    cluster_advance(c, 100);
    assert_int_equal(cluster_stat(c, 1, "watch_changes"), 0);
    struct write remove = {.sort_key = "never was", .condition = ROW_OVERWRITE};
    assert_int_equal(do_write(c, &remove, NULL), 0);
    assert_int_equal(cluster_stat(c, 1, "watch_changes"), 0);
    remove.sort_key = "a";
    assert_int_equal(do_write(c, &remove, NULL), 0);
    cluster_advance(c, 100);
    assert_int_equal(cluster_stat(c, 1, "watch_changes"), 1);
    (void)life;
    buffer_release(&payload);
    cluster_free(c);
}

static void a_conditional_write_is_told_once(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    begin(c, "p");
    for (int i = 0; i < 3; i++) {
        char sort[2] = {(char)('a' + i), '\0'};
        struct write write = {.sort_key = sort, .value = "1", .condition = ROW_IF_ABSENT};
        assert_int_equal(do_write(c, &write, NULL), 0);
    }
    cluster_advance(c, 200);
    assert_int_equal(cluster_stat(c, 1, "watch_changes"), 3);
    cluster_free(c);
}

/* A partition whose first replica, its steward, is not this node. */
static const char *key_not_of(const struct cluster *c, uint16_t node) {
    static const char *const keys[] = {"p", "q", "r", "s", "t", "u", "v", "w"};
    const struct ring *ring = cluster_ring(c);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint16_t slice = ring_slice(ring, bytes_of_string(keys[i]));
        if (ring->members[ring_preference(ring, slice)[0]].id != node) {
            return keys[i];
        }
    }
    return NULL;
}

/* To a watcher it would look as if somebody else had changed the row: it would drop what it has. */
static void a_pending_that_was_replaced_already_is_not_told_when_it_goes(void **state) {
    (void)state;
    struct cluster *c = cluster_new(3, 3);
    const char *key = key_not_of(c, 1);
    begin(c, key);
    cluster_hold(c, 1, MESSAGE_CHOSEN);
    struct bytes context;
    struct write write = {
        .key = key, .sort_key = "a", .value = "1", .condition = ROW_IF_ABSENT, .node = 2};
    assert_int_equal(do_write(c, &write, &context), 0);
    cluster_wait_for_later(c);
    write.condition = ROW_ANY;
    write.seen = context;
    write.value = "2";
    assert_int_equal(do_write(c, &write, NULL), 0);
    cluster_advance(c, 100);
    assert_string_equal(stored_row(c, 1, key, "a").value, "2");
    uint64_t before = cluster_stat(c, 1, "watch_changes");
    cluster_release(c);
    cluster_advance(c, 100);
    assert_int_equal(cluster_stat(c, 1, "watch_changes"), before);
    cluster_free(c);
}

static void who_does_not_fetch_is_forgotten_and_told_so(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    uint64_t life = begin(c, "p");
    for (int i = 0; i < 1100; i++) {
        char value[8];
        snprintf(value, sizeof value, "%d", i);
        put(c, "p", "a", value);
    }
    assert_int_equal(cluster_stat(c, 1, "watch_clients"), 0);
    assert_int_equal(cluster_stat(c, 1, "watch_partitions"), 0);
    struct watch_request request = {.writer = 7, .turn = 2, .life = life};
    assert_int_equal(told(c, ask_watch(c, 1, &request)).life, 0);
    cluster_free(c);
}

static void a_lease_ends_and_its_partitions_are_free(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    uint64_t life = begin(c, "p");
    cluster_advance(c, WATCH_FORGET_MS + 2 * 50);
    assert_int_equal(cluster_stat(c, 1, "watch_partitions"), 0);
    struct watch_request request = {.writer = 7, .turn = 2, .life = life};
    assert_int_equal(told(c, ask_watch(c, 1, &request)).life, 0);
    cluster_free(c);
}

/* Much later a doubled message begins a watcher that nobody asked for. */
static void a_request_that_comes_twice_is_not_taken_for_what_was_begun_since(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    uint64_t life = begin(c, "p");
    cluster_advance(c, WATCH_FORGET_MS + 2 * 50);
    struct watch_request late = begin_request("p");
    assert_true(told(c, ask_watch(c, 1, &late)).life != life);
    struct watch_request request = {.writer = 7, .turn = 2, .life = life};
    assert_int_equal(told(c, ask_watch(c, 1, &request)).life, 0);
    cluster_free(c);
}

static void what_is_malformed_is_refused(void **state) {
    (void)state;
    struct cluster *c = cluster_new(1, 1);
    struct watch_request request = begin_request("p");
    struct buffer payload = {0};
    watch_request_encode(&request, &payload);
    for (size_t size = 0; size < payload.size; size++) {
        struct message message = {
            .type = MESSAGE_WATCH, .budget_ms = 1500, .payload = bytes_of(payload.data, size)};
        assert_int_equal(cluster_call(c, 1, &message).status, ERR_INVALID);
    }
    assert_int_equal(cluster_stat(c, 1, "watch_clients"), 0);
    buffer_release(&payload);
    cluster_free(c);
}

/* ---- a client over real nodes ---- */

enum { ASKED_MAX = 1 << 16, ROWS = 4 };

struct asked {
    uint64_t ticket, id;
    uint16_t link;
    uint8_t type;
};

/* A client that has cached the rows "0" to "3" of "p" while they were watched. */
struct reader_side {
    struct cluster *c;
    struct env env;
    struct timers timers;
    struct client *client;
    struct client_watch *watch;
    int64_t now_ns;
    struct dice dice;
    uint16_t link_node[32];
    struct asked *asked;
    uint32_t n_asked, n_seen;
    bool live;
    bool cached[ROWS];
    char value[ROWS][64];
    uint32_t n_changed, n_lost;
};

static int64_t side_now_ns(void *self) {
    return ((struct reader_side *)self)->now_ns;
}

static uint64_t side_wall_ns(void *self) {
    return (uint64_t)side_now_ns(self) + 1;
}

static uint64_t side_random(void *self) {
    return dice_throw(&((struct reader_side *)self)->dice);
}

static void side_connect(void *self, uint16_t link, const char *address) {
    struct reader_side *side = self;
    const struct ring *ring = cluster_ring(side->c);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        if (strcmp(ring->members[i].address, address) == 0) {
            side->link_node[link] = ring->members[i].id;
        }
    }
}

static void side_link(void *self, uint16_t link) {
    (void)self, (void)link;
}

static void side_log(void *self, int level, const char *line) {
    (void)self, (void)level, (void)line;
}

static int side_send(void *self, const struct endpoint *to, const struct message *message) {
    struct reader_side *side = self;
    assert_true(side->n_asked < ASKED_MAX);
    side->asked[side->n_asked++] =
        (struct asked){.ticket = cluster_ask(side->c, side->link_node[to->node], message),
                       .id = message->id,
                       .link = to->node,
                       .type = message->type};
    return 0;
}

static void side_changed(void *context, struct bytes partition_key, struct bytes sort_key) {
    struct reader_side *side = context;
    assert_true(bytes_equal(partition_key, bytes_of_string("p")) && sort_key.size == 1);
    side->cached[sort_key.data[0] - '0'] = false;
    side->n_changed++;
}

static void side_live(void *context, struct bytes partition_key, bool live) {
    struct reader_side *side = context;
    assert_true(bytes_equal(partition_key, bytes_of_string("p")));
    assert_true(live != side->live);
    side->live = live;
    memset(side->cached, 0, sizeof side->cached);
    side->n_lost += live ? 0 : 1;
}

static void side_answers(struct reader_side *side) {
    for (uint32_t i = side->n_seen; i < side->n_asked; i++) {
        struct asked *asked = &side->asked[i];
        struct cluster_answer answer = {0};
        if (asked->ticket != 0) {
            answer = cluster_answer(side->c, asked->ticket);
        }
        if (answer.got) {
            struct endpoint from = {.kind = ENDPOINT_NODE, .node = asked->link};
            struct message message = {.type = asked->type | MESSAGE_REPLY,
                                      .status = (uint8_t)-answer.status,
                                      .id = asked->id,
                                      .ring_version = 1,
                                      .sender = side->link_node[asked->link],
                                      .payload = answer.payload};
            asked->ticket = 0;
            client_receive(side->client, &from, &message);
        }
    }
    while (side->n_seen < side->n_asked && side->asked[side->n_seen].ticket == 0) {
        side->n_seen++;
    }
}

static void side_advance(struct reader_side *side, int ms) {
    for (int i = 0; i < ms; i++) {
        cluster_advance(side->c, 1);
        side->now_ns += 1000000;
        side_answers(side);
        timers_run(&side->timers, side->now_ns);
    }
}

static struct reader_side *side_new(void) {
    struct reader_side *side = calloc(1, sizeof *side);
    side->c = cluster_new(3, 3);
    dice_init(&side->dice, 99, DICE_CORE, 1);
    side->asked = calloc(ASKED_MAX, sizeof *side->asked);
    side->env = (struct env){side,      side_now_ns, side_wall_ns, side_random, side_connect,
                             side_link, side_link,   side_send,    side_log};
    timers_init(&side->timers);
    const char *addresses[] = {cluster_ring(side->c)->members[0].address};
    struct client_config config = {.addresses = addresses, .n_addresses = 1};
    assert_int_equal(client_new(&config, &side->env, &side->timers, &side->client), 0);
    struct client_watch_config watch = {
        .changed = side_changed, .live = side_live, .context = side};
    side->watch = client_watch_new(side->client, &watch);
    side_advance(side, 20);
    assert_int_equal(client_watch_begin(side->watch, bytes_of_string("p")), 0);
    side_advance(side, 50);
    assert_true(side->live);
    return side;
}

static void side_free(struct reader_side *side) {
    client_watch_free(side->watch);
    client_free(side->client);
    timers_release(&side->timers);
    cluster_free(side->c);
    free(side->asked);
    free(side);
}

static void a_change_reaches_the_client_within_milliseconds(void **state) {
    (void)state;
    struct reader_side *side = side_new();
    side->cached[1] = true;
    put(side->c, "p", "1", "x");
    side_advance(side, 5);
    assert_false(side->cached[1]);
    assert_true(side->live);
    client_watch_end(side->watch, bytes_of_string("p"));
    side_advance(side, 2 * WATCH_HOLD_MS);
    assert_int_equal(cluster_stat(side->c, 1, "watch_partitions"), 0);
    side_free(side);
}

static void one_dead_node_of_three_changes_nothing_two_end_it(void **state) {
    (void)state;
    struct reader_side *side = side_new();
    cluster_crash(side->c, 2, false);
    side_advance(side, 4000);
    assert_true(side->live && side->n_lost == 0);
    side->cached[1] = true;
    put(side->c, "p", "1", "x");
    side_advance(side, 5);
    assert_false(side->cached[1]);
    cluster_crash(side->c, 3, false);
    side_advance(side, CLIENT_WATCH_SILENCE_MS + 200);
    assert_false(side->live);
    cluster_start(side->c, 2);
    side_advance(side, 4000);
    assert_true(side->live);
    side_free(side);
}

/* Reads a row through a random node, as a mount does: what changes meanwhile is not kept. */
static void cache_row(struct reader_side *side, int row) {
    char sort[2] = {(char)('0' + row), '\0'};
    side->cached[row] = side->live;
    struct seen_row seen =
        do_get(side->c, (uint16_t)(1 + dice_throw(&side->dice) % 3), "p", sort, 0);
    side_answers(side);
    side->cached[row] = side->cached[row] && seen.status == 0;
    snprintf(side->value[row], sizeof side->value[row], "%s", seen.value);
}

static void fault(struct reader_side *side, int *down) {
    uint64_t roll = dice_throw(&side->dice);
    uint16_t node = (uint16_t)(1 + roll / 16 % 3);
    switch (roll % 8) {
    case 0:
        cluster_release(side->c); /* there is room for few rules */
        cluster_lose(side->c, node, MESSAGE_REPLICATE);
        break;
    case 1: /* it reaches one of three, and two do not know it for a while */
        cluster_release(side->c);
        cluster_hold(side->c, node, MESSAGE_REPLICATE);
        cluster_hold(side->c, (uint16_t)(node % 3 + 1), MESSAGE_REPLICATE);
        break;
    case 2:
        if (*down == 0) {
            cluster_crash(side->c, node, false);
            *down = node;
        }
        break;
    case 3:
        if (*down != 0) {
            cluster_start(side->c, (uint16_t)*down);
            *down = 0;
        }
        break;
    default:
        cluster_release(side->c);
        break;
    }
}

/* Whatever is lost, held back or restarted: once all is quiet, what is still cached is what
 * stands. */
static void nothing_stale_stays_cached(void **state) {
    (void)state;
    struct reader_side *side = side_new();
    uint32_t n_kept = 0;
    for (int round = 0; round < 60; round++) {
        int down = 0;
        for (int step = 0; step < 12; step++) {
            char sort[2] = {(char)('0' + dice_throw(&side->dice) % ROWS), '\0'};
            char value[24];
            snprintf(value, sizeof value, "%d.%d", round, step);
            struct write write = {.key = "p",
                                  .sort_key = sort,
                                  .value = value,
                                  .condition = ROW_OVERWRITE,
                                  .node = (uint16_t)(1 + dice_throw(&side->dice) % 3),
                                  .budget_ms = 300};
            if (write.node != down) {
                ask_write(side->c, &write);
            }
            side_advance(side, (int)(dice_throw(&side->dice) % 30));
            if (dice_throw(&side->dice) % 2 == 0 && down == 0) {
                cache_row(side, (int)(dice_throw(&side->dice) % ROWS));
            }
            fault(side, &down);
        }
        cluster_release(side->c);
        if (down != 0) {
            cluster_start(side->c, (uint16_t)down);
        }
        side_advance(side, 2500);
        for (int row = 0; row < ROWS; row++) {
            char sort[2] = {(char)('0' + row), '\0'};
            n_kept += side->cached[row] ? 1 : 0;
            struct seen_row now = do_get(side->c, 1, "p", sort, 0);
            assert_int_equal(now.status, 0);
            side_answers(side);
            if (side->cached[row]) {
                assert_string_equal(side->value[row], now.value);
            }
        }
    }
    assert_true(n_kept > 10 && side->n_changed > 100);
    side_free(side);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_told_at_once_and_again_until_it_was_heard),
        cmocka_unit_test(neither_own_writes_nor_what_shows_nothing_new_is_told),
        cmocka_unit_test(a_conditional_write_is_told_once),
        cmocka_unit_test(a_pending_that_was_replaced_already_is_not_told_when_it_goes),
        cmocka_unit_test(who_does_not_fetch_is_forgotten_and_told_so),
        cmocka_unit_test(a_lease_ends_and_its_partitions_are_free),
        cmocka_unit_test(a_request_that_comes_twice_is_not_taken_for_what_was_begun_since),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(a_change_reaches_the_client_within_milliseconds),
        cmocka_unit_test(one_dead_node_of_three_changes_nothing_two_end_it),
        cmocka_unit_test(nothing_stale_stays_cached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
