/* store_available: first as asked, then alone, by a memory of what is cut off. */
#include "shared/store_available.h"

#include <stdlib.h>

#include "shared/err.h"
#include "shared/message.h"
#include "shared/task.h"

static int64_t now_ns(const struct store_available *s) {
    return s->now_ns(s->clock);
}

/* ---- part of the time ---- */

/* The task's deadline is at most `ns` from now until deadline_restore(); answers the one it had. */
static int64_t deadline_shorten(const struct store_available *s, int64_t ns) {
    struct task *task = task_self();
    int64_t whole_ns = task_deadline_ns(task);
    int64_t part_ns = now_ns(s) + ns;
    if (whole_ns == 0 || part_ns < whole_ns) {
        task_set_deadline(task, part_ns);
    }
    return whole_ns;
}

static void deadline_restore(int64_t deadline_ns) {
    task_set_deadline(task_self(), deadline_ns);
}

static bool time_left(const struct store_available *s) {
    int64_t deadline_ns = task_deadline_ns(task_self());
    return deadline_ns == 0 || now_ns(s) < deadline_ns;
}

/* ---- what is cut off ---- */

static struct minority *slot_of(struct store_available *s, const struct replica_set *set) {
    return &s->minorities[set->number % MINORITY_SLOTS];
}

static void note_minority(struct store_available *s, const struct replica_set *set, bool minority) {
    struct minority *slot = slot_of(s, set);
    if (slot->until_ns != 0 && !minority) {
        slot->rejoining_until_ns = now_ns(s) + MINORITY_REJOINING_NS;
    }
    slot->looked_ns = now_ns(s);
    slot->until_ns = minority ? now_ns(s) + MINORITY_NS : 0;
}

/* What a quorum answers to a read of the partition. */
static int probe(struct store_available *s, struct bytes key, int64_t ns) {
    struct store_row row = {0};
    int64_t whole_ns = deadline_shorten(s, ns);
    int err = s->inner->get(s->inner->self, key, (struct bytes){0}, LEVEL_QUORUM, &row);
    deadline_restore(whole_ns);
    store_row_release(&row);
    return err;
}

/* Whether it is time to look again: the memory is over, or a majority is heard of. When that is
 * news, every call looks: to be asked alone they may be the ones who were away. */
static bool look_again(const struct store_available *s, struct minority *slot,
                       const struct replica_set *set) {
    bool heard = 2 * set->n_alive > set->n;
    slot->heard_ns = !heard ? 0 : slot->heard_ns != 0 ? slot->heard_ns : now_ns(s);
    bool news = heard && now_ns(s) - slot->heard_ns < MINORITY_NEWS_NS;
    bool old = heard && now_ns(s) - slot->looked_ns > MINORITY_NS / 3;
    return now_ns(s) >= slot->until_ns || news || old;
}

/* Whether to go on alone at once. One call looks again; while it does, the others go on as before.
 */
static bool known_minority(struct store_available *s, struct bytes key,
                           const struct replica_set *set) {
    struct minority *slot = slot_of(s, set);
    if (slot->until_ns == 0 || !look_again(s, slot, set)) {
        return slot->until_ns != 0;
    }
    note_minority(s, set, true);
    note_minority(s, set, probe(s, key, MINORITY_LOOK_NS) != 0);
    return slot->until_ns != 0;
}

static bool fell_short(int err) {
    return err == ERR_UNAVAILABLE || err == ERR_UNKNOWN || err == ERR_TIMEOUT;
}

static bool as_asked(store_options options) {
    return (options & MESSAGE_LEVEL_MASK) != LEVEL_QUORUM || (options & MESSAGE_STRICT) != 0 ||
           task_self() == NULL;
}

static store_options alone(store_options options) {
    return (store_options)((options & ~(MESSAGE_LEVEL_MASK | STORE_AVAILABLE)) | LEVEL_ONE);
}

/* ---- reads ---- */

struct reading {
    struct store_available *store;
    struct bytes key;
    store_options options;
    struct bytes sort_key;              /* get */
    const struct scan_request *request; /* scan; NULL: get */
    void *ret;
};

