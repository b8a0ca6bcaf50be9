/* sync_cluster: see the header. */
#include "fs/sync_cluster.h"

#include <stdlib.h>

/* Behind a second of writes a disk may take this long; the kernel's own limits are of this kind. */
#define SYNC_WITHIN_NS 10000000000ll

struct asked {
    struct session *session;
    uint16_t node;
};

static int ask(void *arg) {
    const struct asked *asked = arg;
    struct bytes payload = {0};
    struct session_question question = {.type = MESSAGE_SYNC,
                                        .node = asked->node,
                                        .deadline_ns =
                                            session_now_ns(asked->session) + SYNC_WITHIN_NS};
    int status = session_ask_about(asked->session, &question, &payload);
    free((void *)(uintptr_t)payload.data);
    return status;
}

int sync_cluster(void *session) {
    struct client *client = session_client(session);
    const struct ring *ring = client_ring(client);
    if (ring == NULL) {
        return ERR_UNAVAILABLE;
    }
    uint16_t n = ring->n_members;
    struct asked *asked = memory_new(n, sizeof *asked);
    struct task_group group = {0};
    for (uint16_t i = 0; i < n; i++) {
        asked[i] = (struct asked){session, ring->members[i].id};
        if (!client_node_alive(client, asked[i].node)) {
            group.status = ERR_UNAVAILABLE;
        }
    }
    for (uint16_t i = 0; i < n && group.status == 0; i++) {
        task_group_run(&group, ask, &asked[i]);
    }
    task_group_wait(&group, 0);
    free(asked);
    return group.status;
}
