/* anti_entropy: rounds of comparing and mending with each member. */
#include "node/core/anti_entropy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/hints.h"
#include "node/core/leaf_page.h"
#include "node/core/reconcile.h"
#include "node/core/recovery.h"

enum ae_state {
    AE_IDLE = 0,
    AE_COMPARING,
    AE_SETTLING,
    AE_CONFIRMING,
    AE_PAGING, /* also while waiting for the rate to allow it */
    AE_LISTING,
    AE_MENDING,
};

enum { IN_VAIN_MAX = 5 };

/* What one round met. */
struct ae_round {
    int64_t begun_ns;
    uint32_t n_differing, n_done; /* slices, of all members so far */
    uint64_t n_rows, n_failed, bytes;
    bool found;      /* something differed */
    bool incomplete; /* some member or slice was left out */
};

struct anti_entropy {
    struct node *node;
    enum ae_state state;
    bool stopped;
    struct timer timer;
    int64_t next_ns;    /* when idle: of the next round */
    bool *was_alive;    /* by member index: at the last tick */
    bool *wanted;       /* by slice: this round's; NULL = all */
    bool *ordered;      /* by slice: the round to come; NULL = all, if any is ordered */
    bool order;         /* a round is ordered */
    uint32_t n_in_vain; /* rounds in a row that could not finish and mended nothing */
    uint64_t n_begun, n_ended;
    uint64_t order_round; /* the round that carries the last order out */

    /* the exchange under way */
    uint16_t member; /* index */
    uint64_t id;     /* of the request that is out */
    bool *compared;  /* by slice: its sum was sent to the member */
    uint16_t *slices;
    uint16_t n_slices, at;
    struct leaf_page *page;
    struct buffer after;  /* row key: the next page begins behind it */
    struct buffer rows;   /* of this node's page */
    struct buffer cursor; /* of this node's page */
    struct leaf here;     /* borrows these */
    struct bytes end;     /* of what is being mended, owned; size 0 = of the slice */
    struct reconcile *reconcile;

    uint64_t rate; /* bytes a second */
    int64_t steered_ns, ready_ns;
    struct ae_round round, last;
    int64_t full_ns, clean_ns; /* end of the last whole round, of the last that found nothing */
    uint64_t n_rows, n_failed, bytes, n_full;
};

static void next_member(struct anti_entropy *ae);
static void next_page(struct anti_entropy *ae);

static const struct ring *ring_of(const struct anti_entropy *ae) {
    return membership_ring(ae->node->membership);
}

static uint16_t member_id(const struct anti_entropy *ae) {
    return ring_of(ae)->members[ae->member].id;
}

static void timer_in(struct anti_entropy *ae, int64_t ms) {
    timers_set(ae->node->timers, &ae->timer, node_now(ae->node) + ms * NS_PER_MS);
}

/* ---- the rate ---- */

static void steer(struct anti_entropy *ae) {
    int64_t now_ns = node_now(ae->node);
    if (ae->node->n_requests >= ANTI_ENTROPY_BUSY_REQUESTS) {
        if (now_ns - ae->steered_ns >= ANTI_ENTROPY_TICK_MS * NS_PER_MS / 4) {
            ae->rate = ae->rate / 2 > ANTI_ENTROPY_RATE_MIN ? ae->rate / 2 : ANTI_ENTROPY_RATE_MIN;
            ae->steered_ns = now_ns;
        }
    } else if (now_ns - ae->steered_ns >= ANTI_ENTROPY_TICK_MS * NS_PER_MS) {
        ae->rate += ANTI_ENTROPY_RATE_STEP;
        ae->rate = ae->rate < ANTI_ENTROPY_RATE_MAX ? ae->rate : ANTI_ENTROPY_RATE_MAX;
        ae->steered_ns = now_ns;
    }
}

static void pay(struct anti_entropy *ae, uint64_t bytes) {
    int64_t now_ns = node_now(ae->node);
    steer(ae);
    ae->ready_ns = ae->ready_ns > now_ns ? ae->ready_ns : now_ns;
    ae->ready_ns += (int64_t)(bytes * 1000000000 / ae->rate);
    ae->round.bytes += bytes;
    ae->bytes += bytes;
}

/* ---- requests ---- */

