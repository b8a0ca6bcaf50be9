/* epoch: which dots this node may give out, across crashes and clean stops. */
#include <assert.h>

#include "node/core/handoff.h"
#include "node/core/hints.h"
#include "node/core/inside.h"
#include "node/core/plant.h"
#include "node/core/recovery.h"
#include "shared/err.h"

/* The mark lies under the key "mnode" (little-endian):
 *
 *   0  1  format, 1
 *   1  1  1 = the last stop was clean: `epoch` and `counter` may be continued
 *   2  4  epoch_end: the first epoch that was never used
 *   6  4  epoch      (clean)
 *  10  8  counter    (clean) the last one used
 *
 * It is synced before the node serves, so an epoch is durable as used before its first dot exists.
 * Several epochs are taken at a time, because one is used up by each commit of the node's own dots
 * that fails, and then may be no time to write. */
enum { MARK_FORMAT = 1, MARK_SIZE = 18 };

struct bytes epoch_mark_key(void) {
    return bytes_of("mnode", 5);
}

bool epoch_mark_clean(struct bytes mark) {
    struct reader r = reader_of(mark);
    uint8_t format = reader_u8(&r);
    return format == MARK_FORMAT && reader_u8(&r) == 1;
}

static void fail(struct node *node, int err) {
    rows_release(&node->mark);
    node->state = NODE_FAILED;
    node->failure = err;
}

static void put_mark(struct node *node, bool clean, uint32_t epoch_end,
                     void (*done)(void *context, int status)) {
    struct buffer mark = {0};
    buffer_put_u8(&mark, MARK_FORMAT);
    buffer_put_u8(&mark, clean ? 1 : 0);
    buffer_put_u32(&mark, epoch_end);
    buffer_put_u32(&mark, node->epoch);
    buffer_put_u64(&mark, node->counter);
    struct rows_commit *commit = rows_commit_new(node->rows, 1);
    rows_commit_put(commit, rows_held(&node->mark, 0), blob_new(buffer_bytes(&mark)));
    buffer_release(&mark);
    rows_commit_urge(commit); /* without a mark no start could tell what the disk holds */
    node->marking = true;
    node->epoch_asked = epoch_end;
    rows_commit_start(commit, true, done, node);
}

/* ---- start ---- */

static void on_started(void *context, int status) {
    struct node *node = context;
    node->marking = false;
    if (status != 0) {
        fail(node, status);
        return;
    }
    node->epoch_end = node->epoch_asked;
    if (node->state == NODE_STARTING) {
        node->state = NODE_SERVING;
        recovery_run(node);
        hints_start(node);
        handoff_start(node);
    }
    node_check_idle(node);
}

/* Reads the mark into the node; ERR_INVALID when it is of another format. */
static int take_mark(struct node *node, struct bytes bytes) {
    struct reader r = reader_of(bytes);
    uint8_t format = reader_u8(&r);
    bool clean = reader_u8(&r) == 1;
    uint32_t epoch_end = reader_u32(&r);
    uint32_t epoch = reader_u32(&r);
    uint64_t counter = reader_u64(&r);
    if (reader_end(&r) != 0 || format != MARK_FORMAT) {
        return ERR_INVALID;
    }
    node->epoch = clean ? epoch : epoch_end;
    node->counter = clean ? counter : 0;
    if (PLANTED(OLD_EPOCH)) {
        node->epoch = 1;
    }
    node->epoch_end = epoch_end;
    return 0;
}

static void on_mark(void *context) {
    struct node *node = context;
    const struct row *row = rows_held(&node->mark, 0);
    int err = row->durable_status;
    node->epoch = 1;
    node->epoch_end = 1;
    if (err == 0 && row->durable != NULL) {
        err = take_mark(node, blob_bytes(row->durable));
    }
    if (err != 0) {
        /* Guessing an epoch could give one dot to two writes. */
        fail(node, err);
        return;
    }
    uint32_t epoch_end = node->epoch_end;
    if (epoch_end - node->epoch < NODE_EPOCHS_AHEAD) {
        epoch_end = node->epoch + NODE_EPOCHS_AHEAD;
    }
    put_mark(node, false, epoch_end, on_started);
}

void epoch_start(struct node *node) {
    rows_hold_init(&node->mark, 1, on_mark, node);
    rows_hold_add(node->rows, &node->mark, epoch_mark_key());
    if (rows_hold_wait(&node->mark)) {
        on_mark(node);
    }
}

/* ---- stop ---- */

static void on_stopped(void *context, int status) {
    struct node *node = context;
    node->marking = false;
    node->failure = status;
    rows_release(&node->mark);
    node->state = NODE_STOPPED;
}

void epoch_stop(struct node *node) {
    put_mark(node, true, node->epoch_end, on_stopped);
}

/* ---- between ---- */

static void on_renewed(void *context, int status) {
    struct node *node = context;
    node->marking = false;
    node->mark_refused = status != 0;
    if (status == 0) {
        node->epoch_end = node->epoch_asked;
    } else {
        node->counters.commit_errors++;
    }
    node_check_idle(node);
}

int epoch_ready(struct node *node) {
    if (node->epoch < node->epoch_end) {
        return 0;
    }
    if (!node->marking) {
        put_mark(node, false, node->epoch + NODE_EPOCHS_AHEAD, on_renewed);
    }
    return node->mark_refused ? ERR_NO_SPACE : ERR_BUSY;
}

void epoch_renew(struct node *node) {
    if (node->epoch < node->epoch_end) {
        node->epoch++;
        node->counter = 0;
    }
}

struct dot epoch_dot(struct node *node) {
    assert(node->epoch < node->epoch_end);
    return (struct dot){epoch_actor(node), ++node->counter};
}

uint64_t epoch_actor(const struct node *node) {
    return actor_of(node->config.id, node->config.incarnation, node->epoch);
}

bool epoch_is_ahead(const struct node *node, const struct context *context) {
    uint64_t actor = epoch_actor(node);
    for (uint32_t i = 0; i < context->n; i++) {
        struct dot dot = context->entries[i];
        bool mine = dot.actor >> 32 == actor >> 32; /* of this node and incarnation */
        if (mine && (dot.actor > actor || (dot.actor == actor && dot.counter > node->counter))) {
            return true;
        }
    }
    return false;
}

void epoch_fail_old(struct node *node) {
    if (node->state == NODE_SERVING) {
        node->env->log(node->env->self, 0,
                       "the others know writes of this node that its data directory does not: it "
                       "is an old copy; start once with --rebuild, which refills it from them");
        node->state = NODE_FAILED;
        node->failure = ERR_STALE;
    }
}
