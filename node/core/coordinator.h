/* coordinator: a client's request from its arrival to its one answer. */
#ifndef RINGFS_NODE_CORE_COORDINATOR_H
#define RINGFS_NODE_CORE_COORDINATOR_H

#include "node/core/inside.h"
#include "shared/hash.h"

/* THE state machine of a request. Kinds: GET (coordinator_get.c), BATCH (coordinator_batch.c), SCAN
 * (coordinator_scan.c); this file is what they share.
 *
 *   GET, SCAN     NEW ──► READING ──────────────────────────► ANSWERED
 *                            └──► FETCHING ──────────────────────┘
 *
 *   BATCH         NEW ──► LATCHING ──► LOADING ──► COMMITTING ──► ANSWERED
 *                                       │  ▲
 *                                       ▼  │
 *                                    CONFIRMING                   any state may answer
 *
 *   strict        NEW ──► ROUTING ──► QUEUED ──► LATCHING ──► LOADING ──► PROPOSING ──► ANSWERED
 *   BATCH           ▲                   │                       │
 *                   └──── PAUSING ◄─────┴─────── ASSURING ◄─────┘
 *
 *   strict GET,   NEW ──► ROUTING ──► QUEUED ──► READING ──► FETCHING ──► ANSWERED
 *   SCAN            ▲                   │           │             │
 *                   └──── PAUSING ◄─────┴───────────┴─────────────┘
 *
 *   state        waits for, and then
 *
 *   LATCHING     earlier batches on its rows
 *   LOADING      its rows from the disk. Those that are corrupt here:
 *   CONFIRMING   what the others have of such a row
 *   COMMITTING   its own commit, and acknowledgements of the rows it sent, until W or nobody left
 *   ROUTING      the slice's promise: here, or passed on to the steward
 *   QUEUED       its turn (turn.h)
 *   PAUSING      a few random milliseconds, after another node was in the way
 *   PROPOSING    the proposal to be chosen and committed here; see turn.h
 *   ASSURING     a majority to say that this node still is the steward
 *   READING      the local copy, digests of R-1 others; a strict read: what ASSURING waits for,
 *                too. Equal: answer. Else
 *   FETCHING     the copies of those that differ: merge, answer, repair
 *   ANSWERED     its own commit, or its turn, if it is still under way
 *
 * Invariants, checked on each move: only moves of the table above; one answer; from ANSWERED there
 * is no way out; a request that is not ANSWERED has its timer armed or an event under way that the
 * disk owes it. Peers are asked once per phase, and only replies of the current phase count. */
enum request_state {
    REQUEST_NEW = 0,
    REQUEST_LATCHING = 1,
    REQUEST_LOADING = 2,
    REQUEST_CONFIRMING = 3,
    REQUEST_PAUSING = 5,
    REQUEST_COMMITTING = 6,
    REQUEST_READING = 7,
    REQUEST_FETCHING = 8,
    REQUEST_ANSWERED = 9,
    REQUEST_ROUTING = 10,
    REQUEST_QUEUED = 11,
    REQUEST_PROPOSING = 12,
    REQUEST_ASSURING = 13,
};

enum {
    REQUEST_PHASES = 64, /* the low bits of a message id tell the phases apart */
    REQUEST_PEERS_MAX = RING_REPLICAS_MAX - 1,
    REQUEST_HEDGE_MS = 30,    /* a reader asks another replica when one is this slow */
    REQUEST_WIDE_ONE_IN = 16, /* of so many reads one asks all replicas, to find what lags */
};

/* What another replica of the slice has said in the current phase. */
enum peer_state {
    PEER_IDLE = 0,    /* not asked */
    PEER_ASKED = 1,   /* no answer yet */
    PEER_DONE = 2,    /* a good answer */
    PEER_REFUSED = 4, /* it did nothing; or it could not even be asked */
    PEER_SILENT = 5,  /* it is asked and left open what it did */
};

struct peer {
    uint16_t node;
    uint8_t state; /* enum peer_state */
    bool asked_ever;
    bool later;  /* writes: it is asked behind the others, see later.h */
    bool same;   /* reads: its digest was that of the local row or page */
    bool broken; /* reads: it said that its own copy is corrupt */
    int status;  /* of its answer */
    uint8_t digest[16];
    struct bytes reply; /* owned copy of an answer's payload, when it is needed later */
};

