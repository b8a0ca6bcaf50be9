/* survivor: what a worker leaves to the one that takes over: memory that outlives it. */
#include "fs/survivor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"

/* "ringfs" and the version. */
#define MAGIC (0x73666772696e0000u + SURVIVOR_VERSION)
/* In the place of an inode's number: the slot holds more of a name. */
#define MORE UINT64_MAX

enum { HEADER_SIZE = 16 << 10, MORE_SIZE = 112, SLOT_SIZE = 128 };

struct more {
    uint64_t ino; /* MORE */
    uint32_t more;
    uint32_t unused;
    char name[MORE_SIZE];
};

union slot {
    struct survivor_inode inode;
    struct more more;
};

struct survivor {
    struct survivor_header *header;
    struct survivor_request *requests;
    struct survivor_handle *handles;
    struct survivor_gone *gone, *unmade;
    struct survivor_new *fresh;
    union slot *slots;    /* slot 0 is never used: 0 means none */
    uint32_t *free_slots; /* a stack */
    uint32_t n_free, free_size;
    uint32_t next_request; /* where to look for a free one */
    uint32_t sequence;
};

_Static_assert(sizeof(union slot) == SLOT_SIZE, "the layout of this version");
_Static_assert(sizeof(struct survivor_handle) == 80, "the layout of this version");
_Static_assert(sizeof(struct survivor_request) == 24, "the layout of this version");
_Static_assert(sizeof(struct survivor_gone) == 8192, "the layout of this version");
_Static_assert(sizeof(struct survivor_new) == 4112, "the layout of this version");
_Static_assert(sizeof(struct survivor_header) <= HEADER_SIZE, "the layout of this version");

static const size_t requests_size = SURVIVOR_REQUESTS_MAX * sizeof(struct survivor_request);
static const size_t handles_size = SURVIVOR_HANDLES_MAX * sizeof(struct survivor_handle);

static const size_t gone_size = SURVIVOR_GONE_MAX * sizeof(struct survivor_gone);
static const size_t unmade_size = SURVIVOR_UNMADE_MAX * sizeof(struct survivor_gone);
/* What follows begins with a slot's alignment. */
static const size_t new_size = SURVIVOR_NEW_MAX * sizeof(struct survivor_new);
_Static_assert(SURVIVOR_NEW_MAX * sizeof(struct survivor_new) % SLOT_SIZE == 0, "aligned");

size_t survivor_size(void) {
    return HEADER_SIZE + requests_size + handles_size + gone_size + unmade_size + new_size +
           (size_t)SURVIVOR_INODES_MAX * SLOT_SIZE;
}

void survivor_publish(uint64_t *field, uint64_t value) {
    __atomic_store_n(field, value, __ATOMIC_RELEASE);
}

/* ---- slots ---- */
static void push_free(struct survivor *s, uint32_t index) {
    if (s->n_free == s->free_size) {
        uint32_t size = s->free_size == 0 ? 256 : s->free_size * 2;
        uint32_t *grown = memory_new(size, sizeof *grown);
        if (s->n_free > 0) {
            memcpy(grown, s->free_slots, s->n_free * sizeof *grown);
        }
        free(s->free_slots);
        s->free_slots = grown;
        s->free_size = size;
    }
    s->free_slots[s->n_free++] = index;
}

/* 0 when there is none. */
static uint32_t take_slot(struct survivor *s) {
    if (s->n_free > 0) {
        return s->free_slots[--s->n_free];
    }
    if (s->header->n_inodes + 1 >= SURVIVOR_INODES_MAX) {
        return 0;
    }
    return ++s->header->n_inodes;
}

static void free_slot(struct survivor *s, uint32_t index) {
    survivor_publish(&s->slots[index].inode.ino, 0);
    push_free(s, index);
}

static void free_more(struct survivor *s, uint32_t index) {
    while (index != 0) {
        uint32_t next = s->slots[index].more.more;
        free_slot(s, index);
        index = next;
    }
}

