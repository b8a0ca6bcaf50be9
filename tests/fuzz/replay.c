/* replay: runs a fuzz target as an ordinary test, on its seeds and their mutations.
 *
 *   PROGRAM [FILE...]   the seeds, each FILE (a regression), then the mutations
 *   PROGRAM -w DIR      writes the seeds to DIR, as libFuzzer's first corpus */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum {
    SEEDS_MAX = 64,
    MUTATIONS_MAX = 6,
    INPUT_MAX = 1 << 16,
    GROWTH_MAX = 24,
    FILE_MAX = 1 << 20,
};

static uint64_t dice = 0x9e3779b97f4a7c15ull;

/* xorshift64 (Marsaglia, 2003). */
static uint32_t roll(uint32_t sides) {
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (uint32_t)((dice >> 32) * sides >> 32);
}

/* Feeds a copy of exactly the input's size, so that a sanitizer sees a read beyond it. */
static void feed(struct bytes input) {
    uint8_t *copy = malloc(input.size > 0 ? input.size : 1);
    if (copy == NULL) {
        abort();
    }
    if (input.size > 0) {
        memcpy(copy, input.data, input.size);
    }
    LLVMFuzzerTestOneInput(copy, input.size);
    free(copy);
}

static void overwrite(struct buffer *b, size_t at) {
    static const uint32_t values[] = {
        0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0xffff, UINT32_MAX - 15, UINT32_MAX};
    uint32_t value = values[roll(sizeof(values) / sizeof(values[0]))];
    uint8_t little_endian[4];
    bytes_store_u32(little_endian, value);
    size_t size = (size_t)1 << roll(3);
    if (size > b->size - at) {
        size = b->size - at;
    }
    memcpy(b->data + at, little_endian, size);
}

static void insert(struct buffer *b, size_t at) {
    uint32_t size = 1 + roll(GROWTH_MAX);
    size_t tail = b->size - at, from = roll((uint32_t)b->size);
    if (b->size + size > INPUT_MAX) {
        return;
    }
    buffer_extend(b, size);
    memmove(b->data + at + size, b->data + at, tail);
    for (uint32_t i = 0; i < size; i++) {
        /* A copy of other bytes of the input, or dice. */
        b->data[at + i] = size % 2 == 0 ? b->data[(from + i) % b->size] : (uint8_t)roll(256);
    }
}

static void mutate(struct buffer *b) {
    if (b->size == 0) {
        buffer_put_u8(b, (uint8_t)roll(256));
        return;
    }
    size_t at = roll((uint32_t)b->size);
    switch (roll(6)) {
    case 0:
        b->data[at] = (uint8_t)(b->data[at] ^ 1u << roll(8));
        break;
    case 1:
        b->data[at] = (uint8_t)roll(256);
        break;
    case 2:
    case 3:
        overwrite(b, at);
        break;
    case 4:
        insert(b, at);
        break;
    default:
        if (roll(4) == 0) {
            b->size = at;
        } else {
            size_t cut = 1 + roll(GROWTH_MAX);
            cut = cut < b->size - at ? cut : b->size - at;
            memmove(b->data + at, b->data + at + cut, b->size - at - cut);
            b->size -= cut;
        }
        break;
    }
}

static int replay_file(const char *path) {
    static uint8_t bytes[FILE_MAX];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    feed(bytes_of(bytes, size));
    return 0;
}

static int write_seed(const char *folder, uint32_t n, struct bytes seed) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/seed-%u", folder, n);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t written = fwrite(seed.data, 1, seed.size, file);
    return fclose(file) != 0 || written != seed.size;
}

int main(int argc, char **argv) {
    static struct buffer seeds[SEEDS_MAX];
    uint32_t n_seeds = 0;
    int failed = 0;
    while (n_seeds < SEEDS_MAX && fuzz_seed(n_seeds, &seeds[n_seeds])) {
        n_seeds++;
    }
    bool only_write = argc == 3 && strcmp(argv[1], "-w") == 0;
    for (uint32_t i = 0; i < n_seeds; i++) {
        if (only_write) {
            failed |= write_seed(argv[2], i, buffer_bytes(&seeds[i]));
        } else {
            feed(buffer_bytes(&seeds[i]));
        }
    }
    for (int i = 1; !only_write && i < argc; i++) {
        failed |= replay_file(argv[i]);
    }
    struct buffer input = {0};
    for (uint32_t i = 0; !only_write && i < fuzz_rounds; i++) {
        buffer_clear(&input);
        buffer_put_bytes(&input, buffer_bytes(&seeds[roll(n_seeds)]));
        for (uint32_t n = 1 + roll(MUTATIONS_MAX); n > 0; n--) {
            mutate(&input);
        }
        feed(buffer_bytes(&input));
    }
    buffer_release(&input);
    for (uint32_t i = 0; i < n_seeds; i++) {
        buffer_release(&seeds[i]);
    }
    return failed;
}
