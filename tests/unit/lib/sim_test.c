/* sim_test: virtual time, the dice and the network of the simulator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/err.h"
#include "tests/lib/sim_net.h"

/* ---- virtual time ---- */

struct note {
    struct sim *sim;
    uint64_t fired[64];
    int64_t at[64];
    size_t n;
};

static void note_fire(void *context, uint64_t number) {
    struct note *note = context;
    note->at[note->n] = note->sim->now_ns;
    note->fired[note->n++] = number;
}

static void events_come_in_time_order_and_equal_times_in_the_order_of_scheduling(void **state) {
    (void)state;
    struct sim sim;
    sim_init(&sim, 1, false);
    struct note note = {.sim = &sim};
    for (uint64_t i = 0; i < 50; i++) {
        sim_at(&sim, (int64_t)(i * 7 % 5), note_fire, &note, i);
    }
    sim_run(&sim, 100);
    assert_int_equal(note.n, 50);
    for (size_t i = 1; i < note.n; i++) {
        assert_true(note.at[i - 1] <= note.at[i]);
        assert_true(note.at[i - 1] < note.at[i] || note.fired[i - 1] < note.fired[i]);
    }
    assert_int_equal(sim.now_ns, 100);
    sim_release(&sim);
}

static void a_failure_ends_the_run_and_keeps_the_first_sentence(void **state) {
    (void)state;
    struct sim sim;
    sim_init(&sim, 1, false);
    struct note note = {.sim = &sim};
    sim_at(&sim, 5, note_fire, &note, 1);
    sim_fail(&sim, "first %d", 1);
    sim_fail(&sim, "second");
    sim_run(&sim, 10);
    assert_int_equal(note.n, 0);
    assert_string_equal(sim.failure, "first 1");
    sim_release(&sim);
}

static void a_clock_never_goes_back_and_its_timers_are_never_early(void **state) {
    (void)state;
    struct dice dice;
    dice_init(&dice, 3, DICE_CLOCK, 0);
    for (int i = 0; i < 2000; i++) {
        struct sim_clock clock = {.base_ns = dice_between(&dice, 0, SIM_S),
                                  .drift_ppm = dice_between(&dice, -200, 200)};
        int64_t now = dice_between(&dice, 0, 1000 * SIM_S);
        assert_true(sim_clock_local(&clock, now + 1) >= sim_clock_local(&clock, now));
        int64_t local = sim_clock_local(&clock, now) + dice_between(&dice, 0, SIM_S);
        int64_t when = sim_clock_when(&clock, local);
        assert_true(sim_clock_local(&clock, when) >= local);
        assert_true(sim_clock_local(&clock, when - 3 * SIM_US) < local);
    }
}

/* ---- dice ---- */

static void a_die_depends_on_its_own_throws_only(void **state) {
    (void)state;
    struct dice a, b, other;
    dice_init(&a, 9, DICE_NET, 1);
    dice_init(&b, 9, DICE_NET, 1);
    dice_init(&other, 9, DICE_NET, 2);
    unsigned same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t throw = dice_throw(&a);
        same += dice_throw(&other) == throw;
        assert_true(dice_throw(&b) == throw);
    }
    assert_int_equal(same, 0);
}

static void chances_and_weights_come_about_as_often_as_told(void **state) {
    (void)state;
    struct dice dice;
    dice_init(&dice, 4, DICE_OPTIONS, 0);
    uint32_t hits = 0, second = 0;
    static const uint32_t weights[] = {3, 1, 0};
    for (int i = 0; i < 100000; i++) {
        hits += dice_chance(&dice, 100000);
        uint32_t choice = dice_weighted(&dice, weights, 3);
        assert_in_range(choice, 0, 1);
        second += choice;
        assert_in_range(dice_exponential(&dice, 1000), 0, 20000);
    }
    assert_in_range(hits, 9500, 10500);
    assert_in_range(second, 24000, 26000);
}

/* ---- the network ---- */

struct end {
    struct sim_process process;
    struct sim_port port;
    struct env env;
    struct endpoint from;
    uint64_t ids[256];
    size_t n;
};

static void end_got(void *context, const struct endpoint *from, const struct message *message) {
    struct end *end = context;
    end->from = *from;
    end->ids[end->n++] = message->id;
}

struct pair {
    struct sim sim;
    struct sim_net net;
    struct end node, client;
};

static void end_init(struct pair *pair, struct end *end, const char *name, uint16_t node) {
    sim_process_init(&end->process, &pair->sim, name);
    sim_process_start(&end->process);
    sim_port_init(&end->port, &pair->net, &end->process, node);
    end->port.receive = end_got;
    end->port.context = end;
    end->env = sim_port_env(&end->port);
    end->n = 0;
}

static void pair_init(struct pair *pair, uint64_t seed) {
    memset(pair, 0, sizeof(*pair));
    sim_init(&pair->sim, seed, false);
    sim_net_init(&pair->net, &pair->sim);
    pair->net.faults.delay_mean_ns = SIM_MS;
    end_init(pair, &pair->node, "n7", 7);
    end_init(pair, &pair->client, "c0", 0);
    pair->client.env.connect(pair->client.env.self, 3, "sim://7");
}

static void pair_release(struct pair *pair) {
    sim_process_kill(&pair->client.process);
    if (pair->node.process.up) {
        sim_process_kill(&pair->node.process);
    }
    sim_port_release(&pair->node.port);
    sim_port_release(&pair->client.port);
    sim_net_release(&pair->net);
    sim_release(&pair->sim);
}

