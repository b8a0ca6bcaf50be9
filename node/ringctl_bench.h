/* ringctl_bench: what `ringctl bench` and its checks share: rows, their values, the journal. */
#ifndef RINGFS_NODE_RINGCTL_BENCH_H
#define RINGFS_NODE_RINGCTL_BENCH_H

#include "node/ringctl.h"

/* The rows of a bench are partitions "~bench/PREFIX/RUN/ROW" with an empty sort key; a run is 64
 * random bits, so that two never meet. A value says
 * which write it is (run, row, sequence of writes to the row) and is filled with bytes that follow
 * from that, so that a value that is not whole is known. */
enum {
    BENCH_VALUE_MIN = 24,
    BENCH_PREFIX_MAX = 64,
    BENCH_CLIENTS_MAX = 1024,
    BENCH_KEY_MAX = 128,
};

struct bench_write {
    uint64_t run;
    uint64_t row;
    uint64_t sequence; /* from 1 */
};

/* Writes the row's partition key into `into`. */
struct bytes bench_key(const char *prefix, uint64_t run, uint64_t row, char into[BENCH_KEY_MAX]);
/* Deletes the row, whatever it holds. May suspend. */
int bench_remove(struct store *store, struct bytes key);
/* Fills `into` with the value of a write; `size` at least BENCH_VALUE_MIN. */
void bench_value(const struct bench_write *write, uint8_t *into, size_t size);
/* Which write a value is. ERR_CORRUPT when it is not whole or was not made by bench_value(). */
int bench_value_read(struct bytes value, struct bench_write *ret);

/* What became of the siblings of a row that is being checked. */
struct bench_row {
    uint64_t sequence; /* highest of this run's writes; 0 = none */
    uint32_t n_damaged;
};
void bench_row_read(const struct versions *versions, uint64_t run, uint64_t row,
                    struct bench_row *ret);

/* ---- ringctl_journal.c: acknowledged writes, one line "ROW SEQUENCE" each, written out at once */
struct journal;
/* Creates the file, which must not exist. NULL after a sentence on stderr. */
struct journal *journal_new(const char *path, uint64_t run, const char *prefix);
void journal_note(struct journal *journal, const struct bench_write *write);
/* Whether everything could be written. Frees the journal. */
bool journal_free(struct journal *journal);
/* `ringctl bench --check FILE`: reads back every row of a journal, several at a time. */
int journal_check(struct ctl *ctl, const char *path);

/* ringctl_race.c: `ringctl bench --race ROUNDS` */
int bench_race(struct ctl *ctl, uint64_t n_rounds);

/* The monotonic clock, for what a client waited. */
int64_t bench_now_ns(void);
/* The prefix that was given, NULL after a sentence when it cannot be one. */
const char *bench_prefix(const struct ctl *ctl);

#endif
