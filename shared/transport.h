/* transport: nanomsg sockets that carry frames of messages between clients and nodes. */
#ifndef RINGFS_SHARED_TRANSPORT_H
#define RINGFS_SHARED_TRANSPORT_H

#include "shared/env.h"
#include "shared/loop.h"

/* transport_nanomsg*.c are the only files that include nanomsg. On the loop's thread. Signals that
 * the loop delivers must be set up before, and no process forks after the first transport was
 * made: nanomsg's thread would be missing in the child.
 *
 * A client opens one raw REQ socket per node, to the node's one bound raw REP; a node opens one
 * PUSH socket per peer, to the peer's one bound PULL. Messages sent in one turn of the loop leave
 * as one frame per endpoint (frame.h), at the turn's end; messages of TRANSPORT_BULK_SIZE and more
 * in a frame of their own. On tcp:// every frame is sealed with the cluster key (seal.h) and fenced
 * against replay.
 *
 * nanomsg's traps and what is done about them: docs/transport.md, one test each in
 * tests/unit/shared/transport_test.c and transport_guard_test.c. */
enum {
    TRANSPORT_FRAME_FLUSH = 256 << 10, /* a frame that has grown this far leaves at once */
    TRANSPORT_BULK_SIZE = 64 << 10,
    TRANSPORT_QUEUE_MAX = 32 << 20,    /* bytes waiting for one endpoint; beyond: ERR_BUSY */
    TRANSPORT_SOCKET_BUFFER = 4 << 20, /* asked for; the kernel's wmem_max may grant less */
    TRANSPORT_STALL_MS = 2000,   /* a link that took nothing for so long: its queue is dropped */
    TRANSPORT_POLL_MS = 50,      /* how often the connections of links in use are looked at */
    TRANSPORT_IDLE_MS = 1000,    /* a link is in use for so long after it was sent to */
    TRANSPORT_RECONNECT_MS = 10, /* pause before a connection is tried again; doubles up to... */
    TRANSPORT_RECONNECT_MAX_MS = 500,
};

struct transport;

enum transport_role {
    TRANSPORT_TO_NODE = 1, /* as a client: raw REQ to its address */
    TRANSPORT_TO_PEER = 2, /* as a node: PUSH to its peer address */
};

struct transport_config {
    enum transport_role role;
    uint16_t self_node;   /* 0 for a client */
    const char *key_file; /* NULL: tcp:// is refused */
    /* A message came. Borrowed for the call. For a client `from.node` is the link's number; for a
     * node it is the sender of a peer's frame, or ENDPOINT_CLIENT with the route for the answer. */
    void (*received)(void *context, const struct endpoint *from, const struct message *message);
    /* The connection behind a link was lost (nanomsg goes on trying; polled every 50 ms while the
     * link has been used within a second). */
    void (*link_down)(void *context, uint16_t link);
    /* One line for the log; level as in env.log. Already rate-limited per cause and origin. */
    void (*log)(void *context, int level, const char *line);
    void *context;
};

/* Borrows the loop. ERR_INVALID with a sentence in the log (key file missing, unreadable, of a mode
 * open to others, of a wrong size). */
int transport_new(struct loop *loop, const struct transport_config *config, struct transport **ret);
/* Closes every socket; what was queued is given one last non-blocking try. */
void transport_free(struct transport *transport);

/* Binds REP at the address and PULL at its peer address, ipc sockets with mode 0600. ERR_IN_USE,
 * ERR_INVALID, ERR_IO; a sentence goes to the log. A stale ipc socket file is replaced. */
int transport_listen(struct transport *transport, const char *address);
/* How many reply bytes a client may have outstanding: what the kernel grants for the send buffer.
 */
uint32_t transport_credit(const struct transport *transport);

/* As in env.h; `link` is the node id (peers) or the client's own number. */
void transport_connect(struct transport *transport, uint16_t link, const char *address);
void transport_reconnect(struct transport *transport, uint16_t link);
void transport_disconnect(struct transport *transport, uint16_t link);
int transport_send(struct transport *transport, const struct endpoint *to,
                   const struct message *message);

struct transport_counters {
    uint64_t frames_in, frames_out, messages_in, messages_out, bytes_in, bytes_out;
    uint64_t frames_bad;     /* wrong magic, size, checksum, seal, replayed */
    uint64_t frames_refused; /* the socket would not take them for too long; dropped */
};
void transport_counters(const struct transport *transport, struct transport_counters *ret);

#endif
