/* coordinator_scan: one page of a partition at the level asked, repaired where replicas differ. */
#include <stdlib.h>
#include <string.h>

#include "node/core/apply.h"
#include "node/core/condition.h"
#include "node/core/coordinator_read.h"
#include "node/core/page.h"
#include "shared/err.h"

/* Replicas are asked for whole pages (page.h) whatever the client wants to see of them. Pages that
 * differ may end at different rows: each is complete up to its cursor only, so the merged page ends
 * at the smallest cursor of those that have more. */
struct scan {
    struct quorum_read read;
    uint32_t rows_max;
    uint32_t bytes_max;
    struct page_read *reading; /* NULL once answered */
    struct bytes page;         /* owned */
};

enum { PAGES_MAX = REQUEST_PEERS_MAX + 1 };

/* The pages being merged, and how far each was read. */
struct merging {
    struct scan_reply pages[PAGES_MAX];
    struct peer *peers[PAGES_MAX]; /* NULL: this node's own */
    uint32_t at[PAGES_MAX];
    uint32_t n;
    bool more;
    struct bytes end; /* when `more`: the last sort key that all pages know about */
};

static struct scan *scan_from(struct request *request) {
    return (struct scan *)(void *)request;
}

/* ---- what the client sees ---- */

/* The row without its values, appended to `arena`, whose memory must not move. */
static struct bytes strip_values(struct versions *versions, struct buffer *arena) {
    for (uint32_t i = 0; i < versions->n_siblings; i++) {
        versions->siblings[i].value = bytes_of(NULL, 0);
    }
    size_t at = arena->size;
    versions_encode(versions, arena);
    return bytes_of(arena->data + at, arena->size - at);
}

/* Leaves out dead rows and values as the client asked. `arena` gets stripped rows. */
static void show(const struct request *request, struct scan_reply *page, struct buffer *arena) {
    struct versions *versions = &request->node->scratch[0];
    bool tombstones = (request->flags & MESSAGE_TOMBSTONES) != 0;
    bool keys_only = (request->flags & MESSAGE_KEYS_ONLY) != 0;
    size_t size = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; keys_only && i < page->n_rows; i++) {
        size += page->rows[i].versions.size;
    }
    buffer_extend(arena, size);
    buffer_clear(arena);
    for (uint32_t i = 0; i < page->n_rows; i++) {
        struct scan_row row = page->rows[i];
        versions_decode(row.versions, versions);
        if (!tombstones && versions_live(versions) == 0) {
            continue;
        }
        if (keys_only) {
            row.versions = strip_values(versions, arena);
        }
        page->rows[n++] = row;
    }
    page->n_rows = n;
}

static void scan_answer(struct quorum_read *read, struct scan_reply *page) {
    struct buffer arena = {0};
    struct buffer *encoded = &read->request.node->encoded;
    show(&read->request, page, &arena);
    page->tally = read->tally;
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

/* ---- merging pages ---- */

static void merging_add(struct merging *m, struct bytes payload, struct peer *peer) {
    struct scan_reply *page = &m->pages[m->n];
    scan_reply_decode(payload, page);
    m->peers[m->n++] = peer;
    if (page->more && (!m->more || bytes_compare(page->cursor, m->end) < 0)) {
        m->end = page->cursor;
    }
    m->more = m->more || page->more;
}

static void merging_begin(struct quorum_read *read, struct merging *m) {
    *m = (struct merging){0};
    if (read->local_status == 0) {
        merging_add(m, read->local, NULL);
    }
    for (uint32_t i = 0; i < read->request.n_peers; i++) {
        struct peer *peer = &read->request.peers[i];
        if (peer->state == PEER_DONE && !peer->same) {
            merging_add(m, peer->reply, peer);
        }
    }
}

static void merging_end(struct merging *m) {
    for (uint32_t i = 0; i < m->n; i++) {
        scan_reply_release(&m->pages[i]);
    }
}

/* The next row of a page; NULL when it has none up to the end. */
static const struct scan_row *merging_peek(const struct merging *m, uint32_t i) {
    if (m->at[i] >= m->pages[i].n_rows) {
        return NULL;
    }
    const struct scan_row *row = &m->pages[i].rows[m->at[i]];
    return m->more && bytes_compare(row->sort_key, m->end) > 0 ? NULL : row;
}

/* The lowest next sort key; false when all pages are through. */
static bool merging_next_key(const struct merging *m, struct bytes *ret) {
    bool found = false;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct scan_row *row = merging_peek(m, i);
        if (row != NULL && (!found || bytes_compare(row->sort_key, *ret) < 0)) {
            *ret = row->sort_key;
            found = true;
        }
    }
    return found;
}

