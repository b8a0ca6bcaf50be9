/* sweep_links: files with several names: whether their list of names is what names there are. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/sweep_inside.h"

enum { FILE_KEY_SIZE = 1 + 8 };

/* File ids as ids of a table: none of them is all zeros. */
static struct id128 id_of_file(uint64_t file_id) {
    struct id128 id = {.bytes = {[15] = 1}};
    bytes_store_u64(id.bytes, file_id);
    return id;
}

uint64_t sweep_file_id(const struct id128 *id) {
    return bytes_load_u64(id->bytes);
}

void sweep_take_pointer(struct sweep *sweep, const struct id128 *directory, uint64_t file_id,
                        uint64_t stamp_ns) {
    const struct id128 id = id_of_file(file_id);
    struct sweep_file *file = id_table_add(&sweep->index.files, &id);
    file->n_pointers++;
    file->directory = *directory;
    file->changed_ns = stamp_ns > file->changed_ns ? stamp_ns : file->changed_ns;
}

/* ---- files' own rows ---- */

struct file_read {
    struct sweep *sweep;
    uint64_t file_id;
};

static void take_file(const struct file_read *read, const struct sibling *sibling, bool shown) {
    struct sweep *sweep = read->sweep;
    const struct id128 id = id_of_file(read->file_id);
    struct record record;
    struct sweep_file *file = id_table_add(&sweep->index.files, &id);
    file->has_row = true;
    file->changed_ns = sibling->stamp_ns > file->changed_ns ? sibling->stamp_ns : file->changed_ns;
    if (record_decode(sibling->value, &record) < 0) {
        file->unreadable = true;
        sweep->index.n_unreadable++;
        sweep_find(sweep, &(struct sweep_finding){.kind = SWEEP_CORRUPT, .id = id});
        return;
    }
    if (record.contents_kind == CONTENTS_BLOCKS && !id128_is_zero(&record.contents)) {
        id_table_add(&sweep->index.contents, &record.contents);
    }
    if (shown) {
        file->n_listed = record_n_links(&record);
    }
}

static int take_file_row(void *context, struct bytes sort_key, const struct versions *versions) {
    const struct sibling *winner = versions_winner(versions);
    for (uint32_t i = 0; sort_key.size == 0 && i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        if (!(sibling->flags & SIBLING_TOMBSTONE)) {
            take_file(context, sibling, sibling == winner);
        }
    }
    return 0;
}

static int read_file(struct sweep *sweep, const struct partition_tally *partition) {
    if (partition->key.size != FILE_KEY_SIZE || partition->key.data[0] != 'i' ||
        partition->tally.n_live == 0) {
        return 0;
    }
    struct file_read read = {.sweep = sweep, .file_id = key_number(partition->key.data + 1)};
    int err = sweep_rows(sweep, partition->key, 0, take_file_row, &read);
    if (err == ERR_CORRUPT || err == ERR_INVALID) {
        sweep->index.n_unreadable++;
        return 0;
    }
    return err;
}

int sweep_read_files(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, FILE_KEY_SIZE, read_file};
    return sweep_partitions(&walk);
}

void sweep_conclude_files(struct sweep *sweep) {
    size_t at = 0;
    for (struct sweep_file *f; (f = id_table_next(&sweep->index.files, &at)) != NULL;) {
        if (f->unreadable || f->n_listed == f->n_pointers) {
            continue;
        }
        if (f->changed_ns > sweep->cut_ns) {
            sweep->report->n_young++;
            continue;
        }
        sweep_find(sweep, &(struct sweep_finding){.kind = f->has_row ? SWEEP_LINKS : SWEEP_POINTER,
                                                  .id = f->id,
                                                  .directory = f->directory});
    }
}

/* ---- repair ---- */

/* Whether the name stands for the file, marked or not. */
static int name_stands(struct sweep *sweep, uint64_t file_id, const struct link_name *name,
                       bool *ret) {
    struct entry entry;
    int err = entry_read(sweep->ns, &name->directory, name->name, &entry);
    *ret = err == 0 && !S_ISDIR(entry.record.mode) && entry.record.file_id == file_id;
    entry_release(&entry);
    return err == ERR_NO_ENTRY || err == ERR_CORRUPT ? 0 : err;
}

