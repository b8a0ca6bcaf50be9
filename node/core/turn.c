/* turn: the strict batches of a partition, one at a time, at the slice's steward. */
#include "node/core/turn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "node/core/acceptor.h"
#include "node/core/chosen.h"
#include "node/core/condition.h"
#include "node/core/partition_sync.h"
#include "node/core/plant.h"
#include "node/core/settle.h"
#include "node/core/watch.h"
#include "shared/err.h"

enum partition_state {
    PARTITION_IDLE = 0,
    PARTITION_LOADING = 1,
    PARTITION_TOUCHING = 2,
    PARTITION_SYNCING = 3,
    PARTITION_GRANTED = 4,
    PARTITION_PROPOSING = 5,
    PARTITION_COMMITTING = 6,
    PARTITION_GATHERING = 7,
};

enum { PROPOSAL_SIZE_MAX = MESSAGE_PAYLOAD_MAX - 1024 /* room for the tail beside it */ };

struct partition {
    struct node *node;
    struct steward *steward;
    uint8_t state; /* enum partition_state */
    bool advancing;
    bool held;
    uint64_t epoch; /* that it was touched in */
    uint64_t seq;
    struct rows_hold chain;
    struct turn *queue; /* the first has the turn from GRANTED on, but when `foreign` */
    struct round round;
    struct timer timer; /* the next attempt to touch; GATHERING */
    uint8_t epoch_bytes[8];
    /* TOUCHING */
    struct ballot highest;   /* that anybody applied */
    uint16_t highest_node;   /* who; 0 = this node */
    struct buffer candidate; /* the pending with the highest ballot */
    /* PROPOSING to GATHERING */
    bool foreign; /* it is the pending of a steward before */
    bool synced;
    bool covering;
    bool own;       /* GATHERING: it is on this node's disk */
    bool accepting; /* a synced one becomes this node's pending */
    bool accepted;  /* it is, on its disk */
    uint32_t needed;
    int64_t since_ns;
    struct buffer proposal;
    struct batch batch; /* of it */
    struct rows_hold rows;
    struct tally tally;
    struct watch_wait wait; /* COMMITTING: it is on the disk, and others may not know yet */
    uint32_t n_accepting;   /* commits of pendings that the disk has not answered */
    /* all partitions of the steward; and those of the node that are at rest, the oldest first */
    struct partition *prev, *next;
    struct partition *older, *newer;
    struct bytes key;
    UT_hash_handle hh;
    uint8_t bytes[];
};

static void partition_advance(struct partition *p);

/* ---- the table ---- */

/* What it proposed last may be half a megabyte, times PARTITIONS_MAX. */
static void rest(struct partition *p) {
    struct node *node = p->node;
    buffer_release(&p->proposal);
    buffer_release(&p->candidate);
    DL_APPEND2(node->partitions_idle, p, older, newer);
}

static bool at_rest(const struct partition *p) {
    return p->older != NULL;
}

static void wake(struct partition *p) {
    if (at_rest(p)) {
        DL_DELETE2(p->node->partitions_idle, p, older, newer);
        p->older = p->newer = NULL;
    }
}

static void partition_free(struct partition *p) {
    struct node *node = p->node;
    wake(p);
    round_stop(&p->round);
    timers_cancel(node->timers, &p->timer);
    watch_wait_end(node->watches, &p->wait);
    rows_release(&p->chain);
    rows_release(&p->rows);
    batch_release(&p->batch);
    buffer_release(&p->proposal);
    buffer_release(&p->candidate);
    DL_DELETE(p->steward->partitions, p);
    HASH_DELETE(hh, node->partitions, p);
    free(p);
}

