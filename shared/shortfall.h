/* shortfall: why a request ended UNAVAILABLE or UNKNOWN: what it needed, what answered, who not. */
#ifndef RINGFS_SHARED_SHORTFALL_H
#define RINGFS_SHARED_SHORTFALL_H

#include "shared/bytes.h"
#include "shared/ring.h"

/* The payload of every reply with one of these statuses, whatever was asked; and what a client says
 * of a request that no node answered. Pure. */
struct shortfall {
    uint8_t needed;   /* replicas; 0 = nobody said */
    uint8_t answered; /* of them, with what was asked */
    uint8_t n_silent;
    uint16_t silent[RING_REPLICAS_MAX]; /* nodes that are down or did not answer in time */
};

enum { SHORTFALL_TEXT_MAX = 160 };

/* Adds a node that was silent, once; what does not fit is left out. */
void shortfall_add(struct shortfall *shortfall, uint16_t node);
void shortfall_encode(const struct shortfall *shortfall, struct buffer *into);
/* ERR_INVALID leaves `ret` as it is. */
int shortfall_decode(struct bytes payload, struct shortfall *ret);
/* "1 of 2 replicas answered, nodes 2 and 3 did not", at most `size` bytes with the zero at the end;
 * the empty string when nothing is known. Returns `ret`. */
const char *shortfall_text(const struct shortfall *shortfall, char *ret, size_t size);

#endif
