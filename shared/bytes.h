/* bytes: a borrowed run of bytes, the growable buffer, and the bounded little-endian reader. */
#ifndef RINGFS_SHARED_BYTES_H
#define RINGFS_SHARED_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of bytes that somebody else owns. `data` may be NULL when `size` is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

/* A growable run of bytes that it owns. Growth never fails: what is appended is bounded by the
 * named limits of message.h before it gets here, so running out of memory ends the process with a
 * sentence. Zero-initialized (`struct buffer b = {0}`) is an empty buffer. */
struct buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* Reads little-endian fields from borrowed bytes. A read past the end sets `bad`, yields zeros and
 * consumes the rest, so that a decoder checks once, at the end, with reader_end(). */
struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

/* Wraps memory or a C string; the caller keeps owning it. */
static inline struct bytes bytes_of(const void *data, size_t size) {
    return (struct bytes){(const uint8_t *)data, size};
}
struct bytes bytes_of_string(const char *text);

/* memcmp order, a shorter run first when one is a prefix of the other. Negative, 0, positive. */
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_equal(struct bytes a, struct bytes b);

/* A copy on the heap with a terminating NUL after `size` bytes (so that text can be printed); the
 * caller frees .data with free(). */
struct bytes bytes_copy(struct bytes from);
/* Writes them to `at`, where there is room; the first byte after them. Empty ones may be NULL. */
uint8_t *bytes_store(uint8_t *at, struct bytes from);

/* Appends. The integers are little-endian. buffer_put_sized8/16/32 append the size as that many
 * bits and then the bytes; the size must fit (asserted: callers check their limits first). */
void buffer_put(struct buffer *b, const void *data, size_t size);
void buffer_put_bytes(struct buffer *b, struct bytes bytes);
void buffer_put_u8(struct buffer *b, uint8_t value);
void buffer_put_u16(struct buffer *b, uint16_t value);
void buffer_put_u32(struct buffer *b, uint32_t value);
void buffer_put_u64(struct buffer *b, uint64_t value);
void buffer_put_sized8(struct buffer *b, struct bytes bytes);
void buffer_put_sized16(struct buffer *b, struct bytes bytes);
void buffer_put_sized32(struct buffer *b, struct bytes bytes);

/* Makes room for `size` more bytes, counts them as appended, and returns where they start (not
 * initialized; NULL when there is none). The pointer is good until the next append. */
uint8_t *buffer_extend(struct buffer *b, size_t size);

/* Makes room for `size` more bytes, so that appending them piece by piece moves nothing. */
void buffer_reserve(struct buffer *b, size_t size);

/* Overwrites four bytes already appended at `offset` (a size or count known only later). */
void buffer_patch_u32(struct buffer *b, size_t offset, uint32_t value);

/* Empties the buffer, keeps its memory. */
void buffer_clear(struct buffer *b);

/* Frees the memory; the buffer is empty and usable afterwards. */
void buffer_release(struct buffer *b);

/* What is in the buffer; good until the next append. */
static inline struct bytes buffer_bytes(const struct buffer *b) {
    return (struct bytes){b->data, b->size};
}

static inline struct reader reader_of(struct bytes bytes) {
    return (struct reader){bytes.data, bytes.size, false};
}
/* The next little-endian integer; 0 (and `bad`) behind the end. */
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
/* The next `size` bytes, borrowed from the source. */
struct bytes reader_bytes(struct reader *r, size_t size);
struct bytes reader_sized8(struct reader *r);
struct bytes reader_sized16(struct reader *r);
struct bytes reader_sized32(struct reader *r);
/* What is left, borrowed; consumes it. */
struct bytes reader_rest(struct reader *r);
/* 0 when everything was read and nothing is left; else ERR_INVALID. */
int reader_end(const struct reader *r);

/* Fixed-offset little-endian access for on-wire and on-disk headers. */
uint32_t bytes_load_u32(const uint8_t *at);
uint64_t bytes_load_u64(const uint8_t *at);
void bytes_store_u32(uint8_t *at, uint32_t value);
void bytes_store_u64(uint8_t *at, uint64_t value);

/* malloc and friends for small fixed-size or already bounded memory: never NULL; running out ends
 * the process with a sentence on stderr. memory_new() is zeroed. */
void *memory_new(size_t count, size_t size);
void *memory_resize(void *old, size_t size);

#endif
