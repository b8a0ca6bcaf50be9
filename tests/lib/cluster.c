/* cluster: a few nodes, their disks and a wire in one process, moved by hand. */
#include "tests/lib/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/later.h"
#include "shared/err.h"

enum { RULES_MAX = 8, CALL_MS = 5000, RECOVERED_MS = 1000 };

struct letter {
    struct endpoint from;
    uint16_t to; /* 0 = the client */
    struct bytes bytes;
    struct letter *next;
};

struct letters {
    struct letter *first;
    struct letter **end;
};

struct rule {
    uint16_t to;
    uint8_t type;
    bool holds;
};

struct seat {
    struct cluster *cluster;
    uint16_t id;
    struct env env;
    struct disk_mem *disk;
    bool paused;
    uint64_t boot; /* of its machine */
    bool trusts_disk;
    uint16_t incarnation; /* of its disk */
    struct membership *membership;
    struct node *node;
};

struct kept {
    struct cluster_answer answer;
    struct bytes bytes;
};

struct cluster {
    uint16_t n;
    uint32_t repair_round_ms, reap_ms, scrub_round_ms, lease_ms;
    bool waits; /* see cluster_wait_for_later() */
    struct ring ring;
    struct seat seats[CLUSTER_NODES_MAX + 1]; /* by id */
    struct timers timers;
    int64_t now_ns;
    uint64_t dice;
    struct letters wire;
    struct letters held;
    struct rule rules[RULES_MAX];
    uint32_t n_rules;
    struct kept *kept; /* by ticket - 1 */
    uint32_t n_kept;
    struct buffer log; /* all nodes' lines */
};

/* ---- the world of a node ---- */

static int64_t env_now_ns(void *self) {
    return ((struct seat *)self)->cluster->now_ns;
}

