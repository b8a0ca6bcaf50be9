/* ring_fuzz: any bytes as an encoded ring.
 *
 * Promises: what decodes encodes to the same bytes, every preference list is of distinct members
 * that begin with the owner, and every key has a slice. */
#include <stdio.h>

#include "shared/err.h"
#include "shared/ring.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 250000;

static void check_preferences(const struct ring *ring) {
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        FUZZ_CHECK(list[0] == ring->owners[slice]);
        for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
            FUZZ_CHECK(list[i] < ring->n_members);
            for (uint16_t j = 0; j < i; j++) {
                FUZZ_CHECK(list[i] != list[j]);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ring ring = {.version = 99};
    struct buffer again = {0};
    int err = ring_decode(bytes_of(data, size), &ring);
    if (err != 0) {
        FUZZ_CHECK(err == ERR_INVALID && ring.version == 99 && ring.members == NULL);
        return 0;
    }
    ring_encode(&ring, &again);
    FUZZ_CHECK(bytes_equal(buffer_bytes(&again), bytes_of(data, size)));
    check_preferences(&ring);
    FUZZ_CHECK(ring_slice(&ring, bytes_of(data, size)) < ring.n_slices);
    FUZZ_CHECK(ring_member_index(&ring, ring.members[0].id) == 0);
    buffer_release(&again);
    ring_release(&ring);
    return 0;
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    struct ring_member members[8] = {{0}};
    struct ring ring;
    if (n >= 8) {
        return 0;
    }
    for (uint16_t i = 0; i <= n; i++) {
        members[i].id = (uint16_t)(i + 1);
        members[i].weight = (uint16_t)(100 + i);
        snprintf(members[i].address, sizeof(members[i].address), "tcp://host-%u:7000", i);
        snprintf(members[i].zone, sizeof(members[i].zone), "%s", i % 3 == 0 ? "" : "cellar");
    }
    FUZZ_CHECK(ring_build(n, (uint16_t)(16 + n), (uint16_t)(n % 4 + 1), members, (uint16_t)(n + 1),
                          &ring) == 0);
    ring_encode(&ring, into);
    ring_release(&ring);
    return 1;
}
