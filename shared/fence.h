/* fence: tells a frame that comes for the first time from one that was recorded and sent again. */
#ifndef RINGFS_SHARED_FENCE_H
#define RINGFS_SHARED_FENCE_H

#include <stdint.h>

/* For frames whose seal was checked: their session, sequence and stamp are what a holder of the
 * cluster's key wrote. Of each session the fence keeps the highest sequence and which of the 64
 * before it have come (as IPsec does, RFC 4303 3.4.3: a connection opened anew may overtake the old
 * one by a little). A stamp must be within FENCE_WINDOW_S of this machine's clock.
 *
 * Sessions are kept in a bounded table: sets of FENCE_WAYS, the least recently heard of making
 * room. A set remembers the highest stamp of those it forgot, and before that the time of the
 * start; a session it does not know is let in only with a later stamp. So nothing comes twice,
 * neither after a session was forgotten nor after a restart. Two bounds of that: at the start
 * FENCE_SKEW_S are allowed for clocks that lag, and what was recorded in those seconds passes once;
 * and a frame can be taken to another receiver within the window. Pure. One thread. */
enum {
    FENCE_SETS = 256,
    FENCE_WAYS = 8,
    FENCE_WINDOW_S = 60,
    FENCE_SKEW_S = 5,
};

struct fence_session {
    uint64_t id;
    uint64_t highest; /* sequence; 0 = the place is free */
    uint64_t seen;    /* bit n: highest - n has come */
    uint64_t stamp_ns;
    uint64_t used;
};

struct fence {
    struct fence_session sessions[FENCE_SETS][FENCE_WAYS];
    uint64_t floor_ns[FENCE_SETS];
    uint64_t clock; /* counts frames, for the order of use */
};

enum fence_verdict {
    FENCE_FRESH = 0,
    FENCE_REPLAYED = 1,   /* came before, or too long ago to tell */
    FENCE_WRONG_TIME = 2, /* stamped outside of the window */
};

/* `wall_ns`: the time of day at the start. */
void fence_init(struct fence *fence, uint64_t wall_ns);
/* Judges a frame and, when it is fresh, remembers it. */
enum fence_verdict fence_pass(struct fence *fence, uint64_t session, uint64_t sequence,
                              uint64_t stamp_ns, uint64_t wall_ns);

#endif
