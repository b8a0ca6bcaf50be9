/* heap: memory for large buffers, kept while they come and go, given back when it is quiet. */
#ifndef RINGFS_SHARED_HEAP_H
#define RINGFS_SHARED_HEAP_H

#include "shared/loop.h"

/* A program that moves data allocates and frees buffers of half a megabyte all the time. By its own
 * rules malloc() returns such memory to the kernel at once, which hands it out again page by page,
 * zeroed: a seventh of the time of writing a large file. From heap_keep() on the heap keeps up to
 * HEAP_KEPT_MAX bytes in each of its arenas, until the process was quiet for HEAP_LOOK_MS. */
enum {
    HEAP_KEPT_MAX = 16 << 20,
    HEAP_MAPPED_MIN = 8 << 20, /* what is larger is the kernel's affair still */
    HEAP_AHEAD = 1 << 20,      /* asked of the kernel at a time */
    HEAP_LOOK_MS = 5000,
    HEAP_QUIET_PART = 50, /* quiet is less than this part of one processor */
};

struct heap;

/* Before the first thread. Borrows the loop, whose timer looks how busy the process was. */
struct heap *heap_keep(struct loop *loop);
/* Before the loop is freed. NULL is nothing. */
void heap_free(struct heap *heap);
/* How often memory was given back. */
uint64_t heap_given_back(const struct heap *heap);

#endif
