/* dice: random numbers that depend on a seed, a purpose, an entity and a count, and nothing else.
 */
#ifndef RINGFS_TESTS_LIB_DICE_H
#define RINGFS_TESTS_LIB_DICE_H

#include <stdbool.h>
#include <stdint.h>

/* Counter-based: the n-th throw of a die is a hash of (seed, purpose, entity, n). So each decision
 * of a simulated run has a stream of its own, and taking one fault out of a run does not shift the
 * numbers of all others; that is what makes a failing run reproducible in parts. Not for secrets.
 * Any thread, each die on one. */
enum dice_purpose {
    DICE_OPTIONS = 1, /* what kind of run a seed is */
    DICE_NET = 2,
    DICE_DISK = 3,
    DICE_CLOCK = 4,
    DICE_FAULT = 5,
    DICE_SESSION = 6,
    DICE_CORE = 7, /* what the cores get when they ask env.random() */
    DICE_OP = 8,   /* operation ids */
    DICE_CLIENT = 9,
    DICE_HOLDER = 10,
};

struct dice {
    uint64_t key;
    uint64_t counter;
};

void dice_init(struct dice *dice, uint64_t seed, enum dice_purpose purpose, uint64_t entity);
/* 64 uniform bits. */
uint64_t dice_throw(struct dice *dice);
/* Uniform in 0 .. n-1; n at least 1. */
uint64_t dice_below(struct dice *dice, uint64_t n);
/* Uniform in low .. high, both inclusive. */
int64_t dice_between(struct dice *dice, int64_t low, int64_t high);
/* True `per_million` times in a million. Always takes one throw. */
bool dice_chance(struct dice *dice, uint32_t per_million);
/* Exponentially distributed with this mean, at most 20 means. */
int64_t dice_exponential(struct dice *dice, int64_t mean);
/* One of n weights, chosen in proportion; their sum must not be 0. */
uint32_t dice_weighted(struct dice *dice, const uint32_t *weights, uint32_t n);

#endif
