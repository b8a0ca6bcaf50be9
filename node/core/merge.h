/* merge: the rows of one partition that come to know more, and its tally, in one commit. */
#ifndef RINGFS_NODE_CORE_MERGE_H
#define RINGFS_NODE_CORE_MERGE_H

#include "node/core/inside.h"

/* Used by replicas for what others send and by coordinators for what they made themselves. Begin,
 * merge each row once, finish; nothing else may happen in between. All rows must be held. */
struct merge {
    struct node *node;
    struct rows_commit *commit;
    struct row *tally_row;
    struct tally tally;
    bool tally_changed;
    bool counts;   /* the tally can be read */
    bool builds;   /* on rows that are on their way to the disk */
    bool doubtful; /* a row changes of which nobody knows here whether it was counted as live */
    bool again;    /* commit rows that learn nothing too: they are to be synced */
};

/* At most `n` rows. A tally that is corrupt stays so; recount.h makes it anew. */
void merge_begin(struct merge *merge, struct node *node, struct row *tally_row, uint32_t n,
                 bool synced);
/* Joins `incoming`, encoded versions that were checked, into the row. `blob` holds the same bytes
 * or is NULL. A row that is corrupt here becomes `incoming`, and the tally is to be made anew. */
void merge_row(struct merge *merge, struct row *row, struct bytes incoming, struct blob *blob);
/* The row goes if it is corrupt here: nobody has anything of it. */
void merge_forget(struct merge *merge, struct row *row);
/* Adds the tally if it changed; the commit is ready to start. */
struct rows_commit *merge_finish(struct merge *merge);

#endif
