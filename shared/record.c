/* record: the codecs of records and directory headers. */
#include "shared/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"

enum {
    RECORD_VERSION = 1,
    HEADER_VERSION = 1,
    HEADER_VERSION_XATTRS = 2, /* has extended attributes, at least one */

    RECORD_MOVING = 1, /* flags */
    RECORD_ARRIVED = 2,
    RECORD_FLAGS = RECORD_MOVING | RECORD_ARRIVED,
};

bool id128_equal(const struct id128 *a, const struct id128 *b) {
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool id128_is_zero(const struct id128 *id) {
    static const struct id128 zero;
    return id128_equal(id, &zero);
}

int name_check(const char *name) {
    size_t size = strnlen(name, NAME_SIZE_MAX + 1);
    if (size > NAME_SIZE_MAX) {
        return ERR_NAME_TOO_LONG;
    }
    if (size == 0 || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return ERR_INVALID;
    }
    return 0;
}

/* ---- fields that both codecs use ---- */

static void put_id(struct buffer *into, const struct id128 *id) {
    buffer_put(into, id->bytes, sizeof id->bytes);
}

static struct id128 read_id(struct reader *r) {
    struct id128 id = {{0}};
    struct bytes raw = reader_bytes(r, sizeof id.bytes);
    if (raw.size == sizeof id.bytes) {
        memcpy(id.bytes, raw.data, raw.size);
    }
    return id;
}

static void put_name(struct buffer *into, const char *name) {
    buffer_put_sized8(into, bytes_of_string(name));
}

/* ERR_INVALID unless it is a name, or empty where that may be. */
static int read_name(struct reader *r, bool may_be_empty, char ret[NAME_SIZE_MAX + 1]) {
    struct bytes raw = reader_sized8(r);
    if (raw.size > 0 && memchr(raw.data, 0, raw.size)) {
        return ERR_INVALID;
    }
    if (raw.size > 0) {
        memcpy(ret, raw.data, raw.size);
    }
    ret[raw.size] = 0;
    if (raw.size == 0) {
        return may_be_empty ? 0 : ERR_INVALID;
    }
    return name_check(ret) == 0 ? 0 : ERR_INVALID;
}

/* ---- record ---- */

static bool type_known(uint32_t mode) {
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
           S_ISFIFO(mode) || S_ISSOCK(mode);
}

int record_check(const struct record *record) {
    if (!type_known(record->mode) || record->mode > 0177777 || record->size > INT64_MAX ||
        record->xattrs.size > RECORD_XATTRS_MAX || record->data.size > record->size ||
        record->n_lineage > RECORD_LINEAGE_MAX) {
        return ERR_INVALID;
    }
    if (S_ISLNK(record->mode)) {
        bool whole = record->data.size == record->size;
        return whole && record->size >= 1 && record->size <= RECORD_TARGET_MAX ? 0 : ERR_INVALID;
    }
    if (S_ISREG(record->mode) && record->contents_kind == CONTENTS_INLINE) {
        return record->data.size <= RECORD_INLINE_MAX ? 0 : ERR_INVALID;
    }
    if (S_ISDIR(record->mode) && id128_is_zero(&record->directory)) {
        return ERR_INVALID;
    }
    return record->data.size == 0 ? 0 : ERR_INVALID;
}

void record_encode(const struct record *record, struct buffer *into) {
    assert(record_check(record) == 0);
    bool arrived = !id128_is_zero(&record->arrival.txid);
    buffer_put_u8(into, RECORD_VERSION);
    buffer_put_u8(into, (uint8_t)((record->move.under_way ? RECORD_MOVING : 0) |
                                  (arrived ? RECORD_ARRIVED : 0)));
    buffer_put_u8(into, (uint8_t)record->contents_kind);
    buffer_put_u8(into, record->n_lineage);
    buffer_put_u32(into, record->mode);
    buffer_put_u32(into, record->uid);
    buffer_put_u32(into, record->gid);
    buffer_put_u64(into, record->file_id);
    buffer_put_u64(into, (uint64_t)record->atime_ns);
    buffer_put_u64(into, (uint64_t)record->mtime_ns);
    buffer_put_u64(into, (uint64_t)record->ctime_ns);
    buffer_put_u64(into, record->size);
    buffer_put_u64(into, record->rdev);
    /* A directory has no contents, and nothing else has entries: one field for both ids. */
    put_id(into, S_ISDIR(record->mode) ? &record->directory : &record->contents);
    buffer_put_sized32(into, record->data);
    buffer_put_sized32(into, record->xattrs);
    for (uint8_t i = 0; i < record->n_lineage; i++) {
        buffer_put_u64(into, record->lineage[i]);
    }
    if (arrived) {
        put_id(into, &record->arrival.txid);
        put_id(into, &record->arrival.from_directory);
        put_name(into, record->arrival.from_name);
    }
    if (record->move.under_way) {
        put_id(into, &record->move.txid);
        put_id(into, &record->move.to_directory);
        put_name(into, record->move.to_name);
        buffer_put_u64(into, record->move.started_ns);
    }
}

static int read_arrival(struct reader *r, struct record_arrival *ret) {
    ret->txid = read_id(r);
    ret->from_directory = read_id(r);
    int err = read_name(r, false, ret->from_name);
    return id128_is_zero(&ret->txid) ? ERR_INVALID : err;
}

static int read_move(struct reader *r, struct record_move *ret) {
    ret->under_way = true;
    ret->txid = read_id(r);
    ret->to_directory = read_id(r);
    int err = read_name(r, false, ret->to_name);
    ret->started_ns = reader_u64(r);
    return id128_is_zero(&ret->txid) ? ERR_INVALID : err;
}

int record_decode(struct bytes encoded, struct record *ret) {
    struct reader r = reader_of(encoded);
    struct record record = {0};
    uint8_t version = reader_u8(&r);
    uint8_t flags = reader_u8(&r);
    uint8_t kind = reader_u8(&r);
    record.n_lineage = reader_u8(&r);
    if (version != RECORD_VERSION || (flags & ~RECORD_FLAGS) || kind > CONTENTS_BLOCKS ||
        record.n_lineage > RECORD_LINEAGE_MAX) {
        return ERR_INVALID;
    }
    record.contents_kind = (enum contents_kind)kind;
    record.mode = reader_u32(&r);
    record.uid = reader_u32(&r);
    record.gid = reader_u32(&r);
    record.file_id = reader_u64(&r);
    record.atime_ns = (int64_t)reader_u64(&r);
    record.mtime_ns = (int64_t)reader_u64(&r);
    record.ctime_ns = (int64_t)reader_u64(&r);
    record.size = reader_u64(&r);
    record.rdev = reader_u64(&r);
    *(S_ISDIR(record.mode) ? &record.directory : &record.contents) = read_id(&r);
    record.data = reader_sized32(&r);
    record.xattrs = reader_sized32(&r);
    for (uint8_t i = 0; i < record.n_lineage; i++) {
        record.lineage[i] = reader_u64(&r);
    }
    int arrival = flags & RECORD_ARRIVED ? read_arrival(&r, &record.arrival) : 0;
    int move = flags & RECORD_MOVING ? read_move(&r, &record.move) : 0;
    if (reader_end(&r) < 0 || arrival < 0 || move < 0 || record_check(&record) < 0) {
        return ERR_INVALID;
    }
    *ret = record;
    return 0;
}

/* Makes the record own copies of `data` and `xattrs`, in one piece of memory. */
static void record_own(struct record *record, struct bytes data, struct bytes xattrs) {
    uint8_t *held = memory_new(1, data.size + xattrs.size + 1);
    if (data.size > 0) {
        memcpy(held, data.data, data.size);
    }
    if (xattrs.size > 0) {
        memcpy(held + data.size, xattrs.data, xattrs.size);
    }
    free(record->owned); /* only now: data or xattrs may point into it */
    record->owned = held;
    record->data = bytes_of(held, data.size);
    record->xattrs = bytes_of(held + data.size, xattrs.size);
}

void record_copy(const struct record *from, struct record *ret) {
    *ret = *from;
    ret->owned = NULL;
    record_own(ret, from->data, from->xattrs);
}

void record_release(struct record *record) {
    free(record->owned);
    record->owned = NULL;
    record->data = (struct bytes){0};
    record->xattrs = (struct bytes){0};
}

void record_set_data(struct record *record, struct bytes data) {
    record_own(record, data, record->xattrs);
}

void record_set_xattrs(struct record *record, struct bytes xattrs) {
    assert(xattrs.size <= RECORD_XATTRS_MAX);
    record_own(record, record->data, xattrs);
}

bool record_same_contents(const struct record *a, const struct record *b) {
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT) || a->size != b->size ||
        a->contents_kind != b->contents_kind || a->rdev != b->rdev) {
        return false;
    }
    if (S_ISDIR(a->mode)) {
        return id128_equal(&a->directory, &b->directory);
    }
    if (a->contents_kind == CONTENTS_BLOCKS) {
        return id128_equal(&a->contents, &b->contents);
    }
    return bytes_equal(a->data, b->data);
}

