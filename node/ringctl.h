/* ringctl: what its commands share: the options given, the session, the namespace. */
#ifndef RINGFS_NODE_RINGCTL_H
#define RINGFS_NODE_RINGCTL_H

#include <jansson.h>
#include <stdbool.h>

#include "shared/namespace.h"
#include "shared/session.h"

/* Exit codes, in the man page too. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_NOT_FOUND = 3,
    CTL_UNREACHABLE = 4, /* no node answers, or too few replicas do */
    CTL_CONFLICT = 5,    /* a condition did not hold; nothing was written */
    CTL_UNKNOWN = 6,     /* sent, and nobody can say whether it was done */
};

enum {
    CTL_OPTIONS_MAX = 16, /* of one command */
};

/* An option of one command, besides those that every command takes. */
struct ctl_option {
    const char *name;
    const char *argument; /* as in a usage line; NULL = a flag */
    const char *help;     /* one line of `ringctl NAME --help` */
    char letter;          /* -l; 0 = none */
};

struct ctl {
    const struct ctl_command *command;
    struct loop *loop;
    struct session *session;
    struct store *store;   /* the session's, at the level that was asked for */
    struct namespace *ns;  /* NULL for commands that need no files */
    const char *addresses; /* as given, for messages */
    const char *key_file;  /* NULL = none */
    int64_t wait_ns;       /* --timeout */
    bool json;
    int argc; /* of the command: argv[0] is the first argument after its name */
    char **argv;
    const char *given[CTL_OPTIONS_MAX]; /* by the command's options; NULL = not given */
};

/* What a command needs before it runs. */
enum ctl_needs {
    CTL_NOTHING,
    CTL_CLUSTER, /* a session that knows the ring */
    CTL_FILES,   /* and the namespace */
};

struct ctl_command {
    const char *name;
    const char *arguments; /* as in a usage line */
    const char *summary;
    const char *help;                 /* the rest of `ringctl NAME --help` */
    const struct ctl_option *options; /* ends with a name of NULL; NULL = has none */
    enum ctl_needs needs;
    int arguments_min, arguments_max;
    /* Runs in a task (CTL_NOTHING: outside of one). Answers an exit code, after saying what went
     * wrong on stderr. */
    int (*run)(struct ctl *ctl);
};

/* What was given for an option of the command's table (asserted to be there): NULL when it was not
 * given, the empty string for a flag that was. */
const char *ctl_option(const struct ctl *ctl, const char *name);
/* The same for a name that may not be in the table: NULL then. */
const char *ctl_option_if_any(const struct ctl *ctl, const char *name);
/* The same as a number from `min` to `max`; `*ret` stays as it is when the option was not given.
 * CTL_DONE, or CTL_USAGE after a sentence on stderr. */
int ctl_option_number(const struct ctl *ctl, const char *name, uint64_t min, uint64_t max,
                      uint64_t *ret);
/* "ringctl: WHAT WHICH; see ringctl --help" on stderr; answers CTL_USAGE. */
int ctl_usage_error(const char *what, const char *which);

/* Opens a session with what was given on the command line and runs the command's task in it, for
 * commands that need nothing and make their own. Answers its exit code. Not from inside a task. */
int ctl_run_session(struct ctl *ctl, enum ctl_needs needs, int (*run)(struct ctl *ctl));

/* Says "ringctl: WHAT PATH: text" with what to do, and answers the exit code for the error. */
int ctl_complain(const struct ctl *ctl, const char *what, const char *path, int err);

/* Calls `each` for every entry of a directory until it answers something else than 0, which is then
 * the answer; the entry is the callee's to change until it returns. Or an error of
 * namespace_list(). May suspend. (ringctl_files.c) */
int ctl_list_each(struct ctl *ctl, const struct id128 *directory,
                  int (*each)(void *context, struct entry *entry), void *context);

/* Prints a value on standard output and takes it: it is released here. */
void ctl_print_json(json_t *value);

/* ringctl_put.c */
int ctl_put(struct ctl *ctl);
int ctl_del(struct ctl *ctl);
/* ringctl_versions.c */
int ctl_get_all(struct ctl *ctl);
int ctl_get_dot(struct ctl *ctl, const char *dot);
int ctl_resolve(struct ctl *ctl);
/* ringctl_files.c */
int ctl_get(struct ctl *ctl);
int ctl_ls(struct ctl *ctl);
int ctl_stat(struct ctl *ctl);
/* ringctl_cluster.c */
int ctl_status(struct ctl *ctl);
int ctl_ring(struct ctl *ctl);
int ctl_where(struct ctl *ctl);
int ctl_keygen(struct ctl *ctl);
/* ringctl_verify.c, ringctl_repair.c */
int ctl_verify(struct ctl *ctl);
int ctl_repair(struct ctl *ctl);
/* ringctl_fsck.c */
int ctl_fsck(struct ctl *ctl);
/* ringctl_hints.c */
int ctl_hints(struct ctl *ctl);
/* ringctl_conflicts.c */
int ctl_conflicts(struct ctl *ctl);
/* ringctl_bench.c */
int ctl_bench(struct ctl *ctl);

#endif
