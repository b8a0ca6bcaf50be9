/* overlay: pieces of bytes to be laid over a value, each at its place. */
#ifndef RINGFS_SHARED_OVERLAY_H
#define RINGFS_SHARED_OVERLAY_H

#include "shared/bytes.h"

/* What a ROW_PATCH carries (request.h), encoded: for each piece a u32 offset and its bytes, with
 * their size before them. Pieces ascend, do not overlap, and are not empty; there is at least one.
 * Pure. */
enum { OVERLAY_PIECES_MAX = 64 };

/* Appends a piece, which must lie behind those before it. Copies the data. */
void overlay_add(struct buffer *overlay, uint32_t offset, struct bytes data);
/* 0; ERR_INVALID for what is no overlay; ERR_TOO_BIG for more than OVERLAY_PIECES_MAX pieces, or
 * one that ends beyond `end_max`. */
int overlay_check(struct bytes overlay, uint32_t end_max);
/* Appends to `into` what becomes of `value` under a checked overlay: as long as before or up to the
 * overlay's end, with zeros where nothing was. Neither may lie in `into`. */
void overlay_apply(struct bytes overlay, struct bytes value, struct buffer *into);

#endif
