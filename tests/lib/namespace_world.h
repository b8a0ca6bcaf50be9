/* namespace_world: a namespace over a store_mem, in a task, and short forms of its calls. */
#ifndef RINGFS_TESTS_NAMESPACE_WORLD_H
#define RINGFS_TESTS_NAMESPACE_WORLD_H

#include "shared/namespace.h"
#include "tests/lib/task_run.h"

/* Two clients of one store; each has caches of its own. */
struct world {
    struct store_mem *mem;
    struct namespace *ns;
    struct namespace *other;
    void (*test)(struct world *w);
};

/* Runs `test` in a task over a fresh store, whose hooks begin anew after the opening. */
void world_run(void (*test)(struct world *w));

/* A cmocka test whose body runs in a world of its own. */
#define IN_WORLD(name)                                                                             \
    static void name##_in(struct world *w);                                                        \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        world_run(name##_in);                                                                      \
    }                                                                                              \
    static void name##_in(struct world *w)

/* A regular file whose contents are `text`, borrowed. */
struct record file_record(const char *text);
int make_file(struct namespace *ns, const struct id128 *directory, const char *name,
              const char *text);
/* `ret` may be NULL. */
int make_directory(struct namespace *ns, const struct id128 *parent, const char *name,
                   struct id128 *ret);
/* The answer of a lookup; ERR_IO when it finds the name with other contents than `text` (NULL =
 * any). */
int look(struct namespace *ns, const struct id128 *directory, const char *name, const char *text);
/* namespace_rename() without results. */
int move(struct namespace *ns, const struct id128 *from, const char *from_name,
         const struct id128 *to, const char *to_name);
/* namespace_update() of what the name stands for: set its text, append to it. */
int write_text(struct namespace *ns, const struct id128 *directory, const char *name,
               const char *text);
int append_text(struct namespace *ns, const struct id128 *directory, const char *name,
                const char *text);
/* How many names a whole listing shows, page by page; -1 when a cookie falls. */
int64_t count_names(struct namespace *ns, const struct id128 *directory, uint32_t page);

/* An operation of w->ns, and another of w->other that cuts in ahead of one of its store calls: all
 * of it again for every call there is, each time in a fresh world. `judge` looks at the outcome. */
struct duel {
    void (*prepare)(struct world *w);
    int (*operate)(struct world *w);
    int (*meddle)(struct world *w);
    void (*judge)(struct world *w, int operated, int meddled);
};
/* What `judge` gets for a meddler that did not come to act. */
enum { DUEL_NOT_MET = 1 };
/* Asserts that there were at least `calls_min` calls. */
void duel_at_every_call(const struct duel *duel, uint64_t calls_min);

#endif
