/* hlc: hybrid logical clock stamps, in nanoseconds since 1970. */
#ifndef RINGFS_SHARED_HLC_H
#define RINGFS_SHARED_HLC_H

#include <stdint.h>

/* Kulkarni et al., "Logical Physical Clocks" (2014), with the logical part folded into the
 * nanoseconds: a stamp is the wall clock, or one more than the last stamp seen where the wall clock
 * is not ahead of it. Stamps order what a reader shows when it must show one sibling; they never
 * decide what is dropped. A stamp from elsewhere more than HLC_AHEAD_MAX_NS ahead of our wall clock
 * is not learnt from, so that one wrong clock does not drag all others along. Pure, one thread. */
struct hlc {
    uint64_t last_ns;
};
#define HLC_AHEAD_MAX_NS (60ull * 1000 * 1000 * 1000)

/* The time of day as far as it is known here: the latest of our clock and what was learnt. It
 * is no stamp. */
uint64_t hlc_now(const struct hlc *hlc, uint64_t wall_ns);
/* A stamp higher than every one given or learnt before. */
uint64_t hlc_stamp(struct hlc *hlc, uint64_t wall_ns);
/* Learns from a stamp received. Returns 0, or ERR_INVALID when it is too far ahead (ignored). */
int hlc_learn(struct hlc *hlc, uint64_t wall_ns, uint64_t stamp_ns);

#endif
