/* coordinator_batch: the two halves of a BATCH: getting it done (coordinator_batch.c), and making
 * its new rows from old ones (coordinator_rows.c). */
#ifndef RINGFS_NODE_CORE_COORDINATOR_BATCH_H
#define RINGFS_NODE_CORE_COORDINATOR_BATCH_H

#include "node/core/coordinator_strict.h"
#include "node/core/watch.h"

enum {
    /* After so long on its way a request may have been overtaken by its own repetition. */
    BATCH_LATE_NS = 1000 * 1000 * 1000,
    /* Of a batch whose retries wrote rows under more dots than that, the others are forgotten: a
     * row that had only these, and replaced them, takes the write for a new one. */
    BATCH_KNOWN_DOTS_MAX = 4,
    BATCH_STAND_INS_MAX = 8, /* asked for one batch, those that refused included */
    BATCH_STAND_IN_MS = 250, /* a replica silent for so long gets a stand-in, if W needs one */
    BATCH_STAND_IN_LEASED_MS = 700, /* the same where others watch: it may wait for their leases */
};

/* What is made of one operation of the batch. */
struct batch_op {
    struct blob *blob; /* the row as it is to become; NULL for guards */
    size_t context_at; /* in `contexts`: for the client's next write of the row */
    size_t context_size;
};

/* Another member asked to keep the rows for a replica that is away. */
struct stand_in {
    uint16_t node;
    uint16_t target;
    uint8_t state; /* enum peer_state */
};

struct batch_request {
    struct request request;
    struct batch batch;                          /* borrows the request's payload */
    bool known;                                  /* a row has the operation's id already: a retry */
    struct dot known_dots[BATCH_KNOWN_DOTS_MAX]; /* which it has there */
    uint32_t n_known;
    uint64_t known_stamp_ns; /* 0: it stands nowhere */
    bool committing;         /* its own commit is under way, or others have to hear of it */
    struct watch_wait wait;
    int local_status;
    uint32_t confirmed; /* the operation whose row was last confirmed; UINT32_MAX = none */
    struct latch_claim claim;
    struct rows_hold hold; /* the tally, then a row for each operation */
    struct batch_op *ops;
    struct buffer contexts;
    struct tally tally; /* after the local commit */
    /* coordinator_hints.c */
    struct stand_in stand_ins[BATCH_STAND_INS_MAX];
    uint32_t n_stand_ins;
    uint32_t noted; /* a bit for each peer that has been given a stand-in, or a note */
    bool overdue;   /* BATCH_STAND_IN_MS are over */
    struct strict strict;
    struct dot dot;   /* of the rows made for a proposal; 0: none were made */
    uint32_t failing; /* ASSURING, `refusing`: the operation whose condition does not hold */
    bool refusing;    /* PROPOSING: a batch that changes nothing, then CONFLICT */
    /* It was proposed, and refused by who holds what its patches were made without: what a quorum
     * has of their rows is learnt before they are made again, one by one. The first proposal may
     * yet show up, so a failure from here on is UNKNOWN. */
    bool withdrawn;
    uint32_t n_learnt;     /* operations */
    bool first_try;        /* of the client's, as far as it said */
    uint64_t withdrawn_in; /* the epoch: while it lasts, nobody else can have brought it up */
};

/* Whether it goes the way of coordinator_propose.c. */
static inline bool batch_is_strict(const struct batch_request *batch) {
    return batch->strict.request != NULL;
}

/* The batch that a request of this kind is. */
struct batch_request *batch_from(struct request *request);

/* ---- coordinator_batch.c ---- */

/* Claims the latches; from NEW, or with the turn. */
void batch_latch(struct batch_request *batch);
/* All rows are made: sends them out, and commits when it may. */
void batch_replicate(struct batch_request *batch);
/* These two answer and end the request. */
void batch_fail(struct batch_request *batch, int status);
void batch_fail_missed(struct batch_request *batch, int status, uint32_t answered);
void batch_end(struct batch_request *batch);
void batch_let_go(struct batch_request *batch);

/* COMMITTING: answers and ends the request when W is reached, or nobody is left to wait for. */
void batch_check_done(struct batch_request *batch);
/* The rows as replicas are sent them, whole and without conditions; replaces what is in `into`. */
void batch_encode_replicate(struct batch_request *batch, struct buffer *into);

/* ---- coordinator_hints.c: stand-ins for replicas that do not answer ----
 *
 * Only for batches without conditions, and not at level ALL. Each replica that is away when the
 * batch goes out, refuses it, or (when W needs it) is silent for BATCH_STAND_IN_MS gets a stand-in
 * of its own: the next live member behind the preference list that has not been asked. Where there
 * is none, the rows' names are kept here (hints.h). Stand-ins' acknowledgements count towards W
 * only when the replicas alone cannot make it: none of them may still answer, or overdue. */

/* Whether this batch may use stand-ins, and how many replicas they could stand in for now. */
bool batch_may_stand_in(const struct batch_request *batch);
uint32_t batch_stand_ins_alive(const struct batch_request *batch);
/* Finds stand-ins for all replicas in one of the states of `states` (bits of enum peer_state). */
void batch_stand_in(struct batch_request *batch, uint32_t states);
/* How many acknowledgements of stand-ins count now; how many have not answered. */
uint32_t batch_stand_ins_done(const struct batch_request *batch);
uint32_t batch_stand_ins_open(const struct batch_request *batch);
/* Whether none of those asked may have kept the rows. */
bool batch_stand_ins_refused(const struct batch_request *batch);
/* A reply to HINT. */
void batch_hint_heard(struct node *node, const struct endpoint *from,
                      const struct message *message);
/* Answers a batch that is done, with what its rows are now; ends the request. */
void batch_answer_done(struct batch_request *batch);

/* ---- coordinator_propose.c ---- */

/* Begins on the way to a turn; may end the request. */
void batch_propose_begin(struct batch_request *batch);
/* Its turn has come, and the rows are made: they are proposed. May end the request. */
void batch_propose(struct batch_request *batch);
/* A condition does not hold: CONFLICT once it is sure that this node still is the steward, and that
 * no earlier attempt can be done any more. */
void batch_propose_conflict(struct batch_request *batch, uint32_t index);
/* Whether the tail remembers the operation: then its dot is among the known ones. */
bool batch_propose_known(struct batch_request *batch);
/* Whether an earlier attempt may have been done, and forgotten since. */
bool batch_propose_forgotten(const struct batch_request *batch);
void batch_propose_expired(struct batch_request *batch);

/* ---- coordinator_rows.c ---- */

/* Answers CONFLICT with the row as it is here, and ends the request. */
void batch_conflict_here(struct batch_request *batch, uint32_t index);

/* The rows are in memory and the latches granted: checks conditions, confirms what fails, makes the
 * new rows and goes on to batch_replicate(). May end the request. */
void batch_loaded(struct batch_request *batch);
void batch_confirm_heard(struct batch_request *batch, struct peer *peer,
                         const struct message *message);
void batch_release_ops(struct batch_request *batch);

#endif
