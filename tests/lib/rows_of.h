/* rows_of: puts, gets and scans against a cluster of tests/lib/cluster.h, in one line each. */
#ifndef RINGFS_TESTS_LIB_ROWS_OF_H
#define RINGFS_TESTS_LIB_ROWS_OF_H

#include "tests/lib/cluster.h"

/* One write as a test spells it. Zero fields are defaults. */
struct write {
    uint16_t node;        /* asked; 0 = 1 */
    const char *key;      /* partition; NULL = "p" */
    const char *sort_key; /* NULL = "" */
    const char *value;    /* NULL = delete */
    uint8_t condition;
    struct bytes seen;
    uint32_t op; /* 0 = a fresh one */
    uint16_t flags;
    uint32_t budget_ms; /* 0 = 3000 */
    uint64_t stamp_ns;  /* when the client sent it first; 0 = does not say */
    uint32_t age_ms;
};

struct op_id op_of(uint32_t number);
/* The batch of one row that `write` says, or of several operations of the caller's. */
uint64_t ask_write(struct cluster *cluster, const struct write *write);
uint64_t ask_batch(struct cluster *cluster, const struct write *head, const struct row_op *ops,
                   uint32_t n);
/* Asks and waits: the status; the new context of the first row to *ret_context (may be NULL),
 * borrowed from the cluster. */
int do_write(struct cluster *cluster, const struct write *write, struct bytes *ret_context);
int do_batch(struct cluster *cluster, const struct write *head, const struct row_op *ops,
             uint32_t n);
int wait_for(struct cluster *cluster, uint64_t ticket);

/* What a get at quorum (or `flags`) through `node` says. */
struct seen_row {
    int status;
    uint32_t n_siblings;
    uint32_t n_live;
    char value[64]; /* of the winner, as text; "" when there is none or it is dead */
    struct bytes context;
    struct tally tally;
};
struct seen_row do_get(struct cluster *cluster, uint16_t node, const char *key,
                       const char *sort_key, uint16_t flags);

/* What stands on one node's own disk. */
struct seen_row stored_row(struct cluster *cluster, uint16_t node, const char *key,
                           const char *sort_key);

#endif
