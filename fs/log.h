/* log: where the mount says what happens: a file, syslog, or stderr. */
#ifndef RINGFS_FS_LOG_H
#define RINGFS_FS_LOG_H

#include <stdbool.h>
#include <stdio.h>

/* Zero-initialized: to stderr. One thread. */
struct log {
    FILE *file;      /* NULL: syslog when in the background, stderr before */
    bool background; /* no terminal, or none for long */
    bool starting;   /* somebody waits for the mount to stand and reads stderr: for errors */
};

/* Opens the file, or opens it anew: after it was renamed away. `path` NULL: there is none. -1 when
 * it cannot be written, which is told to the log as it was. */
int log_open(struct log *log, const char *path);
void log_close(struct log *log);
/* One line; level 0 error, 1 warning, 2 info. */
void log_line(const struct log *log, int level, const char *line);
void log_say(const struct log *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
