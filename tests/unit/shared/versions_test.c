/* versions: the laws of merging, and that nothing is lost that no write had seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "shared/versions.h"

enum { ACTOR_A = 1, ACTOR_B = 2, ACTOR_C = 3 };

static struct sibling write_of(uint64_t actor, uint64_t counter, uint32_t op, const char *value) {
    struct sibling sibling = {.dot = {actor, counter}, .stamp_ns = counter * 10};
    memcpy(sibling.op.bytes, &op, sizeof(op));
    sibling.value = bytes_of_string(value);
    return sibling;
}

static void put(struct versions *v, const struct context *seen, struct sibling sibling) {
    struct context nothing = {0};
    versions_put(v, seen != NULL ? seen : &nothing, &sibling);
    versions_check(v);
}

static struct bytes encoded(const struct versions *v, struct buffer *into) {
    buffer_clear(into);
    versions_encode(v, into);
    assert_int_equal(into->size, versions_encoded_size(v));
    return buffer_bytes(into);
}

static void assert_same(const struct versions *a, const struct versions *b) {
    struct buffer left = {0}, right = {0};
    assert_true(bytes_equal(encoded(a, &left), encoded(b, &right)));
    buffer_release(&left);
    buffer_release(&right);
}

static void a_write_replaces_what_it_saw_and_stays_beside_what_it_did_not(void **state) {
    (void)state;
    struct versions v = {0};
    put(&v, NULL, write_of(ACTOR_A, 1, 1, "one"));
    struct context seen = {0};
    context_copy(&seen, &v.context);
    put(&v, NULL, write_of(ACTOR_A, 2, 2, "blind"));
    assert_int_equal(v.n_siblings, 2);
    put(&v, &seen, write_of(ACTOR_A, 3, 3, "after one"));
    assert_int_equal(v.n_siblings, 2);
    struct sibling one = write_of(ACTOR_A, 1, 1, "");
    assert_null(versions_find(&v, &one.op));
    put(&v, &v.context, write_of(ACTOR_A, 4, 4, "after all"));
    assert_int_equal(v.n_siblings, 1);
    assert_true(bytes_equal(v.siblings[0].value, bytes_of_string("after all")));
    context_release(&seen);
    versions_release(&v);
}

static void an_encoded_row_decodes_to_itself(void **state) {
    (void)state;
    struct versions v = {0}, back = {0};
    struct buffer b = {0};
    assert_int_equal(encoded(&v, &b).size, 0);
    put(&v, NULL, write_of(ACTOR_B, 7, 1, "value"));
    put(&v, NULL, write_of(ACTOR_A, 9, 2, ""));
    v.siblings[0].flags = SIBLING_TOMBSTONE;
    assert_int_equal(versions_decode(encoded(&v, &b), &back), 0);
    assert_same(&v, &back);
    assert_int_equal(versions_live(&back), 1);
    buffer_put_u8(&b, 0);
    assert_int_equal(versions_decode(buffer_bytes(&b), &back), ERR_INVALID);
    assert_same(&v, &back);
    assert_int_equal(versions_decode(bytes_of(NULL, 0), &back), 0);
    assert_int_equal(back.n_siblings, 0);
    buffer_release(&b);
    versions_release(&v);
    versions_release(&back);
}

static void two_interleaving_clients_keep_two_siblings_not_a_hundred(void **state) {
    (void)state;
    struct versions v = {0};
    struct context seen[2] = {{0}, {0}};
    for (uint32_t i = 1; i <= 100; i++) {
        struct context *mine = &seen[i % 2];
        put(&v, mine, write_of(ACTOR_A, i, i, "x"));
        /* The client knows its own write and what it had seen, not the other's last one. */
        context_copy(mine, &v.context);
        assert_in_range(v.n_siblings, 1, 2);
    }
    context_release(&seen[0]);
    context_release(&seen[1]);
    versions_release(&v);
}

