/* world: two mounts of one store in memory, without a kernel, for the tests of fs/. */
#ifndef RINGFS_TESTS_UNIT_FS_WORLD_H
#define RINGFS_TESTS_UNIT_FS_WORLD_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fs/directory.h"
#include "fs/locks.h"
#include "fs/tree.h"
#include "fs/writeback.h"
#include "tests/lib/task_run.h"

#define SECOND_NS 1000000000ll
enum { ROOT = 1 };

struct world {
    struct store_mem *mem;
    struct namespace *ns_a, *ns_b; /* each mount has a cache of its own */
    struct mount a, b;
    void (*test)(struct world *w);
};

static inline int64_t world_now_ns(void *clock) {
    return (int64_t)(store_mem_now_ns(clock) - STORE_MEM_EPOCH_NS);
}

static inline struct namespace *world_mount(struct world *w, struct mount *mount) {
    struct namespace *ns;
    assert_int_equal(namespace_open(store_mem_store(w->mem), &ns), 0);
    struct mount_config config = {
        .ns = ns,
        .store = store_mem_store(w->mem),
        .tasks = task_scheduler(task_self()),
        .now_ns = world_now_ns,
        .clock = w->mem,
        .timeout_ns = 10 * SECOND_NS,
        .attributes_ns = SECOND_NS,
    };
    mount_init(mount, &config);
    struct locks_config locks = {
        .now_ns = world_now_ns, .clock = w->mem, .lease_ns = LEASE_DEFAULT_NS};
    locks_start(mount, &locks);
    return ns;
}

static inline void run_world(void *arg) {
    struct world *w = arg;
    w->ns_a = world_mount(w, &w->a);
    w->ns_b = world_mount(w, &w->b);
    w->test(w);
    inodes_check(&w->a.inodes);
    inodes_check(&w->b.inodes);
    writeback_drain(&w->a);
    writeback_drain(&w->b);
    locks_end(&w->a);
    locks_end(&w->b);
    locks_free(&w->a);
    locks_free(&w->b);
    mount_release(&w->a);
    mount_release(&w->b);
    namespace_close(w->ns_a);
    namespace_close(w->ns_b);
}

static inline void in_world(void (*test)(struct world *w)) {
    struct world w = {.mem = store_mem_new(), .test = test};
    task_run(w.mem, run_world, &w, 0);
    store_mem_free(w.mem);
}

#define IN_WORLD(name)                                                                             \
    static void name##_in(struct world *w);                                                        \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        in_world(name##_in);                                                                       \
    }                                                                                              \
    static void name##_in(struct world *w)

/* ---- short forms; a step that fails fails the test ---- */
static const struct maker maker_file = {
    .mode = S_IFREG | 0644, .uid = 1, .gid = 2, .flags = O_RDWR | O_EXCL};

/* As tar does: its first write waits for close. */
static inline struct handle *create_new(struct mount *mount, const char *name) {
    struct stat stat;
    struct handle *handle;
    assert_int_equal(tree_create(mount, ROOT, name, &maker_file, &stat, &handle), 0);
    return handle;
}

/* As a shell does: its first write is stored at once. */
static inline struct handle *create(struct mount *mount, const char *name) {
    struct handle *handle = create_new(mount, name);
    handle->wrote = false;
    return handle;
}

static inline uint64_t ino_of(struct mount *mount, const char *name) {
    struct stat stat;
    assert_int_equal(tree_lookup(mount, ROOT, name, &stat), 0);
    return stat.st_ino;
}

static inline struct handle *open_flags(struct mount *mount, const char *name, int flags) {
    struct handle *handle;
    struct cache_advice advice;
    assert_int_equal(handle_open(mount, ino_of(mount, name), flags, &handle, &advice), 0);
    return handle;
}

static inline void put(struct handle *handle, uint64_t offset, const char *text) {
    assert_int_equal(handle_write(handle, offset, bytes_of_string(text)), 0);
}

static inline void close_handle(struct handle *handle) {
    assert_int_equal(handle_flush(handle), 0);
    handle_release(handle);
}

/* What an opened file holds, NUL-terminated, the caller's to free(). */
static inline char *contents_of(struct handle *handle, size_t *ret_size) {
    size_t size = (size_t)handle->file->size + 1;
    char *text = calloc(1, size + 1);
    size_t done = 0;
    assert_int_equal(handle_read(handle, 0, (uint8_t *)text, size, &done), 0);
    *ret_size = done;
    return text;
}

static inline void assert_holds(struct mount *mount, const char *name, const char *text) {
    struct handle *handle = open_flags(mount, name, O_RDONLY);
    size_t size;
    char *held = contents_of(handle, &size);
    assert_string_equal(held, text);
    assert_int_equal(size, strlen(text));
    free(held);
    handle_release(handle);
}

/* Lets what is in the background run. */
static inline void settle(void) {
    for (int i = 0; i < 100; i++) {
        task_yield();
    }
}

#endif
