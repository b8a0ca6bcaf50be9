/* strict_history: the conditional batches of a run, judged for linearizability by partition. */
#include "tests/sim/strict_history.h"

#include <stdlib.h>

#include "shared/err.h"
#include "tests/lib/linear.h"
#include "tests/sim/directories.h"

#define NOT_A_WRITE UINT32_MAX

struct strict_history {
    struct world *world;
    uint32_t first_row, n_rows; /* of the partition, in the ledger */
    uint32_t n, n_max;
    uint32_t n_writes; /* while it is built: operations 0 .. n_writes-1 are writes */
    struct linear_op *ops;
    uint32_t *writes;                    /* by operation: its number in the ledger; NOT_A_WRITE */
    int64_t noise_from[LINEAR_ROWS_MAX]; /* when the first unconditional write began */
};

static bool is_conditional(const struct write *write) {
    for (uint32_t i = 0; i < write->n; i++) {
        if (write->rows[i].condition >= ROW_IF_MATCH || write->rows[i].kind == ROW_PATCH) {
            return true;
        }
    }
    return false;
}

static struct write *write_of(const struct strict_history *h, uint32_t op) {
    return &h->world->ledger.writes[h->writes[op]];
}

/* Whether an unconditional write that began before `before_ns` may have replaced the part. */
static bool replaced_by_others(const struct strict_history *h, const struct write_row *part,
                               int64_t before_ns) {
    struct ledger *ledger = &h->world->ledger;
    for (uint32_t i = 0; i < ledger->n; i++) {
        struct write *other = &ledger->writes[i];
        struct write_row *theirs = write_row_of(other, part->row);
        if (theirs != NULL && other->start_ns < before_ns && write_possible(other) &&
            !is_conditional(other) &&
            (theirs->condition == ROW_OVERWRITE || write_row_covered(part, &theirs->seen))) {
            return true;
        }
    }
    return false;
}

static bool covers(void *context, uint32_t op, uint32_t part, uint32_t other) {
    const struct strict_history *h = context;
    const struct write *write = write_of(h, op);
    struct write_row *theirs = write_row_of(write_of(h, other), write->rows[part].row);
    if (h->ops[op].kind == LINEAR_REFUSED && theirs->n_dots > 1) {
        return false; /* it may have seen a proposal of it that came to nothing */
    }
    return write_row_covered(theirs, &write->rows[part].seen) ||
           (h->noise_from[theirs->row - h->first_row] < h->ops[op].end_ns &&
            replaced_by_others(h, theirs, h->ops[op].end_ns));
}

/* What others may have done to the row meanwhile is not the operation's: a read that ended before
 * they began has seen the row without it. */
static bool replaces(void *context, uint32_t op, uint32_t part, uint32_t other) {
    const struct strict_history *h = context;
    const struct write *write = write_of(h, op);
    return write_row_covered(write_row_of(write_of(h, other), write->rows[part].row),
                             &write->rows[part].seen);
}

static bool noisy(void *context, uint32_t row, int64_t before_ns) {
    const struct strict_history *h = context;
    return h->noise_from[row] < before_ns;
}

/* ---- from the ledger ---- */

static bool in_partition(const struct strict_history *h, const struct write *write) {
    uint32_t row = write->n > 0 ? write->rows[0].row : UINT32_MAX;
    return row >= h->first_row && row < h->first_row + h->n_rows;
}

static void add_noise(struct strict_history *h, const struct write *write) {
    for (uint32_t i = 0; i < write->n; i++) {
        int64_t *from = &h->noise_from[write->rows[i].row - h->first_row];
        *from = write->start_ns < *from ? write->start_ns : *from;
    }
}

/* Whether a strict read saw it: then it was chosen, though no disk may ever have had it as it came.
 */
static bool was_read(const struct strict_history *h, uint32_t index) {
    const struct ledger *ledger = &h->world->ledger;
    for (uint32_t i = 0; i < ledger->n_reads; i++) {
        const struct strict_read *read = &ledger->reads[i];
        for (uint32_t k = 0; k < read->n; k++) {
            if (read->siblings[k].write == index) {
                return true;
            }
        }
    }
    return false;
}

