/* workload: sessions of clients that read and write the same few rows: what they ask. */
#include "tests/sim/workload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store.h"
#include "tests/sim/answers.h"
#include "tests/sim/directories.h"
#include "tests/sim/patches.h"

static void next_op(void *context, uint64_t number);

/* Each operation has dice of its own. */
static void session_dice(struct session *session, uint32_t n) {
    dice_init(&session->dice, session->workload->world->sim.seed, DICE_SESSION,
              (uint64_t)session->number << 32 | n);
}

static uint32_t rows_in_partitions(const struct world *world) {
    return (uint32_t)world->options.n_partitions * world->options.n_rows;
}

static void think(struct session *session) {
    struct world *world = session->workload->world;
    int64_t ns = dice_exponential(&session->dice, world->options.think_mean_ns);
    sim_at(&world->sim, world->sim.now_ns + ns, next_op, session, 0);
}

static void on_done(struct client_request *request, int status, struct bytes payload) {
    struct session *session = request->context;
    struct world *world = session->workload->world;
    if (!session->busy) {
        sim_fail(&world->sim, "session %u was answered twice", session->number);
        return;
    }
    session->busy = false;
    session->status = status;
    answer_check(session, status, payload);
    think(session);
}

static uint16_t level_of(struct session *session) {
    (void)session;
    return LEVEL_QUORUM;
}

/* Some reads are strict: in line with conditional batches. */
static uint16_t strictly(struct session *session) {
    uint32_t ppm = session->workload->world->options.strict_reads_ppm;
    return dice_chance(&session->dice, ppm) ? MESSAGE_STRICT : 0;
}

static void submit(struct session *session, uint8_t type, uint16_t flags, struct bytes key) {
    struct world *world = session->workload->world;
    const struct options *o = &world->options;
    struct client_request *request = &session->request;
    memset(request, 0, sizeof(*request));
    request->type = type;
    request->flags = flags;
    request->node = session->via;
    request->key = key;
    request->payload = buffer_bytes(&session->payload);
    request->reply_size = dice_chance(&session->dice, 200000) ? 70000 : 0;
    int64_t patience = dice_between(&session->dice, o->deadline_min_ns, o->deadline_max_ns);
    request->deadline_ns = sim_process_now(&session->client->process) + patience;
    request->done = on_done;
    request->context = session;
    session->issued_ns = world->sim.now_ns;
    session->busy = true;
    int err = client_submit(session->client->client, request);
    if (err != 0) {
        session->busy = false;
        session->status = err;
        answer_refused(session, err);
        think(session);
    }
    sim_process_settle(&session->client->process);
}

static void ask_get(struct session *session) {
    struct ledger *ledger = &session->workload->world->ledger;
    if (session->kind == OP_GET) {
        session->row = (uint32_t)dice_below(&session->dice, ledger_contest(ledger, 1));
        if (session->row >= ledger_contest(ledger, 0)) {
            session->row = ledger_contest(ledger, session->workload->contest);
        }
    }
    buffer_put_bytes(&session->payload, ledger_sort_key(ledger, session->row));
    submit(session, MESSAGE_GET, level_of(session) | strictly(session),
           ledger_partition_key(ledger, session->row));
}

static uint32_t any_row(struct session *session) {
    return (uint32_t)dice_below(&session->dice, rows_in_partitions(session->workload->world));
}

static void ask_scan(struct session *session) {
    struct world *world = session->workload->world;
    uint32_t n;
    uint32_t row = (uint32_t)dice_below(&session->dice, ledger_contest(&world->ledger, 0));
    session->row = ledger_partition(&world->ledger, row, &n);
    struct scan_request scan = {
        .rows_max = dice_chance(&session->dice, 300000) ? 2 : 100,
        .bytes_max = dice_chance(&session->dice, 300000) ? 300 : SCAN_BYTES_MAX,
    };
    scan_request_encode(&scan, &session->payload);
    uint16_t flags = level_of(session);
    flags |= dice_chance(&session->dice, 500000) ? MESSAGE_TOMBSTONES : 0;
    flags |= dice_chance(&session->dice, 300000) ? MESSAGE_KEYS_ONLY : 0;
    flags |= strictly(session);
    submit(session, MESSAGE_SCAN, flags, ledger_partition_key(&world->ledger, session->row));
}

static void ask_stats(struct session *session) {
    struct world *world = session->workload->world;
    session->row = 0;
    submit(session, MESSAGE_STATS, 0, ledger_partition_key(&world->ledger, 0));
}

/* ---- writes ---- */

static uint8_t condition_of(struct session *session, enum op_kind kind) {
    static const uint8_t mixed[] = {ROW_ANY, ROW_OVERWRITE, ROW_IF_MATCH, ROW_IF_ABSENT};
    if (session->workload->world->options.unconditional &&
        (kind == OP_DELETE || kind == OP_BATCH)) {
        return mixed[dice_below(&session->dice, 2)];
    }
    switch (kind) {
    case OP_OVERWRITE:
    case OP_PATCH:
    case OP_ERASE:
        return ROW_OVERWRITE;
    case OP_MATCH:
        return ROW_IF_MATCH;
    case OP_ABSENT:
    case OP_CONTEST:
        return ROW_IF_ABSENT;
    case OP_DELETE:
        return mixed[dice_below(&session->dice, 3)];
    case OP_BATCH:
        return mixed[dice_below(&session->dice, 4)];
    default:
        return ROW_ANY;
    }
}

