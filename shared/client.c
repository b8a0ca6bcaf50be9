/* client: the life of a request: submitted, routed, retried, answered once. */
#include "shared/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client_link.h"

static int64_t now_of(const struct client *client) {
    return client->env->now_ns(client->env->self);
}

uint64_t client_time_ns(const struct client *client) {
    if (client->heard_stamp_ns == 0) {
        return 0;
    }
    return client->heard_stamp_ns + (uint64_t)(now_of(client) - client->heard_stamp_at_ns);
}

/* ---- ends ---- */

void request_finish(struct client *client, struct client_request *request, int status,
                    struct bytes payload) {
    request_detach(client, request);
    uint16_t slot = (uint16_t)(request->id % CLIENT_REQUESTS_MAX);
    assert(client->slots[slot] == request);
    client->slots[slot] = NULL;
    client->free_slots[client->n_free_slots++] = slot;
    client->counters.requests += request->type != MESSAGE_WATCH ? 1 : 0;
    request->done(request, status, payload); /* may free the request, may submit others */
}

/* What is told at the deadline. */
static int request_verdict(const struct client_request *request) {
    if (!request->sent_once) {
        return ERR_TIMEOUT;
    }
    if (request->type == MESSAGE_BATCH) {
        if (request->state == REQUEST_SENT || request->uncertain) {
            return ERR_UNKNOWN;
        }
        bool refused = request->last_error == ERR_WRONG_RING || request->last_error == ERR_CLOSED;
        return refused ? ERR_UNAVAILABLE : request->last_error;
    }
    switch (request->last_error) {
    case ERR_UNAVAILABLE:
    case ERR_BUSY:
    case ERR_DISK:
    case ERR_CORRUPT:
        return request->last_error;
    default:
        return ERR_TIMEOUT;
    }
}

/* ---- routing ---- */

static bool link_alive(const struct client *client, int32_t index) {
    return index >= 0 && client->links[index].used && client->links[index].alive;
}

static int32_t any_live_link(const struct client *client) {
    for (uint32_t i = 0; i < client->n_links; i++) {
        if (link_alive(client, (int32_t)i)) {
            return (int32_t)i;
        }
    }
    return -1;
}

/* The one node that was asked for, once per round. */
static int32_t choose_node(const struct client *client, struct client_request *request) {
    int member = ring_member_index(&client->ring, request->node);
    int32_t index = member >= 0 ? client->member_link[member] : -1;
    if (request->attempt > 0 || !link_alive(client, index)) {
        return -1;
    }
    request->attempt = 1;
    return index;
}

/* The next live replica of this round; when none is alive, once, any node that can pass it on. */
static int32_t choose_replica(const struct client *client, struct client_request *request) {
    const struct ring *ring = &client->ring;
    const uint16_t *preference = ring_preference(ring, ring_slice(ring, request->key));
    uint16_t first = request->attempt;
    for (uint16_t i = first; i < ring->n_replicas_held; i++) {
        int32_t index = client->member_link[preference[i]];
        if (link_alive(client, index)) {
            request->attempt = (uint16_t)(i + 1);
            return index;
        }
    }
    request->attempt = ring->n_replicas_held;
    return first == 0 ? any_live_link(client) : -1;
}

static int32_t choose(const struct client *client, struct client_request *request) {
    if (!client->has_ring) {
        return -1;
    }
    if (request->node != 0) {
        return choose_node(client, request);
    }
    if (request->type == MESSAGE_STATS) {
        return request->attempt++ == 0 ? any_live_link(client) : -1;
    }
    return choose_replica(client, request);
}

static void request_rest(struct client *client, struct client_request *request, int64_t until_ns) {
    request->state = REQUEST_IDLE;
    request->link = -1;
    request_list_append(&client->idle, request);
    timers_set(client->timers, &request->timer,
               until_ns < request->deadline_ns ? until_ns : request->deadline_ns);
}

void request_pause(struct client *client, struct client_request *request) {
    request_rest(client, request, now_of(client) + CLIENT_RETRY_MS * CLIENT_MS);
}

