/* main: ringnode, one storage node of a ringfs cluster. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "node/node_server.h"

static int bad_options(const char *why) {
    fprintf(stderr, "ringnode: %s\n", why);
    return NODE_EXIT_OPTIONS;
}

static int run(const struct node_options *options) {
    struct node_log *log;
    const char *path = options->log_file[0] ? options->log_file : NULL;
    umask(077);
    if (node_log_new(path, &log)) {
        fprintf(stderr, "ringnode: cannot open the log %s (%s): check --log-file\n", path,
                strerror(errno));
        return NODE_EXIT_OPTIONS;
    }
    enum node_exit code = node_server_run(options, log);
    node_log_free(log);
    return (int)code;
}

int main(int argc, char **argv) {
    static struct node_options options;
    static char why[NODE_OPTIONS_WHY_MAX];
    switch (node_options_parse(argc, argv, &options, why)) {
    case NODE_OPTIONS_HELP:
        node_options_help(stdout);
        return NODE_EXIT_CLEAN;
    case NODE_OPTIONS_VERSION:
        puts("ringnode " RINGFS_VERSION);
        return NODE_EXIT_CLEAN;
    case NODE_OPTIONS_CHECKED:
        puts("ringnode: the options are in order");
        return NODE_EXIT_CLEAN;
    case NODE_OPTIONS_BAD:
        return bad_options(why);
    case NODE_OPTIONS_RUN:
        break;
    }
    return run(&options);
}
