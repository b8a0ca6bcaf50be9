/* exchange: the payloads by which replicas, and ringctl, compare what they hold. */
#ifndef RINGFS_SHARED_EXCHANGE_H
#define RINGFS_SHARED_EXCHANGE_H

#include <stdint.h>

#include "shared/message.h"
#include "shared/ring.h"

/* Decoders check every bound, borrow from their input and answer 0, ERR_INVALID or ERR_TOO_BIG, as
 * those of request.h. Exact layouts: docs/wire.md. Pure. */

/* ---- TREE: what the rows of whole slices add up to ---- */

/* Of one slice at one replica: the sum modulo 2^64 of a hash of (key, clock) of each row, and how
 * many rows there are. Equal rows give equal sums; unequal ones equal sums once in 2^64. */
struct slice_sum {
    uint16_t slice;
    uint32_t n_rows;
    uint64_t sum;
};

/* Request: the asker's sums. Reply: the sums of those that are different at the replica asked,
 * `unknown` those it cannot tell. */
struct tree_sums {
    uint16_t n;
    struct slice_sum sums[RING_SLICES_MAX];
    uint16_t n_unknown;
    uint16_t unknown[RING_SLICES_MAX];
};
void tree_sums_encode(const struct tree_sums *sums, struct buffer *into);
/* Slices must be below `n_slices`. */
int tree_sums_decode(struct bytes payload, uint16_t n_slices, struct tree_sums *ret);

/* ---- LEAF: the keys and clocks of a page of a slice ---- */
enum {
    LEAF_ROWS_MAX = 512, /* in one reply */
    /* Values read from the disk for one reply: a page ends there, whatever its rows. */
    LEAF_SCAN_BYTES = 256 << 10,
    LEAF_DIGEST_SIZE = 16,
};

/* A *row key* here is u8 size of the partition key, partition key, sort key: the order of bytes is
 * the order of pages. */
struct leaf_request {
    uint16_t slice;
    uint32_t rows_max;   /* 1..LEAF_ROWS_MAX */
    struct bytes after;  /* begin behind this row key; empty = at the slice's first row */
    struct bytes until;  /* the last row key, inclusive; empty = to the slice's last row */
    struct bytes digest; /* of the asker's rows in this range; empty = list them in any case */
};
void leaf_request_encode(const struct leaf_request *request, struct buffer *into);
int leaf_request_decode(struct bytes payload, uint16_t n_slices, struct leaf_request *ret);

enum leaf_flags {
    LEAF_DEAD = 1,    /* tombstones only */
    LEAF_CORRUPT = 2, /* the row cannot be read here; clock and stamp are zero */
};
struct leaf_row {
    struct bytes key;
    const uint8_t *clock; /* versions_digest(), 16 bytes */
    uint8_t flags;
    uint64_t stamp_ns; /* the highest of its siblings */
};
/* Reply. `same`: the range holds exactly what the digest says, and no rows follow. */
struct leaf {
    bool same;
    bool more;           /* rows of the range may follow `cursor` */
    struct bytes cursor; /* the last row key examined; not empty when `more` */
    struct bytes rows;   /* encoded: leaf_next() */
    uint32_t n_rows;
};
void leaf_encode(const struct leaf *leaf, struct buffer *into);
int leaf_decode(struct bytes payload, struct leaf *ret);
/* Appends a row to what will be `rows`. `clock` is 16 bytes. */
void leaf_row_encode(const struct leaf_row *row, struct buffer *into);
/* Takes the next row off `rows`; false at the end. The rows of a decoded leaf are sound. */
bool leaf_next(struct bytes *rows, struct leaf_row *ret);
/* The digest that a request carries: of the rows as encoded. */
void leaf_digest(struct bytes rows, uint8_t ret[LEAF_DIGEST_SIZE]);

/* The two parts of a row key; ERR_INVALID when it is none. */
int row_key_split(struct bytes key, struct bytes *ret_partition_key, struct bytes *ret_sort_key);

/* ---- REAP: do all replicas hold this tombstone, and for how long; then it goes ---- */
enum reap_order {
    REAP_ASK = 0,
    REAP_REMOVE = 1, /* what is ready */
};
enum reap_verdict {
    REAP_NO = 0,      /* not exactly this here, or something is under way for it */
    REAP_HELD = 1,    /* exactly this, but not for long enough */
    REAP_READY = 2,   /* exactly this, for as long as a message can be on its way */
    REAP_REMOVED = 3, /* it is gone here */
};
enum { REAP_ROWS_MAX = 256 };
struct reap_row {
    struct bytes key;     /* a row key */
    const uint8_t *clock; /* versions_digest(), 16 bytes */
};
/* Without rows it asks whether the node keeps hints for rows of the slice (then: BUSY). */
struct reap_request {
    uint8_t order;
    uint16_t slice;
    uint16_t n;
    struct reap_row rows[REAP_ROWS_MAX];
};
void reap_request_encode(const struct reap_request *request, struct buffer *into);
int reap_request_decode(struct bytes payload, uint16_t n_slices, struct reap_request *ret);
/* The reply: a verdict for each row, in their order. */
void reap_reply_encode(const uint8_t *verdicts, uint16_t n, struct buffer *into);
int reap_reply_decode(struct bytes payload, uint16_t n, uint8_t *ret_verdicts);

/* ---- REPAIR_CONTROL: what a node repairs, and when it is to begin ---- */
enum repair_order {
    REPAIR_STATUS = 0, /* only tell */
    REPAIR_ALL = 1,    /* a round over everything now */
    REPAIR_SLICES = 2, /* a round over these slices now */
};
enum { REPAIR_SLICES_MAX = 256 };
/* In the reply, which is that of STATS: the ms since something that never was. */
#define REPAIR_NEVER ((uint64_t)INT64_MAX)
struct repair_request {
    uint8_t order;
    uint16_t n_slices;
    uint16_t slices[REPAIR_SLICES_MAX];
};
void repair_request_encode(const struct repair_request *request, struct buffer *into);
int repair_request_decode(struct bytes payload, uint16_t n_slices, struct repair_request *ret);

#endif
