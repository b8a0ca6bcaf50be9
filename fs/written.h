/* written: which bytes of a block were written here. */
#ifndef RINGFS_FS_WRITTEN_H
#define RINGFS_FS_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/overlay.h"
#include "shared/record.h"

/* Two mounts may write different bytes of one block: what a mount did not write itself it does not
 * store. Pure. */
enum { WRITTEN_BITS = 64, WRITTEN_WORDS = BLOCK_SIZE / WRITTEN_BITS };

struct written {
    uint64_t bits[WRITTEN_WORDS]; /* a bit for each byte of the block */
};

/* Adds the bytes [from, to). */
void written_add(struct written *written, uint32_t from, uint32_t to);
/* Whether every byte was; every byte of [from, to). */
bool written_all(const struct written *written);
bool written_has(const struct written *written, uint32_t from, uint32_t to);
/* Whether they can be sent as pieces to be laid over a stored block: there are some, none at or
 * behind `size`, and not too many (OVERLAY_PIECES_MAX). */
bool written_patches(const struct written *written, uint32_t size);
/* Appends these pieces of `data`, as overlay.h says. */
void written_overlay(const struct written *written, const uint8_t *data, struct buffer *into);
void written_join(struct written *written, const struct written *other);
/* Copies the bytes of `stored` (BLOCK_SIZE of them) that were not written here into `data`. */
void written_keep(const struct written *written, uint8_t *data, const uint8_t *stored);

#endif
