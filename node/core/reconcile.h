/* reconcile: brings the rows in which two pages differ to both replicas. */
#ifndef RINGFS_NODE_CORE_RECONCILE_H
#define RINGFS_NODE_CORE_RECONCILE_H

#include "node/core/inside.h"
#include "shared/exchange.h"

/* Rows that are here and differ are sent to the peer (REPAIR with an id, several of one partition
 * at a time); its answer tells whether it knew more. Those rows, and rows that are only there, are
 * read from it (READ) and merged here. A row counts as done when the commit was answered at both
 * ends. What changed since the pages were made does no harm: merging is idempotent, and what is
 * sent is what is committed now.
 *
 * Up to RECONCILE_LANES groups of rows go on side by side. */
enum {
    RECONCILE_LANES = 4,
    RECONCILE_GROUP_MAX = 64,  /* rows of one partition in one message */
    RECONCILE_REPLY_MS = 3000, /* silence after which what is out is given up */
};

struct reconcile;

struct reconcile_result {
    uint32_t n_rows;   /* differed */
    uint32_t n_failed; /* of them: not brought over; the next round tries again */
    uint64_t bytes;    /* of rows, sent and read */
};
typedef void reconcile_done(void *context, const struct reconcile_result *result);

/* Two pages of a slice, from the same row key on; borrowed for the call. */
struct reconcile_pages {
    uint16_t peer, slice;
    const struct leaf *here, *there;
};
/* Compares two pages, copied, up to where both end, and begins. `done` is
 * called once, later; the struct is gone then. */
struct reconcile *reconcile_start(struct node *node, const struct reconcile_pages *pages,
                                  reconcile_done *done, void *context);
/* Gives it up without calling `done`; when this node is freed. */
void reconcile_free(struct reconcile *reconcile);
/* No more messages are sent; `done` comes as soon as the commits under way have ended, perhaps
 * before this returns. */
void reconcile_abort(struct reconcile *reconcile);
/* A reply came; whether it was to one of this. */
bool reconcile_heard(struct reconcile *reconcile, const struct endpoint *from,
                     const struct message *message);

/* How far two pages that began at the same row key can be compared: the smaller of their ends;
 * empty = to the end of both. Borrowed from one of them. */
struct bytes leaf_common_end(const struct leaf *here, const struct leaf *there);

#endif
