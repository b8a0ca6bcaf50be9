/* written: which bytes of a block were written here. */
#ifndef RINGFS_FS_WRITTEN_H
#define RINGFS_FS_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/record.h"

/* Two mounts may write different bytes of one block: whoever comes second puts the bytes that it
 * wrote itself over what is stored by then, and no others. Pure. */
enum { WRITTEN_BITS = 64, WRITTEN_WORDS = BLOCK_SIZE / WRITTEN_BITS };

struct written {
    uint64_t bits[WRITTEN_WORDS]; /* a bit for each byte of the block */
};

/* Adds the bytes [from, to). */
void written_add(struct written *written, uint32_t from, uint32_t to);
/* Whether every byte was. */
bool written_all(const struct written *written);
void written_join(struct written *written, const struct written *other);
/* Copies the bytes of `stored` (BLOCK_SIZE of them) that were not written here into `data`. */
void written_keep(const struct written *written, uint8_t *data, const uint8_t *stored);

#endif
