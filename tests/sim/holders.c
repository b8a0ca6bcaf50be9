/* holders: clients that keep what they read under leases, and must never show what is outdated. */
#include "tests/sim/holders.h"

#include <stdlib.h>

#include "shared/err.h"

enum { HOLDER_THINKS_MS = 15 };

struct kept {
    bool kept;
    uint64_t told;  /* the clock when a change of it was last told */
    uint64_t since; /* ...when its partition became whole; 0 = it is not */
    struct context context;
};

struct holder {
    struct world_client *client;
    uint32_t life; /* of the client: events of former ones are nobody's */
    struct client_watch *watch;
    struct dice dice;
    uint64_t clock;
    struct client_request request;
    struct buffer payload;
    bool busy;
    uint32_t row;   /* being read */
    uint64_t began; /* the clock when that began */
    struct kept rows[ROWS_TOTAL_MAX];
};

static struct ledger *ledger_of(const struct holder *holder) {
    return &holder->client->world->ledger;
}

/* ---- what is told ---- */

static void on_changed(void *context, struct bytes partition_key, struct bytes sort_key) {
    struct holder *holder = context;
    int row = ledger_row(ledger_of(holder), partition_key, sort_key);
    if (row >= 0) {
        holder->rows[row].told = ++holder->clock;
        holder->rows[row].kept = false;
    }
}

static void on_live(void *context, struct bytes partition_key, bool live) {
    (void)context;
    (void)partition_key;
    (void)live;
}

static void on_whole(void *context, struct bytes partition_key, bool whole) {
    struct holder *holder = context;
    const struct ledger *ledger = ledger_of(holder);
    holder->clock++;
    for (uint32_t row = 0; row < ledger->n_rows; row++) {
        if (bytes_equal(ledger_partition_key(ledger, row), partition_key)) {
            holder->rows[row].since = whole ? holder->clock : 0;
            holder->rows[row].kept = false;
        }
    }
}

/* ---- reading ---- */

static void think(struct holder *holder);

static void keep(struct holder *holder, struct bytes payload) {
    struct kept *kept = &holder->rows[holder->row];
    struct get_reply reply;
    struct versions versions = {0};
    bool good = kept->since != 0 && kept->since <= holder->began && kept->told <= holder->began;
    if (good && get_reply_decode(payload, &reply) == 0 &&
        versions_decode(reply.versions, &versions) == 0) {
        context_copy(&kept->context, &versions.context);
        kept->kept = true;
    }
    versions_release(&versions);
}

static void on_read(struct client_request *request, int status, struct bytes payload) {
    struct holder *holder = request->context;
    holder->busy = false;
    if (status == 0) {
        keep(holder, payload);
    }
}

static void read_row(struct holder *holder) {
    struct ledger *ledger = ledger_of(holder);
    buffer_clear(&holder->payload);
    buffer_put_bytes(&holder->payload, ledger_sort_key(ledger, holder->row));
    holder->began = ++holder->clock;
    holder->request = (struct client_request){
        .type = MESSAGE_GET,
        .key = ledger_partition_key(ledger, holder->row),
        .payload = buffer_bytes(&holder->payload),
        .deadline_ns = sim_process_now(&holder->client->process) + SIM_S,
        .done = on_read,
        .context = holder,
    };
    holder->busy = client_submit(holder->client->client, &holder->request) == 0;
    sim_process_settle(&holder->client->process);
}

/* ---- what is kept ---- */

static void check_kept(struct holder *holder, uint32_t row) {
    struct world *world = holder->client->world;
    const struct context *context = &holder->rows[row].context;
    world_cover(world, COVER_LEASED_READS);
    for (uint32_t i = 0; i < world->ledger.n; i++) {
        struct write *write = &world->ledger.writes[i];
        struct write_row *part = write_row_of(write, row);
        bool done = write->outcome == 0 && !write->stood_in && write->end_ns < world->sim.now_ns;
        if (part == NULL || !done || part->kind == ROW_GUARD || write_row_covered(part, context) ||
            write_row_reaped(&world->ledger, part)) {
            continue;
        }
        sim_fail(&world->sim, "%s holds row %u under a lease without the acknowledged write %u",
                 holder->client->process.name, row, i);
        return;
    }
}

static void want(void *context, uint64_t life) {
    struct world_client *client = context;
    struct holder *holder = client->holder;
    struct world *world = client->world;
    if (client->client == NULL || client->lives != life || world->healing || world->sim.failed) {
        return;
    }
    struct ledger *ledger = &world->ledger;
    uint32_t row = (uint32_t)dice_below(&holder->dice, ledger->n_rows);
    if (client->process.paused_until_ns > world->sim.now_ns) {
        think(holder);
        return;
    }
    bool leased = client_watch_leased(holder->watch, ledger_partition_key(ledger, row));
    if (leased && holder->rows[row].kept) {
        check_kept(holder, row);
    } else if (!holder->busy && client->client != NULL) {
        client_watch_begin(holder->watch, ledger_partition_key(ledger, row));
        holder->row = row;
        read_row(holder);
    }
    think(holder);
}

static void think(struct holder *holder) {
    struct sim *sim = &holder->client->world->sim;
    int64_t ns = dice_exponential(&holder->dice, HOLDER_THINKS_MS * SIM_MS);
    sim_at(sim, sim->now_ns + ns, want, holder->client, holder->life);
}

/* ---- life ---- */

struct holder *holder_new(struct world_client *client) {
    struct world *world = client->world;
    if (world->options.lease_ms == 0 || client == world_reader(world)) {
        return NULL;
    }
    struct holder *holder = memory_new(1, sizeof *holder);
    holder->client = client;
    holder->life = client->lives;
    dice_init(&holder->dice, world->sim.seed, DICE_HOLDER,
              (uint64_t)client->port.index << 32 | client->lives);
    struct client_watch_config config = {on_changed, on_live, on_whole, holder};
    holder->watch = client_watch_new(client->client, &config);
    think(holder);
    return holder;
}

void holder_free(struct holder *holder) {
    if (holder == NULL) {
        return;
    }
    client_watch_free(holder->watch);
    if (holder->busy) {
        client_cancel(holder->client->client, &holder->request);
    }
    for (uint32_t row = 0; row < ROWS_TOTAL_MAX; row++) {
        context_release(&holder->rows[row].context);
    }
    buffer_release(&holder->payload);
    free(holder);
}
