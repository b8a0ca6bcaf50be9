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
};

struct ctl {
    struct session *session;
    struct namespace *ns;  /* NULL for commands that need no files */
    const char *addresses; /* as given, for messages */
    bool json;
    bool detail; /* ls -l */
    int argc;    /* of the command: argv[0] is the first argument after its name */
    char **argv;
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
    const char *help; /* the rest of `ringctl NAME --help` */
    enum ctl_needs needs;
    int arguments_min, arguments_max;
    /* Runs in a task (CTL_NOTHING: outside of one). Answers an exit code, after saying what went
     * wrong on stderr. */
    int (*run)(struct ctl *ctl);
};

/* Says "ringctl: WHAT PATH: text" with what to do, and answers the exit code for the error. */
int ctl_complain(const struct ctl *ctl, const char *what, const char *path, int err);

/* Prints a value on standard output and takes it: it is released here. */
void ctl_print_json(json_t *value);

/* ringctl_files.c */
int ctl_put(struct ctl *ctl);
int ctl_get(struct ctl *ctl);
int ctl_del(struct ctl *ctl);
int ctl_ls(struct ctl *ctl);
int ctl_stat(struct ctl *ctl);
/* ringctl_cluster.c */
int ctl_status(struct ctl *ctl);
int ctl_ring(struct ctl *ctl);
int ctl_where(struct ctl *ctl);
int ctl_keygen(struct ctl *ctl);

#endif
