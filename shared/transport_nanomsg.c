/* transport: frames over nanomsg sockets; docs/transport.md says what the sockets do to us. */
#include "shared/transport.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "shared/address.h"
#include "shared/complaints.h"
#include "shared/err.h"
#include "shared/fence.h"
#include "shared/frame.h"

#define MS_NS 1000000ll

enum {
    REQUEST_ID_SIZE = 4, /* in front of a frame from client to node: what raw REQ/REP demands */
    ROUTE_SIZE = 32,     /* of the control that raw REP gives: one header, 8 bytes of path */
    FRAMES_PER_TURN = 32,
    REPLY_BUCKETS = 256,
    REPLIES_SPARE_MAX = 64,
    FILES_WANTED = 65536,
    WMEM_MAX_DEFAULT = 212992, /* the kernel's, where it does not tell */
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

/* ---- The log ---- */

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

/* Who the trouble is with. Strangers all share origin 0: they could invent any other. */
static uint64_t origin_node(uint16_t node) {
    return node;
}

__attribute__((format(printf, 5, 6))) static void tell(struct transport *transport, int level,
                                                       enum cause cause, uint64_t origin,
                                                       const char *format, ...) {
    uint64_t untold = 0;
    if (cause != CAUSE_ALWAYS && !complaints_tell(&transport->complaints, cause, origin,
                                                  loop_now_ns(transport->loop), &untold)) {
        return;
    }
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (untold > 0 && size > 0 && (size_t)size < sizeof(line)) {
        snprintf(line + size, sizeof(line) - (size_t)size, " (%llu more since this was last told)",
                 (unsigned long long)untold);
    }
    transport->config.log(transport->config.context, level, line);
}

static uint64_t wall_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* ---- Frames out of messages ---- */

static size_t message_size(const struct message *message) {
    return MESSAGE_HEADER_SIZE + message->key.size + message->payload.size;
}

/* Makes room for a frame behind a prefix; where its messages go is in *ret_messages. */
static struct parcel parcel_new(size_t messages_size, const struct seal_key *key, size_t prefix,
                                uint8_t **ret_messages) {
    struct parcel parcel = {.size = prefix + frame_size(messages_size, key != NULL)};
    parcel.chunk = nn_allocmsg(parcel.size, 0);
    if (parcel.chunk == NULL) {
        fprintf(stderr, "ringfs: out of memory for a frame of %zu bytes\n", parcel.size);
        exit(1);
    }
    *ret_messages = (uint8_t *)parcel.chunk + prefix + frame_messages_offset(key != NULL);
    return parcel;
}

static void parcel_close(struct transport *transport, struct parcel parcel, uint32_t count,
                         const struct seal_key *key, struct bytes messages) {
    struct frame_header header = {
        .sender = transport->config.self_node,
        .count = (uint16_t)count,
        .session = transport->session,
        .sequence = ++transport->sequence,
        .stamp_ns = key == NULL ? 0 : wall_ns(),
    };
    size_t prefix = parcel.size - frame_size(messages.size, key != NULL);
    if (prefix == REQUEST_ID_SIZE) {
        /* The same for all: answers are told apart by what is in them, and so all frames of a
         * connection give the node one and the same route. */
        memcpy(parcel.chunk, "\x80\0\0\1", REQUEST_ID_SIZE);
    }
    frame_close(&header, key, messages, (uint8_t *)parcel.chunk + prefix);
    transport->counters.messages_out += count;
}

static struct parcel parcel_of_draft(struct transport *transport, struct draft *draft,
                                     const struct seal_key *key, size_t prefix) {
    assert(draft->count > 0 && draft->count <= FRAME_MESSAGES_MAX);
    uint8_t *place;
    struct bytes messages = buffer_bytes(&draft->messages);
    struct parcel parcel = parcel_new(messages.size, key, prefix, &place);
    parcel_close(transport, parcel, draft->count, key, messages);
    buffer_clear(&draft->messages);
    draft->count = 0;
    return parcel;
}

/* A frame of its own for a large message, which is written to its place at once. */
static struct parcel parcel_of_message(struct transport *transport, const struct message *message,
                                       const struct seal_key *key, size_t prefix) {
    uint8_t *place;
    size_t size = message_size(message);
    struct parcel parcel = parcel_new(size, key, prefix, &place);
    struct buffer fixed = {.data = place, .capacity = size};
    message_encode(message, &fixed);
    assert(fixed.data == place && fixed.size == size);
    parcel_close(transport, parcel, 1, key, buffer_bytes(&fixed));
    return parcel;
}

static void draft_add(struct draft *draft, const struct message *message) {
    message_encode(message, &draft->messages);
    draft->count++;
}

static bool draft_is_full(const struct draft *draft) {
    return draft->messages.size >= TRANSPORT_FRAME_FLUSH;
}

/* ---- Sending to nodes ---- */

static size_t link_prefix(const struct link *link) {
    return link->receive_fd < 0 ? 0 : REQUEST_ID_SIZE;
}

static struct link *link_find(const struct transport *transport, uint16_t number) {
    return number < transport->n_links ? transport->links[number] : NULL;
}

static void link_queue(struct link *link, struct parcel parcel) {
    if (link->n_parcels == link->capacity) {
        size_t capacity = link->capacity == 0 ? 16 : link->capacity * 2;
        struct parcel *parcels = memory_new(capacity, sizeof(*parcels));
        for (size_t i = 0; i < link->n_parcels; i++) {
            parcels[i] = link->parcels[(link->first + i) % link->capacity];
        }
        free(link->parcels);
        link->parcels = parcels;
        link->capacity = capacity;
        link->first = 0;
    }
    if (link->n_parcels == 0) {
        link->progress_ns = loop_now_ns(link->transport->loop);
    }
    link->parcels[(link->first + link->n_parcels) % link->capacity] = parcel;
    link->n_parcels++;
    link->parcels_size += parcel.size;
}

static struct parcel link_unqueue(struct link *link) {
    assert(link->n_parcels > 0);
    struct parcel parcel = link->parcels[link->first];
    link->first = (link->first + 1) % link->capacity;
    link->n_parcels--;
    link->parcels_size -= parcel.size;
    return parcel;
}

static void link_close_draft(struct link *link) {
    if (link->draft.count > 0) {
        link_queue(link,
                   parcel_of_draft(link->transport, &link->draft, link->key, link_prefix(link)));
    }
}

/* Drops what waits. */
static void link_drop(struct link *link) {
    link->transport->counters.frames_refused += link->draft.count > 0;
    buffer_clear(&link->draft.messages);
    link->draft.count = 0;
    while (link->n_parcels > 0) {
        nn_freemsg(link_unqueue(link).chunk);
        link->transport->counters.frames_refused++;
    }
}

static void link_unblock(struct link *link) {
    if (link->blocked) {
        loop_unwatch(link->transport->loop, link->send_fd);
        link->blocked = false;
    }
}

static void link_writable(void *context);

/* The socket takes no more: wait until it does. */
static void link_block(struct link *link) {
    if (!link->blocked &&
        loop_watch(link->transport->loop, link->send_fd, link_writable, link) == 0) {
        link->blocked = true;
    }
}

/* Hands frames to the socket until it takes no more. */
static void link_push(struct link *link) {
    struct transport *transport = link->transport;
    while (link->n_parcels > 0) {
        struct parcel *parcel = &link->parcels[link->first];
        if (nn_send(link->socket, &parcel->chunk, NN_MSG, NN_DONTWAIT) < 0) {
            if (nn_errno() == EINTR) {
                continue;
            }
            if (nn_errno() != EAGAIN) {
                tell(transport, 0, CAUSE_SEND, origin_node(link->number), "sending to node %u: %s",
                     link->number, nn_strerror(nn_errno()));
            }
            link_block(link);
            return;
        }
        transport->counters.frames_out++;
        transport->counters.bytes_out += link_unqueue(link).size;
        link->progress_ns = loop_now_ns(transport->loop);
    }
    link_unblock(link);
}

static void link_writable(void *context) {
    link_push(context);
}

static void link_flush(struct link *link) {
    link_close_draft(link);
    if (!link->blocked) {
        link_push(link);
    }
}

static void turn_needed(struct transport *transport) {
    if (!timer_armed(&transport->turn)) {
        timers_set(loop_timers(transport->loop), &transport->turn, loop_now_ns(transport->loop));
    }
}

static void link_mark_dirty(struct link *link) {
    struct transport *transport = link->transport;
    if (link->dirty) {
        return;
    }
    link->dirty = true;
    if (transport->n_dirty == transport->dirty_capacity) {
        transport->dirty_capacity = transport->dirty_capacity * 2 + 16;
        transport->dirty =
            memory_resize(transport->dirty, transport->dirty_capacity * sizeof(uint16_t));
    }
    transport->dirty[transport->n_dirty++] = link->number;
    turn_needed(transport);
}

static void poll_start(struct link *link);

static int link_send(struct link *link, const struct message *message) {
    size_t size = message_size(message);
    if (link->parcels_size + link->draft.messages.size + size > TRANSPORT_QUEUE_MAX) {
        return ERR_BUSY;
    }
    poll_start(link);
    if (size >= TRANSPORT_BULK_SIZE) {
        link_close_draft(link);
        link_queue(link, parcel_of_message(link->transport, message, link->key, link_prefix(link)));
    } else {
        draft_add(&link->draft, message);
    }
    link_mark_dirty(link);
    if (draft_is_full(&link->draft) ||
        (!link->blocked && link->parcels_size >= TRANSPORT_FRAME_FLUSH)) {
        link_flush(link);
    }
    return 0;
}

/* ---- Answers to clients ---- */

static struct reply **reply_bucket(struct transport *transport, const uint8_t *route) {
    /* The path's first four bytes are the connection's key, counted up by nanomsg. */
    return &transport->buckets[route[ROUTE_SIZE - 8 + 3] % REPLY_BUCKETS];
}

static struct reply *reply_find(struct transport *transport, const uint8_t *route) {
    struct reply **bucket = reply_bucket(transport, route);
    for (struct reply *reply = *bucket; reply != NULL; reply = reply->next_in_bucket) {
        if (memcmp(reply->route, route, ROUTE_SIZE) == 0) {
            return reply;
        }
    }
    struct reply *reply = transport->spare;
    if (reply != NULL) {
        transport->spare = reply->next;
        transport->n_spare--;
    } else {
        reply = memory_new(1, sizeof(*reply));
    }
    memcpy(reply->route, route, ROUTE_SIZE);
    reply->next_in_bucket = *bucket;
    *bucket = reply;
    reply->next = transport->replies;
    transport->replies = reply;
    turn_needed(transport);
    return reply;
}

/* Raw REP takes everything and drops without notice what the connection has no room for; the
 * client's credits see to it that there is room. */
static void reply_parcel(struct transport *transport, uint8_t *route, struct parcel parcel) {
    struct nn_iovec part = {.iov_base = &parcel.chunk, .iov_len = NN_MSG};
    struct nn_msghdr header = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = route,
        .msg_controllen = ROUTE_SIZE,
    };
    if (nn_sendmsg(transport->clients.socket, &header, NN_DONTWAIT) < 0) {
        nn_freemsg(parcel.chunk);
        transport->counters.frames_refused++;
        tell(transport, 0, CAUSE_SEND, 0, "answering a client: %s", nn_strerror(nn_errno()));
        return;
    }
    transport->counters.frames_out++;
    transport->counters.bytes_out += parcel.size;
}

