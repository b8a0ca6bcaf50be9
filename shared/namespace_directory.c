/* namespace_directory: making and removing directories, and their attributes. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

/* ---- mkdir ---- */

/* Deletes the header that `row` has just read or written. */
static int header_delete(struct namespace *ns, const struct id128 *directory,
                         const struct header_row *row) {
    struct key partition = key_directory(directory, 0);
    struct key sort = key_header();
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_DELETE,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = row->seen};
    int err = commit_run(ns, &partition, &commit, 0);
    commit_release(&commit);
    header_forget(ns, directory);
    return err;
}

/* Whether nothing can have been written under the name, so that the header is surely an orphan. */
static bool surely_not_made(int err) {
    return err == ERR_EXISTS || err == ERR_NO_ENTRY || err == ERR_BUSY;
}

int namespace_mkdir_as(struct namespace *ns, const struct id128 *directory, const char *name,
                       const struct directory_attributes *made, struct entry *ret) {
    int err = name_check(name);
    if (err < 0) {
        return err;
    }
    struct id128 child = namespace_id(ns);
    int64_t now = (int64_t)ns->store->wall_ns(ns->store->self);
    struct header_row row = {.header = {.state = DIRECTORY_LIVE,
                                        .mode = made->mode & 07777,
                                        .uid = made->uid,
                                        .gid = made->gid,
                                        .atime_ns = now,
                                        .mtime_ns = now,
                                        .ctime_ns = now,
                                        .parent = *directory,
                                        .xattrs = made->xattrs}};
    memcpy(row.header.name, name, strlen(name) + 1);
    struct record record = {.mode = S_IFDIR | row.header.mode,
                            .uid = made->uid,
                            .gid = made->gid,
                            .file_id = directory_ino(&child),
                            .atime_ns = now,
                            .mtime_ns = now,
                            .ctime_ns = now,
                            .directory = child};
    err = header_write(ns, &child, &row, 0);
    if (err == 0) {
        /* Making the header changed the partition: what namespace_attributes() will say. */
        record.mtime_ns = record.ctime_ns = (int64_t)row.tally.changed_ns;
        err = entry_insert(ns, directory, name, &record, ret);
        if (surely_not_made(err)) {
            header_delete(ns, &child, &row); /* an orphan that stays does no harm */
        }
    }
    free((void *)row.seen.data);
    return err;
}

int namespace_mkdir(struct namespace *ns, const struct id128 *directory, const char *name,
                    uint32_t mode, uint32_t uid, uint32_t gid, struct entry *ret) {
    struct directory_attributes made = {.mode = mode, .uid = uid, .gid = gid};
    return namespace_mkdir_as(ns, directory, name, &made, ret);
}

/* ---- rmdir ---- */

/* On 0 the row is what was stored. */
static int rmdir_mark(struct namespace *ns, const struct id128 *child, struct header_row *row) {
    struct key partition = key_directory(child, 0);
    struct key sort = key_header();
    struct buffer value = {0};
    row->header.state = DIRECTORY_DYING;
    header_encode(&row->header, &value);
    struct commit commit = {.n = 2};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = row->seen,
                                    .value = buffer_bytes(&value)};
    /* The header itself is the one live row of an empty directory. */
    commit.ops[1] = (struct row_op){.kind = ROW_GUARD, .condition = ROW_COUNT_MAX, .count_max = 1};
    int err = commit_run(ns, &partition, &commit, 0);
    if (err == ERR_CONFLICT && commit.outcome.reply.failed_index == 1) {
        err = ERR_NOT_EMPTY;
    }
    if (err == 0) {
        free((void *)row->seen.data);
        row->header.xattrs = (struct bytes){0}; /* they lay there */
        row->seen = commit_context(&commit, 0);
    }
    commit_release(&commit);
    buffer_release(&value);
    header_forget(ns, child);
    return err;
}

/* As rmdir_begin(). *ret: the header's row; its `seen` is the dying header's, if it is one. To be
 * freed whatever the answer. */
static int rmdir_begin_row(struct namespace *ns, const struct id128 *child,
                           struct header_row *ret) {
    int err = ERR_CONFLICT;
    *ret = (struct header_row){0};
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        free((void *)ret->seen.data);
        err = header_read(ns, child, ret);
        if (err < 0) {
            *ret = (struct header_row){0};
            return err;
        }
        if (ret->found && ret->header.state == DIRECTORY_LIVE) {
            err = rmdir_mark(ns, child, ret);
        }
    }
    return err;
}

int rmdir_begin(struct namespace *ns, const struct id128 *child) {
    struct header_row row;
    int err = rmdir_begin_row(ns, child, &row);
    free((void *)row.seen.data);
    return err;
}

int rmdir_end(struct namespace *ns, const struct id128 *child) {
    struct header_row row;
    int err = header_read(ns, child, &row);
    if (err < 0) {
        return err;
    }
    if (row.found && row.header.state == DIRECTORY_DYING) {
        err = header_delete(ns, child, &row);
    }
    free((void *)row.seen.data);
    return err == ERR_CONFLICT ? 0 : err; /* somebody else finishes it */
}

