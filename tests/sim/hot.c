/* hot: faults at points of the protocol: right after a message, right before or after a commit. */
#include "tests/sim/faults.h"

/* Random times mostly hit a node that is waiting. What breaks protocols is a crash between two
 * steps that seem to be one, so a run may have one such point, and a node that passes it is struck
 * with some chance. */
enum { HOT_STRIKES_MAX = 12 };

static void act(void *context, uint64_t generation) {
    struct world_node *node = context;
    struct world *world = node->world;
    if (world->healing || node->node == NULL || node->process.generation != generation) {
        return;
    }
    struct strike strike = {.world = world, .kind = FAULT_HOT, .n = world->strikes[FAULT_HOT]++};
    dice_init(&strike.dice, world->sim.seed, DICE_FAULT,
              (uint64_t)(FAULT_HOT + 1) << 32 | strike.n);
    if (omit_strike(&world->omit, FAULT_HOT, strike.n)) {
        return;
    }
    sim_trace(&world->sim, "fault hot:%u", strike.n);
    world_cover(world, COVER_HOT_STRIKES);
    switch (world->options.hot_action) {
    case HOT_CRASH:
        strike_down(&strike, node);
        break;
    case HOT_PAUSE:
        strike_pause(&strike, &node->process);
        break;
    case HOT_ISOLATE:
        strike_isolate(&strike, node);
        break;
    case HOT_BREAK:
    case HOT_ACTIONS:
        strike_break(&strike, node, node);
        break;
    }
}

/* The core is in the middle of it; it is struck once it returns. */
static void passed(struct world_node *node) {
    struct world *world = node->world;
    if (!world->healing && world->strikes[FAULT_HOT] < HOT_STRIKES_MAX &&
        dice_chance(&world->hot_dice, world->options.hot_ppm)) {
        sim_at(&world->sim, world->sim.now_ns, act, node, node->process.generation);
    }
}

static void on_message(void *context, struct sim_port *port, uint8_t type, bool sent) {
    struct world *world = context;
    enum hot_point point = sent ? HOT_SENT : HOT_GOT;
    if (port->node > 0 && world->options.hot_point == point && type == world->options.hot_type) {
        passed(&world->nodes[port->node - 1]);
    }
}

static void on_asked(void *context) {
    passed(context);
}

void hot_begin(struct world *world) {
    dice_init(&world->hot_dice, world->sim.seed, DICE_FAULT, (uint64_t)FAULT_HOT << 32);
    if (world->options.hot_point == HOT_SENT || world->options.hot_point == HOT_GOT) {
        world->net.watch = on_message;
        world->net.context = world;
    }
    for (uint16_t i = 0; i < world->options.n_nodes; i++) {
        if (world->options.hot_point == HOT_ASKED) {
            disk_mem_watch_asked(world->nodes[i].disk, on_asked, &world->nodes[i]);
        }
    }
}

void hot_stored(struct world_node *node) {
    if (node->world->options.hot_point == HOT_STORED &&
        node->world->options.every_ns[FAULT_HOT] > 0 && node->node != NULL) {
        passed(node);
    }
}
