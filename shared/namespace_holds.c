/* namespace_holds: contents that no record names any more, but that a mount has open. */
#include <stdlib.h>

#include "shared/err.h"
#include "shared/namespace_rows.h"

enum { HOLDS_PAGE = 64, HOLD_KEY_SIZE = 8, HOLD_SIZE = 8 };

static struct key key_hold(uint64_t holder) {
    struct key key = {.size = HOLD_KEY_SIZE};
    bytes_store_u64(key.data, holder);
    return key;
}

int contents_hold(struct namespace *ns, const struct id128 *contents, uint64_t holder) {
    struct key partition = key_holds(contents), sort = key_hold(holder);
    uint8_t value[HOLD_SIZE];
    bytes_store_u64(value, ns->store->wall_ns(ns->store->self));
    struct commit commit = {.n = 1};
    commit.ops[0] = (struct row_op){.kind = ROW_PUT,
                                    .condition = ROW_OVERWRITE,
                                    .sort_key = key_bytes(&sort),
                                    .value = bytes_of(value, sizeof value)};
    int err = commit_run(ns, &partition, &commit, 0);
    commit_release(&commit);
    return err;
}

/* Whether the row says that somebody holds now. */
static bool is_fresh(struct namespace *ns, struct bytes encoded) {
    struct versions versions = {0};
    bool fresh = false;
    if (versions_decode(encoded, &versions) == 0) {
        const struct sibling *winner = versions_winner(&versions);
        if (winner && !(winner->flags & SIBLING_TOMBSTONE) && winner->value.size == HOLD_SIZE) {
            int64_t age_ns =
                (int64_t)(ns->store->wall_ns(ns->store->self) - bytes_load_u64(winner->value.data));
            fresh = age_ns < CONTENTS_HOLD_SECONDS * 1000000000ll;
        }
        versions_release(&versions);
    }
    return fresh;
}

static int holds_drop(struct namespace *ns, const struct key *partition,
                      const struct scan_reply *page) {
    struct store *store = ns->store;
    struct batch batch = {.op = store->op_id(store->self),
                          .n = page->n_rows,
                          .ops = memory_new(page->n_rows + 1, sizeof *batch.ops)};
    for (uint32_t i = 0; i < page->n_rows; i++) {
        batch.ops[i] = (struct row_op){
            .kind = ROW_DELETE, .condition = ROW_OVERWRITE, .sort_key = page->rows[i].sort_key};
    }
    int err = store->batch(store->self, key_bytes(partition), &batch, 0, NULL);
    free(batch.ops);
    return err;
}

static int holds_read(struct namespace *ns, const struct key *partition, struct store_page *ret,
                      bool *ret_held) {
    struct scan_request request = {.rows_max = HOLDS_PAGE, .bytes_max = SCAN_BYTES_MAX};
    int err = ns->store->scan(ns->store->self, key_bytes(partition), &request, LEVEL_QUORUM, ret);
    if (err < 0) {
        return err;
    }
    *ret_held = ret->reply.more; /* that many: somebody surely does */
    for (uint32_t i = 0; i < ret->reply.n_rows && !*ret_held; i++) {
        *ret_held = is_fresh(ns, ret->reply.rows[i].versions);
    }
    return 0;
}

int contents_held(struct namespace *ns, const struct id128 *contents, bool *ret_held) {
    struct key partition = key_holds(contents);
    struct store_page page = {0};
    int err = holds_read(ns, &partition, &page, ret_held);
    store_page_release(&page);
    return err;
}

int contents_release(struct namespace *ns, const struct id128 *contents, bool *ret_held) {
    struct key partition = key_holds(contents);
    struct store_page page = {0};
    int err = holds_read(ns, &partition, &page, ret_held);
    if (err == 0 && !*ret_held && page.reply.n_rows > 0) {
        err = holds_drop(ns, &partition, &page.reply);
    }
    store_page_release(&page);
    return err;
}
