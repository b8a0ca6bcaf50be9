/* answers: what a session's answer must be, checked the moment it comes. */
#include "tests/sim/answers.h"

#include <stdlib.h>

#include "shared/err.h"
#include "tests/sim/directories.h"
#include "tests/sim/hints.h"

/* An answer may be this late: the deadline plus one tick (the design's promise 6). */
enum { TICK_MS = 2 };

static struct sim *sim_of(struct session *session) {
    return &session->workload->world->sim;
}

static bool may_disks_fail(const struct session *session) {
    const int64_t *every_ns = session->workload->world->options.every_ns;
    return every_ns[FAULT_DISK_FAIL] > 0 || every_ns[FAULT_DISK_FULL] > 0 ||
           every_ns[FAULT_ROT] > 0;
}

static bool legal(const struct session *session, int status) {
    switch (status) {
    case 0:
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_BUSY:
    case ERR_CLOSED:
        return true;
    case ERR_CONFLICT:
        return session->is_write && session->kind != OP_PATCH;
    case ERR_UNKNOWN:
    case ERR_SIBLINGS:
        return session->is_write;
    case ERR_DISK:
    case ERR_NO_SPACE:
    case ERR_READ_ONLY:
    case ERR_CORRUPT:
        return may_disks_fail(session);
    default:
        return false;
    }
}

