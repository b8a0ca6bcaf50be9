/* sim_net: the network between simulated processes, as the cores' env. */
#include "tests/lib/sim_net.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/err.h"

/* One message on its way. */
struct sim_packet {
    struct sim_net *net;
    struct sim_packet *next, *prev;
    uint16_t from, to; /* ports */
    uint32_t from_generation, to_generation;
    uint16_t link; /* number of the link it travels on, at the port that opened it */
    uint32_t connection;
    bool held;
    bool reply; /* to a client, back over the client's link */
    uint32_t size;
    uint8_t bytes[];
};

/* What a node holds of a client's session: env.h's opaque route. */
struct route {
    uint16_t port;
    uint16_t link;
    uint32_t generation;
    uint32_t connection;
};

void sim_net_init(struct sim_net *net, struct sim *sim) {
    memset(net, 0, sizeof(*net));
    net->sim = sim;
}

static void packet_free(struct sim_packet *packet) {
    if (packet->prev != NULL) {
        packet->prev->next = packet->next;
    } else {
        packet->net->packets = packet->next;
    }
    if (packet->next != NULL) {
        packet->next->prev = packet->prev;
    }
    free(packet);
}

void sim_net_release(struct sim_net *net) {
    while (net->packets != NULL) {
        packet_free(net->packets);
    }
    free(net->ports);
    net->ports = NULL;
}

void sim_port_init(struct sim_port *port, struct sim_net *net, struct sim_process *process,
                   uint16_t node) {
    memset(port, 0, sizeof(*port));
    port->net = net;
    port->process = process;
    port->node = node;
    port->index = net->n_ports;
    assert(net->n_ports < SIM_PORTS_MAX);
    dice_init(&port->dice, net->sim->seed, DICE_NET, port->index);
    dice_init(&port->core_dice, net->sim->seed, DICE_CORE, port->index);
    net->n_ports++;
    net->ports = memory_resize(net->ports, net->n_ports * sizeof(*net->ports));
    net->ports[port->index] = port;
}

void sim_port_release(struct sim_port *port) {
    free(port->links);
    port->links = NULL;
    port->n_links = 0;
}

void sim_port_reset(struct sim_port *port) {
    for (uint16_t i = 0; i < port->n_links; i++) {
        port->links[i].open = false;
        port->links[i].connection++;
    }
}

static struct sim_port *port_of_node(const struct sim_net *net, uint16_t node) {
    for (uint16_t i = 0; i < net->n_ports; i++) {
        if (net->ports[i]->node == node) {
            return net->ports[i];
        }
    }
    return NULL;
}

static struct sim_link *open_link(struct sim_port *port, uint16_t number) {
    return number < port->n_links && port->links[number].open ? &port->links[number] : NULL;
}

static void env_connect(void *self, uint16_t number, const char *address) {
    struct sim_port *port = self;
    if (number >= port->n_links) {
        port->links = memory_resize(port->links, (number + 1u) * sizeof(*port->links));
        memset(port->links + port->n_links, 0,
               (number + 1u - port->n_links) * sizeof(*port->links));
        port->n_links = (uint16_t)(number + 1u);
    }
    unsigned target = 0;
    int fields = sscanf(address, "sim://%u", &target);
    assert(fields == 1 && target > 0 && target <= UINT16_MAX);
    struct sim_link *link = &port->links[number];
    link->target = (uint16_t)target;
    link->open = true;
    link->connection++;
}

static void env_reconnect(void *self, uint16_t number) {
    struct sim_link *link = open_link(self, number);
    if (link != NULL) {
        link->connection++;
    }
}

static void env_disconnect(void *self, uint16_t number) {
    struct sim_link *link = open_link(self, number);
    if (link != NULL) {
        link->open = false;
        link->connection++;
    }
}

static int64_t env_now(void *self) {
    struct sim_port *port = self;
    return sim_process_now(port->process);
}

static uint64_t env_wall(void *self) {
    struct sim_port *port = self;
    return sim_clock_wall(&port->process->clock, port->net->sim->now_ns);
}

static uint64_t env_random(void *self) {
    struct sim_port *port = self;
    return dice_throw(&port->core_dice);
}

static void env_log(void *self, int level, const char *line) {
    struct sim_port *port = self;
    sim_trace(port->net->sim, "%s log%d: %s", port->process->name, level, line);
}

static void trace_packet(const struct sim_packet *packet, const char *what) {
    struct sim *sim = packet->net->sim;
    if (!sim->tracing) {
        return;
    }
    struct message m;
    size_t size;
    int err = message_decode(bytes_of(packet->bytes, packet->size), &m, &size);
    assert(err == 0);
    sim_trace(sim, "%s > %s %s type %u%s id %llx status %u flags %x budget %u key %.*s size %zu",
              packet->net->ports[packet->from]->process->name,
              packet->net->ports[packet->to]->process->name, what, m.type & 0x7fu,
              (m.type & MESSAGE_REPLY) != 0 ? " reply" : "", (unsigned long long)m.id, m.status,
              m.flags, m.budget_ms, (int)m.key.size, (const char *)m.key.data, m.payload.size);
}

