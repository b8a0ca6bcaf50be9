/* acceptor: strict batches on a replica: PREPARE, TAIL, PROPOSE and CHOSEN. */
#include "node/core/acceptor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/apply.h"
#include "node/core/partition_sync.h"
#include "node/core/plant.h"
#include "node/core/recount.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/settle.h"
#include "node/core/steward.h"
#include "node/core/watch.h"
#include "shared/err.h"

struct acceptance {
    struct work work;
    struct node *node;
    struct asker asker;
    uint8_t type;
    bool synced;
    bool answered; /* nobody waits for the answer */
    bool unsure;   /* it was decided by what is in flight, and may fail */
    uint16_t slice;
    uint64_t epoch;
    int64_t deadline_ns;
    struct rows_hold hold;
    struct rows_hold rows; /* of `pending` */
    struct blob *pending;  /* whose rows are held; NULL = none */
    struct batch batch;    /* of that */
    bool covering;
    struct batch proposed;     /* the batch of the proposal */
    struct rows_hold its_rows; /* of that; COVERING */
    struct chain_proposal proposal;
    uint64_t writer;        /* PROPOSE: of its batch */
    struct watch_wait wait; /* PROPOSE: before it is accepted */
    struct bytes key;
    struct bytes payload;
    uint8_t bytes[];
};

/* ---- what is held ---- */

void chain_hold(struct node *node, struct rows_hold *hold, uint16_t slice, struct bytes key,
                void (*ready)(void *context), void *context) {
    rows_hold_init(hold, 3, ready, context);
    buffer_clear(&node->key);
    rowkey_put_promise(&node->key, slice);
    rows_hold_add(node->rows, hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_tail(&node->key, slice, key);
    rows_hold_add(node->rows, hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_pending(&node->key, slice, key);
    rows_hold_add(node->rows, hold, buffer_bytes(&node->key));
}

void chain_hold_rows(struct node *node, struct rows_hold *hold, struct bytes key,
                     const struct batch *batch, void (*ready)(void *context), void *context) {
    uint16_t slice = ring_slice(membership_ring(node->membership), key);
    rows_hold_init(hold, 1 + batch->n, ready, context);
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, slice, key);
    rows_hold_add(node->rows, hold, buffer_bytes(&node->key));
    for (uint32_t i = 0; i < batch->n; i++) {
        buffer_clear(&node->key);
        rowkey_put_row(&node->key, slice, key, batch->ops[i].sort_key);
        rows_hold_add(node->rows, hold, buffer_bytes(&node->key));
    }
}

int chain_hold_status(const struct rows_hold *hold) {
    int status = 0;
    for (uint32_t i = 0; i < hold->n && status == 0; i++) {
        status = rows_held(hold, i)->newest_status;
    }
    return status;
}

int chain_rows_status(struct node *node, const struct rows_hold *hold, struct bytes key) {
    for (uint32_t i = 0; i < hold->n; i++) {
        int status = rows_held(hold, i)->newest_status;
        if (status == ERR_CORRUPT && i == 0) {
            recount_start(node, key);
        }
        if (status != 0 && (i == 0 || status != ERR_CORRUPT)) {
            return status;
        }
    }
    return 0;
}

void chain_apply(struct merge *merge, const struct rows_hold *chain, const struct rows_hold *rows,
                 struct bytes encoded, const struct batch *batch) {
    struct chain_proposal proposal;
    struct chain_tail tail;
    struct row *tail_row = rows_held(chain, HELD_TAIL);
    chain_proposal_decode(encoded, &proposal);
    chain_tail_decode(blob_bytes(tail_row->newest), &tail);
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].kind != ROW_GUARD) {
            merge_row(merge, rows_held(rows, 1 + i), batch->ops[i].value, NULL);
        }
    }
    struct chain_op op = {batch->op, proposal.stamp_ns, proposal.dot};
    chain_tail_push(&tail, proposal.ballot, &op);
    struct buffer *into = &merge->node->encoded;
    buffer_clear(into);
    chain_tail_encode(&tail, into);
    rows_commit_put(merge->commit, tail_row, blob_new(buffer_bytes(into)));
}

