/* session_partitions: every partition of a cluster, asked of the replicas of each slice. */
#ifndef RINGFS_SHARED_SESSION_PARTITIONS_H
#define RINGFS_SHARED_SESSION_PARTITIONS_H

#include "shared/session.h"
#include "shared/sweep.h"

/* A page is the union of the replicas' pages, with the highest tally of each partition. A majority
 * of a slice's replicas holds all that was acknowledged; with `all` every one must answer, so that
 * what a minority took on is listed too. */
struct session_partitions {
    struct partition_source source; /* to be handed on */
    struct session *session;
    int64_t wait_ns; /* for an answer */
    bool all;
    /* Nodes that did not answer, and why; they are not asked again. */
    uint16_t silent[RING_REPLICAS_MAX];
    int silent_status[RING_REPLICAS_MAX];
    uint32_t n_silent;
};

/* The caller's memory; the session must know the ring. */
void session_partitions_init(struct session_partitions *partitions, struct session *session,
                             int64_t wait_ns, bool all);

#endif