void request_dispatch(struct client *client, struct client_request *request) {
    bool over = client->closing || now_of(client) >= request->deadline_ns;
    int32_t index = over ? -1 : choose(client, request);
    if (index >= 0) {
        link_take(client, index, request);
        return;
    }
    if (request->sent_once && request->n_rounds < UINT16_MAX) {
        request->n_rounds++;
    }
    request->attempt = 0;
    request_pause(client, request);
}

void requests_ring_changed(struct client *client) {
    struct request_list waiting = client->idle;
    client->idle = (struct request_list){0};
    while (waiting.first != NULL) {
        struct client_request *request = waiting.first;
        request_list_remove(&waiting, request);
        timers_cancel(client->timers, &request->timer);
        request->attempt = 0;
        request_dispatch(client, request);
    }
}

static void note_silence(const struct client *client, struct client_request *request) {
    if (request->state == REQUEST_SENT && request->missed.needed == 0) {
        shortfall_add(&request->missed, client->links[request->link].node);
    }
}

/* It could not even be sent: whoever is silent is missing. */
static void note_unsent(const struct client *client, struct client_request *request) {
    bool told = request->missed.needed != 0 || request->missed.n_silent != 0;
    for (uint32_t i = 0; i < client->n_links && !told; i++) {
        const struct link *link = &client->links[i];
        if (link->used && link->node != 0 && !link->alive) {
            shortfall_add(&request->missed, link->node);
        }
    }
}

static void note_unanswered(const struct client *client, struct client_request *request) {
    if (request->state == REQUEST_READING_ALONE) {
        client_quorum_silent(client, request);
    }
    note_silence(client, request);
    note_unsent(client, request);
}

/* The deadline, the end of an attempt, or the end of a pause. */
static void request_timer(void *context) {
    struct client_request *request = context;
    struct client *client = request->client;
    if (now_of(client) >= request->deadline_ns) {
        note_unanswered(client, request);
        request_finish(client, request, request_verdict(request), (struct bytes){0});
        return;
    }
    if (request->state == REQUEST_READING_ALONE) {
        client_quorum_late(client, request);
        return;
    }
    request->uncertain |= request->state == REQUEST_SENT;
    note_silence(client, request);
    request_detach(client, request);
    request_dispatch(client, request);
}

/* ---- answers ---- */

enum answer {
    ANSWER_FINAL,
    ANSWER_NEXT,       /* another replica may do better */
    ANSWER_LATER,      /* so may this one, after a pause */
    ANSWER_ONCE_AROUND /* this node's own trouble: final when every replica has it */
};

static enum answer answer_of(int status) {
    switch (status) {
    case ERR_UNAVAILABLE:
    case ERR_WRONG_RING:
    case ERR_TIMEOUT:
    case ERR_CLOSED:
    case ERR_UNKNOWN:
        return ANSWER_NEXT;
    case ERR_BUSY:
        return ANSWER_LATER;
    case ERR_DISK:
    case ERR_CORRUPT:
    case ERR_NO_MEMORY:
    case ERR_NO_SPACE:
        return ANSWER_ONCE_AROUND;
    default:
        return ANSWER_FINAL;
    }
}

/* A refusal speaks for this attempt only. Where an earlier one may have been applied (and replaced
 * since, or it would have been recognised by its operation id), nobody knows. */
static int refusal_of(const struct client_request *request, int status) {
    bool tells = status == ERR_CONFLICT || status == ERR_SIBLINGS;
    return tells && request->uncertain ? ERR_UNKNOWN : status;
}

static void request_refused(struct client *client, struct client_request *request, int status,
                            struct bytes payload) {
    enum answer answer = answer_of(status);
    if (answer == ANSWER_FINAL) {
        request_finish(client, request, refusal_of(request, status), payload);
        return;
    }
    if (answer == ANSWER_ONCE_AROUND && request->n_rounds > 0) {
        bool unknown = request->type == MESSAGE_BATCH && request->uncertain;
        request_finish(client, request, unknown ? ERR_UNKNOWN : status, payload);
        return;
    }
    if (status == ERR_UNAVAILABLE || status == ERR_UNKNOWN) {
        shortfall_decode(payload, &request->missed);
    }
    request->last_error = status;
    request->uncertain |= status == ERR_UNKNOWN || status == ERR_TIMEOUT;
    if (status == ERR_WRONG_RING) {
        link_hello(client, request->link);
    }
    request_detach(client, request);
    if (answer == ANSWER_LATER) {
        request_pause(client, request);
    } else {
        request_dispatch(client, request);
    }
}

