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
    OP_KINDS,
};

struct options {
    bool quiet; /* no fault of any kind */
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
    int64_t deadline_min_ns, deadline_max_ns;

    struct sim_net_faults net;

    int64_t disk_read_ns, disk_commit_ns, disk_sync_ns;
    uint16_t slow_node;     /* its disk is slow; 0 = none */
    uint32_t disk_hang_ppm; /* works that take disk_hang_ns */
    int64_t disk_hang_ns;

    int64_t drift_max_ppm, wall_offset_max_ns;

    /* Mean time between faults of a kind in the whole cluster; 0 = never. */
    int64_t crash_mean_ns, stop_mean_ns, pause_mean_ns, break_mean_ns, isolate_mean_ns;
    int64_t client_crash_mean_ns, wall_jump_mean_ns;
    int64_t down_mean_ns;      /* from a crash or stop to the next start */
    int64_t pause_length_ns;   /* mean */
    int64_t isolate_length_ns; /* mean */
    uint32_t crash_twin_ppm;   /* a crash takes a second node along */
    bool crash_all_at_end;     /* before the final reads */
};

void options_draw(uint64_t seed, struct options *ret);
void options_print(const struct options *options);

#endif
