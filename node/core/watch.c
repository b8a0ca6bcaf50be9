/* watch: which clients are to hear of which partitions' changes, and what they have not heard. */
#include "node/core/watch.h"

#include <stdlib.h>
#include <string.h>

#include <utlist.h>
#include <xxhash.h>

#include "node/core/chain.h"
#include "node/core/plant.h"
#include "node/core/rowkey.h"
#include "shared/err.h"
#include "shared/hash.h"
#include "shared/watch.h"

enum { SET_WORDS = WATCH_CLIENTS_MAX / 64, SHOWN_MAX = 256 };

/* A change that the watcher may not have heard of; numbered in a row from the first one's on. */
struct change {
    struct change *next;
    uint64_t stamp; /* of all changes of the node, in the order in which they were noted */
    size_t partition_size, sort_size;
    uint8_t bytes[]; /* partition key, sort key */
};

struct watcher {
    uint64_t writer;
    uint64_t life;
    uint64_t turn; /* of its last request */
    int64_t heard_ns;
    uint32_t n_partitions;
    struct change *changes, **changes_end;
    uint32_t n_changes;
    uint64_t first;     /* number of the first of `changes` */
    bool asking;        /* `asker` waits for an answer */
    struct asker asker; /* of the last request */
    int64_t asked_ns;
    uint16_t n_begun; /* to be told in its answer */
    bool clean;       /* it had heard of everything when it asked */
    int64_t lease_ns; /* it may hold a lease until then */
    bool lost;        /* it watches nothing any more, and may not know that yet */
};

struct watched {
    UT_hash_handle hh;
    uint64_t by[SET_WORDS]; /* places in watchers[] */
    uint8_t key[];
};

struct watches {
    struct node *node;
    struct watcher *watchers[WATCH_CLIENTS_MAX];
    struct watched *partitions;
    struct timer tick;
    struct watch_counters counters;
    uint64_t shown[SHOWN_MAX]; /* hashes of the rows of the latest pendings that were told */
    uint32_t n_shown;
    uint64_t stamp;   /* of the last change noted */
    int64_t quiet_ns; /* until then leases of this node's former life may run */
    struct watch_wait *waits;
    bool releasing;
    struct versions scratch, other; /* a commit's maker may be using the node's */
    struct buffer encoded;
    struct buffer key;
};

/* ---- who watches what ---- */

static bool set_has(const struct watched *watched, int place) {
    return (watched->by[place / 64] >> (place % 64) & 1) != 0;
}

static bool set_empty(const struct watched *watched) {
    uint64_t any = 0;
    for (int i = 0; i < SET_WORDS; i++) {
        any |= watched->by[i];
    }
    return any == 0;
}

static struct watched *find(const struct watches *watches, struct bytes key) {
    struct watched *watched;
    HASH_FIND(hh, watches->partitions, key.data, key.size, watched);
    return watched;
}

static void end_partition(struct watches *watches, int place, struct watched *watched) {
    watched->by[place / 64] &= ~((uint64_t)1 << (place % 64));
    watches->watchers[place]->n_partitions--;
    watches->counters.partitions--;
    if (set_empty(watched)) {
        HASH_DEL(watches->partitions, watched);
        free(watched);
    }
}

/* False when there is no room. */
static bool begin_partition(struct watches *watches, int place, struct bytes key) {
    struct watched *watched = find(watches, key);
    if (watched != NULL && set_has(watched, place)) {
        return true; /* a request that came twice */
    }
    if (watches->counters.partitions >= WATCH_PARTITIONS_MAX) {
        return false;
    }
    if (watched == NULL) {
        watched = memory_new(1, sizeof *watched + key.size);
        memcpy(watched->key, key.data, key.size);
        HASH_ADD_KEYPTR(hh, watches->partitions, watched->key, key.size, watched);
    }
    watched->by[place / 64] |= (uint64_t)1 << (place % 64);
    watches->watchers[place]->n_partitions++;
    watches->counters.partitions++;
    return true;
}

/* ---- changes not heard of ---- */

