/* ringctl_journal: which writes were acknowledged, on a file, and whether the cluster has them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/ringctl_bench.h"

enum {
    LINE_MAX_SIZE = 128,
    MISSING_SHOWN = 20,
    CHECKS_DEFAULT = 16, /* rows read at once */
    ROWS_FIRST = 1024,
    JOURNAL_ROWS_MAX = 1 << 26,
};

/* ---- writing ------------------------------------------------------------------------------------
 */

struct journal {
    FILE *file;
};

struct journal *journal_new(const char *path, uint64_t run, const char *prefix) {
    FILE *file = fopen(path, "wx");
    if (file == NULL) {
        fprintf(stderr, "ringctl: journal %s: %s\n", path, strerror(errno));
        return NULL;
    }
    struct journal *journal = memory_new(1, sizeof *journal);
    journal->file = file;
    setvbuf(file, NULL, _IOLBF, 1 << 12);
    fprintf(file, "bench %016llx %s\n", (unsigned long long)run, prefix);
    return journal;
}

void journal_note(struct journal *journal, const struct bench_write *write) {
    fprintf(journal->file, "%llu %llu\n", (unsigned long long)write->row,
            (unsigned long long)write->sequence);
}

bool journal_free(struct journal *journal) {
    bool good = fflush(journal->file) == 0 && !ferror(journal->file);
    fclose(journal->file);
    free(journal);
    if (!good) {
        fputs("ringctl: the journal could not be written\n", stderr);
    }
    return good;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

/* Of each row the last acknowledged write; 0 = none. */
struct acknowledged {
    uint64_t run;
    char prefix[BENCH_PREFIX_MAX + 1];
    uint64_t *sequences;
    uint64_t n; /* rows, whether written or not */
    uint64_t n_writes;
};

static int grow(struct acknowledged *a, uint64_t row) {
    if (row >= JOURNAL_ROWS_MAX) {
        return ERR_TOO_BIG;
    }
    uint64_t n = a->n == 0 ? ROWS_FIRST : a->n;
    while (n <= row) {
        n *= 2;
    }
    a->sequences = memory_resize(a->sequences, n * sizeof *a->sequences);
    memset(a->sequences + a->n, 0, (n - a->n) * sizeof *a->sequences);
    a->n = n;
    return 0;
}

/* A last line without an end was being written when the writer died. */
static int read_lines(FILE *file, struct acknowledged *ret) {
    char line[LINE_MAX_SIZE];
    unsigned long long row, sequence;
    if (fgets(line, sizeof line, file) == NULL ||
        sscanf(line, "bench %llx %64s", &sequence, ret->prefix) != 2) {
        return ERR_INVALID;
    }
    ret->run = sequence;
    while (fgets(line, sizeof line, file) != NULL && strchr(line, '\n') != NULL) {
        if (sscanf(line, "%llu %llu", &row, &sequence) != 2) {
            return ERR_INVALID;
        }
        if (row >= ret->n && grow(ret, row) != 0) {
            return ERR_TOO_BIG;
        }
        ret->n_writes++;
        if (sequence > ret->sequences[row]) {
            ret->sequences[row] = sequence;
        }
    }
    return ferror(file) ? ERR_IO : 0;
}

static int journal_read(const char *path, struct acknowledged *ret) {
    *ret = (struct acknowledged){0};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return errno == ENOENT ? ERR_NO_ENTRY : ERR_IO;
    }
    int status = read_lines(file, ret);
    fclose(file);
    return status;
}

/* ---- checking -----------------------------------------------------------------------------------
 */

struct check {
    struct ctl *ctl;
    struct store *store;
    struct acknowledged journal;
    uint64_t next;
    uint64_t n_rows, n_missing, n_damaged, n_unread;
    int last_error;
};

static void check_row(struct check *check, uint64_t number) {
    char key[BENCH_KEY_MAX];
    struct store_row row = {0};
    struct bench_row found;
    uint64_t want = check->journal.sequences[number];
    int status = check->store->get(
        check->store->self, bench_key(check->journal.prefix, check->journal.run, number, key),
        (struct bytes){0}, STORE_LARGE, &row);
    check->n_rows++;
    if (status != 0) {
        check->n_unread++;
        check->last_error = status;
        return;
    }
    bench_row_read(&row.versions, check->journal.run, number, &found);
    store_row_release(&row);
    check->n_damaged += found.n_damaged;
    if (found.sequence >= want) {
        return;
    }
    if (check->n_missing++ < MISSING_SHOWN) {
        fprintf(stderr,
                "ringctl: row %llu: write %llu was acknowledged, and the last found is %llu\n",
                (unsigned long long)number, (unsigned long long)want,
                (unsigned long long)found.sequence);
    }
}

static int check_rows(void *arg) {
    struct check *check = arg;
    task_set_deadline(task_self(), 0);
    while (check->next < check->journal.n) {
        uint64_t number = check->next++;
        if (check->journal.sequences[number] > 0) {
            check_row(check, number);
        }
    }
    return 0;
}

static int report(const struct check *check) {
    if (check->ctl->json) {
        ctl_print_json(json_pack(
            "{s:I, s:I, s:I, s:I, s:I}", "writes", (json_int_t)check->journal.n_writes, "rows",
            (json_int_t)check->n_rows, "missing", (json_int_t)check->n_missing, "damaged",
            (json_int_t)check->n_damaged, "unread", (json_int_t)check->n_unread));
    } else {
        printf("%llu acknowledged writes to %llu rows: %llu missing, %llu damaged, %llu unread\n",
               (unsigned long long)check->journal.n_writes, (unsigned long long)check->n_rows,
               (unsigned long long)check->n_missing, (unsigned long long)check->n_damaged,
               (unsigned long long)check->n_unread);
    }
    if (check->n_missing + check->n_damaged > 0) {
        return CTL_FAILED;
    }
    return check->n_unread == 0 ? CTL_DONE
                                : ctl_complain(check->ctl, "bench", "--check", check->last_error);
}

int journal_check(struct ctl *ctl, const char *path) {
    struct check check = {.ctl = ctl, .store = ctl->store};
    int status = journal_read(path, &check.journal);
    if (status != 0) {
        free(check.journal.sequences);
        return ctl_complain(ctl, "journal", path, status);
    }
    struct task_group group = {0};
    for (int i = 0; i < CHECKS_DEFAULT; i++) {
        task_group_run(&group, check_rows, &check);
    }
    task_group_wait(&group, 0);
    free(check.journal.sequences);
    return report(&check);
}
