/* client: the ring-aware client of the cluster, as a state machine of requests. */
#ifndef RINGFS_SHARED_CLIENT_H
#define RINGFS_SHARED_CLIENT_H

#include "shared/env.h"
#include "shared/err.h"
#include "shared/request.h"
#include "shared/ring.h"
#include "shared/shortfall.h"
#include "shared/timers.h"

/* Pure: reaches the world through env and timers only; runs in the simulator as it runs in the
 * mount.
 *
 * It begins with the addresses it was given, says HELLO to each until one answers with the ring,
 * and from then on talks to every member (one link per node; of rings the higher version wins). A
 * request goes to the first live replica of its slice; on silence for CLIENT_ATTEMPT_MS, on a link
 * found dead, or on an answer that another replica may better (UNAVAILABLE, WRONG_RING, BUSY,
 * TIMEOUT, CLOSED, UNKNOWN; a failing or full disk once around), to the next one with the same
 * payload (the operation id makes that harmless), round and round until the deadline, pausing
 * CLIENT_RETRY_MS between rounds and after BUSY. When none of the replicas is alive, any live node
 * is asked to pass it on. Exactly one answer per request, by its deadline; a late success of an
 * earlier attempt is as good as the one waited for, other late or doubled answers are ignored.
 *
 * At the deadline: a BATCH that was sent is ERR_UNKNOWN, unless every attempt was answered as not
 * applied (then the last of these answers); a read is what was last answered, else ERR_TIMEOUT.
 *
 * A read of a row or page at quorum asks as many replicas as R says at once for what each has
 * itself (MESSAGE_OWN): the first for the row or page, the others for its digest. When all have the
 * same, that is the answer. When they differ, one refuses or takes longer than CLIENT_QUORUM_MS, it
 * goes on as above: a node coordinates it, and repairs. One that refused or was late is left out of
 * such reads for CLIENT_AVOID_MS; they are not tried when R is 1 or was not told, when too few
 * replicas are alive, or when the answers would have to wait for credit.
 *
 * Credits: nanomsg's raw REP drops replies silently when a connection is full, so at most
 * `credit_bytes` (told in HELLO) of expected replies are outstanding to a node; what does not fit
 * waits here in order (a single larger one goes alone). Heartbeats: PING every CLIENT_PING_MS on a
 * link that says nothing; CLIENT_SILENCE_MS without any message from it and the link is suspect
 * (its requests move on, a BATCH when its attempt is over) and opened anew. */
enum {
    CLIENT_REQUESTS_MAX = 4096, /* in flight or waiting; beyond: ERR_BUSY */
    CLIENT_NODES_MAX = RING_MEMBERS_MAX,
    CLIENT_ADDRESSES_MAX = 64, /* bootstrap addresses */
    CLIENT_ATTEMPT_MS = 1000,
    CLIENT_RETRY_MS = 50,
    CLIENT_TICK_MS = 100, /* how often the links are looked at */
    CLIENT_PING_MS = 300,
    CLIENT_SILENCE_MS = 1200,
    CLIENT_QUORUM_MS = 20, /* for the replicas of a quorum read that are asked at once... */
    CLIENT_QUORUM_BYTES_PER_MS = 16 << 10, /* ...and as much more as a large answer takes */
    CLIENT_AVOID_MS = 1000,  /* one that was later than that is not asked like this for so long */
    CLIENT_WIDE_ONE_IN = 16, /* of such reads one asks another replica than the order says */
    CLIENT_BUDGET_MAX_MS = 60000, /* told to nodes; the caller's deadline may be later */
    CLIENT_REPLY_SMALL = 1 << 10,
    CLIENT_CREDIT_DEFAULT = 64 << 10, /* until a node has told its own */
};

struct client;

/* A replica that is asked for its own answer to a quorum read (client_quorum.c). */
struct client_leg {
    int32_t link;
    uint32_t cost;  /* of the link's credit while it is out */
    uint16_t place; /* in the preference list */
    uint8_t state;
};