/* Whether the packet reaches the process that is there now. */
static bool arrives(struct sim_packet *packet) {
    struct sim_net *net = packet->net;
    struct sim_port *from = net->ports[packet->from];
    struct sim_port *to = net->ports[packet->to];
    if (!to->process->up || net->cuts[from->index][to->index] > 0) {
        return false;
    }
    struct sim_port *opener = packet->reply ? to : from;
    bool same_connection = packet->link < opener->n_links &&
                           opener->links[packet->link].connection == packet->connection;
    if (packet->reply) {
        return same_connection && to->process->generation == packet->to_generation;
    }
    if (to->process->generation == packet->to_generation && same_connection) {
        return true;
    }
    bool stale = dice_chance(&to->dice, net->faults.stale_ppm);
    net->counters.stale += stale;
    return stale;
}

static void from_of(const struct sim_packet *packet, struct endpoint *ret) {
    const struct sim_port *from = packet->net->ports[packet->from];
    memset(ret, 0, sizeof(*ret));
    ret->kind = ENDPOINT_NODE;
    ret->node = packet->reply ? packet->link : from->node;
    if (from->node == 0) {
        struct route route = {packet->from, packet->link, packet->from_generation,
                              packet->connection};
        ret->kind = ENDPOINT_CLIENT;
        memcpy(ret->route, &route, sizeof(route));
    }
}

static void deliver(void *context, uint64_t number) {
    struct sim_packet *packet = context;
    struct sim_net *net = packet->net;
    struct sim_port *to = net->ports[packet->to];
    if (to->process->up && to->process->paused_until_ns > net->sim->now_ns) {
        sim_at(net->sim, to->process->paused_until_ns, deliver, packet, number);
        return;
    }
    if (!arrives(packet)) {
        net->counters.dead++;
        trace_packet(packet, "nobody");
        packet_free(packet);
        return;
    }
    net->counters.delivered++;
    trace_packet(packet, "got");
    sim_mark(net->sim, (uint64_t)packet->from << 32 | packet->to, packet->size);
    sim_mark_bytes(net->sim, packet->bytes, packet->size);
    struct endpoint from;
    from_of(packet, &from);
    struct message message;
    size_t size;
    int err = message_decode(bytes_of(packet->bytes, packet->size), &message, &size);
    assert(err == 0 && size == packet->size);
    to->receive(to->context, &from, &message);
    sim_process_settle(to->process);
    if (net->watch != NULL) {
        net->watch(net->context, to, message.type, false);
    }
    packet_free(packet);
}

static int64_t delay(struct sim_port *port) {
    const struct sim_net_faults *faults = &port->net->faults;
    int64_t ns = faults->delay_base_ns + dice_exponential(&port->dice, faults->delay_mean_ns);
    if (dice_chance(&port->dice, faults->tail_ppm)) {
        ns += dice_exponential(&port->dice, faults->tail_mean_ns);
    }
    return ns;
}

static void remember(struct sim_packet *packet) {
    struct sim_net *net = packet->net;
    packet->prev = NULL;
    packet->next = net->packets;
    if (packet->next != NULL) {
        packet->next->prev = packet;
    }
    net->packets = packet;
}

/* Sends a packet on its way; keeps the order behind *last unless it overtakes. */
static void launch(struct sim_port *from, struct sim_packet *packet, int64_t *last) {
    struct sim_net *net = from->net;
    remember(packet);
    int64_t at = net->sim->now_ns + delay(from);
    bool overtakes = dice_chance(&from->dice, net->faults.reorder_ppm);
    if (last != NULL && !overtakes) {
        at = at > *last ? at : *last + 1;
        *last = at;
    }
    net->counters.overtaken += overtakes;
    sim_at(net->sim, at, deliver, packet, 0);
}

static struct sim_packet *twin_of(const struct sim_packet *packet) {
    size_t size = offsetof(struct sim_packet, bytes) + packet->size;
    struct sim_packet *twin = memory_resize(NULL, size);
    memcpy(twin, packet, size);
    return twin;
}

/* A BATCH of a client is not doubled: its twin would be a retry that the client does not know of,
 * and a stream cannot double. (When the twin finds that the write was replaced meanwhile, its
 * CONFLICT must not overtake the answer.) */
static bool may_double(const struct sim_port *from, const struct sim_packet *packet) {
    enum { TYPE_OFFSET = 4 };
    return from->node != 0 || packet->bytes[TYPE_OFFSET] != MESSAGE_BATCH;
}

/* Whether the packet goes on; else it was held or lost. */
static bool passes(struct sim_port *from, struct sim_packet *packet,
                   const struct message *message) {
    struct sim_net *net = from->net;
    enum sim_verdict verdict = net->judge != NULL
                                   ? net->judge(net->context, from, net->ports[packet->to], message)
                                   : SIM_PASS;
    packet->held = verdict == SIM_HOLD;
    if (verdict == SIM_HOLD) {
        trace_packet(packet, "held");
        remember(packet);
    } else if (verdict == SIM_LOSE) {
        trace_packet(packet, "lost");
        free(packet);
    }
    return verdict == SIM_PASS;
}

