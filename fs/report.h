/* report: what a mount tells of its cluster, as text, from memory. */
#ifndef RINGFS_FS_REPORT_H
#define RINGFS_FS_REPORT_H

#include "fs/cluster_files.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "shared/session.h"

/* Beside capacity.c the one part of fs/ that knows of nodes and rings. All is borrowed. */
struct report {
    struct session *session;
    const struct mount *mount;
    const struct options *options;
    const char *mountpoint;
    struct ops *const *ops; /* *ops is NULL before the mount stands */
};

/* Slice and nodes of a partition: for mount_config. */
void report_replicas(void *report, struct bytes partition_key, struct buffer *into);
/* For cluster_files_init(); `report` stays where it is. */
struct cluster_texts report_texts(struct report *report);

#endif