static void reply_received(struct client *client, int32_t index, const struct message *message) {
    struct client_request *request = client->slots[message->id % CLIENT_REQUESTS_MAX];
    if (request == NULL || request->id != message->id ||
        message->type != (request->type | MESSAGE_REPLY)) {
        return; /* late or doubled */
    }
    int status = -(int)message->status;
    if (request->state == REQUEST_READING_ALONE) {
        client_quorum_heard(client, request, index, message);
    } else if (status == 0) {
        request_finish(client, request, 0, message->payload);
    } else if (request->state == REQUEST_SENT && request->link == index) {
        request_refused(client, request, status, message->payload);
    }
}

void client_receive(struct client *client, const struct endpoint *from,
                    const struct message *message) {
    int32_t index = from->node;
    if ((uint32_t)index >= client->n_links || !client->links[index].used) {
        return;
    }
    client->counters.messages_received++;
    if (message->stamp_ns > client_time_ns(client)) {
        client->heard_stamp_ns = message->stamp_ns;
        client->heard_stamp_at_ns = now_of(client);
    }
    link_heard(client, index);
    if (message->type == (MESSAGE_HELLO | MESSAGE_REPLY)) {
        link_greeted(client, index, message);
        return;
    }
    struct link *link = &client->links[index];
    bool newer = client->has_ring && message->ring_version > client->ring.version;
    if (newer && now_of(client) - link->greeted_ns >= CLIENT_RETRY_MS * CLIENT_MS) {
        link_hello(client, index);
    }
    reply_received(client, index, message);
}

void client_link_down(struct client *client, uint16_t link) {
    if (link < client->n_links && client->links[link].used) {
        link_lost(client, link);
    }
}

/* ---- what callers call ---- */

static void client_tick(void *context) {
    struct client *client = context;
    timers_set(client->timers, &client->tick, now_of(client) + CLIENT_TICK_MS * CLIENT_MS);
    links_tick(client);
}

