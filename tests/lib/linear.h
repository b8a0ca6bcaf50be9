/* linear: whether a history of conditional batches and strict reads on one partition has an order
 * that explains it: linearizability. */
#ifndef RINGFS_TESTS_LIB_LINEAR_H
#define RINGFS_TESTS_LIB_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

/* After Wing and Gong (1993), with Lowe's memory of what was tried: searches for an order of the
 * operations in which each takes effect at one moment between its start and its end and meets what
 * the ones before it left. The state is the set of siblings of each row, by the operations that
 * wrote them; conditions mean what request.h says. Pure, one thread. */
enum {
    LINEAR_ROWS_MAX = 8,
    LINEAR_SIBLINGS_MAX = 8, /* of one row; a history that needs more is undecided */
    LINEAR_PARTS_MAX = 4,
    LINEAR_OBSERVED_MAX = 32,
    LINEAR_STEPS_MAX = 100000, /* states looked at; beyond: undecided */
};

enum linear_kind {
    LINEAR_DONE,    /* its conditions held, it took effect */
    LINEAR_MAYBE,   /* may have taken effect, at any time after its start, or never */
    LINEAR_REFUSED, /* one of its conditions did not hold */
    LINEAR_READ,    /* saw exactly `observed` in the rows of `rows`; a deleted row may be gone */
};

struct linear_part {
    uint8_t row;       /* 0 .. LINEAR_ROWS_MAX-1 */
    uint8_t kind;      /* enum row_kind */
    uint8_t condition; /* enum row_condition */
    uint32_t count_max;
    bool knows; /* IF_MATCH with something seen: may be refused where no live row is (any more) */
};

struct linear_op {
    enum linear_kind kind;
    int64_t start_ns, end_ns;
    uint32_t n;
    struct linear_part parts[LINEAR_PARTS_MAX];
    uint32_t rows;  /* READ: a bit for each row looked at */
    bool live_only; /* READ: rows without a live sibling do not show */
    uint32_t n_observed;
    struct {
        uint8_t row;
        uint32_t op;
    } observed[LINEAR_OBSERVED_MAX];
};

struct linear_history {
    const struct linear_op *ops; /* in the order of start_ns */
    uint32_t n;
    /* Whether part `part` of operation `op` may pass over what `other` wrote: it had seen it, or
     * others may have replaced it before. */
    bool (*covers)(void *context, uint32_t op, uint32_t part, uint32_t other);
    /* Whether it replaces what `other` wrote, if it has no condition: it had seen it. */
    bool (*replaces)(void *context, uint32_t op, uint32_t part, uint32_t other);
    /* Whether others than these operations may have written the row before that time: then nothing
     * is concluded from a refusal by it, nor from what was read of it. */
    bool (*noisy)(void *context, uint32_t row, int64_t before_ns);
    void *context;
};

enum linear_verdict { LINEAR_YES, LINEAR_NO, LINEAR_UNDECIDED };

/* LINEAR_NO: *ret_blocked is the operation that ends first among those which could not be reached
 * by the order that went furthest. */
enum linear_verdict linear_check(const struct linear_history *history, uint32_t *ret_blocked);

#endif
