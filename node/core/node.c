/* node: one storage node as a state machine: coordinator of requests and replica of rows. */
#include "node/core/node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/core/acceptor.h"
#include "node/core/anti_entropy.h"
#include "node/core/apply.h"
#include "node/core/chosen.h"
#include "node/core/coordinator.h"
#include "node/core/coordinator_batch.h"
#include "node/core/forward.h"
#include "node/core/handoff.h"
#include "node/core/hints.h"
#include "node/core/later.h"
#include "node/core/leaf_page.h"
#include "node/core/partition_page.h"
#include "node/core/reap.h"
#include "node/core/reaper.h"
#include "node/core/recount.h"
#include "node/core/recovery.h"
#include "node/core/replica.h"
#include "node/core/round.h"
#include "node/core/scrub.h"
#include "node/core/settle.h"
#include "node/core/slice_page.h"
#include "node/core/stats.h"
#include "node/core/steward.h"
#include "node/core/sync.h"
#include "node/core/tree_build.h"
#include "node/core/watch.h"
#include "shared/err.h"

enum { REOPEN_MS = 1000 }; /* a silent peer's link is opened anew no more often than this */

/* ---- life ---- */

static void on_ping_timer(void *context);

/* Whether bytes with a good checksum are what their key says. */
static bool value_sound(void *context, struct bytes key, struct bytes bytes) {
    struct node *node = context;
    switch (key.data[0]) {
    case 'r':
        return versions_decode(bytes, &node->scratch[0]) == 0;
    case 't':
        return bytes.size == 16;
    case 'h':
        return hint_sound(node, bytes);
    case 'p':
        return bytes.size == CHAIN_PROMISE_SIZE;
    case 's':
        return chain_tail_decode(bytes, &(struct chain_tail){0}) == 0;
    case 'q':
        return chain_proposal_decode(bytes, &(struct chain_proposal){0}) == 0;
    default:
        return true;
    }
}

static void on_row_changed(void *context, struct bytes key, const struct blob *old, bool old_known,
                           const struct blob *now) {
    struct node *node = context;
    if (node->config.repair_round_ms > 0) {
        tree_changed(&node->tree, key, blob_bytes(old), old_known, blob_bytes(now));
    }
    watch_changed(node->watches, key, old, old_known, now);
}

struct node *node_new(const struct node_config *config, const struct env *env,
                      const struct disk *disk, struct timers *timers,
                      struct membership *membership) {
    const struct ring *ring = membership_ring(membership);
    struct node *node = memory_new(1, sizeof *node);
    assert(config->read_quorum > 0 && config->write_quorum > 0);
    node->config = *config;
    node->env = env;
    node->disk = disk;
    node->timers = timers;
    node->membership = membership;
    node->rows = rows_new(disk, value_sound, node);
    rows_on_commit(node->rows, read_only_noted, node);
    rows_on_spoilt(node->rows, recount_spoilt, node);
    read_only_init(node);
    node->scrub = scrub_new(node);
    node->latches = latches_new();
    tree_init(&node->tree, ring->seed, ring->n_slices);
    node->tree_build = tree_build_new(node);
    node->anti_entropy = anti_entropy_new(node);
    node->reap_notes = reap_notes_new();
    node->reaper = reaper_new(node);
    node->watches = watches_new(node);
    rows_watch(node->rows, on_row_changed, node);
    node->passed_on = memory_new(PASSED_ON_MAX, sizeof *node->passed_on);
    node->next_id = env->random(env->self) & ~(uint64_t)(REQUEST_PHASES - 1);
    node->ping = (struct timer){.fire = on_ping_timer, .context = node};
    node->links = memory_new(ring->n_members, sizeof *node->links);
    node->hints = hints_new(node);
    node->handoff = handoff_new(node);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        snprintf(node->links[i].stat_name, sizeof node->links[i].stat_name, "peer_%u_alive",
                 ring->members[i].id);
    }
    return node;
}

