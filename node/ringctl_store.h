/* ringctl_store: the store as the command line asks for it: at a level, strictly. */
#ifndef RINGFS_NODE_RINGCTL_STORE_H
#define RINGFS_NODE_RINGCTL_STORE_H

#include "shared/store.h"

/* Passes every call on to `inner` with options added. Zero-initialize; borrows `inner`. */
struct ctl_store {
    struct store *inner;
    store_options reads;  /* added to gets and scans */
    store_options writes; /* added to batches */
    struct store store;   /* the seam, after ctl_store_init() */
};

/* Makes `store->store` the seam of `inner` with these options. */
void ctl_store_init(struct ctl_store *store, struct store *inner, store_options reads,
                    store_options writes);
/* The level of a word: one, quorum, all. ERR_INVALID for another. */
int ctl_level(const char *word, store_options *ret);

#endif
