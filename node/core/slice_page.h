/* slice_page: SLICE, one page of everything that a node holds of slices, for a node that recovers.
 */
#ifndef RINGFS_NODE_CORE_SLICE_PAGE_H
#define RINGFS_NODE_CORE_SLICE_PAGE_H

#include "node/core/inside.h"

/* The asker walks over the slices that it shares with the one asked, in ascending order; the cursor
 * of an answer is where the next request begins, so either side may restart at any time. Within a
 * slice the kinds of slice_kinds follow each other. A page may cover many slices, of which the node
 * asked trusts itself with all or none.
 *
 * Before it reads, the node asked waits for the commits that were asked of its disk before the
 * request arrived: a write of which the asker's former life was told, and which it forgot, is then
 * on the page.
 *
 * Layout (little-endian; also in docs/wire.md). Request:
 *
 *   offset size field
 *        0    8 generation  of the asker's recovery
 *        8    4 bytes_max   of the page; one row is always returned
 *       12    - cursor
 *
 * Cursor: u16 slice, u8 kind (index into slice_kinds), bytes16 after (the disk key after which to
 * go on; empty = from the start of the kind).
 *
 * Reply: u8 trusted, u16 life, cursor, u32 n, n times { bytes16 disk key, bytes32 value }. A cursor
 * whose slice is the ring's number of slices is the end. */
enum {
    SLICE_PAGE_BYTES = 512 << 10,   /* a page is closed when it reaches this ... */
    SLICE_PAGE_BYTES_MAX = 1 << 20, /* ... and before it is beyond this, but for one large row */
    SLICE_PAGE_ROWS_MAX = 1024,     /* of one scan */
    SLICE_PAGE_SCANS_MAX = 256,     /* of a page; beyond it the page ends early */
    SLICE_PAGES_MAX = 8,            /* being served at once; beyond: BUSY */
    SLICE_BUDGET_MS = 2000,         /* of a request; a page ends early after half of it */
    SLICE_BARRIER_MS = 2,           /* how often it looks whether the commits have ended */
};
/* The first bytes of the disk keys that recovery copies, in this order. The tails before the rows,
 * so that these hold all that those tell. The pendings before the tails: a batch that is moved from
 * one to the other meanwhile is told by both and not by none, and the tail is not older than that
 * which the pending follows. */
extern const char slice_kinds[];

struct slice_cursor {
    uint16_t slice;
    uint8_t kind;
    struct bytes after;
};

struct slice_request {
    uint64_t generation;
    uint32_t bytes_max;
    struct slice_cursor from;
};

struct slice_row {
    struct bytes key;   /* on the disk */
    struct bytes value; /* without its checksum; empty: this copy of a row cannot be read */
};

struct slice_reply {
    bool trusted;
    uint16_t life; /* recovery_life() of the node asked */
    struct slice_cursor next;
    uint32_t n;
    struct reader rows; /* slice_row_next() */
};

/* Appends the payload of a request. */
void slice_request_encode(const struct slice_request *request, struct buffer *into);
/* ERR_INVALID when malformed. Borrows. */
int slice_request_decode(struct bytes payload, struct slice_request *ret);
/* Checks all of the reply, whose rows then come from slice_row_next(), n times. Borrows. */
int slice_reply_decode(struct bytes payload, struct slice_reply *ret);
struct slice_row slice_row_next(struct slice_reply *reply);

/* The range of one kind of rows in one slice: [first, before), appended to the two buffers. */
void slice_range(uint8_t kind, uint16_t slice, struct buffer *first, struct buffer *before);

/* A peer asks for a page. Answers: 0, BUSY, INVALID, CORRUPT (the disk cannot read a part of the
 * slice), DISK, TIMEOUT. What has a wrong checksum is counted and mended: a row comes with an empty
 * value, so that the tail of its partition is not taken for what the rows hold; the rest is left
 * out. */
void slice_page_receive(struct node *node, const struct endpoint *from,
                        const struct message *message);

#endif
