/* namespace_names: looking up, making, changing and removing the names in a directory. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

/* ---- what stands ---- */

/* A directory's name is a leftover when rmdir got past its header. A header that nobody ever
 * deleted but that is missing proves nothing: the name stands. */
static int directory_stands(struct namespace *ns, const struct entry *entry, enum standing *ret) {
    const struct id128 *child = &entry->record.directory;
    *ret = STANDING_HERE;
    if (header_cached(ns, child)) {
        return 0;
    }
    struct header_row row;
    int err = header_read(ns, child, &row);
    if (err < 0) {
        return err;
    }
    free((void *)row.seen.data);
    bool dying = row.found && row.header.state == DIRECTORY_DYING;
    if (!dying && !row.deleted) {
        return 0;
    }
    *ret = STANDING_SETTLED;
    return rmdir_finish(ns, child, &entry->directory, entry->name);
}

int entry_stands(struct namespace *ns, const struct entry *entry, enum standing *ret) {
    *ret = STANDING_HERE;
    if (entry->record.move.under_way) {
        int err = move_settle(ns, entry, ret);
        if (err < 0 || *ret == STANDING_SETTLED) {
            return err;
        }
    }
    if (*ret == STANDING_HERE && S_ISDIR(entry->record.mode)) {
        return directory_stands(ns, entry, ret);
    }
    return 0;
}

int namespace_lookup(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret) {
    int err = name_check(name);
    for (int i = 0; err == 0 && i < NAMESPACE_RETRIES_MAX; i++) {
        struct entry entry;
        enum standing standing = STANDING_HERE;
        err = entry_read(ns, directory, name, &entry);
        if (err == ERR_NO_ENTRY) {
            entry_release(&entry);
            return conflict_lookup(ns, directory, name, ret);
        }
        if (err == 0) {
            err = entry_stands(ns, &entry, &standing);
        }
        if (err == 0 && standing != STANDING_SETTLED) {
            *ret = entry;
            return 0;
        }
        entry_release(&entry);
    }
    return err < 0 ? err : ERR_BUSY;
}

/* ---- create ---- */

struct insertion {
    const struct id128 *directory;
    const char *name;
    const struct record *record;
    bool doubtful; /* a try thought lost may have made it */
};

/* A conflict on the name itself: whose is it? 0 = ours, from a try thought lost; ERR_CONFLICT = try
 * again; ERR_EXISTS with `ret`. */
static int insert_met(struct namespace *ns, const struct insertion *in, const struct commit *commit,
                      struct entry *ret) {
    struct entry there;
    int err = entry_from_encoded(in->directory, in->name, commit->outcome.reply.current, &there);
    if (err == 0) {
        enum standing standing;
        if (in->doubtful && record_same_file(&there.record, in->record)) {
            *ret = there;
            return 0;
        }
        err = entry_stands(ns, &there, &standing);
        if (err == 0 && standing != STANDING_SETTLED) {
            *ret = there;
            return ERR_EXISTS;
        }
    }
    entry_release(&there);
    return err == 0 || err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
}

static int insert_try(struct namespace *ns, struct insertion *in, struct bytes encoded,
                      struct entry *ret) {
    struct bytes header_seen;
    int err = header_guard(ns, in->directory, &header_seen);
    if (err < 0) {
        return err;
    }
    struct key partition =
        key_directory(in->directory, directory_shard(in->directory, name_hash(in->name)));
    struct key sort = key_entry(in->name), header = key_header();
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_ABSENT,
                                    .sort_key = key_bytes(&sort),
                                    .value = encoded};
    if (!id128_equal(in->directory, &namespace_root)) {
        commit.ops[commit.n++] = header_guard_op(&header, header_seen);
    }
    err = commit_run(ns, &partition, &commit, 0);
    in->doubtful = in->doubtful || commit.doubtful;
    if (err == 0) {
        *ret = (struct entry){.directory = *in->directory};
        memcpy(ret->name, in->name, strlen(in->name) + 1);
        entry_stored(ret, in->record, &commit, 0);
        ret->directory_changed_ns = (int64_t)commit.outcome.reply.tally.changed_ns;
    } else if (err == ERR_CONFLICT && commit.outcome.reply.failed_index == 0) {
        err = insert_met(ns, in, &commit, ret);
    } else if (err == ERR_CONFLICT) {
        header_forget(ns, in->directory);
    }
    commit_release(&commit);
    free((void *)header_seen.data);
    return err;
}