static void a_retry_through_another_coordinator_makes_no_twin(void **state) {
    (void)state;
    struct versions a = {0}, b = {0};
    put(&a, NULL, write_of(ACTOR_A, 5, 77, "same"));
    put(&b, NULL, write_of(ACTOR_B, 3, 77, "same"));
    struct versions ab = {0}, ba = {0};
    versions_merge(&ab, &a);
    assert_true(versions_merge(&ab, &b));
    versions_merge(&ba, &b);
    assert_true(versions_merge(&ba, &a));
    assert_int_equal(ab.n_siblings, 1);
    assert_int_equal(ab.siblings[0].dot.actor, ACTOR_A);
    assert_same(&ab, &ba);
    assert_false(versions_merge(&ab, &b));
    versions_release(&a);
    versions_release(&b);
    versions_release(&ab);
    versions_release(&ba);
}

/* ---- laws, over random histories ---- */

enum {
    REPLICAS = 4,
    OPS_MAX = 60,
    RETRIES_MAX = 3,
    HISTORIES = 300,
};

/* Everything that happened in one random history, kept for the judge. */
struct history {
    unsigned dice;
    struct versions replicas[REPLICAS];
    uint64_t counters[REPLICAS];
    struct context seen[OPS_MAX]; /* what each operation's client had read */
    struct dot dots[OPS_MAX][RETRIES_MAX];
    uint32_t n_dots[OPS_MAX];
    uint32_t n_ops;
    bool with_retries;
};

static uint32_t roll(struct history *h, uint32_t sides) {
    return (uint32_t)rand_r(&h->dice) % sides;
}

/* Operation `op` arrives at a coordinator, which answers a retry that it knows without writing. */
static void history_write(struct history *h, uint32_t op, uint32_t replica) {
    struct versions *v = &h->replicas[replica];
    struct sibling sibling = write_of(replica + 1, h->counters[replica] + 1, op, "");
    if (versions_find(v, &sibling.op) != NULL || versions_had_replaced(v, &sibling.op) ||
        h->n_dots[op] == RETRIES_MAX) {
        return;
    }
    if (roll(h, 4) == 0) {
        sibling.flags = SIBLING_TOMBSTONE;
    }
    h->counters[replica]++;
    h->dots[op][h->n_dots[op]++] = sibling.dot;
    versions_put(v, &h->seen[op], &sibling);
    versions_check(v);
}

static void history_step(struct history *h) {
    uint32_t replica = roll(h, REPLICAS), other = roll(h, REPLICAS);
    switch (roll(h, 3)) {
    case 0:
        versions_merge(&h->replicas[replica], &h->replicas[other]);
        versions_check(&h->replicas[replica]);
        return;
    case 1:
        if (h->with_retries && h->n_ops > 0) {
            history_write(h, roll(h, h->n_ops), replica);
            return;
        }
        break;
    default:
        break;
    }
    if (h->n_ops < OPS_MAX) {
        if (roll(h, 3) > 0) {
            context_copy(&h->seen[h->n_ops], &h->replicas[other].context);
        }
        history_write(h, h->n_ops++, replica);
    }
}

static void history_run(struct history *h, unsigned seed, bool with_retries) {
    *h = (struct history){.dice = seed, .with_retries = with_retries};
    uint32_t steps = 5 + roll(h, 2 * OPS_MAX);
    for (uint32_t i = 0; i < steps; i++) {
        history_step(h);
    }
}

static void history_release(struct history *h) {
    for (uint32_t i = 0; i < REPLICAS; i++) {
        versions_release(&h->replicas[i]);
    }
    for (uint32_t i = 0; i < OPS_MAX; i++) {
        context_release(&h->seen[i]);
    }
}

/* a + b in `ret` (zero-initialized). */
static void join(const struct versions *a, const struct versions *b, struct versions *ret) {
    versions_merge(ret, a);
    versions_merge(ret, b);
    versions_check(ret);
}