static int read_at(const struct reading *r, store_options options) {
    struct store *inner = r->store->inner;
    return r->request != NULL ? inner->scan(inner->self, r->key, r->request, options, r->ret)
                              : inner->get(inner->self, r->key, r->sort_key, options, r->ret);
}

/* At a quorum until that is refused: a read that got no answer at all proves nothing. */
static int read_quorum(const struct reading *r) {
    int err = ERR_TIMEOUT;
    while (err == ERR_TIMEOUT && time_left(r->store)) {
        int64_t whole_ns = deadline_shorten(r->store, MINORITY_TRY_NS);
        err = read_at(r, r->options);
        deadline_restore(whole_ns);
    }
    return err;
}

/* What a minority wrote, two of the others need not have yet: all are asked, when all are there,
 * and at first also while they find each other. */
static int read_rejoining(const struct reading *r, const struct replica_set *set) {
    int64_t left_ns = slot_of(r->store, set)->rejoining_until_ns - now_ns(r->store);
    bool all_there = set->n_alive == set->n;
    if (left_ns <= (all_there ? 0 : MINORITY_REJOINING_NS - MINORITY_NEWS_NS)) {
        return ERR_UNAVAILABLE;
    }
    int64_t whole_ns = deadline_shorten(r->store, all_there ? MINORITY_TRY_NS : MINORITY_LOOK_NS);
    int err = read_at(r, (store_options)(r->options | LEVEL_ALL));
    deadline_restore(whole_ns);
    return err;
}

static int read_available(const struct reading *r) {
    struct store_available *s = r->store;
    if (as_asked(r->options)) {
        return read_at(r, r->options);
    }
    struct replica_set set = s->replicas(s->context, r->key);
    if (!known_minority(s, r->key, &set)) {
        int err = read_rejoining(r, &set);
        err = fell_short(err) ? read_quorum(r) : err;
        if (err != ERR_UNAVAILABLE) {
            return err;
        }
        note_minority(s, &set, true);
    }
    return read_at(r, alone(r->options));
}

static int available_get(void *self, struct bytes partition_key, struct bytes sort_key,
                         store_options options, struct store_row *ret) {
    return read_available(&(struct reading){
        .store = self, .key = partition_key, .options = options, .sort_key = sort_key, .ret = ret});
}

static int available_scan(void *self, struct bytes partition_key,
                          const struct scan_request *request, store_options options,
                          struct store_page *ret) {
    return read_available(&(struct reading){
        .store = self, .key = partition_key, .options = options, .request = request, .ret = ret});
}

/* ---- batches ---- */

struct writing {
    struct store_available *store;
    struct bytes key;
    const struct batch *batch;
    store_options options;
    struct store_outcome *ret; /* may be NULL */
};

/* The answer of a condition that does not hold on the one replica's row. */
static void fill_conflict(struct store_outcome *ret, uint32_t index, const struct versions *row) {
    struct buffer current = {0};
    versions_encode(row, &current);
    *ret = (struct store_outcome){.held = buffer_bytes(&current)}; /* ours from here on */
    ret->reply.failed_index = index;
    ret->reply.current = ret->held;
}

static bool holds(const struct row_op *op, const struct op_id *id, const struct versions *row,
                  const struct context *seen) {
    return versions_find(row, id) != NULL ||
           (op->condition == ROW_IF_MATCH ? versions_covered_by(row, seen)
                                          : versions_live_outside(row, seen) == 0);
}

/* The operation as it is to be written, without its condition; its context is in `seen`, to be
 * released by the caller. ERR_CONFLICT; ERR_UNAVAILABLE for a condition that one replica cannot
 * answer for. */