static void reply_flush(struct transport *transport, struct reply *reply) {
    if (reply->draft.count > 0) {
        reply_parcel(transport, reply->route,
                     parcel_of_draft(transport, &reply->draft, transport->clients.key, 0));
    }
}

static int reply_send(struct transport *transport, const uint8_t *route,
                      const struct message *message) {
    if (transport->clients.socket < 0) {
        return ERR_BUSY;
    }
    struct reply *reply = reply_find(transport, route);
    if (message_size(message) >= TRANSPORT_BULK_SIZE) {
        reply_flush(transport, reply);
        reply_parcel(transport, reply->route,
                     parcel_of_message(transport, message, transport->clients.key, 0));
        return 0;
    }
    draft_add(&reply->draft, message);
    if (draft_is_full(&reply->draft)) {
        reply_flush(transport, reply);
    }
    return 0;
}

static void reply_free(struct reply *reply) {
    buffer_release(&reply->draft.messages);
    free(reply);
}

static void replies_flush(struct transport *transport) {
    while (transport->replies != NULL) {
        struct reply *reply = transport->replies;
        transport->replies = reply->next;
        *reply_bucket(transport, reply->route) = NULL; /* the whole table empties */
        reply_flush(transport, reply);
        if (transport->n_spare < REPLIES_SPARE_MAX) {
            reply->next = transport->spare;
            transport->spare = reply;
            transport->n_spare++;
        } else {
            reply_free(reply);
        }
    }
}

