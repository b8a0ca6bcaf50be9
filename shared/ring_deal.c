/* ring_deal: orders drawn from the seed, quotas by weight, turns evenly spaced. */
#include "shared/ring_deal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum {
    NOBODY = UINT16_MAX,
    /* The ring is dealt in this many arcs, each from an order of its own. With one order and 100
     * members 4 % of all pairs of members share a slice's quorum, with two 8 %, with a fresh order
     * in every round 35 %; on the other side a lost member is rebuilt from 4 others, 8, or nearly
     * all. */
    ARCS = 2,
};

uint16_t ring_zones(const struct ring *ring, uint16_t zones[RING_MEMBERS_MAX]) {
    uint16_t n_zones = 0;
    for (uint16_t i = 0; i < ring->n_members; i++) {
        const char *zone = ring->members[i].zone;
        uint16_t first = i;
        for (uint16_t j = 0; zone[0] != '\0' && j < i; j++) {
            if (strcmp(zone, ring->members[j].zone) == 0) {
                first = j;
                break;
            }
        }
        zones[i] = first;
        n_zones = (uint16_t)(n_zones + (first == i));
    }
    return n_zones;
}

/* A member's place while an order is made. */
struct seat {
    uint16_t member;
    uint16_t zone;
    uint16_t rank; /* within its zone */
    uint16_t zone_size;
    uint64_t dice;
    uint64_t zone_dice;
};

static uint64_t roll(uint64_t seed, uint8_t arc, uint8_t what, uint16_t number) {
    const uint8_t input[4] = {arc, what, (uint8_t)number, (uint8_t)(number >> 8)};
    return XXH3_64bits_withSeed(input, sizeof(input), seed);
}

static int by_zone(const void *a, const void *b) {
    const struct seat *left = a, *right = b;
    if (left->zone != right->zone) {
        return left->zone < right->zone ? -1 : 1;
    }
    if (left->dice != right->dice) {
        return left->dice < right->dice ? -1 : 1;
    }
    return (left->member > right->member) - (left->member < right->member);
}

/* Spreads each zone's members evenly: by (rank + 1/2) / zone_size, then zone by zone. */
static int by_share(const void *a, const void *b) {
    const struct seat *left = a, *right = b;
    uint32_t left_share = (2u * left->rank + 1u) * right->zone_size;
    uint32_t right_share = (2u * right->rank + 1u) * left->zone_size;
    if (left_share != right_share) {
        return left_share < right_share ? -1 : 1;
    }
    if (left->zone_dice != right->zone_dice) {
        return left->zone_dice < right->zone_dice ? -1 : 1;
    }
    return by_zone(a, b);
}

static void seats_rank(struct seat *seats, uint16_t n) {
    uint16_t first = 0;
    for (uint16_t i = 0; i < n; i++) {
        if (seats[i].zone != seats[first].zone) {
            first = i;
        }
        seats[i].rank = (uint16_t)(i - first);
    }
    for (uint16_t i = n; i-- > 0;) {
        bool last = i + 1 == n || seats[i + 1].zone != seats[i].zone;
        seats[i].zone_size = last ? (uint16_t)(seats[i].rank + 1) : seats[i + 1].zone_size;
    }
}

/* The order in which one arc deals to the members: drawn from the seed, with the members of one
 * zone as far apart as may be. */
static void order_draw(const struct ring *ring, uint8_t arc, uint16_t order[RING_MEMBERS_MAX]) {
    uint16_t zones[RING_MEMBERS_MAX];
    struct seat seats[RING_MEMBERS_MAX];
    ring_zones(ring, zones);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        seats[i] = (struct seat){.member = i, .zone = zones[i]};
        seats[i].dice = roll(ring->seed, arc, 0, ring->members[i].id);
        seats[i].zone_dice = roll(ring->seed, arc, 1, ring->members[zones[i]].id);
    }
    qsort(seats, ring->n_members, sizeof(seats[0]), by_zone);
    seats_rank(seats, ring->n_members);
    qsort(seats, ring->n_members, sizeof(seats[0]), by_share);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        order[i] = seats[i].member;
    }
}

/* How many slices each member gets: in proportion to its weight, what rounding leaves over by the
 * largest remainder, first in `order` among equals. */
static void quotas_count(const struct ring *ring, const uint16_t order[RING_MEMBERS_MAX],
                         uint32_t quotas[RING_MEMBERS_MAX]) {
    uint32_t sum = 0, left = ring->n_slices;
    uint32_t remainders[RING_MEMBERS_MAX];
    for (uint16_t i = 0; i < ring->n_members; i++) {
        sum += ring->members[i].weight;
    }
    for (uint16_t i = 0; i < ring->n_members; i++) {
        uint32_t share = (uint32_t)ring->n_slices * ring->members[i].weight;
        quotas[i] = share / sum;
        remainders[i] = share % sum + 1; /* 0 = has had its extra slice */
        left -= quotas[i];
    }
    for (; left > 0; left--) {
        uint16_t best = order[0];
        for (uint16_t i = 1; i < ring->n_members; i++) {
            if (remainders[order[i]] > remainders[best]) {
                best = order[i];
            }
        }
        quotas[best]++;
        remainders[best] = 0;
    }
}

/* One member's turns in an arc: its j-th (from 0) comes at (j + (place + 1/2) / n) / weight, so
 * that turns are evenly spaced, and members of equal weight take theirs in the same order each
 * round. */
struct turns {
    uint64_t next; /* 2 * n * (j + (place + 1/2) / n): the numerator, whole */
    uint32_t weight;
    uint32_t left; /* of the member's quota, over all arcs */
};