struct request;
struct strict;

/* What a kind of request does. */
struct request_kind {
    uint8_t type; /* of the client's message */
    size_t size;  /* of the struct that begins with struct request */
    /* Begins; may end the request. */
    void (*begin)(struct request *request);
    /* A peer answered in the current phase; peer->status is set. May end the request. */
    void (*heard)(struct request *request, struct peer *peer, const struct message *message);
    /* The timer fired. Must end or re-arm. */
    void (*expired)(struct request *request);
    /* Frees what the kind holds; no callbacks come after that. */
    void (*release)(struct request *request);
};

struct request {
    const struct request_kind *kind;
    struct node *node;
    struct asker asker;
    uint64_t id; /* of messages to peers; plus the phase */
    uint8_t phase;
    uint8_t state;  /* enum request_state */
    uint8_t level;  /* enum consistency */
    uint8_t needed; /* replicas, this one included */
    uint8_t n_peers;
    uint16_t flags;
    uint16_t slice;
    int64_t deadline_ns;
    uint64_t stamp_ns;    /* the client's clock when it was first sent; 0 = not known */
    uint32_t patience_ms; /* from then to the deadline */
    struct timer timer;
    size_t size;
    struct bytes key; /* owned, in one piece with payload */
    struct bytes payload;
    struct strict *strict; /* owned: a strict read's (coordinator_strict.h) */
    struct peer peers[REQUEST_PEERS_MAX];
    UT_hash_handle hh;
};

extern const struct request_kind coordinator_get, coordinator_batch, coordinator_scan;

/* A client's GET, BATCH or SCAN, or one that another node passed on. */
void coordinator_receive(struct node *node, const struct endpoint *from,
                         const struct message *message);
/* A peer's reply to REPLICATE, READ or READ_SCAN. */
void coordinator_heard(struct node *node, const struct endpoint *from,
                       const struct message *message);
/* The request whose current phase a reply with this id may belong to; NULL when it is answered or
 * gone. */
struct request *coordinator_find(struct node *node, uint64_t message_id);
/* Frees all requests without an answer: the node is being freed. */
void coordinator_drop(struct node *node);

/* ---- for the kinds ---- */

/* Moves to another state; asserts that the table has the move. */
void request_move(struct request *request, enum request_state to);
/* Arms the timer; never later than the request's deadline. */
void request_arm(struct request *request, int64_t after_ns);
/* Frees the request, which must be ANSWERED. The last thing a function does with it. */
void request_end(struct request *request);
/* Ends the request without an answer: another node's will be passed on. */
void request_leave(struct request *request);
/* Answers and moves to ANSWERED; the caller then ends the request. */
void request_answer(struct request *request, int status, struct bytes payload);
void request_answer_missed(struct request *request, int status, uint8_t answered);
/* Begins a new phase: all peers are idle again, late replies of the old one do not count. */
void request_phase(struct request *request);
/* The same, but the peers keep their states. */
void request_next_phase(struct request *request);
/* As if it had not begun: what its kind holds is freed, answers to what it has asked do not count.
 */
void request_reset(struct request *request);
/* Asks one idle peer; its state says what came of it. */
void request_ask(struct request *request, struct peer *peer, uint8_t type, uint16_t flags,
                 struct bytes payload);
/* Asks up to `n` idle live peers in the order of the preference list; returns how many were. */
uint32_t request_ask_some(struct request *request, uint32_t n, uint8_t type, uint16_t flags,
                          struct bytes payload);
/* Sends a write to all idle live peers: at once to as many as are needed beside this node, to the
 * others later (later.h). */
void request_replicate(struct request *request, uint16_t flags, struct bytes payload);
/* COMMITTING: a peer has answered; those that were to be asked later are asked now when it refused.
 */
void request_replicated(struct request *request, const struct peer *peer);
uint32_t request_count(const struct request *request, enum peer_state state);
/* How many of the slice's replicas seem able to answer for it, this one included. */
uint32_t request_alive(const struct request *request);
/* Of those, how many seem to take writes. */
uint32_t request_storing(const struct request *request);
/* How many replicas a level asks for, given the cluster's R or W. */
uint8_t request_needed(const struct request *request, uint8_t quorum);

#endif
