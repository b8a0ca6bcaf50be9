/* coordinator_rows: the new rows of a batch, made from what stands and what its conditions allow.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "node/core/condition.h"
#include "node/core/coordinator_batch.h"
#include "node/core/plant.h"
#include "node/core/recount.h"
#include "node/core/recovery.h"
#include "node/core/repair.h"
#include "shared/err.h"
#include "shared/overlay.h"

enum { LOGGED_KEY_MAX = 40 }; /* bytes of a key in a line of the log */

static bool writes(const struct row_op *op) {
    return op->kind != ROW_GUARD;
}

static struct row *row_at(const struct batch_request *batch, uint32_t index) {
    return rows_held(&batch->hold, 1 + index);
}

/* Decodes the row of operation `index` to scratch 0 and what the client saw of it. Both were
 * checked. */
static void decode_op(struct batch_request *batch, uint32_t index) {
    struct node *node = batch->request.node;
    struct row *row = row_at(batch, index);
    bool counts = batch->batch.ops[index].condition == ROW_COUNT_MAX;
    versions_decode(counts ? bytes_of(NULL, 0) : blob_bytes(row->newest), &node->scratch[0]);
    context_decode(batch->batch.ops[index].seen, &node->scratch_context);
}

void batch_release_ops(struct batch_request *batch) {
    for (uint32_t i = 0; batch->ops != NULL && i < batch->batch.n; i++) {
        blob_unref(batch->ops[i].blob);
        batch->ops[i] = (struct batch_op){0};
    }
    buffer_clear(&batch->contexts);
}

/* ---- conditions ---- */

static void note_known(struct batch_request *batch, const struct sibling *mine) {
    for (uint32_t i = 0; i < batch->n_known; i++) {
        struct dot dot = batch->known_dots[i];
        if (dot.actor == mine->dot.actor && dot.counter == mine->dot.counter) {
            return;
        }
    }
    if (batch->n_known < BATCH_KNOWN_DOTS_MAX) {
        batch->known_dots[batch->n_known++] = mine->dot;
    }
    batch->known_stamp_ns = mine->stamp_ns;
}

/* Whether a row has the operation's id already, or remembers that it was replaced; notes the dots
 * where it stands. */
static bool known_batch(struct batch_request *batch) {
    const struct versions *versions = &batch->request.node->scratch[0];
    bool known = false;
    batch->n_known = 0;
    batch->known_stamp_ns = 0;
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        if (!writes(&batch->batch.ops[i])) {
            continue;
        }
        decode_op(batch, i);
        const struct sibling *mine = versions_find(versions, &batch->batch.op);
        if (mine != NULL) {
            note_known(batch, mine);
        }
        known |= mine != NULL || versions_had_replaced(versions, &batch->batch.op);
    }
    known |= batch_is_strict(batch) && batch_propose_known(batch);
    return known && !PLANTED(FORGET_OP);
}

/* A dot of the known batch that the row in scratch 0 covers; NULL when there is none. */
static const struct dot *known_dot_seen(const struct batch_request *batch) {
    const struct context *context = &batch->request.node->scratch[0].context;
    for (uint32_t i = 0; i < batch->n_known; i++) {
        if (context_covers(context, batch->known_dots[i])) {
            return &batch->known_dots[i];
        }
    }
    return NULL;
}

/* The client has seen a version of a row of which this node knows none: it lags, which asking a
 * quorum will show, or the row was deleted and its tombstone is gone too (reaper.h). */
static bool seen_and_gone(const struct row_op *op, const struct versions *row,
                          const struct context *seen) {
    return op->condition == ROW_IF_MATCH && seen->n > 0 && row->context.n == 0;
}

/* The index of the first operation whose condition does not hold on what stands here; the batch's
 * size when all do. A retry has passed before: what changed since is not held against it. */
static uint32_t first_failing(struct batch_request *batch) {
    struct node *node = batch->request.node;
    struct tally tally = tally_of(blob_bytes(rows_held(&batch->hold, 0)->newest));
    batch->known = known_batch(batch);
    for (uint32_t i = 0; i < batch->batch.n && !batch->known; i++) {
        const struct row_op *op = &batch->batch.ops[i];
        const struct versions *row = &node->scratch[0];
        decode_op(batch, i);
        if (!condition_holds(op, row, &node->scratch_context, &tally) ||
            seen_and_gone(op, row, &node->scratch_context)) {
            return i;
        }
    }
    return batch->batch.n;
}

