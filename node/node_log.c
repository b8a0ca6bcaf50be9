/* node_log: see the header. */
#include "node/node_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/bytes.h"
#include "shared/complaints.h"
#include "shared/err.h"

struct node_log {
    char *path; /* NULL = stderr */
    int fd;
    struct complaints complaints;
};

static int file_open(const char *path) {
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
}

int node_log_new(const char *path, struct node_log **ret) {
    int fd = path ? file_open(path) : STDERR_FILENO;
    if (fd < 0) {
        return ERR_IO;
    }
    struct node_log *log = memory_new(1, sizeof *log);
    log->path = path ? strdup(path) : NULL;
    log->fd = fd;
    *ret = log;
    return 0;
}

void node_log_free(struct node_log *log) {
    if (log->path) {
        close(log->fd);
    }
    free(log->path);
    free(log);
}

int node_log_reopen(struct node_log *log) {
    if (!log->path) {
        return 0;
    }
    int fd = file_open(log->path);
    if (fd < 0) {
        return ERR_IO;
    }
    close(log->fd);
    log->fd = fd;
    return 0;
}

static const char *level_name(enum node_log_level level) {
    static const char *const names[] = {"error", "warning", "info"};
    return level <= NODE_LOG_INFO ? names[level] : names[NODE_LOG_INFO];
}

static size_t stamp_put(char *line, size_t size, enum node_log_level level) {
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, size - n, ".%03dZ %s ", (int)(now.tv_nsec / 1000000),
                          level_name(level));
    return n;
}

void node_log_line(struct node_log *log, enum node_log_level level, const char *format, ...) {
    char line[NODE_LOG_LINE_MAX];
    size_t at = stamp_put(line, sizeof line, level);
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(line + at, sizeof line - at - 1, format, arguments);
    va_end(arguments);
    size_t room = sizeof line - at - 2;
    size_t end = at + (n < 0 ? 0 : (size_t)n < room ? (size_t)n : room);
    for (size_t i = at; i < end; i++) {
        line[i] = (unsigned char)line[i] < ' ' ? ' ' : line[i]; /* one event, one line */
    }
    line[end] = '\n';
    ssize_t written = write(log->fd, line, end + 1);
    (void)written; /* there is nowhere left to say it */
    if (level == NODE_LOG_ERROR && log->path) {
        fprintf(stderr, "ringnode: %.*s", (int)(end + 1 - at), line + at);
    }
}

/* FNV-1a of the line without its digits; never 0. */
static uint32_t kind_of(const char *line) {
    uint32_t hash = 2166136261u;
    for (; *line; line++) {
        if (*line < '0' || *line > '9') {
            hash = (hash ^ (uint8_t)*line) * 16777619u;
        }
    }
    return hash ? hash : 1;
}

void node_log_limited(struct node_log *log, enum node_log_level level, const char *line,
                      int64_t now_ns) {
    uint64_t untold = 0;
    if (!complaints_tell(&log->complaints, kind_of(line), 0, now_ns, &untold)) {
        return;
    }
    if (untold) {
        node_log_line(log, level, "%s (and %" PRIu64 " more like it)", line, untold);
    } else {
        node_log_line(log, level, "%s", line);
    }
}