static void add_write(struct strict_history *h, uint32_t index) {
    const struct write *write = &h->world->ledger.writes[index];
    struct linear_op *op = &h->ops[h->n];
    bool applied = false, proposed = false;
    for (uint32_t i = 0; i < write->n; i++) {
        const struct write_row *part = &write->rows[i];
        op->parts[op->n++] =
            (struct linear_part){(uint8_t)(part->row - h->first_row), part->kind, part->condition,
                                 part->condition == ROW_COUNT_MAX ? DIRECTORY_COUNT_MAX : 0,
                                 part->condition == ROW_IF_MATCH && part->seen.n > 0};
        applied |= part->stored;
        proposed |= part->n_dots > 0;
    }
    op->start_ns = write->start_ns;
    op->end_ns = write->end_ns;
    if (write->outcome == 0) {
        op->kind = LINEAR_DONE;
    } else if (write->outcome == ERR_CONFLICT) {
        op->kind = LINEAR_REFUSED;
    } else if (write_possible(write) && proposed) {
        /* Rows hold what was chosen only: some time it took effect. What was proposed, and no more,
         * may have been chosen and replaced before it reached a disk as it came. */
        op->kind = applied || was_read(h, index) ? LINEAR_DONE : LINEAR_MAYBE;
        op->end_ns = TIMERS_NEVER;
    } else {
        *op = (struct linear_op){0};
        return;
    }
    h->writes[h->n++] = index;
    h->n_writes = h->n;
}

/* The operation of a write; the number of operations when it is none of them. */
static uint32_t op_of_write(const struct strict_history *h, uint32_t write) {
    uint32_t op = 0;
    while (op < h->n_writes && h->writes[op] != write) {
        op++;
    }
    return op < h->n_writes ? op : h->n_max;
}

static void add_read(struct strict_history *h, const struct strict_read *read) {
    if (read->first_row != h->first_row || read->too_many) {
        return;
    }
    h->writes[h->n] = NOT_A_WRITE;
    struct linear_op *op = &h->ops[h->n++];
    op->kind = LINEAR_READ;
    op->start_ns = read->start_ns;
    op->end_ns = read->end_ns;
    op->rows = read->rows;
    op->live_only = read->live_only;
    for (uint32_t i = 0; i < read->n; i++) {
        op->observed[op->n_observed].row = read->siblings[i].row;
        op->observed[op->n_observed++].op = op_of_write(h, read->siblings[i].write);
    }
}

/* What stands in the end, as a read after everything else. */
static void add_final(struct strict_history *h, const struct final_rows *rows) {
    h->writes[h->n] = NOT_A_WRITE;
    struct linear_op *op = &h->ops[h->n];
    op->kind = LINEAR_READ;
    op->start_ns = op->end_ns = h->world->sim.now_ns;
    for (uint32_t row = 0; row < h->n_rows; row++) {
        const struct versions *now = &rows->versions[h->first_row + row];
        op->rows |= 1u << row;
        for (uint32_t i = 0; i < now->n_siblings && op->n_observed < LINEAR_OBSERVED_MAX; i++) {
            const struct write *write = ledger_find(&h->world->ledger, &now->siblings[i].op);
            uint32_t index = write != NULL ? (uint32_t)(write - h->world->ledger.writes) : h->n_max;
            op->observed[op->n_observed].row = (uint8_t)row;
            op->observed[op->n_observed++].op = op_of_write(h, index);
        }
    }
    h->n++;
}

/* ---- the verdict ---- */

static const struct linear_op *sorted_ops;

static int by_start(const void *a, const void *b) {
    const struct linear_op *x = &sorted_ops[*(const uint32_t *)a];
    const struct linear_op *y = &sorted_ops[*(const uint32_t *)b];
    if (x->start_ns != y->start_ns) {
        return x->start_ns < y->start_ns ? -1 : 1;
    }
    return x < y ? -1 : 1;
}

