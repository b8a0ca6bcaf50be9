/* cluster_files: the directory .ringfs in the root of a mount: what the mount tells of itself. */
#include "fs/cluster_files.h"

#include <string.h>
#include <unistd.h>

enum name { STATUS, RING, STATS, ERRORS, CONFIG, OPERATIONS };

static const struct {
    const char *name;
    mode_t mode;
} names[CLUSTER_FILES_NAMES_MAX] = {
    [STATUS] = {"status", 0444}, [RING] = {"ring", 0444},     [STATS] = {"stats", 0444},
    [ERRORS] = {"errors", 0400}, [CONFIG] = {"config", 0444}, [OPERATIONS] = {"ops", 0400},
};

void cluster_files_init(struct cluster_files *files, const struct mount *mount,
                        const struct cluster_texts *texts) {
    *files = (struct cluster_files){.mount = mount, .texts = *texts};
    /* So that a number which an earlier process of this mount gave out is not taken for ours. */
    files->n_opened = (uint64_t)mount_wall_ns(mount);
    files->began_ns = mount_wall_ns(mount);
}

void cluster_files_release(struct cluster_files *files) {
    for (int i = 0; i < CLUSTER_FILES_OPEN_MAX; i++) {
        buffer_release(&files->open[i].text);
    }
}

bool cluster_files_has(uint64_t ino) {
    return ino - CLUSTER_FILES_INO <= CLUSTER_FILES_NAMES_MAX;
}

uint64_t cluster_files_lookup(const char *name) {
    for (uint32_t i = 0; i < CLUSTER_FILES_NAMES_MAX; i++) {
        if (strcmp(name, names[i].name) == 0) {
            return CLUSTER_FILES_INO + 1 + i;
        }
    }
    return 0;
}

const char *cluster_files_name(uint32_t index) {
    return index < CLUSTER_FILES_NAMES_MAX ? names[index].name : NULL;
}

void cluster_files_attributes(const struct cluster_files *files, uint64_t ino, struct stat *ret) {
    /* Not the time of day: tar would say that the file has changed under it. */
    struct timespec began = {.tv_sec = files->began_ns / 1000000000,
                             .tv_nsec = files->began_ns % 1000000000};
    bool directory = ino == CLUSTER_FILES_INO;
    *ret = (struct stat){
        .st_ino = ino,
        .st_mode = directory ? S_IFDIR | 0555 : S_IFREG | names[ino - CLUSTER_FILES_INO - 1].mode,
        .st_nlink = 1,
        .st_uid = geteuid(),
        .st_gid = getegid(),
        .st_blksize = BLOCK_SIZE,
        .st_atim = began,
        .st_mtim = began,
        .st_ctim = began,
    };
}

static void print(const struct cluster_files *files, enum name name, struct buffer *into) {
    const struct cluster_texts *texts = &files->texts;
    switch (name) {
    case STATUS:
        texts->status(texts->context, into);
        break;
    case RING:
        texts->ring(texts->context, into);
        break;
    case STATS:
        texts->stats(texts->context, into);
        break;
    case ERRORS:
        journal_print_failures(&files->journal, into);
        break;
    case CONFIG:
        texts->config(texts->context, into);
        break;
    case OPERATIONS:
        journal_print_operations(&files->journal, &files->mount->inodes, into);
        texts->under_way(texts->context, into);
        break;
    }
}

uint64_t cluster_files_open(struct cluster_files *files, uint64_t ino) {
    uint64_t number = ++files->n_opened;
    struct cluster_text *text = &files->open[number % CLUSTER_FILES_OPEN_MAX];
    text->number = number;
    buffer_clear(&text->text);
    print(files, (enum name)(ino - CLUSTER_FILES_INO - 1), &text->text);
    return number;
}

int cluster_files_read(const struct cluster_files *files, uint64_t number, uint64_t offset,
                       size_t size, struct bytes *ret) {
    const struct cluster_text *text = &files->open[number % CLUSTER_FILES_OPEN_MAX];
    if (text->number != number) {
        return ERR_STALE;
    }
    size_t left = offset < text->text.size ? text->text.size - (size_t)offset : 0;
    *ret = left == 0 ? bytes_of(NULL, 0)
                     : bytes_of(text->text.data + offset, left < size ? left : size);
    return 0;
}

void cluster_files_close(struct cluster_files *files, uint64_t number) {
    struct cluster_text *text = &files->open[number % CLUSTER_FILES_OPEN_MAX];
    if (text->number == number) {
        buffer_release(&text->text);
        text->number = 0;
    }
}