static void merging_is_commutative_associative_and_idempotent(void **state) {
    (void)state;
    static struct history h;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        history_run(&h, seed, false);
        const struct versions *a = &h.replicas[0], *b = &h.replicas[1], *c = &h.replicas[2];
        struct versions ab = {0}, ba = {0}, bc = {0}, ab_c = {0}, a_bc = {0};
        join(a, b, &ab);
        join(b, a, &ba);
        assert_same(&ab, &ba);
        join(b, c, &bc);
        join(&ab, c, &ab_c);
        join(a, &bc, &a_bc);
        assert_same(&ab_c, &a_bc);
        assert_false(versions_merge(&ab, a));
        assert_false(versions_merge(&ab, b));
        assert_false(versions_merge(&ab, &ab));
        assert_same(&ab, &ba);
        versions_release(&ab);
        versions_release(&ba);
        versions_release(&bc);
        versions_release(&ab_c);
        versions_release(&a_bc);
        history_release(&h);
    }
}

static void with_twins_merging_is_still_commutative_and_idempotent(void **state) {
    (void)state;
    static struct history h;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        history_run(&h, seed, true);
        struct versions ab = {0}, ba = {0};
        join(&h.replicas[0], &h.replicas[1], &ab);
        join(&h.replicas[1], &h.replicas[0], &ba);
        assert_same(&ab, &ba);
        assert_false(versions_merge(&ab, &h.replicas[0]));
        assert_false(versions_merge(&ab, &h.replicas[1]));
        versions_release(&ab);
        versions_release(&ba);
        history_release(&h);
    }
}

/* Whether some other operation's client had read one of this operation's dots. */
static bool was_seen(const struct history *h, uint32_t op) {
    for (uint32_t other = 0; other < h->n_ops; other++) {
        for (uint32_t i = 0; other != op && i < h->n_dots[op]; i++) {
            if (h->n_dots[other] > 0 && context_covers(&h->seen[other], h->dots[op][i])) {
                return true;
            }
        }
    }
    return false;
}

static void assert_no_twins(const struct versions *v) {
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        assert_ptr_equal(versions_find(v, &v->siblings[i].op), &v->siblings[i]);
    }
}

static void no_write_is_lost_that_no_later_write_had_seen(void **state) {
    (void)state;
    static struct history h;
    for (unsigned seed = 1; seed <= 2 * HISTORIES; seed++) {
        history_run(&h, seed, seed % 2 == 0);
        struct versions all = {0};
        for (uint32_t i = 0; i < REPLICAS; i++) {
            versions_merge(&all, &h.replicas[i]);
            assert_no_twins(&h.replicas[i]);
        }
        assert_no_twins(&all);
        for (uint32_t op = 0; op < h.n_ops; op++) {
            struct sibling wanted = write_of(1, 1, op, "");
            bool stands = versions_find(&all, &wanted.op) != NULL;
            assert_true(stands || h.n_dots[op] == 0 || was_seen(&h, op));
            if (!h.with_retries) {
                assert_true(!stands || !was_seen(&h, op));
            }
        }
        versions_release(&all);
        history_release(&h);
    }
}

static void replicas_that_exchange_what_they_hold_agree_also_about_twins(void **state) {
    (void)state;
    static struct history h;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        history_run(&h, seed, true);
        for (uint32_t i = 0; i < 3 * REPLICAS; i++) {
            versions_merge(&h.replicas[i % REPLICAS], &h.replicas[(i + 1) % REPLICAS]);
            versions_merge(&h.replicas[(i + 1) % REPLICAS], &h.replicas[i % REPLICAS]);
        }
        uint8_t first[16], digest[16];
        versions_digest(&h.replicas[0], first);
        for (uint32_t i = 1; i < REPLICAS; i++) {
            assert_same(&h.replicas[0], &h.replicas[i]);
            versions_digest(&h.replicas[i], digest);
            assert_memory_equal(first, digest, sizeof(first));
        }
        history_release(&h);
    }
}

static void a_digest_changes_with_every_write(void **state) {
    (void)state;
    struct versions v = {0};
    static uint8_t digests[100][16];
    for (uint32_t i = 0; i < 100; i++) {
        /* More actors and siblings than fit the stack. */
        put(&v, i % 3 == 0 ? &v.context : NULL, write_of(i + 1, 1, i, ""));
        versions_digest(&v, digests[i]);
        for (uint32_t j = 0; j < i; j++) {
            assert_memory_not_equal(digests[i], digests[j], 16);
        }
    }
    versions_release(&v);
}

