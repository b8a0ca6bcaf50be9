/* transport_nanomsg_reply: answers to clients, one frame per client and turn. */
#include "shared/transport_nanomsg.h"

#include <assert.h>
#include <nanomsg/nn.h>
#include <stdlib.h>
#include <string.h>

enum { REPLIES_SPARE_MAX = 64 };

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
    transport_turn_needed(transport);
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
        transport_tell(transport, 0, CAUSE_SEND, 0, "answering a client: %s",
                       nn_strerror(nn_errno()));
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

int reply_send(struct transport *transport, const uint8_t *route, const struct message *message) {
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

void replies_flush(struct transport *transport) {
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

void replies_release(struct transport *transport) {
    assert(transport->replies == NULL);
    while (transport->spare != NULL) {
        struct reply *reply = transport->spare;
        transport->spare = reply->next;
        reply_free(reply);
    }
}