void node_free(struct node *node) {
    if (node == NULL) {
        return;
    }
    read_only_stop(node);
    timers_cancel(node->timers, &node->ping);
    node->state = NODE_STOPPED;
    latches_hush(node->latches); /* one request's end must not set another one going */
    settle_drop(node);
    coordinator_drop(node);
    forward_drop(node);
    stewards_drop(node);
    chosen_drop(node);
    later_drop(node);
    while (node->works != NULL) {
        struct work *work = node->works;
        work_end(node, work);
        work->drop(work);
    }
    anti_entropy_free(node->anti_entropy);
    reaper_free(node->reaper);
    reap_notes_free(node->reap_notes);
    tree_build_free(node->tree_build);
    tree_release(&node->tree);
    handoff_free(node->handoff);
    hints_free(node->hints);
    watches_free(node->watches);
    rows_release(&node->mark);
    recovery_free(node);
    scrub_free(node->scrub);
    latches_free(node->latches);
    rows_free(node->rows);
    for (int i = 0; i < NODE_SCRATCH; i++) {
        versions_release(&node->scratch[i]);
    }
    context_release(&node->scratch_context);
    buffer_release(&node->encoded);
    buffer_release(&node->key);
    for (uint16_t i = 0; i < membership_ring(node->membership)->n_members; i++) {
        free(node->links[i].untrusted);
    }
    free(node->links);
    free(node->passed_on);
    free(node);
}

void node_start(struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    assert(node->state == NODE_STARTING);
    membership_begin(node->membership, node_now(node));
    for (uint16_t i = 0; i < ring->n_members; i++) {
        if (ring->members[i].id != node->config.id) {
            node->env->connect(node->env->self, ring->members[i].id, ring->members[i].address);
        }
    }
    timers_set(node->timers, &node->ping, node_now(node));
    settle_start(node);
    recovery_start(node);
    scrub_start(node->scrub);
    if (node->config.repair_round_ms > 0) {
        tree_build_start(node->tree_build);
        anti_entropy_start(node->anti_entropy);
        reaper_start(node->reaper);
    }
}

void node_check_idle(struct node *node) {
    if (node->state == NODE_STOPPING && node->n_requests == 0 && node->n_forwards == 0 &&
        node->n_works == 0 && !node->marking) {
        later_flush_all(node);
        epoch_stop(node);
    }
}

void node_stop(struct node *node) {
    tree_build_stop(node->tree_build);
    anti_entropy_stop(node->anti_entropy);
    reaper_stop(node->reaper);
    recovery_stop(node);
    scrub_stop(node->scrub);
    read_only_stop(node);
    if (node->state == NODE_SERVING) {
        node->state = NODE_STOPPING;
        timers_cancel(node->timers, &node->ping);
        handoff_stop(node);
        node_check_idle(node);
    } else if (node->state == NODE_STARTING) {
        /* Served nobody; whatever epoch is under way stays unused. */
        timers_cancel(node->timers, &node->ping);
        node->state = NODE_STOPPED;
    }
}

enum node_state node_state(const struct node *node) {
    return node->state;
}

int node_failure(const struct node *node) {
    return node->failure;
}

bool node_slice_sum(const struct node *node, uint16_t slice, struct slice_sum *ret) {
    return tree_sum(&node->tree, slice, ret);
}

/* ---- what the parts share ---- */

int64_t node_now(const struct node *node) {
    return node->env->now_ns(node->env->self);
}

struct peer_link *node_link(const struct node *node, uint16_t id) {
    return &node->links[ring_member_index(membership_ring(node->membership), id)];
}

bool node_alive(const struct node *node, uint16_t id) {
    return membership_alive(node->membership, id, node_now(node));
}

int64_t node_deadline(const struct node *node, const struct message *message) {
    int64_t budget_ms =
        message->budget_ms < NODE_BUDGET_MAX_MS ? message->budget_ms : NODE_BUDGET_MAX_MS;
    return node_now(node) + budget_ms * NS_PER_MS;
}