int transport_send(struct transport *transport, const struct endpoint *to,
                   const struct message *message) {
    if (to->kind == ENDPOINT_CLIENT) {
        return reply_send(transport, to->route, message);
    }
    struct link *link = link_find(transport, to->node);
    return link == NULL ? ERR_BUSY : link_send(link, message);
}

static bool turn_end(void *context) {
    struct transport *transport = context;
    for (size_t i = 0; i < transport->n_dirty; i++) {
        struct link *link = link_find(transport, transport->dirty[i]);
        if (link != NULL && link->dirty) {
            link->dirty = false;
            link_flush(link);
        }
    }
    transport->n_dirty = 0;
    replies_flush(transport);
    timers_cancel(loop_timers(transport->loop), &transport->turn);
    return false;
}

static void turn_fire(void *context) {
    (void)context; /* the hook at the end of this turn does the work */
}

/* ---- Receiving ---- */

/* Counts a frame that was refused, and says why. `who` is a link's or node's number, 0 for whoever
 * it was. */
static void refuse_frame(struct transport *transport, enum cause cause, uint16_t who,
                         const char *why) {
    transport->counters.frames_bad++;
    if (who == 0) {
        tell(transport, 1, cause, 0, "a frame was refused: %s", why);
    } else {
        tell(transport, 1, cause, origin_node(who), "a frame from node %u was refused: %s", who,
             why);
    }
}

