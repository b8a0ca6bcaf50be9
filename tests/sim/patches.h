/* patches: writes that lay a few bytes over a row: what they write, and what they must not miss. */
#ifndef RINGFS_TESTS_SIM_PATCHES_H
#define RINGFS_TESTS_SIM_PATCHES_H

#include "tests/sim/world.h"

/* Each session has a slot of its own behind the bodies that puts write; its patch puts the number
 * of the write there. So a value tells which put it began as, and of each session the last patch
 * since. */
enum {
    PATCH_AT = 256, /* the first slot */
    PATCH_SLOT = 4,
};

/* The pieces of write `index` of a session, as BATCH carries them; appended. */
void patch_pieces(uint16_t session, uint32_t index, struct buffer *into);
/* Fails the run when `value`, which write `index` left in the row, is not a put's with patches of
 * this row over it, its own among them; or when it misses what was acknowledged before the write
 * began. */
void patch_check(struct ledger *ledger, uint32_t row, uint32_t index, struct bytes value,
                 const char *where);
/* The same of what stands in the end, which misses nothing. */
void patches_check_final(struct world *world, uint32_t row, const struct versions *now);

#endif
