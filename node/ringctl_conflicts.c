/* ringctl_conflicts: conflicts ls, show, keep: names that two sides of a partition wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "node/ringctl.h"
#include "node/ringctl_versions.h"
#include "shared/namespace_conflicts.h"

static const char mark[] = ".conflict-", kept[] = ".kept-";

/* ---- finding ------------------------------------------------------------------------------------
 */

/* The mark in a conflict's name. */
static const char *mark_of(const char *name) {
    const char *at = name;
    for (const char *next = strstr(name, mark); next != NULL; next = strstr(next + 1, mark)) {
        at = next;
    }
    return at;
}

/* What stands between the mark and the extension: "2-0a1b2c"; what the user may call it by. */
static void label_of(const char *name, char ret[NAME_SIZE_MAX + 1]) {
    const char *label = mark_of(name) + sizeof mark - 1;
    snprintf(ret, NAME_SIZE_MAX + 1, "%.*s", (int)strcspn(label, "."), label);
}

static json_t *version_json(const char *directory, const struct entry *entry) {
    char path[NAMESPACE_PATH_MAX + NAME_SIZE_MAX + 2], label[NAME_SIZE_MAX + 1] = "";
    const struct record *r = &entry->record;
    snprintf(path, sizeof path, "%s/%s", directory, entry->name);
    bool loser = namespace_conflict_name(entry->name, NULL);
    if (loser) {
        label_of(entry->name, label);
    }
    return json_pack("{s:s, s:s*, s:b, s:I, s:I}", "path", path, "version", loser ? label : NULL,
                     "directory", S_ISDIR(r->mode), "size", (json_int_t)r->size, "mtime_ns",
                     (json_int_t)r->mtime_ns);
}

static void version_print(const char *number, const char *directory, const struct entry *entry) {
    char changed[32];
    time_t seconds = (time_t)(entry->record.mtime_ns / 1000000000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(changed, sizeof changed, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%-3s %12llu %s %s/%s%s\n", number, (unsigned long long)entry->record.size, changed,
           directory, entry->name, S_ISDIR(entry->record.mode) ? "/" : "");
}

/* ---- ls -----------------------------------------------------------------------------------------
 */

/* One directory of the walk. */
struct walk {
    struct ctl *ctl;
    const char *path; /* without a slash at the end */
    json_t *found;    /* NULL = print */
};

static int walk_directory(struct ctl *ctl, const struct id128 *directory, const char *path,
                          json_t *found);

static int walk_entry(void *context, struct entry *entry) {
    const struct walk *walk = context;
    if (namespace_conflict_name(entry->name, NULL)) {
        if (walk->found == NULL) {
            version_print("", walk->path, entry);
        } else {
            json_array_append_new(walk->found, version_json(walk->path, entry)); /* UTF-8 only */
        }
    }
    if (!S_ISDIR(entry->record.mode)) {
        return 0;
    }
    size_t size = strlen(walk->path) + 1 + strlen(entry->name) + 1;
    if (size > NAMESPACE_PATH_MAX) {
        return ERR_NAME_TOO_LONG;
    }
    char *path = memory_new(1, size);
    snprintf(path, size, "%s/%s", walk->path, entry->name);
    int status = walk_directory(walk->ctl, &entry->record.directory, path, walk->found);
    free(path);
    return status == ERR_STALE ? 0 : status; /* removed meanwhile */
}

static int walk_directory(struct ctl *ctl, const struct id128 *directory, const char *path,
                          json_t *found) {
    struct walk walk = {.ctl = ctl, .path = path, .found = found};
    return ctl_list_each(ctl, directory, walk_entry, &walk);
}

/* A path without slashes at its end; the root is the empty one. free(). */
static char *path_trimmed(const char *path) {
    size_t size = strlen(path);
    while (size > 0 && path[size - 1] == '/') {
        size--;
    }
    return (char *)(uintptr_t)bytes_copy(bytes_of(path, size)).data;
}

static int conflicts_ls(struct ctl *ctl) {
    char *path = path_trimmed(ctl->argc > 1 ? ctl->argv[1] : "");
    struct id128 directory;
    json_t *found = ctl->json ? json_array() : NULL;
    int status = namespace_resolve_directory(ctl->ns, path[0] != '\0' ? path : "/", &directory);
    if (status == 0) {
        status = walk_directory(ctl, &directory, path, found);
    }
    if (status == 0 && found != NULL) {
        ctl_print_json(found);
        found = NULL;
    }
    json_decref(found);
    free(path);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "conflicts ls", ctl->argv[1], status);
}

/* ---- the versions of one file -------------------------------------------------------------------
 */

struct file_versions {
    char *directory_path; /* owned; the root's is empty */
    struct id128 directory;
    char name[NAME_SIZE_MAX + 1]; /* the file's own */
    struct entry winner;          /* mode 0: there is none */
    struct entry *losers;         /* owned, by name */
    uint32_t n;
};

static void versions_free(struct file_versions *v) {
    for (uint32_t i = 0; i < v->n; i++) {
        entry_release(&v->losers[i]);
    }
    free(v->losers);
    free(v->directory_path);
    entry_release(&v->winner);
}

