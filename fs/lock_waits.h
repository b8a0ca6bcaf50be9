/* lock_waits: requests that wait for locks: until one is free, and never in a circle. */
#ifndef RINGFS_FS_LOCK_WAITS_H
#define RINGFS_FS_LOCK_WAITS_H

#include "fs/locks.h"

/* May suspend, without a deadline: until the lock may be free. Who waits for a program of this
 * mount is woken; for another mount's lock one of the waiters reads the row now and then and wakes
 * the others. ERR_DEADLOCK when the one waited for waits, over any number of others, for the
 * asker's own POSIX locks; circles over several mounts are not seen. ERR_INTERRUPTED, ERR_NO_LOCKS,
 * or what the store answered. `since_ns` (monotonic): when the wish came. */
int lock_wait(struct file_locks *fl, struct lock_wish *wish, int64_t since_ns);
/* Everybody's wait ends with ERR_CLOSED; locks->stopping is set. */
void lock_waits_interrupt(struct locks *locks);

#endif
