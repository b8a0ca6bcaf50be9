/* namespace_conflicts: an entry's row with several live versions: which of them shows under the
 * name, and under which names the others do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/sweep_barrier.h"

/* Siblings come about where writes needed no majority and two sides of a partition changed one
 * name. They are shown, never written, by readers; the names are a function of the siblings alone,
 * so that all clients show the same. Whoever changes such a row first gives every loser a row of
 * its own under the name that it shows under (conflicts_settle), and from then on all are ordinary
 * files. A crash in between leaves a loser in both places: its own row hides the other. */

static const char mark[] = ".conflict-";
enum {
    MARK_SIZE = sizeof mark - 1,
    ID_DIGITS = 6,
    LABEL_MAX = MARK_SIZE + 5 + 1 + ID_DIGITS, /* .conflict-65535-0a1b2c */
    EXTENSION_MAX = 32,
    HASH_SIZE = 1 + 16, /* ~0123456789abcdef */
};

/* ---- names ---- */

static size_t extension_at(const char *name) {
    const char *dot = strrchr(name, '.');
    size_t size = strlen(name);
    bool extension = dot && dot != name && dot[1] && strlen(dot) <= EXTENSION_MAX;
    return extension ? (size_t)(dot - name) : size;
}

/* `turn`: which bytes of the operation's id make the number, for when a name is taken. */
static void conflict_name(const char *name, const struct sibling *sibling, unsigned turn,
                          char ret[NAME_SIZE_MAX + 1]) {
    const uint8_t *id = &sibling->op.bytes[turn * (ID_DIGITS / 2)];
    char label[LABEL_MAX + 1], hash[HASH_SIZE + 1] = "";
    snprintf(label, sizeof label, "%s%u-%02x%02x%02x", mark, actor_node(sibling->dot.actor), id[0],
             id[1], id[2]);
    size_t stem = extension_at(name), rest = strlen(label) + strlen(name + stem);
    const char *extension = name + stem;
    if (stem + rest > NAME_SIZE_MAX) {
        snprintf(hash, sizeof hash, "~%016llx", (unsigned long long)name_hash(name));
        stem = NAME_SIZE_MAX - rest - HASH_SIZE;
        while (stem > 0 && (name[stem] & 0xc0) == 0x80) {
            stem--; /* no half of a character */
        }
    }
    snprintf(ret, NAME_SIZE_MAX + 1, "%.*s%s%s%s", (int)stem, name, hash, label, extension);
}

/* A name of the form above, taken apart: stem [~hash] .conflict-node-number [.extension]. */
struct label {
    size_t stem;      /* bytes ahead of the mark */
    const char *rest; /* the extension */
};

static bool label_parse(const char *name, struct label *ret) {
    const char *at = NULL;
    for (const char *next = strstr(name, mark); next; next = strstr(next + 1, mark)) {
        at = next;
    }
    if (at == NULL || at == name) {
        return false;
    }
    const char *node = at + MARK_SIZE;
    size_t digits = strspn(node, "0123456789");
    const char *number = node + digits + 1;
    if (digits == 0 || digits > 5 || node[digits] != '-' ||
        strspn(number, "0123456789abcdef") != ID_DIGITS) {
        return false;
    }
    ret->stem = (size_t)(at - name);
    ret->rest = number + ID_DIGITS;
    return *ret->rest == 0 || (*ret->rest == '.' && strchr(ret->rest + 1, '.') == NULL);
}

bool namespace_conflict_name(const char *name, char ret_of[NAME_SIZE_MAX + 1]) {
    struct label label;
    if (!label_parse(name, &label)) {
        return false;
    }
    if (ret_of) {
        snprintf(ret_of, NAME_SIZE_MAX + 1, "%.*s%s", (int)label.stem, name, label.rest);
    }
    return true;
}

bool namespace_conflict_is_of(const char *name, const char *of) {
    char short_name[NAME_SIZE_MAX + 1], hash[HASH_SIZE + 1];
    struct label label;
    if (!label_parse(name, &label)) {
        return false;
    }
    namespace_conflict_name(name, short_name);
    snprintf(hash, sizeof hash, "~%016llx", (unsigned long long)name_hash(of));
    return strcmp(short_name, of) == 0 ||
           (label.stem > HASH_SIZE && memcmp(name + label.stem - HASH_SIZE, hash, HASH_SIZE) == 0);
}

/* ---- the versions of a row ---- */

struct face {
    const struct sibling *sibling;
    struct record record; /* borrows the sibling's value */
    bool sound;           /* it could be decoded */
};