static void drop_change(struct watcher *watcher) {
    struct change *change = watcher->changes;
    watcher->changes = change->next;
    if (change->next == NULL) {
        watcher->changes_end = &watcher->changes;
    }
    watcher->n_changes--;
    watcher->first++;
    free(change);
}

static struct watch_change parts_of(const struct change *change) {
    return (struct watch_change){
        bytes_of(change->bytes, change->partition_size),
        bytes_of(change->bytes + change->partition_size, change->sort_size)};
}

static void add_change(struct watches *watches, struct watcher *watcher, struct bytes partition,
                       struct bytes sort) {
    struct change *change = memory_new(1, sizeof *change + partition.size + sort.size);
    change->stamp = ++watches->stamp;
    change->partition_size = partition.size;
    change->sort_size = sort.size;
    bytes_store(bytes_store(change->bytes, partition), sort);
    *watcher->changes_end = change;
    watcher->changes_end = &change->next;
    watcher->n_changes++;
}

static void forget_partitions(struct watches *watches, int place) {
    struct watched *watched, *next;
    if (watches->watchers[place]->n_partitions == 0) {
        return;
    }
    HASH_ITER(hh, watches->partitions, watched, next) {
        if (set_has(watched, place)) {
            end_partition(watches, place, watched);
        }
    }
}

static void drop_changes(struct watcher *watcher) {
    while (watcher->n_changes > 0) {
        drop_change(watcher);
    }
}

static void forget(struct watches *watches, int place) {
    struct watcher *watcher = watches->watchers[place];
    forget_partitions(watches, place);
    drop_changes(watcher);
    free(watcher);
    watches->watchers[place] = NULL;
    watches->counters.clients--;
}

/* ---- leases, and who waits for them ---- */

static int64_t lease_ns(const struct watches *watches) {
    int64_t ms = watches->node->config.lease_ms;
    return (PLANTED(LEASE_SHORT) ? ms / 8 : ms) * NS_PER_MS;
}

/* Whether the watcher in this place, if there is still one, need not be waited for. */
static bool has_heard(const struct watches *watches, int place, uint64_t stamp, int64_t now_ns) {
    const struct watcher *watcher = watches->watchers[place];
    if (watcher == NULL || now_ns >= watcher->lease_ns) {
        return true;
    }
    return !watcher->lost && (watcher->n_changes == 0 || watcher->changes->stamp > stamp);
}

static bool is_over(const struct watches *watches, const struct watch_wait *wait) {
    int64_t now_ns = node_now(watches->node);
    if (now_ns < watches->quiet_ns) {
        return false;
    }
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        bool by = (wait->by[i / 64] >> (i % 64) & 1) != 0;
        if (by && !has_heard(watches, i, wait->stamp, now_ns)) {
            return false;
        }
    }
    return true;
}

/* Those that are over. Each may end others, or begin some. */
static void release_waits(struct watches *watches) {
    if (watches->releasing) {
        return;
    }
    watches->releasing = true;
    struct watch_wait *wait = watches->waits;
    while (wait != NULL) {
        if (!is_over(watches, wait)) {
            wait = wait->next;
            continue;
        }
        watch_wait_end(watches, wait);
        wait->done(wait->context);
        wait = watches->waits;
    }
    watches->releasing = false;
}

static void set_tick(struct watches *watches) {
    if (!timer_armed(&watches->tick)) {
        timers_set(watches->node->timers, &watches->tick,
                   node_now(watches->node) + WATCH_TICK_MS * NS_PER_MS);
    }
}

/* Who may hold a lease of the partition: those who watch it, and those who were forgotten. */
static void find_holders(const struct watches *watches, struct bytes partition, uint64_t writer,
                         struct watch_wait *wait) {
    const struct watched *watched = find(watches, partition);
    memset(wait->by, 0, sizeof wait->by);
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        const struct watcher *watcher = watches->watchers[i];
        bool holds = watcher != NULL && watcher->writer != writer &&
                     (watcher->lost || (watched != NULL && set_has(watched, i)));
        wait->by[i / 64] |= (uint64_t)(holds ? 1 : 0) << (i % 64);
    }
}

