/* journal: the last operations of a mount and its last failures, in memory, for who looks. */
#include "fs/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/err.h"

enum { TEXT_MAX = 1024, PATH_TEXT_MAX = 1024, MILLION = 1000000 };
#define SECOND_NS 1000000000ll

void text_put(struct buffer *into, const char *format, ...) {
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (n > 0) {
        buffer_put(into, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    }
}

void text_put_time(struct buffer *into, int64_t wall_ns) {
    time_t seconds = (time_t)(wall_ns / SECOND_NS);
    struct tm tm;
    char text[32];
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    buffer_put(into, text, n);
    text_put(into, ".%03dZ", (int)(wall_ns % SECOND_NS / MILLION));
}

void text_put_path(struct buffer *into, const char *path) {
    for (; *path != '\0'; path++) {
        unsigned char c = (unsigned char)*path;
        if (c < 0x20 || c == 0x7f || c == '\\') {
            text_put(into, "\\x%02x", c);
        } else {
            buffer_put_u8(into, c);
        }
    }
}

void journal_note(struct journal *journal, const struct journal_operation *operation,
                  const char *name) {
    struct journal_operation *at =
        &journal->operations[journal->n_operations++ % JOURNAL_OPERATIONS];
    *at = *operation;
    snprintf(at->name, sizeof at->name, "%s", name != NULL ? name : "");
}

void journal_note_failure(struct journal *journal, const struct journal_operation *operation,
                          const char *path, const char *reason) {
    struct journal_failure *at = &journal->failures[journal->n_failures++ % JOURNAL_FAILURES];
    size_t size = strlen(path);
    *at = (struct journal_failure){.wall_ns = operation->wall_ns,
                                   .operation = operation->operation,
                                   .status = operation->status};
    path += size < sizeof at->path ? 0 : size - sizeof at->path + 1;
    snprintf(at->path, sizeof at->path, "%s", path);
    snprintf(at->reason, sizeof at->reason, "%s", reason);
}

void journal_print_operations(const struct journal *journal, const struct inodes *inodes,
                              struct buffer *into) {
    uint64_t n = journal->n_operations;
    for (uint64_t i = n < JOURNAL_OPERATIONS ? 0 : n - JOURNAL_OPERATIONS; i < n; i++) {
        const struct journal_operation *at = &journal->operations[i % JOURNAL_OPERATIONS];
        char path[PATH_TEXT_MAX];
        inodes_path(inodes, at->ino, path, sizeof path);
        text_put_time(into, at->wall_ns);
        text_put(into, " %s %s %lld.%03lldms ", at->operation, err_name(at->status),
                 (long long)(at->took_ns / MILLION), (long long)(at->took_ns % MILLION / 1000));
        text_put_path(into, path);
        if (at->name[0] != '\0') {
            text_put(into, "%s", path[1] != '\0' ? "/" : "");
            text_put_path(into, at->name);
        }
        buffer_put_u8(into, '\n');
    }
}

void journal_print_failures(const struct journal *journal, struct buffer *into) {
    uint64_t n = journal->n_failures;
    for (uint64_t i = n < JOURNAL_FAILURES ? 0 : n - JOURNAL_FAILURES; i < n; i++) {
        const struct journal_failure *at = &journal->failures[i % JOURNAL_FAILURES];
        text_put_time(into, at->wall_ns);
        text_put(into, " %s %s ", at->operation, err_name(at->status));
        text_put_path(into, at->path);
        text_put(into, " (%s%s%s)\n", err_text(at->status), at->reason[0] != '\0' ? ": " : "",
                 at->reason);
    }
}