/* ---- conditions and what a reader shows ---- */

static void a_condition_holds_when_the_reader_has_seen_every_sibling(void **state) {
    (void)state;
    struct versions v = {0};
    struct context seen = {0};
    assert_true(versions_covered_by(&v, &seen));
    put(&v, NULL, write_of(ACTOR_A, 3, 1, "a"));
    assert_false(versions_covered_by(&v, &seen));
    assert_int_equal(versions_live_outside(&v, &seen), 1);
    context_add(&seen, (struct dot){ACTOR_A, 2});
    assert_false(versions_covered_by(&v, &seen));
    context_add(&seen, (struct dot){ACTOR_A, 3});
    assert_true(versions_covered_by(&v, &seen));
    assert_int_equal(versions_live_outside(&v, &seen), 0);
    put(&v, NULL, write_of(ACTOR_B, 1, 2, "b"));
    assert_false(versions_covered_by(&v, &seen));
    assert_int_equal(versions_live(&v), 2);
    v.siblings[1].flags = SIBLING_TOMBSTONE;
    assert_int_equal(versions_live(&v), 1);
    assert_int_equal(versions_live_outside(&v, &seen), 0);
    context_release(&seen);
    versions_release(&v);
}

static void a_lagging_row_is_covered_by_a_reader_who_knows_more(void **state) {
    (void)state;
    struct versions behind = {0};
    struct context seen = {0};
    put(&behind, NULL, write_of(ACTOR_A, 1, 1, "old"));
    context_add(&seen, (struct dot){ACTOR_A, 9});
    context_add(&seen, (struct dot){ACTOR_C, 4});
    assert_true(versions_covered_by(&behind, &seen));
    assert_true(context_includes(&seen, &behind.context));
    assert_false(context_includes(&behind.context, &seen));
    context_release(&seen);
    versions_release(&behind);
}

static void the_winner_is_live_then_latest_then_of_the_highest_operation(void **state) {
    (void)state;
    struct versions v = {0};
    assert_null(versions_winner(&v));
    struct sibling siblings[] = {
        write_of(ACTOR_A, 1, 5, "early"),
        write_of(ACTOR_B, 1, 9, "late"),
        write_of(ACTOR_C, 1, 7, "late too"),
        write_of(ACTOR_C, 2, 1, ""),
    };
    siblings[0].stamp_ns = 10;
    siblings[1].stamp_ns = 20;
    siblings[2].stamp_ns = 20;
    siblings[3].stamp_ns = 99;
    siblings[3].flags = SIBLING_TOMBSTONE;
    put(&v, NULL, siblings[3]);
    assert_int_equal(versions_winner(&v)->stamp_ns, 99);
    put(&v, NULL, siblings[0]);
    assert_true(bytes_equal(versions_winner(&v)->value, bytes_of_string("early")));
    put(&v, NULL, siblings[1]);
    put(&v, NULL, siblings[2]);
    assert_true(bytes_equal(versions_winner(&v)->value, bytes_of_string("late")));
    versions_release(&v);
}

static void of_one_operation_written_twice_the_lower_dot_stays(void **state) {
    (void)state;
    struct versions v = {0};
    put(&v, NULL, write_of(ACTOR_B, 5, 77, "same"));
    put(&v, NULL, write_of(ACTOR_B, 6, 77, "same"));
    assert_int_equal(v.n_siblings, 1);
    assert_int_equal(v.siblings[0].dot.counter, 5);
    put(&v, NULL, write_of(ACTOR_A, 9, 77, "same"));
    assert_int_equal(v.n_siblings, 1);
    assert_int_equal(v.siblings[0].dot.actor, ACTOR_A);
    assert_true(context_covers(&v.context, (struct dot){ACTOR_B, 6}));
    versions_release(&v);
}

