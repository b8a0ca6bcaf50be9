/* read_only: a node whose disk takes no writes says so at once, and reads on. */
#ifndef RINGFS_NODE_CORE_READ_ONLY_H
#define RINGFS_NODE_CORE_READ_ONLY_H

#include "node/core/disk.h"
#include "shared/env.h"
#include "shared/timers.h"

/* When a commit fails with NO_SPACE or DISK the node tries a small one of its own, under the key
 * "mprobe". If that fails too the node is *read-only*: writes are answered at once with what the
 * disk said, without asking it, and requests of clients that write are passed on to a replica that
 * can; reads go on. It tries again every READ_ONLY_PROBE_MS, and is itself again as soon as one
 * succeeds. So one commit that is too large for the space left does not stop the small ones, and
 * nobody has to be told that there is space again.
 *
 * Nodes say it with each heartbeat (PING answered READ_ONLY): others do not count on a read-only
 * replica for writes. */
enum { READ_ONLY_PROBE_MS = 500 };

struct node;

struct read_only {
    int status; /* 0 = writable; else what the disk said */
    bool probing;
    int64_t since_ns;
    uint64_t times; /* it became read-only */
    struct timer timer;
    struct disk_commit commit;
    struct disk_put put;
};

/* Before the node starts. */
void read_only_init(struct node *node);
/* No more probes from now on. */
void read_only_stop(struct node *node);
/* The disk's answer to a commit. */
void read_only_noted(void *node, int status);
/* 0, or NO_SPACE or DISK: what a write is answered. */
int node_read_only(const struct node *node);
/* Whether a member, which may be this node, seems to take writes of the slice. */
bool node_stores(const struct node *node, uint16_t id, uint16_t slice);
/* A client's batch came to a read-only node: passed on, or answered. False when it is not one. */
bool read_only_refuses(struct node *node, const struct endpoint *from,
                       const struct message *message, uint16_t slice);

#endif