/* Takes the packet over. */
static void travel(struct sim_port *from, struct sim_packet *packet, int64_t *last) {
    struct sim_net *net = from->net;
    net->counters.sent++;
    if (dice_chance(&from->dice, net->faults.loss_ppm)) {
        net->counters.lost++;
        trace_packet(packet, "lost");
        free(packet);
        return;
    }
    bool doubled = dice_chance(&from->dice, net->faults.double_ppm) && may_double(from, packet);
    struct sim_packet *twin = doubled ? twin_of(packet) : NULL;
    launch(from, packet, last);
    if (doubled) {
        net->counters.doubled++;
        launch(from, twin, NULL);
    }
}

/* Finds where a message goes: fills the packet's addresses; NULL when nobody is there. */
static int64_t *address_packet(struct sim_port *from, const struct endpoint *to,
                               struct sim_packet *packet) {
    struct sim_net *net = from->net;
    if (to->kind == ENDPOINT_CLIENT) {
        struct route route;
        memcpy(&route, to->route, sizeof(route));
        assert(route.port < net->n_ports && route.link < net->ports[route.port]->n_links);
        packet->to = route.port;
        packet->to_generation = route.generation;
        packet->link = route.link;
        packet->connection = route.connection;
        packet->reply = true;
        return &net->ports[route.port]->links[route.link].last_returned_ns;
    }
    struct sim_link *link = open_link(from, to->node);
    struct sim_port *target = link != NULL ? port_of_node(net, link->target) : NULL;
    if (target == NULL) {
        return NULL;
    }
    packet->to = target->index;
    packet->to_generation = target->process->generation;
    packet->link = to->node;
    packet->connection = link->connection;
    packet->reply = false;
    return &link->last_arrival_ns;
}

static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    struct sim_port *from = self;
    struct sim_net *net = from->net;
    if (dice_chance(&from->dice, net->faults.busy_ppm)) {
        net->counters.busy++;
        return ERR_BUSY;
    }
    struct buffer buffer = {0};
    struct sim_packet *packet = (void *)buffer_extend(&buffer, offsetof(struct sim_packet, bytes));
    memset(packet, 0, offsetof(struct sim_packet, bytes));
    message_encode(message, &buffer);
    packet = (void *)buffer.data;
    packet->net = net;
    packet->from = from->index;
    packet->from_generation = from->process->generation;
    packet->size = (uint32_t)(buffer.size - offsetof(struct sim_packet, bytes));
    packet->held = false;
    int64_t *last = address_packet(from, to, packet);
    if (last != NULL && passes(from, packet, message)) {
        travel(from, packet, last); /* the buffer's memory is the packet's now */
    } else if (last == NULL) {
        net->counters.dead++;
        buffer_release(&buffer);
    }
    if (net->watch != NULL) {
        net->watch(net->context, from, message->type, true);
    }
    return 0;
}

struct env sim_port_env(struct sim_port *port) {
    return (struct env){
        .self = port,
        .now_ns = env_now,
        .wall_ns = env_wall,
        .random = env_random,
        .connect = env_connect,
        .reconnect = env_reconnect,
        .disconnect = env_disconnect,
        .send = env_send,
        .log = env_log,
    };
}

void sim_net_break(struct sim_net *net, struct sim_port *a, struct sim_port *b) {
    for (uint16_t i = 0; i < net->n_ports; i++) {
        struct sim_port *port = net->ports[i];
        for (uint16_t k = 0; k < port->n_links; k++) {
            struct sim_port *target = port_of_node(net, port->links[k].target);
            bool touches = b == NULL ? port == a || target == a
                                     : (port == a && target == b) || (port == b && target == a);
            if (touches) {
                port->links[k].connection++;
            }
        }
    }
}

static void change_cuts(struct sim_net *net, uint64_t from, uint64_t to, int change) {
    for (uint16_t a = 0; a < net->n_ports; a++) {
        for (uint16_t b = 0; b < net->n_ports; b++) {
            if (a != b && (from >> a & 1) != 0 && (to >> b & 1) != 0) {
                assert(change > 0 ? net->cuts[a][b] < UINT8_MAX : net->cuts[a][b] > 0);
                net->cuts[a][b] = (uint8_t)(net->cuts[a][b] + change);
            }
        }
    }
}

void sim_net_cut(struct sim_net *net, uint64_t from, uint64_t to) {
    change_cuts(net, from, to, 1);
}

void sim_net_mend(struct sim_net *net, uint64_t from, uint64_t to) {
    change_cuts(net, from, to, -1);
}

void sim_net_mend_all(struct sim_net *net) {
    memset(net->cuts, 0, sizeof(net->cuts));
}

void sim_net_release_held(struct sim_net *net) {
    struct sim_packet *packet = net->packets;
    while (packet != NULL && packet->next != NULL) {
        packet = packet->next; /* the oldest */
    }
    for (; packet != NULL; packet = packet->prev) {
        if (packet->held) {
            packet->held = false;
            sim_at(net->sim, net->sim->now_ns + net->faults.delay_base_ns, deliver, packet, 0);
        }
    }
}