static void a_merge_that_brings_nothing_says_so(void **state) {
    (void)state;
    struct versions v = {0}, none = {0}, older = {0};
    put(&v, NULL, write_of(ACTOR_A, 1, 1, "one"));
    versions_merge(&older, &v);
    put(&v, &v.context, write_of(ACTOR_A, 2, 2, "two"));
    assert_false(versions_merge(&v, &none));
    assert_false(versions_merge(&v, &older));
    assert_true(versions_merge(&older, &v));
    assert_same(&older, &v);
    versions_release(&v);
    versions_release(&older);
}

/* ---- contexts against a plain table, and hostile bytes ---- */

enum { ACTORS = 40 };

static void contexts_do_what_a_table_of_highest_counters_does(void **state) {
    (void)state;
    unsigned dice = 99;
    for (int round = 0; round < 200; round++) {
        uint64_t tables[2][ACTORS] = {{0}};
        struct context contexts[2] = {{0}, {0}};
        for (int i = 0; i < 60; i++) {
            uint32_t side = (uint32_t)rand_r(&dice) % 2, actor = (uint32_t)rand_r(&dice) % ACTORS;
            uint64_t counter = (uint64_t)rand_r(&dice) % 9 + 1;
            context_add(&contexts[side], (struct dot){actor, counter});
            if (counter > tables[side][actor]) {
                tables[side][actor] = counter;
            }
        }
        bool includes = true;
        for (uint32_t actor = 0; actor < ACTORS; actor++) {
            includes = includes && tables[0][actor] >= tables[1][actor];
        }
        assert_int_equal(context_includes(&contexts[0], &contexts[1]), includes);
        context_join(&contexts[0], &contexts[1]);
        for (uint32_t actor = 0; actor < ACTORS; actor++) {
            uint64_t a = tables[0][actor], b = tables[1][actor], highest = a > b ? a : b;
            struct dot at = {actor, highest}, above = {actor, highest + 1};
            assert_true(highest == 0 || context_covers(&contexts[0], at));
            assert_false(context_covers(&contexts[0], above));
        }
        assert_true(context_includes(&contexts[0], &contexts[1]));
        context_release(&contexts[0]);
        context_release(&contexts[1]);
    }
}

static void an_encoded_context_decodes_to_itself_and_bad_ones_are_refused(void **state) {
    (void)state;
    struct context context = {0}, back = {0};
    struct buffer b = {0}, again = {0};
    context_add(&context, (struct dot){actor_of(3, 1, 2), 7});
    context_add(&context, (struct dot){actor_of(2, 1, 9), 4});
    context_encode(&context, &b);
    assert_int_equal(context_decode(buffer_bytes(&b), &back), 0);
    context_encode(&back, &again);
    assert_true(bytes_equal(buffer_bytes(&b), buffer_bytes(&again)));
    assert_int_equal(actor_node(back.entries[1].actor), 3);
    for (size_t size = 1; size < b.size; size++) {
        assert_int_equal(context_decode(bytes_of(b.data, size), &back), ERR_INVALID);
        assert_int_equal(back.n, 2);
    }
    bytes_store_u64(b.data + 4, actor_of(3, 1, 2)); /* the same actor twice */
    assert_int_equal(context_decode(buffer_bytes(&b), &back), ERR_INVALID);
    bytes_store_u64(b.data + 4, actor_of(2, 1, 9));
    bytes_store_u64(b.data + 12, 0); /* counters begin at 1 */
    assert_int_equal(context_decode(buffer_bytes(&b), &back), ERR_INVALID);
    bytes_store_u32(b.data, UINT32_MAX);
    assert_int_equal(context_decode(buffer_bytes(&b), &back), ERR_INVALID);
    assert_int_equal(context_decode(bytes_of(NULL, 0), &back), 0);
    assert_int_equal(back.n, 0);
    buffer_release(&b);
    buffer_release(&again);
    context_release(&context);
    context_release(&back);
}

static void decode_exact(const uint8_t *from, size_t size, bool may_succeed) {
    uint8_t *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, from, size);
    struct versions got = {0};
    int err = versions_decode(bytes_of(copy, size), &got);
    assert_true(err == ERR_INVALID || (err == 0 && may_succeed));
    if (err == 0) {
        struct buffer again = {0};
        assert_true(bytes_equal(encoded(&got, &again), bytes_of(copy, size)));
        buffer_release(&again);
    } else {
        assert_null(got.siblings);
        assert_null(got.context.entries);
    }
    versions_release(&got);
    free(copy);
}

