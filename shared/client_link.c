/* client_link: opening, greeting and watching the links; sending under their credit. */
#include "shared/client_link.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* HELLO and PING carry an id that no request has (those begin at CLIENT_REQUESTS_MAX). */
enum { ID_OF_LINK = 1 };

static int64_t now_of(const struct client *client) {
    return client->env->now_ns(client->env->self);
}

void request_list_append(struct request_list *list, struct client_request *request) {
    request->next = NULL;
    request->prev = list->last;
    if (list->last != NULL) {
        list->last->next = request;
    } else {
        list->first = request;
    }
    list->last = request;
}

void request_list_remove(struct request_list *list, struct client_request *request) {
    if (request->prev != NULL) {
        request->prev->next = request->next;
    } else {
        list->first = request->next;
    }
    if (request->next != NULL) {
        request->next->prev = request->prev;
    } else {
        list->last = request->prev;
    }
    request->next = request->prev = NULL;
}

/* ---- sending ---- */

int client_send(struct client *client, int32_t index, struct message *message) {
    const struct env *env = client->env;
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = (uint16_t)index};
    uint64_t now_ns = client_time_ns(client);
    message->ring_version = client->has_ring ? client->ring.version : 0;
    if (message->stamp_ns == 0 && now_ns != 0) {
        message->stamp_ns = hlc_stamp(&client->hlc, now_ns);
    }
    int status = env->send(env->self, &to, message);
    if (status == 0) {
        client->counters.messages_sent++;
    }
    return status;
}

static void ask(struct client *client, int32_t index, uint8_t type) {
    struct message message = {.type = type, .id = ID_OF_LINK, .budget_ms = CLIENT_SILENCE_MS};
    client->links[index].asked_ns = now_of(client);
    client_send(client, index, &message);
}

void link_hello(struct client *client, int32_t index) {
    client->links[index].greeted_ns = now_of(client);
    ask(client, index, MESSAGE_HELLO);
}

uint32_t request_budget_ms(const struct client_request *request, int64_t now) {
    int64_t left = (request->deadline_ns - now + CLIENT_MS - 1) / CLIENT_MS;
    if (left > CLIENT_BUDGET_MAX_MS) {
        return CLIENT_BUDGET_MAX_MS;
    }
    return left > 0 ? (uint32_t)left : 1;
}

/* How much of the nodes' time has passed since the request's stamp: that much, or less by a part of
 * a millisecond. */
