/* ring_deal: which member owns which slice, when a ring is built and when its members change. */
#ifndef RINGFS_SHARED_RING_DEAL_H
#define RINGFS_SHARED_RING_DEAL_H

#include "shared/ring.h"

/* The part of ring.c that decides; nobody else calls it. Both functions take a ring that has its
 * members (sorted, sound), seed, sizes and room for owners, and fill in the owners. Each member
 * owns its share of the slices by weight, rounded down or up. Pure. */

/* Deals all slices anew, from the seed alone. */
void ring_deal(struct ring *ring);

/* Deals what `from` leaves free: a slice keeps its owner as long as that is a member and not over
 * its share. Deterministic in both rings. */
void ring_redeal(const struct ring *from, struct ring *ring);

/* Numbers the zones: a member's zone is the index of the first member in it, its own index when it
 * is in none. Returns how many there are. */
uint16_t ring_zones(const struct ring *ring, uint16_t ret_zones[RING_MEMBERS_MAX]);

#endif
