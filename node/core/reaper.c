/* reaper: removes tombstones that every replica has held for long enough. */
#include "node/core/reaper.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/leaf_page.h"
#include "node/core/plant.h"
#include "node/core/reap.h"
#include "node/core/recovery.h"

enum reaper_state {
    REAPER_IDLE = 0,
    REAPER_PROBING, /* members that hold no replica, for hints */
    REAPER_PAGING,
    REAPER_ASKING,
    REAPER_REMOVING,
};

struct reaper {
    struct node *node;
    struct timer timer;
    enum reaper_state state;
    bool stopped;
    uint16_t slice; /* under way, or the next to look at */
    int64_t pass_ns, ready_ns;
    struct leaf_page *page;
    struct buffer rows, after; /* tombstones of the page; where the next page begins */
    bool more;
    struct reap_request request;     /* borrows `rows` */
    uint8_t verdicts[REAP_ROWS_MAX]; /* the lowest of all replicas */
    uint64_t id;                     /* of what is out */
    bool *asked;                     /* by member index: it has not answered yet */
    uint32_t n_asked;                /* this node itself included */
    bool waits_here;                 /* what this node itself was asked is under way */
};

static void send_request(struct reaper *reaper, uint8_t order);

static const struct ring *ring_of(const struct reaper *reaper) {
    return membership_ring(reaper->node->membership);
}

static void timer_in(struct reaper *reaper, int64_t ms) {
    timers_set(reaper->node->timers, &reaper->timer, node_now(reaper->node) + ms * NS_PER_MS);
}

/* ---- slices ---- */

static bool owns(const struct reaper *reaper, uint16_t slice) {
    const struct ring *ring = ring_of(reaper);
    return ring->members[ring_preference(ring, slice)[0]].id == reaper->node->config.id;
}

/* All members answer, and the replicas trust themselves. */
static bool all_there(const struct reaper *reaper, uint16_t slice) {
    const struct ring *ring = ring_of(reaper);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        uint16_t id = ring->members[i].id;
        bool replica = ring_is_replica(ring, slice, id);
        if (replica ? !node_serves(reaper->node, id, slice) : !node_alive(reaper->node, id)) {
            return PLANTED(REAP_EARLY);
        }
    }
    return true;
}

static int64_t pass_length_ms(const struct reaper *reaper) {
    int64_t ms = (int64_t)reaper->node->config.reap_hold_ms / REAPER_PASSES;
    return ms < REAPER_PASS_MS ? ms : REAPER_PASS_MS;
}

/* The turn of the slice is over, for whatever reason. */
static void end_slice(struct reaper *reaper) {
    reaper->state = REAPER_IDLE;
    reaper->id = 0;
    reaper->slice++;
    if (!reaper->stopped) {
        timer_in(reaper, 0);
    }
}

static void begin_slice(struct reaper *reaper) {
    const struct ring *ring = ring_of(reaper);
    while (reaper->slice < ring->n_slices &&
           !(owns(reaper, reaper->slice) && tree_n_dead(&reaper->node->tree, reaper->slice) > 0 &&
             all_there(reaper, reaper->slice))) {
        reaper->slice++;
    }
    if (reaper->slice >= ring->n_slices) {
        reaper->slice = 0;
        reaper->pass_ns = node_now(reaper->node) + pass_length_ms(reaper) * NS_PER_MS;
        timers_set(reaper->node->timers, &reaper->timer, reaper->pass_ns);
        return;
    }
    buffer_clear(&reaper->after);
    reaper->request.n = 0;
    reaper->state = REAPER_PROBING;
    send_request(reaper, REAP_ASK);
}

/* ---- requests ---- */

static void all_answered(struct reaper *reaper);

static void answered(struct reaper *reaper, const uint8_t *verdicts) {
    for (uint16_t i = 0; i < reaper->request.n; i++) {
        if (verdicts[i] < reaper->verdicts[i]) {
            reaper->verdicts[i] = verdicts[i];
        }
    }
    assert(reaper->n_asked > 0);
    if (--reaper->n_asked == 0) {
        all_answered(reaper);
    }
}

