/* recount: a partition's tally made anew from its rows, when the stored one is corrupt. */
#include "node/core/recount.h"

#include <stdlib.h>
#include <string.h>

#include "node/core/condition.h"
#include "node/core/page.h"
#include "node/core/rowkey.h"
#include "shared/err.h"

enum {
    RECOUNT_WAIT_MS = 2,
    RECOUNT_REST_MS = 250, /* after a page that could not be read */
};

struct recount {
    struct work work;
    struct node *node;
    struct tally tally;
    struct rows_hold hold; /* the tally: held all the while, so that it stays as it is */
    struct timer timer;
    bool resting;     /* rows may be mended meanwhile */
    uint64_t n_asked; /* commits: the rows are read when these have ended... */
    uint32_t doubts;  /* ...and again if the tally has more of them then */
    uint8_t cursor[SORT_KEY_MAX];
    size_t cursor_size;
    struct bytes key;
    uint8_t bytes[];
};

static void recount_drop(struct work *work) {
    struct recount *recount = (struct recount *)(void *)work;
    timers_cancel(recount->node->timers, &recount->timer);
    rows_release(&recount->hold);
    free(recount);
}

static void recount_end(struct recount *recount) {
    struct node *node = recount->node;
    work_end(node, &recount->work);
    recount_drop(&recount->work);
    node_check_idle(node);
}

static void on_committed(void *context, int status) {
    struct recount *recount = context;
    recount->node->counters.commit_errors += status != 0 ? 1 : 0;
    recount_end(recount);
}

static void next_page(struct recount *recount);

static void wait_for_commits(struct recount *recount) {
    struct node *node = recount->node;
    if (!rows_commits_ended(node->rows, recount->n_asked)) {
        timers_set(node->timers, &recount->timer, node_now(node) + RECOUNT_WAIT_MS * NS_PER_MS);
        return;
    }
    recount->tally = (struct tally){0};
    recount->cursor_size = 0;
    next_page(recount);
}

/* What is on its way to the disk is to be counted too. */
static void count(struct recount *recount) {
    recount->n_asked = rows_commits_asked(recount->node->rows);
    recount->doubts = rows_doubts(rows_held(&recount->hold, 0));
    wait_for_commits(recount);
}

static void on_timer(void *context) {
    struct recount *recount = context;
    if (!recount->resting) {
        wait_for_commits(recount);
    } else if (recount->node->state == NODE_SERVING) {
        recount->resting = false;
        count(recount);
    } else {
        recount_end(recount);
    }
}

/* A row has to be mended before: if counting went on it could not be, and whoever looks at the
 * partition would begin to count. */
static void rest(struct recount *recount) {
    struct node *node = recount->node;
    recount->resting = true;
    timers_set(node->timers, &recount->timer, node_now(node) + RECOUNT_REST_MS * NS_PER_MS);
}

static void store_tally(struct recount *recount) {
    struct node *node = recount->node;
    struct row *row = rows_held(&recount->hold, 0);
    if (rows_doubts(row) != recount->doubts) {
        count(recount);
        return;
    }
    struct rows_commit *commit = rows_commit_new(node->rows, 1);
    buffer_clear(&node->encoded);
    tally_put(&recount->tally, &node->encoded);
    rows_commit_reckon(commit, row, blob_new(buffer_bytes(&node->encoded)));
    rows_commit_start(commit, false, on_committed, recount);
    node->counters.recounts++;
}

static void on_page(void *context, int status, struct bytes payload) {
    struct recount *recount = context;
    struct versions *versions = &recount->node->scratch[0];
    struct scan_reply page;
    if (status != 0 || scan_reply_decode(payload, &page) != 0) {
        rest(recount);
        return;
    }
    for (uint32_t i = 0; i < page.n_rows; i++) {
        versions_decode(page.rows[i].versions, versions);
        tally_follow(&recount->tally, false, versions);
    }
    bool more = page.more;
    memcpy(recount->cursor, page.cursor.data, more ? page.cursor.size : 0);
    recount->cursor_size = more ? page.cursor.size : 0;
    scan_reply_release(&page);
    if (more) {
        next_page(recount);
    } else {
        store_tally(recount);
    }
}

static void next_page(struct recount *recount) {
    struct scan_request request = {.after = bytes_of(recount->cursor, recount->cursor_size),
                                   .rows_max = SCAN_ROWS_MAX,
                                   .bytes_max = SCAN_BYTES_MAX};
    struct page_wish wish = {recount->key, &request, false, NULL};
    if (page_read(recount->node, &wish, on_page, recount) == NULL) {
        recount_end(recount);
    }
}

/* Corrupt is how it was loaded; somebody else's recount may have mended it meanwhile. */
static void on_tally(void *context) {
    struct recount *recount = context;
    if (rows_held(&recount->hold, 0)->newest_status == ERR_CORRUPT) {
        count(recount);
    } else {
        recount_end(recount);
    }
}

void recount_spoilt(void *context, struct bytes tally_key) {
    struct node *node = context;
    struct bytes partition_key;
    if (rowkey_tally(tally_key, &partition_key) == 0 && node->state <= NODE_SERVING) {
        recount_start(node, partition_key);
    }
}

static const struct recount *recount_of(const struct node *node, struct bytes partition_key) {
    for (const struct work *work = node->works; work != NULL; work = work->next) {
        const struct recount *recount = (const struct recount *)(const void *)work;
        if (work->drop == recount_drop && bytes_equal(recount->key, partition_key)) {
            return recount;
        }
    }
    return NULL;
}

bool recount_under_way(const struct node *node, struct bytes partition_key) {
    const struct recount *recount = recount_of(node, partition_key);
    return recount != NULL && !recount->resting;
}

void recount_start(struct node *node, struct bytes partition_key) {
    if (recount_of(node, partition_key) != NULL) {
        return;
    }
    struct recount *recount = memory_new(1, sizeof *recount + partition_key.size);
    if (!work_begin(node, &recount->work, partition_key.size)) {
        free(recount);
        return;
    }
    recount->work.drop = recount_drop;
    recount->node = node;
    recount->timer = (struct timer){.fire = on_timer, .context = recount};
    bytes_store(recount->bytes, partition_key);
    recount->key = bytes_of(recount->bytes, partition_key.size);
    rows_hold_init(&recount->hold, 1, on_tally, recount);
    buffer_clear(&node->key);
    rowkey_put_tally(&node->key, ring_slice(membership_ring(node->membership), partition_key),
                     partition_key);
    rows_hold_add(node->rows, &recount->hold, buffer_bytes(&node->key));
    if (rows_hold_wait(&recount->hold)) {
        on_tally(recount);
    }
}
