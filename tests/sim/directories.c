/* directories: sessions that use partitions as the filesystem does. */
#include "tests/sim/directories.h"

static struct ledger *ledger_of(struct session *session) {
    return &session->workload->world->ledger;
}

bool directory_choose(struct session *session) {
    uint32_t index = (uint32_t)dice_below(&session->dice, DIRECTORIES_MAX);
    uint32_t header = ledger_directory(ledger_of(session), index);
    uint32_t entry = header + (uint32_t)dice_between(&session->dice, 1, DIRECTORY_ROWS - 1);
    bool to_entry = dice_chance(&session->dice, 600000);
    if (!session->was_read[header] || dice_chance(&session->dice, 200000)) {
        session->row = header;
        return false;
    }
    session->row = session->read_live[header] && to_entry ? entry : header;
    return session->row == header || session->was_read[entry];
}

void directory_fill(struct session *session, struct write *write) {
    uint32_t n;
    uint32_t header = ledger_partition(ledger_of(session), session->row, &n);
    if (session->row != header && session->read_live[session->row]) {
        workload_add_row(session, write, session->row, ROW_DELETE, OP_MATCH);
    } else if (session->row != header) {
        workload_add_row(session, write, session->row, ROW_PUT, OP_ABSENT);
        struct write_row *guard = workload_add_row(session, write, header, ROW_GUARD, OP_MATCH);
        guard->condition = ROW_IF_MATCH;
        context_copy(&guard->seen, &session->read[header]);
    } else if (!session->read_live[header]) {
        workload_add_row(session, write, header, ROW_PUT, OP_ABSENT);
    } else {
        workload_add_row(session, write, header, ROW_DELETE, OP_MATCH);
        struct write_row *guard = workload_add_row(session, write, header, ROW_GUARD, OP_BLIND);
        guard->condition = ROW_COUNT_MAX;
    }
}

void directory_forget(struct session *session) {
    uint32_t n;
    uint32_t header = ledger_partition(ledger_of(session), session->row, &n);
    session->was_read[header] = false;
    session->was_read[session->row] = false;
}

/* ---- the check ---- */

static bool deletes(const struct write *write, uint32_t row) {
    return write->rows[0].row == row && write->rows[0].kind == ROW_DELETE;
}

/* Whether it is certain of every unmaking of the directory whether it was done. */
static bool all_certain(const struct ledger *ledger, uint32_t header) {
    for (uint32_t i = 0; i < ledger->n; i++) {
        const struct write *write = &ledger->writes[i];
        if (deletes(write, header) && write_possible(write) &&
            (write->outcome != 0 || write->retried)) {
            return false;
        }
    }
    return true;
}

static void check_directory(struct world *world, const struct final_rows *rows, uint32_t header) {
    const struct versions *now = &rows->versions[header];
    if (now->context.n == 0 || versions_live(now) > 0 || !all_certain(&world->ledger, header)) {
        return;
    }
    for (uint32_t row = header + 1; row < header + DIRECTORY_ROWS; row++) {
        for (uint32_t i = 0; i < rows->versions[row].n_siblings; i++) {
            const struct sibling *sibling = &rows->versions[row].siblings[i];
            struct write *write = ledger_find(&world->ledger, &sibling->op);
            if (write != NULL && (sibling->flags & SIBLING_TOMBSTONE) == 0 && write->outcome == 0 &&
                !write->retried) {
                /* Not promised yet: a replica that missed the header lets the guard pass without
                 * learning it, and later counts one row less. */
                sim_trace(&world->sim, "the directory of row %u was removed, write %u is in it",
                          header, (uint32_t)(write - world->ledger.writes));
                world_cover(world, COVER_ORPHANS);
            }
        }
    }
}

void check_directories(struct world *world, const struct final_rows *rows) {
    for (uint32_t d = 0; d < DIRECTORIES_MAX; d++) {
        check_directory(world, rows, ledger_directory(&world->ledger, d));
    }
}