static uint32_t age_ms(const struct client *client, const struct client_request *request) {
    uint64_t now_ns = client_time_ns(client);
    uint64_t ns = now_ns > request->stamp_ns ? now_ns - request->stamp_ns : 0;
    uint64_t ms = (ns + (uint64_t)CLIENT_MS - 1) / (uint64_t)CLIENT_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void send_request(struct client *client, int32_t index, struct client_request *request) {
    struct link *link = &client->links[index];
    int64_t now = now_of(client);
    struct message message = {
        .type = request->type,
        .flags = request->flags,
        .id = request->id,
        .budget_ms = request_budget_ms(request, now),
        .key = request->key,
        .payload = request->payload,
    };
    if (request->uncertain) {
        message.flags |= request->type == MESSAGE_BATCH ? MESSAGE_RETRY : 0;
        message.stamp_ns = request->stamp_ns;
        message.age_ms = age_ms(client, request);
    }
    if (client_send(client, index, &message) != 0) {
        request->last_error = ERR_BUSY;
        request_pause(client, request);
        return;
    }
    request->stamp_ns = message.stamp_ns;
    client->counters.retries += request->sent_once;
    request->sent_once = true;
    request->state = REQUEST_SENT;
    request->link = index;
    link->outstanding += request->cost;
    link->n_sent++;
    request_list_append(&link->sent, request);
    int64_t attempt_ends = now + CLIENT_ATTEMPT_MS * CLIENT_MS;
    timers_set(client->timers, &request->timer,
               attempt_ends < request->deadline_ns ? attempt_ends : request->deadline_ns);
}

bool link_fits(const struct link *link, uint32_t cost) {
    return link->outstanding == 0 || link->outstanding + cost <= link->credit;
}

void link_take(struct client *client, int32_t index, struct client_request *request) {
    struct link *link = &client->links[index];
    uint32_t reply =
        request->reply_size > CLIENT_REPLY_SMALL ? request->reply_size : CLIENT_REPLY_SMALL;
    if (reply > MESSAGE_PAYLOAD_MAX) {
        reply = MESSAGE_PAYLOAD_MAX;
    }
    request->cost = reply + MESSAGE_HEADER_SIZE;
    if (link->queued.first == NULL && link_fits(link, request->cost)) {
        send_request(client, index, request);
        return;
    }
    request->state = REQUEST_QUEUED;
    request->link = index;
    request_list_append(&link->queued, request);
    timers_set(client->timers, &request->timer, request->deadline_ns);
}

void link_pump(struct client *client, int32_t index) {
    struct link *link = &client->links[index];
    while (link->alive && link->queued.first != NULL && link_fits(link, link->queued.first->cost)) {
        struct client_request *request = link->queued.first;
        if (now_of(client) >= request->deadline_ns) {
            return; /* its timer is about to end it, and comes here again */
        }
        request_list_remove(&link->queued, request);
        send_request(client, index, request);
    }
}

void request_detach(struct client *client, struct client_request *request) {
    timers_cancel(client->timers, &request->timer);
    struct link *link = request->link >= 0 ? &client->links[request->link] : NULL;
    switch (request->state) {
    case REQUEST_IDLE:
        request_list_remove(&client->idle, request);
        return;
    case REQUEST_READING_ALONE:
        client_quorum_leave(client, request);
        return;
    case REQUEST_QUEUED:
        request_list_remove(&link->queued, request);
        break;
    default:
        assert(request->state == REQUEST_SENT && link->outstanding >= request->cost);
        request_list_remove(&link->sent, request);
        link->outstanding -= request->cost;
        link->n_sent--;
        break;
    }
    int32_t index = request->link;
    request->link = -1;
    if (!client->closing) {
        link_pump(client, index);
    }
}

/* ---- health ---- */

/* Its requests go elsewhere. With `batches_stay` those that may be carried out yet wait for the end
 * of their attempt, as their timers tell: the node may only be slow, and what comes after a second
 * it takes for one that was asked elsewhere too. */
static void link_leave(struct client *client, int32_t index, bool batches_stay) {
    struct link *link = &client->links[index];
    struct client_request *next;
    link->alive = false;
    client_quorum_link_lost(client, index);
    for (struct client_request *request = link->sent.first; request != NULL; request = next) {
        next = request->next;
        if (batches_stay && request->type == MESSAGE_BATCH) {
            continue;
        }
        request->uncertain = true;
        request_detach(client, request);
        request_dispatch(client, request);
    }
    while (link->queued.first != NULL) {
        struct client_request *request = link->queued.first;
        request_detach(client, request);
        request_dispatch(client, request);
    }
    assert(batches_stay || (link->outstanding == 0 && link->n_sent == 0));
}

void link_lost(struct client *client, int32_t index) {
    link_leave(client, index, false);
}

void link_heard(struct client *client, int32_t index) {
    struct link *link = &client->links[index];
    link->heard_ns = now_of(client);
    link->alive = true;
}

static const struct ring_member *member_of(const struct client *client, uint16_t node) {
    int index = client->has_ring ? ring_member_index(&client->ring, node) : -1;
    return index >= 0 ? &client->ring.members[index] : NULL;
}

static void link_begin(struct client *client, struct link *link) {
    link->opened_ns = now_of(client);
    link->greeted = false;
    link->credit = CLIENT_CREDIT_DEFAULT;
}

/* A link that led to its node by another address than the ring's falls back to the ring's. */
static void link_reopen(struct client *client, int32_t index) {
    const struct env *env = client->env;
    struct link *link = &client->links[index];
    const struct ring_member *member = member_of(client, link->node);
    link_begin(client, link);
    client->counters.links_reopened++;
    if (member != NULL && strcmp(member->address, link->address) != 0) {
        memcpy(link->address, member->address, sizeof link->address);
        env->connect(env->self, (uint16_t)index, link->address);
    } else {
        env->reconnect(env->self, (uint16_t)index);
    }
    link_hello(client, index);
}

static void log_lost(const struct client *client, const struct link *link) {
    char line[RING_ADDRESS_MAX + 80];
    snprintf(line, sizeof line, "node %u at %s has been silent for %d ms; asking others",
             (unsigned)link->node, link->address, CLIENT_SILENCE_MS);
    client->env->log(client->env->self, 1, line);
}

static void link_tick(struct client *client, int32_t index, int64_t now) {
    struct link *link = &client->links[index];
    int64_t silent_since = link->heard_ns > link->opened_ns ? link->heard_ns : link->opened_ns;
    int64_t ping_ns = CLIENT_PING_MS * CLIENT_MS;
    if (now - silent_since >= CLIENT_SILENCE_MS * CLIENT_MS) {
        if (link->alive) {
            log_lost(client, link);
            link_leave(client, index, true);
        }
        link_reopen(client, index);
    } else if (now - link->asked_ns < ping_ns) {
        return;
    } else if (!link->alive || !link->greeted) {
        link_hello(client, index);
    } else if (now - link->heard_ns >= ping_ns) {
        ask(client, index, MESSAGE_PING);
    }
}

void links_tick(struct client *client) {
    int64_t now = now_of(client);
    for (uint32_t i = 0; i < client->n_links; i++) {
        if (client->links[i].used) {
            link_tick(client, (int32_t)i, now);
        }
    }
}

/* ---- opening and the ring ---- */

int32_t link_open(struct client *client, const char *address, uint16_t node) {
    uint32_t index = 1;
    while (index < client->n_links && client->links[index].used) {
        index++;
    }
    if (index == CLIENT_LINKS_MAX) {
        return -1;
    }
    if (index == client->n_links) {
        client->n_links++;
    }
    struct link *link = &client->links[index];
    *link = (struct link){.used = true, .node = node};
    snprintf(link->address, sizeof link->address, "%s", address);
    link_begin(client, link);
    client->env->connect(client->env->self, (uint16_t)index, link->address);
    link_hello(client, (int32_t)index);
    return (int32_t)index;
}

static void link_close(struct client *client, int32_t index) {
    link_lost(client, index);
    client->env->disconnect(client->env->self, (uint16_t)index);
    client->links[index].used = false;
}

static int32_t link_of_node(const struct client *client, uint16_t node) {
    for (uint32_t i = 0; i < client->n_links; i++) {
        if (client->links[i].used && client->links[i].node == node) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* A bootstrap link at this address that nobody has answered on yet. */
static int32_t link_unclaimed(const struct client *client, const char *address) {
    for (uint32_t i = 0; i < client->n_links; i++) {
        const struct link *link = &client->links[i];
        if (link->used && link->node == 0 && strcmp(link->address, address) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static int32_t link_for_member(struct client *client, const struct ring_member *member,
                               const struct ring_member *before) {
    int32_t index = link_of_node(client, member->id);
    if (index < 0) {
        index = link_unclaimed(client, member->address);
    }
    if (index < 0) {
        return link_open(client, member->address, member->id);
    }
    client->links[index].node = member->id;
    if (before != NULL && strcmp(before->address, member->address) != 0) {
        link_lost(client, index); /* the node has moved */
        link_reopen(client, index);
    }
    return index;
}

/* Takes the ring over: a link per member, none to nodes that left. */
static void ring_adopt(struct client *client, struct ring *ring) {
    struct ring old = client->ring;
    bool had_ring = client->has_ring;
    client->ring = *ring;
    client->has_ring = true;
    for (uint32_t i = 0; i < RING_MEMBERS_MAX; i++) {
        client->member_link[i] = -1;
    }
    for (uint32_t i = 0; i < client->n_links; i++) {
        const struct link *link = &client->links[i];
        if (link->used && link->node != 0 && ring_member_index(ring, link->node) < 0) {
            link_close(client, (int32_t)i);
        }
    }
    for (uint16_t i = 0; i < client->ring.n_members; i++) {
        const struct ring_member *member = &client->ring.members[i];
        int was = had_ring ? ring_member_index(&old, member->id) : -1;
        client->member_link[i] =
            link_for_member(client, member, was >= 0 ? &old.members[was] : NULL);
    }
    if (had_ring) {
        ring_release(&old);
    }
    requests_ring_changed(client);
}

/* Decides about a ring that came: true when it was taken over (and moved out of `ring`). */
static bool ring_offer(struct client *client, struct ring *ring) {
    if (client->has_ring && ring->seed != client->ring.seed) {
        client->env->log(client->env->self, 0,
                         "two of the addresses given belong to different clusters; the cluster "
                         "that answered first is used");
        return false;
    }
    if (client->has_ring && ring->version <= client->ring.version) {
        return false;
    }
    ring_adopt(client, ring);
    return true;
}

/* Claims the link for the node that answered on it. Of two links to one node the live one that was
 * there first stays. Returns whether `index` is still open. */
static bool link_claim(struct client *client, int32_t index, uint16_t node) {
    struct link *link = &client->links[index];
    int32_t other = link_of_node(client, node);
    if (link->node != 0 || other == index || other < 0) {
        if (link->node == 0) {
            link->node = node;
        }
        return true;
    }
    int32_t loser = client->links[other].alive ? index : other;
    int32_t winner = loser == index ? other : index;
    client->links[winner].node = node;
    int member = client->has_ring ? ring_member_index(&client->ring, node) : -1;
    if (member >= 0) {
        client->member_link[member] = winner;
    }
    link_close(client, loser);
    return loser != index;
}

void link_greeted(struct client *client, int32_t index, const struct message *message) {
    struct hello_reply reply;
    struct ring ring = {0};
    if (message->status != 0) {
        return;
    }
    if (hello_reply_decode(message->payload, &reply) != 0 || ring_decode(reply.ring, &ring) != 0 ||
        ring_member_index(&ring, reply.node) < 0) {
        client->env->log(client->env->self, 1, "a HELLO answer that makes no sense was ignored");
        ring_release(&ring);
        return;
    }
    struct link *link = &client->links[index];
    link->greeted = true;
    link->credit = reply.credit_bytes > 0 ? reply.credit_bytes : CLIENT_CREDIT_DEFAULT;
    link->read_quorum = reply.read_quorum;
    bool known = !client->has_ring || ring.seed == client->ring.seed;
    bool open = !known || link_claim(client, index, reply.node);
    if (!ring_offer(client, &ring)) {
        ring_release(&ring);
    }
    if (open && link->used) {
        link_pump(client, index);
    }
}