/* One request. The caller's memory from client_submit() until `done` was called. */
struct client_request {
    /* set by the caller */
    uint8_t type;         /* GET, BATCH, SCAN, STATS; of one node: SYNC, TREE and others too */
    uint16_t flags;       /* enum message_flags */
    uint16_t node;        /* STATS, or a request for one node only: its id; 0 = by slice */
    struct bytes key;     /* partition key; borrowed until done */
    struct bytes payload; /* borrowed until done */
    uint32_t reply_size;  /* expected at most, for credits; 0 = small (under 1 KiB) */
    int64_t deadline_ns;  /* on env's clock */
    /* Called exactly once, from client_receive(), timers or client_free(); never from
     * client_submit(). `payload` is the reply's, borrowed for the call: see client_keep(). `status`
     * is 0 or an error of err.h. */
    void (*done)(struct client_request *request, int status, struct bytes payload);
    void *context;
    /* the client's own */
    struct client *client;
    uint64_t id;
    struct client_request *next, *prev;
    struct timer timer;
    int32_t link;     /* the link it is queued for or out on; -1 = waiting */
    uint32_t cost;    /* of the link's credit while it is out */
    uint16_t attempt; /* place in the preference list to try next, in this round */
    uint16_t n_rounds;
    uint8_t state;
    bool sent_once;
    bool uncertain;    /* an attempt was given up without knowing what came of it */
    uint64_t stamp_ns; /* of the last attempt, or of the first uncertain one */
    int last_error;
    /* Why the last try fell short, for UNAVAILABLE, UNKNOWN and TIMEOUT: as the node said; without
     * such an answer only who was silent. */
    struct shortfall missed;
    struct client_leg legs[RING_REPLICAS_MAX];
    uint8_t n_legs;
    uint8_t digest[ROW_DIGEST_SIZE]; /* of the row, as the replicas say that answered so far */
    struct tally tally;              /* the latest that they told */
    struct bytes row;                /* owned: the first one's answer, while others are out */
    struct bytes *told; /* during `done`: the answer, when the client owns it; else NULL */
};

struct client_config {
    const char *const *addresses; /* bootstrap; copied */
    uint16_t n_addresses;
    bool coordinated_reads; /* leave quorum reads to the nodes */
};

/* What a mount or ringctl wants to know of one node. */
struct client_node {
    uint16_t id; /* 0 while unknown (a bootstrap address that has not answered) */
    bool alive;  /* heard of within CLIENT_SILENCE_MS */
    char address[RING_ADDRESS_MAX];
    uint32_t in_flight;
    int64_t heard_ns;
};

/* Borrows env and timers. ERR_INVALID for no or too many or too long addresses. */
int client_new(const struct client_config *config, const struct env *env, struct timers *timers,
               struct client **ret);
/* Answers everything outstanding with ERR_CLOSED. */
void client_free(struct client *client);

/* Takes a request. 0, or ERR_BUSY, ERR_TOO_BIG, ERR_INVALID, ERR_CLOSED: then `done` is not called.
 */
int client_submit(struct client *client, struct client_request *request);
/* For `done`, once: its payload as memory of the caller's, to be free()d. The client's own is given
 * away where it has one, else it is copied. */
struct bytes client_keep(struct client_request *request, struct bytes payload);
/* Gives it up: `done` is called with ERR_INTERRUPTED before this returns (ERR_UNKNOWN for a BATCH
 * that was sent). */
void client_cancel(struct client *client, struct client_request *request);
/* A message came from the node at link `from->node` (the number that env.connect() was called with:
 * a link's number, from 1, which is not the node's id). */
void client_receive(struct client *client, const struct endpoint *from,
                    const struct message *message);
/* The transport found the link's connection closed: its requests move on at once. */
void client_link_down(struct client *client, uint16_t link);

/* The ring in use; NULL until the first node answered. Borrowed until the next call. */
const struct ring *client_ring(const struct client *client);
/* Fills at most `max`; returns how many there are. */
uint32_t client_nodes(const struct client *client, struct client_node *ret, uint32_t max);
/* Whether the member was heard within CLIENT_SILENCE_MS; false for one that is no member. */
bool client_node_alive(const struct client *client, uint16_t node);
/* 64 random bits of this client, which the operation ids of its own writes end with. */
uint64_t client_writer(const struct client *client);
/* Takes another number, because nobody knows what came of a write: if it takes place yet, it is to
 * count as another's. */
void client_renew_writer(struct client *client);
/* Counters since the start: requests answered (WATCH is not counted), messages sent, retries. For
 * round trips per operation. Of the reads that were asked of R replicas at once: those answered so,
 * and those that a node had to coordinate after all. */
struct client_counters {
    uint64_t requests, messages_sent, messages_received, retries, links_reopened;
    uint64_t quorum_reads, quorum_fallbacks;
};
void client_counters(const struct client *client, struct client_counters *ret);

#endif