static struct partition *partition_get(struct node *node, uint16_t slice, struct bytes key) {
    struct partition *p = NULL;
    HASH_FIND(hh, node->partitions, key.data, key.size, p);
    if (p != NULL) {
        wake(p);
        return p;
    }
    if (HASH_COUNT(node->partitions) >= PARTITIONS_MAX && node->partitions_idle != NULL &&
        node->partitions_pinned == 0) {
        partition_free(node->partitions_idle);
    }
    p = memory_new(1, sizeof *p + key.size);
    p->node = node;
    p->steward = steward_of(node, slice);
    bytes_store(p->bytes, key);
    p->key = bytes_of(p->bytes, key.size);
    HASH_ADD_KEYPTR(hh, node->partitions, p->key.data, p->key.size, p);
    DL_APPEND(p->steward->partitions, p);
    return p;
}

void partitions_drop(struct steward *steward) {
    while (steward->partitions != NULL) {
        partition_free(steward->partitions);
    }
}

/* ---- telling ---- */

static void unqueue(struct turn *turn) {
    DL_DELETE(turn->partition->queue, turn);
    turn->partition = NULL;
}

static void tell_done(struct turn *turn, int status) {
    unqueue(turn);
    turn->done(turn->context, status);
}

/* Whether the first of the queue is the owner of a proposal. */
static bool owned(const struct partition *p) {
    return p->state >= PARTITION_PROPOSING && !p->foreign && p->queue != NULL;
}

/* All that wait; new ones that come meanwhile stay. */
static void tell_waiting(struct partition *p, int status) {
    struct turn *turn;
    uint32_t n = 0;
    DL_COUNT(p->queue, turn, n);
    for (uint32_t i = owned(p) ? 1 : 0; i < n && p->queue != NULL; i++) {
        turn = owned(p) ? p->queue->next : p->queue;
        if (turn == NULL) {
            return;
        }
        tell_done(turn, status);
    }
}

/* ---- touch ---- */

static struct ballot own_applied(const struct partition *p) {
    return chain_applied(blob_bytes(rows_held(&p->chain, HELD_TAIL)->newest));
}

static struct ballot candidate_ballot(const struct partition *p) {
    return chain_ballot(buffer_bytes(&p->candidate));
}

static void consider(struct partition *p, struct bytes pending) {
    if (ballot_compare(chain_ballot(pending), candidate_ballot(p)) > 0) {
        buffer_clear(&p->candidate);
        buffer_put_bytes(&p->candidate, pending);
    }
}

static void propose(struct partition *p);

static void touched(struct partition *p) {
    struct ballot applied = own_applied(p);
    p->epoch = p->steward->epoch;
    p->seq = applied.epoch == p->epoch ? applied.seq : 0;
    p->state = PARTITION_IDLE;
    p->node->counters.touches++;
    partition_advance(p);
}

/* Proposes what may have been chosen, under this epoch. */
static void propose_candidate(struct partition *p) {
    struct chain_proposal proposal;
    chain_proposal_decode(buffer_bytes(&p->candidate), &proposal);
    struct ballot applied = own_applied(p);
    p->seq = applied.epoch == p->steward->epoch ? applied.seq : 0;
    p->seq = proposal.ballot.epoch == p->steward->epoch && proposal.ballot.seq > p->seq
                 ? proposal.ballot.seq
                 : p->seq;
    proposal.ballot = (struct ballot){p->steward->epoch, ++p->seq};
    proposal.prev = applied;
    buffer_clear(&p->proposal);
    chain_proposal_encode(&proposal, &p->proposal);
    p->foreign = true;
    p->synced = true;
    p->covering = false; /* it may have been chosen */
    p->needed = round_majority(p->node);
    p->node->counters.takeovers++;
    propose(p);
}

static void touch_again(struct partition *p) {
    p->state = PARTITION_TOUCHING;
    timers_set(p->node->timers, &p->timer, node_now(p->node) + ROUND_SOON_MS * NS_PER_MS);
}

static void on_synced(void *context, int status) {
    struct partition *p = context;
    (void)status;
    if (p->state != PARTITION_SYNCING) {
        return;
    }
    if (p->steward->state != STEWARD_LEADING) {
        p->state = PARTITION_IDLE;
        partition_advance(p);
        return;
    }
    touch_again(p);
}

