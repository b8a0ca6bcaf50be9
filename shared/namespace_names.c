/* namespace_names: looking up, making, changing and removing the names in a directory. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "shared/namespace_rows.h"

enum { LOOKUPS_MAX = 16 };

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
    if (entry->record.linking) {
        *ret = STANDING_SETTLED;
        return link_finish(ns, entry);
    }
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

/* One reading of a name, with what it points to. ERR_CONFLICT: what was met is settled, or the file
 * was removed between the two readings; read again. */
static int lookup_once(struct namespace *ns, const struct id128 *directory, const char *name,
                       struct entry *ret) {
    enum standing standing = STANDING_HERE;
    int err = entry_read(ns, directory, name, ret);
    if (err == ERR_NO_ENTRY) {
        entry_release(ret);
        return conflict_lookup(ns, directory, name, ret);
    }
    if (err == 0) {
        err = entry_stands(ns, ret, &standing);
    }
    if (err == 0 && standing == STANDING_SETTLED) {
        err = ERR_CONFLICT;
    }
    if (err == 0 && entry_points(ret)) {
        err = link_follow(ns, ret);
        err = err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
    }
    if (err < 0) {
        entry_release(ret);
    }
    return err;
}

int namespace_lookup(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret) {
    int err = name_check(name);
    if (err < 0) {
        return err;
    }
    for (int i = 0; i < LOOKUPS_MAX; i++) {
        struct entry entry;
        err = lookup_once(ns, directory, name, &entry);
        if (err == 0) {
            *ret = entry;
        }
        if (err != ERR_CONFLICT) {
            return err;
        }
    }
    return ERR_CORRUPT; /* a name that points nowhere, again and again */
}

/* ---- create ---- */

struct insertion {
    const struct id128 *directory;
    const char *name;
    const struct record *record;
    store_options options;
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
            err = link_follow(ns, &there);
        }
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
    err = commit_run(ns, &partition, &commit, in->options);
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

static int insert(struct namespace *ns, struct insertion *in, struct entry *ret) {
    struct buffer encoded = {0};
    int err = conflict_make_real(ns, in->directory, in->name);
    if (err < 0) {
        return err;
    }
    record_encode(in->record, &encoded);
    err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = insert_try(ns, in, buffer_bytes(&encoded), ret);
    }
    buffer_release(&encoded);
    return err;
}

int entry_insert(struct namespace *ns, const struct id128 *directory, const char *name,
                 const struct record *record, struct entry *ret) {
    struct insertion in = {.directory = directory, .name = name, .record = record};
    return insert(ns, &in, ret);
}

static int create(struct namespace *ns, const struct id128 *directory, const char *name,
                  const struct record *record, store_options options, struct entry *ret) {
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
    struct insertion in = {
        .directory = directory, .name = name, .record = &made, .options = options};
    err = insert(ns, &in, ret);
    bool alone = err == 0 && ret->alone;
    if (made.contents_kind == CONTENTS_BLOCKS && !alone) {
        contents_named(ns, &made.contents);
    }
    return err;
}

int namespace_create(struct namespace *ns, const struct id128 *directory, const char *name,
                     const struct record *record, struct entry *ret) {
    return create(ns, directory, name, record, 0, ret);
}

int namespace_create_available(struct namespace *ns, const struct id128 *directory,
                               const char *name, const struct record *record, bool synced,
                               struct entry *ret) {
    store_options options = STORE_AVAILABLE | (synced ? MESSAGE_SYNCED : 0);
    return create(ns, directory, name, record, options, ret);
}

/* ---- update ---- */

struct updating {
    int (*change)(void *context, struct record *record);
    void *context;
    bool synced;
};

/* Whether the change may be made without a majority: not where two versions would name the same
 * blocks, or the list of the file's names is to change. */
static bool update_available(const struct namespace *ns, const struct entry *now,
                             const struct record *changed) {
    bool same_blocks = now->record.contents_kind == CONTENTS_BLOCKS &&
                       changed->contents_kind == CONTENTS_BLOCKS &&
                       id128_equal(&now->record.contents, &changed->contents);
    return !now->linked && (!same_blocks || contents_fresh(ns, &changed->contents));
}

/* Contents that a record names which a majority may have are nobody's own any more. */
static void update_settle(struct namespace *ns, const struct entry *now, int err,
                          const struct record *changed) {
    if (changed->contents_kind == CONTENTS_BLOCKS && !(err == 0 && now->alone)) {
        contents_named(ns, &changed->contents);
    }
}

