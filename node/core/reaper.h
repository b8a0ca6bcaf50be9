/* reaper: removes tombstones that every replica has held for long enough. */
#ifndef RINGFS_NODE_CORE_REAPER_H
#define RINGFS_NODE_CORE_REAPER_H

#include "node/core/inside.h"

/* The owner of a slice (the first of its preference list) goes through those of its slices that
 * hold tombstones, one slice at a time, one page at a time:
 *
 *   1. all members must answer, all replicas trust themselves with the slice; members that hold no
 *      replica are asked whether they keep hints for it
 *   2. a page of the slice is read; tombstones written more than reap_age_ms ago are asked about
 *      at all replicas, this node included (reap.h): REAP_ASK
 *   3. those of which all replicas say that they are ready are removed at all: REAP_REMOVE
 *
 * The first time a tombstone is asked about, every replica begins to count how long it holds it; a
 * later pass finds it ready. Anything that goes wrong ends the slice's turn; nothing has to be
 * undone. The age is for cost only: a name that is made anew soon finds its row.
 *
 * What must be true for this to be safe is written in reap.h. */
enum {
    REAPER_PASS_MS = 10 * 60 * 1000, /* between two passes over all slices, at most ... */
    REAPER_PASSES = 4,               /* ... and a hold takes so many passes */
    REAPER_REPLY_MS = 3000,
    REAPER_BYTES_PER_S = 4 << 20, /* scanned */
};

struct reaper;

/* At rest until started; borrows the node. */
struct reaper *reaper_new(struct node *node);
/* What is under way is dropped. */
void reaper_free(struct reaper *reaper);
/* Until stopped; does nothing when node_config.reap_hold_ms is 0. */
void reaper_start(struct reaper *reaper);
/* No further request is sent. */
void reaper_stop(struct reaper *reaper);
/* A reply came from a peer; whether it was to one of this. */
bool reaper_heard(struct reaper *reaper, const struct endpoint *from,
                  const struct message *message);

#endif
