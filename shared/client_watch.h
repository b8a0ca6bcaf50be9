/* client_watch: hears from the nodes what others change in partitions that the client has cached.
 */
#ifndef RINGFS_SHARED_CLIENT_WATCH_H
#define RINGFS_SHARED_CLIENT_WATCH_H

#include "shared/client.h"

/* Names each partition to all replicas of its slice (watch.h) and asks them in turn for changes. A
 * partition is *live* while so many replicas watch it that no quorum read can miss a write without
 * one of them telling of it afterwards: all but R - 1. What was read while a partition was live,
 * from before the reading began, is the latest state until `changed` says otherwise or `live` says
 * that it ended. Changes by this client itself are not told.
 *
 * It is *whole* while all replicas watch it. Then they may grant leases (watch.h): while all of
 * these run, client_watch_leased(), what was read at quorum since it became whole, and of which no
 * change was told, is the latest that anybody was told was done.
 *
 * An end is noticed by the clock here, within CLIENT_WATCH_SILENCE_MS: a node that answers no WATCH
 * for so long counts as watching nothing. It is named everything again as soon as it answers.
 *
 * Pure, as the client. One thread; the callbacks come from client_receive() and timers, never from
 * a call of this header, and may not begin or end anything. */
enum {
    CLIENT_WATCH_PARTITIONS_MAX = 8192,
    CLIENT_WATCH_SILENCE_MS = 1500,
    CLIENT_WATCH_PACE_MS = 2,        /* between the answer of a node and the next WATCH to it */
    CLIENT_WATCH_NAME_MS = 10,       /* partitions begun within this time are named together */
    CLIENT_WATCH_RETRY_MS = 500,     /* the same after a failure */
    CLIENT_WATCH_REFUSED_MS = 10000, /* before what found no room at a node is named again */
};

struct client_watch;

struct client_watch_config {
    /* Another client has changed a row of a watched partition. Borrowed for the call. */
    void (*changed)(void *context, struct bytes partition_key, struct bytes sort_key);
    void (*live)(void *context, struct bytes partition_key, bool live);
    void (*whole)(void *context, struct bytes partition_key, bool whole); /* may be NULL */
    void *context;
};

/* Borrows the client, which must outlive it. */
struct client_watch *client_watch_new(struct client *client,
                                      const struct client_watch_config *config);
void client_watch_free(struct client_watch *watch);

/* Begins to watch a partition; 0, or ERR_BUSY when there are too many. Harmless when it is watched
 * already. `live` is told when it is. */
int client_watch_begin(struct client_watch *watch, struct bytes partition_key);
/* Ends it; `live` is not told. Harmless when it is not watched. */
void client_watch_end(struct client_watch *watch, struct bytes partition_key);
/* Whether leases of it run at all its replicas, now. */
bool client_watch_leased(const struct client_watch *watch, struct bytes partition_key);
uint32_t client_watch_n_live(const struct client_watch *watch);

#endif
