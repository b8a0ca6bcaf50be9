/* holders: clients that keep what they read under leases, and must never show what is outdated. */
#ifndef RINGFS_TESTS_SIM_HOLDERS_H
#define RINGFS_TESTS_SIM_HOLDERS_H

#include "shared/client_watch.h"
#include "tests/sim/world.h"

/* A client process watches all partitions (shared/client_watch.h). Now and then it wants one of the
 * rows: when leases run, from what it keeps, and then that must know every write that anybody was
 * told was done before; else it reads the row at quorum, and keeps what it found. */
struct holder;

/* Begins; NULL in runs without leases. Borrows the client, which must outlive it. */
struct holder *holder_new(struct world_client *client);
/* Harmless for NULL. */
void holder_free(struct holder *holder);

#endif
