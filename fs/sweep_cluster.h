/* sweep_cluster: the mount's own sweeps, of the cluster that it is a client of. */
#ifndef RINGFS_FS_SWEEP_CLUSTER_H
#define RINGFS_FS_SWEEP_CLUSTER_H

#include "fs/sweeper.h"
#include "shared/session.h"

struct sweep_cluster {
    struct mount *mount;
    struct session *session;
    int64_t wait_ns;  /* for an answer */
    int64_t every_ns; /* as in sweeper.h; what is younger than this is left alone, too */
    /* One line when a sweep has ended. */
    void (*log)(void *context, int level, const char *line);
    void *context;
};
/* Starts the sweeper; `config` must live as long as the mount. 0 or ERR_BUSY. */
int sweep_cluster_start(struct sweep_cluster *config);

#endif