/* ---- CONFIRMING ---- */

/* The row learns at once what all that answered have of it: one that is corrupt must not come to be
 * a single copy's. */
static void join_row(struct batch_request *batch, uint32_t index) {
    struct request *request = &batch->request;
    struct node *node = request->node;
    struct versions *here = &node->scratch[0];
    struct versions *there = &node->scratch[1];
    struct buffer joined = {0};
    const struct row *row = row_at(batch, index);
    struct bytes sort_key = batch->batch.ops[index].sort_key;
    versions_decode(blob_bytes(row->newest), here);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        const struct peer *peer = &request->peers[i];
        if (peer->state == PEER_DONE && versions_decode(peer->reply, there) == 0) {
            versions_merge(here, there);
        }
    }
    versions_encode(here, &joined);
    if (row->newest_status != 0) {
        repair_whole(node, request->key, sort_key, buffer_bytes(&joined));
    } else if (!bytes_equal(buffer_bytes(&joined), blob_bytes(row->newest))) {
        repair_row(node, 0, request->key, sort_key, buffer_bytes(&joined));
    }
    buffer_release(&joined);
}

static void answer_conflict(struct batch_request *batch, const struct batch_reply *reply) {
    struct buffer *encoded = &batch->request.node->encoded;
    buffer_clear(encoded);
    batch_reply_encode(reply, encoded);
    request_answer(&batch->request, ERR_CONFLICT, buffer_bytes(encoded));
}

void batch_conflict_here(struct batch_request *batch, uint32_t index) {
    struct batch_reply reply = {.failed_index = index};
    reply.tally = tally_of(blob_bytes(rows_held(&batch->hold, 0)->newest));
    if (batch->batch.ops[index].condition != ROW_COUNT_MAX) {
        reply.current = blob_bytes(row_at(batch, index)->newest);
    }
    batch->request.node->counters.conflicts++;
    answer_conflict(batch, &reply);
    batch_end(batch);
}

static uint8_t confirm_needed(const struct batch_request *batch) {
    return request_needed(&batch->request, batch->request.node->config.read_quorum);
}

/* This node may lag behind (it was away, its copy is corrupt): before it says no, or if it cannot
 * say anything, it learns what a quorum has of the row. */
static void confirm(struct batch_request *batch, uint32_t index) {
    struct request *request = &batch->request;
    uint32_t needed = confirm_needed(batch) - 1u;
    batch->confirmed = index;
    request->node->counters.confirmed++;
    request_phase(request);
    request_move(request, REQUEST_CONFIRMING);
    uint32_t asked = request_ask_some(request, request->n_peers, MESSAGE_READ, MESSAGE_STRICT,
                                      batch->batch.ops[index].sort_key);
    if (asked < needed || asked == 0) {
        batch_fail_missed(batch, ERR_UNAVAILABLE, 1);
    } else {
        request_arm(request, NODE_REPLICA_TIMEOUT_MS * NS_PER_MS);
    }
}

static bool is_corrupt(const struct batch_request *batch) {
    return row_at(batch, batch->confirmed)->newest_status == ERR_CORRUPT;
}

/* How many answers settle it. A doubtful copy here takes a quorum beside it. A corrupt one takes
 * those that together have all that was acknowledged here, or all the others to say that they have
 * none. */
static uint32_t answers_needed(const struct batch_request *batch) {
    const struct request *request = &batch->request;
    if (!is_corrupt(batch)) {
        return confirm_needed(batch) - 1u;
    }
    for (uint32_t i = 0; i < request->n_peers; i++) {
        if (request->peers[i].state == PEER_DONE && request->peers[i].reply.size > 0) {
            return recovery_others_needed(request->node);
        }
    }
    return request->n_peers;
}

/* What the replicas that answered have of the row is learnt here; then everything is looked at
 * again. */
