/* tree: what the rows of each slice add up to, so that replicas can compare slices by a number. */
#ifndef RINGFS_NODE_CORE_TREE_H
#define RINGFS_NODE_CORE_TREE_H

#include "node/core/rows.h"
#include "shared/exchange.h"
#include "shared/versions.h"

/* A hash tree of two levels (Merkle, 1987; sums in place of hashes of hashes, so that one row's
 * change is one subtraction and one addition). The roots are kept: for each slice the sum modulo
 * 2^64 of a hash of (key, clock) over its rows, and their number. The leaves are pages of rows and
 * are not kept: they are made by a scan when roots differ (leaf_page.h). Keeping leaves chosen by a
 * hash of the key would save nothing, since the rows of such a leaf lie all over the slice and
 * listing them takes the scan again; and it would cost 12 KiB a slice instead of 16 bytes.
 *
 * Not on the disk: counted anew at each start by scanning all rows (tree_build.h), page by page,
 * while rows change. What counts is what was committed. Changes behind the last key counted are
 * added at once; those before it will be met by the scan; those during a page's scan, which may
 * have seen them or not, are noted and put right when the page is there. So a sum is exact as soon
 * as its slice is known, and stays so. A row that cannot be read adds nothing; memory may still
 * have it, so whatever changes in its slice then has the slice counted anew. One thread. */
enum {
    TREE_NOTED_MAX = 1024, /* changes during one page's scan; beyond, the page is scanned again */
};

struct tree_noted;

struct tree_slice {
    uint64_t sum;
    uint32_t n_rows;
    uint32_t n_dead; /* of them: tombstones only */
    bool known;
    bool unsound; /* rows that could not be read were left out */
};

struct tree {
    uint64_t seed;
    uint16_t n_slices;
    uint16_t n_known;
    struct tree_slice *slices;
    struct versions scratch;
    /* the count under way: slices first..last */
    bool counting, scanning;
    bool met_unsound; /* in the last page */
    uint16_t first, last;
    struct buffer cursor; /* disk key of the last row counted; empty = none */
    struct tree_noted *noted;
    uint32_t n_noted;
    bool overflowed;
};

/* Nothing is known. */
void tree_init(struct tree *tree, uint64_t seed, uint16_t n_slices);
void tree_release(struct tree *tree);

/* A row's committed value changed (rows_watch()): `old` and `now` are encoded versions, empty = no
 * row. Keys that are not of rows are ignored. `old_known` false = what was there could not be read:
 * the slice has to be counted anew. */
void tree_changed(struct tree *tree, struct bytes key, struct bytes old, bool old_known,
                  struct bytes now);

/* A count of slices first..last begins; they are unknown from here on. */
void tree_count_begin(struct tree *tree, uint16_t first, uint16_t last);
/* Before each page's scan, and after it: its rows in order, and what is being committed at this
 * moment: tree_in_flight() for each row under way, then tree_count_page(). Whether the page counts;
 * if not, it must be scanned again from the cursor. */
void tree_scan_begin(struct tree *tree);
void tree_in_flight(struct tree *tree, struct bytes key, struct bytes durable, bool durable_known);
bool tree_count_page(struct tree *tree, const struct disk_row *rows, uint32_t n, bool more);
/* The scan failed: the count is given up; its slices that are not passed stay unknown. */
void tree_count_end(struct tree *tree);

/* The sum of a slice; false when it is not known. */
bool tree_sum(const struct tree *tree, uint16_t slice, struct slice_sum *ret);
/* How many rows of a slice are tombstones only; 0 while its sum is not known. */
uint32_t tree_n_dead(const struct tree *tree, uint16_t slice);
/* The first slice from `from` on that is not known; n_slices when all are. */
uint16_t tree_unknown(const struct tree *tree, uint16_t from);

#endif