int entry_insert(struct namespace *ns, const struct id128 *directory, const char *name,
                 const struct record *record, struct entry *ret) {
    struct insertion in = {.directory = directory, .name = name, .record = record};
    struct buffer encoded = {0};
    int err = conflict_make_real(ns, directory, name);
    if (err < 0) {
        return err;
    }
    record_encode(record, &encoded);
    err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = insert_try(ns, &in, buffer_bytes(&encoded), ret);
    }
    buffer_release(&encoded);
    return err;
}

int namespace_create(struct namespace *ns, const struct id128 *directory, const char *name,
                     const struct record *record, struct entry *ret) {
    struct record made = *record; /* borrows the caller's bytes */
    int err = name_check(name);
    if (err < 0) {
        return err;
    }
    while (made.file_id < 2) {
        made.file_id = ns->store->random(ns->store->self);
    }
    if (made.ctime_ns == 0) {
        made.ctime_ns = (int64_t)ns->store->wall_ns(ns->store->self);
        made.atime_ns = made.atime_ns ? made.atime_ns : made.ctime_ns;
        made.mtime_ns = made.mtime_ns ? made.mtime_ns : made.ctime_ns;
    }
    made.move = (struct record_move){0};
    made.arrival = (struct record_arrival){0};
    if (S_ISDIR(made.mode) || record_check(&made) < 0) {
        return ERR_INVALID;
    }
    return entry_insert(ns, directory, name, &made, ret);
}

/* ---- update ---- */

/* One run of the change on `now`. ERR_CONFLICT: `now` is the newer record. */
static int update_try(struct namespace *ns, struct entry *now,
                      int (*change)(void *context, struct record *record), void *context,
                      bool synced) {
    struct record changed;
    record_copy(&now->record, &changed);
    int err = change(context, &changed);
    if (err == 0 && (record_check(&changed) < 0 || !record_same_file(&changed, &now->record))) {
        err = ERR_INVALID;
    }
    if (err == 0) {
        err = entry_replace(ns, now, &changed, synced ? MESSAGE_SYNCED : 0);
    }
    record_release(&changed);
    return err;
}

/* Brings `now` to what stands under its name, which must still be the file of `entry`. */
static int update_renew(struct namespace *ns, struct entry *now, const struct entry *entry) {
    if (now->seen.size == 0 || now->n_conflicts > 0 || now->record.move.under_way) {
        struct entry newer;
        int err = entry_read_settled(ns, &entry->directory, entry->name, &newer);
        if (err < 0) {
            entry_release(&newer);
            return err;
        }
        entry_release(now);
        *now = newer;
    }
    return record_same_file(&now->record, &entry->record) ? 0 : ERR_STALE;
}

int namespace_update(struct namespace *ns, struct entry *entry,
                     int (*change)(void *context, struct record *record), void *context,
                     bool synced) {
    struct entry now;
    entry_copy(entry, &now);
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = update_renew(ns, &now, entry);
        if (err == 0) {
            err = update_try(ns, &now, change, context, synced);
        }
    }
    if (err == 0) {
        entry_release(entry);
        *entry = now;
        return 0;
    }
    entry_release(&now);
    return err == ERR_NO_ENTRY ? ERR_STALE : err;
}

/* ---- unlink ---- */

/* Removes what `entry` is, whose row it has just read. */
static int unlink_entry(struct namespace *ns, struct entry *entry, bool *ret_doubtful) {
    *ret_doubtful = false;
    if (S_ISDIR(entry->record.mode)) {
        return ERR_IS_DIRECTORY;
    }
    int err = move_source_gone(ns, &entry->record);
    return err < 0 ? err : entry_delete(ns, entry, &entry->directory_changed_ns, ret_doubtful);
}

/* `doomed`: what an earlier try, thought lost, may have removed; when its name stands for something
 * else by now, it did. ERR_CONFLICT: once more. */
static int unlink_try(struct namespace *ns, const struct id128 *directory, const char *name,
                      struct entry *doomed, bool *doubtful) {
    struct entry entry;
    int err = entry_read_settled(ns, directory, name, &entry);
    bool gone =
        err == ERR_NO_ENTRY || (err == 0 && !record_same_file(&entry.record, &doomed->record));
    if (*doubtful && gone) {
        entry_release(&entry);
        return 0;
    }
    if (err < 0) {
        entry_release(&entry);
        return err;
    }
    entry_release(doomed);
    *doomed = entry;
    return unlink_entry(ns, doomed, doubtful);
}

int namespace_unlink(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret_removed) {
    struct entry doomed = {0};
    bool doubtful = false;
    int err = name_check(name);
    if (err < 0) {
        return err;
    }
    err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = unlink_try(ns, directory, name, &doomed, &doubtful);
    }
    if (err == 0 && ret_removed) {
        *ret_removed = doomed;
        return 0;
    }
    entry_release(&doomed);
    return err;
}
