/* epoch: which dots this node may give out, across crashes and clean stops. */
#ifndef RINGFS_NODE_CORE_EPOCH_H
#define RINGFS_NODE_CORE_EPOCH_H

#include "shared/versions.h"

/* A dot is never given out twice: its epoch is durable as used before the first dot of it exists,
 * and is a new one after every start that does not follow a clean stop. Part of struct node. */
struct node;

/* Where the mark lies, and whether its bytes say that the last stop was clean. */
struct bytes epoch_mark_key(void);
bool epoch_mark_clean(struct bytes mark);
/* Reads the mark and makes a new epoch durable; then the node serves, or has failed. */
void epoch_start(struct node *node);
/* Marks the stop as clean; the node is STOPPED after that, whether it worked or not. */
void epoch_stop(struct node *node);
/* 0 when there is an epoch to make dots of. If not, one is being made durable: ERR_BUSY, or
 * ERR_NO_SPACE when the disk refused that the last time. */
int epoch_ready(struct node *node);
/* From here on dots are of a fresh epoch: a dot that was given to others did not reach this node's
 * own disk, so its rows may no more claim to know all dots of the old one. */
void epoch_renew(struct node *node);
/* The next dot of this node. epoch_ready() must have said 0. */
struct dot epoch_dot(struct node *node);
uint64_t epoch_actor(const struct node *node);
/* Whether a context has dots that this node has yet to give out, now or in a later epoch. From a
 * client such a claim would swallow the writes that get them. */
bool epoch_is_ahead(const struct node *node, const struct context *context);
/* A peer's row has such dots, so they were given out: the data directory is an old copy of this
 * node's, put back. It lacks what the node acknowledged since, and its next dots would name other
 * writes: the node fails. */
void epoch_fail_old(struct node *node);

#endif
