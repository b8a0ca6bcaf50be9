/* page_merge: pages of one range by several replicas, made into one. */
#include "node/core/page_merge.h"

#include <assert.h>

void page_merge_add(struct page_merge *merge, struct bytes payload) {
    assert(merge->n < PAGE_MERGE_MAX);
    struct scan_reply *page = &merge->pages[merge->n++];
    int err = scan_reply_decode(payload, page);
    assert(err == 0);
    (void)err;
    if (page->more && (!merge->more || bytes_compare(page->cursor, merge->end) < 0)) {
        merge->end = page->cursor;
    }
    merge->more = merge->more || page->more;
}

void page_merge_release(struct page_merge *merge) {
    for (uint32_t i = 0; i < merge->n; i++) {
        scan_reply_release(&merge->pages[i]);
    }
    versions_release(&merge->merged);
    versions_release(&merge->other);
    *merge = (struct page_merge){0};
}

void page_merge_bounds(const struct page_merge *merge, uint32_t *ret_rows, size_t *ret_bytes) {
    *ret_rows = 0;
    *ret_bytes = 0;
    for (uint32_t i = 0; i < merge->n; i++) {
        const struct scan_reply *page = &merge->pages[i];
        *ret_rows += page->n_rows;
        /* A joined row is no larger than the rows it is made of. */
        for (uint32_t j = 0; j < page->n_rows; j++) {
            *ret_bytes += page->rows[j].versions.size;
        }
    }
}

/* The next row of one page; NULL when it has none up to the end. */
static const struct scan_row *peek(const struct page_merge *merge, uint32_t i) {
    if (merge->at[i] >= merge->pages[i].n_rows) {
        return NULL;
    }
    const struct scan_row *row = &merge->pages[i].rows[merge->at[i]];
    return merge->more && bytes_compare(row->sort_key, merge->end) > 0 ? NULL : row;
}

/* The lowest next sort key. */
static bool next_key(const struct page_merge *merge, struct bytes *ret) {
    bool found = false;
    for (uint32_t i = 0; i < merge->n; i++) {
        const struct scan_row *row = peek(merge, i);
        if (row != NULL && (!found || bytes_compare(row->sort_key, *ret) < 0)) {
            *ret = row->sort_key;
            found = true;
        }
    }
    return found;
}

bool page_merge_has_next(const struct page_merge *merge) {
    struct bytes key;
    return next_key(merge, &key);
}

/* The page's row of this key, NULL when it has none. */
static const struct scan_row *peek_key(const struct page_merge *merge, uint32_t i,
                                       struct bytes key) {
    const struct scan_row *row = peek(merge, i);
    return row != NULL && bytes_equal(row->sort_key, key) ? row : NULL;
}

bool page_merge_next(struct page_merge *merge, struct buffer *arena, struct scan_row *ret,
                     uint32_t *ret_lacking) {
    struct bytes key;
    if (!next_key(merge, &key)) {
        return false;
    }
    versions_decode(bytes_of(NULL, 0), &merge->merged);
    for (uint32_t i = 0; i < merge->n; i++) {
        const struct scan_row *row = peek_key(merge, i, key);
        if (row != NULL) {
            versions_decode(row->versions, &merge->other);
            versions_merge(&merge->merged, &merge->other);
        }
    }
    size_t at = arena->size;
    assert(arena->capacity - at >= versions_encoded_size(&merge->merged));
    versions_encode(&merge->merged, arena);
    *ret = (struct scan_row){key, bytes_of(arena->data + at, arena->size - at)};
    *ret_lacking = 0;
    for (uint32_t i = 0; i < merge->n; i++) {
        const struct scan_row *row = peek_key(merge, i, key);
        if (row == NULL || !bytes_equal(row->versions, ret->versions)) {
            *ret_lacking |= 1u << i;
        }
        merge->at[i] += row != NULL ? 1 : 0;
    }
    return true;
}