/* Stores what of a name goes beyond a slot. *ret is 0 when nothing does. False without room. */
static bool put_more(struct survivor *s, const char *rest, size_t size, uint32_t *ret) {
    *ret = 0;
    if (size == 0) {
        return true;
    }
    size_t n = size < MORE_SIZE ? size : MORE_SIZE;
    uint32_t next;
    if (!put_more(s, rest + n, size - n, &next)) {
        return false;
    }
    uint32_t index = take_slot(s);
    if (index == 0) {
        free_more(s, next);
        return false;
    }
    struct more *more = &s->slots[index].more;
    more->more = next;
    memcpy(more->name, rest, n);
    survivor_publish(&more->ino, MORE);
    *ret = index;
    return true;
}

/* Puts the name together; NULL when the slots do not make one. */
static const char *read_name(const struct survivor *s, const struct survivor_inode *inode,
                             char *into) {
    size_t size = inode->name_size;
    size_t used = size < SURVIVOR_NAME_INSIDE ? size : SURVIVOR_NAME_INSIDE;
    memcpy(into, inode->name, used);
    for (uint32_t at = inode->more; used < size; at = s->slots[at].more.more) {
        if (at == 0 || at > s->header->n_inodes || s->slots[at].more.ino != MORE) {
            return NULL;
        }
        size_t n = size - used < MORE_SIZE ? size - used : MORE_SIZE;
        memcpy(into + used, s->slots[at].more.name, n);
        used += n;
    }
    into[size] = '\0';
    return size > 0 && strlen(into) == size ? into : NULL;
}

/* ---- life ---- */
/* Which slots are in use is found out by going through all of them. */
static void find_free(struct survivor *s) {
    uint32_t n = s->header->n_inodes;
    uint8_t *used = memory_new(n + 1, 1);
    char name[NAME_SIZE_MAX + 1];
    for (uint32_t i = 1; i <= n; i++) {
        struct survivor_inode *inode = &s->slots[i].inode;
        if (inode->ino == 0 || inode->ino == MORE) {
            continue;
        }
        if (inode->sequence > s->sequence) {
            s->sequence = inode->sequence;
        }
        if (read_name(s, inode, name) == NULL) {
            survivor_publish(&inode->ino, 0);
            continue;
        }
        used[i] = 1;
        uint32_t n_more = inode->name_size > SURVIVOR_NAME_INSIDE ? UINT32_MAX : 0;
        for (uint32_t at = inode->more; n_more > 0 && at != 0 && at <= n;
             at = s->slots[at].more.more) {
            used[at] = 1;
        }
    }
    for (uint32_t i = n; i > 0; i--) {
        if (!used[i]) {
            free_slot(s, i);
        }
    }
    free(used);
}

int survivor_attach(void *memory, struct survivor **ret) {
    struct survivor_header *header = memory;
    if (header->magic != 0 && header->magic != MAGIC) {
        return ERR_NOT_SUPPORTED;
    }
    if (header->n_inodes >= SURVIVOR_INODES_MAX || header->init_size > SURVIVOR_INIT_MAX) {
        return ERR_NOT_SUPPORTED;
    }
    struct survivor *s = memory_new(1, sizeof *s);
    uint8_t *at = memory;
    s->header = header;
    s->requests = (struct survivor_request *)(void *)(at + HEADER_SIZE);
    s->handles = (struct survivor_handle *)(void *)(at + HEADER_SIZE + requests_size);
    at += HEADER_SIZE + requests_size + handles_size;
    s->gone = (struct survivor_gone *)(void *)at;
    s->unmade = (struct survivor_gone *)(void *)(at + gone_size);
    at += gone_size + unmade_size;
    s->fresh = (struct survivor_new *)(void *)at;
    s->slots = (union slot *)(void *)(at + new_size);
    find_free(s);
    survivor_publish(&header->magic, MAGIC);
    *ret = s;
    return 0;
}

void survivor_detach(struct survivor *s) {
    free(s->free_slots);
    free(s);
}

