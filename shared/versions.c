/* versions: contexts as sorted arrays, sibling sets as sorted arrays; nearly always of one entry.
 */
#include "shared/versions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "shared/err.h"

enum {
    VERSIONS_FORMAT = 1,
    VERSIONS_FORMAT_REPLACED = 2, /* the list of replaced writes follows, not empty */
    REPLACED_SIZE = 16,
    DOT_SIZE = 16,
    SIBLING_SIZE = DOT_SIZE + 8 + 16 + 1 + 4, /* without its value */
    CONTEXT_CAPACITY_FIRST = 4,
    SIBLINGS_CAPACITY_FIRST = 2,
    DIGEST_DOTS_ON_STACK = 32,
};

static int dot_compare(struct dot a, struct dot b) {
    if (a.actor != b.actor) {
        return a.actor < b.actor ? -1 : 1;
    }
    return (a.counter > b.counter) - (a.counter < b.counter);
}

bool op_id_equal(const struct op_id *a, const struct op_id *b) {
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* ---- contexts ---- */

void context_release(struct context *context) {
    free(context->entries);
    *context = (struct context){0};
}

/* The index of the first entry whose actor is not lower. */
static uint32_t context_lower(const struct context *context, uint64_t actor) {
    uint32_t low = 0, high = context->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (context->entries[middle].actor < actor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool context_covers(const struct context *context, struct dot dot) {
    uint32_t at = context_lower(context, dot.actor);
    return at < context->n && context->entries[at].actor == dot.actor &&
           context->entries[at].counter >= dot.counter;
}

bool context_includes(const struct context *context, const struct context *other) {
    for (uint32_t i = 0; i < other->n; i++) {
        if (!context_covers(context, other->entries[i])) {
            return false;
        }
    }
    return true;
}

static void context_reserve(struct context *context, uint32_t n) {
    if (n <= context->capacity) {
        return;
    }
    uint32_t capacity = context->capacity > 0 ? context->capacity : CONTEXT_CAPACITY_FIRST;
    while (capacity < n) {
        capacity *= 2;
    }
    context->entries = memory_resize(context->entries, capacity * sizeof(*context->entries));
    context->capacity = capacity;
}

void context_add(struct context *context, struct dot dot) {
    assert(dot.counter > 0);
    uint32_t at = context_lower(context, dot.actor);
    if (at < context->n && context->entries[at].actor == dot.actor) {
        if (context->entries[at].counter < dot.counter) {
            context->entries[at].counter = dot.counter;
        }
        return;
    }
    context_reserve(context, context->n + 1);
    memmove(&context->entries[at + 1], &context->entries[at],
            (context->n - at) * sizeof(*context->entries));
    context->entries[at] = dot;
    context->n++;
}

/* Raises the entries that both have; returns how many only `other` has. */
static uint32_t context_raise(struct context *into, const struct context *other, bool *changed) {
    uint32_t n_missing = 0, at = 0;
    for (uint32_t i = 0; i < other->n; i++) {
        const struct dot *dot = &other->entries[i];
        while (at < into->n && into->entries[at].actor < dot->actor) {
            at++;
        }
        if (at == into->n || into->entries[at].actor != dot->actor) {
            n_missing++;
        } else if (into->entries[at].counter < dot->counter) {
            into->entries[at].counter = dot->counter;
            *changed = true;
        }
    }
    return n_missing;
}

/* Joins and tells whether `into` changed. The missing entries are woven in from the back, where
 * there is room, so that no second array is needed. */
static bool context_join_changes(struct context *into, const struct context *other) {
    bool changed = false;
    if (into == other) {
        return false;
    }
    uint32_t n_missing = context_raise(into, other, &changed);
    if (n_missing == 0) {
        return changed;
    }
    context_reserve(into, into->n + n_missing);
    uint32_t left = into->n, right = other->n, at = into->n + n_missing;
    into->n = at;
    while (at > left) {
        uint64_t actor = other->entries[right - 1].actor;
        if (left > 0 && into->entries[left - 1].actor >= actor) {
            right -= into->entries[left - 1].actor == actor;
            into->entries[--at] = into->entries[--left];
        } else {
            into->entries[--at] = other->entries[--right];
        }
    }
    return true;
}

void context_join(struct context *into, const struct context *other) {
    context_join_changes(into, other);
}

void context_copy(struct context *into, const struct context *from) {
    if (into == from) {
        return;
    }
    context_reserve(into, from->n);
    if (from->n > 0) {
        memcpy(into->entries, from->entries, from->n * sizeof(*from->entries));
    }
    into->n = from->n;
}

static void dot_store(uint8_t *at, struct dot dot) {
    bytes_store_u64(at, dot.actor);
    bytes_store_u64(at + 8, dot.counter);
}

static struct dot dot_load(const uint8_t *at) {
    return (struct dot){bytes_load_u64(at), bytes_load_u64(at + 8)};
}

void context_encode(const struct context *context, struct buffer *into) {
    if (context->n == 0) {
        return;
    }
    buffer_put_u32(into, context->n);
    uint8_t *at = buffer_extend(into, (size_t)context->n * DOT_SIZE);
    for (uint32_t i = 0; i < context->n; i++) {
        dot_store(at + (size_t)i * DOT_SIZE, context->entries[i]);
    }
}

/* The next counted run of context entries, checked; `bad` is set when it is malformed. */
static struct bytes context_take(struct reader *r) {
    uint32_t n = reader_u32(r);
    if (n == 0 || n > r->left / DOT_SIZE) {
        r->bad = true;
        return bytes_of(NULL, 0);
    }
    struct bytes run = reader_bytes(r, (size_t)n * DOT_SIZE);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = run.data + (size_t)i * DOT_SIZE;
        struct dot dot = dot_load(at);
        if (dot.counter == 0 || (i > 0 && bytes_load_u64(at - DOT_SIZE) >= dot.actor)) {
            r->bad = true;
        }
    }
    return run;
}

/* Fills from a run that context_take() has checked. */
static void context_fill(struct context *ret, struct bytes run) {
    uint32_t n = (uint32_t)(run.size / DOT_SIZE);
    context_reserve(ret, n);
    for (uint32_t i = 0; i < n; i++) {
        ret->entries[i] = dot_load(run.data + (size_t)i * DOT_SIZE);
    }
    ret->n = n;
}

int context_decode(struct bytes encoded, struct context *ret) {
    if (encoded.size == 0) {
        ret->n = 0;
        return 0;
    }
    struct reader r = reader_of(encoded);
    struct bytes run = context_take(&r);
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    context_fill(ret, run);
    return 0;
}

/* ---- sibling sets ---- */

void versions_release(struct versions *v) {
    context_release(&v->context);
    free(v->siblings);
    *v = (struct versions){0};
}

static void siblings_reserve(struct versions *v, uint32_t n) {
    if (n <= v->capacity) {
        return;
    }
    uint32_t capacity = v->capacity > 0 ? v->capacity : SIBLINGS_CAPACITY_FIRST;
    while (capacity < n) {
        capacity *= 2;
    }
    v->siblings = memory_resize(v->siblings, capacity * sizeof(*v->siblings));
    v->capacity = capacity;
}

/* The index of the first sibling whose dot is not lower. */
static uint32_t siblings_lower(const struct versions *v, struct dot dot) {
    uint32_t low = 0, high = v->n_siblings;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (dot_compare(v->siblings[middle].dot, dot) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool siblings_hold(const struct versions *v, struct dot dot) {
    uint32_t at = siblings_lower(v, dot);
    return at < v->n_siblings && dot_compare(v->siblings[at].dot, dot) == 0;
}

static void siblings_remove(struct versions *v, uint32_t at) {
    v->n_siblings--;
    memmove(&v->siblings[at], &v->siblings[at + 1], (v->n_siblings - at) * sizeof(*v->siblings));
}

/* Inserts in the order of dots. Of two siblings of one operation the lower dot stays; the other's
 * is in the context all the same, so it does not come back. */
static void siblings_insert(struct versions *v, const struct sibling *sibling) {
    const struct sibling *twin = versions_find(v, &sibling->op);
    if (twin != NULL) {
        if (dot_compare(twin->dot, sibling->dot) <= 0) {
            return;
        }
        siblings_remove(v, (uint32_t)(twin - v->siblings));
    }
    uint32_t at = siblings_lower(v, sibling->dot);
    siblings_reserve(v, v->n_siblings + 1);
    memmove(&v->siblings[at + 1], &v->siblings[at], (v->n_siblings - at) * sizeof(*v->siblings));
    v->siblings[at] = *sibling;
    v->n_siblings++;
}

/* ---- the list of replaced writes ---- */

static uint64_t op_hash(const struct op_id *op) {
    return XXH3_64bits(op->bytes, sizeof(op->bytes));
}

static bool replaced_before(const struct replaced *a, const struct replaced *b) {
    return a->stamp_ns != b->stamp_ns ? a->stamp_ns < b->stamp_ns : a->op_hash < b->op_hash;
}

static uint32_t replaced_find(const struct versions *v, uint64_t hash) {
    uint32_t at = 0;
    while (at < v->n_replaced && v->replaced[at].op_hash != hash) {
        at++;
    }
    return at;
}

static void replaced_remove(struct versions *v, uint32_t at) {
    v->n_replaced--;
    memmove(&v->replaced[at], &v->replaced[at + 1], (v->n_replaced - at) * sizeof(v->replaced[0]));
}

/* Of one operation the highest stamp stays, of all the latest: so the list of a merge does not
 * depend on the order of merging. Returns whether the list changed. */
static bool replaced_add(struct versions *v, struct replaced entry) {
    uint32_t at = replaced_find(v, entry.op_hash);
    if (at < v->n_replaced) {
        if (v->replaced[at].stamp_ns >= entry.stamp_ns) {
            return false;
        }
        replaced_remove(v, at);
    } else if (v->n_replaced == VERSIONS_REPLACED_MAX) {
        if (replaced_before(&entry, &v->replaced[0])) {
            return false;
        }
        replaced_remove(v, 0);
    }
    at = v->n_replaced;
    while (at > 0 && replaced_before(&entry, &v->replaced[at - 1])) {
        v->replaced[at] = v->replaced[at - 1];
        at--;
    }
    v->replaced[at] = entry;
    v->n_replaced++;
    return true;
}

bool versions_had_replaced(const struct versions *v, const struct op_id *op) {
    return v->n_replaced > 0 && replaced_find(v, op_hash(op)) < v->n_replaced;
}

static bool siblings_drop_replaced(struct versions *v) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        if (!versions_had_replaced(v, &v->siblings[i].op)) {
            v->siblings[n++] = v->siblings[i];
        }
    }
    bool dropped = n < v->n_siblings;
    v->n_siblings = n;
    return dropped;
}

static bool replaced_join(struct versions *into, const struct versions *other) {
    bool changed = false;
    for (uint32_t i = 0; i < other->n_replaced; i++) {
        changed |= replaced_add(into, other->replaced[i]);
    }
    return changed;
}

/* ---- merging and writing ---- */

/* Drops the siblings that `context` covers, except those that `keep` holds too. Returns whether
 * there were any. */
static bool siblings_drop_covered(struct versions *v, const struct context *context,
                                  const struct versions *keep) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        struct dot dot = v->siblings[i].dot;
        if (!context_covers(context, dot) || siblings_hold(keep, dot)) {
            v->siblings[n++] = v->siblings[i];
        }
    }
    bool dropped = n < v->n_siblings;
    v->n_siblings = n;
    return dropped;
}

