/* transport_nanomsg_link: the way to one node: its queue, its connection, and the loss of it. */
#include "shared/transport_nanomsg.h"

#include <assert.h>
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/address.h"

/* ---- Sending ---- */

static size_t link_prefix(const struct link *link) {
    return link->receive_fd < 0 ? 0 : REQUEST_ID_SIZE;
}

struct link *link_find(const struct transport *transport, uint16_t number) {
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
                transport_tell(transport, 0, CAUSE_SEND, link->number, "sending to node %u: %s",
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

void link_flush(struct link *link) {
    link_close_draft(link);
    if (!link->blocked) {
        link_push(link);
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
    transport_turn_needed(transport);
}

static void poll_start(struct link *link);

int link_send(struct link *link, const struct message *message) {
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

/* ---- Opening and closing ---- */

static int link_open(struct link *link, const char *target) {
    bool to_node = link->transport->config.role == TRANSPORT_TO_NODE;
    link->socket = transport_socket(link->transport, to_node ? AF_SP_RAW : AF_SP,
                                    to_node ? NN_REQ : NN_PUSH, target);
    if (link->socket < 0) {
        return ERR_IO;
    }
    link->endpoint = nn_connect(link->socket, target);
    if (link->endpoint < 0) {
        transport_tell(link->transport, 0, CAUSE_ALWAYS, 0, "%s: %s", target,
                       nn_strerror(nn_errno()));
        nn_close(link->socket);
        return ERR_INVALID;
    }
    link->send_fd = transport_socket_fd(link->socket, NN_SNDFD);
    link->receive_fd = to_node ? transport_socket_fd(link->socket, NN_RCVFD) : -1;
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
    if (transport_address_key(transport, address, &key) != 0) {
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
        transport_tell(transport, 0, CAUSE_SEND, number, "%s: %s", target, nn_strerror(nn_errno()));
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

/* Whether the connection is gone: it was there and is not, or one broke since the last look (which
 * need not have seen it), or something waits and nobody listens. Told once until it is back. */
static bool link_is_lost(struct link *link) {
    uint64_t n_broken = link_statistic(link, NN_STAT_BROKEN_CONNECTIONS);
    uint64_t n_refused = link_statistic(link, NN_STAT_CONNECT_ERRORS);
    bool up = link_statistic(link, NN_STAT_CURRENT_CONNECTIONS) > 0;
    bool lost = (link->connected && !up) || n_broken != link->n_broken;
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
        transport_tell(transport, 1, CAUSE_STALL, number,
                       "node %u at %s takes nothing; %zu frames for it were dropped", number,
                       link->address, link->n_parcels + (link->draft.count > 0));
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

void links_poll(void *context) {
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