static void confirmed(struct batch_request *batch) {
    struct request *request = &batch->request;
    if (batch->batch.ops[batch->confirmed].condition != ROW_COUNT_MAX) {
        join_row(batch, batch->confirmed);
    }
    if (is_corrupt(batch) && request_count(request, PEER_DONE) == request->n_peers) {
        /* No replica has anything of it: it is as if nobody had written it. */
        rows_forget(row_at(batch, batch->confirmed));
        epoch_renew(request->node);
    }
    request_move(request, REQUEST_LOADING);
    timers_set(request->node->timers, &request->timer, request->deadline_ns);
    batch_loaded(batch);
}

void batch_confirm_heard(struct batch_request *batch, struct peer *peer,
                         const struct message *message) {
    struct request *request = &batch->request;
    struct get_reply reply;
    bool good = peer->status == 0 && get_reply_decode(message->payload, &reply) == 0;
    peer->state = good ? PEER_DONE : PEER_REFUSED;
    if (good) {
        free((void *)(uintptr_t)peer->reply.data);
        peer->reply = bytes_copy(reply.versions);
    }
    uint32_t done = request_count(request, PEER_DONE);
    uint32_t asked = request_count(request, PEER_ASKED);
    if (done >= answers_needed(batch)) {
        confirmed(batch);
    } else if (asked == 0 || (!is_corrupt(batch) && done + asked < answers_needed(batch))) {
        batch_fail_missed(batch, ERR_UNAVAILABLE, 1 + done);
    }
}

/* ---- new rows ---- */

/* Whether a context that has `dot` added to `seen` would cover siblings that `seen` does not. */
static bool covers_others(const struct versions *versions, const struct context *seen,
                          struct dot dot) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        struct dot other = versions->siblings[i].dot;
        if (other.actor == dot.actor && other.counter < dot.counter &&
            !context_covers(seen, other)) {
            return true;
        }
    }
    return false;
}

/* What a client may claim to have seen after its write: all that stands, if that is its write
 * alone; else what it had seen and its write, but not the siblings that it never saw. A context
 * cannot name a dot without the earlier ones of its actor: where that would cover a sibling, the
 * client is told no more than it had seen, and its next write stays beside this one. */
static void put_context(struct batch_request *batch, uint32_t index,
                        const struct versions *versions) {
    struct context *seen = &batch->request.node->scratch_context;
    struct batch_op *op = &batch->ops[index];
    const struct sibling *mine = versions_find(versions, &batch->batch.op);
    op->context_at = batch->contexts.size;
    if (versions->n_siblings == 1 && mine != NULL) {
        context_encode(&versions->context, &batch->contexts);
    } else {
        context_decode(batch->batch.ops[index].seen, seen);
        /* A known batch that is not there any more was replaced since: it was seen too. */
        const struct dot *dot = mine != NULL ? &mine->dot : known_dot_seen(batch);
        if (dot != NULL && !covers_others(versions, seen, *dot)) {
            context_add(seen, *dot);
        }
        context_encode(seen, &batch->contexts);
    }
    op->context_size = batch->contexts.size - op->context_at;
}

/* ---- late overwrites ----
 *
 * A client that hears nothing for a second asks the next replica, and the first may get its turn
 * much later: then an OVERWRITE must not replace what was written since. A request tells when it
 * was first sent, in the nodes' time as its client has heard it. Siblings with a later stamp are
 * newer. A first try that meets one is refused, and may be sent again, later; a retry, which may
 * stand elsewhere, stays beside them. */

static bool is_newer(const struct batch_request *batch, const struct sibling *sibling) {
    uint64_t sent_ns = batch->request.stamp_ns;
    return sent_ns != 0 && sibling->stamp_ns > sent_ns;
}

static bool meets_newer(const struct batch_request *batch, const struct versions *versions) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        if (is_newer(batch, &versions->siblings[i])) {
            return true;
        }
    }
    return false;
}

/* Adds the siblings that are not newer, where that covers none that is. */
static void see_older(const struct batch_request *batch, const struct versions *versions,
                      struct context *seen) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        if (!is_newer(batch, sibling) && !covers_others(versions, seen, sibling->dot)) {
            context_add(seen, sibling->dot);
        }
    }
}

