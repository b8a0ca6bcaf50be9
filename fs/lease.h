/* lease: this mount's lease, and what this mount makes of the leases of others. */
#ifndef RINGFS_FS_LEASE_H
#define RINGFS_FS_LEASE_H

#include "fs/mount.h"
#include "shared/namespace_locks.h"

/* A mount that holds locks keeps a row alive by writing it again and again. Nobody compares clocks;
 * each uses its own, which must go on while the machine sleeps (CLOCK_BOOTTIME), and T is written
 * in the row:
 *
 *   the holder   renews every T / 5. It counts its lease as lost when it has ended, or when the
 * last renewal that succeeded was *sent* 2 T / 3 ago. Then it fails its programs' writes. who waits
 * may end the lease after having seen the row unchanged for T: from the end of one reading to the
 * start of another. Then it takes the holder's locks out.
 *
 * What who waits sees first was sent earlier, so the holder gives up T / 3 before anybody takes
 * over (5 s of the 15): enough for what it has under way, and for clocks that run 10 % apart.
 * Ending is a conditional write on the row as it was seen: a renewal that comes first wins, one
 * that comes later fails, and the holder knows. An id is never used again. */
enum {
    LEASE_RENEW_PART = 5,
    LEASE_WATCHED_MAX = 64, /* other mounts; the one looked at longest ago is forgotten */
};
#define LEASE_DEFAULT_NS 15000000000ll
#define LEASE_LOOK_NS 1000000000ll /* another's lease is looked at this often */

struct watched {
    struct id128 mount; /* zeros = free */
    struct bytes seen;  /* owned */
    int64_t since_ns;   /* the end of the reading that first showed it so */
    int64_t looked_ns;
};

struct lease {
    struct mount *mount;
    int64_t (*now_ns)(void *clock); /* goes on while the machine sleeps */
    void *clock;
    int64_t length_ns; /* T */
    struct id128 id;   /* under which this mount holds locks */
    bool live;
    bool making; /* a task is at it */
    struct task_queue made;
    struct lease_row row; /* while it lives */
    int64_t renewed_ns;   /* when the last successful renewal was sent */
    struct watched watched[LEASE_WATCHED_MAX];
    struct survivor_lease *kept; /* for the next worker; NULL = none comes */
};

/* Only the mount, the clock and the length need be set; under an id of its own, not live. What is
 * kept stays as it was. */
void lease_init(struct lease *lease);
/* The row, if there is one, stays: see lease_give_up(). */
void lease_release(struct lease *lease);

/* On the lease's clock. */
int64_t lease_now_ns(const struct lease *lease);
/* Whether this mount must count it as lost. */
bool lease_overdue(const struct lease *lease);
/* May suspend: until it lives. */
int lease_ensure(struct lease *lease);
/* May suspend: goes on with the lease that an earlier worker left. ERR_NO_ENTRY, ERR_CONFLICT: it
 * has ended. */
int lease_resume(struct lease *lease);
/* May suspend. ERR_CONFLICT: others have ended it. */
int lease_renew_now(struct lease *lease);
/* Goes on under a fresh id, not live, at once. The old one is left to end by itself. */
void lease_drop(struct lease *lease);
/* The same, and may suspend: ends the old one as far as the cluster answers. */
void lease_give_up(struct lease *lease);
/* May suspend. Whether another mount's lease has ended; ends it if it is time. */
int lease_judge(struct lease *lease, const struct id128 *mount, bool *ret_ended);

#endif
