/* options: what kind of run a seed is. */
#include "tests/sim/options.h"

#include <stdio.h>
#include <string.h>

#include "shared/watch.h"

const char *const fault_names[FAULT_KINDS] = {
#define FAULT_NAME(constant, name) name,
    FAULT_TABLE(FAULT_NAME)
#undef FAULT_NAME
};

/* `value` in half of the runs, else 0. */
static int64_t maybe(struct dice *dice, int64_t low, int64_t high) {
    int64_t value = dice_between(dice, low, high);
    return dice_chance(dice, 500000) ? value : 0;
}

static void draw_cluster(struct dice *dice, struct options *o) {
    static const struct {
        uint16_t nodes, replicas;
        uint8_t r, w;
    } sizes[] = {{1, 3, 1, 1}, {2, 3, 2, 2}, {2, 3, 1, 2}, {3, 3, 2, 2}, {4, 3, 2, 2},
                 {5, 3, 2, 2}, {5, 5, 3, 3}, {7, 3, 2, 2}, {3, 3, 1, 3}, {5, 3, 2, 3}};
    static const uint32_t weights[] = {2, 3, 2, 40, 15, 20, 8, 5, 3, 2};
    uint32_t i = dice_weighted(dice, weights, sizeof(weights) / sizeof(*weights));
    o->n_nodes = sizes[i].nodes;
    o->n_replicas = sizes[i].replicas;
    o->read_quorum = sizes[i].r;
    o->write_quorum = sizes[i].w;
    o->n_slices = 16;
    o->n_clients = (uint16_t)dice_between(dice, 1, CLIENTS_MAX);
    o->n_sessions = (uint16_t)dice_between(dice, o->n_clients, o->n_clients * 4);
    o->n_partitions = (uint16_t)dice_between(dice, 1, PARTITIONS_MAX);
    o->n_rows = (uint16_t)dice_between(dice, 1, ROWS_MAX);
}

static void draw_load(struct dice *dice, struct options *o) {
    o->ops_per_session = (uint32_t)dice_between(dice, 10, 60);
    static const uint32_t top[OP_PATCH] = {20, 6, 1, 10, 15, 8, 15, 8, 10, 12, 4, 20};
    for (int i = 0; i < OP_PATCH; i++) {
        o->weights[i] = (uint32_t)maybe(dice, 1, top[i]);
    }
    o->weights[OP_GET] += 4; /* without reads nothing is seen */
    o->value_size_max = dice_chance(dice, 100000) ? 20000 : 200;
    o->synced_ppm = dice_chance(dice, 300000) ? 500000 : 0;
    o->think_mean_ns = dice_chance(dice, 500000) ? 5 * SIM_MS : 100 * SIM_MS;
    o->deadline_min_ns = dice_chance(dice, 300000) ? 50 * SIM_MS : 2 * SIM_S;
    o->deadline_max_ns = dice_chance(dice, 500000) ? 4 * SIM_S : 12 * SIM_S;
}

static void draw_net(struct dice *dice, struct sim_net_faults *net) {
    net->tail_ppm = (uint32_t)maybe(dice, 500, 30000);
    net->tail_mean_ns = dice_between(dice, 2 * SIM_MS, 600 * SIM_MS);
    net->loss_ppm = (uint32_t)maybe(dice, 100, dice_chance(dice, 300000) ? 200000 : 20000);
    net->double_ppm = (uint32_t)maybe(dice, 100, 50000);
    net->reorder_ppm = (uint32_t)maybe(dice, 100, 100000);
    net->stale_ppm = (uint32_t)maybe(dice, 1000, 1000000);
    net->busy_ppm = (uint32_t)maybe(dice, 100, 20000);
}

