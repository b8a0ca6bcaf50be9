/* sweep_repair: looks at each finding anew, and repairs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/sweep_inside.h"

static const char lost_and_found[] = "lost+found";

/* ---- names ---- */

static bool searched(const struct name_search *search, const struct record *record) {
    if (search->child != NULL) {
        return S_ISDIR(record->mode) && id128_equal(&record->directory, search->child);
    }
    return record->contents_kind == CONTENTS_LINKED && record->file_id == search->file_id;
}

static int match_name(void *context, struct bytes sort_key, const struct versions *versions) {
    struct name_search *search = context;
    const struct sibling *winner = versions_winner(versions);
    size_t head = 1 + 8, size = sort_key.size - head;
    char name[NAME_SIZE_MAX + 1];
    struct record record;
    if (sort_key.size <= head || sort_key.data[0] != 'e' || size > NAME_SIZE_MAX ||
        winner == NULL || (winner->flags & SIBLING_TOMBSTONE) ||
        record_decode(winner->value, &record) < 0 || !searched(search, &record)) {
        return 0;
    }
    memcpy(name, sort_key.data + head, size);
    name[size] = 0;
    if (search->listed != NULL && record_has_link(search->listed, &search->parent, name)) {
        return 0;
    }
    search->n++;
    memcpy(search->name, name, size + 1);
    search->record = (struct record){
        .mode = record.mode, .uid = record.uid, .gid = record.gid, .move = record.move};
    return 0;
}

int sweep_search(struct sweep *sweep, const struct id128 *parent, struct name_search *search) {
    uint32_t n = id128_is_zero(parent) ? 0 : 1u << directory_shard_bits(parent);
    int err = 0;
    search->parent = *parent;
    for (uint32_t shard = 0; shard < n && err == 0; shard++) {
        struct key key = key_directory(parent, (uint8_t)shard);
        err = sweep_rows(sweep, key_bytes(&key), 0, match_name, search);
    }
    return err;
}

/* ---- what the namespace finishes itself ---- */

static int repair_move(struct sweep *sweep, const struct sweep_finding *finding) {
    struct entry entry;
    int err = entry_read(sweep->ns, &finding->directory, finding->name, &entry);
    bool moving = err == 0 && (entry.record.move.under_way || entry.record.linking);
    entry_release(&entry);
    if (err == ERR_NO_ENTRY || (err == 0 && !moving)) {
        return SWEEP_GONE;
    }
    if (err < 0 || !sweep->config->repair) {
        return err;
    }
    err = namespace_lookup(sweep->ns, &finding->directory, finding->name, &entry);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? 0 : err;
    }
    moving = entry.record.move.under_way || entry.record.linking;
    entry_release(&entry);
    return moving ? ERR_BUSY : 0;
}

/* Writes a header for a directory that has none, or takes back that it is dying. */
static int revive(struct sweep *sweep, const struct id128 *id, struct header_row *row,
                  const struct id128 *parent, const struct name_search *search) {
    int64_t now_ns = (int64_t)sweep->ns->store->wall_ns(sweep->ns->store->self);
    if (!row->found) {
        row->header = (struct header){.mode = search->n > 0 ? search->record.mode & 07777 : 0700,
                                      .uid = search->record.uid,
                                      .gid = search->record.gid,
                                      .atime_ns = now_ns,
                                      .mtime_ns = now_ns,
                                      .ctime_ns = now_ns};
    }
    row->header.state = DIRECTORY_LIVE;
    row->header.parent = *parent;
    memcpy(row->header.name, search->name, strlen(search->name) + 1);
    return header_write(sweep->ns, id, row, 0);
}

/* Where a directory is named now, and its header; `row->seen` is the caller's when the answer is 0.
 */
static int look_again(struct sweep *sweep, const struct sweep_finding *finding,
                      struct name_search *search, struct header_row *row) {
    int err = sweep_search(sweep, &finding->directory, search);
    return err < 0 ? err : header_read(sweep->ns, &finding->id, row);
}

/* The entry stands, and its header does not: was it removed? */
static int repair_dying(struct sweep *sweep, const struct sweep_finding *finding) {
    struct name_search search = {.child = &finding->id};
    struct header_row row;
    int err = look_again(sweep, finding, &search, &row);
    if (err < 0) {
        return err;
    }
    bool live = row.found && row.header.state == DIRECTORY_LIVE;
    bool removed = row.found ? !live : row.deleted;
    if (live || (!row.found && search.n == 0)) {
        err = SWEEP_GONE;
    } else if (sweep->config->repair && removed) {
        err = search.n > 0 ? rmdir_finish(sweep->ns, &finding->id, &finding->directory, search.name)
                           : rmdir_end(sweep->ns, &finding->id);
    } else if (sweep->config->repair) {
        err = revive(sweep, &finding->id, &row, &finding->directory, &search);
    }
    free((void *)(uintptr_t)row.seen.data);
    return err;
}

