/* options: the command line of ringfs, also as mount(8) and fstab write it. */
#ifndef RINGFS_FS_OPTIONS_H
#define RINGFS_FS_OPTIONS_H

#include <limits.h>
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
    char *source;           /* the first operand as it was given */
    char *addresses;        /* the same without :/PATH */
    const char *mountpoint; /* borrowed from argv */
    bool foreground;
    bool debug;
    bool by_mount; /* called as mount.ringfs, by mount(8) */
    bool fake;     /* by mount(8): all but the mounting */
    bool sloppy;   /* by mount(8): unknown options are ignored */
    /* -o; texts are NULL when not given */
    bool read_only;
    bool allow_other;
    bool hard;
    bool supervised;
    bool relative_atime, strict_atime; /* neither: none is kept */
    int64_t timeout_ns;                /* timeo=SECONDS */
    int64_t attributes_ns;             /* attr_timeout=SECONDS */
    int64_t names_ns;                  /* entry_timeout=SECONDS */
    bool strict;         /* mode=strict: nothing is changed or read without a majority */
    bool hide_conflicts; /* conflicts=hide */
    bool nocto;
    char *locks;      /* "cluster" (and NULL) or "local" */
    bool local_locks; /* the latter */
    int64_t lease_ns; /* lease=SECONDS */
    int64_t sweep_ns; /* sweep=SECONDS; 0 = sweep=off */
    char *subdir;     /* "/" and NULL: the whole tree */
    char *key_file;
    char *log_file; /* NULL = stderr or syslog */
    char *fsname;
    struct buffer kernel; /* options for the kernel's mount, separated by commas, NUL at the end */
    char error[256];
    char directory[PATH_MAX]; /* where relative paths begin: options_resolve() */
};

/* Fills `ret`; release it whatever the answer. argv[0] tells whether mount(8) calls. `is_root`:
 * whether others may use the mount unless told otherwise. */
enum options_answer options_parse(int argc, char *const *argv, bool is_root, struct options *ret);
/* Makes the paths of files absolute, which are relative to `directory`. */
void options_resolve(struct options *options, const char *directory);
void options_release(struct options *options);
/* Appends the text of --help, with a NUL at the end. */
void options_help(struct buffer *into);

#endif
