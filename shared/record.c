/* record: the codecs of records and directory headers. */
#include "shared/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"

enum {
    RECORD_VERSION = 1,
    RECORD_VERSION_CHANGED = 2, /* says when attributes were changed, at least one */
    HEADER_VERSION = 1,
    HEADER_VERSION_XATTRS = 2,  /* has extended attributes, at least one */
    HEADER_VERSION_CHANGED = 3, /* may have some, and says when attributes were changed */

    RECORD_MOVING = 1, /* flags */
    RECORD_ARRIVED = 2,
    RECORD_LINKING = 4,
    RECORD_LINKS = 8,
    RECORD_DISPLACED = 16,
    RECORD_TAIL = 32,
    RECORD_SPARSE = 64,
    RECORD_SHARED = 128,
    RECORD_FLAGS = RECORD_MOVING | RECORD_ARRIVED | RECORD_LINKING | RECORD_LINKS |
                   RECORD_DISPLACED | RECORD_TAIL | RECORD_SPARSE | RECORD_SHARED,
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

/* ---- when attributes were changed ---- */

enum { STAMPS = sizeof(struct attribute_stamps) / sizeof(uint64_t) };

static bool any_changed(const struct attribute_stamps *changed) {
    return (changed->mode_ns | changed->owner_ns | changed->times_ns | changed->xattrs_ns) != 0;
}

/* One byte, a bit for each that there is, and these. */
static void put_stamps(struct buffer *into, const struct attribute_stamps *changed) {
    const uint64_t stamps[STAMPS] = {changed->mode_ns, changed->owner_ns, changed->times_ns,
                                     changed->xattrs_ns};
    unsigned mask = 0;
    for (unsigned i = 0; i < STAMPS; i++) {
        mask |= stamps[i] != 0 ? 1u << i : 0;
    }
    buffer_put_u8(into, (uint8_t)mask);
    for (unsigned i = 0; i < STAMPS; i++) {
        if (stamps[i] != 0) {
            buffer_put_u64(into, stamps[i]);
        }
    }
}

static int read_stamps(struct reader *r, struct attribute_stamps *ret) {
    uint64_t stamps[STAMPS] = {0};
    uint8_t mask = reader_u8(r);
    bool sound = mask != 0 && mask < 1u << STAMPS;
    for (unsigned i = 0; i < STAMPS; i++) {
        if (mask & 1u << i) {
            stamps[i] = reader_u64(r);
            sound = sound && stamps[i] != 0;
        }
    }
    *ret = (struct attribute_stamps){stamps[0], stamps[1], stamps[2], stamps[3]};
    return sound ? 0 : ERR_INVALID;
}

/* ---- record ---- */

static bool type_known(uint32_t mode) {
    return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISCHR(mode) || S_ISBLK(mode) ||
           S_ISFIFO(mode) || S_ISSOCK(mode);
}

int record_check(const struct record *record) {
    if (!type_known(record->mode) || record->mode > 0177777 || record->size > INT64_MAX ||
        record->xattrs.size > RECORD_XATTRS_MAX || record->data.size > record->size ||
        record->n_lineage > RECORD_LINEAGE_MAX || record->displaced.size > RECORD_DISPLACED_MAX) {
        return ERR_INVALID;
    }
    if (record->extents.size > RECORD_EXTENTS_MAX ||
        (record->extents.size > 0 && record->contents_kind != CONTENTS_BLOCKS)) {
        return ERR_INVALID;
    }
    if (record->contents_shared && record->contents_kind != CONTENTS_BLOCKS) {
        return ERR_INVALID;
    }
    if (record->contents_kind == CONTENTS_LINKED) {
        bool bare = record->size == 0 && record->xattrs.size == 0 && record->links.size == 0;
        return bare && !S_ISDIR(record->mode) ? 0 : ERR_INVALID;
    }
    if (S_ISLNK(record->mode)) {
        bool whole = record->data.size == record->size;
        return whole && record->size >= 1 && record->size <= RECORD_TARGET_MAX ? 0 : ERR_INVALID;
    }
    if (S_ISREG(record->mode)) {
        bool within = record->data_at <= record->size - record->data.size;
        bool plain = record->data_at == 0 || record->contents_kind == CONTENTS_BLOCKS;
        return record->data.size <= RECORD_INLINE_MAX && within && plain ? 0 : ERR_INVALID;
    }
    if (S_ISDIR(record->mode) && id128_is_zero(&record->directory)) {
        return ERR_INVALID;
    }
    return record->data.size == 0 ? 0 : ERR_INVALID;
}

bool record_has_tail(const struct record *record) {
    return record->contents_kind == CONTENTS_BLOCKS && record->data.size > 0;
}

static uint8_t flags_of(const struct record *record) {
    unsigned flags = 0;
    flags |= record->move.under_way ? RECORD_MOVING : 0;
    flags |= id128_is_zero(&record->arrival.txid) ? 0 : RECORD_ARRIVED;
    flags |= record->linking ? RECORD_LINKING : 0;
    flags |= record->links.size > 0 ? RECORD_LINKS : 0;
    flags |= record->displaced.size > 0 ? RECORD_DISPLACED : 0;
    flags |= record_has_tail(record) ? RECORD_TAIL : 0;
    flags |= record->extents.size > 0 ? RECORD_SPARSE : 0;
    flags |= record->contents_shared ? RECORD_SHARED : 0;
    return (uint8_t)flags;
}

/* What few records have, and the flags tell. */
static void put_rare(const struct record *record, struct buffer *into) {
    if (!id128_is_zero(&record->arrival.txid)) {
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
    if (record->links.size > 0) {
        buffer_put_sized32(into, record->links);
    }
    if (record->displaced.size > 0) {
        buffer_put_sized32(into, record->displaced);
    }
    if (record_has_tail(record)) {
        buffer_put_u64(into, record->data_at);
    }
    if (record->extents.size > 0) {
        buffer_put_sized32(into, record->extents);
    }
}

void record_encode(const struct record *record, struct buffer *into) {
    assert(record_check(record) == 0);
    bool changed = any_changed(&record->changed);
    buffer_put_u8(into, changed ? RECORD_VERSION_CHANGED : RECORD_VERSION);
    buffer_put_u8(into, flags_of(record));
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
    put_rare(record, into);
    if (changed) {
        put_stamps(into, &record->changed);
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

static int read_links(struct reader *r, struct bytes *ret) {
    *ret = reader_sized32(r);
    struct reader links = reader_of(*ret);
    struct link_name name;
    uint32_t n = 0;
    while (record_next_link(&links, &name)) {
        n++;
    }
    return n > 0 && n <= LINK_NAMES_MAX && reader_end(&links) == 0 ? 0 : ERR_INVALID;
}

static int read_rare(struct reader *r, uint8_t flags, struct record *ret) {
    int err = flags & RECORD_ARRIVED ? read_arrival(r, &ret->arrival) : 0;
    if (err == 0 && (flags & RECORD_MOVING)) {
        err = read_move(r, &ret->move);
    }
    if (err == 0 && (flags & RECORD_LINKS)) {
        err = read_links(r, &ret->links);
    }
    if (err == 0 && (flags & RECORD_DISPLACED)) {
        ret->displaced = reader_sized32(r);
        err = ret->displaced.size > 0 ? 0 : ERR_INVALID;
    }
    ret->data_at = flags & RECORD_TAIL ? reader_u64(r) : 0;
    ret->extents = flags & RECORD_SPARSE ? reader_sized32(r) : (struct bytes){0};
    if ((flags & RECORD_SPARSE) && ret->extents.size == 0) {
        return ERR_INVALID;
    }
    ret->linking = (flags & RECORD_LINKING) != 0;
    ret->contents_shared = (flags & RECORD_SHARED) != 0;
    return err == 0 && record_has_tail(ret) != ((flags & RECORD_TAIL) != 0) ? ERR_INVALID : err;
}

int record_decode(struct bytes encoded, struct record *ret) {
    struct reader r = reader_of(encoded);
    struct record record = {0};
    uint8_t version = reader_u8(&r);
    uint8_t flags = reader_u8(&r);
    uint8_t kind = reader_u8(&r);
    record.n_lineage = reader_u8(&r);
    bool changed = version == RECORD_VERSION_CHANGED;
    if ((version != RECORD_VERSION && !changed) || (flags & ~RECORD_FLAGS) ||
        kind > CONTENTS_LINKED || record.n_lineage > RECORD_LINEAGE_MAX) {
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
    int rare = read_rare(&r, flags, &record);
    if (rare == 0 && changed) {
        rare = read_stamps(&r, &record.changed);
    }
    if (reader_end(&r) < 0 || rare < 0 || record_check(&record) < 0) {
        return ERR_INVALID;
    }
    *ret = record;
    return 0;
}

bool record_peek(struct bytes head, struct record *ret) {
    struct reader r = reader_of(head);
    uint8_t version = reader_u8(&r);
    uint8_t flags = reader_u8(&r);
    *ret = (struct record){0};
    reader_u8(&r); /* kind */
    reader_u8(&r); /* lineage */
    ret->mode = reader_u32(&r);
    reader_bytes(&r, 2 * sizeof(uint32_t)); /* owner and group */
    ret->file_id = reader_u64(&r);
    reader_bytes(&r, 5 * sizeof(uint64_t)); /* times, size, device */
    struct id128 id = read_id(&r);
    if (S_ISDIR(ret->mode)) {
        ret->directory = id;
    }
    return !r.bad && (version == RECORD_VERSION || version == RECORD_VERSION_CHANGED) &&
           (flags & (RECORD_MOVING | RECORD_LINKS | RECORD_DISPLACED)) == 0;
}

/* Makes the record own copies of all its bytes, in one piece of memory. */
static void record_own(struct record *record) {
    struct bytes *parts[] = {&record->data, &record->extents, &record->xattrs, &record->links,
                             &record->displaced};
    size_t size = 1;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size += parts[i]->size;
    }
    uint8_t *held = memory_new(1, size), *at = held;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i]->size > 0) {
            memcpy(at, parts[i]->data, parts[i]->size);
        }
        *parts[i] = bytes_of(at, parts[i]->size);
        at += parts[i]->size;
    }
    free(record->owned); /* only now: the parts may have pointed into it */
    record->owned = held;
}

void record_copy(const struct record *from, struct record *ret) {
    *ret = *from;
    ret->owned = NULL;
    record_own(ret);
}

void record_release(struct record *record) {
    free(record->owned);
    record->owned = NULL;
    record->data = record->extents = record->xattrs = record->links = record->displaced =
        (struct bytes){0};
}

void record_set_data(struct record *record, struct bytes data) {
    record->data = data;
    record_own(record);
}

void record_set_xattrs(struct record *record, struct bytes xattrs) {
    assert(xattrs.size <= RECORD_XATTRS_MAX);
    record->xattrs = xattrs;
    record_own(record);
}

void record_set_extents(struct record *record, struct bytes extents) {
    record->extents = extents;
    record_own(record);
}

void record_set_displaced(struct record *record, struct bytes displaced) {
    assert(displaced.size <= RECORD_DISPLACED_MAX);
    record->displaced = displaced;
    record_own(record);
}

/* ---- names of a file that has several ---- */

bool record_next_link(struct reader *links, struct link_name *ret) {
    if (links->bad || reader_end(links) == 0) {
        return false;
    }
    ret->directory = read_id(links);
    if (read_name(links, false, ret->name) < 0) {
        links->bad = true;
    }
    return !links->bad;
}

uint32_t record_n_links(const struct record *record) {
    struct reader links = reader_of(record->links);
    struct link_name name;
    uint32_t n = 0;
    while (record_next_link(&links, &name)) {
        n++;
    }
    return n;
}

static bool same_link(const struct link_name *link, const struct id128 *directory,
                      const char *name) {
    return id128_equal(&link->directory, directory) && strcmp(link->name, name) == 0;
}

bool record_has_link(const struct record *record, const struct id128 *directory, const char *name) {
    struct reader links = reader_of(record->links);
    struct link_name link;
    while (record_next_link(&links, &link)) {
        if (same_link(&link, directory, name)) {
            return true;
        }
    }
    return false;
}

static void set_links(struct record *record, struct buffer *links) {
    record->links = buffer_bytes(links);
    record_own(record);
    buffer_release(links);
}

int record_add_link(struct record *record, const struct id128 *directory, const char *name) {
    if (record_has_link(record, directory, name)) {
        return 0;
    }
    if (record_n_links(record) == LINK_NAMES_MAX) {
        return ERR_TOO_MANY_LINKS;
    }
    struct buffer links = {0};
    buffer_put_bytes(&links, record->links);
    put_id(&links, directory);
    put_name(&links, name);
    set_links(record, &links);
    return 0;
}

void record_drop_link(struct record *record, const struct id128 *directory, const char *name) {
    struct reader reader = reader_of(record->links);
    struct link_name link;
    struct buffer links = {0};
    while (record_next_link(&reader, &link)) {
        if (!same_link(&link, directory, name)) {
            put_id(&links, &link.directory);
            put_name(&links, link.name);
        }
    }
    set_links(record, &links);
}

bool record_same_contents(const struct record *a, const struct record *b) {
    if ((a->mode & S_IFMT) != (b->mode & S_IFMT) || a->size != b->size ||
        a->contents_kind != b->contents_kind || a->rdev != b->rdev) {
        return false;
    }
    if (S_ISDIR(a->mode)) {
        return id128_equal(&a->directory, &b->directory);
    }
    if (a->contents_kind == CONTENTS_LINKED) {
        return a->file_id == b->file_id;
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
    bool changed = any_changed(&header->changed);
    assert(header->xattrs.size <= RECORD_XATTRS_MAX);
    buffer_put_u8(into, changed  ? HEADER_VERSION_CHANGED
                        : xattrs ? HEADER_VERSION_XATTRS
                                 : HEADER_VERSION);
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
    if (xattrs || changed) {
        buffer_put_sized32(into, header->xattrs);
    }
    if (changed) {
        put_stamps(into, &header->changed);
    }
}

int header_decode(struct bytes encoded, struct header *ret) {
    struct reader r = reader_of(encoded);
    struct header header = {0};
    uint8_t version = reader_u8(&r);
    uint8_t state = reader_u8(&r);
    header.shard_bits = reader_u8(&r);
    bool changed = version == HEADER_VERSION_CHANGED;
    bool xattrs = version == HEADER_VERSION_XATTRS;
    if ((version != HEADER_VERSION && !xattrs && !changed) ||
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
    header.xattrs = xattrs || changed ? reader_sized32(&r) : (struct bytes){0};
    int stamps = changed ? read_stamps(&r, &header.changed) : 0;
    if (reader_end(&r) < 0 || name < 0 || stamps < 0 || header.mode > 07777 ||
        (!changed && xattrs != (header.xattrs.size > 0)) ||
        header.xattrs.size > RECORD_XATTRS_MAX) {
        return ERR_INVALID;
    }
    *ret = header;
    return 0;
}
