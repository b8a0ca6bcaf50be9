/* ring: balance, distinct replicas, few replica sets, and the same ring on every machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/ring.h"

enum { SEED = 42, SEEDS = 5 };

static struct ring_member members[RING_MEMBERS_MAX];

static void members_fill(uint16_t n) {
    memset(members, 0, sizeof(members));
    for (uint16_t i = 0; i < n; i++) {
        members[i].id = (uint16_t)(10 + 3 * i);
        members[i].weight = RING_WEIGHT_DEFAULT;
        snprintf(members[i].address, sizeof(members[i].address), "ipc:///n%u", i);
    }
}

static struct ring build(uint64_t seed, uint16_t n_slices, uint16_t n_replicas, uint16_t n) {
    struct ring ring;
    assert_int_equal(ring_build(seed, n_slices, n_replicas, members, n, &ring), 0);
    return ring;
}

/* How many slices a member holds as a replica. */
static uint32_t held(const struct ring *ring, uint16_t member) {
    uint32_t n = 0;
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        n += ring_is_replica(ring, slice, ring->members[member].id);
    }
    return n;
}

static double held_max_over_mean(const struct ring *ring) {
    uint32_t max = 0, sum = 0;
    for (uint16_t i = 0; i < ring->n_members; i++) {
        uint32_t n = held(ring, i);
        max = n > max ? n : max;
        sum += n;
    }
    return (double)max * ring->n_members / sum;
}

static void assert_replicas_distinct(const struct ring *ring) {
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        assert_int_equal(list[0], ring->owners[slice]);
        for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
            assert_in_range(list[i], 0, ring->n_members - 1);
            for (uint16_t j = 0; j < i; j++) {
                assert_int_not_equal(list[i], list[j]);
            }
        }
    }
}

static void replicas_are_distinct_also_across_the_wrap_around(void **state) {
    (void)state;
    const uint16_t n_slices[] = {16, 17, 64, 1000, 1024};
    for (size_t q = 0; q < sizeof(n_slices) / sizeof(n_slices[0]); q++) {
        for (uint16_t n = 1; n <= 20; n++) {
            members_fill(n);
            struct ring ring = build(SEED + n, n_slices[q], 3, n);
            assert_int_equal(ring.n_replicas_held, n < 3 ? n : 3);
            assert_replicas_distinct(&ring);
            ring_release(&ring);
        }
    }
}

static void load_is_even_with_10_and_with_100_members(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        members_fill(100);
        struct ring ten = build(seed, 1024, 3, 10), hundred = build(seed, 1024, 3, 100);
        assert_true(held_max_over_mean(&ten) <= 1.03);
        assert_true(held_max_over_mean(&hundred) <= 1.15);
        for (uint16_t i = 0; i < 100; i++) {
            assert_in_range(ring_owned(&hundred, i), 10, 11);
        }
        ring_release(&ten);
        ring_release(&hundred);
    }
}

/* Pairs of members of which both are among some slice's three replicas, of all pairs. */
static double lethal_pairs(const struct ring *ring) {
    static bool together[RING_MEMBERS_MAX][RING_MEMBERS_MAX];
    memset(together, 0, sizeof(together));
    uint32_t n = 0;
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
            for (uint16_t j = 0; j < ring->n_replicas_held; j++) {
                n += list[i] < list[j] && !together[list[i]][list[j]];
                together[list[i]][list[j]] = true;
            }
        }
    }
    return n / (ring->n_members * (ring->n_members - 1) / 2.0);
}

static void two_dead_of_a_hundred_rarely_share_a_slice(void **state) {
    (void)state;
    members_fill(100);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct ring ring = build(seed, 1024, 3, 100);
        assert_true(lethal_pairs(&ring) <= 0.10);
        ring_release(&ring);
    }
}

static void the_order_of_the_member_list_does_not_matter(void **state) {
    (void)state;
    members_fill(30);
    for (uint16_t i = 0; i < 30; i++) {
        members[i].weight = (uint16_t)(50 + 10 * i);
        snprintf(members[i].zone, RING_ZONE_MAX, "z%u", i % 4);
    }
    struct ring ring = build(SEED, 1024, 3, 30);
    unsigned dice = 7;
    for (uint16_t i = 29; i > 0; i--) {
        uint16_t j = (uint16_t)(rand_r(&dice) % (i + 1));
        struct ring_member swap = members[i];
        members[i] = members[j];
        members[j] = swap;
    }
    struct ring shuffled = build(SEED, 1024, 3, 30);
    struct buffer a = {0}, b = {0};
    ring_encode(&ring, &a);
    ring_encode(&shuffled, &b);
    assert_true(bytes_equal(buffer_bytes(&a), buffer_bytes(&b)));
    buffer_release(&a);
    buffer_release(&b);
    ring_release(&ring);
    ring_release(&shuffled);
}