void chain_put_pending(struct node *node, struct rows_commit *commit, struct row *pending,
                       const struct chain_put *put) {
    rows_commit_put(commit, pending, blob_new(put->proposal));
    if (put->batch->n == 1 && put->batch->ops[0].kind != ROW_GUARD) {
        const struct row_op *op = &put->batch->ops[0];
        buffer_clear(&node->key);
        rowkey_put_row(&node->key, put->slice, put->key, op->sort_key);
        rows_commit_like(commit, buffer_bytes(&node->key),
                         (size_t)(op->value.data - put->proposal.data));
    }
}

/* ---- life ---- */

static void acceptance_free(struct acceptance *a) {
    watch_wait_end(a->node->watches, &a->wait);
    rows_release(&a->rows);
    rows_release(&a->its_rows);
    rows_release(&a->hold);
    batch_release(&a->batch);
    batch_release(&a->proposed);
    blob_unref(a->pending);
    free(a);
}

static void acceptance_drop(struct work *work) {
    acceptance_free((struct acceptance *)(void *)work);
}

/* Tells what is durable. */
static void tell(struct acceptance *a, int status) {
    struct node *node = a->node;
    struct chain_reply reply = {.incarnation = recovery_life(node)};
    const struct row *promise = rows_held(&a->hold, HELD_PROMISE);
    /* One that refuses tells what it will not go below, durable or not. */
    const struct blob *told = status == ERR_STALE_EPOCH ? promise->newest : promise->durable;
    reply.promise = chain_promise(blob_bytes(told));
    if (status == 0 && a->type == MESSAGE_TAIL) {
        reply.tail = blob_bytes(rows_held(&a->hold, HELD_TAIL)->durable);
        reply.pending = blob_bytes(rows_held(&a->hold, HELD_PENDING)->durable);
    }
    buffer_clear(&node->encoded);
    chain_reply_encode(&reply, &node->encoded);
    answer(node, &a->asker, status, buffer_bytes(&node->encoded));
    a->answered = true;
}

static void acceptance_end(struct acceptance *a, int status) {
    struct node *node = a->node;
    if (status == ERR_STALE_EPOCH) {
        node->counters.stale_epochs++;
    }
    if (!a->answered && (status == 0 || status == ERR_STALE_EPOCH)) {
        tell(a, status);
    } else if (!a->answered) {
        answer_status(node, &a->asker, status);
    }
    work_end(node, &a->work);
    acceptance_free(a);
    node_check_idle(node);
}

static void on_heard(void *context) {
    acceptance_end(context, 0);
}

/* Accepts a proposal as soon as everybody who has to know may know of it. */
static void end_accepted(struct acceptance *a) {
    if (a->type != MESSAGE_PROPOSE || a->answered ||
        watch_wait(a->node->watches, &a->wait, a->key, a->writer, on_heard, a)) {
        acceptance_end(a, 0);
    }
}

/* Whether a proposal is in the rows or the pending, on the disk. */
static bool is_durable(const struct acceptance *a) {
    struct ballot ballot = a->proposal.ballot;
    struct bytes tail = blob_bytes(rows_held(&a->hold, HELD_TAIL)->durable);
    struct bytes pending = blob_bytes(rows_held(&a->hold, HELD_PENDING)->durable);
    return ballot_compare(ballot, chain_applied(tail)) <= 0 ||
           ballot_compare(ballot, chain_ballot(pending)) == 0;
}

static void on_committed(void *context, int status) {
    struct acceptance *a = context;
    struct node *node = a->node;
    node->counters.commit_errors += status != 0 ? 1 : 0;
    /* Of a commit that failed, too: the pending that it was to end stands again. */
    settle_look(node, a->slice, a->key, rows_held(&a->hold, HELD_PENDING));
    if (status == 0 && a->unsure && a->type == MESSAGE_PROPOSE && !is_durable(a)) {
        acceptance_end(a, ERR_UNKNOWN);
    } else if (status == 0) {
        end_accepted(a);
    } else {
        acceptance_end(a, status);
    }
}

/* ---- deciding ---- */

static uint64_t promise_of(const struct acceptance *a) {
    return chain_promise(blob_bytes(rows_held(&a->hold, HELD_PROMISE)->newest));
}

static struct ballot applied_of(const struct acceptance *a) {
    return chain_applied(blob_bytes(rows_held(&a->hold, HELD_TAIL)->newest));
}

/* Adds the promise if the epoch raises it; or again if it is not durable yet. Whether it rose: then
 * the caller says so to the steward here, once the commit is handed over. */