static void ask(struct pair *pair, uint64_t id) {
    struct endpoint to = {.kind = ENDPOINT_NODE, .node = 3};
    struct message message = {.type = MESSAGE_PING, .id = id};
    assert_int_equal(pair->client.env.send(pair->client.env.self, &to, &message), 0);
}

static void answer(struct pair *pair, uint64_t id) {
    struct message message = {.type = MESSAGE_PING | MESSAGE_REPLY, .id = id, .sender = 7};
    assert_int_equal(pair->node.env.send(pair->node.env.self, &pair->node.from, &message), 0);
}

static void a_link_keeps_its_order_and_replies_find_their_link(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    for (uint64_t id = 1; id <= 100; id++) {
        ask(&pair, id);
    }
    sim_run(&pair.sim, SIM_S);
    assert_int_equal(pair.node.n, 100);
    for (uint64_t id = 1; id <= 100; id++) {
        assert_int_equal(pair.node.ids[id - 1], id);
    }
    assert_int_equal(pair.node.from.kind, ENDPOINT_CLIENT);
    answer(&pair, 9);
    sim_run(&pair.sim, 2 * SIM_S);
    assert_int_equal(pair.client.n, 1);
    assert_int_equal(pair.client.from.node, 3);
    pair_release(&pair);
}

static void a_broken_connection_loses_what_is_on_its_way_both_ways(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    ask(&pair, 1);
    sim_run(&pair.sim, SIM_S);
    answer(&pair, 1);
    ask(&pair, 2);
    pair.client.env.reconnect(pair.client.env.self, 3);
    sim_run(&pair.sim, 2 * SIM_S);
    assert_int_equal(pair.client.n, 0);
    assert_int_equal(pair.node.n, 1);
    pair_release(&pair);
}

static void a_dead_process_hears_nothing_and_its_successor_only_what_is_stale(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    ask(&pair, 1);
    sim_process_kill(&pair.node.process);
    sim_process_start(&pair.node.process);
    sim_run(&pair.sim, SIM_S);
    assert_int_equal(pair.node.n, 0);
    pair.net.faults.stale_ppm = 1000000;
    ask(&pair, 2);
    sim_process_kill(&pair.node.process);
    sim_process_start(&pair.node.process);
    sim_run(&pair.sim, 2 * SIM_S);
    assert_int_equal(pair.node.n, 1);
    pair_release(&pair);
}

static void a_paused_process_gets_everything_afterwards_in_order(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    pair.node.process.paused_until_ns = 5 * SIM_S;
    ask(&pair, 1);
    ask(&pair, 2);
    sim_run(&pair.sim, 4 * SIM_S);
    assert_int_equal(pair.node.n, 0);
    sim_run(&pair.sim, 6 * SIM_S);
    assert_int_equal(pair.node.n, 2);
    assert_int_equal(pair.node.ids[0], 1);
    pair_release(&pair);
}

static void a_cut_is_one_way_and_cuts_add_up(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    uint64_t node = (uint64_t)1 << pair.node.port.index;
    uint64_t client = (uint64_t)1 << pair.client.port.index;
    sim_net_cut(&pair.net, node, client);
    sim_net_cut(&pair.net, node, client);
    ask(&pair, 1);
    sim_run(&pair.sim, SIM_S);
    assert_int_equal(pair.node.n, 1);
    sim_net_mend(&pair.net, node, client);
    answer(&pair, 1);
    sim_run(&pair.sim, 2 * SIM_S);
    assert_int_equal(pair.client.n, 0);
    sim_net_mend(&pair.net, node, client);
    answer(&pair, 1);
    sim_run(&pair.sim, 3 * SIM_S);
    assert_int_equal(pair.client.n, 1);
    pair_release(&pair);
}

static enum sim_verdict hold_odd(void *context, const struct sim_port *from,
                                 const struct sim_port *to, const struct message *message) {
    (void)context;
    (void)from;
    (void)to;
    return message->id % 2 != 0 ? SIM_HOLD : message->id > 2 ? SIM_LOSE : SIM_PASS;
}

static void what_is_held_arrives_once_it_is_released_and_what_is_lost_never(void **state) {
    (void)state;
    struct pair pair;
    pair_init(&pair, 5);
    pair.net.judge = hold_odd;
    for (uint64_t id = 1; id <= 4; id++) {
        ask(&pair, id);
    }
    sim_run(&pair.sim, SIM_S);
    assert_int_equal(pair.node.n, 1);
    assert_int_equal(pair.node.ids[0], 2);
    sim_net_release_held(&pair.net);
    sim_run(&pair.sim, 2 * SIM_S);
    assert_int_equal(pair.node.n, 3);
    assert_int_equal(pair.node.ids[1], 1);
    assert_int_equal(pair.node.ids[2], 3);
    pair_release(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_in_time_order_and_equal_times_in_the_order_of_scheduling),
        cmocka_unit_test(a_failure_ends_the_run_and_keeps_the_first_sentence),
        cmocka_unit_test(a_clock_never_goes_back_and_its_timers_are_never_early),
        cmocka_unit_test(a_die_depends_on_its_own_throws_only),
        cmocka_unit_test(chances_and_weights_come_about_as_often_as_told),
        cmocka_unit_test(a_link_keeps_its_order_and_replies_find_their_link),
        cmocka_unit_test(a_broken_connection_loses_what_is_on_its_way_both_ways),
        cmocka_unit_test(a_dead_process_hears_nothing_and_its_successor_only_what_is_stale),
        cmocka_unit_test(a_paused_process_gets_everything_afterwards_in_order),
        cmocka_unit_test(a_cut_is_one_way_and_cuts_add_up),
        cmocka_unit_test(what_is_held_arrives_once_it_is_released_and_what_is_lost_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