/* Somebody has more than this node. */
static void catch_up(struct partition *p) {
    if (p->node->state != NODE_SERVING) {
        p->state = PARTITION_IDLE; /* a node that stops fetches nothing any more */
        steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
        return;
    }
    p->state = PARTITION_SYNCING;
    if (!partition_sync(p->node, p->key, p->highest_node, on_synced, p)) {
        touch_again(p);
    }
}

static void touch_decide(struct partition *p) {
    round_stop(&p->round);
    if (row_in_flight(rows_held(&p->chain, HELD_TAIL))) {
        touch_again(p); /* strict reads would not see the rows that the tail tells of */
    } else if (ballot_compare(p->highest, own_applied(p)) > 0) {
        catch_up(p);
    } else if (ballot_compare(candidate_ballot(p), own_applied(p)) > 0) {
        propose_candidate(p);
    } else {
        touched(p);
    }
}

static void touch_check(struct partition *p) {
    if (1 + round_good(&p->round) >= round_majority(p->node)) {
        touch_decide(p);
    }
}

static void on_tail(struct round *round, struct round_peer *peer, const struct message *message,
                    const struct chain_reply *reply) {
    struct partition *p = round->context;
    (void)message;
    if (steward_refused(p->steward, peer, reply) || peer->status != 0) {
        return;
    }
    struct ballot applied = chain_applied(reply->tail);
    if (ballot_compare(applied, p->highest) > 0) {
        p->highest = applied;
        p->highest_node = peer->node;
    }
    consider(p, reply->pending);
    touch_check(p);
}

static void touch(struct partition *p) {
    struct node *node = p->node;
    if (PLANTED(NO_TOUCH)) {
        touched(p);
        return;
    }
    p->state = PARTITION_TOUCHING;
    p->highest = own_applied(p);
    p->highest_node = 0;
    buffer_clear(&p->candidate);
    consider(p, blob_bytes(rows_held(&p->chain, HELD_PENDING)->newest));
    bytes_store_u64(p->epoch_bytes, p->steward->epoch);
    p->round = (struct round){.node = node,
                              .slice = p->steward->slice,
                              .type = MESSAGE_TAIL,
                              .key = p->key,
                              .payload = bytes_of(p->epoch_bytes, sizeof p->epoch_bytes),
                              .heard = on_tail,
                              .context = p};
    round_start(&p->round, 0);
    touch_check(p);
}

/* ---- proposal ---- */

static void proposal_over(struct partition *p) {
    round_stop(&p->round);
    timers_cancel(p->node->timers, &p->timer);
    rows_release(&p->rows);
    batch_release(&p->batch);
    p->batch = (struct batch){0};
    p->foreign = false;
    p->covering = false;
    p->state = PARTITION_IDLE;
}

/* Its number is not used again: a later batch takes its place in the chain. */
static void withdraw(struct partition *p) {
    struct turn *turn = owned(p) ? p->queue : NULL;
    p->node->counters.withdrawn++;
    proposal_over(p);
    if (turn != NULL) {
        tell_done(turn, ERR_CONFLICT);
    }
    partition_advance(p);
}

/* The proposer has its turn until here; it may have been given up, then the queue's first is
 * somebody else: see turn_end(). */
static void proposal_ends(struct partition *p, int status) {
    struct turn *turn = owned(p) ? p->queue : NULL;
    if (turn != NULL) {
        turn->tally = p->tally;
        turn->acknowledged = (p->own ? 1 : 0) + round_good(&p->round);
    }
    proposal_over(p);
    if (turn != NULL) {
        tell_done(turn, status);
    }
    partition_advance(p);
}

static void check_gathered(struct partition *p) {
    if ((p->own ? 1 : 0) + round_good(&p->round) >= p->needed) {
        proposal_ends(p, 0);
    }
}

