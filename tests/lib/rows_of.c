/* rows_of: puts, gets and scans against a cluster of tests/lib/cluster.h, in one line each. */
#include "tests/lib/rows_of.h"

#include <assert.h>
#include <string.h>

#include "node/core/blob.h"
#include "node/core/rowkey.h"

static uint32_t next_op = 1u << 20;

struct op_id op_of(uint32_t number) {
    struct op_id op = {{0}};
    bytes_store_u32(op.bytes, number);
    return op;
}

static struct bytes text(const char *string, const char *otherwise) {
    return bytes_of_string(string != NULL ? string : otherwise);
}

uint64_t ask_batch(struct cluster *cluster, const struct write *head, const struct row_op *ops,
                   uint32_t n) {
    struct buffer payload = {0};
    struct batch batch = {.op = op_of(head->op != 0 ? head->op : next_op++),
                          .n = n,
                          .ops = (struct row_op *)(uintptr_t)ops};
    batch_encode(&batch, &payload);
    struct message message = {.type = MESSAGE_BATCH,
                              .flags = head->flags,
                              .budget_ms = head->budget_ms != 0 ? head->budget_ms : 3000,
                              .stamp_ns = head->stamp_ns,
                              .age_ms = head->age_ms,
                              .key = text(head->key, "p"),
                              .payload = buffer_bytes(&payload)};
    uint64_t ticket = cluster_ask(cluster, head->node != 0 ? head->node : 1, &message);
    buffer_release(&payload);
    return ticket;
}

uint64_t ask_write(struct cluster *cluster, const struct write *write) {
    struct row_op op = {.kind = write->value != NULL ? ROW_PUT : ROW_DELETE,
                        .condition = write->condition,
                        .sort_key = text(write->sort_key, ""),
                        .seen = write->seen,
                        .value = text(write->value, "")};
    return ask_batch(cluster, write, &op, 1);
}

int wait_for(struct cluster *cluster, uint64_t ticket) {
    for (int ms = 0; ms < 5000 && !cluster_answer(cluster, ticket).got; ms++) {
        cluster_advance(cluster, 1);
    }
    assert(cluster_answer(cluster, ticket).got);
    return cluster_answer(cluster, ticket).status;
}

int do_batch(struct cluster *cluster, const struct write *head, const struct row_op *ops,
             uint32_t n) {
    return wait_for(cluster, ask_batch(cluster, head, ops, n));
}

int do_write(struct cluster *cluster, const struct write *write, struct bytes *ret_context) {
    uint64_t ticket = ask_write(cluster, write);
    int status = wait_for(cluster, ticket);
    if (status == 0 && ret_context != NULL) {
        struct batch_reply reply;
        int err = batch_reply_decode(cluster_answer(cluster, ticket).payload, &reply);
        assert(err == 0 && reply.n_contexts == 1);
        (void)err;
        *ret_context = reply.contexts[0];
        batch_reply_release(&reply);
    }
    return status;
}

static void look(struct seen_row *ret, struct bytes encoded) {
    struct versions versions = {0};
    int err = versions_decode(encoded, &versions);
    assert(err == 0);
    (void)err;
    const struct sibling *winner = versions_winner(&versions);
    ret->n_siblings = versions.n_siblings;
    ret->n_live = versions_live(&versions);
    if (winner != NULL && winner->value.size < sizeof ret->value) {
        memcpy(ret->value, winner->value.data != NULL ? winner->value.data : (const uint8_t *)"",
               winner->value.size);
    }
    if (encoded.size > 0) {
        /* The context as clients carry it stands behind the format byte. */
        ret->context = bytes_of(encoded.data + 1, 4 + (size_t)versions.context.n * 16);
    }
    versions_release(&versions);
}

struct seen_row do_get(struct cluster *cluster, uint16_t node, const char *key,
                       const char *sort_key, uint16_t flags) {
    struct seen_row ret = {0};
    struct message message = {.type = MESSAGE_GET,
                              .flags = flags,
                              .budget_ms = 3000,
                              .key = text(key, "p"),
                              .payload = text(sort_key, "")};
    struct cluster_answer answer = cluster_call(cluster, node, &message);
    ret.status = answer.status;
    if (answer.status == 0) {
        struct get_reply reply;
        int err = get_reply_decode(answer.payload, &reply);
        assert(err == 0);
        (void)err;
        ret.tally = reply.tally;
        look(&ret, reply.versions);
    }
    return ret;
}

struct seen_row stored_row(struct cluster *cluster, uint16_t node, const char *key,
                           const char *sort_key) {
    struct seen_row ret = {0};
    struct buffer disk_key = {0};
    struct bytes partition_key = text(key, "p");
    rowkey_put_row(&disk_key, ring_slice(cluster_ring(cluster), partition_key), partition_key,
                   text(sort_key, ""));
    struct bytes stored = disk_mem_get(cluster_disk(cluster, node), buffer_bytes(&disk_key));
    buffer_release(&disk_key);
    struct bytes encoded = {0};
    ret.status = stored.size > 0 ? blob_check(stored, &encoded) : 0;
    if (ret.status == 0) {
        look(&ret, encoded);
    }
    return ret;
}