static void on_here(void *context, int status, const uint8_t *verdicts, uint16_t n) {
    struct reaper *reaper = context;
    (void)n;
    reaper->waits_here = false;
    if (reaper->id == 0) {
        return; /* given up meanwhile */
    }
    if (status != 0) {
        end_slice(reaper);
    } else {
        answered(reaper, verdicts);
    }
}

bool reaper_heard(struct reaper *reaper, const struct endpoint *from,
                  const struct message *message) {
    int index = ring_member_index(ring_of(reaper), from->node);
    if (message->type != (MESSAGE_REAP | MESSAGE_REPLY) || message->id != reaper->id ||
        reaper->id == 0 || index < 0 || !reaper->asked[index]) {
        return false;
    }
    uint8_t verdicts[REAP_ROWS_MAX];
    reaper->asked[index] = false;
    if (message->status != 0 ||
        reap_reply_decode(message->payload, reaper->request.n, verdicts) != 0) {
        end_slice(reaper);
    } else {
        answered(reaper, verdicts);
    }
    return true;
}

/* Who is asked: without rows the members that hold no replica, else those that do. */
static bool is_asked(const struct reaper *reaper, uint16_t id) {
    bool replica = ring_is_replica(ring_of(reaper), reaper->slice, id);
    return id != reaper->node->config.id && replica == (reaper->state != REAPER_PROBING);
}

/* False when somebody could not be sent to. */
static bool ask_others(struct reaper *reaper, struct bytes payload) {
    const struct ring *ring = ring_of(reaper);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct message message = {.type = MESSAGE_REAP,
                                  .id = reaper->id,
                                  .payload = payload,
                                  .budget_ms = REAPER_REPLY_MS};
        reaper->asked[i] = is_asked(reaper, ring->members[i].id);
        bool early = PLANTED(REAP_EARLY) && !node_alive(reaper->node, ring->members[i].id);
        if (!reaper->asked[i] || early) {
            continue;
        }
        if (node_ask(reaper->node, ring->members[i].id, &message) != 0) {
            return false;
        }
        reaper->n_asked++;
    }
    return true;
}

static void send_request(struct reaper *reaper, uint8_t order) {
    struct buffer payload = {0};
    assert(!reaper->waits_here);
    reaper->request.order = order;
    reaper->request.slice = reaper->slice;
    memset(reaper->verdicts, REAP_REMOVED, sizeof reaper->verdicts);
    reap_request_encode(&reaper->request, &payload);
    reaper->id = node_request_id(reaper->node);
    reaper->n_asked = 1; /* this node */
    timer_in(reaper, REAPER_REPLY_MS);
    bool sent = ask_others(reaper, buffer_bytes(&payload));
    reaper->waits_here = sent;
    if (!sent || reap_here(reaper->node, buffer_bytes(&payload), on_here, reaper) != 0) {
        reaper->waits_here = false;
        end_slice(reaper);
    }
    buffer_release(&payload);
}

/* ---- pages ---- */

/* The tombstones that are old enough, as a request. */
static void collect(struct reaper *reaper, const struct leaf *leaf) {
    struct reap_request *request = &reaper->request;
    const struct env *env = reaper->node->env;
    uint64_t age_ns = (uint64_t)reaper->node->config.reap_age_ms * (uint64_t)NS_PER_MS;
    uint64_t now_ns = env->wall_ns(env->self);
    buffer_clear(&reaper->rows);
    buffer_put_bytes(&reaper->rows, leaf->rows);
    struct bytes left = buffer_bytes(&reaper->rows);
    struct leaf_row row;
    request->n = 0;
    while (request->n < REAP_ROWS_MAX && leaf_next(&left, &row)) {
        if (row.flags == LEAF_DEAD && row.stamp_ns + age_ns <= now_ns) {
            request->rows[request->n++] = (struct reap_row){row.key, row.clock};
        }
    }
}