uint32_t node_budget_ms(const struct node *node, int64_t deadline_ns) {
    int64_t left_ms = (deadline_ns - node_now(node)) / NS_PER_MS;
    return left_ms < 1 ? 1 : (uint32_t)left_ms;
}

uint64_t node_request_id(struct node *node) {
    node->next_id += REQUEST_PHASES;
    return node->next_id;
}

int node_ask(struct node *node, uint16_t peer, struct message *message) {
    later_flush(node, peer);
    return node_send(node, peer, message);
}

int node_send(struct node *node, uint16_t peer, struct message *message) {
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = peer};
    message->sender = node->config.id;
    message->ring_version = membership_ring(node->membership)->version;
    if ((message->flags & MESSAGE_FORWARDED) == 0) { /* that one is its client's */
        message->stamp_ns = node->hlc.last_ns;
    }
    return node->env->send(node->env->self, &to, message);
}

bool node_take(struct node *node, size_t size) {
    if (node->inflight_bytes + size > NODE_INFLIGHT_BYTES_MAX) {
        return false;
    }
    node->inflight_bytes += size;
    return true;
}

void node_give_back(struct node *node, size_t size) {
    assert(node->inflight_bytes >= size);
    node->inflight_bytes -= size;
}

bool work_begin(struct node *node, struct work *work, size_t size) {
    if (node->n_works >= NODE_APPLIES_MAX || !node_take(node, size)) {
        return false;
    }
    work->size = size;
    work->prev = NULL;
    work->next = node->works;
    if (work->next != NULL) {
        work->next->prev = work;
    }
    node->works = work;
    node->n_works++;
    return true;
}

void work_end(struct node *node, struct work *work) {
    *(work->prev != NULL ? &work->prev->next : &node->works) = work->next;
    if (work->next != NULL) {
        work->next->prev = work->prev;
    }
    node->n_works--;
    node_give_back(node, work->size);
}

/* ---- heartbeats ---- */

static void ping_peer(struct node *node, const struct ring_member *member, struct peer_link *link) {
    int64_t now_ns = node_now(node);
    struct buffer *encoded = &node->encoded;
    buffer_clear(encoded);
    recovery_tell(node, encoded);
    struct message ping = {
        .type = MESSAGE_PING, .budget_ms = MEMBERSHIP_SUSPECT_MS, .payload = buffer_bytes(encoded)};
    if (!node_alive(node, member->id) && now_ns - link->reopened_ns >= REOPEN_MS * NS_PER_MS) {
        link->reopened_ns = now_ns;
        node->counters.reopened++;
        node->env->reconnect(node->env->self, member->id);
    }
    node_ask(node, member->id, &ping);
}

static void on_ping_timer(void *context) {
    struct node *node = context;
    const struct ring *ring = membership_ring(node->membership);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        if (ring->members[i].id != node->config.id) {
            ping_peer(node, &ring->members[i], &node->links[i]);
        }
    }
    timers_set(node->timers, &node->ping, node_now(node) + MEMBERSHIP_PING_MS * NS_PER_MS);
}

/* ---- dispatch ---- */

static void answer_hello(struct node *node, const struct asker *asker) {
    struct buffer ring = {0};
    ring_encode(membership_ring(node->membership), &ring);
    struct hello_reply reply = {.node = node->config.id,
                                .credit_bytes = node->config.credit_bytes,
                                .read_quorum = node->config.read_quorum,
                                .ring = buffer_bytes(&ring)};
    buffer_clear(&node->encoded);
    hello_reply_encode(&reply, &node->encoded);
    answer(node, asker, 0, buffer_bytes(&node->encoded));
    buffer_release(&ring);
}

