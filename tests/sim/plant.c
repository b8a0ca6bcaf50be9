/* plant: bugs put into the core on purpose, to prove that the simulator finds them. */
#include "tests/sim/plant.h"

#include <stdio.h>
#include <string.h>

#ifdef RINGFS_PLANT
#include "node/core/plant.h"

enum plant planted = PLANT_NONE;

static const char *const names[] = {
#define PLANT_NAME(constant, text) text,
    PLANT_TABLE(PLANT_NAME)
#undef PLANT_NAME
};

bool plant_choose(const char *name) {
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (strcmp(names[i], name) == 0) {
            planted = (enum plant)(i + 1);
            return true;
        }
    }
    return false;
}

void plant_list(void) {
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        puts(names[i]);
    }
}
#else
bool plant_choose(const char *name) {
    (void)name;
    return false;
}

void plant_list(void) {}
#endif
