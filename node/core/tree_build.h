/* tree_build: counts the slices of the tree that are not known, by scanning their rows. */
#ifndef RINGFS_NODE_CORE_TREE_BUILD_H
#define RINGFS_NODE_CORE_TREE_BUILD_H

#include "node/core/inside.h"

/* At a start all slices are counted in one pass over all rows; later single ones, when a row was
 * overwritten that could not be read. Paced: after each page a pause in proportion to what was
 * read, so that no more than TREE_BUILD_BYTES_PER_S come off the disk. */
enum {
    TREE_BUILD_ROWS = 512,        /* a page */
    TREE_BUILD_BYTES = 256 << 10, /* read on the loop thread: about a millisecond */
    TREE_BUILD_ROW_COST = 64,     /* bytes that a row counts at least */
    TREE_BUILD_BYTES_PER_S = 32 << 20,
    TREE_BUILD_RETRY_MS = 5000, /* after a scan that failed, or to find slices to count anew */
};

struct tree_build;

/* At rest until started. Its scan in flight is a work of the node's (inside.h). */
struct tree_build *tree_build_new(struct node *node);
/* The disk must not answer any more. */
void tree_build_free(struct tree_build *build);
/* Begins, and from then on looks every TREE_BUILD_RETRY_MS whether a slice is to be counted. */
void tree_build_start(struct tree_build *build);
/* No further scan is asked for. */
void tree_build_stop(struct tree_build *build);

#endif
