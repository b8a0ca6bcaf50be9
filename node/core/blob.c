/* blob: a value as it lies on the disk, shared by those who read, write and send it. */
#include "node/core/blob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "shared/err.h"

/* Without its checksum. */
static struct blob *blob_copy(struct bytes bytes) {
    struct blob *blob = memory_resize(NULL, sizeof *blob + bytes.size + BLOB_CHECKSUM_SIZE);
    blob->refs = 1;
    blob->size = bytes.size;
    memcpy(blob->data, bytes.data, bytes.size);
    return blob;
}

struct blob *blob_new(struct bytes bytes) {
    if (bytes.size == 0) {
        return NULL;
    }
    struct blob *blob = blob_copy(bytes);
    bytes_store_u64(blob->data + bytes.size, XXH3_64bits(bytes.data, bytes.size));
    return blob;
}

int blob_check(struct bytes stored, struct bytes *ret) {
    if (stored.size <= BLOB_CHECKSUM_SIZE) {
        return ERR_CORRUPT;
    }
    size_t size = stored.size - BLOB_CHECKSUM_SIZE;
    if (XXH3_64bits(stored.data, size) != bytes_load_u64(stored.data + size)) {
        return ERR_CORRUPT;
    }
    *ret = bytes_of(stored.data, size);
    return 0;
}

int blob_load(struct bytes stored, struct blob **ret) {
    struct bytes bytes = {0};
    int err = stored.size > 0 ? blob_check(stored, &bytes) : 0;
    *ret = NULL;
    if (err == 0 && stored.size > 0) {
        *ret = blob_copy(bytes);
        memcpy((*ret)->data + bytes.size, bytes.data + bytes.size, BLOB_CHECKSUM_SIZE); /* sound */
    }
    return err;
}

struct blob *blob_ref(struct blob *blob) {
    if (blob != NULL) {
        blob->refs++;
    }
    return blob;
}

void blob_unref(struct blob *blob) {
    if (blob != NULL) {
        assert(blob->refs > 0);
        if (--blob->refs == 0) {
            free(blob);
        }
    }
}

struct bytes blob_bytes(const struct blob *blob) {
    return blob != NULL ? bytes_of(blob->data, blob->size) : bytes_of(NULL, 0);
}

struct bytes blob_stored(const struct blob *blob) {
    return blob != NULL ? bytes_of(blob->data, blob->size + BLOB_CHECKSUM_SIZE) : bytes_of(NULL, 0);
}
