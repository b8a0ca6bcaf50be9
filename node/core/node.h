/* node: one storage node as a state machine: coordinator of requests and replica of rows. */
#ifndef RINGFS_NODE_CORE_NODE_H
#define RINGFS_NODE_CORE_NODE_H

#include "node/core/disk.h"
#include "node/core/membership.h"
#include "shared/env.h"
#include "shared/exchange.h"
#include "shared/ring.h"
#include "shared/timers.h"

/* Pure: no clock, dice, thread or I/O but through env, timers and disk; any number in one process.
 * Every function runs to completion on one thread, the owner's. Life: node_new(), node_start()
 * (reads and raises the epoch, then serves), node_receive() and timers in between, node_stop()
 * (refuses new work, lets what is in flight end), node_free(). */
enum {
    NODE_REQUESTS_MAX = 8192,            /* client requests being coordinated; beyond: BUSY */
    NODE_APPLIES_MAX = 16384,            /* replica work in flight; beyond: BUSY */
    NODE_INFLIGHT_BYTES_MAX = 256 << 20, /* payload bytes held for both; beyond: BUSY */
    NODE_REPLICA_TIMEOUT_MS =
        800, /* a replica that has not answered a coordinator by then is counted out */
    NODE_REAP_AGE_MS = 60 * 60 * 1000, /* what node_config.reap_age_ms is unless told */
    /* The same of reap_hold_ms: longer than a request lives (NODE_BUDGET_MAX_MS) and than TCP goes
     * on trying to deliver what was sent (16 minutes). */
    NODE_REAP_HOLD_MS = 30 * 60 * 1000,
    NODE_SCRUB_ROUND_MS = 6 * 3600 * 1000, /* what node_config.scrub_round_ms is unless told */
    NODE_REPAIR_ROUND_MS = 30 * 1000,      /* what node_config.repair_round_ms is unless told */
};

/* A counter or gauge, as sent in answer to STATS; the name is static. */
struct node_stat {
    const char *name;
    uint64_t value;
};

struct node_config {
    uint16_t id;
    uint16_t incarnation;  /* of the data directory: raised when it was lost and made anew */
    uint8_t read_quorum;   /* R, 2 by default; at most N */
    uint8_t write_quorum;  /* W, 2 by default; at most N */
    uint32_t credit_bytes; /* told to clients in HELLO */
    /* Between two rounds of anti-entropy (anti_entropy.h); 0 = none, and no sums of slices are
     * kept: for tests. */
    uint32_t repair_round_ms;
    /* Tombstones go (reaper.h) when they were written reap_age_ms ago and every replica has held
     * them for reap_hold_ms; 0 = never. */
    uint32_t reap_age_ms, reap_hold_ms;
    /* May be NULL. What the edges count, for STATS: fills at most `max`, returns how many. */
    uint32_t (*edge_stats)(void *context, struct node_stat *ret, uint32_t max);
    void *edge_context;
    uint32_t scrub_round_ms; /* between the beginnings of two rounds of scrub.h; 0 = none */
    uint64_t boot;    /* of the machine: another number after each of its starts; 0 = unknown */
    bool trusts_disk; /* serve what the disk has, without recovering what it may have lost */
    /* Of the leases that watchers are granted (shared/watch.h); 0 = none. The same at all nodes. */
    uint32_t lease_ms;
    uint64_t hint_bytes_max; /* kept for other nodes at most; 0 = a share of the disk (hints.h) */
};

enum node_state {
    NODE_STARTING = 0,
    NODE_SERVING = 1,
    NODE_STOPPING = 2,
    NODE_STOPPED = 3,
    NODE_FAILED = 4, /* the disk refused; see node_failure() */
};

struct node;

/* Borrows env, disk, timers and membership for the node's life; copies config. */
struct node *node_new(const struct node_config *config, const struct env *env,
                      const struct disk *disk, struct timers *timers,
                      struct membership *membership);
void node_free(struct node *node);

/* Reads what the data directory knows of itself, makes a new epoch durable unless the last stop was
 * clean, opens the links to all members, then serves. Outcome: node_state(). */
void node_start(struct node *node);
/* Ends: no new requests; when those in flight have ended, marks the stop as clean and turns
 * STOPPED. */
void node_stop(struct node *node);
enum node_state node_state(const struct node *node);
/* How many slices the node does not serve yet, because it catches up on their other replicas. */
uint32_t node_recovering(const struct node *node);
/* Why the node is NODE_FAILED: an error of err.h. */
int node_failure(const struct node *node);

/* A message arrived. Anything malformed is answered INVALID (to a client) or counted (from a peer),
 * never applied. */
void node_receive(struct node *node, const struct endpoint *from, const struct message *message);

/* Counters and gauges, as sent in answer to STATS. Fills at most `max`, returns how many. */
uint32_t node_stats(const struct node *node, struct node_stat *ret, uint32_t max);

/* What the committed rows of a slice add up to, for tests and tools; false while it is not known.
 */
bool node_slice_sum(const struct node *node, uint16_t slice, struct slice_sum *ret);

#endif
