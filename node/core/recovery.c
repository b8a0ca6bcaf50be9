/* recovery: which slices this node may answer for, and how it catches up on the others. */
#include "node/core/recovery.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/core/plant.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

/* The mark lies under the key "mrecovery" (little-endian):
 *
 *   0  1  format, 1
 *   1  1  1 = some slices have yet to be recovered
 *   2  8  generation: slices whose flag has it are
 *  10  8  boot: of the machine when the mark was written
 *
 * A flag lies under 'v' and its slice (2 bytes, big-endian): the generation, 8 bytes. */
enum { MARK_FORMAT = 1, LOG_INFO = 2, LINE_MAX = 160 };

struct mark {
    bool recovering;
    uint64_t generation;
    uint64_t boot;
};

static struct bytes mark_key(void) {
    return bytes_of("mrecovery", 9);
}

static struct row *mark_row(struct recovery *recovery) {
    return rows_held(&recovery->marks, 1);
}

static int mark_decode(struct bytes bytes, struct mark *ret) {
    struct reader r = reader_of(bytes);
    uint8_t format = reader_u8(&r);
    struct mark mark = {.recovering = reader_u8(&r) == 1};
    mark.generation = reader_u64(&r);
    mark.boot = reader_u64(&r);
    if (reader_end(&r) != 0 || format != MARK_FORMAT) {
        return ERR_INVALID;
    }
    *ret = mark;
    return 0;
}

static void mark_commit(struct recovery *recovery, bool recovering,
                        void (*done)(void *context, int status)) {
    struct buffer mark = {0};
    buffer_put_u8(&mark, MARK_FORMAT);
    buffer_put_u8(&mark, recovering ? 1 : 0);
    buffer_put_u64(&mark, recovery->generation);
    buffer_put_u64(&mark, recovery->node->config.boot);
    struct rows_commit *commit = rows_commit_new(recovery->node->rows, 1);
    rows_commit_put(commit, mark_row(recovery), blob_new(buffer_bytes(&mark)));
    rows_commit_start(commit, true, done, recovery);
    buffer_release(&mark);
}

static void say(struct node *node, const char *line) {
    node->env->log(node->env->self, LOG_INFO, line);
}

/* ---- trust ---- */

bool node_trusts_itself(const struct node *node, uint16_t slice) {
    const struct recovery *recovery = node->recovery;
    return !recovery->running || slice >= membership_ring(node->membership)->n_slices ||
           recovery->trust[slice] == SLICE_TRUSTED;
}

static uint32_t others(const struct node *node) {
    return membership_ring(node->membership)->n_replicas_held - 1u;
}

/* N-W+1, or all there are. Strict batches are acknowledged by a majority, whatever W is. */
uint32_t recovery_others_needed(const struct node *node) {
    uint32_t n = others(node) + 1;
    uint32_t majority = n / 2 + 1;
    uint32_t w = node->config.write_quorum;
    w = w > majority ? majority : w;
    if (PLANTED(ONE_PEER)) {
        return 1;
    }
    return w < 2 || w > n ? n - 1 : n - w + 1;
}

static uint32_t count_bits(uint8_t bits) {
    uint32_t n = 0;
    for (; bits != 0; bits &= (uint8_t)(bits - 1)) {
        n++;
    }
    return n;
}

static bool recovered(const struct recovery *recovery, uint16_t slice) {
    return count_bits(recovery->sound[slice]) >= recovery_others_needed(recovery->node) ||
           count_bits(recovery->pulled[slice]) >= (PLANTED(ONE_PEER) ? 1 : others(recovery->node));
}

/* The bit of a member in the slice's preference list. */
static uint8_t place_of(const struct recovery *recovery, uint16_t slice, uint16_t peer) {
    const struct ring *ring = membership_ring(recovery->node->membership);
    const uint16_t *preference = ring_preference(ring, slice);
    for (uint16_t i = 0; i < ring->n_replicas_held; i++) {
        if (ring->members[preference[i]].id == peer) {
            return (uint8_t)(1u << i);
        }
    }
    return 0;
}

