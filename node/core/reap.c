/* reap: what a replica says about tombstones that are to go, and their removal here. */
#include "node/core/reap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "node/core/hints.h"
#include "node/core/recovery.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

/* ---- since when ---- */

/* A tombstone seen by a REAP: hash of its key and clock. id 0 = free. */
struct reap_note {
    uint64_t id;
    int64_t since_ns;
    int64_t asked_ns; /* last */
};

struct reap_notes {
    struct reap_note *notes; /* REAP_NOTED_MAX */
};

struct reap_notes *reap_notes_new(void) {
    return memory_new(1, sizeof(struct reap_notes));
}

void reap_notes_free(struct reap_notes *notes) {
    free(notes->notes);
    free(notes);
}

static uint64_t note_id(const struct reap_row *row) {
    uint64_t clock = XXH3_64bits(row->clock, LEAF_DIGEST_SIZE);
    uint64_t id = XXH3_64bits_withSeed(row->key.data, row->key.size, clock);
    return id != 0 ? id : 1;
}

/* The note of a tombstone, or the best place for it: a free one, else the one that was asked about
 * longest ago. */
static struct reap_note *find_note(struct reap_notes *notes, uint64_t id) {
    struct reap_note *place = NULL;
    if (notes->notes == NULL) {
        notes->notes = memory_new(REAP_NOTED_MAX, sizeof *notes->notes);
    }
    for (uint64_t i = 0; i < REAP_PROBES_MAX; i++) {
        struct reap_note *note = &notes->notes[(id + i) % REAP_NOTED_MAX];
        if (note->id == id) {
            return note;
        }
        bool better = place == NULL ||
                      (place->id != 0 && (note->id == 0 || note->asked_ns < place->asked_ns));
        place = better ? note : place;
    }
    return place;
}

int64_t reap_notes_since(struct reap_notes *notes, uint64_t id, int64_t now_ns, int64_t stale_ns) {
    struct reap_note *note = find_note(notes, id);
    if (note->id != id && note->id != 0 && now_ns - note->asked_ns < stale_ns) {
        return now_ns;
    }
    if (note->id != id) {
        *note = (struct reap_note){.id = id, .since_ns = now_ns};
    }
    note->asked_ns = now_ns;
    return note->since_ns;
}

/* Notes that a tombstone is held, and says since when it is. */
static int64_t held_since(struct node *node, const struct reap_row *row) {
    int64_t stale_ns = (int64_t)node->config.reap_hold_ms * REAP_STALE_HOLDS * NS_PER_MS;
    return reap_notes_since(node->reap_notes, note_id(row), node_now(node), stale_ns);
}

static void forget(struct node *node, const struct reap_row *row) {
    uint64_t id = note_id(row);
    struct reap_note *note = find_note(node->reap_notes, id);
    if (note->id == id) {
        *note = (struct reap_note){0};
    }
}

/* ---- one request ---- */

struct reaping {
    struct work work;
    struct node *node;
    struct reap_request request;
    struct rows_hold hold; /* the rows, then a pending strict batch for each */
    uint8_t verdicts[REAP_ROWS_MAX];
    reap_done *done;
    void *context;
    uint8_t payload[];
};

static void reaping_drop(struct work *work) {
    struct reaping *reaping = (struct reaping *)(void *)work;
    rows_release(&reaping->hold);
    free(reaping);
}

static void reaping_end(struct reaping *reaping, int status) {
    struct node *node = reaping->node;
    rows_release(&reaping->hold);
    work_end(node, &reaping->work);
    reaping->done(reaping->context, status, reaping->verdicts, reaping->request.n);
    free(reaping);
    node_check_idle(node);
}

static void on_removed(void *context, int status) {
    struct reaping *reaping = context;
    for (uint16_t i = 0; i < reaping->request.n; i++) {
        if (reaping->verdicts[i] == REAP_REMOVED && status != 0) {
            reaping->verdicts[i] = REAP_NO;
        } else if (reaping->verdicts[i] == REAP_REMOVED) {
            forget(reaping->node, &reaping->request.rows[i]);
            reaping->node->counters.tombstones_reaped++;
        }
    }
    reaping_end(reaping, status);
}

/* Whether the row is exactly this tombstone, on the disk and with nothing under way. */
static bool holds(struct reaping *reaping, uint16_t index) {
    const struct row *row = rows_held(&reaping->hold, index);
    const struct row *pending = rows_held(&reaping->hold, reaping->request.n + (uint32_t)index);
    struct versions *versions = &reaping->node->scratch[0];
    uint8_t clock[LEAF_DIGEST_SIZE];
    if (row->durable_status != 0 || row->newest_status != 0 || row->durable == NULL ||
        row_in_flight(row) || pending->newest_status != 0 || pending->newest != NULL) {
        return false;
    }
    versions_decode(blob_bytes(row->durable), versions);
    versions_digest(versions, clock);
    return versions_live(versions) == 0 &&
           memcmp(clock, reaping->request.rows[index].clock, sizeof clock) == 0;
}