/* Sends to the member under way; false when it cannot be. */
static bool ask(struct anti_entropy *ae, uint8_t type, struct bytes payload, enum ae_state state) {
    struct message message = {.type = type, .payload = payload, .budget_ms = ANTI_ENTROPY_REPLY_MS};
    message.id = node_request_id(ae->node);
    ae->id = message.id;
    ae->state = state;
    timer_in(ae, ANTI_ENTROPY_REPLY_MS);
    return node_ask(ae->node, member_id(ae), &message) == 0;
}

/* Leaves the member for the next round. */
static void give_up_member(struct anti_entropy *ae) {
    ae->round.incomplete = true;
    next_member(ae);
}

static bool shared_slice(const struct anti_entropy *ae, uint16_t slice) {
    const struct ring *ring = ring_of(ae);
    return (ae->wanted == NULL || ae->wanted[slice]) &&
           ring_is_replica(ring, slice, ae->node->config.id) &&
           ring_is_replica(ring, slice, member_id(ae));
}

/* This node's sums of the slices that are compared: all shared ones, or those that differed. */
static void collect_sums(struct anti_entropy *ae, bool again, struct tree_sums *ret) {
    uint16_t n = again ? ae->n_slices : ring_of(ae)->n_slices;
    memset(ae->compared, 0, ring_of(ae)->n_slices * sizeof *ae->compared);
    ret->n = 0;
    ret->n_unknown = 0;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t slice = again ? ae->slices[i] : i;
        if (!again && !shared_slice(ae, slice)) {
            continue;
        }
        bool trusted =
            node_trusts_itself(ae->node, slice) && node_serves(ae->node, member_id(ae), slice);
        if (trusted && tree_sum(&ae->node->tree, slice, &ret->sums[ret->n])) {
            ret->n++;
            ae->compared[slice] = true;
        } else {
            ae->round.incomplete = true;
        }
    }
}

static void send_sums(struct anti_entropy *ae, bool again) {
    struct tree_sums *sums = memory_new(1, sizeof *sums);
    struct buffer payload = {0};
    collect_sums(ae, again, sums);
    bool any = sums->n > 0;
    tree_sums_encode(sums, &payload);
    pay(ae, payload.size);
    bool sent =
        any && ask(ae, MESSAGE_TREE, buffer_bytes(&payload), again ? AE_CONFIRMING : AE_COMPARING);
    buffer_release(&payload);
    free(sums);
    if (!any) {
        next_member(ae);
    } else if (!sent) {
        give_up_member(ae);
    }
}

/* ---- rounds ---- */

/* Twice as long after each round that could not finish and mended nothing. */
static int64_t again_ms(struct anti_entropy *ae, bool whole) {
    int64_t ms = (int64_t)ANTI_ENTROPY_AGAIN_MS << ae->n_in_vain;
    bool in_vain = !whole && ae->round.n_rows == ae->round.n_failed;
    ae->n_in_vain = !in_vain ? 0 : ae->n_in_vain < IN_VAIN_MAX ? ae->n_in_vain + 1 : IN_VAIN_MAX;
    return ms;
}

/* After a round over some slices only, the next whole one comes when it would have come. */
static void plan_next(struct anti_entropy *ae, bool whole) {
    int64_t now_ns = node_now(ae->node);
    int64_t round_ms = (int64_t)ae->node->config.repair_round_ms;
    bool again = (ae->round.found && ae->wanted == NULL) || !whole;
    if (again) {
        int64_t ms = again_ms(ae, whole);
        round_ms = round_ms < ms ? round_ms : ms;
    }
    if (again || ae->wanted == NULL) {
        ae->next_ns = now_ns + round_ms * NS_PER_MS;
    }
}

static void end_round(struct anti_entropy *ae) {
    int64_t now_ns = node_now(ae->node);
    bool whole = !ae->round.incomplete && ae->round.n_failed == 0;
    ae->state = AE_IDLE;
    ae->n_ended++;
    ae->last = ae->round;
    if (whole && ae->wanted == NULL) {
        ae->full_ns = now_ns;
        ae->n_full++;
        ae->clean_ns = ae->round.found ? ae->clean_ns : now_ns;
    }
    plan_next(ae, whole);
    free(ae->wanted);
    ae->wanted = NULL;
    timer_in(ae, 0);
}