/* One run of the change on `now`. ERR_CONFLICT: `now` is the newer record. */
static int update_try(struct namespace *ns, struct entry *now, const struct updating *u) {
    struct record changed;
    record_copy(&now->record, &changed);
    int err = u->change(u->context, &changed);
    if (err == 0 && (record_check(&changed) < 0 || !record_same_file(&changed, &now->record))) {
        err = ERR_INVALID;
    }
    if (err == 0) {
        record_mark_changes(&now->record, &changed, ns->store->wall_ns(ns->store->self));
        store_options options = u->synced ? MESSAGE_SYNCED : 0;
        options |= update_available(ns, now, &changed) ? STORE_AVAILABLE : 0;
        err = entry_replace(ns, now, &changed, options);
        update_settle(ns, now, err, &changed);
    }
    record_release(&changed);
    return err;
}

/* What stands under the name of `file`; a file of several names has its record elsewhere. */
static int renew_by_name(struct namespace *ns, struct entry *now, const struct entry *file) {
    struct entry newer;
    int err = entry_read_settled(ns, &file->directory, file->name, &newer);
    if (err == 0) {
        err = link_follow(ns, &newer);
    }
    if (err < 0) {
        entry_release(&newer);
        return err;
    }
    entry_release(now);
    *now = newer;
    return 0;
}

/* The name has gone to another file, or is none any more: the file may have others. */
static int renew_by_id(struct namespace *ns, struct entry *now, const struct entry *file) {
    struct entry newer;
    if (S_ISDIR(file->record.mode)) {
        return ERR_STALE;
    }
    int err = namespace_file(ns, file->record.file_id, &newer);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? ERR_STALE : err;
    }
    entry_release(now);
    *now = newer;
    return 0;
}

int entry_renew(struct namespace *ns, struct entry *now, const struct entry *file) {
    const struct record *record = &now->record;
    bool unsettled = now->seen.size == 0 || (now->n_conflicts > 0 && !now->linked) ||
                     record->move.under_way || record->linking;
    int err = 0;
    if (unsettled || entry_points(now)) {
        err = renew_by_name(ns, now, file);
    }
    if (err == ERR_NO_ENTRY || (err == 0 && !record_same_file(&now->record, &file->record))) {
        err = renew_by_id(ns, now, file);
    }
    return err;
}

/* One try on what there is of the file of `entry`. */
static int update_once(struct namespace *ns, struct entry *now, const struct entry *entry,
                       const struct updating *u) {
    int err = entry_renew(ns, now, entry);
    if (err == 0) {
        err = update_try(ns, now, u);
    }
    if (err == 0) {
        err = link_follow(ns, now);
    } else if (err == ERR_NO_ENTRY) {
        err = renew_by_id(ns, now, entry);
        err = err == 0 ? ERR_CONFLICT : err;
    }
    return err;
}

int namespace_update(struct namespace *ns, struct entry *entry,
                     int (*change)(void *context, struct record *record), void *context,
                     bool synced) {
    struct updating u = {change, context, synced};
    struct entry now;
    entry_copy(entry, &now);
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        if (i >= CONFLICT_EAGER_TRIES) {
            /* What was learned before a wait is old after it: others who do not wait came first. */
            free((void *)now.seen.data);
            now.seen = (struct bytes){0};
        }
        err = update_once(ns, &now, entry, &u);
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

/* One unlink, over all its tries. */
struct unlinking {
    const struct id128 *directory;
    const char *name;
    struct entry doomed;            /* as read in this try */
    struct entry file;              /* what it points to, when it does */
    const struct entry *known_file; /* as the caller knows it; NULL = not, or not any more */
    /* A try thought lost may have removed `doomed`: when the name stands for something else by now,
     * it did. */
    bool doubtful;
};

static void unlinking_release(struct unlinking *u) {
    entry_release(&u->doomed);
    entry_release(&u->file);
}

/* Reads the file that is to lose the name. A pointer to nothing is removed all the same. */
static int unlink_file(struct namespace *ns, struct unlinking *u) {
    if (!entry_points(&u->doomed)) {
        return 0;
    }
    const struct entry *known = u->known_file;
    u->known_file = NULL;
    if (known != NULL && known->linked && record_same_file(&known->record, &u->doomed.record)) {
        entry_copy(known, &u->file); /* if it is old, taking the name off its list fails */
        return 0;
    }
    int err = namespace_file(ns, u->doomed.record.file_id, &u->file);
    return err == ERR_NO_ENTRY ? 0 : err;
}

/* The name is gone; the file may have others. */
static void unlink_drop(struct namespace *ns, struct unlinking *u) {
    u->doomed.n_links = 0;
    if (!entry_points(&u->doomed) || !u->file.linked) {
        return;
    }
    struct entry file;
    entry_copy(&u->file, &file);
    if (link_drop(ns, &file, u->directory, u->name) == 0) {
        entry_release(&u->file);
        u->file = file;
    } else {
        entry_release(&file);
        u->file.n_links -= u->file.n_links > 1; /* it stays in the list: see docs/schema.md */
    }
    u->file.directory_changed_ns = u->doomed.directory_changed_ns;
    entry_release(&u->doomed);
    u->doomed = u->file;
    u->file = (struct entry){0};
}

/* ERR_CONFLICT: once more. */
static int unlink_try(struct namespace *ns, struct unlinking *u) {
    struct entry entry;
    int err = entry_read_settled(ns, u->directory, u->name, &entry);
    bool gone =
        err == ERR_NO_ENTRY || (err == 0 && !record_same_file(&entry.record, &u->doomed.record));
    if (u->doubtful && gone) {
        entry_release(&entry);
        unlink_drop(ns, u);
        return 0;
    }
    if (err < 0) {
        entry_release(&entry);
        return err;
    }
    unlinking_release(u);
    u->doomed = entry;
    u->doubtful = false;
    err = S_ISDIR(entry.record.mode) ? ERR_IS_DIRECTORY : move_source_gone(ns, &entry.record);
    if (err == 0) {
        err = unlink_file(ns, u);
    }
    if (err == 0) {
        err = entry_delete_available(ns, &u->doomed, &u->doubtful);
    }
    if (err == 0) {
        unlink_drop(ns, u);
    }
    return err;
}

static int unlink_run(struct namespace *ns, struct unlinking *unlinking,
                      struct entry *ret_removed) {
    struct unlinking u = *unlinking;
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = unlink_try(ns, &u);
    }
    if (err == 0 && ret_removed) {
        *ret_removed = u.doomed;
        u.doomed = (struct entry){0};
    }
    unlinking_release(&u);
    return err;
}