static void next_page(struct reaper *reaper) {
    if (!reaper->more) {
        end_slice(reaper);
        return;
    }
    int64_t now_ns = node_now(reaper->node);
    reaper->state = REAPER_PAGING;
    reaper->id = 0;
    timers_set(reaper->node->timers, &reaper->timer,
               reaper->ready_ns > now_ns ? reaper->ready_ns : now_ns);
}

static void on_page(void *context, int status, const struct leaf *leaf, size_t size) {
    struct reaper *reaper = context;
    reaper->page = NULL;
    reaper->ready_ns =
        node_now(reaper->node) + (int64_t)((uint64_t)size * 1000000000 / REAPER_BYTES_PER_S);
    if (status != 0 || !all_there(reaper, reaper->slice)) {
        end_slice(reaper);
        return;
    }
    reaper->more = leaf->more;
    buffer_clear(&reaper->after);
    buffer_put_bytes(&reaper->after, leaf->cursor);
    collect(reaper, leaf);
    if (reaper->request.n == 0) {
        next_page(reaper);
        return;
    }
    reaper->state = REAPER_ASKING;
    send_request(reaper, REAP_ASK);
}

static void read_page(struct reaper *reaper) {
    struct leaf_request request = {
        .slice = reaper->slice, .rows_max = REAP_ROWS_MAX, .after = buffer_bytes(&reaper->after)};
    timers_cancel(reaper->node->timers, &reaper->timer);
    reaper->page = leaf_page_read(reaper->node, &request, on_page, reaper);
    if (reaper->page == NULL) {
        end_slice(reaper);
    }
}

/* Keeps those rows of the request of which all replicas are ready. */
static void keep_ready(struct reaper *reaper) {
    struct reap_request *request = &reaper->request;
    uint16_t n = 0;
    for (uint16_t i = 0; i < request->n; i++) {
        if (reaper->verdicts[i] >= REAP_READY) {
            request->rows[n++] = request->rows[i];
        }
    }
    request->n = n;
}

static void all_answered(struct reaper *reaper) {
    switch (reaper->state) {
    case REAPER_PROBING:
        reaper->more = true;
        next_page(reaper);
        break;
    case REAPER_ASKING:
        keep_ready(reaper);
        if (reaper->request.n > 0) {
            reaper->state = REAPER_REMOVING;
            send_request(reaper, REAP_REMOVE);
        } else {
            next_page(reaper);
        }
        break;
    default:
        next_page(reaper);
        break;
    }
}

/* ---- life ---- */

static void on_timer(void *context) {
    struct reaper *reaper = context;
    if (reaper->waits_here && reaper->state == REAPER_IDLE) {
        timer_in(reaper, REAPER_REPLY_MS); /* of a slice that was given up */
    } else if (reaper->state == REAPER_IDLE) {
        begin_slice(reaper);
    } else if (reaper->state == REAPER_PAGING) {
        read_page(reaper);
    } else {
        end_slice(reaper); /* somebody did not answer */
    }
}

struct reaper *reaper_new(struct node *node) {
    struct reaper *reaper = memory_new(1, sizeof *reaper);
    reaper->node = node;
    reaper->stopped = true;
    reaper->timer = (struct timer){.fire = on_timer, .context = reaper};
    reaper->asked = memory_new(ring_of(reaper)->n_members, sizeof *reaper->asked);
    return reaper;
}

void reaper_free(struct reaper *reaper) {
    timers_cancel(reaper->node->timers, &reaper->timer);
    buffer_release(&reaper->rows);
    buffer_release(&reaper->after);
    free(reaper->asked);
    free(reaper);
}

void reaper_start(struct reaper *reaper) {
    if (reaper->node->config.reap_hold_ms > 0 && reaper->node->config.repair_round_ms > 0) {
        reaper->stopped = false;
        timer_in(reaper, pass_length_ms(reaper));
    }
}

void reaper_stop(struct reaper *reaper) {
    reaper->stopped = true;
    timers_cancel(reaper->node->timers, &reaper->timer);
    if (reaper->page != NULL) {
        leaf_page_forget(reaper->page);
        reaper->page = NULL;
    }
    reaper->state = REAPER_IDLE;
    reaper->id = 0;
}
