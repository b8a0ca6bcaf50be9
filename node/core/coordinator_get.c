/* coordinator_get: one row at the level asked, repaired where replicas differ. */
#include <stdlib.h>
#include <string.h>

#include "node/core/apply.h"
#include "node/core/condition.h"
#include "node/core/coordinator_read.h"
#include "node/core/pending.h"
#include "node/core/recount.h"
#include "node/core/repair.h"
#include "node/core/replica.h"
#include "node/core/rowkey.h"
#include "node/core/settle.h"
#include "shared/err.h"

struct get {
    struct quorum_read read;
    struct rows_hold hold; /* the row, the tally, the pending */
    struct blob *local;
};

static struct get *get_from(struct request *request) {
    return (struct get *)(void *)request;
}

static void get_answer(struct quorum_read *read, struct bytes versions) {
    struct buffer *encoded = &read->request.node->encoded;
    struct get_reply reply = {.tally = read->tally, .versions = versions};
    buffer_clear(encoded);
    get_reply_encode(&reply, encoded);
    request_answer(&read->request, 0, buffer_bytes(encoded));
}

/* Those that have answered have nothing of the row, nor is anything of it pending there. If that is
 * all of them and it cannot be read here, it is as if nobody had written it; else it could never be
 * read again. */
static void forget(struct quorum_read *read) {
    const struct request *request = &read->request;
    if (read->local_status == ERR_CORRUPT &&
        request_count(request, PEER_DONE) == request->n_peers) {
        apply_forget(request->node, request->key, request->payload);
    }
}

/* Brings `versions` to those replicas, this one included, that are known to lack them. */
static void repair(struct quorum_read *read, struct bytes versions) {
    struct request *request = &read->request;
    if (versions.size == 0) {
        forget(read);
    }
    if (versions.size == 0 || read->pending) {
        return;
    }
    bool whole = quorum_read_is_whole(read);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        struct bytes has = peer->same ? read->local : peer->reply;
        if ((peer->broken && whole) || (peer->state == PEER_DONE && !bytes_equal(has, versions))) {
            repair_row(request->node, peer->node, request->key, request->payload, versions);
        }
    }
    if (read->local_status == 0 && !bytes_equal(read->local, versions)) {
        repair_row(request->node, 0, request->key, request->payload, versions);
    } else if (read->local_status != 0 && whole) {
        repair_whole(request->node, request->key, request->payload, versions);
    }
}

static void get_agreed(struct quorum_read *read) {
    get_answer(read, read->local);
    repair(read, read->local);
    request_end(&read->request);
}

/* What all that answered have, with what is here. */
static void merge_all(struct quorum_read *read, struct buffer *into) {
    struct request *request = &read->request;
    struct versions *merged = &request->node->scratch[0];
    struct versions *other = &request->node->scratch[1];
    versions_decode(read->local, merged);
    for (uint32_t i = 0; i < request->n_peers; i++) {
        struct peer *peer = &request->peers[i];
        if (peer->state == PEER_DONE && !peer->same) {
            versions_decode(peer->reply, other);
            versions_merge(merged, other);
        }
    }
    versions_encode(merged, into);
}

static void get_fetched(struct quorum_read *read) {
    struct buffer encoded = {0};
    merge_all(read, &encoded);
    get_answer(read, buffer_bytes(&encoded));
    repair(read, buffer_bytes(&encoded));
    buffer_release(&encoded);
    request_end(&read->request);
}

/* The row cannot be read here, and those that have not said what they have lost it: they recover,
 * perhaps from this node, and wait for it. What there is makes it whole. */
static void get_lost(struct quorum_read *read) {
    struct request *request = &read->request;
    struct buffer encoded = {0};
    if (read->local_status != ERR_CORRUPT) {
        return;
    }
    merge_all(read, &encoded);
    if (encoded.size == 0) {
        forget(read);
    } else if (!read->pending) {
        repair_whole(request->node, request->key, request->payload, buffer_bytes(&encoded));
    }
    buffer_release(&encoded);
}

