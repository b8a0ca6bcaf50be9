/* pending: rows as they are if what is pending was chosen. */
#ifndef RINGFS_NODE_CORE_PENDING_H
#define RINGFS_NODE_CORE_PENDING_H

#include "node/core/chain.h"
#include "node/core/inside.h"

/* A strict batch that was acknowledged is in the rows of the steward, and at the others of its
 * majority may still be pending. So a replica that is read answers as if its pending were applied,
 * and says so (MESSAGE_PENDING): it may yet turn out not to be chosen, so nobody is repaired with
 * it. */

/* `versions` of the row `sort_key` joined with what `pending` (encoded; empty = none) has of it.
 * The result is in `into` (replaced), or `versions` itself. */
struct bytes pending_join(struct node *node, struct bytes pending, struct bytes sort_key,
                          struct bytes versions, struct buffer *into);
/* The tally as it is after `pending`. */
struct tally pending_tally(struct bytes pending, struct tally tally);
/* The same for a page (page.h) that answers `request`; `into` gets the page. ERR_CORRUPT. */
int pending_join_page(struct bytes pending, const struct scan_request *request, struct bytes page,
                      struct buffer *into);

#endif
