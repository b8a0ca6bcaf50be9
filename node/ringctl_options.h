/* ringctl_options: the command line: the options of every command, and those of one. */
#ifndef RINGFS_NODE_RINGCTL_OPTIONS_H
#define RINGFS_NODE_RINGCTL_OPTIONS_H

#include "node/ringctl.h"

struct options {
    const char *addresses; /* NULL = none given and none known */
    const char *key_file;
    uint64_t timeout_s;
    bool json;
    bool help;
    bool version;
};

/* Defaults from the environment. */
void options_init(struct options *options);
/* The options ahead of the command. *ret_command is the index of its name in argv, argc when there
 * is none. CTL_DONE, or CTL_USAGE after a sentence on stderr. */
int options_parse(int argc, char **argv, struct options *options, int *ret_command);
/* The options behind the name of a command, argv[0]: its own into ctl->given, the others into
 * `options`; its arguments into ctl->argc and ctl->argv. The answers are the same. */
int options_parse_command(int argc, char **argv, struct options *options, struct ctl *ctl);
/* The addresses that mount.sh left in the user's state directory; NULL when there are none. A
 * static string. */
const char *options_local_cluster(void);

#endif