/* Removes `name` from `parent` if it stands for `child`. */
static int name_remove(struct namespace *ns, const struct id128 *child, const struct id128 *parent,
                       const char *name) {
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        struct entry entry;
        err = entry_read(ns, parent, name, &entry);
        if (err == 0 && S_ISDIR(entry.record.mode) && id128_equal(&entry.record.directory, child)) {
            err = entry_delete(ns, &entry, NULL, NULL);
        }
        entry_release(&entry);
    }
    return err == ERR_NO_ENTRY ? 0 : err;
}

int rmdir_finish(struct namespace *ns, const struct id128 *child, const struct id128 *parent,
                 const char *name) {
    int err = name_remove(ns, child, parent, name);
    return err < 0 ? err : rmdir_end(ns, child);
}

/* What is left to do, by what was read and written before; by reading anew where others came
 * between. `dying`: the header's row. */
static int rmdir_rest(struct namespace *ns, const struct entry *entry,
                      const struct header_row *dying, int64_t *ret_changed_ns) {
    const struct id128 *child = &entry->record.directory;
    int err = entry_delete(ns, entry, ret_changed_ns, NULL);
    if (err == 0 && dying->found) {
        err = header_delete(ns, child, dying);
        return err == ERR_CONFLICT ? 0 : err; /* somebody else finishes it */
    }
    return err == 0 || err == ERR_CONFLICT ? rmdir_finish(ns, child, &entry->directory, entry->name)
                                           : err;
}

int namespace_rmdir(struct namespace *ns, const struct id128 *directory, const char *name) {
    int64_t changed_ns;
    return namespace_rmdir_changed(ns, directory, name, &changed_ns);
}

int namespace_rmdir_changed(struct namespace *ns, const struct id128 *directory, const char *name,
                            int64_t *ret_changed_ns) {
    *ret_changed_ns = 0;
    int err = name_check(name);
    if (err < 0) {
        return err;
    }
    struct entry entry;
    err = entry_read_settled(ns, directory, name, &entry);
    if (err == 0 && !S_ISDIR(entry.record.mode)) {
        err = ERR_NOT_DIRECTORY;
    }
    if (err == 0) {
        err = move_source_gone(ns, &entry.record);
    }
    struct header_row dying = {0};
    if (err == 0) {
        err = rmdir_begin_row(ns, &entry.record.directory, &dying);
    }
    if (err == 0) {
        err = rmdir_rest(ns, &entry, &dying, ret_changed_ns);
    }
    free((void *)dying.seen.data);
    entry_release(&entry);
    return err;
}

/* ---- attributes ---- */

/* The tallies of one directory's shards, read together. */
struct shard_read {
    struct namespace *ns;
    struct key partition;
    struct tally tally;
};

static int shard_tally_read(void *arg) {
    struct shard_read *read = arg;
    struct key sort = key_header(); /* no such row outside shard 0: only the tally matters */
    struct store_row row = {0};
    struct store *store = read->ns->store;
    int err =
        store->get(store->self, key_bytes(&read->partition), key_bytes(&sort), LEVEL_QUORUM, &row);
    if (err == 0) {
        read->tally = row.tally;
        store_row_release(&row);
    }
    return err;
}

/* Adds what the shards beside the first hold to *tally. */
static int shards_tally(struct namespace *ns, const struct id128 *directory, struct tally *tally) {
    uint32_t n = 1u << directory_shard_bits(directory);
    if (n == 1) {
        return 0;
    }
    struct shard_read *reads = memory_new(n, sizeof *reads);
    struct task_group group = {0};
    for (uint32_t i = 1; i < n; i++) {
        reads[i] = (struct shard_read){.ns = ns, .partition = key_directory(directory, (uint8_t)i)};
        task_group_run(&group, shard_tally_read, &reads[i]);
    }
    task_group_wait(&group, 0);
    for (uint32_t i = 1; i < n && group.status == 0; i++) {
        tally->n_live += reads[i].tally.n_live;
        if (reads[i].tally.changed_ns > tally->changed_ns) {
            tally->changed_ns = reads[i].tally.changed_ns;
        }
    }
    free(reads);
    return group.status;
}

/* How many names there are; the header is counted with them. 0 for a tally that cannot be. */
static uint64_t count_of(const struct header_row *row) {
    uint64_t n = row->tally.n_live - row->found;
    return n <= INT64_MAX ? n : 0;
}

static void attributes_fill(const struct header_row *row, struct directory_attributes *ret) {
    const struct header *header = &row->header;
    int64_t changed = (int64_t)row->tally.changed_ns;
    *ret = (struct directory_attributes){.mode = header->mode,
                                         .uid = header->uid,
                                         .gid = header->gid,
                                         .atime_ns = header->atime_ns,
                                         .mtime_ns = header->mtime_ns,
                                         .ctime_ns = header->ctime_ns,
                                         .n_entries = count_of(row),
                                         .parent = header->parent};
    if (header->xattrs.size > 0) {
        ret->xattrs = bytes_copy(header->xattrs);
    }
    if (header_names_changed(row)) {
        ret->mtime_ns = changed;
    }
    if (changed > header->ctime_ns) {
        ret->ctime_ns = changed;
    }
}