bool recovery_wants(const struct recovery *recovery, uint16_t slice, uint16_t peer) {
    uint8_t place = place_of(recovery, slice, peer);
    if (recovery->trust[slice] != SLICE_RECOVERING || place == 0) {
        return false;
    }
    /* A second reading helps where fewer than all others would do, once the peer trusts itself. */
    bool by_few = recovery_others_needed(recovery->node) < others(recovery->node);
    return ((by_few ? recovery->sound[slice] : recovery->pulled[slice]) & place) == 0;
}

/* ---- flags ---- */

static void flags_begin(struct recovery *recovery);

static void log_progress(struct recovery *recovery) {
    struct node *node = recovery->node;
    int64_t now_ns = node_now(node);
    if (recovery->n_left > 0 && now_ns - recovery->logged_ns < RECOVERY_LOG_MS * NS_PER_MS) {
        return;
    }
    char line[LINE_MAX];
    recovery->logged_ns = now_ns;
    snprintf(line, sizeof line, "recovered %u of %u slices, %llu rows, %llu bytes read",
             (unsigned)(recovery->n_held - recovery->n_left), (unsigned)recovery->n_held,
             (unsigned long long)recovery->rows, (unsigned long long)recovery->bytes);
    say(node, line);
}

static void on_mark_ended(void *context, int status) {
    struct recovery *recovery = context;
    /* The flags say the same; the next start reads them, and ends at once. */
    recovery->node->counters.commit_errors += status != 0 ? 1 : 0;
}

static void finish(struct recovery *recovery) {
    recovery->ended_ns = node_now(recovery->node);
    recovery->running = false;
    pulls_stop(recovery);
    mark_commit(recovery, false, on_mark_ended);
}

static void on_flagged(void *context, int status) {
    struct recovery *recovery = context;
    struct node *node = recovery->node;
    uint8_t trust = status == 0 ? SLICE_TRUSTED : SLICE_RECOVERING;
    node->counters.commit_errors += status != 0 ? 1 : 0;
    for (uint32_t i = 0; i < recovery->n_flagging; i++) {
        uint16_t slice = recovery->flagging[i];
        recovery->trust[slice] = trust;
        if (status != 0) {
            /* Read once more, after the disk took it. */
            recovery->pulled[slice] = 0;
            recovery->sound[slice] = 0;
        }
    }
    recovery->n_left -= status == 0 ? recovery->n_flagging : 0;
    recovery->n_flagging = 0;
    rows_release(&recovery->flags);
    if (status == 0) {
        log_progress(recovery);
    }
    if (recovery->n_left == 0) {
        finish(recovery);
    } else {
        flags_begin(recovery);
    }
    recovery_spread(recovery);
}

static void on_flags_held(void *context) {
    struct recovery *recovery = context;
    struct rows_commit *commit = rows_commit_new(recovery->node->rows, recovery->n_flagging);
    uint8_t generation[8];
    bytes_store_u64(generation, recovery->generation);
    for (uint32_t i = 0; i < recovery->n_flagging; i++) {
        rows_commit_put(commit, rows_held(&recovery->flags, i),
                        blob_new(bytes_of(generation, sizeof generation)));
    }
    rows_commit_start(commit, true, on_flagged, recovery);
}

static void hold_flag(struct recovery *recovery, uint16_t slice) {
    struct node *node = recovery->node;
    buffer_clear(&node->key);
    rowkey_put_kind(&node->key, 'v', slice);
    rows_hold_add(node->rows, &recovery->flags, buffer_bytes(&node->key));
}

/* Makes the flags durable of all slices that are complete, some at a time. */
static void flags_begin(struct recovery *recovery) {
    uint16_t n_slices = membership_ring(recovery->node->membership)->n_slices;
    if (recovery->n_flagging > 0 || recovery->node->state == NODE_STOPPED) {
        return;
    }
    for (uint16_t slice = 0; slice < n_slices && recovery->n_flagging < RECOVERY_FLAGS_MAX;
         slice++) {
        if (recovery->trust[slice] == SLICE_RECOVERING && recovered(recovery, slice)) {
            recovery->trust[slice] = SLICE_FLAGGING;
            recovery->flagging[recovery->n_flagging++] = slice;
        }
    }
    if (recovery->n_flagging == 0) {
        return;
    }
    rows_hold_init(&recovery->flags, recovery->n_flagging, on_flags_held, recovery);
    for (uint32_t i = 0; i < recovery->n_flagging; i++) {
        hold_flag(recovery, recovery->flagging[i]);
    }
    if (rows_hold_wait(&recovery->flags)) {
        on_flags_held(recovery);
    }
}

