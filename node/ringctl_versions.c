/* ringctl_versions: get --all and resolve: concurrent versions shown and made one. */
#include "node/ringctl_versions.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- text ---------------------------------------------------------------------------------------
 */

void dot_text(struct dot dot, char ret[DOT_TEXT_SIZE]) {
    snprintf(ret, DOT_TEXT_SIZE, "%u.%u.%u.%llu", actor_node(dot.actor),
             (unsigned)(dot.actor >> 32 & 0xffff), (unsigned)(dot.actor & 0xffffffff),
             (unsigned long long)dot.counter);
}

const struct sibling *sibling_of_text(const struct versions *versions, const char *text) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        char dot[DOT_TEXT_SIZE];
        dot_text(versions->siblings[i].dot, dot);
        if (strcmp(dot, text) == 0) {
            return &versions->siblings[i];
        }
    }
    return NULL;
}

static void hex_text(struct bytes bytes, char *ret) {
    for (size_t i = 0; i < bytes.size; i++) {
        snprintf(ret + 2 * i, 3, "%02x", bytes.data[i]);
    }
    ret[2 * bytes.size] = '\0';
}

char *context_text(struct bytes context) {
    char *text = memory_new(1, 2 * context.size + sizeof "none");
    if (context.size == 0) {
        memcpy(text, "none", sizeof "none");
    } else {
        hex_text(context, text);
    }
    return text;
}

