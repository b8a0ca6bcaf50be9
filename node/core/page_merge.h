/* page_merge: pages of one range by several replicas, made into one. */
#ifndef RINGFS_NODE_CORE_PAGE_MERGE_H
#define RINGFS_NODE_CORE_PAGE_MERGE_H

#include "shared/request.h"
#include "shared/ring.h"

/* Each page is complete up to its cursor only (to the end of the range when it has no more). So the
 * merged page is complete up to the smallest cursor of those that have more, and ends there. Rows
 * come in sort-key order, each joined from all pages that have it. Pure. */
enum { PAGE_MERGE_MAX = RING_REPLICAS_MAX };

struct page_merge {
    struct scan_reply pages[PAGE_MERGE_MAX];
    uint32_t at[PAGE_MERGE_MAX];
    uint32_t n;
    bool more;        /* some page has more */
    struct bytes end; /* then: the last sort key that all of them know about */
    struct versions merged, other;
};

/* Adds a page: a payload of page.h, checked, borrowed until page_merge_release(). Its number is the
 * order of adding. The merge must be zeroed at first. */
void page_merge_add(struct page_merge *merge, struct bytes payload);
/* The sizes that hold all that page_merge_next() can yield. */
void page_merge_bounds(const struct page_merge *merge, uint32_t *ret_rows, size_t *ret_bytes);
/* The next row, false at the end. Its versions are appended to `arena`, which must have room
 * (page_merge_bounds), its sort key is borrowed from a page. *ret_lacking = a bit for each page
 * that does not have the row just so. */
bool page_merge_next(struct page_merge *merge, struct buffer *arena, struct scan_row *ret,
                     uint32_t *ret_lacking);
/* Whether page_merge_next() would yield another row. */
bool page_merge_has_next(const struct page_merge *merge);
void page_merge_release(struct page_merge *merge);

#endif
