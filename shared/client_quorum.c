/* client_quorum: a row or page read at R replicas at once, each answering for itself. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/client_link.h"

enum leg_state {
    LEG_ASKED = 1,
    LEG_ANSWERED = 2,
    LEG_REFUSED = 3,
};

static int64_t now_of(const struct client *client) {
    return client->env->now_ns(client->env->self);
}

/* ---- asking ---- */

/* The first is asked for the row or page, the others for its digest. */
static uint32_t leg_cost(const struct client_request *request, uint32_t leg) {
    uint32_t size = leg == 0 && request->reply_size > CLIENT_REPLY_SMALL ? request->reply_size
                                                                         : CLIENT_REPLY_SMALL;
    return size + MESSAGE_HEADER_SIZE;
}

static bool leg_possible(const struct client *client, int32_t index, uint32_t cost) {
    const struct link *link = index >= 0 ? &client->links[index] : NULL;
    return link != NULL && link->used && link->alive && link->queued.first == NULL &&
           now_of(client) >= link->avoid_until_ns && link_fits(link, cost);
}

/* Fills request->legs with replicas in the order of the preference list; how many are to be asked,
 * 0 = there are too few. Now and then the last of them is another one than the order says, so that
 * what lags at the replicas behind is found. */
static uint8_t choose_legs(struct client *client, struct client_request *request) {
    const struct ring *ring = &client->ring;
    const uint16_t *preference = ring_preference(ring, ring_slice(ring, request->key));
    uint8_t n = 0, needed = 2;
    bool wide = ++client->n_quorum_reads % CLIENT_WIDE_ONE_IN == 0;
    for (uint16_t i = 0; i < ring->n_replicas_held && (n < needed || wide); i++) {
        int32_t index = client->member_link[preference[i]];
        uint32_t cost = leg_cost(request, n);
        if (!leg_possible(client, index, cost)) {
            continue;
        }
        uint8_t at = n < needed ? n++ : (uint8_t)(needed - 1u);
        request->legs[at] = (struct client_leg){.link = index, .cost = cost, .place = i};
        if (at == 0) {
            needed = client->links[index].read_quorum;
        }
        if (needed < 2 || needed > ring->n_replicas_held) {
            return 0;
        }
    }
    return n == needed ? n : 0;
}

static bool leg_send(struct client *client, struct client_request *request, uint8_t at) {
    struct client_leg *leg = &request->legs[at];
    struct message message = {
        .type = request->type,
        .flags = (uint16_t)(request->flags | MESSAGE_OWN | (at == 0 ? 0 : MESSAGE_DIGEST)),
        .id = request->id,
        .budget_ms = request_budget_ms(request, now_of(client)),
        .key = request->key,
        .payload = request->payload,
    };
    if (client_send(client, leg->link, &message) != 0) {
        return false;
    }
    leg->state = LEG_ASKED;
    client->links[leg->link].outstanding += leg->cost;
    client->links[leg->link].n_sent++;
    return true;
}

static bool wanted(const struct client *client, const struct client_request *request) {
    uint16_t shows = MESSAGE_KEYS_ONLY | MESSAGE_TOMBSTONES;
    bool reads = request->type == MESSAGE_GET
                     ? request->flags == LEVEL_QUORUM
                     : request->type == MESSAGE_SCAN && (request->flags & ~shows) == LEVEL_QUORUM;
    return reads && request->node == 0 && client->has_ring && !client->coordinated_reads &&
           now_of(client) < request->deadline_ns;
}

/* How long its replicas may take. */
static int64_t patience_ns(const struct client_request *request) {
    return (CLIENT_QUORUM_MS + request->reply_size / CLIENT_QUORUM_BYTES_PER_MS) * CLIENT_MS;
}

bool client_quorum_ask(struct client *client, struct client_request *request) {
    request->n_legs = wanted(client, request) ? choose_legs(client, request) : 0;
    if (request->n_legs == 0) {
        return false;
    }
    request->state = REQUEST_READING_ALONE;
    request_list_append(&client->quorum_reads, request);
    for (uint8_t i = 0; i < request->n_legs; i++) {
        if (!leg_send(client, request, i)) {
            request_detach(client, request);
            return false;
        }
    }
    int64_t ends_ns = now_of(client) + patience_ns(request);
    timers_set(client->timers, &request->timer,
               ends_ns < request->deadline_ns ? ends_ns : request->deadline_ns);
    return true;
}

/* ---- the ends ---- */

static void leg_settle(struct client *client, struct client_leg *leg, enum leg_state state) {
    struct link *link = &client->links[leg->link];
    if (leg->state == LEG_ASKED) {
        assert(link->outstanding >= leg->cost && link->n_sent > 0);
        link->outstanding -= leg->cost;
        link->n_sent--;
    }
    leg->state = (uint8_t)state;
}

void client_quorum_leave(struct client *client, struct client_request *request) {
    request_list_remove(&client->quorum_reads, request);
    for (uint8_t i = 0; i < request->n_legs; i++) {
        leg_settle(client, &request->legs[i], (enum leg_state)request->legs[i].state);
    }
    free((void *)(uintptr_t)request->row.data);
    request->row = (struct bytes){0};
    request_renew_id(client, request);
    for (uint8_t i = 0; i < request->n_legs && !client->closing; i++) {
        link_pump(client, request->legs[i].link);
    }
}

/* To a replica that answered, so that the one which coordinates is one of those that differ, and
 * not one that is stuck. */
static void fall_back(struct client *client, struct client_request *request) {
    client->counters.quorum_fallbacks++;
    for (uint8_t i = 0; i < request->n_legs; i++) {
        if (request->legs[i].state == LEG_ANSWERED) {
            request->attempt = request->legs[i].place;
        }
    }
    request_detach(client, request);
    request_dispatch(client, request);
}

