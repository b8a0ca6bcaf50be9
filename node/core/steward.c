/* steward: which replica orders the strict batches of a slice, and how it becomes the one. */
#include "node/core/steward.h"

#include <assert.h>
#include <stdlib.h>

#include "node/core/acceptor.h"
#include "node/core/plant.h"
#include "node/core/read_only.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/turn.h"
#include "shared/err.h"

struct steward *steward_of(struct node *node, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    if (node->stewards == NULL) {
        node->stewards = memory_new(ring->n_slices, sizeof(struct steward *));
    }
    if (node->stewards[slice] == NULL) {
        struct steward *steward = memory_new(1, sizeof *steward);
        steward->node = node;
        steward->slice = slice;
        node->stewards[slice] = steward;
    }
    return node->stewards[slice];
}

void stewards_drop(struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    for (uint32_t i = 0; node->stewards != NULL && i < ring->n_slices; i++) {
        struct steward *steward = node->stewards[i];
        if (steward != NULL) {
            round_stop(&steward->round);
            partitions_drop(steward);
            rows_release(&steward->hold);
            free(steward);
        }
    }
    free(node->stewards);
    node->stewards = NULL;
}

static void put_prepare(uint8_t *into, uint16_t slice, uint64_t epoch) {
    into[0] = (uint8_t)slice;
    into[1] = (uint8_t)(slice >> 8);
    bytes_store_u64(into + 2, epoch);
}

static const struct row *promise_row(const struct steward *steward) {
    return rows_held(&steward->hold, 0);
}

static void see(struct steward *steward, uint64_t epoch) {
    if (epoch > steward->seen) {
        steward->seen = epoch;
    }
}

void steward_step_down(struct steward *steward, uint64_t epoch, int status) {
    see(steward, epoch);
    if (steward->state == STEWARD_IDLE) {
        return;
    }
    round_stop(&steward->round);
    steward->state = STEWARD_IDLE;
    steward->epoch = 0;
    partitions_lost(steward, status);
}

void steward_outbid(struct node *node, uint16_t slice, uint64_t epoch) {
    struct steward *steward = node->stewards != NULL ? node->stewards[slice] : NULL;
    if (steward == NULL) {
        return;
    }
    if (epoch > steward->seen) {
        /* A new steward elsewhere gets its chance. */
        steward->unanswered_ns = 0;
        steward->avoid_until_ns = 0;
        steward->forwarding_ns = 0;
    }
    see(steward, epoch);
    if (steward->state >= STEWARD_PROMISING && epoch > steward->epoch) {
        steward_step_down(steward, epoch, ERR_STALE_EPOCH);
    }
}

bool steward_refused(struct steward *steward, const struct round_peer *peer,
                     const struct chain_reply *reply) {
    if (peer->status != ERR_STALE_EPOCH) {
        return false;
    }
    steward_step_down(steward, reply->promise, ERR_STALE_EPOCH);
    return true;
}

/* ---- campaign ---- */

static void check_elected(struct steward *steward) {
    if (1 + round_good(&steward->round) < round_majority(steward->node)) {
        return;
    }
    round_stop(&steward->round);
    steward->state = STEWARD_LEADING;
    steward->node->counters.campaigns++;
    partitions_led(steward);
}

static void on_promise_of_other(struct round *round, struct round_peer *peer,
                                const struct message *message, const struct chain_reply *reply) {
    struct steward *steward = round->context;
    (void)message;
    if (!steward_refused(steward, peer, reply)) {
        check_elected(steward);
    }
}

static bool still_campaigning(struct round *round) {
    struct steward *steward = round->context;
    int64_t until_ns = steward->since_ns + STEWARD_CAMPAIGN_MS * NS_PER_MS;
    if (node_now(steward->node) < until_ns) {
        return true;
    }
    steward_step_down(steward, 0, ERR_UNAVAILABLE);
    return false;
}

static void prepare(struct steward *steward) {
    steward->state = STEWARD_CAMPAIGNING;
    steward->since_ns = node_now(steward->node);
    put_prepare(steward->payload, steward->slice, steward->epoch);
    steward->round = (struct round){.node = steward->node,
                                    .slice = steward->slice,
                                    .type = MESSAGE_PREPARE,
                                    .payload = bytes_of(steward->payload, sizeof steward->payload),
                                    .heard = on_promise_of_other,
                                    .again = still_campaigning,
                                    .context = steward};
    round_start(&steward->round, 0);
    check_elected(steward);
}

static void on_own_promise(void *context, int status) {
    struct steward *steward = context;
    steward->node->counters.commit_errors += status != 0 ? 1 : 0;
    if (steward->state != STEWARD_PROMISING) {
        return;
    }
    if (status != 0) {
        steward_step_down(steward, 0, status == ERR_UNKNOWN ? ERR_UNAVAILABLE : status);
    } else if (chain_promise(blob_bytes(promise_row(steward)->durable)) == steward->epoch) {
        prepare(steward);
    }
    /* Else a commit of an older campaign: the one of this one is on its way. */
}

