/* hints: what is kept for replicas that are away, counted; its bounds; slices that wait for repair.
 */
#include "node/core/hints.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/core/handoff.h"
#include "shared/err.h"
#include "shared/hint_report.h"

enum { HINT_FORMAT = 1 };

#define NS_PER_S ((uint64_t)1000 * 1000 * 1000)

/* For one member. */
struct hints_of {
    uint64_t n;
    uint64_t bytes;
    uint64_t oldest_ns; /* when the first was kept, of those since there was none */
    uint64_t dropped;
    uint64_t delivered;
    uint32_t *by_slice; /* rows of each slice; NULL = never any */
    uint8_t *marks;     /* a bit for each slice; NULL = never any */
    uint32_t n_marks;
};

struct hints {
    struct node *node;
    bool ready;
    bool scanning;
    uint32_t n_commits; /* in flight */
    uint64_t n;
    uint64_t bytes;
    struct hints_of *of; /* by member index */
    struct disk_scan scan;
    struct buffer first;
    struct buffer before;
    struct timer retry;
};

static uint64_t wall_ns(const struct node *node) {
    return node->env->wall_ns(node->env->self);
}

static struct hints_of *of_member(const struct node *node, uint16_t id) {
    int index = ring_member_index(membership_ring(node->membership), id);
    return index >= 0 ? &node->hints->of[index] : NULL;
}

static void on_retry(void *context);

struct hints *hints_new(struct node *node) {
    struct hints *hints = memory_new(1, sizeof *hints);
    hints->node = node;
    hints->of = memory_new(membership_ring(node->membership)->n_members, sizeof *hints->of);
    hints->retry = (struct timer){.fire = on_retry, .context = hints};
    return hints;
}

void hints_free(struct hints *hints) {
    const struct ring *ring = membership_ring(hints->node->membership);
    timers_cancel(hints->node->timers, &hints->retry);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        free(hints->of[i].by_slice);
        free(hints->of[i].marks);
    }
    free(hints->of);
    buffer_release(&hints->first);
    buffer_release(&hints->before);
    free(hints);
}

/* ---- values ---- */

void hint_value_put(struct buffer *into, uint64_t stored_ns, struct bytes versions) {
    buffer_put_u8(into, HINT_FORMAT);
    buffer_put_u64(into, stored_ns);
    buffer_put_bytes(into, versions);
}

int hint_value_take(struct bytes value, uint64_t *ret_stored_ns, struct bytes *ret_versions) {
    if (value.size < HINT_HEAD || value.data[0] != HINT_FORMAT) {
        return ERR_INVALID;
    }
    *ret_stored_ns = bytes_load_u64(value.data + 1);
    *ret_versions = bytes_of(value.data + HINT_HEAD, value.size - HINT_HEAD);
    return 0;
}

bool hint_sound(struct node *node, struct bytes value) {
    uint64_t stored_ns;
    struct bytes versions;
    return hint_value_take(value, &stored_ns, &versions) == 0 &&
           (versions.size == 0 || versions_decode(versions, &node->scratch[0]) == 0);
}

/* ---- counting ---- */

void hints_changed(struct node *node, struct bytes key, size_t old_size, size_t new_size,
                   uint64_t stored_ns) {
    struct hints *hints = node->hints;
    struct hint_key parts = {0};
    int err = rowkey_hint(key, &parts);
    struct hints_of *of = err == 0 ? of_member(node, parts.target) : NULL;
    const struct ring *ring = membership_ring(node->membership);
    if (of == NULL || parts.slice >= ring->n_slices) {
        return; /* of another ring: nobody will ask for it */
    }
    if (of->by_slice == NULL) {
        of->by_slice = memory_new(ring->n_slices, sizeof *of->by_slice);
    }
    size_t before = old_size > 0 ? old_size + key.size : 0;
    size_t after = new_size > 0 ? new_size + key.size : 0;
    uint64_t born = old_size == 0 && new_size > 0 ? 1 : 0;
    uint64_t gone = old_size > 0 && new_size == 0 ? 1 : 0;
    assert(of->n + born >= gone && of->bytes + after >= before);
    if (new_size > 0 && (of->n == 0 || stored_ns < of->oldest_ns)) {
        of->oldest_ns = stored_ns;
    }
    of->n += born - gone;
    of->bytes += after - before;
    of->by_slice[parts.slice] += (uint32_t)(born - gone);
    hints->n += born - gone;
    hints->bytes += after - before;
}

