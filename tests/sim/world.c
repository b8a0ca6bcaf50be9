/* world: the cluster of a run: nodes, client processes, and their disks. */
#include "tests/sim/world.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/chain.h"
#include "tests/sim/hints.h"
#include "tests/sim/holders.h"
#include "tests/sim/run_seed.h"
#include "tests/sim/stored.h"

const char *const coverage_names[COVER_COUNTERS] = {
    "crashes",
    "clean stops",
    "pauses",
    "breaks",
    "isolations",
    "one-way cuts",
    "pair cuts",
    "group cuts",
    "client crashes",
    "wall jumps",
    "disk failures",
    "disks full",
    "rots",
    "rots mended",
    "machine crashes",
    "wipes",
    "hot strikes",
    "gave up",
    "commits kept",
    "commits lost",
    "buffered commits lost",
    "gets",
    "scans",
    "batches",
    "done",
    "conflicts",
    "unknowns",
    "unavailables",
    "timeouts",
    "busies",
    "too many siblings",
    "closed",
    "sibling reads",
    "regressions",
    "lost pendings read",
    "orphans",
    "twin losses",
    "twin revivals",
    "unavailable but applied",
    "retried passes",
    "two coordinators",
    "stand-ins counted",
    "client retries",
    "links reopened",
    "quorum reads by clients",
    "quorum reads given to nodes",
    "final retries",
    "strict reads",
    "reads under leases",
    "linear operations",
    "linear undecided",
};

void world_cover(struct world *world, enum coverage what) {
    world->coverage[what]++;
}

struct world_client *world_reader(struct world *world) {
    return &world->clients[world->options.n_clients];
}

const struct ring *world_ring(const struct world *world) {
    uint16_t i = 0;
    while (world->nodes[i].membership == NULL) {
        i++;
        assert(i < world->options.n_nodes);
    }
    return membership_ring(world->nodes[i].membership);
}

static int64_t disk_now(void *context) {
    struct world_node *node = context;
    return sim_process_now(&node->process);
}

static int64_t disk_latency(void *context, enum disk_mem_work work) {
    struct world_node *node = context;
    const struct options *o = &node->world->options;
    int64_t mean = work == DISK_MEM_COMMIT_SYNCED ? o->disk_sync_ns
                   : work == DISK_MEM_COMMIT      ? o->disk_commit_ns
                                                  : o->disk_read_ns;
    int64_t ns = mean / 2 + dice_exponential(&node->dice, mean / 2);
    if (node->world->healing) {
        return ns;
    }
    if (o->slow_node == node->id) {
        ns *= 30;
    }
    if (dice_chance(&node->dice, o->disk_hang_ppm)) {
        ns += o->disk_hang_ns;
    }
    return ns;
}

/* Of a row that goes every other replica has the same, or nothing any more. */
static void check_removal(const struct world_node *node, struct bytes key, struct bytes old) {
    struct world *world = node->world;
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        struct bytes there = disk_mem_get(world->nodes[i].disk, key), sound;
        bool rotten = stored_value(old, &sound) != 0 || stored_value(there, &sound) != 0;
        if (there.size > 0 && !rotten && !bytes_equal(there, old) && !world->sim.failed) {
            sim_fail(&world->sim, "%s removes a row of which %s has something else",
                     node->process.name, world->nodes[i].process.name);
        }
    }
}

/* Learns the dots of a proposal: it may be replaced before it is in any row. */
static void learn_proposal(struct world *world, struct bytes encoded) {
    struct chain_proposal proposal;
    if (encoded.size > 0 && chain_proposal_decode(encoded, &proposal) == 0) {
        ledger_replicated(&world->ledger, proposal.batch);
    }
}

