/* namespace_locks: the rows that locks across mounts consist of: a file's locks, a mount's lease.
 */
#include "shared/namespace_locks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

enum { LEASE_FORMAT_VERSION = 1 };

/* ---- any row of the two ---- */

static struct key key_locks(uint64_t ino) {
    struct key key = {.data = {'l'}, .size = 1 + sizeof ino};
    for (int i = 0; i < 8; i++) {
        key.data[1 + i] = (uint8_t)(ino >> (56 - 8 * i)); /* as all numbers in keys */
    }
    return key;
}

static struct key key_lease(const struct id128 *mount) {
    struct key key = {.data = {'m'}, .size = 1 + sizeof mount->bytes};
    memcpy(key.data + 1, mount->bytes, sizeof mount->bytes);
    return key;
}

static void seen_set(struct bytes *seen, const struct versions *versions) {
    struct buffer encoded = {0};
    if (versions->context.n > 0) {
        context_encode(&versions->context, &encoded);
    }
    free((void *)(uintptr_t)seen->data);
    *seen = buffer_bytes(&encoded); /* ours from here on */
}

/* The live value; NULL when there is none. */
static const struct sibling *live(const struct versions *versions) {
    const struct sibling *winner = versions_winner(versions);
    return winner == NULL || (winner->flags & SIBLING_TOMBSTONE) != 0 ? NULL : winner;
}

static int row_get(struct namespace *ns, const struct key *partition, struct store_row *ret) {
    struct store *store = ns->store;
    return store->get(store->self, key_bytes(partition), (struct bytes){0},
                      LEVEL_QUORUM | MESSAGE_STRICT, ret);
}

/* Empty `value`: removes the row. */
static int row_commit(struct namespace *ns, const struct key *partition, struct bytes seen,
                      struct bytes value, struct commit *commit) {
    *commit = (struct commit){.n = 1};
    commit->ops[0] = (struct row_op){.kind = value.size > 0 ? ROW_PUT : ROW_DELETE,
                                     .condition = seen.size > 0 ? ROW_IF_MATCH : ROW_IF_ABSENT,
                                     .seen = seen,
                                     .value = value};
    return commit_run(ns, partition, commit, 0);
}

static void seen_commit(struct bytes *seen, const struct commit *commit) {
    free((void *)(uintptr_t)seen->data);
    *seen = commit_context(commit, 0);
}

/* ---- the locks of a file ---- */

void lock_row_release(struct lock_row *row) {
    lock_table_release(&row->table);
    free((void *)(uintptr_t)row->seen.data);
    row->seen = (struct bytes){0};
}

static int lock_row_take(struct lock_row *row, const struct versions *versions) {
    const struct sibling *sibling = live(versions);
    if (sibling != NULL && lock_table_decode(sibling->value, &row->table) < 0) {
        return ERR_CORRUPT;
    }
    if (sibling == NULL) {
        lock_table_release(&row->table);
    }
    seen_set(&row->seen, versions);
    return 0;
}

int lock_row_read(struct namespace *ns, uint64_t ino, struct lock_row *ret) {
    struct key partition = key_locks(ino);
    struct store_row row = {0};
    int err = row_get(ns, &partition, &row);
    if (err == 0) {
        err = lock_row_take(ret, &row.versions);
        store_row_release(&row);
    }
    return err;
}

int lock_row_write(struct namespace *ns, uint64_t ino, const struct lock_table *table,
                   struct lock_row *row) {
    struct key partition = key_locks(ino);
    struct buffer value = {0};
    struct commit commit;
    if (table->n > 0) {
        lock_table_encode(table, &value);
    }
    int err = row_commit(ns, &partition, row->seen, buffer_bytes(&value), &commit);
    if (err == 0) {
        struct lock_table stored;
        lock_table_copy(table, &stored);
        lock_table_release(&row->table);
        row->table = stored;
        seen_commit(&row->seen, &commit);
    } else if (err == ERR_CONFLICT) {
        struct versions now = {0};
        err = versions_decode(commit.outcome.reply.current, &now) < 0 ? ERR_CORRUPT
                                                                      : lock_row_take(row, &now);
        err = err == 0 ? ERR_CONFLICT : err;
        versions_release(&now);
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

/* ---- the lease of a mount ---- */

void lease_row_release(struct lease_row *row) {
    free((void *)(uintptr_t)row->seen.data);
    *row = (struct lease_row){0};
}

/* Each write of the same value is news all the same: its version is what others look at. */
static int lease_write(struct namespace *ns, const struct id128 *mount, struct lease_row *row) {
    struct key partition = key_lease(mount);
    struct buffer value = {0};
    struct commit commit;
    buffer_put_u8(&value, LEASE_FORMAT_VERSION);
    buffer_put_u32(&value, row->lease_ms);
    int err = row_commit(ns, &partition, row->seen, buffer_bytes(&value), &commit);
    if (err == 0) {
        seen_commit(&row->seen, &commit);
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

int lease_make(struct namespace *ns, const struct id128 *mount, struct lease_row *row) {
    assert(row->lease_ms >= LEASE_MS_MIN && row->lease_ms <= LEASE_MS_MAX);
    assert(row->seen.size == 0);
    return lease_write(ns, mount, row);
}

int lease_renew(struct namespace *ns, const struct id128 *mount, struct lease_row *row) {
    assert(row->seen.size > 0);
    int err = lease_write(ns, mount, row);
    if (err != ERR_CONFLICT) {
        return err;
    }
    /* An earlier renewal may have been carried out although it seemed not to: nobody but its mount
     * writes a live lease. */
    err = lease_read(ns, mount, row);
    if (err == 0) {
        err = lease_write(ns, mount, row);
        return err == ERR_CONFLICT ? ERR_UNKNOWN : err;
    }
    return err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
}

static int lease_take(struct lease_row *row, const struct versions *versions) {
    const struct sibling *sibling = live(versions);
    if (sibling == NULL) {
        return ERR_NO_ENTRY;
    }
    struct reader r = reader_of(sibling->value);
    uint8_t version = reader_u8(&r);
    uint32_t lease_ms = reader_u32(&r);
    if (reader_end(&r) < 0 || version != LEASE_FORMAT_VERSION || lease_ms < LEASE_MS_MIN ||
        lease_ms > LEASE_MS_MAX) {
        return ERR_CORRUPT;
    }
    row->lease_ms = lease_ms;
    seen_set(&row->seen, versions);
    return 0;
}

int lease_read(struct namespace *ns, const struct id128 *mount, struct lease_row *ret) {
    struct key partition = key_lease(mount);
    struct store_row row = {0};
    int err = row_get(ns, &partition, &row);
    if (err == 0) {
        err = lease_take(ret, &row.versions);
        store_row_release(&row);
    }
    return err;
}

int lease_end(struct namespace *ns, const struct id128 *mount, const struct lease_row *row) {
    struct key partition = key_lease(mount);
    struct commit commit;
    int err = row_commit(ns, &partition, row->seen, (struct bytes){0}, &commit);
    if (err == ERR_CONFLICT) {
        struct versions now = {0};
        bool ended = versions_decode(commit.outcome.reply.current, &now) == 0 && live(&now) == NULL;
        err = ended ? 0 : ERR_CONFLICT;
        versions_release(&now);
    }
    commit_release(&commit);
    return err;
}
