/* options: what kind of run a seed is: the cluster's size, the load, and which faults come how
 * often. */
#ifndef RINGFS_TESTS_SIM_OPTIONS_H
#define RINGFS_TESTS_SIM_OPTIONS_H

#include "tests/lib/sim_net.h"

/* Swarm: each run draws its own subset of faults and its own rates; about half the runs have any
 * one fault switched off, so that rare combinations are not drowned by the common ones. */
enum {
    NODES_MAX = 7,
    CLIENTS_MAX = 4,
    SESSIONS_MAX = 16,
    PARTITIONS_MAX = 4,
    ROWS_MAX = 5,        /* of one partition */
    CONTESTS_MAX = 12,   /* rows that are only ever created with IF_ABSENT */
    DIRECTORIES_MAX = 3, /* partitions used as a filesystem uses them: see directories.h */
    DIRECTORY_ROWS = 3,
    ROWS_TOTAL_MAX = PARTITIONS_MAX * ROWS_MAX + DIRECTORIES_MAX * DIRECTORY_ROWS + CONTESTS_MAX,
    OPS_MAX = 64,  /* of one session */
    BATCH_MAX = 4, /* rows in one batch */
};

enum op_kind {
    OP_GET,
    OP_SCAN,
    OP_STATS,
    OP_BLIND,     /* ROW_ANY, nothing seen */
    OP_CONTEXT,   /* ROW_ANY, with the context read last */
    OP_OVERWRITE, /* ROW_OVERWRITE */
    OP_MATCH,     /* ROW_IF_MATCH, with the context read last */
    OP_ABSENT,    /* ROW_IF_ABSENT */
    OP_DELETE,    /* a tombstone under one of the conditions */
    OP_BATCH,     /* several rows under mixed conditions, guards too */
    OP_CONTEST,   /* ROW_IF_ABSENT on a row that all sessions fight for */
    OP_DIRECTORY, /* make, create, remove, look up: directories.c */
    OP_PATCH,     /* ROW_PATCH: patches.c */
    OP_KINDS,
    /* In directed runs only; elsewhere some GETs are strict, some deletes overwrite. */
    OP_STRICT_GET = OP_KINDS,
    OP_ERASE,
};

/* What strikes now and then; each kind is a chain of strikes of its own (faults.c). Constant, name.
 */
#define FAULT_TABLE(X)                                                                             \
    X(CRASH, "crash")               /* a node dies; with crash_twin_ppm a second one too */        \
    X(STOP, "stop")                 /* a node is told to stop, and started again later */          \
    X(PAUSE, "pause")               /* a node or client gets no event for a while */               \
    X(BREAK, "break")               /* connections break: what is on its way is lost */            \
    X(ISOLATE, "isolate")           /* a node hears nobody and is not heard */                     \
    X(ONE_WAY, "one-way")           /* a node is not heard by some, yet hears them */              \
    X(PAIR, "pair")                 /* two nodes do not hear each other */                         \
    X(GROUPS, "groups")             /* nodes and clients fall into two groups */                   \
    X(CLIENT_CRASH, "client-crash") /* */                                                          \
    X(WALL_JUMP, "wall-jump")       /* a node's time of day jumps */                               \
    X(DISK_FAIL, "disk-fail")       /* reads, commits or both answer DISK for a while */           \
    X(DISK_FULL, "disk-full")       /* commits answer NO_SPACE for a while */                      \
    X(ROT, "rot")                   /* a bit of a stored row of the frail node flips */            \
    X(MACHINE, "machine")           /* the frail node's machine loses power */                     \
    X(WIPE, "wipe")                 /* the frail node loses its disk */                            \
    X(HOT, "hot")                   /* at a point of the protocol: hot.c */

enum fault_kind {
#define FAULT_ENUM(constant, name) FAULT_##constant,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_KINDS,
};
extern const char *const fault_names[FAULT_KINDS];

/* Where a hot fault strikes, and what happens there to the node that passes the point. */
enum hot_point {
    HOT_SENT,   /* it sent a message of type hot_type */
    HOT_GOT,    /* it worked off a message of type hot_type */
    HOT_ASKED,  /* it asked for a commit, which is not answered yet */
    HOT_STORED, /* a commit of its was answered */
    HOT_POINTS,
};
enum hot_action { HOT_CRASH, HOT_PAUSE, HOT_ISOLATE, HOT_BREAK, HOT_ACTIONS };

struct options {
    bool quiet; /* no fault of any kind */
    bool unconditional;
    uint16_t n_nodes, n_replicas;
    uint8_t read_quorum, write_quorum;
    uint16_t n_slices;
    uint16_t n_clients, n_sessions; /* sessions in all */
    uint16_t n_partitions, n_rows;
    uint32_t ops_per_session;
    uint32_t weights[OP_KINDS];
    uint32_t value_size_max;
    uint32_t synced_ppm; /* writes with MESSAGE_SYNCED */
    int64_t think_mean_ns;
    uint64_t hint_bytes_max;  /* of each node; 0 = more than enough */
    uint32_t reap_ms;         /* how long tombstones are held; 0 = for ever */
    uint32_t lease_ms;        /* that nodes grant; 0 = none */
    bool coordinated_reads;   /* clients ask no two replicas themselves */
    uint32_t repair_round_ms; /* of anti-entropy; 0 = replicas are mended by reads only */
    int64_t deadline_min_ns, deadline_max_ns;

    struct sim_net_faults net;

    int64_t disk_read_ns, disk_commit_ns, disk_sync_ns;
    uint16_t slow_node;     /* its disk is slow; 0 = none */
    uint32_t disk_hang_ppm; /* works that take disk_hang_ns */
    int64_t disk_hang_ns;

    uint16_t n_strict_partitions; /* the first ones: written under conditions only */
    uint32_t strict_reads_ppm;    /* of the GETs and SCANs */

    int64_t drift_max_ppm, wall_offset_max_ns;

    int64_t every_ns[FAULT_KINDS]; /* mean time between strikes of a kind; 0 = never */
    int64_t down_mean_ns;          /* from a crash or stop to the next start */
    int64_t pause_length_ns;       /* mean */
    int64_t cut_length_ns;         /* mean, of isolations and other cuts */
    int64_t disk_trouble_ns;       /* mean length of failing and full disks */
    uint16_t frail;                /* the one node whose stored data may be lost; 0 = none */
    enum hot_point hot_point;
    enum hot_action hot_action;
    uint8_t hot_type;
    uint32_t hot_ppm;        /* of the times that the point is passed */
    uint32_t crash_twin_ppm; /* a crash takes a second node along */
    bool crash_all_at_end;   /* before the final reads */
};

void options_draw(uint64_t seed, struct options *ret);
/* For campaigns of one kind: set before the first draw. No conditions, no contests, no
 * directories: blind, context and overwriting writes, deletes and batches of them. */
extern bool options_unconditional;
/* Another size of cluster, with three replicas, R and W 2, than the one drawn. */
void options_set_nodes(struct options *options, uint16_t n_nodes);
void options_print(const struct options *options);

#endif