static void draw_rates(struct dice *dice, int64_t *every_ns) {
    every_ns[FAULT_CRASH] = maybe(dice, 200 * SIM_MS, 5 * SIM_S);
    every_ns[FAULT_STOP] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_PAUSE] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_BREAK] = maybe(dice, 200 * SIM_MS, 5 * SIM_S);
    every_ns[FAULT_ISOLATE] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_ONE_WAY] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_PAIR] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_GROUPS] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_CLIENT_CRASH] = maybe(dice, SIM_S, 10 * SIM_S);
    every_ns[FAULT_WALL_JUMP] = maybe(dice, SIM_S, 10 * SIM_S);
    every_ns[FAULT_DISK_FAIL] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_DISK_FULL] = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    every_ns[FAULT_ROT] = maybe(dice, 100 * SIM_MS, 5 * SIM_S);
    every_ns[FAULT_MACHINE] = maybe(dice, 500 * SIM_MS, 5 * SIM_S);
    every_ns[FAULT_WIPE] = maybe(dice, SIM_S, 20 * SIM_S);
    every_ns[FAULT_HOT] = maybe(dice, 1, 1);
}

/* A promise of the store holds while at most min(R, W) - 1 replicas of a row are lost for good; so
 * data are only ever lost on one node, and only where that is allowed. */
static void draw_frail(struct dice *dice, struct options *o) {
    o->frail = (uint16_t)dice_between(dice, 1, o->n_nodes);
    if (o->read_quorum < 2 || o->write_quorum < 2 || o->n_nodes < o->n_replicas) {
        o->frail = 0;
        o->every_ns[FAULT_ROT] = 0;
        o->every_ns[FAULT_MACHINE] = 0;
        o->every_ns[FAULT_WIPE] = 0;
    }
}

static void draw_hot(struct dice *dice, struct options *o) {
    static const uint8_t types[] = {MESSAGE_BATCH,
                                    MESSAGE_REPLICATE,
                                    MESSAGE_READ,
                                    MESSAGE_READ_SCAN,
                                    MESSAGE_REPAIR,
                                    MESSAGE_HINT,
                                    MESSAGE_HANDOFF,
                                    20,
                                    21,
                                    22,
                                    23};
    o->hot_point = (enum hot_point)dice_below(dice, HOT_POINTS);
    static const uint32_t actions[HOT_ACTIONS] = {4, 2, 1, 1};
    o->hot_action = (enum hot_action)dice_weighted(dice, actions, HOT_ACTIONS);
    o->hot_type = types[dice_below(dice, sizeof(types))];
    if (dice_chance(dice, 500000)) {
        o->hot_type |= MESSAGE_REPLY;
    }
    o->hot_ppm = dice_chance(dice, 500000) ? 5000 : 50000;
}

static void draw_faults(struct dice *dice, struct options *o) {
    draw_rates(dice, o->every_ns);
    draw_frail(dice, o);
    draw_hot(dice, o);
    o->slow_node = (uint16_t)maybe(dice, 1, o->n_nodes);
    o->disk_hang_ppm = (uint32_t)maybe(dice, 100, 10000);
    o->disk_hang_ns = dice_between(dice, 10 * SIM_MS, 1500 * SIM_MS);
    o->wall_offset_max_ns = maybe(dice, SIM_MS, 20 * SIM_S);
    o->down_mean_ns = dice_between(dice, 10 * SIM_MS, 3 * SIM_S);
    o->pause_length_ns = dice_between(dice, 50 * SIM_MS, 3 * SIM_S);
    o->cut_length_ns = dice_between(dice, 50 * SIM_MS, 3 * SIM_S);
    o->disk_trouble_ns = dice_between(dice, 20 * SIM_MS, 2 * SIM_S);
    o->crash_twin_ppm = (uint32_t)maybe(dice, 50000, 500000);
    o->crash_all_at_end = dice_chance(dice, 500000);
}

bool options_unconditional;

static void without_conditions(struct options *o) {
    o->unconditional = true;
    o->n_strict_partitions = 0;
    o->weights[OP_MATCH] = o->weights[OP_ABSENT] = 0;
    o->weights[OP_CONTEST] = o->weights[OP_DIRECTORY] = 0;
}