/* What it says it has the blocks of, goes with the last name. */
static int prune(struct sweep *sweep, uint64_t file_id, const struct link_name *name) {
    struct entry file;
    int err = namespace_link_prune(sweep->ns, file_id, name, &file);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? 0 : err;
    }
    const struct record *record = &file.record;
    if (file.n_links == 0 && record->contents_kind == CONTENTS_BLOCKS) {
        struct extents stored = contents_removable(record);
        err = contents_remove_stored(sweep->ns, &record->contents, &stored, 0, UINT64_MAX);
    }
    entry_release(&file);
    return err;
}

/* Names that point to the file and are not in its list, wherever they are: with the last listed one
 * the file would go, and they would name nothing. A name that is being removed meanwhile may stay
 * in the list. */
static int list_missing(struct sweep *sweep, struct entry *file, uint32_t *ret_n) {
    size_t at = 0;
    int err = 0;
    for (struct sweep_directory *d;
         err == 0 && (d = id_table_next(&sweep->index.directories, &at)) != NULL;) {
        struct name_search search;
        do {
            search = (struct name_search){.file_id = file->record.file_id, .listed = &file->record};
            err = sweep_search(sweep, &d->id, &search);
            *ret_n += err == 0 ? search.n : 0;
            if (err == 0 && search.n > 0 && sweep->config->repair) {
                err = link_claim(sweep->ns, file, &d->id, search.name);
            }
        } while (err == 0 && search.n > 1 && sweep->config->repair);
    }
    return err;
}

static bool lists_too_little(struct sweep *sweep, const struct id128 *id) {
    const struct sweep_file *file = id_table_find(&sweep->index.files, id);
    return file != NULL && file->n_listed < file->n_pointers;
}

int sweep_repair_links(struct sweep *sweep, const struct sweep_finding *finding) {
    uint64_t file_id = sweep_file_id(&finding->id);
    struct entry file;
    struct link_name name;
    int err = namespace_file(sweep->ns, file_id, &file);
    if (err < 0) {
        return err == ERR_NO_ENTRY ? SWEEP_GONE : err;
    }
    uint32_t n_wrong = 0;
    for (struct reader links = reader_of(file.record.links);
         err == 0 && record_next_link(&links, &name);) {
        bool stands;
        err = name_stands(sweep, file_id, &name, &stands);
        if (err == 0 && !stands) {
            n_wrong++;
            err = sweep->config->repair ? prune(sweep, file_id, &name) : 0;
        }
    }
    if (err == 0 && n_wrong == 0 && lists_too_little(sweep, &finding->id)) {
        err = list_missing(sweep, &file, &n_wrong);
    }
    entry_release(&file);
    return err < 0 ? err : n_wrong == 0 ? SWEEP_GONE : 0;
}

int sweep_repair_pointer(struct sweep *sweep, const struct sweep_finding *finding) {
    struct entry file, entry;
    struct name_search search = {.file_id = sweep_file_id(&finding->id)};
    int err = namespace_file(sweep->ns, search.file_id, &file);
    if (err == 0) {
        entry_release(&file);
        return SWEEP_GONE;
    }
    err = err == ERR_NO_ENTRY ? sweep_search(sweep, &finding->directory, &search) : err;
    if (err < 0 || search.n == 0) {
        return err < 0 ? err : SWEEP_GONE;
    }
    err = entry_read(sweep->ns, &finding->directory, search.name, &entry);
    if (err == 0 && sweep->config->repair) {
        bool points = entry_points(&entry) && entry.record.file_id == search.file_id;
        err = points ? entry_delete(sweep->ns, &entry, NULL, NULL) : ERR_CONFLICT;
    }
    entry_release(&entry);
    return err == 0 && search.n > 1 ? ERR_BUSY : err; /* the others the next time */
}
