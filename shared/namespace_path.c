/* namespace_path: walking paths. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

/* The walk so far: a stack of names, each in the directory below it, so that ".." goes back the way
 * the path came. The last name is looked up only when something follows it. */
struct step {
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1];
};

struct walk {
    struct namespace *ns;
    struct step *steps;
    uint32_t n;
    bool must_be_directory; /* the path ends in "/", "/." or "/.." */
};

/* The directory that the walk stands in. */
static int walk_directory(struct walk *walk, struct id128 *ret) {
    if (walk->n == 0) {
        *ret = namespace_root;
        return 0;
    }
    const struct step *last = &walk->steps[walk->n - 1];
    struct entry entry;
    int err = namespace_lookup(walk->ns, &last->directory, last->name, &entry);
    if (err < 0) {
        return err;
    }
    err = S_ISDIR(entry.record.mode) ? 0 : ERR_NOT_DIRECTORY;
    *ret = entry.record.directory;
    entry_release(&entry);
    return err;
}

static int walk_part(struct walk *walk, struct bytes part) {
    struct id128 directory;
    walk->must_be_directory = true;
    if (part.size == 0 || (part.size == 1 && part.data[0] == '.')) {
        return 0;
    }
    if (part.size > NAME_SIZE_MAX) {
        return ERR_NAME_TOO_LONG;
    }
    int err = walk_directory(walk, &directory);
    if (err < 0) {
        return err;
    }
    if (part.size == 2 && memcmp(part.data, "..", 2) == 0) {
        walk->n -= walk->n > 0;
        return 0;
    }
    struct step *step = &walk->steps[walk->n++];
    step->directory = directory;
    memcpy(step->name, part.data, part.size);
    step->name[part.size] = 0;
    walk->must_be_directory = false;
    return 0;
}

static uint32_t parts_max(const char *path) {
    uint32_t n = 1;
    for (const char *at = path; *at; at++) {
        n += *at == '/';
    }
    return n;
}

/* free(ret->steps) whatever the answer. */
static int walk_path(struct namespace *ns, const char *path, struct walk *ret) {
    *ret = (struct walk){.ns = ns, .must_be_directory = true};
    if (strnlen(path, NAMESPACE_PATH_MAX) == NAMESPACE_PATH_MAX) {
        return ERR_NAME_TOO_LONG;
    }
    if (path[0] == 0) {
        return ERR_NO_ENTRY; /* path_resolution(7): the empty path names nothing */
    }
    ret->steps = memory_new(parts_max(path), sizeof *ret->steps);
    for (const char *at = path;; at++) {
        size_t size = strcspn(at, "/");
        int err = walk_part(ret, bytes_of(at, size));
        if (err < 0) {
            return err;
        }
        at += size;
        if (*at == 0) {
            return 0;
        }
    }
}

static int walk_end(const struct walk *walk, struct entry *ret) {
    if (walk->n == 0) {
        return ERR_IS_DIRECTORY;
    }
    const struct step *last = &walk->steps[walk->n - 1];
    struct entry entry;
    int err = namespace_lookup(walk->ns, &last->directory, last->name, &entry);
    if (err == 0 && walk->must_be_directory && !S_ISDIR(entry.record.mode)) {
        entry_release(&entry);
        return ERR_NOT_DIRECTORY;
    }
    if (err == 0) {
        *ret = entry;
    } else if (err == ERR_NO_ENTRY) {
        *ret = (struct entry){.directory = last->directory};
        memcpy(ret->name, last->name, sizeof ret->name);
    }
    return err;
}

int namespace_resolve(struct namespace *ns, const char *path, struct entry *ret) {
    struct walk walk;
    int err = walk_path(ns, path, &walk);
    if (err == ERR_NO_ENTRY) {
        *ret = (struct entry){0}; /* a parent is missing: nothing can be created */
    }
    if (err == 0) {
        err = walk_end(&walk, ret);
    }
    free(walk.steps);
    return err;
}

int namespace_resolve_directory(struct namespace *ns, const char *path, struct id128 *ret) {
    struct walk walk;
    struct id128 directory;
    int err = walk_path(ns, path, &walk);
    if (err == 0) {
        err = walk_directory(&walk, &directory);
    }
    if (err == 0) {
        *ret = directory;
    }
    free(walk.steps);
    return err;
}

void namespace_row_of(const struct id128 *directory, const char *name, struct buffer *ret_partition,
                      struct buffer *ret_sort) {
    bool header = name[0] == '\0';
    uint8_t shard = header ? 0 : directory_shard(directory, name_hash(name));
    struct key partition = key_directory(directory, shard);
    struct key sort = header ? key_header() : key_entry(name);
    buffer_put_bytes(ret_partition, key_bytes(&partition));
    buffer_put_bytes(ret_sort, key_bytes(&sort));
}

int namespace_where(struct namespace *ns, const char *path, struct buffer *ret_partition,
                    struct buffer *ret_sort) {
    struct walk walk;
    int err = walk_path(ns, path, &walk);
    if (err == 0 && walk.n == 0) { /* the root is its header */
        namespace_row_of(&namespace_root, "", ret_partition, ret_sort);
    } else if (err == 0) {
        const struct step *last = &walk.steps[walk.n - 1];
        namespace_row_of(&last->directory, last->name, ret_partition, ret_sort);
    }
    free(walk.steps);
    return err;
}