static void on_stored(void *context, struct bytes key, struct bytes old, struct bytes now) {
    struct world_node *node = context;
    struct world *world = node->world;
    sim_mark_bytes(&world->sim, now.data, now.size);
    hot_stored(node);
    hints_check_stored(node, key, old, now);
    struct bytes partition_key, sort_key, value;
    if (stored_tally_key(key, &partition_key) && stored_value(now, &value) == 0) {
        sim_trace(&world->sim, "%s stores the tally of %.*s: %llu live", node->process.name,
                  (int)partition_key.size, (const char *)partition_key.data,
                  (unsigned long long)stored_tally(value).n_live);
    } else if (stored_pending_key(key, &partition_key) && stored_value(now, &value) == 0) {
        learn_proposal(world, value);
    } else if (stored_row_key(key, &partition_key, &sort_key)) {
        int row = ledger_row(&world->ledger, partition_key, sort_key);
        if (row < 0) {
            sim_fail(&world->sim, "%s stored a row nobody asked for", node->process.name);
            return;
        }
        struct bytes before, after;
        if (stored_value(old, &before) != 0) {
            before = bytes_of(NULL, 0); /* it rotted, and is written anew */
            world_cover(world, COVER_ROTS_MENDED);
        }
        if (stored_value(now, &after) != 0) {
            sim_fail(&world->sim, "%s stored row %d with a wrong checksum", node->process.name,
                     row);
            return;
        }
        if (after.size == 0) {
            check_removal(node, key, old);
        }
        ledger_stored(&world->ledger, (uint32_t)row, node->process.name, before, after);
    }
}

static void on_failed(void *context, struct bytes key, struct bytes value) {
    struct world_node *node = context;
    struct ledger *ledger = &node->world->ledger;
    struct bytes partition_key, sort_key, versions;
    if (stored_row_key(key, &partition_key, &sort_key) && stored_value(value, &versions) == 0) {
        int row = ledger_row(ledger, partition_key, sort_key);
        if (row >= 0) {
            ledger_failed(ledger, (uint32_t)row, versions);
        }
    }
}

static void build_ring(const struct world *world, struct ring *ret) {
    struct ring_member members[NODES_MAX];
    memset(members, 0, sizeof(members));
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        members[i].id = world->nodes[i].id;
        members[i].weight = RING_WEIGHT_DEFAULT;
        snprintf(members[i].address, sizeof(members[i].address), "sim://%u", members[i].id);
    }
    int err = ring_build(world->sim.seed, world->options.n_slices, world->options.n_replicas,
                         members, world->options.n_nodes, ret);
    assert(err == 0);
}

/* The network's send, with an eye on the dots that a coordinator gives out. */
static int node_send(void *self, const struct endpoint *to, const struct message *message) {
    struct sim_port *port = self;
    struct world_node *node =
        (struct world_node *)(void *)((char *)port - offsetof(struct world_node, port));
    struct hint_request hint;
    if (message->type == MESSAGE_REPLICATE) {
        ledger_replicated(&node->world->ledger, message->payload);
    } else if (message->type == MESSAGE_HINT && hint_request_decode(message->payload, &hint) == 0) {
        ledger_replicated(&node->world->ledger, hint.batch);
    } else if (message->type == MESSAGE_PROPOSE) {
        learn_proposal(node->world, message->payload);
    }
    return sim_port_env(port).send(self, to, message);
}

static void node_got(void *context, const struct endpoint *from, const struct message *message) {
    struct world_node *node = context;
    if (node->node != NULL) {
        node_receive(node->node, from, message);
    }
}

void world_node_start(struct world_node *node) {
    struct world *world = node->world;
    assert(node->node == NULL);
    sim_trace(&world->sim, "%s starts", node->process.name);
    sim_process_start(&node->process);
    struct dice dice;
    dice_init(&dice, world->sim.seed, DICE_CLOCK, (uint64_t)node->id << 32 | ++node->lives);
    node->process.clock.base_ns = dice_between(&dice, 0, SIM_S * 1000);
    struct disk_mem_time time = {&node->process.timers, node, disk_now, disk_latency};
    disk_mem_timed(node->disk, &time);
    struct ring ring = {0};
    build_ring(world, &ring);
    node->membership = membership_new(node->id, &ring);
    struct node_config config = {
        .id = node->id,
        .incarnation = node->incarnation,
        .read_quorum = world->options.read_quorum,
        .write_quorum = world->options.write_quorum,
        .credit_bytes = 1 << 20,
        .repair_round_ms = world->options.repair_round_ms,
        .reap_age_ms = world->options.reap_ms / 2,
        .reap_hold_ms = world->options.reap_ms,
        .boot = 1 + node->boots,
        .scrub_round_ms = world->options.every_ns[FAULT_ROT] > 0 ? 500 : 0,
        .hint_bytes_max = world->options.hint_bytes_max,
        .lease_ms = world->options.lease_ms,
    };
    node->stopping = false;
    node->node = node_new(&config, &node->env, disk_mem_disk(node->disk), &node->process.timers,
                          node->membership);
    node_start(node->node);
    sim_process_settle(&node->process);
}