/* The answer to PING. A peer that is told CLOSED does not take this node for one that can serve. */
static int greeting(const struct node *node, const struct endpoint *from) {
    if (node->state != NODE_SERVING) {
        return ERR_CLOSED;
    }
    return from->kind == ENDPOINT_NODE && node_read_only(node) != 0 ? ERR_READ_ONLY : 0;
}

/* What any node answers, whatever its state. */
static bool receive_greeting(struct node *node, const struct endpoint *from,
                             const struct message *message) {
    struct asker asker = asker_of(from, message);
    switch (message->type) {
    case MESSAGE_HELLO:
        node->counters.hellos++;
        answer_hello(node, &asker);
        return true;
    case MESSAGE_PING:
        node->counters.pings++;
        buffer_clear(&node->encoded);
        recovery_tell(node, &node->encoded);
        answer(node, &asker, greeting(node, from), buffer_bytes(&node->encoded));
        return true;
    case MESSAGE_STATS:
        stats_answer(node, &asker);
        return true;
    case MESSAGE_HINTS:
        hints_answer(node, &asker);
        return true;
    default:
        return false;
    }
}

static bool receive_from_client(struct node *node, const struct endpoint *from,
                                const struct message *message) {
    switch (message->type) {
    case MESSAGE_GET:
        if ((message->flags & MESSAGE_OWN) != 0) {
            node->counters.own_gets++;
            replica_read(node, from, message);
            return true;
        }
        node->counters.gets++;
        break;
    case MESSAGE_BATCH:
        node->counters.batches++;
        break;
    case MESSAGE_SCAN:
        if ((message->flags & MESSAGE_OWN) != 0) {
            node->counters.own_scans++;
            replica_scan(node, from, message);
            return true;
        }
        node->counters.scans++;
        break;
    case MESSAGE_WATCH:
        watch_receive(node->watches, from, message);
        return true;
    case MESSAGE_SYNC:
        node->counters.syncs_asked++;
        sync_receive(node, from, message);
        return true;
    default:
        return false;
    }
    coordinator_receive(node, from, message);
    return true;
}

/* What peers and clients compare replicas with. */
static bool receive_comparison(struct node *node, const struct endpoint *from,
                               const struct message *message) {
    switch (message->type) {
    case MESSAGE_TREE:
        node->counters.trees++;
        anti_entropy_compare(node, from, message);
        return true;
    case MESSAGE_LEAF:
        node->counters.leaves++;
        leaf_receive(node, from, message);
        return true;
    case MESSAGE_PARTITIONS:
        partition_page_receive(node, from, message);
        return true;
    case MESSAGE_REPAIR_CONTROL:
        anti_entropy_control(node, from, message);
        return true;
    default:
        return false;
    }
}

static bool receive_from_node(struct node *node, const struct endpoint *from,
                              const struct message *message) {
    if (from->kind != ENDPOINT_NODE) {
        return false;
    }
    switch (message->type) {
    case MESSAGE_REPLICATE:
        node->counters.replicates++;
        apply_receive(node, from, message);
        return true;
    case MESSAGE_REPAIR:
        node->counters.repairs_received++;
        apply_receive(node, from, message);
        return true;
    case MESSAGE_REAP:
        reap_receive(node, from, message);
        return true;
    case MESSAGE_PREPARE:
    case MESSAGE_TAIL:
    case MESSAGE_PROPOSE:
    case MESSAGE_CHOSEN:
        acceptor_receive(node, from, message);
        return true;
    case MESSAGE_READ:
        node->counters.reads++;
        replica_read(node, from, message);
        return true;
    case MESSAGE_READ_SCAN:
        node->counters.read_scans++;
        replica_scan(node, from, message);
        return true;
    case MESSAGE_SLICE:
        node->counters.slice_pages++;
        slice_page_receive(node, from, message);
        return true;
    case MESSAGE_HINT:
        hint_receive(node, from, message);
        return true;
    case MESSAGE_HANDOFF:
        node->counters.handoffs_received++;
        apply_receive(node, from, message);
        return true;
    default:
        return false;
    }
}

