/* page: one page of a partition's rows as this node has them on its disk. */
#ifndef RINGFS_NODE_CORE_PAGE_H
#define RINGFS_NODE_CORE_PAGE_H

#include "node/core/inside.h"

/* A page is the payload of a READ_SCAN reply: a scan_reply with all rows of the range, dead ones
 * and values included, whatever the client asked for, so that equal replicas have equal pages. It
 * never ends at the empty sort key (request.h). Checksums of rows are checked. */
enum { PAGE_DIGEST_SIZE = 16 };

struct page_read;

/* Called once, later; `payload` is borrowed for the call (empty unless status is 0). Errors:
 * ERR_CORRUPT, ERR_DISK. */
typedef void page_done(void *context, int status, struct bytes payload);

/* Asks for a page; the keys are copied. NULL when too much is in flight (`done` is not called). */
struct page_read *page_read(struct node *node, struct bytes partition_key,
                            const struct scan_request *request, page_done *done, void *context);
/* The same, but as if what is pending here were applied (pending.h). `*ret_pending` is set before
 * `done` is called, unless the answer was given up. */
struct page_read *page_read_pending(struct node *node, struct bytes partition_key,
                                    const struct scan_request *request, bool *ret_pending,
                                    page_done *done, void *context);
/* Gives the answer up; before `done` was called. */
void page_forget(struct page_read *page);

/* The digest of a page, equal for equal rows and ends; the tally does not count. */
void page_digest(struct bytes payload, uint8_t ret[PAGE_DIGEST_SIZE]);

#endif