static bool frame_is_welcome(struct transport *transport, uint8_t *bytes, size_t size,
                             const struct seal_key *key, uint16_t who, struct frame *ret) {
    switch (frame_open(bytes, size, key, ret)) {
    case 0:
        break;
    case ERR_CORRUPT:
        refuse_frame(transport, CAUSE_CHECKSUM, who, "its checksum does not match");
        return false;
    case ERR_AUTH:
        refuse_frame(transport, CAUSE_SEAL, who,
                     key != NULL ? "it is not sealed with this cluster's key"
                                 : "it is sealed, and this address has no seal");
        return false;
    default:
        refuse_frame(transport, CAUSE_FRAME, who, "it is no frame of ringfs, version 1");
        return false;
    }
    if (key == NULL) {
        return true;
    }
    switch (fence_pass(transport->fence, ret->header.session, ret->header.sequence,
                       ret->header.stamp_ns, wall_ns())) {
    case FENCE_FRESH:
        return true;
    case FENCE_WRONG_TIME:
        refuse_frame(transport, CAUSE_CLOCK, who,
                     "its clock and ours are more than a minute apart");
        return false;
    default:
        refuse_frame(transport, CAUSE_REPLAY, who, "it was sent before");
        return false;
    }
}

/* Delivers the messages of a frame; `from` is complete but for a peer's number. */
static void deliver(struct transport *transport, uint8_t *bytes, size_t size,
                    const struct seal_key *key, struct endpoint *from) {
    struct frame frame;
    bool from_peer = from->kind == ENDPOINT_NODE && from->node == 0;
    if (!frame_is_welcome(transport, bytes, size, key, from->node, &frame)) {
        return;
    }
    if (from_peer) {
        from->node = frame.header.sender;
        if (from->node == 0) {
            refuse_frame(transport, CAUSE_SENDER, 0, "it came as a node's but names no node");
            return;
        }
    }
    transport->counters.frames_in++;
    transport->counters.bytes_in += size;
    struct message message;
    while (frame_next(&frame, &message)) {
        transport->counters.messages_in++;
        transport->config.received(transport->config.context, from, &message);
    }
    if (frame.n_bad > 0) {
        tell(transport, 1, CAUSE_MESSAGE, origin_node(from->node),
             "%u malformed messages in a frame were skipped", frame.n_bad);
    }
}

/* The next frame of a socket that knows no routes; NULL when there is none right now. */
static void *socket_receive(struct transport *transport, int socket, size_t *ret_size) {
    void *chunk = NULL;
    int size = nn_recv(socket, &chunk, NN_MSG, NN_DONTWAIT);
    if (size < 0) {
        if (nn_errno() != EAGAIN && nn_errno() != EINTR) {
            tell(transport, 0, CAUSE_RECEIVE, 0, "receiving: %s", nn_strerror(nn_errno()));
        }
        return NULL;
    }
    *ret_size = (size_t)size;
    return chunk;
}

static void link_readable(void *context) {
    struct link *link = context;
    struct transport *transport = link->transport;
    uint16_t number = link->number;
    transport->draining = link;
    for (int i = 0; i < FRAMES_PER_TURN && transport->draining == link; i++) {
        size_t size = 0;
        void *chunk = socket_receive(transport, link->socket, &size);
        if (chunk == NULL) {
            break;
        }
        struct endpoint from = {.kind = ENDPOINT_NODE, .node = number};
        deliver(transport, chunk, size, link->key, &from);
        nn_freemsg(chunk);
    }
    transport->draining = NULL;
}

