/* hlc: a wall clock that never repeats itself and follows what it hears. */
#include "shared/hlc.h"

#include "shared/err.h"

uint64_t hlc_now(const struct hlc *hlc, uint64_t wall_ns) {
    return wall_ns > hlc->last_ns ? wall_ns : hlc->last_ns;
}

uint64_t hlc_stamp(struct hlc *hlc, uint64_t wall_ns) {
    hlc->last_ns = wall_ns > hlc->last_ns ? wall_ns : hlc->last_ns + 1;
    return hlc->last_ns;
}

int hlc_learn(struct hlc *hlc, uint64_t wall_ns, uint64_t stamp_ns) {
    if (stamp_ns > wall_ns && stamp_ns - wall_ns > HLC_AHEAD_MAX_NS) {
        return ERR_INVALID;
    }
    if (stamp_ns > hlc->last_ns) {
        hlc->last_ns = stamp_ns;
    }
    return 0;
}
