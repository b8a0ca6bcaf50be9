/* page_show: what a client sees of a page. */
#include "node/core/page_show.h"

/* The row with what is shown of its values, appended to `arena`, whose memory must not move. */
static struct bytes cut_values(const struct page_view *view, struct versions *versions,
                               struct buffer *arena) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        struct bytes *value = &versions->siblings[i].value;
        *value = scan_value(&view->request, view->flags, *value);
    }
    size_t at = arena->size;
    versions_encode(versions, arena);
    return bytes_of(arena->data + at, arena->size - at);
}

bool page_show(struct node *node, const struct page_view *view, struct scan_reply *page,
               struct buffer *arena) {
    struct versions *versions = &node->scratch[0];
    bool tombstones = (view->flags & MESSAGE_TOMBSTONES) != 0;
    bool cuts = (view->flags & MESSAGE_KEYS_ONLY) != 0 || view->request.value_max > 0;
    size_t size = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; cuts && i < page->n_rows; i++) {
        size += page->rows[i].versions.size;
    }
    buffer_extend(arena, size);
    buffer_clear(arena);
    for (uint32_t i = 0; i < page->n_rows; i++) {
        struct scan_row row = page->rows[i];
        versions_decode(row.versions, versions);
        if (!tombstones && versions_live(versions) == 0) {
            continue;
        }
        if (cuts) {
            row.versions = cut_values(view, versions, arena);
        }
        page->rows[n++] = row;
    }
    bool less = cuts || n < page->n_rows;
    page->n_rows = n;
    return less;
}