/* 0 is no inode number and 1 is the root's. */
static uint64_t ino_of(uint64_t random) {
    return random < 2 ? random + 2 : random;
}

uint64_t directory_ino(const struct id128 *directory) {
    static const struct id128 root = {{[15] = 1}};
    return id128_equal(directory, &root) ? 1 : ino_of(bytes_load_u64(directory->bytes));
}

uint64_t record_ino(const struct record *record) {
    return S_ISDIR(record->mode) ? directory_ino(&record->directory) : ino_of(record->file_id);
}

/* ---- header ---- */

void header_encode(const struct header *header, struct buffer *into) {
    bool xattrs = header->xattrs.size > 0;
    assert(header->xattrs.size <= RECORD_XATTRS_MAX);
    buffer_put_u8(into, xattrs ? HEADER_VERSION_XATTRS : HEADER_VERSION);
    buffer_put_u8(into, (uint8_t)header->state);
    buffer_put_u8(into, header->shard_bits);
    buffer_put_u8(into, 0);
    buffer_put_u32(into, header->mode);
    buffer_put_u32(into, header->uid);
    buffer_put_u32(into, header->gid);
    buffer_put_u64(into, (uint64_t)header->atime_ns);
    buffer_put_u64(into, (uint64_t)header->mtime_ns);
    buffer_put_u64(into, (uint64_t)header->ctime_ns);
    buffer_put_u64(into, header->mtime_tally_ns);
    put_id(into, &header->parent);
    put_name(into, header->name);
    if (xattrs) {
        buffer_put_sized32(into, header->xattrs);
    }
}

