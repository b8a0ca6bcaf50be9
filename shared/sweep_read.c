/* sweep_read: reads partitions, and notes who names what. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "shared/err.h"
#include "shared/sweep_inside.h"

enum {
    DIRECTORY_KEY_SIZE = 1 + 16 + 1,
    STRIPE_KEY_SIZE = 1 + 16 + 8,
    ENTRY_KEY_NAME = 1 + 8,
    ROWS_MAX = 512,
};

void sweep_index_init(struct sweep_index *index) {
    *index = (struct sweep_index){0};
    id_table_init(&index->directories, sizeof(struct sweep_directory));
    id_table_init(&index->contents, sizeof(struct id128));
    id_table_init(&index->files, sizeof(struct sweep_file));
}

void sweep_index_release(struct sweep_index *index) {
    id_table_release(&index->directories);
    id_table_release(&index->contents);
    id_table_release(&index->files);
}

uint64_t sweep_place(const struct id128 *parent, const char *name) {
    uint64_t hash = XXH3_64bits_withSeed(name, strlen(name), bytes_load_u64(parent->bytes + 8)) ^
                    bytes_load_u64(parent->bytes);
    return hash != 0 ? hash : 1;
}

void sweep_find(struct sweep *sweep, const struct sweep_finding *finding) {
    if (!sweep->collecting) {
        return;
    }
    if (sweep->n_findings == SWEEP_FINDINGS_MAX) {
        sweep->report->kinds[finding->kind].found++;
        sweep->report->kinds[finding->kind].left++;
        return;
    }
    if (sweep->n_findings == sweep->findings_capacity) {
        sweep->findings_capacity = sweep->findings_capacity > 0 ? 2 * sweep->findings_capacity : 64;
        sweep->findings =
            memory_resize(sweep->findings, sweep->findings_capacity * sizeof *sweep->findings);
    }
    struct sweep_finding *kept = &sweep->findings[sweep->n_findings++];
    *kept = *finding;
    if (finding->name != NULL) {
        kept->name = memory_new(strlen(finding->name) + 1, 1);
        memcpy(kept->name, finding->name, strlen(finding->name) + 1);
    }
}

/* ---- rows ---- */

static int each_row(const struct scan_reply *page, sweep_row *each, void *context) {
    int err = 0;
    for (uint32_t i = 0; i < page->n_rows && err == 0; i++) {
        struct versions versions = {0};
        err = versions_decode(page->rows[i].versions, &versions);
        if (err == 0) {
            err = each(context, page->rows[i].sort_key, &versions);
        }
        versions_release(&versions);
    }
    return err;
}

int sweep_rows(struct sweep *sweep, struct bytes partition_key, store_options options,
               sweep_row *each, void *context) {
    struct store *store = sweep->ns->store;
    struct buffer after = {0};
    int err = 0;
    for (bool more = true; more && err == 0;) {
        struct scan_request request = {
            .after = buffer_bytes(&after), .rows_max = ROWS_MAX, .bytes_max = NAMESPACE_PAGE_BYTES};
        struct store_page page = {0};
        err = store->scan(store->self, partition_key, &request, LEVEL_QUORUM | options, &page);
        if (err < 0) {
            break;
        }
        err = each_row(&page.reply, each, context);
        more = page.reply.more;
        buffer_clear(&after);
        buffer_put_bytes(&after, page.reply.cursor);
        store_page_release(&page);
    }
    buffer_release(&after);
    return err;
}

/* ---- a directory ---- */

struct directory_read {
    struct sweep *sweep;
    struct id128 id;
};

static bool is_directory_key(struct bytes key) {
    return key.size == DIRECTORY_KEY_SIZE && key.data[0] == 'd';
}

static struct id128 id_in(struct bytes key) {
    struct id128 id;
    memcpy(id.bytes, key.data + 1, sizeof id.bytes);
    return id;
}

static void corrupt(const struct directory_read *read, const char *name) {
    char copy[NAME_SIZE_MAX + 1];
    struct sweep_finding finding = {.kind = SWEEP_CORRUPT, .id = read->id, .directory = read->id};
    if (name != NULL) {
        memcpy(copy, name, strlen(name) + 1);
        finding.name = copy;
    }
    struct sweep_directory *d = id_table_add(&read->sweep->index.directories, &read->id);
    d->unreadable = d->unreadable || name == NULL;
    read->sweep->index.n_unreadable++;
    sweep_find(read->sweep, &finding);
}

