/* coordinator_scan: one page of a partition at the level asked, repaired where replicas differ. */
#include <stdlib.h>
#include <string.h>

#include "node/core/condition.h"
#include "node/core/coordinator_read.h"
#include "node/core/page.h"
#include "node/core/page_merge.h"
#include "node/core/page_show.h"
#include "node/core/repair.h"
#include "shared/err.h"

/* Replicas are asked for whole pages (page.h) whatever the client wants to see of them. Pages that
 * differ may end at different rows: each is complete up to its cursor only, so the merged page ends
 * at the smallest cursor of those that have more. */
struct scan {
    struct quorum_read read;
    uint32_t rows_max;
    uint32_t bytes_max;
    struct page_view view;
    struct page_read *reading; /* NULL once answered */
    struct bytes page;         /* owned */
};

static struct scan *scan_from(struct request *request) {
    return (struct scan *)(void *)request;
}

/* ---- what the client sees ---- */

static void scan_answer(struct quorum_read *read, struct scan_reply *page) {
    struct buffer arena = {0};
    struct buffer *encoded = &read->request.node->encoded;
    page_show(read->request.node, &scan_from(&read->request)->view, page, &arena);
    page->tally = read->tally;
    page->digest = (struct bytes){0}; /* it is one replica's */
    buffer_clear(encoded);
    scan_reply_encode(page, encoded);
    request_answer(&read->request, 0, buffer_bytes(encoded));
    buffer_release(&arena);
}

static void scan_agreed(struct quorum_read *read) {
    struct scan_reply page;
    scan_reply_decode(read->local, &page);
    scan_answer(read, &page);
    scan_reply_release(&page);
    request_end(&read->request);
}

/* ---- pages that differ ---- */

/* Who must be told of a row: bit 0 this node, bit 1 + i peer i. */
enum { SELF = 1u << 0 };

static uint32_t peer_bit(uint32_t index) {
    return 2u << index;
}

/* For each page in the merge, who has it; and those whose page could not be read at all. */
struct sources {
    uint32_t of_page[PAGE_MERGE_MAX];
    uint32_t broken;
};

static void add_sources(struct quorum_read *read, struct page_merge *merge,
                        struct sources *sources) {
    *sources = (struct sources){0};
    if (read->local_status == 0) {
        sources->of_page[merge->n] = SELF;
        page_merge_add(merge, read->local);
    } else if (read->local_status == ERR_CORRUPT) {
        sources->broken = SELF;
    }
    for (uint32_t i = 0; i < read->request.n_peers; i++) {
        const struct peer *peer = &read->request.peers[i];
        if (peer->state == PEER_DONE && peer->same) {
            sources->of_page[0] |= peer_bit(i);
        } else if (peer->state == PEER_DONE) {
            sources->of_page[merge->n] = peer_bit(i);
            page_merge_add(merge, peer->reply);
        } else if (peer->broken) {
            sources->broken |= peer_bit(i);
        }
    }
    if (!quorum_read_is_whole(read)) {
        sources->broken = 0; /* they would take for everything what is not */
    }
}

static uint32_t who_lacks(const struct sources *sources, uint32_t lacking) {
    uint32_t who = sources->broken;
    for (uint32_t i = 0; i < PAGE_MERGE_MAX; i++) {
        who |= (lacking & 1u << i) != 0 ? sources->of_page[i] : 0;
    }
    return who;
}

/* Brings one replica the rows that it lacks, many in a message. */
static void mend(struct quorum_read *read, const struct scan_reply *page, const uint8_t *lacking,
                 uint32_t who) {
    struct request *request = &read->request;
    struct repair repair = {
        .node = request->node, .partition_key = request->key, .whole = quorum_read_is_whole(read)};
    for (uint32_t i = 0; i < request->n_peers; i++) {
        repair.peer = who == peer_bit(i) ? request->peers[i].node : repair.peer;
    }
    for (uint32_t i = 0; i < page->n_rows; i++) {
        if ((lacking[i] & who) != 0) {
            repair_add(&repair, page->rows[i].sort_key, page->rows[i].versions);
        }
    }
    repair_send(&repair);
}

static void mend_all(struct quorum_read *read, const struct scan_reply *page,
                     const uint8_t *lacking) {
    mend(read, page, lacking, SELF);
    for (uint32_t i = 0; i < read->request.n_peers; i++) {
        mend(read, page, lacking, peer_bit(i));
    }
}

/* Merged rows can be more than was asked for: the rest is left for the next page. A page does not
 * end at the empty sort key. */
static bool page_full(const struct scan *scan, const struct scan_reply *page, size_t size) {
    return page->cursor.size > 0 && (page->n_rows >= scan->rows_max || size >= scan->bytes_max);
}

