/* request: the payloads of messages, encoded and decoded in one place. */
#ifndef RINGFS_SHARED_REQUEST_H
#define RINGFS_SHARED_REQUEST_H

#include <stdint.h>

#include "shared/message.h"
#include "shared/versions.h"

/* Every decoder checks all the bounds of message.h, borrows from its input, returns 0, ERR_INVALID
 * (malformed, outputs released) or ERR_TOO_BIG (a named bound exceeded). Exact layouts:
 * docs/wire.md. */

/* 0, or ERR_TOO_BIG: the bound of a sort key, which is all that a GET or READ carries. */
int sort_key_check(struct bytes sort_key);

/* ---- BATCH: changes and checks on rows of one partition, applied all or not at all ---- */
enum row_kind {
    ROW_PUT = 1,
    ROW_DELETE = 2, /* a tombstone */
    ROW_GUARD = 3,  /* the condition only; nothing is written */
    ROW_PATCH = 4,  /* BATCH only, ROW_OVERWRITE: pieces laid over the row's value (below) */
};

/* A patch is strict: at its turn the steward lays the pieces (overlay.h) over what a reader would
 * be shown of the row, nothing where it is absent, with zeros in between, and writes the result as
 * a put that has seen all of the row. It misses no write that was acknowledged before it was asked,
 * whoever coordinated that one. */
enum { BATCH_PATCHES_MAX = 32 }; /* of one batch */

/* When an operation may go on. Checked by the coordinator, and again by every replica on what it
 * holds.
 *
 *   ROW_ANY        always; replaces what `seen` covers, stays concurrent with the rest (eventual)
 *   ROW_OVERWRITE  always; as if `seen` were all that the coordinator knows of the row
 *   ROW_IF_MATCH   the replica's row holds nothing that `seen` does not cover. A replica that lags
 *                  behind (knows less than `seen`) passes: it learns the rest from the write. A
 *                  row that a quorum knows no version of does not match what somebody has seen: it
 *                  was deleted, and its tombstone is gone
 *   ROW_IF_ABSENT  the replica holds no live sibling outside `seen` (`seen` = the tombstones'
 *                  context, or empty); tombstones that the coordinator knows are covered too
 *   ROW_COUNT_MAX  (guard only; sort key ignored) the partition has at most `count_max` live rows
 *
 * A row that already holds this operation's id passes every condition (a retry). */
enum row_condition {
    ROW_ANY = 0,
    ROW_OVERWRITE = 1,
    ROW_IF_MATCH = 2,
    ROW_IF_ABSENT = 3,
    ROW_COUNT_MAX = 4,
};

struct row_op {
    uint8_t kind;       /* enum row_kind */
    uint8_t condition;  /* enum row_condition */
    uint32_t count_max; /* ROW_COUNT_MAX */
    struct bytes sort_key;
    struct bytes seen; /* an encoded context; empty = nothing seen */
    /* ROW_PUT; ROW_PATCH: an overlay that ends within VALUE_MAX; in REPLICATE and REPAIR: the row's
     * new versions, encoded (PUT and DELETE). */
    struct bytes value;
};

struct batch {
    struct op_id op;
    uint32_t n;
    struct row_op *ops; /* owned by the decoder's caller: batch_release() */
};

/* 1..BATCH_ROWS_MAX operations; more is asserted against. */
void batch_encode(const struct batch *batch, struct buffer *into);
/* `replicate`: values are versions and may exceed VALUE_MAX by their clocks. No row is written
 * twice in one batch (ERR_INVALID), since all its rows get one dot; guards may repeat. `seen` and
 * versions are not looked into. */
int batch_decode(struct bytes payload, bool replicate, struct batch *ret);
void batch_release(struct batch *batch);

/* The tally of a partition, kept by each replica in the same commit as the rows: how many rows are
 * live (have a sibling that is no tombstone), and when one last came to life or died. It is what a
 * directory's entry count and mtime derive from, so that a create never rewrites a shared row. */
struct tally {
    uint64_t n_live;
    uint64_t changed_ns; /* highest stamp of a write that changed n_live; 0 = never */
};

/* Reply to BATCH and REPLICATE.
 *   done:     rows = for each op in order its row's new context (guards: empty), and the tally;
 *             needed, answered = W, and how many of the slice's replicas have it. Fewer than W: the
 *             others are stand-ins' (hints), and no quorum read need find the write before they are
 *             handed over
 *   CONFLICT: failed_index = the first op that did not pass, current = that row's versions, encoded
 *             (empty for ROW_COUNT_MAX)
 * UNAVAILABLE and UNKNOWN carry a struct shortfall (shortfall.h) instead, whatever was asked. */
