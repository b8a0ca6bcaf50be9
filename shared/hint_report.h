/* hint_report: what a node keeps for replicas that are away, as told in answer to HINTS. */
#ifndef RINGFS_SHARED_HINT_REPORT_H
#define RINGFS_SHARED_HINT_REPORT_H

#include "shared/bytes.h"

/* Layout: docs/wire.md. Pure. */
enum hint_state {
    HINTS_WAITING = 1,    /* the replica does not answer */
    HINTS_DELIVERING = 2, /* rows go out to it */
    HINTS_QUEUED = 3,     /* it answers; another replica gets its rows first */
    HINTS_RETRYING = 4,   /* it answers, but refused rows: tried again after a pause */
};

struct hint_target {
    uint16_t node;
    uint8_t state;      /* enum hint_state; 0 = none are kept for it */
    uint8_t last_error; /* RETRYING: the status of the refusal (-error of err.h) */
    uint64_t n;         /* rows kept */
    uint64_t bytes;     /* keys and values */
    uint64_t age_ms;    /* since the first of them was kept */
    uint64_t dropped;   /* not kept, since the node started: full, or the replica away too long */
    uint64_t delivered; /* since the node started */
    uint64_t rate;      /* DELIVERING: bytes per second at most */
};

struct hint_report {
    bool ready;          /* false: what is kept is being counted after a start */
    uint64_t bytes_max;  /* for all replicas together; beyond: dropped */
    uint64_t target_max; /* for one */
    uint64_t n_marked;   /* (slice, replica) pairs that wait for repair because of a drop */
    uint32_t n_targets;
    struct hint_target *targets; /* owned: hint_report_release() */
};

/* At most RING_MEMBERS_MAX targets. */
void hint_report_encode(const struct hint_report *report, struct buffer *into);
/* 0 or ERR_INVALID (nothing to release then). */
int hint_report_decode(struct bytes payload, struct hint_report *ret);
void hint_report_release(struct hint_report *report);

#endif
