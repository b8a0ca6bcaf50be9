/* faults: when each kind of fault strikes; processes that die, stop, pause and come back. */
#include "tests/sim/faults.h"

#include <assert.h>

struct world_node *strike_node(struct strike *strike) {
    return &strike->world->nodes[dice_below(&strike->dice, strike->world->options.n_nodes)];
}

/* ---- processes ---- */

static void start_again(void *context, uint64_t number) {
    (void)number;
    struct world_node *node = context;
    if (node->node == NULL) {
        world_node_start(node);
    }
}

static void start_after(struct world_node *node, int64_t down_ns) {
    struct sim *sim = &node->world->sim;
    sim_at(sim, sim->now_ns + (node->world->healing ? 100 * SIM_MS : down_ns), start_again, node,
           0);
}

void strike_down(struct strike *strike, struct world_node *node) {
    int64_t down = dice_exponential(&strike->dice, strike->world->options.down_mean_ns);
    if (node->node != NULL) {
        world_node_crash(node);
        start_after(node, down);
    }
}

static void fault_crash(struct strike *strike) {
    struct world *world = strike->world;
    struct world_node *node = strike_node(strike);
    world->coverage[COVER_CRASHES] += node->node != NULL;
    strike_down(strike, node);
    if (dice_chance(&strike->dice, world->options.crash_twin_ppm)) {
        node = strike_node(strike);
        world->coverage[COVER_CRASHES] += node->node != NULL;
        strike_down(strike, node);
    }
}

/* A node told to stop is done when it says so; one that never says so is a hang. */
enum { STOP_POLL_MS = 5, STOP_MAX_MS = 70000 };

static void await_stop(void *context, uint64_t number) {
    struct world_node *node = context;
    struct world *world = node->world;
    if (node->node == NULL || node->process.generation != (uint32_t)(number >> 32) ||
        !node->stopping) {
        return;
    }
    uint32_t polls = (uint32_t)number;
    if (node_state(node->node) == NODE_STOPPED) {
        world_node_crash(node);
        start_after(node, world->options.down_mean_ns);
    } else if (polls * STOP_POLL_MS > STOP_MAX_MS) {
        sim_fail(&world->sim, "%s does not stop", node->process.name);
    } else {
        sim_at(&world->sim, world->sim.now_ns + STOP_POLL_MS * SIM_MS, await_stop, node,
               number + 1);
    }
}

static void fault_stop(struct strike *strike) {
    struct world *world = strike->world;
    struct world_node *node = strike_node(strike);
    if (node->node != NULL && !node->stopping && node_state(node->node) == NODE_SERVING &&
        node->process.paused_until_ns <= world->sim.now_ns) {
        sim_trace(&world->sim, "%s is told to stop", node->process.name);
        world_cover(world, COVER_CLEAN_STOPS);
        node->stopping = true;
        node_stop(node->node);
        sim_process_settle(&node->process);
        await_stop(node, (uint64_t)node->process.generation << 32);
    }
}

void strike_pause(struct strike *strike, struct sim_process *process) {
    struct sim *sim = &strike->world->sim;
    int64_t length = dice_exponential(&strike->dice, strike->world->options.pause_length_ns);
    if (process->up) {
        sim_trace(sim, "%s is paused for %lld us", process->name, (long long)(length / SIM_US));
        world_cover(strike->world, COVER_PAUSES);
        int64_t until_ns = sim->now_ns + length;
        if (until_ns >
            process->paused_until_ns) { /* else what waits for it would be out of order */
            process->paused_until_ns = until_ns;
        }
    }
}

static void fault_pause(struct strike *strike) {
    struct world *world = strike->world;
    uint64_t who =
        dice_below(&strike->dice, (uint64_t)world->options.n_nodes + world->options.n_clients);
    strike_pause(strike, who < world->options.n_nodes
                             ? &world->nodes[who].process
                             : &world->clients[who - world->options.n_nodes].process);
}

static void start_client_again(void *context, uint64_t number) {
    (void)number;
    struct world_client *client = context;
    if (client->client == NULL) {
        world_client_start(client);
    }
}

static void fault_client_crash(struct strike *strike) {
    struct world *world = strike->world;
    struct world_client *client =
        &world->clients[dice_below(&strike->dice, world->options.n_clients)];
    int64_t down = dice_exponential(&strike->dice, world->options.down_mean_ns);
    if (client->client != NULL) {
        world_cover(world, COVER_CLIENT_CRASHES);
        world_client_crash(client);
        sim_at(&world->sim, world->sim.now_ns + down, start_client_again, client, 0);
    }
}