/* The row as this node has it; of a strict read, without what is pending. */
static struct blob *local_row(struct get *get, int *status) {
    struct request *request = &get->read.request;
    const struct row *pending = rows_held(&get->hold, 2);
    struct blob *row = rows_held(&get->hold, 0)->durable;
    if ((request->flags & MESSAGE_STRICT) != 0 || *status != 0) {
        return blob_ref(row);
    }
    if (pending->durable_status == ERR_CORRUPT) {
        settle_broken(request->node, pending);
    }
    if (pending->durable_status != 0) {
        *status = pending->durable_status;
        return NULL;
    }
    get->read.pending |= pending->durable != NULL;
    struct buffer joined = {0};
    struct bytes versions = pending_join(request->node, blob_bytes(pending->durable),
                                         request->payload, blob_bytes(row), &joined);
    struct blob *ret = joined.size > 0 ? blob_new(versions) : blob_ref(row);
    buffer_release(&joined);
    return ret;
}

static void on_local(void *context) {
    struct get *get = context;
    const struct row *row = rows_held(&get->hold, 0);
    int status = row->durable_status;
    struct tally tally = tally_of(blob_bytes(rows_held(&get->hold, 1)->durable));
    if ((get->read.request.flags & MESSAGE_STRICT) == 0) {
        tally = pending_tally(blob_bytes(rows_held(&get->hold, 2)->durable), tally);
    }
    get->local = local_row(get, &status);
    quorum_read_learn_tally(&get->read, &tally);
    if (rows_held(&get->hold, 1)->durable_status == ERR_CORRUPT) {
        recount_start(get->read.request.node, get->read.request.key);
    }
    row_digest(blob_bytes(get->local), get->read.digest);
    rows_release(&get->hold);
    quorum_read_local(&get->read, status, blob_bytes(get->local));
}

static void get_begin(struct request *request) {
    struct get *get = get_from(request);
    struct node *node = request->node;
    int err = sort_key_check(request->payload);
    if (err != 0) {
        request_answer(request, err, bytes_of(NULL, 0));
        request_end(request);
        return;
    }
    get->read.ask_type = MESSAGE_READ;
    get->read.agreed = get_agreed;
    get->read.fetched = get_fetched;
    get->read.lost = get_lost;
    if (!quorum_read_begin(&get->read)) {
        return;
    }
    rows_hold_init(&get->hold, 3, on_local, get);
    buffer_clear(&node->key);
    rowkey_put_row(&node->key, request->slice, request->key, request->payload);
    rows_hold_add(node->rows, &get->hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, request->slice, request->key);
    rows_hold_add(node->rows, &get->hold, buffer_bytes(&node->key));
    buffer_clear(&node->key);
    rowkey_put_pending(&node->key, request->slice, request->key);
    rows_hold_add(node->rows, &get->hold, buffer_bytes(&node->key));
    if (rows_hold_wait(&get->hold)) {
        on_local(get);
    }
}

static void get_heard(struct request *request, struct peer *peer, const struct message *message) {
    struct get *get = get_from(request);
    struct get_reply reply = {0};
    bool full = request->state == REQUEST_FETCHING;
    get->read.pending |= (message->flags & MESSAGE_PENDING) != 0;
    int err = peer->status == 0 ? get_reply_decode(message->payload, &reply) : 0;
    if (peer->status == 0 && err == 0 && full) {
        err = versions_decode(reply.versions, &request->node->scratch[0]);
    } else if (peer->status == 0 && err == 0 && reply.versions.size != sizeof peer->digest) {
        err = ERR_INVALID;
    }
    if (err != 0) {
        peer->status = ERR_INVALID;
    }
    if (peer->status == 0) {
        quorum_read_learn_tally(&get->read, &reply.tally);
        if (full) {
            peer->reply = bytes_copy(reply.versions);
        } else {
            memcpy(peer->digest, reply.versions.data, sizeof peer->digest);
        }
    }
    quorum_read_heard(&get->read, peer);
}

static void get_release(struct request *request) {
    struct get *get = get_from(request);
    rows_release(&get->hold);
    blob_unref(get->local);
}

const struct request_kind coordinator_get = {
    .type = MESSAGE_GET,
    .size = sizeof(struct get),
    .begin = get_begin,
    .heard = get_heard,
    .expired = quorum_read_expired,
    .release = get_release,
};