static int take_header(struct directory_read *read, const struct versions *versions) {
    const struct sibling *winner = versions_winner(versions);
    struct header header;
    if (winner == NULL || (winner->flags & SIBLING_TOMBSTONE)) {
        return 0;
    }
    if (header_decode(winner->value, &header) < 0) {
        corrupt(read, NULL);
        return 0;
    }
    struct sweep_directory *d = id_table_add(&read->sweep->index.directories, &read->id);
    d->header = (uint8_t)header.state;
    d->header_place = sweep_place(&header.parent, header.name);
    d->changed_ns = winner->stamp_ns > d->changed_ns ? winner->stamp_ns : d->changed_ns;
    return 0;
}

/* A version of an entry, and what it is to be looked at as. */
struct version {
    const char *name;
    uint64_t stamp_ns;
    bool shown;     /* the one that readers are shown */
    bool displaced; /* an exchange is bringing it to where the other one came from */
};

static void take_directory(struct directory_read *read, const struct version *version,
                           const struct record *record) {
    if (id128_is_zero(&record->directory)) {
        return;
    }
    struct sweep_directory *d = id_table_add(&read->sweep->index.directories, &record->directory);
    d->n_names = d->n_names < UINT8_MAX ? (uint8_t)(d->n_names + 1) : UINT8_MAX;
    d->moving = d->moving || record->move.under_way || version->displaced;
    if (version->shown && !record->move.under_way) {
        d->parent = read->id;
        d->place = sweep_place(&read->id, version->name);
    } else if (id128_is_zero(&d->parent)) {
        d->parent = read->id;
    }
}

static void take_names(struct directory_read *read, const struct version *version,
                       const struct record *record) {
    if (S_ISDIR(record->mode)) {
        take_directory(read, version, record);
        return;
    }
    if (record->contents_kind == CONTENTS_BLOCKS && !id128_is_zero(&record->contents)) {
        id_table_add(&read->sweep->index.contents, &record->contents);
    }
    if (record->contents_kind == CONTENTS_LINKED || record->linking) {
        sweep_take_pointer(read->sweep, &read->id, record->file_id, version->stamp_ns);
    }
}

static void take_record(struct directory_read *read, const struct version *version,
                        const struct record *record) {
    struct record displaced;
    bool begun = record->move.under_way || record->linking;
    uint64_t began_ns = record->move.under_way ? record->move.started_ns : version->stamp_ns;
    take_names(read, version, record);
    if (version->shown && begun && move_abandoned(read->sweep->ns, began_ns)) {
        char name[NAME_SIZE_MAX + 1];
        memcpy(name, version->name, strlen(version->name) + 1);
        sweep_find(read->sweep, &(struct sweep_finding){
                                    .kind = SWEEP_MOVE, .directory = read->id, .name = name});
    }
    if (record->displaced.size > 0 && record_decode(record->displaced, &displaced) == 0) {
        take_names(read, &(struct version){.name = version->name, .displaced = true}, &displaced);
    } else if (record->displaced.size > 0) {
        corrupt(read, version->name);
    }
}

/* Every version counts: one that does not show is readable too. */
static int take_entry(struct directory_read *read, struct bytes sort_key,
                      const struct versions *versions) {
    const struct sibling *winner = versions_winner(versions);
    size_t size = sort_key.size - ENTRY_KEY_NAME;
    char name[NAME_SIZE_MAX + 1];
    if (sort_key.size <= ENTRY_KEY_NAME || size > NAME_SIZE_MAX) {
        corrupt(read, NULL);
        return 0;
    }
    memcpy(name, sort_key.data + ENTRY_KEY_NAME, size);
    name[size] = 0;
    read->sweep->report->n_entries++;
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        struct record record;
        if (sibling->flags & SIBLING_TOMBSTONE) {
            continue;
        }
        if (record_decode(sibling->value, &record) == 0) {
            const struct version version = {
                .name = name, .stamp_ns = sibling->stamp_ns, .shown = sibling == winner};
            take_record(read, &version, &record);
        } else {
            corrupt(read, name);
        }
    }
    return 0;
}

static int take_row(void *context, struct bytes sort_key, const struct versions *versions) {
    struct directory_read *read = context;
    if (sort_key.size == 1 && sort_key.data[0] == 'h') {
        return take_header(read, versions);
    }
    if (sort_key.size > 0 && sort_key.data[0] == 'e') {
        return take_entry(read, sort_key, versions);
    }
    return 0;
}

