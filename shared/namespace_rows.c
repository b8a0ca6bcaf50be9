/* namespace_rows: keys, conditional batches and entries' rows. */
#include "shared/namespace_rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "shared/err.h"
#include "shared/task.h"

enum {
    WAIT_SLOT_NS = 500 * 1000,
    WAIT_SLOTS_MAX = 40,
};

/* ---- keys ---- */

static void key_put(struct key *key, const void *data, size_t size) {
    assert(key->size + size <= sizeof key->data);
    memcpy(key->data + key->size, data, size);
    key->size += size;
}

/* Big-endian, so that keys sort as numbers. */
static void key_put_u64(struct key *key, uint64_t value) {
    uint8_t big[8];
    for (int i = 0; i < 8; i++) {
        big[i] = (uint8_t)(value >> (56 - 8 * i));
    }
    key_put(key, big, sizeof big);
}

uint64_t key_number(const uint8_t *at) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static struct key key_of(char kind) {
    return (struct key){.data = {(uint8_t)kind}, .size = 1};
}

uint64_t name_hash(const char *name) {
    return XXH3_64bits(name, strlen(name)) >> 1;
}

uint8_t directory_shard_bits(const struct id128 *directory) {
    return id128_equal(directory, &namespace_root) ? ROOT_SHARD_BITS : 0;
}

uint8_t directory_shard(const struct id128 *directory, uint64_t hash) {
    uint8_t bits = directory_shard_bits(directory);
    return (uint8_t)(bits == 0 ? 0 : hash >> (63 - bits));
}

struct key key_directory(const struct id128 *directory, uint8_t shard) {
    struct key key = key_of('d');
    key_put(&key, directory->bytes, sizeof directory->bytes);
    key_put(&key, &shard, 1);
    return key;
}

struct key key_header(void) {
    return key_of('h');
}

struct key key_entry(const char *name) {
    struct key key = key_of('e');
    key_put_u64(&key, name_hash(name));
    key_put(&key, name, strlen(name));
    return key;
}

struct key key_entries_from(uint64_t hash) {
    struct key key = key_of('e');
    key_put_u64(&key, hash);
    return key;
}

struct key key_entries_end(void) {
    return key_of('f');
}

struct key key_stripe(const struct id128 *contents, uint64_t stripe) {
    struct key key = key_of('b');
    key_put(&key, contents->bytes, sizeof contents->bytes);
    key_put_u64(&key, stripe);
    return key;
}

struct key key_block(uint64_t index) {
    struct key key = {.size = 0};
    key_put_u64(&key, index);
    return key;
}

bool key_block_index(struct bytes sort_key, uint64_t *ret) {
    if (sort_key.size != sizeof *ret) {
        return false;
    }
    *ret = key_number(sort_key.data);
    return true;
}

struct key key_superblock(void) {
    return key_of('s');
}

struct key key_holds(const struct id128 *contents) {
    struct key key = key_of('o');
    key_put(&key, contents->bytes, sizeof contents->bytes);
    return key;
}

struct key key_file(uint64_t file_id) {
    struct key key = key_of('i');
    key_put_u64(&key, file_id);
    return key;
}

struct key key_entry_partition(const struct entry *entry) {
    if (entry->linked) {
        return key_file(entry->record.file_id);
    }
    return key_directory(&entry->directory,
                         directory_shard(&entry->directory, name_hash(entry->name)));
}

struct key key_entry_sort(const struct entry *entry) {
    return entry->linked ? (struct key){.size = 0} : key_entry(entry->name);
}

struct id128 namespace_id(struct namespace *ns) {
    struct id128 id;
    do {
        bytes_store_u64(id.bytes, ns->store->random(ns->store->self));
        bytes_store_u64(id.bytes + 8, ns->store->random(ns->store->self));
    } while (id128_is_zero(&id) || id128_equal(&id, &namespace_root));
    return id;
}

/* ---- commits ---- */

int commit_run(struct namespace *ns, const struct key *partition, struct commit *commit,
               store_options options) {
    struct store *store = ns->store;
    commit->op = store->op_id(store->self);
    struct batch batch = {.op = commit->op, .n = commit->n, .ops = commit->ops};
    int err = ERR_UNKNOWN;
    for (int i = 0; i < COMMIT_UNKNOWN_MAX; i++) {
        err = store->batch(store->self, key_bytes(partition), &batch, options, &commit->outcome);
        if (err == 0 || err == ERR_CONFLICT) {
            return err;
        }
        if (err != ERR_UNKNOWN) {
            break;
        }
        commit->doubtful = true;
    }
    /* What an earlier try left unknown, a later one that was not sent cannot make known. */
    return commit->doubtful ? ERR_UNKNOWN : err;
}

void commit_release(struct commit *commit) {
    store_outcome_release(&commit->outcome);
}

