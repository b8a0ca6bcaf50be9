/* options: the command line of ringfs, also as mount(8) and fstab write it. */
#ifndef RINGFS_FS_OPTIONS_H
#define RINGFS_FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/bytes.h"

enum options_answer {
    OPTIONS_RUN = 0,
    OPTIONS_HELP = 1,
    OPTIONS_VERSION = 2,
    OPTIONS_ERROR = 3, /* a sentence is in `error` */
};

struct options {
    const char *addresses;  /* borrowed from argv */
    const char *mountpoint; /* borrowed from argv */
    bool foreground;
    bool debug;
    bool read_only;
    int64_t timeout_ns;    /* timeo=SECONDS */
    int64_t attributes_ns; /* attr_timeout=SECONDS */
    char *key_file;        /* key_file=PATH; NULL = none */
    char *log_file;        /* log_file=PATH; NULL = stderr or syslog */
    struct buffer kernel;  /* options for the kernel's mount, separated by commas, NUL at the end */
    char error[256];
};

/* Fills `ret`; release it whatever the answer. `is_root`: whether others may use the mount unless
 * told otherwise. */
enum options_answer options_parse(int argc, char *const *argv, bool is_root, struct options *ret);
void options_release(struct options *options);
/* The text of --help. */
extern const char options_help[];

#endif
