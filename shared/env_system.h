/* env_system: the machine's clocks and dice, for an env. */
#ifndef RINGFS_SHARED_ENV_SYSTEM_H
#define RINGFS_SHARED_ENV_SYSTEM_H

#include "shared/env.h"

/* The machine's time of day in ns since 1970. `unused` is ignored: the shape is that of
 * env.wall_ns. */
uint64_t env_system_wall_ns(void *unused);

/* 64 random bits from a generator (xorshift128+, Vigna 2014) seeded once from the kernel: fast, for
 * ids and jitter, not for secrets. One thread. `unused` is ignored. */
uint64_t env_system_random(void *unused);

#endif