static void on_held(void *context) {
    struct reaping *reaping = context;
    struct node *node = reaping->node;
    int64_t hold_ns = (int64_t)node->config.reap_hold_ms * NS_PER_MS;
    struct rows_commit *commit = rows_commit_new(node->rows, reaping->request.n);
    for (uint16_t i = 0; i < reaping->request.n; i++) {
        reaping->verdicts[i] = REAP_NO;
        if (!holds(reaping, i)) {
            continue;
        }
        int64_t since_ns = held_since(node, &reaping->request.rows[i]);
        bool ready = node_now(node) - since_ns >= hold_ns;
        reaping->verdicts[i] = ready ? REAP_READY : REAP_HELD;
        if (ready && reaping->request.order == REAP_REMOVE) {
            reaping->verdicts[i] = REAP_REMOVED;
            rows_commit_remove(commit, rows_held(&reaping->hold, i));
        }
    }
    if (rows_commit_start(commit, false, on_removed, reaping)) {
        reaping_end(reaping, 0);
    }
}

static void hold_rows(struct reaping *reaping) {
    struct node *node = reaping->node;
    const struct reap_request *request = &reaping->request;
    rows_hold_init(&reaping->hold, 2 * (uint32_t)request->n, on_held, reaping);
    for (uint16_t i = 0; i < request->n; i++) {
        buffer_clear(&node->key);
        rowkey_put_slice(&node->key, request->slice);
        buffer_put_bytes(&node->key, request->rows[i].key);
        rows_hold_add(node->rows, &reaping->hold, buffer_bytes(&node->key));
    }
    for (uint16_t i = 0; i < request->n; i++) {
        struct bytes partition_key = {0}, sort_key;
        int err = row_key_split(request->rows[i].key, &partition_key, &sort_key);
        assert(err == 0); /* the decoder has looked */
        (void)err;
        buffer_clear(&node->key);
        rowkey_put_pending(&node->key, request->slice, partition_key);
        rows_hold_add(node->rows, &reaping->hold, buffer_bytes(&node->key));
    }
    if (rows_hold_wait(&reaping->hold)) {
        on_held(reaping);
    }
}

/* 0, or why this node cannot speak for the slice. */
static int may_speak(const struct node *node, const struct reap_request *request) {
    const struct ring *ring = membership_ring(node->membership);
    if (hints_exist_for_slice(node, request->slice)) {
        return ERR_BUSY;
    }
    if (request->n == 0) {
        return 0;
    }
    if (!ring_is_replica(ring, request->slice, node->config.id)) {
        return ERR_WRONG_RING;
    }
    return node_trusts_itself(node, request->slice) ? 0 : ERR_BUSY;
}

int reap_here(struct node *node, struct bytes payload, reap_done *done, void *context) {
    uint16_t n_slices = membership_ring(node->membership)->n_slices;
    struct reaping *reaping = memory_resize(NULL, sizeof *reaping + payload.size);
    memset(reaping, 0, sizeof *reaping);
    bytes_store(reaping->payload, payload);
    int err =
        reap_request_decode(bytes_of(reaping->payload, payload.size), n_slices, &reaping->request);
    err = err == 0 ? may_speak(node, &reaping->request) : err;
    if (err == 0 && !work_begin(node, &reaping->work, payload.size)) {
        err = ERR_BUSY;
    }
    if (err != 0) {
        free(reaping);
        return err;
    }
    reaping->node = node;
    reaping->work.drop = reaping_drop;
    reaping->done = done;
    reaping->context = context;
    hold_rows(reaping);
    return 0;
}

/* ---- REAP ---- */

struct reap_answer {
    struct work work;
    struct node *node;
    struct asker asker;
};

static void answer_drop(struct work *work) {
    free(work);
}

static void on_done(void *context, int status, const uint8_t *verdicts, uint16_t n) {
    struct reap_answer *a = context;
    struct node *node = a->node;
    buffer_clear(&node->encoded);
    if (status == 0) {
        reap_reply_encode(verdicts, n, &node->encoded);
    }
    answer(node, &a->asker, status, buffer_bytes(&node->encoded));
    work_end(node, &a->work);
    free(a);
}

void reap_receive(struct node *node, const struct endpoint *from, const struct message *message) {
    struct asker asker = asker_of(from, message);
    struct reap_answer *a = memory_new(1, sizeof *a);
    *a = (struct reap_answer){.work = {.drop = answer_drop}, .node = node, .asker = asker};
    int err = work_begin(node, &a->work, 0) ? 0 : ERR_BUSY;
    if (err != 0) {
        free(a);
        answer_status(node, &asker, err);
        return;
    }
    err = reap_here(node, message->payload, on_done, a);
    if (err != 0) {
        node->counters.messages_bad += err == ERR_INVALID || err == ERR_TOO_BIG ? 1 : 0;
        work_end(node, &a->work);
        free(a);
        answer_status(node, &asker, err);
    }
}