bool watch_wait(struct watches *watches, struct watch_wait *wait, struct bytes partition_key,
                uint64_t writer, void (*done)(void *context), void *context) {
    bool quiet = node_now(watches->node) < watches->quiet_ns;
    if (PLANTED(LEASE_IGNORED) || (!quiet && watches->counters.clients == 0)) {
        return true;
    }
    find_holders(watches, partition_key, writer, wait);
    wait->stamp = watches->stamp;
    if (is_over(watches, wait)) {
        return true;
    }
    wait->done = done;
    wait->context = context;
    wait->waiting = true;
    DL_APPEND(watches->waits, wait);
    watches->counters.waits++;
    set_tick(watches);
    return false;
}

void watch_wait_end(struct watches *watches, struct watch_wait *wait) {
    if (wait->waiting) {
        DL_DELETE(watches->waits, wait);
        wait->waiting = false;
    }
}

uint64_t watch_writer(const struct op_id *op) {
    return bytes_load_u64(op->bytes + 8);
}

bool watch_by_others(const struct watches *watches, struct bytes partition_key, uint64_t writer) {
    struct watch_wait wait;
    uint64_t any = 0;
    if (node_now(watches->node) < watches->quiet_ns) {
        return true;
    }
    if (watches->node->config.lease_ms == 0 || watches->counters.clients == 0) {
        return false;
    }
    find_holders(watches, partition_key, writer, &wait);
    for (int i = 0; i < SET_WORDS; i++) {
        any |= wait.by[i];
    }
    return any != 0;
}

/* ---- answers ---- */

static void send_reply(struct watches *watches, const struct asker *asker,
                       const struct watch_reply *reply) {
    buffer_clear(&watches->encoded);
    watch_reply_encode(reply, &watches->encoded);
    answer(watches->node, asker, 0, buffer_bytes(&watches->encoded));
}

static void tell(struct watches *watches, struct watcher *watcher) {
    struct node *node = watches->node;
    struct buffer changes = {0};
    struct watch_reply reply = {.life = watcher->life,
                                .read_quorum = node->config.read_quorum,
                                .n_begun = watcher->n_begun,
                                .first = watcher->first};
    for (const struct change *c = watcher->changes; c != NULL; c = c->next) {
        struct watch_change change = parts_of(c);
        if (changes.size + watch_change_size(&change) > WATCH_CHANGES_BYTES) {
            break;
        }
        watch_change_encode(&change, &changes);
        reply.n_changes++;
    }
    reply.changes = buffer_bytes(&changes);
    /* What was noted while there was no lease may be acknowledged, and must be told first. And who
     * asks again and again without hearing of a change must not keep it waiting. */
    if (reply.n_changes == watcher->n_changes && watcher->clean && node->config.lease_ms > 0) {
        reply.lease_ms = node->config.lease_ms;
        watcher->lease_ns = watcher->asked_ns + lease_ns(watches) + WATCH_MARGIN_MS * NS_PER_MS;
    }
    watcher->asking = false;
    send_reply(watches, &watcher->asker, &reply);
    buffer_release(&changes);
}

/* It is to begin anew. */
static void tell_unknown(struct watches *watches, const struct asker *asker) {
    struct watch_reply reply = {.read_quorum = watches->node->config.read_quorum};
    send_reply(watches, asker, &reply);
}

/* Holding back is over, and so are leases. */
static void on_tick(void *context) {
    struct watches *watches = context;
    int64_t now_ns = node_now(watches->node);
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        struct watcher *watcher = watches->watchers[i];
        if (watcher == NULL) {
            continue;
        }
        bool forgotten = watcher->lost && now_ns >= watcher->lease_ns;
        if (forgotten || now_ns - watcher->heard_ns >= WATCH_FORGET_MS * NS_PER_MS) {
            watches->counters.forgotten += forgotten ? 0 : 1;
            forget(watches, i);
        } else if (watcher->asking && now_ns - watcher->asked_ns >= WATCH_HOLD_MS * NS_PER_MS) {
            tell(watches, watcher);
        }
    }
    release_waits(watches);
    if (watches->counters.clients > 0 || watches->waits != NULL) {
        set_tick(watches);
    }
}

