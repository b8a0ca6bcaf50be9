/* partition_sync: a partition's chosen rows and tail, fetched from a replica that has them. */
#include "node/core/partition_sync.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/acceptor.h"
#include "node/core/apply.h"
#include "node/core/round.h"
#include "node/core/settle.h"
#include "shared/err.h"

enum { SYNC_ROWS = 256, SYNC_BYTES = 1 << 20 };

struct partition_sync {
    struct work work;
    struct node *node;
    uint16_t slice;
    uint16_t from;
    uint32_t n_tries;
    void (*done)(void *context, int status);
    void *context;
    struct round round;
    struct buffer payload; /* of the round */
    struct buffer tail;    /* of `from` before the first page */
    uint16_t life;         /* of `from` when it told its tail */
    struct buffer cursor;
    bool more, copied;
    struct rows_hold hold;
    struct bytes key;
    uint8_t bytes[];
};

static void sync_drop(struct work *work) {
    struct partition_sync *sync = (struct partition_sync *)(void *)work;
    round_stop(&sync->round);
    rows_release(&sync->hold);
    buffer_release(&sync->payload);
    buffer_release(&sync->tail);
    buffer_release(&sync->cursor);
    free(sync);
}

static void sync_end(struct partition_sync *sync, int status) {
    struct node *node = sync->node;
    void (*done)(void *, int) = sync->done;
    void *context = sync->context;
    work_end(node, &sync->work);
    node->n_syncs--;
    sync_drop(&sync->work);
    if (done != NULL) {
        done(context, status);
    }
    node_check_idle(node);
}

/* ---- the tail, when all rows are here, and still those that it spoke of ---- */

static void on_committed(void *context, int status) {
    struct partition_sync *sync = context;
    sync->node->counters.commit_errors += status != 0 ? 1 : 0;
    settle_look(sync->node, sync->slice, sync->key, rows_held(&sync->hold, HELD_PENDING));
    sync_end(sync, status);
}

/* A pending that is not later than the tail is in the rows, or lost against one that is. */
static bool pending_is_past(const struct partition_sync *sync, struct ballot applied) {
    const struct blob *pending = rows_held(&sync->hold, HELD_PENDING)->newest;
    return pending != NULL && ballot_compare(chain_ballot(blob_bytes(pending)), applied) <= 0;
}

static void on_held(void *context) {
    struct partition_sync *sync = context;
    struct node *node = sync->node;
    struct row *tail_row = rows_held(&sync->hold, HELD_TAIL);
    struct row *pending_row = rows_held(&sync->hold, HELD_PENDING);
    struct ballot applied = chain_applied(buffer_bytes(&sync->tail));
    if (rows_held(&sync->hold, HELD_PROMISE)->newest_status != 0 ||
        ballot_compare(applied, chain_applied(blob_bytes(tail_row->newest))) <= 0) {
        sync_end(sync, 0);
        return;
    }
    struct rows_commit *commit = rows_commit_new(node->rows, 2);
    rows_commit_put(commit, tail_row, blob_new(buffer_bytes(&sync->tail)));
    if (pending_row->newest_status != 0 || pending_is_past(sync, applied)) {
        rows_commit_remove(commit, pending_row);
    }
    rows_commit_start(commit, false, on_committed, sync);
}

static void finish(struct partition_sync *sync) {
    chain_hold(sync->node, &sync->hold, sync->slice, sync->key, on_held, sync);
    if (rows_hold_wait(&sync->hold)) {
        on_held(sync);
    }
}

/* ---- pages ---- */

static bool keep_trying(struct round *round) {
    struct partition_sync *sync = round->context;
    if (++sync->n_tries < PARTITION_SYNC_TRIES && node_alive(sync->node, sync->from) &&
        sync->node->state == NODE_SERVING) {
        return true;
    }
    sync_end(sync, ERR_UNAVAILABLE);
    return false;
}

static void ask(struct partition_sync *sync, uint8_t type) {
    sync->n_tries = 0;
    sync->round.type = type;
    sync->round.flags = type == MESSAGE_READ_SCAN ? MESSAGE_STRICT | MESSAGE_TOMBSTONES : 0;
    sync->round.payload = buffer_bytes(&sync->payload);
    round_start(&sync->round, sync->from);
}

