/* omit: what a run leaves out of what its seed would bring: strikes of faults, knobs, operations.
 */
#ifndef RINGFS_TESTS_SIM_OMIT_H
#define RINGFS_TESTS_SIM_OMIT_H

#include "tests/sim/options.h"

/* As dice are counter-based, what is left out shifts nothing else: that is how a failing run is cut
 * down to what it needs (shrink.h), and how it is kept for later. As text, parts divided by commas:
 *
 *   crash            all strikes of a kind of fault (the names of options.h)
 *   crash:3          its strike 3; crash:3-9 a range, counted from 0
 *   op:2.5           operation 5 of session 2; op:2.5-9 a range; op:2 the whole session
 *   loss             a knob: tail loss double reorder stale busy slow hang drift wall twin end
 */
enum omit_knob {
    KNOB_TAIL,
    KNOB_LOSS,
    KNOB_DOUBLE,
    KNOB_REORDER,
    KNOB_STALE,
    KNOB_BUSY,
    KNOB_SLOW,
    KNOB_HANG,
    KNOB_DRIFT,
    KNOB_WALL,
    KNOB_TWIN,
    KNOB_END,
    KNOBS,
};

enum {
    OMIT_STRIKES_MAX = 1024, /* later strikes of a kind share the last one's fate */
    OMIT_TEXT_MAX = 16384,
};

struct omit {
    uint64_t strikes[FAULT_KINDS][OMIT_STRIKES_MAX / 64];
    uint64_t ops[SESSIONS_MAX]; /* a bit per operation */
    bool knobs[KNOBS];
    bool with[FAULT_KINDS]; /* kinds that stay out of all runs unless asked for by name */
};

/* Adds what the text says; false when it cannot be read. */
bool omit_parse(const char *text, struct omit *into);
/* The text of it; at most `size` bytes, cut at the end of a part. */
void omit_print(const struct omit *omit, char *into, size_t size);

bool omit_strike(const struct omit *omit, enum fault_kind kind, uint32_t n);
bool omit_op(const struct omit *omit, uint32_t session, uint32_t n);
void omit_strikes_set(struct omit *omit, enum fault_kind kind, uint32_t first, uint32_t last,
                      bool left_out);
void omit_ops_set(struct omit *omit, uint32_t session, uint32_t first, uint32_t last,
                  bool left_out);
/* Lets a kind of fault in that stays out of runs otherwise, since the core does not promise to
 * stand it yet (omit.c); false when there is no kind of that name. */
bool omit_with(const char *name, struct omit *into);
/* Takes the knobs that are left out, and kinds of which all strikes are, out of the options. */
void omit_apply(const struct omit *omit, struct options *options);

#endif
