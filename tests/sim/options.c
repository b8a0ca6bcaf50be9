/* options: what kind of run a seed is. */
#include "tests/sim/options.h"

#include <stdio.h>
#include <string.h>

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
    static const uint32_t top[OP_KINDS] = {20, 6, 1, 10, 15, 8, 15, 8, 10, 12, 4, 20};
    for (int i = 0; i < OP_KINDS; i++) {
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

static void draw_faults(struct dice *dice, struct options *o) {
    o->slow_node = (uint16_t)maybe(dice, 1, o->n_nodes);
    o->disk_hang_ppm = (uint32_t)maybe(dice, 100, 10000);
    o->disk_hang_ns = dice_between(dice, 10 * SIM_MS, 1500 * SIM_MS);
    o->wall_offset_max_ns = maybe(dice, SIM_MS, 20 * SIM_S);
    o->crash_mean_ns = maybe(dice, 200 * SIM_MS, 5 * SIM_S);
    o->stop_mean_ns = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    o->pause_mean_ns = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    o->break_mean_ns = maybe(dice, 200 * SIM_MS, 5 * SIM_S);
    o->isolate_mean_ns = maybe(dice, 500 * SIM_MS, 8 * SIM_S);
    o->client_crash_mean_ns = maybe(dice, SIM_S, 10 * SIM_S);
    o->wall_jump_mean_ns = maybe(dice, SIM_S, 10 * SIM_S);
    o->down_mean_ns = dice_between(dice, 10 * SIM_MS, 3 * SIM_S);
    o->pause_length_ns = dice_between(dice, 50 * SIM_MS, 3 * SIM_S);
    o->isolate_length_ns = dice_between(dice, 50 * SIM_MS, 3 * SIM_S);
    o->crash_twin_ppm = (uint32_t)maybe(dice, 50000, 500000);
    o->crash_all_at_end = dice_chance(dice, 500000);
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
    }
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
    print_ppm("long tail", o->net.tail_ppm);
    print_ppm("loss", o->net.loss_ppm);
    print_ppm("doubled", o->net.double_ppm);
    print_ppm("overtaking", o->net.reorder_ppm);
    print_ppm("stale", o->net.stale_ppm);
    print_ppm("send busy", o->net.busy_ppm);
    print_ppm("disk hangs", o->disk_hang_ppm);
    print_ms("crash every", o->crash_mean_ns);
    print_ms("stop every", o->stop_mean_ns);
    print_ms("pause every", o->pause_mean_ns);
    print_ms("connections break every", o->break_mean_ns);
    print_ms("isolation every", o->isolate_mean_ns);
    print_ms("client crash every", o->client_crash_mean_ns);
    print_ms("time of day jumps every", o->wall_jump_mean_ns);
}