static void every_truncated_row_is_refused_and_a_flipped_bit_means_what_it_says(void **state) {
    (void)state;
    struct versions v = {0};
    struct buffer b = {0};
    put(&v, NULL, write_of(ACTOR_A, 3, 1, "one value"));
    put(&v, NULL, write_of(ACTOR_B, 2, 2, "another"));
    put(&v, NULL, write_of(ACTOR_C, 2, 3, ""));
    v.siblings[2].flags = SIBLING_TOMBSTONE;
    encoded(&v, &b);
    for (size_t size = 1; size < b.size; size++) {
        decode_exact(b.data, size, false);
    }
    for (size_t bit = 0; bit < 8 * b.size; bit++) {
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ 1 << bit % 8);
        decode_exact(b.data, b.size, true);
        b.data[bit / 8] = (uint8_t)(b.data[bit / 8] ^ 1 << bit % 8);
    }
    buffer_release(&b);
    versions_release(&v);
}

/* The answer to a row of one sibling after one of its bytes, counted from the end, was changed. */
static int decode_changed(const struct buffer *row, size_t from_end, uint8_t byte) {
    struct versions got = {0};
    struct buffer changed = {0};
    buffer_put_bytes(&changed, buffer_bytes(row));
    changed.data[changed.size - from_end] = byte;
    int err = versions_decode(buffer_bytes(&changed), &got);
    buffer_release(&changed);
    versions_release(&got);
    return err;
}

static void a_row_that_breaks_its_invariants_is_refused(void **state) {
    (void)state;
    struct versions v = {0};
    struct buffer b = {0};
    put(&v, NULL, write_of(ACTOR_A, 3, 1, "1234"));
    encoded(&v, &b);
    const size_t flags = 4 + 4 + 1, counter = flags + 16 + 8 + 8, actor = counter + 8;
    assert_int_equal(decode_changed(&b, flags, 0), 0);
    assert_int_equal(decode_changed(&b, flags, SIBLING_TOMBSTONE), ERR_INVALID); /* with a value */
    assert_int_equal(decode_changed(&b, flags, 2), ERR_INVALID);                 /* unknown flag */
    assert_int_equal(decode_changed(&b, counter, 2), 0);
    assert_int_equal(decode_changed(&b, counter, 0), ERR_INVALID); /* counters begin at 1 */
    assert_int_equal(decode_changed(&b, counter, 4), ERR_INVALID); /* not in the context */
    assert_int_equal(decode_changed(&b, actor, ACTOR_B), ERR_INVALID);
    assert_int_equal(decode_changed(&b, b.size, 2), ERR_INVALID); /* unknown format */
    buffer_release(&b);
    versions_release(&v);
}

/* A row of one sibling that replaced `n` others, stamped 10, 20, 30 ... */
static void rewritten(struct versions *ret, uint32_t n) {
    for (uint32_t i = 1; i <= n + 1; i++) {
        put(ret, &ret->context, write_of(ACTOR_A, i, i, "x"));
    }
}

static bool remembers(const struct versions *v, uint32_t op) {
    struct sibling sibling = write_of(1, 1, op, "");
    return versions_had_replaced(v, &sibling.op);
}

static void a_row_remembers_the_latest_writes_that_were_replaced(void **state) {
    (void)state;
    struct versions v = {0};
    rewritten(&v, VERSIONS_REPLACED_MAX);
    assert_true(remembers(&v, 1));
    put(&v, &v.context, write_of(ACTOR_A, 20, 20, "x"));
    assert_int_equal(v.n_replaced, VERSIONS_REPLACED_MAX);
    assert_false(remembers(&v, 1));
    assert_true(remembers(&v, 2));
    assert_false(remembers(&v, 20));
    versions_release(&v);
}

