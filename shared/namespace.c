/* namespace: opening, the superblock, and the cache of directory headers. */
#include "shared/namespace.h"

#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

const struct id128 namespace_root = {{[15] = 1}};

/* ---- the superblock ---- */

static const char superblock_magic[8] = "ringfs";
enum { SUPERBLOCK_VERSION = 1 };

static int superblock_check(struct bytes value) {
    struct reader r = reader_of(value);
    struct bytes magic = reader_bytes(&r, sizeof superblock_magic);
    uint32_t version = reader_u32(&r);
    if (r.bad || memcmp(magic.data, superblock_magic, magic.size) != 0) {
        return ERR_CORRUPT;
    }
    return version == SUPERBLOCK_VERSION ? 0 : ERR_NOT_SUPPORTED;
}

/* ERR_CONFLICT: another client wrote it first. */
static int superblock_write(struct namespace *ns) {
    struct buffer value = {0};
    buffer_put(&value, superblock_magic, sizeof superblock_magic);
    buffer_put_u32(&value, SUPERBLOCK_VERSION);
    buffer_put_u64(&value, ns->store->wall_ns(ns->store->self));
    struct key partition = key_superblock();
    struct commit commit = {.n = 1};
    commit.ops[0] =
        (struct row_op){.kind = ROW_PUT, .condition = ROW_IF_ABSENT, .value = buffer_bytes(&value)};
    int err = commit_run(ns, &partition, &commit, MESSAGE_SYNCED);
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

static int superblock_open(struct namespace *ns) {
    struct key partition = key_superblock();
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        struct store_row row = {0};
        err = ns->store->get(ns->store->self, key_bytes(&partition), (struct bytes){0},
                             LEVEL_QUORUM, &row);
        if (err < 0) {
            return err;
        }
        const struct sibling *winner = versions_winner(&row.versions);
        if (winner && !(winner->flags & SIBLING_TOMBSTONE)) {
            err = superblock_check(winner->value);
            store_row_release(&row);
            return err;
        }
        store_row_release(&row);
        err = superblock_write(ns);
    }
    return err;
}

/* ---- life ---- */

int namespace_open(struct store *store, struct namespace **ret) {
    struct namespace *ns = memory_new(1, sizeof *ns);
    ns->store = store;
    ns->headers = memory_new(NAMESPACE_HEADERS_MAX, sizeof *ns->headers);
    int err = superblock_open(ns);
    if (err < 0) {
        namespace_close(ns);
        return err;
    }
    *ret = ns;
    return 0;
}

void namespace_close(struct namespace *ns) {
    for (size_t i = 0; i < NAMESPACE_HEADERS_MAX; i++) {
        free((void *)ns->headers[i].seen.data);
    }
    free(ns->headers);
    free(ns);
}

/* ---- the cache of headers ---- */

/* Ids are random, so that some of their bits spread well; two directories of one slot evict each
 * other. */
static struct header_slot *header_slot(const struct namespace *ns, const struct id128 *directory) {
    return &ns->headers[bytes_load_u64(directory->bytes) % NAMESPACE_HEADERS_MAX];
}

bool header_cached(const struct namespace *ns, const struct id128 *directory) {
    const struct header_slot *slot = header_slot(ns, directory);
    return slot->seen.size > 0 && id128_equal(&slot->directory, directory);
}

void header_remember(struct namespace *ns, const struct id128 *directory, struct bytes seen) {
    struct header_slot *slot = header_slot(ns, directory);
    struct bytes copy = bytes_copy(seen);
    free((void *)slot->seen.data);
    *slot = (struct header_slot){.directory = *directory, .seen = copy};
}

void header_forget(struct namespace *ns, const struct id128 *directory) {
    if (header_cached(ns, directory)) {
        struct header_slot *slot = header_slot(ns, directory);
        free((void *)slot->seen.data);
        *slot = (struct header_slot){0};
    }
}

int header_guard(struct namespace *ns, const struct id128 *directory, struct bytes *ret_seen) {
    if (id128_equal(directory, &namespace_root)) {
        *ret_seen = (struct bytes){0};
        return 0;
    }
    if (header_cached(ns, directory)) {
        *ret_seen = bytes_copy(header_slot(ns, directory)->seen);
        return 0;
    }
    struct header_row row;
    int err = header_read(ns, directory, &row);
    if (err < 0) {
        return err;
    }
    if (row.found && row.header.state == DIRECTORY_LIVE) {
        *ret_seen = row.seen;
        return 0;
    }
    if (row.found) {
        err = rmdir_finish(ns, directory, &row.header.parent, row.header.name);
    }
    free((void *)row.seen.data);
    return err < 0 ? err : ERR_NO_ENTRY;
}

