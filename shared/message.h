/* message: the one header that every message between clients and nodes begins with. */
#ifndef RINGFS_SHARED_MESSAGE_H
#define RINGFS_SHARED_MESSAGE_H

#include <stdint.h>

#include "shared/bytes.h"

/* Layout (little-endian; also in docs/wire.md). The partition key follows the header, then the
 * payload.
 *
 *   offset size field
 *        0    4 size          of the whole message, header included
 *        4    1 type          enum message_type; the reply to type t is t | MESSAGE_REPLY
 *        5    1 status        0 in requests; in replies 0 = done, n = error -n of err.h
 *        6    2 flags         enum message_flags
 *        8    8 id            chosen by the asker, returned in the reply
 *       16    8 ring_version  of the sender; 0 = has none yet
 *       24    4 budget_ms     time the asker will still wait; an executor drops what arrives or
 *                             gets its turn later than this after arrival
 *       28    2 sender        node id, 0 = a client
 *       30    2 key_size      0..MESSAGE_KEY_MAX
 *       32    4 payload_size  0..MESSAGE_PAYLOAD_MAX
 *       36    4 age_ms        a client's request: between stamp_ns and this sending; else 0
 *       40    8 stamp_ns      hybrid logical clock of the sender; in a client's request: when it
 * was sent, with RETRY when the first try was that is not known to have come to nothing; 0 = has
 * none 48    - key, payload
 */
enum {
    MESSAGE_HEADER_SIZE = 48,
    MESSAGE_REPLY = 0x80,

    /* The store's bounds (each checked where a message enters, in request.c). */
    PARTITION_KEY_MAX = 255,
    SORT_KEY_MAX = 512,
    VALUE_MAX = 1 << 20,
    BATCH_SIZE_MAX = 4 << 20, /* sum of values and keys in one batch */
    BATCH_ROWS_MAX = 1024,

    MESSAGE_KEY_MAX = PARTITION_KEY_MAX,
    /* A batch of the largest size, with its conditions and contexts. */
    MESSAGE_PAYLOAD_MAX = (4 << 20) + (512 << 10),
    MESSAGE_SIZE_MAX = MESSAGE_HEADER_SIZE + MESSAGE_KEY_MAX + MESSAGE_PAYLOAD_MAX,
};

enum message_type {
    /* client -> node */
    MESSAGE_HELLO = 1, /* who are you, what is the ring: request.h struct hello_reply */
    MESSAGE_PING = 2,  /* heartbeat; also node -> node */
    MESSAGE_GET = 3,
    MESSAGE_BATCH = 4,
    MESSAGE_SCAN = 5,
    MESSAGE_STATS = 6,
    MESSAGE_REPAIR_CONTROL = 7, /* begin repairing, and how far is it: exchange.h */
    MESSAGE_HINTS = 8,          /* what the node keeps for others: hint_report.h */
    MESSAGE_WATCH = 9,          /* tell me of changes in these partitions: watch.h */
    MESSAGE_SYNC = 10,          /* answer when all that you have acknowledged is on your disk */
    MESSAGE_PARTITIONS = 11,    /* which partitions do you hold of a slice: partitions.h */
    /* node -> node */
    MESSAGE_REPLICATE = 16, /* coordinator -> replica: apply these rows under these conditions */
    MESSAGE_READ = 17,      /* coordinator -> replica: your row, or its digest */
    MESSAGE_READ_SCAN = 18, /* coordinator -> replica: your page, or its digest */
    MESSAGE_REPAIR = 19,    /* merge these rows, no conditions; answered unless the id is 0 */
    MESSAGE_HINT = 24,      /* coordinator -> stand-in: keep these rows for an absent replica */
    MESSAGE_HANDOFF = 25,   /* stand-in -> replica: rows kept for you; answered when durable */
    /* strict batches; payloads: node/core/chain.h */
    MESSAGE_PREPARE = 20, /* would-be steward -> replica: promise this epoch */
    MESSAGE_TAIL = 21,    /* steward -> replica: what have you applied, what is pending */
    MESSAGE_PROPOSE = 22, /* steward -> replica: keep this batch as pending */
    MESSAGE_CHOSEN = 23,  /* steward -> replica: these pendings were chosen; no reply */
    MESSAGE_TREE = 26,    /* which of these sums of slices are different? Also from clients */
    MESSAGE_LEAF = 27,    /* the keys and clocks of a page of a slice; also from clients */
    MESSAGE_SLICE = 28,   /* a page of all that you hold of slices: node/core/slice_page.h */
    MESSAGE_REAP = 29,    /* do you hold these tombstones, and for how long; remove them */
};

/* How many replicas a request asks for. */
enum consistency {
    LEVEL_QUORUM = 0, /* R or W of N */
    LEVEL_ONE = 1,
    LEVEL_ALL = 2,
};

enum message_flags {
    MESSAGE_LEVEL_MASK = 3,      /* enum consistency */
    MESSAGE_SYNCED = 1 << 2,     /* durable on the disks of W replicas before the answer */
    MESSAGE_DIGEST = 1 << 3,     /* READ, READ_SCAN, GET and SCAN with OWN: the digest */
    MESSAGE_KEYS_ONLY = 1 << 4,  /* SCAN: without values */
    MESSAGE_FORWARDED = 1 << 5,  /* a node passed it on; again only to a steward */
    MESSAGE_TOMBSTONES = 1 << 6, /* SCAN, READ_SCAN: deleted rows too */
    MESSAGE_PENDING = 1 << 7,    /* reply to READ, READ_SCAN: with what may yet not be chosen */
    /* GET, SCAN, BATCH: at the steward, in line with conditional batches. READ, READ_SCAN: only
     * what is chosen. */
    MESSAGE_STRICT = 1 << 8,
    MESSAGE_RETRY = 1 << 9, /* BATCH: an earlier try of it may have been carried out */
    /* GET, SCAN: what this replica has, as one of a quorum that the asker makes up; refused by who
     * has no say in it. */
    MESSAGE_OWN = 1 << 10,
    /* PROPOSE: refused (CONFLICT) by who holds a version of a row that the proposed one does not
     * cover: it was made without it. */
    MESSAGE_COVERING = 1 << 11,
};

struct message {
    uint8_t type;
    uint8_t status;
    uint16_t flags;
    uint64_t id;
    uint64_t ring_version;
    uint32_t budget_ms;
    uint16_t sender;
    uint32_t age_ms;
    uint64_t stamp_ns;
    struct bytes key;     /* the partition key; borrowed */
    struct bytes payload; /* request.h; borrowed */
};

/* Appends the message. Its sizes must be within the limits (asserted). */
void message_encode(const struct message *message, struct buffer *into);

/* Decodes the first message of `from`, whose key and payload then borrow from it, and sets
 * *ret_size to the bytes it took. ERR_INVALID (outputs untouched) when `from` does not hold a whole
 * message, a size is beyond its limit or sizes disagree. An unknown type is not an error here. */
int message_decode(struct bytes from, struct message *ret, size_t *ret_size);

#endif