/* The latest stamp of what a first try would overwrite though it is newer; 0 = it does not. */
static uint64_t comes_late(struct batch_request *batch) {
    const struct versions *versions = &batch->request.node->scratch[0];
    bool first_try = !batch->known && (batch->request.flags & MESSAGE_RETRY) == 0;
    uint64_t latest_ns = 0;
    for (uint32_t i = 0; first_try && i < batch->batch.n; i++) {
        if (batch->batch.ops[i].condition != ROW_OVERWRITE) {
            continue;
        }
        decode_op(batch, i);
        for (uint32_t k = 0; k < versions->n_siblings; k++) {
            const struct sibling *sibling = &versions->siblings[k];
            if (is_newer(batch, sibling) && sibling->stamp_ns > latest_ns) {
                latest_ns = sibling->stamp_ns;
            }
        }
    }
    return latest_ns;
}

/* A write that may have been overtaken is shown after what came since: it has the stamp of its
 * sending. Others have this node's. */
static uint64_t stamp_of(struct batch_request *batch) {
    struct node *node = batch->request.node;
    uint64_t sent_ns = batch->request.stamp_ns;
    uint64_t now_ns = hlc_stamp(&node->hlc, node->env->wall_ns(node->env->self));
    if (batch->known_stamp_ns != 0) {
        return batch->known_stamp_ns;
    }
    bool late = (batch->request.flags & MESSAGE_RETRY) != 0 || now_ns - sent_ns > BATCH_LATE_NS;
    return late && sent_ns != 0 && sent_ns < now_ns ? sent_ns : now_ns;
}

/* What the write replaces: what the client saw; with OVERWRITE, and with IF_ABSENT once it passed,
 * also all that stands here and is not newer. Left in the node's scratch context. */
static const struct context *replaced(struct batch_request *batch, uint32_t index,
                                      const struct versions *versions) {
    struct context *seen = &batch->request.node->scratch_context;
    uint8_t condition = batch->batch.ops[index].condition;
    context_decode(batch->batch.ops[index].seen, seen);
    bool absent = condition == ROW_IF_ABSENT && versions_live_outside(versions, seen) == 0;
    /* A strict one has its place in line: nothing before it is newer. */
    bool whole = batch_is_strict(batch) || !meets_newer(batch, versions);
    if (absent || (condition == ROW_OVERWRITE && whole)) {
        context_join(seen, &versions->context);
    } else if (condition == ROW_OVERWRITE) {
        see_older(batch, versions, seen);
    }
    return seen;
}

/* ---- retries ----
 *
 * Rows that a batch writes in one try get one dot, and a retry writes only rows that the batch
 * never reached. So the dot under which it stands in one row tells of the others: a row whose
 * context covers it had the write, and replaced it since. Both kinds stay as they are: a write is
 * never moved to another dot, since two retries that moved it would each drop what the other holds.
 * A row that never got the write (the first try was cut short, and repair brought single rows) is
 * written under a fresh dot of this node: under the old one the row would claim the earlier dots of
 * its actor, which it may lack. */

/* Whether the row in scratch 0 has or had the known batch's write. */
static bool had_write(const struct batch_request *batch) {
    const struct versions *versions = &batch->request.node->scratch[0];
    return versions_find(versions, &batch->batch.op) != NULL ||
           versions_had_replaced(versions, &batch->batch.op) || known_dot_seen(batch) != NULL;
}

