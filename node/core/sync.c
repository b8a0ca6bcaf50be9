/* sync: an empty synced commit, behind all others. */
#include "node/core/sync.h"

#include <stdlib.h>

#include "shared/err.h"

enum { SYNC_WORK_BYTES = 1 << 10 };

struct sync {
    struct work work;
    struct node *node;
    struct asker asker;
    int64_t deadline_ns;
    struct disk_commit commit;
};

static void sync_drop(struct work *work) {
    free((struct sync *)(void *)work);
}

static void on_synced(struct disk_commit *commit, int status) {
    struct sync *sync = commit->context;
    struct node *node = sync->node;
    if (node_now(node) > sync->deadline_ns) {
        node->counters.late++;
    } else {
        answer_status(node, &sync->asker, status);
    }
    work_end(node, &sync->work);
    free(sync);
    node_check_idle(node);
}

void sync_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    struct asker asker = asker_of(from, message);
    if (node_recovering(node) > 0) {
        answer_missed(node, &asker, ERR_UNAVAILABLE, &(struct shortfall){0});
        return;
    }
    struct sync *sync = memory_new(1, sizeof *sync);
    *sync = (struct sync){.work = {.drop = sync_drop},
                          .node = node,
                          .asker = asker,
                          .deadline_ns = node_deadline(node, message),
                          .commit = {.synced = true, .done = on_synced, .context = sync}};
    if (!work_begin(node, &sync->work, SYNC_WORK_BYTES)) {
        free(sync);
        answer_status(node, &asker, ERR_BUSY);
        return;
    }
    node->disk->commit(node->disk->self, &sync->commit);
}
