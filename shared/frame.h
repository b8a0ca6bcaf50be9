/* frame: what travels as one nanomsg message: a header and many messages back to back. */
#ifndef RINGFS_SHARED_FRAME_H
#define RINGFS_SHARED_FRAME_H

#include <stdbool.h>

#include "shared/bytes.h"
#include "shared/message.h"
#include "shared/seal.h"

/* Layout (little-endian):
 *
 *   offset size field
 *        0    4 magic     "RNGF"
 *        4    1 version   1
 *        5    1 flags     1 = sealed; every other bit 0
 *        6    2 count     of messages
 *        8    4 size      of the whole frame, header included
 *       12    2 sender    node id, 0 = a client
 *       14    2 reserved  0
 *       16    8 session   random, of the sending process
 *       24    8 sequence  of the session, from 1
 *       32    8 check     plain frames: XXH3-64 of the messages, seeded with XXH3-64 of bytes 0..31
 *                         sealed frames: the sender's time of day, ns since 1970 (the seal's tag
 *                         stands in for a checksum, and covers the header too)
 *       40    - messages (message.h); in sealed frames within a seal (seal.h)
 *
 * A frame leads to its messages only when all of it is in order; a message in it that is not costs
 * none of the others as long as its size field can be believed. */
enum {
    FRAME_HEADER_SIZE = 40,
    FRAME_VERSION = 1,
    FRAME_SEALED = 1,
    FRAME_MESSAGES_MAX = UINT16_MAX,
    FRAME_SIZE_MAX = FRAME_HEADER_SIZE + SEAL_OVERHEAD + MESSAGE_SIZE_MAX,
};

/* What a sender puts into the header; size, flags and check are added by frame_close(). */
struct frame_header {
    uint16_t sender;
    uint16_t count;
    uint64_t session;
    uint64_t sequence;
    uint64_t stamp_ns; /* time of day; in sealed frames only, else 0 */
};

/* A frame that was opened, and the place in it. */
struct frame {
    struct frame_header header;
    struct reader messages;
    uint32_t n_left; /* messages not yet read, by the header's count */
    uint32_t n_bad;  /* skipped so far: not decodable, or missing */
};

/* What a frame with messages of `messages_size` bytes in all measures. */
size_t frame_size(size_t messages_size, bool sealed);
/* Where in a frame its messages begin. */
size_t frame_messages_offset(bool sealed);

/* Writes the frame to `ret`, frame_size() bytes; sealed when there is a key. The messages are
 * copied from `messages`, or stand at ret + frame_messages_offset() already. */
void frame_close(const struct frame_header *header, const struct seal_key *key,
                 struct bytes messages, uint8_t *ret);

/* Checks a frame and, with a key, opens its seal in place; messages then borrow from it.
 * ERR_INVALID (magic, version, size), ERR_CORRUPT (checksum), ERR_AUTH (no seal where one is
 * needed, a seal where none is expected, or another key's). Untouched outputs on failure. */
int frame_open(uint8_t *frame, size_t size, const struct seal_key *key, struct frame *ret);
/* The next message, borrowed; false at the end. Skips and counts what is malformed. */
bool frame_next(struct frame *frame, struct message *ret);

#endif