static int digit_of(char c) {
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int context_of_text(const char *text, struct buffer *into) {
    struct context context = {0};
    if (strcmp(text, "none") == 0) {
        return 0;
    }
    if (text[0] == '\0' || strlen(text) % 2 != 0) {
        return ERR_INVALID;
    }
    for (const char *at = text; *at != '\0'; at += 2) {
        int high = digit_of(at[0]);
        int low = digit_of(at[1]);
        if (high < 0 || low < 0) {
            return ERR_INVALID;
        }
        buffer_put_u8(into, (uint8_t)(high << 4 | low));
    }
    int status = context_decode(buffer_bytes(into), &context);
    context_release(&context);
    return status;
}

/* ---- a path's row -------------------------------------------------------------------------------
 */

int path_row_find(struct ctl *ctl, const char *path, struct path_row *ret) {
    *ret = (struct path_row){0};
    return namespace_where(ctl->ns, path, &ret->partition, &ret->sort);
}

int path_row_read(struct ctl *ctl, struct path_row *row) {
    return ctl->store->get(ctl->store->self, buffer_bytes(&row->partition),
                           buffer_bytes(&row->sort), 0, &row->row);
}

void path_row_release(struct path_row *row) {
    buffer_release(&row->partition);
    buffer_release(&row->sort);
    store_row_release(&row->row);
}

int path_row_write(struct ctl *ctl, const struct path_row *row, const struct path_write *write,
                   struct buffer *ret_context) {
    struct store *store = ctl->store;
    struct buffer value = {0};
    struct store_outcome outcome = {0};
    if (write->record != NULL) {
        record_encode(write->record, &value);
    }
    struct row_op op = {.kind = write->record != NULL ? ROW_PUT : ROW_DELETE,
                        .condition = (uint8_t)write->condition,
                        .sort_key = buffer_bytes(&row->sort),
                        .seen = write->seen,
                        .value = buffer_bytes(&value)};
    struct batch batch = {.op = store->op_id(store->self), .n = 1, .ops = &op};
    int status = store->batch(store->self, buffer_bytes(&row->partition), &batch, 0, &outcome);
    if (status == 0 && outcome.reply.n_contexts > 0) {
        buffer_put_bytes(ret_context, outcome.reply.contexts[0]);
    }
    store_outcome_release(&outcome);
    buffer_release(&value);
    return status;
}

/* ---- get --all ----------------------------------------------------------------------------------
 */

static const char *kind_of(const struct sibling *sibling, const struct record *record) {
    if ((sibling->flags & SIBLING_TOMBSTONE) != 0) {
        return "deleted";
    }
    switch (record->mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    default:
        return record->mode == 0 ? "unreadable" : "special";
    }
}

static void stamp_text(uint64_t stamp_ns, char ret[40]) {
    time_t seconds = (time_t)(stamp_ns / 1000000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t size = strftime(ret, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret + size, 40 - size, ".%06uZ", (unsigned)(stamp_ns % 1000000000 / 1000));
}

/* A record of mode 0 when the value is none (a tombstone's is not). */
static struct record record_of(const struct sibling *sibling) {
    struct record record = {0};
    if ((sibling->flags & SIBLING_TOMBSTONE) != 0 || record_decode(sibling->value, &record) != 0) {
        return (struct record){0};
    }
    return record;
}

static json_t *sibling_json(const struct sibling *sibling) {
    struct record record = record_of(sibling);
    char dot[DOT_TEXT_SIZE], stamp[40], op[33];
    dot_text(sibling->dot, dot);
    stamp_text(sibling->stamp_ns, stamp);
    hex_text(bytes_of(sibling->op.bytes, sizeof sibling->op.bytes), op);
    json_t *json = json_pack("{s:s, s:i, s:s, s:s, s:b, s:s, s:I}", "dot", dot, "node",
                             (int)actor_node(sibling->dot.actor), "written", stamp, "operation", op,
                             "tombstone", (sibling->flags & SIBLING_TOMBSTONE) != 0, "kind",
                             kind_of(sibling, &record), "size", (json_int_t)record.size);
    if (S_ISREG(record.mode) && record.contents_kind == CONTENTS_INLINE &&
        record.data.size == record.size) {
        json_t *value = json_stringn((const char *)record.data.data, record.data.size);
        if (value != NULL) { /* it is UTF-8 */
            json_object_set_new(json, "value", value);
        } else {
            char *hex = context_text(record.data);
            json_object_set_new(json, "value_hex", json_string(hex));
            free(hex);
        }
    }
    return json;
}

static void print_sibling(const struct sibling *sibling, bool shown) {
    struct record record = record_of(sibling);
    char dot[DOT_TEXT_SIZE], stamp[40];
    dot_text(sibling->dot, dot);
    stamp_text(sibling->stamp_ns, stamp);
    printf("%c %-24s %5u  %s %10llu  %s\n", shown ? '*' : ' ', dot, actor_node(sibling->dot.actor),
           stamp, (unsigned long long)record.size, kind_of(sibling, &record));
}

static void print_versions(struct ctl *ctl, const struct versions *versions) {
    const struct sibling *winner = versions_winner(versions);
    struct buffer encoded = {0};
    if (versions->context.n > 0) {
        context_encode(&versions->context, &encoded);
    }
    char *context = context_text(buffer_bytes(&encoded));
    json_t *siblings = json_array();
    if (!ctl->json) {
        printf("context %s\n", context);
        printf("  %-24s %5s  %-27s %10s\n", "dot", "node", "written", "size");
    }
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        const struct sibling *sibling = &versions->siblings[i];
        if (ctl->json) {
            json_array_append_new(siblings, sibling_json(sibling));
        } else {
            print_sibling(sibling, sibling == winner);
        }
    }
    if (ctl->json) {
        ctl_print_json(json_pack("{s:s, s:s, s:o}", "path", ctl->argv[0], "context", context,
                                 "siblings", siblings));
    } else {
        json_decref(siblings);
    }
    free(context);
    buffer_release(&encoded);
}

int ctl_get_all(struct ctl *ctl) {
    struct path_row row;
    int status = path_row_find(ctl, ctl->argv[0], &row);
    if (status == 0) {
        status = path_row_read(ctl, &row);
    }
    if (status == 0 && row.row.versions.n_siblings == 0) {
        status = ERR_NO_ENTRY;
    }
    if (status == 0) {
        print_versions(ctl, &row.row.versions);
    }
    path_row_release(&row);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "get", ctl->argv[0], status);
}

/* ---- get --dot ----------------------------------------------------------------------------------
 */

static int print_contents(struct ctl *ctl, const struct record *record) {
    uint8_t *block = memory_new(1, BLOCK_SIZE);
    int status = S_ISREG(record->mode) ? 0 : ERR_NOT_SUPPORTED;
    for (uint64_t at = 0; status == 0 && at < record->size;) {
        uint64_t left = record->size - at;
        size_t size = 0;
        status =
            contents_read(ctl->ns, record, at, block, left < BLOCK_SIZE ? left : BLOCK_SIZE, &size);
        if (status == 0 && fwrite(block, 1, size, stdout) != size) {
            status = ERR_IO;
        }
        at += size;
    }
    free(block);
    return status;
}

