/* plant: bugs put into the core on purpose, to prove that the simulator finds them. */
#ifndef RINGFS_TESTS_SIM_PLANT_H
#define RINGFS_TESTS_SIM_PLANT_H

#include <stdbool.h>

/* Chooses the bug by name; false when there is none of that name, which is always so in a program
 * that was not built with RINGFS_PLANT. */
bool plant_choose(const char *name);
/* Prints the names, one a line. */
void plant_list(void);

#endif
