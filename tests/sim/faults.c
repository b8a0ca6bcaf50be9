/* faults: what befalls the processes and connections of a run, and its end. */
#include <assert.h>

#include "tests/sim/world.h"

/* Each kind of fault is one chain of events: strike, then schedule the next strike. */
static void later(struct world *world, int64_t mean_ns, sim_fire fire) {
    if (mean_ns > 0 && !world->healing) {
        sim_at(&world->sim, world->sim.now_ns + dice_exponential(&world->fault_dice, mean_ns), fire,
               world, 0);
    }
}

static struct world_node *any_node(struct world *world) {
    return &world->nodes[dice_below(&world->fault_dice, world->options.n_nodes)];
}

static void start_again(void *context, uint64_t number) {
    (void)number;
    struct world_node *node = context;
    if (node->node == NULL) {
        world_node_start(node);
    }
}

static void start_later(struct world_node *node) {
    struct world *world = node->world;
    int64_t down = world->healing
                       ? 100 * SIM_MS
                       : dice_exponential(&world->fault_dice, world->options.down_mean_ns);
    sim_at(&world->sim, world->sim.now_ns + down, start_again, node, 0);
}

static void crash_one(struct world_node *node) {
    if (node->node != NULL) {
        world_cover(node->world, COVER_CRASHES);
        world_node_crash(node);
        start_later(node);
    }
}

static void crash(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    crash_one(any_node(world));
    if (dice_chance(&world->fault_dice, world->options.crash_twin_ppm)) {
        crash_one(any_node(world));
    }
    later(world, world->options.crash_mean_ns, crash);
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
        start_later(node);
    } else if (polls * STOP_POLL_MS > STOP_MAX_MS) {
        sim_fail(&world->sim, "%s does not stop", node->process.name);
    } else {
        sim_at(&world->sim, world->sim.now_ns + STOP_POLL_MS * SIM_MS, await_stop, node,
               number + 1);
    }
}

static void stop(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct world_node *node = any_node(world);
    if (node->node != NULL && !node->stopping && node_state(node->node) == NODE_SERVING &&
        node->process.paused_until_ns <= world->sim.now_ns) {
        sim_trace(&world->sim, "%s is told to stop", node->process.name);
        world_cover(world, COVER_CLEAN_STOPS);
        node->stopping = true;
        node_stop(node->node);
        sim_process_settle(&node->process);
        await_stop(node, (uint64_t)node->process.generation << 32);
    }
    later(world, world->options.stop_mean_ns, stop);
}

static void pause_one(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    uint64_t who =
        dice_below(&world->fault_dice, (uint64_t)world->options.n_nodes + world->options.n_clients);
    struct sim_process *process = who < world->options.n_nodes
                                      ? &world->nodes[who].process
                                      : &world->clients[who - world->options.n_nodes].process;
    int64_t length = dice_exponential(&world->fault_dice, world->options.pause_length_ns);
    if (process->up) {
        sim_trace(&world->sim, "%s is paused for %lld us", process->name,
                  (long long)(length / SIM_US));
        world_cover(world, COVER_PAUSES);
        process->paused_until_ns = world->sim.now_ns + length;
    }
    later(world, world->options.pause_mean_ns, pause_one);
}

static void break_links(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct world_node *a = any_node(world);
    struct world_node *b = any_node(world);
    sim_trace(&world->sim, "connections of %s and %s break", a->process.name, b->process.name);
    world_cover(world, COVER_BREAKS);
    sim_net_break(&world->net, &a->port, a == b ? NULL : &b->port);
    later(world, world->options.break_mean_ns, break_links);
}

static void join_again(void *context, uint64_t number) {
    (void)number;
    struct world_node *node = context;
    sim_trace(&node->world->sim, "%s is heard again", node->process.name);
    node->port.cut_group = 0;
}

static void isolate(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct world_node *node = any_node(world);
    if (node->port.cut_group == 0) {
        int64_t length = dice_exponential(&world->fault_dice, world->options.isolate_length_ns);
        sim_trace(&world->sim, "%s is isolated for %lld us", node->process.name,
                  (long long)(length / SIM_US));
        world_cover(world, COVER_ISOLATIONS);
        node->port.cut_group = node->id;
        sim_at(&world->sim, world->sim.now_ns + length, join_again, node, 0);
    }
    later(world, world->options.isolate_mean_ns, isolate);
}

static void start_client_again(void *context, uint64_t number) {
    (void)number;
    struct world_client *client = context;
    if (client->client == NULL) {
        world_client_start(client);
    }
}

static void crash_client(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct world_client *client =
        &world->clients[dice_below(&world->fault_dice, world->options.n_clients)];
    if (client->client != NULL) {
        world_cover(world, COVER_CLIENT_CRASHES);
        world_client_crash(client);
        int64_t down = dice_exponential(&world->fault_dice, world->options.down_mean_ns);
        sim_at(&world->sim, world->sim.now_ns + down, start_client_again, client, 0);
    }
    later(world, world->options.client_crash_mean_ns, crash_client);
}

static void jump(void *context, uint64_t number) {
    (void)number;
    struct world *world = context;
    if (world->healing) {
        return;
    }
    struct sim_clock *clock = &any_node(world)->process.clock;
    int64_t reach = world->options.wall_offset_max_ns + SIM_S;
    clock->wall_offset_ns = dice_between(&world->fault_dice, -reach, reach);
    world_cover(world, COVER_WALL_JUMPS);
    later(world, world->options.wall_jump_mean_ns, jump);
}

void world_begin_faults(struct world *world) {
    const struct options *o = &world->options;
    later(world, o->crash_mean_ns, crash);
    later(world, o->stop_mean_ns, stop);
    later(world, o->pause_mean_ns, pause_one);
    later(world, o->break_mean_ns, break_links);
    later(world, o->isolate_mean_ns, isolate);
    later(world, o->client_crash_mean_ns, crash_client);
    later(world, o->wall_jump_mean_ns, jump);
}

void world_heal(struct world *world) {
    sim_trace(&world->sim, "the world heals");
    world->healing = true;
    struct sim_net_faults calm = {
        .delay_base_ns = world->options.net.delay_base_ns,
        .delay_mean_ns = world->options.net.delay_mean_ns,
    };
    world->net.faults = calm;
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        struct world_node *node = &world->nodes[i];
        node->port.cut_group = 0;
        if (node->process.paused_until_ns > world->sim.now_ns) {
            node->process.paused_until_ns = world->sim.now_ns;
        }
        if (node->node == NULL) {
            start_later(node);
        }
    }
}
