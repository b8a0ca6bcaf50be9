/* coordinator_read: what reading a row and reading a page have in common. */
#include "node/core/coordinator_read.h"

#include <string.h>

#include "node/core/coordinator_strict.h"
#include "node/core/recovery.h"
#include "node/core/repair.h"
#include "shared/err.h"

void quorum_read_learn_tally(struct quorum_read *read, const struct tally *tally) {
    if (tally->changed_ns > read->tally.changed_ns) {
        read->tally = *tally;
    }
}

static uint32_t ask_more(struct quorum_read *read, uint32_t n) {
    struct request *request = &read->request;
    uint16_t flags = request->state == REQUEST_FETCHING ? 0 : MESSAGE_DIGEST;
    flags |= request->flags & MESSAGE_STRICT;
    return request_ask_some(request, n, read->ask_type, flags, request->payload);
}

/* A strict read whose steward has not been confirmed yet. */
static bool is_unassured(const struct request *request) {
    return request->strict != NULL && request->strict->unassured;
}

static bool local_good(const struct quorum_read *read) {
    return read->local_known && read->local_status == 0;
}

static uint32_t known(const struct quorum_read *read) {
    return request_count(&read->request, PEER_DONE) + (local_good(read) ? 1 : 0);
}

bool quorum_read_is_whole(const struct quorum_read *read) {
    return known(read) >= recovery_others_needed(read->request.node);
}

/* Whether each of the others has told its copy, or recovers and has none to trust. */
static bool others_lost_it(const struct request *request) {
    uint32_t n_told = request->state == REQUEST_FETCHING ? request_count(request, PEER_DONE) : 0;
    uint32_t n_recovering = 0;
    for (uint32_t i = 0; i < request->n_peers; i++) {
        const struct peer *peer = &request->peers[i];
        n_recovering += peer->state == PEER_REFUSED && peer->status == ERR_RECOVERING ? 1 : 0;
    }
    return n_told > 0 && n_told + n_recovering == request->n_peers;
}

/* Too few can answer; yet a row that is corrupt elsewhere need not stay so, if this one copy has
 * all that was acknowledged there. */
static void give_up(struct quorum_read *read) {
    struct request *request = &read->request;
    bool mends = !read->pending && read->ask_type == MESSAGE_READ && local_good(read) &&
                 read->local.size > 0 && recovery_others_needed(request->node) <= 1;
    for (uint32_t i = 0; mends && i < request->n_peers; i++) {
        if (request->peers[i].broken) {
            repair_row(request->node, request->peers[i].node, request->key, request->payload,
                       read->local);
        }
    }
    if (read->lost != NULL && others_lost_it(request)) {
        read->lost(read);
    }
    if (is_unassured(request) && known(read) >= request->needed) {
        request->strict->over(request, ERR_UNAVAILABLE);
        return;
    }
    request_answer_missed(request, ERR_UNAVAILABLE, (uint8_t)known(read));
    request_end(request);
}

/* Asks others in place of those that failed; gives up when there are too few left to ask. */
static void go_on(struct quorum_read *read) {
    struct request *request = &read->request;
    uint32_t have = known(read);
    uint32_t pending = request_count(request, PEER_ASKED) + (read->local_known ? 0 : 1);
    if (have + pending < request->needed) {
        pending += ask_more(read, request->needed - have - pending);
    }
    /* One that is corrupt here is made of what the last of them says, if it can be
     * (others_lost_it). */
    bool waits = read->lost != NULL && read->local_status == ERR_CORRUPT && pending > 0;
    if (have + pending < request->needed && !waits) {
        give_up(read);
    }
}

static void check_fetched(struct quorum_read *read) {
    if (known(read) < read->request.needed) {
        go_on(read);
    } else if (!is_unassured(&read->request)) {
        read->fetched(read);
    }
}

/* From digests to copies. Those whose digest was the local one's need not be asked again. */
static void fetch(struct quorum_read *read) {
    struct request *request = &read->request;
    uint8_t before[REQUEST_PEERS_MAX];
    for (uint32_t i = 0; i < request->n_peers; i++) {
        before[i] = request->peers[i].state;
    }
    request_move(request, REQUEST_FETCHING);
    request_phase(request);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        if (before[i] == PEER_REFUSED || (before[i] == PEER_DONE && peer->same)) {
            peer->state = before[i];
        } else if (before[i] == PEER_DONE) {
            request_ask(request, peer, read->ask_type, request->flags & MESSAGE_STRICT,
                        request->payload);
        }
    }
    check_fetched(read);
}

static void check_read(struct quorum_read *read) {
    struct request *request = &read->request;
    bool differ = false;
    if (!read->local_known) {
        return;
    }
    if (read->local_status != 0 && (request->flags & MESSAGE_STRICT) != 0) {
        /* What was acknowledged may be in no other replica's rows yet, only pending there. */
        give_up(read);
        return;
    }
    if (read->local_status != 0) {
        fetch(read);
        return;
    }
    for (uint32_t i = 0; i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        if (peer->state == PEER_DONE) {
            peer->same = memcmp(peer->digest, read->digest, sizeof read->digest) == 0;
            differ = differ || !peer->same;
        }
    }
    if (differ) {
        fetch(read);
    } else if (known(read) < request->needed) {
        go_on(read);
    } else if (!is_unassured(request)) {
        read->agreed(read);
    }
}

void quorum_read_check(struct quorum_read *read) {
    if (read->request.state == REQUEST_FETCHING) {
        check_fetched(read);
    } else {
        check_read(read);
    }
}

bool quorum_read_begin(struct quorum_read *read) {
    struct request *request = &read->request;
    struct node *node = request->node;
    request->needed = request_needed(request, node->config.read_quorum);
    uint32_t alive = request_alive(request);
    if (alive < request->needed) {
        request_answer_missed(request, ERR_UNAVAILABLE, (uint8_t)alive);
        request_end(request);
        return false;
    }
    request_move(request, REQUEST_READING);
    bool wide =
        request->needed > 1 && node->env->random(node->env->self) % REQUEST_WIDE_ONE_IN == 0;
    ask_more(read, wide ? request->n_peers : request->needed - 1u);
    request_arm(request, REQUEST_HEDGE_MS * NS_PER_MS);
    return true;
}

void quorum_read_local(struct quorum_read *read, int status, struct bytes local) {
    read->local_known = true;
    read->local_status = status;
    read->local = local;
    quorum_read_check(read);
}

void quorum_read_heard(struct quorum_read *read, struct peer *peer) {
    struct node *node = read->request.node;
    peer->state = peer->status == 0 ? PEER_DONE : PEER_REFUSED;
    peer->broken = peer->broken || peer->status == ERR_CORRUPT;
    node->counters.messages_bad += peer->status == ERR_INVALID ? 1 : 0;
    if (read->request.state == REQUEST_FETCHING) {
        peer->same = false;
    }
    quorum_read_check(read);
}

void quorum_read_expired(struct request *request) {
    struct quorum_read *read = quorum_read_from(request);
    struct node *node = request->node;
    if (!read->hedged && node_now(node) < request->deadline_ns) {
        read->hedged = true;
        if (request->needed > 1 && ask_more(read, request->n_peers) > 0) {
            node->counters.hedges++;
        }
        request_arm(request, (NODE_REPLICA_TIMEOUT_MS - REQUEST_HEDGE_MS) * NS_PER_MS);
        return;
    }
    give_up(read);
}
