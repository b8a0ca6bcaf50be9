/* chain_recover: promises, tails and pendings that a recovering node takes over from others. */
#include "node/core/chain_recover.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/acceptor.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "node/core/settle.h"
#include "shared/err.h"

struct chain_recover {
    struct work work;
    struct node *node;
    void (*done)(void *context, int status);
    void *context;
    uint8_t kind;
    uint16_t slice;
    struct rows_hold hold;
    struct bytes partition; /* empty for a promise */
    struct bytes value;
    uint8_t bytes[];
};

static void recover_drop(struct work *work) {
    struct chain_recover *recover = (struct chain_recover *)(void *)work;
    rows_release(&recover->hold);
    free(recover);
}

static void recover_end(struct chain_recover *recover, int status) {
    struct node *node = recover->node;
    void (*done)(void *, int) = recover->done;
    void *context = recover->context;
    work_end(node, &recover->work);
    recover_drop(&recover->work);
    done(context, status);
    node_check_idle(node);
}

static void on_committed(void *context, int status) {
    struct chain_recover *recover = context;
    recover->node->counters.commit_errors += status != 0 ? 1 : 0;
    if (recover->kind != 'p') {
        settle_look(recover->node, recover->slice, recover->partition,
                    rows_held(&recover->hold, HELD_PENDING));
    }
    recover_end(recover, status);
}

/* The row that is to become `value`; NULL when what is here is as late. */
static struct row *row_to_put(struct chain_recover *recover) {
    struct row *promise = rows_held(&recover->hold, HELD_PROMISE);
    struct row *tail = rows_held(&recover->hold, HELD_TAIL);
    struct row *pending = rows_held(&recover->hold, HELD_PENDING);
    struct ballot applied = chain_applied(blob_bytes(tail->newest));
    struct ballot other = {0};
    switch (recover->kind) {
    case 'p':
        return chain_promise(recover->value) > chain_promise(blob_bytes(promise->newest)) ? promise
                                                                                          : NULL;
    case 's':
        return ballot_compare(chain_applied(recover->value), applied) > 0 ? tail : NULL;
    default:
        other = chain_ballot(recover->value);
        return ballot_compare(other, applied) > 0 &&
                       ballot_compare(other, chain_ballot(blob_bytes(pending->newest))) > 0
                   ? pending
                   : NULL;
    }
}

/* Why it is not known how late what is here is; 0 when it is, or is lost. */
static int unknown_here(const struct chain_recover *recover) {
    for (uint32_t i = 0; i < recover->hold.n; i++) {
        int status = rows_held(&recover->hold, i)->newest_status;
        if (status != 0 && status != ERR_CORRUPT) {
            return status;
        }
    }
    return 0;
}

static void on_held(void *context) {
    struct chain_recover *recover = context;
    int err = unknown_here(recover);
    if (err != 0 || node_trusts_itself(recover->node, recover->slice)) {
        recover_end(recover, err);
        return;
    }
    struct row *row = row_to_put(recover);
    struct row *pending = rows_held(&recover->hold, HELD_PENDING);
    if (row == NULL) {
        recover_end(recover, 0);
        return;
    }
    struct rows_commit *commit = rows_commit_new(recover->node->rows, 2);
    rows_commit_put(commit, row, blob_new(recover->value));
    if (recover->kind == 's' && pending->newest != NULL &&
        ballot_compare(chain_ballot(blob_bytes(pending->newest)), chain_applied(recover->value)) <=
            0) {
        rows_commit_remove(commit, pending);
    }
    rows_commit_start(commit, false, on_committed, recover);
}

static int check(struct node *node, uint8_t kind, struct bytes value) {
    struct chain_tail tail;
    struct batch batch;
    switch (kind) {
    case 'p':
        return value.size == CHAIN_PROMISE_SIZE ? 0 : ERR_INVALID;
    case 's':
        return value.size > 0 ? chain_tail_decode(value, &tail) : ERR_INVALID;
    case 'q':
        if (chain_batch_decode(value, &node->scratch[0], &batch) != 0) {
            return ERR_INVALID;
        }
        batch_release(&batch);
        return 0;
    default:
        return ERR_INVALID;
    }
}

int chain_recover(struct node *node, struct bytes key, struct bytes value,
                  void (*done)(void *context, int status), void *context) {
    const struct ring *ring = membership_ring(node->membership);
    struct bytes partition = bytes_of(NULL, 0);
    uint16_t slice = 0;
    if (rowkey_chain(key, &slice, &partition) != 0 || check(node, key.data[0], value) != 0 ||
        slice >= ring->n_slices || !ring_is_replica(ring, slice, node->config.id)) {
        return ERR_INVALID;
    }
    size_t size = partition.size + value.size;
    struct chain_recover *recover = memory_new(1, sizeof *recover + size);
    if (!work_begin(node, &recover->work, size)) {
        free(recover);
        return ERR_BUSY;
    }
    recover->work.drop = recover_drop;
    recover->node = node;
    recover->done = done;
    recover->context = context;
    recover->kind = key.data[0];
    recover->slice = slice;
    bytes_store(bytes_store(recover->bytes, partition), value);
    recover->partition = bytes_of(recover->bytes, partition.size);
    recover->value = bytes_of(recover->bytes + partition.size, value.size);
    chain_hold(node, &recover->hold, slice, recover->partition, on_held, recover);
    if (rows_hold_wait(&recover->hold)) {
        on_held(recover);
    }
    return 0;
}