static void next_member(struct anti_entropy *ae) {
    const struct ring *ring = ring_of(ae);
    ae->n_slices = 0;
    while (++ae->member < ring->n_members) {
        uint16_t id = member_id(ae);
        if (id == ae->node->config.id) {
            continue;
        }
        if (!node_alive(ae->node, id)) {
            ae->round.incomplete = true;
            continue;
        }
        /* Through the timer, so that silent members do not pile up calls. */
        ae->state = AE_COMPARING;
        ae->id = 0;
        timer_in(ae, 0);
        return;
    }
    end_round(ae);
}

static void begin_round(struct anti_entropy *ae) {
    assert(ae->state == AE_IDLE && ae->wanted == NULL);
    ae->round = (struct ae_round){.begun_ns = node_now(ae->node)};
    ae->n_begun++;
    if (ae->order) {
        ae->wanted = ae->ordered;
        ae->ordered = NULL;
        ae->order = false;
    }
    ae->member = UINT16_MAX; /* the first is next */
    next_member(ae);
}

/* ---- a slice ---- */

static void next_slice(struct anti_entropy *ae) {
    ae->round.n_done++;
    ae->at++;
    buffer_clear(&ae->after);
    next_page(ae);
}

static void on_mended(void *context, const struct reconcile_result *result) {
    struct anti_entropy *ae = context;
    ae->reconcile = NULL;
    ae->round.n_rows += result->n_rows;
    ae->round.n_failed += result->n_failed;
    ae->n_rows += result->n_rows - result->n_failed;
    ae->n_failed += result->n_failed;
    pay(ae, result->bytes);
    if (ae->stopped) {
        return;
    }
    if (result->n_failed > 0 && !node_alive(ae->node, member_id(ae))) {
        give_up_member(ae);
    } else if (ae->end.size == 0) {
        next_slice(ae);
    } else {
        buffer_clear(&ae->after);
        buffer_put_bytes(&ae->after, ae->end);
        next_page(ae);
    }
}

static void take_leaf(struct anti_entropy *ae, const struct leaf *there) {
    free((void *)(uintptr_t)ae->end.data);
    if (there->same) {
        ae->end = bytes_copy(ae->here.more ? ae->here.cursor : bytes_of(NULL, 0));
        on_mended(ae, &(struct reconcile_result){0});
        return;
    }
    ae->end = bytes_copy(leaf_common_end(&ae->here, there));
    if (ae->end.size > 0 && bytes_compare(ae->end, buffer_bytes(&ae->after)) <= 0) {
        give_up_member(ae); /* a list that ends before it begins */
        return;
    }
    ae->state = AE_MENDING;
    timers_cancel(ae->node->timers, &ae->timer);
    struct reconcile_pages pages = {
        .peer = member_id(ae), .slice = ae->slices[ae->at], .here = &ae->here, .there = there};
    ae->reconcile = reconcile_start(ae->node, &pages, on_mended, ae);
}

static void ask_leaf(struct anti_entropy *ae) {
    uint8_t digest[LEAF_DIGEST_SIZE];
    struct buffer payload = {0};
    leaf_digest(ae->here.rows, digest);
    struct leaf_request request = {.slice = ae->slices[ae->at],
                                   .rows_max = LEAF_ROWS_MAX,
                                   .after = buffer_bytes(&ae->after),
                                   .digest = bytes_of(digest, sizeof digest)};
    if (ae->here.more) {
        request.until = ae->here.cursor;
    }
    leaf_request_encode(&request, &payload);
    bool sent = ask(ae, MESSAGE_LEAF, buffer_bytes(&payload), AE_LISTING);
    buffer_release(&payload);
    if (!sent) {
        give_up_member(ae);
    }
}

static void on_page(void *context, int status, const struct leaf *leaf, size_t size) {
    struct anti_entropy *ae = context;
    ae->page = NULL;
    if (ae->stopped) {
        return;
    }
    if (status != 0) {
        ae->round.incomplete = true;
        next_slice(ae);
        return;
    }
    pay(ae, size + (size_t)leaf->n_rows * ANTI_ENTROPY_ROW_COST);
    buffer_clear(&ae->rows);
    buffer_clear(&ae->cursor);
    buffer_put_bytes(&ae->rows, leaf->rows);
    buffer_put_bytes(&ae->cursor, leaf->cursor);
    ae->here = (struct leaf){.more = leaf->more,
                             .n_rows = leaf->n_rows,
                             .rows = buffer_bytes(&ae->rows),
                             .cursor = buffer_bytes(&ae->cursor)};
    ask_leaf(ae);
}

