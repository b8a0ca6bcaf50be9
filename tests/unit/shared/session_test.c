/* session and client_store: store calls by tasks, over real sockets, to nodes of a few lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/address.h"
#include "shared/err.h"
#include "shared/session.h"
#include "shared/transport.h"

#define MS INT64_C(1000000)

enum { NODES_MAX = 3, BLOCK = 64 << 10 };

/* A node that holds one row for all keys; each of its answers is set by the test. */
struct node {
    uint16_t id;
    struct transport *transport;
    int batch_status;
    bool mute; /* hears HELLO and PING only */
    uint32_t n_requests;
    struct op_id last_op;
};

static struct loop *loop;
static char directory[64];
static struct ring ring;
static struct node nodes[NODES_MAX];
static struct session *session;
static struct bytes stored; /* the value of the row; borrowed */
static char last_log[300];

static void put_row(struct buffer *into) {
    struct sibling sibling = {.dot = {actor_of(1, 1, 1), 1}, .stamp_ns = 5, .value = stored};
    struct versions versions = {0};
    struct context seen = {0};
    versions_put(&versions, &seen, &sibling);
    versions_encode(&versions, into);
    versions_release(&versions);
}

static void answer_get(struct buffer *payload) {
    struct buffer row = {0};
    put_row(&row);
    struct get_reply reply = {.tally = {.n_live = 1}, .versions = buffer_bytes(&row)};
    get_reply_encode(&reply, payload);
    buffer_release(&row);
}

static void answer_scan(struct buffer *payload) {
    struct buffer encoded = {0};
    put_row(&encoded);
    struct scan_row row = {.sort_key = bytes_of_string("s"), .versions = buffer_bytes(&encoded)};
    struct scan_reply reply = {.n_rows = 1, .rows = &row, .cursor = row.sort_key};
    scan_reply_encode(&reply, payload);
    buffer_release(&encoded);
}

static void answer_batch(struct node *node, struct bytes request, struct buffer *payload) {
    struct batch batch;
    struct buffer row = {0};
    assert_int_equal(batch_decode(request, false, &batch), 0);
    node->last_op = batch.op;
    struct bytes context = bytes_of_string("context");
    struct batch_reply reply = {.n_contexts = 1, .contexts = &context};
    if (node->batch_status == ERR_CONFLICT) {
        put_row(&row);
        reply = (struct batch_reply){.current = buffer_bytes(&row)};
    }
    batch_reply_encode(&reply, payload);
    buffer_release(&row);
    batch_release(&batch);
}

static void answer_hello(const struct node *node, struct buffer *payload) {
    struct buffer encoded = {0};
    ring_encode(&ring, &encoded);
    struct hello_reply reply = {.node = node->id,
                                .credit_bytes = transport_credit(node->transport),
                                .ring = buffer_bytes(&encoded)};
    hello_reply_encode(&reply, payload);
    buffer_release(&encoded);
}

static void node_received(void *context, const struct endpoint *from,
                          const struct message *message) {
    struct node *node = context;
    struct buffer payload = {0};
    struct message reply = {.type = message->type | MESSAGE_REPLY,
                            .id = message->id,
                            .ring_version = ring.version,
                            .sender = node->id};
    bool heartbeat = message->type == MESSAGE_HELLO || message->type == MESSAGE_PING;
    node->n_requests += !heartbeat;
    if (node->mute && !heartbeat) {
        return;
    }
    switch (message->type) {
    case MESSAGE_HELLO:
        answer_hello(node, &payload);
        break;
    case MESSAGE_GET:
        answer_get(&payload);
        break;
    case MESSAGE_SCAN:
        answer_scan(&payload);
        break;
    case MESSAGE_BATCH:
        answer_batch(node, message->payload, &payload);
        reply.status = (uint8_t)-node->batch_status;
        break;
    default:
        break;
    }
    reply.payload = buffer_bytes(&payload);
    transport_send(node->transport, from, &reply);
    buffer_release(&payload);
}

static void node_link_down(void *context, uint16_t link) {
    (void)context;
    (void)link;
}

static void node_log(void *context, int level, const char *line) {
    (void)context;
    (void)level;
    (void)line;
}

static void node_start(struct node *node, const char *address) {
    struct transport_config config = {.role = TRANSPORT_TO_PEER,
                                      .self_node = node->id,
                                      .received = node_received,
                                      .link_down = node_link_down,
                                      .log = node_log,
                                      .context = node};
    assert_int_equal(transport_new(loop, &config, &node->transport), 0);
    assert_int_equal(transport_listen(node->transport, address), 0);
}

