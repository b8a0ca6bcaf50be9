/* condition: whether a batch's conditions hold on what one replica has of its rows. */
#ifndef RINGFS_NODE_CORE_CONDITION_H
#define RINGFS_NODE_CORE_CONDITION_H

#include "shared/request.h"

/* The conditions are those of enum row_condition. Pure. */

/* Whether any operation is a patch. */
bool batch_has_patches(const struct batch *batch);
/* Whether any operation has a condition that can fail, or is a patch: then it is the steward's. */
bool batch_is_conditional(const struct batch *batch);

/* Whether the condition of `op` holds on `row`, in a partition of this tally. `seen` is the decoded
 * op->seen. Whether the row already has the operation (a retry) is the caller's to ask. */
bool condition_holds(const struct row_op *op, const struct versions *row,
                     const struct context *seen, const struct tally *tally);

/* ---- the tally of a partition: n_live, changed_ns, 8 bytes each, little-endian ---- */

/* Reads a tally's bytes; none is the tally of an empty partition. */
struct tally tally_of(struct bytes bytes);
void tally_put(const struct tally *tally, struct buffer *into);
/* Takes into account that a row that was live or not is now `row`. Returns whether the tally
 * changed. */
bool tally_follow(struct tally *tally, bool was_live, const struct versions *row);

#endif