static int repair_back_pointer(struct sweep *sweep, const struct sweep_finding *finding) {
    struct name_search search = {.child = &finding->id};
    struct header_row row;
    int err = look_again(sweep, finding, &search, &row);
    if (err < 0) {
        return err;
    }
    bool right = id128_equal(&row.header.parent, &finding->directory) &&
                 strcmp(row.header.name, search.name) == 0;
    if (!row.found || row.header.state != DIRECTORY_LIVE || search.n != 1 ||
        search.record.move.under_way || right) {
        err = SWEEP_GONE;
    } else if (sweep->config->repair) {
        err = revive(sweep, &finding->id, &row, &finding->directory, &search);
    }
    free((void *)(uintptr_t)row.seen.data);
    return err;
}

/* A rename between the readings of two directories looks like two names. */
static int check_named_twice(struct sweep *sweep, const struct sweep_finding *finding) {
    struct name_search search = {.child = &finding->id};
    struct header_row row;
    int err = look_again(sweep, finding, &search, &row);
    if (err < 0) {
        return err;
    }
    if (row.found && !id128_equal(&row.header.parent, &finding->directory)) {
        err = sweep_search(sweep, &row.header.parent, &search);
    }
    free((void *)(uintptr_t)row.seen.data);
    return err < 0 ? err : search.n > 1 ? ERR_EXISTS : SWEEP_GONE;
}

/* ---- what has no name: under the barrier ---- */

static int open_lost_and_found(struct namespace *ns, struct id128 *ret) {
    struct entry entry;
    int err = namespace_lookup(ns, &namespace_root, lost_and_found, &entry);
    if (err == ERR_NO_ENTRY) {
        err = namespace_mkdir(ns, &namespace_root, lost_and_found, 0700, 0, 0, &entry);
    }
    if (err < 0) {
        return err;
    }
    *ret = entry.record.directory;
    err = S_ISDIR(entry.record.mode) ? 0 : ERR_NOT_DIRECTORY;
    entry_release(&entry);
    return err;
}

/* The header first: a name that stood for a dying one would be removed by who meets it. */
static int adopt(struct sweep *sweep, const struct id128 *id, struct header_row *row) {
    struct id128 parent;
    struct name_search search = {0};
    struct entry entry;
    int err = open_lost_and_found(sweep->ns, &parent);
    snprintf(search.name, sizeof search.name, "#%llu", (unsigned long long)directory_ino(id));
    err = err < 0 ? err : revive(sweep, id, row, &parent, &search);
    if (err < 0) {
        return err;
    }
    const struct record record = {.mode = S_IFDIR | row->header.mode,
                                  .uid = row->header.uid,
                                  .gid = row->header.gid,
                                  .file_id = directory_ino(id),
                                  .atime_ns = row->header.atime_ns,
                                  .mtime_ns = row->header.mtime_ns,
                                  .ctime_ns = row->header.ctime_ns,
                                  .directory = *id};
    err = entry_insert(sweep->ns, &parent, search.name, &record, &entry);
    if (err == 0 || err == ERR_EXISTS) {
        entry_release(&entry);
    }
    return err;
}

/* Its name is known, or none was found twice. */
static int repair_lost(struct sweep *sweep, const struct sweep_finding *finding) {
    struct name_search search = {.child = &finding->id};
    struct header_row row;
    int err = look_again(sweep, finding, &search, &row);
    if (err < 0) {
        return err;
    }
    bool live = row.found && row.header.state == DIRECTORY_LIVE;
    bool empty = row.tally.n_live <= row.found;
    bool unnamed = id128_is_zero(&finding->directory);
    if ((live && !unnamed) || empty || (!unnamed && search.n == 0)) {
        err = SWEEP_GONE; /* somebody else is at it; or the next sweep finds it as something else */
    } else if (sweep->config->repair) {
        err = unnamed ? adopt(sweep, &finding->id, &row)
                      : revive(sweep, &finding->id, &row, &finding->directory, &search);
    }
    free((void *)(uintptr_t)row.seen.data);
    return err;
}

static int repair_unnamed(struct sweep *sweep, const struct sweep_finding *finding) {
    if (!sweep->config->repair) {
        return 0;
    }
    int err = rmdir_begin(sweep->ns, &finding->id);
    if (err == ERR_NOT_EMPTY) {
        return repair_lost(sweep, finding);
    }
    return err < 0 ? err : rmdir_end(sweep->ns, &finding->id);
}

