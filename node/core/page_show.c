/* page_show: what a client sees of a page. */
#include "node/core/page_show.h"

/* The row without its values, appended to `arena`, whose memory must not move. */
static struct bytes strip_values(struct versions *versions, struct buffer *arena) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        versions->siblings[i].value = bytes_of(NULL, 0);
    }
    size_t at = arena->size;
    versions_encode(versions, arena);
    return bytes_of(arena->data + at, arena->size - at);
}

bool page_show(struct node *node, uint16_t flags, struct scan_reply *page, struct buffer *arena) {
    struct versions *versions = &node->scratch[0];
    bool tombstones = (flags & MESSAGE_TOMBSTONES) != 0;
    bool keys_only = (flags & MESSAGE_KEYS_ONLY) != 0;
    size_t size = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; keys_only && i < page->n_rows; i++) {
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
        if (keys_only) {
            row.versions = strip_values(versions, arena);
        }
        page->rows[n++] = row;
    }
    bool less = keys_only || n < page->n_rows;
    page->n_rows = n;
    return less;
}
