/* ringctl_put: put and del: a file's contents, plainly, under a condition or with a context. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/ringctl_versions.h"

enum { FILE_MODE = 0644 };

/* ---- where the contents come from ---------------------------------------------------------------
 */

struct value_source value_source_of(const char *value) {
    if (value == NULL || strcmp(value, "-") == 0) {
        return (struct value_source){0};
    }
    return (struct value_source){.value = value, .left = strlen(value)};
}

int64_t value_source_read(void *context, uint8_t *into, size_t size) {
    struct value_source *source = context;
    if (source->value == NULL) {
        size_t n = fread(into, 1, size, stdin);
        return n == 0 && ferror(stdin) ? ERR_IO : (int64_t)n;
    }
    size_t n = source->left < size ? source->left : size;
    memcpy(into, source->value, n);
    source->value += n;
    source->left -= n;
    return (int64_t)n;
}

/* ---- a record's contents ------------------------------------------------------------------------
 */

/* fread() fills as far as there is; an argument as well. */
static int fill_blocks(struct ctl *ctl, struct record *record, struct value_source *source,
                       uint8_t *block) {
    int64_t got = value_source_read(source, block, BLOCK_SIZE);
    if (got < 0) {
        return (int)got;
    }
    record->size = (uint64_t)got;
    record->contents = (struct id128){{0}};
    record->data_at = 0;
    record->contents_shared = false;
    record_set_extents(record, (struct bytes){0});
    record->contents_kind = CONTENTS_INLINE;
    if (got <= RECORD_INLINE_MAX) {
        record_set_data(record, bytes_of(block, (size_t)got));
        return 0;
    }
    record_set_data(record, (struct bytes){0});
    record->contents_kind = CONTENTS_BLOCKS;
    record->contents = contents_new(ctl->ns);
    record->size = 0;
    for (uint64_t i = 0; got > 0; i++) {
        int status = contents_write_block(ctl->ns, &record->contents, i,
                                          bytes_of(block, (size_t)got), false);
        if (status != 0) {
            return status;
        }
        record->size += (uint64_t)got;
        got = value_source_read(source, block, BLOCK_SIZE);
    }
    return got < 0 ? (int)got : 0;
}

int record_fill(struct ctl *ctl, struct record *record, struct value_source *source) {
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    int status = fill_blocks(ctl, record, source, block);
    record->mtime_ns = (int64_t)ctl->store->wall_ns(ctl->store->self);
    record->ctime_ns = record->mtime_ns;
    free(block);
    return status;
}

void record_drop(struct ctl *ctl, const struct record *record) {
    if (S_ISREG(record->mode) && record->contents_kind == CONTENTS_BLOCKS) {
        struct extents stored = contents_removable(record);
        contents_remove_stored(ctl->ns, &record->contents, &stored, 0, UINT64_MAX);
    }
}

/* ---- how to write -------------------------------------------------------------------------------
 */

enum manner {
    PLAIN,     /* as a filesystem does */
    BLIND,     /* having seen nothing */
    CONTEXT,   /* having seen a context; stays beside what that has not seen */
    IF_MATCH,  /* only when a context has seen all there is */
    IF_ABSENT, /* only when there is no such file */
};

/* Exactly one of the options. `ret_seen` is the given context's bytes. CTL_DONE, or CTL_USAGE after
 * a sentence. */
static int manner_of(const struct ctl *ctl, enum manner *ret, struct buffer *ret_seen) {
    static const char *const names[] = {[BLIND] = "blind",
                                        [CONTEXT] = "context",
                                        [IF_MATCH] = "if-match",
                                        [IF_ABSENT] = "if-absent"};
    bool put = strcmp(ctl->command->name, "put") == 0;
    *ret = PLAIN;
    for (enum manner m = BLIND; m <= IF_ABSENT; m++) {
        const char *given = m == CONTEXT || m == IF_MATCH || put ? ctl_option(ctl, names[m]) : NULL;
        if (given == NULL) {
            continue;
        }
        if (*ret != PLAIN) {
            return ctl_usage_error("only one of --blind, --context, --if-match, --if-absent", "");
        }
        *ret = m;
        if ((m == CONTEXT || m == IF_MATCH) && context_of_text(given, ret_seen) != 0) {
            return ctl_usage_error("not a context as `get --all` prints it:", given);
        }
    }
    return CTL_DONE;
}

/* What becomes of the row's owner, mode and identity: they stay, where there is a file. */
static int base_record(struct ctl *ctl, struct path_row *row, enum manner manner,
                       struct record *ret) {
    int status = manner == BLIND ? 0 : path_row_read(ctl, row);
    const struct sibling *shown = versions_winner(&row->row.versions);
    struct record old;
    if (status == 0 && shown != NULL && (shown->flags & SIBLING_TOMBSTONE) == 0 &&
        record_decode(shown->value, &old) == 0) {
        if (!S_ISREG(old.mode)) {
            return S_ISDIR(old.mode) ? ERR_IS_DIRECTORY : ERR_NOT_SUPPORTED;
        }
        record_copy(&old, ret);
        return 0;
    }
    *ret = (struct record){.mode = S_IFREG | FILE_MODE, .uid = getuid(), .gid = getgid()};
    ret->file_id = ctl->store->random(ctl->store->self) | 2; /* 0 and 1 are no files' */
    return status;
}

/* The blocks of what the write has replaced, as far as it was read. */
static void drop_replaced(struct ctl *ctl, const struct versions *versions, struct bytes seen) {
    struct context context = {0};
    struct record record;
    if (context_decode(seen, &context) != 0) {
        return;
    }
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        if ((sibling->flags & SIBLING_TOMBSTONE) == 0 && context_covers(&context, sibling->dot) &&
            record_decode(sibling->value, &record) == 0) {
            record_drop(ctl, &record);
        }
    }
    context_release(&context);
}