static void cover_status(struct world *world, int status) {
    static const struct {
        int status;
        enum coverage coverage;
    } table[] = {
        {0, COVER_DONE},
        {ERR_CONFLICT, COVER_CONFLICTS},
        {ERR_UNKNOWN, COVER_UNKNOWNS},
        {ERR_UNAVAILABLE, COVER_UNAVAILABLES},
        {ERR_TIMEOUT, COVER_TIMEOUTS},
        {ERR_BUSY, COVER_BUSIES},
        {ERR_SIBLINGS, COVER_TOO_MANY_SIBLINGS},
        {ERR_CLOSED, COVER_CLOSED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        if (table[i].status == status) {
            world_cover(world, table[i].coverage);
        }
    }
}

/* The part of the i-th acknowledged write of the session for a row; NULL when it has none. */
static struct write_row *own_part(struct session *session, uint32_t i, uint32_t row) {
    return write_row_of(&session->workload->world->ledger.writes[session->acked[i]], row);
}

static void check_own_writes(struct session *session, uint32_t row, const struct context *context) {
    for (uint32_t i = 0; i < session->n_acked; i++) {
        struct write_row *part = own_part(session, i, row);
        if (part != NULL && !write_row_covered(part, context) &&
            !write_row_reaped(&session->workload->world->ledger, part)) {
            sim_fail(sim_of(session), "s%u does not read its own acknowledged write %u of row %u",
                     session->number, session->acked[i], row);
        }
    }
}

/* A plain read shows what is pending. One replica may have a proposal that its steward gave up, and
 * has not heard yet that it lost; its client may have been refused meanwhile. */
static bool may_be_pending(struct session *session, uint32_t row, const struct sibling *sibling) {
    struct write *write = ledger_find(&session->workload->world->ledger, &sibling->op);
    struct write_row *part = write != NULL ? write_row_of(write, row) : NULL;
    bool strict = (session->request.flags & MESSAGE_STRICT) != 0;
    return !strict && part != NULL && part->n_dots > 0 && write->outcome == ERR_CONFLICT;
}

/* A quorum read of a row: everything in it was written by somebody, and nothing that was
 * acknowledged to this session is missing. */
static void check_row(struct session *session, uint32_t row, const struct versions *versions,
                      bool with_values) {
    struct world *world = session->workload->world;
    for (uint32_t i = 0; with_values && i < versions->n_siblings; i++) {
        if (may_be_pending(session, row, &versions->siblings[i])) {
            world_cover(world, COVER_LOST_PENDINGS);
            continue;
        }
        ledger_check_sibling(&world->ledger, row, &versions->siblings[i], "read");
    }
    if (versions->n_siblings > 1) {
        world_cover(world, COVER_SIBLING_READS);
    }
    check_own_writes(session, row, &versions->context);
    if (session->was_read[row] && !context_includes(&versions->context, &session->read[row])) {
        world_cover(world, COVER_REGRESSIONS);
    }
    context_copy(&session->read[row], &versions->context);
    session->was_read[row] = true;
    session->read_live[row] = versions_live(versions) > 0;
}

static void check_get(struct session *session, struct bytes payload) {
    struct get_reply reply;
    struct versions versions = {0};
    if (get_reply_decode(payload, &reply) != 0 || versions_decode(reply.versions, &versions) != 0) {
        sim_fail(sim_of(session), "s%u: malformed reply to GET", session->number);
        return;
    }
    check_row(session, session->row, &versions, true);
    struct ledger *ledger = &session->workload->world->ledger;
    if ((session->request.flags & MESSAGE_STRICT) != 0) {
        struct strict_read *read = ledger_read(ledger, session->row, session->issued_ns);
        read->rows = 1u << (session->row - read->first_row);
        strict_read_saw(ledger, read, session->row, &versions);
        world_cover(session->workload->world, COVER_STRICT_READS);
    }
    versions_release(&versions);
}

static void check_scan_row(struct session *session, const struct scan_row *found,
                           struct strict_read *read) {
    struct world *world = session->workload->world;
    struct bytes key = ledger_partition_key(&world->ledger, session->row);
    int row = ledger_row(&world->ledger, key, found->sort_key);
    struct versions versions = {0};
    if (row < 0 || versions_decode(found->versions, &versions) != 0) {
        sim_fail(&world->sim, "s%u: a scan found a row that is none", session->number);
        return;
    }
    bool with_values = (session->request.flags & MESSAGE_KEYS_ONLY) == 0;
    if ((session->request.flags & MESSAGE_TOMBSTONES) == 0 && versions_live(&versions) == 0) {
        sim_fail(&world->sim, "s%u: a scan shows a deleted row", session->number);
    }
    check_row(session, (uint32_t)row, &versions, with_values);
    if (read != NULL) {
        strict_read_saw(&world->ledger, read, (uint32_t)row, &versions);
    }
    versions_release(&versions);
}

/* With tombstones asked for and no further page, a row that is not shown was never written. */
static void check_scan_gaps(struct session *session, const struct scan_reply *reply) {
    struct world *world = session->workload->world;
    if ((session->request.flags & MESSAGE_TOMBSTONES) == 0 || reply->more) {
        return;
    }
    uint32_t n;
    uint32_t first = ledger_partition(&world->ledger, session->row, &n);
    for (uint32_t row = first; row < first + n; row++) {
        bool shown = false;
        for (uint32_t i = 0; i < reply->n_rows; i++) {
            shown |= bytes_equal(reply->rows[i].sort_key, ledger_sort_key(&world->ledger, row));
        }
        if (!shown) {
            struct context nothing = {0};
            check_own_writes(session, row, &nothing);
        }
    }
}

/* The rows that a page looked at: those up to its cursor, or all. */
static void note_scanned(struct session *session, const struct scan_reply *reply,
                         struct strict_read *read) {
    struct ledger *ledger = &session->workload->world->ledger;
    uint32_t n;
    ledger_partition(ledger, read->first_row, &n);
    for (uint32_t i = 0; i < n; i++) {
        struct bytes key = ledger_sort_key(ledger, read->first_row + i);
        if (!reply->more || bytes_compare(key, reply->cursor) <= 0) {
            read->rows |= 1u << i;
        }
    }
    read->live_only = (session->request.flags & MESSAGE_TOMBSTONES) == 0;
    world_cover(session->workload->world, COVER_STRICT_READS);
}

static void check_scan(struct session *session, struct bytes payload) {
    struct scan_reply reply;
    if (scan_reply_decode(payload, &reply) != 0) {
        sim_fail(sim_of(session), "s%u: malformed reply to SCAN", session->number);
        return;
    }
    struct strict_read *read = NULL;
    if ((session->request.flags & MESSAGE_STRICT) != 0) {
        read = ledger_read(&session->workload->world->ledger, session->row, session->issued_ns);
        note_scanned(session, &reply, read);
    }
    for (uint32_t i = 0; i < reply.n_rows; i++) {
        if (i > 0 && bytes_compare(reply.rows[i - 1].sort_key, reply.rows[i].sort_key) >= 0) {
            sim_fail(sim_of(session), "s%u: a scan out of order", session->number);
        }
        check_scan_row(session, &reply.rows[i], read);
    }
    check_scan_gaps(session, &reply);
    scan_reply_release(&reply);
}

static void check_contexts(struct session *session, const struct write *write,
                           const struct batch_reply *reply) {
    struct context context = {0};
    for (uint32_t i = 0; i < write->n; i++) {
        if (write->rows[i].kind != ROW_GUARD && context_decode(reply->contexts[i], &context) != 0) {
            sim_fail(sim_of(session), "s%u: malformed context", session->number);
        }
    }
    context_release(&context);
}

static void check_batch(struct session *session, int status, struct bytes payload) {
    struct world *world = session->workload->world;
    world->ledger.writes[session->write].retried = session->request.uncertain;
    ledger_end(&world->ledger, session->write, status);
    if (status == ERR_CONFLICT && session->kind == OP_DIRECTORY) {
        directory_forget(session);
    }
    if (status != 0) {
        return;
    }
    struct write *write = &world->ledger.writes[session->write];
    struct batch_reply reply;
    if (batch_reply_decode(payload, &reply) != 0 || reply.n_contexts != write->n) {
        sim_fail(&world->sim, "s%u: malformed reply to BATCH", session->number);
        return;
    }
    check_contexts(session, write, &reply);
    write->stood_in = reply.answered < reply.needed;
    world->coverage[COVER_STAND_INS] += write->stood_in;
    if (!write->stood_in) { /* a quorum read need not find what a stand-in keeps */
        session->acked[session->n_acked++] = session->write;
    }
    hints_check_copies(world, session->write);
    batch_reply_release(&reply);
}

void answer_check(struct session *session, int status, struct bytes payload) {
    struct world *world = session->workload->world;
    if (session->is_write) {
        sim_trace(&world->sim, "s%u write %u answered %s%s", session->number, session->write,
                  err_name(status), session->request.uncertain ? ", retried" : "");
    } else {
        sim_trace(&world->sim, "s%u answered %s", session->number, err_name(status));
    }
    cover_status(world, status);
    if (!legal(session, status)) {
        sim_fail(&world->sim, "s%u: illegal answer %s to operation of kind %d", session->number,
                 err_name(status), (int)session->kind);
    }
    int64_t now = sim_process_now(&session->client->process);
    bool paused_meanwhile = session->client->process.paused_until_ns > session->issued_ns;
    if (now > session->request.deadline_ns + TICK_MS * SIM_MS && !paused_meanwhile) {
        sim_fail(&world->sim, "s%u was answered %lld us after its deadline", session->number,
                 (long long)((now - session->request.deadline_ns) / SIM_US));
    }
    if (session->is_write) {
        check_batch(session, status, payload);
    } else if (status == 0 && (session->kind == OP_GET || session->kind == OP_DIRECTORY)) {
        check_get(session, payload);
    } else if (status == 0 && session->kind == OP_SCAN) {
        check_scan(session, payload);
    }
}

void answer_refused(struct session *session, int err) {
    if (err != ERR_BUSY && err != ERR_CLOSED) {
        sim_fail(sim_of(session), "s%u: the client refused a request: %s", session->number,
                 err_name(err));
    }
    if (session->is_write) {
        ledger_end(&session->workload->world->ledger, session->write, ERR_TIMEOUT);
    }
}