/* As soon as the rate allows it. */
static void next_page(struct anti_entropy *ae) {
    if (ae->at == ae->n_slices) {
        next_member(ae);
        return;
    }
    int64_t now_ns = node_now(ae->node);
    ae->state = AE_PAGING;
    timers_set(ae->node->timers, &ae->timer, ae->ready_ns > now_ns ? ae->ready_ns : now_ns);
}

static void read_page(struct anti_entropy *ae) {
    struct leaf_request request = {.slice = ae->slices[ae->at],
                                   .rows_max = ANTI_ENTROPY_PAGE_ROWS,
                                   .after = buffer_bytes(&ae->after)};
    ae->page = leaf_page_read(ae->node, &request, on_page, ae);
    if (ae->page == NULL) {
        timer_in(ae, ANTI_ENTROPY_TICK_MS); /* too much in flight */
    }
}

/* ---- answers ---- */

/* Slices that are equal wait for repair no longer (hints.h); ae->slices are those that are not. */
static void clear_marks(struct anti_entropy *ae) {
    uint32_t at = 0;
    for (uint16_t slice = 0; slice < ring_of(ae)->n_slices; slice++) {
        bool differs = at < ae->n_slices && ae->slices[at] == slice;
        at += differs ? 1 : 0;
        if (!differs && ae->compared[slice]) {
            slice_repaired(ae->node, slice, member_id(ae));
        }
    }
}

static void take_sums(struct anti_entropy *ae, const struct tree_sums *sums) {
    bool again = ae->state == AE_CONFIRMING;
    ae->round.incomplete |= sums->n_unknown > 0;
    ae->n_slices = 0;
    for (uint16_t i = 0; i < sums->n; i++) {
        if (shared_slice(ae, sums->sums[i].slice)) {
            ae->slices[ae->n_slices++] = sums->sums[i].slice;
        }
    }
    if (!again && sums->n_unknown == 0) {
        clear_marks(ae);
    }
    if (ae->n_slices == 0) {
        next_member(ae);
    } else if (!again) {
        ae->state = AE_SETTLING;
        timer_in(ae, ANTI_ENTROPY_SETTLE_MS);
    } else {
        ae->round.found = true;
        ae->round.n_differing += ae->n_slices;
        ae->at = 0;
        buffer_clear(&ae->after);
        next_page(ae);
    }
}

static void on_sums(struct anti_entropy *ae, const struct message *message) {
    struct tree_sums *sums = memory_new(1, sizeof *sums);
    if (message->status == 0 &&
        tree_sums_decode(message->payload, ring_of(ae)->n_slices, sums) == 0) {
        take_sums(ae, sums);
    } else {
        give_up_member(ae);
    }
    free(sums);
}

static void on_leaf(struct anti_entropy *ae, const struct message *message) {
    struct leaf leaf;
    if (message->status == 0 && leaf_decode(message->payload, &leaf) == 0) {
        pay(ae, message->payload.size);
        take_leaf(ae, &leaf);
    } else {
        give_up_member(ae);
    }
}

bool anti_entropy_heard(struct anti_entropy *ae, const struct endpoint *from,
                        const struct message *message) {
    if (ae->reconcile != NULL) {
        return reconcile_heard(ae->reconcile, from, message);
    }
    bool waits = ae->state == AE_COMPARING || ae->state == AE_CONFIRMING || ae->state == AE_LISTING;
    uint8_t type = ae->state == AE_LISTING ? MESSAGE_LEAF : MESSAGE_TREE;
    if (!waits || ae->id == 0 || message->id != ae->id || message->type != (type | MESSAGE_REPLY) ||
        from->node != member_id(ae)) {
        return false;
    }
    ae->id = 0;
    if (ae->state == AE_LISTING) {
        on_leaf(ae, message);
    } else {
        on_sums(ae, message);
    }
    return true;
}

/* ---- time ---- */

/* Whether a member that was silent answers again: it may have missed something. */
static bool somebody_returned(struct anti_entropy *ae) {
    const struct ring *ring = ring_of(ae);
    bool any = false;
    for (uint16_t i = 0; i < ring->n_members; i++) {
        bool alive = node_alive(ae->node, ring->members[i].id);
        any |= alive && !ae->was_alive[i];
        ae->was_alive[i] = alive;
    }
    return any;
}

