/* tree: sums of slices, exact while rows change and while they are counted. */
#include "node/core/tree.h"

#include <assert.h>
#include <stdlib.h>

#include <xxhash.h>

#include "node/core/plant.h"
#include "node/core/rowkey.h"

/* What one row adds to its slice; `present` false = nothing. */
struct share {
    uint64_t hash;
    bool present;
    bool dead;
};

/* A row that changed, or is being changed, while its page is scanned. */
struct tree_noted {
    struct bytes key; /* owned */
    struct share share;
};

void tree_init(struct tree *tree, uint64_t seed, uint16_t n_slices) {
    *tree = (struct tree){.seed = seed, .n_slices = n_slices};
    tree->slices = memory_new(n_slices, sizeof *tree->slices);
}

static void forget_noted(struct tree *tree) {
    for (uint32_t i = 0; i < tree->n_noted; i++) {
        free((void *)(uintptr_t)tree->noted[i].key.data);
    }
    free(tree->noted);
    tree->noted = NULL;
    tree->n_noted = 0;
    tree->overflowed = false;
}

void tree_release(struct tree *tree) {
    forget_noted(tree);
    buffer_release(&tree->cursor);
    versions_release(&tree->scratch);
    free(tree->slices);
    *tree = (struct tree){0};
}

/* ---- one row ---- */

static struct share share_of(struct tree *tree, struct bytes key, struct bytes versions) {
    uint8_t bytes[8 + LEAF_DIGEST_SIZE];
    if (versions.size == 0 || versions_decode(versions, &tree->scratch) != 0) {
        return (struct share){0};
    }
    bytes_store_u64(bytes, XXH3_64bits_withSeed(key.data, key.size, tree->seed));
    versions_digest(&tree->scratch, bytes + 8);
    return (struct share){XXH3_64bits_withSeed(bytes, sizeof bytes, tree->seed), true,
                          versions_live(&tree->scratch) == 0};
}

static void add(struct tree_slice *slice, struct share share) {
    slice->sum += share.present ? share.hash : 0;
    slice->n_rows += share.present ? 1 : 0;
    slice->n_dead += share.dead ? 1 : 0;
}

static void take_off(struct tree_slice *slice, struct share share) {
    slice->sum -= share.present ? share.hash : 0;
    slice->n_rows -= share.present ? 1 : 0;
    slice->n_dead -= share.dead ? 1 : 0;
}

static void set_known(struct tree *tree, uint16_t slice, bool known) {
    if (tree->slices[slice].known != known) {
        tree->slices[slice].known = known;
        tree->n_known = (uint16_t)(tree->n_known + (known ? 1 : -1));
    }
}

static bool counted(const struct tree *tree, struct bytes key) {
    return tree->cursor.size > 0 && bytes_compare(key, buffer_bytes(&tree->cursor)) <= 0;
}

static struct tree_noted *find_noted(const struct tree *tree, struct bytes key) {
    for (uint32_t i = 0; i < tree->n_noted; i++) {
        if (bytes_equal(tree->noted[i].key, key)) {
            return &tree->noted[i];
        }
    }
    return NULL;
}

/* The latest share of a key counts. */
static void note(struct tree *tree, struct bytes key, struct share share) {
    struct tree_noted *noted = find_noted(tree, key);
    if (noted == NULL) {
        if (tree->n_noted == TREE_NOTED_MAX) {
            tree->overflowed = true;
            return;
        }
        if (tree->noted == NULL) {
            tree->noted = memory_new(TREE_NOTED_MAX, sizeof *tree->noted);
        }
        noted = &tree->noted[tree->n_noted++];
        noted->key = bytes_copy(key);
    }
    noted->share = share;
}

static bool in_count(const struct tree *tree, uint16_t slice) {
    return tree->counting && slice >= tree->first && slice <= tree->last;
}

void tree_changed(struct tree *tree, struct bytes key, struct bytes old, bool old_known,
                  struct bytes now) {
    uint16_t slice;
    if (!rowkey_slice(key, &slice) || slice >= tree->n_slices) {
        return;
    }
    struct tree_slice *at = &tree->slices[slice];
    bool counts = at->known || (in_count(tree, slice) && counted(tree, key));
    if (PLANTED(STALE_SUM)) {
        int err = versions_decode(now, &tree->scratch);
        if (err == 0 && versions_live(&tree->scratch) == 0) {
            return;
        }
    }
    if (counts && (!old_known || at->unsound)) {
        /* It may have been counted when it was sound, or not. */
        set_known(tree, slice, false);
        if (in_count(tree, slice)) {
            tree_count_end(tree);
        }
    } else if (counts) {
        take_off(at, share_of(tree, key, old));
        add(at, share_of(tree, key, now));
    } else if (in_count(tree, slice) && tree->scanning) {
        note(tree, key, share_of(tree, key, now));
    }
}

