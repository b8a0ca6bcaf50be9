/* ringctl_fsck: looks for what crashed clients left in the filesystem, and repairs it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/ringctl.h"
#include "shared/session_partitions.h"
#include "shared/sweep.h"

enum {
    FSCK_SLICES_AT_ONCE = 16,
    FSCK_SHOWN_MAX = 1000, /* findings that are told one by one; all are counted */
    PROGRESS_MS = 500,
    AGE_MIN_DEFAULT_S = 3600,
};

struct fsck {
    struct ctl *ctl;
    struct sweep_config config;
    struct sweep_report report;
    struct session_partitions partitions;
    json_t *shown; /* --json */
    uint64_t n_shown;
    /* The line of progress. */
    struct task *ticker;
    bool ended;
    enum sweep_phase phase; /* that it last showed, and since when */
    int64_t phase_ns;
};

/* ---- findings ---- */

static json_t *finding_json(const struct sweep_finding *finding, const char *where, int status,
                            bool repair) {
    const char *outcome = !repair ? "found" : status == 0 ? "repaired" : "left";
    json_t *text = json_string(where);
    json_t *value = json_pack("{s:s, s:o, s:s}", "kind", sweep_kind_name(finding->kind), "where",
                              text != NULL ? text : json_string("?"), "outcome", outcome);
    if (status != 0) {
        json_object_set_new(value, "reason", json_string(err_text(status)));
    }
    return value;
}

static void clear_line(const struct fsck *f) {
    if (f->ticker != NULL) {
        fputs("\r\033[K", stderr);
    }
}

static void on_found(void *context, const struct sweep_finding *finding, int status) {
    struct fsck *f = context;
    bool repair = f->config.repair;
    struct buffer where = {0};
    if (f->n_shown++ >= FSCK_SHOWN_MAX) {
        return;
    }
    sweep_describe(f->config.ns, finding, &where);
    buffer_put_u8(&where, 0);
    if (f->shown != NULL) {
        json_array_append_new(f->shown,
                              finding_json(finding, (const char *)where.data, status, repair));
    } else {
        clear_line(f);
        printf("%s: %s%s%s\n", (const char *)where.data, sweep_kind_text(finding->kind),
               !repair       ? ""
               : status == 0 ? ": repaired"
                             : ": left, ",
               repair && status != 0 ? err_text(status) : "");
    }
    buffer_release(&where);
}

/* ---- progress ---- */

static const char *const phases[] = {"reading directories",
                                     "looking at contents",
                                     "waiting for clients",
                                     "reading once more",
                                     "removing",
                                     "done"};

static void print_progress(struct fsck *f) {
    const struct sweep_report *r = &f->report;
    int64_t now_ns = session_now_ns(f->ctl->session);
    char eta[32] = "";
    if (r->phase != f->phase || f->phase_ns == 0) {
        f->phase = r->phase;
        f->phase_ns = now_ns;
    }
    double seconds = (double)(now_ns - f->phase_ns) / 1e9;
    if (r->slices_done > 0 && r->slices_done < r->n_slices) {
        snprintf(eta, sizeof eta, ", %.0f s left",
                 seconds * (r->n_slices - r->slices_done) / r->slices_done);
    }
    fprintf(stderr, "\r\033[K%s: %u of %u slices, %llu entries, %llu partitions%s",
            phases[r->phase], r->slices_done, r->n_slices, (unsigned long long)r->n_entries,
            (unsigned long long)r->n_partitions, eta);
}

static int tick(void *context) {
    struct fsck *f = context;
    f->ticker = task_self();
    while (!f->ended && task_sleep((int64_t)PROGRESS_MS * 1000000) == 0) {
        print_progress(f);
    }
    clear_line(f);
    f->ticker = NULL;
    return 0;
}

/* ---- the result ---- */

static uint64_t sum(const struct sweep_report *r, bool only_left, bool repair) {
    uint64_t n = 0;
    for (int i = 0; i < SWEEP_KINDS; i++) {
        n += only_left && repair ? r->kinds[i].left : r->kinds[i].found;
    }
    return n;
}

static json_t *report_json(struct fsck *f, bool whole) {
    const struct sweep_report *r = &f->report;
    json_t *all = json_object();
    for (int i = 0; i < SWEEP_KINDS; i++) {
        json_object_set_new(all, sweep_kind_name((enum sweep_kind)i),
                            json_pack("{s:I, s:I, s:I}", "found", (json_int_t)r->kinds[i].found,
                                      "repaired", (json_int_t)r->kinds[i].repaired, "left",
                                      (json_int_t)r->kinds[i].left));
    }
    json_t *shown = f->shown;
    f->shown = NULL;
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "complete", whole, "directories",
                     (json_int_t)r->n_directories, "entries", (json_int_t)r->n_entries, "young",
                     (json_int_t)r->n_young, "blocks_removed", (json_int_t)r->n_blocks_removed,
                     "kinds", all, "findings", shown);
}