bool versions_merge(struct versions *into, const struct versions *other) {
    if (into == other) {
        return false;
    }
    bool changed = siblings_drop_covered(into, &other->context, other);
    for (uint32_t i = 0; i < other->n_siblings; i++) {
        if (!context_covers(&into->context, other->siblings[i].dot)) {
            siblings_insert(into, &other->siblings[i]);
            changed = true;
        }
    }
    changed |= replaced_join(into, other);
    changed |= siblings_drop_replaced(into);
    return context_join_changes(&into->context, &other->context) || changed;
}

void versions_put(struct versions *v, const struct context *seen, const struct sibling *sibling) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        const struct sibling *old = &v->siblings[i];
        if (!context_covers(seen, old->dot)) {
            v->siblings[n++] = *old;
        } else if (!op_id_equal(&old->op, &sibling->op)) {
            replaced_add(v, (struct replaced){op_hash(&old->op), old->stamp_ns});
        }
    }
    v->n_siblings = n;
    context_join(&v->context, seen);
    context_add(&v->context, sibling->dot);
    siblings_insert(v, sibling);
}

bool versions_covered_by(const struct versions *v, const struct context *seen) {
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        if (!context_covers(seen, v->siblings[i].dot)) {
            return false;
        }
    }
    return true;
}

static bool is_live(const struct sibling *sibling) {
    return (sibling->flags & SIBLING_TOMBSTONE) == 0;
}

