/* message: the fixed header, written and read at its offsets. */
#include "shared/message.h"

#include <assert.h>
#include <string.h>

#include "shared/err.h"

enum offset {
    AT_SIZE = 0,
    AT_TYPE = 4,
    AT_STATUS = 5,
    AT_FLAGS = 6,
    AT_ID = 8,
    AT_RING_VERSION = 16,
    AT_BUDGET_MS = 24,
    AT_SENDER = 28,
    AT_KEY_SIZE = 30,
    AT_PAYLOAD_SIZE = 32,
    AT_AGE_MS = 36,
    AT_STAMP_NS = 40,
};

static void store_u16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static uint16_t load_u16(const uint8_t *at) {
    return (uint16_t)(at[0] | at[1] << 8);
}

void message_encode(const struct message *message, struct buffer *into) {
    assert(message->key.size <= MESSAGE_KEY_MAX);
    assert(message->payload.size <= MESSAGE_PAYLOAD_MAX);
    uint32_t size = (uint32_t)(MESSAGE_HEADER_SIZE + message->key.size + message->payload.size);
    uint8_t *at = buffer_extend(into, size);
    bytes_store_u32(at + AT_SIZE, size);
    at[AT_TYPE] = message->type;
    at[AT_STATUS] = message->status;
    store_u16(at + AT_FLAGS, message->flags);
    bytes_store_u64(at + AT_ID, message->id);
    bytes_store_u64(at + AT_RING_VERSION, message->ring_version);
    bytes_store_u32(at + AT_BUDGET_MS, message->budget_ms);
    store_u16(at + AT_SENDER, message->sender);
    store_u16(at + AT_KEY_SIZE, (uint16_t)message->key.size);
    bytes_store_u32(at + AT_PAYLOAD_SIZE, (uint32_t)message->payload.size);
    bytes_store_u32(at + AT_AGE_MS, message->age_ms);
    bytes_store_u64(at + AT_STAMP_NS, message->stamp_ns);
    at += MESSAGE_HEADER_SIZE;
    if (message->key.size > 0) {
        memcpy(at, message->key.data, message->key.size);
        at += message->key.size;
    }
    if (message->payload.size > 0) {
        memcpy(at, message->payload.data, message->payload.size);
    }
}

int message_decode(struct bytes from, struct message *ret, size_t *ret_size) {
    if (from.size < MESSAGE_HEADER_SIZE) {
        return ERR_INVALID;
    }
    const uint8_t *at = from.data;
    size_t size = bytes_load_u32(at + AT_SIZE);
    size_t key_size = load_u16(at + AT_KEY_SIZE);
    size_t payload_size = bytes_load_u32(at + AT_PAYLOAD_SIZE);
    if (key_size > MESSAGE_KEY_MAX || payload_size > MESSAGE_PAYLOAD_MAX) {
        return ERR_INVALID;
    }
    if (size != MESSAGE_HEADER_SIZE + key_size + payload_size || size > from.size) {
        return ERR_INVALID;
    }
    *ret = (struct message){
        .type = at[AT_TYPE],
        .status = at[AT_STATUS],
        .flags = load_u16(at + AT_FLAGS),
        .id = bytes_load_u64(at + AT_ID),
        .ring_version = bytes_load_u64(at + AT_RING_VERSION),
        .budget_ms = bytes_load_u32(at + AT_BUDGET_MS),
        .sender = load_u16(at + AT_SENDER),
        .age_ms = bytes_load_u32(at + AT_AGE_MS),
        .stamp_ns = bytes_load_u64(at + AT_STAMP_NS),
        .key = bytes_of(at + MESSAGE_HEADER_SIZE, key_size),
        .payload = bytes_of(at + MESSAGE_HEADER_SIZE + key_size, payload_size),
    };
    *ret_size = size;
    return 0;
}