static void another_seed_deals_another_ring(void **state) {
    (void)state;
    members_fill(10);
    struct ring one = build(1, 1024, 3, 10), two = build(2, 1024, 3, 10);
    assert_memory_not_equal(one.owners, two.owners, 1024 * sizeof(uint16_t));
    ring_release(&one);
    ring_release(&two);
}

static void slices_are_owned_in_proportion_to_weight(void **state) {
    (void)state;
    members_fill(8);
    members[2].weight = 200;
    members[5].weight = 50;
    struct ring ring = build(SEED, 1024, 3, 8); /* 850 parts: 120.5 slices each */
    for (uint16_t i = 0; i < 8; i++) {
        double share = 1024.0 * ring.members[i].weight / 850;
        double owned = ring_owned(&ring, i);
        assert_true(owned > share - 1 && owned < share + 1);
        assert_true(held(&ring, i) < 3 * share * 1.03 && held(&ring, i) > 3 * share * 0.97);
    }
    ring_release(&ring);
}

static void a_member_too_light_to_own_a_slice_still_completes_a_list(void **state) {
    (void)state;
    members_fill(3);
    members[0].weight = RING_WEIGHT_MAX;
    members[1].weight = RING_WEIGHT_MAX;
    members[2].weight = 1;
    struct ring ring = build(SEED, 16, 3, 3);
    assert_int_equal(ring_owned(&ring, 2), 0);
    assert_replicas_distinct(&ring);
    assert_int_equal(ring.n_replicas_held, 3);
    ring_release(&ring);
}

static void assert_zones_distinct(const struct ring *ring) {
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        const uint16_t *list = ring_preference(ring, slice);
        for (uint16_t i = 1; i < ring->n_replicas_held; i++) {
            for (uint16_t j = 0; j < i; j++) {
                assert_string_not_equal(ring->members[list[i]].zone, ring->members[list[j]].zone);
            }
        }
    }
}

static void replicas_are_in_distinct_zones_and_load_stays_even(void **state) {
    (void)state;
    members_fill(12);
    for (uint16_t i = 0; i < 12; i++) {
        snprintf(members[i].zone, RING_ZONE_MAX, "zone-%u", i / 4);
    }
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct ring ring = build(seed, 1024, 3, 12);
        assert_false(ring.zones_dropped);
        assert_zones_distinct(&ring);
        assert_true(held_max_over_mean(&ring) <= 1.05);
        ring_release(&ring);
    }
}

static void too_few_zones_are_said_and_replicas_stay_distinct(void **state) {
    (void)state;
    members_fill(6);
    for (uint16_t i = 0; i < 6; i++) {
        snprintf(members[i].zone, RING_ZONE_MAX, "zone-%u", i % 2);
    }
    struct ring ring = build(SEED, 256, 3, 6);
    assert_true(ring.zones_dropped);
    assert_replicas_distinct(&ring);
    for (uint16_t slice = 0; slice < ring.n_slices; slice++) {
        const uint16_t *list = ring_preference(&ring, slice);
        assert_string_not_equal(ring.members[list[0]].zone, ring.members[list[1]].zone);
    }
    ring_release(&ring);
}

static void keys_spread_evenly_over_slices(void **state) {
    (void)state;
    members_fill(3);
    struct ring ring = build(SEED, 1000, 3, 3);
    static uint32_t counts[1000];
    memset(counts, 0, sizeof(counts));
    for (uint32_t i = 0; i < 200000; i++) {
        uint16_t slice = ring_slice(&ring, bytes_of(&i, sizeof(i)));
        assert_in_range(slice, 0, 999);
        counts[slice]++;
    }
    for (uint16_t i = 0; i < 1000; i++) {
        assert_in_range(counts[i], 100, 320); /* mean 200, standard deviation 14 */
    }
    ring_release(&ring);
}

/* Slices that belong to another id than before. */
static uint32_t moved(const struct ring *before, const struct ring *after) {
    uint32_t n = 0;
    for (uint16_t slice = 0; slice < before->n_slices; slice++) {
        n += before->members[before->owners[slice]].id != after->members[after->owners[slice]].id;
    }
    return n;
}