static void fault_wall_jump(struct strike *strike) {
    struct world *world = strike->world;
    struct sim_clock *clock = &strike_node(strike)->process.clock;
    int64_t reach = world->options.wall_offset_max_ns + SIM_S;
    clock->wall_offset_ns = dice_between(&strike->dice, -reach, reach);
    world_cover(world, COVER_WALL_JUMPS);
}

void strike_break(struct strike *strike, struct world_node *a, struct world_node *b) {
    struct world *world = strike->world;
    sim_trace(&world->sim, "connections of %s and %s break", a->process.name, b->process.name);
    world_cover(world, COVER_BREAKS);
    sim_net_break(&world->net, &a->port, a == b ? NULL : &b->port);
}

static void fault_break(struct strike *strike) {
    struct world_node *a = strike_node(strike);
    strike_break(strike, a, strike_node(strike));
}

/* ---- when ---- */

static void (*const faults[FAULT_KINDS])(struct strike *strike) = {
    [FAULT_CRASH] = fault_crash,
    [FAULT_STOP] = fault_stop,
    [FAULT_PAUSE] = fault_pause,
    [FAULT_BREAK] = fault_break,
    [FAULT_ISOLATE] = fault_isolate,
    [FAULT_ONE_WAY] = fault_one_way,
    [FAULT_PAIR] = fault_pair,
    [FAULT_GROUPS] = fault_groups,
    [FAULT_CLIENT_CRASH] = fault_client_crash,
    [FAULT_WALL_JUMP] = fault_wall_jump,
    [FAULT_DISK_FAIL] = fault_disk_fail,
    [FAULT_DISK_FULL] = fault_disk_full,
    [FAULT_ROT] = fault_rot,
    [FAULT_MACHINE] = fault_machine,
    [FAULT_WIPE] = fault_wipe,
};

/* `number` is kind << 32 | n. */
static uint64_t strike_number(enum fault_kind kind, uint32_t n) {
    return (uint64_t)kind << 32 | n;
}

static void strike(void *context, uint64_t number) {
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct strike s = {
        .world = world, .kind = (enum fault_kind)(number >> 32), .n = (uint32_t)number};
    dice_init(&s.dice, world->sim.seed, DICE_FAULT, number + 1);
    int64_t next_ns = dice_exponential(&s.dice, world->options.every_ns[s.kind]);
    sim_at(&world->sim, world->sim.now_ns + next_ns, strike, world, strike_number(s.kind, s.n + 1));
    if (!omit_strike(&world->omit, s.kind, s.n)) {
        sim_trace(&world->sim, "fault %s:%u", fault_names[s.kind], s.n);
        faults[s.kind](&s);
        world->strikes[s.kind] = s.n + 1;
    }
}

void world_begin_faults(struct world *world) {
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        int64_t mean_ns = world->options.every_ns[kind];
        struct dice dice;
        dice_init(&dice, world->sim.seed, DICE_FAULT, strike_number((enum fault_kind)kind, 0));
        if (mean_ns > 0 && faults[kind] != NULL) {
            sim_at(&world->sim, world->sim.now_ns + dice_exponential(&dice, mean_ns), strike, world,
                   strike_number((enum fault_kind)kind, 0));
        }
    }
    if (world->options.every_ns[FAULT_HOT] > 0) {
        hot_begin(world);
    }
}

void world_heal(struct world *world) {
    sim_trace(&world->sim, "the world heals");
    world->healing = true;
    struct sim_net_faults calm = {
        .delay_base_ns = world->options.net.delay_base_ns,
        .delay_mean_ns = world->options.net.delay_mean_ns,
    };
    world->net.faults = calm;
    sim_net_mend_all(&world->net);
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        struct world_node *node = &world->nodes[i];
        disk_mem_fail(node->disk, 0, 0, 0);
        if (node->node == NULL) {
            start_after(node, 0);
        }
    }
}

void world_tend(struct world *world) {
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        struct world_node *node = &world->nodes[i];
        if (node->node != NULL && node_state(node->node) == NODE_FAILED) {
            sim_trace(&world->sim, "%s gave up", node->process.name);
            world_cover(world, COVER_GAVE_UP);
            world_node_crash(node);
            start_after(node, 100 * SIM_MS);
        }
    }
}