static void on_gather_timer(struct partition *p) {
    proposal_ends(p, ERR_UNKNOWN);
}

static void committed(struct partition *p, int status) {
    struct node *node = p->node;
    p->state = PARTITION_GATHERING;
    p->own = status == 0 && (!p->synced || p->accepted);
    timers_set(node->timers, &p->timer, node_now(node) + NODE_REPLICA_TIMEOUT_MS * NS_PER_MS);
    settle_look(node, p->steward->slice, p->key, rows_held(&p->chain, HELD_PENDING));
    if (status != 0) {
        /* The others may have it, and this node's rows do not: it cannot go on from here. */
        node->counters.commit_errors++;
        epoch_renew(node);
        steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
        check_gathered(p);
        return;
    }
    struct ballot ballot = chain_ballot(buffer_bytes(&p->proposal));
    chosen_tell(node, p->steward->slice, p->key, ballot);
    if (p->foreign && p->steward->state == STEWARD_LEADING && p->steward->epoch == ballot.epoch) {
        p->epoch = ballot.epoch;
        node->counters.touches++;
    }
    check_gathered(p);
}

static void on_heard(void *context) {
    committed(context, 0);
}

static void on_committed(void *context, int status) {
    struct partition *p = context;
    if (status != 0 ||
        watch_wait(p->node->watches, &p->wait, p->key, watch_writer(&p->batch.op), on_heard, p)) {
        committed(p, status);
    }
}

static struct tally proposed_tally(const struct partition *p) {
    struct chain_proposal proposal;
    int err = chain_proposal_decode(buffer_bytes(&p->proposal), &proposal);
    assert(err == 0);
    (void)err;
    return proposal.tally;
}

/* A majority has it: into the rows with it. What is synced is on the disks of a majority as their
 * pending, which is enough. */
static void commit(struct partition *p) {
    struct merge merge;
    struct row *pending = rows_held(&p->chain, HELD_PENDING);
    p->state = PARTITION_COMMITTING;
    merge_begin(&merge, p->node, rows_held(&p->rows, 0), p->batch.n + 3, false);
    chain_apply(&merge, &p->chain, &p->rows, buffer_bytes(&p->proposal), &p->batch);
    p->tally = merge.counts ? merge.tally : proposed_tally(p);
    if (pending->newest != NULL) {
        rows_commit_remove(merge.commit, pending);
    }
    p->node->counters.strict_batches++;
    rows_commit_start(merge_finish(&merge), false, on_committed, p);
}

/* Replicas that have it: of a synced one, on their disks. */
static uint32_t n_accepted(const struct partition *p) {
    bool here = !p->synced || p->accepted;
    return (here ? 1 : 0) + round_good(&p->round);
}

static void check_chosen(struct partition *p) {
    if (p->state != PARTITION_PROPOSING || n_accepted(p) < round_majority(p->node) ||
        !rows_hold_wait(&p->rows)) {
        return;
    }
    if (chain_rows_status(p->node, &p->rows, p->key) != 0) {
        steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
        return;
    }
    commit(p);
}

/* The one error with which all others refused it when they were first asked; else 0. */
static int refused_by_all(const struct partition *p) {
    int common = p->round.n_peers > 0 ? p->round.peers[0].status : 0;
    for (uint32_t i = 0; i < p->round.n_peers; i++) {
        const struct round_peer *peer = &p->round.peers[i];
        if (peer->state != ROUND_REFUSED || peer->status != common) {
            return 0;
        }
    }
    return common == ERR_NO_SPACE || common == ERR_DISK || common == ERR_READ_ONLY ? common : 0;
}

/* Somebody has versions of its rows that it does not cover. */
static bool uncovered(const struct partition *p) {
    bool found = false;
    for (uint32_t i = 0; i < p->round.n_peers && p->covering; i++) {
        const struct round_peer *peer = &p->round.peers[i];
        found = found || (peer->state == ROUND_REFUSED && peer->status == ERR_CONFLICT);
    }
    return found;
}

