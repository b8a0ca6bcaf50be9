#include "shared/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"

static _Noreturn void out_of_memory(size_t size) {
    fprintf(stderr, "ringfs: out of memory allocating %zu bytes, ending\n", size);
    abort();
}

void *memory_new(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (memory == NULL) {
        out_of_memory(count * size);
    }
    return memory;
}

void *memory_resize(void *old, size_t size) {
    void *memory = realloc(old, size > 0 ? size : 1);
    if (memory == NULL) {
        out_of_memory(size);
    }
    return memory;
}

struct bytes bytes_of_string(const char *text) {
    return bytes_of(text, strlen(text));
}

int bytes_compare(struct bytes a, struct bytes b) {
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool bytes_equal(struct bytes a, struct bytes b) {
    return a.size == b.size && bytes_compare(a, b) == 0;
}

uint8_t *bytes_store(uint8_t *at, struct bytes from) {
    if (from.size > 0) {
        memcpy(at, from.data, from.size);
    }
    return at + from.size;
}

struct bytes bytes_copy(struct bytes from) {
    uint8_t *copy = memory_resize(NULL, from.size + 1);
    if (from.size > 0) {
        memcpy(copy, from.data, from.size);
    }
    copy[from.size] = 0;
    return bytes_of(copy, from.size);
}

void buffer_reserve(struct buffer *b, size_t size) {
    if (b->capacity - b->size < size) {
        size_t capacity = b->capacity > 0 ? b->capacity : 128;
        while (capacity - b->size < size) {
            capacity *= 2;
        }
        b->data = memory_resize(b->data, capacity);
        b->capacity = capacity;
    }
}

uint8_t *buffer_extend(struct buffer *b, size_t size) {
    buffer_reserve(b, size);
    if (b->data == NULL) {
        return NULL; /* no bytes at the end of none */
    }
    b->size += size;
    return b->data + b->size - size;
}

void buffer_put(struct buffer *b, const void *data, size_t size) {
    if (size > 0) {
        memcpy(buffer_extend(b, size), data, size);
    }
}

void buffer_put_bytes(struct buffer *b, struct bytes bytes) {
    buffer_put(b, bytes.data, bytes.size);
}

static void store(uint8_t *at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t load(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

void buffer_put_u8(struct buffer *b, uint8_t value) {
    *buffer_extend(b, 1) = value;
}

void buffer_put_u16(struct buffer *b, uint16_t value) {
    store(buffer_extend(b, 2), value, 2);
}

void buffer_put_u32(struct buffer *b, uint32_t value) {
    store(buffer_extend(b, 4), value, 4);
}

void buffer_put_u64(struct buffer *b, uint64_t value) {
    store(buffer_extend(b, 8), value, 8);
}

void buffer_put_sized8(struct buffer *b, struct bytes bytes) {
    assert(bytes.size <= UINT8_MAX);
    buffer_put_u8(b, (uint8_t)bytes.size);
    buffer_put_bytes(b, bytes);
}

void buffer_put_sized16(struct buffer *b, struct bytes bytes) {
    assert(bytes.size <= UINT16_MAX);
    buffer_put_u16(b, (uint16_t)bytes.size);
    buffer_put_bytes(b, bytes);
}

void buffer_put_sized32(struct buffer *b, struct bytes bytes) {
    assert(bytes.size <= UINT32_MAX);
    buffer_put_u32(b, (uint32_t)bytes.size);
    buffer_put_bytes(b, bytes);
}

void buffer_patch_u32(struct buffer *b, size_t offset, uint32_t value) {
    assert(offset + 4 <= b->size);
    store(b->data + offset, value, 4);
}

void buffer_clear(struct buffer *b) {
    b->size = 0;
}

void buffer_release(struct buffer *b) {
    free(b->data);
    *b = (struct buffer){0};
}

/* The next `size` bytes, or NULL (and `bad`) when there are fewer. */
static const uint8_t *take(struct reader *r, size_t size) {
    if (r->left < size) {
        r->bad = true;
        r->left = 0;
        return NULL;
    }
    const uint8_t *at = r->at;
    if (size > 0) {
        r->at += size;
    }
    r->left -= size;
    return at;
}

static uint64_t take_integer(struct reader *r, size_t size) {
    const uint8_t *at = take(r, size);
    return at != NULL ? load(at, size) : 0;
}

uint8_t reader_u8(struct reader *r) {
    return (uint8_t)take_integer(r, 1);
}

uint16_t reader_u16(struct reader *r) {
    return (uint16_t)take_integer(r, 2);
}

uint32_t reader_u32(struct reader *r) {
    return (uint32_t)take_integer(r, 4);
}

uint64_t reader_u64(struct reader *r) {
    return take_integer(r, 8);
}

struct bytes reader_bytes(struct reader *r, size_t size) {
    const uint8_t *at = take(r, size);
    return at != NULL ? bytes_of(at, size) : bytes_of(NULL, 0);
}

struct bytes reader_sized8(struct reader *r) {
    return reader_bytes(r, reader_u8(r));
}

struct bytes reader_sized16(struct reader *r) {
    return reader_bytes(r, reader_u16(r));
}

struct bytes reader_sized32(struct reader *r) {
    return reader_bytes(r, reader_u32(r));
}

struct bytes reader_rest(struct reader *r) {
    return reader_bytes(r, r->left);
}

int reader_end(const struct reader *r) {
    return r->bad || r->left > 0 ? ERR_INVALID : 0;
}

uint32_t bytes_load_u32(const uint8_t *at) {
    return (uint32_t)load(at, 4);
}

uint64_t bytes_load_u64(const uint8_t *at) {
    return load(at, 8);
}

void bytes_store_u32(uint8_t *at, uint32_t value) {
    store(at, value, 4);
}

void bytes_store_u64(uint8_t *at, uint64_t value) {
    store(at, value, 8);
}