uint32_t versions_live(const struct versions *v) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        n += is_live(&v->siblings[i]);
    }
    return n;
}

uint32_t versions_live_outside(const struct versions *v, const struct context *seen) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        n += is_live(&v->siblings[i]) && !context_covers(seen, v->siblings[i].dot);
    }
    return n;
}

const struct sibling *versions_find(const struct versions *v, const struct op_id *op) {
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        if (op_id_equal(&v->siblings[i].op, op)) {
            return &v->siblings[i];
        }
    }
    return NULL;
}

bool sibling_outranks(const struct sibling *a, const struct sibling *b) {
    if (is_live(a) != is_live(b)) {
        return is_live(a);
    }
    if (a->stamp_ns != b->stamp_ns) {
        return a->stamp_ns > b->stamp_ns;
    }
    return memcmp(a->op.bytes, b->op.bytes, sizeof(a->op.bytes)) > 0;
}

const struct sibling *versions_winner(const struct versions *v) {
    const struct sibling *winner = NULL;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        if (winner == NULL || sibling_outranks(&v->siblings[i], winner)) {
            winner = &v->siblings[i];
        }
    }
    return winner;
}

void versions_digest(const struct versions *v, uint8_t ret_digest[16]) {
    uint8_t on_stack[8 + DIGEST_DOTS_ON_STACK * DOT_SIZE];
    size_t n_dots = (size_t)v->context.n + v->n_siblings;
    size_t size = 8 + n_dots * DOT_SIZE;
    uint8_t *dots = size <= sizeof(on_stack) ? on_stack : memory_new(1, size);
    bytes_store_u32(dots, v->context.n);
    bytes_store_u32(dots + 4, v->n_siblings);
    uint8_t *at = dots + 8;
    for (uint32_t i = 0; i < v->context.n; i++, at += DOT_SIZE) {
        dot_store(at, v->context.entries[i]);
    }
    for (uint32_t i = 0; i < v->n_siblings; i++, at += DOT_SIZE) {
        dot_store(at, v->siblings[i].dot);
    }
    XXH128_hash_t hash = XXH3_128bits(dots, size);
    bytes_store_u64(ret_digest, hash.low64);
    bytes_store_u64(ret_digest + 8, hash.high64);
    if (dots != on_stack) {
        free(dots);
    }
}

