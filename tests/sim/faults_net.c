/* faults_net: who does not hear whom, for a while. */
#include <assert.h>

#include "tests/sim/faults.h"

/* A cut is packed into the number of the event that mends it: the ports that are not heard (16
 * bits), those that do not hear them (16), and whether it holds the other way too. */
enum { CUT_PORTS_MAX = 16 };

static uint64_t pack(uint64_t from, uint64_t to, bool both) {
    assert(from >> CUT_PORTS_MAX == 0 && to >> CUT_PORTS_MAX == 0);
    return (uint64_t)both << 32 | from << 16 | to;
}

static void mend(void *context, uint64_t number) {
    struct world *world = context;
    uint64_t from = number >> 16 & 0xffff, to = number & 0xffff;
    if (world->healing) { /* all was mended then */
        return;
    }
    sim_trace(&world->sim, "ports %04x are heard by %04x again", (unsigned)from, (unsigned)to);
    sim_net_mend(&world->net, from, to);
    if (number >> 32 != 0) {
        sim_net_mend(&world->net, to, from);
    }
}

static void cut(struct strike *strike, uint64_t from, uint64_t to, bool both) {
    struct world *world = strike->world;
    int64_t length = dice_exponential(&strike->dice, world->options.cut_length_ns);
    sim_trace(&world->sim, "ports %04x are not heard by %04x for %lld us%s", (unsigned)from,
              (unsigned)to, (long long)(length / SIM_US), both ? ", nor the other way" : "");
    sim_net_cut(&world->net, from, to);
    if (both) {
        sim_net_cut(&world->net, to, from);
    }
    sim_at(&world->sim, world->sim.now_ns + length, mend, world, pack(from, to, both));
}

static uint64_t bit(const struct world_node *node) {
    return (uint64_t)1 << node->port.index;
}

static uint64_t all_ports(const struct world *world) {
    return ((uint64_t)1 << world->net.n_ports) - 1;
}

void strike_isolate(struct strike *strike, struct world_node *node) {
    world_cover(strike->world, COVER_ISOLATIONS);
    cut(strike, bit(node), all_ports(strike->world) & ~bit(node), true);
}

void fault_isolate(struct strike *strike) {
    strike_isolate(strike, strike_node(strike));
}

void fault_one_way(struct strike *strike) {
    struct world_node *node = strike_node(strike);
    uint64_t deaf = dice_throw(&strike->dice) & all_ports(strike->world) & ~bit(node);
    world_cover(strike->world, COVER_ONE_WAY_CUTS);
    if (dice_chance(&strike->dice, 500000)) {
        cut(strike, bit(node), deaf, false);
    } else {
        cut(strike, deaf, bit(node), false);
    }
}

void fault_pair(struct strike *strike) {
    struct world_node *a = strike_node(strike);
    struct world_node *b = strike_node(strike);
    if (a != b) {
        world_cover(strike->world, COVER_PAIR_CUTS);
        cut(strike, bit(a), bit(b), true);
    }
}

void fault_groups(struct strike *strike) {
    uint64_t group = dice_throw(&strike->dice) & all_ports(strike->world);
    world_cover(strike->world, COVER_GROUP_CUTS);
    cut(strike, group, all_ports(strike->world) & ~group, true);
}