static int op_alone(const struct writing *w, uint32_t index, struct row_op *ret,
                    struct buffer *seen) {
    const struct row_op *op = &w->batch->ops[index];
    *ret = *op;
    if (op->kind == ROW_PATCH) {
        return ERR_UNAVAILABLE; /* one replica need not have what it is laid over */
    }
    if (op->condition == ROW_ANY || op->condition == ROW_OVERWRITE) {
        return 0;
    }
    if (op->condition == ROW_COUNT_MAX) {
        return op->count_max == UINT32_MAX ? 0 : ERR_UNAVAILABLE; /* which always holds */
    }
    struct store *inner = w->store->inner;
    struct store_row row = {0};
    struct context context = {0};
    int err = inner->get(inner->self, w->key, op->sort_key, LEVEL_ONE, &row);
    err = err == 0 ? context_decode(op->seen, &context) : err;
    if (err == 0 && !holds(op, &w->batch->op, &row.versions, &context)) {
        err = ERR_CONFLICT;
        if (w->ret != NULL) {
            fill_conflict(w->ret, index, &row.versions);
        }
    }
    if (err == 0 && op->condition == ROW_IF_ABSENT) {
        context_join(&context, &row.versions.context); /* tombstones */
    }
    if (context.n > 0) {
        context_encode(&context, seen);
    }
    ret->condition = ROW_ANY;
    ret->seen = buffer_bytes(seen);
    context_release(&context);
    store_row_release(&row);
    return err;
}

static int write_alone(const struct writing *w) {
    struct store *inner = w->store->inner;
    struct batch out = {.op = w->batch->op};
    out.ops = memory_new(w->batch->n, sizeof *out.ops);
    struct buffer *seen = memory_new(w->batch->n, sizeof *seen);
    int err = 0;
    for (uint32_t i = 0; i < w->batch->n && err == 0; i++) {
        err = op_alone(w, i, &out.ops[out.n], &seen[i]);
        out.n += w->batch->ops[i].kind != ROW_GUARD;
    }
    if (err == 0) {
        err = inner->batch(inner->self, w->key, &out, alone(w->options), w->ret);
        w->store->n_alone += err == 0;
        if (err == 0 && w->ret != NULL) {
            w->ret->alone = true;
        }
    }
    for (uint32_t i = 0; i < w->batch->n; i++) {
        buffer_release(&seen[i]);
    }
    free(seen);
    free(out.ops);
    return err;
}

static int available_batch(void *self, struct bytes partition_key, const struct batch *batch,
                           store_options options, struct store_outcome *ret) {
    struct writing w = {self, partition_key, batch, options, ret};
    struct store *inner = w.store->inner;
    bool marked = (options & STORE_AVAILABLE) != 0;
    options = (store_options)(options & ~STORE_AVAILABLE);
    if (!marked || as_asked(options)) {
        return inner->batch(inner->self, partition_key, batch, options, ret);
    }
    struct replica_set set = w.store->replicas(w.store->context, partition_key);
    if (known_minority(w.store, partition_key, &set)) {
        return write_alone(&w);
    }
    int err = ERR_TIMEOUT;
    bool minority = false;
    while (fell_short(err) && !minority && time_left(w.store)) {
        int64_t whole_ns = deadline_shorten(w.store, MINORITY_TRY_NS);
        err = inner->batch(inner->self, partition_key, batch, options, ret);
        deadline_restore(whole_ns);
        minority =
            fell_short(err) && probe(w.store, partition_key, MINORITY_PROBE_NS) == ERR_UNAVAILABLE;
    }
    if (!minority) {
        return err;
    }
    note_minority(w.store, &set, true);
    return write_alone(&w);
}

/* ---- the rest ---- */

static struct op_id available_op_id(void *self) {
    struct store *inner = ((struct store_available *)self)->inner;
    return inner->op_id(inner->self);
}

static uint64_t available_wall_ns(void *self) {
    struct store *inner = ((struct store_available *)self)->inner;
    return inner->wall_ns(inner->self);
}

static uint64_t available_random(void *self) {
    struct store *inner = ((struct store_available *)self)->inner;
    return inner->random(inner->self);
}

void store_available_init(struct store_available *store) {
    store->store = (struct store){.self = store,
                                  .get = available_get,
                                  .batch = available_batch,
                                  .scan = available_scan,
                                  .op_id = available_op_id,
                                  .wall_ns = available_wall_ns,
                                  .random = available_random};
}