static void on_idle(struct anti_entropy *ae) {
    int64_t now_ns = node_now(ae->node);
    steer(ae);
    if (somebody_returned(ae) && ae->next_ns > now_ns + ANTI_ENTROPY_TICK_MS * NS_PER_MS) {
        ae->next_ns = now_ns + ANTI_ENTROPY_TICK_MS * NS_PER_MS;
    }
    if (ae->order || ae->next_ns <= now_ns) {
        begin_round(ae);
        return;
    }
    int64_t tick_ns = now_ns + ANTI_ENTROPY_TICK_MS * NS_PER_MS;
    timers_set(ae->node->timers, &ae->timer, ae->next_ns < tick_ns ? ae->next_ns : tick_ns);
}

static void on_timer(void *context) {
    struct anti_entropy *ae = context;
    switch (ae->state) {
    case AE_IDLE:
        on_idle(ae);
        break;
    case AE_SETTLING:
        send_sums(ae, true);
        break;
    case AE_PAGING:
        read_page(ae);
        break;
    case AE_COMPARING:
        if (ae->id == 0) {
            send_sums(ae, false);
        } else {
            give_up_member(ae);
        }
        break;
    case AE_CONFIRMING:
    case AE_LISTING:
        give_up_member(ae);
        break;
    case AE_MENDING:
        assert(false && "mending has a clock of its own");
        break;
    }
}

/* ---- life ---- */

struct anti_entropy *anti_entropy_new(struct node *node) {
    struct anti_entropy *ae = memory_new(1, sizeof *ae);
    const struct ring *ring = membership_ring(node->membership);
    ae->node = node;
    ae->timer = (struct timer){.fire = on_timer, .context = ae};
    ae->was_alive = memory_new(ring->n_members, sizeof *ae->was_alive);
    ae->compared = memory_new(ring->n_slices, sizeof *ae->compared);
    ae->slices = memory_new(ring->n_slices, sizeof *ae->slices);
    ae->rate = ANTI_ENTROPY_RATE_MAX / 4;
    ae->stopped = true;
    return ae;
}

void anti_entropy_free(struct anti_entropy *ae) {
    if (ae == NULL) {
        return;
    }
    timers_cancel(ae->node->timers, &ae->timer);
    reconcile_free(ae->reconcile);
    buffer_release(&ae->after);
    buffer_release(&ae->rows);
    buffer_release(&ae->cursor);
    free((void *)(uintptr_t)ae->end.data);
    free(ae->compared);
    free(ae->slices);
    free(ae->wanted);
    free(ae->ordered);
    free(ae->was_alive);
    free(ae);
}

void anti_entropy_start(struct anti_entropy *ae) {
    ae->stopped = false;
    /* Everybody counts as having been away before the first tick, so a round begins soon after. */
    ae->next_ns = node_now(ae->node) + (int64_t)ae->node->config.repair_round_ms * NS_PER_MS;
    timer_in(ae, ANTI_ENTROPY_TICK_MS);
}

void anti_entropy_stop(struct anti_entropy *ae) {
    ae->stopped = true;
    timers_cancel(ae->node->timers, &ae->timer);
    if (ae->page != NULL) {
        leaf_page_forget(ae->page);
        ae->page = NULL;
    }
    if (ae->reconcile != NULL) {
        reconcile_abort(ae->reconcile);
    }
    ae->state = AE_IDLE;
    ae->id = 0;
}

/* ---- for others ---- */

void anti_entropy_compare(struct node *node, const struct endpoint *from,
                          const struct message *message) {
    uint16_t n_slices = membership_ring(node->membership)->n_slices;
    struct asker asker = asker_of(from, message);
    struct tree_sums *theirs = memory_new(2, sizeof *theirs);
    struct tree_sums *differing = theirs + 1;
    int err = tree_sums_decode(message->payload, n_slices, theirs);
    for (uint16_t i = 0; i < theirs->n && err == 0; i++) {
        const struct slice_sum *there = &theirs->sums[i];
        struct slice_sum here;
        if (!tree_sum(&node->tree, there->slice, &here)) {
            differing->unknown[differing->n_unknown++] = there->slice;
        } else if (here.sum != there->sum || here.n_rows != there->n_rows) {
            differing->sums[differing->n++] = here;
        }
    }
    buffer_clear(&node->encoded);
    if (err == 0) {
        tree_sums_encode(differing, &node->encoded);
    } else {
        node->counters.messages_bad++;
    }
    answer(node, &asker, err, buffer_bytes(&node->encoded));
    free(theirs);
}

