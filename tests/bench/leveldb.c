/* leveldb: the load of `ringctl bench` on one bare LevelDB in this process: no network, one copy.
 */
#include <leveldb/c.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/histogram.h"

/* usage: bench_leveldb DIRECTORY put|get SIZE THREADS SECONDS [sync]
 *
 * Prints "per_second p50_us p99_us p999_us max_us". LevelDB's defaults, as far as its C interface
 * has them. */
enum { THREADS_MAX = 256, ROWS = 1000, SIZE_MAX_BYTES = 1 << 20 };

static leveldb_t *db;
static leveldb_writeoptions_t *write_options;
static leveldb_readoptions_t *read_options;
static bool putting;
static char value[SIZE_MAX_BYTES];
static size_t value_size;
static int64_t until_ns;

struct worker {
    pthread_t thread;
    uint64_t dice;
    struct histogram latencies;
};
static struct worker workers[THREADS_MAX];

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void die(const char *error) {
    fprintf(stderr, "bench_leveldb: %s\n", error);
    exit(1);
}

static void one(uint32_t row, bool put) {
    char key[32];
    char *error = NULL;
    size_t got = 0;
    size_t key_size = (size_t)snprintf(key, sizeof key, "bench/%08u", row);
    if (put) {
        leveldb_put(db, write_options, key, key_size, value, value_size, &error);
    } else {
        char *found = leveldb_get(db, read_options, key, key_size, &got, &error);
        if (error == NULL && got != value_size) {
            die("a row is missing");
        }
        leveldb_free(found);
    }
    if (error != NULL) {
        die(error);
    }
}

static void *work(void *arg) {
    struct worker *worker = arg;
    for (int64_t begun = now_ns(); begun < until_ns;) {
        worker->dice ^= worker->dice << 13;
        worker->dice ^= worker->dice >> 7;
        worker->dice ^= worker->dice << 17;
        one((uint32_t)(worker->dice % ROWS), putting);
        int64_t ended = now_ns();
        histogram_add(&worker->latencies, (uint64_t)(ended - begun));
        begun = ended;
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fputs("usage: bench_leveldb DIRECTORY put|get SIZE THREADS SECONDS [sync]\n", stderr);
        return 2;
    }
    char *error = NULL;
    int n = atoi(argv[4]);
    putting = strcmp(argv[2], "put") == 0;
    value_size = (size_t)atoi(argv[3]);
    if (n < 1 || n > THREADS_MAX || value_size < 1 || value_size > sizeof value) {
        return 2;
    }
    for (size_t i = 0; i < value_size; i++) {
        value[i] = (char)random();
    }
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    db = leveldb_open(options, argv[1], &error);
    if (db == NULL) {
        die(error);
    }
    write_options = leveldb_writeoptions_create();
    read_options = leveldb_readoptions_create();
    for (uint32_t row = 0; row < ROWS; row++) {
        one(row, true);
    }
    leveldb_writeoptions_set_sync(write_options, argc > 6 && strcmp(argv[6], "sync") == 0);

    static struct histogram all;
    int64_t begun = now_ns();
    until_ns = begun + (int64_t)(atof(argv[5]) * 1e9);
    for (int i = 0; i < n; i++) {
        workers[i].dice = 88172645463325252u + (uint64_t)i * 7919;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            die("no more threads");
        }
    }
    for (int i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        histogram_join(&all, &workers[i].latencies);
    }
    double seconds = (double)(now_ns() - begun) / 1e9;
    printf("%.0f %.1f %.1f %.1f %.1f\n", (double)all.n / seconds,
           (double)histogram_quantile(&all, 500000) / 1000,
           (double)histogram_quantile(&all, 990000) / 1000,
           (double)histogram_quantile(&all, 999000) / 1000, (double)all.max / 1000);
    leveldb_close(db);
    leveldb_options_destroy(options);
    leveldb_writeoptions_destroy(write_options);
    leveldb_readoptions_destroy(read_options);
    return 0;
}