/* ---- requests ---- */

static int place_of(const struct watches *watches, uint64_t writer) {
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        if (watches->watchers[i] != NULL && watches->watchers[i]->writer == writer) {
            return i;
        }
    }
    return -1;
}

static int begin_watcher(struct watches *watches, uint64_t writer) {
    int place = 0;
    while (place < WATCH_CLIENTS_MAX && watches->watchers[place] != NULL) {
        place++;
    }
    if (place == WATCH_CLIENTS_MAX) {
        return -1;
    }
    struct watcher *watcher = memory_new(1, sizeof *watcher);
    watcher->writer = writer;
    watcher->life = watches->node->env->random(watches->node->env->self) | 1;
    watcher->changes_end = &watcher->changes;
    watcher->first = 1;
    watches->watchers[place] = watcher;
    watches->counters.clients++;
    set_tick(watches);
    return place;
}

/* The place of the watcher that asks; -1 when it is answered already or is nobody's. */
static int admit(struct watches *watches, const struct watch_request *request,
                 const struct asker *asker) {
    int place = place_of(watches, request->writer);
    if (place >= 0 && request->turn < watches->watchers[place]->turn) {
        return -1; /* overtaken by a later one */
    }
    if (place >= 0 && request->life == 0 && request->turn > watches->watchers[place]->turn) {
        forget(watches, place);
        place = -1;
    }
    if (place < 0 && request->life == 0) {
        place = begin_watcher(watches, request->writer);
        if (place < 0) {
            answer_status(watches->node, asker, ERR_NO_SPACE);
            return -1;
        }
    }
    bool known = place >= 0 && !watches->watchers[place]->lost &&
                 (request->life == 0 || request->life == watches->watchers[place]->life);
    if (!known) {
        tell_unknown(watches, asker);
    }
    return known ? place : -1;
}

static void take_named(struct watches *watches, int place, const struct watch_request *request) {
    struct watcher *watcher = watches->watchers[place];
    for (uint16_t i = 0; i < request->n_ended; i++) {
        struct watched *watched = find(watches, request->ended[i]);
        if (watched != NULL && set_has(watched, place)) {
            end_partition(watches, place, watched);
        }
    }
    watcher->n_begun = 0;
    while (watcher->n_begun < request->n_begun &&
           begin_partition(watches, place, request->begun[watcher->n_begun])) {
        watcher->n_begun++;
    }
}

void watch_receive(struct watches *watches, const struct endpoint *from,
                   const struct message *message) {
    struct node *node = watches->node;
    struct asker asker = asker_of(from, message);
    struct watch_request request;
    if (watch_request_decode(message->payload, &request) != 0) {
        node->counters.messages_bad++;
        answer_status(node, &asker, ERR_INVALID);
        return;
    }
    int place = admit(watches, &request, &asker);
    if (place < 0) {
        return;
    }
    struct watcher *watcher = watches->watchers[place];
    watcher->turn = request.turn;
    watcher->heard_ns = watcher->asked_ns = node_now(node);
    watcher->asker = asker;
    watcher->asking = true;
    while (watcher->n_changes > 0 && watcher->first <= request.heard) {
        drop_change(watcher);
    }
    watcher->clean = watcher->n_changes == 0;
    take_named(watches, place, &request);
    bool news = request.life == 0 || request.n_begun > 0 || request.n_ended > 0;
    if (news || watcher->n_changes > 0) {
        tell(watches, watcher);
    }
    release_waits(watches);
}

/* ---- changes ---- */

/* What a reader is shown of a row: its operation; false when nothing is. */
static bool shown(struct versions *scratch, const struct blob *blob, struct op_id *ret) {
    if (blob == NULL || versions_decode(blob_bytes(blob), scratch) != 0) {
        return false;
    }
    const struct sibling *winner = versions_winner(scratch);
    if (winner == NULL || (winner->flags & SIBLING_TOMBSTONE) != 0) {
        return false;
    }
    *ret = winner->op;
    return true;
}

