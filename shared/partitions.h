/* partitions: the payloads of PARTITIONS: which partitions a replica holds of a slice. */
#ifndef RINGFS_SHARED_PARTITIONS_H
#define RINGFS_SHARED_PARTITIONS_H

#include "shared/request.h"

/* For who must know every partition there is, as a sweep for leftovers does. They are listed from
 * their tallies, a small row each, so that no value is read. The order is that of the disk: short
 * keys before long ones, among equally long ones that of bytes. Decoders check every bound, borrow
 * from their input and answer 0, ERR_INVALID or ERR_TOO_BIG. Layouts: docs/wire.md. Pure. */
enum { PARTITIONS_PAGE_MAX = 1024 };

struct partitions_request {
    uint16_t slice;
    uint8_t key_size;   /* only keys of this size; 0 = all */
    uint32_t n_max;     /* 1..PARTITIONS_PAGE_MAX */
    struct bytes after; /* begin behind this partition key; empty = at the first */
};
void partitions_request_encode(const struct partitions_request *request, struct buffer *into);
int partitions_request_decode(struct bytes payload, uint16_t n_slices,
                              struct partitions_request *ret);

/* A partition, and the tally that the replica has of it: its rows may all be deleted. */
struct partition_tally {
    struct bytes key;
    struct tally tally;
};
struct partitions_page {
    bool more; /* partitions may follow the last one */
    uint32_t n;
    struct bytes listed; /* encoded: partitions_next() */
};
void partitions_page_encode(const struct partitions_page *page, struct buffer *into);
int partitions_page_decode(struct bytes payload, struct partitions_page *ret);
/* Appends a partition to what will be `listed`. */
void partition_tally_encode(const struct partition_tally *partition, struct buffer *into);
/* Takes the next one off `listed`; false at the end. Those of a decoded page are sound. */
bool partitions_next(struct bytes *listed, struct partition_tally *ret);
/* Their order: below 0, 0, above 0. */
int partition_key_compare(struct bytes a, struct bytes b);

#endif