static void take_order(struct anti_entropy *ae, const struct repair_request *request) {
    if (request->order == REPAIR_STATUS) {
        return;
    }
    /* An order for everything swallows one for some slices, and the other way round. */
    bool all = request->order == REPAIR_ALL || (ae->order && ae->ordered == NULL);
    if (all) {
        free(ae->ordered);
        ae->ordered = NULL;
    } else if (ae->ordered == NULL) {
        ae->ordered = memory_new(ring_of(ae)->n_slices, sizeof *ae->ordered);
    }
    for (uint16_t i = 0; i < request->n_slices && !all; i++) {
        ae->ordered[request->slices[i]] = true;
    }
    ae->order = true;
    ae->order_round = ae->n_begun + 1;
    if (ae->state == AE_IDLE && !ae->stopped) {
        timer_in(ae, 0);
    }
}

void anti_entropy_control(struct node *node, const struct endpoint *from,
                          const struct message *message) {
    struct asker asker = asker_of(from, message);
    struct repair_request request = {0};
    uint16_t n_slices = membership_ring(node->membership)->n_slices;
    int err = repair_request_decode(message->payload, n_slices, &request);
    if (err != 0) {
        node->counters.messages_bad++;
        answer_status(node, &asker, err);
        return;
    }
    take_order(node->anti_entropy, &request);
    struct node_stat stats[STATS_MAX];
    struct stat_row rows[STATS_MAX];
    uint32_t n = anti_entropy_stats(node->anti_entropy, stats, STATS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = (struct stat_row){bytes_of_string(stats[i].name), stats[i].value};
    }
    buffer_clear(&node->encoded);
    stats_encode(rows, n, &node->encoded);
    answer(node, &asker, 0, buffer_bytes(&node->encoded));
}

static uint64_t ms_since(const struct anti_entropy *ae, int64_t then_ns) {
    return then_ns == 0 ? REPAIR_NEVER : (uint64_t)((node_now(ae->node) - then_ns) / NS_PER_MS);
}

/* For the member under way: by how long its slices took so far. */
static uint64_t eta_ms(const struct anti_entropy *ae) {
    uint64_t elapsed_ms = ms_since(ae, ae->round.begun_ns);
    uint32_t left = ae->round.n_differing - ae->round.n_done;
    return ae->state == AE_IDLE || ae->round.n_done == 0 ? 0 : elapsed_ms * left / ae->round.n_done;
}

uint32_t anti_entropy_stats(const struct anti_entropy *ae, struct node_stat *ret, uint32_t max) {
    const struct ae_round *round = ae->state == AE_IDLE ? &ae->last : &ae->round;
    const struct tree *tree = &ae->node->tree;
    const struct node_stat stats[] = {
        {"repair_state", (uint64_t)ae->state},
        {"repair_rounds_begun", ae->n_begun},
        {"repair_rounds_ended", ae->n_ended},
        {"repair_rounds_full", ae->n_full},
        {"repair_order_round", ae->order_round},
        {"repair_with", ae->state == AE_IDLE ? 0 : member_id(ae)},
        {"repair_slices_differing", round->n_differing},
        {"repair_slices_done", round->n_done},
        {"repair_round_rows", round->n_rows},
        {"repair_round_failed", round->n_failed},
        {"repair_round_bytes", round->bytes},
        {"repair_round_ms", ae->state == AE_IDLE ? 0 : ms_since(ae, round->begun_ns)},
        {"repair_round_incomplete", round->incomplete ? 1 : 0},
        {"repair_eta_ms", eta_ms(ae)},
        {"repair_rate", ae->rate},
        {"repair_rows_mended", ae->n_rows},
        {"repair_rows_failed", ae->n_failed},
        {"repair_bytes", ae->bytes},
        {"repair_full_ms_ago", ms_since(ae, ae->full_ns)},
        {"repair_clean_ms_ago", ms_since(ae, ae->clean_ns)},
        {"slices_unknown", (uint64_t)(tree->n_slices - tree->n_known)},
    };
    uint32_t n = sizeof stats / sizeof stats[0];
    n = n < max ? n : max;
    memcpy(ret, stats, n * sizeof *ret);
    return n;
}
