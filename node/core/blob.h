/* blob: a value as it lies on the disk, shared by those who read, write and send it. */
#ifndef RINGFS_NODE_CORE_BLOB_H
#define RINGFS_NODE_CORE_BLOB_H

#include "shared/bytes.h"

/* Layout: the bytes, then their XXH3-64 checksum (8 bytes, little-endian). Never changed once made;
 * counted references, one thread. NULL stands for a row that does not exist. */
enum { BLOB_CHECKSUM_SIZE = 8 };

struct blob {
    uint32_t refs;
    size_t size; /* without the checksum */
    uint8_t data[];
};

/* A copy of `bytes` with its checksum, one reference; NULL when `bytes` is empty. */
struct blob *blob_new(struct bytes bytes);
/* From what the disk returned. ERR_CORRUPT when the checksum is wrong; no bytes = NULL and 0. */
int blob_load(struct bytes stored, struct blob **ret);
struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob);

/* The bytes, and the bytes with the checksum; both empty for NULL. Borrowed. */
struct bytes blob_bytes(const struct blob *blob);
struct bytes blob_stored(const struct blob *blob);
/* Checks what the disk returned in place; *ret borrows from it. 0 or ERR_CORRUPT. */
int blob_check(struct bytes stored, struct bytes *ret);

#endif