void versions_check(const struct versions *v) {
    for (uint32_t i = 0; i < v->context.n; i++) {
        assert(v->context.entries[i].counter > 0);
        assert(i == 0 || v->context.entries[i - 1].actor < v->context.entries[i].actor);
    }
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        assert(context_covers(&v->context, v->siblings[i].dot));
        assert(i == 0 || dot_compare(v->siblings[i - 1].dot, v->siblings[i].dot) < 0);
        assert(is_live(&v->siblings[i]) || v->siblings[i].value.size == 0);
    }
    assert(v->n_replaced <= VERSIONS_REPLACED_MAX);
    for (uint32_t i = 1; i < v->n_replaced; i++) {
        assert(replaced_before(&v->replaced[i - 1], &v->replaced[i]));
    }
}

/* ---- the encoded row ---- */

size_t versions_encoded_size(const struct versions *v) {
    if (v->context.n == 0) {
        return 0;
    }
    size_t size = 1 + 4 + (size_t)v->context.n * DOT_SIZE + 4;
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        size += SIBLING_SIZE + v->siblings[i].value.size;
    }
    size += v->n_replaced > 0 ? 1 + (size_t)v->n_replaced * REPLACED_SIZE : 0;
    return size;
}

static void sibling_encode(const struct sibling *sibling, struct buffer *into) {
    uint8_t *at = buffer_extend(into, SIBLING_SIZE - 4);
    dot_store(at, sibling->dot);
    bytes_store_u64(at + 16, sibling->stamp_ns);
    memcpy(at + 24, sibling->op.bytes, sizeof(sibling->op.bytes));
    at[40] = sibling->flags;
    buffer_put_sized32(into, sibling->value);
}

static void replaced_encode(const struct versions *v, struct buffer *into) {
    if (v->n_replaced == 0) {
        return;
    }
    buffer_put_u8(into, (uint8_t)v->n_replaced);
    for (uint32_t i = 0; i < v->n_replaced; i++) {
        buffer_put_u64(into, v->replaced[i].op_hash);
        buffer_put_u64(into, v->replaced[i].stamp_ns);
    }
}

