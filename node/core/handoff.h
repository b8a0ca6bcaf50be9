/* handoff: hints brought to the replicas that they are for, once those answer again. */
#ifndef RINGFS_NODE_CORE_HANDOFF_H
#define RINGFS_NODE_CORE_HANDOFF_H

#include "node/core/inside.h"
#include "shared/hint_report.h"

/* One target at a time, a page of its hints at a time, in key order, so that the target writes in
 * order:
 *
 *   RESTING ──► SCANNING ──► LOADING ──► SENDING ──► DELETING ──► RESTING
 *
 *   RESTING   a timer: the pace, or HANDOFF_LOOK_MS until targets are looked at again
 *   SCANNING  the next page of hints from the disk
 *   LOADING   the rows that the page holds names of; a page ends early at HANDOFF_BYTES
 *   SENDING   HANDOFF messages, one for the rows of a partition, until each is answered (the target
 *             answers when the rows are on its disk) or HANDOFF_TIMEOUT_MS are over
 *   DELETING  what was answered 0 goes, in one commit, unless it has changed since it was read
 *
 * A crash of either side costs no more than a page delivered twice. Pace: bytes per second, begun
 * at HANDOFF_RATE_START, HANDOFF_RATE_STEP more after each page that the target took within
 * HANDOFF_SLOW_MS, half after each that was slower or had a refusal, never below HANDOFF_RATE_MIN.
 * After a refusal the target rests for HANDOFF_RETRY_MS and others get their turn. */
enum {
    HANDOFF_LOOK_MS = 250,
    HANDOFF_RETRY_MS = 1000,
    HANDOFF_TIMEOUT_MS = 2000,
    HANDOFF_SLOW_MS = 300,
    HANDOFF_ROWS = 256,      /* of a page */
    HANDOFF_BYTES = 1 << 20, /* of a page; exceeded by its last row */
    HANDOFF_RATE_START = 10 << 20,
    HANDOFF_RATE_STEP = 1 << 20,
    HANDOFF_RATE_MIN = 64 << 10,
    HANDOFF_RATE_MAX = 200 << 20,
};

/* Made by node_new(), freed by node_free(). */
struct handoff *handoff_new(struct node *node);
void handoff_free(struct handoff *handoff);
/* Begins to look for targets; once, when the node serves. */
void handoff_start(struct node *node);
/* The node stops: what was sent is not waited for any longer. */
void handoff_stop(struct node *node);
/* A target answered. */
void handoff_heard(struct node *node, const struct endpoint *from, const struct message *message);
/* Fills in state, last_error and rate of a target that hints are kept for. */
void handoff_report(const struct node *node, struct hint_target *target);

#endif
