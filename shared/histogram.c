#include "shared/histogram.h"

#include <assert.h>

enum { SUBS = 1 << HISTOGRAM_SUB_BITS };

/* Values below 2 * SUBS have a bucket each. Above, a value of e bits is known by its highest
 * SUB_BITS + 1 bits, of which the first is always 1. */
static uint32_t shift_of(uint64_t value) {
    if (value < 2 * SUBS) {
        return 0;
    }
    uint32_t highest = 63 - (uint32_t)__builtin_clzll(value);
    return highest - HISTOGRAM_SUB_BITS;
}

static uint32_t bucket_of(uint64_t value) {
    uint32_t shift = shift_of(value);
    return shift * SUBS + (uint32_t)(value >> shift);
}

static uint64_t middle_of(uint32_t bucket) {
    uint32_t shift = bucket < 2 * SUBS ? 0 : bucket / SUBS - 1;
    uint64_t lowest = (uint64_t)(bucket - shift * SUBS) << shift;
    return lowest + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->counts[bucket_of(value)]++;
    h->n++;
    h->max = value > h->max ? value : h->max;
}

void histogram_join(struct histogram *into, const struct histogram *other) {
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->counts[i] += other->counts[i];
    }
    into->n += other->n;
    into->max = other->max > into->max ? other->max : into->max;
}

uint64_t histogram_quantile(const struct histogram *h, uint32_t ppm) {
    assert(ppm <= 1000000);
    /* The rank, rounded up; split so that n * ppm cannot overflow. */
    uint64_t rank = h->n / 1000000 * ppm + (h->n % 1000000 * ppm + 999999) / 1000000;
    uint64_t below = 0;
    rank = rank == 0 ? 1 : rank;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->counts[i];
        if (below >= rank) {
            uint64_t middle = middle_of(i);
            return middle < h->max ? middle : h->max;
        }
    }
    return 0;
}
