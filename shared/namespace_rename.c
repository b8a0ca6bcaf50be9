/* namespace_rename: within a partition one batch; between partitions in the order of
 * namespace_move.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "shared/namespace_rows.h"
#include "shared/sweep_barrier.h"
#include "shared/task.h"

/* One rename, over all its tries. */
struct rename {
    const struct id128 *from_directory, *to_directory;
    const char *from_name, *to_name;
    unsigned flags;
    struct entry from; /* as read in this try */
    struct entry to;   /* record.mode 0: nothing there */
    /* What they point to, when they do; `linked` false: they do not. */
    struct entry from_file, to_file;
    bool to_missing; /* nothing was read there: it is known that there is none */
    bool same_place;
    /* A try thought lost may have moved `from` already. */
    bool doubtful;
    struct record doubted;
    struct entry moved; /* result */
};

static bool to_exists(const struct rename *r) {
    return r->to.record.mode != 0;
}

static struct key partition_of(const struct id128 *directory, const char *name) {
    return key_directory(directory, directory_shard(directory, name_hash(name)));
}

static bool one_partition(const struct rename *r) {
    struct key from = partition_of(r->from_directory, r->from_name);
    struct key to = partition_of(r->to_directory, r->to_name);
    return bytes_equal(key_bytes(&from), key_bytes(&to));
}

/* ---- what rename(2) says about the two names ---- */

static int check_kinds(const struct rename *r) {
    bool from_directory = S_ISDIR(r->from.record.mode);
    if (r->flags & RENAME_EXCHANGE) {
        return to_exists(r) ? 0 : ERR_NO_ENTRY;
    }
    if (!to_exists(r)) {
        return 0;
    }
    if (r->flags & RENAME_NOREPLACE) {
        return ERR_EXISTS;
    }
    if (from_directory != S_ISDIR(r->to.record.mode)) {
        return from_directory ? ERR_NOT_DIRECTORY : ERR_IS_DIRECTORY;
    }
    return 0;
}

/* Makes both names ready to be changed: earlier renames finished, an empty directory that is to be
 * replaced marked dying. */
static int prepare(struct namespace *ns, struct rename *r) {
    int err = move_source_gone(ns, &r->from.record);
    if (err == 0 && to_exists(r)) {
        err = move_source_gone(ns, &r->to.record);
    }
    if (err == 0 && to_exists(r) && S_ISDIR(r->to.record.mode) && !(r->flags & RENAME_EXCHANGE)) {
        err = rmdir_begin(ns, &r->to.record.directory);
    }
    return err;
}

/* The record as it is to be at its new place; borrows the old one's bytes. */
static struct record record_moved(struct namespace *ns, const struct entry *from) {
    struct record record = from->record;
    record_succeed(&record, from);
    record.ctime_ns = (int64_t)ns->store->wall_ns(ns->store->self);
    record.arrival = (struct record_arrival){0};
    record.displaced = (struct bytes){0};
    record.move = (struct record_move){0};
    return record;
}

/* ---- files with several names ---- */

/* Reads the file that a name points to and lists its new name, if it gets one. */
static int file_prepare(struct namespace *ns, const struct entry *name, const struct id128 *to,
                        const char *to_name, struct entry *file) {
    if (!entry_points(name)) {
        return 0;
    }
    int err = namespace_file(ns, name->record.file_id, file);
    if (err == 0 && to) {
        err = link_claim(ns, file, to, to_name);
    }
    return err == ERR_NO_ENTRY ? ERR_CONFLICT : err; /* its last name went: read again */
}

/* Before anything is renamed, and after the names' rows were read: see namespace_link.c. */
static int files_prepare(struct namespace *ns, struct rename *r) {
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    int err = file_prepare(ns, &r->from, r->to_directory, r->to_name, &r->from_file);
    if (err == 0 && to_exists(r)) {
        err = file_prepare(ns, &r->to, exchange ? r->from_directory : NULL, r->from_name,
                           &r->to_file);
    }
    return err;
}

/* The rename has taken place: the old names leave the lists. */
static void files_settle(struct namespace *ns, struct rename *r) {
    if (r->from_file.linked) {
        link_drop(ns, &r->from_file, r->from_directory, r->from_name);
    }
    if (r->to_file.linked && link_drop(ns, &r->to_file, r->to_directory, r->to_name) < 0) {
        r->to_file.n_links -= r->to_file.n_links > 1; /* it stays in the list */
    }
}

