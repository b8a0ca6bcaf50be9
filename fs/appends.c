/* appends: what is to come at the end of a file of blocks that other mounts append to as well. */
#include "fs/appends.h"

#include "shared/err.h"

void appends_release(struct appends *appends) {
    buffer_release(&appends->pending);
    buffer_release(&appends->kept);
    buffer_release(&appends->moved);
    *appends = (struct appends){.n_unsure = 0};
}

bool appends_waiting(const struct appends *appends) {
    return appends->pending.size > 0 || appends->kept.size > 0;
}

void appends_drop_moved(const struct appends *appends, struct record *record) {
    size_t n = appends->moved.size;
    bool there = record->data_at == appends->moved_at && record->data.size >= n;
    if (n > 0 && there &&
        bytes_equal(bytes_of(record->data.data, n), buffer_bytes(&appends->moved))) {
        record_set_data(record, bytes_of(record->data.data + n, record->data.size - n));
        record->data_at = record->data.size > 0 ? record->data_at + n : 0;
    }
}

static void join_tail(struct record *record, struct bytes more) {
    struct buffer tail = {0};
    buffer_put_bytes(&tail, record->data);
    buffer_put_bytes(&tail, more);
    record->data_at = record->data.size > 0 ? record->data_at : record->size;
    record->size += more.size;
    record_set_data(record, buffer_bytes(&tail));
    buffer_release(&tail);
}

/* A writing of the record that was not answered took place. */
static bool took_place(const struct appends *appends, const struct record *record) {
    size_t n = appends->n_unsure;
    bool as_long = record->size == appends->unsure_end && record->data.size >= n &&
                   record->data_at + record->data.size == record->size;
    bool same = as_long && bytes_equal(bytes_of(record->data.data + record->data.size - n, n),
                                       bytes_of(appends->pending.data, n));
    return n > 0 && (same || record->mtime_ns == appends->unsure_ns);
}

int appends_put(const struct appends *appends, struct record *record, bool *ret_held,
                uint64_t *ret_at) {
    size_t there = took_place(appends, record) ? appends->n_unsure : 0;
    struct bytes more = bytes_of(appends->pending.data + there, appends->pending.size - there);
    bool at_end = record->data.size == 0 || record->data_at + record->data.size == record->size;
    bool in_tail = at_end && (there == 0 || record->data.size >= there);
    *ret_at = record->size - there;
    *ret_held = in_tail && record->data.size + more.size <= RECORD_INLINE_MAX;
    if (*ret_held && more.size > 0) {
        join_tail(record, more);
        return 0;
    }
    if (*ret_held) {
        return 0;
    }
    if (appends->pending.size <= RECORD_INLINE_MAX && there == 0) {
        return ERR_NOT_EMPTY;
    }
    record->size += more.size;
    return 0;
}

void appends_stored(struct appends *appends, bool held, uint64_t at) {
    if (!held && appends->pending.size > 0) {
        struct buffer spare = appends->kept;
        appends->kept = appends->pending;
        appends->kept_at = at;
        appends->pending = spare;
    }
    buffer_clear(&appends->pending);
    buffer_clear(&appends->moved);
    appends->n_unsure = 0;
    appends->unsure_ns = 0;
    appends->unsure_end = 0;
}