void recovery_pulled(struct recovery *recovery, uint16_t slice, uint16_t peer, bool trusted) {
    uint8_t place = place_of(recovery, slice, peer);
    if (recovery->trust[slice] != SLICE_RECOVERING) {
        return;
    }
    recovery->pulled[slice] |= place;
    recovery->sound[slice] |= trusted ? place : 0;
    if (recovered(recovery, slice)) {
        flags_begin(recovery);
    }
}

/* ---- start ---- */

static void count_held(struct recovery *recovery) {
    const struct node *node = recovery->node;
    const struct ring *ring = membership_ring(node->membership);
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        recovery->n_held += ring_is_replica(ring, slice, node->config.id) ? 1 : 0;
    }
}

static void distrust(struct recovery *recovery) {
    struct node *node = recovery->node;
    const struct ring *ring = membership_ring(node->membership);
    recovery->running = true;
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        if (ring_is_replica(ring, slice, node->config.id)) {
            recovery->trust[slice] = SLICE_RECOVERING;
        }
    }
    recovery->n_left = recovery->n_held;
}

/* What the flags say of the slices that were recovered before. */
static void on_flags_read(void *context) {
    struct recovery *recovery = context;
    const struct ring *ring = membership_ring(recovery->node->membership);
    uint32_t index = 0;
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        if (recovery->trust[slice] != SLICE_RECOVERING) {
            continue;
        }
        struct bytes flag = blob_bytes(rows_held(&recovery->flags, index++)->durable);
        if (flag.size == 8 && bytes_load_u64(flag.data) == recovery->generation) {
            recovery->trust[slice] = SLICE_TRUSTED;
            recovery->n_left--;
        }
    }
    rows_release(&recovery->flags);
    epoch_start(recovery->node);
}

static void resume(struct recovery *recovery) {
    const struct ring *ring = membership_ring(recovery->node->membership);
    rows_hold_init(&recovery->flags, recovery->n_held, on_flags_read, recovery);
    for (uint16_t slice = 0; slice < ring->n_slices; slice++) {
        if (recovery->trust[slice] == SLICE_RECOVERING) {
            hold_flag(recovery, slice);
        }
    }
    if (rows_hold_wait(&recovery->flags)) {
        on_flags_read(recovery);
    }
}

static void on_marked(void *context, int status) {
    struct recovery *recovery = context;
    struct node *node = recovery->node;
    if (status != 0) {
        node->state = NODE_FAILED;
        node->failure = status;
    } else if (node->state == NODE_STARTING) {
        epoch_start(node);
    }
}

/* Whether, and why, the node may lack what it acknowledged; NULL when it does not. A recovery under
 * way is no reason to begin another one. */
static const char *loss(const struct recovery *recovery, bool found, const struct mark *mark) {
    const struct node *node = recovery->node;
    const struct row *epoch_row = rows_held(&recovery->marks, 0);
    if (PLANTED(WIPED_SERVES)) {
        return NULL;
    }
    if (rows_held(&recovery->marks, 1)->durable_status != 0) {
        return "its mark cannot be read";
    }
    if (!found) {
        /* A directory older than this rule has an epoch; it was trusted so far. */
        return epoch_row->durable == NULL ? "its directory is new" : NULL;
    }
    bool rebooted = mark->boot != 0 && node->config.boot != 0 && mark->boot != node->config.boot;
    bool clean = epoch_row->durable != NULL && epoch_mark_clean(blob_bytes(epoch_row->durable));
    return rebooted && !clean ? "its machine went down while it ran" : NULL;
}