/* Names are static, and nearly always at the same place: `likely`. */
static void add_stat(struct world *world, const struct node_stat *stat, uint32_t likely) {
    if (likely < world->n_stats && world->stats[likely].name == stat->name) {
        world->stats[likely].value += stat->value;
        return;
    }
    for (uint32_t i = 0; i < world->n_stats; i++) {
        if (strcmp(world->stats[i].name, stat->name) == 0) {
            world->stats[i].value += stat->value;
            return;
        }
    }
    assert(world->n_stats < WORLD_STATS_MAX);
    world->stats[world->n_stats++] = *stat;
}

static void collect_stats(struct world_node *node) {
    struct node_stat stats[WORLD_STATS_MAX];
    uint32_t n = node_stats(node->node, stats, WORLD_STATS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (strncmp(stats[i].name, "peer_", 5) != 0) { /* those names are the node's memory */
            add_stat(node->world, &stats[i], i);
        }
    }
}

/* What the machine's death leaves: all that is older than the last sync (one a second), and of the
 * later commits the first few. */
static void crash_disk(struct world_node *node, uint32_t queued_kept) {
    struct world *world = node->world;
    struct disk_mem_loss loss = {.machine = false, .queued_kept = queued_kept};
    if (node->loses == WORLD_LOSES_BUFFERED) {
        loss.machine = true;
        node->boots++;
        loss.unsynced_kept =
            (uint32_t)dice_below(&node->dice, disk_mem_unsynced(node->disk) + (uint64_t)1);
        world->coverage[COVER_BUFFERED_LOST] += disk_mem_unsynced(node->disk) - loss.unsynced_kept;
    }
    disk_mem_crash(node->disk, &loss);
    if (node->loses == WORLD_LOSES_ALL) {
        disk_mem_wipe(node->disk);
        node->incarnation++;
    }
    node->loses = WORLD_LOSES_QUEUED;
}

/* The process ends, one way or the other: what was queued for the disk may still get there. */
void world_node_crash(struct world_node *node) {
    struct world *world = node->world;
    assert(node->node != NULL);
    collect_stats(node);
    uint32_t queued = disk_mem_queued(node->disk);
    uint32_t kept = (uint32_t)dice_below(&node->dice, queued + 1);
    sim_trace(&world->sim, "%s dies, %u of %u queued commits survive", node->process.name, kept,
              queued);
    world->coverage[COVER_COMMITS_KEPT] += kept;
    world->coverage[COVER_COMMITS_LOST] += queued - kept;
    crash_disk(node, kept);
    node_free(node->node);
    node->node = NULL;
    membership_free(node->membership);
    node->membership = NULL;
    sim_process_kill(&node->process);
    sim_port_reset(&node->port);
}

static void client_got(void *context, const struct endpoint *from, const struct message *message) {
    struct world_client *client = context;
    if (client->client != NULL) {
        client_receive(client->client, from, message);
    }
}

void world_client_start(struct world_client *client) {
    struct world *world = client->world;
    sim_trace(&world->sim, "%s starts", client->process.name);
    sim_process_start(&client->process);
    char text[NODES_MAX][16];
    const char *addresses[NODES_MAX];
    struct dice dice;
    dice_init(&dice, world->sim.seed, DICE_CLIENT,
              (uint64_t)client->port.index << 32 | ++client->lives);
    uint16_t n = (uint16_t)dice_between(&dice, 1, world->options.n_nodes);
    uint16_t first = (uint16_t)dice_below(&dice, world->options.n_nodes);
    for (uint16_t i = 0; i < n; i++) {
        unsigned id = (unsigned)(first + i) % world->options.n_nodes + 1u;
        snprintf(text[i], sizeof(text[i]), "sim://%u", id);
        addresses[i] = text[i];
    }
    struct client_config config = {addresses, n, world->options.coordinated_reads};
    int err = client_new(&config, &client->env, &client->process.timers, &client->client);
    assert(err == 0);
    client->holder = holder_new(client);
    sim_process_settle(&client->process);
}

