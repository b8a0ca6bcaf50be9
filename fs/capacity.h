/* capacity: how large the cluster is and how full, asked for now and then, for statfs(2). */
#ifndef RINGFS_FS_CAPACITY_H
#define RINGFS_FS_CAPACITY_H

#include "fs/mount.h"
#include "shared/session.h"

/* Starts a task that keeps mount->capacity up to date: what the nodes have, divided by the number
 * of copies of each row. Until the first answer, and while nodes are silent, the last figures
 * stand. Not from a task. ERR_BUSY. */
int capacity_start(struct mount *mount, struct session *session);

#endif