/* Whether those who have not answered yet can make a majority. */
static bool may_be_chosen(const struct partition *p) {
    uint32_t n = 1 + round_good(&p->round);
    for (uint32_t i = 0; i < p->round.n_peers; i++) {
        const struct round_peer *peer = &p->round.peers[i];
        n += peer->state == ROUND_ASKED && node_alive(p->node, peer->node) ? 1 : 0;
    }
    return n >= round_majority(p->node);
}

/* Nobody has it, nor will: whoever waits for it is told why. What is this node's pending may be
 * brought up again. */
static void check_refused(struct partition *p) {
    bool here = p->synced && (p->accepted || p->n_accepting > 0);
    int common = p->state == PARTITION_PROPOSING && !here ? refused_by_all(p) : 0;
    if (common != 0 && p->queue != NULL && !p->foreign) {
        p->foreign = true;
        tell_done(p->queue, common);
        steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
    }
}

/* Meanwhile it may be chosen, or given up and another one out. */
static void on_accepted_here(void *context, int status) {
    struct partition *p = context;
    assert(p->held);
    struct row *pending = rows_held(&p->chain, HELD_PENDING);
    struct ballot ballot = chain_ballot(blob_bytes(pending->durable));
    p->n_accepting--;
    p->node->counters.commit_errors += status != 0 ? 1 : 0;
    if (status == 0 && ballot_compare(ballot, chain_ballot(buffer_bytes(&p->proposal))) == 0) {
        p->accepted = true;
        settle_look(p->node, p->steward->slice, p->key, pending);
        check_chosen(p);
    }
    check_refused(p);
    partition_advance(p);
}

/* This node is one of those who accept it: its disk syncs while the others' do. */
static void accept_here(struct partition *p) {
    struct rows_commit *commit = rows_commit_new(p->node->rows, 1);
    chain_put_pending(
        p->node, commit, rows_held(&p->chain, HELD_PENDING),
        &(struct chain_put){p->steward->slice, p->key, buffer_bytes(&p->proposal), &p->batch});
    p->n_accepting++;
    rows_commit_start(commit, true, on_accepted_here, p);
}

/* One that covers its rows becomes this node's pending only when another one has accepted it: what
 * the others refuse must not be found here by a later steward, who asks no more what it covers. */
static void accept_if_due(struct partition *p) {
    bool due = !p->covering || round_good(&p->round) > 0 || round_majority(p->node) == 1;
    if (p->state == PARTITION_PROPOSING && p->synced && !p->accepting && due) {
        p->accepting = true;
        accept_here(p);
    }
}

static void on_rows(void *context) {
    check_chosen(context);
}

static void on_accepted(struct round *round, struct round_peer *peer, const struct message *message,
                        const struct chain_reply *reply) {
    struct partition *p = round->context;
    (void)message;
    if (steward_refused(p->steward, peer, reply)) {
        return;
    }
    if (peer->status == ERR_BUSY) {
        round_hurry(round);
    }
    if (p->state == PARTITION_GATHERING) {
        check_gathered(p);
        return;
    }
    if (p->state == PARTITION_PROPOSING && uncovered(p) && !may_be_chosen(p)) {
        withdraw(p);
        return;
    }
    check_chosen(p);
    accept_if_due(p);
    check_refused(p);
}

/* Whether a proposal that is out is to be sent again. */
static bool keep_proposing(struct round *round) {
    struct partition *p = round->context;
    struct node *node = p->node;
    if (p->state == PARTITION_PROPOSING && uncovered(p)) {
        withdraw(p);
        return false;
    }
    bool stopping = node->state == NODE_STOPPING;
    int64_t open_ms = stopping ? PROPOSAL_STOPPING_MS : PROPOSAL_OPEN_MS;
    if (p->state != PARTITION_PROPOSING || node_now(node) < p->since_ns + open_ms * NS_PER_MS) {
        node->counters.proposals_resent++;
        return true;
    }
    steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
    return false;
}