/* Puts the operations into the order of their starts. */
static void sort_ops(struct strict_history *h) {
    uint32_t *order = memory_new(h->n, sizeof(*order)), *place = memory_new(h->n, sizeof(*place));
    struct linear_op *ops = memory_new(h->n, sizeof(*ops));
    uint32_t *writes = memory_new(h->n, sizeof(*writes));
    for (uint32_t i = 0; i < h->n; i++) {
        order[i] = i;
    }
    sorted_ops = h->ops;
    qsort(order, h->n, sizeof(*order), by_start);
    for (uint32_t i = 0; i < h->n; i++) {
        place[order[i]] = i;
    }
    for (uint32_t i = 0; i < h->n; i++) {
        ops[i] = h->ops[order[i]];
        writes[i] = h->writes[order[i]];
        for (uint32_t k = 0; k < ops[i].n_observed; k++) {
            uint32_t *op = &ops[i].observed[k].op;
            *op = *op < h->n ? place[*op] : *op;
        }
    }
    free(order);
    free(place);
    free(h->ops);
    free(h->writes);
    h->ops = ops;
    h->writes = writes;
}

static void report(struct strict_history *h, uint32_t op) {
    struct ledger *ledger = &h->world->ledger;
    const char *key = ledger->partition_keys[h->first_row];
    if (h->writes[op] != NOT_A_WRITE) {
        sim_fail(&h->world->sim, "partition %s is not linearizable: write %u (%s) fits nowhere",
                 key, h->writes[op], err_name(write_of(h, op)->outcome));
    } else if (op + 1 == h->n) {
        sim_fail(&h->world->sim,
                 "partition %s is not linearizable: no order ends in what stands there now", key);
    } else {
        sim_fail(&h->world->sim,
                 "partition %s is not linearizable: the strict read of %.6f to %.6f fits nowhere",
                 key, (double)h->ops[op].start_ns / 1e9, (double)h->ops[op].end_ns / 1e9);
    }
}

static void check_partition(struct world *world, const struct final_rows *rows, uint32_t first_row,
                            uint32_t n_rows) {
    struct ledger *ledger = &world->ledger;
    struct strict_history h = {.world = world, .first_row = first_row, .n_rows = n_rows};
    h.n_max = ledger->n + ledger->n_reads + 1;
    h.ops = memory_new(h.n_max, sizeof(*h.ops));
    h.writes = memory_new(h.n_max, sizeof(*h.writes));
    for (uint32_t row = 0; row < LINEAR_ROWS_MAX; row++) {
        h.noise_from[row] = TIMERS_NEVER;
    }
    for (uint32_t i = 0; i < ledger->n; i++) {
        if (!in_partition(&h, &ledger->writes[i])) {
            continue;
        }
        if (is_conditional(&ledger->writes[i])) {
            add_write(&h, i);
        } else if (write_possible(&ledger->writes[i])) {
            add_noise(&h, &ledger->writes[i]);
        }
    }
    for (uint32_t i = 0; i < ledger->n_reads; i++) {
        add_read(&h, &ledger->reads[i]);
    }
    add_final(&h, rows);
    sort_ops(&h);
    struct linear_history history = {h.ops, h.n, covers, replaces, noisy, &h};
    uint32_t blocked = 0;
    enum linear_verdict verdict = linear_check(&history, &blocked);
    world->coverage[COVER_LINEAR_OPS] += h.n - 1;
    world->coverage[COVER_LINEAR_UNDECIDED] += verdict == LINEAR_UNDECIDED;
    if (verdict == LINEAR_NO) {
        report(&h, blocked);
    }
    free(h.ops);
    free(h.writes);
}

void check_strict(struct world *world, const struct final_rows *rows) {
    uint32_t n;
    for (uint32_t row = 0; row < world->ledger.n_rows && !world->sim.failed; row += n) {
        uint32_t first = ledger_partition(&world->ledger, row, &n);
        check_partition(world, rows, first, n);
    }
}