static void campaign(struct steward *steward) {
    struct node *node = steward->node;
    const struct row *row = promise_row(steward);
    int err = row->newest_status;
    if (err == 0 && !node_trusts_itself(node, steward->slice)) {
        err = ERR_UNAVAILABLE;
    }
    if (err != 0) {
        steward_step_down(steward, 0, ERR_UNAVAILABLE);
        return;
    }
    uint64_t promise = chain_promise(blob_bytes(row->newest));
    see(steward, promise);
    steward->epoch = epoch_above(steward->seen, node->config.id);
    steward->seen = steward->epoch;
    steward->forwarding_ns = 0;
    steward->state = STEWARD_PROMISING;
    struct buffer encoded = {0};
    chain_promise_encode(steward->epoch, &encoded);
    struct rows_commit *commit = rows_commit_new(node->rows, 1);
    rows_commit_put(commit, rows_held(&steward->hold, 0), blob_new(buffer_bytes(&encoded)));
    buffer_release(&encoded);
    rows_commit_start(commit, true, on_own_promise, steward);
    if (PLANTED(EPOCH_EARLY)) {
        prepare(steward);
    }
}

static void on_loaded(void *context) {
    struct steward *steward = context;
    campaign(steward);
}

void steward_want(struct steward *steward) {
    struct node *node = steward->node;
    if (steward->state != STEWARD_IDLE) {
        return;
    }
    steward->state = STEWARD_LOADING;
    rows_release(&steward->hold);
    rows_hold_init(&steward->hold, 1, on_loaded, steward);
    buffer_clear(&node->key);
    rowkey_put_promise(&node->key, steward->slice);
    rows_hold_add(node->rows, &steward->hold, buffer_bytes(&node->key));
    if (rows_hold_wait(&steward->hold)) {
        campaign(steward);
    }
}

/* ---- whom to ask ---- */

/* Whether this node stands before all other live replicas of the slice. */
static bool first_alive(const struct node *node, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        uint16_t id = ring->members[preference[i]].id;
        if (node_stores(node, id, slice)) {
            return id == node->config.id;
        }
    }
    return false;
}

static bool takes_over(const struct steward *steward, int64_t now_ns) {
    return steward->forwarding_ns != 0 &&
           now_ns - steward->forwarding_ns >= STEWARD_FORWARD_MS * NS_PER_MS &&
           first_alive(steward->node, steward->slice);
}

uint16_t steward_route(struct node *node, uint16_t slice, uint64_t promise) {
    struct steward *steward = steward_of(node, slice);
    int64_t now_ns = node_now(node);
    see(steward, promise);
    uint16_t owner = epoch_owner(steward->seen);
    if (steward->state != STEWARD_IDLE || owner == 0 || owner == node->config.id ||
        !ring_is_replica(membership_ring(node->membership), slice, owner) ||
        !node_stores(node, owner, slice) || now_ns < steward->avoid_until_ns) {
        return 0;
    }
    bool silent = steward->unanswered_ns != 0 &&
                  now_ns - steward->unanswered_ns >= STEWARD_SILENCE_MS * NS_PER_MS;
    if (silent || takes_over(steward, now_ns)) {
        steward->unanswered_ns = 0;
        return 0;
    }
    return owner;
}

void steward_forwarded(struct node *node, uint16_t slice) {
    struct steward *steward = steward_of(node, slice);
    int64_t now_ns = node_now(node);
    if (steward->unanswered_ns == 0) {
        steward->unanswered_ns = now_ns;
    }
    if (steward->forwarding_ns == 0 ||
        now_ns - steward->last_forward_ns > STEWARD_FORWARD_MS * NS_PER_MS) {
        steward->forwarding_ns = now_ns;
    }
    steward->last_forward_ns = now_ns;
}

void steward_answered(struct node *node, uint16_t slice, int status) {
    struct steward *steward = steward_of(node, slice);
    steward->unanswered_ns = 0;
    if (status == ERR_UNAVAILABLE || status == ERR_WRONG_RING || status == ERR_CLOSED) {
        steward->avoid_until_ns = node_now(node) + STEWARD_AVOID_MS * NS_PER_MS;
    }
}

/* ---- still the steward? ---- */

static void check_ends(struct steward_check *check, int status) {
    round_stop(&check->round);
    check->done(check->context, status);
}

static bool is_confirmed(const struct steward_check *check) {
    return 1 + round_good(&check->round) >= round_majority(check->round.node);
}

static void on_check(struct round *round, struct round_peer *peer, const struct message *message,
                     const struct chain_reply *reply) {
    struct steward_check *check = round->context;
    struct node *node = round->node;
    (void)message;
    if (peer->status == ERR_STALE_EPOCH) {
        uint64_t promise = reply->promise;
        uint16_t slice = round->slice;
        check_ends(check, ERR_STALE_EPOCH);
        steward_outbid(node, slice, promise);
        return;
    }
    if (is_confirmed(check)) {
        check_ends(check, 0);
    }
}

int steward_check(struct node *node, uint16_t slice, struct steward_check *check) {
    struct steward *steward = steward_of(node, slice);
    if (steward->state != STEWARD_LEADING) {
        return ERR_STALE_EPOCH;
    }
    if (PLANTED(UNCONFIRMED) || round_majority(node) == 1) {
        return 0;
    }
    put_prepare(check->payload, slice, steward->epoch);
    check->round = (struct round){.node = node,
                                  .slice = slice,
                                  .type = MESSAGE_PREPARE,
                                  .at_once = (uint8_t)(round_majority(node) - 1),
                                  .payload = bytes_of(check->payload, sizeof check->payload),
                                  .heard = on_check,
                                  .context = check};
    round_start(&check->round, 0);
    return STEWARD_CHECK_ASKED;
}

void steward_check_stop(struct steward_check *check) {
    if (check->round.out) {
        round_stop(&check->round);
    }
}
