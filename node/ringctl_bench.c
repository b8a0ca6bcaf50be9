/* ringctl_bench: closed-loop clients on rows of their own, and how long they waited. */
#include "node/ringctl_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/histogram.h"

enum {
    CLIENTS_DEFAULT = 8,
    SECONDS_DEFAULT = 5,
    SECONDS_MAX = 86400,
    SIZE_DEFAULT = 100,
    ROWS_DEFAULT = 1000,
    ROWS_MAX = 10000000,
    PAUSE_MS = 10, /* of a client whose request failed */
    STALE_SHOWN = 5,
};

/* What a client knows of one of its rows. */
struct row_state {
    uint64_t sequence;     /* of the last write that was begun */
    uint64_t acknowledged; /* highest that was answered done */
    struct bytes seen;     /* owned: the context of the next put */
    bool doubtful;         /* the last write may or may not stand: read before writing on */
};

struct bench {
    struct ctl *ctl;
    struct store *store;
    const char *prefix;
    uint64_t n_clients, seconds, n_operations, size, puts_percent, n_rows;
    store_options options;
    bool strict;
    struct journal *journal;
    uint64_t run;
    struct row_state *rows; /* n_rows; row r is of the client r % n_clients */
    int64_t until_ns;       /* 0 = no limit */
    uint64_t n_begun;       /* of n_operations, when that is not 0 */
    bool measuring;
    struct histogram puts, gets;
    uint64_t n_failed, n_stale;
    int last_error;
};

struct bench_client {
    struct bench *bench;
    uint64_t number;
    uint64_t turn; /* rows written one after another */
    uint8_t *value;
};

int64_t bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- rows and values ----------------------------------------------------------------------------
 */

struct bytes bench_key(const char *prefix, uint64_t run, uint64_t row, char into[BENCH_KEY_MAX]) {
    int size = snprintf(into, BENCH_KEY_MAX, "~bench/%s/%016llx/%llu", prefix,
                        (unsigned long long)run, (unsigned long long)row);
    return bytes_of(into, (size_t)size);
}

int bench_remove(struct store *store, struct bytes key) {
    struct row_op op = {.kind = ROW_DELETE, .condition = ROW_OVERWRITE};
    struct batch batch = {.op = store->op_id(store->self), .n = 1, .ops = &op};
    return store->batch(store->self, key, &batch, 0, NULL);
}

void bench_value(const struct bench_write *write, uint8_t *into, size_t size) {
    bytes_store_u64(into, write->run);
    bytes_store_u64(into + 8, write->row);
    bytes_store_u64(into + 16, write->sequence);
    uint64_t dice = write->run ^ write->row << 32 ^ write->sequence ^ size ^ 0x9e3779b97f4a7c15u;
    for (size_t at = BENCH_VALUE_MIN; at < size; at += sizeof dice) { /* xorshift64 */
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        memcpy(into + at, &dice, size - at < sizeof dice ? size - at : sizeof dice);
    }
}

int bench_value_read(struct bytes value, struct bench_write *ret) {
    if (value.size < BENCH_VALUE_MIN) {
        return ERR_CORRUPT;
    }
    struct bench_write write = {.run = bytes_load_u64(value.data),
                                .row = bytes_load_u64(value.data + 8),
                                .sequence = bytes_load_u64(value.data + 16)};
    uint8_t *whole = memory_new(1, value.size);
    bench_value(&write, whole, value.size);
    bool same = memcmp(whole, value.data, value.size) == 0;
    free(whole);
    if (!same) {
        return ERR_CORRUPT;
    }
    *ret = write;
    return 0;
}

void bench_row_read(const struct versions *versions, uint64_t run, uint64_t row,
                    struct bench_row *ret) {
    *ret = (struct bench_row){0};
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        struct bench_write write;
        if ((sibling->flags & SIBLING_TOMBSTONE) != 0) {
            continue;
        }
        if (bench_value_read(sibling->value, &write) != 0) {
            ret->n_damaged++;
        } else if (write.run == run && write.row == row && write.sequence > ret->sequence) {
            ret->sequence = write.sequence;
        }
    }
}

/* ---- one client ---------------------------------------------------------------------------------
 */

static void note_failure(struct bench *bench, int status) {
    bench->n_failed++;
    bench->last_error = status;
    task_sleep((int64_t)PAUSE_MS * 1000000);
}

static void see(struct row_state *row, struct bytes context) {
    free((void *)(uintptr_t)row->seen.data);
    row->seen = bytes_copy(context);
}

