/* frame: the header written and read at its offsets, checksum or seal, and the walk. */
#include "shared/frame.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "shared/err.h"

enum offset {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_FLAGS = 5,
    AT_COUNT = 6,
    AT_SIZE = 8,
    AT_SENDER = 12,
    AT_RESERVED = 14,
    AT_SESSION = 16,
    AT_SEQUENCE = 24,
    AT_CHECK = 32,
};

static const uint8_t MAGIC[4] = {'R', 'N', 'G', 'F'};

static void store_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static uint16_t load_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint64_t checksum(const uint8_t *header, struct bytes messages) {
    return XXH3_64bits_withSeed(messages.data, messages.size, XXH3_64bits(header, AT_CHECK));
}

size_t frame_size(size_t messages_size, bool sealed) {
    return FRAME_HEADER_SIZE + messages_size + (sealed ? SEAL_OVERHEAD : 0);
}

size_t frame_messages_offset(bool sealed) {
    return FRAME_HEADER_SIZE + (sealed ? SEAL_NONCE_SIZE : 0);
}

void frame_close(const struct frame_header *header, const struct seal_key *key,
                 struct bytes messages, uint8_t *ret) {
    size_t size = frame_size(messages.size, key != NULL);
    assert(size <= FRAME_SIZE_MAX);
    assert(messages.size > 0);
    memcpy(ret + AT_MAGIC, MAGIC, sizeof(MAGIC));
    ret[AT_VERSION] = FRAME_VERSION;
    ret[AT_FLAGS] = key == NULL ? 0 : FRAME_SEALED;
    store_u16(ret + AT_COUNT, header->count);
    bytes_store_u32(ret + AT_SIZE, (uint32_t)size);
    store_u16(ret + AT_SENDER, header->sender);
    store_u16(ret + AT_RESERVED, 0);
    bytes_store_u64(ret + AT_SESSION, header->session);
    bytes_store_u64(ret + AT_SEQUENCE, header->sequence);
    if (key != NULL) {
        bytes_store_u64(ret + AT_CHECK, header->stamp_ns);
        seal_close(key, bytes_of(ret, FRAME_HEADER_SIZE), messages, ret + FRAME_HEADER_SIZE);
        return;
    }
    bytes_store_u64(ret + AT_CHECK, checksum(ret, messages));
    if (messages.data != ret + FRAME_HEADER_SIZE) {
        memcpy(ret + FRAME_HEADER_SIZE, messages.data, messages.size);
    }
}

static bool header_in_order(const uint8_t *frame, size_t size) {
    return size > FRAME_HEADER_SIZE && memcmp(frame + AT_MAGIC, MAGIC, sizeof(MAGIC)) == 0 &&
           frame[AT_VERSION] == FRAME_VERSION && (frame[AT_FLAGS] & ~FRAME_SEALED) == 0 &&
           bytes_load_u32(frame + AT_SIZE) == size && load_u16(frame + AT_RESERVED) == 0;
}

int frame_open(uint8_t *frame, size_t size, const struct seal_key *key, struct frame *ret) {
    if (!header_in_order(frame, size)) {
        return ERR_INVALID;
    }
    bool sealed = (frame[AT_FLAGS] & FRAME_SEALED) != 0;
    if (sealed != (key != NULL)) {
        return ERR_AUTH;
    }
    struct bytes messages = bytes_of(frame + FRAME_HEADER_SIZE, size - FRAME_HEADER_SIZE);
    uint64_t check = bytes_load_u64(frame + AT_CHECK);
    if (!sealed) {
        if (checksum(frame, messages) != check) {
            return ERR_CORRUPT;
        }
    } else if (seal_open(key, bytes_of(frame, FRAME_HEADER_SIZE), frame + FRAME_HEADER_SIZE,
                         messages.size, &messages) != 0) {
        return ERR_AUTH;
    }
    *ret = (struct frame){
        .header =
            {
                .sender = load_u16(frame + AT_SENDER),
                .count = load_u16(frame + AT_COUNT),
                .session = bytes_load_u64(frame + AT_SESSION),
                .sequence = bytes_load_u64(frame + AT_SEQUENCE),
                .stamp_ns = sealed ? check : 0,
            },
        .messages = reader_of(messages),
        .n_left = load_u16(frame + AT_COUNT),
    };
    return 0;
}

bool frame_next(struct frame *frame, struct message *ret) {
    while (frame->n_left > 0) {
        struct reader *left = &frame->messages;
        size_t size = left->left < 4 ? 0 : bytes_load_u32(left->at);
        if (size < MESSAGE_HEADER_SIZE || size > left->left) {
            break; /* where the next one would begin cannot be known */
        }
        struct bytes one = reader_bytes(left, size);
        frame->n_left--;
        size_t taken;
        if (message_decode(one, ret, &taken) == 0) {
            return true;
        }
        frame->n_bad++;
    }
    /* What the header announced and is not there, or is there and was not announced. */
    frame->n_bad += frame->n_left > 0 ? frame->n_left : frame->messages.left > 0;
    frame->n_left = 0;
    frame->messages = reader_of(bytes_of(NULL, 0));
    return false;
}
