/* page: one page of a partition's rows as this node has them on its disk. */
#ifndef RINGFS_NODE_CORE_PAGE_H
#define RINGFS_NODE_CORE_PAGE_H

#include "node/core/inside.h"

/* A page is the payload of a READ_SCAN reply: a scan_reply with all rows of the range, dead ones
 * and values included, whatever the client asked for, so that equal replicas have equal pages; and
 * the digest of that, from the rows' sums (disk.h). It never ends at the empty sort key
 * (request.h). Checksums of rows are checked. */
enum { PAGE_DIGEST_SIZE = 16 };

struct page_read;

/* Called once, later; `payload` is borrowed for the call (empty unless status is 0). Errors:
 * ERR_CORRUPT, ERR_DISK. */
typedef void page_done(void *context, int status, struct bytes payload);

/* What is to be read. */
struct page_wish {
    struct bytes partition_key;
    const struct scan_request *request; /* keys are copied */
    /* The digest alone: large values are not read, so a copy that is damaged goes unnoticed. */
    bool digest;
    /* As if what is pending here were applied (pending.h), unless NULL. Set before `done` is
     * called, unless the answer was given up. */
    bool *ret_pending;
};
/* Asks for a page. NULL when too much is in flight (`done` is not called). */
struct page_read *page_read(struct node *node, const struct page_wish *wish, page_done *done,
                            void *context);
/* Gives the answer up; before `done` was called. */
void page_forget(struct page_read *page);

/* The digest that a page holds: equal for equal rows and ends; the tally does not count. */
void page_digest(struct bytes payload, uint8_t ret[PAGE_DIGEST_SIZE]);

#endif
