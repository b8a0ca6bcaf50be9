/* fence: a window of sequences per session, in a table of bounded sets. */
#include "shared/fence.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define SECOND_NS 1000000000ull

void fence_init(struct fence *fence, uint64_t wall_ns) {
    memset(fence, 0, sizeof(*fence));
    uint64_t skew_ns = FENCE_SKEW_S * SECOND_NS;
    for (size_t i = 0; i < FENCE_SETS; i++) {
        fence->floor_ns[i] = wall_ns > skew_ns ? wall_ns - skew_ns : 0;
    }
}

static bool within_window(uint64_t stamp_ns, uint64_t wall_ns) {
    uint64_t apart = stamp_ns > wall_ns ? stamp_ns - wall_ns : wall_ns - stamp_ns;
    return apart <= FENCE_WINDOW_S * SECOND_NS;
}

/* Marks `sequence` as come; false when it had, or lies behind the 64 that are told apart. */
static bool window_mark(struct fence_session *session, uint64_t sequence) {
    if (sequence > session->highest) {
        uint64_t ahead = sequence - session->highest;
        session->seen = ahead < 64 ? session->seen << ahead | 1 : 1;
        session->highest = sequence;
        return true;
    }
    uint64_t behind = session->highest - sequence;
    if (behind >= 64 || (session->seen >> behind & 1) != 0) {
        return false;
    }
    session->seen |= 1ull << behind;
    return true;
}

static struct fence_session *session_find(struct fence_session *set, uint64_t id) {
    for (size_t i = 0; i < FENCE_WAYS; i++) {
        if (set[i].highest != 0 && set[i].id == id) {
            return &set[i];
        }
    }
    return NULL;
}

/* A free place, or that of the session not heard of for longest, whose last stamp raises the floor:
 * all that could be sent again of it is older. */
static struct fence_session *session_place(struct fence_session *set, uint64_t *floor_ns) {
    struct fence_session *oldest = &set[0];
    for (size_t i = 0; i < FENCE_WAYS; i++) {
        if (set[i].highest == 0) {
            return &set[i];
        }
        if (set[i].used < oldest->used) {
            oldest = &set[i];
        }
    }
    if (oldest->stamp_ns > *floor_ns) {
        *floor_ns = oldest->stamp_ns;
    }
    return oldest;
}

enum fence_verdict fence_pass(struct fence *fence, uint64_t session, uint64_t sequence,
                              uint64_t stamp_ns, uint64_t wall_ns) {
    if (!within_window(stamp_ns, wall_ns)) {
        return FENCE_WRONG_TIME;
    }
    if (sequence == 0) {
        return FENCE_REPLAYED;
    }
    size_t index = session % FENCE_SETS;
    struct fence_session *set = fence->sessions[index];
    struct fence_session *known = session_find(set, session);
    if (known != NULL && !window_mark(known, sequence)) {
        return FENCE_REPLAYED;
    }
    if (known == NULL) {
        if (stamp_ns <= fence->floor_ns[index]) {
            return FENCE_REPLAYED;
        }
        known = session_place(set, &fence->floor_ns[index]);
        *known = (struct fence_session){.id = session, .highest = sequence, .seen = 1};
    }
    known->used = ++fence->clock;
    if (stamp_ns > known->stamp_ns) {
        known->stamp_ns = stamp_ns;
    }
    return FENCE_FRESH;
}
