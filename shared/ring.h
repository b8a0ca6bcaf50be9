/* ring: who holds which slice of the hash space. */
#ifndef RINGFS_SHARED_RING_H
#define RINGFS_SHARED_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/bytes.h"

/* DeCandia et al., "Dynamo" (SOSP 2007) section 6.2, strategy 3: the hash space is cut into Q equal
 * slices, fixed for the life of a cluster. Position = XXH3-128 of the partition key under the
 * cluster's seed; slice = the position's top bits. Slices are dealt to members in proportion to
 * their weight from a few fixed permutations (Cidon et al., "Copysets", ATC 2013: few distinct
 * replica sets, so that two dead nodes rarely share one). The replicas of a slice are its owner and
 * the owners of the next slices clockwise, skipping members already taken and, as far as it can be
 * had, zones already taken.
 *
 * A ring is a value: built once from a member list or decoded from bytes, then read only. The same
 * members, weights, zones, seed and Q give the same ring on every machine. Pure; reads from any
 * thread. */
enum {
    RING_SLICES_DEFAULT = 1024, /* Q */
    RING_SLICES_MIN = 16,
    RING_SLICES_MAX = 4096,
    RING_MEMBERS_MAX = 256,
    RING_REPLICAS_MAX = 7,
    RING_REPLICAS_DEFAULT = 3, /* N */
    RING_ADDRESS_MAX = 200,    /* bytes of an address, NUL included */
    RING_ZONE_MAX = 32,        /* bytes of a zone's name, NUL included */
    RING_WEIGHT_DEFAULT = 100,
    RING_WEIGHT_MAX = 10000,
};

struct ring_member {
    uint16_t id; /* 1..65535, unique */
    uint16_t weight;
    char address[RING_ADDRESS_MAX]; /* where clients connect: "ipc:///path" or "tcp://host:port" */
    char zone[RING_ZONE_MAX];       /* "" = a zone of its own */
};

struct ring {
    uint64_t version; /* 1 for a static member list; higher rings replace lower ones */
    uint64_t seed;    /* the cluster's */
    uint16_t n_slices;
    uint16_t n_replicas; /* N asked for; a ring of fewer members has as many replicas as members */
    uint16_t n_members;
    struct ring_member *members; /* sorted by id; owned */
    uint16_t *owners;            /* slice -> index into members; owned */
    uint16_t *preference;        /* slice * n_replicas_held: member indexes in ring order; owned */
    uint16_t n_replicas_held;    /* min(n_replicas, n_members) */
    bool zones_dropped;          /* some slice could not have its replicas in distinct zones */
};

/* Builds a ring. Copies `members` (any order). ERR_INVALID when a bound above is broken, an id is
 * twice or zero, a weight is zero, or there is no member; `ret` is then untouched. */
int ring_build(uint64_t seed, uint16_t n_slices, uint16_t n_replicas,
               const struct ring_member *members, uint16_t n_members, struct ring *ret);
/* The ring of another member list, with the version after `from`'s and its seed, Q and N: as few
 * slices change their owner as the weights allow. Who leaves loses only its own slices; who joins
 * takes its share evenly from the others. Errors as ring_build(). `ret` may not be `from`. */
int ring_change(const struct ring *from, const struct ring_member *members, uint16_t n_members,
                struct ring *ret);
/* Frees what the ring owns; the struct is empty afterwards. */
void ring_release(struct ring *ring);

/* docs/wire.md; decoding checks every bound and index, and recomputes the preference lists. */
void ring_encode(const struct ring *ring, struct buffer *into);
int ring_decode(struct bytes encoded, struct ring *ret);

/* The slice of a partition key. */
uint16_t ring_slice(const struct ring *ring, struct bytes partition_key);
/* The preference list of a slice: indexes into members, owner first; n_replicas_held of them.
 * Borrowed. */
const uint16_t *ring_preference(const struct ring *ring, uint16_t slice);
/* The members behind the preference list, in the order of the same walk (zones do not count): who
 * stands in for a replica that is away. Fills at most `max` indexes into members; returns how many.
 */
uint16_t ring_beyond(const struct ring *ring, uint16_t slice, uint16_t *ret, uint16_t max);
/* Whether member `id` is one of the slice's replicas. */
bool ring_is_replica(const struct ring *ring, uint16_t slice, uint16_t id);
/* Index into members, -1 when there is no such member. */
int ring_member_index(const struct ring *ring, uint16_t id);
/* How many slices a member owns. */
uint32_t ring_owned(const struct ring *ring, uint16_t member_index);

#endif
