/* page_show: what a client sees of a page. */
#ifndef RINGFS_NODE_CORE_PAGE_SHOW_H
#define RINGFS_NODE_CORE_PAGE_SHOW_H

#include "node/core/inside.h"

/* What a SCAN asks to see. */
struct page_view {
    uint16_t flags;
    struct scan_request request; /* of it the parts of values */
};
/* Leaves out of the page what the client does not ask for: dead rows without MESSAGE_TOMBSTONES,
 * values with MESSAGE_KEYS_ONLY, or all but a part of them. `arena`, which is empty, gets the rows
 * that are changed and is the caller's to release once the page is encoded. Whether anything was
 * left out. Uses node->scratch[0]. */
bool page_show(struct node *node, const struct page_view *view, struct scan_reply *page,
               struct buffer *arena);

#endif
