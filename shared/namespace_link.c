/* namespace_link: files with several names, whose record is in a row of their own. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_known.h"
#include "shared/namespace_rows.h"
#include "shared/sweep_barrier.h"
#include "shared/task.h"

/* The order in which a file gets its second name:
 *
 *   1. first name:  the record, marked `linking`       frozen: whoever meets it does 2 and 3
 *   2. file's row:  the record and the list of names   if there never was one
 *   3. first name:  a pointer                          if it is as it was after 1
 *   4. second name: a pointer                          if it is as it was before 2: the commit
 * point
 *
 * 3 and 4 are one batch when both names are in one partition.
 *
 * and every further name: the list, then the name. A name goes in the other order: it, then its
 * place in the list; with the last one goes the row. So a crash leaves a list that names too much,
 * never too little.
 *
 * To take out a name that stands for nothing (link_prune) could be the end of a file whose new name
 * is just being made. Therefore who makes a name reads its row first, then writes the list, then
 * makes the name under IF_MATCH; who takes one out reads the list, then writes the name's row
 * (entry_refuse), then the list under IF_MATCH. Whichever comes first, the other fails. */
enum { FOLLOWED_AT_ONCE = 16 };

int namespace_file(struct namespace *ns, uint64_t file_id, struct entry *ret) {
    struct key partition = key_file(file_id);
    struct store_row row = {0};
    struct link_name first;
    int err = ns->store->get(ns->store->self, key_bytes(&partition), (struct bytes){0},
                             LEVEL_QUORUM, &row);
    if (err < 0) {
        return err;
    }
    err = entry_from_versions(&namespace_root, "", &row.versions, ret);
    store_row_release(&row);
    if (err == 0) {
        struct reader links = reader_of(ret->record.links);
        bool sound = record_next_link(&links, &first) && ret->record.file_id == file_id;
        err = sound ? 0 : ERR_CORRUPT;
    }
    if (err < 0) {
        entry_release(ret);
        return err;
    }
    ret->directory = first.directory;
    memcpy(ret->name, first.name, sizeof first.name);
    return 0;
}

static void set_place(struct entry *entry, const struct id128 *directory, const char *name) {
    entry->directory = *directory;
    memmove(entry->name, name, strlen(name) + 1);
}

int link_follow(struct namespace *ns, struct entry *entry) {
    struct entry file;
    if (!entry_points(entry)) {
        return 0;
    }
    int err = namespace_file(ns, entry->record.file_id, &file);
    if (err < 0) {
        return err;
    }
    set_place(&file, &entry->directory, entry->name);
    entry_release(entry);
    *entry = file;
    return 0;
}

int link_settle(struct namespace *ns, struct entry *file) {
    struct key partition = key_entry_partition(file);
    struct store_row row = {0};
    struct entry *losers;
    int err = ns->store->get(ns->store->self, key_bytes(&partition), (struct bytes){0},
                             LEVEL_QUORUM, &row);
    if (err < 0) {
        return err;
    }
    uint32_t n = conflicts_losers(&file->directory, file->name, &row.versions, &losers);
    for (uint32_t i = 0; i < n && err == 0; i++) {
        struct entry saved = {0};
        losers[i].record.links = (struct bytes){0}; /* a file of one name */
        err = barrier_note(ns, &losers[i].record);
        err = err < 0 ? err
                      : entry_insert(ns, &losers[i].directory, losers[i].name, &losers[i].record,
                                     &saved);
        err = err == ERR_EXISTS ? 0 : err;
        entry_release(&saved);
    }
    losers_release(losers, n);
    store_row_release(&row);
    file->n_conflicts = err == 0 ? 0 : file->n_conflicts;
    return err;
}

/* ---- from one name to a row of its own ---- */

/* Step 2, with the name that it has, and `second` when that is to come (NULL: none). ERR_CONFLICT:
 * there is or was one. *ret is then not touched. */
