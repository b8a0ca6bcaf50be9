/* tree_build: counts the slices of the tree that are not known, by scanning their rows. */
#include "node/core/tree_build.h"

#include <stdlib.h>

#include "node/core/rowkey.h"
#include "node/core/scrub.h"

struct tree_build {
    struct work work; /* while a scan is out */
    struct node *node;
    struct timer timer;
    struct disk_scan scan;
    struct buffer keys; /* first and before of the scan */
    bool stopped;
};

/* The struct is the node's, not the work's. */
static void build_drop(struct work *work) {
    (void)work;
}

static void pause_ns(struct tree_build *build, int64_t ns) {
    if (!build->stopped) {
        timers_set(build->node->timers, &build->timer, node_now(build->node) + ns);
    }
}

static uint64_t cost_of(const struct disk_row *rows, uint32_t n) {
    uint64_t cost = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t size = rows[i].key.size + rows[i].value.size;
        cost += size > TREE_BUILD_ROW_COST ? size : TREE_BUILD_ROW_COST;
    }
    return cost;
}

static void note_in_flight(void *context, const struct row *row) {
    tree_in_flight(context, row->key, blob_bytes(row->durable), row->durable_status == 0);
}

/* Not left to the scrub, which comes by later: until then each change has the slice counted. */
static void mend_unsound(struct node *node, const struct disk_row *rows, uint32_t n) {
    struct bytes versions;
    for (uint32_t i = 0; i < n; i++) {
        if (blob_check(rows[i].value, &versions) != 0) {
            scrub_mend(node, rows[i].key);
        }
    }
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows, uint32_t n,
                       bool more) {
    struct tree_build *build = scan->context;
    struct node *node = build->node;
    struct tree *tree = &node->tree;
    int64_t ns = TREE_BUILD_RETRY_MS * NS_PER_MS;
    if (tree->counting && status == 0) {
        rows_in_flight(node->rows, note_in_flight, tree);
        tree_count_page(tree, rows, n, more);
        if (tree->met_unsound) {
            mend_unsound(node, rows, n);
        }
        ns = (int64_t)(cost_of(rows, n) * 1000000000 / TREE_BUILD_BYTES_PER_S);
    } else if (tree->counting) {
        tree_count_end(tree);
    }
    work_end(node, &build->work);
    pause_ns(build, ns);
    node_check_idle(node);
}

static void scan_page(struct tree_build *build) {
    struct node *node = build->node;
    struct tree *tree = &node->tree;
    struct buffer *keys = &build->keys;
    buffer_clear(keys);
    if (tree->cursor.size > 0) {
        buffer_put_bytes(keys, buffer_bytes(&tree->cursor));
        buffer_put_u8(keys, 0);
    } else {
        rowkey_put_slice(keys, tree->first);
    }
    size_t at = keys->size;
    rowkey_put_slice(keys, (uint32_t)tree->last + 1);
    build->scan = (struct disk_scan){.first = bytes_of(keys->data, at),
                                     .before = bytes_of(keys->data + at, keys->size - at),
                                     .rows_max = TREE_BUILD_ROWS,
                                     .bytes_max = TREE_BUILD_BYTES,
                                     .done = on_scanned,
                                     .context = build};
    tree_scan_begin(tree);
    node->disk->scan(node->disk->self, &build->scan);
}

static void begin_count(struct tree *tree) {
    uint16_t first = tree_unknown(tree, 0);
    if (first < tree->n_slices) {
        bool all = tree->n_known == 0;
        tree_count_begin(tree, first, all ? (uint16_t)(tree->n_slices - 1) : first);
    }
}

static void on_timer(void *context) {
    struct tree_build *build = context;
    struct node *node = build->node;
    if (!node->tree.counting) {
        begin_count(&node->tree);
    }
    if (!node->tree.counting || !work_begin(node, &build->work, TREE_BUILD_BYTES)) {
        pause_ns(build, TREE_BUILD_RETRY_MS * NS_PER_MS);
        return;
    }
    build->work.drop = build_drop;
    scan_page(build);
}

struct tree_build *tree_build_new(struct node *node) {
    struct tree_build *build = memory_new(1, sizeof *build);
    build->node = node;
    build->timer = (struct timer){.fire = on_timer, .context = build};
    return build;
}

void tree_build_free(struct tree_build *build) {
    timers_cancel(build->node->timers, &build->timer);
    buffer_release(&build->keys);
    free(build);
}

void tree_build_start(struct tree_build *build) {
    pause_ns(build, 0);
}

void tree_build_stop(struct tree_build *build) {
    build->stopped = true;
    timers_cancel(build->node->timers, &build->timer);
}
