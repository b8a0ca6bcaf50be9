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
    struct buffer b = {0}, again = {0};
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
    buffer_release(&again);
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
        struct versions other = {0};
        versions_release(&other);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_replaces_what_it_saw_and_stays_beside_what_it_did_not),
        cmocka_unit_test(an_encoded_row_decodes_to_itself),
        cmocka_unit_test(two_interleaving_clients_keep_two_siblings_not_a_hundred),
        cmocka_unit_test(a_retry_through_another_coordinator_makes_no_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