static int file_row_make(struct namespace *ns, const struct entry *frozen,
                         const struct link_name *second, struct entry *ret) {
    int noted = barrier_note(ns, &frozen->record);
    if (noted < 0) {
        return noted;
    }
    struct entry row = {.directory = frozen->directory, .linked = true};
    memcpy(row.name, frozen->name, sizeof row.name);
    record_copy(&frozen->record, &row.record);
    row.record.linking = false;
    record_succeed(&row.record, frozen);
    int err = record_add_link(&row.record, &frozen->directory, frozen->name);
    if (err == 0 && second) {
        row.record.ctime_ns = (int64_t)ns->store->wall_ns(ns->store->self);
        err = record_add_link(&row.record, &second->directory, second->name);
    }
    struct key partition = key_file(row.record.file_id);
    struct buffer value = {0};
    record_encode(&row.record, &value);
    struct commit commit = {.n = 1};
    commit.ops[0] =
        (struct row_op){.kind = ROW_PUT, .condition = ROW_IF_MATCH, .value = buffer_bytes(&value)};
    err = err < 0 ? err : commit_run(ns, &partition, &commit, 0);
    if (err == 0) {
        entry_stored(&row, &row.record, &commit, 0);
        *ret = row;
    } else {
        entry_release(&row);
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

static struct record pointer_to(const struct record *file) {
    return (struct record){
        .mode = file->mode & S_IFMT, .file_id = file->file_id, .contents_kind = CONTENTS_LINKED};
}

/* Step 3. */
static int name_point(struct namespace *ns, const struct entry *frozen) {
    struct entry name;
    const struct record pointer = pointer_to(&frozen->record);
    entry_copy(frozen, &name);
    int err = entry_replace(ns, &name, &pointer, 0);
    entry_release(&name);
    return err == ERR_CONFLICT || err == ERR_NO_ENTRY ? 0 : err; /* somebody else did it */
}

int link_finish(struct namespace *ns, const struct entry *frozen) {
    struct entry row = {0};
    int err = file_row_make(ns, frozen, NULL, &row);
    entry_release(&row);
    return err == 0 || err == ERR_CONFLICT ? name_point(ns, frozen) : err;
}

static bool same_partition(const struct id128 *directory, const char *a, const char *b) {
    return directory_shard(directory, name_hash(a)) == directory_shard(directory, name_hash(b));
}

/* Steps 1 to 3 for `file`, which becomes its own row's entry with `second` in the list; where 3 and
 * 4 can be one batch, 3 is left to that: *ret_frozen is then the first name (record.mode 0: not
 * so). ERR_CONFLICT: others were faster with something, `file` is to be renewed. */
static int link_begin(struct namespace *ns, struct entry *file, const struct link_name *second,
                      struct entry *ret_frozen) {
    int err = move_source_gone(ns, &file->record);
    if (err < 0) {
        return err;
    }
    struct record frozen = file->record;
    frozen.arrival = (struct record_arrival){0};
    frozen.displaced = (struct bytes){0};
    frozen.linking = true;
    err = entry_replace(ns, file, &frozen, 0);
    if (err == 0 && !file->record.linking) {
        return ERR_CONFLICT; /* its answer was late, and it was finished meanwhile */
    }
    struct entry row;
    if (err == 0) {
        err = file_row_make(ns, file, second, &row);
    }
    if (err < 0) {
        return err;
    }
    if (id128_equal(&file->directory, &second->directory) &&
        same_partition(&file->directory, file->name, second->name)) {
        *ret_frozen = *file;
    } else {
        err = name_point(ns, file);
        entry_release(file);
    }
    *file = row;
    return err;
}

/* ---- the list ---- */

int link_claim(struct namespace *ns, struct entry *file, const struct id128 *directory,
               const char *name) {
    struct record record;
    record_copy(&file->record, &record);
    record.ctime_ns = (int64_t)ns->store->wall_ns(ns->store->self);
    int err = record_add_link(&record, directory, name);
    if (err == 0) {
        err = entry_replace(ns, file, &record, 0);
    }
    record_release(&record);
    return err;
}

/* ERR_CONFLICT: the row has changed since `file` was read. */
static int list_without(struct namespace *ns, struct entry *file, const struct id128 *directory,
                        const char *name) {
    struct record record;
    record_copy(&file->record, &record);
    record_drop_link(&record, directory, name);
    record.ctime_ns = (int64_t)ns->store->wall_ns(ns->store->self);
    int err;
    if (record.links.size > 0) {
        err = entry_replace(ns, file, &record, 0);
    } else {
        err = entry_delete(ns, file, NULL, NULL);
        file->n_links = err == 0 ? 0 : file->n_links;
    }
    record_release(&record);
    return err;
}

/* Whether a name stands for the file; if not, a name that somebody is just making for it fails. An
 * exchange that is decided brings the file to a name that is still marked as another's: it is
 * settled first. ERR_CONFLICT: look again. */
static int name_refuse(struct namespace *ns, uint64_t file_id, const struct link_name *name,
                       bool *ret_stands) {
    struct entry there;
    int err = entry_read_settled(ns, &name->directory, name->name, &there);
    *ret_stands = err == 0 && !S_ISDIR(there.record.mode) && there.record.file_id == file_id;
    if (err == ERR_NO_ENTRY || (err == 0 && !*ret_stands)) {
        err = entry_refuse(ns, &there);
    }
    entry_release(&there);
    return err;
}

static int prune_try(struct namespace *ns, struct entry *file, const struct link_name *name) {
    bool stands;
    if (!record_has_link(&file->record, &name->directory, name->name)) {
        return 0;
    }
    int err = name_refuse(ns, file->record.file_id, name, &stands);
    return err < 0 || stands ? err : list_without(ns, file, &name->directory, name->name);
}

int namespace_link_prune(struct namespace *ns, uint64_t file_id, const struct link_name *name,
                         struct entry *ret_file) {
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        struct entry file;
        err = namespace_file(ns, file_id, &file);
        if (err < 0) {
            return err;
        }
        err = prune_try(ns, &file, name);
        if (err == 0) {
            *ret_file = file;
        } else {
            entry_release(&file);
        }
    }
    return err;
}

int link_drop(struct namespace *ns, struct entry *file, const struct id128 *directory,
              const char *name) {
    int err = list_without(ns, file, directory, name);
    if (err != ERR_CONFLICT) {
        return err;
    }
    struct entry left;
    struct link_name link = {.directory = *directory};
    memcpy(link.name, name, strlen(name) + 1);
    err = namespace_link_prune(ns, file->record.file_id, &link, &left);
    if (err == 0) {
        entry_release(file);
        *file = left;
    }
    return err;
}

void link_give_back(struct namespace *ns, uint64_t file_id, const struct id128 *directory,
                    const char *name) {
    struct entry left;
    struct link_name link = {.directory = *directory};
    memcpy(link.name, name, strlen(name) + 1);
    if (namespace_link_prune(ns, file_id, &link, &left) < 0) {
        return; /* the list names too much */
    }
    const struct record *record = &left.record;
    if (left.n_links == 0 && S_ISREG(record->mode) && record->contents_kind == CONTENTS_BLOCKS) {
        struct extents stored = contents_removable(record);
        contents_remove_stored(ns, &record->contents, &stored, 0, UINT64_MAX);
    }
    entry_release(&left);
}

/* ---- link ---- */

/* One link, over all its tries. */
struct linking {
    const struct entry *file; /* as the caller knows it */
    struct link_name to;
    struct entry now;     /* the file's row, once it has one */
    struct entry frozen;  /* the first name, while step 3 is left to the last; else record.mode 0 */
    struct entry pointer; /* which that became, by the last step; else record.mode 0 */
    bool claimed;
    bool missing;  /* the name is taken to be so, in the first try */
    bool doubtful; /* a try thought lost may have made the name */
};

/* Puts the name into the list of the file, which gets a row of its own if it has none. */
static int claim(struct namespace *ns, struct linking *l) {
    int err = entry_renew(ns, &l->now, l->file);
    if (err == 0 && l->now.linked) {
        err = link_claim(ns, &l->now, &l->to.directory, l->to.name);
    } else if (err == 0) {
        err = link_begin(ns, &l->now, &l->to, &l->frozen);
    }
    l->claimed = l->claimed || err == 0 || err == ERR_UNKNOWN;
    if (err == ERR_NO_ENTRY) { /* the row that held it has gone: under another name? */
        free((void *)l->now.seen.data);
        l->now.seen = (struct bytes){0};
        l->now.linked = false;
        err = entry_renew(ns, &l->now, l->file);
        err = err == 0 ? ERR_CONFLICT : err;
    }
    return err;
}

/* The first name is a pointer, as the last of the ops says. */
static void note_pointer(struct linking *l, const struct entry *frozen,
                         const struct record *pointer, const struct commit *commit) {
    set_place(&l->pointer, &frozen->directory, frozen->name);
    entry_stored(&l->pointer, pointer, commit, commit->n - 1);
}

/* The last step, on the row as it was before the first; with step 3 when `frozen` (may be NULL) is
 * the first name. */
static int names_commit(struct namespace *ns, struct linking *l, const struct entry *to,
                        const struct entry *frozen) {
    struct bytes header_seen;
    int err = header_guard(ns, &l->to.directory, &header_seen);
    if (err < 0) {
        return err;
    }
    const struct record pointer = pointer_to(&l->now.record);
    struct record first = pointer;
    struct buffer value = {0}, first_value = {0};
    record_encode(&pointer, &value);
    struct key partition = key_entry_partition(to);
    struct key sort = key_entry_sort(to), header = key_header(), first_sort;
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = to->seen,
                                    .value = buffer_bytes(&value)};
    if (!id128_equal(&l->to.directory, &namespace_root)) {
        commit.ops[commit.n++] = header_guard_op(&header, header_seen);
    }
    if (frozen != NULL) {
        record_succeed(&first, frozen);
        record_encode(&first, &first_value);
        first_sort = key_entry_sort(frozen);
        commit.ops[commit.n++] = (struct row_op){.kind = ROW_PUT,
                                                 .condition = ROW_IF_MATCH,
                                                 .sort_key = key_bytes(&first_sort),
                                                 .seen = frozen->seen,
                                                 .value = buffer_bytes(&first_value)};
    }
    err = commit_run(ns, &partition, &commit, 0);
    l->doubtful = l->doubtful || commit.doubtful;
    if (err == 0) {
        l->now.directory_changed_ns = (int64_t)commit.outcome.reply.tally.changed_ns;
        if (frozen != NULL) {
            note_pointer(l, frozen, &first, &commit);
        }
    } else if (err == ERR_CONFLICT && commit.outcome.reply.failed_index == 1) {
        header_forget(ns, &l->to.directory);
    }
    commit_release(&commit);
    buffer_release(&value);
    buffer_release(&first_value);
    free((void *)header_seen.data);
    return err;
}

