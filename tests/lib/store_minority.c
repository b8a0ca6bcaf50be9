/* store_minority: refuses, and takes its time to. */
#include "tests/lib/store_minority.h"

#include "shared/err.h"
#include "shared/task.h"

static int refused(struct store_minority *s, int err) {
    s->n_refused++;
    if (task_self() != NULL && task_deadline_ns(task_self()) != 0) {
        task_sleep(INT64_MAX / 2);
    }
    return err;
}

static bool needs_more(const struct store_minority *s, store_options options) {
    return s->cut && (options & MESSAGE_LEVEL_MASK) != LEVEL_ONE;
}

static int minority_get(void *self, struct bytes partition_key, struct bytes sort_key,
                        store_options options, struct store_row *ret) {
    struct store_minority *s = self;
    s->n_all += (options & MESSAGE_LEVEL_MASK) == LEVEL_ALL;
    if (needs_more(s, options)) {
        return refused(s, ERR_UNAVAILABLE);
    }
    return s->inner->get(s->inner->self, partition_key, sort_key, options, ret);
}

static int minority_scan(void *self, struct bytes partition_key, const struct scan_request *request,
                         store_options options, struct store_page *ret) {
    struct store_minority *s = self;
    if (needs_more(s, options)) {
        return refused(s, ERR_UNAVAILABLE);
    }
    return s->inner->scan(s->inner->self, partition_key, request, options, ret);
}

static int minority_batch(void *self, struct bytes partition_key, const struct batch *batch,
                          store_options options, struct store_outcome *ret) {
    struct store_minority *s = self;
    bool conditional = false;
    for (uint32_t i = 0; i < batch->n; i++) {
        conditional = conditional || batch->ops[i].condition >= ROW_IF_MATCH;
    }
    if (needs_more(s, options) || (s->cut && conditional)) {
        if (s->batch_applied) {
            s->inner->batch(s->inner->self, partition_key, batch, options, NULL);
        }
        return refused(s, s->batch_err);
    }
    return s->inner->batch(s->inner->self, partition_key, batch, options, ret);
}

static struct op_id minority_op_id(void *self) {
    struct store *inner = ((struct store_minority *)self)->inner;
    return inner->op_id(inner->self);
}

static uint64_t minority_wall_ns(void *self) {
    struct store *inner = ((struct store_minority *)self)->inner;
    return inner->wall_ns(inner->self);
}

static uint64_t minority_random(void *self) {
    struct store *inner = ((struct store_minority *)self)->inner;
    return inner->random(inner->self);
}

void store_minority_init(struct store_minority *store, struct store *inner) {
    *store = (struct store_minority){.inner = inner, .batch_err = ERR_UNAVAILABLE};
    store->store = (struct store){.self = store,
                                  .get = minority_get,
                                  .batch = minority_batch,
                                  .scan = minority_scan,
                                  .op_id = minority_op_id,
                                  .wall_ns = minority_wall_ns,
                                  .random = minority_random};
}