static void a_write_replaced_under_one_dot_does_not_come_back_under_another(void **state) {
    (void)state;
    struct versions here = {0}, twin = {0};
    rewritten(&here, 1);
    put(&twin, NULL, write_of(ACTOR_B, 7, 1, "x"));
    assert_true(versions_merge(&here, &twin));
    assert_int_equal(here.n_siblings, 1);
    assert_true(context_covers(&here.context, (struct dot){ACTOR_B, 7}));
    assert_true(versions_merge(&twin, &here));
    assert_same(&here, &twin);
    versions_release(&here);
    versions_release(&twin);
}

static void a_list_of_replaced_writes_that_is_malformed_is_refused(void **state) {
    (void)state;
    struct versions v = {0};
    struct buffer b = {0};
    rewritten(&v, 2);
    encoded(&v, &b);
    const size_t list = 1 + 2 * 16;
    assert_int_equal(decode_changed(&b, list, 2), 0);
    assert_int_equal(decode_changed(&b, list, 1), ERR_INVALID); /* bytes behind the end */
    assert_int_equal(decode_changed(&b, list, 3), ERR_INVALID);
    assert_int_equal(decode_changed(&b, list, VERSIONS_REPLACED_MAX + 1), ERR_INVALID);
    assert_int_equal(decode_changed(&b, 8, 1), ERR_INVALID);      /* not in order */
    assert_int_equal(decode_changed(&b, b.size, 1), ERR_INVALID); /* a format without list */
    for (size_t size = 1; size < b.size; size++) {
        decode_exact(b.data, size, false);
    }
    buffer_release(&b);
    versions_release(&v);
}

static void a_row_with_more_siblings_than_may_be_written_can_still_be_read(void **state) {
    (void)state;
    struct versions v = {0}, back = {0};
    struct buffer b = {0};
    for (uint32_t i = 0; i < 2 * VERSIONS_SIBLINGS_MAX; i++) {
        put(&v, NULL, write_of(i % 7 + 1, i + 1, i, "x"));
    }
    assert_int_equal(v.n_siblings, 2 * VERSIONS_SIBLINGS_MAX);
    assert_int_equal(versions_decode(encoded(&v, &b), &back), 0);
    assert_same(&v, &back);
    buffer_release(&b);
    versions_release(&v);
    versions_release(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_replaces_what_it_saw_and_stays_beside_what_it_did_not),
        cmocka_unit_test(an_encoded_row_decodes_to_itself),
        cmocka_unit_test(two_interleaving_clients_keep_two_siblings_not_a_hundred),
        cmocka_unit_test(a_retry_through_another_coordinator_makes_no_twin),
        cmocka_unit_test(merging_is_commutative_associative_and_idempotent),
        cmocka_unit_test(with_twins_merging_is_still_commutative_and_idempotent),
        cmocka_unit_test(no_write_is_lost_that_no_later_write_had_seen),
        cmocka_unit_test(replicas_that_exchange_what_they_hold_agree_also_about_twins),
        cmocka_unit_test(a_digest_changes_with_every_write),
        cmocka_unit_test(a_condition_holds_when_the_reader_has_seen_every_sibling),
        cmocka_unit_test(a_lagging_row_is_covered_by_a_reader_who_knows_more),
        cmocka_unit_test(the_winner_is_live_then_latest_then_of_the_highest_operation),
        cmocka_unit_test(of_one_operation_written_twice_the_lower_dot_stays),
        cmocka_unit_test(a_merge_that_brings_nothing_says_so),
        cmocka_unit_test(contexts_do_what_a_table_of_highest_counters_does),
        cmocka_unit_test(an_encoded_context_decodes_to_itself_and_bad_ones_are_refused),
        cmocka_unit_test(every_truncated_row_is_refused_and_a_flipped_bit_means_what_it_says),
        cmocka_unit_test(a_row_that_breaks_its_invariants_is_refused),
        cmocka_unit_test(a_row_remembers_the_latest_writes_that_were_replaced),
        cmocka_unit_test(a_write_replaced_under_one_dot_does_not_come_back_under_another),
        cmocka_unit_test(a_list_of_replaced_writes_that_is_malformed_is_refused),
        cmocka_unit_test(a_row_with_more_siblings_than_may_be_written_can_still_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