static bool address_known(const struct client *client, const char *address) {
    for (uint32_t i = 0; i < client->n_links; i++) {
        if (strcmp(client->links[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

int client_new(const struct client_config *config, const struct env *env, struct timers *timers,
               struct client **ret) {
    if (config->n_addresses == 0 || config->n_addresses > CLIENT_ADDRESSES_MAX) {
        return ERR_INVALID;
    }
    for (uint16_t i = 0; i < config->n_addresses; i++) {
        size_t size = strlen(config->addresses[i]);
        if (size == 0 || size >= RING_ADDRESS_MAX) {
            return ERR_INVALID;
        }
    }
    struct client *client = memory_new(1, sizeof *client);
    client->env = env;
    client->timers = timers;
    client->n_links = 1;
    client->coordinated_reads = config->coordinated_reads;
    client->writer = env->random(env->self);
    client->generation = 1 + env->random(env->self) % (UINT64_C(1) << 40);
    for (uint32_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
        client->free_slots[i] = (uint16_t)(CLIENT_REQUESTS_MAX - 1 - i);
    }
    client->n_free_slots = CLIENT_REQUESTS_MAX;
    client->tick = (struct timer){.fire = client_tick, .context = client};
    timers_set(timers, &client->tick, now_of(client) + CLIENT_TICK_MS * CLIENT_MS);
    for (uint16_t i = 0; i < config->n_addresses; i++) {
        if (!address_known(client, config->addresses[i])) {
            link_open(client, config->addresses[i], 0);
        }
    }
    *ret = client;
    return 0;
}

void client_free(struct client *client) {
    if (client == NULL) {
        return;
    }
    client->closing = true;
    for (uint32_t i = 0; i < CLIENT_REQUESTS_MAX; i++) {
        if (client->slots[i] != NULL) {
            request_finish(client, client->slots[i], ERR_CLOSED, (struct bytes){0});
        }
    }
    for (uint32_t i = 0; i < client->n_links; i++) {
        if (client->links[i].used) {
            client->env->disconnect(client->env->self, (uint16_t)i);
        }
    }
    timers_cancel(client->timers, &client->tick);
    if (client->has_ring) {
        ring_release(&client->ring);
    }
    free(client);
}

static int request_check(const struct client *client, const struct client_request *request) {
    switch (request->type) {
    case MESSAGE_GET:
    case MESSAGE_BATCH:
    case MESSAGE_SCAN:
        if (request->key.size == 0) {
            return ERR_INVALID;
        }
        break;
    case MESSAGE_STATS:
    case MESSAGE_HINTS:
        break;
    case MESSAGE_WATCH:
    case MESSAGE_SYNC:
    case MESSAGE_REPAIR_CONTROL:
    case MESSAGE_TREE:
    case MESSAGE_LEAF:
    case MESSAGE_PARTITIONS:
        if (request->node == 0) {
            return ERR_INVALID;
        }
        break;
    default:
        return ERR_INVALID;
    }
    if (request->key.size > PARTITION_KEY_MAX || request->payload.size > MESSAGE_PAYLOAD_MAX) {
        return ERR_TOO_BIG;
    }
    if (client->closing) {
        return ERR_CLOSED;
    }
    return client->n_free_slots == 0 ? ERR_BUSY : 0;
}

void request_renew_id(struct client *client, struct client_request *request) {
    uint64_t slot = request->id % CLIENT_REQUESTS_MAX;
    request->id = client->generation++ * CLIENT_REQUESTS_MAX + slot;
}

int client_submit(struct client *client, struct client_request *request) {
    assert(request->done != NULL);
    int status = request_check(client, request);
    if (status != 0) {
        return status;
    }
    uint16_t slot = client->free_slots[--client->n_free_slots];
    client->slots[slot] = request;
    request->client = client;
    request->id = client->generation++ * CLIENT_REQUESTS_MAX + slot;
    request->timer = (struct timer){.fire = request_timer, .context = request};
    request->link = -1;
    request->attempt = request->n_rounds = 0;
    request->sent_once = request->uncertain = false;
    request->last_error = ERR_TIMEOUT;
    request->missed = (struct shortfall){0};
    request->row = (struct bytes){0};
    request->told = NULL;
    if (!client_quorum_ask(client, request)) {
        request_dispatch(client, request);
    }
    return 0;
}

void client_cancel(struct client *client, struct client_request *request) {
    bool unknown = request->type == MESSAGE_BATCH && request->sent_once;
    request_finish(client, request, unknown ? ERR_UNKNOWN : ERR_INTERRUPTED, (struct bytes){0});
}

const struct ring *client_ring(const struct client *client) {
    return client->has_ring ? &client->ring : NULL;
}

uint32_t client_nodes(const struct client *client, struct client_node *ret, uint32_t max) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < client->n_links; i++) {
        const struct link *link = &client->links[i];
        if (!link->used) {
            continue;
        }
        if (n < max) {
            ret[n] = (struct client_node){.id = link->node,
                                          .alive = link->alive,
                                          .in_flight = link->n_sent,
                                          .heard_ns = link->heard_ns};
            memcpy(ret[n].address, link->address, sizeof ret[n].address);
        }
        n++;
    }
    return n;
}

uint64_t client_writer(const struct client *client) {
    return client->writer;
}

void client_renew_writer(struct client *client) {
    client->writer = client->env->random(client->env->self);
}

bool client_node_alive(const struct client *client, uint16_t node) {
    int member = client->has_ring ? ring_member_index(&client->ring, node) : -1;
    return member >= 0 && link_alive(client, client->member_link[member]);
}

void client_counters(const struct client *client, struct client_counters *ret) {
    *ret = client->counters;
}
