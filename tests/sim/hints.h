/* hints: what the simulator asks of stand-ins: copies of what was acknowledged, rows that arrive.
 */
#ifndef RINGFS_TESTS_SIM_HINTS_H
#define RINGFS_TESTS_SIM_HINTS_H

#include "tests/sim/world.h"

/* A write without conditions was just acknowledged: each of its rows is on W disks, as a row or as
 * a hint with its versions; on one less where a node may lose what it stored. */
void hints_check_copies(struct world *world, uint32_t write);
/* A disk took `now` in place of `old` under this key: a hint is judged like a row, and one that
 * goes has brought all that it knew to its target's disk. */
void hints_check_stored(struct world_node *node, struct bytes key, struct bytes old,
                        struct bytes now);
/* After all has healed: lets time pass until no disk holds a hint; a minute is too long. */
void hints_check_drained(struct world *world);

#endif