static bool put_promise(struct acceptance *a, struct rows_commit *commit) {
    struct row *row = rows_held(&a->hold, HELD_PROMISE);
    bool raises = a->epoch > promise_of(a);
    if (PLANTED(PROMISE_LOST)) {
        return false;
    }
    if (raises) {
        struct buffer encoded = {0};
        chain_promise_encode(a->epoch, &encoded);
        rows_commit_put(commit, row, blob_new(buffer_bytes(&encoded)));
        buffer_release(&encoded);
    } else if (row_in_flight(row)) {
        rows_commit_put(commit, row, blob_ref(row->newest));
    }
    return raises;
}

/* A commit that changes nothing, behind all that are in flight. */
static void put_as_it_is(struct rows_commit *commit, struct row *row) {
    if (row->newest != NULL) {
        rows_commit_put(commit, row, blob_ref(row->newest));
    } else {
        rows_commit_remove(commit, row);
    }
}

/* Nothing changes but perhaps the promise; answered when the disk has answered all that is in
 * flight. Tail and pending are not put once more: if the commit that brings them fails and this one
 * does not, they would stand without the rows that come with them. */
static void commit_as_is(struct acceptance *a) {
    struct rows_commit *commit = rows_commit_new(a->node->rows, 1);
    struct row *promise = rows_held(&a->hold, HELD_PROMISE);
    bool waits = row_in_flight(promise);
    bool raises = put_promise(a, commit);
    a->unsure = a->type != MESSAGE_PREPARE && (row_in_flight(rows_held(&a->hold, HELD_TAIL)) ||
                                               row_in_flight(rows_held(&a->hold, HELD_PENDING)));
    if (a->unsure && !raises && !waits) {
        put_as_it_is(commit, promise);
    }
    if (rows_commit_start(commit, raises || waits || a->synced, on_committed, a)) {
        end_accepted(a);
    } else if (raises) {
        steward_outbid(a->node, a->slice, a->epoch);
    }
}

/* The pending that stands is chosen: into the rows with it. */
static void apply_pending(struct acceptance *a, struct merge *merge) {
    chain_apply(merge, &a->hold, &a->rows, blob_bytes(a->pending), &a->batch);
    a->node->counters.strict_applied++;
}

static void begin_merge(struct acceptance *a, struct merge *merge, bool applies) {
    if (applies) {
        merge_begin(merge, a->node, rows_held(&a->rows, 0), a->batch.n + 3, a->synced);
    } else {
        *merge = (struct merge){.node = a->node, .commit = rows_commit_new(a->node->rows, 3)};
    }
}

/* A planted bug, see plant.h. */
static void spread_early(struct acceptance *a) {
    struct buffer encoded = {0};
    struct batch batch;
    if (chain_batch_decode(a->payload, &a->node->scratch[0], &batch) == 0) {
        batch_encode(&batch, &encoded);
        apply_here(a->node, a->key, buffer_bytes(&encoded), NULL, NULL);
        batch_release(&batch);
    }
    buffer_release(&encoded);
}

static void accept(struct acceptance *a, bool applies) {
    struct merge merge;
    begin_merge(a, &merge, applies);
    if (applies) {
        apply_pending(a, &merge);
    }
    bool raises = put_promise(a, merge.commit);
    chain_put_pending(a->node, merge.commit, rows_held(&a->hold, HELD_PENDING),
                      &(struct chain_put){a->slice, a->key, a->payload, &a->proposed});
    if (PLANTED(APPLY_EARLY)) {
        spread_early(a);
    }
    if (PLANTED(ACCEPT_EARLY)) {
        tell(a, 0);
    }
    rows_commit_start(merge_finish(&merge), raises || a->synced, on_committed, a);
    if (raises) {
        steward_outbid(a->node, a->slice, a->epoch);
    }
}

static void fall_behind(struct acceptance *a) {
    if (PLANTED(BEHIND_ACCEPTS) && a->type == MESSAGE_PROPOSE) {
        accept(a, false);
        return;
    }
    a->node->counters.strict_behind++;
    partition_sync(a->node, a->key, a->asker.endpoint.node, NULL, NULL);
    acceptance_end(a, ERR_BUSY);
}

/* 0 when the proposed rows were made with all that this replica has of them. (What is pending here
 * the steward has, or the proposal is not accepted.) A row that cannot be read may hold anything.
 */