/* Header and tally of a live directory. ERR_STALE when it is gone; `row` is then empty. */
static int directory_read(struct namespace *ns, const struct id128 *directory,
                          struct header_row *row) {
    int err = header_read(ns, directory, row);
    if (err < 0) {
        *row = (struct header_row){0};
        return err;
    }
    bool root = id128_equal(directory, &namespace_root);
    if (row->found && row->header.state == DIRECTORY_DYING) {
        err = rmdir_finish(ns, directory, &row->header.parent, row->header.name);
        return err < 0 ? err : ERR_STALE;
    }
    if (!row->found && !root) {
        return ERR_STALE;
    }
    return shards_tally(ns, directory, &row->tally);
}

int namespace_attributes(struct namespace *ns, const struct id128 *directory,
                         struct directory_attributes *ret) {
    struct header_row row;
    int err = directory_read(ns, directory, &row);
    if (err == 0) {
        attributes_fill(&row, ret);
    }
    free((void *)row.seen.data);
    return err;
}

void directory_attributes_release(struct directory_attributes *attributes) {
    free((void *)attributes->xattrs.data);
    attributes->xattrs = (struct bytes){0};
}

static void attributes_apply(struct header_row *row, unsigned mask,
                             const struct directory_attributes *attributes, int64_t now_ns) {
    struct header *header = &row->header;
    header->mode = mask & ATTRIBUTE_MODE ? attributes->mode & 07777 : header->mode;
    header->uid = mask & ATTRIBUTE_UID ? attributes->uid : header->uid;
    header->gid = mask & ATTRIBUTE_GID ? attributes->gid : header->gid;
    header->atime_ns = mask & ATTRIBUTE_ATIME ? attributes->atime_ns : header->atime_ns;
    header->ctime_ns = mask & ATTRIBUTE_CTIME ? attributes->ctime_ns : now_ns;
    if (mask & ATTRIBUTE_XATTRS) {
        header->xattrs = attributes->xattrs; /* header_write() copies them */
    }
    if (mask & ATTRIBUTE_MTIME) {
        header->mtime_ns = attributes->mtime_ns;
        header->mtime_tally_ns = row->tally.changed_ns;
    }
}

struct directory_change {
    int (*change)(void *context, struct directory_attributes *attributes);
    void *context;
};

/* Runs the change on what was read, and puts the outcome into `row`. */
static int change_run(const struct directory_change *change, struct header_row *row,
                      int64_t now_ns) {
    struct directory_attributes attributes;
    attributes_fill(row, &attributes);
    struct bytes copied = attributes.xattrs;
    int mask = change->change(change->context, &attributes);
    if (mask >= 0) {
        unsigned set = (unsigned)mask;
        /* Left as they are they would point into the copy. */
        set &= attributes.xattrs.data == copied.data ? ~(unsigned)ATTRIBUTE_XATTRS : ~0u;
        const struct header before = row->header;
        attributes_apply(row, set, &attributes, now_ns);
        header_mark_changes(&before, &row->header, (uint64_t)now_ns);
    }
    free((void *)copied.data);
    return mask < 0 ? mask : 0;
}

static int change_try(struct namespace *ns, const struct id128 *directory,
                      const struct directory_change *change, struct directory_attributes *ret) {
    struct header_row row;
    int err = directory_read(ns, directory, &row);
    if (err == 0 && !row.found) {
        /* The root's first header: making the row counts as a change of the tally, which the
         * attributes must come after. */
        err = header_write(ns, directory, &row, STORE_AVAILABLE);
        err = err == 0 ? ERR_CONFLICT : err;
    }
    if (err == 0) {
        err = change_run(change, &row, (int64_t)ns->store->wall_ns(ns->store->self));
    }
    if (err == 0) {
        struct tally tally = row.tally;
        err = header_write(ns, directory, &row, STORE_AVAILABLE);
        row.tally = tally; /* of all shards; an update of the header leaves it as it was */
    }
    if (err == 0) {
        attributes_fill(&row, ret);
    }
    free((void *)row.seen.data);
    return err;
}

int namespace_update_directory(struct namespace *ns, const struct id128 *directory,
                               int (*change)(void *context,
                                             struct directory_attributes *attributes),
                               void *context, struct directory_attributes *ret) {
    struct directory_change run = {change, context};
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = change_try(ns, directory, &run, ret);
    }
    return err;
}

struct setting {
    unsigned mask;
    const struct directory_attributes *attributes;
};

static int set_all(void *context, struct directory_attributes *attributes) {
    const struct setting *setting = context;
    *attributes = *setting->attributes;
    return (int)setting->mask;
}

int namespace_set_attributes(struct namespace *ns, const struct id128 *directory, unsigned mask,
                             const struct directory_attributes *attributes,
                             struct directory_attributes *ret) {
    struct setting setting = {mask, attributes};
    return namespace_update_directory(ns, directory, set_all, &setting, ret);
}