static bool any_row_missed(struct batch_request *batch) {
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        if (writes(&batch->batch.ops[i])) {
            decode_op(batch, i);
            if (!had_write(batch)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- the row as it is to become ---- */

static int check_size(const struct versions *versions) {
    if (versions->n_siblings > VERSIONS_SIBLINGS_MAX ||
        versions->context.n > VERSIONS_CONTEXT_MAX) {
        return ERR_SIBLINGS;
    }
    if (versions_encoded_size(versions) > NODE_ROW_SIZE_MAX) {
        return versions->n_siblings > 1 ? ERR_SIBLINGS : ERR_TOO_BIG;
    }
    return 0;
}

static void put_hex(struct bytes bytes, char *ret) {
    static const char digits[] = "0123456789abcdef";
    size_t n = bytes.size < LOGGED_KEY_MAX ? bytes.size : LOGGED_KEY_MAX;
    for (size_t i = 0; i < n; i++) {
        ret[2 * i] = digits[bytes.data[i] >> 4];
        ret[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    ret[2 * n] = '\0';
}

/* One line for a row, not one for each write that comes to it. */
static void warn_of_siblings(struct batch_request *batch, uint32_t index, uint32_t n) {
    struct node *node = batch->request.node;
    struct bytes sort_key = batch->batch.ops[index].sort_key;
    uint64_t n_untold = 0;
    uint64_t origin =
        XXH3_64bits_withSeed(sort_key.data, sort_key.size,
                             XXH3_64bits(batch->request.key.data, batch->request.key.size));
    node->counters.many_siblings++;
    if (!complaints_tell(&node->complaints, VERSIONS_SIBLINGS_WARN, origin, node_now(node),
                         &n_untold)) {
        return;
    }
    char partition[2 * LOGGED_KEY_MAX + 1], row[2 * LOGGED_KEY_MAX + 1], line[320];
    put_hex(batch->request.key, partition);
    put_hex(sort_key, row);
    snprintf(line, sizeof line,
             "row %s of partition %s (hex) has %u concurrent versions, %u are the most: writers "
             "should read it first; ringctl resolve keeps one",
             row, partition, (unsigned)n, (unsigned)VERSIONS_SIBLINGS_MAX);
    node->env->log(node->env->self, 1, line);
}

static int finish_row(struct batch_request *batch, uint32_t index) {
    struct node *node = batch->request.node;
    struct versions *versions = &node->scratch[0];
    int err = check_size(versions);
    if (err != 0) {
        return err;
    }
    if (versions->n_siblings >= VERSIONS_SIBLINGS_WARN) {
        warn_of_siblings(batch, index, versions->n_siblings);
    }
    buffer_clear(&node->encoded);
    versions_encode(versions, &node->encoded);
    batch->ops[index].blob = blob_new(buffer_bytes(&node->encoded));
    put_context(batch, index, versions);
    return 0;
}

/* What becomes of the row's value; appended. */
static void patch_value(const struct row_op *op, const struct versions *versions,
                        struct buffer *into) {
    const struct sibling *winner = versions_winner(versions);
    overlay_apply(op->value, winner != NULL ? winner->value : bytes_of(NULL, 0), into);
}

/* `patched` holds the value of a patch as long as the row in scratch 0 borrows it. */
static void put_write(struct batch_request *batch, uint32_t index, const struct sibling *write,
                      struct buffer *patched) {
    struct versions *versions = &batch->request.node->scratch[0];
    const struct row_op *op = &batch->batch.ops[index];
    struct sibling sibling = *write;
    sibling.op = batch->batch.op;
    sibling.flags = op->kind == ROW_DELETE ? SIBLING_TOMBSTONE : 0;
    sibling.value = op->value;
    if (op->kind == ROW_PATCH) {
        patch_value(op, versions, patched);
        sibling.value = buffer_bytes(patched);
    }
    versions_put(versions, replaced(batch, index, versions), &sibling);
}

/* A retry's row goes out as it stands. */
static void keep_row(struct batch_request *batch, uint32_t index) {
    struct versions *versions = &batch->request.node->scratch[0];
    batch->ops[index].blob = blob_ref(row_at(batch, index)->newest);
    put_context(batch, index, versions);
}

static int make_row(struct batch_request *batch, uint32_t index, struct dot dot,
                    uint64_t stamp_ns) {
    decode_op(batch, index);
    if (batch->known && had_write(batch)) {
        keep_row(batch, index);
        return 0;
    }
    struct buffer patched = {0};
    struct sibling write = {.dot = dot, .stamp_ns = stamp_ns};
    put_write(batch, index, &write, &patched);
    int err = finish_row(batch, index);
    buffer_release(&patched);
    return err;
}

static int make_rows(struct batch_request *batch) {
    struct node *node = batch->request.node;
    struct dot dot = {0};
    uint64_t stamp_ns = 0;
    if (!batch->known || any_row_missed(batch)) {
        dot = epoch_dot(node);
        stamp_ns = stamp_of(batch);
        batch->dot = dot;
    }
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        int err = writes(&batch->batch.ops[i]) ? make_row(batch, i, dot, stamp_ns) : 0;
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* The first row that could not be read, after the tally; the batch's size when all were. */
static uint32_t first_unreadable(const struct batch_request *batch) {
    uint32_t index = 0;
    while (index < batch->batch.n && row_at(batch, index)->newest_status == 0) {
        index++;
    }
    return index;
}

/* A strict batch that is done: its rows are as they stand. */
static void keep_rows(struct batch_request *batch) {
    for (uint32_t i = 0; i < batch->batch.n; i++) {
        if (writes(&batch->batch.ops[i])) {
            decode_op(batch, i);
            keep_row(batch, i);
        }
    }
    batch->tally = tally_of(blob_bytes(rows_held(&batch->hold, 0)->newest));
}

/* Whether a condition fails on a row of which this node knows nothing, and has not asked others: an
 * unconditional write may not have reached it. */
static bool lacks_row(struct batch_request *batch, uint32_t index) {
    decode_op(batch, index);
    return batch->confirmed != index &&
           seen_and_gone(&batch->batch.ops[index], &batch->request.node->scratch[0],
                         &batch->request.node->scratch_context);
}

/* Of a batch that was withdrawn: the next patch whose row is to be learnt; the batch's size when
 * there is none. */
static uint32_t next_to_learn(const struct batch_request *batch) {
    uint32_t index = batch->withdrawn ? batch->n_learnt : batch->batch.n;
    while (index < batch->batch.n && batch->batch.ops[index].kind != ROW_PATCH) {
        index++;
    }
    return index;
}

/* A strict batch with its turn: done before, refused, or made and proposed. */
static void strict_loaded(struct batch_request *batch, uint32_t failing) {
    struct node *node = batch->request.node;
    uint32_t unlearnt = batch->known ? batch->batch.n : next_to_learn(batch);
    int err = 0;
    if (!batch->known && batch_propose_forgotten(batch)) {
        batch_fail_missed(batch, ERR_UNKNOWN, 1);
    } else if (unlearnt < batch->batch.n) {
        batch->n_learnt = unlearnt + 1;
        confirm(batch, unlearnt);
    } else if (failing < batch->batch.n && lacks_row(batch, failing)) {
        confirm(batch, failing);
    } else if (failing < batch->batch.n) {
        batch_propose_conflict(batch, failing);
    } else if (batch->known) {
        keep_rows(batch);
        /* Where leases are granted each of a majority has to let those know who hold some. */
        if (batch->request.needed <= round_majority(node) && node->config.lease_ms == 0) {
            batch_answer_done(batch);
        } else {
            batch_propose(batch);
        }
    } else if ((err = epoch_ready(node)) != 0 || (err = make_rows(batch)) != 0) {
        batch_fail(batch, err);
    } else {
        batch_propose(batch);
    }
}

void batch_loaded(struct batch_request *batch) {
    struct node *node = batch->request.node;
    uint32_t n = batch->batch.n;
    uint32_t unreadable = first_unreadable(batch);
    bool tally_good = rows_held(&batch->hold, 0)->newest_status == 0;
    if (unreadable < n && row_at(batch, unreadable)->newest_status == ERR_CORRUPT && tally_good &&
        batch->confirmed != unreadable) {
        confirm(batch, unreadable);
        return;
    }
    if (!tally_good) {
        recount_start(node, batch->request.key);
    }
    if (unreadable < n || !tally_good) {
        batch_fail_missed(batch, ERR_UNAVAILABLE, 0);
        return;
    }
    uint32_t failing = first_failing(batch);
    if (batch_is_strict(batch)) {
        strict_loaded(batch, failing);
        return;
    }
    uint64_t newer_ns = comes_late(batch);
    if (newer_ns != 0) {
        node->counters.late_overwrites++;
        request_move(&batch->request, REQUEST_ANSWERED);
        answer_late(node, &batch->request.asker, newer_ns);
        batch_end(batch);
        return;
    }
    int err = epoch_ready(node);
    err = err == 0 ? make_rows(batch) : err;
    if (err != 0) {
        batch_fail(batch, err);
    } else {
        batch_replicate(batch);
    }
}