static void print_table(const struct fsck *f) {
    const struct sweep_report *r = &f->report;
    bool repair = f->config.repair;
    if (f->n_shown > FSCK_SHOWN_MAX) {
        printf("... and %llu more\n", (unsigned long long)(f->n_shown - FSCK_SHOWN_MAX));
    }
    printf("%llu directories, %llu entries read", (unsigned long long)r->n_directories,
           (unsigned long long)r->n_entries);
    if (r->n_young > 0) {
        printf("; %llu changed too lately to be judged", (unsigned long long)r->n_young);
    }
    if (sum(r, false, false) == 0) {
        puts("; nothing is wrong");
        return;
    }
    printf("\n%-14s %9s", "", "found");
    puts(repair ? "  repaired      left" : "");
    for (int i = 0; i < SWEEP_KINDS; i++) {
        if (r->kinds[i].found == 0) {
            continue;
        }
        printf("%-14s %9llu", sweep_kind_name((enum sweep_kind)i),
               (unsigned long long)r->kinds[i].found);
        if (repair) {
            printf(" %9llu %9llu", (unsigned long long)r->kinds[i].repaired,
                   (unsigned long long)r->kinds[i].left);
        }
        putchar('\n');
    }
    if (!repair) {
        puts("`ringctl fsck --repair` repairs this");
    }
}

static int result(struct fsck *f, int err, const char *path) {
    struct ctl *ctl = f->ctl;
    bool repair = f->config.repair;
    if (ctl->json) {
        ctl_print_json(report_json(f, err == 0));
    } else if (err == 0) {
        print_table(f);
    }
    for (uint32_t i = 0; i < f->partitions.n_silent; i++) {
        fprintf(stderr, "ringctl: fsck: node %u: %s%s\n", f->partitions.silent[i],
                err_text(f->partitions.silent_status[i]),
                repair ? "; --repair needs every node" : "");
    }
    if (err == ERR_BUSY) {
        fputs("ringctl: fsck: another one has begun meanwhile and goes on in its place\n", stderr);
        return CTL_FAILED;
    }
    if (err != 0) {
        return ctl_complain(ctl, "fsck", path, err);
    }
    return sum(&f->report, true, repair) > 0 ? CTL_FAILED : CTL_DONE;
}

/* ---- the command ---- */

/* A number of seconds, or with s, m, h or d behind it. */
static int parse_age(const char *text, uint64_t *ret_ns) {
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'\0', 1}, {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || value > 1000000000 ||
        (end[0] != '\0' && end[1] != '\0')) {
        return CTL_USAGE;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (units[i].unit == end[0]) {
            *ret_ns = value * units[i].seconds * 1000000000u;
            return CTL_DONE;
        }
    }
    return CTL_USAGE;
}

static int fsck_run(struct fsck *f, const char *path) {
    struct task_group group = {0};
    struct id128 directory;
    int err = 0;
    if (isatty(STDERR_FILENO) && !f->ctl->json) {
        task_group_run(&group, tick, f);
    }
    if (path == NULL) {
        err = sweep_run(&f->config, &f->report);
    } else {
        err = namespace_resolve_directory(f->ctl->ns, path, &directory);
        err = err < 0 ? err : sweep_below(&f->config, &directory, &f->report);
    }
    f->ended = true;
    if (f->ticker != NULL) {
        task_interrupt(f->ticker);
    }
    task_group_wait(&group, 0);
    return result(f, err, path != NULL ? path : "/");
}

int ctl_fsck(struct ctl *ctl) {
    struct fsck f = {.ctl = ctl};
    bool repair = ctl_option(ctl, "repair") != NULL;
    uint64_t age_ns = (uint64_t)AGE_MIN_DEFAULT_S * 1000000000u;
    const char *age = ctl_option(ctl, "min-age");
    if (repair && ctl_option(ctl, "dry-run") != NULL) {
        return ctl_usage_error("fsck takes --repair or --dry-run, not both", "");
    }
    if (age != NULL && parse_age(age, &age_ns) != CTL_DONE) {
        return ctl_usage_error("--min-age is a number of seconds, or 30m, 12h, 2d, not", age);
    }
    f.shown = ctl->json ? json_array() : NULL;
    session_partitions_init(&f.partitions, ctl->session, ctl->wait_ns, repair);
    f.config = (struct sweep_config){.ns = ctl->ns,
                                     .source = &f.partitions.source,
                                     .repair = repair,
                                     .age_min_ns = age_ns,
                                     .n_at_once = FSCK_SLICES_AT_ONCE,
                                     .found = on_found,
                                     .context = &f};
    int exit_code = fsck_run(&f, ctl->argc == 1 ? ctl->argv[0] : NULL);
    json_decref(f.shown);
    return exit_code;
}