/* It surely has not. */
static void files_give_back(struct namespace *ns, struct rename *r) {
    if (r->from_file.linked) {
        link_give_back(ns, r->from_file.record.file_id, r->to_directory, r->to_name);
    }
    if (r->to_file.linked && (r->flags & RENAME_EXCHANGE)) {
        link_give_back(ns, r->to_file.record.file_id, r->from_directory, r->from_name);
    }
}

static bool surely_not_renamed(int err) {
    return err != ERR_UNKNOWN && err != ERR_UNAVAILABLE && err != ERR_TIMEOUT &&
           err != ERR_INTERRUPTED && err != ERR_CLOSED;
}

/* ---- within one partition ---- */

static struct row_op put_op(const struct key *sort, const struct entry *entry,
                            const struct buffer *value) {
    return (struct row_op){.kind = ROW_PUT,
                           .condition = ROW_IF_MATCH,
                           .sort_key = key_bytes(sort),
                           .seen = entry->seen,
                           .value = buffer_bytes(value)};
}

/* No guard: the source lives until this very batch, so its directory cannot be dying. */
static int rename_within(struct namespace *ns, struct rename *r) {
    struct key partition = partition_of(r->from_directory, r->from_name);
    struct key from_key = key_entry(r->from_name), to_key = key_entry(r->to_name);
    struct record moved = record_moved(ns, &r->from);
    struct buffer to_value = {0}, from_value = {0};
    record_encode(&moved, &to_value);
    struct commit commit = {.n = 2};
    commit.ops[0] = put_op(&to_key, &r->to, &to_value);
    commit.ops[0].condition = r->to_missing ? ROW_IF_ABSENT : ROW_IF_MATCH;
    if (r->flags & RENAME_EXCHANGE) {
        struct record back = record_moved(ns, &r->to);
        record_encode(&back, &from_value);
    }
    commit.ops[1] = put_op(&from_key, &r->from, &from_value);
    if (!(r->flags & RENAME_EXCHANGE)) {
        commit.ops[1].kind = ROW_DELETE;
    }
    int err = commit_run(ns, &partition, &commit, 0);
    if (err == 0) {
        entry_copy(&r->to, &r->moved);
        entry_stored(&r->moved, &moved, &commit, 0);
        bool counted = (r->flags & RENAME_EXCHANGE) == 0; /* a name went */
        uint64_t changed_ns = counted ? commit.outcome.reply.tally.changed_ns : 0;
        r->moved.directory_changed_ns = (int64_t)changed_ns;
    }
    r->doubtful = r->doubtful || commit.doubtful;
    commit_release(&commit);
    buffer_release(&to_value);
    buffer_release(&from_value);
    return err;
}

/* ---- between partitions ---- */

static int mark(struct namespace *ns, struct rename *r) {
    struct record marked = r->from.record;
    marked.arrival = (struct record_arrival){0}; /* prepare() saw to it that it is over */
    marked.displaced = (struct bytes){0};
    marked.move = (struct record_move){.under_way = true,
                                       .txid = namespace_id(ns),
                                       .to_directory = *r->to_directory,
                                       .started_ns = ns->store->wall_ns(ns->store->self)};
    memcpy(marked.move.to_name, r->to_name, strlen(r->to_name) + 1);
    int err = entry_replace(ns, &r->from, &marked, 0);
    if (err == 0 && !id128_equal(&r->from.record.move.txid, &marked.move.txid)) {
        return ERR_CONFLICT; /* its answer was late, and it has been undone meanwhile */
    }
    return err == ERR_NO_ENTRY ? ERR_CONFLICT : err;
}

/* The destination's row is not what it was. Ours all the same, from a try thought lost? */
static bool arrived_before(const struct rename *r, const struct commit *commit) {
    struct entry there;
    int err =
        entry_from_encoded(r->to_directory, r->to_name, commit->outcome.reply.current, &there);
    bool ours = err == 0 && id128_equal(&there.record.arrival.txid, &r->from.record.move.txid);
    entry_release(&there);
    return ours;
}

