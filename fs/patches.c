/* patches: changes of a small file's contents, kept so that they can be applied again to a newer
 * version. */
#include "fs/patches.h"

#include <assert.h>
#include <string.h>

#include "shared/err.h"

void patches_release(struct patches *patches) {
    buffer_release(&patches->list);
}

void patches_clear(struct patches *patches) {
    buffer_clear(&patches->list);
}

void patches_add(struct patches *patches, const struct patch *patch) {
    buffer_put_u8(&patches->list, (uint8_t)patch->kind);
    buffer_put_u64(&patches->list, patch->offset);
    buffer_put_sized32(&patches->list, patch->data);
}

struct reader patches_begin(const struct patches *patches) {
    return reader_of(buffer_bytes(&patches->list));
}

bool patches_next(struct reader *reader, struct patch *ret) {
    if (reader->left == 0) {
        return false;
    }
    ret->kind = reader_u8(reader);
    ret->offset = reader_u64(reader);
    ret->data = reader_sized32(reader);
    assert(!reader->bad);
    return true;
}

uint64_t patch_end(const struct patch *patch, uint64_t size) {
    if (patch->kind == PATCH_TRUNCATE) {
        return patch->offset;
    }
    uint64_t offset = patch->kind == PATCH_APPEND ? size : patch->offset;
    return offset + patch->data.size;
}

static void resize(struct buffer *contents, size_t size) {
    if (size > contents->size) {
        size_t more = size - contents->size;
        memset(buffer_extend(contents, more), 0, more);
    }
    contents->size = size;
}

int patch_apply(const struct patch *patch, struct buffer *contents, size_t size_max) {
    uint64_t end = patch_end(patch, contents->size);
    if (end > size_max) {
        return ERR_TOO_BIG;
    }
    if (patch->kind == PATCH_TRUNCATE) {
        resize(contents, (size_t)end);
        return 0;
    }
    if (end > contents->size) {
        resize(contents, (size_t)end);
    }
    if (patch->data.size > 0) {
        memcpy(contents->data + end - patch->data.size, patch->data.data, patch->data.size);
    }
    return 0;
}

int patches_apply(const struct patches *patches, struct buffer *contents, size_t size_max) {
    struct reader reader = patches_begin(patches);
    struct patch patch;
    while (patches_next(&reader, &patch)) {
        int status = patch_apply(&patch, contents, size_max);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}