static void on_marks(void *context) {
    struct recovery *recovery = context;
    struct node *node = recovery->node;
    struct mark mark = {0};
    if (node->state != NODE_STARTING) {
        return;
    }
    int unreadable = mark_row(recovery)->durable_status;
    if (unreadable != 0 && unreadable != ERR_CORRUPT) {
        node->state = NODE_FAILED;
        node->failure = unreadable;
        return;
    }
    bool found = mark_decode(blob_bytes(mark_row(recovery)->durable), &mark) == 0;
    const char *why = others(recovery->node) > 0 ? loss(recovery, found, &mark) : NULL;
    recovery->generation = mark.generation;
    if (node->config.trusts_disk) {
        why = NULL;
        mark.recovering = false;
    }
    if (why != NULL) {
        char line[LINE_MAX];
        distrust(recovery);
        recovery->generation = node->env->random(node->env->self);
        snprintf(line, sizeof line, "recovering %u slices from their other replicas: %s",
                 (unsigned)recovery->n_held, why);
        say(node, line);
        mark_commit(recovery, !PLANTED(RECOVERY_LOST), on_marked);
    } else if (mark.recovering) {
        distrust(recovery);
        resume(recovery);
    } else if (!found || mark.boot != node->config.boot) {
        mark_commit(recovery, false, on_marked);
    } else {
        epoch_start(node);
    }
}

void recovery_start(struct node *node) {
    const struct ring *ring = membership_ring(node->membership);
    struct recovery *recovery = memory_new(1, sizeof *recovery);
    node->recovery = recovery;
    recovery->node = node;
    recovery->trust = memory_new(ring->n_slices, sizeof *recovery->trust);
    recovery->pulled = memory_new(ring->n_slices, sizeof *recovery->pulled);
    recovery->sound = memory_new(ring->n_slices, sizeof *recovery->sound);
    recovery->flagging = memory_new(RECOVERY_FLAGS_MAX, sizeof *recovery->flagging);
    count_held(recovery);
    rows_hold_init(&recovery->marks, 2, on_marks, recovery);
    rows_hold_add(node->rows, &recovery->marks, epoch_mark_key());
    rows_hold_add(node->rows, &recovery->marks, mark_key());
    if (rows_hold_wait(&recovery->marks)) {
        on_marks(recovery);
    }
}

void recovery_run(struct node *node) {
    struct recovery *recovery = node->recovery;
    recovery->began_ns = node_now(node);
    recovery->logged_ns = recovery->began_ns;
    recovery->n_begun = recovery->n_left;
    if (recovery->running && recovery->n_left == 0) {
        finish(recovery);
    } else if (recovery->running) {
        recovery_spread(recovery);
        pulls_begin(recovery);
    }
}

void recovery_stop(struct node *node) {
    if (node->recovery != NULL) {
        pulls_stop(node->recovery);
    }
}

void recovery_free(struct node *node) {
    struct recovery *recovery = node->recovery;
    if (recovery == NULL) {
        return;
    }
    pulls_free(recovery);
    rows_release(&recovery->marks);
    rows_release(&recovery->flags);
    free(recovery->trust);
    free(recovery->pulled);
    free(recovery->sound);
    free(recovery->flagging);
    free(recovery);
    node->recovery = NULL;
}

uint32_t node_recovering(const struct node *node) {
    return node->recovery != NULL ? node->recovery->n_left : 0;
}

void recovery_progress(const struct node *node, struct recovery_progress *ret) {
    const struct recovery *recovery = node->recovery;
    *ret = (struct recovery_progress){0};
    if (recovery == NULL) {
        return;
    }
    *ret = (struct recovery_progress){.n_held = recovery->n_held,
                                      .n_left = recovery->n_left,
                                      .rows = recovery->rows,
                                      .bytes = recovery->bytes};
    if (recovery->n_begun > 0) {
        int64_t until_ns = recovery->running ? node_now(node) : recovery->ended_ns;
        uint32_t n_done = recovery->n_begun - recovery->n_left;
        ret->ms = (uint64_t)((until_ns - recovery->began_ns) / NS_PER_MS);
        ret->left_ms = n_done > 0 ? ret->ms * recovery->n_left / n_done : 0;
    }
}