static void propose(struct partition *p) {
    struct node *node = p->node;
    struct bytes payload = buffer_bytes(&p->proposal);
    int err = chain_batch_decode(payload, &node->scratch[0], &p->batch);
    if (err != 0) {
        /* Only a foreign one can be bad; it was checked when it was accepted. */
        p->state = PARTITION_IDLE;
        steward_step_down(p->steward, 0, ERR_UNAVAILABLE);
        return;
    }
    uint16_t flags = p->synced ? MESSAGE_SYNCED : 0;
    flags |= p->covering ? MESSAGE_COVERING : 0;
    p->state = PARTITION_PROPOSING;
    p->since_ns = node_now(node);
    p->round = (struct round){.node = node,
                              .slice = p->steward->slice,
                              .type = MESSAGE_PROPOSE,
                              .flags = flags,
                              .at_once = p->foreign || p->covering ? 0 : (uint8_t)(p->needed - 1),
                              .key = p->key,
                              .payload = payload,
                              .heard = on_accepted,
                              .again = keep_proposing,
                              .context = p};
    chain_hold_rows(node, &p->rows, p->key, &p->batch, on_rows, p);
    p->accepted = false;
    p->accepting = false;
    round_start(&p->round, 0);
    accept_if_due(p);
    check_chosen(p);
}

/* ---- the queue ---- */

static void on_timer(void *context) {
    struct partition *p = context;
    if (p->state == PARTITION_GATHERING) {
        on_gather_timer(p);
    } else if (p->state == PARTITION_TOUCHING) {
        p->state = PARTITION_IDLE;
        partition_advance(p);
    }
}

static void on_chain(void *context) {
    struct partition *p = context;
    p->held = true;
    p->state = PARTITION_IDLE;
    partition_advance(p);
}

static void load(struct partition *p) {
    p->state = PARTITION_LOADING;
    p->timer = (struct timer){.fire = on_timer, .context = p};
    chain_hold(p->node, &p->chain, p->steward->slice, p->key, on_chain, p);
    if (rows_hold_wait(&p->chain)) {
        p->held = true;
        p->state = PARTITION_IDLE;
    }
}

/* One step; whether there may be another. */
static bool step(struct partition *p) {
    if (p->state != PARTITION_IDLE || p->queue == NULL || p->node->state > NODE_STOPPING) {
        return false;
    }
    if (!p->held) {
        load(p);
        return true;
    }
    if (chain_hold_status(&p->chain) != 0 && p->n_accepting > 0) {
        return false; /* goes on when the disk has answered */
    }
    if (chain_hold_status(&p->chain) != 0) {
        /* Not kept, or what could not be read once would stay so. */
        rows_release(&p->chain);
        p->held = false;
        tell_waiting(p, ERR_UNAVAILABLE);
        return false;
    }
    if (p->steward->state != STEWARD_LEADING) {
        steward_want(p->steward);
        return p->steward->state == STEWARD_LEADING;
    }
    if (p->epoch != p->steward->epoch) {
        touch(p);
        return true;
    }
    p->state = PARTITION_GRANTED;
    p->queue->granted(p->queue->context);
    return true;
}

/* In a loop, not by recursion: a long queue of short turns must not grow the stack. */
static void partition_advance(struct partition *p) {
    if (p->advancing) {
        return;
    }
    p->advancing = true;
    while (step(p)) {
    }
    p->advancing = false;
    if (p->state == PARTITION_IDLE && p->queue == NULL && p->node->state <= NODE_STOPPING &&
        p->n_accepting == 0 && !at_rest(p)) {
        rest(p);
    }
}

void turn_take(struct node *node, uint16_t slice, struct bytes key, struct turn *turn) {
    struct partition *p = partition_get(node, slice, key);
    turn->partition = p;
    DL_APPEND(p->queue, turn);
    partition_advance(p);
}