static void peers_readable(void *context) {
    struct inbox *inbox = context;
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        size_t size = 0;
        void *chunk = socket_receive(inbox->transport, inbox->socket, &size);
        if (chunk == NULL) {
            break;
        }
        struct endpoint from = {.kind = ENDPOINT_NODE};
        deliver(inbox->transport, chunk, size, inbox->key, &from);
        nn_freemsg(chunk);
    }
}

static void clients_readable(void *context) {
    struct inbox *inbox = context;
    struct transport *transport = inbox->transport;
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        void *chunk = NULL;
        uint8_t control[2 * ROUTE_SIZE] = {0};
        struct nn_iovec part = {.iov_base = &chunk, .iov_len = NN_MSG};
        struct nn_msghdr header = {
            .msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof(control),
        };
        int size = nn_recvmsg(inbox->socket, &header, NN_DONTWAIT);
        if (size < 0) {
            break;
        }
        struct nn_cmsghdr *first = NN_CMSG_FIRSTHDR(&header);
        if (first == NULL || NN_CMSG_SPACE(first->cmsg_len - sizeof(*first)) != ROUTE_SIZE) {
            refuse_frame(transport, CAUSE_FRAME, 0, "it came by a way that is no ringfs client's");
        } else {
            struct endpoint from = {.kind = ENDPOINT_CLIENT};
            memcpy(from.route, control, ROUTE_SIZE);
            deliver(transport, chunk, (size_t)size, inbox->key, &from);
        }
        nn_freemsg(chunk);
    }
}

/* ---- Sockets ---- */

static int read_wmem_max(void) {
    int value = 0;
    FILE *file = fopen("/proc/sys/net/core/wmem_max", "re");
    if (file != NULL) {
        if (fscanf(file, "%d", &value) != 1) {
            value = 0;
        }
        fclose(file);
    }
    return value > 0 ? value : WMEM_MAX_DEFAULT;
}

static void socket_set(int socket, int level, int option, int value) {
    (void)nn_setsockopt(socket, level, option, &value, sizeof(value));
}

/* A socket with every option that matters, or -1. */
static int socket_open(struct transport *transport, int domain, int protocol, const char *address) {
    int socket = nn_socket(domain, protocol);
    if (socket < 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: no socket can be made: %s", address,
             nn_strerror(nn_errno()));
        return -1;
    }
    socket_set(socket, NN_SOL_SOCKET, NN_SNDBUF, transport->send_buffer);
    socket_set(socket, NN_SOL_SOCKET, NN_RCVBUF, TRANSPORT_SOCKET_BUFFER);
    socket_set(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, FRAME_SIZE_MAX + REQUEST_ID_SIZE);
    socket_set(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL, TRANSPORT_RECONNECT_MS);
    socket_set(socket, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, TRANSPORT_RECONNECT_MAX_MS);
    socket_set(socket, NN_TCP, NN_TCP_NODELAY, 1);
    if (strchr(address, '[') != NULL) {
        socket_set(socket, NN_SOL_SOCKET, NN_IPV4ONLY, 0);
    }
    return socket;
}

static int socket_fd(int socket, int option) {
    int fd = -1;
    size_t size = sizeof(fd);
    (void)nn_getsockopt(socket, NN_SOL_SOCKET, option, &fd, &size);
    return fd;
}

/* The key that frames of this address are sealed with; NULL for none. ERR_INVALID when there must
 * be one and is not. */
static int address_key(struct transport *transport, const char *address,
                       const struct seal_key **ret) {
    const char *why;
    if (address_check(address, &why) != 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, why);
        return ERR_INVALID;
    }
    if (address_is_tcp(address) && !transport->has_key) {
        tell(transport, 0, CAUSE_ALWAYS, 0,
             "%s: refused, tcp:// needs the cluster's key file (ringctl keygen makes one)",
             address);
        return ERR_INVALID;
    }
    *ret = address_is_tcp(address) ? &transport->key : NULL;
    return 0;
}

/* ---- Links ---- */

static int link_open(struct link *link, const char *target) {
    bool to_node = link->transport->config.role == TRANSPORT_TO_NODE;
    link->socket = socket_open(link->transport, to_node ? AF_SP_RAW : AF_SP,
                               to_node ? NN_REQ : NN_PUSH, target);
    if (link->socket < 0) {
        return ERR_IO;
    }
    link->endpoint = nn_connect(link->socket, target);
    if (link->endpoint < 0) {
        tell(link->transport, 0, CAUSE_ALWAYS, 0, "%s: %s", target, nn_strerror(nn_errno()));
        nn_close(link->socket);
        return ERR_INVALID;
    }
    link->send_fd = socket_fd(link->socket, NN_SNDFD);
    link->receive_fd = to_node ? socket_fd(link->socket, NN_RCVFD) : -1;
    if (to_node) {
        return loop_watch(link->transport->loop, link->receive_fd, link_readable, link);
    }
    return 0;
}

