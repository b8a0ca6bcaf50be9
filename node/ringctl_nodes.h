/* ringctl_nodes: one question to every node at once, and what each answered. */
#ifndef RINGFS_NODE_RINGCTL_NODES_H
#define RINGFS_NODE_RINGCTL_NODES_H

#include "node/ringctl.h"

struct ctl_answer {
    struct ctl *ctl;
    uint8_t type;
    struct ring_member member; /* a copy: the ring may change while we wait */
    int status;                /* 0, or why there is no answer */
    struct bytes payload;      /* owned */
};

/* Asks every member of the ring at once, each by a task of its own, so that a dead node delays
 * nobody else's answer; waits at most `wait_ms`, and no longer than the task's deadline, which it
 * changes. May suspend. Returns an array of *ret_n answers in the ring's order, the caller's:
 * ctl_answers_free(). */
struct ctl_answer *ctl_ask_nodes(struct ctl *ctl, uint8_t type, int64_t wait_ms, uint32_t *ret_n);
void ctl_answers_free(struct ctl_answer *answers, uint32_t n);

/* The exit code of a command that showed `n` nodes, of which so many were silent. */
int ctl_silent_exit(uint32_t n_silent, uint32_t n);

#endif