/* What is there now was written by this, tombstones included; zeros when nothing is. */
static struct op_id written_by(struct versions *scratch, const struct blob *blob) {
    if (blob == NULL || versions_decode(blob_bytes(blob), scratch) != 0) {
        return (struct op_id){{0}};
    }
    const struct sibling *winner = versions_winner(scratch);
    return winner != NULL ? winner->op : (struct op_id){{0}};
}

/* It is to begin anew; until it knows that, its lease runs. */
static void lose(struct watches *watches, int place) {
    struct watcher *watcher = watches->watchers[place];
    if (node_now(watches->node) >= watcher->lease_ns) {
        forget(watches, place);
        return;
    }
    forget_partitions(watches, place);
    drop_changes(watcher);
    watcher->asking = false;
    watcher->lost = true;
}

static void note(struct watches *watches, int place, struct bytes partition, struct bytes sort) {
    struct watcher *watcher = watches->watchers[place];
    if (watcher->n_changes >= WATCH_CHANGES_MAX) {
        struct asker asker = watcher->asker;
        bool asking = watcher->asking;
        watches->counters.forgotten++;
        lose(watches, place);
        if (asking) {
            tell_unknown(watches, &asker);
        }
        return;
    }
    watches->counters.changes++;
    add_change(watches, watcher, partition, sort);
    if (watcher->asking) {
        tell(watches, watcher);
    }
}

/* Notes it for everybody who watches the partition, but for the writer. */
static void note_all(struct watches *watches, const struct watched *watched, uint64_t writer,
                     struct bytes partition, struct bytes sort) {
    uint64_t by[SET_WORDS];
    memcpy(by, watched->by, sizeof by); /* who is forgotten meanwhile may have been the last */
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        bool watches_it = (by[i / 64] >> (i % 64) & 1) != 0;
        if (watches_it && watches->watchers[i]->writer != writer) {
            note(watches, i, partition, sort);
        }
    }
}

/* A row never becomes again what it was. */
static uint64_t hash_of(struct bytes row) {
    return XXH3_64bits(row.data, row.size);
}

static bool was_pending(const struct watches *watches, const struct blob *now) {
    uint64_t hash = watches->n_shown > 0 ? hash_of(blob_bytes(now)) : 0;
    for (int i = 0; i < SHOWN_MAX && watches->n_shown > 0; i++) {
        if (watches->shown[i] == hash) {
            return true;
        }
    }
    return false;
}

static void forget_pending(struct watches *watches, struct bytes row) {
    for (int i = 0; i < SHOWN_MAX; i++) {
        if (watches->shown[i] == hash_of(row)) {
            watches->shown[i] = 0;
        }
    }
}

static void row_changed(struct watches *watches, struct bytes key, const struct blob *old,
                        bool old_known, const struct blob *now) {
    struct bytes partition, sort;
    if (rowkey_split(key, &partition, &sort) != 0) {
        return;
    }
    const struct watched *watched = find(watches, partition);
    if (watched == NULL) {
        return;
    }
    struct versions *scratch = &watches->scratch;
    struct op_id before, after;
    bool is_shown = shown(scratch, now, &after);
    bool was_shown = old_known && shown(scratch, old, &before);
    struct op_id op = written_by(scratch, now);
    bool leases = watches->node->config.lease_ms > 0;
    if (leases && was_pending(watches, now)) {
        return; /* told when it came */
    }
    /* Who holds a lease knows all that was acknowledged, what does not show included. */
    bool news = leases && !bytes_equal(blob_bytes(old), blob_bytes(now));
    if (news || !old_known || is_shown != was_shown ||
        (is_shown && !op_id_equal(&before, &after))) {
        note_all(watches, watched, bytes_load_u64(op.bytes + 8), partition, sort);
    }
}