static void forget_counts(struct hints *hints) {
    const struct ring *ring = membership_ring(hints->node->membership);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct hints_of *of = &hints->of[i];
        of->n = 0;
        of->bytes = 0;
        if (of->by_slice != NULL) {
            memset(of->by_slice, 0, ring->n_slices * sizeof *of->by_slice);
        }
    }
    hints->n = 0;
    hints->bytes = 0;
}

static void on_scanned(struct disk_scan *scan, int status, const struct disk_row *rows,
                       uint32_t n_rows, bool more) {
    struct hints *hints = scan->context;
    struct node *node = hints->node;
    for (uint32_t i = 0; i < n_rows && status == 0; i++) {
        struct bytes value = {0};
        struct bytes versions;
        uint64_t stored_ns = wall_ns(node);
        /* One that is corrupt counts, and goes when it is to be handed over. */
        if (blob_check(rows[i].value, &value) == 0) {
            (void)hint_value_take(value, &stored_ns, &versions);
        }
        size_t size = rows[i].value.size;
        size -= size > BLOB_CHECKSUM_SIZE ? BLOB_CHECKSUM_SIZE : 0;
        hints_changed(node, rows[i].key, 0, size, stored_ns);
    }
    if (status != 0) {
        forget_counts(hints);
        hints->scanning = false;
        timers_set(node->timers, &hints->retry, node_now(node) + HINTS_RETRY_MS * NS_PER_MS);
    } else if (more) {
        buffer_clear(&hints->first);
        buffer_put_bytes(&hints->first, rows[n_rows - 1].key);
        buffer_put_u8(&hints->first, 0);
        scan->first = buffer_bytes(&hints->first);
        node->disk->scan(node->disk->self, scan);
    } else {
        hints->scanning = false;
        hints->ready = true;
    }
}

/* Once no commit of hints is under way. */
static void scan_begin(struct hints *hints) {
    struct node *node = hints->node;
    if (hints->n_commits > 0 || hints->scanning || hints->ready || node->state != NODE_SERVING) {
        return;
    }
    forget_counts(hints);
    buffer_clear(&hints->first);
    buffer_clear(&hints->before);
    rowkey_put_hints(&hints->first, 0);
    rowkey_put_hints(&hints->before, UINT16_MAX + 1u);
    hints->scan = (struct disk_scan){.first = buffer_bytes(&hints->first),
                                     .before = buffer_bytes(&hints->before),
                                     .rows_max = HINTS_SCAN_ROWS,
                                     .bytes_max = HINTS_SCAN_BYTES,
                                     .done = on_scanned,
                                     .context = hints};
    hints->scanning = true;
    node->disk->scan(node->disk->self, &hints->scan);
}

static void on_retry(void *context) {
    scan_begin(context);
}

void hints_start(struct node *node) {
    scan_begin(node->hints);
}

void hints_commit_begin(struct node *node) {
    node->hints->n_commits++;
}

void hints_commit_end(struct node *node, int status) {
    struct hints *hints = node->hints;
    assert(hints->n_commits > 0);
    hints->n_commits--;
    if (status != 0) {
        node->counters.commit_errors++;
        hints->ready = false;
    }
    if (!hints->ready) {
        timers_set(node->timers, &hints->retry, node_now(node) + HINTS_RETRY_MS * NS_PER_MS);
    }
}

/* ---- bounds ---- */

static uint64_t bytes_max(const struct node *node) {
    uint64_t disk_free = 0;
    uint64_t total = 0;
    if (node->config.hint_bytes_max > 0) {
        return node->config.hint_bytes_max;
    }
    node->disk->space(node->disk->self, &disk_free, &total);
    return total > 0 ? total / HINTS_DISK_SHARE : HINTS_BYTES_DEFAULT;
}

bool hints_room(struct node *node, uint16_t target, size_t size, bool counts, uint32_t n) {
    struct hints_of *of = of_member(node, target);
    assert(of != NULL && node->hints->ready);
    uint64_t max = bytes_max(node);
    uint64_t now_ns = wall_ns(node);
    bool old = of->n > 0 && now_ns > of->oldest_ns + HINTS_AGE_MAX_S * NS_PER_S;
    if (node->hints->bytes + size > max || of->bytes + size > max / HINTS_TARGET_SHARE ||
        (old && !counts)) {
        hints_count_dropped(node, target, n);
        return false;
    }
    return true;
}

