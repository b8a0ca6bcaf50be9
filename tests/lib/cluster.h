/* cluster: a few nodes, their disks and a wire in one process, moved by hand. */
#ifndef RINGFS_TESTS_LIB_CLUSTER_H
#define RINGFS_TESTS_LIB_CLUSTER_H

#include "node/core/node.h"
#include "shared/request.h"
#include "shared/store.h"
#include "tests/lib/disk_mem.h"

/* For unit tests of the node's core: everything happens in the order asked, nothing is random but
 * by a fixed seed, time stands still until cluster_advance(). Node ids are 1..n. The wire delivers
 * in order, loses nothing unless told, and carries messages through the real encoder. The large
 * random runs are in tests/sim. One thread. */
enum { CLUSTER_NODES_MAX = 8 };

struct cluster;

/* `n_nodes` nodes, all started, hearing of each other and trusting themselves. R = W = 2 (or 1 with
 * one node). */
struct cluster *cluster_new(uint16_t n_nodes, uint16_t n_replicas);
/* The same with anti-entropy, which runs as time passes: a round each `round_ms`. */
struct cluster *cluster_new_repairing(uint16_t n_nodes, uint16_t n_replicas, uint32_t round_ms);
/* And tombstones go when they are `reap_ms` old and were held as long by all replicas. */
struct cluster *cluster_new_reaping(uint16_t n_nodes, uint16_t n_replicas, uint32_t round_ms,
                                    uint32_t reap_ms);
/* The nodes grant leases (shared/watch.h); those of former lives are over. */
struct cluster *cluster_new_leasing(uint16_t n_nodes, uint16_t n_replicas, uint32_t lease_ms);
void cluster_free(struct cluster *cluster);
struct node *cluster_node(struct cluster *cluster, uint16_t id); /* NULL while it is down */
struct disk_mem *cluster_disk(struct cluster *cluster, uint16_t id);
const struct ring *cluster_ring(const struct cluster *cluster);

/* Delivers and answers everything that is under way, without time passing. */
void cluster_run(struct cluster *cluster);
/* What nodes keep to send later (later.h) is sent when its time has come; else it is sent at once.
 */
void cluster_wait_for_later(struct cluster *cluster);
/* Lets time pass, a millisecond at a time, running all that falls due. */
void cluster_advance(struct cluster *cluster, int64_t ms);
/* Delivers one message; false when none is under way. */
bool cluster_deliver_one(struct cluster *cluster);

/* Faults. A node that is down gets no messages and its own are lost. */
void cluster_crash(struct cluster *cluster, uint16_t id, bool machine);
/* A node that is down finds an empty disk when it starts. */
void cluster_wipe(struct cluster *cluster, uint16_t id);
/* Of a node that is down: its machine has another boot id; it is told to trust its disk at its next
 * starts. */
void cluster_reboot(struct cluster *cluster, uint16_t id);
void cluster_trust_disk(struct cluster *cluster, uint16_t id);
/* Nodes started from now on scrub their rows so often. */
void cluster_scrub(struct cluster *cluster, uint32_t round_ms);
/* Runs until a message of this type is about to reach the node, takes it off the wire, and appends
 * its payload; fails the test when none comes. */
void cluster_overhear(struct cluster *cluster, uint16_t to, uint8_t type, struct buffer *ret);
void cluster_stop(struct cluster *cluster, uint16_t id); /* cleanly */
void cluster_start(struct cluster *cluster, uint16_t id);
/* Messages of this type (0 = all) to a node (0 = any) are lost from now on, or held until
 * cluster_release(). */
void cluster_lose(struct cluster *cluster, uint16_t to, uint8_t type);
void cluster_hold(struct cluster *cluster, uint16_t to, uint8_t type);
/* Ends all losing and holding; what was held is under way again, in order. */
void cluster_release(struct cluster *cluster);
/* While set, the node's disk answers nothing. */
void cluster_pause_disk(struct cluster *cluster, uint16_t id, bool paused);

/* A client's request. cluster_ask() puts it on the wire and returns a ticket; the answer is there
 * when `got`. Payloads stay until the cluster is freed. */
struct cluster_answer {
    bool got;
    uint32_t n; /* answers that came for the ticket: more than one is a bug */
    int status;
    struct bytes payload;
};
uint64_t cluster_ask(struct cluster *cluster, uint16_t node, const struct message *message);
struct cluster_answer cluster_answer(const struct cluster *cluster, uint64_t ticket);
/* Asks and lets time pass until the answer is there; fails the test when none comes in 5 s. */
struct cluster_answer cluster_call(struct cluster *cluster, uint16_t node,
                                   const struct message *message);
/* A message as if from the peer `from`. */
void cluster_inject(struct cluster *cluster, uint16_t from, uint16_t to,
                    const struct message *message);

/* How many lines of all nodes' logs have this word. */
uint32_t cluster_lines(const struct cluster *cluster, const char *word);
uint64_t cluster_stat(struct cluster *cluster, uint16_t id, const char *name);

#endif