static void arc_deal(struct ring *ring, const uint16_t *order, struct turns *turns, uint16_t from,
                     uint16_t to) {
    for (uint16_t i = 0; i < ring->n_members; i++) {
        turns[order[i]].next = 2u * i + 1u;
    }
    for (uint16_t slice = from; slice < to; slice++) {
        struct turns *first = NULL;
        for (uint16_t i = 0; i < ring->n_members; i++) {
            struct turns *turn = &turns[order[i]];
            if (turn->left > 0 &&
                (first == NULL || turn->next * first->weight < first->next * turn->weight)) {
                first = turn;
            }
        }
        assert(first != NULL);
        first->next += 2u * ring->n_members;
        first->left--;
        ring->owners[slice] = (uint16_t)(first - turns);
    }
}

void ring_deal(struct ring *ring) {
    uint16_t order[RING_MEMBERS_MAX];
    uint32_t quotas[RING_MEMBERS_MAX];
    struct turns turns[RING_MEMBERS_MAX];
    order_draw(ring, 0, order);
    quotas_count(ring, order, quotas);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        turns[i] = (struct turns){.weight = ring->members[i].weight, .left = quotas[i]};
    }
    for (uint8_t arc = 0; arc < ARCS; arc++) {
        order_draw(ring, arc, order);
        arc_deal(ring, order, turns, (uint16_t)(ring->n_slices * arc / ARCS),
                 (uint16_t)(ring->n_slices * (arc + 1) / ARCS));
    }
}

/* ---- another member list ---- */

/* Every slice's owner of before as far as it is a member still, and how many each has. */
static void owners_carry(const struct ring *from, struct ring *ring,
                         uint32_t held[RING_MEMBERS_MAX]) {
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        int member = ring_member_index(ring, from->members[from->owners[slice]].id);
        ring->owners[slice] = member >= 0 ? (uint16_t)member : NOBODY;
        if (member >= 0) {
            held[member]++;
        }
    }
}

/* Takes from who holds more than its quota, evenly over what it holds and from one member after the
 * other (`phase`), so that a newcomer's slices are not neighbours. */
static void owners_trim(struct ring *ring, const uint16_t *order, const uint32_t *quotas,
                        uint32_t *held) {
    uint32_t phase[RING_MEMBERS_MAX], turn[RING_MEMBERS_MAX] = {0}, kept[RING_MEMBERS_MAX] = {0};
    for (uint16_t i = 0; i < ring->n_members; i++) {
        phase[order[i]] = i * held[order[i]] / ring->n_members;
    }
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        uint16_t member = ring->owners[slice];
        if (member == NOBODY || held[member] <= quotas[member]) {
            continue;
        }
        turn[member]++;
        if ((turn[member] * quotas[member] + phase[member]) / held[member] > kept[member]) {
            kept[member]++;
        } else {
            ring->owners[slice] = NOBODY;
        }
    }
    for (uint16_t i = 0; i < ring->n_members; i++) {
        held[i] = held[i] < quotas[i] ? held[i] : quotas[i];
    }
}

/* How badly a member fits a free slice: neighbours of its own, and of its zone, whose preference
 * lists would have to skip it. */
static uint32_t slice_crowding(const struct ring *ring, const uint16_t zones[RING_MEMBERS_MAX],
                               uint16_t slice, uint16_t member) {
    uint32_t crowding = 0;
    uint16_t reach = (uint16_t)(ring->n_replicas - 1);
    for (uint16_t i = 1; i <= reach; i++) {
        const uint16_t around[2] = {
            ring->owners[(slice + i) % ring->n_slices],
            ring->owners[(slice + ring->n_slices - i) % ring->n_slices],
        };
        for (int side = 0; side < 2; side++) {
            if (around[side] == member) {
                crowding += 4;
            } else if (around[side] != NOBODY && zones[around[side]] == zones[member]) {
                crowding += 1;
            }
        }
    }
    return crowding;
}

/* The member that a free slice goes to: of those that lack slices the one least crowded there, then
 * the one that lacks most. */
static uint16_t slice_taker(const struct ring *ring, const uint16_t *order, const uint16_t *zones,
                            const uint32_t *missing, uint16_t slice) {
    uint16_t best = NOBODY;
    uint32_t best_crowding = 0;
    for (uint16_t i = 0; i < ring->n_members; i++) {
        uint16_t member = order[i];
        if (missing[member] == 0) {
            continue;
        }
        uint32_t crowding = slice_crowding(ring, zones, slice, member);
        if (best == NOBODY || crowding < best_crowding ||
            (crowding == best_crowding && missing[member] > missing[best])) {
            best = member;
            best_crowding = crowding;
        }
    }
    assert(best != NOBODY);
    return best;
}

void ring_redeal(const struct ring *from, struct ring *ring) {
    uint16_t order[RING_MEMBERS_MAX], zones[RING_MEMBERS_MAX];
    uint32_t quotas[RING_MEMBERS_MAX], held[RING_MEMBERS_MAX] = {0}, missing[RING_MEMBERS_MAX];
    order_draw(ring, 0, order);
    quotas_count(ring, order, quotas);
    ring_zones(ring, zones);
    owners_carry(from, ring, held);
    owners_trim(ring, order, quotas, held);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        missing[i] = quotas[i] - held[i];
    }
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        if (ring->owners[slice] == NOBODY) {
            uint16_t member = slice_taker(ring, order, zones, missing, slice);
            ring->owners[slice] = member;
            missing[member]--;
        }
    }
}
