/* inside: what the parts of one node share, for the .c files of node/core only. */
#ifndef RINGFS_NODE_CORE_INSIDE_H
#define RINGFS_NODE_CORE_INSIDE_H

#include "node/core/epoch.h"
#include "node/core/latch.h"
#include "node/core/node.h"
#include "node/core/read_only.h"
#include "node/core/rows.h"
#include "node/core/tree.h"
#include "shared/complaints.h"
#include "shared/hlc.h"
#include "shared/request.h"
#include "shared/shortfall.h"

#define NS_PER_MS ((int64_t)1000 * 1000)

enum {
    NODE_BUDGET_MAX_MS = 60 * 1000, /* a longer budget is cut to this */
    /* By how much clients' notion of the nodes' time may be behind (they hear of it by heartbeats):
     * a write is dropped that is overdue by more. */
    NODE_OVERDUE_MS = 1000,
    /* A row as encoded may be no larger, so that it fits into one message. */
    NODE_ROW_SIZE_MAX = 4 << 20,
    /* Epochs made durable in advance at each start: one is used up when a commit fails. */
    NODE_EPOCHS_AHEAD = 64,
    NODE_SCRATCH = 3,
    PASSED_ON_MAX = 4096, /* a power of two */
};

struct request;
struct forward;
struct recovery;
struct hints;
struct later;
struct handoff;
struct round;
struct steward;
struct partition;
struct settle;
struct watches;

/* What is kept of each member besides membership.h. */
struct peer_link {
    int64_t reopened_ns;
    bool read_only;       /* it said so */
    uint8_t *untrusted;   /* recovery.h: bits of the slices that it recovers; NULL = none, ever */
    uint16_t incarnation; /* that it last showed in a strict reply */
    struct buffer chosen; /* chosen.c: what it is about to be told */
    struct later *later;  /* later.c: what it is about to be asked */
    size_t later_bytes;
    int64_t tardy_until_ns; /* later.c: it is not among those asked first */
    char stat_name[24];
};

/* A request that a peer passed on: its double could pass where the first was refused. */
struct passed_on {
    uint64_t id;
    uint16_t peer; /* 0 = empty */
};

/* A piece of replica work in flight, the first member of its kind's struct. */
struct work {
    void (*drop)(struct work *work); /* frees it when the node is freed before the work ended */
    size_t size;
    struct work *prev, *next;
};

/* Counters since the start; node_stats() names them. */
struct counters {
    uint64_t gets, own_gets, batches, scans, own_scans, hellos, pings;
    uint64_t replicates, reads, read_scans, repairs_received;
    uint64_t conflicts, unavailable, unknown, busy, invalid, timeouts, siblings, too_big;
    uint64_t strict_batches, strict_applied, strict_behind, campaigns, touches, takeovers,
        withdrawn, partition_syncs, proposals_resent, stale_epochs, settles, overtaken;
    uint64_t repairs_sent, rows_applied, forwarded, late, reopened, confirmed;
    uint64_t slice_pages, recovering, syncs_asked;
    uint64_t corrupt_found, corrupt_repaired;
    uint64_t messages, messages_bad, commit_errors, corrupt_rows, hedges, unsent, stamps_ahead,
        recounts;
    uint64_t trees, leaves, tombstones_reaped;
    uint64_t late_overwrites, many_siblings;
    uint64_t hints_stored, hints_delivered, hints_dropped, handoffs_received, stood_in;
};

struct node {
    struct node_config config;
    const struct env *env;
    const struct disk *disk;
    struct timers *timers;
    struct membership *membership;
    enum node_state state;
    int failure;

    struct rows *rows;
    struct latches *latches;
    struct tree tree; /* what slices add up to */
    struct tree_build *tree_build;
    struct anti_entropy *anti_entropy;
    struct reap_notes *reap_notes; /* reap.c */
    struct reaper *reaper;
    struct passed_on *passed_on; /* coordinator.c: the latest, a table of PASSED_ON_MAX */

    /* This node's dots. */
    uint32_t epoch;
    uint32_t epoch_end;   /* durable as used */
    uint32_t epoch_asked; /* becoming durable */
    uint64_t counter;
    struct hlc hlc;

