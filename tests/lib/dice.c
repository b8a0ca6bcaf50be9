/* dice: random numbers that depend on a seed, a purpose, an entity and a count, and nothing else.
 */
#include "tests/lib/dice.h"

#include <assert.h>
#include <math.h>

/* A bijective mixer of 64 bits: two rounds of xor-shift and multiplication by odd constants. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    return x;
}

void dice_init(struct dice *dice, uint64_t seed, enum dice_purpose purpose, uint64_t entity) {
    uint64_t key = mix(seed + 0x9e3779b97f4a7c15u);
    key = mix(key ^ ((uint64_t)purpose * 0xa0761d6478bd642fu));
    dice->key = mix(key ^ ((entity + 1) * 0xe7037ed1a0b428dbu));
    dice->counter = 0;
}

uint64_t dice_throw(struct dice *dice) {
    dice->counter++;
    return mix(dice->key + mix(dice->counter * 0x9e3779b97f4a7c15u));
}

uint64_t dice_below(struct dice *dice, uint64_t n) {
    assert(n > 0);
    return dice_throw(dice) % n;
}

int64_t dice_between(struct dice *dice, int64_t low, int64_t high) {
    assert(low <= high);
    return low + (int64_t)dice_below(dice, (uint64_t)(high - low) + 1);
}

bool dice_chance(struct dice *dice, uint32_t per_million) {
    return dice_throw(dice) % 1000000 < per_million;
}

int64_t dice_exponential(struct dice *dice, int64_t mean) {
    double uniform = (double)((dice_throw(dice) >> 11) + 1) / 9007199254740993.0;
    double value = -log(uniform);
    return (int64_t)((double)mean * (value < 20.0 ? value : 20.0));
}

uint32_t dice_weighted(struct dice *dice, const uint32_t *weights, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        sum += weights[i];
    }
    uint64_t at = dice_below(dice, sum);
    uint32_t i = 0;
    while (at >= weights[i]) {
        at -= weights[i];
        i++;
    }
    return i;
}
