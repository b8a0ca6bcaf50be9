/* handles: the numbers by which the kernel names openings of files and directories. */
#include "fs/handles.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_MIN = 64 };

void handles_init(struct handles *handles, struct survivor *survivor) {
    *handles = (struct handles){.survivor = survivor};
}

void handles_release(struct handles *handles) {
    free(handles->at);
    *handles = (struct handles){0};
}

/* Room for `n` numbers. */
static void grow(struct handles *handles, uint32_t n) {
    uint32_t size = handles->size == 0 ? SIZE_MIN : handles->size;
    while (size <= n) {
        size *= 2;
    }
    if (size > handles->size) {
        struct opening *grown = memory_new(size, sizeof *grown);
        if (handles->at != NULL) {
            memcpy(grown, handles->at, handles->size * sizeof *grown);
        }
        free(handles->at);
        handles->at = grown;
        handles->size = size;
    }
}

static struct survivor_handle *slot(const struct handles *handles, uint32_t number) {
    return handles->survivor != NULL && number < SURVIVOR_HANDLES_MAX
               ? survivor_handle(handles->survivor, number)
               : NULL;
}

static void add_free(struct handles *handles, uint32_t number) {
    handles->at[number] = (struct opening){.next_free = handles->free};
    handles->free = number;
}

/* What the earlier worker had told programs and not stored. */
static void note_loss(struct survivor_handle *kept, const struct inodes *inodes) {
    const struct inode *inode = inodes_find(inodes, kept->ino);
    int dirt = inode != NULL && inode->kept != NULL ? inode->kept->dirt : SURVIVOR_CLEAN;
    bool writes = (kept->flags & O_ACCMODE) != O_RDONLY;
    if (kept->kind == SURVIVOR_FILE && writes && dirt == SURVIVOR_WRITTEN) {
        kept->lost = 1;
    }
    kept->redo = kept->kind == SURVIVOR_FILE && writes && dirt == SURVIVOR_TRUNCATED &&
                 (kept->flags & O_TRUNC) != 0;
}

static void take_over(struct handles *handles, uint32_t number, struct survivor_handle *kept) {
    grow(handles, number);
    handles->n_unopened++;
    handles->at[number] = (struct opening){
        .used = true,
        .kind = kept->kind,
        .ino = kept->ino,
        .flags = kept->flags,
        .kept = kept,
    };
}

uint32_t handles_restore(struct handles *handles, const struct inodes *inodes) {
    uint32_t n_lost = 0;
    for (uint32_t i = 1; handles->survivor != NULL && i < SURVIVOR_HANDLES_MAX; i++) {
        struct survivor_handle *kept = slot(handles, i);
        if (kept->ino != 0 && (kept->kind == SURVIVOR_FILE || kept->kind == SURVIVOR_DIRECTORY)) {
            note_loss(kept, inodes);
            n_lost += kept->lost;
            take_over(handles, i, kept);
            handles->n = i;
        }
    }
    for (uint32_t i = handles->n; i > 0; i--) {
        if (!handles->at[i].used) {
            add_free(handles, i);
        } else {
            struct inode *inode = inodes_find(inodes, handles->at[i].ino);
            if (inode != NULL && inode->kept != NULL && inode->kept->dirt == SURVIVOR_WRITTEN) {
                inode->kept->dirt = SURVIVOR_CLEAN;
            }
        }
    }
    return n_lost;
}

uint64_t handles_add(struct handles *handles, const struct opening *opening, uint64_t request) {
    uint32_t number = handles->free;
    if (number != 0) {
        handles->free = handles->at[number].next_free;
    } else {
        number = ++handles->n;
        grow(handles, number);
    }
    struct survivor_handle *kept = slot(handles, number);
    handles->at[number] = *opening;
    handles->at[number].used = true;
    handles->at[number].kept = kept;
    if (kept != NULL) {
        kept->request = request;
        kept->flags = opening->flags;
        kept->kind = (uint8_t)opening->kind;
        kept->lost = kept->redo = kept->locked = 0;
        kept->waiting = 0;
        survivor_publish(&kept->ino, opening->ino);
    }
    return number;
}

struct opening *handles_find(struct handles *handles, uint64_t number) {
    bool found = number != 0 && number <= handles->n && handles->at[number].used;
    return found ? &handles->at[number] : NULL;
}

void handles_drop(struct handles *handles, uint64_t number) {
    struct opening *opening = handles_find(handles, number);
    if (opening == NULL) {
        return;
    }
    if (opening->kept != NULL) {
        survivor_publish(&opening->kept->ino, 0);
    }
    handles->n_unopened -= opening->open == NULL;
    add_free(handles, (uint32_t)number);
}

void handles_opened(struct handles *handles, uint64_t number, void *open) {
    struct opening *opening = handles_find(handles, number);
    assert(opening != NULL && opening->open == NULL && open != NULL);
    opening->open = open;
    handles->n_unopened--;
}

bool handles_hold(const struct handles *handles, uint64_t ino) {
    for (uint32_t i = 1; handles->n_unopened > 0 && i <= handles->n; i++) {
        const struct opening *opening = &handles->at[i];
        if (opening->used && opening->open == NULL && opening->ino == ino) {
            return true;
        }
    }
    return false;
}

uint64_t handles_of_request(const struct handles *handles, uint64_t request) {
    for (uint32_t i = 1; i <= handles->n; i++) {
        const struct opening *opening = &handles->at[i];
        if (opening->used && opening->kept != NULL && opening->kept->request == request) {
            return i;
        }
    }
    return 0;
}

bool handles_take_loss(struct handles *handles, uint64_t number) {
    struct opening *opening = handles_find(handles, number);
    bool lost = opening != NULL && opening->kept != NULL && opening->kept->lost != 0;
    if (lost) {
        opening->kept->lost = 0;
    }
    return lost;
}
