/* merge: the rows of one partition that come to know more, and its tally, in one commit. */
#include "node/core/merge.h"

#include <assert.h>
#include <string.h>

#include "node/core/condition.h"
#include "node/core/plant.h"
#include "shared/err.h"

void merge_begin(struct merge *merge, struct node *node, struct row *tally_row, uint32_t n,
                 bool synced) {
    *merge = (struct merge){.node = node, .tally_row = tally_row, .again = synced};
    merge->commit = rows_commit_new(node->rows, n + 1);
    merge->counts = tally_row->newest_status == 0;
    merge->tally = tally_of(blob_bytes(tally_row->newest));
}

/* The joined versions as a blob: the incoming bytes where they cover all. */
static struct blob *joined(struct node *node, const struct versions *versions, bool learnt,
                           struct bytes incoming, struct blob *blob) {
    if (!learnt) {
        return blob != NULL ? blob_ref(blob) : blob_new(incoming);
    }
    buffer_clear(&node->encoded);
    versions_encode(versions, &node->encoded);
    return blob_new(buffer_bytes(&node->encoded));
}

/* Whether the disk holds something of the row that cannot be read; rows_forget() leaves it there.
 */
static bool is_unreadable(const struct row *row) {
    return row->newest_status != 0 || (row->newest == NULL && row->durable_status != 0);
}

/* What the row holds, decoded; a corrupt row is taken for one that nobody wrote. */
static void decode_current(struct node *node, const struct row *row, struct versions *ret) {
    int err = versions_decode(blob_bytes(row->newest), ret);
    assert(err == 0); /* checked when it was loaded */
    (void)err;
    if (row->newest_status != 0) {
        epoch_renew(node);
    }
}

void merge_row(struct merge *merge, struct row *row, struct bytes incoming, struct blob *blob) {
    struct node *node = merge->node;
    struct versions *now = &node->scratch[0];
    struct versions *before = &node->scratch[1];
    int err = versions_decode(incoming, now);
    assert(err == 0);
    (void)err;
    decode_current(node, row, before);
    if (epoch_is_ahead(node, &now->context)) {
        epoch_fail_old(node);
    }
    bool was_live = versions_live(before) > 0;
    bool learnt = versions_merge(now, before);
    if (PLANTED(LAST_WRITER) && now->n_siblings > 1) {
        now->siblings[0] = *versions_winner(now);
        now->n_siblings = 1;
        learnt = true;
    }
    if (PLANTED(PRUNE_CLOCK) && now->context.n > 2) {
        now->context.n--;
        memmove(now->context.entries, now->context.entries + 1,
                now->context.n * sizeof(*now->context.entries));
        learnt = true;
    }
    struct blob *result = joined(node, now, learnt, incoming, blob);
    if (row->newest != NULL && bytes_equal(blob_bytes(row->newest), blob_bytes(result))) {
        blob_unref(result);
        if (!merge->again && !row_in_flight(row)) {
            return;
        }
        result = blob_ref(row->newest);
    }
    node->counters.rows_applied++;
    node->counters.corrupt_repaired += row->newest_status != 0 ? 1 : 0;
    merge->doubtful |= is_unreadable(row);
    merge->builds |= row_in_flight(row);
    rows_commit_put(merge->commit, row, result);
    if (!PLANTED(STALE_TALLY) || versions_live(now) > 0) {
        merge->tally_changed |= tally_follow(&merge->tally, was_live, now);
    }
}

void merge_forget(struct merge *merge, struct row *row) {
    if (row->newest_status == ERR_CORRUPT) {
        epoch_renew(merge->node);
        merge->doubtful = true;
        rows_commit_remove(merge->commit, row);
    }
}

/* If the commit that this one builds on fails, what it counted must not stand here uncounted. */
static bool tally_is_put(const struct merge *merge) {
    const struct row *row = merge->tally_row;
    return merge->tally_changed || (merge->builds && row_in_flight(row));
}

/* The tally is not known, and would have changed. */
static void doubt(struct merge *merge) {
    struct row *row = merge->tally_row;
    if (!merge->tally_changed && !merge->doubtful && !merge->builds) {
        return;
    }
    if (row->spoilt) {
        /* The disk may not know yet: after a crash it would have an old tally of these rows. */
        rows_commit_spoil(merge->commit, row);
    } else {
        rows_doubt(row);
    }
}

struct rows_commit *merge_finish(struct merge *merge) {
    if (!merge->counts) {
        doubt(merge);
    } else if (merge->doubtful) {
        rows_commit_spoil(merge->commit, merge->tally_row);
    } else if (tally_is_put(merge)) {
        struct buffer *encoded = &merge->node->encoded;
        buffer_clear(encoded);
        tally_put(&merge->tally, encoded);
        rows_commit_reckon(merge->commit, merge->tally_row, blob_new(buffer_bytes(encoded)));
    }
    return merge->commit;
}