static void node_end(struct node *node) {
    transport_free(node->transport);
    node->transport = NULL;
}

static void session_log(void *context, int level, const char *line) {
    (void)context;
    (void)level;
    snprintf(last_log, sizeof last_log, "%s", line);
}

static int set_up(void **state) {
    (void)state;
    struct ring_member members[NODES_MAX] = {0};
    memset(nodes, 0, sizeof nodes);
    stored = bytes_of_string("value");
    snprintf(directory, sizeof directory, "/tmp/ringfs-session.XXXXXX");
    assert_non_null(mkdtemp(directory));
    loop = loop_new();
    for (uint16_t i = 0; i < NODES_MAX; i++) {
        members[i].id = nodes[i].id = (uint16_t)(i + 1);
        members[i].weight = RING_WEIGHT_DEFAULT;
        snprintf(members[i].address, RING_ADDRESS_MAX, "ipc://%s/n%u", directory, i + 1u);
        node_start(&nodes[i], members[i].address);
    }
    assert_int_equal(ring_build(1, 16, 3, members, NODES_MAX, &ring), 0);
    struct session_config config = {
        .addresses = members[0].address, .wait_ns = 5000 * MS, .log = session_log};
    assert_int_equal(session_new(loop, &config, &session), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    session_free(session);
    for (int i = 0; i < NODES_MAX; i++) {
        transport_free(nodes[i].transport);
    }
    loop_free(loop);
    ring_release(&ring);
    return rmdir(directory);
}

static struct node *replica(const char *key, int k) {
    uint16_t slice = ring_slice(&ring, bytes_of_string(key));
    return &nodes[ring_preference(&ring, slice)[k]];
}

/* Waits until the session has heard of all nodes. */
static int wait_nodes(void *context) {
    (void)context;
    struct client_node seen[NODES_MAX];
    uint32_t n_alive = 0;
    while (n_alive < NODES_MAX) {
        int status = task_sleep(MS);
        if (status != 0) {
            return status;
        }
        n_alive = 0;
        uint32_t n = client_nodes(session_client(session), seen, NODES_MAX);
        for (uint32_t i = 0; i < n && i < NODES_MAX; i++) {
            n_alive += seen[i].alive;
        }
    }
    return 0;
}

static void run(int (*fn)(void *context), void *context) {
    assert_int_equal(session_run(session, wait_nodes, NULL, session_now_ns(session) + 5000 * MS),
                     0);
    assert_int_equal(session_run(session, fn, context, session_now_ns(session) + 5000 * MS), 0);
}

static int batch_one(struct store_outcome *ret) {
    struct store *store = session_store(session);
    struct row_op op = {
        .kind = ROW_PUT, .condition = ROW_IF_MATCH, .value = bytes_of_string("new")};
    struct batch batch = {.op = store->op_id(store->self), .n = 1, .ops = &op};
    return store->batch(store->self, bytes_of_string("k"), &batch, 0, ret);
}

/* ---- */

static int every_call(void *context) {
    (void)context;
    struct store *store = session_store(session);
    struct store_row row = {0};
    struct store_page page = {0};
    struct store_outcome outcome = {0};
    struct scan_request request = {.rows_max = 10, .bytes_max = 1000};
    assert_int_equal(store->get(store->self, bytes_of_string("k"), bytes_of_string("s"), 0, &row),
                     0);
    assert_true(bytes_equal(versions_winner(&row.versions)->value, bytes_of_string("value")));
    assert_int_equal(row.tally.n_live, 1);
    store_row_release(&row);
    assert_int_equal(store->scan(store->self, bytes_of_string("k"), &request, 0, &page), 0);
    assert_int_equal(page.reply.n_rows, 1);
    assert_true(bytes_equal(page.reply.rows[0].sort_key, bytes_of_string("s")));
    store_page_release(&page);
    assert_int_equal(batch_one(&outcome), 0);
    assert_true(bytes_equal(outcome.reply.contexts[0], bytes_of_string("context")));
    store_outcome_release(&outcome);
    assert_int_equal(batch_one(NULL), 0);
    return 0;
}

static void each_call_of_the_store_comes_back_with_what_the_node_said(void **state) {
    (void)state;
    run(every_call, NULL);
    assert_int_equal(replica("k", 0)->n_requests, 4); /* straight to the owner */
}

static int conflict(void *context) {
    (void)context;
    struct store_outcome outcome = {0};
    struct versions current = {0};
    assert_int_equal(batch_one(&outcome), ERR_CONFLICT);
    assert_int_equal(versions_decode(outcome.reply.current, &current), 0);
    assert_true(bytes_equal(versions_winner(&current)->value, bytes_of_string("value")));
    versions_release(&current);
    store_outcome_release(&outcome);
    return 0;
}

static void a_conflict_brings_the_row_it_met(void **state) {
    (void)state;
    replica("k", 0)->batch_status = ERR_CONFLICT;
    run(conflict, NULL);
}

static int batch_twice(void *context) {
    (void)context;
    return batch_one(NULL);
}

static void a_write_asked_of_two_nodes_keeps_its_operation_id(void **state) {
    (void)state;
    replica("k", 0)->batch_status = ERR_UNKNOWN;
    run(batch_twice, NULL);
    assert_int_equal(replica("k", 1)->n_requests, 1);
    assert_true(op_id_equal(&replica("k", 0)->last_op, &replica("k", 1)->last_op));
}

static int get_block(void *context) {
    (void)context;
    struct store *store = session_store(session);
    struct store_row row = {0};
    int status =
        store->get(store->self, bytes_of_string("k"), bytes_of_string("s"), STORE_LARGE, &row);
    if (status == 0) {
        assert_int_equal(versions_winner(&row.versions)->value.size, BLOCK);
        store_row_release(&row);
    }
    return status;
}

static int many_blocks(void *context) {
    (void)context;
    struct task_group group = {0};
    for (int i = 0; i < 300; i++) {
        task_group_run(&group, get_block, NULL);
    }
    task_group_wait(&group, 0);
    return group.status;
}

static void many_large_answers_at_once_arrive_without_one_being_asked_twice(void **state) {
    (void)state;
    uint8_t *block = calloc(1, BLOCK);
    struct client_counters counters;
    stored = bytes_of(block, BLOCK);
    run(many_blocks, NULL);
    client_counters(session_client(session), &counters);
    assert_int_equal(counters.retries, 0);
    assert_int_equal(counters.requests, 300);
    free(block);
}

static void a_node_that_ends_is_replaced_by_the_next_replica(void **state) {
    (void)state;
    run(every_call, NULL);
    node_end(replica("k", 0));
    int64_t begun_ns = session_now_ns(session);
    assert_int_equal(session_run(session, batch_twice, NULL, begun_ns + 5000 * MS), 0);
    assert_int_equal(replica("k", 1)->n_requests, 1);
    assert_true(session_now_ns(session) - begun_ns < CLIENT_ATTEMPT_MS * MS);
}

static struct task *waiting;

static int get_mute(void *context) {
    waiting = task_self();
    *(int *)context = get_block(NULL);
    return 0;
}

static void a_call_ends_at_its_tasks_deadline(void **state) {
    (void)state;
    int status = 1;
    run(every_call, NULL);
    for (int i = 0; i < NODES_MAX; i++) {
        nodes[i].mute = true;
    }
    session_run(session, get_mute, &status, session_now_ns(session) + 30 * MS);
    assert_int_equal(status, ERR_TIMEOUT);
}

static void interrupt_waiting(void *context) {
    (void)context;
    task_interrupt(waiting);
}

static void a_call_ends_when_its_task_is_interrupted(void **state) {
    (void)state;
    int status = 1;
    run(every_call, NULL);
    for (int i = 0; i < NODES_MAX; i++) {
        nodes[i].mute = true;
    }
    struct timer timer = {.fire = interrupt_waiting};
    timers_set(loop_timers(loop), &timer, session_now_ns(session) + 10 * MS);
    session_run(session, get_mute, &status, 0);
    assert_int_equal(status, ERR_INTERRUPTED);
}

static void a_bad_address_is_refused_with_a_sentence(void **state) {
    (void)state;
    static const char *const bad[] = {"", " ,\n", "ipc://relative", "http://x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct session *other = NULL;
        struct session_config config = {.addresses = bad[i], .log = session_log};
        last_log[0] = '\0';
        assert_int_equal(session_new(loop, &config, &other), ERR_INVALID);
        assert_string_not_equal(last_log, "");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(each_call_of_the_store_comes_back_with_what_the_node_said),
        TEST(a_conflict_brings_the_row_it_met),
        TEST(a_write_asked_of_two_nodes_keeps_its_operation_id),
        TEST(many_large_answers_at_once_arrive_without_one_being_asked_twice),
        TEST(a_node_that_ends_is_replaced_by_the_next_replica),
        TEST(a_call_ends_at_its_tasks_deadline),
        TEST(a_call_ends_when_its_task_is_interrupted),
        TEST(a_bad_address_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