static int arrive_try(struct namespace *ns, struct rename *r, const struct record *record,
                      struct bytes encoded, bool *ret_again) {
    struct bytes header_seen;
    int err = header_guard(ns, r->to_directory, &header_seen);
    *ret_again = false;
    if (err < 0) {
        return err;
    }
    struct key partition = partition_of(r->to_directory, r->to_name);
    struct key sort = key_entry(r->to_name), header = key_header();
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = r->to.seen,
                                    .value = encoded};
    if (!id128_equal(r->to_directory, &namespace_root)) {
        commit.ops[commit.n++] = header_guard_op(&header, header_seen);
    }
    err = commit_run(ns, &partition, &commit, 0);
    if (err == ERR_CONFLICT && commit.outcome.reply.failed_index == 1) {
        header_forget(ns, r->to_directory);
        *ret_again = true;
    } else if (err == ERR_CONFLICT && arrived_before(r, &commit)) {
        err = 0;
    }
    if (err == 0) {
        entry_copy(&r->to, &r->moved);
        entry_stored(&r->moved, record, &commit, 0);
        r->moved.directory_changed_ns = 0; /* of a shard */
    }
    commit_release(&commit);
    free((void *)header_seen.data);
    return err;
}

/* The commit point. */
static int arrive(struct namespace *ns, struct rename *r) {
    struct record record = record_moved(ns, &r->from);
    record.arrival = (struct record_arrival){.txid = r->from.record.move.txid,
                                             .from_directory = *r->from_directory};
    memcpy(record.arrival.from_name, r->from_name, strlen(r->from_name) + 1);
    struct buffer encoded = {0}, displaced = {0};
    if (r->flags & RENAME_EXCHANGE) {
        struct record back = record_moved(ns, &r->to);
        record_encode(&back, &displaced);
        record.displaced = buffer_bytes(&displaced);
    }
    record_encode(&record, &encoded);
    int err = ERR_CONFLICT;
    bool again = true;
    for (int i = 0; again && i < NAMESPACE_RETRIES_MAX; i++) {
        err = arrive_try(ns, r, &record, buffer_bytes(&encoded), &again);
    }
    buffer_release(&encoded);
    buffer_release(&displaced);
    return err;
}

/* What an exchange has put into the source's place need not be kept at the destination. */
static void displaced_forget(struct namespace *ns, struct rename *r) {
    struct record record = r->moved.record;
    record.displaced = (struct bytes){0};
    record.arrival = (struct record_arrival){0};
    entry_replace(ns, &r->moved, &record, 0);
}

static int rename_across(struct namespace *ns, struct rename *r, const struct tree_lock *lock) {
    int err = mark(ns, r);
    if (err < 0) {
        return err;
    }
    err = lock && !tree_locked(ns, lock) ? ERR_CONFLICT : arrive(ns, r);
    if (err == 0) {
        /* It has happened; what these leave undone, the next one to meet the source does. */
        int finished = move_finish(ns, &r->from, r->moved.record.displaced);
        if (finished == 0 && r->moved.record.displaced.size > 0) {
            displaced_forget(ns, r);
        }
        return 0;
    }
    if (err == ERR_CONFLICT || err == ERR_NO_ENTRY) {
        move_unmark(ns, &r->from); /* surely not arrived: nothing was applied */
    }
    return err; /* else it stays marked, and is settled once the destination can be asked */
}

/* A directory that gets another parent takes its turn with all others of its kind. */
static int rename_across_parents(struct namespace *ns, struct rename *r) {
    struct tree_lock lock;
    int err = tree_lock(ns, &r->from, r->to_directory, &lock);
    if (err < 0) {
        return err;
    }
    if (S_ISDIR(r->to.record.mode) && (r->flags & RENAME_EXCHANGE)) {
        err = tree_check(ns, &r->to.record.directory, r->from_directory);
    }
    if (err == 0) {
        err = prepare(ns, r);
    }
    if (err == 0) {
        err = rename_across(ns, r, &lock);
    }
    tree_unlock(ns, &lock);
    return err;
}

/* ---- the whole ---- */

struct name_reading {
    struct namespace *ns;
    struct rename *r;
};

static int read_to(void *arg) {
    const struct name_reading *reading = arg;
    struct rename *r = reading->r;
    int err = entry_read_settled(reading->ns, r->to_directory, r->to_name, &r->to);
    return err == ERR_NO_ENTRY ? 0 : err;
}

/* Reads both names, at the same time. ERR_EXISTS and the like are check_kinds()'s. */
static int read_names(struct namespace *ns, struct rename *r) {
    struct name_reading reading = {ns, r};
    struct task_group group = {0};
    task_group_run(&group, read_to, &reading);
    int err = entry_read_settled(ns, r->from_directory, r->from_name, &r->from);
    task_group_wait(&group, 0);
    bool wanted = err == 0 || (err == ERR_NO_ENTRY && r->doubtful);
    return wanted && group.status < 0 ? group.status : err;
}

