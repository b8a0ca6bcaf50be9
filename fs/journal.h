/* journal: the last operations of a mount and its last failures, in memory, for who looks. */
#ifndef RINGFS_FS_JOURNAL_H
#define RINGFS_FS_JOURNAL_H

#include "fs/inodes.h"

/* Noting costs no allocation and no system call: each operation is noted. Of both lists the oldest
 * goes first. Pure; one thread. */
enum {
    JOURNAL_OPERATIONS = 256,
    JOURNAL_FAILURES = 64,
    JOURNAL_NAME_SIZE = 48,
    JOURNAL_PATH_SIZE = 256,
    JOURNAL_REASON_SIZE = 160,
};

struct journal_operation {
    int64_t wall_ns, took_ns;
    const char *operation;        /* a literal */
    uint64_t ino;                 /* that it is about, or the parent of `name` */
    char name[JOURNAL_NAME_SIZE]; /* cut; empty when there is none */
    int status;
};

struct journal_failure {
    int64_t wall_ns;
    const char *operation;
    char path[JOURNAL_PATH_SIZE]; /* the end of it, if it is longer */
    char reason[JOURNAL_REASON_SIZE];
    int status;
};

struct journal {
    struct journal_operation operations[JOURNAL_OPERATIONS];
    struct journal_failure failures[JOURNAL_FAILURES];
    uint64_t n_operations, n_failures; /* ever */
};

/* `name` may be NULL; both are copied. */
void journal_note(struct journal *journal, const struct journal_operation *operation,
                  const char *name);
/* `reason` may be empty. All is copied. */
void journal_note_failure(struct journal *journal, const struct journal_operation *operation,
                          const char *path, const char *reason);
/* One line each, the latest last: time, operation, status, milliseconds, path. Paths as they are
 * known now. */
void journal_print_operations(const struct journal *journal, const struct inodes *inodes,
                              struct buffer *into);
/* One line each, the latest last: time, operation, status, path, reason. */
void journal_print_failures(const struct journal *journal, struct buffer *into);

/* Appends formatted text, at most 1 KiB of it. */
void text_put(struct buffer *into, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a time of day as 2026-11-21T20:15:58.123Z. */
void text_put_time(struct buffer *into, int64_t wall_ns);
/* Appends a path with what would break a line escaped. */
void text_put_path(struct buffer *into, const char *path);

#endif