struct bytes commit_context(const struct commit *commit, uint32_t index) {
    const struct batch_reply *reply = &commit->outcome.reply;
    return bytes_copy(index < reply->n_contexts ? reply->contexts[index] : (struct bytes){0});
}

bool conflict_again(struct namespace *ns, int tries, int *err) {
    if (*err != ERR_CONFLICT) {
        return false;
    }
    if (tries == NAMESPACE_RETRIES_MAX) {
        *err = ERR_BUSY;
        return false;
    }
    if (tries >= CONFLICT_EAGER_TRIES) {
        int slots = tries < WAIT_SLOTS_MAX ? tries : WAIT_SLOTS_MAX;
        uint64_t wait_ns = ns->store->random(ns->store->self) % ((uint64_t)slots * WAIT_SLOT_NS);
        int waited = task_sleep((int64_t)wait_ns);
        if (waited < 0) {
            *err = waited;
            return false;
        }
    }
    return true;
}

/* ---- entries ---- */

static void entry_begin(struct entry *entry, const struct id128 *directory, const char *name) {
    *entry = (struct entry){.directory = *directory};
    memcpy(entry->name, name, strlen(name) + 1);
}

/* A file's own row that two sides wrote: its names are those that either knew. */
static void links_unite(const struct versions *versions, struct entry *entry) {
    for (uint32_t i = 0; i < versions->n_siblings && versions->n_siblings > 1; i++) {
        struct record other;
        struct link_name link;
        if (record_decode(versions->siblings[i].value, &other) == 0) {
            struct reader links = reader_of(other.links);
            while (record_next_link(&links, &link)) {
                record_add_link(&entry->record, &link.directory, link.name);
            }
        }
    }
}

int entry_from_versions(const struct id128 *directory, const char *name,
                        const struct versions *versions, struct entry *ret) {
    entry_begin(ret, directory, name);
    struct buffer seen = {0};
    if (versions->context.n > 0) {
        context_encode(&versions->context, &seen);
    }
    ret->seen = buffer_bytes(&seen); /* which owns it from here on */
    struct record shown;
    int err = conflicts_show(versions, &shown, &ret->version, &ret->n_conflicts);
    if (err == 0) {
        record_copy(&shown, &ret->record);
        ret->linked = shown.links.size > 0;
        ret->n_links = 1;
    }
    if (ret->linked) {
        links_unite(versions, ret);
        ret->n_links = record_n_links(&ret->record);
    }
    return err;
}

int entry_from_encoded(const struct id128 *directory, const char *name, struct bytes encoded,
                       struct entry *ret) {
    struct versions versions = {0};
    if (versions_decode(encoded, &versions) < 0) {
        entry_begin(ret, directory, name);
        return ERR_CORRUPT;
    }
    int err = entry_from_versions(directory, name, &versions, ret);
    versions_release(&versions);
    return err;
}

int entry_read(struct namespace *ns, const struct id128 *directory, const char *name,
               struct entry *ret) {
    struct key partition = key_directory(directory, directory_shard(directory, name_hash(name)));
    struct key sort = key_entry(name);
    struct store_row row = {0};
    int err = ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort), LEVEL_QUORUM,
                             &row);
    if (err < 0) {
        entry_begin(ret, directory, name);
        return err;
    }
    err = entry_from_versions(directory, name, &row.versions, ret);
    store_row_release(&row);
    return err;
}

void entry_stored(struct entry *entry, const struct record *record, const struct commit *commit,
                  uint32_t index) {
    struct record stored;
    record_copy(record, &stored); /* before the release: it may be the entry's own */
    record_release(&entry->record);
    entry->record = stored;
    free((void *)entry->seen.data);
    entry->seen = commit_context(commit, index);
    entry->version = commit->op;
    entry->n_conflicts = 0;
    entry->n_links = entry->linked ? record_n_links(&stored) : 1;
    entry->alone = commit->outcome.alone;
}

static int row_delete(struct namespace *ns, const struct entry *entry, store_options options,
                      struct commit *ret) {
    struct key partition = key_entry_partition(entry);
    struct key sort = key_entry_sort(entry);
    *ret = (struct commit){.n = 1};
    if (entry->n_conflicts > 0) {
        struct entry loser_of = *entry; /* only its place and number are used */
        int settled = entry->linked ? link_settle(ns, &loser_of)
                                    : conflicts_settle(ns, &entry->directory, entry->name);
        if (settled < 0 || !entry->linked) {
            return settled < 0 ? settled : ERR_CONFLICT;
        }
    }
    ret->ops[0] = (struct row_op){.kind = ROW_DELETE,
                                  .condition = ROW_IF_MATCH,
                                  .sort_key = key_bytes(&sort),
                                  .seen = entry->seen};
    return commit_run(ns, &partition, ret, options);
}

