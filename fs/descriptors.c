/* descriptors: what other processes have open, as /proc has it; proc(5). */
#include "fs/descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STANDARD_MAX = 2, FILE_PATH_MAX = 64, INFO_MAX = 1024 };

static void path_of(uint32_t process, const char *folder, int descriptor, char *ret) {
    snprintf(ret, FILE_PATH_MAX, "/proc/%u/%s/%d", process, folder, descriptor);
}

/* Leaves out, without opening anything, nearly all that is not the file. The name may be followed
 * by " (deleted)". */
static bool is_named(uint32_t process, int descriptor, const char *name) {
    char path[FILE_PATH_MAX], there[PATH_MAX];
    path_of(process, "fd", descriptor, path);
    ssize_t size = readlink(path, there, sizeof there - 1);
    if (size <= 0) {
        return false;
    }
    there[size] = 0;
    const char *last = strrchr(there, '/');
    return last != NULL && strncmp(last + 1, name, strlen(name)) == 0;
}

/* The number in the line that begins with `field`, a newline before it. */
static bool number_in(const char *text, const char *field, int base, uint64_t *ret) {
    const char *line = strstr(text, field);
    char *end;
    if (line == NULL) {
        return false;
    }
    line += strlen(field);
    *ret = strtoull(line, &end, base);
    return end != line;
}

static bool is_written(uint32_t process, int descriptor, uint64_t ino) {
    char path[FILE_PATH_MAX], text[INFO_MAX];
    path_of(process, "fdinfo", descriptor, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) {
        return false;
    }
    text[size] = 0;
    uint64_t flags, there;
    return number_in(text, "\nflags:\t", 8, &flags) && number_in(text, "\nino:\t", 10, &there) &&
           (flags & O_ACCMODE) != O_RDONLY && there == ino;
}

bool descriptors_have(uint32_t process, uint64_t ino, const char *name) {
    for (int i = 0; process != 0 && i <= STANDARD_MAX; i++) {
        if (is_named(process, i, name) && is_written(process, i, ino)) {
            return true;
        }
    }
    return false;
}