/* What a read may not show: less than what was acknowledged to this client before. */
static void check_read(struct bench *bench, uint64_t number, const struct versions *versions) {
    struct row_state *row = &bench->rows[number];
    struct bench_row found;
    bench_row_read(versions, bench->run, number, &found);
    if (found.sequence >= row->acknowledged && found.n_damaged == 0) {
        return;
    }
    if (bench->n_stale++ < STALE_SHOWN) {
        fprintf(stderr,
                "ringctl: row %llu: write %llu was acknowledged, and the last found is %llu%s\n",
                (unsigned long long)number, (unsigned long long)row->acknowledged,
                (unsigned long long)found.sequence, found.n_damaged > 0 ? ", damaged" : "");
    }
}

static int client_get(struct bench *bench, uint64_t number) {
    char key[BENCH_KEY_MAX];
    struct store_row found = {0};
    store_options options = bench->options & (store_options)~MESSAGE_SYNCED;
    options |= bench->size > STORE_SMALL_MAX ? STORE_LARGE : 0;
    int64_t begun = bench_now_ns();
    int status =
        bench->store->get(bench->store->self, bench_key(bench->prefix, bench->run, number, key),
                          (struct bytes){0}, options, &found);
    int64_t took = bench_now_ns() - begun;
    if (status != 0) {
        return status;
    }
    if (bench->measuring) {
        histogram_add(&bench->gets, (uint64_t)took);
    }
    if (bench->journal != NULL) {
        check_read(bench, number, &found.versions);
    }
    struct buffer context = {0};
    context_encode(&found.versions.context, &context);
    see(&bench->rows[number], buffer_bytes(&context));
    bench->rows[number].doubtful = false;
    buffer_release(&context);
    store_row_release(&found);
    return 0;
}

static int client_put(struct bench_client *client, uint64_t number) {
    struct bench *bench = client->bench;
    struct row_state *row = &bench->rows[number];
    int status = row->doubtful ? client_get(bench, number) : 0;
    if (status != 0) {
        return status;
    }
    char key[BENCH_KEY_MAX];
    struct bench_write write = {.run = bench->run, .row = number, .sequence = ++row->sequence};
    bench_value(&write, client->value, bench->size);
    struct row_op op = {.kind = ROW_PUT,
                        .condition = bench->strict ? ROW_IF_MATCH : ROW_ANY,
                        .seen = row->seen,
                        .value = bytes_of(client->value, bench->size)};
    struct batch batch = {.op = bench->store->op_id(bench->store->self), .n = 1, .ops = &op};
    struct store_outcome outcome = {0};
    int64_t begun = bench_now_ns();
    status =
        bench->store->batch(bench->store->self, bench_key(bench->prefix, bench->run, number, key),
                            &batch, bench->options, &outcome);
    int64_t took = bench_now_ns() - begun;
    if (status == 0) {
        row->acknowledged = write.sequence;
        see(row, outcome.reply.n_contexts > 0 ? outcome.reply.contexts[0] : (struct bytes){0});
        if (bench->measuring) {
            histogram_add(&bench->puts, (uint64_t)took);
        }
        if (bench->journal != NULL) {
            journal_note(bench->journal, &write);
        }
    }
    row->doubtful = status != 0;
    store_outcome_release(&outcome);
    return status;
}

static bool goes_on(struct bench *bench) {
    if (bench->n_operations != 0) {
        return bench->n_begun++ < bench->n_operations;
    }
    return bench_now_ns() < bench->until_ns;
}

/* The client's rows in turn for a journal, so that each is written; else at random. */
static uint64_t next_row(struct bench_client *client) {
    struct bench *bench = client->bench;
    uint64_t n_own = bench->n_rows / bench->n_clients;
    uint64_t own =
        bench->journal != NULL ? client->turn++ : bench->store->random(bench->store->self);
    return own % n_own * bench->n_clients + client->number;
}

static int run_client(void *arg) {
    struct bench_client *client = arg;
    struct bench *bench = client->bench;
    task_set_deadline(task_self(), 0); /* each request has --timeout of its own */
    while (goes_on(bench)) {
        uint64_t row = next_row(client);
        bool put = bench->store->random(bench->store->self) % 100 < bench->puts_percent;
        int status = put ? client_put(client, row) : client_get(bench, row);
        if (status != 0) {
            note_failure(bench, status);
        }
    }
    return 0;
}

/* Each row once, so that there is something to get and no request of those measured is a row's
 * first. */