static void print_context(const struct ctl *ctl, struct bytes context, struct bytes seen) {
    char *text = context_text(context);
    if (bytes_equal(context, seen)) { /* the store tells no more than what was seen before */
        fprintf(stderr,
                "ringctl: %s %s: stands beside versions that were not seen; `ringctl get --all %s` "
                "shows them\n",
                ctl->command->name, ctl->argv[0], ctl->argv[0]);
    }
    if (ctl->json) {
        ctl_print_json(json_pack("{s:s, s:s}", "path", ctl->argv[0], "context", text));
    } else {
        printf("context %s\n", text);
    }
    free(text);
}

static int put_row(struct ctl *ctl, enum manner manner, struct bytes seen,
                   struct value_source *source) {
    struct path_row row;
    struct record record = {0};
    struct buffer context = {0};
    int status = path_row_find(ctl, ctl->argv[0], &row);
    if (status == 0) {
        status = base_record(ctl, &row, manner, &record);
    }
    if (status == 0) {
        status = record_fill(ctl, &record, source);
    }
    if (status == 0) {
        struct path_write write = {.condition = manner == IF_MATCH ? ROW_IF_MATCH : ROW_ANY,
                                   .seen = seen,
                                   .record = &record};
        status = path_row_write(ctl, &row, &write, &context);
    }
    if (status == 0) {
        drop_replaced(ctl, &row.row.versions, seen);
        print_context(ctl, buffer_bytes(&context), seen);
    } else if (status == ERR_CONFLICT) {
        record_drop(ctl, &record);
    }
    record_release(&record);
    buffer_release(&context);
    path_row_release(&row);
    return status;
}

static int put_if_absent(struct ctl *ctl, struct value_source *source) {
    struct entry entry = {0};
    struct entry made = {0};
    struct record record = {.mode = S_IFREG | FILE_MODE, .uid = getuid(), .gid = getgid()};
    int status = namespace_resolve(ctl->ns, ctl->argv[0], &entry);
    if (status == 0 || status == ERR_IS_DIRECTORY) {
        entry_release(&entry);
        return ERR_EXISTS;
    }
    if (status != ERR_NO_ENTRY || entry.name[0] == '\0') {
        return status;
    }
    status = record_fill(ctl, &record, source);
    if (status == 0) {
        status = namespace_create(ctl->ns, &entry.directory, entry.name, &record, &made);
    }
    if (status == 0) {
        print_context(ctl, made.seen, (struct bytes){0});
    } else if (status == ERR_EXISTS) {
        record_drop(ctl, &record);
    }
    if (status == 0 || status == ERR_EXISTS) {
        entry_release(&made);
    }
    record_release(&record);
    return status;
}

int ctl_put(struct ctl *ctl) {
    struct value_source source = value_source_of(ctl->argc == 2 ? ctl->argv[1] : NULL);
    struct buffer seen = {0};
    enum manner manner;
    int exit_code = manner_of(ctl, &manner, &seen);
    if (exit_code != CTL_DONE) {
        buffer_release(&seen);
        return exit_code;
    }
    /* Standard input may be slow: the deadline is per answer of the store, not for the whole. */
    task_set_deadline(task_self(), 0);
    int status = 0;
    if (manner == PLAIN) {
        status = namespace_put(ctl->ns, ctl->argv[0], FILE_MODE, getuid(), getgid(),
                               value_source_read, &source);
    } else if (manner == IF_ABSENT) {
        status = put_if_absent(ctl, &source);
    } else {
        status = put_row(ctl, manner, buffer_bytes(&seen), &source);
    }
    buffer_release(&seen);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "put", ctl->argv[0], status);
}

/* ---- del ----------------------------------------------------------------------------------------
 */

static int del_path(struct ctl *ctl) {
    struct entry entry = {0};
    int status = namespace_resolve(ctl->ns, ctl->argv[0], &entry);
    if (status == 0 && S_ISDIR(entry.record.mode)) {
        status = namespace_rmdir(ctl->ns, &entry.directory, entry.name);
    } else if (status == 0) {
        struct entry removed = {0};
        status = namespace_unlink(ctl->ns, &entry.directory, entry.name, &removed);
        if (status == 0) {
            record_drop(ctl, &removed.record);
        }
        entry_release(&removed);
    }
    entry_release(&entry);
    return status;
}

/* The blocks of what a context deletes stay: another version may name them. */
static int del_row(struct ctl *ctl, enum manner manner, struct bytes seen) {
    struct path_row row;
    struct buffer context = {0};
    int status = path_row_find(ctl, ctl->argv[0], &row);
    if (status == 0) {
        struct path_write write = {.condition = manner == IF_MATCH ? ROW_IF_MATCH : ROW_ANY,
                                   .seen = seen};
        status = path_row_write(ctl, &row, &write, &context);
    }
    if (status == 0) {
        print_context(ctl, buffer_bytes(&context), seen);
    }
    buffer_release(&context);
    path_row_release(&row);
    return status;
}

int ctl_del(struct ctl *ctl) {
    struct buffer seen = {0};
    enum manner manner;
    int exit_code = manner_of(ctl, &manner, &seen);
    if (exit_code == CTL_DONE) {
        int status = manner == PLAIN ? del_path(ctl) : del_row(ctl, manner, buffer_bytes(&seen));
        exit_code = status == 0 ? CTL_DONE : ctl_complain(ctl, "del", ctl->argv[0], status);
    }
    buffer_release(&seen);
    return exit_code;
}