static void link_target(const struct transport *transport, const char *address,
                        char ret[RING_ADDRESS_MAX]) {
    if (transport->config.role == TRANSPORT_TO_PEER) {
        address_peer(address, ret);
    } else {
        snprintf(ret, RING_ADDRESS_MAX, "%s", address);
    }
}

static void links_reserve(struct transport *transport, uint16_t number) {
    if (number >= transport->n_links) {
        size_t n = (size_t)number + 16;
        transport->links = memory_resize(transport->links, n * sizeof(struct link *));
        memset(transport->links + transport->n_links, 0,
               (n - transport->n_links) * sizeof(struct link *));
        transport->n_links = n;
    }
}

void transport_connect(struct transport *transport, uint16_t number, const char *address) {
    struct link *old = link_find(transport, number);
    if (old != NULL && strcmp(old->address, address) == 0) {
        return;
    }
    transport_disconnect(transport, number);
    const struct seal_key *key;
    if (address_key(transport, address, &key) != 0) {
        return;
    }
    struct link *link = memory_new(1, sizeof(*link));
    *link = (struct link){.transport = transport, .number = number, .key = key};
    snprintf(link->address, sizeof(link->address), "%s", address);
    char target[RING_ADDRESS_MAX];
    link_target(transport, address, target);
    if (link_open(link, target) != 0) {
        free(link);
        return;
    }
    links_reserve(transport, number);
    transport->links[number] = link;
}

/* What waits is kept. nn_shutdown() and a new endpoint heal a zombie connection within a fraction
 * of a second (docs/transport.md). */
void transport_reconnect(struct transport *transport, uint16_t number) {
    struct link *link = link_find(transport, number);
    if (link == NULL) {
        return;
    }
    char target[RING_ADDRESS_MAX];
    link_target(transport, link->address, target);
    if (link->endpoint >= 0) {
        (void)nn_shutdown(link->socket, link->endpoint);
    }
    link->endpoint = nn_connect(link->socket, target);
    link->connected = false;
    link->told_down = false;
    if (link->endpoint < 0) {
        tell(transport, 0, CAUSE_SEND, origin_node(number), "%s: %s", target,
             nn_strerror(nn_errno()));
    }
}

void transport_disconnect(struct transport *transport, uint16_t number) {
    struct link *link = link_find(transport, number);
    if (link == NULL) {
        return;
    }
    link_unblock(link);
    if (link->receive_fd >= 0) {
        loop_unwatch(transport->loop, link->receive_fd);
    }
    link_drop(link);
    nn_close(link->socket);
    if (transport->draining == link) {
        transport->draining = NULL;
    }
    transport->links[number] = NULL;
    buffer_release(&link->draft.messages);
    free(link->parcels);
    free(link);
}

/* ---- Looking after connections: nanomsg has counters, but no event ---- */

static uint64_t link_statistic(const struct link *link, int statistic) {
    return nn_get_statistic(link->socket, statistic);
}

/* Whether the connection is gone: it was there and is not, or was replaced, or something waits and
 * nobody listens. Told once until it is back. */
static bool link_is_lost(struct link *link) {
    uint64_t n_broken = link_statistic(link, NN_STAT_BROKEN_CONNECTIONS);
    uint64_t n_refused = link_statistic(link, NN_STAT_CONNECT_ERRORS);
    bool up = link_statistic(link, NN_STAT_CURRENT_CONNECTIONS) > 0;
    bool lost = link->connected && (!up || n_broken != link->n_broken);
    bool refused = !up && link->n_parcels > 0 && n_refused != link->n_refused;
    bool tell_it = (lost || refused) && !link->told_down;
    link->connected = up;
    link->told_down = !up && (link->told_down || tell_it);
    link->n_broken = n_broken;
    link->n_refused = n_refused;
    return tell_it;
}

/* A socket that has taken nothing for this long has a peer that is stopped, gone, or a zombie. */
static bool link_is_stalled(const struct link *link) {
    return link->n_parcels > 0 &&
           loop_now_ns(link->transport->loop) - link->progress_ns > TRANSPORT_STALL_MS * MS_NS;
}