/* The source is gone: by our own doing? */
static int gone_before(struct rename *r) {
    if (!r->doubtful || !to_exists(r) || !record_same_file(&r->to.record, &r->doubted)) {
        return ERR_NO_ENTRY;
    }
    entry_copy(&r->to, &r->moved);
    entry_release(&r->to); /* what it replaced is not known any more */
    return 0;
}

/* After success: what is no part of the commit. */
static void settle_directories(struct namespace *ns, const struct rename *r) {
    if (S_ISDIR(r->moved.record.mode) && one_partition(r)) {
        back_pointer_set(ns, &r->moved.record.directory, r->from_directory, r->to_directory,
                         r->to_name);
    }
    if (!to_exists(r) || !S_ISDIR(r->to.record.mode)) {
        return;
    }
    if ((r->flags & RENAME_EXCHANGE) && one_partition(r)) {
        back_pointer_set(ns, &r->to.record.directory, r->to_directory, r->from_directory,
                         r->from_name);
    } else if (!(r->flags & RENAME_EXCHANGE)) {
        rmdir_end(ns, &r->to.record.directory);
    }
}

/* The tally of a partition tells when a name came or went; one that was replaced did neither. That
 * the rename took place does not hang on this. */
static void directory_touch(struct namespace *ns, const struct id128 *directory) {
    struct directory_attributes now = {.mtime_ns = (int64_t)ns->store->wall_ns(ns->store->self)};
    now.ctime_ns = now.mtime_ns;
    namespace_set_attributes(ns, directory, ATTRIBUTE_MTIME | ATTRIBUTE_CTIME, &now, &now);
}

static void touch_directories(struct namespace *ns, const struct rename *r) {
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;
    if (to_exists(r) && (exchange || !one_partition(r))) {
        directory_touch(ns, r->to_directory);
    }
    if (exchange && !id128_equal(r->from_directory, r->to_directory)) {
        directory_touch(ns, r->from_directory);
    }
}

static int rename_names(struct namespace *ns, struct rename *r) {
    if (one_partition(r)) {
        int err = prepare(ns, r);
        return err < 0 ? err : rename_within(ns, r);
    }
    bool directory = S_ISDIR(r->from.record.mode) ||
                     (S_ISDIR(r->to.record.mode) && (r->flags & RENAME_EXCHANGE));
    if (directory && !id128_equal(r->from_directory, r->to_directory)) {
        return rename_across_parents(ns, r);
    }
    int err = prepare(ns, r);
    return err < 0 ? err : rename_across(ns, r, NULL);
}

/* A sweep may have read the place where they go, and not yet the one where they are. */
static int note(struct namespace *ns, const struct rename *r) {
    int err = barrier_note(ns, &r->from.record);
    if (err == 0 && (r->flags & RENAME_EXCHANGE)) {
        err = barrier_note(ns, &r->to.record);
    }
    return err;
}

static int rename_move(struct namespace *ns, struct rename *r) {
    int err = note(ns, r);
    err = err < 0 ? err : files_prepare(ns, r);
    if (err == 0) {
        err = rename_names(ns, r);
    }
    if (err == 0) {
        settle_directories(ns, r);
        touch_directories(ns, r);
        files_settle(ns, r);
    } else if (surely_not_renamed(err)) {
        files_give_back(ns, r);
    }
    return err;
}

static int rename_try(struct namespace *ns, struct rename *r) {
    int err = read_names(ns, r);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? gone_before(r) : err;
    }
    err = check_kinds(r);
    if (err < 0) {
        return err;
    }
    bool one_file = to_exists(r) && record_same_file(&r->from.record, &r->to.record);
    if (r->same_place || (one_file && entry_points(&r->from) && entry_points(&r->to))) {
        entry_copy(&r->to, &r->moved);
        entry_release(&r->to);
        return 0;
    }
    if (one_file) {
        return ERR_CONFLICT; /* it was moved from the one name to the other between the readings */
    }
    return rename_move(ns, r);
}

/* Between tries: nothing read is kept but what a doubtful try may have moved. */
static void rename_forget(struct rename *r) {
    r->to_missing = false;
    if (r->doubtful && r->from.record.mode != 0) {
        record_release(&r->doubted);
        record_copy(&r->from.record, &r->doubted);
    }
    entry_release(&r->from);
    entry_release(&r->to);
    entry_release(&r->from_file);
    entry_release(&r->to_file);
}