struct survivor_header *survivor_header(struct survivor *s) {
    return s->header;
}

/* ---- inodes ---- */
struct survivor_inode *survivor_put(struct survivor *s, struct survivor_inode *old,
                                    const struct survivor_place *place) {
    size_t size = strlen(place->name);
    assert(size > 0 && size <= NAME_SIZE_MAX && place->ino != 0 && place->ino != MORE);
    size_t inside = size < SURVIVOR_NAME_INSIDE ? size : SURVIVOR_NAME_INSIDE;
    uint32_t more = 0;
    uint32_t index = take_slot(s);
    struct survivor_inode *inode = index != 0 ? &s->slots[index].inode : NULL;
    if (inode != NULL && !put_more(s, place->name + inside, size - inside, &more)) {
        free_slot(s, index);
        inode = NULL;
    }
    if (inode != NULL) {
        inode->n_lookups = old != NULL ? old->n_lookups : 0;
        inode->gone = old != NULL ? old->gone : 0;
        inode->dirt = old != NULL ? old->dirt : SURVIVOR_CLEAN;
        inode->directory = *place->directory;
        inode->parent = *place->parent;
        inode->more = more;
        inode->sequence = ++s->sequence;
        inode->name_size = (uint8_t)size;
        inode->is_directory = place->is_directory;
        memcpy(inode->name, place->name, inside);
        survivor_publish(&inode->ino, place->ino);
    }
    if (old != NULL) {
        survivor_drop(s, old);
    }
    return inode;
}

void survivor_drop(struct survivor *s, struct survivor_inode *inode) {
    uint32_t index = (uint32_t)((union slot *)(void *)inode - s->slots);
    uint32_t more = inode->name_size > SURVIVOR_NAME_INSIDE ? inode->more : 0;
    free_slot(s, index);
    free_more(s, more);
}

void survivor_each(struct survivor *s,
                   void (*each)(void *context, struct survivor_inode *inode, const char *name),
                   void *context) {
    char name[NAME_SIZE_MAX + 1];
    for (uint32_t i = 1; i <= s->header->n_inodes; i++) {
        struct survivor_inode *inode = &s->slots[i].inode;
        if (inode->ino != 0 && inode->ino != MORE && read_name(s, inode, name) != NULL) {
            each(context, inode, name);
        }
    }
}

/* ---- files without a name ---- */
static const struct survivor_gone *sound(const struct survivor_gone *slot) {
    return slot->ino != 0 && slot->size <= SURVIVOR_GONE_BYTES ? slot : NULL;
}

static void fill(struct survivor_gone *slot, uint64_t ino, struct bytes record) {
    slot->size = (uint32_t)record.size;
    memcpy(slot->record, record.data, record.size);
    survivor_publish(&slot->ino, ino);
}

const struct survivor_gone *survivor_gone(const struct survivor *s, uint32_t index) {
    assert(index < SURVIVOR_GONE_MAX);
    return sound(&s->gone[index]);
}

void survivor_put_gone(struct survivor *s, uint64_t ino, struct bytes record) {
    struct survivor_gone *old = NULL, *room = NULL;
    for (uint32_t i = 0; i < SURVIVOR_GONE_MAX; i++) {
        old = s->gone[i].ino == ino ? &s->gone[i] : old;
        room = s->gone[i].ino == 0 ? &s->gone[i] : room;
    }
    if (old != NULL) {
        survivor_publish(&old->ino, 0);
        room = old;
    }
    if (room != NULL && record.size > 0 && record.size <= SURVIVOR_GONE_BYTES) {
        fill(room, ino, record);
    }
}

/* ---- files without a name yet ---- */
const struct survivor_gone *survivor_unmade(const struct survivor *s, uint32_t index) {
    assert(index < SURVIVOR_UNMADE_MAX);
    return sound(&s->unmade[index]);
}

