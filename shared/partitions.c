/* partitions: the payloads of PARTITIONS, to bytes and back. */
#include "shared/partitions.h"

#include <assert.h>

#include "shared/err.h"

void partitions_request_encode(const struct partitions_request *request, struct buffer *into) {
    buffer_put_u16(into, request->slice);
    buffer_put_u8(into, request->key_size);
    buffer_put_u32(into, request->n_max);
    buffer_put_sized8(into, request->after);
}

int partitions_request_decode(struct bytes payload, uint16_t n_slices,
                              struct partitions_request *ret) {
    struct reader r = reader_of(payload);
    struct partitions_request request;
    request.slice = reader_u16(&r);
    request.key_size = reader_u8(&r);
    request.n_max = reader_u32(&r);
    request.after = reader_sized8(&r);
    if (reader_end(&r) != 0 || request.slice >= n_slices) {
        return ERR_INVALID;
    }
    if (request.n_max == 0 || request.n_max > PARTITIONS_PAGE_MAX) {
        return ERR_TOO_BIG;
    }
    *ret = request;
    return 0;
}

int partition_key_compare(struct bytes a, struct bytes b) {
    return a.size != b.size ? (a.size < b.size ? -1 : 1) : bytes_compare(a, b);
}

void partition_tally_encode(const struct partition_tally *partition, struct buffer *into) {
    buffer_put_sized8(into, partition->key);
    buffer_put_u64(into, partition->tally.n_live);
    buffer_put_u64(into, partition->tally.changed_ns);
}

static struct partition_tally take(struct reader *r) {
    struct partition_tally partition;
    partition.key = reader_sized8(r);
    partition.tally.n_live = reader_u64(r);
    partition.tally.changed_ns = reader_u64(r);
    return partition;
}

bool partitions_next(struct bytes *listed, struct partition_tally *ret) {
    if (listed->size == 0) {
        return false;
    }
    struct reader r = reader_of(*listed);
    *ret = take(&r);
    assert(!r.bad);
    *listed = reader_rest(&r);
    return true;
}

void partitions_page_encode(const struct partitions_page *page, struct buffer *into) {
    buffer_put_u8(into, page->more ? 1 : 0);
    buffer_put_u32(into, page->n);
    buffer_put_bytes(into, page->listed);
}

int partitions_page_decode(struct bytes payload, struct partitions_page *ret) {
    struct reader r = reader_of(payload);
    uint8_t more = reader_u8(&r);
    uint32_t n = reader_u32(&r);
    struct partitions_page page = {.more = more == 1, .n = n};
    struct bytes before = {0};
    page.listed = reader_rest(&r);
    if (r.bad || more > 1 || n > PARTITIONS_PAGE_MAX || (page.more && n == 0)) {
        return ERR_INVALID;
    }
    r = reader_of(page.listed);
    for (uint32_t i = 0; i < n && !r.bad; i++) {
        struct partition_tally partition = take(&r);
        if (r.bad || (i > 0 && partition_key_compare(before, partition.key) >= 0)) {
            return ERR_INVALID;
        }
        before = partition.key;
    }
    if (reader_end(&r) != 0) {
        return ERR_INVALID;
    }
    *ret = page;
    return 0;
}