int ctl_get_dot(struct ctl *ctl, const char *dot) {
    struct path_row row;
    int status = path_row_find(ctl, ctl->argv[0], &row);
    if (status == 0) {
        status = path_row_read(ctl, &row);
    }
    const struct sibling *sibling = status == 0 ? sibling_of_text(&row.row.versions, dot) : NULL;
    if (sibling != NULL) {
        struct record record = record_of(sibling);
        status = print_contents(ctl, &record);
    } else if (status == 0) {
        status = ERR_NOT_FOUND;
    }
    path_row_release(&row);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "get", ctl->argv[0], status);
}

/* ---- resolve ------------------------------------------------------------------------------------
 */

/* Whether the sibling can go without taking what nobody can reach any more. */
static bool may_go(const struct sibling *sibling, const struct sibling *kept) {
    struct record record = record_of(sibling);
    return sibling == kept || !S_ISDIR(record.mode);
}

static void drop_others(struct ctl *ctl, const struct versions *versions,
                        const struct record *kept) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        struct record record = record_of(&versions->siblings[i]);
        if (kept == NULL || !record_same_contents(&record, kept)) {
            record_drop(ctl, &record);
        }
    }
}

/* What the row is to be: the kept sibling's record, or the shown one's with another value. */
static int resolved_record(struct ctl *ctl, const struct versions *versions,
                           const struct sibling *kept, struct record *ret) {
    const char *value = ctl_option(ctl, "value");
    const struct sibling *from = kept != NULL ? kept : versions_winner(versions);
    struct record borrowed = from != NULL ? record_of(from) : (struct record){0};
    if (kept == NULL && !S_ISREG(borrowed.mode)) {
        return ERR_NOT_SUPPORTED; /* a value is a file's */
    }
    record_copy(&borrowed, ret);
    if (kept == NULL) {
        struct value_source source = value_source_of(value);
        return record_fill(ctl, ret, &source);
    }
    return 0;
}

static int resolve_row(struct ctl *ctl, const struct path_row *row, const struct sibling *kept) {
    const struct versions *versions = &row->row.versions;
    bool deleted = kept != NULL && (kept->flags & SIBLING_TOMBSTONE) != 0;
    struct record record = {0};
    struct buffer seen = {0};
    struct buffer context = {0};
    int status = 0;
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        status = may_go(&versions->siblings[i], kept) ? status : ERR_IS_DIRECTORY;
    }
    if (status == 0 && !deleted) {
        status = resolved_record(ctl, versions, kept, &record);
    }
    if (status == 0) {
        context_encode(&versions->context, &seen);
        struct path_write write = {.condition = ROW_IF_MATCH,
                                   .seen = buffer_bytes(&seen),
                                   .record = deleted ? NULL : &record};
        status = path_row_write(ctl, row, &write, &context);
    }
    if (status == 0) {
        drop_others(ctl, versions, deleted ? NULL : &record);
    }
    record_release(&record);
    buffer_release(&seen);
    buffer_release(&context);
    return status;
}

int ctl_resolve(struct ctl *ctl) {
    const char *keep = ctl_option(ctl, "keep");
    const char *path = ctl->argv[0];
    if ((keep == NULL) == (ctl_option(ctl, "value") == NULL)) {
        return ctl_usage_error("resolve takes either --keep DOT or --value VALUE", "");
    }
    struct path_row row;
    int status = path_row_find(ctl, path, &row);
    if (status == 0) {
        status = path_row_read(ctl, &row);
    }
    if (status == 0 && row.row.versions.n_siblings == 0) {
        status = ERR_NO_ENTRY;
    }
    const struct sibling *kept = NULL;
    if (status == 0 && keep != NULL) {
        kept = sibling_of_text(&row.row.versions, keep);
        status = kept == NULL ? ERR_NOT_FOUND : 0;
    }
    if (status == 0) {
        status = resolve_row(ctl, &row, kept);
    }
    path_row_release(&row);
    return status == 0 ? CTL_DONE : ctl_complain(ctl, "resolve", path, status);
}
