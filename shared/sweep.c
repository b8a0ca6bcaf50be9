/* sweep: the order of things, and what follows from what was read. */
#include "shared/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_contents.h"
#include "shared/sweep_inside.h"

#define SECOND_NS 1000000000ull
enum { PAUSE_STEP_NS = 200 * 1000 * 1000 };

static const struct {
    const char *name, *text;
} kinds[SWEEP_KINDS] = {
    [SWEEP_CONTENTS] = {"contents", "blocks that no file names"},
    [SWEEP_UNNAMED] = {"unnamed", "an empty directory without a name"},
    [SWEEP_LOST] = {"lost", "a directory with entries, without a name or a header"},
    [SWEEP_DYING] = {"dying", "a directory whose removal was begun"},
    [SWEEP_MOVE] = {"moving", "a name whose rename, or its file's second name, was begun"},
    [SWEEP_LINKS] = {"links", "a file whose list of names is not what names there are"},
    [SWEEP_POINTER] = {"pointer", "a name of a file that is not there"},
    [SWEEP_BACK_POINTER] = {"back-pointer", "a directory that tells another place than its own"},
    [SWEEP_LEASE] = {"lease", "the lease of a mount that died"},
    [SWEEP_LOCK] = {"lock", "locks of mounts that died"},
    [SWEEP_CORRUPT] = {"corrupt", "a row that cannot be read"},
    [SWEEP_NAMED_TWICE] = {"named-twice", "a directory with several names"},
    [SWEEP_LOOP] = {"loop", "a directory that cannot be reached from the root"},
};

const char *sweep_kind_name(enum sweep_kind kind) {
    return kinds[kind].name;
}

const char *sweep_kind_text(enum sweep_kind kind) {
    return kinds[kind].text;
}

void sweep_describe(struct namespace *ns, const struct sweep_finding *finding,
                    struct buffer *into) {
    struct key partition, sort;
    if (finding->name != NULL) {
        partition = key_directory(&finding->directory, 0);
        sort = key_entry(finding->name);
    } else if (finding->kind == SWEEP_CONTENTS) {
        partition = key_stripe(&finding->id, 0);
        sort = key_block(0);
    } else if (finding->kind == SWEEP_LEASE || finding->kind == SWEEP_LOCK) {
        bool lease = finding->kind == SWEEP_LEASE;
        partition = (struct key){.data = {lease ? 'm' : 'l'}, .size = lease ? 17 : 9};
        for (size_t i = 1; i < partition.size; i++) {
            partition.data[i] = finding->id.bytes[lease ? i - 1 : 8 - i];
        }
        sort = (struct key){.size = 0};
    } else if (finding->kind == SWEEP_LINKS || finding->kind == SWEEP_POINTER) {
        partition = key_file(sweep_file_id(&finding->id));
        sort = (struct key){.size = 0};
    } else {
        partition = key_directory(&finding->id, 0);
        sort = key_header();
    }
    namespace_describe(ns, key_bytes(&partition), key_bytes(&sort), into);
}

/* ---- what follows ---- */

static bool is_young(struct sweep *sweep, const struct sweep_directory *d) {
    bool young = d->changed_ns > sweep->cut_ns;
    sweep->report->n_young += young;
    return young;
}

/* Whether it is in itself, going up. */
static bool loops(struct sweep *sweep, struct sweep_directory *d) {
    struct sweep_directory *at = d;
    uint8_t end = REACH_ENDS;
    while (at != NULL && at->reach == REACH_UNKNOWN) {
        at->reach = REACH_WALKED;
        at = id128_is_zero(&at->parent) ? NULL
                                        : id_table_find(&sweep->index.directories, &at->parent);
    }
    if (at != NULL) {
        end = at->reach == REACH_WALKED ? REACH_LOOPS : at->reach;
    }
    for (at = d; at != NULL && at->reach == REACH_WALKED;) {
        at->reach = end;
        at = id_table_find(&sweep->index.directories, &at->parent);
    }
    return d->reach == REACH_LOOPS;
}

/* What is wrong with it as it was read; SWEEP_KINDS = nothing. Looked at anew before it is told. */
static enum sweep_kind judge(struct sweep *sweep, struct sweep_directory *d) {
    bool has_entries = d->n_entries > (d->header != 0);
    if (id128_equal(&d->id, &namespace_root) || d->unreadable) {
        return SWEEP_KINDS;
    }
    if (d->header == DIRECTORY_DYING) {
        return is_young(sweep, d) ? SWEEP_KINDS : has_entries ? SWEEP_LOST : SWEEP_DYING;
    }
    if (d->n_names == 0) {
        return is_young(sweep, d) ? SWEEP_KINDS : has_entries ? SWEEP_LOST : SWEEP_UNNAMED;
    }
    if (d->header == 0) {
        return has_entries ? SWEEP_LOST : SWEEP_DYING;
    }
    if (d->moving) {
        return SWEEP_KINDS;
    }
    if (d->n_names > 1) {
        return SWEEP_NAMED_TWICE;
    }
    if (loops(sweep, d)) {
        return SWEEP_LOOP;
    }
    return d->place != d->header_place ? SWEEP_BACK_POINTER : SWEEP_KINDS;
}

