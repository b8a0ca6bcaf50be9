/* client_link: the client's inside: its links to nodes, their credit and their health. */
#ifndef RINGFS_SHARED_CLIENT_LINK_H
#define RINGFS_SHARED_CLIENT_LINK_H

#include "shared/client.h"
#include "shared/hlc.h"

/* Only client.c, client_link.c and client_watch.c include this. A request is in exactly one list,
 * by its state:
 *
 *   IDLE    client.idle      waits for the ring, or for its pause to end
 *   QUEUED  link.queued      its node is chosen, its reply does not fit the link's credit yet
 *   SENT    link.sent        an answer, its attempt's end or the deadline comes next */
enum request_state {
    REQUEST_IDLE = 1,
    REQUEST_QUEUED = 2,
    REQUEST_SENT = 3,
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
    struct request_list idle;
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
/* Takes the request off its list and gives its credit back; it is then in no list. */
void request_detach(struct client *client, struct client_request *request);

/* ---- client.c ---- */
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