void turn_end(struct turn *turn) {
    struct partition *p = turn->partition;
    if (p == NULL) {
        return;
    }
    bool has_turn = turn == p->queue && !p->foreign && p->state >= PARTITION_GRANTED;
    unqueue(turn);
    if (has_turn && p->state == PARTITION_GRANTED) {
        p->state = PARTITION_IDLE;
    } else if (has_turn) {
        p->foreign = true; /* goes on without an owner */
        if (PLANTED(ABANDON) && p->state == PARTITION_PROPOSING) {
            proposal_over(p);
            p->seq--;
        }
    }
    partition_advance(p);
}

int turn_propose(struct turn *turn, const struct chain_proposal *content, uint32_t needed,
                 uint16_t flags) {
    struct partition *p = turn->partition;
    assert(p->state == PARTITION_GRANTED && p->queue == turn);
    if (content->batch.size + CHAIN_PROPOSAL_HEAD > PROPOSAL_SIZE_MAX) {
        return ERR_TOO_BIG;
    }
    struct chain_proposal proposal = *content;
    proposal.ballot = (struct ballot){p->epoch, ++p->seq};
    proposal.prev = own_applied(p);
    buffer_clear(&p->proposal);
    chain_proposal_encode(&proposal, &p->proposal);
    p->foreign = false;
    p->synced = (flags & MESSAGE_SYNCED) != 0;
    p->covering = (flags & MESSAGE_COVERING) != 0;
    p->needed = needed;
    propose(p);
    return 0;
}

void turn_tail(const struct turn *turn, struct chain_tail *ret) {
    chain_tail_decode(blob_bytes(rows_held(&turn->partition->chain, HELD_TAIL)->newest), ret);
}

uint32_t turn_acknowledged(const struct turn *turn) {
    const struct partition *p = turn->partition;
    return (p->state == PARTITION_GATHERING && p->own ? 1 : 0) + round_good(&p->round);
}

uint64_t turn_bytes(const struct node *node) {
    uint64_t bytes = 0;
    for (const struct partition *p = node->partitions; p != NULL; p = p->hh.next) {
        bytes += p->proposal.capacity + p->candidate.capacity;
    }
    return bytes;
}

/* ---- the steward's fortunes ---- */

void partitions_led(struct steward *steward) {
    struct node *node = steward->node;
    struct partition *p;
    struct partition *next;
    node->partitions_pinned++;
    DL_FOREACH_SAFE(steward->partitions, p, next) {
        partition_advance(p);
    }
    node->partitions_pinned--;
}

static void partition_lost(struct partition *p, int status) {
    p->epoch = 0;
    switch (p->state) {
    case PARTITION_TOUCHING:
        round_stop(&p->round);
        timers_cancel(p->node->timers, &p->timer);
        p->state = PARTITION_IDLE;
        break;
    case PARTITION_GRANTED:
        p->state = PARTITION_IDLE;
        break;
    case PARTITION_PROPOSING: {
        struct turn *turn = owned(p) ? p->queue : NULL;
        proposal_over(p);
        if (turn != NULL) {
            tell_done(turn, status == ERR_STALE_EPOCH ? status : ERR_UNKNOWN);
        }
        break;
    }
    default:
        break;
    }
}

void partitions_lost(struct steward *steward, int status) {
    struct node *node = steward->node;
    struct partition *p;
    struct partition *next;
    bool out = false;
    DL_FOREACH(steward->partitions, p) {
        out = out || p->state == PARTITION_PROPOSING;
    }
    if (out) {
        epoch_renew(node); /* dots of proposals that are out may yet show up */
    }
    node->partitions_pinned++;
    DL_FOREACH_SAFE(steward->partitions, p, next) {
        partition_lost(p, status);
        tell_waiting(p, status);
        partition_advance(p);
    }
    node->partitions_pinned--;
}