int sweep_read_directory(struct sweep *sweep, const struct partition_tally *partition) {
    if (!is_directory_key(partition->key) || partition->tally.n_live == 0) {
        return 0;
    }
    struct directory_read read = {.sweep = sweep, .id = id_in(partition->key)};
    if (id128_is_zero(&read.id)) {
        return 0;
    }
    struct sweep_directory *d = id_table_add(&sweep->index.directories, &read.id);
    d->n_entries += partition->tally.n_live;
    d->changed_ns =
        partition->tally.changed_ns > d->changed_ns ? partition->tally.changed_ns : d->changed_ns;
    int err = sweep_rows(sweep, partition->key, 0, take_row, &read);
    if (err == ERR_CORRUPT || err == ERR_INVALID) {
        corrupt(&read, NULL);
        return 0;
    }
    return err;
}

/* ---- all partitions ---- */

struct slices {
    const struct partition_walk *walk;
    uint16_t next;
};

static int each_partition(const struct partition_walk *walk, struct bytes listed,
                          struct buffer *after) {
    struct sweep *sweep = walk->sweep;
    struct partition_tally partition;
    int err = 0;
    while (err == 0 && partitions_next(&listed, &partition)) {
        buffer_clear(after);
        buffer_put_bytes(after, partition.key);
        sweep->report->n_partitions++;
        err = walk->each(sweep, &partition);
        err = err < 0 ? err : sweep_pause(sweep, sweep->config->pause_ns);
    }
    return err;
}

static int walk_slice(const struct partition_walk *walk, uint16_t slice) {
    struct sweep *sweep = walk->sweep;
    const struct partition_source *source = sweep->config->source;
    struct buffer after = {0}, listed = {0};
    int err = 0;
    for (bool more = true; more && err == 0;) {
        struct partitions_request request = {.slice = slice,
                                             .key_size = walk->key_size,
                                             .n_max = PARTITIONS_PAGE_MAX,
                                             .after = buffer_bytes(&after)};
        buffer_clear(&listed);
        err = source->list(source->self, &request, &listed, &more);
        if (err == 0) {
            err = each_partition(walk, buffer_bytes(&listed), &after);
        }
        if (err == 0 && !id128_is_zero(&sweep->token)) {
            err = barrier_renew(sweep);
        }
        if (err == 0) {
            err = sweep_pause(sweep, 0);
        }
    }
    buffer_release(&after);
    buffer_release(&listed);
    return err;
}

static int walk_slices(void *context) {
    struct slices *slices = context;
    struct sweep *sweep = slices->walk->sweep;
    int err = 0;
    while (err == 0 && slices->next < sweep->config->source->n_slices) {
        err = walk_slice(slices->walk, slices->next++);
        sweep->report->slices_done += err == 0;
    }
    if (err != 0) {
        slices->next = sweep->config->source->n_slices; /* the others end too */
    }
    return err;
}

int sweep_partitions(const struct partition_walk *walk) {
    struct slices slices = {.walk = walk};
    struct task_group group = {0};
    struct sweep_report *report = walk->sweep->report;
    report->slices_done = 0;
    report->n_slices = walk->sweep->config->source->n_slices;
    for (uint32_t i = 0; i < walk->sweep->config->n_at_once; i++) {
        task_group_run(&group, walk_slices, &slices);
    }
    task_group_wait(&group, 0);
    return group.status;
}

int sweep_read_all(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, DIRECTORY_KEY_SIZE, sweep_read_directory};
    int err = sweep_partitions(&walk);
    return err < 0 ? err : sweep_read_files(sweep);
}

/* ---- contents ---- */

static int look_at_stripe(struct sweep *sweep, const struct partition_tally *partition) {
    /* One without blocks tells something as long as it is young: see sweep_touch(). */
    bool old = partition->tally.changed_ns <= sweep->cut_ns;
    if (partition->key.size != STRIPE_KEY_SIZE || partition->key.data[0] != 'b' ||
        (partition->tally.n_live == 0 && old)) {
        return 0;
    }
    struct id128 id = id_in(partition->key);
    if (id128_is_zero(&id) || id_table_find(&sweep->index.contents, &id) != NULL) {
        return 0;
    }
    struct sweep_suspect *suspect = id_table_add(&sweep->suspects, &id);
    suspect->n_blocks += partition->tally.n_live;
    if (partition->tally.changed_ns > suspect->newest_ns) {
        suspect->newest_ns = partition->tally.changed_ns;
    }
    return 0;
}

int sweep_look(struct sweep *sweep) {
    const struct partition_walk walk = {sweep, STRIPE_KEY_SIZE, look_at_stripe};
    int err = sweep_partitions(&walk);
    size_t at = 0;
    for (struct sweep_suspect *s; err == 0 && (s = id_table_next(&sweep->suspects, &at)) != NULL;) {
        s->kept = s->newest_ns > sweep->cut_ns || s->n_blocks == 0;
        sweep->report->n_young += s->kept && s->n_blocks > 0;
    }
    return err;
}