static bool has_next(const struct merging *m, uint32_t i, struct bytes key) {
    const struct scan_row *row = merging_peek(m, i);
    return row != NULL && bytes_equal(row->sort_key, key);
}

/* Joins what all pages have of the row into `arena`; the size of what was appended. */
static size_t merge_row_at(const struct merging *m, struct node *node, struct bytes key,
                           struct buffer *arena) {
    struct versions *merged = &node->scratch[0];
    struct versions *other = &node->scratch[1];
    versions_decode(bytes_of(NULL, 0), merged);
    for (uint32_t i = 0; i < m->n; i++) {
        if (has_next(m, i, key)) {
            versions_decode(merging_peek(m, i)->versions, other);
            versions_merge(merged, other);
        }
    }
    size_t at = arena->size;
    versions_encode(merged, arena);
    return arena->size - at;
}

static void repair_row(struct quorum_read *read, const struct merging *m, uint32_t i,
                       struct bytes key, struct bytes versions) {
    struct request *request = &read->request;
    const struct peer *peer = m->peers[i];
    if (peer != NULL) {
        apply_repair_peer(request->node, peer->node, request->key, key, versions);
        return;
    }
    apply_repair(request->node, request->key, key, versions);
    for (uint32_t j = 0; j < request->n_peers; j++) {
        if (request->peers[j].state == PEER_DONE && request->peers[j].same) {
            apply_repair_peer(request->node, request->peers[j].node, request->key, key, versions);
        }
    }
}

/* Repairs whoever lacks something of the row, and moves all pages past it. */
static void pass_row(struct quorum_read *read, struct merging *m, struct bytes key,
                     struct bytes versions) {
    for (uint32_t i = 0; i < m->n; i++) {
        bool has = has_next(m, i, key);
        if (!has || !bytes_equal(merging_peek(m, i)->versions, versions)) {
            repair_row(read, m, i, key, versions);
        }
    }
    /* Replicas whose page could not be read at all. */
    if (read->local_status == ERR_CORRUPT) {
        apply_repair(read->request.node, read->request.key, key, versions);
    }
    for (uint32_t i = 0; i < read->request.n_peers; i++) {
        struct peer *peer = &read->request.peers[i];
        if (peer->broken) {
            apply_repair_peer(read->request.node, peer->node, read->request.key, key, versions);
        }
    }
    for (uint32_t i = 0; i < m->n; i++) {
        if (has_next(m, i, key)) {
            m->at[i]++;
        }
    }
}

static uint32_t merging_rows_max(const struct merging *m, size_t *ret_size) {
    uint32_t n = 0;
    *ret_size = 0;
    for (uint32_t i = 0; i < m->n; i++) {
        n += m->pages[i].n_rows;
        for (uint32_t j = 0; j < m->pages[i].n_rows; j++) {
            *ret_size += m->pages[i].rows[j].versions.size;
        }
    }
    return n;
}

/* Merged rows can be more than was asked for: the rest is left for the next page. A page does not
 * end at the empty sort key. */
static bool page_full(const struct scan *scan, const struct scan_reply *page, size_t size) {
    return page->cursor.size > 0 && (page->n_rows >= scan->rows_max || size >= scan->bytes_max);
}

static void scan_fetched(struct quorum_read *read) {
    struct merging m;
    struct buffer arena = {0};
    size_t size;
    merging_begin(read, &m);
    struct scan_reply page = {.rows = memory_new(merging_rows_max(&m, &size), sizeof *page.rows)};
    /* A merged row is no larger than the rows it is made of: the arena does not move. */
    buffer_extend(&arena, size);
    buffer_clear(&arena);
    struct bytes key;
    bool more_rows = merging_next_key(&m, &key);
    while (more_rows && !page_full(scan_from(&read->request), &page, arena.size)) {
        size_t at = arena.size;
        size_t n = merge_row_at(&m, read->request.node, key, &arena);
        struct bytes versions = bytes_of(arena.data + at, n);
        page.rows[page.n_rows++] = (struct scan_row){key, versions};
        page.cursor = key;
        pass_row(read, &m, key, versions);
        more_rows = merging_next_key(&m, &key);
    }
    page.more = m.more || more_rows;
    if (!more_rows && m.more) {
        page.cursor = m.end;
    }
    scan_answer(read, &page);
    scan_reply_release(&page);
    merging_end(&m);
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
    scan->read.ask_type = MESSAGE_READ_SCAN;
    scan->read.agreed = scan_agreed;
    scan->read.fetched = scan_fetched;
    if (quorum_read_begin(&scan->read)) {
        scan->reading = page_read(request->node, request->key, &asked, on_page, scan);
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