static int collect(void *context, struct entry *entry) {
    struct file_versions *v = context;
    if (strcmp(entry->name, v->name) == 0) {
        entry_release(&v->winner);
        entry_copy(entry, &v->winner);
    } else if (namespace_conflict_is_of(entry->name, v->name)) {
        v->losers = memory_resize(v->losers, (v->n + 1) * sizeof *v->losers);
        entry_copy(entry, &v->losers[v->n++]);
    }
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* ERR_NO_ENTRY: neither the file nor a version of it is there. */
static int versions_find_all(struct ctl *ctl, const char *given, struct file_versions *ret) {
    char *path = path_trimmed(given);
    char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    *ret = (struct file_versions){0};
    if (!namespace_conflict_name(name, ret->name)) {
        snprintf(ret->name, sizeof ret->name, "%s", name);
    }
    ret->directory_path = path_trimmed("");
    if (slash != NULL) {
        free(ret->directory_path);
        *slash = '\0';
        ret->directory_path = path_trimmed(path);
    }
    const char *parent = ret->directory_path[0] != '\0' ? ret->directory_path : "/";
    int status = ret->name[0] == '\0' ? ERR_IS_DIRECTORY : 0;
    status = status == 0 ? namespace_resolve_directory(ctl->ns, parent, &ret->directory) : status;
    status = status == 0 ? ctl_list_each(ctl, &ret->directory, collect, ret) : status;
    free(path);
    if (status == 0 && ret->n > 0) {
        qsort(ret->losers, ret->n, sizeof *ret->losers, by_name);
    }
    bool nothing = ret->n == 0 && ret->winner.record.mode == 0;
    return status == 0 && nothing ? ERR_NO_ENTRY : status;
}

static int conflicts_show_file(struct ctl *ctl, const struct file_versions *v) {
    json_t *shown = ctl->json ? json_array() : NULL;
    for (uint32_t i = 0; i <= v->n; i++) {
        const struct entry *entry = i == 0 ? &v->winner : &v->losers[i - 1];
        char number[16];
        snprintf(number, sizeof number, i == 0 ? "*" : "%u", i);
        if (entry->record.mode == 0) {
            continue;
        }
        if (shown == NULL) {
            version_print(number, v->directory_path, entry);
        } else {
            json_array_append_new(shown, version_json(v->directory_path, entry));
        }
    }
    if (shown != NULL) {
        ctl_print_json(shown);
    }
    return 0;
}

/* ---- keep ---------------------------------------------------------------------------------------
 */

static int version_remove(struct ctl *ctl, const struct entry *entry) {
    if (S_ISDIR(entry->record.mode)) {
        return namespace_rmdir(ctl->ns, &entry->directory, entry->name);
    }
    struct entry removed = {0};
    int status = namespace_unlink(ctl->ns, &entry->directory, entry->name, &removed);
    if (status == 0) {
        record_drop(ctl, &removed.record);
    }
    entry_release(&removed);
    return status == ERR_NO_ENTRY ? 0 : status; /* resolved by somebody else */
}

static int keep_one(struct ctl *ctl, const struct file_versions *v, const struct entry *chosen) {
    struct entry replaced = {0};
    int status = namespace_rename(ctl->ns, &v->directory, chosen->name, &v->directory, v->name, 0,
                                  NULL, &replaced);
    if (status == 0 && replaced.name[0] != '\0') {
        record_drop(ctl, &replaced.record);
    }
    entry_release(&replaced);
    return status;
}

/* A version as a file of its own, which no one will take for a conflict. */
static int keep_beside(struct ctl *ctl, const struct file_versions *v, const struct entry *entry) {
    char name[NAME_SIZE_MAX + 1];
    const char *at = mark_of(entry->name);
    snprintf(name, sizeof name, "%.*s%s%s", (int)(at - entry->name), entry->name, kept,
             at + sizeof mark - 1);
    return namespace_rename(ctl->ns, &v->directory, entry->name, &v->directory, name,
                            RENAME_NOREPLACE, NULL, NULL);
}

/* The version of a number as show tells it, or of a label; NULL. */
static const struct entry *version_named(const struct file_versions *v, const char *which) {
    char *end;
    unsigned long number = strtoul(which, &end, 10);
    for (uint32_t i = 0; i < v->n; i++) {
        char label[NAME_SIZE_MAX + 1];
        label_of(v->losers[i].name, label);
        if (strcmp(label, which) == 0 || (*end == '\0' && number == i + 1)) {
            return &v->losers[i];
        }
    }
    return NULL;
}

static int conflicts_keep(struct ctl *ctl, const struct file_versions *v) {
    const char *which = ctl->argv[2];
    bool all = strcmp(which, "all") == 0;
    const struct entry *chosen = NULL;
    int status = 0;
    if (!all && strcmp(which, "winner") != 0) {
        chosen = version_named(v, which);
        status = chosen != NULL ? keep_one(ctl, v, chosen) : ERR_NO_ENTRY;
    }
    for (uint32_t i = 0; i < v->n && status == 0; i++) {
        if (&v->losers[i] != chosen) {
            status = all ? keep_beside(ctl, v, &v->losers[i]) : version_remove(ctl, &v->losers[i]);
        }
    }
    return status;
}

/* ---- the command --------------------------------------------------------------------------------
 */

static int with_versions(struct ctl *ctl, const char *what,
                         int (*run)(struct ctl *ctl, const struct file_versions *v)) {
    struct file_versions v;
    int status = versions_find_all(ctl, ctl->argv[1], &v);
    status = status == 0 ? run(ctl, &v) : status;
    versions_free(&v);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, what, ctl->argv[1], status);
}

int ctl_conflicts(struct ctl *ctl) {
    const char *word = ctl->argv[0];
    task_set_deadline(task_self(), 0); /* a walk takes as long as it takes */
    if (strcmp(word, "ls") == 0 && ctl->argc <= 2) {
        return conflicts_ls(ctl);
    }
    if (strcmp(word, "show") == 0 && ctl->argc == 2) {
        return with_versions(ctl, "conflicts show", conflicts_show_file);
    }
    if (strcmp(word, "keep") == 0 && ctl->argc == 3) {
        return with_versions(ctl, "conflicts keep", conflicts_keep);
    }
    return ctl_usage_error("conflicts is ls [PATH], show PATH, or keep PATH N|all|winner", "");
}