/* Both steps at once or, when others came between, one after the other: whatever becomes of the
 * second name, the first is not left frozen. */
static int name_make(struct namespace *ns, struct linking *l, const struct entry *to) {
    if (l->frozen.record.mode == 0) {
        return names_commit(ns, l, to, NULL);
    }
    int err = names_commit(ns, l, to, &l->frozen);
    bool unsent = err != 0 && err != ERR_CONFLICT;
    int pointed = err == 0 ? 0 : name_point(ns, &l->frozen);
    entry_release(&l->frozen);
    l->frozen = (struct entry){0};
    if (err == 0 || unsent || pointed < 0) {
        return err == ERR_CONFLICT ? pointed : err;
    }
    return names_commit(ns, l, to, NULL);
}

/* The name is taken: by ourselves, in a try thought lost? */
static int link_met(const struct linking *l, const struct entry *to) {
    bool ours = l->doubtful && entry_points(to) && to->record.file_id == l->file->record.file_id;
    return ours ? 0 : ERR_EXISTS;
}

static int link_try(struct namespace *ns, struct linking *l) {
    struct entry to = {0};
    int err = ERR_NO_ENTRY;
    if (l->missing) {
        set_place(&to, &l->to.directory, l->to.name);
        l->missing = false;
    } else {
        err = entry_read_settled(ns, &l->to.directory, l->to.name, &to);
    }
    if (err == 0) {
        err = link_met(l, &to);
    } else if (err == ERR_NO_ENTRY) {
        err = claim(ns, l);
        err = err < 0 ? err : name_make(ns, l, &to);
    }
    entry_release(&to);
    return err;
}

