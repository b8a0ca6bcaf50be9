/* report: what a mount tells of its cluster, as text, from memory. */
#include "fs/report.h"

#include <stdio.h>
#include <string.h>

enum { MILLION = 1000000 };

static void print_nodes(const struct report *report, struct buffer *into) {
    struct client *client = session_client(report->session);
    const struct ring *ring = client_ring(client);
    struct client_node nodes[CLIENT_NODES_MAX];
    uint32_t n = client_nodes(client, nodes, CLIENT_NODES_MAX);
    int64_t now_ns = session_now_ns(report->session);
    for (uint32_t i = 0; i < n; i++) {
        if (nodes[i].id == 0 || (ring != NULL && ring_member_index(ring, nodes[i].id) < 0)) {
            continue;
        }
        text_put(into, "node %u %s %s, heard %lld ms ago, %u requests on their way\n", nodes[i].id,
                 nodes[i].address, nodes[i].alive ? "alive" : "SILENT",
                 (long long)((now_ns - nodes[i].heard_ns) / MILLION), nodes[i].in_flight);
    }
}

static void print_status(void *context, struct buffer *into) {
    const struct report *report = context;
    const struct ring *ring = client_ring(session_client(report->session));
    const struct mount *mount = report->mount;
    unsigned n_alive = 0;
    for (uint16_t i = 0; ring != NULL && i < ring->n_members; i++) {
        n_alive += client_node_alive(session_client(report->session), ring->members[i].id);
    }
    text_put(into, "cluster %s at %s\n", report->options->source, report->mountpoint);
    text_put(into, "nodes %u of %u alive, %u copies\n", n_alive, ring != NULL ? ring->n_members : 0,
             ring != NULL ? ring->n_replicas_held : 0);
    print_nodes(report, into);
    text_put(into, "size %llu bytes, %llu free\n", (unsigned long long)mount->capacity.bytes_total,
             (unsigned long long)mount->capacity.bytes_free);
    text_put(into, "buffered %llu bytes not stored yet\n",
             (unsigned long long)mount->n_dirty_bytes);
    text_put(into, "lost %llu buffered changes that could not be stored\n",
             (unsigned long long)mount->n_writes_lost);
}

static void print_ring(void *context, struct buffer *into) {
    const struct report *report = context;
    const struct ring *ring = client_ring(session_client(report->session));
    if (ring == NULL) {
        text_put(into, "not known yet\n");
        return;
    }
    text_put(into, "version %llu, %u slices, %u copies of each\n",
             (unsigned long long)ring->version, ring->n_slices, ring->n_replicas_held);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        const struct ring_member *member = &ring->members[i];
        text_put(into, "node %u %s weight %u zone %s owns %u slices\n", member->id, member->address,
                 member->weight, member->zone[0] != '\0' ? member->zone : "-", ring_owned(ring, i));
    }
}

void report_replicas(void *context, struct bytes partition_key, struct buffer *into) {
    const struct report *report = context;
    const struct ring *ring = client_ring(session_client(report->session));
    uint16_t slice = ring_slice(ring, partition_key);
    const uint16_t *preference = ring_preference(ring, slice);
    text_put(into, "slice %u:", slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        const struct ring_member *member = &ring->members[preference[i]];
        text_put(into, " %u=%s", member->id, member->address);
    }
}

static void print_stats(void *context, struct buffer *into) {
    const struct report *report = context;
    const struct mount *mount = report->mount;
    struct client_counters c;
    client_counters(session_client(report->session), &c);
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"operations_answered", *report->ops != NULL ? ops_answered(*report->ops) : 0},
        {"requests_asked", c.requests},
        {"messages_sent", c.messages_sent},
        {"messages_received", c.messages_received},
        {"retries", c.retries},
        {"quorum_reads", c.quorum_reads},
        {"quorum_fallbacks", c.quorum_fallbacks},
        {"links_reopened", c.links_reopened},
        {"inodes", mount->inodes.n},
        {"inodes_known", mount->inodes.n_known},
        {"inodes_known_bytes", mount->inodes.n_known_bytes},
        {"dirty_bytes", mount->n_dirty_bytes},
        {"cached_bytes", (uint64_t)block_cache_count(&mount->cached) * BLOCK_SIZE},
        {"cached_fetched", mount->cached.n_fetched},
        {"cached_found", mount->cached.n_found},
        {"removals_waiting", mount->n_removals},
        {"removals_failed", mount->n_removals_failed},
        {"writes_lost", mount->n_writes_lost},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text_put(into, "%s %llu\n", rows[i].name, (unsigned long long)rows[i].value);
    }
}

static void print_config(void *context, struct buffer *into) {
    const struct report *report = context;
    const struct options *o = report->options;
    text_put(into, "version %s\naddresses %s\nmountpoint %s\n", RINGFS_VERSION, o->addresses,
             report->mountpoint);
    text_put(into, "subdir %s\n", o->subdir != NULL ? o->subdir : "/");
    text_put(into, "hard %s\ntimeo %.3f\nattr_timeout %.3f\nentry_timeout %.3f\n",
             o->hard ? "yes" : "no", (double)o->timeout_ns / 1e9, (double)o->attributes_ns / 1e9,
             (double)o->names_ns / 1e9);
    text_put(into, "atime %s\n",
             o->strict_atime     ? "strict"
             : o->relative_atime ? "relative"
                                 : "none");
    text_put(into, "key_file %s\nlog_file %s\n", o->key_file != NULL ? o->key_file : "-",
             o->log_file != NULL ? o->log_file : "-");
    text_put(into, "kernel_options %s\n", (const char *)o->kernel.data);
}

static void print_under_way(void *context, struct buffer *into) {
    const struct report *report = context;
    if (*report->ops != NULL) {
        ops_print_under_way(*report->ops, into);
    }
}

static void tell_reason(void *context, char *ret, size_t size) {
    const struct report *report = context;
    session_shortfall(report->session, ret, size);
}

struct cluster_texts report_texts(struct report *report) {
    return (struct cluster_texts){.status = print_status,
                                  .ring = print_ring,
                                  .stats = print_stats,
                                  .config = print_config,
                                  .under_way = print_under_way,
                                  .reason = tell_reason,
                                  .context = report};
}
