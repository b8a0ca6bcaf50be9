/* pending: rows as they are if what is pending was chosen. */
#include "node/core/pending.h"

#include <assert.h>
#include <stdlib.h>

#include "node/core/page_merge.h"
#include "shared/err.h"

static int batch_of(struct bytes pending, struct batch *ret) {
    struct chain_proposal proposal;
    int err = chain_proposal_decode(pending, &proposal);
    return err != 0 ? err : batch_decode(proposal.batch, true, ret);
}

struct bytes pending_join(struct node *node, struct bytes pending, struct bytes sort_key,
                          struct bytes versions, struct buffer *into) {
    struct batch batch;
    struct bytes ret = versions;
    if (pending.size == 0 || batch_of(pending, &batch) != 0) {
        return versions;
    }
    for (uint32_t i = 0; i < batch.n; i++) {
        const struct row_op *op = &batch.ops[i];
        if (op->kind == ROW_GUARD || !bytes_equal(op->sort_key, sort_key)) {
            continue;
        }
        versions_decode(versions, &node->scratch[0]);
        if (versions_decode(op->value, &node->scratch[1]) == 0 &&
            versions_merge(&node->scratch[0], &node->scratch[1])) {
            buffer_clear(into);
            versions_encode(&node->scratch[0], into);
            ret = buffer_bytes(into);
        }
        break;
    }
    batch_release(&batch);
    return ret;
}

struct tally pending_tally(struct bytes pending, struct tally tally) {
    struct chain_proposal proposal;
    bool later = pending.size > 0 && chain_proposal_decode(pending, &proposal) == 0 &&
                 proposal.tally.changed_ns > tally.changed_ns;
    return later ? proposal.tally : tally;
}

/* ---- pages ---- */

static int by_sort_key(const void *a, const void *b) {
    const struct scan_row *left = a;
    const struct scan_row *right = b;
    return bytes_compare(left->sort_key, right->sort_key);
}

static bool in_range(const struct scan_request *request, struct bytes sort_key) {
    return bytes_compare(sort_key, request->first) >= 0 &&
           (request->after.size == 0 || bytes_compare(sort_key, request->after) > 0) &&
           (request->before.size == 0 || bytes_compare(sort_key, request->before) < 0);
}

/* The batch's rows in the range as a page of their own. */
static void encode_rows(const struct batch *batch, const struct scan_request *request,
                        struct buffer *into) {
    struct scan_reply page = {.rows = memory_new(batch->n, sizeof *page.rows)};
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct row_op *op = &batch->ops[i];
        if (op->kind != ROW_GUARD && in_range(request, op->sort_key)) {
            page.rows[page.n_rows++] = (struct scan_row){op->sort_key, op->value};
        }
    }
    qsort(page.rows, page.n_rows, sizeof *page.rows, by_sort_key);
    if (page.n_rows > 0) {
        page.cursor = page.rows[page.n_rows - 1].sort_key;
    }
    scan_reply_encode(&page, into);
    free(page.rows);
}

static void merge(const struct scan_request *request, struct page_merge *pages,
                  struct buffer *into) {
    struct buffer arena = {0};
    uint32_t rows_max, lacking;
    size_t bytes_max;
    page_merge_bounds(pages, &rows_max, &bytes_max);
    buffer_extend(&arena, bytes_max);
    buffer_clear(&arena);
    struct scan_reply page = {.tally = pages->pages[0].tally,
                              .rows = memory_new(rows_max + 1u, sizeof *page.rows)};
    bool full = false;
    while (!full && page_merge_next(pages, &arena, &page.rows[page.n_rows], &lacking)) {
        page.cursor = page.rows[page.n_rows++].sort_key;
        full = page.cursor.size > 0 &&
               (page.n_rows >= request->rows_max || arena.size >= request->bytes_max);
    }
    bool all = !page_merge_has_next(pages);
    page.more = pages->more || !all;
    page.cursor = pages->more && all ? pages->end : page.cursor;
    scan_reply_encode(&page, into);
    free(page.rows);
    buffer_release(&arena);
}

int pending_join_page(struct bytes pending, const struct scan_request *request, struct bytes page,
                      struct buffer *into) {
    struct page_merge pages = {0};
    struct buffer rows = {0};
    struct batch batch;
    if (batch_of(pending, &batch) != 0) {
        return ERR_CORRUPT;
    }
    encode_rows(&batch, request, &rows);
    page_merge_add(&pages, page);
    page_merge_add(&pages, buffer_bytes(&rows));
    merge(request, &pages, into);
    page_merge_release(&pages);
    buffer_release(&rows);
    batch_release(&batch);
    return 0;
}
