/* final_reads: every row read from all its replicas, twice, after the faults are over. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"
#include "shared/store.h"
#include "tests/sim/check.h"

enum { TRIES = 20, WAIT_S = 3 };

struct final_read {
    struct world *world;
    struct client_request request;
    struct final_rows *into;
    uint32_t row;
    bool answered;
    int status;
};

static void store_row(struct final_read *read, struct bytes payload) {
    struct final_rows *into = read->into;
    struct get_reply reply;
    struct versions versions = {0};
    if (get_reply_decode(payload, &reply) != 0 || versions_decode(reply.versions, &versions) != 0) {
        sim_fail(&read->world->sim, "malformed reply to the final GET of row %u", read->row);
        return;
    }
    versions_release(&versions);
    versions_release(&into->versions[read->row]);
    free((void *)(uintptr_t)into->held[read->row].data);
    into->held[read->row] = bytes_copy(reply.versions);
    into->n_live[read->row] = reply.tally.n_live;
    int err = versions_decode(into->held[read->row], &into->versions[read->row]);
    assert(err == 0);
}

static void on_read(struct client_request *request, int status, struct bytes payload) {
    struct final_read *read = request->context;
    read->answered = true;
    read->status = status;
    if (status == 0) {
        store_row(read, payload);
    }
}

static void submit(struct final_read *read) {
    struct world *world = read->world;
    struct world_client *reader = world_reader(world);
    memset(&read->request, 0, sizeof(read->request));
    read->request.type = MESSAGE_GET;
    read->request.flags = LEVEL_ALL;
    read->request.key = ledger_partition_key(&world->ledger, read->row);
    read->request.payload = ledger_sort_key(&world->ledger, read->row);
    read->request.deadline_ns = sim_process_now(&reader->process) + WAIT_S * SIM_S;
    read->request.done = on_read;
    read->request.context = read;
    read->answered = false;
    int err = client_submit(reader->client, &read->request);
    assert(err == 0);
    sim_process_settle(&reader->process);
}

static bool all_done(const struct final_read *reads, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (!reads[i].answered) {
            return false;
        }
    }
    return true;
}

/* Rounds, so that a row that is not answered in the first moments after healing gets more. */
static void read_all(struct world *world, struct final_rows *into) {
    uint32_t n = world->ledger.n_rows;
    struct final_read *reads = memory_new(n, sizeof(*reads));
    for (uint32_t row = 0; row < n; row++) {
        reads[row] = (struct final_read){.world = world, .into = into, .row = row, .status = 1};
    }
    uint32_t missing = n;
    for (int round = 0; round < TRIES && missing > 0 && !world->sim.failed; round++) {
        for (uint32_t row = 0; row < n; row++) {
            if (reads[row].status != 0) {
                world->coverage[COVER_FINAL_RETRIES] += round > 0;
                submit(&reads[row]);
            }
        }
        int64_t end = world->sim.now_ns + (WAIT_S + 1) * SIM_S;
        while (!all_done(reads, n) && world->sim.now_ns < end && !world->sim.failed) {
            sim_run(&world->sim, world->sim.now_ns + 5 * SIM_MS);
        }
        missing = 0;
        for (uint32_t row = 0; row < n && !world->sim.failed; row++) {
            missing += reads[row].status != 0;
            if (!reads[row].answered) {
                sim_fail(&world->sim, "the final read of row %u was never answered", row);
            }
        }
    }
    for (uint32_t row = 0; row < n && missing > 0; row++) {
        if (reads[row].status != 0) {
            sim_fail(&world->sim, "row %u cannot be read after all has healed: %s", row,
                     err_name(reads[row].status));
        }
    }
    if (world->sim.failed) { /* the requests are this function's memory */
        world_client_crash(world_reader(world));
    }
    free(reads);
}

void check_final_reads(struct world *world, struct final_rows *ret) {
    memset(ret, 0, sizeof(*ret));
    uint8_t first[ROWS_TOTAL_MAX][16], second[16];
    uint32_t n_reaped[ROWS_TOTAL_MAX];
    memcpy(n_reaped, world->ledger.n_reaped, sizeof(n_reaped));
    read_all(world, ret);
    for (uint32_t row = 0; row < world->ledger.n_rows; row++) {
        versions_digest(&ret->versions[row], first[row]);
    }
    sim_run(&world->sim, world->sim.now_ns + 2 * SIM_S);
    if (world->sim.failed) {
        return;
    }
    read_all(world, ret);
    for (uint32_t row = 0; row < world->ledger.n_rows && !world->sim.failed; row++) {
        versions_digest(&ret->versions[row], second);
        bool went = world->ledger.n_reaped[row] != n_reaped[row];
        if (memcmp(first[row], second, sizeof(second)) != 0 && !went) {
            sim_fail(&world->sim, "row %u changed between the two final reads", row);
        }
    }
    sim_run(&world->sim, world->sim.now_ns + 2 * SIM_S);
}

void final_rows_release(struct final_rows *rows) {
    for (uint32_t row = 0; row < ROWS_TOTAL_MAX; row++) {
        versions_release(&rows->versions[row]);
        free((void *)(uintptr_t)rows->held[row].data);
    }
}