static void ask_page(struct partition_sync *sync) {
    struct scan_request request = {
        .after = buffer_bytes(&sync->cursor), .rows_max = SYNC_ROWS, .bytes_max = SYNC_BYTES};
    buffer_clear(&sync->payload);
    scan_request_encode(&request, &sync->payload);
    ask(sync, MESSAGE_READ_SCAN);
}

static void ask_tail(struct partition_sync *sync) {
    buffer_clear(&sync->payload);
    buffer_put_u64(&sync->payload, 0);
    ask(sync, MESSAGE_TAIL);
}

static void on_applied(void *context, int status) {
    struct partition_sync *sync = context;
    if (status != 0) {
        sync_end(sync, status);
    } else if (sync->more) {
        ask_page(sync);
    } else {
        sync->copied = true;
        ask_tail(sync);
    }
}

static void apply_page(struct partition_sync *sync, const struct scan_reply *page) {
    struct row_op *ops = memory_new(page->n_rows + 1u, sizeof *ops);
    struct batch batch = {.n = page->n_rows, .ops = ops};
    struct buffer encoded = {0};
    for (uint32_t i = 0; i < page->n_rows; i++) {
        ops[i] = (struct row_op){
            .kind = ROW_PUT, .sort_key = page->rows[i].sort_key, .value = page->rows[i].versions};
    }
    batch_encode(&batch, &encoded);
    free(ops);
    int err = apply_here(sync->node, sync->key, buffer_bytes(&encoded), on_applied, sync);
    buffer_release(&encoded);
    if (err != 0) {
        sync_end(sync, err);
    }
}

static void take_page(struct partition_sync *sync, struct bytes payload) {
    struct scan_reply page;
    if (scan_reply_decode(payload, &page) != 0 || page.n_rows > BATCH_ROWS_MAX) {
        sync_end(sync, ERR_INVALID);
        return;
    }
    sync->more = page.more;
    buffer_clear(&sync->cursor);
    buffer_put_bytes(&sync->cursor, page.cursor);
    if (page.n_rows > 0) {
        apply_page(sync, &page);
    } else {
        on_applied(sync, 0);
    }
    scan_reply_release(&page);
}

static void heard(struct round *round, struct round_peer *peer, const struct message *message,
                  const struct chain_reply *reply) {
    struct partition_sync *sync = round->context;
    if (peer->status != 0) {
        return;
    }
    round_stop(round);
    if (reply == NULL) {
        take_page(sync, message->payload);
    } else if (!sync->copied) {
        sync->life = reply->incarnation;
        buffer_put_bytes(&sync->tail, reply->tail);
        ask_page(sync);
    } else if (reply->incarnation == sync->life) {
        finish(sync);
    } else {
        sync_end(sync, ERR_UNAVAILABLE); /* it lost its rows, perhaps before all pages were told */
    }
}

static bool under_way(const struct node *node, struct bytes key) {
    for (const struct work *work = node->works; work != NULL; work = work->next) {
        const struct partition_sync *sync = (const struct partition_sync *)(const void *)work;
        if (work->drop == sync_drop && bytes_equal(sync->key, key)) {
            return true;
        }
    }
    return false;
}

bool partition_sync(struct node *node, struct bytes key, uint16_t from,
                    void (*done)(void *context, int status), void *context) {
    if (node->n_syncs >= PARTITION_SYNCS_MAX || node->state != NODE_SERVING ||
        (node->n_syncs > 0 && under_way(node, key))) {
        return false;
    }
    struct partition_sync *sync = memory_new(1, sizeof *sync + key.size);
    if (!work_begin(node, &sync->work, SYNC_BYTES)) {
        free(sync);
        return false;
    }
    node->n_syncs++;
    node->counters.partition_syncs++;
    sync->work.drop = sync_drop;
    sync->node = node;
    sync->slice = ring_slice(membership_ring(node->membership), key);
    sync->from = from;
    sync->done = done;
    sync->context = context;
    bytes_store(sync->bytes, key);
    sync->key = bytes_of(sync->bytes, key.size);
    sync->round = (struct round){.node = node,
                                 .slice = sync->slice,
                                 .key = sync->key,
                                 .heard = heard,
                                 .again = keep_trying,
                                 .context = sync};
    ask_tail(sync);
    return true;
}
