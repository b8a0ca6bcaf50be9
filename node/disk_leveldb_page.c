/* disk_leveldb_page: the rows of a scan, values of segments among them. */
#include <stdlib.h>

#include "node/disk_leveldb_inside.h"

/* The next row of the page, whose key and value follow SEGMENT_HEAD_SIZE bytes of d->page that are
 * nobody's: as they lie in a segment. Only the sizes: the buffer may still move; page_point() sets
 * the addresses. */
static struct disk_row *page_row(struct disk_leveldb *d, uint32_t n, size_t key_size,
                                 size_t value_size) {
    if (n == d->page_capacity) {
        d->page_capacity = n ? n * 2 : 64;
        d->page_rows = memory_resize(d->page_rows, d->page_capacity * sizeof *d->page_rows);
    }
    struct disk_row *row = &d->page_rows[n];
    *row = (struct disk_row){.key.size = key_size, .value.size = value_size};
    return row;
}

static void page_put(struct disk_leveldb *d, uint32_t n, struct bytes key, struct bytes value,
                     uint64_t sum) {
    buffer_extend(&d->page, SEGMENT_HEAD_SIZE);
    buffer_put_bytes(&d->page, key);
    buffer_put_bytes(&d->page, value);
    page_row(d, n, key.size, value.size)->sum = sum;
}

static void page_put_unreadable(struct disk_leveldb *d, uint32_t n, struct bytes key) {
    static const uint8_t unreadable[1] = {0};
    page_put(d, n, key, bytes_of(unreadable, sizeof unreadable), 0);
    d->counters.corrupt++;
}

/* The record goes to its place on the page at once. */
static void page_read_record(struct disk_leveldb *d, uint32_t n, struct bytes key,
                             const struct segment_pointer *pointer) {
    struct bytes value;
    size_t at = d->page.size;
    uint8_t *room = buffer_extend(&d->page, segment_record_size(key.size, pointer->size));
    if (segment_store_read(d->segments, pointer, key, room, &value) != 0) {
        d->page.size = at;
        page_put_unreadable(d, n, key);
        return;
    }
    page_row(d, n, key.size, pointer->size)->sum = pointer->checksum;
}

static void page_put_delta(struct disk_leveldb *d, uint32_t n, struct bytes key,
                           const struct segment_pointer *base, const struct segment_delta *delta) {
    size_t at = d->page.size;
    buffer_extend(&d->page, SEGMENT_HEAD_SIZE);
    buffer_put_bytes(&d->page, key);
    uint8_t *room = buffer_extend(&d->page, delta->size);
    if (disk_leveldb_delta(d, key, base, delta, &d->record, room) != 0) {
        d->page.size = at;
        page_put_unreadable(d, n, key);
        return;
    }
    page_row(d, n, key.size, delta->size)->sum = delta->sum;
}

static void page_add(struct disk_leveldb *d, uint32_t n, struct bytes key, struct bytes stored,
                     bool sums_only) {
    static const struct bytes unread = {0};
    struct segment_pointer pointer;
    struct segment_delta delta = {0};
    struct bytes value = {0};
    int status = segment_value_decode(stored, &pointer, &value);
    bool is_delta = status == 0 && pointer.size > 0 && value.size > 0;
    if (status != 0 || (is_delta && segment_delta_decode(value, &delta) != 0)) {
        page_put_unreadable(d, n, key);
    } else if (is_delta && sums_only) {
        page_put(d, n, key, unread, delta.sum);
    } else if (is_delta) {
        page_put_delta(d, n, key, &pointer, &delta);
    } else if (pointer.size > 0 && !sums_only) {
        page_read_record(d, n, key, &pointer);
    } else {
        uint64_t sum = pointer.size > 0 ? pointer.checksum : disk_sum(key, value);
        page_put(d, n, key, sums_only ? unread : value, sum);
    }
}

static size_t value_size(struct bytes stored) {
    struct segment_pointer pointer;
    struct bytes value = {0};
    if (segment_value_decode(stored, &pointer, &value) != 0) {
        return 0;
    }
    if (pointer.size && value.size) {
        struct segment_delta delta;
        segment_delta_decode(value, &delta);
        return delta.size;
    }
    return pointer.size ? pointer.size : value.size;
}

static void page_point(struct disk_leveldb *d, uint32_t n) {
    const uint8_t *at = d->page.data;
    for (uint32_t i = 0; i < n; i++) {
        struct disk_row *row = &d->page_rows[i];
        row->key.data = at + SEGMENT_HEAD_SIZE;
        row->value.data = row->key.data + row->key.size;
        at = row->value.data + row->value.size;
    }
}

uint32_t disk_leveldb_page(struct disk_leveldb *d, const struct disk_scan *scan,
                           leveldb_iterator_t *at, bool *ret_more) {
    uint32_t n = 0;
    size_t values = 0;
    buffer_clear(&d->page);
    leveldb_iter_seek(at, (const char *)scan->first.data, scan->first.size);
    for (; leveldb_iter_valid(at); leveldb_iter_next(at)) {
        struct bytes key, value;
        key.data = (const uint8_t *)leveldb_iter_key(at, &key.size);
        if (bytes_compare(key, scan->before) >= 0) {
            break;
        }
        value.data = (const uint8_t *)leveldb_iter_value(at, &value.size);
        size_t size = value_size(value);
        if (n > 0 && (n >= scan->rows_max || values + size > scan->bytes_max)) {
            *ret_more = true;
            break;
        }
        page_add(d, n++, key, value, scan->sums_only);
        values += size;
    }
    page_point(d, n);
    return n;
}
