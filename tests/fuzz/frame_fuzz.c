/* frame_fuzz: any bytes as a frame, and as the messages of one whose header is in order.
 *
 * Input: a frame; and on its own, a count (16 bits) and that many messages, or what claims to be.
 * Promises: what opens is walked to its end within the input, no more messages come out than were
 * announced, and what was announced and did not come is counted. */
#include <stdlib.h>
#include <string.h>

#include "shared/frame.h"
#include "tests/fuzz/fuzz.h"

const uint32_t fuzz_rounds = 300000;

static const struct seal_key KEY = {{0x42}};

static void walk(struct frame *frame, const uint8_t *end) {
    struct message message;
    uint32_t n = 0;
    while (frame_next(frame, &message)) {
        n++;
        FUZZ_CHECK(message.payload.size == 0 || message.payload.data + message.payload.size <= end);
    }
    FUZZ_CHECK(n <= frame->header.count);
    FUZZ_CHECK(n + frame->n_bad >= frame->header.count);
    FUZZ_CHECK(n + frame->n_bad <= frame->header.count + 1u);
    FUZZ_CHECK(!frame_next(frame, &message));
}

static void try_frame(const uint8_t *data, size_t size, const struct seal_key *key) {
    uint8_t *copy = memory_new(1, size + 1);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    struct frame frame;
    if (frame_open(copy, size, key, &frame) == 0) {
        walk(&frame, copy + size);
    }
    free(copy);
}

static void try_messages(uint16_t count, struct bytes messages, const struct seal_key *key) {
    struct frame_header header = {.count = count, .session = 1, .sequence = 1};
    size_t size = frame_size(messages.size, key != NULL);
    uint8_t *bytes = memory_new(1, size);
    frame_close(&header, key, messages, bytes);
    struct frame frame;
    FUZZ_CHECK(frame_open(bytes, size, key, &frame) == 0);
    walk(&frame, bytes + size);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_frame(data, size, NULL);
    try_frame(data, size, &KEY);
    if (size > 2 && size < FRAME_SIZE_MAX / 2) {
        uint16_t count = (uint16_t)(data[0] | data[1] << 8);
        try_messages(count, bytes_of(data + 2, size - 2), NULL);
    }
    return 0;
}

/* ---- seeds: three messages, in a frame and alone ---- */

int fuzz_seed(uint32_t n, struct buffer *into) {
    if (n >= 3) {
        return 0;
    }
    struct buffer messages = {0};
    for (uint64_t i = 0; i < 3; i++) {
        struct message message = {.type = MESSAGE_PING, .id = i};
        message.payload = bytes_of_string("payload");
        message_encode(&message, &messages);
    }
    if (n == 2) {
        buffer_put_u16(into, 3);
        buffer_put_bytes(into, buffer_bytes(&messages));
    } else {
        const struct seal_key *key = n == 0 ? NULL : &KEY;
        struct frame_header header = {.count = 3, .session = 1, .sequence = 1};
        uint8_t *at = buffer_extend(into, frame_size(messages.size, key != NULL));
        frame_close(&header, key, buffer_bytes(&messages), at);
    }
    buffer_release(&messages);
    return 1;
}