/* Returns whether the link is still worth looking at. */
static bool link_poll(struct link *link) {
    struct transport *transport = link->transport;
    uint16_t number = link->number;
    bool in_use = link->n_parcels > 0 ||
                  loop_now_ns(transport->loop) - link->used_ns < TRANSPORT_IDLE_MS * MS_NS;
    bool down = link_is_lost(link);
    if (link_is_stalled(link)) {
        tell(transport, 1, CAUSE_STALL, origin_node(number),
             "node %u at %s takes nothing; %zu frames for it were dropped", number, link->address,
             link->n_parcels + (link->draft.count > 0));
        link_drop(link);
        link_unblock(link);
        transport_reconnect(transport, number);
        down = true;
    }
    if (down) {
        transport->config.link_down(transport->config.context, number);
    }
    return in_use;
}

static void poll_fire(void *context) {
    struct transport *transport = context;
    bool again = false;
    for (size_t i = 0; i < transport->n_links; i++) {
        if (transport->links[i] != NULL && link_poll(transport->links[i])) {
            again = true;
        }
    }
    if (again && !timer_armed(&transport->poll)) {
        timers_set(loop_timers(transport->loop), &transport->poll,
                   loop_now_ns(transport->loop) + TRANSPORT_POLL_MS * MS_NS);
    }
}

/* The link is in use: look after it from now on. What broke while nobody looked lost nothing. */
static void poll_start(struct link *link) {
    struct transport *transport = link->transport;
    int64_t now_ns = loop_now_ns(transport->loop);
    if (now_ns - link->used_ns >= TRANSPORT_IDLE_MS * MS_NS) {
        link->n_broken = link_statistic(link, NN_STAT_BROKEN_CONNECTIONS);
        link->n_refused = link_statistic(link, NN_STAT_CONNECT_ERRORS);
    }
    link->used_ns = now_ns;
    if (!timer_armed(&transport->poll)) {
        timers_set(loop_timers(transport->loop), &transport->poll,
                   now_ns + TRANSPORT_POLL_MS * MS_NS);
    }
}

/* ---- Listening ---- */

/* Removes the file of a socket that nobody listens at any more; nanomsg would do so too, but ends
 * the process when it may not. */