static void a_removed_member_loses_only_its_own_slices(void **state) {
    (void)state;
    members_fill(10);
    struct ring before = build(SEED, 1024, 3, 10), after;
    uint16_t gone = members[4].id;
    members[4] = members[9];
    assert_int_equal(ring_change(&before, members, 9, &after), 0);
    assert_true(after.version == before.version + 1);
    assert_int_equal(ring_member_index(&after, gone), -1);
    assert_int_equal(moved(&before, &after), ring_owned(&before, 4));
    assert_replicas_distinct(&after);
    assert_true(held_max_over_mean(&after) <= 1.10);
    ring_release(&before);
    ring_release(&after);
}

static void a_joining_member_takes_its_share_and_nothing_else_moves(void **state) {
    (void)state;
    members_fill(10);
    struct ring before = build(SEED, 1024, 3, 9), after;
    assert_int_equal(ring_change(&before, members, 10, &after), 0);
    assert_int_equal(moved(&before, &after), ring_owned(&after, 9));
    assert_in_range(ring_owned(&after, 9), 102, 103);
    assert_replicas_distinct(&after);
    assert_true(held_max_over_mean(&after) <= 1.10);
    ring_release(&before);
    ring_release(&after);
}

static void an_unchanged_member_list_moves_nothing(void **state) {
    (void)state;
    members_fill(7);
    members[3].weight = 250;
    struct ring before = build(SEED, 500, 3, 7), after;
    assert_int_equal(ring_change(&before, members, 7, &after), 0);
    assert_int_equal(moved(&before, &after), 0);
    assert_memory_equal(before.preference, after.preference, 500 * 3 * sizeof(uint16_t));
    ring_release(&before);
    ring_release(&after);
}

static void load_stays_even_through_any_joins_and_leaves(void **state) {
    (void)state;
    static struct ring_member all[40];
    unsigned dice = 5;
    members_fill(40);
    memcpy(all, members, sizeof(all));
    bool in[40] = {true, true, true, true, true};
    struct ring ring = build(SEED, 1024, 3, 5), next;
    for (int step = 0; step < 200; step++) {
        uint16_t n = 0, flip = (uint16_t)(rand_r(&dice) % 40);
        in[flip] = !in[flip];
        for (uint16_t i = 0; i < 40; i++) {
            members[n] = all[i];
            n = (uint16_t)(n + in[i]);
        }
        if (n < 3) {
            in[flip] = true;
            continue;
        }
        assert_int_equal(ring_change(&ring, members, n, &next), 0);
        ring_release(&ring);
        ring = next;
        assert_replicas_distinct(&ring);
        for (uint16_t i = 0; i < n; i++) {
            assert_in_range(ring_owned(&ring, i), 1024 / n, 1024 / n + 1);
        }
        assert_true(held_max_over_mean(&ring) <= 1.25);
    }
    ring_release(&ring);
}

static void an_encoded_ring_decodes_to_itself(void **state) {
    (void)state;
    members_fill(9);
    snprintf(members[4].zone, RING_ZONE_MAX, "cellar");
    struct ring ring = build(SEED, 128, 3, 9), back;
    ring.version = 77;
    struct buffer a = {0}, b = {0};
    ring_encode(&ring, &a);
    assert_int_equal(ring_decode(buffer_bytes(&a), &back), 0);
    ring_encode(&back, &b);
    assert_true(bytes_equal(buffer_bytes(&a), buffer_bytes(&b)));
    assert_true(back.version == 77);
    assert_int_equal(back.zones_dropped, ring.zones_dropped);
    assert_memory_equal(back.preference, ring.preference, 128 * 3 * sizeof(uint16_t));
    buffer_release(&a);
    buffer_release(&b);
    ring_release(&ring);
    ring_release(&back);
}

static void every_truncation_and_flipped_bit_is_refused_or_makes_a_sound_ring(void **state) {
    (void)state;
    members_fill(5);
    struct ring ring = build(SEED, 16, 3, 5), back;
    struct buffer b = {0};
    ring_encode(&ring, &b);
    for (size_t size = 0; size < b.size; size++) {
        uint8_t *cut = malloc(size > 0 ? size : 1);
        memcpy(cut, b.data, size);
        assert_int_equal(ring_decode(bytes_of(cut, size), &back), ERR_INVALID);
        free(cut);
    }
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ 1 << bit % 8);
        if (ring_decode(buffer_bytes(&b), &back) == 0) {
            assert_replicas_distinct(&back);
            ring_release(&back);
        }
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ 1 << bit % 8);
    }
    buffer_release(&b);
    ring_release(&ring);
}