static void conclude_directories(struct sweep *sweep) {
    size_t at = 0;
    struct sweep_directory *root = id_table_find(&sweep->index.directories, &namespace_root);
    if (root != NULL) {
        root->reach = REACH_ENDS;
    }
    for (struct sweep_directory *d; (d = id_table_next(&sweep->index.directories, &at)) != NULL;) {
        enum sweep_kind kind = judge(sweep, d);
        if (kind != SWEEP_KINDS) {
            sweep_find(sweep,
                       &(struct sweep_finding){.kind = kind, .id = d->id, .directory = d->parent});
        }
    }
}

static void conclude(struct sweep *sweep) {
    conclude_directories(sweep);
    sweep_conclude_files(sweep);
}

/* ---- telling ---- */

/* `outcome`: 0, 1 = nothing is wrong any more, or an error. */
static void tell(struct sweep *sweep, const struct sweep_finding *finding, int outcome) {
    struct sweep_report *report = sweep->report;
    if (outcome == 1) {
        return;
    }
    report->kinds[finding->kind].found++;
    if (!sweep->config->repair) {
        outcome = 0;
    } else if (outcome == 0) {
        report->kinds[finding->kind].repaired++;
    } else {
        report->kinds[finding->kind].left++;
    }
    if (sweep->config->found != NULL) {
        sweep->config->found(sweep->config->context, finding, outcome);
    }
}

/* Whether it is about to go, or get a name, because none was found. */
static bool needs_barrier(const struct sweep_finding *finding) {
    return finding->kind == SWEEP_UNNAMED ||
           (finding->kind == SWEEP_LOST && id128_is_zero(&finding->directory));
}

static int settle_findings(struct sweep *sweep, uint32_t first, bool under_barrier) {
    for (uint32_t i = first; i < sweep->n_findings; i++) {
        const struct sweep_finding *finding = &sweep->findings[i];
        if (needs_barrier(finding) != under_barrier) {
            continue;
        }
        int outcome = sweep_repair(sweep, finding);
        if (outcome == ERR_INTERRUPTED || outcome == ERR_UNAVAILABLE || outcome == ERR_TIMEOUT) {
            return outcome;
        }
        tell(sweep, finding, outcome);
    }
    return 0;
}

static void tell_contents(struct sweep *sweep, int outcome) {
    size_t at = 0;
    for (struct sweep_suspect *s; (s = id_table_next(&sweep->suspects, &at)) != NULL;) {
        if (!s->kept) {
            const struct sweep_finding finding = {
                .kind = SWEEP_CONTENTS, .id = s->id, .n_blocks = s->n_blocks};
            tell(sweep, &finding, outcome);
        }
    }
}

/* ---- the second look ---- */

static bool anything_unnamed(const struct sweep *sweep) {
    size_t at = 0;
    for (struct sweep_suspect *s; (s = id_table_next(&sweep->suspects, &at)) != NULL;) {
        if (!s->kept) {
            return true;
        }
    }
    for (uint32_t i = 0; i < sweep->n_findings; i++) {
        if (needs_barrier(&sweep->findings[i])) {
            return true;
        }
    }
    return false;
}

int sweep_pause(const struct sweep *sweep, int64_t ns) {
    const bool *stop = sweep->config->stop;
    while (ns > 0 && !(stop != NULL && *stop)) {
        int64_t step = ns < PAUSE_STEP_NS ? ns : PAUSE_STEP_NS;
        int err = task_sleep(step);
        if (err < 0) {
            return err;
        }
        ns -= step;
    }
    return stop != NULL && *stop ? ERR_INTERRUPTED : 0;
}

static int settle(struct sweep *sweep) {
    uint64_t settle_ns = BARRIER_SETTLE_SECONDS * SECOND_NS;
    uint64_t age_ns = sweep->config->age_min_ns;
    sweep->report->phase = SWEEP_SETTLING;
    int err = barrier_raise(sweep);
    return err < 0 ? err : sweep_pause(sweep, (int64_t)(age_ns < settle_ns ? age_ns : settle_ns));
}

static void keep_named(struct sweep *sweep) {
    size_t at = 0;
    for (struct sweep_suspect *s; (s = id_table_next(&sweep->suspects, &at)) != NULL;) {
        s->kept = s->kept || id_table_find(&sweep->index.contents, &s->id) != NULL;
    }
}

/* What a mount has open is nobody's leftover. */
static int keep_held(struct sweep *sweep) {
    size_t at = 0;
    int err = 0;
    for (struct sweep_suspect *s; err == 0 && (s = id_table_next(&sweep->suspects, &at)) != NULL;) {
        bool held = false;
        err = s->kept ? 0 : contents_held(sweep->ns, &s->id, &held);
        s->kept = s->kept || held;
    }
    return err;
}