static void scan_fetched(struct quorum_read *read) {
    struct page_merge merge = {0};
    struct sources sources;
    struct buffer arena = {0};
    uint32_t rows_max, lacks;
    size_t bytes_max;
    add_sources(read, &merge, &sources);
    page_merge_bounds(&merge, &rows_max, &bytes_max);
    buffer_extend(&arena, bytes_max);
    buffer_clear(&arena);
    struct scan_reply page = {.rows = memory_new(rows_max, sizeof *page.rows)};
    uint8_t *lacking = memory_new(rows_max, 1);
    while (!page_full(scan_from(&read->request), &page, arena.size) &&
           page_merge_next(&merge, &arena, &page.rows[page.n_rows], &lacks)) {
        lacking[page.n_rows] = (uint8_t)who_lacks(&sources, lacks);
        page.cursor = page.rows[page.n_rows++].sort_key;
    }
    bool all = !page_merge_has_next(&merge);
    page.more = merge.more || !all;
    page.cursor = merge.more && all ? merge.end : page.cursor;
    if (!read->pending) {
        mend_all(read, &page, lacking);
    }
    scan_answer(read, &page);
    scan_reply_release(&page);
    free(lacking);
    page_merge_release(&merge);
    buffer_release(&arena);
    request_end(&read->request);
}

/* ---- the local page and those of others ---- */

static void on_page(void *context, int status, struct bytes payload) {
    struct scan *scan = context;
    scan->reading = NULL;
    if (status == 0) {
        struct tally tally = tally_of(bytes_of(payload.data, 16));
        quorum_read_learn_tally(&scan->read, &tally);
        page_digest(payload, scan->read.digest);
        scan->page = bytes_copy(payload);
    }
    quorum_read_local(&scan->read, status, scan->page);
}

static void scan_begin(struct request *request) {
    struct scan *scan = scan_from(request);
    struct scan_request asked;
    int err = scan_request_decode(request->payload, &asked);
    if (err != 0) {
        request_answer(request, err, bytes_of(NULL, 0));
        request_end(request);
        return;
    }
    scan->rows_max = asked.rows_max;
    scan->bytes_max = asked.bytes_max;
    scan->view.flags = request->flags;
    scan->view.request.value_at = asked.value_at;
    scan->view.request.value_max = asked.value_max;
    scan->read.ask_type = MESSAGE_READ_SCAN;
    scan->read.agreed = scan_agreed;
    scan->read.fetched = scan_fetched;
    if (quorum_read_begin(&scan->read)) {
        bool strict = (request->flags & MESSAGE_STRICT) != 0;
        struct page_wish wish = {request->key, &asked, false, strict ? NULL : &scan->read.pending};
        scan->reading = page_read(request->node, &wish, on_page, scan);
        if (scan->reading == NULL) {
            quorum_read_local(&scan->read, ERR_BUSY, bytes_of(NULL, 0));
        }
    }
}

/* Whether every row of a fetched page is sound. */
static bool page_sound(struct node *node, const struct scan_reply *page) {
    for (uint32_t i = 0; i < page->n_rows; i++) {
        if (versions_decode(page->rows[i].versions, &node->scratch[0]) != 0) {
            return false;
        }
    }
    return true;
}

static void scan_heard(struct request *request, struct peer *peer, const struct message *message) {
    struct scan *scan = scan_from(request);
    struct scan_reply reply = {0};
    bool full = request->state == REQUEST_FETCHING;
    scan->read.pending |= (message->flags & MESSAGE_PENDING) != 0;
    if (peer->status == 0) {
        bool sound =
            scan_reply_decode(message->payload, &reply) == 0 &&
            (full ? page_sound(request->node, &reply) : reply.digest.size == sizeof peer->digest);
        peer->status = sound ? 0 : ERR_INVALID;
    }
    if (peer->status == 0) {
        quorum_read_learn_tally(&scan->read, &reply.tally);
        if (full) {
            peer->reply = bytes_copy(message->payload);
        } else {
            memcpy(peer->digest, reply.digest.data, sizeof peer->digest);
        }
    }
    scan_reply_release(&reply);
    quorum_read_heard(&scan->read, peer);
}

static void scan_release(struct request *request) {
    struct scan *scan = scan_from(request);
    if (scan->reading != NULL) {
        page_forget(scan->reading);
    }
    free((void *)(uintptr_t)scan->page.data);
}

const struct request_kind coordinator_scan = {
    .type = MESSAGE_SCAN,
    .size = sizeof(struct scan),
    .begin = scan_begin,
    .heard = scan_heard,
    .expired = quorum_read_expired,
    .release = scan_release,
};