static int face_compare(const void *a, const void *b) {
    const struct face *x = a, *y = b;
    if (x->sound != y->sound) {
        return x->sound ? -1 : 1;
    }
    bool x_points = x->record.contents_kind == CONTENTS_LINKED;
    bool y_points = y->record.contents_kind == CONTENTS_LINKED;
    if (x_points != y_points) {
        return x_points ? -1 : 1; /* or a name in its file's list would stand for something else */
    }
    return sibling_outranks(x->sibling, y->sibling) ? -1 : 1;
}

static bool face_same(const struct face *a, const struct face *b) {
    if (a->sound != b->sound) {
        return false;
    }
    return a->sound ? record_same_contents(&a->record, &b->record)
                    : bytes_equal(a->sibling->value, b->sibling->value);
}

/* Changes in place on two sides leave versions that name the same blocks. */
static void note_shared(struct face *faces, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        struct record *record = &faces[i].record;
        for (uint32_t k = 0; k < n; k++) {
            const struct record *other = &faces[k].record;
            bool both = faces[i].sound && faces[k].sound && i != k &&
                        record->contents_kind == CONTENTS_BLOCKS &&
                        other->contents_kind == CONTENTS_BLOCKS;
            if (both && id128_equal(&record->contents, &other->contents)) {
                record->contents_shared = true;
            }
        }
    }
}

/* The versions that differ in their contents, the one that shows first; of those that do not, the
 * later one, with what was changed later of each one's attributes. free() them. */
static uint32_t faces_of(const struct versions *versions, struct face **ret) {
    struct face *faces = memory_new(versions->n_siblings + 1, sizeof *faces);
    uint32_t n_live = 0, n = 0;
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        if (!(sibling->flags & SIBLING_TOMBSTONE)) {
            struct face *face = &faces[n_live++];
            face->sibling = sibling;
            face->sound = record_decode(sibling->value, &face->record) == 0;
        }
    }
    qsort(faces, n_live, sizeof *faces, face_compare);
    for (uint32_t i = 0; i < n_live; i++) {
        bool met = false;
        for (uint32_t k = 0; k < n && !met; k++) {
            met = face_same(&faces[k], &faces[i]);
            if (met && faces[k].sound && !S_ISDIR(faces[k].record.mode) &&
                faces[k].record.contents_kind != CONTENTS_LINKED) {
                record_merge_attributes(&faces[k].record, &faces[i].record);
            }
        }
        if (!met) {
            faces[n++] = faces[i];
        }
    }
    note_shared(faces, n);
    *ret = faces;
    return n;
}

/* The number of a version that is to live as a file of its own beside the one it came from. */
static uint64_t fork_id(uint64_t file_id, const struct op_id *op) {
    uint8_t both[8 + sizeof op->bytes];
    bytes_store_u64(both, file_id);
    memcpy(both + 8, op->bytes, sizeof op->bytes);
    uint64_t id = XXH3_64bits(both, sizeof both);
    return id < 2 ? id + 2 : id;
}

static bool has_tombstone(const struct versions *versions) {
    return versions_live(versions) < versions->n_siblings;
}

/* The version of a row that has no other. */
static int show_alone(const struct sibling *sibling, struct record *ret, struct op_id *ret_version,
                      uint16_t *ret_n_conflicts) {
    if (record_decode(sibling->value, ret) != 0) {
        return ERR_CORRUPT;
    }
    *ret_version = sibling->op;
    *ret_n_conflicts = 0;
    return 0;
}

int conflicts_show(const struct versions *versions, struct record *ret, struct op_id *ret_version,
                   uint16_t *ret_n_conflicts) {
    if (versions->n_siblings == 1 && !has_tombstone(versions)) {
        return show_alone(&versions->siblings[0], ret, ret_version, ret_n_conflicts);
    }
    struct face *faces;
    uint32_t n = faces_of(versions, &faces);
    int err = n == 0 ? ERR_NO_ENTRY : faces[0].sound ? 0 : ERR_CORRUPT;
    if (err == 0) {
        *ret = faces[0].record;
        *ret_version = faces[0].sibling->op;
        *ret_n_conflicts = (uint16_t)(n - 1 < UINT16_MAX ? n - 1 : UINT16_MAX);
        bool by_id = ret->links.size > 0 || ret->contents_kind == CONTENTS_LINKED;
        if (has_tombstone(versions) && ret->n_lineage > 0 && !S_ISDIR(ret->mode) && !by_id) {
            /* Changed here and removed there, or moved: it stays, and may live there too. */
            ret->file_id = fork_id(ret->file_id, ret_version);
        }
    }
    free(faces);
    return err;
}

/* ---- losers ---- */

