/* ledger: every write of a run and what became of it: what the checks compare the cluster with. */
#ifndef RINGFS_TESTS_SIM_LEDGER_H
#define RINGFS_TESTS_SIM_LEDGER_H

#include "shared/request.h"
#include "tests/sim/options.h"

/* Knows everything: what clients asked and were answered, and every version that ever reached any
 * replica's disk (the simulator looks over the shoulder of each commit). Rows are numbered: those
 * of the partitions first, then those of the directories, then one for each contest. */
enum {
    LEDGER_PENDING = 1, /* outcome of a write not answered yet; outcomes are 0 or ERR_* */
    LEDGER_KEY_MAX = 32,
};

struct write_row {
    uint16_t row;
    uint8_t kind;        /* enum row_kind */
    uint8_t condition;   /* enum row_condition */
    struct context seen; /* as sent by the client */
    bool stored;         /* it reached a disk */
    struct dot *dots;    /* the write's, one per try; owned */
    uint32_t n_dots;
};

struct write {
    struct op_id op;
    uint16_t session;
    int64_t start_ns, end_ns; /* end: of the answer; TIMERS_NEVER while there is none */
    int outcome;
    bool stood_in; /* acknowledged by fewer than W replicas, with stand-ins for the others */
    bool retried;  /* the client gave up an attempt without knowing what came of it */
    uint32_t n;
    struct write_row rows[BATCH_MAX];
};

/* A strict read that was answered. */
enum { STRICT_SIBLINGS_MAX = 24 };
struct strict_read {
    int64_t start_ns, end_ns;
    uint32_t first_row; /* of its partition */
    uint32_t rows;      /* a bit for each row looked at, from first_row */
    bool live_only;     /* deleted rows were not asked for */
    bool too_many;      /* more siblings than fit here: not judged */
    uint32_t n;
    struct {
        uint8_t row; /* from first_row */
        uint32_t write;
    } siblings[STRICT_SIBLINGS_MAX];
};

struct ledger {
    struct sim *sim;
    const struct options *options;
    struct write *writes;
    uint32_t n;
    uint32_t capacity;
    struct strict_read *reads;
    uint32_t n_reads;
    uint32_t reads_capacity;
    struct dice dice;
    struct dot_entry *dots; /* hash table: dot -> write */
    uint32_t n_dots;
    uint32_t dots_capacity;
    uint32_t n_rows;
    /* What tombstones knew that were removed for good, and how often one was, by row. */
    struct context reaped[ROWS_TOTAL_MAX];
    uint32_t n_reaped[ROWS_TOTAL_MAX];
    char partition_keys[ROWS_TOTAL_MAX][LEDGER_KEY_MAX];
    char sort_keys[ROWS_TOTAL_MAX][LEDGER_KEY_MAX];
};

void ledger_init(struct ledger *ledger, struct sim *sim, const struct options *options);
void ledger_release(struct ledger *ledger);

struct bytes ledger_partition_key(const struct ledger *ledger, uint32_t row);
struct bytes ledger_sort_key(const struct ledger *ledger, uint32_t row);
/* The row's number; -1 when it is none of ours. */
int ledger_row(const struct ledger *ledger, struct bytes partition_key, struct bytes sort_key);
/* The first row of directory `index`, its header; DIRECTORY_ROWS from here. */
uint32_t ledger_directory(const struct ledger *ledger, uint32_t index);
/* The first row of the row's partition, and how many rows that has. */
uint32_t ledger_partition(const struct ledger *ledger, uint32_t row, uint32_t *ret_n);
/* The first contest row; contests are CONTESTS_MAX rows from here. */
uint32_t ledger_contest(const struct ledger *ledger, uint32_t index);

/* A new write, outcome pending; its rows are filled by the caller. Good until the next call. */
struct write *ledger_begin(struct ledger *ledger, uint16_t session, uint32_t *ret_index);
void ledger_end(struct ledger *ledger, uint32_t index, int outcome);
/* A new strict read, to be filled. Good until the next call. */
struct strict_read *ledger_read(struct ledger *ledger, uint32_t row, int64_t start_ns);
/* What it saw of a row. */
void strict_read_saw(struct ledger *ledger, struct strict_read *read, uint32_t row,
                     const struct versions *versions);
/* The write of an operation id and its part for a row; NULL = there was no such write. */
struct write *ledger_find(struct ledger *ledger, const struct op_id *op);
struct write_row *write_row_of(struct write *write, uint32_t row);

/* The value that write `index` puts into its position-th row; appended. */
void ledger_value(const struct ledger *ledger, uint32_t index, uint32_t position,
                  struct buffer *into);
/* Fails the run when a sibling is not what a known, not refused write put into this row. */
void ledger_check_sibling(struct ledger *ledger, uint32_t row, const struct sibling *sibling,
                          const char *where);
/* A replica's disk took `now` in place of `old` (either may be empty): learns dots, and fails the
 * run when the row's clock went backwards, a dot stands for two writes, or a refused write shows;
 * when more than tombstones was removed, or what a removed one had replaced is there again.
 */
void ledger_stored(struct ledger *ledger, uint32_t row, const char *process, struct bytes old,
                   struct bytes now);
/* A node sends this batch of whole rows, or keeps it as its pending: learns the dots of its write.
 * What a node makes or merges is not always in a row as it came: a later version may overtake it.
 */
void ledger_replicated(struct ledger *ledger, struct bytes payload);
/* A commit with this version of the row failed: learns its dots. A retry finds the write done if a
 * later one was built on it meanwhile. */
void ledger_failed(struct ledger *ledger, uint32_t row, struct bytes value);
/* Whether `context` covers any dot of the write. */
bool write_row_covered(const struct write_row *part, const struct context *context);
/* Whether a tombstone that was removed for good knew of it. */
bool write_row_reaped(const struct ledger *ledger, const struct write_row *part);
/* Whether the write may have been applied somewhere. */
bool write_possible(const struct write *write);

#endif