static int read_again(struct sweep *sweep) {
    sweep->report->phase = SWEEP_AGAIN;
    sweep->collecting = false;
    sweep_index_release(&sweep->index);
    sweep_index_init(&sweep->index);
    int err = sweep_read_all(sweep);
    if (err == 0 && sweep->config->repair) {
        err = barrier_notes(sweep);
    }
    if (err == 0) {
        keep_named(sweep);
        err = keep_held(sweep);
    }
    return err;
}

static int settle_unnamed(struct sweep *sweep) {
    int err = sweep->config->repair ? settle(sweep) : 0;
    err = err < 0 ? err : read_again(sweep);
    sweep->report->phase = SWEEP_REMOVING;
    err = err < 0 ? err : settle_findings(sweep, 0, true);
    if (err < 0) {
        return err;
    }
    /* A row that cannot be read may name any contents. */
    int outcome = sweep->index.n_unreadable > 0 ? ERR_CORRUPT : 0;
    if (outcome == 0 && sweep->config->repair) {
        err = sweep_remove_contents(sweep);
    }
    if (err == 0) {
        tell_contents(sweep, outcome);
    }
    return err;
}

/* ---- the whole ---- */

static void sweep_init(struct sweep *sweep, const struct sweep_config *config,
                       struct sweep_report *report) {
    *report = (struct sweep_report){0};
    *sweep =
        (struct sweep){.config = config, .report = report, .ns = config->ns, .collecting = true};
    uint64_t now_ns = config->ns->store->wall_ns(config->ns->store->self);
    sweep->cut_ns = now_ns > config->age_min_ns ? now_ns - config->age_min_ns : 0;
    sweep_index_init(&sweep->index);
    id_table_init(&sweep->suspects, sizeof(struct sweep_suspect));
    task_set_deadline(task_self(), 0);
}

static void sweep_release(struct sweep *sweep) {
    barrier_lower(sweep);
    for (uint32_t i = 0; i < sweep->n_findings; i++) {
        free(sweep->findings[i].name);
    }
    free(sweep->findings);
    sweep_index_release(&sweep->index);
    id_table_release(&sweep->suspects);
}

/* After the leases: those that have just been ended count. */
static int settle_locks(struct sweep *sweep) {
    uint32_t first = sweep->n_findings;
    int err = sweep_read_locks(sweep);
    return err < 0 ? err : settle_findings(sweep, first, false);
}

static int run(struct sweep *sweep) {
    int err = sweep_read_all(sweep);
    if (err < 0) {
        return err;
    }
    sweep->report->n_directories = sweep->index.directories.n;
    conclude(sweep);
    sweep->report->phase = SWEEP_LOOKING;
    err = sweep_look(sweep);
    if (err < 0) {
        return err;
    }
    err = sweep_read_leases(sweep);
    err = err < 0 ? err : settle_findings(sweep, 0, false);
    err = err < 0 ? err : settle_locks(sweep);
    if (err == 0 && anything_unnamed(sweep)) {
        err = settle_unnamed(sweep);
    }
    sweep->report->phase = err == 0 ? SWEEP_DONE : sweep->report->phase;
    return err;
}

int sweep_run(const struct sweep_config *config, struct sweep_report *report) {
    struct sweep sweep;
    sweep_init(&sweep, config, report);
    int err = run(&sweep);
    sweep_release(&sweep);
    return err;
}

/* ---- below a directory ---- */

static int read_one(struct sweep *sweep, const struct id128 *id) {
    uint32_t n = 1u << directory_shard_bits(id);
    int err = 0;
    for (uint32_t shard = 0; shard < n && err == 0; shard++) {
        struct key key = key_directory(id, (uint8_t)shard);
        const struct partition_tally partition = {.key = key_bytes(&key), .tally = {.n_live = 1}};
        err = sweep_read_directory(sweep, &partition);
    }
    struct sweep_directory *d = id_table_find(&sweep->index.directories, id);
    if (d != NULL) {
        d->reach = REACH_ENDS; /* read */
    }
    return err;
}

/* A directory that was met and not yet read; NULL when there is none. */
static bool next_unread(struct sweep *sweep, struct id128 *ret) {
    size_t at = 0;
    for (struct sweep_directory *d; (d = id_table_next(&sweep->index.directories, &at)) != NULL;) {
        if (d->reach == REACH_UNKNOWN) {
            *ret = d->id;
            return true;
        }
    }
    return false;
}

int sweep_below(const struct sweep_config *config, const struct id128 *directory,
                struct sweep_report *report) {
    struct sweep sweep;
    struct id128 id = *directory;
    sweep_init(&sweep, config, report);
    int err = read_one(&sweep, &id);
    while (err == 0 && next_unread(&sweep, &id)) {
        err = read_one(&sweep, &id);
    }
    report->n_directories = sweep.index.directories.n;
    struct sweep_directory *top = id_table_find(&sweep.index.directories, directory);
    if (top != NULL) {
        top->unreadable = true; /* its own name is not below it */
    }
    if (err == 0) {
        conclude_directories(&sweep);
        err = settle_findings(&sweep, 0, false);
    }
    report->phase = err == 0 ? SWEEP_DONE : report->phase;
    sweep_release(&sweep);
    return err;
}
