/* node_server: a node as a process: the core wired to loop, sockets, disk, clock and log. */
#ifndef RINGFS_NODE_NODE_SERVER_H
#define RINGFS_NODE_NODE_SERVER_H

#include "node/node_log.h"
#include "node/node_options.h"

/* Signals: SIGTERM and SIGINT end it cleanly (what is in flight ends first, within
 * NODE_SERVER_STOP_MS), a second one at once; SIGHUP reopens the log. */
enum {
    NODE_SERVER_STOP_MS = 5000,
    NODE_SERVER_KILL_S = 8, /* after the signal: the kernel ends a process whose disk hangs */
};

/* The program's exit codes (ringnode(1)). */
enum node_exit {
    NODE_EXIT_CLEAN = 0,
    NODE_EXIT_FAILED = 1,
    NODE_EXIT_OPTIONS = 2,
    NODE_EXIT_DATA = 3,
};

/* Serves until told to end or until it cannot go on. Prints one line on stdout once it serves; why
 * it ends is in the log. Call it once, with umask 077, before any other thread exists. */
enum node_exit node_server_run(const struct node_options *options, struct node_log *log);

#endif
