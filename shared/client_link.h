/* client_link: the client's inside: its links to nodes, their credit and their health. */
#ifndef RINGFS_SHARED_CLIENT_LINK_H
#define RINGFS_SHARED_CLIENT_LINK_H

#include "shared/client.h"
#include "shared/hlc.h"

/* Only client.c, client_link.c, client_quorum.c and client_watch.c include this. A request is in
 * exactly one list, by its state:
 *
 *   IDLE    client.idle      waits for the ring, or for its pause to end
 *   QUEUED  link.queued      its node is chosen, its reply does not fit the link's credit yet
 *   SENT    link.sent        an answer, its attempt's end or the deadline comes next
 *   READING_ALONE  client.quorum_reads  out on several links, one for each of its legs */
enum request_state {
    REQUEST_IDLE = 1,
    REQUEST_QUEUED = 2,
    REQUEST_SENT = 3,
    REQUEST_READING_ALONE = 4,
};

/* Links are numbered from 1: to a transport 0 is "no node". */
enum { CLIENT_LINKS_MAX = 1 + CLIENT_NODES_MAX + CLIENT_ADDRESSES_MAX };

#define CLIENT_MS INT64_C(1000000)

struct request_list {
    struct client_request *first, *last;
};

struct link {
    bool used;
    bool alive;    /* heard of, and neither silent nor reported down since */
    bool greeted;  /* answered HELLO since it was opened last */
    uint16_t node; /* 0 = a bootstrap address that has not answered */
    char address[RING_ADDRESS_MAX];
    int64_t opened_ns, heard_ns;
    int64_t asked_ns, greeted_ns; /* the last HELLO or PING, the last HELLO sent */
    uint32_t credit, outstanding; /* bytes of replies */
    uint32_t n_sent;
    uint8_t read_quorum;    /* as HELLO told; 0 = not told */
    int64_t avoid_until_ns; /* no quorum reads of the client's own until then */
    struct request_list queued, sent;
};

struct client {
    const struct env *env;
    struct timers *timers;
    struct timer tick;
    struct hlc hlc; /* of the nodes' time, see client_time_ns() */
    uint64_t heard_stamp_ns;
    int64_t heard_stamp_at_ns;
    bool closing;
    bool has_ring;
    struct ring ring;
    int32_t member_link[RING_MEMBERS_MAX]; /* by index into ring.members */
    struct link links[CLIENT_LINKS_MAX];
    uint32_t n_links; /* places in use, holes included */
    struct request_list idle, quorum_reads;
    uint64_t n_quorum_reads; /* tried */
    bool coordinated_reads;
    struct client_request *slots[CLIENT_REQUESTS_MAX]; /* by the low bits of a request's id */
    uint16_t free_slots[CLIENT_REQUESTS_MAX];
    uint32_t n_free_slots;
    uint64_t generation; /* the high bits of the next request's id */
    struct client_counters counters;
    uint64_t writer; /* what the operation ids of its writes end with */
};

/* ---- client_link.c ---- */
void request_list_append(struct request_list *list, struct client_request *request);
void request_list_remove(struct request_list *list, struct client_request *request);

/* Opens a link and says HELLO. -1 when there is no place for one more. */
int32_t link_open(struct client *client, const char *address, uint16_t node);
/* Looks at every link: greets, pings, opens anew what has been silent. Runs every CLIENT_TICK_MS.
 */
void links_tick(struct client *client);
/* The link no longer counts as alive; its requests move on. */
void link_lost(struct client *client, int32_t index);
/* Anything came: the link is alive. */
void link_heard(struct client *client, int32_t index);
void link_hello(struct client *client, int32_t index);
/* HELLO's answer: who it is, its credit, its ring. */
void link_greeted(struct client *client, int32_t index, const struct message *message);
/* Sends the request on this link, or queues it there until its reply fits. */
void link_take(struct client *client, int32_t index, struct client_request *request);
/* Whether an answer of this cost fits the credit. */
bool link_fits(const struct link *link, uint32_t cost);
/* Credit came back: sends what fits now, in order, unless the link is dead. */
void link_pump(struct client *client, int32_t index);
/* Sends a message with the client's ring and time. 0 or ERR_BUSY. */
int client_send(struct client *client, int32_t index, struct message *message);
/* How long the asker will still wait, as a message tells it; 1 at least. */
uint32_t request_budget_ms(const struct client_request *request, int64_t now_ns);
/* Takes the request off its list and gives its credit back; it is then in no list. */
void request_detach(struct client *client, struct client_request *request);

/* ---- client_quorum.c ---- */
/* Asks R replicas for their own answers. False when the request is not one for that, or it cannot
 * be done now: it is then in no list, and waits for request_dispatch(). */
bool client_quorum_ask(struct client *client, struct client_request *request);
/* An answer to a request in READING_ALONE came on this link. May end the request. */
void client_quorum_heard(struct client *client, struct client_request *request, int32_t index,
                         const struct message *message);
/* Its time for that is up: a node is to coordinate it. */
void client_quorum_late(struct client *client, struct client_request *request);
/* Notes who is still out, for what the request tells at its deadline. */
void client_quorum_silent(const struct client *client, struct client_request *request);
/* A dead link answers no more. */
void client_quorum_link_lost(struct client *client, int32_t index);
/* request_detach() of a request in READING_ALONE. It gets another id: an answer for one replica
 * must not be taken for that of a quorum. */
void client_quorum_leave(struct client *client, struct client_request *request);

/* ---- client.c ---- */
void request_finish(struct client *client, struct client_request *request, int status,
                    struct bytes payload);
/* Another id in the same slot. */
void request_renew_id(struct client *client, struct client_request *request);
/* The nodes' hybrid logical time as far as it was heard: their latest stamp and what has passed
 * since; 0 before any was heard. Never ahead of all nodes, whatever this machine's clock says. */
uint64_t client_time_ns(const struct client *client);
/* Sends a detached request to the next node of its round, or lets it pause. */
void request_dispatch(struct client *client, struct client_request *request);
/* Puts a detached request to rest for CLIENT_RETRY_MS. */
void request_pause(struct client *client, struct client_request *request);
/* The ring is new: what waits may go. */
void requests_ring_changed(struct client *client);

#endif
