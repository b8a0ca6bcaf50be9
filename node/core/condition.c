/* condition: whether a batch's conditions hold on what one replica has of its rows. */
#include "node/core/condition.h"

bool batch_has_patches(const struct batch *batch) {
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].kind == ROW_PATCH) {
            return true;
        }
    }
    return false;
}

bool batch_is_conditional(const struct batch *batch) {
    for (uint32_t i = 0; i < batch->n; i++) {
        if (batch->ops[i].condition != ROW_ANY && batch->ops[i].condition != ROW_OVERWRITE) {
            return true;
        }
    }
    return batch_has_patches(batch);
}

bool condition_holds(const struct row_op *op, const struct versions *row,
                     const struct context *seen, const struct tally *tally) {
    switch (op->condition) {
    case ROW_IF_MATCH:
        return versions_covered_by(row, seen);
    case ROW_IF_ABSENT:
        return versions_live_outside(row, seen) == 0;
    case ROW_COUNT_MAX:
        return tally->n_live <= op->count_max;
    default:
        return true;
    }
}

struct tally tally_of(struct bytes bytes) {
    struct reader r = reader_of(bytes);
    struct tally tally;
    tally.n_live = reader_u64(&r);
    tally.changed_ns = reader_u64(&r);
    return tally;
}

void tally_put(const struct tally *tally, struct buffer *into) {
    buffer_put_u64(into, tally->n_live);
    buffer_put_u64(into, tally->changed_ns);
}

bool tally_follow(struct tally *tally, bool was_live, const struct versions *row) {
    const struct sibling *winner = versions_winner(row); /* NULL: twins replaced one another */
    bool is_live = versions_live(row) > 0;
    if (is_live == was_live) {
        return false;
    }
    if (is_live) {
        tally->n_live++;
    } else if (tally->n_live > 0) {
        tally->n_live--;
    }
    if (winner != NULL && winner->stamp_ns > tally->changed_ns) {
        tally->changed_ns = winner->stamp_ns;
    }
    return true;
}
