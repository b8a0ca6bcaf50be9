/* workload: sessions of clients that read and write the same few rows, and remember what they saw.
 */
#ifndef RINGFS_TESTS_SIM_WORKLOAD_H
#define RINGFS_TESTS_SIM_WORKLOAD_H

#include "tests/sim/world.h"

/* A session has one operation outstanding at a time, on one client process, through the real
 * client. Checked at each answer: exactly one, in time, of a legal kind, with values that somebody
 * wrote; a quorum read knows all that was acknowledged to the session. */
struct session {
    struct workload *workload;
    uint16_t number;
    struct world_client *client;
    struct dice dice;
    struct client_request request;
    bool busy;
    enum op_kind kind;
    uint32_t ops_left;
    uint32_t row;   /* of a GET; any row of the partition of a SCAN or BATCH */
    uint32_t write; /* number in the ledger, of a BATCH */
    bool is_write;
    int64_t issued_ns; /* on the run's clock */
    uint16_t via;      /* the node that is asked; 0 = as the client chooses */
    int status;        /* of the last answer */
    struct buffer payload;
    struct context read[ROWS_TOTAL_MAX]; /* what the last read of a row knew */
    bool was_read[ROWS_TOTAL_MAX];
    bool read_live[ROWS_TOTAL_MAX];
    uint32_t acked[OPS_MAX]; /* numbers of the writes that were acknowledged to this session */
    uint32_t n_acked;
};

struct workload {
    struct world *world;
    struct session sessions[SESSIONS_MAX];
    uint32_t contest;       /* the row fought for */
    uint32_t contest_turns; /* entries left */
};

/* Adds a row to a write that the session is about to ask: under the condition that `kind` says (a
 * guard's is drawn), with the context that the session read last where that makes sense. */
struct write_row *workload_add_row(struct session *session, struct write *write, uint32_t row,
                                   uint8_t row_kind, enum op_kind kind);

void workload_init(struct workload *workload, struct world *world);
void workload_release(struct workload *workload);
/* One operation, now, for directed runs: OP_GET, OP_BLIND, OP_CONTEXT, OP_OVERWRITE, OP_MATCH,
 * OP_ABSENT, OP_PATCH or OP_DELETE (IF_MATCH) of one row. The session must not be busy. */
void workload_ask(struct session *session, enum op_kind kind, uint32_t row, int64_t patience_ns);
/* Sessions begin. */
void workload_start(struct workload *workload);
/* No session starts another operation. */
void workload_stop(struct workload *workload);
/* Operations not answered yet. */
uint32_t workload_busy(const struct workload *workload);
/* Whether all sessions have done all their operations. */
bool workload_finished(const struct workload *workload);

#endif