bool survivor_put_unmade(struct survivor *s, uint32_t index, uint64_t ino, struct bytes record) {
    assert(index < SURVIVOR_UNMADE_MAX);
    struct survivor_gone *slot = &s->unmade[index];
    survivor_publish(&slot->ino, 0);
    if (record.size > SURVIVOR_GONE_BYTES) {
        return false;
    }
    if (record.size > 0) {
        fill(slot, ino, record);
    }
    return true;
}

/* ---- new files ---- */
const struct survivor_new *survivor_new(const struct survivor *s, uint32_t index) {
    assert(index < SURVIVOR_NEW_MAX);
    const struct survivor_new *fresh = &s->fresh[index];
    return fresh->ino != 0 && fresh->size > 0 && fresh->size <= SURVIVOR_NEW_BYTES ? fresh : NULL;
}

const struct survivor_new *survivor_find_new(const struct survivor *s, uint64_t ino) {
    for (uint32_t i = 0; i < SURVIVOR_NEW_MAX; i++) {
        const struct survivor_new *fresh = survivor_new(s, i);
        if (fresh != NULL && fresh->ino == ino) {
            return fresh;
        }
    }
    return NULL;
}

/* The other slots of the inode. A worker that ended between the two steps has left one more; the
 * request that changes the contents comes again then. */
static void drop_new(struct survivor *s, uint64_t ino, const struct survivor_new *but) {
    for (uint32_t i = 0; i < SURVIVOR_NEW_MAX; i++) {
        if (s->fresh[i].ino == ino && &s->fresh[i] != but) {
            survivor_publish(&s->fresh[i].ino, 0);
        }
    }
}

bool survivor_put_new(struct survivor *s, uint64_t ino, struct bytes data) {
    struct survivor_new *room = NULL;
    for (uint32_t i = 0; i < SURVIVOR_NEW_MAX && room == NULL; i++) {
        room = s->fresh[i].ino == 0 ? &s->fresh[i] : NULL;
    }
    if (data.size > 0 && (room == NULL || data.size > SURVIVOR_NEW_BYTES)) {
        return false;
    }
    if (data.size > 0) {
        room->size = (uint32_t)data.size;
        memcpy(room->data, data.data, data.size);
        survivor_publish(&room->ino, ino);
    }
    drop_new(s, ino, data.size > 0 ? room : NULL);
    return true;
}

/* ---- handles and requests ---- */
struct survivor_handle *survivor_handle(struct survivor *s, uint32_t index) {
    assert(index < SURVIVOR_HANDLES_MAX);
    return &s->handles[index];
}

static struct survivor_request *find_request(struct survivor *s, uint64_t unique) {
    for (uint32_t i = 0; i < SURVIVOR_REQUESTS_MAX; i++) {
        if (s->requests[i].unique == unique) {
            return &s->requests[i];
        }
    }
    return NULL;
}

/* A free slot; when an earlier worker has left none, one of its. */
static struct survivor_request *free_request(struct survivor *s) {
    for (uint32_t i = 0; i < SURVIVOR_REQUESTS_MAX; i++) {
        s->next_request = (s->next_request + 1) % SURVIVOR_REQUESTS_MAX;
        if (s->requests[s->next_request].unique == 0) {
            break;
        }
    }
    return &s->requests[s->next_request];
}

struct survivor_request *survivor_request(struct survivor *s, uint64_t unique, int64_t now_ns,
                                          bool again) {
    struct survivor_request *request = again ? find_request(s, unique) : NULL;
    if (request != NULL) {
        request->n_tries += s->header->crashed != 0;
        return request;
    }
    request = free_request(s);
    survivor_publish(&request->unique, 0);
    request->began_ns = now_ns;
    request->n_tries = 1;
    survivor_publish(&request->unique, unique);
    return request;
}

void survivor_each_request(struct survivor *s, void (*each)(void *context, uint64_t unique),
                           void *context) {
    for (uint32_t i = 0; i < SURVIVOR_REQUESTS_MAX; i++) {
        if (s->requests[i].unique != 0) {
            each(context, s->requests[i].unique);
        }
    }
}