int namespace_unlink(struct namespace *ns, const struct id128 *directory, const char *name,
                     struct entry *ret_removed) {
    struct unlinking u = {.directory = directory, .name = name};
    int err = name_check(name);
    return err < 0 ? err : unlink_run(ns, &u, ret_removed);
}

int namespace_unlink_linked(struct namespace *ns, const struct id128 *directory, const char *name,
                            const struct entry *file, struct entry *ret_removed) {
    struct unlinking u = {.directory = directory, .name = name, .known_file = file};
    int err = name_check(name);
    return err < 0 ? err : unlink_run(ns, &u, ret_removed);
}

bool entry_is_plain(const struct entry *entry) {
    const struct record *record = &entry->record;
    return entry->seen.size > 0 && entry->n_conflicts == 0 && !entry->linked &&
           !S_ISDIR(record->mode) && record->contents_kind != CONTENTS_LINKED && !record->linking &&
           !record->move.under_way && id128_is_zero(&record->arrival.txid);
}

int namespace_replace(struct namespace *ns, const struct entry *there, const struct record *record,
                      bool synced, struct entry *ret) {
    if (!entry_is_plain(there) || !S_ISREG(there->record.mode)) {
        return ERR_STALE;
    }
    struct record placed = *record; /* borrows the caller's bytes */
    placed.move = (struct record_move){0};
    placed.arrival = (struct record_arrival){0};
    if (record_check(&placed) < 0) {
        return ERR_INVALID;
    }
    entry_copy(there, ret);
    int err = entry_replace(ns, ret, &placed, synced ? MESSAGE_SYNCED : 0);
    if (placed.contents_kind == CONTENTS_BLOCKS) {
        contents_named(ns, &placed.contents);
    }
    if (err < 0) {
        entry_release(ret);
    }
    return err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
}

/* The first try, of what is known in `u`, has ended; when it was in vain the others follow. */
static int unlink_end(struct namespace *ns, struct unlinking *u, int err,
                      struct entry *ret_removed) {
    if (err == ERR_CONFLICT) {
        return unlink_run(ns, u, ret_removed);
    }
    if (err == 0 && ret_removed) {
        *ret_removed = u->doomed;
        u->doomed = (struct entry){0};
    }
    unlinking_release(u);
    return err;
}

int namespace_unlink_known(struct namespace *ns, const struct entry *known,
                           struct entry *ret_removed) {
    struct unlinking u = {.directory = &known->directory, .name = known->name};
    int err = ERR_CONFLICT;
    if (entry_is_plain(known)) {
        entry_copy(known, &u.doomed);
        u.doomed.n_links = 0;
        err = entry_delete(ns, &u.doomed, &u.doomed.directory_changed_ns, &u.doubtful);
    }
    return unlink_end(ns, &u, err, ret_removed);
}

int namespace_unlink_pointer(struct namespace *ns, const struct entry *pointer,
                             const struct entry *file, struct entry *ret_removed) {
    struct unlinking u = {.directory = &pointer->directory, .name = pointer->name};
    entry_copy(pointer, &u.doomed);
    entry_copy(file, &u.file);
    int err = entry_delete_available(ns, &u.doomed, &u.doubtful);
    if (err == 0) {
        unlink_drop(ns, &u);
    }
    return unlink_end(ns, &u, err, ret_removed);
}