int namespace_link_known(struct namespace *ns, const struct entry *file, const struct link_name *to,
                         bool missing, struct entry *ret, struct entry *ret_pointer) {
    struct linking l = {.file = file, .to = *to, .missing = missing};
    if (S_ISDIR(file->record.mode)) {
        return ERR_IS_DIRECTORY;
    }
    entry_copy(file, &l.now);
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = link_try(ns, &l);
    }
    if (err == 0) {
        set_place(&l.now, &to->directory, to->name);
        *ret = l.now;
        *ret_pointer = l.pointer;
        return 0;
    }
    bool surely_not = err == ERR_EXISTS || err == ERR_NO_ENTRY || err == ERR_STALE ||
                      err == ERR_BUSY || err == ERR_NO_SPACE;
    if (l.claimed && surely_not) {
        link_give_back(ns, file->record.file_id, &to->directory, to->name);
    }
    entry_release(&l.now);
    return err;
}

int namespace_link(struct namespace *ns, const struct entry *file, const struct id128 *directory,
                   const char *name, struct entry *ret) {
    struct entry pointer;
    struct link_name to = {.directory = *directory};
    int err = name_check(name);
    if (err == 0) {
        memcpy(to.name, name, strlen(name) + 1);
        err = namespace_link_known(ns, file, &to, false, ret, &pointer);
    }
    if (err == 0) {
        entry_release(&pointer);
    }
    return err;
}

/* ---- listings ---- */

struct following {
    struct namespace *ns;
    struct entry *entry;
};

static int follow_one(void *arg) {
    struct following *following = arg;
    link_follow(following->ns, following->entry);
    free(following);
    return 0;
}

void namespace_list_follow(struct namespace *ns, struct listing *listing) {
    struct task_group group = {0};
    for (uint32_t i = 0; i < listing->n; i++) {
        if (entry_points(&listing->entries[i].entry)) {
            struct following *following = memory_new(1, sizeof *following);
            *following = (struct following){ns, &listing->entries[i].entry};
            task_group_run(&group, follow_one, following);
            task_group_wait(&group, FOLLOWED_AT_ONCE - 1);
        }
    }
    task_group_wait(&group, 0);
}