struct write_row *workload_add_row(struct session *session, struct write *write, uint32_t row,
                                   uint8_t row_kind, enum op_kind kind) {
    struct write_row *part = &write->rows[write->n++];
    part->row = (uint16_t)row;
    part->kind = row_kind;
    part->condition = condition_of(session, kind);
    if (row_kind == ROW_GUARD) {
        part->condition = dice_chance(&session->dice, 500000) ? ROW_IF_MATCH : ROW_IF_ABSENT;
    }
    struct world *world = session->workload->world;
    bool strict = row < (uint32_t)world->options.n_strict_partitions * world->options.n_rows;
    if (strict && part->condition < ROW_IF_MATCH && row_kind != ROW_PATCH) {
        part->condition = dice_chance(&session->dice, 700000) ? ROW_IF_MATCH : ROW_IF_ABSENT;
    }
    bool knows = session->was_read[row] && kind != OP_BLIND && kind != OP_CONTEST;
    bool absent = part->condition == ROW_IF_ABSENT;
    if (knows && part->condition != ROW_OVERWRITE && !(absent && session->read_live[row])) {
        context_copy(&part->seen, &session->read[row]);
    }
    return part;
}

static uint8_t row_kind_of(enum op_kind kind) {
    return kind == OP_DELETE || kind == OP_ERASE ? ROW_DELETE
           : kind == OP_PATCH                    ? ROW_PATCH
                                                 : ROW_PUT;
}

static void fill_write(struct session *session, struct write *write, enum op_kind kind) {
    struct world *world = session->workload->world;
    if (kind == OP_CONTEST) {
        session->row = ledger_contest(&world->ledger, session->workload->contest);
        workload_add_row(session, write, session->row, ROW_PUT, kind);
        return;
    }
    if (kind == OP_DIRECTORY) {
        directory_fill(session, write);
        return;
    }
    session->row = any_row(session);
    if (kind != OP_BATCH) {
        uint8_t row_kind = row_kind_of(kind);
        workload_add_row(session, write, session->row, row_kind, kind);
        return;
    }
    uint32_t first = session->row / world->options.n_rows * world->options.n_rows;
    uint32_t guards = 0;
    for (uint32_t i = 0; i < world->options.n_rows && write->n < BATCH_MAX; i++) {
        uint64_t choice = dice_below(&session->dice, 6);
        bool last_chance = guards == write->n && i + 1 == world->options.n_rows;
        if (choice < 3 || last_chance) {
            uint8_t row_kind = dice_chance(&session->dice, 250000) ? ROW_DELETE : ROW_PUT;
            workload_add_row(session, write, first + i, row_kind, kind);
        } else if (choice == 3 && write->n + 1 < BATCH_MAX && !world->options.unconditional) {
            workload_add_row(session, write, first + i, ROW_GUARD, kind);
            guards++;
        }
    }
}

/* Turns the ledger's write into the batch that the client is told. */
static void encode_write(struct session *session, const struct write *write) {
    struct ledger *ledger = &session->workload->world->ledger;
    struct row_op ops[BATCH_MAX];
    struct buffer seen[BATCH_MAX], values[BATCH_MAX];
    memset(ops, 0, sizeof(ops));
    memset(seen, 0, sizeof(seen));
    memset(values, 0, sizeof(values));
    for (uint32_t i = 0; i < write->n; i++) {
        const struct write_row *part = &write->rows[i];
        if (part->seen.n > 0) {
            context_encode(&part->seen, &seen[i]);
        }
        if (part->kind == ROW_PUT) {
            ledger_value(ledger, session->write, i, &values[i]);
        } else if (part->kind == ROW_PATCH) {
            patch_pieces(session->number, session->write, &values[i]);
        }
        ops[i] = (struct row_op){
            .kind = part->kind,
            .condition = part->condition,
            .count_max = part->condition == ROW_COUNT_MAX ? DIRECTORY_COUNT_MAX : 0,
            .sort_key = ledger_sort_key(ledger, part->row),
            .seen = buffer_bytes(&seen[i]),
            .value = buffer_bytes(&values[i]),
        };
    }
    struct batch batch = {write->op, write->n, ops};
    batch_encode(&batch, &session->payload);
    for (uint32_t i = 0; i < write->n; i++) {
        buffer_release(&seen[i]);
        buffer_release(&values[i]);
    }
}

static void trace_write(struct session *session, const struct write *write) {
    struct sim *sim = &session->workload->world->sim;
    for (uint32_t i = 0; i < write->n && sim->tracing; i++) {
        const struct write_row *part = &write->rows[i];
        sim_trace(sim, "s%u write %u: row %u kind %u condition %u seen %u entries", session->number,
                  session->write, part->row, part->kind, part->condition, part->seen.n);
    }
}

