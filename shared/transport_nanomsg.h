/* transport_nanomsg: what the files of the nanomsg transport share; for them alone. */
#ifndef RINGFS_SHARED_TRANSPORT_NANOMSG_H
#define RINGFS_SHARED_TRANSPORT_NANOMSG_H

#include "shared/complaints.h"
#include "shared/env_system.h"
#include "shared/err.h"
#include "shared/fence.h"
#include "shared/frame.h"
#include "shared/ring.h"
#include "shared/transport.h"

/* transport_nanomsg.c          life, sockets, listening
 * transport_nanomsg_link.c     to nodes: queues, connections and their loss
 * transport_nanomsg_reply.c    to clients
 * transport_nanomsg_parcel.c   frames, made of messages
 * transport_nanomsg_receive.c  messages, out of frames */

#define MS_NS 1000000ll

enum {
    REQUEST_ID_SIZE = 4, /* in front of a frame from client to node: what raw REQ/REP demands */
    ROUTE_SIZE = 32,     /* of the control that raw REP gives: one header, 8 bytes of path */
    REPLY_BUCKETS = 256,
};

/* A finished frame that waits for its socket. */
struct parcel {
    void *chunk; /* of nn_allocmsg() */
    size_t size;
};

/* A frame that is being filled. */
struct draft {
    struct buffer messages;
    uint32_t count;
};

/* The way to one node: its socket and what waits for it. */
struct link {
    struct transport *transport;
    char address[RING_ADDRESS_MAX]; /* as given */
    uint16_t number;
    int socket;
    int endpoint;
    int send_fd;
    int receive_fd; /* -1: a peer's */
    const struct seal_key *key;
    struct draft draft;
    struct parcel *parcels; /* a ring of `capacity`, the oldest at `first` */
    size_t first, n_parcels, capacity;
    size_t parcels_size;
    bool dirty;   /* on the list of what is flushed at the turn's end */
    bool blocked; /* the socket took no more; send_fd is watched */
    bool connected, told_down;
    uint64_t n_broken, n_refused; /* nanomsg's counters at the last look */
    int64_t used_ns;
    int64_t progress_ns; /* when the socket last took something, or the queue began */
};

/* Answers to one client in one turn. */
struct reply {
    uint8_t route[ROUTE_SIZE];
    struct draft draft;
    struct reply *next_in_bucket;
    struct reply *next;
};

/* A bound socket. */
struct inbox {
    struct transport *transport;
    int socket; /* -1: not bound */
    int fd;
    bool from_clients;
    const struct seal_key *key;
    char path[RING_ADDRESS_MAX]; /* of the ipc socket's file; "" = none */
};

struct transport {
    struct loop *loop;
    struct transport_config config;
    struct seal_key key;
    bool has_key;
    struct fence *fence;
    uint64_t session;
    uint64_t sequence;
    int send_buffer;
    struct link **links; /* by number */
    size_t n_links;
    uint16_t *dirty; /* numbers of links to flush; some may be gone by then */
    size_t n_dirty, dirty_capacity;
    struct link *draining; /* the link whose frames are being delivered; NULL once it is closed */
    struct inbox clients, peers;
    struct reply *buckets[REPLY_BUCKETS];
    struct reply *replies; /* of this turn, newest first */
    struct reply *spare;
    size_t n_spare;
    struct timer poll;
    struct timer turn; /* makes sure that a turn follows what was queued between turns */
    struct complaints complaints;
    struct transport_counters counters;
};

/* Of lines in the log. */
enum cause {
    CAUSE_ALWAYS = 0, /* not limited */
    CAUSE_FRAME,
    CAUSE_CHECKSUM,
    CAUSE_SEAL,
    CAUSE_REPLAY,
    CAUSE_CLOCK,
    CAUSE_MESSAGE,
    CAUSE_SENDER,
    CAUSE_STALL,
    CAUSE_RECEIVE,
    CAUSE_SEND,
};

/* ---- transport_nanomsg.c ---- */

/* One line for the log, at most one in a while per cause and origin. The origin is a node's number;
 * 0 for strangers, who could invent any other. */
__attribute__((format(printf, 5, 6))) void transport_tell(struct transport *transport, int level,
                                                          enum cause cause, uint64_t origin,
                                                          const char *format, ...);
/* A turn of the loop will follow, and flush. */
void transport_turn_needed(struct transport *transport);
/* The key that frames of this address are sealed with; NULL for none. ERR_INVALID, told, when the
 * address is none or there must be a key and is not. */
int transport_address_key(struct transport *transport, const char *address,
                          const struct seal_key **ret);
/* A socket with every option that matters; -1, told, when there is none to be had. */
int transport_socket(struct transport *transport, int domain, int protocol, const char *address);
/* The descriptor that NN_SNDFD or NN_RCVFD is. */
int transport_socket_fd(int socket, int option);

/* ---- transport_nanomsg_link.c ---- */

/* NULL when there is no such link. */
struct link *link_find(const struct transport *transport, uint16_t number);
/* Queues for the turn's end. 0 or ERR_BUSY. */
int link_send(struct link *link, const struct message *message);
/* Hands what is queued to the socket, as far as it takes it. */
void link_flush(struct link *link);
/* The timer that looks after connections. */
void links_poll(void *transport);

/* ---- transport_nanomsg_reply.c ---- */

/* Queues for the turn's end. 0, or ERR_BUSY when nothing is bound. */
int reply_send(struct transport *transport, const uint8_t *route, const struct message *message);
void replies_flush(struct transport *transport);
void replies_release(struct transport *transport);

/* ---- transport_nanomsg_parcel.c ---- */

/* The bytes of a message. */
size_t message_size(const struct message *message);
void draft_add(struct draft *draft, const struct message *message);
/* Whether it should leave before the turn's end. */
bool draft_is_full(const struct draft *draft);
/* Closes the frame, sealed when there is a key, behind `prefix` bytes: 0, or REQUEST_ID_SIZE. The
 * draft is empty afterwards. */
struct parcel parcel_of_draft(struct transport *transport, struct draft *draft,
                              const struct seal_key *key, size_t prefix);
/* A frame of its own for a large message, which is written to its place at once. */
struct parcel parcel_of_message(struct transport *transport, const struct message *message,
                                const struct seal_key *key, size_t prefix);

/* ---- transport_nanomsg_receive.c: ---- */

/* What the loop calls when a socket has frames. */
void link_readable(void *link);
void peers_readable(void *inbox);
void clients_readable(void *inbox);

#endif