static void loser_fill(const struct id128 *directory, const struct face *face, struct entry *ret) {
    struct record record = face->record;
    record.move = (struct record_move){0};
    record.arrival = (struct record_arrival){0};
    if (!S_ISDIR(record.mode)) {
        record.file_id = fork_id(record.file_id, &face->sibling->op);
    }
    ret->directory = *directory;
    ret->version = face->sibling->op;
    ret->n_links = 1;
    record_copy(&record, &ret->record);
}

uint32_t conflicts_losers(const struct id128 *directory, const char *name,
                          const struct versions *versions, struct entry **ret) {
    struct face *faces;
    uint32_t n = faces_of(versions, &faces), n_losers = 0;
    *ret = memory_new(n + 1, sizeof **ret);
    for (uint32_t i = 1; i < n && faces[0].sound; i++) {
        if (faces[i].sound) {
            struct entry *loser = &(*ret)[n_losers++];
            loser_fill(directory, &faces[i], loser);
            conflict_name(name, faces[i].sibling, 0, loser->name);
        }
    }
    free(faces);
    return n_losers;
}

void losers_release(struct entry *losers, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        entry_release(&losers[i]);
    }
    free(losers);
}

/* ---- by name ---- */

static int row_read(struct namespace *ns, const struct id128 *directory, const char *name,
                    struct store_row *ret) {
    struct key partition = key_directory(directory, directory_shard(directory, name_hash(name)));
    struct key sort = key_entry(name);
    return ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort), LEVEL_QUORUM,
                          ret);
}

/* The name of a long name's hash. ERR_NO_ENTRY. */
static int hashed_name(struct namespace *ns, const struct id128 *directory, uint64_t hash,
                       char ret[NAME_SIZE_MAX + 1]) {
    struct key partition = key_directory(directory, directory_shard(directory, hash));
    struct key first = key_entries_from(hash), before = key_entries_from(hash + 1);
    struct scan_request request = {.first = key_bytes(&first),
                                   .before = key_bytes(&before),
                                   .rows_max = 1,
                                   .bytes_max = NAMESPACE_PAGE_BYTES};
    struct store_page page = {0};
    int err =
        ns->store->scan(ns->store->self, key_bytes(&partition), &request, LEVEL_QUORUM, &page);
    if (err < 0) {
        return err;
    }
    err = ERR_NO_ENTRY;
    if (page.reply.n_rows > 0 && page.reply.rows[0].sort_key.size > first.size) {
        struct bytes key = page.reply.rows[0].sort_key;
        snprintf(ret, NAME_SIZE_MAX + 1, "%.*s", (int)(key.size - first.size),
                 (const char *)key.data + first.size);
        err = 0;
    }
    store_page_release(&page);
    return err;
}

/* The name whose row a conflict's name may belong to. ERR_NO_ENTRY: it is none's. */
static int base_name(struct namespace *ns, const struct id128 *directory, const char *name,
                     char ret[NAME_SIZE_MAX + 1]) {
    struct label label;
    if (!label_parse(name, &label)) {
        return ERR_NO_ENTRY;
    }
    const char *hash = name + label.stem - HASH_SIZE;
    if (strlen(name) > NAME_SIZE_MAX - 4 && label.stem > HASH_SIZE && hash[0] == '~' &&
        strspn(hash + 1, "0123456789abcdef") == HASH_SIZE - 1) {
        return hashed_name(ns, directory, strtoull(hash + 1, NULL, 16), ret);
    }
    namespace_conflict_name(name, ret);
    return 0;
}

int conflict_lookup(struct namespace *ns, const struct id128 *directory, const char *name,
                    struct entry *ret) {
    char base[NAME_SIZE_MAX + 1];
    struct store_row row = {0};
    struct entry *losers;
    int err = base_name(ns, directory, name, base);
    if (err == 0) {
        err = row_read(ns, directory, base, &row);
    }
    if (err < 0) {
        return err;
    }
    uint32_t n = conflicts_losers(directory, base, &row.versions, &losers);
    err = ERR_NO_ENTRY;
    for (uint32_t i = 0; i < n && err < 0; i++) {
        if (strcmp(losers[i].name, name) == 0) {
            entry_copy(&losers[i], ret);
            err = 0;
        }
    }
    losers_release(losers, n);
    store_row_release(&row);
    return err;
}

/* ---- settling ---- */

/* The row of a name while its losers get rows of their own. */
struct settling {
    struct namespace *ns;
    const struct id128 *directory;
    const char *name;
    struct bytes seen; /* borrowed: the row's context when it was read */
};

/* Whether the row is as it was read: ERR_CONFLICT when not. */
static int still_same(const struct settling *s) {
    struct entry now;
    int err = entry_read(s->ns, s->directory, s->name, &now);
    bool same = err == 0 && bytes_equal(now.seen, s->seen);
    entry_release(&now);
    return err < 0 && err != ERR_NO_ENTRY ? err : same ? 0 : ERR_CONFLICT;
}

