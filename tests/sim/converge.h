/* converge: whether anti-entropy alone makes replicas agree, and slices' sums tell the truth. */
#ifndef RINGFS_TESTS_SIM_CONVERGE_H
#define RINGFS_TESTS_SIM_CONVERGE_H

#include "tests/sim/world.h"

/* In runs with anti-entropy, after everything healed and before anybody reads: advances the run
 * until all replicas of all slices have equal sums, and fails it when they have not in time. Then
 * sums must be those of the disks, unless disks rot (which a sum does not see). */
void check_converged(struct world *world);
/* Every node's sums against its disk, counted anew. The run is advanced until all are known. */
void check_sums(struct world *world);

#endif
