#include "node/ringctl_store.h"

#include <string.h>

#include "shared/err.h"

static int add_get(void *self, struct bytes partition_key, struct bytes sort_key,
                   store_options options, struct store_row *ret) {
    struct ctl_store *s = self;
    return s->inner->get(s->inner->self, partition_key, sort_key, options | s->reads, ret);
}

static int add_batch(void *self, struct bytes partition_key, const struct batch *batch,
                     store_options options, struct store_outcome *ret) {
    struct ctl_store *s = self;
    return s->inner->batch(s->inner->self, partition_key, batch, options | s->writes, ret);
}

static int add_scan(void *self, struct bytes partition_key, const struct scan_request *request,
                    store_options options, struct store_page *ret) {
    struct ctl_store *s = self;
    return s->inner->scan(s->inner->self, partition_key, request, options | s->reads, ret);
}

static struct op_id inner_op_id(void *self) {
    struct store *inner = ((struct ctl_store *)self)->inner;
    return inner->op_id(inner->self);
}

static uint64_t inner_wall_ns(void *self) {
    struct store *inner = ((struct ctl_store *)self)->inner;
    return inner->wall_ns(inner->self);
}

static uint64_t inner_random(void *self) {
    struct store *inner = ((struct ctl_store *)self)->inner;
    return inner->random(inner->self);
}

void ctl_store_init(struct ctl_store *store, struct store *inner, store_options reads,
                    store_options writes) {
    *store = (struct ctl_store){.inner = inner, .reads = reads, .writes = writes};
    store->store = (struct store){.self = store,
                                  .get = add_get,
                                  .batch = add_batch,
                                  .scan = add_scan,
                                  .op_id = inner_op_id,
                                  .wall_ns = inner_wall_ns,
                                  .random = inner_random};
}

int ctl_level(const char *word, store_options *ret) {
    static const char *const words[] = {
        [LEVEL_QUORUM] = "quorum", [LEVEL_ONE] = "one", [LEVEL_ALL] = "all"};
    for (store_options level = 0; level < sizeof words / sizeof words[0]; level++) {
        if (strcmp(words[level], word) == 0) {
            *ret = level;
            return 0;
        }
    }
    return ERR_INVALID;
}
