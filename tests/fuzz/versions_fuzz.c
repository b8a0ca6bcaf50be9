/* versions_fuzz: any bytes as two rows and a context.
 *
 * Input: three runs, each behind its size (16 bits): row, row, context; what is missing is empty.
 * Promises: what decodes keeps the invariants and encodes to the same bytes; so does every merge
 * and write; a merge brings nothing the second time. */
#include <string.h>

#include "shared/err.h"
#include "shared/versions.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 300000;

static void check_round_trip(const struct versions *v, struct bytes *original) {
    struct buffer encoded = {0};
    struct versions back = {0};
    versions_encode(v, &encoded);
    FUZZ_CHECK(encoded.size == versions_encoded_size(v));
    FUZZ_CHECK(original == NULL || bytes_equal(buffer_bytes(&encoded), *original));
    FUZZ_CHECK(versions_decode(buffer_bytes(&encoded), &back) == 0);
    FUZZ_CHECK(back.n_siblings == v->n_siblings && back.context.n == v->context.n);
    FUZZ_CHECK(back.n_replaced == v->n_replaced);
    versions_release(&back);
    buffer_release(&encoded);
}

static void check_merge(struct versions *a, struct versions *b) {
    struct versions both = {0};
    versions_merge(&both, a);
    versions_merge(&both, b);
    check_round_trip(&both, NULL);
    FUZZ_CHECK(context_includes(&both.context, &a->context));
    FUZZ_CHECK(context_includes(&both.context, &b->context));
    FUZZ_CHECK(!versions_merge(&both, b));
    versions_release(&both);
}

static void check_write(struct versions *v, const struct context *seen) {
    struct sibling sibling = {.dot = {3, 1u << 20}, .value = bytes_of_string("new")};
    memset(sibling.op.bytes, 0xee, sizeof(sibling.op.bytes));
    if (versions_find(v, &sibling.op) != NULL || versions_had_replaced(v, &sibling.op)) {
        return; /* A retry: what was there may stay. */
    }
    versions_put(v, seen, &sibling);
    check_round_trip(v, NULL);
    FUZZ_CHECK(versions_find(v, &sibling.op) != NULL);
    FUZZ_CHECK(context_includes(&v->context, seen));
    FUZZ_CHECK(versions_live(v) >= 1 && versions_winner(v) != NULL);
    FUZZ_CHECK(versions_live_outside(v, &v->context) == 0);
    FUZZ_CHECK(versions_covered_by(v, &v->context));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reader r = reader_of(bytes_of(data, size));
    struct bytes first = reader_sized16(&r), second = reader_sized16(&r),
                 third = reader_sized16(&r);
    struct versions a = {0}, b = {0};
    struct context seen = {0};
    if (context_decode(third, &seen) == 0) {
        struct buffer again = {0};
        context_encode(&seen, &again);
        FUZZ_CHECK(bytes_equal(buffer_bytes(&again), third));
        buffer_release(&again);
    }
    int err = versions_decode(first, &a);
    FUZZ_CHECK(err == 0 || (err == ERR_INVALID && a.n_siblings == 0 && a.context.n == 0));
    if (err == 0) {
        check_round_trip(&a, &first);
    }
    versions_decode(second, &b);
    check_merge(&a, &b);
    /* The highest counter leaves no room for another write of its actor. */
    if (!context_covers(&a.context, (struct dot){3, 1u << 20})) {
        check_write(&a, &seen);
    }
    versions_release(&a);
    versions_release(&b);
    context_release(&seen);
    return 0;
}

int fuzz_seed(uint32_t n, struct buffer *into) {
    if (n >= 16) {
        return 0;
    }
    struct versions rows[2] = {{.n_siblings = 0}};
    struct context seen = {0};
    struct buffer encoded = {0};
    for (uint32_t i = 0; i < 3 + n; i++) {
        struct sibling sibling = {.dot = {i % 4 + 1, i + 1}, .stamp_ns = i};
        sibling.op.bytes[0] = (uint8_t)(i / 2); /* neighbours are twins */
        sibling.value = bytes_of("some value", i % 10);
        versions_put(&rows[i * n % 2], &seen, &sibling);
        if (i % 3 == 0) {
            context_copy(&seen, &rows[0].context);
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        buffer_clear(&encoded);
        versions_encode(&rows[i], &encoded);
        buffer_put_sized16(into, buffer_bytes(&encoded));
        versions_release(&rows[i]);
    }
    buffer_clear(&encoded);
    context_encode(&seen, &encoded);
    buffer_put_sized16(into, buffer_bytes(&encoded));
    buffer_release(&encoded);
    context_release(&seen);
    return 1;
}
