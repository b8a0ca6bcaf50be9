/* shrink: a failing run cut down to the faults and operations that it needs. */
#ifndef RINGFS_TESTS_SIM_SHRINK_H
#define RINGFS_TESTS_SIM_SHRINK_H

#include "tests/sim/run_seed.h"

/* Leaves out ever more of the run: knobs, kinds of faults, sessions, then halves, quarters ... of
 * the strikes and of the operations, as long as it fails with the same sentence (numbers in it
 * aside), for at most SHRINK_SECONDS. Each try runs in a process of its own, so that runs that end
 * in an assertion can be cut down too. Prints what is left and how to replay it, and the trace of
 * that run. `replay` = further arguments of the run. False when the run does not fail at all. */
enum { SHRINK_SECONDS = 120 };
bool shrink(const struct run_plan *plan, const char *replay);

#endif
