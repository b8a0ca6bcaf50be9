/* sync_cluster: bringing what the nodes have acknowledged to their disks, now. */
#ifndef RINGFS_FS_SYNC_CLUSTER_H
#define RINGFS_FS_SYNC_CLUSTER_H

#include "shared/session.h"

/* May suspend. 0 when every member of the ring has said that all it had acknowledged by now is on
 * its disk. All are asked, since which of them acknowledged a write nobody has noted.
 * ERR_UNAVAILABLE at once when one of them is silent; else the error of the first that failed.
 * `session` is a struct session. */
int sync_cluster(void *session);

#endif
