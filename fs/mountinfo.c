/* mountinfo: reading /proc/self/mountinfo. */
#include "fs/mountinfo.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { READ_AT_ONCE = 4096 };

int mountinfo_open(void) {
    return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
}

bool mountinfo_read(int fd, struct buffer *ret) {
    uint8_t some[READ_AT_ONCE];
    ssize_t n = -1;
    if (fd >= 0 && lseek(fd, 0, SEEK_SET) == 0) {
        while ((n = read(fd, some, sizeof some)) > 0 && ret->size + (size_t)n < MOUNTINFO_MAX) {
            buffer_put(ret, some, (size_t)n);
        }
    }
    buffer_put_u8(ret, '\0');
    return n == 0;
}

/* \040 and the like become what they stand for. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned value;
        if (sscanf(from, "\\%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse(struct mounted *ret) {
    char *line = ret->line;
    unsigned a, b;
    int at = 0;
    int end = 0;
    char *options = strstr(line, " - ");
    bool parsed =
        sscanf(line, "%d %d %u:%u %*s %n%*s%n", &ret->id, &ret->parent, &a, &b, &at, &end) == 4;
    if (!parsed || options == NULL || end <= at) {
        return false;
    }
    ret->device = makedev(a, b);
    ret->type = options + 3;
    line[end] = '\0';
    ret->where = line + at;
    unescape(line + at);
    return true;
}

bool mountinfo_next(const char **at, struct mounted *ret) {
    while (**at != '\0') {
        size_t size = strcspn(*at, "\n");
        snprintf(ret->line, sizeof ret->line, "%.*s", (int)size, *at);
        *at += size + ((*at)[size] == '\n');
        if (parse(ret)) {
            return true;
        }
    }
    return false;
}

bool mountinfo_top(const char *text, const char *path, struct mounted *ret) {
    struct mounted mounted;
    const char *top = NULL;
    for (const char *at = text, *line = text; mountinfo_next(&at, &mounted); line = at) {
        top = strcmp(mounted.where, path) == 0 ? line : top; /* the topmost comes last */
    }
    return top != NULL && mountinfo_next(&top, ret);
}
