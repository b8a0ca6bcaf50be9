/* repair: rows brought to a replica that lacks something of them. */
#include "node/core/repair.h"

#include <stdlib.h>

#include "node/core/apply.h"
#include "node/core/plant.h"

enum {
    REPAIR_ROWS_MAX = 256,
    REPAIR_BYTES = 1 << 20, /* a message is closed when it reaches this */
    REPAIR_ROW_OVERHEAD = 16,
};

static void flush(struct repair *repair) {
    struct node *node = repair->node;
    if (PLANTED(NO_REPAIR)) {
        repair->n = 0;
        return;
    }
    struct batch batch = {.n = repair->n, .ops = repair->ops};
    struct buffer payload = {0};
    batch_encode(&batch, &payload);
    struct message message = {.type = MESSAGE_REPAIR,
                              .key = repair->partition_key,
                              .payload = buffer_bytes(&payload),
                              .budget_ms = NODE_REPLICA_TIMEOUT_MS};
    if (repair->peer == 0 && repair->whole) {
        apply_whole(node, repair->partition_key, buffer_bytes(&payload), NULL, NULL);
    } else if (repair->peer == 0) {
        apply_here(node, repair->partition_key, buffer_bytes(&payload), NULL, NULL);
    } else if (payload.size <= MESSAGE_PAYLOAD_MAX) {
        node->counters.repairs_sent++;
        node_ask(node, repair->peer, &message);
    }
    buffer_release(&payload);
    repair->n = 0;
    repair->size = 0;
}

void repair_add(struct repair *repair, struct bytes sort_key, struct bytes versions) {
    size_t size = REPAIR_ROW_OVERHEAD + sort_key.size + versions.size;
    if (repair->n == REPAIR_ROWS_MAX || (repair->n > 0 && repair->size + size > REPAIR_BYTES)) {
        flush(repair);
    }
    if (repair->ops == NULL) {
        repair->ops = memory_new(REPAIR_ROWS_MAX, sizeof *repair->ops);
    }
    repair->ops[repair->n++] =
        (struct row_op){.kind = ROW_PUT, .sort_key = sort_key, .value = versions};
    repair->size += size;
}

void repair_send(struct repair *repair) {
    if (repair->n > 0) {
        flush(repair);
    }
    free(repair->ops);
    repair->ops = NULL;
}

static void repair_one(struct repair *repair, struct bytes sort_key, struct bytes versions) {
    struct row_op op = {.kind = ROW_PUT, .sort_key = sort_key, .value = versions};
    if (versions.size > 0) {
        repair->ops = &op;
        repair->n = 1;
        flush(repair);
    }
}

void repair_row(struct node *node, uint16_t peer, struct bytes partition_key, struct bytes sort_key,
                struct bytes versions) {
    struct repair repair = {.node = node, .peer = peer, .partition_key = partition_key};
    repair_one(&repair, sort_key, versions);
}

void repair_whole(struct node *node, struct bytes partition_key, struct bytes sort_key,
                  struct bytes versions) {
    struct repair repair = {.node = node, .partition_key = partition_key, .whole = true};
    repair_one(&repair, sort_key, versions);
}
