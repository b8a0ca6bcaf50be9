/* session_partitions: every partition of a cluster, asked of the replicas of each slice. */
#include "shared/session_partitions.h"

#include <stdlib.h>

#include "shared/client.h"
#include "shared/err.h"
#include "shared/task.h"

enum {
    TRIES_MAX = 4,
    AGAIN_NS = 250 * 1000 * 1000,
    PAGE_SIZE_EXPECTED = 64 << 10,
};

/* One replica's page. */
struct replica_page {
    struct session_partitions *partitions;
    const struct partitions_request *request;
    uint16_t node;
    int status;
    struct bytes payload; /* owned */
    struct partitions_page page;
    struct bytes rest; /* of what it lists */
    bool has;
    struct partition_tally at;
    struct bytes last; /* key; empty = it lists none */
};

static int ask_once(struct replica_page *replica, struct bytes payload) {
    struct session *session = replica->partitions->session;
    struct session_question question = {.type = MESSAGE_PARTITIONS,
                                        .node = replica->node,
                                        .payload = payload,
                                        .reply_size = PAGE_SIZE_EXPECTED,
                                        .deadline_ns =
                                            session_now_ns(session) + replica->partitions->wait_ns};
    int err = session_ask_about(session, &question, &replica->payload);
    return err == 0 ? partitions_page_decode(replica->payload, &replica->page) : err;
}

/* NULL = it has always answered. */
static const int *silent_status(const struct session_partitions *partitions, uint16_t node) {
    for (uint32_t i = 0; i < partitions->n_silent; i++) {
        if (partitions->silent[i] == node) {
            return &partitions->silent_status[i];
        }
    }
    return NULL;
}

static void fell_silent(struct session_partitions *partitions, uint16_t node, int status) {
    if (silent_status(partitions, node) == NULL && partitions->n_silent < RING_REPLICAS_MAX) {
        partitions->silent[partitions->n_silent] = node;
        partitions->silent_status[partitions->n_silent++] = status;
    }
}

static int ask(void *context) {
    struct replica_page *replica = context;
    const int *silent = silent_status(replica->partitions, replica->node);
    if (silent != NULL) {
        replica->status = *silent;
        return 0;
    }
    struct buffer payload = {0};
    partitions_request_encode(replica->request, &payload);
    for (int i = 0; i < TRIES_MAX; i++) {
        replica->status = ask_once(replica, buffer_bytes(&payload));
        if (replica->status != ERR_BUSY || task_sleep(AGAIN_NS) != 0) {
            break;
        }
        free((void *)(uintptr_t)replica->payload.data);
        replica->payload = (struct bytes){0};
    }
    buffer_release(&payload);
    if (replica->status != 0) {
        fell_silent(replica->partitions, replica->node, replica->status);
    }
    return 0;
}

static void next(struct replica_page *replica) {
    replica->has = partitions_next(&replica->rest, &replica->at);
}

/* Brings the pages that came to their first partition; what the union may say ends where the first
 * page that goes on ends. */
static bool begin(struct replica_page *replicas, uint32_t n, struct bytes *ret_end) {
    bool more = false;
    for (uint32_t i = 0; i < n; i++) {
        struct replica_page *replica = &replicas[i];
        struct bytes listed = replica->page.listed;
        struct partition_tally partition;
        if (replica->status != 0) {
            continue;
        }
        while (partitions_next(&listed, &partition)) {
            replica->last = partition.key;
        }
        if (replica->page.more && (!more || partition_key_compare(replica->last, *ret_end) < 0)) {
            *ret_end = replica->last;
            more = true;
        }
        replica->rest = replica->page.listed;
        next(replica);
    }
    return more;
}

static struct replica_page *lowest_of(struct replica_page *replicas, uint32_t n) {
    struct replica_page *lowest = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (replicas[i].has &&
            (lowest == NULL || partition_key_compare(replicas[i].at.key, lowest->at.key) < 0)) {
            lowest = &replicas[i];
        }
    }
    return lowest;
}

static void unite(struct replica_page *replicas, uint32_t n, struct buffer *listed,
                  bool *ret_more) {
    struct bytes end = {0};
    *ret_more = begin(replicas, n, &end);
    for (;;) {
        const struct replica_page *lowest = lowest_of(replicas, n);
        if (lowest == NULL || (*ret_more && partition_key_compare(lowest->at.key, end) > 0)) {
            return;
        }
        struct partition_tally united = {.key = lowest->at.key};
        for (uint32_t i = 0; i < n; i++) {
            struct replica_page *replica = &replicas[i];
            if (!replica->has || !bytes_equal(replica->at.key, united.key)) {
                continue;
            }
            const struct tally *tally = &replica->at.tally;
            united.tally.n_live =
                tally->n_live > united.tally.n_live ? tally->n_live : united.tally.n_live;
            united.tally.changed_ns = tally->changed_ns > united.tally.changed_ns
                                          ? tally->changed_ns
                                          : united.tally.changed_ns;
            next(replica);
        }
        partition_tally_encode(&united, listed);
    }
}

static int list(void *self, const struct partitions_request *request, struct buffer *listed,
                bool *ret_more) {
    struct session_partitions *partitions = self;
    const struct ring *ring = client_ring(session_client(partitions->session));
    const uint16_t *preference = ring_preference(ring, request->slice);
    struct replica_page replicas[RING_REPLICAS_MAX] = {{0}};
    uint32_t n = ring->n_replicas_held, n_silent = 0;
    struct task_group group = {0};
    for (uint32_t i = 0; i < n; i++) {
        replicas[i] = (struct replica_page){
            .partitions = partitions, .request = request, .node = ring->members[preference[i]].id};
    }
    for (uint32_t i = 0; i < n; i++) {
        task_group_run(&group, ask, &replicas[i]);
    }
    task_group_wait(&group, 0);
    for (uint32_t i = 0; i < n; i++) {
        n_silent += replicas[i].status != 0;
    }
    int err = n_silent > (partitions->all ? 0 : (n - 1) / 2) ? ERR_UNAVAILABLE : 0;
    if (err == 0) {
        unite(replicas, n, listed, ret_more);
    }
    for (uint32_t i = 0; i < n; i++) {
        free((void *)(uintptr_t)replicas[i].payload.data);
    }
    return err;
}

void session_partitions_init(struct session_partitions *partitions, struct session *session,
                             int64_t wait_ns, bool all) {
    const struct ring *ring = client_ring(session_client(session));
    *partitions = (struct session_partitions){
        .source = {.self = partitions, .n_slices = ring->n_slices, .list = list},
        .session = session,
        .wait_ns = wait_ns,
        .all = all};
}
