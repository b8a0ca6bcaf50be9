/* complaints: what goes wrong over and over is one line in the log, with a count. */
#ifndef RINGFS_SHARED_COMPLAINTS_H
#define RINGFS_SHARED_COMPLAINTS_H

#include <stdbool.h>
#include <stdint.h>

/* A cause from an origin is told at once, then at most every COMPLAINTS_PAUSE_S, with how many
 * times it was not told in between. Beyond COMPLAINTS_MAX pairs the one told longest ago is
 * forgotten: whoever can choose the origin could so fill a log, so give what strangers cause the
 * origin 0. Pure. One thread. */
enum {
    COMPLAINTS_MAX = 64,
    COMPLAINTS_PAUSE_S = 60,
};

struct complaint {
    uint32_t cause; /* 0 = the place is free */
    uint64_t origin;
    int64_t told_ns;
    uint64_t n_untold;
};

/* Zero-initialized. */
struct complaints {
    struct complaint all[COMPLAINTS_MAX];
};

/* Whether to tell it now; then *ret_untold is how many were swallowed since it was last told.
 * `cause` is not 0; `now_ns` monotonic. */
bool complaints_tell(struct complaints *complaints, uint32_t cause, uint64_t origin, int64_t now_ns,
                     uint64_t *ret_untold);

#endif
