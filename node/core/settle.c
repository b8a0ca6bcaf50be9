/* settle: pendings that stay pending are brought to an end. */
#include "node/core/settle.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/rowkey.h"
#include "node/core/turn.h"
#include "shared/err.h"

enum { SETTLE_SCAN_BYTES = 64 << 20 };

struct settle {
    struct node *node;
    uint16_t slice;
    uint64_t epoch; /* of the pending */
    int64_t due_ns;
    int64_t after_ms;
    struct turn turn; /* when this node does it itself */
    struct bytes key;
    UT_hash_handle hh;
    uint8_t bytes[];
};

static void settle_free(struct settle *settle) {
    struct node *node = settle->node;
    turn_end(&settle->turn);
    HASH_DELETE(hh, node->settles, settle);
    free(settle);
}

void settle_drop(struct node *node) {
    struct settle *settle;
    struct settle *next;
    timers_cancel(node->timers, &node->settling);
    HASH_ITER(hh, node->settles, settle, next) {
        settle_free(settle);
    }
    free(node->settle_scan);
    node->settle_scan = NULL;
}

/* ---- a batch that changes nothing ---- */

void settle_encode_nothing(struct buffer *into) {
    struct row_op op = {.kind = ROW_GUARD, .condition = ROW_ANY};
    struct batch batch = {.n = 1, .ops = &op};
    batch_encode(&batch, into);
}

static void on_granted(void *context) {
    struct settle *settle = context;
    struct buffer encoded = {0};
    settle_encode_nothing(&encoded);
    struct chain_proposal content = {.batch = buffer_bytes(&encoded)};
    turn_propose(&settle->turn, &content, round_majority(settle->node), 0);
    buffer_release(&encoded);
}

static void on_done(void *context, int status) {
    struct settle *settle = context;
    if (status == 0) {
        settle_free(settle);
    } else {
        /* It has heard by now who is the steward. */
        settle->due_ns = node_now(settle->node) + SETTLE_AFTER_MS * NS_PER_MS;
    }
}

static void settle_here(struct settle *settle) {
    settle->turn = (struct turn){.granted = on_granted, .done = on_done, .context = settle};
    turn_take(settle->node, settle->slice, settle->key, &settle->turn);
}

static void settle_there(struct settle *settle, uint16_t steward) {
    struct node *node = settle->node;
    struct buffer encoded = {0};
    settle_encode_nothing(&encoded);
    struct message message = {.type = MESSAGE_BATCH,
                              .flags = MESSAGE_STRICT | MESSAGE_FORWARDED,
                              .id = node_request_id(node),
                              .budget_ms = NODE_REPLICA_TIMEOUT_MS,
                              .key = settle->key,
                              .payload = buffer_bytes(&encoded)};
    node_ask(node, steward, &message);
    buffer_release(&encoded);
}

/* Some other live replica: this one cannot be the steward of what it cannot read. */
static uint16_t another(const struct node *node, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        uint16_t id = ring->members[preference[i]].id;
        if (id != node->config.id && node_alive(node, id)) {
            return id;
        }
    }
    return 0;
}

static void settle_try(struct settle *settle) {
    struct node *node = settle->node;
    settle->after_ms =
        settle->after_ms * 2 < SETTLE_AFTER_MAX_MS ? settle->after_ms * 2 : SETTLE_AFTER_MAX_MS;
    settle->due_ns = node_now(node) + settle->after_ms * NS_PER_MS;
    node->counters.settles++;
    uint16_t steward = steward_route(node, settle->slice, settle->epoch);
    steward = settle->epoch == 0 ? another(node, settle->slice) : steward;
    if (steward != 0) {
        steward_forwarded(node, settle->slice);
        settle_there(settle, steward);
    } else if (settle->turn.partition == NULL) {
        settle_here(settle);
    }
}

static void on_timer(void *context) {
    struct node *node = context;
    int64_t now_ns = node_now(node);
    struct settle *settle;
    struct settle *next;
    if (node->state > NODE_SERVING || node->settles == NULL) {
        return;
    }
    timers_set(node->timers, &node->settling, now_ns + SETTLE_TICK_MS * NS_PER_MS);
    if (node->state == NODE_STARTING) {
        return;
    }
    HASH_ITER(hh, node->settles, settle, next) {
        if (now_ns >= settle->due_ns) {
            settle_try(settle);
            return; /* others may have gone meanwhile; the next tick takes the next one */
        }
    }
}

/* ---- which ---- */

/* Harmless for one that is watched. */
static void watch(struct node *node, uint16_t slice, struct bytes key, struct bytes pending) {
    struct settle *settle = NULL;
    HASH_FIND(hh, node->settles, key.data, key.size, settle);
    if (settle != NULL || HASH_COUNT(node->settles) >= SETTLES_MAX) {
        return;
    }
    settle = memory_new(1, sizeof *settle + key.size);
    settle->node = node;
    settle->slice = slice;
    settle->epoch = chain_ballot(pending).epoch; /* if it can be read at all */
    settle->after_ms = SETTLE_AFTER_MS;
    settle->due_ns = node_now(node) + SETTLE_AFTER_MS * NS_PER_MS;
    bytes_store(settle->bytes, key);
    settle->key = bytes_of(settle->bytes, key.size);
    HASH_ADD_KEYPTR(hh, node->settles, settle->key.data, settle->key.size, settle);
    if (!timer_armed(&node->settling)) {
        node->settling = (struct timer){.fire = on_timer, .context = node};
        timers_set(node->timers, &node->settling, settle->due_ns);
    }
}

void settle_broken(struct node *node, const struct row *pending) {
    struct bytes key;
    uint16_t slice;
    if (rowkey_chain(pending->key, &slice, &key) == 0) {
        watch(node, slice, key, bytes_of(NULL, 0));
    }
}

void settle_look(struct node *node, uint16_t slice, struct bytes key, const struct row *pending) {
    struct settle *settle = NULL;
    if (pending->newest != NULL || pending->newest_status != 0) {
        watch(node, slice, key, blob_bytes(pending->newest));
        return;
    }
    HASH_FIND(hh, node->settles, key.data, key.size, settle);
    if (settle != NULL && settle->turn.partition == NULL) {
        settle_free(settle);
    }
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows,
                       uint32_t n_rows, bool more) {
    struct node *node = scan->context;
    struct bytes key, value;
    uint16_t slice;
    (void)more; /* those beyond SETTLES_MAX are found when they are read */
    for (uint32_t i = 0; status == 0 && i < n_rows; i++) {
        if (rowkey_chain(rows[i].key, &slice, &key) == 0 &&
            blob_check(rows[i].value, &value) == 0) {
            watch(node, slice, key, value);
        }
    }
    node->settle_scan = NULL;
    free(scan);
}

void settle_start(struct node *node) {
    struct disk_scan *scan = memory_new(1, sizeof *scan);
    *scan = (struct disk_scan){.first = bytes_of_string("q"),
                               .before = bytes_of_string("r"),
                               .rows_max = SETTLES_MAX,
                               .bytes_max = SETTLE_SCAN_BYTES,
                               .done = on_scanned,
                               .context = node};
    node->settle_scan = scan;
    node->disk->scan(node->disk->self, scan);
}