void versions_encode(const struct versions *v, struct buffer *into) {
    versions_check(v);
    if (v->context.n == 0) {
        return;
    }
    buffer_put_u8(into, v->n_replaced > 0 ? VERSIONS_FORMAT_REPLACED : VERSIONS_FORMAT);
    context_encode(&v->context, into);
    buffer_put_u32(into, v->n_siblings);
    for (uint32_t i = 0; i < v->n_siblings; i++) {
        sibling_encode(&v->siblings[i], into);
    }
    replaced_encode(v, into);
}

static struct sibling sibling_take(struct reader *r) {
    struct sibling sibling = {0};
    struct bytes fixed = reader_bytes(r, SIBLING_SIZE - 4);
    if (fixed.size == 0) {
        return sibling;
    }
    sibling.dot = dot_load(fixed.data);
    sibling.stamp_ns = bytes_load_u64(fixed.data + 16);
    memcpy(sibling.op.bytes, fixed.data + 24, sizeof(sibling.op.bytes));
    sibling.flags = fixed.data[40];
    sibling.value = reader_sized32(r);
    return sibling;
}

/* The counter that an encoded, sorted run of context entries has for an actor; 0 = none. */
static uint64_t run_counter(struct bytes run, uint64_t actor) {
    size_t low = 0, high = run.size / DOT_SIZE;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct dot dot = dot_load(run.data + middle * DOT_SIZE);
        if (dot.actor == actor) {
            return dot.counter;
        }
        if (dot.actor < actor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return 0;
}

static bool sibling_is_sound(const struct sibling *sibling, const struct sibling *previous,
                             struct bytes run) {
    return sibling->dot.counter > 0 &&
           sibling->dot.counter <= run_counter(run, sibling->dot.actor) &&
           (previous == NULL || dot_compare(previous->dot, sibling->dot) < 0) &&
           (sibling->flags & ~SIBLING_TOMBSTONE) == 0 &&
           (is_live(sibling) || sibling->value.size == 0);
}

/* The list at the end of a row, checked into the list of `ret`, whose other parts stay as they are;
 * `bad` is set when it is malformed. */
static void replaced_take(struct reader *r, uint8_t format, struct versions *ret) {
    ret->n_replaced = 0;
    if (format == VERSIONS_FORMAT) {
        return;
    }
    uint32_t n = reader_u8(r);
    if (n == 0 || n > VERSIONS_REPLACED_MAX) {
        r->bad = true;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct replaced entry;
        entry.op_hash = reader_u64(r);
        entry.stamp_ns = reader_u64(r);
        bool known = replaced_find(ret, entry.op_hash) < ret->n_replaced;
        if (known || (i > 0 && !replaced_before(&ret->replaced[i - 1], &entry))) {
            r->bad = true;
        }
        ret->replaced[i] = entry;
        ret->n_replaced = i + 1;
    }
}

/* Checks what follows the context without keeping it, so that a malformed row leaves the output
 * alone. */
static bool rest_is_sound(struct reader r, uint8_t format, uint32_t n, struct bytes run) {
    struct sibling previous;
    for (uint32_t i = 0; i < n; i++) {
        struct sibling sibling = sibling_take(&r);
        if (r.bad || !sibling_is_sound(&sibling, i > 0 ? &previous : NULL, run)) {
            return false;
        }
        previous = sibling;
    }
    struct versions list = {0};
    replaced_take(&r, format, &list);
    return reader_end(&r) == 0;
}

int versions_decode(struct bytes encoded, struct versions *ret) {
    if (encoded.size == 0) {
        ret->context.n = 0;
        ret->n_siblings = 0;
        ret->n_replaced = 0;
        return 0;
    }
    struct reader r = reader_of(encoded);
    uint8_t format = reader_u8(&r);
    if (format != VERSIONS_FORMAT && format != VERSIONS_FORMAT_REPLACED) {
        return ERR_INVALID;
    }
    struct bytes run = context_take(&r);
    uint32_t n = reader_u32(&r);
    if (r.bad || n > VERSIONS_SIBLINGS_ROW_MAX || !rest_is_sound(r, format, n, run)) {
        return ERR_INVALID;
    }
    context_fill(&ret->context, run);
    siblings_reserve(ret, n);
    for (uint32_t i = 0; i < n; i++) {
        ret->siblings[i] = sibling_take(&r);
    }
    ret->n_siblings = n;
    replaced_take(&r, format, ret);
    versions_check(ret);
    return 0;
}
