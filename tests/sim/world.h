/* world: the cluster of a run: nodes, client processes, their disks, and what befalls them. */
#ifndef RINGFS_TESTS_SIM_WORLD_H
#define RINGFS_TESTS_SIM_WORLD_H

#include "node/core/node.h"
#include "shared/client.h"
#include "tests/lib/disk_mem.h"
#include "tests/sim/ledger.h"
#include "tests/sim/omit.h"
#include "tests/sim/options.h"

struct world;

/* What a death takes along of what was on the disk. */
enum world_loss {
    WORLD_LOSES_QUEUED = 0, /* the process dies: commits asked for and not answered, some of them */
    WORLD_LOSES_BUFFERED,   /* the machine dies: the last commits that were not synced, too */
    WORLD_LOSES_ALL,        /* the disk */
};

struct world_node {
    struct world *world;
    uint16_t id; /* 1.. */
    struct sim_process process;
    struct sim_port port;
    struct env env;
    struct disk_mem *disk;
    struct dice dice;              /* of its disk */
    struct membership *membership; /* of the current life */
    struct node *node;             /* NULL while down */
    bool stopping;
    uint32_t lives;
    enum world_loss loses; /* with its next death */
    uint16_t incarnation;  /* raised with each disk lost */
    uint32_t boots;        /* machine crashes so far */
};

struct world_client {
    struct world *world;
    struct sim_process process;
    struct sim_port port;
    struct env env;
    struct client *client; /* NULL while down */
    struct holder *holder; /* NULL = it holds nothing */
    uint32_t lives;
};

/* Named counters: what the run met, so that a campaign shows what it did not. */
enum coverage {
    COVER_CRASHES,
    COVER_CLEAN_STOPS,
    COVER_PAUSES,
    COVER_BREAKS,
    COVER_ISOLATIONS,
    COVER_ONE_WAY_CUTS,
    COVER_PAIR_CUTS,
    COVER_GROUP_CUTS,
    COVER_CLIENT_CRASHES,
    COVER_WALL_JUMPS,
    COVER_DISK_FAILURES,
    COVER_DISKS_FULL,
    COVER_ROTS,
    COVER_ROTS_MENDED, /* rotten rows written anew */
    COVER_MACHINE_CRASHES,
    COVER_WIPES,
    COVER_HOT_STRIKES,
    COVER_GAVE_UP,      /* nodes that failed at their start, and were started again */
    COVER_COMMITS_KEPT, /* in flight at a crash, and found on the disk after it */
    COVER_COMMITS_LOST,
    COVER_BUFFERED_LOST, /* answered, not synced, and lost with a machine */
    COVER_GETS,
    COVER_SCANS,
    COVER_BATCHES,
    COVER_DONE,
    COVER_CONFLICTS,
    COVER_UNKNOWNS,
    COVER_UNAVAILABLES,
    COVER_TIMEOUTS,
    COVER_BUSIES,
    COVER_TOO_MANY_SIBLINGS,
    COVER_CLOSED,
    COVER_SIBLING_READS,       /* reads that met two siblings or more */
    COVER_REGRESSIONS,         /* a session's later read knew less than its earlier one */
    COVER_LOST_PENDINGS,       /* a plain read showed what was proposed and refused */
    COVER_ORPHANS,             /* entries in directories that were removed */
    COVER_TWIN_LOSSES,         /* a write served twice replaced one acknowledged after it */
    COVER_TWIN_REVIVALS,       /* a replaced write came back under a second dot */
    COVER_UNAVAILABLE_APPLIED, /* answered UNAVAILABLE, yet found on a disk */
    COVER_RETRIED_PASSES,      /* a retry passed a condition that did not hold any more */
    COVER_TWO_COORDINATORS,    /* writes with two dots */
    COVER_STAND_INS,           /* writes acknowledged with stand-ins */
    COVER_CLIENT_RETRIES,
    COVER_LINKS_REOPENED,
    COVER_QUORUM_READS,
    COVER_QUORUM_FALLBACKS,
    COVER_FINAL_RETRIES,
    COVER_STRICT_READS,
    COVER_LEASED_READS,     /* answered from what a client held under leases */
    COVER_LINEAR_OPS,       /* conditional batches judged for linearizability */
    COVER_LINEAR_UNDECIDED, /* partitions whose search was given up at its bound */
    COVER_COUNTERS,
};
extern const char *const coverage_names[COVER_COUNTERS];

enum { WORLD_STATS_MAX = 128 };

struct world {
    struct sim sim;
    struct options options;
    struct sim_net net;
    struct ledger ledger;
    struct world_node nodes[NODES_MAX];           /* 0 .. n_nodes-1 */
    struct world_client clients[CLIENTS_MAX + 1]; /* the last one reads in the end */
    struct omit omit;
    uint32_t strikes[FAULT_KINDS]; /* one more than the last that came */
    struct dice hot_dice;
    bool healing;
    uint64_t coverage[COVER_COUNTERS];
    struct node_stat stats[WORLD_STATS_MAX]; /* summed over nodes and lives */
    uint32_t n_stats;
};

/* What to run: run_seed.h. */
struct run_plan;
/* Draws the options, leaves out what the plan says, makes all processes and starts them at
 * staggered times. */
void world_init(struct world *world, const struct run_plan *plan);
void world_release(struct world *world);

/* Begins the faults of the options. */
void world_begin_faults(struct world *world);
/* No more faults from now on: the network is whole, whoever is down comes up within a second. */
void world_heal(struct world *world);
/* Starts nodes again that gave up because of their disks, as whoever runs them would. */
void world_tend(struct world *world);

void world_node_start(struct world_node *node);
void world_node_crash(struct world_node *node);
void world_client_start(struct world_client *client);
void world_client_crash(struct world_client *client);

/* A commit of the node is about to be applied and answered (hot.c). */
void hot_stored(struct world_node *node);
/* The ring of all nodes, who must not all be down. */
const struct ring *world_ring(const struct world *world);
void world_cover(struct world *world, enum coverage what);
/* The client that reads in the end, unharmed by faults. */
struct world_client *world_reader(struct world *world);

#endif
