/* leaf_page: a page of a slice's row keys and clocks as this node has them on its disk. */
#ifndef RINGFS_NODE_CORE_LEAF_PAGE_H
#define RINGFS_NODE_CORE_LEAF_PAGE_H

#include "node/core/inside.h"
#include "shared/exchange.h"

struct leaf_page;

/* Called once, later. `leaf` (its `same` is false) is borrowed for the call, NULL unless status is
 * 0; a row that cannot be read is in it, marked. `size` = bytes that came off the disk. */
typedef void leaf_page_done(void *context, int status, const struct leaf *leaf, size_t size);

/* Asks for the request's range; its keys are copied, its digest is not looked at. NULL when too
 * much is in flight (`done` is not called). */
struct leaf_page *leaf_page_read(struct node *node, const struct leaf_request *request,
                                 leaf_page_done *done, void *context);
/* Gives the answer up; before `done` was called. */
void leaf_page_forget(struct leaf_page *page);

/* LEAF: lists a page to a peer or to ringctl, or says that it is the same. */
void leaf_receive(struct node *node, const struct endpoint *from, const struct message *message);

#endif