static int check_covered(const struct acceptance *a) {
    struct versions *here = &a->node->scratch[0];
    struct versions *proposed = &a->node->scratch[1];
    for (uint32_t i = 0; i < a->proposed.n; i++) {
        const struct row *row = rows_held(&a->its_rows, 1 + i);
        if (a->proposed.ops[i].kind == ROW_GUARD) {
            continue;
        }
        if (row->newest_status != 0) {
            return row->newest_status;
        }
        versions_decode(a->proposed.ops[i].value, proposed);
        versions_decode(blob_bytes(row->newest), here);
        if (!versions_covered_by(here, &proposed->context)) {
            return ERR_CONFLICT;
        }
    }
    return 0;
}

static void decide_propose(struct acceptance *a) {
    struct ballot applied = applied_of(a);
    struct ballot ballot = a->proposal.ballot;
    bool has_pending = a->pending != NULL;
    struct ballot pending = chain_ballot(blob_bytes(a->pending));
    bool again = has_pending && ballot_compare(pending, ballot) == 0;
    int covered = a->covering ? check_covered(a) : 0;
    if (again || ballot_compare(ballot, applied) <= 0) {
        commit_as_is(a);
    } else if (covered != 0) {
        acceptance_end(a, covered);
    } else if (has_pending && ballot_compare(pending, a->proposal.prev) == 0) {
        accept(a, true);
    } else if (ballot_compare(applied, a->proposal.prev) == 0 &&
               ballot_compare(pending, ballot) < 0) {
        accept(a, false);
    } else {
        fall_behind(a);
    }
}

static void decide_chosen(struct acceptance *a) {
    struct ballot pending = chain_ballot(blob_bytes(a->pending));
    if (a->pending != NULL && ballot_compare(pending, a->proposal.ballot) == 0) {
        struct merge merge;
        begin_merge(a, &merge, true);
        apply_pending(a, &merge);
        rows_commit_remove(merge.commit, rows_held(&a->hold, HELD_PENDING));
        rows_commit_start(merge_finish(&merge), false, on_committed, a);
    } else if (ballot_compare(applied_of(a), a->proposal.ballot) < 0) {
        fall_behind(a);
    } else {
        acceptance_end(a, 0);
    }
}

static void decide(struct acceptance *a) {
    struct node *node = a->node;
    if (!a->answered && node_now(node) > a->deadline_ns) {
        node->counters.late++;
        acceptance_end(a, ERR_TIMEOUT);
    } else if (a->type == MESSAGE_CHOSEN) {
        decide_chosen(a);
    } else if (a->epoch > 0 && a->epoch < promise_of(a)) {
        acceptance_end(a, ERR_STALE_EPOCH);
    } else if (a->type == MESSAGE_PROPOSE) {
        decide_propose(a);
    } else {
        commit_as_is(a);
    }
}

static void on_rows(void *context);

/* The pending changed, or its rows are not held yet. */
static void hold_pending(struct acceptance *a) {
    struct node *node = a->node;
    rows_release(&a->rows);
    batch_release(&a->batch);
    blob_unref(a->pending);
    a->batch = (struct batch){0};
    a->pending = blob_ref(rows_held(&a->hold, HELD_PENDING)->newest);
    if (a->pending == NULL) {
        on_rows(a);
        return;
    }
    if (chain_batch_decode(blob_bytes(a->pending), &node->scratch[0], &a->batch) != 0) {
        acceptance_end(a, ERR_CORRUPT);
        return;
    }
    chain_hold_rows(node, &a->rows, a->key, &a->batch, on_rows, a);
    if (rows_hold_wait(&a->rows)) {
        on_rows(a);
    }
}

static void on_rows(void *context) {
    struct acceptance *a = context;
    int err = chain_rows_status(a->node, &a->rows, a->key);
    if (err != 0) {
        acceptance_end(a, err);
    } else if (rows_held(&a->hold, HELD_PENDING)->newest != a->pending) {
        hold_pending(a);
    } else {
        decide(a);
    }
}

static void on_its_rows(void *context) {
    hold_pending(context);
}

static void hold_its_rows(struct acceptance *a) {
    if (!a->covering) {
        hold_pending(a);
        return;
    }
    chain_hold_rows(a->node, &a->its_rows, a->key, &a->proposed, on_its_rows, a);
    if (rows_hold_wait(&a->its_rows)) {
        hold_pending(a);
    }
}