    struct request *requests; /* being coordinated, by id */
    struct forward *forwards; /* passed on, by id */
    struct work *works;       /* replica work in flight */
    uint32_t n_requests, n_forwards, n_works;
    uint64_t inflight_bytes;    /* of all of them */
    uint64_t next_id;           /* of requests to peers; the low bits count phases */
    struct rows_hold mark;      /* what the data directory knows of this node */
    bool marking, mark_refused; /* the mark is being committed; was not, the last time */
    struct timer ping;
    struct recovery *recovery; /* recovery.c */
    uint32_t n_slice_pages;    /* being served */
    struct hints *hints;
    struct handoff *handoff;
    struct read_only read_only;
    struct watches *watches;
    /* strict batches */
    struct round *rounds;              /* round.c: out, by id */
    struct steward **stewards;         /* steward.c: by slice */
    struct partition *partitions;      /* turn.c: by key */
    struct partition *partitions_idle; /* the oldest first */
    uint32_t partitions_pinned;        /* they are being walked: none is freed */
    uint32_t n_syncs;                  /* partition_sync.c */
    struct timer chosen;               /* chosen.c */
    struct timer later;                /* later.c */
    struct settle *settles;            /* settle.c: by key */
    struct timer settling;
    struct disk_scan *settle_scan;
    struct peer_link *links; /* by member index */
    struct scrub *scrub;
    uint32_t n_mends; /* of scrub.c, under way */

    struct counters counters;
    struct complaints complaints; /* of rows with many siblings */
    /* For the length of one function that calls nothing that uses them too. */
    struct versions scratch[NODE_SCRATCH];
    struct context scratch_context;
    struct buffer encoded; /* a payload under construction */
    struct buffer key;     /* a disk key under construction */
};

/* ---- the node's own: node.c ---- */

/* Monotonic, ns. */
int64_t node_now(const struct node *node);
struct peer_link *node_link(const struct node *node, uint16_t id); /* of a member */
/* Whether a member seems to answer; this node always does. */
bool node_alive(const struct node *node, uint16_t id);
/* The deadline of a message that arrives now. */
int64_t node_deadline(const struct node *node, const struct message *message);
/* What is left of it, for a message to a peer; at least 1. */
uint32_t node_budget_ms(const struct node *node, int64_t deadline_ns);
/* A fresh id for requests to peers, its REQUEST_PHASES low bits 0. */
uint64_t node_request_id(struct node *node);
/* Sends a request to a peer, behind what waits for it (later.h): what env.send answers. */
int node_ask(struct node *node, uint16_t peer, struct message *message);
int node_send(struct node *node, uint16_t peer, struct message *message); /* past that */

/* Bounds of work in flight: whether `size` more bytes are taken on; given back when done. */
bool node_take(struct node *node, size_t size);
void node_give_back(struct node *node, size_t size);
/* The same for a piece of replica work, which is listed until it ended; a stopping node may become
 * idle by the end. The struct stays the caller's to free. */
bool work_begin(struct node *node, struct work *work, size_t size);
void work_end(struct node *node, struct work *work);
/* Marks a stopping node as cleanly stopped if nothing is in flight any more. */
void node_check_idle(struct node *node);

/* ---- answers: answer.c ---- */

/* Who asked what. */
struct asker {
    struct endpoint endpoint;
    uint64_t id;
    uint8_t type;
};
struct asker asker_of(const struct endpoint *from, const struct message *message);
/* Answers; the payload is copied by the wire, and one larger than a message becomes TOO_BIG. */
void answer(struct node *node, const struct asker *asker, int status, struct bytes payload);
/* The same with flags in the reply. */
void answer_flagged(struct node *node, const struct asker *asker, int status, uint16_t flags,
                    struct bytes payload);
void answer_status(struct node *node, const struct asker *asker, int status);
/* BUSY, and a clock that is at `stamp_ns` at least: however far that is ahead of this node's, so
 * that the client's next try is later than what it met. */
void answer_late(struct node *node, const struct asker *asker, uint64_t stamp_ns);
/* UNAVAILABLE or UNKNOWN, and why. */
void answer_missed(struct node *node, const struct asker *asker, int status,
                   const struct shortfall *shortfall);

#endif