static void receive_reply(struct node *node, const struct endpoint *from,
                          const struct message *message) {
    if (from->kind != ENDPOINT_NODE) {
        node->counters.messages_bad++;
        return;
    }
    if (anti_entropy_heard(node->anti_entropy, from, message) ||
        reaper_heard(node->reaper, from, message)) {
        return;
    }
    if (round_heard(node, from, message)) {
        return;
    }
    switch (message->type & ~MESSAGE_REPLY) {
    case MESSAGE_PREPARE:
    case MESSAGE_TAIL:
    case MESSAGE_PROPOSE:
    case MESSAGE_CHOSEN:
        break; /* too late */
    case MESSAGE_REPAIR:
    case MESSAGE_TREE:
    case MESSAGE_LEAF:
    case MESSAGE_REAP:
        break; /* too late */
    case MESSAGE_READ:
    case MESSAGE_READ_SCAN:
    case MESSAGE_REPLICATE:
        coordinator_heard(node, from, message);
        break;
    case MESSAGE_GET:
    case MESSAGE_BATCH:
    case MESSAGE_SCAN:
        forward_heard(node, from, message);
        break;
    case MESSAGE_SLICE:
        recovery_heard(node, from, message);
        break;
    case MESSAGE_HINT:
        batch_hint_heard(node, from, message);
        break;
    case MESSAGE_HANDOFF:
        handoff_heard(node, from, message);
        break;
    case MESSAGE_PING:
        break;
    default:
        node->counters.messages_bad++;
        break;
    }
}

static void receive_request(struct node *node, const struct endpoint *from,
                            const struct message *message) {
    if (receive_greeting(node, from, message)) {
        return;
    }
    struct asker asker = asker_of(from, message);
    if (node->state != NODE_SERVING) {
        /* Nothing was done: whoever asked may ask another replica. */
        if (from->kind == ENDPOINT_NODE && message->type >= MESSAGE_REPLICATE) {
            answer_status(node, &asker, ERR_CLOSED);
        } else {
            answer_missed(node, &asker, ERR_UNAVAILABLE, &(struct shortfall){0});
        }
        return;
    }
    if (!receive_from_client(node, from, message) && !receive_comparison(node, from, message) &&
        !receive_from_node(node, from, message)) {
        node->counters.messages_bad++;
        answer_status(node, &asker, ERR_INVALID);
    }
}

/* What a message tells of its sender, a peer: that it lives, whether it serves, its clock. */
static void learn_from_peer(struct node *node, const struct endpoint *from,
                            const struct message *message) {
    int64_t now_ns = node_now(node);
    bool ping = (message->type & ~MESSAGE_REPLY) == MESSAGE_PING;
    bool read_only = message->status == -ERR_READ_ONLY;
    bool closing = ping && message->status != 0 && !read_only;
    if (ping && !closing) {
        recovery_told(node, from->node, message->payload);
    }
    if (message->type == (MESSAGE_PING | MESSAGE_REPLY) && !closing) {
        int index = ring_member_index(membership_ring(node->membership), from->node);
        node->links[index].read_only = read_only;
    }
    if (!closing) {
        membership_heard(node->membership, from->node, now_ns);
    }
    if (hlc_learn(&node->hlc, node->env->wall_ns(node->env->self), message->stamp_ns) != 0) {
        node->counters.stamps_ahead++;
    }
}

void node_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    node->counters.messages++;
    if (from->kind == ENDPOINT_NODE) {
        if (ring_member_index(membership_ring(node->membership), from->node) < 0) {
            node->counters.messages_bad++;
            return;
        }
        learn_from_peer(node, from, message);
    }
    if ((message->type & MESSAGE_REPLY) != 0) {
        receive_reply(node, from, message);
    } else {
        receive_request(node, from, message);
    }
}
