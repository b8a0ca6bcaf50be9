/* namespace_tree: one move of a directory to another parent at a time, so that no loop can form. */
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"
#include "shared/task.h"

/* The register is a row of the superblock's partition; its value tells when it was taken and which
 * entry is being moved, so that whoever takes over an abandoned one first settles that move: its
 * directory's back-pointer may be behind, and the walk below relies on back-pointers. */
enum {
    TREE_POLL_NS = 20 * 1000 * 1000,
    TREE_DEPTH_MAX = 1 << 16, /* of a walk: a loop made by damage must not hold us */
};

static struct key key_register(void) {
    return (struct key){.data = {'t'}, .size = 1};
}

struct register_row {
    bool held;
    uint64_t started_ns;
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1];
    struct bytes seen; /* owned */
};

static int register_decode(struct bytes value, struct register_row *ret) {
    struct reader r = reader_of(value);
    ret->started_ns = reader_u64(&r);
    struct bytes id = reader_bytes(&r, sizeof ret->directory.bytes);
    struct bytes name = reader_sized8(&r);
    if (reader_end(&r) < 0 || name.size == 0) {
        return ERR_CORRUPT;
    }
    memcpy(ret->directory.bytes, id.data, id.size);
    memcpy(ret->name, name.data, name.size);
    ret->name[name.size] = 0;
    return 0;
}

static int register_read(struct namespace *ns, struct register_row *ret) {
    struct key partition = key_superblock(), sort = key_register();
    struct store_row row = {0};
    int err = ns->store->get(ns->store->self, key_bytes(&partition), key_bytes(&sort), LEVEL_QUORUM,
                             &row);
    if (err < 0) {
        return err;
    }
    *ret = (struct register_row){0};
    const struct sibling *winner = versions_winner(&row.versions);
    if (winner && !(winner->flags & SIBLING_TOMBSTONE)) {
        ret->held = true;
        err = register_decode(winner->value, ret);
    }
    struct buffer seen = {0};
    if (err == 0 && row.versions.context.n > 0) {
        context_encode(&row.versions.context, &seen);
    }
    ret->seen = buffer_bytes(&seen); /* ours from here on */
    store_row_release(&row);
    return err;
}

/* `child` NULL: gives it back. */
static int register_write(struct namespace *ns, const struct entry *child, struct tree_lock *lock) {
    struct key partition = key_superblock(), sort = key_register();
    struct buffer value = {0};
    if (child) {
        lock->started_ns = ns->store->wall_ns(ns->store->self);
        buffer_put_u64(&value, lock->started_ns);
        buffer_put(&value, child->directory.bytes, sizeof child->directory.bytes);
        buffer_put_sized8(&value, bytes_of_string(child->name));
    }
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = child ? ROW_PUT : ROW_DELETE,
                                    .condition = ROW_IF_MATCH,
                                    .sort_key = key_bytes(&sort),
                                    .seen = lock->seen,
                                    .value = buffer_bytes(&value)};
    int err = commit_run(ns, &partition, &commit, 0);
    if (err == 0) {
        free((void *)lock->seen.data);
        lock->seen = commit_context(&commit, 0);
    }
    commit_release(&commit);
    buffer_release(&value);
    return err;
}

/* The register is somebody's: waits a little, or clears up after whoever abandoned it. */
static int register_wait(struct namespace *ns, const struct register_row *row) {
    if (!move_abandoned(ns, row->started_ns)) {
        return task_sleep(TREE_POLL_NS);
    }
    struct entry entry;
    int err = entry_read_settled(ns, &row->directory, row->name, &entry);
    entry_release(&entry);
    return err == ERR_NO_ENTRY ? 0 : err;
}

static int register_take(struct namespace *ns, const struct entry *child, struct tree_lock *lock) {
    for (;;) {
        struct register_row row;
        int err = register_read(ns, &row);
        if (err < 0) {
            return err;
        }
        bool free_now = !row.held || move_abandoned(ns, row.started_ns);
        err = row.held ? register_wait(ns, &row) : 0;
        if (err < 0 || !free_now) {
            free((void *)row.seen.data);
            if (err < 0) {
                return err;
            }
            continue;
        }
        *lock = (struct tree_lock){.seen = row.seen};
        err = register_write(ns, child, lock);
        if (err == 0) {
            return 0;
        }
        free((void *)lock->seen.data);
        if (err != ERR_CONFLICT) {
            return err;
        }
    }
}

int tree_check(struct namespace *ns, const struct id128 *child, const struct id128 *parent) {
    struct id128 at = *parent;
    for (int depth = 0; depth < TREE_DEPTH_MAX; depth++) {
        if (id128_equal(&at, child)) {
            return ERR_LOOP;
        }
        if (id128_equal(&at, &namespace_root)) {
            return 0;
        }
        struct header_row row;
        int err = header_read(ns, &at, &row);
        if (err < 0) {
            return err;
        }
        free((void *)row.seen.data);
        if (!row.found) {
            return ERR_NO_ENTRY;
        }
        at = row.header.parent;
    }
    return ERR_LOOP;
}

int tree_lock(struct namespace *ns, const struct entry *child, const struct id128 *parent,
              struct tree_lock *ret) {
    struct tree_lock lock;
    int err = register_take(ns, child, &lock);
    if (err < 0) {
        return err;
    }
    err = tree_check(ns, &child->record.directory, parent);
    if (err < 0) {
        tree_unlock(ns, &lock);
        return err;
    }
    *ret = lock;
    return 0;
}

void tree_unlock(struct namespace *ns, struct tree_lock *lock) {
    register_write(ns, NULL, lock); /* if that fails, the next one waits until it is abandoned */
    free((void *)lock->seen.data);
    *lock = (struct tree_lock){0};
}

bool tree_locked(struct namespace *ns, const struct tree_lock *lock) {
    /* Half of the time that the others wait, for what is still on its way. */
    uint64_t age_ns = ns->store->wall_ns(ns->store->self) - lock->started_ns;
    return age_ns < (uint64_t)MOVE_ABANDONED_NS_SECONDS * 500 * 1000 * 1000;
}
