/* recovery: which slices this node may answer for, and how it catches up on the others. */
#ifndef RINGFS_NODE_CORE_RECOVERY_H
#define RINGFS_NODE_CORE_RECOVERY_H

#include "node/core/inside.h"

/* A node that may lack what it once acknowledged must not answer as if it had it: two replicas that
 * both answer "no such row" would hide a write of which both were told. It *trusts itself* with a
 * slice when it holds all that it ever acknowledged there. It does not, and recovers, when
 *   - its data directory is new: the first start of a node, or a disk that was lost or replaced;
 *   - its machine went down uncleanly (another boot id, no mark of a clean stop): what was not
 *     synced, the last second, may be gone;
 *   - it was recovering before and had not ended.
 *
 * Whatever it acknowledged, one of the others acknowledged too, since W replicas did; so it has all
 * of it after reading the whole slice from N-W+1 others that trust themselves, or from all N-1
 * others, trusting or not: then nobody has more. (With N = 3 and W = 2 both rules say: from both.)
 * The second rule is what lets a cluster start: at its first start, and after all machines lost
 * power at once, every replica reads from every other, and what is nowhere is gone: a buffered
 * write of the last second of which a majority lost power, and nothing else.
 *
 * Until then, of that slice, the node answers RECOVERING to READ and READ_SCAN, passes requests of
 * clients on to another replica, and takes what it is sent (REPLICATE, REPAIR) without
 * acknowledging it. Slices are recovered one by one and served from then on.
 *
 * Durable: a mark ("mrecovery": recovering or not, the generation of this recovery, the boot id),
 * synced before the node serves and before its epoch, and per slice the flag 'v' with the
 * generation, synced after the last of the slice's rows. A crash at any point resumes with the
 * slices that have no flag; a further loss draws a new generation, which voids all flags. */
enum {
    RECOVERY_SOON_MS = 10,   /* a peer that is heard of is asked no sooner after the last time */
    RECOVERY_RETRY_MS = 100, /* a peer that did not answer is asked again */
    RECOVERY_RETRY_MAX_MS = 2000,    /* twice as late each time, up to this */
    RECOVERY_BYTES_PER_S = 64 << 20, /* read from each peer, at most */
    RECOVERY_FLAGS_MAX = 256,        /* slices flagged in one commit */
    RECOVERY_BATCH_ROWS_MAX = 256,   /* of one commit of rows */
    RECOVERY_BATCH_BYTES = 1 << 20,  /* a commit is closed when it reaches this */
    RECOVERY_LOG_MS = 5000,          /* between lines of progress in the log */
};

/* Reads the marks, makes a recovery durable if one is needed, then starts the epoch. */
void recovery_start(struct node *node);
/* The node serves: begins to read from the others what is missing. */
void recovery_run(struct node *node);
/* No more requests to peers from now on. */
void recovery_stop(struct node *node);
void recovery_free(struct node *node);

/* Whether this node holds all that it ever acknowledged of the slice. Once true it stays true for
 * the life of the node. */
bool node_trusts_itself(const struct node *node, uint16_t slice);

/* How many other replicas of a slice together have all that a replica which lost it may have
 * acknowledged. */
uint32_t recovery_others_needed(const struct node *node);

/* A number of this node's present life: another one after each loss (another directory, another
 * recovery). What a node said in an earlier life may be lost, so it counts no more: replies of the
 * steward protocol carry it as the incarnation, and requests for slices tell of a new one. */
uint16_t recovery_life(const struct node *node);
/* The life that belongs to a recovery's generation. */
uint16_t recovery_life_of(uint64_t generation);

/* Whether a member seems to answer, and to trust itself with the slice; this node too. */
bool node_serves(const struct node *node, uint16_t id, uint16_t slice);

/* What nodes tell each other in PING, its reply, and whenever it changes: a bit for each slice that
 * the sender does not trust itself with (slice / 8, lowest bit first); no bytes when there is none.
 * Appends to `into`. */
void recovery_tell(const struct node *node, struct buffer *into);
/* A peer told so. What it does not tell, that it asks for slices for instance, counts too. */
void recovery_told(struct node *node, uint16_t peer, struct bytes bits);
void recovery_told_one(struct node *node, uint16_t peer, uint16_t slice, bool trusted);

/* How far it is. `ms` since the recovery began (or how long it took), `left_ms` at the pace so far;
 * 0 when it is not known or nothing is left. */
struct recovery_progress {
    uint32_t n_held, n_left; /* slices */
    uint64_t rows, bytes;    /* read from others in this life, some of them more than once */
    uint64_t ms, left_ms;
};
void recovery_progress(const struct node *node, struct recovery_progress *ret);

/* A peer's answer to SLICE. */
void recovery_heard(struct node *node, const struct endpoint *from, const struct message *message);

/* ---- between recovery.c and recovery_pull.c ---- */

struct pull;

enum slice_trust {
    SLICE_FOREIGN = 0, /* not held by this node */
    SLICE_RECOVERING = 1,
    SLICE_FLAGGING = 2, /* all is here, the flag is becoming durable */
    SLICE_TRUSTED = 3,
};

struct recovery {
    struct node *node;
    uint64_t generation;
    bool running;       /* some slices are not trusted */
    uint8_t *trust;     /* enum slice_trust, by slice */
    uint8_t *pulled;    /* by slice: a bit for each place of the preference list read from ... */
    uint8_t *sound;     /* ... and trusting itself then */
    struct pull *pulls; /* by member index */
    uint32_t n_held, n_left;
    uint64_t rows, bytes;
    uint32_t n_begun; /* slices that were left when this life began */
    int64_t began_ns, ended_ns, logged_ns;
    struct rows_hold marks; /* mnode, mrecovery */
    struct rows_hold flags; /* being read or committed */
    uint16_t *flagging;     /* their slices */
    uint32_t n_flagging;
};

/* A peer said that it serves: what it did not answer before, it may now. */
void pulls_heard_of(struct recovery *recovery, uint16_t peer);

/* A slice was read to its end from a peer. */
void recovery_pulled(struct recovery *recovery, uint16_t slice, uint16_t peer, bool trusted);
/* Whether reading the slice from this peer would help. */
bool recovery_wants(const struct recovery *recovery, uint16_t slice, uint16_t peer);

/* Sends a PING to all peers, now. */
void recovery_spread(struct recovery *recovery);

/* Begin, no more requests, free: of all pulls. */
void pulls_begin(struct recovery *recovery);
void pulls_stop(struct recovery *recovery);
void pulls_free(struct recovery *recovery);

#endif