static int ipc_make_room(struct transport *transport, const char *path) {
    struct stat status;
    if (lstat(path, &status) != 0) {
        return 0;
    }
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int fd = S_ISSOCK(status.st_mode) ? socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) : -1;
    bool stale = fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    if (!stale) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path,
             S_ISSOCK(status.st_mode) ? "another process listens there"
                                      : "there is a file that is no socket");
        return ERR_IN_USE;
    }
    if (unlink(path) != 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

/* nanomsg binds to numbers and interfaces only; a host's name is looked up here. */
static int tcp_numeric(struct transport *transport, const char *address,
                       char ret[RING_ADDRESS_MAX]) {
    const char *host = address + strlen("tcp://");
    const char *port = strrchr(host, ':');
    char name[RING_ADDRESS_MAX];
    snprintf(name, sizeof(name), "%.*s", (int)(port - host), host);
    if (name[0] == '[') {
        snprintf(ret, RING_ADDRESS_MAX, "%s", address);
        return 0;
    }
    struct addrinfo *found = NULL;
    struct addrinfo want = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    char numeric[64];
    int failed = getaddrinfo(name, NULL, &want, &found);
    if (failed == 0) {
        failed = getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof(numeric), NULL, 0,
                             NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    if (failed != 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, gai_strerror(failed));
        return ERR_INVALID;
    }
    snprintf(ret, RING_ADDRESS_MAX, "tcp://%s%s", numeric, port);
    return 0;
}

static int bind_error(int error) {
    switch (error) {
    case EADDRINUSE:
        return ERR_IN_USE;
    case EINVAL:
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENAMETOOLONG:
        return ERR_INVALID;
    default:
        return ERR_IO;
    }
}

static int inbox_bind(struct inbox *inbox, const char *address) {
    struct transport *transport = inbox->transport;
    char bound[RING_ADDRESS_MAX];
    const char *path = address + strlen("ipc://");
    bool tcp = address_is_tcp(address);
    snprintf(bound, sizeof(bound), "%s", address);
    int err = tcp ? tcp_numeric(transport, address, bound) : ipc_make_room(transport, path);
    if (err != 0) {
        return err;
    }
    inbox->socket = inbox->from_clients ? socket_open(transport, AF_SP_RAW, NN_REP, address)
                                        : socket_open(transport, AF_SP, NN_PULL, address);
    if (inbox->socket < 0) {
        return ERR_IO;
    }
    mode_t mask = umask(0177); /* the socket's file is made with mode 0600 */
    int endpoint = nn_bind(inbox->socket, bound);
    int error = nn_errno();
    umask(mask);
    if (endpoint < 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", address, nn_strerror(error));
        nn_close(inbox->socket);
        inbox->socket = -1;
        return bind_error(error);
    }
    snprintf(inbox->path, sizeof(inbox->path), "%s", tcp ? "" : path);
    inbox->fd = socket_fd(inbox->socket, NN_RCVFD);
    return loop_watch(transport->loop, inbox->fd,
                      inbox->from_clients ? clients_readable : peers_readable, inbox);
}

static void inbox_close(struct inbox *inbox) {
    if (inbox->socket < 0) {
        return;
    }
    loop_unwatch(inbox->transport->loop, inbox->fd);
    if (inbox->path[0] != '\0') {
        unlink(inbox->path); /* while it is ours still: afterwards it may be the next process's */
    }
    nn_close(inbox->socket);
    inbox->socket = -1;
}

int transport_listen(struct transport *transport, const char *address) {
    assert(transport->clients.socket < 0);
    const struct seal_key *key;
    int err = address_key(transport, address, &key);
    if (err != 0) {
        return err;
    }
    char peer[RING_ADDRESS_MAX];
    address_peer(address, peer);
    transport->clients.key = key;
    transport->peers.key = key;
    err = inbox_bind(&transport->clients, address);
    if (err == 0) {
        err = inbox_bind(&transport->peers, peer);
    }
    if (err != 0) {
        inbox_close(&transport->clients);
        inbox_close(&transport->peers);
    }
    return err;
}

uint32_t transport_credit(const struct transport *transport) {
    return (uint32_t)transport->send_buffer;
}

/* ---- Life ---- */

/* nanomsg ends the process when it meets descriptors 0 to 2, and spins when there are none left. */
static void descriptors_prepare(void) {
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2) {
        close(fd);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
        files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int key_load(struct transport *transport) {
    const char *why;
    const char *path = transport->config.key_file;
    if (path == NULL) {
        return 0;
    }
    if (seal_key_read(path, &transport->key, &why) != 0) {
        tell(transport, 0, CAUSE_ALWAYS, 0, "%s: %s", path, why);
        return ERR_INVALID;
    }
    transport->has_key = true;
    transport->fence = memory_new(1, sizeof(*transport->fence));
    fence_init(transport->fence, wall_ns());
    return 0;
}

int transport_new(struct loop *loop, const struct transport_config *config,
                  struct transport **ret) {
    assert(config->received != NULL && config->link_down != NULL && config->log != NULL);
    struct transport *transport = memory_new(1, sizeof(*transport));
    transport->loop = loop;
    transport->config = *config;
    transport->clients = (struct inbox){transport, -1, -1, true, NULL, ""};
    transport->peers = (struct inbox){transport, -1, -1, false, NULL, ""};
    transport->poll = (struct timer){.fire = poll_fire, .context = transport};
    transport->turn = (struct timer){.fire = turn_fire, .context = transport};
    if (key_load(transport) != 0) {
        free(transport);
        return ERR_INVALID;
    }
    descriptors_prepare();
    int wmem_max = read_wmem_max();
    transport->send_buffer =
        wmem_max < TRANSPORT_SOCKET_BUFFER ? wmem_max : TRANSPORT_SOCKET_BUFFER;
    if (getrandom(&transport->session, sizeof(transport->session), 0) !=
        (ssize_t)sizeof(transport->session)) {
        fprintf(stderr, "ringfs: no source of random bytes\n");
        exit(1);
    }
    loop_add_turn_end(loop, turn_end, transport);
    *ret = transport;
    return 0;
}

void transport_free(struct transport *transport) {
    if (transport == NULL) {
        return;
    }
    (void)turn_end(transport);
    loop_remove_turn_end(transport->loop, turn_end, transport);
    for (size_t i = 0; i < transport->n_links; i++) {
        transport_disconnect(transport, (uint16_t)i);
    }
    inbox_close(&transport->clients);
    inbox_close(&transport->peers);
    timers_cancel(loop_timers(transport->loop), &transport->poll);
    timers_cancel(loop_timers(transport->loop), &transport->turn);
    while (transport->spare != NULL) {
        struct reply *reply = transport->spare;
        transport->spare = reply->next;
        reply_free(reply);
    }
    seal_key_release(&transport->key);
    free(transport->fence);
    free(transport->links);
    free(transport->dirty);
    free(transport);
}

void transport_counters(const struct transport *transport, struct transport_counters *ret) {
    *ret = transport->counters;
}
