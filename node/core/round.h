/* round: one message to the other replicas of a slice, sent again until enough have answered. */
#ifndef RINGFS_NODE_CORE_ROUND_H
#define RINGFS_NODE_CORE_ROUND_H

#include "node/core/chain.h"
#include "node/core/inside.h"
#include "shared/hash.h"

/* What the steward protocol sends. The owner sets the fields of the first group, starts it, judges
 * each answer in `heard`, and stops it when it has seen enough. Those who have not given a good
 * answer and seem alive are asked again every ROUND_AGAIN_MS. An answer of a node that has since
 * shown another incarnation counts no more: what it said died with its disk. */
enum {
    ROUND_AGAIN_MS = 200,
    ROUND_SOON_MS = 20, /* after an answer that will be better soon */
};

enum round_peer_state {
    ROUND_ASKED = 0, /* or not yet */
    ROUND_GOOD = 1,
    ROUND_REFUSED = 2, /* did not do it, may when asked again */
};

struct round_peer {
    uint16_t node;
    uint16_t incarnation;
    uint8_t state; /* enum round_peer_state */
    bool later;    /* asked behind the others */
    int status;    /* of the last answer */
};

struct round {
    struct node *node;
    uint16_t slice;
    uint8_t type;
    uint16_t flags;
    uint8_t at_once;  /* so many are asked at once, the others later (later.h); 0 = all at once */
    struct bytes key; /* borrowed until it is stopped */
    struct bytes payload; /* the same */
    /* An answer, good when its status is 0: `reply` is NULL for types with other payloads. May stop
     * the round and free it. */
    void (*heard)(struct round *round, struct round_peer *peer, const struct message *message,
                  const struct chain_reply *reply);
    /* Before those who are missing are asked again; whether to go on. May be NULL. */
    bool (*again)(struct round *round);
    void *context;
    /* round.c's own */
    uint64_t id;
    bool out;
    uint8_t n_peers;
    struct round_peer peers[RING_REPLICAS_MAX - 1];
    struct timer timer;
    UT_hash_handle hh;
};

/* Asks all other replicas of the slice that seem alive, or only the node `peer` unless 0. */
void round_start(struct round *round, uint16_t peer);
/* No more answers are heard. Harmless on a zeroed or stopped round. */
void round_stop(struct round *round);
/* Asks those who are missing again soon. */
void round_hurry(struct round *round);
/* Good answers that still count. */
uint32_t round_good(const struct round *round);
/* A reply came; whether it was a round's. */
bool round_heard(struct node *node, const struct endpoint *from, const struct message *message);
/* More than half of the slice's replicas, this node included. */
uint32_t round_majority(const struct node *node);

#endif
