/* ringctl_verify: the keys and clocks of a slice, replica by replica, side by side. */
#ifndef RINGFS_NODE_RINGCTL_VERIFY_H
#define RINGFS_NODE_RINGCTL_VERIFY_H

#include "node/ringctl.h"
#include "shared/exchange.h"

/* A slice's rows at all its replicas, in the order of keys, a page of each in memory. */
enum { SLICE_PAGE_ROWS = 256 };

struct slice_stream {
    uint16_t node;
    struct bytes payload; /* the page, owned */
    struct bytes rows;    /* what is left of it */
    struct leaf_row row;  /* the row at hand */
    bool has_row;
    bool more;
    struct buffer after;
    int status;
};

struct slice_reader {
    struct ctl *ctl;
    uint16_t slice;
    uint32_t n;
    struct slice_stream streams[RING_REPLICAS_MAX];
};

/* What the replicas say of one key. */
struct slice_row {
    struct bytes key;                               /* a row key, borrowed until the next call */
    const struct leaf_row *rows[RING_REPLICAS_MAX]; /* by stream; NULL = has none */
    bool same;
};

/* Begins at the slice's first row; the reader is the caller's memory. */
void slice_reader_init(struct slice_reader *reader, struct ctl *ctl, uint16_t slice);
/* Frees the pages, at any point. */
void slice_reader_release(struct slice_reader *reader);
/* The next key, with what each replica has under it. 1, 0 at the end, or the error of a replica
 * (in its stream's status). May suspend. */
int slice_reader_next(struct slice_reader *reader, struct slice_row *ret);
/* Goes on behind the row key `after`, forward or back. */
void slice_reader_seek(struct slice_reader *reader, struct bytes after);

#endif
