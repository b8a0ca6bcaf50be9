/* complaints: a small table of causes and origins, and when each was last told. */
#include "shared/complaints.h"

#include <assert.h>
#include <stddef.h>

static struct complaint *complaint_find(struct complaints *complaints, uint32_t cause,
                                        uint64_t origin) {
    for (size_t i = 0; i < COMPLAINTS_MAX; i++) {
        struct complaint *complaint = &complaints->all[i];
        if (complaint->cause == cause && complaint->origin == origin) {
            return complaint;
        }
    }
    return NULL;
}

static struct complaint *complaint_place(struct complaints *complaints) {
    struct complaint *oldest = &complaints->all[0];
    for (size_t i = 0; i < COMPLAINTS_MAX; i++) {
        struct complaint *complaint = &complaints->all[i];
        if (complaint->cause == 0) {
            return complaint;
        }
        if (complaint->told_ns < oldest->told_ns) {
            oldest = complaint;
        }
    }
    return oldest;
}

bool complaints_tell(struct complaints *complaints, uint32_t cause, uint64_t origin, int64_t now_ns,
                     uint64_t *ret_untold) {
    assert(cause != 0);
    struct complaint *known = complaint_find(complaints, cause, origin);
    if (known == NULL) {
        known = complaint_place(complaints);
        *known = (struct complaint){.cause = cause, .origin = origin};
    } else if (now_ns - known->told_ns < COMPLAINTS_PAUSE_S * 1000000000ll) {
        known->n_untold++;
        return false;
    }
    *ret_untold = known->n_untold;
    known->n_untold = 0;
    known->told_ns = now_ns;
    return true;
}