static void bad_members_and_sizes_are_refused(void **state) {
    (void)state;
    struct ring ring = {.version = 99};
    members_fill(4);
    assert_int_equal(ring_build(1, 15, 3, members, 4, &ring), ERR_INVALID);
    assert_int_equal(ring_build(1, 4097, 3, members, 4, &ring), ERR_INVALID);
    assert_int_equal(ring_build(1, 16, 0, members, 4, &ring), ERR_INVALID);
    assert_int_equal(ring_build(1, 16, 8, members, 4, &ring), ERR_INVALID);
    assert_int_equal(ring_build(1, 16, 3, members, 0, &ring), ERR_INVALID);
    members[2].id = members[0].id;
    assert_int_equal(ring_build(1, 16, 3, members, 4, &ring), ERR_INVALID);
    members_fill(4);
    members[1].id = 0;
    assert_int_equal(ring_build(1, 16, 3, members, 4, &ring), ERR_INVALID);
    members_fill(4);
    members[3].weight = 0;
    assert_int_equal(ring_build(1, 16, 3, members, 4, &ring), ERR_INVALID);
    members_fill(4);
    memset(members[3].zone, 'z', RING_ZONE_MAX);
    assert_int_equal(ring_build(1, 16, 3, members, 4, &ring), ERR_INVALID);
    assert_true(ring.version == 99);
}

static void
behind_the_replicas_come_all_other_members_once_owners_of_the_next_slices_first(void **state) {
    (void)state;
    members_fill(9);
    struct ring ring = build(SEED, 256, 3, 9);
    for (uint16_t slice = 0; slice < ring.n_slices; slice++) {
        uint16_t beyond[9];
        bool seen[9] = {false};
        assert_int_equal(ring_beyond(&ring, slice, beyond, 2), 2);
        uint16_t first = beyond[0];
        assert_int_equal(ring_beyond(&ring, slice, beyond, 9), 6);
        assert_int_equal(beyond[0], first);
        for (int i = 0; i < 6; i++) {
            assert_false(seen[beyond[i]]);
            seen[beyond[i]] = true;
            assert_false(ring_is_replica(&ring, slice, ring.members[beyond[i]].id));
        }
        uint16_t at = slice;
        while (ring_is_replica(&ring, slice, ring.members[ring.owners[at]].id)) {
            at = (uint16_t)((at + 1) % ring.n_slices);
        }
        assert_int_equal(ring.owners[at], first);
    }
    ring_release(&ring);
    ring = build(SEED, 256, 3, 3);
    assert_int_equal(ring_beyond(&ring, 0, &(uint16_t){0}, 1), 0);
    ring_release(&ring);
}

static void members_are_found_by_id(void **state) {
    (void)state;
    members_fill(100);
    struct ring ring = build(SEED, 1024, 3, 100);
    for (uint16_t i = 0; i < 100; i++) {
        assert_int_equal(ring_member_index(&ring, ring.members[i].id), i);
    }
    assert_int_equal(ring_member_index(&ring, 11), -1);
    assert_int_equal(ring_member_index(&ring, 0), -1);
    assert_int_equal(ring_member_index(&ring, 65535), -1);
    ring_release(&ring);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_are_distinct_also_across_the_wrap_around),
        cmocka_unit_test(load_is_even_with_10_and_with_100_members),
        cmocka_unit_test(two_dead_of_a_hundred_rarely_share_a_slice),
        cmocka_unit_test(the_order_of_the_member_list_does_not_matter),
        cmocka_unit_test(another_seed_deals_another_ring),
        cmocka_unit_test(slices_are_owned_in_proportion_to_weight),
        cmocka_unit_test(a_member_too_light_to_own_a_slice_still_completes_a_list),
        cmocka_unit_test(replicas_are_in_distinct_zones_and_load_stays_even),
        cmocka_unit_test(too_few_zones_are_said_and_replicas_stay_distinct),
        cmocka_unit_test(keys_spread_evenly_over_slices),
        cmocka_unit_test(a_removed_member_loses_only_its_own_slices),
        cmocka_unit_test(a_joining_member_takes_its_share_and_nothing_else_moves),
        cmocka_unit_test(an_unchanged_member_list_moves_nothing),
        cmocka_unit_test(load_stays_even_through_any_joins_and_leaves),
        cmocka_unit_test(an_encoded_ring_decodes_to_itself),
        cmocka_unit_test(every_truncation_and_flipped_bit_is_refused_or_makes_a_sound_ring),
        cmocka_unit_test(bad_members_and_sizes_are_refused),
        cmocka_unit_test(
            behind_the_replicas_come_all_other_members_once_owners_of_the_next_slices_first),
        cmocka_unit_test(members_are_found_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