void world_client_crash(struct world_client *client) {
    sim_trace(&client->world->sim, "%s dies", client->process.name);
    struct client *dying = client->client;
    struct client_counters counters;
    client_counters(dying, &counters);
    client->world->coverage[COVER_CLIENT_RETRIES] += counters.retries;
    client->world->coverage[COVER_LINKS_REOPENED] += counters.links_reopened;
    client->world->coverage[COVER_QUORUM_READS] += counters.quorum_reads;
    client->world->coverage[COVER_QUORUM_FALLBACKS] += counters.quorum_fallbacks;
    holder_free(client->holder);
    client->holder = NULL;
    client_free(dying);
    client->client = NULL;
    sim_process_kill(&client->process);
    sim_port_reset(&client->port);
}

static void draw_clock(struct world *world, struct sim_process *process, uint64_t entity) {
    struct dice dice;
    dice_init(&dice, world->sim.seed, DICE_CLOCK, entity);
    const struct options *o = &world->options;
    process->clock.drift_ppm = dice_between(&dice, -o->drift_max_ppm, o->drift_max_ppm);
    process->clock.wall_offset_ns =
        dice_between(&dice, -o->wall_offset_max_ns, o->wall_offset_max_ns);
}

static void make_node(struct world *world, uint16_t index) {
    struct world_node *node = &world->nodes[index];
    node->world = world;
    node->id = (uint16_t)(index + 1);
    node->incarnation = 1;
    char name[8];
    snprintf(name, sizeof(name), "n%u", node->id);
    sim_process_init(&node->process, &world->sim, name);
    draw_clock(world, &node->process, node->id);
    sim_port_init(&node->port, &world->net, &node->process, node->id);
    node->port.receive = node_got;
    node->port.context = node;
    node->env = sim_port_env(&node->port);
    node->env.send = node_send;
    node->disk = disk_mem_new();
    disk_mem_watch(node->disk, on_stored, node);
    disk_mem_watch_failed(node->disk, on_failed, node);
    dice_init(&node->dice, world->sim.seed, DICE_DISK, node->id);
}

static void make_client(struct world *world, uint16_t index) {
    struct world_client *client = &world->clients[index];
    client->world = world;
    char name[8];
    snprintf(name, sizeof(name), "c%u", index);
    sim_process_init(&client->process, &world->sim, name);
    draw_clock(world, &client->process, 1000u + index);
    sim_port_init(&client->port, &world->net, &client->process, 0);
    client->port.receive = client_got;
    client->port.context = client;
    client->env = sim_port_env(&client->port);
}

static void start_node_event(void *context, uint64_t number) {
    (void)number;
    struct world_node *node = context;
    if (node->node == NULL) {
        world_node_start(node);
    }
}

static void start_client_event(void *context, uint64_t number) {
    (void)number;
    world_client_start(context);
}

void world_init(struct world *world, const struct run_plan *plan) {
    uint64_t seed = plan->seed;
    memset(world, 0, sizeof(*world));
    sim_init(&world->sim, seed, plan->tracing);
    if (plan->options != NULL) {
        world->options = *plan->options;
    } else {
        options_draw(seed, &world->options);
    }
    if (plan->n_nodes > 0) {
        options_set_nodes(&world->options, plan->n_nodes);
    }
    world->omit = plan->omit;
    omit_apply(&world->omit, &world->options);
    sim_net_init(&world->net, &world->sim);
    world->net.faults = world->options.net;
    ledger_init(&world->ledger, &world->sim, &world->options);
    struct dice dice;
    dice_init(&dice, seed, DICE_CLOCK, 2000);
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        make_node(world, i);
        int64_t at = dice_between(&dice, 0, 50 * SIM_MS);
        sim_at(&world->sim, at, start_node_event, &world->nodes[i], 0);
    }
    for (uint16_t i = 0; i <= world->options.n_clients; i++) {
        make_client(world, i);
        int64_t at = dice_between(&dice, 0, 100 * SIM_MS);
        /* Without faults the nodes of the new cluster have heard each other before. */
        at += world->options.quiet ? 400 * SIM_MS : 0;
        sim_at(&world->sim, at, start_client_event, &world->clients[i], 0);
    }
}

void world_release(struct world *world) {
    for (uint16_t i = 0; i <= world->options.n_clients; i++) {
        if (world->clients[i].client != NULL) {
            world_client_crash(&world->clients[i]);
        }
        sim_port_release(&world->clients[i].port);
    }
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        if (world->nodes[i].node != NULL) {
            world_node_crash(&world->nodes[i]);
        }
        sim_port_release(&world->nodes[i].port);
        disk_mem_free(world->nodes[i].disk);
    }
    ledger_release(&world->ledger);
    sim_net_release(&world->net);
    sim_release(&world->sim);
}
