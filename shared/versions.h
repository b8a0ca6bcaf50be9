/* versions: the dotted version vector set of one row: what is known, and the values that stand. */
#ifndef RINGFS_SHARED_VERSIONS_H
#define RINGFS_SHARED_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/bytes.h"

/* After Preguiça, Baquero, Almeida, Fonte, Gonçalves: "Dotted Version Vectors" (2010), in the set
 * form: a row is a context (actor -> highest counter seen) and siblings, each with the dot of the
 * write that made it. A dot (actor, counter) is covered by a context that holds the actor with a
 * counter at least as high. A sibling that the other side's context covers and the other side does
 * not hold has been replaced. Clocks are never pruned.
 *
 * The actor is the coordinating replica, not the client: node id (16 bits), incarnation (16), epoch
 * (32). The epoch is new after every start that was not preceded by a clean stop, durable before
 * its first use, and a counter is never used twice under one actor. An actor's own row always
 * contains every dot that it ever sent to others for that row; without this rule a later context
 * would claim to have seen what it has not. Counters begin at 1.
 *
 * Expected sizes: one sibling and one to five context entries nearly always. Pure, one thread. */
struct dot {
    uint64_t actor;
    uint64_t counter;
};

/* 128 bits chosen by the client, 64 at random for each write and 64 at random for its life; the
 * same write sent again keeps its id, and two siblings of one id are one write. */
struct op_id {
    uint8_t bytes[16];
};

struct context {
    struct dot *entries; /* sorted by actor; owned */
    uint32_t n;
    uint32_t capacity;
};

enum sibling_flags {
    SIBLING_TOMBSTONE = 1, /* a delete: no value */
};

struct sibling {
    struct dot dot;
    uint64_t stamp_ns; /* hybrid logical clock of the coordinator, ns since 1970 */
    struct op_id op;
    uint8_t flags;      /* enum sibling_flags */
    struct bytes value; /* borrowed: from the encoded bytes or from whoever called versions_put() */
};

/* A write that was replaced: a hash of its operation id, and its stamp. */
struct replaced {
    uint64_t op_hash;
    uint64_t stamp_ns;
};

enum { VERSIONS_REPLACED_MAX = 4 };

/* Zero-initialized = a row nobody ever wrote (empty context, no sibling).
 *
 * `replaced` are the latest writes that others replaced (by stamp; the oldest are forgotten). A
 * write that two coordinators carried out has two dots, and who replaced it under one has replaced
 * it: under the other it does not come back while it is on this list. */
struct versions {
    struct context context;
    struct replaced replaced[VERSIONS_REPLACED_MAX]; /* ascending by (stamp, hash) */
    uint32_t n_replaced;
    struct sibling *siblings; /* sorted by dot; owned, but not the values they point to */
    uint32_t n_siblings;
    uint32_t capacity;
};

enum {
    VERSIONS_SIBLINGS_WARN = 25,
    VERSIONS_SIBLINGS_MAX = 100,
    VERSIONS_CONTEXT_MAX = 1000, /* entries; 16 bytes each */
    /* What a row may decode to. The bounds above are where a coordinator refuses to let a row grow;
     * merging what several coordinators accepted at once may pass them, and such a row must still
     * be readable. No more than every member's share of a ring at its largest. */
    VERSIONS_SIBLINGS_ROW_MAX = 256 * VERSIONS_SIBLINGS_MAX,
};

static inline uint64_t actor_of(uint16_t node, uint16_t incarnation, uint32_t epoch) {
    return (uint64_t)node << 48 | (uint64_t)incarnation << 32 | epoch;
}
static inline uint16_t actor_node(uint64_t actor) {
    return (uint16_t)(actor >> 48);
}