static void pending_came(struct watches *watches, struct bytes key, const struct blob *now) {
    uint16_t slice;
    struct bytes partition;
    struct batch batch;
    if (watches->node->config.lease_ms == 0 || rowkey_chain(key, &slice, &partition) != 0 ||
        find(watches, partition) == NULL ||
        chain_batch_decode(blob_bytes(now), &watches->scratch, &batch) != 0) {
        return;
    }
    uint64_t writer = watch_writer(&batch.op);
    for (uint32_t i = 0; i < batch.n; i++) {
        const struct watched *watched = find(watches, partition);
        if (batch.ops[i].kind != ROW_GUARD && watched != NULL) {
            watches->shown[watches->n_shown++ % SHOWN_MAX] = hash_of(batch.ops[i].value);
            note_all(watches, watched, writer, partition, batch.ops[i].sort_key);
        }
    }
    batch_release(&batch);
}

/* Whether the row knows all that the pending one did: that was applied, or replaced by what had
 * seen it. False when the row is not in memory, or there is none. */
static bool row_knows(struct watches *watches, uint16_t slice, struct bytes partition,
                      const struct row_op *op) {
    struct versions *pending = &watches->scratch;
    struct versions *here = &watches->other;
    buffer_clear(&watches->key);
    rowkey_put_row(&watches->key, slice, partition, op->sort_key);
    const struct blob *row = rows_durable(watches->node->rows, buffer_bytes(&watches->key));
    return row != NULL && versions_decode(op->value, pending) == 0 &&
           versions_decode(blob_bytes(row), here) == 0 &&
           context_includes(&here->context, &pending->context);
}

/* Plain readers are shown what is pending. When it goes without having been applied, what they saw
 * is not so any more. */
static void pending_left(struct watches *watches, struct bytes key, const struct blob *old) {
    uint16_t slice;
    struct bytes partition;
    struct batch batch;
    if (rowkey_chain(key, &slice, &partition) != 0 || find(watches, partition) == NULL ||
        chain_batch_decode(blob_bytes(old), &watches->scratch, &batch) != 0) {
        return;
    }
    for (uint32_t i = 0; i < batch.n; i++) {
        const struct row_op *op = &batch.ops[i];
        if (op->kind == ROW_GUARD || row_knows(watches, slice, partition, op)) {
            continue;
        }
        forget_pending(watches, op->value);
        const struct watched *watched = find(watches, partition);
        if (watched != NULL) {
            note_all(watches, watched, 0, partition, op->sort_key);
        }
    }
    batch_release(&batch);
}

void watch_changed(struct watches *watches, struct bytes key, const struct blob *old,
                   bool old_known, const struct blob *now) {
    if (watches->partitions == NULL) {
        return;
    }
    if (key.data[0] == 'r') {
        row_changed(watches, key, old, old_known, now);
        return;
    }
    bool same = old_known && old != NULL && now != NULL &&
                bytes_equal(blob_bytes(old), blob_bytes(now)); /* made durable once more */
    if (key.data[0] != 'q' || same) {
        return;
    }
    if (old_known && old != NULL) {
        pending_left(watches, key, old);
    }
    if (now != NULL) {
        pending_came(watches, key, now);
    }
}

/* ---- life ---- */

struct watches *watches_new(struct node *node) {
    struct watches *watches = memory_new(1, sizeof *watches);
    watches->node = node;
    watches->tick = (struct timer){.fire = on_tick, .context = watches};
    if (node->config.lease_ms > 0) {
        watches->quiet_ns = node_now(node) + lease_ns(watches) + WATCH_MARGIN_MS * NS_PER_MS;
    }
    return watches;
}

void watches_free(struct watches *watches) {
    timers_cancel(watches->node->timers, &watches->tick);
    for (int i = 0; i < WATCH_CLIENTS_MAX; i++) {
        if (watches->watchers[i] != NULL) {
            forget(watches, i);
        }
    }
    versions_release(&watches->scratch);
    versions_release(&watches->other);
    buffer_release(&watches->encoded);
    buffer_release(&watches->key);
    free(watches);
}

void watch_counters(const struct watches *watches, struct watch_counters *ret) {
    *ret = watches->counters;
}