/* ---- counting ---- */

void tree_count_begin(struct tree *tree, uint16_t first, uint16_t last) {
    assert(!tree->counting && first <= last && last < tree->n_slices);
    tree->counting = true;
    tree->first = first;
    tree->last = last;
    buffer_clear(&tree->cursor);
    for (uint32_t slice = first; slice <= last; slice++) {
        set_known(tree, (uint16_t)slice, false);
        tree->slices[slice] = (struct tree_slice){0};
    }
}

void tree_count_end(struct tree *tree) {
    tree->counting = false;
    tree->scanning = false;
    forget_noted(tree);
}

void tree_scan_begin(struct tree *tree) {
    forget_noted(tree);
    tree->scanning = true;
}

void tree_in_flight(struct tree *tree, struct bytes key, struct bytes durable, bool durable_known) {
    uint16_t slice;
    if (rowkey_slice(key, &slice) && tree->scanning && in_count(tree, slice) &&
        !counted(tree, key) && find_noted(tree, key) == NULL) {
        note(tree, key, durable_known ? share_of(tree, key, durable) : (struct share){0});
    }
}

/* Slices before `end` are passed. */
static void passed(struct tree *tree, uint32_t end) {
    for (uint32_t slice = tree->first; slice < end; slice++) {
        set_known(tree, (uint16_t)slice, true);
    }
    tree->first = end > tree->first ? (uint16_t)end : tree->first;
}

static void add_to_slice(struct tree *tree, struct bytes key, struct share share) {
    uint16_t slice;
    if (rowkey_slice(key, &slice) && in_count(tree, slice)) {
        add(&tree->slices[slice], share);
    }
}

/* Adds a row of a page, as it is on the disk. */
static void count_row(struct tree *tree, const struct disk_row *row) {
    struct bytes versions;
    struct share share = {0};
    uint16_t slice;
    if (blob_check(row->value, &versions) == 0) {
        share = share_of(tree, row->key, versions);
    }
    add_to_slice(tree, row->key, share);
    if (!share.present && rowkey_slice(row->key, &slice) && slice < tree->n_slices) {
        tree->slices[slice].unsound = true;
        tree->met_unsound = true;
    }
}

bool tree_count_page(struct tree *tree, const struct disk_row *rows, uint32_t n, bool more) {
    assert(tree->counting && tree->scanning && (n > 0 || !more));
    tree->met_unsound = false;
    if (tree->overflowed) {
        tree->scanning = false;
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (find_noted(tree, rows[i].key) == NULL) {
            count_row(tree, &rows[i]);
        }
    }
    for (uint32_t i = 0; i < tree->n_noted; i++) {
        struct bytes key = tree->noted[i].key;
        if (!more || bytes_compare(key, rows[n - 1].key) <= 0) {
            add_to_slice(tree, key, tree->noted[i].share);
        }
    }
    tree->scanning = false;
    forget_noted(tree);
    if (!more) {
        passed(tree, (uint32_t)tree->last + 1);
        tree->counting = false;
        return true;
    }
    uint16_t slice = 0;
    buffer_clear(&tree->cursor);
    buffer_put_bytes(&tree->cursor, rows[n - 1].key);
    if (rowkey_slice(rows[n - 1].key, &slice)) {
        passed(tree, slice);
    }
    return true;
}

/* ---- answers ---- */

bool tree_sum(const struct tree *tree, uint16_t slice, struct slice_sum *ret) {
    const struct tree_slice *at = &tree->slices[slice];
    *ret = (struct slice_sum){slice, at->n_rows, at->sum};
    return at->known;
}

uint32_t tree_n_dead(const struct tree *tree, uint16_t slice) {
    const struct tree_slice *at = &tree->slices[slice];
    return at->known ? at->n_dead : 0;
}

uint16_t tree_unknown(const struct tree *tree, uint16_t from) {
    uint16_t slice = from;
    while (slice < tree->n_slices && tree->slices[slice].known) {
        slice++;
    }
    return slice;
}
