/* handles: the numbers by which the kernel names openings of files and directories. */
#ifndef RINGFS_FS_HANDLES_H
#define RINGFS_FS_HANDLES_H

#include "fs/inodes.h"
#include "fs/survivor.h"

/* A number stays good when another worker takes over: it knows then what was opened and how, and
 * opens it when the number is used. One thread; nothing here suspends. */
struct opening {
    void *open; /* struct handle or struct directory_handle; NULL = not opened by this worker yet */
    enum survivor_kind kind;
    uint64_t ino;
    int flags;                    /* of open(2) */
    struct survivor_handle *kept; /* NULL: not remembered */
    uint32_t next_free;
    bool used;
};

struct handles {
    struct survivor *survivor; /* NULL = nothing survives */
    struct opening *at;
    uint32_t n;    /* numbers ever used */
    uint32_t size; /* of `at` */
    uint32_t free; /* a list; 0 = empty */
    uint32_t n_unopened;
};

/* Borrows the survivor, which may be NULL. */
void handles_init(struct handles *handles, struct survivor *survivor);
void handles_release(struct handles *handles);
/* Takes over what earlier workers had open. The inodes are restored already; for those with
 * acknowledged writes that are not stored the loss is noted, to be told by handles_take_loss().
 * Answers how many openings for writing have lost something. */
uint32_t handles_restore(struct handles *handles, const struct inodes *inodes);

/* A number for what was opened by the kernel's request `request`; at least 1. */
uint64_t handles_add(struct handles *handles, const struct opening *opening, uint64_t request);
/* NULL for a number that stands for nothing. Good until the next handles_add(). */
struct opening *handles_find(struct handles *handles, uint64_t number);
/* An unknown number is ignored. */
void handles_drop(struct handles *handles, uint64_t number);
/* Notes that this worker has opened it. */
void handles_opened(struct handles *handles, uint64_t number, void *open);
/* Whether an inode is open that this worker has not opened yet. */
bool handles_hold(const struct handles *handles, uint64_t ino);
/* The number that an earlier try of the request got, which the kernel never heard of; 0 = none. */
uint64_t handles_of_request(const struct handles *handles, uint64_t request);
/* Whether writes through it that were acknowledged are lost; true once. */
bool handles_take_loss(struct handles *handles, uint64_t number);

#endif
