/* transport_nanomsg_parcel: frames, made of messages where nanomsg will send them from. */
#include "shared/transport_nanomsg.h"

#include <assert.h>
#include <nanomsg/nn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t message_size(const struct message *message) {
    return MESSAGE_HEADER_SIZE + message->key.size + message->payload.size;
}

/* Makes room for a frame behind a prefix; where its messages go is in *ret_messages. */
static struct parcel parcel_new(size_t messages_size, const struct seal_key *key, size_t prefix,
                                uint8_t **ret_messages) {
    struct parcel parcel = {.size = prefix + frame_size(messages_size, key != NULL)};
    parcel.chunk = nn_allocmsg(parcel.size, 0);
    if (parcel.chunk == NULL) {
        fprintf(stderr, "ringfs: out of memory for a frame of %zu bytes\n", parcel.size);
        exit(1);
    }
    *ret_messages = (uint8_t *)parcel.chunk + prefix + frame_messages_offset(key != NULL);
    return parcel;
}

static void parcel_close(struct transport *transport, struct parcel parcel, uint32_t count,
                         const struct seal_key *key, struct bytes messages) {
    struct frame_header header = {
        .sender = transport->config.self_node,
        .count = (uint16_t)count,
        .session = transport->session,
        .sequence = ++transport->sequence,
        .stamp_ns = key == NULL ? 0 : env_system_wall_ns(NULL),
    };
    size_t prefix = parcel.size - frame_size(messages.size, key != NULL);
    if (prefix == REQUEST_ID_SIZE) {
        /* The same for all: answers are told apart by what is in them, and so all frames of a
         * connection give the node one and the same route. */
        memcpy(parcel.chunk, "\x80\0\0\1", REQUEST_ID_SIZE);
    }
    frame_close(&header, key, messages, (uint8_t *)parcel.chunk + prefix);
    transport->counters.messages_out += count;
}

struct parcel parcel_of_draft(struct transport *transport, struct draft *draft,
                              const struct seal_key *key, size_t prefix) {
    assert(draft->count > 0 && draft->count <= FRAME_MESSAGES_MAX);
    uint8_t *place;
    struct bytes messages = buffer_bytes(&draft->messages);
    struct parcel parcel = parcel_new(messages.size, key, prefix, &place);
    parcel_close(transport, parcel, draft->count, key, messages);
    buffer_clear(&draft->messages);
    draft->count = 0;
    return parcel;
}

struct parcel parcel_of_message(struct transport *transport, const struct message *message,
                                const struct seal_key *key, size_t prefix) {
    uint8_t *place;
    size_t size = message_size(message);
    struct parcel parcel = parcel_new(size, key, prefix, &place);
    struct buffer fixed = {.data = place, .capacity = size};
    message_encode(message, &fixed);
    assert(fixed.data == place && fixed.size == size);
    parcel_close(transport, parcel, 1, key, buffer_bytes(&fixed));
    return parcel;
}

void draft_add(struct draft *draft, const struct message *message) {
    message_encode(message, &draft->messages);
    draft->count++;
}

bool draft_is_full(const struct draft *draft) {
    return draft->messages.size >= TRANSPORT_FRAME_FLUSH;
}