/* Whether the second reading showed a name after all. */
static bool has_name(const struct sweep *sweep, const struct id128 *id) {
    const struct sweep_directory *d = id_table_find(&sweep->index.directories, id);
    return (d != NULL && d->n_names > 0) || id_table_find(&sweep->index.contents, id) != NULL;
}

int sweep_repair(struct sweep *sweep, const struct sweep_finding *finding) {
    switch (finding->kind) {
    case SWEEP_MOVE:
        return repair_move(sweep, finding);
    case SWEEP_DYING:
        return repair_dying(sweep, finding);
    case SWEEP_BACK_POINTER:
        return repair_back_pointer(sweep, finding);
    case SWEEP_NAMED_TWICE:
        return check_named_twice(sweep, finding);
    case SWEEP_LOST:
    case SWEEP_UNNAMED:
        if (id128_is_zero(&finding->directory) && has_name(sweep, &finding->id)) {
            return SWEEP_GONE;
        }
        return finding->kind == SWEEP_LOST ? repair_lost(sweep, finding)
                                           : repair_unnamed(sweep, finding);
    case SWEEP_LEASE:
        return sweep_repair_lease(sweep, finding);
    case SWEEP_LOCK:
        return sweep_repair_lock(sweep, finding);
    case SWEEP_LINKS:
        return sweep_repair_links(sweep, finding);
    case SWEEP_POINTER:
        return sweep_repair_pointer(sweep, finding);
    case SWEEP_CORRUPT:
        return ERR_CORRUPT;
    default:
        return ERR_LOOP;
    }
}

/* ---- contents ---- */

enum { STRIPE_ROWS_MAX = 64 };

struct stripe {
    struct sweep *sweep;
    bool young;
    uint32_t n;
    struct row_op ops[STRIPE_ROWS_MAX]; /* own their keys and contexts */
};

static int take_block(void *context, struct bytes sort_key, const struct versions *versions) {
    struct stripe *stripe = context;
    struct buffer seen = {0};
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        stripe->young = stripe->young || versions->siblings[i].stamp_ns > stripe->sweep->cut_ns;
    }
    if (versions_live(versions) == 0 || stripe->n == STRIPE_ROWS_MAX) {
        return 0; /* the rest the next time */
    }
    context_encode(&versions->context, &seen);
    stripe->ops[stripe->n++] = (struct row_op){.kind = ROW_DELETE,
                                               .condition = ROW_IF_MATCH,
                                               .sort_key = bytes_copy(sort_key),
                                               .seen = buffer_bytes(&seen)};
    return 0;
}

static int stripe_delete(struct stripe *stripe, struct bytes partition_key) {
    struct store *store = stripe->sweep->ns->store;
    const struct batch batch = {
        .op = store->op_id(store->self), .n = stripe->n, .ops = stripe->ops};
    int err = store->batch(store->self, partition_key, &batch, 0, NULL);
    if (err == 0) {
        stripe->sweep->report->n_blocks_removed += stripe->n;
    }
    return err;
}

/* Somebody who writes to it now has it open: then it stays. */
static int remove_stripe(struct sweep *sweep, const struct partition_tally *partition) {
    struct id128 id;
    if (partition->key.size != 1 + sizeof id.bytes + 8 || partition->key.data[0] != 'b' ||
        partition->tally.n_live == 0) {
        return 0;
    }
    memcpy(id.bytes, partition->key.data + 1, sizeof id.bytes);
    struct sweep_suspect *suspect = id_table_find(&sweep->suspects, &id);
    if (suspect == NULL || suspect->kept) {
        return 0;
    }
    struct stripe *stripe = memory_new(1, sizeof *stripe);
    stripe->sweep = sweep;
    int err = sweep_rows(sweep, partition->key, MESSAGE_KEYS_ONLY, take_block, stripe);
    if (err == 0 && stripe->n > 0 && !stripe->young) {
        err = stripe_delete(stripe, partition->key);
    }
    suspect->kept = suspect->kept || stripe->young || err == ERR_CONFLICT;
    for (uint32_t i = 0; i < stripe->n; i++) {
        free((void *)(uintptr_t)stripe->ops[i].sort_key.data);
        free((void *)(uintptr_t)stripe->ops[i].seen.data);
    }
    free(stripe);
    return err == ERR_CONFLICT ? 0 : err;
}

int sweep_remove_contents(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, 1 + 16 + 8, remove_stripe};
    return sweep_partitions(&walk);
}