static void send_write(struct session *session, const struct write *write) {
    struct world *world = session->workload->world;
    trace_write(session, write);
    encode_write(session, write);
    session->is_write = true;
    world_cover(world, COVER_BATCHES);
    bool synced = dice_chance(&session->dice, world->options.synced_ppm);
    uint16_t flags = (uint16_t)(level_of(session) | (synced ? MESSAGE_SYNCED : 0));
    submit(session, MESSAGE_BATCH, flags, ledger_partition_key(&world->ledger, session->row));
}

static void ask_write(struct session *session, enum op_kind kind) {
    struct ledger *ledger = &session->workload->world->ledger;
    struct write *write = ledger_begin(ledger, session->number, &session->write);
    fill_write(session, write, kind);
    send_write(session, write);
}

void workload_ask(struct session *session, enum op_kind kind, uint32_t row, int64_t patience_ns) {
    struct world *world = session->workload->world;
    assert(!session->busy && session->client->client != NULL);
    world->options.deadline_min_ns = world->options.deadline_max_ns = patience_ns;
    session->kind = kind;
    session->row = row;
    session->is_write = false;
    buffer_clear(&session->payload);
    if (kind == OP_GET || kind == OP_STRICT_GET) {
        uint16_t flags = (uint16_t)(kind == OP_GET ? 0 : MESSAGE_STRICT);
        session->kind = OP_GET;
        buffer_put_bytes(&session->payload, ledger_sort_key(&world->ledger, row));
        submit(session, MESSAGE_GET, level_of(session) | flags,
               ledger_partition_key(&world->ledger, row));
        return;
    }
    struct write *write = ledger_begin(&world->ledger, session->number, &session->write);
    workload_add_row(session, write, row, row_kind_of(kind), kind == OP_DELETE ? OP_MATCH : kind);
    send_write(session, write);
}

/* A contest is over after a few entries; then the next row is fought for. */
static void enter_contest(struct workload *workload) {
    if (workload->contest_turns == 0) {
        workload->contest_turns = 4;
        if (workload->contest + 1 < CONTESTS_MAX) {
            workload->contest++;
        }
    }
    workload->contest_turns--;
}

static void next_op(void *context, uint64_t number) {
    (void)number;
    struct session *session = context;
    struct world *world = session->workload->world;
    if (session->ops_left == 0 || session->busy) {
        return;
    }
    if (session->client->client == NULL ||
        session->client->process.paused_until_ns > world->sim.now_ns) {
        think(session);
        return;
    }
    uint32_t n = world->options.ops_per_session - session->ops_left--;
    session_dice(session, n + 1);
    if (omit_op(&world->omit, session->number, n)) {
        think(session);
        return;
    }
    session->is_write = false;
    buffer_clear(&session->payload);
    session->kind = (enum op_kind)dice_weighted(&session->dice, world->options.weights, OP_KINDS);
    switch (session->kind) {
    case OP_GET:
        world_cover(world, COVER_GETS);
        ask_get(session);
        break;
    case OP_SCAN:
        world_cover(world, COVER_SCANS);
        ask_scan(session);
        break;
    case OP_STATS:
        ask_stats(session);
        break;
    case OP_CONTEST:
        enter_contest(session->workload);
        ask_write(session, OP_CONTEST);
        break;
    case OP_DIRECTORY:
        if (directory_choose(session)) {
            ask_write(session, OP_DIRECTORY);
        } else {
            ask_get(session);
        }
        break;
    default:
        ask_write(session, session->kind);
        break;
    }
}

void workload_init(struct workload *workload, struct world *world) {
    memset(workload, 0, sizeof(*workload));
    workload->world = world;
    workload->contest_turns = 4;
    for (uint16_t i = 0; i < world->options.n_sessions; i++) {
        struct session *session = &workload->sessions[i];
        session->workload = workload;
        session->number = i;
        session->client = &world->clients[i % world->options.n_clients];
        session->ops_left = world->options.ops_per_session;
        session_dice(session, 0);
    }
}

void workload_release(struct workload *workload) {
    for (uint16_t i = 0; i < workload->world->options.n_sessions; i++) {
        struct session *session = &workload->sessions[i];
        buffer_release(&session->payload);
        for (uint32_t k = 0; k < ROWS_TOTAL_MAX; k++) {
            context_release(&session->read[k]);
        }
    }
}

void workload_start(struct workload *workload) {
    for (uint16_t i = 0; i < workload->world->options.n_sessions; i++) {
        think(&workload->sessions[i]);
    }
}

void workload_stop(struct workload *workload) {
    for (uint16_t i = 0; i < workload->world->options.n_sessions; i++) {
        workload->sessions[i].ops_left = 0;
    }
}

uint32_t workload_busy(const struct workload *workload) {
    uint32_t n = 0;
    for (uint16_t i = 0; i < workload->world->options.n_sessions; i++) {
        n += workload->sessions[i].busy ? 1 : 0;
    }
    return n;
}

bool workload_finished(const struct workload *workload) {
    for (uint16_t i = 0; i < workload->world->options.n_sessions; i++) {
        if (workload->sessions[i].busy || workload->sessions[i].ops_left > 0) {
            return false;
        }
    }
    return true;
}
