/* scrub: every row of this node's disk read in the background, and the bad ones mended. */
#ifndef RINGFS_NODE_CORE_SCRUB_H
#define RINGFS_NODE_CORE_SCRUB_H

#include "node/core/inside.h"

/* A row that nobody reads can rot on all its disks before it is missed. So each node goes through
 * its rows, slice by slice, at SCRUB_BYTES_PER_S at most, a round each scrub_round_ms. What fails
 * its checksum or does not decode is mended: from memory if the node has the row there, else by a
 * read at quorum, which leaves the bad copy out and overwrites it with what the others have
 * (coordinator_get.c). If too few of them answer it stays for the next round. A part of the disk
 * that cannot be read at all is counted (scrub_unreadable): only --rebuild mends that. */
enum {
    SCRUB_BYTES_PER_S = 4 << 20,
    SCRUB_PAGE_BYTES = 256 << 10,
    SCRUB_PAGE_ROWS = 256,
    SCRUB_FIRST_MS = 60 * 1000, /* the first round begins this long after the start, or sooner */
    SCRUB_MENDS_MAX = 64,       /* rows being mended at once; more wait for the next round */
    SCRUB_MEND_BUDGET_MS = 3000,
};

struct scrub;

/* Rounds begin with scrub_start(), unless scrub_round_ms is 0. */
struct scrub *scrub_new(struct node *node);
void scrub_start(struct scrub *scrub);
/* No more from now on. */
void scrub_stop(struct scrub *scrub);
void scrub_free(struct scrub *scrub);

/* A row with this key on the disk was found bad: counted, and mended if it can be. */
void scrub_mend(struct node *node, struct bytes key);

struct scrub_stats {
    uint64_t rounds, rows, bytes, unreadable; /* rows and bytes of all rounds */
    uint64_t round_ms;                        /* what the last round took */
    uint64_t slice;                           /* that the round under way has come to */
};
void scrub_stats(const struct scrub *scrub, struct scrub_stats *ret);

#endif
