/* ring: the value itself: checked, walked from a slice to its replicas, encoded and decoded. */
#include "shared/ring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "shared/err.h"
#include "shared/ring_deal.h"

enum { RING_FORMAT = 1 };

/* ---- members ---- */

static int by_id(const void *a, const void *b) {
    const struct ring_member *left = a, *right = b;
    return (left->id > right->id) - (left->id < right->id);
}

static bool is_text(const char *field, size_t size) {
    return memchr(field, '\0', size) != NULL;
}

/* Whether the members, sorted by id, are within the bounds. */
static bool members_are_sound(const struct ring_member *members, uint16_t n) {
    for (uint16_t i = 0; i < n; i++) {
        const struct ring_member *member = &members[i];
        if (member->id == 0 || (i > 0 && members[i - 1].id >= member->id)) {
            return false;
        }
        if (member->weight == 0 || member->weight > RING_WEIGHT_MAX) {
            return false;
        }
        if (!is_text(member->address, sizeof(member->address)) ||
            !is_text(member->zone, sizeof(member->zone))) {
            return false;
        }
    }
    return true;
}

static bool sizes_are_sound(uint16_t n_slices, uint16_t n_replicas, uint16_t n_members) {
    return n_slices >= RING_SLICES_MIN && n_slices <= RING_SLICES_MAX && n_replicas >= 1 &&
           n_replicas <= RING_REPLICAS_MAX && n_members >= 1 && n_members <= RING_MEMBERS_MAX;
}

/* ---- walking ---- */

struct walk {
    const struct ring *ring;
    const uint16_t *zones;
    uint16_t *list; /* the preference list being made */
    uint16_t n;
};

static bool walk_may_take(const struct walk *walk, uint16_t member, bool distinct_zones) {
    for (uint16_t i = 0; i < walk->n; i++) {
        if (walk->list[i] == member) {
            return false;
        }
        if (distinct_zones && walk->zones[walk->list[i]] == walk->zones[member]) {
            return false;
        }
    }
    return true;
}

/* Once around the ring from `slice`, then over members that own nothing, until the list has `n`. */
static void walk_take(struct walk *walk, uint16_t slice, uint16_t n, bool distinct_zones) {
    const struct ring *ring = walk->ring;
    for (uint16_t i = 0; i < ring->n_slices && walk->n < n; i++) {
        uint16_t member = ring->owners[(slice + i) % ring->n_slices];
        if (walk_may_take(walk, member, distinct_zones)) {
            walk->list[walk->n++] = member;
        }
    }
    for (uint16_t i = 0; i < ring->n_members && walk->n < n; i++) {
        uint16_t member = (uint16_t)((slice + i) % ring->n_members);
        if (walk_may_take(walk, member, distinct_zones)) {
            walk->list[walk->n++] = member;
        }
    }
}

/* Fills in what follows from members and owners: n_replicas_held, preference, zones_dropped. */
static void preferences_make(struct ring *ring) {
    uint16_t zones[RING_MEMBERS_MAX];
    uint16_t n_zones = ring_zones(ring, zones);
    uint16_t n = ring->n_replicas < ring->n_members ? ring->n_replicas : ring->n_members;
    uint16_t n_distinct = n < n_zones ? n : n_zones;
    ring->n_replicas_held = n;
    ring->zones_dropped = n_distinct < n;
    ring->preference = memory_new((size_t)ring->n_slices * n, sizeof(*ring->preference));
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        struct walk walk = {.ring = ring, .zones = zones};
        walk.list = &ring->preference[(size_t)slice * n];
        walk_take(&walk, slice, n_distinct, true);
        walk_take(&walk, slice, n, false);
        assert(walk.n == n);
    }
}

/* ---- the ring ---- */

/* A ring of these members, sorted, with room for owners; the caller has seen to the sizes. */
static int ring_begin(const struct ring_member *members, uint16_t n_members, struct ring *ring) {
    ring->n_members = n_members;
    ring->members = memory_new(n_members, sizeof(*ring->members));
    memcpy(ring->members, members, n_members * sizeof(*ring->members));
    qsort(ring->members, n_members, sizeof(*ring->members), by_id);
    if (!members_are_sound(ring->members, n_members)) {
        ring_release(ring);
        return ERR_INVALID;
    }
    ring->owners = memory_new(ring->n_slices, sizeof(*ring->owners));
    return 0;
}

int ring_build(uint64_t seed, uint16_t n_slices, uint16_t n_replicas,
               const struct ring_member *members, uint16_t n_members, struct ring *ret) {
    if (!sizes_are_sound(n_slices, n_replicas, n_members)) {
        return ERR_INVALID;
    }
    struct ring ring = {.version = 1, .seed = seed, .n_slices = n_slices};
    ring.n_replicas = n_replicas;
    int err = ring_begin(members, n_members, &ring);
    if (err != 0) {
        return err;
    }
    ring_deal(&ring);
    preferences_make(&ring);
    *ret = ring;
    return 0;
}