/* Names become the files that they point to. A file that cannot be read any more stays a pointer:
 * it has been renamed all the same. */
static void files_result(struct namespace *ns, struct rename *r) {
    if (r->from_file.linked && entry_points(&r->moved)) {
        struct entry moved = r->from_file;
        moved.directory = *r->to_directory;
        memcpy(moved.name, r->to_name, strlen(r->to_name) + 1);
        r->from_file = (struct entry){0};
        entry_release(&r->moved);
        r->moved = moved;
    }
    if (r->to_file.linked) {
        entry_release(&r->to);
        r->to = r->to_file;
        r->to_file = (struct entry){0};
    } else {
        r->to.n_links = 0;
    }
    link_follow(ns, &r->moved);
}

static int rename_check(const struct rename *r) {
    const unsigned known = RENAME_NOREPLACE | RENAME_EXCHANGE;
    int err = name_check(r->from_name);
    err = err < 0 ? err : name_check(r->to_name);
    if (err == 0 && ((r->flags & ~known) || r->flags == known)) {
        err = ERR_INVALID;
    }
    return err;
}

static struct rename rename_of(const struct id128 *from_directory, const char *from_name,
                               const struct id128 *to_directory, const char *to_name,
                               unsigned flags) {
    bool same = id128_equal(from_directory, to_directory) && strcmp(from_name, to_name) == 0;
    return (struct rename){.from_directory = from_directory,
                           .to_directory = to_directory,
                           .from_name = from_name,
                           .to_name = to_name,
                           .flags = flags,
                           .same_place = same};
}

/* Reads, tries, and again, unless a try on what was known came to an end: `err`. Frees all. */
static int rename_run(struct namespace *ns, struct rename *r, int err, struct entry *ret_moved,
                      struct entry *ret_replaced) {
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        rename_forget(r);
        err = rename_try(ns, r);
    }
    if (err == 0) {
        files_result(ns, r);
    }
    if (err == 0 && ret_moved) {
        *ret_moved = r->moved;
    } else {
        entry_release(&r->moved);
    }
    bool replaced = err == 0 && to_exists(r) && !(r->flags & RENAME_EXCHANGE);
    if (ret_replaced) {
        *ret_replaced = replaced ? r->to : (struct entry){0};
    }
    if (!replaced || !ret_replaced) {
        entry_release(&r->to);
    }
    entry_release(&r->from);
    entry_release(&r->from_file);
    entry_release(&r->to_file);
    record_release(&r->doubted);
    return err;
}

int namespace_rename(struct namespace *ns, const struct id128 *from_directory,
                     const char *from_name, const struct id128 *to_directory, const char *to_name,
                     unsigned flags, struct entry *ret_moved, struct entry *ret_replaced) {
    struct rename r = rename_of(from_directory, from_name, to_directory, to_name, flags);
    int err = rename_check(&r);
    return err < 0 ? err : rename_run(ns, &r, ERR_CONFLICT, ret_moved, ret_replaced);
}

/* Whether what is known is all that the renaming needs; what it must not do is told by a reading.
 */
static bool known_suffices(const struct rename *r) {
    bool to_known = !to_exists(r) || entry_is_plain(&r->to);
    bool conflicts =
        namespace_conflict_name(r->from_name, NULL) || namespace_conflict_name(r->to_name, NULL);
    return entry_is_plain(&r->from) && to_known && !conflicts && one_partition(r) &&
           !r->same_place && (r->flags & RENAME_EXCHANGE) == 0 && check_kinds(r) == 0 &&
           !(to_exists(r) && record_same_file(&r->from.record, &r->to.record));
}

int namespace_rename_known(struct namespace *ns, const struct entry *from, const struct entry *to,
                           unsigned flags, struct entry *ret_moved, struct entry *ret_replaced) {
    struct rename r = rename_of(&from->directory, from->name, &to->directory, to->name, flags);
    int err = rename_check(&r);
    if (err < 0) {
        return err;
    }
    entry_copy(from, &r.from);
    entry_copy(to, &r.to);
    r.to_missing = !to_exists(&r);
    err = known_suffices(&r) ? rename_move(ns, &r) : ERR_CONFLICT;
    return rename_run(ns, &r, err, ret_moved, ret_replaced);
}