static int fill_rows(void *arg) {
    struct bench_client *client = arg;
    struct bench *bench = client->bench;
    task_set_deadline(task_self(), 0);
    for (uint64_t row = client->number; row < bench->n_rows; row += bench->n_clients) {
        int status = client_put(client, row);
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

static int remove_rows(void *arg) {
    struct bench_client *client = arg;
    struct bench *bench = client->bench;
    char key[BENCH_KEY_MAX];
    task_set_deadline(task_self(), 0);
    for (uint64_t row = client->number; row < bench->n_rows; row += bench->n_clients) {
        int status = bench_remove(bench->store, bench_key(bench->prefix, bench->run, row, key));
        if (status != 0) {
            return status;
        }
    }
    return 0;
}

/* Every client at once; the first error, once all have ended. */
static int run_all(struct bench_client *clients, uint64_t n, int (*fn)(void *client)) {
    struct task_group group = {0};
    for (uint64_t i = 0; i < n; i++) {
        task_group_run(&group, fn, &clients[i]);
    }
    task_group_wait(&group, 0);
    return group.status;
}

/* ---- what comes out -----------------------------------------------------------------------------
 */

static double us_of(const struct histogram *h, uint32_t ppm) {
    return (double)histogram_quantile(h, ppm) / 1000;
}

static json_t *histogram_json(const struct histogram *h, double seconds) {
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "operations", (json_int_t)h->n, "per_second",
                     (double)h->n / seconds, "p50_us", us_of(h, 500000), "p99_us", us_of(h, 990000),
                     "p999_us", us_of(h, 999000), "max_us", (double)h->max / 1000);
}

static void print_histogram(const char *name, const struct histogram *h, double seconds) {
    if (h->n > 0) {
        printf("%-6s %10.0f %10.0f %10.0f %10.0f %10.0f\n", name, (double)h->n / seconds,
               us_of(h, 500000), us_of(h, 990000), us_of(h, 999000), (double)h->max / 1000);
    }
}

static void print_report(const struct bench *bench, double seconds) {
    bool synced = (bench->options & MESSAGE_SYNCED) != 0;
    if (bench->ctl->json) {
        ctl_print_json(json_pack("{s:I, s:I, s:I, s:b, s:b, s:f, s:o, s:o, s:I, s:I}", "clients",
                                 (json_int_t)bench->n_clients, "size", (json_int_t)bench->size,
                                 "rows", (json_int_t)bench->n_rows, "synced", (int)synced, "strict",
                                 (int)bench->strict, "seconds", seconds, "put",
                                 histogram_json(&bench->puts, seconds), "get",
                                 histogram_json(&bench->gets, seconds), "failed",
                                 (json_int_t)bench->n_failed, "stale", (json_int_t)bench->n_stale));
        return;
    }
    printf("%llu clients, %llu rows of %llu bytes, %s, %s, %.1f s\n",
           (unsigned long long)bench->n_clients, (unsigned long long)bench->n_rows,
           (unsigned long long)bench->size, synced ? "synced" : "buffered",
           bench->strict ? "strict" : "eventual", seconds);
    printf("%-6s %10s %10s %10s %10s %10s\n", "", "per second", "p50 us", "p99 us", "p99.9 us",
           "max us");
    print_histogram("put", &bench->puts, seconds);
    print_histogram("get", &bench->gets, seconds);
    if (bench->n_failed > 0) {
        printf("failed %10llu, the last: %s\n", (unsigned long long)bench->n_failed,
               err_text(bench->last_error));
    }
    if (bench->n_stale > 0) {
        printf("stale  %10llu reads\n", (unsigned long long)bench->n_stale);
    }
}

/* ---- the command --------------------------------------------------------------------------------
 */

static int measure(struct bench *bench, struct bench_client *clients) {
    int status = 0;
    if (bench->journal == NULL) {
        status = run_all(clients, bench->n_clients, fill_rows);
    }
    if (status != 0) {
        return ctl_complain(bench->ctl, "bench", bench->prefix, status);
    }
    bench->measuring = true;
    int64_t begun = bench_now_ns();
    bench->until_ns = begun + (int64_t)bench->seconds * 1000000000;
    run_all(clients, bench->n_clients, run_client);
    double seconds = (double)(bench_now_ns() - begun) / 1e9;
    print_report(bench, seconds);
    if (bench->journal == NULL) {
        run_all(clients, bench->n_clients, remove_rows);
    }
    bool failed = bench->journal != NULL ? bench->n_stale > 0 : bench->n_failed > 0;
    bool nothing = bench->puts.n + bench->gets.n == 0;
    return failed || nothing ? CTL_FAILED : CTL_DONE;
}

static int read_options(struct ctl *ctl, struct bench *ret) {
    *ret = (struct bench){.ctl = ctl,
                          .prefix = bench_prefix(ctl),
                          .n_clients = CLIENTS_DEFAULT,
                          .seconds = SECONDS_DEFAULT,
                          .size = SIZE_DEFAULT,
                          .puts_percent = 100,
                          .n_rows = ROWS_DEFAULT};
    if (ret->prefix == NULL ||
        ctl_option_number(ctl, "clients", 1, BENCH_CLIENTS_MAX, &ret->n_clients) != CTL_DONE ||
        ctl_option_number(ctl, "seconds", 1, SECONDS_MAX, &ret->seconds) != CTL_DONE ||
        ctl_option_number(ctl, "ops", 1, UINT32_MAX, &ret->n_operations) != CTL_DONE ||
        ctl_option_number(ctl, "size", BENCH_VALUE_MIN, VALUE_MAX, &ret->size) != CTL_DONE ||
        ctl_option_number(ctl, "puts", 0, 100, &ret->puts_percent) != CTL_DONE ||
        ctl_option_number(ctl, "rows", 1, ROWS_MAX, &ret->n_rows) != CTL_DONE) {
        return CTL_USAGE;
    }
    ret->strict = ctl_option(ctl, "strict") != NULL;
    ret->options = ctl_option(ctl, "synced") != NULL ? MESSAGE_SYNCED : 0;
    /* Every client has as many rows as the others, and at least one. */
    uint64_t each = (ret->n_rows + ret->n_clients - 1) / ret->n_clients;
    ret->n_rows = each * ret->n_clients;
    return CTL_DONE;
}

static void bench_release(struct bench *bench, struct bench_client *clients) {
    for (uint64_t i = 0; i < bench->n_rows; i++) {
        free((void *)(uintptr_t)bench->rows[i].seen.data);
    }
    for (uint64_t i = 0; i < bench->n_clients; i++) {
        free(clients[i].value);
    }
    free(clients);
    free(bench->rows);
}

static int run_bench(struct ctl *ctl) {
    struct bench *bench = memory_new(1, sizeof *bench);
    int exit_code = read_options(ctl, bench);
    const char *path = ctl_option(ctl, "journal");
    if (exit_code == CTL_DONE) {
        bench->store = ctl->store;
        bench->run = bench->store->random(bench->store->self);
        bench->journal = path != NULL ? journal_new(path, bench->run, bench->prefix) : NULL;
        exit_code = path != NULL && bench->journal == NULL ? CTL_FAILED : CTL_DONE;
    }
    if (exit_code == CTL_DONE) {
        struct bench_client *clients = memory_new(bench->n_clients, sizeof *clients);
        bench->rows = memory_new(bench->n_rows, sizeof *bench->rows);
        for (uint64_t i = 0; i < bench->n_clients; i++) {
            clients[i] = (struct bench_client){
                .bench = bench, .number = i, .value = memory_new(1, bench->size)};
        }
        exit_code = measure(bench, clients);
        bench_release(bench, clients);
    }
    if (bench->journal != NULL && !journal_free(bench->journal)) {
        exit_code = CTL_FAILED;
    }
    free(bench);
    return exit_code;
}

static int run_check(struct ctl *ctl) {
    return journal_check(ctl, ctl_option(ctl, "check"));
}

const char *bench_prefix(const struct ctl *ctl) {
    const char *prefix = ctl_option(ctl, "prefix");
    if (prefix == NULL) {
        return "bench";
    }
    if (prefix[0] == '\0' || strlen(prefix) > BENCH_PREFIX_MAX || strpbrk(prefix, " \n") != NULL) {
        ctl_usage_error("--prefix is a word of at most 64 letters, not", prefix);
        return NULL;
    }
    return prefix;
}

int ctl_bench(struct ctl *ctl) {
    uint64_t n_rounds = 0;
    if (ctl_option_number(ctl, "race", 1, UINT32_MAX, &n_rounds) != CTL_DONE) {
        return CTL_USAGE;
    }
    if (n_rounds > 0) {
        return bench_race(ctl, n_rounds);
    }
    return ctl_run_session(ctl, CTL_CLUSTER,
                           ctl_option(ctl, "check") != NULL ? run_check : run_bench);
}
