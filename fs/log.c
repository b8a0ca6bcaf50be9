/* log: where the mount says what happens: a file, syslog, or stderr. */
#include "fs/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static void to_file(const struct log *log, const char *level, const char *line) {
    struct timespec now;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
    fprintf(log->file, "%s.%03ldZ %s %s\n", when, now.tv_nsec / 1000000, level, line);
    fflush(log->file);
}

void log_line(const struct log *log, int level, const char *line) {
    static const char *const names[] = {"error", "warning", "info"};
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO};
    level = level < 0 ? 0 : level > 2 ? 2 : level;
    /* Before the mount stands the user reads stderr, but wants to hear of failures only. */
    if (log->file == NULL && log->background && (!log->starting || level == 2)) {
        syslog(priorities[level], "%s", line);
        return;
    }
    if (log->file != NULL) {
        to_file(log, names[level], line);
    }
    if (log->file == NULL || (log->background && log->starting && level == 0)) {
        fprintf(stderr, "ringfs: %s\n", line);
    }
}

void log_say(const struct log *log, int level, const char *format, ...) {
    char line[PATH_MAX + 512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    log_line(log, level, line);
}

int log_open(struct log *log, const char *path) {
    if (path == NULL) {
        return 0;
    }
    FILE *opened = fopen(path, "ae");
    if (opened == NULL) {
        log_say(log, 0, "cannot write %.512s: %s", path, strerror(errno));
        return -1;
    }
    log_close(log);
    log->file = opened;
    return 0;
}

void log_close(struct log *log) {
    if (log->file != NULL) {
        fclose(log->file);
        log->file = NULL;
    }
}
