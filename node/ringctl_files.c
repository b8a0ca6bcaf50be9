/* ringctl_files: get, ls and stat: files by their paths, without a mount. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/ringctl.h"

enum { LIST_PAGE = 500 };

/* ---- get
 * -----------------------------------------------------------------------------------------
 */

static int write_sink(void *context, struct bytes data) {
    (void)context;
    return fwrite(data.data, 1, data.size, stdout) == data.size ? 0 : ERR_IO;
}

int ctl_get(struct ctl *ctl) {
    const char *dot = ctl_option(ctl, "dot");
    task_set_deadline(task_self(), 0);
    if (dot != NULL) {
        return ctl_get_dot(ctl, dot);
    }
    if (ctl_option(ctl, "all") != NULL) {
        return ctl_get_all(ctl);
    }
    int status = namespace_get(ctl->ns, ctl->argv[0], write_sink, NULL);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "get", ctl->argv[0], status);
}

/* ---- ls and stat --------------------------------------------------------------------------------
 */

static const char *type_name(uint32_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFREG:
        return "file";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    default:
        return "device";
    }
}

static void mode_text(uint32_t mode, char ret[11]) {
    static const char types[] = "?pc?d?b?-?l?s???";
    static const char bits[] = "rwxrwxrwx";
    ret[0] = types[(mode & S_IFMT) >> 12];
    for (int i = 0; i < 9; i++) {
        ret[i + 1] = (mode >> (8 - i)) & 1 ? bits[i] : '-';
    }
    ret[10] = '\0';
}

static void time_text(int64_t time_ns, char ret[32]) {
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm tm;
    localtime_r(&seconds, &tm);
    strftime(ret, 32, "%Y-%m-%d %H:%M:%S", &tm);
}

/* What stat and ls -l tell of a directory stands in its header, of anything else in its record. */
static int fill_attributes(struct ctl *ctl, struct record *record) {
    if (!S_ISDIR(record->mode)) {
        return 0;
    }
    struct directory_attributes a = {0};
    int status = namespace_attributes(ctl->ns, &record->directory, &a);
    if (status == 0) {
        record->mode = S_IFDIR | a.mode;
        record->uid = a.uid;
        record->gid = a.gid;
        record->mtime_ns = a.mtime_ns;
        record->size = a.n_entries;
        directory_attributes_release(&a);
    }
    return status;
}

static json_t *record_json(const char *name, const struct record *r) {
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", name, "type",
                     type_name(r->mode), "mode", (json_int_t)(r->mode & 07777), "uid",
                     (json_int_t)r->uid, "gid", (json_int_t)r->gid, "size", (json_int_t)r->size,
                     "mtime_ns", (json_int_t)r->mtime_ns, "ino", (json_int_t)record_ino(r));
}

static void print_entry(const struct ctl *ctl, const char *name, const struct record *r) {
    if (ctl_option(ctl, "long") == NULL) {
        printf("%s%s\n", name, S_ISDIR(r->mode) ? "/" : "");
        return;
    }
    char mode[11];
    char changed[32];
    mode_text(r->mode, mode);
    time_text(r->mtime_ns, changed);
    printf("%s %5u %5u %12llu %s %s%s", mode, r->uid, r->gid, (unsigned long long)r->size, changed,
           name, S_ISDIR(r->mode) ? "/" : "");
    if (S_ISLNK(r->mode)) {
        printf(" -> %.*s", (int)r->data.size, (const char *)r->data.data);
    }
    putchar('\n');
}

int ctl_list_each(struct ctl *ctl, const struct id128 *directory,
                  int (*each)(void *context, struct entry *entry), void *context) {
    uint64_t after = 0;
    int status = 0;
    for (bool end = false; !end && status == 0;) {
        struct listing page = {0};
        status = namespace_list(ctl->ns, directory, after, LIST_PAGE, &page);
        if (status != 0) {
            return status;
        }
        end = page.end || page.n == 0;
        after = page.n > 0 ? page.entries[page.n - 1].cookie : after;
        for (uint32_t i = 0; i < page.n && status == 0; i++) {
            status = each(context, &page.entries[i].entry);
        }
        listing_release(&page);
    }
    return status;
}

