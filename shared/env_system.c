#include "shared/env_system.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

uint64_t env_system_wall_ns(void *unused) {
    (void)unused;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void seed(uint64_t state[2]) {
    if (getrandom(state, 2 * sizeof *state, 0) != (ssize_t)(2 * sizeof *state)) {
        fprintf(stderr, "ringfs: the kernel gives no random bytes, ending\n");
        abort();
    }
    state[0] |= 1; /* all zeros would stay zeros */
}

uint64_t env_system_random(void *unused) {
    static uint64_t state[2];
    (void)unused;
    if ((state[0] | state[1]) == 0) {
        seed(state);
    }
    uint64_t x = state[0];
    const uint64_t y = state[1];
    state[0] = y;
    x ^= x << 23;
    state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
    return state[1] + y;
}