int entry_delete(struct namespace *ns, const struct entry *entry, int64_t *ret_changed_ns,
                 bool *ret_doubtful) {
    struct commit commit;
    int err = row_delete(ns, entry, 0, &commit);
    if (ret_doubtful) {
        *ret_doubtful = commit.doubtful;
    }
    if (err == 0 && ret_changed_ns) {
        *ret_changed_ns = (int64_t)commit.outcome.reply.tally.changed_ns;
    }
    commit_release(&commit);
    return err;
}

int entry_delete_available(struct namespace *ns, struct entry *entry, bool *ret_doubtful) {
    struct commit commit;
    bool may = !entry->linked && !entry_points(entry);
    int err = row_delete(ns, entry, may ? STORE_AVAILABLE : 0, &commit);
    *ret_doubtful = commit.doubtful;
    if (err == 0) {
        entry->directory_changed_ns = (int64_t)commit.outcome.reply.tally.changed_ns;
        entry->alone = commit.outcome.alone;
    }
    commit_release(&commit);
    return err;
}

static uint64_t lineage_id(const struct op_id *op) {
    return bytes_load_u64(op->bytes);
}

static bool lineage_has(const struct record *record, const struct op_id *op) {
    for (uint8_t i = 0; i < record->n_lineage; i++) {
        if (record->lineage[i] == lineage_id(op)) {
            return true;
        }
    }
    return false;
}

void record_succeed(struct record *record, const struct entry *entry) {
    uint8_t kept = entry->record.n_lineage;
    kept = kept < RECORD_LINEAGE_MAX ? kept : RECORD_LINEAGE_MAX - 1;
    memmove(&record->lineage[1], entry->record.lineage, kept * sizeof record->lineage[0]);
    record->lineage[0] = lineage_id(&entry->version);
    record->n_lineage = kept + 1;
}

/* After a conflict on the entry's row: becomes the newer one. ERR_CONFLICT, or, when an earlier try
 * ended unknown, what became of it: 0 = the newer one descends from our write; it is surely not in
 * it when it descends from what our write was to replace. */
static int conflict_met(struct entry *entry, const struct commit *commit) {
    struct entry newer;
    int err =
        entry_from_encoded(&entry->directory, entry->name, commit->outcome.reply.current, &newer);
    if (err == 0) {
        err = ERR_CONFLICT;
        if (commit->doubtful && lineage_has(&newer.record, &commit->op)) {
            err = 0;
        } else if (commit->doubtful && !lineage_has(&newer.record, &entry->version)) {
            err = ERR_UNKNOWN;
        }
    }
    if (err == 0 || err == ERR_CONFLICT) {
        entry_release(entry);
        *entry = newer;
    } else {
        entry_release(&newer);
    }
    return err;
}

/* The losers get rows of their own, and the entry is what the row is then. */
static int entry_settle(struct namespace *ns, struct entry *entry) {
    struct entry newer;
    if (entry->linked) {
        int settled = link_settle(ns, entry);
        return settled < 0 ? settled : ERR_CONFLICT;
    }
    int err = conflicts_settle(ns, &entry->directory, entry->name);
    if (err == 0) {
        err = entry_read(ns, &entry->directory, entry->name, &newer);
    }
    if (err < 0) {
        return err;
    }
    entry_release(entry);
    *entry = newer;
    return ERR_CONFLICT;
}

int entry_replace(struct namespace *ns, struct entry *entry, const struct record *record,
                  store_options options) {
    if (entry->n_conflicts > 0) {
        return entry_settle(ns, entry);
    }
    struct key partition = key_entry_partition(entry);
    struct key sort = key_entry_sort(entry);
    struct buffer value = {0};
    struct record successor = *record;
    record_succeed(&successor, entry);
    record_encode(&successor, &value);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = entry->seen,
                                    .value = buffer_bytes(&value)};
    int err = commit_run(ns, &partition, &commit, options);
    if (err == 0) {
        entry_stored(entry, &successor, &commit, 0);
    } else if (err == ERR_CONFLICT) {
        err = conflict_met(entry, &commit);
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

int entry_refuse(struct namespace *ns, struct entry *there) {
    if (there->record.mode == 0) {
        return entry_delete(ns, there, NULL, NULL); /* a tombstone on an absent row */
    }
    int err = entry_replace(ns, there, &there->record, 0);
    return err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
}

bool record_same_file(const struct record *a, const struct record *b) {
    if (S_ISDIR(a->mode) || S_ISDIR(b->mode)) {
        return S_ISDIR(a->mode) && S_ISDIR(b->mode) && id128_equal(&a->directory, &b->directory);
    }
    return a->file_id == b->file_id;
}

void entry_release(struct entry *entry) {
    record_release(&entry->record);
    free((void *)entry->seen.data);
    *entry = (struct entry){0};
}

void entry_copy(const struct entry *from, struct entry *ret) {
    *ret = *from;
    record_copy(&from->record, &ret->record);
    ret->seen = bytes_copy(from->seen);
}