struct batch_reply {
    struct tally tally;
    uint32_t n_contexts;
    struct bytes *contexts; /* owned array of borrowed bytes: batch_reply_release() */
    uint32_t failed_index;
    struct bytes current;
    uint8_t needed; /* done */
    uint8_t answered;
};
void batch_reply_encode(const struct batch_reply *reply, struct buffer *into);
int batch_reply_decode(struct bytes payload, struct batch_reply *ret);
void batch_reply_release(struct batch_reply *reply);

/* ---- HINT: rows for a replica that is away; answered with the status and whom it was for ---- */
struct hint_request {
    uint16_t target;    /* the replica */
    bool counts;        /* an acknowledgement may hang on it: too few replicas answer */
    struct bytes batch; /* a batch as in REPLICATE */
};
void hint_request_encode(const struct hint_request *request, struct buffer *into);
int hint_request_decode(struct bytes payload, struct hint_request *ret);

struct hint_reply {
    uint16_t target;
    uint16_t slice;
};
/* Encoding cannot fail; decoding is as for all payloads. */
void hint_reply_encode(const struct hint_reply *reply, struct buffer *into);
/* See above. */
int hint_reply_decode(struct bytes payload, struct hint_reply *ret);

/* ---- GET and READ: payload of the request = the sort key; of the reply: ---- */
struct get_reply {
    struct tally tally;
    /* Encoded; empty = nobody ever wrote the row. With DIGEST: its 16-byte digest. */
    struct bytes versions;
};
void get_reply_encode(const struct get_reply *reply, struct buffer *into);
int get_reply_decode(struct bytes payload, struct get_reply *ret);
/* The digest of an encoded row. Equal versions encode to equal bytes, so it is of those; a value
 * that differs although its dot does not, differs here too. */
enum { ROW_DIGEST_SIZE = 16 };
void row_digest(struct bytes versions, uint8_t ret[ROW_DIGEST_SIZE]);

/* ---- SCAN and READ_SCAN: a page of a partition's rows in sort-key order ---- */
struct scan_request {
    struct bytes after;  /* resume strictly after this sort key; empty = begin at `first` */
    struct bytes first;  /* the range's lower end, inclusive (empty = the partition's first row) */
    struct bytes before; /* the range's upper end, exclusive (empty = the partition's last row) */
    uint32_t rows_max;   /* examined rows, 1..SCAN_ROWS_MAX */
    uint32_t bytes_max;  /* of the reply's rows, to SCAN_BYTES_MAX; at least one row is returned */
    uint32_t value_at, value_max; /* SCAN: of values only so many bytes from here; 0 = all */
};
enum {
    SCAN_ROWS_MAX = 4096,
    SCAN_BYTES_MAX = 1 << 20,
};
void scan_request_encode(const struct scan_request *request, struct buffer *into);
int scan_request_decode(struct bytes payload, struct scan_request *ret);
/* What a SCAN with these flags shows of a value, borrowed from it. */
struct bytes scan_value(const struct scan_request *request, uint16_t flags, struct bytes value);

struct scan_row {
    struct bytes sort_key;
    struct bytes versions; /* encoded; KEYS_ONLY: with empty values */
};
struct scan_reply {
    struct tally tally;
    bool more; /* rows may follow `cursor` */
    /* The last sort key examined; where the next page resumes (`after`). Not empty when `more`,
     * since an empty `after` begins anew: a page never ends at the empty sort key. */
    struct bytes cursor;
    uint32_t n_rows;
    /* In ascending order (checked). Owned array of borrowed bytes: scan_reply_release(). */
    struct scan_row *rows;
    struct bytes digest; /* READ_SCAN, SCAN with OWN: 16 bytes, of the replica's whole page */
};
void scan_reply_encode(const struct scan_reply *reply, struct buffer *into);
int scan_reply_decode(struct bytes payload, struct scan_reply *ret);
void scan_reply_release(struct scan_reply *reply);

/* ---- HELLO ---- */
struct hello_reply {
    uint16_t node;
    uint32_t credit_bytes; /* reply bytes that may be outstanding on one connection */
    uint8_t read_quorum;   /* R: replicas that a read at quorum asks; 0 = not told */
    struct bytes ring;     /* encoded */
};
void hello_reply_encode(const struct hello_reply *reply, struct buffer *into);
int hello_reply_decode(struct bytes payload, struct hello_reply *ret);

/* ---- STATS: name -> number rows, schema-free ---- */
struct stat_row {
    struct bytes name; /* at most STAT_NAME_MAX bytes */
    uint64_t value;
};
enum {
    STATS_MAX = 256,
    STAT_NAME_MAX = 63,
};
void stats_encode(const struct stat_row *rows, uint32_t n, struct buffer *into);
/* Fills at most STATS_MAX rows of `ret` and their number. */
int stats_decode(struct bytes payload, struct stat_row *ret, uint32_t *ret_n);
/* The value of the row of this name; 0 when there is none. */
uint64_t stats_value(const struct stat_row *rows, uint32_t n, const char *name);

#endif