static void on_held(void *context) {
    struct acceptance *a = context;
    int err = chain_hold_status(&a->hold);
    if (err == 0 && !node_trusts_itself(a->node, a->slice)) {
        err = ERR_RECOVERING;
    }
    bool promised = rows_held(&a->hold, HELD_PROMISE)->newest_status == 0;
    bool of_steward = a->type == MESSAGE_PROPOSE || a->type == MESSAGE_CHOSEN;
    if (err == ERR_CORRUPT && promised && of_steward && a->epoch >= promise_of(a)) {
        fall_behind(a); /* its copy is overwritten with the steward's */
    } else if (err != 0) {
        acceptance_end(a, err);
    } else if (of_steward) {
        hold_its_rows(a);
    } else {
        decide(a);
    }
}

static void hold_all(struct acceptance *a) {
    chain_hold(a->node, &a->hold, a->slice, a->key, on_held, a);
    if (rows_hold_wait(&a->hold)) {
        on_held(a);
    }
}

/* ---- messages ---- */

static struct acceptance *acceptance_new(struct node *node, const struct endpoint *from,
                                         const struct message *message, struct bytes key) {
    size_t size = key.size + message->payload.size;
    struct acceptance *a = memory_resize(NULL, sizeof *a + size);
    memset(a, 0, sizeof *a);
    if (!work_begin(node, &a->work, size)) {
        free(a);
        return NULL;
    }
    a->work.drop = acceptance_drop;
    a->node = node;
    a->asker = asker_of(from, message);
    a->type = message->type;
    a->synced = (message->flags & MESSAGE_SYNCED) != 0;
    a->covering = a->type == MESSAGE_PROPOSE && (message->flags & MESSAGE_COVERING) != 0;
    a->slice = ring_slice(membership_ring(node->membership), key);
    a->deadline_ns = node_deadline(node, message);
    bytes_store(bytes_store(a->bytes, key), message->payload);
    a->key = bytes_of(a->bytes, key.size);
    a->payload = bytes_of(a->bytes + key.size, message->payload.size);
    return a;
}

/* Checks the payload and takes from it what the decision needs; 0 or ERR_INVALID. */
static int take_payload(struct acceptance *a) {
    struct reader r = reader_of(a->payload);
    struct batch batch = {0};
    switch (a->type) {
    case MESSAGE_PREPARE:
        a->slice = reader_u16(&r);
        a->epoch = reader_u64(&r);
        return a->slice < membership_ring(a->node->membership)->n_slices ? reader_end(&r)
                                                                         : ERR_INVALID;
    case MESSAGE_TAIL:
        a->epoch = reader_u64(&r);
        return reader_end(&r);
    default:
        if (chain_batch_decode(a->payload, &a->node->scratch[0], &batch) != 0) {
            return ERR_INVALID;
        }
        a->writer = watch_writer(&batch.op);
        a->proposed = batch;
        chain_proposal_decode(a->payload, &a->proposal);
        a->epoch = a->proposal.ballot.epoch;
        return 0;
    }
}

static bool is_replica(const struct node *node, uint16_t slice) {
    return ring_is_replica(membership_ring(node->membership), slice, node->config.id);
}

static void receive_chosen(struct node *node, const struct endpoint *from,
                           const struct message *message) {
    struct reader r = reader_of(message->payload);
    struct message one = *message;
    one.payload = bytes_of(NULL, 0);
    while (r.left > 0) {
        struct bytes key = reader_sized8(&r);
        struct ballot ballot;
        ballot.epoch = reader_u64(&r);
        ballot.seq = reader_u64(&r);
        struct acceptance *a = r.bad ? NULL : acceptance_new(node, from, &one, key);
        if (a == NULL) {
            node->counters.messages_bad += r.bad ? 1 : 0;
            return;
        }
        a->answered = true;
        a->proposal.ballot = ballot;
        if (is_replica(node, a->slice)) {
            hold_all(a);
        } else {
            acceptance_end(a, 0);
        }
    }
}

void acceptor_receive(struct node *node, const struct endpoint *from,
                      const struct message *message) {
    if (message->type == MESSAGE_CHOSEN) {
        receive_chosen(node, from, message);
        return;
    }
    struct asker asker = asker_of(from, message);
    struct acceptance *a = acceptance_new(node, from, message, message->key);
    if (a == NULL) {
        answer_status(node, &asker, ERR_BUSY);
        return;
    }
    if (take_payload(a) != 0) {
        node->counters.messages_bad++;
        acceptance_end(a, ERR_INVALID);
    } else if (!is_replica(node, a->slice)) {
        acceptance_end(a, ERR_WRONG_RING);
    } else {
        hold_all(a);
    }
}
