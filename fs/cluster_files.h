/* cluster_files: the directory .ringfs in the root of a mount: what the mount tells of itself. */
#ifndef RINGFS_FS_CLUSTER_FILES_H
#define RINGFS_FS_CLUSTER_FILES_H

#include <sys/stat.h>

#include "fs/journal.h"
#include "fs/mount.h"

/* The directory is in no listing, and nothing in it is stored: its files are texts, made when they
 * are opened, without the network and without a task, so that they answer also when the cluster
 * does not. A name .ringfs that is stored in the root is hidden by it. Nothing here suspends. */
enum {
    CLUSTER_FILES_OPEN_MAX = 64, /* texts held at a time; beyond, the oldest is given up */
    CLUSTER_FILES_NAMES_MAX = 6,
};

/* The inode numbers: "ringfs" and a count. A stored one is random, 64 bits. */
#define CLUSTER_FILES_INO 0x72696e6766730000ull

#define CLUSTER_FILES_NAME ".ringfs"

/* Who can say what these files show; each appends its text. This part of fs/ knows no nodes. */
struct cluster_texts {
    void (*status)(void *context, struct buffer *into);
    void (*ring)(void *context, struct buffer *into);
    void (*stats)(void *context, struct buffer *into);
    void (*config)(void *context, struct buffer *into);
    void (*under_way)(void *context, struct buffer *into); /* operations that are not done yet */
    /* Why the cluster served no request, the last time it did not. */
    void (*reason)(void *context, char *ret, size_t size);
    void *context;
};

struct cluster_text {
    uint64_t number; /* 0 = free */
    struct buffer text;
};

struct cluster_files {
    const struct mount *mount;
    struct cluster_texts texts;
    struct journal journal;
    int64_t began_ns; /* time of day: what the files' times say */
    uint64_t n_opened;
    struct cluster_text open[CLUSTER_FILES_OPEN_MAX];
};

/* Borrows the mount. */
void cluster_files_init(struct cluster_files *files, const struct mount *mount,
                        const struct cluster_texts *texts);
void cluster_files_release(struct cluster_files *files);

/* Whether the number is of the directory or of one of its files. */
bool cluster_files_has(uint64_t ino);
/* The inode number of a name in it; 0 = there is none. */
uint64_t cluster_files_lookup(const char *name);
/* The name number `index`; NULL behind the last. */
const char *cluster_files_name(uint32_t index);
/* Attributes of a number that cluster_files_has(). What tells of others' paths is for the mount's
 * owner only. */
void cluster_files_attributes(const struct cluster_files *files, uint64_t ino, struct stat *ret);
/* Makes a file's text; answers the number of the opening, never 0. */
uint64_t cluster_files_open(struct cluster_files *files, uint64_t ino);
/* What an opening has from `offset` on, borrowed; ERR_STALE when it was given up. */
int cluster_files_read(const struct cluster_files *files, uint64_t number, uint64_t offset,
                       size_t size, struct bytes *ret);
void cluster_files_close(struct cluster_files *files, uint64_t number);

#endif
