/* disk_bench: the disk seam by size of value: rates, CPU, bytes written, room on the disk, memory.
 *
 *   disk_bench DIRECTORY SIZE MIB [OUTSTANDING [ROUNDS [leveldb|segments [synced]]]]
 *
 * Puts MIB of values of SIZE bytes into an empty directory, overwrites them ROUNDS - 1 times in
 * another order, reads them all, waits until the disk is at rest, and prints a line per phase.
 * "leveldb": no value goes to segments. */
#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "node/disk_leveldb.h"

enum { OUTSTANDING_MAX = 256, REST_S = 15 };

static struct disk_leveldb *disk;
static const struct disk *seam;
static const char *directory;
static uint32_t size, n_keys, n_outstanding = 16, n_rounds = 10;
static bool synced;
static uint32_t n_asked, n_answered;

static struct slot {
    char key[24];
    struct disk_put put;
    struct disk_commit commit;
    struct disk_read read;
    uint8_t *value;
} slots[OUTSTANDING_MAX];

/* ---- figures ---- */

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* A line "NAME: NUMBER" of a file of /proc/self. */
static double proc(const char *file, const char *name) {
    char line[256];
    double value = 0;
    FILE *from = fopen(file, "r");
    while (from && fgets(line, sizeof line, from)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            value = strtod(line + strlen(name) + 1, NULL);
        }
    }
    if (from) {
        fclose(from);
    }
    return value;
}

static double n_bytes;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)path, (void)ftw;
    n_bytes += type == FTW_F ? (double)st->st_blocks * 512 : 0;
    return 0;
}

static double disk_mib(void) {
    n_bytes = 0;
    nftw(directory, add_size, 8, FTW_PHYS);
    return n_bytes / (1 << 20);
}

/* ---- asking ---- */

static void die(const char *what) {
    fprintf(stderr, "disk_bench: %s\n", what);
    exit(1);
}

static void commit_done(struct disk_commit *commit, int status);
static void read_done(struct disk_read *read, int status, struct bytes value);

/* A key of a directory-like space, every one once in a round, in an order that differs by round. */
static void key_set(struct slot *slot, uint32_t n, uint32_t step) {
    uint32_t key = (uint32_t)((uint64_t)n * step % n_keys);
    snprintf(slot->key, sizeof slot->key, "r%05u/%010u", key % 997, key);
}

static uint32_t phase_step;

static void put_next(struct slot *slot) {
    key_set(slot, n_asked++, phase_step);
    memcpy(slot->value, &n_asked, sizeof n_asked);
    slot->put =
        (struct disk_put){.key = bytes_of_string(slot->key), .value = bytes_of(slot->value, size)};
    slot->commit = (struct disk_commit){
        .puts = &slot->put, .n = 1, .synced = synced, .done = commit_done, .context = slot};
    seam->commit(seam->self, &slot->commit);
}

static void commit_done(struct disk_commit *commit, int status) {
    if (status) {
        die("a commit failed");
    }
    n_answered++;
    if (n_asked < n_keys) {
        put_next(commit->context);
    }
}

static void get_next(struct slot *slot) {
    key_set(slot, n_asked++, phase_step);
    slot->read =
        (struct disk_read){.key = bytes_of_string(slot->key), .done = read_done, .context = slot};
    seam->read(seam->self, &slot->read);
}

static void read_done(struct disk_read *read, int status, struct bytes value) {
    if (status || value.size != size) {
        die("a read failed");
    }
    n_answered++;
    if (n_asked < n_keys) {
        get_next(read->context);
    }
}

static void phase(const char *name, void (*next)(struct slot *slot), uint32_t step) {
    double begun = now(), cpu_begun = cpu(), io_begun = proc("/proc/self/io", "write_bytes");
    n_asked = n_answered = 0;
    phase_step = step;
    for (uint32_t i = 0; i < n_outstanding && i < n_keys; i++) {
        next(&slots[i]);
    }
    while (n_answered < n_keys) {
        if (!disk_leveldb_drain(disk) && n_answered < n_keys) {
            struct pollfd wait = {disk_leveldb_event_fd(disk), POLLIN, 0};
            poll(&wait, 1, -1);
            disk_leveldb_ready(disk);
        }
    }
    double s = now() - begun, mib = (double)n_keys * size / (1 << 20);
    printf("%-10s %7.0f MiB/s %8.0f ops/s %7.1f us CPU/op  written %5.2fx  disk %5.2fx  rss %4.0f "
           "MiB\n",
           name, mib / s, n_keys / s, (cpu() - cpu_begun) * 1e6 / n_keys,
           (proc("/proc/self/io", "write_bytes") - io_begun) / (1 << 20) / mib, disk_mib() / mib,
           proc("/proc/self/status", "VmRSS") / 1024);
    fflush(stdout);
}

/* Until the disk's use has not changed for two seconds. */
static void rest(void) {
    double mib = (double)n_keys * size / (1 << 20), last = -1, begun = now(), cpu_begun = cpu();
    for (int same = 0, i = 0; same < 4 && i < 2 * REST_S; i++) {
        double use = disk_mib();
        same = use == last ? same + 1 : 0;
        last = use;
        poll(NULL, 0, 500);
    }
    struct disk_leveldb_counters c;
    disk_leveldb_counters(disk, &c);
    printf("%-10s %5.1f s  %4.2f s CPU  disk %5.2fx  rss %4.0f MiB  moved %.2fx\n", "at rest",
           now() - begun, cpu() - cpu_begun, disk_mib() / mib,
           proc("/proc/self/status", "VmRSS") / 1024,
           (double)c.segment_bytes_moved / (1 << 20) / mib);
}

int main(int argc, char **argv) {
    char why[DISK_WHY_MAX];
    if (argc < 4) {
        die("DIRECTORY SIZE MIB [OUTSTANDING [ROUNDS [leveldb|segments [synced]]]]");
    }
    directory = argv[1];
    size = (uint32_t)atoi(argv[2]);
    n_keys = (uint32_t)((uint64_t)atoi(argv[3]) * (1 << 20) / size) | 1;
    n_outstanding = argc > 4 ? (uint32_t)atoi(argv[4]) : n_outstanding;
    n_rounds = argc > 5 ? (uint32_t)atoi(argv[5]) : n_rounds;
    synced = argc > 7 && strcmp(argv[7], "synced") == 0;
    if (n_outstanding > OUTSTANDING_MAX || size < 8) {
        die("at most 256 outstanding, at least 8 bytes");
    }
    struct disk_leveldb_config config = {.directory = directory};
    config.no_segments = argc > 6 && strcmp(argv[6], "leveldb") == 0;
    if (disk_leveldb_open(&config, &disk, why)) {
        die(why);
    }
    seam = disk_leveldb_seam(disk);
    for (uint32_t i = 0; i < n_outstanding; i++) {
        slots[i].value = malloc(size);
        for (uint32_t j = 0; j < size; j++) {
            slots[i].value[j] = (uint8_t)rand();
        }
    }
    phase("put", put_next, 1);
    for (uint32_t i = 1; i < n_rounds; i++) {
        phase("overwrite", put_next, i % 2 ? 7919 : 104729);
    }
    phase("read", get_next, 7919);
    rest();
    disk_leveldb_close(disk);
    for (uint32_t i = 0; i < n_outstanding; i++) {
        free(slots[i].value);
    }
    return 0;
}