static uint64_t env_wall_ns(void *self) {
    return 1700000000ull * 1000000000 + (uint64_t)((struct seat *)self)->cluster->now_ns;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t env_random(void *self) {
    uint64_t *dice = &((struct seat *)self)->cluster->dice;
    uint64_t z = (*dice += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void env_connect(void *self, uint16_t node, const char *address) {
    (void)self, (void)node, (void)address;
}

static void env_link(void *self, uint16_t node) {
    (void)self, (void)node;
}

static void env_log(void *self, int level, const char *line) {
    struct cluster *cluster = ((struct seat *)self)->cluster;
    (void)level;
    buffer_put_bytes(&cluster->log, bytes_of_string(line));
    buffer_put_u8(&cluster->log, '\n');
}

static void letters_add(struct letters *letters, struct letter *letter) {
    if (letters->first == NULL) {
        letters->end = &letters->first;
    }
    letter->next = NULL;
    *letters->end = letter;
    letters->end = &letter->next;
}

static struct letter *letters_take(struct letters *letters) {
    struct letter *letter = letters->first;
    if (letter != NULL) {
        letters->first = letter->next;
    }
    return letter;
}

static void letter_free(struct letter *letter) {
    free((void *)(uintptr_t)letter->bytes.data);
    free(letter);
}

static void post(struct cluster *cluster, const struct endpoint *from, uint16_t to,
                 const struct message *message) {
    struct buffer encoded = {0};
    message_encode(message, &encoded);
    struct letter *letter = memory_new(1, sizeof *letter);
    *letter = (struct letter){.from = *from, .to = to, .bytes = buffer_bytes(&encoded)};
    letters_add(&cluster->wire, letter);
}

static int env_send(void *self, const struct endpoint *to, const struct message *message) {
    struct seat *seat = self;
    struct endpoint from = {.kind = ENDPOINT_NODE, .node = seat->id};
    post(seat->cluster, &from, to->kind == ENDPOINT_NODE ? to->node : 0, message);
    return 0;
}

/* ---- the wire ---- */

static const struct rule *rule_for(const struct cluster *cluster, uint16_t to, uint8_t type) {
    for (uint32_t i = 0; i < cluster->n_rules; i++) {
        const struct rule *rule = &cluster->rules[i];
        if ((rule->to == 0 || rule->to == to) && (rule->type == 0 || rule->type == type)) {
            return rule;
        }
    }
    return NULL;
}

static void keep_answer(struct cluster *cluster, struct letter *letter,
                        const struct message *message) {
    assert(message->id > 0 && message->id <= cluster->n_kept);
    struct kept *kept = &cluster->kept[message->id - 1];
    free((void *)(uintptr_t)kept->bytes.data);
    kept->bytes = letter->bytes;
    letter->bytes = bytes_of(NULL, 0);
    kept->answer =
        (struct cluster_answer){true, kept->answer.n + 1, -(int)message->status, message->payload};
}

static void deliver(struct cluster *cluster, struct letter *letter) {
    struct message message;
    size_t size;
    int err = message_decode(letter->bytes, &message, &size);
    assert(err == 0 && size == letter->bytes.size);
    (void)err;
    if (letter->to == 0) {
        keep_answer(cluster, letter, &message);
    } else if (cluster->seats[letter->to].node != NULL) {
        node_receive(cluster->seats[letter->to].node, &letter->from, &message);
    }
}

bool cluster_deliver_one(struct cluster *cluster) {
    struct letter *letter = letters_take(&cluster->wire);
    if (letter == NULL) {
        return false;
    }
    const struct rule *rule = rule_for(cluster, letter->to, letter->bytes.data[4]);
    if (rule != NULL && rule->holds) {
        letters_add(&cluster->held, letter);
        return true;
    }
    if (rule == NULL) {
        deliver(cluster, letter);
    }
    letter_free(letter);
    return true;
}

static bool step_disks(struct cluster *cluster) {
    bool any = false;
    for (uint16_t id = 1; id <= cluster->n; id++) {
        struct seat *seat = &cluster->seats[id];
        any = (!seat->paused && disk_mem_step(seat->disk)) || any;
    }
    return any;
}

/* Sends what nodes keep to send later, unless that is to be waited for. */
static void hurry(struct cluster *cluster) {
    for (uint16_t id = 1; id <= cluster->n && !cluster->waits; id++) {
        if (cluster->seats[id].node != NULL) {
            later_flush_all(cluster->seats[id].node);
        }
    }
}

void cluster_run(struct cluster *cluster) {
    bool any = true;
    while (any) {
        hurry(cluster);
        any = cluster_deliver_one(cluster);
        any = step_disks(cluster) || any;
    }
}

void cluster_wait_for_later(struct cluster *cluster) {
    cluster->waits = true;
}

void cluster_advance(struct cluster *cluster, int64_t ms) {
    cluster_run(cluster);
    for (int64_t i = 0; i < ms; i++) {
        cluster->now_ns += 1000 * 1000;
        timers_run(&cluster->timers, cluster->now_ns);
        cluster_run(cluster);
    }
}

/* ---- life ---- */

static void ring_of(struct cluster *cluster, uint16_t n_nodes, uint16_t n_replicas,
                    struct ring *ret) {
    struct ring_member members[CLUSTER_NODES_MAX] = {0};
    for (uint16_t i = 0; i < n_nodes; i++) {
        members[i].id = (uint16_t)(i + 1);
        members[i].weight = RING_WEIGHT_DEFAULT;
        snprintf(members[i].address, sizeof members[i].address, "ipc:///n%d", i + 1);
    }
    int err = ring_build(7, 64, n_replicas, members, n_nodes, ret);
    assert(err == 0);
    (void)err, (void)cluster;
}

void cluster_start(struct cluster *cluster, uint16_t id) {
    struct seat *seat = &cluster->seats[id];
    struct ring ring;
    assert(seat->node == NULL);
    ring_of(cluster, cluster->n, cluster->ring.n_replicas, &ring);
    uint8_t quorum = cluster->ring.n_replicas_held > 1 ? 2 : 1;
    struct node_config config = {.id = id,
                                 .incarnation = seat->incarnation,
                                 .read_quorum = quorum,
                                 .write_quorum = quorum,
                                 .credit_bytes = 1 << 20,
                                 .repair_round_ms = cluster->repair_round_ms,
                                 .scrub_round_ms = cluster->scrub_round_ms,
                                 .reap_age_ms = cluster->reap_ms,
                                 .reap_hold_ms = cluster->reap_ms,
                                 .lease_ms = cluster->lease_ms,
                                 .boot = seat->boot,
                                 .trusts_disk = seat->trusts_disk};
    seat->env = (struct env){seat,     env_now_ns, env_wall_ns, env_random, env_connect,
                             env_link, env_link,   env_send,    env_log};
    seat->membership = membership_new(id, &ring);
    seat->node = node_new(&config, &seat->env, disk_mem_disk(seat->disk), &cluster->timers,
                          seat->membership);
    node_start(seat->node);
    cluster_advance(cluster, 2);
}

static bool all_recovered(struct cluster *cluster) {
    for (uint16_t id = 1; id <= cluster->n; id++) {
        if (cluster_stat(cluster, id, "slices_recovering") > 0) {
            return false;
        }
    }
    return true;
}

static struct cluster *start_all(struct cluster *cluster, uint16_t n_nodes, uint16_t n_replicas) {
    assert(n_nodes <= CLUSTER_NODES_MAX);
    cluster->n = n_nodes;
    cluster->dice = 42;
    cluster->now_ns = 1000 * 1000;
    timers_init(&cluster->timers);
    ring_of(cluster, n_nodes, n_replicas, &cluster->ring);
    for (uint16_t id = 1; id <= n_nodes; id++) {
        cluster->seats[id] = (struct seat){
            .cluster = cluster, .id = id, .disk = disk_mem_new(), .boot = 1, .incarnation = 1};
    }
    for (uint16_t id = 1; id <= n_nodes; id++) {
        cluster_start(cluster, id);
    }
    for (int ms = 0; ms < RECOVERED_MS && !all_recovered(cluster); ms++) {
        cluster_advance(cluster, 1);
    }
    assert(all_recovered(cluster));
    return cluster;
}

static struct cluster *new_cluster(uint16_t n_nodes, uint16_t n_replicas, uint32_t round_ms,
                                   uint32_t reap_ms) {
    struct cluster *cluster = memory_new(1, sizeof *cluster);
    cluster->repair_round_ms = round_ms;
    cluster->reap_ms = reap_ms;
    return start_all(cluster, n_nodes, n_replicas);
}

struct cluster *cluster_new_leasing(uint16_t n_nodes, uint16_t n_replicas, uint32_t lease_ms) {
    struct cluster *cluster = memory_new(1, sizeof *cluster);
    cluster->lease_ms = lease_ms;
    start_all(cluster, n_nodes, n_replicas);
    cluster_advance(cluster, lease_ms + 100);
    return cluster;
}

struct cluster *cluster_new(uint16_t n_nodes, uint16_t n_replicas) {
    return new_cluster(n_nodes, n_replicas, 0, 0);
}

struct cluster *cluster_new_repairing(uint16_t n_nodes, uint16_t n_replicas, uint32_t round_ms) {
    return new_cluster(n_nodes, n_replicas, round_ms, 0);
}

struct cluster *cluster_new_reaping(uint16_t n_nodes, uint16_t n_replicas, uint32_t round_ms,
                                    uint32_t reap_ms) {
    return new_cluster(n_nodes, n_replicas, round_ms, reap_ms);
}

static void unseat(struct seat *seat) {
    node_free(seat->node);
    membership_free(seat->membership);
    seat->node = NULL;
    seat->membership = NULL;
}

void cluster_crash(struct cluster *cluster, uint16_t id, bool machine) {
    struct seat *seat = &cluster->seats[id];
    disk_mem_crash(seat->disk, &(struct disk_mem_loss){.machine = machine});
    seat->boot += machine ? 1 : 0;
    unseat(seat);
}

void cluster_wipe(struct cluster *cluster, uint16_t id) {
    struct seat *seat = &cluster->seats[id];
    assert(seat->node == NULL);
    disk_mem_free(seat->disk);
    seat->disk = disk_mem_new();
    seat->incarnation++;
}

void cluster_stop(struct cluster *cluster, uint16_t id) {
    struct seat *seat = &cluster->seats[id];
    node_stop(seat->node);
    cluster_advance(cluster, 2);
    assert(node_state(seat->node) == NODE_STOPPED);
    disk_mem_crash(seat->disk, &(struct disk_mem_loss){0});
    unseat(seat);
}

void cluster_reboot(struct cluster *cluster, uint16_t id) {
    assert(cluster->seats[id].node == NULL);
    cluster->seats[id].boot++;
}

void cluster_scrub(struct cluster *cluster, uint32_t round_ms) {
    cluster->scrub_round_ms = round_ms;
}

void cluster_trust_disk(struct cluster *cluster, uint16_t id) {
    cluster->seats[id].trusts_disk = true;
}

static void letters_free(struct letters *letters) {
    struct letter *letter;
    while ((letter = letters_take(letters)) != NULL) {
        letter_free(letter);
    }
}

void cluster_free(struct cluster *cluster) {
    for (uint16_t id = 1; id <= cluster->n; id++) {
        struct seat *seat = &cluster->seats[id];
        disk_mem_crash(seat->disk, &(struct disk_mem_loss){0});
        unseat(seat);
        disk_mem_free(seat->disk);
    }
    letters_free(&cluster->wire);
    letters_free(&cluster->held);
    for (uint32_t i = 0; i < cluster->n_kept; i++) {
        free((void *)(uintptr_t)cluster->kept[i].bytes.data);
    }
    free(cluster->kept);
    buffer_release(&cluster->log);
    timers_release(&cluster->timers);
    ring_release(&cluster->ring);
    free(cluster);
}

uint32_t cluster_lines(const struct cluster *cluster, const char *word) {
    uint32_t n = 0;
    size_t begin = 0;
    for (size_t at = 0; at < cluster->log.size; at++) {
        if (cluster->log.data[at] == '\n') {
            n += memmem(cluster->log.data + begin, at - begin, word, strlen(word)) != NULL;
            begin = at + 1;
        }
    }
    return n;
}

struct node *cluster_node(struct cluster *cluster, uint16_t id) {
    return cluster->seats[id].node;
}

struct disk_mem *cluster_disk(struct cluster *cluster, uint16_t id) {
    return cluster->seats[id].disk;
}

const struct ring *cluster_ring(const struct cluster *cluster) {
    return &cluster->ring;
}

/* ---- faults ---- */

void cluster_lose(struct cluster *cluster, uint16_t to, uint8_t type) {
    assert(cluster->n_rules < RULES_MAX);
    cluster->rules[cluster->n_rules++] = (struct rule){to, type, false};
}

void cluster_hold(struct cluster *cluster, uint16_t to, uint8_t type) {
    assert(cluster->n_rules < RULES_MAX);
    cluster->rules[cluster->n_rules++] = (struct rule){to, type, true};
}

void cluster_release(struct cluster *cluster) {
    struct letter *letter;
    cluster->n_rules = 0;
    while ((letter = letters_take(&cluster->held)) != NULL) {
        letters_add(&cluster->wire, letter);
    }
}

void cluster_overhear(struct cluster *cluster, uint16_t to, uint8_t type, struct buffer *ret) {
    cluster_hold(cluster, to, type);
    for (int ms = 0; ms < CALL_MS && cluster->held.first == NULL; ms++) {
        cluster_advance(cluster, 1);
    }
    struct letter *letter = letters_take(&cluster->held);
    assert(letter != NULL);
    struct message message;
    size_t size;
    int err = message_decode(letter->bytes, &message, &size);
    assert(err == 0);
    (void)err;
    buffer_put_bytes(ret, message.payload);
    letter_free(letter);
    cluster_release(cluster);
}

void cluster_pause_disk(struct cluster *cluster, uint16_t id, bool paused) {
    cluster->seats[id].paused = paused;
}

/* ---- clients ---- */

uint64_t cluster_ask(struct cluster *cluster, uint16_t node, const struct message *message) {
    struct message asked = *message;
    struct endpoint from = {.kind = ENDPOINT_CLIENT};
    cluster->kept = memory_resize(cluster->kept, (cluster->n_kept + 1) * sizeof *cluster->kept);
    cluster->kept[cluster->n_kept++] = (struct kept){0};
    asked.id = cluster->n_kept;
    post(cluster, &from, node, &asked);
    return asked.id;
}

struct cluster_answer cluster_answer(const struct cluster *cluster, uint64_t ticket) {
    assert(ticket > 0 && ticket <= cluster->n_kept);
    return cluster->kept[ticket - 1].answer;
}

struct cluster_answer cluster_call(struct cluster *cluster, uint16_t node,
                                   const struct message *message) {
    uint64_t ticket = cluster_ask(cluster, node, message);
    cluster_run(cluster);
    for (int ms = 0; ms < CALL_MS && !cluster_answer(cluster, ticket).got; ms++) {
        cluster_advance(cluster, 1);
    }
    assert(cluster_answer(cluster, ticket).got);
    return cluster_answer(cluster, ticket);
}

void cluster_inject(struct cluster *cluster, uint16_t from, uint16_t to,
                    const struct message *message) {
    struct endpoint sender = {.kind = ENDPOINT_NODE, .node = from};
    post(cluster, &sender, to, message);
}

uint64_t cluster_stat(struct cluster *cluster, uint16_t id, const char *name) {
    struct node_stat stats[STATS_MAX];
    uint32_t n = node_stats(cluster->seats[id].node, stats, STATS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(stats[i].name, name) == 0) {
            return stats[i].value;
        }
    }
    assert(false && "a counter of this name");
    return 0;
}
