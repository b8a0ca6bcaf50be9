/* faults: what befalls a run: chains of strikes, one for each kind of fault, and their end. */
#ifndef RINGFS_TESTS_SIM_FAULTS_H
#define RINGFS_TESTS_SIM_FAULTS_H

#include "tests/sim/world.h"

/* One strike. The n-th of its kind has dice of its own, from which the time to the next one is
 * drawn first: leaving one out moves none of the others. */
struct strike {
    struct world *world;
    enum fault_kind kind;
    uint32_t n;
    struct dice dice;
};

/* A node that the strike chooses; it may be down. */
struct world_node *strike_node(struct strike *strike);
/* Ends the process; it starts again after a time that the strike draws. A node that is down stays
 * so. */
void strike_down(struct strike *strike, struct world_node *node);
/* No event reaches the process for a while. */
void strike_pause(struct strike *strike, struct sim_process *process);
/* The connections between two nodes break; of one node when both are the same. */
void strike_break(struct strike *strike, struct world_node *a, struct world_node *b);
/* Nobody hears the node for a while, and it hears nobody. */
void strike_isolate(struct strike *strike, struct world_node *node);

/* faults_net.c */
void fault_isolate(struct strike *strike);
void fault_one_way(struct strike *strike);
void fault_pair(struct strike *strike);
void fault_groups(struct strike *strike);
/* faults_disk.c */
void fault_disk_fail(struct strike *strike);
void fault_disk_full(struct strike *strike);
void fault_rot(struct strike *strike);
void fault_machine(struct strike *strike);
void fault_wipe(struct strike *strike);
/* hot.c: begins to watch the run for the point where its hot fault strikes. */
void hot_begin(struct world *world);

#endif