void hints_count_delivered(struct node *node, uint16_t target, uint32_t n) {
    of_member(node, target)->delivered += n;
    node->counters.hints_delivered += n;
}

void hints_count_dropped(struct node *node, uint16_t target, uint32_t n) {
    of_member(node, target)->dropped += n;
    node->counters.hints_dropped += n;
}

/* ---- what is kept ---- */

bool hints_ready(const struct node *node) {
    return node->hints->ready;
}

uint64_t hints_count(const struct node *node, uint16_t member_index) {
    return node->hints->ready ? node->hints->of[member_index].n : 0;
}

bool hints_exist_for_slice(const struct node *node, uint16_t slice) {
    const struct ring *ring = membership_ring(node->membership);
    bool exist = !node->hints->ready;
    for (uint16_t i = 0; i < ring->n_members && !exist; i++) {
        const struct hints_of *of = &node->hints->of[i];
        exist = of->by_slice != NULL && of->by_slice[slice] > 0;
    }
    return exist;
}

void hints_total(const struct node *node, struct hints_total *ret) {
    const struct ring *ring = membership_ring(node->membership);
    *ret = (struct hints_total){.n = node->hints->n, .bytes = node->hints->bytes};
    for (uint16_t i = 0; i < ring->n_members; i++) {
        ret->n_marked += node->hints->of[i].n_marks;
    }
}

static struct hint_target target_report(const struct node *node, uint16_t index) {
    const struct ring_member *member = &membership_ring(node->membership)->members[index];
    const struct hints_of *of = &node->hints->of[index];
    uint64_t now_ns = wall_ns(node);
    struct hint_target target = {.node = member->id,
                                 .n = of->n,
                                 .bytes = of->bytes,
                                 .dropped = of->dropped,
                                 .delivered = of->delivered};
    if (of->n > 0) {
        target.age_ms = now_ns > of->oldest_ns ? (now_ns - of->oldest_ns) / NS_PER_MS : 0;
        handoff_report(node, &target);
    }
    return target;
}

void hints_answer(struct node *node, const struct asker *asker) {
    const struct ring *ring = membership_ring(node->membership);
    struct hints_total total;
    hints_total(node, &total);
    struct hint_report report = {.ready = node->hints->ready, .n_marked = total.n_marked};
    report.bytes_max = bytes_max(node);
    report.target_max = report.bytes_max / HINTS_TARGET_SHARE;
    report.targets = memory_new(ring->n_members, sizeof *report.targets);
    for (uint16_t i = 0; i < ring->n_members; i++) {
        struct hint_target target = target_report(node, i);
        if (target.n + target.dropped + target.delivered > 0) {
            report.targets[report.n_targets++] = target;
        }
    }
    buffer_clear(&node->encoded);
    hint_report_encode(&report, &node->encoded);
    hint_report_release(&report);
    answer(node, asker, 0, buffer_bytes(&node->encoded));
}

/* ---- slices that wait for repair ---- */

void slice_mark(struct node *node, uint16_t slice, uint16_t peer) {
    struct hints_of *of = of_member(node, peer);
    uint16_t n_slices = membership_ring(node->membership)->n_slices;
    if (of == NULL || slice >= n_slices || slice_needs_repair(node, slice, peer)) {
        return;
    }
    if (of->marks == NULL) {
        of->marks = memory_new(n_slices / 8u + 1, 1);
    }
    of->marks[slice / 8] |= (uint8_t)(1u << slice % 8);
    of->n_marks++;
}

bool slice_needs_repair(const struct node *node, uint16_t slice, uint16_t peer) {
    const struct hints_of *of = of_member(node, peer);
    return of != NULL && of->marks != NULL && (of->marks[slice / 8] >> slice % 8 & 1) != 0;
}

void slice_repaired(struct node *node, uint16_t slice, uint16_t peer) {
    struct hints_of *of = of_member(node, peer);
    if (slice_needs_repair(node, slice, peer)) {
        of->marks[slice / 8] &= (uint8_t) ~(1u << slice % 8);
        of->n_marks--;
    }
}
