/* strict_history: the conditional batches of a run, judged for linearizability by partition. */
#ifndef RINGFS_TESTS_SIM_STRICT_HISTORY_H
#define RINGFS_TESTS_SIM_STRICT_HISTORY_H

#include "tests/sim/check.h"

/* For each partition: its conditional batches with their outcomes, and the final rows as a read,
 * must have an order that explains them (tests/lib/linear.h). Unconditional writes of the same rows
 * excuse what they may have caused; partitions without such writes get the full check. Breaches go
 * to sim_fail(), partitions that could not be decided are counted. */
void check_strict(struct world *world, const struct final_rows *rows);

#endif