/* Makes the loser's own row, if that is still as `seen`. */
static int loser_insert(struct namespace *ns, const struct entry *loser, struct bytes seen) {
    struct bytes header_seen;
    int err = header_guard(ns, &loser->directory, &header_seen);
    if (err < 0) {
        return err;
    }
    struct key partition = key_directory(
        &loser->directory, directory_shard(&loser->directory, name_hash(loser->name)));
    struct key sort = key_entry(loser->name), header = key_header();
    struct buffer value = {0};
    record_encode(&loser->record, &value);
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = seen,
                                    .value = buffer_bytes(&value)};
    if (!id128_equal(&loser->directory, &namespace_root)) {
        commit.ops[commit.n++] = header_guard_op(&header, header_seen);
    }
    err = commit_run(ns, &partition, &commit, 0);
    if (err == ERR_CONFLICT && commit.outcome.reply.failed_index == 1) {
        header_forget(ns, &loser->directory);
    }
    commit_release(&commit);
    buffer_release(&value);
    free((void *)header_seen.data);
    return err;
}

/* ERR_EXISTS: the name is another file's. The loser's own row is read ahead of another look at the
 * row that it lost in: if somebody else settles that one and removes the loser meanwhile, either
 * shows, and the removal stands. */
static int loser_save_as(const struct settling *s, const struct entry *loser) {
    struct entry own;
    int err = entry_read(s->ns, s->directory, loser->name, &own);
    if (err == 0) {
        err = record_same_file(&own.record, &loser->record) ? 0 : ERR_EXISTS;
    } else if (err == ERR_CORRUPT) {
        err = ERR_EXISTS;
    } else if (err == ERR_NO_ENTRY) {
        err = still_same(s);
        err = err < 0 ? err : loser_insert(s->ns, loser, own.seen);
    }
    entry_release(&own);
    return err;
}

/* Gives a loser a row of its own, unless it has one already. */
static int loser_save(const struct settling *s, const struct face *face) {
    const unsigned turns = sizeof face->sibling->op.bytes / (ID_DIGITS / 2);
    struct entry loser = {0};
    loser_fill(s->directory, face, &loser);
    int err = barrier_note(s->ns, &loser.record);
    err = err < 0 ? err : ERR_EXISTS;
    for (unsigned turn = 0; err == ERR_EXISTS && turn < turns; turn++) {
        conflict_name(s->name, face->sibling, turn, loser.name);
        err = loser_save_as(s, &loser);
    }
    entry_release(&loser);
    return err;
}

static int losers_save(const struct settling *s, const struct versions *versions) {
    struct face *faces;
    uint32_t n = faces_of(versions, &faces);
    int err = 0;
    for (uint32_t i = 1; i < n && err == 0; i++) {
        err = faces[i].sound ? loser_save(s, &faces[i]) : ERR_CORRUPT;
    }
    free(faces);
    return err;
}

static int settle_try(struct namespace *ns, const struct id128 *directory, const char *name) {
    struct store_row row = {0};
    struct entry entry;
    int err = row_read(ns, directory, name, &row);
    if (err < 0) {
        return err;
    }
    err = entry_from_versions(directory, name, &row.versions, &entry);
    bool settled = err == ERR_NO_ENTRY || (err == 0 && entry.n_conflicts == 0);
    if (err == 0 && !settled) {
        struct settling s = {ns, directory, name, entry.seen};
        err = losers_save(&s, &row.versions);
    }
    if (err == 0 && !settled) {
        entry.n_conflicts = 0;
        err = entry_replace(ns, &entry, &entry.record, 0);
    }
    entry_release(&entry);
    store_row_release(&row);
    return settled ? 0 : err;
}

int conflicts_settle(struct namespace *ns, const struct id128 *directory, const char *name) {
    int err = ERR_CONFLICT;
    for (int i = 0; conflict_again(ns, i, &err); i++) {
        err = settle_try(ns, directory, name);
        err = err == ERR_NO_ENTRY ? ERR_CONFLICT : err; /* changed meanwhile */
    }
    return err;
}

int conflict_make_real(struct namespace *ns, const struct id128 *directory, const char *name) {
    char base[NAME_SIZE_MAX + 1];
    int err = base_name(ns, directory, name, base);
    if (err == 0) {
        err = conflicts_settle(ns, directory, base);
    }
    /* A name like one of ours that is below nothing of ours: an ordinary one. */
    return err == ERR_NO_ENTRY || err == ERR_CORRUPT || err == ERR_NAME_TOO_LONG ? 0 : err;
}