struct row_op header_guard_op(const struct key *header, struct bytes seen) {
    return (struct row_op){
        .kind = ROW_GUARD, .condition = ROW_IF_MATCH, .sort_key = key_bytes(header), .seen = seen};
}

/* ---- header rows ---- */

static const struct header root_header = {
    .state = DIRECTORY_LIVE, .mode = 0755, .parent = {{[15] = 1}}, .shard_bits = ROOT_SHARD_BITS};

/* Makes the row own a context and, behind it, its header's xattrs: one piece to free. */
static void header_row_own(struct header_row *row, struct bytes seen) {
    struct bytes xattrs = row->header.xattrs;
    uint8_t *held = memory_new(1, seen.size + xattrs.size + 1);
    bytes_store(bytes_store(held, seen), xattrs);
    free((void *)row->seen.data); /* only now: the xattrs may lie in there */
    row->seen = bytes_of(held, seen.size);
    row->header.xattrs = bytes_of(held + seen.size, xattrs.size);
}

/* What a minority may have changed of a directory beside what the header that counts says. */
static void header_unite(const struct versions *versions, const struct sibling *winner,
                         struct header *header) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        struct header other;
        if (sibling != winner && !(sibling->flags & SIBLING_TOMBSTONE) &&
            header_decode(sibling->value, &other) == 0) {
            header_merge_attributes(header, &other);
        }
    }
}

static int header_from_row(const struct id128 *directory, const struct store_row *row,
                           struct header_row *ret) {
    const struct sibling *winner = versions_winner(&row->versions);
    *ret = (struct header_row){.tally = row->tally};
    if (winner && !(winner->flags & SIBLING_TOMBSTONE)) {
        if (header_decode(winner->value, &ret->header) < 0) {
            return ERR_CORRUPT;
        }
        header_unite(&row->versions, winner, &ret->header);
        ret->stamp_ns = winner->stamp_ns;
        ret->found = true;
    } else if (id128_equal(directory, &namespace_root)) {
        ret->header = root_header;
    } else {
        ret->deleted = winner != NULL;
    }
    struct buffer seen = {0};
    if (row->versions.context.n > 0) {
        context_encode(&row->versions.context, &seen);
    }
    header_row_own(ret, buffer_bytes(&seen));
    buffer_release(&seen);
    return 0;
}

int header_read(struct namespace *ns, const struct id128 *directory, struct header_row *ret) {
    struct key partition = key_directory(directory, 0);
    struct key sort = key_header();
    struct store_row row = {0};
    int err = ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort), LEVEL_QUORUM,
                             &row);
    if (err < 0) {
        return err;
    }
    err = header_from_row(directory, &row, ret);
    store_row_release(&row);
    if (err < 0) {
        return err;
    }
    if (ret->found && ret->header.state == DIRECTORY_LIVE) {
        header_remember(ns, directory, ret->seen);
    } else {
        header_forget(ns, directory);
    }
    return 0;
}

bool header_names_changed(const struct header_row *row) {
    uint64_t set_ns = row->header.mtime_tally_ns;
    uint64_t changed_ns = row->tally.changed_ns;
    return changed_ns > set_ns && (set_ns == 0 || changed_ns != row->stamp_ns);
}

/* An mtime that was set, or what names did to it since, is older than the next header, and newer
 * than the one that was read: no stamp of these is a change of names. */
static void settle_mtime(struct header_row *row) {
    struct header *header = &row->header;
    if (!row->found || header->mtime_tally_ns == 0) {
        return;
    }
    if (header_names_changed(row)) {
        header->mtime_ns = (int64_t)row->tally.changed_ns;
        header->mtime_tally_ns = row->tally.changed_ns;
    }
    if (row->stamp_ns > header->mtime_tally_ns) {
        header->mtime_tally_ns = row->stamp_ns;
    }
}

int header_write(struct namespace *ns, const struct id128 *directory, struct header_row *row,
                 store_options options) {
    struct key partition = key_directory(directory, 0);
    struct key sort = key_header();
    struct buffer value = {0};
    settle_mtime(row);
    header_encode(&row->header, &value);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = row->seen,
                                    .value = buffer_bytes(&value)};
    int err = commit_run(ns, &partition, &commit, options);
    header_forget(ns, directory);
    if (err == 0) {
        struct bytes seen = commit_context(&commit, 0);
        header_row_own(row, seen);
        free((void *)seen.data);
        row->found = true;
        row->tally = commit.outcome.reply.tally;
        if (row->header.state == DIRECTORY_LIVE) {
            header_remember(ns, directory, row->seen);
        }
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}
