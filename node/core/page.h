/* page: one page of a partition's rows as this node has them on its disk. */
#ifndef RINGFS_NODE_CORE_PAGE_H
#define RINGFS_NODE_CORE_PAGE_H

#include "node/core/inside.h"

/* A page is the payload of a READ_SCAN reply: a scan_reply with all rows of the range, dead ones
 * and values included, whatever the client asked for, so that equal replicas have equal pages. It
 * never ends at the empty sort key (request.h). Checksums of rows are checked. */
enum { PAGE_DIGEST_SIZE = 16 };

struct page_read;

/* Asks for a page. `done` is called once, later or from within; its payload is borrowed for the
 * call (empty unless status is 0). Errors: ERR_CORRUPT, ERR_DISK, ERR_BUSY (too much in flight).
 * The request's keys are copied. The answer can be given up by page_forget() until `done` was
 * called. `*ret` is set before `done` can be. */
void page_read(struct node *node, struct bytes partition_key, const struct scan_request *request,
               void (*done)(void *context, int status, struct bytes payload), void *context,
               struct page_read **ret);
void page_forget(struct page_read *page);

/* The digest of a page, equal for equal rows and ends; the tally does not count. */
void page_digest(struct bytes payload, uint8_t ret[PAGE_DIGEST_SIZE]);

#endif
