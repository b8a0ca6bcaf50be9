/* check: the promises of the store, judged over a whole run once it has healed. */
#ifndef RINGFS_TESTS_SIM_CHECK_H
#define RINGFS_TESTS_SIM_CHECK_H

#include "tests/sim/world.h"

/* Reads every row at LEVEL_ALL, twice, through the reader client. The second time nothing may have
 * changed. The run is advanced for it. Results in `ret`, which the caller releases. */
struct final_rows {
    struct versions versions[ROWS_TOTAL_MAX]; /* own no bytes: `held` does */
    struct bytes held[ROWS_TOTAL_MAX];
    uint64_t n_live[ROWS_TOTAL_MAX]; /* the tally told with each row */
};
void check_final_reads(struct world *world, struct final_rows *ret);
void final_rows_release(struct final_rows *rows);

/* Judges the ledger, the final rows and the disks. Breaches go to sim_fail(). */
void check_history(struct world *world, const struct final_rows *rows);
void check_disks(struct world *world, const struct final_rows *rows);

#endif
