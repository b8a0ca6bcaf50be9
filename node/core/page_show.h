/* page_show: what a client sees of a page. */
#ifndef RINGFS_NODE_CORE_PAGE_SHOW_H
#define RINGFS_NODE_CORE_PAGE_SHOW_H

#include "node/core/inside.h"

/* Leaves out of the page what the flags of a SCAN do not ask for: dead rows without
 * MESSAGE_TOMBSTONES, values with MESSAGE_KEYS_ONLY. `arena`, which is empty, gets the rows without
 * values and is the caller's to release once the page is encoded. Whether anything was left out.
 * Uses node->scratch[0]. */
bool page_show(struct node *node, uint16_t flags, struct scan_reply *page, struct buffer *arena);

#endif
