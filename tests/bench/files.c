/* files: loops of file operations in threads, for the benchmarks: rate and latencies of each.
 *
 *   files create|read|stat|append|remove DIR N SIZE THREADS
 *
 * N files in all, spread over THREADS threads, each in a directory of its own below DIR. Prints one
 * line: operations, seconds, median and 99th percentile in microseconds. Exit 1 with a sentence on
 * any error. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 64, SIZE_MAX_BYTES = 1 << 20, PATH_SIZE = 512 };

static const char *directory;
static long n_files;
static size_t file_size;
static long n_threads;
static uint32_t *latencies_us;
static void (*operation)(const char *path, char *data);

static _Noreturn void fail(const char *what, const char *path) {
    fprintf(stderr, "files: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void write_file(const char *path, char *data, int flags) {
    int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
    if (fd < 0 || write(fd, data, file_size) != (ssize_t)file_size || close(fd) != 0) {
        fail("writing", path);
    }
}

static void create_file(const char *path, char *data) {
    write_file(path, data, O_EXCL);
}

static void append_file(const char *path, char *data) {
    write_file(path, data, O_APPEND);
}

static void read_file(const char *path, char *data) {
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, data, SIZE_MAX_BYTES) < (ssize_t)file_size || close(fd) != 0) {
        fail("reading", path);
    }
}

static void stat_file(const char *path, char *data) {
    (void)data;
    struct stat st;
    if (stat(path, &st) != 0) {
        fail("stat", path);
    }
}

static void remove_file(const char *path, char *data) {
    (void)data;
    if (unlink(path) != 0) {
        fail("removing", path);
    }
}

static void *run_thread(void *argument) {
    long thread = *(const long *)argument;
    char *data = malloc(SIZE_MAX_BYTES);
    char path[PATH_SIZE];
    if (data == NULL) {
        fail("allocating for", directory);
    }
    memset(data, 'a' + (int)(thread % 26), SIZE_MAX_BYTES);
    snprintf(path, sizeof path, "%s/t%ld", directory, thread);
    if (mkdir(path, 0755) != 0 && errno != EEXIST) {
        fail("making", path);
    }
    for (long i = thread; i < n_files; i += n_threads) {
        snprintf(path, sizeof path, "%s/t%ld/file-%ld", directory, thread, i);
        int64_t start = now_ns();
        operation(path, data);
        latencies_us[i] = (uint32_t)((now_ns() - start) / 1000);
    }
    free(data);
    return NULL;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void choose_operation(const char *name) {
    static const struct {
        const char *name;
        void (*run)(const char *path, char *data);
    } operations[] = {{"create", create_file},
                      {"read", read_file},
                      {"stat", stat_file},
                      {"append", append_file},
                      {"remove", remove_file}};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(name, operations[i].name) == 0) {
            operation = operations[i].run;
        }
    }
}

int main(int argc, char **argv) {
    if (argc == 6) {
        choose_operation(argv[1]);
        directory = argv[2];
        n_files = atol(argv[3]);
        file_size = (size_t)atol(argv[4]);
        n_threads = atol(argv[5]);
    }
    if (operation == NULL || n_files < 1 || file_size > SIZE_MAX_BYTES || n_threads < 1 ||
        n_threads > THREADS_MAX) {
        fprintf(stderr, "usage: files create|read|stat|append|remove DIR N SIZE THREADS\n");
        return 2;
    }
    latencies_us = calloc((size_t)n_files, sizeof *latencies_us);
    if (latencies_us == NULL) {
        fail("allocating for", directory);
    }
    pthread_t threads[THREADS_MAX];
    long numbers[THREADS_MAX];
    int64_t start = now_ns();
    for (long i = 0; i < n_threads; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, run_thread, &numbers[i]) != 0) {
            fail("starting a thread for", directory);
        }
    }
    for (long i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    qsort(latencies_us, (size_t)n_files, sizeof *latencies_us, by_value);
    printf("%ld %.4f %u %u\n", n_files, seconds, latencies_us[n_files / 2],
           latencies_us[n_files * 99 / 100]);
    free(latencies_us);
    return 0;
}
