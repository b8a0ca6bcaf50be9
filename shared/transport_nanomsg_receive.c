/* transport_nanomsg_receive: messages, out of frames that were let in. */
#include "shared/transport_nanomsg.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <string.h>

enum { FRAMES_PER_TURN = 32 };

/* Counts a frame that was refused, and says why. `who` is a link's or node's number, 0 for whoever
 * it was. */
static void refuse_frame(struct transport *transport, enum cause cause, uint16_t who,
                         const char *why) {
    transport->counters.frames_bad++;
    if (who == 0) {
        transport_tell(transport, 1, cause, 0, "a frame was refused: %s", why);
    } else {
        transport_tell(transport, 1, cause, who, "a frame from node %u was refused: %s", who, why);
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
                       ret->header.stamp_ns, env_system_wall_ns(NULL))) {
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
        transport_tell(transport, 1, CAUSE_MESSAGE, from->node,
                       "%u malformed messages in a frame were skipped", frame.n_bad);
    }
}

/* The next frame of a socket that knows no routes; NULL when there is none right now. */
static void *socket_receive(struct transport *transport, int socket, size_t *ret_size) {
    void *chunk = NULL;
    int size = nn_recv(socket, &chunk, NN_MSG, NN_DONTWAIT);
    if (size < 0) {
        if (nn_errno() != EAGAIN && nn_errno() != EINTR) {
            transport_tell(transport, 0, CAUSE_RECEIVE, 0, "receiving: %s",
                           nn_strerror(nn_errno()));
        }
        return NULL;
    }
    *ret_size = (size_t)size;
    return chunk;
}

void link_readable(void *context) {
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

void peers_readable(void *context) {
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

void clients_readable(void *context) {
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
