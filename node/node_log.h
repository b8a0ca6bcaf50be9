/* node_log: the node's log: one line per event, with time and level. */
#ifndef RINGFS_NODE_NODE_LOG_H
#define RINGFS_NODE_NODE_LOG_H

#include <stdint.h>

/* A line: "2026-03-01T12:00:00.123Z warning TEXT", UTC, one write(2) each, so that lines of several
 * processes in one file stay whole. What cannot be written is lost without a word. Errors go to
 * stderr too when the log is a file, for whoever just started the node. One thread. */
enum node_log_level {
    NODE_LOG_ERROR = 0,
    NODE_LOG_WARNING = 1,
    NODE_LOG_INFO = 2,
};
enum { NODE_LOG_LINE_MAX = 8 << 10 }; /* longer lines are cut */

struct node_log;

/* Appends to the file (made with mode 0600), or to stderr when `path` is NULL; copies the path. 0,
 * or ERR_IO with errno set. */
int node_log_new(const char *path, struct node_log **ret);
void node_log_free(struct node_log *log);
/* Opens the file anew, after a log rotation; keeps the old one when that fails (ERR_IO). */
int node_log_reopen(struct node_log *log);

/* Writes one line; control characters become blanks. */
void node_log_line(struct node_log *log, enum node_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As node_log_line, but lines that differ only in their digits count as the same one, told once
 * per minute with how many were left out (complaints.h). For what others can make happen. */
void node_log_limited(struct node_log *log, enum node_log_level level, const char *line,
                      int64_t now_ns);

#endif