struct ls {
    struct ctl *ctl;
    json_t *names; /* NULL = print */
    uint64_t n_unprintable;
};

/* Names need not be UTF-8, JSON must be: what is not is left out of the list and counted. */
static int list_entry(void *context, struct entry *entry) {
    struct ls *ls = context;
    bool details = ls->ctl->json || ctl_option(ls->ctl, "long") != NULL;
    int status = details ? fill_attributes(ls->ctl, &entry->record) : 0;
    if (status != 0) {
        return status == ERR_STALE ? 0 : status; /* removed while we listed */
    }
    if (ls->names == NULL) {
        print_entry(ls->ctl, entry->name, &entry->record);
    } else if (json_array_append_new(ls->names, record_json(entry->name, &entry->record)) != 0) {
        ls->n_unprintable++;
    }
    return 0;
}

static int list_directory(struct ctl *ctl, const struct id128 *directory, json_t *names) {
    struct ls ls = {.ctl = ctl, .names = names};
    task_set_deadline(task_self(), 0);
    int status = ctl_list_each(ctl, directory, list_entry, &ls);
    if (status == 0 && ls.n_unprintable > 0) {
        fprintf(stderr, "ringctl: %llu names are not UTF-8 and are left out\n",
                (unsigned long long)ls.n_unprintable);
    }
    return status;
}

int ctl_ls(struct ctl *ctl) {
    const char *path = ctl->argc > 0 ? ctl->argv[0] : "/";
    struct id128 directory;
    json_t *names = ctl->json ? json_array() : NULL;
    int status = namespace_resolve_directory(ctl->ns, path, &directory);
    if (status == 0) {
        status = list_directory(ctl, &directory, names);
    } else if (status == ERR_NOT_DIRECTORY) {
        struct entry entry = {0};
        status = namespace_resolve(ctl->ns, path, &entry);
        if (status == 0 && names == NULL) {
            print_entry(ctl, path, &entry.record);
        } else if (status == 0) {
            json_array_append_new(names, record_json(entry.name, &entry.record));
        }
        entry_release(&entry);
    }
    if (status == 0 && names != NULL) {
        ctl_print_json(names);
        names = NULL;
    }
    json_decref(names);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "ls", path, status);
}

static void print_stat(const char *path, const struct entry *entry) {
    const struct record *r = &entry->record;
    char mode[11];
    char changed[32];
    mode_text(r->mode, mode);
    time_text(r->mtime_ns, changed);
    printf("path      %s\ntype      %s\nmode      %s (%04o)\nowner     %u:%u\n", path,
           type_name(r->mode), mode, r->mode & 07777, r->uid, r->gid);
    printf("%-10s%llu\nchanged   %s\ninode     %llu\n", S_ISDIR(r->mode) ? "names" : "size",
           (unsigned long long)r->size, changed, (unsigned long long)record_ino(r));
    if (S_ISREG(r->mode)) {
        printf("contents  %s\n",
               r->contents_kind == CONTENTS_INLINE ? "in the record" : "in blocks");
    }
}

int ctl_stat(struct ctl *ctl) {
    const char *path = ctl->argv[0];
    struct entry entry = {0};
    int status = namespace_resolve(ctl->ns, path, &entry);
    if (status == ERR_IS_DIRECTORY) { /* the root */
        entry.record.mode = S_IFDIR;
        entry.record.directory = namespace_root;
        status = 0;
    }
    status = status == 0 ? fill_attributes(ctl, &entry.record) : status;
    if (status == 0 && ctl->json) {
        ctl_print_json(record_json(entry.name, &entry.record));
    } else if (status == 0) {
        print_stat(path, &entry);
    }
    entry_release(&entry);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "stat", path, status);
}
