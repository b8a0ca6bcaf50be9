/* address: where a node listens, and how the addresses of its sockets derive from one. */
#ifndef RINGFS_SHARED_ADDRESS_H
#define RINGFS_SHARED_ADDRESS_H

#include <stdbool.h>

#include "shared/ring.h"

/* One address names a node: "ipc:///absolute/path" (one host; guarded by the socket's file mode) or
 * "tcp://host:port" (needs the cluster key). Clients connect to it; other nodes to its peer
 * address, which derives from it: "ipc:///absolute/path.peer", "tcp://host:port+1". Pure. */

/* 0, or ERR_INVALID with a sentence saying what is wrong in *ret_why (static string). */
int address_check(const char *address, const char **ret_why);
bool address_is_tcp(const char *address);
/* The peer address of a checked address. */
void address_peer(const char *address, char ret[RING_ADDRESS_MAX]);

/* Parses one member as written on command lines: "ID=ADDRESS[,zone=NAME][,weight=N]"; in lists
 * members are separated by spaces or semicolons. ERR_INVALID with a sentence. */
int member_parse(const char *text, struct ring_member *ret, const char **ret_why);

#endif