void options_draw(uint64_t seed, struct options *ret) {
    memset(ret, 0, sizeof(*ret));
    struct dice dice;
    dice_init(&dice, seed, DICE_OPTIONS, 0);
    draw_cluster(&dice, ret);
    draw_load(&dice, ret);
    ret->net.delay_base_ns = dice_between(&dice, 20 * SIM_US, 200 * SIM_US);
    ret->net.delay_mean_ns = dice_between(&dice, 10 * SIM_US, 2 * SIM_MS);
    ret->disk_read_ns = dice_between(&dice, SIM_US, 200 * SIM_US);
    ret->disk_commit_ns = dice_between(&dice, 5 * SIM_US, SIM_MS);
    ret->disk_sync_ns = dice_between(&dice, 200 * SIM_US, 10 * SIM_MS);
    ret->drift_max_ppm = 200;
    ret->quiet = dice_chance(&dice, 100000);
    if (ret->quiet) {
        ret->deadline_min_ns = 5 * SIM_S; /* nothing may end unknown */
        ret->deadline_max_ns = 12 * SIM_S;
    } else {
        draw_net(&dice, &ret->net);
        draw_faults(&dice, ret);
        ret->hint_bytes_max = (uint64_t)maybe(&dice, 100, 5000);
    }
    ret->strict_reads_ppm = (uint32_t)maybe(&dice, 10000, 600000);
    ret->n_strict_partitions = (uint16_t)dice_below(&dice, ret->n_partitions + 1u);
    if (options_unconditional) {
        without_conditions(ret);
    }
    ret->repair_round_ms = (uint32_t)maybe(&dice, 300, 4000);
    /* Longer than anything is on its way. The judge of strict histories knows no rows that go. */
    uint32_t reap_ms = (uint32_t)dice_between(&dice, 20000, 40000);
    bool reaps = dice_chance(&dice, 400000) && ret->n_strict_partitions == 0;
    ret->reap_ms = reaps && ret->repair_round_ms > 0 ? reap_ms : 0;
    ret->coordinated_reads = dice_chance(&dice, 250000);
    ret->lease_ms = (uint32_t)maybe(&dice, 300, WATCH_LEASE_MS);
    ret->weights[OP_PATCH] = options_unconditional ? 0 : (uint32_t)maybe(&dice, 1, 20);
}

void options_set_nodes(struct options *o, uint16_t n_nodes) {
    o->n_nodes = n_nodes;
    o->n_replicas = 3;
    o->read_quorum = o->write_quorum = n_nodes > 1 ? 2 : 1;
    o->frail = o->frail > n_nodes ? n_nodes : o->frail;
}

static void print_ms(const char *name, int64_t ns) {
    if (ns != 0) {
        printf("  %s %.3f ms\n", name, (double)ns / 1e6);
    }
}

static void print_ppm(const char *name, uint32_t ppm) {
    if (ppm != 0) {
        printf("  %s %u ppm\n", name, ppm);
    }
}

void options_print(const struct options *o) {
    printf("  %s run: %u nodes, N %u R %u W %u, %u clients, %u sessions of %u operations, "
           "%u partitions of %u rows\n",
           o->quiet ? "quiet" : "faulty", o->n_nodes, o->n_replicas, o->read_quorum,
           o->write_quorum, o->n_clients, o->n_sessions, o->ops_per_session, o->n_partitions,
           o->n_rows);
    print_ms("message delay", o->net.delay_base_ns + o->net.delay_mean_ns);
    printf("  anti-entropy each %u ms, tombstones held %u ms\n", o->repair_round_ms, o->reap_ms);
    printf("  leases of %u ms\n", o->lease_ms);
    printf("  quorum reads by %s\n", o->coordinated_reads ? "coordinators" : "clients");
    print_ppm("long tail", o->net.tail_ppm);
    print_ppm("loss", o->net.loss_ppm);
    print_ppm("doubled", o->net.double_ppm);
    print_ppm("overtaking", o->net.reorder_ppm);
    print_ppm("stale", o->net.stale_ppm);
    print_ppm("send busy", o->net.busy_ppm);
    print_ppm("disk hangs", o->disk_hang_ppm);
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (kind != FAULT_HOT && o->every_ns[kind] > 0) {
            printf("  %s every %.3f ms\n", fault_names[kind], (double)o->every_ns[kind] / 1e6);
        }
    }
    if (o->every_ns[FAULT_HOT] > 0) {
        printf("  hot: point %d type %u action %d, %u ppm\n", (int)o->hot_point, o->hot_type,
               (int)o->hot_action, o->hot_ppm);
    }
    if (o->slow_node > 0) {
        printf("  the disk of n%u is slow\n", o->slow_node);
    }
}