int header_decode(struct bytes encoded, struct header *ret) {
    struct reader r = reader_of(encoded);
    struct header header = {0};
    uint8_t version = reader_u8(&r);
    uint8_t state = reader_u8(&r);
    header.shard_bits = reader_u8(&r);
    bool xattrs = version == HEADER_VERSION_XATTRS;
    if ((version != HEADER_VERSION && !xattrs) ||
        (state != DIRECTORY_LIVE && state != DIRECTORY_DYING) ||
        header.shard_bits > SHARD_BITS_MAX || reader_u8(&r) != 0) {
        return ERR_INVALID;
    }
    header.state = (enum directory_state)state;
    header.mode = reader_u32(&r);
    header.uid = reader_u32(&r);
    header.gid = reader_u32(&r);
    header.atime_ns = (int64_t)reader_u64(&r);
    header.mtime_ns = (int64_t)reader_u64(&r);
    header.ctime_ns = (int64_t)reader_u64(&r);
    header.mtime_tally_ns = reader_u64(&r);
    header.parent = read_id(&r);
    int name = read_name(&r, true, header.name);
    header.xattrs = xattrs ? reader_sized32(&r) : (struct bytes){0};
    if (reader_end(&r) < 0 || name < 0 || header.mode > 07777 ||
        xattrs != (header.xattrs.size > 0) || header.xattrs.size > RECORD_XATTRS_MAX) {
        return ERR_INVALID;
    }
    *ret = header;
    return 0;
}