int ring_change(const struct ring *from, const struct ring_member *members, uint16_t n_members,
                struct ring *ret) {
    if (!sizes_are_sound(from->n_slices, from->n_replicas, n_members)) {
        return ERR_INVALID;
    }
    struct ring ring = {.version = from->version + 1, .seed = from->seed};
    ring.n_slices = from->n_slices;
    ring.n_replicas = from->n_replicas;
    int err = ring_begin(members, n_members, &ring);
    if (err != 0) {
        return err;
    }
    ring_redeal(from, &ring);
    preferences_make(&ring);
    *ret = ring;
    return 0;
}

void ring_release(struct ring *ring) {
    free(ring->members);
    free(ring->owners);
    free(ring->preference);
    *ring = (struct ring){0};
}

void ring_encode(const struct ring *ring, struct buffer *into) {
    buffer_put_u8(into, RING_FORMAT);
    buffer_put_u64(into, ring->version);
    buffer_put_u64(into, ring->seed);
    buffer_put_u16(into, ring->n_slices);
    buffer_put_u16(into, ring->n_replicas);
    buffer_put_u16(into, ring->n_members);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        const struct ring_member *member = &ring->members[i];
        buffer_put_u16(into, member->id);
        buffer_put_u16(into, member->weight);
        buffer_put_sized8(into, bytes_of_string(member->address));
        buffer_put_sized8(into, bytes_of_string(member->zone));
    }
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        buffer_put_u16(into, ring->owners[slice]);
    }
}

/* Reads a text into a field of `size` bytes (zeroed), its terminator included. */
static void text_take(struct reader *r, char *field, size_t size) {
    struct bytes text = reader_sized8(r);
    if (text.size >= size || (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)) {
        r->bad = true;
    } else if (text.size > 0) {
        memcpy(field, text.data, text.size);
    }
}

/* The ring's members and owners, of which the sizes are known to be sound. */
static int ring_take(struct reader *r, struct ring *ring) {
    ring->members = memory_new(ring->n_members, sizeof(*ring->members));
    ring->owners = memory_new(ring->n_slices, sizeof(*ring->owners));
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct ring_member *member = &ring->members[i];
        member->id = reader_u16(r);
        member->weight = reader_u16(r);
        text_take(r, member->address, sizeof(member->address));
        text_take(r, member->zone, sizeof(member->zone));
    }
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        ring->owners[slice] = reader_u16(r);
        if (ring->owners[slice] >= ring->n_members) {
            return ERR_INVALID;
        }
    }
    if (reader_end(r) != 0 || !members_are_sound(ring->members, ring->n_members)) {
        return ERR_INVALID;
    }
    return 0;
}

int ring_decode(struct bytes encoded, struct ring *ret) {
    struct reader r = reader_of(encoded);
    struct ring ring = {0};
    if (reader_u8(&r) != RING_FORMAT) {
        return ERR_INVALID;
    }
    ring.version = reader_u64(&r);
    ring.seed = reader_u64(&r);
    ring.n_slices = reader_u16(&r);
    ring.n_replicas = reader_u16(&r);
    ring.n_members = reader_u16(&r);
    if (r.bad || !sizes_are_sound(ring.n_slices, ring.n_replicas, ring.n_members)) {
        return ERR_INVALID;
    }
    int err = ring_take(&r, &ring);
    if (err != 0) {
        ring_release(&ring);
        return err;
    }
    preferences_make(&ring);
    *ret = ring;
    return 0;
}

uint16_t ring_slice(const struct ring *ring, struct bytes partition_key) {
    XXH128_hash_t position =
        XXH3_128bits_withSeed(partition_key.data, partition_key.size, ring->seed);
    return (uint16_t)((position.high64 >> 32) * ring->n_slices >> 32);
}

const uint16_t *ring_preference(const struct ring *ring, uint16_t slice) {
    assert(slice < ring->n_slices);
    return &ring->preference[(size_t)slice * ring->n_replicas_held];
}

uint16_t ring_beyond(const struct ring *ring, uint16_t slice, uint16_t *ret, uint16_t max) {
    uint16_t list[RING_MEMBERS_MAX];
    uint16_t held = ring->n_replicas_held;
    uint16_t others = (uint16_t)(ring->n_members - held);
    uint16_t n = others < max ? others : max;
    struct walk walk = {.ring = ring, .list = list, .n = held};
    memcpy(list, ring_preference(ring, slice), held * sizeof *list);
    walk_take(&walk, slice, (uint16_t)(held + n), false);
    memcpy(ret, list + held, n * sizeof *list);
    return n;
}

bool ring_is_replica(const struct ring *ring, uint16_t slice, uint16_t id) {
    const uint16_t *list = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        if (ring->members[list[i]].id == id) {
            return true;
        }
    }
    return false;
}

int ring_member_index(const struct ring *ring, uint16_t id) {
    uint16_t low = 0, high = ring->n_members;
    while (low < high) {
        uint16_t middle = (uint16_t)(low + (high - low) / 2);
        if (ring->members[middle].id == id) {
            return middle;
        }
        if (ring->members[middle].id < id) {
            low = (uint16_t)(middle + 1);
        } else {
            high = middle;
        }
    }
    return -1;
}

uint32_t ring_owned(const struct ring *ring, uint16_t member_index) {
    uint32_t n = 0;
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        n += ring->owners[slice] == member_index;
    }
    return n;
}