/* It is left out of such reads for a while. */
static void leg_avoid(struct client *client, const struct client_leg *leg) {
    client->links[leg->link].avoid_until_ns = now_of(client) + CLIENT_AVOID_MS * CLIENT_MS;
}

void client_quorum_late(struct client *client, struct client_request *request) {
    for (uint8_t i = 0; i < request->n_legs; i++) {
        if (request->legs[i].state == LEG_ASKED) {
            leg_avoid(client, &request->legs[i]);
        }
    }
    fall_back(client, request);
}

void client_quorum_silent(const struct client *client, struct client_request *request) {
    for (uint8_t i = 0; i < request->n_legs; i++) {
        if (request->legs[i].state == LEG_ASKED) {
            shortfall_add(&request->missed, client->links[request->legs[i].link].node);
        }
    }
}

void client_quorum_link_lost(struct client *client, int32_t index) {
    struct client_request *next;
    for (struct client_request *r = client->quorum_reads.first; r != NULL; r = next) {
        next = r->next;
        for (uint8_t i = 0; i < r->n_legs; i++) {
            if (r->legs[i].link == index && r->legs[i].state == LEG_ASKED) {
                fall_back(client, r);
                break;
            }
        }
    }
}

/* ---- answers ---- */

/* What a replica says. */
struct told {
    struct tally tally;
    uint8_t digest[ROW_DIGEST_SIZE];
};

static int hear_row(struct bytes payload, bool full, struct told *ret) {
    struct get_reply reply;
    int status = get_reply_decode(payload, &reply);
    if (status != 0 || (!full && reply.versions.size != sizeof ret->digest)) {
        return ERR_INVALID;
    }
    ret->tally = reply.tally;
    if (full) {
        row_digest(reply.versions, ret->digest);
    } else {
        memcpy(ret->digest, reply.versions.data, sizeof ret->digest);
    }
    return 0;
}

/* A page is what the client asked to see; its digest is told beside it, and is of more. */
static int hear_page(struct bytes payload, struct told *ret) {
    struct scan_reply reply = {0};
    int status = scan_reply_decode(payload, &reply);
    if (status == 0 && reply.digest.size != sizeof ret->digest) {
        status = ERR_INVALID;
    } else if (status == 0) {
        ret->tally = reply.tally;
        memcpy(ret->digest, reply.digest.data, sizeof ret->digest);
    }
    scan_reply_release(&reply);
    return status;
}

/* All are equal: the answer of the first, which begins with a tally: the latest of those asked. */
static void agreed(struct client *client, struct client_request *request, struct bytes answer) {
    struct bytes held = request->row;
    uint64_t changed_ns = bytes_load_u64(answer.data + sizeof(uint64_t));
    request->row = (struct bytes){0};
    client->counters.quorum_reads++;
    if (changed_ns < request->tally.changed_ns) {
        held = held.data != NULL ? held : bytes_copy(answer);
        uint8_t *tally = (uint8_t *)(uintptr_t)held.data;
        bytes_store_u64(tally, request->tally.n_live);
        bytes_store_u64(tally + sizeof(uint64_t), request->tally.changed_ns);
        answer = held;
    }
    request->told = &held; /* who keeps it leaves nothing there */
    request_finish(client, request, 0, answer);
    free((void *)(uintptr_t)held.data);
}

struct bytes client_keep(struct client_request *request, struct bytes payload) {
    struct bytes *told = request->told;
    if (told == NULL || told->data == NULL || told->data != payload.data) {
        return bytes_copy(payload);
    }
    *told = (struct bytes){0};
    return payload;
}

/* Whether the answer is equal to those before it. */
static bool leg_agrees(struct client_request *request, const struct told *told) {
    bool first = true;
    for (uint8_t i = 0; i < request->n_legs; i++) {
        first = first && request->legs[i].state != LEG_ANSWERED;
    }
    if (first || told->tally.changed_ns > request->tally.changed_ns) {
        request->tally = told->tally;
    }
    if (first) {
        memcpy(request->digest, told->digest, sizeof told->digest);
    }
    return memcmp(request->digest, told->digest, sizeof told->digest) == 0;
}

static uint32_t legs_out(const struct client_request *request) {
    uint32_t n = 0;
    for (uint8_t i = 0; i < request->n_legs; i++) {
        n += request->legs[i].state == LEG_ASKED ? 1 : 0;
    }
    return n;
}

static int leg_hear(const struct client_request *request, bool full, const struct message *message,
                    struct told *ret) {
    if (message->status != 0) {
        return -(int)message->status;
    }
    return request->type == MESSAGE_GET ? hear_row(message->payload, full, ret)
                                        : hear_page(message->payload, ret);
}

static void leg_heard(struct client *client, struct client_request *request, uint8_t at,
                      const struct message *message) {
    struct told told;
    struct client_leg *leg = &request->legs[at];
    if (leg_hear(request, at == 0, message, &told) != 0) {
        leg_settle(client, leg, LEG_REFUSED);
        leg_avoid(client, leg);
        fall_back(client, request);
        return;
    }
    bool agrees = leg_agrees(request, &told);
    leg_settle(client, leg, LEG_ANSWERED);
    if (!agrees) {
        fall_back(client, request);
    } else if (legs_out(request) == 0) {
        agreed(client, request, at == 0 ? message->payload : request->row);
    } else if (at == 0) {
        request->row = bytes_copy(message->payload);
    }
}

void client_quorum_heard(struct client *client, struct client_request *request, int32_t index,
                         const struct message *message) {
    for (uint8_t i = 0; i < request->n_legs; i++) {
        if (request->legs[i].link == index && request->legs[i].state == LEG_ASKED) {
            leg_heard(client, request, i, message);
            return;
        }
    }
}
