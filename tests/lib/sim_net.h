/* sim_net: the network between simulated processes, as the cores' env. */
#ifndef RINGFS_TESTS_LIB_SIM_NET_H
#define RINGFS_TESTS_LIB_SIM_NET_H

#include "shared/env.h"
#include "tests/lib/dice.h"
#include "tests/lib/sim.h"

/* What nanomsg gives: a link keeps order while its connection lives and loses messages when the
 * connection breaks; a message may be lost without notice; replies find the connection they belong
 * to or nobody. What it does not do but the cores must stand: doubled messages, order broken,
 * messages from before a restart arriving after it.
 *
 * Messages cross as encoded bytes, so that the codec is part of every run. Nodes are addressed
 * "sim://ID" by nodes and clients alike. */
struct sim_net_faults {
    int64_t delay_base_ns;
    int64_t delay_mean_ns; /* of the exponential part */
    uint32_t tail_ppm;     /* messages that take much longer */
    int64_t tail_mean_ns;
    uint32_t loss_ppm;
    uint32_t double_ppm;  /* never a client's BATCH */
    uint32_t reorder_ppm; /* messages that overtake */
    uint32_t stale_ppm;   /* of what was on its way to a process that died: reaches its successor */
    uint32_t busy_ppm;    /* send() answers ERR_BUSY */
};

struct sim_link {
    uint16_t target; /* node id */
    bool open;
    uint32_t connection;      /* raised by each connect, reconnect and disconnect */
    int64_t last_arrival_ns;  /* out; order is kept behind it */
    int64_t last_returned_ns; /* back (replies to a client) */
};

struct sim_packet;
struct sim_net;

/* One process's end of the network. */
struct sim_port {
    struct sim_net *net;
    struct sim_process *process;
    uint16_t node;  /* id, of nodes */
    uint16_t index; /* in net->ports */
    struct sim_link *links;
    uint16_t n_links;
    struct dice dice;      /* of the network */
    struct dice core_dice; /* what env.random() throws */
    void (*receive)(void *context, const struct endpoint *from, const struct message *message);
    void *context;
};

enum { SIM_PORTS_MAX = 64 };

/* What becomes of a message: asked of `judge` as it is sent. */
enum sim_verdict {
    SIM_PASS,
    SIM_LOSE,
    SIM_HOLD, /* stays on its way until sim_net_release_held() */
};

struct sim_net_counters {
    uint64_t sent, delivered, lost, doubled, overtaken, stale, dead, busy;
};

struct sim_net {
    struct sim *sim;
    struct sim_net_faults faults;
    struct sim_port **ports; /* borrowed */
    uint16_t n_ports;
    struct sim_packet *packets; /* on their way */
    /* How many cuts are between them: [from][to], by a port's index. */
    uint8_t cuts[SIM_PORTS_MAX][SIM_PORTS_MAX];
    /* A look over the shoulder, for faults at points of the protocol: `port` sent or has worked off
     * the message. NULL = nobody looks. */
    void (*watch)(void *context, struct sim_port *port, uint8_t type, bool sent);
    /* For directed scenarios; NULL = all pass. */
    enum sim_verdict (*judge)(void *context, const struct sim_port *from, const struct sim_port *to,
                              const struct message *message);
    void *context; /* of both */
    struct sim_net_counters counters;
};

void sim_net_init(struct sim_net *net, struct sim *sim);
void sim_net_release(struct sim_net *net);

/* Attaches a process; `port` stays the caller's memory for the run. `node` is its id, 0 for a
 * client. */
void sim_port_init(struct sim_port *port, struct sim_net *net, struct sim_process *process,
                   uint16_t node);
void sim_port_release(struct sim_port *port);
/* The process died: its links are gone. */
void sim_port_reset(struct sim_port *port);
/* The env of the process's core. */
struct env sim_port_env(struct sim_port *port);
/* Breaks the connection of every link between two ports (of one port if `b` is NULL): what is on
 * its way over them is lost. */
void sim_net_break(struct sim_net *net, struct sim_port *a, struct sim_port *b);

/* From now on no message of a port in `from` arrives at one in `to` (bits: a port's index), until
 * the same is mended; cuts add up. What is on its way is lost, too. */
void sim_net_cut(struct sim_net *net, uint64_t from, uint64_t to);
void sim_net_mend(struct sim_net *net, uint64_t from, uint64_t to);
void sim_net_mend_all(struct sim_net *net);
/* What `judge` held goes on its way now, in the order sent. */
void sim_net_release_held(struct sim_net *net);

#endif
