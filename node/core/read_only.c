/* read_only: a node whose disk takes no writes says so at once, and reads on. */
#include "node/core/read_only.h"

#include <stdio.h>

#include "node/core/forward.h"
#include "node/core/recovery.h"
#include "shared/err.h"

enum { LOG_ERROR = 0, LOG_INFO = 2, LINE_MAX = 160 };

static void probe(struct node *node) {
    struct read_only *r = &node->read_only;
    r->probing = true;
    node->disk->commit(node->disk->self, &r->commit);
}

static void on_timer(void *context) {
    probe(context);
}

static void turn_read_only(struct node *node, int status) {
    struct read_only *r = &node->read_only;
    char line[LINE_MAX];
    if (r->status == 0) {
        r->since_ns = node_now(node);
        r->times++;
        snprintf(line, sizeof line, "read-only until the disk takes writes again: %s",
                 err_text(status));
        node->env->log(node->env->self, LOG_ERROR, line);
    }
    r->status = status;
    if (node->state == NODE_SERVING) {
        timers_set(node->timers, &r->timer, node_now(node) + READ_ONLY_PROBE_MS * NS_PER_MS);
    }
}

static void turn_writable(struct node *node) {
    struct read_only *r = &node->read_only;
    char line[LINE_MAX];
    if (r->status != 0) {
        snprintf(line, sizeof line, "the disk takes writes again, after %lld ms",
                 (long long)((node_now(node) - r->since_ns) / NS_PER_MS));
        node->env->log(node->env->self, LOG_INFO, line);
    }
    r->status = 0;
}

static void on_probed(struct disk_commit *commit, int status) {
    struct node *node = commit->context;
    node->read_only.probing = false;
    if (status == ERR_NO_SPACE || status == ERR_DISK) {
        turn_read_only(node, status);
    } else {
        turn_writable(node); /* BUSY: what waits is being written */
    }
}

void read_only_init(struct node *node) {
    struct read_only *r = &node->read_only;
    r->timer = (struct timer){.fire = on_timer, .context = node};
    r->put = (struct disk_put){.key = bytes_of("mprobe", 6), .value = bytes_of("1", 1)};
    r->commit = (struct disk_commit){
        .puts = &r->put, .n = 1, .alone = true, .done = on_probed, .context = node};
}

void read_only_stop(struct node *node) {
    timers_cancel(node->timers, &node->read_only.timer);
}

void read_only_noted(void *context, int status) {
    struct node *node = context;
    bool refused = status == ERR_NO_SPACE || status == ERR_DISK;
    if (refused && node->state == NODE_SERVING && node->read_only.status == 0 &&
        !node->read_only.probing) {
        probe(node);
    }
}

int node_read_only(const struct node *node) {
    return node->read_only.status;
}

bool node_stores(const struct node *node, uint16_t id, uint16_t slice) {
    if (id == node->config.id) {
        return node->read_only.status == 0 && node_trusts_itself(node, slice);
    }
    int index = ring_member_index(membership_ring(node->membership), id);
    return index >= 0 && !node->links[index].read_only && node_serves(node, id, slice);
}

bool read_only_refuses(struct node *node, const struct endpoint *from,
                       const struct message *message, uint16_t slice) {
    if (message->type != MESSAGE_BATCH || node->read_only.status == 0) {
        return false;
    }
    const struct ring *ring = membership_ring(node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    bool other = false;
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        other = other || node_stores(node, ring->members[preference[i]].id, slice);
    }
    if (other && (message->flags & MESSAGE_FORWARDED) == 0) {
        forward_receive(node, from, message, slice);
    } else {
        struct asker asker = asker_of(from, message);
        answer_status(node, &asker, node->read_only.status);
    }
    return true;
}