/* Frees the entries; the context is empty and usable afterwards. */
void context_release(struct context *context);
/* Whether the context holds the dot's actor with a counter at least as high. */
bool context_covers(const struct context *context, struct dot dot);
/* Every dot covered by `other` is covered by `context`. */
bool context_includes(const struct context *context, const struct context *other);
/* Raises the entry of the dot's actor to at least its counter. */
void context_add(struct context *context, struct dot dot);
/* Afterwards `into` covers what either covered; may be one and the same. */
void context_join(struct context *into, const struct context *other);
/* Overwrites `into`, which must be zero-initialized or hold a context; keeps its memory. */
void context_copy(struct context *into, const struct context *from);
/* The opaque form that clients carry (docs/wire.md): count, then (actor, counter) pairs. Decoding
 * checks order and bounds; empty bytes are the empty context; on error `ret` is untouched and the
 * answer ERR_INVALID. `ret` must be zero-initialized or hold a context to overwrite. */
void context_encode(const struct context *context, struct buffer *into);
int context_decode(struct bytes encoded, struct context *ret);

/* Frees context and siblings (not the values); the row is empty and usable afterwards. */
void versions_release(struct versions *v);
/* The row's form on disk and on the wire (docs/wire.md, docs/disk.md). Values borrow `encoded`.
 * Empty bytes decode to the row nobody wrote. On ERR_INVALID `ret` is untouched. `ret` must be
 * zero-initialized or hold versions to overwrite. */
void versions_encode(const struct versions *v, struct buffer *into);
int versions_decode(struct bytes encoded, struct versions *ret);

/* The size of versions_encode()'s output. */
size_t versions_encoded_size(const struct versions *v);

/* Joins what `other` knows into `into`; values stay borrowed from other's source, which must
 * outlive `into`. Commutative, associative, idempotent. Two siblings of one operation id become the
 * one with the lower dot, and none stands whose operation is on the joined list of replaced ones.
 * (With such twins alone the grouping of merges can matter: a twin is dropped or not according to
 * whether it met the write that replaced the other, or the list that names it, before. Replicas
 * that exchange what they hold agree all the same, on the smaller set, and nothing is dropped that
 * no write had seen.) Returns whether `into` changed. */
bool versions_merge(struct versions *into, const struct versions *other);

/* The write `dot` by a client that had seen `seen`: replaces what `seen` covers, stays beside what
 * it does not, and learns dot and `seen` (which may be the row's own context). When the row holds a
 * sibling of the same operation after that, the lower dot stays. The value is borrowed. The
 * operation must not be on the row's list of replaced ones: versions_had_replaced(). */
void versions_put(struct versions *v, const struct context *seen, const struct sibling *sibling);

/* Whether the row holds nothing that `seen` does not cover (IF_MATCH holds). */
bool versions_covered_by(const struct versions *v, const struct context *seen);
/* Siblings that are not tombstones, and those of them that `seen` does not cover. */
uint32_t versions_live(const struct versions *v);
uint32_t versions_live_outside(const struct versions *v, const struct context *seen);
/* The sibling written by this operation; NULL when there is none (any more). */
const struct sibling *versions_find(const struct versions *v, const struct op_id *op);
/* Whether the row remembers that the operation's write was replaced. */
bool versions_had_replaced(const struct versions *v, const struct op_id *op);
/* The sibling that a reader who must show one shows: a live one before a tombstone, then the
 * highest (stamp, operation id); the same everywhere. NULL when there is no sibling. */
const struct sibling *versions_winner(const struct versions *v);
/* Whether that reader shows `a` rather than `b`. */
bool sibling_outranks(const struct sibling *a, const struct sibling *b);
/* 128 bits over context and dots, equal when two replicas hold the same versions. (The list of
 * replaced writes is left out: it is a help against twins, not a version.) */
void versions_digest(const struct versions *v, uint8_t ret_digest[16]);
/* The invariants (sorted, unique dots, every dot covered by the context, list in order); asserts.
 */
void versions_check(const struct versions *v);

/* Whether two writes are one. */
bool op_id_equal(const struct op_id *a, const struct op_id *b);

#endif
